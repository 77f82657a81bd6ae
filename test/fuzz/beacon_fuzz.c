/*
 * beacon_fuzz.c
 *	  Datagrams from anybody.  One that is taken has one form: signed again it is the
 *	  same bytes.
 */
#include "core/net/beacon.h"

#include "net_fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t    *bytes = exact_copy(data, size);
	uint8_t		again[BEACON_MAX];
	uint8_t		secret[CORE_SECRET_BYTES] = {0};
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
		REQUIRE(beacon_sign(&crypto, secret, beacon.kind, beacon.nonce, beacon.record, beacon.issued_ms, again) == size);
		REQUIRE(memcmp(again, bytes, size - CORE_SIGNATURE_BYTES) == 0);
	}
	record_pool_release(&pool, beacon.record);
	fuzz_end();
	free(bytes);
	return 0;
}
