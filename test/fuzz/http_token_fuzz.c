/*
 * http_token_fuzz.c
 *	  Tokens, and the path to the role in them.
 *
 * The input is cut at its first two line feeds: a path, the header and the claims of a
 * token, which is then signed, so that what is behind the signature is reached.  The
 * input as a whole is a token, too, that nobody has signed.
 */
#include "fuzz.h"

#include "../unit/jwt_fixture.h"
#include "http/json.h"

#define LONGEST 2000

/* The one member "role" of an object of JSON, as text; its length. */
static long
role_of(const char *claims, size_t len, char *out)
{
	JsonReader	json;
	JsonSpan	name,
				value;
	bool		first = true;
	long		n = -1;
	int			roles = 0;

	json_begin(&json, claims, len);
	REQUIRE(json_peek(&json) == JSON_OBJECT);
	json_enter(&json);
	while (json_member(&json, &first, &name) && json_value(&json, &value))
	{
		REQUIRE(json_string(&json, name, out) >= 0);
		if (strcmp(out, "role") != 0)
			continue;
		roles++;
		n = json_string(&json, value, out);
		if (roles == 1)
			break;
	}
	REQUIRE(!json.error && roles == 1);
	return n;
}

static void
check_result(const JwtResult *result, const RolePath *path)
{
	char		role[8 * JWT_MAX_TOKEN];

	if (result->status != 0)
	{
		REQUIRE(result->status == 401 && !result->role && result->code && strlen(result->code) == 8);
		REQUIRE(!strpbrk(result->message, "\"\\\r\n"));
		return;
	}
	REQUIRE(result->role_len > 0 && result->role_len <= JWT_MAX_ROLE && strlen(result->role) == result->role_len);
	REQUIRE(strlen(result->claims) == result->claims_len);
	REQUIRE(role_of(result->claims, result->claims_len, role) == (long) result->role_len);
	REQUIRE(strcmp(role, result->role) == 0);
	REQUIRE(result->names_role || strcmp(result->role, "anon") == 0);
	REQUIRE(path->n > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static JwkSet *keys;
	char		token[3 * LONGEST + 100];
	char		error[JWK_ERROR_SIZE];
	int			left_out;
	char	   *copy;
	char	   *piece[3] = {"", "", ""};
	size_t		payload_len = 0;
	size_t		at;
	RolePath	path;
	JwtRules	rules = {.audience = "us",.role_path = &path,.default_role = "anon"};
	JwtResult	result;
	char	   *p;

	if (!keys)
	{
		REQUIRE(sodium_init() >= 0);
		keys = jwk_read(FIXTURE_SECRET, strlen(FIXTURE_SECRET), &left_out, error);
		REQUIRE(keys);
	}
	if (size > LONGEST)
		return 0;
	rules.keys = keys;
	REQUIRE(!role_path_parse(".role", &path, &at));
	copy = fuzz_alloc(size);
	memcpy(copy, data, size);
	jwt_check(copy, size, &rules, FIXTURE_NOW, &result);
	REQUIRE(result.status == 401);
	free(copy);

	copy = fuzz_alloc(size + 1);
	memcpy(copy, data, size);
	copy[size] = '\0';
	p = copy;
	for (int i = 0; i < 3 && p; i++)
	{
		char	   *stop = i < 2 ? memchr(p, '\n', (size_t) (copy + size - p)) : NULL;

		piece[i] = p;
		payload_len = (size_t) (copy + size - p);
		if (stop)
			*stop = '\0';
		p = stop ? stop + 1 : NULL;
	}
	if (piece[2] != copy + size && piece[2][0] == '\0')
		payload_len = 0;
	if (role_path_parse(piece[0], &path, &at))
	{
		REQUIRE(at <= strlen(piece[0]));
		REQUIRE(!role_path_parse(".role", &path, &at));
	}
	REQUIRE(path.n >= 1 && path.n <= ROLE_PATH_STEPS);
	jwt_check(token, fixture_sign_bytes(token, piece[1], piece[2], piece[2][0] ? payload_len : 0), &rules, FIXTURE_NOW, &result);
	check_result(&result, &path);
	free(result.role);
	free(copy);
	return 0;
}
