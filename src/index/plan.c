/*
 * plan.c
 *	  Planner hooks: distances that nobody looks at, an order that is not kept, rows
 *	  that are all wanted, and a LIMIT that is not known.
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
 * Under relaxed_order rows come in the order of distance but for some.  Whoever
 * asks for that by ORDER BY in the same query gets it; nobody else may take the
 * scan for ordered.  So a path of a subquery or a WITH query does not claim an order
 * that it has from such a scan, and the query above it sorts; and where a query
 * groups, or joins by the distance, the scan itself claims none until all paths are
 * there.  min(v <-> q) is such a query twice: the planner also tries it as the first
 * row in that order, in a query of its own making, and there the scan never claims
 * one.  The planner makes the plan of a scan from the order of its path: what may
 * not see that sees a projection above it, which costs nothing.  Plans are made anew
 * when the setting changes (settings.c).
 *
 * Who wants all rows in order, or more than hnsw.max_scan_tuples, gets them by a scan of
 * the table and a sort, unless sequential scans are off: a scan of an index is approximate,
 * and ends.  A cursor, EXISTS and the like tell the planner that they want a part of all; a
 * bound of the distance ends a scan that goes on by rounds.
 *
 * A LIMIT whose number is not known when the plan is made, a parameter of a generic plan,
 * an expression or a subquery, is to the planner a tenth of all rows, and then a sort of all
 * looks cheaper the larger the table is.  Whoever orders by a distance wants few: such a LIMIT
 * above a scan of ours counts as hnsw.ef_search rows.
 *
 * A backend that loads the library because it plans its first statement with such an
 * index comes by both hooks in time.
 */
#include "index/access_method.h"
#include "index/bound.h"
#include "index/plan.h"
#include "index/settings.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/paramassign.h"
#include "optimizer/planner.h"
#include "optimizer/tlist.h"
#include "utils/lsyscache.h"

static create_upper_paths_hook_type previous_hook;
static set_rel_pathlist_hook_type previous_rel_hook;

static bool
scans_our_index(Path *path)
{
	IndexPath  *scan;

	if (IsA(path, ProjectionPath))
		path = ((ProjectionPath *) path)->subpath;
	scan = (IndexPath *) path;
	return IsA(path, IndexPath) && list_length(scan->indexorderbys) == 1 && IndexIsOurs(scan->indexinfo);
}

/* The planner turns q <-> v into v <-> q for the index. */
bool
IndexIsSameDistance(Node *node, Node *distance)
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

		if (!list_nth_node(TargetEntry, root->processed_tlist, i)->resjunk || !IndexIsSameDistance(node, distance))
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

/* Does the order of this path come from a scan of our index? */
static bool
is_ordered_by_scan(Path *path)
{
	ListCell   *lc;

	check_stack_depth();
	if (path->pathkeys == NIL)
		return false;
	switch (nodeTag(path))
	{
		case T_IndexPath:
			return scans_our_index(path);
		case T_ProjectionPath:
			return is_ordered_by_scan(((ProjectionPath *) path)->subpath);
		case T_ProjectSetPath:
			return is_ordered_by_scan(((ProjectSetPath *) path)->subpath);
		case T_LimitPath:
			return is_ordered_by_scan(((LimitPath *) path)->subpath);
		case T_LockRowsPath:
			return is_ordered_by_scan(((LockRowsPath *) path)->subpath);
		case T_MaterialPath:
			return is_ordered_by_scan(((MaterialPath *) path)->subpath);
		case T_IncrementalSortPath:
			return is_ordered_by_scan(((IncrementalSortPath *) path)->spath.subpath);
		case T_GatherMergePath:
			return is_ordered_by_scan(((GatherMergePath *) path)->subpath);
		case T_NestPath:
		case T_MergePath:
		case T_HashPath:
			return is_ordered_by_scan(((JoinPath *) path)->outerjoinpath);
		case T_AppendPath:
			foreach(lc, ((AppendPath *) path)->subpaths)
			{
				if (is_ordered_by_scan((Path *) lfirst(lc)))
					return true;
			}
			return false;
		case T_MergeAppendPath:
			foreach(lc, ((MergeAppendPath *) path)->subpaths)
			{
				if (is_ordered_by_scan((Path *) lfirst(lc)))
					return true;
			}
			return false;
		default:
			return false;
	}
}

/* An order by what this index gives rows by, as the planner would have it; of no use to it but for the operator */
static PathKey *
order_of_scan(IndexPath *scan)
{
	PathKey    *key = makeNode(PathKey);
	OpExpr	   *distance = linitial(scan->indexorderbys);

	key->pk_opfamily = get_op_opfamily_sortfamily(distance->opno, scan->indexinfo->opfamily[0]);
	PathKeySetAscending(key);
	return key;
}

/* The scans of ours in a path of a table, which may be one of several tables */
static void
restore_order(Path *path)
{
	ListCell   *lc;

	check_stack_depth();
	switch (nodeTag(path))
	{
		case T_IndexPath:
			if (path->pathkeys == NIL && scans_our_index(path))
				path->pathkeys = list_make1(order_of_scan((IndexPath *) path));
			break;
		case T_ProjectionPath:
			restore_order(((ProjectionPath *) path)->subpath);
			break;
		case T_ProjectSetPath:
			restore_order(((ProjectSetPath *) path)->subpath);
			break;
		case T_MaterialPath:
			restore_order(((MaterialPath *) path)->subpath);
			break;
		case T_MemoizePath:
			restore_order(((MemoizePath *) path)->subpath);
			break;
		case T_AppendPath:
			foreach(lc, ((AppendPath *) path)->subpaths)
				restore_order((Path *) lfirst(lc));
			break;
		case T_MergeAppendPath:
			foreach(lc, ((MergeAppendPath *) path)->subpaths)
				restore_order((Path *) lfirst(lc));
			break;
		default:
			break;
	}
}

/*
 * The plan of an index scan is made from its path's order: a scan that claimed none
 * while its query was planned gets one of its own.  To the planner, who compares
 * pointers, that is no order that anybody asked for: a merge join that sorts such
 * a scan does not sort what is sorted.  Of a scan of a partition that a join gives
 * parameters to, the planner has made a copy that the paths of the parent alone know.
 */
static void
restore_orders_of_scans(PlannerInfo *root)
{
	for (int i = 1; i < root->simple_rel_array_size; i++)
	{
		RelOptInfo *rel = root->simple_rel_array[i];
		ListCell   *lc;

		if (rel == NULL)
			continue;
		foreach(lc, rel->pathlist)
			restore_order((Path *) lfirst(lc));
	}
}

/* The queries that the planner made of min() and max() are complete by then, and no hook is called for them. */
static void
restore_orders_of_minmax(const RelOptInfo *grouped)
{
	ListCell   *lc;

	foreach(lc, grouped->pathlist)
	{
		MinMaxAggPath *path = (MinMaxAggPath *) lfirst(lc);
		ListCell   *aggregate;

		if (!IsA(path, MinMaxAggPath))
			continue;
		foreach(aggregate, path->mmaggregates)
			restore_orders_of_scans(lfirst_node(MinMaxAggInfo, aggregate)->subroot);
	}
}

/* Does a scan end by itself where its rows are too far?  One whose order is nobody's wish goes on without the setting. */
static bool
ends_at_bound(const IndexPath *path)
{
	OpExpr	   *distance = linitial(path->indexorderbys);
	double		most;

	return BoundOfPath(path, &most) && (HnswIterativeScanMode() != HNSW_ITERATIVE_OFF ||
								  (IsA(distance, OpExpr) && distance->location == BOUND_UNORDERED));
}

bool
IndexWantsExactPlan(PlannerInfo *root, const IndexPath *path)
{
	if (!enable_seqscan || ends_at_bound(path))
		return false;
	if (root->tuple_fraction < 1)
		return root->tuple_fraction <= 0;
	return HnswIterativeScanMode() != HNSW_ITERATIVE_OFF && root->tuple_fraction > HnswMaxScanTuples();
}

/* The number of rows of LIMIT or OFFSET as create_limit_path() wants it: 0 for none, or NULL; what is not known is few. */
static int64
expected_rows(PlannerInfo *root, Node *count, bool *unknown)
{
	Const	   *value = (Const *) estimate_expression_value(root, count);

	if (value == NULL || (IsA(value, Const) && value->constisnull))
		return 0;
	if (IsA(value, Const))
		return Max(DatumGetInt64(value->constvalue), 0);
	*unknown = true;
	return HnswEfSearch();
}

/* Where LIMIT or OFFSET is not known, add paths that give few rows of our scans. */
static void
expect_few_rows(PlannerInfo *root, RelOptInfo *ordered, RelOptInfo *final)
{
	Query	   *query = root->parse;
	bool		unknown = false;
	int64		count = expected_rows(root, query->limitCount, &unknown);
	int64		offset = expected_rows(root, query->limitOffset, &unknown);
	ListCell   *lc;

	if (!unknown || count == 0 || query->commandType != CMD_SELECT)
		return;
	foreach(lc, ordered->pathlist)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (!is_ordered_by_scan(path))
			continue;
		if (query->rowMarks != NIL)
			path = (Path *) create_lockrows_path(root, final, path, root->rowMarks, assign_special_exec_param(root));
		add_path(final, (Path *) create_limit_path(root, final, path, query->limitOffset, query->limitCount,
												   query->limitOption, offset, count));
	}
}

/*
 * Is this a query that the planner made out of one with min() or max(), ORDER BY the
 * argument LIMIT 1?  It bears no mark but the name of its column (build_minmax_path()).
 * A subquery that somebody wrote with that name is merely sorted.
 */
static bool
is_minmax_query(PlannerInfo *root)
{
	TargetEntry *column;

	if (root->parent_root == NULL || !root->parent_root->parse->hasAggs ||
		root->parse->limitCount == NULL || list_length(root->parse->targetList) != 1)
		return false;
	column = linitial_node(TargetEntry, root->parse->targetList);
	return column->resname != NULL && strcmp(column->resname, "agg_target") == 0;
}

/* Does anything but an ORDER BY that the query itself has rely on the order of this scan? */
static bool
is_order_relied_on(PlannerInfo *root, Path *scan)
{
	Query	   *query = root->parse;
	ListCell   *lc;

	if (query->hasAggs || query->groupClause != NIL || query->groupingSets != NIL ||
		query->distinctClause != NIL || query->hasWindowFuncs || query->setOperations != NULL ||
		is_minmax_query(root))
		return true;
	foreach(lc, scan->pathkeys)
	{
		/* equal to something by a clause: a merge join could use it */
		if (lfirst_node(PathKey, lc)->pk_eclass->ec_sources != NIL)
			return true;
	}
	return false;
}

static void
rel_paths_complete(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	ListCell   *lc;

	if (previous_rel_hook != NULL)
		previous_rel_hook(root, rel, rti, rte);
	BoundAddPaths(root, rel, rti, rte);
	foreach(lc, rel->pathlist)
	{
		Path	   *path = (Path *) lfirst(lc);

		if (path->pathkeys != NIL && scans_our_index(path) &&
			HnswIterativeScanMode() == HNSW_ITERATIVE_RELAXED && is_order_relied_on(root, path))
			path->pathkeys = NIL;
	}
}

static void
paths_complete(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input_rel, RelOptInfo *output_rel, void *extra)
{
	ListCell   *lc;

	if (previous_hook != NULL)
		previous_hook(root, stage, input_rel, output_rel, extra);
	if (stage == UPPERREL_GROUP_AGG)
		restore_orders_of_minmax(output_rel);
	if (stage != UPPERREL_FINAL)
		return;
	expect_few_rows(root, input_rel, output_rel);
	foreach(lc, output_rel->pathlist)
	{
		Path	   *path = (Path *) lfirst(lc);

		drop_junk_distance(root, path);
		if (root->parent_root == NULL || (path->pathkeys != NIL && HnswIterativeScanMode() != HNSW_ITERATIVE_RELAXED))
			continue;
		if (IsA(path, IndexPath) && scans_our_index(path))
			path = lfirst(lc) = create_projection_path(root, output_rel, path, path->pathtarget);
		else if (!is_ordered_by_scan(path))
			continue;
		path->pathkeys = NIL;
	}
	restore_orders_of_scans(root);
}

void
IndexHookPlanner(void)
{
	previous_hook = create_upper_paths_hook;
	create_upper_paths_hook = paths_complete;
	previous_rel_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = rel_paths_complete;
}
