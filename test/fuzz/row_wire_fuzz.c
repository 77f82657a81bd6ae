/*
 * row_wire_fuzz.c
 *	  Messages that carry rows.  One that is taken has one form: written again it is the
 *	  same bytes, but for items that were skipped as unknown.
 */
#include "core/rows/row_wire.h"

#include "net_fuzz.h"

#include "../unit/row_wire_fixture.h"

/* What whoever reads a row relies on. */
static void
require_row(const RowWireRow *row, bool entry)
{
	REQUIRE(row->key.len >= 1 && row->key.len <= ROW_KEY_MAX && row->stamp.ticket > 0);
	REQUIRE(row->version.clock >> 63 == 0 && row->content.len <= row->content_len && row->content_len <= ROW_CONTENT_MAX);
	REQUIRE(row->live || (!row->thin && row->content_len == 0 && bytes_all_zero(row->hash, ROW_HASH)));
	REQUIRE(!entry || (!row->thin && row->content_len == 0));
}

static void
require_claims(RowBytes at)
{
	RowWireClaim claim;
	RowIncarnationId last = {{0}};

	while (row_wire_next_claim(&at, &claim))
	{
		REQUIRE(memcmp(&last, &claim.id, sizeof last) < 0 && claim.top > 0 && claim.n_open <= ROW_OPEN_MAX);
		for (uint32_t i = 0; i < claim.n_open; i++)
			REQUIRE(claim.open[i] > (i == 0 ? 0 : claim.open[i - 1]) && claim.open[i] < claim.top);
		last = claim.id;
	}
}

static void
require_message(const RowMessage *m)
{
	RowBytes	at = m->many[ROW_TAG_ROW];
	bool		partial = false;
	RowWireRow	row;
	RowRange	range;
	int			n = 0;
	RowIncarnation incarnation;
	RowColumn	column;

	REQUIRE(m->version == 1 && m->type >= ROW_WIRE_HAVE && m->type <= ROW_WIRE_PACKED);
	REQUIRE(m->type != ROW_WIRE_PACKED || (m->packed.len > 0 && m->packed.len < m->whole && m->whole <= ROW_FRAME_MAX));
	REQUIRE(!bytes_all_zero(m->collection.b, KAD_ID_BYTES));
	require_claims(m->frontier);
	require_claims(m->claim);
	require_claims(m->floor);
	while (row_wire_next_row(&at, &row))
	{
		REQUIRE(!partial);
		require_row(&row, false);
		partial = row.content.len < row.content_len;
	}
	REQUIRE(!partial || !row_message_has(m, ROW_TAG_LAST));
	at = m->many[ROW_TAG_ENTRY];
	while (row_wire_next_entry(&at, &row))
		require_row(&row, true);
	at = m->many[ROW_TAG_RANGE];
	while (row_wire_next_range(&at, &range))
		REQUIRE(range.high.len == 0 || row_key_compare(range.low, range.high) < 0);
	at = m->many[ROW_TAG_INCARNATION];
	while (row_wire_next_incarnation(&at, &incarnation))
		n++;
	at = m->many[ROW_TAG_COLUMN];
	while (row_wire_next_column(&at, &column))
		REQUIRE(column.name.len > 0 && column.name.len <= ROW_COLUMN_NAME && column.type.len > 0 && column.type.len <= ROW_COLUMN_TYPE);
	REQUIRE(n <= ROW_INTRODUCTIONS && (n > 0) == (m->type == ROW_WIRE_INTRODUCE));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[ROW_FRAME_MAX];
	static uint8_t known[ROW_FRAME_MAX];
	uint8_t    *frame = exact_copy(data, size);
	RowMessage	m;

	fuzz_begin();
	if (row_wire_decode(frame, size, &m) == DECODE_OK)
	{
		size_t		len = frame_known(frame, size, known);

		require_message(&m);
		REQUIRE(message_again(&m, &memory, again, sizeof again) == len && memcmp(again, known, len) == 0);
	}
	fuzz_end();
	free(frame);
	return 0;
}
