/*
 * build_center.c
 *	  What a build wants to know before it begins, from a sample of the table: unit and
 *	  centre of the new index, and how many values there are.
 *
 * PostgreSQL knows how many rows a table has once it was analyzed, not how many of them
 * an index takes; before that it guesses from the widths of types, and of vectors it
 * knows none.
 */
#include "index/hnsw/build.h"

#include <math.h>

#include "access/tableam.h"
#include "utils/memutils.h"

/* The sample: so many blocks, of each of which so many values are looked at for unit and centre, and all are counted */
#define SAMPLE_BLOCKS		64
#define VALUES_OF_BLOCK		32

typedef struct Sample
{
	HnswIndex  *index;
	MemoryContext context;
	double	   *sum;
	float	   *largest;
	int64		n;				/* values in these */
	int64		most;			/* and how many there may be, of the blocks read so far */
	int64		values;			/* met */
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
	sample->values++;
	if (!sample->index->space.coded || sample->n >= sample->most)
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

/* Read blocks of the table into the sample; gives their number. */
static BlockNumber
sample_blocks(Relation heap, IndexInfo *info, BlockNumber first, BlockNumber n, Sample *sample)
{
	sample->most = sample->n + (int64) n * VALUES_OF_BLOCK;
	table_index_build_range_scan(heap, sample->index->file.rel, info, false, false, false, first, n, sample_row, sample, NULL);
	return n;
}

static void
set_center(HnswIndex *index, const Sample *sample)
{
	float	   *center = palloc0(sizeof(float) * index->space.dim);
	float		unit = 1;

	if (index->space.metric != METRIC_IP)
	{
		for (int i = 0; i < index->space.dim; i++)
			center[i] = (float) (sample->sum[i] / sample->n);
	}
	if (index->space.metric != METRIC_COSINE)
		unit = ValueCenterAndUnit(sample->largest, index->space.dim, center);
	HnswSetCenter(index, center, unit, false);
}

/*
 * Set unit and centre of a coded index from a sample of the table: some blocks at even
 * distances, more where they hold no value.  A table without any value leaves both to the
 * first insert.  Returns about how many values the table has for the index: blocks of all
 * parts count, for the last ones may be empty where the table was extended by many at once.
 */
double
BuildSample(HnswIndex *index, Relation heap, IndexInfo *info)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	BlockNumber step = Max(nblocks / SAMPLE_BLOCKS, 1);
	BlockNumber read = 0;
	Sample		sample;

	sample.index = index;
	sample.context = AllocSetContextCreate(CurrentMemoryContext, "hnsw sample", ALLOCSET_DEFAULT_SIZES);
	sample.sum = index->space.coded ? palloc0(sizeof(double) * index->space.dim) : NULL;
	sample.largest = index->space.coded ? palloc0(sizeof(float) * index->space.dim) : NULL;
	sample.n = sample.values = 0;
	for (BlockNumber block = 0; block < nblocks; block += step)
		read += sample_blocks(heap, info, block, 1, &sample);
	for (BlockNumber block = 0; block < nblocks && (index->space.coded ? sample.n : sample.values) == 0; block += SAMPLE_BLOCKS)
		read += sample_blocks(heap, info, block, Min(SAMPLE_BLOCKS, nblocks - block), &sample);
	if (sample.n > 0 && index->space.coded)
		set_center(index, &sample);
	MemoryContextDelete(sample.context);
	return read > 0 ? (double) sample.values / read * nblocks : 0;
}
