/*
 * clock.h
 *	  The hybrid logical clock that decides which of two writes of a row wins
 *	  (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014).
 *
 * A value counts microseconds since 1970 and is above every value that this node has
 * given out or heard of, so a later write of a row that was seen has the greater one
 * whatever the clocks of machines say.  A bound on what was given out is kept on disk:
 * a restart goes on from it, so that the clock never goes back.
 */
#ifndef CORE_ROWS_CLOCK_H
#define CORE_ROWS_CLOCK_H

#include "core/net/host.h"

#define ROW_CLOCK_AHEAD_US INT64_C(60000000)	/* how far ahead of the time of day the bound is kept */
#define ROW_CLOCK_STEP_US INT64_C(1000000)	/* ... and at least of what was given out or heard of */
#define ROW_CLOCK_MAX (UINT64_MAX >> 1)

typedef struct RowClock
{
	uint64_t	last;			/* the greatest given out or heard of; above bound only by hearsay */
	uint64_t	bound;			/* kept on disk: nothing above it may be given out */
} RowClock;

/* After a start: bound, at most ROW_CLOCK_MAX, is what is on disk, 0 when nothing is. */
extern void row_clock_init(RowClock *self, uint64_t bound);

/*
 * A value greater than every other and than `above`, the row's own, which counts as heard
 * of; 0 when that would pass the bound, which then has to be raised first, and when the
 * value would be above ROW_CLOCK_MAX, the end of the clock.  unix_us is microseconds
 * since 1970, as everywhere here.
 */
extern uint64_t row_clock_next(RowClock *self, int64_t unix_us, uint64_t above);

/*
 * What to keep on disk before row_clock_next() can go on, or 0: nothing yet.  It is asked
 * for while half of what is kept ahead is left, so that whoever raises the bound beside
 * the writers need not let them wait.  Kept before rows are applied whose values were
 * heard, it puts a restart above all that was applied.
 */
extern uint64_t row_clock_wanted_bound(const RowClock *self, int64_t unix_us);

/* That is on disk now; never a lower one than before. */
extern void row_clock_bounded(RowClock *self, uint64_t bound);

/*
 * Another node told of a value.  False, and ignored, when it is above ROW_CLOCK_MAX, or
 * greater than all that is known and more than skew_us (not negative) ahead of our clock:
 * one machine's wrong clock does not become everybody's.  What is not above values that
 * were given out or heard is good whatever our clock says, which may have gone back.
 */
extern bool row_clock_heard(RowClock *self, int64_t unix_us, uint64_t value, int64_t skew_us);

#endif							/* CORE_ROWS_CLOCK_H */
