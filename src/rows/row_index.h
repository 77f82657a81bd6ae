/*
 * row_index.h
 *	  The hnsw index of a collection that was joined: it is built when the rows are here,
 *	  several times as fast as they could be inserted into it one by one.
 *
 * Until then it is neither ready nor valid in pg_index, as one that is built concurrently
 * is at first: PostgreSQL does not use it, and inserts nothing.
 */
#ifndef VECDB_ROW_INDEX_H
#define VECDB_ROW_INDEX_H

#include "pgcompat.h"

#include "rows/row_state.h"

/* Let the hnsw indexes of this table wait; it was created by this transaction, and is empty. */
extern void RowIndexDefer(Oid table);

typedef enum RowIndexBuilt
{
	ROW_INDEX_NONE,				/* none waits, or rows are not here yet */
	ROW_INDEX_BUILT,
	ROW_INDEX_LOCKED			/* somebody writes to the table: later */
} RowIndexBuilt;

/* Build one that waits, in a transaction of its own; the table can be read meanwhile, not written. */
extern PGDLLEXPORT RowIndexBuilt RowIndexBuild(Oid table, const uint8 root[ROW_STATE_ROOT]);

#endif							/* VECDB_ROW_INDEX_H */
