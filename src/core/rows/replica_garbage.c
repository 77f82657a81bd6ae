/*
 * replica_garbage.c
 *	  What may be forgotten, and what must not stay unclaimed.
 *
 * A tombstone may go when every current member has acknowledged a frontier that covers
 * it and the write that made the row.  Only acknowledgements count that came with our own
 * fingerprint of the membership, and none from a member while it sends us a batch, which
 * may still bring what the tombstone deletes.  What went is remembered as the floor.
 *
 * Rows that came in a batch that was never finished are covered by nobody's claim.
 * After a while they are stamped anew as our own: so they are claimed, and reach the
 * others, even if those who wrote and sent them never come back.
 */
#include "core/rows/replica_state.h"

/* Times anti_entropy_ms, after which rows that nobody claims are adopted. */
#define ADOPT_AFTER 2

/* HAVE came: what its sender covers, if that counts. */
void
garbage_heard(Replica *self, ReplicaPeer *from, const RowMessage *message)
{
	if (replica_holds(self, ROW_RULE_ACK_AFTER_BATCH) && self->ask.phase != ASK_NOTHING &&
		kad_id_equal(&self->ask.to, &from->member.id))
		return;
	from->acknowledged = replica_read_frontier(self, message->frontier, &from->acked);
	memcpy(from->acked_members, message->members, sizeof from->acked_members);
}

/* Is what this member acknowledged still asked for? */
static bool
counts(const Replica *self, const ReplicaPeer *peer)
{
	return peer->up || self->now.tick_ms - peer->heard_ms < self->config.retention_ms;
}

/*
 * Of who may not write nobody hears what it has forgotten: it forgets what one of those
 * who may has, as far as that one covers it, and we.  A batch on its way may bring what
 * was deleted.  False: not now, or there is no memory.
 */
static bool
forgotten(Replica *self, RowFrontier *out, RowFrontier *spare)
{
	row_frontier_reset(out);
	/* what it has dropped and cannot tell of may live elsewhere: below a floor it would not be asked for */
	if (self->ask.phase != ASK_NOTHING || self->doubts > 0)
		return false;
	for (int i = 0; i < self->n_peers; i++)
	{
		const ReplicaPeer *peer = self->peer[i];

		if (peer->up && peer->heard && peer->member.role >= GRANT_WRITER &&
			(!row_frontier_copy(spare, &peer->floor) || !row_frontier_meet(spare, &peer->have) ||
			 !row_frontier_meet(spare, &self->frontier) || !row_frontier_join(out, spare)))
			return false;
	}
	return true;
}

/* What all members cover.  False: one has not told, or there is no memory. */
static bool
acknowledged(Replica *self, RowFrontier *out)
{
	if (self->own_role < GRANT_WRITER)
		return forgotten(self, out, &self->side_floor);
	if (!row_frontier_copy(out, &self->frontier))
		return false;
	for (int i = 0; i < self->n_peers; i++)
	{
		const ReplicaPeer *peer = self->peer[i];

		if (!counts(self, peer))
			continue;
		if (!peer->acknowledged || (replica_holds(self, ROW_RULE_SAME_MEMBERS) &&
									memcmp(peer->acked_members, self->fingerprint, 16) != 0) ||
			!row_frontier_meet(out, &peer->acked))
			return false;
	}
	return true;
}

static void
submit(Replica *self, RowJob *job)
{
	job->id = ++self->next_job;
	if (self->host.submit(self->host.context, job))
	{
		self->side_job = job->id;
		self->side_kind = job->kind;
	}
}

/* What is covered, where that is not on disk: a restart goes on from there, and adopts what is behind it. */
static void
keep_frontier(Replica *self)
{
	RowJob		job;

	if (row_frontier_includes(&self->kept, &self->frontier) || !row_frontier_copy(&self->side_frontier, &self->frontier))
		return;
	memset(&job, 0, sizeof job);
	job.kind = ROW_JOB_APPLY;
	job.frontier = &self->side_frontier;
	submit(self, &job);
}

/*
 * The floor is raised only where a tombstone goes: rows that it covers are taken for
 * deleted where they are missing, so it covers no more of them than it has to.
 */
static void
collect(Replica *self)
{
	RowJob		job;

	if (!acknowledged(self, &self->side_below) || !self->host.has_tombstones(self->host.context, &self->side_below))
	{
		keep_frontier(self);
		return;
	}
	memset(&job, 0, sizeof job);
	job.kind = ROW_JOB_COLLECT;
	job.below = &self->side_below;
	job.floor = &self->side_floor;
	/* a floor that covers tickets of ours which no frontier on disk covers would be above us for ever after a crash */
	job.frontier = &self->side_frontier;
	/*
	 * The floor here is raised before: a snapshot may lack the tombstones before
	 * replica_done() tells that they are gone, and must not be served to who is below.
	 */
	if (row_frontier_join(&self->floor, &self->side_below) && row_frontier_copy(&self->side_floor, &self->floor) && row_frontier_copy(&self->side_frontier, &self->frontier))
	{
		replica_floor_raised(self);
		submit(self, &job);
	}
}

static void
adopt(Replica *self)
{
	RowJob		job;

	memset(&job, 0, sizeof job);
	job.kind = ROW_JOB_ADOPT;
	job.covered = &self->side_frontier;
	if (row_frontier_copy(&self->side_frontier, &self->frontier))
		submit(self, &job);
	if (self->side_job != 0)
		self->loose_ms = 0;
}

/*
 * Rows that nobody claims may have been deleted while we were away: so that is heard
 * first.  Else they would be made anew, and come back.
 */
static bool
may_adopt(const Replica *self)
{
	bool		alone = true;

	if (!replica_holds(self, ROW_RULE_ADOPT) || self->ask.phase != ASK_NOTHING || self->own_role < GRANT_WRITER ||
		replica_stale(self))
		return false;
	for (int i = 0; i < self->n_peers; i++)
	{
		const ReplicaPeer *peer = self->peer[i];

		if (peer->member.role < GRANT_WRITER)
			continue;
		if (peer->up && peer->heard)
			return true;
		alone = false;
	}
	return alone;
}

/*
 * A transaction that was open when rows were adopted may have written on one of them before, and
 * have what nobody claims for its row's birth: seen when it has ended, and looked for then.
 */
static void
look_for_late_writes(Replica *self)
{
	if (self->settled.top < self->loose_until)
		return;
	for (uint32_t i = 0; i < self->settled.n; i++)
		if (self->settled.open[i] <= self->loose_until)
			return;
	if (self->loose_until != 0 && self->loose_ms == 0)
		self->loose_ms = self->now.tick_ms > 0 ? self->now.tick_ms : 1;
	self->loose_until = 0;
}

void
garbage_tick(Replica *self)
{
	look_for_late_writes(self);
	/* a job of the request keeps a floor that knows nothing of ours: one after the other */
	if (self->side_job != 0 || self->ask_job != 0 || self->copying || !self->members_known)
		return;
	if (self->loose_ms != 0 && may_adopt(self) &&
		self->now.tick_ms - self->loose_ms >= ADOPT_AFTER * self->config.anti_entropy_ms)
		adopt(self);
	else if (self->now.tick_ms >= self->garbage_ms)
	{
		self->garbage_ms = self->now.tick_ms + self->config.anti_entropy_ms / 2;
		collect(self);
	}
}

void
garbage_note_open_writes(Replica *self)
{
	RowSettled	now;

	self->host.settled(self->host.context, &now);
	if (now.n > 0 || now.last > now.top)
		self->loose_until = now.last;
}

void
garbage_done(Replica *self, const RowDone *done)
{
	self->side_job = 0;
	if (done->failed)
	{
		if (self->side_kind == ROW_JOB_ADOPT)
			self->loose_ms = self->now.tick_ms > 0 ? self->now.tick_ms : 1;
		return;
	}
	if (self->side_kind != ROW_JOB_ADOPT)
		(void) row_frontier_join(&self->kept, &self->side_frontier);
	if (self->side_kind == ROW_JOB_COLLECT && done->n_changed > 0)
	{
		replica_floor_raised(self);
		self->figures.collected += done->n_changed;
		self->have_due = true;
	}
	else if (self->side_kind == ROW_JOB_ADOPT)
	{
		self->figures.adopted += done->n_changed;
		if (done->n_changed > 0 || done->n_missing > 0)
			garbage_note_open_writes(self);
		if (done->n_missing > 0)
			self->loose_ms = self->now.tick_ms > 0 ? self->now.tick_ms : 1;
	}
}
