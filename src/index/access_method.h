/*
 * access_method.h
 *	  Which indexes are ours: for the planner's hooks, and for collections.
 *
 * Only who wants a setting or an option of one access method includes its header.
 */
#ifndef INDEX_ACCESS_METHOD_H
#define INDEX_ACCESS_METHOD_H

#include "pgcompat.h"

#include "nodes/pathnodes.h"
#include "utils/rel.h"

typedef enum IndexMethod
{
	INDEX_NOT_OURS,
	INDEX_HNSW
} IndexMethod;

extern IndexMethod IndexMethodOf(Relation index);
extern bool IndexIsOurs(const IndexOptInfo *index);

/* Scans of any index of ours that this backend has begun */
extern int64 IndexScansBegun;

#endif							/* INDEX_ACCESS_METHOD_H */
