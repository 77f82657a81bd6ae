/*
 * pool.h
 *	  The candidates of a best-first search: the nearest `capacity` of all that
 *	  were offered, in order of their keys, each to be taken once.
 *
 * A sorted array, for its worst key is asked for at every step and candidates
 * come by the dozen: they are put in order, and what stands in the array moves
 * once for all of them.  An entry is one integer: the bits of the key, so that
 * its order is theirs, the number of the slot that holds the node, and whether it
 * was taken.  So a search has no branch to guess, and a move is of 8 bytes.
 *
 * The same node may stand in the pool several times, with different keys; with
 * the same key it is let in once.
 */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/assert.h"

#define POOL_BATCH 32			/* most candidates of one pool_merge() */
#define POOL_MOST (1 << 30)		/* greatest capacity */

typedef struct Pool
{
	int			capacity;
	int			size;
	int			next;			/* no entry before this one is untaken */
	int			nfree;
	uint64_t   *entry;			/* [capacity], ascending */
	uint64_t   *node;			/* [capacity], by slot */
	uint32_t   *free;			/* [capacity], slots without a node */

	/* of the last pool_merge(): those untaken that found no room, or lost it */
	int			nspilled;
	uint64_t	spilled[POOL_BATCH];
	float		spilled_key[POOL_BATCH];
} Pool;

/* Bytes of memory that a pool of this capacity needs. */
extern size_t pool_bytes(int capacity);

/* An empty pool in memory[pool_bytes(capacity)], aligned to 8; 1 <= capacity <= POOL_MOST. */
extern void pool_init(Pool *self, int capacity, void *memory);

/* Offer n <= POOL_BATCH candidates; no key is NaN. */
extern void pool_merge(Pool *self, int n, const uint64_t *nodes, const float *keys);

/* Remove an entry that pool_take() gave, unless it has left by itself. */
extern void pool_remove(Pool *self, uint64_t entry);

#define POOL_TAKEN UINT64_C(1)

static inline uint32_t
pool_slot(uint64_t entry)
{
	return (uint32_t) entry >> 1;
}

static inline float
pool_key(uint64_t entry)
{
	int32_t		ordered = (int32_t) (entry >> 32 ^ 0x80000000);
	int32_t		bits = ordered ^ (int32_t) ((uint32_t) (ordered >> 31) >> 1);
	float		key;

	memcpy(&key, &bits, sizeof key);
	return key;
}

/* Candidates are let in whose key is below this one. */
static inline float
pool_limit(const Pool *self)
{
	return self->size < self->capacity ? INFINITY : pool_key(self->entry[self->size - 1]);
}

/* The first entry that was not taken, from number `at` on; size when there is none. */
static inline int
pool_untaken(const Pool *self, int at)
{
	while (at < self->size && (self->entry[at] & POOL_TAKEN))
		at++;
	return at;
}

/* Take the best that was not taken; false when there is none. */
static inline bool
pool_take(Pool *self, uint64_t *entry, uint64_t *node)
{
	int			at = pool_untaken(self, self->next);

	self->next = at;
	if (at == self->size)
		return false;
	self->next = at + 1;
	CORE_ASSERT(pool_slot(self->entry[at]) < (uint32_t) self->capacity);
	*node = self->node[pool_slot(self->entry[at])];
	*entry = self->entry[at] |= POOL_TAKEN;
	return true;
}

/* What pool_take() gives next, if nothing better comes before. */
static inline bool
pool_peek(const Pool *self, uint64_t *node)
{
	int			at = pool_untaken(self, self->next);

	if (at == self->size)
		return false;
	*node = self->node[pool_slot(self->entry[at])];
	return true;
}

#endif							/* CORE_POOL_H */
