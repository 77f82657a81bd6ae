/*
 * sparsevec.c
 *	  The type sparsevec: its text and binary forms, casts, distances, norm,
 *	  comparisons and hashes.
 *
 * Every value that exists obeys, and every function here keeps:
 *
 *	1 <= dim <= SPARSEVEC_MAX_DIM, 0 <= nnz <= Min(dim, SPARSEVEC_MAX_NNZ)
 *	0 <= indices[0] < indices[1] < ... < dim
 *	every stored element is finite and is not zero
 *
 * so that equal vectors have equal bytes, and a hash of the bytes will do.
 * Results are allocated in the caller's memory context.
 */
#include "pgcompat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/shortest_dec.h"
#include "core/vec/distance.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "vector/bounds.h"
#include "vector/parse_error.h"

/* "2147483647:" and a float, a comma, and one byte to spare */
#define ELEMENT_TEXT_LEN (11 + FLOAT_SHORTEST_DECIMAL_LEN + 1)

static SparseVector *NewSparseVector(int32 dim, int nnz);
static SparseVector *ShrinkSparseVector(SparseVector *v, int nnz);
static SparseVector *SparseOfDense(const float *x, int dim);
static float ArrayElementAsFloat(Oid type, Datum element, int index);
static float NumericAsFloat(Datum number, int index);
static double SparseNorm(const SparseVector *v);
static int	CompareSparse(const SparseVector *a, const SparseVector *b);

/* Arguments of a function of two vectors of one dimension count. */
#define GET_PAIR(a, b) \
	SparseVector *a = PG_GETARG_SPARSEVEC_P(0); \
	SparseVector *b = PG_GETARG_SPARSEVEC_P(1); \
	VectorCheckSameDims("sparsevec", (a)->dim, (b)->dim)

/* Their elements, as the kernels take them. */
#define ELEMENTS(v) (v)->nnz, (v)->indices, SPARSEVEC_VALUES(v)

/* Text and binary forms --------------------------------------------------- */

PG_FUNCTION_INFO_V1(sparsevec_in);
Datum
sparsevec_in(PG_FUNCTION_ARGS)
{
	char	   *literal = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	size_t		len = strlen(literal);
	int			room = (int) Min(parse_count_bound(literal, len), SPARSEVEC_MAX_NNZ);
	SparseVector *result = NewSparseVector(1, room);
	ParseError	error;
	int32		dim;
	int			nnz;

	if (!parse_sparsevec_text(literal, len, SPARSEVEC_MAX_DIM, result->indices,
							  SPARSEVEC_VALUES(result), room, &dim, &nnz, &error))
		VectorReportParseError("sparsevec", literal, &error);
	VectorCheckExpectedDim(typmod, dim);

	result->dim = dim;
	PG_RETURN_POINTER(ShrinkSparseVector(result, nnz));
}

PG_FUNCTION_INFO_V1(sparsevec_out);
Datum
sparsevec_out(PG_FUNCTION_ARGS)
{
	SparseVector *v = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SPARSEVEC_VALUES(v);
	char	   *result = palloc((Size) v->nnz * ELEMENT_TEXT_LEN + sizeof("{}/1000000000"));
	char	   *p = result;

	*p++ = '{';
	for (int i = 0; i < v->nnz; i++)
	{
		if (i > 0)
			*p++ = ',';
		p += pg_ltoa(v->indices[i] + 1, p); /* SQL counts from 1 */
		*p++ = ':';
		p += float_to_shortest_decimal_bufn(values[i], p);
	}
	*p++ = '}';
	*p++ = '/';
	pg_ltoa(v->dim, p);			/* with the NUL */

	PG_RETURN_CSTRING(result);
}

PG_FUNCTION_INFO_V1(sparsevec_recv);
Datum
sparsevec_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	const uint8_t *data = (const uint8_t *) buf->data + buf->cursor;
	size_t		len = (size_t) (buf->len - buf->cursor);
	SparseVector *result;
	ParseError	error;
	int32		dim;
	int			nnz;

	if (!parse_sparsevec_header(data, len, SPARSEVEC_MAX_DIM, SPARSEVEC_MAX_NNZ,
								&dim, &nnz, &error))
		VectorReportParseError("sparsevec", NULL, &error);
	VectorCheckExpectedDim(typmod, dim);

	result = NewSparseVector(dim, nnz);
	if (!parse_sparsevec_body(data, len, dim, nnz, result->indices,
							  SPARSEVEC_VALUES(result), &error))
		VectorReportParseError("sparsevec", NULL, &error);
	buf->cursor = buf->len;		/* the server wants all of it read */

	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(sparsevec_send);
Datum
sparsevec_send(PG_FUNCTION_ARGS)
{
	SparseVector *v = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SPARSEVEC_VALUES(v);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint32(&buf, (uint32) v->dim);
	pq_sendint32(&buf, (uint32) v->nnz);
	pq_sendint32(&buf, 0);
	for (int i = 0; i < v->nnz; i++)
		pq_sendint32(&buf, (uint32) v->indices[i]);
	for (int i = 0; i < v->nnz; i++)
		pq_sendfloat4(&buf, values[i]);

	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

PG_FUNCTION_INFO_V1(sparsevec_typmod_in);
Datum
sparsevec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(VectorTypmodIn("sparsevec", PG_GETARG_DATUM(0), SPARSEVEC_MAX_DIM));
}

/* Casts ------------------------------------------------------------------- */

/* sparsevec to sparsevec(n) */
PG_FUNCTION_INFO_V1(sparsevec);
Datum
sparsevec(PG_FUNCTION_ARGS)
{
	SparseVector *v = PG_GETARG_SPARSEVEC_P(0);

	VectorCheckExpectedDim(PG_GETARG_INT32(1), v->dim);
	PG_RETURN_POINTER(v);
}

PG_FUNCTION_INFO_V1(sparsevec_to_vector);
Datum
sparsevec_to_vector(PG_FUNCTION_ARGS)
{
	SparseVector *v = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SPARSEVEC_VALUES(v);
	Vector	   *result;

	VectorCheckDim("vector", v->dim, VECTOR_MAX_DIM);
	VectorCheckExpectedDim(PG_GETARG_INT32(1), v->dim);

	result = NewVector(v->dim);
	for (int i = 0; i < v->nnz; i++)
		result->x[v->indices[i]] = values[i];
	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(sparsevec_to_halfvec);
Datum
sparsevec_to_halfvec(PG_FUNCTION_ARGS)
{
	SparseVector *v = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SPARSEVEC_VALUES(v);
	HalfVector *result;

	VectorCheckDim("halfvec", v->dim, HALFVEC_MAX_DIM);
	VectorCheckExpectedDim(PG_GETARG_INT32(1), v->dim);

	result = NewHalfVector(v->dim);
	for (int i = 0; i < v->nnz; i++)
	{
		half		h = half_from_float(values[i]);

		if (half_is_inf(h))
			VectorReportOutOfRange("halfvec", values[i], v->indices[i]);
		result->x[v->indices[i]] = h;
	}
	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(vector_to_sparsevec);
Datum
vector_to_sparsevec(PG_FUNCTION_ARGS)
{
	Vector	   *v = PG_GETARG_VECTOR_P(0);

	VectorCheckExpectedDim(PG_GETARG_INT32(1), v->dim);
	PG_RETURN_POINTER(SparseOfDense(v->x, v->dim));
}

PG_FUNCTION_INFO_V1(halfvec_to_sparsevec);
Datum
halfvec_to_sparsevec(PG_FUNCTION_ARGS)
{
	HalfVector *v = PG_GETARG_HALFVEC_P(0);
	SparseVector *result;
	float	   *x;

	VectorCheckExpectedDim(PG_GETARG_INT32(1), v->dim);
	x = palloc(sizeof(float) * v->dim);
	half_to_float_array(x, v->x, v->dim);
	result = SparseOfDense(x, v->dim);
	pfree(x);
	PG_RETURN_POINTER(result);
}

/* int4[], float4[], float8[] or numeric[] */
PG_FUNCTION_INFO_V1(array_to_sparsevec);
Datum
array_to_sparsevec(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int32		typmod = PG_GETARG_INT32(1);
	Oid			type = ARR_ELEMTYPE(array);
	ArrayIterator elements;
	Datum		element;
	bool		isnull;
	int			dim;
	int			room;
	int			nnz = 0;
	SparseVector *result;
	float	   *values;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D"),
				 errdetail("The array has %d dimensions.", ARR_NDIM(array))));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));

	/* the count is known before anything is taken apart */
	dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	VectorCheckDim("sparsevec", dim, SPARSEVEC_MAX_DIM);
	VectorCheckExpectedDim(typmod, dim);

	room = Min(dim, SPARSEVEC_MAX_NNZ);
	result = NewSparseVector(dim, room);
	values = SPARSEVEC_VALUES(result);
	elements = array_create_iterator(array, 0, NULL);
	for (int i = 0; array_iterate(elements, &element, &isnull); i++)
	{
		float		value = ArrayElementAsFloat(type, element, i);

		CHECK_FOR_INTERRUPTS();	/* zeros are as many as an array holds */
		if (value == 0)
			continue;
		if (nnz >= room)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("sparsevec cannot have more than %d non-zero elements", SPARSEVEC_MAX_NNZ),
					 errdetail("Non-zero element %d is element %d of the array.", nnz + 1, i + 1)));
		result->indices[nnz] = i;
		values[nnz++] = value;
	}
	array_free_iterator(elements);

	PG_RETURN_POINTER(ShrinkSparseVector(result, nnz));
}

/* Distances, norm --------------------------------------------------------- */

PG_FUNCTION_INFO_V1(sparsevec_l2_distance);
Datum
sparsevec_l2_distance(PG_FUNCTION_ARGS)
{
	GET_PAIR(a, b);

	PG_RETURN_FLOAT8(sqrt(dist_l2sq_sparse(ELEMENTS(a), ELEMENTS(b))));
}

/* The same order as sparsevec_l2_distance, without the square root. */
PG_FUNCTION_INFO_V1(sparsevec_l2_squared_distance);
Datum
sparsevec_l2_squared_distance(PG_FUNCTION_ARGS)
{
	GET_PAIR(a, b);

	PG_RETURN_FLOAT8(dist_l2sq_sparse(ELEMENTS(a), ELEMENTS(b)));
}

PG_FUNCTION_INFO_V1(sparsevec_inner_product);
Datum
sparsevec_inner_product(PG_FUNCTION_ARGS)
{
	GET_PAIR(a, b);

	PG_RETURN_FLOAT8(dist_ip_sparse(ELEMENTS(a), ELEMENTS(b)));
}

/* Negative, as an index scan can only go from the least distance upwards. */
PG_FUNCTION_INFO_V1(sparsevec_negative_inner_product);
Datum
sparsevec_negative_inner_product(PG_FUNCTION_ARGS)
{
	GET_PAIR(a, b);

	PG_RETURN_FLOAT8(-dist_ip_sparse(ELEMENTS(a), ELEMENTS(b)));
}

/* NaN when either vector is zero */
PG_FUNCTION_INFO_V1(sparsevec_cosine_distance);
Datum
sparsevec_cosine_distance(PG_FUNCTION_ARGS)
{
	GET_PAIR(a, b);

	PG_RETURN_FLOAT8(dist_cosine_sparse(ELEMENTS(a), ELEMENTS(b)));
}

PG_FUNCTION_INFO_V1(sparsevec_l1_distance);
Datum
sparsevec_l1_distance(PG_FUNCTION_ARGS)
{
	GET_PAIR(a, b);

	PG_RETURN_FLOAT8(dist_l1_sparse(ELEMENTS(a), ELEMENTS(b)));
}

PG_FUNCTION_INFO_V1(sparsevec_l2_norm);
Datum
sparsevec_l2_norm(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(SparseNorm(PG_GETARG_SPARSEVEC_P(0)));
}

/* A vector of norm 1 and the same direction; the zero vector stays as it is. */
PG_FUNCTION_INFO_V1(sparsevec_l2_normalize);
Datum
sparsevec_l2_normalize(PG_FUNCTION_ARGS)
{
	SparseVector *v = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SPARSEVEC_VALUES(v);
	double		norm = SparseNorm(v);
	SparseVector *result = NewSparseVector(v->dim, v->nnz);
	float	   *out = SPARSEVEC_VALUES(result);
	int			nnz = 0;

	for (int i = 0; i < v->nnz; i++)
	{
		float		scaled = (float) (values[i] / norm);

		/* an element far smaller than the largest one may vanish */
		if (scaled != 0)
		{
			result->indices[nnz] = v->indices[i];
			out[nnz++] = scaled;
		}
	}
	PG_RETURN_POINTER(ShrinkSparseVector(result, nnz));
}

/* Comparisons and hashes -------------------------------------------------- */

#define COMPARISON(name, op) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	PG_RETURN_BOOL(CompareSparse(PG_GETARG_SPARSEVEC_P(0), PG_GETARG_SPARSEVEC_P(1)) op 0); \
}

COMPARISON(sparsevec_lt, <)
COMPARISON(sparsevec_le, <=)
COMPARISON(sparsevec_eq, ==)
COMPARISON(sparsevec_ne, !=)
COMPARISON(sparsevec_ge, >=)
COMPARISON(sparsevec_gt, >)

PG_FUNCTION_INFO_V1(sparsevec_cmp);
Datum
sparsevec_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(CompareSparse(PG_GETARG_SPARSEVEC_P(0), PG_GETARG_SPARSEVEC_P(1)));
}

/* Hash of all bytes but the varlena header: equal vectors have equal bytes, see the head of this file. */
#define HASHED_BYTES(v) 	(const unsigned char *) &(v)->dim, (int) (VARSIZE(v) - offsetof(SparseVector, dim))

PG_FUNCTION_INFO_V1(sparsevec_hash);
Datum
sparsevec_hash(PG_FUNCTION_ARGS)
{
	SparseVector *v = PG_GETARG_SPARSEVEC_P(0);

	PG_RETURN_UINT32(hash_bytes(HASHED_BYTES(v)));
}

PG_FUNCTION_INFO_V1(sparsevec_hash_extended);
Datum
sparsevec_hash_extended(PG_FUNCTION_ARGS)
{
	SparseVector *v = PG_GETARG_SPARSEVEC_P(0);

	PG_RETURN_UINT64(hash_bytes_extended(HASHED_BYTES(v), (uint64) PG_GETARG_INT64(1)));
}

/* Helpers ----------------------------------------------------------------- */

/* Room for nnz elements, all zero for now; dim and nnz have been checked. */
static SparseVector *
NewSparseVector(int32 dim, int nnz)
{
	Size		size = SPARSEVEC_SIZE(nnz);
	SparseVector *v = palloc0(size);

	Assert(nnz >= 0 && nnz <= SPARSEVEC_MAX_NNZ);
	SET_VARSIZE(v, size);
	v->dim = dim;
	v->nnz = nnz;
	return v;
}

/* Keep the first nnz elements, so that their values follow their indices. */
static SparseVector *
ShrinkSparseVector(SparseVector *v, int nnz)
{
	const float *values = SPARSEVEC_VALUES(v);

	Assert(nnz >= 0 && nnz <= v->nnz);
	v->nnz = nnz;
	memmove(SPARSEVEC_VALUES(v), values, sizeof(float) * (Size) nnz);
	SET_VARSIZE(v, SPARSEVEC_SIZE(nnz));
	return v;
}

/* The elements of x[dim] that are not zero. */
static SparseVector *
SparseOfDense(const float *x, int dim)
{
	SparseVector *v = NewSparseVector(dim, dim);
	float	   *values = SPARSEVEC_VALUES(v);
	int			nnz = 0;

	for (int i = 0; i < dim; i++)
	{
		if (x[i] != 0)
		{
			v->indices[nnz] = i;
			values[nnz++] = x[i];
		}
	}
	return ShrinkSparseVector(v, nnz);
}

static float
ArrayElementAsFloat(Oid type, Datum element, int index)
{
	double		wide;
	float		value;

	switch (type)
	{
		case INT4OID:
			return (float) DatumGetInt32(element);
		case FLOAT4OID:
			wide = DatumGetFloat4(element);
			break;
		case FLOAT8OID:
			wide = DatumGetFloat8(element);
			break;
		case NUMERICOID:
			return NumericAsFloat(element, index);
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("unsupported array type")));
	}

	value = (float) wide;
	if (isinf(value) && !isinf(wide))
		VectorReportOutOfRange("sparsevec", wide, index);
	VectorCheckElement("sparsevec", value, index);
	return value;
}

/* A numeric is rounded once, from its decimal digits; through a double it would be rounded twice. */
static float
NumericAsFloat(Datum number, int index)
{
	char	   *digits = DatumGetCString(DirectFunctionCall1(numeric_out, number));
	float		value;
	size_t		used;
	ParseError	error;

	if (!parse_float(digits, strlen(digits), &used, &value, &error))
	{
		if (error.kind == PARSE_RANGE)
			VectorReportOutOfRangeText("sparsevec", digits, index);
		VectorReportBadElement("sparsevec", error.kind == PARSE_NAN ? NAN : INFINITY, index);
	}
	pfree(digits);
	return value;
}

/* In double: the square of any float fits, large or small. */
static double
SparseNorm(const SparseVector *v)
{
	const float *values = SPARSEVEC_VALUES(v);
	double		sum = 0;

	for (int i = 0; i < v->nnz; i++)
		sum += (double) values[i] * (double) values[i];
	return sqrt(sum);
}

/*
 * The order of the dense vectors that the two stand for: by the first element that
 * differs; if one vector is a prefix of the other, the shorter one is less.
 */
static int
CompareSparse(const SparseVector *a, const SparseVector *b)
{
	const float *av = SPARSEVEC_VALUES(a);
	const float *bv = SPARSEVEC_VALUES(b);
	int32		both = Min(a->dim, b->dim);

	for (int i = 0; i < Max(a->nnz, b->nnz); i++)
	{
		/* a side that has run out has only zeros left before both */
		int32		ai = i < a->nnz ? Min(a->indices[i], both) : both;
		int32		bi = i < b->nnz ? Min(b->indices[i], both) : both;
		float		x = ai <= bi && ai < both ? av[i] : 0;
		float		y = bi <= ai && bi < both ? bv[i] : 0;

		if (ai == both && bi == both)
			break;
		if (x != y)
			return x < y ? -1 : 1;
	}
	return a->dim < b->dim ? -1 : a->dim > b->dim ? 1 : 0;
}
