/*
 * build.h
 *	  State of a build: what its participants share, and what each has.
 *
 * For build*.c alone.  Functions are below the name of the file that has them.
 */
#ifndef HNSW_BUILD_H
#define HNSW_BUILD_H

#include "core/vec/scalar_code.h"
#include "index/hnsw/hnsw_graph.h"

#include "storage/barrier.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/dsa.h"

#define NO_NODE			PG_UINT32_MAX
#define MAX_CHUNKS		65536
#define WORK_BATCH		32		/* nodes taken at a time */
#define NODE_LOCKS		1024	/* shared by the nodes; nobody holds two */

/*
 * A server has few ids of tranches, 256 from PostgreSQL 19 on, and never takes one
 * back, so that sessions which build must not ask for any.  This one is a parallel
 * query's; pg_stat_activity calls a wait for these locks ParallelQueryDSA.
 */
#define BUILD_TRANCHE	LWTRANCHE_PARALLEL_QUERY_DSA

/* Links of a node on one level: ids[most], distances[most], bits: occluded, pinned. */
typedef struct BuildLinks
{
	uint16		n;
	uint16		unused;
	uint32		id[FLEXIBLE_ARRAY_MEMBER];
} BuildLinks;

#define LinkDistances(links, most)	((float *) ((links)->id + (most)))
#define LinkOccluded(links, most)	((uint8 *) ((links)->id + 2 * (most)))
#define LinkPinned(links, most)		(LinkOccluded(links, most) + ((most) + 7) / 8)

static inline Size
BuildLinksBytes(int most)
{
	return MAXALIGN(offsetof(BuildLinks, id) + 8 * most + 2 * ((most + 7) / 8));
}

/* A node of level 0.  Its links follow. */
typedef struct BuildNode
{
	HnswRef		ref;			/* slot on a page */
	uint64		hash;			/* of the stored value */
	float		error;			/* HnswNode's, over all rows: raised by merges under lock */
	uint32		upper;			/* number of its first upper node */
	uint32		next_equal;		/* nodes that were merged into this one, a list */
	ItemPointerData tid;
	uint8		level;
	uint8		nequal;
	bool		present;
	bool		merged;			/* its row went to an equal node */
} BuildNode;

/*
 * The value of a node, by the same number, in a table of its own: a search reads the values
 * of a dozen nodes for each whose links it follows, and so they are in as few lines of
 * cache, and pages, as can be.  The code or the value follows; of one of its own size, where
 * that is: a pointer (serial) or a dsa_pointer (parallel).
 */
typedef struct BuildValue
{
	float		scale;			/* of the scalar code */
	float		norm2;			/* squared norm of what the code decodes to; plain: HnswLength() */
} BuildValue;

#define VALUE_ALIGNMENT	32		/* half a line */

/* Memory that participants share, in numbered pieces. */
typedef struct ChunkTable
{
	Size		stride;			/* bytes of one entry */
	int			shift;			/* entries in a chunk: 1 << shift */
	dsa_pointer chunk[MAX_CHUNKS];	/* parallel */
} ChunkTable;

typedef struct BuildShared
{
	Oid			heap;
	Oid			rel;
	bool		concurrent;
	int			scalar_bits;	/* of codes in memory: 8 or 4 */
	Size		memory_limit;
	Size		area_limit;		/* of the DSA area; under allocation */
	dsa_handle	area;

	Barrier		barrier;
	LWLock		allocation;		/* creation of chunks */
	LWLock		entry_lock;
	LWLock		graph_lock;		/* HnswIndex.build_lock */
	LWLock		node_lock[NODE_LOCKS];	/* of nodes by their ids: links on all levels, and the list of merged ones */

	pg_atomic_uint32 nnodes;	/* taken so far */
	pg_atomic_uint32 nupper;
	pg_atomic_uint32 next;		/* of the phase's work */
	pg_atomic_uint64 memory;	/* bytes in use */
	pg_atomic_uint64 own_bytes; /* those of values of their own size */
	pg_atomic_uint64 done;		/* nodes done in this phase, for the progress report */
	pg_atomic_uint32 full;		/* memory used up */
	pg_atomic_uint32 short_of_shared;	/* before maintenance_work_mem was */
	pg_atomic_uint64 rest;		/* values beyond it */
	pg_atomic_uint32 merged;

	/* under entry_lock */
	uint32		entry;
	int			entry_level;

	/* by the one that prepares */
	BlockNumber upper_block;
	BlockNumber nblocks;

	/* added up under mutex */
	slock_t		mutex;
	double		heap_tuples;
	double		index_tuples;
	bool		broken_hot_chain;

	ChunkTable	nodes;
	ChunkTable	values;
	ChunkTable	uppers;
} BuildShared;

typedef struct PoolEntry
{
	float		distance;
	uint32		id;
} PoolEntry;

/* A distance that the search for a new node has computed. */
typedef struct BuildKnown
{
	uint32		id;
	uint32		from;			/* number of the new node, plus 1 */
	float		distance;
} BuildKnown;

#define KNOWN_DISTANCES	16384	/* by the last bits of the id; a later one takes the place of another */

/* One participant. */
typedef struct BuildState
{
	BuildShared *shared;
	dsa_area   *area;			/* NULL: serial */
	Relation	heap;
	Relation	rel;
	IndexInfo  *info;
	HnswIndex  *index;
	bool		leader;
	MemoryContext context;		/* of the build */
	MemoryContext row_context;	/* of one row or node */

	char	  **node_chunks;
	char	  **value_chunks;
	char	  **upper_chunks;

	/* load */
	Buffer		page;			/* pinned page with room, or invalid */
	double		index_tuples;

	/* graph */
	uint16	   *seen;			/* by id: round of the search */
	uint16		round;
	PoolEntry  *pool;			/* sorted; top bit of id: expanded */
	int			pool_size;
	const BuildValue *query;	/* of the node being inserted */
	uint32		query_id;
	BuildKnown *known;
} BuildState;

#define EXPANDED_ID 0x80000000u

/* ---------------------------------------------------------------------
 * Sizes
 * --------------------------------------------------------------------- */

static inline bool
BuildOwnSize(const HnswIndex *index)
{
	return index->layout[HNSW_BASE].value_form == HNSW_VALUE_CHUNKS;
}

/* What follows a BuildValue. */
static inline Size
BuildValueBytes(const HnswIndex *index, int scalar_bits)
{
	if (BuildOwnSize(index))
		return Max(sizeof(char *), sizeof(dsa_pointer));
	return index->space.coded ? scalar_code_bytes(scalar_bits, index->space.padded) : ValueRawBytes(&index->space);
}

static inline Size
BuildValueStride(const HnswIndex *index, int scalar_bits)
{
	return TYPEALIGN(VALUE_ALIGNMENT, sizeof(BuildValue) + BuildValueBytes(index, scalar_bits));
}

static inline Size
BuildNodeStride(const HnswIndex *index)
{
	return MAXALIGN(sizeof(BuildNode)) + BuildLinksBytes(2 * index->m);
}

/* What a node costs: about 8 * 2m + 60 bytes, and its value. */
static inline Size
BuildNodeBytes(const HnswIndex *index, int scalar_bits)
{
	return BuildNodeStride(index) + BuildValueStride(index, scalar_bits);
}

/* ---------------------------------------------------------------------
 * Functions
 * --------------------------------------------------------------------- */

/* build.c */
extern void BuildInitState(BuildState *state, BuildShared *shared, dsa_area *area, Relation heap, Relation rel,
						   IndexInfo *info, bool leader);
extern void BuildInitShared(BuildShared *shared, HnswIndex *index, Relation heap, IndexInfo *info, int scalar_bits);
extern void BuildParticipate(BuildState *state, ParallelTableScanDesc parallel_scan);
extern bool BuildNextBatch(BuildState *state, uint32 total, uint32 *from, uint32 *to);
extern void BuildFinish(BuildState *state);

/* build_memory.c */
extern void BuildInitTable(ChunkTable *table, Size stride, Size memory_limit);
extern uint64 BuildSharedRoom(void);
extern bool BuildSharedFits(BuildState *state, Size bytes);
extern char *BuildTableItem(BuildState *state, ChunkTable *table, char **chunks, uint32 id, bool make);
extern uint32 BuildTakeNode(BuildState *state, Size own_bytes, BuildNode **node, BuildValue **value);

/* build_center.c */
extern double BuildSample(HnswIndex *index, Relation heap, IndexInfo *info);

/* build_load.c */
extern void BuildLoad(BuildState *state, ParallelTableScanDesc parallel_scan);

/* build_graph.c */
extern void BuildLinkNodes(BuildState *state);

/* build_write.c */
extern void BuildPrepareWrite(BuildState *state);
extern void BuildWriteNodes(BuildState *state);
extern void BuildListFreeSlots(HnswIndex *index);

/* build_rest.c */
extern void BuildLinkRest(BuildState *state);

/* build_parallel.c */
extern int	BuildWorkers(Relation heap, Relation rel, double values);
extern bool BuildCanShare(HnswIndex *index, double values, int scalar_bits);
extern bool BuildParallel(HnswIndex *index, Relation heap, Relation rel, IndexInfo *info, int scalar_bits,
						  int workers, IndexBuildResult *result);

/* ---------------------------------------------------------------------
 * Nodes in memory
 * --------------------------------------------------------------------- */

static inline char *
BuildGetItem(BuildState *state, ChunkTable *table, char **chunks, uint32 id)
{
	char	   *chunk = chunks[id >> table->shift];

	if (likely(chunk != NULL))
		return chunk + table->stride * (id & ((1u << table->shift) - 1));
	return BuildTableItem(state, table, chunks, id, false);
}

static inline BuildNode *
BuildGetNode(BuildState *state, uint32 id)
{
	return (BuildNode *) BuildGetItem(state, &state->shared->nodes, state->node_chunks, id);
}

static inline BuildValue *
BuildGetValue(BuildState *state, uint32 id)
{
	return (BuildValue *) BuildGetItem(state, &state->shared->values, state->value_chunks, id);
}

static inline BuildLinks *
BuildBaseLinks(BuildNode *node)
{
	return (BuildLinks *) ((char *) node + MAXALIGN(sizeof(BuildNode)));
}

/* Upper nodes hold their owner's id, then links. */
static inline uint32 *
BuildGetUpper(BuildState *state, uint32 number)
{
	return (uint32 *) BuildTableItem(state, &state->shared->uppers, state->upper_chunks, number, false);
}

static inline BuildLinks *
BuildGetLinks(BuildState *state, BuildNode *node, int level)
{
	if (level == 0)
		return BuildBaseLinks(node);
	return (BuildLinks *) ((char *) BuildGetUpper(state, node->upper + level - 1) + MAXALIGN(sizeof(uint32)));
}

/* The code, or the value. */
static inline const char *
BuildValueData(BuildState *state, const BuildValue *value)
{
	const char *data = (const char *) (value + 1);

	if (!BuildOwnSize(state->index))
		return data;
	return state->area == NULL ? *(char *const *) data : dsa_get_address(state->area, *(const dsa_pointer *) data);
}

static inline void
BuildLockNode(BuildState *state, uint32 id)
{
	LWLockAcquire(&state->shared->node_lock[id % NODE_LOCKS], LW_EXCLUSIVE);
}

static inline void
BuildUnlockNode(BuildState *state, uint32 id)
{
	LWLockRelease(&state->shared->node_lock[id % NODE_LOCKS]);
}

#endif							/* HNSW_BUILD_H */
