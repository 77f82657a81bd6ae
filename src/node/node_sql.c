/*
 * node_sql.c
 *	  The SQL functions about nodes: a backend asks the worker of its database
 *	  (node_ipc.h) and waits for the answer.
 *
 * What the worker does, it does at once and for good: rolling back the
 * transaction that asked undoes nothing in the network.  The table of a
 * collection that is joined is the transaction's own, and so is the note that
 * ties it to the collection; joining again makes up for one that was rolled back.
 */
#include "collection/collection.h"
#include "spi_column.h"
#include "node/node_ipc.h"
#include "node/node_table.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "funcapi.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(vecdb_node_id);
PG_FUNCTION_INFO_V1(vecdb_node_workers);
PG_FUNCTION_INFO_V1(vecdb_node_links);
PG_FUNCTION_INFO_V1(vecdb_node_table);
PG_FUNCTION_INFO_V1(vecdb_lookup);
PG_FUNCTION_INFO_V1(vecdb_providers);
PG_FUNCTION_INFO_V1(vecdb_invite);
PG_FUNCTION_INFO_V1(vecdb_join);
PG_FUNCTION_INFO_V1(vecdb_leave);
PG_FUNCTION_INFO_V1(vecdb_evict);
PG_FUNCTION_INFO_V1(vecdb_members);

#define SMALL_ROOM (64 * 1024)
#define LARGE_ROOM (2 * 1024 * 1024)
#define WORKER_COLUMNS 18
#define MAX_COLUMNS 18

/* ---------------------------------------------------------------------------
 * The node of this database
 */

static void
not_preloaded(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this server runs no nodes"),
			 errdetail("The library vecdb is not in shared_preload_libraries."),
			 errhint("Add it there, restart the server, and name this database in vecdb.node_databases.")));
}

/* The slot of this database; NULL when it has none.  Lock held. */
static SyncNode *
own_slot(SyncShared *shared)
{
	for (int i = 0; i < SYNC_NODES; i++)
		if (shared->node[i].used && shared->node[i].database == MyDatabaseId)
			return &shared->node[i];
	return NULL;
}

/* The name of this database, for messages. */
static const char *
database_name(void)
{
	char	   *name = get_database_name(MyDatabaseId);

	return name ? name : "?";
}

/* Why there is no worker to ask.  A copy of its reason, or NULL for no slot. */
static void
no_worker(const char *reason, int state)
{
	if (!reason)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("database \"%s\" is no node", database_name()),
				 errhint("Name it in vecdb.node_databases and reload the server's configuration.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the node of database \"%s\" is not running", database_name()),
			 reason[0] ? errdetail("It is %s: %s.", SyncStateName(state), reason) : errdetail("It is %s.", SyncStateName(state)),
			 errhint("See the view vecdb.stat_workers and the server's log.")));
}

/* ---------------------------------------------------------------------------
 * Asking
 */

typedef struct Question
{
	SyncShared *shared;
	SyncNode   *slot;
	SyncPlace  *place;
	dsm_segment *segment;
	SyncCall   *call;
	uint32		at;				/* what was read of the answer */
} Question;

/* The backend waits no longer, whatever happened to it. */
static void
give_up(int code, Datum arg)
{
	Question   *question = (Question *) DatumGetPointer(arg);
	SyncPlace  *place = question->place;

	LWLockAcquire(&question->shared->lock, LW_EXCLUSIVE);
	if (place->state == SYNC_PLACE_TAKEN)
	{
		place->state = SYNC_PLACE_ABANDONED;
		if (question->slot->latch)
			SetLatch(question->slot->latch);
	}
	else if (place->state != SYNC_PLACE_ABANDONED)
		place->state = SYNC_PLACE_FREE;
	LWLockRelease(&question->shared->lock);
}

/* Put the question into a free place of the worker. */
static void
post(Question *question)
{
	SyncShared *shared = question->shared;
	char		reason[SYNC_REASON];
	int			state = SYNC_NODE_DOWN;
	bool		has_slot;
	Oid			role = GetUserId();
	bool		super = superuser();
	int			free = 0;
	int			mine = 0;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	question->slot = own_slot(shared);
	question->place = NULL;
	has_slot = question->slot != NULL;
	if (has_slot)
	{
		state = question->slot->state;
		strlcpy(reason, question->slot->reason, SYNC_REASON);
	}
	for (int i = 0; has_slot && state == SYNC_NODE_RUNNING && i < SYNC_REQUESTS; i++)
	{
		SyncPlace  *place = &question->slot->place[i];

		if (place->state == SYNC_PLACE_FREE)
		{
			free++;
			question->place = place;
		}
		else if (place->role == role)
			mine++;
	}
	if (!super && !SyncShareAllows(mine, free, SYNC_RESERVED))
		question->place = NULL;
	if (question->place)
	{
		question->place->latch = MyLatch;
		question->place->segment = dsm_segment_handle(question->segment);
		question->place->role = role;
		question->place->superuser = super;
		question->place->state = SYNC_PLACE_POSTED;
		SetLatch(question->slot->latch);
	}
	LWLockRelease(&shared->lock);
	if (question->place)
		return;
	if (has_slot && state == SYNC_NODE_RUNNING)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("the node is busy"),
				 !super && mine > 0 ?
				 errdetail("Role \"%s\" has %d requests under way, and %d of the node's %d places are free; a role may have no more than it leaves to others, of whom superusers have %d.",
						   GetUserNameFromId(role, false), mine, free, SYNC_REQUESTS, SYNC_RESERVED) :
				 errdetail("%d requests are under way, and the node has %d places, %d of them for superusers.",
						   SYNC_REQUESTS - free, SYNC_REQUESTS, SYNC_RESERVED),
				 errhint("Try again when one has been answered, in a few seconds.")));
	no_worker(has_slot ? reason : NULL, state);
}

static int
state_of(Question *question)
{
	int			state;

	LWLockAcquire(&question->shared->lock, LW_SHARED);
	state = question->place->state;
	LWLockRelease(&question->shared->lock);
	return state;
}

/* Raise the error that the worker has answered. */
static void
throw_answer(Question *question)
{
	const char *text[3] = {NULL, NULL, NULL};
	char	   *copy[3] = {NULL, NULL, NULL};
	int			sqlstate = question->call->sqlstate;

	question->at = 0;
	for (int i = 0; i < 3 && SyncTake(question->call, &question->at, &text[i]); i++)
		copy[i] = text[i] ? pstrdup(text[i]) : NULL;
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s", copy[0] ? copy[0] : "the node could not answer"),
			 copy[1] ? errdetail("%s", copy[1]) : 0,
			 copy[2] ? errhint("%s", copy[2]) : 0));
}

/*
 * Ask; comes back with an answer without error, or raises one.  The answer lives
 * as long as the segment, which goes with the transaction or by done().
 */
static void
ask(Question *question, SyncOp op, uint32 room, const char *const *arguments, int n)
{
	TimestampTz began = GetCurrentTimestamp();

	if (!SyncPreloaded)
		not_preloaded();
	memset(question, 0, sizeof(*question));
	question->shared = SyncAttach();
	question->segment = dsm_create(sizeof(SyncCall) + room, 0);
	question->call = dsm_segment_address(question->segment);
	memset(question->call, 0, sizeof(SyncCall));
	question->call->op = op;
	question->call->room = room;
	for (int i = 0; i < n; i++)
		if (!SyncPut(question->call, arguments[i]))
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("argument of %zu bytes is too long", strlen(arguments[i]))));
	post(question);
	PG_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(question));
	{
		for (;;)
		{
			int			state = state_of(question);

			if (state == SYNC_PLACE_DONE)
				break;
			if (state != SYNC_PLACE_POSTED && state != SYNC_PLACE_TAKEN)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the node of database \"%s\" has stopped before it answered", database_name()),
						 errhint("See the view vecdb.stat_workers and the server's log.")));
			if (TimestampDifferenceExceeds(began, GetCurrentTimestamp(), SYNC_ANSWER_MS))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the node of database \"%s\" did not answer within %d seconds", database_name(), SYNC_ANSWER_MS / 1000),
						 errhint("See the view vecdb.stat_workers and the server's log.")));
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(question));
	give_up(0, PointerGetDatum(question));
	if (question->call->sqlstate != 0)
		throw_answer(question);
	question->at = 0;
}

static void
done(Question *question)
{
	dsm_detach(question->segment);
}

/* The next string of the answer; false at its end. */
static bool
next(Question *question, const char **text)
{
	return SyncTake(question->call, &question->at, text);
}

/* ---------------------------------------------------------------------------
 * Answers as rows
 */

static Datum
column_value(Oid type, const char *text)
{
	switch (type)
	{
		case TEXTOID:
			return CStringGetTextDatum(text);
		case BOOLOID:
			return BoolGetDatum(text[0] == 't');
		case INT4OID:
			return Int32GetDatum((int32) strtol(text, NULL, 10));
		case INT8OID:
		case TIMESTAMPTZOID:	/* an int64 in a Datum, too */
			return Int64GetDatum(strtoll(text, NULL, 10));
		case TEXTARRAYOID:
			return OidInputFunctionCall(F_ARRAY_IN, (char *) text, TEXTOID, -1);
	}
	elog(ERROR, "no column of type %u comes from a node", type);
}

/* All rows of the answer into the function's result. */
static void
return_rows(FunctionCallInfo fcinfo, Question *question)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	desc;
	const char *text;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	desc = rsinfo->setDesc;
	while (next(question, &text))
	{
		Datum		values[MAX_COLUMNS];
		bool		nulls[MAX_COLUMNS];

		for (int i = 0; i < desc->natts; i++)
		{
			if (i > 0 && !next(question, &text))
				elog(ERROR, "the node's answer ends within a row");
			nulls[i] = text == NULL;
			values[i] = text ? column_value(TupleDescAttr(desc, i)->atttypid, text) : (Datum) 0;
		}
		tuplestore_putvalues(rsinfo->setResult, desc, values, nulls);
	}
	if (question->call->cut)
		ereport(WARNING, (errmsg("the node knows more than one answer holds; the rest is left out")));
}

static void
ask_for_rows(FunctionCallInfo fcinfo, SyncOp op, const char *const *arguments, int n)
{
	Question	question;

	ask(&question, op, LARGE_ROOM, arguments, n);
	return_rows(fcinfo, &question);
	done(&question);
}

/* ---------------------------------------------------------------------------
 * This node
 */

static char *
hex_id(const uint8 *id)
{
	char	   *text = palloc(65);

	for (int i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	return text;
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
		not_preloaded();
	shared = SyncAttach();
	LWLockAcquire(&shared->lock, LW_SHARED);
	slot = own_slot(shared);
	if (slot)
	{
		has_id = slot->has_id;
		memcpy(id, slot->id, sizeof(id));
		state = slot->state;
		strlcpy(reason, slot->reason, SYNC_REASON);
	}
	LWLockRelease(&shared->lock);
	if (!has_id)
		no_worker(slot ? reason : NULL, state);
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
	values[5] = TimestampTzGetDatum(node->started);
	nulls[5] = node->started == 0;
	values[6] = Int64GetDatum((int64) node->starts);
	values[7] = node->has_id ? CStringGetTextDatum(hex_id(node->id)) : (Datum) 0;
	nulls[7] = !node->has_id;
	values[8] = text_or_null(node->listen, &nulls[8]);
	nulls[9] = node->advertised[0] == '\0';
	values[9] = nulls[9] ? (Datum) 0 : column_value(TEXTARRAYOID, node->advertised);
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
	ask_for_rows(fcinfo, SYNC_PEERS, NULL, 0);
	PG_RETURN_VOID();
}

Datum
vecdb_node_table(PG_FUNCTION_ARGS)
{
	ask_for_rows(fcinfo, SYNC_TABLE, NULL, 0);
	PG_RETURN_VOID();
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

	ask_for_rows(fcinfo, SYNC_LOOKUP, arguments, 1);
	PG_RETURN_VOID();
}

/* ---------------------------------------------------------------------------
 * Collections
 */

/*
 * The table of a collection for the worker, which sees only what is committed;
 * `owned`: the caller must own it, else be able to read it.  A shared collection
 * stays shared when its table is moved to another schema or altered until it is a
 * collection no more; its owner must still be able to leave.
 */
static Oid
shared_table(const char *name, bool owned)
{
	Oid			relid = CollectionTable(name, AccessShareLock, owned ? ACL_NO_RIGHTS : ACL_SELECT);
	HeapTuple	tuple;
	bool		ours;

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
	return psprintf("%u", shared_table(name, owned));
}

/* The same for one that others are to join: it must be a collection, where collections are. */
static void
open_collection(const char *name, Collection *collection)
{
	Oid			relid = shared_table(name, true);

	if (get_rel_namespace(relid) != get_namespace_oid(COLLECTION_SCHEMA, false))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not in the schema \"%s\"", name, COLLECTION_SCHEMA),
				 errdetail("Only collections are shared, and nobody is invited to one that was moved."),
				 errhint("ALTER TABLE %s SET SCHEMA %s moves it there.", name, COLLECTION_SCHEMA)));
	CollectionOpen(get_rel_name(relid), AccessShareLock, ACL_NO_RIGHTS, collection);
}

Datum
vecdb_providers(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *arguments[1];

	/* no name of a table has 64 characters; one with its schema has a dot */
	if (strlen(name) == 64 && strchr(name, '.') == NULL)
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
	ask_for_rows(fcinfo, SYNC_PROVIDERS, arguments, 1);
	PG_RETURN_VOID();
}

Datum
vecdb_members(PG_FUNCTION_ARGS)
{
	const char *arguments[1] = {table_argument(text_to_cstring(PG_GETARG_TEXT_PP(0)), false)};

	ask_for_rows(fcinfo, SYNC_MEMBERS, arguments, 1);
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
	Collection	collection;
	Question	question;
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
	open_collection(name, &collection);
	arguments[0] = psprintf("%u", collection.relid);
	arguments[1] = collection.name;
	arguments[2] = role;
	arguments[3] = psprintf(INT64_FORMAT, life_ms);
	ask(&question, SYNC_INVITE, SMALL_ROOM, arguments, 4);
	if (!next(&question, &answer) || !answer)
		elog(ERROR, "the node's answer holds no invitation");
	result = cstring_to_text(answer);
	if (next(&question, &answer) && answer && answer[0] == 't')
		ereport(NOTICE,
				(errmsg("this node has only private addresses: the invitation is of use on this machine or its local network alone"),
				 errhint("Set vecdb.advertise to the host:port at which nodes elsewhere can reach this one.")));
	done(&question);
	PG_RETURN_TEXT_P(result);
}

Datum
vecdb_leave(PG_FUNCTION_ARGS)
{
	const char *arguments[1];
	Question	question;

	PreventCommandIfReadOnly("vecdb.leave()");
	arguments[0] = table_argument(text_to_cstring(PG_GETARG_TEXT_PP(0)), true);
	ask(&question, SYNC_LEAVE, SMALL_ROOM, arguments, 1);
	done(&question);
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
	ask_for_rows(fcinfo, SYNC_EVICT, arguments, 2);
	PG_RETURN_VOID();
}

/* ---------------------------------------------------------------------------
 * Joining
 */

/* Tell the worker, after this transaction, that it has to look at its tables. */
static bool tell_worker;

static void
at_end(XactEvent event, void *arg)
{
	SyncShared *shared;
	SyncNode   *slot;

	if (!tell_worker || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
		return;
	tell_worker = false;
	if (event == XACT_EVENT_ABORT)
		return;
	shared = SyncAttach();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = own_slot(shared);
	if (slot)
	{
		slot->reload = true;
		if (slot->latch)
			SetLatch(slot->latch);
	}
	LWLockRelease(&shared->lock);
}

/*
 * Tie the new table to the collection.  The row may belong to anybody: it is
 * written without SQL, so that nothing of its owner's runs.
 */
static void
bind_table(const char *root_hex, Oid relid)
{
	static bool registered = false;
	uint8		root[SYNC_ROOT_BYTES];
	Datum		values[SHARED_COLUMNS] = {0};
	bool		nulls[SHARED_COLUMNS] = {false};
	bool		replace[SHARED_COLUMNS] = {false};
	SyncTable	table;
	SysScanDesc scan;
	HeapTuple	row;
	bool		bound = true;
	bool		isnull;

	if (strlen(root_hex) != 2 * SYNC_ROOT_BYTES || hex_decode(root_hex, 2 * SYNC_ROOT_BYTES, (char *) root) != SYNC_ROOT_BYTES)
		elog(ERROR, "the node's answer holds no key");
	PushActiveSnapshot(GetLatestSnapshot());
	SyncTableOpen(&table, SYNC_SHARED_COLLECTION, true, true);
	scan = SyncTableScan(&table, root);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(row))
	{
		(void) SyncTableValue(&table, row, SHARED_TABLE, &isnull);
		bound = !isnull || DatumGetBool(SyncTableValue(&table, row, SHARED_LEAVING, &isnull));
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table of the collection was not created in time"),
				 errdetail("The node waits %d seconds for it.", 2 * SYNC_ANSWER_MS / 1000),
				 errhint("Join again: the same invitation is still good.")));
	if (bound)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("this database holds the collection already"),
				 errhint("vecdb.shared_collections lists what it holds.")));
	values[SHARED_TABLE - 1] = ObjectIdGetDatum(relid);
	replace[SHARED_TABLE - 1] = true;
	SyncTableUpdate(&table, row, values, nulls, replace);
	systable_endscan_ordered(scan);
	SyncTableClose(&table);
	PopActiveSnapshot();
	CommandCounterIncrement();
	if (!registered)
	{
		RegisterXactCallback(at_end, NULL);
		registered = true;
	}
	tell_worker = true;
}

/*
 * Create the table that the description (WIRE.md) tells of.  What comes from the
 * network is passed as values and judged by create_collection() as if a user had
 * typed it.
 */
static Oid
create_table(const char *name, char *description)
{
	char	   *word[8];
	char	   *rest = NULL;
	Oid			types[8] = {TEXTOID, INT4OID, TEXTOID, TEXTOID, INT4OID, INT4OID, TEXTOID, BOOLOID};
	Datum		values[8];
	char		nulls[9] = "        ";
	bool		isnull;
	bool		hnsw;

	for (int i = 0; i < 8; i++)
	{
		word[i] = strtok_r(i == 0 ? description : NULL, " ", &rest);
		if (!word[i])
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("the node that invites does not say what the collection is"),
					 errhint("Its table may have been dropped there.")));
	}
	hnsw = strcmp(word[3], "hnsw") == 0;
	values[0] = CStringGetTextDatum(name ? name : word[0]);
	values[1] = Int32GetDatum(pg_strtoint32(word[1]));
	values[2] = CStringGetTextDatum(word[2]);
	values[3] = CStringGetTextDatum(word[3]);
	values[4] = Int32GetDatum(hnsw ? pg_strtoint32(word[5]) : 16);
	values[5] = Int32GetDatum(hnsw ? pg_strtoint32(word[6]) : 200);
	values[6] = CStringGetTextDatum(word[4]);
	values[7] = BoolGetDatum(word[7][0] == '1');
	if (SPI_execute_with_args("SELECT vecdb.create_collection(name => $1, dimensions => $2, metric => $3, index_type => $4, "
							  "m => $5, ef_construction => $6, storage => $7, filter_index => $8)::pg_catalog.oid",
							  8, types, values, nulls, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not create the table of a collection");
	return DatumGetObjectId(SpiColumn(0, 1, OIDOID, &isnull));
}

Datum
vecdb_join(PG_FUNCTION_ARGS)
{
	const char *arguments[1] = {CollectionTextArgument(fcinfo, 0, "invitation")};
	char	   *name = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			schema = get_namespace_oid("collections", false);
	char	   *copy[3];
	Question	question;
	Oid			table;
	AclResult	allowed;

	PreventCommandIfReadOnly("vecdb.join()");
	/* An invitation is good once: what can be refused is refused before. */
	allowed = VecdbSchemaCheck(schema, ACL_CREATE);
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_SCHEMA, "collections");
	if (name && OidIsValid(get_relname_relid(name, schema)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("collection \"%s\" already exists", name),
				 errhint("Give another name as the second argument; the invitation is still good.")));
	ask(&question, SYNC_JOIN, SMALL_ROOM, arguments, 1);
	for (int i = 0; i < 3; i++)
	{
		const char *answer;

		if (!next(&question, &answer) || !answer)
			elog(ERROR, "the node's answer lacks a field");
		copy[i] = pstrdup(answer);
	}
	done(&question);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	table = create_table(name, copy[2]);
	bind_table(copy[1], table);
	SPI_finish();
	PG_RETURN_OID(table);
}

/* ---------------------------------------------------------------------------
 * For the worker
 */

SyncDescribed
SyncDescribe(Oid table, char *out, size_t room)
{
	Collection	facts;
	Relation	rel;
	List	   *indexes;
	ListCell   *cell;
	bool		locked = false;
	char	   *name = get_rel_name(table);

	if (name == NULL)
		return SYNC_TABLE_GONE;
	strlcpy(out, name, room);
	if (!ConditionalLockRelationOid(table, AccessShareLock))
		return SYNC_TABLE_LOCKED;
	rel = try_relation_open(table, NoLock);
	if (rel == NULL)
		return SYNC_TABLE_GONE;
	indexes = RelationGetIndexList(rel);
	relation_close(rel, NoLock);
	foreach(cell, indexes)
		locked |= !ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock);
	if (locked)
		return SYNC_TABLE_LOCKED;
	if (!CollectionFacts(table, &facts))
		return SYNC_NO_COLLECTION;
	snprintf(out, room, "%s %d %s %s %s %d %d %d", facts.name, facts.dimensions, CollectionMetricName(facts.metric),
			 facts.hnsw ? "hnsw" : "flat", facts.half ? "halfvec" : "vector", facts.m, facts.ef_construction,
			 facts.filter_index ? 1 : 0);
	return SYNC_DESCRIBED;
}
