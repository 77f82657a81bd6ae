/*
 * index_file.c
 *	  Pages of an index's file: new ones, and what of those that are read may be
 *	  believed.
 *
 * A disk, a file system or a stray write may leave any byte in a page, and the
 * server's own look at pages (checksums, where they are on, and the head) comes
 * only when one is read from disk.  So whatever a page says is looked at before it
 * becomes a size, an address in memory or a block to be read: the head and special
 * space of a page here, its slots by the access method.
 */
#include "index/index_file.h"

#include "storage/lmgr.h"

/* ---------------------------------------------------------------------
 * New pages
 * --------------------------------------------------------------------- */

void
IndexInitPage(Page page, const IndexForm *form, int kind)
{
	IndexPageOpaque *opaque;

	Assert(kind >= 0 && kind <= form->last_kind);
	PageInit(page, BLCKSZ, sizeof(IndexPageOpaque));
	opaque = IndexPageGetOpaque(page);
	opaque->next_free = InvalidBlockNumber;
	opaque->kind = kind;
	opaque->page_id = form->page_id;
}

/*
 * Add `pages` blocks to the end, next to one another; the first is returned
 * pinned and exclusively locked, all are zero.
 */
Buffer
IndexExtend(Relation rel, ForkNumber fork, int pages)
{
	Buffer		first;

	Assert(pages >= 1);

	/* also for a relation that is new in this transaction: parallel builds extend it */
	LockRelationForExtension(rel, ExclusiveLock);
	first = ReadBufferExtended(rel, fork, P_NEW, RBM_ZERO_AND_LOCK, NULL);
	for (int i = 1; i < pages; i++)
	{
		Buffer		next = ReadBufferExtended(rel, fork, P_NEW, RBM_NORMAL, NULL);

		Assert(BufferGetBlockNumber(next) == BufferGetBlockNumber(first) + i);
		ReleaseBuffer(next);
	}
	UnlockRelationForExtension(rel, ExclusiveLock);
	return first;
}

/* ---------------------------------------------------------------------
 * What may be believed
 * --------------------------------------------------------------------- */

/* Refuse to go on: "what" is a sentence about the block. */
void
IndexCorrupt(Relation rel, const IndexForm *form, BlockNumber block, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is corrupted in block %u", RelationGetRelationName(rel), block),
			 errdetail_internal("%s", what),
			 errhint("%s", form->hint)));
}

/*
 * What is wrong with head and special space of a page that was written before;
 * NULL for nothing.
 */
const char *
IndexPageFault(const IndexForm *form, Page page)
{
	PageHeader	head = (PageHeader) page;

	if (head->pd_special != BLCKSZ - MAXALIGN(sizeof(IndexPageOpaque)) ||
		head->pd_upper > head->pd_special || head->pd_lower > head->pd_upper || head->pd_lower < SizeOfPageHeaderData)
		return psprintf("Its header is not one of a page of %s.", form->name);
	if (IndexPageGetOpaque(page)->page_id != form->page_id || IndexPageGetOpaque(page)->kind > form->last_kind)
		return psprintf("Its special space is not one of a page of %s.", form->name);
	return NULL;
}

/*
 * The kind of a page that the caller has locked, INDEX_PAGE_NEW of one that was
 * never written.  What the page says of itself, and all its slots, can be
 * relied upon afterwards.
 */
int
IndexReadKind(const IndexFile *file, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	const char *fault;
	int			kind;

	Assert(BufferIsLocked(buffer));
	if (PageIsNew(page))
		return INDEX_PAGE_NEW;
	if ((fault = IndexPageFault(file->form, page)) != NULL)
		IndexCorrupt(file->rel, file->form, BufferGetBlockNumber(buffer), fault);
	kind = IndexPageGetOpaque(page)->kind;
	if (kind < INDEX_PAGE_CHUNK)
		file->form->check_slots(file, buffer, kind);
	return kind;
}

/*
 * IndexHasBlock() where the block lies beyond the end that the index had when
 * somebody looked last.
 */
bool
IndexFindBlock(IndexFile *file, BlockNumber block)
{
	file->nblocks = RelationGetNumberOfBlocks(file->rel);
	return block < file->nblocks;
}

/*
 * Refuse a block that the index does not have, of which block `from` speaks, and the
 * meta page.  To read a block that does not exist would be an error anyway, but for the
 * greatest number of all, which means "add one".  The meta page the caller may have
 * locked: to lock it again would be to wait for itself, and no signal ends that.
 */
void
IndexCheckBlock(IndexFile *file, BlockNumber block, BlockNumber from)
{
	if (block == INDEX_META_BLOCK)
		IndexCorrupt(file->rel, file->form, from, "It refers to the meta page where it should to another one.");
	if (!IndexHasBlock(file, block))
		IndexCorrupt(file->rel, file->form, from,
					 psprintf("It refers to block %u, but the index ends before block %u.", block, file->nblocks));
}
