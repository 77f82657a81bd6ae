/*
 * replica.c
 *	  A replica: what comes from outside, the members, HAVE, the time.
 *
 * The other files of it are named in replica_state.h.  One request of ours is under way
 * at a time: so a claim is always joined to a frontier that nothing else changes.
 */
#include "core/rows/replica_state.h"

#include <stdarg.h>
#include <stdio.h>

static void send_have(Replica *self, const KadId *to);
static void choose_ask(Replica *self);

static RowFrontier **
all_frontiers(Replica *self, RowFrontier *out[13])
{
	RowFrontier *all[] = {&self->frontier, &self->floor, &self->kept, &self->copy_claim, &self->copy_floor,
		&self->job_frontier, &self->job_floor, &self->job_covered, &self->job_collected,
	&self->side_frontier, &self->side_floor, &self->side_below, NULL};

	memcpy(out, all, sizeof all);
	return out;
}

size_t
replica_scratch_bytes(void)
{
	return sizeof(ReplicaScratch);
}

Replica *
replica_new(const ReplicaConfig *config, CoreClock clock)
{
	Replica    *self = core_alloc(config->memory, sizeof *self);
	ReplicaScratch *scratch = config->scratch != NULL ? config->scratch : core_alloc(config->memory, sizeof *scratch);
	RowFrontier *all[13];

	if (self == NULL || scratch == NULL)
	{
		core_free(config->memory, self);
		if (config->scratch == NULL)
			core_free(config->memory, scratch);
		return NULL;
	}
	memset(self, 0, sizeof *self);
	self->scratch = scratch;
	self->config = *config;
	if (self->config.credit == 0 || self->config.credit > REPLICA_CREDIT)
		self->config.credit = REPLICA_CREDIT;
	if (self->config.chunk == 0 || self->config.chunk > ROW_CHUNK)
		self->config.chunk = ROW_CHUNK;
	if (self->config.verify_every == 0)
		self->config.verify_every = REPLICA_VERIFY_EVERY;
	self->host = config->host;
	self->memory = *config->memory;
	self->crypto = *config->crypto;
	self->random = *config->random;
	self->now = clock;
	row_dictionary_init(&self->dictionary, &self->memory, &self->crypto, &config->collection);
	for (RowFrontier **f = all_frontiers(self, all); *f != NULL; f++)
		row_frontier_init(*f, &self->memory);
	row_frontier_init(&self->ask.claim, &self->memory);
	row_frontier_init(&self->ask.floor, &self->memory);
	self->ask.rows.pile.memory = self->ask.work.pile.memory = &self->memory;
	for (int i = 0; i < REPLICA_SERVES; i++)
	{
		row_frontier_init(&self->serve[i].above, &self->memory);
		row_frontier_init(&self->serve[i].claim, &self->memory);
		row_frontier_init(&self->serve[i].floor, &self->memory);
		row_frontier_init(&self->serve[i].skip, &self->memory);
	}
	self->next_request = core_random_bits(&self->random) | 1;
	return self;
}

static void
free_peer(Replica *self, ReplicaPeer *peer)
{
	row_frontier_reset(&peer->have);
	row_frontier_reset(&peer->floor);
	row_frontier_reset(&peer->acked);
	core_free(&self->memory, peer);
}

void
replica_destroy(Replica **p)
{
	Replica    *self = *p;
	RowFrontier *all[13];
	CoreMemory	memory;

	if (self == NULL)
		return;
	*p = NULL;
	if (self->ask.phase != ASK_NOTHING)
		self->ask.phase = ASK_RECEIVING;
	self->ask_job = 0;
	ask_abandon(self, 0);
	pile_reset(&self->ask.work.pile);
	for (int i = 0; i < REPLICA_SERVES; i++)
	{
		serve_end(self, &self->serve[i]);
		row_frontier_reset(&self->serve[i].above);
		row_frontier_reset(&self->serve[i].claim);
		row_frontier_reset(&self->serve[i].floor);
		row_frontier_reset(&self->serve[i].skip);
	}
	for (int i = 0; i < self->n_peers; i++)
		free_peer(self, self->peer[i]);
	row_frontier_reset(&self->ask.claim);
	row_frontier_reset(&self->ask.floor);
	for (RowFrontier **f = all_frontiers(self, all); *f != NULL; f++)
		row_frontier_reset(*f);
	row_dictionary_reset(&self->dictionary);
	memory = self->memory;
	if (self->config.scratch == NULL)
		core_free(&memory, self->scratch);
	core_free(&memory, self);
}

RowDictionary *
replica_dictionary(Replica *self)
{
	return &self->dictionary;
}

RowFrontier *
replica_frontier(Replica *self)
{
	return &self->frontier;
}

RowFrontier *
replica_floor(Replica *self)
{
	return &self->floor;
}

/* ms, and up to half as much again. */
static int64_t
jittered(Replica *self, int64_t ms)
{
	return ms + (int64_t) core_random_below(&self->random, (uint64_t) ms / 2 + 1);
}

void
replica_begin(Replica *self, CoreClock clock, uint32_t own, bool fresh)
{
	CORE_ASSERT(self->own == 0 && own > 0 && own <= self->dictionary.n);
	self->now = clock;
	self->own = own;
	self->copying = fresh;
	(void) row_frontier_copy(&self->kept, &self->frontier);
	replica_floor_raised(self);
	self->loose_ms = clock.tick_ms > 0 ? clock.tick_ms : 1;
	self->entropy_ms = clock.tick_ms + jittered(self, self->config.anti_entropy_ms / 2);
	self->garbage_ms = clock.tick_ms + jittered(self, self->config.anti_entropy_ms / 2);
	self->verify_ms = clock.tick_ms + jittered(self, self->config.anti_entropy_ms * self->config.verify_every);
	self->have_due = true;
}

bool
replica_holds(const Replica *self, RowRule rule)
{
	return ROW_RULE_HOLDS(self->config.off, rule);
}

void
replica_log(Replica *self, const char *format,...)
{
	char		line[256];
	va_list		args;

	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	self->host.log(self->host.context, line);
}

void
replica_schema(Replica *self, const uint8_t schema[32])
{
	memcpy(self->config.schema, schema, 32);
	for (int i = 0; i < self->n_peers; i++)
	{
		ReplicaPeer *peer = self->peer[i];

		peer->same_schema = memcmp(peer->schema, schema, 32) == 0;
		peer->shown_ms = 0;
		if (peer->up)
			send_have(self, &peer->member.id);
	}
	ask_abandon(self, 0);
	serve_stop_all(self, ROW_CODE_SCHEMA);
}

void
replica_pause(Replica *self, CoreClock clock, bool paused)
{
	self->now = clock;
	if (self->paused == paused)
		return;
	self->paused = paused;
	/* those that are many are told in turn */
	for (int i = 0; i < self->n_peers; i++)
		if (self->peer[i]->up)
			send_have(self, &self->peer[i]->member.id);
	if (!paused)
		return;
	ask_stop(self, ROW_CODE_DONE, 0);
	serve_stop_all(self, ROW_CODE_BUSY);
}

/* ---- members ---- */

/* The place of an id among those that are sorted: where it is, or where it would be. */
static int
peer_place(const Replica *self, const KadId *id)
{
	int			low = 0;
	int			high = self->n_peers;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (memcmp(&self->peer[middle]->member.id, id, sizeof *id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

ReplicaPeer *
replica_peer(const Replica *self, const KadId *id)
{
	int			i = peer_place(self, id);

	return i < self->n_peers && kad_id_equal(&self->peer[i]->member.id, id) ? self->peer[i] : NULL;
}

/* False: there is no memory or no place. */
static bool
add_peer(Replica *self, const ReplicaMember *member)
{
	int			i = peer_place(self, &member->id);
	ReplicaPeer *peer;

	if (self->n_peers == REPLICA_MEMBERS || (peer = core_alloc(&self->memory, sizeof *peer)) == NULL)
		return false;
	memset(peer, 0, sizeof *peer);
	peer->member = *member;
	peer->heard_ms = self->now.tick_ms;
	if (member->heard_unix_ms > 0 && member->heard_unix_ms < self->now.unix_ms)
		peer->heard_ms -= self->now.unix_ms - member->heard_unix_ms;
	row_frontier_init(&peer->have, &self->memory);
	row_frontier_init(&peer->floor, &self->memory);
	row_frontier_init(&peer->acked, &self->memory);
	memmove(self->peer + i + 1, self->peer + i, (size_t) (self->n_peers - i) * sizeof *self->peer);
	self->peer[i] = peer;
	self->n_peers++;
	return true;
}

static bool
is_in(const ReplicaMember *member, int n, const KadId *id)
{
	for (int i = 0; i < n; i++)
		if (kad_id_equal(&member[i].id, id))
			return true;
	return false;
}

void
replica_members(Replica *self, CoreClock clock, const ReplicaMember *member, int n, GrantRole own_role,
				const uint8_t fingerprint[16])
{
	self->now = clock;
	self->own_role = own_role;
	memcpy(self->fingerprint, fingerprint, 16);
	self->have_due = true;
	for (int i = self->n_peers - 1; i >= 0; i--)
	{
		ReplicaPeer *peer = self->peer[i];

		if (is_in(member, n, &peer->member.id))
			continue;
		ask_gone(self, &peer->member.id);
		serve_gone(self, &peer->member.id);
		free_peer(self, peer);
		memmove(self->peer + i, self->peer + i + 1, (size_t) (self->n_peers - i - 1) * sizeof *self->peer);
		self->n_peers--;
	}
	self->members_known = true;
	for (int i = 0; i < n; i++)
	{
		ReplicaPeer *peer = replica_peer(self, &member[i].id);

		if (peer == NULL)
			self->members_known = add_peer(self, &member[i]) && self->members_known;
		else
			peer->member.role = member[i].role;
	}
	/* who may not write any more is not heard */
	if (self->ask.phase != ASK_NOTHING)
	{
		ReplicaPeer *peer = replica_peer(self, &self->ask.to);

		if (peer != NULL && peer->member.role < GRANT_WRITER)
			ask_abandon(self, 0);
	}
}

int64_t
replica_heard(const Replica *self, const KadId *id)
{
	const ReplicaPeer *peer = replica_peer(self, id);

	return peer == NULL ? 0 : self->now.unix_ms - (self->now.tick_ms - peer->heard_ms);
}

void
replica_connected(Replica *self, CoreClock clock, const KadId *id)
{
	ReplicaPeer *peer = replica_peer(self, id);

	self->now = clock;
	if (peer == NULL)
		return;
	if (peer->up)
		replica_gone(self, clock, id);
	peer->up = true;
	peer->met = false;
	peer->introduced = 0;
	peer->ask_ms = 0;
	send_have(self, id);
}

void
replica_gone(Replica *self, CoreClock clock, const KadId *id)
{
	ReplicaPeer *peer = replica_peer(self, id);

	self->now = clock;
	if (peer == NULL)
		return;
	peer->up = peer->heard = peer->asked = false;
	peer->shown_ms = 0;
	peer->introduced = 0;
	ask_gone(self, id);
	serve_gone(self, id);
}

/* ---- frames ---- */

void
replica_write(Replica *self, RowWriter *w, const KadId *to, RowWireType type, bool response, uint64_t request)
{
	ReplicaPeer *peer = replica_peer(self, to);

	while (peer != NULL && peer->introduced < self->dictionary.n)
	{
		uint32_t	until = peer->introduced + ROW_INTRODUCTIONS;

		if (until > self->dictionary.n)
			until = self->dictionary.n;
		row_wire_begin(w, self->scratch->frame, sizeof self->scratch->frame, ROW_WIRE_INTRODUCE, false, 0, &self->config.collection);
		for (uint32_t i = peer->introduced + 1; i <= until; i++)
			(void) row_wire_put_incarnation(w, row_dictionary_get(&self->dictionary, i));
		if (!replica_send(self, w, to))
			break;				/* what names them is not understood, and comes again */
		peer->introduced = until;
	}
	row_wire_begin(w, self->scratch->frame, sizeof self->scratch->frame, type, response, request, &self->config.collection);
}

/* What does not arrive shows by a timeout, or by the link that is gone. */
bool
replica_send(Replica *self, RowWriter *w, const KadId *to)
{
	size_t		len = row_wire_end(w);

	return len > 0 && self->host.send(self->host.context, to, self->scratch->frame, len) == LINK_SENT;
}

void
replica_stop(Replica *self, const KadId *to, uint64_t request, bool response, RowWireCode code)
{
	RowWriter	w;

	replica_write(self, &w, to, ROW_WIRE_STOP, response, request);
	(void) row_wire_put_uint(&w, ROW_TAG_CODE, code);
	replica_send(self, &w, to);
}

bool
replica_read_frontier(Replica *self, RowBytes bytes, RowFrontier *out)
{
	RowWireClaim claim;

	row_frontier_reset(out);
	while (row_wire_next_claim(&bytes, &claim))
	{
		uint32_t	number = row_dictionary_find(&self->dictionary, &claim.id);

		if (number == 0 || !row_frontier_claim(out, number, claim.top, claim.open, claim.n_open))
			return false;
	}
	/* nobody knows more of our own tickets than we do: who was lied to about them is believed all else */
	return self->own == 0 || row_frontier_limit(out, self->own, &self->frontier);
}

static bool
read_stamp(Replica *self, const RowWireStamp *in, RowStamp *out)
{
	out->incarnation = row_dictionary_find(&self->dictionary, &in->id);
	out->ticket = in->ticket;
	return out->incarnation != 0;
}

bool
replica_read_entry(Replica *self, const RowWireRow *in, RowEntry *out)
{
	memset(out, 0, sizeof *out);
	out->version = in->version;
	out->live = in->live;
	memcpy(out->hash, in->hash, ROW_HASH);
	memcpy(out->vector_hash, in->vector_hash, ROW_HASH);
	return read_stamp(self, &in->stamp, &out->stamp) && read_stamp(self, &in->birth, &out->birth) &&
		read_stamp(self, &in->vector_stamp, &out->vector_stamp);
}

static RowWireStamp
wire_stamp(const Replica *self, RowStamp stamp)
{
	return (RowWireStamp) {row_dictionary_get(&self->dictionary, stamp.incarnation)->id, stamp.ticket};
}

void
replica_wire_row(const Replica *self, const Row *in, RowWireRow *out)
{
	memset(out, 0, sizeof *out);
	out->key = in->key;
	out->version = in->entry.version;
	out->stamp = wire_stamp(self, in->entry.stamp);
	out->birth = wire_stamp(self, in->entry.birth);
	out->vector_stamp = wire_stamp(self, in->entry.vector_stamp);
	out->live = in->entry.live;
	out->thin = in->thin;
	memcpy(out->hash, in->entry.hash, ROW_HASH);
	memcpy(out->vector_hash, in->entry.vector_hash, ROW_HASH);
	if (in->entry.live)
	{
		out->content_len = in->content.len;
		out->content = in->content;
	}
}

/*
 * Does what it says to have forgotten keep us from others?  Not that of one who tells a
 * floor and then answers no comparison: a true one others tell of, too.
 */
static bool
floor_counts(const ReplicaPeer *peer)
{
	return peer->heard && peer->member.role >= GRANT_WRITER && peer->in_vain < FLOOR_IN_VAIN;
}

bool
replica_stale(const Replica *self)
{
	if (!replica_holds(self, ROW_RULE_STALE_WAITS))
		return false;
	if (!row_frontier_includes(&self->frontier, &self->floor))
		return true;
	for (int i = 0; i < self->n_peers; i++)
	{
		const ReplicaPeer *peer = self->peer[i];

		/* who is not there any more, for ever perhaps, must not keep all others from each other */
		if (peer->up && floor_counts(peer) && !row_frontier_includes(&self->frontier, &peer->floor))
			return true;
	}
	return false;
}

void
replica_settle(Replica *self)
{
	RowSettled	settled;

	self->host.settled(self->host.context, &settled);
	if (settled.top == self->settled.top && settled.n == self->settled.n &&
		(settled.n == 0 || memcmp(settled.open, self->settled.open, settled.n * sizeof *settled.open) == 0))
		return;
	/* without memory it stays behind until the next time */
	if (row_frontier_claim(&self->frontier, self->own, settled.top, settled.open, settled.n))
	{
		self->settled = settled;
		self->have_due = true;
	}
}

/* ---- HAVE ---- */

static bool
differs(const ReplicaPeer *peer)
{
	return !peer->same_schema && !bytes_all_zero(peer->schema, sizeof peer->schema);
}

bool
replica_differs(const Replica *self, const KadId *id)
{
	const ReplicaPeer *peer = replica_peer(self, id);

	return peer != NULL && peer->up && differs(peer);
}

bool
replica_differing(const Replica *self, KadId *id)
{
	for (int i = 0; i < self->n_peers; i++)
		if (self->peer[i]->up && differs(self->peer[i]))
		{
			*id = self->peer[i]->member.id;
			return true;
		}
	return false;
}

/*
 * To one whose columns are others ours are told, so that each can say which differ: again
 * where its own have changed, and now and then.  How many there are to tell, from *column on.
 */
static int
columns_for(const Replica *self, const ReplicaPeer *to, const RowColumn **column)
{
	if (to == NULL || !to->up || !differs(to) ||
		(to->shown_ms != 0 && self->now.tick_ms < to->shown_ms + (to->changed ? SHOWN_LEAST_MS : self->config.anti_entropy_ms)))
		return 0;
	return self->host.columns(self->host.context, column);
}

static void
send_have(Replica *self, const KadId *to)
{
	RowWriter	w;
	bool		busy = self->copying || self->paused || replica_stale(self);
	ReplicaPeer *peer = replica_peer(self, to);
	const RowColumn *column;
	int			n = columns_for(self, peer, &column);
	bool		fits;

	if (self->own == 0)
		return;
	replica_write(self, &w, to, ROW_WIRE_HAVE, false, 0);
	fits = row_wire_put_bytes(&w, ROW_TAG_MEMBERS, self->fingerprint, 16) &&
		row_wire_put_uint(&w, ROW_TAG_CLOCK, self->host.clock(self->host.context)) &&
		row_wire_put_bytes(&w, ROW_TAG_SCHEMA, self->config.schema, 32) &&
		row_wire_put_frontier(&w, ROW_TAG_FRONTIER, &self->frontier, &self->dictionary) &&
		row_wire_put_frontier(&w, ROW_TAG_FLOOR, &self->floor, &self->dictionary) &&
		(!busy || row_wire_put_bytes(&w, ROW_TAG_BUSY, NULL, 0));
	for (int i = 0; i < n && fits && row_wire_put_column(&w, &column[i]); i++)
		;
	if (n > 0)
	{
		peer->shown_ms = self->now.tick_ms;
		peer->changed = false;
	}
	if (fits)
		replica_send(self, &w, to);
	else
		replica_log(self, "what is covered here does not fit into a frame");
}

static void
take_have(Replica *self, ReplicaPeer *from, const RowMessage *message)
{
	const RowColumn *column;

	if (replica_holds(self, ROW_RULE_CLOCK_HEARD))
		self->host.clock_heard(self->host.context, message->clock);
	from->heard_ms = self->now.tick_ms;
	garbage_heard(self, from, message);
	from->changed |= memcmp(from->schema, message->schema, 32) != 0;
	memcpy(from->schema, message->schema, 32);
	from->same_schema = memcmp(message->schema, self->config.schema, 32) == 0;
	if (differs(from) && row_message_has(message, ROW_TAG_COLUMN))
		self->host.differs(self->host.context, &from->member.id, message->schema, message->many[ROW_TAG_COLUMN]);
	if (columns_for(self, from, &column) > 0)
		send_have(self, &from->member.id);
	if (from->member.role < GRANT_WRITER)
		return;
	from->heard = replica_read_frontier(self, message->frontier, &from->have) &&
		replica_read_frontier(self, message->floor, &from->floor);
	from->busy = row_message_has(message, ROW_TAG_BUSY);
}

static void
take_introductions(Replica *self, ReplicaPeer *from, const RowMessage *message)
{
	RowBytes	at = message->many[ROW_TAG_INCARNATION];
	RowIncarnation incarnation;

	while (row_wire_next_incarnation(&at, &incarnation))
	{
		uint32_t	number;
		RowOwner	owner = self->host.owner(self->host.context, incarnation.owner);
		RowIncarnationAdded added;

		/* else who may sign at all could fill the dictionary; a grant that comes later is followed by another INTRODUCE */
		if (owner == ROW_OWNER_STRANGER)
		{
			self->figures.refused++;
			continue;
		}
		added = owner == ROW_OWNER_WRITER ? row_dictionary_add(&self->dictionary, &incarnation, false, &number) :
			row_dictionary_add_former(&self->dictionary, &incarnation, &number);
		if (added == ROW_INCARNATION_NEW &&
			!self->host.keep_incarnation(self->host.context, number, &incarnation))
			row_dictionary_forget_last(&self->dictionary);
		else if (added != ROW_INCARNATION_NEW && added != ROW_INCARNATION_KNOWN)
			self->figures.refused++;
	}
}

/* A DATA that we have asked for, and said that it may come so. */
static void
take_packed(Replica *self, ReplicaPeer *from, const RowMessage *message)
{
	uint8_t    *frame = self->scratch->packed;
	RowMessage	within;

	if (self->host.unpack == NULL || (self->ask.phase != ASK_RECEIVING && self->ask.phase != ASK_FETCHING) ||
		message->request != self->ask.request || !kad_id_equal(&self->ask.to, &from->member.id))
		self->figures.refused++;
	else if (!self->host.unpack(self->host.context, message->packed.at, message->packed.len, frame, message->whole) ||
			 row_wire_decode(frame, message->whole, &within) != DECODE_OK || within.type != ROW_WIRE_DATA ||
			 within.request != message->request || !kad_id_equal(&within.collection, &message->collection))
	{
		self->figures.refused++;
		replica_stop(self, &from->member.id, message->request, false, ROW_CODE_MALFORMED);
		ask_in_vain(self);
	}
	else
		ask_data(self, from, &within, frame, message->whole);
}

void
replica_frame(Replica *self, CoreClock clock, const KadId *id, const uint8_t *frame, size_t len)
{
	ReplicaPeer *from = replica_peer(self, id);
	RowMessage	message;

	self->now = clock;
	if (self->own == 0 || from == NULL || !from->up || from->member.role < GRANT_READER ||
		row_wire_decode(frame, len, &message) != DECODE_OK ||
		!kad_id_equal(&message.collection, &self->config.collection))
	{
		self->figures.refused++;
		return;
	}
	/* what we sent before may have come when it did not know us as a member yet */
	if (!from->met)
	{
		from->met = true;
		from->introduced = 0;
		send_have(self, id);
	}
	switch ((RowWireType) message.type)
	{
		case ROW_WIRE_HAVE:
			take_have(self, from, &message);
			choose_ask(self);
			break;
		case ROW_WIRE_INTRODUCE:
			take_introductions(self, from, &message);
			break;
		case ROW_WIRE_WANT:
			serve_want(self, from, &message);
			break;
		case ROW_WIRE_DATA:
			ask_data(self, from, &message, frame, len);
			break;
		case ROW_WIRE_PACKED:
			take_packed(self, from, &message);
			break;
		case ROW_WIRE_RANGES:
			if (message.response)
				ask_data(self, from, &message, frame, len);
			else
				serve_message(self, from, &message);
			break;
		case ROW_WIRE_STOP:
			if (message.response)
				ask_stopped(self, from, &message);
			else
				serve_message(self, from, &message);
			break;
		case ROW_WIRE_ACK:
		case ROW_WIRE_FETCH:
			serve_message(self, from, &message);
			break;
	}
}

void
replica_done(Replica *self, CoreClock clock, const RowDone *done)
{
	self->now = clock;
	if (done->id == self->ask_job)
		ask_done(self, done);
	else if (done->id == self->side_job)
		garbage_done(self, done);
	choose_ask(self);
}

/* ---- the time ---- */

/* What to ask of a member, if anything; 0: nothing. */
static RowWireMode
what_to_ask(const Replica *self, const ReplicaPeer *peer)
{
	if (!peer->up || !peer->heard || peer->member.role < GRANT_WRITER || !peer->same_schema ||
		self->now.tick_ms < peer->ask_ms)
		return 0;
	if (self->copying && !peer->busy)
		return ROW_MODE_COPY;
	/* of those who copy too, what they wrote themselves */
	if (self->copying)
		return row_frontier_includes(&self->frontier, &peer->have) ? 0 : ROW_MODE_CHANGES;
	if (replica_holds(self, ROW_RULE_FLOOR) && floor_counts(peer) && !row_frontier_includes(&self->frontier, &peer->floor))
		return ROW_MODE_COMPARE;
	if (!row_frontier_includes(&self->frontier, &self->floor))
		return ROW_MODE_COMPARE;
	/* what it wrote just before a crash is in no frontier: so it is asked once over each link */
	if (peer->busy || (peer->asked && row_frontier_includes(&self->frontier, &peer->have)))
		return 0;
	/* it is below our floor: first it compares, and then sends */
	if (replica_holds(self, ROW_RULE_STALE_WAITS) && !row_frontier_includes(&peer->have, &self->floor))
		return 0;
	return self->torn ? ROW_MODE_COMPARE : ROW_MODE_CHANGES;
}

static bool
may_compare(const ReplicaPeer *peer)
{
	return peer->up && peer->heard && !peer->busy && peer->same_schema && peer->member.role >= GRANT_WRITER;
}

/*
 * Of the members that are up and hold the same columns the one that was compared with
 * longest ago: what only one of them knows comes within as many comparisons as there are.
 */
static void
verify(Replica *self)
{
	ReplicaPeer *chosen = NULL;
	uint64_t	n = 0;

	for (int i = 0; i < self->n_peers; i++)
	{
		ReplicaPeer *peer = self->peer[i];

		if (!may_compare(peer) ||
			(chosen != NULL && peer->verified_ms > chosen->verified_ms))
			continue;
		if (chosen != NULL && peer->verified_ms < chosen->verified_ms)
			n = 0;
		if (core_random_below(&self->random, ++n) == 0)
			chosen = peer;
	}
	if (chosen == NULL)
		return;
	chosen->verified_ms = self->now.tick_ms;
	ask_begin(self, chosen, ROW_MODE_COMPARE);
}

/*
 * A claim that we believed was false.  What else it hid comes by comparisons only, for
 * nobody sends what we say to cover: so some follow soon.
 */
void
replica_doubt(Replica *self)
{
	replica_log(self, "rows that were claimed to be here were not: comparing with other members");
	self->doubts = 2 * (uint32_t) self->n_peers;
	self->verify_ms = self->now.tick_ms + jittered(self, self->config.anti_entropy_ms);
}

void
replica_verify_soon(Replica *self)
{
	int64_t		soon = self->now.tick_ms + jittered(self, self->config.anti_entropy_ms / 2);

	if (soon < self->verify_ms)
		self->verify_ms = soon;
}

void
replica_differed(Replica *self, const KadId *id)
{
	ReplicaPeer *peer = replica_peer(self, id);
	int64_t		lately = self->now.tick_ms - self->config.anti_entropy_ms * self->config.verify_every / 2;

	/* one that is never chosen would else have us compare with others all the time */
	if (peer == NULL || peer->member.role < GRANT_WRITER || peer->verified_ms < 0 ||
		(peer->verified_ms > 0 && peer->verified_ms > lately))
		return;
	peer->verified_ms = -1;
	replica_verify_soon(self);
}

void
replica_floor_raised(Replica *self)
{
	uint64_t	clock = self->host.clock(self->host.context);

	if (clock > self->floor_clock)
		self->floor_clock = clock;
}

void
replica_compare(Replica *self, CoreClock clock, const KadId *id, bool wanted)
{
	ReplicaPeer *peer = replica_peer(self, id);

	self->now = clock;
	if (peer != NULL)
		peer->wanted = wanted;
}

int64_t
replica_compared(const Replica *self, const KadId *id)
{
	const ReplicaPeer *peer = replica_peer(self, id);

	return peer == NULL || peer->member.role < GRANT_WRITER ? -1 : (int64_t) peer->compared;
}

/* Begin a comparison that somebody waits for.  False: there is none, or its members do not answer now. */
static bool
compare_wanted(Replica *self)
{
	for (int i = 0; i < self->n_peers && !self->copying; i++)
	{
		ReplicaPeer *peer = self->peer[i];

		if (peer->wanted && may_compare(peer) && self->now.tick_ms >= peer->ask_ms)
		{
			ask_begin(self, peer, ROW_MODE_COMPARE);
			return true;
		}
	}
	return false;
}

static void
choose_ask(Replica *self)
{
	ReplicaPeer *chosen = NULL;
	RowWireMode mode = 0;
	uint64_t	n = 0;

	if (self->own == 0 || self->paused || self->ask.phase != ASK_NOTHING || self->ask_job != 0)
		return;
	if (compare_wanted(self))
		return;
	/* here, where changes would be asked for: where they never end it would not be due between two of them */
	if (!self->copying && self->now.tick_ms >= self->verify_ms)
	{
		verify(self);
		self->doubts -= self->doubts > 0;
		self->verify_ms = self->now.tick_ms +
			jittered(self, self->config.anti_entropy_ms * (self->doubts > 0 ? 1 : self->config.verify_every));
		if (self->ask.phase != ASK_NOTHING)
			return;
	}
	for (int i = 0; i < self->n_peers; i++)
	{
		RowWireMode ask = what_to_ask(self, self->peer[i]);

		/* a copy, and a comparison below a floor, go before changes, else any is as good */
		if (ask == 0 || (mode != 0 && mode != ROW_MODE_CHANGES && ask == ROW_MODE_CHANGES))
			continue;
		if (ask != ROW_MODE_CHANGES && mode == ROW_MODE_CHANGES)
			n = 0;
		if (core_random_below(&self->random, ++n) == 0)
		{
			chosen = self->peer[i];
			mode = ask;
		}
	}
	if (chosen != NULL)
		ask_begin(self, chosen, mode);
}

/*
 * Who hears first of what is new: all who are up where these are few, else the mesh, which
 * passes it on.  It forms a second or more after a member has come, or come back.
 */
static int
list_near(Replica *self, KadId near[MESH_HIGH])
{
	int			n = 0;

	for (int i = 0; i < self->n_peers && n <= HAVE_ALL; i++)
		if (self->peer[i]->up)
			near[n++] = self->peer[i]->member.id;
	return n <= HAVE_ALL ? n : self->host.mesh(self->host.context, near, MESH_HIGH);
}

static void
tell(Replica *self)
{
	if (self->have_due && self->now.tick_ms >= self->have_ms + HAVE_SOON_MS)
	{
		KadId		near[MESH_HIGH];
		int			n = list_near(self, near);

		for (int i = 0; i < n; i++)
			send_have(self, &near[i]);
		/* of many it may have nobody yet */
		self->have_due = n == 0;
		self->have_ms = self->now.tick_ms;
	}
	if (self->now.tick_ms >= self->entropy_ms && self->n_peers > 0)
	{
		ReplicaPeer *peer = self->peer[core_random_below(&self->random, (uint64_t) self->n_peers)];

		/* it may not have been able to keep an incarnation when it was introduced */
		if (peer->introduced == self->dictionary.n)
			peer->introduced -= self->dictionary.n < ROW_INTRODUCTIONS ? self->dictionary.n : ROW_INTRODUCTIONS;
		send_have(self, &peer->member.id);
		self->entropy_ms = self->now.tick_ms + jittered(self, self->config.anti_entropy_ms / 2);
	}
}

void
replica_tick(Replica *self, CoreClock clock)
{
	self->now = clock;
	if (self->own == 0)
		return;
	replica_settle(self);
	tell(self);
	ask_tick(self);
	serve_tick(self);
	garbage_tick(self);
	choose_ask(self);
	figures_tick(self);
}
