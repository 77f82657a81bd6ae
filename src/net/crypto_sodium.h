/*
 * crypto_sodium.h
 *	  What the core needs of cryptography and randomness (core/host.h), by
 *	  libsodium.
 */
#ifndef NET_CRYPTO_SODIUM_H
#define NET_CRYPTO_SODIUM_H

#include "core/net/host.h"

/* Once, before anything else; false when the system gives no randomness. */
extern bool crypto_sodium_init(void);

extern CoreCrypto crypto_sodium(void);
extern CoreRandom crypto_sodium_random(void);

#endif							/* NET_CRYPTO_SODIUM_H */
