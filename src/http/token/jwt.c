/*
 * jwt.c
 *	  A JSON Web Token: RFC 7515 and 7519, with the advice of RFC 8725.
 *
 * All memory of a check is one block, made when the lengths are known: the decoded
 * pieces, and room for one string at a time.  What it costs is bounded by
 * JWT_MAX_TOKEN, JWT_MAX_CLAIMS and JWK_MAX_KEYS.
 */
#include "http/token/jwt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "http/json.h"

#define CLAIM_IS_NO_TIME "Parsing claims failed: exp, nbf and iat are numbers of seconds"

/* Characters of base64url of the longest signature */
#define MAX_SIGNATURE (JWK_MAX_SIGNATURE * 4 / 3 + 1)

/* Times beyond it are no seconds of any calendar, and would not add up. */
#define MAX_TIME 1e15

typedef struct Piece
{
	const char *s;
	size_t		len;
} Piece;

/* A token while it is checked. */
typedef struct Check
{
	const JwtRules *rules;
	JwtResult  *result;
	Piece		header;			/* in base64url */
	Piece		payload;
	Piece		signature;
	Piece		signed_part;	/* header and payload with the dot between them */
	char	   *claims;			/* the payload, decoded */
	size_t		claims_len;
	char	   *scratch;		/* one string of header or payload; JWT_MAX_TOKEN bytes */
	char	   *names;			/* of claims, each with its length; JWT_MAX_TOKEN bytes */
	JsonSpan	role;			/* the claim "role" in claims; len 0: none */
	bool		any;			/* claims holds a member */
} Check;

static bool
refuse(Check *self, const char *code, const char *message)
{
	self->result->status = 401;
	self->result->code = code;
	self->result->message = message;
	return false;
}

static bool
refuse_claim(Check *self, const char *message)
{
	return refuse(self, JWT_CODE_CLAIMS, message);
}

/* ---------------------------------------------------------------------------
 * Pieces of JSON
 */

static bool
is_kind(const char *data, JsonSpan span, JsonKind kind)
{
	JsonReader	json;

	json_begin(&json, data + span.pos, span.len);
	return json_peek(&json) == kind;
}

/* A string of JSON as text in scratch; its length, -1 where it is none. */
static long
text_of(Check *self, const char *data, JsonSpan span)
{
	JsonReader	json;

	if (span.len == 0 || data[span.pos] != '"')
		return -1;
	json_begin(&json, data, span.pos + span.len);
	return json_string(&json, span, self->scratch);
}

static bool
is_utf8(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *) s;
	const unsigned char *end = p + len;

	while (p < end)
	{
		unsigned char c = *p++;
		int			n = c < 0x80 ? 0 : c >= 0xC2 && c <= 0xDF ? 1 : (c & 0xF0) == 0xE0 ? 2 : c >= 0xF0 && c <= 0xF4 ? 3 : -1;

		if (n < 0 || end - p < n)
			return false;
		/* no longer form than needed, no surrogates, nothing beyond U+10FFFF */
		if ((c == 0xE0 && p[0] < 0xA0) || (c == 0xED && p[0] > 0x9F) || (c == 0xF0 && p[0] < 0x90) || (c == 0xF4 && p[0] > 0x8F))
			return false;
		for (; n > 0; n--)
		{
			if ((*p++ & 0xC0) != 0x80)
				return false;
		}
	}
	return true;
}

/* ---------------------------------------------------------------------------
 * Header and signature
 */

static bool
split(Check *self, const char *token, size_t len)
{
	const char *dot = memchr(token, '.', len);
	const char *second = dot ? memchr(dot + 1, '.', (size_t) (token + len - dot - 1)) : NULL;

	if (len == 0)
		return refuse(self, JWT_CODE_INVALID, "Empty JWT is sent in Authorization header");
	if (len > JWT_MAX_TOKEN)
		return refuse(self, JWT_CODE_INVALID, "JWT is longer than 8192 bytes");
	if (!second || memchr(second + 1, '.', (size_t) (token + len - second - 1)))
		return refuse(self, JWT_CODE_INVALID, "Expected 3 parts in JWT");
	self->header = (Piece) {token, (size_t) (dot - token)};
	self->payload = (Piece) {dot + 1, (size_t) (second - dot - 1)};
	self->signature = (Piece) {second + 1, (size_t) (token + len - second - 1)};
	self->signed_part = (Piece) {token, (size_t) (second - token)};
	if (self->header.len > JWT_MAX_HEADER)
		return refuse(self, JWT_CODE_INVALID, "The header of the JWT is too long");
	if (self->signature.len > MAX_SIGNATURE)
		return refuse(self, JWT_CODE_INVALID, "The signature of the JWT is too long");
	return true;
}

/* The members of the header that count; twice the same, or crit, is refused. */
static bool
find_header_members(Check *self, JsonReader *json, JsonSpan *alg, JsonSpan *kid)
{
	JsonSpan	name,
				value;
	bool		first = true;

	alg->len = kid->len = 0;
	if (json_peek(json) != JSON_OBJECT)
		return refuse(self, JWT_CODE_INVALID, "The header of the JWT is no JSON object");
	json_enter(json);
	while (json_member(json, &first, &name) && json_value(json, &value))
	{
		long		n = text_of(self, json->data, name);
		JsonSpan   *found;

		if (n < 0)
			return refuse(self, JWT_CODE_INVALID, "The header of the JWT has a malformed name");
		/* RFC 7515, 4.1.11: who does not understand what is critical refuses it, and we understand none. */
		if (strcmp(self->scratch, "crit") == 0)
			return refuse(self, JWT_CODE_INVALID, "The JWT has critical headers, none of which is understood");
		found = strcmp(self->scratch, "alg") == 0 ? alg : strcmp(self->scratch, "kid") == 0 ? kid : NULL;
		if (!found)
			continue;
		if (found->len > 0)
			return refuse(self, JWT_CODE_INVALID, "The header of the JWT has a member twice");
		*found = value;
	}
	if (json->error || !json_end(json))
		return refuse(self, JWT_CODE_INVALID, "The header of the JWT is malformed JSON");
	return true;
}

static bool
check_signature(Check *self)
{
	unsigned char header[BASE64_BYTES(JWT_MAX_HEADER)];
	unsigned char signature[BASE64_BYTES(MAX_SIGNATURE)];
	long		header_len = base64url_decode(self->header.s, self->header.len, header);
	long		signature_len = base64url_decode(self->signature.s, self->signature.len, signature);
	JsonReader	json;
	JsonSpan	alg,
				kid;
	long		n;
	JwtAlg		number;

	if (header_len < 0 || signature_len < 0)
		return refuse(self, JWT_CODE_INVALID, "A part of the JWT is not base64url without padding");
	json_begin(&json, (char *) header, (size_t) header_len);
	if (!find_header_members(self, &json, &alg, &kid))
		return false;
	n = text_of(self, json.data, alg);
	number = n < 0 ? JWT_NALGS : jwt_alg(self->scratch, (size_t) n);
	if (number == JWT_NALGS)
		return refuse(self, JWT_CODE_INVALID, "Wrong or unsupported encoding algorithm");
	n = text_of(self, json.data, kid);
	if (kid.len > 0 && n < 0)
		return refuse(self, JWT_CODE_INVALID, "The key ID of the JWT is no string");
	switch (jwk_verify(self->rules->keys, number, kid.len > 0 ? self->scratch : NULL, n < 0 ? 0 : (size_t) n,
					   self->signed_part.s, self->signed_part.len, signature, (size_t) signature_len))
	{
		case JWK_GOOD:
			return true;
		case JWK_NO_KEY:
			return refuse(self, JWT_CODE_INVALID, "No suitable key was found to decode the JWT");
		case JWK_OTHER_ALG:
			return refuse(self, JWT_CODE_INVALID, "Wrong or unsupported encoding algorithm");
		case JWK_BAD:
			break;
	}
	return refuse(self, JWT_CODE_INVALID, "None of the keys was able to decode the JWT");
}

/* ---------------------------------------------------------------------------
 * Claims
 */

/* A time of RFC 7519, 2, down to whole seconds. */
static bool
read_time(Check *self, JsonSpan span, int64_t *seconds)
{
	char		number[64];
	double		value;

	if (!is_kind(self->claims, span, JSON_NUMBER) || span.len >= sizeof(number))
		return refuse_claim(self, CLAIM_IS_NO_TIME);
	memcpy(number, self->claims + span.pos, span.len);
	number[span.len] = '\0';
	value = strtod(number, NULL);
	if (!(fabs(value) <= MAX_TIME))
		return refuse_claim(self, CLAIM_IS_NO_TIME);
	*seconds = (int64_t) floor(value);
	return true;
}

/* PostgREST: a token that names no audience is for all; one that does must name ours. */
static bool
check_audience(Check *self, JsonSpan span)
{
	const char *ours = self->rules->audience;
	JsonReader	json;
	JsonSpan	value;
	bool		first = true,
				found = false;
	int			n = 0;

	if (ours[0] == '\0' || is_kind(self->claims, span, JSON_NULL))
		return true;
	if (is_kind(self->claims, span, JSON_STRING))
	{
		if (text_of(self, self->claims, span) < 0 || strcmp(self->scratch, ours) != 0)
			return refuse_claim(self, "JWT not in audience");
		return true;
	}
	if (!is_kind(self->claims, span, JSON_ARRAY))
		return refuse_claim(self, "Parsing claims failed: aud is a string or an array of strings");
	json_begin(&json, self->claims, span.pos + span.len);
	json.pos = span.pos;
	json_enter(&json);
	while (json_element(&json, &first) && json_value(&json, &value))
	{
		if (text_of(self, self->claims, value) < 0)
			return refuse_claim(self, "Parsing claims failed: aud is a string or an array of strings");
		found = found || strcmp(self->scratch, ours) == 0;
		n++;
	}
	return found || n == 0 || refuse_claim(self, "JWT not in audience");
}

static bool
take_claim(Check *self, JsonSpan value)
{
	JwtTimes   *times = &self->result->times;
	const char *name = self->scratch;

	if (strcmp(name, "exp") == 0)
		return read_time(self, value, &times->exp);
	if (strcmp(name, "nbf") == 0)
		return read_time(self, value, &times->nbf);
	if (strcmp(name, "iat") == 0)
		return read_time(self, value, &times->iat);
	if (strcmp(name, "aud") == 0)
		return check_audience(self, value);
	if (strcmp(name, "role") == 0)
		self->role = value;
	return true;
}

/*
 * Go through the claims.  RFC 7519, 4 lets a name be there once: who reads them after
 * us, by json or jsonb in a policy, would take another one of the two than we did.
 */
static bool
read_claims(Check *self)
{
	JsonReader	json;
	JsonSpan	name,
				value;
	bool		first = true;
	const char *known[JWT_MAX_CLAIMS];
	size_t		known_len[JWT_MAX_CLAIMS];
	int			n = 0;
	char	   *room = self->names;

	json_begin(&json, self->claims, self->claims_len);
	if (json_peek(&json) != JSON_OBJECT)
		return refuse_claim(self, "Parsing claims failed: they are no JSON object");
	json_enter(&json);
	while (json_member(&json, &first, &name) && json_value(&json, &value))
	{
		long		len = text_of(self, self->claims, name);

		if (len < 0)
			return refuse_claim(self, "Parsing claims failed: a name is malformed");
		for (int i = 0; i < n; i++)
		{
			if (known_len[i] == (size_t) len && memcmp(known[i], self->scratch, (size_t) len) == 0)
				return refuse_claim(self, "Parsing claims failed: a claim is there twice");
		}
		if (n == JWT_MAX_CLAIMS)
			return refuse_claim(self, "Parsing claims failed: there are more than 256");
		if (json.long_number.len > 0)
			return refuse_claim(self, "Parsing claims failed: a number is too long");
		memcpy(room, self->scratch, (size_t) len);
		known[n] = room;
		known_len[n++] = (size_t) len;
		room += len;
		if (!take_claim(self, value))
			return false;
	}
	if (json.error || !json_end(&json))
		return refuse_claim(self, "Parsing claims failed: malformed JSON");
	self->any = n > 0;
	return true;
}

/* ---------------------------------------------------------------------------
 * Role
 */

typedef enum Found
{
	FOUND,
	ABSENT,
	WRONG						/* something of another type stands there, or two things */
} Found;

static Found
find_member(Check *self, const RolePathStep *step, JsonReader *json, JsonSpan *at)
{
	JsonSpan	name,
				value;
	bool		first = true;
	Found		found = ABSENT;

	if (json_peek(json) != JSON_OBJECT)
		return WRONG;
	json_enter(json);
	while (json_member(json, &first, &name) && json_value(json, &value))
	{
		long		len = text_of(self, json->data, name);

		if (len < 0)
			return WRONG;
		if ((size_t) len != step->text_len || memcmp(self->scratch, step->text, (size_t) len) != 0)
			continue;
		if (found == FOUND)
			return WRONG;
		found = FOUND;
		*at = value;
	}
	return found;
}

static Found
find_element(Check *self, const RolePathStep *step, JsonReader *json, JsonSpan *at)
{
	bool		first = true;
	int			i = 0;

	if (json_peek(json) != JSON_ARRAY)
		return WRONG;
	json_enter(json);
	while (json_element(json, &first) && json_value(json, at))
	{
		long		len;

		if (step->kind == ROLE_PATH_INDEX_OF)
		{
			if (i++ == step->from)
				return FOUND;
			continue;
		}
		len = text_of(self, json->data, *at);
		if (len >= 0 && role_path_matches(step, self->scratch, (size_t) len))
			return FOUND;
	}
	return ABSENT;
}

/* What the path leads to, a string, into scratch; its length. */
static Found
find_role(Check *self, size_t *len)
{
	const RolePath *path = self->rules->role_path;
	JsonSpan	at = {0, self->claims_len};
	Found		found = FOUND;
	long		n;
	int			i = 0;

	for (; i < path->n && path->step[i].kind != ROLE_PATH_SLICE && found == FOUND; i++)
	{
		JsonReader	json;

		json_begin(&json, self->claims, at.pos + at.len);
		json.pos = at.pos;
		found = path->step[i].kind == ROLE_PATH_KEY ? find_member(self, &path->step[i], &json, &at) :
			find_element(self, &path->step[i], &json, &at);
	}
	if (found != FOUND)
		return found;
	n = text_of(self, self->claims, at);
	if (n < 0)
		return WRONG;
	*len = (size_t) n;
	for (; i < path->n; i++)
	{
		size_t		from;

		*len = role_path_slice(&path->step[i], self->scratch, *len, &from);
		memmove(self->scratch, self->scratch + from, *len);
		self->scratch[*len] = '\0';
	}
	return *len > 0 && *len <= JWT_MAX_ROLE ? FOUND : WRONG;
}

static char *
put(char *out, const char *s, size_t len)
{
	memcpy(out, s, len);
	return out + len;
}

static char *
put_quoted(char *out, const char *s, size_t len)
{
	*out++ = '"';
	for (size_t i = 0; i < len; i++)
	{
		char		buffer[JSON_ESCAPE_SIZE];
		const char *escape = json_escape((unsigned char) s[i], buffer);

		out = escape ? put(out, escape, strlen(escape)) : put(out, &s[i], 1);
	}
	*out++ = '"';
	return out;
}

/* The role, and the claims with it in the place of their own. */
static bool
write_result(Check *self, const char *role, size_t len)
{
	JwtResult  *result = self->result;
	char	   *out = malloc(len + 1 + self->claims_len + 6 * len + 16);
	const char *begin = strchr(self->claims, '{') + 1;

	if (!out)
	{
		result->status = 503;
		result->message = "out of memory";
		return false;
	}
	result->role = out;
	result->role_len = len;
	out = put(out, role, len);
	*out++ = '\0';
	result->claims = out;
	if (self->role.len > 0)
	{
		out = put(out, self->claims, self->role.pos);
		out = put_quoted(out, role, len);
		begin = self->claims + self->role.pos + self->role.len;
	}
	else
	{
		out = put(out, "{\"role\":", 8);
		out = put_quoted(out, role, len);
		if (self->any)
			*out++ = ',';
	}
	out = put(out, begin, (size_t) (self->claims + self->claims_len - begin));
	*out = '\0';
	result->claims_len = (size_t) (out - result->claims);
	return true;
}

static bool
check_role(Check *self)
{
	const char *role = self->rules->default_role;
	size_t		len = strlen(role);

	switch (find_role(self, &len))
	{
		case FOUND:
			self->result->names_role = true;
			role = self->scratch;
			break;
		case ABSENT:
			if (len == 0)
				return refuse(self, JWT_CODE_NONE, "Anonymous access is disabled");
			break;
		case WRONG:
			return refuse_claim(self, "Parsing claims failed: the role is no string of 1 to 255 bytes");
	}
	return write_result(self, role, len);
}

/* ---------------------------------------------------------------------------
 * The whole
 */

bool
jwt_check_times(const JwtTimes *times, int64_t now, JwtResult *result)
{
	const char *message = NULL;

	if (times->exp != INT64_MAX && now >= times->exp + JWT_SKEW_S)
		message = "JWT expired";
	else if (times->nbf != INT64_MIN && now < times->nbf - JWT_SKEW_S)
		message = "JWT not yet valid";
	else if (times->iat != INT64_MIN && now < times->iat - JWT_SKEW_S)
		message = "JWT issued at future";
	if (!message)
		return true;
	result->status = 401;
	result->code = JWT_CODE_CLAIMS;
	result->message = message;
	return false;
}

static bool
decode_payload(Check *self)
{
	long		n = base64url_decode(self->payload.s, self->payload.len, (unsigned char *) self->claims);

	if (n < 0)
		return refuse(self, JWT_CODE_INVALID, "A part of the JWT is not base64url without padding");
	self->claims_len = (size_t) n;
	self->claims[n] = '\0';
	if (!is_utf8(self->claims, self->claims_len) || memchr(self->claims, '\0', self->claims_len))
		return refuse_claim(self, "Parsing claims failed: they are not UTF-8");
	return true;
}

void
jwt_check(const char *token, size_t len, const JwtRules *rules, int64_t now, JwtResult *result)
{
	Check		self = {.rules = rules,.result = result};
	char	   *block;

	*result = (JwtResult) {.times = {INT64_MAX, INT64_MIN, INT64_MIN}};
	if (!split(&self, token, len))
		return;
	block = malloc(2 * JWT_MAX_TOKEN + BASE64_BYTES(self.payload.len) + 1);
	if (!block)
	{
		result->status = 503;
		result->message = "out of memory";
		return;
	}
	self.scratch = block;
	self.names = block + JWT_MAX_TOKEN;
	self.claims = block + 2 * JWT_MAX_TOKEN;
	if (check_signature(&self) && decode_payload(&self) && read_claims(&self) &&
		jwt_check_times(&result->times, now, result))
		check_role(&self);
	free(block);
}
