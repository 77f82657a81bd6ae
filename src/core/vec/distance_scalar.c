/*
 * distance_scalar.c
 *	  Distance kernels in plain C: the reference, and the form for processors
 *	  that have no other.
 *
 * Sums run in LANES independent lanes.  That lets the compiler use whatever
 * vectors the platform's baseline has without reordering any addition, and
 * keeps the rounding error of long vectors small.
 */
#include "core/vec/distance_forms.h"

#include <math.h>

#define LANES 16

static float
sum_lanes(float *lane)
{
	for (int width = LANES / 2; width > 0; width /= 2)
	{
		for (int j = 0; j < width; j++)
			lane[j] += lane[j + width];
	}
	return lane[0];
}

/* One sum over n elements; TERM is in terms of the elements x and y. */
#define DEFINE_SUM(NAME, TYPE_A, GET_A, TYPE_B, GET_B, TERM) \
static float \
NAME(const TYPE_A *a, const TYPE_B *b, int n) \
{ \
	float		lane[LANES] = {0}; \
	int			i = 0; \
\
	for (; i + LANES <= n; i += LANES) \
	{ \
		for (int j = 0; j < LANES; j++) \
		{ \
			float		x = GET_A(a[i + j]); \
			float		y = GET_B(b[i + j]); \
\
			lane[j] += TERM; \
		} \
	} \
	for (int j = 0; i + j < n; j++) \
	{ \
		float		x = GET_A(a[i + j]); \
		float		y = GET_B(b[i + j]); \
\
		lane[j] += TERM; \
	} \
	return sum_lanes(lane); \
}

#define DEFINE_COSINE(NAME, TYPE, GET) \
static CosineSums \
NAME(const TYPE *a, const TYPE *b, int n) \
{ \
	float		ab[LANES] = {0}; \
	float		aa[LANES] = {0}; \
	float		bb[LANES] = {0}; \
	CosineSums	sums; \
\
	for (int i = 0; i < n; i += LANES) \
	{ \
		int			width = n - i < LANES ? n - i : LANES; \
\
		for (int j = 0; j < width; j++) \
		{ \
			float		x = GET(a[i + j]); \
			float		y = GET(b[i + j]); \
\
			ab[j] += x * y; \
			aa[j] += x * x; \
			bb[j] += y * y; \
		} \
	} \
	sums.ab = sum_lanes(ab); \
	sums.aa = sum_lanes(aa); \
	sums.bb = sum_lanes(bb); \
	return sums; \
}

#define AS_IS(v) (v)

DEFINE_SUM(l2sq_f32, float, AS_IS, float, AS_IS, (x - y) * (x - y))
DEFINE_SUM(ip_f32, float, AS_IS, float, AS_IS, x * y)
DEFINE_SUM(l1_f32, float, AS_IS, float, AS_IS, fabsf(x - y))
DEFINE_COSINE(cosine_f32, float, AS_IS)

DEFINE_SUM(l2sq_f16, half, half_to_float, half, half_to_float, (x - y) * (x - y))
DEFINE_SUM(ip_f16, half, half_to_float, half, half_to_float, x * y)
DEFINE_SUM(l1_f16, half, half_to_float, half, half_to_float, fabsf(x - y))
DEFINE_COSINE(cosine_f16, half, half_to_float)

#define DEFINE_SUM_P12(NAME, TERM) \
static float \
NAME(const float *q, const uint8_t *x, int n, float scale) \
{ \
	float		lane[LANES] = {0}; \
\
	for (int i = 0; i < n; i++) \
	{ \
		float		v = (float) packed12_get(x, n, i); \
\
		lane[i % LANES] += TERM; \
	} \
	return sum_lanes(lane); \
}

DEFINE_SUM_P12(l2sq_f32_p12, (q[i] - scale * v) * (q[i] - scale * v))
DEFINE_SUM_P12(ip_f32_p12, q[i] * v)

static uint64_t
count_xor(const uint8_t *a, const uint8_t *b, int bytes)
{
	uint64_t	count = 0;

	for (int i = 0; i < bytes; i += 8)
		count += (uint64_t) __builtin_popcountll(load_bits(a + i, bytes - i) ^
												 load_bits(b + i, bytes - i));
	return count;
}

static void
count_and_or(const uint8_t *a, const uint8_t *b, int bytes,
			 uint64_t *both, uint64_t *either)
{
	uint64_t	n_both = 0;
	uint64_t	n_either = 0;

	for (int i = 0; i < bytes; i += 8)
	{
		uint64_t	x = load_bits(a + i, bytes - i);
		uint64_t	y = load_bits(b + i, bytes - i);

		n_both += (uint64_t) __builtin_popcountll(x & y);
		n_either += (uint64_t) __builtin_popcountll(x | y);
	}
	*both = n_both;
	*either = n_either;
}

const DistanceForms distance_forms_scalar = {
	.l2sq_f32 = l2sq_f32,
	.ip_f32 = ip_f32,
	.l1_f32 = l1_f32,
	.cosine_f32 = cosine_f32,
	.l2sq_f16 = l2sq_f16,
	.ip_f16 = ip_f16,
	.l1_f16 = l1_f16,
	.cosine_f16 = cosine_f16,
	.l2sq_f32_p12 = l2sq_f32_p12,
	.ip_f32_p12 = ip_f32_p12,
	.count_xor = count_xor,
	.count_and_or = count_and_or,
};
