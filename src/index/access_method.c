/*
 * access_method.c
 *	  Which indexes are ours.
 *
 * An access method is recognised by a function of its handler's routine, whatever
 * name it was created by: another extension may have an access method hnsw too.
 */
#include "index/access_method.h"

#include "index/hnsw/hnsw.h"

int64		IndexScansBegun = 0;

static IndexMethod
method_of(void *costestimate)
{
	return costestimate == (void *) hnswcostestimate ? INDEX_HNSW : INDEX_NOT_OURS;
}

/* Of an open index.  A partitioned index has no routine, and is not ours. */
IndexMethod
IndexMethodOf(Relation index)
{
	return index->rd_indam != NULL ? method_of((void *) index->rd_indam->amcostestimate) : INDEX_NOT_OURS;
}

/* Is an index that the planner considers one of ours? */
bool
IndexIsOurs(const IndexOptInfo *index)
{
	return method_of((void *) index->amcostestimate) != INDEX_NOT_OURS;
}
