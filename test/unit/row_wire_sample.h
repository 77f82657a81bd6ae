/*
 * row_wire_sample.h
 *	  Messages with rows for tests of row_wire.h: at random, and made by hand.
 */
#ifndef TEST_ROW_WIRE_SAMPLE_H
#define TEST_ROW_WIRE_SAMPLE_H

#include "core/rows/clock.h"
#include "core/rows/row_wire.h"

#include "host_fixture.h"
#include "row_wire_fixture.h"
#include "tap.h"

#define HAS(tag) (1u << ROW_TAG_##tag)
#define PEOPLE 24				/* incarnations of the samples */
#define SOME 6					/* of what may repeat */
#define SHAPES 11
#define ROOM 65536

static const struct
{
	const char *name;
	RowWireType type;
	bool		response;
	bool		numbered;
	uint32_t	required;
	uint32_t	optional;
}			shapes[SHAPES] = {
	{"have", ROW_WIRE_HAVE, false, false, HAS(MEMBERS) | HAS(CLOCK) | HAS(SCHEMA) | HAS(FRONTIER) | HAS(FLOOR), HAS(BUSY) | HAS(COLUMN)},
	{"want", ROW_WIRE_WANT, false, true,
	HAS(MODE) | HAS(CREDIT) | HAS(MEMBERS) | HAS(CLOCK) | HAS(SCHEMA) | HAS(FRONTIER) | HAS(FLOOR), HAS(KEY) | HAS(PACKS)},
	{"data", ROW_WIRE_DATA, true, true, HAS(SEQUENCE), HAS(CLAIM) | HAS(FLOOR) | HAS(TOTAL) | HAS(FRAGMENT) | HAS(ROW) | HAS(LAST)},
	{"ack", ROW_WIRE_ACK, false, true, HAS(CREDIT), 0},
	{"stop", ROW_WIRE_STOP, false, true, HAS(CODE), HAS(TEXT)},
	{"stopped", ROW_WIRE_STOP, true, true, HAS(CODE), HAS(TEXT)},
	{"ranges", ROW_WIRE_RANGES, false, true, HAS(RANGE), 0},
	{"compared", ROW_WIRE_RANGES, true, true, 0, HAS(CLOCK) | HAS(CLAIM) | HAS(FLOOR) | HAS(SUM) | HAS(ENTRY)},
	{"fetch", ROW_WIRE_FETCH, false, true, HAS(KEY), 0},
	{"introduce", ROW_WIRE_INTRODUCE, false, false, HAS(INCARNATION), 0},
	{"packed", ROW_WIRE_PACKED, true, true, HAS(PACKED), 0},
};

/* A message as its writer has it. */
typedef struct Sample
{
	int			shape;
	uint64_t	request;
	KadId		collection;
	uint32_t	has;
	uint16_t	code;
	char		text[WIRE_TEXT_MAX];
	size_t		text_len;
	uint8_t		mode;
	uint32_t	credit;
	uint8_t		members[16];
	uint64_t	clock;
	uint8_t		schema[32];
	RowFrontier frontier[3];	/* FRONTIER, CLAIM, FLOOR */
	uint64_t	total;
	uint32_t	sequence;
	RowBytes	fragment;
	uint32_t	whole;
	RowBytes	packed;
	int			n;				/* of each of these that is there */
	RowIncarnation incarnation[SOME];
	RowBytes	key[SOME];
	RowRange	range[SOME];
	RowSum		sum[SOME];
	RowWireRow	entry[SOME];
	RowWireRow	row[SOME];
	RowColumn	column[SOME];
} Sample;

static HostMemory memory_state = {.until_failure = -1};
static CoreMemory memory = HOST_MEMORY(&memory_state);
static uint64_t random_state;
static CoreRandom source = HOST_RANDOM(&random_state);
static CoreCrypto crypto;
static RowDictionary people;
static uint8_t words[4096];		/* keys and contents are pieces of it */
static uint8_t frame[ROW_FRAME_MAX + 1];
static uint8_t changed[ROW_FRAME_MAX + 1];
static uint8_t again[ROW_FRAME_MAX];

static inline uint64_t
below(uint64_t n)
{
	return core_random_below(&source, n);
}

static inline uint64_t
any(void)
{
	uint64_t	x;

	host_fill(&random_state, &x, sizeof x);
	return x >> below(64);
}

static inline RowBytes
piece(size_t least, size_t most)
{
	size_t		len = least + below(most - least + 1);

	return (RowBytes) {words + below(sizeof words - len + 1), len};
}

static inline RowBytes
some_key(void)
{
	return piece(1, below(40) == 0 ? ROW_KEY_MAX : 12);
}

static inline RowIncarnation
some_incarnation(void)
{
	RowIncarnation incarnation;

	host_fill(&random_state, &incarnation, sizeof incarnation);
	memset(&incarnation.id, 0, sizeof incarnation.id);
	return incarnation;
}

static inline void
some_frontier(RowFrontier *out)
{
	row_frontier_init(out, &memory);
	for (uint64_t n = below(PEOPLE); n > 0; n--)
	{
		uint64_t	top = below(20) == 0 ? UINT64_MAX : 1 + any() % 10000;
		uint64_t	open[SOME];
		uint32_t	n_open = 0;

		for (uint64_t at = below(3) == 0 ? 0 : top; n_open < SOME && at < top; at += 1 + below(100))
			if (at > 0 && below(2) == 0)
				open[n_open++] = at;
		row_frontier_claim(out, (uint32_t) below(PEOPLE) + 1, top, open, n_open);
	}
}

static inline RowWireStamp
some_stamp(void)
{
	return (RowWireStamp) {row_dictionary_get(&people, (uint32_t) below(PEOPLE) + 1)->id, 1 + any() / 2};
}

static inline RowWireRow
some_row(bool entry)
{
	RowWireRow	row;

	memset(&row, 0, sizeof row);
	row.key = some_key();
	row.live = below(3) > 0;
	row.stamp = row.birth = row.vector_stamp = some_stamp();
	row.version.clock = below(5) == 0 ? 0 : any() & ROW_CLOCK_MAX;
	if (below(2) == 0)
		host_fill(&random_state, row.version.tie, ROW_HASH);
	else
		memcpy(row.version.tie, row.stamp.id.bytes, ROW_HASH);
	if (below(2) == 0)
		row.birth = below(3) == 0 ? (RowWireStamp) {.ticket = 0} : some_stamp();
	if (below(2) == 0)
		row.vector_stamp = below(3) == 0 ? (RowWireStamp) {.ticket = 0} : some_stamp();
	if (!entry && row.live)
	{
		row.thin = below(2) == 0;
		host_fill(&random_state, row.hash, ROW_HASH);
		host_fill(&random_state, row.vector_hash, ROW_HASH);
		row.content = piece(0, 60);
		row.content_len = row.content.len;
	}
	return row;
}

static inline RowBytes
some_word(size_t most)
{
	static const uint8_t letters[512] = {[0 ... 511] = 'x'};

	return (RowBytes) {letters, below(8) == 0 ? most : 1 + below(20)};
}

static inline RowColumn
some_column(void)
{
	return (RowColumn) {some_word(ROW_COLUMN_NAME), some_word(ROW_COLUMN_TYPE), below(2) == 0, (uint8_t) any()};
}

static inline RowRange
some_range(void)
{
	RowRange	range = {below(3) == 0 ? (RowBytes) {words, 0} : some_key(), below(3) == 0 ? (RowBytes) {words, 0} : some_key()};

	if (range.high.len > 0 && row_key_compare(range.low, range.high) > 0)
		range = (RowRange) {range.high, range.low};
	if (range.high.len > 0 && row_key_compare(range.low, range.high) == 0)
		range.high.len = 0;
	return range;
}

/* Which of the items that it may have. */
static inline uint32_t
some_items(Sample *s)
{
	uint32_t	has = shapes[s->shape].required;

	for (int tag = 1; tag < ROW_TAGS; tag++)
		if (shapes[s->shape].optional >> tag & 1 && below(3) > 0)
			has |= 1u << tag;
	if ((shapes[s->shape].optional & HAS(FLOOR)) != 0 && (has & HAS(CLAIM)) == 0)
		has &= ~(HAS(FLOOR) | HAS(TOTAL));
	else if (has & HAS(CLAIM))
	{
		has |= HAS(FLOOR);
		s->sequence = shapes[s->shape].type == ROW_WIRE_DATA ? 0 : s->sequence;
	}
	if (s->sequence == 0)
		has &= ~HAS(FRAGMENT);
	if (shapes[s->shape].type == ROW_WIRE_WANT)
		has = s->mode == ROW_MODE_COPY ? has : has & ~HAS(KEY);
	return has;
}

static inline void
sample_begin(Sample *s, int shape)
{
	bool		once = shapes[shape].type == ROW_WIRE_WANT;	/* a KEY */

	memset(s, 0, sizeof *s);
	s->shape = shape;
	s->request = shapes[shape].numbered ? 1 + any() / 2 : 0;
	host_fill(&random_state, s->collection.b, KAD_ID_BYTES);
	s->code = (uint16_t) any();
	s->text_len = 1 + below(WIRE_TEXT_MAX);
	for (size_t i = 0; i < s->text_len; i++)
		s->text[i] = (char) (' ' + below(95));
	s->mode = (uint8_t) (1 + below(3));
	s->credit = (uint32_t) any();
	host_fill(&random_state, s->members, sizeof s->members);
	s->clock = any() & ROW_CLOCK_MAX;
	host_fill(&random_state, s->schema, sizeof s->schema);
	for (int i = 0; i < 3; i++)
		some_frontier(&s->frontier[i]);
	s->total = any();
	s->sequence = (uint32_t) any();
	s->fragment = piece(1, 300);
	s->packed = piece(1, 300);
	s->whole = (uint32_t) s->packed.len + 1 + (uint32_t) below(ROW_FRAME_MAX - 300);
	s->n = once ? 1 : 1 + (int) below(SOME);
	for (int i = 0; i < s->n; i++)
	{
		s->incarnation[i] = some_incarnation();
		s->key[i] = some_key();
		s->range[i] = some_range();
		s->sum[i] = (RowSum) {.range = some_range(), .count = any()};
		host_fill(&random_state, s->sum[i].sum, sizeof s->sum[i].sum);
		s->entry[i] = some_row(true);
		s->row[i] = some_row(false);
		s->column[i] = some_column();
	}
	s->has = some_items(s);
	if (!(s->has & HAS(LAST)) && s->row[s->n - 1].live && below(2) == 0)
		s->row[s->n - 1].content_len += 1 + below(ROW_CONTENT_MAX - 100);
}

static inline void
sample_end(Sample *s)
{
	for (int i = 0; i < 3; i++)
		row_frontier_reset(&s->frontier[i]);
}

/* One item of it, or all of a tag that repeats. */
static inline bool
sample_put(const Sample *s, RowWriter *w, RowWireTag tag)
{
	bool		done = true;
	size_t		written;

	switch (tag)
	{
		case ROW_TAG_CODE:
			return row_wire_put_uint(w, tag, s->code);
		case ROW_TAG_TEXT:
			return row_wire_put_bytes(w, tag, s->text, s->text_len);
		case ROW_TAG_MODE:
			return row_wire_put_uint(w, tag, s->mode);
		case ROW_TAG_CREDIT:
			return row_wire_put_uint(w, tag, s->credit);
		case ROW_TAG_MEMBERS:
			return row_wire_put_bytes(w, tag, s->members, sizeof s->members);
		case ROW_TAG_CLOCK:
			return row_wire_put_uint(w, tag, s->clock);
		case ROW_TAG_SCHEMA:
			return row_wire_put_bytes(w, tag, s->schema, sizeof s->schema);
		case ROW_TAG_FRONTIER:
		case ROW_TAG_CLAIM:
		case ROW_TAG_FLOOR:
			return row_wire_put_frontier(w, tag, &s->frontier[tag - ROW_TAG_FRONTIER], &people);
		case ROW_TAG_TOTAL:
			return row_wire_put_uint(w, tag, s->total);
		case ROW_TAG_SEQUENCE:
			return row_wire_put_uint(w, tag, s->sequence);
		case ROW_TAG_FRAGMENT:
			return row_wire_put_bytes(w, tag, s->fragment.at, s->fragment.len);
		case ROW_TAG_LAST:
		case ROW_TAG_BUSY:
		case ROW_TAG_PACKS:
			return row_wire_put_bytes(w, tag, NULL, 0);
		case ROW_TAG_PACKED:
			if (w->bytes.left >= WIRE_ITEM_HEAD + 4 + s->packed.len)
				memcpy(w->bytes.at + WIRE_ITEM_HEAD + 4, s->packed.at, s->packed.len);
			return row_wire_put_packed(w, s->whole, s->packed.len);
		default:
			for (int i = 0; i < s->n && done; i++)
				done = tag == ROW_TAG_KEY ? row_wire_put_bytes(w, tag, s->key[i].at, s->key[i].len) :
					tag == ROW_TAG_RANGE ? row_wire_put_range(w, &s->range[i]) :
					tag == ROW_TAG_SUM ? row_wire_put_sum(w, &s->sum[i]) :
					tag == ROW_TAG_ENTRY ? row_wire_put_entry(w, &s->entry[i]) :
					tag == ROW_TAG_INCARNATION ? row_wire_put_incarnation(w, &s->incarnation[i]) :
					tag == ROW_TAG_COLUMN ? row_wire_put_column(w, &s->column[i]) :
					row_wire_put_row(w, &s->row[i], &written) && written == s->row[i].content.len;
			return done;
	}
}

static inline void
writer_begin(const Sample *s, RowWriter *w, uint8_t *out, size_t room)
{
	row_wire_begin(w, out, room, shapes[s->shape].type, shapes[s->shape].response, s->request, &s->collection);
}

static inline size_t
sample_write(const Sample *s, uint8_t *out, size_t room)
{
	RowWriter	w;
	bool		done = true;

	writer_begin(s, &w, out, room);
	for (int tag = 1; tag < ROW_TAGS && done; tag++)
		if (s->has >> tag & 1)
			done = sample_put(s, &w, (RowWireTag) tag);
	return done ? row_wire_end(&w) : 0;
}

/* ---- is what was read what was written? ---- */

static inline bool
same_bytes(RowBytes a, RowBytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool
same_stamp(const RowWireStamp *a, const RowWireStamp *b)
{
	return row_incarnation_compare(&a->id, &b->id) == 0 && a->ticket == b->ticket;
}

static inline bool
same_row(const RowWireRow *a, const RowWireRow *b)
{
	return same_bytes(a->key, b->key) && row_version_compare(&a->version, &b->version) == 0 &&
		same_stamp(&a->stamp, &b->stamp) && same_stamp(&a->birth, &b->birth) &&
		same_stamp(&a->vector_stamp, &b->vector_stamp) && a->live == b->live && a->thin == b->thin &&
		memcmp(a->hash, b->hash, ROW_HASH) == 0 && memcmp(a->vector_hash, b->vector_hash, ROW_HASH) == 0 &&
		a->content_len == b->content_len && same_bytes(a->content, b->content);
}

static inline bool
same_range(const RowRange *a, const RowRange *b)
{
	return same_bytes(a->low, b->low) && same_bytes(a->high, b->high);
}

static inline bool
same_frontier(const RowFrontier *a, RowBytes bytes)
{
	RowFrontier b;
	bool		same;

	row_frontier_init(&b, &memory);
	same = frontier_read(bytes, &people, &b) && row_frontier_equal(a, &b);
	row_frontier_reset(&b);
	return same;
}

/* All of a tag that repeats. */
static inline bool
same_list(const Sample *s, RowWireTag tag, RowBytes at)
{
	RowBytes	key;
	RowRange	range;
	RowSum		sum;
	RowWireRow	row;
	RowIncarnation incarnation;
	RowColumn	column;
	bool		same = true;

	for (int i = 0; i < s->n && same; i++)
		switch (tag)
		{
			case ROW_TAG_KEY:
				same = row_wire_next_key(&at, &key) && same_bytes(key, s->key[i]);
				break;
			case ROW_TAG_RANGE:
				same = row_wire_next_range(&at, &range) && same_range(&range, &s->range[i]);
				break;
			case ROW_TAG_SUM:
				same = row_wire_next_sum(&at, &sum) && same_range(&sum.range, &s->sum[i].range) &&
					sum.count == s->sum[i].count && memcmp(sum.sum, s->sum[i].sum, sizeof sum.sum) == 0;
				break;
			case ROW_TAG_ENTRY:
				same = row_wire_next_entry(&at, &row) && same_row(&row, &s->entry[i]);
				break;
			case ROW_TAG_INCARNATION:
				same = row_wire_next_incarnation(&at, &incarnation) &&
					memcmp(&incarnation, &s->incarnation[i], sizeof incarnation) == 0;
				break;
			case ROW_TAG_COLUMN:
				same = row_wire_next_column(&at, &column) && same_bytes(column.name, s->column[i].name) &&
					same_bytes(column.type, s->column[i].type) && column.not_null == s->column[i].not_null &&
					column.key == s->column[i].key;
				break;
			default:
				same = row_wire_next_row(&at, &row) && same_row(&row, &s->row[i]);
		}
	return same && at.len == 0;
}

static inline bool
same(const Sample *s, const RowMessage *m)
{
	bool		good = m->version == 1 && m->type == shapes[s->shape].type && m->response == shapes[s->shape].response &&
		m->request == s->request && kad_id_equal(&m->collection, &s->collection) && m->present == s->has;

	for (int tag = 1; tag < ROW_TAGS && good; tag++)
	{
		if (!(s->has >> tag & 1))
			good = m->many[tag].len == 0;
		else if ((HAS(INCARNATION) | HAS(KEY) | HAS(RANGE) | HAS(SUM) | HAS(ENTRY) | HAS(ROW) | HAS(COLUMN)) >> tag & 1)
			good = same_list(s, (RowWireTag) tag, m->many[tag]);
	}
	return good && (!(s->has & HAS(CODE)) || m->code == s->code) &&
		(!(s->has & HAS(TEXT)) || same_bytes(m->text, (RowBytes) {(const uint8_t *) s->text, s->text_len})) &&
		(!(s->has & HAS(MODE)) || m->mode == s->mode) && (!(s->has & HAS(CREDIT)) || m->credit == s->credit) &&
		(!(s->has & HAS(MEMBERS)) || memcmp(m->members, s->members, sizeof m->members) == 0) &&
		(!(s->has & HAS(CLOCK)) || m->clock == s->clock) &&
		(!(s->has & HAS(SCHEMA)) || memcmp(m->schema, s->schema, sizeof m->schema) == 0) &&
		(!(s->has & HAS(FRONTIER)) || same_frontier(&s->frontier[0], m->frontier)) &&
		(!(s->has & HAS(CLAIM)) || same_frontier(&s->frontier[1], m->claim)) &&
		(!(s->has & HAS(FLOOR)) || same_frontier(&s->frontier[2], m->floor)) &&
		(!(s->has & HAS(TOTAL)) || m->total == s->total) &&
		(!(s->has & HAS(SEQUENCE)) || m->sequence == s->sequence) &&
		(!(s->has & HAS(FRAGMENT)) || same_bytes(m->fragment, s->fragment)) &&
		(!(s->has & HAS(PACKED)) || (m->whole == s->whole && same_bytes(m->packed, s->packed)));
}

/* ---- decoding, in a block without a byte to spare ---- */

/* canonical: it was refused, or is, written again, the same bytes but for unknown items. */
static inline DecodeStatus
decode(const uint8_t *bytes, size_t len, bool *canonical)
{
	uint8_t    *copy = malloc(len > 0 ? len : 1);
	RowMessage	m;
	DecodeStatus status;

	if (copy == NULL)
		exit(2);
	memcpy(copy, bytes, len);
	status = row_wire_decode(copy, len, &m);
	if (canonical != NULL && status == DECODE_OK)
	{
		size_t		n = message_again(&m, &memory, again, sizeof again);
		uint8_t    *known = malloc(len);

		if (known == NULL)
			exit(2);
		*canonical = frame_known(copy, len, known) == n && memcmp(known, again, n) == 0;
		free(known);
	}
	else if (canonical != NULL)
		*canonical = true;
	free(copy);
	return status;
}

static inline DecodeStatus
status_of(const uint8_t *bytes, size_t len)
{
	return decode(bytes, len, NULL);
}

/* ---- messages made by hand ---- */

static ByteWriter hand;

static inline void
hand_begin(RowWireType type, bool response, uint64_t request)
{
	WireHeader	header = {1, (uint8_t) type, response, request, {{7}}};

	hand = (ByteWriter) {frame, sizeof frame, false};
	wire_header_put(&hand, &header);
}

static inline DecodeStatus
hand_end(void)
{
	size_t		len = sizeof frame - hand.left;
	bool		canonical;
	DecodeStatus status;

	wire_header_end(frame, len);
	status = decode(frame, len, &canonical);
	if (!canonical)
		ok(false, "what is taken has one form");
	return status;
}

/* A row in its longest form, of which the bytes are then changed. */
static inline RowWireRow
long_row(void)
{
	RowWireRow	row = some_row(false);

	row.live = true;
	row.thin = false;
	row.key = (RowBytes) {words, 4};
	row.version.clock = 77;
	row.stamp = (RowWireStamp) {people.entry[0].id, 1};
	memset(row.version.tie, 3, ROW_HASH);
	row.birth = (RowWireStamp) {people.entry[1].id, 2};
	row.vector_stamp = (RowWireStamp) {people.entry[2].id, 3};
	row.content = (RowBytes) {words, 20};
	row.content_len = 20;
	return row;
}

enum
{
	AT_CLOCK = 1,
	AT_KEY = AT_CLOCK + 8,
	AT_STAMP = AT_KEY + 2 + 4,
	AT_TIE = AT_STAMP + 24,
	AT_BIRTH = AT_TIE + 16,
	AT_VECTOR = AT_BIRTH + 24,
	AT_HASH = AT_VECTOR + 24,
	AT_LENGTH = AT_HASH + 32,
	AT_CONTENT = AT_LENGTH + 4
};

/* Seed from TEST_SEED, or 1; printed so that a failure can be repeated. */
static inline void
fixture_begin(void)
{
	const char *given = getenv("TEST_SEED");
	KadId		collection = {{1}};

	random_state = given ? strtoull(given, NULL, 0) : 1;
	diag("seed %llu (TEST_SEED sets another)", (unsigned long long) random_state);
	crypto = host_crypto();
	host_fill(&random_state, words, sizeof words);
	row_dictionary_init(&people, &memory, &crypto, &collection);
	for (int i = 0; i < PEOPLE; i++)
	{
		RowIncarnation incarnation = some_incarnation();
		uint32_t	number;

		row_dictionary_add(&people, &incarnation, true, &number);
	}
}

/* The last test of each program. */
static inline int
fixture_end(void)
{
	row_dictionary_reset(&people);
	ok(memory_state.blocks == 0, "no memory is held any more (%zu blocks)", memory_state.blocks);
	return tap_done();
}

#endif							/* TEST_ROW_WIRE_SAMPLE_H */
