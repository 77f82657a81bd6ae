/*
 * vacuum_mark.c
 *	  First pass of VACUUM: dead rows leave their nodes, and nodes without rows are
 *	  marked DEAD.
 *
 * One page is locked at a time, exclusively.  What earlier vacuums could not free
 * is freed on the way.
 */
#include "index/hnsw/vacuum.h"

#include "utils/memutils.h"

/* Remove dead rows of one page of level 0; remember nodes left without any. */
static void
remove_rows(VacuumState *state, Buffer buffer, IndexBulkDeleteCallback callback, void *arg)
{
	const HnswLayout *layout = &state->index->layout[HNSW_BASE];
	BlockNumber block = BufferGetBlockNumber(buffer);
	int			n = HnswPageSlots(BufferGetPage(buffer), layout);
	PageChange	change;
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
					PageChangeBegin(&change, &state->index->file, state->log);
					page = PageChangePage(&change, buffer, false);
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
					PageChangeBegin(&change, &state->index->file, state->log);
					page = PageChangePage(&change, buffer, false);
					node = HnswPageNode(page, layout, slot);
					changed = true;
				}
				node->flags |= HNSW_NODE_DEAD;
			}
			HnswRefSetAdd(&state->dead[HNSW_BASE], HnswMakeRef(block, slot, node->generation));
		}
		else
			state->stats->num_index_tuples += kept;
	}
	if (changed)
		PageChangeEnd(&change);
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
			HnswRefSetHas(&state->dead[HNSW_UPPER], ref))
			continue;
		if (!(node->flags & HNSW_NODE_DEAD) &&
			HnswRefSetHas(&state->dead[node->level == 1 ? HNSW_BASE : HNSW_UPPER], down))
		{
			PageChange	change;

			PageChangeBegin(&change, &state->index->file, state->log);
			HnswPageNode(PageChangePage(&change, buffer, false), layout, slot)->flags |= HNSW_NODE_DEAD;
			PageChangeEnd(&change);
			node = HnswPageNode(page, layout, slot);
		}
		if (node->flags & HNSW_NODE_DEAD)
		{
			HnswRefSetAdd(&state->dead[HNSW_UPPER], ref);
			found = true;
		}
	}
	return found;
}

void
VacuumMarkDead(VacuumState *state, IndexBulkDeleteCallback callback, void *arg)
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

		VacuumFreePage(state, block);
		buffer = VacuumReadPage(state, block, BUFFER_LOCK_EXCLUSIVE);
		kind = IndexReadKind(&state->index->file, buffer);
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
			Buffer		buffer = VacuumReadPage(state, upper[i], BUFFER_LOCK_EXCLUSIVE);

			if (IndexReadKind(&state->index->file, buffer) == HNSW_PAGE_UPPER)
				again = remove_upper(state, buffer) || again;
			UnlockReleaseBuffer(buffer);
		}
	} while (again);
}
