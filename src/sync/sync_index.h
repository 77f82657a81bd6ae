/*
 * sync_index.h
 *	  A process that builds the index of a table whose first copy is here.
 */
#ifndef VECDB_SYNC_INDEX_H
#define VECDB_SYNC_INDEX_H

#include "pgcompat.h"

#include "postmaster/bgworker.h"
#include "rows/row_state.h"

typedef struct SyncIndexTable
{
	Oid			table;
	uint8		root[ROW_STATE_ROOT];	/* of its collection */
} SyncIndexTable;

/* In the current memory context; NULL, after a line in the log: there is no place for another process. */
extern BackgroundWorkerHandle *SyncIndexStart(const char *database, const SyncIndexTable *table);

#endif							/* VECDB_SYNC_INDEX_H */
