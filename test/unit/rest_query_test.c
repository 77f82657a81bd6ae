/*
 * rest_query_test.c
 *	  The grammar of PostgREST's parameters: what each form is taken for, where an
 *	  error is seen, limits.
 *
 * What was parsed is written down again, with every piece in brackets, and compared.
 */
#include "core/query/rest_query.h"

#include "fixture.h"

static void *blocks[8 * REST_MAX_NODES];
static int	nblocks;

static void *
keep_alloc(void *arg, size_t size)
{
	void	   *block = must_alloc(size);

	if (nblocks == (int) (sizeof(blocks) / sizeof(blocks[0])))
		exit(2);
	blocks[nblocks++] = block;
	return block;
}

static void
free_all(void)
{
	while (nblocks > 0)
		free(blocks[--nblocks]);
}

typedef struct Out
{
	char		text[4000];
	size_t		len;
} Out;

static void __attribute__((format(printf, 2, 3)))
put(Out *out, const char *format, ...)
{
	va_list		args;
	int			n;

	va_start(args, format);
	n = vsnprintf(out->text + out->len, sizeof(out->text) - out->len, format, args);
	va_end(args);
	out->len += (size_t) n < sizeof(out->text) - out->len ? (size_t) n : sizeof(out->text) - 1 - out->len;
}

static void
put_piece(Out *out, const char *before, RestText text)
{
	if (text.at != NULL)
		put(out, "%s[%.*s]", before, (int) text.len, text.at);
}

static void
put_field(Out *out, const RestField *field)
{
	put_piece(out, "", field->name);
	for (int i = 0; i < field->nsteps; i++)
	{
		put(out, field->steps[i].as_text ? "->>" : "->");
		put_piece(out, field->steps[i].is_index ? "#" : "", field->steps[i].key);
	}
}

static void
put_distance(Out *out, const RestDistance *distance)
{
	if (distance->metric != REST_NO_METRIC)
	{
		put(out, " metric %d", (int) distance->metric);
		put_piece(out, " ", distance->vector);
	}
}

static void
put_nodes(Out *out, const RestNode *node)
{
	for (; node != NULL; node = node->next)
	{
		put(out, node->negated ? "not " : "");
		if (node->kind == REST_TEST)
		{
			put_field(out, &node->field);
			put(out, " %s%s", rest_operator_name(node->op),
				node->quantifier == REST_ANY ? " any" : node->quantifier == REST_ALL ? " all" : "");
			put_piece(out, " ", node->language);
			put_piece(out, " ", node->value);
		}
		else
		{
			put(out, node->kind == REST_AND ? "and{" : "or{");
			put_nodes(out, node->first);
			put(out, "}");
		}
		if (node->next != NULL)
			put(out, ", ");
	}
}

typedef enum What
{
	SELECT,
	ORDER,
	FIELD,
	OPERATION,
	TREE,
	NAMES
} What;

static const char *const problems[] = {"good", "syntax", "embedding", "aggregate", "too deep", "too much"};

/* Parse, and write down what came of it. */
static void
describe(What what, const char *input, Out *out)
{
	RestParser	parser = {.alloc = keep_alloc,.max_depth = REST_MAX_DEPTH};
	size_t		len = strlen(input);
	char	   *text = keep_alloc(NULL, len > 0 ? len : 1);	/* no byte behind it */
	RestColumn *columns = NULL;
	RestOrder  *terms = NULL;
	RestNode	node = {.kind = REST_AND};
	RestText   *names = NULL;
	int			n = 0;
	bool		good = false;

	memset(out, 0, sizeof(*out));
	memcpy(text, input, len);
	rest_begin(&parser, text, len);
	switch (what)
	{
		case SELECT:
			good = rest_parse_select(&parser, &columns);
			break;
		case ORDER:
			good = rest_parse_order(&parser, &terms);
			break;
		case FIELD:
			good = rest_parse_field(&parser, &node.field);
			break;
		case OPERATION:
			good = rest_parse_operation(&parser, &node);
			break;
		case TREE:
			good = rest_parse_tree(&parser, &node);
			break;
		case NAMES:
			good = rest_parse_names(&parser, &names, &n);
			break;
	}
	if (!good)
	{
		put(out, "%s at %zu", problems[parser.problem], parser.where);
		return;
	}
	for (const RestColumn *c = columns; c != NULL; c = c->next)
	{
		if (c->star)
			put(out, "*");
		else
		{
			put_piece(out, "", c->alias);
			put(out, c->alias.at != NULL ? "=" : "");
			put_field(out, &c->field);
			put_distance(out, &c->distance);
			put_piece(out, "::", c->cast);
		}
		put(out, c->next != NULL ? ", " : "");
	}
	for (const RestOrder *o = terms; o != NULL; o = o->next)
	{
		put_field(out, &o->field);
		put_distance(out, &o->distance);
		put(out, "%s%s%s", o->direction == REST_ASC ? " asc" : o->direction == REST_DESC ? " desc" : "",
			o->nulls == REST_NULLS_FIRST ? " first" : o->nulls == REST_NULLS_LAST ? " last" : "", o->next != NULL ? ", " : "");
	}
	if (what == FIELD)
		put_field(out, &node.field);
	else if (what == OPERATION || what == TREE)
		put_nodes(out, &node);
	for (int i = 0; i < n; i++)
		put_piece(out, "", names[i]);
}

typedef struct Case
{
	What		what;
	const char *input;
	const char *expected;
} Case;

static const Case cases[] = {
	{SELECT, "*", "*"},
	{SELECT, "id,name", "[id], [name]"},
	{SELECT, " id , full name ", "[id], [full name]"},
	{SELECT, "a:id,*", "[a]=[id], *"},
	{SELECT, "\"a,b\":\"c\\\"d\\\\\"", "[a,b]=[c\"d\\]"},
	{SELECT, "id::text,d:born::timestamp with time zone,t::int4[]", "[id]::[text], [d]=[born]::[timestamp with time zone], [t]::[int4[]]"},
	{SELECT, "j->a->>b,j->0,j->-1->>\"x.y\"", "[j]->[a]->>[b], [j]->#[0], [j]->#[-1]->>[x.y]"},
	{SELECT, "j->1234567890", "[j]->[1234567890]"},
	{SELECT, "caf\xc3\xa9,first-name", "[caf\xc3\xa9], [first-name]"},
	{SELECT, "distance:data.cosine.[1,-2.5e-3, 3]::float4,id", "[distance]=[data] metric 1 [[1,-2.5e-3, 3]]::[float4], [id]"},
	{SELECT, "data.l2.AACAPw==", "[data] metric 2 [AACAPw==]"},
	{SELECT, "s.ip.{1:2,3:4}/5,b.hamming.0101", "[s] metric 3 [{1:2,3:4}/5], [b] metric 5 [0101]"},
	{SELECT, "data.l1.[1],j.jaccard.11", "[data] metric 4 [[1]], [j] metric 6 [11]"},
	{SELECT, "", "syntax at 0"},
	{SELECT, "id,", "syntax at 3"},
	{SELECT, ",id", "syntax at 0"},
	{SELECT, "id;drop", "syntax at 2"},
	{SELECT, "id'", "syntax at 2"},
	{SELECT, "\"id", "syntax at 0"},
	{SELECT, "\"\"", "syntax at 2"},
	{SELECT, "a:b:c", "syntax at 3"},
	{SELECT, "a->b:c", "syntax at 4"},
	{SELECT, "a->", "syntax at 3"},
	{SELECT, "a::", "syntax at 3"},
	{SELECT, "data.cosine.[1,x]", "syntax at 12"},
	{SELECT, "data.cosine.[1", "syntax at 12"},
	{SELECT, "data.cosine.", "syntax at 12"},
	{SELECT, "data.far.[1]", "syntax at 5"},
	{SELECT, "id,film(title)", "embedding at 7"},
	{SELECT, "film!inner(title)", "embedding at 4"},
	{SELECT, "...film(title)", "embedding at 0"},
	{SELECT, "count()", "aggregate at 5"},
	{SELECT, "n.sum()", "aggregate at 2"},

	{ORDER, "id", "[id]"},
	{ORDER, "id.desc.nullslast,name.nullsfirst,x.asc", "[id] desc last, [name] first, [x] asc"},
	{ORDER, "j->a->>b.desc", "[j]->[a]->>[b] desc"},
	{ORDER, "data.cosine.[1,2,3]", "[data] metric 1 [[1,2,3]]"},
	{ORDER, "data.cosine.[1,2,3].asc,id.desc", "[data] metric 1 [[1,2,3]] asc, [id] desc"},
	{ORDER, "data.l2.AACA-_8=.asc.nullslast", "[data] metric 2 [AACA-_8=] asc last"},
	{ORDER, "asc.desc", "[asc] desc"},
	{ORDER, "id.down", "syntax at 3"},
	{ORDER, "id.asc.desc", "syntax at 7"},
	{ORDER, "id.nullslast.asc", "syntax at 13"},
	{ORDER, "id.", "syntax at 3"},
	{ORDER, "film(title).asc", "embedding at 4"},

	{FIELD, "j->>a", "[j]->>[a]"},
	{FIELD, "\"a.b\"", "[a.b]"},
	{FIELD, "film.title", "embedding at 4"},
	{FIELD, "a,b", "syntax at 1"},

	{OPERATION, "eq.", " eq []"},
	{OPERATION, "eq.a.b,c)(\"", " eq [a.b,c)(\"]"},
	{OPERATION, "not.eq.1", "not  eq [1]"},
	{OPERATION, "in.(1,2)", " in [(1,2)]"},
	{OPERATION, "like(any).{a*,b*}", " like any [{a*,b*}]"},
	{OPERATION, "gt(all).{1,2}", " gt all [{1,2}]"},
	{OPERATION, "fts(english).a & b", " fts [english] [a & b]"},
	{OPERATION, "wfts.\"a b\" -c", " wfts [\"a b\" -c]"},
	{OPERATION, "lt.cosine.0.3.[1,2]", " lt [cosine.0.3.[1,2]]"},
	{OPERATION, "", "syntax at 0"},
	{OPERATION, "eq", "syntax at 2"},
	{OPERATION, "EQ.1", "syntax at 0"},
	{OPERATION, "equals.1", "syntax at 0"},
	{OPERATION, "not.not.eq.1", "syntax at 4"},
	{OPERATION, "in.1,2", "syntax at 3"},
	{OPERATION, "in.(", "syntax at 3"},
	{OPERATION, "in(any).(1)", "syntax at 7"},
	{OPERATION, "neq(any).{1}", "syntax at 8"},
	{OPERATION, "is(all).null", "syntax at 7"},
	{OPERATION, "fts().a", "syntax at 5"},
	{OPERATION, "fts(e'x).a", "syntax at 5"},

	{TREE, "(a.eq.1)", "and{[a] eq [1]}"},
	{TREE, "(a.eq.1,b.not.lt.2.5)", "and{[a] eq [1], not [b] lt [2.5]}"},
	{TREE, "(or(a.is.null,and(b.gt.1,c.lt.2)),not.or(d.eq.,e.eq.x y))", "and{or{[a] is [null], and{[b] gt [1], [c] lt [2]}}, not or{[d] eq [], [e] eq [x y]}}"},
	{TREE, "(a.in.(1,\"x),(\"),b.cs.{\"},\",2},c.eq.\"1,2\\\"\")", "and{[a] in [(1,\"x),(\")], [b] cs [{\"},\",2}], [c] eq [1,2\"]}"},
	{TREE, "(a.eq.\"x\"y,b.eq.z{,c.eq.x\")", "and{[a] eq [\"x\"y], [b] eq [z{], [c] eq [x\"]}"},
	{TREE, "(b.eq.{z)", "syntax at 6"},
	{TREE, "(b.eq.{z}x)", "syntax at 6"},
	{TREE, "(b.eq.\"z)", "syntax at 6"},
	{TREE, "(data.lt.cosine.0.3.[1,2],r.cs.[1])", "and{[data] lt [cosine.0.3.[1,2]], [r] cs [[1]]}"},
	{TREE, "(s.lt.l2.1.{1:1,2:1}/3,\"x.y\".eq.1,j->a->>b.eq.c)", "and{[s] lt [l2.1.{1:1,2:1}/3], [x.y] eq [1], [j]->[a]->>[b] eq [c]}"},
	{TREE, "(order.eq.1,and.eq.2,not.eq.3)", "and{[order] eq [1], [and] eq [2], [not] eq [3]}"},
	{TREE, "", "syntax at 0"},
	{TREE, "()", "syntax at 1"},
	{TREE, "(a.eq.1", "syntax at 7"},
	{TREE, "(a.eq.1))", "syntax at 8"},
	{TREE, "(a.eq.1,)", "syntax at 8"},
	{TREE, "(a)", "syntax at 2"},
	{TREE, "(xor(a.eq.1))", "syntax at 4"},
	{TREE, "(a.in.1)", "syntax at 6"},
	{TREE, "(a.in.((1)))", "syntax at 6"},
	{TREE, "(a.in.(1)x)", "syntax at 6"},

	{NAMES, "a,\"b,c\", d e", "[a][b,c][d e]"},
	{NAMES, "a,,b", "syntax at 2"},
	{NAMES, "a.b", "syntax at 1"},
};

static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Out			out;

		describe(cases[i].what, cases[i].input, &out);
		if (!ok(strcmp(out.text, cases[i].expected) == 0, "%s", cases[i].input))
			diag("got %s, expected %s", out.text, cases[i].expected);
		free_all();
	}
}

/* A text of n times a piece, between two others. */
static char *
repeat(const char *before, const char *piece, int n, const char *after)
{
	char	   *text = must_alloc(strlen(before) + strlen(piece) * (size_t) n + strlen(after) + 1);
	char	   *end = stpcpy(text, before);

	for (int i = 0; i < n; i++)
		end = stpcpy(end, piece);
	strcpy(end, after);
	return text;
}

static void
check_limit(What what, char *text, const char *expected, const char *name)
{
	Out			out;

	describe(what, text, &out);
	if (!ok(strncmp(out.text, expected, strlen(expected)) == 0, "%s", name))
		diag("got %.100s", out.text);
	free_all();
	free(text);
}

static void
test_limits(void)
{
	char	   *deep = repeat("(", "and(", REST_MAX_DEPTH - 1, "a.eq.1");
	char	   *closed = repeat(deep, ")", REST_MAX_DEPTH, "");

	check_limit(TREE, closed, "and{and{", "the deepest tree that may be");
	free(deep);
	deep = repeat("(", "and(", REST_MAX_DEPTH, "a.eq.1");
	closed = repeat(deep, ")", REST_MAX_DEPTH + 1, "");
	check_limit(TREE, closed, "too deep", "a tree one deeper");
	free(deep);
	check_limit(TREE, repeat("(", "or(", 100000, ""), "too deep", "100,000 parentheses");
	check_limit(SELECT, repeat("a", ",a", REST_MAX_NODES - 1, ""), "[a], ", "as many columns as may be");
	check_limit(SELECT, repeat("a", ",a", REST_MAX_NODES, ""), "too much", "one more");
	check_limit(ORDER, repeat("a", ",a", REST_MAX_NODES, ""), "too much", "too many terms");
	check_limit(TREE, repeat("(a.eq.1", ",a.eq.1", REST_MAX_NODES, ")"), "too much", "too many conditions");
	check_limit(NAMES, repeat("a", ",a", REST_MAX_NODES, ""), "too much", "too many names");
	check_limit(SELECT, repeat("a", "->b", REST_MAX_STEPS, ""), "[a]->[b]", "the longest path that may be");
	check_limit(SELECT, repeat("a", "->b", REST_MAX_STEPS + 1, ""), "too much", "one step more");
}

static void
test_list(void)
{
	static const struct
	{
		const char *list;
		const char *expected;
	}			lists[] = {
		{"()", ""}, {"(a)", "[a]"}, {"(a,b)", "[a][b]"}, {"(,)", "[][]"}, {"(a,)", "[a][]"},
		{"(\"a,b\",c)", "[a,b][c]"}, {"(\"a\\\"b\\\\\")", "[a\"b\\]"}, {"(\"a\"b,c)", "[\"a\"b][c]"},
		{"(\"\",\")\")", "[][)]"}, {"(\"a)", "[\"a]"}, {"( a, b)", "[ a][ b]"}, {"(a(b),c)", "[a(b)][c]"},
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		size_t		len = strlen(lists[i].list);
		char	   *text = must_alloc(len);
		Out			out = {0};
		size_t		pos = 0;
		RestText	element;

		memcpy(text, lists[i].list, len);
		while (rest_list_next(text, len, &pos, &element))
			put_piece(&out, "", element);
		ok(strcmp(out.text, lists[i].expected) == 0, "list %s gives %s (%s)", lists[i].list, lists[i].expected, out.text);
		free(text);
	}
}

static void
test_bound(void)
{
	static const struct
	{
		const char *value;
		const char *expected;
	}			values[] = {
		{"cosine.0.3.[1,2.5]", "[0.3] metric 1 [[1,2.5]]"}, {"l2.1.{1:1.5}/3", "[1] metric 2 [{1:1.5}/3]"},
		{"ip.-1e-3.AACAPw==", "[-1e-3] metric 3 [AACAPw==]"}, {"hamming.2.0101", "[2] metric 5 [0101]"},
		{"0.3", ""}, {"far.1.[1]", ""}, {"cosine", ""}, {"cosine.", ""}, {"cosine.1", ""}, {"cosine.[1.5]", ""}, {"cosine..[1]", ""}, {"cosine.1.", ""},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		Out			out = {0};
		RestText	bound;
		RestDistance distance;

		if (rest_split_bound((RestText) {values[i].value, strlen(values[i].value)}, &bound, &distance))
		{
			put_piece(&out, "", bound);
			put_distance(&out, &distance);
		}
		ok(strcmp(out.text, values[i].expected) == 0, "bound %s is %s (%s)", values[i].value, values[i].expected, out.text);
	}
}

int
main(void)
{
	test_cases();
	test_limits();
	test_list();
	test_bound();
	return tap_done();
}
