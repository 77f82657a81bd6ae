/*
 * row_schema_test.c
 *	  The hash of a list of columns: its encoding by hand, and that nothing of a column
 *	  can be another without another hash.
 */
#include "core/rows/schema.h"

#include "rows_fixture.h"

static CoreCrypto crypto;

static RowBytes
text(const char *s)
{
	return (RowBytes) {(const uint8_t *) s, strlen(s)};
}

static RowColumn
column(const char *name, const char *type, bool not_null, uint8_t key)
{
	return (RowColumn) {text(name), text(type), not_null, key};
}

static void
test_encoding(void)
{
	static const char by_hand[] = "\1\1\2\0id\4\0uuid";
	RowColumn	columns[2] = {column("id", "uuid", true, 1), column("a", "b", false, 0)};
	uint8_t		message[4 + 32 + sizeof by_hand] = "vsc1";
	uint8_t		hash[32];
	uint8_t		expected[32];

	memcpy(message + 36, by_hand, sizeof by_hand - 1);
	crypto.sha256(crypto.context, message, 36 + sizeof by_hand - 1, expected);
	ok(row_schema_hash(&crypto, columns, 1, hash) && memcmp(hash, expected, 32) == 0, "one column is hashed behind 32 bytes of 0");
	memcpy(message + 4, expected, 32);
	memcpy(message + 36, "\0\0\1\0a\1\0b", 8);
	crypto.sha256(crypto.context, message, 44, expected);
	ok(row_schema_hash(&crypto, columns, 2, hash) && memcmp(hash, expected, 32) == 0, "the next one behind the hash of those before");
}

static void
test_differences(void)
{
	const RowColumn lists[][3] = {
		{column("id", "uuid", true, 1), column("ab", "text", false, 0), column("v", "vector(3)", false, 0)},
		{column("id", "uuid", true, 1), column("v", "vector(3)", false, 0), column("ab", "text", false, 0)},
		{column("id", "uuid", true, 1), column("a", "btext", false, 0), column("v", "vector(3)", false, 0)},
		{column("id", "uuid", true, 1), column("ab", "text", true, 0), column("v", "vector(3)", false, 0)},
		{column("id", "uuid", true, 1), column("ab", "text", false, 2), column("v", "vector(3)", false, 0)},
		{column("id", "uuid", true, 1), column("ab", "text", false, 0), column("v", "vector(4)", false, 0)},
		{column("id", "uuid", true, 0), column("ab", "text", false, 1), column("v", "vector(3)", false, 0)},
	};
	enum
	{
		N = sizeof lists / sizeof lists[0]
	};
	uint8_t		hash[N + 1][32];
	bool		all = row_schema_hash(&crypto, lists[0], 2, hash[N]);
	int			equal = 0;

	for (int i = 0; i < N; i++)
		all = row_schema_hash(&crypto, lists[i], 3, hash[i]) && all;
	for (int i = 0; i <= N; i++)
		for (int j = 0; j < i; j++)
			equal += memcmp(hash[i], hash[j], 32) == 0;
	ok(all && equal == 0, "order, name, type, NOT NULL, the key and the number of columns each show");
}

static void
test_limits(void)
{
	static uint8_t long_text[ROW_COLUMN_TYPE + 1] = {1};
	static RowColumn columns[ROW_COLUMNS + 1];
	uint8_t		hash[32];

	for (int i = 0; i <= ROW_COLUMNS; i++)
		columns[i] = (RowColumn) {{long_text, ROW_COLUMN_NAME}, {long_text, ROW_COLUMN_TYPE}, true, 255};
	ok(row_schema_hash(&crypto, columns, ROW_COLUMNS, hash), "as many columns as a table can have, of the greatest length");
	ok(!row_schema_hash(&crypto, columns, ROW_COLUMNS + 1, hash) && !row_schema_hash(&crypto, columns, 0, hash),
	   "no more of them, and not none");
	columns[1].name.len = ROW_COLUMN_NAME + 1;
	ok(!row_schema_hash(&crypto, columns, 2, hash), "no longer name");
	columns[1].name.len = 0;
	ok(!row_schema_hash(&crypto, columns, 2, hash), "no name without a letter");
	columns[1].name.len = 1;
	columns[1].type.len = ROW_COLUMN_TYPE + 1;
	ok(!row_schema_hash(&crypto, columns, 2, hash), "no longer type");
}

static const char *
difference(const RowColumn *ours, int n, const RowColumn *theirs, int m, bool all)
{
	static char text[100];

	return row_schema_difference(ours, n, theirs, m, all, text, sizeof text) ? text : "";
}

static void
test_what_differs(void)
{
	const RowColumn ours[3] = {column("id", "uuid", true, 1), column("ab", "text", false, 0), column("v", "vector(3)", false, 0)};
	const RowColumn without[2] = {ours[0], ours[2]};
	const RowColumn turned[3] = {ours[0], ours[2], ours[1]};
	const RowColumn typed[3] = {ours[0], column("ab", "integer", true, 0), ours[2]};
	const RowColumn named[3] = {ours[0], column("ba", "text", false, 0), ours[2]};
	const RowColumn glad[1] = {column("m", "app.mood(0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef)[]", false, 0)};
	const RowColumn sad[1] = {column("m", "app.mood(f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef)[]", true, 0)};
	const RowColumn mad[1] = {column("m", "app.mood(f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef)[]", false, 0)};
	const RowColumn one[1] = {column("m", "app.mood(f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef)", false, 0)};
	const RowColumn keyed[3] = {column("id", "uuid", true, 2), ours[1], ours[2]};

	ok(strcmp(difference(ours, 3, ours, 3, true), "") == 0, "the same differ in nothing");
	ok(strcmp(difference(ours, 3, without, 2, true), "column \"ab\" is not there") == 0, "one is missing there");
	ok(strcmp(difference(without, 2, ours, 3, true), "column \"ab\" is only there") == 0, "and here");
	ok(strcmp(difference(ours, 3, ours, 2, true), "column \"v\" is not there") == 0, "the last one there");
	ok(strcmp(difference(ours, 2, ours, 3, true), "column \"v\" is only there") == 0, "and here");
	ok(strcmp(difference(ours, 3, ours, 2, false), "") == 0, "not where some are not told");
	ok(strcmp(difference(ours, 3, turned, 3, true), "column \"ab\" is in another place there") == 0, "another order");
	ok(strcmp(difference(ours, 3, typed, 3, true), "column \"ab\" is text here and integer NOT NULL there") == 0, "another type");
	ok(strcmp(difference(ours, 3, named, 3, true), "column \"ab\" is not there") == 0, "another name");
	ok(strcmp(difference(ours, 3, keyed, 3, true), "column \"id\" is column 1 of the key here and 2 there") == 0, "another place in the key");
	ok(strcmp(difference(glad, 1, sad, 1, true), "column \"m\" is app.mood(01234567...)[] here and app.mood(f1234567...)[] NOT NULL there") == 0, "other labels");
	ok(row_column_alike(&glad[0], &glad[0]) && !row_column_alike(&glad[0], &sad[0]), "alike but for labels they are not where one is NOT NULL");
	ok(row_column_alike(&glad[0], &mad[0]) && !row_column_alike(&glad[0], &one[0]) && !row_column_alike(&ours[1], &ours[2]), "else they are, of the same type");
	ok(strcmp(difference(ours, 3, NULL, 0, false), "") == 0, "nothing is told");
}

int
main(void)
{
	fixture_begin();
	crypto = host_crypto();
	test_encoding();
	test_differences();
	test_limits();
	test_what_differs();
	return fixture_end();
}
