/*
 * scan.c
 *	  Index scans: rows in the exact order of their distance.
 *
 * The index knows distances of coded nodes up to a small, known error (12 bits
 * a coordinate).  A row whose interval of possible distances meets no other's is
 * returned as it is; where intervals meet, the residuals of long values are read,
 * which make the error smaller.  Where they still meet, rows are returned with the lower
 * bound and xs_recheckorderby, and the executor's reorder queue puts them in
 * exact order.  So only ambiguous rows have their vectors read from the table.
 *
 * Iterative scans keep the candidates that the pool had no room for, and go on
 * with the best of them when the rows found so far are used up.  What one round
 * found beyond ef_search waits for the next round, to come out in better order.
 * Where all within a bound are wanted in any order, and they are many, the graph is left:
 * the rest is read page by page.
 * Other scans search again only where rows turned out to be dead.
 *
 * Only MVCC snapshots: a row that vacuum removed after the scan saw its TID, and
 * another that got the same tid since, are both invisible to the snapshot, so no
 * pin needs to be held between pages and rows.
 */
#include "index/access_method.h"
#include "index/bound.h"
#include "index/cut.h"
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_search.h"
#include "index/settings.h"

#include <math.h>

#include "access/relscan.h"
#include "access/xlog.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* One found node in the order of return. */
typedef struct Ranked
{
	double		bound;			/* lower bound of the distance, not above any later one's */
	bool		recheck;
} Ranked;

typedef struct KilledTid
{
	HnswRef		ref;
	ItemPointerData tid;
	uint16		removals;		/* HnswNode's when the row was read from it */
} KilledTid;

#define MAX_KILLED 256

/* Rows beyond those that a LIMIT wants whose distances are refined at first */
#define MORE_REFINED 4

/* Times that a scan without iteration searches again, each with twice the ef: rows of a region that was deleted */
#define MAX_AGAIN 4

/* Nodes that a round of a scan with a bound is to find at most */
#define MOST_IN_ROUND 20000

/* The graph gives a scan that wants no order this part of the index, 1 by it */
#define GRAPH_PART 8

typedef struct HnswScan
{
	MemoryContext context;		/* of the scan */
	MemoryContext index_context;	/* of index and search */
	MemoryContext value_context;	/* of one value searched for */
	HnswIndex  *index;
	HnswSearch *search;
	IndexValue	value;
	HnswIterativeScan mode;
	int			ef;
	int			round;			/* nodes that a round of an iterative scan is to find */
	bool		started;
	bool		begun;			/* the first batch was made */
	bool		null_query;
	bool		unordered;		/* all within a bound are wanted, in any order */
	int			by_graph;		/* then so many nodes are to be found by the graph */
	bool		paging;			/* and the rest is read page by page */
	BlockNumber page;			/* the next of these */
	BlockNumber npages;
	BufferAccessStrategy strategy;
	bool		exhausted;		/* nothing more to be searched */
	bool		ended;			/* nor to be returned */
	IndexCut	cut;			/* though there is more */
	double		most_distance;	/* rows beyond it are not wanted */
	bool		found_wanted;	/* the last round found a node not beyond it: see is_rest_too_far() */

	/* found[0..done) were returned, or dropped; found[done..end) are being returned */
	int			done;
	int			end;
	int			at;
	int			at_tid;
	int			ranked_allocated;
	Ranked	   *ranked;			/* of found[done..end) */
	double		last_bound;		/* greatest bound returned, for strict order */
	double		last_high;		/* and where the intervals of those rows end; of live ones without iteration */
	double		high_before;	/* the same before found[done..end) */
	int			refined;		/* found[done..refined) have their distances refined, if need be */
	int			to_refine;		/* of what comes next so many are */
	ValueResidual *residual;	/* of one node; NULL where none is asked for */
	int			wanted;			/* without iteration: nodes with live rows that are still to be returned */
	int			again;			/* and times that it has searched again */
	bool		any_dead;		/* since it searched last, a row was found dead */
	BlockNumber heap_blocks;	/* the table had at least so many when the scan looked last */
	int64		tuples;			/* rows found, against max_scan_tuples */
	int64		searches;		/* for the report of counters */
	int64		returned;
	int64		rechecked;
	int64		distances_refined;

	int			nkilled;
	KilledTid  *killed;
	HnswRef		last_ref;		/* node of the row returned last */
	ItemPointerData last_tid;
	uint16		last_removals;
} HnswScan;

IndexScanDesc
hnswbeginscan(Relation rel, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(rel, nkeys, norderbys);
	HnswScan   *self = palloc0(sizeof(HnswScan));

	self->context = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan", ALLOCSET_DEFAULT_SIZES);
	self->index_context = AllocSetContextCreate(self->context, "hnsw scan index", ALLOCSET_DEFAULT_SIZES);
	self->value_context = AllocSetContextCreate(self->context, "hnsw scan value", ALLOCSET_DEFAULT_SIZES);
	scan->opaque = self;
	scan->xs_orderbyvals = palloc0(sizeof(Datum) * Max(norderbys, 1));
	scan->xs_orderbynulls = palloc0(sizeof(bool) * Max(norderbys, 1));
	return scan;
}

/*
 * Mark rows that the executor found dead, so that scans to come neither return
 * them nor let their nodes use up ef_search.  This is logged, or a standby's
 * pages would differ; standbys do not act upon the marks.
 *
 * The marks are set when the scan ends or searches again, or in an iterative scan there are many
 * of them, which for a cursor may be long after the rows were read.  Where vacuum has removed rows of the node meanwhile, the
 * same TID may belong to a new, live row with the same value: leave it alone.
 */
static void
apply_killed(IndexScanDesc scan)
{
	HnswScan   *self = (HnswScan *) scan->opaque;

	for (int i = 0; i < self->nkilled; i++)
	{
		HnswNode   *node;
		Buffer		buffer = HnswReadNode(self->index, self->killed[i].ref, HNSW_BASE, BUFFER_LOCK_EXCLUSIVE, &node);
		int			mark = -1;

		if (node == NULL)
			continue;
		for (int t = 0; t < node->ntids && node->removals == self->killed[i].removals; t++)
		{
			if (ItemPointerEquals(&node->tids[t], &self->killed[i].tid) && !(node->killed & (1 << t)))
				mark = t;
		}
		if (mark >= 0)
		{
			PageChange	change;
			Page		page;

			PageChangeBegin(&change, &self->index->file, RelationNeedsWAL(scan->indexRelation));
			page = PageChangePage(&change, buffer, false);
			HnswPageNode(page, &self->index->layout[HNSW_BASE], HnswRefSlot(self->killed[i].ref))->killed |= 1 << mark;
			PageChangeEnd(&change);
		}
		UnlockReleaseBuffer(buffer);
	}
	self->nkilled = 0;
}

static void
remember_killed(IndexScanDesc scan)
{
	HnswScan   *self = (HnswScan *) scan->opaque;

	self->any_dead = true;
	if (self->killed == NULL)
		self->killed = MemoryContextAlloc(self->context, sizeof(KilledTid) * MAX_KILLED);
	if (self->nkilled == MAX_KILLED && self->mode != HNSW_ITERATIVE_OFF)
		apply_killed(scan);
	if (self->nkilled < MAX_KILLED)
	{
		self->killed[self->nkilled].ref = self->last_ref;
		self->killed[self->nkilled].tid = self->last_tid;
		self->killed[self->nkilled].removals = self->last_removals;
		self->nkilled++;
	}
}

void
hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	HnswScan   *self = (HnswScan *) scan->opaque;

	apply_killed(scan);
	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));
	self->started = false;
}

/* A query that is NULL is as far from everything: any value will do. */
static void
prepare_null(HnswScan *self)
{
	HnswIndex  *index = self->index;
	IndexValue  *value = &self->value;

	memset(value, 0, sizeof(IndexValue));
	if (index->space.coded)
		value->rotated = palloc0(sizeof(float) * index->space.padded);
	else
	{
		value->raw_bytes = Max(ValueRawBytes(&index->space), sizeof(int32));
		value->raw = palloc0(value->raw_bytes);
	}
}

/* Find the ef nearest nodes, and more beside them; none where the index has no rows. */
static void
search_base(HnswScan *self, int ef)
{
	HnswRef		starts[HNSW_MAX_STARTS];
	HnswRef		entry;
	int			entry_level;
	int			n;

	for (int most = 1;; most = HNSW_MAX_STARTS)
	{
		HnswRef		now;
		int			level_now;

		self->search->goes_on = false;
		n = HnswDescend(self->search, 0, starts, most, &entry_level, &entry);
		self->search->nfound = 0;
		if (n == 0)
			return;
		self->search->goes_on = self->mode != HNSW_ITERATIVE_OFF;
		HnswSearchLevel(self->search, HNSW_BASE, starts, n,
						HnswScanPool(self->index, ef), ef);
		if (self->search->nfound > 0)
			return;

		/* all starts went away meanwhile; with more of them or a new entry point there is a new try */
		HnswReadEntry(self->index, &now, &level_now);
		if (now == entry && most > 1)
			return;
		CHECK_FOR_INTERRUPTS();
	}
}

/* Does the way to what is within a bound lead by what is beyond?  See is_rest_too_far(). */
static bool
needs_barren_round(const HnswScan *self)
{
	return !self->index->space.coded || self->index->space.metric == METRIC_IP;
}

/*
 * How many nodes are to be found by the graph.  There a node costs about ten times as much
 * as on a page that is read as a whole; and what was found takes memory.
 */
static int
most_by_graph(const HnswScan *self)
{
	const HnswIndex *index = self->index;
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	double		nodes = (double) RelationGetNumberOfBlocks(index->file.rel) / (1 + layout->tail_pages) * layout->slots;
	double		room = (double) self->search->spill_limit / (sizeof(HnswFound) + 4 * sizeof(HnswRef));

	return (int) Min(Min(nodes / GRAPH_PART, room), INT_MAX);
}

static void
start(IndexScanDesc scan)
{
	HnswScan   *self = (HnswScan *) scan->opaque;
	MemoryContext old;
	bool		has_direction = true;
	double		rows;			/* that are wanted; 0: unknown */

	if (scan->numberOfOrderBys != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot scan hnsw index without one distance to order by")));
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot scan hnsw index without an MVCC snapshot")));

	pgstat_count_index_scan(scan->indexRelation);
	CountIndexSearch(scan);

	/* An index that was empty may have got its centre since. */
	if (self->index == NULL || !self->index->space.centred)
	{
		MemoryContextReset(self->index_context);
		self->index = HnswOpen(scan->indexRelation, self->index_context);
		self->search = HnswSearchCreate(self->index, self->index_context);
	}

	MemoryContextReset(self->value_context);
	old = MemoryContextSwitchTo(self->value_context);
	self->null_query = (scan->orderByData[0].sk_flags & SK_ISNULL) != 0;
	if (self->null_query)
		prepare_null(self);
	else
		has_direction = ValuePrepare(&self->index->space, self->index->file.rel,
									 scan->orderByData[0].sk_argument, true, &self->value);
	self->unordered = IndexScanIsUnordered(&scan->orderByData[0]);
	self->residual = NULL;
	if (ValueHasResidual(&self->index->space) && !self->null_query && !self->unordered)
		self->residual = palloc0(ValueResidualBytes(&self->index->space) + self->index->space.padded / 2);
	MemoryContextSwitchTo(old);

	self->most_distance = IndexScanBound(&scan->orderByData[0], !has_direction);

	self->paging = false;
	self->mode = self->unordered ? HNSW_ITERATIVE_RELAXED : HnswIterativeScanMode();
	self->ef = HnswEfSearch();
	rows = IndexScanRowsWanted(&scan->orderByData[0]);
	if (self->mode != HNSW_ITERATIVE_OFF)
		self->ef = Max(self->ef, (int) Min(rows, Min(HNSW_MAX_EF_SEARCH, HnswMaxScanTuples())));
	/* the last of them come out when the scan gives what is behind them */
	self->to_refine = rows > 0 ? (int) Min(rows + rows / 16 + MORE_REFINED, INT_MAX) : INT_MAX;
	self->started = true;
	self->searches++;
	IndexScansBegun++;
	self->exhausted = false;
	self->begun = false;
	self->ended = false;
	self->cut = INDEX_NOT_CUT;
	self->done = self->end = self->at = self->at_tid = 0;
	self->round = self->ef;
	self->tuples = 0;
	self->wanted = self->ef;
	self->again = 0;
	self->any_dead = false;
	self->last_bound = self->last_high = -get_float8_infinity();
	ItemPointerSetInvalid(&self->last_tid);

	self->search->most_wanted = get_float4_infinity();
	if (self->most_distance < get_float8_infinity() && self->index->space.centred && !needs_barren_round(self))
		self->search->most_wanted = ValueLargestWithin(&self->index->space, &self->value, self->most_distance);
	self->search->ignore_killed = scan->ignore_killed_tuples;
	self->search->thorough = true;
	HnswSearchSetValue(self->search, &self->value);
	self->search->spill_limit = (Size) (work_mem * 1024.0 * HnswScanMemMultiplier());
	if (!self->index->space.centred)
	{
		/* no rows yet; those that come now are not for this scan, nor is its query prepared for them */
		self->search->nfound = 0;
		self->exhausted = true;
		return;
	}
	if (self->unordered)
		self->by_graph = most_by_graph(self);
	search_base(self, self->ef);
	self->exhausted = self->mode == HNSW_ITERATIVE_OFF || self->search->nfound == 0;
}

/* The interval that holds the operator's distance of the query from a found node: see ValueInterval() */
static void
found_interval(const HnswScan *self, const HnswFound *found, double *low, double *high)
{
	ValueInterval(&self->index->space, &self->value, found->distance, found->error, found->norm, false, low, high);
}

/* No distance of the operator is below it.  The executor takes one that is for a corrupted index. */
static double
least_distance(const HnswScan *self, const HnswFound *found)
{
	double		low;
	double		high;

	ValueInterval(&self->index->space, &self->value, found->distance, found->error, found->norm, true, &low, &high);
	return low;
}

/* Decide for found[done..end) which rows the executor has to put in order. */
static void
rank(HnswScan *self)
{
	int			n = self->end - self->done;
	HnswFound  *found = self->search->found + self->done;
	double		later_low = get_float8_infinity();
	double		earlier_high = self->high_before;
	double	   *highs;

	Assert(n > 0 && self->end <= self->search->nfound);
	if (n > self->ranked_allocated)
	{
		if (self->ranked != NULL)
			pfree(self->ranked);
		self->ranked_allocated = Max(n, 128);
		self->ranked = MemoryContextAllocHuge(self->context, sizeof(Ranked) * self->ranked_allocated);
	}
	highs = palloc(sizeof(double) * n);

	for (int i = n - 1; i >= 0; i--)
	{
		double		low;

		found_interval(self, &found[i], &low, &highs[i]);
		self->ranked[i].recheck = found[i].ntids > 1 || later_low <= highs[i];
		later_low = Min(later_low, low);
		self->ranked[i].bound = later_low;
	}
	for (int i = 0; i < n; i++)
	{
		if (earlier_high >= self->ranked[i].bound)
			self->ranked[i].recheck = true;
		earlier_high = Max(earlier_high, highs[i]);
	}

	/*
	 * Strict order: later rows have bounds at or above the last one here, so
	 * what may lie beyond that has to wait for them.
	 */
	if (self->mode == HNSW_ITERATIVE_STRICT)
	{
		self->last_bound = self->ranked[n - 1].bound;
		self->last_high = earlier_high;
		for (int i = 0; i < n; i++)
			self->ranked[i].recheck |= highs[i] >= self->last_bound;
	}
	for (int i = 0; i < n; i++)
	{
		if (self->ranked[i].recheck)
			self->ranked[i].bound = Min(self->ranked[i].bound, least_distance(self, &found[i]));
	}
	pfree(highs);
}

/* Refine the distance of a found node by the residual of its value, once.  False: it stays as it is. */
static bool
refine_node(HnswScan *self, HnswFound *found)
{
	float		distance;

	/* rows of one node may differ in what the residual has */
	if (self->residual == NULL || found->ntids > 1 || (found->flags & HNSW_NODE_SHARED) ||
		!HnswReadResidual(self->index, found->down, found->error, self->residual))
		return false;
	distance = ValueRefine(&self->index->space, &self->value, found->distance, self->residual, found->scale);
	if (isnan(distance))
		return false;
	found->distance = distance;
	found->error = self->residual->error;
	found->down = HNSW_NO_RESIDUAL;
	self->distances_refined++;
	return true;
}

/*
 * Look at the next of found[refined..end), as many as may be wanted: where the executor
 * would have to put one in order, its distance is refined by the residual of its value.
 * Then they are ranked anew.  What was returned already is no farther than any of these,
 * whatever its distance.
 */
static void
refine(HnswScan *self)
{
	HnswSearch *search = self->search;
	int			from = self->refined;
	int			to = from + Min(self->to_refine, self->end - from);
	bool		any = false;

	self->refined = to;
	self->to_refine = Min(self->to_refine, INT_MAX / 2) * 2;
	for (int i = from; i < to; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (self->ranked[i - self->done].recheck && refine_node(self, &search->found[i]))
			any = true;
	}
	if (!any)
		return;
	HnswSearchSort(search, from, to);
	rank(self);
}

/* Look at what a round has found: found[before..) */
static void
note_found(HnswScan *self, int before)
{
	self->found_wanted = false;
	for (int i = before; i < self->search->nfound; i++)
	{
		const HnswFound *found = &self->search->found[i];
		double		low;
		double		high;

		self->tuples += found->ntids;
		if (self->found_wanted || !needs_barren_round(self))
			continue;
		found_interval(self, found, &low, &high);
		self->found_wanted = low <= self->most_distance;
	}
}

/*
 * Is all that is still to be searched for beyond what is wanted?  The way to what is
 * near may lead by what is farther: without codes no errors of estimates give room for
 * that, and inner products are no metric.  There a whole round has to find nothing that
 * is wanted.
 */
static bool
is_rest_too_far(const HnswScan *self)
{
	float		frontier;
	double		low;
	double		high;

	if (self->most_distance == get_float8_infinity())
		return false;
	if (!needs_barren_round(self))
		return HnswSearchIsBeyond(self->search);
	if (self->found_wanted)
		return false;
	frontier = HnswSearchFrontier(self->search);
	if (isinf(frontier))
		return false;
	ValueInterval(&self->index->space, &self->value, frontier, 0, 0, true, &low, &high);
	return low > self->most_distance;
}

static bool
was_found_dead(const HnswScan *self, HnswRef ref, const ItemPointerData *tid)
{
	for (int i = 0; i < self->nkilled; i++)
	{
		if (self->killed[i].ref == ref && ItemPointerEquals(&self->killed[i].tid, unconstify(ItemPointerData *, tid)))
			return true;
	}
	return false;
}

/*
 * Without iteration ef nodes are returned; where rows among them were dead, others
 * take their places.  Their marks keep the dead out of a second search; what may
 * belong before live rows that were returned does not come.  False: there is no need.
 */
static bool
search_again(IndexScanDesc scan)
{
	HnswScan   *self = (HnswScan *) scan->opaque;
	HnswSearch *search = self->search;
	double		low;
	double		high;
	int			kept = 0;

	if (!self->any_dead || self->again == MAX_AGAIN)
		return false;
	for (int i = 0; i < self->end; i++)
	{
		const HnswFound *found = &search->found[i];
		bool		live = false;

		for (int t = 0; t < found->ntids && !live; t++)
			live = !(found->killed & (1 << t)) && !was_found_dead(self, found->ref, &found->tids[t]);
		if (!live)
			continue;
		found_interval(self, found, &low, &high);
		self->last_high = Max(self->last_high, high);
		self->wanted--;
	}
	if (self->wanted <= 0)
		return false;

	apply_killed(scan);
	self->any_dead = false;
	self->again++;
	self->searches++;
	search_base(self, self->ef << self->again);
	for (int i = 0; i < search->nfound; i++)
	{
		found_interval(self, &search->found[i], &low, &high);
		if (low > self->last_high)
			search->found[kept++] = search->found[i];
	}
	search->nfound = kept;
	self->done = 0;
	return kept > 0;
}

/*
 * Strict order: a row that the executor has to put in order comes out when the scan
 * gives one that is surely behind it.  So that the first ef rows need no second round,
 * the first round gives what surely is behind them too, if it found that.
 */
static int
surely_behind(const HnswScan *self, int limit)
{
	const HnswSearch *search = self->search;
	double		farthest = -get_float8_infinity();
	double		low;
	double		high;

	for (int i = self->done; i < limit; i++)
	{
		found_interval(self, &search->found[i], &low, &high);
		farthest = Max(farthest, high);
	}
	while (limit < search->nfound)
	{
		found_interval(self, &search->found[limit++], &low, &high);
		if (low > farthest)
			break;
	}
	return limit;
}

/* found[done..end) are the next to be returned */
static void
begin_batch(HnswScan *self)
{
	self->at = self->done;
	self->at_tid = 0;
	self->high_before = self->last_high;
	rank(self);
	self->refined = self->residual != NULL ? self->done : self->end;
}

static void
leave_graph(HnswScan *self)
{
	HnswSearchLeaveGraph(self->search);
	self->paging = true;
	self->page = 1;
	self->npages = RelationGetNumberOfBlocks(self->index->file.rel);
	if (self->strategy == NULL && self->npages > NBuffers / 4)
	{
		MemoryContext old = MemoryContextSwitchTo(self->context);

		self->strategy = GetAccessStrategy(BAS_BULKREAD);
		MemoryContextSwitchTo(old);
	}
}

/* The next page with nodes that are to be returned.  False: there is none. */
static bool
next_page(HnswScan *self)
{
	self->done = self->end = 0;
	while (self->page < self->npages && self->end == 0)
	{
		CHECK_FOR_INTERRUPTS();
		HnswSearchPage(self->search, self->page++, self->strategy);
		self->end = self->search->nfound;
	}
	if (self->end == 0)
		return false;
	HnswSearchSort(self->search, 0, self->search->nfound);
	begin_batch(self);
	return true;
}

/*
 * A further round of an iterative scan.  Where the search knows what is wanted, each is
 * to find four times as much as the one before, and they are few: the last one ends
 * where that does.
 */
static void
search_on(HnswScan *self)
{
	if (self->unordered && !self->exhausted && self->search->nfound >= self->by_graph)
	{
		leave_graph(self);
		self->exhausted = true;
	}
	if (!isinf(self->search->most_wanted))
		self->round = Min(self->round * 4, MOST_IN_ROUND);
	if (self->unordered)
		self->round = Min(self->round, Max(self->by_graph - self->search->nfound, 1));
	else
		self->round = Min(self->round, (int) Max(HnswMaxScanTuples() - self->tuples, HnswEfSearch()));
	if (self->exhausted)
		return;
	if (!self->unordered && self->tuples >= HnswMaxScanTuples())
	{
		self->exhausted = true;
		if (HnswSearchHasMore(self->search, HNSW_BASE))
			self->cut = INDEX_CUT_BY_TUPLES;
	}
	else if (!HnswSearchMore(self->search, HNSW_BASE, self->round))
	{
		self->exhausted = true;
		if (self->search->forgot)
			self->cut = INDEX_CUT_BY_MEMORY;
	}
}

/*
 * Find the next nodes to return by the graph.  Returns false where it gives no more.
 */
static bool
next_round(IndexScanDesc scan)
{
	HnswScan   *self = (HnswScan *) scan->opaque;
	HnswSearch *search = self->search;

	for (;;)
	{
		bool		first = !self->begun;
		int			before = search->nfound;
		int			limit;

		CHECK_FOR_INTERRUPTS();
		self->begun = true;
		self->done = self->end;
		if (!first && self->mode == HNSW_ITERATIVE_OFF)
		{
			if (!search_again(scan))
				return false;
		}
		else if (!first)
			search_on(self);
		note_found(self, first ? 0 : before);
		if (!self->exhausted && is_rest_too_far(self))
			self->exhausted = true;

		HnswSearchSort(search, self->done, search->nfound);
		limit = search->nfound;
		if (self->mode == HNSW_ITERATIVE_OFF || !self->exhausted)
		{
			int			live = 0;
			int			wanted = self->mode == HNSW_ITERATIVE_OFF ? self->wanted : self->round;
			float		frontier = get_float4_infinity();

			/*
			 * Strict order: what a candidate could still come before has to wait, but for
			 * the first round, which gives what a scan without iteration does.
			 */
			if (self->mode == HNSW_ITERATIVE_STRICT && !first)
				frontier = HnswSearchFrontier(search);
			for (limit = self->done; limit < search->nfound && live < wanted; limit++)
			{
				if (search->found[limit].distance > frontier)
					break;
				if (search->found[limit].live)
					live++;
			}
			if (self->mode == HNSW_ITERATIVE_STRICT && first && limit > 0)
				limit = surely_behind(self, limit);
		}
		self->end = limit;
		if (search->nfound == 0)
			self->exhausted = true; /* the entry point leads nowhere */

		/* Strict order: what may belong before rows that were returned does not come */
		if (self->mode == HNSW_ITERATIVE_STRICT)
		{
			int			kept = self->end;
			bool		any = false;

			for (int i = self->end - 1; i >= self->done; i--)
			{
				double		low;
				double		high;

				CHECK_FOR_INTERRUPTS();
				found_interval(self, &search->found[i], &low, &high);

				/* the last one returned may have had its distance refined: so is this one then */
				if (low < self->last_bound && high >= self->last_bound && refine_node(self, &search->found[i]))
				{
					found_interval(self, &search->found[i], &low, &high);
					any = true;
				}
				if (low >= self->last_bound)
					search->found[--kept] = search->found[i];
				else if (search->found[i].live && self->cut == INDEX_NOT_CUT)
					self->cut = INDEX_CUT_BY_ORDER;
			}
			self->done = kept;
			if (any)
				HnswSearchSort(search, self->done, self->end);
		}
		if (self->end > self->done)
		{
			begin_batch(self);
			return true;
		}
		self->at = self->done;
		if (self->exhausted)
			return false;
	}
}

static bool
next_batch(IndexScanDesc scan)
{
	HnswScan   *self = (HnswScan *) scan->opaque;

	return (!self->paging && next_round(scan)) || (self->paging && next_page(self));
}

/* A tid beyond the table's end is no row's: what reading it would give is a matter of luck. */
static void
check_tid(IndexScanDesc scan, const HnswFound *found, ItemPointer tid)
{
	HnswScan   *self = (HnswScan *) scan->opaque;
	BlockNumber block = ItemPointerGetBlockNumber(tid);

	if (likely(block < self->heap_blocks) || scan->heapRelation == NULL)
		return;
	self->heap_blocks = RelationGetNumberOfBlocks(scan->heapRelation);
	if (block >= self->heap_blocks)
		HnswCorrupt(scan->indexRelation, HnswRefBlock(found->ref),
					psprintf("A node has row (%u,%u), but the table ends before block %u.",
							 block, ItemPointerGetOffsetNumber(tid), self->heap_blocks));
}

bool
hnswgettuple(IndexScanDesc scan, ScanDirection direction)
{
	HnswScan   *self = (HnswScan *) scan->opaque;

	Assert(ScanDirectionIsForward(direction));

	if (!self->started)
		start(scan);
	else if (scan->kill_prior_tuple && ItemPointerIsValid(&self->last_tid))
		remember_killed(scan);

	while (!self->ended)
	{
		if (self->at >= self->end && !next_batch(scan))
		{
			self->ended = true;
			if (self->cut != INDEX_NOT_CUT)
				IndexScanWasCut(scan->indexRelation, self->cut);
			return false;
		}
		while (self->at < self->end)
		{
			HnswFound  *found = &self->search->found[self->at];
			Ranked	   *ranked = &self->ranked[self->at - self->done];

			if (self->at == self->refined && self->at_tid == 0)
				refine(self);
			Assert(self->at >= self->done && self->at < self->search->nfound);
			if (ranked->bound > self->most_distance)
			{
				/* so is the rest of these, and but for relaxed order all that would come */
				self->at = self->end;
				self->ended = self->mode != HNSW_ITERATIVE_RELAXED;
				break;
			}
			while (self->at_tid < found->ntids)
			{
				int			t = self->at_tid++;

				if (scan->ignore_killed_tuples && (found->killed & (1 << t)))
					continue;
				check_tid(scan, found, &found->tids[t]);
				self->last_ref = found->ref;
				self->last_tid = found->tids[t];
				self->last_removals = found->removals;
				scan->xs_heaptid = found->tids[t];
				scan->xs_recheck = false;
				scan->xs_recheckorderby = ranked->recheck && !self->null_query && !self->unordered;
				scan->xs_orderbyvals[0] = Float8GetDatum(ranked->bound);
				scan->xs_orderbynulls[0] = self->null_query;
				self->returned++;
				self->rechecked += scan->xs_recheckorderby;
				return true;
			}
			self->at++;
			self->at_tid = 0;
		}
	}
	return false;
}

void
hnswendscan(IndexScanDesc scan)
{
	HnswScan   *self = (HnswScan *) scan->opaque;

	apply_killed(scan);
	if (VecdbLogScanCounters && self->search != NULL)
		ereport(INFO,
				(errmsg("hnsw scan of index \"%s\": " INT64_FORMAT " searches", RelationGetRelationName(scan->indexRelation), self->searches),
				 errdetail("Nodes expanded: " INT64_FORMAT ", pages read: " INT64_FORMAT ", estimates: " INT64_FORMAT
						   ", exact distances: " INT64_FORMAT ", refined: " INT64_FORMAT ", rows returned: " INT64_FORMAT
						   ", of them to be put in order: " INT64_FORMAT ".",
						   self->search->expanded, self->index->file.pages_read, self->search->estimates,
						   self->search->distances, self->distances_refined, self->returned, self->rechecked)));
	MemoryContextDelete(self->context);
	pfree(self);
	scan->opaque = NULL;
}
