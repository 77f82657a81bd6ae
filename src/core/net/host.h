/*
 * host.h
 *	  What the networking half of the core is handed by the program around it:
 *	  time, randomness, memory and cryptography.
 *
 * The core reads no clock, draws no random number, allocates nothing and signs
 * nothing by itself.  So a simulator can run a hundred thousand nodes on one
 * virtual clock from one seed, a test can let memory run out, and this code
 * links with nothing but libc.
 */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Two clocks, both in milliseconds.  Deadlines and ages are counted on
 * tick_ms, which never goes back; only what other machines must agree upon
 * (expiry of signed things) is compared with unix_ms, which may jump.
 */
typedef struct CoreClock
{
	int64_t		tick_ms;		/* monotonic, any origin */
	int64_t		unix_ms;		/* since 1970-01-01 00:00 UTC */
} CoreClock;

/* alloc returns NULL when there is no memory; free takes NULL. */
typedef struct CoreMemory
{
	void	   *context;
	void	   *(*alloc) (void *context, size_t size);
	void		(*free) (void *context, void *p);
} CoreMemory;

/* fill writes n unpredictable bytes; it cannot fail. */
typedef struct CoreRandom
{
	void	   *context;
	void		(*fill) (void *context, void *bytes, size_t n);
} CoreRandom;

#define CORE_KEY_BYTES 32		/* Ed25519 and X25519 public keys */
#define CORE_SECRET_BYTES 64	/* Ed25519 secret key: seed, then public key */
#define CORE_SEED_BYTES 32
#define CORE_SIGNATURE_BYTES 64
#define CORE_HASH_BYTES 32

/*
 * Ed25519 (RFC 8032) and SHA-256 (FIPS 180-4).  verify must refuse keys of
 * small order and signatures that are not canonical, as libsodium's does.
 */
typedef struct CoreCrypto
{
	void	   *context;
	void		(*sha256) (void *context, const uint8_t *message, size_t len,
						   uint8_t hash[CORE_HASH_BYTES]);
	bool		(*sign) (void *context, const uint8_t secret[CORE_SECRET_BYTES],
						 const uint8_t *message, size_t len,
						 uint8_t signature[CORE_SIGNATURE_BYTES]);
	bool		(*verify) (void *context, const uint8_t key[CORE_KEY_BYTES],
						   const uint8_t *message, size_t len,
						   const uint8_t signature[CORE_SIGNATURE_BYTES]);
	/* public and secret key of a seed */
	bool		(*key_pair) (void *context, const uint8_t seed[CORE_SEED_BYTES],
							 uint8_t key[CORE_KEY_BYTES], uint8_t secret[CORE_SECRET_BYTES]);
} CoreCrypto;

static inline void *
core_alloc(const CoreMemory *memory, size_t size)
{
	return memory->alloc(memory->context, size);
}

static inline void
core_free(const CoreMemory *memory, void *p)
{
	if (p != NULL)
		memory->free(memory->context, p);
}

/*
 * An array with room for more: room elements of `size` bytes, of which the first n are
 * those of old, which is freed.  NULL, and old stays, when there is no memory.
 */
static inline void *
core_grow(const CoreMemory *memory, void *old, size_t n, size_t room, size_t size)
{
	void	   *wider = core_alloc(memory, room * size);

	if (wider == NULL)
		return NULL;
	if (n > 0)
		memcpy(wider, old, n * size);
	core_free(memory, old);
	return wider;
}

static inline uint64_t
core_random_bits(const CoreRandom *random)
{
	uint64_t	bits;

	random->fill(random->context, &bits, sizeof bits);
	return bits;
}

/* 0 .. n - 1, n > 0; the bias is below n / 2^64 */
static inline uint64_t
core_random_below(const CoreRandom *random, uint64_t n)
{
	return core_random_bits(random) % n;
}

#endif							/* CORE_HOST_H */
