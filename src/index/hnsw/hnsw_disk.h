/*
 * hnsw_disk.h
 *	  The bytes of an hnsw index on disk.
 *
 * All integers are of the machine's own order.  Whoever changes a struct here raises
 * HNSW_VERSION: an index of another version is refused when it is opened.
 *
 *	block 0			page head, HnswMeta, IndexPageOpaque (index_file.h)
 *	from block 1	the centre's floats, HNSW_CENTER_FLOATS a page (coded indexes)
 *	then			pages of slots (of level 0, or of the levels above), each slot an
 *					HnswNode with the parts that HnswLayout places behind it; tails of
 *					values after such a page; pages of IndexChunks (chunk.h)
 *
 * Nothing here is to be believed of a page before sound.c and index_file.c have looked at it.
 */
#ifndef HNSW_DISK_H
#define HNSW_DISK_H

#include "pgcompat.h"

#include "access/transam.h"
#include "core/vec/bfloat16.h"
#include "core/vec/code.h"
#include "index/chunk.h"
#include "index/free_room.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"

/* ---------------------------------------------------------------------
 * References
 * ---------------------------------------------------------------------
 *
 * A node is a slot of a page.  A reference to it also holds the generation of
 * the slot, so that a stale one is recognised after the slot was given to
 * another node.  In memory: block << 16 | generation << 6 | slot.
 */
typedef uint64 HnswRef;

#define HNSW_NO_REF			UINT64_MAX
#define HNSW_SLOT_BITS		6
#define HNSW_MAX_SLOTS		(1 << HNSW_SLOT_BITS)
#define HNSW_GENERATION_MASK 0x3FF

static inline HnswRef
HnswMakeRef(BlockNumber block, int slot, int generation)
{
	Assert(BlockNumberIsValid(block) && block != INDEX_META_BLOCK);
	Assert(slot >= 0 && slot < HNSW_MAX_SLOTS);
	return ((HnswRef) block << 16) | ((HnswRef) (generation & HNSW_GENERATION_MASK) << HNSW_SLOT_BITS) | (HnswRef) slot;
}

static inline BlockNumber
HnswRefBlock(HnswRef ref)
{
	return (BlockNumber) (ref >> 16);
}

static inline int
HnswRefSlot(HnswRef ref)
{
	return (int) (ref & (HNSW_MAX_SLOTS - 1));
}

static inline int
HnswRefGeneration(HnswRef ref)
{
	return (int) (ref >> HNSW_SLOT_BITS) & HNSW_GENERATION_MASK;
}

/* The same on disk: 6 bytes, any alignment. */
typedef struct HnswLink
{
	uint16		block_hi;
	uint16		block_lo;
	uint16		slot;			/* generation << 6 | slot */
} HnswLink;

StaticAssertDecl(sizeof(HnswLink) == 6, "HnswLink is stored");

static inline HnswRef
HnswLinkGet(const HnswLink *link)
{
	return ((HnswRef) link->block_hi << 32) | ((HnswRef) link->block_lo << 16) | link->slot;
}

static inline void
HnswLinkSet(HnswLink *link, HnswRef ref)
{
	link->block_hi = (uint16) (ref >> 32);
	link->block_lo = (uint16) (ref >> 16);
	link->slot = (uint16) ref;
}

/* ---------------------------------------------------------------------
 * Geometry
 * --------------------------------------------------------------------- */

typedef enum HnswValueForm
{
	HNSW_VALUE_PACKED12 = 1,	/* rotated and centred, core/packed12.h, times the node's scale */
	HNSW_VALUE_RAW = 2,			/* the bytes that the distance function takes, fixed size */
	HNSW_VALUE_CHUNKS = 3		/* a IndexChunkRef: bytes of any size on pages of their own */
} HnswValueForm;

/* The two kinds of graph node: level 0, and every level above. */
#define HNSW_BASE	0
#define HNSW_UPPER	1

/*
 * Where the parts of a slot are.  All offsets from its first byte.  A value
 * that does not fit goes on, on the `tail_pages` blocks after the slot's own.
 */
typedef struct HnswLayout
{
	uint16		slot_bytes;		/* a multiple of 8 */
	uint16		slots;			/* on a page */
	uint16		links;			/* most links of a node: 2m or m */
	uint16		dc;				/* coded dimensions; 0: no codes */
	uint16		bits;			/* of a code: 1, 2, 4 */
	uint16		blocks;			/* code blocks of 32 links */
	uint16		occluded;		/* offset: bitmap, one bit a link */
	uint16		pinned;			/* offset: bitmap, one bit a link */
	uint16		link;			/* offset: HnswLink[links] */
	uint16		f_add;			/* offset: bfloat16[links] */
	uint16		f_mul;			/* offset: bfloat16[links] */
	uint16		code;			/* offset: blocks * code_block_bytes */
	uint16		value;			/* offset: value's first bytes */
	uint16		value_form;		/* HnswValueForm */
	uint16		tail_pages;		/* blocks after this one that hold the rest of the value */
	uint16		unused;
	uint32		value_bytes;	/* whole value */
	uint32		value_inline;	/* of them in the slot */
} HnswLayout;

StaticAssertDecl(sizeof(HnswLayout) == 40, "HnswLayout is stored");

#define HNSW_MAX_LEVEL		30
#define HNSW_TIDS			10	/* rows of one node: equal values share it */

/*
 * Head of a slot.  `generation` and `flags` are valid in a free slot too.
 */
typedef struct HnswNode
{
	uint16		generation;
	uint8		flags;			/* HNSW_NODE_* */
	uint8		level;			/* of this record */
	uint8		nlinks;
	uint8		ntids;			/* level 0 only */
	HnswLink	down;			/* level > 0: the same value one level below; 0: where its residual is, see HnswHasResidual() */
	float		scale;			/* coded: what the integers of the value are to be multiplied by */
	float		error;			/* coded: bound of |stored - true|, over all rows of the node */
	float		norm;			/* coded: |stored| */
	ItemPointerData tids[HNSW_TIDS];
	uint16		killed;			/* bit i: tids[i] was dead to every snapshot of this server; standbys ignore it */
	uint16		removals;		/* times that vacuum removed rows, modulo 2^16: a tid seen before may be another row's now */
} HnswNode;

StaticAssertDecl(sizeof(HnswNode) == 88, "HnswNode is stored");

#define HNSW_NODE_USED		0x01	/* holds a node */
#define HNSW_NODE_DEAD		0x02	/* no rows left; about to be removed: never link to it */
#define HNSW_NODE_UNLINKED	0x04	/* has a value, and no links yet (during a build) */
#define HNSW_NODE_REMOVED	0x08	/* dead, and no live node links to it; kept for scans under way */
#define HNSW_NODE_SHARED	0x10	/* more than one row came to it, so the residual may be that of one which is gone */

/*
 * A removed node has no rows; where they stood is the transaction id from which
 * on no scan can hold a reference to it.
 */
static inline FullTransactionId
HnswNodeRemovedAt(const HnswNode *node)
{
	uint64		value;

	memcpy(&value, node->tids, sizeof(value));
	return FullTransactionIdFromU64(value);
}

static inline void
HnswNodeSetRemovedAt(HnswNode *node, FullTransactionId xid)
{
	uint64		value = U64FromFullTransactionId(xid);

	memcpy(node->tids, &value, sizeof(value));
}

/*
 * Where the residual of a node of level 0 is: a chunk, as HnswLink's block and slot say.
 * Not all values have one (ValueHasResidual()), nor have nodes of older indexes.
 */
#define HNSW_NO_RESIDUAL	HNSW_NO_REF

static inline bool
HnswHasResidual(HnswRef residual)
{
	return BlockNumberIsValid(HnswRefBlock(residual));
}

static inline ItemPointerData
HnswResidualChunk(HnswRef residual)
{
	ItemPointerData chunk;

	ItemPointerSet(&chunk, HnswRefBlock(residual), (OffsetNumber) residual);
	return chunk;
}

/* Kinds of page: index_file.h has those that every access method has. */
#define HNSW_PAGE_BASE		HNSW_BASE	/* slots of level 0 */
#define HNSW_PAGE_UPPER		HNSW_UPPER	/* slots of the levels above */
#define HNSW_PAGE_CENTER	5	/* floats of the centre */

#define HNSW_PAGE_ID		0xFF7C

/* Slots are numbered from 0; those at or past this count were never used. */
static inline int
HnswPageSlots(Page page, const HnswLayout *layout)
{
	return (((PageHeader) page)->pd_lower - SizeOfPageHeaderData) / layout->slot_bytes;
}

static inline HnswNode *
HnswPageNode(Page page, const HnswLayout *layout, int slot)
{
	return (HnswNode *) ((char *) page + SizeOfPageHeaderData + slot * layout->slot_bytes);
}

/* Parts of a slot */
#define HnswNodeOccluded(node, layout)	((uint8 *) (node) + (layout)->occluded)
#define HnswNodePinned(node, layout)	((uint8 *) (node) + (layout)->pinned)
#define HnswNodeLinks(node, layout)		((HnswLink *) ((char *) (node) + (layout)->link))
#define HnswNodeFAdd(node, layout)		((bfloat16 *) ((char *) (node) + (layout)->f_add))
#define HnswNodeFMul(node, layout)		((bfloat16 *) ((char *) (node) + (layout)->f_mul))
#define HnswNodeCode(node, layout, block) \
	((uint8 *) (node) + (layout)->code + (block) * code_block_bytes((layout)->bits, (layout)->dc))
#define HnswNodeValue(node, layout)		((char *) (node) + (layout)->value)

#define HNSW_MAGIC			0x564e5357
#define HNSW_VERSION		2
#define HNSW_CENTER_BLOCK	1	/* the centre's pages follow the meta page */
#define HNSW_CENTER_FLOATS	(INDEX_PAGE_ROOM / sizeof(float))	/* on one page */

typedef struct HnswMeta
{
	uint32		magic;
	uint32		version;
	uint8		element;		/* IndexElement */
	uint8		metric;			/* IndexMetric */
	uint8		centred;		/* unit and centre are set */
	uint8		removed_wait;	/* removed nodes are left for vacuum to free */
	uint16		m;
	uint16		ef_construction;
	uint32		dim;			/* 0 where values have sizes of their own */
	uint32		padded;			/* rotated dimensions; 0 without codes */
	uint32		center_pages;
	float		unit;			/* values are multiplied by this power of two first */
	float		center_norm;
	uint64		seed;			/* of the rotation */
	HnswRef		entry;
	int32		entry_level;	/* -1: empty */
	FreeRoom	room;
	HnswLayout	layout[2];
} HnswMeta;

StaticAssertDecl(sizeof(HnswMeta) == 168, "HnswMeta is stored");

#define HnswPageGetMeta(page) ((HnswMeta *) PageGetContents(page))

#endif							/* HNSW_DISK_H */
