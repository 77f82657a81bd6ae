/*
 * bound.h
 *	  How far the rows may be that a query wants of an index scan: v <-> q < r, beside
 *	  ORDER BY v <-> q or alone.
 */
#ifndef INDEX_BOUND_H
#define INDEX_BOUND_H

#include "pgcompat.h"

#include "access/skey.h"
#include "nodes/pathnodes.h"

/*
 * A clause that says how far: something computed from a distance, compared with
 * something that the table has no part in.
 */
typedef struct BoundForm
{
	Expr	   *distance;		/* whatever has the place of a distance */
	Expr	   *limit;			/* what it is compared with */
	bool		from_above;		/* the clause says that it is at most the limit, else at least */
	List	   *steps;			/* of BoundStep, from the comparison to the distance */
} BoundForm;

typedef struct BoundStep
{
	Oid			function;		/* of float8: + - * / */
	Expr	   *other;			/* the other operand; NULL for a sign */
	bool		other_first;
	bool		flips;			/* what grows outside shrinks inside */
} BoundStep;

/* Called once, when the library is loaded. */
extern void IndexHookExecutor(void);

/*
 * Rows whose distance by this ORDER BY is above what this returns are not wanted;
 * infinity where nothing is known.  For amgettuple(): it evaluates what the query
 * compares with, which may be a parameter.  without_direction: the distance may be NaN,
 * which is greater than all numbers.
 */
extern double IndexScanBound(const ScanKeyData *orderby, bool without_direction);

/* How many rows are wanted at least by the LIMIT above a scan without a bound; 0 where that is not known */
extern double IndexScanRowsWanted(const ScanKeyData *orderby);

/* Does the query want all within the bound in any order? */
extern bool IndexScanIsUnordered(const ScanKeyData *orderby);

/* Marks of nodes in the place of their location, where a node of a parser has none that is negative but -1 */
#define BOUND_MAY_SERVE		(-2)	/* of a clause: no policy has a say before it */
#define BOUND_UNORDERED		(-3)	/* of the distance that a scan is ordered by: its order is nobody's wish */

extern bool BoundRead(Node *clause, Index rti, BoundForm *form);
extern bool BoundIsKnown(Node *node, Index rti);

/* What it says of the distance, where all that it is computed from is constant */
extern bool BoundIsConstant(const BoundForm *form, double *most);

/* bound_path.c: for the planner's hook of a table's paths, and for the cost of a scan */
extern void BoundAddPaths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *table);
extern bool BoundOfPath(const IndexPath *path, double *most);

#endif							/* INDEX_BOUND_H */
