/*
 * rest_query.c
 *	  The grammar of PostgREST's parameters.
 *
 * A parser by descent, whose depth only trees have, bounded by max_depth.
 * Every byte is looked at a bounded number of times.
 */
#include "core/query/rest_query.h"

#include <string.h>

#include "core/assert.h"

static const char *const operator_names[REST_NOPERATORS] = {
	[REST_EQ] = "eq",[REST_NEQ] = "neq",[REST_GT] = "gt",[REST_GTE] = "gte",[REST_LT] = "lt",[REST_LTE] = "lte",
	[REST_LIKE] = "like",[REST_ILIKE] = "ilike",[REST_MATCH] = "match",[REST_IMATCH] = "imatch",
	[REST_IN] = "in",[REST_IS] = "is",[REST_ISDISTINCT] = "isdistinct",
	[REST_CS] = "cs",[REST_CD] = "cd",[REST_OV] = "ov",[REST_SL] = "sl",[REST_SR] = "sr",
	[REST_NXR] = "nxr",[REST_NXL] = "nxl",[REST_ADJ] = "adj",
	[REST_FTS] = "fts",[REST_PLFTS] = "plfts",[REST_PHFTS] = "phfts",[REST_WFTS] = "wfts"
};

static const char *const metric_names[] = {
	[REST_NO_METRIC] = "",[REST_COSINE] = "cosine",[REST_L2] = "l2",[REST_IP] = "ip",[REST_L1] = "l1",
	[REST_HAMMING] = "hamming",[REST_JACCARD] = "jaccard"
};

#define NMETRICS	((int) (sizeof(metric_names) / sizeof(metric_names[0])))

static bool parse_node(RestParser *self, RestNode *node, int depth);

/* ---------------------------------------------------------------------------
 * Helpers
 */

void
rest_begin(RestParser *self, char *text, size_t len)
{
	CORE_ASSERT(self->max_depth > 0 && self->max_depth <= REST_MAX_DEPTH);
	self->text = text;
	self->len = len;
	self->pos = 0;
	self->problem = REST_GOOD;
	self->why = NULL;
	self->where = 0;
}

static bool
fail(RestParser *self, RestProblem problem, const char *why)
{
	if (self->problem == REST_GOOD)
	{
		self->problem = problem;
		self->why = why;
		self->where = self->pos;
	}
	return false;
}

static bool
fail_syntax(RestParser *self, const char *why)
{
	return fail(self, REST_SYNTAX, why);
}

static void *
new_node(RestParser *self, size_t size)
{
	void	   *node;

	if (++self->nodes > REST_MAX_NODES)
	{
		fail(self, REST_TOO_MUCH, "There are more than 2000 columns, conditions and terms");
		return NULL;
	}
	node = self->alloc(self->arg, size);
	memset(node, 0, size);
	return node;
}

static bool
at_end(const RestParser *self)
{
	return self->pos == self->len;
}

static bool
at(const RestParser *self, const char *word)
{
	size_t		n = strlen(word);

	return self->len - self->pos >= n && memcmp(self->text + self->pos, word, n) == 0;
}

static bool
take(RestParser *self, const char *word)
{
	if (!at(self, word))
		return false;
	self->pos += strlen(word);
	return true;
}

static void
skip_space(RestParser *self)
{
	while (!at_end(self) && self->text[self->pos] == ' ')
		self->pos++;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_text(RestText text, const char *word)
{
	return text.at != NULL && text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

/* Where the quotes that open at pos close, in text[len]; len where they do not. */
static size_t
closing_quote(const char *text, size_t len, size_t pos)
{
	for (pos++; pos < len && text[pos] != '"'; pos++)
	{
		if (text[pos] == '\\' && pos + 1 < len)
			pos++;
	}
	return pos < len ? pos : len;
}

/* What stands between quotes, its escapes resolved in place. */
static RestText
unquote(char *text, size_t open, size_t close)
{
	char	   *out = text + open + 1;
	RestText	result = {out, 0};

	for (size_t i = open + 1; i < close; i++)
	{
		if (text[i] == '\\' && i + 1 < close)
			i++;
		out[result.len++] = text[i];
	}
	return result;
}

static bool
take_quoted(RestParser *self, RestText *result)
{
	size_t		close = closing_quote(self->text, self->len, self->pos);

	if (close == self->len)
		return fail_syntax(self, "Quotes are not closed");
	*result = unquote(self->text, self->pos, close);
	self->pos = close + 1;
	return true;
}

/* ---------------------------------------------------------------------------
 * Names and fields
 */

static bool
is_name_byte(char c)
{
	return is_letter(c) || is_digit(c) || c == '_' || c == '$' || c == ' ' || (unsigned char) c >= 0x80;
}

static bool
parse_name(RestParser *self, RestText *name)
{
	size_t		start,
				end;

	skip_space(self);
	if (at(self, "\""))
	{
		if (!take_quoted(self, name))
			return false;
		skip_space(self);
		return name->len > 0 ? true : fail_syntax(self, "A name is empty");
	}
	start = self->pos;
	while (!at_end(self) && (is_name_byte(self->text[self->pos]) || (at(self, "-") && !at(self, "->"))))
		self->pos++;
	for (end = self->pos; end > start && self->text[end - 1] == ' '; end--)
		;
	*name = (RestText) {self->text + start, end - start};
	return end > start ? true : fail_syntax(self, "A name is expected");
}

static bool
is_index(RestText key)
{
	size_t		sign = key.len > 0 && key.at[0] == '-';

	if (key.len == sign || key.len - sign > 9)
		return false;
	for (size_t i = sign; i < key.len; i++)
	{
		if (!is_digit(key.at[i]))
			return false;
	}
	return true;
}

/* The steps of a path, each behind its arrow. */
static bool
parse_steps(RestParser *self, RestField *field)
{
	RestStep	steps[REST_MAX_STEPS];
	RestStep   *kept;
	int			n = 0;

	while (at(self, "->"))
	{
		RestStep   *step = &steps[n];
		size_t		start;

		if (n == REST_MAX_STEPS)
			return fail(self, REST_TOO_MUCH, "A path has more than 32 steps");
		self->pos += 2;
		step->as_text = take(self, ">");
		if (at(self, "\""))
		{
			if (!take_quoted(self, &step->key))
				return false;
			step->is_index = false;
		}
		else
		{
			start = self->pos;
			while (!at_end(self) && strchr(",.:()", self->text[self->pos]) == NULL && !at(self, "->"))
				self->pos++;
			step->key = (RestText) {self->text + start, self->pos - start};
			if (step->key.len == 0)
				return fail_syntax(self, "A key or an index is expected behind the arrow");
			step->is_index = is_index(step->key);
		}
		n++;
		if (++self->nodes > REST_MAX_NODES)
			return fail(self, REST_TOO_MUCH, "There are more than 2000 columns, conditions and terms");
	}
	if (n == 0)
		return true;
	kept = self->alloc(self->arg, sizeof(RestStep) * (size_t) n);
	memcpy(kept, steps, sizeof(RestStep) * (size_t) n);
	field->steps = kept;
	field->nsteps = n;
	return true;
}

static bool
parse_field(RestParser *self, RestField *field)
{
	memset(field, 0, sizeof(*field));
	return parse_name(self, &field->name) && parse_steps(self, field);
}

/* ---------------------------------------------------------------------------
 * Distances
 */

/* Are the bytes from pos up to the first such bracket those of numbers?  Its place, or 0. */
static size_t
numbers_up_to(const char *text, size_t len, size_t pos, char bracket)
{
	for (pos++; pos < len && text[pos] != bracket; pos++)
	{
		if (!is_digit(text[pos]) && strchr("+-.eE, :", text[pos]) == NULL)
			return 0;
	}
	return pos < len ? pos : 0;
}

static RestMetric
metric_of(RestText name)
{
	for (int i = 1; i < NMETRICS; i++)
	{
		if (is_text(name, metric_names[i]))
			return (RestMetric) i;
	}
	return REST_NO_METRIC;
}

static bool
parse_vector(RestParser *self, RestText *vector)
{
	size_t		start = self->pos;

	if (at(self, "[") || at(self, "{"))
	{
		size_t		close = numbers_up_to(self->text, self->len, start, at(self, "[") ? ']' : '}');

		if (close == 0)
			return fail_syntax(self, "A vector is numbers between brackets");
		self->pos = close + 1;
		if (self->text[close] == '}' && take(self, "/"))
		{
			while (!at_end(self) && is_digit(self->text[self->pos]))
				self->pos++;
		}
	}
	else
	{
		while (!at_end(self) && (is_letter(self->text[self->pos]) || is_digit(self->text[self->pos]) ||
								 strchr("+/=-_", self->text[self->pos]) != NULL))
			self->pos++;
	}
	*vector = (RestText) {self->text + start, self->pos - start};
	return vector->len > 0 ? true : fail_syntax(self, "A vector is expected");
}

/* A distance, if the name of one stands here behind a "."; *found tells. */
static bool
parse_distance(RestParser *self, RestDistance *distance, bool *found)
{
	size_t		start = self->pos;
	RestText	name;

	*found = false;
	if (!take(self, "."))
		return true;
	name.at = self->text + self->pos;
	while (!at_end(self) && (is_letter(self->text[self->pos]) || is_digit(self->text[self->pos])))
		self->pos++;
	name.len = (size_t) (self->text + self->pos - name.at);
	distance->metric = metric_of(name);
	if (distance->metric == REST_NO_METRIC || !take(self, "."))
	{
		distance->metric = REST_NO_METRIC;
		self->pos = start;
		return true;
	}
	*found = true;
	return parse_vector(self, &distance->vector);
}

bool
rest_split_bound(RestText value, RestText *bound, RestDistance *distance)
{
	const char *dot = memchr(value.at, '.', value.len);
	const char *end = value.at + value.len;
	const char *vector = NULL;

	if (dot == NULL)
		return false;
	distance->metric = metric_of((RestText) {value.at, (size_t) (dot - value.at)});
	if (distance->metric == REST_NO_METRIC)
		return false;
	bound->at = dot + 1;

	/* The vector begins behind the last dot before a bracket, or behind the last of all. */
	for (const char *p = bound->at; p < end && *p != '[' && *p != '{'; p++)
	{
		if (*p == '.')
			vector = p + 1;
	}
	if (vector == NULL || vector == end)
		return false;
	bound->len = (size_t) (vector - 1 - bound->at);
	distance->vector = (RestText) {vector, (size_t) (end - vector)};
	return bound->len > 0;
}

/* ---------------------------------------------------------------------------
 * select
 */

static bool
parse_cast(RestParser *self, RestText *cast)
{
	size_t		start = self->pos;

	while (!at_end(self) && (is_letter(self->text[self->pos]) || is_digit(self->text[self->pos]) ||
							 strchr("_ []", self->text[self->pos]) != NULL))
		self->pos++;
	*cast = (RestText) {self->text + start, self->pos - start};
	return cast->len > 0 ? true : fail_syntax(self, "The name of a type is expected");
}

/* What may stand behind a column and is not served. */
static bool
refuse_rest(RestParser *self)
{
	static const char *const aggregates[] = {"avg(", "count(", "max(", "min(", "sum("};

	if (at(self, "()"))
		return fail(self, REST_AGGREGATE, "Aggregates are not served");
	if (at(self, "(") || at(self, "!"))
		return fail(self, REST_EMBEDDING, "Rows of other tables within a row are not served");
	if (at(self, "."))
	{
		self->pos++;
		for (size_t i = 0; i < sizeof(aggregates) / sizeof(aggregates[0]); i++)
		{
			if (at(self, aggregates[i]))
				return fail(self, REST_AGGREGATE, "Aggregates are not served");
		}
	}
	return fail_syntax(self, "A comma or the end is expected");
}

static bool
parse_item(RestParser *self, RestColumn *column)
{
	bool		found;

	skip_space(self);
	if (take(self, "*"))
	{
		column->star = true;
		skip_space(self);
		return true;
	}
	if (at(self, "..."))
		return fail(self, REST_EMBEDDING, "Rows of other tables within a row are not served");
	if (!parse_field(self, &column->field))
		return false;
	if (at(self, ":") && !at(self, "::"))
	{
		if (column->field.nsteps > 0)
			return fail_syntax(self, "An alias is a name");
		column->alias = column->field.name;
		self->pos++;
		if (!parse_field(self, &column->field))
			return false;
	}
	if (!parse_distance(self, &column->distance, &found))
		return false;
	if (take(self, "::") && !parse_cast(self, &column->cast))
		return false;
	return at_end(self) || at(self, ",") ? true : refuse_rest(self);
}

bool
rest_parse_select(RestParser *self, RestColumn **columns)
{
	RestColumn **link = columns;

	*columns = NULL;
	do
	{
		*link = new_node(self, sizeof(RestColumn));
		if (*link == NULL || !parse_item(self, *link))
			return false;
		link = &(*link)->next;
	} while (take(self, ","));
	return at_end(self) ? true : refuse_rest(self);
}

bool
rest_parse_names(RestParser *self, RestText **names, int *n)
{
	size_t		commas = 0;

	for (size_t i = 0; i < self->len; i++)
		commas += self->text[i] == ',';
	if (commas >= REST_MAX_NODES)
		return fail(self, REST_TOO_MUCH, "There are more than 2000 names");
	*names = self->alloc(self->arg, sizeof(RestText) * (commas + 1));
	*n = 0;
	do
	{
		if (!parse_name(self, &(*names)[*n]))
			return false;
		(*n)++;
	} while (take(self, ","));
	return at_end(self) ? true : fail_syntax(self, "A comma or the end is expected");
}

/* ---------------------------------------------------------------------------
 * order
 */

/* One of the words behind a term; *found tells. */
static bool
parse_order_word(RestParser *self, RestOrder *term, bool *found)
{
	size_t		start = self->pos;
	RestText	word;

	*found = false;
	if (!take(self, "."))
		return true;
	word.at = self->text + self->pos;
	while (!at_end(self) && is_letter(self->text[self->pos]))
		self->pos++;
	word.len = (size_t) (self->text + self->pos - word.at);
	*found = true;
	if (is_text(word, "asc") && term->direction == REST_NO_DIRECTION && term->nulls == REST_NO_NULLS)
		term->direction = REST_ASC;
	else if (is_text(word, "desc") && term->direction == REST_NO_DIRECTION && term->nulls == REST_NO_NULLS)
		term->direction = REST_DESC;
	else if (is_text(word, "nullsfirst") && term->nulls == REST_NO_NULLS)
		term->nulls = REST_NULLS_FIRST;
	else if (is_text(word, "nullslast") && term->nulls == REST_NO_NULLS)
		term->nulls = REST_NULLS_LAST;
	else
	{
		self->pos = start + 1;
		return fail_syntax(self, "asc, desc, nullsfirst, nullslast or a distance is expected");
	}
	return true;
}

static bool
parse_term(RestParser *self, RestOrder *term)
{
	bool		found;

	if (!parse_field(self, &term->field))
		return false;
	if (at(self, "("))
		return fail(self, REST_EMBEDDING, "An order by rows of other tables is not served");
	if (!parse_distance(self, &term->distance, &found))
		return false;
	do
	{
		if (!parse_order_word(self, term, &found))
			return false;
	} while (found);
	skip_space(self);
	return true;
}

bool
rest_parse_order(RestParser *self, RestOrder **terms)
{
	RestOrder **link = terms;

	*terms = NULL;
	do
	{
		*link = new_node(self, sizeof(RestOrder));
		if (*link == NULL || !parse_term(self, *link))
			return false;
		link = &(*link)->next;
	} while (take(self, ","));
	return at_end(self) ? true : fail_syntax(self, "A comma or the end is expected");
}

/* ---------------------------------------------------------------------------
 * Filters
 */

bool
rest_parse_field(RestParser *self, RestField *field)
{
	if (!parse_field(self, field))
		return false;
	if (at_end(self))
		return true;
	if (at(self, "."))
		return fail(self, REST_EMBEDDING, "Filters of rows of other tables are not served");
	return fail_syntax(self, "The end of the column's name is expected");
}

const char *
rest_operator_name(RestOperator op)
{
	return operator_names[op];
}

static bool
may_be_quantified(RestOperator op)
{
	return op <= REST_IMATCH && op != REST_NEQ;
}

/* The operator with what stands in parentheses behind it, and the dot. */
static bool
parse_operator(RestParser *self, RestNode *test)
{
	RestText	word = {self->text + self->pos, 0};
	size_t		start = self->pos;
	RestText	option;
	int			op;

	while (!at_end(self) && is_letter(self->text[self->pos]))
		self->pos++;
	word.len = (size_t) (self->text + self->pos - word.at);
	for (op = 0; op < REST_NOPERATORS && !is_text(word, operator_names[op]); op++)
		;
	if (op == REST_NOPERATORS)
	{
		self->pos = start;
		return fail_syntax(self, "An operator is expected: not, eq, gt, in, is, ...");
	}
	test->op = (RestOperator) op;
	if (take(self, "("))
	{
		option.at = self->text + self->pos;
		while (!at_end(self) && (is_name_byte(self->text[self->pos]) || at(self, "-")))
			self->pos++;
		option.len = (size_t) (self->text + self->pos - option.at);
		if (!take(self, ")") || option.len == 0)
			return fail_syntax(self, "A word and a closing parenthesis are expected");
		if (op >= REST_FTS)
			test->language = option;
		else if (may_be_quantified(test->op) && is_text(option, "any"))
			test->quantifier = REST_ANY;
		else if (may_be_quantified(test->op) && is_text(option, "all"))
			test->quantifier = REST_ALL;
		else
			return fail_syntax(self, "This operator does not take that");
	}
	return take(self, ".") ? true : fail_syntax(self, "A dot is expected behind the operator");
}

/* Where the parenthesis or brace that opens at pos closes; len where it does not. */
static size_t
closing_bracket(const char *text, size_t len, size_t pos)
{
	char		open = text[pos];
	char		close = open == '(' ? ')' : '}';
	size_t		depth = 0;

	for (; pos < len; pos++)
	{
		if (text[pos] == '"')
			pos = closing_quote(text, len, pos);
		else if (text[pos] == open)
			depth++;
		else if (text[pos] == close && --depth == 0)
			return pos;
		if (open == '(' && depth > 1)
			return len;			/* a list has no parentheses within */
	}
	return len;
}

static bool
ends_at(const RestParser *self, size_t pos)
{
	return pos >= self->len || self->text[pos] == ',' || self->text[pos] == ')';
}

/* A value within a tree. */
static bool
parse_tree_value(RestParser *self, RestNode *test)
{
	size_t		start = self->pos;
	size_t		close;

	if (test->op == REST_IN && !at(self, "("))
		return fail_syntax(self, "A list in parentheses is expected");
	if (at(self, "\""))
	{
		close = closing_quote(self->text, self->len, start);
		if (close == self->len || ends_at(self, close + 1))
			return take_quoted(self, &test->value);
	}

	/* What is looked for must be there: else each of many values would look through all of the text. */
	if (test->op == REST_IN || at(self, "{"))
	{
		close = closing_bracket(self->text, self->len, start);
		if (close == self->len || !ends_at(self, close + 1))
			return fail_syntax(self, "The list's closing parenthesis or the array's closing brace is missing");
		self->pos = close + 1;
		test->value = (RestText) {self->text + start, self->pos - start};
		return true;
	}
	while (!ends_at(self, self->pos))
	{
		char		c = self->text[self->pos];

		close = c == '[' || c == '{' ? numbers_up_to(self->text, self->len, self->pos, c == '[' ? ']' : '}') : 0;
		self->pos = (close > 0 ? close : self->pos) + 1;
	}
	test->value = (RestText) {self->text + start, self->pos - start};
	return true;
}

static bool
parse_operation(RestParser *self, RestNode *test, bool whole)
{
	test->kind = REST_TEST;
	if (take(self, "not."))
		test->negated = !test->negated;
	if (!parse_operator(self, test))
		return false;
	if (!whole)
		return parse_tree_value(self, test);
	test->value = (RestText) {self->text + self->pos, self->len - self->pos};
	if (test->op == REST_IN && (test->value.len < 2 || test->value.at[0] != '(' || test->value.at[test->value.len - 1] != ')'))
		return fail_syntax(self, "A list in parentheses is expected");
	self->pos = self->len;
	return true;
}

bool
rest_parse_operation(RestParser *self, RestNode *test)
{
	if (++self->nodes > REST_MAX_NODES)
		return fail(self, REST_TOO_MUCH, "There are more than 2000 columns, conditions and terms");
	return parse_operation(self, test, true);
}

static bool
parse_children(RestParser *self, RestNode *node, int depth)
{
	RestNode  **link = &node->first;

	if (depth > self->max_depth)
		return fail(self, REST_TOO_DEEP, "Conditions are nested too deeply");
	if (!take(self, "("))
		return fail_syntax(self, "An opening parenthesis is expected");
	do
	{
		*link = new_node(self, sizeof(RestNode));
		if (*link == NULL || !parse_node(self, *link, depth))
			return false;
		link = &(*link)->next;
	} while (take(self, ","));
	return take(self, ")") ? true : fail_syntax(self, "A comma or a closing parenthesis is expected");
}

static bool
parse_node(RestParser *self, RestNode *node, int depth)
{
	size_t		start;

	skip_space(self);
	start = self->pos;
	node->negated = take(self, "not.");
	if (at(self, "and(") || at(self, "or("))
	{
		node->kind = take(self, "and") ? REST_AND : REST_OR;
		if (node->kind == REST_OR)
			self->pos += 2;
		return parse_children(self, node, depth + 1);
	}
	self->pos = start;
	node->negated = false;
	if (!parse_field(self, &node->field))
		return false;
	if (at(self, "("))
		return fail_syntax(self, "and, or or a column and an operator are expected");
	return take(self, ".") ? parse_operation(self, node, false) : fail_syntax(self, "A dot and an operator are expected");
}

/* kind and negated are the caller's. */
bool
rest_parse_tree(RestParser *self, RestNode *node)
{
	if (!parse_children(self, node, 1))
		return false;
	return at_end(self) ? true : fail_syntax(self, "The end is expected behind the closing parenthesis");
}

/* ---------------------------------------------------------------------------
 * Lists
 */

bool
rest_list_next(char *list, size_t len, size_t *pos, RestText *element)
{
	size_t		start = *pos == 0 ? 1 : *pos;	/* behind the parenthesis or the comma */
	size_t		end;

	if (*pos >= len || len < 2 || (*pos == 0 && len == 2))
	{
		*pos = len;
		return false;
	}
	if (start < len && list[start] == '"')
	{
		size_t		close = closing_quote(list, len, start);

		if (close + 1 < len && (list[close + 1] == ',' || close + 2 == len))
		{
			*element = unquote(list, start, close);
			*pos = close + 2;
			return true;
		}
	}
	for (end = start; end < len - 1 && list[end] != ','; end++)
		;
	*element = (RestText) {list + start, end - start};
	*pos = end + 1;
	return true;
}
