/*
 * rotation.h
 *	  A seeded random rotation: four rounds of sign flips, Walsh-Hadamard and
 *	  Kac steps in O(D log D).
 *
 * Distances and inner products are unchanged (to float rounding).  The input
 * of dim coordinates is padded with zeros to D, the next multiple of 8.
 * T = largest power of two <= D.  Rounds 0..3: multiply by random signs; apply
 * the Walsh-Hadamard transform / sqrt(T) to the first T coordinates (rounds 0
 * and 2) or the last T (rounds 1 and 3); if T < D, replace
 * (x[i], x[i+D/2]) by ((a+b)/sqrt 2, (a-b)/sqrt 2).
 */
#ifndef CORE_ROTATION_H
#define CORE_ROTATION_H

#include <stddef.h>
#include <stdint.h>

typedef struct Rotation
{
	int32_t		dim;			/* coordinates of the input */
	int32_t		padded;			/* D: coordinates of the output, a multiple of 8 */
	uint64_t	seed;
	uint32_t	signs[];		/* 4 * padded sign masks: 0 or 0x80000000 (layout private to rotation.c) */
} Rotation;

/* D for dim */
static inline int
rotation_padded(int dim)
{
	return (dim + 7) & ~7;
}

/* Bytes of a Rotation for dim; the caller allocates and aligns to 64 where it can. */
extern size_t rotation_size(int dim);

/* Fill self; the signs depend on dim and seed only, on every machine. */
extern void rotation_init(Rotation *self, int dim, uint64_t seed);

/* out[padded] = R x, x[dim]; x and out do not overlap. */
extern void rotation_apply(const Rotation *self, const float *x, float *out);

#endif							/* CORE_ROTATION_H */
