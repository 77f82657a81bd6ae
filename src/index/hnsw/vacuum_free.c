/*
 * vacuum_free.c
 *	  Third pass of VACUUM: the dead are stamped as removed, and freed when no scan
 *	  can come to them any more.
 *
 * The stamp is the next transaction id.  Where nobody has a snapshot, or by a later
 * vacuum when every snapshot of that time is gone, the slot is freed: its generation
 * is one more, and its page goes to the free list.  One page is locked at a time, but
 * for the meta page and then a page that goes to a free list.
 */
#include "index/hnsw/vacuum.h"

#include "access/transam.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

/* Is nobody left who could hold a reference to this removed node? */
static bool
can_free(VacuumState *state, const HnswNode *node)
{
	return state->no_scans || GlobalVisCheckRemovableFullXid(NULL, HnswNodeRemovedAt(node));
}

/*
 * Free what removed nodes of one page no scan can come to any more.  Returns
 * whether there is room on the page; chunks[] gets the values and residuals to be freed.
 */
static bool
free_removed(VacuumState *state, Buffer buffer, int kind, ItemPointerData *chunks, int *nchunks)
{
	const HnswLayout *layout = &state->index->layout[kind];
	Page		page = BufferGetPage(buffer);
	int			n = HnswPageSlots(page, layout);
	PageChange	change;
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
			PageChangeBegin(&change, &state->index->file, state->log);
			page = PageChangePage(&change, buffer, false);
			node = HnswPageNode(page, layout, slot);
			freed = true;
		}
		if (kind == HNSW_BASE && layout->value_form == HNSW_VALUE_CHUNKS)
			chunks[(*nchunks)++] = ((IndexChunkRef *) HnswNodeValue(node, layout))->first;
		else if (kind == HNSW_BASE && HnswHasResidual(HnswLinkGet(&node->down)))
			chunks[(*nchunks)++] = HnswResidualChunk(HnswLinkGet(&node->down));
		node->flags = 0;
		node->nlinks = 0;
		node->ntids = 0;
		node->generation = (node->generation + 1) & HNSW_GENERATION_MASK;
	}
	if (freed)
		PageChangeEnd(&change);
	return freed;
}

/* Free what can be on one page, and put it on its free list. */
void
VacuumFreePage(VacuumState *state, BlockNumber block)
{
	Buffer		buffer = VacuumReadPage(state, block, BUFFER_LOCK_EXCLUSIVE);
	int			kind = IndexReadKind(&state->index->file, buffer);
	ItemPointerData chunks[HNSW_MAX_SLOTS];
	int			nchunks = 0;
	bool		freed = false;

	if (kind == HNSW_PAGE_BASE || kind == HNSW_PAGE_UPPER)
		freed = free_removed(state, buffer, kind, chunks, &nchunks);
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < nchunks; i++)
		ChunksFree(&state->index->file, block, chunks[i], state->strategy, state->log);
	if (freed)
		FreeRoomList(&state->index->file, block, kind, state->log);
}

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
	Buffer		buffer = VacuumReadPage(state, block, BUFFER_LOCK_EXCLUSIVE);
	Page		page = BufferGetPage(buffer);
	int			kind = IndexReadKind(&state->index->file, buffer);

	if (kind == HNSW_PAGE_BASE || kind == HNSW_PAGE_UPPER)
	{
		const HnswLayout *layout = &state->index->layout[kind];
		int			n = HnswPageSlots(page, layout);
		PageChange	change;
		bool		changed = false;

		for (int slot = 0; slot < n; slot++)
		{
			HnswNode   *node = HnswPageNode(page, layout, slot);

			if (!(node->flags & HNSW_NODE_USED) || !(node->flags & HNSW_NODE_DEAD) ||
				!HnswRefSetHas(&state->dead[kind], HnswMakeRef(block, slot, node->generation)))
				continue;
			if (!changed)
			{
				PageChangeBegin(&change, &state->index->file, state->log);
				page = PageChangePage(&change, buffer, false);
				node = HnswPageNode(page, layout, slot);
				changed = true;
			}
			node->flags |= HNSW_NODE_REMOVED;
			HnswNodeSetRemovedAt(node, xid);
		}
		if (changed)
			PageChangeEnd(&change);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Does no other backend hold a snapshot right now?  Then nobody is in the
 * middle of a scan.
 */
bool
VacuumNobodyScans(void)
{
	int			n;

	pfree(GetCurrentVirtualXIDs(InvalidTransactionId, true, false, PROC_IN_VACUUM, &n));
	return n == 0;
}

/* Mark the dead as removed, and free them at once where nobody could mind. */
void
VacuumRemoveDead(VacuumState *state)
{
	FullTransactionId xid = ReadNextFullTransactionId();
	int64		n;
	BlockNumber *blocks = dead_blocks(state, &n);

	for (int64 i = 0; i < n; i++)
		stamp_page(state, blocks[i], xid);
	if (VacuumNobodyScans())
	{
		state->no_scans = true;
		for (int64 i = 0; i < n; i++)
			VacuumFreePage(state, blocks[i]);
	}
	else
		state->waiting += state->dead[HNSW_BASE].n + state->dead[HNSW_UPPER].n;
	pfree(blocks);
}
