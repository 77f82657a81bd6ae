/*
 * why_plan.h
 *	  Plans of a query, and the scans in them: for hnsw_why.
 */
#ifndef INDEX_WHY_PLAN_H
#define INDEX_WHY_PLAN_H

#include "pgcompat.h"

#include "index/why_query.h"
#include "nodes/plannodes.h"

/* A scan of a table in a plan */
typedef struct WhyScan
{
	Oid			table;
	Oid			index;			/* InvalidOid: none */
	Oid			operator;		/* that an index of ours orders by; InvalidOid: not so */
	bool		filtered;		/* rows of it may be refused, other than for their distance */
	bool		unordered;		/* it is of ours, for a bound of the distance without an order */
	double		rows;			/* that the planner expects to pass, of all */
} WhyScan;

typedef struct WhySetting
{
	const char *name;
	const char *value;
} WhySetting;

extern PlannedStmt *WhyPlan(Query *query, const char *text, const WhySetting *settings, int n);
extern List *WhyScansOf(const PlannedStmt *plan);

/* The table of a search; InvalidOid where it is of something else */
extern Oid	WhyTableOf(const WhySearch *search);

/* Of the scans of a plan, the one of an index of ours that serves a search; NULL: none */
extern WhyScan *WhyScanOfSearch(List *scans, const WhySearch *search);

#endif							/* INDEX_WHY_PLAN_H */
