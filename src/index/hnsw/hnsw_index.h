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

#include "core/vec/packed12.h"
#include "core/vec/rotation.h"
#include "index/hnsw/hnsw_disk.h"
#include "index/index_file.h"
#include "index/opclass.h"
#include "index/page_change.h"
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
	IndexElement element;
	IndexMetric	metric;
	CodeMetric	code_metric;
	int			m;
	int			ef_construction;
	int			dim;
	int			padded;
	bool		coded;			/* nodes hold codes: L2, inner product, cosine of dense vectors */
	bool		centred;
	float		unit;
	float		center_norm;
	float	   *center;			/* float[dim]; NULL when not coded */
	Rotation   *rotation;		/* NULL when not coded */
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
extern uint32 HnswRawBytes(const HnswIndex *index);
extern bool HnswIsCoded(const IndexOpclass *opclass);
extern int	HnswMostDimensions(IndexElement element);
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

/* A datum made ready to be compared or stored; memory of the current context. */
typedef struct HnswValue
{
	float	   *rotated;		/* coded: float[padded] */
	float		norm;			/* coded: |rotated| */
	bool		clamped;		/* coded: some coordinate was too large for the index's arithmetic */
	const char *raw;			/* otherwise: bytes for HnswRawDistance */
	uint32		raw_bytes;
} HnswValue;

/* value.c */
extern const float *HnswDatumFloats(const HnswIndex *index, Datum datum, double *norm);
extern bool HnswPrepareValue(HnswIndex *index, Datum datum, bool query, HnswValue *value);

/* Are there handicaps other than 0? */
#define HnswHasHandicaps(index)	(!(index)->coded && (index)->metric == METRIC_IP)
extern float HnswHandicap(const HnswIndex *index, const char *value);
extern double HnswRawDistance(const HnswIndex *index, const char *a, const char *b);
extern void HnswPackValue(const HnswIndex *index, const HnswValue *value, uint8 *out,
						  float *scale, float *error, float *norm);
extern float HnswPackedDistance(const HnswIndex *index, const float *q, const uint8 *x, float scale);
extern const char *HnswTryReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes,
									const char **fault);
extern const char *HnswReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes);
extern char *HnswCopyValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes);
extern void HnswLoadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, HnswValue *value);
extern float HnswNodeDistance(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, const HnswValue *value);

#endif							/* HNSW_INDEX_H */
