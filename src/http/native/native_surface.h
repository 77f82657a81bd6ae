/*
 * native_surface.h
 *	  Paths of the native API.  Plain C.
 */
#ifndef VECDB_HTTP_NATIVE_SURFACE_H
#define VECDB_HTTP_NATIVE_SURFACE_H

#include "http/surface.h"

typedef enum NativeRoute
{
	NATIVE_HEALTH,				/* /health */
	NATIVE_STATS,				/* /stats */
	NATIVE_VECTORS,				/* /vectors */
	NATIVE_VECTOR,				/* /vectors/:id */
	NATIVE_SEARCH,				/* /search */
	NATIVE_COLLECTIONS,			/* /collections */
	NATIVE_COLLECTION,			/* /collections/:c */
	NATIVE_COLLECTION_SEARCH,	/* /collections/:c/search */
	NATIVE_COLLECTION_VECTORS,	/* /collections/:c/vectors */
	NATIVE_COLLECTION_COUNT,	/* /collections/:c/count */
	NATIVE_COLLECTION_GET,		/* /collections/:c/get */
	NATIVE_COLLECTION_DELETE	/* /collections/:c/delete */
} NativeRoute;

extern const HttpSurface native_surface;

#endif							/* VECDB_HTTP_NATIVE_SURFACE_H */
