/*
 * search.c
 *	  Best-first search of one level of the graph, over pages.
 *
 * Coded nodes: expanding a node reads its page once, gives its exact distance
 * and estimates of all its neighbors' distances from the codes beside their
 * links.  Candidates are ordered by estimate; the same neighbor may come in
 * from several nodes, each with an estimate of its own, and has as many
 * entries in the pool.  Only expanded nodes are hashed: they are not let in
 * again, and a candidate that was expanded meanwhile is skipped when its turn
 * comes, and leaves the pool.  The same node with the same key (a crowd of
 * equal values) is let in once, or the crowd would fill the pool.  Because of
 * those repeated entries, and because estimates err, the pool is larger than
 * ef_search, which keeps recall at an ef_search at least where exact distances
 * would have it.
 *
 * A scan of coded nodes has no pool.  Its candidates wait in a queue until the best
 * of them is too far: see distance_too_far(); what is too far already when it comes is not
 * let in.  So what a node costs does not depend on ef_search.
 *
 * Plain nodes: each neighbor seen for the first time has its own page read
 * for its distance, as in the paper (Malkov and Yashunin, arXiv:1603.09320,
 * algorithm 2), and the pool is ef_search itself.
 *
 * Locks: one page at a time, shared, for as long as it takes to compute.  No
 * pin outlives the reading of its node.  A reference that went stale meanwhile
 * (generation) is skipped.
 */
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_graph.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/float.h"
#include "utils/memutils.h"

/* The key of where a search begins, for want of an estimate */
#define FROM_START			(-FLT_MAX)

/* When to stop: see distance_too_far() */
#define STOP_SLACK			0.25
#define LEAST_ERRORS		5

/*
 * Nodes without rows that a search walks through, besides so many for each node
 * with rows: enough for rows deleted at random, 19 of 20, and few beside a
 * region that was deleted as a whole.
 */
#define MOST_DEAD(capacity)	(1024 + 4 * (capacity))
#define DEAD_BY_LIVE		32

/* Of the way down by nodes with rows: entries of the pool, nodes where a level begins, nodes without rows on it */
#define SCOUT_POOL			32
#define SCOUT_STARTS		16
#define SCOUT_MOST_DEAD		256

/* Entries of a queue, where no later round is to come; the fewest that it has memory for, and that are looked at to halve it */
#define QUEUE_PLACES(capacity)	Max(2 * (Size) (capacity), QUEUE_LEAST)
#define QUEUE_LEAST			512
#define SHED_SAMPLE			64

/* Errors of estimates before the frontier of a strict order: see HnswSearchFrontier() */
#define FRONTIER_SLACK		2

/* And beyond what is wanted, where a search for all within a distance ends: see HnswSearchIsBeyond() */
#define BEYOND_SLACK		0.4f

/* The caller may search many values, one after the other, with one HnswSearch. */
HnswSearch *
HnswSearchCreate(HnswIndex *index, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	HnswSearch *self = palloc0(sizeof(HnswSearch));

	self->index = index;
	self->context = context;
	if (index->space.coded)
	{
		for (int kind = HNSW_BASE; kind <= HNSW_UPPER; kind++)
		{
			char	   *room = palloc(CODE_TABLE_BYTES(index->layout[kind].dc) + 63);

			self->code_query[kind].table = (uint8_t *) TYPEALIGN(64, room);
		}
	}
	self->judged = true;
	self->most_wanted = get_float4_infinity();
	HnswRefSetInit(&self->seen, context);
	HnswRefKeysInit(&self->best, context);
	self->found_allocated = 128;
	self->found = palloc(sizeof(HnswFound) * self->found_allocated);
	MemoryContextSwitchTo(old);
	return self;
}

/* What to search for; *value must live on. */
void
HnswSearchSetValue(HnswSearch *self, const IndexValue *value)
{
	self->value = value;
	if (self->index->space.coded)
	{
		for (int kind = HNSW_BASE; kind <= HNSW_UPPER; kind++)
		{
			HnswLayout *layout = &self->index->layout[kind];

			code_query_init(&self->code_query[kind], layout->bits, layout->dc, value->rotated,
							self->code_query[kind].table);
		}
	}
}

/* ---------------------------------------------------------------------
 * Candidates that wait: all of a scan of coded nodes; those that a pool had no room
 * for, where they are kept
 * --------------------------------------------------------------------- */

#define ST_SORT sort_queue
#define ST_ELEMENT_TYPE QueueEntry
#define ST_COMPARE(a, b) ((a)->key != (b)->key ? ((a)->key < (b)->key ? -1 : 1) : \
						  (a)->node != (b)->node ? ((a)->node < (b)->node ? -1 : 1) : 0)
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Was a candidate that waits expanded meanwhile?  A plain node waits once only. */
static inline bool
is_expanded(const HnswSearch *self, HnswRef ref)
{
	return self->index->space.coded && HnswRefSetHas(&self->seen, ref);
}

/* A key that about a half of those that wait do not exceed, from a sample of them */
static float
middle_key(const HnswSearch *self)
{
	QueueEntry	sample[SHED_SAMPLE];

	for (int i = 0; i < SHED_SAMPLE; i++)
		sample[i] = self->queue[self->nqueued / SHED_SAMPLE * i];
	sort_queue(sample, SHED_SAMPLE);
	return sample[SHED_SAMPLE / 2].key;
}

/*
 * There is no room: forget about the worse half, and in a first round what is as far
 * from then on.  Where most keys are the same (a crowd of equal values), what waits
 * twice goes, and then what comes last.
 */
static void
shed(HnswSearch *self)
{
	float		most = middle_key(self);
	Size		kept = 0;
	Size		sorted;

	Assert(self->nqueued >= SHED_SAMPLE);
	for (Size i = 0; i < self->nqueued; i++)
	{
		QueueEntry	entry = self->queue[i];

		if (entry.key > most)
			HnswRefKeysForget(&self->best, entry.node, entry.key);
		else if (!is_expanded(self, entry.node))
			queue_push(self->queue, kept++, entry.node, entry.key);
	}
	self->nqueued = kept;
	self->dropped = true;
	self->forgot |= self->keep_spilled;
	if (!self->keep_spilled)
		self->limit = Min(self->limit, most);
	if (kept <= self->queue_limit / 4 * 3)
		return;

	/* an array in order is a queue */
	sort_queue(self->queue, self->nqueued);
	sorted = self->nqueued;
	kept = 0;
	for (Size i = 0; i < sorted; i++)
	{
		QueueEntry	entry = self->queue[i];

		if (kept > 0 && self->queue[kept - 1].key == entry.key && self->queue[kept - 1].node == entry.node)
			continue;
		if (kept < self->queue_limit / 2)
			self->queue[kept++] = entry;
		else
			HnswRefKeysForget(&self->best, entry.node, entry.key);
	}
	self->nqueued = kept;
}

static void
grow_queue(HnswSearch *self)
{
	Size		more = Min(Max(self->queue_allocated * 2, QUEUE_LEAST), self->queue_limit);

	if (self->queue == NULL)
		self->queue = MemoryContextAllocHuge(self->context, sizeof(QueueEntry) * more);
	else
		self->queue = repalloc_huge(self->queue, sizeof(QueueEntry) * more);
	self->queue_allocated = more;
}

static inline void
enqueue(HnswSearch *self, HnswRef ref, float key)
{
	if (unlikely(self->nqueued >= self->queue_limit))
		shed(self);
	if (unlikely(self->nqueued == self->queue_allocated))
		grow_queue(self);
	queue_push(self->queue, self->nqueued++, ref, key);
}

static void
reset_queue(HnswSearch *self)
{
	self->nqueued = 0;
	self->limit = get_float4_infinity();
	if (self->queued)
		HnswRefKeysClear(&self->best);
}

/* The best that waits; one that was expanded meanwhile waits no more. */
static inline bool
best_queued(HnswSearch *self, QueueEntry *best)
{
	while (self->nqueued > 0 && is_expanded(self, self->queue[0].node))
	{
		CHECK_FOR_INTERRUPTS();
		queue_pop(self->queue, self->nqueued--);
	}
	if (self->nqueued == 0)
		return false;
	*best = self->queue[0];
	return true;
}

/* ---------------------------------------------------------------------
 * Pool
 * --------------------------------------------------------------------- */

static void
pool_reset(HnswSearch *self, int capacity)
{
	if (capacity > self->pool_allocated)
	{
		if (self->pool_memory != NULL)
			pfree(self->pool_memory);
		self->pool_allocated = capacity;
		self->pool_memory = MemoryContextAlloc(self->context, pool_bytes(capacity));
	}
	pool_init(&self->pool, capacity, self->pool_memory);
}

/*
 * Candidates of a first round wait once with each key that is less than all they had
 * before: most are found from a dozen nodes before their turn comes.
 */
static void
offer_to_queue(HnswSearch *self, int n, const HnswRef *refs, const float *keys)
{
	for (int i = 0; i < n; i++)
	{
		if (self->keep_spilled ? HnswRefSetHas(&self->seen, refs[i]) : !HnswRefKeysLower(&self->best, refs[i], keys[i]))
			continue;
		HnswPrefetchRecent(self->index, refs[i]);
		enqueue(self, refs[i], keys[i]);
	}
}

static void
offer(HnswSearch *self, int n, const HnswRef *refs, const float *keys)
{
	Pool	   *pool = &self->pool;

	if (self->queued)
	{
		offer_to_queue(self, n, refs, keys);
		return;
	}
	pool_merge(pool, n, refs, keys);
	if (self->keep_spilled)
	{
		for (int i = 0; i < pool->nspilled; i++)
			enqueue(self, pool->spilled[i], pool->spilled_key[i]);
	}
	else if (pool->nspilled > 0)
		self->dropped = true;
}

/*
 * Places of the pool of a scan that wants the ef nearest: without codes a few more
 * than those.  With codes distance_too_far() ends it, and its queue has room for all that
 * is let in before that has a say, mostly.  Under inner products estimates of long
 * vectors are off by a part of their lengths, so that many others stand before what is
 * near.
 */
int
HnswScanPool(const HnswIndex *index, int ef)
{
	if (!index->space.coded)
		return ef + ef / 4;
	return 4 * ef + 16 + (index->space.code_metric == CODE_IP ? Min(8 * ef, 800) : 0);
}

/* ---------------------------------------------------------------------
 * Expansion
 * --------------------------------------------------------------------- */

static void
keep_value(HnswSearch *self, HnswFound *found, Buffer buffer, const HnswNode *node, int kind)
{
	const char *value = HnswReadValue(self->index, buffer, node, kind, &found->value_bytes);
	Size		need = self->values_used + MAXALIGN(found->value_bytes);

	if (need > self->values_allocated)
	{
		Size		size = Max(need, self->values_allocated * 2);

		if (self->values == NULL)
			self->values = MemoryContextAllocHuge(self->context, size);
		else
			self->values = repalloc_huge(self->values, size);
		self->values_allocated = size;
	}
	found->value = self->values_used;
	memcpy(self->values + found->value, value, found->value_bytes);
	self->values_used = need;
}

/* The caller holds a lock on the node's page. */
static void
add_found(HnswSearch *self, HnswRef ref, float distance, bool live, Buffer buffer, const HnswNode *node, int kind)
{
	HnswFound  *found;

	if (self->nfound == self->found_allocated)
	{
		self->found_allocated *= 2;
		self->found = repalloc_huge(self->found, sizeof(HnswFound) * self->found_allocated);
	}
	if (live)
		self->nwith_rows++;
	else
		self->ndead++;
	found = &self->found[self->nfound++];
	found->ref = ref;
	found->down = HnswLinkGet(&node->down);
	found->distance = distance;
	found->error = node->error;
	found->norm = node->norm;
	found->scale = node->scale;
	found->flags = node->flags;
	found->live = live;
	found->killed = node->killed;
	found->removals = node->removals;
	found->ntids = kind == HNSW_BASE ? node->ntids : 0;
	memcpy(found->tids, node->tids, sizeof(ItemPointerData) * found->ntids);
	if (self->keep_values)
	{
		const HnswLayout *layout = &self->index->layout[kind];

		found->has_children = HnswHasChildren(HnswNodePinned(node, layout), node->nlinks, layout->links);
		keep_value(self, found, buffer, node, kind);
	}
}

/* Does a scan get any row from this node? */
static inline bool
has_rows(const HnswSearch *self, const HnswNode *node, int kind)
{
	if (kind != HNSW_BASE)
		return self->judged;
	return !(node->flags & HNSW_NODE_DEAD) && node->ntids > 0 &&
		!(self->ignore_killed && node->killed == (1 << node->ntids) - 1);
}

/*
 * The paper's rule for when to stop: the best candidate is beyond the ef nearest
 * found; some more of them, so that codes that are almost exact find no less
 * than exact distances would.  An estimate may be too large, so the candidate has
 * to be beyond by a part of what estimates of this search are usually off.  With
 * more of either, what is found more takes longer than by a larger ef: measured
 * in README.md.  Under inner products, where estimates are off by more, it is a half
 * at any ef.
 */
static int
stop_nearest(const HnswSearch *self, int ef)
{
	if (self->index->space.code_metric == CODE_IP)
		return ef + ef / 2;
	return ef + Min(ef / 2, ef / 8 + 8);
}

/* The root mean square of what estimates of this search were off */
static inline float
usual_error(const HnswSearch *self)
{
	return self->nerrors > 0 ? (float) sqrt(self->squared_errors / self->nerrors) : 0;
}

/*
 * What a later round does not look at: candidates beyond what is wanted.  In a first
 * round they may be the way there.
 */
static inline float
distance_not_wanted(const HnswSearch *self)
{
	if (isinf(self->most_wanted))
		return self->most_wanted;
	return self->most_wanted + BEYOND_SLACK * usual_error(self);
}

/* Infinite as long as none is too far */
static inline float
distance_too_far(const HnswSearch *self)
{
	if (self->nnearest < self->stop_nearest || self->nerrors < LEAST_ERRORS)
		return get_float4_infinity();
	return self->nearest[0] + STOP_SLACK * usual_error(self);
}

static inline float
distance_to_stop(const HnswSearch *self)
{
	float		too_far = distance_too_far(self);

	return self->later_round ? Min(too_far, distance_not_wanted(self)) : too_far;
}

/*
 * Candidates beyond this one are not let in.  Later rounds keep all that is wanted, for
 * those after them.  What was too far when there was no room may be wanted where nodes without rows
 * use up what waits.
 */
static inline float
limit_of_candidates(const HnswSearch *self)
{
	float		limit;

	if (self->keep_spilled)
		return distance_not_wanted(self);
	if (!self->queued)
		return pool_limit(&self->pool);
	limit = distance_too_far(self);
	return self->ndead > 0 ? limit : Min(limit, self->limit);
}

/*
 * Read a node, and offer its neighbors; again: one that was expanded before.  Returns
 * false where nothing was there, or no rows.
 */
static bool
expand_coded(HnswSearch *self, int kind, HnswRef ref, bool again)
{
	HnswIndex  *index = self->index;
	const HnswLayout *layout = &index->layout[kind];
	HnswNode   *node;
	Buffer		buffer;
	float		distance;
	HnswRef		refs[2 * HNSW_MAX_M];
	float		keys[2 * HNSW_MAX_M];
	float		limit = limit_of_candidates(self);
	int			n = 0;
	int			nlinks;
	bool		live;

	buffer = HnswReadNode(index, ref, kind, BUFFER_LOCK_SHARE, &node);
	if (node == NULL)
		return false;
	live = has_rows(self, node, kind);
	distance = HnswNodeDistance(index, buffer, node, kind, self->value);
	if (unlikely(isnan(distance)))
		distance = FLT_MAX;
	if (!again)
		add_found(self, ref, distance, live, buffer, node, kind);
	if (!isinf(limit))
	{
		self->dropped = true;
		self->least_limit = Min(self->least_limit, limit);
	}

	nlinks = Min(node->nlinks, layout->links);
	for (int first = 0; first < nlinks; first += CODE_SLOTS)
	{
		float		estimates[CODE_SLOTS];
		int			count = Min(nlinks - first, CODE_SLOTS);
		uint32		all = count == 32 ? PG_UINT32_MAX : ((uint32) 1 << count) - 1;
		HnswLink   *links = HnswNodeLinks(node, layout) + first;
		uint32		below = code_estimate(&self->code_query[kind], HnswNodeCode(node, layout, first / CODE_SLOTS), distance,
										  HnswNodeFAdd(node, layout) + first, HnswNodeFMul(node, layout) + first,
										  limit, estimates);

		/* one that is infinite is let in while there is room */
		for (uint32 left = isinf(limit) ? all : below & all; left != 0; left &= left - 1)
		{
			int			i = pg_rightmost_one_pos32(left);

			refs[n] = HnswLinkGet(&links[i]);
			keys[n++] = unlikely(isnan(estimates[i])) ? FLT_MAX : estimates[i];
		}
	}
	UnlockReleaseBuffer(buffer);
	self->expanded++;
	self->distances++;
	self->estimates += nlinks;
	if (unlikely(self->leaving && !live))
		return false;

	if (self->queued)
	{
		offer_to_queue(self, n, refs, keys);
		return live;
	}

	/* without those that were expanded already, and those that earlier ones left no room for */
	for (int i = 0, batch = 0; i < n; i++)
	{
		if (!HnswRefSetHas(&self->seen, refs[i]))
		{
			HnswPrefetchRecent(self->index, refs[i]);
			refs[batch] = refs[i];
			keys[batch++] = keys[i];
		}
		if (batch == POOL_BATCH || (i == n - 1 && batch > 0))
		{
			offer(self, batch, refs, keys);
			batch = 0;
		}
	}
	return live;
}

/* Read a plain node's distance and offer it to the pool. */
static void
offer_plain(HnswSearch *self, int kind, HnswRef ref)
{
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(self->index, ref, kind, BUFFER_LOCK_SHARE, &node);
	float		distance;

	if (node == NULL)
		return;
	distance = HnswNodeDistance(self->index, buffer, node, kind, self->value);
	if (unlikely(isnan(distance)))
		distance = FLT_MAX;
	UnlockReleaseBuffer(buffer);
	self->distances++;
	offer(self, 1, &ref, &distance);
}

static bool
expand_plain(HnswSearch *self, int kind, HnswRef ref, float distance, bool again)
{
	const HnswLayout *layout = &self->index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(self->index, ref, kind, BUFFER_LOCK_SHARE, &node);
	HnswLink	links[2 * HNSW_MAX_M];
	int			nlinks;
	bool		live;

	if (node == NULL)
		return false;
	live = has_rows(self, node, kind);
	if (!again)
		add_found(self, ref, distance, live, buffer, node, kind);
	nlinks = Min(node->nlinks, layout->links);
	memcpy(links, HnswNodeLinks(node, layout), sizeof(HnswLink) * nlinks);
	UnlockReleaseBuffer(buffer);
	self->expanded++;
	if (unlikely(self->leaving && !live))
	{
		/* an iterative scan comes back for what lies behind */
		for (int i = 0; i < nlinks && self->keep_spilled; i++)
		{
			HnswRef		neighbor = HnswLinkGet(&links[i]);

			if (!HnswRefSetHas(&self->seen, neighbor))
				enqueue(self, neighbor, distance);
		}
		return false;
	}

	for (int i = 0; i < nlinks; i++)
	{
		HnswRef		neighbor = HnswLinkGet(&links[i]);

		if (HnswRefSetAdd(&self->seen, neighbor))
			offer_plain(self, kind, neighbor);
	}
	return live;
}

/*
 * The nearest of what was found, as a heap with the farthest first; and how far
 * the estimates of what was expanded are off.
 */
static void
note_distance(HnswSearch *self, float distance, float estimate)
{
	float	   *heap = self->nearest;
	int			at;

	if (estimate != FROM_START)
	{
		self->squared_errors += ((double) distance - estimate) * ((double) distance - estimate);
		self->nerrors++;
	}
	if (self->nnearest < self->stop_nearest)
	{
		at = self->nnearest++;
		for (; at > 0 && heap[(at - 1) / 2] < distance; at = (at - 1) / 2)
			heap[at] = heap[(at - 1) / 2];
	}
	else if (distance < heap[0])
	{
		int			child;

		at = 0;
		for (; (child = 2 * at + 1) < self->stop_nearest; at = child)
		{
			if (child + 1 < self->stop_nearest && heap[child + 1] > heap[child])
				child++;
			if (heap[child] <= distance)
				break;
			heap[at] = heap[child];
		}
	}
	else
		return;
	heap[at] = distance;
}

static void leave_dead(HnswSearch *self);
static bool leads_to_rows(HnswSearch *self, HnswRef ref);

/* Has the search met more nodes without rows than it is to walk through? */
static inline bool
is_among_dead(const HnswSearch *self)
{
	return !self->leaving && !self->unbounded &&
		self->ndead > self->most_dead + (self->judging ? 0 : DEAD_BY_LIVE * self->nwith_rows);
}

/* What is expanded next travels while the present one is worked on. */
static inline void
prefetch(HnswSearch *self, int kind, HnswRef ref, HnswRef *ahead, bool more, HnswRef next)
{
	if (ref != *ahead)
		HnswPrefetchNode(self->index, ref, kind);
	if (more)
	{
		HnswPrefetchNode(self->index, next, kind);
		*ahead = next;
	}
	self->index->prefetched = ref;
}

/* Expand all in the pool.  Nodes without rows leave it, so that they cost no part of ef. */
static void
run_pool(HnswSearch *self, int kind)
{
	Pool	   *pool = &self->pool;
	HnswRef		ahead = HNSW_NO_REF;
	uint64_t	entry;
	HnswRef		ref;

	while (pool_take(pool, &entry, &ref))
	{
		bool		keep;

		CHECK_FOR_INTERRUPTS();
		if (self->judging)
		{
			self->judged = leads_to_rows(self, ref);
			self->leaving = self->nwith_rows > 0 || self->ndead >= self->most_dead;
		}
		if (self->index->space.coded)
		{
			HnswRef		next = HNSW_NO_REF;
			bool		more = pool_peek(pool, &next);

			prefetch(self, kind, ref, &ahead, more, next);
			keep = HnswRefSetAdd(&self->seen, ref) && expand_coded(self, kind, ref, false);
		}
		else
			keep = expand_plain(self, kind, ref, pool_key(entry), false);
		if (keep)
			self->nlive++;
		else
			pool_remove(pool, entry);
		if (unlikely(is_among_dead(self)) && kind == HNSW_BASE && !self->judging)
			leave_dead(self);
	}
	if (self->keep_spilled)
	{
		while (pool_take(pool, &entry, &ref))
			enqueue(self, ref, pool_key(entry));
	}
}

/* Expand the best that waits until it is too far. */
static void
run_queue(HnswSearch *self, int kind)
{
	HnswRef		ahead = HNSW_NO_REF;
	QueueEntry	best;
	QueueEntry	next;

	while (best_queued(self, &best) && !(best.key > distance_to_stop(self)))
	{
		bool		more;

		CHECK_FOR_INTERRUPTS();
		HnswRefSetAdd(&self->seen, best.node);
		HnswRefKeysLower(&self->best, best.node, -get_float4_infinity());
		next.node = HNSW_NO_REF;
		more = best_queued(self, &next);
		prefetch(self, kind, best.node, &ahead, more, next.node);
		if (expand_coded(self, kind, best.node, false))
		{
			self->nlive++;
			note_distance(self, self->found[self->nfound - 1].distance, best.key);
		}
		if (unlikely(is_among_dead(self)))
		{
			leave_dead(self);
			if (self->later_round)
				break;
		}
	}
}

static void
run(HnswSearch *self, int kind)
{
	if (self->queued)
		run_queue(self, kind);
	else
		run_pool(self, kind);
}

/*
 * What is done without in the first round of a scan of coded nodes, to be as fast as
 * one that has no other: all neighbors of what it has expanded are found again, and
 * wait, however far they are.
 */
static void
keep_all(HnswSearch *self, int kind)
{
	uint64		mask = self->seen.mask;

	Assert(self->queued && !self->keep_spilled);
	self->keep_spilled = true;
	self->nqueued = 0;
	self->queue_limit = Max(self->spill_limit / sizeof(QueueEntry), self->queue_limit);
	for (uint64 i = 0; i <= mask; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (self->seen.ref[i] != HNSW_NO_REF)
			expand_coded(self, kind, self->seen.ref[i], true);
	}
	Assert(self->seen.mask == mask);
}

/*
 * A search has come to an end with less than it was asked for, and there were
 * candidates that the pool had no room for.  They are found again from the nodes
 * that lead to them, and this time none is forgotten.
 */
static void
take_up_dropped(HnswSearch *self, int kind, int ef)
{
	if (!self->queued)
	{
		int			n = self->nfound;

		self->keep_spilled = true;
		self->queue_limit = self->spill_limit / sizeof(QueueEntry);
		pool_reset(self, self->pool.capacity);
		HnswRefSetClear(&self->seen);
		for (int i = 0; i < n; i++)
			HnswRefSetAdd(&self->seen, self->found[i].ref);
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			expand_plain(self, kind, self->found[i].ref, 0, true);
		}
		self->ndead = self->nwith_rows = 0;
		self->later_round = true;
		run(self, kind);
	}
	while (self->nlive < ef && HnswSearchMore(self, kind, ef))
		;
	self->keep_spilled = self->goes_on;
}

/* ---------------------------------------------------------------------
 * Nodes without rows
 * ---------------------------------------------------------------------
 *
 * They are passed through, for what lies behind them may be near.  Where all of a
 * region was deleted, and until vacuum has repaired the graph around it, each
 * search that comes there would walk through all of it.  So a search that has met
 * many of them and few others begins anew, from nodes with rows, which it finds
 * from the top of the graph by nodes with rows alone; nodes without lead it no
 * further.  That is a search of the graph of what has rows, as good as one after
 * vacuum but for the links that a repair adds.
 */

/* Does an upper node stand for a node on level 0 that has rows? */
static bool
leads_to_rows(HnswSearch *self, HnswRef ref)
{
	int			kind = HNSW_UPPER;

	for (int level = 0; level <= HNSW_MAX_LEVEL; level++)
	{
		HnswNode   *node;
		Buffer		buffer = HnswReadNode(self->index, ref, kind, BUFFER_LOCK_SHARE, &node);
		bool		rows;

		if (node == NULL)
			return false;
		rows = kind == HNSW_UPPER ? !(node->flags & HNSW_NODE_DEAD) : has_rows(self, node, kind);
		ref = HnswLinkGet(&node->down);
		if (kind == HNSW_BASE || !rows)
		{
			UnlockReleaseBuffer(buffer);
			return rows;
		}
		kind = node->level == 1 ? HNSW_BASE : HNSW_UPPER;
		UnlockReleaseBuffer(buffer);
	}
	return false;
}

/* Down from the entry point by nodes with rows; starts[] gets nodes of level 0. */
static int
scout_down(HnswSearch *self, HnswRef *starts)
{
	HnswSearch *scout = self->scout;
	HnswRef		entry;
	int			level;
	int			n = 1;

	if (scout == NULL)
		scout = self->scout = HnswSearchCreate(self->index, self->context);
	HnswSearchSetValue(scout, self->value);
	scout->ignore_killed = self->ignore_killed;
	scout->judging = true;
	HnswReadEntry(self->index, &entry, &level);
	starts[0] = entry;
	if (level < 0)
		return 0;
	for (; level > 0 && n > 0; level--)
	{
		int			nlive = 0;

		HnswSearchLevel(scout, HNSW_UPPER, starts, n, SCOUT_POOL, 0);
		HnswSearchSort(scout, 0, scout->nfound);
		for (int i = 0; i < scout->nfound && nlive < SCOUT_STARTS; i++)
		{
			if (scout->found[i].live)
				starts[nlive++] = scout->found[i].down;
		}
		n = nlive;
		for (int i = 0; i < scout->nfound && nlive == 0 && n < SCOUT_STARTS; i++)
			starts[n++] = scout->found[i].down;
	}
	self->expanded += scout->expanded;
	scout->expanded = 0;
	return n;
}

/* Offer where a search begins, or begins anew. */
static void
offer_starts(HnswSearch *self, int kind, const HnswRef *starts, int nstarts)
{
	for (int i = 0; i < nstarts; i++)
	{
		if (self->index->space.coded)
		{
			const float nearest = FROM_START;

			offer(self, 1, &starts[i], &nearest);
		}
		else if (HnswRefSetAdd(&self->seen, starts[i]))
			offer_plain(self, kind, starts[i]);
	}
}

/*
 * Go on with nodes that have rows: those found already, and those that a way down
 * by such nodes leads to.  A later round of an iterative scan just ends: its
 * nodes must not be found twice, and the next one goes on.
 */
static void
leave_dead(HnswSearch *self)
{
	HnswRef		down[SCOUT_STARTS];
	HnswRef    *again;
	HnswRef    *dead;
	int			nagain = 0;
	int			ndead = 0;
	int			ndown;
	uint64_t	entry;
	HnswRef		ref;

	self->leaving = true;
	if (!self->queued)
	{
		while (self->keep_spilled && pool_take(&self->pool, &entry, &ref))
			enqueue(self, ref, pool_key(entry));
		pool_reset(self, self->pool.capacity);
	}
	if (self->later_round)
		return;
	if (self->queued)
		reset_queue(self);

	ndown = scout_down(self, down);
	again = MemoryContextAllocHuge(self->context, sizeof(HnswRef) * Max(self->nfound, 1));
	dead = MemoryContextAllocHuge(self->context, sizeof(HnswRef) * Max(self->nfound, 1));
	for (int i = 0; i < self->nfound; i++)
	{
		if (self->found[i].live)
			again[nagain++] = self->found[i].ref;
		else
			dead[ndead++] = self->found[i].ref;
	}
	HnswRefSetClear(&self->seen);
	for (int i = 0; i < ndead; i++)
	{
		HnswRefSetAdd(&self->seen, dead[i]);
		if (self->queued)
			HnswRefKeysLower(&self->best, dead[i], -get_float4_infinity());
	}
	self->nfound = 0;
	self->nlive = 0;
	self->values_used = 0;
	self->nnearest = 0;
	self->nerrors = 0;
	self->squared_errors = 0;
	offer_starts(self, HNSW_BASE, down, ndown);
	offer_starts(self, HNSW_BASE, again, nagain);
	pfree(again);
	pfree(dead);
}

/* A round begins that is to find the ef nearest of what is left. */
static void
begin_nearest(HnswSearch *self, int ef)
{
	self->stop_nearest = self->queued ? stop_nearest(self, ef) : 0;
	self->nnearest = 0;
	if (self->stop_nearest > self->nearest_allocated)
	{
		if (self->nearest != NULL)
			pfree(self->nearest);
		self->nearest_allocated = self->stop_nearest;
		self->nearest = MemoryContextAllocHuge(self->context, sizeof(float) * self->stop_nearest);
	}
}

/*
 * Search one level from `starts`.  self->found holds all expanded nodes
 * afterwards, in no order; everything of an earlier search is gone.
 *
 * ef > 0: end when what is left is too far to be among the ef nearest (coded
 * nodes), not with fewer than ef where there are more; what was not expanded by
 * then waits with the spilled, or is forgotten.  0: expand all of the pool.
 */
void
HnswSearchLevel(HnswSearch *self, int kind, const HnswRef *starts, int nstarts, int capacity, int ef)
{
	Assert((kind == HNSW_BASE || kind == HNSW_UPPER) && nstarts >= 0 && ef >= 0);
	self->queued = self->index->space.coded && ef > 0;
	self->keep_spilled = self->goes_on && !self->index->space.coded;
	self->queue_limit = self->keep_spilled ? self->spill_limit / sizeof(QueueEntry) : QUEUE_PLACES(capacity);
	if (!self->queued)
		pool_reset(self, Max(capacity, nstarts));
	HnswRefSetClear(&self->seen);
	self->nfound = 0;
	self->values_used = 0;
	reset_queue(self);
	self->nlive = 0;
	self->dropped = false;
	self->forgot = false;
	self->least_limit = get_float4_infinity();
	begin_nearest(self, ef);
	self->nerrors = 0;
	self->squared_errors = 0;
	self->leaving = false;
	self->later_round = false;
	self->ndead = self->nwith_rows = 0;
	self->most_dead = self->judging ? SCOUT_MOST_DEAD : MOST_DEAD(capacity);
	offer_starts(self, kind, starts, nstarts);
	run(self, kind);

	/* nothing with rows: what is left is behind the dead, if anywhere */
	if (self->leaving && kind == HNSW_BASE && self->nwith_rows == 0 && self->thorough)
	{
		self->unbounded = true;
		HnswSearchLevel(self, kind, starts, nstarts, capacity, ef);
		self->unbounded = false;
	}
	else if (self->nlive < ef && self->dropped && !self->keep_spilled && !self->leaving)
		take_up_dropped(self, kind, ef);
}

/* Is there anything that HnswSearchMore can go on with? */
bool
HnswSearchHasMore(HnswSearch *self, int kind)
{
	QueueEntry	best;

	self->leaving = false;
	if (self->queued && !self->keep_spilled)
		keep_all(self, kind);
	return best_queued(self, &best) && !(self->queued && best.key > distance_not_wanted(self));
}

/*
 * Go on with the best of the candidates that wait, until ef more are found (coded
 * nodes; a pool is expanded else).  New nodes are added to self->found.  Returns false
 * where nothing is left.
 */
bool
HnswSearchMore(HnswSearch *self, int kind, int ef)
{
	QueueEntry	best;

	self->later_round = true;
	self->ndead = self->nwith_rows = 0;
	begin_nearest(self, ef);
	if (!HnswSearchHasMore(self, kind))
		return false;
	if (!self->queued)
	{
		pool_reset(self, self->pool.capacity);
		while (self->pool.size < self->pool.capacity && best_queued(self, &best))
		{
			queue_pop(self->queue, self->nqueued--);
			offer(self, 1, &best.node, &best.key);
		}
	}
	run(self, kind);
	return true;
}

/* What was found stays known, for HnswSearchPage() to leave it out; what waits is forgotten. */
void
HnswSearchLeaveGraph(HnswSearch *self)
{
	HnswRefSetClear(&self->seen);
	for (int i = 0; i < self->nfound; i++)
		HnswRefSetAdd(&self->seen, self->found[i].ref);
	self->nqueued = 0;
}

/*
 * Find all nodes of level 0 that stand on a page, but for those that were found by the
 * graph.  self->found holds these alone afterwards.  A row that was there when the scan
 * began is in a node that has stood where it is since then.
 */
void
HnswSearchPage(HnswSearch *self, BlockNumber block, BufferAccessStrategy strategy)
{
	HnswIndex  *index = self->index;
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	Buffer		buffer = ReadBufferExtended(index->file.rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	Page		page = BufferGetPage(buffer);
	int			n = 0;

	self->nfound = 0;
	index->file.pages_read++;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (IndexReadKind(&index->file, buffer) == HNSW_PAGE_BASE)
		n = HnswPageSlots(page, layout);
	for (int slot = 0; slot < n; slot++)
	{
		HnswNode   *node = HnswPageNode(page, layout, slot);
		HnswRef		ref = HnswMakeRef(block, slot, node->generation);
		float		distance;

		if (!(node->flags & HNSW_NODE_USED) || (node->flags & HNSW_NODE_REMOVED) || HnswRefSetHas(&self->seen, ref))
			continue;
		distance = HnswNodeDistance(index, buffer, node, HNSW_BASE, self->value);
		self->distances++;
		add_found(self, ref, isnan(distance) ? FLT_MAX : distance, has_rows(self, node, HNSW_BASE), buffer, node, HNSW_BASE);
	}
	UnlockReleaseBuffer(buffer);
}

/* The least estimate of all that HnswSearchMore has yet to find; infinity for nothing */
static float
least_waiting(HnswSearch *self)
{
	float		least = get_float4_infinity();
	QueueEntry	best;

	if (self->queued && !self->keep_spilled)
		least = self->least_limit;
	if (best_queued(self, &best))
		least = Min(least, best.key);
	return least;
}

/*
 * What is nearer comes before all that HnswSearchMore has yet to find, but for
 * candidates that are estimated too far by more than usual; infinity for none.
 */
float
HnswSearchFrontier(HnswSearch *self)
{
	float		least = least_waiting(self);

	return isinf(least) ? least : least - FRONTIER_SLACK * usual_error(self);
}

/* Is all that HnswSearchMore would find not wanted, but for a few?  Not known where nothing waits. */
bool
HnswSearchIsBeyond(HnswSearch *self)
{
	float		least = least_waiting(self);

	return !isinf(least) && !isinf(self->most_wanted) && least > distance_not_wanted(self);
}

#define ST_SORT sort_keys
#define ST_ELEMENT_TYPE HnswSortKey
#define ST_COMPARE(a, b) ((a)->distance != (b)->distance ? ((a)->distance < (b)->distance ? -1 : 1) : (a)->at - (b)->at)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Order found[from..to) by distance.  Keys are sorted, for the records are large. */
void
HnswSearchSort(HnswSearch *self, int from, int to)
{
	int			n = to - from;

	if (n <= 1)
		return;
	if (n > self->sort_allocated)
	{
		if (self->sort_keys != NULL)
		{
			pfree(self->sort_keys);
			pfree(self->sort_spare);
		}
		self->sort_allocated = Max(n, 128);
		self->sort_keys = MemoryContextAllocHuge(self->context, sizeof(HnswSortKey) * self->sort_allocated);
		self->sort_spare = MemoryContextAllocHuge(self->context, sizeof(HnswFound) * self->sort_allocated);
	}
	for (int i = 0; i < n; i++)
	{
		self->sort_keys[i].distance = self->found[from + i].distance;
		self->sort_keys[i].at = i;
	}
	sort_keys(self->sort_keys, n);
	memcpy(self->sort_spare, self->found + from, sizeof(HnswFound) * n);
	for (int i = 0; i < n; i++)
		self->found[from + i] = self->sort_spare[self->sort_keys[i].at];
}

/*
 * From the entry point down to the best nodes of the level above to_level;
 * starts[] gets where to begin on to_level, at most `most` of them.  One is
 * enough for a search whose pool is large: more cost time and find no more.  Returns
 * their number: 0 in an empty index.  *entry_level is -1 there.  When the entry
 * point is not above to_level, it is itself the start, and the caller searches
 * from *entry_level.
 */
int
HnswDescend(HnswSearch *self, int to_level, HnswRef *starts, int most, int *entry_level, HnswRef *entry)
{
	for (int try = 0; try < 100; try++)
	{
		int			level;
		int			n = 1;

		HnswReadEntry(self->index, entry, entry_level);
		level = *entry_level;
		if (level < 0)
			return 0;
		starts[0] = *entry;
		for (; level > to_level; level--)
		{
			HnswSearchLevel(self, HNSW_UPPER, starts, n, 2 * most, 0);
			if (self->nfound == 0)
				break;
			HnswSearchSort(self, 0, self->nfound);
			n = Min(self->nfound, most);
			for (int i = 0; i < n; i++)
				starts[i] = self->found[i].down;
		}
		if (level <= to_level || *entry_level <= to_level)
			return n;
		/* The entry point went away between the two reads: take the new one. */
		CHECK_FOR_INTERRUPTS();
	}
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("could not find the entry point of index \"%s\"", RelationGetRelationName(self->index->file.rel)),
			 errhint("Check it with hnsw_check(), rebuild it with REINDEX.")));
}
