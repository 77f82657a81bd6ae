/*
 * value.c
 *	  Values of an index: from a datum to what is stored and compared.
 */
#include "index/value.h"

#include <float.h>
#include <math.h>

#include "access/heaptoast.h"
#include "core/vec/distance.h"
#include "utils/float.h"
#include "utils/varbit.h"
#include "vector/vector.h"

/*
 * Coordinates, in units of the index, beyond which squares could overflow a
 * float: 16,000 * (2e15)^2 < 3e38.
 */
#define MAX_COORDINATE 1e15f

/* ---------------------------------------------------------------------
 * What an operator class, or the space of an index, says of its values
 * --------------------------------------------------------------------- */

/* Has an index of this class coded values: Euclidean or inner product of dense vectors? */
bool
ValueIsCoded(const IndexOpclass *opclass)
{
	return (opclass->element == ELEMENT_VECTOR || opclass->element == ELEMENT_HALFVEC) && opclass->metric != METRIC_L1;
}

/* Most dimensions of a column that can be indexed. */
int
ValueMostDimensions(IndexElement element)
{
	return element == ELEMENT_SPARSEVEC ? SPARSEVEC_MAX_DIM : element == ELEMENT_BIT ? 64000 : VECTOR_MAX_DIM;
}

/* Bytes of a value that is stored as its type has it; 0 where that varies. */
uint32
ValueRawBytes(const IndexSpace *space)
{
	switch (space->element)
	{
		case ELEMENT_VECTOR:
			return space->dim * sizeof(float);
		case ELEMENT_HALFVEC:
			return space->dim * sizeof(half);
		case ELEMENT_BIT:
			return (space->dim + 7) / 8;
		case ELEMENT_SPARSEVEC:
			return 0;
	}
	return 0;
}

/*
 * Unit and centre from the first value(s) of an index: the unit brings the
 * largest coordinate near 1.  largest[dim] has the absolute values of coordinates;
 * center[dim] is their mean on entry, in the datum's own units, and is scaled where
 * it is.  Returns the unit.
 */
float
ValueCenterAndUnit(const float *largest, int dim, float *center)
{
	float		most = 0;
	float		unit = 1;

	for (int i = 0; i < dim; i++)
		most = Max(most, fabsf(largest[i]));
	if (most > 0)
	{
		int			exponent;

		frexpf(most, &exponent);
		unit = ldexpf(1.0f, Max(Min(-exponent, 120), -120));
	}
	for (int i = 0; i < dim; i++)
		center[i] *= unit;
	return unit;
}

/* ---------------------------------------------------------------------
 * From a datum
 * --------------------------------------------------------------------- */

int
ValueDimensions(const IndexSpace *space, Datum datum)
{
	switch (space->element)
	{
		case ELEMENT_VECTOR:
			return DatumGetVector(datum)->dim;
		case ELEMENT_HALFVEC:
			return DatumGetHalfVector(datum)->dim;
		case ELEMENT_BIT:
			return VARBITLEN(DatumGetVarBitP(datum));
		case ELEMENT_SPARSEVEC:
			return DatumGetSparseVector(datum)->dim;
	}
	return 0;
}

static void
check_dim(const IndexSpace *space, Relation rel, int dim, bool query)
{
	if (dim != space->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different %s %d and %d",
						space->element == ELEMENT_HALFVEC ? "halfvec dimensions" :
						space->element == ELEMENT_BIT ? "bit lengths" :
						space->element == ELEMENT_SPARSEVEC ? "sparsevec dimensions" : "vector dimensions",
						space->dim, dim),
				 errdetail("Index \"%s\" holds values of %d dimensions; the %s has %d.",
						   RelationGetRelationName(rel), space->dim,
						   query ? "query" : "value", dim)));
}

/*
 * The floats of a vector or halfvec (float[dim], in memory of the current
 * context or of the datum), and their Euclidean norm.
 */
static const float *
datum_floats(const IndexSpace *space, Relation rel, Datum datum, bool query, double *norm)
{
	if (space->element == ELEMENT_VECTOR)
	{
		Vector	   *vector = DatumGetVector(datum);

		check_dim(space, rel, vector->dim, query);
		*norm = dist_norm_f32(vector->x, vector->dim);
		return vector->x;
	}
	else
	{
		HalfVector *vector = DatumGetHalfVector(datum);
		float	   *x;

		check_dim(space, rel, vector->dim, query);
		x = palloc(sizeof(float) * vector->dim);
		half_to_float_array(x, vector->x, vector->dim);
		*norm = dist_norm_f16(vector->x, vector->dim);
		return x;
	}
}

/* The same in the index's metric: normalised for cosine (zeros stay zeros). */
const float *
ValueFloats(const IndexSpace *space, Relation rel, Datum datum, double *norm)
{
	const float *x = datum_floats(space, rel, datum, false, norm);

	if (space->metric == METRIC_COSINE && *norm > 0)
	{
		float	   *unit = palloc(sizeof(float) * space->dim);

		for (int i = 0; i < space->dim; i++)
			unit[i] = (float) (x[i] / *norm);
		x = unit;
	}
	return x;
}

static void
prepare_coded(const IndexSpace *space, Relation rel, Datum datum, bool query, IndexValue *value, double *norm)
{
	const float *x = datum_floats(space, rel, datum, query, norm);
	float	   *centred = palloc(sizeof(float) * space->dim);
	double		factor = space->unit;

	if (space->metric == METRIC_COSINE)
		factor = *norm > 0 ? 1.0 / *norm : 0.0;

	value->clamped = false;
	for (int i = 0; i < space->dim; i++)
	{
		float		c = (float) (x[i] * factor) - space->center[i];

		if (unlikely(!(fabsf(c) <= MAX_COORDINATE)))
		{
			c = x[i] > 0 ? MAX_COORDINATE : -MAX_COORDINATE;
			value->clamped = true;
		}
		centred[i] = c;
	}
	value->rotated = palloc(sizeof(float) * space->padded);
	rotation_apply(space->rotation, centred, value->rotated);
	value->norm = (float) dist_norm_f32(value->rotated, space->padded);
	pfree(centred);
}

/*
 * Make a datum ready, in memory of the current context.  Returns false for a
 * value that the index does not hold: one without direction under cosine.  It
 * is ready as a query all the same.
 */
bool
ValuePrepare(const IndexSpace *space, Relation rel, Datum datum, bool query, IndexValue *value)
{
	double		norm = 1;

	memset(value, 0, sizeof(IndexValue));
	if (space->coded)
	{
		prepare_coded(space, rel, datum, query, value, &norm);
		return space->metric != METRIC_COSINE || norm > 0;
	}

	switch (space->element)
	{
		case ELEMENT_VECTOR:
			{
				Vector	   *vector = DatumGetVector(datum);

				check_dim(space, rel, vector->dim, query);
				value->raw = (const char *) vector->x;
				value->raw_bytes = vector->dim * sizeof(float);
				break;
			}
		case ELEMENT_HALFVEC:
			{
				HalfVector *vector = DatumGetHalfVector(datum);

				check_dim(space, rel, vector->dim, query);
				value->raw = (const char *) vector->x;
				value->raw_bytes = vector->dim * sizeof(half);
				break;
			}
		case ELEMENT_BIT:
			{
				VarBit	   *bits = DatumGetVarBitP(datum);

				check_dim(space, rel, VARBITLEN(bits), query);
				value->raw = (const char *) VARBITS(bits);
				value->raw_bytes = VARBITBYTES(bits);
				break;
			}
		case ELEMENT_SPARSEVEC:
			{
				SparseVector *vector = DatumGetSparseVector(datum);
				uint32		bytes = sizeof(int32) + vector->nnz * (sizeof(int32) + sizeof(float));
				char	   *raw = palloc(bytes);

				check_dim(space, rel, vector->dim, query);

				/* nnz, then indices and values as they stand in the datum */
				memcpy(raw, &vector->nnz, sizeof(int32));
				memcpy(raw + sizeof(int32), vector->indices, bytes - sizeof(int32));
				value->raw = raw;
				value->raw_bytes = bytes;
				if (space->metric == METRIC_COSINE)
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

/* ---------------------------------------------------------------------
 * Stored values
 * --------------------------------------------------------------------- */

/*
 * Distance of two raw values: what the operator gives, squared
 * Euclidean for L2.  Both start at a multiple of 4 bytes.
 */
double
ValueRawDistance(const IndexSpace *space, const char *a, const char *b)
{
	switch (space->element)
	{
		case ELEMENT_VECTOR:
			return dist_l1_f32((const float *) a, (const float *) b, space->dim);
		case ELEMENT_HALFVEC:
			return dist_l1_f16((const half *) a, (const half *) b, space->dim);
		case ELEMENT_BIT:
			if (space->metric == METRIC_HAMMING)
				return (double) dist_hamming((const uint8 *) a, (const uint8 *) b, (space->dim + 7) / 8);
			return dist_jaccard((const uint8 *) a, (const uint8 *) b, (space->dim + 7) / 8);
		case ELEMENT_SPARSEVEC:
			{
				int			na = *(const int32 *) a;
				int			nb = *(const int32 *) b;
				const int32 *ai = (const int32 *) a + 1;
				const int32 *bi = (const int32 *) b + 1;
				const float *av = (const float *) (ai + na);
				const float *bv = (const float *) (bi + nb);

				switch (space->metric)
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
ValuePack(const IndexSpace *space, const IndexValue *value, uint8 *out,
		  float *scale, float *error, float *norm)
{
	double		lost = 0;
	double		sum = 0;

	Assert(space->coded);
	*scale = packed12_store(value->rotated, space->padded, out);
	for (int i = 0; i < space->padded; i++)
	{
		float		stored = packed12_get(out, space->padded, i) * *scale;

		lost += ((double) stored - value->rotated[i]) * ((double) stored - value->rotated[i]);
		sum += (double) stored * stored;
	}
	*error = value->clamped ? get_float4_infinity() : (float) (sqrt(lost) * 1.000001);
	*norm = (float) sqrt(sum);
}

/* What a coordinate has lost, at most half of `scale`, is a level of -127 .. 127 times this. */
#define RESIDUAL_STEP(scale) ((scale) / 254)

/*
 * Are residuals of the index's values worth their room?  Longer ones stand outside of their row
 * in the table, where reading one to compute its distance exactly takes as long as twenty
 * refined distances.
 */
bool
ValueHasResidual(const IndexSpace *space)
{
	return space->coded && ValueRawBytes(space) > TOAST_TUPLE_TARGET;
}

uint32
ValueResidualBytes(const IndexSpace *space)
{
	return offsetof(ValueResidual, levels) + space->padded;
}

/* Of a residual r of the stored value y, its part of ValueRefine() that no query changes. */
float
ValueResidualAddend(const IndexSpace *space, const uint8 *packed, float scale, const ValueResidual *residual)
{
	double		product = 0;
	double		square = 0;

	if (space->code_metric == CODE_IP)
		return 0;
	for (int i = 0; i < space->padded; i++)
	{
		double		r = residual->levels[i] * RESIDUAL_STEP((double) scale);

		product += (double) packed12_get(packed, space->padded, i) * scale * r;
		square += r * r;
	}
	return (float) (2 * product + square);
}

/* The residual of a value that ValuePack() stored as packed and scale. */
void
ValuePackResidual(const IndexSpace *space, const IndexValue *value, const uint8 *packed, float scale,
				  ValueResidual *residual)
{
	double		step = RESIDUAL_STEP((double) scale);
	double		lost = 0;

	Assert(space->coded);
	for (int i = 0; i < space->padded; i++)
	{
		float		stored = packed12_get(packed, space->padded, i) * scale;
		double		r = (double) value->rotated[i] - stored;

		residual->levels[i] = (int8) rint(Max(Min(r / step, 127), -127));
		r -= residual->levels[i] * step;
		lost += r * r;
	}
	residual->addend = ValueResidualAddend(space, packed, scale, residual);
	residual->error = value->clamped ? get_float4_infinity() : (float) (sqrt(lost) * 1.000001);
}

/*
 * The distance of a query from stored value and residual r together, where `distance`
 * is that from the stored value y: |q - y - r|^2 = |q - y|^2 - 2 q.r + 2 y.r + |r|^2.
 */
float
ValueRefine(const IndexSpace *space, const IndexValue *query, float distance, const ValueResidual *residual,
			float scale)
{
	/* the levels as the upper eight bits of integers of 12, whose lower four are zero */
	float		product = dist_ip_f32_p12(query->rotated, (const uint8 *) residual->levels, space->padded, RESIDUAL_STEP(scale) / 16);

	if (space->code_metric == CODE_IP)
		return distance - product;
	return distance - 2 * product + residual->addend;
}

/* Squared Euclidean distance, or negative inner product, of a query and a stored value. */
float
ValuePackedDistance(const IndexSpace *space, const float *q, const uint8 *x, float scale)
{
	if (space->code_metric == CODE_IP)
		return -dist_ip_f32_p12(q, x, space->padded, scale);
	return dist_l2sq_f32_p12(q, x, space->padded, scale);
}

/* ---------------------------------------------------------------------
 * Intervals
 * --------------------------------------------------------------------- */

/* More than 16,000 products can lose that are too small for a float: 1.4e-45 each. */
#define UNDERFLOW 1e-40

/* What multiplications by the unit and in the rotation can take from a coordinate that is too small for a float */
#define LOST_COORDINATE 1e-44

/* Of a coded value's length, what rotation and sums over the dimensions may be off */
static double
most_rounding_of(const IndexSpace *space)
{
	return 8e-6 + 4e-9 * space->padded;
}

/*
 * And what they usually are off at most: two to three times the most in half a million pairs
 * of vectors (normal, integers, thin, one-hot, heavy-tailed, far from zero), 8 to 16,000
 * dimensions, by plain C, AVX2 and AVX-512, which test/unit/rounding_test.c measures again.
 * There it was 3.4e-7 of both lengths together of Euclidean distances at any width, 1e-6 of
 * the product of the lengths of others, and 5e-6 at 16,000 dimensions.
 */
static double
usual_rounding_of(const IndexSpace *space)
{
	return space->metric == METRIC_L2 ? 1e-6 : 2e-6 + 6e-10 * space->padded;
}

/*
 * How many standard deviations of what rounding loses in one direction an interval allows
 * for, where it is not to hold surely.
 */
#define PROBABLE_DEVIATIONS 7

/*
 * What was lost of a stored vector in one direction that does not depend on it, in units
 * of all that was lost.  Coordinates are rounded after a rotation that mixes them, so what
 * is lost points nowhere in particular: its part in a direction is about normal, with a
 * standard deviation of 1 / sqrt(dimensions).
 */
static double
lost_in_direction(const IndexSpace *space, bool surely)
{
	return surely ? 1 : Min(1, PROBABLE_DEVIATIONS / sqrt(space->padded));
}

/*
 * The interval that holds the operator's distance, in its own units, of a query from a
 * stored value: surely, or but for one in 10^11 pairs.  distance is ValuePackedDistance()
 * or ValueRawDistance(); error and norm are what ValuePack() gave of a coded value.
 * Beyond the stored error the interval allows for rounding: of the rotation, of sums over
 * the dimensions here and in the operator, and of centring; and for what the index's floats
 * cannot hold: coordinates that the unit makes too small, products that underflow, sums
 * that overflow.
 *
 * With x the true vector, y the stored one, r = x - y and u the direction of x from the
 * query q: |y - q|^2 = |x - q|^2 - 2 |x - q| u.r + |r|^2.  Where q is near x, |r|^2 counts.
 */
void
ValueInterval(const IndexSpace *space, const IndexValue *query, float distance, float error, float norm,
			  bool surely, double *low, double *high)
{
	double		unit = space->unit;
	double		rounding;
	double		lost = LOST_COORDINATE * sqrt(space->padded);	/* of a vector */
	double		part;			/* of r in the direction that counts, at most */
	double		margin;
	double		d;

	Assert(space->centred);
	if (!space->coded)
	{
		/* a double rounded to float */
		*low = distance - fabs(distance) * 1e-7 - UNDERFLOW;
		*high = distance + fabs(distance) * 1e-7 + UNDERFLOW;
		if (distance >= FLT_MAX)
		{
			*low = FLT_MAX;
			*high = get_float8_infinity();
		}
		else if (distance <= -FLT_MAX)
		{
			*low = -get_float8_infinity();
			*high = -FLT_MAX;
		}
		if (space->metric == METRIC_L2)
		{
			*low = sqrt(Max(*low, 0)) * (1 - 1e-7);
			*high = sqrt(*high) * (1 + 1e-7);
		}
		return;
	}

	rounding = surely ? most_rounding_of(space) : usual_rounding_of(space);
	part = error * lost_in_direction(space, surely);
	if (space->metric == METRIC_IP)
	{
		margin = (query->norm + lost) * (part + lost) + lost * norm +
			rounding * query->norm * norm + UNDERFLOW;
		*low = (distance - margin) / unit / unit;
		*high = (distance + margin) / unit / unit;
	}
	else
	{
		margin = part + 2 * lost +
			rounding * ((double) query->norm + norm) + (surely ? 1e-6 : 2.5e-7) * space->center_norm;
		d = Max(distance, 0.0f);
		*low = Max(sqrt(Max(d - UNDERFLOW - ((double) error + part) * (error - part), 0)) - margin, 0);
		*high = sqrt(d + part * part + UNDERFLOW) + margin;
		if (space->metric == METRIC_COSINE)
		{
			*low = *low * *low / 2 - rounding;
			*high = *high * *high / 2 + rounding;
		}
		else
		{
			*low /= unit;
			*high /= unit;
		}
	}
	if (query->clamped || !isfinite(*low) || !isfinite(*high))
	{
		*low = -get_float8_infinity();
		*high = get_float8_infinity();
	}
}

/*
 * The other way for Euclidean distances and cosines of coded values: above what
 * ValuePackedDistance() surely has a distance greater than `most`, where the value was
 * stored without loss.  Infinity where nothing is sure, negative infinity where all is.
 */
float
ValueLargestWithin(const IndexSpace *space, const IndexValue *query, double most)
{
	double		rounding = most_rounding_of(space);
	double		margin = 2 * LOST_COORDINATE * sqrt(space->padded) + rounding * query->norm + 1e-6 * space->center_norm;
	double		length;

	Assert(space->coded && space->metric != METRIC_IP);
	if (space->metric == METRIC_COSINE)
		length = most + rounding >= 0 ? sqrt(2 * (most + rounding)) : -1;
	else
		length = most * space->unit;
	if (length < 0)
		return -get_float4_infinity();
	length = (length + margin) * (length + margin) + UNDERFLOW;
	return query->clamped || !(length < FLT_MAX) ? get_float4_infinity() : (float) length;
}
