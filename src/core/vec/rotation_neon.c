/*
 * rotation_neon.c
 *	  A round of the rotation for 64-bit Arm.
 */
#include "core/vec/neon.h"
#include "core/vec/rotation_forms.h"

#ifdef CORE_ARM64

#define TARGET

/* Butterflies of widths 1 and 2 in four coordinates */
INLINE_NEON float32x4_t
start_4(float32x4_t v, const uint32_t *signs, float32x4_t scale)
{
	static const float ones_1[4] = {1, -1, 1, -1};
	static const float ones_2[4] = {1, 1, -1, -1};

	v = vmulq_f32(flip_bits(v, vld1q_u32(signs)), scale);
	KEEP_ROUNDED(v);
	v = vfmaq_f32(vrev64q_f32(v), v, vld1q_f32(ones_1));
	return vfmaq_f32(vextq_f32(v, v, 2), v, vld1q_f32(ones_2));
}

/* Eight coordinates with signs and scale, butterflies of widths 1, 2, 4 done */
INLINE_NEON Vector
start(const float *x, const uint32_t *signs, Vector scale)
{
	float32x4_t a = start_4(vld1q_f32(x), signs, scale.low);
	float32x4_t b = start_4(vld1q_f32(x + 4), signs + 4, scale.high);

	return (Vector) {vaddq_f32(a, b), vsubq_f32(a, b)};
}

#include "core/vec/rotation_passes.h"

/* Signs outside the T coordinates that are transformed */
static void
flip_outside(float *x, const uint32_t *signs, int D, int T, int at)
{
	int			from = at == 0 ? T : 0;
	int			to = at == 0 ? D : at;

	for (int i = from; i < to; i += 4)
		vst1q_f32(x + i, flip_bits(vld1q_f32(x + i), vld1q_u32(signs + i)));
}

/* The step between halves; D / 2 is a multiple of 4 */
static void
kac_step(float *x, int D)
{
	float	   *y = x + D / 2;

	for (int i = 0; i < D / 2; i += 4)
	{
		float32x4_t a = vld1q_f32(x + i);
		float32x4_t b = vld1q_f32(y + i);

		vst1q_f32(x + i, vmulq_n_f32(vaddq_f32(a, b), SQRT_HALF));
		vst1q_f32(y + i, vmulq_n_f32(vsubq_f32(a, b), SQRT_HALF));
	}
}

void
rotation_round_neon(float *x, const uint32_t *signs, int D, int T, int at, float scale)
{
	transform(x + at, signs + at, T, scale);
	if (T < D)
	{
		flip_outside(x, signs, D, T, at);
		kac_step(x, D);
	}
}

#endif							/* CORE_ARM64 */
