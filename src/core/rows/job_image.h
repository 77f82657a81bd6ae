/*
 * job_image.h
 *	  A job of a replica (RowJob, replica.h) as one block of memory, that
 *	  another process can be handed.
 *
 * Written and read by one library on one machine: it is no format of files or wires.
 */
#ifndef CORE_ROWS_JOB_IMAGE_H
#define CORE_ROWS_JOB_IMAGE_H

#include "core/rows/replica.h"

/* What it takes, in bytes. */
extern size_t row_job_size(const RowJob *job);
extern void row_job_write(const RowJob *job, void *image);

/*
 * The job again: what it points to is in the image, but for rows[n] and frontier[6], which
 * are the caller's.
 */
#define ROW_JOB_FRONTIERS 6

extern int	row_job_rows(const void *image);
extern void row_job_read(const void *image, Row *rows, RowFrontier frontier[ROW_JOB_FRONTIERS], RowJob *out);

/* Room for one number for each row, which may be written. */
extern uint32_t *row_job_missing(void *image);

#endif							/* CORE_ROWS_JOB_IMAGE_H */
