/*
 * route.h
 *	  Which surface and which of its routes a path leads to, the name in the path,
 *	  the query behind it.
 *
 * Each surface has a table of routes in a folder of its own, and a prefix of all
 * its paths; one has none, and gets what no other has.  The front finds the route,
 * once for a request, and tells the executor.
 *
 * Plain C: nothing of PostgreSQL.
 */
#ifndef VECDB_HTTP_ROUTE_H
#define VECDB_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/guard.h"

/* Executors have the surfaces in the same order, see executor.c. */
typedef enum SurfaceId
{
	SURFACE_NATIVE,
	NSURFACES
} SurfaceId;

/* Paths of one to three segments: /first, /first/:param, /first/:param/last. */
typedef struct RouteDef
{
	int			id;				/* of its surface, from 1 */
	const char *first;
	bool		has_param;
	const char *last;			/* NULL: none */
	unsigned	methods;		/* set of 1 << HttpMethod */
	const char *allow;			/* "GET, HEAD, OPTIONS": what the header Allow says */
	const char *text;			/* what the front answers by itself; NULL: an executor does */
} RouteDef;

typedef struct RouteTable
{
	const char *prefix;			/* "/rest"; "": the surface that has all other paths */
	const RouteDef *routes;
	size_t		nroutes;
	const char *allow;			/* all methods that a path of it may have */
	const char *paths;			/* a hint that names them */
} RouteTable;

typedef struct Route
{
	SurfaceId	surface;
	const RouteTable *table;
	const RouteDef *def;		/* NULL: there is no such path */
	bool		malformed;		/* the path is not well percent-encoded */
	size_t		param_at;		/* the name in the path, still encoded, within the target */
	size_t		param_len;
	size_t		query_at;		/* behind the "?" */
	size_t		query_len;
} Route;

/* Find the route of a target, "/path?query". */
extern void route_find(const char *target, size_t target_len, Route *route);

/*
 * Take the next "key=value" off a query, decoded and NUL-terminated; key and
 * value have room for *query_len + 1 bytes each.  false at the end; *malformed
 * tells of bad percent-encoding.
 */
extern bool route_query_next(const char **query, size_t *query_len, char *key, char *value, bool *malformed);

/*
 * Percent-decode into out, which has room for len + 1 bytes, and terminate it; out
 * may be NULL.  The length, or -1 for a bad escape or a NUL, encoded or not.
 */
extern long route_decode(const char *in, size_t len, bool plus_is_space, char *out);

#endif							/* VECDB_HTTP_ROUTE_H */
