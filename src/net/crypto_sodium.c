/*
 * crypto_sodium.c
 *	  Ed25519, SHA-256 and randomness of libsodium.
 *
 * crypto_sign_verify_detached() refuses keys of small order and signatures that
 * are not canonical, as the core demands.
 */
#include "net/crypto_sodium.h"

#include <sodium.h>

static void
sodium_sha256(void *context, const uint8_t *message, size_t len, uint8_t hash[CORE_HASH_BYTES])
{
	crypto_hash_sha256(hash, message, len);
}

static bool
sodium_sign(void *context, const uint8_t secret[CORE_SECRET_BYTES], const uint8_t *message, size_t len,
			uint8_t signature[CORE_SIGNATURE_BYTES])
{
	return crypto_sign_detached(signature, NULL, message, len, secret) == 0;
}

static bool
sodium_verify(void *context, const uint8_t key[CORE_KEY_BYTES], const uint8_t *message, size_t len,
			  const uint8_t signature[CORE_SIGNATURE_BYTES])
{
	return crypto_sign_verify_detached(signature, message, len, key) == 0;
}

static bool
sodium_key_pair(void *context, const uint8_t seed[CORE_SEED_BYTES], uint8_t key[CORE_KEY_BYTES],
				uint8_t secret[CORE_SECRET_BYTES])
{
	return crypto_sign_seed_keypair(key, secret, seed) == 0;
}

static void
sodium_fill(void *context, void *bytes, size_t n)
{
	randombytes_buf(bytes, n);
}

bool
crypto_sodium_init(void)
{
	return sodium_init() >= 0;
}

CoreCrypto
crypto_sodium(void)
{
	return (CoreCrypto) {
		.sha256 = sodium_sha256,
		.sign = sodium_sign,
		.verify = sodium_verify,
		.key_pair = sodium_key_pair
	};
}

CoreRandom
crypto_sodium_random(void)
{
	return (CoreRandom) {.fill = sodium_fill};
}
