/*
 * ref_set.c
 *	  Memory of a set of references to nodes; ref_set.h has the rest.
 */
#include "index/hnsw/ref_set.h"

#include "utils/memutils.h"

#define INITIAL_PLACES	512

static HnswRef *
empty_places(MemoryContext context, uint64 n)
{
	HnswRef    *ref = MemoryContextAllocHuge(context, sizeof(HnswRef) * n);

	StaticAssertStmt(HNSW_NO_REF == UINT64_MAX, "memset makes places empty");
	memset(ref, 0xFF, sizeof(HnswRef) * n);
	return ref;
}

void
HnswRefSetInit(HnswRefSet *self, MemoryContext context)
{
	self->mask = INITIAL_PLACES - 1;
	self->n = 0;
	self->ref = empty_places(context, INITIAL_PLACES);
}

/* Empty the set; it keeps its memory. */
void
HnswRefSetClear(HnswRefSet *self)
{
	self->n = 0;
	memset(self->ref, 0xFF, sizeof(HnswRef) * (self->mask + 1));
}

/* Twice the places. */
void
HnswRefSetGrow(HnswRefSet *self)
{
	HnswRef    *old = self->ref;
	uint64		places = self->mask + 1;

	Assert((places & self->mask) == 0);
	self->mask = 2 * places - 1;
	self->ref = empty_places(GetMemoryChunkContext(old), 2 * places);
	for (uint64 i = 0; i < places; i++)
	{
		if (old[i] != HNSW_NO_REF)
			self->ref[HnswRefSetFind(self, old[i])] = old[i];
	}
	pfree(old);
}
