/*
 * why_query.c
 *	  The orders by a distance that a query asks for: for hnsw_why.
 *
 * The planner pulls simple subqueries, views and WITH queries up into the query around
 * them, so a column of one is here what stands in its target list.  What it does not
 * pull up is a barrier: an index below it gives no order above.
 */
#include "index/why_query.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_operator.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

/* ---------------------------------------------------------------------
 * Distances
 * --------------------------------------------------------------------- */

Oid
WhyHnswMethod(void)
{
	return get_index_am_oid("hnsw", true);
}

Oid
WhyFamilyOfOperator(Oid operator)
{
	CatCList   *members = SearchSysCacheList1(AMOPOPID, ObjectIdGetDatum(operator));
	Oid			method = WhyHnswMethod();
	Oid			family = InvalidOid;

	for (int i = 0; i < members->n_members && !OidIsValid(family); i++)
	{
		Form_pg_amop member = (Form_pg_amop) GETSTRUCT(&members->members[i]->tuple);

		if (member->amopmethod == method && member->amoppurpose == AMOP_ORDER)
			family = member->amopfamily;
	}
	ReleaseCatCacheList(members);
	return family;
}

/* The operator of an hnsw index that a function is behind */
static Oid
operator_of_function(Oid function)
{
	Relation	rel = table_open(OperatorRelationId, AccessShareLock);
	Oid			operator = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_operator_oprcode, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(function));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (!OidIsValid(operator) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			candidate = ((Form_pg_operator) GETSTRUCT(tuple))->oid;

		if (OidIsValid(WhyFamilyOfOperator(candidate)))
			operator = candidate;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return operator;
}

static Oid
distance_operator(Node *node)
{
	if (IsA(node, OpExpr) && OidIsValid(WhyFamilyOfOperator(((OpExpr *) node)->opno)))
		return ((OpExpr *) node)->opno;
	if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 2)
		return operator_of_function(((FuncExpr *) node)->funcid);
	return InvalidOid;
}

static bool
is_distance_within(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (OidIsValid(distance_operator(node)))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, is_distance_within, context, 0);
	return expression_tree_walker(node, is_distance_within, context);
}

bool
WhyHasDistance(Query *query)
{
	return query_tree_walker(query, is_distance_within, NULL, 0);
}

/* ---------------------------------------------------------------------
 * From a column to what it is
 * --------------------------------------------------------------------- */

/* Columns of subqueries that are looked behind in one statement */
#define MOST_LOOKED 10000

static WhyLevel *
within(Query *query, WhyLevel *outer)
{
	WhyLevel   *level = palloc(sizeof(WhyLevel));

	level->query = query;
	level->outer = outer;
	level->looked = outer != NULL ? outer->looked : palloc0(sizeof(int));
	return level;
}

static WhyLevel *
climb(WhyLevel *level, Index levels)
{
	while (level != NULL && levels-- > 0)
		level = level->outer;
	return level;
}

static bool
is_inside(WhyLevel *level, WhyLevel *start)
{
	while (level != NULL && level != start)
		level = level->outer;
	return level != NULL;
}

/* Does the planner keep this subquery apart (is_simple_subquery())? */
static bool
is_barrier(const Query *query)
{
	return query->setOperations != NULL || query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs ||
		query->groupClause != NIL || query->groupingSets != NIL || query->havingQual != NULL ||
		query->sortClause != NIL || query->distinctClause != NIL || query->limitCount != NULL ||
		query->limitOffset != NULL || query->hasForUpdate || query->cteList != NIL;
}

static CommonTableExpr *
find_with_query(const WhyLevel *level, const char *name)
{
	ListCell   *lc;

	foreach(lc, level->query->cteList)
	{
		CommonTableExpr *with = lfirst_node(CommonTableExpr, lc);

		if (strcmp(with->ctename, name) == 0)
			return with;
	}
	return NULL;
}

/*
 * What a column of a subquery, a join or a group is, and the level that is of; NULL for
 * columns of all else.  Subqueries that are planned by themselves are added to barriers.
 * Each level of subqueries may double what a column comes to, so beyond MOST_LOOKED a
 * column is what it is.
 */
static Node *
behind(Var *var, WhyLevel **level, WhyLevel *start, List **barriers)
{
	WhyLevel   *own = climb(*level, var->varlevelsup);
	RangeTblEntry *rte;
	Query	   *query = NULL;
	TargetEntry *entry;

	CHECK_FOR_INTERRUPTS();
	if (!is_inside(own, start) || var->varattno <= 0 || var->varno > list_length(own->query->rtable) ||
		*own->looked >= MOST_LOOKED)
		return NULL;
	(*own->looked)++;
	rte = rt_fetch(var->varno, own->query->rtable);
	if (rte->rtekind == RTE_JOIN)
	{
		*level = own;
		return list_nth(rte->joinaliasvars, var->varattno - 1);
	}
	if (VecdbIsGroup(rte))
	{
		*level = own;
		return list_nth(VecdbGroupExprs(rte), var->varattno - 1);
	}
	if (rte->rtekind == RTE_SUBQUERY)
	{
		query = rte->subquery;
		if (is_barrier(query) || rte->security_barrier)
			*barriers = lappend(*barriers, query);
		*level = within(query, own);
	}
	else if (rte->rtekind == RTE_CTE && !rte->self_reference)
	{
		WhyLevel   *of = climb(own, rte->ctelevelsup);
		CommonTableExpr *with = of != NULL ? find_with_query(of, rte->ctename) : NULL;

		if (with == NULL || !IsA(with->ctequery, Query))
			return NULL;
		query = (Query *) with->ctequery;
		if (is_barrier(query) || with->cterecursive || with->ctematerialized == CTEMaterializeAlways ||
			(with->ctematerialized == CTEMaterializeDefault && with->cterefcount > 1))
			*barriers = lappend(*barriers, query);
		*level = within(query, of);
	}
	if (query == NULL || query->commandType != CMD_SELECT)
		return NULL;
	entry = get_tle_by_resno(query->targetList, var->varattno);
	return entry != NULL ? (Node *) entry->expr : NULL;
}

typedef struct Finding
{
	WhyLevel   *start;
	WhyLevel   *level;
	List	   *barriers;
	Node	   *found;
	Oid			operator;
} Finding;

/* The first distance in an expression; stops with level and barriers as they are there. */
static bool
find_distance(Node *node, void *context)
{
	Finding    *self = (Finding *) context;

	check_stack_depth();
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, Var))
	{
		WhyLevel   *level = self->level;
		List	   *barriers = list_copy(self->barriers);

		if (find_distance(behind((Var *) node, &self->level, self->start, &self->barriers), self))
			return true;
		self->level = level;
		self->barriers = barriers;
		return false;
	}
	self->operator = distance_operator(node);
	if (OidIsValid(self->operator))
	{
		self->found = node;
		return true;
	}
	return expression_tree_walker(node, find_distance, self);
}

static Node *
strip_relabel(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/* Is an expression nothing but that distance, or a column that is? */
static bool
is_nothing_but(Node *node, const Finding *finding)
{
	WhyLevel   *level = finding->start;
	List	   *barriers = NIL;

	for (node = strip_relabel(node); node != NULL && node != finding->found; node = strip_relabel(node))
	{
		if (!IsA(node, Var))
			return false;
		node = behind((Var *) node, &level, finding->start, &barriers);
	}
	return node != NULL;
}

typedef struct Flattening
{
	WhySearch  *search;
	WhyLevel   *level;
	List	   *barriers;
	bool		of_rows;		/* something depends on a row */
} Flattening;

/* An expression with the columns of subqueries replaced, and Vars numbered by relation. */
static Node *
flatten(Node *node, void *context)
{
	Flattening *self = (Flattening *) context;

	check_stack_depth();
	if (node == NULL)
		return NULL;
	if (IsA(node, SubLink))
	{
		self->of_rows |= contain_vars_of_level(node, 0);
		return copyObject(node);
	}
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		WhyLevel   *level = self->level;
		WhyLevel   *own = climb(level, var->varlevelsup);
		Node	   *what = behind(var, &self->level, self->search->level, &self->barriers);
		RangeTblEntry *rte;
		int			number = 0;
		ListCell   *lc;

		what = flatten(what, self);
		self->level = level;
		if (what != NULL)
			return what;
		if (!is_inside(own, self->search->level) || var->varno > list_length(own->query->rtable))
			return copyObject(node);
		rte = rt_fetch(var->varno, own->query->rtable);
		foreach(lc, self->search->relations)
		{
			if (lfirst(lc) == rte)
				number = foreach_current_index(lc) + 1;
		}
		if (number == 0)
		{
			self->search->relations = lappend(self->search->relations, rte);
			number = list_length(self->search->relations);
		}
		if (number == 1)
			self->search->table_level = own;
		self->of_rows = true;
		return (Node *) makeVar(number, var->varattno, var->vartype, var->vartypmod, var->varcollid, 0);
	}
	return expression_tree_mutator(node, flatten, self);
}

/* Which side is the column: one of a table, and only that where there is a choice. */
static void
set_sides(WhySearch *search, WhyLevel *level)
{
	List	   *args = IsA(search->distance, OpExpr) ? ((OpExpr *) search->distance)->args : ((FuncExpr *) search->distance)->args;
	Flattening	self = {.search = search, .level = level};

	for (int side = 0; side < 2 && search->relations == NIL; side++)
	{
		search->column = flatten(list_nth(args, side), &self);
		search->barriers = list_concat_unique_ptr(search->barriers, self.barriers);
		self.of_rows = false;
		self.barriers = NIL;
		search->value = flatten(list_nth(args, 1 - side), &self);
		search->value_of_rows = self.of_rows;
		if (search->relations != NIL && !contain_var_clause(search->column))
			search->relations = NIL;	/* try the other side */
	}
	search->column = strip_relabel(eval_const_expressions(NULL, search->column));
	search->value = eval_const_expressions(NULL, search->value);
	search->column_of_many = bms_membership(pull_varnos(NULL, search->column)) == BMS_MULTIPLE;
}

static WhySearch *
search_of_key(WhyLevel *level, SortGroupClause *clause, int place)
{
	TargetEntry *entry = get_sortgroupclause_tle(clause, level->query->targetList);
	Finding		finding = {.start = level, .level = level};
	WhySearch  *search;

	if (!find_distance((Node *) entry->expr, &finding))
		return NULL;
	search = palloc0(sizeof(WhySearch));
	search->level = level;
	search->place = place;
	search->entry = entry;
	search->clause = clause;
	search->distance = finding.found;
	search->at_level = finding.level == level;
	search->is_bare = is_nothing_but((Node *) entry->expr, &finding);
	search->operator = finding.operator;
	search->barriers = finding.barriers;
	set_sides(search, finding.level);
	return search;
}

typedef struct Walk
{
	WhyLevel   *level;
	List	   *searches;
} Walk;

static bool
walk_queries(Node *node, void *context)
{
	Walk	   *self = (Walk *) context;
	WhyLevel   *outer = self->level;
	Query	   *query = (Query *) node;
	WhySearch  *search = NULL;
	ListCell   *lc;

	check_stack_depth();
	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, walk_queries, self);
	self->level = within(query, outer);
	foreach(lc, query->sortClause)
	{
		search = search_of_key(self->level, lfirst_node(SortGroupClause, lc), foreach_current_index(lc));
		if (search != NULL)
			break;
	}
	if (search != NULL)
		self->searches = lappend(self->searches, search);
	query_tree_walker(query, walk_queries, self, 0);
	self->level = outer;
	return false;
}

/* An order of rows that an ordered subquery has given is no search of its own. */
static bool
is_searched_below(const WhySearch *search, List *searches)
{
	ListCell   *lc;

	foreach(lc, searches)
	{
		if (list_member_ptr(search->barriers, ((WhySearch *) lfirst(lc))->level->query))
			return true;
	}
	return false;
}

List *
WhyFindSearches(Query *query)
{
	Walk		walk = {0};
	List	   *result = NIL;
	ListCell   *lc;

	walk_queries((Node *) query, &walk);
	foreach(lc, walk.searches)
	{
		if (!is_searched_below(lfirst(lc), walk.searches))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

static void
add_conditions(Node *node, List **conditions)
{
	ListCell   *lc;

	if (node == NULL)
		return;
	if (IsA(node, FromExpr))
	{
		foreach(lc, ((FromExpr *) node)->fromlist)
			add_conditions(lfirst(lc), conditions);
		*conditions = lappend(*conditions, ((FromExpr *) node)->quals);
	}
	else if (IsA(node, JoinExpr) && ((JoinExpr *) node)->jointype == JOIN_INNER)
	{
		add_conditions(((JoinExpr *) node)->larg, conditions);
		add_conditions(((JoinExpr *) node)->rarg, conditions);
		*conditions = lappend(*conditions, ((JoinExpr *) node)->quals);
	}
}

List *
WhyConditions(const WhySearch *search)
{
	WhySearch	scratch = *search;
	List	   *result = NIL;

	scratch.relations = list_copy(search->relations);
	for (WhyLevel *level = search->table_level; level != NULL; level = level->outer)
	{
		Flattening	self = {.search = &scratch, .level = level};
		List	   *conditions = NIL;
		ListCell   *lc;

		add_conditions((Node *) level->query->jointree, &conditions);
		foreach(lc, conditions)
		{
			Node	   *condition = eval_const_expressions(NULL, flatten(lfirst(lc), &self));

			if (condition != NULL)
				result = list_concat(result, make_ands_implicit((Expr *) canonicalize_qual((Expr *) condition, false)));
		}
		if (level == search->level)
			break;
	}
	return result;
}
