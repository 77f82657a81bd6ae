/*
 * vacuum_repair.c
 *	  Second pass of VACUUM: nodes with links to dead ones get new neighbors.
 *
 * A coded node chooses among its live neighbors and what the dead ones lead to, best
 * estimates first, by the same heuristic as an insert; it searches the graph only
 * where these are fewer than half a list.
 *
 * Plain nodes, and all under inner products, search for what takes the places of the
 * dead, and keep their other links.  Then they offer themselves to their new
 * neighbors, as an insert does.  On plain nodes such an offer takes the place of a
 * link to a dead node, so that many nodes have none left when their turn comes.  Where
 * a few nodes are near to everything, this keeps lists different from each other:
 * chosen anew they would all hold those few, and no link would lead to the others.
 *
 * What a repair needs is read from one page after the other, none locked together
 * with another; then the node's page alone is locked, and the repair begins again
 * where the node's links have changed meanwhile.  Memory of a repair is in
 * VacuumState.node_context, reset for each.
 */
#include "index/hnsw/vacuum.h"

#include <float.h>
#include <math.h>

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* A node that may become a neighbor. */
typedef struct Candidate
{
	HnswRef		ref;
	float		distance;		/* by estimate where a dead node's codes gave it; -FLT_MAX of a present neighbor */
} Candidate;

/* The repair of one node. */
typedef struct Repair
{
	VacuumState *state;
	int			kind;
	HnswRef		self;
	int			level;
	bool		thorough;		/* its live links stay, and it offers itself to its neighbors */

	/* the node as it was read */
	IndexValue	own;
	CodeQuery	query;			/* coded: prepared from own */
	HnswLinkList before;

	/* the live neighbors first, then those found, in order of distance */
	HnswRefSet	known;			/* all of them */
	int			ncandidates;
	int			most_candidates;
	Candidate  *candidates;

	/* those of them that were read, in order of distance */
	int			nneighbors;
	HnswNeighbor *neighbors;

	int			nchosen;
	HnswNeighbor *chosen;
} Repair;

static int
compare_candidates(const void *a, const void *b)
{
	float		x = ((const Candidate *) a)->distance;
	float		y = ((const Candidate *) b)->distance;

	return x < y ? -1 : x > y ? 1 : 0;
}

static void
add_candidate(Repair *repair, HnswRef ref, float distance)
{
	Candidate  *candidate = &repair->candidates[repair->ncandidates++];

	HnswRefSetAdd(&repair->known, ref);
	candidate->ref = ref;
	candidate->distance = distance;
}

/*
 * Add what a dead neighbor of a coded node leads to: live nodes, with estimates
 * of their distance from the node under repair.
 */
static void
add_beyond(Repair *repair, HnswRef dead)
{
	HnswIndex  *index = repair->state->index;
	int			kind = repair->kind;
	const HnswLayout *layout = &index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, dead, kind, BUFFER_LOCK_SHARE, &node);
	float		distance;

	if (node == NULL)
		return;
	distance = HnswNodeDistance(index, buffer, node, kind, &repair->own);
	for (int first = 0; first < node->nlinks; first += CODE_SLOTS)
	{
		float		estimates[CODE_SLOTS];
		int			count = Min(node->nlinks - first, CODE_SLOTS);

		code_estimate(&repair->query, HnswNodeCode(node, layout, first / CODE_SLOTS), distance,
					  HnswNodeFAdd(node, layout) + first, HnswNodeFMul(node, layout) + first, 0, estimates);
		for (int i = 0; i < count && repair->ncandidates < repair->most_candidates; i++)
		{
			HnswRef		ref = HnswLinkGet(&HnswNodeLinks(node, layout)[first + i]);

			if (ref == repair->self || HnswRefSetHas(&repair->state->dead[kind], ref) || HnswRefSetHas(&repair->known, ref))
				continue;
			add_candidate(repair, ref, isnan(estimates[i]) ? FLT_MAX : estimates[i]);
		}
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Read a possible neighbor: exact distance and a copy of its value.  False
 * where it is no longer there.
 */
static bool
read_neighbor(Repair *repair, HnswRef ref, HnswNeighbor *neighbor)
{
	HnswIndex  *index = repair->state->index;
	const IndexValue *own = &repair->own;
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, ref, repair->kind, BUFFER_LOCK_SHARE, &node);

	if (node == NULL)
		return false;
	if (node->flags & HNSW_NODE_DEAD)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	neighbor->ref = ref;
	neighbor->value = HnswCopyValue(index, buffer, node, repair->kind, &neighbor->value_bytes);
	neighbor->scale = node->scale;
	neighbor->occluded = false;
	neighbor->pinned = false;
	neighbor->stays = false;
	UnlockReleaseBuffer(buffer);
	neighbor->distance = HnswStoredDistance(index, own->rotated, own->raw, neighbor->value, neighbor->scale);
	return true;
}

static int
compare_neighbors(const void *a, const void *b)
{
	float		x = ((const HnswNeighbor *) a)->distance;
	float		y = ((const HnswNeighbor *) b)->distance;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Add what a search of the node's level finds, up to `most` candidates in all. */
static void
add_by_search(Repair *repair, int most)
{
	HnswIndex  *index = repair->state->index;
	HnswSearch *search = repair->state->search;
	HnswRef		starts[HNSW_MAX_STARTS];
	HnswRef		entry;
	int			entry_level;
	int			nstarts;

	HnswSearchSetValue(search, &repair->own);
	search->keep_values = false;
	nstarts = HnswDescend(search, repair->level, starts, HNSW_MAX_STARTS, &entry_level, &entry);
	if (nstarts == 0 || entry_level < repair->level)
		return;
	HnswSearchLevel(search, repair->kind, starts, nstarts,
					index->space.coded ? HNSW_POOL(index->ef_construction) : index->ef_construction, 0);
	HnswSearchSort(search, 0, search->nfound);
	for (int i = 0; i < search->nfound && repair->ncandidates < most; i++)
	{
		HnswFound  *found = &search->found[i];

		if ((found->flags & HNSW_NODE_DEAD) || found->ref == repair->self || HnswRefSetHas(&repair->known, found->ref))
			continue;
		add_candidate(repair, found->ref, found->distance);
	}
}

/* Neighbors that stay, and were not chosen, take the places of the last that need not. */
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
 * Read the node: its links, and its value as it is compared.  False where it is
 * gone, or has no link to a dead node.
 */
static bool
read_node(Repair *repair)
{
	HnswIndex  *index = repair->state->index;
	int			kind = repair->kind;
	const HnswLayout *layout = &index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, repair->self, kind, BUFFER_LOCK_SHARE, &node);
	bool		touched = false;

	if (node == NULL)
		return false;
	repair->level = node->level;
	HnswCopyLinks(&repair->before, node, layout);
	for (int i = 0; i < repair->before.n && !touched; i++)
		touched = HnswRefSetHas(&repair->state->dead[kind], HnswLinkGet(&repair->before.links[i]));
	if (!touched)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	HnswLoadValue(index, buffer, node, kind, &repair->own);
	UnlockReleaseBuffer(buffer);

	if (index->space.coded)
		code_query_init(&repair->query, layout->bits, layout->dc, repair->own.rotated,
						(uint8_t *) TYPEALIGN(64, palloc(CODE_TABLE_BYTES(layout->dc) + 63)));
	return true;
}

/*
 * Fill neighbors[]: the live ones, then the nearest of those that the dead lead to
 * or a search finds.
 */
static void
find_neighbors(Repair *repair)
{
	HnswIndex  *index = repair->state->index;
	const HnswRefSet *dead = &repair->state->dead[repair->kind];
	int			links = index->layout[repair->kind].links;
	int			most_read = index->space.coded ? MOST_READ(links) : index->ef_construction;
	int			nlive;

	repair->most_candidates = links * (links + 2);
	repair->neighbors = palloc(sizeof(HnswNeighbor) * (links + most_read));
	repair->candidates = palloc(sizeof(Candidate) * (repair->most_candidates + index->ef_construction));
	HnswRefSetInit(&repair->known, repair->state->node_context);

	for (int i = 0; i < repair->before.n; i++)
	{
		HnswRef		ref = HnswLinkGet(&repair->before.links[i]);
		HnswNeighbor *neighbor = &repair->neighbors[repair->nneighbors];

		if (HnswRefSetHas(dead, ref) || !read_neighbor(repair, ref, neighbor))
			continue;
		neighbor->pinned = HnswBitGet(repair->before.pinned, i);
		neighbor->stays = neighbor->pinned || repair->thorough;
		repair->nneighbors++;
		add_candidate(repair, ref, -FLT_MAX);
	}
	nlive = repair->ncandidates;
	for (int i = 0; i < repair->before.n && index->space.coded; i++)
	{
		HnswRef		ref = HnswLinkGet(&repair->before.links[i]);

		if (HnswRefSetHas(dead, ref))
			add_beyond(repair, ref);
	}
	if (repair->ncandidates < links / 2 || repair->thorough)
		add_by_search(repair, repair->most_candidates + index->ef_construction);
	qsort(repair->candidates + nlive, repair->ncandidates - nlive, sizeof(Candidate), compare_candidates);
	for (int i = nlive; i < repair->ncandidates && i < nlive + most_read; i++)
	{
		if (read_neighbor(repair, repair->candidates[i].ref, &repair->neighbors[repair->nneighbors]))
			repair->nneighbors++;
	}
	Assert(repair->nneighbors <= links + most_read);
	qsort(repair->neighbors, repair->nneighbors, sizeof(HnswNeighbor), compare_neighbors);
}

/*
 * Write the chosen links, where the node still has those that were read.  *same
 * tells whether it has.  Returns false where the node is gone.
 */
static bool
write_chosen(Repair *repair, bool *same)
{
	HnswIndex  *index = repair->state->index;
	const HnswLayout *layout = &index->layout[repair->kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, repair->self, repair->kind, BUFFER_LOCK_EXCLUSIVE, &node);

	if (node == NULL)
		return false;
	*same = HnswSameLinks(&repair->before, node, layout);
	if (*same)
	{
		PageChange	change;

		PageChangeBegin(&change, &repair->state->index->file, repair->state->log);
		node = HnswPageNode(PageChangePage(&change, buffer, false), layout, HnswRefSlot(repair->self));
		HnswSetLinks(index, repair->kind, node, repair->chosen, repair->nchosen, repair->own.rotated);
		PageChangeEnd(&change);
	}
	UnlockReleaseBuffer(buffer);
	return true;
}

/* Offer the node to its new neighbors, as an insert does. */
static void
offer_to_chosen(Repair *repair)
{
	VacuumState *state = repair->state;
	HnswStored	stored;
	CodeQuery	query;

	if (!HnswReadStored(state->index, repair->kind, repair->self, &stored, &query))
		return;
	for (int i = 0; i < repair->nchosen; i++)
		HnswAddLink(state->index, repair->kind, repair->chosen[i].ref, repair->self, &stored, &query,
					HNSW_PIN_NOT, state->log);
}

/*
 * Give one node new neighbors in place of dead ones.  Returns false where the
 * node has changed meanwhile and has to be looked at again.
 */
static bool
repair_node(VacuumState *state, int kind, HnswRef self)
{
	HnswIndex  *index = state->index;
	int			links = index->layout[kind].links;
	Repair		repair;
	bool		same;

	memset(&repair, 0, sizeof(repair));
	repair.state = state;
	repair.kind = kind;
	repair.self = self;
	repair.thorough = !index->space.coded || index->space.metric == METRIC_IP;
	if (!read_node(&repair))
		return true;
	find_neighbors(&repair);
	repair.chosen = palloc(sizeof(HnswNeighbor) * links);
	repair.nchosen = HnswChooseNeighbors(index, index->space.coded ? NULL : repair.own.raw, repair.neighbors,
										 repair.nneighbors, links, repair.chosen);
	keep_present(repair.neighbors, repair.nneighbors, repair.chosen, repair.nchosen);
	if (!write_chosen(&repair, &same))
		return true;
	if (same && repair.thorough)
		offer_to_chosen(&repair);
	return same;
}

void
VacuumRepair(VacuumState *state)
{
	HnswIndex  *index = state->index;
	BlockNumber nblocks = RelationGetNumberOfBlocks(state->rel);
	MemoryContext old = MemoryContextSwitchTo(state->node_context);

	for (BlockNumber block = 1; block < nblocks; block++)
	{
		Buffer		buffer = VacuumReadPage(state, block, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		HnswRef		refs[HNSW_MAX_SLOTS];
		int			nrefs = 0;
		int			kind = IndexReadKind(&index->file, buffer);

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
					touched = HnswRefSetHas(&state->dead[kind], HnswLinkGet(&HnswNodeLinks(node, layout)[i]));
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
