/*
 * wire_item.h
 *	  The items (tag, length, value) that messages and extensions are made of.
 *
 *	  0   2  tag; bit 15 set: critical, a reader that does not know it refuses all
 *	  2   4  length
 *	  6   .  value
 *
 * Tags never descend, critical bit aside.  An item that may occur several
 * times occurs side by side; whether it may is for the reader of the tag.
 */
#ifndef CORE_WIRE_ITEM_H
#define CORE_WIRE_ITEM_H

#include "core/bytes.h"
#include "core/net/decode.h"

#define WIRE_CRITICAL 0x8000
#define WIRE_ITEM_HEAD 6

typedef struct WireItem
{
	uint16_t	tag;			/* with the critical bit */
	const uint8_t *value;
	size_t		len;
	bool		repeated;		/* the item before had the same tag */
} WireItem;

typedef struct WireItems
{
	ByteReader	reader;
	int			last;			/* tag of the item before without its critical bit, or -1 */
	DecodeStatus status;
} WireItems;

static inline WireItems
wire_items(const uint8_t *bytes, size_t len)
{
	return (WireItems) {{bytes, len, false}, -1, DECODE_OK};
}

/* The next item; false at the end or when status says what is wrong. */
static inline bool
wire_items_next(WireItems *self, WireItem *item)
{
	int			tag;

	if (self->status != DECODE_OK || self->reader.left == 0)
		return false;
	item->tag = (uint16_t) bytes_take_uint(&self->reader, 2);
	item->len = (size_t) bytes_take_uint(&self->reader, 4);
	item->value = bytes_take(&self->reader, item->len);
	if (self->reader.failed)
	{
		self->status = DECODE_TRUNCATED;
		return false;
	}
	tag = item->tag & ~WIRE_CRITICAL;
	if (tag < self->last)
	{
		self->status = DECODE_ORDER;
		return false;
	}
	item->repeated = tag == self->last;
	self->last = tag;
	return true;
}

static inline void
wire_put_item(ByteWriter *w, int tag, const void *value, size_t len)
{
	bytes_put_uint(w, 2, (uint64_t) tag);
	bytes_put_uint(w, 4, len);
	bytes_put(w, value, len);
}

static inline void
wire_put_item_uint(ByteWriter *w, int tag, int width, uint64_t value)
{
	bytes_put_uint(w, 2, (uint64_t) tag);
	bytes_put_uint(w, 4, (uint64_t) width);
	bytes_put_uint(w, width, value);
}

#endif							/* CORE_WIRE_ITEM_H */
