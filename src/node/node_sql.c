/*
 * node_sql.c
 *	  The SQL functions about nodes: their arguments and results.  node_ask.c asks
 *	  the worker, node_join.c has vecdb.join().
 *
 * What the worker does, it does at once and for good: rolling back the
 * transaction that asked undoes nothing in the network.  The table of a
 * collection that is joined is the transaction's own, and so is the note that
 * ties it to the collection; joining again makes up for one that was rolled back.
 */
#include "collection/collection.h"
#include "core/bytes.h"
#include "node/node_ask.h"
#include "node/node_table.h"
#include "rows/capture.h"
#include "rows/version_table.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fault_point.h"
#include "funcapi.h"
#include "guc.h"
#include "miscadmin.h"
#include "monotonic.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(vecdb_node_id);
PG_FUNCTION_INFO_V1(vecdb_node_workers);
PG_FUNCTION_INFO_V1(vecdb_node_links);
PG_FUNCTION_INFO_V1(vecdb_node_table);
PG_FUNCTION_INFO_V1(vecdb_node_collections);
PG_FUNCTION_INFO_V1(vecdb_node_replication);
PG_FUNCTION_INFO_V1(vecdb_lookup);
PG_FUNCTION_INFO_V1(vecdb_providers);
PG_FUNCTION_INFO_V1(vecdb_invite);
PG_FUNCTION_INFO_V1(vecdb_leave);
PG_FUNCTION_INFO_V1(vecdb_pause);
PG_FUNCTION_INFO_V1(vecdb_resume);
PG_FUNCTION_INFO_V1(vecdb_evict);
PG_FUNCTION_INFO_V1(vecdb_members);

#define WORKER_COLUMNS 18

/* ---------------------------------------------------------------------------
 * This node
 */

static char *
hex_id(const uint8 *id)
{
	return bytes_hex(id, 32, palloc(65));
}

Datum
vecdb_node_id(PG_FUNCTION_ARGS)
{
	SyncShared *shared;
	SyncNode   *slot;
	char		reason[SYNC_REASON];
	uint8		id[32];
	bool		has_id = false;
	int			state = SYNC_NODE_DOWN;

	if (!SyncPreloaded)
		NodeNotPreloaded();
	shared = SyncAttach();
	LWLockAcquire(&shared->lock, LW_SHARED);
	slot = NodeOwnSlot(shared);
	if (slot)
	{
		has_id = slot->has_id;
		memcpy(id, slot->id, sizeof(id));
		state = slot->state;
		strlcpy(reason, slot->reason, SYNC_REASON);
	}
	LWLockRelease(&shared->lock);
	if (!has_id)
		NodeNoWorker(slot ? reason : NULL, state);
	PG_RETURN_TEXT_P(cstring_to_text(hex_id(id)));
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text[0] == '\0';
	return *isnull ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
worker_row(ReturnSetInfo *rsinfo, const SyncNode *node)
{
	Datum		values[WORKER_COLUMNS];
	bool		nulls[WORKER_COLUMNS] = {false};
	bool		running = node->state == SYNC_NODE_RUNNING;

	values[0] = CStringGetTextDatum(node->name);
	values[1] = CStringGetTextDatum("node");
	values[2] = Int32GetDatum(node->pid);
	nulls[2] = node->pid == 0;
	values[3] = CStringGetTextDatum(SyncStateName(node->state));
	values[4] = text_or_null(node->reason, &nulls[4]);
	values[5] = TimestampTzGetDatum(GetCurrentTimestamp() - (MonotonicMs() - node->started_ms) * 1000);
	nulls[5] = node->started_ms == 0;
	values[6] = Int64GetDatum((int64) node->starts);
	values[7] = node->has_id ? CStringGetTextDatum(hex_id(node->id)) : (Datum) 0;
	nulls[7] = !node->has_id;
	values[8] = text_or_null(node->listen, &nulls[8]);
	nulls[9] = node->advertised[0] == '\0';
	values[9] = nulls[9] ? (Datum) 0 : NodeAnswerValue(TEXTARRAYOID, node->advertised);
	values[10] = text_or_null(node->clone, &nulls[10]);
	values[11] = Int32GetDatum(node->peers);
	values[12] = Int32GetDatum(node->known);
	values[13] = Int64GetDatum(node->sent);
	values[14] = Int64GetDatum(node->received);
	values[15] = Int64GetDatum(node->refused);
	values[16] = Int64GetDatum(node->lookups);
	values[17] = Int64GetDatum(node->memory_bytes);
	for (int i = 11; i < WORKER_COLUMNS; i++)
		nulls[i] = !running;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* A row for the launcher, and one for each node of the server. */
Datum
vecdb_node_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SyncShared *copy;
	SyncShared *shared;
	Datum		values[WORKER_COLUMNS] = {0};
	bool		nulls[WORKER_COLUMNS];

	InitMaterializedSRF(fcinfo, 0);
	if (!SyncPreloaded)
		PG_RETURN_VOID();
	shared = SyncAttach();
	copy = palloc(sizeof(*copy));
	LWLockAcquire(&shared->lock, LW_SHARED);
	memcpy(copy, shared, sizeof(*copy));
	LWLockRelease(&shared->lock);
	memset(nulls, true, sizeof(nulls));
	nulls[1] = nulls[3] = false;
	values[1] = CStringGetTextDatum("launcher");
	values[3] = CStringGetTextDatum(copy->launcher_pid ? "running" : "down");
	if (copy->launcher_pid)
	{
		nulls[2] = nulls[5] = false;
		values[2] = Int32GetDatum(copy->launcher_pid);
		values[5] = TimestampTzGetDatum(copy->launcher_started);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	for (int i = 0; i < SYNC_NODES; i++)
		if (copy->node[i].used)
			worker_row(rsinfo, &copy->node[i]);
	PG_RETURN_VOID();
}

Datum
vecdb_node_links(PG_FUNCTION_ARGS)
{
	NodeAskForRows(fcinfo, SYNC_PEERS, NULL, 0);
	PG_RETURN_VOID();
}

Datum
vecdb_node_table(PG_FUNCTION_ARGS)
{
	NodeAskForRows(fcinfo, SYNC_TABLE, NULL, 0);
	PG_RETURN_VOID();
}

Datum
vecdb_node_collections(PG_FUNCTION_ARGS)
{
	NodeAskForRows(fcinfo, SYNC_COLLECTIONS, NULL, 0);
	PG_RETURN_VOID();
}

Datum
vecdb_node_replication(PG_FUNCTION_ARGS)
{
	NodeAskForRows(fcinfo, SYNC_REPLICATION, NULL, 0);
	PG_RETURN_VOID();
}

/* Has it as many lower-case digits as an id? */
static bool
is_id(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* Lower-case digits of an id, an error when it is none. */
static char *
id_argument(char *text)
{
	size_t		len = strlen(text);

	for (size_t i = 0; i < len; i++)
		text[i] = pg_ascii_tolower((unsigned char) text[i]);
	if (len != 64 || strspn(text, "0123456789abcdef") != len)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is no id of a node", text),
				 errdetail("An id has 64 hexadecimal digits, this has %zu characters.", len)));
	return text;
}

Datum
vecdb_lookup(PG_FUNCTION_ARGS)
{
	const char *arguments[1] = {id_argument(text_to_cstring(PG_GETARG_TEXT_PP(0)))};

	NodeAskForRows(fcinfo, SYNC_LOOKUP, arguments, 1);
	PG_RETURN_VOID();
}

/* ---------------------------------------------------------------------------
 * Collections
 */

static bool
may_use(Oid relid, bool owned)
{
	return OidIsValid(relid) && (owned ? VecdbOwnsRelation(relid) : CollectionMayRead(relid));
}

/*
 * No name of a table has so many digits.  Whom it is no business of learns nothing; rights
 * are looked at before the table is locked, and again.
 */
static Oid
table_of_id(const char *id, bool owned)
{
	Oid			relid = SyncTableOfId(id);

	if (may_use(relid, owned))
		LockRelationOid(relid, AccessShareLock);
	if (!may_use(relid, owned) || SyncTableOfId(id) != relid)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("no collection that you may use has the id %s here", id),
				 errhint("The view vecdb.shared_collections lists those that you may read.")));
	return relid;
}

/* Is a collection called like a shared table with its schema?  Then neither is meant. */
static void
refuse_ambiguous(const char *name, Oid relid)
{
	char	   *copy = pstrdup(name);
	List	   *words = NIL;
	Oid			schema = InvalidOid;
	Oid			other;

	if (SplitIdentifierString(copy, '.', &words) && list_length(words) == 2)
		schema = get_namespace_oid(linitial(words), true);
	if (!OidIsValid(schema) || VecdbSchemaCheck(schema, ACL_USAGE) != ACLCHECK_OK)
		return;
	other = get_relname_relid(lsecond(words), schema);
	if (OidIsValid(other) && other != relid && OidIsValid(VersionTableOf(other)))
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_ALIAS),
				 errmsg("a collection and a shared table are both called %s", name),
				 errhint("Give the id of the one that is meant: vecdb.shared_collections has it.")));
}

Oid
NodeSharedTable(const char *name, bool owned)
{
	Oid			relid;
	HeapTuple	tuple;
	bool		ours;

	if (is_id(name))
		relid = table_of_id(name, owned);
	else
	{
		relid = CollectionTable(name, AccessShareLock, owned ? ACL_NO_RIGHTS : ACL_SELECT);
		if (strchr(name, '.'))
			refuse_ambiguous(name, relid);
	}
	if (owned && !VecdbOwnsRelation(relid))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	if (!owned && pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	ours = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	ReleaseSysCache(tuple);
	if (ours)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("collection \"%s\" was created or changed by this transaction, which is not committed yet", name),
				 errhint("Commit first: other nodes can see only what is committed.")));
	return relid;
}

static char *
table_argument(const char *name, bool owned)
{
	return psprintf("%u", NodeSharedTable(name, owned));
}

/* The same for one that others are to join: a collection, which is shared if it is not, or a table that is. */
static Oid
open_to_invite(const char *name)
{
	Oid			relid = NodeSharedTable(name, true);
	Collection	facts;

	if ((get_rel_namespace(relid) != get_namespace_oid(COLLECTION_SCHEMA, false) || !CollectionFacts(relid, &facts)) &&
		!SyncTableIsShared(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is not a collection, and not shared", name),
				 errhint("vecdb.replicate() shares any table that vecdb.check() accepts.")));
	CaptureCheck(relid);
	return relid;
}

Datum
vecdb_providers(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *arguments[1];

	/* no name of a table has 64 characters; one with its schema has a dot */
	if (strlen(name) == 64 && strchr(name, '.') == NULL && !may_use(SyncTableOfId(name), false))
	{
		if (!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("only members of pg_monitor may look for providers by a collection's id"),
					 errhint("Give the name of a collection that you may read.")));
		arguments[0] = id_argument(name);
	}
	else
		arguments[0] = table_argument(name, false);
	NodeAskForRows(fcinfo, SYNC_PROVIDERS, arguments, 1);
	PG_RETURN_VOID();
}

Datum
vecdb_members(PG_FUNCTION_ARGS)
{
	const char *arguments[1] = {table_argument(text_to_cstring(PG_GETARG_TEXT_PP(0)), false)};

	NodeAskForRows(fcinfo, SYNC_MEMBERS, arguments, 1);
	PG_RETURN_VOID();
}

Datum
vecdb_invite(PG_FUNCTION_ARGS)
{
	char	   *name = CollectionTextArgument(fcinfo, 0, "collection");
	char	   *role = CollectionTextArgument(fcinfo, 1, "role");
	const char *arguments[4];
	const char *answer;
	int64		life_ms = 0;
	Oid			relid;
	NodeQuestion	question;
	text	   *result;

	PreventCommandIfReadOnly("vecdb.invite()");
	if (strcmp(role, "reader") != 0 && strcmp(role, "writer") != 0 && strcmp(role, "admin") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown role \"%s\"", role),
				 errdetail("Roles are reader, writer and admin.")));
	if (!PG_ARGISNULL(2))
	{
		Interval   *span = PG_GETARG_INTERVAL_P(2);

		life_ms = span->time / 1000 + ((int64) span->month * DAYS_PER_MONTH + span->day) * INT64CONST(86400000);
		if (life_ms < 1000 || life_ms > INT64CONST(100) * 366 * 86400000)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("an invitation is good for one second to a hundred years"),
					 errhint("NULL makes one that does not expire.")));
	}
	relid = open_to_invite(name);
	arguments[0] = psprintf("%u", relid);
	arguments[1] = get_rel_name(relid);
	arguments[2] = role;
	arguments[3] = psprintf(INT64_FORMAT, life_ms);
	NodeAsk(&question, SYNC_INVITE, NODE_SMALL_ANSWER, arguments, 4);
	if (!NodeAnswerNext(&question, &answer) || !answer)
		elog(ERROR, "the node's answer holds no invitation");
	result = cstring_to_text(answer);
	if (NodeAnswerNext(&question, &answer) && answer && answer[0] == 't')
		ereport(NOTICE,
				(errmsg("this node has only private addresses: the invitation is of use on this machine or its local network alone"),
				 errhint("Set vecdb.advertise to the host:port at which nodes elsewhere can reach this one.")));
	NodeAnswerDone(&question);
	if (CaptureBegin(relid))
		NodeReloadAtCommit();
	FAULT_POINT("share-before-commit");
	PG_RETURN_TEXT_P(result);
}

/*
 * Who was evicted, or has left in a transaction that was rolled back, has a table that is
 * still captured: it becomes an ordinary one.
 */
Datum
vecdb_leave(PG_FUNCTION_ARGS)
{
	const char *arguments[1];
	NodeQuestion	question;
	Oid			relid;

	PreventCommandIfReadOnly("vecdb.leave()");
	relid = NodeSharedTable(text_to_cstring(PG_GETARG_TEXT_PP(0)), true);
	if (!OidIsValid(VersionTableOf(relid)) || SyncTableIsShared(relid))
	{
		arguments[0] = psprintf("%u", relid);
		NodeAsk(&question, SYNC_LEAVE, NODE_SMALL_ANSWER, arguments, 1);
		NodeAnswerDone(&question);
	}
	CaptureEnd(relid);
	NodeReloadAtCommit();
	FAULT_POINT("leave-before-commit");
	PG_RETURN_VOID();
}

static void
set_paused(text *name, bool paused)
{
	const char *arguments[2] = {table_argument(text_to_cstring(name), true), paused ? "1" : "0"};
	NodeQuestion	question;

	NodeAsk(&question, SYNC_PAUSE, NODE_SMALL_ANSWER, arguments, 2);
	NodeAnswerDone(&question);
}

Datum
vecdb_pause(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("vecdb.pause()");
	set_paused(PG_GETARG_TEXT_PP(0), true);
	PG_RETURN_VOID();
}

Datum
vecdb_resume(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("vecdb.resume()");
	set_paused(PG_GETARG_TEXT_PP(0), false);
	PG_RETURN_VOID();
}

Datum
vecdb_evict(PG_FUNCTION_ARGS)
{
	char	   *node = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *arguments[2];

	PreventCommandIfReadOnly("vecdb.evict()");
	for (char *c = node; *c; c++)
		*c = (char) pg_ascii_tolower((unsigned char) *c);
	if (strlen(node) < 8 || strlen(node) > 64 || strspn(node, "0123456789abcdef") != strlen(node))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is no id of a node", node),
				 errdetail("An id has 64 hexadecimal digits; its first 8 or more will do."),
				 errhint("vecdb.members() lists the members.")));
	arguments[0] = table_argument(text_to_cstring(PG_GETARG_TEXT_PP(0)), true);
	arguments[1] = node;
	NodeAskForRows(fcinfo, SYNC_EVICT, arguments, 2);
	PG_RETURN_VOID();
}
