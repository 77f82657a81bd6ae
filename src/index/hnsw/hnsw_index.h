/*
 * hnsw_index.h
 *	  An open hnsw index: its constants, its pages, and values from datum to bytes and
 *	  back.
 *
 * A buffer that a function returns is pinned and locked, and the caller's to
 * release.  Memory is of the current context where nothing else is said.
 */
#ifndef HNSW_INDEX_H
#define HNSW_INDEX_H

#include "pgcompat.h"

#include "index/hnsw/hnsw_disk.h"
#include "index/index_file.h"
#include "index/page_change.h"
#include "index/value.h"
#include "storage/bufmgr.h"
#include "storage/lwlock.h"
#include "utils/rel.h"

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
	IndexFile	file;			/* first, for callbacks of HnswForm get it as theirs */
	IndexSpace	space;			/* coded: nodes hold codes of their neighbors */
	int			m;
	int			ef_construction;
	HnswLayout	layout[2];
	LWLock	   *build_lock;		/* stands for the lock on the meta block while an index is built */
	HnswRef		prefetched;		/* HnswReadNode need not ask for its memory: that was done */
	char	   *scratch;		/* for values that stand on several pages; made when first needed */
	uint32		scratch_bytes;
	MemoryContext context;		/* holds all of it */
	bool		repairing;		/* VACUUM: links to dead nodes give way, be they pinned */
} HnswIndex;

/* page.c */
extern HnswIndex *HnswOpen(Relation rel, MemoryContext context);
extern void HnswReadEntry(HnswIndex *index, HnswRef *entry, int *level);
extern void HnswCreateMeta(Relation rel, ForkNumber fork, const HnswIndex *index, bool log);
extern void HnswSetCenter(HnswIndex *index, const float *center, float unit, bool log);
extern Buffer HnswTryReadNode(HnswIndex *index, HnswRef ref, int kind, int lockmode, HnswNode **node, const char **fault);
extern Buffer HnswReadNode(HnswIndex *index, HnswRef ref, int kind, int lockmode, HnswNode **node);
extern void HnswPrefetchNode(HnswIndex *index, HnswRef ref, int kind);
extern void HnswPrefetchRecent(HnswIndex *index, HnswRef ref);
extern void HnswUpdateEntry(HnswIndex *index, HnswRef entry, int level, HnswRef replaced, bool log);

/* layout.c */
extern void HnswComputeLayout(HnswIndex *index, int code_bits);
extern uint32 HnswCenterPages(const HnswIndex *index);
extern bool HnswLayoutIsSound(const HnswIndex *index, int kind, const HnswLayout *layout);

/* sound.c: nothing that a page says is a size or an offset before these looked at it */
extern const IndexForm HnswForm;
extern void HnswCorrupt(Relation rel, BlockNumber block, const char *what) pg_attribute_noreturn();
extern const char *HnswNodeFault(const HnswIndex *index, int kind, const HnswNode *node);
extern const char *HnswMetaFault(Relation rel, const HnswMeta *meta);

/* ---------------------------------------------------------------------
 * Values
 * --------------------------------------------------------------------- */

/* node_value.c */

/* Are there lengths other than 1? */
#define HnswHasLengths(index)	(!(index)->space.coded && (index)->space.metric == METRIC_IP)
extern float HnswLength(const HnswIndex *index, const char *value);
extern const char *HnswTryReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes,
									const char **fault);
extern const char *HnswReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes);
extern char *HnswCopyValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes);
extern void HnswLoadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, IndexValue *value);
extern bool HnswReadResidual(HnswIndex *index, HnswRef at, float error, ValueResidual *residual);
extern float HnswNodeDistance(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, const IndexValue *value);

#endif							/* HNSW_INDEX_H */
