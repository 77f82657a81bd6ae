/*
 * fault_point.h
 *	  Points at which a test ends a process, or the whole server, as if the power had
 *	  failed there.  A build without VECDB_FAULT_POINTS has nothing of them.
 *
 * Names are words with hyphens, and unique: test/t/057_rows_kill.pl looks for them in the
 * sources, and fails where it has not come to one.
 */
#ifndef VECDB_FAULT_POINT_H
#define VECDB_FAULT_POINT_H

#ifdef VECDB_FAULT_POINTS
/* In test/faults. */
extern __attribute__((visibility("default"))) void VecdbFaultPoint(const char *name);
#define FAULT_POINT(name) VecdbFaultPoint(name)
#else
#define FAULT_POINT(name) ((void) 0)
#endif

#endif							/* VECDB_FAULT_POINT_H */
