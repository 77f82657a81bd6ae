/*
 * bound.h
 *	  How far the rows may be that a query wants of an index scan: v <-> q < r beside
 *	  ORDER BY v <-> q.
 */
#ifndef INDEX_BOUND_H
#define INDEX_BOUND_H

#include "pgcompat.h"

#include "access/skey.h"

/* Called once, when the library is loaded. */
extern void IndexHookExecutor(void);

/*
 * Rows whose distance by this ORDER BY is above what this returns are not wanted;
 * infinity where nothing is known.  For amgettuple(): it evaluates what the query
 * compares with, which may be a parameter.
 */
extern double IndexScanBound(const ScanKeyData *orderby);

#endif							/* INDEX_BOUND_H */
