/*
 * row_wire_form_test.c
 *	  The one form that each value in a message with rows has, and its limits.
 */
#include "row_wire_sample.h"

/* ---- limits of single items ---- */

static DecodeStatus
one_item(RowWireType type, bool response, RowWireTag tag, const void *value, size_t len)
{
	hand_begin(type, response, type == ROW_WIRE_INTRODUCE ? 0 : 1);
	wire_put_item(&hand, tag, value, len);
	return hand_end();
}

static void
test_sizes(void)
{
	static const RowWireTag fixed[] = {ROW_TAG_MODE, ROW_TAG_CREDIT, ROW_TAG_MEMBERS, ROW_TAG_CLOCK, ROW_TAG_SCHEMA};
	static const size_t sizes[] = {1, 4, 16, 8, 32};
	int			wrong = 0;
	uint8_t		most[8];

	for (int i = 0; i < 5; i++)
		for (int by = -1; by < 2; by++)
		{
			uint8_t		value[40] = {1};

			wrong += one_item(ROW_WIRE_WANT, false, fixed[i], value, sizes[i] + (size_t) by) !=
				(by < 0 ? DECODE_TRUNCATED : by > 0 ? DECODE_OVERLONG : DECODE_MISSING);
		}
	wrong += one_item(ROW_WIRE_STOP, true, ROW_TAG_CODE, words, 1) != DECODE_TRUNCATED;
	wrong += one_item(ROW_WIRE_STOP, true, ROW_TAG_CODE, words, 2) != DECODE_OK;
	wrong += one_item(ROW_WIRE_STOP, true, ROW_TAG_CODE, words, 3) != DECODE_OVERLONG;
	wrong += one_item(ROW_WIRE_DATA, true, ROW_TAG_SEQUENCE, words, 3) != DECODE_TRUNCATED;
	wrong += one_item(ROW_WIRE_DATA, true, ROW_TAG_SEQUENCE, words, 5) != DECODE_OVERLONG;
	wrong += one_item(ROW_WIRE_DATA, true, ROW_TAG_LAST, words, 1) != DECODE_OVERLONG;
	wrong += one_item(ROW_WIRE_DATA, true, ROW_TAG_FRAGMENT, words, 0) != DECODE_TRUNCATED;
	hand_begin(ROW_WIRE_HAVE, false, 0);
	wire_put_item(&hand, ROW_TAG_BUSY, words, 1);
	wrong += hand_end() != DECODE_OVERLONG;
	wrong += one_item(ROW_WIRE_INTRODUCE, false, ROW_TAG_INCARNATION, words, 111) != DECODE_TRUNCATED;
	wrong += one_item(ROW_WIRE_INTRODUCE, false, ROW_TAG_INCARNATION, words, 113) != DECODE_OVERLONG;
	ok(wrong == 0, "values have their lengths (%d wrong)", wrong);
	memset(changed, 0, 16);
	bytes_store(changed, 4, 10);
	ok(one_item(ROW_WIRE_PACKED, true, ROW_TAG_PACKED, changed, 4) == DECODE_TRUNCATED &&
	   one_item(ROW_WIRE_PACKED, true, ROW_TAG_PACKED, changed, 4 + 9) == DECODE_OK &&
	   one_item(ROW_WIRE_PACKED, true, ROW_TAG_PACKED, changed, 4 + 10) == DECODE_VALUE, "what is packed is shorter than it was");
	bytes_store(changed, 4, ROW_FRAME_MAX);
	ok(one_item(ROW_WIRE_PACKED, true, ROW_TAG_PACKED, changed, 5) == DECODE_OK, "and was no longer than a frame");
	bytes_store(changed, 4, ROW_FRAME_MAX + 1);
	ok(one_item(ROW_WIRE_PACKED, true, ROW_TAG_PACKED, changed, 5) == DECODE_VALUE, "not by a byte");
	bytes_store(most, 8, ROW_CLOCK_MAX);
	ok(one_item(ROW_WIRE_WANT, false, ROW_TAG_CLOCK, most, 8) == DECODE_MISSING, "a clock up to its limit");
	bytes_store(most, 8, ROW_CLOCK_MAX + 1);
	ok(one_item(ROW_WIRE_WANT, false, ROW_TAG_CLOCK, most, 8) == DECODE_VALUE, "and not above it");
	ok(one_item(ROW_WIRE_FETCH, false, ROW_TAG_KEY, words, 1) == DECODE_OK &&
	   one_item(ROW_WIRE_FETCH, false, ROW_TAG_KEY, words, ROW_KEY_MAX) == DECODE_OK &&
	   one_item(ROW_WIRE_FETCH, false, ROW_TAG_KEY, words, 0) == DECODE_TRUNCATED &&
	   one_item(ROW_WIRE_FETCH, false, ROW_TAG_KEY, words, ROW_KEY_MAX + 1) == DECODE_OVERLONG,
	   "a key has 1 to %d bytes", ROW_KEY_MAX);

	memset(changed, 'a', WIRE_TEXT_MAX + 1);
	wrong = 0;
	for (size_t len = 0; len <= WIRE_TEXT_MAX + 1; len += len == 1 ? WIRE_TEXT_MAX - 1 : 1)
	{
		hand_begin(ROW_WIRE_STOP, false, 1);
		wire_put_item_uint(&hand, ROW_TAG_CODE, 2, ROW_CODE_DONE);
		wire_put_item(&hand, ROW_TAG_TEXT, memset(again, 'a', len), len);
		wrong += hand_end() != (len == 0 ? DECODE_TRUNCATED : len > WIRE_TEXT_MAX ? DECODE_OVERLONG : DECODE_OK);
	}
	hand_begin(ROW_WIRE_STOP, false, 1);
	wire_put_item_uint(&hand, ROW_TAG_CODE, 2, ROW_CODE_DONE);
	wire_put_item(&hand, ROW_TAG_TEXT, "\x1B[31m", 5);
	ok(wrong == 0 && hand_end() == DECODE_TEXT, "text has up to %d bytes without control characters", WIRE_TEXT_MAX);

	for (int n = ROW_INTRODUCTIONS; n <= ROW_INTRODUCTIONS + 1; n++)
	{
		RowWriter	w;
		KadId		collection = {{1}};
		int			written = 0;
		RowIncarnation incarnation = some_incarnation();

		hand_begin(ROW_WIRE_INTRODUCE, false, 0);
		for (int i = 0; i < n; i++)
			wire_put_item(&hand, ROW_TAG_INCARNATION, words, ROW_INCARNATION_BYTES);
		ok(hand_end() == (n > ROW_INTRODUCTIONS ? DECODE_TOO_MANY : DECODE_OK), "%d incarnations are %s", n,
		   n > ROW_INTRODUCTIONS ? "too many" : "introduced");
		row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_INTRODUCE, false, 0, &collection);
		while (written < n && row_wire_put_incarnation(&w, &incarnation))
			written++;
		ok(written == ROW_INTRODUCTIONS && row_wire_end(&w) > 0, "of %d, %d are written", n, written);
	}
}

/* ---- frontiers ---- */

static void
claim_put(ByteWriter *w, int id, uint64_t top, uint32_t n, uint64_t open, uint64_t step)
{
	uint8_t		bytes[ROW_INCARNATION_ID] = {[0] = (uint8_t) id, [15] = (uint8_t) (id >> 8)};

	bytes_put(w, bytes, sizeof bytes);
	bytes_put_uint(w, 8, top);
	bytes_put_uint(w, 2, n);
	for (uint32_t i = 0; i < n; i++)
		bytes_put_uint(w, 8, open + i * step);
}

/* The claim after one of id 5. */
static DecodeStatus
claim_of(int id, uint64_t top, uint32_t n, uint64_t open, uint64_t step, size_t cut)
{
	ByteWriter	w = {changed, sizeof changed, false};

	claim_put(&w, 5, 10, 1, 9, 0);
	claim_put(&w, id, top, n, open, step);
	hand_begin(ROW_WIRE_RANGES, true, 1);
	wire_put_item(&hand, ROW_TAG_CLAIM, changed, (size_t) (w.at - changed) - cut);
	wire_put_item(&hand, ROW_TAG_FLOOR, NULL, 0);
	return hand_end();
}

static void
test_frontier_form(void)
{
	size_t		n = ROW_FRONTIER_BYTES / 26;
	int			wrong = 0;
	ByteWriter	w;

	ok(claim_of(6, 1, 0, 0, 0, 0) == DECODE_OK && claim_of(6, UINT64_MAX, 2, 1, UINT64_MAX - 2, 0) == DECODE_OK,
	   "tickets of a frontier are from 1 to the greatest");
	ok(claim_of(5, 1, 0, 0, 0, 0) == DECODE_ORDER && claim_of(4, 1, 0, 0, 0, 0) == DECODE_ORDER,
	   "incarnations ascend");
	ok(claim_of(6, 0, 0, 0, 0, 0) == DECODE_VALUE, "a top is not 0");
	ok(claim_of(6, 8, 1, 0, 0, 0) == DECODE_VALUE, "an open ticket is not 0");
	ok(claim_of(6, 8, 1, 7, 0, 0) == DECODE_OK && claim_of(6, 8, 1, 8, 0, 0) == DECODE_VALUE &&
	   claim_of(6, 8, 1, 9, 0, 0) == DECODE_VALUE, "it is below the top");
	ok(claim_of(6, 8, 2, 5, 0, 0) == DECODE_ORDER && claim_of(6, 8, 2, 5, UINT64_MAX, 0) == DECODE_ORDER,
	   "open tickets ascend");
	ok(claim_of(6, 1000, ROW_OPEN_MAX, 1, 1, 0) == DECODE_OK && claim_of(6, 1000, ROW_OPEN_MAX + 1, 1, 1, 0) == DECODE_TOO_MANY,
	   "there are up to %d", ROW_OPEN_MAX);
	for (size_t cut = 1; cut < 26 + 8; cut++)
		wrong += claim_of(6, 8, 1, 7, 0, cut) != DECODE_TRUNCATED;
	ok(wrong == 0 && claim_of(6, 8, 1, 7, 0, 26 + 8) == DECODE_OK, "a claim that is cut is refused");
	hand_begin(ROW_WIRE_RANGES, true, 1);
	memset(changed, 0, 26);
	changed[ROW_INCARNATION_ID] = 1;
	wire_put_item(&hand, ROW_TAG_CLAIM, changed, 26);
	ok(hand_end() == DECODE_ORDER, "nobody's claim is refused");

	/* as long as it may be to the byte, with open tickets of the last incarnation */
	while ((ROW_FRONTIER_BYTES - n * 26) % 8 != 0)
		n--;
	for (int more = 0; more < 2; more++)
	{
		size_t		len;

		w = (ByteWriter) {changed, sizeof changed, false};
		for (size_t i = 0; i < n; i++)
		{
			uint8_t		bytes[ROW_INCARNATION_ID] = {[0] = (uint8_t) (i >> 8), [1] = (uint8_t) i, [2] = 1};
			bool		open = i == n - 1 && (ROW_FRONTIER_BYTES - n * 26) / 8 + (size_t) more > 0;
			size_t		n_open = open ? (ROW_FRONTIER_BYTES - n * 26) / 8 + (size_t) more : 0;

			bytes_put(&w, bytes, sizeof bytes);
			bytes_put_uint(&w, 8, 1000);
			bytes_put_uint(&w, 2, n_open);
			for (size_t k = 0; k < n_open; k++)
				bytes_put_uint(&w, 8, k + 1);
		}
		len = (size_t) (w.at - changed);
		hand_begin(ROW_WIRE_RANGES, true, 1);
		wire_put_item(&hand, ROW_TAG_CLAIM, changed, len);
		wire_put_item(&hand, ROW_TAG_FLOOR, NULL, 0);
		ok(hand_end() == (len > ROW_FRONTIER_BYTES ? DECODE_OVERLONG : DECODE_OK) && (len > ROW_FRONTIER_BYTES) == more,
		   "a frontier of %zu bytes is %s", len, more ? "too long" : "read");
	}
}

/* The same claims, whatever numbers two dictionaries give their incarnations. */
static void
test_frontier_numbers(void)
{
	enum
	{
		MANY = 400
	};
	RowDictionary dictionary[2];
	RowFrontier frontier[2];
	RowIncarnation incarnation[MANY];
	uint8_t		digest[2][16];
	RowWriter	w;
	size_t		len[2];
	KadId		collection = {{1}};
	RowMessage	m;
	RowFrontier back;
	RowWireClaim claim;
	RowBytes	at;
	int			n = 0;

	for (int i = 0; i < MANY; i++)
		incarnation[i] = some_incarnation();
	for (int d = 0; d < 2; d++)
	{
		row_dictionary_init(&dictionary[d], &memory, &crypto, &collection);
		row_frontier_init(&frontier[d], &memory);
		for (int i = 0; i < MANY; i++)
		{
			int			k = d == 0 ? i : (i * 7 + 3) % MANY;	/* another order */
			uint64_t	open[3] = {(uint64_t) k + 1, (uint64_t) k + 5, (uint64_t) 2 * k + 9};
			uint32_t	number = 0;

			row_dictionary_add(&dictionary[d], &incarnation[k], true, &number);
			/* of every fifth nothing is claimed */
			if (k % 5 != 0)
				row_frontier_claim(&frontier[d], number, (uint64_t) 3 * k + 20, open, (uint32_t) (k % 4));
		}
		row_frontier_digest(&frontier[d], &dictionary[d], digest[d]);
		row_wire_begin(&w, d == 0 ? frame : changed, ROOM, ROW_WIRE_RANGES, true, 1, &collection);
		row_wire_put_frontier(&w, ROW_TAG_CLAIM, &frontier[d], &dictionary[d]);
		row_wire_put_frontier(&w, ROW_TAG_FLOOR, &frontier[d], &dictionary[d]);
		len[d] = row_wire_end(&w);
	}
	ok(!row_frontier_equal(&frontier[0], &frontier[1]) && memcmp(digest[0], digest[1], 16) == 0,
	   "two dictionaries number the same claims otherwise");
	ok(len[0] > 0 && len[0] == len[1] && memcmp(frame, changed, len[0]) == 0, "they are written as the same bytes");
	row_frontier_init(&back, &memory);
	ok(row_wire_decode(frame, len[0], &m) == DECODE_OK && frontier_read(m.claim, &dictionary[1], &back) &&
	   row_frontier_equal(&back, &frontier[1]), "and read with the numbers of the other");
	for (at = m.floor; row_wire_next_claim(&at, &claim);)
		n++;
	ok(n == MANY - MANY / 5 && dictionary[1].n == MANY, "only incarnations with claims travel (%d)", n);
	row_frontier_reset(&back);
	for (int d = 0; d < 2; d++)
	{
		row_frontier_reset(&frontier[d]);
		row_dictionary_reset(&dictionary[d]);
	}
}

/* What is longer than its tag may be is not written, whatever room there is. */
static void
test_too_long(void)
{
	static const struct
	{
		RowWireTag	tag;
		size_t		most;
	} cases[] = {{ROW_TAG_TEXT, WIRE_TEXT_MAX}, {ROW_TAG_KEY, ROW_KEY_MAX}};
	KadId		collection = {{1}};
	RowDictionary dictionary;
	RowFrontier frontier;
	RowWriter	w;
	size_t		left;

	for (int i = 0; i < 2; i++)
	{
		row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_FETCH, false, 1, &collection);
		ok(!row_wire_put_bytes(&w, cases[i].tag, words, cases[i].most + 1) && w.bytes.at == frame + WIRE_HEAD &&
		   row_wire_put_bytes(&w, cases[i].tag, words, cases[i].most), "tag %d is written with up to %zu bytes", cases[i].tag,
		   cases[i].most);
	}
	row_dictionary_init(&dictionary, &memory, &crypto, &collection);
	row_frontier_init(&frontier, &memory);
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_RANGES, true, 1, &collection);
	left = row_wire_left(&w);
	for (size_t i = 0; i <= ROW_FRONTIER_BYTES / 26; i++)
	{
		RowIncarnation incarnation = some_incarnation();
		uint32_t	number;

		row_dictionary_add(&dictionary, &incarnation, true, &number);
		row_frontier_claim(&frontier, number, 1, NULL, 0);
		if (i == ROW_FRONTIER_BYTES / 26 - 1)
			ok(row_wire_put_frontier(&w, ROW_TAG_CLAIM, &frontier, &dictionary) &&
			   row_wire_left(&w) == left - WIRE_ITEM_HEAD - 26 * (i + 1), "a frontier of %zu incarnations is written", i + 1);
	}
	ok(!row_wire_put_frontier(&w, ROW_TAG_FLOOR, &frontier, &dictionary) &&
	   row_wire_left(&w) == left - WIRE_ITEM_HEAD - 26 * (ROW_FRONTIER_BYTES / 26), "and one with one more is not");
	row_frontier_reset(&frontier);
	row_wire_put_frontier(&w, ROW_TAG_FLOOR, &frontier, &dictionary);
	ok(row_wire_end(&w) > ROW_FRONTIER_BYTES, "it is read in order");
	row_dictionary_reset(&dictionary);
}

/* ---- rows, entries, ranges ---- */

/* A DATA of that row, with bytes put at a place of its value; the flags made others. */
static DecodeStatus
row_with(size_t at, const void *bytes, size_t n, int flags)
{
	RowWriter	w;
	KadId		collection = {{1}};
	RowWireRow	row = long_row();
	size_t		written;
	size_t		len;
	size_t		value;

	row_wire_begin(&w, frame, ROOM, ROW_WIRE_DATA, true, 1, &collection);
	row_wire_put_uint(&w, ROW_TAG_SEQUENCE, 0);
	value = ROOM - row_wire_left(&w) + WIRE_ITEM_HEAD;
	row_wire_put_row(&w, &row, &written);
	len = row_wire_end(&w);
	if (n > 0)
		memcpy(frame + value + at, bytes, n);
	if (flags >= 0)
		frame[value] = (uint8_t) flags;
	return status_of(frame, len);
}

static void
test_row_form(void)
{
	static const uint8_t none[24] = {0};
	uint8_t		clock[8];
	uint8_t		stamp[24];
	int			wrong = 0;

	ok(row_with(0, NULL, 0, -1) == DECODE_OK && frame[WIRE_HEAD + WIRE_ITEM_HEAD + 4 + WIRE_ITEM_HEAD] == (1 | 4 | 8 | 16),
	   "a row may differ from each default");
	for (int flag = 32; flag < 256; flag *= 2)
		wrong += row_with(0, NULL, 0, 29 | flag) != DECODE_FLAGS;
	ok(wrong == 0, "unknown flags are refused");
	ok(row_with(0, NULL, 0, 31) == DECODE_OK, "a row may lack its vectors");
	ok(row_with(0, NULL, 0, 30) == DECODE_VALUE, "not a tombstone");
	ok(row_with(0, NULL, 0, 28) == DECODE_VALUE, "nor has that content");
	memcpy(stamp, people.entry[0].id.bytes, 16);
	bytes_store(stamp + 16, 8, 1);
	ok(row_with(AT_TIE, stamp, 16, -1) == DECODE_VALUE, "a tie that is the stamp's id does not stand there");
	ok(row_with(AT_BIRTH, stamp, 24, -1) == DECODE_VALUE, "nor a birth that is the stamp");
	ok(row_with(AT_VECTOR, stamp, 24, -1) == DECODE_VALUE, "nor the vector's");
	ok(row_with(AT_BIRTH, none, 24, -1) == DECODE_OK && row_with(AT_VECTOR, none, 24, -1) == DECODE_OK,
	   "these two may be none");
	ok(row_with(AT_BIRTH, none, 16, -1) == DECODE_VALUE && row_with(AT_BIRTH + 16, none, 8, -1) == DECODE_VALUE &&
	   row_with(AT_VECTOR, none, 16, -1) == DECODE_VALUE && row_with(AT_VECTOR + 16, none, 8, -1) == DECODE_VALUE,
	   "but not in part");
	ok(row_with(AT_STAMP, none, 16, -1) == DECODE_VALUE && row_with(AT_STAMP + 16, none, 8, -1) == DECODE_VALUE &&
	   row_with(AT_STAMP, none, 24, -1) == DECODE_VALUE, "a stamp has an incarnation and a ticket");
	bytes_store(clock, 8, ROW_CLOCK_MAX - 1);
	ok(row_with(AT_CLOCK, clock, 8, -1) == DECODE_OK, "a clock below its limit");
	bytes_store(clock, 8, ROW_CLOCK_MAX);
	ok(row_with(AT_CLOCK, clock, 8, -1) == DECODE_VALUE, "the greatest is a tombstone's, so that there is one above each row");
	bytes_store(clock, 8, ROW_CLOCK_MAX + 1);
	ok(row_with(AT_CLOCK, clock, 8, -1) == DECODE_VALUE, "and not above it");
	ok(row_with(AT_CLOCK, none, 8, -1) == DECODE_OK, "or none");
	bytes_store(clock, 2, 0);
	ok(row_with(AT_KEY, clock, 2, -1) != DECODE_OK, "an empty key is refused");
	bytes_store(clock, 2, UINT16_MAX);
	ok(row_with(AT_KEY, clock, 2, -1) == DECODE_TRUNCATED, "a key that ends behind the row is refused");
	bytes_store(clock, 4, 19);
	ok(row_with(AT_LENGTH, clock, 4, -1) == DECODE_OVERLONG, "so is content behind its end");
}

static void
test_tombstone_form(void)
{
	/* flags clock key stamp hash vector-hash content-length, and room for an empty key's or a byte too much */
	uint8_t		value[1 + 8 + 2 + 1 + 24 + 32 + 4 + 1] = {[9] = 1, [11] = 'k', [12] = 1, [28] = 1};
	size_t		len = sizeof value - 1;
	uint8_t		entry[1 + 8 + 2 + ROW_KEY_MAX + 24 + 16 + 24 + 24] = {[0] = 1};

#define TOMBSTONE(n) (hand_begin(ROW_WIRE_DATA, true, 1), wire_put_item_uint(&hand, ROW_TAG_SEQUENCE, 4, 1), \
					  wire_put_item(&hand, ROW_TAG_ROW, value, n), hand_end())
	ok(TOMBSTONE(len) == DECODE_OK, "a tombstone has no content");
	ok(TOMBSTONE(len + 1) == DECODE_OVERLONG, "nor bytes behind it");
	ok(TOMBSTONE(len - 1) == DECODE_TRUNCATED, "nor does it lack one");
	value[36] = 1;
	ok(TOMBSTONE(len) == DECODE_VALUE, "it has no hash");
	value[36] = 0;
	value[36 + 31] = 1;
	ok(TOMBSTONE(len) == DECODE_VALUE, "nor one of its vectors");
	value[36 + 31] = 0;
	value[68] = 1;
	ok(TOMBSTONE(len) == DECODE_VALUE, "nor content that is still to come");
	value[68] = 0;
	value[0] = 2;
	ok(TOMBSTONE(len) == DECODE_VALUE, "nor does it lack vectors");

#define ENTRY(n) one_item(ROW_WIRE_RANGES, true, ROW_TAG_ENTRY, entry, n)
	bytes_store(entry + 9, 2, 1);
	memset(entry + 12, 1, 24);
	ok(ENTRY(12 + 24) == DECODE_OK, "an entry has a key and a stamp");
	ok(ENTRY(12 + 24 + 1) == DECODE_OVERLONG, "and ends with them");
	entry[0] = 3;
	ok(ENTRY(12 + 24) == DECODE_FLAGS, "it says nothing of content");
	entry[0] = 1;
	memset(entry + 11, 1, sizeof entry - 11);
	for (size_t key = 0; key <= ROW_KEY_MAX + 1; key += key == 1 ? ROW_KEY_MAX - 1 : 1)
	{
		bytes_store(entry + 9, 2, key);
		ok((ENTRY(11 + key + 24) == DECODE_OK) == (key >= 1 && key <= ROW_KEY_MAX), "an entry's key of %zu bytes is %s", key,
		   key >= 1 && key <= ROW_KEY_MAX ? "read" : "refused");
	}
	/* behind an empty key a stamp and a tie */
	bytes_store(entry + 9, 2, 0);
	entry[0] = 1 | 4;
	memset(entry + 11 + 24, 2, 16);
	ok(ENTRY(11 + 24 + 16) == DECODE_VALUE, "an empty key is refused in whatever form");
	/* the longest key, and behind it a tie, a birth, the vector's stamp */
	entry[0] = 1 | 4 | 8 | 16;
	bytes_store(entry + 9, 2, ROW_KEY_MAX);
	memset(entry + 11 + ROW_KEY_MAX, 1, 24);
	memset(entry + 11 + ROW_KEY_MAX + 24, 2, 16 + 24 + 24);
	ok(ENTRY(11 + ROW_KEY_MAX + 24 + 16 + 24 + 24) == DECODE_OK, "the longest entry is read");
}

static DecodeStatus
range_of(const char *low, size_t low_len, const char *high, size_t high_len, size_t more)
{
	ByteWriter	w = {changed, sizeof changed, false};

	bytes_put_uint(&w, 2, low_len);
	bytes_put(&w, low, low_len);
	bytes_put_uint(&w, 2, high_len);
	bytes_put(&w, high, high_len);
	return one_item(ROW_WIRE_RANGES, false, ROW_TAG_RANGE, changed, (size_t) (w.at - changed) + more);
}

static void
test_range_form(void)
{
	static char longest[ROW_KEY_MAX + 1];
	static char above[ROW_KEY_MAX];
	uint8_t		sum[2 + 2 + 8 + 16 + 1] = {0};
	uint8_t		whole[2 * (2 + ROW_KEY_MAX) + 8 + 16];

	ok(range_of("", 0, "", 0, 0) == DECODE_OK, "a range may be of all keys");
	ok(range_of("a", 1, "", 0, 0) == DECODE_OK && range_of("", 0, "a", 1, 0) == DECODE_OK, "or have one bound");
	ok(range_of("a", 1, "b", 1, 0) == DECODE_OK && range_of("a", 1, "a\0", 2, 0) == DECODE_OK &&
	   range_of("a\xFF", 2, "b", 1, 0) == DECODE_OK, "or two");
	ok(range_of("a", 1, "a", 1, 0) == DECODE_VALUE && range_of("b", 1, "a", 1, 0) == DECODE_VALUE &&
	   range_of("aa", 2, "a", 1, 0) == DECODE_VALUE, "of which the second is above the first");
	ok(range_of("a", 1, "b", 1, 1) == DECODE_OVERLONG, "and nothing comes after them");
	memset(longest, 'a', sizeof longest);
	ok(range_of(longest, ROW_KEY_MAX, "b", 1, 0) == DECODE_OK && range_of("", 0, longest, ROW_KEY_MAX, 0) == DECODE_OK,
	   "a bound may be as long as a key");
	memset(above, 'b', sizeof above);
	ok(range_of(longest, ROW_KEY_MAX, above, ROW_KEY_MAX, 0) == DECODE_OK, "so may both");
	memset(whole, 1, sizeof whole);
	memcpy(whole, changed, 2 * (2 + ROW_KEY_MAX));
	ok(one_item(ROW_WIRE_RANGES, true, ROW_TAG_SUM, whole, sizeof whole) == DECODE_OK, "in a sum, too");
	ok(range_of(longest, ROW_KEY_MAX + 1, "b", 1, 0) == DECODE_VALUE && range_of("", 0, longest, ROW_KEY_MAX + 1, 0) == DECODE_VALUE,
	   "and not longer");
	ok(one_item(ROW_WIRE_RANGES, false, ROW_TAG_RANGE, "\0\0\1\0", 4) == DECODE_TRUNCATED, "nor end behind the range");
	ok(one_item(ROW_WIRE_RANGES, true, ROW_TAG_SUM, sum, 28) == DECODE_OK &&
	   one_item(ROW_WIRE_RANGES, true, ROW_TAG_SUM, sum, 27) == DECODE_TRUNCATED &&
	   one_item(ROW_WIRE_RANGES, true, ROW_TAG_SUM, sum, 29) == DECODE_OVERLONG, "a sum has a range, a count, 16 bytes");
	sum[2] = 1;
	ok(one_item(ROW_WIRE_RANGES, true, ROW_TAG_SUM, sum, 28) == DECODE_TRUNCATED, "all of them");
}

int
main(void)
{
	fixture_begin();
	test_sizes();
	test_frontier_form();
	test_frontier_numbers();
	test_too_long();
	test_row_form();
	test_tombstone_form();
	test_range_form();
	return fixture_end();
}
