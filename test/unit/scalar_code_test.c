/*
 * scalar_code_test.c
 *	  Scalar codes of whole vectors: exact integers in every form, and errors
 *	  of the size that the number of bits promises.
 */
#include "core/vec/scalar_code.h"

#include <float.h>

#include "fixture.h"

#define LONGEST 16000

static Guarded guard_x,
			guard_a,
			guard_b;

static const int some_dims[] = {
	8, 16, 24, 32, 40, 56, 64, 72, 96, 104, 128, 136, 192, 200, 256, 384, 512, 784, 960, 1024, 1536,
	2048, 3072, 4096, 4352, 4360, 8704, 9000, 15992, 16000
};

typedef enum Data
{
	GAUSSIAN,
	OUTLIER,
	ONE_COORDINATE,
	EQUAL,
	HUGE_VALUES,
	TINY_VALUES,
	ALL_EXPONENTS,
	ZERO,
	NOT_FINITE,
	DATA_KINDS
} Data;

static const char *const data_names[] = {
	"gaussian", "outlier", "one coordinate", "equal coordinates", "huge", "subnormal",
	"all exponents", "zero", "not finite"
};

static void
make_data(Data kind, int D, float *x)
{
	for (int i = 0; i < D; i++)
	{
		double		g = random_normal();

		switch (kind)
		{
			case GAUSSIAN:
				break;
			case OUTLIER:
				g = i == D / 2 ? 100 : g;
				break;
			case ONE_COORDINATE:
				g = i == D - 1 ? -3 : 0;
				break;
			case EQUAL:
				g = -0.25;
				break;
			case HUGE_VALUES:
				g = fmax(fmin(g * 2e38, FLT_MAX), -FLT_MAX);
				break;
			case TINY_VALUES:
				g *= 1e-41;
				break;
			case ALL_EXPONENTS:
				g = ldexp(g, random_below(250) - 140);
				break;
			case ZERO:
				g = g > 0 ? 0.0 : -0.0;
				break;
			case NOT_FINITE:
				g = i % 8 == 1 ? NAN : i % 8 == 5 ? -INFINITY : g;
				break;
			default:
				abort();
		}
		x[i] = (float) g;
	}
}

static void
test_encode(int bits)
{
	for (Data kind = GAUSSIAN; kind < DATA_KINDS; kind++)
	{
		bool		same = true;
		bool		in_range = true;
		bool		close = true;
		double		worst = 0;

		for (size_t k = 0; k < sizeof some_dims / sizeof *some_dims; k++)
		{
			int			D = some_dims[k];
			size_t		bytes = scalar_code_bytes(bits, D);
			float	   *x0 = must_alloc(sizeof(float) * D);
			float	   *decoded = must_alloc(sizeof(float) * D);
			uint8_t    *first = must_alloc(bytes);
			float		first_scale = 0;
			double		error = 0;
			double		norm = 0;
			double		largest = 0;

			make_data(kind, D, x0);
			FOR_EACH_LEVEL(level)
			{
				bool		end = random_below(2);
				const float *x = guarded_copy(guard_x, end, x0, sizeof(float) * D);
				uint8_t    *code = end ? guarded_at_end(guard_a, bytes) : guard_a.start;
				uint8_t    *canary = end ? code - 1 : code + bytes;
				float		scale;

				*canary = 0x5A;
				scale = scalar_encode(bits, D, x, code);
				if (level == CPU_SCALAR)
				{
					memcpy(first, code, bytes);
					first_scale = scale;
				}
				same &= memcmp(first, code, bytes) == 0 && scale == first_scale && *canary == 0x5A;
			}
			for (size_t i = 0; i < bytes; i++)
				in_range &= bits == 8 ? (int8_t) first[i] != -128
					: (first[i] & 15) != 0 && first[i] >> 4 != 0;
			in_range &= !!isfinite(first_scale * (bits == 8 ? 127 : 7)) && (kind >= ZERO ? first_scale == 0 : first_scale > 0);

			scalar_decode(bits, D, first, first_scale, decoded);
			for (int i = 0; i < D; i++)
			{
				double		d = (double) decoded[i] - x0[i];

				if (kind == NOT_FINITE)
				{
					in_range &= decoded[i] == 0;
					continue;
				}
				error += d * d;
				norm += (double) x0[i] * x0[i];
				largest = fmax(largest, fabs(x0[i]));
				if (bits == 8)
				{
					/* a subnormal scale is itself rounded, to a multiple of 2^-149 */
					close &= fabs(d) <= first_scale * 0.5001 + (kind == TINY_VALUES ? 128 * 0x1p-150 : 0);
				}
			}

			/*
			 * 4 bits: as good as 15 levels on a Gaussian can be (0.013 of its
			 * square, give or take what a sample of D varies), and never
			 * worse than with a scale that clips nothing.
			 */
			if (bits == 4 && norm > 0)
			{
				double		unclipped = 0;

				for (int i = 0; i < D; i++)
				{
					double		d = x0[i] - largest / 7 * rint(x0[i] / (largest / 7));

					unclipped += d * d;
				}
				if (kind == GAUSSIAN)
					worst = fmax(worst, error / norm / (0.0135 * (1 + 8 / sqrt(D))));
				close &= error <= unclipped * 1.001 + norm * 1e-6 || kind == TINY_VALUES;
			}
			free(x0);
			free(decoded);
			free(first);
		}
		ok(same, "scalar_encode %d bits, %s: all forms equal", bits, data_names[kind]);
		ok(in_range, "scalar_encode %d bits, %s: levels and scale in range", bits, data_names[kind]);
		if (!ok(close && worst < 1, "scalar_encode %d bits, %s: error as small as promised", bits, data_names[kind]))
			diag("worst relative square is %g times the bound", worst);
	}
}

/* Decoding, on its own: the layout's words against the function */
static void
test_layout(void)
{
	uint8_t		four[4] = {0x1F, 0x8A, 0x97, 0xF1};
	int8_t		eight[8] = {-127, 127, 0, 1, -1, 64, -64, 5};
	float		out[8];
	static const float expected4[] = {7, -7, 2, 0, -1, 1, -7, 7};
	bool		pass = true;

	scalar_decode(4, 8, four, 0.5f, out);
	for (int i = 0; i < 8; i++)
		pass &= out[i] == 0.5f * expected4[i];
	ok(pass, "scalar_decode 4 bits: even coordinates in low nibbles");
	pass = true;
	scalar_decode(8, 8, eight, 2, out);
	for (int i = 0; i < 8; i++)
		pass &= out[i] == 2.0f * eight[i];
	ok(pass, "scalar_decode 8 bits: as they stand");
}

static void
test_dot(void)
{
	static uint8_t a0[LONGEST];
	static uint8_t b0[LONGEST];

	for (int kind = 0; kind < 3; kind++)
	{
		static const char *const names[] = {"random", "largest", "smallest"};

		FOR_EACH_LEVEL(level)
		{
			bool		pass8 = true;
			bool		pass4 = true;

			for (int D = 0; D <= LONGEST; D = D < 2400 ? D + 8 : D < 15000 ? D + 856 : D + 200)
			{
				int64_t		dot8 = 0;
				int64_t		dot4 = 0;
				const uint8_t *a;
				const uint8_t *b;

				for (int i = 0; i < D; i++)
				{
					int			va = kind == 0 ? random_below(255) - 127 : 127;
					int			vb = kind == 0 ? random_below(255) - 127 : kind == 1 ? 127 : -127;

					a0[i] = (uint8_t) (int8_t) va;
					b0[i] = (uint8_t) (int8_t) vb;
					dot8 += va * vb;
				}
				a = guarded_copy(guard_a, D % 3 != 0, a0, (size_t) D);
				b = guarded_copy(guard_b, D % 3 != 0, b0, (size_t) D);
				pass8 &= scalar_dot8((const int8_t *) a, (const int8_t *) b, D) == dot8;

				for (int i = 0; i < D; i++)
				{
					int			va = kind == 0 ? random_below(15) - 7 : 7;
					int			vb = kind == 0 ? random_below(15) - 7 : kind == 1 ? 7 : -7;

					if (i % 2 == 0)
					{
						a0[i / 2] = (uint8_t) (va + 8);
						b0[i / 2] = (uint8_t) (vb + 8);
					}
					else
					{
						a0[i / 2] |= (uint8_t) ((va + 8) << 4);
						b0[i / 2] |= (uint8_t) ((vb + 8) << 4);
					}
					dot4 += va * vb;
				}
				a = guarded_copy(guard_a, D % 3 != 0, a0, (size_t) D / 2);
				b = guarded_copy(guard_b, D % 3 != 0, b0, (size_t) D / 2);
				pass4 &= scalar_dot4(a, b, D) == dot4;
			}
			ok(pass8, "scalar_dot8 %s: %s", cpu_level_names[level], names[kind]);
			ok(pass4, "scalar_dot4 %s: %s", cpu_level_names[level], names[kind]);
		}
	}
}

/* Many at once: those of one after the other, at the end of memory too, whatever their number */
static void
test_dots(void)
{
	static uint8_t query[LONGEST];
	static uint8_t random[LONGEST];
	static uint8_t *code[7];

	for (int k = 0; k < 7; k++)
		code[k] = malloc(LONGEST);
	FOR_EACH_LEVEL(level)
	{
		bool		pass = true;

		for (int D = 0; D <= LONGEST; D = D < 1200 ? D + 8 : D + 1480)
		{
			for (int bits = 4; bits <= 8; bits += 4)
			{
				size_t		bytes = scalar_code_bytes(bits, D);
				const void *codes[7];
				int32_t		dots[7];
				int			n = random_below(8);

				for (int k = -1; k < n; k++)
				{
					uint8_t    *out = k < 0 ? query : random;

					for (size_t i = 0; i < bytes; i++)
						out[i] = (uint8_t) (bits == 8 ? random_below(255) - 127 : (1 + random_below(15)) | (1 + random_below(15)) << 4);
					if (k == n - 1 && k >= 0)
						codes[k] = guarded_copy(guard_a, true, random, bytes);
					else if (k >= 0)
						codes[k] = memcpy(code[k], random, bytes);
				}
				scalar_dots(bits, D, query, codes, n, dots);
				for (int k = 0; k < n; k++)
					pass &= dots[k] == (bits == 8 ? scalar_dot8((const int8_t *) query, codes[k], D) : scalar_dot4(query, codes[k], D));
			}
		}
		ok(pass, "scalar_dots %s", cpu_level_names[level]);
	}
	for (int k = 0; k < 7; k++)
		free(code[k]);
}

int
main(void)
{
	random_begin();
	report_levels();
	guard_x = guarded_new(sizeof(float) * LONGEST);
	guard_a = guarded_new(LONGEST + 1);
	guard_b = guarded_new(LONGEST + 1);
	test_layout();
	test_encode(8);
	test_encode(4);
	test_dot();
	test_dots();
	return tap_done();
}
