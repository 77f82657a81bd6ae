/*
 * replica_serve.c
 *	  Requests of other members.
 *
 * Each has a snapshot, taken after our own tickets were looked at, and a claim, which is
 * our frontier of that moment: so every row that the claim covers is in the snapshot, or
 * something newer.  All rows that the other's frontier does not cover are sent, whatever
 * incarnation wrote them and whether the claim covers them: a row that the claim does
 * not cover may stand where one stood that it does.
 */
#include "core/rows/replica_state.h"

#define ROW_REST 256			/* of a row beside its key and content, at most */

static void serve_rows(Replica *self, ReplicaServe *serve);

static ReplicaServe *
find_serve(Replica *self, const KadId *to, uint64_t request)
{
	for (int i = 0; i < REPLICA_SERVES; i++)
		if (self->serve[i].active && self->serve[i].request == request && kad_id_equal(&self->serve[i].to, to))
			return &self->serve[i];
	return NULL;
}

void
serve_end(Replica *self, ReplicaServe *serve)
{
	if (!serve->active)
		return;
	serve->active = false;
	self->host.close(self->host.context, serve->scan);
	serve->scan = NULL;
}

void
serve_gone(Replica *self, const KadId *id)
{
	for (int i = 0; i < REPLICA_SERVES; i++)
		if (self->serve[i].active && kad_id_equal(&self->serve[i].to, id))
			serve_end(self, &self->serve[i]);
}

/* It cannot go on: the other begins again, or elsewhere. */
static void
fail(Replica *self, ReplicaServe *serve, RowWireCode code)
{
	replica_stop(self, &serve->to, serve->request, true, code);
	serve_end(self, serve);
}

void
serve_stop_all(Replica *self, RowWireCode code)
{
	for (int i = 0; i < REPLICA_SERVES; i++)
		if (self->serve[i].active)
			fail(self, &self->serve[i], code);
}

/* Why this request is not served, or ROW_CODE_DONE. */
static RowWireCode
refusal(Replica *self, const RowMessage *message, const RowFrontier *above)
{
	if (self->paused)
		return ROW_CODE_BUSY;
	if (memcmp(message->schema, self->config.schema, 32) != 0)
		return ROW_CODE_SCHEMA;
	/* what it covers, a copy that is not whole may tell: should the only other holder never come back */
	if (self->copying && message->mode != ROW_MODE_CHANGES)
		return ROW_CODE_BUSY;
	/* a snapshot may lack what a job of ours takes away below a floor that we know only when it is done */
	if (self->ask.phase == ASK_CLAIMING && self->ask_job != 0 && !row_frontier_includes(&self->floor, &self->job_floor))
		return ROW_CODE_BUSY;
	if (message->mode == ROW_MODE_COMPARE)
		/* a floor above what is here would make the other drop what only came late to us */
		return row_frontier_includes(&self->frontier, &self->floor) ? ROW_CODE_DONE : ROW_CODE_BUSY;
	if (replica_stale(self))
		return ROW_CODE_BUSY;
	if (message->mode == ROW_MODE_CHANGES && replica_holds(self, ROW_RULE_FLOOR) &&
		!row_frontier_includes(above, &self->floor))
		return ROW_CODE_FLOOR;
	return ROW_CODE_DONE;
}

/* A place for a request of this member, whose older one it replaces. */
static ReplicaServe *
free_serve(Replica *self, const KadId *to)
{
	serve_gone(self, to);
	for (int i = 0; i < REPLICA_SERVES; i++)
		if (!self->serve[i].active)
			return &self->serve[i];
	return NULL;
}

/* Rows by key go on behind the key that the message names. */
static void
seek_copy(Replica *self, ReplicaServe *serve, const RowMessage *message)
{
	RowBytes	keys = message->many[ROW_TAG_KEY];
	RowRange	range = {{NULL, 0}, {NULL, 0}};

	(void) row_wire_next_key(&keys, &range.low);
	self->host.seek_keys(self->host.context, serve->scan, &range);
}

/* Without the rule of closed batches: the rows and the claim of one incarnation. */
static void
claim_one_incarnation(ReplicaServe *serve)
{
	RowFrontier claim;

	row_frontier_init(&claim, serve->claim.memory);
	for (uint32_t i = 1; i <= serve->claim.n && serve->only == 0; i++)
		if (row_frontier_top(&serve->claim, i) > row_frontier_top(&serve->above, i) &&
			row_frontier_claim(&claim, i, row_frontier_top(&serve->claim, i), NULL, 0))
		{
			serve->only = i;
			(void) row_frontier_copy(&serve->claim, &claim);
		}
	row_frontier_reset(&claim);
}

/* What is covered, where it is not on disk; else NULL. */
static const RowFrontier *
not_kept(const Replica *self)
{
	return row_frontier_includes(&self->kept, &self->frontier) ? NULL : &self->frontier;
}

void
serve_want(Replica *self, ReplicaPeer *from, const RowMessage *message)
{
	ReplicaServe *serve = free_serve(self, &from->member.id);
	RowWireCode code;

	if (replica_holds(self, ROW_RULE_CLOCK_HEARD))
		self->host.clock_heard(self->host.context, message->clock);
	if (serve == NULL)
	{
		replica_stop(self, &from->member.id, message->request, true, ROW_CODE_BUSY);
		return;
	}
	replica_settle(self);
	code = !replica_read_frontier(self, message->frontier, &serve->above) ||
		!replica_read_frontier(self, message->floor, &serve->skip) ? ROW_CODE_UNKNOWN :
		refusal(self, message, &serve->above);
	if (code == ROW_CODE_DONE &&
		(!row_frontier_copy(&serve->claim, &self->frontier) || !row_frontier_copy(&serve->floor, &self->floor) ||
		 (serve->scan = self->host.open(self->host.context, not_kept(self))) == NULL))
		code = ROW_CODE_BUSY;
	if (code != ROW_CODE_DONE)
	{
		replica_stop(self, &from->member.id, message->request, true, code);
		return;
	}
	(void) row_frontier_join(&self->kept, &serve->claim);
	serve->only = 0;
	if (message->mode == ROW_MODE_CHANGES && !replica_holds(self, ROW_RULE_CLOSED_BATCH))
		claim_one_incarnation(serve);
	serve->active = true;
	serve->mode = message->mode;
	serve->packs = row_message_has(message, ROW_TAG_PACKS);
	serve->order = ++self->served;
	serve->sent_ms = self->now.tick_ms;
	serve->ended = serve->has_row = false;
	serve->to = from->member.id;
	serve->request = message->request;
	serve->deadline_ms = self->now.tick_ms + SERVE_TIMEOUT_MS;
	serve->credit = message->credit < REPLICA_CREDIT ? message->credit : REPLICA_CREDIT;
	serve->sequence = 0;
	if (serve->mode == ROW_MODE_COMPARE)
	{
		serve->ended = true;
		compare_answer(self, serve, NULL);
		return;
	}
	if (serve->mode == ROW_MODE_COPY)
		seek_copy(self, serve, message);
	else
		self->host.seek_changes(self->host.context, serve->scan, &serve->above);
	serve_rows(self, serve);
}

/* The next row to send, with its content.  ROW_READ_END: there is none any more. */
static RowRead
next_row(Replica *self, ReplicaServe *serve)
{
	RowRead		read = ROW_READ;

	if (!serve->has_row)
	{
		do
			read = self->host.next(self->host.context, serve->scan, &serve->row);
		while (read == ROW_READ && serve->only != 0 && serve->row.entry.stamp.incarnation != serve->only);
		serve->row_sent = 0;
		serve->row.thin = serve->mode == ROW_MODE_CHANGES && serve->row.entry.live &&
			row_frontier_covers(&serve->above, serve->row.entry.vector_stamp);
	}
	if (read == ROW_READ && serve->row.entry.live)
	{
		read = self->host.content(self->host.context, serve->scan, &serve->row, serve->row.thin);
		if (read != ROW_READ && !replica_holds(self, ROW_RULE_ROW_IS_THERE))
		{
			serve->has_row = false;
			return next_row(self, serve);
		}
	}
	serve->has_row = read == ROW_READ;
	return read == ROW_READ_END && serve->has_row ? ROW_READ_LOST : read;
}

static void
begin_data(Replica *self, ReplicaServe *serve, RowWriter *w)
{
	replica_write(self, w, &serve->to, ROW_WIRE_DATA, true, serve->request);
	/* of a comparison they were told with its first sum */
	if (serve->sequence == 0 && serve->mode != ROW_MODE_COMPARE)
	{
		(void) row_wire_put_frontier(w, ROW_TAG_CLAIM, &serve->claim, &self->dictionary);
		(void) row_wire_put_frontier(w, ROW_TAG_FLOOR, &serve->floor, &self->dictionary);
		if (serve->mode == ROW_MODE_COPY)
			(void) row_wire_put_uint(w, ROW_TAG_TOTAL, self->host.total(self->host.context, serve->scan));
	}
	(void) row_wire_put_uint(w, ROW_TAG_SEQUENCE, serve->sequence++);
}

/* The frame within another one, where that is shorter.  False: it is not. */
static bool
send_packed(Replica *self, ReplicaServe *serve, RowWriter *w)
{
	size_t		len = row_wire_end(w);
	uint8_t    *packed = self->scratch->packed;
	RowWriter	around;
	size_t		n;

	if (self->host.pack == NULL || len < PACK_LEAST)
		return false;
	n = self->host.pack(self->host.context, self->scratch->frame, len, packed + ROW_PACKED_HEAD,
						len - len / PACK_PART - ROW_PACKED_HEAD);
	if (n == 0)
		return false;
	row_wire_begin(&around, packed, sizeof self->scratch->packed, ROW_WIRE_PACKED, true, serve->request, &self->config.collection);
	(void) row_wire_put_packed(&around, (uint32_t) len, n);
	(void) self->host.send(self->host.context, &serve->to, packed, row_wire_end(&around));
	return true;
}

static void
end_data(Replica *self, ReplicaServe *serve, RowWriter *w, bool last)
{
	size_t		before = row_wire_left(w);
	ReplicaPeer *to = replica_peer(self, &serve->to);

	if (last)
		(void) row_wire_put_bytes(w, ROW_TAG_LAST, NULL, 0);
	serve->credit -= (int64_t) (ROW_FRAME_MAX - before);
	self->figures.bytes_sent += ROW_FRAME_MAX - before;
	if (to != NULL)
		to->bytes_sent += ROW_FRAME_MAX - before;
	serve->sent_ms = self->now.tick_ms;
	if (!serve->packs || !send_packed(self, serve, w))
		replica_send(self, w, &serve->to);
}

/*
 * Write what is left of the row.  False: the frame is full, and the row has more, or
 * did not begin.
 */
static bool
put_row(Replica *self, ReplicaServe *serve, RowWriter *w, bool first)
{
	RowWireRow	wire;
	size_t		written;
	ReplicaPeer *to;

	replica_wire_row(self, &serve->row, &wire);
	if (serve->row_sent > 0)
	{
		size_t		left = serve->row.content.len - (size_t) serve->row_sent;
		size_t		room = row_wire_left(w) < WIRE_ITEM_HEAD ? 0 : row_wire_left(w) - WIRE_ITEM_HEAD;
		size_t		n = left < room ? left : room;

		if (n == 0 || !row_wire_put_bytes(w, ROW_TAG_FRAGMENT, serve->row.content.at + serve->row_sent, n))
			return false;
		serve->row_sent += n;
	}
	/* what does not fit begins a message, so that messages end where rows do, and who asks can write them */
	else if ((first || row_wire_left(w) >= wire.key.len + wire.content_len + ROW_REST) && row_wire_put_row(w, &wire, &written))
		serve->row_sent = written;
	else
		return false;
	if (serve->row_sent < wire.content_len)
		return false;
	serve->has_row = false;
	self->figures.rows_sent++;
	to = replica_peer(self, &serve->to);
	if (to != NULL)
		to->rows_sent++;
	return true;
}

static bool
may_send(const Replica *self)
{
	return self->host.may_send == NULL || self->host.may_send(self->host.context);
}

/* Was a part of the row sent? */
static bool
amid_row(const ReplicaServe *serve)
{
	return serve->has_row && serve->row_sent > 0;
}

/* Send frames of rows as long as there is credit and more may be sent; a row that was begun goes on. */
static void
serve_rows(Replica *self, ReplicaServe *serve)
{
	while (serve->active && !serve->ended && serve->credit > 0 && (amid_row(serve) || may_send(self)))
	{
		RowWriter	w;
		RowRead		read;
		bool		first = true;

		begin_data(self, serve, &w);
		for (; (read = next_row(self, serve)) == ROW_READ && put_row(self, serve, &w, first); first = false)
			if (ROW_FRAME_MAX - row_wire_left(&w) >= self->config.chunk)
				break;
		if (read == ROW_READ_LOST)
		{
			fail(self, serve, ROW_CODE_ANEW);
			return;
		}
		serve->ended = read == ROW_READ_END;
		end_data(self, serve, &w, serve->ended);
	}
}

/*
 * The keys that are asked for, each whole, in as many frames as they need, until there is
 * no credit: the other asks for the rest again.
 */
static void
serve_keys(Replica *self, ReplicaServe *serve, const RowMessage *message)
{
	RowBytes	keys = message->many[ROW_TAG_KEY];
	RowBytes	key;
	RowWriter	w;
	bool		first = serve->credit > 0;
	bool		empty = true;

	begin_data(self, serve, &w);
	while ((first || serve->credit > (int64_t) (ROW_FRAME_MAX - row_wire_left(&w))) && row_wire_next_key(&keys, &key))
	{
		RowRead		read = self->host.find(self->host.context, serve->scan, key, &serve->row);

		first = false;
		serve->row.thin = false;
		if (read == ROW_READ && serve->row.entry.live)
			read = self->host.content(self->host.context, serve->scan, &serve->row, false);
		if (read == ROW_READ_END)
			continue;
		if (read != ROW_READ)
		{
			fail(self, serve, ROW_CODE_ANEW);
			return;
		}
		serve->has_row = true;
		serve->row_sent = 0;
		while (!put_row(self, serve, &w, empty))
		{
			end_data(self, serve, &w, false);
			begin_data(self, serve, &w);
			empty = true;
		}
		empty = false;
	}
	end_data(self, serve, &w, true);
}

void
serve_message(Replica *self, ReplicaPeer *from, const RowMessage *message)
{
	ReplicaServe *serve = find_serve(self, &from->member.id, message->request);

	if (serve == NULL)
		return;
	serve->deadline_ms = self->now.tick_ms + SERVE_TIMEOUT_MS;
	switch ((RowWireType) message->type)
	{
		case ROW_WIRE_ACK:
			/* it never has more than it began with, so a call sends no more than that */
			serve->credit += message->credit;
			if (serve->credit > REPLICA_CREDIT)
				serve->credit = REPLICA_CREDIT;
			serve_rows(self, serve);
			break;
		case ROW_WIRE_FETCH:
			if (serve->ended)
				serve_keys(self, serve, message);
			break;
		case ROW_WIRE_RANGES:
			if (serve->mode == ROW_MODE_COMPARE)
			{
				replica_differed(self, &serve->to);
				compare_answer(self, serve, message);
			}
			break;
		case ROW_WIRE_STOP:
			serve_end(self, serve);
			break;
		default:
			break;
	}
}

/* Rows of this request could be sent, but for the rate. */
static bool
waits_to_send(const ReplicaServe *serve)
{
	return serve->active && !serve->ended && serve->credit > 0;
}

/* As they came; but of a copy, which takes long, and of all else the one goes first in one second, the other in the next. */
static uint64_t
turn_of(const Replica *self, const ReplicaServe *serve)
{
	bool		copies_first = self->now.tick_ms / 1000 % 2 == 0;

	return serve->order + ((serve->mode == ROW_MODE_COPY) != copies_first ? UINT64_C(1) << 63 : 0);
}

/* The one whose turn comes after that. */
static ReplicaServe *
next_waiting(Replica *self, uint64_t after)
{
	ReplicaServe *next = NULL;

	for (int i = 0; i < REPLICA_SERVES; i++)
	{
		ReplicaServe *serve = &self->serve[i];

		if (waits_to_send(serve) && turn_of(self, serve) > after && (next == NULL || turn_of(self, serve) < turn_of(self, next)))
			next = serve;
	}
	return next;
}

/*
 * Where no more may be sent for a while the oldest request goes first, so that one ends
 * before another goes on.  Who waits is told that its request is alive, by a DATA without rows.
 */
static void
send_waiting(Replica *self)
{
	ReplicaServe *serve;

	for (uint64_t after = 0; (serve = next_waiting(self, after)) != NULL;)
	{
		after = turn_of(self, serve);
		serve_rows(self, serve);
		if (waits_to_send(serve) && !amid_row(serve) && self->now.tick_ms >= serve->sent_ms + SERVE_ALIVE_MS)
		{
			RowWriter	w;

			begin_data(self, serve, &w);
			end_data(self, serve, &w, false);
		}
	}
}

void
serve_tick(Replica *self)
{
	for (int i = 0; i < REPLICA_SERVES; i++)
		if (self->serve[i].active && self->now.tick_ms >= self->serve[i].deadline_ms)
			fail(self, &self->serve[i], ROW_CODE_UNKNOWN);
	send_waiting(self);
}
