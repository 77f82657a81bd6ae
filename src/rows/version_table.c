/*
 * version_table.c
 *	  Version tables: made by DDL as the bootstrap superuser, read and written by table
 *	  and index access.
 *
 * Nobody but a superuser has rights on one.  What a superuser has changed is refused:
 * rows are formed and indexes are written by what this file says they are.  No
 * expression is evaluated; the index of tombstones, which has a predicate, gets an entry
 * where `live` is false.
 *
 * A row has at most 1.2 kB, below where PostgreSQL begins to compress, so the tables
 * have no TOAST table.
 *
 *	entry	= tie[16] birth vector_stamp held:u8 hash[16] vector_hash[16]
 *	birth, vector_stamp	= incarnation:u32 ticket:u64, little-endian
 */
#include "rows/version_table.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "core/bytes.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

enum
{
	KEY = 1,
	INCARNATION,
	TICKET,
	CLOCK,
	LIVE,
	ENTRY,
	COLUMNS = ENTRY
};

enum
{
	BY_KEY,
	BY_STAMP,
	DEAD
};

#define STAMP_BYTES 12
#define ENTRY_BYTES (3 * ROW_HASH + 2 * STAMP_BYTES + 1)

static const Oid column_types[COLUMNS] = {BYTEAOID, INT4OID, INT8OID, INT8OID, BOOLOID, BYTEAOID};

struct VersionScan
{
	IndexScanDesc scan;
	TupleTableSlot *slot;
	MemoryContext context;		/* in which it was begun: index scans allocate as they go on */
};

/* ---------------------------------------------------------------------------
 * Making and dropping
 */

static void
table_name(Oid table, char name[NAMEDATALEN])
{
	snprintf(name, NAMEDATALEN, "version_%u", table);
}

Oid
VersionTableOf(Oid table)
{
	Oid			schema = get_namespace_oid("vecdb", true);
	char		name[NAMEDATALEN];

	table_name(table, name);
	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/* A utility statement as a part of another one: event triggers are for whole ones. */
static void
run_ddl(const char *text)
{
	ListCell   *cell;

	foreach(cell, pg_parse_query(text))
	{
		PlannedStmt *statement = makeNode(PlannedStmt);
		RawStmt    *raw = lfirst_node(RawStmt, cell);

		statement->commandType = CMD_UTILITY;
		statement->canSetTag = false;
		statement->utilityStmt = raw->stmt;
		statement->stmt_location = raw->stmt_location;
		statement->stmt_len = raw->stmt_len;
		standard_ProcessUtility(statement, text, false, PROCESS_UTILITY_SUBCOMMAND, NULL, NULL, None_Receiver, NULL);
		CommandCounterIncrement();
	}
}

Oid
VersionTableCreate(Oid table)
{
	static const char *const pinned[][2] = {{"default_tablespace", ""}, {"default_table_access_method", "heap"}};
	ObjectAddress self;
	ObjectAddress extension;
	char		name[NAMEDATALEN];
	Oid			user;
	int			context;
	int			nest;

	table_name(table, name);
	/* an error ends the (sub)transaction, which puts user and settings back */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	nest = NewGUCNestLevel();
	VecdbRestrictSearchPath();
	for (int i = 0; i < (int) lengthof(pinned); i++)
		(void) set_config_option(pinned[i][0], pinned[i][1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	run_ddl(psprintf("CREATE TABLE vecdb.%s (key pg_catalog.bytea PRIMARY KEY, incarnation pg_catalog.int4 NOT NULL, "
					 "ticket pg_catalog.int8 NOT NULL, clock pg_catalog.int8 NOT NULL, live pg_catalog.bool NOT NULL, "
					 "entry pg_catalog.bytea NOT NULL) USING heap WITH (autovacuum_vacuum_scale_factor = 0.1, "
					 "autovacuum_vacuum_threshold = 1000, autovacuum_analyze_threshold = 2000000000)",
					 name));
	run_ddl(psprintf("CREATE INDEX %s_stamp ON vecdb.%s USING btree (incarnation pg_catalog.int4_ops, ticket pg_catalog.int8_ops)",
					 name, name));
	run_ddl(psprintf("CREATE INDEX %s_dead ON vecdb.%s USING btree (key pg_catalog.bytea_ops) WHERE NOT live", name, name));
	AtEOXact_GUC(false, nest);
	SetUserIdAndSecContext(user, context);
	ObjectAddressSet(self, RelationRelationId, VersionTableOf(table));
	ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("vecdb", false));
	recordDependencyOn(&self, &extension, DEPENDENCY_EXTENSION);
	CommandCounterIncrement();
	return self.objectId;
}

void
VersionTableDrop(Oid table)
{
	ObjectAddress self;

	ObjectAddressSet(self, RelationRelationId, VersionTableOf(table));
	if (!OidIsValid(self.objectId))
		return;
	LockRelationOid(self.objectId, AccessExclusiveLock);
	/* a member of the extension could not be dropped */
	(void) deleteDependencyRecordsForClass(RelationRelationId, self.objectId, ExtensionRelationId, DEPENDENCY_EXTENSION);
	CommandCounterIncrement();
	performDeletion(&self, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/* ---------------------------------------------------------------------------
 * Opening
 */

static void pg_attribute_noreturn()
refuse(Oid table, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"vecdb.version_%u\" is not as the extension made it: %s", table, what),
			 errhint("Take the change back.")));
}

static void
lock(Oid relid, LOCKMODE mode, bool wait, Oid table)
{
	if (wait)
		LockRelationOid(relid, mode);
	else if (!ConditionalLockRelationOid(relid, mode))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("table \"vecdb.version_%u\" or an index of it is locked by another session", table)));
}

/* Which index is it?  By what it is, not by its name. */
static int
kind_of(Relation index)
{
	Form_pg_index form = index->rd_index;
	bool		partial = !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || !form->indisready ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL))
		return -1;
	if (form->indnatts == 2 && !form->indisunique && !partial &&
		form->indkey.values[0] == INCARNATION && form->indkey.values[1] == TICKET)
		return BY_STAMP;
	if (form->indnatts != 1 || form->indkey.values[0] != KEY)
		return -1;
	if (form->indisprimary && form->indimmediate)
		return BY_KEY;
	return partial && !form->indisunique ? DEAD : -1;
}

static void
open_indexes(VersionTable *self, Oid table, LOCKMODE mode, bool wait)
{
	List	   *indexes = RelationGetIndexList(self->rel);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index;
		int			kind;

		lock(lfirst_oid(cell), mode, wait, table);
		index = index_open(lfirst_oid(cell), NoLock);
		kind = kind_of(index);
		if (kind < 0 || self->index[kind] != NULL)
			refuse(table, "it has another index");
		self->index[kind] = index;
		self->info[kind] = BuildIndexInfo(index);
	}
	list_free(indexes);
	for (int i = 0; i < VERSION_INDEXES; i++)
		if (self->index[i] == NULL)
			refuse(table, "it lacks an index");
}

void
VersionTableOpen(VersionTable *self, Oid table, LOCKMODE mode, bool wait)
{
	Oid			relid = VersionTableOf(table);
	TupleDesc	desc;

	memset(self, 0, sizeof(*self));
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"vecdb.version_%u\" is not there", table)));
	lock(relid, mode, wait, table);
	self->rel = try_relation_open(relid, NoLock);
	if (self->rel == NULL)
		refuse(table, "it was dropped");
	if (self->rel->rd_rel->relkind != RELKIND_RELATION || self->rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		self->rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		refuse(table, "it is no ordinary table");
	if (self->rel->rd_rel->relowner != BOOTSTRAP_SUPERUSERID)
		refuse(table, "it is somebody else's");
	desc = RelationGetDescr(self->rel);
	if (desc->natts != COLUMNS)
		refuse(table, "it has other columns");
	for (int i = 0; i < COLUMNS; i++)
		if (TupleDescAttr(desc, i)->attisdropped || TupleDescAttr(desc, i)->atttypid != column_types[i])
			refuse(table, "it has other columns");
	open_indexes(self, table, mode, wait);
	self->slot = table_slot_create(self->rel, NULL);
}

void
VersionTableClose(VersionTable *self, LOCKMODE unlock)
{
	ExecDropSingleTupleTableSlot(self->slot);
	for (int i = 0; i < VERSION_INDEXES; i++)
	{
		pfree(self->info[i]);
		index_close(self->index[i], unlock);
	}
	relation_close(self->rel, unlock);
	memset(self, 0, sizeof(*self));
}

/* ---------------------------------------------------------------------------
 * Rows as entries
 */

static uint8 *
put_stamp(uint8 *at, RowStamp stamp)
{
	bytes_store(at, 4, stamp.incarnation);
	bytes_store(at + 4, 8, stamp.ticket);
	return at + STAMP_BYTES;
}

static const uint8 *
take_stamp(const uint8 *at, RowStamp *stamp)
{
	stamp->incarnation = (uint32) bytes_load(at, 4);
	stamp->ticket = bytes_load(at + 4, 8);
	return at + STAMP_BYTES;
}

static uint8 *
put_hash(uint8 *at, const uint8 *hash)
{
	memcpy(at, hash, ROW_HASH);
	return at + ROW_HASH;
}

static const uint8 *
take_hash(const uint8 *at, uint8 *hash)
{
	memcpy(hash, at, ROW_HASH);
	return at + ROW_HASH;
}

static void
encode(const RowEntry *entry, uint8 bytes[ENTRY_BYTES])
{
	uint8	   *at = bytes;

	at = put_hash(at, entry->version.tie);
	at = put_stamp(at, entry->birth);
	at = put_stamp(at, entry->vector_stamp);
	*at++ = (uint8) entry->held;
	at = put_hash(at, entry->hash);
	at = put_hash(at, entry->vector_hash);
	Assert(at == bytes + ENTRY_BYTES);
}

/* Bytes of a column that was written short. */
static RowBytes
column_bytes(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);
	struct varlena *bytes = isnull ? NULL : (struct varlena *) DatumGetPointer(value);

	if (bytes == NULL || VARATT_IS_EXTERNAL(bytes) || VARATT_IS_COMPRESSED(bytes))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a row of a version table holds a value of another form")));
	return (RowBytes) {(const uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)};
}

static Datum
column_value(TupleTableSlot *slot, int column)
{
	bool		isnull;

	return slot_getattr(slot, column, &isnull);
}

static void
read_row(TupleTableSlot *slot, VersionRow *out)
{
	RowBytes	bytes = column_bytes(slot, ENTRY);
	const uint8 *at = bytes.at;
	RowEntry   *entry = &out->entry;

	out->key = column_bytes(slot, KEY);
	out->tid = slot->tts_tid;
	memset(entry, 0, sizeof(*entry));
	entry->stamp.incarnation = (uint32) DatumGetInt32(column_value(slot, INCARNATION));
	entry->stamp.ticket = (uint64) DatumGetInt64(column_value(slot, TICKET));
	entry->version.clock = (uint64) DatumGetInt64(column_value(slot, CLOCK));
	entry->live = DatumGetBool(column_value(slot, LIVE));
	if (bytes.len != ENTRY_BYTES || out->key.len > ROW_KEY_MAX || at[ROW_HASH + 2 * STAMP_BYTES] > ROW_QUARANTINED)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a row of a version table is damaged"),
				 errdetail("Its entry has %zu bytes, its key %zu.", bytes.len, out->key.len)));
	at = take_hash(at, entry->version.tie);
	at = take_stamp(at, &entry->birth);
	at = take_stamp(at, &entry->vector_stamp);
	entry->held = (RowHeld) *at++;
	at = take_hash(at, entry->hash);
	(void) take_hash(at, entry->vector_hash);
}

static Datum
bytea_of(const uint8 *bytes, size_t len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	if (len > 0)
		memcpy(VARDATA(value), bytes, len);
	return PointerGetDatum(value);
}

/* ---------------------------------------------------------------------------
 * One row
 */

/* The row of a key that a snapshot shows, into the slot; as a copy, which no (sub)transaction owns. */
static bool
fetch(VersionTable *self, Snapshot snapshot, RowBytes key)
{
	Datum		value = bytea_of(key.at, key.len);
	IndexScanDesc scan = VecdbIndexBeginScan(self->rel, self->index[BY_KEY], snapshot, 1);
	ScanKeyData scan_key;
	bool		found;

	ScanKeyInit(&scan_key, 1, BTEqualStrategyNumber, F_BYTEAEQ, value);
	index_rescan(scan, &scan_key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, self->slot);
	if (found)
		ExecMaterializeSlot(self->slot);
	index_endscan(scan);
	pfree(DatumGetPointer(value));
	return found;
}

bool
VersionGet(VersionTable *self, Snapshot snapshot, RowBytes key, VersionRow *out)
{
	memset(out, 0, sizeof(*out));
	if (!fetch(self, snapshot, key))
		return false;
	read_row(self->slot, out);
	return true;
}

/* What was committed last of a row that another transaction is at. */
static VersionFound
busy(VersionTable *self, RowBytes key, VersionRow *out)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	(void) VersionGet(self, snapshot, key, out);
	UnregisterSnapshot(snapshot);
	return VERSION_BUSY;
}

/* Was the row in the slot written by this transaction?  Then nobody else can be at it. */
static bool
is_own(VersionTable *self)
{
	bool		isnull;

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(slot_getsysattr(self->slot, MinTransactionIdAttributeNumber,
																					 &isnull)));
}

/* Lock the row in the slot. */
static TM_Result
lock_row(VersionTable *self, bool wait)
{
	ItemPointerData tid = self->slot->tts_tid;
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(self->rel, &tid, SnapshotSelf, self->slot, GetCurrentCommandId(true), LockTupleExclusive,
							  wait ? LockWaitBlock : LockWaitSkip, 0, &failure);
	if (result == TM_Ok)
		ExecMaterializeSlot(self->slot);
	else
		ExecClearTuple(self->slot);
	return result;
}

/*
 * A dirty snapshot shows what others are about to commit.  A scan with it may miss a row
 * that is updated meanwhile, and then says that there is none: who puts one learns of it.
 */
VersionFound
VersionLock(VersionTable *self, RowBytes key, bool wait, VersionRow *out)
{
	for (;;)
	{
		SnapshotData dirty;
		TransactionId other;
		TM_Result	result;

		CHECK_FOR_INTERRUPTS();
		memset(out, 0, sizeof(*out));
		InitDirtySnapshot(dirty);
		if (!fetch(self, &dirty, key))
			return VERSION_ABSENT;
		other = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
		if (TransactionIdIsValid(other))
		{
			ItemPointerData tid = self->slot->tts_tid;

			if (!wait)
				return busy(self, key, out);
			XactLockTableWait(other, self->rel, &tid, XLTW_FetchUpdated);
			continue;
		}
		if (is_own(self))
		{
			/* what a command has put, the same command cannot put again */
			CommandCounterIncrement();
			result = TM_Ok;
		}
		else
			result = lock_row(self, wait);
		if (result == TM_WouldBlock)
			return busy(self, key, out);
		if (result == TM_Ok)
		{
			read_row(self->slot, out);
			return VERSION_THERE;
		}
	}
}

/* The entries of a row in all indexes.  False: another transaction has one of this key; only where `sure` is not set. */
static bool
insert_entries(VersionTable *self, HeapTuple tuple, Datum *values, bool replaces, bool sure)
{
	bool		nulls[2] = {false, false};
	bool		dead = !DatumGetBool(values[LIVE - 1]);

	if (!index_insert(self->index[BY_KEY], &values[KEY - 1], nulls, &tuple->t_self, self->rel,
					  sure ? UNIQUE_CHECK_YES : UNIQUE_CHECK_PARTIAL, replaces, self->info[BY_KEY]) && !sure)
		return false;
	(void) index_insert(self->index[BY_STAMP], &values[INCARNATION - 1], nulls, &tuple->t_self, self->rel,
						UNIQUE_CHECK_NO, false, self->info[BY_STAMP]);
	if (dead)
		(void) index_insert(self->index[DEAD], &values[KEY - 1], nulls, &tuple->t_self, self->rel,
							UNIQUE_CHECK_NO, false, self->info[DEAD]);
	return true;
}

static bool
put(VersionTable *self, const VersionRow *old, RowBytes key, const RowEntry *entry, bool sure)
{
	uint8		bytes[ENTRY_BYTES];
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};
	HeapTuple	tuple;
	bool		done = true;

	Assert(key.len <= ROW_KEY_MAX && entry->version.clock <= PG_INT64_MAX && entry->stamp.ticket <= PG_INT64_MAX);
	encode(entry, bytes);
	values[KEY - 1] = bytea_of(key.at, key.len);
	values[INCARNATION - 1] = Int32GetDatum((int32) entry->stamp.incarnation);
	values[TICKET - 1] = Int64GetDatum((int64) entry->stamp.ticket);
	values[CLOCK - 1] = Int64GetDatum((int64) entry->version.clock);
	values[LIVE - 1] = BoolGetDatum(entry->live);
	values[ENTRY - 1] = bytea_of(bytes, sizeof(bytes));
	tuple = heap_form_tuple(RelationGetDescr(self->rel), values, nulls);
	if (old)
	{
		ItemPointerData tid = old->tid;

		VecdbHeapUpdate(self->rel, &tid, tuple);
	}
	else
		simple_heap_insert(self->rel, tuple);
	/* an update that changes nothing that is indexed has the entries of the old row */
	if (!HeapTupleIsHeapOnly(tuple))
		done = insert_entries(self, tuple, values, old != NULL, sure);
	if (!done)
	{
		CommandCounterIncrement();
		simple_heap_delete(self->rel, &tuple->t_self);
	}
	heap_freetuple(tuple);
	pfree(DatumGetPointer(values[KEY - 1]));
	pfree(DatumGetPointer(values[ENTRY - 1]));
	return done;
}

void
VersionPut(VersionTable *self, const VersionRow *old, RowBytes key, const RowEntry *entry)
{
	(void) put(self, old, key, entry, true);
}

bool
VersionTryPut(VersionTable *self, RowBytes key, const RowEntry *entry)
{
	return put(self, NULL, key, entry, false);
}

void
VersionRemove(VersionTable *self, const VersionRow *old)
{
	ItemPointerData tid = old->tid;

	simple_heap_delete(self->rel, &tid);
}

/* ---------------------------------------------------------------------------
 * Scans
 */

static VersionScan *
begin_scan(VersionTable *self, int index, Snapshot snapshot, ScanKey keys, int n)
{
	VersionScan *scan = palloc0(sizeof(VersionScan));

	scan->context = CurrentMemoryContext;
	scan->slot = table_slot_create(self->rel, NULL);
	scan->scan = VecdbIndexBeginScan(self->rel, self->index[index], snapshot, n);
	index_rescan(scan->scan, keys, n, NULL, 0);
	return scan;
}

static VersionScan *
scan_keys(VersionTable *self, int index, Snapshot snapshot, RowBytes low, RowBytes high)
{
	ScanKeyData keys[2];
	int			n = 0;

	if (low.len > 0)
		ScanKeyInit(&keys[n++], 1, BTGreaterStrategyNumber, F_BYTEAGT, bytea_of(low.at, low.len));
	if (high.len > 0)
		ScanKeyInit(&keys[n++], 1, BTLessEqualStrategyNumber, F_BYTEALE, bytea_of(high.at, high.len));
	return begin_scan(self, index, snapshot, keys, n);
}

VersionScan *
VersionScanKeys(VersionTable *self, Snapshot snapshot, RowBytes low, RowBytes high)
{
	return scan_keys(self, BY_KEY, snapshot, low, high);
}

VersionScan *
VersionScanDead(VersionTable *self, Snapshot snapshot, RowBytes low)
{
	return scan_keys(self, DEAD, snapshot, low, (RowBytes) {NULL, 0});
}

VersionScan *
VersionScanStamps(VersionTable *self, Snapshot snapshot, uint32 incarnation, uint64 from, uint64 to)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum((int32) incarnation));
	ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum((int64) Min(from, PG_INT64_MAX)));
	ScanKeyInit(&keys[2], 2, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum((int64) Min(to, PG_INT64_MAX)));
	return begin_scan(self, BY_STAMP, snapshot, keys, 3);
}

bool
VersionScanNext(VersionScan *scan, VersionRow *out)
{
	MemoryContext outer = MemoryContextSwitchTo(scan->context);
	bool		found = index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot);

	MemoryContextSwitchTo(outer);
	if (found)
		read_row(scan->slot, out);
	return found;
}

int
VersionScanPlaces(VersionScan *scan, ItemPointerData *place, int n)
{
	MemoryContext outer = MemoryContextSwitchTo(scan->context);
	ItemPointer next;
	int			found = 0;

	while (found < n && (next = index_getnext_tid(scan->scan, ForwardScanDirection)) != NULL)
		place[found++] = *next;
	MemoryContextSwitchTo(outer);
	return found;
}

bool
VersionAt(VersionTable *self, Snapshot snapshot, const ItemPointerData *place, VersionRow *out)
{
	IndexFetchTableData *fetch_data = VecdbIndexFetchBegin(self->rel);
	ItemPointerData tid = *place;
	bool		again = false;
	bool		found = table_index_fetch_tuple(fetch_data, &tid, snapshot, self->slot, &again, NULL);

	if (found)
		ExecMaterializeSlot(self->slot);
	table_index_fetch_end(fetch_data);
	if (found)
		read_row(self->slot, out);
	return found;
}

void
VersionScanEnd(VersionScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	pfree(scan);
}
