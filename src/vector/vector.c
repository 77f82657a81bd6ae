/*
 * vector.c
 *	  The type vector: text and binary forms, type modifier, dimensions.
 *
 * Parsing is in core/vec/parse.c.  The binary form is pgvector's: int16 dim, int16
 * unused = 0, float4[dim], all big endian.
 */
#include "pgcompat.h"

#include "common/shortest_dec.h"
#include "core/vec/parse.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "vector/bounds.h"
#include "vector/parse_error.h"
#include "vector/text.h"
#include "vector/vector.h"

StaticAssertDecl(offsetof(Vector, x) == 8, "vector must have pgvector's layout");

Vector *
NewVector(int dim)
{
	Vector	   *result;

	Assert(dim >= 1 && dim <= VECTOR_MAX_DIM);

	result = palloc0(VECTOR_SIZE(dim));
	SET_VARSIZE(result, VECTOR_SIZE(dim));
	result->dim = (int16) dim;
	return result;
}

PG_FUNCTION_INFO_V1(vector_in);
Datum
vector_in(PG_FUNCTION_ARGS)
{
	char	   *str = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	size_t		len = strlen(str);
	int			cap = (int) Min(parse_count_bound(str, len), VECTOR_MAX_DIM);
	Vector	   *result = NewVector(cap);
	int			dim;
	ParseError	error;

	if (!parse_vector_text(str, len, result->x, cap, &dim, &error))
		VectorReportParseError("vector", str, &error);
	VectorCheckExpectedDim(typmod, dim);

	/* the bound is exact for a text that parses */
	Assert(dim == cap);
	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(vector_out);
Datum
vector_out(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	char	   *str = VectorText(a);

	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_CSTRING(str);
}

char *
VectorText(const Vector *a)
{
	char	   *text = palloc(VECTOR_TEXT_SIZE(a->dim));
	char	   *str = text;

	*str++ = '[';
	for (int i = 0; i < a->dim; i++)
	{
		if (i > 0)
			*str++ = ',';
		str += float_to_shortest_decimal_bufn(a->x[i], str);
	}
	*str++ = ']';
	*str = '\0';
	return text;
}

PG_FUNCTION_INFO_V1(vector_typmod_in);
Datum
vector_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(VectorTypmodIn("vector", PG_GETARG_DATUM(0), VECTOR_MAX_DIM));
}

PG_FUNCTION_INFO_V1(vector_recv);
Datum
vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	size_t		len = message->len - message->cursor;
	const uint8 *data = (const uint8 *) pq_getmsgbytes(message, (int) len);
	Vector	   *result;
	int			dim;
	ParseError	error;

	if (!parse_vector_header(data, len, VECTOR_MAX_DIM, &dim, &error))
		VectorReportParseError("vector", NULL, &error);
	VectorCheckExpectedDim(typmod, dim);

	result = NewVector(dim);
	if (!parse_vector_body(data, len, dim, result->x, &error))
		VectorReportParseError("vector", NULL, &error);

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(vector_send);
Datum
vector_send(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint16(&message, (uint16) a->dim);
	pq_sendint16(&message, 0);
	for (int i = 0; i < a->dim; i++)
		pq_sendfloat4(&message, a->x[i]);

	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/* The cast to a number of dimensions, as vector(n): checks, changes nothing. */
PG_FUNCTION_INFO_V1(vector);
Datum
vector(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);

	VectorCheckExpectedDim(PG_GETARG_INT32(1), a->dim);

	PG_RETURN_POINTER(a);
}

/* Vectors are stored out of line uncompressed: the head alone is fetched. */
PG_FUNCTION_INFO_V1(vector_dims);
Datum
vector_dims(PG_FUNCTION_ARGS)
{
	Vector	   *head = (Vector *) PG_DETOAST_DATUM_SLICE(PG_GETARG_DATUM(0), 0, sizeof(Vector) - VARHDRSZ);

	PG_RETURN_INT32(head->dim);
}
