/*
 * filter_test.c
 *	  The filter of a search: the SQL of each form, the place of each error, limits.
 */
#include "core/query/filter.h"

#include "../fuzz/json_tree.h"
#include "fixture.h"

/* "C" stands for the column, so that the texts below stay short. */
#define COLUMN "C"
#define COMPARISON(type, sign) "(pg_catalog.jsonb_typeof" EXTRACT("1") " OPERATOR(pg_catalog.=) " type \
	" AND " EXTRACT("1") " OPERATOR(pg_catalog." sign ") $2 OR pg_catalog.jsonb_typeof" EXTRACT("1") \
	" OPERATOR(pg_catalog.=) 'array' AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements" EXTRACT("1") \
	" AS e (v) WHERE pg_catalog.jsonb_typeof(e.v) OPERATOR(pg_catalog.=) " type " AND e.v OPERATOR(pg_catalog." sign ") $2))"
#define EXTRACT(n) "(C OPERATOR(pg_catalog.#>) $" n ")"
#define ANY_SCALAR(n, m) "(" EXTRACT(n) " OPERATOR(pg_catalog.=) ANY ($" m ")) OR pg_catalog.jsonb_typeof" EXTRACT(n) \
	" OPERATOR(pg_catalog.=) 'array' AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements" EXTRACT(n) \
	" AS e (v) WHERE e.v OPERATOR(pg_catalog.=) ANY ($" m "))"

typedef struct Compiled
{
	bool		good;
	char	   *sql;
	FilterParameter *parameters;
	int			count;
	FilterError error;
	char		place[80];
	FilterJson *root;			/* its children point to it, so it stays where it is */
} Compiled;

static Compiled
compile(const char *json)
{
	Compiled	self = {0};
	int			n;

	self.root = must_alloc(sizeof(FilterJson));
	n = json_read(json, strlen(json), self.root);

	if (n == 0)
	{
		diag("not JSON: %s", json);
		exit(2);
	}
	self.sql = must_alloc(FILTER_SQL_SIZE(n));
	self.parameters = must_alloc(sizeof(FilterParameter) * FILTER_PARAMETERS(n));
	self.good = filter_compile(self.root, n, COLUMN, 1, self.sql, self.parameters, &self.count, &self.error);
	if (!self.good)
		filter_place(self.error.at, self.place, sizeof(self.place));
	return self;
}

static void
destroy(Compiled *self)
{
	free(self->sql);
	free(self->parameters);
	json_destroy(self->root);
	free(self->root);
}

static void
test_sql(void)
{
	static const struct
	{
		const char *json;
		const char *sql;
		const char *kinds;		/* of the parameters: P V S (scalars) O (others) N (nesteds) */
	}			cases[] = {
		{"{}", "", ""},
		{"{\"a\":1}", "((C OPERATOR(pg_catalog.@>) ANY ($1)))", "N"},
		{"{\"a.b\":\"x\"}", "((C OPERATOR(pg_catalog.@>) ANY ($1)))", "N"},
		{"{\"a\":null,\"b\":true}", "((C OPERATOR(pg_catalog.@>) ANY ($1)) AND (C OPERATOR(pg_catalog.@>) ANY ($2)))", "NN"},
		{"{\"a\":{\"$eq\":1}}", "(((C OPERATOR(pg_catalog.@>) ANY ($1))))", "N"},
		{"{\"a\":{\"$ne\":1}}", "(((NOT (C OPERATOR(pg_catalog.@>) ANY ($1)))))", "N"},
		{"{\"a.0\":1}", "(((" EXTRACT("1") " OPERATOR(pg_catalog.@>) $2) IS TRUE))", "PV"},
		{"{\"a\":{\"$eq\":[1]}}", "((((" EXTRACT("1") " OPERATOR(pg_catalog.=) $2) IS TRUE)))", "PV"},
		{"{\"a\":{\"$gt\":1}}", "(((" COMPARISON("'number'", ">") " IS TRUE)))", "PV"},
		{"{\"a\":{\"$lte\":\"x\"}}", "(((" COMPARISON("'string'", "<=") " IS TRUE)))", "PV"},
		{"{\"a\":{\"$in\":[1,\"x\"]}}", "(((C OPERATOR(pg_catalog.@>) ANY ($1))))", "N"},
		{"{\"a\":{\"$in\":[1,{}]}}", "((((" ANY_SCALAR("1", "2") " OR (" EXTRACT("1") " OPERATOR(pg_catalog.=) ANY ($3))) IS TRUE)))", "PSO"},
		{"{\"a\":{\"$in\":[[1],{}]}}", "(((((" EXTRACT("1") " OPERATOR(pg_catalog.=) ANY ($2))) IS TRUE)))", "PO"},
		{"{\"a.0\":{\"$in\":[1,2]}}", "((((" ANY_SCALAR("1", "2") ") IS TRUE)))", "PS"},
		{"{\"a\":{\"$in\":[]}}", "((false))", ""},
		{"{\"a\":{\"$nin\":[1]}}", "(((NOT (C OPERATOR(pg_catalog.@>) ANY ($1)))))", "N"},
		{"{\"a\":{\"$exists\":true}}", "(((" EXTRACT("1") " IS NOT NULL)))", "P"},
		{"{\"a\":{\"$exists\":false}}", "(((" EXTRACT("1") " IS NULL)))", "P"},
		{"{\"a\":{\"$not\":{\"$eq\":1}}}", "(((NOT ((C OPERATOR(pg_catalog.@>) ANY ($1))))))", "N"},
		{"{\"$not\":{\"a\":1}}", "((NOT ((C OPERATOR(pg_catalog.@>) ANY ($1)))))", "N"},
		{"{\"$or\":[{\"a\":1},{\"b\":2}]}", "((((C OPERATOR(pg_catalog.@>) ANY ($1))) OR ((C OPERATOR(pg_catalog.@>) ANY ($2)))))", "NN"},
		{"{\"$path\":[\"a.b\",\"$c\"],\"$eq\":1}", "((C OPERATOR(pg_catalog.@>) ANY ($1)))", "N"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Compiled	c = compile(cases[i].json);
		char		kinds[16] = "";

		for (int p = 0; p < c.count && p < 15; p++)
			kinds[p] = "PVSON"[c.parameters[p].kind];
		if (!ok(c.good && strcmp(c.sql, cases[i].sql) == 0 && strcmp(kinds, cases[i].kinds) == 0, "SQL of %s", cases[i].json))
			diag("%s %s, not %s %s; %s", c.good ? c.sql : c.error.problem, kinds, cases[i].sql, cases[i].kinds, c.place);
		destroy(&c);
	}
}

static void
test_parameters(void)
{
	Compiled	c = compile("{\"a.bc\":7,\"$and\":[{\"$path\":[\"x.y\",\"\"],\"$gt\":8}]}");

	ok(c.good && c.count == 3, "a path and two values");
	ok(c.parameters[0].nkeys == 2 && c.parameters[0].keys[1].len == 2 && memcmp(c.parameters[0].keys[1].text, "bc", 2) == 0,
	   "a path is split at dots");
	ok(c.parameters[0].value->type == FILTER_NUMBER, "the value goes with it");
	ok(c.parameters[1].nkeys == 2 && c.parameters[1].keys[0].len == 3 && c.parameters[1].keys[1].len == 0,
	   "the keys of $path are taken as they are");
	destroy(&c);
}

static void
test_errors(void)
{
	static const struct
	{
		const char *json;
		const char *place;
		const char *problem;
	}			cases[] = {
		{"[]", "", "A condition is an object"},
		{"3", "", "A condition is an object"},
		{"{\"$and\":[]}", "/$and", "An array of one or more conditions is expected"},
		{"{\"$or\":{\"a\":1}}", "/$or", "An array of one or more conditions is expected"},
		{"{\"$or\":[{\"a\":1},2]}", "/$or/1", "A condition is an object"},
		{"{\"$or\":[{\"a\":1},{}]}", "/$or/1", "A condition is empty"},
		{"{\"$not\":{}}", "/$not", "A condition is empty"},
		{"{\"$gt\":3}", "/$gt", "There is no such operator here"},
		{"{\"a\":{\"$near\":3}}", "/a/$near", "There is no such operator"},
		{"{\"a\":{\"b\":3}}", "/a/b", "An operator is expected"},
		{"{\"a\":{}}", "/a", "An operator is missing"},
		{"{\"a\":[1]}", "/a", "An array needs an operator"},
		{"{\"a\":{\"$in\":3}}", "/a/$in", "An array is expected"},
		{"{\"a\":{\"$nin\":{}}}", "/a/$nin", "An array is expected"},
		{"{\"a\":{\"$gt\":null}}", "/a/$gt", "Only a number, a string or a boolean is less or greater than another"},
		{"{\"a\":{\"$lt\":[1]}}", "/a/$lt", "Only a number, a string or a boolean is less or greater than another"},
		{"{\"a\":{\"$exists\":1}}", "/a/$exists", "true or false is expected"},
		{"{\"a\":{\"$not\":3}}", "/a/$not", "An object of operators is expected"},
		{"{\"a\":{\"$not\":{}}}", "/a/$not", "An operator is missing"},
		{"{\"\":3}", "/", "A key of the path is empty"},
		{"{\"a..b\":3}", "/a..b", "A key of the path is empty"},
		{"{\"a.\":3}", "/a.", "A key of the path is empty"},
		{"{\"$path\":\"a\",\"$eq\":3}", "/$path", "An array of one or more keys is expected"},
		{"{\"$path\":[],\"$eq\":3}", "/$path", "An array of one or more keys is expected"},
		{"{\"$path\":[\"a\",1],\"$eq\":3}", "/$path/1", "A key is a string"},
		{"{\"$path\":[\"a\"]}", "", "An operator is missing"},
		{"{\"$path\":[\"a\"],\"b\":1}", "/b", "An operator is expected"},
		{"{\"x/y~z\":{\"$gt\":[]}}", "/x~1y~0z/$gt", "Only a number, a string or a boolean is less or greater than another"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Compiled	c = compile(cases[i].json);

		if (!ok(!c.good && strcmp(c.error.problem, cases[i].problem) == 0 && strcmp(c.place, cases[i].place) == 0,
				"error of %s", cases[i].json))
			diag("%s at \"%s\"", c.good ? c.sql : c.error.problem, c.place);
		destroy(&c);
	}
}

/* A text of one piece repeated, between a head and a tail. */
static char *
repeated(const char *head, const char *piece, int n, const char *tail)
{
	char	   *text = must_alloc(strlen(head) + strlen(piece) * (size_t) n + strlen(tail) + 1);
	char	   *at = text;

	at += sprintf(at, "%s", head);
	for (int i = 0; i < n; i++)
		at += sprintf(at, "%s", piece);
	sprintf(at, "%s", tail);
	return text;
}

/* Does it compile?  If not, the problem has to be this one. */
static bool
compiles(char *json, const char *problem)
{
	Compiled	c = compile(json);
	bool		good = c.good;

	if (!good && strcmp(c.error.problem, problem) != 0)
	{
		diag("other problem: %s", c.error.problem);
		good = true;
	}
	destroy(&c);
	free(json);
	return good;
}

static void
test_limits(void)
{
	const char *tests = "The filter has more than 256 operators";
	const char *deep = "The filter is nested more than 64 levels deep";
	const char *keys = "The path has more than 32 keys";
	char	   *json;
	Compiled	c;
	char		place[16];

	ok(compiles(repeated("{\"$or\":[", "{\"a\":{\"$gt\":true}},", 255, "{\"a\":1}]}"), ""), "256 operators are taken");
	ok(!compiles(repeated("{\"$or\":[", "{\"a\":{\"$gt\":true}},", 256, "{\"a\":1}]}"), tests), "257 are not");
	ok(!compiles(repeated("{\"$or\":[", "{\"a\":2},", 256, "{\"a\":{\"$eq\":1}}]}"), tests), "nor are they as plain values");
	ok(compiles(repeated("{\"$path\":[\"a\"", ",\"a\"", 31, "],\"$eq\":1}"), ""), "a path of 32 keys is taken");
	ok(!compiles(repeated("{\"$path\":[\"a\"", ",\"a\"", 32, "],\"$eq\":1}"), keys), "one of 33 is not");
	ok(!compiles(repeated("{\"a", ".a", 32, "\":1}"), keys), "nor with dots");
	ok(compiles(repeated("{\"a\":{\"$in\":[1", ",1", 9999, "]}}"), ""), "10,000 values of $in are taken");

	/* What the whole filter seeks by containment is bounded. */
	{
		char	   *one = repeated("{\"a\":{\"$in\":[1", ",1", 255, "]}}");
		char	   *more = repeated("{\"a\":{\"$in\":[1", ",1", 256, "]}}");
		char	   *many = repeated("{\"$or\":[{\"a\":{\"$in\":[1]}}", ",{\"a\":{\"$in\":[1,2]}}", 128, "]}");

		c = compile(one);
		ok(c.good && c.count == 1 && c.parameters[0].kind == FILTER_PARAMETER_NESTEDS, "256 values of $in are sought by containment");
		destroy(&c);
		c = compile(more);
		ok(c.good && c.count == 2 && c.parameters[1].kind == FILTER_PARAMETER_SCALARS, "257 are not");
		destroy(&c);
		c = compile(many);
		ok(c.good && c.count == 130 && c.parameters[127].kind == FILTER_PARAMETER_NESTEDS && c.parameters[129].kind == FILTER_PARAMETER_SCALARS,
		   "nor are 257 of several");
		destroy(&c);
		free(one);
		free(more);
		free(many);
	}

	/* 1,100 keys of a thousand bytes would be more than a megabyte */
	{
		char	   *head = repeated("{\"", "k", 1000, "\":{\"$in\":[1");

		json = repeated(head, ",1", 1100, "]}}");
		free(head);
		c = compile(json);
		ok(c.good && c.count == 2 && c.parameters[0].kind == FILTER_PARAMETER_PATH && c.parameters[1].kind == FILTER_PARAMETER_SCALARS,
		   "a long path is not repeated for many values");
		destroy(&c);
		free(json);
	}

	/* Each $not is a level more. */
	for (int close = 0; close < 2; close++)
	{
		int			n = close == 0 ? 60 : 70;
		char	   *head = repeated("", "{\"$not\":", n, "{\"a\":1}");

		json = repeated(head, "}", n, "");
		free(head);
		if (close == 0)
			ok(compiles(json, ""), "60 levels are taken");
		else
			ok(!compiles(json, deep), "70 are not");
	}

	c = compile("{\"$or\":[{\"\303\244\303\244\303\244\303\244\303\244\303\244\":[1]}]}");
	filter_place(c.error.at, place, sizeof(place));
	ok(strcmp(place, "/$or/0/\303\244\303\244...") == 0, "a long place is cut between characters");
	destroy(&c);
}

int
main(void)
{
	test_sql();
	test_parameters();
	test_errors();
	test_limits();
	return tap_done();
}
