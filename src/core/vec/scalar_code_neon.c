/*
 * scalar_code_neon.c
 *	  The kernels of scalar_code.c for 64-bit Arm, with its products of bytes
 *	  and without.
 */
#include "core/vec/neon.h"
#include "core/vec/scalar_code_forms.h"

#ifdef CORE_ARM64

#include <stdbool.h>
#include <string.h>

/* Eight integers */
typedef struct Ints
{
	int32x4_t	low;
	int32x4_t	high;
} Ints;

/* to_level() of eight, of which `scaled` receives x * prescale */
INLINE_NEON Ints
levels(const float *x, Vector prescale, Vector per_unit, float most, Vector *scaled)
{
	Vector		level;

	*scaled = vec_mul(vec_load_f32(x), prescale);
	level = vec_max(vec_mul(*scaled, per_unit), vec_set(-most));
	level = vec_min(level, vec_set(most));
	return (Ints) {vcvtnq_s32_f32(level.low), vcvtnq_s32_f32(level.high)};
}

static float
largest(int D, const float *x)
{
	Vector		most = vec_zero();

	for (int i = 0; i < D; i += 8)
		most = vec_max(vec_abs(vec_load_f32(x + i)), most);
	return vmaxnmvq_f32(vmaxnmq_f32(most.low, most.high));
}

INLINE_NEON Vector
square(const float *x, Vector prescale)
{
	Vector		scaled = vec_mul(vec_load_f32(x), prescale);

	return vec_mul_rounded(scaled, scaled);
}

static float
sum_of_squares(int D, const float *x, float prescale)
{
	Vector		by = vec_set(prescale);
	Vector		lane[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
	int			i = 0;

	for (; i + 32 <= D; i += 32)
	{
		for (int j = 0; j < 4; j++)
			lane[j] = vec_add(lane[j], square(x + i + 8 * j, by));
	}
	for (int j = 0; i < D; i += 8, j++)
		lane[j] = vec_add(lane[j], square(x + i, by));
	return sum_lanes(lane);
}

INLINE_NEON void
try4_step(const float *x, Vector prescale, Vector per_unit, Vector *products, Ints *squares)
{
	Vector		scaled;
	Ints		v = levels(x, prescale, per_unit, 7, &scaled);

	scaled = vec_mul_rounded(scaled, (Vector) {vcvtq_f32_s32(v.low), vcvtq_f32_s32(v.high)});
	*products = vec_add(*products, scaled);
	squares->low = vmlaq_s32(squares->low, v.low, v.low);
	squares->high = vmlaq_s32(squares->high, v.high, v.high);
}

static void
try4(int D, const float *x, float prescale, float per_unit, float *xv, int32_t *vv)
{
	Vector		by = vec_set(prescale);
	Vector		per = vec_set(per_unit);
	Vector		lane[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
	Ints		squares = {vdupq_n_s32(0), vdupq_n_s32(0)};
	int			i = 0;

	for (; i + 32 <= D; i += 32)
	{
		for (int j = 0; j < 4; j++)
			try4_step(x + i + 8 * j, by, per, &lane[j], &squares);
	}
	for (int j = 0; i < D; i += 8, j++)
		try4_step(x + i, by, per, &lane[j], &squares);
	*xv = sum_lanes(lane);
	*vv = vaddvq_s32(vaddq_s32(squares.low, squares.high));
}

/* Eight levels as signed bytes */
INLINE_NEON int8x8_t
bytes_of(Ints v)
{
	return vmovn_s16(vcombine_s16(vmovn_s32(v.low), vmovn_s32(v.high)));
}

static void
encode4(int D, const float *x, float prescale, float per_unit, uint8_t *code)
{
	Vector		by = vec_set(prescale);
	Vector		per = vec_set(per_unit);

	for (int i = 0; i < D; i += 8)
	{
		Vector		scaled;
		int8x8_t	u = vadd_s8(bytes_of(levels(x + i, by, per, 7, &scaled)), vdup_n_s8(8));
		uint16x4_t	pairs = vreinterpret_u16_s8(u);
		uint8x8_t	four;

		/* low + 16 * high of each pair, then words to bytes */
		pairs = vorr_u16(pairs, vshr_n_u16(pairs, 4));
		four = vmovn_u16(vcombine_u16(pairs, pairs));
		memcpy(code + i / 2, &four, 4);
	}
}

static void
encode8(int D, const float *x, float prescale, float per_unit, int8_t *code)
{
	Vector		by = vec_set(prescale);
	Vector		per = vec_set(per_unit);

	for (int i = 0; i < D; i += 8)
	{
		Vector		scaled;

		vst1_s8(code + i, bytes_of(levels(x + i, by, per, 127, &scaled)));
	}
}

/* ---- products of codes ---- */

/* Sixteen products, two to a 16-bit lane: within 2 * 127^2 < 2^15 */
INLINE_NEON int32x4_t
add_products8(int32x4_t sum, int8x16_t a, int8x16_t b)
{
	int16x8_t	pairs = vmull_s8(vget_low_s8(a), vget_low_s8(b));

	return vpadalq_s16(sum, vmlal_high_s8(pairs, a, b));
}

static int32_t
dot8(const int8_t *a, const int8_t *b, int D)
{
	int32x4_t	first = vdupq_n_s32(0);
	int32x4_t	second = vdupq_n_s32(0);
	int			i = 0;

	for (; i + 32 <= D; i += 32)
	{
		first = add_products8(first, vld1q_s8(a + i), vld1q_s8(b + i));
		second = add_products8(second, vld1q_s8(a + i + 16), vld1q_s8(b + i + 16));
	}
	for (; i < D; i += 8)
		first = vpadalq_s16(first, vmull_s8(vld1_s8(a + i), vld1_s8(b + i)));
	return vaddvq_s32(vaddq_s32(first, second));
}

TARGET_DOTPROD static int32_t
dot8_dotprod(const int8_t *a, const int8_t *b, int D)
{
	int32x4_t	sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
	int32x2_t	rest = vdup_n_s32(0);
	int			i = 0;

	for (; i + 64 <= D; i += 64)
	{
		for (int k = 0; k < 4; k++)
			sum[k] = vdotq_s32(sum[k], vld1q_s8(a + i + 16 * k), vld1q_s8(b + i + 16 * k));
	}
	for (int k = 0; i + 16 <= D; i += 16, k++)
		sum[k] = vdotq_s32(sum[k], vld1q_s8(a + i), vld1q_s8(b + i));
	if (i < D)
		rest = vdot_s32(rest, vld1_s8(a + i), vld1_s8(b + i));
	return vaddvq_s32(vaddq_s32(vaddq_s32(sum[0], sum[1]), vaddq_s32(sum[2], sum[3]))) + vaddv_s32(rest);
}

/* u - 8 of 32 nibbles u, the low ones and the high ones: with its highest bit turned, a nibble is signed. */
typedef struct Nibbles
{
	int8x16_t	low;
	int8x16_t	high;
} Nibbles;

#define TURNED 0x88

INLINE_NEON Nibbles
nibbles_of(uint8x16_t code)
{
	int8x16_t	v = vreinterpretq_s8_u8(veorq_u8(code, vdupq_n_u8(TURNED)));

	return (Nibbles) {vshrq_n_s8(vshlq_n_s8(v, 4), 4), vshrq_n_s8(v, 4)};
}

/* Less than 16 bytes, a multiple of four; what is missing counts as levels of 0 */
INLINE_NEON Nibbles
nibbles_of_some(const uint8_t *code, int bytes)
{
	uint8_t		all[16];

	memset(all, TURNED, sizeof all);
	for (int i = 0; i < bytes; i += 4)
		memcpy(all + i, code + i, 4);
	return nibbles_of(vld1q_u8(all));
}

/* Four products to a 16-bit lane, none above 64 */
INLINE_NEON int16x8_t
add_products4(int16x8_t sum, Nibbles a, Nibbles b)
{
	sum = vmlal_s8(sum, vget_low_s8(a.low), vget_low_s8(b.low));
	sum = vmlal_high_s8(sum, a.low, b.low);
	sum = vmlal_s8(sum, vget_low_s8(a.high), vget_low_s8(b.high));
	return vmlal_high_s8(sum, a.high, b.high);
}

#define MOST_STEPS4 (32767 / (4 * 64))

static int32_t
dot4(const uint8_t *a, const uint8_t *b, int D)
{
	int32x4_t	sum = vdupq_n_s32(0);
	int			bytes = D / 2;
	int			i = 0;

	while (i + 16 <= bytes)
	{
		int16x8_t	words = vdupq_n_s16(0);

		for (int step = 0; step < MOST_STEPS4 && i + 16 <= bytes; step++, i += 16)
			words = add_products4(words, nibbles_of(vld1q_u8(a + i)), nibbles_of(vld1q_u8(b + i)));
		sum = vpadalq_s16(sum, words);
	}
	if (i < bytes)
		sum = vpadalq_s16(sum, add_products4(vdupq_n_s16(0), nibbles_of_some(a + i, bytes - i),
											 nibbles_of_some(b + i, bytes - i)));
	return vaddvq_s32(sum);
}

TARGET_DOTPROD static int32_t
dot4_dotprod(const uint8_t *a, const uint8_t *b, int D)
{
	int32x4_t	low = vdupq_n_s32(0);
	int32x4_t	high = vdupq_n_s32(0);
	int			bytes = D / 2;

	for (int i = 0; i < bytes; i += 16)
	{
		bool		whole = i + 16 <= bytes;
		Nibbles		x = whole ? nibbles_of(vld1q_u8(a + i)) : nibbles_of_some(a + i, bytes - i);
		Nibbles		y = whole ? nibbles_of(vld1q_u8(b + i)) : nibbles_of_some(b + i, bytes - i);

		low = vdotq_s32(low, x.low, y.low);
		high = vdotq_s32(high, x.high, y.high);
	}
	return vaddvq_s32(vaddq_s32(low, high));
}

const ScalarForms scalar_forms_neon = {largest, sum_of_squares, try4, encode4, encode8, dot8, dot4, NULL, NULL};
const ScalarForms scalar_forms_dotprod = {largest, sum_of_squares, try4, encode4, encode8, dot8_dotprod, dot4_dotprod, NULL, NULL};

#endif							/* CORE_ARM64 */
