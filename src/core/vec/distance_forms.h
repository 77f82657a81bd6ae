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

#ifdef CORE_ARM64
extern const DistanceForms distance_forms_neon;
extern const DistanceForms distance_forms_fp16;

/* For both of them */
extern uint64_t distance_count_xor_neon(const uint8_t *a, const uint8_t *b, int bytes);
extern void distance_count_and_or_neon(const uint8_t *a, const uint8_t *b, int bytes,
									   uint64_t *both, uint64_t *either);
#endif

/* Of the ends of arrays, where an instruction set has no masked loads: */

/*
 * Less than eight halves, and zeros behind them: two overlapping loads of half
 * the size, or less, cover them, and shifts put them in place.
 */
static inline __attribute__((always_inline)) void
load_some_halves(const half *p, int n, uint64_t words[2])
{
	words[0] = 0;
	words[1] = 0;
	if (n >= 4)
	{
		memcpy(&words[0], p, 8);
		if (n > 4)
		{
			memcpy(&words[1], p + n - 4, 8);
			words[1] >>= 16 * (8 - n);
		}
	}
	else if (n >= 2)
	{
		uint32_t	first;
		uint32_t	last;

		memcpy(&first, p, 4);
		memcpy(&last, p + n - 2, 4);
		words[0] = first | (uint64_t) last << (16 * (n - 2));
	}
	else
		words[0] = *p;
}

/* Up to eight bytes, with zeros behind them */
static inline __attribute__((always_inline)) uint64_t
load_bits(const uint8_t *p, int bytes)
{
	uint64_t	word = 0;

	if (bytes >= 8)
		memcpy(&word, p, 8);
	else
	{
		for (int i = 0; i < bytes; i++)
			word |= (uint64_t) p[i] << (8 * i);
	}
	return word;
}

#endif							/* CORE_DISTANCE_FORMS_H */
