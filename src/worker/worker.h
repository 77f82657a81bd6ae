/*
 * worker.h
 *	  What every worker process of ours does alike: it starts, pins its settings,
 *	  runs a transaction, survives an error, waits between attempts.
 *
 * Linked into vecdb_http.so and vecdb_sync.so.  Nothing here keeps state: what a
 * process has to remember (how often it failed, where it goes on) is its own.
 */
#ifndef VECDB_WORKER_H
#define VECDB_WORKER_H

#include "pgcompat.h"

#include "storage/dsm.h"

/*
 * Take back what ALTER DATABASE and ALTER ROLE have set, and fix search_path to
 * pg_catalog, pg_temp: whoever owns a database chooses nothing for a process
 * that has more rights.  Call it right after the connection is made; a reload
 * of the configuration does not undo it.
 */
extern void VecdbPinSettings(void);

/* The path alone, for a worker that gives users' code its own settings back. */
extern void VecdbPinSearchPath(void);

/*
 * Take signals (SIGHUP reads the configuration anew, SIGTERM is the caller's),
 * connect to a database as the bootstrap superuser, or to none (InvalidOid), and
 * pin the settings.  What has to happen when the process ends is registered before.
 */
extern void WorkerStart(Oid database, void (*on_sigterm) (SIGNAL_ARGS));

/* At the head of each turn of a loop: signals, and invalidations that wait for us. */
extern void WorkerInterrupts(void);

typedef void (*WorkerBody) (void *arg);

/*
 * Looks at an error of the body, with the arg of the body, and says whether the log
 * gets it.  The error is a copy in the caller's memory context.  It runs before the
 * body's transaction has ended, so it touches no table and raises nothing.
 */
typedef bool (*WorkerCatch) (void *arg, const ErrorData *error);

/*
 * Run a body that may raise an error.  False when it did: the log has the error (catch
 * NULL: always), the transaction that was open, if any, is aborted, its locks, timeouts and a pending cancel are gone, and the caller's memory context is
 * the current one again.
 */
extern bool WorkerTry(WorkerBody body, WorkerCatch catch, void *arg);

/*
 * Run a body in a transaction of its own, with a snapshot; its memory is that of the
 * transaction.  False, after a line in the log, when it failed or took longer than
 * timeout_ms: then nothing of it is left.  The body's last changes count once this
 * has returned true.
 */
extern bool WorkerTransaction(int timeout_ms, WorkerBody body, void *arg);

/*
 * Attach a segment for longer than a transaction.  NULL: it is gone.  Where it raises an
 * error nothing of it is left, so it can be tried again.
 */
extern dsm_segment *WorkerAttach(dsm_handle handle);

/* How long to wait after so many attempts in a row that failed: 0, then 1, 2, 4 ... 30 s. */
extern int	WorkerBackoff(int failures);

#endif							/* VECDB_WORKER_H */
