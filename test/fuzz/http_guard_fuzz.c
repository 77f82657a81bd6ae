/*
 * http_guard_fuzz.c
 *	  The checks of a request's head.
 *
 * The input is cut at line feeds: method, version, target, then a header's name
 * and value in turn.  What passes must be what any reader takes it for.
 */
#include "fuzz.h"

#include <strings.h>

#include "http/guard.h"

#define MAX_PIECES (2 * GUARD_MAX_HEADERS + 16)

static bool
named(const GuardHeader *h, const char *name)
{
	return h->name_len == strlen(name) && strncasecmp(h->name, name, h->name_len) == 0;
}

static char *
copy_piece(const char *bytes, size_t len)
{
	char	   *copy = fuzz_alloc(len + 1);

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

static void
check_passed(const GuardRequest *request, const char *uri, size_t uri_len, const GuardLimits *limits, const GuardResult *result)
{
	int			lengths = 0,
				codings = 0,
				hosts = 0;

	REQUIRE(!request->stray_bytes);
	REQUIRE(request->nheaders <= GUARD_MAX_HEADERS);
	REQUIRE(uri_len <= limits->max_uri);
	REQUIRE(memchr(uri, '\0', uri_len) == NULL && memchr(uri, ' ', uri_len) == NULL);
	REQUIRE(result->target >= uri && result->target + result->target_len == uri + uri_len && result->target_len > 0);
	REQUIRE(result->target[0] == '/' || (result->target[0] == '*' && result->method == HTTP_OPTIONS));
	for (size_t i = 0; i < request->nheaders; i++)
	{
		const GuardHeader *h = &request->headers[i];

		REQUIRE(h->name_len > 0);
		for (size_t j = 0; j < h->name_len; j++)
			REQUIRE(h->name[j] > ' ' && h->name[j] < 0x7F && h->name[j] != ':');
		for (size_t j = 0; j < h->value_len; j++)
			REQUIRE((unsigned char) h->value[j] >= ' ' || h->value[j] == '\t');
		if (named(h, "Content-Length"))
		{
			uint64_t	n = 0;

			REQUIRE(++lengths == 1 && h->value_len > 0);
			for (size_t j = 0; j < h->value_len; j++)
			{
				REQUIRE(h->value[j] >= '0' && h->value[j] <= '9');
				if (n <= limits->max_body)
					n = n * 10 + (uint64_t) (h->value[j] - '0');
			}
			REQUIRE(n <= limits->max_body && n == result->body_len && result->has_body == (n > 0));
		}
		else if (named(h, "Transfer-Encoding"))
		{
			REQUIRE(++codings == 1);
			REQUIRE(h->value_len == 7 && strncasecmp(h->value, "chunked", 7) == 0);
			REQUIRE(strcmp(request->version, "HTTP/1.1") == 0);
			REQUIRE(result->chunked && result->has_body);
		}
		else if (named(h, "Host"))
			REQUIRE(++hosts == 1);
	}
	REQUIRE(lengths + codings <= 1);
	REQUIRE(hosts == 1 || strcmp(request->version, "HTTP/1.0") == 0);
	REQUIRE(result->chunked == (codings == 1));
	REQUIRE(result->has_body || lengths == 0 || result->body_len == 0);
	if (result->method != HTTP_OTHER)
		REQUIRE(strcmp(guard_method_name(result->method), request->method) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const GuardLimits limits = {.max_uri = 40, .max_headers = 200, .max_body = 5000};
	const char *end = (const char *) data + size;
	char	   *pieces[MAX_PIECES];
	size_t		lens[MAX_PIECES];
	int			n = 0;
	static GuardRequest request;
	GuardResult result;

	for (const char *p = (const char *) data; p < end && n < MAX_PIECES;)
	{
		const char *stop = memchr(p, '\n', (size_t) (end - p));

		if (!stop)
			stop = end;
		lens[n] = (size_t) (stop - p);
		pieces[n] = copy_piece(p, lens[n]);
		n++;
		p = stop + (stop < end);
	}
	if (n >= 3)
	{
		memset(&request, 0, sizeof(request));
		request.method = pieces[0];
		request.version = pieces[1];
		request.stray_bytes = lens[0] > 30;
		for (int i = 3; i + 1 < n; i += 2)
		{
			if (request.nheaders < GUARD_MAX_HEADERS)
				request.headers[request.nheaders] = (GuardHeader) {pieces[i], lens[i], pieces[i + 1], lens[i + 1]};
			request.nheaders++;
		}
		guard_check(&request, pieces[2], lens[2], &limits, &result);
		if (result.status == 0)
			check_passed(&request, pieces[2], lens[2], &limits, &result);
		else
		{
			REQUIRE(result.message != NULL);
			REQUIRE(result.status == 400 || result.status == 413 || result.status == 414 || result.status == 431 || result.status == 505);
		}
		(void) guard_header(&request, "content-type");
		for (size_t i = 0; i < request.nheaders && i < GUARD_MAX_HEADERS; i++)
		{
			const GuardHeader *h = &request.headers[i];
			GuardHeader tight = *h;
			char	   *value = fuzz_alloc(h->value_len);

			/* Without a NUL behind it, which is not to be relied on. */
			memcpy(value, h->value, h->value_len);
			tight.value = value;
			REQUIRE(guard_is_json(&tight) == guard_is_json(h));
			REQUIRE(!guard_is_json(h) || h->value_len > 0);
			if (guard_is_json(h) && h->value_len > 0)
				REQUIRE(strncasecmp(h->value, "application/", 12) == 0);
			free(value);
		}
	}
	for (int i = 0; i < n; i++)
		free(pieces[i]);
	return 0;
}
