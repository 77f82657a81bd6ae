/*
 * http_jwk_fuzz.c
 *	  The text of keys, and signatures that nobody made with them.
 */
#include "fuzz.h"

#include <sodium.h>

#include "http/token/jwk.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char signature[64];
	char		error[JWK_ERROR_SIZE];
	int			left_out = -1;
	char	   *copy = fuzz_alloc(size);
	JwkSet	   *set;

	REQUIRE(sodium_init() >= 0);
	memcpy(copy, data, size);
	set = jwk_read(copy, size, &left_out, error);
	REQUIRE(left_out >= 0 && memchr(error, '\0', sizeof(error)));
	if (!set)
		REQUIRE(error[0] != '\0');
	else
	{
		REQUIRE(jwk_count(set) > 0 && jwk_count(set) <= JWK_MAX_KEYS);
		for (JwtAlg alg = 0; alg < JWT_NALGS; alg++)
			REQUIRE(jwk_verify(set, alg, NULL, 0, "x", 1, signature, sizeof(signature)) != JWK_GOOD);
	}
	jwk_free(set);
	free(copy);
	return 0;
}
