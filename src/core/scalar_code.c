/*
 * scalar_code.c
 *	  8-bit and 4-bit scalar codes of whole vectors.
 *
 * Codes and products of codes are equal to the bit in every form.  The choice
 * of the 4-bit scale rests on sums of floats; those run in LANES lanes added
 * up in one fixed order, without fused multiplication, in every form alike.
 */
#include "core/scalar_code.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/cpu.h"

#define LANES 32

/*
 * Vectors whose largest coordinate lies outside these bounds are scaled by a
 * power of two first, so that neither squares nor quotients leave the range
 * of float.
 */
#define PLAIN_LEAST 1e-12f
#define PLAIN_MOST 1e12f

/*
 * Steps tried for 4 bits, in standard deviations: from FIRST_STEP upwards by
 * STEP_RATIO while it helps.  A Gaussian's best for 15 levels is near 0.35.
 */
#define FIRST_STEP 0.29f
#define STEP_RATIO 1.15f

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
} ScalarForms;

static float largest_scalar(int D, const float *x);
static float sum_of_squares_scalar(int D, const float *x, float prescale);
static void try4_scalar(int D, const float *x, float prescale, float per_unit,
						float *xv, int32_t *vv);
static void encode4_scalar(int D, const float *x, float prescale, float per_unit, uint8_t *code);
static void encode8_scalar(int D, const float *x, float prescale, float per_unit, int8_t *code);
static int32_t dot8_scalar(const int8_t *a, const int8_t *b, int D);
static int32_t dot4_scalar(const uint8_t *a, const uint8_t *b, int D);

static const ScalarForms forms[] = {
	[CPU_SCALAR] = {largest_scalar, sum_of_squares_scalar, try4_scalar,
	encode4_scalar, encode8_scalar, dot8_scalar, dot4_scalar},
	[CPU_AVX2] = {largest_scalar, sum_of_squares_scalar, try4_scalar,
	encode4_scalar, encode8_scalar, dot8_scalar, dot4_scalar},
	[CPU_AVX512] = {largest_scalar, sum_of_squares_scalar, try4_scalar,
	encode4_scalar, encode8_scalar, dot8_scalar, dot4_scalar},
};

static inline const ScalarForms *
forms_in_force(void)
{
	return &forms[cpu_level_in_force()];
}

/* A power of two that brings most to about 1, within float's own range */
static float
prescale_for(float most)
{
	int			exponent;

	(void) frexpf(most, &exponent);
	if (exponent < -125)
		exponent = -125;
	return ldexpf(1, -exponent);
}

/*
 * For given levels v the best scale is sum xv / sum vv, and leaves an error of
 * |x|^2 - (sum xv)^2 / sum vv.  So the search is for the step whose levels
 * make the last quotient largest: first the one that clips nothing, which is
 * best where few coordinates are large, then a climb from a small one.
 * Returns the scale; *per_unit receives 1/step.
 */
static float
choose_step4(const ScalarForms *f, int D, const float *x, float prescale, float most,
			 float *per_unit)
{
	float		widest = most / 7;
	float		deviation = sqrtf(f->sum_of_squares(D, x, prescale) / (float) D);
	float		step = deviation * FIRST_STEP;
	float		xv;
	int32_t		vv;
	double		quality;
	double		climb = 0;
	double		scale;

	*per_unit = 1 / widest;
	f->try4(D, x, prescale, *per_unit, &xv, &vv);
	quality = (double) xv * xv / vv;
	scale = (double) xv / vv;

	for (; step < widest; step *= STEP_RATIO)
	{
		double		reached;

		f->try4(D, x, prescale, 1 / step, &xv, &vv);
		if (vv == 0)
			break;
		reached = (double) xv * xv / vv;
		if (reached > quality)
		{
			quality = reached;
			scale = (double) xv / vv;
			*per_unit = 1 / step;
		}
		if (reached < climb)
			break;
		climb = reached;
	}
	return (float) scale;
}

float
scalar_encode(int bits, int D, const float *x, void *code)
{
	const ScalarForms *f = forms_in_force();
	float		most = f->largest(D, x);
	float		prescale = 1;
	float		per_unit;
	float		scale;
	float		most_scale;

	if (!(most > 0 && most <= FLT_MAX))
	{
		/* zeros; not a vector of finite numbers, if not */
		memset(code, bits == 8 ? 0 : 0x88, scalar_code_bytes(bits, D));
		return 0;
	}
	if (!(most >= PLAIN_LEAST && most <= PLAIN_MOST))
	{
		prescale = prescale_for(most);
		most *= prescale;
	}

	if (bits == 8)
	{
		scale = most / 127;
		per_unit = 127 / most;
		f->encode8(D, x, prescale, per_unit, code);
	}
	else
	{
		scale = choose_step4(f, D, x, prescale, most, &per_unit);
		f->encode4(D, x, prescale, per_unit, code);
	}
	scale /= prescale;

	/* rounded up, it could make the largest level decode to infinity */
	most_scale = nextafterf(FLT_MAX / (bits == 8 ? 127 : 7), 0);
	return scale < most_scale ? scale : most_scale;
}

void
scalar_decode(int bits, int D, const void *code, float scale, float *out)
{
	if (bits == 8)
	{
		const int8_t *v = code;

		for (int i = 0; i < D; i++)
			out[i] = scale * v[i];
	}
	else
	{
		const uint8_t *u = code;

		for (int i = 0; i < D / 2; i++)
		{
			out[2 * i] = scale * ((u[i] & 15) - 8);
			out[2 * i + 1] = scale * ((u[i] >> 4) - 8);
		}
	}
}

int32_t
scalar_dot8(const int8_t *a, const int8_t *b, int D)
{
	return forms_in_force()->dot8(a, b, D);
}

int32_t
scalar_dot4(const uint8_t *a, const uint8_t *b, int D)
{
	return forms_in_force()->dot4(a, b, D);
}

/* ---- scalar forms ---- */

static float
sum_lanes(float *lane)
{
	for (int width = LANES / 2; width > 0; width /= 2)
	{
		for (int j = 0; j < width; j++)
			lane[j] += lane[j + width];
	}
	return lane[0];
}

/* x in units of the scale, rounded, ties to even, within -most..most */
static inline int
to_level(float x, float prescale, float per_unit, float most)
{
	float		level = x * prescale * per_unit;

	level = level > -most ? level : -most;	/* NaN too */
	level = level < most ? level : most;
	return (int) lrintf(level);
}

static float
largest_scalar(int D, const float *x)
{
	float		most = 0;

	for (int i = 0; i < D; i++)
	{
		float		size = fabsf(x[i]);

		most = size > most ? size : most;
	}
	return most;
}

static float
sum_of_squares_scalar(int D, const float *x, float prescale)
{
	float		squares[LANES] = {0};

	for (int i = 0; i < D; i++)
	{
		float		scaled = x[i] * prescale;

		squares[i % LANES] += scaled * scaled;
	}
	return sum_lanes(squares);
}

static void
try4_scalar(int D, const float *x, float prescale, float per_unit,
			float *xv, int32_t *vv)
{
	float		products[LANES] = {0};
	int32_t		squares = 0;

	for (int i = 0; i < D; i++)
	{
		int			v = to_level(x[i], prescale, per_unit, 7);

		products[i % LANES] += x[i] * prescale * (float) v;
		squares += v * v;
	}
	*xv = sum_lanes(products);
	*vv = squares;
}

static void
encode4_scalar(int D, const float *x, float prescale, float per_unit, uint8_t *code)
{
	for (int i = 0; i < D; i += 2)
	{
		int			low = to_level(x[i], prescale, per_unit, 7) + 8;
		int			high = to_level(x[i + 1], prescale, per_unit, 7) + 8;

		code[i / 2] = (uint8_t) (low | (high << 4));
	}
}

static void
encode8_scalar(int D, const float *x, float prescale, float per_unit, int8_t *code)
{
	for (int i = 0; i < D; i++)
		code[i] = (int8_t) to_level(x[i], prescale, per_unit, 127);
}

static int32_t
dot8_scalar(const int8_t *a, const int8_t *b, int D)
{
	int32_t		sum = 0;

	for (int i = 0; i < D; i++)
		sum += a[i] * b[i];
	return sum;
}

static int32_t
dot4_scalar(const uint8_t *a, const uint8_t *b, int D)
{
	int32_t		sum = 0;

	for (int i = 0; i < D / 2; i++)
	{
		sum += ((a[i] & 15) - 8) * ((b[i] & 15) - 8);
		sum += ((a[i] >> 4) - 8) * ((b[i] >> 4) - 8);
	}
	return sum;
}
