/*
 * build_write.c
 *	  A build's last phases for nodes in memory: pages of the upper levels are added,
 *	  then links and codes are written.
 *
 * Nothing is logged here.  A page is locked for one slot at a time, and no other
 * page meanwhile.
 */
#include "index/hnsw/build.h"

#include "core/vec/distance.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Where node `id` is on `level`. */
static HnswRef
level_ref(BuildState *state, BuildNode *node, int level)
{
	const HnswLayout *layout = &state->index->layout[HNSW_UPPER];
	uint32		number;

	if (level == 0)
		return node->ref;
	number = node->upper + level - 1;
	return HnswMakeRef(state->shared->upper_block + (number / layout->slots) * (1 + layout->tail_pages),
					   number % layout->slots, 0);
}

/* Add the pages of the upper levels and set the entry point. */
void
BuildPrepareWrite(BuildState *state)
{
	BuildShared *shared = state->shared;
	const HnswLayout *layout = &state->index->layout[HNSW_UPPER];
	uint32		nupper = pg_atomic_read_u32(&shared->nupper);

	shared->upper_block = RelationGetNumberOfBlocks(state->rel);
	for (uint32 first = 0; first < nupper; first += layout->slots)
	{
		Buffer		buffer = IndexExtend(state->rel, MAIN_FORKNUM, 1 + layout->tail_pages);
		Page		page = BufferGetPage(buffer);

		IndexInitPage(page, &HnswForm, HNSW_PAGE_UPPER);
		((PageHeader) page)->pd_lower += Min(nupper - first, layout->slots) * layout->slot_bytes;
		MarkBufferDirty(buffer);
		UnlockReleaseBuffer(buffer);
	}
	if (shared->entry != NO_NODE)
		HnswUpdateEntry(state->index, level_ref(state, BuildGetNode(state, shared->entry), shared->entry_level),
						shared->entry_level, HNSW_NO_REF, false);
	pg_atomic_write_u32(&shared->next, 0);
	pg_atomic_write_u64(&shared->done, 0);
	shared->nblocks = RelationGetNumberOfBlocks(state->rel);
}

/*
 * The value of a neighbor as floats: from memory where that is exact enough
 * for the difference from the node's own.
 */
static void
load_floats(BuildState *state, uint32 id, const float *own, float *out)
{
	HnswIndex  *index = state->index;
	BuildNode  *node = BuildGetNode(state, id);
	bool		near = true;

	if (state->shared->scalar_bits == 8)
	{
		const BuildValue *value = BuildGetValue(state, id);

		scalar_decode(8, index->space.padded, BuildValueData(state, value), value->scale, out);
		near = dist_l2sq_f32(own, out, index->space.padded) < 0.1 * value->norm2;
	}
	if (near)
	{
		HnswNode   *stored;
		uint32		bytes;
		Buffer		buffer = HnswReadNode(index, node->ref, HNSW_BASE, BUFFER_LOCK_SHARE, &stored);

		if (stored == NULL)
			HnswCorrupt(index->file.rel, HnswRefBlock(node->ref), "A node that was written to it is not there.");
		packed12_load((const uint8 *) HnswReadValue(index, buffer, stored, HNSW_BASE, &bytes), index->space.padded, stored->scale, out);
		UnlockReleaseBuffer(buffer);
	}
}

/* Links and codes of one node on one level, on its page. */
static void
write_links(BuildState *state, BuildNode *node, int level)
{
	HnswIndex  *index = state->index;
	int			kind = level > 0 ? HNSW_UPPER : HNSW_BASE;
	const HnswLayout *layout = &index->layout[kind];
	BuildLinks *links = BuildGetLinks(state, node, level);
	uint8	   *occluded = LinkOccluded(links, layout->links);
	HnswRef		ref = level_ref(state, node, level);
	HnswNode   *image = palloc0(layout->slot_bytes);
	HnswNode   *stored;
	HnswStored	value;
	HnswRef		residual;
	Buffer		buffer;
	float	   *own = NULL;
	float	   *other = NULL;
	uint8_t    *levels = NULL;

	/* the node's own value, from level 0 */
	buffer = HnswReadNode(index, node->ref, HNSW_BASE, BUFFER_LOCK_SHARE, &stored);
	if (stored == NULL)
		HnswCorrupt(index->file.rel, HnswRefBlock(node->ref), "A node that was written to it is not there.");
	memset(&value, 0, sizeof(value));
	residual = HnswLinkGet(&stored->down);
	value.scale = stored->scale;
	value.error = node->error;
	value.norm = stored->norm;
	if (layout->value_form == HNSW_VALUE_CHUNKS)
	{
		value.nbytes = sizeof(IndexChunkRef);
		value.bytes = memcpy(palloc(value.nbytes), HnswNodeValue(stored, &index->layout[HNSW_BASE]), value.nbytes);
	}
	else
	{
		const char *bytes = HnswReadValue(index, buffer, stored, HNSW_BASE, &value.nbytes);

		value.bytes = memcpy(palloc(value.nbytes), bytes, value.nbytes);
	}
	UnlockReleaseBuffer(buffer);

	if (index->space.coded)
	{
		own = palloc(sizeof(float) * index->space.padded);
		other = palloc(sizeof(float) * index->space.padded);
		levels = palloc(layout->dc);
		packed12_load((const uint8 *) value.bytes, index->space.padded, value.scale, own);
		value.floats = own;
	}
	HnswFillNode(index, kind, image, level, &value, level > 0 ? level_ref(state, node, level - 1) : residual, NULL, 0);
	for (int i = 0; i < links->n; i++)
	{
		BuildNode  *neighbor = BuildGetNode(state, links->id[i]);

		if (index->space.coded)
			load_floats(state, links->id[i], own, other);
		HnswSetLink(index, kind, image, i, level_ref(state, neighbor, level), HnswBitGet(occluded, i),
					HnswBitGet(LinkPinned(links, layout->links), i), other, own, levels);
	}
	image->nlinks = links->n;
	if (level == 0)
	{
		image->tids[image->ntids++] = node->tid;
		for (uint32 equal = node->next_equal; equal != NO_NODE;)
		{
			BuildNode  *other_node = BuildGetNode(state, equal);

			image->tids[image->ntids++] = other_node->tid;
			image->flags |= HNSW_NODE_SHARED;
			equal = other_node->next_equal;
		}
	}

	if (level > 0)
		HnswWriteTail(index, kind, HnswRefBlock(ref), &value, false);
	buffer = ReadBuffer(index->file.rel, HnswRefBlock(ref));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	memcpy(HnswPageNode(BufferGetPage(buffer), layout, HnswRefSlot(ref)), image, layout->slot_bytes);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* The slot of a node whose row went to another, and its residual. */
static void
free_merged(BuildState *state, BuildNode *node)
{
	Buffer		buffer = ReadBuffer(state->rel, HnswRefBlock(node->ref));
	HnswNode   *stored;
	HnswRef		residual;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	stored = HnswPageNode(BufferGetPage(buffer), &state->index->layout[HNSW_BASE], HnswRefSlot(node->ref));
	stored->flags = 0;
	residual = HnswLinkGet(&stored->down);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	if (HnswHasResidual(residual))
		ChunksFree(&state->index->file, HnswRefBlock(node->ref), HnswResidualChunk(residual), NULL, false);
}

void
BuildWriteNodes(BuildState *state)
{
	uint32		nnodes = pg_atomic_read_u32(&state->shared->nnodes);
	uint32		from;
	uint32		to;
	MemoryContext old = MemoryContextSwitchTo(state->row_context);

	while (BuildNextBatch(state, nnodes, &from, &to))
	{
		for (uint32 id = from; id < to; id++)
		{
			BuildNode  *node = BuildGetNode(state, id);

			if (node == NULL || !node->present)
				continue;
			if (node->merged)
				free_merged(state, node);
			else
			{
				for (int level = 0; level <= node->level; level++)
					write_links(state, node, level);
			}
			MemoryContextReset(state->row_context);
		}
		pg_atomic_fetch_add_u64(&state->shared->done, to - from);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Pages with free slots (nodes that were merged) go to the free list, one at a
 * time: the meta page is locked for each of them anew.
 */
void
BuildListFreeSlots(HnswIndex *index)
{
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	BlockNumber nblocks = RelationGetNumberOfBlocks(index->file.rel);

	for (BlockNumber block = 1; block < nblocks; block++)
	{
		Buffer		buffer = ReadBuffer(index->file.rel, block);
		Page		page = BufferGetPage(buffer);
		bool		room = false;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		if (IndexReadKind(&index->file, buffer) == HNSW_PAGE_BASE)
		{
			int			n = HnswPageSlots(page, layout);

			room = n < layout->slots;
			for (int i = 0; i < n && !room; i++)
				room = !(HnswPageNode(page, layout, i)->flags & HNSW_NODE_USED);
		}
		UnlockReleaseBuffer(buffer);
		if (room)
			FreeRoomList(&index->file, block, HNSW_PAGE_BASE, false);
	}
}
