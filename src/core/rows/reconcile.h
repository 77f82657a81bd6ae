/*
 * reconcile.h
 *	  What two copies of a collection tell each other of ranges of keys, to find the
 *	  rows in which they differ with few bytes (range-based set reconciliation: Meyer,
 *	  arXiv:2212.13567).
 *
 * A range is summed up by the count of its entries and the sum, modulo 2^128, of the first
 * 16 bytes of SHA-256 over (clock, tie, key) of each.  A tombstone is one of them, unless
 * the floor of who asks covers it: it is what keeps an older row from coming back.  A
 * range of few entries is told entry by entry.
 */
#ifndef CORE_ROWS_RECONCILE_H
#define CORE_ROWS_RECONCILE_H

#include "core/rows/replica.h"

#define RECONCILE_ENTRIES 32	/* a range of so many entries is told by entry */
#define RECONCILE_PARTS 32		/* into which a greater one is split, at most */

/* Parts of a range, in order of keys; the last one ends where the range does. */
typedef struct RowParts
{
	uint64_t	entries;		/* of the whole range */
	RowRead		status;			/* ROW_READ_END, or ROW_READ_LOST */
	int			n;
	uint64_t	size;			/* entries of each but the last */
	struct RowPart
	{
		uint64_t	entries;
		uint8_t		sum[16];
		size_t		last_len;
		uint8_t		last[ROW_KEY_MAX];	/* its greatest key */
	}			part[RECONCILE_PARTS];
} RowParts;

extern void row_sum_add(uint8_t sum[16], const CoreCrypto *crypto, RowBytes key, const RowVersion *version);
extern void row_sum_merge(uint8_t sum[16], const uint8_t other[16]);

/* Read a range of a scan and sum it up, in one pass, without tombstones that skip covers. */
extern void row_parts_read(const RowHost *host, const CoreCrypto *crypto, RowScan *scan, const RowRange *range,
						   const RowFrontier *skip, RowParts *out);

/* Of all its parts. */
extern void row_parts_sum(const RowParts *self, uint8_t sum[16]);

/* What follows from the entries of one key at both sides. */
typedef enum RowDifference
{
	ROW_EQUAL,					/* or: theirs is the older one, or was collected here */
	ROW_FETCH,
	ROW_FETCH_ANEW,				/* as ROW_RENEW, of what is there: it is written anew once it is here */
	ROW_DROP,					/* deleted there, and the tombstone collected */
	ROW_DELETE,					/* the same, but what is here was written since, on what was deleted */
	ROW_RENEW,					/* first written here while away: it becomes a new version, above tombstones that went there */
	ROW_WAIT					/* as ROW_DELETE with the sides changed: the other has to delete it */
} RowDifference;

typedef struct RowSides
{
	const RowFrontier *our_floor;
	const RowFrontier *their_floor;
	const RowFrontier *ours;	/* frontier */
	const RowFrontier *theirs;
	uint64_t	our_clock;		/* no tombstone that our floor covers is above it */
	uint64_t	their_clock;
} RowSides;

/* here or there is NULL where that side has no entry. */
extern RowDifference row_differ(const RowEntry *here, const RowEntry *there, const RowSides *sides, uint32_t off);

#endif							/* CORE_ROWS_RECONCILE_H */
