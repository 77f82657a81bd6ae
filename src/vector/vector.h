/*
 * vector.h
 *	  The stored forms of the vector types.  All are varlena, zero-padded, with
 *	  the same bytes as pgvector's, so that binary COPY and the binary formats
 *	  of drivers agree.
 */
#ifndef VECDB_VECTOR_H
#define VECDB_VECTOR_H

#include "pgcompat.h"

#include "core/vec/half.h"
#include "fmgr.h"

#define VECTOR_MAX_DIM 16000
#define HALFVEC_MAX_DIM 16000
#define SPARSEVEC_MAX_DIM 1000000000
#define SPARSEVEC_MAX_NNZ 16000

/* vector: float32[dim] */
typedef struct Vector
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int16		dim;			/* 1 to VECTOR_MAX_DIM */
	int16		unused;			/* always zero */
	float		x[FLEXIBLE_ARRAY_MEMBER];
} Vector;

/* halfvec: float16[dim] */
typedef struct HalfVector
{
	int32		vl_len_;
	int16		dim;
	int16		unused;
	half		x[FLEXIBLE_ARRAY_MEMBER];
} HalfVector;

/* sparsevec: int32 indices[nnz], zero based and ascending, then float32 values[nnz] */
typedef struct SparseVector
{
	int32		vl_len_;
	int32		dim;			/* 1 to SPARSEVEC_MAX_DIM */
	int32		nnz;			/* 0 to SPARSEVEC_MAX_NNZ */
	int32		unused;			/* always zero */
	int32		indices[FLEXIBLE_ARRAY_MEMBER];
} SparseVector;

#define VECTOR_SIZE(dim)		(offsetof(Vector, x) + sizeof(float) * (Size) (dim))
#define HALFVEC_SIZE(dim)		(offsetof(HalfVector, x) + sizeof(half) * (Size) (dim))
#define SPARSEVEC_SIZE(nnz)		(offsetof(SparseVector, indices) + (sizeof(int32) + sizeof(float)) * (Size) (nnz))
#define SPARSEVEC_VALUES(v)		((float *) ((v)->indices + (v)->nnz))

#define DatumGetVector(d)		((Vector *) PG_DETOAST_DATUM(d))
#define DatumGetHalfVector(d)	((HalfVector *) PG_DETOAST_DATUM(d))
#define DatumGetSparseVector(d)	((SparseVector *) PG_DETOAST_DATUM(d))
#define PG_GETARG_VECTOR_P(n)	DatumGetVector(PG_GETARG_DATUM(n))
#define PG_GETARG_HALFVEC_P(n)	DatumGetHalfVector(PG_GETARG_DATUM(n))
#define PG_GETARG_SPARSEVEC_P(n) DatumGetSparseVector(PG_GETARG_DATUM(n))

/* Positive or negative zero. */
static inline bool
HalfIsZero(half h)
{
	return (h & 0x7FFF) == 0;
}

/* A new value in the current memory context, elements zero; dim has been checked. */
extern Vector *NewVector(int dim);
extern HalfVector *NewHalfVector(int dim);

/* cast.c: the cast of vector to halfvec, for DirectFunctionCall3 with a type modifier and whether the cast is explicit */
extern PGDLLEXPORT Datum vector_to_halfvec(PG_FUNCTION_ARGS);

/* To nearest, ties to even, rounded once; overflow gives infinity. */
extern half HalfFromDouble(double value);

#endif							/* VECDB_VECTOR_H */
