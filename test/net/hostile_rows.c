/*
 * hostile_rows.c
 *	  A member of a collection: it greets the node and is greeted, learns lives, columns
 *	  and a row from it, and then claims, sends and asks what no honest member would.
 *
 * Its rows are copies of the row template of the node, with other ids, so that they are
 * what an honest member could send.
 */
#include "hostile_rows.h"

#include <poll.h>
#include <zmq.h>

#include "core/net/wire_item.h"
#include "core/rows/row_wire.h"
#include "core/rows/row_wire_shape.h"
#include "hostile_peer.h"

#define TEMPLATE "template"
#define CONTENT_MAX 65536
#define YEAR_US (INT64_C(365) * 24 * 3600 * 1000000)
#define LONG_ROW (16 * 1024 * 1024)	/* content of a row that never ends, bytes */

/* What WANT is answered by. */
typedef enum Answer
{
	ANSWER_NOTHING,
	ANSWER_ROWS,				/* a batch that is whole */
	ANSWER_CLAIM,				/* a claim, and no rows */
	ANSWER_ENDLESS,				/* rows without end, whatever the credit */
	ANSWER_OPEN					/* one row without end */
} Answer;

static struct
{
	bool		met;
	KadId		collection;
	CoreMemory	memory;
	RowDictionary dictionary;	/* what the node has introduced, and our own life */
	uint32_t	own;
	RowFrontier covered;		/* by the node: it has been copied, so by us, too */
	uint8_t		schema[32];
	uint8_t		members[16];
	uint64_t	clock;
	uint8_t		content[CONTENT_MAX];	/* of the template */
	size_t		content_len;
	uint8_t		vector_hash[ROW_HASH];
	uint64_t	top;			/* tickets that we claim */

	Answer		answer;
	long		n;				/* rows, or MB, of an answer */
	const char *id;				/* of rows: this and a number */
	int			id_len;			/* filled up to so many bytes */
	uint64_t	ahead_us;		/* of their clocks */
	bool		newer;			/* each frame ends with an item that nobody knows yet */

	long		sent;			/* frames */
	long		wants;
	long		stops;
	long		rows;			/* that came */
	bool		copied;			/* a copy has ended */
} member;

static HostMemory memory_state = {.until_failure = -1};
static uint8_t out[ROW_FRAME_MAX + 1024];

/* ---- sending ---- */

static void
begin(RowWriter *w, RowWireType type, bool response, uint64_t request)
{
	row_wire_begin(w, out, ROW_FRAME_MAX, type, response, request, &member.collection);
}

static bool
send_out(RowWriter *w)
{
	size_t		len = row_wire_end(w);

	if (len == 0)
		fatal("a message of rows lacks something");
	if (member.newer)
	{
		ByteWriter	more = {out + len, sizeof out - len, false};

		wire_put_item(&more, 100, "newer", 5);
		len = (size_t) (more.at - out);
		bytes_store(out + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
	}
	member.sent++;
	return send_frame(out, len);
}

static void
put_claim(RowWriter *w, RowWireTag tag, uint64_t top)
{
	RowFrontier f;

	row_frontier_init(&f, &member.memory);
	if (tag == ROW_TAG_FRONTIER && top > 0 && !row_frontier_copy(&f, &member.covered))
		fatal("no memory for a frontier");
	if ((top > 0 && !row_frontier_claim(&f, member.own, top, NULL, 0)) || !row_wire_put_frontier(w, tag, &f, &member.dictionary))
		fatal("no memory for a claim");
	row_frontier_reset(&f);
}

static void
introduce(const RowIncarnation *life)
{
	RowWriter	w;

	begin(&w, ROW_WIRE_INTRODUCE, false, 0);
	row_wire_put_incarnation(&w, life);
	send_out(&w);
}

static void
send_have(uint64_t top)
{
	RowWriter	w;

	begin(&w, ROW_WIRE_HAVE, false, 0);
	row_wire_put_bytes(&w, ROW_TAG_MEMBERS, member.members, 16);
	row_wire_put_uint(&w, ROW_TAG_CLOCK, member.clock);
	row_wire_put_bytes(&w, ROW_TAG_SCHEMA, member.schema, 32);
	put_claim(&w, ROW_TAG_FRONTIER, top);
	put_claim(&w, ROW_TAG_FLOOR, 0);
	send_out(&w);
}

static uint64_t
send_want(RowWireMode mode)
{
	RowWriter	w;
	uint64_t	request = new_request();

	begin(&w, ROW_WIRE_WANT, false, request);
	row_wire_put_uint(&w, ROW_TAG_MODE, mode);
	row_wire_put_uint(&w, ROW_TAG_CREDIT, 4 * 1024 * 1024);
	row_wire_put_bytes(&w, ROW_TAG_MEMBERS, member.members, 16);
	row_wire_put_uint(&w, ROW_TAG_CLOCK, member.clock);
	row_wire_put_bytes(&w, ROW_TAG_SCHEMA, member.schema, 32);
	put_claim(&w, ROW_TAG_FRONTIER, 0);
	put_claim(&w, ROW_TAG_FLOOR, 0);
	send_out(&w);
	return request;
}

/* ---- rows ---- */

/* Row number i of ours, its key and content in static memory; its ticket is the first that we claim. */
static RowWireRow
make_row(long i)
{
	static uint8_t key[ROW_KEY_MAX];
	static uint8_t content[CONTENT_MAX + ROW_KEY_MAX];
	size_t		old = (size_t) bytes_load(member.content + 2, 4);
	size_t		len = (size_t) snprintf((char *) key, sizeof key, "%s-%ld", member.id, i);
	uint8_t		hash[CORE_HASH_BYTES];
	RowWireRow	row = {.live = true};

	for (; len < (size_t) member.id_len; len++)
		key[len] = 'x';
	memcpy(content, member.content, 2);
	bytes_store(content + 2, 4, len);
	memcpy(content + 6, key, len);
	memcpy(content + 6 + len, member.content + 6 + old, member.content_len - 6 - old);
	row.content = (RowBytes) {content, member.content_len - old + len};
	row.content_len = row.content.len;
	row.key = (RowBytes) {key, len};
	row.stamp.id = row_dictionary_get(&member.dictionary, member.own)->id;
	row.stamp.ticket = member.top;
	row.birth = row.vector_stamp = row.stamp;
	row.version.clock = (uint64_t) now_unix() * 1000 + member.ahead_us;
	memcpy(row.version.tie, row.stamp.id.bytes, ROW_HASH);
	peer.crypto.sha256(peer.crypto.context, content, row.content.len, hash);
	memcpy(row.hash, hash, ROW_HASH);
	memcpy(row.vector_hash, member.vector_hash, ROW_HASH);
	return row;
}

static void
begin_data(RowWriter *w, uint64_t request, uint32_t sequence, uint64_t claim)
{
	begin(w, ROW_WIRE_DATA, true, request);
	if (sequence == 0)
	{
		put_claim(w, ROW_TAG_CLAIM, claim);
		put_claim(w, ROW_TAG_FLOOR, 0);
	}
	row_wire_put_uint(w, ROW_TAG_SEQUENCE, sequence);
}

/* Has the next row a place in this frame?  Else it begins another one. */
static bool
has_room(const RowWriter *w)
{
	return row_wire_left(w) > 2 * CONTENT_MAX;
}

/* A batch of n rows; nothing but its claim where n is 0. */
static void
send_batch(uint64_t request, long n, uint64_t claim)
{
	RowWriter	w;
	uint32_t	sequence = 0;
	size_t		written;

	begin_data(&w, request, sequence, claim);
	for (long i = 0; i < n; i++)
	{
		RowWireRow	row = make_row(i);

		if (!has_room(&w))
		{
			send_out(&w);
			begin_data(&w, request, ++sequence, claim);
		}
		if (!row_wire_put_row(&w, &row, &written) || written < row.content.len)
			fatal("a row does not fit");
	}
	row_wire_put_bytes(&w, ROW_TAG_LAST, NULL, 0);
	send_out(&w);
}

/* n megabytes of rows, again and again the same 500, or of one row, and no end. */
static void
send_endless(uint64_t request, long n, bool one)
{
	static const uint8_t nothing[ROW_CHUNK / 2];
	long long	left = n * 1024 * 1024;
	RowWriter	w;
	size_t		written;

	for (uint32_t sequence = 0; left > 0; sequence++)
	{
		begin_data(&w, request, sequence, member.top);
		for (long i = 0; i < 500 && has_room(&w) && (!one || (sequence == 0 && i == 0)); i++)
		{
			RowWireRow	row = make_row(i);

			if (one)
			{
				row.content_len = LONG_ROW;
				row.content.len = 100;
			}
			if (!row_wire_put_row(&w, &row, &written))
				break;
		}
		if (one && sequence > 0)
			row_wire_put_bytes(&w, ROW_TAG_FRAGMENT, nothing, sizeof nothing);
		left -= (long long) (sizeof out - row_wire_left(&w));
		if (!send_out(&w))
			return;
	}
}

/* ---- what comes ---- */

static void
take_want(const RowMessage *m)
{
	RowWriter	w;

	member.wants++;
	if (member.answer == ANSWER_NOTHING)
		return;
	if (m->mode == ROW_MODE_COMPARE)
	{
		begin(&w, ROW_WIRE_STOP, true, m->request);
		row_wire_put_uint(&w, ROW_TAG_CODE, ROW_CODE_BUSY);
		send_out(&w);
		return;
	}
	switch (member.answer)
	{
		case ANSWER_ROWS:
			send_batch(m->request, member.n, member.top);
			break;
		case ANSWER_CLAIM:
			send_batch(m->request, 0, member.top);
			break;
		case ANSWER_ENDLESS:
		case ANSWER_OPEN:
			send_endless(m->request, member.n, member.answer == ANSWER_OPEN);
			break;
		case ANSWER_NOTHING:
			break;
	}
}

static void
take_rows(const RowMessage *m)
{
	RowBytes	at = m->many[ROW_TAG_ROW];
	RowWireRow	row;

	while (row_wire_next_row(&at, &row))
	{
		member.rows++;
		if (row.live && row.key.len == strlen(TEMPLATE) && memcmp(row.key.at, TEMPLATE, row.key.len) == 0 && row.content.len <= CONTENT_MAX)
		{
			memcpy(member.content, row.content.at, row.content.len);
			member.content_len = row.content.len;
			memcpy(member.vector_hash, row.vector_hash, ROW_HASH);
		}
	}
	member.copied |= row_message_has(m, ROW_TAG_LAST);
}

static void
take_have(const RowMessage *m)
{
	RowBytes	at = m->frontier;
	RowWireClaim claim;

	memcpy(member.schema, m->schema, 32);
	memcpy(member.members, m->members, 16);
	member.clock = m->clock;
	while (row_wire_next_claim(&at, &claim))
	{
		uint32_t	number = row_dictionary_find(&member.dictionary, &claim.id);

		if (number != 0 && number != member.own)
			(void) row_frontier_claim(&member.covered, number, claim.top, claim.open, claim.n_open);
	}
}

static void
take_rows_frame(const uint8_t *frame, size_t len)
{
	RowMessage	m;
	RowBytes	at;
	RowIncarnation life;
	uint32_t	number;

	if (row_wire_decode(frame, len, &m) != DECODE_OK)
		fatal("the node sends a frame of rows that cannot be read");
	if (!kad_id_equal(&m.collection, &member.collection))
		return;
	switch ((RowWireType) m.type)
	{
		case ROW_WIRE_INTRODUCE:
			at = m.many[ROW_TAG_INCARNATION];
			while (row_wire_next_incarnation(&at, &life))
				(void) row_dictionary_add(&member.dictionary, &life, true, &number);
			break;
		case ROW_WIRE_HAVE:
			take_have(&m);
			break;
		case ROW_WIRE_WANT:
			take_want(&m);
			break;
		case ROW_WIRE_DATA:
			take_rows(&m);
			break;
		case ROW_WIRE_STOP:
			member.stops++;
			break;
		default:
			break;
	}
}

/* HELLO and PING of the node are answered as an honest peer does, other requests are not. */
static void
take_request(const uint8_t *frame)
{
	static uint8_t answer[WIRE_FRAME_MAX];
	size_t		len;

	if (frame[7] != 0 || (frame[6] != WIRE_HELLO && frame[6] != WIRE_PING))
		return;
	if (frame[6] == WIRE_HELLO)
		len = make_hello(&peer.self, peer.hello_kind, answer);
	else
	{
		ByteWriter	w = begin_frame(answer, 1, WIRE_PING, 1, NULL);

		len = end_frame(answer, &w);
	}
	answer[7] = 1;
	memcpy(answer + 8, frame + 8, 8);
	send_frame(answer, len);
}

/* Take what comes for so many milliseconds; 0: what is there. */
static void
pump(int64_t ms)
{
	static uint8_t frame[ANSWER_MAX];
	int64_t		until = now_tick() + ms;

	for (;;)
	{
		zmq_pollitem_t item = {the_link(), 0, ZMQ_POLLIN, 0};
		int64_t		left = until - now_tick();
		int			len;

		if (zmq_poll(&item, 1, left > 0 ? left : 0) <= 0)
			return;
		len = zmq_recv(the_link(), frame, sizeof frame, ZMQ_DONTWAIT);
		if (len < WIRE_HEAD)
			continue;
		if (frame[6] >= ROW_WIRE_HAVE)
			take_rows_frame(frame, (size_t) len);
		else
			take_request(frame);
	}
}

/* ---- kinds ---- */

static void
new_life(RowIncarnation *out_life)
{
	if (!row_incarnation_begin(&member.dictionary, &peer.randomness, peer.self.secret, out_life))
		fatal("could not begin a life");
}

/* Become known, and learn what is needed to be heard. */
static void
meet(void)
{
	RowIncarnation life;
	int64_t		until = now_tick() + peer.wait_ms;

	if (member.met)
		return;
	if (!peer.has_invited)
		fatal("rows need a collection: show an invitation first");
	member.collection = kad_id_of_key(&peer.crypto, peer.invited.root);
	member.memory = HOST_MEMORY(&memory_state);
	row_dictionary_init(&member.dictionary, &member.memory, &peer.crypto, &member.collection);
	row_frontier_init(&member.covered, &member.memory);
	new_life(&life);
	if (row_dictionary_add(&member.dictionary, &life, true, &member.own) != ROW_INCARNATION_NEW)
		fatal("no memory for a life");
	for (int64_t next = 0; member.content_len == 0 && now_tick() < until; pump(20))
		if (now_tick() >= next)
		{
			introduce(&life);
			if (member.clock > 0)
				send_want(ROW_MODE_COPY);
			next = now_tick() + 1000;
		}
	if (member.content_len == 0)
		fatal("the node does not send its row \"" TEMPLATE "\": %ld rows came, %ld stops, and it has %s", member.rows, member.stops,
			  member.clock > 0 ? "told what it has" : "not told what it has");
	member.top = 1;
	member.met = true;
}

/* Claim a ticket more, and answer whoever asks until the node has asked so often, or the time is up. */
static void
serve(Answer answer, long n, const char *id, int id_len, uint64_t ahead_us)
{
	int64_t		until = now_tick() + peer.wait_ms;
	long		before = member.wants;

	member.top++;
	member.answer = answer;
	member.n = n;
	member.id = id;
	member.id_len = id_len;
	member.ahead_us = ahead_us;
	if (answer == ANSWER_CLAIM)
		member.top += UINT64_C(1) << 40;
	for (int64_t next = 0; member.wants == before && now_tick() < until; pump(20))
		if (now_tick() >= next)
		{
			/* a node that could not keep our life when it was introduced does not know it */
			introduce(row_dictionary_get(&member.dictionary, member.own));
			send_have(member.top);
			next = now_tick() + 500;
		}
	pump(500);
	member.answer = ANSWER_NOTHING;
}

/* For n milliseconds news without end, and no answer to who wants them. */
static void
be_mute(long n)
{
	int64_t		until = now_tick() + n;

	while (now_tick() < until)
	{
		send_have(++member.top);
		pump(100);
	}
}

static void
flood_lives(long n)
{
	RowIncarnation life;
	RowWriter	w;

	for (long i = 0; i < n;)
	{
		begin(&w, ROW_WIRE_INTRODUCE, false, 0);
		for (int k = 0; k < ROW_INTRODUCTIONS && i < n; k++, i++)
		{
			new_life(&life);
			row_wire_put_incarnation(&w, &life);
		}
		send_out(&w);
		pump(0);
	}
}

/* Comparisons that are asked for more ranges than a comparison has. */
static void
flood_ranges(long n)
{
	for (long i = 0; i < n; i++)
	{
		uint64_t	request = i % 50 == 0 ? send_want(ROW_MODE_COMPARE) : peer.next_request;
		RowRange	range = {{NULL, 0}, {NULL, 0}};
		RowWriter	w;

		begin(&w, ROW_WIRE_RANGES, false, request);
		for (int k = 0; k < 1000 && row_wire_put_range(&w, &range); k++)
			;
		send_out(&w);
		pump(0);
	}
}

/* Messages as they ought to be, of which some bytes are others, or the end is missing. */
static void
flood_malformed(long n)
{
	for (long i = 0; i < n; i++)
	{
		RowWriter	w;
		RowWireRow	row;
		size_t		len;
		size_t		written;

		member.id = "malformed";
		row = make_row(i);
		begin_data(&w, new_request(), (uint32_t) below(2), member.top);
		for (uint64_t k = below(4); k > 0; k--)
			row_wire_put_row(&w, &row, &written);
		len = row_wire_end(&w);
		if (below(4) == 0)
			len = WIRE_HEAD + below(len - WIRE_HEAD);
		for (uint64_t k = 1 + below(4); k > 0; k--)
			out[6 + below(len - 6)] = (uint8_t) below(256);
		if (below(2) == 0)		/* else most are known by their lengths */
			bytes_store(out + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
		if (below(2) == 0)
			out[6] = (uint8_t) (ROW_WIRE_HAVE + below(8));
		member.sent += send_frame(out, len);
		pump(0);
	}
}

/* Of another collection: whatever rows come of it are counted, and there should be none. */
static void
ask_elsewhere(const char *id)
{
	KadId		ours = member.collection;

	if (!kad_id_parse(id, strlen(id), &member.collection))
		fatal("\"%s\" is no id", id);
	member.rows = 0;
	introduce(row_dictionary_get(&member.dictionary, member.own));
	send_have(1);
	send_want(ROW_MODE_COPY);
	member.id = "elsewhere";
	send_batch(new_request(), 10, 1);
	pump(2000);
	member.collection = ours;
}

void
do_rows(const char *argument)
{
	char		kind[16];
	const char *rest = split(argument, kind, sizeof kind);
	long		n = atol(rest);

	meet();
	member.sent = member.wants = member.stops = member.rows = 0;
	if (strcmp(kind, "good") == 0)
		serve(ANSWER_ROWS, n, "good", 0, 0);
	else if (strcmp(kind, "newer") == 0)
	{
		member.newer = true;
		serve(ANSWER_ROWS, n, "newer", 0, 0);
		member.newer = false;
	}
	else if (strcmp(kind, "future") == 0)
		serve(ANSWER_ROWS, n, "future", 0, 10 * YEAR_US);
	else if (strcmp(kind, "keys") == 0)
		serve(ANSWER_ROWS, n, "keys", ROW_KEY_MAX, 0);
	else if (strcmp(kind, "claim") == 0)
		serve(ANSWER_CLAIM, 0, "", 0, 0);
	else if (strcmp(kind, "endless") == 0)
		serve(ANSWER_ENDLESS, n, "endless", 0, 0);
	else if (strcmp(kind, "open") == 0)
		serve(ANSWER_OPEN, n, "open", 0, 0);
	else if (strcmp(kind, "mute") == 0)
		be_mute(n);
	else if (strcmp(kind, "haves") == 0)
		for (long i = 0; i < n; i++, pump(0))
			send_have(++member.top);
	else if (strcmp(kind, "wants") == 0)
		for (long i = 0; i < n; i++, pump(0))
			send_want(1 + (RowWireMode) below(3));
	else if (strcmp(kind, "unasked") == 0)
		for (long i = 0; i < n; i++, pump(0))
		{
			member.id = "unasked";
			send_batch(new_request(), 10, member.top);
		}
	else if (strcmp(kind, "ranges") == 0)
		flood_ranges(n);
	else if (strcmp(kind, "lives") == 0)
		flood_lives(n);
	else if (strcmp(kind, "malformed") == 0)
		flood_malformed(n);
	else if (strcmp(kind, "elsewhere") == 0)
		ask_elsewhere(rest);
	else
		fatal("there are no rows of the kind \"%s\"", kind);
	pump(100);
	printf("rows=%s: %ld frames, %ld wants, %ld stops, %ld rows came\n", kind, member.sent, member.wants, member.stops, member.rows);
}
