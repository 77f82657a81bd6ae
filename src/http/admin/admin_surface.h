/*
 * admin_surface.h
 *	  Paths of the admin port.  Plain C.
 */
#ifndef VECDB_HTTP_ADMIN_SURFACE_H
#define VECDB_HTTP_ADMIN_SURFACE_H

#include "http/surface.h"

typedef enum AdminRoute
{
	ADMIN_LIVE,					/* /live */
	ADMIN_READY,				/* /ready */
	ADMIN_METRICS				/* /metrics */
} AdminRoute;

extern const HttpSurface admin_surface;

#endif							/* VECDB_HTTP_ADMIN_SURFACE_H */
