/*
 * plan.h
 *	  The planner's hooks for indexes that give rows in the order of a distance.
 */
#ifndef INDEX_PLAN_H
#define INDEX_PLAN_H

#include "pgcompat.h"

#include "nodes/nodes.h"

/* Called once, when the library is loaded. */
extern void IndexHookPlanner(void);

/* Is an expression the distance that an index scan is ordered by, or its commutation? */
extern bool IndexIsSameDistance(Node *node, Node *distance);

#endif							/* INDEX_PLAN_H */
