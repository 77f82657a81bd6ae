/*
 * clock.c
 *	  The hybrid logical clock.
 *
 * No sum here can wrap: what is added to is compared with the limit first.
 */
#include "core/rows/clock.h"

#include "core/assert.h"

/* Time of day as a value; what lies before 1970 is none. */
static uint64_t
from_unix(int64_t unix_us)
{
	return unix_us < 0 ? 0 : (uint64_t) unix_us;
}

/* value + more, or ROW_CLOCK_MAX */
static uint64_t
ahead_of(uint64_t value, int64_t more)
{
	CORE_ASSERT(value <= ROW_CLOCK_MAX && more >= 0);
	return (uint64_t) more > ROW_CLOCK_MAX - value ? ROW_CLOCK_MAX : value + (uint64_t) more;
}

static bool
clock_holds(const RowClock *self)
{
	return self->last <= ROW_CLOCK_MAX && self->bound <= ROW_CLOCK_MAX;
}

void
row_clock_init(RowClock *self, uint64_t bound)
{
	CORE_ASSERT(bound <= ROW_CLOCK_MAX);
	*self = (RowClock) {.last = bound, .bound = bound};
}

uint64_t
row_clock_next(RowClock *self, int64_t unix_us, uint64_t above)
{
	uint64_t	before = self->last;
	uint64_t	greatest;

	if (above > ROW_CLOCK_MAX)
		return 0;
	if (above > self->last)
		self->last = above;		/* so that the bound that is wanted is above it */
	greatest = from_unix(unix_us) > self->last ? from_unix(unix_us) : self->last;
	if (greatest >= self->bound)
		return 0;
	self->last = greatest + 1;
	CORE_ASSERT(clock_holds(self) && self->last > before && self->last > above && self->last <= self->bound);
	return self->last;
}

/*
 * A restart begins at the bound, and would be ROW_CLOCK_AHEAD_US further ahead of the
 * time of day after each, until others refuse what it writes, if the bound were that far
 * ahead of last too.
 */
uint64_t
row_clock_wanted_bound(const RowClock *self, int64_t unix_us)
{
	uint64_t	by_day = ahead_of(from_unix(unix_us), ROW_CLOCK_AHEAD_US);
	uint64_t	by_use = ahead_of(self->last, ROW_CLOCK_STEP_US);

	CORE_ASSERT(clock_holds(self));
	if (self->bound >= ahead_of(from_unix(unix_us), ROW_CLOCK_AHEAD_US / 2) &&
		self->bound >= ahead_of(self->last, ROW_CLOCK_STEP_US / 2))
		return 0;
	return by_day > by_use ? by_day : by_use;
}

void
row_clock_bounded(RowClock *self, uint64_t bound)
{
	CORE_ASSERT(bound >= self->bound && bound <= ROW_CLOCK_MAX);
	self->bound = bound;
}

bool
row_clock_heard(RowClock *self, int64_t unix_us, uint64_t value, int64_t skew_us)
{
	CORE_ASSERT(clock_holds(self));
	if (value <= self->last)
		return true;
	if (value > ahead_of(from_unix(unix_us), skew_us))	/* so is all above ROW_CLOCK_MAX */
		return false;
	self->last = value;
	return true;
}
