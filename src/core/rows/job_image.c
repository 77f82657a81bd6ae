/*
 * job_image.c
 *	  A job as one block: a head, numbers of rows that are missing, rows, what frontiers
 *	  hold, then keys and contents.
 */
#include "core/rows/job_image.h"

#include <string.h>

#define ALIGN(n) (((n) + 7) & ~(size_t) 7)

typedef struct FrontierImage
{
	bool		present;
	uint32_t	n;
	uint32_t	n_open;
	size_t		top;			/* offsets in the image */
	size_t		open;
} FrontierImage;

typedef struct RowImage
{
	Row			row;			/* but for what it points to */
	size_t		key;
	size_t		content;
} RowImage;

typedef struct JobImage
{
	RowJobKind	kind;
	uint64_t	id;
	int			n;
	size_t		missing;
	size_t		rows;
	FrontierImage frontier[ROW_JOB_FRONTIERS];
} JobImage;

static void
frontiers_of(const RowJob *job, const RowFrontier *out[ROW_JOB_FRONTIERS])
{
	const RowFrontier *all[ROW_JOB_FRONTIERS] = {job->frontier, job->floor, job->covered, job->collected, job->claim, job->below};

	memcpy(out, all, sizeof all);
}

/* Give out the next len bytes. */
static size_t
take(size_t *at, size_t len)
{
	size_t		offset = *at;

	*at += ALIGN(len);
	return offset;
}

size_t
row_job_size(const RowJob *job)
{
	const RowFrontier *frontier[ROW_JOB_FRONTIERS];
	size_t		at = 0;

	(void) take(&at, sizeof(JobImage));
	(void) take(&at, sizeof(uint32_t) * ((size_t) job->n + 1));
	(void) take(&at, sizeof(RowImage) * (size_t) job->n);
	frontiers_of(job, frontier);
	for (int i = 0; i < ROW_JOB_FRONTIERS; i++)
		if (frontier[i] != NULL)
		{
			(void) take(&at, sizeof(uint64_t) * frontier[i]->n);
			(void) take(&at, sizeof(RowStamp) * frontier[i]->n_open);
		}
	for (int i = 0; i < job->n; i++)
	{
		(void) take(&at, job->row[i].key.len);
		(void) take(&at, job->row[i].content.len);
	}
	return at;
}

static size_t
put(char *image, size_t *at, const void *bytes, size_t len)
{
	size_t		offset = take(at, len);

	if (len > 0)
		memcpy(image + offset, bytes, len);
	return offset;
}

void
row_job_write(const RowJob *job, void *to)
{
	char	   *image = to;
	JobImage   *head = to;
	const RowFrontier *frontier[ROW_JOB_FRONTIERS];
	RowImage   *rows;
	size_t		at = 0;

	(void) take(&at, sizeof(JobImage));
	memset(head, 0, sizeof *head);
	head->kind = job->kind;
	head->id = job->id;
	head->n = job->n;
	head->missing = take(&at, sizeof(uint32_t) * ((size_t) job->n + 1));
	head->rows = take(&at, sizeof(RowImage) * (size_t) job->n);
	frontiers_of(job, frontier);
	for (int i = 0; i < ROW_JOB_FRONTIERS; i++)
		if (frontier[i] != NULL)
		{
			head->frontier[i].present = true;
			head->frontier[i].n = frontier[i]->n;
			head->frontier[i].n_open = frontier[i]->n_open;
			head->frontier[i].top = put(image, &at, frontier[i]->top, sizeof(uint64_t) * frontier[i]->n);
			head->frontier[i].open = put(image, &at, frontier[i]->open, sizeof(RowStamp) * frontier[i]->n_open);
		}
	rows = (RowImage *) (image + head->rows);
	for (int i = 0; i < job->n; i++)
	{
		rows[i].row = job->row[i];
		rows[i].key = put(image, &at, job->row[i].key.at, job->row[i].key.len);
		rows[i].content = put(image, &at, job->row[i].content.at, job->row[i].content.len);
	}
}

int
row_job_rows(const void *image)
{
	return ((const JobImage *) image)->n;
}

uint32_t *
row_job_missing(void *image)
{
	return (uint32_t *) ((char *) image + ((const JobImage *) image)->missing);
}

void
row_job_read(const void *from, Row *rows, RowFrontier frontier[ROW_JOB_FRONTIERS], RowJob *out)
{
	const char *image = from;
	const JobImage *head = from;
	const RowImage *row = (const RowImage *) (image + head->rows);
	const RowFrontier *of[ROW_JOB_FRONTIERS];

	memset(frontier, 0, sizeof(*frontier) * ROW_JOB_FRONTIERS);
	for (int i = 0; i < ROW_JOB_FRONTIERS; i++)
	{
		const FrontierImage *in = &head->frontier[i];

		/* it is only read */
		frontier[i].n = frontier[i].room = in->n;
		frontier[i].top = (uint64_t *) (image + in->top);
		frontier[i].n_open = frontier[i].open_room = in->n_open;
		frontier[i].open = (RowStamp *) (image + in->open);
		of[i] = in->present ? &frontier[i] : NULL;
	}
	for (int i = 0; i < head->n; i++)
	{
		rows[i] = row[i].row;
		rows[i].key.at = (const uint8_t *) image + row[i].key;
		rows[i].content.at = (const uint8_t *) image + row[i].content;
	}
	*out = (RowJob) {
		.kind = head->kind, .id = head->id, .n = head->n, .row = rows,
		.frontier = of[0], .floor = of[1], .covered = of[2], .collected = of[3], .claim = of[4], .below = of[5]
	};
}
