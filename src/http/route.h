/*
 * route.h
 *	  Paths of the native API: which there are, which methods they have, the
 *	  decoded name in them, and the query behind them.
 *
 * Plain C: nothing of PostgreSQL.
 */
#ifndef VECDB_HTTP_ROUTE_H
#define VECDB_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/guard.h"

typedef enum RouteId
{
	ROUTE_NONE,
	ROUTE_HEALTH,				/* /health */
	ROUTE_STATS,				/* /stats */
	ROUTE_VECTORS,				/* /vectors */
	ROUTE_VECTOR,				/* /vectors/:id */
	ROUTE_SEARCH,				/* /search */
	ROUTE_COLLECTIONS,			/* /collections */
	ROUTE_COLLECTION,			/* /collections/:c */
	ROUTE_COLLECTION_SEARCH,	/* /collections/:c/search */

	ROUTE_METRICS				/* of the front itself: no path leads here */
} RouteId;

typedef struct Route
{
	RouteId		id;
	bool		malformed;		/* the path is not well percent-encoded */
	unsigned	methods;		/* set of 1 << HttpMethod */
	size_t		param_len;		/* of the decoded name, without its NUL */
	const char *query;			/* behind the "?"; not owned */
	size_t		query_len;
} Route;

/*
 * Find the route of a target, "/path?query".  param has room for target_len + 1
 * bytes and receives the decoded name.
 */
extern void route_find(const char *target, size_t target_len, char *param, Route *route);

/* "GET, HEAD, OPTIONS": what the header Allow says; static. */
extern const char *route_allow(RouteId id);

/*
 * Take the next "key=value" off a query, decoded and NUL-terminated; key and
 * value have room for *query_len + 1 bytes each.  false at the end; *malformed
 * tells of bad percent-encoding.
 */
extern bool route_query_next(const char **query, size_t *query_len, char *key, char *value, bool *malformed);

/*
 * Percent-decode into out, which has room for len + 1 bytes, and terminate it.
 * The length, or -1 for a bad escape or a NUL, encoded or not.
 */
extern long route_decode(const char *in, size_t len, bool plus_is_space, char *out);

#endif							/* VECDB_HTTP_ROUTE_H */
