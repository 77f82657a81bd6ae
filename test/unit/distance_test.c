/*
 * distance_test.c
 *	  Every form of every distance kernel against sums in long double, on
 *	  random and on adversarial data, for every length from 0 to EVERY_LENGTH_TO and
 *	  some up to 16,000, with unmapped pages right behind or before the data.
 *
 * The bound on the error is the one that follows from adding in at least 16
 * lanes: (n/16 + 16) half units in the last place of the sum of the terms'
 * sizes.  It holds for any data, so that no seed can fail a right kernel.
 */
#include "core/vec/distance.h"

#include <float.h>

#include "fixture.h"

#ifdef TEST_BRIEFLY
#define EVERY_LENGTH_TO 520
#else
#define EVERY_LENGTH_TO 4100
#endif
#define LONGEST 16000

typedef enum Data
{
	GAUSSIAN,
	SMALL_INTEGERS,				/* sums are exact */
	ALL_EXPONENTS,				/* float: 1e-45 .. 3e38; half: 6e-8 .. 65504 */
	HUGE_VALUES,				/* near the largest; squares overflow a float */
	TINY_VALUES,				/* subnormal; squares vanish in a float */
	SMALL_VALUES,				/* float: squares are subnormal, and lose bits */
	SIGNED_ZEROS,				/* both zeros, and a few values equal on both sides */
	DATA_KINDS
} Data;

static const char *const data_names[] = {
	"gaussian", "small integers", "all exponents", "huge", "subnormal", "small", "signed zeros"
};

typedef enum Kernel
{
	L2SQ,
	IP,
	L1,
	COSINE,
	NORM,
	KERNELS
} Kernel;

static const char *const kernel_names[] = {"l2sq", "ip", "l1", "cosine", "norm"};

typedef enum Types
{
	F32,
	F16,
	TYPES
} Types;

static const char *const type_names[] = {"f32", "f16"};

static float a32[LONGEST],
			b32[LONGEST];
static half a16[LONGEST],
			b16[LONGEST];

/* Sums over the first n elements: of the terms, and of the terms' sizes */
static long double sum_of[4][LONGEST + 1];
static long double size_of[4][LONGEST + 1];

static Guarded guard_a,
			guard_b;

static double
random_value(Data kind, bool as_half)
{
	double		sign = random_bits() & 1 ? 1 : -1;

	switch (kind)
	{
		case GAUSSIAN:
			return random_normal();
		case SMALL_INTEGERS:
			return random_below(17) - 8;
		case ALL_EXPONENTS:
			return as_half ? sign * ldexp(1 + random_unit(), random_below(39) - 24)
				: sign * ldexp(1 + random_unit(), random_below(277) - 149);
		case HUGE_VALUES:
			return sign * (1 - random_unit() / 4) * (as_half ? 65000 : 3.4e38);
		case TINY_VALUES:
			return sign * (as_half ? ldexp(random_below(1024), -24)
						   : ldexp(random_below(1 << 20), -149));
		case SMALL_VALUES:
			return random_normal() * (as_half ? 1e-3 : 0x1p-73);
		case SIGNED_ZEROS:
			return sign * 0.0;
		default:
			abort();
	}
}

static double
left(Types types, int i)
{
	return types == F16 ? half_to_float(a16[i]) : a32[i];
}

static double
right(Types types, int i)
{
	return types == F32 ? b32[i] : half_to_float(b16[i]);
}

static void
make_data(Data kind, Types types)
{
	for (int i = 0; i < LONGEST; i++)
	{
		double		a = random_value(kind, types != F32);
		double		b = random_value(kind, types != F32);

		if (kind == SIGNED_ZEROS && i % 97 == 96)
			a = b = random_normal();
		a32[i] = (float) a;
		b32[i] = (float) b;
		a16[i] = half_from_float(a32[i]);
		b16[i] = half_from_float(b32[i]);
	}

	/* 0: (a-b)^2, 1: ab, 2: |a-b|, 3: aa in sum_of, bb in size_of */
	for (int k = 0; k < 4; k++)
		sum_of[k][0] = size_of[k][0] = 0;
	for (int i = 0; i < LONGEST; i++)
	{
		long double a = left(types, i);
		long double b = right(types, i);
		long double terms[4] = {(a - b) * (a - b), a * b, fabsl(a - b), a * a};
		long double sizes[4] = {terms[0], fabsl(a * b), terms[2], b * b};

		for (int k = 0; k < 4; k++)
		{
			sum_of[k][i + 1] = sum_of[k][i] + terms[k];
			size_of[k][i + 1] = size_of[k][i] + sizes[k];
		}
	}
}

static double
call(Kernel kernel, Types types, const void *a, const void *b, int n)
{
	switch (types)
	{
		case F32:
			switch (kernel)
			{
				case L2SQ:
					return dist_l2sq_f32(a, b, n);
				case IP:
					return dist_ip_f32(a, b, n);
				case L1:
					return dist_l1_f32(a, b, n);
				case COSINE:
					return dist_cosine_f32(a, b, n);
				default:
					return dist_norm_f32(a, n);
			}
		default:
			switch (kernel)
			{
				case L2SQ:
					return dist_l2sq_f16(a, b, n);
				case IP:
					return dist_ip_f16(a, b, n);
				case L1:
					return dist_l1_f16(a, b, n);
				case COSINE:
					return dist_cosine_f16(a, b, n);
				default:
					return dist_norm_f16(a, n);
			}
	}
}

/* What is right, and how far from it a kernel may be */
static void
expect(Kernel kernel, int n, long double *value, long double *slack)
{
	long double units = (n / 16 + 16) * 0x1p-24L;

	switch (kernel)
	{
		case COSINE:
			{
				long double norms = sqrtl(sum_of[3][n]) * sqrtl(size_of[3][n]);

				*value = norms > 0 ? 1 - sum_of[IP][n] / norms : NAN;
				*slack = 3 * units;
				break;
			}
		case NORM:
			*value = sqrtl(sum_of[3][n]);
			*slack = *value * 0x1p-50L * (n / 8 + 8);
			break;
		default:
			*value = sum_of[kernel][n];
			*slack = size_of[kernel][n] * units;
			break;
	}
}

static bool
test_one(Kernel kernel, Types types, int n, bool at_end)
{
	size_t		width_a = types == F16 ? sizeof(half) : sizeof(float);
	size_t		width_b = types == F32 ? sizeof(float) : sizeof(half);
	const void *a = guarded_copy(guard_a, at_end, types == F16 ? (void *) a16 : (void *) a32, width_a * n);
	const void *b = guarded_copy(guard_b, at_end, types == F32 ? (void *) b32 : (void *) b16, width_b * n);
	double		got = call(kernel, types, a, b, n);
	long double expected;
	long double slack;

	expect(kernel, n, &expected, &slack);
	if (isnan(expected) ? isnan(got) : fabsl(got - expected) <= slack)
		return true;
	diag("n %d: got %.17g, expected %.17Lg within %.3Lg", n, got, expected, slack);
	return false;
}

static void
test_kernel(Kernel kernel, Types types, Data kind)
{
	static const int longer[] = {4999, 8191, 8192, 12345, 15999, 16000};

	FOR_EACH_LEVEL(level)
	{
		bool		pass = true;

		for (int n = 0; n <= EVERY_LENGTH_TO && pass; n++)
			pass = test_one(kernel, types, n, n % 3 != 0);
		for (size_t i = 0; i < sizeof longer / sizeof *longer && pass; i++)
			pass = test_one(kernel, types, longer[i], i % 2 == 0);
		ok(pass, "dist_%s_%s %s: %s", kernel_names[kernel], type_names[types],
		   cpu_level_names[level], data_names[kind]);
	}
}

/* Values that only the second run, in double, gets right */
static void
test_range(void)
{
	float		big[] = {3e38f, -3e38f, 3e38f};
	float		negative[] = {-3e38f, 3e38f, -3e38f};
	float		small[] = {3e-42f, 4e-42f};
	float		zero[] = {0, -0.0f};
	float		cancels[] = {3e38f, 3e38f};
	float		against[] = {3e38f, -3e38f};

	FOR_EACH_LEVEL(level)
	{
		const char *name = cpu_level_names[level];
		double		d = dist_l2sq_f32(big, negative, 3);

		ok(fabs(d / (3 * 4 * 9e76) - 1) < 1e-6, "l2sq %s: differences past the range of float", name);
		ok(fabs(dist_l1_f32(big, negative, 3) / 18e38 - 1) < 1e-6, "l1 %s: a sum past the range of float", name);
		ok(dist_ip_f32(cancels, against, 2) == 0, "ip %s: infinities of both signs on the way", name);
		ok(fabs(dist_cosine_f32(big, negative, 3) - 2) < 1e-12, "cosine %s: opposite huge vectors", name);
		ok(fabs(dist_cosine_f32(small, small, 2)) < 1e-12, "cosine %s: equal subnormal vectors", name);
		ok(isnan(dist_cosine_f32(zero, small, 2)) && isnan(dist_cosine_f32(small, zero, 2)) &&
		   isnan(dist_cosine_f32(zero, zero, 2)), "cosine %s: NaN beside a zero vector", name);
		ok(fabs(dist_norm_f32(big, 3) / (3e38 * sqrt(3)) - 1) < 1e-6 &&
		   fabs(dist_norm_f32(small, 2) / 5e-42 - 1) < 1e-3, "norm %s: huge and subnormal", name);
	}
}

/* Distances that users see as round numbers */
static void
test_exact(void)
{
	float		a[] = {1, 2, 3};
	float		b[] = {1, 4, 7};
	float		c[] = {2, 4, 6};
	half		ha[] = {half_from_float(1), half_from_float(2), half_from_float(3)};
	half		hc[] = {half_from_float(2), half_from_float(4), half_from_float(6)};

	FOR_EACH_LEVEL(level)
	{
		const char *name = cpu_level_names[level];

		ok(dist_l2sq_f32(a, b, 3) == 20 && dist_ip_f32(a, b, 3) == 30 && dist_l1_f32(a, b, 3) == 6,
		   "small integers %s: exact", name);
		ok(dist_cosine_f32(a, c, 3) == 0 && dist_cosine_f16(ha, hc, 3) == 0,
		   "cosine %s: parallel small integers are at exactly 0", name);
		ok(dist_l2sq_f32(a, a, 0) == 0 && dist_ip_f32(a, a, 0) == 0 && isnan(dist_cosine_f32(a, a, 0)),
		   "no elements %s", name);
	}
}

static void
test_bits(void)
{
	enum
	{
		MOST = 8000
	};
	static uint8_t a[MOST];
	static uint8_t b[MOST];

	for (int kind = 0; kind < 3; kind++)
	{
		static const char *const names[] = {"random", "all ones against zeros", "sparse"};

		for (int i = 0; i < MOST; i++)
		{
			a[i] = kind == 1 ? 0xFF : (uint8_t) random_bits();
			b[i] = kind == 1 ? 0 : (uint8_t) random_bits();
			if (kind == 2 && random_below(50) != 0)
				a[i] = b[i] = 0;
		}
		FOR_EACH_LEVEL(level)
		{
			bool		pass_hamming = true;
			bool		pass_jaccard = true;
			uint64_t	differ = 0;
			uint64_t	both = 0;
			uint64_t	either = 0;

			for (int n = 0; n <= MOST; n++)
			{
				if (n < 1100 || n % 487 == 0 || n == MOST)
				{
					const uint8_t *x = guarded_copy(guard_a, n % 3 != 0, a, (size_t) n);
					const uint8_t *y = guarded_copy(guard_b, n % 3 != 0, b, (size_t) n);
					double		jaccard = both == 0 ? 1 : 1 - (double) both / (double) either;

					pass_hamming &= dist_hamming(x, y, n) == differ;
					pass_jaccard &= dist_jaccard(x, y, n) == jaccard;
				}
				if (n == MOST)
					break;
				for (int k = 0; k < 8; k++)
				{
					differ += ((a[n] ^ b[n]) >> k) & 1;
					both += ((a[n] & b[n]) >> k) & 1;
					either += ((a[n] | b[n]) >> k) & 1;
				}
			}
			ok(pass_hamming, "dist_hamming %s: %s", cpu_level_names[level], names[kind]);
			ok(pass_jaccard, "dist_jaccard %s: %s", cpu_level_names[level], names[kind]);
		}
	}
}

/* Sparse distances against the dense ones of the same vectors */
static void
test_sparse(void)
{
	enum
	{
		DIM = 700
	};
	bool		pass[4] = {true, true, true, true};
	bool		symmetric = true;

	for (int trial = 0; trial < 3000; trial++)
	{
		int			keep_a = random_below(101);
		int			keep_b = random_below(101);
		int			dim = random_below(DIM + 1);
		int			na = 0;
		int			nb = 0;
		int32_t    *ai = must_alloc(sizeof(int32_t) * dim);
		int32_t    *bi = must_alloc(sizeof(int32_t) * dim);
		float	   *av = must_alloc(sizeof(float) * dim);
		float	   *bv = must_alloc(sizeof(float) * dim);
		long double l2sq = 0;
		long double ip = 0;
		long double l1 = 0;
		long double aa = 0;
		long double bb = 0;
		long double sizes = 0;
		long double cosine;
		double		got;

		for (int i = 0; i < dim; i++)
		{
			float		x = random_below(100) < keep_a ? (float) random_value((Data) (trial % 5), false) : 0;
			float		y = random_below(100) < keep_b ? (float) random_value((Data) (trial % 5), false) : 0;

			if (x != 0)
			{
				ai[na] = i * 3;
				av[na++] = x;
			}
			if (y != 0)
			{
				bi[nb] = i * 3;
				bv[nb++] = y;
			}
			l2sq += ((long double) x - y) * ((long double) x - y);
			ip += (long double) x * y;
			sizes += fabsl((long double) x * y);
			l1 += fabsl((long double) x - y);
			aa += (long double) x * x;
			bb += (long double) y * y;
		}

		/* exact-size allocations, for the sanitizer to see a read past one */
		if (na > 0 && nb > 0)
		{
			ai = realloc(ai, sizeof(int32_t) * na);
			av = realloc(av, sizeof(float) * na);
			bi = realloc(bi, sizeof(int32_t) * nb);
			bv = realloc(bv, sizeof(float) * nb);
		}
		pass[0] &= fabsl(dist_l2sq_sparse(na, ai, av, nb, bi, bv) - l2sq) <= l2sq * 1e-12L;
		pass[1] &= fabsl(dist_ip_sparse(na, ai, av, nb, bi, bv) - ip) <= sizes * 1e-12L;
		pass[2] &= fabsl(dist_l1_sparse(na, ai, av, nb, bi, bv) - l1) <= l1 * 1e-12L;
		cosine = aa > 0 && bb > 0 ? 1 - ip / sqrtl(aa) / sqrtl(bb) : NAN;
		got = dist_cosine_sparse(na, ai, av, nb, bi, bv);
		pass[3] &= isnan(cosine) ? isnan(got) : fabsl(got - cosine) <= 1e-12L;
		symmetric &= dist_l1_sparse(na, ai, av, nb, bi, bv) == dist_l1_sparse(nb, bi, bv, na, ai, av) &&
			dist_ip_sparse(na, ai, av, nb, bi, bv) == dist_ip_sparse(nb, bi, bv, na, ai, av);
		free(ai);
		free(bi);
		free(av);
		free(bv);
	}
	for (int k = 0; k < 4; k++)
		ok(pass[k], "dist_%s_sparse: equals the dense distance", kernel_names[k]);
	ok(symmetric, "sparse distances do not depend on the order of the arguments");
	ok(dist_l1_sparse(0, NULL, NULL, 0, NULL, NULL) == 0 &&
	   isnan(dist_cosine_sparse(0, NULL, NULL, 0, NULL, NULL)), "sparse vectors without elements");
}

int
main(void)
{
	random_begin();
	report_levels();
	guard_a = guarded_new(sizeof(float) * LONGEST);
	guard_b = guarded_new(sizeof(float) * LONGEST);

	for (Types types = F32; types < TYPES; types++)
	{
		for (Data kind = GAUSSIAN; kind < DATA_KINDS; kind++)
		{
			make_data(kind, types);
			for (Kernel kernel = L2SQ; kernel < KERNELS; kernel++)
				test_kernel(kernel, types, kind);
		}
	}
	test_range();
	test_exact();
	test_bits();
	test_sparse();
	return tap_done();
}
