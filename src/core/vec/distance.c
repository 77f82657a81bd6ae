/*
 * distance.c
 *	  Distances as their callers see them: chooses the form of each kernel,
 *	  runs a sum again in double where float could not hold it, and owns the
 *	  sparse distances, which are merges and have one form only.
 *
 * The kernels themselves are in distance_scalar.c, distance_avx2.c,
 * distance_avx512.c, distance_neon.c and distance_fp16.c, behind the table of
 * distance_forms.h.
 */
#include "core/vec/distance.h"

#include <float.h>
#include <math.h>

#include "core/assert.h"
#include "core/vec/distance_forms.h"

/*
 * A sum of float terms is taken as it is when its size lies within these
 * bounds.  Above, it (or a term of it) has overflowed.  Below, terms may have
 * lost bits to underflow: each loses at most 2^-150, so that with 16,000 of
 * them a sum of 1e-33 is still right to 1e-8.
 */
#define TRUSTED_LEAST 1e-33f
#define TRUSTED_MOST FLT_MAX

static const DistanceForms *const forms[] = {
	[CPU_SCALAR] = &distance_forms_scalar,
#ifdef CORE_X86
	[CPU_AVX2] = &distance_forms_avx2,
	[CPU_AVX512] = &distance_forms_avx512,
#endif
#ifdef CORE_ARM64
	[CPU_NEON] = &distance_forms_neon,
	[CPU_DOTPROD] = &distance_forms_neon,
	[CPU_FP16] = &distance_forms_fp16,
#endif
};

static inline const DistanceForms *
forms_in_force(void)
{
	return forms[cpu_level_in_force()];
}

/* false for NaN too */
static inline bool
is_trusted(float sum)
{
	float		size = fabsf(sum);

	return size >= TRUSTED_LEAST && size <= TRUSTED_MOST;
}

/* 1 - ab / sqrt(aa * bb), kept within [0, 2] in spite of rounding */
static double
cosine_from_sums(double ab, double aa, double bb)
{
	double		similarity;

	if (aa == 0 || bb == 0)
		return NAN;

	/*
	 * One root of the product, for two roots need not multiply to the exact
	 * square.  The product of two sums of squared floats is within a double's
	 * range: 1e-180 at the least, 1e170 at the most.
	 */
	similarity = ab / sqrt(aa * bb);
	if (similarity > 1)
		similarity = 1;
	else if (similarity < -1)
		similarity = -1;
	CORE_ASSERT(isnan(similarity) || (similarity >= -1 && similarity <= 1));
	return 1 - similarity;
}

/*
 * The same sums in double, in a few lanes for the sake of speed.  No square,
 * product or sum of up to 2^31 floats can overflow or vanish here.
 */
#define DEFINE_SUM_IN_DOUBLE(NAME, TYPE, GET, TERM) \
static double \
NAME(const TYPE *a, const TYPE *b, int n) \
{ \
	double		lane[DOUBLE_LANES] = {0}; \
	int			i = 0; \
\
	for (; i + DOUBLE_LANES <= n; i += DOUBLE_LANES) \
	{ \
		for (int j = 0; j < DOUBLE_LANES; j++) \
		{ \
			double		x = GET(a[i + j]); \
			double		y = GET(b[i + j]); \
\
			lane[j] += TERM; \
		} \
	} \
	for (int j = 0; i + j < n; j++) \
	{ \
		double		x = GET(a[i + j]); \
		double		y = GET(b[i + j]); \
\
		lane[j] += TERM; \
	} \
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + \
		((lane[1] + lane[5]) + (lane[3] + lane[7])); \
}

#define DOUBLE_LANES 8
#define AS_IS(v) (v)

DEFINE_SUM_IN_DOUBLE(l2sq_in_double, float, AS_IS, (x - y) * (x - y))
DEFINE_SUM_IN_DOUBLE(ip_in_double, float, AS_IS, x * y)
DEFINE_SUM_IN_DOUBLE(l1_in_double, float, AS_IS, fabs(x - y))
DEFINE_SUM_IN_DOUBLE(ip_in_double_f16, half, half_to_float, x * y)

double
dist_l2sq_f32(const float *a, const float *b, int n)
{
	float		sum = forms_in_force()->l2sq_f32(a, b, n);

	CORE_ASSERT(n >= 0 && !(sum < 0));
	return is_trusted(sum) ? sum : l2sq_in_double(a, b, n);
}

double
dist_ip_f32(const float *a, const float *b, int n)
{
	float		sum = forms_in_force()->ip_f32(a, b, n);

	return is_trusted(sum) ? sum : ip_in_double(a, b, n);
}

double
dist_l1_f32(const float *a, const float *b, int n)
{
	float		sum = forms_in_force()->l1_f32(a, b, n);

	CORE_ASSERT(n >= 0 && !(sum < 0));

	/* sums and differences of floats lose nothing to underflow */
	return sum <= TRUSTED_MOST ? sum : l1_in_double(a, b, n);
}

double
dist_cosine_f32(const float *a, const float *b, int n)
{
	CosineSums	sums = forms_in_force()->cosine_f32(a, b, n);

	/*
	 * |ab| may be small beside the norms, and what then counts is its error
	 * relative to them; it is finite when they are.
	 */
	if (is_trusted(sums.aa) && is_trusted(sums.bb))
		return cosine_from_sums(sums.ab, sums.aa, sums.bb);
	return cosine_from_sums(ip_in_double(a, b, n),
							ip_in_double(a, a, n),
							ip_in_double(b, b, n));
}

/* Taken once for a vector, and its user divides by it: always in double */
double
dist_norm_f32(const float *a, int n)
{
	return sqrt(ip_in_double(a, a, n));
}

/*
 * Halves need no second run: the largest difference squared is 2^34, the
 * smallest 2^-48.
 */
double
dist_l2sq_f16(const half *a, const half *b, int n)
{
	return forms_in_force()->l2sq_f16(a, b, n);
}

double
dist_ip_f16(const half *a, const half *b, int n)
{
	return forms_in_force()->ip_f16(a, b, n);
}

double
dist_l1_f16(const half *a, const half *b, int n)
{
	return forms_in_force()->l1_f16(a, b, n);
}

double
dist_cosine_f16(const half *a, const half *b, int n)
{
	CosineSums	sums = forms_in_force()->cosine_f16(a, b, n);

	return cosine_from_sums(sums.ab, sums.aa, sums.bb);
}

double
dist_norm_f16(const half *a, int n)
{
	return sqrt(ip_in_double_f16(a, a, n));
}

float
dist_l2sq_f32_p12(const float *q, const uint8_t *x, int n, float scale)
{
	CORE_ASSERT(n >= 0 && n % 8 == 0);
	return forms_in_force()->l2sq_f32_p12(q, x, n, scale);
}

float
dist_ip_f32_p12(const float *q, const uint8_t *x, int n, float scale)
{
	CORE_ASSERT(n >= 0 && n % 8 == 0);
	return forms_in_force()->ip_f32_p12(q, x, n, scale) * scale;
}

uint64_t
dist_hamming(const uint8_t *a, const uint8_t *b, int bytes)
{
	uint64_t	bits = forms_in_force()->count_xor(a, b, bytes);

	CORE_ASSERT(bytes >= 0 && bits <= 8 * (uint64_t) bytes);
	return bits;
}

double
dist_jaccard(const uint8_t *a, const uint8_t *b, int bytes)
{
	uint64_t	both;
	uint64_t	either;

	forms_in_force()->count_and_or(a, b, bytes, &both, &either);
	CORE_ASSERT(bytes >= 0 && both <= either && either <= 8 * (uint64_t) bytes);
	return both == 0 ? 1 : 1 - (double) both / (double) either;
}

/*
 * One merge of two sparse vectors.  x and y are the values at the smallest
 * index left on either side, 0 on the side that lacks it.  Both positions
 * advance by a comparison's result: which side is next is a coin toss that no
 * branch predictor learns.
 *
 * Sums are in double throughout; the merge costs more than they do.
 */
#define FOR_EACH_PAIR(BODY) \
	do \
	{ \
		int			i = 0; \
		int			j = 0; \
\
		while (i < annz && j < bnnz) \
		{ \
			int32_t		at_a = ai[i]; \
			int32_t		at_b = bi[j]; \
			double		x = at_a <= at_b ? av[i] : 0; \
			double		y = at_b <= at_a ? bv[j] : 0; \
\
			BODY; \
			i += at_a <= at_b; \
			j += at_b <= at_a; \
		} \
		for (; i < annz; i++) \
		{ \
			double		x = av[i]; \
			double		y = 0; \
\
			BODY; \
		} \
		for (; j < bnnz; j++) \
		{ \
			double		x = 0; \
			double		y = bv[j]; \
\
			BODY; \
		} \
	} while (0)

double
dist_l2sq_sparse(int annz, const int32_t *ai, const float *av,
				 int bnnz, const int32_t *bi, const float *bv)
{
	double		sum = 0;

	FOR_EACH_PAIR(sum += (x - y) * (x - y));
	return sum;
}

double
dist_l1_sparse(int annz, const int32_t *ai, const float *av,
			   int bnnz, const int32_t *bi, const float *bv)
{
	double		sum = 0;

	FOR_EACH_PAIR(sum += fabs(x - y));
	return sum;
}

/* Only indices that both sides have count here: no need to see the rest. */
double
dist_ip_sparse(int annz, const int32_t *ai, const float *av,
			   int bnnz, const int32_t *bi, const float *bv)
{
	double		sum = 0;
	int			i = 0;
	int			j = 0;

	while (i < annz && j < bnnz)
	{
		int32_t		at_a = ai[i];
		int32_t		at_b = bi[j];

		sum += at_a == at_b ? (double) av[i] * (double) bv[j] : 0;
		i += at_a <= at_b;
		j += at_b <= at_a;
	}
	return sum;
}

double
dist_cosine_sparse(int annz, const int32_t *ai, const float *av,
				   int bnnz, const int32_t *bi, const float *bv)
{
	return cosine_from_sums(dist_ip_sparse(annz, ai, av, bnnz, bi, bv),
							ip_in_double(av, av, annz),
							ip_in_double(bv, bv, bnnz));
}
