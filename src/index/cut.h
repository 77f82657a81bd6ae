/*
 * cut.h
 *	  Scans that end before they have given all rows that were asked for.
 */
#ifndef INDEX_CUT_H
#define INDEX_CUT_H

#include "pgcompat.h"

#include "utils/rel.h"

typedef enum IndexCut
{
	INDEX_NOT_CUT,
	INDEX_CUT_BY_TUPLES,		/* hnsw.max_scan_tuples */
	INDEX_CUT_BY_MEMORY,		/* work_mem, hnsw.scan_mem_multiplier */
	INDEX_CUT_BY_ORDER			/* strict_order: rows came to light too late */
} IndexCut;

/* Who finds the missing rows by other means says nothing of them.  Set back on errors, too. */
extern bool IndexCutsAreSilent;

/* Scans of this process that were cut: who counts them learns of one in a statement. */
extern __attribute__((visibility("default"))) int64 IndexScansCut;

/* A scan was asked for a row, and has none because of this. */
extern void IndexScanWasCut(Relation index, IndexCut cut);

#endif							/* INDEX_CUT_H */
