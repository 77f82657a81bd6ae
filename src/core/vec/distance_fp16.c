/*
 * distance_fp16.c
 *	  Distance kernels for 64-bit Arm that multiplies halves into sums of floats
 *	  (FEAT_FHM, with FEAT_FP16).
 *
 * Products of halves are exact before they are added to a float, so that these
 * sums are as good as those of floats, with a third of the instructions.
 */
#include "core/vec/distance_forms.h"
#include "core/vec/distance_neon.h"

#ifdef CORE_ARM64

#define TARGET TARGET_FP16
#define INLINE_FP16 TARGET_FP16 static inline __attribute__((always_inline))

INLINE_FP16 float16x8_t
vec_load_f16(const half *p)
{
	return vreinterpretq_f16_u16(vld1q_u16(p));
}

INLINE_FP16 float16x8_t
vec_load_some_f16(const half *p, int n)
{
	uint64_t	words[2];

	load_some_halves(p, n, words);
	return vreinterpretq_f16_u64(vld1q_u64(words));
}

INLINE_FP16 Vector
halves_mul_add(float16x8_t x, float16x8_t y, Vector sum)
{
	return (Vector) {vfmlalq_low_f16(sum.low, x, y), vfmlalq_high_f16(sum.high, x, y)};
}

/* x - 1 y: y need not become floats first */
INLINE_FP16 Vector
halves_sub(float16x8_t x, float16x8_t y)
{
	float16x8_t one = vreinterpretq_f16_u16(vdupq_n_u16(0x3C00));
	float32x4_t low = vcvt_f32_f16(vget_low_f16(x));
	float32x4_t high = vcvt_high_f32_f16(x);

	return (Vector) {vfmlslq_low_f16(low, one, y), vfmlslq_high_f16(high, one, y)};
}

/* The sums are written in floats; here their operands may be halves. */
#define vec_mul_add(x, y, sum) _Generic((x), float16x8_t: halves_mul_add, Vector: vec_mul_add)(x, y, sum)
#define vec_sub(x, y) _Generic((x), float16x8_t: halves_sub, Vector: vec_sub)(x, y)

#include "core/vec/distance_sums.h"

const DistanceForms distance_forms_fp16 = {
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
	.count_xor = distance_count_xor_neon,
	.count_and_or = distance_count_and_or_neon,
};

#endif							/* CORE_ARM64 */
