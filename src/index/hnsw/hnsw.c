/*
 * hnsw.c
 *	  The access method's handler, its options, and what the planner is told.
 */
#include "index/bound.h"
#include "index/cost.h"
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_search.h"
#include "index/plan.h"
#include "index/settings.h"
#include "index/validate.h"

#include <math.h>

#include "access/reloptions.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/float.h"
#include "utils/selfuncs.h"

/* ---------------------------------------------------------------------
 * Options of an index
 * --------------------------------------------------------------------- */

static relopt_kind
options_kind(void)
{
	static relopt_kind kind = 0;

	if (kind == 0)
	{
		kind = add_reloption_kind();
		add_int_reloption(kind, "m", "Most neighbors of a node on each level above the lowest, where it is twice that",
						  HNSW_DEFAULT_M, HNSW_MIN_M, HNSW_MAX_M, AccessExclusiveLock);
		add_int_reloption(kind, "ef_construction", "Number of candidates for the neighbors of a new node",
						  HNSW_DEFAULT_EF_CONSTRUCTION, HNSW_MIN_EF_CONSTRUCTION, HNSW_MAX_EF_CONSTRUCTION,
						  AccessExclusiveLock);
		add_int_reloption(kind, "code_bits", "Bits of a coded dimension: 1, 2 or 4; 0 chooses by the dimensions",
						  0, 0, 4, AccessExclusiveLock);
	}
	return kind;
}

static bytea *
hnswoptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt tab[] = {
		{"m", RELOPT_TYPE_INT, offsetof(HnswOptions, m)},
		{"ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptions, ef_construction)},
		{"code_bits", RELOPT_TYPE_INT, offsetof(HnswOptions, code_bits)},
	};
	HnswOptions *options = build_reloptions(reloptions, validate, options_kind(), sizeof(HnswOptions), tab, lengthof(tab));

	if (validate && options != NULL)
	{
		if (options->code_bits == 3)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("value %d out of bounds for option \"code_bits\"", options->code_bits),
					 errdetail("Valid values are 0, 1, 2 and 4.")));
	}
	return (bytea *) options;
}

/* ---------------------------------------------------------------------
 * Planner
 * --------------------------------------------------------------------- */

/*
 * How many rows a scan gives before it ends.  A bound of distance is a range with two ends
 * in each dimension, so where nothing is known of it, its part of the rows is the one of the
 * planner for such a range; a sample of the index tells more, but of no less than that.  A
 * search finds ef_search rows anyway.  Under a LIMIT, where the first rows count, it does not
 * matter.
 */
static double
rows_of_scan(PlannerInfo *root, IndexPath *path, Relation rel)
{
	double		rows = Max(path->indexinfo->tuples, 1);
	Node	   *query = lsecond(((OpExpr *) linitial(path->indexorderbys))->args);
	Const	   *constant = (Const *) query;
	double		part = DEFAULT_RANGE_INEQ_SEL;
	double		most;
	double		sampled;

	if (HnswIterativeScanMode() == HNSW_ITERATIVE_OFF || !BoundOfPath(path, &most))
		return rows;
	if (enable_indexscan && root->limit_tuples < 0 && most < get_float8_infinity() && IsA(query, Const) &&
		!constant->constisnull && HnswPartWithin(rel, constant->constvalue, most, &sampled))
		part = Max(part, sampled);
	return Min(Max(rows * part, HnswEfSearch()), rows);
}

/*
 * What a scan does is nearly all done before the first row comes out: it expands its
 * nodes and a few for the descent, one page each (measured in README.md); where there
 * are no codes, and a page for about a half of their neighbors.
 */
void
hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *startup_cost, Cost *total_cost, Selectivity *selectivity,
				 double *correlation, double *pages)
{
	double		rows = Max(path->indexinfo->tuples, 1);
	double		ef = HnswEfSearch();
	double		visits;
	double		given;
	int			m = HNSW_DEFAULT_M;
	bool		coded;
	Relation	rel;
	HnswOptions *options;

	if (!IndexCostBegin(path, startup_cost, total_cost, selectivity, correlation, pages))
		return;
	rel = index_open(path->indexinfo->indexoid, NoLock);
	options = (HnswOptions *) rel->rd_options;
	if (options != NULL)
		m = options->m;
	coded = ValueIsCoded(IndexGetOpclass(rel));
	given = rows_of_scan(root, path, rel);
	index_close(rel, NoLock);
	visits = (coded ? 2 * ef + 16 : 1.25 * ef) + 4 * log(rows + 1) / log(m);
	if (!coded)
		visits *= m;
	IndexCostVisits(path, Min(rows, visits), Min(rows, ef), given, coded ? 2 * m : 1,
					startup_cost, total_cost, selectivity, pages);
	if (IndexWantsExactPlan(root, path))
		DiscourageIndexPath(path, startup_cost, total_cost);
}

static char *
hnswbuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case HNSW_PHASE_LOAD:
			return "loading tuples";
		case HNSW_PHASE_GRAPH:
			return "building graph";
		case HNSW_PHASE_WRITE:
			return "writing pages";
		case HNSW_PHASE_REST:
			return "inserting tuples beyond maintenance_work_mem";
		default:
			return NULL;
	}
}

PG_FUNCTION_INFO_V1(hnswhandler);
Datum
hnswhandler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = NewIndexRoutine();

	HnswDefineSettings();

	am->amstrategies = 0;
	am->amsupport = 1;
	am->amoptsprocnum = 0;
	am->amcanorder = false;
	am->amcanorderbyop = true;
	am->amcanbackward = false;
	am->amcanunique = false;
	am->amcanmulticol = false;
	am->amoptionalkey = true;
	am->amsearcharray = false;
	am->amsearchnulls = false;
	am->amstorage = false;
	am->amclusterable = false;
	am->ampredlocks = false;
	am->amcanparallel = false;
	am->amcaninclude = false;
	am->amusemaintenanceworkmem = false;
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	am->amkeytype = InvalidOid;
	FillVersionedRoutine(am);

	am->ambuild = hnswbuild;
	am->ambuildempty = hnswbuildempty;
	am->aminsert = hnswinsert;
	am->ambulkdelete = hnswbulkdelete;
	am->amvacuumcleanup = hnswvacuumcleanup;
	am->amcanreturn = NULL;
	am->amcostestimate = hnswcostestimate;
	am->amoptions = hnswoptions;
	am->amproperty = NULL;
	am->ambuildphasename = hnswbuildphasename;
	am->amvalidate = IndexValidateOpclass;
	am->amadjustmembers = NULL;
	am->ambeginscan = hnswbeginscan;
	am->amrescan = hnswrescan;
	am->amgettuple = hnswgettuple;
	am->amgetbitmap = NULL;
	am->amendscan = hnswendscan;
	am->ammarkpos = NULL;
	am->amrestrpos = NULL;
	am->amestimateparallelscan = NULL;
	am->aminitparallelscan = NULL;
	am->amparallelrescan = NULL;

	PG_RETURN_POINTER(am);
}
