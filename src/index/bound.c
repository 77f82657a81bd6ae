/*
 * bound.c
 *	  Distances beyond which a query wants no row of an index scan, and the LIMIT above one.
 *
 * WHERE v <-> q < r: rows that the scan gives are compared with r by the executor.
 * Nothing tells it to stop where all that is left is too far, and nothing tells the access
 * method, for < is no operator of its own.  So when a query begins, its plan is looked
 * through: a scan of ours whose filter has such a clause gets it with the argument of its
 * ORDER BY, in the place that a function has for what it keeps from one call to the next;
 * our access methods never call the operator's function.  The filter stays as it is: a
 * scan without a bound gives the same rows.
 *
 * A clause is taken only where nothing can be learned from it that row-level security
 * is to hide: what the planner has found fit (bound_path.c).  A plan does not tell clauses
 * of policies from those of the user, so the planner marks those that may serve, by a
 * location in the text that no text has.  Copies of a plan keep it.  What is sent to a
 * parallel worker does not: there a scan has no bound.
 *
 * The distance may be computed with: 1 - (v <=> q) > 0.8, (v <#> q) * -1 > 5, and a
 * few more operators of float8; not with + 0, which keeps an index from being used.  What that means for the distance is computed when the
 * scan begins, and rounded so that no row is lost by it: the filter decides.
 */
#include "index/access_method.h"
#include "index/bound.h"
#include "index/plan.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/float.h"
#include "utils/fmgroids.h"

/* Of a limit that was computed with, what rounding may have taken: more than twice what it can */
#define ROUNDING	(4 * DBL_EPSILON)

typedef struct Operand
{
	Expr	   *expr;
	ExprState  *state;			/* NULL: it is a Const */
	Oid			type;			/* float8 or float4 */
} Operand;

/* A step of BoundForm, ready to be evaluated */
typedef struct Step
{
	const BoundStep *step;
	Operand		other;
} Step;

typedef struct ClauseLimit
{
	Operand		value;
	bool		from_above;
	List	   *steps;			/* of Step */
} ClauseLimit;

typedef struct Bound
{
	ExprContext *context;
	bool		unordered;
	List	   *limits;
	LimitState *rows;			/* the LIMIT above, if there is one */
} Bound;

static ExecutorStart_hook_type previous_hook;

/* ---------------------------------------------------------------------
 * The form of a clause
 * --------------------------------------------------------------------- */

static bool
is_zero(Node *node)
{
	Const	   *constant = (Const *) node;

	return IsA(node, Const) && !constant->constisnull && DatumGetFloat8(constant->constvalue) == 0;
}

static bool
has_column(Node *node, void *rti)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno == (int) *(Index *) rti && ((Var *) node)->varlevelsup == 0;
	return expression_tree_walker(node, has_column, rti);
}

/*
 * Is a value known when the scan of a table begins, and the same for all of it?  A Param of
 * a subquery runs that then, also where no row would reach the filter.
 */
bool
BoundIsKnown(Node *node, Index rti)
{
	return IsA(node, Const) || IsA(node, Param) ||
		(!has_column(node, &rti) && !contain_subplans(node) && !contain_volatile_functions(node));
}

/* 1, -1; 0 where it is not known to be a number above or below zero */
static int
sign_of(Node *node)
{
	Const	   *constant = (Const *) node;
	double		value;

	if (!IsA(node, Const) || constant->constisnull)
		return 0;
	value = DatumGetFloat8(constant->constvalue);
	return isnan(value) || isinf(value) ? 0 : (value > 0) - (value < 0);
}

/* One operator around what is computed from the distance; NULL where it is none that a bound gets through. */
static BoundStep *
read_step(OpExpr *operator, Index rti, bool from_above, Node **inside)
{
	BoundStep  *step = palloc0(sizeof(BoundStep));
	bool		first;

	step->function = operator->opfuncid;
	*inside = linitial(operator->args);
	if (step->function == F_FLOAT8UM)
	{
		step->flips = true;
		return step;
	}
	first = BoundIsKnown(*inside, rti);
	if (first == BoundIsKnown(lsecond(operator->args), rti))
		return NULL;
	step->other = (Expr *) (first ? *inside : lsecond(operator->args));
	step->other_first = first;
	if (first)
		*inside = lsecond(operator->args);

	/* who writes + 0 keeps an index from being used */
	if (is_zero((Node *) step->other) && !(step->function == F_FLOAT8MI && first))
		return NULL;
	if (step->function == F_FLOAT8PL)
		return step;
	if (step->function == F_FLOAT8MI)
	{
		step->flips = first;
		return step;
	}

	/* 1 / (1 + distance) is of use where it is positive */
	if (step->function == F_FLOAT8DIV && first)
	{
		step->flips = true;
		return !from_above && sign_of((Node *) step->other) > 0 ? step : NULL;
	}
	step->flips = sign_of((Node *) step->other) < 0;
	return sign_of((Node *) step->other) != 0 ? step : NULL;
}

static bool
is_arithmetic(Node *node)
{
	Oid			function = IsA(node, OpExpr) ? ((OpExpr *) node)->opfuncid : InvalidOid;

	return function == F_FLOAT8PL || function == F_FLOAT8MI || function == F_FLOAT8MUL ||
		function == F_FLOAT8DIV || function == F_FLOAT8UM;
}

/* Does it compare float8 or float4?  *above: the left operand is the lesser. */
static bool
is_comparison(Oid function, bool *above)
{
	switch (function)
	{
		case F_FLOAT8LT:
		case F_FLOAT8LE:
		case F_FLOAT84LT:
		case F_FLOAT84LE:
		case F_FLOAT48LT:
		case F_FLOAT48LE:
			*above = true;
			return true;
		case F_FLOAT8GT:
		case F_FLOAT8GE:
		case F_FLOAT84GT:
		case F_FLOAT84GE:
		case F_FLOAT48GT:
		case F_FLOAT48GE:
			*above = false;
			return true;
		default:
			return false;
	}
}

/*
 * Does a clause of a table's filter say of something that it is no more than what is known
 * when the scan begins?  Whether that something is a distance is for the caller to see.
 */
bool
BoundRead(Node *clause, Index rti, BoundForm *form)
{
	OpExpr	   *comparison = (OpExpr *) clause;
	Node	   *node;
	bool		above;

	if (!IsA(clause, OpExpr) || !is_comparison(comparison->opfuncid, &above))
		return false;
	node = linitial(comparison->args);
	form->limit = lsecond(comparison->args);
	if (BoundIsKnown(node, rti))
	{
		form->limit = (Expr *) node;
		node = lsecond(comparison->args);
		above = !above;
	}
	if (!BoundIsKnown((Node *) form->limit, rti))
		return false;
	form->from_above = above;
	form->steps = NIL;
	while (is_arithmetic(node))
	{
		BoundStep  *step = read_step((OpExpr *) node, rti, above, &node);

		if (step == NULL)
			return false;
		form->steps = lappend(form->steps, step);
		above ^= step->flips;
	}
	form->distance = (Expr *) node;
	return above && exprType(node) == FLOAT8OID;
}

/* ---------------------------------------------------------------------
 * Its value
 * --------------------------------------------------------------------- */

/* What a limit of the outside says of the inside, rounded to where more is let in; NaN for nothing */
static double
limit_inside(const BoundStep *step, double limit, double other, bool from_above)
{
	double		inside;
	double		slack;

	switch (step->function)
	{
		case F_FLOAT8UM:
			return -limit;
		case F_FLOAT8PL:
			inside = limit - other;
			slack = ROUNDING * (fabs(limit) + fabs(other));
			break;
		case F_FLOAT8MI:
			inside = step->other_first ? other - limit : limit + other;
			slack = ROUNDING * (fabs(limit) + fabs(other));
			break;
		case F_FLOAT8MUL:
			inside = limit / other;
			slack = ROUNDING * fabs(inside) + DBL_MIN / fabs(other) + DBL_MIN;
			break;
		default:
			if (step->other_first && limit < DBL_MIN)
				return get_float8_nan();
			inside = step->other_first ? other / limit : limit * other;
			slack = ROUNDING * fabs(inside) + DBL_MIN * fabs(other) + DBL_MIN;
			break;
	}
	if (isinf(inside) || isnan(inside))
		return inside;
	return from_above != step->flips ? inside + slack : inside - slack;
}

/* false: it is NULL */
static bool
evaluate(const Operand *operand, ExprContext *context, double *value)
{
	Const	   *constant = (Const *) operand->expr;
	bool		isnull;
	Datum		datum;

	if (IsA(constant, Const))
	{
		datum = constant->constvalue;
		isnull = constant->constisnull;
	}
	else
		datum = ExecEvalExprSwitchContext(operand->state, context, &isnull);
	if (!isnull)
		*value = operand->type == FLOAT4OID ? (double) DatumGetFloat4(datum) : DatumGetFloat8(datum);
	return !isnull;
}

/* Of one clause; where a part of it is NULL no row passes. */
static double
bound_of(const ClauseLimit *limit, ExprContext *context)
{
	bool		from_above = limit->from_above;
	double		value;
	ListCell   *lc;

	if (!evaluate(&limit->value, context, &value))
		return -get_float8_infinity();
	foreach(lc, limit->steps)
	{
		Step	   *step = lfirst(lc);
		double		other = 0;

		if (step->step->other != NULL && !evaluate(&step->other, context, &other))
			return -get_float8_infinity();
		value = limit_inside(step->step, value, other, from_above);
		from_above ^= step->step->flips;
	}

	/* all numbers are below NaN */
	return isnan(value) ? get_float8_infinity() : value;
}

double
IndexScanBound(const ScanKeyData *orderby, bool without_direction)
{
	Bound	   *bound = orderby->sk_func.fn_extra;
	double		least = get_float8_infinity();
	ListCell   *lc;

	if (bound == NULL || bound->limits == NIL)
		return least;
	if (orderby->sk_flags & SK_ISNULL)
		return -least;
	foreach(lc, bound->limits)
	{
		ClauseLimit	   *limit = lfirst(lc);

		/* NaN is at least any limit, whatever was computed with it */
		if (without_direction && !limit->from_above)
			continue;
		least = Min(least, bound_of(limit, bound->context));
	}
	return least;
}

bool
IndexScanIsUnordered(const ScanKeyData *orderby)
{
	Bound	   *bound = orderby->sk_func.fn_extra;

	return bound != NULL && bound->unordered;
}

/* Of LIMIT or OFFSET; 0 where there is none, or it cannot be told here */
static double
count_of(LimitState *limit, ExprState *state, Node *expr)
{
	bool		isnull;
	Datum		count;

	if (state == NULL || contain_volatile_functions(expr) || contain_subplans(expr))
		return 0;
	count = ExecEvalExprSwitchContext(state, limit->ps.ps_ExprContext, &isnull);
	return isnull ? 0 : (double) DatumGetInt64(count);
}

/* By now the LIMIT has been evaluated, before it asked for the first row. */
double
IndexScanRowsWanted(const ScanKeyData *orderby)
{
	Bound	   *bound = orderby->sk_func.fn_extra;
	LimitState *limit = bound != NULL && bound->limits == NIL ? bound->rows : NULL;
	Limit	   *plan;
	double		count;

	if (limit == NULL)
		return 0;
	plan = (Limit *) limit->ps.plan;
	count = count_of(limit, limit->limitCount, plan->limitCount);
	return count <= 0 ? 0 : count + count_of(limit, limit->limitOffset, plan->limitOffset);
}

/* ---------------------------------------------------------------------
 * A query begins
 * --------------------------------------------------------------------- */

static void
init_operand(Operand *operand, Expr *expr, PlanState *parent)
{
	operand->expr = expr;
	operand->type = exprType((Node *) expr);
	if (!IsA(expr, Const))
		operand->state = ExecInitExpr(expr, parent);
}

static ClauseLimit *
make_limit(const BoundForm *form, PlanState *parent)
{
	ClauseLimit	   *limit = palloc0(sizeof(ClauseLimit));
	ListCell   *lc;

	init_operand(&limit->value, form->limit, parent);
	limit->from_above = form->from_above;
	foreach(lc, form->steps)
	{
		Step	   *step = palloc0(sizeof(Step));

		step->step = lfirst(lc);
		if (step->step->other != NULL)
			init_operand(&step->other, step->step->other, parent);
		limit->steps = lappend(limit->steps, step);
	}
	return limit;
}

bool
BoundIsConstant(const BoundForm *form, double *most)
{
	ListCell   *lc;

	if (!IsA(form->limit, Const))
		return false;
	foreach(lc, form->steps)
	{
		BoundStep  *step = lfirst(lc);

		if (step->other != NULL && !IsA(step->other, Const))
			return false;
	}
	*most = bound_of(make_limit(form, NULL), NULL);
	return true;
}

/* What a scan of ours is given; NULL for another one */
static Bound *
bound_of_scan(IndexScanState *state)
{
	FmgrInfo   *function;

	if (state->iss_NumOrderByKeys != 1 || IndexMethodOf(state->iss_RelationDesc) == INDEX_NOT_OURS)
		return NULL;
	function = &state->iss_OrderByKeys[0].sk_func;
	if (function->fn_extra == NULL)
	{
		Bound	   *bound = palloc0(sizeof(Bound));

		bound->context = state->ss.ps.ps_ExprContext;
		function->fn_extra = bound;
	}
	return function->fn_extra;
}

static void
give_bound(IndexScanState *state)
{
	IndexScan  *scan = (IndexScan *) state->ss.ps.plan;
	Bound	   *bound = bound_of_scan(state);
	Node	   *distance;
	ListCell   *lc;

	if (bound == NULL)
		return;
	distance = linitial(scan->indexorderbyorig);
	foreach(lc, scan->scan.plan.qual)
	{
		Node	   *clause = lfirst(lc);
		BoundForm	form;

		if (!IsA(clause, OpExpr) || ((OpExpr *) clause)->location != BOUND_MAY_SERVE ||
			!BoundRead(clause, scan->scan.scanrelid, &form) || !IndexIsSameDistance((Node *) form.distance, distance))
			continue;
		bound->unordered = IsA(distance, OpExpr) && ((OpExpr *) distance)->location == BOUND_UNORDERED;
		bound->limits = lappend(bound->limits, make_limit(&form, &state->ss.ps));
	}
}

/* A scan that gives the rows of a LIMIT, but for those that a filter takes away */
static void
give_limit(LimitState *limit)
{
	PlanState  *below = outerPlanState(limit);
	Bound	   *bound;

	while (below != NULL && (IsA(below, ResultState) || IsA(below, LockRowsState) || IsA(below, SubqueryScanState)))
		below = IsA(below, SubqueryScanState) ? ((SubqueryScanState *) below)->subplan : outerPlanState(below);
	if (below == NULL || !IsA(below, IndexScanState))
		return;
	bound = bound_of_scan((IndexScanState *) below);
	if (bound != NULL)
		bound->rows = limit;
}

static bool
give_bounds(PlanState *state, void *context)
{
	if (IsA(state, IndexScanState))
		give_bound((IndexScanState *) state);
	else if (IsA(state, LimitState))
		give_limit((LimitState *) state);
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

void
IndexHookExecutor(void)
{
	previous_hook = ExecutorStart_hook;
	ExecutorStart_hook = at_start;
}
