/*
 * replica_fuzz.c
 *	  A replica among members who send whatever they like: each byte of the input chooses
 *	  what comes next, a message of few words, a job that ends, a link that breaks, time.
 *
 * Messages are written with the codec, so that they pass it; requests and sequence
 * numbers are those that would be right, unless the input says otherwise.
 */
#include "core/rows/replica.h"
#include "net/pack.h"

#include "net_fuzz.h"

#define MEMBERS 3
#define LIVES 4
#define KEYS 12
#define ATOMIC 4096
#define ROW_BYTES_MAX 512

struct RowScan
{
	int			n;
	int			at;
	RowRange	range;
	const RowFrontier *above;	/* NULL: by key */
	uint8_t		key[KEYS];
	RowEntry	entry[KEYS];
};

static const uint8_t *input;
static size_t input_left;
static Replica *replica;
static CoreClock now;
static KadId member[MEMBERS + 1];	/* the last is a stranger */
static RowIncarnation life[LIVES];
static bool present[KEYS];
static RowEntry entries[KEYS];
static uint8_t keys[KEYS];
static RowJob job;				/* at work, where job.id is not 0 */
static KadId asked;
static uint64_t asked_request;
static uint32_t sequence;
static int	scans;
static uint8_t frame[ROW_FRAME_MAX];
static void *scratch;

static unsigned
take(unsigned n)
{
	if (input_left == 0)
		return 0;
	input_left--;
	return *input++ % n;
}

/* ---- the host: a table of twelve keys ---- */

static RowScan *
host_open(void *context, const RowFrontier *covered)
{
	RowScan    *scan;

	if (take(16) == 15)
		return NULL;
	scan = core_alloc(&memory, sizeof *scan);
	REQUIRE(scan != NULL);
	memset(scan, 0, sizeof *scan);
	for (int i = 0; i < KEYS; i++)
		if (present[i])
		{
			scan->key[scan->n] = keys[i];
			scan->entry[scan->n++] = entries[i];
		}
	scans++;
	return scan;
}

static void
host_close(void *context, RowScan *scan)
{
	scans--;
	core_free(&memory, scan);
}

static void
host_seek_changes(void *context, RowScan *scan, const RowFrontier *above)
{
	scan->at = 0;
	scan->above = above;
}

static void
host_seek_keys(void *context, RowScan *scan, const RowRange *range)
{
	scan->at = 0;
	scan->above = NULL;
	scan->range = *range;
}

static bool
in_scan(const RowScan *scan, int i)
{
	RowBytes	key = {&scan->key[i], 1};

	if (scan->above != NULL)
		return !row_frontier_covers(scan->above, scan->entry[i].stamp);
	return row_key_compare(key, scan->range.low) > 0 &&
		(scan->range.high.len == 0 || row_key_compare(key, scan->range.high) <= 0);
}

static RowRead
read_at(RowScan *scan, int i, Row *out)
{
	memset(out, 0, sizeof *out);
	out->key = (RowBytes) {&scan->key[i], 1};
	out->entry = scan->entry[i];
	return ROW_READ;
}

static RowRead
host_next(void *context, RowScan *scan, Row *out)
{
	while (scan->at < scan->n)
		if (in_scan(scan, scan->at++))
			return read_at(scan, scan->at - 1, out);
	return ROW_READ_END;
}

static RowRead
host_find(void *context, RowScan *scan, RowBytes key, Row *out)
{
	for (int i = 0; i < scan->n; i++)
		if (key.len == 1 && key.at[0] == scan->key[i])
			return read_at(scan, i, out);
	return ROW_READ_END;
}

static RowRead
host_content(void *context, RowScan *scan, Row *row, bool thin)
{
	static const uint8_t content[64] = "content";

	row->thin = thin;
	row->content = (RowBytes) {content, thin ? 8 : sizeof content};
	return take(32) == 31 ? ROW_READ_LOST : ROW_READ;
}

static bool
host_has_tombstones(void *context, const RowFrontier *below)
{
	for (int i = 0; i < KEYS; i++)
		if (present[i] && !entries[i].live && row_frontier_covers(below, entries[i].stamp))
			return true;
	return false;
}

static uint64_t
host_total(void *context, RowScan *scan)
{
	return KEYS;
}

static const RowColumn a_column = {{(const uint8_t *) "c", 1}, {(const uint8_t *) "text", 4}, true, 1};

static int
host_columns(void *context, const RowColumn **out)
{
	*out = &a_column;
	return 1;
}

static void
host_differs(void *context, const KadId *id, const uint8_t *of, RowBytes columns)
{
	RowColumn	theirs[4];
	int			m = 0;
	char		text[64];

	while (m < 4 && row_wire_next_column(&columns, &theirs[m]))
		m++;
	(void) row_schema_difference(&a_column, 1, theirs, m, m < 4, text, sizeof text);
}

static void
host_settled(void *context, RowSettled *out)
{
	memset(out, 0, sizeof *out);
	out->top = (uint64_t) now.tick_ms / 1000;
}

static uint64_t
host_clock(void *context)
{
	return (uint64_t) now.unix_ms * 1000;
}

static void
host_clock_heard(void *context, uint64_t value)
{
}

static bool
host_submit(void *context, const RowJob *submitted)
{
	static volatile uint8_t sum;

	REQUIRE(job.id == 0 || job.id != submitted->id);
	if (job.id != 0 || take(16) == 15)
		return false;
	/* every byte that is said to be there is read */
	for (int i = 0; i < submitted->n; i++)
	{
		const Row  *row = &submitted->row[i];

		REQUIRE(row->key.len >= 1 && row->key.len <= ROW_KEY_MAX && row->content.len <= ROW_BYTES_MAX);
		for (size_t k = 0; k < row->key.len; k++)
			sum = (uint8_t) (sum ^ row->key.at[k]);
		for (size_t k = 0; k < row->content.len; k++)
			sum = (uint8_t) (sum ^ row->content.at[k]);
	}
	job = *submitted;
	return true;
}

static bool
host_keep_incarnation(void *context, uint32_t number, const RowIncarnation *incarnation)
{
	return take(16) != 15;
}

static RowOwner
host_owner(void *context, const uint8_t *owner)
{
	return owner[0] == LIVES - 1 ? ROW_OWNER_STRANGER : owner[0] == LIVES - 2 ? ROW_OWNER_FORMER : ROW_OWNER_WRITER;
}

static bool
host_may_send(void *context)
{
	return take(4) > 0;
}

static void
host_found(void *context, const KadId *id, RowBytes key, bool lacks_here)
{
	REQUIRE(key.len > 0 && key.len <= ROW_KEY_MAX);
}

static LinkSent
host_send(void *context, const KadId *to, const uint8_t *sent, size_t len)
{
	RowMessage	message;

	/* what a replica says can be read */
	REQUIRE(row_wire_decode(sent, len, &message) == DECODE_OK);
	if (message.type == ROW_WIRE_WANT)
	{
		asked = *to;
		asked_request = message.request;
		sequence = 0;
	}
	return LINK_SENT;
}

static int
host_mesh(void *context, KadId *out, int room)
{
	out[0] = member[0];
	return 1;
}

static void
host_log(void *context, const char *text)
{
}

/* ---- jobs ---- */

static void
apply_row(const Row *row, uint32_t *n_missing, uint32_t *missing, uint32_t i)
{
	int			place = row->key.at[0] % KEYS;
	RowEntry   *here = present[place] && keys[place] == row->key.at[0] && row->key.len == 1 ? &entries[place] : NULL;

	if (row->key.len != 1 || (present[place] && here == NULL))
		return;
	switch (row_decide(here, &row->entry, row->thin, job.covered, job.collected, job.claim))
	{
		case ROW_NEEDS_VECTOR:
			missing[(*n_missing)++] = i;
			break;
		case ROW_TAKE:
		case ROW_TAKE_OVER:
			present[place] = true;
			keys[place] = row->key.at[0];
			entries[place] = row->entry;
			break;
		default:
			break;
	}
}

static void
end_job(bool failed)
{
	static uint32_t missing[4096];
	RowDone		done = {.id = job.id, .failed = failed, .missing = missing};

	if (job.id == 0)
		return;
	for (int i = 0; i < job.n && !failed && i < 4096; i++)
	{
		if (job.kind == ROW_JOB_APPLY)
			apply_row(&job.row[i], &done.n_missing, missing, (uint32_t) i);
		else if (job.row[i].key.len == 1)
			present[job.row[i].key.at[0] % KEYS] = false;
	}
	for (int i = 0; i < KEYS && job.kind == ROW_JOB_COLLECT && !failed; i++)
		if (present[i] && !entries[i].live && row_frontier_covers(job.below, entries[i].stamp))
		{
			present[i] = false;
			done.n_changed++;
		}
	job.id = 0;
	replica_done(replica, now, &done);
}

/* ---- messages of few words ---- */

static void
put_frontier(RowWriter *w, RowWireTag tag)
{
	RowFrontier frontier;
	RowDictionary dictionary;
	uint32_t	number;

	row_dictionary_init(&dictionary, &memory, &crypto, &(KadId) {{7}});
	row_frontier_init(&frontier, &memory);
	for (unsigned i = 0, n = take(LIVES + 1); i < n; i++)
		REQUIRE(row_dictionary_add(&dictionary, &life[i], true, &number) == ROW_INCARNATION_NEW &&
				row_frontier_claim(&frontier, number, 1 + take(32), NULL, 0));
	(void) row_wire_put_frontier(w, tag, &frontier, &dictionary);
	row_frontier_reset(&frontier);
	row_dictionary_reset(&dictionary);
}

static RowWireStamp
any_stamp(void)
{
	RowIncarnationId id = life[take(LIVES)].id;

	return (RowWireStamp) {id, 1 + take(32)};
}

static RowWireRow
any_row(uint8_t *key)
{
	static const uint8_t content[ROW_BYTES_MAX + 1] = "what";
	RowWireRow	row;

	memset(&row, 0, sizeof row);
	*key = (uint8_t) ('a' + take(KEYS + 2));
	row.key = (RowBytes) {key, 1};
	row.version.clock = 1 + take(8);
	row.stamp = any_stamp();
	memcpy(row.version.tie, row.stamp.id.bytes, ROW_HASH);
	row.birth = take(2) ? row.stamp : any_stamp();
	row.vector_stamp = take(2) ? row.stamp : any_stamp();
	row.live = take(3) > 0;
	if (row.live)
	{
		row.thin = take(4) == 0;
		row.hash[0] = (uint8_t) take(4);
		row.vector_hash[0] = (uint8_t) take(2);
		row.content_len = take(8) == 0 ? take(256) * 3 : take(16);
		row.content = (RowBytes) {content, (size_t) (row.content_len < ROW_BYTES_MAX ? row.content_len : ROW_BYTES_MAX)};
		row.content.len = (size_t) row.content_len < sizeof content ? (size_t) row.content_len : sizeof content;
		row.content_len = row.content.len;
	}
	return row;
}

static void
put_rows(RowWriter *w)
{
	size_t		written;

	for (unsigned n = take(6); n > 0; n--)
	{
		uint8_t		key;
		RowWireRow	row = any_row(&key);

		(void) row_wire_put_row(w, &row, &written);
	}
}

static RowRange
any_range(uint8_t bounds[2])
{
	bounds[0] = (uint8_t) ('a' + take(KEYS));
	bounds[1] = (uint8_t) (bounds[0] + 1 + take(4));
	return (RowRange) {{bounds, take(3) ? 1 : 0}, {bounds + 1, take(3) ? 1 : 0}};
}

static void
put_items(RowWriter *w, RowWireType type, bool response)
{
	static const uint8_t bytes[32];
	static const uint8_t other[32] = {1};
	uint8_t		bounds[2];
	bool		differ = type == ROW_WIRE_HAVE && take(16) == 15;

	switch (type)
	{
		case ROW_WIRE_HAVE:
		case ROW_WIRE_WANT:
			if (type == ROW_WIRE_WANT)
			{
				(void) row_wire_put_uint(w, ROW_TAG_MODE, 1 + take(3));
				(void) row_wire_put_uint(w, ROW_TAG_CREDIT, take(2) ? take(200) : 1000000);
			}
			(void) row_wire_put_bytes(w, ROW_TAG_MEMBERS, bytes, 16);
			(void) row_wire_put_uint(w, ROW_TAG_CLOCK, take(256));
			(void) row_wire_put_bytes(w, ROW_TAG_SCHEMA, differ ? other : bytes, 32);
			put_frontier(w, ROW_TAG_FRONTIER);
			put_frontier(w, ROW_TAG_FLOOR);
			if (type == ROW_WIRE_HAVE && take(8) == 0)
				(void) row_wire_put_bytes(w, ROW_TAG_BUSY, NULL, 0);
			for (uint32_t n = differ ? take(6) : 0; n > 0; n--)
				(void) row_wire_put_column(w, &a_column);
			if (type == ROW_WIRE_WANT && take(2))
				(void) row_wire_put_bytes(w, ROW_TAG_PACKS, NULL, 0);
			break;
		case ROW_WIRE_DATA:
			if (sequence == 0)
			{
				put_frontier(w, ROW_TAG_CLAIM);
				put_frontier(w, ROW_TAG_FLOOR);
				if (take(2))
					(void) row_wire_put_uint(w, ROW_TAG_TOTAL, take(256));
			}
			(void) row_wire_put_uint(w, ROW_TAG_SEQUENCE, sequence + (take(16) == 15));
			if (sequence > 0 && take(8) == 7)
				(void) row_wire_put_bytes(w, ROW_TAG_FRAGMENT, bytes, 1 + take(31));
			sequence++;
			put_rows(w);
			if (take(2))
				(void) row_wire_put_bytes(w, ROW_TAG_LAST, NULL, 0);
			break;
		case ROW_WIRE_ACK:
			(void) row_wire_put_uint(w, ROW_TAG_CREDIT, take(256));
			break;
		case ROW_WIRE_STOP:
			(void) row_wire_put_uint(w, ROW_TAG_CODE, take(24));
			break;
		case ROW_WIRE_RANGES:
			if (response && take(4) == 0)
			{
				put_frontier(w, ROW_TAG_CLAIM);
				put_frontier(w, ROW_TAG_FLOOR);
			}
			for (unsigned n = take(5); n > 0; n--)
			{
				RowRange	range = any_range(bounds);
				RowSum		sum = {range, take(40), {(uint8_t) take(2)}};

				(void) (response ? row_wire_put_sum(w, &sum) : row_wire_put_range(w, &range));
			}
			for (unsigned n = response ? take(6) : 0; n > 0; n--)
			{
				uint8_t		key;
				RowWireRow	row = any_row(&key);

				row.thin = false;
				(void) row_wire_put_entry(w, &row);
			}
			break;
		case ROW_WIRE_FETCH:
			for (unsigned n = 1 + take(4); n > 0; n--)
			{
				uint8_t		key = (uint8_t) ('a' + take(KEYS));

				(void) row_wire_put_bytes(w, ROW_TAG_KEY, &key, 1);
			}
			break;
		case ROW_WIRE_INTRODUCE:
			for (unsigned n = 1 + take(LIVES); n > 0; n--)
				(void) row_wire_put_incarnation(w, &life[n - 1]);
			break;
		case ROW_WIRE_PACKED:
			break;
	}
}

/* The frame of len bytes within a PACKED, a byte of which may be wrong: what it has then. */
static size_t
pack(size_t len, uint64_t request)
{
	static uint8_t packed[ROW_FRAME_MAX];
	size_t		n = net_pack(NULL, frame, len, packed + ROW_PACKED_HEAD, len - 1);
	RowWriter	w;

	if (n == 0 || request == 0)
		return len;
	if (take(4) == 0)
		packed[ROW_PACKED_HEAD + take(256) % n] = (uint8_t) take(256);
	row_wire_begin(&w, packed, sizeof packed, ROW_WIRE_PACKED, true, request, &(KadId) {{7}});
	REQUIRE(row_wire_put_packed(&w, (uint32_t) (len + (take(8) == 0)), n));
	len = (size_t) (w.bytes.at - w.frame);
	memcpy(frame, packed, len);
	return len;
}

static void
send_one(void)
{
	static const struct
	{
		RowWireType type;
		bool		response;
		bool		answers;	/* our request, else one of the sender's */
	}			kinds[] = {
		{ROW_WIRE_HAVE, false, false}, {ROW_WIRE_WANT, false, false}, {ROW_WIRE_DATA, true, true},
		{ROW_WIRE_DATA, true, true}, {ROW_WIRE_ACK, false, false}, {ROW_WIRE_STOP, true, true},
		{ROW_WIRE_STOP, false, false}, {ROW_WIRE_RANGES, false, false}, {ROW_WIRE_RANGES, true, true},
		{ROW_WIRE_RANGES, true, true}, {ROW_WIRE_FETCH, false, false}, {ROW_WIRE_INTRODUCE, false, false},
	};
	unsigned	kind = take(sizeof kinds / sizeof *kinds);
	bool		numbered = kinds[kind].type != ROW_WIRE_HAVE && kinds[kind].type != ROW_WIRE_INTRODUCE;
	KadId		from = kinds[kind].answers && take(8) > 0 ? asked : member[take(MEMBERS + 1)];
	RowWriter	w;
	uint8_t    *copy;
	size_t		len;

	row_wire_begin(&w, frame, sizeof frame, kinds[kind].type, kinds[kind].response,
				   !numbered ? 0 : kinds[kind].answers && asked_request != 0 ? asked_request : 1 + take(2), &(KadId) {{7}});
	put_items(&w, kinds[kind].type, kinds[kind].response);
	/* not row_wire_end(): what has no right form is for the reader to refuse */
	len = (size_t) (w.bytes.at - w.frame);
	bytes_store(frame + 48, 4, len - WIRE_HEAD);
	if (kinds[kind].type == ROW_WIRE_DATA && take(4) == 0)
	{
		len = pack(len, bytes_load(frame + 8, 8));
		bytes_store(frame + 48, 4, len - WIRE_HEAD);
	}
	copy = exact_copy(frame, len);
	replica_frame(replica, now, &from, copy, len);
	free(copy);
}

static void
set_members(unsigned n)
{
	static const uint8_t fingerprint[16];
	ReplicaMember list[MEMBERS];

	for (unsigned i = 0; i < n; i++)
		list[i] = (ReplicaMember) {member[i], i == 2 ? GRANT_READER : GRANT_WRITER, 0};
	replica_members(replica, now, list, (int) n, GRANT_WRITER, fingerprint);
}

static bool
fake_sign(void *context, const uint8_t *secret, const uint8_t *message, size_t len, uint8_t *signature)
{
	memset(signature, 0, CORE_SIGNATURE_BYTES);
	return true;
}

static void
begin(void)
{
	ReplicaConfig config = {
		.host = {NULL, host_open, host_close, host_seek_changes, host_seek_keys, host_next, host_find, host_content,
			host_has_tombstones, host_total, host_settled, host_clock, host_clock_heard, host_submit, host_keep_incarnation, host_owner, host_send, host_columns, host_differs, host_mesh,
		host_log, host_may_send, host_found, net_pack, net_unpack},
		.memory = &memory, .crypto = &crypto, .random = &fuzz_random,
		.collection = {{7}}, .self = {{99}},
		.max_atomic_bytes = ATOMIC, .max_row_bytes = ROW_BYTES_MAX,
		.scratch = scratch, .retention_ms = 3600000, .anti_entropy_ms = 30000,
	};
	uint8_t		secret[CORE_SECRET_BYTES] = {0};
	uint32_t	own;

	if (scratch == NULL)
		scratch = malloc(replica_scratch_bytes());
	crypto.sign = fake_sign;
	now = (CoreClock) {1000, NOW};
	memset(present, 0, sizeof present);
	memset(&job, 0, sizeof job);
	asked_request = 0;
	replica = replica_new(&config, now);
	REQUIRE(replica != NULL);
	for (int i = 0; i <= MEMBERS; i++)
		member[i] = (KadId) {{(uint8_t) (i + 1)}};
	for (int i = 0; i < LIVES; i++)
	{
		secret[CORE_SEED_BYTES] = (uint8_t) i;
		REQUIRE(row_incarnation_begin(replica_dictionary(replica), &fuzz_random, secret, &life[i]));
	}
	REQUIRE(row_dictionary_add(replica_dictionary(replica), &life[0], true, &own) == ROW_INCARNATION_NEW);
	replica_begin(replica, now, own, take(4) == 3);
	set_members(MEMBERS);
	for (int i = 0; i < MEMBERS; i++)
		replica_connected(replica, now, &member[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_begin();
	input = data;
	input_left = size;
	begin();
	while (input_left > 0)
	{
		unsigned	what = take(16);

		if (what < 9)
			send_one();
		else if (what < 12)
			end_job(take(8) == 7);
		else if (what == 12)
		{
			unsigned	who = take(MEMBERS);

			replica_gone(replica, now, &member[who]);
			if (take(4))
				replica_connected(replica, now, &member[who]);
		}
		else if (what == 13 && take(8) == 0)
			set_members(take(MEMBERS + 1));
		else
		{
			int64_t		ms = take(8) ? take(20) * 100 : 70000;

			now.tick_ms += ms;
			now.unix_ms += ms;
			replica_tick(replica, now);
		}
		REQUIRE(replica_figures(replica).buffered <= REPLICA_CREDIT + 2 * ATOMIC + 65536);
	}
	end_job(false);
	replica_destroy(&replica);
	REQUIRE(scans == 0);
	fuzz_end();
	return 0;
}
