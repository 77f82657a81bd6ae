/*
 * chunk.c
 *	  Bytes that do not stand in a slot: chunks, and tails.
 */
#include "index/chunk.h"

#include "commands/vacuum.h"
#include "index/free_room.h"
#include "index/page_change.h"
#include "miscadmin.h"

/* ---------------------------------------------------------------------
 * Chunks
 * --------------------------------------------------------------------- */

/* Most bytes of one chunk: it then fills a page */
#define MOST_BYTES ((INDEX_PAGE_ROOM - sizeof(ItemIdData) - offsetof(IndexChunk, bytes)) & ~7u)

/*
 * A piece of a value, item `offset` of a page that the caller has locked; NULL
 * where there is none.  *bytes, at least 1, are its own.
 */
static IndexChunk *
find_chunk(const IndexFile *file, Page page, OffsetNumber offset, uint32 *bytes)
{
	ItemId		item;
	uint32		at;
	uint32		length;

	if (PageIsNew(page) || IndexPageFault(file->form, page) != NULL || IndexPageGetOpaque(page)->kind != INDEX_PAGE_CHUNK ||
		offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return NULL;
	item = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(item))
		return NULL;
	at = ItemIdGetOffset(item);
	length = ItemIdGetLength(item);
	if (at < ((PageHeader) page)->pd_upper || at != MAXALIGN(at) ||
		at + length > ((PageHeader) page)->pd_special || length <= offsetof(IndexChunk, bytes))
		return NULL;
	*bytes = length - offsetof(IndexChunk, bytes);
	return (IndexChunk *) PageGetItem(page, item);
}

/* Write a value of its own size, the last piece first; returns where it is. */
IndexChunkRef
ChunksWrite(IndexFile *file, const char *bytes, uint32 nbytes, bool log)
{
	IndexChunkRef ref;
	uint32		end = nbytes;
	ItemPointerData next;
	IndexChunk *chunk = palloc0(BLCKSZ);

	Assert(nbytes > 0);
	ItemPointerSetInvalid(&next);
	do
	{
		uint32		count = end % MOST_BYTES == 0 ? Min(end, MOST_BYTES) : end % MOST_BYTES;
		Size		size = offsetof(IndexChunk, bytes) + count;
		Buffer		buffer;
		PageChange	change;
		OffsetNumber offset;

		chunk->next = next;
		memcpy(chunk->bytes, bytes + end - count, count);
		buffer = FreeRoomTakeBytes(file, MAXALIGN(size), log);
		PageChangeBegin(&change, file, log);
		offset = PageAddItem(PageChangePage(&change, buffer, false), (char *) chunk, size,
							 InvalidOffsetNumber, false, false);
		if (offset == InvalidOffsetNumber)
			elog(ERROR, "could not add a value of %zu bytes to index \"%s\"", size, RelationGetRelationName(file->rel));
		PageChangeEnd(&change);
		ItemPointerSet(&next, BufferGetBlockNumber(buffer), offset);
		UnlockReleaseBuffer(buffer);
		end -= count;
	} while (end > 0);

	memset(&ref, 0, sizeof(ref));
	ref.bytes = nbytes;
	ref.first = next;
	pfree(chunk);
	return ref;
}

/*
 * Read a value to out[ref->bytes].  Returns its bytes that were there: fewer than
 * ref->bytes where a piece is missing.  home is the page of the reference, which the
 * caller has locked: no piece is there, and from PostgreSQL 19 on a page that one
 * backend has locked twice stays locked.
 */
uint32
ChunksRead(IndexFile *file, BlockNumber home, const IndexChunkRef *ref, char *out)
{
	uint32		at = 0;
	ItemPointerData next = ref->first;

	while (at < ref->bytes && ItemPointerIsValid(&next))
	{
		Buffer		buffer;
		IndexChunk *chunk;
		uint32		count;

		if (ItemPointerGetBlockNumber(&next) == home || !IndexHasBlock(file, ItemPointerGetBlockNumber(&next)))
			break;
		buffer = ReadBuffer(file->rel, ItemPointerGetBlockNumber(&next));
		file->pages_read++;
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		chunk = find_chunk(file, BufferGetPage(buffer), ItemPointerGetOffsetNumber(&next), &count);
		if (chunk != NULL)
		{
			count = Min(count, ref->bytes - at);
			memcpy(out + at, chunk->bytes, count);
			at += count;
			next = chunk->next;
		}
		else
			ItemPointerSetInvalid(&next);
		UnlockReleaseBuffer(buffer);
	}
	return at;
}

/*
 * Free the pieces of a value, of which block `from` speaks, for VACUUM: it sleeps
 * between pages as its cost settings say.  The caller holds no lock.
 */
void
ChunksFree(IndexFile *file, BlockNumber from, ItemPointerData first, BufferAccessStrategy strategy, bool log)
{
	ItemPointerData next = first;

	while (ItemPointerIsValid(&next))
	{
		BlockNumber block = ItemPointerGetBlockNumber(&next);
		OffsetNumber offset = ItemPointerGetOffsetNumber(&next);
		Buffer		buffer;
		Page		page;
		IndexChunk *chunk;
		uint32		bytes;
		PageChange	change;
		bool		room;

		IndexCheckBlock(file, block, from);
		vacuum_delay_point_compat();
		buffer = ReadBufferExtended(file->rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		chunk = find_chunk(file, BufferGetPage(buffer), offset, &bytes);
		if (chunk == NULL)
		{
			UnlockReleaseBuffer(buffer);
			return;
		}
		next = chunk->next;
		PageChangeBegin(&change, file, log);
		page = PageChangePage(&change, buffer, false);
		PageIndexTupleDeleteNoCompact(page, offset);
		room = PageGetFreeSpace(page) > INDEX_PAGE_ROOM / 2;
		PageChangeEnd(&change);
		UnlockReleaseBuffer(buffer);
		if (room)
			FreeRoomList(file, block, INDEX_PAGE_CHUNK, log);
	}
}

/* ---------------------------------------------------------------------
 * Tails
 * --------------------------------------------------------------------- */

/*
 * Write to the `pages` blocks behind block `head`.  The slot that they belong to is not
 * yet in use, or the caller has its page locked.
 */
void
TailWrite(IndexFile *file, BlockNumber head, int pages, const char *bytes, uint32 nbytes, bool log)
{
	uint32		at = 0;

	Assert(pages == (nbytes + INDEX_PAGE_ROOM - 1) / INDEX_PAGE_ROOM);
	if (pages > 0)
		IndexCheckBlock(file, head + pages, head);
	for (int i = 1; i <= pages; i++)
	{
		Buffer		buffer = ReadBuffer(file->rel, head + i);
		uint32		count = Min(nbytes - at, INDEX_PAGE_ROOM);
		PageChange	change;
		Page		page;
		int			kind_there;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		kind_there = IndexReadKind(file, buffer);
		if (kind_there != INDEX_PAGE_TAIL && kind_there != INDEX_PAGE_NEW)
			IndexCorrupt(file->rel, file->form, head + i, "The rest of a value is to go there, but it is a page of another kind.");
		PageChangeBegin(&change, file, log);
		page = PageChangePage(&change, buffer, true);
		IndexInitPage(page, file->form, INDEX_PAGE_TAIL);
		memcpy(PageGetContents(page), bytes + at, count);
		((PageHeader) page)->pd_lower += count;
		PageChangeEnd(&change);
		UnlockReleaseBuffer(buffer);
		at += count;
	}
}

/*
 * Read from the `pages` blocks behind block `head`, which the index has.  The caller
 * holds a lock on that block, which keeps writers of its tail away.
 */
void
TailRead(IndexFile *file, BlockNumber head, int pages, char *out, uint32 nbytes)
{
	uint32		at = 0;

	Assert(pages == (nbytes + INDEX_PAGE_ROOM - 1) / INDEX_PAGE_ROOM);
	for (int i = 1; i <= pages; i++)
	{
		Buffer		buffer = ReadBuffer(file->rel, head + i);
		uint32		count = Min(nbytes - at, INDEX_PAGE_ROOM);

		file->pages_read++;
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		memcpy(out + at, PageGetContents(BufferGetPage(buffer)), count);
		UnlockReleaseBuffer(buffer);
		at += count;
	}
}
