/*
 * json.h
 *	  A reader of JSON (RFC 8259) that takes a text apart in place; and how a
 *	  string's bytes are written.
 *
 * Plain C: nothing of PostgreSQL.  PostgreSQL's own parser copies each number
 * into memory of its own before one may look at it, and its interface differs
 * between the versions that we serve; a batch of vectors is a million numbers.
 *
 * The reader neither allocates nor recurses.  The caller steps through objects and
 * arrays whose shape it knows, and reads any other value whole.  After the first
 * failure every function gives false, and error and error_pos tell what was wrong
 * and where.  Bytes above 0x7F are taken as they are: the caller has checked that
 * they are valid UTF-8.
 */
#ifndef VECDB_HTTP_JSON_H
#define VECDB_HTTP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nesting of a value that is skipped whole; a caller may set less. */
#define JSON_MAX_DEPTH	200

/*
 * Digits that a number in what is stored may have when it is written without an
 * exponent: more than any double has (324 and 17 behind the point).  1e131000 is
 * 8 bytes here, and 131,001 wherever it comes out of PostgreSQL.
 */
#define JSON_MAX_DIGITS	400

typedef enum JsonKind
{
	JSON_NONE,					/* no value begins here */
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL
} JsonKind;

/* A piece of the text: a string with its quotes, a number, a whole value. */
typedef struct JsonSpan
{
	size_t		pos;
	size_t		len;
} JsonSpan;

typedef struct JsonReader
{
	const char *data;
	size_t		len;
	size_t		pos;
	const char *error;			/* static; NULL: none */
	size_t		error_pos;
	int			max_depth;		/* at most JSON_MAX_DEPTH, which json_begin sets */
	bool		too_deep;		/* which is the error */

	/* of what json_value read last */
	size_t		values;			/* how many values it has, itself included */
	JsonSpan	long_number;	/* the first of more than JSON_MAX_DIGITS; len 0: none */
} JsonReader;

/* What keeps an array from being a vector. */
typedef enum JsonFloatsStatus
{
	JSON_FLOATS_OK,
	JSON_FLOATS_SYNTAX,			/* see error */
	JSON_FLOATS_NOT_NUMBER,		/* element index is something else */
	JSON_FLOATS_NOT_FINITE,		/* element index is NaN or Infinity */
	JSON_FLOATS_RANGE,			/* element index is beyond single precision */
	JSON_FLOATS_TOO_MANY		/* more than cap */
} JsonFloatsStatus;

extern void json_begin(JsonReader *self, const char *data, size_t len);

/* Nothing but space is left. */
extern bool json_end(JsonReader *self);

/* What kind of value comes next; space before it is skipped. */
extern JsonKind json_peek(JsonReader *self);
extern const char *json_kind_name(JsonKind kind);

/* Step into an object or array, whose kind was peeked. */
extern bool json_enter(JsonReader *self);

/*
 * The next member's name, after which its value stands; false at the end or on
 * an error.  first is true for the first call after json_enter and is cleared.
 */
extern bool json_member(JsonReader *self, bool *first, JsonSpan *name);

/* Likewise, whether there is another element. */
extern bool json_element(JsonReader *self, bool *first);

/* Read a value whole, of any kind; tells of the numbers in it, too. */
extern bool json_value(JsonReader *self, JsonSpan *span);

/*
 * Digits of a number of JSON when it is written without an exponent, on both
 * sides of the point together; leading zeros count.  At most JSON_MANY_DIGITS.
 */
#define JSON_MANY_DIGITS	((size_t) 1000000000)
extern size_t json_number_digits(const char *number, size_t len);

/*
 * A string's characters, into out, which has room for span.len bytes, with a
 * NUL after them.  The length, or -1 when it holds \u0000 or half a surrogate
 * pair; error is then set.
 */
extern long json_string(JsonReader *self, JsonSpan span, char *out);

/* Compare a member's name, which must hold no escapes to be equal. */
extern bool json_is(const JsonReader *self, JsonSpan span, const char *word);

/*
 * An array of numbers into x[cap].  *n is how many there are, or the index of
 * the element in question.
 */
extern JsonFloatsStatus json_floats(JsonReader *self, float *x, int cap, int *n);

/* Numbers that begin where the reader stands, at most: a bound for cap. */
extern size_t json_floats_bound(const JsonReader *self);

#define JSON_ESCAPE_SIZE	7

extern const char *json_escape_special(unsigned char c, char buffer[JSON_ESCAPE_SIZE]);

/*
 * How a byte is written within a string: "\n", "\u0001"; NULL where it stands for
 * itself.  buffer is used where there is no short form.
 */
static inline const char *
json_escape(unsigned char c, char buffer[JSON_ESCAPE_SIZE])
{
	return c >= 0x20 && c != '"' && c != '\\' ? NULL : json_escape_special(c, buffer);
}

#endif							/* VECDB_HTTP_JSON_H */
