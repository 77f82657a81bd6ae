/*
 * bound.c
 *	  Distances beyond which a query wants no row of an index scan.
 *
 * WHERE v <-> q < r ORDER BY v <-> q: the scan gives rows in order, and each is
 * compared with r by the executor.  Nothing tells it to stop where all that is left is
 * too far, and nothing tells the access method, for < is no operator of its own.
 * So when a query begins, its plan is looked through: a scan of ours whose filter has
 * such a clause gets it with the argument of its ORDER BY, in the place that a function
 * has for what it keeps from one call to the next; our access methods never call
 * the operator's function.  The filter stays as it is: a scan without a bound gives the
 * same rows.
 *
 * A clause is taken only where nothing can be learned from it that row-level security
 * is to hide.  There a clause of the user is evaluated after those of the policies, and a
 * plan does not tell which is which; so a query of a table with row-level security has no
 * bounds, whoever asks.  For all others restriction_is_securely_promotable() holds: what
 * comes into a view that is a barrier is leakproof.
 */
#include "index/access_method.h"
#include "index/bound.h"
#include "index/plan.h"

#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

typedef struct Bound
{
	ExprContext *context;
	List	   *limits;			/* ExprStates of float8 */
} Bound;

static ExecutorStart_hook_type previous_hook;

/* Known when the scan begins, and the same for all of it.  A Param of a subquery runs that then, also where no row would reach the filter. */
static bool
is_known_at_start(Node *node)
{
	return IsA(node, Const) || IsA(node, Param);
}

/* What a clause has the distance compared with from above; NULL for another clause. */
static Expr *
limit_of(Node *clause, Node *distance)
{
	OpExpr	   *comparison = (OpExpr *) clause;
	Node	   *left;
	Node	   *right;
	bool		commuted;

	if (!IsA(clause, OpExpr) || list_length(comparison->args) != 2)
		return NULL;
	commuted = comparison->opfuncid == F_FLOAT8GT || comparison->opfuncid == F_FLOAT8GE;
	if (!commuted && comparison->opfuncid != F_FLOAT8LT && comparison->opfuncid != F_FLOAT8LE)
		return NULL;
	left = commuted ? lsecond(comparison->args) : linitial(comparison->args);
	right = commuted ? linitial(comparison->args) : lsecond(comparison->args);
	return IndexIsSameDistance(left, distance) && is_known_at_start(right) ? (Expr *) right : NULL;
}

/* Has any table of the query row-level security?  A partition has what its parent has. */
static bool
has_policies(EState *estate)
{
	ListCell   *lc;

	foreach(lc, estate->es_range_table)
	{
		RangeTblEntry *table = lfirst_node(RangeTblEntry, lc);
		HeapTuple	class;
		bool		has;

		if (table->rtekind != RTE_RELATION)
			continue;
		class = SearchSysCache1(RELOID, ObjectIdGetDatum(table->relid));
		if (!HeapTupleIsValid(class))
			return true;
		has = ((Form_pg_class) GETSTRUCT(class))->relrowsecurity;
		ReleaseSysCache(class);
		if (has)
			return true;
	}
	return false;
}

static void
give_bound(IndexScanState *state)
{
	IndexScan  *scan = (IndexScan *) state->ss.ps.plan;
	Bound	   *bound = NULL;
	ListCell   *lc;

	if (state->iss_NumOrderByKeys != 1 || scan->scan.plan.qual == NIL ||
		IndexMethodOf(state->iss_RelationDesc) == INDEX_NOT_OURS)
		return;
	foreach(lc, scan->scan.plan.qual)
	{
		Expr	   *limit = limit_of(lfirst(lc), linitial(scan->indexorderbyorig));

		if (limit == NULL)
			continue;
		if (bound == NULL)
		{
			if (has_policies(state->ss.ps.state))
				return;
			bound = palloc0(sizeof(Bound));
			bound->context = state->ss.ps.ps_ExprContext;
			state->iss_OrderByKeys[0].sk_func.fn_extra = bound;
		}
		bound->limits = lappend(bound->limits, ExecInitExpr(limit, &state->ss.ps));
	}
}

static bool
give_bounds(PlanState *state, void *context)
{
	if (IsA(state, IndexScanState))
		give_bound((IndexScanState *) state);
	return planstate_tree_walker(state, give_bounds, context);
}

static void
at_start(QueryDesc *query, int flags)
{
	MemoryContext old;

	if (previous_hook)
		previous_hook(query, flags);
	else
		standard_ExecutorStart(query, flags);
	if (query->planstate == NULL)
		return;
	old = MemoryContextSwitchTo(query->estate->es_query_cxt);
	give_bounds(query->planstate, NULL);
	MemoryContextSwitchTo(old);
}

double
IndexScanBound(const ScanKeyData *orderby)
{
	Bound	   *bound = orderby->sk_func.fn_extra;
	double		least = get_float8_infinity();
	ListCell   *lc;

	if (bound == NULL)
		return least;
	foreach(lc, bound->limits)
	{
		bool		isnull;
		Datum		value = ExecEvalExprSwitchContext(lfirst(lc), bound->context, &isnull);

		/* all numbers are below NaN, and so does a minimum have it */
		if (!isnull && DatumGetFloat8(value) < least)
			least = DatumGetFloat8(value);
	}
	return least;
}

void
IndexHookExecutor(void)
{
	previous_hook = ExecutorStart_hook;
	ExecutorStart_hook = at_start;
}
