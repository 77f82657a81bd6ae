/*
 * bounds.c
 *	  The errors that every vector type shares, and the type modifier.
 */
#include "pgcompat.h"

#include "common/shortest_dec.h"
#include "utils/array.h"
#include "vector/bounds.h"

void
VectorReportDifferentDims(const char *type, int a, int b)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("different %s dimensions %d and %d", type, a, b)));
}

void
VectorReportUnexpectedDim(int32 typmod, int dim)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("expected %d dimensions, not %d", typmod, dim)));
}

void
VectorReportBadDim(const char *type, int dim, int limit)
{
	if (dim < 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("%s must have at least 1 dimension", type)));

	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("%s cannot have more than %d dimensions", type, limit),
			 errdetail("The value has %d dimensions.", dim)));
}

void
VectorReportBadElement(const char *type, double value, int index)
{
	if (isnan(value))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("NaN not allowed in %s", type),
				 errdetail("Element %d is NaN.", index + 1)));

	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("infinite value not allowed in %s", type),
			 errdetail("Element %d is infinite.", index + 1)));
}

/* A finite value that the element's type cannot hold. */
void
VectorReportOutOfRange(const char *type, double value, int index)
{
	char		str[DOUBLE_SHORTEST_DECIMAL_LEN];

	/* A float prints as a float, with the digits its user wrote. */
	if ((double) (float) value == value)
		float_to_shortest_decimal_buf((float) value, str);
	else
		double_to_shortest_decimal_buf(value, str);

	VectorReportOutOfRangeText(type, str, index);
}

void
VectorReportOutOfRangeText(const char *type, const char *str, int index)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("\"%s\" is out of range for type %s", str, type),
			 errdetail("Element %d does not fit.", index + 1)));
}

/* The primary messages of these two are the server's own for float4. */
void
VectorReportOverflow(const char *type, int index)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value out of range: overflow"),
			 errdetail("Element %d of the result does not fit into type %s.", index + 1, type)));
}

void
VectorReportUnderflow(const char *type, int index)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value out of range: underflow"),
			 errdetail("Element %d of the result is too small for type %s.", index + 1, type)));
}

int32
VectorTypmodIn(const char *type, Datum modifiers, int limit)
{
	int			n;
	int32	   *values = ArrayGetIntegerTypmods(DatumGetArrayTypeP(modifiers), &n);

	if (n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier"),
				 errdetail("Type %s takes the number of dimensions only, not %d modifiers.", type, n)));

	if (values[0] < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s must be at least 1", type)));

	if (values[0] > limit)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s cannot exceed %d", type, limit)));

	return values[0];
}
