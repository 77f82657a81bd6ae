/*
 * code.h
 *	  Short codes of a graph node's neighbors, kept inside the node: encoding,
 *	  the FastScan block layout, and the estimate of the distance from a query
 *	  to 32 neighbors at once (RaBitQ, arXiv:2405.12497 and 2409.09913;
 *	  FastScan, arXiv:1812.09162).
 *
 * A neighbor y of node c (both rotated, float[D]) is encoded as its residual
 * r = y - c on the first dc coordinates, `bits` (1, 2 or 4) bits each, plus two
 * factors.  README.md in this folder has the formulas.
 *
 * Block layout: one block holds 32 slots; planes one after the other (plane p
 * holds bit p of every u), in each plane dc/4 groups of 16 bytes; byte b of a
 * group holds slot s in its low nibble for slots 0..15 and s+16 in the high
 * nibble, where slot s < 16 stands at byte (s < 8 ? 2s : 2(s-8)+1).  Bit i of a
 * nibble is coordinate 4g+i.
 */
#ifndef CORE_CODE_H
#define CORE_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/vec/bfloat16.h"

#define CODE_SLOTS 32			/* slots of one block */

typedef enum CodeMetric
{
	CODE_L2,					/* estimates squared Euclidean distance */
	CODE_IP						/* estimates negative inner product */
} CodeMetric;

/* Bytes of one block: bits * (dc / 4) * 16.  dc is a multiple of 8. */
static inline size_t
code_block_bytes(int bits, int dc)
{
	return (size_t) bits * (dc / 4) * 16;
}

/*
 * Encode y as neighbor of c: u[dc] levels in 0 .. 2^bits-1, and the factors
 * f_add and f_mul such that
 *   CODE_L2: |q-y|^2 ~ |q-c|^2 + f_add + f_mul * sum_i v_i q_i
 *   CODE_IP:   -q.y  ~   -q.c  + f_add + f_mul * sum_i v_i q_i
 * with v_i = u_i - (2^bits - 1)/2.  |r|^2 is taken over all D coordinates.
 * For CODE_IP the residual is estimated through (q - c):
 *   -q.r = -(q-c).r - c.r, so f_add = -c.r + f*sum v_i c_i, f_mul = -f.
 * f is 0 for a duplicate (r = 0).  Factors are always finite: where they would
 * overflow they are clamped.
 */
extern void code_encode(CodeMetric metric, int bits, int dc, int D,
						const float *y, const float *c,
						uint8_t *u, float *f_add, float *f_mul);

/*
 * Put the levels u[dc] into a slot (0..31) of a block, or take them out.
 * Storing changes this slot's nibbles only: others may be in use.
 */
extern void code_store(uint8_t *block, int bits, int dc, int slot, const uint8_t *u);
extern void code_load(const uint8_t *block, int bits, int dc, int slot, uint8_t *u);

/*
 * The whole block at once, in a third of the time where dc is large: count rows
 * of dc levels, row s for slot s.  The slots from count on become all zeros.
 */
extern void code_store_all(uint8_t *block, int bits, int dc, int count, const uint8_t *u);

/* sum_i v_i x_i of the code in a slot, in float: exact use of one code */
extern float code_dot(const uint8_t *block, int bits, int dc, int slot, const float *x);

/*
 * A query prepared for estimates: byte tables T_g[16] for each group of four
 * coordinates, with lo_g = sum of min(q,0) subtracted, on one scale delta.
 */
typedef struct CodeQuery
{
	int32_t		bits;
	int32_t		dc;
	float		delta;			/* scale of the table's bytes */
	float		base;			/* sum_i v_i q_i = delta * sum_p 2^p acc_p + base */
	uint8_t	   *table;			/* (dc/4) * 16 bytes, 64-byte aligned, given by the caller */
} CodeQuery;

#define CODE_TABLE_BYTES(dc) ((size_t) (dc) * 4)

/* Prepare q[>= dc] (rotated).  table: CODE_TABLE_BYTES(dc) bytes of the caller's, 64-byte aligned. */
extern void code_query_init(CodeQuery *self, int bits, int dc, const float *q, uint8_t *table);

/*
 * est[32] = own + f_add[s] + f_mul[s] * sum_i v_i q_i for the 32 slots of a
 * block.  own is |q-c|^2 or -q.c.  f_add and f_mul have 32 entries, unaligned,
 * of 16 bits: their error is far below that of the codes.  est has room for 32
 * floats.  Slots with no neighbor give garbage that the
 * caller ignores.  Bit s of the result tells that est[s] is below limit, or NaN.
 */
_Static_assert(CODE_SLOTS == 32, "a bit of uint32_t for each slot");

extern uint32_t code_estimate(const CodeQuery *self, const uint8_t *block, float own,
							  const bfloat16 *f_add, const bfloat16 *f_mul, float limit, float *est);

/* The integer sums of the same: acc[32] = sum_p 2^p sum_g T_g[nibble]; for tests. */
extern void code_scan(const CodeQuery *self, const uint8_t *block, uint32_t *acc);

#endif							/* CORE_CODE_H */
