/*
 * token_sql.c
 *	  Commit tokens in SQL: the last one of the session, and waiting for one.
 *
 * Whoever has a token may wait for it: it tells of no row, and the life that it names has
 * 128 random bits.
 */
#include "collection/collection.h"
#include "node/node_ask.h"
#include "node/node_table.h"
#include "rows/rows_shared.h"
#include "rows/token_wait.h"

#include "access/xact.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "monotonic.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(vecdb_commit_token);
PG_FUNCTION_INFO_V1(vecdb_wait_for);
PG_FUNCTION_INFO_V1(vecdb_wait_for_all);

#define TIMEOUT_MAX_MS INT64CONST(86400000)
#define POLL_MS 1000
#define LOOK_MS 2000			/* after so long beyond its time a wait ends though the worker has not looked */

Datum
vecdb_commit_token(PG_FUNCTION_ARGS)
{
	const RowTokenTicket *ticket;
	int			n = RowsLastCommit(&ticket);
	char		text[ROW_TOKEN_TEXT];

	if (n == 0)
		PG_RETURN_NULL();
	if (n > ROW_TOKEN_TICKETS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the last commit wrote to %d shared collections, and a token has room for %d", n, ROW_TOKEN_TICKETS),
				 errhint("Write to fewer in one transaction.")));
	row_token_write(ticket, n, text);
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

int64
TokenTimeout(Interval *span)
{
	int64		ms = span->time / 1000 + ((int64) span->month * DAYS_PER_MONTH + span->day) * INT64CONST(86400000);

	if (ms < 0 || ms > TIMEOUT_MAX_MS || span->time < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a timeout is from 0 to 24 hours")));
	return ms;
}

static int
token_argument(text *argument, RowTokenTicket ticket[ROW_TOKEN_TICKETS])
{
	char	   *token = text_to_cstring(argument);
	int			n = row_token_read(token, ticket);

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%.*s\" is no commit token", pg_mbcliplen(token, (int) strlen(token), 80), token),
				 errhint("vecdb.commit_token() gives one, and so does HTTP in the header Vecdb-Commit-Token.")));
	return n;
}

/* An error where this database has no worker that could answer. */
static void
check_node(void)
{
	SyncShared *shared;
	SyncNode   *slot;
	char		reason[SYNC_REASON] = "";
	int			state = SYNC_NODE_DOWN;

	if (!SyncPreloaded)
		NodeNotPreloaded();
	shared = SyncAttach();
	LWLockAcquire(&shared->lock, LW_SHARED);
	slot = NodeOwnSlot(shared);
	if (slot)
	{
		state = slot->state;
		strlcpy(reason, slot->reason, SYNC_REASON);
	}
	LWLockRelease(&shared->lock);
	if (state != SYNC_NODE_RUNNING)
		NodeNoWorker(slot ? reason : NULL, state);
}

static void pg_attribute_noreturn()
timed_out(const TokenWaitAnswer *answer, bool all)
{
	check_node();
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("what the token stands for was not there in time"),
			 answer->set_aside ? errdetail("It has come, but a row of it, or a later one of that node, could not go into its table: vecdb.quarantine shows it to the table's owner.") :
			 !all ? errdetail("It has not come to this node yet.") :
			 answer->lacking < 0 ? errdetail("The members of the collection are not known here yet.") :
			 answer->lacking == 0 ? errdetail("All other members have it, and this node does not.") :
			 errdetail_plural("%d member has not told that it has it.", "%d members have not told that they have it.",
							  answer->lacking, answer->lacking),
			 errhint("Wait for longer, or see vecdb.stat_collections and vecdb.peers() for what keeps rows from travelling.")));
}

static void
end_wait(int code, Datum place)
{
	TokenWaitEnd(DatumGetInt32(place));
}

/* Wait for one ticket until a time of MonotonicMs(). */
static void
wait_for_ticket(const RowTokenTicket *ticket, bool all, int64 until)
{
	TokenWaitAnswer answer;
	int			place = TokenWaitBegin(MyDatabaseId, superuser() ? InvalidOid : GetUserId(), ticket, all);

	if (place == TOKEN_NO_PLACE)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many wait for commit tokens"),
				 errdetail("A server has places for %d, the last %d of them for superusers, and a role has no more than it leaves to others.",
						   TOKEN_WAITS, TOKEN_WAITS_RESERVED),
				 errhint("Try again later.")));
	PG_ENSURE_ERROR_CLEANUP(end_wait, Int32GetDatum(place));
	{
		for (;;)
		{
			int64		left;

			answer = TokenWaitLook(place);
			if (answer.state != TOKEN_WAITING)
				break;
			left = until - MonotonicMs();
			/* the worker has a moment to look in any case */
			if (left <= 0 && (answer.looked || left < -LOOK_MS))
				timed_out(&answer, all);
			left = Max(left, answer.looked ? 0 : 100);
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(left, POLL_MS), PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_wait, Int32GetDatum(place));
	TokenWaitEnd(place);
	if (answer.state == TOKEN_NOT_HERE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("this node does not replicate the collection that the token is of"),
				 errhint("Take the token to a node that holds the collection: vecdb.providers() lists them.")));
}

/* What becomes visible meanwhile, a snapshot that was taken before does not show. */
static void
check_snapshot(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot wait for a commit token in a transaction that keeps its snapshot"),
				 errdetail("Its isolation level is REPEATABLE READ or SERIALIZABLE, so it would not see what came meanwhile."),
				 errhint("Wait before the transaction begins.")));
}

Datum
vecdb_wait_for(PG_FUNCTION_ARGS)
{
	RowTokenTicket ticket[ROW_TOKEN_TICKETS];
	int			n = token_argument(PG_GETARG_TEXT_PP(0), ticket);
	int64		until = MonotonicMs() + TokenTimeout(PG_GETARG_INTERVAL_P(1));

	check_snapshot();
	check_node();
	for (int i = 0; i < n; i++)
		wait_for_ticket(&ticket[i], false, until);
	PG_RETURN_VOID();
}

Datum
vecdb_wait_for_all(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	RowTokenTicket ticket[ROW_TOKEN_TICKETS];
	int			n = token_argument(PG_GETARG_TEXT_PP(1), ticket);
	int64		until = MonotonicMs() + TokenTimeout(PG_GETARG_INTERVAL_P(2));
	RowsLife	life;
	bool		named = false;

	check_node();
	if (!RowsLifeFind(NodeSharedTable(name, false), &life))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is not replicated by this node", name),
				 errhint("vecdb.stat_collections lists what is.")));
	for (int i = 0; i < n; i++)
		if (memcmp(ticket[i].collection, life.collection, ROW_TOKEN_COLLECTION) == 0)
		{
			wait_for_ticket(&ticket[i], true, until);
			named = true;
		}
	if (!named)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the token is not of a commit that wrote to \"%s\"", name)));
	PG_RETURN_VOID();
}
