/*
 * host_fixture.h
 *	  What tests, fuzzers and simulators hand to the networking core: memory
 *	  that can be counted and made to run out, seeded randomness, and the real
 *	  cryptography of libsodium.
 */
#ifndef TEST_HOST_FIXTURE_H
#define TEST_HOST_FIXTURE_H

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/net/host.h"

/* ---- memory ---- */

typedef struct HostMemory
{
	size_t		blocks;			/* allocated and not freed */
	size_t		bytes;
	long		until_failure;	/* allocations that still succeed; below 0: no limit */
} HostMemory;

static inline void *
host_alloc(void *context, size_t size)
{
	HostMemory *self = context;
	size_t	   *p;

	if (self->until_failure == 0)
		return NULL;
	if (self->until_failure > 0)
		self->until_failure--;
	p = malloc(size + 16);
	if (p == NULL)
		return NULL;
	*p = size;
	self->blocks++;
	self->bytes += size;
	return (char *) p + 16;
}

static inline void
host_free(void *context, void *block)
{
	HostMemory *self = context;
	size_t	   *p = (size_t *) ((char *) block - 16);

	self->blocks--;
	self->bytes -= *p;
	free(p);
}

#define HOST_MEMORY(state) ((CoreMemory) {(state), host_alloc, host_free})

/* ---- randomness: splitmix64 ---- */

static inline void
host_fill(void *context, void *bytes, size_t n)
{
	uint64_t   *state = context;
	uint8_t    *out = bytes;

	while (n > 0)
	{
		uint64_t	z = (*state += UINT64_C(0x9E3779B97F4A7C15));
		size_t		part = n < 8 ? n : 8;

		z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
		z ^= z >> 31;
		memcpy(out, &z, part);
		out += part;
		n -= part;
	}
}

#define HOST_RANDOM(state) ((CoreRandom) {(state), host_fill})

/* ---- cryptography ---- */

static inline void
host_sha256(void *context, const uint8_t *message, size_t len, uint8_t *hash)
{
	crypto_hash_sha256(hash, message, len);
}

static inline bool
host_sign(void *context, const uint8_t *secret, const uint8_t *message, size_t len, uint8_t *signature)
{
	return crypto_sign_detached(signature, NULL, message, len, secret) == 0;
}

static inline bool
host_verify(void *context, const uint8_t *key, const uint8_t *message, size_t len, const uint8_t *signature)
{
	return crypto_sign_verify_detached(signature, message, len, key) == 0;
}

static inline bool
host_key_pair(void *context, const uint8_t *seed, uint8_t *key, uint8_t *secret)
{
	return crypto_sign_seed_keypair(key, secret, seed) == 0;
}

static inline CoreCrypto
host_crypto(void)
{
	if (sodium_init() < 0)
	{
		fprintf(stderr, "libsodium cannot be initialised\n");
		exit(2);
	}
	return (CoreCrypto) {NULL, host_sha256, host_sign, host_verify, host_key_pair};
}

#endif							/* TEST_HOST_FIXTURE_H */
