/*
 * bearer.c
 *	  Who a request is: the token in its header Authorization, verified with the keys
 *	  of the settings.
 *
 * Keys are read when the front starts and at each reload.  What cannot be read leaves
 * the keys of before in force, and a front that has none of before answers tokens with
 * 500: no mistake in a key makes a token count for nothing.  Tokens go no further than
 * here: an executor gets the role and the claims.
 */
#include "http/front.h"

#include <ctype.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "guc.h"
#include "http/token/jwt_cache.h"

typedef enum BearerState
{
	BEARER_OFF,					/* no setting gives a key: tokens are not looked at */
	BEARER_ON,
	BEARER_BROKEN				/* a setting does, and it cannot be read */
} BearerState;

/*
 * Tokens of an address that did not count, within a second.  An address has its place by
 * a hash with a salt, shared with few others; the one that failed last has it, but for
 * one that may not fail any more in this second.
 */
typedef struct Failures
{
	uint64		address;
	int64		second;
	int			count;
} Failures;

#define FAILURE_PLACES	1024

struct Bearer
{
	BearerState state;
	JwkSet	   *keys;
	JwtCache   *cache;			/* NULL: none */
	RolePath	role_path;		/* within the setting's text, so it is parsed anew with it */
	char	   *role_path_text;
	uint64		salt;
	Failures	failures[FAILURE_PLACES];
};

/* ---------------------------------------------------------------------------
 * Keys
 */

/*
 * The content of the file of keys, malloc'ed; NULL after *error is set.  *shared tells
 * that others than the server's user may read it.
 */
static char *
read_file(const char *path, size_t *len, bool *shared, const char **error)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char	   *text = NULL;
	ssize_t		n = 0;

	*error = NULL;
	if (fd < 0 || fstat(fd, &st) != 0)
		*error = strerror(errno);
	else if (!S_ISREG(st.st_mode) || st.st_size > JWK_MAX_TEXT)
		*error = "it is no file of 64 kB at most";
	else if (!(text = malloc(JWK_MAX_TEXT + 1)) || (n = read(fd, text, JWK_MAX_TEXT + 1)) < 0)
		*error = strerror(errno);
	else
		/* as a key of ssl_key_file: a file of root's may be the group's to read */
		*shared = (st.st_mode & (st.st_uid == 0 ? 0027 : 0077)) != 0;
	if (fd >= 0)
		close(fd);
	if (*error)
	{
		free(text);
		return NULL;
	}
	*len = (size_t) n;
	return text;
}

/* The keys of the settings; NULL after a line in the log. */
static JwkSet *
load_keys(void)
{
	bool		from_file = VecdbHttpJwtKeyFile[0] != '\0';
	bool		shared = false;
	const char *failure = NULL;
	char		error[JWK_ERROR_SIZE];
	int			left_out = 0;
	size_t		len = strlen(VecdbHttpJwtKey);
	char	   *text = from_file ? read_file(VecdbHttpJwtKeyFile, &len, &shared, &failure) : NULL;
	JwkSet	   *keys = NULL;

	if (!failure)
	{
		keys = jwk_read(from_file ? text : VecdbHttpJwtKey, len, &left_out, error);
		failure = keys ? NULL : error;
	}
	if (keys && shared && jwk_is_secret(keys))
	{
		jwk_free(keys);
		keys = NULL;
		failure = "it holds a secret, and others than the server's user may read it";
	}
	if (text)
		sodium_memzero(text, JWK_MAX_TEXT + 1);
	free(text);
	if (!keys)
		ereport(LOG, (errmsg("HTTP cannot read the keys of %s: %s", from_file ? "vecdb.http_jwt_key_file" : "vecdb.http_jwt_key", failure),
					  errhint("They are a secret of at least 32 bytes, a JSON Web Key or a set of them, or a public key in PEM.")));
	else
		ereport(LOG, (errmsg_plural("HTTP verifies tokens with %d key", "HTTP verifies tokens with %d keys", jwk_count(keys), jwk_count(keys)),
					  left_out > 0 ? errdetail("%d others are for algorithms or uses that it does not have.", left_out) : 0));
	return keys;
}

void
BearerReload(void)
{
	struct Bearer *self = front.bearer;
	size_t		at;
	JwkSet	   *keys;

	/* What the cache holds was verified with the keys and settings of before. */
	jwt_cache_free(self->cache);
	self->cache = NULL;
	free(self->role_path_text);
	self->role_path_text = strdup(VecdbHttpJwtRoleClaim);
	if (VecdbHttpJwtKeyFile[0] == '\0' && VecdbHttpJwtKey[0] == '\0')
	{
		if (self->state != BEARER_OFF)
			ereport(LOG, (errmsg("HTTP looks at no tokens any more")));
		jwk_free(self->keys);
		self->keys = NULL;
		self->state = BEARER_OFF;
		return;
	}
	keys = load_keys();
	if (keys)
	{
		jwk_free(self->keys);
		self->keys = keys;
	}
	else if (self->keys)
		ereport(LOG, (errmsg("HTTP goes on with the keys of before")));
	/* The setting's check has parsed the path. */
	self->state = self->keys && self->role_path_text && !role_path_parse(self->role_path_text, &self->role_path, &at) ?
		BEARER_ON : BEARER_BROKEN;
	if (self->state == BEARER_ON && VecdbHttpJwtCacheEntries > 0)
		self->cache = jwt_cache_new(VecdbHttpJwtCacheEntries);
}

void
BearerInit(void)
{
	if (sodium_init() < 0)
		ereport(FATAL, (errmsg("could not initialize libsodium")));
	front.bearer = palloc0(sizeof(struct Bearer));
	randombytes_buf(&front.bearer->salt, sizeof(front.bearer->salt));
	BearerReload();
}

bool
BearerIsOn(void)
{
	return front.bearer->state == BEARER_ON;
}

/* ---------------------------------------------------------------------------
 * A request's token
 */

/* May the name of a scheme go on with it?  RFC 9110, 5.6.2. */
static bool
is_token_char(char c)
{
	return isalnum((unsigned char) c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* The token of "Bearer TOKEN"; false: the header is of another scheme, which is not ours to look at. */
static bool
bearer_token(const GuardHeader *header, const char **token, size_t *len)
{
	static const char scheme[] = "Bearer";
	size_t		n = sizeof(scheme) - 1;

	if (header->value_len < n || pg_strncasecmp(header->value, scheme, n) != 0 ||
		(header->value_len > n && is_token_char(header->value[n])))
		return false;
	while (n < header->value_len && header->value[n] == ' ')
		n++;
	*token = header->value + n;
	*len = header->value_len - n;
	return true;
}

/*
 * supabase-js sends its key as apikey and, where nobody has logged in, as the bearer
 * too.  Such a key that is no token says who the application is, not who its user is.
 */
static bool
is_application_key(const GuardRequest *request, const char *token, size_t len)
{
	const GuardHeader *key = guard_header(request, "apikey");

	return len > 0 && !memchr(token, '.', len) && key && key->value_len == len && memcmp(key->value, token, len) == 0;
}

static Failures *
failures_of(uint64 address)
{
	struct Bearer *self = front.bearer;

	return &self->failures[hash_bytes_extended((const unsigned char *) &address, sizeof(address), self->salt) % FAILURE_PLACES];
}

static bool
has_failed_too_often(uint64 address)
{
	const Failures *place = failures_of(address);

	return VecdbHttpJwtMaxFailures > 0 && place->address == address && place->second == front.now_ms / 1000 &&
		place->count >= VecdbHttpJwtMaxFailures;
}

static void
count_failure(uint64 address)
{
	Failures   *place = failures_of(address);
	int64		second = front.now_ms / 1000;

	if (place->second != second || (place->address != address && place->count < VecdbHttpJwtMaxFailures))
		*place = (Failures) {.address = address,.second = second};
	if (place->address == address)
		place->count++;
}

/* Role and claims of a token into the request; false when it is refused. */
static bool
identify(Request *r, const char *token, size_t len, JwtResult *result)
{
	struct Bearer *self = front.bearer;
	const JwtRules rules = {
		.keys = self->keys,
		.audience = VecdbHttpJwtAud,
		.role_path = &self->role_path,
		.default_role = VecdbHttpAnonRole
	};
	int64		now = (int64) time(NULL);
	const JwtResult *kept = self->cache ? jwt_cache_find(self->cache, token, len) : NULL;

	if (kept)
	{
		char	   *copy;

		*result = (JwtResult) {0};
		if (!jwt_check_times(&kept->times, now, result))
			return false;
		*result = *kept;
		copy = malloc(kept->role_len + 1 + kept->claims_len + 1);
		if (!copy)
		{
			result->status = 503;
			return false;
		}
		memcpy(copy, kept->role, kept->role_len + 1 + kept->claims_len + 1);
		result->role = copy;
		result->claims = copy + kept->role_len + 1;
	}
	else if (has_failed_too_often(r->client->network->address))
	{
		*result = (JwtResult) {.status = 429};
		return false;
	}
	else
	{
		jwt_check(token, len, &rules, now, result);
		if (result->status == 401)
			count_failure(r->client->network->address);
		if (result->status != 0)
			return false;
		if (self->cache)
			jwt_cache_add(self->cache, token, len, result);
	}
	r->role = result->role;
	r->names_role = result->names_role;
	r->claims = result->claims;
	r->claims_len = result->claims_len;
	return true;
}

static void
refuse(Request *r, int status, const char *code, const char *message, const char *hint)
{
	front.counters.rejected[METRICS_REJECT_TOKEN]++;
	ReplyError(r, status, code, message, hint);
}

/* How many headers there are of a name. */
static int
count_headers(const GuardRequest *request, const char *name)
{
	int			n = 0;

	for (size_t i = 0; i < request->nheaders; i++)
		n += request->headers[i].name_len == strlen(name) && pg_strncasecmp(request->headers[i].name, name, strlen(name)) == 0;
	return n;
}

bool
BearerHeaders(Request *r, const GuardRequest *request)
{
	const GuardHeader *header = guard_header(request, "Authorization");
	const char *token;
	size_t		len;
	JwtResult	result;

	if (front.bearer->state == BEARER_OFF)
		return true;
	if (count_headers(request, "Authorization") > 1)
		refuse(r, 401, JWT_CODE_INVALID, "More than one Authorization header", NULL);
	else if (!header || !bearer_token(header, &token, &len) || is_application_key(request, token, len))
	{
		if (VecdbHttpAnonRole[0] != '\0')
			return true;
		refuse(r, 401, JWT_CODE_NONE, "Anonymous access is disabled", "Send the header \"Authorization: Bearer TOKEN\".");
	}
	else if (front.bearer->state == BEARER_BROKEN)
		refuse(r, 500, "PGRST300", "The keys that tokens are verified with cannot be read", "The server's log says why.");
	else if (identify(r, token, len, &result))
		return true;
	else if (result.status == 503)
		ReplyNoMemory(r);
	else if (result.status == 429)
		refuse(r, 429, NULL, "too many tokens from this address did not count", "Wait a second. The limit is the setting vecdb.http_jwt_max_failures.");
	else
		refuse(r, result.status, result.code, result.message, NULL);
	return false;
}
