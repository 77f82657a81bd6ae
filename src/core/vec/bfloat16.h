/*
 * bfloat16.h
 *	  Floats of 16 bits that keep a float's range: its sign, its exponent and
 *	  seven bits of its fraction.  A relative error of at most 1/256.
 */
#ifndef CORE_BFLOAT16_H
#define CORE_BFLOAT16_H

#include <stdint.h>
#include <string.h>

typedef uint16_t bfloat16;

/* Exact */
static inline float
bfloat16_to_float(bfloat16 b)
{
	uint32_t	bits = (uint32_t) b << 16;
	float		f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

/* Round to nearest, ties to even; what is finite stays finite.  f is no NaN. */
static inline bfloat16
bfloat16_from_float(float f)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof bits);
	if ((bits & 0x7FFFFFFF) < 0x7F7F0000)
		bits += 0x7FFF + ((bits >> 16) & 1);
	return (bfloat16) (bits >> 16);
}

#endif							/* CORE_BFLOAT16_H */
