/*
 * plan.h
 *	  The planner's hooks for indexes that give rows in the order of a distance.
 */
#ifndef INDEX_PLAN_H
#define INDEX_PLAN_H

/* Called once, when the library is loaded. */
extern void IndexHookPlanner(void);

#endif							/* INDEX_PLAN_H */
