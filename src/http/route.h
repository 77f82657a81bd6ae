/*
 * route.h
 *	  Which surface and which of its routes a path leads to, the name in the path,
 *	  the query behind it.
 *
 * The front finds the route, once for a request, and tells the executor, which
 * checks it and does not look for it again.
 *
 * Plain C: nothing of PostgreSQL.
 */
#ifndef VECDB_HTTP_ROUTE_H
#define VECDB_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/surface.h"

typedef struct Route
{
	const HttpSurface *surface; /* NULL: not looked for yet */
	const RouteDef *def;		/* NULL: there is no such path */
	int			number;			/* of def in its surface */
	bool		malformed;		/* the path is not well percent-encoded */
	size_t		param_at;		/* the name in the path, still encoded, within the target */
	size_t		param_len;
	size_t		query_at;		/* behind the "?"; 0: there is none */
	size_t		query_len;
} Route;

/* Find the surface and the route of a target, "/path?query", that came to a port. */
extern void route_find(SurfacePort port, const char *target, size_t target_len, Route *route);

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
