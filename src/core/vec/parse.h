/*
 * parse.h
 *	  Parsers of the text and binary forms of vector, halfvec and sparsevec.
 *
 * Plain C11: no PostgreSQL header, no allocation, no global state.  Input is
 * always (pointer, length) and need not end with a NUL; output goes to arrays
 * of the caller.  Every parser returns true, or false with *err filled in;
 * the output arrays then hold nothing of use.  Turning an error into a message
 * is the caller's work.
 *
 * Text forms ("_" is any run of space, \t, \n, \r, \v, \f):
 *
 *	dense	= _ "[" _ number *( _ "," _ number ) _ "]" _
 *	sparse	= _ "{" _ [ pair *( _ "," _ pair ) ] _ "}" _ "/" _ integer _
 *	pair	= integer _ ":" _ number
 *	integer	= [ "+" | "-" ] 1*digit
 *	number	= [ "+" | "-" ] ( 1*digit [ "." *digit ] | "." 1*digit ) [ exponent ]
 *	exponent = ( "e" | "E" ) [ "+" | "-" ] 1*digit
 *
 * The words nan, inf and infinity, in any case and with a sign, are recognized
 * in order to be refused by name.  Hexadecimal numbers are not numbers here.
 * The decimal point is "." in every locale.
 *
 * Binary forms, all big endian:
 *
 *	vector		int16 dim, int16 unused = 0, float4[dim]
 *	halfvec		int16 dim, int16 unused = 0, binary16[dim]
 *	sparsevec	int32 dim, int32 nnz, int32 unused = 0,
 *				int32 indices[nnz] zero based and ascending, float4 values[nnz]
 *
 * A binary form is read in two steps so that the caller allocates exactly what
 * is needed: the header parser proves that the length fits the counts before
 * anything is allocated, the body parser fills the arrays.
 */
#ifndef CORE_PARSE_H
#define CORE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/vec/half.h"

typedef enum ParseErrorKind
{
	PARSE_OK = 0,

	/* text: pos is where the parser stood */
	PARSE_SYNTAX,				/* expected: what would have been right there */

	/* both: pos and len are the number (its bytes in a binary form) */
	PARSE_NAN,
	PARSE_INFINITE,
	PARSE_RANGE,				/* text only: too large, or too small for a sparsevec */

	/* both */
	PARSE_DIM_TOO_FEW,			/* value: the count given, less than 1 */
	PARSE_DIM_TOO_MANY,			/* limit: the most allowed */
	PARSE_NNZ_TOO_MANY,			/* limit: the most allowed */
	PARSE_INDEX_RANGE,			/* value: the index, limit: the dimensions; pos, len: the index */
	PARSE_INDEX_DUPLICATE,		/* value: the index; pos, len: its second occurrence */

	/* binary only */
	PARSE_INDEX_ORDER,			/* value: the index that is below its predecessor */
	PARSE_NNZ_NEGATIVE,			/* value: the count given */
	PARSE_NNZ_OVER_DIM,			/* value: the count given, limit: the dimensions */
	PARSE_ZERO_VALUE,
	PARSE_UNUSED,				/* value: what stood where 0 belongs */
	PARSE_LENGTH				/* value: bytes given, limit: bytes needed */
} ParseErrorKind;

/*
 * What is wrong, and where.  Positions are byte offsets from the start of the
 * input, counted from 0.  Indices in value are as they stand in the input:
 * one based in text, zero based in binary.  An index or a dimension too large
 * for 32 bits is saturated in value; the piece at pos shows it in full.
 */
typedef struct ParseError
{
	ParseErrorKind kind;
	size_t		pos;
	size_t		len;			/* of the offending piece; 0 when there is none */
	int64_t		value;
	int64_t		limit;
	const char *expected;		/* static string, PARSE_SYNTAX only */
} ParseError;

/*
 * One number at the start of text.  *used tells how many bytes it took; what
 * follows is not looked at, and no space is skipped.  The result is the value
 * of the decimal text rounded once, to nearest with ties to even; a number too
 * small becomes a (signed) zero and is no error.
 */
extern bool parse_float(const char *text, size_t len, size_t *used, float *value, ParseError *err);
extern bool parse_half(const char *text, size_t len, size_t *used, half *value, ParseError *err);

/*
 * An upper bound of the elements that a text form can hold (commas + 1), exact
 * when the text turns out to be a valid dense vector: allocate
 * min(bound, limit) elements and give that as cap.
 */
extern size_t parse_count_bound(const char *text, size_t len);

/*
 * Dense text into x[cap].  More than cap elements is PARSE_DIM_TOO_MANY with
 * limit = cap.
 */
extern bool parse_vector_text(const char *text, size_t len, float *x, int cap,
							  int *dim, ParseError *err);
extern bool parse_halfvec_text(const char *text, size_t len, half *x, int cap,
							   int *dim, ParseError *err);

/*
 * Sparse text into indices[cap] (zero based) and values[cap].  Pairs may come
 * in any order and leave in ascending order of index.  Pairs whose value is
 * zero are dropped before indices are checked, and do not count.  More than
 * cap others is PARSE_NNZ_TOO_MANY with limit = cap.
 */
extern bool parse_sparsevec_text(const char *text, size_t len, int32_t max_dim,
								 int32_t *indices, float *values, int cap,
								 int32_t *dim, int *nnz, ParseError *err);

/*
 * Binary forms.  len is the length of the whole form, for both steps.  The
 * header parser requires that no byte is missing or left over.
 */
extern bool parse_vector_header(const uint8_t *data, size_t len, int max_dim,
								int *dim, ParseError *err);
extern bool parse_vector_body(const uint8_t *data, size_t len, int dim, float *x,
							  ParseError *err);
extern bool parse_halfvec_header(const uint8_t *data, size_t len, int max_dim,
								 int *dim, ParseError *err);
extern bool parse_halfvec_body(const uint8_t *data, size_t len, int dim, half *x,
							   ParseError *err);
extern bool parse_sparsevec_header(const uint8_t *data, size_t len, int32_t max_dim,
								   int max_nnz, int32_t *dim, int *nnz, ParseError *err);
extern bool parse_sparsevec_body(const uint8_t *data, size_t len, int32_t dim, int nnz,
								 int32_t *indices, float *values, ParseError *err);

#endif							/* CORE_PARSE_H */
