/*
 * opclass.h
 *	  What an operator class tells the access method: the stored type and the
 *	  metric.  Support function 1 of each hnsw operator class returns a pointer
 *	  to one constant HnswOpclass; the distance itself is computed in C, without
 *	  the function manager.
 */
#ifndef HNSW_OPCLASS_H
#define HNSW_OPCLASS_H

#include "pgcompat.h"

#define HNSW_SUPPORT_PROC 1

typedef enum HnswElement
{
	HNSW_VECTOR,				/* Vector */
	HNSW_HALFVEC,				/* HalfVector */
	HNSW_BIT,					/* VarBit */
	HNSW_SPARSEVEC				/* SparseVector */
} HnswElement;

typedef enum HnswMetric
{
	HNSW_L2,
	HNSW_IP,					/* negative inner product */
	HNSW_COSINE,
	HNSW_L1,
	HNSW_HAMMING,
	HNSW_JACCARD
} HnswMetric;

typedef struct HnswOpclass
{
	HnswElement element;
	HnswMetric	metric;
} HnswOpclass;

#endif							/* HNSW_OPCLASS_H */
