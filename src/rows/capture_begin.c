/*
 * capture_begin.c
 *	  The beginning and the end of a table's capture: triggers, the version table,
 *	  versions of the rows that are there.
 *
 * The triggers are ordinary ones, so a dump has them; where there is no version table, as
 * after a restore, they do nothing.  The last in the order of names, they note what other
 * triggers have made of a row.
 */
#include "rows/capture.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_trigger.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "core/rows/clock.h"
#include "fault_point.h"
#include "miscadmin.h"
#include "node/node_table.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "rows/row_shape.h"
#include "rows/row_state.h"
#include "rows/rows_shared.h"
#include "rows/version_table.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define WRITES (TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE)

static const struct
{
	const char *name;
	const char *function;
	bool		row;
	int16		events;
}			triggers[] = {
	{CAPTURE_TRIGGERS "row", "capture_row", true, WRITES},
	{CAPTURE_TRIGGERS "statement", "capture_statement", false, WRITES},
	{CAPTURE_TRIGGERS "truncate", "capture_truncate", false, TRIGGER_TYPE_TRUNCATE},
};

/* Those that a dump has brought are made anew.  As the bootstrap superuser: an owner may lack the right TRIGGER. */
static void
make_triggers(Oid table)
{
	Oid			user;
	int			context;

	/* an error ends the (sub)transaction, which puts the user back */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	for (int i = 0; i < (int) lengthof(triggers); i++)
	{
		CreateTrigStmt *statement = makeNode(CreateTrigStmt);

		statement->replace = true;
		statement->trigname = pstrdup(triggers[i].name);
		statement->funcname = list_make2(makeString(pstrdup("vecdb")), makeString(pstrdup(triggers[i].function)));
		statement->row = triggers[i].row;
		statement->timing = TRIGGER_TYPE_AFTER;
		statement->events = triggers[i].events;
		(void) CreateTriggerFiringOn(statement, NULL, table, InvalidOid, InvalidOid, InvalidOid, InvalidOid, InvalidOid,
									 NULL, false, false, TRIGGER_FIRES_ALWAYS);
		CommandCounterIncrement();
	}
	SetUserIdAndSecContext(user, context);
}

static void
drop_triggers(Oid table)
{
	for (int i = 0; i < (int) lengthof(triggers); i++)
	{
		ObjectAddress trigger;

		ObjectAddressSet(trigger, TriggerRelationId, get_trigger_oid(table, triggers[i].name, true));
		if (OidIsValid(trigger.objectId))
			performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
}

void
CaptureLimit(Relation rel, size_t bytes)
{
	if (bytes > ROWS_ROW_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a row of shared table \"%s\" has %zu bytes, and %d are the most", RelationGetRelationName(rel), bytes,
						ROWS_ROW_BYTES),
				 errhint("Keep what is that large in another table, or in several rows.")));
}

bool
CaptureFindsRows(Oid table)
{
	Relation	rel = table_open(table, NoLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = VecdbBeginScan(rel, snapshot);
	bool		found = table_scan_getnextslot(scan, ForwardScanDirection, slot);

	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return found;
}

/*
 * A version for each row, all of one ticket.  Nobody writes: the table is locked, so what
 * the latest snapshot shows is all that there is.  Who has loaded the same dump has the
 * same versions, and any write from now on wins over them.
 */
static void
stamp_rows(Relation rel, RowShape *shape)
{
	VersionTable versions;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = VecdbBeginScan(rel, snapshot);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "vecdb stamp", ALLOCSET_SMALL_SIZES);
	MemoryContext outer;
	RowIncarnationId id = {{0}};
	RowStamp	stamp = {0, 0};

	VersionTableOpen(&versions, RelationGetRelid(rel), RowExclusiveLock, true);
	outer = MemoryContextSwitchTo(scratch);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		uint8		key[ROW_KEY_MAX];
		uint8		hash[ROW_HASH];
		uint8		vector_hash[ROW_HASH];
		RowBytes	bytes = {key, RowShapeKey(shape, slot, key)};
		RowEntry	entry;

		CHECK_FOR_INTERRUPTS();
		if (stamp.ticket == 0)
			stamp = RowsTicket(RelationGetRelid(rel), false, &id);
		CaptureLimit(rel, RowShapeHashes(shape, slot, hash, vector_hash));
		entry = row_loaded(stamp, hash, vector_hash);
		VersionPut(&versions, NULL, bytes, &entry);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(outer);
	VersionTableClose(&versions, NoLock);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(scratch);
	CommandCounterIncrement();
}

void
CaptureCheck(Oid table)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "vecdb capture", ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(scratch);
	Relation	rel = table_open(table, NoLock);

	if (!OidIsValid(VersionTableOf(table)))
		CheckTableNotInUse(rel, "share");
	(void) RowShapeOf(rel);
	table_close(rel, NoLock);
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(scratch);
}

bool
CaptureBegin(Oid table)
{
	Relation	rel = table_open(table, ShareRowExclusiveLock);
	bool		begins = !OidIsValid(VersionTableOf(table));

	if (begins)
	{
		MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "vecdb capture", ALLOCSET_DEFAULT_SIZES);
		MemoryContext outer = MemoryContextSwitchTo(scratch);
		RowShape   *shape = RowShapeOf(rel);

		/* a statement that has begun knows of no trigger */
		CheckTableNotInUse(rel, "share");
		(void) VersionTableCreate(table);
		stamp_rows(rel, shape);
		FAULT_POINT("rows-stamped");
		make_triggers(table);
		MemoryContextSwitchTo(outer);
		MemoryContextDelete(scratch);
	}
	table_close(rel, NoLock);
	return begins;
}

static const Trigger *
find_trigger(Relation rel, const char *name)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
		if (strcmp(rel->trigdesc->triggers[i].tgname, name) == 0)
			return &rel->trigdesc->triggers[i];
	return NULL;
}

static List *
add_problem(List *problems, char *what, const char *hint)
{
	RowProblem *problem = palloc(sizeof(RowProblem));

	*problem = (RowProblem) {.what = what, .hint = pstrdup(hint)};
	return lappend(problems, problem);
}

List *
CaptureProblems(Relation rel)
{
	List	   *problems = NIL;
	const char *table = RelationGetRelationName(rel);

	if (!OidIsValid(VersionTableOf(RelationGetRelid(rel))))
	{
		if (!SyncTableIsShared(RelationGetRelid(rel)))
			return NIL;
		return add_problem(NIL, psprintf("table \"%s\" is shared, but its writes are not captured", table),
						   "vecdb.replicate() begins with that; who may not invite leaves the collection with vecdb.leave(), and joins it anew.");
	}
	for (int i = 0; i < (int) lengthof(triggers); i++)
	{
		const Trigger *trigger = find_trigger(rel, triggers[i].name);

		if (!trigger || trigger->tgenabled != TRIGGER_FIRES_ALWAYS)
			problems = add_problem(problems, psprintf("trigger \"%s\" of table \"%s\" is %s", triggers[i].name, table,
													  trigger ? "not always enabled" : "not there"),
								   "Writes may have escaped: ALTER TABLE ... ENABLE ALWAYS TRIGGER enables it, and vecdb.rescan() gives versions to what has escaped.");
	}
	return problems;
}

void
CaptureEnd(Oid table)
{
	Relation	rel;

	if (!OidIsValid(VersionTableOf(table)))
		return;
	rel = try_relation_open(table, AccessExclusiveLock);
	if (rel)
	{
		CheckTableNotInUse(rel, "leave");
		relation_close(rel, NoLock);
	}
	drop_triggers(table);
	VersionTableDrop(table);
	RowStateForgetTable(table);
}
