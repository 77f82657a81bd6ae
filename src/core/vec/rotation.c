/*
 * rotation.c
 *	  The seeded random rotation of rotation.h.
 *
 * Every form computes the very same additions and multiplications, in an order
 * that differs only where they do not depend on each other, and none of them
 * fused: the result is equal to the bit on every machine, so that an index
 * built on one reads as well on another.
 *
 * The scale 1/sqrt(T) is applied before the butterflies, together with the
 * signs.  No intermediate value then exceeds the norm of the input, and a
 * vector whose norm a float can hold never overflows on the way.
 */
#include "core/vec/rotation.h"

#include <math.h>
#include <string.h>

#include "core/assert.h"
#include "core/vec/cpu.h"

#ifdef CORE_X86
#include <immintrin.h>
#endif

#define ROUNDS 4
#define SQRT_HALF 0.70710678118654752440f

/* One round, in place: see rotation.h.  at is the first of the T coordinates. */
typedef void (*RoundForm) (float *x, const uint32_t *signs, int D, int T, int at, float scale);

static void round_scalar(float *x, const uint32_t *signs, int D, int T, int at, float scale);

#ifdef CORE_X86
static void round_avx2(float *x, const uint32_t *signs, int D, int T, int at, float scale);
static void round_avx512(float *x, const uint32_t *signs, int D, int T, int at, float scale);
#endif

static const RoundForm round_forms[] = {
	[CPU_SCALAR] = round_scalar,
#ifdef CORE_X86
	[CPU_AVX2] = round_avx2,
	[CPU_AVX512] = round_avx512,
#endif
};

_Static_assert(sizeof(Rotation) == 16, "rotation_size() leaves no room between fields and signs");

/* Is out as long as x?  Squares of tiny or huge coordinates are not asked. */
static bool
keeps_length(const Rotation *self, const float *x, const float *out)
{
	double		before = 0;
	double		after = 0;

	for (int i = 0; i < self->dim; i++)
		before += (double) x[i] * x[i];
	for (int i = 0; i < self->padded; i++)
		after += (double) out[i] * out[i];
	return !(before > 1e-30 && before < 1e30) || fabs(after / before - 1) < 1e-4;
}

size_t
rotation_size(int dim)
{
	return sizeof(Rotation) + sizeof(uint32_t) * ROUNDS * (size_t) rotation_padded(dim);
}

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014) */
static uint64_t
splitmix64(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

void
rotation_init(Rotation *self, int dim, uint64_t seed)
{
	uint64_t	state = seed;
	uint64_t	bits = 0;

	CORE_ASSERT(dim >= 1);
	self->dim = dim;
	self->padded = rotation_padded(dim);
	self->seed = seed;
	for (int i = 0; i < ROUNDS * self->padded; i++)
	{
		if (i % 64 == 0)
			bits = splitmix64(&state);
		self->signs[i] = (uint32_t) (bits & 1) << 31;
		bits >>= 1;
	}
}

void
rotation_apply(const Rotation *self, const float *x, float *out)
{
	int			D = self->padded;
	int			T = 1;
	float		scale;
	RoundForm	round_form = round_forms[cpu_level_in_force()];

	CORE_ASSERT(self->dim >= 1 && D == rotation_padded(self->dim));
	CORE_ASSERT(x + self->dim <= out || out + D <= x);
	while (T * 2 <= D)
		T *= 2;
	scale = (float) (1 / sqrt((double) T));

	memcpy(out, x, sizeof(float) * (size_t) self->dim);
	memset(out + self->dim, 0, sizeof(float) * (size_t) (D - self->dim));
	for (int round = 0; round < ROUNDS; round++)
		round_form(out, self->signs + (size_t) round * D, D, T,
				   round % 2 == 0 ? 0 : D - T, scale);
	CORE_ASSERT(keeps_length(self, x, out));
}

static inline float
flip_sign(float f, uint32_t sign)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof bits);
	bits ^= sign;
	memcpy(&f, &bits, sizeof f);
	return f;
}

static void
round_scalar(float *x, const uint32_t *signs, int D, int T, int at, float scale)
{
	for (int i = 0; i < D; i++)
		x[i] = flip_sign(x[i], signs[i]);
	for (int i = at; i < at + T; i++)
		x[i] *= scale;

	for (int width = 1; width < T; width *= 2)
	{
		for (int i = at; i < at + T; i += 2 * width)
		{
			for (int j = i; j < i + width; j++)
			{
				float		a = x[j];
				float		b = x[j + width];

				x[j] = a + b;
				x[j + width] = a - b;
			}
		}
	}

	if (T < D)
	{
		for (int i = 0; i < D / 2; i++)
		{
			float		a = x[i];
			float		b = x[i + D / 2];

			x[i] = (a + b) * SQRT_HALF;
			x[i + D / 2] = (a - b) * SQRT_HALF;
		}
	}
}

#ifdef CORE_X86

/*
 * The vector forms.  A first pass applies signs and scale and does all levels
 * of butterflies that fit into registers: inside vectors, then between them.
 * Further passes do two or three levels each.
 *
 * Inside a vector, the butterfly of width w makes lane j from lanes j and
 * j ^ w: partner + own where j & w is 0, partner - own where it is not.  As a
 * fused multiplication by 1 or -1 that is one instruction, and rounds like
 * the addition, since the product is exact.
 */

#define INLINE_AVX2 TARGET_AVX2 static inline __attribute__((always_inline))
#define INLINE_AVX512 TARGET_AVX512 static inline __attribute__((always_inline))

#define BUTTERFLY(ADD, SUB, TYPE, a, b) \
	do \
	{ \
		TYPE		a_ = a; \
\
		a = ADD(a_, b); \
		b = SUB(a_, b); \
	} while (0)

#define CROSS8(a, b) BUTTERFLY(_mm256_add_ps, _mm256_sub_ps, __m256, a, b)
#define CROSS16(a, b) BUTTERFLY(_mm512_add_ps, _mm512_sub_ps, __m512, a, b)

/* Butterflies between 2, 4 or 8 vectors, narrowest first */
#define CROSS_2(CROSS, v) CROSS(v[0], v[1])
#define CROSS_4(CROSS, v) \
	do \
	{ \
		CROSS(v[0], v[1]); \
		CROSS(v[2], v[3]); \
		CROSS(v[0], v[2]); \
		CROSS(v[1], v[3]); \
	} while (0)
#define CROSS_8(CROSS, v) \
	do \
	{ \
		CROSS_4(CROSS, v); \
		CROSS_4(CROSS, (v + 4)); \
		CROSS(v[0], v[4]); \
		CROSS(v[1], v[5]); \
		CROSS(v[2], v[6]); \
		CROSS(v[3], v[7]); \
	} while (0)

/* Signs outside the T coordinates that are transformed */
TARGET_AVX2 static void
flip_outside(float *x, const uint32_t *signs, int D, int T, int at)
{
	int			from = at == 0 ? T : 0;
	int			to = at == 0 ? D : at;

	for (int i = from; i < to; i += 8)
		_mm256_storeu_ps(x + i, _mm256_xor_ps(_mm256_loadu_ps(x + i),
											  _mm256_loadu_ps((const float *) signs + i)));
}

/* The step between halves; D / 2 is a multiple of 4 */
TARGET_AVX2 static void
kac_step(float *x, int D)
{
	float	   *y = x + D / 2;
	int			i = 0;

	for (; i + 8 <= D / 2; i += 8)
	{
		__m256		a = _mm256_loadu_ps(x + i);
		__m256		b = _mm256_loadu_ps(y + i);

		_mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_add_ps(a, b), _mm256_set1_ps(SQRT_HALF)));
		_mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_sub_ps(a, b), _mm256_set1_ps(SQRT_HALF)));
	}
	if (i < D / 2)
	{
		__m128		a = _mm_loadu_ps(x + i);
		__m128		b = _mm_loadu_ps(y + i);

		_mm_storeu_ps(x + i, _mm_mul_ps(_mm_add_ps(a, b), _mm_set1_ps(SQRT_HALF)));
		_mm_storeu_ps(y + i, _mm_mul_ps(_mm_sub_ps(a, b), _mm_set1_ps(SQRT_HALF)));
	}
}

/* Eight coordinates with signs and scale, butterflies of widths 1, 2, 4 done */
INLINE_AVX2 __m256
start_8(const float *x, const uint32_t *signs, __m256 scale)
{
	const __m256 ones_1 = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
	const __m256 ones_2 = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
	const __m256 ones_4 = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
	__m256		v = _mm256_xor_ps(_mm256_loadu_ps(x), _mm256_loadu_ps((const float *) signs));

	v = _mm256_mul_ps(v, scale);
	KEEP_ROUNDED(v);
	v = _mm256_fmadd_ps(v, ones_1, _mm256_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1)));
	v = _mm256_fmadd_ps(v, ones_2, _mm256_permute_ps(v, _MM_SHUFFLE(1, 0, 3, 2)));
	v = _mm256_fmadd_ps(v, ones_4, _mm256_permute2f128_ps(v, v, 1));
	return v;
}

#define FIRST_PASS_8(COUNT, CROSS_COUNT) \
	do \
	{ \
		for (int i = 0; i < T; i += 8 * COUNT) \
		{ \
			__m256		v[COUNT]; \
\
			for (int k = 0; k < COUNT; k++) \
				v[k] = start_8(x + i + 8 * k, signs + i + 8 * k, scale); \
			CROSS_COUNT; \
			for (int k = 0; k < COUNT; k++) \
				_mm256_storeu_ps(x + i + 8 * k, v[k]); \
		} \
	} while (0)

/* Butterflies of widths `width`, 2 width, .. COUNT / 2 width */
#define FURTHER_PASS_8(COUNT, CROSS_COUNT) \
	do \
	{ \
		for (int i = 0; i < T; i += COUNT * width) \
		{ \
			for (int j = i; j < i + width; j += 8) \
			{ \
				__m256		v[COUNT]; \
\
				for (int k = 0; k < COUNT; k++) \
					v[k] = _mm256_loadu_ps(x + j + k * width); \
				CROSS_COUNT; \
				for (int k = 0; k < COUNT; k++) \
					_mm256_storeu_ps(x + j + k * width, v[k]); \
			} \
		} \
	} while (0)

TARGET_AVX2 static void
transform_avx2(float *x, const uint32_t *signs, int T, __m256 scale)
{
	int			width;

	if (T >= 64)
		FIRST_PASS_8(8, CROSS_8(CROSS8, v));
	else if (T == 32)
		FIRST_PASS_8(4, CROSS_4(CROSS8, v));
	else if (T == 16)
		FIRST_PASS_8(2, CROSS_2(CROSS8, v));
	else
		FIRST_PASS_8(1, (void) 0);

	for (width = 64; width < T;)
	{
		if (T / width == 2)
		{
			FURTHER_PASS_8(2, CROSS_2(CROSS8, v));
			width *= 2;
		}
		else if (T / width == 4 || T / width == 16)
		{
			FURTHER_PASS_8(4, CROSS_4(CROSS8, v));
			width *= 4;
		}
		else
		{
			FURTHER_PASS_8(8, CROSS_8(CROSS8, v));
			width *= 8;
		}
	}
}

TARGET_AVX2 static void
round_avx2(float *x, const uint32_t *signs, int D, int T, int at, float scale)
{
	transform_avx2(x + at, signs + at, T, _mm256_set1_ps(scale));
	if (T < D)
	{
		flip_outside(x, signs, D, T, at);
		kac_step(x, D);
	}
}

/* Sixteen coordinates, butterflies of widths 1, 2, 4, 8 done */
INLINE_AVX512 __m512
start_16(const float *x, const uint32_t *signs, __m512 scale)
{
	const __m512 ones_1 = _mm512_setr_ps(1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1);
	const __m512 ones_2 = _mm512_setr_ps(1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1);
	const __m512 ones_4 = _mm512_setr_ps(1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1);
	const __m512 ones_8 = _mm512_setr_ps(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
	__m512		v = _mm512_xor_ps(_mm512_loadu_ps(x), _mm512_loadu_ps((const float *) signs));

	v = _mm512_mul_ps(v, scale);
	KEEP_ROUNDED(v);
	v = _mm512_fmadd_ps(v, ones_1, _mm512_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1)));
	v = _mm512_fmadd_ps(v, ones_2, _mm512_permute_ps(v, _MM_SHUFFLE(1, 0, 3, 2)));
	v = _mm512_fmadd_ps(v, ones_4, _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(2, 3, 0, 1)));
	v = _mm512_fmadd_ps(v, ones_8, _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(1, 0, 3, 2)));
	return v;
}

#define FIRST_PASS_16(COUNT, CROSS_COUNT) \
	do \
	{ \
		for (int i = 0; i < T; i += 16 * COUNT) \
		{ \
			__m512		v[COUNT]; \
\
			for (int k = 0; k < COUNT; k++) \
				v[k] = start_16(x + i + 16 * k, signs + i + 16 * k, scale); \
			CROSS_COUNT; \
			for (int k = 0; k < COUNT; k++) \
				_mm512_storeu_ps(x + i + 16 * k, v[k]); \
		} \
	} while (0)

#define FURTHER_PASS_16(COUNT, CROSS_COUNT) \
	do \
	{ \
		for (int i = 0; i < T; i += COUNT * width) \
		{ \
			for (int j = i; j < i + width; j += 16) \
			{ \
				__m512		v[COUNT]; \
\
				for (int k = 0; k < COUNT; k++) \
					v[k] = _mm512_loadu_ps(x + j + k * width); \
				CROSS_COUNT; \
				for (int k = 0; k < COUNT; k++) \
					_mm512_storeu_ps(x + j + k * width, v[k]); \
			} \
		} \
	} while (0)

TARGET_AVX512 static void
transform_avx512(float *x, const uint32_t *signs, int T, __m512 scale)
{
	int			width;

	if (T >= 128)
		FIRST_PASS_16(8, CROSS_8(CROSS16, v));
	else if (T == 64)
		FIRST_PASS_16(4, CROSS_4(CROSS16, v));
	else if (T == 32)
		FIRST_PASS_16(2, CROSS_2(CROSS16, v));
	else
		FIRST_PASS_16(1, (void) 0);

	for (width = 128; width < T;)
	{
		if (T / width == 2)
		{
			FURTHER_PASS_16(2, CROSS_2(CROSS16, v));
			width *= 2;
		}
		else if (T / width == 4 || T / width == 16)
		{
			FURTHER_PASS_16(4, CROSS_4(CROSS16, v));
			width *= 4;
		}
		else
		{
			FURTHER_PASS_16(8, CROSS_8(CROSS16, v));
			width *= 8;
		}
	}
}

TARGET_AVX512 static void
round_avx512(float *x, const uint32_t *signs, int D, int T, int at, float scale)
{
	if (T == 8)
	{
		round_avx2(x, signs, D, T, at, scale);
		return;
	}
	transform_avx512(x + at, signs + at, T, _mm512_set1_ps(scale));
	if (T < D)
	{
		flip_outside(x, signs, D, T, at);
		kac_step(x, D);
	}
}

#endif							/* CORE_X86 */
