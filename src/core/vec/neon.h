/*
 * neon.h
 *	  Eight floats in two registers of Advanced SIMD, and what the forms for
 *	  64-bit Arm do with them; private to *_neon.c and *_fp16.c.
 *
 * Two registers hide the latency of one, and are as many floats as a register
 * of AVX2, so that sums in a fixed order run alike.
 */
#ifndef CORE_NEON_H
#define CORE_NEON_H

#include "core/vec/cpu.h"

#ifdef CORE_ARM64

#include <arm_neon.h>
#include <stdint.h>

#define INLINE_NEON static inline __attribute__((always_inline))

#define WIDTH 8

typedef struct Vector
{
	float32x4_t low;
	float32x4_t high;
} Vector;

INLINE_NEON Vector
vec_set(float f)
{
	return (Vector) {vdupq_n_f32(f), vdupq_n_f32(f)};
}

INLINE_NEON Vector
vec_zero(void)
{
	return vec_set(0);
}

INLINE_NEON Vector
vec_load_f32(const float *p)
{
	return (Vector) {vld1q_f32(p), vld1q_f32(p + 4)};
}

INLINE_NEON void
vec_store(float *p, Vector v)
{
	vst1q_f32(p, v.low);
	vst1q_f32(p + 4, v.high);
}

INLINE_NEON Vector
vec_add(Vector x, Vector y)
{
	return (Vector) {vaddq_f32(x.low, y.low), vaddq_f32(x.high, y.high)};
}

INLINE_NEON Vector
vec_sub(Vector x, Vector y)
{
	return (Vector) {vsubq_f32(x.low, y.low), vsubq_f32(x.high, y.high)};
}

INLINE_NEON Vector
vec_mul(Vector x, Vector y)
{
	return (Vector) {vmulq_f32(x.low, y.low), vmulq_f32(x.high, y.high)};
}

/* A product that no addition takes up */
INLINE_NEON Vector
vec_mul_rounded(Vector x, Vector y)
{
	Vector		product = vec_mul(x, y);

	KEEP_ROUNDED(product.low);
	KEEP_ROUNDED(product.high);
	return product;
}

INLINE_NEON Vector
vec_mul_add(Vector x, Vector y, Vector sum)
{
	return (Vector) {vfmaq_f32(sum.low, x.low, y.low), vfmaq_f32(sum.high, x.high, y.high)};
}

INLINE_NEON Vector
vec_mul_sub_from(Vector x, Vector y, Vector z)
{
	return (Vector) {vfmsq_f32(z.low, x.low, y.low), vfmsq_f32(z.high, x.high, y.high)};
}

INLINE_NEON Vector
vec_abs(Vector x)
{
	return (Vector) {vabsq_f32(x.low), vabsq_f32(x.high)};
}

/* Of a number and NaN, the number */
INLINE_NEON Vector
vec_max(Vector x, Vector y)
{
	return (Vector) {vmaxnmq_f32(x.low, y.low), vmaxnmq_f32(x.high, y.high)};
}

INLINE_NEON Vector
vec_min(Vector x, Vector y)
{
	return (Vector) {vminnmq_f32(x.low, y.low), vminnmq_f32(x.high, y.high)};
}

/* x with these bits the other way round */
INLINE_NEON float32x4_t
flip_bits(float32x4_t x, uint32x4_t bits)
{
	return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), bits));
}

/* By halves: j and j + 4, then j + 2, then both */
INLINE_NEON float
vec_sum(Vector v)
{
	float32x4_t four = vaddq_f32(v.low, v.high);

	return vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

/* Thirty-two lanes by halves; lane j is element j % 8 of vector j / 8 */
INLINE_NEON float
sum_lanes(const Vector lane[4])
{
	return vec_sum(vec_add(vec_add(lane[0], lane[2]), vec_add(lane[1], lane[3])));
}

#endif							/* CORE_ARM64 */

#endif							/* CORE_NEON_H */
