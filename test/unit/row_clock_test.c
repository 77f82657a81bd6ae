/*
 * row_clock_test.c
 *	  The hybrid logical clock: never back, never above what is on disk.
 */
#include "core/rows/clock.h"

#include "rows_fixture.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define NOW (INT64_C(1800000000) * SECOND)	/* unix us */
#define SKEW (300 * SECOND)

static void
test_by_hand(void)
{
	RowClock	clock;
	uint64_t	first;
	uint64_t	second;
	uint64_t	bound;

	row_clock_init(&clock, 0);
	ok(row_clock_next(&clock, NOW, 0) == 0, "nothing is given out before a bound is on disk");
	bound = row_clock_wanted_bound(&clock, NOW);
	ok(bound == (uint64_t) (NOW + ROW_CLOCK_AHEAD_US), "the bound that is wanted is %lld s ahead",
	   (long long) (ROW_CLOCK_AHEAD_US / SECOND));
	row_clock_bounded(&clock, bound);
	first = row_clock_next(&clock, NOW, 0);
	ok(first == (uint64_t) NOW + 1, "the first value is above the time of day");
	second = row_clock_next(&clock, NOW, 0);
	ok(second == first + 1, "the next is greater in the same microsecond");
	second = row_clock_next(&clock, NOW - HOUR, 0);
	ok(second == first + 2, "and when the time of day has gone back by an hour");
	ok(row_clock_next(&clock, NOW, second + 500) == second + 501, "and above the row's own");
	ok(row_clock_wanted_bound(&clock, NOW) == 0, "with enough ahead nothing is wanted");
	ok(row_clock_wanted_bound(&clock, NOW + ROW_CLOCK_AHEAD_US / 2) == 0, "nor with half of it");
	ok(row_clock_wanted_bound(&clock, NOW + ROW_CLOCK_AHEAD_US / 2 + 1) == (uint64_t) (NOW + ROW_CLOCK_AHEAD_US * 3 / 2 + 1),
	   "with less, more is");

	ok(row_clock_next(&clock, (int64_t) bound - 1, 0) == bound, "the bound itself is given out");
	ok(row_clock_next(&clock, NOW, 0) == 0 && row_clock_next(&clock, (int64_t) bound + 1, 0) == 0, "nothing above it");
	bound = row_clock_wanted_bound(&clock, NOW);
	ok(bound == clock.last + ROW_CLOCK_STEP_US, "by a clock that went back the bound is a step above the last");
	row_clock_bounded(&clock, bound);
	ok(row_clock_next(&clock, NOW, 0) == bound - ROW_CLOCK_STEP_US + 1, "and it goes on");

	ok(row_clock_next(&clock, NOW, bound + 7) == 0, "the row's own is above the bound");
	bound = row_clock_wanted_bound(&clock, NOW);
	ok(bound > clock.bound + 7, "then the bound that is wanted is above the row's own");
	row_clock_bounded(&clock, bound);
	ok(row_clock_next(&clock, NOW, 0) == bound - ROW_CLOCK_STEP_US + 1, "and so is what follows");
	ok(row_clock_next(&clock, -5, 0) > 0, "a time of day before 1970 harms nothing");
	row_clock_init(&clock, 100);
	ok(row_clock_next(&clock, -5, 0) == 0 && row_clock_wanted_bound(&clock, -5) == ROW_CLOCK_AHEAD_US,
	   "nor when the clock has just begun");
}

static void
test_heard(void)
{
	RowClock	clock;
	uint64_t	limit = (uint64_t) (NOW + SKEW);

	row_clock_init(&clock, 0);
	row_clock_bounded(&clock, row_clock_wanted_bound(&clock, NOW));
	ok(row_clock_heard(&clock, NOW, 5, SKEW) && clock.last == 5, "an old value is heard");
	ok(row_clock_heard(&clock, NOW, (uint64_t) NOW + 10, SKEW) && row_clock_next(&clock, NOW, 0) == (uint64_t) NOW + 11,
	   "what follows is above one a little ahead");
	ok(!row_clock_heard(&clock, NOW, limit + 1, SKEW) && clock.last == (uint64_t) NOW + 11, "one too far ahead is ignored");
	ok(row_clock_heard(&clock, NOW, limit, SKEW) && clock.last == limit, "one just not too far is not");
	ok(row_clock_next(&clock, NOW, 0) == 0, "it is above the bound: nothing is given out");
	ok(row_clock_wanted_bound(&clock, NOW) == limit + ROW_CLOCK_STEP_US, "before that is raised");
	row_clock_bounded(&clock, row_clock_wanted_bound(&clock, NOW));
	ok(row_clock_next(&clock, NOW, 0) == limit + 1, "what follows then is above it");
	ok(row_clock_heard(&clock, NOW - HOUR, limit, SKEW), "what is below our own last is good though the time of day went back");
	ok(!row_clock_heard(&clock, NOW - HOUR, limit + 2, SKEW), "what is above it is not");
	ok(clock.last == limit + 1, "an old one takes nothing back");
	ok(row_clock_heard(&clock, NOW, (uint64_t) NOW, 0) && !row_clock_heard(&clock, -1, limit + 2, SKEW) &&
	   !row_clock_heard(&clock, INT64_MIN, limit + 2, SKEW), "without skew, and by clocks before 1970");
}

static void
test_end(void)
{
	RowClock	clock;

	row_clock_init(&clock, 0);
	ok(!row_clock_heard(&clock, INT64_MAX, ROW_CLOCK_MAX + 1, SKEW) && !row_clock_heard(&clock, INT64_MAX, UINT64_MAX, INT64_MAX) &&
	   clock.last == 0, "values above the greatest are refused whatever the clock and skew");
	ok(!row_clock_heard(&clock, NOW, ROW_CLOCK_MAX, SKEW), "the greatest is from the future");
	ok(row_clock_next(&clock, NOW, ROW_CLOCK_MAX + 1) == 0 && row_clock_next(&clock, NOW, UINT64_MAX) == 0 && clock.last == 0,
	   "nothing is above a row whose value is none");
	row_clock_bounded(&clock, ROW_CLOCK_MAX - 1);
	ok(row_clock_next(&clock, NOW, ROW_CLOCK_MAX - 2) == ROW_CLOCK_MAX - 1, "near the end values are given out");
	ok(row_clock_next(&clock, NOW, 0) == 0 && row_clock_wanted_bound(&clock, NOW) == ROW_CLOCK_MAX, "the bound goes to the end");
	row_clock_bounded(&clock, ROW_CLOCK_MAX);
	ok(row_clock_wanted_bound(&clock, INT64_MAX) == 0, "and no further");
	ok(row_clock_next(&clock, NOW, 0) == ROW_CLOCK_MAX, "the greatest is given out");
	ok(row_clock_next(&clock, NOW, 0) == 0 && row_clock_next(&clock, INT64_MAX, ROW_CLOCK_MAX) == 0 &&
	   row_clock_next(&clock, INT64_MAX, UINT64_MAX) == 0, "nothing after it");
	ok(row_clock_heard(&clock, INT64_MAX, ROW_CLOCK_MAX, INT64_MAX), "and it may be heard");
}

/* How far a restart takes the clock ahead of the time of day: crash after crash, a write in each life. */
static void
test_crashes(void)
{
	RowClock	clock;
	uint64_t	disk = 0;
	uint64_t	last = 0;
	int			back = 0;

	for (int i = 0; i < 100; i++)
	{
		uint64_t	value;

		row_clock_init(&clock, disk);
		if (row_clock_wanted_bound(&clock, NOW) != 0)
			row_clock_bounded(&clock, disk = row_clock_wanted_bound(&clock, NOW));
		value = row_clock_next(&clock, NOW, 0);
		back += value <= last;
		last = value;
	}
	ok(back == 0, "no restart of a hundred at once goes back");
	ok(last < (uint64_t) (NOW + ROW_CLOCK_AHEAD_US + 100 * ROW_CLOCK_STEP_US), "they take the clock %llu s ahead",
	   (unsigned long long) ((last - (uint64_t) NOW) / (uint64_t) SECOND));
}

/*
 * Random lives: a time of day that jumps, rows of others, crashes; the bound is written
 * some time after it was wanted, and lost in a crash before that.
 */
static void
test_random(void)
{
	RowClock	clock;
	int64_t		now = NOW;
	uint64_t	disk = 0;		/* bound on disk */
	uint64_t	given = 0;		/* the greatest of all lives */
	uint64_t	heard = 0;		/* the greatest of this one */
	int			wrong = 0;
	int			wrong_heard = 0;
	int			stuck = 0;
	int			counts[5] = {0};

	row_clock_init(&clock, 0);
	for (int i = 0; i < 200000; i++)
	{
		uint64_t	value;
		uint64_t	above = 0;
		uint64_t	last = clock.last;
		bool		good;

		now += below(1000) == 0 ? (int64_t) below(2) * 2 * HOUR - HOUR : (int64_t) below((uint64_t) SECOND / 10);
		switch (below(8))
		{
			case 0:
				value = below(50) == 0 ? core_random_bits(&random_source) : (uint64_t) now + below(2 * SKEW);
				good = value <= last || (value <= ROW_CLOCK_MAX && value <= (uint64_t) (now + SKEW));
				wrong_heard += row_clock_heard(&clock, now, value, SKEW) != good || clock.last != (good && value > last ? value : last);
				counts[good ? 0 : 1]++;
				if (good && value > heard)
					heard = value;
				break;
			case 1:
				value = row_clock_wanted_bound(&clock, now);
				if (value != 0)
				{
					stuck += value <= disk;
					row_clock_bounded(&clock, disk = value);
					counts[2]++;
				}
				break;
			case 2:
				if (below(100) == 0)
				{
					row_clock_init(&clock, disk);
					heard = 0;
					counts[3]++;
				}
				break;
			default:
				if (below(2) == 0 && given > 0)
					above = given - below(1000);
				value = row_clock_next(&clock, now, above);
				counts[4] += value != 0;
				if (value == 0)
					stuck += row_clock_wanted_bound(&clock, now) <= disk;
				else
				{
					wrong += value <= given || value <= heard || value <= above || value > disk || value <= (uint64_t) now;
					given = value;
				}
		}
	}
	ok(wrong == 0 && counts[4] > 10000, "%d values: each above every other, what was heard, the row's own and the time of day, at most the bound", counts[4]);
	ok(stuck == 0 && counts[2] > 100 && counts[3] > 10, "where none is given out a greater bound is wanted (%d raised, %d crashes)", counts[2],
	   counts[3]);
	ok(wrong_heard == 0 && counts[0] > 100 && counts[1] > 100, "%d values were heard, %d refused", counts[0], counts[1]);
}

int
main(void)
{
	fixture_begin();
	test_by_hand();
	test_heard();
	test_end();
	test_crashes();
	test_random();
	return tap_done();
}
