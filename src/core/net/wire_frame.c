/*
 * wire_frame.c
 *	  The header of a frame, and what text in one may be.
 */
#include "core/net/wire_frame.h"

#include "core/assert.h"

#define FLAG_RESPONSE 1

static const uint8_t magic[4] = {'v', 'd', 'b', 'p'};

_Static_assert(4 + 2 + 1 + 1 + 8 + KAD_ID_BYTES + 4 == WIRE_HEAD, "the fields of a header");

void
wire_header_put(ByteWriter *w, const WireHeader *header)
{
	bytes_put(w, magic, sizeof magic);
	bytes_put_uint(w, 2, WIRE_VERSION_MAX);
	bytes_put_uint(w, 1, header->type);
	bytes_put_uint(w, 1, header->response ? FLAG_RESPONSE : 0);
	bytes_put_uint(w, 8, header->request);
	bytes_put(w, header->collection.b, KAD_ID_BYTES);
	bytes_put_uint(w, 4, 0);
}

void
wire_header_end(uint8_t *frame, size_t len)
{
	CORE_ASSERT(len >= WIRE_HEAD && len - WIRE_HEAD <= UINT32_MAX);
	bytes_store(frame + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
}

DecodeStatus
wire_header_take(ByteReader *r, WireHeader *out)
{
	const uint8_t *head = bytes_take(r, sizeof magic);
	uint64_t	flags;
	uint64_t	payload;

	memset(out, 0, sizeof *out);
	if (head == NULL)
		return DECODE_TRUNCATED;
	if (memcmp(head, magic, sizeof magic) != 0)
		return DECODE_MAGIC;
	out->version = (uint16_t) bytes_take_uint(r, 2);
	out->type = (uint8_t) bytes_take_uint(r, 1);
	flags = bytes_take_uint(r, 1);
	out->request = bytes_take_uint(r, 8);
	bytes_take_copy(r, out->collection.b, KAD_ID_BYTES);
	payload = bytes_take_uint(r, 4);
	if (r->failed)
		return DECODE_TRUNCATED;
	if (out->version < WIRE_VERSION_MIN || out->version > WIRE_VERSION_MAX)
		return DECODE_VERSION;
	if (payload != r->left)
		return payload > r->left ? DECODE_TRUNCATED : DECODE_OVERLONG;
	if (flags & ~(uint64_t) FLAG_RESPONSE)
		return DECODE_FLAGS;
	out->response = flags != 0;
	return DECODE_OK;
}

bool
wire_text_good(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len;)
	{
		uint8_t		c = text[i];
		size_t		more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : 4;
		uint32_t	point;

		if (more == 4 || more > len - i - 1)
			return false;
		point = more == 0 ? c : c & (0x3F >> more);
		for (size_t j = 1; j <= more; j++)
		{
			if ((text[i + j] & 0xC0) != 0x80)
				return false;
			point = point << 6 | (text[i + j] & 0x3F);
		}
		if (point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 ||
			(more == 2 && (point < 0x800 || (point >= 0xD800 && point < 0xE000))) ||
			(more == 3 && (point < 0x10000 || point > 0x10FFFF)))
			return false;
		i += more + 1;
	}
	return true;
}
