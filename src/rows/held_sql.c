/*
 * held_sql.c
 *	  SQL functions about rows of others that could not go into their tables.
 *
 * Who looks at them owns the table.  What becomes of one the node's processes do
 * (sync_held.c), since no session may lock what is held.
 */
#include "rows/row_state.h"

#include "access/relation.h"
#include "catalog/pg_authid.h"
#include "core/bytes.h"
#include "fmgr.h"
#include "funcapi.h"
#include "node/node_ask.h"
#include "node/node_table.h"
#include "rows/row_json.h"
#include "rows/row_writers.h"
#include "rows/version_table.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(vecdb_held_list);
PG_FUNCTION_INFO_V1(vecdb_held_content);
PG_FUNCTION_INFO_V1(vecdb_count_set_aside);
PG_FUNCTION_INFO_V1(vecdb_retry);
PG_FUNCTION_INFO_V1(vecdb_discard);

#define LIST_COLUMNS 8
#define COUNT_MOST 10000		/* of each kind: a view is read often */

/* ---------------------------------------------------------------------------
 * The view
 */

static const char *
reason(const HeldRow *row)
{
	if (row->held == ROW_PARKED)
		return "a transaction of this server holds what it replaces";
	switch (row->why)
	{
		case ROW_REASON_CLOCK:
			return "its clock is further ahead than vecdb.max_clock_skew";
		case ROW_REASON_HASH:
			return "its content has not the hash that came with it";
		default:
			return "the table refuses it";
	}
}

typedef struct ListOf
{
	ReturnSetInfo *result;
	Oid			table;
	RowWriters *writers;
} ListOf;

static void
list_one(void *arg, const HeldRowListed *listed)
{
	ListOf	   *this = arg;
	const HeldRow *row = &listed->row;
	char	   *writer = RowWriterOf(this->writers, &row->entry.version);
	bool		no_error = VARSIZE_ANY_EXHDR(listed->error) == 0;
	bool		nulls[LIST_COLUMNS] = {[5] = no_error, [7] = writer == NULL};
	Datum		values[LIST_COLUMNS] = {
		ObjectIdGetDatum(this->table), SyncBytea(listed->key.at, listed->key.len),
		CStringGetTextDatum(row->discarded ? "discarded" : row->held == ROW_PARKED ? "parked" : "quarantined"),
		TimestampTzGetDatum(listed->since), CStringGetTextDatum(reason(row)), PointerGetDatum(listed->error),
		BoolGetDatum(!row->entry.live), writer ? CStringGetTextDatum(writer) : (Datum) 0
	};

	tuplestore_putvalues(this->result->setResult, this->result->setDesc, values, nulls);
}

Datum
vecdb_held_list(PG_FUNCTION_ARGS)
{
	ListOf		this = {(ReturnSetInfo *) fcinfo->resultinfo};

	InitMaterializedSRF(fcinfo, 0);
	while (OidIsValid(this.table = HeldRowNextTable(this.table, GetActiveSnapshot())))
	{
		if (!RowJsonMaySee(this.table))
			continue;
		this.writers = RowWritersOf(this.table);
		HeldRowEach(this.table, GetActiveSnapshot(), list_one, &this);
	}
	PG_RETURN_VOID();
}

Datum
vecdb_held_content(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	bytea	   *bytes = PG_GETARG_BYTEA_PP(1);
	RowBytes	key = {(const uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)};
	HeldRow		held;
	Datum		row;

	if (!RowJsonMaySee(table) || key.len > ROW_KEY_MAX || !HeldRowGet(table, key, GetActiveSnapshot(), &held) ||
		!held.entry.live || !RowJsonContent(table, key, held.content, &row))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row);
}

/* Lock a version table with its indexes.  False: it is gone, or some of it is locked by another. */
static bool
lock_versions(Oid of)
{
	Relation	rel;
	List	   *indexes;
	ListCell   *cell;
	bool		locked = true;

	if (!ConditionalLockRelationOid(of, AccessShareLock))
		return false;
	rel = try_relation_open(of, NoLock);
	if (!rel)
		return false;
	indexes = RelationGetIndexList(rel);
	relation_close(rel, NoLock);
	foreach(cell, indexes)
		locked = locked && ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock);
	return locked;
}

/* Rows of which it is kept that they were deleted; -1 where that is locked: who looks does not wait. */
static int64
count_tombstones(Oid table, int64 most)
{
	Oid			of = VersionTableOf(table);
	VersionTable versions;
	VersionScan *scan;
	VersionRow	row;
	int64		n = 0;

	if (!OidIsValid(of))
		return 0;
	if (!lock_versions(of))
		return -1;
	VersionTableOpen(&versions, table, AccessShareLock, true);
	scan = VersionScanDead(&versions, GetActiveSnapshot(), (RowBytes) {NULL, 0});
	while (n < most && VersionScanNext(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		n++;
	}
	VersionScanEnd(scan);
	VersionTableClose(&versions, NoLock);
	return n;
}

/* For the owner, and for who watches the server. */
Datum
vecdb_count_set_aside(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	char	   *what = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) && !RowJsonMaySee(table))
		PG_RETURN_NULL();
	if (strcmp(what, "conflicts") == 0)
		PG_RETURN_INT64(RowConflictCount(table, COUNT_MOST));
	if (strcmp(what, "tombstones") == 0)
	{
		int64		n = count_tombstones(table, COUNT_MOST);

		if (n < 0)
			PG_RETURN_NULL();
		PG_RETURN_INT64(n);
	}
	if (strcmp(what, "parked") != 0 && strcmp(what, "quarantined") != 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(HeldRowCount(table, what[0] == 'p' ? ROW_PARKED : ROW_QUARANTINED, COUNT_MOST));
}

/* ---------------------------------------------------------------------------
 * What becomes of one
 */

/* Digits of the key of a row that is held, for the node; an error where there is none. */
static char *
held_key(Relation rel, Jsonb *json)
{
	uint8		key[ROW_KEY_MAX];
	size_t		len = RowJsonToKey(rel, json, key);
	HeldRow		held;

	if (!HeldRowLook(RelationGetRelid(rel), (RowBytes) {key, len}, NULL, &held))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("no row of this key is held for table \"%s\"", RelationGetRelationName(rel)),
				 errhint("View vecdb.quarantine lists those that are.")));
	return bytes_hex(key, len, palloc(2 * len + 1));
}

/* json NULL: all rows of the table. */
static void
ask(Oid table, Jsonb *json, SyncOp op)
{
	const char *arguments[2] = {psprintf("%u", table), ""};
	NodeQuestion	question;
	Relation	rel;

	if (!VecdbOwnsRelation(table))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
	rel = relation_open(table, AccessShareLock);
	if (!OidIsValid(VersionTableOf(table)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not shared", RelationGetRelationName(rel))));
	if (json)
		arguments[1] = held_key(rel, json);
	relation_close(rel, AccessShareLock);
	NodeAsk(&question, op, NODE_SMALL_ANSWER, arguments, 2);
	NodeAnswerDone(&question);
}

Datum
vecdb_retry(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("vecdb.retry()");
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	ask(PG_GETARG_OID(0), PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), SYNC_RETRY);
	PG_RETURN_VOID();
}

Datum
vecdb_discard(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("vecdb.discard()");
	ask(PG_GETARG_OID(0), PG_GETARG_JSONB_P(1), SYNC_DISCARD);
	PG_RETURN_VOID();
}
