/*
 * rotation.c
 *	  The seeded random rotation of rotation.h.
 *
 * Every form computes the very same additions and multiplications, in an order
 * that differs only where they do not depend on each other, and none of them
 * fused: the result is equal to the bit on every machine, so that an index
 * built on one reads as well on another.
 *
 * The scale 1/sqrt(T) is applied before the butterflies, together with the
 * signs.  No intermediate value then exceeds the norm of the input, and a
 * vector whose norm a float can hold never overflows on the way.
 */
#include "core/vec/rotation.h"

#include <math.h>
#include <string.h>

#include "core/assert.h"
#include "core/vec/rotation_forms.h"

#define ROUNDS 4

/* One round, in place: see rotation.h.  at is the first of the T coordinates. */
typedef void (*RoundForm) (float *x, const uint32_t *signs, int D, int T, int at, float scale);

static void round_scalar(float *x, const uint32_t *signs, int D, int T, int at, float scale);

static const RoundForm round_forms[] = {
	[CPU_SCALAR] = round_scalar,
#ifdef CORE_X86
	[CPU_AVX2] = rotation_round_avx2,
	[CPU_AVX512] = rotation_round_avx512,
#endif
#ifdef CORE_ARM64
	[CPU_NEON] = rotation_round_neon,
	[CPU_DOTPROD] = rotation_round_neon,
	[CPU_FP16] = rotation_round_neon,
#endif
};

_Static_assert(sizeof(Rotation) == 16, "rotation_size() leaves no room between fields and signs");

/* Is out as long as x?  Squares of tiny or huge coordinates are not asked. */
static bool
keeps_length(const Rotation *self, const float *x, const float *out)
{
	double		before = 0;
	double		after = 0;

	for (int i = 0; i < self->dim; i++)
		before += (double) x[i] * x[i];
	for (int i = 0; i < self->padded; i++)
		after += (double) out[i] * out[i];
	return !(before > 1e-30 && before < 1e30) || fabs(after / before - 1) < 1e-4;
}

size_t
rotation_size(int dim)
{
	return sizeof(Rotation) + sizeof(uint32_t) * ROUNDS * (size_t) rotation_padded(dim);
}

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014) */
static uint64_t
splitmix64(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

void
rotation_init(Rotation *self, int dim, uint64_t seed)
{
	uint64_t	state = seed;
	uint64_t	bits = 0;

	CORE_ASSERT(dim >= 1);
	self->dim = dim;
	self->padded = rotation_padded(dim);
	self->seed = seed;
	for (int i = 0; i < ROUNDS * self->padded; i++)
	{
		if (i % 64 == 0)
			bits = splitmix64(&state);
		self->signs[i] = (uint32_t) (bits & 1) << 31;
		bits >>= 1;
	}
}

void
rotation_apply(const Rotation *self, const float *x, float *out)
{
	int			D = self->padded;
	int			T = 1;
	float		scale;
	RoundForm	round_form = round_forms[cpu_level_in_force()];

	CORE_ASSERT(self->dim >= 1 && D == rotation_padded(self->dim));
	CORE_ASSERT(x + self->dim <= out || out + D <= x);
	while (T * 2 <= D)
		T *= 2;
	scale = (float) (1 / sqrt((double) T));

	memcpy(out, x, sizeof(float) * (size_t) self->dim);
	memset(out + self->dim, 0, sizeof(float) * (size_t) (D - self->dim));
	for (int round = 0; round < ROUNDS; round++)
		round_form(out, self->signs + (size_t) round * D, D, T,
				   round % 2 == 0 ? 0 : D - T, scale);
	CORE_ASSERT(keeps_length(self, x, out));
}

static inline float
flip_sign(float f, uint32_t sign)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof bits);
	bits ^= sign;
	memcpy(&f, &bits, sizeof f);
	return f;
}

static void
round_scalar(float *x, const uint32_t *signs, int D, int T, int at, float scale)
{
	for (int i = 0; i < D; i++)
		x[i] = flip_sign(x[i], signs[i]);
	for (int i = at; i < at + T; i++)
		x[i] *= scale;

	for (int width = 1; width < T; width *= 2)
	{
		for (int i = at; i < at + T; i += 2 * width)
		{
			for (int j = i; j < i + width; j++)
			{
				float		a = x[j];
				float		b = x[j + width];

				x[j] = a + b;
				x[j + width] = a - b;
			}
		}
	}

	if (T < D)
	{
		for (int i = 0; i < D / 2; i++)
		{
			float		a = x[i];
			float		b = x[i + D / 2];

			x[i] = (a + b) * SQRT_HALF;
			x[i + D / 2] = (a - b) * SQRT_HALF;
		}
	}
}
