/*
 * cost.h
 *	  The planner's cost of an index scan that gives rows in the order of a distance.
 *
 * For amcostestimate() of each access method, which knows how many visits a scan makes.
 */
#ifndef INDEX_COST_H
#define INDEX_COST_H

#include "pgcompat.h"

#include "nodes/pathnodes.h"

extern bool IndexCostBegin(IndexPath *path, Cost *startup_cost, Cost *total_cost, Selectivity *selectivity,
						   double *correlation, double *pages);
extern void IndexCostVisits(const IndexPath *path, double visits, double found, double rows, int operators,
							Cost *startup_cost, Cost *total_cost, Selectivity *selectivity, double *pages);

#endif							/* INDEX_COST_H */
