/*
 * distance.h
 *	  Distance kernels on dense vectors, packed bits and sparse vectors.
 *
 * Plain C11: no PostgreSQL header.  Each kernel has a scalar reference and
 * forms for AVX2+FMA+F16C, AVX-512 and Arm, chosen at run time (cpu.h).  Arrays may
 * be unaligned and n may be 0.  Sums are accumulated in float, several lanes
 * wide; where that overflows (the sum is not finite although every element
 * is), the kernel runs again in double, so that a result is finite whenever
 * a double can hold it and the order of large values is never lost.
 */
#ifndef CORE_DISTANCE_H
#define CORE_DISTANCE_H

#include <stdint.h>

#include "core/vec/half.h"

/* float[n] against float[n] */
extern double dist_l2sq_f32(const float *a, const float *b, int n);		/* sum of (a-b)^2 */
extern double dist_ip_f32(const float *a, const float *b, int n);		/* sum of a*b */
extern double dist_l1_f32(const float *a, const float *b, int n);		/* sum of |a-b| */
extern double dist_cosine_f32(const float *a, const float *b, int n);	/* 1 - cosine similarity, in [0,2]; NaN when a norm is 0 */
extern double dist_norm_f32(const float *a, int n);						/* Euclidean norm */

/* half[n] against half[n] */
extern double dist_l2sq_f16(const half *a, const half *b, int n);
extern double dist_ip_f16(const half *a, const half *b, int n);
extern double dist_l1_f16(const half *a, const half *b, int n);
extern double dist_cosine_f16(const half *a, const half *b, int n);
extern double dist_norm_f16(const half *a, int n);

/*
 * float[n] query against the packed 12-bit x[n] times scale (packed12.h): the
 * index's own distance.  n is a multiple of 8.  Float only: infinity on overflow.
 */
extern float dist_l2sq_f32_p12(const float *q, const uint8_t *x, int n, float scale);
extern float dist_ip_f32_p12(const float *q, const uint8_t *x, int n, float scale);

/* packed bits, any byte count: number of differing bits; 1 - |and|/|or| (1 when |and| is 0) */
extern uint64_t dist_hamming(const uint8_t *a, const uint8_t *b, int bytes);
extern double dist_jaccard(const uint8_t *a, const uint8_t *b, int bytes);

/*
 * Sparse vectors: nnz pairs of (index, value), indices strictly ascending.
 * Every index that only one side has counts as zero on the other.
 */
extern double dist_l2sq_sparse(int annz, const int32_t *ai, const float *av, int bnnz, const int32_t *bi, const float *bv);
extern double dist_ip_sparse(int annz, const int32_t *ai, const float *av, int bnnz, const int32_t *bi, const float *bv);
extern double dist_l1_sparse(int annz, const int32_t *ai, const float *av, int bnnz, const int32_t *bi, const float *bv);
extern double dist_cosine_sparse(int annz, const int32_t *ai, const float *av, int bnnz, const int32_t *bi, const float *bv);

#endif							/* CORE_DISTANCE_H */
