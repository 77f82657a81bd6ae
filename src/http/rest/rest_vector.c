/*
 * rest_vector.c
 *	  Vectors as requests have them, and sparse ones as arrays.
 *
 * What a request may send beside the text of a type becomes that text here, and the
 * type's input function reads it: base64 of numbers for dense vectors, an array of
 * numbers for sparse ones.
 */
#include "http/rest/rest.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "core/base64.h"
#include "http/api_statement.h"
#include "http/body.h"
#include "miscadmin.h"
#include "utils/syscache.h"
#include "vector/vector.h"

/* Characters of base64 that stand for the longest vector. */
#define MAX_BASE64		((sizeof(float) * VECTOR_MAX_DIM + 2) / 3 * 4)

RestVectorKind
RestVectorOf(Oid type)
{
	HeapTuple	tuple;
	HeapTuple	vector;
	RestVectorKind kind = REST_NO_VECTOR;

	if (type == ApiVectorType)
		return REST_DENSE;
	if (type < FirstNormalObjectId)
		return REST_NO_VECTOR;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	vector = SearchSysCache1(TYPEOID, ObjectIdGetDatum(ApiVectorType));
	if (HeapTupleIsValid(tuple) && HeapTupleIsValid(vector) &&
		((Form_pg_type) GETSTRUCT(tuple))->typnamespace == ((Form_pg_type) GETSTRUCT(vector))->typnamespace)
	{
		const char *name = NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname);

		kind = strcmp(name, "halfvec") == 0 ? REST_DENSE : strcmp(name, "sparsevec") == 0 ? REST_SPARSE : REST_NO_VECTOR;
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (HeapTupleIsValid(vector))
		ReleaseSysCache(vector);
	return kind;
}

/* Base64 of single precision numbers, lowest byte first, as an array. */
static char *
floats_text(RestText given)
{
	unsigned char *bytes;
	long		n;
	StringInfoData text;

	if (given.len > MAX_BASE64)
		return NULL;
	bytes = palloc(BASE64_BYTES(given.len));
	n = base64_decode(given.at, given.len, bytes);
	if (n <= 0 || n % 4 != 0)
	{
		pfree(bytes);
		return NULL;
	}
	initStringInfo(&text);
	for (long i = 0; i < n; i += 4)
	{
		uint32		bits = (uint32) bytes[i] | (uint32) bytes[i + 1] << 8 | (uint32) bytes[i + 2] << 16 | (uint32) bytes[i + 3] << 24;
		float		number;

		memcpy(&number, &bits, sizeof(number));
		appendStringInfo(&text, "%c%.9g", i == 0 ? '[' : ',', number);
	}
	appendStringInfoChar(&text, ']');
	pfree(bytes);
	return text.data;
}

static size_t
skip(RestText text, size_t at, const char *these)
{
	while (at < text.len && text.at[at] != '\0' && strchr(these, text.at[at]))
		at++;
	return at;
}

/* How many digits there are from here on. */
static size_t
count_digits(const char *text, size_t len)
{
	size_t		n = 0;

	while (n < len && text[n] >= '0' && text[n] <= '9')
		n++;
	return n;
}

/* Is it zero, as it is written?  What is no number is not. */
static bool
is_zero(const char *number, size_t len)
{
	size_t		at = 0;
	size_t		zeros = 0;
	size_t		n;

	if (len > 0 && (number[0] == '+' || number[0] == '-'))
		at++;
	for (bool point = false; at < len && (number[at] == '0' || (number[at] == '.' && !point)); at++)
	{
		zeros += number[at] == '0';
		point = point || number[at] == '.';
	}
	if (zeros == 0 || at == len)
		return zeros > 0;
	if (number[at] != 'e' && number[at] != 'E')
		return false;
	at++;
	if (at < len && (number[at] == '+' || number[at] == '-'))
		at++;
	n = count_digits(number + at, len - at);
	return n > 0 && at + n == len;
}

/* An array of numbers as {index:number,...}/dimensions.  Whether they are numbers the type's input function says. */
static char *
sparse_text(RestText given)
{
	StringInfoData text;
	size_t		at = skip(given, 0, " \t\r\n");
	int			n = 0;

	if (at == given.len || given.at[at] != '[')
		return NULL;
	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	do
	{
		size_t		begin = skip(given, at + 1, " \t\r\n");
		size_t		end = skip(given, begin, "+-.0123456789eE");

		CHECK_FOR_INTERRUPTS();
		n++;
		if (end > begin && !is_zero(given.at + begin, end - begin))
			appendStringInfo(&text, "%s%d:%.*s", text.len > 1 ? "," : "", n, (int) (end - begin), given.at + begin);
		at = end > begin ? skip(given, end, " \t\r\n") : given.len;
	} while (at < given.len && given.at[at] == ',');
	if (at + 1 != given.len || given.at[at] != ']')
	{
		pfree(text.data);
		return NULL;
	}
	appendStringInfo(&text, "}/%d", n);
	return text.data;
}

char *
RestVectorText(RestText given, RestVectorKind kind)
{
	return kind == REST_DENSE ? floats_text(given) : kind == REST_SPARSE ? sparse_text(given) : NULL;
}

bool
RestPutSparse(StringInfo body, Datum value)
{
	SparseVector *vector = DatumGetSparseVector(value);
	StringInfoData text;
	int			next = 0;

	if (vector->dim > VECTOR_MAX_DIM)
		return false;
	initStringInfo(&text);
	for (int i = 0; i < vector->dim; i++)
	{
		char		digits[FLOAT_SHORTEST_DECIMAL_LEN] = "0";

		if (next < vector->nnz && vector->indices[next] == i)
			float_to_shortest_decimal_buf(SPARSEVEC_VALUES(vector)[next++], digits);
		appendStringInfoChar(&text, i == 0 ? '[' : ',');
		appendStringInfoString(&text, digits);
	}
	appendStringInfoChar(&text, ']');
	BodyBytes(body, text.data, text.len);
	pfree(text.data);
	return true;
}
