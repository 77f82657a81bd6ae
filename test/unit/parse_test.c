/*
 * parse_test.c
 *	  The parsers: grammar, rounding, positions of errors, hostile bytes.
 *
 * Inputs are copied to blocks of their exact size, so that a sanitizer sees
 * any read past the end.
 */
#include "core/vec/parse.h"

#include <locale.h>

#include "fixture.h"

#define MAX_DIM 1000000000
#define lengthof(a) ((int) (sizeof(a) / sizeof((a)[0])))

/* below(n) is one of 0 .. n - 1 */
#define below(n) ((uint32_t) random_below((int) (n)))

/* Frame ------------------------------------------------------------------- */

/* A copy with no byte to spare. */
static char *
exact(const void *data, size_t len)
{
	char	   *copy = must_alloc(len);

	memcpy(copy, data, len);
	return copy;
}

static float
float_of(uint32_t bits)
{
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static uint32_t
bits_of(float f)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

/* Exact value of a half, without the code under test. */
static double
half_value(half h)
{
	int			e = (h >> 10) & 0x1F;
	double		m = h & 0x3FF;

	return (h & 0x8000 ? -1 : 1) * (e == 0 ? ldexp(m, -24) : ldexp(m + 1024, e - 25));
}

static bool
vector_text(const char *text, float *x, int cap, int *dim, ParseError *err)
{
	char	   *copy = exact(text, strlen(text));
	bool		result = parse_vector_text(copy, strlen(text), x, cap, dim, err);

	free(copy);
	return result;
}

static bool
halfvec_text(const char *text, half *x, int cap, int *dim, ParseError *err)
{
	char	   *copy = exact(text, strlen(text));
	bool		result = parse_halfvec_text(copy, strlen(text), x, cap, dim, err);

	free(copy);
	return result;
}

static bool
sparsevec_text(const char *text, int32_t *indices, float *values, int cap,
			   int32_t *dim, int *nnz, ParseError *err)
{
	char	   *copy = exact(text, strlen(text));
	bool		result = parse_sparsevec_text(copy, strlen(text), MAX_DIM, indices, values, cap,
											  dim, nnz, err);

	free(copy);
	return result;
}

/* One number that must take all of the text; NaN when it is refused. */
static float
one_float(const char *text)
{
	size_t		len = strlen(text);
	char	   *copy = exact(text, len);
	size_t		used = 0;
	float		value;
	ParseError	err;

	if (!parse_float(copy, len, &used, &value, &err))
		value = err.kind == PARSE_RANGE ? (text[0] == '-' ? -INFINITY : INFINITY) : NAN;
	else if (used != len)
		value = NAN;
	free(copy);
	return value;
}

/* The same, refused and unfinished as half NaN, out of range as infinity. */
static half
one_half(const char *text)
{
	size_t		len = strlen(text);
	char	   *copy = exact(text, len);
	size_t		used = 0;
	half		value;
	ParseError	err;

	if (!parse_half(copy, len, &used, &value, &err))
		value = err.kind == PARSE_RANGE ? (text[0] == '-' ? 0xFC00 : 0x7C00) : 0x7E00;
	else if (used != len)
		value = 0x7E00;
	free(copy);
	return value;
}

/* Dense text -------------------------------------------------------------- */

static void
test_dense_accepted(void)
{
	static const struct
	{
		const char *text;
		int			dim;
		float		x[4];
	}			cases[] = {
		{"[1,2,3]", 3, {1, 2, 3}},
		{"[1]", 1, {1}},
		{" \t\n\r\v\f[ \t1 \n, \r2 \v,\f 3 ] \t\n", 3, {1, 2, 3}},
		{"[+1,-2,-0,.5]", 4, {1, -2, -0.0f, 0.5f}},
		{"[1.,1.e2,1E+2,1e-2]", 4, {1, 100, 100, 0.01f}},
		{"[007,00.50,-.25e1]", 3, {7, 0.5f, -2.5f}},
		{"[1e-50,-1e-50]", 2, {0, -0.0f}},
		{"[0e999999999999999999999,0.0]", 2, {0, 0}},
		{"[5e-324]", 1, {0}},
		{"[3e1]", 1, {30}},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		float		x[4];
		half		h[4];
		int			dim = -1;
		int			hdim = -1;
		ParseError	err;
		bool		same;

		same = vector_text(cases[i].text, x, 4, &dim, &err) && dim == cases[i].dim &&
			memcmp(x, cases[i].x, sizeof(float) * (size_t) dim) == 0;
		ok(same, "vector accepts case %d", i);
		same = halfvec_text(cases[i].text, h, 4, &hdim, &err) && hdim == cases[i].dim;
		for (int k = 0; same && k < hdim; k++)
			same = fabs(half_value(h[k]) - cases[i].x[k]) <= fabs(cases[i].x[k]) / 2048 &&
				(h[k] >> 15) == (bits_of(cases[i].x[k]) >> 31);
		ok(same, "halfvec accepts case %d", i);
		ok(parse_count_bound(cases[i].text, strlen(cases[i].text)) == (size_t) cases[i].dim,
		   "the bound of elements is exact for case %d", i);
	}
}

static void
test_dense_refused(void)
{
	static const struct
	{
		const char *text;
		ParseErrorKind kind;
		size_t		pos;
		size_t		len;
	}			cases[] = {
		{"", PARSE_SYNTAX, 0, 0},
		{"  ", PARSE_SYNTAX, 2, 0},
		{"1", PARSE_SYNTAX, 0, 1},
		{"{1}", PARSE_SYNTAX, 0, 1},
		{"[", PARSE_SYNTAX, 1, 0},
		{"[]", PARSE_DIM_TOO_FEW, 1, 1},
		{" [ ] ", PARSE_DIM_TOO_FEW, 3, 1},
		{"[,]", PARSE_SYNTAX, 1, 1},
		{"[1", PARSE_SYNTAX, 2, 0},
		{"[1,", PARSE_SYNTAX, 3, 0},
		{"[1,]", PARSE_SYNTAX, 3, 1},
		{"[,1]", PARSE_SYNTAX, 1, 1},
		{"[1,,2]", PARSE_SYNTAX, 3, 1},
		{"[1 2]", PARSE_SYNTAX, 3, 1},
		{"[1;2]", PARSE_SYNTAX, 2, 1},
		{"[1]]", PARSE_SYNTAX, 3, 1},
		{"[1] x", PARSE_SYNTAX, 4, 1},
		{"[1][2]", PARSE_SYNTAX, 3, 1},
		{"[a]", PARSE_SYNTAX, 1, 1},
		{"[1a]", PARSE_SYNTAX, 2, 1},
		{"[.]", PARSE_SYNTAX, 1, 1},
		{"[+]", PARSE_SYNTAX, 1, 1},
		{"[-.e1]", PARSE_SYNTAX, 1, 1},
		{"[--1]", PARSE_SYNTAX, 1, 1},
		{"[+-1]", PARSE_SYNTAX, 1, 1},
		{"[1e]", PARSE_SYNTAX, 2, 1},
		{"[1e+]", PARSE_SYNTAX, 2, 1},
		{"[1.2.3]", PARSE_SYNTAX, 4, 1},
		{"[1_000]", PARSE_SYNTAX, 2, 1},
		{"[0x10]", PARSE_SYNTAX, 2, 1},
		{"[0x1p3]", PARSE_SYNTAX, 2, 1},
		{"[1f]", PARSE_SYNTAX, 2, 1},
		{"[- 1]", PARSE_SYNTAX, 1, 1},
		{"[1,nan]", PARSE_NAN, 3, 3},
		{"[NaN,1]", PARSE_NAN, 1, 3},
		{"[-nAN]", PARSE_NAN, 1, 4},
		{"[inf]", PARSE_INFINITE, 1, 3},
		{"[1,-Infinity]", PARSE_INFINITE, 3, 9},
		{"[+INF]", PARSE_INFINITE, 1, 4},
		{"[in]", PARSE_SYNTAX, 1, 1},
		{"[na", PARSE_SYNTAX, 1, 1},
		{"[1e400]", PARSE_RANGE, 1, 5},
		{"[0,-4e38 ]", PARSE_RANGE, 3, 5},
		{"[1e99999999999999999999]", PARSE_RANGE, 1, 22},
		{"[1,2,3,4,5]", PARSE_DIM_TOO_MANY, 9, 0},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		float		x[4];
		half		h[4];
		int			dim;
		ParseError	err;

		ok(!vector_text(cases[i].text, x, 4, &dim, &err) && err.kind == cases[i].kind &&
		   err.pos == cases[i].pos && err.len == cases[i].len &&
		   (err.expected != NULL) == (err.kind == PARSE_SYNTAX),
		   "vector refuses case %d at the right byte", i);
		ok(!halfvec_text(cases[i].text, h, 4, &dim, &err) && err.kind == cases[i].kind &&
		   err.pos == cases[i].pos && err.len == cases[i].len,
		   "halfvec refuses case %d at the right byte", i);
	}
}

static void
test_dense_limits(void)
{
	float		x[8];
	half		h[8];
	int			dim;
	ParseError	err;
	bool		passed = true;

	ok(vector_text("[1,2,3]", x, 3, &dim, &err) && dim == 3, "as many elements as there is room for");
	ok(!vector_text("[1,2,3,4]", x, 3, &dim, &err) && err.kind == PARSE_DIM_TOO_MANY &&
	   err.limit == 3 && err.value == 4, "one element more is refused, with the limit");
	ok(!parse_vector_text("[1\0,2]", 6, x, 8, &dim, &err) && err.kind == PARSE_SYNTAX && err.pos == 2,
	   "a NUL inside the text is refused");

	for (size_t len = 0; len < 7; len++)
	{
		char	   *copy = exact("[1.5,2]", len);

		passed = passed && !parse_vector_text(copy, len, x, 8, &dim, &err) && err.pos <= len &&
			!parse_halfvec_text(copy, len, h, 8, &dim, &err) && err.pos <= len;
		free(copy);
	}
	ok(passed, "every proper prefix is refused");
	ok(one_half("65504") == 0x7BFF && one_half("65519.999") == 0x7BFF, "the greatest half");
	ok(one_half("65520") == 0x7C00 && one_half("-1e5") == 0xFC00, "beyond the greatest half");
	ok(one_float("3.4028234663852886e38") == 3.4028234663852886e38f &&
	   one_float("340282356779733661637539395458142568447.9999") == 3.4028234663852886e38f,
	   "the greatest float");
	ok(isinf(one_float("340282356779733661637539395458142568448")), "beyond the greatest float");
}

/* Rounding ---------------------------------------------------------------- */

/* One less in the last place of a decimal text that is not zero. */
static void
decrement(char *text)
{
	for (char *p = text + strlen(text) - 1;; p--)
	{
		if (*p == '.')
			continue;
		if (*p != '0')
		{
			(*p)--;
			return;
		}
		*p = '9';
	}
}

/*
 * The number between two neighbors goes to the even one, and the least bit
 * more or less to the nearer one.
 */
static bool
half_tie(half lower)
{
	char		text[300];
	double		mid = (half_value(lower) + (lower == 0x7BFF ? 65536 : half_value(lower + 1))) / 2;
	half		upper = lower + 1;
	bool		passed;

	snprintf(text, sizeof(text), "%.25f", mid);
	passed = one_half(text) == ((lower & 1) == 0 ? lower : upper);
	strcat(text, "000000000000000000000000000000000000000000000000000000000000"
		   "00000000000000000000000000000000000000000000000000000000000000001");
	passed = passed && one_half(text) == upper;
	snprintf(text, sizeof(text), "-%.60f", mid);
	decrement(text);
	return passed && one_half(text) == (lower | 0x8000);
}

static void
test_half_rounding(void)
{
	int			bad_values = 0;
	int			bad_ties = 0;
	int			bad_near = 0;

	for (int h = 0; h < 0x7C00; h++)
	{
		char		text[64];

		snprintf(text, sizeof(text), "%.9g", half_value((half) h));
		if (one_half(text) != h)
			bad_values++;
		snprintf(text, sizeof(text), "%.30e", half_value((half) (h | 0x8000)));
		if (one_half(text) != (h | 0x8000))
			bad_values++;
		if (!half_tie((half) h))
			bad_ties++;
	}
	ok(bad_values == 0, "every half is read back from its text (%d not)", bad_values);
	ok(bad_ties == 0, "every number between two halves is rounded once (%d not)", bad_ties);

	/* a double far from any tie gives the nearest half by plain search */
	for (int i = 0; i < 20000; i++)
	{
		char		text[64];
		double		v = ldexp((double) random_bits() / 18446744073709551616.0 + 1, (int) below(44) - 28);
		half		got;
		double		error;

		snprintf(text, sizeof(text), "%.17g", v);
		got = one_half(text);
		if (v >= 65520)
		{
			bad_near += got != 0x7C00;
			continue;
		}
		error = fabs(half_value(got) - v);
		if ((got > 0 && fabs(half_value(got - 1) - v) < error) ||
			(got < 0x7BFF && fabs(half_value(got + 1) - v) < error))
			bad_near++;
	}
	ok(bad_near == 0, "random numbers go to the nearest half (%d not)", bad_near);
}

static void
test_float_rounding(void)
{
	int			bad_values = 0;
	int			bad_ties = 0;
	int			bad_random = 0;
	int			bad_near = 0;
	int			near_ties = 0;

	for (int i = 0; i < 200000; i++)
	{
		uint32_t	bits = (uint32_t) random_bits();
		char		text[200];

		if ((bits & 0x7F800000) == 0x7F800000)
			continue;
		snprintf(text, sizeof(text), "%.*e", 8 + (int) below(130), float_of(bits));
		if (bits_of(one_float(text)) != bits)
			bad_values++;
	}
	ok(bad_values == 0, "random floats are read back from their text (%d not)", bad_values);

	for (int i = 0; i < 5000; i++)
	{
		uint32_t	bits = (uint32_t) random_bits() & 0x7FFFFFFF;
		char		text[400];
		double		mid;

		/* subnormal ones too, which have the longest ties */
		if (i % 4 == 0)
			bits &= 0x007FFFFF;
		if (bits >= 0x7F7FFFFF)
			continue;
		mid = ((double) float_of(bits) + (double) float_of(bits + 1)) / 2;
		snprintf(text, sizeof(text), "%.150f", mid);
		if (bits_of(one_float(text)) != bits + (bits & 1))
			bad_ties++;
		strcat(text, "00000000000000000000001");
		if (bits_of(one_float(text)) != bits + 1)
			bad_ties++;
		snprintf(text, sizeof(text), "%.170f", mid);
		decrement(text);
		if (bits_of(one_float(text)) != bits)
			bad_ties++;
	}
	ok(bad_ties == 0, "numbers between two floats are rounded once (%d not)", bad_ties);

	/* the fast path against the C library, which runs in the C locale here */
	for (int i = 0; i < 300000; i++)
	{
		char		text[64];
		float		want;

		snprintf(text, sizeof(text), "%" PRIu64 ".%0*" PRIu64 "e%d", random_bits() >> (1 + below(63)),
				 1 + (int) below(12), random_bits() >> (24 + below(40)), (int) below(90) - 60);
		want = strtof(text, NULL);
		if (bits_of(one_float(text)) != bits_of(want))
			bad_random++;
	}
	ok(bad_random == 0, "random decimals agree with the C library (%d do not)", bad_random);
	/*
	 * Short decimals that lie beside a tie, but so close that the nearest
	 * double is the tie itself.
	 */
	for (int i = 0; i < 20000; i++)
	{
		uint32_t	bits = 0x3F800000 | below(1 << 23);
		double		tie = ((double) float_of(bits) + (double) float_of(bits + 1)) / 2;
		char		text[64];
		char		full[64];
		int			side;

		snprintf(text, sizeof(text), "%.15f", tie);
		snprintf(full, sizeof(full), "%.24f", tie); /* exact */
		side = strncmp(text, full, strlen(text));
		if (side == 0 && strspn(full + strlen(text), "0") < strlen(full) - strlen(text))
			side = -1;
		if (strtod(text, NULL) != tie || side == 0)
			continue;
		near_ties++;
		if (bits_of(one_float(text)) != (side < 0 ? bits : bits + 1))
			bad_near++;
	}
	ok(near_ties > 1000 && bad_near == 0, "decimals whose double is a tie are rounded once (%d of %d not)",
	   bad_near, near_ties);
	ok(one_float("16777217") == 16777216.0f && one_float("16777219") == 16777220.0f &&
	   one_float("16777217.000000000000000000001") == 16777218.0f,
	   "a tie that the double in between cannot tell");
}

static void
test_long_numbers(void)
{
	const int	n = 100000;
	char	   *text = must_alloc((size_t) n + 32);

	memset(text, '0', (size_t) n);
	text[1] = '.';
	sprintf(text + n, "1e%d", n - 1);
	ok(one_float(text) == 1 && one_half(text) == 0x3C00, "many zeros after the point");

	memset(text, '0', (size_t) n);
	text[0] = '1';
	sprintf(text + n, "e-%d", n - 1);
	ok(one_float(text) == 1 && one_half(text) == 0x3C00, "many zeros before the point");

	memset(text, '9', (size_t) n);
	text[1] = '.';
	text[n] = '\0';
	ok(one_float(text) == 10 && one_half(text) == 0x4900, "many digits that count");
	free(text);
}

static void
test_locale(void)
{
	static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "de_DE", "fr_FR"};
	const char *found = NULL;

	for (int i = 0; i < lengthof(names) && found == NULL; i++)
		found = setlocale(LC_ALL, names[i]);
	if (found == NULL)
	{
		ok(true, "the decimal point is a point # SKIP no locale with a decimal comma is installed");
		return;
	}
	ok(one_float("1.5") == 1.5f && one_float("1.00000000000000000000000000005e1") == 10.0f &&
	   isnan(one_float("1,5")), "the decimal point is a point in locale %s", found);
	setlocale(LC_ALL, "C");
}

/* Sparse text ------------------------------------------------------------- */

static void
test_sparse_accepted(void)
{
	static const struct
	{
		const char *text;
		int32_t		dim;
		int			nnz;
		int32_t		indices[4];
		float		values[4];
	}			cases[] = {
		{"{1:1.5,3:2}/5", 5, 2, {0, 2}, {1.5f, 2}},
		{"{}/5", 5, 0, {0}, {0}},
		{" { } / 5 ", 5, 0, {0}, {0}},
		{" \t{ 1 : 1.5 , 3 : 2 }\n/ +5\v", 5, 2, {0, 2}, {1.5f, 2}},
		{"{3:2,1:1.5}/5", 5, 2, {0, 2}, {1.5f, 2}},
		{"{4:4,3:3,2:2,1:1}/4", 4, 4, {0, 1, 2, 3}, {1, 2, 3, 4}},
		{"{1:0,2:1,3:-0}/3", 3, 1, {1}, {1}},
		{"{9:0,2:1,2:0,-3:0}/3", 3, 1, {1}, {1}},
		{"{1000000000:1}/1000000000", MAX_DIM, 1, {999999999}, {1}},
		{"{+001:1e-45}/01", 1, 1, {0}, {1e-45f}},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		int32_t		indices[4];
		float		values[4];
		int32_t		dim = -1;
		int			nnz = -1;
		ParseError	err;

		ok(sparsevec_text(cases[i].text, indices, values, 4, &dim, &nnz, &err) &&
		   dim == cases[i].dim && nnz == cases[i].nnz &&
		   memcmp(indices, cases[i].indices, sizeof(int32_t) * (size_t) nnz) == 0 &&
		   memcmp(values, cases[i].values, sizeof(float) * (size_t) nnz) == 0,
		   "sparsevec accepts case %d", i);
	}
}

static void
test_sparse_refused(void)
{
	static const struct
	{
		const char *text;
		ParseErrorKind kind;
		size_t		pos;
		size_t		len;
		int64_t		value;
		int64_t		limit;
	}			cases[] = {
		{"", PARSE_SYNTAX, 0, 0, 0, 0},
		{"[1]", PARSE_SYNTAX, 0, 1, 0, 0},
		{"{", PARSE_SYNTAX, 1, 0, 0, 0},
		{"{,}/5", PARSE_SYNTAX, 1, 1, 0, 0},
		{"{1:1", PARSE_SYNTAX, 4, 0, 0, 0},
		{"{1:1,}/5", PARSE_SYNTAX, 5, 1, 0, 0},
		{"{1}/5", PARSE_SYNTAX, 2, 1, 0, 0},
		{"{1:}/5", PARSE_SYNTAX, 3, 1, 0, 0},
		{"{:1}/5", PARSE_SYNTAX, 1, 1, 0, 0},
		{"{1.0:1}/5", PARSE_SYNTAX, 2, 1, 0, 0},
		{"{1:2:3}/5", PARSE_SYNTAX, 4, 1, 0, 0},
		{"{1:1 2:1}/5", PARSE_SYNTAX, 5, 1, 0, 0},
		{"{a:1}/5", PARSE_SYNTAX, 1, 1, 0, 0},
		{"{1:a}/5", PARSE_SYNTAX, 3, 1, 0, 0},
		{"{+:1}/5", PARSE_SYNTAX, 1, 1, 0, 0},
		{"{1:1}", PARSE_SYNTAX, 5, 0, 0, 0},
		{"{1:1}5", PARSE_SYNTAX, 5, 1, 0, 0},
		{"{1:1}/", PARSE_SYNTAX, 6, 0, 0, 0},
		{"{1:1}/x", PARSE_SYNTAX, 6, 1, 0, 0},
		{"{1:1}/5.0", PARSE_SYNTAX, 7, 1, 0, 0},
		{"{1:1}/5 6", PARSE_SYNTAX, 8, 1, 0, 0},
		{"{1:nan}/5", PARSE_NAN, 3, 3, 0, 0},
		{"{1:-inf}/5", PARSE_INFINITE, 3, 4, 0, 0},
		{"{1:1e39}/5", PARSE_RANGE, 3, 4, 0, 0},
		{"{1:1e-46}/5", PARSE_RANGE, 3, 5, 0, 0},
		{"{}/0", PARSE_DIM_TOO_FEW, 3, 1, 0, 1},
		{"{}/-1", PARSE_DIM_TOO_FEW, 3, 2, -1, 1},
		{"{}/1000000001", PARSE_DIM_TOO_MANY, 3, 10, 1000000001, MAX_DIM},
		{"{}/99999999999999999999", PARSE_DIM_TOO_MANY, 3, 20, INT32_MAX, MAX_DIM},
		{"{0:1}/5", PARSE_INDEX_RANGE, 1, 1, 0, 5},
		{"{1:1,6:1}/5", PARSE_INDEX_RANGE, 5, 1, 6, 5},
		{"{1:1,-1:1}/5", PARSE_INDEX_RANGE, 5, 2, -1, 5},
		{"{99999999999:1}/5", PARSE_INDEX_RANGE, 1, 11, INT32_MAX, 5},
		{"{-99999999999:1}/5", PARSE_INDEX_RANGE, 1, 12, -INT32_MAX, 5},
		{"{2:1,2:1}/5", PARSE_INDEX_DUPLICATE, 5, 1, 2, 5},
		{"{3:1, 2:0,1:1,3 : 2}/5", PARSE_INDEX_DUPLICATE, 14, 1, 3, 5},
		{"{1:1,2:2,3:3,4:4,5:5}/5", PARSE_NNZ_TOO_MANY, 17, 3, 5, 4},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		int32_t		indices[4];
		float		values[4];
		int32_t		dim;
		int			nnz;
		ParseError	err;
		bool		passed;

		passed = !sparsevec_text(cases[i].text, indices, values, 4, &dim, &nnz, &err) &&
			err.kind == cases[i].kind && err.pos == cases[i].pos && err.len == cases[i].len &&
			err.value == cases[i].value && err.limit == cases[i].limit;
		ok(passed, "sparsevec refuses case %d at the right byte", i);
		if (!passed)
			diag("%s: kind %d pos %zu len %zu value %" PRId64 " limit %" PRId64 "",
				   cases[i].text, (int) err.kind, err.pos, err.len, err.value, err.limit);
	}
}

/* Pairs in random order come out sorted, each with its own value. */
static void
test_sparse_order(void)
{
	enum
	{
		MOST = 16000
	};
	char	   *text = must_alloc(MOST * 24);
	int32_t    *order = must_alloc(sizeof(int32_t) * MOST);
	int32_t    *indices = must_alloc(sizeof(int32_t) * MOST);
	float	   *values = must_alloc(sizeof(float) * MOST);
	bool		passed = true;

	for (int round = 0; round < 300; round++)
	{
		int			n = round == 0 ? MOST : 1 + (int) below(round < 20 ? 2000 : 12);
		int			step = 1 + (int) below(5);
		char	   *p = text;
		int32_t		dim;
		int			nnz;
		ParseError	err;

		for (int i = 0; i < n; i++)
		{
			int			k = (int) below((uint32_t) i + 1);

			order[i] = order[k];
			order[k] = i;
		}
		*p++ = '{';
		for (int i = 0; i < n; i++)
			p += sprintf(p, "%s%d:%d", i > 0 ? "," : "", order[i] * step + 1, order[i] + 7);
		sprintf(p, "}/%d", n * step);
		passed = passed && sparsevec_text(text, indices, values, n, &dim, &nnz, &err) && nnz == n;
		for (int i = 0; passed && i < n; i++)
			passed = indices[i] == i * step && values[i] == (float) (i + 7);

		/* one index again, anywhere, is found wherever it stands */
		if (n < MOST)
		{
			sprintf(p, ",%d:1}/%d", order[below((uint32_t) n)] * step + 1, n * step);
			passed = passed && !sparsevec_text(text, indices, values, n + 1, &dim, &nnz, &err) &&
				err.kind == PARSE_INDEX_DUPLICATE && err.pos == (size_t) (p - text) + 1;
		}
	}
	ok(passed, "pairs in any order come out ascending, duplicates are found");
	free(text);
	free(order);
	free(indices);
	free(values);
}

/* Binary forms ------------------------------------------------------------ */

static void
put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t) (v >> 24);
	p[1] = (uint8_t) (v >> 16);
	p[2] = (uint8_t) (v >> 8);
	p[3] = (uint8_t) v;
}

static bool
vector_binary(const uint8_t *data, size_t len, float *x, int *dim, ParseError *err)
{
	char	   *copy = exact(data, len);
	bool		result = parse_vector_header((uint8_t *) copy, len, 16000, dim, err) &&
		parse_vector_body((uint8_t *) copy, len, *dim, x, err);

	free(copy);
	return result;
}

static bool
halfvec_binary(const uint8_t *data, size_t len, half *x, int *dim, ParseError *err)
{
	char	   *copy = exact(data, len);
	bool		result = parse_halfvec_header((uint8_t *) copy, len, 16000, dim, err) &&
		parse_halfvec_body((uint8_t *) copy, len, *dim, x, err);

	free(copy);
	return result;
}

static bool
sparsevec_binary(const uint8_t *data, size_t len, int32_t *indices, float *values,
				 int32_t *dim, int *nnz, ParseError *err)
{
	char	   *copy = exact(data, len);
	bool		result = parse_sparsevec_header((uint8_t *) copy, len, MAX_DIM, 16000, dim, nnz, err) &&
		parse_sparsevec_body((uint8_t *) copy, len, *dim, *nnz, indices, values, err);

	free(copy);
	return result;
}

static void
test_vector_binary(void)
{
	uint8_t		data[16] = {0, 2, 0, 0, 0x3F, 0xC0, 0, 0, 0xC0, 0, 0, 0};
	float		x[4];
	int			dim;
	ParseError	err;
	bool		passed = true;

	ok(vector_binary(data, 12, x, &dim, &err) && dim == 2 && x[0] == 1.5f && x[1] == -2.0f,
	   "vector from its bytes");
	for (size_t len = 0; len < 16; len++)
		passed = passed && (len == 12 || (!vector_binary(data, len, x, &dim, &err) &&
										  err.kind == PARSE_LENGTH && err.value == (int64_t) len &&
										  err.limit == (len < 4 ? 4 : 12)));
	ok(passed, "vector of a wrong length is refused, with both lengths");
	put32(data + 8, 0xFFC00000);
	ok(!vector_binary(data, 12, x, &dim, &err) && err.kind == PARSE_NAN && err.pos == 8 && err.len == 4,
	   "vector with NaN in its bytes");
	put32(data + 8, 0xFF800000);
	ok(!vector_binary(data, 12, x, &dim, &err) && err.kind == PARSE_INFINITE && err.pos == 8,
	   "vector with infinity in its bytes");
	data[3] = 1;
	ok(!vector_binary(data, 12, x, &dim, &err) && err.kind == PARSE_UNUSED && err.value == 1,
	   "vector whose unused field is not 0");
	put32(data, 0);
	ok(!vector_binary(data, 4, x, &dim, &err) && err.kind == PARSE_DIM_TOO_FEW && err.value == 0,
	   "vector of no dimension in its bytes");
	put32(data, 0xFFFF0000);
	ok(!vector_binary(data, 4, x, &dim, &err) && err.kind == PARSE_DIM_TOO_FEW && err.value == -1,
	   "vector of a negative dimension in its bytes");
	put32(data, UINT32_C(16001) << 16);
	ok(!vector_binary(data, 12, x, &dim, &err) && err.kind == PARSE_DIM_TOO_MANY &&
	   err.value == 16001 && err.limit == 16000, "vector of too many dimensions in its bytes");
}

static void
test_halfvec_binary(void)
{
	uint8_t		data[12] = {0, 2, 0, 0, 0x3E, 0x00, 0x80, 0x01};
	half		x[4];
	int			dim;
	ParseError	err;
	bool		passed = true;

	ok(halfvec_binary(data, 8, x, &dim, &err) && dim == 2 && x[0] == 0x3E00 && x[1] == 0x8001,
	   "halfvec from its bytes");
	for (size_t len = 0; len < 12; len++)
		passed = passed && (len == 8 || (!halfvec_binary(data, len, x, &dim, &err) &&
										 err.kind == PARSE_LENGTH && err.limit == (len < 4 ? 4 : 8)));
	ok(passed, "halfvec of a wrong length is refused, with both lengths");
	data[6] = 0xFC;
	ok(!halfvec_binary(data, 8, x, &dim, &err) && err.kind == PARSE_NAN && err.pos == 6 && err.len == 2,
	   "halfvec with NaN in its bytes");
	data[7] = 0;
	ok(!halfvec_binary(data, 8, x, &dim, &err) && err.kind == PARSE_INFINITE && err.pos == 6,
	   "halfvec with infinity in its bytes");
	data[2] = 0x80;
	ok(!halfvec_binary(data, 8, x, &dim, &err) && err.kind == PARSE_UNUSED && err.value == -32768,
	   "halfvec whose unused field is not 0");
}

static void
test_sparsevec_binary(void)
{
	uint8_t		good[28];
	uint8_t		data[40] = {0};
	int32_t		indices[4];
	float		values[4];
	int32_t		dim;
	int			nnz;
	ParseError	err;
	bool		passed = true;
	static const struct
	{
		int			word;		/* the word that is changed */
		uint32_t	bits;
		ParseErrorKind kind;
		size_t		pos;
		int64_t		value;
		const char *name;
	}			cases[] = {
		{0, 0, PARSE_DIM_TOO_FEW, 0, 0, "no dimension"},
		{0, 0x80000000, PARSE_DIM_TOO_FEW, 0, INT32_MIN, "a negative dimension"},
		{0, 1000000001, PARSE_DIM_TOO_MANY, 0, 1000000001, "too many dimensions"},
		{1, 0xFFFFFFFF, PARSE_NNZ_NEGATIVE, 4, -1, "a negative count"},
		{1, 16001, PARSE_NNZ_TOO_MANY, 4, 16001, "too many elements"},
		{1, 6, PARSE_NNZ_OVER_DIM, 4, 6, "more elements than dimensions"},
		{1, 1, PARSE_LENGTH, 0, 28, "fewer elements than bytes"},
		{2, 7, PARSE_UNUSED, 8, 7, "an unused field that is not 0"},
		{3, 0xFFFFFFFF, PARSE_INDEX_RANGE, 12, -1, "a negative index"},
		{4, 5, PARSE_INDEX_RANGE, 16, 5, "an index beyond the dimensions"},
		{4, 1, PARSE_INDEX_DUPLICATE, 16, 1, "an index twice"},
		{4, 0, PARSE_INDEX_ORDER, 16, 0, "indices out of order"},
		{5, 0, PARSE_ZERO_VALUE, 20, 0, "a zero"},
		{6, 0x80000000, PARSE_ZERO_VALUE, 24, 0, "a negative zero"},
		{5, 0x7FC00000, PARSE_NAN, 20, 0, "NaN"},
		{6, 0x7F800000, PARSE_INFINITE, 24, 0, "infinity"},
	};

	put32(good, 5);
	put32(good + 4, 2);
	put32(good + 8, 0);
	put32(good + 12, 1);
	put32(good + 16, 4);
	put32(good + 20, 0x3FC00000);
	put32(good + 24, 0x00000001);
	ok(sparsevec_binary(good, 28, indices, values, &dim, &nnz, &err) && dim == 5 && nnz == 2 &&
	   indices[0] == 1 && indices[1] == 4 && values[0] == 1.5f && bits_of(values[1]) == 1,
	   "sparsevec from its bytes");
	memcpy(data, good, 28);
	for (size_t len = 0; len < 40; len++)
		passed = passed && (len == 28 || (!sparsevec_binary(data, len, indices, values, &dim, &nnz, &err) &&
										  err.kind == PARSE_LENGTH && err.limit == (len < 12 ? 12 : 28)));
	ok(passed, "sparsevec of a wrong length is refused, with both lengths");
	for (int i = 0; i < lengthof(cases); i++)
	{
		memcpy(data, good, 28);
		put32(data + 4 * cases[i].word, cases[i].bits);
		ok(!sparsevec_binary(data, 28, indices, values, &dim, &nnz, &err) &&
		   err.kind == cases[i].kind && err.pos == cases[i].pos && err.value == cases[i].value,
		   "sparsevec with %s in its bytes", cases[i].name);
	}
	memset(data, 0, 12);
	put32(data, 5);
	ok(sparsevec_binary(data, 12, indices, values, &dim, &nnz, &err) && dim == 5 && nnz == 0,
	   "sparsevec without elements from its bytes");
}

int
main(void)
{
	random_begin();

	test_dense_accepted();
	test_dense_refused();
	test_dense_limits();
	test_half_rounding();
	test_float_rounding();
	test_long_numbers();
	test_locale();
	test_sparse_accepted();
	test_sparse_refused();
	test_sparse_order();
	test_vector_binary();
	test_halfvec_binary();
	test_sparsevec_binary();

	return tap_done();
}
