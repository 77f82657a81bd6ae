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

int
main(void)
{
	fixture_begin();
	crypto = host_crypto();
	test_encoding();
	test_differences();
	test_limits();
	return fixture_end();
}
