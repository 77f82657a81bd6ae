/*
 * rotation_forms.h
 *	  The forms of a round of rotation.c; private to rotation*.c.
 */
#ifndef CORE_ROTATION_FORMS_H
#define CORE_ROTATION_FORMS_H

#include <stdint.h>

#include "core/vec/cpu.h"

#define SQRT_HALF 0.70710678118654752440f

#ifdef CORE_X86
extern void rotation_round_avx2(float *x, const uint32_t *signs, int D, int T, int at, float scale);
extern void rotation_round_avx512(float *x, const uint32_t *signs, int D, int T, int at, float scale);

/* What a round does after the transform, where T < D; for both of them */
extern void rotation_finish_avx2(float *x, const uint32_t *signs, int D, int T, int at);
#endif

#ifdef CORE_ARM64
extern void rotation_round_neon(float *x, const uint32_t *signs, int D, int T, int at, float scale);
#endif

#endif							/* CORE_ROTATION_FORMS_H */
