/*
 * sync_worker.c
 *	  The process of a node: its life and its one loop, and what a turn of it does
 *	  by the clock.  The parts of that are files of their own, see sync_worker.h.
 *
 * The loop waits for its latch, for the descriptors of the transport and for
 * that of beacons, and looks around every 100 ms besides.  Nothing in it waits:
 * statements have a timeout, names are resolved on a thread.  An error costs the
 * turn in which it happened.
 *
 * How it ends:
 *
 *	  SIGTERM			the node sends BYE to its peers, the process exits
 *	  the extension goes	the node stops, the process waits for it to return
 *	  the database goes	the process exits before the command gives up waiting
 *	  libzmq aborts		the process exits, and the launcher starts another
 */
#include "sync/sync_worker.h"

#include <sys/resource.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "net/crypto_sodium.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "worker/worker.h"

PGDLLEXPORT void VecdbSyncNodeMain(Datum arg);

#define EXTENSION_MS 2000
#define SETTLED_MS 10000		/* a process that lived so long has not failed */
#define SAVE_MS 300000			/* the routing table */
#define SWEEP_MS 3600000		/* a file that could not be removed */
#define OPEN_FILES 4096			/* enough for all links that a node may have */
#define GIVE_BACK_BYTES (256 * 1024)	/* of frames, and of what is freed, after which memory is given back ... */
#define QUIET_BYTES (64 * 1024) /* ... in a second in which no more than these of frames come and go */

/*
 * Frames on their way are malloc's, which keeps the pages that it has taken for them when
 * they have arrived.  After many, when it is quiet again, the system gets those back that
 * hold nothing.
 */
static void
give_memory_back(SyncWorker *self)
{
#ifdef __GLIBC__
	TransportStats stats = transport_stats(self->net->transport);
	uint64_t	moved = stats.bytes_in + stats.bytes_out;
	bool		anew = moved < self->moved;	/* so has the node begun, and what it had is free */
	uint64_t	lately = anew ? moved : moved - self->moved;
	size_t		held = self->net->allocated + SyncRowsMemory(self);

	self->kept += anew ? GIVE_BACK_BYTES : lately;
	if (held < self->held)
		self->kept += self->held - held;
	self->moved = moved;
	self->held = held;
	if (lately > QUIET_BYTES || self->kept < GIVE_BACK_BYTES)
		return;
	(void) malloc_trim(0);
	self->kept = 0;
#endif
}

/*
 * What is done once a second beside the network: database, extension, settings,
 * figures.  False when the process has to end.
 */
static bool
keep_house(SyncWorker *self, CoreClock clock)
{
	self->due.house = clock.tick_ms + SYNC_HOUSE_MS;
	if (!SyncDatabaseIsFree(MyDatabaseId))
	{
		ereport(LOG, (errmsg("node of database \"%s\" makes way: the database is being dropped, renamed or copied",
							 self->slot->name)));
		return false;
	}
	if (!self->settled && clock.tick_ms - self->started_ms >= SETTLED_MS)
	{
		self->settled = true;
		LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
		self->slot->failures = 0;
		LWLockRelease(&self->shared->lock);
	}
	if (clock.tick_ms >= self->due.extension)
	{
		self->due.extension = clock.tick_ms + EXTENSION_MS;
		switch (SyncFindExtension())
		{
			case SYNC_EXTENSION_ABSENT:
				if (self->node)
					SyncRemoveRoots(self);
				SyncStopNode(self);
				SyncWaitFor(self, "the extension vecdb is not in this database", "CREATE EXTENSION vecdb creates it.");
				return true;
			case SYNC_EXTENSION_OLD:
				SyncStopNode(self);
				SyncWaitFor(self, "the extension vecdb in this database is of an older version", "ALTER EXTENSION vecdb UPDATE updates it.");
				return true;
			case SYNC_EXTENSION_UNKNOWN:
				return true;
			case SYNC_EXTENSION_THERE:
				if (!self->node && clock.tick_ms >= self->due.start)
					SyncStartNode(self);
				break;
		}
	}
	if (self->node && !SyncSettingsAreTheSame(self))
	{
		SyncSaveTable(self);
		SyncSetState(self, SYNC_NODE_STARTING, "it begins anew, with other settings");
		SyncStopNode(self);
		self->due.start = self->due.extension = 0;
		self->due.house = 0;
		return true;
	}
	if (self->node)
	{
		SyncPublish(self);
		give_memory_back(self);
	}
	return true;
}

static void
reload(SyncWorker *self)
{
	char		before[MAXPGPATH];
	bool		lan = VecdbLanDiscovery;

	ConfigReloadPending = false;
	strlcpy(before, VecdbAdvertise, sizeof(before));
	ProcessConfigFile(PGC_SIGHUP);
	if (strcmp(before, VecdbAdvertise) != 0)
	{
		self->names.advertise_known = false;
		self->names.n_advertised = 0;
	}
	self->due.house = self->due.extension = self->due.start = 0;
	SyncAskSoon(self, 0);
	if (!self->node)
		return;
	SyncResolveNames(self);
	self->due.address = 0;
	node_adjust(self->node, VecdbMaxClockSkew_s * INT64CONST(1000), VecdbMeshDegree);
	if (lan != VecdbLanDiscovery)
		SyncOpenBeacons(self);
}

/* Has libzmq aborted?  The transport has kept the process from ending with it (net/contain.h). */
static bool
is_broken(SyncWorker *self)
{
	return self->net && transport_broken(self->net->transport);
}

/* What the network brings, and what is due by the clock.  True when more frames wait. */
static bool
run_node(SyncWorker *self, CoreClock clock)
{
	bool		more;
	bool		again = false;

	SyncReadBeacons(self, clock);
	more = net_node_run(self->net, clock);
	SyncRowsRun(self, clock);
	SyncSaveSigned(self);
	SyncWriteLines(self);
	SyncServe(self);
	SyncWriteLines(self);
	if (clock.tick_ms >= self->due.flush)
	{
		int64_t		began_ms = node_clock().tick_ms;
		bool		flushed = SyncFlush(self);
		int64_t		now_ms = node_clock().tick_ms;

		/* where tables stay locked, the pause grows; where sets change all the time, writing them takes a fifth of the time */
		self->due.flush_failures = flushed ? 0 : self->due.flush_failures + 1;
		self->due.flush = now_ms + (flushed ? 4 * (now_ms - began_ms) : WorkerBackoff(self->due.flush_failures));
	}
	SyncTakeNames(self);
	if (clock.tick_ms >= self->due.resolve)
		SyncResolveNames(self);
	if (clock.tick_ms >= self->due.address)
	{
		NetAddress	now[NODE_RECORD_ADDRESSES];
		int			n = VecdbAdvertise[0] && !self->names.advertise_known ? 0 : SyncWantedAddresses(self, now);

		self->due.address = clock.tick_ms + SYNC_ADDRESS_MS;
		if (n > 0)
			node_advertise(self->node, clock, now, n);
	}
	if (clock.tick_ms >= self->due.ask)
		SyncAskBootstrap(self, clock);
	if (clock.tick_ms >= self->due.lan)
		SyncAnnounceOnLan(self, clock);
	LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
	again = self->slot->reload;
	self->slot->reload = false;
	LWLockRelease(&self->shared->lock);
	if (again || clock.tick_ms >= self->due.rebind)
	{
		self->due.rebind = clock.tick_ms + SYNC_REBIND_MS;
		SyncRowsLook(self);
		if (!SyncRebind(self))
			self->due.rebind = clock.tick_ms + SYNC_HOUSE_MS;
	}
	if (clock.tick_ms >= self->due.sweep)
		self->due.sweep = clock.tick_ms + (SyncSweepRoots(self) ? SWEEP_MS : SYNC_RETRY_MS);
	if (clock.tick_ms >= self->due.save)
	{
		self->due.save = clock.tick_ms + SAVE_MS;
		SyncSaveTable(self);
	}
	return more;
}

typedef struct Turn
{
	SyncWorker *worker;
	bool		going;
} Turn;

/* One turn.  It is not going any more when the process has to end. */
static void
turn(void *arg)
{
	Turn	   *this = arg;
	SyncWorker *self = this->worker;
	CoreClock	clock = node_clock();
	bool		more = false;

	WorkerInterrupts();
	if (ConfigReloadPending)
		reload(self);
	if (clock.tick_ms >= self->due.house && !keep_house(self, clock))
	{
		this->going = false;
		return;
	}
	if (self->node)
		more = run_node(self, clock);
	else
		SyncServe(self);
	if (is_broken(self))
	{
		ereport(LOG,
				(errmsg("node of database \"%s\" begins anew: libzmq has aborted", self->slot->name),
				 errdetail("A peer may have brought that about. The server is not affected.")));
		this->going = false;
		return;
	}
	if (!more && !ShutdownRequestPending)
		SyncWaitAWhile(self, node_clock());
	else
		ResetLatch(MyLatch);
}

/* The end of a transaction is not given up. */
void
SyncOnSigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	ShutdownRequestPending = true;
	if (IsTransactionState())
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
save_all(void *arg)
{
	SyncWorker *self = arg;

	SyncSaveTable(self);
	(void) SyncFlush(self);
}

/*
 * Services often begin with a limit of 1024 open files, which they may raise: it
 * is low for the sake of select(), which nobody uses here.
 */
static void
raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= OPEN_FILES)
		return;
	limit.rlim_cur = Min(limit.rlim_max, OPEN_FILES);
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

void
VecdbSyncNodeMain(Datum arg)
{
	static SyncWorker worker;
	SyncWorker *self = &worker;
	Turn		this = {self, true};
	MemoryContext loop_context;
	int			errors = 0;
	Oid			database;

	self->shared = SyncAttach();
	self->slot = &self->shared->node[DatumGetInt32(arg)];
	LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
	self->slot->pid = MyProcPid;
	self->slot->latch = MyLatch;
	self->slot->reload = false;
	database = self->slot->database;
	LWLockRelease(&self->shared->lock);
	before_shmem_exit(SyncLeaveSlot, PointerGetDatum(self));
	WorkerStart(database, SyncOnSigterm);
	SyncSetState(self, SYNC_NODE_STARTING, "");
	raise_open_files();
	snprintf(self->dir, sizeof(self->dir), "vecdb/%u", MyDatabaseId);
	self->requests = SyncRequestsNew();
	SyncRowsInit(self);
	if (!crypto_sodium_init())
		ereport(FATAL, (errmsg("libsodium could not be initialised")));
	loop_context = AllocSetContextCreate(TopMemoryContext, "vecdb node", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(loop_context);
	self->started_ms = node_clock().tick_ms;

	while (this.going && !ShutdownRequestPending)
	{
		if (WorkerTry(turn, NULL, &this))
			errors = 0;
		else
		{
			SyncForgetWaitSet(self);
			errors++;
		}
		MemoryContextReset(loop_context);
		/* one that comes back at once must not fill the log */
		if (errors > 3)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);	/* such a turn did not get that far */
		}
	}

	SyncSetState(self, SYNC_NODE_STOPPING, "");
	if (self->node)
		(void) WorkerTry(save_all, NULL, self);
	if (!is_broken(self))
		SyncStopNode(self);
	proc_exit(0);
}
