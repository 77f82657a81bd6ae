/*
 * parse.c
 *	  Parsers of the text and binary forms of vector, halfvec and sparsevec.
 *
 * Grammars and contracts are in parse.h.  All state is on the stack; nothing
 * is read at or past text + len.
 *
 * Numbers.  A decimal number is taken apart into at most DECIMAL_DIGITS
 * significant digits and a power of ten.  Most numbers met in practice are an
 * integer below 2^53 times a small power of ten; a double then holds both
 * exactly and one operation gives their value rounded once (Clinger, "How to
 * read floating point numbers accurately", 1990).  Rounding that double once
 * more to float is right unless it lies exactly between two floats.  All the
 * rest goes through the C library's strtof() as digits without a decimal
 * point ("125e-2"), so that no locale has a say.
 */
#include "core/vec/parse.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"

/*
 * A number that lies exactly between two floats has at most 113 significant
 * digits.  Of any digits beyond these it matters only whether one is not zero.
 */
#define DECIMAL_DIGITS 120

/* Magnitude 0.d1d2d3... * 10^point, d1 not zero; 0 when ndigits is 0. */
typedef struct Decimal
{
	bool		negative;
	bool		more;			/* a digit that is not zero was left out */
	int			ndigits;
	int64_t		point;
	uint64_t	mantissa;		/* the digits as an integer, while ndigits <= 19 */
	char		digits[DECIMAL_DIGITS];
} Decimal;

/* What stands between start and end; p moves forward only. */
typedef struct Cursor
{
	const char *start;
	const char *p;
	const char *end;
} Cursor;

_Static_assert(sizeof(float) == 4 && sizeof(half) == 2, "elements of the binary forms");

static bool fail(ParseError *err, ParseErrorKind kind, size_t pos, size_t len);
static bool fail_count(ParseError *err, ParseErrorKind kind, size_t pos, size_t len,
					   int64_t value, int64_t limit);
static bool fail_syntax(ParseError *err, const Cursor *c, const char *expected);
static void skip_space(Cursor *c);
static bool accept_char(Cursor *c, char ch);
static bool accept_integer(Cursor *c, int64_t *value);
static bool read_decimal(Cursor *c, Decimal *d, ParseError *err);
static float decimal_to_float(const Decimal *d);
static float decimal_to_float_slow(const Decimal *d);
static half decimal_to_half(const Decimal *d, float f);
static bool read_float(Cursor *c, float *value, bool *underflow, ParseError *err);
static bool read_half(Cursor *c, half *value, ParseError *err);
static bool read_dense(Cursor *c, float *f32, half *f16, int cap, int *dim, ParseError *err);
static bool read_sparse(const char *text, size_t len, int32_t max_dim,
						int32_t *indices, float *values, int cap,
						int32_t *dim, int *nnz, ParseError *err);
static bool read_pair(Cursor *c, int64_t *index, float *value, ParseError *err);
static bool check_indices(const char *text, size_t len, const int32_t *indices, int nnz,
						  int32_t dim, ParseError *err);
static void sort_pairs(int32_t *indices, float *values, int n);

/*
 * What a parser of len bytes returns, beside err: an error's piece lies within the
 * input, for the caller shows it.
 */
static inline bool
finish(bool right, const ParseError *err, size_t len)
{
	CORE_ASSERT(right || (err->kind != PARSE_OK && err->pos <= len && err->len <= len - err->pos));
	CORE_ASSERT(right || (err->kind == PARSE_SYNTAX) == (err->expected != NULL));
	return right;
}

/* Zero based, below dim, each once, in order; no value is zero. */
static bool
are_pairs(const int32_t *indices, const float *values, int nnz, int32_t dim)
{
	for (int i = 0; i < nnz; i++)
	{
		if (indices[i] < 0 || indices[i] >= dim || (i > 0 && indices[i] <= indices[i - 1]) ||
			values[i] == 0 || !isfinite(values[i]))
			return false;
	}
	return true;
}

/* Numbers ----------------------------------------------------------------- */

bool
parse_float(const char *text, size_t len, size_t *used, float *value, ParseError *err)
{
	Cursor		c = {text, text, text + len};
	bool		underflow;

	if (!finish(read_float(&c, value, &underflow, err), err, len))
		return false;
	*used = (size_t) (c.p - c.start);
	CORE_ASSERT(*used > 0 && *used <= len && isfinite(*value));
	return true;
}

bool
parse_half(const char *text, size_t len, size_t *used, half *value, ParseError *err)
{
	Cursor		c = {text, text, text + len};

	if (!finish(read_half(&c, value, err), err, len))
		return false;
	*used = (size_t) (c.p - c.start);
	CORE_ASSERT(*used > 0 && *used <= len && !half_is_nan(*value) && !half_is_inf(*value));
	return true;
}

/* Text forms -------------------------------------------------------------- */

size_t
parse_count_bound(const char *text, size_t len)
{
	const char *end = text + len;
	size_t		n = 1;

	while (text < end && (text = memchr(text, ',', (size_t) (end - text))) != NULL)
	{
		n++;
		text++;
	}
	return n;
}

bool
parse_vector_text(const char *text, size_t len, float *x, int cap, int *dim, ParseError *err)
{
	Cursor		c = {text, text, text + len};

	return finish(read_dense(&c, x, NULL, cap, dim, err), err, len);
}

bool
parse_halfvec_text(const char *text, size_t len, half *x, int cap, int *dim, ParseError *err)
{
	Cursor		c = {text, text, text + len};

	return finish(read_dense(&c, NULL, x, cap, dim, err), err, len);
}

bool
parse_sparsevec_text(const char *text, size_t len, int32_t max_dim,
					 int32_t *indices, float *values, int cap,
					 int32_t *dim, int *nnz, ParseError *err)
{
	if (!finish(read_sparse(text, len, max_dim, indices, values, cap, dim, nnz, err), err, len))
		return false;
	CORE_ASSERT(*nnz <= cap && *dim <= max_dim && are_pairs(indices, values, *nnz, *dim));
	return true;
}

static bool
read_sparse(const char *text, size_t len, int32_t max_dim,
			int32_t *indices, float *values, int cap,
			int32_t *dim, int *nnz, ParseError *err)
{
	Cursor		c = {text, text, text + len};
	bool		ascending = true;
	int			n = 0;
	int64_t		given;
	size_t		at;

	skip_space(&c);
	if (!accept_char(&c, '{'))
		return fail_syntax(err, &c, "\"{\"");
	skip_space(&c);
	if (!accept_char(&c, '}'))
	{
		for (;;)
		{
			int64_t		index;
			float		value;

			skip_space(&c);
			at = (size_t) (c.p - c.start);
			if (!read_pair(&c, &index, &value, err))
				return false;
			if (value != 0)
			{
				if (n >= cap)
					return fail_count(err, PARSE_NNZ_TOO_MANY, at, (size_t) (c.p - c.start) - at,
									  (int64_t) n + 1, cap);
				indices[n] = (int32_t) (index - 1);
				values[n] = value;
				if (n > 0 && indices[n] <= indices[n - 1])
					ascending = false;
				n++;
			}

			skip_space(&c);
			if (accept_char(&c, ','))
				continue;
			if (accept_char(&c, '}'))
				break;
			return fail_syntax(err, &c, "\",\" or \"}\"");
		}
	}

	skip_space(&c);
	if (!accept_char(&c, '/'))
		return fail_syntax(err, &c, "\"/\" and the number of dimensions");
	skip_space(&c);
	at = (size_t) (c.p - c.start);
	if (!accept_integer(&c, &given))
		return fail_syntax(err, &c, "the number of dimensions");
	len = (size_t) (c.p - c.start) - at;
	skip_space(&c);
	if (c.p < c.end)
		return fail_syntax(err, &c, "the end of the text");

	if (given < 1)
		return fail_count(err, PARSE_DIM_TOO_FEW, at, len, given, 1);
	if (given > max_dim)
		return fail_count(err, PARSE_DIM_TOO_MANY, at, len, given, max_dim);

	if (!ascending)
		sort_pairs(indices, values, n);
	if (!check_indices(text, (size_t) (c.end - c.start), indices, n, (int32_t) given, err))
		return false;

	*dim = (int32_t) given;
	*nnz = n;
	return true;
}

/* Binary forms ------------------------------------------------------------ */

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t) ((unsigned) p[0] << 8 | p[1]);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

/* A finite float from its four bytes at data + pos. */
static bool
get_float(const uint8_t *data, size_t pos, float *value, ParseError *err)
{
	uint32_t	bits = get32(data + pos);

	if ((bits & 0x7F800000) == 0x7F800000)
		return fail(err, (bits & 0x007FFFFF) != 0 ? PARSE_NAN : PARSE_INFINITE, pos, 4);
	memcpy(value, &bits, sizeof(bits));
	return true;
}

/* Header of both dense forms: they differ in the size of an element only. */
static bool
dense_header(const uint8_t *data, size_t len, size_t elem, int max_dim, int *dim,
			 ParseError *err)
{
	int16_t		given;
	int16_t		unused;
	size_t		need;

	if (len < 4)
		return fail_count(err, PARSE_LENGTH, 0, 0, (int64_t) len, 4);
	given = (int16_t) get16(data);
	unused = (int16_t) get16(data + 2);
	if (given < 1)
		return fail_count(err, PARSE_DIM_TOO_FEW, 0, 2, given, 1);
	if (given > max_dim)
		return fail_count(err, PARSE_DIM_TOO_MANY, 0, 2, given, max_dim);
	if (unused != 0)
		return fail_count(err, PARSE_UNUSED, 2, 2, unused, 0);
	need = 4 + elem * (size_t) given;
	if (len != need)
		return fail_count(err, PARSE_LENGTH, 0, 0, (int64_t) len, (int64_t) need);
	*dim = given;
	return true;
}

bool
parse_vector_header(const uint8_t *data, size_t len, int max_dim, int *dim, ParseError *err)
{
	return dense_header(data, len, 4, max_dim, dim, err);
}

bool
parse_vector_body(const uint8_t *data, size_t len, int dim, float *x, ParseError *err)
{
	if (dim < 1 || len != 4 + 4 * (size_t) dim)
		return fail_count(err, PARSE_LENGTH, 0, 0, (int64_t) len, 4 + 4 * (int64_t) dim);
	for (int i = 0; i < dim; i++)
		if (!get_float(data, 4 + 4 * (size_t) i, &x[i], err))
			return false;
	return true;
}

bool
parse_halfvec_header(const uint8_t *data, size_t len, int max_dim, int *dim, ParseError *err)
{
	return dense_header(data, len, 2, max_dim, dim, err);
}

bool
parse_halfvec_body(const uint8_t *data, size_t len, int dim, half *x, ParseError *err)
{
	if (dim < 1 || len != 4 + 2 * (size_t) dim)
		return fail_count(err, PARSE_LENGTH, 0, 0, (int64_t) len, 4 + 2 * (int64_t) dim);
	for (int i = 0; i < dim; i++)
	{
		size_t		pos = 4 + 2 * (size_t) i;

		x[i] = get16(data + pos);
		if (half_is_nan(x[i]))
			return fail(err, PARSE_NAN, pos, 2);
		if (half_is_inf(x[i]))
			return fail(err, PARSE_INFINITE, pos, 2);
	}
	return true;
}

bool
parse_sparsevec_header(const uint8_t *data, size_t len, int32_t max_dim, int max_nnz,
					   int32_t *dim, int *nnz, ParseError *err)
{
	int32_t		given;
	int32_t		count;
	int32_t		unused;
	size_t		need;

	if (len < 12)
		return fail_count(err, PARSE_LENGTH, 0, 0, (int64_t) len, 12);
	given = (int32_t) get32(data);
	count = (int32_t) get32(data + 4);
	unused = (int32_t) get32(data + 8);
	if (given < 1)
		return fail_count(err, PARSE_DIM_TOO_FEW, 0, 4, given, 1);
	if (given > max_dim)
		return fail_count(err, PARSE_DIM_TOO_MANY, 0, 4, given, max_dim);
	if (count < 0)
		return fail_count(err, PARSE_NNZ_NEGATIVE, 4, 4, count, 0);
	if (count > max_nnz)
		return fail_count(err, PARSE_NNZ_TOO_MANY, 4, 4, count, max_nnz);
	if (count > given)
		return fail_count(err, PARSE_NNZ_OVER_DIM, 4, 4, count, given);
	if (unused != 0)
		return fail_count(err, PARSE_UNUSED, 8, 4, unused, 0);
	need = 12 + 8 * (size_t) count;
	if (len != need)
		return fail_count(err, PARSE_LENGTH, 0, 0, (int64_t) len, (int64_t) need);
	*dim = given;
	*nnz = count;
	CORE_ASSERT(*nnz >= 0 && *nnz <= *dim);
	return true;
}

bool
parse_sparsevec_body(const uint8_t *data, size_t len, int32_t dim, int nnz,
					 int32_t *indices, float *values, ParseError *err)
{
	size_t		pos = 12;

	if (nnz < 0 || len != 12 + 8 * (size_t) nnz)
		return fail_count(err, PARSE_LENGTH, 0, 0, (int64_t) len, 12 + 8 * (int64_t) nnz);
	for (int i = 0; i < nnz; i++, pos += 4)
	{
		int32_t		index = (int32_t) get32(data + pos);

		if (index < 0 || index >= dim)
			return fail_count(err, PARSE_INDEX_RANGE, pos, 4, index, dim);
		if (i > 0 && index == indices[i - 1])
			return fail_count(err, PARSE_INDEX_DUPLICATE, pos, 4, index, dim);
		if (i > 0 && index < indices[i - 1])
			return fail_count(err, PARSE_INDEX_ORDER, pos, 4, index, dim);
		indices[i] = index;
	}
	for (int i = 0; i < nnz; i++, pos += 4)
	{
		if (!get_float(data, pos, &values[i], err))
			return false;
		if (values[i] == 0)
			return fail(err, PARSE_ZERO_VALUE, pos, 4);
	}
	CORE_ASSERT(pos == len && are_pairs(indices, values, nnz, dim));
	return true;
}

/* Helpers: errors --------------------------------------------------------- */

static bool
fail(ParseError *err, ParseErrorKind kind, size_t pos, size_t len)
{
	return fail_count(err, kind, pos, len, 0, 0);
}

static bool
fail_count(ParseError *err, ParseErrorKind kind, size_t pos, size_t len,
		   int64_t value, int64_t limit)
{
	err->kind = kind;
	err->pos = pos;
	err->len = len;
	err->value = value;
	err->limit = limit;
	err->expected = NULL;
	return false;
}

static bool
fail_syntax(ParseError *err, const Cursor *c, const char *expected)
{
	fail(err, PARSE_SYNTAX, (size_t) (c->p - c->start), c->p < c->end ? 1 : 0);
	err->expected = expected;
	return false;
}

/* Helpers: characters ----------------------------------------------------- */

/* Not isspace(): that one depends on the locale. */
static bool
is_space(char ch)
{
	return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

static bool
is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

static void
skip_space(Cursor *c)
{
	while (c->p < c->end && is_space(*c->p))
		c->p++;
}

static bool
accept_char(Cursor *c, char ch)
{
	if (c->p < c->end && *c->p == ch)
	{
		c->p++;
		return true;
	}
	return false;
}

/* word is in lower case; any case is accepted */
static bool
accept_word(Cursor *c, const char *word)
{
	size_t		n = strlen(word);

	if ((size_t) (c->end - c->p) < n)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		char		ch = c->p[i];

		if (ch >= 'A' && ch <= 'Z')
			ch = (char) (ch - 'A' + 'a');
		if (ch != word[i])
			return false;
	}
	c->p += n;
	return true;
}

/* Digits with an optional sign, saturated to +-INT32_MAX; else c stays. */
static bool
accept_integer(Cursor *c, int64_t *value)
{
	const char *before = c->p;
	bool		negative = accept_char(c, '-');
	int64_t		v = 0;

	if (!negative)
		accept_char(c, '+');
	if (c->p == c->end || !is_digit(*c->p))
	{
		c->p = before;
		return false;
	}
	for (; c->p < c->end && is_digit(*c->p); c->p++)
	{
		v = v * 10 + (*c->p - '0');
		if (v > INT32_MAX)
			v = INT32_MAX;
	}
	*value = negative ? -v : v;
	return true;
}

/* Helpers: numbers -------------------------------------------------------- */

/* Append one digit of a number to its significant digits. */
static void
decimal_add(Decimal *d, char digit)
{
	if (d->ndigits == 0 && digit == '0')
		return;
	if (d->ndigits < DECIMAL_DIGITS)
	{
		if (d->ndigits < 19)
			d->mantissa = d->mantissa * 10 + (uint64_t) (digit - '0');
		d->digits[d->ndigits++] = digit;
	}
	else if (digit != '0')
		d->more = true;
}

/*
 * Exponent after a mantissa; without digits its "e" is not part of the number.
 * Saturated far beyond what leading or trailing zeros of any text in memory
 * could make up for.
 */
static int64_t
read_exponent(Cursor *c)
{
	const char *before = c->p;
	bool		negative;
	int64_t		e = 0;

	if (!accept_char(c, 'e') && !accept_char(c, 'E'))
		return 0;
	negative = accept_char(c, '-');
	if (!negative)
		accept_char(c, '+');
	if (c->p == c->end || !is_digit(*c->p))
	{
		c->p = before;
		return 0;
	}
	for (; c->p < c->end && is_digit(*c->p); c->p++)
	{
		if (e < INT64_C(1000000000000000))
			e = e * 10 + (*c->p - '0');
	}
	return negative ? -e : e;
}

/* Take a number apart, or fail with PARSE_SYNTAX, PARSE_NAN, PARSE_INFINITE. */
static bool
read_decimal(Cursor *c, Decimal *d, ParseError *err)
{
	const char *before = c->p;
	bool		any = false;
	size_t		pos = (size_t) (c->p - c->start);

	d->more = false;
	d->ndigits = 0;
	d->point = 0;
	d->mantissa = 0;
	d->negative = accept_char(c, '-');
	if (!d->negative)
		accept_char(c, '+');

	for (; c->p < c->end && is_digit(*c->p); c->p++)
	{
		any = true;
		decimal_add(d, *c->p);
		if (d->ndigits > 0)
			d->point++;
	}
	if (accept_char(c, '.'))
	{
		for (; c->p < c->end && is_digit(*c->p); c->p++)
		{
			any = true;
			decimal_add(d, *c->p);
			if (d->ndigits == 0)
				d->point--;
		}
	}
	if (!any)
	{
		ParseErrorKind kind = PARSE_SYNTAX;

		c->p = before;
		if (!accept_char(c, '-'))
			accept_char(c, '+');
		if (accept_word(c, "nan"))
			kind = PARSE_NAN;
		else if (accept_word(c, "infinity") || accept_word(c, "inf"))
			kind = PARSE_INFINITE;
		if (kind != PARSE_SYNTAX)
			return fail(err, kind, pos, (size_t) (c->p - before));
		c->p = before;
		return fail_syntax(err, c, "a number");
	}
	d->point += read_exponent(c);
	return true;
}

/* Magnitude only; infinity when too large. */
static float
decimal_to_float(const Decimal *d)
{
	static const double power[] = {
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
	};
	int64_t		e = d->point - d->ndigits;

	/*
	 * The result is at least 1e-22 and below 1e38: neither a subnormal float
	 * nor an overflow can hide here.  Excess precision would spoil the single
	 * rounding, hence the test of FLT_EVAL_METHOD.
	 */
	if (FLT_EVAL_METHOD == 0 && d->ndigits > 0 && d->ndigits <= 19 &&
		d->mantissa <= UINT64_C(1) << 53 && e >= -22 && e <= 22)
	{
		double		v = (double) d->mantissa;
		uint64_t	bits;

		if (e < 0)
			v /= power[-e];
		else
			v *= power[e];
		memcpy(&bits, &v, sizeof(bits));
		if ((bits & 0x1FFFFFFF) != 0x10000000)
			return (float) v;
	}
	return decimal_to_float_slow(d);
}

static float
decimal_to_float_slow(const Decimal *d)
{
	char		buf[DECIMAL_DIGITS + 16];
	int			n = d->ndigits;

	/* Below 10^-46 all is under half of the least float; 10^39 is beyond it. */
	if (n == 0 || d->point <= -46)
		return 0;
	if (d->point >= 40)
		return INFINITY;

	memcpy(buf, d->digits, (size_t) n);
	if (d->more)
		buf[n++] = '1';
	CORE_ASSERT(n <= DECIMAL_DIGITS + 1 && d->digits[0] != '0');
	snprintf(buf + n, sizeof(buf) - (size_t) n, "e%d", (int) d->point - n);
	return strtof(buf, NULL);
}

/*
 * Compare |d| with mid * 2^-25, 0 < mid < 2^41, exactly: -1, 0 or 1.
 *
 * mid * 2^-25 is (mid * 5^25) * 10^-25, an integer of at most 30 digits with
 * the decimal point put in.
 */
static int
decimal_compare(const Decimal *d, uint64_t mid)
{
	static const uint64_t five[] = {244140625, 1220703125}; /* 5^12, 5^13 */
	const uint64_t base = 1000000000;
	uint64_t	limb[4] = {mid % base, mid / base, 0, 0};
	char		text[40];
	const char *m = text;
	int			n;

	CORE_ASSERT(mid > 0 && mid < UINT64_C(1) << 41);
	for (int k = 0; k < 2; k++)
	{
		uint64_t	carry = 0;

		for (int i = 0; i < 4; i++)
		{
			uint64_t	t = limb[i] * five[k] + carry;

			limb[i] = t % base;
			carry = t / base;
		}
	}
	n = snprintf(text, sizeof(text), "%09u%09u%09u%09u", (unsigned) limb[3],
				 (unsigned) limb[2], (unsigned) limb[1], (unsigned) limb[0]);
	while (*m == '0')
	{
		m++;
		n--;
	}

	if (d->point != n - 25)
		return d->point < n - 25 ? -1 : 1;
	for (int i = 0; i < d->ndigits || i < n; i++)
	{
		char		a = i < d->ndigits ? d->digits[i] : '0';
		char		b = i < n ? m[i] : '0';

		if (a != b)
			return a < b ? -1 : 1;
	}
	return d->more ? 1 : 0;
}

/*
 * Magnitude as half, given f, the same rounded to float.  Rounding f once more
 * is right unless f lies exactly between two halves: then the number itself,
 * which may be a little to either side of f, decides.
 */
static half
decimal_to_half(const Decimal *d, float f)
{
	uint32_t	bits;
	bool		tie;

	memcpy(&bits, &f, sizeof(bits));
	if (f >= 0x1p-14f)
		tie = (bits & 0x1FFF) == 0x1000 && f <= 65520.0f;
	else
	{
		float		scaled = f * 0x1p25f;	/* exact; halves are even here */

		tie = scaled == (float) (int) scaled && ((int) scaled & 1) == 1;
	}
	if (tie)
	{
		int			side = decimal_compare(d, (uint64_t) ((double) f * 0x1p25));

		bits += (uint32_t) side;
		memcpy(&f, &bits, sizeof(f));
	}
	return half_from_float(f);
}

/* *underflow: the number is not zero although its float is. */
static bool
read_float(Cursor *c, float *value, bool *underflow, ParseError *err)
{
	const char *before = c->p;
	Decimal		d;
	float		f;

	if (!read_decimal(c, &d, err))
		return false;
	f = decimal_to_float(&d);
	if (f > FLT_MAX)
		return fail(err, PARSE_RANGE, (size_t) (before - c->start), (size_t) (c->p - before));
	*underflow = f == 0 && d.ndigits > 0;
	*value = d.negative ? -f : f;
	return true;
}

static bool
read_half(Cursor *c, half *value, ParseError *err)
{
	const char *before = c->p;
	Decimal		d;
	half		h;

	if (!read_decimal(c, &d, err))
		return false;
	h = decimal_to_half(&d, decimal_to_float(&d));
	if (half_is_inf(h))
		return fail(err, PARSE_RANGE, (size_t) (before - c->start), (size_t) (c->p - before));
	*value = d.negative ? h | 0x8000 : h;
	return true;
}

/* Helpers: forms ---------------------------------------------------------- */

/* Exactly one of f32 and f16 is given and has room for cap elements. */
static bool
read_dense(Cursor *c, float *f32, half *f16, int cap, int *dim, ParseError *err)
{
	int			n = 0;

	skip_space(c);
	if (!accept_char(c, '['))
		return fail_syntax(err, c, "\"[\"");
	skip_space(c);
	if (c->p < c->end && *c->p == ']')
		return fail_count(err, PARSE_DIM_TOO_FEW, (size_t) (c->p - c->start), 1, 0, 1);

	for (;;)
	{
		bool		underflow;

		skip_space(c);
		if (n >= cap)
			return fail_count(err, PARSE_DIM_TOO_MANY, (size_t) (c->p - c->start), 0,
							  (int64_t) n + 1, cap);
		if (f32 != NULL ? !read_float(c, &f32[n], &underflow, err)
			: !read_half(c, &f16[n], err))
			return false;
		n++;

		skip_space(c);
		if (accept_char(c, ','))
			continue;
		if (accept_char(c, ']'))
			break;
		return fail_syntax(err, c, "\",\" or \"]\"");
	}

	skip_space(c);
	if (c->p < c->end)
		return fail_syntax(err, c, "the end of the text");
	CORE_ASSERT(n >= 1 && n <= cap);
	*dim = n;
	return true;
}

/*
 * One "index:value", index still one based.  A value that is not zero but
 * would become zero is refused: it would silently vanish from the vector.
 */
static bool
read_pair(Cursor *c, int64_t *index, float *value, ParseError *err)
{
	const char *number;
	bool		underflow;

	if (!accept_integer(c, index))
		return fail_syntax(err, c, "an index");
	skip_space(c);
	if (!accept_char(c, ':'))
		return fail_syntax(err, c, "\":\"");
	skip_space(c);
	number = c->p;
	if (!read_float(c, value, &underflow, err))
		return false;
	if (underflow)
		return fail(err, PARSE_RANGE, (size_t) (number - c->start), (size_t) (c->p - number));
	return true;
}

/*
 * Refuse indices out of range and duplicates among sorted ones.  The text,
 * known to be well formed, is read again only to tell where the culprit is.
 */
static bool
check_indices(const char *text, size_t len, const int32_t *indices, int nnz,
			  int32_t dim, ParseError *err)
{
	ParseErrorKind kind = PARSE_OK;
	int			skip = 0;
	int			i;
	Cursor		c = {text, text, text + len};

	for (i = 0; i < nnz; i++)
	{
		if (indices[i] < 0 || indices[i] >= dim)
			kind = PARSE_INDEX_RANGE;
		else if (i > 0 && indices[i] == indices[i - 1])
		{
			kind = PARSE_INDEX_DUPLICATE;
			skip = 1;
		}
		if (kind != PARSE_OK)
			break;
	}
	if (kind == PARSE_OK)
		return true;

	skip_space(&c);
	accept_char(&c, '{');
	for (;;)
	{
		int64_t		index;
		float		value;
		size_t		at;
		Cursor		number;

		skip_space(&c);
		at = (size_t) (c.p - c.start);
		number = c;
		if (!read_pair(&c, &index, &value, err))
			return false;		/* cannot happen, and is an error all the same */
		if (value != 0 && index - 1 == indices[i] && skip-- == 0)
		{
			accept_integer(&number, &index);
			return fail_count(err, kind, at, (size_t) (number.p - number.start) - at, index, dim);
		}
		skip_space(&c);
		if (!accept_char(&c, ','))
			return fail_count(err, kind, at, 0, (int64_t) indices[i] + 1, dim);
	}
}

/* Heap sort by index: in place, no allocation, n log n whatever the input. */
static void
sort_pairs(int32_t *indices, float *values, int n)
{
	int			unsorted = n;
	int			build = n / 2;

	while (unsorted > 1)
	{
		int32_t		index;
		float		value;
		int			hole;

		if (build > 0)
		{
			hole = --build;
			index = indices[hole];
			value = values[hole];
		}
		else
		{
			/* the greatest goes behind the heap, its last one needs a place */
			unsorted--;
			index = indices[unsorted];
			value = values[unsorted];
			indices[unsorted] = indices[0];
			values[unsorted] = values[0];
			hole = 0;
		}

		for (;;)
		{
			int			child = 2 * hole + 1;

			if (child >= unsorted)
				break;
			if (child + 1 < unsorted && indices[child + 1] > indices[child])
				child++;
			if (indices[child] <= index)
				break;
			indices[hole] = indices[child];
			values[hole] = values[child];
			hole = child;
		}
		indices[hole] = index;
		values[hole] = value;
	}
}
