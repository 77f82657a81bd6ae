/*
 * parse_error.c
 *	  Turns what core/vec/parse.h found wrong in a literal or a binary form into an
 *	  error of the server.
 *
 * Primary messages are pgvector's where it has one, as applications match on
 * them; the position and the piece at fault stand in the detail.  Positions
 * count bytes from 1; indices count from 1 in text and from 0 in binary.
 */
#include "pgcompat.h"

#include "mb/pg_wchar.h"
#include "vector/parse_error.h"

/* Of a literal, so much is quoted; it may have hundreds of kilobytes. */
#define QUOTE_LIMIT 256

static void report_syntax(const char *type, const char *literal,
						  const ParseError *error) pg_attribute_noreturn();
static void report_length(const char *type, const ParseError *error) pg_attribute_noreturn();
static void report_value(const char *type, const char *literal,
						 const ParseError *error) pg_attribute_noreturn();
static void report_count(const char *type, const char *literal,
						 const ParseError *error) pg_attribute_noreturn();
static void report_index(const char *type, const char *literal,
						 const ParseError *error) pg_attribute_noreturn();
static char *quote(const char *literal, size_t len);

void
VectorReportParseError(const char *type, const char *literal, const ParseError *error)
{
	switch (error->kind)
	{
		case PARSE_SYNTAX:
			report_syntax(type, literal, error);
			break;

		case PARSE_LENGTH:
			report_length(type, error);
			break;

		case PARSE_NAN:
		case PARSE_INFINITE:
		case PARSE_RANGE:
		case PARSE_ZERO_VALUE:
			report_value(type, literal, error);
			break;

		case PARSE_DIM_TOO_FEW:
		case PARSE_DIM_TOO_MANY:
		case PARSE_NNZ_TOO_MANY:
		case PARSE_NNZ_NEGATIVE:
		case PARSE_NNZ_OVER_DIM:
			report_count(type, literal, error);
			break;

		case PARSE_INDEX_RANGE:
		case PARSE_INDEX_ORDER:
		case PARSE_INDEX_DUPLICATE:
			report_index(type, literal, error);
			break;

		case PARSE_UNUSED:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("expected unused to be 0, not %lld", (long long) error->value)));
			break;

		case PARSE_OK:
			break;
	}
	elog(ERROR, "unrecognized parse error kind: %d", (int) error->kind);
}

/* A value that no element may have. */
static void
report_value(const char *type, const char *literal, const ParseError *error)
{
	size_t		at = error->pos + 1;

	switch (error->kind)
	{
		case PARSE_NAN:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("NaN not allowed in %s", type),
					 errdetail("It stands at byte %zu.", at)));
			break;

		case PARSE_INFINITE:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("infinite value not allowed in %s", type),
					 errdetail("It stands at byte %zu.", at)));
			break;

		case PARSE_RANGE:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("\"%s\" is out of range for type %s",
							quote(literal + error->pos, error->len), type),
					 errdetail("The number stands at byte %zu.", at)));
			break;

		case PARSE_ZERO_VALUE:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("binary representation of %s cannot contain zero values", type),
					 errdetail("A zero stands at byte %zu.", at)));
			break;

		default:
			elog(ERROR, "unrecognized parse error kind: %d", (int) error->kind);
	}
}

/* Too few or too many dimensions or elements. */
static void
report_count(const char *type, const char *literal, const ParseError *error)
{
	bool		binary = literal == NULL;
	size_t		at = error->pos + 1;

	switch (error->kind)
	{
		case PARSE_DIM_TOO_FEW:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("%s must have at least 1 dimension", type),
					 error->value < 0 ?
					 errdetail("The number of dimensions given is %lld.", (long long) error->value) : 0));
			break;

		case PARSE_DIM_TOO_MANY:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%s cannot have more than %lld dimensions", type, (long long) error->limit),
					 error->len == 0 ?
					 errdetail("Element %lld stands at byte %zu.", (long long) error->value, at) :
					 binary ?
					 errdetail("The number of dimensions given is %lld.", (long long) error->value) :
					 errdetail("The number of dimensions given is \"%s\".",
							   quote(literal + error->pos, error->len))));
			break;

		case PARSE_NNZ_TOO_MANY:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%s cannot have more than %lld non-zero elements", type, (long long) error->limit),
					 binary ?
					 errdetail("The number of elements given is %lld.", (long long) error->value) :
					 errdetail("Non-zero element %lld stands at byte %zu.", (long long) error->value, at)));
			break;

		case PARSE_NNZ_NEGATIVE:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("%s cannot have negative number of elements", type),
					 errdetail("The number of elements given is %lld.", (long long) error->value)));
			break;

		case PARSE_NNZ_OVER_DIM:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%s cannot have more elements than dimensions", type),
					 errdetail("It has %lld elements and %lld dimensions.",
							   (long long) error->value, (long long) error->limit)));
			break;

		default:
			elog(ERROR, "unrecognized parse error kind: %d", (int) error->kind);
	}
}

/* The index of an element of a sparse vector. */
static void
report_index(const char *type, const char *literal, const ParseError *error)
{
	bool		binary = literal == NULL;
	size_t		at = error->pos + 1;

	switch (error->kind)
	{
		case PARSE_INDEX_RANGE:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("%s index out of bounds", type),
					 binary ?
					 errdetail("Index %lld at byte %zu is not between 0 and %lld.",
							   (long long) error->value, at, (long long) error->limit - 1) :
					 errdetail("Index \"%s\" at byte %zu is not between 1 and %lld.",
							   quote(literal + error->pos, error->len), at, (long long) error->limit)));
			break;

		case PARSE_INDEX_ORDER:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("%s indices must be in ascending order", type),
					 errdetail("Index %lld at byte %zu is below its predecessor.",
							   (long long) error->value, at)));
			break;

		case PARSE_INDEX_DUPLICATE:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("%s indices must not contain duplicates", type),
					 errdetail("Index %lld occurs again at byte %zu.", (long long) error->value, at)));
			break;

		default:
			elog(ERROR, "unrecognized parse error kind: %d", (int) error->kind);
	}
}

static void
report_syntax(const char *type, const char *literal, const ParseError *error)
{
	const char *found = literal + error->pos;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type %s: \"%s\"", type, quote(literal, strlen(literal))),
			 *found != '\0' ?
			 errdetail("Expected %s at byte %zu, found \"%.*s\".",
					   error->expected, error->pos + 1, pg_mblen(found), found) :
			 errdetail("Expected %s at byte %zu, found the end of the text.",
					   error->expected, error->pos + 1)));
}

static void
report_length(const char *type, const ParseError *error)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid binary representation of type %s", type),
			 errdetail("It needs %lld bytes, but %lld were given.",
					   (long long) error->limit, (long long) error->value)));
}

/* A copy that ends with a NUL, clipped between characters where it is long. */
static char *
quote(const char *literal, size_t len)
{
	if (len <= QUOTE_LIMIT)
		return pnstrdup(literal, len);
	return psprintf("%.*s...", pg_mbcliplen(literal, (int) len, QUOTE_LIMIT), literal);
}
