/*
 * build_parallel.c
 *	  A build by several processes: their shared memory, and what a worker does.
 *
 * The leader makes BuildShared, a DSA area for nodes, and the description of the
 * table's scan; then it takes part as the workers do (build.c).
 */
#include "index/hnsw/build.h"

#include <math.h>

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* A participant merits its start when it has so many values to link: half a second's work */
#define VALUES_OF_ONE	5000

#define PARALLEL_KEY_SHARED		UINT64CONST(0xB000000000000001)
#define PARALLEL_KEY_SCAN		UINT64CONST(0xB000000000000002)
#define PARALLEL_KEY_QUERY		UINT64CONST(0xB000000000000003)

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
	BuildInitState(&state, shared, area, heap, rel, info, false);
	BuildParticipate(&state, scan_desc);
	MemoryContextDelete(state.context);
	dsa_detach(area);
	index_close(rel, shared->concurrent ? RowExclusiveLock : AccessExclusiveLock);
	table_close(heap, shared->concurrent ? ShareUpdateExclusiveLock : ShareLock);
}

/* May a worker read the table, and evaluate the index's expressions and predicate? */
static bool
is_safe(Relation heap, Relation rel)
{
	PlannerInfo *root = makeNode(PlannerInfo);

	if (heap->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		return false;
	root->glob = makeNode(PlannerGlobal);
	return is_parallel_safe(root, (Node *) RelationGetIndexExpressions(rel)) &&
		is_parallel_safe(root, (Node *) RelationGetIndexPredicate(rel));
}

/*
 * How many workers the build of an index of so many values is to have.
 *
 * PostgreSQL goes by the pages of the table, without those of TOAST, where long vectors
 * are, and by maintenance_work_mem, as if each process had its own.  Here all share one
 * graph, and the work is that of linking its nodes.  What the table says of its workers
 * is what PostgreSQL gives.
 */
int
BuildWorkers(Relation heap, Relation rel, double values)
{
	int			planned = plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(rel));
	int			most = Min(max_parallel_maintenance_workers, max_parallel_workers);
	double		merited = floor(values / VALUES_OF_ONE) - 1;

	if (!IsUnderPostmaster || RelationGetParallelWorkers(heap, -1) >= 0 || merited <= planned || !is_safe(heap, rel))
		return planned;
	return Max(planned, (int) Min(merited, most));
}

/*
 * Bytes that a build of so many values shares at most: what is set aside in whole segments,
 * and the state of all participants.
 */
static double
shared_need(HnswIndex *index, double values, int scalar_bits)
{
	return Min(maintenance_work_mem * 1024.0, 2 * 1.1 * values * (BuildNodeBytes(index, scalar_bits) + 16)) +
		sizeof(BuildShared) + 2 * 1024 * 1024;
}

/* Is there so much shared memory?  A NOTICE tells where not. */
bool
BuildCanShare(HnswIndex *index, double values, int scalar_bits)
{
	double		need = shared_need(index, values, scalar_bits);
	uint64		room = BuildSharedRoom();

	if (need <= room)
		return true;
	ereport(NOTICE,
			(errmsg("index \"%s\" is built without parallel workers, for there is too little dynamic shared memory",
					RelationGetRelationName(index->file.rel)),
			 errdetail("They would share up to %.0f MB, and " UINT64_FORMAT " MB are left.",
					   ceil(need / (1024 * 1024)), room / (1024 * 1024)),
			 errhint("Give it more (of a container by --shm-size), or lower maintenance_work_mem.")));
	return false;
}

/* Returns false where no worker could be had. */
bool
BuildParallel(HnswIndex *index, Relation heap, Relation rel, IndexInfo *info, int scalar_bits,
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
	BuildInitShared(shared, index, heap, info, scalar_bits);
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
	BuildInitState(&state, shared, area, heap, rel, info, true);
	BuildParticipate(&state, scan_desc);
	WaitForParallelWorkersToFinish(pcxt);
	BuildFinish(&state);
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
