/*
 * rotation_avx2.c
 *	  A round of the rotation for AVX2 and FMA.
 */
#include "core/vec/rotation_forms.h"

#ifdef CORE_X86

#include <immintrin.h>

#define TARGET TARGET_AVX2
#define INLINE TARGET_AVX2 static inline __attribute__((always_inline))

typedef __m256 Vector;

#define WIDTH 8

#define vec_set(f) _mm256_set1_ps(f)
#define vec_load_f32(p) _mm256_loadu_ps(p)
#define vec_store(p, v) _mm256_storeu_ps(p, v)
#define vec_add(x, y) _mm256_add_ps(x, y)
#define vec_sub(x, y) _mm256_sub_ps(x, y)

/* Eight coordinates with signs and scale, butterflies of widths 1, 2, 4 done */
INLINE Vector
start(const float *x, const uint32_t *signs, Vector scale)
{
	const __m256 ones_1 = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
	const __m256 ones_2 = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
	const __m256 ones_4 = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
	Vector		v = _mm256_xor_ps(_mm256_loadu_ps(x), _mm256_loadu_ps((const float *) signs));

	v = _mm256_mul_ps(v, scale);
	KEEP_ROUNDED(v);
	v = _mm256_fmadd_ps(v, ones_1, _mm256_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1)));
	v = _mm256_fmadd_ps(v, ones_2, _mm256_permute_ps(v, _MM_SHUFFLE(1, 0, 3, 2)));
	v = _mm256_fmadd_ps(v, ones_4, _mm256_permute2f128_ps(v, v, 1));
	return v;
}

#include "core/vec/rotation_passes.h"

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

TARGET_AVX2 void
rotation_finish_avx2(float *x, const uint32_t *signs, int D, int T, int at)
{
	flip_outside(x, signs, D, T, at);
	kac_step(x, D);
}

TARGET_AVX2 void
rotation_round_avx2(float *x, const uint32_t *signs, int D, int T, int at, float scale)
{
	transform(x + at, signs + at, T, scale);
	if (T < D)
		rotation_finish_avx2(x, signs, D, T, at);
}

#endif							/* CORE_X86 */
