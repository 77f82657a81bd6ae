/*
 * number_fuzz.c
 *	  One number as float and as half, against the C library.
 *
 * strtof() is the oracle of floats.  Halves are checked against the nearest of
 * two neighbors by strtold(), whose 64 bits tell all numbers from the middle
 * between two halves but those within 2^-64 of it, where either neighbor
 * passes here; the unit tests look exactly there.
 */
#include "fuzz.h"

static void
check_half(const char *number, bool good, half h)
{
	long double exact = fabsl(strtold(number, NULL));
	half		magnitude = h & 0x7FFF;
	long double error;

	if (!good)
	{
		REQUIRE(exact >= 65520);
		return;
	}
	REQUIRE(magnitude <= 0x7BFF);
	REQUIRE((h >> 15) == (number[0] == '-'));
	REQUIRE(exact <= 65520);
	error = fabsl(exact - half_to_float(magnitude));
	if (magnitude > 0)
		REQUIRE(error <= fabsl(exact - half_to_float(magnitude - 1)));
	if (magnitude < 0x7BFF)
		REQUIRE(error <= fabsl(exact - half_to_float(magnitude + 1)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		text = text_new(data, size);
	float		f = 0;
	half		h = 0;
	size_t		used = 0;
	size_t		used_half = 0;
	ParseError	err;
	ParseError	err_half;
	bool		good = parse_float(text.bytes, text.len, &used, &f, &err);
	bool		good_half = parse_half(text.bytes, text.len, &used_half, &h, &err_half);

	if (!good)
	{
		check_error(&err, size, false);
		REQUIRE(err.pos == 0);
		REQUIRE(!good_half && err.kind == err_half.kind);
		used = err.kind == PARSE_RANGE ? err.len : 0;
	}
	if (!good_half)
	{
		check_error(&err_half, size, false);
		REQUIRE(!good || (err_half.kind == PARSE_RANGE && err_half.len == used));
	}
	REQUIRE(!good || !good_half || used == used_half);

	if (used > 0)
	{
		char	   *number = fuzz_alloc(used + 1);
		char	   *end;
		float		oracle;

		memcpy(number, text.bytes, used);
		number[used] = '\0';
		oracle = strtof(number, &end);
		REQUIRE(end == number + used);
		if (good)
			REQUIRE(float_bits(f) == float_bits(oracle));
		else
			REQUIRE(isinf(oracle));
		check_half(number, good_half, h);
		free(number);
	}

	text_destroy(&text);
	return 0;
}
