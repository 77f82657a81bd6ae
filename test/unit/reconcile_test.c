/*
 * reconcile_test.c
 *	  What follows where two sides of a comparison have other entries of a key.
 *
 * All of one incarnation: entry() is told its clock, ticket, the ticket of its birth.
 */
#include "core/rows/reconcile.h"

#include "rows_fixture.h"

static RowFrontier none;
static RowFrontier low;			/* tickets 1 to 10 */
static RowFrontier high;		/* 1 to 20 */

static RowEntry
entry(uint64_t clock, uint64_t ticket, uint64_t birth, bool live)
{
	RowEntry	out;

	memset(&out, 0, sizeof out);
	out.version.clock = clock;
	out.stamp = out.vector_stamp = (RowStamp) {1, ticket};
	out.birth = (RowStamp) {1, birth};
	out.live = live;
	return out;
}

static void
test_present_at_both(void)
{
	RowSides	sides = {&none, &none, &high, &high, 0, 0};
	RowEntry	old = entry(1, 1, 1, true);
	RowEntry	new = entry(2, 2, 1, true);
	RowEntry	dead = entry(2, 2, 1, false);

	ok(row_differ(&old, &new, &sides, 0) == ROW_FETCH && row_differ(&old, &dead, &sides, 0) == ROW_FETCH,
	   "what is newer there is fetched, a tombstone too");
	ok(row_differ(&new, &old, &sides, 0) == ROW_EQUAL && row_differ(&new, &new, &sides, 0) == ROW_EQUAL,
	   "what is older there, or the same, is left to the other");
}

static void
test_absent_at_one(void)
{
	RowSides	sides = {&low, &low, &high, &high, 0, 0};
	RowEntry	covered = entry(1, 10, 10, true);
	RowEntry	above = entry(1, 11, 11, true);

	ok(row_differ(NULL, &covered, &sides, 0) == ROW_EQUAL && row_differ(NULL, &above, &sides, 0) == ROW_FETCH,
	   "what is not here was deleted where our floor covers it, else it is fetched");
	ok(row_differ(&covered, NULL, &sides, 0) == ROW_DROP && row_differ(&above, NULL, &sides, 0) == ROW_EQUAL,
	   "what is not there was deleted where their floor covers it, else they lack it");
}

/* One deleted a row and collected the tombstone while the other wrote to it. */
static void
test_written_on_what_was_deleted(void)
{
	RowEntry	row = entry(3, 15, 5, true);
	RowEntry	dead = entry(2, 9, 5, false);
	RowSides	ours = {&none, &low, &none, &high, 0, 0};
	RowSides	theirs = {&low, &none, &high, &none, 0, 0};

	ok(row_differ(&row, NULL, &ours, 0) == ROW_DELETE && row_differ(&row, &dead, &ours, 0) == ROW_DELETE,
	   "below their floor we delete it, whether they have a tombstone or nothing");
	ok(row_differ(NULL, &row, &theirs, 0) == ROW_WAIT && row_differ(&dead, &row, &theirs, 0) == ROW_WAIT,
	   "and we wait for them where they are below ours");
	ours.ours = &high;
	ok(row_differ(&row, NULL, &ours, 0) == ROW_EQUAL, "who is not below a floor had seen the tombstone");
}

/* One wrote a new row while the other collected tombstones, of this key perhaps. */
static void
test_first_written_while_away(void)
{
	RowEntry	row = entry(3, 15, 15, true);
	RowEntry	dead = entry(2, 12, 12, false);
	RowEntry	old = entry(2, 12, 12, true);
	RowSides	ours = {&none, &low, &none, &high, 0, 3};
	RowSides	theirs = {&low, &none, &high, &none, 3, 0};

	ok(row_differ(&row, NULL, &ours, 0) == ROW_RENEW, "below their floor we write it anew");
	ok(row_differ(NULL, &row, &theirs, 0) == ROW_FETCH_ANEW, "and so we do as we fetch it where they are below ours");
	ok(row_differ(&row, &dead, &ours, 0) == ROW_RENEW && row_differ(&dead, &row, &theirs, 0) == ROW_FETCH_ANEW,
	   "beside an older tombstone, too, for a newer one may have gone");
	ok(row_differ(&row, &old, &ours, 0) == ROW_EQUAL && row_differ(&old, &row, &theirs, 0) == ROW_FETCH, "but not beside a row");
	ours.their_clock = theirs.our_clock = 2;
	ok(row_differ(&row, NULL, &ours, 0) == ROW_EQUAL && row_differ(NULL, &row, &theirs, 0) == ROW_FETCH,
	   "unless it is newer than all tombstones that went");
	ours = (RowSides) {&none, &low, &high, &high, 0, 3};
	ok(row_differ(&row, NULL, &ours, 0) == ROW_EQUAL, "who is not below a floor had seen them");
}

static void
test_tombstone_below_our_floor(void)
{
	RowSides	sides = {&low, &high, &low, &high, 0, 0};
	RowEntry	left_out = entry(3, 10, 15, false);
	RowEntry	told = entry(3, 15, 15, false);

	ok(row_differ(&left_out, NULL, &sides, 0) == ROW_EQUAL, "of a tombstone that our floor covers the other does not tell: that it is missing says nothing");
	ok(row_differ(&told, NULL, &sides, 0) == ROW_DROP, "one that our floor does not cover has gone there");
}

int
main(void)
{
	fixture_begin();
	row_frontier_init(&none, &memory);
	row_frontier_init(&low, &memory);
	row_frontier_init(&high, &memory);
	if (!row_frontier_claim(&low, 1, 10, NULL, 0) || !row_frontier_claim(&high, 1, 20, NULL, 0))
		return 2;
	test_present_at_both();
	test_absent_at_one();
	test_written_on_what_was_deleted();
	test_first_written_while_away();
	test_tombstone_below_our_floor();
	row_frontier_reset(&low);
	row_frontier_reset(&high);
	return fixture_end();
}
