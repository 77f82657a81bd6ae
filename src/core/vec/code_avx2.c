/*
 * code_avx2.c
 *	  The kernels of code.c for AVX2, FMA and F16C.
 */
#include "core/vec/code_forms.h"

#ifdef CORE_X86

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define TARGET TARGET_AVX2
#define INLINE TARGET_AVX2 static inline __attribute__((always_inline))

/* ---- encoding ---- */

typedef __m256 Vector;

#define vec_zero() _mm256_setzero_ps()
#define vec_set(f) _mm256_set1_ps(f)
#define vec_load_f32(p) _mm256_loadu_ps(p)
#define vec_add(x, y) _mm256_add_ps(x, y)
#define vec_sub(x, y) _mm256_sub_ps(x, y)
#define vec_mul_add(x, y, sum) _mm256_fmadd_ps(x, y, sum)
#define vec_abs(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)
#define vec_max(x, y) _mm256_max_ps(x, y)
#define vec_min(x, y) _mm256_min_ps(x, y)

INLINE Vector
vec_mul_rounded(Vector x, Vector y)
{
	Vector		product = _mm256_mul_ps(x, y);

	KEEP_ROUNDED(product);
	return product;
}

INLINE float
vec_sum(Vector v)
{
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	x = _mm_add_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

/* Eight levels, 0 .. 255 in 32 bits each, as bytes */
INLINE void
put_levels(uint8_t *u, __m256i level)
{
	__m128i		words = _mm_packus_epi32(_mm256_castsi256_si128(level),
										 _mm256_extracti128_si256(level, 1));

	_mm_storel_epi64((__m128i *) u, _mm_packus_epi16(words, words));
}

INLINE Vector
vec_put_signs(uint8_t *u, Vector r, Vector at)
{
	Vector		above = _mm256_cmp_ps(r, _mm256_setzero_ps(), _CMP_GT_OQ);

	put_levels(u, _mm256_srli_epi32(_mm256_castps_si256(above), 31));
	return _mm256_xor_ps(at, _mm256_andnot_ps(above, _mm256_set1_ps(-0.0f)));
}

INLINE Vector
vec_put_whole(uint8_t *u, Vector level)
{
	__m256i		whole = _mm256_cvttps_epi32(level);

	put_levels(u, whole);
	return _mm256_cvtepi32_ps(whole);
}

#include "core/vec/code_encode.h"

/* ---- preparing a query ---- */

TARGET static void
query_size(int dc, const float *q, float *widest, double *total)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	__m256		most = _mm256_setzero_ps();
	__m256d		low = _mm256_setzero_pd();
	__m256d		high = _mm256_setzero_pd();
	__m128		x;

	for (int i = 0; i < dc; i += 8)
	{
		__m256		size = _mm256_andnot_ps(sign, _mm256_loadu_ps(q + i));
		__m256		sum = _mm256_add_ps(size, _mm256_permute_ps(size, _MM_SHUFFLE(2, 3, 0, 1)));

		sum = _mm256_add_ps(sum, _mm256_permute_ps(sum, _MM_SHUFFLE(1, 0, 3, 2)));
		most = _mm256_max_ps(most, sum);
		low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(size)));
		high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(size, 1)));
	}
	x = _mm_max_ss(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
	*widest = _mm_cvtss_f32(x);
	low = _mm256_add_pd(low, high);
	*total = (low[0] + low[2]) + (low[1] + low[3]);
}

/*
 * In arithmetic modulo 2^16, entry m is the sum of the negative coordinates'
 * sizes plus the signed sizes of the coordinates in m.  A byte shuffle spreads
 * coordinate b over the entries whose m has bit b, with zeros elsewhere.
 */
INLINE __m256i
query_group(__m256i four_words, __m256i base)
{
#define WORD(m, b) (char) ((m) >> (b) & 1 ? 2 * (b) : -128), (char) ((m) >> (b) & 1 ? 2 * (b) + 1 : -128)
#define WORDS(m, b) WORD(m, b), WORD(m + 1, b), WORD(m + 2, b), WORD(m + 3, b), \
	WORD(m + 4, b), WORD(m + 5, b), WORD(m + 6, b), WORD(m + 7, b)
#define SPREAD(b) _mm256_shuffle_epi8(four_words, _mm256_setr_epi8(WORDS(0, b), WORDS(8, b)))
	__m256i		sum = _mm256_add_epi16(_mm256_add_epi16(SPREAD(0), SPREAD(1)),
									   _mm256_add_epi16(SPREAD(2), SPREAD(3)));

	return _mm256_srli_epi16(_mm256_add_epi16(sum, base), 8);
#undef SPREAD
#undef WORDS
#undef WORD
}

TARGET static void
query_table(int dc, const float *q, float scale, uint8_t *table)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	const __m256i low_words = _mm256_set1_epi32(0xFFFF);
	const __m256i half = _mm256_set1_epi16(128);

	for (int i = 0; i < dc; i += 8)
	{
		__m256		x = _mm256_loadu_ps(q + i);
		__m256i		negative = _mm256_castps_si256(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
		__m256i		size = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(scale)));
		__m256i		signed_size = _mm256_sub_epi32(_mm256_xor_si256(size, negative), negative);
		__m256i		below = _mm256_and_si256(size, negative);
		__m256i		base;
		__m256i		first;
		__m256i		second;

		/* the first group's words are in the lower half, the second's in the upper */
		signed_size = _mm256_and_si256(signed_size, low_words);
		signed_size = _mm256_packus_epi32(signed_size, signed_size);
		base = _mm256_packus_epi32(below, below);
		base = _mm256_hadd_epi16(base, base);
		base = _mm256_hadd_epi16(base, base);
		base = _mm256_add_epi16(base, half);

		first = query_group(_mm256_permute4x64_epi64(signed_size, 0x00),
							_mm256_permute4x64_epi64(base, 0x00));
		second = query_group(_mm256_permute4x64_epi64(signed_size, 0xAA),
							 _mm256_permute4x64_epi64(base, 0xAA));
		_mm256_store_si256((__m256i *) (table + 4 * (size_t) i),
						   _mm256_permute4x64_epi64(_mm256_packus_epi16(first, second), 0xD8));
	}
}

/* ---- scanning ---- */

/*
 * Sums of bytes in 16-bit lanes.  `both` adds whole words, an even slot's byte
 * plus 256 times the odd one's, modulo 2^16; `odd` adds the odd bytes alone.
 * As long as no sum of bytes passes 65,535 the even sum is both - 256 * odd.
 */
typedef struct Words
{
	__m256i		both_low;
	__m256i		odd_low;
	__m256i		both_high;
	__m256i		odd_high;
} Words;

/* Sums of 32 slots, in their order */
typedef struct Sums
{
	__m256i		eight[4];
} Sums;

INLINE void
add_pair(Words *words, const uint8_t *block, const uint8_t *table)
{
	const __m256i nibble = _mm256_set1_epi8(15);
	__m256i		code = _mm256_loadu_si256((const __m256i *) block);
	__m256i		entry = _mm256_load_si256((const __m256i *) table);
	__m256i		low = _mm256_shuffle_epi8(entry, _mm256_and_si256(code, nibble));
	__m256i		high = _mm256_shuffle_epi8(entry, _mm256_and_si256(_mm256_srli_epi16(code, 4), nibble));

	words->both_low = _mm256_add_epi16(words->both_low, low);
	words->odd_low = _mm256_add_epi16(words->odd_low, _mm256_srli_epi16(low, 8));
	words->both_high = _mm256_add_epi16(words->both_high, high);
	words->odd_high = _mm256_add_epi16(words->odd_high, _mm256_srli_epi16(high, 8));
}

INLINE void
add_pairs(Words *words, const uint8_t *block, const uint8_t *table, int pairs)
{
	for (; pairs >= 2; pairs -= 2)
	{
		add_pair(words, block, table);
		add_pair(words, block + 32, table + 32);
		block += 64;
		table += 64;
	}
	if (pairs > 0)
		add_pair(words, block, table);
}

INLINE Words
no_words(void)
{
	__m256i		zero = _mm256_setzero_si256();

	return (Words) {zero, zero, zero, zero};
}

INLINE __m256i
widen(__m256i words)
{
	return _mm256_add_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(words)),
							_mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1)));
}

INLINE void
add_words(Sums *sums, const Words *words, int shift)
{
	__m128i		by = _mm_cvtsi32_si128(shift);
	__m256i		even_low = _mm256_sub_epi16(words->both_low, _mm256_slli_epi16(words->odd_low, 8));
	__m256i		even_high = _mm256_sub_epi16(words->both_high, _mm256_slli_epi16(words->odd_high, 8));

	sums->eight[0] = _mm256_add_epi32(sums->eight[0], _mm256_sll_epi32(widen(even_low), by));
	sums->eight[1] = _mm256_add_epi32(sums->eight[1], _mm256_sll_epi32(widen(words->odd_low), by));
	sums->eight[2] = _mm256_add_epi32(sums->eight[2], _mm256_sll_epi32(widen(even_high), by));
	sums->eight[3] = _mm256_add_epi32(sums->eight[3], _mm256_sll_epi32(widen(words->odd_high), by));
}

INLINE void
double_words(Words *words)
{
	words->both_low = _mm256_add_epi16(words->both_low, words->both_low);
	words->odd_low = _mm256_add_epi16(words->odd_low, words->odd_low);
	words->both_high = _mm256_add_epi16(words->both_high, words->both_high);
	words->odd_high = _mm256_add_epi16(words->odd_high, words->odd_high);
}

INLINE Sums
no_sums(void)
{
	Sums		sums;

	for (int k = 0; k < 4; k++)
		sums.eight[k] = _mm256_setzero_si256();
	return sums;
}

#include "core/vec/code_scan.h"

TARGET static void
scan(const CodeQuery *self, const uint8_t *block, uint32_t *acc)
{
	Sums		sums = scan_block(self, block);

	for (int k = 0; k < 4; k++)
		_mm256_storeu_si256((__m256i *) (acc + 8 * k), sums.eight[k]);
}

INLINE __m256
load_factors(const bfloat16 *p)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) p)), 16));
}

TARGET static uint32_t
estimate(const CodeQuery *self, const uint8_t *block, float own,
		 const bfloat16 *f_add, const bfloat16 *f_mul, float limit, float *est)
{
	uint32_t	below = 0;
	Sums		sums = scan_block(self, block);
	__m256		delta = _mm256_set1_ps(self->delta);
	__m256		base = _mm256_set1_ps(self->base);

	for (int k = 0; k < 4; k++)
	{
		__m256		dot = _mm256_fmadd_ps(delta, _mm256_cvtepi32_ps(sums.eight[k]), base);
		__m256		fixed = _mm256_add_ps(_mm256_set1_ps(own), load_factors(f_add + 8 * k));

		__m256		all = _mm256_fmadd_ps(load_factors(f_mul + 8 * k), dot, fixed);

		_mm256_storeu_ps(est + 8 * k, all);
		below |= (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(all, _mm256_set1_ps(limit), _CMP_NGE_UQ)) << 8 * k;
	}
	return below;
}

const CodeForms code_forms_avx2 = {
	.encode = encode,
	.query_size = query_size,
	.query_table = query_table,
	.scan = scan,
	.estimate = estimate,
};

#endif							/* CORE_X86 */
