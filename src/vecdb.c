/*
 * vecdb.c
 *	  Module magic and start-up order of the extension's library.
 *
 * The library is loaded by every backend that touches a vector, and by the
 * postmaster when it stands in shared_preload_libraries.  Nothing here may
 * depend on being preloaded.
 */
#include "pgcompat.h"

#include "access/xact.h"
#include "fmgr.h"
#include "guc.h"
#include "hnsw/hnsw.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	VecdbDefineSettings();
	HnswHookPlanner();

	/*
	 * A backend that comes here by calling one of our functions wants the
	 * index's settings.  One that merely preloads us may be in a database where
	 * pgvector defines them.
	 */
	if (!process_shared_preload_libraries_in_progress && IsTransactionState())
		HnswDefineSettings();
}
