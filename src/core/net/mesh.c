/*
 * mesh.c
 *	  The mesh of one collection.
 */
#include "core/net/mesh.h"

#include "core/assert.h"
#include "core/bytes.h"

static MeshPeer *find(Mesh *self, const KadId *id);
static void schedule(Mesh *self, int64_t tick_ms);
static int	count_outbound(const Mesh *self);
static MeshPeer *choose(Mesh *self, int64_t tick_ms, bool inside, bool inbound_only);
static void graft(Mesh *self, MeshPeer *peer, MeshEmit emit, void *context);
static void prune(Mesh *self, MeshPeer *peer, const NodeRecord *to, bool exchange, int64_t tick_ms,
				  MeshEmit emit, void *context);
static void set_inside(Mesh *self, MeshPeer *peer, bool inside, bool outbound);

_Static_assert(MESH_OUTBOUND <= MESH_LOW && MESH_LOW <= MESH_HIGH && MESH_HIGH <= MESH_PEERS,
			   "a mesh has room for whom it may hold");

/* Those inside are counted, and nobody is outbound who is not inside. */
static bool
mesh_holds(const Mesh *self)
{
	int			inside = 0;

	for (int i = 0; i < self->n; i++)
	{
		if (self->peer[i].record == NULL || (self->peer[i].outbound && !self->peer[i].inside))
			return false;
		inside += self->peer[i].inside;
	}
	return self->n >= 0 && self->n <= MESH_PEERS && inside == self->n_inside &&
		self->degree >= MESH_LOW && self->degree <= MESH_HIGH;
}

void
mesh_init(Mesh *self, RecordPool *pool, const CoreRandom *random, int degree, int64_t tick_ms)
{
	memset(self, 0, sizeof *self);
	self->pool = pool;
	self->random = random;
	self->secret = core_random_bits(random) | 1;
	mesh_set_degree(self, degree);
	schedule(self, tick_ms);
}

void
mesh_set_degree(Mesh *self, int degree)
{
	self->degree = degree < MESH_LOW ? MESH_LOW : degree > MESH_HIGH ? MESH_HIGH : degree;
}

void
mesh_reset(Mesh *self)
{
	for (int i = 0; i < self->n; i++)
		record_pool_release(self->pool, self->peer[i].record);
	self->n = self->n_inside = 0;
}

bool
mesh_peer(Mesh *self, NodeRecord *record)
{
	MeshPeer   *peer = find(self, &record->id);
	uint64_t	rank = bytes_load(record->id.b, 8) * self->secret;

	if (peer != NULL)
	{
		node_record_keep(record);
		record_pool_release(self->pool, peer->record);
		peer->record = record;
		return true;
	}
	if (self->n < MESH_PEERS)
		peer = &self->peer[self->n++];
	else
	{
		for (int i = 0; i < self->n; i++)
			if (!self->peer[i].inside && (peer == NULL || self->peer[i].rank > peer->rank))
				peer = &self->peer[i];
		if (peer == NULL || peer->rank < rank)
			return false;
		record_pool_release(self->pool, peer->record);
	}
	*peer = (MeshPeer) {.record = node_record_keep(record), .rank = rank, .backoff_ms = INT64_MIN};
	CORE_ASSERT(mesh_holds(self));
	return true;
}

void
mesh_gone(Mesh *self, const KadId *id)
{
	MeshPeer   *peer = find(self, id);

	if (peer == NULL)
		return;
	set_inside(self, peer, false, false);
	record_pool_release(self->pool, peer->record);
	*peer = self->peer[--self->n];
	CORE_ASSERT(mesh_holds(self));
}

void
mesh_heartbeat(Mesh *self, int64_t tick_ms, MeshEmit emit, void *context)
{
	MeshPeer   *peer;

	if (tick_ms < self->next_ms)
		return;
	schedule(self, tick_ms);
	if (self->n_inside < MESH_LOW)
		while (self->n_inside < self->degree && (peer = choose(self, tick_ms, false, false)) != NULL)
			graft(self, peer, emit, context);
	if (self->n_inside > MESH_HIGH)
	{
		/* the last MESH_OUTBOUND links of our own choice stay */
		while (self->n_inside > self->degree &&
			   (peer = choose(self, tick_ms, true, count_outbound(self) <= MESH_OUTBOUND)) != NULL)
			prune(self, peer, peer->record, true, tick_ms, emit, context);
	}
	while (count_outbound(self) < MESH_OUTBOUND && self->n_inside < MESH_HIGH &&
		   (peer = choose(self, tick_ms, false, false)) != NULL)
		graft(self, peer, emit, context);
	CORE_ASSERT(mesh_holds(self) && self->n_inside <= MESH_HIGH);
}

void
mesh_grafted(Mesh *self, const NodeRecord *from, int64_t tick_ms, MeshEmit emit, void *context)
{
	MeshPeer   *peer = find(self, &from->id);

	if (peer != NULL && peer->inside)
		return;					/* both grafted at once */
	if (peer != NULL && tick_ms >= peer->backoff_ms && self->n_inside < MESH_HIGH)
		set_inside(self, peer, true, false);
	else
		prune(self, peer, from, peer != NULL, tick_ms, emit, context);
}

void
mesh_pruned(Mesh *self, const KadId *from, uint32_t backoff_s, int64_t tick_ms)
{
	MeshPeer   *peer = find(self, from);
	int64_t		until;

	if (peer == NULL)
		return;
	set_inside(self, peer, false, false);
	if (backoff_s > MESH_BACKOFF_MAX_S)
		backoff_s = MESH_BACKOFF_MAX_S;
	until = tick_ms + (int64_t) backoff_s * 1000;
	if (until > peer->backoff_ms)
		peer->backoff_ms = until;
}

void
mesh_leave(Mesh *self, int64_t tick_ms, MeshEmit emit, void *context)
{
	for (int i = 0; i < self->n; i++)
		if (self->peer[i].inside)
			prune(self, &self->peer[i], self->peer[i].record, false, tick_ms, emit, context);
	CORE_ASSERT(self->n_inside == 0);
}

bool
mesh_inside(const Mesh *self, const KadId *id)
{
	for (int i = 0; i < self->n; i++)
		if (kad_id_equal(&self->peer[i].record->id, id))
			return self->peer[i].inside;
	return false;
}

static MeshPeer *
find(Mesh *self, const KadId *id)
{
	for (int i = 0; i < self->n; i++)
		if (kad_id_equal(&self->peer[i].record->id, id))
			return &self->peer[i];
	return NULL;
}

/* Jittered, so that the heartbeats of many nodes do not fall together. */
static void
schedule(Mesh *self, int64_t tick_ms)
{
	self->next_ms = tick_ms + MESH_HEARTBEAT_MS * 4 / 5 +
		(int64_t) core_random_below(self->random, MESH_HEARTBEAT_MS * 2 / 5 + 1);
}

static int
count_outbound(const Mesh *self)
{
	int			n = 0;

	for (int i = 0; i < self->n; i++)
		n += self->peer[i].inside && self->peer[i].outbound;
	return n;
}

/*
 * A peer at random, or NULL: of those inside (with inbound_only, of those that have
 * grafted us), or of those outside that may be grafted now.
 */
static MeshPeer *
choose(Mesh *self, int64_t tick_ms, bool inside, bool inbound_only)
{
	MeshPeer   *chosen = NULL;
	uint64_t	seen = 0;

	for (int i = 0; i < self->n; i++)
	{
		MeshPeer   *peer = &self->peer[i];

		if (peer->inside != inside || (inside && inbound_only && peer->outbound) ||
			(!inside && tick_ms < peer->backoff_ms))
			continue;
		if (core_random_below(self->random, ++seen) == 0)
			chosen = peer;
	}
	return chosen;
}

static void
graft(Mesh *self, MeshPeer *peer, MeshEmit emit, void *context)
{
	MeshAction	action = {.graft = true, .to = peer->record};

	CORE_ASSERT(!peer->inside);
	set_inside(self, peer, true, true);
	emit(context, &action);
}

/* peer is NULL when `to` is none of ours. */
static void
prune(Mesh *self, MeshPeer *peer, const NodeRecord *to, bool exchange, int64_t tick_ms,
	  MeshEmit emit, void *context)
{
	MeshAction	action = {.to = to, .backoff_s = MESH_BACKOFF_S};
	int			start;

	if (peer != NULL)
	{
		set_inside(self, peer, false, false);
		peer->backoff_ms = tick_ms + (int64_t) MESH_BACKOFF_S * 1000;
	}
	if (exchange && self->n > 0)
	{
		start = (int) core_random_below(self->random, (uint64_t) self->n);
		for (int i = 0; i < self->n && action.n_exchange < MESH_EXCHANGE; i++)
		{
			MeshPeer   *other = &self->peer[(start + i) % self->n];

			if (other != peer)
				action.exchange[action.n_exchange++] = other->record;
		}
	}
	emit(context, &action);
}

static void
set_inside(Mesh *self, MeshPeer *peer, bool inside, bool outbound)
{
	CORE_ASSERT(inside || !outbound);
	self->n_inside += (int) inside - (int) peer->inside;
	peer->inside = inside;
	peer->outbound = outbound;
	CORE_ASSERT(mesh_holds(self));
}
