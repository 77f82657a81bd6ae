/*
 * bound_path.c
 *	  What the planner is told of bounds of distance.
 *
 * Which clauses may end a scan, and a path for those that stand alone: without ORDER BY
 * the planner knows no scan of an index that only gives an order.  Such a path claims
 * none, so that nobody relies on it, and where a query needs an order there is a sort.
 * It is for queries that read.  What UPDATE and DELETE are to change is looked for in
 * the exact way, for the graph does not find all.
 *
 * Clauses of the user come after those of policies (restriction_is_securely_promotable()):
 * a bound that a scan has from the user would, by the time that it takes, tell of rows that
 * the user may not see.  Policies of the table that no clause is left of, as for its owner,
 * are in nobody's way.
 */
#include "index/access_method.h"
#include "index/bound.h"
#include "index/plan.h"
#include "index/settings.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "utils/float.h"
#include "utils/lsyscache.h"

static bool
has_index_of_ours(RelOptInfo *rel)
{
	ListCell   *lc;

	foreach(lc, rel->indexlist)
	{
		if (IndexIsOurs(lfirst_node(IndexOptInfo, lc)))
			return true;
	}
	return false;
}

/* See bound.c; a mark that an earlier look has left, at a table that shares the clause, goes. */
static void
mark_clauses(RelOptInfo *rel)
{
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
	{
		RestrictInfo *restriction = lfirst_node(RestrictInfo, lc);
		OpExpr	   *clause = (OpExpr *) restriction->clause;
		BoundForm	form;

		if (!IsA(clause, OpExpr))
			continue;
		if (restriction_is_securely_promotable(restriction, rel) && BoundRead((Node *) clause, rel->relid, &form))
			clause->location = BOUND_MAY_SERVE;
		else if (clause->location == BOUND_MAY_SERVE)
			clause->location = -1;
	}
}

/* Is a node the distance that an index gives rows by?  If so a copy of it, as an index scan wants it. */
static OpExpr *
distance_of_index(Expr *node, IndexOptInfo *index)
{
	OpExpr	   *operator = (OpExpr *) node;
	OpExpr	   *distance;

	if (!IsA(node, OpExpr) || list_length(operator->args) != 2)
		return NULL;
	distance = copyObject(operator);
	if (!match_index_to_operand(linitial(distance->args), 0, index))
	{
		distance->opno = get_commutator(distance->opno);
		distance->args = list_make2(lsecond(distance->args), linitial(distance->args));
		if (!OidIsValid(distance->opno) || !match_index_to_operand(linitial(distance->args), 0, index))
			return NULL;
		distance->opfuncid = get_opcode(distance->opno);
	}
	if (!OidIsValid(get_op_opfamily_sortfamily(distance->opno, index->opfamily[0])) ||
		!BoundIsKnown(lsecond(distance->args), index->rel->relid))
		return NULL;
	distance->location = BOUND_UNORDERED;
	return distance;
}

/* Is there a scan in the order of this distance, or one for another bound of it? */
static bool
has_path_by(RelOptInfo *rel, IndexOptInfo *index, OpExpr *distance)
{
	ListCell   *lc;

	foreach(lc, rel->pathlist)
	{
		IndexPath  *path = (IndexPath *) lfirst(lc);

		if (IsA(path, IndexPath) && path->indexinfo == index && list_length(path->indexorderbys) == 1 &&
			IndexIsSameDistance(linitial(path->indexorderbys), (Node *) distance))
			return true;
	}
	return false;
}

static void
add_paths_of(PlannerInfo *root, RelOptInfo *rel, IndexOptInfo *index)
{
	ListCell   *lc;

	foreach(lc, index->indrestrictinfo)
	{
		OpExpr	   *clause = (OpExpr *) lfirst_node(RestrictInfo, lc)->clause;
		OpExpr	   *distance;
		IndexPath  *path;
		BoundForm	form;

		if (!IsA(clause, OpExpr) || clause->location != BOUND_MAY_SERVE || !BoundRead((Node *) clause, rel->relid, &form))
			continue;
		distance = distance_of_index(form.distance, index);
		if (distance == NULL || has_path_by(rel, index, distance))
			continue;
		path = create_index_path(root, index, NIL, list_make1(distance), list_make1_int(0), NIL,
								 ForwardScanDirection, false, NULL, 1, false);

		/* a worker would not know the marks */
		path->path.parallel_safe = false;
		add_path(rel, &path->path);
	}
}

void
BoundAddPaths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *table)
{
	ListCell   *lc;

	if (table->rtekind != RTE_RELATION || !has_index_of_ours(rel))
		return;
	mark_clauses(rel);
	if (HnswIterativeScanMode() == HNSW_ITERATIVE_OFF || rel->lateral_relids != NULL ||
		bms_is_member(rti, root->all_result_relids))
		return;
	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, lc);

		if (IndexIsOurs(index) && !index->hypothetical && (index->indpred == NIL || index->predOK))
			add_paths_of(root, rel, index);
	}
}

/* Does a bound end this scan?  *most: what is known of it while the query is planned; infinity for nothing. */
bool
BoundOfPath(const IndexPath *path, double *most)
{
	RelOptInfo *rel = path->path.parent;
	bool		any = false;
	ListCell   *lc;

	*most = get_float8_infinity();

	foreach(lc, path->indexinfo->indrestrictinfo)
	{
		RestrictInfo *restriction = lfirst_node(RestrictInfo, lc);
		BoundForm	form;
		double		limit;

		if (!restriction_is_securely_promotable(restriction, rel) ||
			!BoundRead((Node *) restriction->clause, rel->relid, &form) ||
			!IndexIsSameDistance((Node *) form.distance, linitial(path->indexorderbys)))
			continue;
		any = true;
		if (BoundIsConstant(&form, &limit))
			*most = Min(*most, limit);
	}
	return any;
}
