/*
 * ref_set.h
 *	  A set of references to nodes: what a search has seen, what VACUUM found dead.
 *
 * An open-addressing hash, at most half full, that only grows.  Who goes through all
 * members looks at ref[0..mask]; HNSW_NO_REF is an empty entry.
 */
#ifndef HNSW_REF_SET_H
#define HNSW_REF_SET_H

#include "pgcompat.h"

#include "index/hnsw/hnsw_disk.h"

typedef struct HnswRefSet
{
	uint64		mask;			/* entries, a power of two, less one */
	uint64		n;				/* members */
	HnswRef    *ref;
} HnswRefSet;

/* Memory is of the context that is given here, also when the set grows. */
extern void HnswRefSetInit(HnswRefSet *self, MemoryContext context);
extern void HnswRefSetClear(HnswRefSet *self);
extern void HnswRefSetGrow(HnswRefSet *self);

/* The entry of a reference, or the empty one that it is to have. */
static inline uint64
HnswRefSetFind(const HnswRefSet *self, HnswRef ref)
{
	uint64		hash = ref * UINT64CONST(0x9E3779B97F4A7C15);

	/* the product's upper bits are the well mixed ones */
	uint64		at = ((hash >> 32) | (hash << 32)) & self->mask;

	Assert(ref != HNSW_NO_REF);
	while (self->ref[at] != HNSW_NO_REF && self->ref[at] != ref)
		at = (at + 1) & self->mask;
	return at;
}

static inline bool
HnswRefSetHas(const HnswRefSet *self, HnswRef ref)
{
	return self->ref[HnswRefSetFind(self, ref)] == ref;
}

/* Returns false where it is in already. */
static inline bool
HnswRefSetAdd(HnswRefSet *self, HnswRef ref)
{
	uint64		at = HnswRefSetFind(self, ref);

	if (self->ref[at] == ref)
		return false;
	self->ref[at] = ref;
	if (++self->n * 2 > self->mask)
		HnswRefSetGrow(self);
	return true;
}

#endif							/* HNSW_REF_SET_H */
