/*
 * sound.c
 *	  What of a page may be believed.
 *
 * A disk, a file system or a stray write may leave any byte in a page, and the
 * server's own look at pages (checksums, where they are on, and the head) comes
 * only when one is read from disk.  So whatever a page says is looked at here
 * before it becomes a size, a place in memory or a block to be read.  What then
 * still is wrong (a value, a code, a link to another node) gives wrong answers,
 * which hnsw_check() tells of, but no access beyond a page or an array, no
 * endless loop and no allocation beyond what a sound index asks for.
 */
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_index.h"

#include <math.h>

#include "storage/bufpage.h"
#include "vector/vector.h"

/* Refuse to go on: "what" is a sentence about the block. */
void
HnswCorrupt(Relation rel, BlockNumber block, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is corrupted in block %u", RelationGetRelationName(rel), block),
			 errdetail_internal("%s", what),
			 errhint("See what hnsw_check() tells of it, and rebuild it with REINDEX.")));
}

/*
 * What is wrong with head and special space of a page that was written before;
 * NULL for nothing.
 */
const char *
HnswPageFault(Page page)
{
	PageHeader	head = (PageHeader) page;

	if (head->pd_special != BLCKSZ - MAXALIGN(sizeof(HnswPageOpaque)) ||
		head->pd_upper > head->pd_special || head->pd_lower > head->pd_upper || head->pd_lower < SizeOfPageHeaderData)
		return "Its header is not one of a page of an hnsw index.";
	if (HnswPageGetOpaque(page)->page_id != HNSW_PAGE_ID || HnswPageGetOpaque(page)->kind > HNSW_PAGE_CENTER)
		return "Its special space is not one of a page of an hnsw index.";
	return NULL;
}

/* What is wrong with the head of a node in use; NULL for nothing. */
const char *
HnswNodeFault(const HnswIndex *index, int kind, const HnswNode *node)
{
	if ((node->level == 0) != (kind == HNSW_BASE) || node->level > HNSW_MAX_LEVEL)
		return psprintf("A node is of level %d, which cannot stand there.", node->level);
	if (node->nlinks > index->layout[kind].links)
		return psprintf("A node has %d links, more than %d.", node->nlinks, index->layout[kind].links);
	if (node->ntids > HNSW_TIDS)
		return psprintf("A node has %d rows, more than %d.", node->ntids, HNSW_TIDS);
	for (int t = 0; t < node->ntids; t++)
	{
		if (!ItemPointerIsValid(&node->tids[t]) || !BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(&node->tids[t])))
			return "A node has a row without a place.";
	}
	return NULL;
}

/*
 * The kind of a page that the caller has locked, HNSW_PAGE_NEW of one that was
 * never written.  What the page says of itself, and all its nodes, can be
 * relied upon afterwards.
 */
int
HnswReadKind(const HnswIndex *index, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	const char *fault;
	int			kind;

	if (PageIsNew(page))
		return HNSW_PAGE_NEW;
	if ((fault = HnswPageFault(page)) != NULL)
		HnswCorrupt(index->rel, block, fault);
	kind = HnswPageGetOpaque(page)->kind;
	if (kind == HNSW_PAGE_BASE || kind == HNSW_PAGE_UPPER)
	{
		const HnswLayout *layout = &index->layout[kind];
		int			n = HnswPageSlots(page, layout);

		if (n > layout->slots)
			HnswCorrupt(index->rel, block, psprintf("It has %d slots, more than %d.", n, layout->slots));

		/* a slot is added behind the others, which has to stay before pd_upper */
		if (((PageHeader) page)->pd_lower != SizeOfPageHeaderData + n * layout->slot_bytes ||
			((PageHeader) page)->pd_upper != ((PageHeader) page)->pd_special)
			HnswCorrupt(index->rel, block, "Its slots end within one of them.");
		for (int slot = 0; slot < n; slot++)
		{
			HnswNode   *node = HnswPageNode(page, layout, slot);

			if ((node->flags & HNSW_NODE_USED) && (fault = HnswNodeFault(index, kind, node)) != NULL)
				HnswCorrupt(index->rel, block, fault);
		}
	}
	return kind;
}

/*
 * HnswHasBlock() where the block lies beyond the end that the index had when
 * somebody looked last.
 */
bool
HnswFindBlock(HnswIndex *index, BlockNumber block)
{
	index->nblocks = RelationGetNumberOfBlocks(index->rel);
	return block < index->nblocks;
}

/*
 * Refuse a block that the index does not have, of which block `from` speaks.  To
 * read one that does not exist would be an error anyway, but for the greatest
 * number of all, which means "add one".
 */
void
HnswCheckBlock(HnswIndex *index, BlockNumber block, BlockNumber from)
{
	if (!HnswHasBlock(index, block))
		HnswCorrupt(index->rel, from,
					psprintf("It refers to block %u, but the index ends before block %u.", block, index->nblocks));
}

/*
 * A piece of a value, item `place` of a page that the caller has locked; NULL
 * where there is none.  *bytes, at least 1, are its own.
 */
HnswChunk *
HnswFindChunk(Page page, OffsetNumber place, uint32 *bytes)
{
	ItemId		item;
	uint32		offset;
	uint32		length;

	if (PageIsNew(page) || HnswPageFault(page) != NULL || HnswPageGetOpaque(page)->kind != HNSW_PAGE_CHUNK ||
		place < FirstOffsetNumber || place > PageGetMaxOffsetNumber(page))
		return NULL;
	item = PageGetItemId(page, place);
	if (!ItemIdIsNormal(item))
		return NULL;
	offset = ItemIdGetOffset(item);
	length = ItemIdGetLength(item);
	if (offset < ((PageHeader) page)->pd_upper || offset != MAXALIGN(offset) ||
		offset + length > ((PageHeader) page)->pd_special || length <= offsetof(HnswChunk, bytes))
		return NULL;
	*bytes = length - offsetof(HnswChunk, bytes);
	return (HnswChunk *) PageGetItem(page, item);
}

/*
 * What is wrong with the constants of an index, as a copy of its meta page has
 * them; NULL for nothing.  The catalogs know element, metric and dimensions; the
 * rest follows from few fields, which have their bounds.
 */
const char *
HnswMetaFault(Relation rel, const HnswMeta *meta)
{
	const HnswOpclass *opclass = HnswGetOpclass(rel);
	int			typmod = TupleDescAttr(rel->rd_att, 0)->atttypmod;
	HnswIndex	index;
	int			exponent;

	if (meta->element != opclass->element || meta->metric != opclass->metric)
		return "It is not of the index's operator class.";
	if (meta->dim < 1 || meta->dim > HnswMostDimensions(opclass->element) || (typmod > 0 && meta->dim != typmod))
		return psprintf("It is of %u dimensions.", meta->dim);
	if (meta->m < HNSW_MIN_M || meta->m > HNSW_MAX_M ||
		meta->ef_construction < HNSW_MIN_EF_CONSTRUCTION || meta->ef_construction > HNSW_MAX_EF_CONSTRUCTION)
		return psprintf("It has %u as m, %u as ef_construction.", meta->m, meta->ef_construction);

	memset(&index, 0, sizeof(index));
	index.element = opclass->element;
	index.metric = opclass->metric;
	index.m = meta->m;
	index.dim = meta->dim;
	index.coded = HnswIsCoded(opclass);
	index.padded = index.coded ? rotation_padded(meta->dim) : 0;
	if (meta->padded != index.padded || meta->center_pages != HnswCenterPages(&index))
		return psprintf("It has %u rotated dimensions, %u pages of the centre.", meta->padded, meta->center_pages);
	for (int kind = HNSW_BASE; kind <= HNSW_UPPER; kind++)
	{
		if (!HnswLayoutIsSound(&index, kind, &meta->layout[kind]))
			return kind == HNSW_BASE ? "Nodes of level 0 have a layout that cannot be."
				: "Nodes of the upper levels have a layout that cannot be.";
	}
	if (meta->centred > 1 || (!index.coded && !meta->centred) || meta->removed_wait > 1)
		return "A flag is neither true nor false.";
	if (!isfinite(meta->unit) || frexpf(meta->unit, &exponent) != 0.5f || !(meta->center_norm >= 0))
		return "The unit is no power of two, or the centre has no length.";
	return NULL;
}
