/*
 * compare.c
 *	  The six comparisons, btree ordering and hashing of vector and halfvec.
 *
 * Vectors are ordered like arrays: by the first element that differs, then by
 * dimensions.  Zero and negative zero are equal, so they hash equal.
 *
 * Sorts and index scans call these functions for many pairs in one memory
 * context; detoasted copies are therefore freed.
 */
#include "pgcompat.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "vector/vector.h"

static int
VectorCompare(const Vector *a, const Vector *b)
{
	int			dim = Min(a->dim, b->dim);

	for (int i = 0; i < dim; i++)
	{
		if (a->x[i] != b->x[i])
			return a->x[i] < b->x[i] ? -1 : 1;
	}

	return (a->dim > b->dim) - (a->dim < b->dim);
}

/* Maps a half to an integer of the same order; both zeros become 0. */
static inline int
HalfRank(half h)
{
	int			magnitude = h & 0x7FFF;

	return (h & 0x8000) ? -magnitude : magnitude;
}

static int
HalfvecCompare(const HalfVector *a, const HalfVector *b)
{
	int			dim = Min(a->dim, b->dim);

	for (int i = 0; i < dim; i++)
	{
		int			ai = HalfRank(a->x[i]);
		int			bi = HalfRank(b->x[i]);

		if (ai != bi)
			return ai < bi ? -1 : 1;
	}

	return (a->dim > b->dim) - (a->dim < b->dim);
}

static int
VectorCompareArgs(FunctionCallInfo fcinfo)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	int			result = VectorCompare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

static int
HalfvecCompareArgs(FunctionCallInfo fcinfo)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	HalfVector *b = PG_GETARG_HALFVEC_P(1);
	int			result = HalfvecCompare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

#define COMPARISON(name, compare, op) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	PG_RETURN_BOOL(compare(fcinfo) op 0); \
}

COMPARISON(vector_lt, VectorCompareArgs, <)
COMPARISON(vector_le, VectorCompareArgs, <=)
COMPARISON(vector_eq, VectorCompareArgs, ==)
COMPARISON(vector_ne, VectorCompareArgs, !=)
COMPARISON(vector_ge, VectorCompareArgs, >=)
COMPARISON(vector_gt, VectorCompareArgs, >)

COMPARISON(halfvec_lt, HalfvecCompareArgs, <)
COMPARISON(halfvec_le, HalfvecCompareArgs, <=)
COMPARISON(halfvec_eq, HalfvecCompareArgs, ==)
COMPARISON(halfvec_ne, HalfvecCompareArgs, !=)
COMPARISON(halfvec_ge, HalfvecCompareArgs, >=)
COMPARISON(halfvec_gt, HalfvecCompareArgs, >)

PG_FUNCTION_INFO_V1(vector_cmp);
Datum
vector_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(VectorCompareArgs(fcinfo));
}

PG_FUNCTION_INFO_V1(halfvec_cmp);
Datum
halfvec_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(HalfvecCompareArgs(fcinfo));
}

/*
 * Hash of the elements' bytes, with negative zeros made positive in a copy.
 * The low 32 bits with seed 0 are those of the plain hash, as the server asks
 * of an extended hash function.
 */
static uint64
VectorHash(FunctionCallInfo fcinfo, uint64 seed)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Size		size = a->dim * sizeof(float);
	float	   *x = palloc(size);
	uint64		hash;

	for (int i = 0; i < a->dim; i++)
		x[i] = a->x[i] + 0.0f;	/* -0 + 0 is 0 */

	hash = hash_bytes_extended((const unsigned char *) x, (int) size, seed);

	pfree(x);
	PG_FREE_IF_COPY(a, 0);
	return hash;
}

static uint64
HalfvecHash(FunctionCallInfo fcinfo, uint64 seed)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	Size		size = a->dim * sizeof(half);
	half	   *x = palloc(size);
	uint64		hash;

	for (int i = 0; i < a->dim; i++)
		x[i] = HalfIsZero(a->x[i]) ? 0 : a->x[i];

	hash = hash_bytes_extended((const unsigned char *) x, (int) size, seed);

	pfree(x);
	PG_FREE_IF_COPY(a, 0);
	return hash;
}

PG_FUNCTION_INFO_V1(vector_hash);
Datum
vector_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT32((uint32) VectorHash(fcinfo, 0));
}

PG_FUNCTION_INFO_V1(vector_hash_extended);
Datum
vector_hash_extended(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT64(VectorHash(fcinfo, (uint64) PG_GETARG_INT64(1)));
}

PG_FUNCTION_INFO_V1(halfvec_hash);
Datum
halfvec_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT32((uint32) HalfvecHash(fcinfo, 0));
}

PG_FUNCTION_INFO_V1(halfvec_hash_extended);
Datum
halfvec_hash_extended(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT64(HalfvecHash(fcinfo, (uint64) PG_GETARG_INT64(1)));
}
