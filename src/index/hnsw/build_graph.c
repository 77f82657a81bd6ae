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

/* Most links of a node on a level. */
static inline int
most_links(const BuildState *state, int level)
{
	return level > 0 ? state->index->m : 2 * state->index->m;
}

static inline float
value_distance(BuildState *state, const char *a, float a_scale, float a_norm2, BuildNode *node)
{
	HnswIndex  *index = state->index;
	const char *b = BuildNodeValue(state, node);
	float		distance;

	if (index->space.coded)
	{
		int32_t		dot = state->shared->scalar_bits == 8
			? scalar_dot8((const int8_t *) a, (const int8_t *) b, index->space.padded)
			: scalar_dot4((const uint8_t *) a, (const uint8_t *) b, index->space.padded);
		float		product = a_scale * node->scale * (float) dot;

		distance = index->space.code_metric == CODE_IP ? -product : a_norm2 + node->norm2 - 2 * product;
	}
	else
		distance = (float) ValueRawDistance(&index->space, a, b);
	return isnan(distance) ? FLT_MAX : distance;
}

static inline float
query_distance(BuildState *state, BuildNode *node)
{
	return value_distance(state, state->query, state->query_scale, state->query_norm2, node);
}

static inline float
nodes_distance(BuildState *state, BuildNode *a, BuildNode *b)
{
	return value_distance(state, BuildNodeValue(state, a), a->scale, a->norm2, b);
}

static void
set_query(BuildState *state, BuildNode *node)
{
	state->query = (char *) BuildNodeValue(state, node);
	state->query_scale = node->scale;
	state->query_norm2 = node->norm2;
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

static inline int
pool_insert(BuildState *state, int capacity, uint32 id, float distance)
{
	PoolEntry  *pool = state->pool;
	int			low = 0;
	int			high = state->pool_size;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (pool[middle].distance <= distance)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == capacity)
		return low;
	if (state->pool_size < capacity)
		state->pool_size++;
	memmove(&pool[low + 1], &pool[low], sizeof(PoolEntry) * (state->pool_size - low - 1));
	pool[low].distance = distance;
	pool[low].id = id;
	return low;
}

/*
 * Best-first search of one level for state->query, from what is in the pool;
 * leaves the best `capacity` in the pool, in order.
 */
static void
search_level(BuildState *state, int level, int capacity)
{
	HnswIndex  *index = state->index;
	int			most = most_links(state, level);
	int			prefetch = Min(BuildValueBytes(index, state->shared->scalar_bits), 1024);
	Size		offset = BuildValueOffset(index);
	int			next = 0;

	if (index->layout[HNSW_BASE].value_form == HNSW_VALUE_CHUNKS)
		prefetch = 0;
	for (int i = 0; i < state->pool_size; i++)
		state->seen[state->pool[i].id & ~EXPANDED_ID] = state->round;
	for (int i = 0; i < state->pool_size; i++)
		state->pool[i].id &= ~EXPANDED_ID;
	state->pool_size = Min(state->pool_size, capacity);

	while (next < state->pool_size)
	{
		uint32		id = state->pool[next].id;
		volatile BuildLinks *links;
		BuildNode  *fresh[2 * HNSW_MAX_M];
		uint32		fresh_id[2 * HNSW_MAX_M];
		int			nfresh = 0;
		int			n;
		int			at = next;

		if (id & EXPANDED_ID)
		{
			next++;
			continue;
		}
		state->pool[at].id |= EXPANDED_ID;
		next++;
		links = BuildGetLinks(state, BuildGetNode(state, id), level);
		n = Min(links->n, most);
		pg_read_barrier();		/* pairs with those before links->n grows */
		for (int i = 0; i < n; i++)
		{
			uint32		other = links->id[i];

			if (state->seen[other] == state->round)
				continue;
			state->seen[other] = state->round;
			fresh[nfresh] = BuildGetNode(state, other);
			fresh_id[nfresh++] = other;
			__builtin_prefetch(fresh[nfresh - 1]);
			for (int line = 0; line < prefetch; line += 64)
				__builtin_prefetch((char *) fresh[nfresh - 1] + offset + line);
		}
		for (int i = 0; i < nfresh; i++)
		{
			float		distance = query_distance(state, fresh[i]);

			if (state->pool_size < capacity || distance < state->pool[state->pool_size - 1].distance)
			{
				int			placed = pool_insert(state, capacity, fresh_id[i], distance);

				if (placed < next)
					next = placed;
			}
		}
	}
}

static inline float
node_length(const BuildState *state, const BuildNode *node)
{
	return HnswHasLengths(state->index) ? node->norm2 : 1;
}

/* The heuristic over the pool; chosen ids, kept ones first. */
static int
choose_neighbors(BuildState *state, uint32 self_id, int most, uint32 *ids, float *distances, uint8 *occluded)
{
	int			nkept = 0;
	int			nfill = 0;
	int			n;
	BuildNode  *kept[2 * HNSW_MAX_M];
	uint32		fill[2 * HNSW_MAX_M];
	float		fill_distance[2 * HNSW_MAX_M];
	float		own = node_length(state, BuildGetNode(state, self_id));

	for (int i = 0; i < state->pool_size && nkept < most; i++)
	{
		uint32		id = state->pool[i].id & ~EXPANDED_ID;
		float		distance = state->pool[i].distance;
		BuildNode  *candidate = BuildGetNode(state, id);
		bool		hidden = false;

		if (id == self_id)
			continue;
		for (int k = 0; k < nkept && !hidden; k++)
			hidden = HnswOccludes(nodes_distance(state, kept[k], candidate), node_length(state, kept[k]), distance, own);
		if (hidden)
		{
			if (nfill < most)
			{
				fill[nfill] = id;
				fill_distance[nfill++] = distance;
			}
			continue;
		}
		kept[nkept] = candidate;
		ids[nkept] = id;
		distances[nkept++] = distance;
	}
	memset(occluded, 0, (most + 7) / 8);
	n = nkept;
	for (int i = 0; i < nfill && n < most; i++)
	{
		ids[n] = fill[i];
		distances[n] = fill_distance[i];
		HnswBitSet(occluded, n, true);
		n++;
	}
	return n;
}

typedef struct BetweenArg
{
	BuildState *state;
	BuildNode  *node;
	BuildLinks *links;
} BetweenArg;

static float
between_nodes(void *arg, int i)
{
	BetweenArg *between = (BetweenArg *) arg;

	return nodes_distance(between->state, between->node, BuildGetNode(between->state, between->links->id[i]));
}

/* Offer node `id` to the list of `target`; returns whether it is taken. */
static bool
add_back_link(BuildState *state, uint32 target_id, int level, uint32 id, BuildNode *node, float distance, HnswPin pin)
{
	int			most = most_links(state, level);
	BuildNode  *target = BuildGetNode(state, target_id);
	BuildLinks *links = BuildGetLinks(state, target, level);
	float	   *distances = LinkDistances(links, most);
	uint8	   *occluded = LinkOccluded(links, most);
	BetweenArg	arg = {state, node, links};
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
		lengths.own = node_length(state, target);
		lengths.fresh = node_length(state, node);
		for (int i = 0; i < links->n; i++)
			lengths.present[i] = node_length(state, BuildGetNode(state, links->id[i]));
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
find_parent(BuildState *state, int level, uint32 at, uint32 id, BuildNode *node)
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
		if (add_back_link(state, at, level, id, node, query_distance(state, BuildGetNode(state, at)), HNSW_PIN_CHILD))
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
		add_back_link(state, id, level, parent, BuildGetNode(state, parent), query_distance(state, BuildGetNode(state, parent)), HNSW_PIN_ALWAYS);
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

		if (other->hash != node->hash || other->scale != node->scale || other == node)
			continue;

		/* 64 bits of hash over the stored bytes; the codes in memory agree as well */
		if (state->index->space.coded &&
			memcmp(BuildNodeValue(state, other), BuildNodeValue(state, node),
				   BuildValueBytes(state->index, state->shared->scalar_bits)) != 0)
			continue;
		if (!state->index->space.coded && state->pool[i].distance != query_distance(state, node))
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

	set_query(state, new->node);
	state->pool_size = 0;
	new->top = Min(level, new->entry_level);
	if (new->entry == NO_NODE)
		return true;
	new_round(state, nnodes);
	pool_insert(state, 1, new->entry, query_distance(state, BuildGetNode(state, new->entry)));
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
		if (add_back_link(state, found->chosen[i], level, new->id, new->node, found->distance[i], HNSW_PIN_CHILD))
			parent = found->chosen[i];
	}
	for (int i = 0; i < found->nothers && parent == NO_NODE; i++)
	{
		uint32		other = found->others[i].id & ~EXPANDED_ID;

		if (other != new->id &&
			add_back_link(state, other, level, new->id, new->node, found->others[i].distance, HNSW_PIN_CHILD))
			parent = other;
	}
	if (parent == NO_NODE && found->nchosen > 0)
		parent = find_parent(state, level, found->chosen[0], new->id, new->node);
	for (int i = 0; i < found->nchosen; i++)
	{
		if (found->chosen[i] != parent)
			add_back_link(state, found->chosen[i], level, new->id, new->node, found->distance[i], HNSW_PIN_NOT);
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
	pfree(state->pool);
}
