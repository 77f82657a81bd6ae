/*
 * vacuum.c
 *	  Removal of dead rows, and repair of the graph around dead nodes.
 *
 * Pass 1 reads all pages once: rows that the heap says are dead leave their
 * nodes; nodes without rows are marked DEAD and remembered.  Inserts that began
 * before may not have seen the marks, so their end is awaited (insert.c).  From
 * then on nobody links to a dead node.
 *
 * Pass 2 reads all pages once more: each node with links to dead ones gets new
 * neighbours out of those that the dead ones lead to, best estimates first, by
 * the same heuristic as an insert; no search of the graph, but for a node that
 * finds less than half a list of candidates that way.
 *
 * Plain nodes, and all under inner products, search for what takes the places of
 * the dead; their other links stay.  Then they offer themselves to their new
 * neighbours, as an insert does, and on plain nodes take the places of links to
 * the dead there, so that many have none left when their turn comes.  Where a few
 * nodes are near to everything, this keeps lists different from each other: chosen
 * anew they would all hold those few, and no link would lead to the others.
 *
 * The pinned links
 * of the dead tell which live nodes hung together through them (link.c); those
 * are joined to a chain by new pinned links, so that a level stays connected.
 *
 * Pass 3 stamps the dead as removed, with the next transaction id.  A scan under
 * way may hold references to them, and goes on by their links.  Where nobody has
 * a snapshot, or by a later vacuum when every snapshot of that time is gone,
 * their slots are freed:
 * generation + 1, page on the free list.  A reference that is older still (on a
 * standby) is recognised by its generation, and skipped.
 *
 * Locks: one page at a time, but for the meta page and then a page that goes to
 * a free list.  Pass 2 reads what it needs from other pages, one after the
 * other, then locks the node's page alone, and starts again where the node's
 * links have changed meanwhile.
 */
#include "index/hnsw/hnsw.h"

#include <float.h>
#include <math.h>

#include "commands/vacuum.h"
#include "core/vec/distance.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* References, of dead nodes for the most part; an open-addressing hash. */
typedef struct DeadSet
{
	uint64		mask;
	uint64		n;
	HnswRef    *ref;
} DeadSet;

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	Relation	rel;
	HnswIndex  *index;
	HnswSearch *search;
	bool		log;
	BufferAccessStrategy strategy;
	IndexBulkDeleteResult *stats;
	MemoryContext context;
	MemoryContext node_context;
	DeadSet		dead[2];		/* by kind of node */
	bool		no_scans;		/* nobody had a snapshot after the last node was removed */
	int64		waiting;		/* removed nodes that could not be freed yet */
	HnswRef		best;			/* live upper (or base) node of the highest level: entry point to be */
	int			best_level;
} VacuumState;

/* What a repair knows of one possible neighbour. */
typedef struct Candidate
{
	HnswRef		ref;
	float		distance;
} Candidate;

static uint64
hash_place(HnswRef ref)
{
	return (ref * UINT64CONST(0x9E3779B97F4A7C15)) >> 20;
}

static void
dead_init(DeadSet *set, MemoryContext context)
{
	set->mask = 1023;
	set->n = 0;
	set->ref = MemoryContextAllocHuge(context, sizeof(HnswRef) * (set->mask + 1));
	memset(set->ref, 0xFF, sizeof(HnswRef) * (set->mask + 1));
}

static bool
dead_has(const DeadSet *set, HnswRef ref)
{
	uint64		at = hash_place(ref) & set->mask;

	while (set->ref[at] != HNSW_NO_REF)
	{
		if (set->ref[at] == ref)
			return true;
		at = (at + 1) & set->mask;
	}
	return false;
}

static void
dead_add(DeadSet *set, HnswRef ref)
{
	uint64		at;

	if ((set->n + 1) * 2 > set->mask)
	{
		HnswRef    *old = set->ref;
		uint64		size = set->mask + 1;

		set->mask = 2 * size - 1;
		set->ref = MemoryContextAllocHuge(GetMemoryChunkContext(old), sizeof(HnswRef) * 2 * size);
		memset(set->ref, 0xFF, sizeof(HnswRef) * 2 * size);
		for (uint64 i = 0; i < size; i++)
		{
			if (old[i] == HNSW_NO_REF)
				continue;
			at = hash_place(old[i]) & set->mask;
			while (set->ref[at] != HNSW_NO_REF)
				at = (at + 1) & set->mask;
			set->ref[at] = old[i];
		}
		pfree(old);
	}
	at = hash_place(ref) & set->mask;
	while (set->ref[at] != HNSW_NO_REF)
	{
		if (set->ref[at] == ref)
			return;
		at = (at + 1) & set->mask;
	}
	set->ref[at] = ref;
	set->n++;
}

static Buffer
read_page(VacuumState *state, BlockNumber block, int lockmode)
{
	Buffer		buffer;

	vacuum_delay_point_compat();
	buffer = ReadBufferExtended(state->rel, MAIN_FORKNUM, block, RBM_NORMAL, state->strategy);
	LockBuffer(buffer, lockmode);
	return buffer;
}

/* ---------------------------------------------------------------------
 * Free room
 * --------------------------------------------------------------------- */

/* Free the pieces of a value that stands on chunk pages; block `from` speaks of it. */
static void
free_chunks(VacuumState *state, BlockNumber from, ItemPointerData next)
{
	while (ItemPointerIsValid(&next))
	{
		BlockNumber block = ItemPointerGetBlockNumber(&next);
		OffsetNumber offset = ItemPointerGetOffsetNumber(&next);
		Buffer		buffer;
		Page		page;
		HnswChunk  *chunk;
		uint32		bytes;
		HnswChange	change;
		bool		room;

		HnswCheckBlock(state->index, block, from);
		buffer = read_page(state, block, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);
		chunk = HnswFindChunk(page, offset, &bytes);
		if (chunk == NULL)
		{
			UnlockReleaseBuffer(buffer);
			return;
		}
		next = chunk->next;
		HnswChangeBegin(&change, state->rel, state->log);
		page = HnswChangePage(&change, buffer, false);
		PageIndexTupleDeleteNoCompact(page, offset);
		room = PageGetFreeSpace(page) > HNSW_PAGE_ROOM / 2;
		HnswChangeEnd(&change);
		UnlockReleaseBuffer(buffer);
		if (room)
			HnswListPage(state->index, block, HNSW_PAGE_CHUNK, state->log);
	}
}

/* ---------------------------------------------------------------------
 * Pass 1
 * --------------------------------------------------------------------- */

/* Is nobody left who could hold a reference to this removed node? */
static bool
can_free(VacuumState *state, const HnswNode *node)
{
	return state->no_scans || GlobalVisCheckRemovableFullXid(NULL, HnswNodeRemovedAt(node));
}

/*
 * Free what removed nodes of one page no scan can come to any more.  Returns
 * whether there is room on the page; chunks[] gets the values to be freed.
 */
static bool
free_removed(VacuumState *state, Buffer buffer, int kind, ItemPointerData *chunks, int *nchunks)
{
	const HnswLayout *layout = &state->index->layout[kind];
	Page		page = BufferGetPage(buffer);
	int			n = HnswPageSlots(page, layout);
	HnswChange	change;
	bool		freed = false;

	for (int slot = 0; slot < n; slot++)
	{
		HnswNode   *node = HnswPageNode(page, layout, slot);

		if (!(node->flags & HNSW_NODE_USED) || !(node->flags & HNSW_NODE_REMOVED))
			continue;
		if (!can_free(state, node))
		{
			state->waiting++;
			continue;
		}
		if (!freed)
		{
			HnswChangeBegin(&change, state->rel, state->log);
			page = HnswChangePage(&change, buffer, false);
			node = HnswPageNode(page, layout, slot);
			freed = true;
		}
		if (kind == HNSW_BASE && layout->value_form == HNSW_VALUE_CHUNKS)
			chunks[(*nchunks)++] = ((HnswChunkRef *) HnswNodeValue(node, layout))->first;
		node->flags = 0;
		node->nlinks = 0;
		node->ntids = 0;
		node->generation = (node->generation + 1) & HNSW_GENERATION_MASK;
	}
	if (freed)
		HnswChangeEnd(&change);
	return freed;
}

/* Free what can be on one page, and put it on its free list. */
static void
free_page(VacuumState *state, BlockNumber block)
{
	Buffer		buffer = read_page(state, block, BUFFER_LOCK_EXCLUSIVE);
	int			kind = HnswReadKind(state->index, buffer);
	ItemPointerData chunks[HNSW_MAX_SLOTS];
	int			nchunks = 0;
	bool		freed = false;

	if (kind == HNSW_PAGE_BASE || kind == HNSW_PAGE_UPPER)
		freed = free_removed(state, buffer, kind, chunks, &nchunks);
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < nchunks; i++)
		free_chunks(state, block, chunks[i]);
	if (freed)
		HnswListPage(state->index, block, kind, state->log);
}

/* Remove dead rows of one page of level 0; remember nodes left without any. */
static void
remove_rows(VacuumState *state, Buffer buffer, IndexBulkDeleteCallback callback, void *arg)
{
	const HnswLayout *layout = &state->index->layout[HNSW_BASE];
	BlockNumber block = BufferGetBlockNumber(buffer);
	int			n = HnswPageSlots(BufferGetPage(buffer), layout);
	HnswChange	change;
	bool		changed = false;
	Page		page = BufferGetPage(buffer);

	for (int slot = 0; slot < n; slot++)
	{
		HnswNode   *node = HnswPageNode(page, layout, slot);
		int			kept = 0;
		uint16		killed = 0;

		if (!(node->flags & HNSW_NODE_USED) || (node->flags & HNSW_NODE_REMOVED))
			continue;
		for (int t = 0; t < node->ntids; t++)
		{
			if (callback != NULL && callback(&node->tids[t], arg))
			{
				if (!changed)
				{
					/* from here on in the copy that is logged */
					HnswChangeBegin(&change, state->rel, state->log);
					page = HnswChangePage(&change, buffer, false);
					node = HnswPageNode(page, layout, slot);
					changed = true;
				}
				state->stats->tuples_removed += 1;
				continue;
			}
			if (changed)
				node->tids[kept] = node->tids[t];
			if (node->killed & (1 << t))
				killed |= 1 << kept;
			kept++;
		}
		if (kept < node->ntids)
		{
			node->ntids = kept;
			node->killed = killed;
			node->removals++;
		}
		if (kept == 0)
		{
			if (!(node->flags & HNSW_NODE_DEAD))
			{
				if (!changed)
				{
					HnswChangeBegin(&change, state->rel, state->log);
					page = HnswChangePage(&change, buffer, false);
					node = HnswPageNode(page, layout, slot);
					changed = true;
				}
				node->flags |= HNSW_NODE_DEAD;
			}
			dead_add(&state->dead[HNSW_BASE], HnswMakeRef(block, slot, node->generation));
		}
		else
			state->stats->num_index_tuples += kept;
	}
	if (changed)
		HnswChangeEnd(&change);
}

/*
 * Nodes of upper levels die with their base node.  They are found from above
 * through their `down` links, level by level, until no more die.
 */
static bool
remove_upper(VacuumState *state, Buffer buffer)
{
	const HnswLayout *layout = &state->index->layout[HNSW_UPPER];
	BlockNumber block = BufferGetBlockNumber(buffer);
	Page		page = BufferGetPage(buffer);
	int			n = HnswPageSlots(page, layout);
	bool		found = false;

	for (int slot = 0; slot < n; slot++)
	{
		HnswNode   *node = HnswPageNode(page, layout, slot);
		HnswRef		ref = HnswMakeRef(block, slot, node->generation);
		HnswRef		down = HnswLinkGet(&node->down);

		if (!(node->flags & HNSW_NODE_USED) || (node->flags & HNSW_NODE_REMOVED) ||
			dead_has(&state->dead[HNSW_UPPER], ref))
			continue;
		if (!(node->flags & HNSW_NODE_DEAD) &&
			dead_has(&state->dead[node->level == 1 ? HNSW_BASE : HNSW_UPPER], down))
		{
			HnswChange	change;

			HnswChangeBegin(&change, state->rel, state->log);
			HnswPageNode(HnswChangePage(&change, buffer, false), layout, slot)->flags |= HNSW_NODE_DEAD;
			HnswChangeEnd(&change);
			node = HnswPageNode(page, layout, slot);
		}
		if (node->flags & HNSW_NODE_DEAD)
		{
			dead_add(&state->dead[HNSW_UPPER], ref);
			found = true;
		}
	}
	return found;
}

static void
mark_dead(VacuumState *state, IndexBulkDeleteCallback callback, void *arg)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(state->rel);
	bool		again = false;
	BlockNumber *upper = NULL;
	int			nupper = 0;
	int			upper_allocated = 0;

	for (BlockNumber block = 1; block < nblocks; block++)
	{
		Buffer		buffer;
		int			kind;

		free_page(state, block);
		buffer = read_page(state, block, BUFFER_LOCK_EXCLUSIVE);
		kind = HnswReadKind(state->index, buffer);
		if (kind == HNSW_PAGE_BASE)
			remove_rows(state, buffer, callback, arg);
		else if (kind == HNSW_PAGE_UPPER)
		{
			if (nupper == upper_allocated)
			{
				upper_allocated = Max(1024, upper_allocated * 2);
				upper = upper == NULL
					? MemoryContextAllocHuge(state->context, sizeof(BlockNumber) * upper_allocated)
					: repalloc_huge(upper, sizeof(BlockNumber) * upper_allocated);
			}
			upper[nupper++] = block;
		}
		UnlockReleaseBuffer(buffer);
	}
	do
	{
		again = false;
		for (int i = 0; i < nupper; i++)
		{
			Buffer		buffer = read_page(state, upper[i], BUFFER_LOCK_EXCLUSIVE);

			if (HnswReadKind(state->index, buffer) == HNSW_PAGE_UPPER)
				again = remove_upper(state, buffer) || again;
			UnlockReleaseBuffer(buffer);
		}
	} while (again);
}

/* ---------------------------------------------------------------------
 * Pass 2
 * --------------------------------------------------------------------- */

static int
compare_candidates(const void *a, const void *b)
{
	float		x = ((const Candidate *) a)->distance;
	float		y = ((const Candidate *) b)->distance;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * Add what a dead neighbour of a coded node leads to: live nodes, with estimates
 * of their distance from the node under repair.
 */
static int
add_candidates(VacuumState *state, int kind, HnswRef dead, HnswRef self, const HnswValue *own,
			   const CodeQuery *query, DeadSet *known, Candidate *candidates, int n, int most)
{
	HnswIndex  *index = state->index;
	const HnswLayout *layout = &index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, dead, kind, BUFFER_LOCK_SHARE, &node);
	float		distance;

	if (node == NULL)
		return n;
	distance = HnswNodeDistance(index, buffer, node, kind, own);
	for (int first = 0; first < node->nlinks; first += CODE_SLOTS)
	{
		float		estimates[CODE_SLOTS];
		int			count = Min(node->nlinks - first, CODE_SLOTS);

		code_estimate(query, HnswNodeCode(node, layout, first / CODE_SLOTS), distance,
					  HnswNodeFAdd(node, layout) + first, HnswNodeFMul(node, layout) + first, 0, estimates);
		for (int i = 0; i < count && n < most; i++)
		{
			HnswRef		ref = HnswLinkGet(&HnswNodeLinks(node, layout)[first + i]);

			if (ref == self || dead_has(&state->dead[kind], ref) || dead_has(known, ref))
				continue;
			dead_add(known, ref);
			candidates[n].ref = ref;
			candidates[n++].distance = isnan(estimates[i]) ? FLT_MAX : estimates[i];
		}
	}
	UnlockReleaseBuffer(buffer);
	return n;
}

/*
 * Read a possible neighbour: exact distance and a copy of its value.  False
 * where it is no longer there.
 */
static bool
read_neighbor(VacuumState *state, int kind, HnswRef ref, const HnswValue *own, HnswNeighbor *neighbor)
{
	HnswIndex  *index = state->index;
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, ref, kind, BUFFER_LOCK_SHARE, &node);
	const char *value;
	char	   *copy;

	if (node == NULL)
		return false;
	if (node->flags & HNSW_NODE_DEAD)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	value = HnswReadValue(index, buffer, node, kind, &neighbor->value_bytes);
	copy = palloc(neighbor->value_bytes);
	memcpy(copy, value, neighbor->value_bytes);
	neighbor->ref = ref;
	neighbor->value = copy;
	neighbor->scale = node->scale;
	neighbor->occluded = false;
	neighbor->pinned = false;
	neighbor->stays = false;
	UnlockReleaseBuffer(buffer);
	neighbor->distance = HnswStoredDistance(index, own->rotated, own->raw, copy, neighbor->scale);
	return true;
}

static int
compare_neighbors(const void *a, const void *b)
{
	float		x = ((const HnswNeighbor *) a)->distance;
	float		y = ((const HnswNeighbor *) b)->distance;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* By search: live candidates of a node's level. */
static int
search_candidates(VacuumState *state, int kind, int level, HnswRef self, const HnswValue *own,
				  DeadSet *known, Candidate *candidates, int n, int most)
{
	HnswSearch *search = state->search;
	HnswRef		starts[HNSW_MAX_STARTS];
	HnswRef		entry;
	int			entry_level;
	int			nstarts;

	HnswSearchSetValue(search, own);
	search->keep_values = false;
	nstarts = HnswDescend(search, level, starts, HNSW_MAX_STARTS, &entry_level, &entry);
	if (nstarts == 0 || entry_level < level)
		return n;
	HnswSearchLevel(search, kind, starts, nstarts,
					state->index->coded ? HNSW_POOL(state->index->ef_construction) : state->index->ef_construction, 0);
	HnswSearchSort(search, 0);
	for (int i = 0; i < search->nfound && n < most; i++)
	{
		HnswFound  *found = &search->found[i];

		if ((found->flags & HNSW_NODE_DEAD) || found->ref == self || dead_has(known, found->ref))
			continue;
		dead_add(known, found->ref);
		candidates[n].ref = found->ref;
		candidates[n++].distance = found->distance;
	}
	return n;
}

/* Neighbours that stay, and were not chosen, take the places of the last that need not. */
static void
keep_present(const HnswNeighbor *neighbors, int nneighbors, HnswNeighbor *chosen, int n)
{
	int			last = n - 1;

	for (int i = 0; i < nneighbors; i++)
	{
		bool		present = false;

		if (!neighbors[i].stays)
			continue;
		for (int k = 0; k < n && !present; k++)
			present = chosen[k].ref == neighbors[i].ref;
		if (present)
			continue;
		while (last >= 0 && chosen[last].stays)
			last--;
		if (last < 0)
			return;
		chosen[last] = neighbors[i];
		chosen[last--].occluded = true;
	}
}

/* Most candidates whose values are read for the repair of a coded node. */
#define MOST_READ(links) ((links) + (links) / 2)

/*
 * Give one node new neighbours in place of dead ones.  Returns false where the
 * node has changed meanwhile and has to be looked at again.
 */
static bool
repair_node(VacuumState *state, int kind, HnswRef self)
{
	HnswIndex  *index = state->index;
	const HnswLayout *layout = &index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, self, kind, BUFFER_LOCK_SHARE, &node);
	HnswLink	before[2 * HNSW_MAX_M];
	uint8		pinned_before[(2 * HNSW_MAX_M + 7) / 8];
	int			nbefore;
	int			level;
	uint32		bytes;
	const char *value;
	HnswValue	own;
	CodeQuery	query;
	DeadSet		known;			/* the candidates */
	Candidate  *candidates;
	HnswNeighbor *neighbors;
	HnswNeighbor *chosen;
	int			ncandidates = 0;
	int			nneighbors = 0;
	int			nlive = 0;
	int			ndead = 0;
	int			n;
	int			most_candidates = layout->links * (layout->links + 2);
	int			most_read = index->coded ? MOST_READ(layout->links) : index->ef_construction;
	bool		thorough = !index->coded || index->metric == HNSW_IP;
	bool		same;

	if (node == NULL)
		return true;
	nbefore = node->nlinks;
	level = node->level;
	memcpy(before, HnswNodeLinks(node, layout), sizeof(HnswLink) * nbefore);
	memcpy(pinned_before, HnswNodePinned(node, layout), (layout->links + 7) / 8);
	for (int i = 0; i < nbefore; i++)
	{
		if (dead_has(&state->dead[kind], HnswLinkGet(&before[i])))
			ndead++;
	}
	if (ndead == 0)
	{
		UnlockReleaseBuffer(buffer);
		return true;
	}
	memset(&own, 0, sizeof(own));
	value = HnswReadValue(index, buffer, node, kind, &bytes);
	if (index->coded)
	{
		own.rotated = palloc(sizeof(float) * index->padded);
		packed12_load((const uint8 *) value, index->padded, node->scale, own.rotated);
		own.norm = node->norm;
	}
	else
	{
		own.raw = memcpy(palloc(bytes), value, bytes);
		own.raw_bytes = bytes;
	}
	UnlockReleaseBuffer(buffer);

	if (index->coded)
		code_query_init(&query, layout->bits, layout->dc, own.rotated,
						(uint8_t *) TYPEALIGN(64, palloc(CODE_TABLE_BYTES(layout->dc) + 63)));

	neighbors = palloc(sizeof(HnswNeighbor) * (layout->links + most_read));
	dead_init(&known, state->node_context);
	candidates = palloc(sizeof(Candidate) * (most_candidates + index->ef_construction));

	/* the live ones stay candidates at least, then those that the dead lead to */
	for (int i = 0; i < nbefore; i++)
	{
		HnswRef		ref = HnswLinkGet(&before[i]);

		if (!dead_has(&state->dead[kind], ref) && read_neighbor(state, kind, ref, &own, &neighbors[nneighbors]))
		{
			neighbors[nneighbors].pinned = HnswBitGet(pinned_before, i);
			neighbors[nneighbors].stays = neighbors[nneighbors].pinned || thorough;
			nneighbors++;
			dead_add(&known, ref);
			candidates[ncandidates].ref = ref;
			candidates[ncandidates++].distance = -FLT_MAX;
		}
	}
	nlive = ncandidates;
	for (int i = 0; i < nbefore && index->coded; i++)
	{
		HnswRef		ref = HnswLinkGet(&before[i]);

		if (dead_has(&state->dead[kind], ref))
			ncandidates = add_candidates(state, kind, ref, self, &own, &query, &known,
										   candidates, ncandidates, most_candidates);
	}
	if (ncandidates < layout->links / 2 || thorough)
		ncandidates = search_candidates(state, kind, level, self, &own, &known, candidates, ncandidates,
										most_candidates + index->ef_construction);
	qsort(candidates + nlive, ncandidates - nlive, sizeof(Candidate), compare_candidates);
	for (int i = nlive; i < ncandidates && i < nlive + most_read; i++)
	{
		if (read_neighbor(state, kind, candidates[i].ref, &own, &neighbors[nneighbors]))
			nneighbors++;
	}
	qsort(neighbors, nneighbors, sizeof(HnswNeighbor), compare_neighbors);
	chosen = palloc(sizeof(HnswNeighbor) * layout->links);
	n = HnswChooseNeighbors(index, index->coded ? NULL : own.raw, neighbors, nneighbors, layout->links, chosen);
	keep_present(neighbors, nneighbors, chosen, n);

	buffer = HnswReadNode(index, self, kind, BUFFER_LOCK_EXCLUSIVE, &node);
	if (node == NULL)
		return true;
	same = node->nlinks == nbefore && memcmp(before, HnswNodeLinks(node, layout), sizeof(HnswLink) * nbefore) == 0 &&
		memcmp(pinned_before, HnswNodePinned(node, layout), (layout->links + 7) / 8) == 0;
	if (same)
	{
		float	   *floats = index->coded ? palloc(sizeof(float) * index->padded) : NULL;
		uint8_t    *levels = index->coded ? palloc(layout->dc) : NULL;
		HnswChange	change;

		HnswChangeBegin(&change, state->rel, state->log);
		node = HnswPageNode(HnswChangePage(&change, buffer, false), layout, HnswRefSlot(self));
		for (int i = 0; i < n; i++)
		{
			if (index->coded)
				packed12_load((const uint8 *) chosen[i].value, index->padded, chosen[i].scale, floats);
			HnswSetLink(index, kind, node, i, chosen[i].ref, chosen[i].occluded, chosen[i].pinned,
						floats, own.rotated, levels);
		}
		node->nlinks = n;
		HnswChangeEnd(&change);
	}
	UnlockReleaseBuffer(buffer);
	if (same && thorough)
	{
		HnswStored	stored;
		CodeQuery	own_query;

		if (HnswReadStored(index, kind, self, &stored, &own_query))
		{
			for (int i = 0; i < n; i++)
				HnswAddLink(index, kind, chosen[i].ref, self, &stored, &own_query, HNSW_PIN_NOT, state->log);
		}
	}
	return same;
}

static void
repair(VacuumState *state)
{
	HnswIndex  *index = state->index;
	BlockNumber nblocks = RelationGetNumberOfBlocks(state->rel);
	MemoryContext old = MemoryContextSwitchTo(state->node_context);

	for (BlockNumber block = 1; block < nblocks; block++)
	{
		Buffer		buffer = read_page(state, block, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		HnswRef		refs[HNSW_MAX_SLOTS];
		int			nrefs = 0;
		int			kind = HnswReadKind(index, buffer);

		if (kind == HNSW_PAGE_BASE || kind == HNSW_PAGE_UPPER)
		{
			const HnswLayout *layout = &index->layout[kind];
			int			n = HnswPageSlots(page, layout);

			for (int slot = 0; slot < n; slot++)
			{
				HnswNode   *node = HnswPageNode(page, layout, slot);
				HnswRef		ref = HnswMakeRef(block, slot, node->generation);
				bool		touched = false;

				if (!(node->flags & HNSW_NODE_USED) || (node->flags & HNSW_NODE_DEAD))
					continue;
				for (int i = 0; i < node->nlinks && !touched; i++)
					touched = dead_has(&state->dead[kind], HnswLinkGet(&HnswNodeLinks(node, layout)[i]));
				if (touched)
					refs[nrefs++] = ref;
				if (node->level > state->best_level || state->best_level < 0)
				{
					state->best = ref;
					state->best_level = node->level;
				}
			}
		}
		UnlockReleaseBuffer(buffer);
		for (int i = 0; i < nrefs; i++)
		{
			while (!repair_node(state, kind, refs[i]))
			{
				vacuum_delay_point_compat();
				MemoryContextReset(state->node_context);
			}
			MemoryContextReset(state->node_context);
		}
	}
	MemoryContextSwitchTo(old);
}

/* ---------------------------------------------------------------------
 * Spanning tree
 * --------------------------------------------------------------------- */

/* A live node beside a connected group of dead ones. */
typedef struct Border
{
	uint64		group;
	HnswRef		ref;
} Border;

typedef struct Groups
{
	HnswRef    *ref;			/* the dead, in order */
	uint64	   *parent;			/* union-find */
	uint64		n;
	Border	   *border;
	uint64		nborder;
	uint64		allocated;
	MemoryContext context;
} Groups;

static int
compare_refs(const void *a, const void *b)
{
	HnswRef		x = *(const HnswRef *) a;
	HnswRef		y = *(const HnswRef *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

static int
compare_borders(const void *a, const void *b)
{
	const Border *x = (const Border *) a;
	const Border *y = (const Border *) b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return compare_refs(&x->ref, &y->ref);
}

static uint64
find_group(Groups *groups, uint64 i)
{
	while (groups->parent[i] != i)
		i = groups->parent[i] = groups->parent[groups->parent[i]];
	return i;
}

static uint64
find_dead(const Groups *groups, HnswRef ref)
{
	HnswRef    *at = bsearch(&ref, groups->ref, groups->n, sizeof(HnswRef), compare_refs);

	Assert(at != NULL);
	return at - groups->ref;
}

/* Read the pinned links of one dead node. */
static void
read_pinned(VacuumState *state, int kind, Groups *groups, uint64 i)
{
	const HnswLayout *layout = &state->index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(state->index, groups->ref[i], kind, BUFFER_LOCK_SHARE, &node);

	if (node == NULL)
		return;
	for (int k = 0; k < node->nlinks; k++)
	{
		HnswRef		other = HnswLinkGet(&HnswNodeLinks(node, layout)[k]);

		if (!HnswBitGet(HnswNodePinned(node, layout), k))
			continue;
		if (dead_has(&state->dead[kind], other))
		{
			uint64		a = find_group(groups, i);
			uint64		b = find_group(groups, find_dead(groups, other));

			groups->parent[Max(a, b)] = Min(a, b);
			continue;
		}
		if (groups->nborder == groups->allocated)
		{
			groups->allocated = Max(1024, groups->allocated * 2);
			groups->border = groups->border == NULL
				? MemoryContextAllocHuge(groups->context, sizeof(Border) * groups->allocated)
				: repalloc_huge(groups->border, sizeof(Border) * groups->allocated);
		}
		groups->border[groups->nborder].group = i;
		groups->border[groups->nborder++].ref = other;
	}
	UnlockReleaseBuffer(buffer);
}

/* Pin two nodes to each other, or each to one that hangs together with the other. */
static void
join(VacuumState *state, int kind, HnswRef a, HnswRef b)
{
	HnswStored	stored;
	CodeQuery	query;

	if (HnswReadStored(state->index, kind, a, &stored, &query) &&
		!HnswAddLink(state->index, kind, b, a, &stored, &query, HNSW_PIN_ALWAYS, state->log))
		HnswFindParent(state->index, kind, b, a, &stored, &query, HNSW_PIN_ALWAYS, state->log);
	if (HnswReadStored(state->index, kind, b, &stored, &query) &&
		!HnswAddLink(state->index, kind, a, b, &stored, &query, HNSW_PIN_ALWAYS, state->log))
		HnswFindParent(state->index, kind, a, b, &stored, &query, HNSW_PIN_ALWAYS, state->log);
}

/*
 * Live nodes that were connected through dead ones become a chain.  A chain
 * costs each of them two pinned links at most.
 */
static void
repair_tree(VacuumState *state, int kind)
{
	DeadSet    *dead = &state->dead[kind];
	Groups		groups;
	MemoryContext old;

	if (dead->n == 0)
		return;
	memset(&groups, 0, sizeof(groups));
	groups.context = state->context;
	groups.ref = MemoryContextAllocHuge(state->context, sizeof(HnswRef) * dead->n);
	groups.parent = MemoryContextAllocHuge(state->context, sizeof(uint64) * dead->n);
	for (uint64 at = 0; at <= dead->mask; at++)
	{
		if (dead->ref[at] != HNSW_NO_REF)
			groups.ref[groups.n++] = dead->ref[at];
	}
	qsort(groups.ref, groups.n, sizeof(HnswRef), compare_refs);
	for (uint64 i = 0; i < groups.n; i++)
		groups.parent[i] = i;
	for (uint64 i = 0; i < groups.n; i++)
	{
		vacuum_delay_point_compat();
		read_pinned(state, kind, &groups, i);
	}
	for (uint64 i = 0; i < groups.nborder; i++)
		groups.border[i].group = find_group(&groups, groups.border[i].group);
	if (groups.nborder > 1)
		qsort(groups.border, groups.nborder, sizeof(Border), compare_borders);

	old = MemoryContextSwitchTo(state->node_context);
	for (uint64 i = 1; i < groups.nborder; i++)
	{
		if (groups.border[i].group == groups.border[i - 1].group &&
			groups.border[i].ref != groups.border[i - 1].ref)
		{
			vacuum_delay_point_compat();
			join(state, kind, groups.border[i - 1].ref, groups.border[i].ref);
			MemoryContextReset(state->node_context);
		}
	}
	MemoryContextSwitchTo(old);
	pfree(groups.ref);
	pfree(groups.parent);
	if (groups.border != NULL)
		pfree(groups.border);
}

/* ---------------------------------------------------------------------
 * Entry point
 * --------------------------------------------------------------------- */

/*
 * When the entry point is dead, the highest live node takes its place; inserts
 * are kept out, for one of them could be making a higher one.
 */
static void
replace_entry(VacuumState *state)
{
	HnswIndex  *index = state->index;
	HnswRef		entry;
	int			level;

	LockPage(state->rel, HNSW_META_BLOCK, ExclusiveLock);
	HnswReadEntry(index, &entry, &level);
	if (level >= 0 && dead_has(&state->dead[level > 0 ? HNSW_UPPER : HNSW_BASE], entry))
	{
		Buffer		buffer = ReadBuffer(state->rel, HNSW_META_BLOCK);
		HnswChange	change;
		HnswMeta   *meta;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		HnswChangeBegin(&change, state->rel, state->log);
		meta = HnswPageGetMeta(HnswChangePage(&change, buffer, false));
		meta->entry = state->best_level >= 0 ? state->best : HNSW_NO_REF;
		meta->entry_level = state->best_level;
		HnswChangeEnd(&change);
		UnlockReleaseBuffer(buffer);
	}
	UnlockPage(state->rel, HNSW_META_BLOCK, ExclusiveLock);
}

/* ---------------------------------------------------------------------
 * Pass 3
 * --------------------------------------------------------------------- */

static int
compare_blocks(const void *a, const void *b)
{
	BlockNumber x = *(const BlockNumber *) a;
	BlockNumber y = *(const BlockNumber *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Blocks of all dead nodes, in order, each once. */
static BlockNumber *
dead_blocks(VacuumState *state, int64 *nblocks)
{
	uint64		most = state->dead[HNSW_BASE].n + state->dead[HNSW_UPPER].n;
	BlockNumber *blocks = MemoryContextAllocHuge(state->context, sizeof(BlockNumber) * most);
	int64		n = 0;
	int64		unique = 0;

	for (int kind = HNSW_BASE; kind <= HNSW_UPPER; kind++)
	{
		for (uint64 at = 0; at <= state->dead[kind].mask; at++)
		{
			if (state->dead[kind].ref[at] != HNSW_NO_REF)
				blocks[n++] = HnswRefBlock(state->dead[kind].ref[at]);
		}
	}
	qsort(blocks, n, sizeof(BlockNumber), compare_blocks);
	for (int64 i = 0; i < n; i++)
	{
		if (i == 0 || blocks[i] != blocks[unique - 1])
			blocks[unique++] = blocks[i];
	}
	*nblocks = unique;
	return blocks;
}

/* Mark the dead nodes of one page as removed. */
static void
stamp_page(VacuumState *state, BlockNumber block, FullTransactionId xid)
{
	Buffer		buffer = read_page(state, block, BUFFER_LOCK_EXCLUSIVE);
	Page		page = BufferGetPage(buffer);
	int			kind = HnswReadKind(state->index, buffer);

	if (kind == HNSW_PAGE_BASE || kind == HNSW_PAGE_UPPER)
	{
		const HnswLayout *layout = &state->index->layout[kind];
		int			n = HnswPageSlots(page, layout);
		HnswChange	change;
		bool		changed = false;

		for (int slot = 0; slot < n; slot++)
		{
			HnswNode   *node = HnswPageNode(page, layout, slot);

			if (!(node->flags & HNSW_NODE_USED) || !(node->flags & HNSW_NODE_DEAD) ||
				!dead_has(&state->dead[kind], HnswMakeRef(block, slot, node->generation)))
				continue;
			if (!changed)
			{
				HnswChangeBegin(&change, state->rel, state->log);
				page = HnswChangePage(&change, buffer, false);
				node = HnswPageNode(page, layout, slot);
				changed = true;
			}
			node->flags |= HNSW_NODE_REMOVED;
			HnswNodeSetRemovedAt(node, xid);
		}
		if (changed)
			HnswChangeEnd(&change);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Does no other backend hold a snapshot right now?  Then nobody is in the
 * middle of a scan.
 */
static bool
nobody_scans(void)
{
	int			n;

	pfree(GetCurrentVirtualXIDs(InvalidTransactionId, true, false, PROC_IN_VACUUM, &n));
	return n == 0;
}

/* Mark the dead as removed, and free them at once where nobody could mind. */
static void
remove_dead(VacuumState *state)
{
	FullTransactionId xid = ReadNextFullTransactionId();
	int64		n;
	BlockNumber *blocks = dead_blocks(state, &n);

	for (int64 i = 0; i < n; i++)
		stamp_page(state, blocks[i], xid);
	if (nobody_scans())
	{
		state->no_scans = true;
		for (int64 i = 0; i < n; i++)
			free_page(state, blocks[i]);
	}
	else
		state->waiting += state->dead[HNSW_BASE].n + state->dead[HNSW_UPPER].n;
	pfree(blocks);
}

/* Note in the meta page whether removed nodes wait to be freed. */
static void
note_waiting(VacuumState *state)
{
	Buffer		buffer = ReadBuffer(state->rel, HNSW_META_BLOCK);
	uint8		waiting = state->waiting > 0;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (HnswPageGetMeta(BufferGetPage(buffer))->removed_wait != waiting)
	{
		HnswChange	change;

		HnswChangeBegin(&change, state->rel, state->log);
		HnswPageGetMeta(HnswChangePage(&change, buffer, false))->removed_wait = waiting;
		HnswChangeEnd(&change);
	}
	UnlockReleaseBuffer(buffer);
}

/* ---------------------------------------------------------------------
 * Entry points
 * --------------------------------------------------------------------- */

static void
begin(VacuumState *state, IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	memset(state, 0, sizeof(*state));
	state->info = info;
	state->rel = info->index;
	state->context = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum", ALLOCSET_DEFAULT_SIZES);
	state->node_context = AllocSetContextCreate(state->context, "hnsw vacuum node", ALLOCSET_DEFAULT_SIZES);
	state->index = HnswOpen(info->index, state->context);
	state->index->repairing = true;
	state->search = HnswSearchCreate(state->index, state->context);
	state->log = RelationNeedsWAL(info->index);
	state->strategy = info->strategy;
	state->stats = stats;
	state->best = HNSW_NO_REF;
	state->best_level = -1;
	dead_init(&state->dead[HNSW_BASE], state->context);
	dead_init(&state->dead[HNSW_UPPER], state->context);
}

IndexBulkDeleteResult *
hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *callback_arg)
{
	VacuumState state;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;

	begin(&state, info, stats);
	mark_dead(&state, callback, callback_arg);
	if (state.dead[HNSW_BASE].n > 0 || state.dead[HNSW_UPPER].n > 0)
	{
		/* wait for inserts that may link to the dead */
		LockPage(state.rel, HNSW_META_BLOCK, ExclusiveLock);
		UnlockPage(state.rel, HNSW_META_BLOCK, ExclusiveLock);
		repair(&state);
		repair_tree(&state, HNSW_BASE);
		repair_tree(&state, HNSW_UPPER);
		replace_entry(&state);
		remove_dead(&state);
	}
	note_waiting(&state);
	MemoryContextDelete(state.context);
	return stats;
}

IndexBulkDeleteResult *
hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;

	/* no row was removed: the count stays the table's own estimate */
	if (stats == NULL)
	{
		VacuumState state;
		Buffer		buffer = ReadBuffer(info->index, HNSW_META_BLOCK);
		bool		waiting;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		waiting = HnswPageGetMeta(BufferGetPage(buffer))->removed_wait;
		UnlockReleaseBuffer(buffer);
		if (waiting)
		{
			/* nodes that an earlier vacuum could not free */
			BlockNumber nblocks = RelationGetNumberOfBlocks(info->index);

			begin(&state, info, NULL);
			state.no_scans = nobody_scans();
			for (BlockNumber block = 1; block < nblocks; block++)
				free_page(&state, block);
			note_waiting(&state);
			MemoryContextDelete(state.context);
		}

		stats = palloc0(sizeof(IndexBulkDeleteResult));
		stats->num_index_tuples = info->num_heap_tuples;
		stats->estimated_count = true;
	}
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}
