/*
 * sync_apply.h
 *	  Apply workers: processes that write rows of other nodes to tables, so that index
 *	  inserts never delay a heartbeat of the node's worker.
 *
 * Each shared collection has a place in a segment that they share with the node's worker,
 * and one of them that serves it, chosen by its table: so what is written to a table is
 * written in order.
 */
#ifndef VECDB_SYNC_APPLY_H
#define VECDB_SYNC_APPLY_H

#include "pgcompat.h"

#include "core/rows/replica.h"
#include "rows/alter.h"

#define APPLY_WORKERS_MAX 16
#define APPLY_TEXT 200

typedef struct Applies Applies;

/* For the life of this process, with which they end.  AppliesTend() starts them, and starts again who has ended. */
extern Applies *AppliesNew(const char *database);
extern void AppliesTend(Applies *self, int64 tick_ms);

/* Is one missing, since the server has no room for one more process?  *index: or one that builds an index. */
extern bool AppliesLackRoom(const Applies *self, bool *index);

/* A place for a collection; -1: there is none now. */
extern int	AppliesEnter(Applies *self, Oid table, const uint8 *root);

/* The collection is not replicated any more; what is at work for it ends by itself. */
extern void AppliesLeave(Applies *self, int place);

/*
 * Hand over a job, of which a copy is made; nothing is under way at this place.  It fails
 * where the table has not the columns of schema.  An error where there is no room.
 */
extern void AppliesPost(Applies *self, int place, const RowJob *job, const uint8 schema[CORE_HASH_BYTES]);

/* The same with a change of the table's columns. */
extern void AppliesPostChange(Applies *self, int place, const SignedChange *change);

/*
 * Have rows that are held tried again: all of them, or where key.len > 0 the one of this key.
 * False: the worker has been asked for something else, and has not begun that yet.
 */
extern bool AppliesRetry(Applies *self, int place, RowBytes key);

/*
 * Is what was posted done?  Then AppliesTaken() has to follow, until which missing in *out
 * is good: a server has few segments for all jobs together.
 */
extern bool AppliesDone(Applies *self, int place, RowDone *out);
extern void AppliesTaken(Applies *self, int place);

/* Is the change that was posted done?  applied: TableChangeApply()'s, 0 where it failed; text: why. */
extern bool AppliesChangeDone(Applies *self, int place, uint32 *applied, char text[APPLY_TEXT]);

#endif							/* VECDB_SYNC_APPLY_H */
