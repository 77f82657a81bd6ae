/*
 * rest_surface.c
 *	  Paths of PostgREST's API, the methods of each, and the form of its errors.
 */
#include "http/rest/rest_surface.h"

#define M(method)		(1U << HTTP_##method)
#define READ			(M(GET) | M(HEAD))

static const RouteDef routes[] = {
	[REST_TABLE] = {"v1", true, NULL, READ | M(POST) | M(PATCH) | M(PUT) | M(DELETE),
	"GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS", NULL, true},
	[REST_TABLE_QUERY] = {"v1", true, "query", M(POST), "POST, OPTIONS", NULL, false},
};

/* PostgREST's code of an error that the front found; NULL where it has none. */
static const char *
code_of_status(int status)
{
	switch (status)
	{
		case 404:
			return "PGRST125";
		case 405:
			return "PGRST117";
		case 415:
			return "PGRST107";
	}
	return NULL;
}

static char *
error_body(const HttpError *error, size_t *len)
{
	HttpError	coded = *error;

	if (!coded.code)
		coded.code = code_of_status(coded.status);
	return answer_error(&coded, len);
}

const HttpSurface rest_surface = {
	.id = SURFACE_REST,
	.port = PORT_API,
	.prefix = "/rest",
	.routes = routes,
	.nroutes = sizeof(routes) / sizeof(routes[0]),
	.allow = "GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS",
	.paths = "Paths are /rest/v1/TABLE and /rest/v1/TABLE/query.",
	.error_type = ANSWER_JSON,
	.error_body = error_body
};
