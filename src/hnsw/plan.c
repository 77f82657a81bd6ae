/*
 * plan.c
 *	  Spare a query the distances that nobody looks at.
 *
 * ORDER BY v <-> q puts the distance into the target list as a junk column, for
 * a sort to read.  Where an index scan already gives the order there is no sort,
 * but the executor computes the column for each row all the same, which means to
 * fetch the vector from TOAST: a quarter of the time of a statement for ten
 * rows.  So after planning, where a scan of our index is the top of its query
 * (but for a LIMIT), the junk column becomes a NULL.  The scan itself computes
 * distances where it needs them, from indexorderbyorig, which stays.
 */
#include "hnsw/hnsw.h"

#include "access/amapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static planner_hook_type previous_planner;

static bool
is_ours(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	IndexAmRoutine *routine;
	Oid			am;

	if (!HeapTupleIsValid(tuple))
		return false;
	am = ((Form_pg_class) GETSTRUCT(tuple))->relam;
	ReleaseSysCache(tuple);
	routine = GetIndexAmRoutineByAmId(am, true);
	return routine != NULL && routine->amgettuple == hnswgettuple;
}

/* `plan` is the top of its query, or right below the LIMIT that is. */
static void
drop_junk_distance(Plan *plan)
{
	IndexScan  *scan = (IndexScan *) plan;
	ListCell   *lc;

	if (plan == NULL || !IsA(plan, IndexScan) || list_length(scan->indexorderbyorig) != 1 || !is_ours(scan->indexid))
		return;
	foreach(lc, plan->targetlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (entry->resjunk && equal(entry->expr, linitial(scan->indexorderbyorig)))
			entry->expr = (Expr *) makeNullConst(exprType((Node *) entry->expr), -1, InvalidOid);
	}
}

static void
walk(Plan *plan, bool top)
{
	List	   *children = NIL;
	ListCell   *lc;

	if (plan == NULL)
		return;
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_Limit:

			/* the last of the steps of a query; WITH TIES compares the column */
			if (((Limit *) plan)->limitOption == LIMIT_OPTION_COUNT)
				drop_junk_distance(outerPlan(plan));
			break;
		case T_IndexScan:
			if (top)
				drop_junk_distance(plan);
			break;
		case T_SubqueryScan:
			walk(((SubqueryScan *) plan)->subplan, true);
			break;
		case T_Append:
			children = ((Append *) plan)->appendplans;
			break;
		case T_MergeAppend:
			children = ((MergeAppend *) plan)->mergeplans;
			break;
		case T_CustomScan:
			children = ((CustomScan *) plan)->custom_plans;
			break;
		default:
			break;
	}
	foreach(lc, children)
		walk((Plan *) lfirst(lc), false);
	walk(outerPlan(plan), false);
	walk(innerPlan(plan), false);
}

static PlannedStmt *
plan_statement(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	planner_hook_type planner_below = previous_planner != NULL ? previous_planner : standard_planner;
	PlannedStmt *stmt = planner_below(parse, query_string, cursor_options, params);
	ListCell   *lc;

	walk(stmt->planTree, true);
	foreach(lc, stmt->subplans)
		walk((Plan *) lfirst(lc), true);
	return stmt;
}

void
HnswHookPlanner(void)
{
	previous_planner = planner_hook;
	planner_hook = plan_statement;
}
