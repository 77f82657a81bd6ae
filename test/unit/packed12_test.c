/*
 * packed12_test.c
 *	  Vectors as integers of 12 bits: what packing loses, the distances of every
 *	  form against sums in long double; and floats of 16 bits.
 */
#include "core/vec/packed12.h"

#include <float.h>

#include "core/vec/bfloat16.h"
#include "core/vec/distance.h"
#include "fixture.h"

#define LONGEST 16000

static float x[LONGEST],
			q[LONGEST],
			unpacked[LONGEST];
static Guarded guard_q,
			guard_x;

typedef struct Data
{
	const char *name;
	double		size;			/* of the coordinates */
} Data;

static const Data data[] = {
	{"normal values", 1},
	{"huge values", 1e15},
	{"small values", 1e-15},
	{"subnormal values", 1e-41},
	{"zeros", 0},
};

static const int lengths[] = {0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 104, 136, 384, 784, 1000, 1536, 15992, 16000};

#define FOR_EACH_LENGTH(n) \
	for (int k_ = 0, n; k_ < (int) (sizeof lengths / sizeof *lengths) && (n = lengths[k_], true); k_++)

static void
make(const Data *of, int n)
{
	for (int i = 0; i < n; i++)
	{
		x[i] = (float) (of->size * random_normal());
		q[i] = (float) (of->size * random_normal());
	}
}

/* Each coordinate within half a step, integers in range, and the same by both ways to read them */
static bool
test_round_trip(const Data *of, int n)
{
	uint8_t    *packed = guarded_at_end(guard_x, packed12_bytes(n));
	float		scale;

	make(of, n);
	scale = packed12_store(x, n, packed);
	packed12_load(packed, n, scale, unpacked);
	if (!(scale > 0 && isfinite(scale)))
		return false;
	for (int i = 0; i < n; i++)
	{
		int			v = packed12_get(packed, n, i);

		if (abs(v) > 2047 || unpacked[i] != (float) v * scale ||
			fabs((double) unpacked[i] - x[i]) > 0.5001 * scale + fabs(unpacked[i]) * 1e-7)
		{
			diag("n %d, coordinate %d: %.9g became %d x %.9g", n, i, x[i], v, scale);
			return false;
		}
	}
	return true;
}

static bool
test_distance(const Data *of, int n)
{
	uint8_t    *packed = guarded_at_end(guard_x, packed12_bytes(n));
	const float *query;
	float		scale;
	long double l2sq = 0;
	long double ip = 0;
	long double ip_size = 0;
	double		slack = (n / 16 + 16) * 0x1p-24;
	double		got_l2sq;
	double		got_ip;

	make(of, n);
	scale = packed12_store(x, n, packed);
	query = guarded_copy(guard_q, true, q, sizeof(float) * n);
	for (int i = 0; i < n; i++)
	{
		long double v = (long double) packed12_get(packed, n, i) * scale;

		l2sq += (q[i] - v) * (q[i] - v);
		ip += q[i] * v;
		ip_size += fabsl(q[i] * v);
	}
	got_l2sq = dist_l2sq_f32_p12(query, packed, n, scale);
	got_ip = dist_ip_f32_p12(query, packed, n, scale);
	/* squares of subnormal values are below what a float holds */
	if (fabsl(got_l2sq - l2sq) <= slack * l2sq + n * 1e-44L && fabsl(got_ip - ip) <= slack * ip_size + n * 1e-44L)
		return true;
	diag("n %d: %.9g instead of %.9Lg, %.9g instead of %.9Lg", n, got_l2sq, l2sq, got_ip, ip);
	return false;
}

static void
test_bfloat16(void)
{
	bool		exact = true;
	bool		near = true;
	bool		finite = true;

	for (uint32_t b = 0; b <= 0xFFFF; b++)
	{
		float		f = bfloat16_to_float((bfloat16) b);

		if (!isnan(f))
			exact &= bfloat16_from_float(f) == b;
	}
	for (int i = 0; i < 1000000; i++)
	{
		uint32_t	bits = (uint32_t) random_bits();
		float		f;
		float		back;

		memcpy(&f, &bits, sizeof f);
		if (!isfinite(f))
			continue;
		back = bfloat16_to_float(bfloat16_from_float(f));
		finite &= !!isfinite(back);
		near &= fabs((double) back - f) <= fabs((double) f) / 256 + (fabsf(f) < FLT_MIN ? 0x1p-134 : 0);
	}
	ok(exact, "bfloat16: every one comes back from its float");
	ok(near, "bfloat16: rounded to the nearest");
	ok(finite && isfinite(bfloat16_to_float(bfloat16_from_float(FLT_MAX))), "bfloat16: what is finite stays finite");
	ok(bfloat16_from_float(1 + 0x1p-8f) == bfloat16_from_float(1) &&
	   bfloat16_from_float(1 + 3 * 0x1p-8f) == bfloat16_from_float(1 + 4 * 0x1p-8f), "bfloat16: ties go to even");
}

int
main(void)
{
	random_begin();
	report_levels();
	guard_q = guarded_new(sizeof q);
	guard_x = guarded_new(packed12_bytes(LONGEST));
	for (size_t i = 0; i < sizeof data / sizeof *data; i++)
	{
		bool		pass = true;

		FOR_EACH_LENGTH(n)
			pass &= test_round_trip(&data[i], n);
		ok(pass, "packed12: %s come back within half a step", data[i].name);
		FOR_EACH_LEVEL(level)
		{
			pass = true;
			FOR_EACH_LENGTH(n)
				pass &= test_distance(&data[i], n);
			ok(pass, "distances from packed integers %s: %s", cpu_level_names[level], data[i].name);
		}
	}
	FOR_EACH_LEVEL(level)
	{
		uint8_t		packed[12];

		for (int i = 0; i < 8; i++)
			x[i] = q[i] = i % 2 ? -3e38f : 3e38f;
		for (int i = 0; i < 8; i++)
			q[i] = -q[i];
		ok(isinf(dist_l2sq_f32_p12(q, packed, 8, packed12_store(x, 8, packed))),
		   "l2sq_f32_p12 %s: infinity on overflow", cpu_level_names[level]);
	}
	test_bfloat16();
	return tap_done();
}
