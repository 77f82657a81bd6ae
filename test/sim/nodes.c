/*
 * nodes.c
 *	  Whole nodes on one virtual clock.
 *
 * A link belongs to who has made it; each pair has at most one each way.  Its number
 * is new each time it is made, so that what was on its way over an older one is lost.
 * On one link frames keep their order.
 */
#include "nodes.h"

#include <stdio.h>
#include <stdlib.h>

#define EPOCH_MS INT64_C(1800000000000)
#define DELAY_LEAST 10
#define DELAY_SPREAD 91			/* 10 .. 100 ms one way */
#define TICK_MS 100
#define WATCH_MS 1000			/* between looks at links */
#define DEAD_MS 30000			/* silent for so long, a link is given up, if the simulator does not say otherwise */
#define CONNECT_MS 5000			/* and an attempt */

typedef struct SimLink
{
	uint64_t	id;				/* 0: none */
	bool		up;
	bool		pinned;
	bool		doomed;			/* a frame was lost: so is all after it, until the link breaks */
	int64_t		since_ms;
	int64_t		used_ms;
	int64_t		lost_ms;		/* tick since which the ends do not reach each other; 0: they do */
	int64_t		last_ms[2];		/* arrival of the last frame, to whom it leads and back */
} SimLink;

typedef enum EventKind
{
	EVENT_TICK,					/* of a node */
	EVENT_FRAME,
	EVENT_CONNECTED,
	EVENT_WATCH
} EventKind;

typedef struct Event
{
	int64_t		at_ms;
	uint64_t	order;
	EventKind	kind;
	int			from;
	int			to;
	uint64_t	number;			/* of the link, or of the node's life */
	bool		backwards;		/* from the end to which the link leads */
	size_t		len;
	uint8_t    *frame;
} Event;

typedef struct SimKept
{
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		root_secret[CORE_SECRET_BYTES];
	bool		has_root;
	bool		leaving;
	uint32_t	tag;
	int			n;
	uint8_t		(*statement)[GRANT_BYTES];
} SimKept;

struct SimParts
{
	HostMemory	memory_state;
	uint64_t	random_state;	/* of the nodes */
	uint64_t	chance_state;	/* of the network */
	SimLink		link[NODES_MAX][NODES_MAX];
	uint64_t	next_link;
	uint64_t	next_order;
	int			n_events;
	int			room;
	Event	  **event;			/* a heap, the first due on top */
};

static Sim *the_sim;

static void *
must(void *p)
{
	if (p == NULL)
	{
		fprintf(stderr, "the simulator is out of memory\n");
		exit(2);
	}
	return p;
}

CoreClock
sim_clock(const Sim *self)
{
	return (CoreClock) {self->now_ms, self->now_ms + EPOCH_MS};
}

CoreClock
sim_clock_of(const Sim *self, int node)
{
	const int64_t *offset_ms = self->node[node].offset_ms;

	return (CoreClock) {self->now_ms, self->now_ms + EPOCH_MS + (offset_ms == NULL ? 0 : *offset_ms)};
}

uint64_t
sim_below(Sim *self, uint64_t n)
{
	return core_random_below(&HOST_RANDOM(&self->parts->chance_state), n);
}

static int64_t
delay(Sim *self)
{
	return DELAY_LEAST + (int64_t) sim_below(self, DELAY_SPREAD);
}

/* ---- events ---- */

static bool
before(const Event *a, const Event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static Event *
schedule(Sim *self, int64_t at_ms, EventKind kind)
{
	struct SimParts *parts = self->parts;
	Event	   *event = must(calloc(1, sizeof *event));
	int			i = parts->n_events++;

	if (parts->n_events > parts->room)
	{
		parts->room = 2 * parts->room + 1024;
		parts->event = must(realloc(parts->event, (size_t) parts->room * sizeof *parts->event));
	}
	event->at_ms = at_ms;
	event->order = parts->next_order++;
	event->kind = kind;
	for (; i > 0 && before(event, parts->event[(i - 1) / 2]); i = (i - 1) / 2)
		parts->event[i] = parts->event[(i - 1) / 2];
	parts->event[i] = event;
	return event;
}

static Event *
take_first(struct SimParts *parts)
{
	Event	   *first = parts->event[0];
	Event	   *last = parts->event[--parts->n_events];
	int			i = 0;

	for (int k; (k = 2 * i + 1) < parts->n_events; i = k)
	{
		if (k + 1 < parts->n_events && before(parts->event[k + 1], parts->event[k]))
			k++;
		if (!before(parts->event[k], last))
			break;
		parts->event[i] = parts->event[k];
	}
	parts->event[i] = last;
	return first;
}

/* ---- links ---- */

/* Does what is sent from one to the other arrive, where both are up? */
static bool
passes(const Sim *self, int from, int to)
{
	return self->reach != NULL ? self->reach(self->context, from, to) : self->node[from].side == self->node[to].side;
}

static bool
reach(const Sim *self, int a, int b)
{
	return self->node[a].node != NULL && self->node[b].node != NULL && passes(self, a, b) && passes(self, b, a);
}

static bool
has_curve(const SimNode *w, const uint8_t *curve)
{
	return memcmp(w->curve, curve, CORE_KEY_BYTES) == 0;
}

/* To whom with this key the node has made a link, to whom with it one leads back; -1: nobody. */
static int
made_to(const Sim *self, int from, const uint8_t *curve)
{
	for (int i = 0; i < self->n; i++)
		if (has_curve(&self->node[i], curve) && self->parts->link[from][i].id != 0)
			return i;
	return -1;
}

static int
made_by(const Sim *self, const uint8_t *curve, int to)
{
	for (int i = 0; i < self->n; i++)
		if (has_curve(&self->node[i], curve) && self->parts->link[i][to].up)
			return i;
	return -1;
}

/* Who with this key is at the first of these addresses where such a one is. */
static int
at_addresses(const Sim *self, const uint8_t *curve, const NetAddress *addresses, int n)
{
	for (int k = 0; k < n; k++)
		for (int i = 0; i < self->n; i++)
			if (has_curve(&self->node[i], curve) && net_address_equal(&addresses[k], &self->node[i].address))
				return i;
	return -1;
}

/* Who is there answers soon, a dead process refuses as soon, and beyond a partition nobody does. */
static void
connect_link(Sim *self, int from, int to)
{
	SimLink    *link = &self->parts->link[from][to];
	bool		silent = !passes(self, from, to) || !passes(self, to, from);
	Event	   *event;

	link->id = ++self->parts->next_link << 12 | (uint64_t) from << 6 | (uint64_t) to;
	link->up = link->doomed = false;
	link->lost_ms = link->last_ms[0] = link->last_ms[1] = 0;
	link->since_ms = link->used_ms = self->now_ms;
	event = schedule(self, self->now_ms + (silent ? CONNECT_MS : 2 * delay(self)), EVENT_CONNECTED);
	event->from = from;
	event->to = to;
	event->number = link->id;
}

static void
close_link(Sim *self, int from, int to)
{
	self->parts->link[from][to].id = 0;
	self->parts->link[from][to].up = false;
}

static void
post(Sim *self, int from, int to, bool backwards, const uint8_t *frame, size_t len)
{
	SimLink    *link = &self->parts->link[from][to];
	int64_t		at = self->now_ms + delay(self);
	Event	   *event;

	link->used_ms = self->now_ms;
	/* what is sent while the link is being made arrives after that, if it comes up */
	if (!link->up && at < link->since_ms + 2 * (DELAY_LEAST + DELAY_SPREAD))
		at = link->since_ms + 2 * (DELAY_LEAST + DELAY_SPREAD);
	if (self->bytes_ms > 0)
		at = (at > link->last_ms[backwards] ? at : link->last_ms[backwards]) + (int64_t) len / self->bytes_ms;
	if (at <= link->last_ms[backwards])
		at = link->last_ms[backwards] + 1;
	link->last_ms[backwards] = at;
	event = schedule(self, at, EVENT_FRAME);
	event->from = from;
	event->to = to;
	event->number = link->id;
	event->backwards = backwards;
	event->frame = must(malloc(len));
	event->len = len;
	memcpy(event->frame, frame, len);
}

/* Room for another link: a free one, or that of the least recently used that is not pinned. */
static bool
make_room(Sim *self, int from)
{
	int			n = 0;
	int			oldest = -1;

	for (int to = 0; to < self->n; to++)
	{
		const SimLink *link = &self->parts->link[from][to];

		n += link->id != 0;
		if (link->id != 0 && link->up && !link->pinned &&
			(oldest < 0 || link->used_ms < self->parts->link[from][oldest].used_ms))
			oldest = to;
	}
	if (n < NODES_LINKS)
		return true;
	if (oldest < 0)
		return false;
	close_link(self, from, oldest);
	return true;
}

static LinkSent
links_send(void *context, int64_t tick_ms, const uint8_t curve_key[CORE_KEY_BYTES], const NetAddress *addresses,
		   int n, const uint8_t *frame, size_t len)
{
	Sim		   *self = the_sim;
	SimNode    *w = context;
	int			to = made_to(self, w->index, curve_key);
	int			there = at_addresses(self, curve_key, addresses, n);
	int			from;

	if (has_curve(w, curve_key) || w->node == NULL)
		return LINK_ERROR;
	if (to < 0 && there >= 0 && make_room(self, w->index))
		connect_link(self, w->index, to = there);
	if (to >= 0)
		post(self, w->index, to, false, frame, len);
	else if ((from = made_by(self, curve_key, w->index)) >= 0)
		post(self, from, w->index, true, frame, len);
	else
		return there >= 0 ? LINK_NO_ROOM : LINK_ERROR;
	return LINK_SENT;
}

static SimLink *
link_of(Sim *self, int node, LinkVia via, int *from, int *to)
{
	SimLink    *link;

	*from = (int) (via.link >> 6 & 63);
	*to = (int) (via.link & 63);
	link = &self->parts->link[*from][*to];
	return via.link != 0 && link->id == via.link && link->up && (node == *from || node == *to) ? link : NULL;
}

static LinkSent
links_answer(void *context, LinkVia via, const uint8_t *frame, size_t len)
{
	SimNode    *w = context;
	int			from;
	int			to;

	if (link_of(the_sim, w->index, via, &from, &to) == NULL)
		return LINK_ERROR;
	post(the_sim, from, to, w->index == to, frame, len);
	return LINK_SENT;
}

static void
links_drop(void *context, const uint8_t curve_key[CORE_KEY_BYTES], bool only_outbound)
{
	SimNode    *w = context;

	for (int i = 0; i < the_sim->n; i++)
		if (has_curve(&the_sim->node[i], curve_key))
		{
			close_link(the_sim, w->index, i);
			if (!only_outbound)
				close_link(the_sim, i, w->index);
		}
}

static void
links_pin(void *context, const uint8_t curve_key[CORE_KEY_BYTES], bool pinned)
{
	SimNode    *w = context;
	int			to = made_to(the_sim, w->index, curve_key);

	for (int i = 0; i < the_sim->n; i++)
		if (has_curve(&the_sim->node[i], curve_key))
		{
			the_sim->parts->link[w->index][i].pinned = pinned && (to < 0 || to == i);
			to = to < 0 ? i : to;
		}
}

static LinkInfo
info_of(const Sim *self, int node, int from, int to)
{
	const SimLink *link = &self->parts->link[from][to];
	const SimNode *other = &self->node[node == from ? to : from];
	LinkInfo	info = {.address = other->address, .outbound = node == from, .up = link->up, .since_ms = link->since_ms};

	memcpy(info.curve_key, other->curve, CORE_KEY_BYTES);
	return info;
}

static int
links_list(void *context, LinkInfo *out, int room)
{
	SimNode    *w = context;
	int			n = 0;

	for (int i = 0; i < the_sim->n; i++)
	{
		if (the_sim->parts->link[w->index][i].id != 0 && n < room)
			out[n++] = info_of(the_sim, w->index, w->index, i);
		if (the_sim->parts->link[i][w->index].up && n < room)
			out[n++] = info_of(the_sim, w->index, i, w->index);
	}
	return n;
}

static bool
links_find(void *context, LinkVia via, LinkInfo *out)
{
	SimNode    *w = context;
	int			from;
	int			to;

	if (link_of(the_sim, w->index, via, &from, &to) == NULL)
		return false;
	*out = info_of(the_sim, w->index, from, to);
	return true;
}

/* ---- what the nodes call ---- */

static void
on_log(void *context, NodeLevel level, const char *text)
{
	SimNode    *w = context;

	w->joined |= strstr(text, "has joined the network") != NULL;
	if (getenv("SIM_LOG") != NULL)
		fprintf(stderr, "%10.3f node %d: %s\n", (double) the_sim->now_ms / 1000, w->index, text);
}

static void
on_lookup_done(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
}

static void
on_join_done(void *context, uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
			 const uint8_t *description, size_t len)
{
	SimNode    *w = context;

	w->joins--;
	if (status != NODE_OK || len != strlen(NODES_DESCRIPTION) || memcmp(description, NODES_DESCRIPTION, len) != 0)
	{
		w->joins_failed++;
		if (getenv("SIM_LOG") != NULL)
			fprintf(stderr, "# node %d: a join has ended with status %d %s\n", w->index, status, text == NULL ? "" : text);
	}
}

static void
on_left(void *context, const uint8_t *root)
{
	SimNode    *w = context;

	w->left++;
}

static void
on_signed_anew(void *context, uint64_t seq)
{
	SimNode    *w = context;

	w->disk.seq = seq;
}

/* ---- life ---- */

Sim *
sim_new(uint64_t seed)
{
	Sim		   *self = must(calloc(1, sizeof *self));

	self->parts = must(calloc(1, sizeof *self->parts));
	self->seed = seed;
	self->dead_ms = DEAD_MS;
	self->parts->memory_state.until_failure = -1;
	self->parts->random_state = seed * UINT64_C(0xD1342543DE82EF95) + 1;
	self->parts->chance_state = self->parts->random_state ^ UINT64_C(0x5851F42D4C957F2D);
	self->memory = HOST_MEMORY(&self->parts->memory_state);
	self->random = HOST_RANDOM(&self->parts->random_state);
	self->crypto = host_crypto();
	the_sim = self;
	schedule(self, WATCH_MS, EVENT_WATCH);
	return self;
}

static void
schedule_tick(Sim *self, SimNode *w)
{
	int64_t		at = node_next_tick(w->node);
	Event	   *event;

	if (at > self->now_ms + TICK_MS)
		at = self->now_ms + TICK_MS;
	if (at <= self->now_ms)
		at = self->now_ms + 1;
	event = schedule(self, at, EVENT_TICK);
	event->to = w->index;
	event->number = w->start;
}

static void
forget_kept(SimDisk *self)
{
	for (int i = 0; i < self->n_kept; i++)
		free(self->kept[i].statement);
	free(self->kept);
	self->kept = NULL;
	self->n_kept = 0;
}

void
sim_disk_reset(SimDisk *self)
{
	forget_kept(self);
	self->seq = 0;
}

void
sim_disk_copy(SimDisk *to, const SimDisk *from)
{
	forget_kept(to);
	to->seq = from->seq;
	to->n_kept = from->n_kept;
	to->kept = must(calloc((size_t) from->n_kept + 1, sizeof *to->kept));
	for (int i = 0; i < from->n_kept; i++)
	{
		size_t		bytes = (size_t) from->kept[i].n * GRANT_BYTES;

		to->kept[i] = from->kept[i];
		to->kept[i].statement = must(malloc(bytes + 1));
		memcpy(to->kept[i].statement, from->kept[i].statement, bytes);
	}
}

int
sim_disk_statements(const SimDisk *self, int i, const uint8_t (**out)[GRANT_BYTES])
{
	if (i >= self->n_kept)
		return 0;
	*out = (const uint8_t (*)[GRANT_BYTES]) self->kept[i].statement;
	return self->kept[i].n;
}

void
sim_put(Sim *self, int node, const uint8_t root[CORE_KEY_BYTES], const uint8_t *root_secret,
		const uint8_t (*statement)[GRANT_BYTES], int n)
{
	SimDisk    *disk = &self->node[node].disk;
	SimKept    *kept = disk->kept;

	while (kept != NULL && kept < disk->kept + disk->n_kept && memcmp(kept->root, root, CORE_KEY_BYTES) != 0)
		kept++;
	if (kept == NULL || kept == disk->kept + disk->n_kept)
	{
		disk->kept = must(realloc(disk->kept, ((size_t) disk->n_kept + 1) * sizeof *disk->kept));
		kept = &disk->kept[disk->n_kept++];
		memset(kept, 0, sizeof *kept);
		memcpy(kept->root, root, CORE_KEY_BYTES);
		kept->tag = (uint32_t) disk->n_kept;
	}
	if (root_secret != NULL)
	{
		kept->has_root = true;
		memcpy(kept->root_secret, root_secret, CORE_SECRET_BYTES);
	}
	kept->statement = must(realloc(kept->statement, ((size_t) (kept->n + n) + 1) * GRANT_BYTES));
	memcpy(kept->statement + kept->n, statement, (size_t) n * GRANT_BYTES);
	kept->n += n;
}

bool
sim_destroy(Sim **self_p)
{
	Sim		   *self = *self_p;
	struct SimParts *parts = self->parts;
	bool		clean;

	for (int i = 0; i < self->n; i++)
	{
		node_destroy(&self->node[i].node);
		forget_kept(&self->node[i].disk);
	}
	while (parts->n_events > 0)
	{
		Event	   *event = take_first(parts);

		free(event->frame);
		free(event);
	}
	clean = parts->memory_state.blocks == 0;
	free(parts->event);
	free(parts);
	free(self);
	*self_p = NULL;
	return clean;
}

void
sim_new_keys(Sim *self, int node)
{
	SimNode    *w = &self->node[node];
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		key[CORE_KEY_BYTES];

	host_fill(&self->parts->random_state, seed, sizeof seed);
	host_fill(&self->parts->random_state, w->curve, sizeof w->curve);
	if (!self->crypto.key_pair(self->crypto.context, seed, key, w->secret))
		must(NULL);
}

int
sim_add_down(Sim *self, const char *network)
{
	SimNode    *w = &self->node[self->n];

	if (self->n == NODES_MAX)
		must(NULL);
	w->index = self->n++;
	w->network = network;
	w->address = net_address_v4(11, 0, (uint8_t) w->index, 1, 7777);
	sim_new_keys(self, w->index);
	return w->index;
}

int
sim_add(Sim *self, const char *network)
{
	int			node = sim_add_down(self, network);

	sim_start(self, node);
	return node;
}

void
sim_clone(Sim *self, int clone, int node)
{
	memcpy(self->node[clone].secret, self->node[node].secret, CORE_SECRET_BYTES);
	memcpy(self->node[clone].curve, self->node[node].curve, CORE_KEY_BYTES);
	sim_disk_copy(&self->node[clone].disk, &self->node[node].disk);
}

void
sim_start(Sim *self, int node)
{
	SimNode    *w = &self->node[node];
	NodeConfig	config = {
		.callbacks = {w, on_log, on_lookup_done, on_join_done, on_left, on_signed_anew},
		.memory = w->memory != NULL ? w->memory : &self->memory,
		.crypto = &self->crypto,
		.random = &self->random,
		.links = {w, links_send, links_answer, links_drop, links_pin, links_list, links_find},
		.network = w->network,
		.rows = w->rows,
		.seq = w->disk.seq,
		.n_addresses = 1,
		.addresses = {w->address},
		.skew_ms = 300000,
		.mesh_degree = MESH_DEGREE
	};
	CoreClock	clock = sim_clock_of(self, node);
	char		error[256];

	memcpy(config.secret, w->secret, sizeof config.secret);
	memcpy(config.curve_public, w->curve, sizeof config.curve_public);
	w->node = must(node_new(&config, clock, error, sizeof error));
	w->joined = false;
	w->joins = 0;
	w->start++;
	for (int i = 0; i < w->disk.n_kept; i++)
	{
		const SimKept *kept = &w->disk.kept[i];
		bool		taken = true;

		if (node_group_load(w->node, clock, kept->root, kept->has_root ? kept->root_secret : NULL, kept->tag, "things",
							kept->leaving) != NODE_OK)
			must(NULL);
		while (taken)
		{
			taken = false;
			for (int k = 0; k < kept->n; k++)
				taken |= node_group_add(w->node, clock, kept->root, kept->statement[k]);
		}
		node_group_loaded(w->node, clock, kept->root);
		node_group_bind(w->node, clock, kept->root, kept->tag, "things", (const uint8_t *) NODES_DESCRIPTION,
						strlen(NODES_DESCRIPTION));
	}
	schedule_tick(self, w);
}

void
sim_keep(Sim *self, int node)
{
	const Node *up = self->node[node].node;
	SimDisk    *disk = &self->node[node].disk;

	forget_kept(disk);
	disk->n_kept = node_group_count(up);
	disk->kept = must(calloc((size_t) disk->n_kept + 1, sizeof *disk->kept));
	for (int i = 0; i < disk->n_kept; i++)
	{
		const NodeGroup *g = up->group[i];
		const uint8_t *statement[MEMBERSHIP_ROOM];
		SimKept    *kept = &disk->kept[i];

		memcpy(kept->root, g->membership.root, sizeof kept->root);
		memcpy(kept->root_secret, g->root_secret, sizeof kept->root_secret);
		kept->has_root = g->has_root;
		kept->leaving = g->leaving;
		kept->tag = g->tag;
		kept->n = node_group_statements(up, i, statement, MEMBERSHIP_ROOM);
		kept->statement = must(calloc((size_t) kept->n + 1, sizeof *kept->statement));
		for (int k = 0; k < kept->n; k++)
			memcpy(kept->statement[k], statement[k], GRANT_BYTES);
	}
	node_groups_saved(self->node[node].node);
}

void
sim_kill(Sim *self, int node)
{
	SimNode    *w = &self->node[node];
	Node	   *dead = w->node;

	w->node = NULL;				/* what it says in its last moment goes nowhere */
	node_destroy(&dead);
	for (int i = 0; i < self->n; i++)
	{
		SimLink    *link = &self->parts->link[i][node];

		close_link(self, node, i);
		/* those who have made one notice soon, though another process is there by then */
		link->doomed = true;
		link->lost_ms = -self->dead_ms;
	}
}

void
sim_crash(Sim *self, int node)
{
	sim_keep(self, node);
	sim_kill(self, node);
}

void
sim_meet(Sim *self, int node, int other)
{
	const NodeRecord *record = node_record(self->node[other].node);

	(void) node_meet(self->node[node].node, sim_clock_of(self, node), record->bytes, record->len);
}

/* ---- what happens ---- */

/* It is made anew by who has made it. */
static void
break_link(Sim *self, int from, int to)
{
	self->links_broken++;
	close_link(self, from, to);
	if (self->node[from].node != NULL)
		connect_link(self, from, to);
}

void
sim_break_link(Sim *self)
{
	uint64_t	seen = 0;
	int			chosen = -1;

	for (int i = 0; i < self->n * self->n; i++)
		if (self->parts->link[i / self->n][i % self->n].up && sim_below(self, ++seen) == 0)
			chosen = i;
	if (chosen >= 0)
		break_link(self, chosen / self->n, chosen % self->n);
}

void
sim_break_links(Sim *self, int a, int b)
{
	if (self->parts->link[a][b].up)
		break_link(self, a, b);
	if (self->parts->link[b][a].up)
		break_link(self, b, a);
}

/* Links whose ends do not reach each other: a dead process is noticed at once, silence later. */
static void
watch(Sim *self)
{
	for (int from = 0; from < self->n; from++)
		for (int to = 0; to < self->n; to++)
		{
			SimLink    *link = &self->parts->link[from][to];

			if (link->id == 0 && link->pinned && self->node[from].node != NULL && make_room(self, from))
				connect_link(self, from, to);
			else if (!link->up)
				continue;
			else if (reach(self, from, to) && !link->doomed)
				link->lost_ms = 0;
			else if (link->lost_ms == 0)
				link->lost_ms = self->now_ms;
			else if (self->node[to].node == NULL || self->now_ms - link->lost_ms >= self->dead_ms)
				break_link(self, from, to);
		}
	schedule(self, self->now_ms + WATCH_MS, EVENT_WATCH);
}

static void
connected(Sim *self, const Event *event)
{
	SimLink    *link = &self->parts->link[event->from][event->to];

	if (link->id != event->number)
		return;
	if (reach(self, event->from, event->to))
	{
		self->links_made++;
		link->up = true;
		link->since_ms = self->now_ms;
		return;
	}
	close_link(self, event->from, event->to);
	if (self->node[event->from].node != NULL)
		node_unreachable(self->node[event->from].node, sim_clock_of(self, event->from), self->node[event->to].curve);
}

/* Who got it; -1: nobody did. */
static int
arrive(Sim *self, const Event *event)
{
	SimLink    *link = &self->parts->link[event->from][event->to];
	const SimNode *sender = &self->node[event->backwards ? event->to : event->from];
	const SimNode *receiver = &self->node[event->backwards ? event->from : event->to];

	if (link->id != event->number || !link->up || link->doomed || sender->node == NULL || receiver->node == NULL ||
		!passes(self, sender->index, receiver->index))
	{
		link->doomed |= link->id == event->number;
		self->lost++;
		return -1;
	}
	self->frames++;
	self->digest = (self->digest ^ (uint64_t) self->now_ms ^ event->number << 20 ^ (uint64_t) event->len << 44 ^
					(uint64_t) event->frame[6] << 56) * UINT64_C(0x9E3779B97F4A7C15);
	self->digest ^= self->digest >> 29;
	node_frame(receiver->node, sim_clock_of(self, receiver->index), sender->curve, (LinkVia) {event->number}, event->frame,
			   event->len);
	return receiver->index;
}

int64_t
sim_next_ms(const Sim *self)
{
	return self->parts->event[0]->at_ms;
}

int
sim_step(Sim *self)
{
	Event	   *event = take_first(self->parts);
	SimNode    *w = &self->node[event->to];
	int			node = -1;

	self->now_ms = event->at_ms;
	switch (event->kind)
	{
		case EVENT_TICK:
			if (w->node != NULL && w->start == event->number)
			{
				node_tick(w->node, sim_clock_of(self, w->index));
				schedule_tick(self, w);
				node = w->index;
			}
			break;
		case EVENT_FRAME:
			node = arrive(self, event);
			break;
		case EVENT_CONNECTED:
			connected(self, event);
			break;
		case EVENT_WATCH:
			watch(self);
			break;
	}
	free(event->frame);
	free(event);
	return node;
}

bool
sim_run_until(Sim *self, int64_t ms, bool (*condition) (Sim *))
{
	int64_t		until = self->now_ms + ms;
	int64_t		looked_ms = self->now_ms;

	while (sim_next_ms(self) <= until)
	{
		(void) sim_step(self);
		if (condition != NULL && self->now_ms - looked_ms >= TICK_MS)
		{
			looked_ms = self->now_ms;
			if (condition(self))
				return true;
		}
	}
	self->now_ms = until;
	return condition == NULL || condition(self);
}

void
sim_run(Sim *self, int64_t ms)
{
	(void) sim_run_until(self, ms, NULL);
}
