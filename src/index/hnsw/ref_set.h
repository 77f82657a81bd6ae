/*
 * ref_set.h
 *	  A set of references to nodes: what a search has seen, what VACUUM found dead.
 *	  And the least key that each reference had: candidates that wait.
 *
 * An open-addressing hash, at most half full, that grows until it is cleared.  Who goes through all
 * members looks at ref[0..mask]; HNSW_NO_REF is an empty entry.
 */
#ifndef HNSW_REF_SET_H
#define HNSW_REF_SET_H

#include "pgcompat.h"

#include <math.h>

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

static inline uint64
HnswRefHash(HnswRef ref)
{
	uint64		hash = ref * UINT64CONST(0x9E3779B97F4A7C15);

	/* the product's upper bits are the well mixed ones */
	return (hash >> 32) | (hash << 32);
}

/* The entry of a reference, or the empty one that it is to have. */
static inline uint64
HnswRefSetFind(const HnswRefSet *self, HnswRef ref)
{
	uint64		at = HnswRefHash(ref) & self->mask;

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

typedef struct HnswRefKey
{
	HnswRef		ref;
	float		key;
} HnswRefKey;

/* As a set, with a key beside each reference */
typedef struct HnswRefKeys
{
	uint64		mask;
	uint64		n;
	HnswRefKey *entry;
} HnswRefKeys;

extern void HnswRefKeysInit(HnswRefKeys *self, MemoryContext context);
extern void HnswRefKeysClear(HnswRefKeys *self);
extern void HnswRefKeysGrow(HnswRefKeys *self);

static inline HnswRefKey *
HnswRefKeysFind(const HnswRefKeys *self, HnswRef ref)
{
	uint64		at = HnswRefHash(ref) & self->mask;

	Assert(ref != HNSW_NO_REF);
	while (self->entry[at].ref != HNSW_NO_REF && self->entry[at].ref != ref)
		at = (at + 1) & self->mask;
	return &self->entry[at];
}

/* If this is the key of a reference, it has none from now on. */
static inline void
HnswRefKeysForget(HnswRefKeys *self, HnswRef ref, float key)
{
	HnswRefKey *entry = HnswRefKeysFind(self, ref);

	/* nothing is below or above NaN */
	if (entry->ref == ref && entry->key == key)
		entry->key = NAN;
}

/* Returns false where it has a key that is not above this one. */
static inline bool
HnswRefKeysLower(HnswRefKeys *self, HnswRef ref, float key)
{
	HnswRefKey *entry = HnswRefKeysFind(self, ref);

	if (entry->ref == ref)
	{
		if (entry->key <= key)
			return false;
		entry->key = key;
		return true;
	}
	entry->ref = ref;
	entry->key = key;
	if (++self->n * 2 > self->mask)
		HnswRefKeysGrow(self);
	return true;
}

#endif							/* HNSW_REF_SET_H */
