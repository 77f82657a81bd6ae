/*
 * row_index.h
 *	  The hnsw index of a collection that was joined: it is built when the rows are here,
 *	  several times as fast as they could be inserted into it one by one.
 *
 * Until then it is neither ready nor valid in pg_index, as one that is built concurrently
 * is at first: PostgreSQL does not use it, and inserts nothing.  It is there since the table
 * is, so no update has left it out of account.
 */
#ifndef VECDB_ROW_INDEX_H
#define VECDB_ROW_INDEX_H

#include "pgcompat.h"

#include "rows/row_state.h"

/* Let the hnsw indexes of this table wait; it was created by this transaction, and is empty. */
extern void RowIndexDefer(Oid table);

typedef enum RowIndexState
{
	ROW_INDEX_NONE,				/* none waits, or not now: rows are not here yet, or the table is locked */
	ROW_INDEX_EMPTY,			/* to be built */
	ROW_INDEX_BUILT				/* of what was there then; it takes inserts */
} RowIndexState;

/* The first of a table that waits. */
extern PGDLLEXPORT RowIndexState RowIndexWaits(Oid table, const uint8 root[ROW_STATE_ROOT], Oid *index);

/*
 * The steps of CREATE INDEX CONCURRENTLY, each in a transaction of its own, so that the
 * table is written meanwhile.  Before the second, all transactions end that might write
 * without it; before the last, those whose snapshots are older than the xmin that the second gives.
 * False: it does not wait for this step any more.
 */
extern PGDLLEXPORT bool RowIndexBuild(Oid table, Oid index);
extern PGDLLEXPORT bool RowIndexComplete(Oid table, Oid index, TransactionId *xmin);
extern PGDLLEXPORT bool RowIndexUse(Oid table, Oid index);

#endif							/* VECDB_ROW_INDEX_H */
