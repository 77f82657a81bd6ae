/*
 * row_kept.c
 *	  Reading and writing the tables of row_state.c and row_conflict.c.
 */
#include "rows/row_kept.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

static void *
palloc_for_core(void *context, size_t size)
{
	return palloc_extended(size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
pfree_for_core(void *context, void *p)
{
	pfree(p);
}

const CoreMemory KeptMemory = {NULL, palloc_for_core, pfree_for_core};

void
KeptRefuse(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("%s is not as vecdb wrote it", what)));
}

void
ReadingBegin(Reading *self, SyncTableKind kind, bool other, Snapshot snapshot, ScanKey key, int n)
{
	SyncTableOpen(&self->table, kind, false, false);
	self->snapshot = RegisterSnapshot(snapshot ? snapshot : GetLatestSnapshot());
	self->scan = systable_beginscan_ordered(self->table.rel, other ? self->table.other : self->table.key, self->snapshot, n, key);
}

HeapTuple
ReadingNext(Reading *self)
{
	return systable_getnext_ordered(self->scan, ForwardScanDirection);
}

void
ReadingEnd(Reading *self)
{
	systable_endscan_ordered(self->scan);
	UnregisterSnapshot(self->snapshot);
	SyncTableClose(&self->table);
}

HeapTuple
KeptGet(SyncTableKind kind, Snapshot snapshot, ScanKey key, int n)
{
	Reading		reading;
	HeapTuple	row;

	ReadingBegin(&reading, kind, false, snapshot, key, n);
	row = ReadingNext(&reading);
	row = HeapTupleIsValid(row) ? heap_copytuple(row) : NULL;
	ReadingEnd(&reading);
	return row;
}

void
KeptPut(SyncTableKind kind, HeapTuple old, Datum *values, bool *nulls, bool *replace)
{
	SyncTable	table;

	SyncTableOpen(&table, kind, true, false);
	if (old)
		SyncTableUpdate(&table, old, values, nulls, replace);
	else
		SyncTableInsert(&table, values, nulls);
	SyncTableClose(&table);
	CommandCounterIncrement();
}

uint32
KeptDelete(SyncTableKind kind, ScanKey key, int n, uint32 most)
{
	Reading		reading;
	SyncTable	table;
	HeapTuple	row;
	uint32		deleted = 0;

	SyncTableOpen(&table, kind, true, false);
	ReadingBegin(&reading, kind, false, NULL, key, n);
	while (deleted < most && HeapTupleIsValid(row = ReadingNext(&reading)))
	{
		CHECK_FOR_INTERRUPTS();
		SyncTableDelete(&table, row);
		deleted++;
	}
	ReadingEnd(&reading);
	SyncTableClose(&table);
	CommandCounterIncrement();
	return deleted;
}

Datum
ReadingValue(Reading *self, HeapTuple row, int column)
{
	bool		isnull;
	Datum		value = SyncTableValue(&self->table, row, column, &isnull);

	if (isnull)
		KeptRefuse("a column of a table in schema \"vecdb\"");
	return value;
}

RowBytes
ReadingBytes(Reading *self, HeapTuple row, int column)
{
	bytea	   *bytes = DatumGetByteaPCopy(ReadingValue(self, row, column));

	return (RowBytes) {(const uint8 *) VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ};
}

Datum
KeptBytea(RowBytes bytes)
{
	if (bytes.len > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a row of %zu bytes cannot be set aside", bytes.len)));
	return SyncBytea(bytes.at, bytes.len);
}

void
KeptTableKey(ScanKey key, Oid table)
{
	ScanKeyInit(key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
}

Oid
KeptNextTable(SyncTableKind kind, Oid after, Snapshot snapshot)
{
	Reading		reading;
	ScanKeyData key;
	HeapTuple	row;
	Oid			table = InvalidOid;

	ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_OIDGT, ObjectIdGetDatum(after));
	ReadingBegin(&reading, kind, false, snapshot, &key, 1);
	row = ReadingNext(&reading);
	if (HeapTupleIsValid(row))
		table = DatumGetObjectId(ReadingValue(&reading, row, 1));
	ReadingEnd(&reading);
	return table;
}
