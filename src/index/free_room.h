/*
 * free_room.h
 *	  Free room in the pages of an index: who needs a slot, or room for a piece of a
 *	  value, takes it here; who has made room on a page gives it back.
 *
 * For each kind of page that has room the meta page names the page that took the last,
 * and the head of a list of others, which are linked by their special spaces.  Room is
 * only reused by the same kind of page, and files never shrink.
 *
 * Lock order: the meta page, then one page of the kind.  Nobody calls these with a
 * lock on the meta page or on a page of the kind.
 */
#ifndef INDEX_FREE_ROOM_H
#define INDEX_FREE_ROOM_H

#include "pgcompat.h"

#include "index/index_file.h"

/* A part of the meta page, at IndexForm.free_room of its contents. */
typedef struct FreeRoom
{
	BlockNumber insert_page[INDEX_PAGE_ROOM_KINDS]; /* page that took the last, or InvalidBlockNumber */
	BlockNumber free_page[INDEX_PAGE_ROOM_KINDS];	/* head of the free list, or InvalidBlockNumber */
} FreeRoom;

StaticAssertDecl(sizeof(FreeRoom) == 24, "FreeRoom is stored");

extern void FreeRoomInit(FreeRoom *self);
extern Buffer FreeRoomTakeSlot(IndexFile *file, int kind, bool log, int *slot);
extern Buffer FreeRoomTakeBytes(IndexFile *file, Size need, bool log);
extern void FreeRoomList(IndexFile *file, BlockNumber block, int kind, bool log);

#endif							/* INDEX_FREE_ROOM_H */
