/*
 * rows_fixture.h
 *	  Memory, seeded randomness, keys and cryptography for tests of what carries rows.
 */
#ifndef TEST_ROWS_FIXTURE_H
#define TEST_ROWS_FIXTURE_H

#include "core/net/kad_id.h"

#include "host_fixture.h"
#include "tap.h"

static HostMemory memory_state = {.until_failure = -1};
static CoreMemory memory;
static uint64_t random_state;
static CoreRandom random_source = HOST_RANDOM(&random_state);

typedef struct Key
{
	uint8_t		public[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
} Key;

/* Seed from TEST_SEED, or 1; printed so that a failure can be repeated. */
static inline void
fixture_begin(void)
{
	const char *given = getenv("TEST_SEED");

	memory = HOST_MEMORY(&memory_state);
	random_state = given ? strtoull(given, NULL, 0) : 1;
	diag("seed %llu (TEST_SEED sets another)", (unsigned long long) random_state);
}

/* The last test of each program: whatever it did, nothing is left. */
static inline int
fixture_end(void)
{
	ok(memory_state.blocks == 0, "no memory is held any more (%zu blocks)", memory_state.blocks);
	return tap_done();
}

/* 0 .. n - 1 */
static inline uint64_t
below(uint64_t n)
{
	return core_random_below(&random_source, n);
}

static inline Key
new_key(const CoreCrypto *crypto)
{
	Key			key;
	uint8_t		seed[CORE_SEED_BYTES];

	random_source.fill(random_source.context, seed, sizeof seed);
	if (!crypto->key_pair(crypto->context, seed, key.public, key.secret))
		exit(2);
	return key;
}

#endif							/* TEST_ROWS_FIXTURE_H */
