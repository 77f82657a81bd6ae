/*
 * row_feed.h
 *	  Reading a shared collection in a snapshot, for the core's RowHost
 *	  (core/rows/replica.h): changed rows, rows by key, their content.
 *
 * A feed reads in one snapshot as long as it is open, in many short transactions: the
 * process around it holds the snapshot (sync/sync_snapshot.h) and restores it in each.
 * Where a scan stands is kept as a stamp or a key, so nothing of a transaction outlives it.
 */
#ifndef VECDB_ROW_FEED_H
#define VECDB_ROW_FEED_H

#include "pgcompat.h"

#include "core/rows/replica.h"
#include "rows/row_state.h"
#include "utils/snapshot.h"

typedef struct RowFeed RowFeed;

/* Of a table with these columns; in a memory context of its own below the current one. */
extern PGDLLEXPORT RowFeed *RowFeedNew(Oid table, const uint8 schema[CORE_HASH_BYTES]);
extern PGDLLEXPORT void RowFeedFree(RowFeed *self);

/*
 * Before and after calls of those below, in a transaction whose active snapshot is the
 * feed's.  Begin is false where the tables are locked, gone, or have other columns: then the snapshot is of no use any more.
 */
extern PGDLLEXPORT bool RowFeedBegin(RowFeed *self);
extern PGDLLEXPORT void RowFeedEnd(RowFeed *self);

/* As RowHost's; no transaction has to run for the seeks. */
extern PGDLLEXPORT void RowFeedSeekChanges(RowFeed *self, const RowFrontier *above, uint32 incarnations);
extern PGDLLEXPORT void RowFeedSeekKeys(RowFeed *self, const RowRange *range);
extern PGDLLEXPORT RowRead RowFeedNext(RowFeed *self, Row *out);
extern PGDLLEXPORT RowRead RowFeedFind(RowFeed *self, RowBytes key, Row *out);
extern PGDLLEXPORT RowRead RowFeedContent(RowFeed *self, Row *row, bool thin);

extern PGDLLEXPORT uint64 RowFeedTotal(RowFeed *self);

/* As RowHost's: in a transaction with any snapshot. */
extern PGDLLEXPORT bool RowFeedHasTombstones(Oid table, const RowFrontier *below);

#endif							/* VECDB_ROW_FEED_H */
