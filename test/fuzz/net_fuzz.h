/*
 * net_fuzz.h
 *	  What the fuzz targets of the networking core share.  Each program includes
 *	  it once.
 *
 * A fuzzer cannot sign, so a signature holds here when its last byte is even;
 * hashes are the real ones.  The pool is emptied after each input, and memory
 * that was not given back stops the program.
 */
#ifndef TEST_NET_FUZZ_H
#define TEST_NET_FUZZ_H

#include "core/bytes.h"
#include "core/net/node_record.h"

#include "../unit/host_fixture.h"

#define NOW INT64_C(1800000000000)
#define SKEW INT64_C(300000)

#define REQUIRE(condition) \
	((condition) ? (void) 0 : fuzz_fail(#condition, __FILE__, __LINE__))

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static HostMemory memory_state;
static uint64_t random_state;
static CoreMemory memory;
static CoreRandom fuzz_random;
static CoreCrypto crypto;
static RecordPool pool;

static inline void
fuzz_fail(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: property does not hold: %s\n", file, line, condition);
	abort();
}

static inline bool
fuzz_verify(void *context, const uint8_t *key, const uint8_t *message, size_t len, const uint8_t *signature)
{
	static volatile uint8_t sum;

	/* every byte that is said to be there is read */
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t) (sum ^ message[i]);
	for (size_t i = 0; i < CORE_SIGNATURE_BYTES; i++)
		sum = (uint8_t) (sum ^ signature[i]);
	for (size_t i = 0; i < CORE_KEY_BYTES; i++)
		sum = (uint8_t) (sum ^ key[i]);
	return (signature[CORE_SIGNATURE_BYTES - 1] & 1) == 0;
}

static inline void
fuzz_begin(void)
{
	memory_state = (HostMemory) {.until_failure = -1};
	random_state = 1;
	memory = HOST_MEMORY(&memory_state);
	fuzz_random = HOST_RANDOM(&random_state);
	if (crypto.sha256 == NULL)
	{
		crypto = host_crypto();
		crypto.verify = fuzz_verify;
	}
	REQUIRE(record_pool_init(&pool, &memory, &crypto, &fuzz_random, node_network(&crypto, "test", 4), SKEW, 64));
}

static inline void
fuzz_end(void)
{
	REQUIRE(pool.n == 0);
	record_pool_reset(&pool);
	REQUIRE(memory_state.blocks == 0);
}

/* A copy without a byte to spare. */
static inline uint8_t *
exact_copy(const uint8_t *bytes, size_t len)
{
	uint8_t    *p = malloc(len > 0 ? len : 1);

	REQUIRE(p != NULL);
	if (len > 0)
		memcpy(p, bytes, len);
	return p;
}

/* What a target does with its input. */
static inline int
fuzz_one(const uint8_t *data, size_t size, void (*part) (const uint8_t *bytes, size_t len))
{
	uint8_t    *bytes = exact_copy(data, size);

	fuzz_begin();
	part(bytes, size);
	fuzz_end();
	free(bytes);
	return 0;
}

/* The same, where the first byte says which of two. */
static inline int
fuzz_one_of_two(const uint8_t *data, size_t size, void (*even) (const uint8_t *bytes, size_t len),
				void (*odd) (const uint8_t *bytes, size_t len))
{
	return size == 0 ? 0 : fuzz_one(data + 1, size - 1, data[0] & 1 ? odd : even);
}

#endif							/* TEST_NET_FUZZ_H */
