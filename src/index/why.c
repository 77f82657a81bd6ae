/*
 * why.c
 *	  hnsw_why: why a query uses an hnsw index or not, and what to change, in words.
 *
 * The query is analysed, rewritten and planned as EXPLAIN does it, with the rights and
 * the settings of the caller, and never run.  Whether an index is used, the plan tells.
 * Where none is, the query is planned once more with sequential scans, sorts and
 * bitmap scans off: where that plan has one, the question is of cost; else the query is
 * looked through for what keeps the planner from it (why_query.c).  What is said to help
 * is tried where that can be done, by planning the query so changed.
 *
 * Parameters ($1) are planned for any value, as in a generic plan.
 */
#include "index/access_method.h"
#include "index/settings.h"
#include "index/why_plan.h"
#include "index/why_query.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_oper.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* The cost of what is disabled, up to PostgreSQL 17, and no other's */
#define DISABLED 1e9

typedef struct Why
{
	const char *text;
	Query	   *query;
	PlannedStmt *plan;
	List	   *scans;			/* of the plan */
	StringInfoData out;
} Why;

/* What is left is an index, where there can be one. */
static const WhySetting only_index[] = {
	{"enable_seqscan", "off"}, {"enable_sort", "off"}, {"enable_bitmapscan", "off"}, {"enable_indexscan", "on"}
};

static void say(Why *self, const char *format,...) pg_attribute_printf(2, 3);

/* Another sentence */
static void
say(Why *self, const char *format,...)
{
	va_list		args;
	int			need;

	if (self->out.len > 0 && self->out.data[self->out.len - 1] != '\n')
		appendStringInfoChar(&self->out, ' ');
	for (;;)
	{
		va_start(args, format);
		need = appendStringInfoVA(&self->out, format, args);
		va_end(args);
		if (need == 0)
			break;
		enlargeStringInfo(&self->out, need);
	}
}

static char *
relation_name(Oid relid)
{
	return DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(relid)));
}

static char *
expression_text(Node *expression, Oid table)
{
	return deparse_expression(expression, deparse_context_for(get_rel_name(table), table), false, false);
}

/* The rows of a table by its statistics, at least 0; -1 where there are none */
static double
known_rows(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	double		rows = -1;

	if (HeapTupleIsValid(tuple))
	{
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	return rows;
}

static WhyScan *
forced_scan(Why *self, const WhySearch *search, PlannedStmt **plan)
{
	*plan = WhyPlan(self->query, self->text, only_index, lengthof(only_index));
	return WhyScanOfSearch(WhyScansOf(*plan), search);
}

/* ---------------------------------------------------------------------
 * An index that is used
 * --------------------------------------------------------------------- */

/* What LIMIT and OFFSET come to, of a query or one around it; false where that is not known, or there is none. */
static bool
known_limit(const WhyLevel *level, double *limit)
{
	Node	   *count;
	Node	   *offset;

	while (level != NULL && level->query->limitCount == NULL)
		level = level->outer;
	if (level == NULL)
		return false;
	count = eval_const_expressions(NULL, copyObject(level->query->limitCount));
	offset = level->query->limitOffset == NULL ? NULL : eval_const_expressions(NULL, copyObject(level->query->limitOffset));
	if (!IsA(count, Const) || ((Const *) count)->constisnull || (offset != NULL && !IsA(offset, Const)))
		return false;
	*limit = (double) DatumGetInt64(((Const *) count)->constvalue);
	if (offset != NULL && !((Const *) offset)->constisnull)
		*limit += (double) DatumGetInt64(((Const *) offset)->constvalue);
	return true;
}

static bool
has_limit(const WhyLevel *level)
{
	while (level != NULL && level->query->limitCount == NULL)
		level = level->outer;
	return level != NULL;
}

/* What a query does to rows before it puts them in order; NULL: nothing */
static const char *
grouping_of(const Query *query)
{
	if (query->setOperations != NULL)
		return "UNION, INTERSECT or EXCEPT";
	if (query->groupClause != NIL || query->groupingSets != NIL)
		return "GROUP BY";
	if (query->hasAggs)
		return "an aggregate";
	if (query->hasWindowFuncs)
		return "a window function";
	if (query->distinctClause != NIL)
		return "DISTINCT";
	if (query->hasTargetSRFs)
		return "a function that returns a set";
	return NULL;
}

static bool
has_join(const Query *query)
{
	List	   *from = query->jointree->fromlist;

	return list_length(from) > 1 || (from != NIL && IsA(linitial(from), JoinExpr));
}

/* Are there joins between the table and the order? */
static bool
is_joined(const WhySearch *search)
{
	for (WhyLevel *level = search->table_level; level != NULL; level = level->outer)
	{
		if (has_join(level->query))
			return true;
		if (level == search->level)
			break;
	}
	return false;
}

static const char *
iterative_scan_name(void)
{
	return HnswIterativeScanMode() == HNSW_ITERATIVE_STRICT ? "strict_order" : "relaxed_order";
}

/* How many rows can come of a scan, and what to do where they may be too few */
static void
say_how_many(Why *self, const WhyScan *scan, const WhySearch *search)
{
	int			ef = HnswEfSearch();
	double		rows = known_rows(scan->table);
	double		limit = 0;
	bool		known = search != NULL && known_limit(search->level, &limit);
	bool		filtered = scan->filtered || (search != NULL && (is_joined(search) || grouping_of(search->level->query) != NULL));

	if (HnswIterativeScanMode() != HNSW_ITERATIVE_OFF)
	{
		say(self, "hnsw.iterative_scan is %s: the search goes on until %s, or it has read hnsw.max_scan_tuples = %d.", iterative_scan_name(),
			scan->unordered ? "it has all within that it finds" : "the query has its rows", HnswMaxScanTuples());
		return;
	}
	say(self, "hnsw.iterative_scan is off: the index gives hnsw.ef_search = %d rows at most.", ef);
	if (known && limit > ef)
	{
		say(self, "The query wants %.0f:", limit);
		if (limit <= HNSW_MAX_EF_SEARCH)
			say(self, "SET hnsw.ef_search = %.0f, or", limit);
		say(self, "SET hnsw.iterative_scan = strict_order.");
	}
	else if (search != NULL && !has_limit(search->level))
		say(self, "There is no LIMIT, but the rows beyond those do not come: add a LIMIT, or SET hnsw.iterative_scan = strict_order.");
	if (filtered)
	{
		say(self, "Conditions, joins and what groups rows are applied to what the index gives, so that fewer may come");
		if (scan->filtered && rows > 0 && scan->rows < rows)
			say(self, "(about %.0f of %d, by the planner's estimate)", rint(ef * scan->rows / rows), ef);
		say(self, "unless the search goes on: SET hnsw.iterative_scan = strict_order.");
	}
}

static void
say_used(Why *self, const WhyScan *scan, const WhySearch *search)
{
	say(self, scan->unordered ? "The query uses the hnsw index %s to read the rows of table %s that are within a distance %s." :
		"The query uses the hnsw index %s to read table %s in the order of the distance %s.",
		relation_name(scan->index), relation_name(scan->table), get_opname(scan->operator));
	if (search != NULL && search->relations != NIL && ((RangeTblEntry *) linitial(search->relations))->securityQuals != NIL)
		say(self, "Row-level security of the table is one of the conditions.");
	say_how_many(self, scan, search);
}

/* ---------------------------------------------------------------------
 * What is wrong with the query
 * --------------------------------------------------------------------- */

/* The scan that serves it where its query is ordered by the distance alone, ascending, with these settings */
static WhyScan *
scan_by_distance(Why *self, const WhySearch *search, const WhySetting *settings, int n)
{
	Query	   *query = search->level->query;
	List	   *order = query->sortClause;
	Expr	   *entry = search->entry->expr;
	SortGroupClause *clause = makeNode(SortGroupClause);
	OpExpr	   *distance = (OpExpr *) search->distance;
	WhyScan	   *scan;

	if (!search->at_level || grouping_of(query) != NULL)
		return NULL;
	if (!IsA(distance, OpExpr))
	{
		FuncExpr   *call = (FuncExpr *) search->distance;

		distance = (OpExpr *) make_opclause(search->operator, FLOAT8OID, false, linitial(call->args), lsecond(call->args), InvalidOid, call->inputcollid);
		distance->opfuncid = call->funcid;
	}
	clause->tleSortGroupRef = search->clause->tleSortGroupRef;
	get_sort_group_operators(FLOAT8OID, true, true, false, &clause->sortop, &clause->eqop, NULL, &clause->hashable);
	query->sortClause = list_make1(clause);
	search->entry->expr = (Expr *) distance;
	scan = WhyScanOfSearch(WhyScansOf(WhyPlan(self->query, self->text, settings, n)), search);
	query->sortClause = order;
	search->entry->expr = entry;
	return scan;
}

/* The ORDER BY that an index serves, in words */
static char *
wanted_order(const WhySearch *search)
{
	return psprintf("ORDER BY %s %s ...", expression_text(search->column, WhyTableOf(search)), get_opname(search->operator));
}

/* Does the order itself keep an index out? */
static bool
say_order(Why *self, const WhySearch *search)
{
	bool		descends;
	Oid			less;

	get_sort_group_operators(exprType((Node *) search->entry->expr), true, false, false, &less, NULL, NULL, NULL);
	descends = search->clause->sortop != less;
	if (!IsA(search->distance, OpExpr))
		say(self, "It calls the function %s(), and an index knows the operator only: %s.",
			get_func_name(((FuncExpr *) search->distance)->funcid), wanted_order(search));
	else if (!search->is_bare)
		say(self, "It orders by an expression over the distance, and an index gives rows by the distance itself: %s, "
			"ascending, with the expression in the SELECT list.", wanted_order(search));
	else if (descends)
		say(self, "It orders by the distance descending, the farthest first, and an index gives the nearest first: leave out DESC.");
	else if (search->clause->nulls_first)
		say(self, "It wants nulls first, and an index has none: leave out NULLS FIRST.");
	if (search->place > 0)
		say(self, "The distance is number %d of what it orders by, and has to be the first.", search->place + 1);
	return !IsA(search->distance, OpExpr) || !search->is_bare || descends || search->clause->nulls_first || search->place > 0;
}

/* What the query would do, ordered by the distance alone; other: it was not said yet that it should be */
static bool
say_by_distance(Why *self, const WhySearch *search, bool other)
{
	WhyScan    *scan = scan_by_distance(self, search, NULL, 0);
	bool		uses = scan != NULL;

	if (!uses)
		scan = scan_by_distance(self, search, only_index, lengthof(only_index));
	if (scan == NULL)
		return false;
	if (other)
		say(self, "It orders by more than the distance, which this planner does not do from an index: order and limit by the distance in a subquery, "
			"and sort what it gives by the rest.");
	say(self, "Ordered by the distance alone, ascending, the query %s index %s.",
		uses ? "uses" : "could use", relation_name(scan->index));
	return true;
}

static bool
say_shape(Why *self, const WhySearch *search)
{
	const char *grouping = grouping_of(search->level->query);
	ListCell   *lc;

	if (grouping == NULL)
	{
		foreach(lc, search->barriers)
			grouping = grouping == NULL ? grouping_of(lfirst(lc)) : grouping;
	}
	if (grouping != NULL)
		say(self, "There is %s between the table and the order: put ORDER BY and LIMIT into a subquery of the table alone, and the rest around it.", grouping);
	else if (search->barriers != NIL)
		say(self, "The distance is of what a subquery, WITH query or view gives that is planned by itself "
			"(it has a LIMIT, ORDER BY or OFFSET, is MATERIALIZED, used twice or a security barrier): put ORDER BY and LIMIT into it.");
	return grouping != NULL || search->barriers != NIL;
}

static bool
say_value(Why *self, const WhySearch *search)
{
	if (search->value_of_rows && list_length(search->relations) > 1)
		say(self, "Both sides of the distance come from rows, so that there is no one value to search for: "
			"for the nearest of each row, use a join with LATERAL (SELECT ... ORDER BY ... LIMIT n).");
	else if (search->value_of_rows)
		say(self, "Both sides of the distance come from the same row, so that there is no one value to search for.");
	else if (IsA(search->value, Const) && ((Const *) search->value)->constisnull)
		say(self, "The value that it compares with is null, and so are all distances.");
	else if (contain_volatile_functions(search->value))
		say(self, "The value that it compares with is volatile, so that each row has another: put it into a subselect, (SELECT ...).");
	else
		return false;
	return true;
}

/* ---------------------------------------------------------------------
 * What is wrong with the indexes
 * --------------------------------------------------------------------- */

/* The expression that an index is on, with the table as relation 1 */
static Node *
key_of_index(Relation index, Relation table)
{
	AttrNumber	number = index->rd_index->indkey.values[0];
	Form_pg_attribute column;

	if (number == 0)
		return strip_implicit_coercions(linitial(RelationGetIndexExpressions(index)));
	column = TupleDescAttr(RelationGetDescr(table), number - 1);
	return (Node *) makeVar(1, number, column->atttypid, column->atttypmod, column->attcollation, 0);
}

static bool
is_by_operator(Relation index, Oid operator)
{
	Oid			family = index->rd_opfamily[0];

	return OidIsValid(get_op_opfamily_sortfamily(operator, family)) ||
		(OidIsValid(get_commutator(operator)) && OidIsValid(get_op_opfamily_sortfamily(get_commutator(operator), family)));
}

static char *
operator_of_index(Relation index)
{
	return get_opname(get_opfamily_member(index->rd_opfamily[0], index->rd_opcintype[0], index->rd_opcintype[0], 1));
}

typedef enum Match
{
	MATCH_NONE,					/* of another column */
	MATCH_COLUMN,				/* of an expression over the same column */
	MATCH_DISTANCE,				/* that, by the same distance */
	MATCH_KEY,					/* the same expression, by another distance */
	MATCH_ALL
} Match;

static Match
match_index(Relation index, Relation table, const WhySearch *search)
{
	Node	   *key = key_of_index(index, table);
	Bitmapset  *of_key = NULL;
	Bitmapset  *of_search = NULL;

	if (equal(key, search->column))
		return is_by_operator(index, search->operator) ? MATCH_ALL : MATCH_KEY;
	pull_varattnos(key, 1, &of_key);
	pull_varattnos(search->column, 1, &of_search);
	if (!bms_overlap(of_key, of_search))
		return MATCH_NONE;
	return strcmp(operator_of_index(index), get_opname(search->operator)) == 0 ? MATCH_DISTANCE : MATCH_COLUMN;
}

/* What there is to say of an index that fits, but is not used */
static bool
say_unusable(Why *self, Relation index, const WhySearch *search)
{
	char	   *name = relation_name(RelationGetRelid(index));
	List	   *predicate = RelationGetIndexPredicate(index);

	if (!index->rd_index->indisvalid)
		say(self, "Index %s fits, but is not valid: a concurrent build of it goes on or has failed; then REINDEX INDEX %s.", name, name);
	else if (index->rd_index->indcheckxmin &&
			 !TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin))
		say(self, "Index %s fits, but was built while older transactions were at work: it is used once those have ended, by transactions that begin then.", name);
	else if (predicate != NIL && !predicate_implied_by(predicate, WhyConditions(search), false))
		say(self, "Index %s fits, but has only the rows WHERE %s, and the conditions of the query do not imply that: add the same condition, "
			"with a constant and not a parameter.", name,
			expression_text((Node *) make_ands_explicit(predicate), index->rd_index->indrelid));
	else
		return false;
	return true;
}

/* An index that is not of this expression and operator */
static void
say_mismatch(Why *self, Relation index, Relation table, Match match, const WhySearch *search)
{
	char	   *name = relation_name(RelationGetRelid(index));
	char	   *operator = operator_of_index(index);
	char	   *key = expression_text(key_of_index(index, table), RelationGetRelid(table));

	if (match == MATCH_KEY)
		say(self, "Index %s is for the distance %s of %s.", name, operator, key);
	else
		say(self, "Index %s is on %s, and the query orders by %s: both have to be the same, to the last cast and length. To use it: ORDER BY %s %s ....",
			name, key, expression_text(search->column, RelationGetRelid(table)), key, operator);
}

static void
say_create(Why *self, Relation table, const WhySearch *search)
{
	HeapTuple	family = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(WhyFamilyOfOperator(search->operator)));
	char	   *name = relation_name(RelationGetRelid(table));
	char	   *column = expression_text(search->column, RelationGetRelid(table));
	const char *opclass;

	if (!HeapTupleIsValid(family))
		return;
	opclass = NameStr(((Form_pg_opfamily) GETSTRUCT(family))->opfname);
	if (exprTypmod(search->column) >= 0)
		say(self, IsA(search->column, Var) ? "To have one: CREATE INDEX ON %s USING hnsw (%s %s)." : "To have one: CREATE INDEX ON %s USING hnsw ((%s) %s).",
			name, column, opclass);
	else
	{
		char	   *cast = psprintf("%s::%s(n)", column, format_type_be(exprType(search->column)));

		say(self, "To have one: CREATE INDEX ON %s USING hnsw ((%s) %s), with the dimensions for n, which %s does not tell, and ORDER BY %s %s ....",
			name, cast, opclass, column, cast, get_opname(search->operator));
	}
	ReleaseSysCache(family);
}

/* The indexes of a table that are of hnsw, opened */
static List *
open_indexes(Relation table)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(table))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (IndexMethodOf(index) != INDEX_NOT_OURS)
			result = lappend(result, index);
		else
			index_close(index, AccessShareLock);
	}
	return result;
}

static bool
say_indexes(Why *self, const WhySearch *search)
{
	Relation	table = table_open(WhyTableOf(search), AccessShareLock);
	List	   *indexes = open_indexes(table);
	Match		best = MATCH_NONE;
	bool		said = false;
	bool		near = false;
	ListCell   *lc;

	foreach(lc, indexes)
		best = Max(best, match_index(lfirst(lc), table, search));
	foreach(lc, indexes)
	{
		Match		match = match_index(lfirst(lc), table, search);

		if (match == MATCH_ALL)
			said |= say_unusable(self, lfirst(lc), search);
		else if (best < MATCH_ALL && match >= MATCH_DISTANCE)
		{
			say_mismatch(self, lfirst(lc), table, match, search);
			near |= match == MATCH_DISTANCE;
		}
	}
	if (indexes == NIL)
		say(self, "Table %s has no hnsw index.", relation_name(RelationGetRelid(table)));
	else if (best < MATCH_DISTANCE)
		say(self, "No hnsw index of table %s is on %s.", relation_name(RelationGetRelid(table)), expression_text(search->column, RelationGetRelid(table)));
	if (best < MATCH_ALL && !near)
		say_create(self, table, search);
	said |= best < MATCH_ALL;
	foreach(lc, indexes)
		index_close(lfirst(lc), NoLock);
	table_close(table, NoLock);
	return said;
}

static bool
say_table(Why *self, const WhySearch *search)
{
	RangeTblEntry *table = search->relations != NIL ? linitial(search->relations) : NULL;

	if (!OidIsValid(WhyTableOf(search)))
		say(self, "The distance is not of a column of a table, and only tables have indexes.");
	else if (search->column_of_many)
		say(self, "The distance is of columns of more than one table: order by the column of one.");
	else if (table->relkind == RELKIND_FOREIGN_TABLE)
		say(self, "Table %s is foreign: its server may have an index, this one has not.", relation_name(table->relid));
	else if (table->tablesample != NULL)
		say(self, "TABLESAMPLE reads table %s without indexes.", relation_name(table->relid));
	else
		return false;
	return true;
}

/* ---------------------------------------------------------------------
 * A plan that is cheaper
 * --------------------------------------------------------------------- */

/* The scan that serves a search where its query has LIMIT 10 */
static WhyScan *
scan_with_limit(Why *self, const WhySearch *search)
{
	Query	   *query = search->level->query;
	Node	   *count = query->limitCount;
	LimitOption option = query->limitOption;
	WhyScan	   *scan;

	query->limitCount = (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(10), false, FLOAT8PASSBYVAL);
	query->limitOption = LIMIT_OPTION_COUNT;
	scan = WhyScanOfSearch(WhyScansOf(WhyPlan(self->query, self->text, NULL, 0)), search);
	query->limitCount = count;
	query->limitOption = option;
	return scan;
}

static void
say_other_scan(Why *self, const WhySearch *search)
{
	Oid			table = WhyTableOf(search);
	char	   *name = relation_name(table);
	ListCell   *lc;

	if (is_joined(search))
	{
		say(self, "It joins first and sorts what comes of that, which is exact. To have it search first: ORDER BY and LIMIT in a subquery of the table alone.");
		return;
	}
	foreach(lc, self->scans)
	{
		WhyScan    *scan = (WhyScan *) lfirst(lc);
		double		rows = known_rows(scan->table);

		if (scan->table != table)
			continue;
		if (rows < 0)
			say(self, "What is in table %s is not known: ANALYZE %s.", name, name);
		else if (OidIsValid(scan->index))
			say(self, "The conditions leave about %.0f of %.0f rows, which it reads by index %s and sorts; that is exact.",
				scan->rows, rows, relation_name(scan->index));
		else if (scan->filtered)
			say(self, "The conditions leave about %.0f of %.0f rows, so that a search would go far to find enough; it reads all and sorts those, which is exact. "
				"An hnsw index with those conditions as its WHERE has only such rows.", scan->rows, rows);
		else
			say(self, "The table has about %.0f rows, and to read and sort them all is exact. With more rows it uses the index by itself.", rows);
		if (rows >= 0)
			say(self, "If those are not the numbers: ANALYZE %s.", name);
		return;
	}
}

static void
say_cheaper(Why *self, const WhySearch *search, const WhyScan *forced, const PlannedStmt *plan)
{
	double		limit;
	double		with = plan->planTree->total_cost;
	double		without = self->plan->planTree->total_cost;

	if (!enable_indexscan)
	{
		say(self, "enable_indexscan is off: RESET enable_indexscan.");
		return;
	}
	say(self, "The planner could use index %s, and takes another plan to be cheaper", relation_name(forced->index));
	if (with < DISABLED && without < DISABLED)
		say(self, "(cost %.0f, with the index %.0f).", without, with);
	else
		appendStringInfoChar(&self->out, '.');
	if (!has_limit(search->level) && scan_with_limit(self, search) != NULL)
		say(self, "There is no LIMIT, so that all rows have to be put in order, which is exact; with LIMIT 10 the index is used.");
	else if (has_limit(search->level) && !known_limit(search->level, &limit) && scan_with_limit(self, search) != NULL)
		say(self, "It does not know what the LIMIT comes to and reckons with hnsw.ef_search = %d rows; with LIMIT 10 the index is used.", HnswEfSearch());
	else if (has_limit(search->level) && known_limit(search->level, &limit) && limit > 10 && scan_with_limit(self, search) != NULL)
		say(self, "LIMIT and OFFSET come to %.0f rows; with LIMIT 10 the index is used.", limit);
	else
		say_other_scan(self, search);
	say(self, "To compare the two: SET enable_seqscan = off; SET enable_sort = off.");
}

/* ---------------------------------------------------------------------
 * All of it
 * --------------------------------------------------------------------- */

static void
say_unused(Why *self, const WhySearch *search)
{
	PlannedStmt *plan;
	WhyScan	   *scan = forced_scan(self, search, &plan);
	bool		shape;
	bool		order;
	bool		value;

	if (OidIsValid(WhyTableOf(search)))
		say(self, "The query does not use an hnsw index to order table %s by the distance %s.",
			relation_name(WhyTableOf(search)), get_opname(search->operator));
	else
		say(self, "The query does not use an hnsw index for the distance %s.", get_opname(search->operator));
	if (scan != NULL)
	{
		say_cheaper(self, search, scan, plan);
		return;
	}
	if (say_table(self, search))
		return;
	shape = say_shape(self, search);
	order = !shape && say_order(self, search);
	value = say_value(self, search);
	if (!(say_indexes(self, search) | shape | order | value))
	{
		if (list_length(search->level->query->sortClause) > 1 && say_by_distance(self, search, true))
			return;
		if (is_joined(search))
			say(self, "The planner finds no way to keep that order through the joins: put ORDER BY and LIMIT into a subquery of the table alone, and join what it gives.");
		else
			say(self, "The planner finds no plan with one, for none of the reasons that hnsw_why knows.");
	}
	else if (order)
		say_by_distance(self, search, false);
}

/* Is there any scan of ours?  The first. */
static WhyScan *
scan_of_ours(List *scans)
{
	ListCell   *lc;

	foreach(lc, scans)
	{
		if (OidIsValid(((WhyScan *) lfirst(lc))->operator))
			return lfirst(lc);
	}
	return NULL;
}

/* A distance that nothing is ordered by: a condition of it alone may use an index in an iterative scan (bound_path.c). */
static void
say_no_search(Why *self)
{
	static const WhySetting iterative[] = {{"hnsw.iterative_scan", "strict_order"}};
	WhyScan    *scan;
	PlannedStmt *plan;

	if (!WhyHasDistance(self->query))
	{
		say(self, "The query does not order by a distance, so that an hnsw index is of no use to it. One serves ORDER BY column operator value LIMIT n.");
		return;
	}
	say(self, "The query computes a distance, and does not order by it.");
	scan = scan_of_ours(WhyScansOf(WhyPlan(self->query, self->text, iterative, lengthof(iterative))));
	plan = WhyPlan(self->query, self->text, only_index, lengthof(only_index));
	if (scan != NULL)
		say(self, "Its condition is one that an iterative scan serves: SET hnsw.iterative_scan = strict_order, and it uses index %s.", relation_name(scan->index));
	else if ((scan = scan_of_ours(WhyScansOf(plan))) != NULL)
		say(self, "The planner could use index %s for its condition, and takes another plan to be cheaper.", relation_name(scan->index));
	else
		say(self, "An hnsw index serves ORDER BY column operator value LIMIT n, and a condition column operator value < r.");
}

/* Each order by a distance that the query has, on a line of its own */
static void
say_all(Why *self)
{
	List	   *searches = WhyFindSearches(self->query);
	ListCell   *lc;

	self->plan = WhyPlan(self->query, self->text, NULL, 0);
	VecdbCheckRights(self->plan);
	self->scans = WhyScansOf(self->plan);
	foreach(lc, searches)
	{
		WhyScan    *scan = WhyScanOfSearch(self->scans, lfirst(lc));

		CHECK_FOR_INTERRUPTS();
		if (foreach_current_index(lc) > 0)
			appendStringInfoChar(&self->out, '\n');
		if (scan != NULL)
			say_used(self, scan, lfirst(lc));
		else
			say_unused(self, lfirst(lc));
	}
	if (searches != NIL)
		return;
	if (scan_of_ours(self->scans) == NULL)
	{
		say_no_search(self);
		return;
	}
	foreach(lc, self->scans)
	{
		if (OidIsValid(((WhyScan *) lfirst(lc))->operator))
			say_used(self, lfirst(lc), NULL);
	}
}

/* One statement, without its EXPLAIN */
static RawStmt *
parse(const char *text)
{
	List	   *statements = pg_parse_query(text);
	RawStmt    *statement;

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("hnsw_why takes one statement, not %d", list_length(statements))));
	statement = linitial_node(RawStmt, statements);
	if (IsA(statement->stmt, ExplainStmt))
		statement->stmt = ((ExplainStmt *) statement->stmt)->query;
	return statement;
}

static Query *
analyze(const char *text, RawStmt *statement)
{
	Oid		   *types = NULL;
	int			ntypes = 0;
	Query	   *query = parse_analyze_varparams(statement, text, &types, &ntypes, NULL);

	for (int i = 0; i < ntypes; i++)
	{
		if (types[i] == InvalidOid || types[i] == UNKNOWNOID)
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine data type of parameter $%d", i + 1)));
	}
	if (query->commandType == CMD_UTILITY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("hnsw_why takes a query, not %s", GetCommandTagName(CreateCommandTag(query->utilityStmt)))));
	return query;
}

PG_FUNCTION_INFO_V1(hnsw_why);
Datum
hnsw_why(PG_FUNCTION_ARGS)
{
	Why			self = {0};
	List	   *queries;
	ListCell   *lc;

	HnswDefineSettings();
	self.text = text_to_cstring(PG_GETARG_TEXT_PP(0));
	initStringInfo(&self.out);
	queries = pg_rewrite_query(analyze(self.text, parse(self.text)));
	foreach(lc, queries)
	{
		self.query = lfirst_node(Query, lc);
		if (self.out.len > 0)
			appendStringInfoChar(&self.out, '\n');
		if (self.query->commandType != CMD_UTILITY)
			say_all(&self);
	}
	if (queries == NIL)
		say(&self, "A rule makes the statement do nothing.");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(self.out.data, self.out.len));
}
