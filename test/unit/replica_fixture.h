/*
 * replica_fixture.h
 *	  A replica with two peers, by hand: its host, and the frames that members send.
 *
 * Lives are numbered 1 to LIVES in its dictionary; the first is its own.  Arrays of two are
 * tickets of the second and the third.
 */
#ifndef TEST_REPLICA_FIXTURE_H
#define TEST_REPLICA_FIXTURE_H

#include "core/rows/replica.h"
#include "net/pack.h"

#include "rows_fixture.h"

#define PEERS 2
#define LIVES 3
#define ATOMIC 300

struct RowScan
{
	int			open;
};

static CoreCrypto crypto;
static Replica *replica;
static CoreClock now;
static const KadId collection = {{7}};
static const KadId peer[PEERS] = {{{1}}, {{2}}};
static const uint8_t fingerprint[16] = {1};
static const uint8_t schema[32] = {1};
static RowIncarnation life[LIVES];
static RowScan scan;
static RowJob job;				/* at work, where job.id is not 0 */
static int	n_jobs;
static RowSettled settled;
static uint8_t frame[ROW_FRAME_MAX];

static struct
{
	int			n[32];			/* frames by type */
	KadId		to;				/* of the last WANT ... */
	uint64_t	request;
	uint8_t		mode;
	uint16_t	code;			/* of the last STOP */
	uint64_t	acknowledged;	/* credit of all ACKs */
	size_t		data;			/* bytes of all DATA */
	int			columns;		/* HAVEs with COLUMN */
	int			busy;			/* those with BUSY */
	size_t		whole;			/* bytes of frames that were packed */
} sent;

static int64_t may_send = INT64_MAX;	/* frames of rows */
static int	rows_left;			/* that a snapshot shows, each of 64 kB */

/* ---- the host ---- */

static uint64_t heard;			/* the last clock ... */
static uint64_t heard_at_open;	/* ... when a snapshot was taken */

static RowScan *
test_open(void *context, const RowFrontier *covered)
{
	scan.open++;
	heard_at_open = heard;
	return &scan;
}

static void
test_close(void *context, RowScan *closed)
{
	closed->open--;
}

static void
test_seek_changes(void *context, RowScan *at, const RowFrontier *above)
{
}

static void
test_seek_keys(void *context, RowScan *at, const RowRange *range)
{
}

static RowStamp row_birth = {1, 1};
static RowStamp row_stamp = {1, 1};

static RowRead
test_next(void *context, RowScan *at, Row *out)
{
	if (rows_left == 0)
		return ROW_READ_END;
	memset(out, 0, sizeof *out);
	out->key = (RowBytes) {(const uint8_t *) "k", 1};
	out->entry.version.clock = 1;
	out->entry.stamp = out->entry.vector_stamp = row_stamp;
	out->entry.birth = row_birth;
	out->entry.live = true;
	rows_left--;
	return ROW_READ;
}

static RowRead
test_find(void *context, RowScan *at, RowBytes key, Row *out)
{
	return ROW_READ_END;
}

static RowRead
test_content(void *context, RowScan *at, Row *row, bool thin)
{
	static const uint8_t bytes[65536];

	row->content = (RowBytes) {bytes, sizeof bytes};
	return ROW_READ;
}

static bool has_tombstones;

static bool
test_has_tombstones(void *context, const RowFrontier *below)
{
	return has_tombstones;
}

static uint64_t
test_total(void *context, RowScan *of)
{
	return 1000;
}

static const RowColumn own_column = {{(const uint8_t *) "id", 2}, {(const uint8_t *) "text", 4}, true, 1};
static int	n_columns;			/* that are known */
static int	n_differ;			/* members whose columns are others, in all */
static char difference[80];

static int
test_columns(void *context, const RowColumn **out)
{
	*out = &own_column;
	return n_columns;
}

static void
test_differs(void *context, const KadId *id, const uint8_t *of, RowBytes columns)
{
	RowColumn	theirs[2];
	int			m = 0;

	while (m < 2 && row_wire_next_column(&columns, &theirs[m]))
		m++;
	n_differ++;
	if (!row_schema_difference(&own_column, 1, theirs, m, true, difference, sizeof difference))
		difference[0] = '\0';
}

static void
test_settled(void *context, RowSettled *out)
{
	*out = settled;
}

static uint64_t
test_clock(void *context)
{
	return 1;
}

static void
test_clock_heard(void *context, uint64_t value)
{
	heard = value;
}

static bool
test_submit(void *context, const RowJob *submitted)
{
	if (job.id != 0)
		return false;
	job = *submitted;
	n_jobs++;
	return true;
}

static uint8_t stranger[CORE_KEY_BYTES];

static uint8_t former[CORE_KEY_BYTES];

static RowOwner
test_owner(void *context, const uint8_t *owner)
{
	return memcmp(owner, stranger, CORE_KEY_BYTES) == 0 ? ROW_OWNER_STRANGER :
		memcmp(owner, former, CORE_KEY_BYTES) == 0 ? ROW_OWNER_FORMER : ROW_OWNER_WRITER;
}

static bool
test_keep_incarnation(void *context, uint32_t number, const RowIncarnation *incarnation)
{
	return true;
}

static LinkSent
test_send(void *context, const KadId *to, const uint8_t *bytes, size_t len)
{
	RowMessage	message;

	if (row_wire_decode(bytes, len, &message) != DECODE_OK)
		return LINK_ERROR;
	sent.n[message.type]++;
	sent.columns += row_message_has(&message, ROW_TAG_COLUMN);
	if (message.type == ROW_WIRE_WANT)
	{
		sent.to = *to;
		sent.request = message.request;
		sent.mode = message.mode;
	}
	if (message.type == ROW_WIRE_STOP)
		sent.code = message.code;
	if (message.type == ROW_WIRE_ACK)
		sent.acknowledged += message.credit;
	if (message.type == ROW_WIRE_DATA || message.type == ROW_WIRE_PACKED)
	{
		sent.data += len;
		may_send--;
	}
	sent.whole += message.whole;
	sent.busy += row_message_has(&message, ROW_TAG_BUSY);
	return LINK_SENT;
}

static int
test_mesh(void *context, KadId *out, int room)
{
	return 0;
}

static void
test_log(void *context, const char *text)
{
}

static bool
test_may_send(void *context)
{
	return may_send > 0;
}

static int	n_found;			/* keys that somebody has less of than was claimed */
static int	n_found_here;		/* of them here */

static void
test_found(void *context, const KadId *id, RowBytes key, bool lacks_here)
{
	n_found++;
	n_found_here += lacks_here;
}

/* ---- a replica with two peers ---- */

static inline void
tell_role(GrantRole own)
{
	ReplicaMember member[PEERS];

	for (int i = 0; i < PEERS; i++)
		member[i] = (ReplicaMember) {peer[i], GRANT_WRITER, 0};
	replica_members(replica, now, member, PEERS, own, fingerprint);
}

static inline void
tell_members(void)
{
	tell_role(GRANT_WRITER);
}

static inline void
begin(bool fresh)
{
	ReplicaConfig config = {
		.host = {NULL, test_open, test_close, test_seek_changes, test_seek_keys, test_next, test_find, test_content,
			test_has_tombstones, test_total, test_settled, test_clock, test_clock_heard, test_submit, test_keep_incarnation, test_owner,
		test_send, test_columns, test_differs, test_mesh, test_log, test_may_send, test_found, net_pack, net_unpack},
		.memory = &memory, .crypto = &crypto, .random = &random_source,
		.collection = collection, .self = {{99}}, .schema = {1},
		.max_atomic_bytes = ATOMIC, .max_row_bytes = 65536,
		.retention_ms = 3600000, .anti_entropy_ms = 30000,
	};

	now = (CoreClock) {1000, 1000};
	memset(&job, 0, sizeof job);
	memset(&sent, 0, sizeof sent);
	memset(&settled, 0, sizeof settled);
	n_jobs = 0;
	replica = replica_new(&config, now);
	for (int i = 0; i < LIVES; i++)
	{
		Key			key = new_key(&crypto);
		uint32_t	number;

		if (!row_incarnation_begin(replica_dictionary(replica), &random_source, key.secret, &life[i]) ||
			row_dictionary_add(replica_dictionary(replica), &life[i], true, &number) != ROW_INCARNATION_NEW)
			exit(2);
	}
	replica_begin(replica, now, 1, fresh);
	tell_members();
	for (int i = 0; i < PEERS; i++)
		replica_connected(replica, now, &peer[i]);
}

static inline void
end(const char *what)
{
	replica_destroy(&replica);
	ok(scan.open == 0, "%s: every snapshot is closed", what);
}

static inline void
pass(int64_t ms)
{
	for (; ms > 0; ms -= 100)
	{
		now.tick_ms += 100;
		replica_tick(replica, now);
	}
}

static inline void
end_job(const RowDone *done)
{
	RowDone		with_id = *done;

	with_id.id = job.id;
	job.id = 0;
	replica_done(replica, now, &with_id);
}

/* Numbers of incarnations are the replica's: it writes them for us as ids. */
static inline void
put_tops(RowWriter *w, RowWireTag tag, uint64_t second, uint64_t third)
{
	RowFrontier frontier;

	row_frontier_init(&frontier, &memory);
	if (!row_frontier_claim(&frontier, 2, second, NULL, 0) || !row_frontier_claim(&frontier, 3, third, NULL, 0) ||
		!row_wire_put_frontier(w, tag, &frontier, replica_dictionary(replica)))
		exit(2);
	row_frontier_reset(&frontier);
}

static inline void
deliver(RowWriter *w, const KadId *from)
{
	size_t		len = row_wire_end(w);

	if (len == 0)
		exit(2);
	replica_frame(replica, now, from, frame, len);
}

static inline void
have(const KadId *from, const uint64_t frontier[2], const uint64_t floor[2])
{
	RowWriter	w;

	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_HAVE, false, 0, &collection);
	(void) row_wire_put_bytes(&w, ROW_TAG_MEMBERS, fingerprint, 16);
	(void) row_wire_put_uint(&w, ROW_TAG_CLOCK, 1);
	(void) row_wire_put_bytes(&w, ROW_TAG_SCHEMA, schema, 32);
	put_tops(&w, ROW_TAG_FRONTIER, frontier[0], frontier[1]);
	put_tops(&w, ROW_TAG_FLOOR, floor[0], floor[1]);
	deliver(&w, from);
}

static bool want_packs;			/* who asks takes frames that are packed */

static inline void
want(const KadId *from, RowWireMode mode, uint64_t request, uint64_t second, uint64_t third)
{
	RowWriter	w;

	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_WANT, false, request, &collection);
	(void) row_wire_put_uint(&w, ROW_TAG_MODE, mode);
	(void) row_wire_put_uint(&w, ROW_TAG_CREDIT, UINT32_MAX);
	(void) row_wire_put_bytes(&w, ROW_TAG_MEMBERS, fingerprint, 16);
	(void) row_wire_put_uint(&w, ROW_TAG_CLOCK, 1);
	(void) row_wire_put_bytes(&w, ROW_TAG_SCHEMA, schema, 32);
	put_tops(&w, ROW_TAG_FRONTIER, second, third);
	put_tops(&w, ROW_TAG_FLOOR, 0, 0);
	if (want_packs)
		(void) row_wire_put_bytes(&w, ROW_TAG_PACKS, NULL, 0);
	deliver(&w, from);
}

/* A row of n bytes, written by the second incarnation in its first transaction. */
static inline void
put_row(RowWriter *w, const char *key, bool thin, size_t n)
{
	static const uint8_t content[ROW_CHUNK];
	RowWireRow	row = {.live = true, .thin = thin, .content_len = n, .content = {content, n}};
	size_t		written;

	row.key = (RowBytes) {(const uint8_t *) key, strlen(key)};
	row.version.clock = 1;
	row.stamp = row.birth = row.vector_stamp = (RowWireStamp) {life[1].id, 1};
	memcpy(row.version.tie, life[1].id.bytes, ROW_HASH);
	if (!row_wire_put_row(w, &row, &written))
		exit(2);
}

static inline void
begin_data(RowWriter *w, uint32_t sequence, const uint64_t claim[2], const uint64_t floor[2])
{
	row_wire_begin(w, frame, sizeof frame, ROW_WIRE_DATA, true, sent.request, &collection);
	if (sequence == 0)
	{
		put_tops(w, ROW_TAG_CLAIM, claim[0], claim[1]);
		put_tops(w, ROW_TAG_FLOOR, floor[0], floor[1]);
	}
	(void) row_wire_put_uint(w, ROW_TAG_SEQUENCE, sequence);
}

static inline void
end_data(RowWriter *w, bool last)
{
	if (last)
		(void) row_wire_put_bytes(w, ROW_TAG_LAST, NULL, 0);
	deliver(w, &sent.to);
}

#endif							/* TEST_REPLICA_FIXTURE_H */
