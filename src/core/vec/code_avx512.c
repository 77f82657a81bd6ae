/*
 * code_avx512.c
 *	  The kernels of code.c for AVX-512.  The algorithms are those of
 *	  code_avx2.c, which explains them; here are the wider registers, and masks
 *	  for what is left over.
 */
#include "core/vec/code_forms.h"

#ifdef CORE_X86

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define INLINE_AVX512 TARGET_AVX512 static inline __attribute__((always_inline))

/* dc and D are multiples of 8: what is left after whole vectors is a half */
#define LOWER_HALF 0x00FF

/* ---- encoding ---- */

/* The order of code_forms.h: lane j is element j % 16 of vector j / 16 */
INLINE_AVX512 float
sum_lanes(__m512 first, __m512 second)
{
	__m512		sixteen = _mm512_add_ps(first, second);
	__m256		eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen),
									  _mm512_extractf32x8_ps(sixteen, 1));
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	x = _mm_add_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

INLINE_AVX512 __m512
square(__m512 r)
{
	__m512		rr = _mm512_mul_ps(r, r);

	KEEP_ROUNDED(rr);
	return rr;
}

TARGET_AVX512 static float
sum_of_squares(int n, const float *y, const float *c)
{
	__m512		first = _mm512_setzero_ps();
	__m512		second = _mm512_setzero_ps();

	for (int i = 0; i < n; i += 32)
	{
		int			left = n - i;
		__mmask16	low = left >= 16 ? 0xFFFF : LOWER_HALF;
		__mmask16	high = left >= 32 ? 0xFFFF : left >= 24 ? LOWER_HALF : 0;

		first = _mm512_add_ps(first, square(_mm512_sub_ps(_mm512_maskz_loadu_ps(low, y + i),
														  _mm512_maskz_loadu_ps(low, c + i))));
		if (high != 0)
			second = _mm512_add_ps(second, square(_mm512_sub_ps(_mm512_maskz_loadu_ps(high, y + i + 16),
																_mm512_maskz_loadu_ps(high, c + i + 16))));
	}
	return sum_lanes(first, second);
}

typedef struct Running
{
	__m512		rr;
	__m512		vr;
	__m512		vc;
	__m512		cr;
} Running;

/* v is 1/2 or -1/2: sum |r| and sum +-c are twice what is wanted */
INLINE_AVX512 void
step_1_bit(Running *sum, const float *y, const float *c, uint8_t *u, int i, __mmask16 m)
{
	__m512		at = _mm512_maskz_loadu_ps(m, c + i);
	__m512		r = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, y + i), at);
	__mmask16	above = _mm512_cmp_ps_mask(r, _mm512_setzero_ps(), _CMP_GT_OQ);
	__m128i		level = _mm_maskz_set1_epi8(above, 1);

	if (m == 0xFFFF)
		_mm_storeu_si128((__m128i *) (u + i), level);
	else
		_mm_storel_epi64((__m128i *) (u + i), level);
	sum->rr = _mm512_fmadd_ps(r, r, sum->rr);
	sum->cr = _mm512_fmadd_ps(at, r, sum->cr);
	sum->vr = _mm512_add_ps(sum->vr, _mm512_abs_ps(r));
	sum->vc = _mm512_add_ps(sum->vc, _mm512_mask_sub_ps(at, (__mmask16) ~above, _mm512_setzero_ps(), at));
}

INLINE_AVX512 void
step_more_bits(Running *sum, const float *y, const float *c, uint8_t *u, int i, __mmask16 m,
			   __m512 per_unit, __m512 middle, __m512 top, __m512 half_top)
{
	__m512		at = _mm512_maskz_loadu_ps(m, c + i);
	__m512		r = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, y + i), at);
	__m512		level = _mm512_mul_ps(r, per_unit);
	__m512i		whole;
	__m128i		bytes;
	__m512		v;

	KEEP_ROUNDED(level);
	level = _mm512_add_ps(level, middle);
	level = _mm512_min_ps(_mm512_max_ps(level, _mm512_setzero_ps()), top);
	whole = _mm512_cvttps_epi32(level);
	bytes = _mm512_cvtepi32_epi8(whole);
	if (m == 0xFFFF)
		_mm_storeu_si128((__m128i *) (u + i), bytes);
	else
		_mm_storel_epi64((__m128i *) (u + i), bytes);
	v = _mm512_sub_ps(_mm512_cvtepi32_ps(whole), half_top);

	/* where masked, r and c are 0 and add nothing whatever v is */
	sum->cr = _mm512_fmadd_ps(at, r, sum->cr);
	sum->vr = _mm512_fmadd_ps(v, r, sum->vr);
	sum->vc = _mm512_fmadd_ps(v, at, sum->vc);
}

INLINE_AVX512 void
step_uncoded(Running *sum, const float *y, const float *c, int i, __mmask16 m)
{
	__m512		at = _mm512_maskz_loadu_ps(m, c + i);
	__m512		r = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, y + i), at);

	sum->rr = _mm512_fmadd_ps(r, r, sum->rr);
	sum->cr = _mm512_fmadd_ps(at, r, sum->cr);
}

TARGET_AVX512 static bool
encode(int bits, int dc, int D, const float *y, const float *c,
	   uint8_t *u, EncodeSums *sums)
{
	__m512		zero = _mm512_setzero_ps();
	Running		a = {zero, zero, zero, zero};
	Running		b = {zero, zero, zero, zero};
	float		rr = 0;
	int			i = 0;

	if (bits == 1)
	{
		for (; i + 32 <= dc; i += 32)
		{
			step_1_bit(&a, y, c, u, i, 0xFFFF);
			step_1_bit(&b, y, c, u, i + 16, 0xFFFF);
		}
		for (; i + 16 <= dc; i += 16)
			step_1_bit(&a, y, c, u, i, 0xFFFF);
		if (i < dc)
			step_1_bit(&b, y, c, u, i, LOWER_HALF);
	}
	else
	{
		__m512		middle = _mm512_set1_ps((float) (1 << (bits - 1)));
		__m512		top = _mm512_set1_ps((float) ((1 << bits) - 1));
		__m512		half_top = _mm512_set1_ps((float) ((1 << bits) - 1) / 2);
		__m512		per_unit;

		rr = sum_of_squares(dc, y, c);
		if (!(rr >= SAFE_LEAST && rr <= SAFE_MOST))
			return false;
		per_unit = _mm512_set1_ps(1 / (sqrtf(rr / (float) dc) * code_step(bits)));
		for (; i + 32 <= dc; i += 32)
		{
			step_more_bits(&a, y, c, u, i, 0xFFFF, per_unit, middle, top, half_top);
			step_more_bits(&b, y, c, u, i + 16, 0xFFFF, per_unit, middle, top, half_top);
		}
		for (; i + 16 <= dc; i += 16)
			step_more_bits(&a, y, c, u, i, 0xFFFF, per_unit, middle, top, half_top);
		if (i < dc)
			step_more_bits(&b, y, c, u, i, LOWER_HALF, per_unit, middle, top, half_top);
	}

	for (i = dc; i + 16 <= D; i += 16)
		step_uncoded(&a, y, c, i, 0xFFFF);
	if (i < D)
		step_uncoded(&b, y, c, i, LOWER_HALF);

	sums->rr = rr + sum_lanes(a.rr, b.rr);
	sums->vr = sum_lanes(a.vr, b.vr) * (bits == 1 ? 0.5f : 1);
	sums->vc = sum_lanes(a.vc, b.vc) * (bits == 1 ? 0.5f : 1);
	sums->cr = sum_lanes(a.cr, b.cr);

	/* the residual may be small beside a huge c */
	return sums->rr >= SAFE_LEAST && sums->rr <= SAFE_MOST &&
		isfinite(sums->vc) && isfinite(sums->cr);
}

/* ---- preparing a query: once for a search, and AVX2 does it as well ---- */

static void
query_size(int dc, const float *q, float *widest, double *total)
{
	code_forms_avx2.query_size(dc, q, widest, total);
}

static void
query_table(int dc, const float *q, float scale, uint8_t *table)
{
	code_forms_avx2.query_table(dc, q, scale, table);
}

/* ---- scanning ---- */

typedef struct Words
{
	__m512i		both_low;
	__m512i		odd_low;
	__m512i		both_high;
	__m512i		odd_high;
} Words;

typedef struct Sums
{
	__m512i		sixteen[2];
} Sums;

INLINE_AVX512 void
add_entries(Words *words, __m512i code, __m512i entry)
{
	const __m512i nibble = _mm512_set1_epi8(15);
	__m512i		low = _mm512_shuffle_epi8(entry, _mm512_and_si512(code, nibble));
	__m512i		high = _mm512_shuffle_epi8(entry, _mm512_and_si512(_mm512_srli_epi16(code, 4), nibble));

	words->both_low = _mm512_add_epi16(words->both_low, low);
	words->odd_low = _mm512_add_epi16(words->odd_low, _mm512_srli_epi16(low, 8));
	words->both_high = _mm512_add_epi16(words->both_high, high);
	words->odd_high = _mm512_add_epi16(words->odd_high, _mm512_srli_epi16(high, 8));
}

/* Four groups at a time; two may be left over */
INLINE_AVX512 void
add_groups(Words *words, const uint8_t *block, const uint8_t *table, int groups)
{
	for (; groups >= 4; groups -= 4)
	{
		add_entries(words, _mm512_loadu_si512(block), _mm512_load_si512(table));
		block += 64;
		table += 64;
	}
	if (groups > 0)
		add_entries(words, _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *) block)),
					_mm512_zextsi256_si512(_mm256_load_si256((const __m256i *) table)));
}

INLINE_AVX512 Words
no_words(void)
{
	__m512i		zero = _mm512_setzero_si512();

	return (Words) {zero, zero, zero, zero};
}

/* Eight 32-bit sums over the four quarters of 16-bit lanes */
INLINE_AVX512 __m256i
widen(__m512i words)
{
	__m512i		sum = _mm512_add_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(words)),
									   _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(words, 1)));

	return _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
}

INLINE_AVX512 void
add_words(Sums *sums, const Words *words, int shift)
{
	__m128i		by = _mm_cvtsi32_si128(shift);
	__m512i		even_low = _mm512_sub_epi16(words->both_low, _mm512_slli_epi16(words->odd_low, 8));
	__m512i		even_high = _mm512_sub_epi16(words->both_high, _mm512_slli_epi16(words->odd_high, 8));
	__m512i		low = _mm512_inserti64x4(_mm512_castsi256_si512(widen(even_low)), widen(words->odd_low), 1);
	__m512i		high = _mm512_inserti64x4(_mm512_castsi256_si512(widen(even_high)), widen(words->odd_high), 1);

	sums->sixteen[0] = _mm512_add_epi32(sums->sixteen[0], _mm512_sll_epi32(low, by));
	sums->sixteen[1] = _mm512_add_epi32(sums->sixteen[1], _mm512_sll_epi32(high, by));
}

/* Sets of four groups that a 16-bit lane can add up */
#define MOST_FOURS (65535 / 255)

INLINE_AVX512 Sums
scan_block(const CodeQuery *self, const uint8_t *block)
{
	int			bits = self->bits;
	int			groups = self->dc / 4;
	size_t		plane = (size_t) groups * 16;
	Sums		sums = {{_mm512_setzero_si512(), _mm512_setzero_si512()}};
	Words		words;

	if ((groups + 3) / 4 * ((1 << bits) - 1) <= MOST_FOURS)
	{
		/* all planes fit together: highest first, doubled on the way */
		words = no_words();
		for (int p = bits - 1;; p--)
		{
			add_groups(&words, block + p * plane, self->table, groups);
			if (p == 0)
				break;
			words.both_low = _mm512_add_epi16(words.both_low, words.both_low);
			words.odd_low = _mm512_add_epi16(words.odd_low, words.odd_low);
			words.both_high = _mm512_add_epi16(words.both_high, words.both_high);
			words.odd_high = _mm512_add_epi16(words.odd_high, words.odd_high);
		}
		add_words(&sums, &words, 0);
		return sums;
	}

	for (int p = 0; p < bits; p++)
	{
		for (int done = 0; done < groups; done += 4 * MOST_FOURS)
		{
			size_t		at = (size_t) done * 16;

			words = no_words();
			add_groups(&words, block + p * plane + at, self->table + at,
					   groups - done < 4 * MOST_FOURS ? groups - done : 4 * MOST_FOURS);
			add_words(&sums, &words, p);
		}
	}
	return sums;
}

TARGET_AVX512 static void
scan(const CodeQuery *self, const uint8_t *block, uint32_t *acc)
{
	Sums		sums = scan_block(self, block);

	_mm512_storeu_si512(acc, sums.sixteen[0]);
	_mm512_storeu_si512(acc + 16, sums.sixteen[1]);
}

INLINE_AVX512 __m512
load_factors(const bfloat16 *p)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) p)), 16));
}

TARGET_AVX512 static uint32_t
estimate(const CodeQuery *self, const uint8_t *block, float own,
		 const bfloat16 *f_add, const bfloat16 *f_mul, float limit, float *est)
{
	uint32_t	below = 0;
	Sums		sums = scan_block(self, block);
	__m512		delta = _mm512_set1_ps(self->delta);
	__m512		base = _mm512_set1_ps(self->base);

	for (int k = 0; k < 2; k++)
	{
		__m512		dot = _mm512_fmadd_ps(delta, _mm512_cvtepi32_ps(sums.sixteen[k]), base);
		__m512		fixed = _mm512_add_ps(_mm512_set1_ps(own), load_factors(f_add + 16 * k));

		__m512		all = _mm512_fmadd_ps(load_factors(f_mul + 16 * k), dot, fixed);

		_mm512_storeu_ps(est + 16 * k, all);
		below |= (uint32_t) _mm512_cmp_ps_mask(all, _mm512_set1_ps(limit), _CMP_NGE_UQ) << 16 * k;
	}
	return below;
}

const CodeForms code_forms_avx512 = {
	.encode = encode,
	.query_size = query_size,
	.query_table = query_table,
	.scan = scan,
	.estimate = estimate,
};

#endif							/* CORE_X86 */
