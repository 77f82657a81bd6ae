/*
 * aggregate.c
 *	  avg and sum of vector and halfvec.
 *
 * The state is a float8 array {count, sum 1, ..., sum dim}, of one element
 * before the first row; sums of millions of halfs neither overflow nor lose
 * the small ones.  An array needs no serialisation to travel between parallel
 * workers.  As these functions can be called by anyone with any array, nothing
 * about the state is taken for granted.
 *
 * In an aggregate the state belongs to us and is changed in place; a copy for
 * every row would cost more than the additions.
 */
#include "pgcompat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "vector/bounds.h"
#include "vector/vector.h"

#define STATE_DIM(state)		(ARR_DIMS(state)[0] - 1)
#define STATE_VALUES(state)		((float8 *) ARR_DATA_PTR(state))

static ArrayType *
GetState(FunctionCallInfo fcinfo, int argument)
{
	ArrayType  *state = PG_GETARG_ARRAYTYPE_P(argument);

	if (ARR_NDIM(state) != 1 || ARR_DIMS(state)[0] < 1 ||
		ARR_DIMS(state)[0] > VECTOR_MAX_DIM + 1 ||
		ARR_HASNULL(state) || ARR_ELEMTYPE(state) != FLOAT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid state of a vector aggregate"),
				 errdetail("The state is a one-dimensional array of 1 to %d values without nulls: the count, then a sum for each dimension.",
						   VECTOR_MAX_DIM + 1)));

	return state;
}

/* A state with everything zero. */
static ArrayType *
NewState(int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * (dim + 1);
	ArrayType  *state = palloc0(size);

	SET_VARSIZE(state, size);
	state->ndim = 1;
	state->dataoffset = 0;
	state->elemtype = FLOAT8OID;
	ARR_DIMS(state)[0] = dim + 1;
	ARR_LBOUND(state)[0] = 1;
	return state;
}

/*
 * The first argument as a state that may be written: itself in an aggregate
 * that has seen rows, else a copy.  A state of no rows gets dim dimensions.
 */
static ArrayType *
WritableState(FunctionCallInfo fcinfo, int dim)
{
	ArrayType  *state = GetState(fcinfo, 0);
	ArrayType  *result;

	if (STATE_DIM(state) > 0)
	{
		VectorCheckExpectedDim(STATE_DIM(state), dim);
		if (AggCheckCallContext(fcinfo, NULL))
			return state;
	}

	result = NewState(dim);
	memcpy(STATE_VALUES(result), STATE_VALUES(state), sizeof(float8) * ARR_DIMS(state)[0]);
	return result;
}

static inline void
AddToSum(float8 *sum, float8 value, int index)
{
	*sum += value;
	if (unlikely(isinf(*sum)))
		VectorReportOverflow("double precision", index);
}

PG_FUNCTION_INFO_V1(vector_accum);
Datum
vector_accum(PG_FUNCTION_ARGS)
{
	Vector	   *value = PG_GETARG_VECTOR_P(1);
	ArrayType  *state = WritableState(fcinfo, value->dim);
	float8	   *sums = STATE_VALUES(state);

	sums[0] += 1;
	for (int i = 0; i < value->dim; i++)
		AddToSum(&sums[i + 1], value->x[i], i);

	PG_RETURN_ARRAYTYPE_P(state);
}

PG_FUNCTION_INFO_V1(halfvec_accum);
Datum
halfvec_accum(PG_FUNCTION_ARGS)
{
	HalfVector *value = PG_GETARG_HALFVEC_P(1);
	ArrayType  *state = WritableState(fcinfo, value->dim);
	float8	   *sums = STATE_VALUES(state);

	sums[0] += 1;
	for (int i = 0; i < value->dim; i++)
		AddToSum(&sums[i + 1], half_to_float(value->x[i]), i);

	PG_RETURN_ARRAYTYPE_P(state);
}

/* The sum of two states; serves halfvec as well. */
PG_FUNCTION_INFO_V1(vector_combine);
Datum
vector_combine(PG_FUNCTION_ARGS)
{
	ArrayType  *other = GetState(fcinfo, 1);
	int			dim = STATE_DIM(other);
	ArrayType  *state;
	float8	   *sums;

	/* A worker that saw no rows has nothing to add. */
	if (dim == 0)
		PG_RETURN_ARRAYTYPE_P(GetState(fcinfo, 0));

	state = WritableState(fcinfo, dim);
	sums = STATE_VALUES(state);

	sums[0] += STATE_VALUES(other)[0];
	for (int i = 0; i < dim; i++)
		AddToSum(&sums[i + 1], STATE_VALUES(other)[i + 1], i);

	PG_RETURN_ARRAYTYPE_P(state);
}

/* The sums divided by divisor, as float or half. */
static Datum
VectorFinal(ArrayType *state, float8 divisor)
{
	float8	   *sums = STATE_VALUES(state);
	int			dim = STATE_DIM(state);
	Vector	   *result;

	VectorCheckDim("vector", dim, VECTOR_MAX_DIM);

	result = NewVector(dim);
	for (int i = 0; i < dim; i++)
	{
		result->x[i] = (float) (sums[i + 1] / divisor);
		if (unlikely(isinf(result->x[i])))
			VectorReportOverflow("vector", i);
		VectorCheckElement("vector", result->x[i], i);
	}

	PG_RETURN_POINTER(result);
}

static Datum
HalfvecFinal(ArrayType *state, float8 divisor)
{
	float8	   *sums = STATE_VALUES(state);
	int			dim = STATE_DIM(state);
	HalfVector *result;

	VectorCheckDim("halfvec", dim, HALFVEC_MAX_DIM);

	result = NewHalfVector(dim);
	for (int i = 0; i < dim; i++)
	{
		double		value = sums[i + 1] / divisor;

		result->x[i] = HalfFromDouble(value);
		if (unlikely(half_is_inf(result->x[i])))
			VectorReportOverflow("halfvec", i);
		if (unlikely(half_is_nan(result->x[i])))
			VectorReportBadElement("halfvec", value, i);
	}

	PG_RETURN_POINTER(result);
}

/*
 * The end of avg and of sum: finish divides the sums of the state by divisor, which
 * sees the number of rows as n.  SQL defines both of no rows to be null.
 */
#define FINAL_FUNCTION(name, finish, divisor) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	ArrayType  *state = GetState(fcinfo, 0); \
	float8		n = STATE_VALUES(state)[0]; \
	if (n == 0) \
		PG_RETURN_NULL(); \
	return finish(state, divisor); \
}

FINAL_FUNCTION(vector_avg, VectorFinal, n)
FINAL_FUNCTION(vector_sum, VectorFinal, 1)
FINAL_FUNCTION(halfvec_avg, HalfvecFinal, n)
FINAL_FUNCTION(halfvec_sum, HalfvecFinal, 1)
