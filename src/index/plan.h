/*
 * plan.h
 *	  The planner's hooks for indexes that give rows in the order of a distance.
 */
#ifndef INDEX_PLAN_H
#define INDEX_PLAN_H

#include "pgcompat.h"

#include "nodes/pathnodes.h"

/* Called once, when the library is loaded. */
extern void IndexHookPlanner(void);

/* For amcostestimate(): does the query ask for more rows than a scan in order of distance gives? */
extern bool IndexWantsExactPlan(PlannerInfo *root, const IndexPath *path);

/* Is an expression the distance that an index scan is ordered by, or its commutation? */
extern bool IndexIsSameDistance(Node *node, Node *distance);

#endif							/* INDEX_PLAN_H */
