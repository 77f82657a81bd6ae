/*
 * opclass.h
 *	  What an operator class tells its access method: the stored type and the
 *	  metric.  Support function 1 of each operator class returns a pointer to one
 *	  constant IndexOpclass; the distance itself is computed in C, without the
 *	  function manager.
 */
#ifndef INDEX_OPCLASS_H
#define INDEX_OPCLASS_H

#include "pgcompat.h"

#include "utils/rel.h"

#define INDEX_SUPPORT_PROC 1

typedef enum IndexElement
{
	ELEMENT_VECTOR,				/* Vector */
	ELEMENT_HALFVEC,				/* HalfVector */
	ELEMENT_BIT,					/* VarBit */
	ELEMENT_SPARSEVEC				/* SparseVector */
} IndexElement;

typedef enum IndexMetric
{
	METRIC_L2,
	METRIC_IP,					/* negative inner product */
	METRIC_COSINE,
	METRIC_L1,
	METRIC_HAMMING,
	METRIC_JACCARD
} IndexMetric;

typedef struct IndexOpclass
{
	IndexElement element;
	IndexMetric	metric;
} IndexOpclass;

extern const IndexOpclass *IndexGetOpclass(Relation index);

#endif							/* INDEX_OPCLASS_H */
