/*
 * node_fixture.h
 *	  Keys, records and a pool for tests of the networking core.
 */
#ifndef TEST_NODE_FIXTURE_H
#define TEST_NODE_FIXTURE_H

#include "core/net/node_record.h"

#include "host_fixture.h"
#include "tap.h"

#define NOW INT64_C(1800000000000)	/* unix ms */
#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define SKEW (5 * MINUTE)

static HostMemory memory_state = {.until_failure = -1};
static uint64_t random_state;
static CoreMemory memory;
static CoreRandom fixture_random;
static CoreCrypto crypto;
static RecordPool pool;
static uint64_t network;

typedef struct Key
{
	uint8_t		public[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
} Key;

/* Seed from TEST_SEED, or 1; printed so that a failure can be repeated. */
static inline void
fixture_begin(uint32_t pool_limit)
{
	const char *given = getenv("TEST_SEED");

	random_state = given ? strtoull(given, NULL, 0) : 1;
	diag("seed %llu (TEST_SEED sets another)", (unsigned long long) random_state);
	memory = HOST_MEMORY(&memory_state);
	fixture_random = HOST_RANDOM(&random_state);
	crypto = host_crypto();
	network = node_network(&crypto, "test", 4);
	if (!record_pool_init(&pool, &memory, &crypto, &fixture_random, network, SKEW, pool_limit))
		exit(2);
}

/* The last test of each program: whatever it did, nothing is left. */
static inline int
fixture_end(void)
{
	ok(pool.n == 0, "no record is referenced any more (%u)", pool.n);
	record_pool_reset(&pool);
	ok(memory_state.blocks == 0, "no memory is held any more (%zu blocks)", memory_state.blocks);
	return tap_done();
}

static inline Key
new_key(void)
{
	Key			key;
	uint8_t		seed[CORE_SEED_BYTES];

	host_fill(&random_state, seed, sizeof seed);
	crypto.key_pair(NULL, seed, key.public, key.secret);
	return key;
}

static inline NodeRecordFields
new_fields(NetAddress address)
{
	NodeRecordFields fields = {
		.network = network,
		.seq = 1,
		.expires_ms = NOW + 24 * HOUR,
		.n_addresses = 1,
		.addresses = {address}
	};

	host_fill(&random_state, fields.curve_key, sizeof fields.curve_key);
	return fields;
}

static inline NodeRecord *
take_fields(const Key *key, const NodeRecordFields *fields)
{
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	NodeRecord *record = NULL;

	if (node_record_sign(&crypto, key->secret, fields, bytes, &len) != DECODE_OK ||
		record_pool_take(&pool, bytes, len, NOW, &record) != DECODE_OK)
	{
		diag("the fixture could not make a record");
		exit(2);
	}
	return record;
}

/* A record of a key at an address; the caller owes a release. */
static inline NodeRecord *
record_of(const Key *key, NetAddress address, uint64_t seq)
{
	NodeRecordFields fields = new_fields(address);

	fields.seq = seq;
	return take_fields(key, &fields);
}

/* The n-th address, each in a subnet of its own. */
static inline NetAddress
nth_address(int n)
{
	return net_address_v4((uint8_t) (11 + (n >> 16)), (uint8_t) (n >> 8), (uint8_t) n, 1, 7777);
}

/*
 * A record of a new key whose id shares exactly `prefix` bits with id, found by
 * trying: prefix is small.
 */
static inline NodeRecord *
record_with_prefix(const KadId *id, int prefix, NetAddress address, Key *key)
{
	for (;;)
	{
		Key			k = new_key();
		KadId		of_key = kad_id_of_key(&crypto, k.public);

		if (kad_id_prefix(id, &of_key) == prefix)
		{
			if (key != NULL)
				*key = k;
			return record_of(&k, address, 1);
		}
	}
}

/* Bytes in a block without a byte to spare, so that a sanitizer sees a read beyond. */
static inline uint8_t *
exact_copy(const void *bytes, size_t len)
{
	uint8_t    *p = malloc(len > 0 ? len : 1);

	if (p == NULL)
		exit(2);
	if (len > 0)
		memcpy(p, bytes, len);
	return p;
}

#endif							/* TEST_NODE_FIXTURE_H */
