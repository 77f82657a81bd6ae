/*
 * row_kept.h
 *	  Rows of the extension's tables, one after another or by their key: what
 *	  row_state.c and row_conflict.c have in common.  None waits for a lock.
 */
#ifndef VECDB_ROW_KEPT_H
#define VECDB_ROW_KEPT_H

#include "rows/row_state.h"

#include "access/genam.h"
#include "access/skey.h"
#include "node/node_table.h"
#include "utils/snapshot.h"

/* A table that is read in an order. */
typedef struct Reading
{
	SyncTable	table;
	Snapshot	snapshot;
	SysScanDesc scan;
} Reading;

/* For the core: of the current memory context. */
extern const CoreMemory KeptMemory;

/* An error: what is not as it was written. */
extern void KeptRefuse(const char *what) pg_attribute_noreturn();

/* In the order of the primary key, or of the table's other index; snapshot NULL: the newest. */
extern void ReadingBegin(Reading *self, SyncTableKind kind, bool other, Snapshot snapshot, ScanKey key, int n);
extern HeapTuple ReadingNext(Reading *self);
extern void ReadingEnd(Reading *self);

/* A column, which is not null; as bytes in the current memory context. */
extern Datum ReadingValue(Reading *self, HeapTuple row, int column);
extern RowBytes ReadingBytes(Reading *self, HeapTuple row, int column);

/* The one row of a scan, a copy; NULL: there is none. */
extern HeapTuple KeptGet(SyncTableKind kind, Snapshot snapshot, ScanKey key, int n);

/* A new row, or in place of one (NULL: none); of that the columns which replace says. */
extern void KeptPut(SyncTableKind kind, HeapTuple old, Datum *values, bool *nulls, bool *replace);

/* All rows of a scan, up to so many; how many there were. */
extern uint32 KeptDelete(SyncTableKind kind, ScanKey key, int n, uint32 most);

extern Datum KeptBytea(RowBytes bytes);

/* The first column of a table's rows */
extern void KeptTableKey(ScanKey key, Oid table);

/* The first table behind `after` that has rows; InvalidOid: there is none. */
extern Oid	KeptNextTable(SyncTableKind kind, Oid after, Snapshot snapshot);

#endif							/* VECDB_ROW_KEPT_H */
