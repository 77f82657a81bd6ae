/*
 * why_query.h
 *	  The orders by a distance that a query asks for: for hnsw_why.
 */
#ifndef INDEX_WHY_QUERY_H
#define INDEX_WHY_QUERY_H

#include "pgcompat.h"

#include "nodes/parsenodes.h"

/* A query, and the one that it stands in; NULL: none */
typedef struct WhyLevel
{
	Query	   *query;
	struct WhyLevel *outer;
	int		   *looked;			/* columns that were looked behind, of all levels */
} WhyLevel;

/* An ORDER BY that has a distance in it */
typedef struct WhySearch
{
	WhyLevel   *level;			/* the query whose order it is */
	int			place;			/* of its key in the ORDER BY, from 0 */
	TargetEntry *entry;
	SortGroupClause *clause;
	Node	   *distance;		/* an OpExpr, or a FuncExpr that calls an operator's function */
	bool		at_level;		/* it stands in that query, not in a subquery */
	bool		is_bare;		/* the order is by nothing but the distance */
	Oid			operator;
	List	   *barriers;		/* Querys between the order and the table that are planned by themselves */

	/*
	 * The sides of the distance, with columns of subqueries replaced by what they are.
	 * Vars are of the relations, numbered from 1; the table is the first.
	 */
	List	   *relations;		/* RangeTblEntrys; NIL: the distance is not of a column of one */
	WhyLevel   *table_level;
	Node	   *column;
	Node	   *value;
	bool		column_of_many; /* it is of more than the table: a column that FULL JOIN merges */
	bool		value_of_rows;	/* it depends on a row of one of the relations */
} WhySearch;

extern List *WhyFindSearches(Query *query);
extern bool WhyHasDistance(Query *query);

/* The conditions that rows of the table of a search meet, in the form of its column; a list that is ANDed */
extern List *WhyConditions(const WhySearch *search);

extern Oid	WhyHnswMethod(void);

/* A family of hnsw in which this operator orders; InvalidOid: none */
extern Oid	WhyFamilyOfOperator(Oid operator);

#endif							/* INDEX_WHY_QUERY_H */
