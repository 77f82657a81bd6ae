/*
 * half.c
 *	  Conversions between half and float, one by one and by arrays.
 */
#include "core/vec/half.h"

#include "core/vec/cpu.h"

#if defined(CORE_X86)
#include <immintrin.h>
#elif defined(CORE_ARM64)
#include <arm_neon.h>
#endif

typedef struct HalfForms
{
	void		(*to_float) (float *dst, const half *src, int n);
	void		(*from_float) (half *dst, const float *src, int n);
} HalfForms;

static void to_float_scalar(float *dst, const half *src, int n);
static void from_float_scalar(half *dst, const float *src, int n);

#ifdef CORE_X86
static void to_float_avx2(float *dst, const half *src, int n);
static void from_float_avx2(half *dst, const float *src, int n);
static void to_float_avx512(float *dst, const half *src, int n);
static void from_float_avx512(half *dst, const float *src, int n);
#endif

#ifdef CORE_ARM64
static void to_float_neon(float *dst, const half *src, int n);
static void from_float_neon(half *dst, const float *src, int n);
#endif

static const HalfForms forms[] = {
	[CPU_SCALAR] = {to_float_scalar, from_float_scalar},
#ifdef CORE_X86
	[CPU_AVX2] = {to_float_avx2, from_float_avx2},
	[CPU_AVX512] = {to_float_avx512, from_float_avx512},
#endif
#ifdef CORE_ARM64
	[CPU_NEON] = {to_float_neon, from_float_neon},
	[CPU_DOTPROD] = {to_float_neon, from_float_neon},
	[CPU_FP16] = {to_float_neon, from_float_neon},
#endif
};

half
half_from_float(float f)
{
	uint32_t	bits;
	uint32_t	magnitude;
	uint32_t	result;

	memcpy(&bits, &f, sizeof bits);
	magnitude = bits & 0x7FFFFFFF;

	if (magnitude > 0x7F800000) /* NaN: quiet, upper bits of the payload kept */
		result = 0x7E00 | ((magnitude >> 13) & 0x03FF);
	else if (magnitude >= 0x477FF000)	/* 65520, midway to the next power, and above */
		result = 0x7C00;
	else if (magnitude < 0x38800000)
	{
		/*
		 * Below 2^-14 the result is subnormal, a multiple of 2^-24, which is
		 * the unit in the last place of floats in [0.5, 1): adding 0.5 lets
		 * the processor round.
		 */
		float		shifted;

		memcpy(&shifted, &magnitude, sizeof shifted);
		shifted += 0.5f;
		memcpy(&result, &shifted, sizeof result);
		result -= 0x3F000000;
	}
	else
	{
		/* 13 bits go; the addition's carry may reach the exponent, rightly */
		result = magnitude - 0x38000000 + 0x0FFF + ((magnitude >> 13) & 1);
		result >>= 13;
	}
	return (half) (result | ((bits >> 16) & 0x8000));
}

void
half_to_float_array(float *dst, const half *src, int n)
{
	forms[cpu_level_in_force()].to_float(dst, src, n);
}

void
half_from_float_array(half *dst, const float *src, int n)
{
	forms[cpu_level_in_force()].from_float(dst, src, n);
}

static void
to_float_scalar(float *dst, const half *src, int n)
{
	for (int i = 0; i < n; i++)
		dst[i] = half_to_float(src[i]);
}

static void
from_float_scalar(half *dst, const float *src, int n)
{
	for (int i = 0; i < n; i++)
		dst[i] = half_from_float(src[i]);
}

#ifdef CORE_X86

TARGET_AVX2 static void
to_float_avx2(float *dst, const half *src, int n)
{
	int			i = 0;

	for (; i + 8 <= n; i += 8)
		_mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (src + i))));
	to_float_scalar(dst + i, src + i, n - i);
}

TARGET_AVX2 static void
from_float_avx2(half *dst, const float *src, int n)
{
	int			i = 0;

	for (; i + 8 <= n; i += 8)
		_mm_storeu_si128((__m128i *) (dst + i),
						 _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
	from_float_scalar(dst + i, src + i, n - i);
}

TARGET_AVX512 static void
to_float_avx512(float *dst, const half *src, int n)
{
	int			i = 0;

	for (; i + 16 <= n; i += 16)
		_mm512_storeu_ps(dst + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) (src + i))));
	if (i < n)
	{
		__mmask16	some = (__mmask16) ((1 << (n - i)) - 1);

		_mm512_mask_storeu_ps(dst + i, some, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(some, src + i)));
	}
}

TARGET_AVX512 static void
from_float_avx512(half *dst, const float *src, int n)
{
	int			i = 0;

	for (; i + 16 <= n; i += 16)
		_mm256_storeu_si256((__m256i *) (dst + i),
							_mm512_cvtps_ph(_mm512_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
	if (i < n)
	{
		__mmask16	some = (__mmask16) ((1 << (n - i)) - 1);

		_mm256_mask_storeu_epi16(dst + i, some,
								 _mm512_cvtps_ph(_mm512_maskz_loadu_ps(some, src + i), _MM_FROUND_TO_NEAREST_INT));
	}
}

#endif							/* CORE_X86 */

#ifdef CORE_ARM64

static void
to_float_neon(float *dst, const half *src, int n)
{
	int			i = 0;

	for (; i + 8 <= n; i += 8)
	{
		float16x8_t v = vreinterpretq_f16_u16(vld1q_u16(src + i));

		vst1q_f32(dst + i, vcvt_f32_f16(vget_low_f16(v)));
		vst1q_f32(dst + i + 4, vcvt_high_f32_f16(v));
	}
	to_float_scalar(dst + i, src + i, n - i);
}

static void
from_float_neon(half *dst, const float *src, int n)
{
	int			i = 0;

	for (; i + 8 <= n; i += 8)
	{
		float16x4_t low = vcvt_f16_f32(vld1q_f32(src + i));

		vst1q_u16(dst + i, vreinterpretq_u16_f16(vcvt_high_f16_f32(low, vld1q_f32(src + i + 4))));
	}
	from_float_scalar(dst + i, src + i, n - i);
}

#endif							/* CORE_ARM64 */
