/*
 * scalar_code_forms.h
 *	  The table through which scalar_code.c reaches the forms of its kernels;
 *	  private to scalar_code*.c.
 */
#ifndef CORE_SCALAR_CODE_FORMS_H
#define CORE_SCALAR_CODE_FORMS_H

#include "core/vec/cpu.h"
#include "core/vec/scalar_code.h"

typedef struct ScalarForms
{
	float		(*largest) (int D, const float *x); /* max |x_i|; NaN may be missed */
	float		(*sum_of_squares) (int D, const float *x, float prescale);

	/* sums of x_i v_i and v_i^2 where v_i = x_i * per_unit rounded, within -7..7 */
	void		(*try4) (int D, const float *x, float prescale, float per_unit,
						 float *xv, int32_t *vv);
	void		(*encode4) (int D, const float *x, float prescale, float per_unit, uint8_t *code);
	void		(*encode8) (int D, const float *x, float prescale, float per_unit, int8_t *code);
	int32_t		(*dot8) (const int8_t *a, const int8_t *b, int D);
	int32_t		(*dot4) (const uint8_t *a, const uint8_t *b, int D);

	/* of four codes at once; NULL: no quicker than one by one */
	void		(*dots8) (const void *query, const void *const *codes, int D, int32_t *dots);
	void		(*dots4) (const void *query, const void *const *codes, int D, int32_t *dots);
} ScalarForms;

#ifdef CORE_ARM64
extern const ScalarForms scalar_forms_neon;
extern const ScalarForms scalar_forms_dotprod;
#endif

#endif							/* CORE_SCALAR_CODE_FORMS_H */
