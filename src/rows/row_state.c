/*
 * row_state.c
 *	  The tables of what a node keeps of shared collections: incarnations, frontiers,
 *	  rows that are held, conflicts.
 *
 * A frontier is kept as bytes, numbers big-endian:
 *
 *	frontier	= 1:u8 n:u32 *top open:u32 *exception
 *	top			= u64				of incarnations 1 .. n
 *	exception	= incarnation:u32 ticket:u64	ascending, each below its top
 *
 * and the entry of a held row, with the version that it is over:
 *
 *	entry	= 1:u8 version stamp birth vector_stamp live:u8 hash[16] vector_hash[16] over
 *	version, over	= clock:u64 tie[16]
 *	stamp ...		= incarnation:u32 ticket:u64
 */
#include "rows/row_kept.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "core/rows/clock.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define INCARNATION_ROOT 1
#define INCARNATION_NUMBER 2
#define INCARNATION_INCARNATION 3
#define INCARNATION_COLUMNS 3
#define FRONTIER_ROOT 1
#define FRONTIER_FRONTIER 2
#define FRONTIER_FLOOR 3
#define FRONTIER_COPIED 4
#define FRONTIER_HEARD 5
#define FRONTIER_COLUMNS 5
#define HELD_TABLE 1
#define HELD_KEY 2
#define HELD_HELD 3
#define HELD_WHY 4
#define HELD_SINCE 5
#define HELD_TEXT 6
#define HELD_ENTRY 7
#define HELD_CONTENT 8
#define HELD_COLUMNS 8

#define FORMAT 1
#define ENTRY_BYTES (1 + 24 + 3 * 12 + 1 + 2 * ROW_HASH + 24)

/* In column held: how (1, 2), and whether it is apart, and discarded. */
#define HELD_APART 2
#define HELD_DISCARDED 4
#define HELD_MOST (ROW_QUARANTINED + HELD_APART + HELD_DISCARDED)

/* Two processes may keep what is covered at the same time. */
#define KEEP_TRIES 3

StaticAssertDecl(ROW_STATE_ROOT == SYNC_ROOT_BYTES, "a root has another length in node_table.h");

static void
root_key(ScanKey key, const uint8 *root)
{
	ScanKeyInit(key, 1, BTEqualStrategyNumber, F_BYTEAEQ, SyncBytea(root, ROW_STATE_ROOT));
}

/* ---------------------------------------------------------------------------
 * Bytes
 */

static void
put_number(StringInfo out, uint64 value, int width)
{
	uint64		big = pg_hton64(value);

	appendBinaryStringInfo(out, (const char *) &big + 8 - width, width);
}

static uint64
take_number(RowBytes *in, int width)
{
	uint64		value = 0;

	if (in->len < (size_t) width)
		KeptRefuse("a record of rows");
	for (int i = 0; i < width; i++)
		value = value << 8 | in->at[i];
	in->at += width;
	in->len -= (size_t) width;
	return value;
}

static void
take(RowBytes *in, void *out, size_t len)
{
	if (in->len < len)
		KeptRefuse("a record of rows");
	memcpy(out, in->at, len);
	in->at += len;
	in->len -= len;
}

static Datum
frontier_bytes(const RowFrontier *frontier)
{
	StringInfoData out;

	initStringInfo(&out);
	put_number(&out, FORMAT, 1);
	put_number(&out, frontier->n, 4);
	for (uint32 i = 1; i <= frontier->n; i++)
		put_number(&out, row_frontier_top(frontier, i), 8);
	put_number(&out, frontier->n_open, 4);
	for (uint32 i = 0; i < frontier->n_open; i++)
	{
		put_number(&out, frontier->open[i].incarnation, 4);
		put_number(&out, frontier->open[i].ticket, 8);
	}
	return SyncBytea(out.data, (size_t) out.len);
}

/* Exceptions of one incarnation below its top; how many. */
static uint32
take_open(RowBytes *in, RowStamp *at, uint32 *left, uint32 incarnation, uint64 top, uint64 open[ROW_OPEN_MAX])
{
	uint32		n = 0;

	while (at->incarnation == incarnation)
	{
		if (n == ROW_OPEN_MAX || at->ticket >= top || at->ticket <= (n == 0 ? 0 : open[n - 1]))
			KeptRefuse("a frontier");
		open[n++] = at->ticket;
		*at = (RowStamp) {0};
		if (*left == 0)
			break;
		at->incarnation = (uint32) take_number(in, 4);
		at->ticket = take_number(in, 8);
		if (at->incarnation < incarnation)
			KeptRefuse("a frontier");
		--*left;
	}
	return n;
}

/* Into one that is empty.  False: there is no memory. */
static bool
take_frontier(RowBytes in, RowFrontier *out)
{
	uint64		open[ROW_OPEN_MAX];
	RowBytes	tops;
	RowStamp	at = {0};
	uint32		left;
	uint32		n;

	if (in.len == 0 || take_number(&in, 1) != FORMAT)
		KeptRefuse("a frontier");
	n = (uint32) take_number(&in, 4);
	if (n > ROW_INCARNATIONS || in.len < (size_t) n * 8 + 4)
		KeptRefuse("a frontier");
	tops = (RowBytes) {in.at, (size_t) n * 8};
	in.at += tops.len;
	in.len -= tops.len;
	left = (uint32) take_number(&in, 4);
	if (in.len % 12 != 0 || in.len / 12 != left)
		KeptRefuse("a frontier");
	if (left > 0)
	{
		at.incarnation = (uint32) take_number(&in, 4);
		at.ticket = take_number(&in, 8);
		left--;
		if (at.incarnation == 0)
			KeptRefuse("a frontier");
	}
	for (uint32 i = 1; i <= n; i++)
	{
		uint64		top = take_number(&tops, 8);
		uint32		n_open = take_open(&in, &at, &left, i, top, open);

		if (top == 0 && i == n)
			KeptRefuse("a frontier");
		if (!row_frontier_claim(out, i, top, open, n_open))
			return false;
	}
	if (at.incarnation != 0)
		KeptRefuse("a frontier");
	return true;
}

static void
put_version(StringInfo out, const RowVersion *version)
{
	put_number(out, version->clock, 8);
	appendBinaryStringInfo(out, (const char *) version->tie, ROW_HASH);
}

static void
put_stamp(StringInfo out, RowStamp stamp)
{
	put_number(out, stamp.incarnation, 4);
	put_number(out, stamp.ticket, 8);
}

static Datum
entry_bytes(const HeldRow *row)
{
	const RowEntry *entry = &row->entry;
	StringInfoData out;

	initStringInfo(&out);
	put_number(&out, FORMAT, 1);
	put_version(&out, &entry->version);
	put_stamp(&out, entry->stamp);
	put_stamp(&out, entry->birth);
	put_stamp(&out, entry->vector_stamp);
	put_number(&out, entry->live, 1);
	appendBinaryStringInfo(&out, (const char *) entry->hash, ROW_HASH);
	appendBinaryStringInfo(&out, (const char *) entry->vector_hash, ROW_HASH);
	put_version(&out, &row->over);
	Assert(out.len == ENTRY_BYTES);
	return SyncBytea(out.data, (size_t) out.len);
}

static void
take_version(RowBytes *in, RowVersion *out)
{
	out->clock = take_number(in, 8);
	take(in, out->tie, ROW_HASH);
}

static RowStamp
take_stamp(RowBytes *in)
{
	RowStamp	stamp;

	stamp.incarnation = (uint32) take_number(in, 4);
	stamp.ticket = take_number(in, 8);
	return stamp;
}

static void
take_entry(RowBytes in, HeldRow *out)
{
	RowEntry   *entry = &out->entry;
	uint64		live;

	if (in.len != ENTRY_BYTES || take_number(&in, 1) != FORMAT)
		KeptRefuse("the entry of a held row");
	take_version(&in, &entry->version);
	entry->stamp = take_stamp(&in);
	entry->birth = take_stamp(&in);
	entry->vector_stamp = take_stamp(&in);
	live = take_number(&in, 1);
	take(&in, entry->hash, ROW_HASH);
	take(&in, entry->vector_hash, ROW_HASH);
	take_version(&in, &out->over);
	if (live > 1 || entry->version.clock > ROW_CLOCK_MAX || entry->stamp.incarnation == 0)
		KeptRefuse("the entry of a held row");
	entry->live = live == 1;
	entry->held = out->held;
}

/* ---------------------------------------------------------------------------
 * Incarnations
 */

bool
RowStateIncarnations(const uint8 root[ROW_STATE_ROOT], bool (*each) (void *arg, uint32 number, const uint8 *incarnation), void *arg)
{
	Reading		reading;
	ScanKeyData key;
	HeapTuple	row;
	bool		more = true;

	root_key(&key, root);
	ReadingBegin(&reading, SYNC_ROW_INCARNATION, false, NULL, &key, 1);
	while (more && HeapTupleIsValid(row = ReadingNext(&reading)))
	{
		int32		number = DatumGetInt32(ReadingValue(&reading, row, INCARNATION_NUMBER));
		const uint8 *incarnation = SyncTableBytes(&reading.table, row, INCARNATION_INCARNATION, ROW_INCARNATION_BYTES);

		if (number < 1 || incarnation == NULL)
			KeptRefuse("an incarnation");
		more = each(arg, (uint32) number, incarnation);
	}
	ReadingEnd(&reading);
	return more;
}

void
RowStateAddIncarnation(const uint8 root[ROW_STATE_ROOT], uint32 number, const uint8 incarnation[ROW_INCARNATION_BYTES])
{
	Datum		values[INCARNATION_COLUMNS];
	bool		nulls[INCARNATION_COLUMNS] = {false};

	Assert(number > 0 && number <= INT_MAX);
	values[INCARNATION_ROOT - 1] = SyncBytea(root, ROW_STATE_ROOT);
	values[INCARNATION_NUMBER - 1] = Int32GetDatum((int32) number);
	values[INCARNATION_INCARNATION - 1] = SyncBytea(incarnation, ROW_INCARNATION_BYTES);
	KeptPut(SYNC_ROW_INCARNATION, NULL, values, nulls, NULL);
}

/* ---------------------------------------------------------------------------
 * What is covered
 */

typedef struct Kept
{
	HeapTuple	row;			/* NULL: nothing is kept yet */
	RowBytes	frontier;
	RowBytes	floor;
	bool		copied;
	RowBytes	heard;
} Kept;

static void
get_kept(const uint8 *root, Kept *out)
{
	Reading		reading;
	ScanKeyData key;
	HeapTuple	row;
	bool		isnull;

	memset(out, 0, sizeof(*out));
	root_key(&key, root);
	ReadingBegin(&reading, SYNC_ROW_FRONTIER, false, NULL, &key, 1);
	row = ReadingNext(&reading);
	if (HeapTupleIsValid(row))
	{
		out->row = heap_copytuple(row);
		out->frontier = ReadingBytes(&reading, row, FRONTIER_FRONTIER);
		out->floor = ReadingBytes(&reading, row, FRONTIER_FLOOR);
		out->copied = DatumGetBool(ReadingValue(&reading, row, FRONTIER_COPIED));
		(void) SyncTableValue(&reading.table, row, FRONTIER_HEARD, &isnull);
		if (!isnull)
			out->heard = ReadingBytes(&reading, row, FRONTIER_HEARD);
	}
	ReadingEnd(&reading);
}

bool
RowStateLoad(const uint8 root[ROW_STATE_ROOT], RowFrontier *frontier, RowFrontier *floor, bool *copied)
{
	Kept		kept;

	get_kept(root, &kept);
	if (kept.row == NULL)
		return false;
	if (copied)
		*copied = kept.copied;
	return take_frontier(kept.frontier, frontier) && take_frontier(kept.floor, floor);
}

RowBytes
RowStateHeard(const uint8 root[ROW_STATE_ROOT])
{
	Kept		kept;

	get_kept(root, &kept);
	return kept.heard;
}

/* What a row has at first; the others by number of column. */
static void
first_values(const uint8 *root, Datum *values, bool *nulls)
{
	static const RowFrontier nothing = {0};

	memset(nulls, 0, sizeof(*nulls) * FRONTIER_COLUMNS);
	values[FRONTIER_ROOT - 1] = SyncBytea(root, ROW_STATE_ROOT);
	values[FRONTIER_FRONTIER - 1] = values[FRONTIER_FLOOR - 1] = frontier_bytes(&nothing);
	values[FRONTIER_COPIED - 1] = BoolGetDatum(false);
	nulls[FRONTIER_HEARD - 1] = true;
}

/* Put some columns, unless another transaction has changed the row; false then. */
static bool
try_put(const Kept *kept, Datum *values, bool *nulls, bool *replace)
{
	SyncTable	table;
	bool		mine = true;

	if (kept->row)
	{
		SyncTableOpen(&table, SYNC_ROW_FRONTIER, true, false);
		mine = SyncTableTryRow(&table, kept->row);
		SyncTableClose(&table);
	}
	if (mine)
		KeptPut(SYNC_ROW_FRONTIER, kept->row, values, nulls, replace);
	return mine;
}

static void pg_attribute_noreturn()
refuse_to_wait(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("what is kept of a shared collection is being changed by another session")));
}

/* What of a frontier was kept, joined with another.  *more: that is more than before.  False: there is no memory. */
static bool
join(RowBytes kept, const RowFrontier *with, Datum *out, bool *more)
{
	RowFrontier all;
	bool		good;

	*more = false;
	row_frontier_init(&all, &KeptMemory);
	good = kept.len == 0 || take_frontier(kept, &all);
	if (good && (kept.len == 0 || !row_frontier_includes(&all, with)))
	{
		good = row_frontier_join(&all, with);
		*more = good;
		if (good)
			*out = frontier_bytes(&all);
	}
	row_frontier_reset(&all);
	return good;
}

bool
RowStateKeep(const uint8 root[ROW_STATE_ROOT], const RowFrontier *frontier, const RowFrontier *floor)
{
	for (int i = 0; i < KEEP_TRIES; i++)
	{
		Datum		values[FRONTIER_COLUMNS];
		bool		nulls[FRONTIER_COLUMNS];
		bool		replace[FRONTIER_COLUMNS] = {false};
		Kept		kept;

		get_kept(root, &kept);
		first_values(root, values, nulls);
		if ((frontier && !join(kept.frontier, frontier, &values[FRONTIER_FRONTIER - 1], &replace[FRONTIER_FRONTIER - 1])) ||
			(floor && !join(kept.floor, floor, &values[FRONTIER_FLOOR - 1], &replace[FRONTIER_FLOOR - 1])))
			return false;
		if ((kept.row && !replace[FRONTIER_FRONTIER - 1] && !replace[FRONTIER_FLOOR - 1]) ||
			try_put(&kept, values, nulls, replace))
			return true;
	}
	refuse_to_wait();
}

static void
keep_column(const uint8 *root, int column, Datum value)
{
	for (int i = 0; i < KEEP_TRIES; i++)
	{
		Datum		values[FRONTIER_COLUMNS];
		bool		nulls[FRONTIER_COLUMNS];
		bool		replace[FRONTIER_COLUMNS] = {false};
		Kept		kept;

		get_kept(root, &kept);
		first_values(root, values, nulls);
		values[column - 1] = value;
		nulls[column - 1] = false;
		replace[column - 1] = true;
		if (try_put(&kept, values, nulls, replace))
			return;
	}
	refuse_to_wait();
}

bool
RowStateIsCopied(const uint8 root[ROW_STATE_ROOT])
{
	Kept		kept;

	get_kept(root, &kept);
	return kept.row && kept.copied;
}

void
RowStateCopied(const uint8 root[ROW_STATE_ROOT], bool copied)
{
	if (RowStateIsCopied(root) != copied)
		keep_column(root, FRONTIER_COPIED, BoolGetDatum(copied));
}

void
RowStateKeepHeard(const uint8 root[ROW_STATE_ROOT], RowBytes heard)
{
	keep_column(root, FRONTIER_HEARD, KeptBytea(heard));
}

void
RowStateForget(const uint8 root[ROW_STATE_ROOT])
{
	ScanKeyData key;

	root_key(&key, root);
	(void) KeptDelete(SYNC_ROW_INCARNATION, &key, 1, UINT32_MAX);
	(void) KeptDelete(SYNC_ROW_FRONTIER, &key, 1, UINT32_MAX);
}

void
RowStateForgetTable(Oid table)
{
	ScanKeyData key;

	KeptTableKey(&key, table);
	(void) KeptDelete(SYNC_HELD_ROW, &key, 1, UINT32_MAX);
	(void) KeptDelete(SYNC_ROW_CONFLICT, &key, 1, UINT32_MAX);
}

/* ---------------------------------------------------------------------------
 * Rows that are held
 */

static void
held_key(ScanKey key, Oid table, RowBytes bytes)
{
	KeptTableKey(&key[0], table);
	ScanKeyInit(&key[1], HELD_KEY, BTEqualStrategyNumber, F_BYTEAEQ, KeptBytea(bytes));
}

/* How, and why, without its content. */
static void
take_held(Reading *reading, HeapTuple row, HeldRow *out)
{
	int16		held = DatumGetInt16(ReadingValue(reading, row, HELD_HELD));
	int16		why = DatumGetInt16(ReadingValue(reading, row, HELD_WHY));

	out->discarded = held > HELD_DISCARDED;
	if (out->discarded)
		held -= HELD_DISCARDED;
	out->apart = held > HELD_APART;
	if (out->apart)
		held -= HELD_APART;
	if ((held != ROW_PARKED && held != ROW_QUARANTINED) || (out->discarded && held != ROW_QUARANTINED) || why < ROW_REASON_NONE || why > ROW_REASON_TABLE)
		KeptRefuse("a held row");
	out->held = (RowHeld) held;
	out->why = (RowReason) why;
	take_entry(ReadingBytes(reading, row, HELD_ENTRY), out);
}

static int16
how_of(const HeldRow *row)
{
	return (int16) (row->held + (row->apart ? HELD_APART : 0) + (row->discarded ? HELD_DISCARDED : 0));
}

static bool
look(Oid table, RowBytes key, Snapshot snapshot, bool content, HeldRow *out)
{
	Reading		reading;
	ScanKeyData keys[2];
	HeapTuple	row;

	memset(out, 0, sizeof(*out));
	held_key(keys, table, key);
	ReadingBegin(&reading, SYNC_HELD_ROW, false, snapshot, keys, 2);
	row = ReadingNext(&reading);
	if (HeapTupleIsValid(row))
	{
		take_held(&reading, row, out);
		if (content)
			out->content = ReadingBytes(&reading, row, HELD_CONTENT);
	}
	ReadingEnd(&reading);
	return out->held != ROW_APPLIED;
}

bool
HeldRowGet(Oid table, RowBytes key, Snapshot snapshot, HeldRow *out)
{
	return look(table, key, snapshot, true, out);
}

bool
HeldRowLook(Oid table, RowBytes key, Snapshot snapshot, HeldRow *out)
{
	return look(table, key, snapshot, false, out);
}

void
HeldRowPut(Oid table, RowBytes key, const HeldRow *row, const char *text)
{
	static bool replace[HELD_COLUMNS] = {true, true, true, true, true, true, true, true};
	ScanKeyData keys[2];
	Datum		values[HELD_COLUMNS];
	bool		nulls[HELD_COLUMNS] = {false};

	Assert(row->held != ROW_APPLIED && key.len > 0 && key.len <= ROW_KEY_MAX);
	held_key(keys, table, key);
	values[HELD_TABLE - 1] = ObjectIdGetDatum(table);
	values[HELD_KEY - 1] = KeptBytea(key);
	values[HELD_HELD - 1] = Int16GetDatum(how_of(row));
	values[HELD_WHY - 1] = Int16GetDatum((int16) row->why);
	values[HELD_SINCE - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[HELD_TEXT - 1] = PointerGetDatum(cstring_to_text_with_len(text, pg_mbcliplen(text, (int) strlen(text), ROW_REASON_TEXT)));
	values[HELD_ENTRY - 1] = entry_bytes(row);
	values[HELD_CONTENT - 1] = KeptBytea(row->content);
	KeptPut(SYNC_HELD_ROW, KeptGet(SYNC_HELD_ROW, NULL, keys, 2), values, nulls, replace);
}

void
HeldRowRestamp(Oid table, RowBytes key, const RowEntry *entry, const RowBytes *content)
{
	ScanKeyData keys[2];
	Datum		values[HELD_COLUMNS] = {0};
	bool		nulls[HELD_COLUMNS] = {false};
	bool		replace[HELD_COLUMNS] = {false};
	HeldRow		held;

	if (!HeldRowLook(table, key, NULL, &held))
		KeptRefuse("a held row");
	held.entry = *entry;
	held_key(keys, table, key);
	values[HELD_ENTRY - 1] = entry_bytes(&held);
	replace[HELD_ENTRY - 1] = true;
	if (content)
		values[HELD_CONTENT - 1] = KeptBytea(*content);
	replace[HELD_CONTENT - 1] = content != NULL;
	KeptPut(SYNC_HELD_ROW, KeptGet(SYNC_HELD_ROW, NULL, keys, 2), values, nulls, replace);
}

void
HeldRowJoin(Oid table, RowBytes key)
{
	ScanKeyData keys[2];
	Datum		values[HELD_COLUMNS] = {0};
	bool		nulls[HELD_COLUMNS] = {false};
	bool		replace[HELD_COLUMNS] = {false};
	HeldRow		held;

	if (!HeldRowLook(table, key, NULL, &held) || !held.apart)
		KeptRefuse("a held row");
	held_key(keys, table, key);
	held.apart = false;
	values[HELD_HELD - 1] = Int16GetDatum(how_of(&held));
	replace[HELD_HELD - 1] = true;
	KeptPut(SYNC_HELD_ROW, KeptGet(SYNC_HELD_ROW, NULL, keys, 2), values, nulls, replace);
}

HeldRowDiscarded
HeldRowDiscard(Oid table, RowBytes key)
{
	ScanKeyData keys[2];
	Datum		values[HELD_COLUMNS] = {0};
	bool		nulls[HELD_COLUMNS] = {false};
	bool		replace[HELD_COLUMNS] = {false};
	HeldRow		held;

	if (!HeldRowLook(table, key, NULL, &held))
		return HELD_ROW_NONE;
	if (held.held != ROW_QUARANTINED)
		return HELD_ROW_PARKED;
	held.discarded = true;
	held_key(keys, table, key);
	values[HELD_HELD - 1] = Int16GetDatum(how_of(&held));
	replace[HELD_HELD - 1] = true;
	KeptPut(SYNC_HELD_ROW, KeptGet(SYNC_HELD_ROW, NULL, keys, 2), values, nulls, replace);
	return HELD_ROW_DISCARDED;
}

void
HeldRowRemove(Oid table, RowBytes key)
{
	ScanKeyData keys[2];

	held_key(keys, table, key);
	(void) KeptDelete(SYNC_HELD_ROW, keys, 2, 1);
}

/* The first key behind `after` with this in column held, unless *len > 0 and the key there comes before it. */
static void
first_held(Oid table, int16 held, Snapshot snapshot, RowBytes after, uint8 *key, size_t *len)
{
	Reading		reading;
	ScanKeyData keys[3];
	HeapTuple	row;

	KeptTableKey(&keys[0], table);
	ScanKeyInit(&keys[1], HELD_HELD, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(held));
	ScanKeyInit(&keys[2], HELD_KEY, BTGreaterStrategyNumber, F_BYTEAGT, KeptBytea(after));
	ReadingBegin(&reading, SYNC_HELD_ROW, true, snapshot, keys, 3);
	row = ReadingNext(&reading);
	if (HeapTupleIsValid(row))
	{
		RowBytes	found = ReadingBytes(&reading, row, HELD_KEY);

		if (found.len == 0 || found.len > ROW_KEY_MAX)
			KeptRefuse("the key of a held row");
		if (*len == 0 || row_key_compare(found, (RowBytes) {key, *len}) < 0)
		{
			memcpy(key, found.at, found.len);
			*len = found.len;
		}
	}
	ReadingEnd(&reading);
}

bool
HeldRowNext(Oid table, RowHeld held, RowBytes after, uint8 *key, size_t *len)
{
	Assert(held != ROW_APPLIED);
	*len = 0;
	first_held(table, (int16) held, NULL, after, key, len);
	first_held(table, (int16) (held + HELD_APART), NULL, after, key, len);
	/* a user's write may have taken its place */
	if (held == ROW_QUARANTINED)
	{
		first_held(table, (int16) (held + HELD_DISCARDED), NULL, after, key, len);
		first_held(table, HELD_MOST, NULL, after, key, len);
	}
	return *len > 0;
}

bool
HeldRowNextApart(Oid table, Snapshot snapshot, RowBytes after, uint8 *key, size_t *len)
{
	*len = 0;
	first_held(table, ROW_PARKED + HELD_APART, snapshot, after, key, len);
	first_held(table, ROW_QUARANTINED + HELD_APART, snapshot, after, key, len);
	first_held(table, HELD_MOST, snapshot, after, key, len);
	return *len > 0;
}

static uint32
count_held(Oid table, int16 held, uint32 most)
{
	Reading		reading;
	ScanKeyData keys[2];
	uint32		n = 0;

	KeptTableKey(&keys[0], table);
	ScanKeyInit(&keys[1], HELD_HELD, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(held));
	ReadingBegin(&reading, SYNC_HELD_ROW, true, NULL, keys, 2);
	while (n < most && HeapTupleIsValid(ReadingNext(&reading)))
		n++;
	ReadingEnd(&reading);
	return n;
}

uint32
HeldRowCount(Oid table, RowHeld held, uint32 most)
{
	uint32		n = count_held(table, (int16) held, most);

	return n + count_held(table, (int16) (held + HELD_APART), most - n);
}

static void
note_top(HeldTops *tops, RowStamp stamp)
{
	int			i = 0;

	while (i < tops->n && tops->top[i].incarnation != stamp.incarnation)
		i++;
	if (i == HELD_LIVES)
		tops->more = true;
	else if (i == tops->n)
		tops->top[tops->n++] = stamp;
	else if (tops->top[i].ticket < stamp.ticket)
		tops->top[i] = stamp;
}

void
HeldRowTops(Oid table, HeldTops *out)
{
	Reading		reading;
	ScanKeyData key;
	HeapTuple	row;
	int			n = 0;
	MemoryContext one = AllocSetContextCreate(CurrentMemoryContext, "vecdb held row", ALLOCSET_SMALL_SIZES);

	memset(out, 0, sizeof(*out));
	KeptTableKey(&key, table);
	ReadingBegin(&reading, SYNC_HELD_ROW, false, NULL, &key, 1);
	while (!out->more && HeapTupleIsValid(row = ReadingNext(&reading)))
	{
		MemoryContext outer = MemoryContextSwitchTo(one);
		HeldRow		held;

		CHECK_FOR_INTERRUPTS();
		take_held(&reading, row, &held);
		out->more = ++n > HELD_LOOK;
		if (!held.discarded)
			note_top(out, held.entry.stamp);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(one);
	}
	ReadingEnd(&reading);
	MemoryContextDelete(one);
}

void
HeldRowEach(Oid table, Snapshot snapshot, void (*each) (void *arg, const HeldRowListed *row), void *arg)
{
	Reading		reading;
	ScanKeyData key;
	HeapTuple	row;
	MemoryContext one = AllocSetContextCreate(CurrentMemoryContext, "vecdb held row", ALLOCSET_SMALL_SIZES);

	KeptTableKey(&key, table);
	ReadingBegin(&reading, SYNC_HELD_ROW, false, snapshot, &key, 1);
	while (HeapTupleIsValid(row = ReadingNext(&reading)))
	{
		MemoryContext outer = MemoryContextSwitchTo(one);
		HeldRowListed listed = {0};

		CHECK_FOR_INTERRUPTS();
		listed.key = ReadingBytes(&reading, row, HELD_KEY);
		take_held(&reading, row, &listed.row);
		listed.since = DatumGetTimestampTz(ReadingValue(&reading, row, HELD_SINCE));
		listed.error = DatumGetTextPP(ReadingValue(&reading, row, HELD_TEXT));
		each(arg, &listed);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(one);
	}
	ReadingEnd(&reading);
	MemoryContextDelete(one);
}

Oid
HeldRowNextTable(Oid after, Snapshot snapshot)
{
	return KeptNextTable(SYNC_HELD_ROW, after, snapshot);
}
