/*
 * page.c
 *	  Pages of an hnsw index: the meta page, slots, and the private copy of an
 *	  index's constants.
 *
 * Lock order of buffers: the meta page, then one page of nodes or chunks, then,
 * under a page of nodes, the tail or chunk pages of its values, one at a time.
 * Nobody asks for the meta page while holding another, nor for two pages of
 * nodes at once.
 */
#include "index/hnsw/hnsw_index.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "vector/vector.h"

/* What rd_amcache holds: one chunk, as the relation cache demands. */
typedef struct HnswCache
{
	HnswMeta	meta;
	float		center[FLEXIBLE_ARRAY_MEMBER];	/* where values are coded; the rotation follows */
} HnswCache;

static inline Size
cache_rotation_offset(const HnswMeta *meta)
{
	return MAXALIGN(offsetof(HnswCache, center) + sizeof(float) * (meta->padded > 0 ? meta->dim : 0));
}

static inline Size
cache_size(const HnswMeta *meta)
{
	return cache_rotation_offset(meta) + (meta->padded > 0 ? rotation_size(meta->dim) : 0);
}

/*
 * Write the meta page and the centre's pages of a new index.  The relation is
 * empty.
 */
void
HnswCreateMeta(Relation rel, ForkNumber fork, const HnswIndex *index, bool log)
{
	int			center_pages = HnswCenterPages(index);

	for (int block = 0; block <= center_pages; block++)
	{
		Buffer		buffer = IndexExtend(rel, fork, 1);
		PageChange	change;
		Page		page;

		Assert(BufferGetBlockNumber(buffer) == block);
		PageChangeBegin(&change, &index->file, log && fork == MAIN_FORKNUM);
		page = PageChangePage(&change, buffer, true);
		if (block == INDEX_META_BLOCK)
		{
			HnswMeta   *meta;

			IndexInitPage(page, &HnswForm, INDEX_PAGE_META);
			meta = HnswPageGetMeta(page);
			memset(meta, 0, sizeof(HnswMeta));
			meta->magic = HNSW_MAGIC;
			meta->version = HNSW_VERSION;
			meta->element = index->space.element;
			meta->metric = index->space.metric;
			meta->centred = !index->space.coded;
			meta->m = index->m;
			meta->ef_construction = index->ef_construction;
			meta->dim = index->space.dim;
			meta->padded = index->space.padded;
			meta->center_pages = center_pages;
			meta->unit = 1.0f;
			meta->seed = index->space.coded ? index->space.rotation->seed : 0;
			meta->entry = HNSW_NO_REF;
			meta->entry_level = -1;
			FreeRoomInit(&meta->room);
			memcpy(meta->layout, index->layout, sizeof(meta->layout));
			((PageHeader) page)->pd_lower = ((char *) meta + sizeof(HnswMeta)) - (char *) page;
		}
		else
		{
			IndexInitPage(page, &HnswForm, HNSW_PAGE_CENTER);
			memset(PageGetContents(page), 0, HNSW_CENTER_FLOATS * sizeof(float));
			((PageHeader) page)->pd_lower = ((PageHeader) page)->pd_upper;
		}
		if (log && fork == INIT_FORKNUM)
			PageChangeEndInit(&change);
		else
			PageChangeEnd(&change);
		UnlockReleaseBuffer(buffer);
	}
}

static void
read_meta(Relation rel, HnswMeta *meta)
{
	Buffer		buffer = ReadBuffer(rel, INDEX_META_BLOCK);
	const char *fault;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(meta, HnswPageGetMeta(BufferGetPage(buffer)), sizeof(HnswMeta));
	UnlockReleaseBuffer(buffer);
	if (meta->magic != HNSW_MAGIC)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" is not a vecdb hnsw index", RelationGetRelationName(rel)),
				 errhint("Rebuild it with REINDEX.")));
	if (meta->version != HNSW_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" has format version %u, but this vecdb reads version %d",
						RelationGetRelationName(rel), meta->version, HNSW_VERSION),
				 errhint("Rebuild it with REINDEX.")));
	if ((fault = HnswMetaFault(rel, meta)) != NULL)
		HnswCorrupt(rel, INDEX_META_BLOCK, fault);
}

/* Read the centre of an index whose meta page says that it has one. */
static void
read_center(Relation rel, const HnswMeta *meta, float *center)
{
	for (uint32 i = 0; i < meta->center_pages; i++)
	{
		Buffer		buffer = ReadBuffer(rel, HNSW_CENTER_BLOCK + i);
		uint32		first = i * HNSW_CENTER_FLOATS;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		memcpy(center + first, PageGetContents(BufferGetPage(buffer)),
			   Min(meta->dim - first, HNSW_CENTER_FLOATS) * sizeof(float));
		UnlockReleaseBuffer(buffer);
	}
	for (uint32 i = 0; i < meta->dim; i++)
	{
		if (!isfinite(center[i]))
			HnswCorrupt(rel, HNSW_CENTER_BLOCK + i / HNSW_CENTER_FLOATS, "The centre has a coordinate that is not finite.");
	}
}

/*
 * Open an index for one operation: a copy of its constants in `context`, safe
 * against relation cache invalidation.
 */
HnswIndex *
HnswOpen(Relation rel, MemoryContext context)
{
	HnswCache  *cache = (HnswCache *) rel->rd_amcache;
	HnswCache  *own = NULL;
	HnswIndex  *index;
	MemoryContext old = MemoryContextSwitchTo(context);
	const HnswMeta *meta;

	if (cache == NULL)
	{
		HnswMeta	fresh;

		read_meta(rel, &fresh);
		own = palloc(cache_size(&fresh));
		own->meta = fresh;
		if (fresh.padded > 0)
		{
			read_center(rel, &fresh, own->center);
			rotation_init((Rotation *) ((char *) own + cache_rotation_offset(&fresh)), fresh.dim, fresh.seed);
		}

		/* Everything but the centre is constant from the beginning */
		if (fresh.centred)
		{
			rel->rd_amcache = MemoryContextAlloc(rel->rd_indexcxt, cache_size(&fresh));
			memcpy(rel->rd_amcache, own, cache_size(&fresh));
		}
		cache = own;
	}
	meta = &cache->meta;

	index = palloc0(sizeof(HnswIndex));
	index->file.rel = rel;
	index->file.form = &HnswForm;
	index->context = context;
	index->space.element = meta->element;
	index->space.metric = meta->metric;
	index->space.code_metric = meta->metric == METRIC_IP ? CODE_IP : CODE_L2;
	index->m = meta->m;
	index->ef_construction = meta->ef_construction;
	index->space.dim = meta->dim;
	index->space.padded = meta->padded;
	index->space.coded = meta->padded > 0;
	index->space.centred = meta->centred;
	index->space.unit = meta->unit;
	index->space.center_norm = meta->center_norm;
	memcpy(index->layout, meta->layout, sizeof(index->layout));
	if (index->space.coded)
	{
		index->space.center = palloc(sizeof(float) * index->space.dim);
		memcpy(index->space.center, cache->center, sizeof(float) * index->space.dim);
		index->space.rotation = memcpy(palloc(rotation_size(index->space.dim)), (const char *) cache + cache_rotation_offset(meta),
								 rotation_size(index->space.dim));
	}
	if (own != NULL)
		pfree(own);
	MemoryContextSwitchTo(old);
	return index;
}

/* Current entry point; HNSW_NO_REF and level -1 in an empty index. */
void
HnswReadEntry(HnswIndex *index, HnswRef *entry, int *level)
{
	Buffer		buffer = ReadBuffer(index->file.rel, INDEX_META_BLOCK);
	HnswMeta   *meta;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	meta = HnswPageGetMeta(BufferGetPage(buffer));
	*entry = meta->entry;
	*level = meta->entry_level;
	UnlockReleaseBuffer(buffer);
	if (*level < -1 || *level > HNSW_MAX_LEVEL)
		HnswCorrupt(index->file.rel, INDEX_META_BLOCK, psprintf("The entry point is of level %d.", *level));
}

/*
 * Make `entry` the entry point if its level is above the present one's, or if
 * the present one is `replaced` (pass HNSW_NO_REF for none).
 */
void
HnswUpdateEntry(HnswIndex *index, HnswRef entry, int level, HnswRef replaced, bool log)
{
	Buffer		buffer = ReadBuffer(index->file.rel, INDEX_META_BLOCK);
	HnswMeta   *meta;

	Assert(entry != HNSW_NO_REF && level >= 0 && level <= HNSW_MAX_LEVEL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	meta = HnswPageGetMeta(BufferGetPage(buffer));
	if (level > meta->entry_level || (replaced != HNSW_NO_REF && meta->entry == replaced))
	{
		PageChange	change;

		PageChangeBegin(&change, &index->file, log);
		meta = HnswPageGetMeta(PageChangePage(&change, buffer, false));
		meta->entry = entry;
		meta->entry_level = level;
		PageChangeEnd(&change);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Set unit and centre of an index that has none yet, and in *index.  When
 * another process was first, take its values instead.
 */
void
HnswSetCenter(HnswIndex *index, const float *center, float unit, bool log)
{
	Relation	rel = index->file.rel;
	HnswMeta	meta;

	Assert(index->space.coded);
	LockPage(rel, HNSW_CENTER_BLOCK, ExclusiveLock);
	read_meta(rel, &meta);
	if (!meta.centred)
	{
		double		sum = 0;
		Buffer		buffer;
		PageChange	change;
		HnswMeta   *stored;

		for (int i = 0; i < index->space.dim; i++)
			sum += (double) center[i] * center[i];

		/* The flag that makes the centre valid is set last. */
		for (uint32 i = 0; i < meta.center_pages; i++)
		{
			uint32		first = i * HNSW_CENTER_FLOATS;
			Page		page;

			buffer = ReadBuffer(rel, HNSW_CENTER_BLOCK + i);
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
			PageChangeBegin(&change, &index->file, log);
			page = PageChangePage(&change, buffer, false);
			memcpy(PageGetContents(page), center + first,
				   Min(meta.dim - first, HNSW_CENTER_FLOATS) * sizeof(float));
			PageChangeEnd(&change);
			UnlockReleaseBuffer(buffer);
		}
		buffer = ReadBuffer(rel, INDEX_META_BLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		PageChangeBegin(&change, &index->file, log);
		stored = HnswPageGetMeta(PageChangePage(&change, buffer, false));
		stored->unit = unit;
		stored->center_norm = (float) sqrt(sum);
		stored->centred = 1;
		meta = *stored;
		PageChangeEnd(&change);
		UnlockReleaseBuffer(buffer);
	}
	UnlockPage(rel, HNSW_CENTER_BLOCK, ExclusiveLock);

	index->space.unit = meta.unit;
	index->space.center_norm = meta.center_norm;
	index->space.centred = true;
	read_center(rel, &meta, index->space.center);
}

/*
 * The node of a reference on a page that the caller has locked, or NULL when
 * the slot was given to another one since.
 *
 * To read it, the head of the slot tells all: a page keeps its kind for ever, and
 * one that was never written has no used slots.  To look at the page's own head
 * and tail as well would be two more lines that are in no cache; so a reference
 * gone wrong may find a node in other bytes, but none that leads a reader beyond
 * its page.  Who means to write looks at all of it.
 */
static HnswNode *
find_node(HnswIndex *index, Buffer buffer, HnswRef ref, int kind, bool write, const char **fault)
{
	const HnswLayout *layout = &index->layout[kind];
	HnswNode   *node = HnswPageNode(BufferGetPage(buffer), layout, HnswRefSlot(ref));

	Assert(BufferIsLocked(buffer));
	Assert(HnswRefSlot(ref) < layout->slots);
	if (!(node->flags & HNSW_NODE_USED) || (node->generation & HNSW_GENERATION_MASK) != HnswRefGeneration(ref))
		return NULL;
	*fault = HnswNodeFault(index, kind, node);
	if (write && *fault == NULL && IndexReadKind(&index->file, buffer) != kind)
		*fault = "A link leads to it, but it is not a page of such nodes.";
	return *fault == NULL ? node : NULL;
}

/*
 * Searches come back to the same pages over and over.  A table remembers where
 * the buffer pool had a block last, which spares the look-up there while it is
 * still true; ReadRecentBuffer checks that, so an entry may be another block's.
 */
#define RECENT_BLOCKS (1 << 17)	/* 512 kB, of which what is used is touched */

static Buffer recent_buffers[RECENT_BLOCKS];

static inline Buffer *
recent_buffer(Relation rel, BlockNumber block)
{
	return &recent_buffers[(block ^ (RelationGetFileNumber(rel) * 0x9E3779B1u)) % RECENT_BLOCKS];
}

static Buffer
read_block(Relation rel, BlockNumber block)
{
	Buffer	   *recent = recent_buffer(rel, block);

	if (*recent != InvalidBuffer && BufferIsLocal(*recent) == RelationUsesLocalBuffers(rel) &&
		ReadRecentBuffer(RelationGetLocator(rel), MAIN_FORKNUM, block, *recent))
		return *recent;
	*recent = ReadBuffer(rel, block);
	return *recent;
}

/*
 * Ask for a node that is likely read next: the head of its buffer, which pin and
 * lock change, and all its lines, into the second level, for a node is kilobytes
 * and seldom in a cache.  Nothing is waited for, nor read from disk.
 */
void
HnswPrefetchNode(HnswIndex *index, HnswRef ref, int kind)
{
	const HnswLayout *layout = &index->layout[kind];
	Buffer		buffer = *recent_buffer(index->file.rel, HnswRefBlock(ref));
	const char *slot;

	if (BufferIsInvalid(buffer) || BufferIsLocal(buffer))
		return;
	__builtin_prefetch(GetBufferDescriptor(buffer - 1), 1, 3);
	slot = (const char *) HnswPageNode(BufferGetPage(buffer), layout, HnswRefSlot(ref));
	for (int at = 0; at < layout->slot_bytes; at += 64)
		__builtin_prefetch(slot + at, 0, 2);
}

/*
 * HnswReadNode() for who goes on where the node, or the reference, is not sound:
 * *fault says why then, and nothing is locked.
 */
Buffer
HnswTryReadNode(HnswIndex *index, HnswRef ref, int kind, int lockmode, HnswNode **node, const char **fault)
{
	Buffer		buffer;

	Assert(kind == HNSW_BASE || kind == HNSW_UPPER);
	Assert(lockmode == BUFFER_LOCK_SHARE || lockmode == BUFFER_LOCK_EXCLUSIVE);
	*node = NULL;
	*fault = NULL;
	if (!IndexHasBlock(&index->file, HnswRefBlock(ref)))
		*fault = "A link leads to it, but the index does not have it.";
	else if (HnswRefSlot(ref) >= index->layout[kind].slots)
		*fault = "A link leads to a slot of it that it does not have.";
	if (unlikely(*fault != NULL))
		return InvalidBuffer;

	/* before the pin, which would wait for the buffer's head alone */
	if (index->prefetched != ref)
		HnswPrefetchNode(index, ref, kind);
	buffer = read_block(index->file.rel, HnswRefBlock(ref));
	index->file.pages_read++;
	LockBuffer(buffer, lockmode);
	*node = find_node(index, buffer, ref, kind, lockmode == BUFFER_LOCK_EXCLUSIVE, fault);
	if (*node == NULL)
	{
		UnlockReleaseBuffer(buffer);
		return InvalidBuffer;
	}
	return buffer;
}

/*
 * Read and lock the page of a node.  *node is NULL (and the buffer invalid,
 * nothing locked) where the reference is stale.
 */
Buffer
HnswReadNode(HnswIndex *index, HnswRef ref, int kind, int lockmode, HnswNode **node)
{
	const char *fault;
	Buffer		buffer = HnswTryReadNode(index, ref, kind, lockmode, node, &fault);

	if (unlikely(fault != NULL))
		HnswCorrupt(index->file.rel, HnswRefBlock(ref), fault);
	return buffer;
}

/* Ask for what HnswPrefetchNode looks at, for a node that may be read soon. */
void
HnswPrefetchRecent(HnswIndex *index, HnswRef ref)
{
	__builtin_prefetch(recent_buffer(index->file.rel, HnswRefBlock(ref)), 0, 2);
}
