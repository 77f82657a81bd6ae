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
#include "node/node_table.h"
#include "nodes/execnodes.h"
#include "rows/row_key.h"
#include "rows/version_table.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(vecdb_verify_versions);
PG_FUNCTION_INFO_V1(vecdb_rescan);

static void
add_difference(ReturnSetInfo *result, RowBytes key, const char *problem)
{
	Datum		values[2] = {SyncBytea(key.at, key.len), CStringGetTextDatum(problem)};
	bool		nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Rows without an entry, or with another hash than it has. */
static void
verify_rows(ReturnSetInfo *result, Relation rel, RowShape *shape, VersionTable *versions, Snapshot snapshot)
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
verify_versions(ReturnSetInfo *result, Relation rel, RowShape *shape, VersionTable *versions, Snapshot snapshot)
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

/* Of what is committed, and this transaction's own. */
Datum
vecdb_verify_versions(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	rel;
	VersionTable versions;
	RowShape   *shape;
	Snapshot	snapshot;

	if (!VecdbOwnsRelation(table))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
	InitMaterializedSRF(fcinfo, 0);
	rel = relation_open(table, AccessShareLock);
	if (!OidIsValid(VersionTableOf(table)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not shared", RelationGetRelationName(rel))));
	shape = RowShapeOf(rel);
	VersionTableOpen(&versions, table, AccessShareLock, true);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	verify_rows(result, rel, shape, &versions, snapshot);
	verify_versions(result, rel, shape, &versions, snapshot);
	UnregisterSnapshot(snapshot);
	VersionTableClose(&versions, NoLock);
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
