/*
 * monotonic.h
 *	  Milliseconds of a clock that nobody sets, the same one for all processes of a
 *	  machine: deadlines and pauses are of it, since the time of day may be put back.
 */
#ifndef VECDB_MONOTONIC_H
#define VECDB_MONOTONIC_H

#include "pgcompat.h"

#include <time.h>

static inline int64
MonotonicMs(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif							/* VECDB_MONOTONIC_H */
