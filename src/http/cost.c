/*
 * cost.c
 *	  The limit on what a statement of a request may cost, by the planner's estimate:
 *	  vecdb.http_max_cost.
 *
 * It holds for each statement that runs while a request does, those within functions,
 * triggers and vecdb.search() too, and is looked at before the statement begins.
 */
#include "http/cost.h"

#include "executor/executor.h"
#include "guc.h"

static ExecutorStart_hook_type next_start;
static bool limited;

static void
at_start(QueryDesc *query, int flags)
{
	double		cost = query->plannedstmt->planTree ? query->plannedstmt->planTree->total_cost : 0;

	if (limited && VecdbHttpMaxCost > 0 && cost > VecdbHttpMaxCost && (flags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE('P', 'T', '4', '2', '2')),
				 errmsg("the query costs too much"),
				 errdetail("Its estimated cost is %.0f, the limit %.0f.", cost, VecdbHttpMaxCost),
				 errhint("The limit is the setting vecdb.http_max_cost.")));
	if (next_start)
		next_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

void
CostInit(void)
{
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = at_start;
}

void
CostLimit(bool on)
{
	limited = on;
}
