/*
 * row_conflict.c
 *	  Losers of conflicts, of each collection a bounded list.
 */
#include "rows/row_kept.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "rows/rows_shared.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CONFLICT_TABLE 1
#define CONFLICT_NUMBER 2
#define CONFLICT_KEY 3
#define CONFLICT_CLOCK 4
#define CONFLICT_TIE 5
#define CONFLICT_LIVE 6
#define CONFLICT_SINCE 7
#define CONFLICT_CONTENT 8
#define CONFLICT_COLUMNS 8

static bool
has_conflict(Oid table, RowBytes key, const RowVersion *version)
{
	Reading		reading;
	ScanKeyData keys[2];
	HeapTuple	row;
	bool		has = false;

	KeptTableKey(&keys[0], table);
	ScanKeyInit(&keys[1], CONFLICT_KEY, BTEqualStrategyNumber, F_BYTEAEQ, KeptBytea(key));
	ReadingBegin(&reading, SYNC_ROW_CONFLICT, true, NULL, keys, 2);
	while (!has && HeapTupleIsValid(row = ReadingNext(&reading)))
		if ((uint64) DatumGetInt64(ReadingValue(&reading, row, CONFLICT_CLOCK)) == version->clock)
		{
			const uint8 *tie = SyncTableBytes(&reading.table, row, CONFLICT_TIE, ROW_HASH);

			has = tie && memcmp(tie, version->tie, ROW_HASH) == 0;
		}
	ReadingEnd(&reading);
	return has;
}

static int64
last_conflict(Oid table)
{
	Reading		reading;
	ScanKeyData key;
	HeapTuple	row;
	int64		number = 0;

	KeptTableKey(&key, table);
	ReadingBegin(&reading, SYNC_ROW_CONFLICT, false, NULL, &key, 1);
	row = systable_getnext_ordered(reading.scan, BackwardScanDirection);
	if (HeapTupleIsValid(row))
		number = DatumGetInt64(ReadingValue(&reading, row, CONFLICT_NUMBER));
	ReadingEnd(&reading);
	if (number < 0 || number == PG_INT64_MAX)
		KeptRefuse("the list of conflicts");
	return number;
}

/*
 * The clock gives none twice, so that who has seen a conflict does not name another by its
 * number.  The list is in their order even where the clock's file was lost.
 */
static int64
next_number(Oid table)
{
	int64		last = last_conflict(table);

	return Max(last + 1, (int64) RowsClockNext(0));
}

bool
RowConflictAdd(Oid table, RowBytes key, const RowEntry *loser, RowBytes content)
{
	Datum		values[CONFLICT_COLUMNS];
	bool		nulls[CONFLICT_COLUMNS] = {false};

	if (has_conflict(table, key, &loser->version))
		return false;
	values[CONFLICT_TABLE - 1] = ObjectIdGetDatum(table);
	values[CONFLICT_NUMBER - 1] = Int64GetDatum(next_number(table));
	values[CONFLICT_KEY - 1] = KeptBytea(key);
	values[CONFLICT_CLOCK - 1] = Int64GetDatum((int64) loser->version.clock);
	values[CONFLICT_TIE - 1] = SyncBytea(loser->version.tie, ROW_HASH);
	values[CONFLICT_LIVE - 1] = BoolGetDatum(loser->live);
	values[CONFLICT_SINCE - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[CONFLICT_CONTENT - 1] = KeptBytea(content);
	KeptPut(SYNC_ROW_CONFLICT, NULL, values, nulls, NULL);
	return true;
}

uint32
RowConflictCount(Oid table, uint32 most)
{
	Reading		reading;
	ScanKeyData key;
	uint32		n = 0;

	KeptTableKey(&key, table);
	ReadingBegin(&reading, SYNC_ROW_CONFLICT, false, NULL, &key, 1);
	while (n < most && HeapTupleIsValid(ReadingNext(&reading)))
		n++;
	ReadingEnd(&reading);
	return n;
}

void
RowConflictsRewrite(Oid table, bool (*with) (void *arg, RowBytes content, RowBytes *out), void *arg)
{
	Reading		reading;
	SyncTable	conflicts;
	ScanKeyData key;
	HeapTuple	row;
	MemoryContext one = AllocSetContextCreate(CurrentMemoryContext, "vecdb conflict", ALLOCSET_DEFAULT_SIZES);

	KeptTableKey(&key, table);
	SyncTableOpen(&conflicts, SYNC_ROW_CONFLICT, true, false);
	ReadingBegin(&reading, SYNC_ROW_CONFLICT, false, NULL, &key, 1);
	while (HeapTupleIsValid(row = ReadingNext(&reading)))
	{
		MemoryContext outer = MemoryContextSwitchTo(one);
		Datum		values[CONFLICT_COLUMNS] = {0};
		bool		nulls[CONFLICT_COLUMNS] = {false};
		bool		replace[CONFLICT_COLUMNS] = {false};
		RowBytes	content;

		CHECK_FOR_INTERRUPTS();
		if (DatumGetBool(ReadingValue(&reading, row, CONFLICT_LIVE)) && with(arg, ReadingBytes(&reading, row, CONFLICT_CONTENT), &content))
		{
			values[CONFLICT_CONTENT - 1] = KeptBytea(content);
			replace[CONFLICT_CONTENT - 1] = true;
			SyncTableUpdate(&conflicts, row, values, nulls, replace);
		}
		MemoryContextSwitchTo(outer);
		MemoryContextReset(one);
	}
	ReadingEnd(&reading);
	SyncTableClose(&conflicts);
	CommandCounterIncrement();
}

bool
RowConflictForgetOldest(Oid table, int64 *number)
{
	Reading		reading;
	SyncTable	conflicts;
	ScanKeyData keys[2];
	HeapTuple	row;
	bool		found = false;

	KeptTableKey(&keys[0], table);
	ScanKeyInit(&keys[1], CONFLICT_NUMBER, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(*number));
	SyncTableOpen(&conflicts, SYNC_ROW_CONFLICT, true, false);
	ReadingBegin(&reading, SYNC_ROW_CONFLICT, false, NULL, keys, 2);
	while (!found && HeapTupleIsValid(row = ReadingNext(&reading)))
	{
		*number = DatumGetInt64(ReadingValue(&reading, row, CONFLICT_NUMBER));
		found = SyncTableTryRow(&conflicts, row);
		if (found)
			SyncTableDelete(&conflicts, row);
	}
	ReadingEnd(&reading);
	SyncTableClose(&conflicts);
	CommandCounterIncrement();
	return found;
}

static void
take(Reading *reading, HeapTuple row, RowConflict *out)
{
	const uint8 *tie = SyncTableBytes(&reading->table, row, CONFLICT_TIE, ROW_HASH);

	if (!tie)
		KeptRefuse("a conflict");
	memset(out, 0, sizeof(*out));
	out->number = DatumGetInt64(ReadingValue(reading, row, CONFLICT_NUMBER));
	out->key = ReadingBytes(reading, row, CONFLICT_KEY);
	out->version.clock = (uint64) DatumGetInt64(ReadingValue(reading, row, CONFLICT_CLOCK));
	memcpy(out->version.tie, tie, ROW_HASH);
	out->live = DatumGetBool(ReadingValue(reading, row, CONFLICT_LIVE));
	out->since = DatumGetTimestampTz(ReadingValue(reading, row, CONFLICT_SINCE));
}

void
RowConflictEach(Oid table, Snapshot snapshot, void (*each) (void *arg, const RowConflict *conflict), void *arg)
{
	Reading		reading;
	ScanKeyData key;
	HeapTuple	row;
	MemoryContext one = AllocSetContextCreate(CurrentMemoryContext, "vecdb conflict", ALLOCSET_SMALL_SIZES);

	KeptTableKey(&key, table);
	ReadingBegin(&reading, SYNC_ROW_CONFLICT, false, snapshot, &key, 1);
	while (HeapTupleIsValid(row = ReadingNext(&reading)))
	{
		MemoryContext outer = MemoryContextSwitchTo(one);
		RowConflict conflict;

		CHECK_FOR_INTERRUPTS();
		take(&reading, row, &conflict);
		each(arg, &conflict);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(one);
	}
	ReadingEnd(&reading);
	MemoryContextDelete(one);
}

static void
number_key(ScanKey key, Oid table, int64 number)
{
	KeptTableKey(&key[0], table);
	ScanKeyInit(&key[1], CONFLICT_NUMBER, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(number));
}

bool
RowConflictGet(Oid table, int64 number, Snapshot snapshot, RowConflict *out)
{
	Reading		reading;
	ScanKeyData keys[2];
	HeapTuple	row;
	bool		found;

	number_key(keys, table, number);
	ReadingBegin(&reading, SYNC_ROW_CONFLICT, false, snapshot, keys, 2);
	row = ReadingNext(&reading);
	found = HeapTupleIsValid(row);
	if (found)
	{
		take(&reading, row, out);
		out->content = ReadingBytes(&reading, row, CONFLICT_CONTENT);
	}
	ReadingEnd(&reading);
	return found;
}

void
RowConflictRemove(Oid table, int64 number)
{
	ScanKeyData keys[2];

	number_key(keys, table, number);
	(void) KeptDelete(SYNC_ROW_CONFLICT, keys, 2, 1);
}

Oid
RowConflictNextTable(Oid after, Snapshot snapshot)
{
	return KeptNextTable(SYNC_ROW_CONFLICT, after, snapshot);
}
