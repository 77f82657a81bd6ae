/*
 * code_forms.h
 *	  The table through which code.c reaches the forms of its kernels; private
 *	  to code*.c.
 *
 * What is an integer (levels, tables, sums of table entries) is equal to the
 * bit in every form.  Where an integer follows from a sum of floats, that sum
 * runs in LANES lanes (element i in lane i % LANES), without fused
 * multiplication, and the lanes are added up by halves: lane j and j + 16,
 * then j + 8, and so on.
 */
#ifndef CORE_CODE_FORMS_H
#define CORE_CODE_FORMS_H

#include "core/vec/code.h"
#include "core/vec/cpu.h"

#define LANES 32

/*
 * Step between levels in units of the residual's standard deviation: least
 * mean squared error of a uniform quantiser of 4 and 16 levels on a Gaussian.
 */
#define STEP_2_BITS 0.9957f
#define STEP_4_BITS 0.3352f

static inline float
code_step(int bits)
{
	return bits == 2 ? STEP_2_BITS : STEP_4_BITS;
}

/*
 * Encoding in float is safe while the mean square of the residual is within
 * these bounds; outside, encode_in_double() takes over.
 */
#define SAFE_LEAST 1e-25f
#define SAFE_MOST 1e30f

/* What encoding adds up besides the levels. */
typedef struct EncodeSums
{
	double		rr;				/* sum of r_i^2 over all D */
	double		vr;				/* sum of v_i r_i over dc */
	double		vc;				/* sum of v_i c_i over dc */
	double		cr;				/* sum of c_i r_i over all D */
} EncodeSums;

typedef struct CodeForms
{
	/* false, with u and sums undefined, where float is not safe */
	bool		(*encode) (int bits, int dc, int D, const float *y, const float *c,
						   uint8_t *u, EncodeSums *sums);

	/*
	 * The largest sum of |q_i| in a group, added up as (0 + 1) + (2 + 3), and
	 * the sum of all.  Only the latter need show that some q is NaN.
	 */
	void		(*query_size) (int dc, const float *q, float *widest, double *total);
	void		(*query_table) (int dc, const float *q, float scale, uint8_t *table);
	void		(*scan) (const CodeQuery *self, const uint8_t *block, uint32_t *acc);
	uint32_t	(*estimate) (const CodeQuery *self, const uint8_t *block, float own,
							 const bfloat16 *f_add, const bfloat16 *f_mul, float limit, float *est);
} CodeForms;

#ifdef CORE_X86
extern const CodeForms code_forms_avx2;
extern const CodeForms code_forms_avx512;
#endif

#ifdef CORE_ARM64
extern const CodeForms code_forms_neon;
#endif

#endif							/* CORE_CODE_FORMS_H */
