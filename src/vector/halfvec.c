/*
 * halfvec.c
 *	  The type halfvec: text and binary forms, type modifier, dimensions.
 *
 * Parsing is in core/vec/parse.c.  The binary form is pgvector's: int16 dim, int16
 * unused = 0, binary16[dim], all big endian.
 */
#include "pgcompat.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "core/vec/parse.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "vector/bounds.h"
#include "vector/parse_error.h"
#include "vector/text.h"
#include "vector/vector.h"

StaticAssertDecl(offsetof(HalfVector, x) == 8, "halfvec must have pgvector's layout");

HalfVector *
NewHalfVector(int dim)
{
	HalfVector *result;

	Assert(dim >= 1 && dim <= HALFVEC_MAX_DIM);

	result = palloc0(HALFVEC_SIZE(dim));
	SET_VARSIZE(result, HALFVEC_SIZE(dim));
	result->dim = (int16) dim;
	return result;
}

/*
 * A double rounded once, to the nearest half.  To round it to float and then to half
 * would round twice.  So the step to float rounds to odd: it cuts the double off, and
 * where that drops bits, it makes the last bit of the float 1.  The step to half then
 * sees that the value lies above the cut.
 */
half
HalfFromDouble(double value)
{
	float		nearest = (float) value;

	if ((double) nearest != value && isfinite(nearest))
	{
		uint32		bits;

		if (fabs((double) nearest) > fabs(value))
			nearest = nextafterf(nearest, 0);
		memcpy(&bits, &nearest, sizeof(bits));
		bits |= 1;
		memcpy(&nearest, &bits, sizeof(bits));
	}
	return half_from_float(nearest);
}

PG_FUNCTION_INFO_V1(halfvec_in);
Datum
halfvec_in(PG_FUNCTION_ARGS)
{
	char	   *str = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	size_t		len = strlen(str);
	int			cap = (int) Min(parse_count_bound(str, len), HALFVEC_MAX_DIM);
	HalfVector *result = NewHalfVector(cap);
	int			dim;
	ParseError	error;

	if (!parse_halfvec_text(str, len, result->x, cap, &dim, &error))
		VectorReportParseError("halfvec", str, &error);
	VectorCheckExpectedDim(typmod, dim);

	/* the bound is exact for a text that parses */
	Assert(dim == cap);
	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(halfvec_out);
Datum
halfvec_out(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	char	   *str = HalfvecText(a);

	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_CSTRING(str);
}

char *
HalfvecText(const HalfVector *a)
{
	char	   *text = palloc(VECTOR_TEXT_SIZE(a->dim));
	char	   *str = text;

	*str++ = '[';
	for (int i = 0; i < a->dim; i++)
	{
		if (i > 0)
			*str++ = ',';
		str += float_to_shortest_decimal_bufn(half_to_float(a->x[i]), str);
	}
	*str++ = ']';
	*str = '\0';
	return text;
}

PG_FUNCTION_INFO_V1(halfvec_typmod_in);
Datum
halfvec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(VectorTypmodIn("halfvec", PG_GETARG_DATUM(0), HALFVEC_MAX_DIM));
}

PG_FUNCTION_INFO_V1(halfvec_recv);
Datum
halfvec_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	size_t		len = message->len - message->cursor;
	const uint8 *data = (const uint8 *) pq_getmsgbytes(message, (int) len);
	HalfVector *result;
	int			dim;
	ParseError	error;

	if (!parse_halfvec_header(data, len, HALFVEC_MAX_DIM, &dim, &error))
		VectorReportParseError("halfvec", NULL, &error);
	VectorCheckExpectedDim(typmod, dim);

	result = NewHalfVector(dim);
	if (!parse_halfvec_body(data, len, dim, result->x, &error))
		VectorReportParseError("halfvec", NULL, &error);

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(halfvec_send);
Datum
halfvec_send(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint16(&message, (uint16) a->dim);
	pq_sendint16(&message, 0);
	for (int i = 0; i < a->dim; i++)
		pq_sendint16(&message, a->x[i]);

	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/* The cast to a number of dimensions, as halfvec(n): checks, changes nothing. */
PG_FUNCTION_INFO_V1(halfvec);
Datum
halfvec(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);

	VectorCheckExpectedDim(PG_GETARG_INT32(1), a->dim);

	PG_RETURN_POINTER(a);
}

/* halfvecs are stored out of line uncompressed: the head alone is fetched. */
PG_FUNCTION_INFO_V1(halfvec_vector_dims);
Datum
halfvec_vector_dims(PG_FUNCTION_ARGS)
{
	HalfVector *head = (HalfVector *) PG_DETOAST_DATUM_SLICE(PG_GETARG_DATUM(0), 0, sizeof(HalfVector) - VARHDRSZ);

	PG_RETURN_INT32(head->dim);
}
