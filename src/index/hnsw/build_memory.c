/*
 * build_memory.c
 *	  Memory of a build: chunks of nodes, private or shared.
 *
 * Nodes are numbered from 0, and stand in chunks that are made when the first of
 * their nodes is taken.  A serial build takes chunks from its memory context, a
 * parallel one from a DSA area; there BuildShared.allocation is held while one is
 * made.  A chunk is never given back before the build ends.
 */
#include "index/hnsw/build.h"

#include <sys/statvfs.h>

#include "storage/dsm_impl.h"
#include "utils/memutils.h"

#define LEAST_CHUNK		(32 * 1024)	/* bytes; a 64th of the memory between them */
#define MOST_CHUNK		(256 * 1024)

/*
 * Chunks are small beside the segments of a DSA area, which double in size, so
 * that little of a segment is left over; and as large as it takes for the
 * table to span the memory.
 */
void
BuildInitTable(ChunkTable *table, Size stride, Size memory_limit)
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
	return table == &shared->uppers ||
		pg_atomic_read_u64(&shared->memory) + chunk_bytes(table) <= shared->memory_limit;
}

/*
 * Bytes that the file system of dynamic shared memory has left; that of a
 * container often holds 64 MB.  UINT64_MAX where nobody can tell.
 */
uint64
BuildSharedRoom(void)
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
bool
BuildSharedFits(BuildState *state, Size bytes)
{
	uint64		used = pg_atomic_read_u64(&state->shared->memory);

	/* what is set aside may be twice of what is used */
	if (BuildSharedRoom() >= used + used / 16 + bytes + 1024 * 1024)
		return true;
	pg_atomic_write_u32(&state->shared->short_of_shared, 1);
	return false;
}

/*
 * Entry number `id`.  Its chunk is made, if so asked, when it does not exist;
 * NULL when there is none, or no room for another.
 */
char *
BuildTableItem(BuildState *state, ChunkTable *table, char **chunks, uint32 id, bool make)
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
			chunks[c] = MemoryContextAllocExtended(state->context, chunk_bytes(table) + VALUE_ALIGNMENT, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
			chunks[c] = (char *) TYPEALIGN(VALUE_ALIGNMENT, chunks[c]);
		}
		else
		{
			LWLockAcquire(&shared->allocation, LW_EXCLUSIVE);
			ok = DsaPointerIsValid(table->chunk[c]);
			if (!ok && make && chunk_fits(shared, table) &&
				(table == &shared->uppers || BuildSharedFits(state, chunk_bytes(table))))
			{
				int			flags = DSA_ALLOC_HUGE | DSA_ALLOC_ZERO | DSA_ALLOC_NO_OOM;

				table->chunk[c] = dsa_allocate_extended(state->area, chunk_bytes(table), flags);
				if (!DsaPointerIsValid(table->chunk[c]) && table == &shared->uppers)
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

/*
 * Take room in memory for a value, or return NO_NODE when
 * maintenance_work_mem is used up.
 */
uint32
BuildTakeNode(BuildState *state, Size own_bytes, BuildNode **node, BuildValue **value)
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
	*node = NULL;
	*value = NULL;
	if (id < EXPANDED_ID - 1)
	{
		*node = (BuildNode *) BuildTableItem(state, &shared->nodes, state->node_chunks, id, true);
		*value = (BuildValue *) BuildTableItem(state, &shared->values, state->value_chunks, id, true);
	}
	if (*node == NULL || *value == NULL)
	{
		pg_atomic_write_u32(&shared->full, 1);
		return NO_NODE;
	}
	return id;
}
