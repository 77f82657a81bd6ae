/*
 * row_job_test.c
 *	  A job as one block of memory: what comes out is what went in, and nothing is
 *	  written behind the size that was told.
 */
#include "core/rows/job_image.h"

#include <stdlib.h>

#include "rows_fixture.h"

#define ROWS 5
#define GUARD 64

static bool
same_frontier(const RowFrontier *a, const RowFrontier *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || row_frontier_equal(a, b));
}

static bool
same_bytes(RowBytes a, RowBytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static bool
same_row(const Row *a, const Row *b)
{
	return same_bytes(a->key, b->key) && same_bytes(a->content, b->content) && a->thin == b->thin &&
		a->lost == b->lost && a->renew == b->renew && memcmp(&a->entry, &b->entry, sizeof a->entry) == 0;
}

/* Write it between guards, and read it again. */
static void
round_trip(const RowJob *job, const char *what)
{
	size_t		size = row_job_size(job);
	uint8_t    *image = malloc(size + GUARD);
	RowFrontier frontier[ROW_JOB_FRONTIERS];
	Row			row[ROWS];
	RowJob		again;
	bool		same;

	memset(image, 0xA5, size + GUARD);
	row_job_write(job, image);
	same = row_job_rows(image) == job->n;
	for (int i = 0; i < GUARD; i++)
		same = same && image[size + (size_t) i] == 0xA5;
	row_job_read(image, row, frontier, &again);
	same = same && again.kind == job->kind && again.id == job->id && again.n == job->n &&
		same_frontier(again.frontier, job->frontier) && same_frontier(again.floor, job->floor) &&
		same_frontier(again.covered, job->covered) && same_frontier(again.collected, job->collected) &&
		same_frontier(again.claim, job->claim) && same_frontier(again.below, job->below);
	for (int i = 0; i < job->n && same; i++)
		same = same_row(&again.row[i], &job->row[i]);
	for (int i = 0; i < job->n; i++)
		row_job_missing(image)[i] = (uint32_t) i;
	row_job_read(image, row, frontier, &again);
	ok(same && (job->n == 0 || same_row(&again.row[0], &job->row[0])), "%s comes out as it went in", what);
	free(image);
}

int
main(void)
{
	static const uint64_t open[] = {2, 5};
	uint8_t		bytes[3000];
	RowFrontier frontier;
	RowFrontier nothing;
	Row			row[ROWS];
	RowJob		job = {.kind = ROW_JOB_APPLY, .id = 77, .n = ROWS, .row = row};

	fixture_begin();
	row_frontier_init(&frontier, &memory);
	row_frontier_init(&nothing, &memory);
	if (!row_frontier_claim(&frontier, 1, 9, open, 2) || !row_frontier_claim(&frontier, 4, 3, NULL, 0))
		return 1;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t) (i * 7);
	for (int i = 0; i < ROWS; i++)
	{
		memset(&row[i], 0, sizeof row[i]);
		row[i].key = (RowBytes) {bytes + i, (size_t) i * 11 + 1};
		row[i].content = (RowBytes) {bytes + i, (size_t) i * 700};
		row[i].entry.version.clock = (uint64_t) i * 1000;
		row[i].entry.stamp = (RowStamp) {(uint32_t) i, 5};
		row[i].entry.live = i % 2 == 0;
		row[i].thin = i == 1;
		row[i].lost = i == 2;
		row[i].renew = i == 3;
	}
	round_trip(&job, "a job of rows");
	job.frontier = job.claim = &frontier;
	job.floor = &nothing;
	job.covered = &frontier;
	round_trip(&job, "one with frontiers, of which one is empty");
	round_trip(&(RowJob) {.kind = ROW_JOB_COLLECT, .id = 1, .below = &frontier, .collected = &nothing}, "one without rows");
	round_trip(&(RowJob) {.kind = ROW_JOB_DROP}, "one of nothing");
	row_frontier_reset(&frontier);
	return fixture_end();
}
