/*
 * group.c
 *	  The collections that a node is a member of: what it holds of each, its part in
 *	  the mesh, and what the process around it keeps.
 */
#include "core/net/node_state.h"

#include <stdio.h>
#include <string.h>

#include "core/assert.h"
#include "core/bytes.h"

#define KEPT_SKEW_MS (INT64_C(100) * 366 * 86400000)	/* of statements that come from our own disk */

int64_t
node_jittered(Node *self, int64_t ms)
{
	return ms + (int64_t) core_random_below(&self->random, (uint64_t) ms);
}

NodeGroup *
group_by_tag(const Node *self, uint32_t tag)
{
	for (int i = 0; i < self->n_groups && tag != 0; i++)
		if (self->group[i]->tag == tag && !self->group[i]->leaving)
			return self->group[i];
	return NULL;
}

NodeGroup *
group_by_root(const Node *self, const uint8_t *root)
{
	for (int i = 0; i < self->n_groups; i++)
		if (memcmp(self->group[i]->membership.root, root, CORE_KEY_BYTES) == 0)
			return self->group[i];
	return NULL;
}

NodeGroup *
group_find(const Node *self, const KadId *id)
{
	for (int i = 0; i < self->n_groups; i++)
		if (kad_id_equal(&self->group[i]->id, id))
			return self->group[i];
	return NULL;
}

const char *
group_name(const NodeGroup *g, char out[NODE_NAME])
{
	if (g->name[0] != '\0')
		return g->name;
	return node_short_id(&g->id, out);
}

/*
 * How many statements beside leaves a collection may hold now.  It may grow as long as
 * the collections of its owner together hold fewer than are free.  After that it keeps
 * its size, so that a statement that goes before others still finds room in it.  A few
 * it may hold in any case.
 */
static int
statements_limit(const Node *self, const NodeGroup *g)
{
	int			held = g->membership.n - g->membership.n_leaves;
	int			free = self->max_statements;
	int			mine = 0;

	for (int i = 0; i < self->n_groups; i++)
	{
		const NodeGroup *other = self->group[i];
		int			n = other->membership.n - other->membership.n_leaves;

		free -= n;
		if (other->owner == g->owner)
			mine += n;
	}
	if (g->owner == NODE_NO_SHARE ? free > 0 : mine < free - self->max_statements / NODE_STATEMENTS_ASIDE)
		return MEMBERSHIP_LIMIT;
	return held > NODE_STATEMENTS_EACH ? held : NODE_STATEMENTS_EACH;
}

/* Take a statement; true when it is new. */
bool
group_add(Node *self, NodeGroup *g, const uint8_t *statement, MembershipAdded *how, DecodeStatus *status)
{
	g->membership.limit = statements_limit(self, g);
	*how = membership_add(&g->membership, statement, GRANT_BYTES, self->now.unix_ms, self->config.skew_ms, status);
	return *how == MEMBERSHIP_ADDED;
}

ChangesAdded
group_add_change(Node *self, NodeGroup *g, const uint8_t *bytes, size_t len, int64_t skew_ms, DecodeStatus *status)
{
	int			held = 0;

	for (int i = 0; i < self->n_groups; i++)
		held += self->group[i]->changes.n;
	*status = DECODE_OK;
	if (held >= NODE_CHANGES)
		return CHANGES_FULL;
	return changes_add(&g->changes, &g->membership, bytes, len, self->now.unix_ms, skew_ms, status);
}

GrantRole
group_role(Node *self, NodeGroup *g, const NodePeer *peer)
{
	if (peer->record == NULL)
		return GRANT_NOBODY;
	return membership_role(&g->membership, peer->record->key, self->now.unix_ms);
}

bool
group_concerns(Node *self, NodeGroup *g, const uint8_t key[CORE_KEY_BYTES])
{
	return membership_role(&g->membership, key, self->now.unix_ms) != GRANT_NOBODY ||
		(g->leaving && membership_bereft(&g->membership, key, self->now.unix_ms));
}

NodePeer *
group_peer(Node *self, const NodeRecord *record)
{
	return node_peer(self, record->curve_key, false);
}

/* A message of a collection's mesh; context is the NodeGroup. */
void
group_emit(void *context, const MeshAction *action)
{
	NodeGroup  *g = context;
	NodePeer   *peer = group_peer(g->node, action->to);
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = action->graft ? WIRE_GRAFT : WIRE_PRUNE, .collection = g->id};

	if (peer == NULL)
		return;
	m.prune.backoff_s = action->backoff_s;
	for (int i = 0; i < action->n_exchange && i < WIRE_PRUNE_RECORDS && !action->graft; i++)
		m.prune.record[m.prune.n_records++] = action->exchange[i];
	node_send(g->node, peer, &m);
}

/* Members beside us, by their grants that count; each once. */
int
group_members(Node *self, NodeGroup *g, const Grant **out, int room)
{
	int			n = 0;

	(void) membership_role(&g->membership, self->key, self->now.unix_ms);	/* evaluates */
	for (int i = 0; i < g->membership.n; i++)
	{
		const MembershipEntry *entry = g->membership.entry[i];

		if (!entry->counts || entry->grant.kind != GRANT_MEMBER)
			continue;
		/* sorted by member: of several grants the greatest role */
		if (n > 0 && memcmp(out[n - 1]->member, entry->grant.member, CORE_KEY_BYTES) == 0)
		{
			if (entry->grant.role > out[n - 1]->role)
				out[n - 1] = &entry->grant;
		}
		else if (n < room)
			out[n++] = &entry->grant;
		CORE_ASSERT(n < 2 || memcmp(out[n - 2]->member, out[n - 1]->member, CORE_KEY_BYTES) < 0);
	}
	return n;
}

/* Follow what the statements say of this node, and whether it has the table. */
void
group_refresh(Node *self, NodeGroup *g)
{
	GrantRole	role = membership_role(&g->membership, self->key, self->now.unix_ms);
	bool		hold = role != GRANT_NOBODY && g->tag != 0 && !g->leaving && !self->cloned;
	char		name[NODE_NAME];

	if (g->role != GRANT_NOBODY && role == GRANT_NOBODY && !g->leaving)
	{
		node_log(self, NODE_WARNING, "this node is no member of collection %s any more: it was evicted, or its grant has expired",
				 group_name(g, name));
		mesh_leave(&g->mesh, self->now.tick_ms, group_emit, g);
	}
	g->role = role;
	if (hold != g->held && kad_node_hold(self->kad, self->now, &g->id, hold))
		g->held = hold;
	for (int i = 0; i < NODE_PEER_SLOTS && role != GRANT_NOBODY && !g->leaving; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && node_connected(peer) && group_role(self, g, peer) != GRANT_NOBODY)
			{
				peer->shares = true;
				mesh_peer(&g->mesh, peer->record);
			}
}

void
group_announce_all(Node *self)
{
	for (int i = 0; i < self->n_groups; i++)
		group_refresh(self, self->group[i]);
}

NodeGroup *
group_new(Node *self, const uint8_t *root, uint32_t tag, const char *name)
{
	NodeGroup  *g;

	CORE_ASSERT(group_by_root(self, root) == NULL);
	if (self->n_groups == NODE_COLLECTIONS || (g = core_alloc(&self->memory, sizeof *g)) == NULL)
		return NULL;
	memset(g, 0, sizeof *g);
	membership_init(&g->membership, &self->memory, &self->crypto, root);
	changes_init(&g->changes, &self->memory, &self->crypto);
	mesh_init(&g->mesh, &self->pool, &self->random, self->config.mesh_degree, self->now.tick_ms);
	g->node = self;
	g->id = g->membership.collection;
	g->tag = tag;
	snprintf(g->name, sizeof g->name, "%s", name);
	g->compare_ms = self->now.tick_ms + node_jittered(self, COMPARE_SOON_MS);
	g->find_ms = self->now.tick_ms + node_jittered(self, COMPARE_SOON_MS);
	g->retry_ms = FIND_AGAIN_MS;
	self->group[self->n_groups++] = g;
	return g;
}

static void
free_group(Node *self, int i)
{
	NodeGroup  *g = self->group[i];

	CORE_ASSERT(i >= 0 && i < self->n_groups && g->node == self);
	mesh_reset(&g->mesh);
	membership_reset(&g->membership);
	changes_reset(&g->changes);
	bytes_wipe(g->root_secret, sizeof g->root_secret);
	core_free(&self->memory, g);
	self->group[i] = self->group[--self->n_groups];
}

void
group_reset(Node *self)
{
	while (self->n_groups > 0)
		free_group(self, self->n_groups - 1);
}

/* ---- for the process around ---- */

NodeStatus
node_group_load(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], const uint8_t *secret,
				uint32_t tag, const char *name, bool leaving)
{
	NodeGroup  *g;

	self->now = clock;
	if (group_by_root(self, root) != NULL)
		return NODE_OK;
	g = group_new(self, root, tag, name);
	if (g == NULL)
		return NODE_NO_MEMORY;
	g->leaving = leaving;
	if (secret != NULL)
	{
		g->has_root = true;
		memcpy(g->root_secret, secret, CORE_SECRET_BYTES);
	}
	return NODE_OK;
}

bool
node_group_held(const Node *self, const uint8_t root[CORE_KEY_BYTES])
{
	return group_by_root(self, root) != NULL;
}

bool
node_group_left(const Node *self, const uint8_t root[CORE_KEY_BYTES])
{
	const NodeGroup *g = group_by_root(self, root);

	return g != NULL && g->leaving;
}

bool
node_group_add(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], const uint8_t *statement)
{
	NodeGroup  *g = group_by_root(self, root);
	DecodeStatus status;

	self->now = clock;
	if (g == NULL)
		return false;
	/* it was taken before: neither a clock that is wrong today must cost it, nor what others hold by now */
	g->membership.limit = MEMBERSHIP_LIMIT;
	return membership_add(&g->membership, statement, GRANT_BYTES, clock.unix_ms, KEPT_SKEW_MS, &status) == MEMBERSHIP_ADDED;
}

void
node_group_loaded(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES])
{
	NodeGroup  *g = group_by_root(self, root);

	self->now = clock;
	if (g == NULL)
		return;
	g->role = membership_role(&g->membership, self->key, clock.unix_ms);
	group_refresh(self, g);
}

int
node_group_count(const Node *self)
{
	return self->n_groups;
}

bool
node_group_unsaved(const Node *self, int i, const uint8_t **root)
{
	CORE_ASSERT(i >= 0 && i < self->n_groups && self->group[i]->saved <= self->group[i]->membership.changes);
	*root = self->group[i]->membership.root;
	return self->group[i]->saved != self->group[i]->membership.changes ||
		self->group[i]->changes_saved != self->group[i]->changes.changes;
}

int
node_group_statements(const Node *self, int i, const uint8_t **out, int room)
{
	const Membership *membership = &self->group[i]->membership;
	int			n = membership->n < room ? membership->n : room;

	for (int k = 0; k < n; k++)
		out[k] = membership->entry[k]->bytes;
	return n;
}

void
node_groups_saved(Node *self)
{
	for (int i = 0; i < self->n_groups; i++)
	{
		self->group[i]->saved = self->group[i]->membership.changes;
		self->group[i]->changes_saved = self->group[i]->changes.changes;
	}
}

void
node_group_owner(Node *self, const uint8_t root[CORE_KEY_BYTES], uint32_t owner)
{
	NodeGroup  *g = group_by_root(self, root);

	if (g != NULL)
		g->owner = owner;
}

void
node_group_bind(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], uint32_t tag, const char *name,
				const uint8_t *description, size_t len)
{
	NodeGroup  *g = group_by_root(self, root);

	self->now = clock;
	if (g == NULL)
		return;
	g->tag = tag;
	if (name[0] != '\0')
		snprintf(g->name, sizeof g->name, "%s", name);
	if (description != NULL)
	{
		g->description_len = len <= sizeof g->description ? len : 0;
		memcpy(g->description, description, g->description_len);
	}
	group_refresh(self, g);
}

void
node_group_forget(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES])
{
	self->now = clock;
	for (int i = 0; i < self->n_groups; i++)
		if (memcmp(self->group[i]->membership.root, root, CORE_KEY_BYTES) == 0)
		{
			mesh_leave(&self->group[i]->mesh, clock.tick_ms, group_emit, self->group[i]);
			if (self->group[i]->held)
				(void) kad_node_hold(self->kad, clock, &self->group[i]->id, false);
			free_group(self, i);
			return;
		}
}

bool
node_collection_id(const Node *self, uint32_t tag, KadId *id)
{
	const NodeGroup *g = group_by_tag(self, tag);

	if (g != NULL)
		*id = g->id;
	return g != NULL;
}

bool
node_collection_here(const Node *self, const uint8_t *prefix, size_t n)
{
	CORE_ASSERT(n <= KAD_ID_BYTES);
	for (int i = 0; i < self->n_groups; i++)
		if (!self->group[i]->leaving && memcmp(self->group[i]->id.b, prefix, n) == 0)
			return true;
	return false;
}

bool
node_collection_described(const Node *self, uint32_t tag)
{
	const NodeGroup *g = group_by_tag(self, tag);

	return g != NULL && g->description_len > 0;
}

GrantRole
node_own_role(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES])
{
	NodeGroup  *g = group_by_root(self, root);

	self->now = clock;
	return g == NULL ? GRANT_NOBODY : membership_role(&g->membership, self->key, clock.unix_ms);
}
