/*
 * arith.c
 *	  Functions from vectors to vectors: + - * ||, l2_normalize, subvector and
 *	  binary_quantize, of vector and halfvec.
 *
 * A result that the element type cannot hold is an error, as it is for float4:
 * no stored vector ever has a NaN or an infinity.  halfvec computes in float
 * and rounds once.
 */
#include "pgcompat.h"

#include "core/vec/distance.h"
#include "fmgr.h"
#include "utils/varbit.h"
#include "vector/bounds.h"
#include "vector/vector.h"

typedef enum ArithOp
{
	ARITH_ADD,
	ARITH_SUB,
	ARITH_MUL
} ArithOp;

static inline float
ArithApply(ArithOp op, float a, float b)
{
	switch (op)
	{
		case ARITH_ADD:
			return a + b;
		case ARITH_SUB:
			return a - b;
		case ARITH_MUL:
			return a * b;
	}
	pg_unreachable();
}

/*
 * The loops that compute have no branch, so that the compiler vectorises them;
 * the checks follow in a loop of their own.  op is a constant after inlining.
 */
static pg_attribute_always_inline Datum
VectorArith(FunctionCallInfo fcinfo, ArithOp op)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	int			dim = a->dim;
	Vector	   *result;

	VectorCheckSameDims("vector", a->dim, b->dim);

	result = NewVector(dim);
	for (int i = 0; i < dim; i++)
		result->x[i] = ArithApply(op, a->x[i], b->x[i]);

	for (int i = 0; i < dim; i++)
	{
		if (unlikely(isinf(result->x[i])))
			VectorReportOverflow("vector", i);
		if (op == ARITH_MUL && unlikely(result->x[i] == 0 && a->x[i] != 0 && b->x[i] != 0))
			VectorReportUnderflow("vector", i);
	}

	PG_RETURN_POINTER(result);
}

static pg_attribute_always_inline Datum
HalfvecArith(FunctionCallInfo fcinfo, ArithOp op)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	HalfVector *b = PG_GETARG_HALFVEC_P(1);
	int			dim = a->dim;
	HalfVector *result;

	VectorCheckSameDims("halfvec", a->dim, b->dim);

	result = NewHalfVector(dim);
	for (int i = 0; i < dim; i++)
	{
		float		ai = half_to_float(a->x[i]);
		float		bi = half_to_float(b->x[i]);
		half		ri = half_from_float(ArithApply(op, ai, bi));

		if (unlikely(half_is_inf(ri)))
			VectorReportOverflow("halfvec", i);
		if (op == ARITH_MUL && unlikely(HalfIsZero(ri) && ai != 0 && bi != 0))
			VectorReportUnderflow("halfvec", i);

		result->x[i] = ri;
	}

	PG_RETURN_POINTER(result);
}

#define ARITHMETIC(name, apply, op) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	return apply(fcinfo, op); \
}

ARITHMETIC(vector_add, VectorArith, ARITH_ADD)
ARITHMETIC(vector_sub, VectorArith, ARITH_SUB)
ARITHMETIC(vector_mul, VectorArith, ARITH_MUL)

ARITHMETIC(halfvec_add, HalfvecArith, ARITH_ADD)
ARITHMETIC(halfvec_sub, HalfvecArith, ARITH_SUB)
ARITHMETIC(halfvec_mul, HalfvecArith, ARITH_MUL)

PG_FUNCTION_INFO_V1(vector_concat);
Datum
vector_concat(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	Vector	   *result;

	VectorCheckDim("vector", a->dim + b->dim, VECTOR_MAX_DIM);

	result = NewVector(a->dim + b->dim);
	memcpy(result->x, a->x, a->dim * sizeof(float));
	memcpy(result->x + a->dim, b->x, b->dim * sizeof(float));

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(halfvec_concat);
Datum
halfvec_concat(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	HalfVector *b = PG_GETARG_HALFVEC_P(1);
	HalfVector *result;

	VectorCheckDim("halfvec", a->dim + b->dim, HALFVEC_MAX_DIM);

	result = NewHalfVector(a->dim + b->dim);
	memcpy(result->x, a->x, a->dim * sizeof(half));
	memcpy(result->x + a->dim, b->x, b->dim * sizeof(half));

	PG_RETURN_POINTER(result);
}

/*
 * x / |x|.  The zero vector has no direction and is returned as it is.  An
 * element of the result is at most 1, but the norm may round to just below the
 * only element there is: no check is needed, only the rounding of a float.
 */
PG_FUNCTION_INFO_V1(l2_normalize);
Datum
l2_normalize(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	double		norm = dist_norm_f32(a->x, a->dim);
	Vector	   *result = NewVector(a->dim);

	if (norm > 0)
	{
		for (int i = 0; i < a->dim; i++)
			result->x[i] = (float) (a->x[i] / norm);
	}

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(halfvec_l2_normalize);
Datum
halfvec_l2_normalize(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	double		norm = dist_norm_f16(a->x, a->dim);
	HalfVector *result = NewHalfVector(a->dim);

	if (norm > 0)
	{
		for (int i = 0; i < a->dim; i++)
			result->x[i] = half_from_float((float) (half_to_float(a->x[i]) / norm));
	}

	PG_RETURN_POINTER(result);
}

/*
 * The part of 1 .. dim that start .. start + count - 1 covers, as substring()
 * has it: a start before the first element takes from the count.  Returns the
 * zero-based first element and sets *n to the number of elements, at least 1.
 */
static int
SubvectorBounds(const char *type, int dim, int32 start, int32 count, int *n)
{
	int64		first = Max((int64) start, 1);
	int64		end = Min((int64) start + count, (int64) dim + 1);

	if (count < 1 || end <= first)
		VectorReportBadDim(type, 0, dim);

	*n = (int) (end - first);
	return (int) (first - 1);
}

PG_FUNCTION_INFO_V1(subvector);
Datum
subvector(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	int			n;
	int			first = SubvectorBounds("vector", a->dim, PG_GETARG_INT32(1), PG_GETARG_INT32(2), &n);
	Vector	   *result = NewVector(n);

	memcpy(result->x, a->x + first, n * sizeof(float));

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(halfvec_subvector);
Datum
halfvec_subvector(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	int			n;
	int			first = SubvectorBounds("halfvec", a->dim, PG_GETARG_INT32(1), PG_GETARG_INT32(2), &n);
	HalfVector *result = NewHalfVector(n);

	memcpy(result->x, a->x + first, n * sizeof(half));

	PG_RETURN_POINTER(result);
}

/* A bit string of n zeros. */
static VarBit *
NewBits(int n)
{
	int			size = VARBITTOTALLEN(n);
	VarBit	   *result = palloc0(size);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = n;
	return result;
}

/* One bit an element, set where the element is positive. */
PG_FUNCTION_INFO_V1(binary_quantize);
Datum
binary_quantize(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	VarBit	   *result = NewBits(a->dim);
	uint8	   *bits = VARBITS(result);

	for (int i = 0; i < a->dim; i++)
		bits[i / 8] |= (a->x[i] > 0) << (7 - i % 8);

	PG_RETURN_VARBIT_P(result);
}

PG_FUNCTION_INFO_V1(halfvec_binary_quantize);
Datum
halfvec_binary_quantize(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	VarBit	   *result = NewBits(a->dim);
	uint8	   *bits = VARBITS(result);

	/* As there is no NaN, a positive half is an integer from 1 to 0x7C00. */
	for (int i = 0; i < a->dim; i++)
		bits[i / 8] |= (a->x[i] != 0 && (a->x[i] & 0x8000) == 0) << (7 - i % 8);

	PG_RETURN_VARBIT_P(result);
}
