/*
 * frontier.h
 *	  Which rows are here: for each incarnation, its tickets up to a top, without those
 *	  that were open.
 *
 * That (incarnation, ticket) is covered means: every row whose current version, at the
 * one who claimed it, was stamped with it is here, or something newer is.
 *
 * A version vector with exceptions (Malkhi and Terry, "Concise Version Vectors in
 * WinFS", DISC 2005).  Tickets of transactions that had not ended when the claim was made
 * are its exceptions, so a writer who sleeps in a transaction holds back its own rows and
 * no one else's claims.
 *
 * What is covered is written in one way only: a top is never open (a claim up to 5
 * without 5 is one up to 4), and has been brought there by whatever changes a frontier.
 *
 * Incarnations are numbers of one dictionary (incarnation.h): frontiers of two nodes are
 * compared after translation by the codec (row_wire.h).
 */
#ifndef CORE_ROWS_FRONTIER_H
#define CORE_ROWS_FRONTIER_H

#include "core/net/host.h"
#include "core/rows/incarnation.h"

#define ROW_OPEN_MAX 256		/* exceptions of one incarnation: a claim with more ends before them */

/* Who wrote a row, and in which of its transactions. */
typedef struct RowStamp
{
	uint32_t	incarnation;	/* number, 0: none */
	uint64_t	ticket;			/* from 1 on */
} RowStamp;

typedef struct RowFrontier
{
	const CoreMemory *memory;
	uint32_t	n;				/* incarnations 1 .. n may have a top, and n has one */
	uint32_t	room;
	uint64_t   *top;			/* top[i - 1], 0: nothing */
	uint32_t	n_open;
	uint32_t	open_room;
	RowStamp   *open;			/* ascending by incarnation, then ticket; each below its top */
} RowFrontier;

extern void row_frontier_init(RowFrontier *self, const CoreMemory *memory);
extern void row_frontier_reset(RowFrontier *self);

/* Functions that return bool give false without memory; *self is then as before. */
extern bool row_frontier_copy(RowFrontier *self, const RowFrontier *from);

extern uint64_t row_frontier_top(const RowFrontier *self, uint32_t incarnation);
extern bool row_frontier_covers(const RowFrontier *self, RowStamp stamp);

/* Does self cover all that other covers? */
extern bool row_frontier_includes(const RowFrontier *self, const RowFrontier *other);
extern bool row_frontier_equal(const RowFrontier *a, const RowFrontier *b);

/*
 * Tickets 1 .. top without open[n] (ascending, from 1 to top) of one incarnation (not 0)
 * are covered as well from now on.  Of more than ROW_OPEN_MAX open ones that were not
 * covered the claim is cut before the first that does not fit; what was covered stays.
 */
extern bool row_frontier_claim(RowFrontier *self, uint32_t incarnation, uint64_t top, const uint64_t *open, uint32_t n);

/* self covers what either covers; that never needs more exceptions than there are. */
extern bool row_frontier_join(RowFrontier *self, const RowFrontier *other);

/*
 * self covers what both cover.  It may cover less, where that would need more than
 * ROW_OPEN_MAX exceptions of one incarnation.
 */
extern bool row_frontier_meet(RowFrontier *self, const RowFrontier *other);

/* The same of this incarnation alone. */
extern bool row_frontier_limit(RowFrontier *self, uint32_t incarnation, const RowFrontier *other);

/*
 * 16 bytes that are equal where the same tickets of the same incarnations are covered,
 * whatever numbers two dictionaries give them: sum modulo 2^128 of the first 16 bytes of
 * SHA-256 over (id, top, open ...) of each incarnation that has a top, numbers as 8
 * bytes, the lowest first.  Every incarnation that has a top is in the dictionary.
 */
extern void row_frontier_digest(const RowFrontier *self, const RowDictionary *dictionary, uint8_t digest[16]);

#endif							/* CORE_ROWS_FRONTIER_H */
