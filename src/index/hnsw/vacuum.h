/*
 * vacuum.h
 *	  State of one VACUUM of an index.
 *
 * For vacuum*.c alone.  Functions are below the name of the file that has them.
 */
#ifndef HNSW_VACUUM_H
#define HNSW_VACUUM_H

#include "index/hnsw/hnsw_graph.h"

/* References, of dead nodes for the most part; an open-addressing hash. */
typedef struct DeadSet
{
	uint64		mask;
	uint64		n;
	HnswRef    *ref;
} DeadSet;

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
	DeadSet		dead[2];		/* by kind of node */
	bool		no_scans;		/* nobody had a snapshot after the last node was removed */
	int64		waiting;		/* removed nodes that could not be freed yet */
	HnswRef		best;			/* live upper (or base) node of the highest level: entry point to be */
	int			best_level;
} VacuumState;

/* vacuum.c */
extern void DeadInit(DeadSet *set, MemoryContext context);
extern void DeadAdd(DeadSet *set, HnswRef ref);
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

static inline uint64
hash_place(HnswRef ref)
{
	return (ref * UINT64CONST(0x9E3779B97F4A7C15)) >> 20;
}

static inline bool
DeadHas(const DeadSet *set, HnswRef ref)
{
	uint64		at = hash_place(ref) & set->mask;

	while (set->ref[at] != HNSW_NO_REF)
	{
		if (set->ref[at] == ref)
			return true;
		at = (at + 1) & set->mask;
	}
	return false;
}

#endif							/* HNSW_VACUUM_H */
