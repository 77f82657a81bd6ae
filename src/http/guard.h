/*
 * guard.h
 *	  The checks that a request passes before anything else happens with it.
 *
 * Plain C: nothing of PostgreSQL, nothing of the HTTP library.  A proxy before us
 * reads the same bytes as we do and must find the same request in them; a request
 * that can be read in two ways is refused.
 */
#ifndef VECDB_HTTP_GUARD_H
#define VECDB_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_MAX_HEADERS	100

typedef struct GuardHeader
{
	const char *name;
	size_t		name_len;
	const char *value;
	size_t		value_len;
} GuardHeader;

/* Not owned: the strings live as long as the caller's. */
typedef struct GuardRequest
{
	const char *method;
	const char *version;
	bool		stray_bytes;	/* headers hold bytes that belong to none */
	size_t		nheaders;		/* may exceed what headers has room for */
	GuardHeader headers[GUARD_MAX_HEADERS];
} GuardRequest;

typedef struct GuardLimits
{
	size_t		max_uri;		/* bytes */
	size_t		max_headers;	/* bytes of names and values, 4 more for each */
	uint64_t	max_body;		/* bytes */
} GuardLimits;

typedef enum HttpMethod
{
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_PATCH,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_OTHER
} HttpMethod;

/* What the guard found out about a request that passed, or why it did not. */
typedef struct GuardResult
{
	int			status;			/* 0: passed */
	const char *message;		/* static, when it did not pass */
	const char *hint;			/* static or NULL */
	HttpMethod	method;
	const char *target;			/* path and query: within the URI */
	size_t		target_len;
	const char *authority;		/* of a target with "http://", within the URI; NULL: none */
	size_t		authority_len;
	bool		has_body;
	bool		chunked;
	uint64_t	body_len;		/* when has_body and not chunked */
} GuardResult;

extern void guard_check(const GuardRequest *request, const char *uri, size_t uri_len,
						const GuardLimits *limits, GuardResult *result);

/* A header's value by its name, in any case; NULL when there is none. */
extern const GuardHeader *guard_header(const GuardRequest *request, const char *name);

/*
 * Whether a Content-Type, NULL where there is none, is that of JSON in UTF-8.  A
 * body without one is not taken for JSON: a browser sends such a body for any page
 * without asking us first.
 */
extern bool guard_is_json(const GuardHeader *type);

/* The same of CSV, which a browser asks us for, too. */
extern bool guard_is_csv(const GuardHeader *type);

extern HttpMethod guard_method(const char *name);
extern const char *guard_method_name(HttpMethod method);

#endif							/* VECDB_HTTP_GUARD_H */
