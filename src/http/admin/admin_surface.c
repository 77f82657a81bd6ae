/*
 * admin_surface.c
 *	  Paths of the admin port: is the front alive, is the database there, what was
 *	  counted.
 */
#include "http/admin/admin_surface.h"

#define READ			((1U << HTTP_GET) | (1U << HTTP_HEAD))

static const RouteDef routes[] = {
	[ADMIN_LIVE] = {"live", false, NULL, READ, "GET, HEAD", "OK\n", false},
	[ADMIN_READY] = {"ready", false, NULL, READ, "GET, HEAD", NULL, false},
	[ADMIN_METRICS] = {"metrics", false, NULL, READ, "GET, HEAD", NULL, false},
};

const HttpSurface admin_surface = {
	.id = SURFACE_ADMIN,
	.port = PORT_ADMIN,
	.prefix = "",
	.routes = routes,
	.nroutes = sizeof(routes) / sizeof(routes[0]),
	.allow = "GET, HEAD",
	.paths = "The admin port has /live, /ready and /metrics.",
	.error_type = ANSWER_JSON,
	.error_body = answer_error
};
