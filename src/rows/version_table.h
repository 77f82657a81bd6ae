/*
 * version_table.h
 *	  vecdb.version_<oid of the table>: what is kept beside each row of a shared
 *	  collection, by table and index access only.
 *
 *	  key			bytea, primary key: order of bytes
 *	  incarnation	int4	of the stamp; with ticket the index of the feed
 *	  ticket		int8
 *	  clock			int8	of the version
 *	  live			bool	else a tombstone; those are in an index of their own, by key
 *	  entry			bytea	the rest of RowEntry
 *
 * It belongs to the bootstrap superuser and to the extension, is never dumped, and goes
 * with its collection's table (capture_guard.c).
 */
#ifndef VECDB_VERSION_TABLE_H
#define VECDB_VERSION_TABLE_H

#include "pgcompat.h"

#include "access/genam.h"
#include "core/rows/row.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#define VERSION_INDEXES 3

typedef struct VersionTable
{
	Relation	rel;
	Relation	index[VERSION_INDEXES]; /* by key, by stamp, tombstones by key */
	IndexInfo  *info[VERSION_INDEXES];
	TupleTableSlot *slot;
} VersionTable;

typedef struct VersionRow
{
	RowBytes	key;			/* good until the next call with this table or scan */
	RowEntry	entry;
	ItemPointerData tid;
} VersionRow;

typedef enum VersionFound
{
	VERSION_THERE,
	VERSION_ABSENT,
	VERSION_BUSY				/* another transaction has changed it and goes on; what was committed last, where there is something, is in *out */
} VersionFound;

/* InvalidOid: the table is not captured. */
extern PGDLLEXPORT Oid VersionTableOf(Oid table);
/* With its indexes, as the bootstrap superuser, whoever calls. */
extern Oid	VersionTableCreate(Oid table);
extern void VersionTableDrop(Oid table);

/*
 * Until the end of the transaction, or of VersionTableClose(): then lock says whether the
 * lock stays.  wait false: an error at once where it is locked.  An error where it is not
 * as it was made.
 */
extern PGDLLEXPORT void VersionTableOpen(VersionTable *self, Oid table, LOCKMODE mode, bool wait);
extern PGDLLEXPORT void VersionTableClose(VersionTable *self, LOCKMODE unlock);

/* By its key in a snapshot. */
extern PGDLLEXPORT bool VersionGet(VersionTable *self, Snapshot snapshot, RowBytes key, VersionRow *out);

/*
 * The newest committed entry of a key or this transaction's own, locked until its end.
 * wait false: what another transaction holds is BUSY at once, and present (out->key.len > 0)
 * where an entry was committed before.
 */
extern PGDLLEXPORT VersionFound VersionLock(VersionTable *self, RowBytes key, bool wait, VersionRow *out);

/* A new entry (old NULL), or in place of one that is locked. */
extern PGDLLEXPORT void VersionPut(VersionTable *self, const VersionRow *old, RowBytes key, const RowEntry *entry);

/* A new entry; false, and none: another transaction has made one since VersionLock() found none. */
extern bool VersionTryPut(VersionTable *self, RowBytes key, const RowEntry *entry);
extern PGDLLEXPORT void VersionRemove(VersionTable *self, const VersionRow *old);

/* ---- scans, in a snapshot ---- */

typedef struct VersionScan VersionScan;

/* Keys above low up to high; empty: from the first, to the last. */
extern PGDLLEXPORT VersionScan *VersionScanKeys(VersionTable *self, Snapshot snapshot, RowBytes low, RowBytes high);

/* Stamps of one incarnation from `from` to `to`, both included. */
extern PGDLLEXPORT VersionScan *VersionScanStamps(VersionTable *self, Snapshot snapshot, uint32 incarnation, uint64 from, uint64 to);

/* Tombstones with keys above low. */
extern PGDLLEXPORT VersionScan *VersionScanDead(VersionTable *self, Snapshot snapshot, RowBytes low);
extern PGDLLEXPORT bool VersionScanNext(VersionScan *scan, VersionRow *out);
extern PGDLLEXPORT void VersionScanEnd(VersionScan *scan);

/*
 * Instead of its rows, where the next of them are: up to n places, which stay good in the
 * scan's snapshot, beyond the transaction; how many.  Some may hold nothing that the
 * snapshot shows.
 */
extern PGDLLEXPORT int VersionScanPlaces(VersionScan *scan, ItemPointerData *place, int n);

/* What a snapshot shows at one of its places.  False: nothing. */
extern PGDLLEXPORT bool VersionAt(VersionTable *self, Snapshot snapshot, const ItemPointerData *place, VersionRow *out);

#endif							/* VECDB_VERSION_TABLE_H */
