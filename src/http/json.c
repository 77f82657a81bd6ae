/*
 * json.c
 *	  A reader of JSON that takes a text apart in place.
 */
#include "http/json.h"

#include <stdio.h>
#include <string.h>

#include "core/vec/parse.h"

static bool
fail_at(JsonReader *self, size_t pos, const char *error)
{
	if (!self->error)
	{
		self->error = error;
		self->error_pos = pos;
	}
	return false;
}

static inline void
skip_space(JsonReader *self)
{
	while (self->pos < self->len)
	{
		char		c = self->data[self->pos];

		if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			break;
		self->pos++;
	}
}

/* The next byte; at the end a NUL, which JSON cannot have. */
static inline char
here(const JsonReader *self)
{
	return self->pos < self->len ? self->data[self->pos] : '\0';
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

void
json_begin(JsonReader *self, const char *data, size_t len)
{
	memset(self, 0, sizeof(*self));
	self->data = data;
	self->len = len;
	self->max_depth = JSON_MAX_DEPTH;
}

bool
json_end(JsonReader *self)
{
	if (self->error)
		return false;
	skip_space(self);
	return self->pos == self->len || fail_at(self, self->pos, "expected the end");
}

JsonKind
json_peek(JsonReader *self)
{
	char		c;

	if (self->error)
		return JSON_NONE;
	skip_space(self);
	c = here(self);
	switch (c)
	{
		case '{':
			return JSON_OBJECT;
		case '[':
			return JSON_ARRAY;
		case '"':
			return JSON_STRING;
		case 't':
			return JSON_TRUE;
		case 'f':
			return JSON_FALSE;
		case 'n':
			return JSON_NULL;
		default:
			if (c == '-' || is_digit(c))
				return JSON_NUMBER;
			fail_at(self, self->pos, "expected a value");
			return JSON_NONE;
	}
}

const char *
json_kind_name(JsonKind kind)
{
	static const char *const names[] = {
		"nothing", "an object", "an array", "a string", "a number", "true", "false", "null"
	};

	return names[kind];
}

bool
json_enter(JsonReader *self)
{
	if (self->error)
		return false;
	self->pos++;
	return true;
}

/* At a number: its end, or 0 with error set. */
static bool
read_number(JsonReader *self, JsonSpan *span)
{
	const char *p = self->data + self->pos;
	const char *end = self->data + self->len;

	span->pos = self->pos;
	if (p < end && *p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else if (p < end && is_digit(*p))
	{
		while (p < end && is_digit(*p))
			p++;
	}
	else
		return fail_at(self, (size_t) (p - self->data), "expected a digit");
	if (p < end && *p == '.')
	{
		p++;
		if (p == end || !is_digit(*p))
			return fail_at(self, (size_t) (p - self->data), "expected a digit");
		while (p < end && is_digit(*p))
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (p == end || !is_digit(*p))
			return fail_at(self, (size_t) (p - self->data), "expected a digit");
		while (p < end && is_digit(*p))
			p++;
	}
	self->pos = (size_t) (p - self->data);
	span->len = self->pos - span->pos;
	return true;
}

size_t
json_number_digits(const char *number, size_t len)
{
	const char *p = number;
	const char *end = number + len;
	long		before = 0;
	long		behind = 0;
	long		exponent = 0;
	bool		negative = false;

	if (p < end && *p == '-')
		p++;
	for (; p < end && is_digit(*p); p++)
		before++;
	if (p < end && *p == '.')
	{
		for (p++; p < end && is_digit(*p); p++)
			behind++;
	}
	if (p < end)
	{
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			negative = *p++ == '-';
		for (; p < end && exponent < (long) JSON_MANY_DIGITS; p++)
			exponent = exponent * 10 + (*p - '0');
	}
	if (negative)
		exponent = -exponent;
	before += exponent;
	behind -= exponent;
	before = (before < 1 ? 1 : before) + (behind < 0 ? 0 : behind);
	return (size_t) before < JSON_MANY_DIGITS ? (size_t) before : JSON_MANY_DIGITS;
}

static bool
read_string(JsonReader *self, JsonSpan *span)
{
	size_t		pos = self->pos + 1;

	span->pos = self->pos;
	for (;; pos++)
	{
		unsigned char c;

		if (pos >= self->len)
			return fail_at(self, self->len, "expected the end of a string");
		c = (unsigned char) self->data[pos];
		if (c == '"')
			break;
		if (c < 0x20)
			return fail_at(self, pos, "a control character in a string must be escaped");
		if (c != '\\')
			continue;
		pos++;
		c = pos < self->len ? (unsigned char) self->data[pos] : 0;
		if (c == 'u')
		{
			for (int i = 0; i < 4; i++)
			{
				pos++;
				c = pos < self->len ? (unsigned char) self->data[pos] : 0;
				if (!(is_digit((char) c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
					return fail_at(self, pos, "expected a hexadecimal digit");
			}
		}
		else if (c == 0 || !strchr("\"\\/bfnrt", c))
			return fail_at(self, pos, "unknown escape in a string");
	}
	self->pos = pos + 1;
	span->len = self->pos - span->pos;
	return true;
}

static bool
read_word(JsonReader *self, const char *word, JsonSpan *span)
{
	size_t		n = strlen(word);

	if (self->len - self->pos < n || memcmp(self->data + self->pos, word, n) != 0)
		return fail_at(self, self->pos, "expected a value");
	span->pos = self->pos;
	span->len = n;
	self->pos += n;
	return true;
}

static bool
read_scalar(JsonReader *self, JsonKind kind, JsonSpan *span)
{
	switch (kind)
	{
		case JSON_STRING:
			return read_string(self, span);
		case JSON_NUMBER:
			return read_number(self, span);
		case JSON_TRUE:
			return read_word(self, "true", span);
		case JSON_FALSE:
			return read_word(self, "false", span);
		case JSON_NULL:
			return read_word(self, "null", span);
		default:
			return fail_at(self, self->pos, "expected a value");
	}
}

bool
json_member(JsonReader *self, bool *first, JsonSpan *name)
{
	if (self->error)
		return false;
	skip_space(self);
	if (here(self) == '}')
	{
		self->pos++;
		return false;
	}
	if (!*first)
	{
		if (here(self) != ',')
			return fail_at(self, self->pos, "expected \",\" or \"}\"");
		self->pos++;
		skip_space(self);
	}
	*first = false;
	if (here(self) != '"')
		return fail_at(self, self->pos, "expected a name in quotes");
	if (!read_string(self, name))
		return false;
	skip_space(self);
	if (here(self) != ':')
		return fail_at(self, self->pos, "expected \":\"");
	self->pos++;
	return true;
}

bool
json_element(JsonReader *self, bool *first)
{
	if (self->error)
		return false;
	skip_space(self);
	if (here(self) == ']')
	{
		self->pos++;
		return false;
	}
	if (!*first)
	{
		if (here(self) != ',')
			return fail_at(self, self->pos, "expected \",\" or \"]\"");
		self->pos++;
	}
	*first = false;
	return true;
}

/* The open objects and arrays are a stack of bits: 1 for an object. */
bool
json_value(JsonReader *self, JsonSpan *span)
{
	uint8_t		open[JSON_MAX_DEPTH];
	int			depth = 0;
	bool		first = false;
	JsonSpan	piece;

	if (json_peek(self) == JSON_NONE)
		return false;
	span->pos = self->pos;
	self->values = 0;
	self->long_number.len = 0;
	for (;;)
	{
		JsonKind	kind = json_peek(self);

		self->values++;
		if (kind == JSON_OBJECT || kind == JSON_ARRAY)
		{
			if (depth == self->max_depth)
			{
				self->too_deep = true;
				return fail_at(self, self->pos, "nested too deeply");
			}
			open[depth++] = kind == JSON_OBJECT;
			self->pos++;
			first = true;
		}
		else if (!read_scalar(self, kind, &piece))
			return false;
		else if (kind == JSON_NUMBER && self->long_number.len == 0 &&
				 json_number_digits(self->data + piece.pos, piece.len) > JSON_MAX_DIGITS)
			self->long_number = piece;

		/* Close the objects and arrays that end here, up to where another value must follow. */
		while (depth > 0)
		{
			if (open[depth - 1] ? json_member(self, &first, &piece) : json_element(self, &first))
				break;
			if (self->error)
				return false;
			depth--;
			first = false;
		}
		if (depth == 0)
			break;
	}
	span->len = self->pos - span->pos;
	return true;
}

static unsigned
hex4(const char *p)
{
	unsigned	value = 0;

	for (int i = 0; i < 4; i++)
	{
		unsigned char c = (unsigned char) p[i];

		value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10U);
	}
	return value;
}

static char *
put_utf8(char *out, unsigned c)
{
	if (c < 0x80)
		*out++ = (char) c;
	else if (c < 0x800)
	{
		*out++ = (char) (0xC0 | (c >> 6));
		*out++ = (char) (0x80 | (c & 0x3F));
	}
	else if (c < 0x10000)
	{
		*out++ = (char) (0xE0 | (c >> 12));
		*out++ = (char) (0x80 | ((c >> 6) & 0x3F));
		*out++ = (char) (0x80 | (c & 0x3F));
	}
	else
	{
		*out++ = (char) (0xF0 | (c >> 18));
		*out++ = (char) (0x80 | ((c >> 12) & 0x3F));
		*out++ = (char) (0x80 | ((c >> 6) & 0x3F));
		*out++ = (char) (0x80 | (c & 0x3F));
	}
	return out;
}

long
json_string(JsonReader *self, JsonSpan span, char *out)
{
	const char *p = self->data + span.pos + 1;
	const char *end = self->data + span.pos + span.len - 1;
	char	   *start = out;

	while (p < end)
	{
		unsigned	c;

		if (*p != '\\')
		{
			*out++ = *p++;
			continue;
		}
		p += 2;
		switch (p[-1])
		{
			case 'b':
				*out++ = '\b';
				break;
			case 'f':
				*out++ = '\f';
				break;
			case 'n':
				*out++ = '\n';
				break;
			case 'r':
				*out++ = '\r';
				break;
			case 't':
				*out++ = '\t';
				break;
			case 'u':
				c = hex4(p);
				p += 4;
				if (c >= 0xD800 && c < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u')
				{
					unsigned	low = hex4(p + 2);

					if (low >= 0xDC00 && low < 0xE000)
					{
						c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
						p += 6;
					}
				}
				if (c == 0)
				{
					fail_at(self, (size_t) (p - self->data) - 6, "\\u0000 cannot be stored in text");
					return -1;
				}
				if (c >= 0xD800 && c < 0xE000)
				{
					fail_at(self, (size_t) (p - self->data) - 6, "half a surrogate pair");
					return -1;
				}
				out = put_utf8(out, c);
				break;
			default:
				*out++ = p[-1];
				break;
		}
	}
	*out = '\0';
	return (long) (out - start);
}

bool
json_is(const JsonReader *self, JsonSpan span, const char *word)
{
	return span.len == strlen(word) + 2 && memcmp(self->data + span.pos + 1, word, span.len - 2) == 0;
}

/* What JavaScript and others write where JSON has no number for it. */
static bool
names_no_number(const JsonReader *self)
{
	static const char *const words[] = {"NaN", "Infinity", "-Infinity", "-NaN", "nan", "inf", "-inf"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		size_t		n = strlen(words[i]);

		if (self->len - self->pos >= n && memcmp(self->data + self->pos, words[i], n) == 0)
			return true;
	}
	return false;
}

size_t
json_floats_bound(const JsonReader *self)
{
	const char *p = self->data + self->pos;
	const char *close = memchr(p, ']', self->len - self->pos);
	size_t		n = 1;

	if (!close)
		close = self->data + self->len;
	while ((p = memchr(p, ',', (size_t) (close - p))) != NULL)
	{
		n++;
		p++;
	}
	return n;
}

JsonFloatsStatus
json_floats(JsonReader *self, float *x, int cap, int *n)
{
	bool		first = true;
	JsonSpan	span;

	*n = 0;
	if (!json_enter(self))
		return JSON_FLOATS_SYNTAX;
	while (json_element(self, &first))
	{
		size_t		used;
		ParseError	err;

		skip_space(self);
		if (here(self) != '-' && !is_digit(here(self)))
		{
			if (names_no_number(self))
				return JSON_FLOATS_NOT_FINITE;
			return json_peek(self) == JSON_NONE ? JSON_FLOATS_SYNTAX : JSON_FLOATS_NOT_NUMBER;
		}
		if (here(self) == '-' && names_no_number(self))
			return JSON_FLOATS_NOT_FINITE;
		if (*n == cap)
			return JSON_FLOATS_TOO_MANY;
		if (!read_number(self, &span))
			return JSON_FLOATS_SYNTAX;
		if (!parse_float(self->data + span.pos, span.len, &used, &x[*n], &err))
			return JSON_FLOATS_RANGE;
		(*n)++;
	}
	return self->error ? JSON_FLOATS_SYNTAX : JSON_FLOATS_OK;
}

const char *
json_escape_special(unsigned char c, char buffer[JSON_ESCAPE_SIZE])
{
	switch (c)
	{
		case '"':
			return "\\\"";
		case '\\':
			return "\\\\";
		case '\b':
			return "\\b";
		case '\f':
			return "\\f";
		case '\n':
			return "\\n";
		case '\r':
			return "\\r";
		case '\t':
			return "\\t";
	}
	snprintf(buffer, JSON_ESCAPE_SIZE, "\\u%04x", c);
	return buffer;
}
