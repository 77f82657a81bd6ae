/*
 * distance_neon.c
 *	  Distance kernels for 64-bit Arm.
 */
#include "core/vec/distance_forms.h"
#include "core/vec/distance_neon.h"

#ifdef CORE_ARM64

#define TARGET

INLINE_NEON Vector
floats_of(uint16x8_t halves)
{
	float16x8_t v = vreinterpretq_f16_u16(halves);

	return (Vector) {vcvt_f32_f16(vget_low_f16(v)), vcvt_high_f32_f16(v)};
}

INLINE_NEON Vector
vec_load_f16(const half *p)
{
	return floats_of(vld1q_u16(p));
}

INLINE_NEON Vector
vec_load_some_f16(const half *p, int n)
{
	uint64_t	words[2];

	load_some_halves(p, n, words);
	return floats_of(vreinterpretq_u16_u64(vld1q_u64(words)));
}

#include "core/vec/distance_sums.h"

/* Bits of each byte of 16, added to 16-bit lanes: 4,095 times do not overflow one */
#define MOST_BYTES (4095 * 16)

INLINE_NEON uint16x8_t
add_bits(uint16x8_t sum, uint8x16_t v)
{
	return vpadalq_u8(sum, vcntq_u8(v));
}

uint64_t
distance_count_xor_neon(const uint8_t *a, const uint8_t *b, int bytes)
{
	uint64_t	count = 0;
	int			i = 0;

	while (i + 16 <= bytes)
	{
		uint16x8_t	sum = vdupq_n_u16(0);

		for (int end = bytes - i < MOST_BYTES ? bytes : i + MOST_BYTES; i + 16 <= end; i += 16)
			sum = add_bits(sum, veorq_u8(vld1q_u8(a + i), vld1q_u8(b + i)));
		count += vaddlvq_u16(sum);
	}
	for (; i < bytes; i += 8)
		count += (uint64_t) __builtin_popcountll(load_bits(a + i, bytes - i) ^ load_bits(b + i, bytes - i));
	return count;
}

void
distance_count_and_or_neon(const uint8_t *a, const uint8_t *b, int bytes,
						   uint64_t *both, uint64_t *either)
{
	uint64_t	n_both = 0;
	uint64_t	n_either = 0;
	int			i = 0;

	while (i + 16 <= bytes)
	{
		uint16x8_t	sum_both = vdupq_n_u16(0);
		uint16x8_t	sum_either = vdupq_n_u16(0);

		for (int end = bytes - i < MOST_BYTES ? bytes : i + MOST_BYTES; i + 16 <= end; i += 16)
		{
			uint8x16_t	x = vld1q_u8(a + i);
			uint8x16_t	y = vld1q_u8(b + i);

			sum_both = add_bits(sum_both, vandq_u8(x, y));
			sum_either = add_bits(sum_either, vorrq_u8(x, y));
		}
		n_both += vaddlvq_u16(sum_both);
		n_either += vaddlvq_u16(sum_either);
	}
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

const DistanceForms distance_forms_neon = {
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
