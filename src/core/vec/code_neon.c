/*
 * code_neon.c
 *	  The kernels of code.c for 64-bit Arm.
 */
#include "core/vec/code_forms.h"
#include "core/vec/neon.h"

#ifdef CORE_ARM64

#include <math.h>
#include <string.h>

/* ---- encoding ---- */

/* The lowest byte of eight integers */
INLINE_NEON uint8x8_t
lowest_bytes(uint32x4_t low, uint32x4_t high)
{
	return vmovn_u16(vcombine_u16(vmovn_u32(low), vmovn_u32(high)));
}

/* at, with its sign turned where r is not above 0 */
INLINE_NEON float32x4_t
signed_by(float32x4_t at, uint32x4_t above)
{
	return flip_bits(at, vbicq_u32(vdupq_n_u32(0x80000000), above));
}

INLINE_NEON Vector
vec_put_signs(uint8_t *u, Vector r, Vector at)
{
	uint32x4_t	low = vcgtzq_f32(r.low);
	uint32x4_t	high = vcgtzq_f32(r.high);

	vst1_u8(u, vand_u8(lowest_bytes(low, high), vdup_n_u8(1)));
	return (Vector) {signed_by(at.low, low), signed_by(at.high, high)};
}

INLINE_NEON Vector
vec_put_whole(uint8_t *u, Vector level)
{
	uint32x4_t	low = vcvtq_u32_f32(level.low);
	uint32x4_t	high = vcvtq_u32_f32(level.high);

	vst1_u8(u, lowest_bytes(low, high));
	return (Vector) {vcvtq_f32_u32(low), vcvtq_f32_u32(high)};
}

#define TARGET
#define INLINE INLINE_NEON

#include "core/vec/code_encode.h"

/* ---- preparing a query ---- */

static void
query_size(int dc, const float *q, float *widest, double *total)
{
	float32x4_t most = vdupq_n_f32(0);
	float64x2_t low = vdupq_n_f64(0);
	float64x2_t high = vdupq_n_f64(0);

	for (int i = 0; i < dc; i += 8)
	{
		Vector		size = vec_abs(vec_load_f32(q + i));
		float32x4_t pairs = vpaddq_f32(size.low, size.high);

		most = vmaxnmq_f32(most, vpaddq_f32(pairs, pairs));
		low = vaddq_f64(low, vaddq_f64(vcvt_f64_f32(vget_low_f32(size.low)), vcvt_high_f64_f32(size.low)));
		high = vaddq_f64(high, vaddq_f64(vcvt_f64_f32(vget_low_f32(size.high)), vcvt_high_f64_f32(size.high)));
	}
	*widest = vmaxnmvq_f32(most);
	*total = vaddvq_f64(vaddq_f64(low, high));
}

/*
 * In arithmetic modulo 2^16, entry m is the sum of the negative coordinates'
 * sizes plus the signed sizes of the coordinates in m.
 */
INLINE_NEON void
query_group(float32x4_t x, float scale, uint8_t *table)
{
	static const uint16_t in_m[3][8] = {{0, 1, 0, 1, 0, 1, 0, 1}, {0, 0, 1, 1, 0, 0, 1, 1}, {0, 0, 0, 0, 1, 1, 1, 1}};
	uint32x4_t	negative = vcltzq_f32(x);
	uint32x4_t	size = vcvtnq_u32_f32(vmulq_n_f32(vabsq_f32(x), scale));
	uint16x4_t	signed_size = vmovn_u32(vsubq_u32(veorq_u32(size, negative), negative));
	uint16x4_t	below = vmovn_u32(vandq_u32(size, negative));
	uint16x8_t	first = vdupq_n_u16((uint16_t) (vaddv_u16(below) + 128));	/* half of 256, for rounding */
	uint16x8_t	second;

	first = vmlaq_lane_u16(first, vld1q_u16(in_m[0]), signed_size, 0);
	first = vmlaq_lane_u16(first, vld1q_u16(in_m[1]), signed_size, 1);
	first = vmlaq_lane_u16(first, vld1q_u16(in_m[2]), signed_size, 2);
	second = vaddq_u16(first, vdupq_lane_u16(signed_size, 3));
	vst1q_u8(table, vshrn_high_n_u16(vshrn_n_u16(first, 8), second, 8));
}

static void
query_table(int dc, const float *q, float scale, uint8_t *table)
{
	for (int i = 0; i < dc; i += 4)
		query_group(vld1q_f32(q + i), scale, table + 4 * (size_t) i);
}

/* ---- scanning ---- */

/*
 * Sums of bytes in 16-bit lanes: of the low nibbles of one group's bytes 0 .. 7
 * and 8 .. 15, and of the high ones.
 */
typedef struct GroupWords
{
	uint16x8_t	low[2];
	uint16x8_t	high[2];
} GroupWords;

/* Even groups and odd ones apart, to hide the latency of additions */
typedef struct Words
{
	GroupWords	even;
	GroupWords	odd;
} Words;

/* Sums of 32 slots, in their order */
typedef struct Sums
{
	uint32x4_t	four[8];
} Sums;

INLINE_NEON void
add_group(GroupWords *words, const uint8_t *block, const uint8_t *table)
{
	uint8x16_t	code = vld1q_u8(block);
	uint8x16_t	entry = vld1q_u8(table);
	uint8x16_t	low = vqtbl1q_u8(entry, vandq_u8(code, vdupq_n_u8(15)));
	uint8x16_t	high = vqtbl1q_u8(entry, vshrq_n_u8(code, 4));

	words->low[0] = vaddw_u8(words->low[0], vget_low_u8(low));
	words->low[1] = vaddw_high_u8(words->low[1], low);
	words->high[0] = vaddw_u8(words->high[0], vget_low_u8(high));
	words->high[1] = vaddw_high_u8(words->high[1], high);
}

INLINE_NEON void
add_pairs(Words *words, const uint8_t *block, const uint8_t *table, int pairs)
{
	for (; pairs > 0; pairs--)
	{
		add_group(&words->even, block, table);
		add_group(&words->odd, block + 16, table + 16);
		block += 32;
		table += 32;
	}
}

INLINE_NEON Words
no_words(void)
{
	uint16x8_t	zero = vdupq_n_u16(0);
	GroupWords	none = {{zero, zero}, {zero, zero}};

	return (Words) {none, none};
}

INLINE_NEON void
double_group_words(GroupWords *words)
{
	for (int k = 0; k < 2; k++)
	{
		words->low[k] = vaddq_u16(words->low[k], words->low[k]);
		words->high[k] = vaddq_u16(words->high[k], words->high[k]);
	}
}

INLINE_NEON void
double_words(Words *words)
{
	double_group_words(&words->even);
	double_group_words(&words->odd);
}

/* Sixteen slots: the first eight are at even bytes, the others at odd ones */
INLINE_NEON void
add_slots(uint32x4_t *four, const uint16x8_t *even, const uint16x8_t *odd, int shift)
{
	int32x4_t	by = vdupq_n_s32(shift);
	uint16x8_t	a = vuzp1q_u16(even[0], even[1]);
	uint16x8_t	b = vuzp1q_u16(odd[0], odd[1]);
	uint16x8_t	c = vuzp2q_u16(even[0], even[1]);
	uint16x8_t	d = vuzp2q_u16(odd[0], odd[1]);

	four[0] = vaddq_u32(four[0], vshlq_u32(vaddl_u16(vget_low_u16(a), vget_low_u16(b)), by));
	four[1] = vaddq_u32(four[1], vshlq_u32(vaddl_high_u16(a, b), by));
	four[2] = vaddq_u32(four[2], vshlq_u32(vaddl_u16(vget_low_u16(c), vget_low_u16(d)), by));
	four[3] = vaddq_u32(four[3], vshlq_u32(vaddl_high_u16(c, d), by));
}

INLINE_NEON void
add_words(Sums *sums, const Words *words, int shift)
{
	add_slots(sums->four, words->even.low, words->odd.low, shift);
	add_slots(sums->four + 4, words->even.high, words->odd.high, shift);
}

INLINE_NEON Sums
no_sums(void)
{
	Sums		sums;

	for (int k = 0; k < 8; k++)
		sums.four[k] = vdupq_n_u32(0);
	return sums;
}

#include "core/vec/code_scan.h"

static void
scan(const CodeQuery *self, const uint8_t *block, uint32_t *acc)
{
	Sums		sums = scan_block(self, block);

	for (int k = 0; k < 8; k++)
		vst1q_u32(acc + 4 * k, sums.four[k]);
}

INLINE_NEON float32x4_t
load_factors(const bfloat16 *p)
{
	return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(p)), 16));
}

/* A bit of each of 32 masks that are all ones or all zeros */
INLINE_NEON uint32_t
bits_of_masks(const uint32x4_t mask[8])
{
	static const uint8_t bit_of[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
	uint8x16_t	bits = vld1q_u8(bit_of);
	uint8x16_t	first = vcombine_u8(lowest_bytes(mask[0], mask[1]), lowest_bytes(mask[2], mask[3]));
	uint8x16_t	second = vcombine_u8(lowest_bytes(mask[4], mask[5]), lowest_bytes(mask[6], mask[7]));
	uint8x16_t	sums = vpaddq_u8(vandq_u8(first, bits), vandq_u8(second, bits));

	sums = vpaddq_u8(sums, sums);
	sums = vpaddq_u8(sums, sums);
	return vgetq_lane_u32(vreinterpretq_u32_u8(sums), 0);
}

static uint32_t
estimate(const CodeQuery *self, const uint8_t *block, float own,
		 const bfloat16 *f_add, const bfloat16 *f_mul, float limit, float *est)
{
	Sums		sums = scan_block(self, block);
	float32x4_t delta = vdupq_n_f32(self->delta);
	float32x4_t base = vdupq_n_f32(self->base);
	uint32x4_t	below[8];

	for (int k = 0; k < 8; k++)
	{
		float32x4_t dot = vfmaq_f32(base, delta, vcvtq_f32_u32(sums.four[k]));
		float32x4_t fixed = vaddq_f32(vdupq_n_f32(own), load_factors(f_add + 4 * k));
		float32x4_t all = vfmaq_f32(fixed, load_factors(f_mul + 4 * k), dot);

		vst1q_f32(est + 4 * k, all);
		below[k] = vmvnq_u32(vcgeq_f32(all, vdupq_n_f32(limit)));
	}
	return bits_of_masks(below);
}

const CodeForms code_forms_neon = {
	.encode = encode,
	.query_size = query_size,
	.query_table = query_table,
	.scan = scan,
	.estimate = estimate,
};

#endif							/* CORE_ARM64 */
