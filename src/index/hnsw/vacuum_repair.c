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

/* What a repair knows of one possible neighbor. */
typedef struct Candidate
{
	HnswRef		ref;
	float		distance;
} Candidate;

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

			if (ref == self || DeadHas(&state->dead[kind], ref) || DeadHas(known, ref))
				continue;
			DeadAdd(known, ref);
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

		if ((found->flags & HNSW_NODE_DEAD) || found->ref == self || DeadHas(known, found->ref))
			continue;
		DeadAdd(known, found->ref);
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
		if (DeadHas(&state->dead[kind], HnswLinkGet(&before[i])))
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
	DeadInit(&known, state->node_context);
	candidates = palloc(sizeof(Candidate) * (most_candidates + index->ef_construction));

	/* the live ones stay candidates at least, then those that the dead lead to */
	for (int i = 0; i < nbefore; i++)
	{
		HnswRef		ref = HnswLinkGet(&before[i]);

		if (!DeadHas(&state->dead[kind], ref) && read_neighbor(state, kind, ref, &own, &neighbors[nneighbors]))
		{
			neighbors[nneighbors].pinned = HnswBitGet(pinned_before, i);
			neighbors[nneighbors].stays = neighbors[nneighbors].pinned || thorough;
			nneighbors++;
			DeadAdd(&known, ref);
			candidates[ncandidates].ref = ref;
			candidates[ncandidates++].distance = -FLT_MAX;
		}
	}
	nlive = ncandidates;
	for (int i = 0; i < nbefore && index->coded; i++)
	{
		HnswRef		ref = HnswLinkGet(&before[i]);

		if (DeadHas(&state->dead[kind], ref))
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
					touched = DeadHas(&state->dead[kind], HnswLinkGet(&HnswNodeLinks(node, layout)[i]));
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
