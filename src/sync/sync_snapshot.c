/*
 * sync_snapshot.c
 *	  The keeper of snapshots and its worker's side of it.
 *
 * They share a segment.  A snapshot in it passes through these states:
 *
 *	  FREE -> WANTED		the worker
 *	  WANTED -> HELD		the keeper: its bytes are there
 *	  WANTED, HELD -> GIVEN_BACK	the worker
 *	  GIVEN_BACK -> FREE	the keeper
 *
 * The keeper ends with its worker.  A keeper that has failed in between holds nothing any
 * more, and counts its lives: what was taken in an earlier one is lost.
 */
#include "sync/sync_snapshot.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "fault_point.h"
#include "miscadmin.h"
#include "monotonic.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "worker/worker.h"

PGDLLEXPORT void VecdbSyncKeeperMain(Datum arg);

#define TAKE_MS 1000			/* longer the keeper is not waited for */
#define RESTART_MS 1000
#define FIXED_BYTES 128			/* of a snapshot beside its transactions, at most */

enum
{
	FREE,
	WANTED,
	HELD,
	GIVEN_BACK
};

typedef struct Control
{
	Oid			database;
	Size		room;			/* bytes for each */
	PGPROC	   *worker;
	PGPROC	   *keeper;			/* NULL: it has not begun, or has ended */
	pg_atomic_uint32 stop;
	pg_atomic_uint32 life;		/* of the keeper's */
	pg_atomic_uint32 state[SNAPSHOTS];
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} Control;

struct Snapshots
{
	dsm_segment *segment;
	Control    *control;
	BackgroundWorkerHandle *handle;
	char		name[NAMEDATALEN];
	int64		start_ms;		/* tick after which a keeper may be started */
	bool		no_room;		/* for the last that was to be */
	uint32		life[SNAPSHOTS];
	char	   *bytes[SNAPSHOTS];	/* our copy, as the keeper may write the next one */
};

static char *
bytes_of(Control *control, int i)
{
	return control->bytes + (Size) i * control->room;
}

static void
wake(PGPROC *volatile *process)
{
	PGPROC	   *whom = *process;

	if (whom)
		SetLatch(&whom->procLatch);
}

/* ---------------------------------------------------------------------------
 * The keeper
 */

static Snapshot held[SNAPSHOTS];

static void
take_one(Control *control, int i)
{
	uint32		wanted = WANTED;

	if (!IsTransactionState())
	{
		StartTransactionCommand();
		XactIsoLevel = XACT_READ_COMMITTED;
		XactReadOnly = true;
	}
	held[i] = RegisterSnapshotOnOwner(GetLatestSnapshot(), TopTransactionResourceOwner);
	if (EstimateSnapshotSpace(held[i]) > control->room)
		elog(ERROR, "a snapshot has more bytes than there is room for");
	SerializeSnapshot(held[i], bytes_of(control, i));
	FAULT_POINT("snapshot-taken");
	pg_write_barrier();
	(void) pg_atomic_compare_exchange_u32(&control->state[i], &wanted, HELD);
	FAULT_POINT("snapshot-exported");
	wake(&control->worker);
}

static void
keep(void *arg)
{
	Control    *control = arg;

	while (!ShutdownRequestPending && pg_atomic_read_u32(&control->stop) == 0)
	{
		bool		any = false;

		WorkerInterrupts();
		for (int i = 0; i < SNAPSHOTS; i++)
		{
			uint32		state = pg_atomic_read_u32(&control->state[i]);

			if (state == GIVEN_BACK)
			{
				if (held[i])
					UnregisterSnapshotFromOwner(held[i], TopTransactionResourceOwner);
				held[i] = NULL;
				pg_atomic_write_u32(&control->state[i], FREE);
			}
			else if (state == WANTED)
				take_one(control, i);
			any |= held[i] != NULL;
		}
		if (!any && IsTransactionState())
			CommitTransactionCommand();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	for (int i = 0; i < SNAPSHOTS; i++)
	{
		if (held[i])
			UnregisterSnapshotFromOwner(held[i], TopTransactionResourceOwner);
		held[i] = NULL;
	}
	if (IsTransactionState())
		CommitTransactionCommand();
}

static void
leave(int code, Datum arg)
{
	Control    *control = (Control *) DatumGetPointer(arg);

	control->keeper = NULL;
	wake(&control->worker);
}

void
VecdbSyncKeeperMain(Datum arg)
{
	dsm_segment *segment;
	Control    *control;

	segment = WorkerAttach(DatumGetUInt32(arg));
	if (!segment)
		proc_exit(0);			/* the worker has gone */
	control = dsm_segment_address(segment);
	WorkerStart(control->database, SignalHandlerForShutdownRequest);
	MemoryContextSwitchTo(TopMemoryContext);
	before_shmem_exit(leave, PointerGetDatum(control));
	(void) pg_atomic_fetch_add_u32(&control->life, 1);
	control->keeper = MyProc;
	wake(&control->worker);
	while (!ShutdownRequestPending && pg_atomic_read_u32(&control->stop) == 0)
	{
		if (WorkerTry(keep, NULL, control))
			continue;
		/* what was held went with the transaction */
		(void) pg_atomic_fetch_add_u32(&control->life, 1);
		memset(held, 0, sizeof(held));
		(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RESTART_MS, PG_WAIT_EXTENSION);
	}
	proc_exit(0);
}

/* ---------------------------------------------------------------------------
 * The worker
 */

/* The worker ends, however. */
static void
on_worker_exit(int code, Datum arg)
{
	Control    *control = (Control *) DatumGetPointer(arg);

	control->worker = NULL;
	pg_atomic_write_u32(&control->stop, 1);
	wake(&control->keeper);
}

Snapshots *
SnapshotsNew(const char *database)
{
	Size		room = MAXALIGN(FIXED_BYTES + sizeof(TransactionId) * (GetMaxSnapshotXidCount() + GetMaxSnapshotSubxidCount()));
	ResourceOwner owner = CurrentResourceOwner;
	dsm_segment *segment;
	Snapshots  *self;

	CurrentResourceOwner = NULL;
	segment = dsm_create(offsetof(Control, bytes) + SNAPSHOTS * room, 0);
	CurrentResourceOwner = owner;
	self = MemoryContextAllocZero(TopMemoryContext, sizeof(*self));
	self->segment = segment;
	self->control = dsm_segment_address(self->segment);
	memset(self->control, 0, offsetof(Control, bytes));
	self->control->database = MyDatabaseId;
	self->control->room = room;
	self->control->worker = MyProc;
	pg_atomic_init_u32(&self->control->stop, 0);
	pg_atomic_init_u32(&self->control->life, 0);
	for (int i = 0; i < SNAPSHOTS; i++)
		pg_atomic_init_u32(&self->control->state[i], FREE);
	strlcpy(self->name, database, sizeof(self->name));
	before_shmem_exit(on_worker_exit, PointerGetDatum(self->control));
	return self;
}

void
SnapshotsTend(Snapshots *self, int64 tick_ms)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(self->segment)),
		.bgw_notify_pid = MyProcPid
	};
	MemoryContext old;
	pid_t		pid;

	if (self->handle && GetBackgroundWorkerPid(self->handle, &pid) != BGWH_STOPPED)
		return;
	if (tick_ms < self->start_ms)
		return;
	self->start_ms = tick_ms + RESTART_MS;
	if (self->handle)
		pfree(self->handle);
	self->handle = NULL;
	strlcpy(worker.bgw_library_name, "vecdb_sync", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "VecdbSyncKeeperMain", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "vecdb snapshots %s", self->name);
	strlcpy(worker.bgw_type, "vecdb snapshots", BGW_MAXLEN);
	old = MemoryContextSwitchTo(TopMemoryContext);
	self->no_room = !RegisterDynamicBackgroundWorker(&worker, &self->handle);
	if (self->no_room)
	{
		self->handle = NULL;
		self->start_ms = tick_ms + 30 * RESTART_MS;
		ereport(LOG,
				(errmsg("could not start the process that holds snapshots for the node of database \"%s\": no rows are sent to others", self->name),
				 errhint("Raise max_worker_processes, which is %d.", max_worker_processes)));
	}
	MemoryContextSwitchTo(old);
}

bool
SnapshotsLackRoom(const Snapshots *self)
{
	return self->no_room;
}

/* The end of what has been written to the log; on a page without a record yet it is that of the page before. */
static XLogRecPtr
log_end(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		return end - SizeOfXLogLongPHD;
	if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return end - SizeOfXLogShortPHD;
	return end;
}

/* Has the keeper taken it?  It answers at once, unless it is about to end. */
static bool
wait_until_held(Snapshots *self, int i)
{
	int64		began = MonotonicMs();
	bool		is_held;

	wake(&self->control->keeper);
	while (!(is_held = pg_atomic_read_u32(&self->control->state[i]) == HELD) && self->control->keeper &&
		   MonotonicMs() - began < TAKE_MS)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	/* it may have been set for something else */
	SetLatch(MyLatch);
	pg_read_barrier();
	return is_held;
}

static int
take_from_keeper(Snapshots *self)
{
	Control    *control = self->control;
	int			i;

	for (i = 0; i < SNAPSHOTS && pg_atomic_read_u32(&control->state[i]) != FREE; i++)
		;
	if (i == SNAPSHOTS || !control->keeper)
		return -1;
	self->life[i] = pg_atomic_read_u32(&control->life);
	pg_atomic_write_u32(&control->state[i], WANTED);
	if (!wait_until_held(self, i) || self->life[i] != pg_atomic_read_u32(&control->life))
	{
		SnapshotRelease(self, i);
		return -1;
	}
	if (!self->bytes[i])
		self->bytes[i] = MemoryContextAlloc(TopMemoryContext, control->room);
	memcpy(self->bytes[i], bytes_of(control, i), control->room);
	return i;
}

/* What it shows is on disk once this has returned. */
static void
flush_log(void *arg)
{
	XLogFlush(log_end());
	FAULT_POINT("feed-flushed");
}

int
SnapshotTake(Snapshots *self)
{
	int			i = take_from_keeper(self);

	FAULT_POINT("feed-before-flush");
	if (i >= 0 && !WorkerTry(flush_log, NULL, NULL))
	{
		SnapshotRelease(self, i);
		return -1;
	}
	return i;
}

void
SnapshotRelease(Snapshots *self, int number)
{
	Assert(number >= 0 && number < SNAPSHOTS);
	pg_atomic_write_u32(&self->control->state[number], GIVEN_BACK);
	wake(&self->control->keeper);
}

void
SnapshotImport(Snapshots *self, int number)
{
	Control    *control = self->control;
	PGPROC	   *keeper = control->keeper;

	if (!keeper || self->life[number] != pg_atomic_read_u32(&control->life))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the process that holds snapshots has begun anew")));
	XactIsoLevel = XACT_REPEATABLE_READ;
	XactReadOnly = true;
	RestoreTransactionSnapshot(RestoreSnapshot(self->bytes[number]), keeper);
	PushActiveSnapshot(GetTransactionSnapshot());
	FAULT_POINT("snapshot-imported");
}
