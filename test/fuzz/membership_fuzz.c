/*
 * membership_fuzz.c
 *	  Statements one after the other into a set: seven bytes choose each, so that
 *	  keys meet again; or, when the first byte is odd, raw bytes.
 */
#include "core/net/membership.h"

#include "net_fuzz.h"

#define KEYS 6					/* 0 is the root */

static void
key_of(int i, uint8_t *key)
{
	memset(key, i + 1, CORE_KEY_BYTES);
}

static void
try_raw(const uint8_t *bytes, size_t size)
{
	Grant		grant;
	Redemption	redemption;
	uint8_t		again[GRANT_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES] = {0};

	if (grant_decode(&crypto, bytes, size, NOW, SKEW, &grant) == DECODE_OK)
	{
		memcpy(secret + CORE_SEED_BYTES, grant.issuer, CORE_KEY_BYTES);
		REQUIRE(grant_sign(&crypto, secret, &grant, again) == DECODE_OK);
		REQUIRE(memcmp(again, bytes, GRANT_BYTES - CORE_SIGNATURE_BYTES) == 0);
	}
	if (redemption_decode(&crypto, bytes, size, NOW, SKEW, &redemption) == DECODE_OK)
	{
		REQUIRE(size == REDEMPTION_BYTES && redemption.issued_ms <= NOW + SKEW);
		memcpy(secret + CORE_SEED_BYTES, redemption.invitation, CORE_KEY_BYTES);
		REQUIRE(redemption_sign(&crypto, secret, redemption.root, redemption.member, redemption.issued_ms, again));
		REQUIRE(memcmp(again, bytes, REDEMPTION_BYTES - CORE_SIGNATURE_BYTES) == 0);
	}
}

static void
try_set(const uint8_t *data, size_t size)
{
	Membership	set;
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	int			n;

	key_of(0, root);
	membership_init(&set, &memory, &crypto, root);
	for (; size >= 7; data += 7, size -= 7)
	{
		Grant		grant = {.kind = data[0] & 3, .role = data[0] >> 2 & 3, .depth = data[0] >> 4,
		.epoch = data[2], .issued_ms = NOW + data[3], .expires_ms = data[4] == 0 ? 0 : NOW + (int64_t) data[4] * 1000};
		uint8_t		secret[CORE_SECRET_BYTES] = {0};
		uint8_t		bytes[GRANT_BYTES];
		DecodeStatus status;
		MembershipAdded added;

		memcpy(grant.root, root, sizeof root);
		key_of(data[1] % KEYS, secret + CORE_SEED_BYTES);
		key_of(data[1] / KEYS % KEYS, grant.member);
		if (data[5] > 0)
			key_of(data[5] % KEYS, grant.invitation);
		/* what it overrides or includes: one that is there */
		if (data[6] > 0 && set.n > 0)
		{
			memcpy(grant.overrides, set.entry[data[6] % set.n]->hash, GRANT_HASH_BYTES);
			if (data[6] & 128)
				memcpy(grant.invitation, set.entry[data[6] / 2 % set.n]->hash, GRANT_HASH_BYTES);
		}
		if (grant_sign(&crypto, secret, &grant, bytes) != DECODE_OK)
			continue;
		bytes[GRANT_BYTES - 1] = 0;
		n = set.n;
		added = membership_add(&set, bytes, GRANT_BYTES, NOW, SKEW, &status);
		REQUIRE(status == DECODE_OK && added != MEMBERSHIP_INVALID);
		REQUIRE(set.n == n || added == MEMBERSHIP_ADDED);
	}
	REQUIRE(membership_role(&set, root, NOW) == GRANT_ADMIN);
	for (int i = 0; i < KEYS; i++)
	{
		Redemption	redemption = {.issued_ms = NOW};
		Grant		out;
		int			depth;

		key_of(i, key);
		depth = membership_admin_depth(&set, key, NOW + 1000);
		REQUIRE((depth >= 0) <= (membership_role(&set, key, NOW + 1000) == GRANT_ADMIN));
		memcpy(redemption.root, root, sizeof root);
		memcpy(redemption.invitation, key, sizeof key);
		key_of((i + 1) % KEYS, redemption.member);
		membership_redeem(&set, &redemption, root, NOW, &out);
		membership_prepare(&set, GRANT_REVOCATION, GRANT_NOBODY, root, key, NOW, 0, &out);
	}
	n = 0;
	for (uint32_t cursor = 0; membership_next(&set, &cursor) != NULL;)
		n++;
	REQUIRE(n == set.n);
	membership_reset(&set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_one_of_two(data, size, try_set, try_raw);
}
