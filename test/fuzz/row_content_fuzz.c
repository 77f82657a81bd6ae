/*
 * row_content_fuzz.c
 *	  Keys and content of other nodes.  The first byte: how many columns, and whether it is
 *	  a key; of content the next byte says which columns are vectors, of a key the next
 *	  four have two columns' kinds in each.  What is taken has one form: written again it is
 *	  the same bytes.
 */
#include "core/rows/content.h"

#include "fuzz.h"

static void
check_key(const RowKeyKind *kind, int n, RowBytes key)
{
	RowKeyPart	part[ROW_KEY_COLUMNS];
	uint8_t    *room = fuzz_alloc(ROW_KEY_MAX);
	uint8_t    *again = fuzz_alloc(ROW_KEY_MAX);
	size_t		len;

	if (row_key_decode(kind, n, key, part, room))
	{
		REQUIRE(key.len >= 1 && key.len <= ROW_KEY_MAX);
		REQUIRE(row_key_encode(kind, part, n, again, &len));
		REQUIRE(len == key.len && memcmp(again, key.at, len) == 0);
	}
	free(room);
	free(again);
}

/* The values with their lengths, one behind the other, are what stands behind the number of columns. */
static void
check_content(RowBytes content, int columns, unsigned vectors)
{
	RowContentReader reader;
	RowValue	value;
	size_t		at = 2;
	int			n = 0;

	if (!row_content_begin(&reader, content, columns))
		return;
	while (n < columns && row_content_next(&reader, (vectors >> n) & 1, &value))
	{
		REQUIRE(value.length >= ROW_VALUE_LEFT_OUT);
		REQUIRE(value.length != ROW_VALUE_LEFT_OUT || ((vectors >> n) & 1));
		REQUIRE(value.bytes.len == (value.length > 0 ? (size_t) value.length : 0));
		n++;
		if ((uint64_t) n > bytes_load(content.at, 2))
		{
			REQUIRE(value.length == ROW_VALUE_NULL && value.whole.len == 0);
			continue;
		}
		REQUIRE((uint64_t) n < bytes_load(content.at, 2) || value.length != ROW_VALUE_NULL);
		REQUIRE(value.whole.at == content.at + at && value.whole.len == 4 + value.bytes.len);
		REQUIRE(value.whole.len <= content.len - at);
		REQUIRE((int32_t) (uint32_t) bytes_load(value.whole.at, 4) == value.length);
		at += value.whole.len;
	}
	REQUIRE(n < columns || row_content_ended(&reader) == (at == content.len));
	REQUIRE(n == columns || !row_content_ended(&reader));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const RowKeyKind kinds[] = {ROW_KEY_BYTES, ROW_KEY_INT2, ROW_KEY_INT4, ROW_KEY_INT8, ROW_KEY_UUID};
	RowKeyKind	kind[ROW_KEY_COLUMNS];
	bool		is_key;
	int			n;
	size_t		head;
	Text		text;

	if (size < 1)
		return 0;
	is_key = data[0] >> 7;
	n = 1 + data[0] % ROW_KEY_COLUMNS;
	head = is_key ? 1 + ROW_KEY_COLUMNS / 2 : 2;
	if (size < head)
		return 0;
	for (int i = 0; is_key && i < ROW_KEY_COLUMNS; i++)
		kind[i] = kinds[(data[1 + i / 2] >> (i % 2 * 4)) % 5];
	text = text_new(data + head, size - head);
	if (is_key)
		check_key(kind, n, (RowBytes) {(const uint8_t *) text.bytes, text.len});
	else
		check_content((RowBytes) {(const uint8_t *) text.bytes, text.len}, n, data[1]);
	text_destroy(&text);
	return 0;
}
