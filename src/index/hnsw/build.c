/*
 * build.c
 *	  Building an index: its definition, and the phases that all participants share.
 *
 * Each phase ends with a barrier:
 *
 * 1. Load (build_load.c).  The table is scanned.  Each value goes to its final slot
 *	  of level 0, marked UNLINKED, and into memory: coded values as scalar codes of
 *	  8 or 4 bits, others as they are.
 * 2. Graph (build_graph.c).  Nodes are linked in memory.
 * 3. Prepare (build_write.c), by one process.  Pages of the upper levels are added;
 *	  the entry point is set.
 * 4. Write (build_write.c).  Links and codes are filled in on the pages.
 * 5. Rest (build_rest.c).  Values that came after maintenance_work_mem was used up
 *	  have their slots on pages, but are not in memory; they are linked one by one
 *	  on the pages, by all participants.
 *
 * Nothing is logged until the end, when all pages are logged once.
 *
 * build.h has the state of a build, build_memory.c the memory of its nodes,
 * build_center.c finds unit and centre, build_parallel.c makes workers.
 */
#include "index/hnsw/build.h"
#include "index/hnsw/hnsw.h"

#include <math.h>

#include "access/xloginsert.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* ---------------------------------------------------------------------
 * Participants
 * --------------------------------------------------------------------- */

/* Take the next nodes of the phase's work; false when there are none. */
bool
BuildNextBatch(BuildState *state, uint32 total, uint32 *from, uint32 *to)
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
void
BuildParticipate(BuildState *state, ParallelTableScanDesc parallel_scan)
{
	BuildShared *shared = state->shared;

	switch (BarrierAttach(&shared->barrier))
	{
		case 0:
			report_phase(state, HNSW_PHASE_LOAD, 0);
			BuildLoad(state, parallel_scan);
			arrive(state);
			/* FALLTHROUGH */
		case 1:
			report_phase(state, HNSW_PHASE_GRAPH, pg_atomic_read_u32(&shared->nnodes));
			BuildLinkNodes(state);
			if (arrive(state))
				BuildPrepareWrite(state);
			/* FALLTHROUGH */
		case 2:
			arrive(state);
			/* FALLTHROUGH */
		case 3:
			report_phase(state, HNSW_PHASE_WRITE, pg_atomic_read_u32(&shared->nnodes));
			BuildWriteNodes(state);
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
				BuildLinkRest(state);
			}
			arrive(state);
			break;
		default:
			break;
	}
	BarrierDetach(&shared->barrier);
}

void
BuildInitState(BuildState *state, BuildShared *shared, dsa_area *area, Relation heap, Relation rel, IndexInfo *info, bool leader)
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
	state->value_chunks = MemoryContextAllocZero(state->context, sizeof(char *) * MAX_CHUNKS);
	state->upper_chunks = MemoryContextAllocZero(state->context, sizeof(char *) * MAX_CHUNKS);
}

void
BuildInitShared(BuildShared *shared, HnswIndex *index, Relation heap, IndexInfo *info, int scalar_bits)
{
	memset(shared, 0, sizeof(BuildShared));
	shared->heap = RelationGetRelid(heap);
	shared->rel = RelationGetRelid(index->file.rel);
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
	BuildInitTable(&shared->nodes, BuildNodeStride(index), shared->memory_limit);
	BuildInitTable(&shared->values, BuildValueStride(index, scalar_bits), shared->memory_limit);
	BuildInitTable(&shared->uppers, MAXALIGN(sizeof(uint32)) + BuildLinksBytes(index->m), shared->memory_limit);
}

/* ---------------------------------------------------------------------
 * Entry points
 * --------------------------------------------------------------------- */

/* The index as its definition says, before it has a meta page. */
static HnswIndex *
define_index(Relation rel)
{
	HnswIndex  *index = palloc0(sizeof(HnswIndex));
	const IndexOpclass *opclass = IndexGetOpclass(rel);
	HnswOptions *options = (HnswOptions *) rel->rd_options;
	int			dim = TupleDescAttr(rel->rd_att, 0)->atttypmod;
	int			most = ValueMostDimensions(opclass->element);

	if (opclass->element == ELEMENT_BIT && TupleDescAttr(rel->rd_att, 0)->atttypid != BITOID)
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

	index->file.rel = rel;
	index->file.form = &HnswForm;
	index->context = CurrentMemoryContext;
	index->space.element = opclass->element;
	index->space.metric = opclass->metric;
	index->space.code_metric = opclass->metric == METRIC_IP ? CODE_IP : CODE_L2;
	index->m = options != NULL ? options->m : HNSW_DEFAULT_M;
	index->ef_construction = options != NULL ? options->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;
	if (index->ef_construction < 2 * index->m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be greater than or equal to 2 * m"),
				 errdetail("ef_construction is %d, m is %d.", index->ef_construction, index->m)));
	index->space.dim = dim;
	index->space.coded = ValueIsCoded(opclass);
	index->space.padded = index->space.coded ? rotation_padded(dim) : 0;
	index->space.unit = 1;
	if (index->space.coded)
	{
		index->space.rotation = palloc(rotation_size(dim));
		rotation_init(index->space.rotation, dim, UINT64CONST(0x76656364625f3031));
		index->space.center = palloc0(sizeof(float) * dim);
	}
	HnswComputeLayout(index, options != NULL ? options->code_bits : 0);
	return index;
}

/* 8-bit codes in memory if so many values fit so, 4-bit otherwise. */
static int
choose_scalar_bits(HnswIndex *index, double values)
{
	if (!index->space.coded)
		return 8;
	return values * 1.1 * (BuildNodeBytes(index, 8) + 16) <= maintenance_work_mem * 1024.0 ? 8 : 4;
}

void
BuildFinish(BuildState *state)
{
	BuildShared *shared = state->shared;
	uint64		rest = pg_atomic_read_u64(&shared->rest);

	if (rest > 0)
	{
		double		loaded = shared->index_tuples - rest;
		double		bytes = BuildNodeBytes(state->index, 4) + 16 + pg_atomic_read_u64(&shared->own_bytes) / Max(loaded, 1);

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
		BuildListFreeSlots(state->index);
}

static void
build_serial(HnswIndex *index, Relation heap, Relation rel, IndexInfo *info, int scalar_bits, IndexBuildResult *result)
{
	BuildShared *shared = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(BuildShared));
	BuildState	state;

	BuildInitShared(shared, index, heap, info, scalar_bits);
	BuildInitState(&state, shared, NULL, heap, rel, info, true);
	BuildParticipate(&state, NULL);
	BuildFinish(&state);
	result->heap_tuples = shared->heap_tuples;
	result->index_tuples = shared->index_tuples;
	MemoryContextDelete(state.context);
	pfree(shared);
}

IndexBuildResult *
hnswbuild(Relation heap, Relation rel, IndexInfo *info)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	HnswIndex  *index = define_index(rel);
	double		values;
	int			scalar_bits;
	int			workers;

	if (RelationGetNumberOfBlocks(rel) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(rel));

	HnswCreateMeta(rel, MAIN_FORKNUM, index, false);
	values = BuildSample(index, heap, info);
	scalar_bits = choose_scalar_bits(index, values);
	workers = BuildWorkers(heap, rel, values);
	if (workers == 0 || !BuildCanShare(index, values, scalar_bits) ||
		!BuildParallel(index, heap, rel, info, scalar_bits, workers, result))
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
