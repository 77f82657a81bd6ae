/*
 * row_key.h
 *	  Finding a row of a shared table by its key, through the index of its primary key.
 */
#ifndef VECDB_ROW_KEY_H
#define VECDB_ROW_KEY_H

#include "pgcompat.h"

#include "access/skey.h"
#include "core/rows/content.h"
#include "rows/row_shape.h"
#include "utils/snapshot.h"

typedef struct RowKeyIndex
{
	Relation	rel;
	Relation	index;
	RowShape   *shape;
	ScanKeyData key[ROW_KEY_COLUMNS];
} RowKeyIndex;

/* A table, locked with its indexes; NULL: it is gone, or somebody else has locked one.  Waits for nobody. */
extern Relation RowTableTryOpen(Oid table, LOCKMODE mode);

/* rel is open; the index is opened in this mode, and closed with its lock kept. */
extern void RowKeyOpen(RowKeyIndex *self, Relation rel, RowShape *shape, LOCKMODE mode);
extern void RowKeyClose(RowKeyIndex *self);

/*
 * The row of a key that a snapshot shows, of which there may be several where it is dirty:
 * into a slot of the table's.  False: there is none, or these bytes are no key.  Leaves
 * garbage in the current memory context.
 */
extern bool RowKeyFetch(RowKeyIndex *self, RowBytes key, Snapshot snapshot, TupleTableSlot *out);

#endif							/* VECDB_ROW_KEY_H */
