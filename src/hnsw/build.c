#include "hnsw/hnsw.h"
#include "access/tableam.h"
#include "commands/progress.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "utils/memutils.h"
#include "vector/vector.h"
#include "miscadmin.h"
#include "utils/varbit.h"

typedef struct B { HnswIndex *index; HnswSearch *search; MemoryContext ctx; int64 n; } B;

static void
cb(Relation rel, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	B *b = state; HnswValue v; MemoryContext old;
	if (isnull[0]) return;
	old = MemoryContextSwitchTo(b->ctx);
	if (!b->index->centred)
	{
		double norm; const float *x = HnswDatumFloats(b->index, values[0], &norm);
		float *c = palloc0(sizeof(float)*b->index->dim); float unit=1;
		if (b->index->metric != HNSW_IP) memcpy(c, x, sizeof(float)*b->index->dim);
		if (b->index->metric != HNSW_COSINE) unit = HnswCenterAndUnit(x, b->index->dim, c);
		HnswSetCenter(b->index, c, unit, false);
	}
	if (HnswPrepareValue(b->index, values[0], false, &v)) { HnswLinkNode(b->index, b->search, &v, tid, HNSW_NO_REF, false); b->n++; }
	MemoryContextSwitchTo(old); MemoryContextReset(b->ctx);
}

static HnswIndex *
newidx(Relation rel)
{
	HnswIndex *index = palloc0(sizeof(HnswIndex));
	const HnswOpclass *oc = HnswGetOpclass(rel);
	HnswOptions *o = (HnswOptions *) rel->rd_options;
	index->rel = rel; index->context = CurrentMemoryContext;
	index->element = oc->element; index->metric = oc->metric;
	index->code_metric = oc->metric == HNSW_IP ? CODE_IP : CODE_L2;
	index->m = o ? o->m : HNSW_DEFAULT_M;
	index->ef_construction = o ? o->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;
	index->dim = TupleDescAttr(rel->rd_att,0)->atttypmod;
	index->coded = (oc->element == HNSW_VECTOR || oc->element == HNSW_HALFVEC) && oc->metric != HNSW_L1;
	index->padded = index->coded ? rotation_padded(index->dim) : 0;
	index->unit = 1;
	if (index->coded) { index->rotation = palloc(rotation_size(index->dim)); rotation_init(index->rotation, index->dim, 42); index->center = palloc0(sizeof(float)*index->dim); }
	HnswComputeLayout(index, o ? o->code_bits : 0);
	return index;
}

IndexBuildResult *
hnswbuild(Relation heap, Relation rel, IndexInfo *info)
{
	B b; IndexBuildResult *r = palloc(sizeof(*r));
	HnswIndex *index = newidx(rel);
	HnswCreateMeta(rel, MAIN_FORKNUM, index, false);
	b.index = HnswOpen(rel, CurrentMemoryContext);
	b.search = HnswSearchCreate(b.index, CurrentMemoryContext);
	b.ctx = AllocSetContextCreate(CurrentMemoryContext, "b", ALLOCSET_DEFAULT_SIZES); b.n=0;
	r->heap_tuples = table_index_build_scan(heap, rel, info, true, true, cb, &b, NULL);
	r->index_tuples = b.n;
	if (RelationNeedsWAL(rel)) log_newpage_range(rel, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(rel), true);
	return r;
}
void hnswbuildempty(Relation rel) { HnswCreateMeta(rel, INIT_FORKNUM, newidx(rel), true); }
IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats, IndexBulkDeleteCallback callback, void *state) { return stats; }
IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats) { return stats; }
