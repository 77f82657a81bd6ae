/*
 * rows_links.c
 *	  Links and statements of membership of the world's own: quick, and of any fault.
 *
 * A link belongs to a pair of processes and keeps the order of frames.  Its number is new
 * each time it is made, so that what was on its way over an older one is lost.  Of two
 * processes with one key a node has a link to one, now to this and now to that.
 *
 * A statement is a number; each node knows of some, and hears of the others later.
 */
#include "rows_world.h"

#include <stdlib.h>

#define DELAY_SPREAD 100		/* 1 .. 100 ms one way */
#define DOOMED_MS 3000			/* until a link that loses frames is given up */

/* ---- membership ---- */

static GrantRole
role_of(const World *self, uint64_t known, int identity)
{
	GrantRole	role = GRANT_NOBODY;

	for (int i = 0; i < self->n_statements; i++)
		if ((known >> i & 1) != 0 && self->statement[i].identity == identity)
		{
			if (self->statement[i].role == GRANT_NOBODY)
				return GRANT_NOBODY;
			role = self->statement[i].role;
		}
	return role;
}

static GrantRole
links_role(const World *self, int identity)
{
	return role_of(self, UINT64_MAX, identity);
}

static GrantRole
links_own_role(const World *self, int node)
{
	return role_of(self, self->node[node].known, self->node[node].identity);
}

static RowOwner
links_owner(const World *self, int node, const uint8_t *owner)
{
	for (int i = 0; i < self->n_statements; i++)
		if ((self->node[node].known >> i & 1) != 0 && self->statement[i].role >= GRANT_WRITER &&
			memcmp(self->node[self->statement[i].identity].secret + CORE_SEED_BYTES, owner, CORE_KEY_BYTES) == 0)
			return role_of(self, self->node[node].known, self->statement[i].identity) >= GRANT_WRITER ? ROW_OWNER_WRITER :
				ROW_OWNER_FORMER;
	return ROW_OWNER_STRANGER;
}

static void
links_members(World *self, int node)
{
	RowsNode   *at = &self->node[node];
	ReplicaMember member[ROWS_NODES];
	uint8_t		fingerprint[32];
	uint64_t	before = at->members;
	uint64_t	now = 0;
	int			n = 0;

	if (at->replica == NULL)
		return;
	for (int i = 0; i < self->n; i++)
	{
		GrantRole	role = self->node[i].identity != i || i == at->identity ? GRANT_NOBODY : role_of(self, at->known, i);

		if (role == GRANT_NOBODY)
			continue;
		member[n++] = (ReplicaMember) {self->node[i].id, role, 0};
		now |= UINT64_C(1) << i;
	}
	at->members = now;
	self->crypto.sha256(self->crypto.context, (const uint8_t *) &at->known, sizeof at->known, fingerprint);
	replica_members(at->replica, world_clock(self, node), member, n, role_of(self, at->known, at->identity), fingerprint);
	for (int i = 0; i < self->n; i++)
	{
		const RowsLink *link = i < node ? &self->link[i][node] : &self->link[node][i];

		/* what is up already, of a member that is new */
		if (i != node && link->id != 0 && !link->doomed && (now & ~before) >> self->node[i].identity & 1)
			replica_connected(at->replica, world_clock(self, node), &self->node[i].id);
	}
}

/* A statement is made; who made it and whom it is about know at once, the others later. */
static void
links_state(World *self, int by, int identity, GrantRole role)
{
	int			number = self->n_statements;

	if (number == ROWS_STATEMENTS)
		return;
	if (role != GRANT_NOBODY)
		self->node[identity].known = self->node[by].known;
	self->statement[self->n_statements++] = (RowsStatement) {identity, role};
	for (int i = 0; i < self->n; i++)
		if (i == by || self->node[i].identity == identity)
		{
			self->node[i].known |= UINT64_C(1) << number;
			links_members(self, i);
		}
		else
			world_after(self, (int64_t) world_below(&self->chance, 6000), AFTER_LEARN, i, number);
}

/* ---- links ---- */

static RowsLink *
link_of(World *self, int a, int b)
{
	return a < b ? &self->link[a][b] : &self->link[b][a];
}

static bool
reach(const World *self, int a, int b)
{
	return self->node[a].side == self->node[b].side;
}

static void
connect_soon(World *self, int a, int b, int64_t ms)
{
	world_after(self, ms, AFTER_CONNECT, a, b);
}

static void
links_break(World *self, int a, int b)
{
	RowsLink   *link = link_of(self, a, b);

	if (link->id == 0)
		return;
	link->id = 0;
	if (self->node[a].replica != NULL)
		replica_gone(self->node[a].replica, world_clock(self, a), &self->node[b].id);
	if (self->node[b].replica != NULL)
		replica_gone(self->node[b].replica, world_clock(self, b), &self->node[a].id);
	connect_soon(self, a, b, 20 + (int64_t) world_below(&self->net, 500));
}

static void
links_connect(World *self, int node)
{
	for (int i = 0; i < self->n; i++)
		if (i != node)
			connect_soon(self, node, i, 1 + (int64_t) world_below(&self->net, 100));
}

/* Of two processes with one key a node has a link to one. */
static bool
taken(World *self, int a, int b)
{
	for (int i = 0; i < self->n; i++)
		if (i != a && i != b && self->node[i].identity == self->node[b].identity && link_of(self, a, i)->id != 0)
			return true;
	return false;
}

static void
connect_nodes(World *self, int a, int b)
{
	RowsLink   *link = link_of(self, a, b);
	RowsNode   *x = &self->node[a];
	RowsNode   *y = &self->node[b];

	if (link->id != 0 || x->dead || y->dead || x->identity == y->identity)
		return;
	if (!reach(self, a, b) || self->one_way[a][b] || self->one_way[b][a] ||
		(x->replica == NULL && !x->liar) || (y->replica == NULL && !y->liar) || taken(self, a, b) || taken(self, b, a))
	{
		/* whoever becomes reachable tries again itself */
		return;
	}
	link->id = ++self->next_link;
	link->doomed = false;
	link->last_ms[0] = link->last_ms[1] = self->now_ms;
	world_trace(self, "link %d - %d", a, b);
	if (x->replica != NULL)
		replica_connected(x->replica, world_clock(self, a), &y->id);
	if (y->replica != NULL)
		replica_connected(y->replica, world_clock(self, b), &x->id);
}

static LinkSent
links_send(World *self, int node, const KadId *to, const uint8_t *frame, size_t len)
{
	for (int i = 0; i < self->n; i++)
	{
		RowsLink   *link = i == node ? NULL : link_of(self, node, i);
		bool		up = node < i;
		RowsEvent	event;

		if (link == NULL || link->id == 0 || !kad_id_equal(&self->node[i].id, to))
			continue;
		if (world_sending(self, node, i, frame, len) == LINK_FULL)
			return LINK_FULL;
		event = (RowsEvent) {.kind = AFTER_FRAME, .a = node, .b = i, .number = link->id, .len = len};
		event.at_ms = self->now_ms + 1 + (int64_t) world_below(&self->net, DELAY_SPREAD);
		if (self->profile->bytes_ms > 0 && event.at_ms < link->last_ms[up])
			event.at_ms = link->last_ms[up];
		if (self->profile->bytes_ms > 0)
			event.at_ms += (int64_t) len / self->profile->bytes_ms;
		if (event.at_ms <= link->last_ms[up])
			event.at_ms = link->last_ms[up] + 1;
		link->last_ms[up] = event.at_ms;
		event.frame = malloc(len);
		memcpy(event.frame, frame, len);
		world_schedule(self, event);
		return LINK_SENT;
	}
	return LINK_ERROR;
}

static void
deliver(World *self, const RowsEvent *event)
{
	RowsLink   *link = link_of(self, event->a, event->b);

	if (!event->stale && link->id != event->number)
	{
		self->figures.lost++;
		return;
	}
	if (!reach(self, event->a, event->b) || self->one_way[event->a][event->b])
	{
		if (!link->doomed && link->id != 0)
		{
			link->doomed = true;
			world_after(self, DOOMED_MS, AFTER_BREAK, event->a, event->b);
		}
		self->figures.lost++;
		return;
	}
	if (link->doomed || link->id == 0)
		return;
	if (!event->stale && world_comes_again(self, event->frame))
	{
		RowsEvent	again = *event;

		again.stale = true;
		again.at_ms = self->now_ms + 1 + (int64_t) world_below(&self->net, 3000);
		again.frame = malloc(event->len);
		memcpy(again.frame, event->frame, event->len);
		world_schedule(self, again);
	}
	world_deliver(self, event->a, event->b, event->frame, event->len, event->stale);
}

static int
links_mesh(World *self, int node, KadId *out, int room)
{
	int			n = 0;

	for (int k = 1; k < self->n && n < room && n < self->mesh; k++)
	{
		int			i = (node + k) % self->n;

		if (link_of(self, node, i)->id != 0 && role_of(self, self->node[node].known, self->node[i].identity) != GRANT_NOBODY)
			out[n++] = self->node[i].id;
	}
	return n;
}

static void
flap_clones(World *self, int node)
{
	if (self->node[node].dead)
		return;
	for (int i = 0; i < self->n; i++)
		if (i != node && link_of(self, node, i)->id != 0)
		{
			links_break(self, node, i);
			/* the other process of that key comes first */
			connect_soon(self, self->node[node].identity, i, 1 + (int64_t) world_below(&self->net, 40));
			connect_soon(self, node, i, 1 + (int64_t) world_below(&self->net, 40));
		}
		else if (i != node)
		{
			links_break(self, self->node[node].identity, i);
			connect_soon(self, node, i, 1 + (int64_t) world_below(&self->net, 10));
		}
	world_after(self, 2000 + (int64_t) world_below(&self->net, 4000), AFTER_CLONES, node, 0);
}


/* ---- nodes ---- */

static void
links_add(World *self, int node)
{
	RowsNode   *at = &self->node[node];
	uint8_t		seed[CORE_SEED_BYTES] = "rows";
	uint8_t		key[CORE_KEY_BYTES];

	bytes_store(seed + 8, 8, (uint64_t) node + self->seed * 100);
	self->crypto.key_pair(NULL, seed, key, at->secret);
	at->id = kad_id_of_key(&self->crypto, key);
}

static void
links_clone(World *self, int clone, int node)
{
	self->node[clone].id = self->node[node].id;
	memcpy(self->node[clone].secret, self->node[node].secret, CORE_SECRET_BYTES);
	self->node[clone].known = self->node[node].known;
}

static void
links_form(World *self, const GrantRole *role)
{
	for (int i = 0; i < self->n; i++)
	{
		self->statement[self->n_statements++] = (RowsStatement) {i, role[i]};
		self->node[i].known = (UINT64_C(1) << (self->n - 1) << 1) - 1;
	}
}

static bool
links_start(World *self, int node)
{
	return true;
}

static void
links_stop(World *self, int node)
{
	for (int i = 0; i < self->n; i++)
		if (i != node && link_of(self, node, i)->id != 0)
		{
			link_of(self, node, i)->id = 0;
			if (self->node[i].replica != NULL)
				replica_gone(self->node[i].replica, world_clock(self, i), &self->node[node].id);
		}
}

/* What a node knows of members is not taken back with its disk. */
static void
links_disk(World *self, int node)
{
}

static void
links_heal(World *self)
{
	for (int i = 0; i < self->n; i++)
		self->node[i].known = UINT64_MAX >> (64 - self->n_statements);
}

static void
links_happen(World *self, const RowsEvent *event)
{
	switch (event->kind)
	{
		case AFTER_FRAME:
			deliver(self, event);
			break;
		case AFTER_CONNECT:
			connect_nodes(self, event->a, event->b);
			break;
		case AFTER_BREAK:
			links_break(self, event->a, event->b);
			break;
		case AFTER_LEARN:
			if ((self->node[event->a].known >> event->b & 1) == 0)
			{
				self->node[event->a].known |= UINT64_C(1) << event->b;
				links_members(self, event->a);
			}
			break;
		case AFTER_CLONES:
			flap_clones(self, event->a);
			break;
	}
}

static void
links_end(World *self)
{
}

const RowsNetwork rows_links = {
	.add = links_add, .clone = links_clone, .form = links_form, .start = links_start, .stop = links_stop,
	.save = links_disk, .revert = links_disk, .members = links_members, .connect = links_connect,
	.send = links_send, .mesh = links_mesh, .cut = links_break, .state = links_state, .role = links_role,
	.own_role = links_own_role, .owner = links_owner, .heal = links_heal, .happen = links_happen,
	.end = links_end
};
