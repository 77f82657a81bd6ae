/*
 * change_fuzz.c
 *	  Bytes that say they are a change of columns: what is read is signed again to the same.
 */
#include "core/net/change.h"

#include "net_fuzz.h"

static void
try_change(const uint8_t *bytes, size_t size)
{
	SchemaChange change;
	uint8_t		again[CHANGE_BYTES_MAX];
	uint8_t		secret[CORE_SECRET_BYTES] = {0};
	size_t		len;

	if (change_read(bytes, size, NOW, SKEW, &change) != DECODE_OK)
		return;
	REQUIRE(size <= CHANGE_BYTES_MAX && change.text == (const char *) bytes + CHANGE_HEAD);
	(void) change_verify(&crypto, bytes, size);
	memcpy(secret + CORE_SEED_BYTES, change.issuer, CORE_KEY_BYTES);
	REQUIRE(change_sign(&crypto, secret, &change, again, &len) == DECODE_OK);
	REQUIRE(len == size && memcmp(again, bytes, size - CORE_SIGNATURE_BYTES) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_one(data, size, try_change);
}
