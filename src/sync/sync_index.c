/*
 * sync_index.c
 *	  A process that builds the index of one table, once its rows are here, and ends:
 *	  the apply worker serves the table meanwhile, and users write to it.
 *
 * It takes the steps of CREATE INDEX CONCURRENTLY (rows/row_index.h).  One that is broken
 * off is gone on with from where pg_index says that it stands.
 */
#include "sync/sync_index.h"

#include "access/xact.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "rows/row_index.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "sync/sync_worker.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "worker/worker.h"

PGDLLEXPORT void VecdbSyncIndexMain(Datum arg);

#define BUILD_MS 86400000
#define POLL_MS 200
#define LOCK_TIMEOUT "10s"

typedef struct IndexBuild
{
	SyncIndexTable of;
	MemoryContext context;
	RowIndexState state;
	Oid			index;
	bool		waits;			/* for the step that was taken */
	VirtualTransactionId *writers;	/* that may not know the index */
	VirtualTransactionId *older;	/* that have snapshots from before it was completed */
	int			n;				/* of those, or of these */
	TransactionId xmin;			/* of the snapshot in which it was completed */
} IndexBuild;

static void
look(void *arg)
{
	IndexBuild *self = arg;

	self->state = RowIndexWaits(self->of.table, self->of.root, &self->index);
}

static void
build(void *arg)
{
	IndexBuild *self = arg;

	pgstat_progress_start_command(PROGRESS_COMMAND_CREATE_INDEX, self->of.table);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_COMMAND, PROGRESS_CREATEIDX_COMMAND_CREATE_CONCURRENTLY);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_INDEX_OID, self->index);
	self->waits = RowIndexBuild(self->of.table, self->index);
	pgstat_progress_end_command();
}

/* Who writes to the table now. */
static void
list_writers(void *arg)
{
	IndexBuild *self = arg;
	MemoryContext old = MemoryContextSwitchTo(self->context);
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, self->of.table);
	self->writers = GetLockConflicts(&tag, ShareLock, &self->n);
	MemoryContextSwitchTo(old);
}

/* Those that have ended leave the list. */
static void
drop_ended(void *arg)
{
	IndexBuild *self = arg;

	for (int i = 0; i < self->n;)
		if (VirtualXactLock(self->writers[i], false))
			self->writers[i] = self->writers[--self->n];
		else
			i++;
}

static void
complete(void *arg)
{
	IndexBuild *self = arg;

	self->waits = RowIndexComplete(self->of.table, self->index, &self->xmin);
}

static VirtualTransactionId *
older_now(const IndexBuild *self, int *n)
{
	return GetCurrentVirtualXIDs(self->xmin, true, false, PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, n);
}

/* Who has a snapshot that may show rows which the index lacks. */
static void
list_older(void *arg)
{
	IndexBuild *self = arg;
	MemoryContext old = MemoryContextSwitchTo(self->context);

	self->older = older_now(self, &self->n);
	MemoryContextSwitchTo(old);
}

/* Those that have none any more leave the list.  One that is taken later shows no such row, however old its xmin is. */
static void
drop_younger(void *arg)
{
	IndexBuild *self = arg;
	int			n;
	VirtualTransactionId *now = older_now(self, &n);

	for (int i = 0; i < self->n;)
	{
		bool		still = false;

		for (int k = 0; k < n; k++)
			still |= VirtualTransactionIdEquals(self->older[i], now[k]);
		if (still)
			i++;
		else
			self->older[i] = self->older[--self->n];
	}
}

static void
use(void *arg)
{
	IndexBuild *self = arg;

	self->waits = RowIndexUse(self->of.table, self->index);
}

/* Until nobody is left of those whom the body lists.  False: it failed, or the process has to end. */
static bool
wait_for_others(IndexBuild *self, WorkerBody body)
{
	while (!ShutdownRequestPending)
	{
		if (!WorkerTransaction(SYNC_STATEMENT_MS, body, self))
			return false;
		if (self->n == 0)
			return true;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		WorkerInterrupts();
	}
	return false;
}

/* The first of the table's that waits.  False: none, or it has to wait longer. */
static bool
build_next(IndexBuild *self)
{
	if (!WorkerTransaction(SYNC_STATEMENT_MS, look, self) || self->state == ROW_INDEX_NONE ||
		(self->state == ROW_INDEX_EMPTY && !(WorkerTransaction(BUILD_MS, build, self) && self->waits)))
		return false;
	return WorkerTransaction(SYNC_STATEMENT_MS, list_writers, self) &&
		wait_for_others(self, drop_ended) &&
		WorkerTransaction(BUILD_MS, complete, self) && self->waits &&
		WorkerTransaction(SYNC_STATEMENT_MS, list_older, self) &&
		wait_for_others(self, drop_younger) &&
		WorkerTransaction(SYNC_STATEMENT_MS, use, self) && self->waits;
}

void
VecdbSyncIndexMain(Datum arg)
{
	IndexBuild	self = {.context = NULL};

	memcpy(&self.of, MyBgworkerEntry->bgw_extra, sizeof(self.of));
	WorkerStart(DatumGetObjectId(arg), SyncOnSigterm);
	self.context = AllocSetContextCreate(TopMemoryContext, "vecdb index", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(self.context);
	/* for vacuum to give way; whoever waits here keeps no writer waiting */
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	while (build_next(&self))
		;
	proc_exit(0);
}

/* ---------------------------------------------------------------------------
 * The node's worker
 */

BackgroundWorkerHandle *
SyncIndexStart(const char *database, const SyncIndexTable *table)
{
	BackgroundWorkerHandle *handle = NULL;
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId),
		.bgw_notify_pid = MyProcPid
	};

	StaticAssertStmt(sizeof(*table) <= BGW_EXTRALEN, "a table fits into what a worker is told");
	memcpy(worker.bgw_extra, table, sizeof(*table));
	strlcpy(worker.bgw_library_name, "vecdb_sync", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "VecdbSyncIndexMain", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "vecdb index %s", database);
	strlcpy(worker.bgw_type, "vecdb index", BGW_MAXLEN);
	if (RegisterDynamicBackgroundWorker(&worker, &handle))
		return handle;
	ereport(LOG,
			(errmsg("could not start a process to build the index of a shared collection of database \"%s\": it waits", database),
			 errhint("Raise max_worker_processes, which is %d.", max_worker_processes)));
	return NULL;
}
