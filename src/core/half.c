/*
 * half.c
 *	  Conversions between half and float, one by one and by arrays.
 */
#include "core/half.h"

#include "core/cpu.h"

typedef struct HalfForms
{
	void		(*to_float) (float *dst, const half *src, int n);
	void		(*from_float) (half *dst, const float *src, int n);
} HalfForms;

static void to_float_scalar(float *dst, const half *src, int n);
static void from_float_scalar(half *dst, const float *src, int n);

static const HalfForms forms[] = {
	[CPU_SCALAR] = {to_float_scalar, from_float_scalar},
	[CPU_AVX2] = {to_float_scalar, from_float_scalar},
	[CPU_AVX512] = {to_float_scalar, from_float_scalar},
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
