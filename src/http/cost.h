/*
 * cost.h
 *	  The limit on what a statement of a request may cost, by the planner's estimate.
 */
#ifndef VECDB_HTTP_COST_H
#define VECDB_HTTP_COST_H

#include "pgcompat.h"

/* Call once for each process. */
extern void CostInit(void);

/* From now on statements are limited, or no more. */
extern void CostLimit(bool on);

#endif							/* VECDB_HTTP_COST_H */
