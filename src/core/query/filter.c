/*
 * filter.c
 *	  Compiling the filter of a search to SQL.
 *
 * Each operator becomes one of a few forms:
 *
 *	equal to a scalar	column @> ANY of {"key": {"key": value}} and {"key": {"key": [value]}}
 *	the same			(column #> path) @> value
 *	equal to another	(column #> path) = value
 *	$gt ...				(column #> path) > value where its type is the value's; where it is
 *						'array', there is such an element
 *	$in					as the first, with all values in the array; of many values
 *						(column #> path) = ANY of them, or of an array there one element
 *	$exists				(column #> path) IS NOT NULL
 *
 * A scalar or an array contains a scalar that it is equal to, or that is one of
 * its elements; within objects only an array contains an array.  The first form
 * is what a GIN index serves, and what statistics of the column are good for.  It
 * is right only where no array is on the path, so a key that could be the index
 * of an array takes the second.  So do values under a long path, as the first
 * repeats the path for each.  It goes through the whole array for each row, without
 * a look for interrupts, while the executor hashes what equality is asked of: so
 * many values are better without the index.  Every form is true or false, never
 * unknown, so NOT is the contrary.
 */
#include "core/query/filter.h"

#include <stdio.h>
#include <string.h>

#include "core/assert.h"

#define COLUMN_MAX 40

typedef struct Compiler
{
	const char *column;
	int			first;
	char	   *sql;
	size_t		size;
	size_t		used;
	FilterParameter *parameters;
	int			nparameters;
	size_t		most_parameters;
	int			tests;
	int			contained;		/* values of $in that containment is asked of */
	FilterError *error;
} Compiler;

/* The path of the operators that are being compiled. */
typedef struct Path
{
	FilterKey	keys[FILTER_MAX_KEYS];
	int			nkeys;
	bool		indexes;		/* a key may be the index of an array */
} Path;

static bool compile_condition(Compiler *self, const FilterJson *object, int depth);
static bool compile_operators(Compiler *self, const Path *path, const FilterJson *object, const FilterJson *besides, int depth);

static bool
fail(Compiler *self, const FilterJson *at, const char *problem, const char *hint)
{
	self->error->problem = problem;
	self->error->hint = hint;
	self->error->at = at;
	return false;
}

static bool
key_is(const FilterJson *value, const char *word)
{
	return value->key != NULL && value->key_len == strlen(word) && memcmp(value->key, word, value->key_len) == 0;
}

static bool
is_operator(const FilterJson *value)
{
	return value->key != NULL && value->key_len > 0 && value->key[0] == '$';
}

/* Append to the text.  The size given is enough for whatever is compiled: see FILTER_SQL_SIZE. */
static void
put(Compiler *self, const char *text)
{
	size_t		len = strlen(text);

	CORE_ASSERT(self->used + len < self->size);
	if (len < self->size - self->used)
	{
		memcpy(self->sql + self->used, text, len + 1);
		self->used += len;
	}
	else
		self->used = self->size;	/* noticed at the end */
}

/* Append "$n" for a new parameter. */
static void
put_parameter(Compiler *self, FilterParameterKind kind, const Path *path, const FilterJson *value)
{
	FilterParameter *parameter = &self->parameters[self->nparameters];
	char		number[16];

	CORE_ASSERT((size_t) self->nparameters < self->most_parameters);
	CORE_ASSERT(path->nkeys >= 1 && path->nkeys <= FILTER_MAX_KEYS);
	CORE_ASSERT((value == NULL) == (kind == FILTER_PARAMETER_PATH));
	parameter->kind = kind;
	parameter->value = value;
	parameter->nkeys = path->nkeys;
	memcpy(parameter->keys, path->keys, sizeof(FilterKey) * (size_t) path->nkeys);
	snprintf(number, sizeof(number), "$%d", self->first + self->nparameters);
	self->nparameters++;
	put(self, number);
}

/* Append "(column #> $n)" for a parameter that is there already, or a new one when n is 0; returns n. */
static int
put_extraction(Compiler *self, const Path *path, int n)
{
	char		number[16];

	put(self, "(");
	put(self, self->column);
	put(self, " OPERATOR(pg_catalog.#>) ");
	if (n == 0)
	{
		n = self->first + self->nparameters;
		put_parameter(self, FILTER_PARAMETER_PATH, path, NULL);
	}
	else
	{
		CORE_ASSERT(n >= self->first && n < self->first + self->nparameters &&
					self->parameters[n - self->first].kind == FILTER_PARAMETER_PATH);
		snprintf(number, sizeof(number), "$%d", n);
		put(self, number);
	}
	put(self, ")");
	return n;
}

/* ---------------------------------------------------------------------
 * Operators
 * --------------------------------------------------------------------- */

static bool
is_scalar(const FilterJson *value)
{
	return value->type != FILTER_ARRAY && value->type != FILTER_OBJECT;
}

/* Does containment within objects say that one of n scalars is at the path? */
static bool
can_nest(const Path *path, int n)
{
	size_t		bytes = 0;

	for (int i = 0; i < path->nkeys; i++)
		bytes += path->keys[i].len;
	return !path->indexes && bytes * (size_t) n <= FILTER_MAX_NESTED;
}

/* "(C @> ANY ($n))" for a scalar, or an array of scalars */
static void
put_nested(Compiler *self, const Path *path, const FilterJson *value)
{
	put(self, "(");
	put(self, self->column);
	put(self, " OPERATOR(pg_catalog.@>) ANY (");
	put_parameter(self, FILTER_PARAMETER_NESTEDS, path, value);
	put(self, "))");
}

static void
put_equal(Compiler *self, const Path *path, const FilterJson *value)
{
	if (is_scalar(value) && can_nest(path, 1))
	{
		put_nested(self, path, value);
		return;
	}
	put(self, "((");
	put_extraction(self, path, 0);
	put(self, is_scalar(value) ? " OPERATOR(pg_catalog.@>) " : " OPERATOR(pg_catalog.=) ");
	put_parameter(self, FILTER_PARAMETER_VALUE, path, value);
	put(self, ") IS TRUE)");
}

/* Append "jsonb_typeof(C #> path) = type"; n is as in put_extraction. */
static int
put_type(Compiler *self, const Path *path, int n, const char *type)
{
	put(self, "pg_catalog.jsonb_typeof");
	n = put_extraction(self, path, n);
	put(self, " OPERATOR(pg_catalog.=) ");
	put(self, type);
	return n;
}

/* Append "((C #> path) = ANY ($m))" for a new parameter; n is as in put_extraction. */
static int
put_equal_any(Compiler *self, const Path *path, int n, FilterParameterKind kind, const FilterJson *values)
{
	put(self, "(");
	n = put_extraction(self, path, n);
	put(self, " OPERATOR(pg_catalog.=) ANY (");
	put_parameter(self, kind, path, values);
	put(self, "))");
	return n;
}

/* The value at the path, or an element of an array there, is one of the scalars; n is as in put_extraction. */
static int
put_any_scalar(Compiler *self, const Path *path, int n, const FilterJson *values)
{
	char		number[16];

	n = put_equal_any(self, path, n, FILTER_PARAMETER_SCALARS, values);
	snprintf(number, sizeof(number), "$%d", self->first + self->nparameters - 1);
	put(self, " OR ");
	put_type(self, path, n, "'array'");
	put(self, " AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements");
	put_extraction(self, path, n);
	put(self, " AS e (v) WHERE e.v OPERATOR(pg_catalog.=) ANY (");
	put(self, number);
	put(self, "))");
	return n;
}

static bool
put_in(Compiler *self, const Path *path, const FilterJson *values)
{
	int			scalars = 0;
	int			n = 0;

	if (values->type != FILTER_ARRAY)
		return fail(self, values, "An array is expected", NULL);
	if (values->count == 0)
	{
		put(self, "false");
		return true;
	}
	for (const FilterJson *v = values->first; v != NULL; v = v->next)
		scalars += is_scalar(v);
	if (scalars == values->count && self->contained + scalars <= FILTER_MAX_CONTAINED && can_nest(path, scalars))
	{
		self->contained += scalars;
		put_nested(self, path, values);
		return true;
	}
	put(self, "((");
	if (scalars > 0)
		n = put_any_scalar(self, path, 0, values);
	if (scalars > 0 && scalars < values->count)
		put(self, " OR ");
	if (scalars < values->count)
		put_equal_any(self, path, n, FILTER_PARAMETER_OTHERS, values);
	put(self, ") IS TRUE)");
	return true;
}

static bool
put_comparison(Compiler *self, const Path *path, const FilterJson *value, const char *sign)
{
	const char *type;
	char		number[16];
	int			n;

	switch (value->type)
	{
		case FILTER_NUMBER:
			type = "'number'";
			break;
		case FILTER_STRING:
			type = "'string'";
			break;
		case FILTER_BOOLEAN:
			type = "'boolean'";
			break;
		default:
			return fail(self, value, "Only a number, a string or a boolean is less or greater than another", NULL);
	}
	put(self, "((");
	n = put_type(self, path, 0, type);
	put(self, " AND ");
	put_extraction(self, path, n);
	put(self, sign);
	snprintf(number, sizeof(number), "$%d", self->first + self->nparameters);
	put_parameter(self, FILTER_PARAMETER_VALUE, path, value);
	put(self, " OR ");
	put_type(self, path, n, "'array'");
	put(self, " AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements");
	put_extraction(self, path, n);
	put(self, " AS e (v) WHERE pg_catalog.jsonb_typeof(e.v) OPERATOR(pg_catalog.=) ");
	put(self, type);
	put(self, " AND e.v");
	put(self, sign);
	put(self, number);
	put(self, ")) IS TRUE)");
	return true;
}

static bool
compile_operator(Compiler *self, const Path *path, const FilterJson *value, int depth)
{
	static const char *const signs[][2] = {
		{"$gt", " OPERATOR(pg_catalog.>) "},
		{"$gte", " OPERATOR(pg_catalog.>=) "},
		{"$lt", " OPERATOR(pg_catalog.<) "},
		{"$lte", " OPERATOR(pg_catalog.<=) "},
	};

	if (key_is(value, "$not"))
	{
		if (value->type != FILTER_OBJECT)
			return fail(self, value, "An object of operators is expected", NULL);
		put(self, "(NOT ");
		if (!compile_operators(self, path, value, NULL, depth))
			return false;
		put(self, ")");
		return true;
	}

	if (++self->tests > FILTER_MAX_TESTS)
		return fail(self, value, "The filter has more than 256 operators", NULL);
	if (key_is(value, "$eq"))
		put_equal(self, path, value);
	else if (key_is(value, "$ne"))
	{
		put(self, "(NOT ");
		put_equal(self, path, value);
		put(self, ")");
	}
	else if (key_is(value, "$in"))
		return put_in(self, path, value);
	else if (key_is(value, "$nin"))
	{
		put(self, "(NOT ");
		if (!put_in(self, path, value))
			return false;
		put(self, ")");
	}
	else if (key_is(value, "$exists"))
	{
		if (value->type != FILTER_BOOLEAN)
			return fail(self, value, "true or false is expected", NULL);
		put(self, "(");
		put_extraction(self, path, 0);
		put(self, value->boolean ? " IS NOT NULL)" : " IS NULL)");
	}
	else
	{
		for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		{
			if (key_is(value, signs[i][0]))
				return put_comparison(self, path, value, signs[i][1]);
		}
		return fail(self, value, is_operator(value) ? "There is no such operator" : "An operator is expected",
					"Operators are $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists and $not; a key within a key is written \"outer.inner\", or as {\"$path\": [\"outer\", \"inner\"], ...}");
	}
	return true;
}

/* All operators of an object hold; besides is the member that gave the path. */
static bool
compile_operators(Compiler *self, const Path *path, const FilterJson *object, const FilterJson *besides, int depth)
{
	int			n = 0;

	if (depth > FILTER_MAX_DEPTH)
		return fail(self, object, "The filter is nested more than 64 levels deep", NULL);
	put(self, "(");
	for (const FilterJson *v = object->first; v != NULL; v = v->next)
	{
		if (v == besides)
			continue;
		if (n++ > 0)
			put(self, " AND ");
		if (!compile_operator(self, path, v, depth + 1))
			return false;
	}
	if (n == 0)
		return fail(self, object, "An operator is missing", "An object as a value is written {\"$eq\": {...}}");
	put(self, ")");
	return true;
}

/* ---------------------------------------------------------------------
 * Paths
 * --------------------------------------------------------------------- */

static bool
add_key(Compiler *self, Path *path, const FilterJson *at, const char *text, size_t len)
{
	if (path->nkeys >= FILTER_MAX_KEYS)
		return fail(self, at, "The path has more than 32 keys", NULL);
	if (memchr(text, '\0', len) != NULL)
		return fail(self, at, "A key has a zero byte", NULL);

	/* what PostgreSQL may read as a number, which is more than digits */
	if (len > 0 && (strchr("0123456789+- \t\n\v\f\r", text[0]) != NULL))
		path->indexes = true;
	path->keys[path->nkeys].text = text;
	path->keys[path->nkeys].len = len;
	path->nkeys++;
	return true;
}

static bool
split_path(Compiler *self, Path *path, const FilterJson *member)
{
	const char *key = member->key;
	size_t		left = member->key_len;

	path->nkeys = 0;
	path->indexes = false;
	for (;;)
	{
		const char *dot = left > 0 ? memchr(key, '.', left) : NULL;
		size_t		len = dot != NULL ? (size_t) (dot - key) : left;

		if (len == 0)
			return fail(self, member, "A key of the path is empty",
						"Keys with dots, empty ones and those that begin with \"$\" are written {\"$path\": [\"a.b\", \"c\"], \"$eq\": ...}");
		if (!add_key(self, path, member, key, len))
			return false;
		if (dot == NULL)
			return true;
		key = dot + 1;
		left -= len + 1;
	}
}

/* {"$path": [key, ...], operators} */
static bool
compile_explicit_path(Compiler *self, const FilterJson *object, const FilterJson *member, int depth)
{
	Path		path;

	path.nkeys = 0;
	path.indexes = false;
	if (member->type != FILTER_ARRAY || member->count == 0)
		return fail(self, member, "An array of one or more keys is expected", NULL);
	for (const FilterJson *v = member->first; v != NULL; v = v->next)
	{
		if (v->type != FILTER_STRING)
			return fail(self, v, "A key is a string", NULL);
		if (!add_key(self, &path, v, v->text, v->text_len))
			return false;
	}
	return compile_operators(self, &path, object, member, depth);
}

/* ---------------------------------------------------------------------
 * Conditions
 * --------------------------------------------------------------------- */

static bool
compile_list(Compiler *self, const FilterJson *list, const char *word, int depth)
{
	if (list->type != FILTER_ARRAY || list->count == 0)
		return fail(self, list, "An array of one or more conditions is expected", NULL);
	put(self, "(");
	for (const FilterJson *v = list->first; v != NULL; v = v->next)
	{
		if (v != list->first)
			put(self, word);
		if (!compile_condition(self, v, depth + 1))
			return false;
	}
	put(self, ")");
	return true;
}

static bool
compile_member(Compiler *self, const FilterJson *member, int depth)
{
	Path		path;

	if (key_is(member, "$and"))
		return compile_list(self, member, " AND ", depth);
	if (key_is(member, "$or"))
		return compile_list(self, member, " OR ", depth);
	if (key_is(member, "$not"))
	{
		put(self, "(NOT ");
		if (!compile_condition(self, member, depth))
			return false;
		put(self, ")");
		return true;
	}
	if (is_operator(member))
		return fail(self, member, "There is no such operator here",
					"Conditions are joined by $and, $or and $not; other operators stand within the object of a path: {\"price\": {\"$gt\": 5}}");

	if (!split_path(self, &path, member))
		return false;
	if (member->type == FILTER_OBJECT)
		return compile_operators(self, &path, member, NULL, depth);
	if (member->type == FILTER_ARRAY)
		return fail(self, member, "An array needs an operator",
					"One of several values is {\"$in\": [...]}, the array itself {\"$eq\": [...]}");
	if (++self->tests > FILTER_MAX_TESTS)
		return fail(self, member, "The filter has more than 256 operators", NULL);
	put_equal(self, &path, member);
	return true;
}

static bool
compile_condition(Compiler *self, const FilterJson *object, int depth)
{
	if (depth > FILTER_MAX_DEPTH)
		return fail(self, object, "The filter is nested more than 64 levels deep", NULL);
	if (object->type != FILTER_OBJECT)
		return fail(self, object, "A condition is an object", NULL);
	if (object->count == 0)
		return fail(self, object, "A condition is empty", NULL);
	for (const FilterJson *v = object->first; v != NULL; v = v->next)
	{
		if (key_is(v, "$path"))
			return compile_explicit_path(self, object, v, depth);
	}
	put(self, "(");
	for (const FilterJson *v = object->first; v != NULL; v = v->next)
	{
		if (v != object->first)
			put(self, " AND ");
		if (!compile_member(self, v, depth + 1))
			return false;
	}
	put(self, ")");
	return true;
}

/* Do the parentheses match?  No other text has any. */
static bool
is_balanced(const char *sql)
{
	int			open = 0;

	for (; *sql != '\0' && open >= 0; sql++)
		open += (*sql == '(') - (*sql == ')');
	return open == 0;
}

bool
filter_compile(const FilterJson *filter, int n, const char *column, int first,
			   char *sql, FilterParameter *parameters, int *nparameters,
			   FilterError *error)
{
	Compiler	self = {
		.column = column,
		.first = first,
		.sql = sql,
		.size = FILTER_SQL_SIZE(n),
		.parameters = parameters,
		.most_parameters = FILTER_PARAMETERS(n),
		.error = error,
	};

	CORE_ASSERT(n >= 1 && first >= 1);
	*nparameters = 0;
	sql[0] = '\0';
	if (strlen(column) > COLUMN_MAX)
		return fail(&self, filter, "The name of the column is too long", NULL);
	if (filter->type == FILTER_OBJECT && filter->count == 0)
		return true;
	if (!compile_condition(&self, filter, 1))
		return false;
	if (self.used >= self.size)
		return fail(&self, filter, "The filter is too long", NULL);
	CORE_ASSERT(strlen(sql) == self.used && is_balanced(sql));
	*nparameters = self.nparameters;
	return true;
}

/* ---------------------------------------------------------------------
 * Places
 * --------------------------------------------------------------------- */

/* Append bytes while there is room; a text that is too long is cut at the end. */
static void
append(char *place, size_t size, size_t *used, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (*used < size - 1)
			place[*used] = text[i];
		if (*used < size)
			(*used)++;
	}
}

static void
append_key(char *place, size_t size, size_t *used, const char *key, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (key[i] == '~')
			append(place, size, used, "~0", 2);
		else if (key[i] == '/')
			append(place, size, used, "~1", 2);
		else
			append(place, size, used, &key[i], 1);
	}
}

void
filter_place(const FilterJson *value, char *place, size_t size)
{
	const FilterJson *chain[FILTER_MAX_DEPTH + 2];
	int			n = 0;
	size_t		used = 0;
	char		number[16];

	CORE_ASSERT(size >= 8);
	for (const FilterJson *v = value; v != NULL && v->parent != NULL && n < FILTER_MAX_DEPTH + 2; v = v->parent)
		chain[n++] = v;
	while (n > 0)
	{
		const FilterJson *v = chain[--n];

		append(place, size, &used, "/", 1);
		if (v->key != NULL)
			append_key(place, size, &used, v->key, v->key_len);
		else
		{
			snprintf(number, sizeof(number), "%d", v->index);
			append(place, size, &used, number, strlen(number));
		}
	}
	if (used < size)
	{
		place[used] = '\0';
		return;
	}

	/* go back over the bytes that continue a character of UTF-8 */
	used = size - 4;
	while (used > 0 && ((unsigned char) place[used] & 0xC0) == 0x80)
		used--;
	memcpy(place + used, "...", 4);
}
