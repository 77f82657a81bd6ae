/*
 * http_json_fuzz.c
 *	  The reader of JSON bodies, against a second reader and the C library.
 */
#include "fuzz.h"

#include <ctype.h>
#include <math.h>

#include "http/json.h"

/*
 * The second reader, by recursion; verdict only.  It takes what RFC 8259 takes,
 * up to the depth that ours allows.
 */
typedef struct Second
{
	const unsigned char *p;
	const unsigned char *end;
} Second;

static void
space(Second *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool
take(Second *s, unsigned char c)
{
	if (s->p < s->end && *s->p == c)
	{
		s->p++;
		return true;
	}
	return false;
}

static bool
digits(Second *s)
{
	const unsigned char *start = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > start;
}

static bool
string(Second *s)
{
	if (!take(s, '"'))
		return false;
	while (s->p < s->end && *s->p != '"')
	{
		if (*s->p < 0x20)
			return false;
		if (*s->p++ != '\\')
			continue;
		if (s->p == s->end)
			return false;
		switch (*s->p++)
		{
			case '"':
			case '\\':
			case '/':
			case 'b':
			case 'f':
			case 'n':
			case 'r':
			case 't':
				break;
			case 'u':
				for (int i = 0; i < 4; i++, s->p++)
				{
					if (s->p == s->end || *s->p == '\0' || !strchr("0123456789abcdefABCDEF", *s->p))
						return false;
				}
				break;
			default:
				return false;
		}
	}
	return take(s, '"');
}

static bool
number(Second *s)
{
	take(s, '-');
	if (!take(s, '0') && !digits(s))
		return false;
	if (take(s, '.') && !digits(s))
		return false;
	if (take(s, 'e') || take(s, 'E'))
	{
		if (!take(s, '+'))
			take(s, '-');
		return digits(s);
	}
	return true;
}

static bool
word(Second *s, const char *w)
{
	size_t		n = strlen(w);

	if ((size_t) (s->end - s->p) < n || memcmp(s->p, w, n) != 0)
		return false;
	s->p += n;
	return true;
}

static bool
value(Second *s, int depth)
{
	bool		object;

	space(s);
	if (s->p == s->end)
		return false;
	switch (*s->p)
	{
		case '"':
			return string(s);
		case 't':
			return word(s, "true");
		case 'f':
			return word(s, "false");
		case 'n':
			return word(s, "null");
		case '{':
		case '[':
			break;
		default:
			return number(s);
	}
	if (depth == JSON_MAX_DEPTH)
		return false;
	object = *s->p++ == '{';
	space(s);
	if (take(s, object ? '}' : ']'))
		return true;
	for (;;)
	{
		if (object)
		{
			space(s);
			if (!string(s))
				return false;
			space(s);
			if (!take(s, ':'))
				return false;
		}
		if (!value(s, depth + 1))
			return false;
		space(s);
		if (take(s, object ? '}' : ']'))
			return true;
		if (!take(s, ','))
			return false;
	}
}

static void
check_failure(const JsonReader *json)
{
	REQUIRE(json->error != NULL);
	REQUIRE(json->error_pos <= json->len);
	REQUIRE(json->pos <= json->len);
}

/* Every string of the text can be taken, into no more room than it is said to need. */
static void
check_string(const Text *text, JsonSpan span)
{
	JsonReader	json;
	char	   *out = fuzz_alloc(span.len);
	long		n;

	json_begin(&json, text->bytes, text->len);
	n = json_string(&json, span, out);
	REQUIRE(n >= -1 && n <= (long) span.len - 2);
	if (n < 0)
		check_failure(&json);
	else
		REQUIRE(memchr(out, '\0', (size_t) n + 1) == out + n);
	free(out);
}

/* Walk a value as callers do, without knowing its shape. */
static void
walk(const Text *text, JsonReader *json, int depth)
{
	bool		first = true;
	JsonSpan	span;
	JsonKind	kind = json_peek(json);

	REQUIRE(json_kind_name(kind) != NULL);
	if (kind == JSON_NONE)
		return;
	if ((kind != JSON_OBJECT && kind != JSON_ARRAY) || depth == 4)
	{
		if (json_value(json, &span))
		{
			REQUIRE(span.len > 0 && span.pos + span.len == json->pos);
			if (kind == JSON_STRING)
				check_string(text, span);
		}
		return;
	}
	json_enter(json);
	while (kind == JSON_OBJECT ? json_member(json, &first, &span) : json_element(json, &first))
	{
		if (kind == JSON_OBJECT)
		{
			check_string(text, span);
			REQUIRE(json_is(json, span, "data") == (span.len == 6 && memcmp(text->bytes + span.pos, "\"data\"", 6) == 0));
		}
		walk(text, json, depth + 1);
	}
}

static void
check_floats(const Text *text, bool well_formed)
{
	JsonReader	json;
	float		x[ROOM];
	int			n = -1;
	size_t		bound;
	JsonFloatsStatus status;

	json_begin(&json, text->bytes, text->len);
	if (json_peek(&json) != JSON_ARRAY)
		return;
	bound = json_floats_bound(&json);
	status = json_floats(&json, x, ROOM, &n);
	REQUIRE(n >= 0 && n <= ROOM);
	switch (status)
	{
		case JSON_FLOATS_OK:
			{
				const char *p = memchr(text->bytes, '[', text->len);
				char	   *copy = fuzz_alloc(text->len + 1);
				char	   *at = copy + (p + 1 - text->bytes);

				REQUIRE((size_t) n <= bound);
				memcpy(copy, text->bytes, text->len);
				copy[text->len] = '\0';
				for (int i = 0; i < n; i++)
				{
					float		expected;

					at += strspn(at, " \t\n\r,");
					expected = strtof(at, &at);
					REQUIRE(isfinite(x[i]) && float_bits(x[i]) == float_bits(expected));
				}
				free(copy);
				break;
			}
		case JSON_FLOATS_SYNTAX:
			check_failure(&json);
			REQUIRE(!well_formed);
			break;
		case JSON_FLOATS_TOO_MANY:
			REQUIRE(n == ROOM);
			break;
		default:
			REQUIRE(status == JSON_FLOATS_NOT_NUMBER || status == JSON_FLOATS_NOT_FINITE || status == JSON_FLOATS_RANGE);
			/* What is no number is told even where there is no room for one. */
			REQUIRE(n < ROOM || status != JSON_FLOATS_RANGE);
			break;
	}
}

/*
 * What is said of numbers: that of a number is the count of its digits once it is
 * written out, found here by writing it out in steps of the exponent; a value
 * names the first that is too long.
 */
static void
check_numbers(const Text *text, const JsonReader *json, JsonSpan whole)
{
	JsonSpan	number = json->long_number;
	JsonReader	again;
	JsonSpan	span;
	JsonKind	kind;
	size_t		digits_said;
	size_t		before = 0;
	size_t		behind = 0;
	size_t		i;
	const char *p;

	REQUIRE(json->values >= 1 && json->values <= whole.len);
	if (number.len > 0)
	{
		REQUIRE(number.pos >= whole.pos && number.pos + number.len <= whole.pos + whole.len);
		REQUIRE(json_number_digits(text->bytes + number.pos, number.len) > JSON_MAX_DIGITS);
	}
	json_begin(&again, text->bytes, text->len);
	kind = json_peek(&again);
	if (kind != JSON_NUMBER || !json_value(&again, &span))
		return;
	REQUIRE((again.long_number.len > 0) == (json_number_digits(text->bytes + span.pos, span.len) > JSON_MAX_DIGITS));
	digits_said = json_number_digits(text->bytes + span.pos, span.len);
	REQUIRE(digits_said >= 1 && digits_said <= JSON_MANY_DIGITS);

	p = text->bytes + span.pos;
	i = p[0] == '-';
	while (i < span.len && isdigit((unsigned char) p[i]))
	{
		before++;
		i++;
	}
	if (i < span.len && p[i] == '.')
	{
		for (i++; i < span.len && isdigit((unsigned char) p[i]); i++)
			behind++;
	}
	if (i < span.len)
	{
		char	   *copy = fuzz_alloc(span.len);
		double		exponent;

		memcpy(copy, p + i + 1, span.len - i - 1);
		copy[span.len - i - 1] = '\0';
		exponent = strtod(copy, NULL);
		free(copy);
		if (fabs(exponent) > 5000)
		{
			REQUIRE(digits_said > JSON_MAX_DIGITS);
			return;
		}
		for (; exponent > 0; exponent--)
		{
			before++;
			behind -= behind > 0;
		}
		for (; exponent < 0; exponent++)
		{
			behind++;
			before -= before > 1;
		}
	}
	REQUIRE(digits_said == before + behind);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		text = text_new(data, size);
	Second		second = {(unsigned char *) text.bytes, (unsigned char *) text.bytes + size};
	JsonReader	json;
	JsonSpan	span;
	bool		good;
	bool		expected;

	json_begin(&json, text.bytes, text.len);
	good = json_value(&json, &span) && json_end(&json);
	if (good)
	{
		REQUIRE(json.error == NULL && json.pos == size && span.pos + span.len <= size);
		check_numbers(&text, &json, span);
	}
	else
		check_failure(&json);
	expected = value(&second, 0);
	space(&second);
	REQUIRE(good == (expected && second.p == second.end));

	json_begin(&json, text.bytes, text.len);
	walk(&text, &json, 0);
	REQUIRE(json_end(&json) == good || !good || json.error != NULL);
	if (good)
		REQUIRE(json.error == NULL);
	check_floats(&text, good);
	text_destroy(&text);
	return 0;
}
