/*
 * chunk.h
 *	  Bytes that do not stand in a slot: values of their own size, and residuals, in chunks
 *	  on pages of their own; and the rest of values that are larger than their slot, on the tail
 *	  pages behind its page.
 *
 * Lock order: a page of slots may be locked, then one page of chunks or of a tail.
 */
#ifndef INDEX_CHUNK_H
#define INDEX_CHUNK_H

#include "pgcompat.h"

#include "index/index_file.h"
#include "storage/itemptr.h"

/* What a slot has of a value whose bytes are in chunks. */
typedef struct IndexChunkRef
{
	uint32		bytes;			/* of the whole value */
	ItemPointerData first;
	uint16		unused;
} IndexChunkRef;

StaticAssertDecl(sizeof(IndexChunkRef) == 12, "IndexChunkRef is stored");

/* A piece of such a value, an item of a page of chunks. */
typedef struct IndexChunk
{
	ItemPointerData next;		/* invalid in the last one */
	uint16		unused;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} IndexChunk;

StaticAssertDecl(offsetof(IndexChunk, bytes) == 8, "IndexChunk is stored");

extern IndexChunkRef ChunksWrite(IndexFile *file, const char *bytes, uint32 nbytes, bool log);
extern uint32 ChunksRead(IndexFile *file, BlockNumber home, const IndexChunkRef *ref, char *out);
extern void ChunksFree(IndexFile *file, BlockNumber from, ItemPointerData first, BufferAccessStrategy strategy,
					   bool log);

extern void TailWrite(IndexFile *file, BlockNumber head, int pages, const char *bytes, uint32 nbytes, bool log);
extern void TailRead(IndexFile *file, BlockNumber head, int pages, char *out, uint32 nbytes);

#endif							/* INDEX_CHUNK_H */
