/*
 * metric.c
 *	  Distance functions of vector and halfvec, the functions behind the
 *	  operators <->, <#>, <=> and <+>, and norms.
 *
 * The arithmetic is in core/vec/distance.c; here are the dimension check and the
 * choice of the kernel.  Results are float8 and never overflow: the largest
 * squared distance of two vectors is far within a double.  The cosine distance
 * of a zero vector is NaN, which sorts after every distance.
 */
#include "pgcompat.h"

#include <math.h>

#include "core/vec/distance.h"
#include "fmgr.h"
#include "vector/bounds.h"
#include "vector/vector.h"

/* One SQL function of two vectors; expr sees them as a and b. */
#define VECTOR_METRIC(name, expr) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	Vector	   *a = PG_GETARG_VECTOR_P(0); \
	Vector	   *b = PG_GETARG_VECTOR_P(1); \
	VectorCheckSameDims("vector", a->dim, b->dim); \
	PG_RETURN_FLOAT8(expr); \
}

/* The same of two halfvecs. */
#define HALFVEC_METRIC(name, expr) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	HalfVector *a = PG_GETARG_HALFVEC_P(0); \
	HalfVector *b = PG_GETARG_HALFVEC_P(1); \
	VectorCheckSameDims("halfvec", a->dim, b->dim); \
	PG_RETURN_FLOAT8(expr); \
}

/*
 * The angle between two vectors of length one, as a part of half a turn.  The
 * product of rounded vectors may lie just outside the domain of acos().
 */
static double
AngleOfUnits(double product)
{
	return acos(Max(-1.0, Min(1.0, product))) / M_PI;
}

VECTOR_METRIC(l2_distance, sqrt(dist_l2sq_f32(a->x, b->x, a->dim)))
VECTOR_METRIC(vector_l2_squared_distance, dist_l2sq_f32(a->x, b->x, a->dim))
VECTOR_METRIC(inner_product, dist_ip_f32(a->x, b->x, a->dim))
VECTOR_METRIC(vector_negative_inner_product, -dist_ip_f32(a->x, b->x, a->dim))
VECTOR_METRIC(cosine_distance, dist_cosine_f32(a->x, b->x, a->dim))
VECTOR_METRIC(l1_distance, dist_l1_f32(a->x, b->x, a->dim))
VECTOR_METRIC(vector_spherical_distance, AngleOfUnits(dist_ip_f32(a->x, b->x, a->dim)))

HALFVEC_METRIC(halfvec_l2_distance, sqrt(dist_l2sq_f16(a->x, b->x, a->dim)))
HALFVEC_METRIC(halfvec_l2_squared_distance, dist_l2sq_f16(a->x, b->x, a->dim))
HALFVEC_METRIC(halfvec_inner_product, dist_ip_f16(a->x, b->x, a->dim))
HALFVEC_METRIC(halfvec_negative_inner_product, -dist_ip_f16(a->x, b->x, a->dim))
HALFVEC_METRIC(halfvec_cosine_distance, dist_cosine_f16(a->x, b->x, a->dim))
HALFVEC_METRIC(halfvec_l1_distance, dist_l1_f16(a->x, b->x, a->dim))
HALFVEC_METRIC(halfvec_spherical_distance, AngleOfUnits(dist_ip_f16(a->x, b->x, a->dim)))

PG_FUNCTION_INFO_V1(vector_norm);
Datum
vector_norm(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);

	PG_RETURN_FLOAT8(dist_norm_f32(a->x, a->dim));
}

PG_FUNCTION_INFO_V1(halfvec_l2_norm);
Datum
halfvec_l2_norm(PG_FUNCTION_ARGS)
{
	HalfVector *a = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_FLOAT8(dist_norm_f16(a->x, a->dim));
}
