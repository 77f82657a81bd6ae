/*
 * rows_sql.c
 *	  SQL functions about rows of shared collections.
 */
#include "rows/capture.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "monotonic.h"
#include "node/node_ask.h"
#include "node/node_table.h"
#include "nodes/execnodes.h"
#include "rows/row_json.h"
#include "rows/row_key.h"
#include "rows/token_wait.h"
#include "rows/version_table.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(vecdb_verify_versions);
PG_FUNCTION_INFO_V1(vecdb_verify_collection);
PG_FUNCTION_INFO_V1(vecdb_rescan);

#define LOOK_MS 200				/* between questions of how far a comparison is */

/* Where what differs is put: key and problem, or node, key as jsonb and problem. */
typedef struct Differences
{
	ReturnSetInfo *result;
	Oid			table;
	const char *node_id;		/* NULL: of verify_versions() */
} Differences;

static void
add_difference(const Differences *self, RowBytes key, const char *problem)
{
	Datum		values[3];
	bool		nulls[3] = {false};
	int			n = 0;

	if (self->node_id)
	{
		values[n++] = CStringGetTextDatum(self->node_id);
		nulls[n] = key.len == 0;
		values[n++] = key.len == 0 ? (Datum) 0 : RowJsonKey(self->table, key);
	}
	else
		values[n++] = SyncBytea(key.at, key.len);
	values[n] = CStringGetTextDatum(problem);
	tuplestore_putvalues(self->result->setResult, self->result->setDesc, values, nulls);
}

/* Rows without an entry, or with another hash than it has. */
static void
verify_rows(const Differences *result, Relation rel, RowShape *shape, VersionTable *versions, Snapshot snapshot)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = VecdbBeginScan(rel, snapshot);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		uint8		bytes[ROW_KEY_MAX];
		uint8		hash[ROW_HASH];
		uint8		vector_hash[ROW_HASH];
		RowBytes	key = {bytes, RowShapeKey(shape, slot, bytes)};
		VersionRow	version;

		CHECK_FOR_INTERRUPTS();
		RowShapeHashes(shape, slot, hash, vector_hash);
		if (!VersionGet(versions, snapshot, key, &version))
			add_difference(result, key, "a row without a version");
		else if (version.entry.held != ROW_APPLIED)
			continue;
		else if (!version.entry.live)
			add_difference(result, key, "a row whose version says that it was deleted");
		else if (memcmp(hash, version.entry.hash, ROW_HASH) != 0 ||
				 memcmp(vector_hash, version.entry.vector_hash, ROW_HASH) != 0)
			add_difference(result, key, "a row whose version is of another content");
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/* Live entries without a row. */
static void
verify_versions(const Differences *result, Relation rel, RowShape *shape, VersionTable *versions, Snapshot snapshot)
{
	VersionScan *scan = VersionScanKeys(versions, snapshot, (RowBytes) {NULL, 0}, (RowBytes) {NULL, 0});
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "vecdb verify", ALLOCSET_SMALL_SIZES);
	RowKeyIndex rows;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	VersionRow	version;

	RowKeyOpen(&rows, rel, shape, AccessShareLock);
	while (VersionScanNext(scan, &version))
	{
		MemoryContext outer = MemoryContextSwitchTo(scratch);
		bool		missing;

		CHECK_FOR_INTERRUPTS();
		missing = version.entry.live && version.entry.held == ROW_APPLIED && !RowKeyFetch(&rows, version.key, snapshot, slot);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(scratch);
		if (missing)
			add_difference(result, version.key, "a live version without its row");
	}
	ExecDropSingleTupleTableSlot(slot);
	RowKeyClose(&rows);
	VersionScanEnd(scan);
	MemoryContextDelete(scratch);
}

/* The table of whose owner this is called, and which is captured. */
static Relation
open_shared(Oid table)
{
	Relation	rel;

	if (!VecdbOwnsRelation(table))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
	rel = relation_open(table, AccessShareLock);
	if (!OidIsValid(VersionTableOf(table)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not shared", RelationGetRelationName(rel))));
	return rel;
}

/* Of what is committed, and this transaction's own. */
static void
verify_table(const Differences *result, Relation rel)
{
	Oid			table = RelationGetRelid(rel);
	RowShape   *shape = RowShapeOf(rel);
	VersionTable versions;
	Snapshot	snapshot;

	VersionTableOpen(&versions, table, AccessShareLock, true);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	verify_rows(result, rel, shape, &versions, snapshot);
	verify_versions(result, rel, shape, &versions, snapshot);
	UnregisterSnapshot(snapshot);
	VersionTableClose(&versions, NoLock);
}

Datum
vecdb_verify_versions(PG_FUNCTION_ARGS)
{
	Relation	rel = open_shared(PG_GETARG_OID(0));

	InitMaterializedSRF(fcinfo, 0);
	verify_table(&(Differences) {(ReturnSetInfo *) fcinfo->resultinfo}, rel);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* ---------------------------------------------------------------------------
 * With the members
 */

static const char *
answer_text(NodeQuestion *question)
{
	const char *text;

	if (!NodeAnswerNext(question, &text) || !text)
		elog(ERROR, "the node's answer is cut off");
	return text;
}

/* Ask for a run, which is 0 before it has begun; how many members have not been compared with. */
static long
ask_run(Oid table, uint32 *run)
{
	const char *arguments[3] = {psprintf("%u", table), psprintf("%u", *run), "0"};
	NodeQuestion	question;
	long		n;

	NodeAsk(&question, SYNC_VERIFY, NODE_SMALL_ANSWER, arguments, 3);
	*run = (uint32) strtoul(answer_text(&question), NULL, 10);
	n = strtol(answer_text(&question), NULL, 10);
	NodeAnswerDone(&question);
	return n;
}

/* What a run has found; then the node is this one. */
static void
add_found(Differences *result, uint32 run)
{
	const char *arguments[3] = {psprintf("%u", result->table), psprintf("%u", run), "1"};
	NodeQuestion	question;
	const char *text;
	char	   *own;

	NodeAsk(&question, SYNC_VERIFY, NODE_LARGE_ANSWER, arguments, 3);
	own = pstrdup(answer_text(&question));
	while (NodeAnswerNext(&question, &text) && text)
	{
		const char *digits = answer_text(&question);
		const char *what = answer_text(&question);
		size_t		len = strlen(digits) / 2;
		uint8		key[ROW_KEY_MAX];

		if (len > sizeof(key))
			elog(ERROR, "the node's answer has a key that is too long");
		hex_decode(digits, 2 * len, (char *) key);
		result->node_id = text;
		add_difference(result, (RowBytes) {key, len}, len == 0 ? what :
					   strcmp(what, "here") == 0 ? "this node had less of the row than it had claimed to it, and has asked for it" :
					   "it has less of the row than it has claimed");
	}
	if (question.call->cut)
		ereport(WARNING,
				(errmsg("more keys differ than are told"),
				 errhint("Run vecdb.verify_collection() again.")));
	NodeAnswerDone(&question);
	result->node_id = own;
}

Datum
vecdb_verify_collection(PG_FUNCTION_ARGS)
{
	Oid			table = NodeSharedTable(text_to_cstring(PG_GETARG_TEXT_PP(0)), true);
	bool		deep = PG_GETARG_BOOL(1);
	int64		until = MonotonicMs() + TokenTimeout(PG_GETARG_INTERVAL_P(2));
	Relation	rel = open_shared(table);
	Differences result = {(ReturnSetInfo *) fcinfo->resultinfo, table};
	uint32		run = 0;

	InitMaterializedSRF(fcinfo, 0);
	/* nobody's ALTER TABLE, nor who queues up behind it, waits as long as this does */
	relation_close(rel, AccessShareLock);
	UnlockRelationOid(table, AccessShareLock);
	while (ask_run(table, &run) > 0 && MonotonicMs() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	rel = open_shared(table);
	add_found(&result, run);
	if (deep)
		verify_table(&result, rel);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

Datum
vecdb_rescan(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);

	PreventCommandIfReadOnly("vecdb.rescan()");
	if (!VecdbOwnsRelation(table))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
	PG_RETURN_INT64(CaptureRescan(table));
}
