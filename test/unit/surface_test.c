/*
 * surface_test.c
 *	  Which surface of HTTP a port and a path lead to: the longest prefix wins, and a
 *	  prefix ends where a segment of the path does.
 */
#include <string.h>

#include "http/surface.h"
#include "tap.h"

/* Paths of a case may hold what stands behind them: only len bytes are the path. */
typedef struct Case
{
	SurfacePort port;
	const char *path;
	int			len;			/* -1: all of it */
	const char *prefix;			/* of the surface; NULL: none */
} Case;

static const HttpSurface api = {.port = PORT_API, .prefix = ""};
static const HttpSurface rest = {.port = PORT_API, .prefix = "/rest"};
static const HttpSurface rest_v1 = {.port = PORT_API, .prefix = "/rest/v1"};
static const HttpSurface admin_rest = {.port = PORT_ADMIN, .prefix = "/rest/v1/rows"};

static const Case cases[] = {
	{PORT_API, "/", -1, ""},
	{PORT_API, "", -1, ""},
	{PORT_API, "/vectors/rest", -1, ""},
	{PORT_API, "/rest", -1, "/rest"},
	{PORT_API, "/rest/", -1, "/rest"},
	{PORT_API, "/rest/v2", -1, "/rest"},
	{PORT_API, "/rest/v", -1, "/rest"},
	{PORT_API, "/rest/v10", -1, "/rest"},
	{PORT_API, "/rest/v1", -1, "/rest/v1"},
	{PORT_API, "/rest/v1/", -1, "/rest/v1"},
	{PORT_API, "/rest/v1/rows", -1, "/rest/v1"},
	{PORT_API, "/rest/v1/rest", -1, "/rest/v1"},
	{PORT_API, "/restful", -1, ""},
	{PORT_API, "/rest%2Fv1", -1, ""},
	{PORT_API, "/Rest", -1, ""},
	{PORT_API, "rest", -1, ""},
	{PORT_API, "/rest/v1", 5, "/rest"},
	{PORT_API, "/rest/v1", 4, ""},
	{PORT_ADMIN, "/rest/v1/rows", -1, "/rest/v1/rows"},
	{PORT_ADMIN, "/rest/v1/rows/7", -1, "/rest/v1/rows"},
	{PORT_ADMIN, "/rest/v1", -1, NULL},
	{PORT_ADMIN, "", -1, NULL},
};

static void
test_choice(void)
{
	/* the rule is not one of order: each surface comes first once, and last once */
	static const HttpSurface *const orders[][4] = {
		{&api, &rest, &rest_v1, &admin_rest},
		{&rest_v1, &admin_rest, &rest, &api},
		{&admin_rest, &rest_v1, &api, &rest},
		{&rest, &api, &admin_rest, &rest_v1},
	};

	for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
	{
		const Case *k = &cases[c];
		size_t		len = k->len < 0 ? strlen(k->path) : (size_t) k->len;
		int			right = 0;

		for (int i = 0; i < 4; i++)
		{
			const HttpSurface *found = surface_choose(orders[i], 4, k->port, k->path, len);

			right += k->prefix == NULL ? found == NULL :
				found != NULL && found->port == k->port && strcmp(found->prefix, k->prefix) == 0;
		}
		ok(right == 4, "\"%.*s\" of the %s port leads to %s%s%s in any order (%d of 4)", (int) len, k->path,
		   k->port == PORT_API ? "API's" : "admin", k->prefix == NULL ? "nothing" : "\"",
		   k->prefix == NULL ? "" : k->prefix, k->prefix == NULL ? "" : "\"", right);
	}
}

/* The surfaces that there are. */
static void
test_table(void)
{
	int			in_place = 0;
	int			well_formed = 0;
	int			alone = 0;

	for (int i = 0; i < NSURFACES; i++)
	{
		const HttpSurface *surface = http_surfaces[i];
		const char *prefix = surface->prefix;
		size_t		len = strlen(prefix);
		bool		twice = false;

		in_place += surface->id == (SurfaceId) i;
		well_formed += len == 0 || (len > 1 && prefix[0] == '/' && prefix[len - 1] != '/');
		for (int k = 0; k < i; k++)
			twice |= http_surfaces[k]->port == surface->port && strcmp(http_surfaces[k]->prefix, prefix) == 0;
		alone += !twice && surface_find(surface->port, prefix, len) == surface;
	}
	ok(in_place == NSURFACES, "each surface stands at its number");
	ok(well_formed == NSURFACES, "prefixes are whole segments");
	ok(alone == NSURFACES, "no two of a port have one prefix, and each is found by its own");
	for (SurfacePort port = PORT_API; port <= PORT_ADMIN; port++)
		ok(surface_default(port) != NULL && surface_default(port)->port == port && surface_default(port)->prefix[0] == '\0',
		   "port %d has a surface for all other paths", (int) port);
}

int
main(void)
{
	test_choice();
	test_table();
	return tap_done();
}
