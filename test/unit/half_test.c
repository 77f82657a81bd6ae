/*
 * half_test.c
 *	  Conversions between half and float: every half, every boundary between
 *	  two halves, and equality of all forms to the bit.
 */
#include "core/vec/half.h"

#include "fixture.h"

/* By the definition of binary16, nothing shared with the code under test */
static double
value_of(half h)
{
	int			exponent = (h >> 10) & 31;
	int			fraction = h & 1023;
	double		size;

	if (exponent == 31)
		size = fraction == 0 ? INFINITY : NAN;
	else if (exponent == 0)
		size = ldexp(fraction, -24);
	else
		size = ldexp(1024 + fraction, exponent - 25);
	return h & 0x8000 ? -size : size;
}

static uint32_t
bits_of(float f)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof bits);
	return bits;
}

static float
float_of(uint32_t bits)
{
	float		f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static void
test_every_half(void)
{
	int			wrong = 0;
	int			changed = 0;

	for (int h = 0; h < 65536; h++)
	{
		float		f = half_to_float((half) h);
		double		expected = value_of((half) h);

		if (half_is_nan((half) h))
		{
			wrong += !isnan(f) || !signbit(f) != !(h & 0x8000);
			changed += half_from_float(f) != (h | 0x0200);
		}
		else
		{
			wrong += (double) f != expected || !signbit(f) != !(h & 0x8000);
			changed += half_from_float(f) != h;
		}
		wrong += half_is_inf((half) h) != !!isinf(f);
		wrong += half_is_nan((half) h) != !!isnan(f);
	}
	ok(wrong == 0, "all 65536 halves have their value, sign and class");
	ok(changed == 0, "all 65536 halves survive the way to float and back (NaNs become quiet)");
}

/* Around every midpoint of two adjacent halves: below, on, above. */
static void
test_rounding(void)
{
	int			wrong = 0;

	for (int h = 0; h < 0x7C00; h++)
	{
		double		low = value_of((half) h);
		double		high = h == 0x7BFF ? 65536 : value_of((half) (h + 1));
		float		middle = (float) ((low + high) / 2);
		int			even = h % 2 == 0 ? h : h + 1;

		for (int sign = 0; sign <= 1; sign++)
		{
			float		s = sign ? -1.0f : 1.0f;
			int			bit = sign << 15;

			wrong += half_from_float(s * middle) != (bit | even);
			wrong += half_from_float(s * nextafterf(middle, 0)) != (bit | h);
			wrong += half_from_float(s * nextafterf(middle, INFINITY)) != (bit | (h + 1));
		}
	}
	ok(wrong == 0, "ties go to even and all else to the nearest, subnormal to infinity");
	ok(half_from_float(HALF_MAX) == 0x7BFF, "the largest half is HALF_MAX");
	ok(half_from_float(65519.996f) == 0x7BFF && half_from_float(65520) == 0x7C00 &&
	   half_from_float(-1e38f) == 0xFC00, "overflow starts at 65520 and keeps the sign");
	ok(half_from_float(0x1p-25f) == 0 && half_from_float(float_of(bits_of(0x1p-25f) + 1)) == 1 &&
	   half_from_float(-0x1p-26f) == 0x8000 && half_from_float(1e-45f) == 0,
	   "underflow starts at 2^-25 and keeps the sign");
}

static void
test_arrays(Guarded src, Guarded dst)
{
	static float floats[65536];
	static half halves[65536];
	int			n = 0;

	for (int h = 0; h < 65536; h++)
		halves[h] = (half) h;

	/* all exponents, fractions that tie and that do not */
	for (uint32_t exponent = 0; exponent < 512; exponent++)
	{
		for (int k = 0; k < 128; k++)
		{
			uint32_t	fraction = (uint32_t) random_bits() & 0x7FFFFF;

			if (k % 4 == 1)
				fraction = (fraction & ~UINT32_C(0x1FFF)) | 0x1000;
			else if (k % 4 == 2)
				fraction = 0;
			floats[n++] = float_of(exponent << 23 | fraction);
		}
	}

	FOR_EACH_LEVEL(level)
	{
		int			wrong_to = 0;
		int			wrong_from = 0;
		int			wrong_lengths = 0;

		{
			float	   *out = must_alloc(sizeof(float) * 65536);
			half	   *back = must_alloc(sizeof(half) * 65536);

			half_to_float_array(out, halves, 65536);
			half_from_float_array(back, floats, 65536);
			for (int i = 0; i < 65536; i++)
			{
				wrong_to += bits_of(out[i]) != bits_of(half_to_float((half) i));
				wrong_from += back[i] != half_from_float(floats[i]);
			}
			free(out);
			free(back);
		}
		ok(wrong_to == 0, "half_to_float_array %s: all halves equal the single conversion to the bit",
		   cpu_level_names[level]);
		ok(wrong_from == 0, "half_from_float_array %s: floats of every exponent equal the single conversion",
		   cpu_level_names[level]);

		for (int len = 0; len < 300; len++)
		{
			for (int end = 0; end <= 1; end++)
			{
				const half *h = guarded_copy(src, end, halves + 1000, sizeof(half) * len);
				float	   *f = end ? guarded_at_end(dst, sizeof(float) * len) : (float *) dst.start;
				const float *g;
				half	   *k;

				/* a canary on the side that no guard covers */
				if (end)
					f[-1] = 12345;
				else
					f[len] = 12345;
				half_to_float_array(f, h, len);
				wrong_lengths += f[end ? -1 : len] != 12345;
				for (int i = 0; i < len; i++)
					wrong_lengths += f[i] != half_to_float(halves[1000 + i]);

				g = guarded_copy(src, end, floats + 30000, sizeof(float) * len);
				k = end ? guarded_at_end(dst, sizeof(half) * len) : (half *) dst.start;
				if (end)
					k[-1] = 12345;
				else
					k[len] = 12345;
				half_from_float_array(k, g, len);
				wrong_lengths += k[end ? -1 : len] != 12345;
				for (int i = 0; i < len; i++)
					wrong_lengths += k[i] != half_from_float(floats[30000 + i]);
			}
		}
		ok(wrong_lengths == 0, "array conversions %s: lengths 0 to 299 touch their own elements only",
		   cpu_level_names[level]);
	}
}

int
main(void)
{
	random_begin();
	report_levels();
	test_every_half();
	test_rounding();
	test_arrays(guarded_new(4096), guarded_new(4096));
	return tap_done();
}
