/*
 * scalar_code.c
 *	  8-bit and 4-bit scalar codes of whole vectors.
 *
 * Codes and products of codes are equal to the bit in every form.  The choice
 * of the 4-bit scale rests on sums of floats; those run in LANES lanes added
 * up in one fixed order, without fused multiplication, in every form alike.
 * Those for Arm are in scalar_code_neon.c.
 */
#include "core/vec/scalar_code.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/assert.h"
#include "core/vec/scalar_code_forms.h"

#ifdef CORE_X86
#include <immintrin.h>
#endif

#define LANES 32

/*
 * Vectors whose largest coordinate lies outside these bounds are scaled by a
 * power of two first, so that neither squares nor quotients leave the range
 * of float.
 */
#define PLAIN_LEAST 1e-12f
#define PLAIN_MOST 1e12f

/*
 * Steps tried for 4 bits, in standard deviations: from FIRST_STEP upwards by
 * STEP_RATIO while it helps.  A Gaussian's best for 15 levels is near 0.35.
 */
#define FIRST_STEP 0.29f
#define STEP_RATIO 1.15f

static float largest_scalar(int D, const float *x);
static float sum_of_squares_scalar(int D, const float *x, float prescale);
static void try4_scalar(int D, const float *x, float prescale, float per_unit,
						float *xv, int32_t *vv);
static void encode4_scalar(int D, const float *x, float prescale, float per_unit, uint8_t *code);
static void encode8_scalar(int D, const float *x, float prescale, float per_unit, int8_t *code);
static int32_t dot8_scalar(const int8_t *a, const int8_t *b, int D);
static int32_t dot4_scalar(const uint8_t *a, const uint8_t *b, int D);

#ifdef CORE_X86
static float largest_avx2(int D, const float *x);
static float sum_of_squares_avx2(int D, const float *x, float prescale);
static void try4_avx2(int D, const float *x, float prescale, float per_unit,
					  float *xv, int32_t *vv);
static void encode4_avx2(int D, const float *x, float prescale, float per_unit, uint8_t *code);
static void encode8_avx2(int D, const float *x, float prescale, float per_unit, int8_t *code);
static int32_t dot8_avx2(const int8_t *a, const int8_t *b, int D);
static int32_t dot4_avx2(const uint8_t *a, const uint8_t *b, int D);
static float largest_avx512(int D, const float *x);
static float sum_of_squares_avx512(int D, const float *x, float prescale);
static void try4_avx512(int D, const float *x, float prescale, float per_unit,
					  float *xv, int32_t *vv);
static void encode4_avx512(int D, const float *x, float prescale, float per_unit, uint8_t *code);
static void encode8_avx512(int D, const float *x, float prescale, float per_unit, int8_t *code);
static int32_t dot8_avx512(const int8_t *a, const int8_t *b, int D);
static int32_t dot4_avx512(const uint8_t *a, const uint8_t *b, int D);
static void dots8_avx512(const void *query, const void *const *codes, int D, int32_t *dots);
static void dots4_avx512(const void *query, const void *const *codes, int D, int32_t *dots);
#endif

static const ScalarForms forms_scalar = {
	largest_scalar, sum_of_squares_scalar, try4_scalar,
	encode4_scalar, encode8_scalar, dot8_scalar, dot4_scalar, NULL, NULL
};
#ifdef CORE_X86
static const ScalarForms forms_avx2 = {
	largest_avx2, sum_of_squares_avx2, try4_avx2,
	encode4_avx2, encode8_avx2, dot8_avx2, dot4_avx2, NULL, NULL
};
static const ScalarForms forms_avx512 = {
	largest_avx512, sum_of_squares_avx512, try4_avx512,
	encode4_avx512, encode8_avx512, dot8_avx512, dot4_avx512, dots8_avx512, dots4_avx512
};
#endif

static const ScalarForms *const forms[] = {
	[CPU_SCALAR] = &forms_scalar,
#ifdef CORE_X86
	[CPU_AVX2] = &forms_avx2,
	[CPU_AVX512] = &forms_avx512,
#endif
#ifdef CORE_ARM64
	[CPU_NEON] = &scalar_forms_neon,
	[CPU_DOTPROD] = &scalar_forms_dotprod,
	[CPU_FP16] = &scalar_forms_dotprod,
#endif
};

static inline const ScalarForms *
forms_in_force(void)
{
	return forms[cpu_level_in_force()];
}

/* A power of two that brings most to about 1, within float's own range */
static float
prescale_for(float most)
{
	int			exponent;

	(void) frexpf(most, &exponent);
	if (exponent < -125)
		exponent = -125;
	return ldexpf(1, -exponent);
}

/*
 * For given levels v the best scale is sum xv / sum vv, and leaves an error of
 * |x|^2 - (sum xv)^2 / sum vv.  So the search is for the step whose levels
 * make the last quotient largest: first the one that clips nothing, which is
 * best where few coordinates are large, then a climb from a small one.
 * Returns the scale; *per_unit receives 1/step.
 */
static float
choose_step4(const ScalarForms *f, int D, const float *x, float prescale, float most,
			 float *per_unit)
{
	float		widest = most / 7;
	float		deviation = sqrtf(f->sum_of_squares(D, x, prescale) / (float) D);
	float		step = deviation * FIRST_STEP;
	float		xv;
	int32_t		vv;
	double		quality;
	double		climb = 0;
	double		scale;

	*per_unit = 1 / widest;
	f->try4(D, x, prescale, *per_unit, &xv, &vv);
	quality = (double) xv * xv / vv;
	scale = (double) xv / vv;

	for (; step < widest; step *= STEP_RATIO)
	{
		double		reached;

		f->try4(D, x, prescale, 1 / step, &xv, &vv);
		if (vv == 0)
			break;
		reached = (double) xv * xv / vv;
		if (reached > quality)
		{
			quality = reached;
			scale = (double) xv / vv;
			*per_unit = 1 / step;
		}
		if (reached < climb)
			break;
		climb = reached;
	}
	return (float) scale;
}

static inline bool
is_shape(int bits, int D)
{
	return (bits == 8 || bits == 4) && D >= 0 && D % 8 == 0;
}

/* Every level is one that scalar_code.h knows: neither -128, nor a nibble of 0. */
static bool
levels_fit(int bits, int D, const void *code)
{
	const uint8_t *byte = code;

	for (size_t i = 0; i < scalar_code_bytes(bits, D); i++)
	{
		if (bits == 8 ? byte[i] == 0x80 : (byte[i] & 0x0F) == 0 || (byte[i] & 0xF0) == 0)
			return false;
	}
	return true;
}

float
scalar_encode(int bits, int D, const float *x, void *code)
{
	const ScalarForms *f = forms_in_force();
	float		most = f->largest(D, x);
	float		prescale = 1;
	float		per_unit;
	float		scale;
	float		most_scale;

	CORE_ASSERT(is_shape(bits, D));
	if (!(most > 0 && most <= FLT_MAX))
	{
		/* zeros; not a vector of finite numbers, if not */
		memset(code, bits == 8 ? 0 : 0x88, scalar_code_bytes(bits, D));
		return 0;
	}
	if (!(most >= PLAIN_LEAST && most <= PLAIN_MOST))
	{
		prescale = prescale_for(most);
		most *= prescale;
	}

	if (bits == 8)
	{
		scale = most / 127;
		per_unit = 127 / most;
		f->encode8(D, x, prescale, per_unit, code);
	}
	else
	{
		scale = choose_step4(f, D, x, prescale, most, &per_unit);
		f->encode4(D, x, prescale, per_unit, code);
	}
	scale /= prescale;
	CORE_ASSERT(scale > 0 && levels_fit(bits, D, code));

	/* rounded up, it could make the largest level decode to infinity */
	most_scale = nextafterf(FLT_MAX / (bits == 8 ? 127 : 7), 0);
	return scale < most_scale ? scale : most_scale;
}

void
scalar_decode(int bits, int D, const void *code, float scale, float *out)
{
	CORE_ASSERT(is_shape(bits, D));
	if (bits == 8)
	{
		const int8_t *v = code;

		for (int i = 0; i < D; i++)
			out[i] = scale * v[i];
	}
	else
	{
		const uint8_t *u = code;

		for (int i = 0; i < D / 2; i++)
		{
			out[2 * i] = scale * ((u[i] & 15) - 8);
			out[2 * i + 1] = scale * ((u[i] >> 4) - 8);
		}
	}
}

int32_t
scalar_dot8(const int8_t *a, const int8_t *b, int D)
{
	CORE_ASSERT(is_shape(8, D) && D <= INT32_MAX / (127 * 127));
	return forms_in_force()->dot8(a, b, D);
}

int32_t
scalar_dot4(const uint8_t *a, const uint8_t *b, int D)
{
	CORE_ASSERT(is_shape(4, D) && D <= INT32_MAX / (7 * 7));
	return forms_in_force()->dot4(a, b, D);
}

void
scalar_dots(int bits, int D, const void *query, const void *const *codes, int n, int32_t *dots)
{
	const ScalarForms *f = forms_in_force();
	void		(*four) (const void *, const void *const *, int, int32_t *) = bits == 8 ? f->dots8 : f->dots4;
	int			i = 0;

	CORE_ASSERT(is_shape(bits, D));
	for (; four != NULL && i + 4 <= n; i += 4)
		four(query, codes + i, D, dots + i);
	if (four != NULL && i + 2 <= n)
	{
		const void *last[4];
		int32_t		sums[4];

		for (int k = 0; k < 4; k++)
			last[k] = codes[i + k < n ? i + k : n - 1];
		four(query, last, D, sums);
		memcpy(dots + i, sums, sizeof(int32_t) * (size_t) (n - i));
		i = n;
	}
	for (; i < n; i++)
		dots[i] = bits == 8 ? f->dot8(query, codes[i], D) : f->dot4(query, codes[i], D);
}

/* ---- scalar forms ---- */

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

/* x in units of the scale, rounded, ties to even, within -most..most */
static inline int
to_level(float x, float prescale, float per_unit, float most)
{
	float		level = x * prescale * per_unit;

	level = level > -most ? level : -most;	/* NaN too */
	level = level < most ? level : most;
	return (int) lrintf(level);
}

static float
largest_scalar(int D, const float *x)
{
	float		most = 0;

	for (int i = 0; i < D; i++)
	{
		float		size = fabsf(x[i]);

		most = size > most ? size : most;
	}
	return most;
}

static float
sum_of_squares_scalar(int D, const float *x, float prescale)
{
	float		squares[LANES] = {0};

	for (int i = 0; i < D; i++)
	{
		float		scaled = x[i] * prescale;

		squares[i % LANES] += scaled * scaled;
	}
	return sum_lanes(squares);
}

static void
try4_scalar(int D, const float *x, float prescale, float per_unit,
			float *xv, int32_t *vv)
{
	float		products[LANES] = {0};
	int32_t		squares = 0;

	for (int i = 0; i < D; i++)
	{
		int			v = to_level(x[i], prescale, per_unit, 7);

		products[i % LANES] += x[i] * prescale * (float) v;
		squares += v * v;
	}
	*xv = sum_lanes(products);
	*vv = squares;
}

static void
encode4_scalar(int D, const float *x, float prescale, float per_unit, uint8_t *code)
{
	for (int i = 0; i < D; i += 2)
	{
		int			low = to_level(x[i], prescale, per_unit, 7) + 8;
		int			high = to_level(x[i + 1], prescale, per_unit, 7) + 8;

		code[i / 2] = (uint8_t) (low | (high << 4));
	}
}

static void
encode8_scalar(int D, const float *x, float prescale, float per_unit, int8_t *code)
{
	for (int i = 0; i < D; i++)
		code[i] = (int8_t) to_level(x[i], prescale, per_unit, 127);
}

static int32_t
dot8_scalar(const int8_t *a, const int8_t *b, int D)
{
	int32_t		sum = 0;

	for (int i = 0; i < D; i++)
		sum += a[i] * b[i];
	return sum;
}

static int32_t
dot4_scalar(const uint8_t *a, const uint8_t *b, int D)
{
	int32_t		sum = 0;

	for (int i = 0; i < D / 2; i++)
	{
		sum += ((a[i] & 15) - 8) * ((b[i] & 15) - 8);
		sum += ((a[i] >> 4) - 8) * ((b[i] >> 4) - 8);
	}
	return sum;
}

#ifdef CORE_X86

/* ---- AVX2 ---- */

#define INLINE_AVX2 TARGET_AVX2 static inline __attribute__((always_inline))
#define INLINE_AVX512 TARGET_AVX512 static inline __attribute__((always_inline))

/* Lane j of the scalar form is element j % 8 of vector j / 8 */
INLINE_AVX2 float
sum_lanes_avx2(const __m256 lane[4])
{
	__m256		eight = _mm256_add_ps(_mm256_add_ps(lane[0], lane[2]),
									  _mm256_add_ps(lane[1], lane[3]));
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	x = _mm_add_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

INLINE_AVX2 int32_t
sum_ints_avx2(__m256i v)
{
	__m128i		x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, _MM_SHUFFLE(1, 0, 3, 2)));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1)));
	return _mm_cvtsi128_si32(x);
}

/* to_level() of eight, of which `scaled` receives x * prescale */
INLINE_AVX2 __m256i
levels_avx2(const float *x, __m256 prescale, __m256 per_unit, __m256 most, __m256 *scaled)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	__m256		level;

	*scaled = _mm256_mul_ps(_mm256_loadu_ps(x), prescale);
	level = _mm256_mul_ps(*scaled, per_unit);
	level = _mm256_max_ps(level, _mm256_or_ps(most, sign));
	return _mm256_cvtps_epi32(_mm256_min_ps(level, most));
}

TARGET_AVX2 static float
largest_avx2(int D, const float *x)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	__m256		most = _mm256_setzero_ps();
	__m128		four;

	for (int i = 0; i < D; i += 8)
		most = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)), most);
	four = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
	four = _mm_max_ps(four, _mm_movehl_ps(four, four));
	four = _mm_max_ss(four, _mm_movehdup_ps(four));
	return _mm_cvtss_f32(four);
}

INLINE_AVX2 __m256
square_avx2(const float *x, __m256 prescale)
{
	__m256		scaled = _mm256_mul_ps(_mm256_loadu_ps(x), prescale);

	scaled = _mm256_mul_ps(scaled, scaled);
	KEEP_ROUNDED(scaled);
	return scaled;
}

TARGET_AVX2 static float
sum_of_squares_avx2(int D, const float *x, float prescale)
{
	__m256		by = _mm256_set1_ps(prescale);
	__m256		lane[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(),
	_mm256_setzero_ps(), _mm256_setzero_ps()};
	int			i = 0;

	for (; i + 32 <= D; i += 32)
	{
		for (int j = 0; j < 4; j++)
			lane[j] = _mm256_add_ps(lane[j], square_avx2(x + i + 8 * j, by));
	}
	for (int j = 0; i < D; i += 8, j++)
		lane[j] = _mm256_add_ps(lane[j], square_avx2(x + i, by));
	return sum_lanes_avx2(lane);
}

/* The 16-bit product is quicker than the 32-bit one; the upper words are 0 */
INLINE_AVX2 void
try4_step_avx2(const float *x, __m256 prescale, __m256 per_unit, __m256 *products, __m256i *squares)
{
	__m256		scaled;
	__m256i		v = levels_avx2(x, prescale, per_unit, _mm256_set1_ps(7), &scaled);

	scaled = _mm256_mul_ps(scaled, _mm256_cvtepi32_ps(v));
	KEEP_ROUNDED(scaled);
	*products = _mm256_add_ps(*products, scaled);
	v = _mm256_abs_epi32(v);
	*squares = _mm256_add_epi32(*squares, _mm256_mullo_epi16(v, v));
}

TARGET_AVX2 static void
try4_avx2(int D, const float *x, float prescale, float per_unit,
		  float *xv, int32_t *vv)
{
	__m256		by = _mm256_set1_ps(prescale);
	__m256		per = _mm256_set1_ps(per_unit);
	__m256		lane[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(),
	_mm256_setzero_ps(), _mm256_setzero_ps()};
	__m256i		squares = _mm256_setzero_si256();
	int			i = 0;

	for (; i + 32 <= D; i += 32)
	{
		for (int j = 0; j < 4; j++)
			try4_step_avx2(x + i + 8 * j, by, per, &lane[j], &squares);
	}
	for (int j = 0; i < D; i += 8, j++)
		try4_step_avx2(x + i, by, per, &lane[j], &squares);
	*xv = sum_lanes_avx2(lane);
	*vv = sum_ints_avx2(squares);
}

/* Eight levels as signed bytes in the lower half */
INLINE_AVX2 __m128i
bytes_avx2(__m256i v)
{
	__m128i		words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	return _mm_packs_epi16(words, words);
}

TARGET_AVX2 static void
encode4_avx2(int D, const float *x, float prescale, float per_unit, uint8_t *code)
{
	__m256		by = _mm256_set1_ps(prescale);
	__m256		per = _mm256_set1_ps(per_unit);

	for (int i = 0; i < D; i += 8)
	{
		__m256		scaled;
		__m256i		v = levels_avx2(x + i, by, per, _mm256_set1_ps(7), &scaled);
		__m128i		u = _mm_add_epi8(bytes_avx2(v), _mm_set1_epi8(8));
		int32_t		four;

		/* low + 16 * high of each pair, then words to bytes */
		u = _mm_maddubs_epi16(u, _mm_set1_epi16(0x1001));
		four = _mm_cvtsi128_si32(_mm_packus_epi16(u, u));
		memcpy(code + i / 2, &four, sizeof four);
	}
}

TARGET_AVX2 static void
encode8_avx2(int D, const float *x, float prescale, float per_unit, int8_t *code)
{
	__m256		by = _mm256_set1_ps(prescale);
	__m256		per = _mm256_set1_ps(per_unit);

	for (int i = 0; i < D; i += 8)
	{
		__m256		scaled;
		__m256i		v = levels_avx2(x + i, by, per, _mm256_set1_ps(127), &scaled);

		_mm_storel_epi64((__m128i *) (code + i), bytes_avx2(v));
	}
}

/* |a| times b with a's sign: pairs stay within 2 * 127^2 < 2^15 */
INLINE_AVX2 __m256i
products8_avx2(__m256i a, __m256i b)
{
	__m256i		pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));

	return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

TARGET_AVX2 static int32_t
dot8_avx2(const int8_t *a, const int8_t *b, int D)
{
	__m256i		first = _mm256_setzero_si256();
	__m256i		second = _mm256_setzero_si256();
	int			i = 0;

	for (; i + 64 <= D; i += 64)
	{
		first = _mm256_add_epi32(first, products8_avx2(_mm256_loadu_si256((const __m256i *) (a + i)),
													   _mm256_loadu_si256((const __m256i *) (b + i))));
		second = _mm256_add_epi32(second, products8_avx2(_mm256_loadu_si256((const __m256i *) (a + i + 32)),
														 _mm256_loadu_si256((const __m256i *) (b + i + 32))));
	}
	if (i + 32 <= D)
	{
		first = _mm256_add_epi32(first, products8_avx2(_mm256_loadu_si256((const __m256i *) (a + i)),
													   _mm256_loadu_si256((const __m256i *) (b + i))));
		i += 32;
	}
	for (; i < D; i += 8)
		second = _mm256_add_epi32(second,
								  products8_avx2(_mm256_zextsi128_si256(_mm_loadl_epi64((const __m128i *) (a + i))),
												 _mm256_zextsi128_si256(_mm_loadl_epi64((const __m128i *) (b + i)))));
	return sum_ints_avx2(_mm256_add_epi32(first, second));
}

/*
 * sum (u - 8)(w - 8) = sum u w - 8 (sum u + sum w) + 64 D.  Each step leaves
 * in a 16-bit lane four terms u w - 8 (u + w) = (u - 8)(w - 8) - 64, of which
 * none is below -120 for nibbles u and w: 68 steps fit.
 */
INLINE_AVX2 __m256i
products4_avx2(__m256i a, __m256i b)
{
	const __m256i nibble = _mm256_set1_epi8(15);
	__m256i		a_low = _mm256_and_si256(a, nibble);
	__m256i		b_low = _mm256_and_si256(b, nibble);
	__m256i		a_high = _mm256_and_si256(_mm256_srli_epi16(a, 4), nibble);
	__m256i		b_high = _mm256_and_si256(_mm256_srli_epi16(b, 4), nibble);
	__m256i		sum = _mm256_add_epi8(_mm256_add_epi8(a_low, b_low), _mm256_add_epi8(a_high, b_high));
	__m256i		products = _mm256_add_epi16(_mm256_maddubs_epi16(a_low, b_low),
											_mm256_maddubs_epi16(a_high, b_high));

	return _mm256_sub_epi16(products, _mm256_maddubs_epi16(sum, _mm256_set1_epi8(8)));
}

#define MOST_STEPS4 64

TARGET_AVX2 static int32_t
dot4_avx2(const uint8_t *a, const uint8_t *b, int D)
{
	const __m256i ones = _mm256_set1_epi16(1);
	__m256i		sum = _mm256_setzero_si256();
	int			bytes = D / 2;
	int			i = 0;

	while (i + 32 <= bytes)
	{
		__m256i		words = _mm256_setzero_si256();

		for (int step = 0; step < MOST_STEPS4 && i + 32 <= bytes; step++, i += 32)
			words = _mm256_add_epi16(words, products4_avx2(_mm256_loadu_si256((const __m256i *) (a + i)),
														   _mm256_loadu_si256((const __m256i *) (b + i))));
		sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, ones));
	}
	if (i < bytes)
	{
		/* what is missing counts as zeros on both sides, which add nothing before the 64 D */
		__m256i		words = _mm256_setzero_si256();

		for (; i < bytes; i += 4)
		{
			int32_t		x;
			int32_t		y;

			memcpy(&x, a + i, sizeof x);
			memcpy(&y, b + i, sizeof y);
			words = _mm256_add_epi16(words, products4_avx2(_mm256_zextsi128_si256(_mm_cvtsi32_si128(x)),
														   _mm256_zextsi128_si256(_mm_cvtsi32_si128(y))));
		}
		sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, ones));
	}
	return sum_ints_avx2(sum) + 64 * D;
}

/* ---- AVX-512 ---- */

/* D is a multiple of 8: what is left after whole vectors of floats is a half */
#define MASK_FOR(left) ((__mmask16) ((left) >= 16 ? 0xFFFF : 0x00FF))

INLINE_AVX512 float
sum_lanes_avx512(__m512 first, __m512 second)
{
	__m512		sixteen = _mm512_add_ps(first, second);
	__m256		eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen),
									  _mm512_extractf32x8_ps(sixteen, 1));
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	x = _mm_add_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

INLINE_AVX512 __m512i
levels_avx512(__mmask16 m, const float *x, __m512 prescale, __m512 per_unit, __m512 most, __m512 *scaled)
{
	__m512		level;

	*scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x), prescale);
	level = _mm512_mul_ps(*scaled, per_unit);
	level = _mm512_max_ps(level, _mm512_sub_ps(_mm512_setzero_ps(), most));
	return _mm512_cvtps_epi32(_mm512_min_ps(level, most));
}

TARGET_AVX512 static float
largest_avx512(int D, const float *x)
{
	__m512		most = _mm512_setzero_ps();

	for (int i = 0; i < D; i += 16)
		most = _mm512_max_ps(_mm512_abs_ps(_mm512_maskz_loadu_ps(MASK_FOR(D - i), x + i)), most);
	return _mm512_reduce_max_ps(most);
}

INLINE_AVX512 __m512
square_avx512(__mmask16 m, const float *x, __m512 prescale)
{
	__m512		scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x), prescale);

	scaled = _mm512_mul_ps(scaled, scaled);
	KEEP_ROUNDED(scaled);
	return scaled;
}

TARGET_AVX512 static float
sum_of_squares_avx512(int D, const float *x, float prescale)
{
	__m512		by = _mm512_set1_ps(prescale);
	__m512		first = _mm512_setzero_ps();
	__m512		second = _mm512_setzero_ps();

	for (int i = 0; i < D; i += 32)
	{
		first = _mm512_add_ps(first, square_avx512(MASK_FOR(D - i), x + i, by));
		if (i + 16 < D)
			second = _mm512_add_ps(second, square_avx512(MASK_FOR(D - i - 16), x + i + 16, by));
	}
	return sum_lanes_avx512(first, second);
}

INLINE_AVX512 void
try4_step_avx512(__mmask16 m, const float *x, __m512 prescale, __m512 per_unit,
				 __m512 *products, __m512i *squares)
{
	__m512		scaled;
	__m512i		v = levels_avx512(m, x, prescale, per_unit, _mm512_set1_ps(7), &scaled);

	scaled = _mm512_mul_ps(scaled, _mm512_cvtepi32_ps(v));
	KEEP_ROUNDED(scaled);
	*products = _mm512_add_ps(*products, scaled);
	v = _mm512_abs_epi32(v);
	*squares = _mm512_dpwssd_epi32(*squares, v, v);
}

TARGET_AVX512 static void
try4_avx512(int D, const float *x, float prescale, float per_unit,
			float *xv, int32_t *vv)
{
	__m512		by = _mm512_set1_ps(prescale);
	__m512		per = _mm512_set1_ps(per_unit);
	__m512		first = _mm512_setzero_ps();
	__m512		second = _mm512_setzero_ps();
	__m512i		squares = _mm512_setzero_si512();

	for (int i = 0; i < D; i += 32)
	{
		try4_step_avx512(MASK_FOR(D - i), x + i, by, per, &first, &squares);
		if (i + 16 < D)
			try4_step_avx512(MASK_FOR(D - i - 16), x + i + 16, by, per, &second, &squares);
	}
	*xv = sum_lanes_avx512(first, second);
	*vv = _mm512_reduce_add_epi32(squares);
}

TARGET_AVX512 static void
encode4_avx512(int D, const float *x, float prescale, float per_unit, uint8_t *code)
{
	__m512		by = _mm512_set1_ps(prescale);
	__m512		per = _mm512_set1_ps(per_unit);

	for (int i = 0; i < D; i += 16)
	{
		__mmask16	m = MASK_FOR(D - i);
		__m512		scaled;
		__m512i		v = levels_avx512(m, x + i, by, per, _mm512_set1_ps(7), &scaled);
		__m128i		u = _mm_add_epi8(_mm512_cvtepi32_epi8(v), _mm_set1_epi8(8));

		/* low + 16 * high of each pair, then words to bytes */
		u = _mm_cvtepi16_epi8(_mm_maddubs_epi16(u, _mm_set1_epi16(0x1001)));
		if (m == 0xFFFF)
			_mm_storel_epi64((__m128i *) (code + i / 2), u);
		else
		{
			int32_t		four = _mm_cvtsi128_si32(u);

			memcpy(code + i / 2, &four, sizeof four);
		}
	}
}

TARGET_AVX512 static void
encode8_avx512(int D, const float *x, float prescale, float per_unit, int8_t *code)
{
	__m512		by = _mm512_set1_ps(prescale);
	__m512		per = _mm512_set1_ps(per_unit);

	for (int i = 0; i < D; i += 16)
	{
		__mmask16	m = MASK_FOR(D - i);
		__m512		scaled;
		__m128i		v = _mm512_cvtepi32_epi8(levels_avx512(m, x + i, by, per, _mm512_set1_ps(127), &scaled));

		if (m == 0xFFFF)
			_mm_storeu_si128((__m128i *) (code + i), v);
		else
			_mm_storel_epi64((__m128i *) (code + i), v);
	}
}

/* n bytes, 0 < n < 64 */
#define FIRST_BYTES(n) ((UINT64_C(1) << (n)) - 1)

/*
 * The dot product instruction wants one factor unsigned: a + 128, and 128 sum b
 * is taken off again.
 */
TARGET_AVX512 static int32_t
dot8_avx512(const int8_t *a, const int8_t *b, int D)
{
	const __m512i top = _mm512_set1_epi8(-128);
	__m512i		products = _mm512_setzero_si512();
	__m512i		excess = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= D; i += 64)
	{
		__m512i		y = _mm512_loadu_si512(b + i);

		products = _mm512_dpbusd_epi32(products, _mm512_xor_si512(_mm512_loadu_si512(a + i), top), y);
		excess = _mm512_dpbusd_epi32(excess, top, y);
	}
	if (i < D)
	{
		__mmask64	some = FIRST_BYTES(D - i);
		__m512i		y = _mm512_maskz_loadu_epi8(some, b + i);

		products = _mm512_dpbusd_epi32(products, _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, a + i), top), y);
		excess = _mm512_dpbusd_epi32(excess, top, y);
	}
	return _mm512_reduce_add_epi32(_mm512_sub_epi32(products, excess));
}

/* As in AVX2, with sums in 32 bits from the start */
TARGET_AVX512 static int32_t
dot4_avx512(const uint8_t *a, const uint8_t *b, int D)
{
	const __m512i nibble = _mm512_set1_epi8(15);
	const __m512i eights = _mm512_set1_epi8(8);
	__m512i		low = _mm512_setzero_si512();
	__m512i		high = _mm512_setzero_si512();
	__m512i		eightfold = _mm512_setzero_si512();
	int			bytes = D / 2;

	for (int i = 0; i < bytes; i += 64)
	{
		__mmask64	some = bytes - i >= 64 ? ~UINT64_C(0) : FIRST_BYTES(bytes - i);
		__m512i		x = _mm512_maskz_loadu_epi8(some, a + i);
		__m512i		y = _mm512_maskz_loadu_epi8(some, b + i);
		__m512i		x_low = _mm512_and_si512(x, nibble);
		__m512i		y_low = _mm512_and_si512(y, nibble);
		__m512i		x_high = _mm512_and_si512(_mm512_srli_epi16(x, 4), nibble);
		__m512i		y_high = _mm512_and_si512(_mm512_srli_epi16(y, 4), nibble);
		__m512i		sum = _mm512_add_epi8(_mm512_add_epi8(x_low, y_low), _mm512_add_epi8(x_high, y_high));

		low = _mm512_dpbusd_epi32(low, x_low, y_low);
		high = _mm512_dpbusd_epi32(high, x_high, y_high);
		eightfold = _mm512_dpbusd_epi32(eightfold, sum, eights);
	}
	return _mm512_reduce_add_epi32(_mm512_sub_epi32(_mm512_add_epi32(low, high), eightfold)) + 64 * D;
}

/* The sums of four vectors, less `excess` each. */
INLINE_AVX512 void
store_four_sums(__m512i a, __m512i b, __m512i c, __m512i d, int32_t excess, int32_t *sums)
{
	__m256i		ab = _mm256_hadd_epi32(_mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)),
									   _mm256_add_epi32(_mm512_castsi512_si256(b), _mm512_extracti64x4_epi64(b, 1)));
	__m256i		cd = _mm256_hadd_epi32(_mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1)),
									   _mm256_add_epi32(_mm512_castsi512_si256(d), _mm512_extracti64x4_epi64(d, 1)));
	__m256i		all = _mm256_hadd_epi32(ab, cd);
	__m128i		four = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));

	_mm_storeu_si128((__m128i *) sums, _mm_sub_epi32(four, _mm_set1_epi32(excess)));
}

/* What is unsigned are the codes, with 128 added: then the excess is of the query alone. */
TARGET_AVX512 static void
dots8_avx512(const void *query, const void *const *codes, int D, int32_t *dots)
{
	const __m512i top = _mm512_set1_epi8(-128);
	__m512i		products[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(),
	_mm512_setzero_si512(), _mm512_setzero_si512()};
	__m512i		excess = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= D; i += 64)
	{
		__m512i		y = _mm512_loadu_si512((const int8_t *) query + i);

		excess = _mm512_dpbusd_epi32(excess, top, y);
		for (int k = 0; k < 4; k++)
			products[k] = _mm512_dpbusd_epi32(products[k], _mm512_xor_si512(_mm512_loadu_si512((const int8_t *) codes[k] + i), top), y);
	}
	if (i < D)
	{
		__mmask64	some = FIRST_BYTES(D - i);
		__m512i		y = _mm512_maskz_loadu_epi8(some, (const int8_t *) query + i);

		excess = _mm512_dpbusd_epi32(excess, top, y);
		for (int k = 0; k < 4; k++)
			products[k] = _mm512_dpbusd_epi32(products[k], _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, (const int8_t *) codes[k] + i), top), y);
	}
	store_four_sums(products[0], products[1], products[2], products[3], _mm512_reduce_add_epi32(excess), dots);
}

/* sum (u - 8) v = sum u v - 8 sum v, where v are the query's levels */
TARGET_AVX512 static void
dots4_avx512(const void *query, const void *const *codes, int D, int32_t *dots)
{
	const __m512i nibble = _mm512_set1_epi8(15);
	const __m512i eights = _mm512_set1_epi8(8);
	__m512i		products[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(),
	_mm512_setzero_si512(), _mm512_setzero_si512()};
	__m512i		excess = _mm512_setzero_si512();
	int			bytes = D / 2;

	for (int i = 0; i < bytes; i += 64)
	{
		__mmask64	some = bytes - i >= 64 ? ~UINT64_C(0) : FIRST_BYTES(bytes - i);
		__m512i		y = _mm512_maskz_loadu_epi8(some, (const int8_t *) query + i);
		__m512i		low = _mm512_maskz_sub_epi8(some, _mm512_and_si512(y, nibble), eights);
		__m512i		high = _mm512_maskz_sub_epi8(some, _mm512_and_si512(_mm512_srli_epi16(y, 4), nibble), eights);

		excess = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(excess, eights, low), eights, high);
		for (int k = 0; k < 4; k++)
		{
			__m512i		x = _mm512_maskz_loadu_epi8(some, (const uint8_t *) codes[k] + i);

			products[k] = _mm512_dpbusd_epi32(products[k], _mm512_and_si512(x, nibble), low);
			products[k] = _mm512_dpbusd_epi32(products[k], _mm512_and_si512(_mm512_srli_epi16(x, 4), nibble), high);
		}
	}
	store_four_sums(products[0], products[1], products[2], products[3], _mm512_reduce_add_epi32(excess), dots);
}

#endif							/* CORE_X86 */
