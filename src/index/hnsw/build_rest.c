/*
 * build_rest.c
 *	  A build's phase for values that maintenance_work_mem had no room for: their slots
 *	  are linked on pages, as an insert does, but not logged.
 */
#include "index/hnsw/build.h"

#include "commands/progress.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

void
BuildLinkRest(BuildState *state)
{
	HnswIndex  *index = state->index;
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	HnswSearch *search = HnswSearchCreate(index, state->context);
	MemoryContext old = MemoryContextSwitchTo(state->row_context);
	uint32		from;
	uint32		to;

	while (BuildNextBatch(state, state->shared->nblocks, &from, &to))
	{
		for (BlockNumber block = Max(from, 1); block < to; block++)
		{
			for (int slot = 0; slot < layout->slots; slot++)
			{
				Buffer		buffer = ReadBuffer(state->rel, block);
				Page		page;
				HnswNode   *node;
				HnswRef		ref = HNSW_NO_REF;
				IndexValue	value;
				ItemPointerData tid;

				LockBuffer(buffer, BUFFER_LOCK_SHARE);
				page = BufferGetPage(buffer);
				if (IndexReadKind(&index->file, buffer) == HNSW_PAGE_BASE && slot < HnswPageSlots(page, layout))
				{
					node = HnswPageNode(page, layout, slot);
					if (node->flags & HNSW_NODE_UNLINKED)
					{
						if (!(node->flags & HNSW_NODE_USED) || node->ntids < 1)
							HnswCorrupt(state->rel, block, "A node that waits for its links is not in use, or has no row.");
						ref = HnswMakeRef(block, slot, node->generation);
						tid = node->tids[0];
						HnswLoadValue(index, buffer, node, HNSW_BASE, &value);
					}
				}
				UnlockReleaseBuffer(buffer);
				if (ref == HNSW_NO_REF)
					continue;
				CHECK_FOR_INTERRUPTS();
				HnswLinkNode(index, search, &value, &tid, ref, false);
				MemoryContextReset(state->row_context);
				pg_atomic_fetch_add_u64(&state->shared->done, 1);
				if (state->leader)
					pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, pg_atomic_read_u64(&state->shared->done));
			}
		}
	}
	MemoryContextSwitchTo(old);
}
