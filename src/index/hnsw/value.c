/*
 * value.c
 *	  From a datum to what the index stores and compares, and back from pages.
 *
 * Coded nodes (L2, inner product, cosine of vector and halfvec) hold the value
 * centred and rotated, as integers of 12 bits times a scale.  Centring keeps the
 * precision where all values share an offset; it leaves Euclidean distances
 * alone.  For inner products the centre is zero.  Cosine is Euclidean distance
 * of normalised values: d^2 = 2 (1 - cos).
 *
 * Plain nodes (L1, Hamming, Jaccard, sparsevec) hold the bytes that the
 * distance function takes, so that their distances are those of the operators.
 */
#include "index/hnsw/hnsw_index.h"

#include <math.h>

#include "core/vec/distance.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/varbit.h"
#include "vector/vector.h"

/*
 * Coordinates, in units of the index, beyond which squares could overflow a
 * float: 16,000 * (2e15)^2 < 3e38.
 */
#define MAX_COORDINATE 1e15f

static void
check_dim(const HnswIndex *index, int dim, bool query)
{
	if (dim != index->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different %s %d and %d",
						index->element == ELEMENT_HALFVEC ? "halfvec dimensions" :
						index->element == ELEMENT_BIT ? "bit lengths" :
						index->element == ELEMENT_SPARSEVEC ? "sparsevec dimensions" : "vector dimensions",
						index->dim, dim),
				 errdetail("Index \"%s\" holds values of %d dimensions; the %s has %d.",
						   RelationGetRelationName(index->file.rel), index->dim,
						   query ? "query" : "value", dim)));
}

/*
 * The floats of a vector or halfvec (float[dim], in memory of the current
 * context or of the datum), and their Euclidean norm.
 */
static const float *
datum_floats(const HnswIndex *index, Datum datum, bool query, double *norm)
{
	if (index->element == ELEMENT_VECTOR)
	{
		Vector	   *vector = DatumGetVector(datum);

		check_dim(index, vector->dim, query);
		*norm = dist_norm_f32(vector->x, vector->dim);
		return vector->x;
	}
	else
	{
		HalfVector *vector = DatumGetHalfVector(datum);
		float	   *x;

		check_dim(index, vector->dim, query);
		x = palloc(sizeof(float) * vector->dim);
		half_to_float_array(x, vector->x, vector->dim);
		*norm = dist_norm_f16(vector->x, vector->dim);
		return x;
	}
}

/* The same in the index's metric: normalised for cosine (zeros stay zeros). */
const float *
HnswDatumFloats(const HnswIndex *index, Datum datum, double *norm)
{
	const float *x = datum_floats(index, datum, false, norm);

	if (index->metric == METRIC_COSINE && *norm > 0)
	{
		float	   *unit = palloc(sizeof(float) * index->dim);

		for (int i = 0; i < index->dim; i++)
			unit[i] = (float) (x[i] / *norm);
		x = unit;
	}
	return x;
}

static void
prepare_coded(HnswIndex *index, Datum datum, bool query, HnswValue *value, double *norm)
{
	const float *x = datum_floats(index, datum, query, norm);
	float	   *centred = palloc(sizeof(float) * index->dim);
	double		factor = index->unit;

	if (index->metric == METRIC_COSINE)
		factor = *norm > 0 ? 1.0 / *norm : 0.0;

	value->clamped = false;
	for (int i = 0; i < index->dim; i++)
	{
		float		c = (float) (x[i] * factor) - index->center[i];

		if (unlikely(!(fabsf(c) <= MAX_COORDINATE)))
		{
			c = x[i] > 0 ? MAX_COORDINATE : -MAX_COORDINATE;
			value->clamped = true;
		}
		centred[i] = c;
	}
	value->rotated = palloc(sizeof(float) * index->padded);
	rotation_apply(index->rotation, centred, value->rotated);
	value->norm = (float) dist_norm_f32(value->rotated, index->padded);
	pfree(centred);
}

/*
 * Make a datum ready, in memory of the current context.  Returns false for a
 * value that the index does not hold: one without direction under cosine.  It
 * is ready as a query all the same.
 */
bool
HnswPrepareValue(HnswIndex *index, Datum datum, bool query, HnswValue *value)
{
	double		norm = 1;

	memset(value, 0, sizeof(HnswValue));
	if (index->coded)
	{
		prepare_coded(index, datum, query, value, &norm);
		return index->metric != METRIC_COSINE || norm > 0;
	}

	switch (index->element)
	{
		case ELEMENT_VECTOR:
			{
				Vector	   *vector = DatumGetVector(datum);

				check_dim(index, vector->dim, query);
				value->raw = (const char *) vector->x;
				value->raw_bytes = vector->dim * sizeof(float);
				break;
			}
		case ELEMENT_HALFVEC:
			{
				HalfVector *vector = DatumGetHalfVector(datum);

				check_dim(index, vector->dim, query);
				value->raw = (const char *) vector->x;
				value->raw_bytes = vector->dim * sizeof(half);
				break;
			}
		case ELEMENT_BIT:
			{
				VarBit	   *bits = DatumGetVarBitP(datum);

				check_dim(index, VARBITLEN(bits), query);
				value->raw = (const char *) VARBITS(bits);
				value->raw_bytes = VARBITBYTES(bits);
				break;
			}
		case ELEMENT_SPARSEVEC:
			{
				SparseVector *vector = DatumGetSparseVector(datum);
				uint32		bytes = sizeof(int32) + vector->nnz * (sizeof(int32) + sizeof(float));
				char	   *raw = palloc(bytes);

				check_dim(index, vector->dim, query);

				/* nnz, then indices and values as they stand in the datum */
				memcpy(raw, &vector->nnz, sizeof(int32));
				memcpy(raw + sizeof(int32), vector->indices, bytes - sizeof(int32));
				value->raw = raw;
				value->raw_bytes = bytes;
				if (index->metric == METRIC_COSINE)
				{
					const float *x = SPARSEVEC_VALUES(vector);

					norm = 0;
					for (int i = 0; i < vector->nnz; i++)
						norm += (double) x[i] * x[i];
				}
				break;
			}
	}
	return norm > 0;
}

/*
 * What a plain value is to be farther by from others where it is asked whether it
 * occludes them: link.c.  Under inner products a part of its squared length, 0
 * elsewhere.  With a half, lengths would not count: the comparison were that of
 * Euclidean distances.  A third was best on what was measured.
 */
float
HnswHandicap(const HnswIndex *index, const char *value)
{
	return HnswHasHandicaps(index) ? (float) (-HnswRawDistance(index, value, value) / 3) : 0;
}

/*
 * Distance of two values of plain nodes: what the operator gives, squared
 * Euclidean for L2.  Both start at a multiple of 4 bytes.
 */
double
HnswRawDistance(const HnswIndex *index, const char *a, const char *b)
{
	switch (index->element)
	{
		case ELEMENT_VECTOR:
			return dist_l1_f32((const float *) a, (const float *) b, index->dim);
		case ELEMENT_HALFVEC:
			return dist_l1_f16((const half *) a, (const half *) b, index->dim);
		case ELEMENT_BIT:
			if (index->metric == METRIC_HAMMING)
				return (double) dist_hamming((const uint8 *) a, (const uint8 *) b, (index->dim + 7) / 8);
			return dist_jaccard((const uint8 *) a, (const uint8 *) b, (index->dim + 7) / 8);
		case ELEMENT_SPARSEVEC:
			{
				int			na = *(const int32 *) a;
				int			nb = *(const int32 *) b;
				const int32 *ai = (const int32 *) a + 1;
				const int32 *bi = (const int32 *) b + 1;
				const float *av = (const float *) (ai + na);
				const float *bv = (const float *) (bi + nb);

				switch (index->metric)
				{
					case METRIC_L2:
						return dist_l2sq_sparse(na, ai, av, nb, bi, bv);
					case METRIC_IP:
						return -dist_ip_sparse(na, ai, av, nb, bi, bv);
					case METRIC_COSINE:
						{
							double		distance = dist_cosine_sparse(na, ai, av, nb, bi, bv);

							/* a query without direction is as far from all */
							return isnan(distance) ? 2.0 : distance;
						}
					default:
						return dist_l1_sparse(na, ai, av, nb, bi, bv);
				}
			}
	}
	return 0;
}

/*
 * The stored form of a coded value: packed12_bytes(padded) at out, times *scale.
 * *error bounds |stored - true|.
 */
void
HnswPackValue(const HnswIndex *index, const HnswValue *value, uint8 *out,
			  float *scale, float *error, float *norm)
{
	double		lost = 0;
	double		sum = 0;

	*scale = packed12_store(value->rotated, index->padded, out);
	for (int i = 0; i < index->padded; i++)
	{
		float		stored = packed12_get(out, index->padded, i) * *scale;

		lost += ((double) stored - value->rotated[i]) * ((double) stored - value->rotated[i]);
		sum += (double) stored * stored;
	}
	*error = value->clamped ? get_float4_infinity() : (float) (sqrt(lost) * 1.000001);
	*norm = (float) sqrt(sum);
}

/* Squared Euclidean distance, or negative inner product, of a query and a stored value. */
float
HnswPackedDistance(const HnswIndex *index, const float *q, const uint8 *x, float scale)
{
	if (index->code_metric == CODE_IP)
		return -dist_ip_f32_p12(q, x, index->padded, scale);
	return dist_l2sq_f32_p12(q, x, index->padded, scale);
}

static char *
scratch(HnswIndex *index, uint32 bytes)
{
	if (index->scratch_bytes < bytes)
	{
		MemoryContext old = MemoryContextSwitchTo(index->context);

		if (index->scratch != NULL)
			pfree(index->scratch);
		index->scratch = palloc(bytes);
		index->scratch_bytes = bytes;
		MemoryContextSwitchTo(old);
	}
	return index->scratch;
}

/* Most bytes of a value of its own size. */
#define MOST_CHUNK_BYTES (sizeof(int32) + SPARSEVEC_MAX_NNZ * (sizeof(int32) + sizeof(float)))

static const char *
read_chunks(HnswIndex *index, const IndexChunkRef *ref, uint32 *bytes, const char **fault)
{
	char	   *out;
	uint32		at;

	if (ref->bytes < sizeof(int32) || ref->bytes > MOST_CHUNK_BYTES)
	{
		*fault = psprintf("A value has %u bytes.", ref->bytes);
		return NULL;
	}
	out = scratch(index, ref->bytes);
	at = ChunksRead(&index->file, ref, out);
	if (at < ref->bytes)
	{
		*fault = psprintf("A value ends after %u of %u bytes.", at, ref->bytes);
		return NULL;
	}

	/*
	 * On a standby the pieces may be another value's, when the scan came by a
	 * reference so old that the primary has used their place again.
	 */
	if (*(int32 *) out < 0 ||
		(Size) ref->bytes != sizeof(int32) + (Size) *(int32 *) out * (sizeof(int32) + sizeof(float)))
	{
		*fault = psprintf("A value of %u bytes has elements that do not take as many.", ref->bytes);
		return NULL;
	}
	*bytes = ref->bytes;
	return out;
}

/*
 * The stored value of a node, whole: packed integers or raw bytes.  It stands on
 * the page itself, or in a scratch area that the next call overwrites.  The
 * caller holds a lock on the node's page.  NULL where it is not whole; then
 * *fault says why.
 */
const char *
HnswTryReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes, const char **fault)
{
	const HnswLayout *layout = &index->layout[kind];
	const char *start = HnswNodeValue(node, layout);
	uint32		at = layout->value_inline;
	BlockNumber block;
	char	   *out;

	if (layout->value_form == HNSW_VALUE_CHUNKS)
		return read_chunks(index, (const IndexChunkRef *) start, bytes, fault);
	*bytes = layout->value_bytes;
	if (layout->tail_pages == 0)
		return start;

	block = BufferGetBlockNumber(buffer);
	if (!IndexHasBlock(&index->file, block + layout->tail_pages))
	{
		*fault = "A value goes on beyond the end of the index.";
		return NULL;
	}
	out = scratch(index, layout->value_bytes);
	memcpy(out, start, at);
	TailRead(&index->file, block, layout->tail_pages, out + at, layout->value_bytes - at);
	return out;
}

/* The same, and an error where the value is not whole. */
const char *
HnswReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes)
{
	const char *fault;
	const char *value = HnswTryReadValue(index, buffer, node, kind, bytes, &fault);

	if (unlikely(value == NULL))
		HnswCorrupt(index->file.rel, BufferGetBlockNumber(buffer), fault);
	return value;
}

/* The same, copied to memory of the current context. */
char *
HnswCopyValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes)
{
	const char *value = HnswReadValue(index, buffer, node, kind, bytes);

	return memcpy(palloc(*bytes), value, *bytes);
}

/*
 * A node's value as one that is to be searched for, in memory of the current context.
 * The caller holds a lock on the node's page.
 */
void
HnswLoadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, HnswValue *value)
{
	memset(value, 0, sizeof(HnswValue));
	if (index->coded)
	{
		uint32		bytes;
		const char *stored = HnswReadValue(index, buffer, node, kind, &bytes);

		value->rotated = palloc(sizeof(float) * index->padded);
		packed12_load((const uint8 *) stored, index->padded, node->scale, value->rotated);
		value->norm = node->norm;
	}
	else
		value->raw = HnswCopyValue(index, buffer, node, kind, &value->raw_bytes);
}

/*
 * Distance of a node from a prepared value: squared Euclidean, negative inner
 * product, or HnswRawDistance.  The caller holds a lock on the node's page.
 */
float
HnswNodeDistance(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, const HnswValue *value)
{
	uint32		bytes;
	const char *stored = HnswReadValue(index, buffer, node, kind, &bytes);

	if (index->coded)
		return HnswPackedDistance(index, value->rotated, (const uint8 *) stored, node->scale);
	return (float) HnswRawDistance(index, value->raw, stored);
}
