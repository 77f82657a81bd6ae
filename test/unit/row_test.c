/*
 * row_test.c
 *	  What becomes of a row: versions that have no greater tie, and stamps of a version that
 *	  is here already.
 */
#include "core/rows/clock.h"
#include "core/rows/row.h"
#include "rows_fixture.h"

static RowEntry
entry_of(uint64_t clock, int tie, RowStamp stamp)
{
	RowEntry	entry;

	memset(&entry, 0, sizeof entry);
	entry.version.clock = clock;
	memset(entry.version.tie, tie, ROW_HASH);
	entry.stamp = entry.birth = entry.vector_stamp = stamp;
	entry.live = true;
	return entry;
}

static void
test_lost(void)
{
	RowEntry	old = entry_of(7, 0xff, (RowStamp) {1, 1});
	RowEntry	lost = row_lost(&old, (RowStamp) {2, 3});

	ok(lost.version.clock == 8 && row_version_compare(&lost.version, &old.version) > 0 && !lost.live,
	   "the tombstone of a row of the greatest tie has the next clock");
	old = entry_of(7, 0xfe, (RowStamp) {1, 1});
	lost = row_lost(&old, (RowStamp) {2, 3});
	ok(lost.version.clock == 7 && row_version_compare(&lost.version, &old.version) > 0, "of any other it has the next tie");
	old = entry_of(ROW_CLOCK_MAX - 1, 0xff, (RowStamp) {1, 1});
	lost = row_lost(&old, (RowStamp) {2, 3});
	ok(lost.version.clock == ROW_CLOCK_MAX && row_version_compare(&lost.version, &old.version) > 0, "up to the last version of all");
	old = entry_of(0, 0xff, (RowStamp) {1, 1});
	lost = row_lost(&old, (RowStamp) {2, 3});
	ok(lost.version.clock == 1, "of a row of a dump it has the first clock");
}

/* The same version twice: which stamps stay. */
static void
test_stamps(void)
{
	RowFrontier here_covers;
	RowFrontier claim;
	RowFrontier floor;
	RowEntry	here = entry_of(7, 1, (RowStamp) {1, 5});
	RowEntry	came = entry_of(7, 1, (RowStamp) {2, 6});

	row_frontier_init(&here_covers, &memory);
	row_frontier_init(&claim, &memory);
	row_frontier_init(&floor, &memory);
	ok(row_frontier_claim(&claim, 2, 6, NULL, 0) &&
	   row_decide(&here, &came, false, &here_covers, &floor, &claim) == ROW_SAME, "stamps that nobody covers give way to covered ones");
	ok(row_frontier_claim(&here_covers, 1, 5, NULL, 0) &&
	   row_decide(&here, &came, false, &here_covers, &floor, &claim) == ROW_SAME, "so do those that the sender does not cover");
	ok(row_frontier_claim(&claim, 1, 5, NULL, 0) &&
	   row_decide(&here, &came, false, &here_covers, &floor, &claim) == ROW_KEEP, "what both cover stays");
	came.stamp = came.birth = came.vector_stamp = (RowStamp) {3, 1};
	row_frontier_reset(&claim);
	ok(row_decide(&here, &came, false, &here_covers, &floor, &claim) == ROW_KEEP, "what is covered does not become loose");
	came = here;
	row_frontier_reset(&here_covers);
	ok(row_decide(&here, &came, false, &here_covers, &floor, NULL) == ROW_KEEP, "the same stamps are not written again");
	row_frontier_reset(&claim);
}

int
main(void)
{
	fixture_begin();
	test_lost();
	test_stamps();
	return fixture_end();
}
