/*
 * native_surface.c
 *	  Paths of the native API, the methods of each, and the form of its errors.
 */
#include "http/native/native_surface.h"

#define M(method)		(1U << HTTP_##method)
#define READ			(M(GET) | M(HEAD))

static const RouteDef routes[] = {
	[NATIVE_HEALTH] = {"health", false, NULL, READ, "GET, HEAD, OPTIONS", "OK", false},
	[NATIVE_STATS] = {"stats", false, NULL, READ, "GET, HEAD, OPTIONS", NULL, false},
	[NATIVE_VECTORS] = {"vectors", false, NULL, M(POST), "POST, OPTIONS", NULL, false},
	[NATIVE_VECTOR] = {"vectors", true, NULL, READ | M(PATCH) | M(DELETE), "GET, HEAD, PATCH, DELETE, OPTIONS", NULL, false},
	[NATIVE_SEARCH] = {"search", false, NULL, M(POST), "POST, OPTIONS", NULL, false},
	[NATIVE_COLLECTIONS] = {"collections", false, NULL, READ | M(POST), "GET, HEAD, POST, OPTIONS", NULL, false},
	[NATIVE_COLLECTION] = {"collections", true, NULL, READ | M(DELETE), "GET, HEAD, DELETE, OPTIONS", NULL, false},
	[NATIVE_COLLECTION_SEARCH] = {"collections", true, "search", M(POST), "POST, OPTIONS", NULL, false},
	[NATIVE_COLLECTION_VECTORS] = {"collections", true, "vectors", READ, "GET, HEAD, OPTIONS", NULL, false},
	[NATIVE_COLLECTION_COUNT] = {"collections", true, "count", M(POST), "POST, OPTIONS", NULL, false},
	[NATIVE_COLLECTION_GET] = {"collections", true, "get", M(POST), "POST, OPTIONS", NULL, false},
	[NATIVE_COLLECTION_DELETE] = {"collections", true, "delete", M(POST), "POST, OPTIONS", NULL, false},
};

const HttpSurface native_surface = {
	.id = SURFACE_NATIVE,
	.port = PORT_API,
	.prefix = "",
	.routes = routes,
	.nroutes = sizeof(routes) / sizeof(routes[0]),
	.allow = "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
	.paths = "Paths are /health, /stats, /vectors, /vectors/ID, /search, /collections, /collections/NAME and /search, /vectors, /count, /get and /delete behind that.",
	.error_type = ANSWER_JSON,
	.error_body = answer_error
};
