/*
 * half.h
 *	  IEEE 754 binary16 ("half"), stored as its 16 bits.
 *
 * No compiler support for _Float16 is needed; kernels use F16C where the
 * processor has it.
 */
#ifndef CORE_HALF_H
#define CORE_HALF_H

#include <stdbool.h>
#include <stdint.h>

typedef uint16_t half;

#define HALF_MAX 65504.0f

/* Exact. */
extern float half_to_float(half h);

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

/* Arrays of n: dst and src do not overlap; any alignment. */
extern void half_to_float_array(float *dst, const half *src, int n);
extern void half_from_float_array(half *dst, const float *src, int n);

#endif							/* CORE_HALF_H */
