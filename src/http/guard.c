/*
 * guard.c
 *	  The checks that a request passes before anything else happens with it.
 *
 * Names and values follow RFC 9110, framing follows RFC 9112.  The checks are
 * stricter than either where a proxy before us could read a request otherwise.
 */
#include "http/guard.h"

#include <string.h>
#include <strings.h>

static const char *const method_names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

/* tchar of RFC 9110, 5.6.2 */
static bool
is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
			return false;
	}
	return len > 0;
}

static bool
name_is(const GuardHeader *h, const char *name)
{
	return h->name_len == strlen(name) && strncasecmp(h->name, name, h->name_len) == 0;
}

static void
refuse(GuardResult *result, int status, const char *message, const char *hint)
{
	result->status = status;
	result->message = message;
	result->hint = hint;
}

HttpMethod
guard_method(const char *name)
{
	for (int i = 0; i < HTTP_OTHER; i++)
	{
		if (strcmp(name, method_names[i]) == 0)
			return (HttpMethod) i;
	}
	return HTTP_OTHER;
}

const char *
guard_method_name(HttpMethod method)
{
	return method < HTTP_OTHER ? method_names[method] : "other";
}

const GuardHeader *
guard_header(const GuardRequest *request, const char *name)
{
	for (size_t i = 0; i < request->nheaders && i < GUARD_MAX_HEADERS; i++)
	{
		if (name_is(&request->headers[i], name))
			return &request->headers[i];
	}
	return NULL;
}

/* The length of a Content-Type without what stands behind a semicolon; 0: there is none. */
static size_t
bare_type(const GuardHeader *type)
{
	const char *semicolon;
	size_t		len;

	if (!type || type->value_len == 0)
		return 0;
	semicolon = memchr(type->value, ';', type->value_len);
	len = semicolon ? (size_t) (semicolon - type->value) : type->value_len;
	while (len > 0 && (type->value[len - 1] == ' ' || type->value[len - 1] == '\t'))
		len--;
	return len;
}

/* The charset of a Content-Type is UTF-8, or there is none. */
static bool
is_utf8(const GuardHeader *type)
{
	const char *end = type->value + type->value_len;

	for (const char *p = memchr(type->value, ';', type->value_len); p && p + 8 < end; p++)
	{
		if (strncasecmp(p, "charset=", 8) == 0)
		{
			p += 8;
			if (*p == '"')
				p++;
			return end - p >= 5 && strncasecmp(p, "utf-8", 5) == 0 &&
				(end - p == 5 || p[5] == '"' || p[5] == ' ' || p[5] == ';');
		}
	}
	return true;
}

bool
guard_is_json(const GuardHeader *type)
{
	size_t		len = bare_type(type);

	if (len == 0)
		return false;
	if (!(len == 16 && strncasecmp(type->value, "application/json", 16) == 0) &&
		!(len > 17 && strncasecmp(type->value, "application/", 12) == 0 && strncasecmp(type->value + len - 5, "+json", 5) == 0))
		return false;
	return is_utf8(type);
}

bool
guard_is_csv(const GuardHeader *type)
{
	return bare_type(type) == 8 && strncasecmp(type->value, "text/csv", 8) == 0 && is_utf8(type);
}

/* Digits only, saturated; a sign, a space or a list is no length. */
static bool
read_length(const GuardHeader *h, uint64_t *length)
{
	uint64_t	n = 0;

	for (size_t i = 0; i < h->value_len; i++)
	{
		if (h->value[i] < '0' || h->value[i] > '9')
			return false;
		n = n > (UINT64_MAX - 9) / 10 ? UINT64_MAX : n * 10 + (uint64_t) (h->value[i] - '0');
	}
	*length = n;
	return h->value_len > 0;
}

static bool
check_uri(const char *uri, size_t len, const GuardLimits *limits, GuardResult *result)
{
	if (len > limits->max_uri)
	{
		refuse(result, 414, "path and query are too long", "The limit is the setting vecdb.http_max_uri.");
		return false;
	}
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) uri[i];

		if (c <= 0x20 || c >= 0x7F)
		{
			refuse(result, 400, "the request target holds a character that must be percent-encoded", NULL);
			return false;
		}
	}

	/* RFC 9112, 3.2.2: a server accepts the form that proxies get, too. */
	result->target = uri;
	result->target_len = len;
	if (len >= 7 && strncasecmp(uri, "http://", 7) == 0)
	{
		const char *path = memchr(uri + 7, '/', len - 7);

		result->authority = uri + 7;
		result->authority_len = path ? (size_t) (path - uri) - 7 : len - 7;
		if (path)
		{
			result->target = path;
			result->target_len = len - (size_t) (path - uri);
		}
	}
	if (result->target_len == 0 ||
		(result->target[0] != '/' &&
		 !(result->method == HTTP_OPTIONS && result->target_len == 1 && result->target[0] == '*')))
	{
		refuse(result, 400, "the request target must begin with \"/\"", NULL);
		return false;
	}
	return true;
}

static bool
check_headers(const GuardRequest *request, const GuardLimits *limits, GuardResult *result)
{
	size_t		bytes = 0;

	if (request->stray_bytes)
	{
		refuse(result, 400, "the request line or the headers hold a NUL or a line that does not end in CR LF", NULL);
		return false;
	}
	if (request->nheaders > GUARD_MAX_HEADERS)
	{
		refuse(result, 431, "too many headers", "The limit is 100.");
		return false;
	}
	for (size_t i = 0; i < request->nheaders; i++)
	{
		const GuardHeader *h = &request->headers[i];

		bytes += h->name_len + h->value_len + 4;
		if (!is_token(h->name, h->name_len))
		{
			refuse(result, 400, "a header's name is not a token", NULL);
			return false;
		}
		for (size_t j = 0; j < h->value_len; j++)
		{
			unsigned char c = (unsigned char) h->value[j];

			if ((c < 0x20 && c != '\t') || c == 0x7F)
			{
				refuse(result, 400, "a header's value holds a control character", NULL);
				return false;
			}
		}
	}
	if (bytes > limits->max_headers)
	{
		refuse(result, 431, "the headers are too large", "The limit is the setting vecdb.http_max_headers.");
		return false;
	}
	return true;
}

static bool
check_framing(const GuardRequest *request, const GuardLimits *limits, GuardResult *result)
{
	const GuardHeader *length = NULL;
	const GuardHeader *coding = NULL;
	const GuardHeader *host = NULL;
	const GuardHeader *origin = NULL;
	const GuardHeader *type = NULL;

	for (size_t i = 0; i < request->nheaders; i++)
	{
		const GuardHeader *h = &request->headers[i];
		const GuardHeader **known = NULL;
		const char *twice = NULL;

		if (name_is(h, "Content-Length"))
			known = &length, twice = "Content-Length is given twice";
		else if (name_is(h, "Transfer-Encoding"))
			known = &coding, twice = "Transfer-Encoding is given twice";
		else if (name_is(h, "Host"))
			known = &host, twice = "Host is given twice";
		else if (name_is(h, "Origin"))
			known = &origin, twice = "Origin is given twice";
		else if (name_is(h, "Content-Type"))
			known = &type, twice = "Content-Type is given twice";
		if (!known)
			continue;
		if (*known)
		{
			refuse(result, 400, twice, NULL);
			return false;
		}
		*known = h;
	}
	if (!host && strcmp(request->version, "HTTP/1.1") == 0)
	{
		refuse(result, 400, "Host is missing", NULL);
		return false;
	}
	if (host)
	{
		for (size_t i = 0; i < host->value_len; i++)
		{
			unsigned char c = (unsigned char) host->value[i];

			if (c <= 0x20 || c >= 0x7F || strchr("/\\?#@,<>\"{}|^`", c))
			{
				refuse(result, 400, "Host is not a host name", NULL);
				return false;
			}
		}
	}
	if (length && coding)
	{
		refuse(result, 400, "both Content-Length and Transfer-Encoding are given", NULL);
		return false;
	}
	if (coding)
	{
		if (coding->value_len != 7 || strncasecmp(coding->value, "chunked", 7) != 0 ||
			strcmp(request->version, "HTTP/1.1") != 0)
		{
			refuse(result, 400, "Transfer-Encoding is not just \"chunked\"", NULL);
			return false;
		}
		result->has_body = result->chunked = true;
	}
	if (length)
	{
		if (!read_length(length, &result->body_len))
		{
			refuse(result, 400, "Content-Length is not a number", NULL);
			return false;
		}
		if (result->body_len > limits->max_body)
		{
			refuse(result, 413, "the body is too large", "The limit is the setting vecdb.http_max_body.");
			return false;
		}
		result->has_body = result->body_len > 0;
	}
	return true;
}

void
guard_check(const GuardRequest *request, const char *uri, size_t uri_len,
			const GuardLimits *limits, GuardResult *result)
{
	memset(result, 0, sizeof(*result));
	result->method = guard_method(request->method);

	if (!is_token(request->method, strlen(request->method)))
		refuse(result, 400, "the method is not a token", NULL);
	else if (strcmp(request->version, "HTTP/1.1") != 0 && strcmp(request->version, "HTTP/1.0") != 0)
		refuse(result, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here", NULL);
	else if (check_headers(request, limits, result) && check_framing(request, limits, result))
		check_uri(uri, uri_len, limits, result);
}
