/*
 * row_wire_write.c
 *	  The messages that carry rows: writing.
 *
 * An item is written once it is known to fit, so that one that does not leaves nothing
 * behind.
 */
#include "core/rows/row_wire.h"

#include "core/assert.h"
#include "core/rows/row_wire_shape.h"

void
row_wire_begin(RowWriter *self, uint8_t *frame, size_t room, RowWireType type, bool response, uint64_t request,
			   const KadId *collection)
{
	WireHeader	header = {WIRE_VERSION_MAX, (uint8_t) type, response, request, *collection};

	CORE_ASSERT(row_shape_of((int) type, response) != NULL);
	CORE_ASSERT(row_shape_of((int) type, response)->numbered == (request != 0));
	CORE_ASSERT(!bytes_all_zero(collection->b, KAD_ID_BYTES));
	if (room > ROW_FRAME_MAX)
		room = ROW_FRAME_MAX;
	*self = (RowWriter) {.bytes = {frame, room, false}, .frame = frame, .room = room};
	wire_header_put(&self->bytes, &header);
}

/* Did all fit that its type needs? */
static bool
is_complete(const uint8_t *frame, size_t len)
{
	const RowShape *shape = row_shape_of(frame[6], frame[7] != 0);
	WireItems	items = wire_items(frame + WIRE_HEAD, len - WIRE_HEAD);
	WireItem	item;
	uint32_t	seen = 0;
	uint32_t	both = HAS(CLAIM) | HAS(FLOOR);

	while (wire_items_next(&items, &item))
		seen |= 1u << item.tag;
	return (seen & shape->required) == shape->required &&
		((shape->optional & both) == 0 || (seen & both) == 0 || (seen & both) == both);
}

size_t
row_wire_end(RowWriter *self)
{
	size_t		len = self->room - self->bytes.left;
	RowMessage	m;

	if (self->bytes.failed || !is_complete(self->frame, len))
		return 0;
	wire_header_end(self->frame, len);
	/* what is written is what a reader takes */
	CORE_ASSERT(row_wire_decode(self->frame, len, &m) == DECODE_OK);
	return len;
}

size_t
row_wire_left(const RowWriter *self)
{
	return self->bytes.failed ? 0 : self->bytes.left;
}

/* The head of an item whose value, of len bytes, is written next; false: it does not fit. */
static bool
begin_item(RowWriter *self, RowWireTag tag, size_t len)
{
	size_t		left = row_wire_left(self);

	CORE_ASSERT(len >= row_size[tag].least);
	if (left < WIRE_ITEM_HEAD || len > left - WIRE_ITEM_HEAD || len > row_size[tag].most)
		return false;
	bytes_put_uint(&self->bytes, 2, tag);
	bytes_put_uint(&self->bytes, 4, len);
	return true;
}

bool
row_wire_put_uint(RowWriter *self, RowWireTag tag, uint64_t value)
{
	uint32_t	width = row_size[tag].least;

	CORE_ASSERT(tag == ROW_TAG_CODE || tag == ROW_TAG_MODE || tag == ROW_TAG_CREDIT || tag == ROW_TAG_CLOCK ||
				tag == ROW_TAG_TOTAL || tag == ROW_TAG_SEQUENCE);
	CORE_ASSERT(width == 8 || value >> 8 * width == 0);
	if (!begin_item(self, tag, width))
		return false;
	bytes_put_uint(&self->bytes, (int) width, value);
	return true;
}

bool
row_wire_put_bytes(RowWriter *self, RowWireTag tag, const void *bytes, size_t len)
{
	CORE_ASSERT(tag == ROW_TAG_TEXT || tag == ROW_TAG_MEMBERS || tag == ROW_TAG_SCHEMA || tag == ROW_TAG_KEY ||
				tag == ROW_TAG_FRAGMENT || tag == ROW_TAG_LAST || tag == ROW_TAG_BUSY || tag == ROW_TAG_PACKS);
	if (!begin_item(self, tag, len))
		return false;
	bytes_put(&self->bytes, bytes, len);
	return true;
}

bool
row_wire_put_packed(RowWriter *self, uint32_t whole, size_t n)
{
	CORE_ASSERT(n > 0 && n < whole);
	if (!begin_item(self, ROW_TAG_PACKED, 4 + n))
		return false;
	bytes_put_uint(&self->bytes, 4, whole);
	self->bytes.at += n;
	self->bytes.left -= n;
	return true;
}

/* ---- frontiers ---- */

/* The id of the i-th of an array of numbers of 4 bytes. */
static const RowIncarnationId *
id_at(const uint8_t *numbers, size_t i, const RowDictionary *dictionary)
{
	return &row_dictionary_get(dictionary, (uint32_t) bytes_load(numbers + 4 * i, 4))->id;
}

static void
swap_numbers(uint8_t *numbers, size_t i, size_t j)
{
	uint64_t	kept = bytes_load(numbers + 4 * i, 4);

	memcpy(numbers + 4 * i, numbers + 4 * j, 4);
	bytes_store(numbers + 4 * j, 4, kept);
}

/* Of a heap whose greatest id comes first, all but its i-th is in order. */
static void
sift_down(uint8_t *numbers, size_t i, size_t n, const RowDictionary *dictionary)
{
	for (;;)
	{
		size_t		child = 2 * i + 1;

		if (child >= n)
			return;
		if (child + 1 < n && row_incarnation_compare(id_at(numbers, child, dictionary),
													 id_at(numbers, child + 1, dictionary)) < 0)
			child++;
		if (row_incarnation_compare(id_at(numbers, i, dictionary), id_at(numbers, child, dictionary)) >= 0)
			return;
		swap_numbers(numbers, i, child);
		i = child;
	}
}

/* Ascending by id (Williams, "Heapsort", CACM 7(6), 1964): the order of numbers may be another's choice. */
static void
sort_numbers(uint8_t *numbers, size_t n, const RowDictionary *dictionary)
{
	for (size_t i = n / 2; i > 0; i--)
		sift_down(numbers, i - 1, n, dictionary);
	for (size_t last = n; last > 1; last--)
	{
		swap_numbers(numbers, 0, last - 1);
		sift_down(numbers, 0, last - 1, dictionary);
	}
}

static void
put_claim(ByteWriter *w, const RowFrontier *frontier, uint32_t number, const RowDictionary *dictionary)
{
	uint32_t	low = 0;
	uint32_t	high = frontier->n_open;
	uint32_t	end;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (frontier->open[middle].incarnation < number)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < frontier->n_open && frontier->open[end].incarnation == number;)
		end++;
	bytes_put(w, row_dictionary_get(dictionary, number)->id.bytes, ROW_INCARNATION_ID);
	bytes_put_uint(w, 8, frontier->top[number - 1]);
	bytes_put_uint(w, 2, end - low);
	for (uint32_t i = low; i < end; i++)
		bytes_put_uint(w, 8, frontier->open[i].ticket);
}

/*
 * The numbers are sorted at the end of the place where the claims will stand.  A claim
 * is longer than a number, so what is written never reaches one that was not read.
 */
bool
row_wire_put_frontier(RowWriter *self, RowWireTag tag, const RowFrontier *frontier, const RowDictionary *dictionary)
{
	size_t		n = 0;
	size_t		len;
	size_t		at = 0;
	uint8_t    *numbers;

	CORE_ASSERT(tag == ROW_TAG_FRONTIER || tag == ROW_TAG_CLAIM || tag == ROW_TAG_FLOOR);
	for (uint32_t i = 0; i < frontier->n; i++)
		n += frontier->top[i] > 0;
	len = n * CLAIM_LEAST + (size_t) frontier->n_open * 8;
	if (!begin_item(self, tag, len))
		return false;
	numbers = self->bytes.at + (len - 4 * n);
	for (uint32_t i = 0; i < frontier->n; i++)
		if (frontier->top[i] > 0)
			bytes_store(numbers + 4 * at++, 4, i + 1);
	sort_numbers(numbers, n, dictionary);
	for (size_t i = 0; i < n; i++)
	{
		CORE_ASSERT(self->bytes.at <= numbers + 4 * i);
		put_claim(&self->bytes, frontier, (uint32_t) bytes_load(numbers + 4 * i, 4), dictionary);
	}
	CORE_ASSERT(self->bytes.at == numbers + 4 * n);
	return true;
}

/* ---- what may repeat ---- */

bool
row_wire_put_incarnation(RowWriter *self, const RowIncarnation *incarnation)
{
	size_t		most = WIRE_HEAD + ROW_INTRODUCTIONS * (WIRE_ITEM_HEAD + ROW_INCARNATION_BYTES);

	/* INTRODUCE has no other items */
	if (self->room - self->bytes.left >= most || !begin_item(self, ROW_TAG_INCARNATION, ROW_INCARNATION_BYTES))
		return false;
	row_incarnation_encode(incarnation, bytes_room(&self->bytes, ROW_INCARNATION_BYTES));
	return true;
}

static void
put_key(ByteWriter *w, RowBytes key)
{
	CORE_ASSERT(key.len <= ROW_KEY_MAX);
	bytes_put_uint(w, 2, key.len);
	bytes_put(w, key.at, key.len);
}

bool
row_wire_put_column(RowWriter *self, const RowColumn *column)
{
	if (!wire_text_good(column->name.at, column->name.len) || !wire_text_good(column->type.at, column->type.len) ||
		!begin_item(self, ROW_TAG_COLUMN, COLUMN_HEAD + column->name.len + column->type.len))
		return false;
	bytes_put_uint(&self->bytes, 1, column->not_null);
	bytes_put_uint(&self->bytes, 1, column->key);
	put_key(&self->bytes, column->name);
	put_key(&self->bytes, column->type);
	return true;
}

static void
put_bounds(ByteWriter *w, const RowRange *range)
{
	put_key(w, range->low);
	put_key(w, range->high);
}

bool
row_wire_put_range(RowWriter *self, const RowRange *range)
{
	if (!begin_item(self, ROW_TAG_RANGE, 2 * 2 + range->low.len + range->high.len))
		return false;
	put_bounds(&self->bytes, range);
	return true;
}

bool
row_wire_put_sum(RowWriter *self, const RowSum *sum)
{
	if (!begin_item(self, ROW_TAG_SUM, 2 * 2 + sum->range.low.len + sum->range.high.len + 8 + sizeof sum->sum))
		return false;
	put_bounds(&self->bytes, &sum->range);
	bytes_put_uint(&self->bytes, 8, sum->count);
	bytes_put(&self->bytes, sum->sum, sizeof sum->sum);
	return true;
}

static void
put_stamp(ByteWriter *w, const RowWireStamp *stamp)
{
	bytes_put(w, stamp->id.bytes, ROW_INCARNATION_ID);
	bytes_put_uint(w, 8, stamp->ticket);
}

static size_t
entry_bytes(const RowWireRow *row)
{
	uint8_t		flags = row_flags(row);

	return 1 + 8 + 2 + row->key.len + STAMP_BYTES + (flags & FLAG_TIE ? ROW_HASH : 0) +
		(flags & FLAG_BIRTH ? STAMP_BYTES : 0) + (flags & FLAG_VECTOR ? STAMP_BYTES : 0);
}

static void
put_entry(ByteWriter *w, const RowWireRow *row)
{
	uint8_t		flags = row_flags(row);

	bytes_put_uint(w, 1, flags);
	bytes_put_uint(w, 8, row->version.clock);
	put_key(w, row->key);
	put_stamp(w, &row->stamp);
	if (flags & FLAG_TIE)
		bytes_put(w, row->version.tie, ROW_HASH);
	if (flags & FLAG_BIRTH)
		put_stamp(w, &row->birth);
	if (flags & FLAG_VECTOR)
		put_stamp(w, &row->vector_stamp);
}

bool
row_wire_put_entry(RowWriter *self, const RowWireRow *entry)
{
	CORE_ASSERT(!entry->thin);
	if (!begin_item(self, ROW_TAG_ENTRY, entry_bytes(entry)))
		return false;
	put_entry(&self->bytes, entry);
	return true;
}

bool
row_wire_put_row(RowWriter *self, const RowWireRow *row, size_t *written)
{
	size_t		fixed = entry_bytes(row) + AFTER_ENTRY;
	size_t		left = row_wire_left(self);
	size_t		n = row->content.len;

	CORE_ASSERT(n <= row->content_len && row->content_len <= ROW_CONTENT_MAX);
	if (left < WIRE_ITEM_HEAD + fixed)
		return false;
	if (n > left - WIRE_ITEM_HEAD - fixed)
		n = left - WIRE_ITEM_HEAD - fixed;
	if (!begin_item(self, ROW_TAG_ROW, fixed + n))
		return false;
	put_entry(&self->bytes, row);
	bytes_put(&self->bytes, row->hash, ROW_HASH);
	bytes_put(&self->bytes, row->vector_hash, ROW_HASH);
	bytes_put_uint(&self->bytes, 4, row->content_len);
	bytes_put(&self->bytes, row->content.at, n);
	*written = n;
	return true;
}
