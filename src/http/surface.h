/*
 * surface.h
 *	  The surfaces: each is an API of its own, with its paths, its form of an error
 *	  and the way it is chosen.
 *
 * A surface has a folder.  Its file NAME_surface.c defines a HttpSurface, which is
 * plain C and which both processes use: the front to find the route and to write
 * its own errors, an executor to check the route and to write the errors of SQL.
 * What an executor runs for it is an ApiSurface, see api.h.
 *
 * The surfaces of one port are told apart by the first segments of the path.  One
 * of them has the prefix "" and gets every path that no other has; it also writes
 * the errors of a request that failed before its path was looked at.
 *
 * Plain C: nothing of PostgreSQL.
 */
#ifndef VECDB_HTTP_SURFACE_H
#define VECDB_HTTP_SURFACE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/answer.h"
#include "http/guard.h"

/* The number of a surface, by which the front names it to an executor. */
typedef enum SurfaceId
{
	SURFACE_NATIVE,
	SURFACE_ADMIN,
	SURFACE_REST,
	NSURFACES
} SurfaceId;

/* The port that a surface is served on, by the setting that has its number. */
typedef enum SurfacePort
{
	PORT_API,					/* vecdb.http_port */
	PORT_ADMIN					/* vecdb.http_admin_port */
} SurfacePort;

/* Paths of one to three segments: /first, /first/:param, /first/:param/last. */
typedef struct RouteDef
{
	const char *first;
	bool		has_param;
	const char *last;			/* NULL: none */
	unsigned	methods;		/* set of 1 << HttpMethod */
	const char *allow;			/* "GET, HEAD, OPTIONS": the value of the header Allow */
	const char *text;			/* what the front answers by itself; NULL: an executor does */
	bool		takes_csv;		/* a body may be CSV, beside JSON */
} RouteDef;

typedef struct HttpSurface
{
	SurfaceId	id;
	SurfacePort port;
	const char *prefix;			/* "/rest"; "": all paths that no other surface of the port has */
	const RouteDef *routes;		/* a route's number is its place here */
	size_t		nroutes;
	const char *allow;			/* all methods that a path of the surface may have */
	const char *paths;			/* a hint that names the paths */
	const char *error_type;		/* Content-Type of an error */

	/*
	 * The body of an error, malloc'ed, and its length in bytes; NULL when there is
	 * no memory.
	 */
	char	   *(*error_body) (const HttpError *error, size_t *len);
} HttpSurface;

/* In the order of SurfaceId. */
extern const HttpSurface *const http_surfaces[NSURFACES];

/*
 * Of these surfaces the one of a port that has this path, of len bytes without the query:
 * the longest prefix wins, and a prefix ends where a segment of the path does.  NULL
 * when there is none.
 */
extern const HttpSurface *surface_choose(const HttpSurface *const *surfaces, int n_surfaces, SurfacePort port,
										 const char *path, size_t len);

/* The same of all surfaces. */
extern const HttpSurface *surface_find(SurfacePort port, const char *path, size_t len);

/* The surface of a port whose prefix is "". */
extern const HttpSurface *surface_default(SurfacePort port);

#endif							/* VECDB_HTTP_SURFACE_H */
