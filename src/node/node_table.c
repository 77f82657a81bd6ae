/*
 * node_table.c
 *	  The tables of memberships and of what is kept of shared rows, by table and index
 *	  access.
 *
 * Under a trusted extension the tables may come to belong to whom the worker
 * must not trust.  What an owner can do to them, and what becomes of it here:
 *
 *	  triggers, rules, policies, defaults, generated columns, CHECK constraints
 *			never looked at: all columns are given, none is computed
 *	  an index on an expression, of a predicate, of an access method or an
 *			operator class that is not PostgreSQL's own
 *			the table is refused: to insert would run it
 *	  NOT NULL where the worker writes nulls
 *			refused: a row with one would crash who reads it by compiled code
 *	  another type of column, a view, a partitioned or foreign table
 *			refused
 *	  a lock on the table, an index or a row
 *			an error at once, and another attempt later (worker); waited for
 *			(a session)
 *
 * CatalogTupleInsert() and its like are what PostgreSQL writes its catalogs with:
 * the heap, then the indexes, nothing else.  On a table that is no catalog they do
 * the same.
 */
#include "node/node_table.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/detoast.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "core/bytes.h"
#include "executor/tuptable.h"
#include "rows/row_shape.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

typedef struct Column
{
	const char *name;
	Oid			type;
	bool		nullable;
} Column;

static const Column shared_columns[SHARED_COLUMNS] = {
	{"root", BYTEAOID}, {"table", OIDOID, true}, {"name", TEXTOID}, {"leaving", BOOLOID}, {"since", TIMESTAMPTZOID},
	{"role", OIDOID, true}, {"paused", BOOLOID}
};
static const Column statement_columns[STATEMENT_COLUMNS] = {{"root", BYTEAOID}, {"statement", BYTEAOID}};
static const Column incarnation_columns[] = {{"root", BYTEAOID}, {"number", INT4OID}, {"incarnation", BYTEAOID}};
static const Column frontier_columns[] = {
	{"root", BYTEAOID}, {"frontier", BYTEAOID}, {"floor", BYTEAOID}, {"copied", BOOLOID}, {"heard", BYTEAOID, true}
};
static const Column held_columns[] = {
	{"table", OIDOID}, {"key", BYTEAOID}, {"held", INT2OID}, {"why", INT2OID}, {"since", TIMESTAMPTZOID}, {"text", TEXTOID},
	{"entry", BYTEAOID}, {"content", BYTEAOID}
};
static const Column conflict_columns[] = {
	{"table", OIDOID}, {"number", INT8OID}, {"key", BYTEAOID}, {"clock", INT8OID}, {"tie", BYTEAOID}, {"live", BOOLOID},
	{"since", TIMESTAMPTZOID}, {"content", BYTEAOID}
};
static const Column change_columns[SCHEMA_CHANGE_COLUMNS] = {
	{"root", BYTEAOID}, {"hash", BYTEAOID}, {"statement", BYTEAOID}, {"applied", INT4OID, true}
};

#define OTHER_ORDER 3

static const struct
{
	const char *name;
	const Column *column;
	int			n_columns;
	int			n_key;			/* the first columns are the primary key */
	int			n_other;		/* columns of the other index, 0: there is none */
	AttrNumber	other[OTHER_ORDER];
}			shapes[] = {
	{"shared_collection", shared_columns, SHARED_COLUMNS, 1},
	{"membership_statement", statement_columns, STATEMENT_COLUMNS, 2},
	{"row_incarnation", incarnation_columns, lengthof(incarnation_columns), 2},
	{"row_frontier", frontier_columns, lengthof(frontier_columns), 1},
	{"held_row", held_columns, lengthof(held_columns), 2, 3, {1, 3, 2}},
	{"row_conflict", conflict_columns, lengthof(conflict_columns), 2, 2, {1, 3}},
	{"schema_change", change_columns, SCHEMA_CHANGE_COLUMNS, 2},
};

StaticAssertDecl(lengthof(shapes) == SYNC_SCHEMA_CHANGE + 1, "a table has a shape");

static Oid
table_oid(SyncTableKind kind)
{
	Oid			schema = get_namespace_oid("vecdb", true);

	return OidIsValid(schema) ? get_relname_relid(shapes[kind].name, schema) : InvalidOid;
}

SyncTableFound
SyncTablesFind(void)
{
	if (!OidIsValid(get_extension_oid("vecdb", true)))
		return SYNC_TABLES_ABSENT;
	for (int kind = 0; kind < (int) lengthof(shapes); kind++)
	{
		Oid			table = table_oid((SyncTableKind) kind);

		if (!OidIsValid(table))
			return SYNC_TABLES_OLD;
		for (int i = 0; i < shapes[kind].n_columns; i++)
			if (get_attnum(table, shapes[kind].column[i].name) == InvalidAttrNumber)
				return SYNC_TABLES_OLD;
	}
	return SYNC_TABLES_THERE;
}

static void
lock(SyncTable *self, Oid relid, LOCKMODE mode, const char *name)
{
	if (self->wait)
		LockRelationOid(relid, mode);
	else if (!ConditionalLockRelationOid(relid, mode))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("table \"vecdb.%s\" or an index of it is locked by another session", name)));
}

static void pg_attribute_noreturn()
refuse(SyncTableKind kind, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"vecdb.%s\" is not as the extension made it: %s", shapes[kind].name, what),
			 errhint("Take the change back, or drop the extension and create it anew.")));
}

/* Would an entry of this index be made by anything but PostgreSQL's own code? */
static bool
is_plain(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	HeapTuple	class = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		isnull;
	oidvector  *opclass;
	bool		plain;

	if (!HeapTupleIsValid(tuple) || !HeapTupleIsValid(class))
		elog(ERROR, "cache lookup failed for index %u", index);
	form = (Form_pg_index) GETSTRUCT(tuple);
	plain = ((Form_pg_class) GETSTRUCT(class))->relam == BTREE_AM_OID && form->indimmediate && !form->indisexclusion &&
		heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) && heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	opclass = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indclass, &isnull));
	for (int i = 0; plain && i < form->indnkeyatts; i++)
		plain = opclass->values[i] < FirstUnpinnedObjectId;
	ReleaseSysCache(class);
	ReleaseSysCache(tuple);
	return plain;
}

/* Is this index valid, of these columns, in their ascending order? */
static bool
is_of(Relation index, const AttrNumber *column, int n)
{
	const FormData_pg_index *form = index->rd_index;

	if (!form->indisvalid || form->indnkeyatts != n)
		return false;
	for (int i = 0; i < n; i++)
		if (form->indkey.values[i] != column[i] || index->rd_indoption[i] != 0)
			return false;
	return true;
}

static void
open_indexes(SyncTable *self, SyncTableKind kind, List *indexes)
{
	static const AttrNumber first[] = {1, 2};
	Oid			key = VecdbPrimaryKeyIndex(self->rel);
	ListCell   *cell;

	if (!OidIsValid(key))
		refuse(kind, "it has no primary key");
	self->key = index_open(key, NoLock);
	if (!is_of(self->key, first, shapes[kind].n_key))
		refuse(kind, "it has another primary key");
	self->other = NULL;
	if (shapes[kind].n_other == 0)
		return;
	foreach(cell, indexes)
	{
		self->other = index_open(lfirst_oid(cell), NoLock);
		if (is_of(self->other, shapes[kind].other, shapes[kind].n_other))
			return;
		index_close(self->other, NoLock);
	}
	refuse(kind, "an index is missing");
}

void
SyncTableOpen(SyncTable *self, SyncTableKind kind, bool writing, bool wait)
{
	LOCKMODE	mode = writing ? RowExclusiveLock : AccessShareLock;
	Oid			relid = table_oid(kind);
	TupleDesc	desc;
	List	   *indexes;
	ListCell   *cell;

	self->wait = wait;
	if (!OidIsValid(relid))
		refuse(kind, "it is not there");
	lock(self, relid, mode, shapes[kind].name);
	self->rel = try_relation_open(relid, NoLock);
	if (self->rel == NULL)
		refuse(kind, "it was dropped");
	if (self->rel->rd_rel->relkind != RELKIND_RELATION || self->rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		self->rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		refuse(kind, "it is no ordinary table");
	if (getExtensionOfObject(RelationRelationId, relid) != get_extension_oid("vecdb", true))
		refuse(kind, "it is not the extension's");
	desc = RelationGetDescr(self->rel);
	if (desc->natts != shapes[kind].n_columns)
		refuse(kind, "it has other columns");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || column->atttypid != shapes[kind].column[i].type ||
			strcmp(NameStr(column->attname), shapes[kind].column[i].name) != 0)
			refuse(kind, "it has other columns");
		/* compiled code looks for no null in a column that is said to have none */
		if (column->attnotnull && shapes[kind].column[i].nullable)
			refuse(kind, "a column that may be null must not be");
	}
	indexes = RelationGetIndexList(self->rel);
	foreach(cell, indexes)
	{
		lock(self, lfirst_oid(cell), mode, shapes[kind].name);
		if (!is_plain(lfirst_oid(cell)))
			refuse(kind, "it has an index of another kind");
	}
	open_indexes(self, kind, indexes);
	list_free(indexes);
}

void
SyncTableClose(SyncTable *self)
{
	if (self->other)
		index_close(self->other, NoLock);
	index_close(self->key, NoLock);
	relation_close(self->rel, NoLock);
}

Datum
SyncBytea(const void *bytes, size_t len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), bytes, len);
	return PointerGetDatum(value);
}

SysScanDesc
SyncTableScan(SyncTable *self, const uint8 *root)
{
	ScanKeyData key;

	if (root)
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_BYTEAEQ, SyncBytea(root, SYNC_ROOT_BYTES));
	return systable_beginscan_ordered(self->rel, self->key, GetActiveSnapshot(), root ? 1 : 0, &key);
}

static void
id_of(const uint8 *root, char *id)
{
	uint8		hash[CORE_HASH_BYTES];

	RowShapeCrypto()->sha256(RowShapeCrypto()->context, root, SYNC_ROOT_BYTES, hash);
	(void) bytes_hex(hash, sizeof(hash), id);
}

/*
 * The shared collection with this table, or with this id where table is InvalidOid: its
 * table, and its id into found_id and its root key into found_root unless those are NULL.
 */
static Oid
find_shared(Oid table, const char *id, char *found_id, uint8 *found_root)
{
	SyncTable	shared;
	SysScanDesc scan;
	HeapTuple	row;
	Oid			found = InvalidOid;
	char		text[SYNC_ID_TEXT];

	Assert(OidIsValid(table) || id);
	PushActiveSnapshot(GetLatestSnapshot());
	SyncTableOpen(&shared, SYNC_SHARED_COLLECTION, false, true);
	scan = SyncTableScan(&shared, NULL);
	while (!OidIsValid(found) && HeapTupleIsValid(row = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		const uint8 *root = SyncTableBytes(&shared, row, SHARED_ROOT, SYNC_ROOT_BYTES);
		bool		isnull;
		Datum		value = SyncTableValue(&shared, row, SHARED_TABLE, &isnull);

		if (isnull || !root || DatumGetBool(SyncTableValue(&shared, row, SHARED_LEAVING, &isnull)) ||
			(OidIsValid(table) && DatumGetObjectId(value) != table))
			continue;
		id_of(root, text);
		if (id && strcmp(id, text) != 0)
			continue;
		found = DatumGetObjectId(value);
		if (found_id)
			memcpy(found_id, text, SYNC_ID_TEXT);
		if (found_root)
			memcpy(found_root, root, SYNC_ROOT_BYTES);
	}
	systable_endscan_ordered(scan);
	SyncTableClose(&shared);
	PopActiveSnapshot();
	return found;
}

bool
SyncTableIsShared(Oid table)
{
	return OidIsValid(find_shared(table, NULL, NULL, NULL));
}

bool
SyncTableId(Oid table, char *id)
{
	return OidIsValid(find_shared(table, NULL, id, NULL));
}

bool
SyncTableRoot(Oid table, uint8 root[SYNC_ROOT_BYTES])
{
	return OidIsValid(find_shared(table, NULL, NULL, root));
}

Oid
SyncTableOfId(const char *id)
{
	return find_shared(InvalidOid, id, NULL, NULL);
}

/* The first row from bytes[len] on: what begins with them stands before all others. */
bool
SyncTableHasRoot(SyncTable *self, const uint8 *bytes, size_t len)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	bool		found = false;

	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_BYTEAGE, SyncBytea(bytes, len));
	scan = systable_beginscan_ordered(self->rel, self->key, GetActiveSnapshot(), 1, &key);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(row))
	{
		bool		isnull;
		Datum		value = SyncTableValue(self, row, 1, &isnull);
		bytea	   *start = isnull ? NULL : PG_DETOAST_DATUM_SLICE(value, 0, (int32) len);

		found = start && VARSIZE_ANY_EXHDR(start) == len && memcmp(VARDATA_ANY(start), bytes, len) == 0;
	}
	systable_endscan_ordered(scan);
	return found;
}

Datum
SyncTableValue(SyncTable *self, HeapTuple row, int column, bool *isnull)
{
	return heap_getattr(row, column, RelationGetDescr(self->rel), isnull);
}

const uint8 *
SyncTableBytes(SyncTable *self, HeapTuple row, int column, size_t len)
{
	bool		isnull;
	Datum		value = SyncTableValue(self, row, column, &isnull);

	/* the size first: an owner may have put anything there */
	if (isnull || toast_raw_datum_size(value) != len + VARHDRSZ)
		return NULL;
	return (const uint8 *) VARDATA_ANY(PG_DETOAST_DATUM_COPY(value));
}

const uint8 *
SyncTableBytesUpTo(SyncTable *self, HeapTuple row, int column, size_t most, size_t *len)
{
	bool		isnull;
	Datum		value = SyncTableValue(self, row, column, &isnull);

	if (isnull || toast_raw_datum_size(value) <= VARHDRSZ || toast_raw_datum_size(value) > most + VARHDRSZ)
		return NULL;
	*len = toast_raw_datum_size(value) - VARHDRSZ;
	return (const uint8 *) VARDATA_ANY(PG_DETOAST_DATUM_COPY(value));
}

void
SyncTableText(SyncTable *self, HeapTuple row, int column, char *out, size_t room)
{
	bool		isnull;
	Datum		value = SyncTableValue(self, row, column, &isnull);

	out[0] = '\0';
	if (!isnull && toast_raw_datum_size(value) < room + VARHDRSZ)
		text_to_cstring_buffer(DatumGetTextPP(value), out, room);
}

void
SyncTableInsert(SyncTable *self, Datum *values, bool *nulls)
{
	CatalogTupleInsert(self->rel, heap_form_tuple(RelationGetDescr(self->rel), values, nulls));
}

static TM_Result
try_row(SyncTable *self, HeapTuple row, LockWaitPolicy policy)
{
	TupleTableSlot *slot = table_slot_create(self->rel, NULL);
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(self->rel, &row->t_self, GetActiveSnapshot(), slot, GetCurrentCommandId(true),
										  LockTupleExclusive, policy, 0, &failure);

	ExecDropSingleTupleTableSlot(slot);
	return result;
}

bool
SyncTableTryRow(SyncTable *self, HeapTuple row)
{
	return try_row(self, row, LockWaitSkip) == TM_Ok;
}

/* Make sure that nobody else changes this row, or has. */
static void
lock_row(SyncTable *self, HeapTuple row)
{
	if (try_row(self, row, self->wait ? LockWaitBlock : LockWaitError) != TM_Ok)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a row of table \"vecdb.%s\" was changed by another session", RelationGetRelationName(self->rel))));
}

void
SyncTableUpdate(SyncTable *self, HeapTuple row, Datum *values, bool *nulls, bool *replace)
{
	HeapTuple	tuple;

	lock_row(self, row);
	tuple = heap_modify_tuple(row, RelationGetDescr(self->rel), values, nulls, replace);
	CatalogTupleUpdate(self->rel, &row->t_self, tuple);
}

void
SyncTableDelete(SyncTable *self, HeapTuple row)
{
	lock_row(self, row);
	CatalogTupleDelete(self->rel, &row->t_self);
}
