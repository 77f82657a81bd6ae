/*
 * index_file.h
 *	  The file of an index: its pages, and what of them may be believed.
 *
 * Every page of ours ends in the same special space.  It names the kind of the page;
 * the numbers 2 to 4 are the same in every access method, the others are its own.
 * Block 0 is the meta page.
 *
 * A buffer that a function returns is pinned and locked, and the caller's to release.
 */
#ifndef INDEX_FILE_H
#define INDEX_FILE_H

#include "pgcompat.h"

#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/rel.h"

/* ---------------------------------------------------------------------
 * Bytes on disk
 * ---------------------------------------------------------------------
 *
 * Whoever changes these, FreeRoom, IndexChunkRef or IndexChunk raises the version of
 * each access method (HNSW_VERSION).
 */

#define INDEX_META_BLOCK	0

/* Special space of every page. */
typedef struct IndexPageOpaque
{
	BlockNumber next_free;		/* next page of the free list, or InvalidBlockNumber */
	uint16		kind;			/* INDEX_PAGE_*, or the access method's own */
	uint16		flags;			/* INDEX_PAGE_ON_FREE_LIST */
	uint32		unused;
	uint16		unused2;
	uint16		page_id;		/* IndexForm's, for identification by tools */
} IndexPageOpaque;

StaticAssertDecl(sizeof(IndexPageOpaque) == 16, "IndexPageOpaque is stored");

/*
 * Kinds of page.  Those below INDEX_PAGE_ROOM_KINDS have free room that free_room.c
 * gives out; 0 and 1 are an access method's own, and so is what follows the meta page.
 */
#define INDEX_PAGE_CHUNK		2	/* pieces of values: chunk.h */
#define INDEX_PAGE_ROOM_KINDS	3
#define INDEX_PAGE_TAIL			3	/* rest of the value of a slot some blocks before: chunk.h */
#define INDEX_PAGE_META			4
#define INDEX_PAGE_NEW			(PG_UINT16_MAX + 1)	/* never stored: a page that was not written yet */

#define INDEX_PAGE_ON_FREE_LIST 0x0001

/* Bytes of a page between its head and its special space */
#define INDEX_PAGE_ROOM (BLCKSZ - SizeOfPageHeaderData - MAXALIGN(sizeof(IndexPageOpaque)))

#define IndexPageGetOpaque(page) ((IndexPageOpaque *) PageGetSpecialPointer(page))

/* ---------------------------------------------------------------------
 * An open file
 * --------------------------------------------------------------------- */

typedef struct IndexFile IndexFile;

/* What an access method says of its files: one constant for all of them. */
typedef struct IndexForm
{
	const char *name;			/* with its article, in messages: "an hnsw index" */
	const char *hint;			/* what to do about a corrupt one, a sentence */
	uint16		page_id;
	uint16		last_kind;		/* greatest kind of a page */
	uint32		free_room;		/* offset of FreeRoom in the contents of the meta page */

	/*
	 * Look at the rest of a page of kind 0 or 1, whose head and special space are
	 * sound.  An error where it is not.  The caller has the page locked.
	 */
	void		(*check_slots) (const IndexFile *file, Buffer buffer, int kind);

	/* A slot that is not in use on such a page, from 0, or -1 where all are. */
	int			(*free_slot) (const IndexFile *file, Page page, int kind);

	/* Blocks of tail that follow each page of the kind */
	int			(*tail_pages) (const IndexFile *file, int kind);
} IndexForm;

/* The file of an index that is open for one operation: the head of what its access method has of it. */
struct IndexFile
{
	Relation	rel;
	const IndexForm *form;
	BlockNumber nblocks;		/* the index had at least so many when somebody looked last */
	int64		pages_read;		/* for nodes and the rest of their values, the same one each time anew */
};

extern void IndexInitPage(Page page, const IndexForm *form, int kind);
extern Buffer IndexExtend(Relation rel, ForkNumber fork, int pages);

/* Nothing that a page says is a size or an offset before these looked at it */
extern void IndexCorrupt(Relation rel, const IndexForm *form, BlockNumber block, const char *what) pg_attribute_noreturn();
extern const char *IndexPageFault(const IndexForm *form, Page page);
extern int	IndexReadKind(const IndexFile *file, Buffer buffer);
extern bool IndexFindBlock(IndexFile *file, BlockNumber block);
extern void IndexCheckBlock(IndexFile *file, BlockNumber block, BlockNumber from);

/* Does the index have this block? */
static inline bool
IndexHasBlock(IndexFile *file, BlockNumber block)
{
	return likely(block < file->nblocks) || IndexFindBlock(file, block);
}

#endif							/* INDEX_FILE_H */
