/*
 * surface.c
 *	  The list of surfaces, and the choice of one.
 */
#include "http/surface.h"

#include <string.h>

#include "http/admin/admin_surface.h"
#include "http/native/native_surface.h"
#include "http/rest/rest_surface.h"

const HttpSurface *const http_surfaces[NSURFACES] = {
	[SURFACE_NATIVE] = &native_surface,
	[SURFACE_ADMIN] = &admin_surface,
	[SURFACE_REST] = &rest_surface
};

const HttpSurface *
surface_choose(const HttpSurface *const *surfaces, int n_surfaces, SurfacePort port, const char *path, size_t len)
{
	const HttpSurface *best = NULL;
	size_t		best_len = 0;

	for (int i = 0; i < n_surfaces; i++)
	{
		const HttpSurface *surface = surfaces[i];
		size_t		n = strlen(surface->prefix);

		if (surface->port != port || n > len || memcmp(path, surface->prefix, n) != 0 ||
			(n > 0 && n < len && path[n] != '/'))
			continue;
		if (!best || n > best_len)
		{
			best = surface;
			best_len = n;
		}
	}
	return best;
}

const HttpSurface *
surface_find(SurfacePort port, const char *path, size_t len)
{
	return surface_choose(http_surfaces, NSURFACES, port, path, len);
}

const HttpSurface *
surface_default(SurfacePort port)
{
	return surface_find(port, "", 0);
}
