/*
 * hnsw.h
 *	  What others may know of the hnsw access method: its options and its entry
 *	  points.  index/access_method.h tells which indexes are of it.
 *
 * Bytes on disk are in hnsw_disk.h, an open index, its pages and values in
 * hnsw_index.h, the search of a level in hnsw_search.h, links and new nodes in
 * hnsw_graph.h.  README.md in this folder explains the algorithm, the locks and the
 * log.
 */
#ifndef HNSW_H
#define HNSW_H

#include "pgcompat.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "utils/rel.h"

#define HNSW_DEFAULT_M 16
#define HNSW_MIN_M 2
#define HNSW_MAX_M 100
#define HNSW_DEFAULT_EF_CONSTRUCTION 64
#define HNSW_MIN_EF_CONSTRUCTION 4
#define HNSW_MAX_EF_CONSTRUCTION 1000

typedef struct HnswOptions
{
	int32		vl_len_;
	int			m;
	int			ef_construction;
	int			code_bits;		/* 0: by dimensions */
} HnswOptions;

/* hnsw.c */
extern void hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
							 Cost *startup_cost, Cost *total_cost, Selectivity *selectivity,
							 double *correlation, double *pages);

/* build.c */
extern IndexBuildResult *hnswbuild(Relation heap, Relation rel, IndexInfo *info);
extern void hnswbuildempty(Relation rel);

/* insert.c */
extern bool hnswinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
					   IndexUniqueCheck unique, bool unchanged, IndexInfo *info);

/* scan.c */
extern IndexScanDesc hnswbeginscan(Relation rel, int nkeys, int norderbys);
extern void hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool hnswgettuple(IndexScanDesc scan, ScanDirection direction);
extern void hnswendscan(IndexScanDesc scan);

/* vacuum.c */
extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback, void *state);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);

/* check.c */

/* An error where the user may not look into an index of this table; both may be anything. */
typedef void (*HnswRightCheck) (Oid index, Oid heap);
extern void HnswCheckOwner(Oid index, Oid heap);
extern Relation HnswOpenToLook(Oid oid, HnswRightCheck check, Relation *heap);

/* Phases in pg_stat_progress_create_index; 1 is "initializing" */
#define HNSW_PHASE_LOAD 2
#define HNSW_PHASE_GRAPH 3
#define HNSW_PHASE_WRITE 4
#define HNSW_PHASE_REST 5

#endif							/* HNSW_H */
