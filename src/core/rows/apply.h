/*
 * apply.h
 *	  How the jobs of a replica are carried out: what becomes of each row, which goes into
 *	  the collection's table, which is set aside, and when that is tried again.
 *
 * It works on a RowTable, which the program around it hands in, and holds no memory of
 * its own.  A row that cannot go into the table is set aside whole and counts as here: it
 * is claimed, sent to others, and retried, and delays no other row.
 *
 *	  a user's transaction holds what it replaces	PARKED
 *	  its clock is too far ahead of ours			QUARANTINED, ROW_REASON_CLOCK
 *	  its content has not the hash beside it		QUARANTINED, ROW_REASON_HASH
 *	  the table refuses it							QUARANTINED, ROW_REASON_TABLE
 *
 * Each step is one transaction: the program begins it before row_apply_step() or
 * row_apply_retry() and commits it after, or rolls it back where that failed, or where a
 * function of the table left by a jump.  Where it was left so, or its commit failed, the
 * program tells by row_apply_failed().  A job is done when its last step is on disk.
 */
#ifndef CORE_ROWS_APPLY_H
#define CORE_ROWS_APPLY_H

#include "core/rows/replica.h"

#define ROW_APPLY_SCAN 1024		/* entries that a step of COLLECT or ADOPT looks at */
#define ROW_APPLY_CHANGES 256	/* ... and changes, at most */
#define ROW_APPLY_RETRY 64		/* rows that one retry tries, at most */
#define ROW_APPLY_RETRY_BYTES (4 * 1024 * 1024)	/* of content, after which it tries no more */
#define ROW_REASON_TEXT 256

/* Why a row is in quarantine. */
typedef enum RowReason
{
	ROW_REASON_NONE,
	ROW_REASON_CLOCK,
	ROW_REASON_HASH,
	ROW_REASON_TABLE			/* a constraint, a dimension: the text says more */
} RowReason;

/* What stands for a key. */
typedef struct RowFound
{
	bool		present;
	bool		busy;			/* a user's transaction holds it: the entry is that of the last commit */
	RowEntry	entry;			/* where it is present */
	RowReason	why;			/* it is in quarantine */
	bool		discarded;		/* ... and is not tried again, but for row_apply_retry_key() */
} RowFound;

typedef enum RowWritten
{
	ROW_WRITTEN,
	ROW_WRITE_BUSY,				/* a user's transaction holds it, or what it would replace */
	ROW_WRITE_REFUSED,			/* by the table; nothing of it was written */
	ROW_WRITE_FAILED			/* the transaction cannot go on */
} RowWritten;

typedef enum RowSelect
{
	ROW_SELECT_ALL,
	ROW_SELECT_DEAD,			/* tombstones that are not held */
	ROW_SELECT_PARKED,
	ROW_SELECT_QUARANTINED
} RowSelect;

/* Functions that return bool give false where the transaction cannot go on. */
typedef struct RowTable
{
	void	   *context;

	/* Lock a key until the transaction's end, and read its entry into *out, which is all zero; nobody waits long for a lock. */
	void		(*find) (void *context, RowBytes key, RowFound *out);

	/*
	 * The first entry behind a key (of no length: from the first on), not locked; its key is
	 * good until the next call.  False: there is none.
	 */
	bool		(*next) (void *context, RowSelect which, RowBytes after, Row *out);

	/*
	 * A row or a tombstone as it is to stand in the table, with its entry in place of the
	 * key's; what was set aside for the key goes.  A thin row keeps the vector that is there.
	 * The text is that of a refusal.
	 */
	RowWritten	(*write) (void *context, const Row *row, char text[ROW_REASON_TEXT]);

	/*
	 * The same beside the table, which stays as it is: entry.held says how.  A thin row
	 * is completed with the vector that is in the table, so that it is whole.  Its content
	 * may be what aside() gave.
	 */
	bool		(*set_aside) (void *context, const Row *row, RowReason why, const char *text);

	/* Content of a live row that is held, whole; good until the next call of this function. */
	bool		(*aside) (void *context, RowBytes key, RowBytes *content);

	/* Another entry, of the same content, in place of the key's. */
	bool		(*restamp) (void *context, RowBytes key, const RowEntry *entry);

	/* Entry and row go, and what was set aside. */
	bool		(*remove) (void *context, RowBytes key);

	/*
	 * Hashes of a live row as it would stand in the table: a thin one with the vector that is
	 * there.  False: its content is none of these columns.
	 */
	bool		(*hashes) (void *context, const Row *row, uint8_t hash[ROW_HASH], uint8_t vector_hash[ROW_HASH]);

	/*
	 * Keep the loser of a conflict in the collection's list; nothing where the list has this
	 * version of the key.  came: it is this row, which is not taken, thin where it has the
	 * vector that stands here; NULL: it stands here, and goes after this.
	 */
	bool		(*conflict) (void *context, RowBytes key, const RowEntry *loser, const Row *came);
	uint32_t	(*conflicts) (void *context);	/* how many the list has */
	bool		(*forget_conflict) (void *context); /* the oldest */

	/*
	 * A ticket of ours for this transaction, the same until it ends; it is given back when
	 * snapshots show the transaction as ended.  False: there is none now.
	 */
	bool		(*stamp) (void *context, RowStamp *out);

	/* A version of ours above a clock that was heard: row_clock_next(), and our incarnation's id. */
	bool		(*version) (void *context, uint64_t above, RowVersion *out);

	/* row_clock_heard() of our clock, which others may use at the same time. */
	bool		(*clock_heard) (void *context, uint64_t value, int64_t skew_us);

	/* Keep row_clock_wanted_bound() with this transaction. */
	bool		(*keep_clock) (void *context);

	/* Keep what is covered with this transaction, beside what was kept before: a frontier only grows.  NULL: as before. */
	bool		(*claim) (void *context, const RowFrontier *frontier, const RowFrontier *floor);
} RowTable;

typedef struct RowApplyConfig
{
	RowTable	table;
	int64_t		skew_us;		/* max_clock_skew */
	uint32_t	max_conflicts;	/* that the list keeps, from 1 on: then the oldest goes */
	int64_t		retry_ms;		/* between two tries of what is held; twice as long after each that was in vain ... */
	int64_t		retry_most_ms;	/* ... up to this */
	uint32_t	off;			/* tests of single rules only: see rules.h */
} RowApplyConfig;

/* Going through what is held in one way, again and again. */
typedef struct RowRetry
{
	int64_t		at_ms;			/* tick of the next step */
	int64_t		wait_ms;		/* after this pass */
	bool		changed;		/* in this pass */
	int			alone;			/* rows that have a transaction each, since one of several failed */
	size_t		key_len;		/* the last key that was tried; 0: a pass begins */
	uint8_t		key[ROW_KEY_MAX];
} RowRetry;

/* What a transaction changes here, and takes back where it is rolled back. */
typedef struct RowProgress
{
	RowRetry	parked;
	RowRetry	quarantined;

	/* the job */
	bool		claimed;		/* before its rows */
	uint32_t	n_missing;
	uint32_t	n_changed;
	size_t		key_len;		/* of COLLECT and ADOPT: the last key that was looked at */
	uint8_t		key[ROW_KEY_MAX];

	/* since row_apply_init() */
	uint64_t	n_parked;
	uint64_t	n_quarantined;
	uint64_t	n_conflicts;
} RowProgress;

typedef enum RowWork
{
	ROW_WORK_NONE,
	ROW_WORK_STEP,
	ROW_WORK_RETRY_PARKED,
	ROW_WORK_RETRY_QUARANTINED,
	ROW_WORK_RETRY_KEY
} RowWork;

/* What carries out the jobs of one collection, one at a time. */
typedef struct RowApply
{
	RowApplyConfig config;
	CoreClock	now;
	RowProgress at;
	RowProgress before;			/* the last transaction, which was this work: */
	RowWork		work;
	const RowJob *job;
	uint32_t   *missing;
	bool		failed;			/* the job */
} RowApply;

extern void row_apply_init(RowApply *self, const RowApplyConfig *config);

/* The job, and missing, with room for job->n numbers, stay until row_apply_done(). */
extern void row_apply_begin(RowApply *self, const RowJob *job, uint32_t *missing);

/*
 * The next transaction of the job.  True: it has more.  False: that was the last one, or
 * it failed (row_apply_done() tells) and is to be rolled back.  APPLY and DROP take
 * one, COLLECT and ADOPT one for each ROW_APPLY_SCAN entries.
 */
extern bool row_apply_step(RowApply *self, CoreClock now);
extern void row_apply_done(const RowApply *self, RowDone *out);

/*
 * The transaction of the last row_apply_step() or row_apply_retry() was rolled back although
 * that did not say so: it was left by a jump, or its commit failed.  A job has failed then,
 * also before its first step; what was tried again is tried as after UINT32_MAX.
 */
extern void row_apply_failed(RowApply *self);

/* Is it time to try rows again that are held?  From a start on it is. */
extern bool row_apply_retry_due(const RowApply *self, CoreClock now);

/*
 * Try some, in one transaction, of what is parked or of what is in quarantine; how many
 * changed.  UINT32_MAX: it is to be rolled back.  Then the same ones are tried one by one,
 * so that no row keeps another from being tried; who fails alone was tried in vain.
 */
extern uint32_t row_apply_retry(RowApply *self, CoreClock now);

/*
 * Try the one that is held for this key, where there is one, also where it was discarded, in a
 * transaction of its own.  False: that is to be rolled back.
 */
extern bool row_apply_retry_key(RowApply *self, RowBytes key, CoreClock now);

/* Try all again soon: columns or constraints are others, or an owner asks for it. */
extern void row_apply_retry_soon(RowApply *self, CoreClock now);

/*
 * A user's transaction wrote to a key for which a row is held: the newer one stands, and
 * the other is kept as a conflict.  *stands: what is held does, and goes into the table
 * when it is retried.  False: the transaction cannot go on.
 */
extern bool row_apply_written(RowApply *self, RowBytes key, const RowEntry *held, const RowEntry *written, bool *stands);

#endif							/* CORE_ROWS_APPLY_H */
