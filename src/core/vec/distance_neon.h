/*
 * distance_neon.h
 *	  The primitives of distance_sums.h for 64-bit Arm, but for those of halves;
 *	  private to distance_neon.c and distance_fp16.c.
 */
#ifndef CORE_DISTANCE_NEON_H
#define CORE_DISTANCE_NEON_H

#include "core/vec/neon.h"

#ifdef CORE_ARM64

/* Up to three elements, with zeros behind them */
INLINE_NEON float32x4_t
load_few(const float *p, int n)
{
	float32x4_t v = vdupq_n_f32(0);

	if (n >= 2)
	{
		v = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
		if (n > 2)
			v = vld1q_lane_f32(p + 2, v, 2);
	}
	else if (n == 1)
		v = vld1q_lane_f32(p, v, 0);
	return v;
}

INLINE_NEON Vector
vec_load_some_f32(const float *p, int n)
{
	if (n >= 4)
		return (Vector) {vld1q_f32(p), load_few(p + 4, n - 4)};
	return (Vector) {load_few(p, n), vdupq_n_f32(0)};
}

INLINE_NEON Vector
vec_load_p12(const uint8_t *high, const uint8_t *low)
{
	uint32_t	pairs;
	uint8x8_t	bytes;
	uint8x8_t	nibbles;
	int16x8_t	v;

	memcpy(&pairs, low, sizeof pairs);
	bytes = vcreate_u8(pairs);
	nibbles = vzip1_u8(vand_u8(bytes, vdup_n_u8(15)), vshr_n_u8(bytes, 4));
	v = vorrq_s16(vshll_n_s8(vld1_s8((const int8_t *) high), 4),
				  vreinterpretq_s16_u16(vmovl_u8(nibbles)));
	return (Vector) {vcvtq_f32_s32(vmovl_s16(vget_low_s16(v))), vcvtq_f32_s32(vmovl_high_s16(v))};
}

#define vec_load_eight_p12(high, low) vec_load_p12(high, low)

#endif							/* CORE_ARM64 */

#endif							/* CORE_DISTANCE_NEON_H */
