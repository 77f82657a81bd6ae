/*
 * row_wire_test.c
 *	  Messages that carry rows, as bytes: each type there and back, damage, the rules
 *	  between items, and writing where there is little room.
 *
 *	row_wire_test FOLDER	writes one of each type there, for row_wire_fuzz
 */
#include "row_wire_sample.h"

static void
test_round_trip(void)
{
	for (int shape = 0; shape < SHAPES; shape++)
	{
		int			misread = 0;
		int			other = 0;
		int			repeated = 0;
		uint32_t	has = 0;

		for (int i = 0; i < 500; i++)
		{
			Sample		s;
			RowMessage	m;
			size_t		len;

			sample_begin(&s, shape);
			len = sample_write(&s, frame, ROOM);
			if (len == 0 || row_wire_decode(frame, len, &m) != DECODE_OK || !same(&s, &m))
				misread++;
			else
				other += message_again(&m, &memory, again, sizeof again) != len || memcmp(frame, again, len) != 0;
			has |= s.has;
			repeated += s.n > 1;
			sample_end(&s);
		}
		ok(misread == 0, "%s: 500 at random are read as they were written (%d are not)", shapes[shape].name, misread);
		ok(other == 0, "%s: and written again the same bytes (%d are not)", shapes[shape].name, other);
		ok(has == (shapes[shape].required | shapes[shape].optional) && (repeated > 100 || shapes[shape].type == ROW_WIRE_WANT),
		   "%s: with each item that it may have", shapes[shape].name);
	}
}

static void
test_damage(void)
{
	for (int shape = 0; shape < SHAPES; shape++)
	{
		int			cut_taken = 0;
		int			shorter_other = 0;
		int			flip_other = 0;
		int			taken = 0;
		int			refused = 0;

		for (int i = 0; i < 4; i++)
		{
			Sample		s;
			size_t		len;
			bool		canonical;

			sample_begin(&s, shape);
			len = sample_write(&s, frame, ROOM);
			sample_end(&s);
			for (size_t cut = 0; cut < len; cut++)
			{
				memcpy(changed, frame, len);
				cut_taken += status_of(changed, cut) != DECODE_TRUNCATED;
				if (cut < WIRE_HEAD)
					continue;
				/* where the header agrees, the items are at fault, unless the cut is between two of them */
				bytes_store(changed + WIRE_HEAD - 4, 4, cut - WIRE_HEAD);
				decode(changed, cut, &canonical);
				shorter_other += !canonical;
			}
			frame[len] = 0;
			cut_taken += status_of(frame, len + 1) != DECODE_OVERLONG;
			for (size_t at = 0; at < len; at++)
				for (int flip = 0; flip < 9; flip++)
				{
					uint8_t		was = frame[at];

					frame[at] ^= (uint8_t) (flip < 8 ? 1 << flip : 1 + below(255));
					if (decode(frame, len, &canonical) == DECODE_OK)
						taken++;
					else
						refused++;
					flip_other += !canonical;
					frame[at] = was;
				}
		}
		ok(cut_taken == 0, "%s: cut anywhere, or a byte longer, none is taken (%d are)", shapes[shape].name, cut_taken);
		ok(shorter_other == 0, "%s: with fewer items it is refused, or has one form (%d have not)", shapes[shape].name,
		   shorter_other);
		ok(flip_other == 0 && taken > 100 && refused > 100,
		   "%s: with one byte changed it is refused (%d) or has one form (%d; %d have not)", shapes[shape].name, refused, taken,
		   flip_other);
	}
}

static void
test_header(void)
{
	Sample		s;
	size_t		len;
	RowMessage	m;

	sample_begin(&s, 1);
	len = sample_write(&s, frame, ROOM);
	sample_end(&s);
#define CHANGE(at, value) (memcpy(changed, frame, len), changed[at] = (value), status_of(changed, len))
	ok(CHANGE(0, 'V') == DECODE_MAGIC, "something else is refused");
	memcpy(changed, frame, len);
	changed[4] = 2;
	ok(row_wire_decode(changed, len, &m) == DECODE_VERSION && m.version == 2 && m.type == ROW_WIRE_WANT && m.request == s.request,
	   "a version that is not spoken is refused, and who asked can be told");
	ok(CHANGE(4, 0) == DECODE_VERSION, "version 0 is refused");
	ok(CHANGE(6, ROW_WIRE_HAVE - 1) == DECODE_TYPE && CHANGE(6, ROW_WIRE_PACKED + 1) == DECODE_TYPE &&
	   CHANGE(6, WIRE_HELLO) == DECODE_TYPE && CHANGE(6, 255) == DECODE_TYPE, "types without rows are refused");
	ok(CHANGE(7, 1) == DECODE_TYPE, "a response to what is answered otherwise is refused");
	ok(CHANGE(7, 2) == DECODE_FLAGS && CHANGE(7, 129) == DECODE_FLAGS, "reserved flags are refused");
	memcpy(changed, frame, len);
	memset(changed + 8, 0, 8);
	ok(status_of(changed, len) == DECODE_VALUE, "a request without a number is refused");
	memcpy(changed, frame, len);
	memset(changed + 16, 0, KAD_ID_BYTES);
	ok(status_of(changed, len) == DECODE_VALUE, "a message about no collection is refused");
	memset(changed, 0, sizeof changed);
	ok(status_of(changed, ROW_FRAME_MAX + 1) == DECODE_OVERLONG && status_of(changed, ROW_FRAME_MAX) == DECODE_MAGIC,
	   "a frame above the limit is refused unread");
	hand_begin(ROW_WIRE_DATA, false, 1);
	wire_put_item_uint(&hand, ROW_TAG_SEQUENCE, 4, 0);
	ok(hand_end() == DECODE_TYPE, "rows that are no response are refused");
	hand_begin(ROW_WIRE_INTRODUCE, false, 1);
	ok(hand_end() == DECODE_VALUE, "a number where nothing answers is refused");
}

/* Write all items of the sample but those of tag `without`, and of `with` those of another. */
static DecodeStatus
sample_changed(const Sample *s, int without, const Sample *other, int with)
{
	RowWriter	w;
	size_t		len;

	writer_begin(s, &w, frame, ROOM);
	for (int tag = 1; tag < ROW_TAGS; tag++)
		if (tag == with)
			sample_put(other, &w, (RowWireTag) tag);
		else if (s->has >> tag & 1 && tag != without)
			sample_put(s, &w, (RowWireTag) tag);
	len = w.room - w.bytes.left;
	wire_header_end(frame, len);
	return status_of(frame, len);
}

static void
test_items(void)
{
	int			kept = 0;
	int			misplaced = 0;
	int			twice = 0;
	int			critical = 0;
	int			unordered = 0;

	for (int shape = 0; shape < SHAPES; shape++)
	{
		Sample		s;
		bool		want = shapes[shape].type == ROW_WIRE_WANT;

		sample_begin(&s, shape);
		s.has &= shapes[shape].required;
		for (int tag = 1; tag < ROW_TAGS; tag++)
		{
			bool		may = shapes[shape].required >> tag & 1 || shapes[shape].optional >> tag & 1;
			bool		repeats = (HAS(INCARNATION) | HAS(KEY) | HAS(RANGE) | HAS(SUM) | HAS(ENTRY) | HAS(ROW) | HAS(COLUMN)) >> tag & 1;
			RowWriter	w;
			size_t		at;
			size_t		len;
			DecodeStatus status;

			if (shapes[shape].required >> tag & 1)
				kept += sample_changed(&s, tag, NULL, 0) != DECODE_MISSING;
			if (!may)
				misplaced += sample_changed(&s, 0, &s, tag) != DECODE_VALUE;
			/* one item alone, then the same once more, then as critical */
			s.n = 1;
			writer_begin(&s, &w, frame, ROOM);
			sample_put(&s, &w, (RowWireTag) tag);
			at = w.room - w.bytes.left;
			sample_put(&s, &w, (RowWireTag) tag);
			len = w.room - w.bytes.left;
			wire_header_end(frame, len);
			status = status_of(frame, len);
			if (may)
				twice += (status == DECODE_ORDER) != (!repeats || want);
			wire_header_end(frame, at);
			frame[WIRE_HEAD + 1] |= 0x80;
			critical += status_of(frame, at) != DECODE_VALUE;
			/* before it, an unknown one of a higher tag */
			hand_begin(shapes[shape].type, shapes[shape].response, s.request);
			wire_put_item(&hand, ROW_TAGS, NULL, 0);
			wire_put_item(&hand, tag, NULL, 0);
			unordered += hand_end() != DECODE_ORDER;
		}
		sample_end(&s);
	}
	ok(kept == 0, "each item that a type needs is needed (%d are not)", kept);
	ok(misplaced == 0, "an item where it does not belong is refused (%d are not)", misplaced);
	ok(twice == 0, "an item twice is refused, unless it may repeat (%d wrong)", twice);
	ok(critical == 0, "a known item as critical is refused (%d are not)", critical);
	ok(unordered == 0, "items out of order are refused (%d are not)", unordered);

	hand_begin(ROW_WIRE_ACK, false, 1);
	wire_put_item(&hand, 0, words, 3);
	wire_put_item_uint(&hand, ROW_TAG_CREDIT, 4, 1);
	wire_put_item(&hand, ROW_TAGS, words, 5);
	wire_put_item(&hand, 0x7FFF, words, 0);
	ok(hand_end() == DECODE_OK, "unknown items are skipped");
	wire_put_item(&hand, 0xFFFF, words, 0);
	ok(hand_end() == DECODE_CRITICAL, "unless they are critical");
}

/* ---- rules between items ---- */

static DecodeStatus
data_of(uint32_t sequence, uint32_t has, int n_rows, uint32_t content_len)
{
	static const uint8_t frontier[26] = {[15] = 1, [16] = 5};

	hand_begin(ROW_WIRE_DATA, true, 9);
	if (has & HAS(CLAIM))
		wire_put_item(&hand, ROW_TAG_CLAIM, frontier, sizeof frontier);
	if (has & HAS(FLOOR))
		wire_put_item(&hand, ROW_TAG_FLOOR, frontier, 0);
	wire_put_item_uint(&hand, ROW_TAG_SEQUENCE, 4, sequence);
	if (has & HAS(FRAGMENT))
		wire_put_item(&hand, ROW_TAG_FRAGMENT, words, 10);
	for (int i = 0; i < n_rows; i++)
	{
		uint8_t		value[1 + 8 + 2 + 1 + 24 + 32 + 4 + 1] = {[0] = 1, [9] = 1, [11] = 'k', [12] = 1, [28] = 1};

		bytes_store(value + 68, 4, content_len);
		wire_put_item(&hand, ROW_TAG_ROW, value, sizeof value);
	}
	if (has & HAS(LAST))
		wire_put_item(&hand, ROW_TAG_LAST, NULL, 0);
	return hand_end();
}

static DecodeStatus
want_of(int mode, int n_keys)
{
	hand_begin(ROW_WIRE_WANT, false, 9);
	wire_put_item_uint(&hand, ROW_TAG_MODE, 1, (uint64_t) mode);
	wire_put_item_uint(&hand, ROW_TAG_CREDIT, 4, 1);
	wire_put_item(&hand, ROW_TAG_MEMBERS, words, 16);
	wire_put_item_uint(&hand, ROW_TAG_CLOCK, 8, 1);
	wire_put_item(&hand, ROW_TAG_SCHEMA, words, 32);
	wire_put_item(&hand, ROW_TAG_FRONTIER, words, 0);
	wire_put_item(&hand, ROW_TAG_FLOOR, words, 0);
	for (int i = 0; i < n_keys; i++)
		wire_put_item(&hand, ROW_TAG_KEY, words + i, 1);
	return hand_end();
}

static void
test_rules(void)
{
	ok(data_of(0, HAS(CLAIM) | HAS(FLOOR), 2, 1) == DECODE_OK, "a batch begins with its claim and floor");
	ok(data_of(0, HAS(CLAIM), 1, 1) == DECODE_MISSING, "not with a claim alone");
	ok(data_of(0, HAS(FLOOR), 1, 1) == DECODE_MISSING, "nor with a floor alone");
	ok(data_of(1, HAS(CLAIM) | HAS(FLOOR), 1, 1) == DECODE_VALUE, "nor does it claim later");
	ok(data_of(0, HAS(LAST), 0, 0) == DECODE_OK && data_of(0, 0, 1, 1) == DECODE_OK, "rows by key come without them");
	ok(data_of(1, HAS(FRAGMENT) | HAS(LAST), 1, 1) == DECODE_OK, "a row goes on before the next ones");
	ok(data_of(0, HAS(FRAGMENT), 1, 1) == DECODE_VALUE, "but not in the first of a request");
	ok(data_of(0, 0, 1, 2) == DECODE_OK, "the last row may be a part");
	ok(data_of(0, HAS(LAST), 1, 2) == DECODE_VALUE, "not of a batch that is whole with it");
	ok(data_of(0, 0, 2, 2) == DECODE_VALUE, "nor may one before");
	ok(data_of(0, 0, 1, 0) == DECODE_OVERLONG, "more content than there is to be is refused");
	ok(data_of(0, 0, 1, ROW_CONTENT_MAX) == DECODE_OK && data_of(0, 0, 1, ROW_CONTENT_MAX + 1) == DECODE_VALUE,
	   "a row has at most 1 GiB");
	ok(want_of(ROW_MODE_COPY, 1) == DECODE_OK && want_of(ROW_MODE_COPY, 0) == DECODE_OK, "a copy goes on above a key");
	ok(want_of(ROW_MODE_COPY, 2) == DECODE_ORDER, "not above two");
	ok(want_of(ROW_MODE_CHANGES, 0) == DECODE_OK && want_of(ROW_MODE_CHANGES, 1) == DECODE_VALUE &&
	   want_of(ROW_MODE_COMPARE, 0) == DECODE_OK && want_of(ROW_MODE_COMPARE, 1) == DECODE_VALUE, "nothing else does");
	ok(want_of(0, 0) == DECODE_VALUE && want_of(4, 0) == DECODE_VALUE, "unknown modes are refused");
	hand_begin(ROW_WIRE_RANGES, true, 1);
	ok(hand_end() == DECODE_OK, "nothing may be in ranges");
	wire_put_item(&hand, ROW_TAG_CLAIM, NULL, 0);
	ok(hand_end() == DECODE_MISSING, "where a claim has a floor beside it");
}

/* ---- writing where there is little room ---- */

static void
test_room(void)
{
	int			touched = 0;
	int			refused = 0;
	int			wrong = 0;

	for (int shape = 0; shape < SHAPES; shape++)
		for (int tag = 1; tag < ROW_TAGS; tag++)
		{
			Sample		s;
			RowWriter	w;
			RowWriter	before;
			size_t		need;

			sample_begin(&s, shape);
			s.n = 1;
			s.row[0].content.len = 0;	/* what may not be written in part */
			writer_begin(&s, &w, frame, ROOM);
			sample_put(&s, &w, (RowWireTag) tag);
			need = ROOM - row_wire_left(&w);
			for (size_t room = WIRE_HEAD; room <= need; room++)
			{
				bool		fits;
				bool		said;

				memset(changed, 0xEE, need);
				writer_begin(&s, &w, changed, room);
				before = w;
				said = sample_put(&s, &w, (RowWireTag) tag);
				fits = room == need;
				wrong += said != fits;
				refused += !fits;
				if (!fits)
					for (size_t i = WIRE_HEAD; i < need; i++)
						touched += changed[i] != 0xEE;
				if (!fits)
					touched += w.bytes.at != before.bytes.at || w.bytes.left != before.bytes.left || w.bytes.failed;
				else
					wrong += memcmp(changed + WIRE_HEAD, frame + WIRE_HEAD, need - WIRE_HEAD) != 0;
			}
			sample_end(&s);
		}
	ok(wrong == 0 && refused > 1000, "an item is written where it fits and not where it does not (%d wrong)", wrong);
	ok(touched == 0, "where it does not it leaves nothing behind");
}

static void
test_end(void)
{
	int			wrong = 0;
	RowWriter	w;
	KadId		collection = {{1}};
	uint8_t		little[WIRE_HEAD - 1];

	for (int shape = 0; shape < SHAPES; shape++)
		for (int tag = 1; tag < ROW_TAGS; tag++)
		{
			Sample		s;
			bool		needed = shapes[shape].required >> tag & 1;

			sample_begin(&s, shape);
			if (s.has >> tag & 1)
			{
				s.has &= ~(1u << tag);
				if (needed)
					wrong += sample_write(&s, frame, ROOM) != 0;
				else if (shapes[shape].type != ROW_WIRE_HAVE && (tag == ROW_TAG_CLAIM || tag == ROW_TAG_FLOOR))
					wrong += sample_write(&s, frame, ROOM) != 0;
			}
			sample_end(&s);
		}
	ok(wrong == 0, "a message without what it needs is not written (%d are)", wrong);
	row_wire_begin(&w, little, sizeof little, ROW_WIRE_ACK, false, 1, &collection);
	ok(row_wire_left(&w) == 0 && !row_wire_put_uint(&w, ROW_TAG_CREDIT, 1) && row_wire_end(&w) == 0,
	   "nor one without room for its header");
}

/* A row longer than a frame, and how the parts come together. */
static void
test_parts(void)
{
	size_t		len = 2 * ROW_FRAME_MAX + 777;
	uint8_t    *content = malloc(len);
	uint8_t    *got = malloc(len);
	size_t		sent = 0;
	size_t		taken = 0;
	uint32_t	sequence = 0;
	KadId		collection = {{1}};
	RowWireRow	row = long_row();
	RowWriter	w;
	RowMessage	m;
	RowWireRow	back;
	RowBytes	at;
	bool		good = true;
	size_t		written;

	if (content == NULL || got == NULL)
		exit(2);
	host_fill(&random_state, content, len);
	row.content = (RowBytes) {content, len};
	row.content_len = len;
	while (sent < len && good)
	{
		size_t		frame_len;

		row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_DATA, true, 1, &collection);
		row_wire_put_uint(&w, ROW_TAG_SEQUENCE, sequence);
		if (sequence == 0)
			good = row_wire_put_row(&w, &row, &written);
		else
		{
			written = row_wire_left(&w) - 2 * WIRE_ITEM_HEAD;
			written = written < len - sent ? written : len - sent;
			good = row_wire_put_bytes(&w, ROW_TAG_FRAGMENT, content + sent, written);
		}
		sent += written;
		if (sent == len)
			good = good && row_wire_put_bytes(&w, ROW_TAG_LAST, NULL, 0);
		frame_len = row_wire_end(&w);
		if (sequence == 0)
			good = good && frame_len == ROW_FRAME_MAX;
		good = good && row_wire_decode(frame, frame_len, &m) == DECODE_OK && m.sequence == sequence++;
		at = m.many[ROW_TAG_ROW];
		while (good && row_wire_next_row(&at, &back))
		{
			good = back.content_len == len && back.content.len < len;
			memcpy(got, back.content.at, back.content.len);
			taken = back.content.len;
		}
		if (good && row_message_has(&m, ROW_TAG_FRAGMENT))
		{
			memcpy(got + taken, m.fragment.at, m.fragment.len);
			taken += m.fragment.len;
		}
	}
	ok(good && sequence == 3 && taken == len && memcmp(got, content, len) == 0 && row_message_has(&m, ROW_TAG_LAST),
	   "a row of %zu bytes comes in %u parts, the first a whole frame", len, sequence);
	row.content.len = row.content_len = 20;
	row_wire_begin(&w, frame, 300, ROW_WIRE_DATA, true, 1, &collection);
	row_wire_put_uint(&w, ROW_TAG_SEQUENCE, 0);
	row_wire_put_row(&w, &row, &written);
	ok(written == 20 && row_wire_left(&w) == 300 - WIRE_HEAD - 10 - WIRE_ITEM_HEAD - AT_CONTENT - 20,
	   "one that fits is written whole");
	written = 99;
	ok(!row_wire_put_row(&w, &row, &written) && row_wire_end(&w) > 0, "a second one not at all, where its head does not fit");
	row_wire_begin(&w, frame, WIRE_HEAD + 10 + WIRE_ITEM_HEAD + AT_CONTENT, ROW_WIRE_DATA, true, 1, &collection);
	row_wire_put_uint(&w, ROW_TAG_SEQUENCE, 0);
	ok(row_wire_put_row(&w, &row, &written) && written == 0 && row_wire_left(&w) == 0 && row_wire_end(&w) > 0,
	   "where only its head fits all of the content comes later");
	free(content);
	free(got);
}

/* Samples that have these items, and are not too long for a fuzzer. */
static void
write_corpus(const char *folder)
{
	for (int i = 0; i <= SHAPES; i++)
	{
		int			shape = i < SHAPES ? i : 2;
		uint32_t	must = i == SHAPES ? HAS(FRAGMENT) | HAS(ROW) :
			shapes[shape].type == ROW_WIRE_DATA ? HAS(CLAIM) | HAS(ROW) | HAS(LAST) : shapes[shape].optional;
		char		path[4096];
		size_t		len;
		FILE	   *file;

		do
		{
			Sample		s;

			sample_begin(&s, shape);
			len = (s.has & must) == must && s.n > 1 - (shape == 1) ? sample_write(&s, frame, ROOM) : ROOM;
			sample_end(&s);
		}
		while (len > 1500);
		snprintf(path, sizeof path, "%s/%s", folder, i < SHAPES ? shapes[shape].name : "more");
		file = fopen(path, "wb");
		if (file == NULL || fwrite(frame, 1, len, file) != len || fclose(file) != 0)
			exit(2);
	}
}

int
main(int argc, char **argv)
{
	fixture_begin();
	if (argc > 1)
		write_corpus(argv[1]);
	else
	{
		test_round_trip();
		test_damage();
		test_header();
		test_items();
		test_rules();
		test_room();
		test_end();
		test_parts();
	}
	return fixture_end();
}
