/*
 * cast.c
 *	  Casts between vector, halfvec, arrays and JSON.  Those of sparsevec are in
 *	  sparsevec.c.
 *
 * Dimensions are checked against the type modifier before anything is
 * converted.  A number that the target cannot hold is an error; one that it
 * can only approximate is rounded once.
 */
#include "pgcompat.h"

#include "catalog/pg_type.h"
#include "core/vec/parse.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "vector/bounds.h"
#include "vector/text.h"
#include "vector/vector.h"

/*
 * One numeric as an element of a vector.  The parser of literals rounds its decimal
 * digits once; through a double they would be rounded twice.
 */
static double
NumericElement(const char *type, bool is_half, Datum number, int index)
{
	char	   *str = DatumGetCString(DirectFunctionCall1(numeric_out, number));
	size_t		used;
	float		value = 0;
	half		half_value = 0;
	ParseError	error;
	bool		ok;

	if (is_half)
		ok = parse_half(str, strlen(str), &used, &half_value, &error);
	else
		ok = parse_float(str, strlen(str), &used, &value, &error);

	if (!ok)
	{
		if (error.kind == PARSE_NAN)
			VectorReportBadElement(type, get_float8_nan(), index);
		if (error.kind == PARSE_INFINITE)
			VectorReportBadElement(type, get_float8_infinity(), index);
		VectorReportOutOfRangeText(type, str, index);
	}

	pfree(str);
	return is_half ? half_to_float(half_value) : value;
}

/*
 * The elements of an SQL array that is to become a vector or halfvec, as
 * doubles in the current memory context; sets *dim.  int4 and both floats are
 * exact in a double; a numeric has been rounded to the type's elements.
 */
static double *
GetArrayElements(const char *type, bool is_half, ArrayType *array, int limit, int32 typmod, int *dim)
{
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	char	   *data = ARR_DATA_PTR(array);
	double	   *values;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D"),
				 errdetail("It has %d dimensions.", ARR_NDIM(array))));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));

	VectorCheckDim(type, n, limit);
	VectorCheckExpectedDim(typmod, n);

	values = palloc(sizeof(double) * n);
	switch (ARR_ELEMTYPE(array))
	{
		case INT4OID:
			for (int i = 0; i < n; i++)
				values[i] = ((int32 *) data)[i];
			break;
		case FLOAT4OID:
			for (int i = 0; i < n; i++)
				values[i] = ((float4 *) data)[i];
			break;
		case FLOAT8OID:
			memcpy(values, data, sizeof(double) * n);
			break;
		case NUMERICOID:
			{
				Datum	   *numbers;

				deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &numbers, NULL, &n);
				for (int i = 0; i < n; i++)
				{
					CHECK_FOR_INTERRUPTS(); /* a number may have 16,383 digits */
					values[i] = NumericElement(type, is_half, numbers[i], i);
				}
				pfree(numbers);
			}
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("unsupported array type"),
					 errdetail("Elements of type %s cannot become elements of type %s.",
							   format_type_be(ARR_ELEMTYPE(array)), type)));
	}

	*dim = n;
	return values;
}

PG_FUNCTION_INFO_V1(array_to_vector);
Datum
array_to_vector(PG_FUNCTION_ARGS)
{
	int			dim;
	double	   *values = GetArrayElements("vector", false, PG_GETARG_ARRAYTYPE_P(0), VECTOR_MAX_DIM,
										  PG_GETARG_INT32(1), &dim);
	Vector	   *result = NewVector(dim);

	for (int i = 0; i < dim; i++)
	{
		if (unlikely(!isfinite(values[i])))
			VectorReportBadElement("vector", values[i], i);

		result->x[i] = (float) values[i];
		if (unlikely(isinf(result->x[i])))
			VectorReportOutOfRange("vector", values[i], i);
	}
	pfree(values);

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(array_to_halfvec);
Datum
array_to_halfvec(PG_FUNCTION_ARGS)
{
	int			dim;
	double	   *values = GetArrayElements("halfvec", true, PG_GETARG_ARRAYTYPE_P(0), HALFVEC_MAX_DIM,
										  PG_GETARG_INT32(1), &dim);
	HalfVector *result = NewHalfVector(dim);

	for (int i = 0; i < dim; i++)
	{
		if (unlikely(!isfinite(values[i])))
			VectorReportBadElement("halfvec", values[i], i);

		result->x[i] = HalfFromDouble(values[i]);
		if (unlikely(half_is_inf(result->x[i])))
			VectorReportOutOfRange("halfvec", values[i], i);
	}
	pfree(values);

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(vector_to_halfvec);
Datum
vector_to_halfvec(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	HalfVector *result;

	VectorCheckExpectedDim(PG_GETARG_INT32(1), a->dim);

	result = NewHalfVector(a->dim);
	half_from_float_array(result->x, a->x, a->dim);
	for (int i = 0; i < a->dim; i++)
	{
		if (unlikely(half_is_inf(result->x[i])))
			VectorReportOutOfRange("halfvec", a->x[i], i);
	}

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(halfvec_to_vector);
Datum
halfvec_to_vector(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	Vector	   *result;

	VectorCheckExpectedDim(PG_GETARG_INT32(1), a->dim);

	result = NewVector(a->dim);
	half_to_float_array(result->x, a->x, a->dim);

	PG_RETURN_POINTER(result);
}

/* A real[] of dim elements, not filled in. */
static ArrayType *
NewFloatArray(int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float4) * dim;
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;		/* no nulls */
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = dim;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

PG_FUNCTION_INFO_V1(vector_to_float4);
Datum
vector_to_float4(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	ArrayType  *array = NewFloatArray(a->dim);

	memcpy(ARR_DATA_PTR(array), a->x, sizeof(float4) * a->dim);

	PG_RETURN_ARRAYTYPE_P(array);
}

PG_FUNCTION_INFO_V1(halfvec_to_float4);
Datum
halfvec_to_float4(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	ArrayType  *array = NewFloatArray(a->dim);

	half_to_float_array((float *) ARR_DATA_PTR(array), a->x, a->dim);

	PG_RETURN_ARRAYTYPE_P(array);
}

/*
 * A vector's text is a JSON array of numbers as it stands.  json is stored as
 * text; jsonb parses it.  to_json(), row_to_json() and their like find these
 * casts and so give an array where they would give a string.
 */
PG_FUNCTION_INFO_V1(vector_to_json);
Datum
vector_to_json(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);

	PG_RETURN_TEXT_P(cstring_to_text(VectorText(a)));
}

PG_FUNCTION_INFO_V1(halfvec_to_json);
Datum
halfvec_to_json(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_TEXT_P(cstring_to_text(HalfvecText(a)));
}

PG_FUNCTION_INFO_V1(vector_to_jsonb);
Datum
vector_to_jsonb(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(VectorText(a)));
}

PG_FUNCTION_INFO_V1(halfvec_to_jsonb);
Datum
halfvec_to_jsonb(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(HalfvecText(a)));
}
