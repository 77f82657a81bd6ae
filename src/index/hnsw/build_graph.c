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

static inline float
value_distance(BuildState *state, const char *a, float a_scale, float a_norm2, BuildNode *node)
{
	HnswIndex  *index = state->index;
	const char *b = BuildNodeValue(state, node);
	float		distance;

	if (index->coded)
	{
		int32_t		dot = state->shared->scalar_bits == 8
			? scalar_dot8((const int8_t *) a, (const int8_t *) b, index->padded)
			: scalar_dot4((const uint8_t *) a, (const uint8_t *) b, index->padded);
		float		product = a_scale * node->scale * (float) dot;

		distance = index->code_metric == CODE_IP ? -product : a_norm2 + node->norm2 - 2 * product;
	}
	else
		distance = (float) HnswRawDistance(index, a, b);
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
	int			most = level > 0 ? index->m : 2 * index->m;
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
handicap(const BuildState *state, const BuildNode *node)
{
	return HnswHasHandicaps(state->index) ? node->norm2 : 0;
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
	float		own = handicap(state, BuildGetNode(state, self_id));

	for (int i = 0; i < state->pool_size && nkept < most; i++)
	{
		uint32		id = state->pool[i].id & ~EXPANDED_ID;
		float		distance = state->pool[i].distance;
		BuildNode  *candidate = BuildGetNode(state, id);
		bool		hidden = false;

		if (id == self_id)
			continue;
		for (int k = 0; k < nkept && !hidden; k++)
			hidden = nodes_distance(state, kept[k], candidate) + handicap(state, kept[k]) <= distance + own;
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
	int			most = level > 0 ? state->index->m : 2 * state->index->m;
	BuildNode  *target = BuildGetNode(state, target_id);
	BuildLinks *links = BuildGetLinks(state, target, level);
	float	   *distances = LinkDistances(links, most);
	uint8	   *occluded = LinkOccluded(links, most);
	BetweenArg	arg = {state, node, links};
	HnswHandicaps handicaps;
	bool		new_occluded;
	int			at;

	BuildLockNode(state, target_id);
	if (pin == HNSW_PIN_CHILD && HnswHasChildren(LinkPinned(links, most), links->n, most))
	{
		BuildUnlockNode(state, target_id);
		return false;
	}
	if (HnswHasHandicaps(state->index))
	{
		handicaps.own = handicap(state, target);
		handicaps.fresh = handicap(state, node);
		for (int i = 0; i < links->n; i++)
			handicaps.present[i] = handicap(state, BuildGetNode(state, links->id[i]));
	}
	at = HnswPlaceLink(links->n, most, distances, distance, between_nodes, &arg,
					   HnswHasHandicaps(state->index) ? &handicaps : NULL, occluded,
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
	int			most = level > 0 ? state->index->m : 2 * state->index->m;
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
 * The link to the nearest neighbour is pinned from the beginning; when another
 * became the parent, that one is.
 */
static void
pin_parent(BuildState *state, uint32 id, BuildNode *node, int level, uint32 nearest, uint32 parent)
{
	int			most = level > 0 ? state->index->m : 2 * state->index->m;
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
		if (state->index->coded &&
			memcmp(BuildNodeValue(state, other), BuildNodeValue(state, node),
				   BuildValueBytes(state->index, state->shared->scalar_bits)) != 0)
			continue;
		if (!state->index->coded && state->pool[i].distance != query_distance(state, node))
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

static void
insert_node(BuildState *state, uint32 id, uint32 nnodes)
{
	BuildShared *shared = state->shared;
	HnswIndex  *index = state->index;
	BuildNode  *node = BuildGetNode(state, id);
	uint32		entry;
	int			entry_level;
	bool		exclusive = false;
	int			level = node->level;
	int			top;
	int			nchosen[HNSW_MAX_LEVEL + 1];
	uint32	   *chosen[HNSW_MAX_LEVEL + 1];
	float	   *distance[HNSW_MAX_LEVEL + 1];
	uint8	   *occluded[HNSW_MAX_LEVEL + 1];
	PoolEntry  *others[HNSW_MAX_LEVEL + 1];
	int			nothers[HNSW_MAX_LEVEL + 1];

	LWLockAcquire(&shared->entry_lock, LW_SHARED);
	if (shared->entry == NO_NODE || level > shared->entry_level)
	{
		LWLockRelease(&shared->entry_lock);
		LWLockAcquire(&shared->entry_lock, LW_EXCLUSIVE);
		exclusive = true;
	}
	entry = shared->entry;
	entry_level = shared->entry_level;
	if (!exclusive)
		LWLockRelease(&shared->entry_lock);

	if (level > 0)
	{
		node->upper = pg_atomic_fetch_add_u32(&shared->nupper, level);
		for (int l = 1; l <= level; l++)
		{
			uint32	   *upper = (uint32 *) BuildTableItem(state, &shared->uppers, state->upper_chunks, node->upper + l - 1, true);

			if (upper == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_OUT_OF_MEMORY),
						 errmsg("out of memory"),
						 errdetail("No room for the upper levels of index \"%s\".", RelationGetRelationName(index->rel)),
						 errhint("Lower maintenance_work_mem or max_parallel_maintenance_workers.")));
			*upper = id;
		}
	}

	set_query(state, node);
	state->pool_size = 0;
	if (entry != NO_NODE)
	{
		new_round(state, nnodes);
		pool_insert(state, 1, entry, query_distance(state, BuildGetNode(state, entry)));
		for (int l = entry_level; l > level; l--)
		{
			search_level(state, l, 1);
			new_round(state, nnodes);
		}
	}
	top = Min(level, entry_level);
	for (int l = 0; l <= level; l++)
		nchosen[l] = 0;
	for (int l = top; l >= 0 && entry != NO_NODE; l--)
	{
		int			most = l > 0 ? index->m : 2 * index->m;

		chosen[l] = palloc(sizeof(uint32) * most);
		distance[l] = palloc(sizeof(float) * most);
		occluded[l] = palloc((most + 7) / 8);
		search_level(state, l, index->ef_construction);
		if (l == 0 && merge_equal(state, id, node))
		{
			if (exclusive)
				LWLockRelease(&shared->entry_lock);
			return;
		}
		nchosen[l] = choose_neighbors(state, id, most, chosen[l], distance[l], occluded[l]);
		nothers[l] = state->pool_size;
		others[l] = palloc(sizeof(PoolEntry) * Max(state->pool_size, 1));
		memcpy(others[l], state->pool, sizeof(PoolEntry) * state->pool_size);
		new_round(state, nnodes);
	}

	for (int l = 0; l <= top && entry != NO_NODE; l++)
	{
		int			most = l > 0 ? index->m : 2 * index->m;
		BuildLinks *links = BuildGetLinks(state, node, l);

		BuildLockNode(state, id);
		memcpy(links->id, chosen[l], sizeof(uint32) * nchosen[l]);
		memcpy(LinkDistances(links, most), distance[l], sizeof(float) * nchosen[l]);
		memcpy(LinkOccluded(links, most), occluded[l], (most + 7) / 8);
		if (nchosen[l] > 0)
			HnswBitSet(LinkPinned(links, most), 0, true);
		pg_write_barrier();
		links->n = nchosen[l];
		BuildUnlockNode(state, id);
	}
	pg_write_barrier();
	for (int l = 0; l <= top && entry != NO_NODE; l++)
	{
		uint32		parent = NO_NODE;

		for (int i = 0; i < nchosen[l] && parent == NO_NODE; i++)
		{
			if (add_back_link(state, chosen[l][i], l, id, node, distance[l][i], HNSW_PIN_CHILD))
				parent = chosen[l][i];
		}

		/* children enough: any other that the search came by */
		for (int i = 0; i < nothers[l] && parent == NO_NODE; i++)
		{
			uint32		other = others[l][i].id & ~EXPANDED_ID;

			if (other != id && add_back_link(state, other, l, id, node, others[l][i].distance, HNSW_PIN_CHILD))
				parent = other;
		}
		if (parent == NO_NODE && nchosen[l] > 0)
			parent = find_parent(state, l, chosen[l][0], id, node);
		for (int i = 0; i < nchosen[l]; i++)
		{
			if (chosen[l][i] != parent)
				add_back_link(state, chosen[l][i], l, id, node, distance[l][i], HNSW_PIN_NOT);
		}
		if (parent != NO_NODE && parent != chosen[l][0])
			pin_parent(state, id, node, l, chosen[l][0], parent);
	}
	if (exclusive)
	{
		if (shared->entry == NO_NODE || level > shared->entry_level)
		{
			shared->entry = id;
			shared->entry_level = level;
		}
		LWLockRelease(&shared->entry_lock);
	}
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
