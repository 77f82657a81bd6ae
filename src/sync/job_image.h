/*
 * job_image.h
 *	  A job of a replica (RowJob, core/rows/replica.h) as one block of memory, that
 *	  another process can be handed.
 *
 * Written and read by one library on one machine: it is no format of files or wires.
 */
#ifndef VECDB_JOB_IMAGE_H
#define VECDB_JOB_IMAGE_H

#include "core/rows/replica.h"

/* What it takes, in bytes. */
extern size_t JobImageSize(const RowJob *job);
extern void JobImageWrite(const RowJob *job, void *image);

/*
 * The job again: what it points to is in the image, but for rows[n] and frontier[6], which
 * are the caller's.
 */
#define JOB_FRONTIERS 6

extern int	JobImageRows(const void *image);
extern void JobImageRead(const void *image, Row *rows, RowFrontier frontier[JOB_FRONTIERS], RowJob *out);

/* Room for one number for each row, which may be written. */
extern uint32_t *JobImageMissing(void *image);

#endif							/* VECDB_JOB_IMAGE_H */
