/*
 * replica_figures.c
 *	  What a copy is like, and how far it and each member are apart, for people who look.
 *
 * What a member has is what it told last, in a HAVE or an acknowledgement: it may have more.
 */
#include "core/rows/replica_state.h"

#include "core/assert.h"

#define WATCH_MS 1000			/* between looks at who lacks something; each at so many members: */
#define WATCH_MEMBERS 32

ReplicaFigures
replica_figures(const Replica *self)
{
	ReplicaFigures figures = self->figures;

	figures.copying = self->copying;
	figures.stale = replica_stale(self);
	figures.paused = self->paused;
	figures.buffered = self->ask.rows.pile.bytes + self->ask.work.pile.bytes;
	return figures;
}

void
replica_frontier_sum(const Replica *self, uint8_t out[16])
{
	uint8_t    *frame = self->scratch->frame;
	uint8_t		hash[32] = {0};
	RowWriter	w;

	row_wire_begin(&w, frame, sizeof self->scratch->frame, ROW_WIRE_HAVE, false, 0, &self->config.collection);
	if (row_wire_put_frontier(&w, ROW_TAG_FRONTIER, &self->frontier, &self->dictionary))
		self->crypto.sha256(self->crypto.context, frame + WIRE_HEAD, (size_t) (w.bytes.at - frame) - WIRE_HEAD, hash);
	memcpy(out, hash, 16);
}

bool
replica_covers(const Replica *self, const RowIncarnationId *incarnation, uint64_t ticket)
{
	uint32_t	number = row_dictionary_find(&self->dictionary, incarnation);

	return number > 0 && ticket > 0 && row_frontier_covers(&self->frontier, (RowStamp) {number, ticket});
}

int
replica_lacking(const Replica *self, const RowIncarnationId *incarnation, uint64_t ticket)
{
	RowStamp	stamp = {row_dictionary_find(&self->dictionary, incarnation), ticket};
	int			n = 0;

	if (!self->members_known)
		return -1;
	for (int i = 0; i < self->n_peers; i++)
	{
		const ReplicaPeer *peer = self->peer[i];

		n += stamp.incarnation == 0 || ticket == 0 ||
			!((peer->acknowledged && row_frontier_covers(&peer->acked, stamp)) ||
			  (peer->up && peer->heard && row_frontier_covers(&peer->have, stamp)));
	}
	return n;
}

/* Tickets up to whose last one `has` goes further than `lacks`, of all lives. */
static uint64_t
tickets_beyond(const RowFrontier *has, const RowFrontier *lacks)
{
	uint64_t	n = 0;

	for (uint32_t i = 1; i <= has->n; i++)
	{
		uint64_t	top = row_frontier_top(has, i);
		uint64_t	other = row_frontier_top(lacks, i);

		n += top > other ? top - other : 0;
	}
	return n;
}

static const RowFrontier *
told(const ReplicaPeer *peer)
{
	return peer->acknowledged && (!peer->heard || row_frontier_includes(&peer->acked, &peer->have)) ? &peer->acked : &peer->have;
}

/* Since when is it so?  0: it is not. */
static void
since(int64_t *since_ms, bool so, int64_t tick_ms)
{
	*since_ms = !so ? 0 : *since_ms != 0 ? *since_ms : tick_ms;
}

void
figures_tick(Replica *self)
{
	int			n = self->n_peers < WATCH_MEMBERS ? self->n_peers : WATCH_MEMBERS;

	if (self->now.tick_ms < self->watch_ms)
		return;
	self->watch_ms = self->now.tick_ms + WATCH_MS;
	for (int i = 0; i < n; i++)
	{
		ReplicaPeer *peer = self->peer[self->watch_next++ % self->n_peers];

		since(&peer->lacks_there_ms, !row_frontier_includes(told(peer), &self->frontier), self->now.tick_ms);
		since(&peer->lacks_here_ms, peer->member.role >= GRANT_WRITER && !row_frontier_includes(&self->frontier, &peer->have), self->now.tick_ms);
	}
}

static ReplicaMemberState
state_of(const Replica *self, const ReplicaPeer *peer, const ReplicaServe *serve, const ReplicaMemberFigures *figures)
{
	if (!peer->up)
		return REPLICA_AWAY;
	if (!peer->met)
		return REPLICA_SILENT;
	if (replica_differs(self, &peer->member.id))
		return REPLICA_OTHER_COLUMNS;
	if (self->ask.phase != ASK_NOTHING && kad_id_equal(&self->ask.to, &peer->member.id))
		return self->ask.mode == ROW_MODE_COPY ? REPLICA_COPYING_FROM :
			self->ask.mode == ROW_MODE_COMPARE ? REPLICA_COMPARING : REPLICA_TAKING;
	if (serve != NULL)
		return REPLICA_SENDING;
	if (peer->heard && peer->busy)
		return REPLICA_BUSY;
	return figures->lacks_here > 0 || figures->lacks_there > 0 ? REPLICA_BEHIND : REPLICA_LEVEL;
}

int
replica_members_count(const Replica *self)
{
	return self->n_peers;
}

void
replica_member_figures(const Replica *self, CoreClock clock, int i, ReplicaMemberFigures *out)
{
	const ReplicaPeer *peer;
	const ReplicaServe *serve = NULL;

	CORE_ASSERT(i >= 0 && i < self->n_peers);
	peer = self->peer[i];
	for (int k = 0; k < REPLICA_SERVES; k++)
		if (self->serve[k].active && kad_id_equal(&self->serve[k].to, &peer->member.id))
			serve = &self->serve[k];
	*out = (ReplicaMemberFigures) {
		.id = peer->member.id,
		.role = peer->member.role,
		.heard_ms = clock.tick_ms - peer->heard_ms,
		.lacks_there = tickets_beyond(&self->frontier, told(peer)),
		.lacks_here = peer->member.role >= GRANT_WRITER ? tickets_beyond(&peer->have, &self->frontier) : 0,
		.rows_sent = peer->rows_sent,
		.bytes_sent = peer->bytes_sent,
		.rows_taken = peer->rows_taken,
	};
	if (out->lacks_there > 0 && peer->lacks_there_ms != 0)
		out->lacks_there_ms = clock.tick_ms - peer->lacks_there_ms;
	if (out->lacks_here > 0 && peer->lacks_here_ms != 0)
		out->lacks_here_ms = clock.tick_ms - peer->lacks_here_ms;
	out->state = state_of(self, peer, serve, out);
	if (out->state == REPLICA_SENDING)
		out->credit = serve->credit;
	else if (out->state >= REPLICA_TAKING && out->state <= REPLICA_COPYING_FROM)
		out->credit = self->ask.credit;
}
