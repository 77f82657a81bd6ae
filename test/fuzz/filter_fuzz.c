/*
 * filter_fuzz.c
 *	  The filter of a search: whatever it holds, the SQL has only words of ours.
 */
#include "fuzz.h"
#include "json_tree.h"

/* Every text that the compiler may write; the order is that of trial. */
static const char *const words[] = {
	"pg_catalog.jsonb_typeof(", "EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(", "AS e (v)", "WHERE", "e.v",
	"OPERATOR(pg_catalog.@>)", "OPERATOR(pg_catalog.#>)", "OPERATOR(pg_catalog.>=)",
	"OPERATOR(pg_catalog.<=)", "OPERATOR(pg_catalog.=)", "OPERATOR(pg_catalog.>)", "OPERATOR(pg_catalog.<)",
	"t.metadata", "'number'", "'string'", "'boolean'", "'array'", "IS NOT NULL", "IS NULL", "IS TRUE", "false", "AND", "OR",
	"NOT", "ANY", "(", ")", " ",
};

/* The text is made of those words and parameters up to n, with brackets that match. */
static void
check_sql(const char *sql, int first, int n)
{
	int			depth = 0;
	int			highest = first - 1;

	while (*sql != '\0')
	{
		const char *word = NULL;

		if (*sql == '$')
		{
			char	   *end;
			long		number = strtol(sql + 1, &end, 10);

			REQUIRE(end > sql + 1 && number >= first && number <= highest + 1);
			if (number > highest)
				highest = (int) number;
			sql = end;
			continue;
		}
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && word == NULL; i++)
		{
			if (strncmp(sql, words[i], strlen(words[i])) == 0)
				word = words[i];
		}
		REQUIRE(word != NULL);
		for (const char *p = word; *p != '\0'; p++)
		{
			depth += (*p == '(') - (*p == ')');
			REQUIRE(depth >= 0);
		}
		sql += strlen(word);
	}
	REQUIRE(depth == 0);
	REQUIRE(highest == first - 1 + n);
}

static bool
is_within(const FilterJson *value, const FilterJson *root)
{
	while (value != NULL && value != root)
		value = value->parent;
	return value == root;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		text = text_new(data, size);
	FilterJson	root;
	int			n = json_read(text.bytes, text.len, &root);

	if (n > 0)
	{
		char	   *sql = fuzz_alloc(FILTER_SQL_SIZE(n));
		FilterParameter *parameters = fuzz_alloc(sizeof(FilterParameter) * FILTER_PARAMETERS(n));
		FilterError error = {0};
		int			count;

		if (filter_compile(&root, n, "t.metadata", 3, sql, parameters, &count, &error))
		{
			REQUIRE(error.problem == NULL);
			REQUIRE(count >= 0 && (size_t) count <= FILTER_PARAMETERS(n));
			REQUIRE((root.count == 0) == (sql[0] == '\0'));
			check_sql(sql, 3, count);
			for (int i = 0; i < count; i++)
			{
				REQUIRE(parameters[i].nkeys >= 1 && parameters[i].nkeys <= FILTER_MAX_KEYS);
				REQUIRE((parameters[i].value == NULL) == (parameters[i].kind == FILTER_PARAMETER_PATH));
				REQUIRE(parameters[i].value == NULL || is_within(parameters[i].value, &root));
			}
		}
		else
		{
			char		place[12];
			char		whole[2000];

			REQUIRE(error.problem != NULL && error.problem[0] != '\0');
			REQUIRE(error.at != NULL && is_within(error.at, &root));
			filter_place(error.at, whole, sizeof(whole));
			filter_place(error.at, place, sizeof(place));
			REQUIRE(strlen(place) < sizeof(place));
			REQUIRE((error.at == &root) == (whole[0] == '\0'));
			REQUIRE(whole[0] == '\0' || whole[0] == '/');
		}
		free(sql);
		free(parameters);
	}
	json_destroy(&root);
	text_destroy(&text);
	return 0;
}
