/*
 * native_routes.h
 *	  Paths of the native API.  Plain C.
 */
#ifndef VECDB_HTTP_NATIVE_ROUTES_H
#define VECDB_HTTP_NATIVE_ROUTES_H

#include "http/route.h"

typedef enum NativeRoute
{
	NATIVE_HEALTH = 1,			/* /health */
	NATIVE_STATS,				/* /stats */
	NATIVE_VECTORS,				/* /vectors */
	NATIVE_VECTOR,				/* /vectors/:id */
	NATIVE_SEARCH,				/* /search */
	NATIVE_COLLECTIONS,			/* /collections */
	NATIVE_COLLECTION,			/* /collections/:c */
	NATIVE_COLLECTION_SEARCH	/* /collections/:c/search */
} NativeRoute;

extern const RouteTable native_routes;

#endif							/* VECDB_HTTP_NATIVE_ROUTES_H */
