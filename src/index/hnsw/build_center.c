/*
 * build_center.c
 *	  Unit and centre of a new index, from a sample of the table.
 */
#include "index/hnsw/build.h"

#include <math.h>

#include "access/tableam.h"
#include "utils/memutils.h"

#define SAMPLE_VALUES	2000	/* for unit and centre */

typedef struct Sample
{
	HnswIndex  *index;
	MemoryContext context;
	double	   *sum;
	float	   *largest;
	int64		n;
} Sample;

static void
sample_row(Relation rel, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Sample	   *sample = (Sample *) arg;
	MemoryContext old;
	const float *x;
	double		norm;

	if (isnull[0])
		return;
	old = MemoryContextSwitchTo(sample->context);
	x = ValueFloats(&sample->index->space, sample->index->file.rel, values[0], &norm);
	if (sample->index->space.metric != METRIC_COSINE || norm > 0)
	{
		for (int i = 0; i < sample->index->space.dim; i++)
		{
			sample->sum[i] += x[i];
			sample->largest[i] = Max(sample->largest[i], fabsf(x[i]));
		}
		sample->n++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(sample->context);
}

/*
 * Set unit and centre from a sample of the table: some blocks at even distances,
 * more where they hold no value.  A table without any value leaves both to the
 * first insert.
 */
void
BuildSampleCenter(HnswIndex *index, Relation heap, IndexInfo *info)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	Sample		sample;
	float	   *center;
	float		unit = 1;
	BlockNumber step;

	sample.index = index;
	sample.context = AllocSetContextCreate(CurrentMemoryContext, "hnsw sample", ALLOCSET_DEFAULT_SIZES);
	sample.sum = palloc0(sizeof(double) * index->space.dim);
	sample.largest = palloc0(sizeof(float) * index->space.dim);
	sample.n = 0;
	step = Max(nblocks / 64, 1);
	for (BlockNumber block = 0; block < nblocks && sample.n < SAMPLE_VALUES; block += step)
		table_index_build_range_scan(heap, index->file.rel, info, false, false, false, block, 1, sample_row, &sample, NULL);
	for (BlockNumber block = 0; block < nblocks && sample.n == 0; block += 64)
		table_index_build_range_scan(heap, index->file.rel, info, false, false, false, block,
									 Min(64, nblocks - block), sample_row, &sample, NULL);
	if (sample.n > 0)
	{
		center = palloc0(sizeof(float) * index->space.dim);
		if (index->space.metric != METRIC_IP)
		{
			for (int i = 0; i < index->space.dim; i++)
				center[i] = (float) (sample.sum[i] / sample.n);
		}
		if (index->space.metric != METRIC_COSINE)
			unit = ValueCenterAndUnit(sample.largest, index->space.dim, center);
		HnswSetCenter(index, center, unit, false);
	}
	MemoryContextDelete(sample.context);
}
