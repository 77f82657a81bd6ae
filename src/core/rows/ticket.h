/*
 * ticket.h
 *	  Numbers of the transactions that write to one collection, and which of them are
 *	  still open.
 *
 * Lives in shared memory, one for each collection, under its caller's lock; all zero is
 * an incarnation that has given out none.  A transaction takes a ticket at its first
 * captured row and gives it back when it has ended and snapshots show that.  So what
 * ticket_settled() says, read before a snapshot is taken, holds of the snapshot: every
 * ticket at or below the top is shown or was rolled back, but for the open ones.
 */
#ifndef CORE_ROWS_TICKET_H
#define CORE_ROWS_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rows/frontier.h"

#define ROW_TICKETS_OPEN 1024	/* of one collection at a time */

typedef struct RowTickets
{
	uint64_t	last;			/* given out, 0: none */
	uint32_t	n;
	uint64_t	open[ROW_TICKETS_OPEN]; /* ascending */
	int32_t		pid[ROW_TICKETS_OPEN];	/* whose */
} RowTickets;

typedef struct RowSettled
{
	uint64_t	top;
	uint32_t	n;
	uint64_t	open[ROW_OPEN_MAX];	/* ascending, below top */
	uint64_t	last;			/* given out: those above top are open as well */
} RowSettled;

/* The next ticket, or 0: too many transactions that wrote to this collection are open.  pid is not 0. */
extern uint64_t ticket_take(RowTickets *self, int32_t pid);

/*
 * The transaction has ended; pid is the one that the ticket was taken with.  False, and
 * nothing is given back: it is not open, or another's, as where tickets began anew while
 * the transaction was open.
 */
extern bool ticket_give_back(RowTickets *self, uint64_t ticket, int32_t pid);

/*
 * What a snapshot taken from now on shows, as a claim in the normal form of frontier.h:
 * up to the last ticket given out without the open ones, or up to before the first of
 * these that ROW_OPEN_MAX leaves no room for; the top itself is not open.
 */
extern void ticket_settled(const RowTickets *self, RowSettled *out);

/* Whose is the oldest open one?  0: none is open. */
extern int32_t ticket_blocked_by(const RowTickets *self);

#endif							/* CORE_ROWS_TICKET_H */
