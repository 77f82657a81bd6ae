/*
 * row_content_test.c
 *	  Keys and the frame of content: encodings by hand, the order of keys, and that bytes
 *	  which are none are refused.
 */
#include "core/rows/content.h"

#include "rows_fixture.h"

static RowBytes
bytes(const char *s, size_t len)
{
	return (RowBytes) {(const uint8_t *) s, len};
}

#define LITERAL(s) bytes(s, sizeof(s) - 1)

/* ---- keys ---- */

static bool
encodes(const RowKeyKind *kind, const RowKeyPart *part, int n, RowBytes expected)
{
	uint8_t		key[ROW_KEY_MAX];
	size_t		len;

	return row_key_encode(kind, part, n, key, &len) && len == expected.len && memcmp(key, expected.at, len) == 0;
}

static void
test_key_encoding(void)
{
	static const RowKeyKind integers[] = {ROW_KEY_INT2, ROW_KEY_INT4, ROW_KEY_INT8};
	static const RowKeyKind texts[] = {ROW_KEY_BYTES, ROW_KEY_BYTES};
	static const RowKeyKind uuid[] = {ROW_KEY_UUID};
	const RowKeyPart small[] = {{.number = INT16_MIN}, {.number = -1}, {.number = INT64_MAX}};
	const RowKeyPart zeros[] = {{.bytes = LITERAL("a\0b")}, {.bytes = LITERAL("\0c")}};
	const RowKeyPart empty[] = {{.bytes = LITERAL("")}, {.bytes = LITERAL("")}};
	const RowKeyPart id[] = {{.bytes = LITERAL("0123456789abcdef")}};

	ok(encodes(integers, small, 3, LITERAL("\0\0" "\x7f\xff\xff\xff" "\xff\xff\xff\xff\xff\xff\xff\xff")),
	   "integers are big-endian with the sign bit turned");
	ok(encodes(texts, zeros, 2, LITERAL("a\0\xff" "b\0\0\0c")), "bytes that others follow are ended, the last ones are as they are");
	ok(encodes(texts, empty, 2, LITERAL("\0\0")), "an empty part is its end alone");
	ok(encodes(uuid, id, 1, LITERAL("0123456789abcdef")), "a uuid is its bytes");
}

static void
test_key_length(void)
{
	static const RowKeyKind kind[] = {ROW_KEY_BYTES, ROW_KEY_BYTES};
	uint8_t		long_text[ROW_KEY_MAX + 1];
	uint8_t		key[ROW_KEY_MAX];
	size_t		len;
	RowKeyPart	part[2] = {{.bytes = {long_text, ROW_KEY_MAX}}};

	memset(long_text, 'x', sizeof long_text);
	ok(row_key_encode(kind, part, 1, key, &len) && len == ROW_KEY_MAX, "a key of %d bytes", ROW_KEY_MAX);
	part[0].bytes.len = ROW_KEY_MAX + 1;
	ok(!row_key_encode(kind, part, 1, key, &len), "one more is too long");
	part[0].bytes.len = ROW_KEY_MAX - 2;
	ok(row_key_encode(kind, part, 2, key, &len) && len == ROW_KEY_MAX, "so it is with the end of a part");
	part[0].bytes.len = ROW_KEY_MAX - 1;
	ok(!row_key_encode(kind, part, 2, key, &len), "one more is too long there");
	memset(long_text, 0, sizeof long_text);
	part[0].bytes.len = ROW_KEY_MAX / 2;
	ok(!row_key_encode(kind, part, 2, key, &len), "zeros count twice where others follow");
	ok(row_key_encode(kind, part, 1, key, &len) && len == ROW_KEY_MAX / 2, "and once where none does");
}

static void
test_key_refusals(void)
{
	static const RowKeyKind pair[] = {ROW_KEY_BYTES, ROW_KEY_INT2};
	static const RowKeyKind uuid[] = {ROW_KEY_UUID};
	static const struct
	{
		const char *what;
		const RowKeyKind *kind;
		int			n;
		RowBytes	key;
	}			cases[] = {
		{"no bytes", pair, 2, {(const uint8_t *) "", 0}},
		{"a part without its end", pair, 2, {(const uint8_t *) "abc", 3}},
		{"a part that ends in half of its end", pair, 2, {(const uint8_t *) "abc\0", 4}},
		{"a 0 that is neither escaped nor an end", pair, 2, {(const uint8_t *) "a\0\1b\0\0\1\2", 8}},
		{"too few bytes of an integer", pair, 2, {(const uint8_t *) "a\0\0\1", 4}},
		{"bytes behind the last part", pair, 2, {(const uint8_t *) "a\0\0\1\2\3", 6}},
		{"15 bytes of a uuid", uuid, 1, {(const uint8_t *) "0123456789abcde", 15}},
		{"17 bytes of a uuid", uuid, 1, {(const uint8_t *) "0123456789abcdefg", 17}},
	};
	RowKeyPart	part[ROW_KEY_COLUMNS];
	uint8_t		room[ROW_KEY_MAX];
	static uint8_t long_key[ROW_KEY_MAX + 1];
	static const RowKeyKind text[] = {ROW_KEY_BYTES};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ok(!row_key_decode(cases[i].kind, cases[i].n, cases[i].key, part, room), "no key: %s", cases[i].what);
	ok(row_key_decode(text, 1, (RowBytes) {long_key, ROW_KEY_MAX}, part, room) && part[0].bytes.len == ROW_KEY_MAX,
	   "a key of %d bytes is read", ROW_KEY_MAX);
	ok(!row_key_decode(text, 1, (RowBytes) {long_key, ROW_KEY_MAX + 1}, part, room), "no key: one byte more");
}

/* A random part; of few values, so that parts are often equal or prefixes. */
static RowKeyPart
random_part(RowKeyKind kind, uint8_t room[16])
{
	static const int64_t numbers[] = {0, 1, -1, 255, 256, -256, INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
	RowKeyPart	part = {.bytes = {room, kind == ROW_KEY_UUID ? 16 : below(4)}};
	int			choices = kind == ROW_KEY_INT2 ? 8 : kind == ROW_KEY_INT4 ? 10 : 12;

	for (int i = 0; i < 16; i++)
		room[i] = (uint8_t[]) {0, 1, 255}[below(3)];
	part.number = numbers[below((uint64_t) choices)];
	return part;
}

static int
compare_parts(RowKeyKind kind, const RowKeyPart *a, const RowKeyPart *b)
{
	if (kind == ROW_KEY_BYTES || kind == ROW_KEY_UUID)
		return row_key_compare(a->bytes, b->bytes);
	return (a->number > b->number) - (a->number < b->number);
}

static int
sign(int i)
{
	return (i > 0) - (i < 0);
}

static bool
same_part(RowKeyKind kind, const RowKeyPart *a, const RowKeyPart *b)
{
	return compare_parts(kind, a, b) == 0;
}

static void
test_key_order(void)
{
	static const RowKeyKind kinds[] = {ROW_KEY_BYTES, ROW_KEY_INT2, ROW_KEY_INT4, ROW_KEY_INT8, ROW_KEY_UUID};
	int			wrong_order = 0;
	int			wrong_parts = 0;

	for (int i = 0; i < 100000; i++)
	{
		int			n = 1 + (int) below(ROW_KEY_COLUMNS);
		RowKeyKind	kind[ROW_KEY_COLUMNS];
		RowKeyPart	part[2][ROW_KEY_COLUMNS];
		RowKeyPart	read[ROW_KEY_COLUMNS];
		uint8_t		part_room[2][ROW_KEY_COLUMNS][16];
		uint8_t		key[2][ROW_KEY_MAX];
		uint8_t		room[ROW_KEY_MAX];
		size_t		len[2];
		int			expected = 0;

		for (int j = 0; j < n; j++)
			kind[j] = kinds[below(5)];
		for (int k = 0; k < 2; k++)
		{
			for (int j = 0; j < n; j++)
			{
				part[k][j] = random_part(kind[j], part_room[k][j]);
				/* half of them are as in the other key, so that later ones matter */
				if (k == 1 && below(2) == 0)
					part[1][j] = part[0][j];
			}
			if (!row_key_encode(kind, part[k], n, key[k], &len[k]))
				exit(2);
		}
		for (int j = 0; j < n && expected == 0; j++)
			expected = sign(compare_parts(kind[j], &part[0][j], &part[1][j]));
		wrong_order += sign(row_key_compare((RowBytes) {key[0], len[0]}, (RowBytes) {key[1], len[1]})) != expected;
		if (len[0] == 0)
			continue;
		if (!row_key_decode(kind, n, (RowBytes) {key[0], len[0]}, read, room))
			wrong_parts++;
		else
			for (int j = 0; j < n; j++)
				wrong_parts += !same_part(kind[j], &part[0][j], &read[j]);
	}
	ok(wrong_order == 0, "100,000 pairs of keys have the order of their parts (%d have not)", wrong_order);
	ok(wrong_parts == 0, "and the parts that they were made of (%d have not)", wrong_parts);
}

/* ---- content ---- */

/* How many values content has when columns of them are wanted, the second a vector; -1: it is none. */
static int
values_of(RowBytes content, int columns)
{
	RowContentReader reader;
	RowValue	value;
	int			n = 0;

	if (!row_content_begin(&reader, content, columns))
		return -1;
	while (n < columns)
	{
		if (!row_content_next(&reader, n == 1, &value))
			return -1;
		n++;
	}
	return row_content_next(&reader, true, &value) || !row_content_ended(&reader) ? -1 : n;
}

#define WHOLE "\4\0" "\2\0\0\0ab" "\xfe\xff\xff\xff" "\xff\xff\xff\xff" "\1\0\0\0c"

static void
test_content(void)
{
	RowContentReader reader;
	RowValue	value[5];
	int			parts = 0;

	ok(row_content_begin(&reader, LITERAL(WHOLE), 4) && row_content_next(&reader, false, &value[0]) &&
	   row_content_next(&reader, true, &value[1]) && row_content_next(&reader, false, &value[2]) &&
	   row_content_next(&reader, false, &value[3]) && row_content_ended(&reader), "content of four values");
	ok(value[0].length == 2 && value[0].bytes.len == 2 && memcmp(value[0].bytes.at, "ab", 2) == 0 &&
	   value[0].whole.len == 6 && memcmp(value[0].whole.at, "\2\0\0\0ab", 6) == 0, "a value, and itself with its length");
	ok(value[1].length == ROW_VALUE_LEFT_OUT && value[1].whole.len == 4, "a vector that is left out");
	ok(value[2].length == ROW_VALUE_NULL && value[2].bytes.len == 0 && value[2].whole.len == 4, "a null");

	ok(row_content_begin(&reader, LITERAL(WHOLE), 5) && row_content_next(&reader, false, &value[0]) &&
	   row_content_next(&reader, true, &value[1]) && row_content_next(&reader, false, &value[2]) &&
	   row_content_next(&reader, false, &value[3]) && !row_content_ended(&reader) && row_content_next(&reader, true, &value[4]) &&
	   value[4].length == ROW_VALUE_NULL && value[4].whole.len == 0 && row_content_ended(&reader), "a column behind its end is null");

	ok(values_of(LITERAL(WHOLE "x"), 4) == -1 && values_of(LITERAL(WHOLE "x"), 5) == -1, "no content: a byte behind the last value");
	for (size_t len = 0; len < sizeof(WHOLE) - 1; len++)
		parts += values_of(bytes(WHOLE, len), 4) == -1;
	ok(parts == sizeof(WHOLE) - 1, "no content: the first bytes of it, however many");
	ok(values_of(LITERAL(WHOLE), 3) == -1 && values_of(LITERAL(WHOLE), 4) == 4 && values_of(LITERAL(WHOLE), 9) == 9,
	   "no content: of more columns");
	ok(values_of(LITERAL("\1\0\xff\xff\xff\xff"), 1) == -1 && values_of(LITERAL("\2\0\0\0\0\0\xff\xff\xff\xff"), 3) == -1,
	   "no content: its last value is null");
	ok(values_of(LITERAL("\1\0\xfe\xff\xff\xff"), 1) == -1, "no content: something else than a vector is left out");
	ok(values_of(LITERAL("\1\0\xfd\xff\xff\xff"), 1) == -1 && values_of(LITERAL("\2\0\0\0\0\0\xfd\xff\xff\xff"), 2) == -1,
	   "no content: another length below 0");
	ok(values_of(LITERAL("\1\0\0\0\0\x80"), 1) == -1 && values_of(LITERAL("\1\0\xff\xff\xff\x7f" "abc"), 1) == -1,
	   "no content: the least and the greatest length");
	ok(row_content_begin(&reader, LITERAL("\1\0\xfe\xff\xff\xff"), 1) && !row_content_next(&reader, false, &value[0]) &&
	   !row_content_ended(&reader), "after a malformed value content has not ended well");
	ok(values_of(LITERAL("\0\0"), 0) == 0 && values_of(LITERAL("\0\0"), 2) == 2 && values_of(LITERAL("\1\0\0\0\0\0"), 1) == 1, "no columns; nulls alone; an empty value");
}

int
main(void)
{
	fixture_begin();
	test_key_encoding();
	test_key_length();
	test_key_refusals();
	test_key_order();
	test_content();
	return fixture_end();
}
