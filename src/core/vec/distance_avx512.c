/*
 * distance_avx512.c
 *	  Distance kernels for AVX-512.
 */
#include "core/vec/distance_forms.h"

#ifdef CORE_X86

#include <immintrin.h>

#define TARGET TARGET_AVX512

typedef __m512 Vector;

#define WIDTH 16

/* n ones, 0 < n < 32 or 64 */
#define FIRST(n) ((UINT32_C(1) << (n)) - 1)
#define FIRST_BYTES(n) ((UINT64_C(1) << (n)) - 1)

#define vec_zero() _mm512_setzero_ps()
#define vec_add(x, y) _mm512_add_ps(x, y)
#define vec_sub(x, y) _mm512_sub_ps(x, y)
#define vec_mul_add(x, y, sum) _mm512_fmadd_ps(x, y, sum)
#define vec_abs(x) _mm512_abs_ps(x)
#define vec_sum(x) _mm512_reduce_add_ps(x)
#define vec_load_f32(p) _mm512_loadu_ps(p)
#define vec_load_f16(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) (p)))
#define vec_load_some_f32(p, n) _mm512_maskz_loadu_ps((__mmask16) FIRST(n), p)
#define vec_load_some_f16(p, n) _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((__mmask16) FIRST(n), p))

#define vec_set(f) _mm512_set1_ps(f)
#define vec_mul_sub_from(x, y, z) _mm512_fnmadd_ps(x, y, z)

/* As for AVX2, for eight bytes of nibbles, or four and zeros */
TARGET_AVX512 static inline __attribute__((always_inline)) Vector
unpack_p12(__m128i high, __m128i low)
{
	__m128i		nibbles = _mm_cvtepu8_epi16(low);
	__m256i		v;

	nibbles = _mm_and_si128(_mm_or_si128(nibbles, _mm_slli_epi16(nibbles, 4)), _mm_set1_epi8(15));
	v = _mm256_slli_epi16(_mm256_cvtepi8_epi16(high), 4);
	v = _mm256_or_si256(v, _mm256_cvtepu8_epi16(nibbles));
	return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(v));
}

#define vec_load_p12(high, low) \
	unpack_p12(_mm_loadu_si128((const __m128i *) (high)), _mm_loadl_epi64((const __m128i *) (low)))
#define vec_load_eight_p12(high, low) \
	unpack_p12(_mm_loadl_epi64((const __m128i *) (high)), _mm_maskz_loadu_epi8(15, low))

#include "core/vec/distance_sums.h"

TARGET_AVX512 static uint64_t
count_xor(const uint8_t *a, const uint8_t *b, int bytes)
{
	__m512i		sum = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= bytes; i += 64)
		sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(a + i),
																		 _mm512_loadu_si512(b + i))));
	if (i < bytes)
	{
		__mmask64	some = FIRST_BYTES(bytes - i);

		sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_maskz_loadu_epi8(some, a + i),
																		 _mm512_maskz_loadu_epi8(some, b + i))));
	}
	return (uint64_t) _mm512_reduce_add_epi64(sum);
}

TARGET_AVX512 static void
count_and_or(const uint8_t *a, const uint8_t *b, int bytes,
			 uint64_t *both, uint64_t *either)
{
	__m512i		sum_both = _mm512_setzero_si512();
	__m512i		sum_either = _mm512_setzero_si512();

	for (int i = 0; i < bytes; i += 64)
	{
		__mmask64	some = bytes - i >= 64 ? ~UINT64_C(0) : FIRST_BYTES(bytes - i);
		__m512i		x = _mm512_maskz_loadu_epi8(some, a + i);
		__m512i		y = _mm512_maskz_loadu_epi8(some, b + i);

		sum_both = _mm512_add_epi64(sum_both, _mm512_popcnt_epi64(_mm512_and_si512(x, y)));
		sum_either = _mm512_add_epi64(sum_either, _mm512_popcnt_epi64(_mm512_or_si512(x, y)));
	}
	*both = (uint64_t) _mm512_reduce_add_epi64(sum_both);
	*either = (uint64_t) _mm512_reduce_add_epi64(sum_either);
}

const DistanceForms distance_forms_avx512 = {
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

#endif							/* CORE_X86 */
