/*
 * recall.c
 *	  hnsw_recall: how many of the nearest rows an index finds, and in what time,
 *	  beside exact answers.
 *
 * Queries are values of the table itself: a sample of the rows that the index is to
 * hold, of which each is left out of its own answers, and takes no place of ef_search:
 * a search keeps one more, up to the most that the setting allows.  The sample depends
 * on nothing but the rows, so that whoever measures twice measures the same.
 *
 * The table is read once to count its rows and to draw the sample, once for as many
 * queries as fit in work_mem, and once for each of the few queries whose exact
 * search is timed.  What is kept of an exact answer is its distances: a row of the index
 * is right where it is no farther than the last of them, so equal distances count.
 * A value whose distance to itself is no number, a zero vector under cosine distance,
 * is in no index and is no query.
 *
 * Rows of the index are put in order as the executor does it (IndexNextWithReorder()).
 * Each query is asked twice: first for its rows, whose distances are all computed, then
 * for its time, where only those are that an index scan computes.
 *
 * Whoever may read all rows of the table may measure.  Expressions and predicate
 * of the index are evaluated as the owner of the table.
 */
#include "index/hnsw/hnsw.h"
#include "index/settings.h"

#include <math.h>

#include "access/relation.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "as_owner.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "lib/pairingheap.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#define MOST_QUERIES 10000
#define MOST_ROWS 10000			/* of an answer */
#define MOST_SETTINGS 100		/* of ef_search, in one call */
#define SEED 20260101

/* Exact searches are timed until so many are, or so long has gone by. */
#define TIMED_EXACT 5
#define TIMED_EXACT_MS 1000.0

#define PROGRESS_MS 10000.0		/* from one NOTICE to the next */

/* A row of the table as a query */
typedef struct RecallQuery
{
	ItemPointerData tid;
	Datum		value;
	double	   *nearest;		/* a heap, the greatest first, of the least distances of other rows */
	int			nnearest;
} RecallQuery;

/* What was measured with one ef_search */
typedef struct RecallResult
{
	int			ef;
	int			queries;
	int64		wanted;			/* rows of their exact answers */
	int64		right;			/* of those, found */
	double		least;
	double	   *times;			/* ms */
} RecallResult;

typedef struct Recall
{
	Relation	heap;
	Relation	index;
	Snapshot	snapshot;
	IndexInfo  *info;
	EState	   *estate;
	ExprState  *predicate;
	TupleTableSlot *slot;
	FmgrInfo	distance;
	MemoryContext batch_context;	/* queries of a batch */
	int			k;
	int			sample;

	int64		rows;			/* that the index is to hold */
	ItemPointerData *drawn;
	int			ndrawn;
	RecallQuery *queries;		/* of the batch */
	int			nqueries;
	RecallResult *results;
	int			nresults;
	double		exact_ms[TIMED_EXACT];
	int			nexact;
	int64		compared;		/* rows with the queries of the batch */
	instr_time	noticed;
	pg_prng_state draws;
} Recall;

/* A row that the index has given, and waits for its turn */
typedef struct Waiting
{
	pairingheap_node node;
	double		order;
	double		distance;		/* NaN: nobody asked */
	bool		own;
} Waiting;

static double
ms_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now);
}

static double
distance_of(Recall *self, Datum value, Datum query)
{
	return DatumGetFloat8(FunctionCall2Coll(&self->distance, self->index->rd_indcollation[0], value, query));
}

/* ---------------------------------------------------------------------
 * Rows of the table
 * --------------------------------------------------------------------- */

/* The value that the index has of the row in the slot; in the memory of the row. */
static bool
value_of_slot(Recall *self, Datum *value)
{
	ExprContext *context = GetPerTupleExprContext(self->estate);
	MemoryContext old;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	context->ecxt_scantuple = self->slot;
	if (self->predicate != NULL && !ExecQual(self->predicate, context))
		return false;
	old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
	FormIndexDatum(self->info, self->slot, self->estate, values, nulls);
	MemoryContextSwitchTo(old);
	*value = values[0];
	return !nulls[0];
}

typedef void (*RowVisit) (Recall *self, Datum value);

static void
visit_rows(Recall *self, RowVisit visit)
{
	TableScanDesc scan = VecdbBeginScan(self->heap, self->snapshot);

	while (table_scan_getnextslot(scan, ForwardScanDirection, self->slot))
	{
		Datum		value;

		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(self->estate);
		if (value_of_slot(self, &value))
			visit(self, value);
	}
	table_endscan(scan);
	ExecClearTuple(self->slot);
}

/* Each row has the same chance to be drawn (algorithm R). */
static void
draw_row(Recall *self, Datum value)
{
	int64		at = self->rows++;

	if (self->ndrawn < self->sample)
		at = self->ndrawn++;
	else
		at = (int64) pg_prng_uint64_range(&self->draws, 0, (uint64) at);
	if (at < self->sample)
		self->drawn[at] = self->slot->tts_tid;
}

/* ---------------------------------------------------------------------
 * Exact answers
 * --------------------------------------------------------------------- */

static void
sift_down(double *heap, int n, int at)
{
	double		moved = heap[at];

	for (;;)
	{
		int			child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n && heap[child + 1] > heap[child])
			child++;
		if (heap[child] <= moved)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

static void
keep_nearest(Recall *self, RecallQuery *query, double distance)
{
	double	   *heap = query->nearest;
	int			at;

	if (isnan(distance))
		return;
	if (query->nnearest == self->k)
	{
		if (distance >= heap[0])
			return;
		heap[0] = distance;
		sift_down(heap, self->k, 0);
		return;
	}
	for (at = query->nnearest++; at > 0 && heap[(at - 1) / 2] < distance; at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = distance;
}

static void
tell_progress(Recall *self)
{
	if (ms_since(self->noticed) < PROGRESS_MS)
		return;
	INSTR_TIME_SET_CURRENT(self->noticed);
	ereport(NOTICE,
			(errmsg("hnsw_recall has compared %lld of %lld rows with %d of %d queries",
					(long long) self->compared, (long long) self->rows, self->nqueries, self->ndrawn)));
}

static void
compare_row(Recall *self, Datum value)
{
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(self->estate));

	value = PointerGetDatum(PG_DETOAST_DATUM(value));	/* once for all queries */
	for (int i = 0; i < self->nqueries; i++)
	{
		if (!ItemPointerEquals(&self->queries[i].tid, &self->slot->tts_tid))
			keep_nearest(self, &self->queries[i], distance_of(self, value, self->queries[i].value));
	}
	MemoryContextSwitchTo(old);
	if (++self->compared % 1024 == 0)
		tell_progress(self);
}

/* What one exact search takes: all rows, one query. */
static void
time_exact(Recall *self)
{
	RecallQuery *all = self->queries;
	int			n = self->nqueries;
	double		spent = 0;

	for (int i = 0; i < n && self->nexact < TIMED_EXACT && spent < TIMED_EXACT_MS; i++)
	{
		RecallQuery one = all[i];
		instr_time	start;

		one.nnearest = 0;
		one.nearest = palloc(sizeof(double) * self->k);
		self->queries = &one;
		self->nqueries = 1;
		INSTR_TIME_SET_CURRENT(start);
		visit_rows(self, compare_row);
		spent += self->exact_ms[self->nexact++] = ms_since(start);
		pfree(one.nearest);
	}
	self->queries = all;
	self->nqueries = n;
}

/* ---------------------------------------------------------------------
 * Answers of the index
 * --------------------------------------------------------------------- */

static int
by_order(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	double		x = pairingheap_const_container(Waiting, node, a)->order;
	double		y = pairingheap_const_container(Waiting, node, b)->order;

	return x < y ? 1 : x > y ? -1 : 0;	/* the first is the greatest to the heap */
}

/* A row of the index's, with the distance that orders it: its own, or the one that the index knows. */
static Waiting *
read_row(Recall *self, IndexScanDesc scan, RecallQuery *query, bool with_distances)
{
	Waiting    *row = palloc(sizeof(Waiting));
	Datum		value;

	row->own = ItemPointerEquals(&self->slot->tts_tid, &query->tid);
	row->order = scan->xs_orderbynulls[0] ? get_float8_nan() : DatumGetFloat8(scan->xs_orderbyvals[0]);
	row->distance = get_float8_nan();
	if (with_distances || scan->xs_recheckorderby)
	{
		ResetPerTupleExprContext(self->estate);
		if (value_of_slot(self, &value))
		{
			MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(self->estate));

			row->distance = distance_of(self, value, query->value);
			MemoryContextSwitchTo(old);
		}
		if (scan->xs_recheckorderby)
			row->order = row->distance;
	}
	return row;
}

/*
 * The first k rows that a query gets from the index, but for its own; their distances
 * where they are asked for.
 */
static int
ask_index(Recall *self, RecallQuery *query, double *distances)
{
	IndexScanDesc scan = VecdbIndexBeginOrderedScan(self->heap, self->index, self->snapshot, 1);
	pairingheap *waiting = pairingheap_allocate(by_order, NULL);
	bool		ended = false;
	double		reached = -get_float8_infinity();
	ScanKeyData key;
	int			n = 0;

	ScanKeyEntryInitialize(&key, SK_ORDER_BY, 1, 1, self->index->rd_opcintype[0], self->index->rd_indcollation[0],
						   self->distance.fn_oid, query->value);
	index_rescan(scan, NULL, 0, &key, 1);
	while (n < self->k)
	{
		Waiting    *row;

		if (!pairingheap_is_empty(waiting) &&
			(ended || pairingheap_container(Waiting, node, pairingheap_first(waiting))->order <= reached))
		{
			row = pairingheap_container(Waiting, node, pairingheap_remove_first(waiting));
			if (!row->own && distances != NULL)
				distances[n] = row->distance;
			n += !row->own;
			pfree(row);
			continue;
		}
		if (ended)
			break;
		CHECK_FOR_INTERRUPTS();
		if (!index_getnext_slot(scan, ForwardScanDirection, self->slot))
		{
			ended = true;
			continue;
		}
		row = read_row(self, scan, query, distances != NULL);
		reached = DatumGetFloat8(scan->xs_orderbyvals[0]);
		pairingheap_add(waiting, &row->node);
	}
	index_endscan(scan);
	ExecClearTuple(self->slot);
	return n;
}

static void
measure_query(Recall *self, RecallQuery *query, RecallResult *result)
{
	double	   *distances = palloc(sizeof(double) * self->k);
	int			n = ask_index(self, query, distances);
	int			right = 0;
	double		recall;
	instr_time	start;

	for (int i = 0; i < n; i++)
		right += distances[i] <= query->nearest[0];
	right = Min(right, query->nnearest);
	recall = (double) right / query->nnearest;
	result->wanted += query->nnearest;
	result->right += right;
	result->least = result->queries == 0 ? recall : Min(result->least, recall);

	INSTR_TIME_SET_CURRENT(start);
	ask_index(self, query, NULL);
	result->times[result->queries++] = ms_since(start);
}

static void
measure_index(Recall *self, RecallResult *result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw recall query", ALLOCSET_DEFAULT_SIZES);
	int			nest = NewGUCNestLevel();
	int			ef = result->ef;

	/* an iterative scan under LIMIT k searches for as many; the query's own row takes a place */
	if (HnswIterativeScanMode() != HNSW_ITERATIVE_OFF)
		ef = Max(ef, self->k);
	ef = Min(ef + 1, HNSW_MAX_EF_SEARCH);
	set_config_option("hnsw.ef_search", psprintf("%d", ef), PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	for (int i = 0; i < self->nqueries; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		if (self->queries[i].nnearest > 0)
			measure_query(self, &self->queries[i], result);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	AtEOXact_GUC(false, nest);
	MemoryContextDelete(context);
}

/* ---------------------------------------------------------------------
 * All of it
 * --------------------------------------------------------------------- */

/* Take a row that was drawn for a query, if it can be one. */
static void
add_query(Recall *self, ItemPointer tid)
{
	RecallQuery *query = &self->queries[self->nqueries];
	Datum		value;

	ResetPerTupleExprContext(self->estate);
	if (!table_tuple_fetch_row_version(self->heap, tid, self->snapshot, self->slot) || !value_of_slot(self, &value))
		return;
	query->tid = *tid;
	query->value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	query->nnearest = 0;
	ExecClearTuple(self->slot);
	if (isnan(distance_of(self, query->value, query->value)))
		return;
	query->nearest = palloc(sizeof(double) * self->k);
	self->nqueries++;
}

/* Queries from the one that was drawn as number "first", as many as fit in work_mem; the number behind the last. */
static int
fill_batch(Recall *self, int first)
{
	MemoryContext old = MemoryContextSwitchTo(self->batch_context);

	MemoryContextReset(self->batch_context);
	self->queries = palloc_extended(sizeof(RecallQuery) * (self->ndrawn - first), MCXT_ALLOC_HUGE);
	self->nqueries = 0;
	do
	{
		CHECK_FOR_INTERRUPTS();
		add_query(self, &self->drawn[first++]);
	}
	while (first < self->ndrawn && MemoryContextMemAllocated(self->batch_context, false) < work_mem * (Size) 1024);
	MemoryContextSwitchTo(old);
	return first;
}

static void
measure(Recall *self)
{
	int			at = 0;

	self->info = BuildIndexInfo(self->index);
	self->estate = CreateExecutorState();
	self->predicate = ExecPrepareQual(self->info->ii_Predicate, self->estate);
	self->slot = table_slot_create(self->heap, NULL);
	pg_prng_seed(&self->draws, SEED);
	INSTR_TIME_SET_CURRENT(self->noticed);

	visit_rows(self, draw_row);
	while (at < self->ndrawn)
	{
		at = fill_batch(self, at);
		self->compared = 0;
		visit_rows(self, compare_row);
		for (int i = 0; i < self->nresults; i++)
			measure_index(self, &self->results[i]);
		if (self->nexact == 0)
			time_exact(self);
	}

	ExecDropSingleTupleTableSlot(self->slot);
	FreeExecutorState(self->estate);
}

/* Who may read all rows of the table, and is not kept from some of them by its policies. */
static void
check_reader(Oid index, Oid heap)
{
	AclResult	may = pg_class_aclcheck(heap, GetUserId(), ACL_SELECT);

	if (may != ACLCHECK_OK)
		aclcheck_error(may, get_relkind_objtype(get_rel_relkind(heap)), get_rel_name(heap));
	if (check_enable_rls(heap, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot measure index \"%s\": row-level security hides rows of table \"%s\" from you",
						get_rel_name(index), get_rel_name(heap)),
				 errhint("Ask a role that its policies do not hold for: one with BYPASSRLS, or the owner of the table unless they are forced.")));
}

static int
number_argument(FunctionCallInfo fcinfo, int at, const char *name, int most)
{
	int			value;

	if (PG_ARGISNULL(at))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	value = PG_GETARG_INT32(at);
	if (value < 1 || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %d, but must be from 1 to %d", name, value, most)));
	return value;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static double
percentile(double *values, int n, double part)
{
	qsort(values, n, sizeof(double), compare_doubles);
	return values[Max((int) ceil(part * n) - 1, 0)];
}

static void
put_result(Recall *self, const RecallResult *result, ReturnSetInfo *to)
{
	Datum		values[9];
	bool		nulls[9] = {false};

	values[0] = Int32GetDatum(result->ef);
	values[1] = Int32GetDatum(self->k);
	values[2] = Int32GetDatum(result->queries);
	values[3] = Int64GetDatum(self->rows);
	if (result->queries > 0)
	{
		values[4] = Float8GetDatum((double) result->right / result->wanted);
		values[5] = Float8GetDatum(result->least);
		values[6] = Float8GetDatum(percentile(result->times, result->queries, 0.5));
		values[7] = Float8GetDatum(percentile(result->times, result->queries, 0.95));
	}
	if (self->nexact > 0)
		values[8] = Float8GetDatum(percentile(self->exact_ms, self->nexact, 0.5));
	nulls[4] = nulls[5] = nulls[6] = nulls[7] = result->queries == 0;
	nulls[8] = self->nexact == 0;
	tuplestore_putvalues(to->setResult, to->setDesc, values, nulls);
}

static Datum
recall_of(FunctionCallInfo fcinfo, Recall *self)
{
	Oid			operator;
	AsOwner		owner;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("index must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	self->index = HnswOpenToLook(PG_GETARG_OID(0), check_reader, &self->heap);
	self->snapshot = GetActiveSnapshot();
	self->drawn = palloc(sizeof(ItemPointerData) * self->sample);
	for (int i = 0; i < self->nresults; i++)
		self->results[i].times = palloc(sizeof(double) * self->sample);
	self->batch_context = AllocSetContextCreate(CurrentMemoryContext, "hnsw recall queries", ALLOCSET_DEFAULT_SIZES);
	operator = get_opfamily_member(self->index->rd_opfamily[0], self->index->rd_opcintype[0], self->index->rd_opcintype[0], 1);
	fmgr_info(get_opcode(operator), &self->distance);

	/* The expressions and the predicate of the index are the owner's code. */
	owner = AsOwnerBegin(self->heap->rd_rel->relowner);
	PG_TRY();
	{
		measure(self);
	}
	PG_CATCH();
	{
		AsOwnerFailed(owner.within);
		PG_RE_THROW();
	}
	PG_END_TRY();
	AsOwnerEnd(&owner);

	for (int i = 0; i < self->nresults; i++)
		put_result(self, &self->results[i], (ReturnSetInfo *) fcinfo->resultinfo);
	relation_close(self->index, AccessShareLock);
	table_close(self->heap, AccessShareLock);
	return (Datum) 0;
}

/* hnsw_recall(index, sample, k, ef): one ef_search, the session's where none is given */
PG_FUNCTION_INFO_V1(hnsw_recall);
Datum
hnsw_recall(PG_FUNCTION_ARGS)
{
	Recall		self = {0};

	HnswDefineSettings();
	self.sample = number_argument(fcinfo, 1, "sample", MOST_QUERIES);
	self.k = number_argument(fcinfo, 2, "k", MOST_ROWS);
	self.nresults = 1;
	self.results = palloc0(sizeof(RecallResult));
	self.results[0].ef = PG_ARGISNULL(3) ? HnswEfSearch() : number_argument(fcinfo, 3, "ef", HNSW_MAX_EF_SEARCH);
	return recall_of(fcinfo, &self);
}

/* hnsw_recall(index, ef[], sample, k): a row for each */
PG_FUNCTION_INFO_V1(hnsw_recall_curve);
Datum
hnsw_recall_curve(PG_FUNCTION_ARGS)
{
	Recall		self = {0};
	Datum	   *elements;
	bool	   *nulls;

	HnswDefineSettings();
	self.sample = number_argument(fcinfo, 2, "sample", MOST_QUERIES);
	self.k = number_argument(fcinfo, 3, "k", MOST_ROWS);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("ef must not be null")));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, &nulls, &self.nresults);
	if (self.nresults < 1 || self.nresults > MOST_SETTINGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef has %d elements, but must have from 1 to %d", self.nresults, MOST_SETTINGS)));
	self.results = palloc0(sizeof(RecallResult) * self.nresults);
	for (int i = 0; i < self.nresults; i++)
	{
		int			ef = nulls[i] ? 0 : DatumGetInt32(elements[i]);

		if (ef < 1 || ef > HNSW_MAX_EF_SEARCH)
			ereport(ERROR,
					(errcode(nulls[i] ? ERRCODE_NULL_VALUE_NOT_ALLOWED : ERRCODE_INVALID_PARAMETER_VALUE),
					 nulls[i] ? errmsg("element %d of ef must not be null", i + 1) :
					 errmsg("element %d of ef is %d, but must be from 1 to %d", i + 1, ef, HNSW_MAX_EF_SEARCH)));
		self.results[i].ef = ef;
	}
	return recall_of(fcinfo, &self);
}
