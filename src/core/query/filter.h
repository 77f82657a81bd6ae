/*
 * filter.h
 *	  The filter of a search: a JSON value that says which rows match by their
 *	  metadata, compiled to the text of an SQL condition with parameters.
 *
 * Plain C11: no PostgreSQL header, no allocation.  The caller gives the filter
 * as a tree of FilterJson, and buffers; it makes the values of the parameters.
 * No byte of the filter gets into the text: only which operators stand where.
 *
 *	filter		= {} | condition
 *	condition	= object, all of whose members hold
 *	member		= "$and": [condition, ...] | "$or": [condition, ...] | "$not": condition
 *				| path: scalar | path: operators
 *				| "$path": [key, ...] with operators in the same object
 *	path		= key *( "." key ), of which no key is empty and the first does not begin with "$"
 *	operators	= object of one or more of
 *				  "$eq": value, "$ne": value
 *				  "$gt" "$gte" "$lt" "$lte": number, string or boolean
 *				  "$in": [value, ...], "$nin": [value, ...]
 *				  "$exists": boolean
 *				  "$not": operators
 *
 * A path leads through objects, and through arrays where a key is a number from
 * 0; no other key leads into an array.  Values of different types are never equal,
 * nor less or greater.  An array at the end of the path is equal to, less or
 * greater than a scalar where one of its elements is, each operator by itself;
 * elements of arrays within it do not count.  An array or an object is equal to
 * the whole value only.  A path that leads nowhere makes every operator false but
 * $exists: false; $ne, $nin and $not are true where their contrary is false.
 */
#ifndef CORE_FILTER_H
#define CORE_FILTER_H

#include <stdbool.h>
#include <stddef.h>

/* Limits: each is far above what is of use, and bounds time and stack. */
#define FILTER_MAX_DEPTH 64		/* nesting of JSON values, the filter itself being 1 */
#define FILTER_MAX_VALUES 20000	/* JSON values in all; for the maker of the tree */
#define FILTER_MAX_TESTS 256	/* operators on paths */
#define FILTER_MAX_KEYS 32		/* keys of a path */
#define FILTER_MAX_CONTAINED 256	/* values of $in, in all, that are sought by containment */
#define FILTER_MAX_NESTED (1024 * 1024) /* bytes of keys in one parameter that repeats its path */

/* For a filter of n values: bytes of its text with the NUL, and number of its parameters, at most. */
#define FILTER_TESTS(n) ((n) < FILTER_MAX_TESTS ? (size_t) (n) : (size_t) FILTER_MAX_TESTS)
#define FILTER_SQL_SIZE(n) (720 * FILTER_TESTS(n) + 24 * ((size_t) (n) + 1))
#define FILTER_PARAMETERS(n) (3 * FILTER_TESTS(n))

typedef enum FilterJsonType
{
	FILTER_NULL,
	FILTER_BOOLEAN,
	FILTER_NUMBER,
	FILTER_STRING,
	FILTER_ARRAY,
	FILTER_OBJECT
} FilterJsonType;

/*
 * A JSON value.  Texts need not end with a NUL, and the keys of an object are
 * all different.  source is the caller's own.
 */
typedef struct FilterJson
{
	FilterJsonType type;
	bool		boolean;
	const char *text;			/* of a string */
	size_t		text_len;
	const char *key;			/* as member of an object, else NULL */
	size_t		key_len;
	int			index;			/* as element of an array, from 0 */
	int			count;			/* members or elements */
	const struct FilterJson *parent;
	const struct FilterJson *first;
	const struct FilterJson *next;
	void	   *source;
} FilterJson;

/* A key of a path. */
typedef struct FilterKey
{
	const char *text;
	size_t		len;
} FilterKey;

/*
 * What the caller has to make for a parameter, of the value (or each element of
 * it) and the path.
 */
typedef enum FilterParameterKind
{
	FILTER_PARAMETER_PATH,		/* text[]: the keys */
	FILTER_PARAMETER_VALUE,		/* jsonb: the value */
	FILTER_PARAMETER_SCALARS,	/* jsonb[]: each element that is a scalar */
	FILTER_PARAMETER_OTHERS,	/* jsonb[]: each other element */
	FILTER_PARAMETER_NESTEDS	/* jsonb[]: objects for the keys, around the scalar and around an array of it; the
								 * same for each element of an array */
} FilterParameterKind;

typedef struct FilterParameter
{
	FilterParameterKind kind;
	const FilterJson *value;	/* not of a PATH */
	FilterKey	keys[FILTER_MAX_KEYS];
	int			nkeys;
} FilterParameter;

/* What is wrong, and with which value; hint may be NULL.  Both are static texts, sentences without a full stop. */
typedef struct FilterError
{
	const char *problem;
	const char *hint;
	const FilterJson *at;
} FilterError;

/*
 * Compile a filter of n values to sql[FILTER_SQL_SIZE(n)], ended by a NUL, and
 * parameters[FILTER_PARAMETERS(n)].  column stands for the metadata, an SQL
 * expression that is never NULL, of at most 40 bytes; first is the number of the
 * first parameter.  An empty filter gives an
 * empty text.  Returns false with *error filled in.
 */
extern bool filter_compile(const FilterJson *filter, int n, const char *column, int first,
						   char *sql, FilterParameter *parameters, int *nparameters,
						   FilterError *error);

/*
 * Where a value stands in its filter, as a JSON pointer (RFC 6901): "/$and/0/price"; ""
 * is the filter itself.  What does not fit in place[size] is cut at a character's
 * start, with "..." at the end; size is at least 8.
 */
extern void filter_place(const FilterJson *value, char *place, size_t size);

#endif							/* CORE_FILTER_H */
