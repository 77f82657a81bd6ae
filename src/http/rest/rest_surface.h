/*
 * rest_surface.h
 *	  Paths of PostgREST's API.  Plain C.
 */
#ifndef VECDB_HTTP_REST_SURFACE_H
#define VECDB_HTTP_REST_SURFACE_H

#include "http/surface.h"

typedef enum RestRoute
{
	REST_TABLE,					/* /rest/v1/:table */
	REST_TABLE_QUERY			/* /rest/v1/:table/query */
} RestRoute;

extern const HttpSurface rest_surface;

#endif							/* VECDB_HTTP_REST_SURFACE_H */
