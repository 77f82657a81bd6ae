/*
 * hnsw_search.h
 *	  Best-first search of one level of an open index, over pages (search.c).
 */
#ifndef HNSW_SEARCH_H
#define HNSW_SEARCH_H

#include "pgcompat.h"

#include "core/vec/pool.h"
#include "core/vec/queue.h"
#include "index/hnsw/hnsw_index.h"
#include "index/hnsw/ref_set.h"

/* A node that a search has expanded. */
typedef struct HnswFound
{
	HnswRef		ref;
	HnswRef		down;			/* HnswNode's: of level 0 where its residual is, if that may still refine the distance */
	float		distance;		/* index's own measure, from the stored value */
	float		error;			/* HnswNode's */
	float		norm;
	float		scale;
	uint32		value;			/* offset in HnswSearch.values, where kept */
	uint32		value_bytes;
	uint16		killed;
	uint16		removals;
	uint8		flags;			/* HnswNode's */
	uint8		ntids;
	bool		live;			/* some row of it may be returned */
	bool		has_children;	/* as many as a node may have; known where values are kept */
	ItemPointerData tids[HNSW_TIDS];
} HnswFound;

typedef struct HnswSortKey
{
	float		distance;
	int			at;
} HnswSortKey;

/*
 * Best-first search of one level.  The pool holds the best `capacity`
 * candidates by estimated (coded) or exact (plain) distance in order; a scan of
 * coded nodes has the queue instead.  Each that is expanded goes to `found`.
 */
typedef struct HnswSearch
{
	HnswIndex  *index;
	const IndexValue *value;
	MemoryContext context;

	bool		keep_values;	/* copy values of the expanded to `values` */
	bool		ignore_killed;	/* nodes whose rows are all marked killed count as empty */
	bool		goes_on;		/* HnswSearchMore() may be called */
	Size		spill_limit;	/* most bytes of candidates that wait for that */
	bool		keep_spilled;	/* all are kept now, in the queue */

	/* the walk through nodes without rows: see leave_dead() in search.c */
	bool		thorough;		/* walk through all of them rather than find no row */
	bool		unbounded;		/* do so now */
	bool		leaving;		/* they lead no further now */
	bool		later_round;	/* of an iterative scan */
	bool		judging;		/* on upper levels, a node is as good as its node on level 0 */
	bool		judged;			/* what that is for the node to be expanded */
	int			most_dead;		/* to be expanded, besides a part by the nodes with rows */
	int			ndead;
	int			nwith_rows;
	struct HnswSearch *scout;	/* for the way down by nodes with rows */

	CodeQuery	code_query[2];	/* by kind of node */

	bool		queued;			/* there is no pool */
	Pool		pool;
	int			pool_allocated; /* capacity that pool_memory has room for */
	void	   *pool_memory;

	/* when to stop, where there is no pool */
	int			stop_nearest;
	int			nnearest;
	int			nearest_allocated;
	float	   *nearest;		/* heap of the distances of the stop_nearest nearest found, the farthest first */
	float		most_wanted;	/* what is beyond this distance is not asked for; infinity: all is */
	int			nerrors;
	double		squared_errors; /* of the estimates of nodes that were expanded */

	int			nlive;			/* of found: nodes that stay in the pool */
	bool		dropped;		/* a candidate was not let in, or lost its place, and was not kept */
	bool		forgot;			/* nor for want of memory, where all are to be kept */
	float		least_limit;	/* of those that were not let in, none was below it */

	HnswRefSet	seen;			/* the expanded (coded), all that were seen (plain) */
	HnswRefKeys best;			/* of a first round: least keys of what waited, -infinity of the expanded */
	float		limit;			/* and beyond it nothing is let in */

	int			nfound;
	int			found_allocated;
	HnswFound  *found;

	int			sort_allocated;
	HnswSortKey *sort_keys;
	HnswFound  *sort_spare;

	char	   *values;
	Size		values_used;
	Size		values_allocated;

	/* candidates that wait, at most queue_limit of them: core/vec/queue.h */
	Size		nqueued;
	Size		queue_allocated;
	Size		queue_limit;
	QueueEntry *queue;

	/* counters of this search */
	int64		expanded;
	int64		estimates;
	int64		distances;
} HnswSearch;

extern HnswSearch *HnswSearchCreate(HnswIndex *index, MemoryContext context);
extern void HnswSearchSetValue(HnswSearch *self, const IndexValue *value);
extern void HnswSearchLevel(HnswSearch *self, int kind, const HnswRef *starts, int nstarts, int capacity,
							int ef);
extern bool HnswSearchHasMore(HnswSearch *self, int kind);
extern bool HnswSearchMore(HnswSearch *self, int kind, int ef);
extern void HnswSearchLeaveGraph(HnswSearch *self);
extern void HnswSearchPage(HnswSearch *self, BlockNumber block, BufferAccessStrategy strategy);
extern float HnswSearchFrontier(HnswSearch *self);
extern bool HnswSearchIsBeyond(HnswSearch *self);
extern void HnswSearchSort(HnswSearch *self, int from, int to);
extern int	HnswDescend(HnswSearch *self, int to_level, HnswRef *starts, int most, int *entry_level, HnswRef *entry);

/* within.c */
extern bool HnswPartWithin(Relation rel, Datum query, double most, double *part);

/* Candidates kept for each ef where all of them are expanded, and where a search may stop: see search.c */
#define HNSW_POOL(ef) (3 * (ef) + 16)
extern int	HnswScanPool(const HnswIndex *index, int ef);
#define HNSW_MAX_STARTS 4

#endif							/* HNSW_SEARCH_H */
