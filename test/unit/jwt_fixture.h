/*
 * jwt_fixture.h
 *	  Tokens made for tests: any header and payload, signed by HS256.
 */
#ifndef TEST_JWT_FIXTURE_H
#define TEST_JWT_FIXTURE_H

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "http/token/jwt.h"

#define FIXTURE_SECRET "a secret of thirty-two bytes ..."
#define FIXTURE_NOW 1700000000

static inline size_t
fixture_base64url(char *out, const void *bytes, size_t len)
{
	sodium_bin2base64(out, sodium_base64_encoded_len(len, sodium_base64_VARIANT_URLSAFE_NO_PADDING), bytes, len,
					  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return strlen(out);
}

/* header.payload.signature into out; its length. */
static inline size_t
fixture_sign_bytes(char *out, const char *header, const void *payload, size_t payload_len)
{
	crypto_auth_hmacsha256_state state;
	unsigned char mac[crypto_auth_hmacsha256_BYTES];
	size_t		n = fixture_base64url(out, header, strlen(header));

	out[n++] = '.';
	n += fixture_base64url(out + n, payload, payload_len);
	crypto_auth_hmacsha256_init(&state, (const unsigned char *) FIXTURE_SECRET, strlen(FIXTURE_SECRET));
	crypto_auth_hmacsha256_update(&state, (const unsigned char *) out, n);
	crypto_auth_hmacsha256_final(&state, mac);
	out[n++] = '.';
	return n + fixture_base64url(out + n, mac, sizeof(mac));
}

static inline size_t
fixture_sign(char *out, const char *header, const char *payload)
{
	return fixture_sign_bytes(out, header, payload, strlen(payload));
}

#endif							/* TEST_JWT_FIXTURE_H */
