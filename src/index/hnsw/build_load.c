/*
 * build_load.c
 *	  A build's first phase: each row of the table gets a slot of level 0 and room
 *	  in memory.
 *
 * The slot has the value and the row, and is marked UNLINKED until its links are
 * written.  The page that takes rows is pinned by one participant, which locks it
 * for each row anew.
 */
#include "index/hnsw/build.h"

#include "access/tableam.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Write a value to the next free slot of level 0; returns its reference. */
static HnswRef
write_value(BuildState *state, const HnswStored *stored, ItemPointer tid)
{
	HnswIndex  *index = state->index;
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	HnswStored	on_page = *stored;
	IndexChunkRef chunks;
	HnswRef		residual;
	Page		page;
	HnswNode   *node;
	int			slot;

	if (layout->value_form == HNSW_VALUE_CHUNKS)
	{
		chunks = ChunksWrite(&index->file, stored->bytes, stored->nbytes, false);
		on_page.bytes = (const char *) &chunks;
	}
	residual = HnswWriteResidual(index, stored, false);
	if (BufferIsValid(state->page))
	{
		LockBuffer(state->page, BUFFER_LOCK_EXCLUSIVE);
		if (HnswPageSlots(BufferGetPage(state->page), layout) >= layout->slots)
		{
			UnlockReleaseBuffer(state->page);
			state->page = InvalidBuffer;
		}
	}
	if (!BufferIsValid(state->page))
	{
		state->page = IndexExtend(state->rel, MAIN_FORKNUM, 1 + layout->tail_pages);
		IndexInitPage(BufferGetPage(state->page), &HnswForm, HNSW_PAGE_BASE);
	}
	HnswWriteTail(index, HNSW_BASE, BufferGetBlockNumber(state->page), &on_page, false);
	page = BufferGetPage(state->page);
	slot = HnswPageSlots(page, layout);
	node = HnswPageNode(page, layout, slot);
	node->generation = 0;
	((PageHeader) page)->pd_lower += layout->slot_bytes;
	HnswFillNode(index, HNSW_BASE, node, 0, &on_page, residual, NULL, 0);
	node->flags |= HNSW_NODE_UNLINKED;
	node->tids[0] = *tid;
	node->ntids = 1;
	MarkBufferDirty(state->page);
	LockBuffer(state->page, BUFFER_LOCK_UNLOCK);
	return HnswMakeRef(BufferGetBlockNumber(state->page), slot, 0);
}

static void
load_row(Relation rel, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	BuildState *state = (BuildState *) arg;
	BuildShared *shared = state->shared;
	HnswIndex  *index = state->index;
	MemoryContext old;
	IndexValue	value;

	if (isnull[0])
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(state->row_context);
	if (ValuePrepare(&index->space, index->file.rel, values[0], false, &value))
	{
		HnswStored	stored;
		HnswRef		ref;
		BuildNode  *node;
		BuildValue *in_memory;
		uint32		id;
		dsa_pointer own_room = InvalidDsaPointer;
		bool		own_size = BuildOwnSize(index);

		HnswStore(index, &value, &stored);
		ref = write_value(state, &stored, tid);
		id = BuildTakeNode(state, own_size ? value.raw_bytes : 0, &node, &in_memory);
		if (id != NO_NODE && own_size && state->area != NULL)
		{
			if (BuildSharedFits(state, value.raw_bytes))
				own_room = dsa_allocate_extended(state->area, value.raw_bytes, DSA_ALLOC_NO_OOM);
			if (!DsaPointerIsValid(own_room))
			{
				pg_atomic_write_u32(&shared->full, 1);
				id = NO_NODE;
			}
		}
		if (id == NO_NODE)
			pg_atomic_fetch_add_u64(&shared->rest, 1);
		else
		{
			char	   *room = (char *) (in_memory + 1);

			node->ref = ref;
			node->hash = hash_bytes_extended((const unsigned char *) stored.bytes, stored.nbytes, 0);
			node->tid = *tid;
			node->level = HnswLevelOf(tid, index->m);
			node->error = stored.error;
			node->next_equal = NO_NODE;
			if (index->space.coded)
			{
				in_memory->scale = scalar_encode(shared->scalar_bits, index->space.padded, stored.floats, room);
				if (shared->scalar_bits == 8)
					in_memory->norm2 = (float) scalar_dot8((int8_t *) room, (int8_t *) room, index->space.padded);
				else
					in_memory->norm2 = (float) scalar_dot4((uint8_t *) room, (uint8_t *) room, index->space.padded);
				in_memory->norm2 *= in_memory->scale * in_memory->scale;
			}
			else if (own_size)
			{
				char	   *copy;

				if (state->area == NULL)
					copy = *(char **) room = MemoryContextAlloc(state->context, value.raw_bytes);
				else
				{
					*(dsa_pointer *) room = own_room;
					copy = dsa_get_address(state->area, own_room);
				}
				memcpy(copy, value.raw, value.raw_bytes);
				pg_atomic_fetch_add_u64(&shared->memory, value.raw_bytes + 32);
				pg_atomic_fetch_add_u64(&shared->own_bytes, value.raw_bytes + 32);
			}
			else
				memcpy(room, value.raw, value.raw_bytes);
			if (!index->space.coded)
				in_memory->norm2 = HnswLength(index, value.raw);
			node->present = true;
		}
		state->index_tuples++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->row_context);
}

void
BuildLoad(BuildState *state, ParallelTableScanDesc parallel_scan)
{
	BuildShared *shared = state->shared;
	TableScanDesc scan = NULL;
	double		tuples;

	/* begun here, for one who comes too late to load would have to end it */
	if (parallel_scan != NULL)
		scan = VecdbBeginParallelScan(state->heap, parallel_scan);
	state->page = InvalidBuffer;
	tuples = table_index_build_scan(state->heap, state->rel, state->info, true, state->leader,
									load_row, state, scan);
	if (BufferIsValid(state->page))
		ReleaseBuffer(state->page);
	SpinLockAcquire(&shared->mutex);
	shared->heap_tuples += tuples;
	shared->index_tuples += state->index_tuples;
	if (state->info->ii_BrokenHotChain)
		shared->broken_hot_chain = true;
	SpinLockRelease(&shared->mutex);
}
