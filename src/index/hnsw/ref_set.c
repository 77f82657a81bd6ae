/*
 * ref_set.c
 *	  Memory of a set of references to nodes; ref_set.h has the rest.
 */
#include "index/hnsw/ref_set.h"

#include "utils/memutils.h"

#define INITIAL_ENTRIES	512

/* Entries that are kept from one search to the next: to empty them is to cost little beside any search */
#define MOST_KEPT		16384

static HnswRef *
empty_entries(MemoryContext context, uint64 n)
{
	HnswRef    *ref = MemoryContextAllocHuge(context, sizeof(HnswRef) * n);

	StaticAssertStmt(HNSW_NO_REF == UINT64_MAX, "memset makes entries empty");
	memset(ref, 0xFF, sizeof(HnswRef) * n);
	return ref;
}

void
HnswRefSetInit(HnswRefSet *self, MemoryContext context)
{
	self->mask = INITIAL_ENTRIES - 1;
	self->n = 0;
	self->ref = empty_entries(context, INITIAL_ENTRIES);
}

/* Empty the set; it keeps its memory, but for that of an unusually large search. */
void
HnswRefSetClear(HnswRefSet *self)
{
	if (self->mask >= MOST_KEPT)
	{
		HnswRef    *old = self->ref;

		HnswRefSetInit(self, GetMemoryChunkContext(old));
		pfree(old);
		return;
	}
	self->n = 0;
	memset(self->ref, 0xFF, sizeof(HnswRef) * (self->mask + 1));
}

/* Twice the entries. */
void
HnswRefSetGrow(HnswRefSet *self)
{
	HnswRef    *old = self->ref;
	uint64		entries = self->mask + 1;

	Assert((entries & self->mask) == 0);
	self->mask = 2 * entries - 1;
	self->ref = empty_entries(GetMemoryChunkContext(old), 2 * entries);
	for (uint64 i = 0; i < entries; i++)
	{
		if (old[i] != HNSW_NO_REF)
			self->ref[HnswRefSetFind(self, old[i])] = old[i];
	}
	pfree(old);
}

/* ---------------------------------------------------------------------
 * With keys
 * --------------------------------------------------------------------- */

static HnswRefKey *
empty_keys(MemoryContext context, uint64 n)
{
	HnswRefKey *entry = MemoryContextAllocHuge(context, sizeof(HnswRefKey) * n);

	memset(entry, 0xFF, sizeof(HnswRefKey) * n);
	return entry;
}

void
HnswRefKeysInit(HnswRefKeys *self, MemoryContext context)
{
	self->mask = INITIAL_ENTRIES - 1;
	self->n = 0;
	self->entry = empty_keys(context, INITIAL_ENTRIES);
}

/* It keeps its memory as a set does. */
void
HnswRefKeysClear(HnswRefKeys *self)
{
	if (self->mask >= MOST_KEPT)
	{
		HnswRefKey *old = self->entry;

		HnswRefKeysInit(self, GetMemoryChunkContext(old));
		pfree(old);
		return;
	}
	if (self->n > 0)
		memset(self->entry, 0xFF, sizeof(HnswRefKey) * (self->mask + 1));
	self->n = 0;
}

/* Twice the entries. */
void
HnswRefKeysGrow(HnswRefKeys *self)
{
	HnswRefKey *old = self->entry;
	uint64		entries = self->mask + 1;

	Assert((entries & self->mask) == 0);
	self->mask = 2 * entries - 1;
	self->entry = empty_keys(GetMemoryChunkContext(old), 2 * entries);
	for (uint64 i = 0; i < entries; i++)
	{
		if (old[i].ref != HNSW_NO_REF)
			*HnswRefKeysFind(self, old[i].ref) = old[i];
	}
	pfree(old);
}
