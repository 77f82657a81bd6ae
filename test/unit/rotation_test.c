/*
 * rotation_test.c
 *	  The rotation keeps norms and inner products, mixes every coordinate, is
 *	  the same to the bit in every form, and is the one that indexes on disk
 *	  were built with.
 */
#include "core/vec/rotation.h"

#include "fixture.h"

#define TRIALS 3

static Rotation *
rotation_new(int dim, uint64_t seed)
{
	Rotation   *self = must_alloc(rotation_size(dim));

	rotation_init(self, dim, seed);
	return self;
}

static double
dot(const float *a, const float *b, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

/* FNV-1a over the bytes of the output, least significant first */
static uint64_t
checksum(const float *x, int n)
{
	uint64_t	hash = UINT64_C(0xCBF29CE484222325);

	for (int i = 0; i < n; i++)
	{
		uint32_t	bits;

		memcpy(&bits, &x[i], sizeof bits);
		for (int k = 0; k < 32; k += 8)
			hash = (hash ^ ((bits >> k) & 0xFF)) * UINT64_C(0x100000001B3);
	}
	return hash;
}

/* Exact-size inputs and outputs, so that the guards see any step outside */
static bool
test_dim(int dim, Guarded in, Guarded out)
{
	int			D = rotation_padded(dim);
	Rotation   *rotation = rotation_new(dim, random_bits());
	float	   *x = must_alloc(sizeof(float) * dim);
	float	   *y = must_alloc(sizeof(float) * dim);
	float	   *rx = must_alloc(sizeof(float) * D);
	float	   *ry = must_alloc(sizeof(float) * D);
	bool		pass = D >= dim && D < dim + 8 && D % 8 == 0;

	for (int trial = 0; trial < TRIALS && pass; trial++)
	{
		double		xx;
		double		yy;

		for (int i = 0; i < dim; i++)
		{
			x[i] = (float) random_normal();
			y[i] = (float) (trial == 0 ? i == dim - 1 : random_normal());
		}
		cpu_level_limit(CPU_SCALAR);
		rotation_apply(rotation, x, rx);
		rotation_apply(rotation, y, ry);
		xx = dot(x, x, dim);
		yy = dot(y, y, dim);
		if (fabs(dot(rx, rx, D) / xx - 1) > 1e-5 || fabs(dot(ry, ry, D) / yy - 1) > 1e-5 ||
			fabs(dot(rx, ry, D) - dot(x, y, dim)) > 1e-5 * sqrt(xx * yy))
		{
			diag("dim %d: norms %g and %g became %g and %g, product %g became %g", dim, xx, yy,
				 dot(rx, rx, D), dot(ry, ry, D), dot(x, y, dim), dot(rx, ry, D));
			pass = false;
		}
		FOR_EACH_LEVEL(level)
		{
			bool		end = trial % 2 == 0;
			float	   *place = guarded_copy(out, end, rx, sizeof(float) * D);

			memset(place, 0x7F, sizeof(float) * D);
			rotation_apply(rotation, guarded_copy(in, end, x, sizeof(float) * dim), place);
			if (memcmp(place, rx, sizeof(float) * D) != 0)
			{
				diag("dim %d: %s differs from scalar", dim, cpu_level_names[level]);
				pass = false;
			}
		}
	}
	free(rotation);
	free(x);
	free(y);
	free(rx);
	free(ry);
	return pass;
}

static void
test_dims(void)
{
	static const int large[] = {
		383, 384, 511, 512, 513, 767, 768, 784, 960, 1000, 1023, 1024, 1025, 1536,
		2000, 3072, 4096, 5000, 8191, 8192, 8193, 15999, 16000
	};
	Guarded		in = guarded_new(sizeof(float) * 16000);
	Guarded		out = guarded_new(sizeof(float) * 16000);
	bool		pass = true;

	for (int dim = 1; dim <= 300; dim++)
		pass &= test_dim(dim, in, out);
	ok(pass, "dims 1 to 300: norms and inner products kept, forms equal to the bit");
	pass = true;
	for (size_t i = 0; i < sizeof large / sizeof *large; i++)
		pass &= test_dim(large[i], in, out);
	ok(pass, "dims to 16,000: norms and inner products kept, forms equal to the bit");
}

/*
 * An index keeps its seed, not its rotation: these values may never change.
 * The input is exact in float, and so is every checksum.
 */
static void
test_fixed(void)
{
	static const struct
	{
		int			dim;
		uint64_t	seed;
		uint64_t	expected;
	}			known[] = {
		{3, 1, UINT64_C(0xC1658898CBD38E1C)},
		{100, 42, UINT64_C(0x7DFC87E95B76EE4B)},
		{784, 7, UINT64_C(0xB52455A562C856FC)},
		{1536, UINT64_C(0xFEDCBA9876543210), UINT64_C(0x9BEC56606AD63730)},
	};

	for (size_t k = 0; k < sizeof known / sizeof *known; k++)
	{
		int			dim = known[k].dim;
		Rotation   *rotation = rotation_new(dim, known[k].seed);
		float	   *x = must_alloc(sizeof(float) * dim);
		float	   *out = must_alloc(sizeof(float) * rotation_padded(dim));

		for (int i = 0; i < dim; i++)
			x[i] = (float) ((i * 37) % 101 - 50) / 64;
		FOR_EACH_LEVEL(level)
		{
			uint64_t	got;

			rotation_apply(rotation, x, out);
			got = checksum(out, rotation_padded(dim));
			if (!ok(got == known[k].expected, "dim %d %s: the output has its fixed checksum", dim, cpu_level_names[level]))
				diag("got 0x%016" PRIX64, got);
		}
		free(rotation);
		free(x);
		free(out);
	}
}

/* A single coordinate spreads over all others: that is what it is for. */
static void
test_mixing(void)
{
	static const int dims[] = {64, 100, 384, 784, 1536};

	cpu_level_limit(CPU_MOST);
	for (size_t k = 0; k < sizeof dims / sizeof *dims; k++)
	{
		int			dim = dims[k];
		int			D = rotation_padded(dim);
		Rotation   *rotation = rotation_new(dim, random_bits());
		float	   *x = must_alloc(sizeof(float) * dim);
		float	   *out = must_alloc(sizeof(float) * D);
		float		largest = 0;
		int			zeros = 0;

		for (int hot = 0; hot < dim; hot++)
		{
			memset(x, 0, sizeof(float) * dim);
			x[hot] = 1;
			rotation_apply(rotation, x, out);
			for (int i = 0; i < D; i++)
			{
				largest = fmaxf(largest, fabsf(out[i]));
				zeros += out[i] == 0;
			}
		}

		/*
		 * A Gaussian of deviation 1/sqrt(D) passes 7 deviations once in 4e11.
		 * Where D is no power of two, coordinates outside a round's T see one
		 * transform less and tails are heavier.
		 */
		if (!ok(largest * sqrtf((float) D) < ((D & (D - 1)) == 0 ? 7 : 16),
				"dim %d: no coordinate of a rotated unit vector stands out", dim))
			diag("%g deviations", largest * sqrtf((float) D));
		if (!ok(zeros < dim * D / 20, "dim %d: few coordinates of a rotated unit vector are 0", dim))
			diag("%d of %d", zeros, dim * D);
		free(rotation);
		free(x);
		free(out);
	}
}

static void
test_range(void)
{
	enum
	{
		DIM = 104
	};
	Rotation   *rotation = rotation_new(DIM, 5);
	Rotation   *other = rotation_new(DIM, 6);
	float		x[DIM];
	float		out[DIM];
	float		out2[DIM];

	FOR_EACH_LEVEL(level)
	{
		bool		finite_all = true;

		for (int i = 0; i < DIM; i++)
			x[i] = i % 2 == 0 ? 3e37f : -3e37f;
		rotation_apply(rotation, x, out);
		for (int i = 0; i < DIM; i++)
			finite_all &= !!isfinite(out[i]);
		ok(finite_all && fabs(sqrt(dot(out, out, DIM)) / (3e37 * sqrt(DIM)) - 1) < 1e-5,
		   "%s: a norm near the largest float does not overflow on the way", cpu_level_names[level]);

		memset(x, 0, sizeof x);
		rotation_apply(rotation, x, out);
		ok(dot(out, out, DIM) == 0, "%s: zero stays zero", cpu_level_names[level]);
	}
	for (int i = 0; i < DIM; i++)
		x[i] = (float) random_normal();
	rotation_apply(rotation, x, out);
	rotation_apply(other, x, out2);
	ok(fabs(dot(out, out2, DIM)) < 0.7 * dot(x, x, DIM), "another seed gives another rotation");
	free(rotation);
	free(other);
}

int
main(void)
{
	random_begin();
	report_levels();
	test_dims();
	test_fixed();
	test_mixing();
	test_range();
	return tap_done();
}
