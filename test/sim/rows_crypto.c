/*
 * rows_crypto.c
 *	  Hashes and signatures that are quick and nothing else: most seeds are not run to
 *	  measure cryptography.
 */
#include "core/rows/schema.h"

#include "rows_world.h"

#include <stdlib.h>

static void
cheap_hash(void *context, const uint8_t *message, size_t len, uint8_t *hash)
{
	uint64_t	a = UINT64_C(0x9E3779B97F4A7C15) ^ len;
	uint64_t	b = UINT64_C(0xC2B2AE3D27D4EB4F);

	for (; len >= 8; message += 8, len -= 8)
	{
		uint64_t	word;

		memcpy(&word, message, 8);
		a = (a ^ word) * UINT64_C(0xFF51AFD7ED558CCD);
		b = (b ^ (a >> 32)) * UINT64_C(0xC4CEB9FE1A85EC53);
		a ^= a >> 29;
	}
	for (; len > 0; message++, len--)
		a = (a ^ *message) * UINT64_C(0xFF51AFD7ED558CCD) ^ (b >> 7);
	for (int i = 0; i < 4; i++)
	{
		a = (a ^ (a >> 31) ^ b) * UINT64_C(0xBF58476D1CE4E5B9);
		b = (b ^ (a >> 27)) * UINT64_C(0x94D049BB133111EB);
		memcpy(hash + 8 * i, &a, 8);
	}
}

static void
cheap_mac(const uint8_t *key, const uint8_t *message, size_t len, uint8_t *signature)
{
	uint8_t		both[64];

	memcpy(both, key, 32);
	cheap_hash(NULL, message, len, both + 32);
	cheap_hash(NULL, both, sizeof both, signature);
	memcpy(signature + 32, signature, 32);
}

static bool
cheap_sign(void *context, const uint8_t *secret, const uint8_t *message, size_t len, uint8_t *signature)
{
	cheap_mac(secret + CORE_SEED_BYTES, message, len, signature);
	return true;
}

static bool
cheap_verify(void *context, const uint8_t *key, const uint8_t *message, size_t len, const uint8_t *signature)
{
	uint8_t		right[CORE_SIGNATURE_BYTES];

	cheap_mac(key, message, len, right);
	return memcmp(right, signature, sizeof right) == 0;
}

static bool
cheap_key_pair(void *context, const uint8_t *seed, uint8_t *key, uint8_t *secret)
{
	cheap_hash(NULL, seed, CORE_SEED_BYTES, key);
	memcpy(secret, seed, CORE_SEED_BYTES);
	memcpy(secret + CORE_SEED_BYTES, key, CORE_KEY_BYTES);
	return true;
}

CoreCrypto
rows_cheap_crypto(void)
{
	return (CoreCrypto) {NULL, cheap_hash, cheap_sign, cheap_verify, cheap_key_pair};
}

int
world_columns(uint8_t schema, const RowColumn **out)
{
	static const RowBytes name = {(const uint8_t *) "c", 1};
	static const RowBytes type = {(const uint8_t *) "bigint", 6};
	static RowColumn column[UINT8_MAX + 1];

	for (int i = 0; i <= schema; i++)
		column[i] = (RowColumn) {name, type, i == 0, i == 0};
	*out = column;
	return schema + 1;
}

void
world_schema_hash(const World *self, uint8_t schema, uint8_t out[32])
{
	const RowColumn *column;
	int			n = world_columns(schema, &column);

	if (!row_schema_hash(&self->crypto, column, n, out))
		abort();
}
