/*
 * schema.c
 *	  A hash of a collection's columns.
 */
#include "core/rows/schema.h"

#include "core/bytes.h"

static const uint8_t tag[4] = {'v', 's', 'c', '1'};

/* The length, two bytes, and the bytes. */
static size_t
put_text(uint8_t *to, RowBytes text)
{
	bytes_store(to, 2, text.len);
	memcpy(to + 2, text.at, text.len);
	return 2 + text.len;
}

bool
row_schema_hash(const CoreCrypto *crypto, const RowColumn *column, int n, uint8_t out[CORE_HASH_BYTES])
{
	uint8_t		message[sizeof tag + CORE_HASH_BYTES + 2 + 2 + ROW_COLUMN_NAME + 2 + ROW_COLUMN_TYPE];

	if (n < 1 || n > ROW_COLUMNS)
		return false;
	memset(out, 0, CORE_HASH_BYTES);
	for (int i = 0; i < n; i++)
	{
		size_t		len = 0;

		if (column[i].name.len == 0 || column[i].name.len > ROW_COLUMN_NAME ||
			column[i].type.len == 0 || column[i].type.len > ROW_COLUMN_TYPE)
			return false;
		memcpy(message, tag, sizeof tag);
		len += sizeof tag;
		memcpy(message + len, out, CORE_HASH_BYTES);
		len += CORE_HASH_BYTES;
		message[len++] = column[i].not_null ? 1 : 0;
		message[len++] = column[i].key;
		len += put_text(message + len, column[i].name);
		len += put_text(message + len, column[i].type);
		crypto->sha256(crypto->context, message, len, out);
	}
	return true;
}
