/*
 * jwt_test.c
 *	  Tokens and their keys: the examples of RFC 7515 and 8037, and what is refused.
 */
#include "tap.h"

#include <stdlib.h>

#include "http/token/jwt_cache.h"
#include "jwt_fixture.h"

#define HS256 "{\"alg\":\"HS256\"}"
#define RFC_CLAIMS "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC_EXPIRES 1300819380

/* RFC 7515, A.1 to A.3, and RFC 8037, A.2 and A.4 */
#define RFC_HS256_K "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define RFC_HS256_KEY "{\"kty\":\"oct\",\"k\":\"" RFC_HS256_K "\"}"
#define RFC_HS256_TOKEN "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_CLAIMS ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define RFC_RSA_N \
	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs" \
	"D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV" \
	"MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define RFC_RS256_KEY "{\"kty\":\"RSA\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}"
#define RFC_RS256_TOKEN "eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS "." \
	"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZ" \
	"cAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e" \
	"OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RFC_ES256_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define RFC_ES256_KEY "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC_ES256_X "\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define RFC_ES256_TOKEN "eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS \
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define RFC_EDDSA_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define RFC_EDDSA_KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" RFC_EDDSA_X "\"}"
#define RFC_EDDSA_TOKEN "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." \
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

static RolePath path_role;
static JwkSet *fixture_keys;

static JwkSet *
keys_of(const char *text)
{
	char		error[JWK_ERROR_SIZE];
	int			left_out;
	JwkSet	   *set = jwk_read(text, strlen(text), &left_out, error);

	if (!set)
		diag("%s", error);
	return set;
}

static JwtResult
check(const JwkSet *keys, const char *token, size_t len, const char *audience, const char *role_path, int64_t now)
{
	RolePath	path = path_role;
	size_t		at;
	JwtRules	rules = {.keys = keys,.audience = audience,.role_path = &path,.default_role = "anon"};
	JwtResult	result;

	if (role_path && role_path_parse(role_path, &path, &at))
		diag("%s is no path", role_path);
	jwt_check(token, len, &rules, now, &result);
	return result;
}

/* A token of these claims, signed well: role and claims of it, or the code and message of why not, joined by a space. */
static char *
outcome(const JwtResult *result)
{
	static char text[4096];

	snprintf(text, sizeof(text), "%s %s", result->status ? result->code : result->role, result->status ? result->message : result->claims);
	free(result->role);
	return text;
}

static void
is_outcome(const char *name, JwtResult result, const char *expected)
{
	const char *got = outcome(&result);

	if (!ok(strcmp(got, expected) == 0, "%s", name))
		diag("got \"%s\", expected \"%s\"", got, expected);
}

static JwtResult
signed_token(const char *header, const char *claims)
{
	static char token[3 * JWT_MAX_TOKEN];
	size_t		len = fixture_sign(token, header, claims);

	return check(fixture_keys, token, len, "", NULL, FIXTURE_NOW);
}

static void
claims(const char *name, const char *payload, const char *expected)
{
	is_outcome(name, signed_token(HS256, payload), expected);
}

static void
headers(const char *name, const char *header, const char *expected)
{
	is_outcome(name, signed_token(header, "{}"), expected);
}

static void
audience(const char *name, const char *payload, const char *expected)
{
	char		token[JWT_MAX_TOKEN];
	size_t		len = fixture_sign(token, HS256, payload);

	is_outcome(name, check(fixture_keys, token, len, "us", NULL, FIXTURE_NOW), expected);
}

static void
path(const char *role_path, const char *payload, const char *expected)
{
	char		token[JWT_MAX_TOKEN];
	size_t		len = fixture_sign(token, HS256, payload);
	JwtResult	result = check(fixture_keys, token, len, "", role_path, FIXTURE_NOW);
	const char *got = result.status ? result.code : result.role;

	if (!ok(strcmp(got, expected) == 0, "%s of %s", role_path, payload))
		diag("got \"%s\"", got);
	free(result.role);
}

static void
no_path(const char *role_path, size_t expected_at)
{
	RolePath	out;
	size_t		at;
	const char *error = role_path_parse(role_path, &out, &at);

	if (!ok(error && at == expected_at, "\"%s\" is no path", role_path))
		diag("%s at %zu", error ? error : "none", at);
}

static void
no_keys(const char *name, const char *text, const char *expected)
{
	char		error[JWK_ERROR_SIZE];
	int			left_out;
	JwkSet	   *set = jwk_read(text, strlen(text), &left_out, error);

	if (!ok(!set && strstr(error, expected), "%s", name))
		diag("%s", set ? "it was taken" : error);
	jwk_free(set);
}

static void
test_rfc(void)
{
	JwkSet	   *hs = keys_of(RFC_HS256_KEY);
	JwkSet	   *rs = keys_of(RFC_RS256_KEY);
	JwkSet	   *es = keys_of(RFC_ES256_KEY);
	JwkSet	   *ed = keys_of(RFC_EDDSA_KEY);
	const char *good = "anon {\"role\":\"anon\",\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

#define CHECK(keys, token, now) check(keys, token, strlen(token), "", NULL, now)
	is_outcome("RFC 7515, A.1, HS256", CHECK(hs, RFC_HS256_TOKEN, RFC_EXPIRES), good);
	is_outcome("RFC 7515, A.2, RS256", CHECK(rs, RFC_RS256_TOKEN, RFC_EXPIRES), good);
	is_outcome("RFC 7515, A.3, ES256", CHECK(es, RFC_ES256_TOKEN, RFC_EXPIRES), good);
	is_outcome("RFC 8037, A.4, EdDSA, whose payload are no claims", CHECK(ed, RFC_EDDSA_TOKEN, RFC_EXPIRES),
			   "PGRST303 Parsing claims failed: they are no JSON object");
	is_outcome("29 seconds late", CHECK(hs, RFC_HS256_TOKEN, RFC_EXPIRES + 29), good);
	is_outcome("30 seconds late", CHECK(hs, RFC_HS256_TOKEN, RFC_EXPIRES + 30), "PGRST303 JWT expired");
	is_outcome("a key of another algorithm", CHECK(es, RFC_RS256_TOKEN, RFC_EXPIRES), "PGRST301 Wrong or unsupported encoding algorithm");
	is_outcome("another key", CHECK(fixture_keys, RFC_HS256_TOKEN, RFC_EXPIRES), "PGRST301 None of the keys was able to decode the JWT");
	for (size_t i = 0; i < 4; i++)
	{
		static const char *const tokens[] = {RFC_HS256_TOKEN, RFC_RS256_TOKEN, RFC_ES256_TOKEN, RFC_EDDSA_TOKEN};
		JwkSet	   *const sets[] = {hs, rs, es, ed};
		size_t		len = strlen(tokens[i]);
		int			wrong = 0;
		char	   *copy = strdup(tokens[i]);

		for (size_t j = 0; j < len; j++)
		{
			JwtResult	result;

			copy[j] = copy[j] == 'A' ? 'B' : 'A';
			result = check(sets[i], copy, len, "", NULL, RFC_EXPIRES);
			wrong += result.status == 401 && strcmp(result.code, JWT_CODE_INVALID) == 0;
			free(result.role);
			copy[j] = tokens[i][j];
		}
		ok(wrong == (int) len, "any character of token %zu that is another spoils it", i + 1);
		free(copy);
	}
	jwk_free(hs);
	jwk_free(rs);
	jwk_free(es);
	jwk_free(ed);
}

static void
test_form(void)
{
	static const char *const forms[] = {"a", "a.b", "a.b.c.d", "..", "...", "."};
	char		token[3 * JWT_MAX_TOKEN];
	char		payload[JWT_MAX_TOKEN];
	size_t		len;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
	{
		JwtResult	result = check(fixture_keys, forms[i], strlen(forms[i]), "", NULL, FIXTURE_NOW);

		ok(result.status == 401 && strcmp(result.code, JWT_CODE_INVALID) == 0, "\"%s\" is no token", forms[i]);
	}
	is_outcome("nothing", check(fixture_keys, "", 0, "", NULL, FIXTURE_NOW), "PGRST301 Empty JWT is sent in Authorization header");
	memset(payload, ' ', sizeof(payload));
	memcpy(payload, "{}", 2);
	len = fixture_sign_bytes(token, HS256, payload, (JWT_MAX_TOKEN - 64) * 3 / 4 - 6);
	ok(len <= JWT_MAX_TOKEN && len > JWT_MAX_TOKEN - 8, "the longest token");
	is_outcome("is taken", check(fixture_keys, token, len, "", "[0]", FIXTURE_NOW), "PGRST303 Parsing claims failed: the role is no string of 1 to 255 bytes");
	len = fixture_sign_bytes(token, HS256, payload, (JWT_MAX_TOKEN - 64) * 3 / 4 + 6);
	is_outcome("a longer one", check(fixture_keys, token, len, "", NULL, FIXTURE_NOW), "PGRST301 JWT is longer than 8192 bytes");
	len = fixture_sign(token, HS256, "{\"role\":\"web\"}");
	is_outcome("a good one", check(fixture_keys, token, len, "", NULL, FIXTURE_NOW), "web {\"role\":\"web\"}");
	is_outcome("without its signature", check(fixture_keys, token, len - 43, "", NULL, FIXTURE_NOW), "PGRST301 None of the keys was able to decode the JWT");
	token[len++] = '=';
	is_outcome("with padding", check(fixture_keys, token, len, "", NULL, FIXTURE_NOW), "PGRST301 A part of the JWT is not base64url without padding");
	is_outcome("bytes that are not UTF-8", check(fixture_keys, token, fixture_sign_bytes(token, HS256, "{\"a\":\"\xC0\xAF\"}", 10), "", NULL, FIXTURE_NOW),
			   "PGRST303 Parsing claims failed: they are not UTF-8");
	is_outcome("a NUL", check(fixture_keys, token, fixture_sign_bytes(token, HS256, "{}\0", 3), "", NULL, FIXTURE_NOW),
			   "PGRST303 Parsing claims failed: they are not UTF-8");
}

static void
test_headers(void)
{
	headers("none", "{\"alg\":\"none\"}", "PGRST301 Wrong or unsupported encoding algorithm");
	headers("None", "{\"alg\":\"None\"}", "PGRST301 Wrong or unsupported encoding algorithm");
	headers("hs256", "{\"alg\":\"hs256\"}", "PGRST301 Wrong or unsupported encoding algorithm");
	headers("another algorithm of the same key", "{\"alg\":\"HS512\"}", "PGRST301 Wrong or unsupported encoding algorithm");
	headers("an algorithm of other keys", "{\"alg\":\"RS256\"}", "PGRST301 Wrong or unsupported encoding algorithm");
	headers("no algorithm", "{\"typ\":\"JWT\"}", "PGRST301 Wrong or unsupported encoding algorithm");
	headers("an algorithm that is a number", "{\"alg\":256}", "PGRST301 Wrong or unsupported encoding algorithm");
	headers("an algorithm in an array", "{\"alg\":[\"HS256\"]}", "PGRST301 Wrong or unsupported encoding algorithm");
	headers("an algorithm in escapes is the same one", "{\"\\u0061lg\":\"\\u0048S256\"}", "anon {\"role\":\"anon\"}");
	headers("two algorithms", "{\"alg\":\"HS256\",\"alg\":\"none\"}", "PGRST301 The header of the JWT has a member twice");
	headers("two, of which one in escapes", "{\"\\u0061lg\":\"HS256\",\"alg\":\"none\"}", "PGRST301 The header of the JWT has a member twice");
	headers("critical headers", "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "PGRST301 The JWT has critical headers, none of which is understood");
	headers("no critical headers, which is none either", "{\"alg\":\"HS256\",\"crit\":[]}", "PGRST301 The JWT has critical headers, none of which is understood");
	headers("a key that no key is", "{\"alg\":\"HS256\",\"kid\":\"1\"}", "PGRST301 No suitable key was found to decode the JWT");
	headers("a key ID that is a number", "{\"alg\":\"HS256\",\"kid\":1}", "PGRST301 The key ID of the JWT is no string");
	headers("a key in the token, which nobody looks at", "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"jku\":\"http://x\"}", "anon {\"role\":\"anon\"}");
	headers("an array", "[\"alg\"]", "PGRST301 The header of the JWT is no JSON object");
	headers("no JSON", "{\"alg\":\"HS256\"", "PGRST301 The header of the JWT is malformed JSON");
	headers("more than JSON", "{\"alg\":\"HS256\"}x", "PGRST301 The header of the JWT is malformed JSON");
}

static void
test_claims(void)
{
	char		many[16 * JWT_MAX_CLAIMS];
	size_t		n;

	claims("a role", "{\"role\":\"web\",\"sub\":\"7\"}", "web {\"role\":\"web\",\"sub\":\"7\"}");
	claims("a role behind others", "{ \"sub\" : \"7\", \"role\" : \"w\\u0065b\" }", "web { \"sub\" : \"7\", \"role\" : \"web\" }");
	claims("a role with a quote", "{\"role\":\"a\\\"b\\\\\"}", "a\"b\\ {\"role\":\"a\\\"b\\\\\"}");
	claims("no role", "{\"sub\":\"7\"}", "anon {\"role\":\"anon\",\"sub\":\"7\"}");
	claims("no claims", " { } ", "anon {\"role\":\"anon\" } ");
	claims("a role that is a number", "{\"role\":7}", "PGRST303 Parsing claims failed: the role is no string of 1 to 255 bytes");
	claims("a role that is null", "{\"role\":null}", "PGRST303 Parsing claims failed: the role is no string of 1 to 255 bytes");
	claims("a role that is an object", "{\"role\":{\"role\":\"web\"}}", "PGRST303 Parsing claims failed: the role is no string of 1 to 255 bytes");
	claims("an empty role", "{\"role\":\"\"}", "PGRST303 Parsing claims failed: the role is no string of 1 to 255 bytes");
	claims("a role with a NUL", "{\"role\":\"a\\u0000b\"}", "PGRST303 Parsing claims failed: the role is no string of 1 to 255 bytes");
	claims("two roles", "{\"role\":\"web\",\"role\":\"admin\"}", "PGRST303 Parsing claims failed: a claim is there twice");
	claims("two roles, of which one in escapes", "{\"role\":\"web\",\"r\\u006fle\":\"admin\"}", "PGRST303 Parsing claims failed: a claim is there twice");
	claims("two claims that mean nothing to us", "{\"org\":1,\"sub\":\"7\",\"org\":2}", "PGRST303 Parsing claims failed: a claim is there twice");
	claims("an array", "[{\"role\":\"web\"}]", "PGRST303 Parsing claims failed: they are no JSON object");
	claims("no JSON", "{\"role\":\"web\"", "PGRST303 Parsing claims failed: malformed JSON");
	claims("two objects", "{\"role\":\"web\"}{}", "PGRST303 Parsing claims failed: malformed JSON");
	claims("a number of 131,001 digits", "{\"n\":1e131000}", "PGRST303 Parsing claims failed: a number is too long");
	claims("not expired", "{\"exp\":1700000001}", "anon {\"role\":\"anon\",\"exp\":1700000001}");
	claims("expired within the skew", "{\"exp\":1699999971}", "anon {\"role\":\"anon\",\"exp\":1699999971}");
	claims("expired", "{\"exp\":1699999970}", "PGRST303 JWT expired");
	claims("expired, with a fraction", "{\"exp\":1699999970.9}", "PGRST303 JWT expired");
	claims("an exponent", "{\"exp\":1.8e9}", "anon {\"role\":\"anon\",\"exp\":1.8e9}");
	claims("expired long ago", "{\"exp\":-1}", "PGRST303 JWT expired");
	claims("exp in quotes", "{\"exp\":\"1800000000\"}", "PGRST303 Parsing claims failed: exp, nbf and iat are numbers of seconds");
	claims("exp null", "{\"exp\":null}", "PGRST303 Parsing claims failed: exp, nbf and iat are numbers of seconds");
	claims("exp in an object", "{\"exp\":{\"exp\":1800000000}}", "PGRST303 Parsing claims failed: exp, nbf and iat are numbers of seconds");
	claims("exp beyond all calendars", "{\"exp\":1e300}", "PGRST303 Parsing claims failed: exp, nbf and iat are numbers of seconds");
	claims("exp infinite", "{\"exp\":1e400}", "PGRST303 Parsing claims failed: a number is too long");
	claims("nbf within the skew", "{\"nbf\":1700000030}", "anon {\"role\":\"anon\",\"nbf\":1700000030}");
	claims("nbf", "{\"nbf\":1700000031}", "PGRST303 JWT not yet valid");
	claims("iat within the skew", "{\"iat\":1700000030}", "anon {\"role\":\"anon\",\"iat\":1700000030}");
	claims("iat", "{\"iat\":1700000031}", "PGRST303 JWT issued at future");
	claims("iat in an array", "{\"iat\":[1]}", "PGRST303 Parsing claims failed: exp, nbf and iat are numbers of seconds");

	audience("the audience", "{\"aud\":\"us\"}", "anon {\"role\":\"anon\",\"aud\":\"us\"}");
	audience("one of several", "{\"aud\":[\"them\",\"us\"]}", "anon {\"role\":\"anon\",\"aud\":[\"them\",\"us\"]}");
	audience("no audience", "{\"aud\":[]}", "anon {\"role\":\"anon\",\"aud\":[]}");
	audience("none at all", "{}", "anon {\"role\":\"anon\"}");
	audience("another audience", "{\"aud\":\"usa\"}", "PGRST303 JWT not in audience");
	audience("others", "{\"aud\":[\"them\",\"u\"]}", "PGRST303 JWT not in audience");
	audience("an audience that is a number", "{\"aud\":1}", "PGRST303 Parsing claims failed: aud is a string or an array of strings");
	audience("one of numbers", "{\"aud\":[\"us\",1]}", "PGRST303 Parsing claims failed: aud is a string or an array of strings");
	audience("one in an object", "{\"aud\":{\"us\":\"us\"}}", "PGRST303 Parsing claims failed: aud is a string or an array of strings");
	claims("an audience where there is no setting", "{\"aud\":\"them\"}", "anon {\"role\":\"anon\",\"aud\":\"them\"}");

	n = 0;
	for (int i = 0; i <= JWT_MAX_CLAIMS; i++)
		n += (size_t) sprintf(many + n, "%s\"c%d\":1", i == 0 ? "{" : ",", i);
	strcpy(many + n, "}");
	claims("257 claims", many, "PGRST303 Parsing claims failed: there are more than 256");
}

static void
test_paths(void)
{
	path(".role", "{\"role\":\"web\"}", "web");
	path(".app.role", "{\"app\":{\"role\":\"web\"},\"role\":\"other\"}", "web");
	path(".\"https://x/role\".key", "{\"https://x/role\":{\"key\":\"web\"}}", "web");
	path(".realm_access.roles[1]", "{\"realm_access\":{\"roles\":[\"a\",\"b\"]}}", "b");
	path(".r[2]", "{\"r\":[\"a\",\"b\"]}", "anon");
	path(".r[?(@ == \"b\")]", "{\"r\":[\"a\",\"b\"]}", "b");
	path(".r[?(@ != \"a\")]", "{\"r\":[\"a\",\"b\"]}", "b");
	path(".r[?(@ ^== \"web_\")]", "{\"r\":[\"a\",\"web_user\"]}", "web_user");
	path(".r[?(@ ==^ \"_user\")]", "{\"r\":[\"a\",7,\"web_user\"]}", "web_user");
	path(".r[?(@ *== \"b_u\")]", "{\"r\":[\"a\",\"web_user\"]}", "web_user");
	path(".r[?(@*==\"zz\")]", "{\"r\":[\"a\",\"web_user\"]}", "anon");
	path(".r[0][1:]", "{\"r\":[\"/web\"]}", "web");
	path(".r[0][1:-1]", "{\"r\":[\"/web/\"]}", "web");
	path(".r[:3]", "{\"r\":\"web/x\"}", "web");
	path(".r[:]", "{\"r\":\"web\"}", "web");
	path(".r[-3:]", "{\"r\":\"\xC3\xA9\xC3\xA9web\"}", "web");
	path(".r[1:3]", "{\"r\":\"\xC3\xA9\xC3\xA8\xE2\x82\xACx\"}", "\xC3\xA8\xE2\x82\xAC");
	path(".r[5:2]", "{\"r\":\"webuser\"}", JWT_CODE_CLAIMS);
	path(".r", "{\"r\":[\"web\"]}", JWT_CODE_CLAIMS);
	path(".a.b", "{\"a\":\"b\"}", JWT_CODE_CLAIMS);
	path(".a[0]", "{\"a\":{\"0\":\"b\"}}", JWT_CODE_CLAIMS);
	path(".a.b", "{\"a\":{\"b\":\"web\",\"b\":\"admin\"}}", JWT_CODE_CLAIMS);
	path(".a.b", "{\"a\":{\"b\":\"web\",\"\\u0062\":\"admin\"}}", JWT_CODE_CLAIMS);
	path(".a.b", "{\"a\":{}}", "anon");
	no_path("", 0);
	no_path("role", 0);
	no_path(".", 1);
	no_path(".a b", 2);
	no_path(".a[", 3);
	no_path(".a[-1]", 5);
	no_path(".a[9999999999]", 9);
	no_path(".a[?(@ ~ \"x\")]", 7);
	no_path(".a[?(@ == \"x)]", 11);
	no_path(".a[1:2].b", 9);
	no_path(".\"a", 2);
	no_path(".a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", 32);
}

static void
test_keys(void)
{
	char		text[2048];
	char		error[JWK_ERROR_SIZE];
	int			left_out;
	JwkSet	   *set;

	no_keys("a secret of 31 bytes", "a secret of thirty-one bytes ..", "takes 32 at least");
	no_keys("a secret of 32 for HS512", "{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\"}", "takes 64 at least");
	no_keys("padding", "{\"kty\":\"oct\",\"k\":\"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\"}", "not base64url");
	no_keys("RSA of 1024 bits", "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63ko\"}", "2048 to 8192 bits");
	no_keys("an exponent of 1", "{\"kty\":\"RSA\",\"e\":\"AQ\",\"n\":\"" RFC_RSA_N "\"}", "odd exponent");
	no_keys("a private key", "{\"kty\":\"RSA\",\"d\":\"AQ\",\"e\":\"AQAB\",\"n\":\"" RFC_RSA_N "\"}", "private");
	no_keys("a point beside the curve", "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC_ES256_X "\",\"y\":\"" RFC_ES256_X "\"}", "no point of P-256");
	no_keys("a point of small order", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", "no point of Ed25519");
	no_keys("a member twice", "{\"kty\":\"oct\",\"kty\":\"oct\",\"k\":\"" RFC_HS256_K "\"}", "twice");
	no_keys("no object", "{\"keys\":[7]}", "is no object");
	no_keys("no keys", "{\"keys\":[]}", "none of the keys");
	no_keys("keys that are none", "{\"keys\":{}}", "no array");
	no_keys("no JSON", "{\"kty\":", "at byte");
	no_keys("a private key in PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no public key in PEM");
	no_keys("nothing", "", "too short");
	no_keys("a set behind a byte order mark", "\xEF\xBB\xBF{\"keys\":[" RFC_ES256_KEY "]}", "byte order mark");
	no_keys("a list of keys without a set", "[" RFC_ES256_KEY "]", "is JSON, but no object");
	no_keys("a key within a string", " \"-----BEGIN PUBLIC KEY-----\"", "before its PEM");
	no_keys("a string", "\"a secret of thirty-two bytes ...\"", "is JSON, but no object");
	no_keys("PEM behind a comment", "# of the login service\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "before its PEM");
	no_keys("PEM in base64", "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KQUFBQQo=", "PEM in base64");
	no_keys("a web page", "\n<!DOCTYPE html><html><title>502 Bad Gateway</title></html>", "web page");
	no_keys("an address", "https://login.example/.well-known/jwks.json", "nothing is fetched");
	no_keys("a key of SSH", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI user@host", "SSH");
	set = keys_of("[a secret of thirty-three bytes ..");
	ok(set && jwk_is_secret(set), "a secret that begins as JSON does");
	jwk_free(set);
	no_keys("only keys of other algorithms", "{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RS512\"},{\"kty\":\"EC\",\"crv\":\"P-521\"}]}", "none of the keys");

	/* Of two keys with an id, and one for something else, a token may only have been signed with its own. */
	snprintf(text, sizeof(text), "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"old\",\"k\":\"%s\"},"
			 "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"\"},{\"kty\":\"oct\",\"use\":\"enc\",\"k\":\"AA\"},"
			 "{\"kty\":\"oct\",\"kid\":\"new\",\"k\":\"YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyAuLi4\"}]}\n", RFC_HS256_K);
	set = jwk_read(text, strlen(text), &left_out, error);
	if (!ok(set && jwk_count(set) == 2 && left_out == 2 && jwk_is_secret(set), "two keys, two left out"))
		diag("%s", error);
	if (set)
	{
		char		token[JWT_MAX_TOKEN];

#define SIGNED(header) check(set, token, fixture_sign(token, header, "{}"), "", NULL, FIXTURE_NOW)
		is_outcome("the second is tried, too", SIGNED(HS256), "anon {\"role\":\"anon\"}");
		is_outcome("its id", SIGNED("{\"alg\":\"HS256\",\"kid\":\"new\"}"), "anon {\"role\":\"anon\"}");
		is_outcome("the other's id", SIGNED("{\"alg\":\"HS256\",\"kid\":\"old\"}"), "PGRST301 None of the keys was able to decode the JWT");
		is_outcome("an id that begins alike", SIGNED("{\"alg\":\"HS256\",\"kid\":\"ne\"}"), "PGRST301 No suitable key was found to decode the JWT");
	}
	jwk_free(set);
	set = keys_of(RFC_ES256_KEY);
	ok(set && !jwk_is_secret(set), "a public key is no secret");
	jwk_free(set);
}

static void
test_cache(void)
{
	JwtCache   *cache = jwt_cache_new(1);
	char		token[JWT_MAX_TOKEN];
	size_t		len = 0;
	JwtResult	result;
	int			kept = 0;

	for (int i = 0; i < 20; i++)
	{
		char		payload[64];

		snprintf(payload, sizeof(payload), "{\"role\":\"web%d\"}", i);
		len = fixture_sign(token, HS256, payload);
		result = check(fixture_keys, token, len, "", NULL, FIXTURE_NOW);
		jwt_cache_add(cache, token, len, &result);
		free(result.role);
	}
	ok(jwt_cache_find(cache, token, len) && strcmp(jwt_cache_find(cache, token, len)->role, "web19") == 0 &&
	   strcmp(jwt_cache_find(cache, token, len)->claims, "{\"role\":\"web19\"}") == 0, "the last token is kept");
	for (int i = 0; i < 20; i++)
	{
		char		payload[64];

		snprintf(payload, sizeof(payload), "{\"role\":\"web%d\"}", i);
		kept += jwt_cache_find(cache, token, fixture_sign(token, HS256, payload)) != NULL;
	}
	ok(kept == 8, "a full set keeps eight");
	token[len - 1]++;
	ok(!jwt_cache_find(cache, token, len), "another signature is another token");
	jwt_cache_free(cache);
}

int
main(void)
{
	size_t		at;

	if (sodium_init() < 0 || role_path_parse(".role", &path_role, &at))
		return 1;
	fixture_keys = keys_of(FIXTURE_SECRET);
	test_rfc();
	test_form();
	test_headers();
	test_claims();
	test_paths();
	test_keys();
	test_cache();
	jwk_free(fixture_keys);
	return tap_done();
}
