/*
 * capture.c
 *	  Trigger functions that give local writes their versions.
 *
 * A row trigger only notes the keys of the row; what a key's row is, is read when it is
 * stamped: at the end of the statement, before the commit where a statement has had no
 * end (logical replication), and when many keys have come together.  All that writes a
 * row holds its lock, so what is read then does not change any more unless this
 * transaction changes it, which notes its key again.
 *
 * Keys that were noted in a subtransaction are stamped in it, never in one within it: what
 * is rolled back takes the stamps along and the keys with them, and no key is stamped by
 * what may be rolled back without it.  So the list of keys is a stack by nest level.
 *
 * Rows and versions are read and written by table and index access: rights, policies and
 * settings of who writes have no part in it.
 */
#include "rows/capture.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "fault_point.h"
#include "fmgr.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "node/node_ipc.h"
#include "rows/row_key.h"
#include "rows/rows_shared.h"
#include "rows/version_table.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(vecdb_capture_row);
PG_FUNCTION_INFO_V1(vecdb_capture_statement);
PG_FUNCTION_INFO_V1(vecdb_capture_truncate);

#define KEYS_MAX 4096			/* of a table and a nest level, then they are stamped */

/* What is known of a table that has the triggers; for the session, until its relation cache entry goes. */
typedef struct CapturedTable
{
	Oid			table;			/* key of the hash table */
	bool		valid;
	bool		captured;		/* it has a version table; else it is an ordinary one, as after a restore */
	MemoryContext context;
	RowShape   *shape;
} CapturedTable;

typedef struct PendingKey
{
	int			level;			/* of the subtransaction that wrote the row */
	uint32		len;
	Size		offset;			/* in bytes */
} PendingKey;

/* Keys of a table that are to be stamped, in TopTransactionContext; levels ascend. */
typedef struct Pending
{
	Oid			table;
	int			n;
	int			room;
	PendingKey *key;
	StringInfoData bytes;
	struct Pending *next;
} Pending;

/* Stamping rows of one table. */
typedef struct Stamper
{
	Relation	rel;
	RowShape   *shape;
	RowKeyIndex rows;
	TupleTableSlot *slot;		/* of the row as it stands now */
	VersionTable versions;
	MemoryContext scratch;		/* of one key */
	RowStamp	stamp;			/* ticket 0: none was needed yet */
	RowIncarnationId id;
	uint64		clock;
} Stamper;

static HTAB *tables;
static Pending *pending;
static Oid	skipped = InvalidOid;
static RowBytes skipped_key;

/* ---------------------------------------------------------------------------
 * Tables
 */

static void
forget_table(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	CapturedTable *table;

	if (OidIsValid(relid))
	{
		table = hash_search(tables, &relid, HASH_FIND, NULL);
		if (table)
			table->valid = false;
		return;
	}
	hash_seq_init(&status, tables);
	while ((table = hash_seq_search(&status)) != NULL)
		table->valid = false;
}

static void
make_tables(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(CapturedTable), .hcxt = CacheMemoryContext};

	tables = hash_create("vecdb captured tables", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
}

/* A shape that is not good any more is freed when the next is made: nobody is at it then. */
static CapturedTable *
find_table(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	CapturedTable *table;
	bool		found;
	MemoryContext outer;

	if (!tables)
		make_tables();
	table = hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
	{
		table->valid = false;
		table->context = NULL;
	}
	if (table->valid)
		return table;
	if (table->context)
		MemoryContextDelete(table->context);
	table->context = NULL;
	table->shape = NULL;
	table->captured = OidIsValid(VersionTableOf(relid));
	if (table->captured)
	{
		table->context = AllocSetContextCreate(CacheMemoryContext, "vecdb captured table", ALLOCSET_SMALL_SIZES);
		table->valid = true;	/* what comes meanwhile makes it false again */
		outer = MemoryContextSwitchTo(table->context);
		PG_TRY();
		{
			table->shape = RowShapeOf(rel);
		}
		PG_CATCH();
		{
			table->valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
		MemoryContextSwitchTo(outer);
	}
	else
		table->valid = true;
	return table;
}

/* ---------------------------------------------------------------------------
 * Stamping
 */

/* False: the table is gone, or captured no more.  Locks stay until the end of the transaction. */
static bool
stamper_open(Stamper *self, Oid table)
{
	CapturedTable *captured;

	memset(self, 0, sizeof(*self));
	self->rel = try_relation_open(table, RowExclusiveLock);
	if (self->rel == NULL)
		return false;
	captured = find_table(self->rel);
	if (!captured->captured)
	{
		relation_close(self->rel, NoLock);
		return false;
	}
	self->shape = captured->shape;
	VersionTableOpen(&self->versions, table, RowExclusiveLock, true);
	RowKeyOpen(&self->rows, self->rel, self->shape, RowExclusiveLock);
	self->slot = table_slot_create(self->rel, NULL);
	self->scratch = AllocSetContextCreate(CurrentMemoryContext, "vecdb stamp", ALLOCSET_SMALL_SIZES);
	return true;
}

static void
stamper_close(Stamper *self)
{
	MemoryContextDelete(self->scratch);
	ExecDropSingleTupleTableSlot(self->slot);
	RowKeyClose(&self->rows);
	VersionTableClose(&self->versions, NoLock);
	relation_close(self->rel, NoLock);
	/* what was put is not seen by the same command, which may come to the same row again */
	CommandCounterIncrement();
}

/*
 * A clock value for a row whose entry is old, or NULL.  All keys of a flush are different,
 * so one value is good for all of them that have no later version.
 */
static void
next_clock(Stamper *self, const RowEntry *old)
{
	uint64		above = 0;

	if (old && old->version.clock >= ROW_CLOCK_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a row of shared collection \"%s\" has the last version that there is", RelationGetRelationName(self->rel)),
				 errdetail("A member of the collection has set the row's clock to its end."),
				 errhint("Give the row another key.")));
	if (self->clock != 0 && (!old || old->version.clock < self->clock))
		return;
	/* what is too far ahead of the time of day is passed by this row alone */
	if (old && RowsClockHeard(old->version.clock, VecdbMaxClockSkew_s * INT64CONST(1000000)))
		above = old->version.clock;
	if (self->clock != 0 && above == 0)
		return;
	self->clock = RowsClockNext(above);
	if (self->clock == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the clock of shared collections has come to its end")));
}

/*
 * Give the row of a key the version that it needs.  False: as it stands it has one already.
 * What was set aside for the key has lost; who applies rows finds that, and takes it away.
 */
static bool
stamp_key(Stamper *self, RowBytes key)
{
	uint8		hash[ROW_HASH];
	uint8		vector_hash[ROW_HASH];
	bool		live = RowKeyFetch(&self->rows, key, SnapshotSelf, self->slot);

	if (live)
		CaptureLimit(self->rel, RowShapeHashes(self->shape, self->slot, hash, vector_hash));
	ExecClearTuple(self->slot);
	for (;;)
	{
		VersionRow	old;
		RowEntry	entry;
		bool		there = VersionLock(&self->versions, key, true, &old) == VERSION_THERE;

		if (!live && !there)
			return false;		/* it came and went in this transaction */
		if (there && old.entry.held == ROW_APPLIED && live == old.entry.live &&
			(!live || memcmp(hash, old.entry.hash, ROW_HASH) == 0))
			return false;
		if (self->stamp.ticket == 0)
			self->stamp = RowsTicket(RelationGetRelid(self->rel), false, &self->id);
		next_clock(self, there ? &old.entry : NULL);
		entry = row_written(there ? &old.entry : NULL, self->clock, self->stamp, &self->id, live, hash, vector_hash);
		if (there)
			VersionPut(&self->versions, &old, key, &entry);
		else if (!VersionTryPut(&self->versions, key, &entry))
			continue;
		FAULT_POINT("row-stamped");
		return true;
	}
}

/* ---------------------------------------------------------------------------
 * Keys
 */

static RowBytes
bytes_of(const PendingKey *key, const uint8 *bytes)
{
	return (RowBytes) {bytes + key->offset, key->len};
}

static int
compare_keys(const void *a, const void *b, void *bytes)
{
	return row_key_compare(bytes_of(a, bytes), bytes_of(b, bytes));
}

/* The first of the keys of this nest level. */
static int
level_start(const Pending *self, int level)
{
	int			start = self->n;

	while (start > 0 && self->key[start - 1].level >= level)
		start--;
	return start;
}

static void
cut(Pending *self, int start)
{
	if (start == self->n)
		return;
	self->bytes.len = (int) self->key[start].offset;
	self->n = start;
}

/*
 * Stamp the keys of the current nest level, in their order: so two transactions that
 * write the same rows meet at their versions in the same order.
 */
static void
flush(Pending *self)
{
	int			start = level_start(self, GetCurrentTransactionNestLevel());
	int			n = self->n - start;
	PendingKey *sorted;
	uint8	   *bytes;
	Stamper		stamper;
	MemoryContext outer;

	if (n == 0)
		return;
	sorted = palloc(n * sizeof(PendingKey));
	bytes = palloc(self->bytes.len);
	memcpy(sorted, self->key + start, n * sizeof(PendingKey));
	memcpy(bytes, self->bytes.data, self->bytes.len);
	cut(self, start);
	if (!stamper_open(&stamper, self->table))
		return;
	qsort_arg(sorted, n, sizeof(PendingKey), compare_keys, bytes);
	outer = MemoryContextSwitchTo(stamper.scratch);
	for (int i = 0; i < n; i++)
	{
		if (i > 0 && compare_keys(&sorted[i - 1], &sorted[i], bytes) == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		(void) stamp_key(&stamper, bytes_of(&sorted[i], bytes));
		MemoryContextReset(stamper.scratch);
	}
	MemoryContextSwitchTo(outer);
	stamper_close(&stamper);
	pfree(sorted);
	pfree(bytes);
}

static Pending *
pending_of(Oid table)
{
	Pending    *self;
	MemoryContext outer;

	for (self = pending; self; self = self->next)
		if (self->table == table)
			return self;
	outer = MemoryContextSwitchTo(TopTransactionContext);
	self = palloc0(sizeof(Pending));
	self->table = table;
	self->room = 64;
	self->key = palloc(self->room * sizeof(PendingKey));
	initStringInfo(&self->bytes);
	self->next = pending;
	pending = self;
	MemoryContextSwitchTo(outer);
	return self;
}

static void
note(Pending *self, const uint8 *key, size_t len)
{
	int			level = GetCurrentTransactionNestLevel();

	if (self->n - KEYS_MAX >= 0 && self->key[self->n - KEYS_MAX].level == level)
		flush(self);
	if (self->n == self->room)
	{
		self->key = repalloc_huge(self->key, 2 * (Size) self->room * sizeof(PendingKey));
		self->room *= 2;
	}
	self->key[self->n] = (PendingKey) {level, (uint32) len, (Size) self->bytes.len};
	appendBinaryStringInfo(&self->bytes, (const char *) key, (int) len);
	self->n++;
}

/* ---------------------------------------------------------------------------
 * Triggers
 */

static TriggerData *
trigger_data(FunctionCallInfo fcinfo, bool row, const char *name)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || row != !!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" is for triggers that vecdb makes", name)));
	return trigger;
}

/*
 * Who applies a row of another node writes its version, too; what code of a user's writes to
 * other rows meanwhile is a local write.
 */
static void
note_unless_skipped(Oid table, const uint8 *key, size_t len)
{
	if (table != skipped || len != skipped_key.len || memcmp(key, skipped_key.at, len) != 0)
		note(pending_of(table), key, len);
}

/* The table where its rows are captured, else NULL. */
static CapturedTable *
captured_table(Relation rel)
{
	CapturedTable *table;

	table = find_table(rel);
	if (!table->captured)
		return NULL;
	if (!SyncPreloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shared collection \"%s\" cannot be written: this server does not preload vecdb", RelationGetRelationName(rel)),
				 errhint("Add vecdb to shared_preload_libraries and restart the server.")));
	return table;
}

Datum
vecdb_capture_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, true, "vecdb.capture_row");
	CapturedTable *table = captured_table(trigger->tg_relation);
	uint8		key[ROW_KEY_MAX];
	uint8		new_key[ROW_KEY_MAX];
	size_t		len;
	size_t		new_len;

	if (!table)
		return PointerGetDatum(NULL);
	len = RowShapeKey(table->shape, trigger->tg_trigslot, key);
	note_unless_skipped(table->table, key, len);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		new_len = RowShapeKey(table->shape, trigger->tg_newslot, new_key);
		if (new_len != len || memcmp(key, new_key, len) != 0)
			note_unless_skipped(table->table, new_key, new_len);
	}
	return PointerGetDatum(NULL);
}

Datum
vecdb_capture_statement(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, false, "vecdb.capture_statement");

	for (Pending *self = pending; self; self = self->next)
		if (self->table == RelationGetRelid(trigger->tg_relation))
			flush(self);
	return PointerGetDatum(NULL);
}

/* All that is live becomes dead, unless another trigger has put it back. */
Datum
vecdb_capture_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, false, "vecdb.capture_truncate");
	Stamper		stamper;
	Snapshot	snapshot;
	VersionScan *scan;
	VersionRow	row;
	MemoryContext outer;

	if (!captured_table(trigger->tg_relation) || !stamper_open(&stamper, RelationGetRelid(trigger->tg_relation)))
		return PointerGetDatum(NULL);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = VersionScanKeys(&stamper.versions, snapshot, (RowBytes) {NULL, 0}, (RowBytes) {NULL, 0});
	outer = MemoryContextSwitchTo(stamper.scratch);
	while (VersionScanNext(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		if (row.entry.live)
			(void) stamp_key(&stamper, row.key);
		MemoryContextReset(stamper.scratch);
	}
	MemoryContextSwitchTo(outer);
	VersionScanEnd(scan);
	UnregisterSnapshot(snapshot);
	stamper_close(&stamper);
	return PointerGetDatum(NULL);
}

/* Versions for keys of the version table whose rows are not what their versions say; how many. */
static int64
rescan_versions(Stamper *self, Snapshot snapshot)
{
	VersionScan *scan = VersionScanKeys(&self->versions, snapshot, (RowBytes) {NULL, 0}, (RowBytes) {NULL, 0});
	MemoryContext outer = MemoryContextSwitchTo(self->scratch);
	VersionRow	row;
	int64		n = 0;

	while (VersionScanNext(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		if (row.entry.held == ROW_APPLIED)
			n += stamp_key(self, row.key);
		MemoryContextReset(self->scratch);
	}
	MemoryContextSwitchTo(outer);
	VersionScanEnd(scan);
	return n;
}

/* Versions for rows that have none. */
static int64
rescan_rows(Stamper *self, Snapshot snapshot)
{
	TupleTableSlot *slot = table_slot_create(self->rel, NULL);
	TableScanDesc scan = VecdbBeginScan(self->rel, snapshot);
	MemoryContext outer = MemoryContextSwitchTo(self->scratch);
	int64		n = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		uint8		bytes[ROW_KEY_MAX];
		RowBytes	key = {bytes, RowShapeKey(self->shape, slot, bytes)};
		VersionRow	row;

		CHECK_FOR_INTERRUPTS();
		if (!VersionGet(&self->versions, snapshot, key, &row))
			n += stamp_key(self, key);
		MemoryContextReset(self->scratch);
	}
	MemoryContextSwitchTo(outer);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return n;
}

int64
CaptureRescan(Oid table)
{
	Stamper		stamper;
	Snapshot	snapshot;
	int64		n;

	/* nobody writes meanwhile, no applier either */
	LockRelationOid(table, ShareRowExclusiveLock);
	if (!stamper_open(&stamper, table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not shared", get_rel_name(table))));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	n = rescan_rows(&stamper, snapshot) + rescan_versions(&stamper, snapshot);
	UnregisterSnapshot(snapshot);
	stamper_close(&stamper);
	return n;
}

void
CaptureSkip(Oid table, RowBytes key)
{
	skipped = table;
	skipped_key = key;
}

/* ---------------------------------------------------------------------------
 * Ends of transactions
 */

static void
before_end(void)
{
	for (Pending *self = pending; self; self = self->next)
	{
		if (self->n == 0)
			continue;
		PushActiveSnapshot(GetTransactionSnapshot());
		flush(self);
		PopActiveSnapshot();
	}
}

static void
at_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			before_end();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			pending = NULL;
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	for (Pending *keys = pending; keys; keys = keys->next)
	{
		int			start;

		if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
			return;
		start = level_start(keys, level);
		if (event == SUBXACT_EVENT_ABORT_SUB)
			cut(keys, start);
		else
			for (int i = start; i < keys->n; i++)
				keys->key[i].level = level - 1;
	}
}

void
CaptureInit(void)
{
	RegisterXactCallback(at_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
