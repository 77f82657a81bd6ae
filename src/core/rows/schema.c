/*
 * schema.c
 *	  A hash of a collection's columns.
 */
#include "core/rows/schema.h"

#include <stdio.h>

#include "core/bytes.h"

#define LABELS_HEX (2 * CORE_HASH_BYTES)	/* digits of the hash of an enum's labels, ... */
#define LABELS_SHOWN 8			/* ... and how many of them people read */

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

static bool
same(RowBytes a, RowBytes b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool
has(const RowColumn *column, int n, RowBytes name)
{
	for (int i = 0; i < n; i++)
		if (same(column[i].name, name))
			return true;
	return false;
}

/* Where the hash of an enum's labels begins in a type; its length: it has none. */
static size_t
labels_at(RowBytes type)
{
	size_t		digits = LABELS_HEX + 1;

	for (size_t i = 0; i < type.len; i++)
	{
		uint8_t		c = type.at[i];

		if (c == ')' && digits == LABELS_HEX)
			return i - LABELS_HEX;
		digits = c == '(' ? 0 : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ? digits + 1 : LABELS_HEX + 1;
	}
	return type.len;
}

bool
row_column_alike(const RowColumn *a, const RowColumn *b)
{
	size_t		at = labels_at(a->type);
	RowBytes	before[2] = {{a->type.at, at}, {b->type.at, labels_at(b->type)}};
	size_t		end = at < a->type.len ? at + LABELS_HEX : at;

	return same(a->name, b->name) && a->key == b->key && a->not_null == b->not_null && a->type.len == b->type.len &&
		same(before[0], before[1]) && memcmp(a->type.at + end, b->type.at + end, a->type.len - end) == 0;
}

/* As people read it: of the hash of an enum's labels the first digits. */
static const char *
show_type(const RowColumn *column, char out[ROW_COLUMN_TYPE + sizeof " NOT NULL"])
{
	const char *type = (const char *) column->type.at;
	int			len = (int) column->type.len;
	int			at = (int) labels_at(column->type);
	const char *not_null = column->not_null ? " NOT NULL" : "";
	size_t		room = ROW_COLUMN_TYPE + sizeof " NOT NULL";

	if (at < len)
		(void) snprintf(out, room, "%.*s...%.*s%s", at + LABELS_SHOWN, type, len - at - LABELS_HEX, type + at + LABELS_HEX, not_null);
	else
		(void) snprintf(out, room, "%.*s%s", len, type, not_null);
	return out;
}

bool
row_schema_difference(const RowColumn *ours, int n, const RowColumn *theirs, int m, bool all, char *out, size_t room)
{
	const RowColumn *a;
	const RowColumn *b;
	char		here[ROW_COLUMN_TYPE + sizeof " NOT NULL"];
	char		there[sizeof here];
	int			i;

	for (i = 0; i < n && i < m; i++)
		if (!same(ours[i].name, theirs[i].name) || !same(ours[i].type, theirs[i].type) ||
			ours[i].not_null != theirs[i].not_null || ours[i].key != theirs[i].key)
			break;
	if (i == m && (i == n || !all))
		return false;
	a = &ours[i];
	b = &theirs[i];
	if (i == m || (i < n && all && !has(theirs, m, a->name)))
		(void) snprintf(out, room, "column \"%.*s\" is not there", (int) a->name.len, (const char *) a->name.at);
	else if (i == n || !has(ours, n, b->name))
		(void) snprintf(out, room, "column \"%.*s\" is only there", (int) b->name.len, (const char *) b->name.at);
	else if (!same(a->name, b->name) && !all)
		return false;
	else if (!same(a->name, b->name))
		(void) snprintf(out, room, "column \"%.*s\" is in another place there", (int) a->name.len, (const char *) a->name.at);
	else if (a->key != b->key)
		(void) snprintf(out, room, "column \"%.*s\" is column %d of the key here and %d there", (int) a->name.len,
						(const char *) a->name.at, a->key, b->key);
	else
		(void) snprintf(out, room, "column \"%.*s\" is %s here and %s there", (int) a->name.len, (const char *) a->name.at,
						show_type(a, here), show_type(b, there));
	return true;
}
