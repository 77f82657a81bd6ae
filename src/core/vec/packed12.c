/*
 * packed12.c
 *	  Packing of vectors into 12-bit integers; distances are in distance*.c.
 */
#include "core/vec/packed12.h"

#include <float.h>
#include <math.h>

#include "core/assert.h"

#define MOST 2047

/* packed12_get() gives each coordinate back to half a unit and a rounding of the scale. */
static bool
is_packed(const float *x, int n, const uint8_t *in, float scale)
{
	for (int i = 0; i < n; i++)
	{
		int			v = packed12_get(in, n, i);

		if (v < -MOST || v > MOST || !(fabs(x[i] - (double) scale * v) <= 0.501 * scale))
			return false;
	}
	return true;
}

float
packed12_store(const float *x, int n, uint8_t *out)
{
	float		most = 0;
	float		scale;
	double		per_unit;

	CORE_ASSERT(n >= 0 && n % 8 == 0);
	for (int i = 0; i < n; i++)
		most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
	scale = most / MOST;
	if (scale < FLT_MIN)
		scale = FLT_MIN;		/* zeros, or as good as zeros */
	per_unit = 1.0 / scale;

	for (int i = 0; i < n; i += 2)
	{
		int			v[2];

		for (int j = 0; j < 2; j++)
		{
			v[j] = (int) lrint(x[i + j] * per_unit);
			v[j] = v[j] > MOST ? MOST : v[j] < -MOST ? -MOST : v[j];
			out[i + j] = (uint8_t) (v[j] >> 4);
		}
		out[n + i / 2] = (uint8_t) ((v[0] & 15) | (v[1] & 15) << 4);
	}
	CORE_ASSERT(scale >= FLT_MIN && scale <= FLT_MAX && is_packed(x, n, out, scale));
	return scale;
}

void
packed12_load(const uint8_t *in, int n, float scale, float *x)
{
	CORE_ASSERT(n >= 0 && n % 8 == 0);
	for (int i = 0; i < n; i += 2)
	{
		unsigned	low = in[n + i / 2];

		x[i] = (float) ((int) (int8_t) in[i] * 16 + (int) (low & 15)) * scale;
		x[i + 1] = (float) ((int) (int8_t) in[i + 1] * 16 + (int) (low >> 4)) * scale;
	}
}
