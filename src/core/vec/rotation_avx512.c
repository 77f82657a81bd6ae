/*
 * rotation_avx512.c
 *	  A round of the rotation for AVX-512.
 */
#include "core/vec/rotation_forms.h"

#ifdef CORE_X86

#include <immintrin.h>

#define TARGET TARGET_AVX512
#define INLINE TARGET_AVX512 static inline __attribute__((always_inline))

typedef __m512 Vector;

#define WIDTH 16

#define vec_set(f) _mm512_set1_ps(f)
#define vec_load_f32(p) _mm512_loadu_ps(p)
#define vec_store(p, v) _mm512_storeu_ps(p, v)
#define vec_add(x, y) _mm512_add_ps(x, y)
#define vec_sub(x, y) _mm512_sub_ps(x, y)

/* Sixteen coordinates, butterflies of widths 1, 2, 4, 8 done */
INLINE Vector
start(const float *x, const uint32_t *signs, Vector scale)
{
	const __m512 ones_1 = _mm512_setr_ps(1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1);
	const __m512 ones_2 = _mm512_setr_ps(1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1);
	const __m512 ones_4 = _mm512_setr_ps(1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1);
	const __m512 ones_8 = _mm512_setr_ps(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
	Vector		v = _mm512_xor_ps(_mm512_loadu_ps(x), _mm512_loadu_ps((const float *) signs));

	v = _mm512_mul_ps(v, scale);
	KEEP_ROUNDED(v);
	v = _mm512_fmadd_ps(v, ones_1, _mm512_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1)));
	v = _mm512_fmadd_ps(v, ones_2, _mm512_permute_ps(v, _MM_SHUFFLE(1, 0, 3, 2)));
	v = _mm512_fmadd_ps(v, ones_4, _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(2, 3, 0, 1)));
	v = _mm512_fmadd_ps(v, ones_8, _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(1, 0, 3, 2)));
	return v;
}

#include "core/vec/rotation_passes.h"

TARGET_AVX512 void
rotation_round_avx512(float *x, const uint32_t *signs, int D, int T, int at, float scale)
{
	if (T == 8)
	{
		rotation_round_avx2(x, signs, D, T, at, scale);
		return;
	}
	transform(x + at, signs + at, T, scale);
	if (T < D)
		rotation_finish_avx2(x, signs, D, T, at);
}

#endif							/* CORE_X86 */
