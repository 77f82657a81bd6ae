/*
 * sync_snapshot.h
 *	  Snapshots that outlive a transaction: a process that does nothing but hold them,
 *	  and its worker, which reads in each of them in as many transactions as it likes.
 *
 * A batch of rows is read in one snapshot, for as long as its receiver takes, and
 * meanwhile the worker commits other things; PostgreSQL's snapshots go with their
 * transaction.  So the keeper takes one when it is asked, in a transaction that goes on
 * while it holds any, and the worker imports it, as parallel workers import their
 * leader's.
 */
#ifndef VECDB_SYNC_SNAPSHOT_H
#define VECDB_SYNC_SNAPSHOT_H

#include "pgcompat.h"

#define SNAPSHOTS 32			/* at a time, ... */
#define SNAPSHOTS_RESERVED 4	/* ... the last for tables of superusers */

typedef struct Snapshots Snapshots;

/*
 * For the life of this process, with which the keeper ends.  SnapshotsTend() starts it, and
 * starts it again where it has ended: to be called now and then.
 */
extern Snapshots *SnapshotsNew(const char *database);
extern void SnapshotsTend(Snapshots *self, int64 tick_ms);

/* Is there none, since the server has no room for one more process? */
extern bool SnapshotsLackRoom(const Snapshots *self);

/* Take one, all that it shows being on disk; outside of a transaction.  -1: not now. */
extern int	SnapshotTake(Snapshots *self);
extern void SnapshotRelease(Snapshots *self, int number);

/* Make it the transaction's, which has just begun, and the active one.  An error where it is lost. */
extern void SnapshotImport(Snapshots *self, int number);

#endif							/* VECDB_SYNC_SNAPSHOT_H */
