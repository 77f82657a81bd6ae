/*
 * jwk.h
 *	  The keys that tokens are verified with (RFC 7517, 7518, 8037), each for one
 *	  algorithm.
 *
 * Plain C: nothing of PostgreSQL.  HMAC of SHA-256 and SHA-512, and Ed25519, are
 * libsodium's; RSA, P-256 and HMAC of SHA-384, which libsodium lacks, libcrypto's.
 * Whoever calls has called sodium_init().
 */
#ifndef VECDB_HTTP_JWK_H
#define VECDB_HTTP_JWK_H

#include <stdbool.h>
#include <stddef.h>

#define JWK_MAX_TEXT	65536
#define JWK_MAX_KEYS	32
#define JWK_MAX_SIGNATURE	1024	/* bytes: RSA of 8,192 bits */
#define JWK_ERROR_SIZE	160

typedef enum JwtAlg
{
	JWT_HS256,
	JWT_HS384,
	JWT_HS512,
	JWT_RS256,
	JWT_ES256,
	JWT_EDDSA,
	JWT_NALGS
} JwtAlg;

typedef struct JwkSet JwkSet;

typedef enum JwkVerdict
{
	JWK_GOOD,
	JWK_NO_KEY,					/* no key has that id */
	JWK_OTHER_ALG,				/* none of those that may be meant is for that algorithm */
	JWK_BAD						/* none of them has made the signature */
} JwkVerdict;

/* The algorithm of a name, in the case that it has; JWT_NALGS: none of ours. */
extern JwtAlg jwt_alg(const char *name, size_t len);

/*
 * Read keys: a JSON Web Key, a set of them, a public key in PEM, or else a text that is
 * itself the secret of HS256.  One line end behind them does not count.
 *
 * A key is for the algorithm that it names, or else for the one of ours that its type
 * has (HS256 of a secret).  Keys of other types and algorithms are left out, as RFC
 * 7517, 5 has it, and counted in *left_out.  A key that is too short, holds a private
 * part or is malformed makes the whole text wrong.  NULL, with what is wrong in error,
 * when it is wrong or no key is left.
 */
extern JwkSet *jwk_read(const char *text, size_t len, int *left_out, char error[JWK_ERROR_SIZE]);
extern void jwk_free(JwkSet *self);

extern int	jwk_count(const JwkSet *self);

/* Whether whoever reads a key of these can sign with it. */
extern bool jwk_is_secret(const JwkSet *self);

/*
 * Whether a key of the set has made the signature of these bytes by this algorithm.
 * With a kid, only keys that have it may.  Comparisons of secrets take constant time.
 */
extern JwkVerdict jwk_verify(const JwkSet *self, JwtAlg alg, const char *kid, size_t kid_len,
							 const char *bytes, size_t len, const unsigned char *signature, size_t signature_len);

#endif							/* VECDB_HTTP_JWK_H */
