/*
 * rows_shared.h
 *	  What backends that write to shared collections and the node's worker have in
 *	  common: the life of each collection here, its open tickets, the clock.
 *
 * In shared memory, so that it begins anew whenever the server does: a crash, a
 * restore and a promotion each begin a new life, whatever files say.  A node's worker
 * begins the life of a collection (it has the key that signs it); from then on
 * transactions take tickets of it, also while no worker runs.
 *
 * Collections are named by their table and are of the process's database.
 */
#ifndef VECDB_ROWS_SHARED_H
#define VECDB_ROWS_SHARED_H

#include "pgcompat.h"

#include "core/rows/clock.h"
#include "core/rows/ticket.h"
#include "core/rows/token.h"

#define ROWS_COLLECTIONS 1024	/* shared ones of a server, ... */
#define ROWS_COLLECTIONS_RESERVED 64	/* ... of which the last are for tables of superusers */
#define ROWS_ROW_BYTES (16 * 1024 * 1024)	/* of a row's content: more is neither written nor taken */

/* This life of a collection on this node. */
typedef struct RowsLife
{
	uint32		number;			/* in the collection's dictionary */
	RowIncarnationId id;
	bool		writable;		/* this node is a writer or an admin */
	uint8		collection[ROW_TOKEN_COLLECTION];	/* how its id begins */
} RowsLife;

/* Bytes to request of shared memory; and once for each process, what gives tickets back. */
extern Size RowsSharedSize(void);
extern void RowsSharedInit(void);

/* A database was dropped, and its collections with it. */
extern void RowsDatabaseDropped(Oid database);

/* ---- the worker ---- */

/*
 * Begin a life, unless one goes on; then only `writable` counts.  False: there is no room
 * for another collection.  owner: the role for whose share it counts (SyncShareAllows()),
 * InvalidOid where no share binds.
 */
extern PGDLLEXPORT bool RowsLifeBegin(Oid table, Oid owner, const RowsLife *life);

/* Would there be room for one more of this owner's, besides so many that are about to begin? */
extern PGDLLEXPORT bool RowsHaveRoom(Oid owner, int besides);

/* Which goes on.  False: none. */
extern PGDLLEXPORT bool RowsLifeFind(Oid table, RowsLife *out);
/* The collection is left or gone.  Tickets that are open are given back by their transactions, to nothing. */
extern PGDLLEXPORT void RowsLifeEnd(Oid table);

/* What snapshots that are taken from now on show; of no life: nothing. */
extern PGDLLEXPORT void RowsSettled(Oid table, RowSettled *out);

/* The process with the oldest ticket that is open, which holds back what is claimed; 0: none is. */
extern PGDLLEXPORT int RowsBlockedBy(Oid table);

/* Has a transaction with a ticket of this collection ended since this was last asked? */
extern PGDLLEXPORT bool RowsCommitted(Oid table);

/* ---- transactions ---- */

/*
 * The ticket of this transaction in a collection, taken the first time and given back
 * after its end; PREPARE TRANSACTION is an error from then on.  wait: for a worker that has
 * not begun the life yet, up to ten seconds.  An error where there is no life, where this
 * node only reads (unless `apply`), or where too many are open.
 */
extern PGDLLEXPORT RowStamp RowsTicket(Oid table, bool apply, RowIncarnationId *id);

/*
 * The tickets of the last transaction of this session that wrote to shared collections and
 * is committed, which stay until the next one is.  Returns how many there are; 0: none.
 */
extern PGDLLEXPORT int RowsLastCommit(const RowTokenTicket **out);

/* The session is another's from now on. */
extern PGDLLEXPORT void RowsForgetLastCommit(void);

/* ---- the clock of this database's node ---- */

/* A value above all others and `above`; 0 where there is none any more. */
extern PGDLLEXPORT uint64 RowsClockNext(uint64 above);
extern PGDLLEXPORT bool RowsClockHeard(uint64 value, int64 skew_us);
extern PGDLLEXPORT uint64 RowsClockLast(void);

/* Raise the bound on disk where half of what is kept ahead is used up: the worker, and who applies rows. */
extern PGDLLEXPORT void RowsClockKeep(void);

#endif							/* VECDB_ROWS_SHARED_H */
