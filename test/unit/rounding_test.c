/*
 * rounding_test.c
 *	  What rotation and sums over the dimensions lose of a distance, beside what the
 *	  operators give of the vectors as they are.  The bounds are usual_rounding_of() of
 *	  index/value.c, which trusts them.
 */
#include "core/vec/distance.h"
#include "core/vec/rotation.h"

#include <math.h>

#include "fixture.h"

#ifdef TEST_BRIEFLY
#define FLOATS	20000
#else
#define FLOATS	200000			/* of pairs of one kind, length and form */
#endif
#define MOST_PAIRS	300
#define MOST_DIM	16000

typedef enum Kind
{
	NORMAL,
	INTEGERS,
	THIN,
	ONE_HOT,
	HEAVY_TAILED,
	FAR_FROM_ZERO,
	KINDS
} Kind;

static const char *const kind_names[] = {"normal", "integers", "thin", "one-hot", "heavy-tailed", "far from zero"};

static float x[MOST_DIM];
static float y[MOST_DIM];
static float center[MOST_DIM];
static float from_center[MOST_DIM];
static float rx[MOST_DIM + 8];
static float ry[MOST_DIM + 8];

/* A pair, the second nearer to the first in later trials of three. */
static void
make_pair(Kind kind, int dim, int trial)
{
	static const double spreads[] = {1, 0.3, 0.05};
	double		spread = spreads[trial % 3];

	for (int i = 0; i < dim; i++)
	{
		switch (kind)
		{
			case NORMAL:
				x[i] = (float) random_normal();
				y[i] = (float) (x[i] + spread * random_normal());
				break;
			case INTEGERS:
				x[i] = (float) random_below(256);
				y[i] = (float) floor(random_below(256) * spread + x[i] * (1 - spread));
				break;
			case THIN:
				x[i] = random_below(50) == 0 ? (float) random_normal() : 0;
				y[i] = random_below(50) == 0 ? (float) (x[i] + spread * random_normal()) : x[i];
				break;
			case ONE_HOT:
				x[i] = i == trial % dim;
				y[i] = i == (trial * 7 + 1) % dim;
				break;
			case HEAVY_TAILED:
				x[i] = (float) exp(3 * random_normal());
				y[i] = (float) (x[i] * exp(spread * random_normal()));
				break;
			default:
				x[i] = (float) (100 + random_normal());
				y[i] = (float) (x[i] + spread * random_normal());
				break;
		}
	}
}

static void
rotate_from_center(const Rotation *rotation, const float *v, double factor, float *out)
{
	for (int i = 0; i < rotation->dim; i++)
		from_center[i] = (float) (v[i] * factor) - center[i];
	rotation_apply(rotation, from_center, out);
}

/* Parts of the allowed rounding: Euclidean distance, inner product, cosine */
static void
measure(const Rotation *rotation, double off[3])
{
	int			dim = rotation->dim;
	int			D = rotation->padded;
	double		others = 2e-6 + 6e-10 * D;
	double		x_norm = dist_norm_f32(x, dim);
	double		y_norm = dist_norm_f32(y, dim);

	off[0] = off[1] = off[2] = 0;
	if (x_norm == 0 || y_norm == 0)
		return;
	for (int i = 0; i < dim; i++)
		center[i] = (float) (0.5 * sin(i) * x_norm / sqrt(dim));
	rotate_from_center(rotation, x, 1, rx);
	rotate_from_center(rotation, y, 1, ry);
	off[0] = fabs(sqrt(dist_l2sq_f32(rx, ry, D)) - sqrt(dist_l2sq_f32(x, y, dim))) /
		(1e-6 * (dist_norm_f32(rx, D) + dist_norm_f32(ry, D)) + 2.5e-7 * dist_norm_f32(center, dim));

	memset(center, 0, sizeof(float) * (size_t) dim);
	rotate_from_center(rotation, x, 1, rx);
	rotate_from_center(rotation, y, 1, ry);
	off[1] = fabs((double) dist_ip_f32(rx, ry, D) - dist_ip_f32(x, y, dim)) / (others * x_norm * y_norm);

	for (int i = 0; i < dim; i++)
		center[i] = (float) (0.5 * sin(i) / sqrt(dim));
	rotate_from_center(rotation, x, 1 / x_norm, rx);
	rotate_from_center(rotation, y, 1 / y_norm, ry);
	off[2] = fabs(dist_l2sq_f32(rx, ry, D) / 2 - dist_cosine_f32(x, y, dim)) / others;
}

static void
test_level(CpuLevel level)
{
	static const int dims[] = {8, 16, 32, 64, 100, 128, 256, 384, 784, 1024, 1536, 3072, 8000, MOST_DIM};
	static const char *const metrics[] = {"Euclidean", "inner product", "cosine"};
	double		most[3] = {0};
	int			pairs = 0;

	for (size_t k = 0; k < sizeof dims / sizeof *dims; k++)
	{
		Rotation   *rotation = must_alloc(rotation_size(dims[k]));

		rotation_init(rotation, dims[k], random_bits());
		for (int kind = 0; kind < KINDS; kind++)
		{
			for (int trial = 0; trial < MOST_PAIRS && trial * dims[k] < FLOATS; trial++)
			{
				double		off[3];

				make_pair(kind, dims[k], trial);
				measure(rotation, off);
				pairs++;
				for (int metric = 0; metric < 3; metric++)
				{
					if (off[metric] > 1)
						diag("%s, %d dimensions, %s: %.2f of what is allowed for", metrics[metric], dims[k], kind_names[kind], off[metric]);
					most[metric] = fmax(most[metric], off[metric]);
				}
			}
		}
		free(rotation);
	}
	for (int metric = 0; metric < 3; metric++)
		ok(most[metric] <= 1, "%s, %s: of %d pairs none is off by more than is allowed for, %.2f of it at most",
		   cpu_level_names[level], metrics[metric], pairs, most[metric]);
}

int
main(void)
{
	random_begin();
	FOR_EACH_LEVEL(level)
		test_level(level);
	return tap_done();
}
