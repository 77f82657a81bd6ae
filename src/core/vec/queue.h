/*
 * queue.h
 *	  Candidates of a search that wait, the best of them to be had first: a binary
 *	  heap in an array of the caller's.
 *
 * Most candidates that are offered are never taken.  So letting one in is to be
 * cheap, a constant number of steps on average, and nothing else moves for it.  The
 * same node may wait several times.
 */
#ifndef CORE_QUEUE_H
#define CORE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "core/assert.h"

typedef struct QueueEntry
{
	uint64_t	node;
	float		key;			/* not NaN */
} QueueEntry;

/* Let one in; there is room for it in entry[n]. */
static inline void
queue_push(QueueEntry *entry, size_t n, uint64_t node, float key)
{
	size_t		at = n;

	for (; at > 0 && key < entry[(at - 1) / 2].key; at = (at - 1) / 2)
		entry[at] = entry[(at - 1) / 2];
	entry[at].node = node;
	entry[at].key = key;
}

/*
 * Take out entry[0], the least of n > 0.  The hole goes down to a leaf before the
 * last entry is put in, which mostly belongs there: so there is no branch to guess
 * on the way.
 */
static inline void
queue_pop(QueueEntry *entry, size_t n)
{
	QueueEntry	last;
	size_t		at = 0;
	size_t		child;

	CORE_ASSERT(n > 0);
	last = entry[--n];
	while ((child = 2 * at + 1) + 1 < n)
	{
		child += entry[child + 1].key < entry[child].key;
		entry[at] = entry[child];
		at = child;
	}
	if (child < n)
	{
		entry[at] = entry[child];
		at = child;
	}
	for (; at > 0 && last.key < entry[(at - 1) / 2].key; at = (at - 1) / 2)
		entry[at] = entry[(at - 1) / 2];
	entry[at] = last;
}

#endif							/* CORE_QUEUE_H */
