/*
 * distance_avx2.c
 *	  Distance kernels for AVX2, FMA and F16C.
 */
#include "core/vec/distance_forms.h"

#ifdef CORE_X86

#include <immintrin.h>

#define TARGET TARGET_AVX2
#define INLINE TARGET_AVX2 static inline __attribute__((always_inline))

typedef __m256 Vector;

#define WIDTH 8

#define vec_zero() _mm256_setzero_ps()
#define vec_add(x, y) _mm256_add_ps(x, y)
#define vec_sub(x, y) _mm256_sub_ps(x, y)
#define vec_mul_add(x, y, sum) _mm256_fmadd_ps(x, y, sum)
#define vec_abs(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)
#define vec_load_f32(p) _mm256_loadu_ps(p)
#define vec_load_f16(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (p)))

INLINE float
vec_sum(Vector v)
{
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	x = _mm_add_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

/* Eight ones at offset 8 - n start with n of them */
static const int32_t first_lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

INLINE Vector
vec_load_some_f32(const float *p, int n)
{
	return _mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i *) (first_lanes + 8 - n)));
}

INLINE Vector
vec_load_some_f16(const half *p, int n)
{
	uint64_t	words[2];

	load_some_halves(p, n, words);
	return _mm256_cvtph_ps(_mm_set_epi64x((long long) words[1], (long long) words[0]));
}

#define vec_set(f) _mm256_set1_ps(f)
#define vec_mul_sub_from(x, y, z) _mm256_fnmadd_ps(x, y, z)

INLINE Vector
vec_load_p12(const uint8_t *high, const uint8_t *low)
{
	uint32_t	pairs;
	__m128i		nibbles;
	__m128i		v;

	memcpy(&pairs, low, sizeof pairs);
	/* a byte in 16 bits, its upper nibble moved to the upper byte */
	nibbles = _mm_cvtepu8_epi16(_mm_cvtsi32_si128((int) pairs));
	nibbles = _mm_and_si128(_mm_or_si128(nibbles, _mm_slli_epi16(nibbles, 4)), _mm_set1_epi8(15));
	v = _mm_slli_epi16(_mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *) high)), 4);
	v = _mm_or_si128(v, _mm_cvtepu8_epi16(nibbles));
	return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(v));
}

#define vec_load_eight_p12(high, low) vec_load_p12(high, low)

#include "core/vec/distance_sums.h"

/* Bits in each 64-bit lane: a table of 16 counts, looked up for each nibble */
INLINE __m256i
count_bits(__m256i v)
{
	const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
											0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
	const __m256i nibble = _mm256_set1_epi8(15);
	__m256i		low = _mm256_shuffle_epi8(counts, _mm256_and_si256(v, nibble));
	__m256i		high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));

	return _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
}

INLINE uint64_t
sum_counts(__m256i v)
{
	__m128i		x = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	return (uint64_t) _mm_cvtsi128_si64(x) + (uint64_t) _mm_extract_epi64(x, 1);
}

TARGET_AVX2 static uint64_t
count_xor(const uint8_t *a, const uint8_t *b, int bytes)
{
	__m256i		sum = _mm256_setzero_si256();
	uint64_t	count;
	int			i = 0;

	for (; i + 32 <= bytes; i += 32)
		sum = _mm256_add_epi64(sum, count_bits(_mm256_xor_si256(_mm256_loadu_si256((const __m256i *) (a + i)),
																_mm256_loadu_si256((const __m256i *) (b + i)))));
	count = sum_counts(sum);
	for (; i < bytes; i += 8)
		count += (uint64_t) __builtin_popcountll(load_bits(a + i, bytes - i) ^ load_bits(b + i, bytes - i));
	return count;
}

TARGET_AVX2 static void
count_and_or(const uint8_t *a, const uint8_t *b, int bytes,
			 uint64_t *both, uint64_t *either)
{
	__m256i		sum_both = _mm256_setzero_si256();
	__m256i		sum_either = _mm256_setzero_si256();
	uint64_t	n_both;
	uint64_t	n_either;
	int			i = 0;

	for (; i + 32 <= bytes; i += 32)
	{
		__m256i		x = _mm256_loadu_si256((const __m256i *) (a + i));
		__m256i		y = _mm256_loadu_si256((const __m256i *) (b + i));

		sum_both = _mm256_add_epi64(sum_both, count_bits(_mm256_and_si256(x, y)));
		sum_either = _mm256_add_epi64(sum_either, count_bits(_mm256_or_si256(x, y)));
	}
	n_both = sum_counts(sum_both);
	n_either = sum_counts(sum_either);
	for (; i < bytes; i += 8)
	{
		uint64_t	x = load_bits(a + i, bytes - i);
		uint64_t	y = load_bits(b + i, bytes - i);

		n_both += (uint64_t) __builtin_popcountll(x & y);
		n_either += (uint64_t) __builtin_popcountll(x | y);
	}
	*both = n_both;
	*either = n_either;
}

const DistanceForms distance_forms_avx2 = {
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
