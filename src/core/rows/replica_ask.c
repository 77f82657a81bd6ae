/*
 * replica_ask.c
 *	  Our request to another member: rows that come, the jobs that write them, the claim.
 *
 *	  RECEIVING --all rows are here--> APPLYING --some lack their vector--> FETCHING
 *	      |                               |                                   |
 *	      +--ranges (replica_compare.c)   +-----> CLAIMING <------------------+
 *
 * The claim is joined to our frontier in the transaction that writes the last of the
 * rows, or after it: where anything goes wrong before, rows may be here that no claim
 * covers, and never the other way round.
 */
#include "core/rows/replica_state.h"

/* Bytes of keys to fetch: rows without a vector that is another here, of one batch. */
#define FETCH_BYTES (8 * REPLICA_CREDIT)

static void work(Replica *self, bool with_claim);
static void all_here(Replica *self);

/* ---- keys ---- */

static AskKey *
new_key(Replica *self, RowBytes key, AskKey *next)
{
	AskKey	   *new = core_alloc(&self->memory, sizeof *new + key.len);

	if (new == NULL)
		return NULL;
	new->next = next;
	new->len = key.len;
	memcpy(new->bytes, key.at, key.len);
	return new;
}

bool
ask_add_fetch(Replica *self, RowBytes key, bool renew)
{
	AskKey	   *new = self->ask.fetch_bytes > FETCH_BYTES ? NULL : new_key(self, key, self->ask.fetch);

	if (new == NULL)
		return false;
	new->renew = renew;
	self->ask.fetch = new;
	self->ask.fetch_bytes += sizeof *new + key.len;
	self->ask.n_fetch++;
	return true;
}

bool
ask_add_drop(Replica *self, RowBytes key, const RowEntry *entry, bool lost, bool renew)
{
	AskKey	   *new = new_key(self, key, self->ask.drop);

	if (new == NULL)
		return false;
	new->entry = *entry;
	new->lost = lost;
	new->renew = renew;
	self->ask.drop = new;
	self->ask.n_drop++;
	return true;
}

static void
free_keys(Replica *self, AskKey **list)
{
	while (*list != NULL)
	{
		AskKey	   *key = *list;

		*list = key->next;
		core_free(&self->memory, key);
	}
}

/*
 * It came: it need not be asked for again.  Rows come in the order in which they were
 * asked for, so each key is looked at once.  *renew: as was noted with it.  False: this
 * one was not asked for.
 */
static bool
remove_fetch(Replica *self, RowBytes key, bool *renew)
{
	for (AskKey **at = self->ask.fetch_at; *at != NULL; at = &(*at)->next)
		if ((*at)->len == key.len && memcmp((*at)->bytes, key.at, key.len) == 0)
		{
			AskKey	   *found = *at;

			*at = found->next;
			*renew = found->renew;
			core_free(&self->memory, found);
			self->ask.fetch_at = at;
			self->ask.fetch_bytes -= sizeof *found + key.len;
			self->ask.n_fetch--;
			self->ask.fetched = true;
			return true;
		}
	return false;
}

/* ---- rows ---- */

static void
reset_rows(AskRows *rows)
{
	pile_reset(&rows->pile);
	rows->row = NULL;
	rows->n = rows->room = 0;
}

static Row *
add_row(AskRows *rows)
{
	if (rows->n == rows->room)
	{
		uint32_t	room = rows->room == 0 ? 32 : 2 * rows->room;
		Row		   *wider = pile_alloc(&rows->pile, room * sizeof *wider);

		if (wider == NULL)
			return NULL;
		if (rows->n > 0)
			memcpy(wider, rows->row, rows->n * sizeof *wider);
		rows->row = wider;
		rows->room = room;
	}
	return &rows->row[rows->n++];
}

/* More content of the row that came in part. */
static bool
take_fragment(Replica *self, const RowMessage *message)
{
	ReplicaAsk *ask = &self->ask;

	if ((ask->part_whole > 0) != row_message_has(message, ROW_TAG_FRAGMENT))
		return false;
	if (ask->part_whole == 0)
		return true;
	if (message->fragment.len > ask->part_whole - ask->part_len)
		return false;
	memcpy(ask->part + ask->part_len, message->fragment.at, message->fragment.len);
	ask->part_len += message->fragment.len;
	if (ask->part_len == ask->part_whole)
		ask->part_whole = ask->part_len = 0;
	else if (message->many[ROW_TAG_ROW].len > 0 || row_message_has(message, ROW_TAG_LAST))
		return false;
	return true;
}

static bool
take_row(Replica *self, const RowWireRow *wire)
{
	ReplicaAsk *ask = &self->ask;
	Row		   *row;
	bool		renew = false;

	if (wire->content_len > self->config.max_row_bytes)
	{
		replica_log(self, "a row of more than %u bytes is not taken", self->config.max_row_bytes);
		return false;
	}
	/* one version is one content */
	if (wire->version.clock == 0 && (!wire->live || memcmp(wire->version.tie, wire->hash, ROW_HASH) != 0))
		return false;
	/* what is fetched is whole */
	if (ask->phase == ASK_FETCHING && (wire->thin || !remove_fetch(self, wire->key, &renew)))
		return false;
	row = add_row(&ask->rows);
	if (row == NULL || !replica_read_entry(self, wire, &row->entry))
		return false;
	row->key = wire->key;
	row->thin = wire->thin;
	row->lost = false;
	row->renew = renew;
	row->content = wire->content;
	if (wire->content.len < wire->content_len)
	{
		ask->part = pile_alloc(&ask->rows.pile, (size_t) wire->content_len);
		if (ask->part == NULL)
			return false;
		memcpy(ask->part, wire->content.at, wire->content.len);
		ask->part_len = wire->content.len;
		ask->part_whole = wire->content_len;
		row->content = (RowBytes) {ask->part, (size_t) wire->content_len};
	}
	return true;
}

/* The rows of a frame join those that are here.  False: the request is over. */
static bool
take_rows(Replica *self, const uint8_t *frame, size_t len)
{
	uint8_t    *copy = pile_copy(&self->ask.rows.pile, frame, len);
	RowMessage	message;
	RowWireRow	wire;
	RowBytes	at;

	/* what is kept must point into the copy */
	if (copy == NULL || row_wire_decode(copy, len, &message) != DECODE_OK || !take_fragment(self, &message))
		return false;
	at = message.many[ROW_TAG_ROW];
	while (row_wire_next_row(&at, &wire))
		if (!take_row(self, &wire))
			return false;
	return self->ask.part_whole == 0 || !row_message_has(&message, ROW_TAG_LAST);
}

/* ---- asking ---- */

void
ask_acknowledge(Replica *self, uint32_t credit)
{
	RowWriter	w;

	self->ask.alive_ms = self->now.tick_ms + SERVE_TIMEOUT_MS / 4;
	replica_write(self, &w, &self->ask.to, ROW_WIRE_ACK, false, self->ask.request);
	(void) row_wire_put_uint(&w, ROW_TAG_CREDIT, credit);
	replica_send(self, &w, &self->ask.to);
	self->ask.credit += credit;
}

static void
acknowledge_due(Replica *self)
{
	if (self->ask.credit_due > 0)
		ask_acknowledge(self, self->ask.credit_due);
	self->ask.credit_due = 0;
}

void
ask_begin(Replica *self, ReplicaPeer *peer, RowWireMode mode)
{
	ReplicaAsk *ask = &self->ask;
	RowWriter	w;

	CORE_ASSERT(ask->phase == ASK_NOTHING && self->ask_job == 0);
	peer->asked = true;
	ask->phase = ASK_RECEIVING;
	ask->mode = mode;
	ask->to = peer->member.id;
	ask->request = self->next_request++;
	ask->deadline_ms = self->now.tick_ms + ASK_TIMEOUT_MS;
	ask->seen_ms = self->now.tick_ms;
	ask->waited_ms = ask->came = 0;
	ask->sequence = 0;
	ask->held = false;
	ask->patience_ms = ASK_PATIENCE_MS;
	ask->wanted = mode == ROW_MODE_COMPARE && peer->wanted;
	ask->told = ask->all_here = ask->written = ask->fetched = ask->waits = ask->doubtful = false;
	ask->part_whole = ask->part_len = 0;
	ask->credit = self->config.credit;
	ask->credit_due = 0;
	ask->alive_ms = self->now.tick_ms + SERVE_TIMEOUT_MS / 4;
	ask->n_fetch = ask->n_drop = 0;
	ask->fetch_bytes = 0;
	replica_write(self, &w, &ask->to, ROW_WIRE_WANT, false, ask->request);
	(void) row_wire_put_uint(&w, ROW_TAG_MODE, mode);
	(void) row_wire_put_uint(&w, ROW_TAG_CREDIT, self->config.credit);
	(void) row_wire_put_bytes(&w, ROW_TAG_MEMBERS, self->fingerprint, 16);
	(void) row_wire_put_uint(&w, ROW_TAG_CLOCK, self->host.clock(self->host.context));
	(void) row_wire_put_bytes(&w, ROW_TAG_SCHEMA, self->config.schema, 32);
	(void) row_wire_put_frontier(&w, ROW_TAG_FRONTIER, &self->frontier, &self->dictionary);
	(void) row_wire_put_frontier(&w, ROW_TAG_FLOOR, &self->floor, &self->dictionary);
	if (mode == ROW_MODE_COPY && self->copy_key_len > 0)
		(void) row_wire_put_bytes(&w, ROW_TAG_KEY, self->copy_key, self->copy_key_len);
	if (self->host.unpack != NULL)
		(void) row_wire_put_bytes(&w, ROW_TAG_PACKS, NULL, 0);
	replica_send(self, &w, &ask->to);
}

/* Everything of the request but a job at work, whose rows stay until it is done. */
static void
reset(Replica *self)
{
	ReplicaAsk *ask = &self->ask;

	if (ask->written || self->ask_job != 0)
		self->loose_ms = self->now.tick_ms > 0 ? self->now.tick_ms : 1;
	self->torn |= ask->mode == ROW_MODE_CHANGES && ask->written;
	ask->phase = ASK_NOTHING;
	ask->part_whole = 0;
	reset_rows(&ask->rows);
	free_keys(self, &ask->fetch);
	free_keys(self, &ask->drop);
	compare_reset(self);
	if (self->ask_job == 0)
		reset_rows(&ask->work);
}

void
ask_abandon(Replica *self, int64_t again_ms)
{
	ReplicaPeer *peer;

	/* what is being kept needs nobody any more */
	if (self->ask.phase == ASK_NOTHING || (self->ask.phase == ASK_CLAIMING && self->ask_job != 0))
		return;
	peer = replica_peer(self, &self->ask.to);
	if (peer != NULL)
	{
		peer->ask_ms = self->now.tick_ms + again_ms;
		peer->asked = false;
	}
	self->figures.interrupted++;
	reset(self);
}

void
ask_stop(Replica *self, RowWireCode code, int64_t again_ms)
{
	if (self->ask.phase == ASK_NOTHING)
		return;
	if (self->ask.phase != ASK_CLAIMING || self->ask_job == 0)
		replica_stop(self, &self->ask.to, self->ask.request, false, code);
	ask_abandon(self, again_ms);
}

/* Who keeps us waiting again and again must not keep us from the others. */
void
ask_in_vain(Replica *self)
{
	ReplicaPeer *peer = replica_peer(self, &self->ask.to);
	uint32_t	doubled = 0;

	if (peer != NULL)
	{
		doubled = peer->in_vain < ASK_AGAIN_MOST ? peer->in_vain : ASK_AGAIN_MOST;
		peer->in_vain += peer->in_vain < UINT32_MAX;
	}
	ask_abandon(self, (int64_t) ASK_AGAIN_MS << doubled);
}

void
ask_gone(Replica *self, const KadId *id)
{
	if (self->ask.phase != ASK_NOTHING && kad_id_equal(&self->ask.to, id))
		ask_abandon(self, 0);
}

void
ask_stopped(Replica *self, ReplicaPeer *from, const RowMessage *message)
{
	if (self->ask.phase == ASK_NOTHING || message->request != self->ask.request ||
		!kad_id_equal(&self->ask.to, &from->member.id))
		return;
	if (message->code == ROW_CODE_SCHEMA)
		from->same_schema = false;
	/* a snapshot that lost the table is followed by another at once, and by more of them as anything that failed */
	ask_abandon(self, message->code == ROW_CODE_ANEW && self->anew++ == 0 ? 0 : ASK_AGAIN_MS);
}

/*
 * Does the other send less than it has to, for as long as we have waited for it?  What
 * our own disk takes does not count, nor for some minutes that it has sent all it may.
 */
static bool
trickles(Replica *self)
{
	ReplicaAsk *ask = &self->ask;
	int64_t		least = self->config.credit < ASK_RATE_BYTES ? self->config.credit : ASK_RATE_BYTES;
	bool		slow;

	if (self->ask_job == 0)
		ask->waited_ms += self->now.tick_ms - ask->seen_ms;
	ask->seen_ms = self->now.tick_ms;
	if (ask->waited_ms < ASK_RATE_MS)
		return false;
	slow = ask->came < least;
	if (!slow)
		ask->patience_ms = ASK_PATIENCE_MS;
	else if (ask->held && ask->patience_ms > 0)
	{
		ask->patience_ms -= ask->waited_ms;
		slow = false;
	}
	ask->waited_ms = ask->came = 0;
	ask->held = false;
	return slow;
}

void
ask_tick(Replica *self)
{
	/* who serves us waits for a frame of ours, however long a job takes */
	if (self->ask.phase != ASK_NOTHING && self->ask_job != 0 && self->now.tick_ms >= self->ask.alive_ms)
		ask_acknowledge(self, 0);
	if (self->ask.phase != ASK_NOTHING && trickles(self) && self->ask_job == 0)
		ask_stop(self, ROW_CODE_DONE, ASK_RATE_MS);
	/* our own disk may take its time */
	if (self->ask.phase != ASK_NOTHING && self->ask_job == 0 && self->now.tick_ms >= self->ask.deadline_ms)
	{
		replica_stop(self, &self->ask.to, self->ask.request, false, ROW_CODE_DONE);
		ask_in_vain(self);
	}
}

/* ---- what comes ---- */

/*
 * A copy claims only what all its sources claim: each of them from its first rows on, for
 * they stay when another goes on behind them.  The floor comes first: that it has too
 * much does no harm, as prepare() takes away what is not claimed.
 */
static bool
join_source(Replica *self)
{
	const RowFrontier *claim = &self->ask.claim;

	if (!self->copy_begun || !replica_holds(self, ROW_RULE_LEAST_SOURCE))
	{
		self->copy_begun = row_frontier_copy(&self->copy_claim, claim) &&
			row_frontier_copy(&self->copy_floor, &self->ask.floor);
		return self->copy_begun;
	}
	return row_frontier_join(&self->copy_floor, &self->ask.floor) && row_frontier_meet(&self->copy_claim, claim);
}

/* The first answer says what is covered at its end.  False: it is missing, or not understood. */
static bool
take_claim(Replica *self, const RowMessage *message)
{
	ReplicaAsk *ask = &self->ask;

	if (ask->told)
		return true;
	ask->told = row_message_has(message, ROW_TAG_CLAIM) && row_message_has(message, ROW_TAG_FLOOR) &&
		replica_read_frontier(self, message->claim, &ask->claim) &&
		replica_read_frontier(self, message->floor, &ask->floor);
	/* who has a floor above what is claimed would make us drop what only came late to it */
	if (ask->mode == ROW_MODE_COMPARE)
		ask->told = ask->told && row_frontier_includes(&ask->claim, &ask->floor);
	if (ask->mode == ROW_MODE_COPY && row_message_has(message, ROW_TAG_TOTAL))
		self->figures.copy_total = message->total;
	return ask->told && (ask->mode != ROW_MODE_COPY || join_source(self));
}

void
ask_data(Replica *self, ReplicaPeer *from, const RowMessage *message, const uint8_t *frame, size_t len)
{
	ReplicaAsk *ask = &self->ask;

	if ((ask->phase != ASK_RECEIVING && ask->phase != ASK_FETCHING) || message->request != ask->request ||
		!kad_id_equal(&ask->to, &from->member.id))
	{
		self->figures.refused++;
		return;
	}
	ask->deadline_ms = self->now.tick_ms + ASK_TIMEOUT_MS;
	if (!take_claim(self, message))
	{
		ask_in_vain(self);
		return;
	}
	if (message->type == ROW_WIRE_RANGES)
	{
		/* as much as it takes: the other may have read many entries for it */
		ask->came += ASK_RATE_BYTES;
		if (ask->mode == ROW_MODE_COMPARE && ask->phase == ASK_RECEIVING)
			compare_ranges(self, message);
		return;
	}
	if (ask->mode == ROW_MODE_COPY)
	{
		if (self->figures.copied_bytes == 0)
			self->figures.copy_began_ms = self->now.unix_ms;
		self->figures.copied_bytes += len;
	}
	ask->credit -= (int64_t) len;
	ask->came += (int64_t) len;
	/* of a comparison rows come when they are asked for; credit may be passed by a frame, or the rest of a row */
	if (ask->credit < -(int64_t) (2 * ROW_FRAME_MAX + self->config.max_row_bytes) ||
		(ask->mode == ROW_MODE_COMPARE && ask->phase != ASK_FETCHING) || message->sequence != ask->sequence ||
		ask->all_here || !take_rows(self, frame, len))
	{
		replica_stop(self, &ask->to, ask->request, false, ROW_CODE_MALFORMED);
		ask_in_vain(self);
		return;
	}
	ask->sequence++;
	ask->held |= message->many[ROW_TAG_ROW].len == 0 && !row_message_has(message, ROW_TAG_FRAGMENT);
	ask->all_here = row_message_has(message, ROW_TAG_LAST);
	ask->credit_due += (uint32_t) len;
	if (self->ask_job != 0)
		return;
	if (ask->all_here)
		all_here(self);
	else if (ask->part_whole == 0 &&
			 (ask->rows.pile.bytes > self->config.max_atomic_bytes || ask->mode == ROW_MODE_COPY))
		work(self, false);
	else
		acknowledge_due(self);
}

/* ---- jobs ---- */

/* What of frontiers the job needs.  False: no memory. */
static bool
prepare(Replica *self, bool with_claim)
{
	ReplicaAsk *ask = &self->ask;
	bool		copy = ask->mode == ROW_MODE_COPY;

	if (!row_frontier_copy(&self->job_covered, &self->frontier) ||
		!row_frontier_copy(&self->job_collected, &self->floor))
		return false;
	if (!with_claim)
		return true;
	return row_frontier_copy(&self->job_frontier, &self->frontier) &&
		row_frontier_join(&self->job_frontier, copy ? &self->copy_claim : &ask->claim) &&
		row_frontier_copy(&self->job_floor, &self->floor) &&
		(ask->mode == ROW_MODE_CHANGES || row_frontier_join(&self->job_floor, copy ? &self->copy_floor : &ask->floor)) &&
		/* what is absent below a floor counts as deleted: so nothing that one source of a copy did not cover */
		(!copy || row_frontier_meet(&self->job_floor, &self->job_frontier));
}

/* Is every row, with the write that made it, covered once the batch is whole?  Else it is loose. */
static void
look_for_loose(Replica *self)
{
	const ReplicaAsk *ask = &self->ask;

	for (uint32_t i = 0; i < ask->rows.n && self->loose_ms == 0; i++)
	{
		const RowEntry *entry = &ask->rows.row[i].entry;

		if ((!row_frontier_covers(&ask->claim, entry->stamp) && !row_frontier_covers(&self->frontier, entry->stamp)) ||
			(!row_frontier_covers(&ask->claim, entry->birth) && !row_frontier_covers(&self->frontier, entry->birth)))
			self->loose_ms = self->now.tick_ms > 0 ? self->now.tick_ms : 1;
	}
}

/* Hand over the rows that are here, each of which is whole. */
static void
work(Replica *self, bool with_claim)
{
	ReplicaAsk *ask = &self->ask;
	RowJob		job;

	CORE_ASSERT(self->ask_job == 0 && ask->part_whole == 0 && (!with_claim || ask->all_here));
	memset(&job, 0, sizeof job);
	job.kind = ROW_JOB_APPLY;
	job.id = ++self->next_job;
	job.n = (int) ask->rows.n;
	job.row = ask->rows.row;
	job.covered = &self->job_covered;
	job.collected = &self->job_collected;
	job.claim = ask->told ? &ask->claim : NULL;
	if (with_claim)
	{
		job.frontier = &self->job_frontier;
		job.floor = &self->job_floor;
	}
	if (!prepare(self, with_claim) || !self->host.submit(self->host.context, &job))
	{
		ask_abandon(self, ASK_AGAIN_MS);
		return;
	}
	look_for_loose(self);
	self->ask_job = job.id;
	ask->drops = job.kind == ROW_JOB_DROP;
	ask->work = ask->rows;
	memset(&ask->rows, 0, sizeof ask->rows);
	ask->rows.pile.memory = &self->memory;
	if (with_claim)
		ask->phase = ASK_CLAIMING;
	else if (ask->all_here)
		ask->phase = ASK_APPLYING;
}

/* The last of the rows came. */
static void
all_here(Replica *self)
{
	ReplicaAsk *ask = &self->ask;

	if (ask->phase == ASK_FETCHING && ask->n_fetch > 0 && !ask->fetched)
	{
		ask_abandon(self, ASK_AGAIN_MS);
		return;
	}
	/* a comparison claims at its end, when all ranges have been looked at */
	work(self, ask->mode != ROW_MODE_COMPARE && ask->n_fetch == 0);
}

/* Ask for rows by key, as many as one frame takes. */
static void
fetch(Replica *self)
{
	ReplicaAsk *ask = &self->ask;
	RowWriter	w;

	ask->phase = ASK_FETCHING;
	ask->all_here = ask->fetched = false;
	ask->fetch_at = &ask->fetch;
	ask->deadline_ms = self->now.tick_ms + ASK_TIMEOUT_MS;
	replica_write(self, &w, &ask->to, ROW_WIRE_FETCH, false, ask->request);
	for (AskKey *key = ask->fetch; key != NULL; key = key->next)
		if (!row_wire_put_bytes(&w, ROW_TAG_KEY, key->bytes, key->len))
			break;
	replica_send(self, &w, &ask->to);
}

/*
 * Drop what was deleted by the other, in one transaction with the claim and the floor:
 * before the floor is here, nothing says that these rows are gone, and others who still
 * have them are not told.
 */
static void
drop(Replica *self, bool with_claim)
{
	ReplicaAsk *ask = &self->ask;
	RowJob		job;

	CORE_ASSERT(ask->rows.n == 0);
	memset(&job, 0, sizeof job);
	job.kind = ROW_JOB_DROP;
	job.id = ++self->next_job;
	for (AskKey *key = ask->drop; key != NULL; key = key->next)
	{
		Row		   *row = add_row(&ask->rows);

		if (row == NULL)
			break;
		memset(row, 0, sizeof *row);
		row->entry = key->entry;
		row->lost = key->lost;
		row->renew = key->renew;
		row->key.len = key->len;
		row->key.at = pile_copy(&ask->rows.pile, key->bytes, key->len);
		if (row->key.at == NULL)
		{
			ask->rows.n--;
			break;
		}
	}
	job.n = (int) ask->rows.n;
	job.row = ask->rows.row;
	job.covered = &self->job_covered;
	job.collected = &self->job_collected;
	if (with_claim)
	{
		job.frontier = &self->job_frontier;
		job.floor = &self->job_floor;
	}
	if (ask->rows.n < ask->n_drop || !prepare(self, with_claim) || !self->host.submit(self->host.context, &job))
	{
		ask_abandon(self, ASK_AGAIN_MS);
		return;
	}
	free_keys(self, &ask->drop);
	ask->n_drop = 0;
	self->ask_job = job.id;
	ask->drops = job.kind == ROW_JOB_DROP;
	ask->work = ask->rows;
	memset(&ask->rows, 0, sizeof ask->rows);
	ask->rows.pile.memory = &self->memory;
	ask->written = true;
	ask->phase = with_claim ? ASK_CLAIMING : ASK_APPLYING;
}

void
ask_settle_keys(Replica *self)
{
	if (self->ask.n_fetch > 0)
		fetch(self);
	else if (self->ask.n_drop >= COMPARE_DROPS)
		drop(self, false);
	else
	{
		self->ask.phase = ASK_RECEIVING;
		compare_go_on(self);
	}
}

void
ask_claim(Replica *self)
{
	CORE_ASSERT(self->ask.n_fetch == 0 && self->ask.rows.n == 0);
	if (self->ask.n_drop > 0)
	{
		self->ask.all_here = !self->ask.waits;
		drop(self, !self->ask.waits);
		return;
	}
	if (self->ask.waits)
	{
		ask_stop(self, ROW_CODE_DONE, ASK_TIMEOUT_MS);
		return;
	}
	self->ask.all_here = true;
	work(self, true);
}

/* The claim is on disk. */
static void
claimed(Replica *self)
{
	ReplicaAsk *ask = &self->ask;
	ReplicaPeer *peer;

	if (!row_frontier_includes(&self->floor, &self->job_floor))
		replica_floor_raised(self);
	/* our own tickets went on meanwhile; without the floor no claim of what it took away */
	if (!row_frontier_join(&self->floor, &self->job_floor) || !row_frontier_join(&self->frontier, &self->job_frontier))
	{
		ask_abandon(self, ASK_AGAIN_MS);
		return;
	}
	(void) row_frontier_join(&self->kept, &self->job_frontier);
	replica_stop(self, &ask->to, ask->request, false, ROW_CODE_DONE);
	if ((peer = replica_peer(self, &ask->to)) != NULL)
	{
		peer->in_vain = 0;
		peer->compared += ask->wanted;
		peer->wanted &= !ask->wanted;
	}
	if (ask->mode == ROW_MODE_COMPARE && ask->doubtful)
		replica_doubt(self);
	if (ask->mode == ROW_MODE_COMPARE)
		self->figures.compared++;
	else
		self->figures.batches++;
	if (ask->mode == ROW_MODE_COPY)
		self->copying = self->copy_begun = false;
	ask->written = false;
	self->have_due = true;
	reset(self);
	self->torn = false;
	self->anew = 0;
}

static void
copied_to(Replica *self)
{
	const AskRows *rows = &self->ask.work;

	if (rows->n > 0)
	{
		self->copy_key_len = rows->row[rows->n - 1].key.len;
		memcpy(self->copy_key, rows->row[rows->n - 1].key.at, self->copy_key_len);
	}
}

/* Rows may still be on their way while a job is at work. */
static bool
waits_for_rows(const ReplicaAsk *ask)
{
	return ask->phase == ASK_RECEIVING || ask->phase == ASK_FETCHING;
}

void
ask_done(Replica *self, const RowDone *done)
{
	ReplicaAsk *ask = &self->ask;
	ReplicaPeer *from;
	bool		missing = false;

	self->ask_job = 0;
	if (ask->phase == ASK_NOTHING || done->failed)
	{
		/* of a request that was given up, or that is given up now */
		reset_rows(&ask->work);
		if (ask->phase == ASK_CLAIMING)
			ask->phase = ASK_APPLYING;
		ask_abandon(self, ASK_AGAIN_MS);
		return;
	}
	self->figures.rows_taken += ask->work.n;
	from = replica_peer(self, &ask->to);
	if (from != NULL)
		from->rows_taken += ask->work.n;
	/* what is to be written anew is compared again when its user's transaction has ended */
	ask->waits |= ask->drops && done->n_missing > 0;
	/* others may have what we have dropped */
	if (ask->drops && done->n_changed > 0)
	{
		replica_verify_soon(self);
		garbage_note_open_writes(self);
	}
	for (uint32_t i = 0; i < done->n_missing && !ask->drops; i++)
		if (!ask_add_fetch(self, ask->work.row[done->missing[i]].key, false))
			missing = true;
	if (ask->mode == ROW_MODE_COPY)
	{
		self->figures.copied += ask->work.n;
		copied_to(self);
	}
	reset_rows(&ask->work);
	ask->deadline_ms = self->now.tick_ms + ASK_TIMEOUT_MS;
	if (missing)
	{
		ask->written = true;
		ask_abandon(self, ASK_AGAIN_MS);
	}
	else if (ask->phase == ASK_CLAIMING && done->n_missing == 0)
		claimed(self);
	else
	{
		ask->written = true;
		acknowledge_due(self);
		if (waits_for_rows(ask) && ask->all_here)
			all_here(self);
		else if (waits_for_rows(ask))
		{
			if (ask->part_whole == 0 && ask->rows.pile.bytes > self->config.max_atomic_bytes)
				work(self, false);
		}
		else if (ask->n_fetch > 0)
			fetch(self);
		else if (ask->mode == ROW_MODE_COMPARE)
			ask_settle_keys(self);
		else
			ask_claim(self);
	}
}
