/*
 * packed12.h
 *	  Vectors as integers of 12 bits times a scale: the form in which a graph
 *	  node keeps its own value.
 *
 * n is a multiple of 8.  First come n bytes, the upper eight bits of each
 * integer (signed), then n/2 bytes, byte k with the lower four bits of integers
 * 2k (low nibble) and 2k+1.  Integers are -2047 .. 2047; the largest coordinate
 * becomes 2047, so that the error of a coordinate is at most 1/4094 of it: for a
 * rotated vector, whose coordinates are much alike, a relative error of about
 * 0.0005 in three quarters of the bytes of binary16.
 */
#ifndef CORE_PACKED12_H
#define CORE_PACKED12_H

#include <stddef.h>
#include <stdint.h>

#include "core/assert.h"

static inline size_t
packed12_bytes(int n)
{
	return (size_t) n * 3 / 2;
}

/* Pack x[n], all finite; returns the scale, which is positive and finite. */
extern float packed12_store(const float *x, int n, uint8_t *out);

extern void packed12_load(const uint8_t *in, int n, float scale, float *x);

static inline int
packed12_get(const uint8_t *in, int n, int i)
{
	CORE_ASSERT(i >= 0 && i < n);
	return (int) (int8_t) in[i] * 16 + ((in[n + i / 2] >> (4 * (i % 2))) & 15);
}

#endif							/* CORE_PACKED12_H */
