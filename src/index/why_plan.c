/*
 * why_plan.c
 *	  Plans of a query, and the scans in them: for hnsw_why.
 */
#include "index/why_plan.h"

#include "index/access_method.h"
#include "index/bound.h"
#include "index/plan.h"

#include "access/genam.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* Plan a query with other settings, which are put back. */
PlannedStmt *
WhyPlan(Query *query, const char *text, const WhySetting *settings, int n)
{
	int			nest = NewGUCNestLevel();
	PlannedStmt *plan;

	for (int i = 0; i < n; i++)
		set_config_option(settings[i].name, settings[i].value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	plan = VecdbPlanQuery(copyObject(query), text, CURSOR_OPT_PARALLEL_OK);
	AtEOXact_GUC(false, nest);
	return plan;
}

/* Is a condition of a scan one of its distance?  Such ones end it (bound.c), or keep all rows (min()). */
static bool
is_of_distance(Node *condition, Node *distance)
{
	OpExpr	   *comparison = (OpExpr *) condition;

	if (IsA(condition, OpExpr) && comparison->location == BOUND_MAY_SERVE)
		return true;
	if (IsA(condition, NullTest))
		return IndexIsSameDistance((Node *) ((NullTest *) condition)->arg, distance);
	return IsA(condition, OpExpr) && list_length(comparison->args) == 2 &&
		(IndexIsSameDistance(linitial(comparison->args), distance) || IndexIsSameDistance(lsecond(comparison->args), distance));
}

/* The operator that an index scan of ours orders by; InvalidOid for another scan. */
static Oid
order_of_scan(const IndexScan *scan)
{
	Relation	index;
	bool		ours;

	if (list_length(scan->indexorderbyorig) != 1 || !IsA(linitial(scan->indexorderbyorig), OpExpr))
		return InvalidOid;
	index = index_open(scan->indexid, AccessShareLock);
	ours = IndexMethodOf(index) != INDEX_NOT_OURS;
	index_close(index, NoLock);
	return ours ? linitial_node(OpExpr, scan->indexorderbyorig)->opno : InvalidOid;
}

static WhyScan *
read_scan(const PlannedStmt *stmt, Plan *plan)
{
	WhyScan	   *scan = palloc0(sizeof(WhyScan));
	ListCell   *lc;

	scan->rows = plan->plan_rows;
	scan->filtered = plan->qual != NIL;
	switch (nodeTag(plan))
	{
		case T_IndexScan:
			scan->index = ((IndexScan *) plan)->indexid;
			scan->operator = order_of_scan((IndexScan *) plan);
			if (OidIsValid(scan->operator))
			{
				scan->unordered = linitial_node(OpExpr, ((IndexScan *) plan)->indexorderbyorig)->location == BOUND_UNORDERED;
				scan->filtered = false;
				foreach(lc, plan->qual)
					scan->filtered |= !is_of_distance(lfirst(lc), linitial(((IndexScan *) plan)->indexorderbyorig));
			}
			break;
		case T_IndexOnlyScan:
			scan->index = ((IndexOnlyScan *) plan)->indexid;
			break;
		case T_BitmapHeapScan:
			{
				Plan	   *below = plan->lefttree;

				while (IsA(below, BitmapAnd) || IsA(below, BitmapOr))
					below = linitial(IsA(below, BitmapAnd) ? ((BitmapAnd *) below)->bitmapplans : ((BitmapOr *) below)->bitmapplans);
				scan->index = ((BitmapIndexScan *) below)->indexid;
				break;
			}
		default:
			break;
	}
	scan->table = rt_fetch(((Scan *) plan)->scanrelid, stmt->rtable)->relid;
	return scan;
}

static void
add_scans(const PlannedStmt *stmt, Plan *plan, List **scans)
{
	List	   *below = NIL;
	ListCell   *lc;

	check_stack_depth();
	if (plan == NULL)
		return;
	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
			*scans = lappend(*scans, read_scan(stmt, plan));
			return;
		case T_Append:
			below = ((Append *) plan)->appendplans;
			break;
		case T_MergeAppend:
			below = ((MergeAppend *) plan)->mergeplans;
			break;
		case T_SubqueryScan:
			below = list_make1(((SubqueryScan *) plan)->subplan);
			break;
		case T_CustomScan:
			below = ((CustomScan *) plan)->custom_plans;
			break;
		default:
			break;
	}
	foreach(lc, below)
		add_scans(stmt, lfirst(lc), scans);
	add_scans(stmt, plan->lefttree, scans);
	add_scans(stmt, plan->righttree, scans);
}

List *
WhyScansOf(const PlannedStmt *stmt)
{
	List	   *scans = NIL;
	ListCell   *lc;

	add_scans(stmt, stmt->planTree, &scans);
	foreach(lc, stmt->subplans)
		add_scans(stmt, lfirst(lc), &scans);
	return scans;
}

Oid
WhyTableOf(const WhySearch *search)
{
	RangeTblEntry *table = search->relations != NIL ? linitial(search->relations) : NULL;

	return table != NULL && table->rtekind == RTE_RELATION ? table->relid : InvalidOid;
}

/* The scan of ours that serves a search: of its table, a partition or a child, by its operator */
WhyScan *
WhyScanOfSearch(List *scans, const WhySearch *search)
{
	List	   *tables;
	ListCell   *lc;

	if (!OidIsValid(WhyTableOf(search)))
		return NULL;
	tables = find_all_inheritors(WhyTableOf(search), NoLock, NULL);
	foreach(lc, scans)
	{
		WhyScan	   *scan = (WhyScan *) lfirst(lc);

		if (list_member_oid(tables, scan->table) && OidIsValid(scan->operator) &&
			(scan->operator == search->operator || get_commutator(scan->operator) == search->operator))
			return scan;
	}
	return NULL;
}
