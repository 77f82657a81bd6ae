/*
 * capture_guard.c
 *	  What would let writes to a captured table escape, or make it a table that cannot be
 *	  shared, is refused; with a table goes what is kept beside it.
 *
 * A statement is refused by what it says, before it runs and without a lock: this is a
 * guard against mistakes.  What gets past it is listed by vecdb.check(), and a table that
 * cannot be shared any more refuses writes.
 *
 * A version table has no dependency on its table, or DROP TABLE would want to take the
 * extension for its object.  So the hook notes which tables are dropped, and before the
 * commit theirs go.
 */
#include "rows/capture.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "parser/parse_type.h"
#include "rows/row_state.h"
#include "rows/rows_shared.h"
#include "rows/version_table.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static ProcessUtility_hook_type next_utility;
static object_access_hook_type next_access;
static List *dropped;			/* captured tables, in TopTransactionContext */
static Oid	dropped_database = InvalidOid;	/* no transaction drops two */

/* ---------------------------------------------------------------------------
 * Statements
 */

/* The captured table that is meant; InvalidOid: it is none. */
static Oid
captured(const RangeVar *name)
{
	Oid			table = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;

	return OidIsValid(table) && OidIsValid(VersionTableOf(table)) ? table : InvalidOid;
}

static void pg_attribute_noreturn()
refuse(Oid table, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s table \"%s\", which is shared", what, get_rel_name(table)),
			 errhint("%s", hint)));
}

static void pg_attribute_noreturn()
refuse_columns(Oid table, const char *what)
{
	refuse(table, what, "All members of its collection need the same columns. vecdb.alter_collection() adds, drops and renames columns on all of them; for other changes leave it on all with vecdb.leave(), alter the table there, and share it anew.");
}

static void pg_attribute_noreturn()
refuse_triggers(Oid table, const char *what)
{
	refuse(table, what, "Its writes would not reach other nodes. Name the trigger that is meant, or leave the collection first with vecdb.leave(); pg_restore fills the table without --disable-triggers.");
}

static void pg_attribute_noreturn()
refuse_kind(Oid table, const char *what)
{
	refuse(table, what, "vecdb.leave() makes it an ordinary table first.");
}

static bool
is_ours(const char *trigger)
{
	return trigger && strncmp(trigger, CAPTURE_TRIGGERS, strlen(CAPTURE_TRIGGERS)) == 0;
}

/* A foreign key of any table that refers to a captured one. */
static void
check_reference(const Node *node)
{
	const Constraint *constraint = (const Constraint *) node;
	Oid			table;

	if (!node || !IsA(node, Constraint) || constraint->contype != CONSTR_FOREIGN)
		return;
	table = captured(constraint->pktable);
	if (OidIsValid(table))
		refuse(table, "refer by a foreign key to", "Another node may delete a row to which rows here refer. Keep the column without the constraint.");
}

static void
check_column(const Node *node)
{
	ListCell   *cell;

	check_reference(node);
	if (node && IsA(node, ColumnDef))
		foreach(cell, ((const ColumnDef *) node)->constraints)
			check_reference(lfirst(cell));
}

static void
check_added(Oid table, const Constraint *constraint)
{
	switch (constraint->contype)
	{
		case CONSTR_PRIMARY:
		case CONSTR_UNIQUE:
		case CONSTR_EXCLUSION:
			refuse(table, "add a unique or exclusion constraint to",
				   "Two nodes could each accept a row of which the other's copy could not have both. The primary key is all that may be unique.");
		case CONSTR_FOREIGN:
			refuse(table, "add a foreign key to", "A row of another node may come before the row that it refers to. Keep the column without the constraint.");
		case CONSTR_NOTNULL:
			refuse_columns(table, "alter a column of");
		default:
			break;
	}
}

static bool
is_primary_key(Oid table, const char *constraint)
{
	Oid			index = constraint ? get_relname_relid(constraint, get_rel_namespace(table)) : InvalidOid;
	HeapTuple	tuple = OidIsValid(index) ? SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index)) : NULL;
	bool		primary;

	if (!HeapTupleIsValid(tuple))
		return false;
	primary = ((Form_pg_index) GETSTRUCT(tuple))->indrelid == table && ((Form_pg_index) GETSTRUCT(tuple))->indisprimary;
	ReleaseSysCache(tuple);
	return primary;
}

static void
check_command(Oid table, const AlterTableCmd *command)
{
	switch (command->subtype)
	{
		case AT_AddColumn:
			refuse_columns(table, "add a column to");
		case AT_DropColumn:
			refuse_columns(table, "drop a column of");
		case AT_AlterColumnType:
		case AT_SetNotNull:
		case AT_DropNotNull:
		case AT_DropExpression:
		case AT_AddIdentity:
			refuse_columns(table, "alter a column of");
		case AT_SetUnLogged:
			refuse_kind(table, "make unlogged");
		case AT_SetAccessMethod:
			refuse_kind(table, "change the access method of");
		case AT_AddInherit:
		case AT_DropInherit:
		case AT_AttachPartition:
		case AT_DetachPartition:
			refuse_kind(table, "inherit to or from");
		case AT_AddIndexConstraint:
			refuse(table, "add a unique constraint to", "The primary key is all that may be unique.");
		case AT_AddConstraint:
			if (command->def && IsA(command->def, Constraint))
				check_added(table, (const Constraint *) command->def);
			break;
		case AT_DropConstraint:
			if (is_primary_key(table, command->name))
				refuse_kind(table, "drop the primary key of");
			break;
		case AT_EnableTrig:
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
			if (!is_ours(command->name))
				break;
			refuse_triggers(table, "disable this trigger of");
		case AT_DisableTrigAll:
		case AT_DisableTrigUser:
			refuse_triggers(table, "disable all triggers of");
		case AT_EnableTrigAll:
		case AT_EnableTrigUser:
			refuse_triggers(table, "enable all triggers, some of which are always enabled, of");
		default:
			break;
	}
}

static void
check_alter(const AlterTableStmt *statement)
{
	Oid			table = captured(statement->relation);
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		const AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (OidIsValid(table))
			check_command(table, command);
		else if (command->subtype == AT_AttachPartition && IsA(command->def, PartitionCmd))
		{
			Oid			partition = captured(((const PartitionCmd *) command->def)->name);

			if (OidIsValid(partition))
				refuse_kind(partition, "attach as a partition");
		}
		else if (command->subtype == AT_AddInherit && IsA(command->def, RangeVar))
		{
			Oid			parent = captured((const RangeVar *) command->def);

			if (OidIsValid(parent))
				refuse_kind(parent, "inherit from");
		}
		else
			check_column(command->def);
	}
}

static void
check_create(const CreateStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->inhRelations)
	{
		Oid			parent = captured(lfirst_node(RangeVar, cell));

		if (OidIsValid(parent))
			refuse_kind(parent, "inherit from");
	}
	foreach(cell, statement->tableElts)
		check_column(lfirst(cell));
	foreach(cell, statement->constraints)
		check_reference(lfirst(cell));
}

/* DROP TRIGGER name ON table: a list of the table's name and the trigger's. */
static void
check_drop(const DropStmt *statement)
{
	ListCell   *cell;

	if (statement->removeType != OBJECT_TRIGGER)
		return;
	foreach(cell, statement->objects)
	{
		List	   *names = list_copy(lfirst_node(List, cell));
		const char *trigger = strVal(llast(names));
		Oid			table;

		if (!is_ours(trigger) || list_length(names) < 2)
			continue;
		table = captured(makeRangeVarFromNameList(list_truncate(names, list_length(names) - 1)));
		if (OidIsValid(table))
			refuse_triggers(table, "drop this trigger of");
	}
}

/* A captured table with a column of this type; InvalidOid: there is none. */
static Oid
user_of_type(Oid type)
{
	Relation	depends = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			user = InvalidOid;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(type));
	scan = systable_beginscan(depends, DependReferenceIndexId, true, NULL, 2, key);
	while (!OidIsValid(user) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->classid == RelationRelationId && form->objsubid > 0 && OidIsValid(VersionTableOf(form->objid)))
			user = form->objid;
	}
	systable_endscan(scan);
	table_close(depends, AccessShareLock);
	return user;
}

/* A label that gets another name changes rows that nobody writes. */
static void
check_enum(const AlterEnumStmt *statement)
{
	Oid			type;
	Oid			user;

	if (!statement->oldVal)
		return;
	type = typenameTypeId(NULL, makeTypeNameFromNameList(statement->typeName));
	user = user_of_type(type);
	if (!OidIsValid(user) && OidIsValid(get_array_type(type)))
		user = user_of_type(get_array_type(type));
	if (OidIsValid(user))
		refuse(user, "rename a label of a type of",
			   "Add the new label on all nodes with ALTER TYPE ... ADD VALUE, and UPDATE the rows.");
}

static void
check_statement(const Node *node)
{
	Oid			table;

	switch (nodeTag(node))
	{
		case T_AlterTableStmt:
			check_alter((const AlterTableStmt *) node);
			break;
		case T_AlterEnumStmt:
			check_enum((const AlterEnumStmt *) node);
			break;
		case T_CreateStmt:
			check_create((const CreateStmt *) node);
			break;
		case T_DropStmt:
			check_drop((const DropStmt *) node);
			break;
		case T_IndexStmt:
			table = ((const IndexStmt *) node)->unique ? captured(((const IndexStmt *) node)->relation) : InvalidOid;
			if (OidIsValid(table))
				refuse(table, "create a unique index on",
					   "Two nodes could each accept a row of which the other's copy could not have both. The primary key is all that may be unique.");
			break;
		case T_CreateTrigStmt:
			table = is_ours(((const CreateTrigStmt *) node)->trigname) ? captured(((const CreateTrigStmt *) node)->relation) : InvalidOid;
			if (OidIsValid(table))
				refuse(table, "create a trigger of this name on", "Names that begin with \"" CAPTURE_TRIGGERS "\" are vecdb's.");
			break;
		case T_RenameStmt:
			table = captured(((const RenameStmt *) node)->relation);
			if (!OidIsValid(table))
				break;
			if (((const RenameStmt *) node)->renameType == OBJECT_COLUMN)
				refuse_columns(table, "rename a column of");
			if (((const RenameStmt *) node)->renameType == OBJECT_TRIGGER && is_ours(((const RenameStmt *) node)->subname))
				refuse_triggers(table, "rename this trigger of");
			break;
		case T_AlterObjectDependsStmt:
			table = ((const AlterObjectDependsStmt *) node)->objectType == OBJECT_TRIGGER ?
				captured(((const AlterObjectDependsStmt *) node)->relation) : InvalidOid;
			if (OidIsValid(table) && is_ours(strVal(llast((List *) ((const AlterObjectDependsStmt *) node)->object))))
				refuse_triggers(table, "let an extension take along this trigger of");
			break;
		case T_RuleStmt:
			table = captured(((const RuleStmt *) node)->relation);
			if (OidIsValid(table))
				refuse(table, "create a rule on", "Do with triggers what it would do.");
			break;
		default:
			break;
	}
}

/* pg_upgrade copies what was allowed when it was made. */
static void
on_utility(PlannedStmt *statement, const char *text, bool read_only, ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (!IsBinaryUpgrade)
		check_statement(statement->utilityStmt);
	if (next_utility)
		next_utility(statement, text, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(statement, text, read_only, context, params, environment, dest, completion);
	if (IsA(statement->utilityStmt, DiscardStmt) && ((DiscardStmt *) statement->utilityStmt)->target == DISCARD_ALL)
		RowsForgetLastCommit();
}

/* ---------------------------------------------------------------------------
 * Tables that are dropped
 */

static void
on_access(ObjectAccessType access, Oid catalog, Oid object, int part, void *arg)
{
	if (next_access)
		next_access(access, catalog, object, part, arg);
	if (access == OAT_DROP && catalog == DatabaseRelationId)
		dropped_database = object;
	if (access == OAT_DROP && catalog == RelationRelationId && part == 0 && OidIsValid(VersionTableOf(object)))
	{
		MemoryContext outer = MemoryContextSwitchTo(TopTransactionContext);

		dropped = lappend_oid(dropped, object);
		MemoryContextSwitchTo(outer);
	}
}

/* A drop may have been rolled back, and the extension gone. */
static void
drop_versions(void)
{
	ListCell   *cell;

	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, dropped)
	{
		Oid			table = lfirst_oid(cell);

		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)) || !OidIsValid(VersionTableOf(table)))
			continue;
		VersionTableDrop(table);
		RowStateForgetTable(table);
	}
	PopActiveSnapshot();
}

static void
at_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (dropped != NIL)
				drop_versions();
			break;
		case XACT_EVENT_COMMIT:
			if (OidIsValid(dropped_database))
				RowsDatabaseDropped(dropped_database);
			/* FALLTHROUGH */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			dropped = NIL;
			dropped_database = InvalidOid;
			break;
		default:
			break;
	}
}

void
CaptureGuardInit(void)
{
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
	next_access = object_access_hook;
	object_access_hook = on_access;
	RegisterXactCallback(at_end, NULL);
}
