/*
 * within.c
 *	  Which part of an index's values is within a distance, from a few of its pages: for the
 *	  planner, who knows nothing of distances.
 *
 * It reads the index as a scan does, and before the executor has looked at the rights of
 * who asks; all that comes of it is which plan is chosen.  Clauses that policies go before
 * do not come here (bound_path.c).
 */
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_search.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* Pages that are looked at, spread over all of the index: from 32 values of many dimensions to some hundred of few */
#define SAMPLE_PAGES 32

typedef struct Sample
{
	int			nodes;
	int			within;
} Sample;

static void
sample_page(HnswSearch *search, BlockNumber block, double most, Sample *sample)
{
	HnswSearchPage(search, block, NULL);
	for (int i = 0; i < search->nfound; i++)
	{
		const HnswFound *found = &search->found[i];
		double		low;
		double		high;

		if (!found->live)
			continue;
		ValueInterval(&search->index->space, search->value, found->distance, found->error, found->norm, false, &low, &high);
		sample->nodes++;
		sample->within += low <= most;
	}
}

/* The caller has the index open.  False where nothing is known: no values, a query of other dimensions. */
bool
HnswPartWithin(Relation rel, Datum query, double most, double *part)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw part within", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HnswIndex  *index = HnswOpen(rel, context);
	BlockNumber npages = RelationGetNumberOfBlocks(rel) - 1;
	Sample		sample = {0};

	if (index->space.centred && ValueDimensions(&index->space, query) == index->space.dim)
	{
		HnswSearch *search = HnswSearchCreate(index, context);
		IndexValue	value;

		ValuePrepare(&index->space, rel, query, true, &value);
		search->value = &value;
		for (BlockNumber i = 0; i < Min(npages, SAMPLE_PAGES); i++)
		{
			CHECK_FOR_INTERRUPTS();
			sample_page(search, 1 + (BlockNumber) ((uint64) i * npages / Min(npages, SAMPLE_PAGES)), most, &sample);
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	*part = sample.nodes > 0 ? (double) sample.within / sample.nodes : 0;
	return sample.nodes > 0;
}
