/*
 * vacuum.h
 *	  State of one VACUUM of an index.
 *
 * For vacuum*.c alone.  Functions are below the name of the file that has them.
 */
#ifndef HNSW_VACUUM_H
#define HNSW_VACUUM_H

#include "index/hnsw/hnsw_graph.h"

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	Relation	rel;
	HnswIndex  *index;
	HnswSearch *search;
	bool		log;
	BufferAccessStrategy strategy;
	IndexBulkDeleteResult *stats;
	MemoryContext context;
	MemoryContext node_context;
	HnswRefSet	dead[2];		/* by kind of node */
	bool		no_scans;		/* nobody had a snapshot after the last node was removed */
	int64		waiting;		/* removed nodes that could not be freed yet */
	HnswRef		best;			/* live upper (or base) node of the highest level: entry point to be */
	int			best_level;
} VacuumState;

/* vacuum.c */
extern Buffer VacuumReadPage(VacuumState *state, BlockNumber block, int lockmode);

/* vacuum_mark.c */
extern void VacuumMarkDead(VacuumState *state, IndexBulkDeleteCallback callback, void *arg);

/* vacuum_repair.c */
extern void VacuumRepair(VacuumState *state);

/* vacuum_tree.c */
extern void VacuumRepairTree(VacuumState *state, int kind);

/* vacuum_free.c */
extern bool VacuumNobodyScans(void);
extern void VacuumFreePage(VacuumState *state, BlockNumber block);
extern void VacuumRemoveDead(VacuumState *state);

#endif							/* HNSW_VACUUM_H */
