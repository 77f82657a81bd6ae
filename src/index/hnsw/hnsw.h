/*
 * hnsw.h
 *	  The hnsw access method: bytes on disk and what its files share.
 *
 * README.md in this folder explains the algorithm, the locks and the log.
 *
 *	hnsw.c		handler, options, settings, planner's cost
 *	layout.c	geometry of a node: from type, metric, dimensions and m
 *	page.c		meta page, slots, allocation of nodes
 *	value.c		from a datum to what is stored and compared
 *	search.c	search of one level, over pages
 *	scan.c		index scans: ordering, iterative scans
 *	link.c		choice of neighbours, changes of one node's links
 *	insert.c	insertion into an existing index
 *	build.c		in-memory build; its phases are in build_*.c, its state in build.h
 *	vacuum.c	removal of dead rows, repair of the graph: passes in vacuum_*.c, state in vacuum.h
 *	plan.c		planner hook: no distances that nobody looks at
 *	check.c		hnsw_check
 *	stats.c		hnsw_stats
 *	sound.c		what of a page may be believed
 */
#ifndef HNSW_H
#define HNSW_H

#include "pgcompat.h"

#include "access/amapi.h"
#include "access/generic_xlog.h"
#include "access/genam.h"
#include "access/parallel.h"
#include "access/transam.h"
#include "core/vec/code.h"
#include "core/vec/pool.h"
#include "core/vec/packed12.h"
#include "core/vec/rotation.h"
#include "index/opclass.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

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
	uint16		place;			/* generation << 6 | slot */
} HnswLink;

StaticAssertDecl(sizeof(HnswLink) == 6, "HnswLink is stored");

static inline HnswRef
HnswLinkGet(const HnswLink *link)
{
	return ((HnswRef) link->block_hi << 32) | ((HnswRef) link->block_lo << 16) | link->place;
}

static inline void
HnswLinkSet(HnswLink *link, HnswRef ref)
{
	link->block_hi = (uint16) (ref >> 32);
	link->block_lo = (uint16) (ref >> 16);
	link->place = (uint16) ref;
}

/* ---------------------------------------------------------------------
 * Geometry
 * --------------------------------------------------------------------- */

typedef enum HnswValueForm
{
	HNSW_VALUE_PACKED12 = 1,	/* rotated and centred, core/packed12.h, times the node's scale */
	HNSW_VALUE_RAW = 2,			/* the bytes that the distance function takes, fixed size */
	HNSW_VALUE_CHUNKS = 3		/* a HnswChunkRef: bytes of any size on pages of their own */
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
	HnswLink	down;			/* level > 0: the same value one level below */
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

/* Special space of every page. */
typedef struct HnswPageOpaque
{
	BlockNumber next_free;		/* next page of the free list, or InvalidBlockNumber */
	uint16		kind;			/* HnswPageKind */
	uint16		flags;			/* HNSW_PAGE_* */
	uint32		unused;
	uint16		unused2;
	uint16		page_id;		/* HNSW_PAGE_ID, for identification by tools */
} HnswPageOpaque;

StaticAssertDecl(sizeof(HnswPageOpaque) == 16, "HnswPageOpaque is stored");

typedef enum HnswPageKind
{
	HNSW_PAGE_BASE = HNSW_BASE,	/* slots of level 0 */
	HNSW_PAGE_UPPER = HNSW_UPPER,	/* slots of the levels above */
	HNSW_PAGE_CHUNK = 2,		/* pieces of values */
	HNSW_PAGE_KINDS = 3,		/* kinds with a free list */
	HNSW_PAGE_TAIL = 3,			/* rest of the value of the slot some blocks before */
	HNSW_PAGE_META = 4,
	HNSW_PAGE_CENTER = 5,		/* floats of the centre */
	HNSW_PAGE_NEW = 6			/* never stored: a page that was not written yet */
} HnswPageKind;

#define HNSW_PAGE_ID		0xFF7C
#define HNSW_PAGE_ON_FREE_LIST 0x0001

#define HNSW_PAGE_ROOM (BLCKSZ - SizeOfPageHeaderData - MAXALIGN(sizeof(HnswPageOpaque)))

#define HnswPageGetOpaque(page) ((HnswPageOpaque *) PageGetSpecialPointer(page))

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

/* A piece of a value of its own size, an item of a chunk page. */
typedef struct HnswChunkRef
{
	uint32		bytes;			/* of the whole value */
	ItemPointerData first;
	uint16		unused;
} HnswChunkRef;

typedef struct HnswChunk
{
	ItemPointerData next;		/* invalid in the last one */
	uint16		unused;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} HnswChunk;

#define HNSW_MAGIC			0x564e5357
#define HNSW_VERSION		2
#define HNSW_META_BLOCK		0
#define HNSW_CENTER_BLOCK	1	/* the centre's pages follow the meta page */
#define HNSW_CENTER_FLOATS	(HNSW_PAGE_ROOM / sizeof(float))	/* on one page */

typedef struct HnswMeta
{
	uint32		magic;
	uint32		version;
	uint8		element;		/* HnswElement */
	uint8		metric;			/* HnswMetric */
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
	BlockNumber insert_page[HNSW_PAGE_KINDS];	/* page that took the last new node */
	BlockNumber free_page[HNSW_PAGE_KINDS]; /* heads of the free lists */
	HnswLayout	layout[2];
} HnswMeta;

#define HnswPageGetMeta(page) ((HnswMeta *) PageGetContents(page))

/* ---------------------------------------------------------------------
 * Options and settings
 * --------------------------------------------------------------------- */

#define HNSW_DEFAULT_M 16
#define HNSW_MIN_M 2
#define HNSW_MAX_M 100
#define HNSW_DEFAULT_EF_CONSTRUCTION 64
#define HNSW_MIN_EF_CONSTRUCTION 4
#define HNSW_MAX_EF_CONSTRUCTION 1000
#define HNSW_DEFAULT_EF_SEARCH 40
#define HNSW_MAX_EF_SEARCH 1000
#define HNSW_MAX_LEVEL 30

typedef struct HnswOptions
{
	int32		vl_len_;
	int			m;
	int			ef_construction;
	int			code_bits;		/* 0: by dimensions */
} HnswOptions;

typedef enum HnswIterativeScan
{
	HNSW_ITERATIVE_OFF,
	HNSW_ITERATIVE_RELAXED,
	HNSW_ITERATIVE_STRICT
} HnswIterativeScan;

/* hnsw.c */
extern void hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
							 Cost *startup_cost, Cost *total_cost, Selectivity *selectivity,
							 double *correlation, double *pages);

/*
 * settings.c: the settings of this backend.  HnswHookSettings, called once when
 * the library is loaded, sees to it that they are defined in time; who reads one
 * may call HnswDefineSettings to be sure.
 */
extern void HnswHookSettings(void);
extern void HnswDefineSettings(void);
extern int	HnswEfSearch(void);
extern HnswIterativeScan HnswIterativeScanMode(void);
extern int	HnswMaxScanTuples(void);
extern double HnswScanMemMultiplier(void);

/* scan.c: scans of any hnsw index that this backend has begun */
extern int64 HnswScansBegun;

/* Phases in pg_stat_progress_create_index; 1 is "initializing" */
#define HNSW_PHASE_LOAD 2
#define HNSW_PHASE_GRAPH 3
#define HNSW_PHASE_WRITE 4
#define HNSW_PHASE_REST 5

/* ---------------------------------------------------------------------
 * An index, opened for one operation
 * ---------------------------------------------------------------------
 *
 * A private copy of what the meta page says and never changes afterwards (but
 * for the centre, which the first value of an empty index sets), so that it
 * survives a rebuild of the relation cache entry.
 */
typedef struct HnswIndex
{
	Relation	rel;
	HnswElement element;
	HnswMetric	metric;
	CodeMetric	code_metric;
	int			m;
	int			ef_construction;
	int			dim;
	int			padded;
	bool		coded;			/* nodes hold codes: L2, inner product, cosine of dense vectors */
	bool		centred;
	float		unit;
	float		center_norm;
	float	   *center;			/* float[dim]; NULL when not coded */
	Rotation   *rotation;		/* NULL when not coded */
	HnswLayout	layout[2];
	LWLock	   *build_lock;		/* stands for the lock on the meta block while an index is built */
	HnswRef		prefetched;		/* HnswReadNode need not ask for its memory: that was done */
	int64		pages_read;		/* for nodes and the rest of their values, the same one each time anew */
	BlockNumber nblocks;		/* the index had at least so many when somebody looked last */
	char	   *scratch;		/* for values that stand on several pages; made when first needed */
	uint32		scratch_bytes;
	MemoryContext context;		/* holds all of it */
	bool		repairing;		/* VACUUM: links to dead nodes give way, be they pinned */
} HnswIndex;

/*
 * A change of up to four pages that is logged as one record, or, while an index
 * is built, not logged at all (the build logs whole pages at its end).  The
 * caller holds exclusive locks on the buffers until the change has ended.
 */
typedef struct HnswChange
{
	Relation	rel;
	GenericXLogState *state;	/* NULL: not logged */
	Buffer		buffers[MAX_GENERIC_XLOG_PAGES];
	int			nbuffers;
} HnswChange;

extern void HnswChangeBegin(HnswChange *change, Relation rel, bool log);
extern Page HnswChangePage(HnswChange *change, Buffer buffer, bool fresh);
extern void HnswChangeEnd(HnswChange *change);

/* page.c */
extern HnswIndex *HnswOpen(Relation rel, MemoryContext context);
extern void HnswReadEntry(HnswIndex *index, HnswRef *entry, int *level);
extern void HnswInitPage(Page page, HnswPageKind kind);
extern void HnswCreateMeta(Relation rel, ForkNumber fork, const HnswIndex *index, bool log);
extern void HnswSetCenter(HnswIndex *index, const float *center, float unit, bool log);
extern Buffer HnswExtend(Relation rel, ForkNumber fork, int pages);
extern Buffer HnswTryReadNode(HnswIndex *index, HnswRef ref, int kind, int lockmode, HnswNode **node, const char **fault);
extern Buffer HnswReadNode(HnswIndex *index, HnswRef ref, int kind, int lockmode, HnswNode **node);
extern void HnswPrefetchNode(HnswIndex *index, HnswRef ref, int kind);
extern void HnswPrefetchRecent(HnswIndex *index, HnswRef ref);
extern void HnswListPage(HnswIndex *index, BlockNumber block, int kind, bool log);
extern void HnswUpdateEntry(HnswIndex *index, HnswRef entry, int level, HnswRef replaced, bool log);

/* layout.c */
extern void HnswComputeLayout(HnswIndex *index, int code_bits);
extern uint32 HnswRawBytes(const HnswIndex *index);
extern bool HnswIsCoded(const HnswOpclass *opclass);
extern int	HnswMostDimensions(HnswElement element);
extern uint32 HnswCenterPages(const HnswIndex *index);
extern bool HnswLayoutIsSound(const HnswIndex *index, int kind, const HnswLayout *layout);

/* sound.c: nothing that a page says is a size or a place before these looked at it */
extern void HnswCorrupt(Relation rel, BlockNumber block, const char *what) pg_attribute_noreturn();
extern const char *HnswPageFault(Page page);
extern const char *HnswNodeFault(const HnswIndex *index, int kind, const HnswNode *node);
extern const char *HnswMetaFault(Relation rel, const HnswMeta *meta);
extern int	HnswReadKind(const HnswIndex *index, Buffer buffer);
extern HnswChunk *HnswFindChunk(Page page, OffsetNumber place, uint32 *bytes);
extern bool HnswFindBlock(HnswIndex *index, BlockNumber block);
extern void HnswCheckBlock(HnswIndex *index, BlockNumber block, BlockNumber from);

/* Does the index have this block? */
static inline bool
HnswHasBlock(HnswIndex *index, BlockNumber block)
{
	return likely(block < index->nblocks) || HnswFindBlock(index, block);
}

/* ---------------------------------------------------------------------
 * Values
 * --------------------------------------------------------------------- */

/* A datum made ready to be compared or stored; memory of the current context. */
typedef struct HnswValue
{
	float	   *rotated;		/* coded: float[padded] */
	float		norm;			/* coded: |rotated| */
	bool		clamped;		/* coded: some coordinate was too large for the index's arithmetic */
	const char *raw;			/* otherwise: bytes for HnswRawDistance */
	uint32		raw_bytes;
} HnswValue;

/* value.c */
extern const HnswOpclass *HnswGetOpclass(Relation rel);
extern const float *HnswDatumFloats(const HnswIndex *index, Datum datum, double *norm);
extern bool HnswPrepareValue(HnswIndex *index, Datum datum, bool query, HnswValue *value);

/* Are there handicaps other than 0? */
#define HnswHasHandicaps(index)	(!(index)->coded && (index)->metric == HNSW_IP)
extern float HnswHandicap(const HnswIndex *index, const char *value);
extern double HnswRawDistance(const HnswIndex *index, const char *a, const char *b);
extern void HnswPackValue(const HnswIndex *index, const HnswValue *value, uint8 *out,
						  float *scale, float *error, float *norm);
extern float HnswPackedDistance(const HnswIndex *index, const float *q, const uint8 *x, float scale);
extern const char *HnswTryReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes,
									const char **fault);
extern const char *HnswReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes);
extern float HnswNodeDistance(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, const HnswValue *value);

/* ---------------------------------------------------------------------
 * Search
 * --------------------------------------------------------------------- */

/* A node that a search has expanded. */
typedef struct HnswFound
{
	HnswRef		ref;
	HnswRef		down;			/* level > 0 */
	float		distance;		/* index's own measure, from the stored value */
	float		error;			/* HnswNode's */
	float		norm;
	float		scale;
	uint32		value;			/* offset in HnswSearch.values, where kept */
	uint32		value_bytes;
	uint16		killed;
	uint16		removals;
	uint8		flags;			/* HnswNode's */
	uint8		ntids;
	bool		live;			/* some row of it may be returned */
	bool		has_children;	/* as many as a node may have; known where values are kept */
	ItemPointerData tids[HNSW_TIDS];
} HnswFound;

typedef struct HnswSpilled
{
	float		key;
	HnswRef		ref;
} HnswSpilled;

typedef struct HnswSortKey
{
	float		distance;
	int			at;
} HnswSortKey;

/*
 * Best-first search of one level.  The pool holds the best `capacity`
 * candidates by estimated (coded) or exact (plain) distance in order; each
 * that is expanded goes to `found`.
 */
typedef struct HnswSearch
{
	HnswIndex  *index;
	const HnswValue *value;
	MemoryContext context;

	bool		keep_values;	/* copy values of the expanded to `values` */
	bool		ignore_killed;	/* nodes whose rows are all marked killed count as empty */
	bool		keep_spilled;	/* keep candidates that the pool has no room for */
	Size		spill_limit;	/* most bytes of them */

	/* the walk through nodes without rows: see leave_dead() in search.c */
	bool		thorough;		/* walk through all of them rather than find no row */
	bool		unbounded;		/* do so now */
	bool		leaving;		/* they lead no further now */
	bool		later_round;	/* of an iterative scan */
	bool		judging;		/* on upper levels, a node is as good as its node on level 0 */
	bool		judged;			/* what that is for the node to be expanded */
	int			most_dead;		/* to be expanded, besides a part by the nodes with rows */
	int			ndead;
	int			nwith_rows;
	struct HnswSearch *scout;	/* for the way down by nodes with rows */

	CodeQuery	code_query[2];	/* by kind of node */

	Pool		pool;
	int			pool_allocated; /* capacity that pool_memory has room for */
	void	   *pool_memory;

	/* when to stop; stop_places 0: when all in the pool are expanded */
	int			stop_places;
	int			nnearest;
	int			nearest_allocated;
	float	   *nearest;		/* heap of the distances of the stop_places nearest found, the farthest first */
	int			nerrors;
	double		squared_errors; /* of the estimates of nodes that were expanded */

	int			nlive;			/* of found: nodes that leave their places in the pool to no other */
	bool		dropped;		/* a candidate found no room in the pool, or lost it, and was not spilled */

	/* open-addressing hash of the expanded (coded) or seen (plain) */
	uint32		hash_mask;
	uint32		hash_used;
	HnswRef    *hash;

	int			nfound;
	int			found_allocated;
	HnswFound  *found;

	int			sort_allocated;
	HnswSortKey *sort_keys;
	HnswFound  *sort_spare;

	char	   *values;
	Size		values_used;
	Size		values_allocated;

	/* binary heap, least key first */
	int			nspilled;
	int			spilled_allocated;
	HnswSpilled *spilled;

	/* counters of this search */
	int64		expanded;
	int64		estimates;
	int64		distances;
} HnswSearch;

extern HnswSearch *HnswSearchCreate(HnswIndex *index, MemoryContext context);
extern void HnswSearchSetValue(HnswSearch *self, const HnswValue *value);
extern void HnswSearchLevel(HnswSearch *self, int kind, const HnswRef *starts, int nstarts, int capacity,
							int ef);
extern bool HnswSearchMore(HnswSearch *self, int kind);
extern float HnswSearchFrontier(HnswSearch *self);
extern void HnswSearchSort(HnswSearch *self, int from);
extern int	HnswDescend(HnswSearch *self, int to_level, HnswRef *starts, int most, int *entry_level, HnswRef *entry);

/* scan.c */
extern IndexScanDesc hnswbeginscan(Relation rel, int nkeys, int norderbys);
extern void hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool hnswgettuple(IndexScanDesc scan, ScanDirection direction);
extern void hnswendscan(IndexScanDesc scan);

/* Candidates kept for each ef where all of them are expanded, and where a search may stop: see search.c */
#define HNSW_POOL(ef) (3 * (ef) + 16)
extern int	HnswScanPool(const HnswIndex *index, int ef);
#define HNSW_MAX_STARTS 4

/* ---------------------------------------------------------------------
 * Links and insertion
 * --------------------------------------------------------------------- */

/* From pin to pin in search of a parent for a node */
#define HNSW_MOST_STEPS 1000

/* How a node takes a link: link.c */
typedef enum HnswPin
{
	HNSW_PIN_NOT,
	HNSW_PIN_CHILD,				/* for good, unless it has all the children that it may have */
	HNSW_PIN_ALWAYS				/* for good */
} HnswPin;

/* A neighbour chosen for a node. */
typedef struct HnswNeighbor
{
	HnswRef		ref;
	float		distance;
	bool		occluded;		/* a nearer neighbour is nearer to it: kept to fill the list only */
	bool		pinned;			/* an edge of the level's spanning tree: link.c */
	bool		has_children;	/* all that it may have, when it was read */
	bool		stays;			/* VACUUM: a link that the node has and keeps */
	float		scale;
	const char *value;			/* stored form */
	uint32		value_bytes;
} HnswNeighbor;

/* The links of a node as they were when it was read, to be compared once it is locked. */
typedef struct HnswLinkList
{
	int			n;
	HnswLink	links[2 * HNSW_MAX_M];
	uint8		pinned[(2 * HNSW_MAX_M + 7) / 8];
} HnswLinkList;

/* HnswHandicap() of a node's value, of one that comes, and of those the node is linked to. */
typedef struct HnswHandicaps
{
	float		own;
	float		fresh;
	float		present[2 * HNSW_MAX_M];
} HnswHandicaps;

/* A value in its stored form, and as floats where it is coded. */
typedef struct HnswStored
{
	const char *bytes;
	uint32		nbytes;
	float		scale;
	float		error;
	float		norm;
	const float *floats;		/* coded: float[padded], decoded from bytes */
} HnswStored;

/* link.c */
extern void HnswStore(HnswIndex *index, const HnswValue *value, HnswStored *stored);
extern int	HnswChooseNeighbors(HnswIndex *index, const char *own, const HnswNeighbor *candidates, int ncandidates,
								int most, HnswNeighbor *chosen);
extern int	HnswPlaceLink(int n, int most, const float *distances, float distance,
						  float (*between) (void *arg, int i), void *arg, const HnswHandicaps *handicaps,
						  uint8 *occluded, const uint8 *pinned, bool pin, bool *new_occluded);
extern void HnswSetLink(HnswIndex *index, int kind, HnswNode *node, int at, HnswRef ref, bool occluded, bool pinned,
						const float *neighbor, const float *own, uint8_t *levels);
extern void HnswSetLinks(HnswIndex *index, int kind, HnswNode *node, const HnswNeighbor *neighbors, int n,
						 const float *own);
extern void HnswCopyLinks(HnswLinkList *list, const HnswNode *node, const HnswLayout *layout);
extern bool HnswSameLinks(const HnswLinkList *list, const HnswNode *node, const HnswLayout *layout);
extern bool HnswHasChildren(const uint8 *pinned, int n, int most);
extern bool HnswAddLink(HnswIndex *index, int kind, HnswRef target, HnswRef ref,
						const HnswStored *stored, const CodeQuery *query, HnswPin pin, bool log);
extern bool HnswReadStored(HnswIndex *index, int kind, HnswRef ref, HnswStored *stored, CodeQuery *query);
extern HnswRef HnswFindParent(HnswIndex *index, int kind, HnswRef at, HnswRef ref, const HnswStored *stored,
							  const CodeQuery *query, HnswPin pin, bool log);
extern float HnswStoredDistance(const HnswIndex *index, const float *q, const char *a, const char *b, float scale);

static inline bool
HnswBitGet(const uint8 *bits, int i)
{
	return (bits[i / 8] >> (i % 8)) & 1;
}

static inline void
HnswBitSet(uint8 *bits, int i, bool on)
{
	if (on)
		bits[i / 8] |= (uint8) (1 << (i % 8));
	else
		bits[i / 8] &= (uint8) ~(1 << (i % 8));
}

/* insert.c */
extern bool hnswinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
					   IndexUniqueCheck unique, bool unchanged, IndexInfo *info);
extern int	HnswLevelOf(ItemPointer tid, int m);
extern Buffer HnswAllocate(HnswIndex *index, int kind, bool log, int *slot);
extern void HnswFillNode(HnswIndex *index, int kind, HnswNode *node, int level, const HnswStored *stored,
						 HnswRef down, const HnswNeighbor *neighbors, int nneighbors);
extern void HnswWriteTail(HnswIndex *index, int kind, BlockNumber head, const HnswStored *stored, bool log);
extern HnswChunkRef HnswWriteChunks(HnswIndex *index, const HnswStored *stored, bool log);
extern void HnswLinkNode(HnswIndex *index, HnswSearch *search, const HnswValue *value, ItemPointer tid,
						 HnswRef existing, bool log);
extern float HnswCenterAndUnit(const float *first, int dim, float *center);

/* build.c */
extern IndexBuildResult *hnswbuild(Relation heap, Relation rel, IndexInfo *info);
extern void hnswbuildempty(Relation rel);

/* plan.c */
extern void HnswHookPlanner(void);

/* check.c */
extern Relation HnswOpenToLook(Oid oid, Relation *heap);

/* vacuum.c */
extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback, void *state);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);

#endif							/* HNSW_H */
