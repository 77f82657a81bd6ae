/*
 * plan.c
 *	  Spare a query the distances that nobody looks at.
 *
 * ORDER BY v <-> q puts the distance into the target list as a junk column, for
 * a sort to read.  Where an index scan already gives the order there is no sort,
 * but the executor computes the column for each row all the same, which means to
 * fetch the vector from TOAST: a quarter of the time of a statement for ten
 * rows.  So when the paths of a query are complete, and one of them is a scan of
 * our index with nothing above it but a LIMIT, the junk column of that path
 * becomes a NULL.  The scan itself computes distances where it needs them, from
 * indexorderbys, which stay.
 *
 * The hook is the last one of planning: a backend that loads the library because
 * it plans its first statement with such an index comes by here in time.
 */
#include "hnsw/hnsw.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/planner.h"
#include "optimizer/tlist.h"
#include "utils/lsyscache.h"

static create_upper_paths_hook_type previous_hook;

static bool
scans_our_index(Path *path)
{
	IndexPath  *scan;

	if (IsA(path, ProjectionPath))
		path = ((ProjectionPath *) path)->subpath;
	scan = (IndexPath *) path;
	return IsA(path, IndexPath) && list_length(scan->indexorderbys) == 1 &&
		(void *) scan->indexinfo->amcostestimate == (void *) hnswcostestimate;
}

/* The planner turns q <-> v into v <-> q for the index. */
static bool
is_same_distance(Node *node, Node *distance)
{
	OpExpr	   *a = (OpExpr *) node;
	OpExpr	   *b = (OpExpr *) distance;

	if (equal(node, distance))
		return true;
	return IsA(node, OpExpr) && IsA(distance, OpExpr) && list_length(a->args) == 2 && list_length(b->args) == 2 &&
		equal(linitial(a->args), lsecond(b->args)) && equal(lsecond(a->args), linitial(b->args)) &&
		get_commutator(a->opno) == b->opno;
}

/* The junk columns of a target that are the distance ordered by; NULL where there are none. */
static PathTarget *
without_junk_distance(PlannerInfo *root, PathTarget *target, Node *distance)
{
	PathTarget *changed = NULL;

	if (list_length(target->exprs) != list_length(root->processed_tlist))
		return NULL;
	for (int i = 0; i < list_length(target->exprs); i++)
	{
		Node	   *node = (Node *) list_nth(target->exprs, i);

		if (!list_nth_node(TargetEntry, root->processed_tlist, i)->resjunk || !is_same_distance(node, distance))
			continue;
		if (changed == NULL)
			changed = copy_pathtarget(target);
		lfirst(list_nth_cell(changed->exprs, i)) = makeNullConst(exprType(node), -1, InvalidOid);
	}
	return changed;
}

static void
drop_junk_distance(PlannerInfo *root, Path *path)
{
	LimitPath  *limit = NULL;
	IndexPath  *scan;
	PathTarget *target;

	if (IsA(path, LimitPath))
	{
		limit = (LimitPath *) path;
		/* WITH TIES compares the column */
		if (limit->limitOption != LIMIT_OPTION_COUNT)
			return;
		path = limit->subpath;
	}
	if (!scans_our_index(path))
		return;
	scan = (IndexPath *) (IsA(path, ProjectionPath) ? ((ProjectionPath *) path)->subpath : path);
	target = without_junk_distance(root, path->pathtarget, (Node *) linitial(scan->indexorderbys));
	if (target == NULL)
		return;
	path->pathtarget = target;
	if (limit != NULL)
		limit->path.pathtarget = target;
}

static void
paths_complete(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input_rel, RelOptInfo *output_rel, void *extra)
{
	ListCell   *lc;

	if (previous_hook != NULL)
		previous_hook(root, stage, input_rel, output_rel, extra);
	if (stage != UPPERREL_FINAL)
		return;
	foreach(lc, output_rel->pathlist)
		drop_junk_distance(root, (Path *) lfirst(lc));
}

void
HnswHookPlanner(void)
{
	previous_hook = create_upper_paths_hook;
	create_upper_paths_hook = paths_complete;
}
