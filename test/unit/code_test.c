/*
 * code_test.c
 *	  Neighbors' codes: the block's layout as code.h states it, encoding
 *	  against its formulas in long double, scans against sums over decoded
 *	  codes, and estimates against true distances.
 */
#include "core/vec/code.h"

#include <float.h>

#include "core/vec/rotation.h"
#include "fixture.h"

static const int all_bits[] = {1, 2, 4};

#define FOR_EACH_BITS(bits) \
	for (int k_ = 0, bits; k_ < 3 && (bits = all_bits[k_], true); k_++)

/* Dimensions that leave every remainder of a vector, and those of real indexes */
static const int dims[] = {
	8, 16, 24, 32, 40, 48, 56, 64, 72, 96, 104, 120, 128, 136, 200, 256, 320, 384, 496, 504, 512,
	768, 1024, 1536, 2040, 2048, 2056, 2064, 2072,
#ifndef TEST_BRIEFLY
	4096, 4104, 6144, 8200, 16000
#endif
};

#ifdef TEST_BRIEFLY
#define TRIALS 300
#else
#define TRIALS 3000
#endif

#define FOR_EACH_DIM(dim) \
	for (size_t d_ = 0, dim; d_ < sizeof dims / sizeof *dims && (dim = (size_t) dims[d_], true); d_++)

static Guarded guard_block,
			guard_y,
			guard_c,
			guard_u,
			guard_f;

static uint8_t *
random_levels(int bits, int dc)
{
	uint8_t    *u = must_alloc((size_t) dc);

	for (int i = 0; i < dc; i++)
		u[i] = (uint8_t) random_below(1 << bits);
	return u;
}

/* The nibble of slot s, plane p, group g, by the words of code.h */
static int
nibble_at(const uint8_t *block, int dc, int slot, int plane, int group)
{
	int			s = slot % 16;
	uint8_t		byte = block[(plane * (dc / 4) + group) * 16 + (s < 8 ? 2 * s : 2 * (s - 8) + 1)];

	return slot < 16 ? byte & 15 : byte >> 4;
}

static void
test_store(void)
{
	FOR_EACH_BITS(bits)
	{
		FOR_EACH_LEVEL(level)
		{
			bool		placed = true;
			bool		alone = true;
			bool		loaded = true;

			for (int dc = 8; dc <= 300; dc += 8)
			{
				size_t		bytes = code_block_bytes(bits, dc);
				uint8_t    *block = guarded_at_end(guard_block, bytes);
				uint8_t    *before = must_alloc(bytes);
				uint8_t    *back = must_alloc((size_t) dc);

				for (size_t i = 0; i < bytes; i++)
					block[i] = (uint8_t) random_bits();
				for (int slot = 0; slot < CODE_SLOTS; slot++)
				{
					uint8_t    *made = random_levels(bits, dc);
					uint8_t    *u = guarded_copy(guard_u, slot % 2 == 0, made, (size_t) dc);

					memcpy(before, block, bytes);
					code_store(block, bits, dc, slot, u);
					for (int p = 0; p < bits; p++)
					{
						for (int g = 0; g < dc / 4; g++)
						{
							int			expected = 0;

							for (int i = 0; i < 4; i++)
								expected |= ((u[4 * g + i] >> p) & 1) << i;
							placed &= nibble_at(block, dc, slot, p, g) == expected;
							for (int other = 0; other < CODE_SLOTS; other++)
								alone &= other == slot ||
									nibble_at(block, dc, other, p, g) == nibble_at(before, dc, other, p, g);
						}
					}
					code_load(block, bits, dc, slot, back);
					loaded &= memcmp(back, u, (size_t) dc) == 0;
					free(made);
				}
				free(before);
				free(back);
			}
			ok(placed, "code_store %d bits %s: every nibble is where the layout says", bits, cpu_level_names[level]);
			ok(alone, "code_store %d bits %s: no other slot changes", bits, cpu_level_names[level]);
			ok(loaded, "code_load %d bits %s: gives back what was stored, in all slots", bits, cpu_level_names[level]);
		}
	}
}

/* Against slot by slot, for every count, with rows that end where memory ends */
static void
test_store_all(void)
{
	FOR_EACH_BITS(bits)
	{
		bool		same = true;

		for (int count = 0; count <= CODE_SLOTS; count++)
		{
			int			dc = 8 * (1 + random_below(40));
			size_t		bytes = code_block_bytes(bits, dc);
			uint8_t    *block = guarded_at_end(guard_block, bytes);
			uint8_t    *expected = must_alloc(bytes);
			uint8_t    *u = guarded_at_end(guard_y, (size_t) count * dc);

			memset(expected, 0, bytes);
			memset(block, 0xA5, bytes);
			for (int slot = 0; slot < count; slot++)
			{
				for (int i = 0; i < dc; i++)
					u[slot * dc + i] = (uint8_t) random_below(1 << bits);
				code_store(expected, bits, dc, slot, u + slot * dc);
			}
			code_store_all(block, bits, dc, count, u);
			same &= memcmp(block, expected, bytes) == 0;
			free(expected);
		}
		ok(same, "code_store_all %d bits: as slot by slot, and zeros in the slots beyond", bits);
	}
}

typedef enum Residual
{
	GAUSSIAN,
	OUTLIERS,
	HUGE_VALUES,
	TINY_VALUES,
	DUPLICATE,
	ZERO_WHERE_CODED,			/* differs past dc only */
	ONE_COORDINATE,
	MIXED_RANGE,
	RESIDUALS
} Residual;

static const char *const residual_names[] = {
	"gaussian", "outliers", "huge", "subnormal", "duplicate", "zero where coded", "one coordinate",
	"all exponents"
};

static void
make_pair(Residual kind, int dc, int D, float *y, float *c)
{
	for (int i = 0; i < D; i++)
	{
		double		r = random_normal();

		c[i] = (float) random_normal();
		switch (kind)
		{
			case GAUSSIAN:
				break;
			case OUTLIERS:
				r = random_below(20) == 0 ? 50 * r : 0.1 * r;
				break;
			case HUGE_VALUES:
				c[i] *= 1e37f;
				r *= 1e37;
				break;
			case TINY_VALUES:
				c[i] *= 1e-41f;
				r *= 1e-41;
				break;
			case DUPLICATE:
				r = 0;
				break;
			case ZERO_WHERE_CODED:
				r = i < dc ? 0 : r;
				break;
			case ONE_COORDINATE:
				r = i == 3 ? -2 : 0;
				break;
			case MIXED_RANGE:
				r = ldexp(r, random_below(250) - 130);
				c[i] = (float) ldexp(c[i], random_below(250) - 130);
				break;
			default:
				abort();
		}
		y[i] = kind == DUPLICATE ? c[i] : (float) (c[i] + r);
	}
}

/* Levels that the formula gives; those within a hair of a boundary may differ */
static bool
check_levels(int bits, int dc, const float *y, const float *c, const uint8_t *u)
{
	long double step = bits == 2 ? 0.9957L : 0.3352L;
	long double squares = 0;

	for (int i = 0; i < dc; i++)
		squares += ((long double) y[i] - c[i]) * ((long double) y[i] - c[i]);
	for (int i = 0; i < dc; i++)
	{
		long double r = (long double) y[i] - c[i];
		long double level = squares > 0 ? r / (step * sqrtl(squares / dc)) : 0;
		long double low;
		long double high;

		if (bits == 1)
		{
			if (u[i] != (r > 0))
				return false;
			continue;
		}
		level += 1 << (bits - 1);
		low = floorl(level - 1e-5L * (1 + fabsl(level)));
		high = floorl(level + 1e-5L * (1 + fabsl(level)));
		low = fminl(fmaxl(low, 0), (1 << bits) - 1);
		high = fminl(fmaxl(high, 0), (1 << bits) - 1);
		if (u[i] < low || u[i] > high)
			return false;
	}
	return true;
}

/* A float near x, or the largest where x has no float */
static bool
is_near(float got, long double x, long double slack)
{
	if (!isfinite(got))
		return false;
	if (fabsl(x) > FLT_MAX)
		return fabsf(got) == FLT_MAX && (got > 0) == (x > 0);
	return fabsl(got - x) <= slack + 2e-45L ||
		(fabsf(got) == FLT_MAX && fabsl(x) + slack > FLT_MAX);
}

static bool
check_factors(CodeMetric metric, int bits, int dc, int D, const float *y, const float *c,
			  const uint8_t *u, float f_add, float f_mul)
{
	long double rr = 0;
	long double vr = 0;
	long double vc = 0;
	long double vc_size = 0;
	long double cr = 0;
	long double cr_size = 0;
	long double f;
	bool		pass;

	for (int i = 0; i < D; i++)
	{
		long double r = (long double) y[i] - c[i];
		long double v = i < dc ? u[i] - ((1 << bits) - 1) / 2.0L : 0;

		rr += r * r;
		vr += v * r;
		vc += v * c[i];
		vc_size += fabsl(v * c[i]);
		cr += c[i] * r;
		cr_size += fabsl(c[i] * r);
	}
	f = vr > 0 ? rr / vr : 0;
	if (metric == CODE_L2)
		pass = is_near(f_mul, -2 * f, 1e-5L * 2 * f) &&
			is_near(f_add, rr + 2 * f * vc, 1e-5L * (rr + 2 * f * vc_size));
	else
		pass = is_near(f_mul, -f, 1e-5L * f) &&
			is_near(f_add, f * vc - cr, 1e-5L * (f * vc_size + cr_size));
	if (!pass)
		diag("dc %d of %d, %d bits: factors %g %g, rr %Lg, f %Lg, vc %Lg, cr %Lg",
			 dc, D, bits, f_add, f_mul, rr, f, vc, cr);
	return pass;
}

static void
test_encode(void)
{
	for (Residual kind = GAUSSIAN; kind < RESIDUALS; kind++)
	{
		FOR_EACH_BITS(bits)
		{
			bool		right_levels = true;
			bool		right_factors = true;
			bool		same = true;

			FOR_EACH_DIM(dim)
			{
				int			D = (int) dim;
				int			dc = random_below(2) ? D : (1 + random_below(D / 8)) * 8;
				float	   *y0 = must_alloc(sizeof(float) * dim);
				float	   *c0 = must_alloc(sizeof(float) * dim);
				uint8_t    *first = must_alloc((size_t) dc);
				make_pair(kind, dc, D, y0, c0);
				FOR_EACH_LEVEL(level)
				{
					bool		end = random_below(2);
					float	   *y = guarded_copy(guard_y, end, y0, sizeof(float) * dim);
					float	   *c = guarded_copy(guard_c, end, c0, sizeof(float) * dim);
					uint8_t    *u = guarded_at_end(guard_u, (size_t) dc);
					float		f_add;
					float		f_mul;

					u[-1] = 0xAA;
					code_encode(CODE_L2, bits, dc, D, y, c, u, &f_add, &f_mul);
					if (level == CPU_SCALAR)
					{
						memcpy(first, u, (size_t) dc);
						right_levels &= check_levels(bits, dc, y, c, u);
					}
					same &= memcmp(first, u, (size_t) dc) == 0 && u[-1] == 0xAA;
					right_factors &= check_factors(CODE_L2, bits, dc, D, y, c, u, f_add, f_mul);
					code_encode(CODE_IP, bits, dc, D, y, c, u, &f_add, &f_mul);
					same &= memcmp(first, u, (size_t) dc) == 0;
					right_factors &= check_factors(CODE_IP, bits, dc, D, y, c, u, f_add, f_mul);
				}
				free(y0);
				free(c0);
				free(first);
			}
			ok(right_levels, "code_encode %d bits, %s: levels follow the formula", bits, residual_names[kind]);
			ok(right_factors, "code_encode %d bits, %s: factors follow the formulas and are finite",
			   bits, residual_names[kind]);
			ok(same, "code_encode %d bits, %s: all forms give the same levels", bits, residual_names[kind]);
		}
	}
}

typedef enum Query
{
	QUERY_GAUSSIAN,
	QUERY_POSITIVE,				/* one group takes the whole range */
	QUERY_EQUAL,				/* every group takes the whole range: the largest sums */
	QUERY_HUGE,
	QUERY_ZERO,
	QUERY_TINY,					/* 1 / delta would overflow */
	QUERY_BROKEN,				/* infinities and NaN: nothing asked but survival */
	QUERIES
} Query;

static const char *const query_names[] = {"gaussian", "positive", "equal", "huge", "zero", "subnormal", "not finite"};

static void
make_query(Query kind, int dc, float *q)
{
	for (int i = 0; i < dc; i++)
	{
		double		x = random_normal();

		switch (kind)
		{
			case QUERY_GAUSSIAN:
				break;
			case QUERY_POSITIVE:
				x = i < 4 ? 10 : fabs(x) / 10;
				break;
			case QUERY_EQUAL:
				x = 1.5;
				break;
			case QUERY_HUGE:
				x *= 1e37;
				break;
			case QUERY_ZERO:
				x = x > 0 ? 0.0 : -0.0;
				break;
			case QUERY_TINY:
				x *= 1e-40;
				break;
			case QUERY_BROKEN:
				x = i % 3 == 0 ? INFINITY : i % 3 == 1 ? -INFINITY : NAN;
				break;
			default:
				abort();
		}
		q[i] = (float) x;
	}
}

/* Each entry against its definition; the two roundings err by 0.508 at most */
static bool
check_table(const CodeQuery *query, const float *q)
{
	for (int g = 0; g < query->dc / 4; g++)
	{
		double		low = 0;

		for (int b = 0; b < 4; b++)
			low += fmin(q[4 * g + b], 0);
		for (int m = 0; m < 16; m++)
		{
			double		sum = -low;

			for (int b = 0; b < 4; b++)
				sum += (m >> b) & 1 ? q[4 * g + b] : 0;
			if (fabs(query->table[16 * g + m] * (double) query->delta - sum) > 0.51 * query->delta)
				return false;
		}
	}
	return true;
}

/* A query whose estimates leave the range of float may be taken as 0. */
static bool
is_out_of_range(int bits, int dc, const float *q)
{
	double		total = 0;

	for (int i = 0; i < dc; i++)
		total += fabs(q[i]);
	return total * ((1 << bits) - 1) / 2 > FLT_MAX / 4;
}

/* What code_scan() has to find: the entries of the table that the slots' nibbles choose, by planes. */
static void
exact_sums(const CodeQuery *query, const uint8_t *block, uint32_t sums[CODE_SLOTS])
{
	for (int slot = 0; slot < CODE_SLOTS; slot++)
	{
		sums[slot] = 0;
		for (int p = 0; p < query->bits; p++)
			for (int g = 0; g < query->dc / 4; g++)
				sums[slot] += (uint32_t) query->table[16 * g + nibble_at(block, query->dc, slot, p, g)] << p;
	}
}

/* Estimates are those of the exact sums, and those below the limit are told; a query without a scale stands for 0. */
static void
check_estimates(const CodeQuery *query, const uint8_t *block, const float *q, bool is_zero, const uint32_t *sums,
				const bfloat16 *stored_add, const bfloat16 *stored_mul, bool *right_below, bool *near)
{
	float		est[CODE_SLOTS];
	float		limit = 3 + bfloat16_to_float(stored_add[7]);
	uint32_t	below;

	/* not a factor more is read than a block has, nor one less written */
	memset(est, 0xFF, sizeof est);
	below = code_estimate(query, block, 3, guarded_copy(guard_u, true, stored_add, sizeof(bfloat16) * CODE_SLOTS),
						  guarded_copy(guard_f, true, stored_mul, sizeof(bfloat16) * CODE_SLOTS), limit, est);
	for (int slot = 0; slot < CODE_SLOTS; slot++)
	{
		float		f_add = bfloat16_to_float(stored_add[slot]);
		float		f_mul = bfloat16_to_float(stored_mul[slot]);
		double		sum = (double) query->delta * sums[slot] + query->base;
		double		size = (double) query->delta * sums[slot] + fabs(query->base);
		double		dot = code_dot(block, query->bits, query->dc, slot, q);
		double		right = 3 + f_add + f_mul * sum;
		double		slack = 1e-6 * (4 + fabs(f_add) + fabs(f_mul) * size);

		*near &= !isnan(est[slot]);
		*right_below &= (below >> slot & 1) == (est[slot] < limit);
		if (fabs(right) < FLT_MAX)
			*near &= fabs(est[slot] - right) <= slack;
		if (query->delta == 0 && !is_zero)
			continue;
		*near &= fabs(sum - dot) <= 0.51 * query->delta * (query->dc / 4) * ((1 << query->bits) - 1) + 1e-6 * size;
	}
}

static void
test_scan(void)
{
	for (Query kind = QUERY_GAUSSIAN; kind < QUERIES; kind++)
	{
		FOR_EACH_BITS(bits)
		{
			bool		right_table = true;
			bool		same_query = true;
			bool		right_sums = true;
			bool		right_below = true;
			bool		near = true;

			FOR_EACH_DIM(dim)
			{
				int			dc = (int) dim;
				size_t		bytes = code_block_bytes(bits, dc);
				size_t		table_bytes = CODE_TABLE_BYTES(dc);
				float	   *q0 = must_alloc(sizeof(float) * dim);
				uint8_t    *levels[CODE_SLOTS];
				uint8_t    *block = guarded_at_end(guard_block, bytes);
				uint32_t	expected[CODE_SLOTS] = {0};
				bfloat16	stored_add[CODE_SLOTS];
				bfloat16	stored_mul[CODE_SLOTS];
				CodeQuery	first;

				/* a multiple of 64 below the end, and what follows must not matter */
				uint8_t    *table = guarded_at_end(guard_y, (table_bytes + 63) / 64 * 64);
				uint8_t    *first_table = must_alloc(table_bytes);

				make_query(kind, dc, q0);
				for (int slot = 0; slot < CODE_SLOTS; slot++)
				{
					levels[slot] = random_levels(bits, dc);
					if (kind == QUERY_EQUAL && slot % 3 != 1)
						memset(levels[slot], (1 << bits) - 1, dim);
					code_store(block, bits, dc, slot, levels[slot]);
					stored_add[slot] = bfloat16_from_float((float) random_normal());
					stored_mul[slot] = bfloat16_from_float((float) random_normal());
				}
				memset(&first, 0, sizeof first);
				FOR_EACH_LEVEL(level)
				{
					float	   *q = guarded_copy(guard_c, true, q0, sizeof(float) * dim);
					CodeQuery	query;
					uint32_t	acc[CODE_SLOTS];

					memset(table, 0xFF, (table_bytes + 63) / 64 * 64);
					code_query_init(&query, bits, dc, q, table);
					if (level == CPU_SCALAR)
					{
						first = query;
						memcpy(first_table, table, table_bytes);
						if (query.delta > 0)
							right_table &= check_table(&query, q);
						else
							right_table &= kind >= QUERY_ZERO || is_out_of_range(bits, dc, q);
						right_table &= !!isfinite(query.base) && (query.delta > 0 || query.base == 0);
						exact_sums(&query, block, expected);
					}
					same_query &= memcmp(first_table, table, table_bytes) == 0 &&
						query.delta == first.delta && query.bits == bits && query.dc == dc &&
						fabsf(query.base - first.base) <= 1e-6f * fabsf(first.base);
					for (size_t i = table_bytes; i < (table_bytes + 63) / 64 * 64; i++)
						same_query &= table[i] == 0xFF;

					code_scan(&query, block, acc);
					right_sums &= memcmp(acc, expected, sizeof acc) == 0;
					check_estimates(&query, block, q, kind == QUERY_ZERO, expected, stored_add, stored_mul,
									&right_below, &near);
				}
				for (int slot = 0; slot < CODE_SLOTS; slot++)
					free(levels[slot]);
				free(first_table);
				free(q0);
			}
			ok(right_table, "code_query_init %d bits, %s query: entries are right to half a unit", bits, query_names[kind]);
			ok(same_query, "code_query_init %d bits, %s query: all forms equal", bits, query_names[kind]);
			ok(right_sums, "code_scan %d bits, %s query: sums exact in all forms", bits, query_names[kind]);
			ok(right_below, "code_estimate %d bits, %s query: those below the limit", bits, query_names[kind]);
			ok(near, "code_estimate %d bits, %s query: from the exact sums, and near code_dot",
			   bits, query_names[kind]);
		}
	}
}

/*
 * The exact value that is estimated, what of it the estimate is given (q and c alone),
 * and the lengths |r| |q - c| that its error grows with.
 */
static void
exact_value(CodeMetric metric, int D, const float *y, const float *c, const float *q, double *truth, double *own,
			double *lengths)
{
	double		rr = 0;
	double		qq = 0;

	*truth = *own = 0;
	for (int i = 0; i < D; i++)
	{
		rr += ((double) y[i] - c[i]) * ((double) y[i] - c[i]);
		qq += ((double) q[i] - c[i]) * ((double) q[i] - c[i]);
		*truth += metric == CODE_L2 ? ((double) q[i] - y[i]) * ((double) q[i] - y[i])
			: -(double) q[i] * y[i];
		*own += metric == CODE_L2 ? ((double) q[i] - c[i]) * ((double) q[i] - c[i])
			: -(double) q[i] * c[i];
	}
	*lengths = sqrt(rr * qq);
}

/*
 * Errors of the estimate in units of |r| |q - c| / sqrt(dc): a fixed spread for
 * each number of bits, and no bias.  (RaBitQ's Theorem 3.2 gives 0.76 for one
 * bit at dc = D: sqrt(pi/2 - 1).)  Twice that for squared distances.
 */
static void
test_unbiased(void)
{
	static const struct
	{
		int			bits;
		int			D;
		int			dc;
		double		spread;
	}			cases[] = {
		{1, 104, 104, 0.76},
		{2, 104, 104, 0.37},
		{4, 104, 104, 0.115},
		{1, 784, 496, 0.98},
		{1, 1536, 1024, 0.96},
		{2, 256, 256, 0.37},
	};
	cpu_level_limit(CPU_MOST);
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
	{
		int			bits = cases[k].bits;
		int			D = cases[k].D;
		int			dc = cases[k].dc;
		Rotation   *rotation = must_alloc(rotation_size(D));
		float	   *raw = must_alloc(sizeof(float) * D);
		float	   *y = must_alloc(sizeof(float) * D);
		float	   *c = must_alloc(sizeof(float) * D);
		float	   *q = must_alloc(sizeof(float) * D);
		uint8_t    *u = must_alloc((size_t) dc);
		uint8_t    *block = must_alloc(code_block_bytes(bits, dc));
		uint8_t    *table = guarded_at_end(guard_u, (CODE_TABLE_BYTES(dc) + 63) / 64 * 64);

		memset(block, 0, code_block_bytes(bits, dc));
		rotation_init(rotation, D, random_bits());
		for (CodeMetric metric = CODE_L2; metric <= CODE_IP; metric++)
		{
			double		sum = 0;
			double		squares = 0;
			double		mean;
			double		spread;

			for (int trial = 0; trial < TRIALS; trial++)
			{
				bfloat16	f_add[CODE_SLOTS] = {0};
				bfloat16	f_mul[CODE_SLOTS] = {0};
				float		add;
				float		mul;
				float		est[CODE_SLOTS];
				int			slot = trial % CODE_SLOTS;
				CodeQuery	query;
				double		truth;
				double		own;
				double		lengths;
				double		error;

				for (int which = 0; which < 3; which++)
				{
					/* skewed, uneven data: evening it out is the rotation's work */
					for (int i = 0; i < D; i++)
						raw[i] = (float) (exp(random_normal()) * (i % 10 == 0 ? 3 : 0.3));
					rotation_apply(rotation, raw, which == 0 ? y : which == 1 ? c : q);
				}
				code_encode(metric, bits, dc, D, y, c, u, &add, &mul);
				f_add[slot] = bfloat16_from_float(add);
				f_mul[slot] = bfloat16_from_float(mul);
				code_store(block, bits, dc, slot, u);
				code_query_init(&query, bits, dc, q, table);
				exact_value(metric, D, y, c, q, &truth, &own, &lengths);
				code_estimate(&query, block, (float) own, f_add, f_mul, 0, est);
				error = (est[slot] - truth) / (lengths / sqrt(dc)) / (metric == CODE_L2 ? 2 : 1);
				sum += error;
				squares += error * error;
			}
			mean = sum / TRIALS;
			spread = sqrt(squares / TRIALS);
			ok(fabs(mean) < 5 * spread / sqrt(TRIALS), "estimate of %s, %d bits on %d of %d dims: no bias",
			   metric == CODE_L2 ? "squared distance" : "inner product", bits, dc, D);
			if (!ok(spread < 1.15 * cases[k].spread && spread > cases[k].spread / 1.5,
					"estimate of %s, %d bits on %d of %d dims: spread as predicted",
					metric == CODE_L2 ? "squared distance" : "inner product", bits, dc, D))
				diag("mean %g, spread %g, predicted %g", mean, spread, cases[k].spread);
		}
		free(rotation);
		free(raw);
		free(y);
		free(c);
		free(q);
		free(u);
		free(block);
	}
}

int
main(void)
{
	random_begin();
	report_levels();
	guard_block = guarded_new(code_block_bytes(4, 16000));
	guard_y = guarded_new(sizeof(float) * 16000);
	guard_c = guarded_new(sizeof(float) * 16000);
	guard_u = guarded_new(65536);
	guard_f = guarded_new(sizeof(bfloat16) * CODE_SLOTS);
	test_store();
	test_store_all();
	test_encode();
	test_scan();
	test_unbiased();
	return tap_done();
}
