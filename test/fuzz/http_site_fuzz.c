/*
 * http_site_fuzz.c
 *	  Which pages may call us.
 *
 * The input is cut at line feeds: the two settings, the address that is listened
 * on, a method, the target's authority, and then Host, Origin, Sec-Fetch-Site and
 * Sec-Fetch-Mode.  An empty line is a header that is not there.
 */
#include "fuzz.h"

#include <netinet/in.h>
#include <strings.h>

#include "http/site.h"

#define PIECES 9

/* A piece without a NUL behind it, which is not to be relied on in what a client sent. */
static char *
tight_copy(const char *s, size_t len)
{
	char	   *copy = fuzz_alloc(len);

	memcpy(copy, s, len);
	return copy;
}

static bool
is_literal_or(const char *host, size_t len, const char *listen)
{
	bool		literal = true;

	if (len > 0 && host[0] == '[')
		return true;
	for (size_t i = 0; i < len; i++)
		literal = literal && ((host[i] >= '0' && host[i] <= '9') || host[i] == '.' || host[i] == ':');
	return literal || (len >= strlen(listen) && strncasecmp(host, listen, strlen(listen)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"Host", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"};
	static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"};
	static const struct sockaddr_in local = {.sin_family = AF_INET};
	const char *p = (const char *) data;
	const char *end = p + size;
	char	   *piece[PIECES];
	size_t		len[PIECES];
	GuardRequest request = {.version = "HTTP/1.1"};
	GuardResult guard = {0};
	SiteRules	rules;
	SiteResult	result;
	bool		writes;

	for (int i = 0; i < PIECES; i++)
	{
		const char *stop = p < end ? memchr(p, '\n', (size_t) (end - p)) : end;

		if (!stop)
			stop = end;
		len[i] = (size_t) (stop - p);
		/* The settings are C strings of ours. */
		piece[i] = i < 3 ? fuzz_alloc(len[i] + 1) : tight_copy(p, len[i]);
		if (i < 3)
		{
			memcpy(piece[i], p, len[i]);
			piece[i][len[i]] = '\0';
			len[i] = strlen(piece[i]);
		}
		p = stop < end ? stop + 1 : end;
	}
	rules = (SiteRules) {.hosts = piece[0],.origins = piece[1],.listen = piece[2],.local = (const struct sockaddr *) (const void *) &local};
	guard.method = guard_method(methods[(len[3] > 0 ? (unsigned char) piece[3][0] : 0) % 6]);
	if (len[4] > 0)
	{
		guard.authority = piece[4];
		guard.authority_len = len[4];
	}
	for (int i = 0; i < 4; i++)
	{
		if (len[5 + i] > 0)
			request.headers[request.nheaders++] = (GuardHeader) {names[i], strlen(names[i]), piece[5 + i], len[5 + i]};
	}

	site_check(&request, &guard, &rules, &result);
	writes = guard.method == HTTP_POST || guard.method == HTTP_DELETE || guard.method == HTTP_PUT;
	REQUIRE(result.status == 0 || result.status == 400 || result.status == 403 || result.status == 421);
	REQUIRE(memchr(result.message, '\0', sizeof(result.message)) != NULL);
	REQUIRE((result.status == 0) == (result.message[0] == '\0') && (result.status == 0) == (result.hint == NULL));
	if (result.allow_origin)
		REQUIRE(piece[1][0] != '\0' && (result.allow_origin == piece[6] || strchr(piece[1], '*') != NULL));
	if (result.status == 0 && piece[0][0] == '\0' && len[5] > 0)
		REQUIRE(is_literal_or(piece[5], len[5], "localhost") || is_literal_or(piece[5], len[5], piece[2]));
	if (result.status == 0 && piece[1][0] == '\0' && writes)
	{
		/* A page that wrote is one of a name that is ours too. */
		if (len[6] > 0)
			REQUIRE(len[6] > 7 && strncasecmp(piece[6], "http", 4) == 0 && (len[5] > 0 || len[4] > 0));
		if (len[7] > 0)
			REQUIRE((len[7] == 4 && strncasecmp(piece[7], "none", 4) == 0) || (len[7] == 11 && strncasecmp(piece[7], "same-origin", 11) == 0));
	}
	for (int i = 0; i < PIECES; i++)
		free(piece[i]);
	return 0;
}
