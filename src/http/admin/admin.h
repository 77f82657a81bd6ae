/*
 * admin.h
 *	  What an executor does for the admin port: the part of /metrics about
 *	  collections.
 */
#ifndef VECDB_HTTP_ADMIN_H
#define VECDB_HTTP_ADMIN_H

#include "http/api.h"

extern const ApiSurface admin_api;

#endif							/* VECDB_HTTP_ADMIN_H */
