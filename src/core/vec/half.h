/*
 * half.h
 *	  IEEE 754 binary16 ("half"), stored as its 16 bits.
 *
 * No compiler support for _Float16 is needed; the array functions use what
 * the processor has for it (F16C on x86), with the same results to the bit.
 */
#ifndef CORE_HALF_H
#define CORE_HALF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t half;

#define HALF_MAX 65504.0f

/*
 * Exact.  A signalling NaN becomes quiet, as the processor's conversion does.
 *
 * The half's exponent and fraction, moved into a float's place, give the value
 * times 2^-112, subnormal halves as subnormal floats; one exact multiplication
 * sets that right.  Without branches, so that loops over it vectorise.
 */
static inline float
half_to_float(half h)
{
	uint32_t	magnitude = (uint32_t) (h & 0x7FFF) << 13;
	uint32_t	bits;
	float		f;

	memcpy(&f, &magnitude, sizeof f);
	f *= 0x1p112f;
	memcpy(&bits, &f, sizeof bits);
	if (magnitude >= 0x0F800000)	/* infinity or NaN */
		bits = magnitude | 0x7F800000 | (magnitude > 0x0F800000 ? 0x00400000 : 0);
	bits |= (uint32_t) (h & 0x8000) << 16;
	memcpy(&f, &bits, sizeof f);
	return f;
}

/* Round to nearest, ties to even; overflow gives infinity with the sign. */
extern half half_from_float(float f);

static inline bool
half_is_nan(half h)
{
	return (h & 0x7C00) == 0x7C00 && (h & 0x03FF) != 0;
}

static inline bool
half_is_inf(half h)
{
	return (h & 0x7FFF) == 0x7C00;
}

/* Arrays of n: dst and src do not overlap; any alignment of an element's size. */
extern void half_to_float_array(float *dst, const half *src, int n);
extern void half_from_float_array(half *dst, const float *src, int n);

#endif							/* CORE_HALF_H */
