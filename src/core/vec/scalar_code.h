/*
 * scalar_code.h
 *	  8-bit and 4-bit scalar codes of whole vectors: the in-memory form of a
 *	  vector while an index is built.
 *
 * One scale for each vector: x_i ~ scale * v_i.  8 bits: v in -127..127, one
 * int8 each.  4 bits: v = u - 8 with u in 1..15 (v in -7..7), two to a byte,
 * coordinate 2i in the low nibble of byte i.  D is a multiple of 8.
 * Inner products of codes are exact integers.
 */
#ifndef CORE_SCALAR_CODE_H
#define CORE_SCALAR_CODE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the code of D coordinates with bits = 8 or 4. */
static inline size_t
scalar_code_bytes(int bits, int D)
{
	return bits == 8 ? (size_t) D : (size_t) D / 2;
}

/*
 * Encode x[D]; returns the scale (0 for the zero vector).  4 bits: the scale is
 * chosen to keep the squared error small (outliers are clipped).
 */
extern float scalar_encode(int bits, int D, const float *x, void *code);

/* out[D] = scale * v */
extern void scalar_decode(int bits, int D, const void *code, float scale, float *out);

/* sum_i a_i b_i of the integers v; |result| < 2^31 for D <= 16,000 */
extern int32_t scalar_dot8(const int8_t *a, const int8_t *b, int D);
extern int32_t scalar_dot4(const uint8_t *a, const uint8_t *b, int D);

/*
 * dots[i] = that of the query and codes[i], each of them as above, for any n: cheaper
 * than one after the other.
 */
extern void scalar_dots(int bits, int D, const void *query, const void *const *codes, int n, int32_t *dots);

#endif							/* CORE_SCALAR_CODE_H */
