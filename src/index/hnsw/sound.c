/*
 * sound.c
 *	  What of the slots and of the meta page of an hnsw index may be believed, and what
 *	  the code that all access methods share has to know of its pages.
 *
 * index_file.c has looked at the head of a page.  What is looked at here cannot be
 * a size, an address in memory or a block that leads beyond a page, an array or the
 * file.  What then still is wrong (a value, a code, a link to another node) gives
 * wrong answers, which hnsw_check() tells of, but no access beyond a page or an
 * array, no endless loop and no allocation beyond what a sound index asks for.
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
	IndexCorrupt(rel, &HnswForm, block, what);
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
			return "A node has a row without a tid.";
	}
	return NULL;
}

/* The slots of a page that the caller has locked: its count of them, and the nodes in them. */
static void
check_slots(const IndexFile *file, Buffer buffer, int kind)
{
	const HnswIndex *index = (const HnswIndex *) file;
	const HnswLayout *layout = &index->layout[kind];
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	int			n = HnswPageSlots(page, layout);
	const char *fault;

	if (n > layout->slots)
		HnswCorrupt(file->rel, block, psprintf("It has %d slots, more than %d.", n, layout->slots));

	/* a slot is added behind the others, which has to stay before pd_upper */
	if (((PageHeader) page)->pd_lower != SizeOfPageHeaderData + n * layout->slot_bytes ||
		((PageHeader) page)->pd_upper != ((PageHeader) page)->pd_special)
		HnswCorrupt(file->rel, block, "Its slots end within one of them.");
	for (int slot = 0; slot < n; slot++)
	{
		HnswNode   *node = HnswPageNode(page, layout, slot);

		if ((node->flags & HNSW_NODE_USED) && (fault = HnswNodeFault(index, kind, node)) != NULL)
			HnswCorrupt(file->rel, block, fault);
	}
}

/* A slot that is not in use; it may be the first behind those that the page counts. */
static int
free_slot(const IndexFile *file, Page page, int kind)
{
	const HnswLayout *layout = &((const HnswIndex *) file)->layout[kind];
	int			n = HnswPageSlots(page, layout);

	if (n < layout->slots)
		return n;
	for (int i = 0; i < n; i++)
	{
		if (!(HnswPageNode(page, layout, i)->flags & HNSW_NODE_USED))
			return i;
	}
	return -1;
}

static int
tail_pages(const IndexFile *file, int kind)
{
	return ((const HnswIndex *) file)->layout[kind].tail_pages;
}

const IndexForm HnswForm = {
	.name = "an hnsw index",
	.hint = "See what hnsw_check() tells of it, and rebuild it with REINDEX.",
	.page_id = HNSW_PAGE_ID,
	.last_kind = HNSW_PAGE_CENTER,
	.free_room = offsetof(HnswMeta, room),
	.check_slots = check_slots,
	.free_slot = free_slot,
	.tail_pages = tail_pages,
};

/*
 * What is wrong with the constants of an index, as a copy of its meta page has
 * them; NULL for nothing.  The catalogs know element, metric and dimensions; the
 * rest follows from few fields, which have their bounds.
 */
const char *
HnswMetaFault(Relation rel, const HnswMeta *meta)
{
	const IndexOpclass *opclass = IndexGetOpclass(rel);
	int			typmod = TupleDescAttr(rel->rd_att, 0)->atttypmod;
	HnswIndex	index;
	int			exponent;

	if (meta->element != opclass->element || meta->metric != opclass->metric)
		return "It is not of the index's operator class.";
	if (meta->dim < 1 || meta->dim > ValueMostDimensions(opclass->element) || (typmod > 0 && meta->dim != typmod))
		return psprintf("It is of %u dimensions.", meta->dim);
	if (meta->m < HNSW_MIN_M || meta->m > HNSW_MAX_M ||
		meta->ef_construction < HNSW_MIN_EF_CONSTRUCTION || meta->ef_construction > HNSW_MAX_EF_CONSTRUCTION)
		return psprintf("It has %u as m, %u as ef_construction.", meta->m, meta->ef_construction);

	memset(&index, 0, sizeof(index));
	index.space.element = opclass->element;
	index.space.metric = opclass->metric;
	index.m = meta->m;
	index.space.dim = meta->dim;
	index.space.coded = ValueIsCoded(opclass);
	index.space.padded = index.space.coded ? rotation_padded(meta->dim) : 0;
	if (meta->padded != index.space.padded || meta->center_pages != HnswCenterPages(&index))
		return psprintf("It has %u rotated dimensions, %u pages of the centre.", meta->padded, meta->center_pages);
	for (int kind = HNSW_BASE; kind <= HNSW_UPPER; kind++)
	{
		if (!HnswLayoutIsSound(&index, kind, &meta->layout[kind]))
			return kind == HNSW_BASE ? "Nodes of level 0 have a layout that cannot be."
				: "Nodes of the upper levels have a layout that cannot be.";
	}
	if (meta->centred > 1 || (!index.space.coded && !meta->centred) || meta->removed_wait > 1)
		return "A flag is neither true nor false.";
	if (!isfinite(meta->unit) || frexpf(meta->unit, &exponent) != 0.5f || !(meta->center_norm >= 0))
		return "The unit is no power of two, or the centre has no length.";
	return NULL;
}
