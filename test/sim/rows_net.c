/*
 * rows_net.c
 *	  Nodes with copies of one collection as real nodes (src/core/net/node.h): they greet,
 *	  join by invitations, gossip their statements, and pass rows on, over the links of
 *	  nodes.c.
 *
 * The first node shares the collection; what the others know when they first start is
 * on their disks.  All of these have the root's key, so that anybody can be shut out.  Which
 * statements there are at all is gathered in one more set: who counts as a member is
 * what that says.
 */
#include "rows_world.h"

#include <stdlib.h>

#include "nodes.h"

#define TAG 1					/* of the collection, at each node */
#define NAME "things"
#define AGAIN_MS 3000			/* until a user tries again: to join, to shut out */
#define MEET_MS 5000			/* between looks for nodes that are there, as by beacons */
#define OPERATOR_MS 4000		/* until somebody reads the log, at most */
#define INVITED_MS (INT64_C(24) * 3600 * 1000)
#define ANY_SKEW_MS (INT64_C(1) << 50)

typedef struct Real
{
	World	   *world;
	int			index;
	uint64_t	changes;		/* of its statements, as of when we gathered them */
	uint64_t	version;		/* of the members, as its replica was told */
	GrantRole	own_role;
	GrantRole	joins_as;		/* it is to join; GRANT_NOBODY: it has, or need not */
	CoreMemory	memory;			/* its replica's, which may run out */
	bool		alarm;			/* it knows of another with its key, and somebody will look */
	SimDisk		saved;
} Real;

struct RowsReal
{
	Sim		   *sim;
	uint8_t		root[CORE_KEY_BYTES];
	HostMemory	memory_state;
	CoreMemory	memory;
	Membership	all;			/* statements that any node has which is not dead */
	bool		stale;			/* a frame comes once more */
	Real		node[ROWS_NODES];
};

static void look(World *self, int node);

/* The node, on the world's clock; NULL: it is down. */
static Node *
node_of(World *self, int node)
{
	self->real->sim->now_ms = self->now_ms;
	return self->real->sim->node[node].node;
}

static int
by_id(const World *self, const KadId *id)
{
	for (int i = 0; i < self->n; i++)
		if (kad_id_equal(&self->node[i].id, id))
			return i;
	return -1;
}

/* ---- statements ---- */

static int64_t
latest_ms(const World *self)
{
	return ROWS_EPOCH_MS + self->now_ms + self->most_ms;
}

static uint64_t
writers(const World *self)
{
	uint64_t	all = 0;

	for (int i = 0; i < self->n; i++)
		if (world_role(self, self->node[i].identity) >= GRANT_WRITER)
			all |= UINT64_C(1) << i;
	return all;
}

/* With an admin goes who is in by its grants alone, and with a statement that is lost who is in by that. */
static void
excuse_lost(World *self, uint64_t before)
{
	if ((before & ~writers(self)) != 0)
		check_excuse(self, -1);
}

/* Gather statements, in whatever order they are. */
static void
gather(World *self, const uint8_t *const *statement, int n)
{
	bool		fresh = true;

	while (fresh)
	{
		fresh = false;
		for (int i = 0; i < n; i++)
		{
			DecodeStatus status;

			fresh |= membership_add(&self->real->all, statement[i], GRANT_BYTES, latest_ms(self), ANY_SKEW_MS, &status) == MEMBERSHIP_ADDED;
		}
	}
}

static void
gather_node(World *self, int node)
{
	Node	   *up = node_of(self, node);
	const uint8_t *statement[MEMBERSHIP_ROOM];

	for (int i = 0; i < node_group_count(up); i++)
		gather(self, statement, node_group_statements(up, i, statement, MEMBERSHIP_ROOM));
}

/* What only the dead knew, or was lost in a crash, nobody will ever hear of. */
static void
gather_anew(World *self)
{
	struct RowsReal *real = self->real;
	uint64_t	before = writers(self);

	membership_reset(&real->all);
	membership_init(&real->all, &real->memory, &self->crypto, real->root);
	for (int i = 0; i < self->n; i++)
		if (self->node[i].dead)
			continue;
		else if (node_of(self, i) != NULL)
			gather_node(self, i);
		else
		{
			const uint8_t (*kept)[GRANT_BYTES];
			const uint8_t *statement[MEMBERSHIP_ROOM];
			int			n = sim_disk_statements(&real->sim->node[i].disk, 0, &kept);

			for (int k = 0; k < n; k++)
				statement[k] = kept[k];
			gather(self, statement, n);
		}
	excuse_lost(self, before);
}

/* Where all admins have left, nobody is a member any more to itself, and whoever else is one by all statements will not hear of it. */
static bool
anybody_left(const World *self)
{
	for (int i = 0; i < self->n; i++)
		if (!self->node[i].dead && self->real->node[i].own_role != GRANT_NOBODY)
			return true;
	return false;
}

static GrantRole
net_role(const World *self, int identity)
{
	if (!anybody_left(self))
		return GRANT_NOBODY;
	return membership_role(&self->real->all, self->node[identity].secret + CORE_SEED_BYTES, latest_ms(self));
}

static GrantRole
net_own_role(const World *self, int node)
{
	return self->real->node[node].own_role;
}

static RowOwner
net_owner(const World *self, int node, const uint8_t *owner)
{
	Node	   *up = self->real->sim->node[node].node;

	if (up == NULL || !node_rows_was_writer(up, TAG, owner))
		return ROW_OWNER_STRANGER;
	return node_rows_is_writer(up, TAG, owner) ? ROW_OWNER_WRITER : ROW_OWNER_FORMER;
}

/* Tell its replica who the members are. */
static void
tell_members(World *self, int node, const NodeRowsMembers *members)
{
	RowsNode   *at = &self->node[node];
	NodeMember	listed[ROWS_NODES];
	ReplicaMember member[ROWS_NODES];
	uint64_t	before = at->members;
	int			n_listed = members->version == UINT64_MAX ? 0 :
		node_members(node_of(self, node), world_clock(self, node), TAG, listed, ROWS_NODES);
	int			n = 0;

	if (n_listed < 0)
		return;					/* there is no memory to tell them */
	self->real->node[node].version = members->version;
	at->members = 0;
	for (int i = 0; i < n_listed; i++)
	{
		int			index = by_id(self, &listed[i].id);

		if (kad_id_equal(&listed[i].id, &at->id))
			continue;
		member[n++] = (ReplicaMember) {listed[i].id, listed[i].role, 0};
		if (index >= 0)
			at->members |= UINT64_C(1) << index;
	}
	world_trace(self, "node %d is told of %d members, its own role %d", node, n, members->own_role);
	replica_members(at->replica, world_clock(self, node), member, n, members->own_role, members->fingerprint);
	for (int i = 0; i < n; i++)
	{
		int			index = by_id(self, &member[i].id);

		if (index >= 0 && (before >> index & 1) == 0 && node_rows_connected(node_of(self, node), &member[i].id))
			replica_connected(at->replica, world_clock(self, node), &member[i].id);
	}
}

static void
net_members(World *self, int node)
{
	self->real->node[node].version = 0;
	look(self, node);
}

/* ---- rows ---- */

static LinkSent
net_send(World *self, int node, const KadId *to, const uint8_t *frame, size_t len)
{
	Node	   *up = node_of(self, node);
	int			index = by_id(self, to);

	if (up == NULL || index < 0)
		return LINK_ERROR;
	if (node_rows_connected(up, to) && world_sending(self, node, index, frame, len) == LINK_FULL)
		return LINK_FULL;
	if (len >= WIRE_HEAD && frame[6] >= WIRE_ROWS)
		return node_rows_send(up, to, frame, len);
	/* who lies sends what is no frame of rows, too */
	for (int i = 0; i < up->n_rows; i++)
		if (up->rows[i]->up && kad_id_equal(&up->rows[i]->id, to))
			return up->links.answer(up->links.self, up->rows[i]->out, frame, len);
	return LINK_ERROR;
}

static int
net_mesh(World *self, int node, KadId *out, int room)
{
	const Node *up = node_of(self, node);

	return up == NULL ? 0 : node_rows_mesh(up, TAG, out, room);
}

static void
on_rows(void *context, uint32_t tag, const KadId *from, const uint8_t *frame, size_t len)
{
	Real	   *real = context;
	World	   *self = real->world;
	int			index = by_id(self, from);

	if (index < 0)
	{
		world_violation(self, "node %d hears of a node that is none", real->index);
		return;
	}
	if (!self->real->stale && world_comes_again(self, frame))
	{
		RowsEvent	again = {.kind = AFTER_FRAME, .a = index, .b = real->index, .stale = true, .len = len};

		again.number = node_of(self, real->index)->via.link;
		again.at_ms = self->now_ms + 1 + (int64_t) world_below(&self->net, 3000);
		again.frame = malloc(len);
		memcpy(again.frame, frame, len);
		world_schedule(self, again);
	}
	world_deliver(self, index, real->index, frame, len, self->real->stale);
}

static void
on_link(void *context, const KadId *id, bool up)
{
	Real	   *real = context;
	World	   *self = real->world;
	Replica    *replica = self->node[real->index].replica;

	world_trace(self, "node %d: the link with node %d is %s", real->index, by_id(self, id), up ? "there" : "gone");
	if (replica == NULL)
		return;
	if (up)
		replica_connected(replica, world_clock(self, real->index), id);
	else
		replica_gone(replica, world_clock(self, real->index), id);
}

/* ---- nodes ---- */

static bool
reaches(void *context, int from, int to)
{
	const World *self = context;

	return self->node[from].side == self->node[to].side && !self->one_way[from][to];
}

static void
net_begin(World *self)
{
	struct RowsReal *real = calloc(1, sizeof *real);

	self->real = real;
	real->sim = sim_new(self->seed);
	real->sim->crypto = self->crypto;
	real->sim->dead_ms = 3000;
	real->sim->bytes_ms = self->profile->bytes_ms;
	real->sim->reach = reaches;
	real->sim->context = self;
	real->memory_state.until_failure = -1;
	real->memory = HOST_MEMORY(&real->memory_state);
}

static void
take_keys(World *self, int node)
{
	RowsNode   *at = &self->node[node];

	memcpy(at->secret, self->real->sim->node[node].secret, CORE_SECRET_BYTES);
	at->id = kad_id_of_key(&self->crypto, at->secret + CORE_SEED_BYTES);
}

static void
net_add(World *self, int node)
{
	SimNode    *w;

	if (self->real == NULL)
		net_begin(self);
	w = &self->real->sim->node[sim_add_down(self->real->sim, "rows")];
	self->real->node[node] = (Real) {.world = self, .index = node, .memory = HOST_MEMORY(&self->node[node].memory)};
	w->memory = &self->real->node[node].memory;
	w->offset_ms = &self->node[node].offset_ms;
	w->rows = (NodeRows) {&self->real->node[node], on_rows, on_link};
	take_keys(self, node);
}

static void
net_clone(World *self, int clone, int node)
{
	if (node_of(self, node) != NULL)
		sim_keep(self->real->sim, node);
	sim_clone(self->real->sim, clone, node);
	take_keys(self, clone);
}

/* The root makes a member of a node. */
static void
sign_first(World *self, const uint8_t *secret, int node, GrantRole role, uint8_t *out)
{
	struct RowsReal *real = self->real;
	Grant		grant;
	DecodeStatus status;

	if (!membership_prepare(&real->all, GRANT_MEMBER, role, real->root, self->node[node].secret + CORE_SEED_BYTES,
							world_clock(self, 0).unix_ms, 0, &grant) ||
		grant_sign(&self->crypto, secret, &grant, out) != DECODE_OK ||
		membership_add(&real->all, out, GRANT_BYTES, latest_ms(self), ANY_SKEW_MS, &status) != MEMBERSHIP_ADDED)
		world_violation(self, "node %d cannot be made a member", node);
}

static void
net_form(World *self, const GrantRole *role)
{
	struct RowsReal *real = self->real;
	uint8_t		seed[CORE_SEED_BYTES] = "root";
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		statement[ROWS_NODES][GRANT_BYTES];
	Node	   *first;
	const uint8_t *own;

	bytes_store(seed + 8, 8, self->seed);
	sim_start(real->sim, 0);
	first = node_of(self, 0);
	if (node_share(first, world_clock(self, 0), seed, TAG, NAME, real->root) != NODE_OK ||
		!self->crypto.key_pair(NULL, seed, real->root, secret) || node_group_statements(first, 0, &own, 1) != 1)
		world_violation(self, "node 0 cannot share");
	node_group_bind(first, world_clock(self, 0), real->root, TAG, NAME, (const uint8_t *) NODES_DESCRIPTION, strlen(NODES_DESCRIPTION));
	self->collection = kad_id_of_key(&self->crypto, real->root);
	membership_init(&real->all, &real->memory, &self->crypto, real->root);
	memcpy(statement[0], own, GRANT_BYTES);
	gather(self, &own, 1);
	for (int i = 1; i < self->n; i++)
	{
		/* who may write may also admit, but for the last */
		sign_first(self, secret, i, role[i] == GRANT_WRITER && i < self->n - 1 ? GRANT_ADMIN : role[i], statement[i]);
		(void) node_group_add(first, world_clock(self, 0), real->root, statement[i]);
	}
	node_group_loaded(first, world_clock(self, 0), real->root);
	for (int i = 1; i < self->n; i++)
		sim_put(real->sim, i, real->root, self->node[i].liar || role[i] == GRANT_READER ? NULL : secret,
				(const uint8_t (*)[GRANT_BYTES]) statement, self->n);
	sim_keep(real->sim, 0);
	world_after(self, MEET_MS, AFTER_CONNECT, 0, 0);
}

/* It hears the beacons of nodes with which it has no link, and of a namesake. */
static void
net_connect(World *self, int node)
{
	Node	   *up = node_of(self, node);

	for (int i = 0; i < self->n && up != NULL; i++)
		if (i != node && node_of(self, i) != NULL && reaches(self, i, node) &&
			!node_rows_connected(up, &self->node[i].id) && world_below(&self->net, (uint64_t) self->n) < 12)
			sim_meet(self->real->sim, node, i);
}

static bool
net_start(World *self, int node)
{
	struct RowsReal *real = self->real;
	KadId		id;

	self->real->sim->now_ms = self->now_ms;
	if (real->sim->node[node].node == NULL)
	{
		sim_start(real->sim, node);
		net_connect(self, node);
	}
	return !self->node[node].liar && node_collection_id(node_of(self, node), TAG, &id);
}

static void
net_stop(World *self, int node)
{
	Real	   *real = &self->real->node[node];

	if (node_of(self, node) == NULL)
		return;
	sim_kill(self->real->sim, node);
	real->changes = real->version = 0;
	real->alarm = false;
	gather_anew(self);
}

static void
net_save(World *self, int node)
{
	struct RowsReal *real = self->real;

	if (node_of(self, node) != NULL)
		sim_keep(real->sim, node);
	sim_disk_copy(&real->node[node].saved, &real->sim->node[node].disk);
}

static void
net_revert(World *self, int node)
{
	sim_disk_copy(&self->real->sim->node[node].disk, &self->real->node[node].saved);
	gather_anew(self);
}

static void
net_cut(World *self, int a, int b)
{
	self->real->sim->now_ms = self->now_ms;
	sim_break_links(self->real->sim, a, b);
}

/* ---- who joins, who leaves ---- */

/* An invitation of this one or, where it may not, of any other, and its use. */
static void
try_join(World *self, int by, int node)
{
	SimNode    *w = &self->real->sim->node[node];
	Real	   *real = &self->real->node[node];

	if (real->joins_as == GRANT_NOBODY || self->node[node].dead)
		return;
	if (node_of(self, node) != NULL && w->joins == 0)
		for (int k = 0; k < self->n; k++)
		{
			int			inviting = (by + k) % self->n;
			char		text[INVITATION_TEXT_MAX + 1];
			DecodeStatus decode;

			if (self->node[inviting].replica == NULL || self->node[inviting].identity == self->node[node].identity ||
				!world_counts(self, inviting) ||
				node_invite(node_of(self, inviting), world_clock(self, inviting), TAG, real->joins_as, INVITED_MS, text) != NODE_OK)
				continue;
			look(self, inviting);
			if (node_join(w->node, world_clock(self, node), text, strlen(text), 1, &decode) == NODE_OK)
			{
				world_trace(self, "node %d: an invitation of node %d", node, inviting);
				w->joins++;
			}
			break;
		}
	world_after(self, AGAIN_MS, AFTER_LEARN, node, by);
}

static void
leave(World *self, int node)
{
	if (node_of(self, node) != NULL && node_leave(node_of(self, node), world_clock(self, node), TAG) == NODE_OK)
		look(self, node);
}

static void
shut_out(World *self, int by, int identity)
{
	char		text[2 * KAD_ID_BYTES + 1];
	KadId		lost[ROWS_NODES];
	int			n;

	kad_id_text(&self->node[identity].id, text);
	for (int k = 0; k < self->n; k++)
	{
		int			node = (by + k) % self->n;

		/* of those who are members: nobody hears what another says */
		if (self->node[node].replica == NULL || self->node[node].identity == identity || !world_counts(self, node) ||
			node_evict(node_of(self, node), world_clock(self, node), TAG, text, lost, ROWS_NODES, &n) != NODE_OK)
			continue;
		for (int i = 0; i < n; i++)
			world_trace(self, "node %d is no member any more, says node %d", by_id(self, &lost[i]), node);
		look(self, node);
		return;
	}
	world_after(self, AGAIN_MS, AFTER_BREAK, by, identity);
}

static void
net_state(World *self, int by, int identity, GrantRole role)
{
	if (role == GRANT_NOBODY && self->node[by].identity == identity)
		leave(self, by);
	else if (role == GRANT_NOBODY)
		shut_out(self, by, identity);
	else
	{
		world_start(self, identity);
		self->real->node[identity].joins_as = role == GRANT_WRITER && world_below(&self->net, 2) ? GRANT_ADMIN : role;
		try_join(self, by, identity);
	}
}

/* ---- two processes with one key ---- */

static int
twin_of(const World *self, int node)
{
	for (int i = self->n - 1; i >= 0; i--)
		if (i != node && !self->node[i].dead && self->node[i].identity == self->node[node].identity)
			return i;
	return -1;
}

/* It becomes a node of its own.  A copy of its disk has the keys of before: with that it would be a namesake again. */
static void
give_keys(World *self, int node)
{
	sim_new_keys(self->real->sim, node);
	take_keys(self, node);
	self->node[node].identity = node;
	sim_disk_reset(&self->real->node[node].saved);
	if (self->node[node].saved != NULL)
		store_destroy(&self->node[node].saved);
}

/* Somebody has read the log: one of the two becomes a node of its own, and both start again. */
static void
operate(World *self, int node)
{
	int			twin = twin_of(self, node);
	int			clone = twin > node ? twin : node;
	NetAddress	where;

	if (node_of(self, node) == NULL || !node_cloned(node_of(self, node), &where))
		return;
	world_trace(self, "node %d knows of another with its key%s", node, twin < 0 ? ", which is not there any more" : "");
	world_crash(self, node);
	self->node[node].memory.until_failure = -1;
	if (twin >= 0)
	{
		world_crash(self, twin);
		self->node[twin].memory.until_failure = -1;
		give_keys(self, clone);
		check_excuse(self, -1);
		world_start(self, twin);
	}
	world_start(self, node);
	if (twin >= 0 && world_below(&self->net, 2))
		net_state(self, twin < node ? twin : node, clone, GRANT_WRITER);
}

/* ---- what follows ---- */

/* What became of a node when something happened to it. */
static void
look(World *self, int node)
{
	Real	   *real = &self->real->node[node];
	RowsNode   *at = &self->node[node];
	Node	   *up = node_of(self, node);
	NodeRowsMembers members;
	NetAddress	where;
	const NodeGroup *g;

	if (up == NULL || self->failed)
		return;
	g = up->n_groups > 0 ? up->group[0] : NULL;
	if (g != NULL && !g->leaving && g->role != GRANT_NOBODY && (g->tag == 0 || (at->replica == NULL && !at->liar)))
	{
		/* it has joined: it makes the table, if it has none */
		node_group_bind(up, world_clock(self, node), self->real->root, TAG, NAME, (const uint8_t *) NODES_DESCRIPTION,
						strlen(NODES_DESCRIPTION));
		sim_keep(self->real->sim, node);
		real->joins_as = GRANT_NOBODY;
		world_start(self, node);
	}
	if (g != NULL && g->membership.changes != real->changes)
	{
		uint64_t	before = writers(self);

		real->changes = g->membership.changes;
		gather_node(self, node);
		excuse_lost(self, before);
	}
	if (!node_rows_members(up, world_clock(self, node), TAG, &members))
		members.version = UINT64_MAX;
	real->own_role = members.own_role;
	if (members.own_role != GRANT_NOBODY)
		real->joins_as = GRANT_NOBODY;
	if (at->replica != NULL && members.version != real->version)
		tell_members(self, node, &members);
	if (!real->alarm && node_cloned(up, &where))
	{
		real->alarm = true;
		world_after(self, 500 + (int64_t) world_below(&self->net, OPERATOR_MS), AFTER_CLONES, node, 0);
	}
	if (world_below(&self->net, 2) == 0 && node_group_count(up) > 0)
	{
		const uint8_t *root;

		if (node_group_unsaved(up, 0, &root))
			sim_keep(self->real->sim, node);
	}
}

/* Has it left for good, or died, and is no other there with its key? */
static bool
is_gone(World *self, int node)
{
	const Node *up = node_of(self, node);

	if (self->node[node].dead)
		return twin_of(self, node) < 0;
	return up != NULL && node_group_count(up) == 0 && self->real->node[node].joins_as == GRANT_NOBODY;
}

/*
 * Who is gone, and is a member to one who never heard that it was shut out, is shut out by
 * an admin who sees that it is not there: whom it told, or who said so, may have forgotten
 * it in a crash, died, or be no member any more, whom nobody hears.
 */
static void
shut_out_absent(World *self)
{
	for (int i = 0; i < self->n; i++)
		for (int k = 0; k < self->n && is_gone(self, i); k++)
		{
			Node	   *up = world_counts(self, k) ? node_of(self, k) : NULL;

			if (up != NULL && up->n_groups > 0 &&
				membership_role(&up->group[0]->membership, self->node[i].secret + CORE_SEED_BYTES, world_clock(self, k).unix_ms) != GRANT_NOBODY)
			{
				shut_out(self, k, i);
				break;
			}
		}
}

static void
net_heal(World *self)
{
	gather_anew(self);
	shut_out_absent(self);
}

static void
net_happen(World *self, const RowsEvent *event)
{
	Node	   *at = node_of(self, event->b);

	switch (event->kind)
	{
		case AFTER_FRAME:
			if (at == NULL)
				break;
			self->real->stale = true;
			node_frame(at, world_clock(self, event->b), self->real->sim->node[event->a].curve, (LinkVia) {event->number},
					   event->frame, event->len);
			self->real->stale = false;
			look(self, event->b);
			break;
		case AFTER_CONNECT:
			for (int i = 0; i < self->n; i++)
				net_connect(self, i);
			if (self->healing)
				shut_out_absent(self);
			world_after(self, MEET_MS, AFTER_CONNECT, 0, 0);
			break;
		case AFTER_LEARN:
			try_join(self, event->b, event->a);
			break;
		case AFTER_BREAK:
			if (net_role(self, event->b) != GRANT_NOBODY)
				shut_out(self, event->a, event->b);
			break;
		case AFTER_CLONES:
			operate(self, event->a);
			break;
	}
}

static int64_t
net_next_ms(const World *self)
{
	int64_t		next_ms = sim_next_ms(self->real->sim);

	return next_ms < self->now_ms ? self->now_ms : next_ms;
}

static void
net_step(World *self)
{
	int			node = sim_step(self->real->sim);

	if (node >= 0)
		look(self, node);
}

static void
net_end(World *self)
{
	struct RowsReal *real = self->real;

	if (real == NULL)
		return;
	self->digest ^= real->sim->digest;
	for (int i = 0; i < self->n; i++)
		sim_disk_reset(&real->node[i].saved);
	membership_reset(&real->all);
	/* after an assertion nothing can be said of them */
	if (!self->asserted && !sim_destroy(&real->sim) && !self->failed)
		world_violation(self, "nodes keep memory after their end");
	free(real);
	self->real = NULL;
}

const RowsNetwork rows_net = {
	.leaves = true,
	.add = net_add, .clone = net_clone, .form = net_form, .start = net_start, .stop = net_stop,
	.save = net_save, .revert = net_revert, .members = net_members, .connect = net_connect,
	.send = net_send, .mesh = net_mesh, .cut = net_cut, .state = net_state, .role = net_role,
	.own_role = net_own_role, .owner = net_owner, .heal = net_heal, .happen = net_happen,
	.next_ms = net_next_ms, .step = net_step, .end = net_end
};
