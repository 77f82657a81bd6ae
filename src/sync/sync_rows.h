/*
 * sync_rows.h
 *	  Rows of shared collections in a node's worker: what its files share.
 *
 *	  sync_rows			which collections there are, their lives; frames, members, time
 *	  sync_rows_members	who the members are, and when each was heard
 *	  sync_rows_host	what the core's replica reads and sends: its RowHost
 *	  sync_rows_job		what it hands over to be written, on its way to an apply worker
 *	  sync_change		changes of the columns of its table
 *	  sync_verify		comparisons with members that somebody waits for
 *	  sync_apply		the apply workers; sync_snapshot the keeper of snapshots
 */
#ifndef VECDB_SYNC_ROWS_H
#define VECDB_SYNC_ROWS_H

#include "sync/sync_worker.h"

#include "core/rows/apply.h"
#include "rows/alter.h"
#include "rows/row_feed.h"
#include "rows/row_state.h"
#include "rows/row_table.h"
#include "rows/rows_shared.h"
#include "rows/token_wait.h"
#include "sync/sync_apply.h"
#include "sync/sync_snapshot.h"

#define ROWS_JOBS 2				/* of a collection, handed over and not done: one of what it asks for, one beside that */
#define ROWS_MEMORY (48 * 1024 * 1024)	/* of a collection's replica beside what is applied at once, and ... */
#define ROWS_MEMORY_ALL (512 * 1024 * 1024)	/* ... of all, of which an owner's have less than is left free */
#define ROWS_TRANSACTION_MS 600000	/* one that writes rows; it is work, for it waits for nobody */
#define ROWS_CONFLICTS 10000
#define ROWS_DIFFERS 400		/* bytes of a message about columns */
#define ROWS_JOINING 32			/* tables with rows whose transactions join at the moment */

typedef struct SyncRows SyncRows;
typedef struct SyncVerify SyncVerify;	/* sync_verify.c */

/* A shared collection whose table is captured. */
typedef struct SyncCollection
{
	SyncRows   *rows;
	uint8_t		root[CORE_KEY_BYTES];
	Oid			table;
	Oid			owner;			/* for whose share it counts, or NODE_NO_SHARE */
	int			snapshots;		/* that it has */
	bool		seen;			/* by the last look at the tables */
	bool		paused;			/* by its owner */
	SyncVerify *verify;			/* NULL: nobody does */
	uint64_t	members;		/* version of what the replica was told */
	int64_t		heard_ms;		/* tick at which it is kept who was heard when */
	size_t		allocated;
	CoreMemory	memory;
	Replica    *replica;
	MemoryContext context;
	int			place;			/* with an apply worker; -1: none yet */
	RowJob		job[ROWS_JOBS]; /* in their order, ... */
	uint8_t		job_schema[ROWS_JOBS][CORE_HASH_BYTES]; /* ... and the columns that its rows are of */
	int			n_jobs;
	bool		posted;			/* the first of them is with the apply worker */
	uint8_t		schema[CORE_HASH_BYTES];	/* hash of its columns, as the replica has it */
	bool		change_due;		/* a change of them waits for the jobs that are there: no more are taken */
	bool		changing;		/* it is with the apply worker: */
	SignedChange change;
	int			change_failures;	/* times in a row that it could not be applied */
	int64_t		change_ms;		/* tick of the next look */
	char		waits[APPLY_TEXT];	/* what keeps a change from being applied, "": nothing does */
	int			n_columns;		/* that schema is the hash of; 0: not known */
	RowColumn  *column;
	bool		columns_due;	/* the table's may be others: they are looked at */
	int64_t		columns_ms;		/* tick of the next look */
	int			columns_failures;	/* of looks, in a row */
	char		altered[ROWS_DIFFERS];	/* how the table's differ from these, "": they do not */
	KadId		other;			/* a member whose columns differ: */
	char		differs[ROWS_DIFFERS];	/* in what, "": nobody's do */
	int64_t		differs_ms;		/* tick since when somebody's do */
	bool		differs_logged;
	int64_t		logged_ms;		/* tick of the last line about that */
	HeldTops	aside;			/* which rows are set aside, as was seen ... */
	int64_t		aside_ms;		/* ... until this tick ... */
	uint64_t	aside_of;		/* ... and when so many had come */
} SyncCollection;

/* A table with rows whose life has begun, and whose transaction may be rolled back. */
typedef struct SyncJoining
{
	uint8_t		root[CORE_KEY_BYTES];
	Oid			table;			/* InvalidOid: none */
} SyncJoining;

/* Settings that replicas run with. */
typedef struct SyncRowsSettings
{
	int			batch_kB;
	int			atomic_kB;
	int			entropy_s;
	int			retention_min;
	int			skew_s;
} SyncRowsSettings;

struct SyncRows
{
	SyncRowsSettings settings;
	SyncWorker *worker;
	Snapshots  *snapshots;		/* these two are there before any collection */
	Applies    *applies;
	bool		no_memory;		/* for them, when they were last to begin */
	void	   *scratch;		/* of all replicas */
	size_t		allocated;
	CoreRandom	random;
	MemoryContext context;
	RowScan    *reading;		/* whose transaction is open */
	int64_t		sendable;		/* bytes that vecdb.max_send_rate lets through now; below 0: so many too many were sent */
	int64_t		sendable_ms;	/* tick of the last look at that */
	int64_t		stirred_ms;		/* tick at which something was written here, or came, or was worked at, last */
	SyncJoining joining[ROWS_JOINING];
	int			n;
	SyncCollection *collection[ROWS_COLLECTIONS];
};

/* ---- sync_rows.c ---- */

/* The collection of this table; NULL: its rows are not replicated now. */
extern SyncCollection *SyncRowsOf(const SyncRows *self, Oid table);

/* Its rows are paused, or go on; where they are replicated now. */
extern void SyncRowsPause(SyncRows *self, Oid table, bool paused, CoreClock clock);

/* ---- sync_rows_host.c ---- */

extern RowHost SyncRowsHost(SyncCollection *self);

/* The transaction in which was read ends: before any other begins, and before the turn's end. */
extern void SyncRowsLeave(SyncRows *self);

/* ---- sync_change.c ---- */

/* Apply the changes of its columns, one after the other. */
extern void SyncRowsChange(SyncCollection *self, CoreClock clock);

/* ---- sync_columns.c ---- */

/* Before any collection begins. */
extern void SyncColumnsInit(SyncRows *rows);

/* Look at its columns, where they may have changed otherwise than by a change that travels. */
extern void SyncRowsColumns(SyncCollection *self, CoreClock clock);

/* They are to be looked at now: schema has become another. */
extern void SyncColumnsForget(SyncCollection *self);

/* RowHost's: the columns of a member are others. */
extern void SyncColumnsDiffer(SyncCollection *self, const KadId *id, const uint8_t *schema, RowBytes columns);

/* Why no rows travel between this node and a member, or what keeps a change from being applied; NULL: nothing. */
extern const char *SyncColumnsWait(SyncCollection *self);

/* ---- sync_verify.c ---- */

/* RowHost's: a key on which a member and this node differ against what was claimed. */
extern void SyncVerifyFound(SyncCollection *self, const KadId *id, RowBytes key, bool lacks_here);

/* Who asked is gone. */
extern void SyncVerifyTend(SyncCollection *self, CoreClock clock);
extern void SyncVerifyEnd(SyncCollection *self);

/* ---- sync_rows_members.c ---- */

/* Tell the replica who the members are, where that has changed. */
extern void SyncRowsMembers(SyncCollection *self, CoreClock clock);

/* ---- sync_rows_job.c ---- */

extern bool SyncRowsSubmit(SyncCollection *self, const RowJob *job);

/* Tell the replica what is done, and hand on the next. */
extern void SyncRowsWork(SyncCollection *self, CoreClock clock);

#endif							/* VECDB_SYNC_ROWS_H */
