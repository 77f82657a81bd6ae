/*
 * content.c
 *	  The bytes of keys and of content, as far as they can be read without knowing a type.
 */
#include "core/rows/content.h"

#include "core/assert.h"

/* ---- content ---- */

bool
row_content_begin(RowContentReader *self, RowBytes content, int columns)
{
	uint64_t	values;

	self->bytes = (ByteReader) {.at = content.at, .left = content.len};
	values = bytes_take_uint(&self->bytes, 2);
	if (values > (uint64_t) columns)
		self->bytes.failed = true;
	self->left = self->bytes.failed ? 0 : (int) values;
	self->missing = columns - self->left;
	return !self->bytes.failed;
}

bool
row_content_next(RowContentReader *self, bool vector, RowValue *out)
{
	const uint8_t *start = self->bytes.at;

	if (self->left == 0)
	{
		if (self->bytes.failed || self->missing == 0)
			return false;
		self->missing--;
		*out = (RowValue) {.length = ROW_VALUE_NULL};
		return true;
	}
	self->left--;
	out->length = (int32_t) (uint32_t) bytes_take_uint(&self->bytes, 4);
	out->bytes = (RowBytes) {0};
	/* one row has one form: its last value is no null */
	if (out->length < (vector ? ROW_VALUE_LEFT_OUT : ROW_VALUE_NULL) || (self->left == 0 && out->length == ROW_VALUE_NULL))
		self->bytes.failed = true;
	if (self->bytes.failed)
		return false;
	if (out->length >= 0)
	{
		out->bytes.len = (size_t) out->length;
		out->bytes.at = bytes_take(&self->bytes, out->bytes.len);
		if (out->bytes.at == NULL)
			return false;
	}
	out->whole = (RowBytes) {.at = start, .len = 4 + out->bytes.len};
	return true;
}

bool
row_content_ended(const RowContentReader *self)
{
	return self->left == 0 && self->missing == 0 && self->bytes.left == 0 && !self->bytes.failed;
}

/* ---- keys ---- */

/* Bytes of a part that others follow: no part is then a prefix of another. */
static void
put_escaped(ByteWriter *to, RowBytes bytes)
{
	for (size_t i = 0; i < bytes.len && !to->failed; i++)
	{
		bytes_put_uint(to, 1, bytes.at[i]);
		if (bytes.at[i] == 0)
			bytes_put_uint(to, 1, 255);
	}
	bytes_put_uint(to, 2, 0);
}

static void
put_number(ByteWriter *to, int width, int64_t number)
{
	uint64_t	turned = (uint64_t) number ^ (UINT64_C(1) << (8 * width - 1));

	for (int i = width - 1; i >= 0; i--)
		bytes_put_uint(to, 1, (turned >> (8 * i)) & 255);
}

bool
row_key_encode(const RowKeyKind *kind, const RowKeyPart *part, int n, uint8_t out[ROW_KEY_MAX], size_t *len)
{
	ByteWriter	to = {.at = out, .left = ROW_KEY_MAX};

	CORE_ASSERT(n >= 1 && n <= ROW_KEY_COLUMNS);
	for (int i = 0; i < n; i++)
	{
		if (kind[i] == ROW_KEY_UUID)
			bytes_put(&to, part[i].bytes.at, ROW_KEY_UUID);
		else if (kind[i] != ROW_KEY_BYTES)
			put_number(&to, (int) kind[i], part[i].number);
		else if (i < n - 1)
			put_escaped(&to, part[i].bytes);
		else
			bytes_put(&to, part[i].bytes.at, part[i].bytes.len);
	}
	*len = ROW_KEY_MAX - to.left;
	return !to.failed;
}

/* As many as `room` of the key's bytes are needed at most: each is shorter than it was. */
static bool
take_escaped(ByteReader *from, RowBytes *out, uint8_t **room)
{
	out->at = *room;
	for (;;)
	{
		const uint8_t *byte = bytes_take(from, 1);

		if (byte == NULL)
			return false;
		if (*byte == 0)
		{
			const uint8_t *mark = bytes_take(from, 1);

			if (mark == NULL || (*mark != 0 && *mark != 255))
				return false;
			if (*mark == 0)
				break;
		}
		*(*room)++ = *byte;
	}
	out->len = (size_t) (*room - out->at);
	return true;
}

/* The value of width bytes; what it had above its sign bit comes from that. */
static int64_t
take_number(ByteReader *from, int width)
{
	const uint8_t *bytes = bytes_take(from, (size_t) width);
	uint64_t	sign = UINT64_C(1) << (8 * width - 1);
	uint64_t	value = 0;

	if (bytes == NULL)
		return 0;
	for (int i = 0; i < width; i++)
		value = value << 8 | bytes[i];
	value ^= sign;
	return (int64_t) ((value ^ sign) - sign);
}

bool
row_key_decode(const RowKeyKind *kind, int n, RowBytes key, RowKeyPart *part, uint8_t room[ROW_KEY_MAX])
{
	ByteReader	from = {.at = key.at, .left = key.len};

	CORE_ASSERT(n >= 1 && n <= ROW_KEY_COLUMNS);
	if (key.len == 0 || key.len > ROW_KEY_MAX)
		return false;
	for (int i = 0; i < n; i++)
	{
		part[i] = (RowKeyPart) {0};
		if (kind[i] == ROW_KEY_UUID)
			part[i].bytes = (RowBytes) {.at = bytes_take(&from, ROW_KEY_UUID), .len = ROW_KEY_UUID};
		else if (kind[i] != ROW_KEY_BYTES)
			part[i].number = take_number(&from, (int) kind[i]);
		else if (i < n - 1)
		{
			if (!take_escaped(&from, &part[i].bytes, &room))
				return false;
		}
		else
		{
			part[i].bytes = (RowBytes) {.at = from.at, .len = from.left};
			from.left = 0;
		}
		if (from.failed)
			return false;
	}
	return from.left == 0;
}
