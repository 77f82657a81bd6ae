/*
 * vecdb.c
 *	  Module magic and start-up order of the extension's library.
 *
 * The library is loaded by every backend that touches a vector, and by the
 * postmaster when it stands in shared_preload_libraries.  Nothing here may
 * depend on being preloaded.
 */
#include "pgcompat.h"

#include "fmgr.h"
#include "guc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	VecdbDefineSettings();
}
