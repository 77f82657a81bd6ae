/*
 * distance_forms.h
 *	  The table through which distance.c reaches the forms of its kernels;
 *	  private to distance*.c.
 *
 * One table for each CpuLevel.  These kernels sum in float and return what
 * they get, infinity and NaN included; distance.c decides what follows.
 */
#ifndef CORE_DISTANCE_FORMS_H
#define CORE_DISTANCE_FORMS_H

#include "core/vec/cpu.h"
#include "core/vec/half.h"
#include "core/vec/packed12.h"

/* The three sums of a cosine. */
typedef struct CosineSums
{
	float		ab;
	float		aa;
	float		bb;
} CosineSums;

typedef struct DistanceForms
{
	float		(*l2sq_f32) (const float *a, const float *b, int n);
	float		(*ip_f32) (const float *a, const float *b, int n);
	float		(*l1_f32) (const float *a, const float *b, int n);
	CosineSums	(*cosine_f32) (const float *a, const float *b, int n);

	float		(*l2sq_f16) (const half *a, const half *b, int n);
	float		(*ip_f16) (const half *a, const half *b, int n);
	float		(*l1_f16) (const half *a, const half *b, int n);
	CosineSums	(*cosine_f16) (const half *a, const half *b, int n);

	/* sum of (q - scale v)^2, and of q v: the latter without the scale */
	float		(*l2sq_f32_p12) (const float *q, const uint8_t *x, int n, float scale);
	float		(*ip_f32_p12) (const float *q, const uint8_t *x, int n, float scale);

	/* bits of a xor b; bits of a and b, and of a or b */
	uint64_t	(*count_xor) (const uint8_t *a, const uint8_t *b, int bytes);
	void		(*count_and_or) (const uint8_t *a, const uint8_t *b, int bytes,
								 uint64_t *both, uint64_t *either);
} DistanceForms;

extern const DistanceForms distance_forms_scalar;

#ifdef CORE_X86
extern const DistanceForms distance_forms_avx2;
extern const DistanceForms distance_forms_avx512;
#endif

#endif							/* CORE_DISTANCE_FORMS_H */
