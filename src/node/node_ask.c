/*
 * node_ask.c
 *	  A backend asks the worker of its database, and waits for the answer.
 *
 * The question lies in a segment of its own; its place in the node's slot says where.
 * Whoever stops waiting, by an error too, gives the place back: the worker frees what
 * it had taken.
 */
#include "node/node_ask.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fault_point.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "monotonic.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"


/* ---------------------------------------------------------------------------
 * The node of this database
 */

void
NodeNotPreloaded(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this server runs no nodes"),
			 errdetail("The library vecdb is not in shared_preload_libraries."),
			 errhint("Add it there, restart the server, and name this database in vecdb.node_databases.")));
}

SyncNode *
NodeOwnSlot(SyncShared *shared)
{
	Assert(LWLockHeldByMe(&shared->lock));
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

void
NodeNoWorker(const char *reason, int state)
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

/* The backend waits no longer, whatever happened to it. */
static void
give_up(int code, Datum arg)
{
	NodeQuestion   *question = (NodeQuestion *) DatumGetPointer(arg);
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
post(NodeQuestion *question)
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
	question->slot = NodeOwnSlot(shared);
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
	NodeNoWorker(has_slot ? reason : NULL, state);
}

static int
state_of(NodeQuestion *question)
{
	int			state;

	LWLockAcquire(&question->shared->lock, LW_SHARED);
	state = question->place->state;
	LWLockRelease(&question->shared->lock);
	return state;
}

/* Raise the error that the worker has answered. */
static void
throw_answer(NodeQuestion *question)
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

void
NodeAsk(NodeQuestion *question, SyncOp op, uint32 room, const char *const *arguments, int n)
{
	NodeAskWithin(question, op, room, arguments, n, SYNC_ANSWER_MS);
}

void
NodeAskWithin(NodeQuestion *question, SyncOp op, uint32 room, const char *const *arguments, int n, int most_ms)
{
	int64		began = MonotonicMs();

	if (!SyncPreloaded)
		NodeNotPreloaded();
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
			if (MonotonicMs() - began >= most_ms)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("the node of database \"%s\" did not answer within %d seconds", database_name(), most_ms / 1000),
						 errhint("See the view vecdb.stat_workers and the server's log.")));
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(most_ms, 1000), PG_WAIT_EXTENSION);
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

void
NodeAnswerDone(NodeQuestion *question)
{
	dsm_detach(question->segment);
}

bool
NodeAnswerNext(NodeQuestion *question, const char **text)
{
	return SyncTake(question->call, &question->at, text);
}

/* ---------------------------------------------------------------------------
 * Answers as rows
 */

Datum
NodeAnswerValue(Oid type, const char *text)
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
return_rows(FunctionCallInfo fcinfo, NodeQuestion *question)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	const char *text;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	desc = rsinfo->setDesc;
	values = palloc(sizeof(*values) * desc->natts);
	nulls = palloc(sizeof(*nulls) * desc->natts);
	while (NodeAnswerNext(question, &text))
	{
		for (int i = 0; i < desc->natts; i++)
		{
			if (i > 0 && !NodeAnswerNext(question, &text))
				elog(ERROR, "the node's answer ends within a row");
			nulls[i] = text == NULL;
			values[i] = text ? NodeAnswerValue(TupleDescAttr(desc, i)->atttypid, text) : (Datum) 0;
		}
		tuplestore_putvalues(rsinfo->setResult, desc, values, nulls);
	}
	if (question->call->cut)
		ereport(WARNING, (errmsg("the node knows more than one answer holds; the rest is left out")));
}

void
NodeAskForRows(FunctionCallInfo fcinfo, SyncOp op, const char *const *arguments, int n)
{
	NodeQuestion	question;

	NodeAsk(&question, op, NODE_LARGE_ANSWER, arguments, n);
	return_rows(fcinfo, &question);
	NodeAnswerDone(&question);
}

/* ---------------------------------------------------------------------------
 * What a transaction changes in tables that the worker has read
 */

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
	FAULT_POINT("membership-committed");
	shared = SyncAttach();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = NodeOwnSlot(shared);
	if (slot)
	{
		slot->reload = true;
		if (slot->latch)
			SetLatch(slot->latch);
	}
	LWLockRelease(&shared->lock);
}

void
NodeReloadAtCommit(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_end, NULL);
		registered = true;
	}
	tell_worker = true;
}
