/*
 * vacuum.c
 *	  Removal of dead rows, and repair of the graph around dead nodes: the passes.
 *
 * 1. Mark (vacuum_mark.c).  All pages are read once: rows that the heap says are
 *	  dead leave their nodes; nodes without rows are marked DEAD and remembered.
 *	  Inserts that began before may not have seen the marks, so their end is awaited
 *	  (insert.c).  From then on nobody links to a dead node.
 * 2. Repair (vacuum_repair.c).  All pages are read once more: each node with links
 *	  to dead ones gets new neighbors.  Then what hung together through the dead is
 *	  joined anew (vacuum_tree.c), and a dead entry point is replaced.
 * 3. Remove (vacuum_free.c).  The dead are stamped as removed; their slots are freed
 *	  when no scan can hold a reference to them.
 *
 * Locks: one page at a time, but for the meta page and then a page that goes to a
 * free list.
 */
#include "index/hnsw/vacuum.h"
#include "index/hnsw/hnsw.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

Buffer
VacuumReadPage(VacuumState *state, BlockNumber block, int lockmode)
{
	Buffer		buffer;

	vacuum_delay_point_compat();
	buffer = ReadBufferExtended(state->rel, MAIN_FORKNUM, block, RBM_NORMAL, state->strategy);
	LockBuffer(buffer, lockmode);
	return buffer;
}

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

	LockPage(state->rel, INDEX_META_BLOCK, ExclusiveLock);
	HnswReadEntry(index, &entry, &level);
	if (level >= 0 && HnswRefSetHas(&state->dead[level > 0 ? HNSW_UPPER : HNSW_BASE], entry))
	{
		Buffer		buffer = ReadBuffer(state->rel, INDEX_META_BLOCK);
		PageChange	change;
		HnswMeta   *meta;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		PageChangeBegin(&change, &state->index->file, state->log);
		meta = HnswPageGetMeta(PageChangePage(&change, buffer, false));
		meta->entry = state->best_level >= 0 ? state->best : HNSW_NO_REF;
		meta->entry_level = state->best_level;
		PageChangeEnd(&change);
		UnlockReleaseBuffer(buffer);
	}
	UnlockPage(state->rel, INDEX_META_BLOCK, ExclusiveLock);
}

/* Note in the meta page whether removed nodes wait to be freed. */
static void
note_waiting(VacuumState *state)
{
	Buffer		buffer = ReadBuffer(state->rel, INDEX_META_BLOCK);
	uint8		waiting = state->waiting > 0;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (HnswPageGetMeta(BufferGetPage(buffer))->removed_wait != waiting)
	{
		PageChange	change;

		PageChangeBegin(&change, &state->index->file, state->log);
		HnswPageGetMeta(PageChangePage(&change, buffer, false))->removed_wait = waiting;
		PageChangeEnd(&change);
	}
	UnlockReleaseBuffer(buffer);
}

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
	HnswRefSetInit(&state->dead[HNSW_BASE], state->context);
	HnswRefSetInit(&state->dead[HNSW_UPPER], state->context);
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
	VacuumMarkDead(&state, callback, callback_arg);
	if (state.dead[HNSW_BASE].n > 0 || state.dead[HNSW_UPPER].n > 0)
	{
		/* wait for inserts that may link to the dead */
		LockPage(state.rel, INDEX_META_BLOCK, ExclusiveLock);
		UnlockPage(state.rel, INDEX_META_BLOCK, ExclusiveLock);
		VacuumRepair(&state);
		VacuumRepairTree(&state, HNSW_BASE);
		VacuumRepairTree(&state, HNSW_UPPER);
		replace_entry(&state);
		VacuumRemoveDead(&state);
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
		Buffer		buffer = ReadBuffer(info->index, INDEX_META_BLOCK);
		bool		waiting;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		waiting = HnswPageGetMeta(BufferGetPage(buffer))->removed_wait;
		UnlockReleaseBuffer(buffer);
		if (waiting)
		{
			/* nodes that an earlier vacuum could not free */
			BlockNumber nblocks = RelationGetNumberOfBlocks(info->index);

			begin(&state, info, NULL);
			state.no_scans = VacuumNobodyScans();
			for (BlockNumber block = 1; block < nblocks; block++)
				VacuumFreePage(&state, block);
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
