/*
 * build_graph.c
 *	  A build's second phase: nodes are linked in memory.
 *
 * A node's links carry their distance and whether they are occluded, so that a
 * change costs at most one distance a link (link.c).  Searches read links without
 * locks: ids are single words, and a link that is missed or seen twice does no
 * harm.  Who writes links holds the node's lock, one of NODE_LOCKS for all: up to
 * 200 distances are computed under it, too many for a spin lock.
 */
#include "index/hnsw/build.h"

#include <float.h>
#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define BATCH			32		/* distances computed at once */
#define MOST_PREFETCH	1024	/* bytes of a value that are asked for before it is read */

/* Most links of a node on a level. */
static inline int
most_links(const BuildState *state, int level)
{
	return level > 0 ? state->index->m : 2 * state->index->m;
}

/* Of two coded values, from the product of their codes. */
static inline float
coded_distance(const BuildState *state, const BuildValue *a, const BuildValue *b, int32_t dot)
{
	float		product = a->scale * b->scale * (float) dot;
	float		distance = state->index->space.code_metric == CODE_IP ? -product : a->norm2 + b->norm2 - 2 * product;

	return isnan(distance) ? FLT_MAX : distance;
}

/* Distances from one value to n others. */
static void
distances_from(BuildState *state, const BuildValue *from, BuildValue *const *to, int n, float *distances)
{
	HnswIndex  *index = state->index;
	const char *from_data = BuildValueData(state, from);

	if (!index->space.coded)
	{
		for (int i = 0; i < n; i++)
		{
			float		distance = (float) ValueRawDistance(&index->space, from_data, BuildValueData(state, to[i]));

			distances[i] = isnan(distance) ? FLT_MAX : distance;
		}
		return;
	}
	for (int first = 0; first < n; first += BATCH)
	{
		int			count = Min(n - first, BATCH);
		const void *codes[BATCH];
		int32_t		dots[BATCH];

		for (int i = 0; i < count; i++)
			codes[i] = to[first + i] + 1;
		scalar_dots(state->shared->scalar_bits, index->space.padded, from_data, codes, count, dots);
		for (int i = 0; i < count; i++)
			distances[first + i] = coded_distance(state, from, to[first + i], dots[i]);
	}
}

static float
distance_between(BuildState *state, const BuildValue *a, uint32 id)
{
	BuildValue *b = BuildGetValue(state, id);
	float		distance;

	distances_from(state, a, &b, 1, &distance);
	return distance;
}

/* From the new node; mostly its search came by the other, and knows. */
static inline float
query_distance(BuildState *state, uint32 id)
{
	const BuildKnown *known = &state->known[id % KNOWN_DISTANCES];

	if (known->id == id && known->from == state->query_id + 1)
		return known->distance;
	return distance_between(state, state->query, id);
}

static void
new_round(BuildState *state, uint32 nnodes)
{
	if (++state->round == 0)
	{
		memset(state->seen, 0, sizeof(uint16) * nnodes);
		state->round = 1;
	}
}

/*
 * Let n candidates into the pool, which keeps the best `capacity`.  Of equal ones the
 * earlier stands before.  Returns the place of the first.
 */
static int
merge_into_pool(BuildState *state, int capacity, PoolEntry *fresh, int n)
{
	PoolEntry  *pool = state->pool;
	int			in_pool = state->pool_size;
	int			at;

	for (int i = 1; i < n; i++)
	{
		PoolEntry	entry = fresh[i];
		int			place = i;

		for (; place > 0 && fresh[place - 1].distance > entry.distance; place--)
			fresh[place] = fresh[place - 1];
		fresh[place] = entry;
	}
	while (n > 0 && in_pool + n > capacity)
	{
		if (in_pool > 0 && pool[in_pool - 1].distance > fresh[n - 1].distance)
			in_pool--;
		else
			n--;
	}
	at = in_pool + n;
	if (n > 0)
		state->pool_size = at;
	while (n > 0)
	{
		if (in_pool > 0 && pool[in_pool - 1].distance > fresh[n - 1].distance)
			pool[--at] = pool[--in_pool];
		else
			pool[--at] = fresh[--n];
	}
	return at;
}

/*
 * Numbers and values of those neighbors of a node on a level that this search has not
 * seen; they are seen then, and their values asked for.
 */
static int
unseen_neighbors(BuildState *state, uint32 id, int level, uint32 *ids, BuildValue **values)
{
	volatile BuildLinks *links = BuildGetLinks(state, BuildGetNode(state, id), level);
	int			n = Min(links->n, most_links(state, level));
	int			bytes = Min(state->shared->values.stride, MOST_PREFETCH);
	int			nunseen = 0;

	pg_read_barrier();			/* pairs with those before links->n grows */
	for (int i = 0; i < n; i++)
	{
		uint32		other = links->id[i];
		const char *value;

		if (state->seen[other] == state->round)
			continue;
		state->seen[other] = state->round;
		ids[nunseen] = other;
		values[nunseen] = BuildGetValue(state, other);
		value = (const char *) values[nunseen++];
		for (int line = 0; line < bytes; line += 64)
			__builtin_prefetch(value + line);
	}
	return nunseen;
}

/* The first from `next` on that is not expanded yet; the pool's size where there is none. */
static inline int
pool_unexpanded(const BuildState *state, int next)
{
	while (next < state->pool_size && (state->pool[next].id & EXPANDED_ID))
		next++;
	return next;
}

/* Ask for the links of the node that will probably be expanded next. */
static inline void
prefetch_links(BuildState *state, int level, int at)
{
	if (level == 0 && at < state->pool_size)
	{
		const char *links = (const char *) BuildBaseLinks(BuildGetNode(state, state->pool[at].id));

		for (Size line = 0; line < offsetof(BuildLinks, id) + sizeof(uint32) * most_links(state, 0); line += 64)
			__builtin_prefetch(links + line);
	}
}

/*
 * Best-first search of one level for state->query, from what is in the pool;
 * leaves the best `capacity` in the pool, in order.
 */
static void
search_level(BuildState *state, int level, int capacity)
{
	int			next;

	state->pool_size = Min(state->pool_size, capacity);
	for (int i = 0; i < state->pool_size; i++)
	{
		state->pool[i].id &= ~EXPANDED_ID;
		state->seen[state->pool[i].id] = state->round;
	}
	for (next = 0; next < state->pool_size; next = pool_unexpanded(state, next))
	{
		uint32		ids[2 * HNSW_MAX_M];
		BuildValue *values[2 * HNSW_MAX_M];
		float		distances[2 * HNSW_MAX_M];
		PoolEntry	fresh[2 * HNSW_MAX_M];
		int			nunseen = unseen_neighbors(state, state->pool[next].id, level, ids, values);
		int			nfresh = 0;
		float		limit = state->pool_size < capacity ? INFINITY : state->pool[state->pool_size - 1].distance;

		state->pool[next].id |= EXPANDED_ID;
		next = pool_unexpanded(state, next);
		prefetch_links(state, level, next);
		distances_from(state, state->query, values, nunseen, distances);
		for (int i = 0; i < nunseen; i++)
		{
			BuildKnown *known = &state->known[ids[i] % KNOWN_DISTANCES];

			known->id = ids[i];
			known->from = state->query_id + 1;
			known->distance = distances[i];
			fresh[nfresh].distance = distances[i];
			fresh[nfresh].id = ids[i];
			nfresh += distances[i] < limit;
		}
		if (nfresh > 0)
		{
			int			first = merge_into_pool(state, capacity, fresh, nfresh);

			next = Min(next, first);
		}
	}
}

static inline float
value_length(const BuildState *state, const BuildValue *value)
{
	return HnswHasLengths(state->index) ? value->norm2 : 1;
}

/*
 * The heuristic over the pool; chosen ids, kept ones first.  The first candidate that
 * none hides is kept, and hides others: its distances to all of them are computed at once.
 */
static int
choose_neighbors(BuildState *state, uint32 self_id, int most, uint32 *ids, float *distances, uint8 *occluded)
{
	const PoolEntry *pool = state->pool;
	int			nwaiting = 0;
	int			n = 0;
	int			waiting[HNSW_MAX_EF_CONSTRUCTION];
	BuildValue *values[HNSW_MAX_EF_CONSTRUCTION];	/* of those that wait */
	float		between[HNSW_MAX_EF_CONSTRUCTION];
	bool		hidden[HNSW_MAX_EF_CONSTRUCTION];
	float		own = value_length(state, BuildGetValue(state, self_id));

	memset(occluded, 0, (most + 7) / 8);
	for (int i = 0; i < state->pool_size; i++)
	{
		hidden[i] = false;
		if ((pool[i].id & ~EXPANDED_ID) == self_id)
			continue;
		waiting[nwaiting] = i;
		values[nwaiting++] = BuildGetValue(state, pool[i].id & ~EXPANDED_ID);
	}
	while (nwaiting > 0 && n < most)
	{
		BuildValue *kept = values[0];
		float		kept_length = value_length(state, kept);
		int			left = 0;

		ids[n] = pool[waiting[0]].id & ~EXPANDED_ID;
		distances[n++] = pool[waiting[0]].distance;
		distances_from(state, kept, values + 1, nwaiting - 1, between);
		for (int i = 1; i < nwaiting; i++)
		{
			int			at = waiting[i];

			hidden[at] = HnswOccludes(between[i - 1], kept_length, pool[at].distance, own);
			waiting[left] = at;
			values[left] = values[i];
			left += !hidden[at];
		}
		nwaiting = left;
	}
	for (int i = 0; i < state->pool_size && n < most; i++)
	{
		if (!hidden[i])
			continue;
		ids[n] = pool[i].id & ~EXPANDED_ID;
		distances[n] = pool[i].distance;
		HnswBitSet(occluded, n++, true);
	}
	return n;
}

typedef struct BetweenArg
{
	BuildState *state;
	const BuildValue *value;
	BuildLinks *links;
} BetweenArg;

static float
between_nodes(void *arg, int i)
{
	BetweenArg *between = (BetweenArg *) arg;

	if (between->value == between->state->query)
		return query_distance(between->state, between->links->id[i]);
	return distance_between(between->state, between->value, between->links->id[i]);
}

/* Offer node `id` to the list of `target`; returns whether it is taken. */
static bool
add_back_link(BuildState *state, uint32 target_id, int level, uint32 id, float distance, HnswPin pin)
{
	int			most = most_links(state, level);
	BuildNode  *target = BuildGetNode(state, target_id);
	BuildLinks *links = BuildGetLinks(state, target, level);
	float	   *distances = LinkDistances(links, most);
	uint8	   *occluded = LinkOccluded(links, most);
	const BuildValue *value = BuildGetValue(state, id);
	BetweenArg	arg = {state, value, links};
	HnswLengths lengths;
	bool		new_occluded;
	int			at;

	BuildLockNode(state, target_id);
	if (pin == HNSW_PIN_CHILD && HnswHasChildren(LinkPinned(links, most), links->n, most))
	{
		BuildUnlockNode(state, target_id);
		return false;
	}
	if (HnswHasLengths(state->index))
	{
		lengths.own = value_length(state, BuildGetValue(state, target_id));
		lengths.fresh = value_length(state, value);
		for (int i = 0; i < links->n; i++)
			lengths.present[i] = value_length(state, BuildGetValue(state, links->id[i]));
	}
	at = HnswPlaceLink(links->n, most, distances, distance, between_nodes, &arg,
					   HnswHasLengths(state->index) ? &lengths : NULL, occluded,
					   LinkPinned(links, most), pin, &new_occluded);
	if (at >= 0)
	{
		links->id[at] = id;
		HnswBitSet(LinkPinned(links, most), at, pin != HNSW_PIN_NOT);
		distances[at] = distance;
		HnswBitSet(occluded, at, new_occluded);
		if (at == links->n)
		{
			pg_write_barrier();
			links->n++;
		}
	}
	BuildUnlockNode(state, target_id);
	return at >= 0;
}

/* As HnswFindParent() */
static uint32
find_parent(BuildState *state, int level, uint32 at, uint32 id)
{
	int			most = most_links(state, level);
	uint32		from = id;
	uint32		random = hash_bytes_uint32(id);

	for (int step = 0; step < HNSW_MOST_STEPS; step++)
	{
		BuildNode  *present = BuildGetNode(state, at);
		BuildLinks *links = BuildGetLinks(state, present, level);
		uint32		pinned[2 * HNSW_MAX_M];
		int			n = 0;

		BuildLockNode(state, at);
		for (int i = 0; i < links->n; i++)
		{
			if (HnswBitGet(LinkPinned(links, most), i) && links->id[i] != from && links->id[i] != id)
				pinned[n++] = links->id[i];
		}
		BuildUnlockNode(state, at);
		if (n == 0)
			return NO_NODE;
		from = at;
		at = pinned[(random >> 8) % n];
		random = random * 1664525 + 1013904223;
		if (add_back_link(state, at, level, id, query_distance(state, at), HNSW_PIN_CHILD))
			return at;
	}
	return NO_NODE;
}

/*
 * The link to the nearest neighbor is pinned from the beginning; when another
 * became the parent, that one is.
 */
static void
pin_parent(BuildState *state, uint32 id, BuildNode *node, int level, uint32 nearest, uint32 parent)
{
	int			most = most_links(state, level);
	BuildLinks *links = BuildGetLinks(state, node, level);
	bool		found = false;

	BuildLockNode(state, id);
	for (int i = 0; i < links->n; i++)
	{
		if (links->id[i] == nearest)
			HnswBitSet(LinkPinned(links, most), i, false);
		if (links->id[i] == parent)
		{
			HnswBitSet(LinkPinned(links, most), i, true);
			found = true;
		}
	}
	BuildUnlockNode(state, id);
	if (!found)
		add_back_link(state, id, level, parent, query_distance(state, parent), HNSW_PIN_ALWAYS);
}

/* Give the row of `node` to an equal node among the candidates. */
static bool
merge_equal(BuildState *state, uint32 id, BuildNode *node)
{
	for (int i = 0; i < state->pool_size; i++)
	{
		uint32		other_id = state->pool[i].id & ~EXPANDED_ID;
		BuildNode  *other = BuildGetNode(state, other_id);
		bool		merged = false;

		if (other->hash != node->hash || other == node || BuildGetValue(state, other_id)->scale != state->query->scale)
			continue;

		/* 64 bits of hash over the stored bytes; the codes in memory agree as well */
		if (state->index->space.coded &&
			memcmp(BuildGetValue(state, other_id) + 1, state->query + 1,
				   BuildValueBytes(state->index, state->shared->scalar_bits)) != 0)
			continue;
		if (!state->index->space.coded && state->pool[i].distance != query_distance(state, id))
			continue;
		BuildLockNode(state, other_id);
		if (!other->merged && other->nequal < HNSW_TIDS - 1)
		{
			node->next_equal = other->next_equal;
			other->next_equal = id;
			other->nequal++;
			other->error = Max(other->error, node->error);
			merged = true;
		}
		BuildUnlockNode(state, other_id);
		if (merged)
		{
			node->merged = true;
			pg_atomic_fetch_add_u32(&state->shared->merged, 1);
			return true;
		}
	}
	return false;
}

/* What a new node finds on one level. */
typedef struct LevelFound
{
	int			nchosen;
	uint32	   *chosen;			/* its neighbors to be, the nearest first */
	float	   *distance;
	uint8	   *occluded;
	int			nothers;
	PoolEntry  *others;			/* all that the search came by: who may be its parent instead */
} LevelFound;

/* A node on its way into the graph. */
typedef struct NewNode
{
	uint32		id;
	BuildNode  *node;
	uint32		entry;			/* when the search began, or NO_NODE */
	int			entry_level;
	bool		exclusive;		/* how entry_lock is held until the end; else it is released */
	int			top;			/* highest level on which it has neighbors; -1 for none */
	LevelFound	found[HNSW_MAX_LEVEL + 1];
} NewNode;

/*
 * Read the entry point.  Where the node will be above all others, entry_lock stays
 * held exclusively: until the node is linked nobody else becomes the entry point.
 */
static void
read_entry(BuildState *state, NewNode *new)
{
	BuildShared *shared = state->shared;

	new->exclusive = false;
	LWLockAcquire(&shared->entry_lock, LW_SHARED);
	if (shared->entry == NO_NODE || new->node->level > shared->entry_level)
	{
		LWLockRelease(&shared->entry_lock);
		LWLockAcquire(&shared->entry_lock, LW_EXCLUSIVE);
		new->exclusive = true;
	}
	new->entry = shared->entry;
	new->entry_level = shared->entry_level;
	Assert((new->entry == NO_NODE) == (new->entry_level < 0));
	if (!new->exclusive)
		LWLockRelease(&shared->entry_lock);
}

/* Make the node the entry point, if it is above the present one, and release entry_lock. */
static void
release_entry(BuildState *state, const NewNode *new, bool linked)
{
	BuildShared *shared = state->shared;

	if (!new->exclusive)
		return;
	Assert(LWLockHeldByMeInMode(&shared->entry_lock, LW_EXCLUSIVE));
	if (linked && (shared->entry == NO_NODE || new->node->level > shared->entry_level))
	{
		shared->entry = new->id;
		shared->entry_level = new->node->level;
	}
	LWLockRelease(&shared->entry_lock);
}

/* Take memory for the node's links on the upper levels. */
static void
take_upper(BuildState *state, uint32 id, BuildNode *node)
{
	BuildShared *shared = state->shared;

	if (node->level == 0)
		return;
	node->upper = pg_atomic_fetch_add_u32(&shared->nupper, node->level);
	for (int l = 1; l <= node->level; l++)
	{
		uint32	   *upper = (uint32 *) BuildTableItem(state, &shared->uppers, state->upper_chunks, node->upper + l - 1, true);

		if (upper == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory"),
					 errdetail("No room for the upper levels of index \"%s\".", RelationGetRelationName(state->rel)),
					 errhint("Lower maintenance_work_mem or max_parallel_maintenance_workers.")));
		*upper = id;
	}
}

/* Keep of what is in the pool, after the search of a level, the neighbors to be and all others. */
static void
keep_found(BuildState *state, uint32 id, int level, LevelFound *found)
{
	int			most = most_links(state, level);

	found->chosen = palloc(sizeof(uint32) * most);
	found->distance = palloc(sizeof(float) * most);
	found->occluded = palloc((most + 7) / 8);
	found->nchosen = choose_neighbors(state, id, most, found->chosen, found->distance, found->occluded);
	found->nothers = state->pool_size;
	found->others = palloc(sizeof(PoolEntry) * Max(state->pool_size, 1));
	memcpy(found->others, state->pool, sizeof(PoolEntry) * state->pool_size);
}

/*
 * Search the levels of the node.  Returns false where its row went to an equal node,
 * so that there is nothing more to do.
 */
static bool
search_levels(BuildState *state, NewNode *new, uint32 nnodes)
{
	int			level = new->node->level;

	state->query = BuildGetValue(state, new->id);
	state->query_id = new->id;
	state->pool_size = 0;
	new->top = Min(level, new->entry_level);
	if (new->entry == NO_NODE)
		return true;
	new_round(state, nnodes);
	state->pool[state->pool_size].distance = query_distance(state, new->entry);
	state->pool[state->pool_size++].id = new->entry;
	for (int l = new->entry_level; l > level; l--)
	{
		search_level(state, l, 1);
		new_round(state, nnodes);
	}
	for (int l = new->top; l >= 0; l--)
	{
		search_level(state, l, state->index->ef_construction);
		if (l == 0 && merge_equal(state, new->id, new->node))
			return false;
		keep_found(state, new->id, l, &new->found[l]);
		new_round(state, nnodes);
	}
	return true;
}

/* Fill the node's own list of one level. */
static void
set_links(BuildState *state, const NewNode *new, int level)
{
	const LevelFound *found = &new->found[level];
	int			most = most_links(state, level);
	BuildLinks *links = BuildGetLinks(state, new->node, level);

	BuildLockNode(state, new->id);
	Assert(found->nchosen <= most);
	memcpy(links->id, found->chosen, sizeof(uint32) * found->nchosen);
	memcpy(LinkDistances(links, most), found->distance, sizeof(float) * found->nchosen);
	memcpy(LinkOccluded(links, most), found->occluded, (most + 7) / 8);
	if (found->nchosen > 0)
		HnswBitSet(LinkPinned(links, most), 0, true);
	pg_write_barrier();
	links->n = found->nchosen;
	BuildUnlockNode(state, new->id);
}

/*
 * Offer the node to its neighbors on one level.  The first that takes it for good is
 * its parent; where all of them have children enough, any other that the search came
 * by, or one found from child to child.
 */
static void
offer(BuildState *state, const NewNode *new, int level)
{
	const LevelFound *found = &new->found[level];
	uint32		parent = NO_NODE;

	for (int i = 0; i < found->nchosen && parent == NO_NODE; i++)
	{
		if (add_back_link(state, found->chosen[i], level, new->id, found->distance[i], HNSW_PIN_CHILD))
			parent = found->chosen[i];
	}
	for (int i = 0; i < found->nothers && parent == NO_NODE; i++)
	{
		uint32		other = found->others[i].id & ~EXPANDED_ID;

		if (other != new->id &&
			add_back_link(state, other, level, new->id, found->others[i].distance, HNSW_PIN_CHILD))
			parent = other;
	}
	if (parent == NO_NODE && found->nchosen > 0)
		parent = find_parent(state, level, found->chosen[0], new->id);
	for (int i = 0; i < found->nchosen; i++)
	{
		if (found->chosen[i] != parent)
			add_back_link(state, found->chosen[i], level, new->id, found->distance[i], HNSW_PIN_NOT);
	}
	if (parent != NO_NODE && parent != found->chosen[0])
		pin_parent(state, new->id, new->node, level, found->chosen[0], parent);
}

/* Link node number `id`, which is loaded, on all its levels; nnodes is the number of all. */
static void
insert_node(BuildState *state, uint32 id, uint32 nnodes)
{
	NewNode		new;

	new.id = id;
	new.node = BuildGetNode(state, id);
	Assert(new.node->present && !new.node->merged && new.node->level <= HNSW_MAX_LEVEL);
	read_entry(state, &new);
	take_upper(state, id, new.node);
	if (!search_levels(state, &new, nnodes))
	{
		release_entry(state, &new, false);
		return;
	}
	for (int l = 0; l <= new.top; l++)
		set_links(state, &new, l);
	pg_write_barrier();
	for (int l = 0; l <= new.top; l++)
		offer(state, &new, l);
	release_entry(state, &new, true);
}

void
BuildLinkNodes(BuildState *state)
{
	uint32		nnodes = pg_atomic_read_u32(&state->shared->nnodes);
	uint32		from;
	uint32		to;
	MemoryContext old = MemoryContextSwitchTo(state->row_context);

	state->seen = MemoryContextAllocExtended(state->context, sizeof(uint16) * Max(nnodes, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	state->round = 0;
	state->known = MemoryContextAllocZero(state->context, sizeof(BuildKnown) * KNOWN_DISTANCES);
	state->pool = MemoryContextAlloc(state->context, sizeof(PoolEntry) * (HNSW_MAX_EF_CONSTRUCTION + 1));
	while (BuildNextBatch(state, nnodes, &from, &to))
	{
		for (uint32 id = from; id < to; id++)
		{
			BuildNode  *node = BuildGetNode(state, id);

			if (node == NULL || !node->present)
				continue;
			insert_node(state, id, nnodes);
			MemoryContextReset(state->row_context);
		}
		pg_atomic_fetch_add_u64(&state->shared->done, to - from);
	}
	MemoryContextSwitchTo(old);
	pfree(state->seen);
	pfree(state->known);
	pfree(state->pool);
}
