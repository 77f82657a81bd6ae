/*
 * build.c
 *	  Building an index: in memory, by one process or several.
 *
 * Phases, each shared by all participants and ended by a barrier:
 *
 * 1. Load.  The heap is scanned.  Each value goes to its final place on a page
 *	  of level 0 (rotated halves, or raw bytes), marked UNLINKED, and into
 *	  memory: coded values as 8-bit or 4-bit scalar codes, others as they are.
 * 2. Graph.  Nodes are inserted in memory.  A node's links carry their distance
 *	  and whether they are occluded, so that a change costs at most one distance
 *	  a link (link.c).  Searches read links without locks: ids are single words,
 *	  and a link that is missed or seen twice does no harm.  Writers hold the
 *	  node's lock, one of NODE_LOCKS for all: up to 200 distances are computed
 *	  under it, too many for a spin lock.
 * 3. Prepare (one process).  Pages of the upper levels are added; the entry
 *	  point is set.
 * 4. Write.  Links and codes are filled in on the pages.
 * 5. Rest.  Values that came after maintenance_work_mem was used up have their
 *	  places on pages, but are not in memory; they are linked one by one on the
 *	  pages, without logging, by all participants.
 *
 * Nothing is logged until the end, when all pages are logged once.
 *
 * Memory: see node_bytes().  A serial build allocates it from a memory context,
 * a parallel one from a DSA area.
 */
#include "index/hnsw/hnsw.h"

#include <float.h>
#include <math.h>
#include <sys/statvfs.h>

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "common/hashfn.h"
#include "core/vec/distance.h"
#include "core/vec/scalar_code.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "pgstat.h"
#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/dsm_impl.h"
#include "storage/lmgr.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/backend_progress.h"
#include "utils/dsa.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"
#include "utils/wait_event.h"
#include "vector/vector.h"

#define PARALLEL_KEY_SHARED		UINT64CONST(0xB000000000000001)
#define PARALLEL_KEY_SCAN		UINT64CONST(0xB000000000000002)
#define PARALLEL_KEY_QUERY		UINT64CONST(0xB000000000000003)

#define NO_NODE			PG_UINT32_MAX
#define MAX_CHUNKS		65536
#define LEAST_CHUNK		(32 * 1024)	/* bytes; a 64th of the memory between them */
#define MOST_CHUNK		(256 * 1024)
#define SAMPLE_VALUES	2000	/* for unit and centre */
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
links_bytes(int most)
{
	return MAXALIGN(offsetof(BuildLinks, id) + 8 * most + 2 * ((most + 7) / 8));
}

/* A node of level 0.  Its links and its value follow. */
typedef struct BuildNode
{
	HnswRef		ref;			/* place on pages */
	uint64		hash;			/* of the stored value */
	char	   *value_pointer;	/* value of its own size: where (serial) ... */
	dsa_pointer value_dsa;		/* ... or where (parallel) */
	float		error;			/* HnswNode's, over all rows: raised by merges under lock */
	float		scale;			/* of the scalar code */
	float		norm2;			/* squared norm of what the code decodes to; plain: HnswHandicap() */
	uint32		upper;			/* number of its first upper node */
	uint32		next_equal;		/* nodes that were merged into this one, a list */
	ItemPointerData tid;
	uint8		level;
	uint8		nequal;
	bool		present;
	bool		merged;			/* its row went to an equal node */
} BuildNode;

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
	ChunkTable	uppers;
} BuildShared;

typedef struct PoolEntry
{
	float		distance;
	uint32		id;
} PoolEntry;

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
	char	  **upper_chunks;

	/* load */
	Buffer		page;			/* pinned page with room, or invalid */
	double		index_tuples;

	/* graph */
	uint16	   *seen;			/* by id: round of the search */
	uint16		round;
	PoolEntry  *pool;			/* sorted; top bit of id: expanded */
	int			pool_size;
	char	   *query;			/* value of the node being inserted */
	float		query_scale;
	float		query_norm2;
} BuildState;

#define EXPANDED_ID 0x80000000u

/* ---------------------------------------------------------------------
 * Memory
 * --------------------------------------------------------------------- */

static Size
value_offset(const HnswIndex *index)
{
	return MAXALIGN(sizeof(BuildNode)) + links_bytes(2 * index->m);
}

static Size
value_bytes(const HnswIndex *index, int scalar_bits)
{
	return index->coded ? scalar_code_bytes(scalar_bits, index->padded) : HnswRawBytes(index);
}

/* What a node costs: about 8 * 2m + 100 bytes, and its value. */
static Size
node_bytes(const HnswIndex *index, int scalar_bits)
{
	return MAXALIGN(value_offset(index) + value_bytes(index, scalar_bits));
}

/*
 * Chunks are small beside the segments of a DSA area, which double in size, so
 * that little of a segment is left over; and as large as it takes for the
 * table to span the memory.
 */
static void
init_table(ChunkTable *table, Size stride, Size memory_limit)
{
	Size		most = Min(Max(memory_limit / 64, LEAST_CHUNK), MOST_CHUNK);

	most = Max(most, memory_limit / (MAX_CHUNKS / 4));
	table->stride = stride;
	table->shift = 4;
	while ((stride << (table->shift + 1)) <= most)
		table->shift++;
}

static Size
chunk_bytes(const ChunkTable *table)
{
	return table->stride << table->shift;
}

/*
 * Whether another chunk may be made.  Upper nodes cannot do without theirs, and
 * are few.
 */
static bool
chunk_fits(BuildShared *shared, const ChunkTable *table)
{
	return table != &shared->nodes ||
		pg_atomic_read_u64(&shared->memory) + chunk_bytes(table) <= shared->memory_limit;
}

/*
 * Bytes that the file system of dynamic shared memory has left; that of a
 * container often holds 64 MB.  UINT64_MAX where nobody can tell.
 */
static uint64
shared_room(void)
{
	struct statvfs room;
	const char *path = dynamic_shared_memory_type == DSM_IMPL_POSIX ? "/dev/shm" :
		dynamic_shared_memory_type == DSM_IMPL_MMAP ? PG_DYNSHMEM_DIR : NULL;

	if (path == NULL || statvfs(path, &room) != 0 || room.f_blocks == 0)
		return UINT64_MAX;
	return (uint64) room.f_bavail * room.f_frsize;
}

/*
 * Is there room for so many bytes more?  The area grows by segments, each about
 * half as large as all before it together; to ask for one that does not fit would
 * end the build.  What the upper levels will take is kept free, for they cannot do
 * without.
 */
static bool
shared_fits(BuildState *state, Size bytes)
{
	uint64		used = pg_atomic_read_u64(&state->shared->memory);

	/* what is set aside may be twice of what is used */
	if (shared_room() >= used + used / 16 + bytes + 1024 * 1024)
		return true;
	pg_atomic_write_u32(&state->shared->short_of_shared, 1);
	return false;
}

/*
 * Entry number `id`.  Its chunk is made, if so asked, when it does not exist;
 * NULL when there is none, or no room for another.
 */
static char *
table_entry(BuildState *state, ChunkTable *table, char **chunks, uint32 id, bool make)
{
	uint32		c = id >> table->shift;

	if (unlikely(chunks[c] == NULL))
	{
		BuildShared *shared = state->shared;
		bool		ok;

		if (c >= MAX_CHUNKS - 1)
			return NULL;
		if (state->area == NULL)
		{
			if (!make || !chunk_fits(shared, table))
				return NULL;
			pg_atomic_fetch_add_u64(&shared->memory, chunk_bytes(table));
			chunks[c] = MemoryContextAllocExtended(state->context, chunk_bytes(table), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		}
		else
		{
			LWLockAcquire(&shared->allocation, LW_EXCLUSIVE);
			ok = DsaPointerIsValid(table->chunk[c]);
			if (!ok && make && chunk_fits(shared, table) &&
				(table != &shared->nodes || shared_fits(state, chunk_bytes(table))))
			{
				int			flags = DSA_ALLOC_HUGE | DSA_ALLOC_ZERO | DSA_ALLOC_NO_OOM;

				table->chunk[c] = dsa_allocate_extended(state->area, chunk_bytes(table), flags);
				if (!DsaPointerIsValid(table->chunk[c]) && table != &shared->nodes)
				{
					/* all is loaded: the limit need not hold the nodes back any more */
					shared->area_limit += Max(shared->memory_limit / 16, 2 * chunk_bytes(table));
					dsa_set_size_limit(state->area, shared->area_limit);
					table->chunk[c] = dsa_allocate_extended(state->area, chunk_bytes(table), flags);
				}
				ok = DsaPointerIsValid(table->chunk[c]);
				if (ok)
					pg_atomic_fetch_add_u64(&shared->memory, chunk_bytes(table));
			}
			LWLockRelease(&shared->allocation);
			if (!ok)
				return NULL;
			chunks[c] = dsa_get_address(state->area, table->chunk[c]);
		}
	}
	return chunks[c] + table->stride * (id & ((1u << table->shift) - 1));
}

static inline BuildNode *
get_node(BuildState *state, uint32 id)
{
	const ChunkTable *table = &state->shared->nodes;
	char	   *chunk = state->node_chunks[id >> table->shift];

	if (likely(chunk != NULL))
		return (BuildNode *) (chunk + table->stride * (id & ((1u << table->shift) - 1)));
	return (BuildNode *) table_entry(state, &state->shared->nodes, state->node_chunks, id, false);
}

static inline BuildLinks *
base_links(BuildNode *node)
{
	return (BuildLinks *) ((char *) node + MAXALIGN(sizeof(BuildNode)));
}

/* Upper nodes hold their owner's id, then links. */
static inline uint32 *
get_upper(BuildState *state, uint32 number)
{
	return (uint32 *) table_entry(state, &state->shared->uppers, state->upper_chunks, number, false);
}

static inline BuildLinks *
get_links(BuildState *state, BuildNode *node, int level)
{
	if (level == 0)
		return base_links(node);
	return (BuildLinks *) ((char *) get_upper(state, node->upper + level - 1) + MAXALIGN(sizeof(uint32)));
}

static inline const char *
node_value(BuildState *state, BuildNode *node)
{
	if (state->index->layout[HNSW_BASE].value_form == HNSW_VALUE_CHUNKS)
		return state->area == NULL ? node->value_pointer : dsa_get_address(state->area, node->value_dsa);
	return (char *) node + value_offset(state->index);
}

static inline void
lock_node(BuildState *state, uint32 id)
{
	LWLockAcquire(&state->shared->node_lock[id % NODE_LOCKS], LW_EXCLUSIVE);
}

static inline void
unlock_node(BuildState *state, uint32 id)
{
	LWLockRelease(&state->shared->node_lock[id % NODE_LOCKS]);
}

/* ---------------------------------------------------------------------
 * Load
 * --------------------------------------------------------------------- */

/*
 * Take a place in memory for a value, or return NO_NODE when
 * maintenance_work_mem is used up.
 */
static uint32
take_node(BuildState *state, Size own_bytes, BuildNode **node)
{
	BuildShared *shared = state->shared;
	uint32		id;

	if (pg_atomic_read_u32(&shared->full))
		return NO_NODE;
	if (own_bytes > 0 && pg_atomic_read_u64(&shared->memory) + own_bytes > shared->memory_limit)
	{
		pg_atomic_write_u32(&shared->full, 1);
		return NO_NODE;
	}
	id = pg_atomic_fetch_add_u32(&shared->nnodes, 1);
	*node = id < EXPANDED_ID - 1 ? (BuildNode *) table_entry(state, &shared->nodes, state->node_chunks, id, true) : NULL;
	if (*node == NULL)
	{
		pg_atomic_write_u32(&shared->full, 1);
		return NO_NODE;
	}
	return id;
}

/* Write a value to the next free slot of level 0; returns its reference. */
static HnswRef
write_value(BuildState *state, const HnswStored *stored, ItemPointer tid)
{
	HnswIndex  *index = state->index;
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	HnswStored	on_page = *stored;
	HnswChunkRef chunks;
	Page		page;
	HnswNode   *node;
	int			slot;

	if (layout->value_form == HNSW_VALUE_CHUNKS)
	{
		chunks = HnswWriteChunks(index, stored, false);
		on_page.bytes = (const char *) &chunks;
	}
	if (BufferIsValid(state->page))
	{
		LockBuffer(state->page, BUFFER_LOCK_EXCLUSIVE);
		if (HnswPageSlots(BufferGetPage(state->page), layout) >= layout->slots)
		{
			UnlockReleaseBuffer(state->page);
			state->page = InvalidBuffer;
		}
	}
	if (!BufferIsValid(state->page))
	{
		state->page = HnswExtend(state->rel, MAIN_FORKNUM, 1 + layout->tail_pages);
		HnswInitPage(BufferGetPage(state->page), HNSW_PAGE_BASE);
	}
	HnswWriteTail(index, HNSW_BASE, BufferGetBlockNumber(state->page), &on_page, false);
	page = BufferGetPage(state->page);
	slot = HnswPageSlots(page, layout);
	node = HnswPageNode(page, layout, slot);
	node->generation = 0;
	((PageHeader) page)->pd_lower += layout->slot_bytes;
	HnswFillNode(index, HNSW_BASE, node, 0, &on_page, HNSW_NO_REF, NULL, 0);
	node->flags |= HNSW_NODE_UNLINKED;
	node->tids[0] = *tid;
	node->ntids = 1;
	MarkBufferDirty(state->page);
	LockBuffer(state->page, BUFFER_LOCK_UNLOCK);
	return HnswMakeRef(BufferGetBlockNumber(state->page), slot, 0);
}

static void
load_row(Relation rel, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	BuildState *state = (BuildState *) arg;
	BuildShared *shared = state->shared;
	HnswIndex  *index = state->index;
	MemoryContext old;
	HnswValue	value;

	if (isnull[0])
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(state->row_context);
	if (HnswPrepareValue(index, values[0], false, &value))
	{
		HnswStored	stored;
		HnswRef		ref;
		BuildNode  *node;
		uint32		id;
		dsa_pointer own_room = InvalidDsaPointer;
		bool		own_size = index->layout[HNSW_BASE].value_form == HNSW_VALUE_CHUNKS;

		HnswStore(index, &value, &stored);
		ref = write_value(state, &stored, tid);
		id = take_node(state, own_size ? value.raw_bytes : 0, &node);
		if (id != NO_NODE && own_size && state->area != NULL)
		{
			if (shared_fits(state, value.raw_bytes))
				own_room = dsa_allocate_extended(state->area, value.raw_bytes, DSA_ALLOC_NO_OOM);
			if (!DsaPointerIsValid(own_room))
			{
				pg_atomic_write_u32(&shared->full, 1);
				id = NO_NODE;
			}
		}
		if (id == NO_NODE)
			pg_atomic_fetch_add_u64(&shared->rest, 1);
		else
		{
			char	   *room = (char *) node + value_offset(index);

			node->ref = ref;
			node->hash = hash_bytes_extended((const unsigned char *) stored.bytes, stored.nbytes, 0);
			node->tid = *tid;
			node->level = HnswLevelOf(tid, index->m);
			node->error = stored.error;
			node->next_equal = NO_NODE;
			if (index->coded)
			{
				node->scale = scalar_encode(shared->scalar_bits, index->padded, stored.floats, room);
				if (shared->scalar_bits == 8)
					node->norm2 = (float) scalar_dot8((int8_t *) room, (int8_t *) room, index->padded);
				else
					node->norm2 = (float) scalar_dot4((uint8_t *) room, (uint8_t *) room, index->padded);
				node->norm2 *= node->scale * node->scale;
			}
			else if (own_size)
			{
				char	   *copy;

				if (state->area == NULL)
					copy = node->value_pointer = MemoryContextAlloc(state->context, value.raw_bytes);
				else
				{
					node->value_dsa = own_room;
					copy = dsa_get_address(state->area, own_room);
				}
				memcpy(copy, value.raw, value.raw_bytes);
				pg_atomic_fetch_add_u64(&shared->memory, value.raw_bytes + 32);
				pg_atomic_fetch_add_u64(&shared->own_bytes, value.raw_bytes + 32);
			}
			else
				memcpy(room, value.raw, value.raw_bytes);
			if (!index->coded)
				node->norm2 = HnswHandicap(index, value.raw);
			node->present = true;
		}
		state->index_tuples++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->row_context);
}

static void
load(BuildState *state, ParallelTableScanDesc parallel_scan)
{
	BuildShared *shared = state->shared;
	TableScanDesc scan = NULL;
	double		tuples;

	/* begun here, for one who comes too late to load would have to end it */
	if (parallel_scan != NULL)
		scan = VecdbBeginParallelScan(state->heap, parallel_scan);
	state->page = InvalidBuffer;
	tuples = table_index_build_scan(state->heap, state->rel, state->info, true, state->leader,
									load_row, state, scan);
	if (BufferIsValid(state->page))
		ReleaseBuffer(state->page);
	SpinLockAcquire(&shared->mutex);
	shared->heap_tuples += tuples;
	shared->index_tuples += state->index_tuples;
	if (state->info->ii_BrokenHotChain)
		shared->broken_hot_chain = true;
	SpinLockRelease(&shared->mutex);
}

/* ---------------------------------------------------------------------
 * Graph
 * --------------------------------------------------------------------- */

static inline float
value_distance(BuildState *state, const char *a, float a_scale, float a_norm2, BuildNode *node)
{
	HnswIndex  *index = state->index;
	const char *b = node_value(state, node);
	float		distance;

	if (index->coded)
	{
		int32_t		dot = state->shared->scalar_bits == 8
			? scalar_dot8((const int8_t *) a, (const int8_t *) b, index->padded)
			: scalar_dot4((const uint8_t *) a, (const uint8_t *) b, index->padded);
		float		product = a_scale * node->scale * (float) dot;

		distance = index->code_metric == CODE_IP ? -product : a_norm2 + node->norm2 - 2 * product;
	}
	else
		distance = (float) HnswRawDistance(index, a, b);
	return isnan(distance) ? FLT_MAX : distance;
}

static inline float
query_distance(BuildState *state, BuildNode *node)
{
	return value_distance(state, state->query, state->query_scale, state->query_norm2, node);
}

static inline float
nodes_distance(BuildState *state, BuildNode *a, BuildNode *b)
{
	return value_distance(state, node_value(state, a), a->scale, a->norm2, b);
}

static void
set_query(BuildState *state, BuildNode *node)
{
	state->query = (char *) node_value(state, node);
	state->query_scale = node->scale;
	state->query_norm2 = node->norm2;
}

static void
new_round(BuildState *state, uint32 nnodes)
{
	if (++state->round == 0)
	{
		memset(state->seen, 0, sizeof(uint16) * nnodes);
		state->round = 1;
	}
}

static inline int
pool_insert(BuildState *state, int capacity, uint32 id, float distance)
{
	PoolEntry  *pool = state->pool;
	int			low = 0;
	int			high = state->pool_size;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (pool[middle].distance <= distance)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == capacity)
		return low;
	if (state->pool_size < capacity)
		state->pool_size++;
	memmove(&pool[low + 1], &pool[low], sizeof(PoolEntry) * (state->pool_size - low - 1));
	pool[low].distance = distance;
	pool[low].id = id;
	return low;
}

/*
 * Best-first search of one level for state->query, from what is in the pool;
 * leaves the best `capacity` in the pool, in order.
 */
static void
search_level(BuildState *state, int level, int capacity)
{
	HnswIndex  *index = state->index;
	int			most = level > 0 ? index->m : 2 * index->m;
	int			prefetch = Min(value_bytes(index, state->shared->scalar_bits), 1024);
	Size		offset = value_offset(index);
	int			next = 0;

	if (index->layout[HNSW_BASE].value_form == HNSW_VALUE_CHUNKS)
		prefetch = 0;
	for (int i = 0; i < state->pool_size; i++)
		state->seen[state->pool[i].id & ~EXPANDED_ID] = state->round;
	for (int i = 0; i < state->pool_size; i++)
		state->pool[i].id &= ~EXPANDED_ID;
	state->pool_size = Min(state->pool_size, capacity);

	while (next < state->pool_size)
	{
		uint32		id = state->pool[next].id;
		volatile BuildLinks *links;
		BuildNode  *fresh[2 * HNSW_MAX_M];
		uint32		fresh_id[2 * HNSW_MAX_M];
		int			nfresh = 0;
		int			n;
		int			at = next;

		if (id & EXPANDED_ID)
		{
			next++;
			continue;
		}
		state->pool[at].id |= EXPANDED_ID;
		next++;
		links = get_links(state, get_node(state, id), level);
		n = Min(links->n, most);
		pg_read_barrier();		/* pairs with those before links->n grows */
		for (int i = 0; i < n; i++)
		{
			uint32		other = links->id[i];

			if (state->seen[other] == state->round)
				continue;
			state->seen[other] = state->round;
			fresh[nfresh] = get_node(state, other);
			fresh_id[nfresh++] = other;
			__builtin_prefetch(fresh[nfresh - 1]);
			for (int line = 0; line < prefetch; line += 64)
				__builtin_prefetch((char *) fresh[nfresh - 1] + offset + line);
		}
		for (int i = 0; i < nfresh; i++)
		{
			float		distance = query_distance(state, fresh[i]);

			if (state->pool_size < capacity || distance < state->pool[state->pool_size - 1].distance)
			{
				int			placed = pool_insert(state, capacity, fresh_id[i], distance);

				if (placed < next)
					next = placed;
			}
		}
	}
}

static inline float
handicap(const BuildState *state, const BuildNode *node)
{
	return HnswHasHandicaps(state->index) ? node->norm2 : 0;
}

/* The heuristic over the pool; chosen ids, kept ones first. */
static int
choose_neighbors(BuildState *state, uint32 self_id, int most, uint32 *ids, float *distances, uint8 *occluded)
{
	int			nkept = 0;
	int			nfill = 0;
	int			n;
	BuildNode  *kept[2 * HNSW_MAX_M];
	uint32		fill[2 * HNSW_MAX_M];
	float		fill_distance[2 * HNSW_MAX_M];
	float		own = handicap(state, get_node(state, self_id));

	for (int i = 0; i < state->pool_size && nkept < most; i++)
	{
		uint32		id = state->pool[i].id & ~EXPANDED_ID;
		float		distance = state->pool[i].distance;
		BuildNode  *candidate = get_node(state, id);
		bool		hidden = false;

		if (id == self_id)
			continue;
		for (int k = 0; k < nkept && !hidden; k++)
			hidden = nodes_distance(state, kept[k], candidate) + handicap(state, kept[k]) <= distance + own;
		if (hidden)
		{
			if (nfill < most)
			{
				fill[nfill] = id;
				fill_distance[nfill++] = distance;
			}
			continue;
		}
		kept[nkept] = candidate;
		ids[nkept] = id;
		distances[nkept++] = distance;
	}
	memset(occluded, 0, (most + 7) / 8);
	n = nkept;
	for (int i = 0; i < nfill && n < most; i++)
	{
		ids[n] = fill[i];
		distances[n] = fill_distance[i];
		HnswBitSet(occluded, n, true);
		n++;
	}
	return n;
}

typedef struct BetweenArg
{
	BuildState *state;
	BuildNode  *node;
	BuildLinks *links;
} BetweenArg;

static float
between_nodes(void *arg, int i)
{
	BetweenArg *between = (BetweenArg *) arg;

	return nodes_distance(between->state, between->node, get_node(between->state, between->links->id[i]));
}

/* Offer node `id` to the list of `target`; returns whether it is taken. */
static bool
add_back_link(BuildState *state, uint32 target_id, int level, uint32 id, BuildNode *node, float distance, HnswPin pin)
{
	int			most = level > 0 ? state->index->m : 2 * state->index->m;
	BuildNode  *target = get_node(state, target_id);
	BuildLinks *links = get_links(state, target, level);
	float	   *distances = LinkDistances(links, most);
	uint8	   *occluded = LinkOccluded(links, most);
	BetweenArg	arg = {state, node, links};
	HnswHandicaps handicaps;
	bool		new_occluded;
	int			at;

	lock_node(state, target_id);
	if (pin == HNSW_PIN_CHILD && HnswHasChildren(LinkPinned(links, most), links->n, most))
	{
		unlock_node(state, target_id);
		return false;
	}
	if (HnswHasHandicaps(state->index))
	{
		handicaps.own = handicap(state, target);
		handicaps.fresh = handicap(state, node);
		for (int i = 0; i < links->n; i++)
			handicaps.present[i] = handicap(state, get_node(state, links->id[i]));
	}
	at = HnswPlaceLink(links->n, most, distances, distance, between_nodes, &arg,
					   HnswHasHandicaps(state->index) ? &handicaps : NULL, occluded,
					   LinkPinned(links, most), pin, &new_occluded);
	if (at >= 0)
	{
		links->id[at] = id;
		HnswBitSet(LinkPinned(links, most), at, pin != HNSW_PIN_NOT);
		distances[at] = distance;
		HnswBitSet(occluded, at, new_occluded);
		if (at == links->n)
		{
			pg_write_barrier();
			links->n++;
		}
	}
	unlock_node(state, target_id);
	return at >= 0;
}

/* As HnswFindParent() */
static uint32
find_parent(BuildState *state, int level, uint32 at, uint32 id, BuildNode *node)
{
	int			most = level > 0 ? state->index->m : 2 * state->index->m;
	uint32		from = id;
	uint32		random = hash_bytes_uint32(id);

	for (int step = 0; step < HNSW_MOST_STEPS; step++)
	{
		BuildNode  *present = get_node(state, at);
		BuildLinks *links = get_links(state, present, level);
		uint32		pinned[2 * HNSW_MAX_M];
		int			n = 0;

		lock_node(state, at);
		for (int i = 0; i < links->n; i++)
		{
			if (HnswBitGet(LinkPinned(links, most), i) && links->id[i] != from && links->id[i] != id)
				pinned[n++] = links->id[i];
		}
		unlock_node(state, at);
		if (n == 0)
			return NO_NODE;
		from = at;
		at = pinned[(random >> 8) % n];
		random = random * 1664525 + 1013904223;
		if (add_back_link(state, at, level, id, node, query_distance(state, get_node(state, at)), HNSW_PIN_CHILD))
			return at;
	}
	return NO_NODE;
}

/*
 * The link to the nearest neighbour is pinned from the beginning; when another
 * became the parent, that one is.
 */
static void
pin_parent(BuildState *state, uint32 id, BuildNode *node, int level, uint32 nearest, uint32 parent)
{
	int			most = level > 0 ? state->index->m : 2 * state->index->m;
	BuildLinks *links = get_links(state, node, level);
	bool		found = false;

	lock_node(state, id);
	for (int i = 0; i < links->n; i++)
	{
		if (links->id[i] == nearest)
			HnswBitSet(LinkPinned(links, most), i, false);
		if (links->id[i] == parent)
		{
			HnswBitSet(LinkPinned(links, most), i, true);
			found = true;
		}
	}
	unlock_node(state, id);
	if (!found)
		add_back_link(state, id, level, parent, get_node(state, parent), query_distance(state, get_node(state, parent)), HNSW_PIN_ALWAYS);
}

/* Give the row of `node` to an equal node among the candidates. */
static bool
merge_equal(BuildState *state, uint32 id, BuildNode *node)
{
	for (int i = 0; i < state->pool_size; i++)
	{
		uint32		other_id = state->pool[i].id & ~EXPANDED_ID;
		BuildNode  *other = get_node(state, other_id);
		bool		merged = false;

		if (other->hash != node->hash || other->scale != node->scale || other == node)
			continue;

		/* 64 bits of hash over the stored bytes; the codes in memory agree as well */
		if (state->index->coded &&
			memcmp(node_value(state, other), node_value(state, node),
				   value_bytes(state->index, state->shared->scalar_bits)) != 0)
			continue;
		if (!state->index->coded && state->pool[i].distance != query_distance(state, node))
			continue;
		lock_node(state, other_id);
		if (!other->merged && other->nequal < HNSW_TIDS - 1)
		{
			node->next_equal = other->next_equal;
			other->next_equal = id;
			other->nequal++;
			other->error = Max(other->error, node->error);
			merged = true;
		}
		unlock_node(state, other_id);
		if (merged)
		{
			node->merged = true;
			pg_atomic_fetch_add_u32(&state->shared->merged, 1);
			return true;
		}
	}
	return false;
}

static void
insert_node(BuildState *state, uint32 id, uint32 nnodes)
{
	BuildShared *shared = state->shared;
	HnswIndex  *index = state->index;
	BuildNode  *node = get_node(state, id);
	uint32		entry;
	int			entry_level;
	bool		exclusive = false;
	int			level = node->level;
	int			top;
	int			nchosen[HNSW_MAX_LEVEL + 1];
	uint32	   *chosen[HNSW_MAX_LEVEL + 1];
	float	   *distance[HNSW_MAX_LEVEL + 1];
	uint8	   *occluded[HNSW_MAX_LEVEL + 1];
	PoolEntry  *others[HNSW_MAX_LEVEL + 1];
	int			nothers[HNSW_MAX_LEVEL + 1];

	LWLockAcquire(&shared->entry_lock, LW_SHARED);
	if (shared->entry == NO_NODE || level > shared->entry_level)
	{
		LWLockRelease(&shared->entry_lock);
		LWLockAcquire(&shared->entry_lock, LW_EXCLUSIVE);
		exclusive = true;
	}
	entry = shared->entry;
	entry_level = shared->entry_level;
	if (!exclusive)
		LWLockRelease(&shared->entry_lock);

	if (level > 0)
	{
		node->upper = pg_atomic_fetch_add_u32(&shared->nupper, level);
		for (int l = 1; l <= level; l++)
		{
			uint32	   *upper = (uint32 *) table_entry(state, &shared->uppers, state->upper_chunks, node->upper + l - 1, true);

			if (upper == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_OUT_OF_MEMORY),
						 errmsg("out of memory"),
						 errdetail("No room for the upper levels of index \"%s\".", RelationGetRelationName(index->rel)),
						 errhint("Lower maintenance_work_mem or max_parallel_maintenance_workers.")));
			*upper = id;
		}
	}

	set_query(state, node);
	state->pool_size = 0;
	if (entry != NO_NODE)
	{
		new_round(state, nnodes);
		pool_insert(state, 1, entry, query_distance(state, get_node(state, entry)));
		for (int l = entry_level; l > level; l--)
		{
			search_level(state, l, 1);
			new_round(state, nnodes);
		}
	}
	top = Min(level, entry_level);
	for (int l = 0; l <= level; l++)
		nchosen[l] = 0;
	for (int l = top; l >= 0 && entry != NO_NODE; l--)
	{
		int			most = l > 0 ? index->m : 2 * index->m;

		chosen[l] = palloc(sizeof(uint32) * most);
		distance[l] = palloc(sizeof(float) * most);
		occluded[l] = palloc((most + 7) / 8);
		search_level(state, l, index->ef_construction);
		if (l == 0 && merge_equal(state, id, node))
		{
			if (exclusive)
				LWLockRelease(&shared->entry_lock);
			return;
		}
		nchosen[l] = choose_neighbors(state, id, most, chosen[l], distance[l], occluded[l]);
		nothers[l] = state->pool_size;
		others[l] = palloc(sizeof(PoolEntry) * Max(state->pool_size, 1));
		memcpy(others[l], state->pool, sizeof(PoolEntry) * state->pool_size);
		new_round(state, nnodes);
	}

	for (int l = 0; l <= top && entry != NO_NODE; l++)
	{
		int			most = l > 0 ? index->m : 2 * index->m;
		BuildLinks *links = get_links(state, node, l);

		lock_node(state, id);
		memcpy(links->id, chosen[l], sizeof(uint32) * nchosen[l]);
		memcpy(LinkDistances(links, most), distance[l], sizeof(float) * nchosen[l]);
		memcpy(LinkOccluded(links, most), occluded[l], (most + 7) / 8);
		if (nchosen[l] > 0)
			HnswBitSet(LinkPinned(links, most), 0, true);
		pg_write_barrier();
		links->n = nchosen[l];
		unlock_node(state, id);
	}
	pg_write_barrier();
	for (int l = 0; l <= top && entry != NO_NODE; l++)
	{
		uint32		parent = NO_NODE;

		for (int i = 0; i < nchosen[l] && parent == NO_NODE; i++)
		{
			if (add_back_link(state, chosen[l][i], l, id, node, distance[l][i], HNSW_PIN_CHILD))
				parent = chosen[l][i];
		}

		/* children enough: any other that the search came by */
		for (int i = 0; i < nothers[l] && parent == NO_NODE; i++)
		{
			uint32		other = others[l][i].id & ~EXPANDED_ID;

			if (other != id && add_back_link(state, other, l, id, node, others[l][i].distance, HNSW_PIN_CHILD))
				parent = other;
		}
		if (parent == NO_NODE && nchosen[l] > 0)
			parent = find_parent(state, l, chosen[l][0], id, node);
		for (int i = 0; i < nchosen[l]; i++)
		{
			if (chosen[l][i] != parent)
				add_back_link(state, chosen[l][i], l, id, node, distance[l][i], HNSW_PIN_NOT);
		}
		if (parent != NO_NODE && parent != chosen[l][0])
			pin_parent(state, id, node, l, chosen[l][0], parent);
	}
	if (exclusive)
	{
		if (shared->entry == NO_NODE || level > shared->entry_level)
		{
			shared->entry = id;
			shared->entry_level = level;
		}
		LWLockRelease(&shared->entry_lock);
	}
}

/* Take the next nodes of the phase's work; false when there are none. */
static bool
next_batch(BuildState *state, uint32 total, uint32 *from, uint32 *to)
{
	BuildShared *shared = state->shared;

	CHECK_FOR_INTERRUPTS();
	if (state->leader)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, pg_atomic_read_u64(&shared->done));
	*from = pg_atomic_fetch_add_u32(&shared->next, WORK_BATCH);
	if (*from >= total)
		return false;
	*to = Min(*from + WORK_BATCH, total);
	return true;
}

static void
build_graph(BuildState *state)
{
	uint32		nnodes = pg_atomic_read_u32(&state->shared->nnodes);
	uint32		from;
	uint32		to;
	MemoryContext old = MemoryContextSwitchTo(state->row_context);

	state->seen = MemoryContextAllocExtended(state->context, sizeof(uint16) * Max(nnodes, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	state->round = 0;
	state->pool = MemoryContextAlloc(state->context, sizeof(PoolEntry) * (HNSW_MAX_EF_CONSTRUCTION + 1));
	while (next_batch(state, nnodes, &from, &to))
	{
		for (uint32 id = from; id < to; id++)
		{
			BuildNode  *node = get_node(state, id);

			if (node == NULL || !node->present)
				continue;
			insert_node(state, id, nnodes);
			MemoryContextReset(state->row_context);
		}
		pg_atomic_fetch_add_u64(&state->shared->done, to - from);
	}
	MemoryContextSwitchTo(old);
	pfree(state->seen);
	pfree(state->pool);
}

/* ---------------------------------------------------------------------
 * Writing
 * --------------------------------------------------------------------- */

/* Where node `id` is on `level`. */
static HnswRef
level_ref(BuildState *state, BuildNode *node, int level)
{
	const HnswLayout *layout = &state->index->layout[HNSW_UPPER];
	uint32		number;

	if (level == 0)
		return node->ref;
	number = node->upper + level - 1;
	return HnswMakeRef(state->shared->upper_block + (number / layout->slots) * (1 + layout->tail_pages),
					   number % layout->slots, 0);
}

/* Add the pages of the upper levels and set the entry point. */
static void
prepare_write(BuildState *state)
{
	BuildShared *shared = state->shared;
	const HnswLayout *layout = &state->index->layout[HNSW_UPPER];
	uint32		nupper = pg_atomic_read_u32(&shared->nupper);

	shared->upper_block = RelationGetNumberOfBlocks(state->rel);
	for (uint32 first = 0; first < nupper; first += layout->slots)
	{
		Buffer		buffer = HnswExtend(state->rel, MAIN_FORKNUM, 1 + layout->tail_pages);
		Page		page = BufferGetPage(buffer);

		HnswInitPage(page, HNSW_PAGE_UPPER);
		((PageHeader) page)->pd_lower += Min(nupper - first, layout->slots) * layout->slot_bytes;
		MarkBufferDirty(buffer);
		UnlockReleaseBuffer(buffer);
	}
	if (shared->entry != NO_NODE)
		HnswUpdateEntry(state->index, level_ref(state, get_node(state, shared->entry), shared->entry_level),
						shared->entry_level, HNSW_NO_REF, false);
	pg_atomic_write_u32(&shared->next, 0);
	pg_atomic_write_u64(&shared->done, 0);
	shared->nblocks = RelationGetNumberOfBlocks(state->rel);
}

/*
 * The value of a neighbour as floats: from memory where that is exact enough
 * for the difference from the node's own.
 */
static void
load_floats(BuildState *state, BuildNode *node, const float *own, float *out)
{
	HnswIndex  *index = state->index;
	bool		near = true;

	if (state->shared->scalar_bits == 8)
	{
		scalar_decode(8, index->padded, node_value(state, node), node->scale, out);
		near = dist_l2sq_f32(own, out, index->padded) < 0.1 * node->norm2;
	}
	if (near)
	{
		HnswNode   *stored;
		uint32		bytes;
		Buffer		buffer = HnswReadNode(index, node->ref, HNSW_BASE, BUFFER_LOCK_SHARE, &stored);

		if (stored == NULL)
			HnswCorrupt(index->rel, HnswRefBlock(node->ref), "A node that was written to it is not there.");
		packed12_load((const uint8 *) HnswReadValue(index, buffer, stored, HNSW_BASE, &bytes), index->padded, stored->scale, out);
		UnlockReleaseBuffer(buffer);
	}
}

/* Links and codes of one node on one level, on its page. */
static void
write_links(BuildState *state, BuildNode *node, int level)
{
	HnswIndex  *index = state->index;
	int			kind = level > 0 ? HNSW_UPPER : HNSW_BASE;
	const HnswLayout *layout = &index->layout[kind];
	BuildLinks *links = get_links(state, node, level);
	uint8	   *occluded = LinkOccluded(links, layout->links);
	HnswRef		ref = level_ref(state, node, level);
	HnswNode   *image = palloc0(layout->slot_bytes);
	HnswNode   *stored;
	HnswStored	value;
	Buffer		buffer;
	float	   *own = NULL;
	float	   *other = NULL;
	uint8_t    *levels = NULL;

	/* the node's own value, from level 0 */
	buffer = HnswReadNode(index, node->ref, HNSW_BASE, BUFFER_LOCK_SHARE, &stored);
	if (stored == NULL)
		HnswCorrupt(index->rel, HnswRefBlock(node->ref), "A node that was written to it is not there.");
	memset(&value, 0, sizeof(value));
	value.scale = stored->scale;
	value.error = node->error;
	value.norm = stored->norm;
	if (layout->value_form == HNSW_VALUE_CHUNKS)
	{
		value.nbytes = sizeof(HnswChunkRef);
		value.bytes = memcpy(palloc(value.nbytes), HnswNodeValue(stored, &index->layout[HNSW_BASE]), value.nbytes);
	}
	else
	{
		const char *bytes = HnswReadValue(index, buffer, stored, HNSW_BASE, &value.nbytes);

		value.bytes = memcpy(palloc(value.nbytes), bytes, value.nbytes);
	}
	UnlockReleaseBuffer(buffer);

	if (index->coded)
	{
		own = palloc(sizeof(float) * index->padded);
		other = palloc(sizeof(float) * index->padded);
		levels = palloc(layout->dc);
		packed12_load((const uint8 *) value.bytes, index->padded, value.scale, own);
		value.floats = own;
	}
	HnswFillNode(index, kind, image, level, &value, level > 0 ? level_ref(state, node, level - 1) : HNSW_NO_REF, NULL, 0);
	for (int i = 0; i < links->n; i++)
	{
		BuildNode  *neighbor = get_node(state, links->id[i]);

		if (index->coded)
			load_floats(state, neighbor, own, other);
		HnswSetLink(index, kind, image, i, level_ref(state, neighbor, level), HnswBitGet(occluded, i),
					HnswBitGet(LinkPinned(links, layout->links), i), other, own, levels);
	}
	image->nlinks = links->n;
	if (level == 0)
	{
		image->tids[image->ntids++] = node->tid;
		for (uint32 equal = node->next_equal; equal != NO_NODE;)
		{
			BuildNode  *other_node = get_node(state, equal);

			image->tids[image->ntids++] = other_node->tid;
			equal = other_node->next_equal;
		}
	}

	if (level > 0)
		HnswWriteTail(index, kind, HnswRefBlock(ref), &value, false);
	buffer = ReadBuffer(index->rel, HnswRefBlock(ref));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	memcpy(HnswPageNode(BufferGetPage(buffer), layout, HnswRefSlot(ref)), image, layout->slot_bytes);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* The slot of a node whose row went to another. */
static void
free_merged(BuildState *state, BuildNode *node)
{
	Buffer		buffer = ReadBuffer(state->rel, HnswRefBlock(node->ref));

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	HnswPageNode(BufferGetPage(buffer), &state->index->layout[HNSW_BASE], HnswRefSlot(node->ref))->flags = 0;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

static void
write_nodes(BuildState *state)
{
	uint32		nnodes = pg_atomic_read_u32(&state->shared->nnodes);
	uint32		from;
	uint32		to;
	MemoryContext old = MemoryContextSwitchTo(state->row_context);

	while (next_batch(state, nnodes, &from, &to))
	{
		for (uint32 id = from; id < to; id++)
		{
			BuildNode  *node = get_node(state, id);

			if (node == NULL || !node->present)
				continue;
			if (node->merged)
				free_merged(state, node);
			else
			{
				for (int level = 0; level <= node->level; level++)
					write_links(state, node, level);
			}
			MemoryContextReset(state->row_context);
		}
		pg_atomic_fetch_add_u64(&state->shared->done, to - from);
	}
	MemoryContextSwitchTo(old);
}

/* ---------------------------------------------------------------------
 * Rest
 * --------------------------------------------------------------------- */

static void
link_rest(BuildState *state)
{
	HnswIndex  *index = state->index;
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	HnswSearch *search = HnswSearchCreate(index, state->context);
	MemoryContext old = MemoryContextSwitchTo(state->row_context);
	uint32		from;
	uint32		to;

	while (next_batch(state, state->shared->nblocks, &from, &to))
	{
		for (BlockNumber block = Max(from, 1); block < to; block++)
		{
			for (int slot = 0; slot < layout->slots; slot++)
			{
				Buffer		buffer = ReadBuffer(state->rel, block);
				Page		page;
				HnswNode   *node;
				HnswRef		ref = HNSW_NO_REF;
				HnswValue	value;
				ItemPointerData tid;

				LockBuffer(buffer, BUFFER_LOCK_SHARE);
				page = BufferGetPage(buffer);
				if (HnswReadKind(index, buffer) == HNSW_PAGE_BASE && slot < HnswPageSlots(page, layout))
				{
					node = HnswPageNode(page, layout, slot);
					if (node->flags & HNSW_NODE_UNLINKED)
					{
						const char *stored;
						uint32		bytes;

						if (!(node->flags & HNSW_NODE_USED) || node->ntids < 1)
							HnswCorrupt(state->rel, block, "A node that waits for its links is not in use, or has no row.");
						stored = HnswReadValue(index, buffer, node, HNSW_BASE, &bytes);
						ref = HnswMakeRef(block, slot, node->generation);
						tid = node->tids[0];
						memset(&value, 0, sizeof(value));
						if (index->coded)
						{
							value.rotated = palloc(sizeof(float) * index->padded);
							packed12_load((const uint8 *) stored, index->padded, node->scale, value.rotated);
							value.norm = node->norm;
						}
						else
						{
							value.raw = memcpy(palloc(bytes), stored, bytes);
							value.raw_bytes = bytes;
						}
					}
				}
				UnlockReleaseBuffer(buffer);
				if (ref == HNSW_NO_REF)
					continue;
				CHECK_FOR_INTERRUPTS();
				HnswLinkNode(index, search, &value, &tid, ref, false);
				MemoryContextReset(state->row_context);
				pg_atomic_fetch_add_u64(&state->shared->done, 1);
				if (state->leader)
					pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, pg_atomic_read_u64(&state->shared->done));
			}
		}
	}
	MemoryContextSwitchTo(old);
}

/* ---------------------------------------------------------------------
 * Participants
 * --------------------------------------------------------------------- */

static void
report_phase(BuildState *state, int64 phase, int64 total)
{
	if (state->leader)
	{
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, total);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
	}
}

/* One process at the barrier does this while the others wait. */
static bool
arrive(BuildState *state)
{
	return BarrierArriveAndWait(&state->shared->barrier, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
}

static void
reset_work(BuildState *state)
{
	pg_atomic_write_u32(&state->shared->next, 0);
	pg_atomic_write_u64(&state->shared->done, 0);
}

/*
 * All phases.  A participant that comes late starts with the phase that the
 * others are in.
 */
static void
participate(BuildState *state, ParallelTableScanDesc parallel_scan)
{
	BuildShared *shared = state->shared;

	switch (BarrierAttach(&shared->barrier))
	{
		case 0:
			report_phase(state, HNSW_PHASE_LOAD, 0);
			load(state, parallel_scan);
			arrive(state);
			/* FALLTHROUGH */
		case 1:
			report_phase(state, HNSW_PHASE_GRAPH, pg_atomic_read_u32(&shared->nnodes));
			build_graph(state);
			if (arrive(state))
				prepare_write(state);
			/* FALLTHROUGH */
		case 2:
			arrive(state);
			/* FALLTHROUGH */
		case 3:
			report_phase(state, HNSW_PHASE_WRITE, pg_atomic_read_u32(&shared->nnodes));
			write_nodes(state);
			if (arrive(state))
				reset_work(state);
			/* FALLTHROUGH */
		case 4:
			arrive(state);
			/* FALLTHROUGH */
		case 5:
			if (pg_atomic_read_u64(&shared->rest) > 0)
			{
				report_phase(state, HNSW_PHASE_REST, pg_atomic_read_u64(&shared->rest));
				link_rest(state);
			}
			arrive(state);
			break;
		default:
			break;
	}
	BarrierDetach(&shared->barrier);
}

static void
init_state(BuildState *state, BuildShared *shared, dsa_area *area, Relation heap, Relation rel, IndexInfo *info, bool leader)
{
	memset(state, 0, sizeof(BuildState));
	state->shared = shared;
	state->area = area;
	state->heap = heap;
	state->rel = rel;
	state->info = info;
	state->leader = leader;
	state->context = AllocSetContextCreate(CurrentMemoryContext, "hnsw build", ALLOCSET_DEFAULT_SIZES);
	state->row_context = AllocSetContextCreate(state->context, "hnsw build row", ALLOCSET_DEFAULT_SIZES);
	state->index = HnswOpen(rel, state->context);
	state->index->build_lock = &shared->graph_lock;
	state->node_chunks = MemoryContextAllocZero(state->context, sizeof(char *) * MAX_CHUNKS);
	state->upper_chunks = MemoryContextAllocZero(state->context, sizeof(char *) * MAX_CHUNKS);
}

static void
init_shared(BuildShared *shared, HnswIndex *index, Relation heap, IndexInfo *info, int scalar_bits, int participants)
{
	memset(shared, 0, sizeof(BuildShared));
	shared->heap = RelationGetRelid(heap);
	shared->rel = RelationGetRelid(index->rel);
	shared->concurrent = info->ii_Concurrent;
	shared->scalar_bits = scalar_bits;
	shared->memory_limit = (Size) maintenance_work_mem * 1024;
	BarrierInit(&shared->barrier, 0);
	LWLockInitialize(&shared->allocation, BUILD_TRANCHE);
	LWLockInitialize(&shared->entry_lock, BUILD_TRANCHE);
	LWLockInitialize(&shared->graph_lock, BUILD_TRANCHE);
	for (int i = 0; i < NODE_LOCKS; i++)
		LWLockInitialize(&shared->node_lock[i], BUILD_TRANCHE);
	pg_atomic_init_u32(&shared->nnodes, 0);
	pg_atomic_init_u32(&shared->nupper, 0);
	pg_atomic_init_u32(&shared->next, 0);
	pg_atomic_init_u64(&shared->memory, 0);
	pg_atomic_init_u64(&shared->own_bytes, 0);
	pg_atomic_init_u64(&shared->done, 0);
	pg_atomic_init_u32(&shared->full, 0);
	pg_atomic_init_u32(&shared->short_of_shared, 0);
	pg_atomic_init_u64(&shared->rest, 0);
	pg_atomic_init_u32(&shared->merged, 0);
	SpinLockInit(&shared->mutex);
	shared->entry = NO_NODE;
	shared->entry_level = -1;
	init_table(&shared->nodes, node_bytes(index, scalar_bits), shared->memory_limit);
	init_table(&shared->uppers, MAXALIGN(sizeof(uint32)) + links_bytes(index->m), shared->memory_limit);
}

PGDLLEXPORT void HnswBuildWorker(dsm_segment *segment, shm_toc *toc);

void
HnswBuildWorker(dsm_segment *segment, shm_toc *toc)
{
	BuildShared *shared = shm_toc_lookup(toc, PARALLEL_KEY_SHARED, false);
	ParallelTableScanDesc scan_desc = shm_toc_lookup(toc, PARALLEL_KEY_SCAN, false);
	char	   *query = shm_toc_lookup(toc, PARALLEL_KEY_QUERY, true);
	BuildState	state;
	IndexInfo  *info;
	Relation	heap;
	Relation	rel;
	dsa_area   *area;

	debug_query_string = query;
	pgstat_report_activity(STATE_RUNNING, debug_query_string);

	heap = table_open(shared->heap, shared->concurrent ? ShareUpdateExclusiveLock : ShareLock);
	rel = index_open(shared->rel, shared->concurrent ? RowExclusiveLock : AccessExclusiveLock);
	info = BuildIndexInfo(rel);
	info->ii_Concurrent = shared->concurrent;
	area = dsa_attach(shared->area);
	init_state(&state, shared, area, heap, rel, info, false);
	participate(&state, scan_desc);
	MemoryContextDelete(state.context);
	dsa_detach(area);
	index_close(rel, shared->concurrent ? RowExclusiveLock : AccessExclusiveLock);
	table_close(heap, shared->concurrent ? ShareUpdateExclusiveLock : ShareLock);
}

/* ---------------------------------------------------------------------
 * Unit and centre
 * --------------------------------------------------------------------- */

typedef struct Sample
{
	HnswIndex  *index;
	MemoryContext context;
	double	   *sum;
	float	   *largest;
	int64		n;
} Sample;

static void
sample_row(Relation rel, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Sample	   *sample = (Sample *) arg;
	MemoryContext old;
	const float *x;
	double		norm;

	if (isnull[0])
		return;
	old = MemoryContextSwitchTo(sample->context);
	x = HnswDatumFloats(sample->index, values[0], &norm);
	if (sample->index->metric != HNSW_COSINE || norm > 0)
	{
		for (int i = 0; i < sample->index->dim; i++)
		{
			sample->sum[i] += x[i];
			sample->largest[i] = Max(sample->largest[i], fabsf(x[i]));
		}
		sample->n++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(sample->context);
}

/*
 * Set unit and centre from a sample of the table: some blocks at even distances,
 * more where they hold no value.  A table without any value leaves both to the
 * first insert.
 */
static void
sample_center(HnswIndex *index, Relation heap, IndexInfo *info)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	Sample		sample;
	float	   *center;
	float		unit = 1;
	BlockNumber step;

	sample.index = index;
	sample.context = AllocSetContextCreate(CurrentMemoryContext, "hnsw sample", ALLOCSET_DEFAULT_SIZES);
	sample.sum = palloc0(sizeof(double) * index->dim);
	sample.largest = palloc0(sizeof(float) * index->dim);
	sample.n = 0;
	step = Max(nblocks / 64, 1);
	for (BlockNumber block = 0; block < nblocks && sample.n < SAMPLE_VALUES; block += step)
		table_index_build_range_scan(heap, index->rel, info, false, false, false, block, 1, sample_row, &sample, NULL);
	for (BlockNumber block = 0; block < nblocks && sample.n == 0; block += 64)
		table_index_build_range_scan(heap, index->rel, info, false, false, false, block,
									 Min(64, nblocks - block), sample_row, &sample, NULL);
	if (sample.n > 0)
	{
		center = palloc0(sizeof(float) * index->dim);
		if (index->metric != HNSW_IP)
		{
			for (int i = 0; i < index->dim; i++)
				center[i] = (float) (sample.sum[i] / sample.n);
		}
		if (index->metric != HNSW_COSINE)
			unit = HnswCenterAndUnit(sample.largest, index->dim, center);
		HnswSetCenter(index, center, unit, false);
	}
	MemoryContextDelete(sample.context);
}

/* ---------------------------------------------------------------------
 * Entry points
 * --------------------------------------------------------------------- */

/* The index as its definition says, before it has a meta page. */
static HnswIndex *
define_index(Relation rel)
{
	HnswIndex  *index = palloc0(sizeof(HnswIndex));
	const HnswOpclass *opclass = HnswGetOpclass(rel);
	HnswOptions *options = (HnswOptions *) rel->rd_options;
	int			dim = TupleDescAttr(rel->rd_att, 0)->atttypmod;
	int			most = HnswMostDimensions(opclass->element);

	if (opclass->element == HNSW_BIT && TupleDescAttr(rel->rd_att, 0)->atttypid != BITOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type not supported for hnsw index"),
				 errdetail("Bit strings of varying length have no fixed dimensions."),
				 errhint("Index an expression such as ((flags::bit(64))).")));
	if (dim < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions"),
				 errhint("Give the column's type its dimensions, as in vector(3), or index an expression such as ((embedding::vector(3))).")));
	if (dim > most)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for hnsw index", most),
				 errdetail("It has %d.", dim)));

	index->rel = rel;
	index->context = CurrentMemoryContext;
	index->element = opclass->element;
	index->metric = opclass->metric;
	index->code_metric = opclass->metric == HNSW_IP ? CODE_IP : CODE_L2;
	index->m = options != NULL ? options->m : HNSW_DEFAULT_M;
	index->ef_construction = options != NULL ? options->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;
	if (index->ef_construction < 2 * index->m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be greater than or equal to 2 * m"),
				 errdetail("ef_construction is %d, m is %d.", index->ef_construction, index->m)));
	index->dim = dim;
	index->coded = HnswIsCoded(opclass);
	index->padded = index->coded ? rotation_padded(dim) : 0;
	index->unit = 1;
	if (index->coded)
	{
		index->rotation = palloc(rotation_size(dim));
		rotation_init(index->rotation, dim, UINT64CONST(0x76656364625f3031));
		index->center = palloc0(sizeof(float) * dim);
	}
	HnswComputeLayout(index, options != NULL ? options->code_bits : 0);
	return index;
}

/* 8-bit codes in memory if the table fits so, 4-bit otherwise. */
static int
choose_scalar_bits(HnswIndex *index, Relation heap)
{
	BlockNumber pages;
	double		tuples;
	double		visible;

	if (!index->coded)
		return 8;
	estimate_rel_size(heap, NULL, &pages, &tuples, &visible);
	return tuples * 1.1 * (node_bytes(index, 8) + 16) <= maintenance_work_mem * 1024.0 ? 8 : 4;
}

/*
 * Pages with free slots (nodes that were merged) go to the free list, one at a
 * time: the meta page is locked for each of them anew.
 */
static void
list_free_slots(HnswIndex *index)
{
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	BlockNumber nblocks = RelationGetNumberOfBlocks(index->rel);

	for (BlockNumber block = 1; block < nblocks; block++)
	{
		Buffer		buffer = ReadBuffer(index->rel, block);
		Page		page = BufferGetPage(buffer);
		bool		room = false;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		if (HnswReadKind(index, buffer) == HNSW_PAGE_BASE)
		{
			int			n = HnswPageSlots(page, layout);

			room = n < layout->slots;
			for (int i = 0; i < n && !room; i++)
				room = !(HnswPageNode(page, layout, i)->flags & HNSW_NODE_USED);
		}
		UnlockReleaseBuffer(buffer);
		if (room)
			HnswListPage(index, block, HNSW_PAGE_BASE, false);
	}
}

static void
finish_build(BuildState *state)
{
	BuildShared *shared = state->shared;
	uint64		rest = pg_atomic_read_u64(&shared->rest);

	if (rest > 0)
	{
		double		loaded = shared->index_tuples - rest;
		double		bytes = node_bytes(state->index, 4) + 16 + pg_atomic_read_u64(&shared->own_bytes) / Max(loaded, 1);

		if (pg_atomic_read_u32(&shared->short_of_shared) > 0)
			ereport(NOTICE,
					(errmsg("hnsw graph no longer fits into dynamic shared memory after %.0f of %.0f values",
							loaded, shared->index_tuples),
					 errdetail("The other " UINT64_FORMAT " were added on disk, which is slower.", rest),
					 errhint("Give it about %.0f MB (of a container by --shm-size), or set max_parallel_maintenance_workers to 0.",
							 ceil(shared->index_tuples * 1.1 * bytes / (1024 * 1024)) * 2 + 8)));
		else
			ereport(NOTICE,
					(errmsg("hnsw graph no longer fits into maintenance_work_mem after %.0f of %.0f values",
							loaded, shared->index_tuples),
					 errdetail("The other " UINT64_FORMAT " were added on disk, which is slower.", rest),
					 errhint("Increase maintenance_work_mem to about %.0f MB to speed up builds.",
						 ceil(shared->index_tuples * 1.1 * bytes / (1024 * 1024)))));
	}
	if (pg_atomic_read_u32(&shared->merged) > 0)
		list_free_slots(state->index);
}

static void
build_serial(HnswIndex *index, Relation heap, Relation rel, IndexInfo *info, int scalar_bits, IndexBuildResult *result)
{
	BuildShared *shared = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(BuildShared));
	BuildState	state;

	init_shared(shared, index, heap, info, scalar_bits, 1);
	init_state(&state, shared, NULL, heap, rel, info, true);
	participate(&state, NULL);
	finish_build(&state);
	result->heap_tuples = shared->heap_tuples;
	result->index_tuples = shared->index_tuples;
	MemoryContextDelete(state.context);
	pfree(shared);
}

/* Bytes that a build shares at most: what is set aside in whole segments, and the state of all participants. */
static double
shared_need(HnswIndex *index, Relation heap, int scalar_bits)
{
	BlockNumber pages;
	double		tuples;
	double		visible;

	estimate_rel_size(heap, NULL, &pages, &tuples, &visible);
	return Min(maintenance_work_mem * 1024.0, 2 * 1.1 * tuples * (node_bytes(index, scalar_bits) + 16)) +
		sizeof(BuildShared) + 2 * 1024 * 1024;
}

/* Is there so much shared memory?  Says so where not. */
static bool
can_share(HnswIndex *index, Relation heap, int scalar_bits)
{
	double		need = shared_need(index, heap, scalar_bits);
	uint64		room = shared_room();

	if (need <= room)
		return true;
	ereport(NOTICE,
			(errmsg("index \"%s\" is built without parallel workers, for there is too little dynamic shared memory",
					RelationGetRelationName(index->rel)),
			 errdetail("They would share up to %.0f MB, and " UINT64_FORMAT " MB are left.",
					   ceil(need / (1024 * 1024)), room / (1024 * 1024)),
			 errhint("Give it more (of a container by --shm-size), or lower maintenance_work_mem.")));
	return false;
}

/* Returns false where no worker could be had. */
static bool
build_parallel(HnswIndex *index, Relation heap, Relation rel, IndexInfo *info, int scalar_bits,
			   int workers, IndexBuildResult *result)
{
	ParallelContext *pcxt;
	Snapshot	snapshot;
	BuildShared *shared;
	BuildState	state;
	ParallelTableScanDesc scan_desc;
	Size		scan_bytes;
	Size		query_bytes = 0;
	dsa_area   *area;

	EnterParallelMode();
	pcxt = CreateParallelContext("vecdb", "HnswBuildWorker", workers);
	snapshot = info->ii_Concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;

	shm_toc_estimate_chunk(&pcxt->estimator, sizeof(BuildShared));
	scan_bytes = table_parallelscan_estimate(heap, snapshot);
	shm_toc_estimate_chunk(&pcxt->estimator, scan_bytes);
	shm_toc_estimate_keys(&pcxt->estimator, 2);
	if (debug_query_string != NULL)
	{
		query_bytes = strlen(debug_query_string) + 1;
		shm_toc_estimate_chunk(&pcxt->estimator, query_bytes);
		shm_toc_estimate_keys(&pcxt->estimator, 1);
	}
	InitializeParallelDSM(pcxt);
	if (pcxt->seg == NULL)
	{
		if (IsMVCCSnapshot(snapshot))
			UnregisterSnapshot(snapshot);
		DestroyParallelContext(pcxt);
		ExitParallelMode();
		return false;
	}

	shared = shm_toc_allocate(pcxt->toc, sizeof(BuildShared));
	init_shared(shared, index, heap, info, scalar_bits, workers + 1);
	area = dsa_create(BUILD_TRANCHE);
	/* segments are set aside whole: without a limit they hold up to twice what is used */
	shared->area_limit = shared->memory_limit;
	dsa_set_size_limit(area, shared->area_limit);
	shared->area = dsa_get_handle(area);
	scan_desc = shm_toc_allocate(pcxt->toc, scan_bytes);
	table_parallelscan_initialize(heap, scan_desc, snapshot);
	shm_toc_insert(pcxt->toc, PARALLEL_KEY_SHARED, shared);
	shm_toc_insert(pcxt->toc, PARALLEL_KEY_SCAN, scan_desc);
	if (query_bytes > 0)
	{
		char	   *query = shm_toc_allocate(pcxt->toc, query_bytes);

		memcpy(query, debug_query_string, query_bytes);
		shm_toc_insert(pcxt->toc, PARALLEL_KEY_QUERY, query);
	}

	LaunchParallelWorkers(pcxt);
	WaitForParallelWorkersToAttach(pcxt);
	init_state(&state, shared, area, heap, rel, info, true);
	participate(&state, scan_desc);
	WaitForParallelWorkersToFinish(pcxt);
	finish_build(&state);
	result->heap_tuples = shared->heap_tuples;
	result->index_tuples = shared->index_tuples;
	if (shared->broken_hot_chain)
		info->ii_BrokenHotChain = true;
	MemoryContextDelete(state.context);
	dsa_detach(area);
	if (IsMVCCSnapshot(snapshot))
		UnregisterSnapshot(snapshot);
	DestroyParallelContext(pcxt);
	ExitParallelMode();
	return true;
}

IndexBuildResult *
hnswbuild(Relation heap, Relation rel, IndexInfo *info)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	HnswIndex  *index = define_index(rel);
	int			scalar_bits;
	int			workers;

	if (RelationGetNumberOfBlocks(rel) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(rel));

	HnswCreateMeta(rel, MAIN_FORKNUM, index, false);
	if (index->coded)
		sample_center(index, heap, info);
	scalar_bits = choose_scalar_bits(index, heap);
	workers = plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(rel));
	if (workers == 0 || !can_share(index, heap, scalar_bits) ||
		!build_parallel(index, heap, rel, info, scalar_bits, workers, result))
		build_serial(index, heap, rel, info, scalar_bits, result);

	if (RelationNeedsWAL(rel))
		log_newpage_range(rel, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(rel), true);
	return result;
}

/* The init fork of an unlogged index. */
void
hnswbuildempty(Relation rel)
{
	HnswCreateMeta(rel, INIT_FORKNUM, define_index(rel), true);
}
