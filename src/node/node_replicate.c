/*
 * node_replicate.c
 *	  vecdb.replicate(): any table that vecdb.check() accepts is shared, or joins the
 *	  collection of an invitation with the rows that it has.
 *
 * A row that is there when this begins has a version that its content decides (HLC 0), so
 * rows that both sides have from one dump are the same version, and any later write wins
 * over them.  A table without rows copies those of the others, and its hnsw indexes are
 * built after that; one with rows keeps its indexes, which answer queries meanwhile.
 */
#include "node/node_join.h"

#include "collection/collection.h"
#include "node/node_ask.h"
#include "node/node_table.h"
#include "rows/capture.h"
#include "rows/row_index.h"
#include "rows/row_shape.h"
#include "rows/version_table.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "fault_point.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(vecdb_replicate);

static void
add_line(StringInfo lines, const char *line)
{
	if (!strstr(lines->data, line))
		appendStringInfo(lines, "%s%s", lines->len > 0 ? "\n" : "", line);
}

/* All that is wrong with a table, as one error. */
static void
refuse_problems(Relation rel)
{
	List	   *problems = RowShapeProblems(rel);
	StringInfoData detail;
	StringInfoData hint;
	ListCell   *cell;

	if (problems == NIL)
		return;
	initStringInfo(&detail);
	initStringInfo(&hint);
	foreach(cell, problems)
	{
		RowProblem *problem = lfirst(cell);

		add_line(&detail, problem->what);
		add_line(&hint, problem->hint);
	}
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 list_length(problems) == 1 ? errmsg("%s", detail.data) :
			 errmsg("\"%s\" cannot be shared, for %d reasons", RelationGetRelationName(rel), list_length(problems)),
			 list_length(problems) == 1 ? 0 : errdetail("%s", detail.data),
			 errhint("%s", hint.data)));
}

/* Rights are looked at before it is locked, and again, as they may have changed while we waited. */
void
NodeOwnTable(Oid table, LOCKMODE mode)
{
	for (int i = 0; i < 2; i++)
	{
		char		kind = get_rel_relkind(table);

		if (kind == '\0')
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", table)));
		if (!VecdbOwnsRelation(table))
			aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(kind), get_rel_name(table));
		if (i == 0)
			LockRelationOid(table, mode);
	}
}

/* The node sees only what is committed. */
static void
refuse_uncommitted(Relation rel)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(RelationGetRelid(rel)));
	bool		ours;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", RelationGetRelid(rel));
	ours = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	ReleaseSysCache(tuple);
	if (ours)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" was created or changed by this transaction, which is not committed yet", RelationGetRelationName(rel)),
				 errhint("Commit first: other nodes can see only what is committed.")));
}

/* A table whose writes are captured for a collection that it has left. */
static void
refuse_left(Oid table)
{
	if (OidIsValid(VersionTableOf(table)) && !SyncTableIsShared(table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" belongs to a collection that this node has left", get_rel_name(table)),
				 errhint("vecdb.leave() makes it an ordinary table, which can be shared again.")));
}

/* Locked as it needs to be; an error where it cannot be shared. */
static void
check_table(Oid table, LOCKMODE mode)
{
	Relation	rel;

	NodeOwnTable(table, mode);
	rel = relation_open(table, NoLock);
	refuse_problems(rel);
	refuse_uncommitted(rel);
	relation_close(rel, NoLock);
	refuse_left(table);
	CaptureCheck(table);
}

static void
share(Oid table, char id[SYNC_ID_TEXT])
{
	const char *arguments[2] = {psprintf("%u", table), NULL};
	NodeQuestion	question;

	/* who wants the same is after us, so the node writes nothing for which somebody waits */
	check_table(table, ShareRowExclusiveLock);
	arguments[1] = get_rel_name(table);
	NodeAsk(&question, SYNC_SHARE, NODE_SMALL_ANSWER, arguments, 2);
	NodeAnswerDone(&question);
	(void) CaptureBegin(table);
	NodeReloadAtCommit();
	if (!SyncTableId(table, id))
		elog(ERROR, "the collection of table %u is not shared", table);
}

static void
refuse_shared(Oid table)
{
	if (SyncTableIsShared(table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is shared already", get_rel_name(table)),
				 errhint("vecdb.leave() makes it an ordinary table, which may join another collection.")));
}

/*
 * What can be refused is refused before the invitation is redeemed.  The network is asked
 * without a lock that writers would wait for.
 */
static void
join(Oid table, const char *invitation, char id[SYNC_ID_TEXT])
{
	char		schema[NODE_SCHEMA_TEXT];
	char		collection[256];
	const char *arguments[4] = {invitation, psprintf("%u", table), schema, collection};
	NodeJoined	joined;
	Relation	rel;
	bool		has_rows;

	check_table(table, AccessShareLock);
	refuse_shared(table);
	rel = relation_open(table, NoLock);
	NodeTableWords(rel, schema, collection, sizeof(collection));
	relation_close(rel, NoLock);
	NodeJoin(arguments, 4, &joined);
	FAULT_POINT("replicate-admitted");
	NodeOwnTable(table, ShareRowExclusiveLock);
	refuse_left(table);
	refuse_shared(table);
	has_rows = CaptureFindsRows(table);
	if (has_rows)
	{
		NodeQuestion	question;

		NodeAsk(&question, SYNC_JOIN_ROWS, NODE_SMALL_ANSWER, (const char *const[]) {joined.root, arguments[1]}, 2);
		NodeAnswerDone(&question);
		FAULT_POINT("replicate-life-begun");
	}
	NodeJoinBind(joined.root, table, has_rows);
	FAULT_POINT("replicate-bound");
	(void) CaptureBegin(table);
	if (!has_rows)
		RowIndexDefer(table);
	strlcpy(id, joined.id, SYNC_ID_TEXT);
}

Datum
vecdb_replicate(PG_FUNCTION_ARGS)
{
	Oid			table;
	char		id[SYNC_ID_TEXT];

	PreventCommandIfReadOnly("vecdb.replicate()");
	CollectionNeedArgument(fcinfo, 0, "table");
	table = PG_GETARG_OID(0);
	NodeOwnTable(table, AccessShareLock);
	if (!PG_ARGISNULL(1))
		join(table, text_to_cstring(PG_GETARG_TEXT_PP(1)), id);
	else if (!OidIsValid(VersionTableOf(table)) || !SyncTableId(table, id))
		share(table, id);
	FAULT_POINT("replicate-before-commit");
	PG_RETURN_TEXT_P(cstring_to_text(id));
}
