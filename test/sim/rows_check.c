/*
 * rows_check.c
 *	  What must hold, seen from above all nodes.
 *
 * Every version that was ever written is kept with its content.  A committed write may
 * be lost only if it is excused: when a crash took it from the only disk that had it, its
 * node died for good or was shut out before another had it, or a node below the floor
 * dropped it and told of it as a conflict.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "rows_world.h"

#define MEMORY_MAX (32 * 1024 * 1024)	/* of a node, whatever others do */

void
check_reset(World *self)
{
	if (self->version_slots == 0)
	{
		self->version_slots = 1024;
		self->version = calloc((size_t) self->version_slots, sizeof *self->version);
	}
	else
		memset(self->version, 0, (size_t) self->version_slots * sizeof *self->version);
	self->n_versions = 0;
}

static RowsVersion *
slot_of(RowsVersion *table, int slots, int key, const RowVersion *version)
{
	uint64_t	at = (version->clock * UINT64_C(0x9E3779B97F4A7C15) ^ bytes_load(version->tie, 8) ^ (uint64_t) key << 40) * UINT64_C(0xBF58476D1CE4E5B9) >> 20;

	for (;; at++)
	{
		RowsVersion *slot = &table[at & (uint64_t) (slots - 1)];

		if (!slot->used || (slot->key == key && row_version_compare(&slot->version, version) == 0))
			return slot;
	}
}

static RowsVersion *
find_version(World *self, int key, const RowVersion *version)
{
	if (2 * self->n_versions >= self->version_slots)
	{
		RowsVersion *wider = calloc(2 * (size_t) self->version_slots, sizeof *wider);

		for (int i = 0; i < self->version_slots; i++)
			if (self->version[i].used)
				*slot_of(wider, 2 * self->version_slots, self->version[i].key, &self->version[i].version) = self->version[i];
		free(self->version);
		self->version = wider;
		self->version_slots *= 2;
	}
	return slot_of(self->version, self->version_slots, key, version);
}

/* ---- rows ---- */

/* I6 and I12, of what was just put into a table. */
void
world_put(World *self, Store *store, int key, const StoreRow *row)
{
	RowsVersion *version;
	const StoreData *data;
	uint8_t		hash[ROW_HASH];
	uint8_t		vector_hash[ROW_HASH];

	if (!row->present || row->why == ROW_REASON_HASH)
		return;
	data = row->entry.held == ROW_APPLIED ? &row->table : &row->aside;
	if (data->live != row->entry.live)
		world_violation(self, "I12: key %d of node %d is %s, and its row %s", key, store->node,
						row->entry.live ? "live" : "dead", data->live ? "is there" : "is not there");
	store_hashes(data, hash, vector_hash);
	if (memcmp(hash, row->entry.hash, ROW_HASH) != 0)
		world_violation(self, "I6: the row of key %d at node %d is not that of its version", key, store->node);
	if (row->entry.version.clock == 0)
		return;					/* of a dump */
	version = find_version(self, key, &row->entry.version);
	/* the tombstone of a lost row is nobody's write */
	if (self->profile->readers && self->profile->liar && row->entry.live && !version->written)
		world_violation(self, "I9: node %d has a row of key %d from a member that may not write", store->node, key);
	if (!version->used)
	{
		version->used = true;
		version->version = row->entry.version;
		version->key = key;
		version->live = row->entry.live;
		version->content = bytes_load(hash, 8);
		version->by = store->node;
		self->n_versions++;
	}
	if (version->excused && world_counts(self, store->node))
		version->excused = false;	/* it came through after all */
	if (version->content != bytes_load(hash, 8) || version->live != row->entry.live)
		world_violation(self, "I6: a version of key %d has two contents, one at node %d", key, store->node);
}

void
world_written(World *self, Store *store, const StoreWrite *write)
{
	StoreRow	row = {.present = true, .entry = write->entry, .table = write->table};
	RowsVersion *version;

	version = find_version(self, write->key, &write->entry.version);
	version->written = true;
	version->commit = store->commit;
	version->slept = write->entry.version.clock <= store->floor_clock;
	world_put(self, store, write->key, &row);
	version = find_version(self, write->key, &write->entry.version);
	version->by = store->node;
	version->excused = !world_counts(self, store->node);
	world_trace(self, "node %d wrote key %d %s, ticket %d, clock %llu", store->node, write->key, write->entry.live ? "live" : "dead",
				(int) write->entry.stamp.ticket, (unsigned long long) write->entry.version.clock);
}

/* What committed since a snapshot that is open, the comparison's perhaps, may be as old as what went there. */
void
world_floor_raised(World *self, Store *store)
{
	uint64_t	oldest = store->commit;

	for (int i = 0; i < store->n_scans; i++)
		if (store->scan[i]->commit < oldest)
			oldest = store->scan[i]->commit;
	for (int i = 0; i < self->version_slots; i++)
		if (self->version[i].written && self->version[i].by == store->node && self->version[i].commit > oldest)
			self->version[i].slept = true;
}

void
world_conflict(World *self, Store *store, int key, const RowEntry *loser)
{
	self->figures.conflicts++;
	world_trace(self, "node %d: conflict on key %d, clock %llu loses", store->node, key, (unsigned long long) loser->version.clock);
	/* a user finds it there */
	if (loser->version.clock > 0)
	{
		RowsVersion *version = find_version(self, key, &loser->version);

		if (version->used)
			version->conflict = true;
	}
}

void
world_dropped(World *self, Store *store, int key, const RowEntry *entry)
{
	world_trace(self, "node %d drops key %d, clock %llu", store->node, key, (unsigned long long) entry->version.clock);
	if (entry->version.clock > 0)
	{
		RowsVersion *version = find_version(self, key, &entry->version);

		version->dropped = true;
		if (world_own_role(self, store->node) < GRANT_WRITER &&
			row_version_compare(&entry->version, &self->node[store->node].dropped[key]) > 0)
			self->node[store->node].dropped[key] = entry->version;
		if (version->used && version->conflict)
		{
			version->told = true;
			if (row_version_compare(&entry->version, &self->told[key]) > 0)
				self->told[key] = entry->version;
		}
	}
}

/* A tombstone goes. */
void
world_collected(World *self, Store *store, int key, const RowEntry *entry)
{
	RowsVersion *version = find_version(self, key, &entry->version);

	world_trace(self, "node %d collects key %d, clock %llu", store->node, key, (unsigned long long) entry->version.clock);
	if (version->used)
		version->collected_at |= UINT64_C(1) << store->node;
	if (row_version_compare(&entry->version, &self->collected[key]) > 0)
		self->collected[key] = entry->version;
	memmove(self->birth[key] + 1, self->birth[key], (ROWS_BIRTHS - 1) * sizeof self->birth[key][0]);
	self->birth[key][0] = (RowsBirth) {store->global_of[entry->birth.incarnation], entry->birth.ticket, entry->version};
}

static void
copy_bit(uint64_t *to, int at, uint64_t from, int of)
{
	*to = (*to & ~(UINT64_C(1) << at)) | (from >> of & 1) << at;
}

/* A tombstone that was collected was lost with what came after it, where an older row is back. */
void
check_crashed(World *self, int node)
{
	for (int i = 0; i < self->version_slots; i++)
	{
		RowsVersion *version = &self->version[i];
		const StoreRow *head = version->used ? store_head(self->node[node].store, version->key) : NULL;

		if (head != NULL && head->present && row_version_compare(&head->entry.version, &version->version) < 0)
			copy_bit(&version->collected_at, node, 0, 0);
	}
	check_excuse(self, -1);
}

void
check_saved(World *self, int node)
{
	for (int i = 0; i < self->version_slots; i++)
		copy_bit(&self->version[i].saved_at, node, self->version[i].collected_at, node);
}

void
check_reverted(World *self, int node)
{
	for (int i = 0; i < self->version_slots; i++)
		copy_bit(&self->version[i].collected_at, node, self->version[i].saved_at, node);
	check_excuse(self, -1);
}

void
check_cloned(World *self, int clone, int node)
{
	for (int i = 0; i < self->version_slots; i++)
		copy_bit(&self->version[i].collected_at, clone, self->version[i].collected_at, node);
}

/* ---- tickets and lives ---- */

uint32_t
world_life(World *self, const RowIncarnationId *id)
{
	uint64_t	hash = bytes_load(id->bytes, 8) ^ bytes_load(id->bytes + 8, 8) * 3;

	for (uint64_t at = hash;; at++)
	{
		uint32_t   *slot = &self->life_slot[at % (2 * STORE_LIVES)];

		if (*slot == 0)
		{
			if (self->n_lives + 1 >= STORE_LIVES)
			{
				world_violation(self, "more incarnations than the simulator has room for");
				return 1;
			}
			*slot = ++self->n_lives;
			self->life_hash[*slot] = hash;
			return *slot;
		}
		if (self->life_hash[*slot] == hash)
			return *slot;
	}
}

void
world_ticket(World *self, Store *store, uint64_t ticket)
{
	uint32_t	life = store->global_of[store->own];

	if (ticket <= self->last_ticket[life])
		world_violation(self, "I11: node %d gives out ticket %d of an incarnation once more", store->node, (int) ticket);
	self->last_ticket[life] = ticket;
}

/* ---- excuses ---- */

/*
 * What no disk of a member has any more, of those that are left, may be lost.  without: a
 * node that does not count any more; -1: none.
 */
void
check_excuse(World *self, int without)
{
	const RowVersion *most[STORE_KEYS] = {NULL};
	uint64_t	left = 0;

	for (int i = 0; i < self->n; i++)
	{
		if (!world_counts(self, i) || i == without ||
			world_role(self, self->node[i].identity) < GRANT_WRITER)
			continue;
		left |= UINT64_C(1) << i;
		for (int k = 0; k < self->n_keys; k++)
		{
			const StoreRow *head = store_head(self->node[i].store, k);

			if (head != NULL && head->present && (most[k] == NULL || row_version_compare(&head->entry.version, most[k]) > 0))
				most[k] = &head->entry.version;
		}
	}
	for (int i = 0; i < self->version_slots; i++)
	{
		RowsVersion *version = &self->version[i];

		if (version->used && version->written && !version->excused && version->key < self->n_keys &&
			(most[version->key] == NULL || row_version_compare(&version->version, most[version->key]) > 0))
		{
			/* a tombstone that was collected is nowhere, and is known to have been where it went */
			if (version->live || (version->collected_at & left) == 0)
				version->excused = true;
		}
	}
}

/* What a crash takes away must not be at another node already. */
void
check_lost(World *self, int node, uint64_t left)
{
	const Store *store = self->node[node].store;

	for (int k = 0; k < store->n_keys; k++)
		for (int r = 0; r < store->key[k].n; r++)
		{
			const StoreRow *row = &store->key[k].row[r];

			/* the tombstone of a lost row (row_lost()) others may have made themselves */
			if (row->commit <= left || !row->present || row->entry.stamp.incarnation != store->own ||
				memcmp(row->entry.version.tie, store->life[store->own - 1].id.bytes, ROW_HASH) != 0 ||
				(r > 0 && row[-1].present && row_version_compare(&row[-1].entry.version, &row->entry.version) == 0))
				continue;
			for (int i = 0; i < self->n; i++)
			{
				const StoreRow *head = i == node || self->node[i].liar ? NULL : store_head(self->node[i].store, k);

				if (head != NULL && head->present && row_version_compare(&head->entry.version, &row->entry.version) == 0)
					world_violation(self, "node %d loses in a crash what node %d has from it, of key %d", node, i, k);
			}
		}
}

/* ---- claims ---- */

bool
check_may_be_absent(const World *self)
{
	const uint8_t *weight = self->profile->weight;

	/* or be a member whom one has admitted that dies or is shut out, so that others have not heard of it */
	return weight[ACT_ABSENT] + weight[ACT_REVERT] + weight[ACT_CLONE] > 0 ||
		(weight[ACT_KILL] + weight[ACT_EVICT] > 0 && weight[ACT_JOIN] > 0);
}

/*
 * Was it written in a transaction that was open when its node came back from an absence,
 * and is it older than a tombstone that went meanwhile?  Who still has that differs until
 * it compares.  So it is where a clock was too far ahead to be heard: what is written anew
 * may be below that.
 */
static bool
slept(const World *self, int key, const RowVersion *version)
{
	return row_version_compare(version, &self->collected[key]) <= 0 &&
		(self->far_clocks || slot_of(self->version, self->version_slots, key, version)->slept);
}

/* Was it dropped somewhere in a comparison, as below a floor? */
bool
check_gone(World *self, int key, const RowVersion *version)
{
	const RowsVersion *found = find_version(self, key, version);

	/* what was dropped and told of stood in place of all before it, and so did a tombstone that went while one was away */
	if (row_version_compare(version, &self->told[key]) <= 0 ||
		(check_may_be_absent(self) && row_version_compare(version, &self->collected[key]) <= 0))
		return true;
	return version->clock > 0 && (found->excused || found->dropped || found->told);
}

/* Is that which is covered at node a, and current at b, here or superseded? */
static void
check_claim(World *self, int a, int b)
{
	RowsNode   *x = &self->node[a];
	const Store *y = self->node[b].store;
	const RowFrontier *frontier = replica_frontier(x->replica);
	/* as of what stands in the table: the replica is told of it a little later */
	const RowFrontier *floor = x->store->n_claims > 0 ? &x->store->claim[x->store->n_claims - 1].floor : replica_floor(x->replica);

	if (x->store->number_of == NULL || self->profile->false_claims)
		return;
	for (int k = 0; k < self->n_keys; k++)
	{
		const StoreRow *there = store_head(y, k);
		const StoreRow *here;
		RowStamp	stamp;
		RowStamp	birth;

		if (there == NULL || !there->present)
			continue;
		stamp = (RowStamp) {x->store->number_of[y->global_of[there->entry.stamp.incarnation]], there->entry.stamp.ticket};
		if (stamp.incarnation == 0 || !row_frontier_covers(frontier, stamp) ||
			row_version_compare(&there->entry.version, &x->dropped[k]) <= 0)
			continue;
		here = store_head(x->store, k);
		if (here != NULL && here->present)
		{
			/* of two tombstones one may have come from a comparison, in place of a row that was deleted */
			if (row_version_compare(&here->entry.version, &there->entry.version) < 0 &&
				(here->entry.live || there->entry.live) && !check_gone(self, k, &there->entry.version))
				world_violation(self, "I2: node %d covers key %d of node %d, and has an older one (clock %llu, there %llu)", a, k, b,
								(unsigned long long) here->entry.version.clock, (unsigned long long) there->entry.version.clock);
			continue;
		}
		birth = (RowStamp) {x->store->number_of[y->global_of[there->entry.birth.incarnation]], there->entry.birth.ticket};
		if (there->entry.live && !row_frontier_covers(floor, stamp) &&
			!(birth.incarnation != 0 && row_frontier_covers(floor, birth)) &&
			!check_gone(self, k, &there->entry.version))
			world_violation(self, "I2: node %d covers key %d of node %d, clock %llu, and has nothing", a, k, b,
							(unsigned long long) there->entry.version.clock);
	}
}

/* I5: no clock follows another's further than the skew; each start takes it on by a second at most. */
static void
check_clock(World *self, const RowsNode *at)
{
	int64_t		ahead_us = (int64_t) at->store->clock.last - (ROWS_EPOCH_MS + self->now_ms + at->most_ms) * 1000;

	if (ahead_us > STORE_SKEW_US + (int64_t) at->life * ROW_CLOCK_STEP_US)
		world_violation(self, "I5: the clock of node %d is %d s ahead of its machine's", at->index, (int) (ahead_us / 1000000));
}

void
check_node(World *self, int node)
{
	RowsNode   *at = &self->node[node];

	if (at->replica == NULL || !world_counts(self, node))
		return;
	for (int i = 0; i < self->n; i++)
	{
		if (i == node || !world_counts(self, i))
			continue;
		check_claim(self, node, i);
		if (self->node[i].replica != NULL)
			check_claim(self, i, node);
	}
	if (!row_frontier_includes(replica_frontier(at->replica), &at->last))
		world_violation(self, "I3: the frontier of node %d goes back", node);
	(void) row_frontier_copy(&at->last, replica_frontier(at->replica));
	check_clock(self, at);
	if (at->memory.bytes > MEMORY_MAX || replica_figures(at->replica).buffered > 4 * REPLICA_CREDIT)
		world_violation(self, "I8: node %d holds %zu bytes", node, at->memory.bytes);
}

/* ---- the end ---- */

/* A tombstone is as good as nothing. */
static const StoreRow *
live_row(const Store *store, int key)
{
	const StoreRow *head = store_head(store, key);

	return head != NULL && head->present && head->entry.live ? head : NULL;
}

bool
check_equal(const World *self, char *why, size_t room)
{
	int			first = -1;

	for (int i = 0; i < self->n; i++)
	{
		const RowsNode *at = &self->node[i];

		if (!world_counts(self, i))
			continue;
		if (at->replica == NULL || !at->store->copied)
		{
			snprintf(why, room, "node %d is not there, or copies", i);
			return false;
		}
		for (int k = 0; k < self->n_keys; k++)
		{
			const StoreRow *a = live_row(at->store, k);
			const StoreRow *b = first < 0 ? a : live_row(self->node[first].store, k);
			const StoreRow *head = store_head(at->store, k);

			if ((a != NULL && slept(self, k, &a->entry.version)) || (b != NULL && slept(self, k, &b->entry.version)))
				continue;
			if ((a == NULL) != (b == NULL) ||
				(a != NULL && (row_version_compare(&a->entry.version, &b->entry.version) != 0 ||
							   (a->entry.held == ROW_APPLIED && b->entry.held == ROW_APPLIED &&
								(a->table.meta != b->table.meta || a->table.vector != b->table.vector)))))
			{
				snprintf(why, room, "key %d of node %d (%llu) is not that of node %d (%llu)", k, i,
						 a == NULL ? 0ULL : (unsigned long long) a->entry.version.clock, first,
						 b == NULL ? 0ULL : (unsigned long long) b->entry.version.clock);
				return false;
			}
			if (head != NULL && head->present && head->entry.held != ROW_APPLIED && head->why != ROW_REASON_HASH && at->store->key[k].locked == 0)
			{
				snprintf(why, room, "key %d of node %d is held", k, i);
				return false;
			}
		}
		if (first < 0)
			first = i;
	}
	return true;
}

/* Of a reader nobody hears what it claims: a tombstone may stay there that only a node told it which is gone for good. */
int
check_tombstones(World *self)
{
	int			n = 0;

	for (int i = 0; i < self->n; i++)
		for (int k = 0; world_counts(self, i) && world_role(self, self->node[i].identity) >= GRANT_WRITER && k < self->n_keys; k++)
		{
			const StoreRow *head = store_head(self->node[i].store, k);

			if (head == NULL || !head->present || head->entry.live)
				continue;
			n++;
			snprintf(self->left, sizeof self->left, "key %d of node %d, stamp %u.%llu, birth %u.%llu%s%s", k, i,
					 self->node[i].store->global_of[head->entry.stamp.incarnation], (unsigned long long) head->entry.stamp.ticket,
					 self->node[i].store->global_of[head->entry.birth.incarnation], (unsigned long long) head->entry.birth.ticket,
					 self->node[i].replica == NULL || row_frontier_covers(replica_frontier(self->node[i].replica), head->entry.birth) ? "" :
					 ", which is not covered",
					 self->node[i].replica == NULL || row_frontier_covers(replica_frontier(self->node[i].replica), head->entry.stamp) ? "" :
					 "; its stamp is not covered");
		}
	return n;
}

/* Is it a row whose tombstone, newer than what is here of it, was collected? */
static bool
came_back(const World *self, const Store *store, int key, const StoreRow *row)
{
	for (int i = 0; i < ROWS_BIRTHS; i++)
	{
		const RowsBirth *birth = &self->birth[key][i];

		if (birth->ticket == row->entry.birth.ticket && birth->life == store->global_of[row->entry.birth.incarnation] &&
			row_version_compare(&row->entry.version, &birth->tombstone) < 0 &&
			(self->told[key].clock == 0 || row_version_compare(&row->entry.version, &self->told[key]) <= 0))
			return true;
	}
	return false;
}

/* I1: of each key the newest write that had to survive is what stands there. */
void
check_end(World *self)
{
	const Store *any = NULL;

	for (int i = 0; i < self->n && any == NULL; i++)
		if (world_counts(self, i))
			any = self->node[i].store;
	if (any == NULL)
		return;
	for (int k = 0; k < self->n_keys; k++)
	{
		const RowsVersion *most = NULL;
		RowVersion	told = {0, {0}};
		const StoreRow *row = live_row(any, k);

		for (int i = 0; i < self->version_slots; i++)
		{
			const RowsVersion *version = &self->version[i];

			/* what was dropped and told of stood in place of all before it */
			if (version->used && version->told && version->key == k && row_version_compare(&version->version, &told) > 0)
				told = version->version;
			if (version->used && version->written && !version->excused && !version->told && version->key == k &&
				(most == NULL || row_version_compare(&version->version, &most->version) > 0))
				most = version;
		}
		self->figures.came_back += row != NULL && came_back(self, any, k, row);
		if (most == NULL || row_version_compare(&most->version, &told) < 0)
			continue;
		if (row == NULL && most->live && row_version_compare(&most->version, &self->collected[k]) > 0)
			world_violation(self, "I1: the write of node %d, clock %llu, to key %d is lost: there is no row", most->by,
							(unsigned long long) most->version.clock, k);
		else if (row != NULL && row_version_compare(&row->entry.version, &most->version) < 0 && !slept(self, k, &row->entry.version))
			world_violation(self, "I1: the %s of node %d, clock %llu, to key %d is lost to an older write", most->live ? "write" : "delete",
							most->by, (unsigned long long) most->version.clock, k);
	}
}
