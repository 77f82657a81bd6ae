/*
 * row_wire.c
 *	  The messages that carry rows: reading.
 *
 * A table says which items a type must and may have, another how long each may be.  The
 * reader checks every value in the same pass; what an iterator then gives is decoded a
 * second time by the same functions, which have no reason left to refuse it.
 */
#include "core/rows/row_wire.h"

#include "core/assert.h"
#include "core/rows/clock.h"
#include "core/rows/row_wire_shape.h"

#define TYPE_FIRST ROW_WIRE_HAVE
#define TYPES (ROW_WIRE_PACKED - ROW_WIRE_HAVE + 1)

/* [type - TYPE_FIRST][response] */
static const RowShape shapes[TYPES][2] = {
	[ROW_WIRE_HAVE - TYPE_FIRST] = {
		{true, false, HAS(MEMBERS) | HAS(CLOCK) | HAS(SCHEMA) | HAS(FRONTIER) | HAS(FLOOR), HAS(BUSY) | HAS(COLUMN)}
	},
	[ROW_WIRE_WANT - TYPE_FIRST] = {
		{true, true, HAS(MODE) | HAS(CREDIT) | HAS(MEMBERS) | HAS(CLOCK) | HAS(SCHEMA) | HAS(FRONTIER) | HAS(FLOOR), HAS(KEY) | HAS(PACKS)}
	},
	[ROW_WIRE_DATA - TYPE_FIRST] = {
		{.exists = false},
		{true, true, HAS(SEQUENCE), HAS(CLAIM) | HAS(FLOOR) | HAS(TOTAL) | HAS(FRAGMENT) | HAS(ROW) | HAS(LAST)}
	},
	[ROW_WIRE_ACK - TYPE_FIRST] = {
		{true, true, HAS(CREDIT), 0}
	},
	[ROW_WIRE_STOP - TYPE_FIRST] = {
		{true, true, HAS(CODE), HAS(TEXT)},
		{true, true, HAS(CODE), HAS(TEXT)}
	},
	[ROW_WIRE_RANGES - TYPE_FIRST] = {
		{true, true, HAS(RANGE), 0},
		{true, true, 0, HAS(CLOCK) | HAS(CLAIM) | HAS(FLOOR) | HAS(SUM) | HAS(ENTRY)}
	},
	[ROW_WIRE_FETCH - TYPE_FIRST] = {
		{true, true, HAS(KEY), 0}
	},
	[ROW_WIRE_INTRODUCE - TYPE_FIRST] = {
		{true, false, HAS(INCARNATION), 0}
	},
	[ROW_WIRE_PACKED - TYPE_FIRST] = {
		{.exists = false},
		{true, true, HAS(PACKED), 0}
	},
};

const RowSize row_size[ROW_TAGS] = {
	[ROW_TAG_CODE] = {2, 2},
	[ROW_TAG_TEXT] = {1, WIRE_TEXT_MAX},
	[ROW_TAG_MODE] = {1, 1},
	[ROW_TAG_CREDIT] = {4, 4},
	[ROW_TAG_MEMBERS] = {16, 16},
	[ROW_TAG_CLOCK] = {8, 8},
	[ROW_TAG_SCHEMA] = {32, 32},
	[ROW_TAG_FRONTIER] = {0, ROW_FRONTIER_BYTES},
	[ROW_TAG_CLAIM] = {0, ROW_FRONTIER_BYTES},
	[ROW_TAG_FLOOR] = {0, ROW_FRONTIER_BYTES},
	[ROW_TAG_TOTAL] = {8, 8},
	[ROW_TAG_INCARNATION] = {ROW_INCARNATION_BYTES, ROW_INCARNATION_BYTES},
	[ROW_TAG_SEQUENCE] = {4, 4},
	[ROW_TAG_KEY] = {1, ROW_KEY_MAX},
	[ROW_TAG_RANGE] = {2 * 2, BOUNDS_MOST},
	[ROW_TAG_SUM] = {2 * 2 + 8 + 16, BOUNDS_MOST + 8 + 16},
	[ROW_TAG_ENTRY] = {ENTRY_LEAST, ENTRY_MOST},
	[ROW_TAG_FRAGMENT] = {1, ROW_FRAME_MAX},
	[ROW_TAG_ROW] = {ENTRY_LEAST + AFTER_ENTRY, ROW_FRAME_MAX},
	[ROW_TAG_LAST] = {0, 0},
	[ROW_TAG_BUSY] = {0, 0},
	[ROW_TAG_PACKS] = {0, 0},
	[ROW_TAG_PACKED] = {4 + 1, ROW_FRAME_MAX},
	[ROW_TAG_COLUMN] = {COLUMN_HEAD + 2, COLUMN_HEAD + ROW_COLUMN_NAME + ROW_COLUMN_TYPE},
};

_Static_assert(ROW_TAGS <= 32, "present has a bit for each tag");
_Static_assert(ROW_KEY_MAX <= UINT16_MAX && ROW_CONTENT_MAX <= UINT32_MAX, "lengths as they travel");
_Static_assert(ROW_OPEN_MAX <= UINT16_MAX, "a count as it travels");
_Static_assert(ROW_HASH == ROW_INCARNATION_ID, "a tie is an id or a hash");
_Static_assert(ROW_FRAME_MAX == WIRE_ROWS_FRAME_MAX && (int) ROW_WIRE_HAVE == WIRE_ROWS, "a node lets frames of rows pass");
_Static_assert(WIRE_HEAD + 2 * (WIRE_ITEM_HEAD + ROW_FRONTIER_BYTES) + ENTRY_MOST + AFTER_ENTRY < ROW_FRAME_MAX,
			   "a claim and a floor leave room for a row");

/* What is being decoded. */
typedef struct Decoder
{
	RowMessage *m;
	bool		partial;		/* the last row is not whole */
} Decoder;

static DecodeStatus take_value(Decoder *self, const WireItem *item);
static DecodeStatus check_message(const Decoder *self, const RowShape *shape);
static DecodeStatus check_frontier(const uint8_t *bytes, size_t len);
static DecodeStatus take_claim(ByteReader *r, RowWireClaim *out);
static DecodeStatus take_range(ByteReader *r, RowRange *out);
static DecodeStatus take_sum(ByteReader *r, RowSum *out);
static DecodeStatus take_row(ByteReader *r, bool entry, RowWireRow *out);
static DecodeStatus take_column(ByteReader *r, RowColumn *out);

const RowShape *
row_shape_of(int type, bool response)
{
	if (type < TYPE_FIRST || type >= TYPE_FIRST + TYPES || !shapes[type - TYPE_FIRST][response].exists)
		return NULL;
	return &shapes[type - TYPE_FIRST][response];
}

/* ---- reading ---- */

static DecodeStatus
decode_item(Decoder *self, const RowShape *shape, const WireItem *item)
{
	RowMessage *m = self->m;
	int			tag = item->tag & ~WIRE_CRITICAL;

	if (tag == 0 || tag >= ROW_TAGS)
		return item->tag & WIRE_CRITICAL ? DECODE_CRITICAL : DECODE_OK;
	/* one form only: a known tag where it belongs, without the bit */
	if (item->tag & WIRE_CRITICAL || !((shape->required | shape->optional) >> tag & 1))
		return DECODE_VALUE;
	if (item->repeated && (!(REPEATS >> tag & 1) || m->type == ROW_WIRE_WANT))
		return DECODE_ORDER;
	if (item->len < row_size[tag].least)
		return DECODE_TRUNCATED;
	if (item->len > row_size[tag].most)
		return DECODE_OVERLONG;
	m->present |= 1u << tag;
	if (REPEATS >> tag & 1)
	{
		/* items of one tag lie side by side */
		if (m->many[tag].len == 0)
			m->many[tag].at = item->value - WIRE_ITEM_HEAD;
		m->many[tag].len += WIRE_ITEM_HEAD + item->len;
	}
	return take_value(self, item);
}

DecodeStatus
row_wire_decode(const uint8_t *frame, size_t len, RowMessage *self)
{
	ByteReader	r = {frame, len, false};
	Decoder		decoder = {self, false};
	const RowShape *shape;
	WireHeader	header;
	DecodeStatus status;
	WireItems	items;
	WireItem	item;

	memset(self, 0, sizeof *self);
	if (len > ROW_FRAME_MAX)
		return DECODE_OVERLONG;
	status = wire_header_take(&r, &header);
	self->version = header.version;
	self->type = header.type;
	self->response = header.response;
	self->request = header.request;
	self->collection = header.collection;
	if (status != DECODE_OK)
		return status;
	shape = row_shape_of(self->type, self->response);
	if (shape == NULL)
		return DECODE_TYPE;
	if ((self->request != 0) != shape->numbered || bytes_all_zero(self->collection.b, KAD_ID_BYTES))
		return DECODE_VALUE;
	items = wire_items(r.at, r.left);
	while (wire_items_next(&items, &item))
		items.status = decode_item(&decoder, shape, &item);
	return items.status != DECODE_OK ? items.status : check_message(&decoder, shape);
}

/* An item that its type has, and of a length that it may have. */
static DecodeStatus
take_value(Decoder *self, const WireItem *item)
{
	RowMessage *m = self->m;
	RowBytes	value = {item->value, item->len};
	ByteReader	r = {item->value, item->len, false};
	uint64_t	number = item->len <= 8 ? bytes_load(item->value, (int) item->len) : 0;
	RowRange	range;
	RowSum		sum;
	RowWireRow	row;
	RowColumn	column;
	DecodeStatus status;

	switch (item->tag)
	{
		case ROW_TAG_CODE:
			m->code = (uint16_t) number;
			return DECODE_OK;
		case ROW_TAG_TEXT:
			m->text = value;
			return wire_text_good(value.at, value.len) ? DECODE_OK : DECODE_TEXT;
		case ROW_TAG_MODE:
			m->mode = (uint8_t) number;
			return number >= ROW_MODE_CHANGES && number <= ROW_MODE_COMPARE ? DECODE_OK : DECODE_VALUE;
		case ROW_TAG_CREDIT:
			m->credit = (uint32_t) number;
			return DECODE_OK;
		case ROW_TAG_MEMBERS:
			memcpy(m->members, value.at, sizeof m->members);
			return DECODE_OK;
		case ROW_TAG_CLOCK:
			m->clock = number;
			return number <= ROW_CLOCK_MAX ? DECODE_OK : DECODE_VALUE;
		case ROW_TAG_SCHEMA:
			memcpy(m->schema, value.at, sizeof m->schema);
			return DECODE_OK;
		case ROW_TAG_FRONTIER:
			m->frontier = value;
			return check_frontier(value.at, value.len);
		case ROW_TAG_CLAIM:
			m->claim = value;
			return check_frontier(value.at, value.len);
		case ROW_TAG_FLOOR:
			m->floor = value;
			return check_frontier(value.at, value.len);
		case ROW_TAG_TOTAL:
			m->total = number;
			return DECODE_OK;
		case ROW_TAG_INCARNATION:
			if (m->many[ROW_TAG_INCARNATION].len > ROW_INTRODUCTIONS * (WIRE_ITEM_HEAD + ROW_INCARNATION_BYTES))
				return DECODE_TOO_MANY;
			return DECODE_OK;
		case ROW_TAG_SEQUENCE:
			m->sequence = (uint32_t) number;
			return DECODE_OK;
		case ROW_TAG_RANGE:
			return take_range(&r, &range);
		case ROW_TAG_SUM:
			return take_sum(&r, &sum);
		case ROW_TAG_ENTRY:
			return take_row(&r, true, &row);
		case ROW_TAG_FRAGMENT:
			m->fragment = value;
			return DECODE_OK;
		case ROW_TAG_ROW:
			if (self->partial)
				return DECODE_VALUE;	/* only the last row may go on in the next DATA */
			status = take_row(&r, false, &row);
			self->partial = status == DECODE_OK && row.content.len < row.content_len;
			return status;
		case ROW_TAG_LAST:
			return self->partial ? DECODE_VALUE : DECODE_OK;
		case ROW_TAG_COLUMN:
			return take_column(&r, &column);
		case ROW_TAG_PACKED:
			m->whole = (uint32_t) bytes_take_uint(&r, 4);
			m->packed = (RowBytes) {r.at, r.left};
			return m->whole > m->packed.len && m->whole <= ROW_FRAME_MAX ? DECODE_OK : DECODE_VALUE;
		default:
			CORE_ASSERT(item->tag == ROW_TAG_KEY || item->tag == ROW_TAG_BUSY || item->tag == ROW_TAG_PACKS);
			return DECODE_OK;
	}
}

/* What items say of each other. */
static DecodeStatus
check_message(const Decoder *self, const RowShape *shape)
{
	const RowMessage *m = self->m;

	if ((m->present & shape->required) != shape->required)
		return DECODE_MISSING;
	/* where a claim may be, as in a DATA that begins a batch, it comes with its floor */
	if ((shape->optional & HAS(CLAIM)) != 0 &&
		row_message_has(m, ROW_TAG_CLAIM) != row_message_has(m, ROW_TAG_FLOOR))
		return DECODE_MISSING;
	if (m->type == ROW_WIRE_DATA && row_message_has(m, ROW_TAG_CLAIM) && m->sequence != 0)
		return DECODE_VALUE;
	if (row_message_has(m, ROW_TAG_TOTAL) && !row_message_has(m, ROW_TAG_CLAIM))
		return DECODE_VALUE;
	if (row_message_has(m, ROW_TAG_FRAGMENT) && m->sequence == 0)
		return DECODE_VALUE;
	if (m->type == ROW_WIRE_WANT && row_message_has(m, ROW_TAG_KEY) && m->mode != ROW_MODE_COPY)
		return DECODE_VALUE;
	return DECODE_OK;
}

static DecodeStatus
check_frontier(const uint8_t *bytes, size_t len)
{
	ByteReader	r = {bytes, len, false};
	RowIncarnationId last = {{0}};	/* less than any id */
	RowWireClaim claim;

	while (r.left > 0)
	{
		DecodeStatus status = take_claim(&r, &claim);

		if (status != DECODE_OK)
			return status;
		if (row_incarnation_compare(&last, &claim.id) >= 0)
			return DECODE_ORDER;
		last = claim.id;
	}
	return DECODE_OK;
}

/* In its normal form: open tickets ascend, the top is not open. */
static DecodeStatus
take_claim(ByteReader *r, RowWireClaim *out)
{
	bytes_take_copy(r, out->id.bytes, ROW_INCARNATION_ID);
	out->top = bytes_take_uint(r, 8);
	out->n_open = (uint32_t) bytes_take_uint(r, 2);
	if (out->n_open > ROW_OPEN_MAX)
		return DECODE_TOO_MANY;
	for (uint32_t i = 0; i < out->n_open; i++)
		out->open[i] = bytes_take_uint(r, 8);
	if (r->failed)
		return DECODE_TRUNCATED;
	if (out->top == 0)
		return DECODE_VALUE;
	for (uint32_t i = 0; i < out->n_open; i++)
	{
		if (out->open[i] == 0 || out->open[i] >= out->top)
			return DECODE_VALUE;
		if (i > 0 && out->open[i] <= out->open[i - 1])
			return DECODE_ORDER;
	}
	return DECODE_OK;
}

/* A length and so many bytes: a key, or a bound, which may be empty. */
static RowBytes
take_key(ByteReader *r)
{
	RowBytes	key = {.len = (size_t) bytes_take_uint(r, 2)};

	key.at = bytes_take(r, key.len);
	return key;
}

static DecodeStatus
take_bounds(ByteReader *r, RowRange *out)
{
	out->low = take_key(r);
	out->high = take_key(r);
	if (r->failed)
		return DECODE_TRUNCATED;
	if (out->low.len > ROW_KEY_MAX || out->high.len > ROW_KEY_MAX)
		return DECODE_VALUE;
	if (out->high.len > 0 && row_key_compare(out->low, out->high) >= 0)
		return DECODE_VALUE;
	return DECODE_OK;
}

static DecodeStatus
take_range(ByteReader *r, RowRange *out)
{
	DecodeStatus status = take_bounds(r, out);

	return status == DECODE_OK && r->left > 0 ? DECODE_OVERLONG : status;
}

static DecodeStatus
take_sum(ByteReader *r, RowSum *out)
{
	DecodeStatus status = take_bounds(r, &out->range);

	if (status != DECODE_OK)
		return status;
	out->count = bytes_take_uint(r, 8);
	bytes_take_copy(r, out->sum, sizeof out->sum);
	return r->failed ? DECODE_TRUNCATED : r->left > 0 ? DECODE_OVERLONG : DECODE_OK;
}

static RowWireStamp
take_stamp(ByteReader *r)
{
	RowWireStamp stamp;

	bytes_take_copy(r, stamp.id.bytes, ROW_INCARNATION_ID);
	stamp.ticket = bytes_take_uint(r, 8);
	return stamp;
}

/* Is it a stamp, or none where there may be none? */
static bool
stamp_good(const RowWireStamp *stamp, bool none)
{
	bool		nobody = bytes_all_zero(stamp->id.bytes, ROW_INCARNATION_ID);

	return nobody == (stamp->ticket == 0) && (none || !nobody);
}

/* An ENTRY, or a ROW: what comes after its content does not exist. */
static DecodeStatus
take_row(ByteReader *r, bool entry, RowWireRow *out)
{
	uint8_t		flags = (uint8_t) bytes_take_uint(r, 1);

	memset(out, 0, sizeof *out);
	out->live = (flags & FLAG_LIVE) != 0;
	out->thin = (flags & FLAG_THIN) != 0;
	out->version.clock = bytes_take_uint(r, 8);
	out->key = take_key(r);
	out->stamp = out->birth = out->vector_stamp = take_stamp(r);
	memcpy(out->version.tie, out->stamp.id.bytes, ROW_HASH);
	if (flags & FLAG_TIE)
		bytes_take_copy(r, out->version.tie, ROW_HASH);
	if (flags & FLAG_BIRTH)
		out->birth = take_stamp(r);
	if (flags & FLAG_VECTOR)
		out->vector_stamp = take_stamp(r);
	if (!entry)
	{
		bytes_take_copy(r, out->hash, ROW_HASH);
		bytes_take_copy(r, out->vector_hash, ROW_HASH);
		out->content_len = bytes_take_uint(r, 4);
	}
	if (r->failed)
		return DECODE_TRUNCATED;
	if (flags & ~(entry ? ENTRY_FLAGS : ROW_FLAGS))
		return DECODE_FLAGS;
	/* one form: what stands there is not what it would be by default */
	if (flags != row_flags(out) || (out->thin && !out->live) || out->version.clock > ROW_CLOCK_MAX - out->live ||
		out->key.len == 0 || out->key.len > ROW_KEY_MAX ||
		!stamp_good(&out->stamp, false) || !stamp_good(&out->birth, true) || !stamp_good(&out->vector_stamp, true))
		return DECODE_VALUE;
	if (out->content_len > ROW_CONTENT_MAX ||
		(!out->live && (out->content_len > 0 || !bytes_all_zero(out->hash, ROW_HASH) ||
						!bytes_all_zero(out->vector_hash, ROW_HASH))))
		return DECODE_VALUE;
	if (r->left > out->content_len)
		return DECODE_OVERLONG;
	out->content.len = r->left;
	out->content.at = bytes_take(r, r->left);
	return DECODE_OK;
}

/* Name and type stand in messages to people. */
static DecodeStatus
take_column(ByteReader *r, RowColumn *out)
{
	uint8_t		not_null = (uint8_t) bytes_take_uint(r, 1);

	*out = (RowColumn) {.not_null = not_null != 0, .key = (uint8_t) bytes_take_uint(r, 1)};
	out->name = take_key(r);
	out->type = take_key(r);
	if (r->failed)
		return DECODE_TRUNCATED;
	if (r->left > 0)
		return DECODE_OVERLONG;
	if (not_null > 1 || out->name.len == 0 || out->name.len > ROW_COLUMN_NAME || out->type.len == 0 || out->type.len > ROW_COLUMN_TYPE)
		return DECODE_VALUE;
	return wire_text_good(out->name.at, out->name.len) && wire_text_good(out->type.at, out->type.len) ? DECODE_OK : DECODE_TEXT;
}

/* ---- what a decoded message has several of ---- */

/* The value of the next item. */
static bool
next_value(RowBytes *at, ByteReader *value)
{
	size_t		len;

	if (at->len == 0)
		return false;
	CORE_ASSERT(at->len >= WIRE_ITEM_HEAD);
	len = (size_t) bytes_load(at->at + 2, 4);
	CORE_ASSERT(len <= at->len - WIRE_ITEM_HEAD);
	*value = (ByteReader) {at->at + WIRE_ITEM_HEAD, len, false};
	at->at += WIRE_ITEM_HEAD + len;
	at->len -= WIRE_ITEM_HEAD + len;
	return true;
}

bool
row_wire_next_claim(RowBytes *at, RowWireClaim *out)
{
	ByteReader	r = {at->at, at->len, false};
	DecodeStatus status;

	if (at->len == 0)
		return false;
	status = take_claim(&r, out);
	CORE_ASSERT(status == DECODE_OK);
	*at = (RowBytes) {r.at, r.left};
	return true;
}

bool
row_wire_next_key(RowBytes *at, RowBytes *out)
{
	ByteReader	value;

	if (!next_value(at, &value))
		return false;
	*out = (RowBytes) {value.at, value.left};
	return true;
}

bool
row_wire_next_column(RowBytes *at, RowColumn *out)
{
	ByteReader	value;
	DecodeStatus status;

	if (!next_value(at, &value))
		return false;
	status = take_column(&value, out);
	CORE_ASSERT(status == DECODE_OK);
	return true;
}

bool
row_wire_next_range(RowBytes *at, RowRange *out)
{
	ByteReader	value;
	DecodeStatus status;

	if (!next_value(at, &value))
		return false;
	status = take_range(&value, out);
	CORE_ASSERT(status == DECODE_OK);
	return true;
}

bool
row_wire_next_sum(RowBytes *at, RowSum *out)
{
	ByteReader	value;
	DecodeStatus status;

	if (!next_value(at, &value))
		return false;
	status = take_sum(&value, out);
	CORE_ASSERT(status == DECODE_OK);
	return true;
}

static bool
next_row(RowBytes *at, bool entry, RowWireRow *out)
{
	ByteReader	value;
	DecodeStatus status;

	if (!next_value(at, &value))
		return false;
	status = take_row(&value, entry, out);
	CORE_ASSERT(status == DECODE_OK);
	return true;
}

bool
row_wire_next_entry(RowBytes *at, RowWireRow *out)
{
	return next_row(at, true, out);
}

bool
row_wire_next_row(RowBytes *at, RowWireRow *out)
{
	return next_row(at, false, out);
}

bool
row_wire_next_incarnation(RowBytes *at, RowIncarnation *out)
{
	ByteReader	value;

	if (!next_value(at, &value))
		return false;
	CORE_ASSERT(value.left == ROW_INCARNATION_BYTES);
	row_incarnation_decode(value.at, out);
	return true;
}
