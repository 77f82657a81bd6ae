/*
 * rows_faults.c
 *	  What happens to the nodes, and how all of it heals.
 *
 * A seed has one of the profiles, by its number.
 */
#include <stdlib.h>

#include "rows_world.h"

#define ROUNDS 20				/* of anti-entropy, until all are equal */
#define ROUNDS_ABSENT (3 * REPLICA_VERIFY_EVERY)	/* where one was away for longer than tombstones are kept */
#define ROUNDS_LIED (10 * VERIFY_OFTEN)	/* where false claims were believed: each node has to compare with who has what they hid */
#define PATIENCE_MS 60000		/* and a minute beside, for requests to nodes that are gone */

const Profile rows_profiles[] = {
	{.name = "plain", .nodes = {3, 5}, .keys = {4, 10}, .events = {40, 80}, .gap_ms = 250,
		.weight = {[ACT_WRITE] = 30, [ACT_IDLE] = 2, [ACT_CRASH] = 2, [ACT_HALVES] = 1, [ACT_BREAK] = 3, [ACT_CONSTRAINT] = 3, [ACT_PAUSE] = 2, [ACT_WAIT] = 2},
	.deletes = 25, .async = 50, .retention_ms = 60000, .job_ms = 30, .rate = 3},
	{.name = "crashes", .nodes = {3, 4}, .keys = {3, 8}, .events = {40, 70}, .gap_ms = 200,
		.weight = {[ACT_WRITE] = 30, [ACT_IDLE] = 2, [ACT_CRASH] = 10, [ACT_BREAK] = 8, [ACT_CONSTRAINT] = 2, [ACT_NO_MEMORY] = 1},
	.deletes = 20, .async = 80, .refuses = 10, .retention_ms = 60000, .job_ms = 120},
	{.name = "deaths", .nodes = {4, 5}, .keys = {3, 8}, .events = {40, 60}, .gap_ms = 200,
		.weight = {[ACT_WRITE] = 30, [ACT_CRASH] = 3, [ACT_KILL] = 3, [ACT_BREAK] = 8, [ACT_EVICT] = 1, [ACT_JOIN] = 1},
	.deletes = 20, .async = 50, .retention_ms = 30000, .job_ms = 60},
	{.name = "garbage", .nodes = {3, 5}, .keys = {3, 6}, .events = {50, 80}, .gap_ms = 400,
		.weight = {[ACT_WRITE] = 24, [ACT_HALVES] = 3, [ACT_BREAK] = 2, [ACT_ABSENT] = 4, [ACT_CRASH] = 1, [ACT_CONSTRAINT] = 2, [ACT_WAIT] = 8},
	.deletes = 50, .async = 30, .retention_ms = 3000, .job_ms = 30},
	{.name = "members", .nodes = {3, 4}, .keys = {3, 6}, .events = {40, 70}, .gap_ms = 400,
		.weight = {[ACT_WRITE] = 24, [ACT_HALVES] = 3, [ACT_BREAK] = 3, [ACT_JOIN] = 4, [ACT_EVICT] = 2, [ACT_CRASH] = 1, [ACT_WAIT] = 6},
	.deletes = 45, .async = 30, .retention_ms = 60000, .job_ms = 40},
	{.name = "clones", .nodes = {3, 4}, .keys = {3, 6}, .events = {40, 60}, .gap_ms = 300,
		.weight = {[ACT_WRITE] = 30, [ACT_CLONE] = 1, [ACT_REVERT] = 4, [ACT_CRASH] = 1, [ACT_BREAK] = 2, [ACT_WAIT] = 4},
	.deletes = 35, .async = 30, .retention_ms = 20000, .job_ms = 30},
	{.name = "clocks", .nodes = {3, 4}, .keys = {3, 6}, .events = {40, 60}, .gap_ms = 400,
		.weight = {[ACT_WRITE] = 30, [ACT_CLOCK] = 5, [ACT_CRASH] = 3, [ACT_BREAK] = 2, [ACT_CONSTRAINT] = 2, [ACT_WAIT] = 6},
	.deletes = 45, .async = 30, .clock_ms = 240000, .retention_ms = 60000, .job_ms = 30},
	{.name = "writers", .nodes = {3, 4}, .keys = {4, 8}, .events = {40, 60}, .gap_ms = 250,
		.weight = {[ACT_WRITE] = 20, [ACT_IDLE] = 10, [ACT_CRASH] = 2, [ACT_BREAK] = 2, [ACT_TRUNCATE] = 1, [ACT_REWRITE] = 1, [ACT_CONSTRAINT] = 3},
	.deletes = 25, .async = 50, .retention_ms = 60000, .job_ms = 40},
	{.name = "copies", .nodes = {3, 4}, .keys = {14, 18}, .events = {30, 45}, .gap_ms = 700,
		.weight = {[ACT_WRITE] = 20, [ACT_JOIN] = 8, [ACT_BREAK] = 8, [ACT_REWRITE] = 5, [ACT_TRUNCATE] = 1, [ACT_CRASH] = 1, [ACT_WAIT] = 6},
	.deletes = 60, .async = 30, .retention_ms = 60000, .job_ms = 60, .pad = 30000, .bytes_ms = 80, .dump = 12},
	{.name = "schema", .nodes = {3, 5}, .keys = {4, 8}, .events = {30, 60}, .gap_ms = 300,
		.weight = {[ACT_WRITE] = 24, [ACT_SCHEMA] = 2, [ACT_REWRITE] = 3, [ACT_TRUNCATE] = 1, [ACT_CONSTRAINT] = 2, [ACT_ONE_WAY] = 3, [ACT_HALVES] = 2, [ACT_BREAK] = 3},
	.deletes = 25, .async = 50, .full = 5, .duplicates = 20, .retention_ms = 60000, .job_ms = 30, .dump = 4},
	{.name = "liar", .nodes = {4, 4}, .keys = {4, 8}, .events = {30, 50}, .gap_ms = 300,
		.weight = {[ACT_WRITE] = 24, [ACT_BREAK] = 2, [ACT_CRASH] = 2, [ACT_WAIT] = 2},
	.deletes = 25, .async = 50, .retention_ms = 60000, .job_ms = 30, .liar = true},
	{.name = "claims", .nodes = {4, 5}, .keys = {6, 12}, .events = {30, 50}, .gap_ms = 300,
		.weight = {[ACT_WRITE] = 24, [ACT_BREAK] = 4, [ACT_CRASH] = 1, [ACT_WAIT] = 2},
	.async = 30, .retention_ms = 60000, .job_ms = 30, .liar = true, .false_claims = true},
	{.name = "readers", .nodes = {3, 5}, .keys = {4, 8}, .events = {40, 60}, .gap_ms = 300,
		.weight = {[ACT_WRITE] = 24, [ACT_HALVES] = 2, [ACT_BREAK] = 4, [ACT_CRASH] = 2, [ACT_ABSENT] = 1, [ACT_WAIT] = 4},
	.deletes = 40, .async = 50, .retention_ms = 8000, .job_ms = 30, .readers = true},
	{.name = "forger", .nodes = {4, 4}, .keys = {4, 8}, .events = {30, 50}, .gap_ms = 300,
		.weight = {[ACT_WRITE] = 24, [ACT_BREAK] = 2, [ACT_CRASH] = 2, [ACT_WAIT] = 2},
	.deletes = 25, .async = 50, .retention_ms = 60000, .job_ms = 30, .liar = true, .readers = true},
	{.name = "slow", .nodes = {3, 4}, .keys = {10, 16}, .events = {40, 60}, .gap_ms = 500,
		.weight = {[ACT_WRITE] = 30, [ACT_BREAK] = 2, [ACT_PAUSE] = 2, [ACT_WAIT] = 6},
	.deletes = 45, .async = 30, .retention_ms = 60000, .job_ms = 100, .pad = 30000, .bytes_ms = 50, .rate = 40, .dump = 8},
	{.name = "storm", .nodes = {3, 6}, .keys = {3, 10}, .events = {40, 80}, .gap_ms = 300,
		.weight = {[ACT_WRITE] = 30, [ACT_IDLE] = 3, [ACT_CRASH] = 3, [ACT_KILL] = 1, [ACT_CLONE] = 1, [ACT_REVERT] = 1, [ACT_HALVES] = 2,
			[ACT_ONE_WAY] = 2, [ACT_BREAK] = 4, [ACT_ABSENT] = 2, [ACT_CLOCK] = 2, [ACT_SCHEMA] = 1, [ACT_TRUNCATE] = 1, [ACT_REWRITE] = 1,
			[ACT_CONSTRAINT] = 1, [ACT_JOIN] = 1, [ACT_EVICT] = 1, [ACT_NO_MEMORY] = 1, [ACT_PAUSE] = 1, [ACT_WAIT] = 4},
	.deletes = 35, .async = 50, .clock_ms = 100000, .refuses = 5, .full = 2, .duplicates = 5, .retention_ms = 6000, .job_ms = 40},
};
const int	rows_n_profiles = sizeof rows_profiles / sizeof rows_profiles[0];

#define CONSTRAINT_PARTS 3

bool
world_constrains(const World *self, int node, uint64_t value)
{
	const RowsNode *at = &self->node[node];

	return !self->healing && self->now_ms < at->constraint_ms && value / 1000 % CONSTRAINT_PARTS == at->constraint;
}

static int
pick_node(World *self, bool up)
{
	int			n = 0;
	int			found = -1;

	for (int i = 0; i < self->n; i++)
		if (world_counts(self, i) && (!up || self->node[i].replica != NULL) && world_below(&self->chance, (uint64_t) ++n) == 0)
			found = i;
	return found;
}

static int
counting(const World *self)
{
	int			n = 0;

	for (int i = 0; i < self->n; i++)
		n += world_counts(self, i) && self->node[i].store->copied && self->node[i].identity == i && world_role(self, i) >= GRANT_WRITER;
	return n;
}

static bool
cloned(const World *self, int node)
{
	for (int i = 0; i < self->n; i++)
		if (i != node && self->node[i].identity == self->node[node].identity)
			return true;
	return false;
}

/* A transaction of one to three keys. */
static void
write(World *self, bool idle)
{
	int			node = pick_node(self, true);
	RowsNode   *at = node < 0 ? NULL : &self->node[node];
	int			writer;
	int			n = 1 + (int) world_below(&self->chance, 3);
	int64_t		ms;

	if (node < 0 || world_own_role(self, node) < GRANT_WRITER || !at->store->copied ||
		(writer = store_begin(at->store, world_below(&self->chance, 100) >= (uint64_t) self->profile->async)) < 0)
		return;
	for (int i = 0; i < n; i++)
	{
		int			key = (int) world_below(&self->chance, (uint64_t) self->n_used);
		uint64_t	kind = world_below(&self->chance, 100);
		StoreAct	act = kind < (uint64_t) self->profile->deletes ? STORE_DELETE : kind % 4 == 0 ? STORE_UPDATE_META :
			kind % 16 == 1 ? STORE_MOVE : STORE_INSERT_OR_UPDATE;

		(void) store_write(at->store, writer, key, act, ++self->next_value * 1000 + (uint64_t) node, world_unix_us(self, node));
	}
	ms = idle ? 2000 + (int64_t) world_below(&self->chance, 60000) : world_below(&self->chance, 2) ? 0 :
		(int64_t) world_below(&self->chance, 200);
	if (idle)
		world_trace(self, "node %d: a transaction of ticket %d goes on for %d ms", node, (int) at->store->writer[writer].ticket, (int) ms);
	world_end_writer_soon(self, node, writer, ms);
}

void
faults_set_clock(World *self, int node)
{
	RowsNode   *at = &self->node[node];

	at->offset_ms = world_below(&self->chance, 4) == 0 ? (int64_t) world_below(&self->chance, 7200001) - 3600000 :
		(int64_t) world_below(&self->chance, (uint64_t) (2 * self->profile->clock_ms + 1)) - self->profile->clock_ms;
	if (at->offset_ms > at->most_ms)
		at->most_ms = at->offset_ms;
	if (at->most_ms > self->most_ms)
		self->most_ms = at->most_ms;
	self->far_clocks |= llabs(at->offset_ms) > self->profile->clock_ms;
	world_trace(self, "the clock of node %d is off by %d ms", node, (int) at->offset_ms);
}

void
faults_kill(World *self, int node)
{
	RowsNode   *at = &self->node[node];
	int			other;

	world_trace(self, "node %d dies for good", node);
	world_stop(self, node);
	at->dead = true;
	check_excuse(self, node);
	other = pick_node(self, true);
	if (other >= 0 && !cloned(self, node))
		self->network->state(self, other, at->identity, GRANT_NOBODY);
}

void
faults_crash(World *self, int node)
{
	world_crash(self, node);
	world_after(self, 10 + (int64_t) world_below(&self->chance, 1000), AFTER_START, node, 0);
}

static void
save_or_revert(World *self)
{
	int			node = pick_node(self, true);
	RowsNode   *at = node < 0 ? NULL : &self->node[node];

	if (node < 0)
		return;
	if (at->saved == NULL || world_below(&self->chance, 2) == 0)
	{
		if (at->saved != NULL)
			store_destroy(&at->saved);
		at->saved = store_new(self, node, self->n_keys, self->off, self->profile->pad);
		store_clone(at->saved, at->store);
		self->network->save(self, node);
		check_saved(self, node);
		world_trace(self, "node %d: its disk is copied", node);
		return;
	}
	world_stop(self, node);
	self->network->revert(self, node);
	world_trace(self, "node %d: its disk is replaced by the copy", node);
	row_frontier_reset(&at->last);
	store_destroy(&at->store);
	at->store = at->saved;
	at->saved = NULL;
	row_frontier_init(&at->last, &at->store->memory);
	check_reverted(self, node);
	world_after(self, 50 + (int64_t) world_below(&self->chance, 1000), AFTER_START, node, 0);
}

void
faults_part(World *self, int node, int64_t ms, int side)
{
	self->node[node].side = side;
	world_after(self, ms, AFTER_SIDE, node, 0);
}

static void
halves(World *self)
{
	int64_t		ms = 500 + (int64_t) world_below(&self->chance, 6000);

	world_trace(self, "in two halves for %d ms", (int) ms);
	for (int i = 0; i < self->n; i++)
		if (self->node[i].side == 0)
			faults_part(self, i, ms, (int) world_below(&self->chance, 2));
}

static void
join(World *self)
{
	int			by = pick_node(self, true);
	int			node;

	if (by < 0 || self->n >= ROWS_NODES - 8 || counting(self) > 8 || self->n_statements > 50 || !self->node[by].store->copied)
		return;
	node = world_add(self, true);
	self->node[node].schema = self->node[by].schema;
	world_trace(self, "node %d is admitted by node %d", node, by);
	self->network->state(self, by, node, GRANT_WRITER);
	world_start(self, node);
}

static void
evict(World *self)
{
	int			by = pick_node(self, true);
	int			node = pick_node(self, false);

	if (by < 0 || node < 0 || counting(self) < 3 || self->n_statements > 50 || world_own_role(self, by) < GRANT_WRITER ||
		(self->node[by].identity == self->node[node].identity && !self->network->leaves))
		return;
	world_trace(self, "node %d is shut out by node %d", node, by);
	self->network->state(self, by, self->node[node].identity, GRANT_NOBODY);
	check_excuse(self, -1);
}

static void
change_schema(World *self)
{
	self->schema++;
	world_trace(self, "schema %d", self->schema);
	for (int i = 0; i < self->n; i++)
		world_after(self, (int64_t) world_below(&self->chance, 5000), AFTER_SCHEMA, i, self->schema);
}

static void
clone_node(World *self, int node)
{
	int			clone;

	if (self->n >= ROWS_NODES - 8 || cloned(self, node) || !self->node[node].store->copied)
		return;
	clone = world_clone(self, node);
	world_trace(self, "node %d is a clone of node %d", clone, node);
	world_start(self, clone);
	world_after(self, 500, AFTER_CLONES, clone, 0);
}

static void
with_node(World *self, Act act, int node)
{
	RowsNode   *at = &self->node[node];
	int			other = pick_node(self, true);
	int64_t		ms = (int64_t) world_below(&self->chance, 3000);

	switch (act)
	{
		case ACT_CRASH:
			faults_crash(self, node);
			break;
		case ACT_KILL:
			if (counting(self) > 2 && at->store->copied)
				faults_kill(self, node);
			break;
		case ACT_CLONE:
			clone_node(self, node);
			break;
		case ACT_ONE_WAY:
			if (other >= 0 && other != node)
			{
				world_trace(self, "nothing comes from node %d to node %d any more", node, other);
				self->one_way[node][other] = true;
				world_after(self, 1000 + 2 * ms, AFTER_SIDE, node, 0);
			}
			break;
		case ACT_BREAK:
			if (other >= 0 && other != node)
			{
				world_trace(self, "link %d - %d breaks", node, other);
				self->network->cut(self, node, other);
			}
			break;
		case ACT_ABSENT:
			ms += self->profile->retention_ms + (int64_t) world_below(&self->chance, 5000);
			if (at->side == 0)
			{
				world_trace(self, "node %d is cut off for %d ms", node, (int) ms);
				faults_part(self, node, ms, 100 + node);
			}
			break;
		case ACT_CLOCK:
			faults_set_clock(self, node);
			break;
		case ACT_TRUNCATE:
			world_trace(self, "TRUNCATE at node %d", node);
			if (world_own_role(self, node) >= GRANT_WRITER)
				store_truncate(at->store, world_unix_us(self, node));
			break;
		case ACT_REWRITE:
			world_trace(self, "ALTER TABLE at node %d", node);
			store_rewrite(at->store);
			break;
		case ACT_CONSTRAINT:
			at->constraint = world_below(&self->chance, CONSTRAINT_PARTS);
			at->constraint_ms = self->now_ms + 1000 + 3 * ms;
			world_trace(self, "node %d refuses a part of all values for %d ms", node, (int) (1000 + 3 * ms));
			break;
		case ACT_PAUSE:
			world_trace(self, "node %d pauses for %d ms", node, (int) (500 + 2 * ms));
			world_pause(self, node, true);
			world_after(self, 500 + 2 * ms, AFTER_RESUME, node, 0);
			break;
		case ACT_NO_MEMORY:
			world_trace(self, "node %d has memory for %d blocks more", node, (int) (ms / 100));
			at->memory.until_failure = ms / 100;
			break;
		default:
			break;
	}
}

void
faults_act(World *self, int number)
{
	uint64_t	chance = self->seed * UINT64_C(0xD6E8FEB86659FD93) + (uint64_t) number * UINT64_C(0xA0761D6478BD642F);
	int			sum = 0;
	int			act;
	int			at;
	int			node;

	if (self->skip[number])
		return;
	if (self->profile->script)
	{
		steps_act(self, number);
		return;
	}
	self->chance = chance;
	for (int i = 0; i < self->n; i++)
		self->node[i].memory.until_failure = -1;
	for (int i = 0; i < ACTS; i++)
		sum += self->profile->weight[i];
	at = (int) world_below(&self->chance, (uint64_t) sum);
	for (act = 0; at >= self->profile->weight[act]; act++)
		at -= self->profile->weight[act];
	self->figures.happened++;
	world_trace(self, "event %d", number);
	switch ((Act) act)
	{
		case ACT_WRITE:
		case ACT_IDLE:
			write(self, act == ACT_IDLE);
			break;
		case ACT_REVERT:
			save_or_revert(self);
			break;
		case ACT_HALVES:
			halves(self);
			break;
		case ACT_SCHEMA:
			change_schema(self);
			break;
		case ACT_JOIN:
			join(self);
			break;
		case ACT_EVICT:
			evict(self);
			break;
		case ACT_WAIT:
		case ACTS:
			break;
		default:
			if ((node = pick_node(self, true)) >= 0)
				with_node(self, (Act) act, node);
			break;
	}
}

/* ---- healing ---- */

static void
end_writers(World *self, bool idle_too)
{
	for (int i = 0; i < self->n; i++)
		for (int w = 0; w < STORE_WRITERS; w++)
		{
			Store	   *store = self->node[i].store;

			if (self->node[i].replica == NULL || (!idle_too && w == 0))
				continue;		/* the first sleeps on until all are equal */
			if (store->writer[w].open)
			{
				store_commit(store, w);
				store_end(store, w);
			}
		}
}

static void
heal_nodes(World *self)
{
	int64_t		most = self->most_ms;

	for (int i = 0; i < self->n; i++)
	{
		RowsNode   *at = &self->node[i];

		at->memory.until_failure = -1;
		at->offset_ms = at->most_ms = most;
		at->side = 0;
		memset(self->one_way[i], 0, sizeof self->one_way[i]);
		world_schema(self, i, self->schema);
		world_pause(self, i, false);
	}
	self->network->heal(self);
	for (int i = 0; i < self->n; i++)
	{
		if (!self->node[i].dead && !self->node[i].liar && self->node[i].replica == NULL)
			world_start(self, i);
		else
			self->network->members(self, i);
		self->network->connect(self, i);
	}
}

/* Equal, and still so a little later. */
static bool
run_until_equal(World *self, int64_t ms, bool clean)
{
	int64_t		until = self->now_ms + ms;
	char		why[200] = "";
	int			seen = 0;

	while (!self->failed && self->now_ms < until)
	{
		bool		equal;

		world_run(self, self->now_ms + 250);
		equal = check_equal(self, why, sizeof why);
		if (equal && clean && check_tombstones(self) > 0)
			equal = false;
		seen = equal ? seen + 1 : 0;
		if (seen == 2)
			return true;
	}
	for (int i = 0; i < self->n && !self->failed; i++)
		if (self->node[i].replica != NULL)
		{
			ReplicaFigures figures = replica_figures(self->node[i].replica);

			world_trace(self, "node %d%s%s%s, %s its own floor, role %d", i, world_counts(self, i) ? "" : ", no member",
						figures.stale ? ", stale" : "", figures.copying ? ", copies" : "",
						row_frontier_includes(replica_frontier(self->node[i].replica), replica_floor(self->node[i].replica)) ? "above" : "below",
						(int) world_role(self, self->node[i].identity));
		}
	if (!self->failed && clean && check_equal(self, why, sizeof why))
		world_violation(self, "I10: %d tombstones are left, one is %s", check_tombstones(self), self->left);
	else if (!self->failed)
		world_violation(self, "I10: nodes are not equal: %s", why);
	return false;
}

void
faults_heal(World *self)
{
	int64_t		began = self->now_ms;
	uint64_t	bytes = self->figures.bytes;
	int64_t		rounds = self->profile->false_claims ? ROUNDS_LIED : check_may_be_absent(self) ? ROUNDS_ABSENT : ROUNDS;
	int64_t		patience = rounds * self->anti_entropy_ms + PATIENCE_MS;

	world_trace(self, "all heals");
	self->healing = true;
	for (int i = 0; i < self->n; i++)
		if (self->node[i].liar)
		{
			/* it would go on to lie: members shut it out */
			self->network->state(self, 0, i, GRANT_NOBODY);
			self->node[i].dead = true;
		}
		else if (self->node[i].dead && world_role(self, self->node[i].identity) != GRANT_NOBODY && !cloned(self, i))
			self->network->state(self, i == 0 ? 1 : 0, self->node[i].identity, GRANT_NOBODY);
	heal_nodes(self);
	end_writers(self, false);
	if (!run_until_equal(self, patience, false))
		return;
	self->figures.rounds = (double) (self->now_ms - began) / (double) self->anti_entropy_ms;
	self->figures.healing_bytes = self->figures.bytes - bytes;
	end_writers(self, true);
	/* a tombstone goes once each has heard of each, and whom anti-entropy tells is chance */
	if (!run_until_equal(self, patience + 15 * self->n * self->anti_entropy_ms, true))
		return;
	for (int i = 0; i < self->n; i++)
		check_node(self, i);
}
