/*
 * row_wire_fixture.h
 *	  What tests and fuzzers of row_wire.h share: a decoded message written again.
 */
#ifndef TEST_ROW_WIRE_FIXTURE_H
#define TEST_ROW_WIRE_FIXTURE_H

#include "core/net/wire_item.h"
#include "core/rows/row_wire.h"

#include "incarnation_fixture.h"

/*
 * A frontier that was read, with numbers of the dictionary.  It learns ids that it has not
 * met, for which its hash must be salt_is_id(): in two rounds, so that numbers do not
 * ascend as the ids do.
 */
static inline bool
frontier_read(RowBytes bytes, RowDictionary *dictionary, RowFrontier *out)
{
	for (int round = 0; round < 3; round++)
	{
		RowBytes	at = bytes;
		RowWireClaim claim;

		while (row_wire_next_claim(&at, &claim))
		{
			uint32_t	number = row_dictionary_find(dictionary, &claim.id);

			if (number == 0 && round == (claim.id.bytes[ROW_INCARNATION_ID - 1] & 1))
			{
				RowIncarnation incarnation = {.owner = {0}};

				memcpy(incarnation.salt, claim.id.bytes, ROW_INCARNATION_SALT);
				row_dictionary_add(dictionary, &incarnation, true, &number);
			}
			else if (round == 2 && (number == 0 || !row_frontier_claim(out, number, claim.top, claim.open, claim.n_open)))
				return false;
		}
	}
	return true;
}

static inline bool
frontier_again(RowWriter *w, RowWireTag tag, RowBytes bytes, RowDictionary *dictionary)
{
	RowFrontier frontier;
	bool		done;

	row_frontier_init(&frontier, dictionary->memory);
	done = frontier_read(bytes, dictionary, &frontier) && row_wire_put_frontier(w, tag, &frontier, dictionary);
	row_frontier_reset(&frontier);
	return done;
}

/* All items of a tag that may repeat. */
static inline bool
repeated_again(RowWriter *w, RowWireTag tag, RowBytes at)
{
	RowBytes	key;
	RowRange	range;
	RowSum		sum;
	RowWireRow	row;
	RowIncarnation incarnation;
	RowColumn	column;
	bool		done = true;

	if (tag == ROW_TAG_KEY)
		while (done && row_wire_next_key(&at, &key))
			done = row_wire_put_bytes(w, tag, key.at, key.len);
	else if (tag == ROW_TAG_RANGE)
		while (done && row_wire_next_range(&at, &range))
			done = row_wire_put_range(w, &range);
	else if (tag == ROW_TAG_SUM)
		while (done && row_wire_next_sum(&at, &sum))
			done = row_wire_put_sum(w, &sum);
	else if (tag == ROW_TAG_ENTRY)
		while (done && row_wire_next_entry(&at, &row))
			done = row_wire_put_entry(w, &row);
	else if (tag == ROW_TAG_INCARNATION)
		while (done && row_wire_next_incarnation(&at, &incarnation))
			done = row_wire_put_incarnation(w, &incarnation);
	else if (tag == ROW_TAG_COLUMN)
		while (done && row_wire_next_column(&at, &column))
			done = row_wire_put_column(w, &column);
	else
		while (done && row_wire_next_row(&at, &row))
		{
			size_t		written;

			done = row_wire_put_row(w, &row, &written) && written == row.content.len;
		}
	return done && at.len == 0;
}

static inline bool
item_again(RowWriter *w, RowWireTag tag, const RowMessage *m, RowDictionary *dictionary)
{
	switch (tag)
	{
		case ROW_TAG_CODE:
			return row_wire_put_uint(w, tag, m->code);
		case ROW_TAG_TEXT:
			return row_wire_put_bytes(w, tag, m->text.at, m->text.len);
		case ROW_TAG_MODE:
			return row_wire_put_uint(w, tag, m->mode);
		case ROW_TAG_CREDIT:
			return row_wire_put_uint(w, tag, m->credit);
		case ROW_TAG_MEMBERS:
			return row_wire_put_bytes(w, tag, m->members, sizeof m->members);
		case ROW_TAG_CLOCK:
			return row_wire_put_uint(w, tag, m->clock);
		case ROW_TAG_SCHEMA:
			return row_wire_put_bytes(w, tag, m->schema, sizeof m->schema);
		case ROW_TAG_FRONTIER:
			return frontier_again(w, tag, m->frontier, dictionary);
		case ROW_TAG_CLAIM:
			return frontier_again(w, tag, m->claim, dictionary);
		case ROW_TAG_FLOOR:
			return frontier_again(w, tag, m->floor, dictionary);
		case ROW_TAG_TOTAL:
			return row_wire_put_uint(w, tag, m->total);
		case ROW_TAG_SEQUENCE:
			return row_wire_put_uint(w, tag, m->sequence);
		case ROW_TAG_FRAGMENT:
			return row_wire_put_bytes(w, tag, m->fragment.at, m->fragment.len);
		case ROW_TAG_LAST:
		case ROW_TAG_BUSY:
		case ROW_TAG_PACKS:
			return row_wire_put_bytes(w, tag, NULL, 0);
		case ROW_TAG_PACKED:
			if (w->bytes.left < WIRE_ITEM_HEAD + 4 + m->packed.len)
				return false;
			memmove(w->bytes.at + WIRE_ITEM_HEAD + 4, m->packed.at, m->packed.len);
			return row_wire_put_packed(w, m->whole, m->packed.len);
		default:
			return repeated_again(w, tag, m->many[tag]);
	}
}

/* Write what was read; 0: it does not fit. */
static inline size_t
message_again(const RowMessage *m, const CoreMemory *allocator, uint8_t *out, size_t room)
{
	const CoreCrypto by_salt = {.sha256 = salt_is_id};
	RowDictionary dictionary;
	RowWriter	w;
	bool		done = true;

	row_dictionary_init(&dictionary, allocator, &by_salt, &m->collection);
	row_wire_begin(&w, out, room, (RowWireType) m->type, m->response, m->request, &m->collection);
	for (int tag = 1; tag < ROW_TAGS && done; tag++)
		if (row_message_has(m, (RowWireTag) tag))
			done = item_again(&w, (RowWireTag) tag, m, &dictionary);
	row_dictionary_reset(&dictionary);
	return done ? row_wire_end(&w) : 0;
}

/* A good frame without its items of unknown tags into out; how many bytes. */
static inline size_t
frame_known(const uint8_t *frame, size_t len, uint8_t *out)
{
	WireItems	items = wire_items(frame + WIRE_HEAD, len - WIRE_HEAD);
	WireItem	item;
	size_t		n = WIRE_HEAD;

	memcpy(out, frame, WIRE_HEAD);
	while (wire_items_next(&items, &item))
		if (item.tag >= 1 && item.tag < ROW_TAGS)
		{
			memcpy(out + n, item.value - WIRE_ITEM_HEAD, WIRE_ITEM_HEAD + item.len);
			n += WIRE_ITEM_HEAD + item.len;
		}
	wire_header_end(out, n);
	return n;
}

#endif							/* TEST_ROW_WIRE_FIXTURE_H */
