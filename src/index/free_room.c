/*
 * free_room.c
 *	  Free room in the pages of an index: it is given out and taken back here.
 */
#include "index/free_room.h"

#include "index/page_change.h"
#include "miscadmin.h"

static FreeRoom *
room_of(const IndexFile *file, Page meta_page)
{
	return (FreeRoom *) (PageGetContents(meta_page) + file->form->free_room);
}

/* Of a new index: it has no page with room. */
void
FreeRoomInit(FreeRoom *self)
{
	for (int kind = 0; kind < INDEX_PAGE_ROOM_KINDS; kind++)
		self->insert_page[kind] = self->free_page[kind] = InvalidBlockNumber;
}

/* Has the page what is asked for: `need` bytes on one of chunks, otherwise a slot, which *slot gets? */
static bool
has_room(const IndexFile *file, Page page, int kind, Size need, int *slot)
{
	if (kind == INDEX_PAGE_CHUNK)
		return PageGetFreeSpace(page) >= need;
	*slot = file->form->free_slot(file, page, kind);
	return *slot >= 0;
}

/* The head of the kind's free list leaves it, and is the page that takes the next. */
static void
use_listed_page(IndexFile *file, Buffer meta_buffer, BlockNumber block, int kind, bool log)
{
	PageChange	change;
	FreeRoom   *room;
	Page		page;
	Buffer		buffer;

	Assert(BufferIsLockedExclusively(meta_buffer));
	IndexCheckBlock(file, block, INDEX_META_BLOCK);
	buffer = ReadBuffer(file->rel, block);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (IndexReadKind(file, buffer) != kind ||
		!(IndexPageGetOpaque(BufferGetPage(buffer))->flags & INDEX_PAGE_ON_FREE_LIST))
		IndexCorrupt(file->rel, file->form, block, "A list of free pages leads to it, but it is none of them.");
	PageChangeBegin(&change, file, log);
	room = room_of(file, PageChangePage(&change, meta_buffer, false));
	page = PageChangePage(&change, buffer, false);
	room->free_page[kind] = IndexPageGetOpaque(page)->next_free;
	IndexPageGetOpaque(page)->next_free = InvalidBlockNumber;
	IndexPageGetOpaque(page)->flags &= ~INDEX_PAGE_ON_FREE_LIST;
	room->insert_page[kind] = block;
	PageChangeEnd(&change);
	UnlockReleaseBuffer(buffer);
}

/* A new page, with what tail the kind has, is the one that takes the next. */
static void
use_new_page(IndexFile *file, Buffer meta_buffer, int kind, bool log)
{
	int			pages = kind == INDEX_PAGE_CHUNK ? 1 : 1 + file->form->tail_pages(file, kind);
	Buffer		buffer = IndexExtend(file->rel, MAIN_FORKNUM, pages);
	Buffer		last = InvalidBuffer;
	PageChange	change;
	FreeRoom   *room;

	Assert(BufferIsLockedExclusively(meta_buffer));
	PageChangeBegin(&change, file, log);
	room = room_of(file, PageChangePage(&change, meta_buffer, false));
	IndexInitPage(PageChangePage(&change, buffer, true), file->form, kind);
	if (pages > 1)
	{
		/*
		 * The last of the tail pages goes into the same record, so that
		 * recovery makes room for all of them: otherwise the next to
		 * extend the file could take them for itself.
		 */
		last = ReadBuffer(file->rel, BufferGetBlockNumber(buffer) + pages - 1);
		LockBuffer(last, BUFFER_LOCK_EXCLUSIVE);
		IndexInitPage(PageChangePage(&change, last, true), file->form, INDEX_PAGE_TAIL);
	}
	room->insert_page[kind] = BufferGetBlockNumber(buffer);
	PageChangeEnd(&change);
	if (BufferIsValid(last))
		UnlockReleaseBuffer(last);
	UnlockReleaseBuffer(buffer);
}

/*
 * A page of the kind with room, exclusively locked.  *slot gets the free slot, whose
 * bytes may be past pd_lower; of a page of chunks `need` is the free space asked for.
 */
static Buffer
take(IndexFile *file, int kind, Size need, bool log, int *slot)
{
	BlockNumber tried = InvalidBlockNumber;

	Assert(kind >= 0 && kind < INDEX_PAGE_ROOM_KINDS);
	for (;;)
	{
		Buffer		meta_buffer = ReadBuffer(file->rel, INDEX_META_BLOCK);
		FreeRoom   *room = room_of(file, BufferGetPage(meta_buffer));
		BlockNumber block;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(meta_buffer, BUFFER_LOCK_SHARE);
		block = room->insert_page[kind];
		LockBuffer(meta_buffer, BUFFER_LOCK_UNLOCK);

		if (block != InvalidBlockNumber && block != tried)
		{
			Buffer		buffer;

			IndexCheckBlock(file, block, INDEX_META_BLOCK);
			buffer = ReadBuffer(file->rel, block);
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
			tried = block;
			if (IndexReadKind(file, buffer) != kind)
				IndexCorrupt(file->rel, file->form, block, "New nodes are to go there, but it is a page of another kind.");
			if (has_room(file, BufferGetPage(buffer), kind, need, slot))
			{
				ReleaseBuffer(meta_buffer);
				Assert(BufferIsLockedExclusively(buffer));
				return buffer;
			}
			UnlockReleaseBuffer(buffer);
		}

		/* That one is full: the next of the free list, or a new one */
		LockBuffer(meta_buffer, BUFFER_LOCK_EXCLUSIVE);
		if (room->insert_page[kind] == tried)
		{
			if (room->free_page[kind] != InvalidBlockNumber)
				use_listed_page(file, meta_buffer, room->free_page[kind], kind, log);
			else
				use_new_page(file, meta_buffer, kind, log);
			tried = InvalidBlockNumber;
		}
		/* otherwise another was first */
		UnlockReleaseBuffer(meta_buffer);
	}
}

/*
 * A page of kind 0 or 1 with a slot that is not in use, which *slot gets; the slot may
 * be the first behind those that the page counts.
 */
Buffer
FreeRoomTakeSlot(IndexFile *file, int kind, bool log, int *slot)
{
	Assert(kind < INDEX_PAGE_CHUNK);
	return take(file, kind, 0, log, slot);
}

/* A page of chunks where an item of so many bytes can be added. */
Buffer
FreeRoomTakeBytes(IndexFile *file, Size need, bool log)
{
	Assert(need <= INDEX_PAGE_ROOM - sizeof(ItemIdData));
	return take(file, INDEX_PAGE_CHUNK, need, log, NULL);
}

/*
 * Put a page with room on its free list, unless it is there or is the page that takes
 * the next anyway.
 */
void
FreeRoomList(IndexFile *file, BlockNumber block, int kind, bool log)
{
	Buffer		meta_buffer = ReadBuffer(file->rel, INDEX_META_BLOCK);
	Buffer		buffer = ReadBuffer(file->rel, block);
	Page		page = BufferGetPage(buffer);

	Assert(block != INDEX_META_BLOCK);
	Assert(kind >= 0 && kind < INDEX_PAGE_ROOM_KINDS);
	LockBuffer(meta_buffer, BUFFER_LOCK_EXCLUSIVE);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (IndexReadKind(file, buffer) == kind &&
		!(IndexPageGetOpaque(page)->flags & INDEX_PAGE_ON_FREE_LIST) &&
		room_of(file, BufferGetPage(meta_buffer))->insert_page[kind] != block)
	{
		PageChange	change;
		FreeRoom   *room;

		PageChangeBegin(&change, file, log);
		room = room_of(file, PageChangePage(&change, meta_buffer, false));
		page = PageChangePage(&change, buffer, false);
		IndexPageGetOpaque(page)->flags |= INDEX_PAGE_ON_FREE_LIST;
		IndexPageGetOpaque(page)->next_free = room->free_page[kind];
		room->free_page[kind] = block;
		PageChangeEnd(&change);
	}
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(meta_buffer);
}
