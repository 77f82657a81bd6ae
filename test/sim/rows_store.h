/*
 * rows_store.h
 *	  A model of what PostgreSQL keeps of a collection on one node: the table, its
 *	  version table, transactions, snapshots, and what of it a crash loses.
 *
 * Each commit has a number.  Of each key there is a list of what its rows were after
 * each commit that changed them; a snapshot shows what was committed when it was taken.
 * Commits are on disk up to a number: a crash takes those above it away.  Nothing is
 * seen of a transaction that is open but the locks that it holds.
 *
 * Keys are numbers; their bytes are in the order of the numbers.
 */
#ifndef SIM_ROWS_STORE_H
#define SIM_ROWS_STORE_H

#include "core/rows/apply.h"
#include "core/rows/clock.h"
#include "core/rows/replica.h"
#include "core/rows/rules.h"

#define STORE_KEYS 96
#define STORE_KEY_BYTES 3
#define STORE_WRITERS 3			/* transactions of users open at a time */
#define STORE_WRITES 6			/* keys that one writes */
#define STORE_JOBS 4
#define STORE_SCANS 16
#define STORE_CONFLICTS 12		/* that are kept */
#define STORE_LIVES 4096		/* incarnations in a world */
#define STORE_SKEW_US INT64_C(300000000)

/* The columns of a row; live: it is there. */
typedef struct StoreData
{
	bool		live;
	uint64_t	meta;
	uint64_t	vector;
} StoreData;

/* What stands in both tables for a key after a commit. */
typedef struct StoreRow
{
	uint64_t	commit;
	bool		present;		/* in the version table */
	RowEntry	entry;
	StoreData	table;
	StoreData	aside;			/* what is held */
	RowReason	why;			/* it is in quarantine */
} StoreRow;

typedef struct StoreKey
{
	int			n;
	int			room;
	StoreRow   *row;			/* ascending by commit */
	int			locked;			/* by writer - 1; 0: it is not */
} StoreKey;

typedef struct StoreWrite
{
	int			key;
	StoreData	table;
	bool		has_entry;
	RowEntry	entry;
} StoreWrite;

/* A transaction of a user. */
typedef struct StoreWriter
{
	bool		open;
	bool		ended;			/* only its ticket is still registered */
	uint64_t	ticket;			/* 0: it has written nothing yet */
	bool		sync;
	int			n;
	StoreWrite	write[STORE_WRITES];
} StoreWriter;

/* Frontier and floor as of a commit. */
typedef struct StoreClaim
{
	uint64_t	commit;
	RowFrontier frontier;
	RowFrontier floor;
} StoreClaim;

/* The loser of a conflict, in the list that its owner reads. */
typedef struct StoreConflict
{
	uint64_t	commit;
	int			key;
	RowVersion	version;
} StoreConflict;

/* A job in our own memory. */
typedef struct StoreJob
{
	RowJobKind	kind;
	const RowJob *job;
	RowJob		copy;
	int			step;
	bool		more;			/* transactions are to come */
	uint32_t   *missing;
	RowDone		done;
} StoreJob;

struct RowScan
{
	struct Store *store;
	uint64_t	commit;
	int			n;
	int			at;
	uint8_t		order[STORE_KEYS];
	uint8_t		key[STORE_KEY_BYTES];	/* of the row given out */
};

struct World;

typedef struct Store
{
	struct World *world;
	int			node;
	uint32_t	off;
	CoreMemory	memory;			/* not the replica's: it is not counted */

	/* on disk, as far as it is */
	uint64_t	commit;			/* the last one */
	uint64_t	durable;
	int			n_keys;
	StoreKey	key[STORE_KEYS];
	int			n_claims;
	StoreClaim	claim[16];		/* ascending by commit */
	uint32_t	n_conflicts;
	StoreConflict conflict[STORE_CONFLICTS + 1];	/* the oldest first; one more until that is forgotten */
	uint32_t	n_lives;
	uint32_t	n_kept;			/* of them on disk */
	RowIncarnation *life;		/* dictionary: number i is life[i - 1] */
	uint16_t   *global_of;		/* of a number from 1 on: the world's */
	uint32_t   *number_of;		/* of the world's */
	uint64_t	clock_bound;
	bool		copied;			/* it has rows of its own, and needs no copy */
	bool		begun;			/* a copy: one that a restart breaks off is none any more, what it has is compared */
	uint64_t	lost;			/* snapshots of commits below this one lost the table's rows */

	/* shared memory */
	RowTickets	tickets;
	RowClock	clock;
	uint64_t	floor_clock;	/* when the floor became another's: what was written before may be older than what it covers */
	uint32_t	own;
	StoreWriter writer[STORE_WRITERS];
	int			n_jobs;
	StoreJob   *job[STORE_JOBS];
	RowApply	apply;
	RowJobKind	at_work;
	uint64_t	job_ticket;		/* of the transaction at work, or that has just ended; 0: it has none */
	uint8_t		next_key[STORE_KEY_BYTES];
	int			n_scans;
	RowScan    *scan[STORE_SCANS];
	uint64_t	last_clock;		/* I5 */
	uint64_t	seen_clock[STORE_KEYS]; /* the greatest of a row that was applied, or written */
	uint8_t    *content;
	size_t		content_pad;	/* bytes beside the two columns, of every row */
} Store;

extern Store *store_new(struct World *world, int node, int n_keys, uint32_t off, size_t content_pad);
extern void store_destroy(Store **self);

/* What stands there of a key after the last commit; NULL: it never was anything. */
extern const StoreRow *store_head(const Store *self, int key);
extern const StoreRow *store_at(const Store *self, int key, uint64_t commit);
extern int	store_key(RowBytes bytes);
extern RowBytes store_key_bytes(int key, uint8_t out[STORE_KEY_BYTES]);
extern RowBytes store_content(Store *self, const StoreData *data, bool thin);
extern void store_hashes(const StoreData *data, uint8_t hash[ROW_HASH], uint8_t vector_hash[ROW_HASH]);

/* A commit's rows are put between these; durable: it returns when it is on disk. */
extern void store_begin_commit(Store *self);
extern void store_put(Store *self, int key, const StoreRow *row);
extern void store_put_claim(Store *self, const RowFrontier *frontier, const RowFrontier *floor);
extern void store_roll_back(Store *self);
extern void store_end_commit(Store *self, bool durable);
extern void store_flush(Store *self);

/* Forget what no snapshot and no crash can ask for. */
extern void store_trim(Store *self);

/* The disk after a crash, which loses some of the commits that were not flushed. */
extern void store_crash(Store *self, uint64_t chance);
extern void store_clone(Store *self, const Store *from);

/* ---- users ---- */

typedef enum StoreAct
{
	STORE_INSERT_OR_UPDATE,
	STORE_UPDATE_META,
	STORE_DELETE,
	STORE_MOVE					/* WITH d AS (DELETE ... RETURNING *) INSERT ... SELECT FROM d */
} StoreAct;

extern int	store_begin(Store *self, bool sync);

/* False: it was not done, as the key is locked or there is nothing to do. */
extern bool store_write(Store *self, int writer, int key, StoreAct act, uint64_t value, int64_t unix_us);
extern void store_commit(Store *self, int writer);
extern void store_rollback(Store *self, int writer);
extern void store_end(Store *self, int writer);		/* its ticket is given back */
extern void store_truncate(Store *self, int64_t unix_us);
extern void store_rewrite(Store *self);

/* Rows that are the same on several nodes, from a dump. */
extern void store_load(Store *self, int n, uint64_t seed);

extern void store_keep_bound(Store *self, int64_t unix_us);

/* A clock value for a write. */
extern uint64_t store_clock(Store *self, int64_t unix_us, uint64_t above);

/* ---- the replica's host ---- */

extern RowHost store_host(Store *self);

/* ---- jobs: rows_jobs.c ---- */

/* A process begins: nothing is at work. */
extern void store_begin_applying(Store *self);
extern StoreJob *store_job_new(const RowJob *job);
extern void store_job_free(StoreJob *job);

/* Carry out the next step; false: it was the last one. */
extern bool store_job_step(Store *self, StoreJob *job);

/* Rows that are held are tried again, where it is time. */
extern void store_retry(Store *self);

/* Does a constraint of this node's table stand against such a row now? */
extern bool store_refuses(const Store *self, const StoreData *data);

#endif							/* SIM_ROWS_STORE_H */
