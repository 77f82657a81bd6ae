/*
 * beacon_fuzz.c
 *	  Datagrams from anybody.
 */
#include "core/net/beacon.h"

#include "net_fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t    *bytes = exact_copy(data, size);
	Beacon		beacon;
	DecodeStatus status;

	fuzz_begin();
	status = beacon_decode(&pool, bytes, size, NOW, &beacon);
	REQUIRE((status == DECODE_OK) == (beacon.record != NULL));
	if (status == DECODE_OK)
	{
		REQUIRE(size <= BEACON_MAX && (beacon.kind == BEACON_ANNOUNCE || beacon.kind == BEACON_ASK));
		REQUIRE(beacon.kind == BEACON_ANNOUNCE || beacon.nonce != 0);
		REQUIRE(memcmp(beacon.record->bytes, bytes + BEACON_HEAD, beacon.record->len) == 0);
	}
	record_pool_release(&pool, beacon.record);
	fuzz_end();
	free(bytes);
	return 0;
}
