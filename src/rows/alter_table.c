/*
 * alter_table.c
 *	  vecdb.alter_collection(): a change of a shared table's columns is tried here, signed by
 *	  the node's worker, and applied on each member.
 *
 * A table is changed by the functions below ALTER TABLE, as its owner: no event trigger
 * fires, and no hook on utility statements sees it.  None of the changes rewrites a table:
 * a default of an added column is a constant, which stands in the catalog.
 */
#include "rows/alter.h"

#include "access/relation.h"
#include "access/xact.h"
#include "as_owner.h"
#include "collection/collection.h"
#include "core/bytes.h"
#include "commands/tablecmds.h"
#include "fault_point.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "node/node_ask.h"
#include "node/node_table.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "rows/row_shape.h"
#include "rows/row_value.h"
#include "rows/version_table.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(vecdb_alter_collection);

#define LOCK_TRIES 20			/* of a table that others use, ... */
#define LOCK_EACH_US 5000		/* ... so long after another */

/* ---------------------------------------------------------------------------
 * Changing the table
 */

/* What is written of values depends on these; AsOwnerEnd() takes them back. */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"}, {"TimeZone", "UTC"}, {"extra_float_digits", "3"},
		{"bytea_output", "hex"}, {"lc_monetary", "C"}, {"quote_all_identifiers", "off"}, {"xmloption", "content"},
		{"standard_conforming_strings", "on"}, {"backslash_quote", "safe_encoding"}, {"array_nulls", "on"}
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static Node *
literal(const char *value)
{
	A_Const    *constant = makeNode(A_Const);

	if (value == NULL)
		return NULL;
	constant->val.sval.type = T_String;
	constant->val.sval.sval = pstrdup(value);
	constant->location = -1;
	return (Node *) constant;
}

static void
rename_column(Relation rel, const TableChange *change)
{
	RenameStmt *rename = makeNode(RenameStmt);

	rename->renameType = OBJECT_COLUMN;
	rename->relationType = OBJECT_TABLE;
	rename->relation = makeRangeVar(get_namespace_name(RelationGetNamespace(rel)), pstrdup(RelationGetRelationName(rel)), -1);
	rename->subname = change->column;
	rename->newname = change->new_name;
	rename->behavior = DROP_RESTRICT;
	(void) renameatt(rename);
}

static void
change_column(Relation rel, const TableChange *change)
{
	AlterTableCmd *command = makeNode(AlterTableCmd);
	ColumnDef  *column;

	command->behavior = DROP_RESTRICT;
	switch (change->kind)
	{
		case CHANGE_ADD_COLUMN:
			column = makeColumnDef(change->column, change->type, change->typmod, get_typcollation(change->type));
			column->is_not_null = change->not_null;
			column->raw_default = literal(change->value);
			command->subtype = AT_AddColumn;
			command->def = (Node *) column;
			break;
		case CHANGE_DROP_COLUMN:
			command->subtype = AT_DropColumn;
			command->name = change->column;
			break;
		case CHANGE_DEFAULT:
			command->subtype = AT_ColumnDefault;
			command->name = change->column;
			command->def = literal(change->value);
			break;
		case CHANGE_RENAME_COLUMN:
			rename_column(rel, change);
			return;
	}
	AlterTableInternal(RelationGetRelid(rel), list_make1(command), false);
}

/*
 * What a change makes of contents.  False: it leaves them, as a column that was null in all
 * rows behind their last value.
 */
static bool
content_change(Relation rel, RowShape *before, RowShape *after, const TableChange *change, AttrNumber dropped, ContentChange *out)
{
	StringInfoData value;
	Oid			function;
	Oid			param;

	*out = (ContentChange) {.columns = RowShapeColumns(before), .dropped = -1, .added = -1};
	if (change->kind == CHANGE_DROP_COLUMN)
		out->dropped = RowShapeColumn(before, dropped);
	if (change->kind == CHANGE_ADD_COLUMN && change->value != NULL)
	{
		out->added = RowShapeColumn(after, get_attnum(RelationGetRelid(rel), change->column));
		getTypeInputInfo(change->type, &function, &param);
		initStringInfo(&value);
		RowShapeValue(after, out->added, OidInputFunctionCall(function, change->value, param, change->typmod), &value);
		out->value = (RowBytes) {(const uint8 *) value.data, (size_t) value.len};
	}
	return out->dropped >= 0 || out->added >= 0;
}

/*
 * Make a change of a table that is locked, as its owner.  strict: its text has to be as it
 * is signed.  rows: contents become what it makes of them.
 */
static void
make_change(Oid table, const char *text, bool strict, TableChangePlan *plan, bool rows)
{
	Relation	rel = relation_open(table, NoLock);
	AsOwner		owner = AsOwnerBegin(rel->rd_rel->relowner);
	RowShape   *before = RowShapeOf(rel);
	RowShape   *after;
	AttrNumber	number = InvalidAttrNumber;
	ContentChange contents;
	TableChange *change;
	bool		absent;

	fix_settings();
	CheckTableNotInUse(rel, "ALTER TABLE");
	memcpy(plan->before, RowShapeSchema(before), sizeof(plan->before));
	change = TableChangeParse(rel, text, &absent);
	if (absent && !strict)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", change->column, RelationGetRelationName(rel))));
	if (!absent && strict && strcmp(change->text, text) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the text of a change is not in its one form"),
				 errdetail("It would be: %s.", change->text)));
	if (!absent)
	{
		number = get_attnum(table, change->column);
		change_column(rel, change);
		CommandCounterIncrement();
		plan->text = RowTextToUtf8(change->text, (int) strlen(change->text));
	}
	AsOwnerEnd(&owner);
	after = absent ? before : RowShapeOf(rel);
	memcpy(plan->after, RowShapeSchema(after), sizeof(plan->after));
	if (!absent && rows && content_change(rel, before, after, change, number, &contents))
		TableChangeRows(rel, before, after, &contents);
	relation_close(rel, NoLock);
}

/* ---------------------------------------------------------------------------
 * Trying
 */

static bool
uses(Oid table)
{
	LOCKTAG		tag;
	bool		held = false;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, table);
	for (LOCKMODE mode = AccessShareLock; mode <= AccessExclusiveLock; mode++)
		held |= VecdbLockHeldByMe(&tag, mode);
	return held;
}

void
TableChangeTry(Oid table, const char *text, TableChangePlan *out)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	TableChangePlan plan = {{0}};
	bool		within = AsOwnerRuns();

	BeginInternalSubTransaction("vecdb change");
	PG_TRY();
	{
		MemoryContextSwitchTo(context);
		LockRelationOid(table, AccessExclusiveLock);
		make_change(table, text, false, &plan, false);
	}
	PG_CATCH();
	{
		AsOwnerFailed(within);
		PG_RE_THROW();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = resources;
	*out = plan;
}

/* ---------------------------------------------------------------------------
 * Applying
 */

/* The place of a change among those that were applied; it gets the next where it has none.  0: others are at the list. */
static uint32
note_applied(const uint8 *root, const uint8 *hash, bool look)
{
	SyncTable	changes;
	SysScanDesc scan;
	HeapTuple	row;
	HeapTuple	found = NULL;
	int32		last = 0;
	int32		applied = 0;
	Datum		values[SCHEMA_CHANGE_COLUMNS] = {0};
	bool		nulls[SCHEMA_CHANGE_COLUMNS] = {false};
	bool		replace[SCHEMA_CHANGE_COLUMNS] = {false};

	SyncTableOpen(&changes, SYNC_SCHEMA_CHANGE, !look, false);
	scan = SyncTableScan(&changes, root);
	while (HeapTupleIsValid(row = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		const uint8 *name = SyncTableBytes(&changes, row, SCHEMA_CHANGE_HASH, SIGNED_CHANGE_HASH);
		bool		isnull;
		int32		n = DatumGetInt32(SyncTableValue(&changes, row, SCHEMA_CHANGE_APPLIED, &isnull));
		bool		itself = name && memcmp(name, hash, SIGNED_CHANGE_HASH) == 0;

		if (itself)
			found = heap_copytuple(row);
		if (itself && !isnull)
			applied = n;
		if (!isnull && n > last)
			last = n;
	}
	systable_endscan_ordered(scan);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a change of a shared table is not written down")));
	if (!look && applied == 0)
	{
		applied = last + 1;
		values[SCHEMA_CHANGE_APPLIED - 1] = Int32GetDatum(applied);
		replace[SCHEMA_CHANGE_APPLIED - 1] = true;
		SyncTableUpdate(&changes, found, values, nulls, replace);
	}
	SyncTableClose(&changes);
	return (uint32) applied;
}

/* Without standing in a queue, where those who come later would wait behind us. */
static bool
lock_table(Oid table)
{
	for (int i = 0; i < LOCK_TRIES; i++)
	{
		if (ConditionalLockRelationOid(table, AccessExclusiveLock))
			return true;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOCK_EACH_US);
	}
	return false;
}

uint32
TableChangeApply(Oid table, const uint8 root[32], const SignedChange *change)
{
	TableChangePlan plan = {{0}};
	uint32		applied = note_applied(root, change->hash, true);
	bool		of_default = memcmp(change->before, change->after, sizeof(change->before)) == 0;
	int			len;
	char	   *text = RowTextFromUtf8((RowBytes) {(const uint8 *) change->text, change->len}, &len);

	if (applied > 0)
		return applied;
	if (!change->adopt)
	{
		if (text == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
					 errmsg("it has characters that this database's encoding has not")));
		if (!lock_table(table))
			return 0;
		PG_TRY();
		{
			make_change(table, text, true, &plan, true);
		}
		PG_CATCH();
		{
			AsOwnerFailed(false);
			PG_RE_THROW();
		}
		PG_END_TRY();
		if (of_default ? memcmp(plan.before, plan.after, sizeof(plan.before)) != 0 :
			memcmp(plan.before, change->before, sizeof(plan.before)) != 0 || memcmp(plan.after, change->after, sizeof(plan.after)) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("it does not lead to the columns that it was signed for")));
	}
	applied = note_applied(root, change->hash, false);
	FAULT_POINT("change-before-commit");
	return applied;
}

/* ---------------------------------------------------------------------------
 * vecdb.alter_collection()
 */

/* Locks end with the subtransaction, or who applies the change would wait for us. */
static Oid
find_table(const char *name)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	Oid			table;

	BeginInternalSubTransaction("vecdb change");
	table = CollectionTable(name, AccessShareLock, ACL_NO_RIGHTS);
	if (!VecdbOwnsRelation(table))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = resources;
	return table;
}

Datum
vecdb_alter_collection(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *ddl = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			table;
	TableChangePlan plan;
	NodeQuestion question;
	const char *arguments[4];
	const char *done;
	const char *reason;
	char		hex[2][2 * CORE_HASH_BYTES + 1];

	PreventCommandIfReadOnly("vecdb.alter_collection()");
	table = find_table(name);
	if (!OidIsValid(VersionTableOf(table)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not shared", name),
				 errhint("ALTER TABLE alters it.")));
	if (uses(table))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("collection \"%s\" cannot be altered by a transaction that has used it", name),
				 errdetail("It is altered by another process, which would wait for this transaction."),
				 errhint("Commit first.")));
	TableChangeTry(table, ddl, &plan);
	if (plan.text.len > (size_t) SIGNED_CHANGE_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("this change has %zu bytes, and one may have %zu", plan.text.len, (size_t) SIGNED_CHANGE_TEXT)));
	arguments[0] = psprintf("%u", table);
	arguments[1] = bytes_hex(plan.before, CORE_HASH_BYTES, hex[0]);
	arguments[2] = bytes_hex(plan.after, CORE_HASH_BYTES, hex[1]);
	arguments[3] = pnstrdup((const char *) plan.text.at, plan.text.len);
	NodeAsk(&question, SYNC_ALTER, NODE_SMALL_ANSWER, arguments, 4);
	if (!NodeAnswerNext(&question, &done) || !NodeAnswerNext(&question, &reason))
		elog(ERROR, "the node's answer does not say what has become of the change");
	if (done[0] != 't')
		ereport(NOTICE,
				(errmsg("the change is signed and travels, and is not applied here yet"),
				 errdetail("%s", reason ? reason : "Other transactions use the table."),
				 errhint("It is tried again until it can be; view vecdb.stat_collections tells.")));
	NodeAnswerDone(&question);
	PG_RETURN_VOID();
}
