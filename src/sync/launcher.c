/*
 * launcher.c
 *	  The node launcher: one process of the server that keeps a worker running
 *	  for each database that vecdb.node_databases names; and the mark that lets
 *	  PostgreSQL load the library of both.
 *
 * It is connected to no database, so it holds up no DROP DATABASE.  All it
 * knows is in shared memory (node_ipc.h): a launcher that begins anew goes on
 * with the workers that its predecessor started.
 */
#include "pgcompat.h"

#include <sys/stat.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "core/list.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "monotonic.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "node/node_ipc.h"
#include "sync/sync_worker.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void VecdbSyncLauncherMain(Datum arg);

/* A database that is not there, or a worker that is not, is looked for so often. */
#define POLL_MS 1000
/* A worker that has not shown up so long after it was asked for will not. */
#define START_LIMIT_MS 20000

static SyncShared *shared;
static MemoryContext loop_context;

/* One entry of vecdb.node_databases. */
typedef struct Entry
{
	char		name[NAMEDATALEN];
	int			port;
} Entry;

/*
 * The next entry of a list, *at being where it begins.  False at the end.  What
 * is no entry is told to the log and passed over.
 */
static bool
next_entry(const char **at, Entry *entry)
{
	const char *start;
	size_t		len;

	while (list_next(at, &start, &len))
	{
		const char *colon;
		size_t		name_len;

		entry->port = VecdbP2pPort;
		name_len = len;
		colon = memrchr(start, ':', len);
		if (colon && colon + 1 + strspn(colon + 1, "0123456789") == start + len && colon + 1 < start + len)
		{
			long		port = strtol(colon + 1, NULL, 10);

			if (port < 1 || port > 65535)
			{
				ereport(LOG, (errmsg("port of \"%.*s\" in vecdb.node_databases is not between 1 and 65535", (int) len, start)));
				continue;
			}
			entry->port = (int) port;
			name_len = (size_t) (colon - start);
		}
		if (name_len == 0 || name_len >= NAMEDATALEN)
		{
			ereport(LOG, (errmsg("\"%.*s\" in vecdb.node_databases is no name of a database", (int) len, start)));
			continue;
		}
		memcpy(entry->name, start, name_len);
		entry->name[name_len] = '\0';
		return true;
	}
	return false;
}

/* A slot of that name, or a free one; NULL when all are taken.  Lock held. */
static SyncNode *
slot_for(const char *name)
{
	SyncNode   *free_slot = NULL;

	Assert(LWLockHeldByMeInMode(&shared->lock, LW_EXCLUSIVE));
	for (int i = 0; i < SYNC_NODES; i++)
	{
		SyncNode   *node = &shared->node[i];

		if (node->used && strcmp(node->name, name) == 0)
			return node;
		if (!node->used && !free_slot)
			free_slot = node;
	}
	return free_slot;
}

/* Follow the setting: which databases are wanted, on which port. */
static void
read_setting(void)
{
	const char *at = VecdbNodeDatabases;
	bool		shares_file = VecdbKeyFile[0] != '\0' && strstr(VecdbKeyFile, "%d") == NULL;
	bool		first = true;
	Entry		entry;
	bool		too_many = false;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SYNC_NODES; i++)
		shared->node[i].wanted = false;
	LWLockRelease(&shared->lock);
	while (next_entry(&at, &entry))
	{
		SyncNode   *node;

		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		node = slot_for(entry.name);
		if (node)
		{
			if (!node->used)
			{
				/* a backend may still have to give back its place */
				memset(node, 0, offsetof(SyncNode, place));
				node->used = true;
				strlcpy(node->name, entry.name, NAMEDATALEN);
			}
			if (node->port != entry.port)
				node->failures = 0;
			node->port = entry.port;
			node->own_key_file = first || !shares_file;
			node->wanted = true;
			first = false;
		}
		else
			too_many = true;
		LWLockRelease(&shared->lock);
	}
	if (too_many)
		ereport(LOG, (errmsg("vecdb.node_databases names more than %d databases; the last are left out", SYNC_NODES)));
}

static void
set_reason(SyncNode *node, const char *reason)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	strlcpy(node->reason, reason, SYNC_REASON);
	LWLockRelease(&shared->lock);
}

/*
 * The database that a worker of this slot was in has been dropped, whether or not
 * there is another of its name: keys and the like go as its tables went.
 */
static void
remove_files(SyncNode *node)
{
	char		path[MAXPGPATH];
	struct stat st;

	snprintf(path, sizeof(path), "vecdb/%u", node->database);
	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && rmtree(path, true))
		ereport(LOG, (errmsg("removed directory \"%s\": its database was dropped", path)));
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	node->database = InvalidOid;
	LWLockRelease(&shared->lock);
}

/* What is looked for in pg_database, and what is seen there. */
typedef struct Search
{
	SyncNode   *node;
	Oid			oid;			/* of the database of that name */
	bool		allowed;		/* it allows connections */
	bool		busy;			/* somebody is about to drop, rename or copy it */
	bool		dropped;		/* the one that the last worker was in is gone */
} Search;

static void
search_database(void *arg)
{
	Search	   *search = arg;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	/*
	 * A scan of the heap, as the launcher of autovacuum does it: without a
	 * database there may be no index to use, on a server that is new.
	 */
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (strcmp(NameStr(form->datname), search->node->name) == 0)
		{
			search->oid = form->oid;
			search->allowed = form->datallowconn;
		}
		/* it may have another name now */
		if (form->oid == search->node->database)
			search->dropped = false;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	search->busy = OidIsValid(search->oid) && !SyncDatabaseIsFree(search->oid);
}

/* Under the lock.  It counts as a failure until the worker has run for a while. */
static void
note_attempt(SyncNode *node)
{
	node->started_ms = MonotonicMs();
	node->failures++;
}

/*
 * The database of a slot, if it is there and nobody is about to drop, rename or
 * copy it: then a worker would only be in the way.  A look that fails counts as a
 * start that failed.
 */
static Oid
find_database(SyncNode *node)
{
	Search		search = {.node = node, .dropped = OidIsValid(node->database)};

	if (!WorkerTransaction(SYNC_STATEMENT_MS, search_database, &search))
	{
		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		note_attempt(node);
		LWLockRelease(&shared->lock);
		set_reason(node, "the database could not be looked for: the server's log says why");
		return InvalidOid;
	}
	if (search.dropped)
		remove_files(node);
	if (!OidIsValid(search.oid))
		set_reason(node, "the database does not exist");
	else if (!search.allowed)
		set_reason(node, "the database does not allow connections");
	else if (search.busy)
		set_reason(node, "the database is being dropped, renamed or copied");
	else
		return search.oid;
	return InvalidOid;
}

static void
start_worker(SyncNode *node, Oid database, int number)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_main_arg = Int32GetDatum(number)
	};
	bool		registered;

	strlcpy(worker.bgw_library_name, "vecdb_sync", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "VecdbSyncNodeMain", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "vecdb node %s", node->name);
	strlcpy(worker.bgw_type, "vecdb node", BGW_MAXLEN);
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	node->database = database;
	node->state = SYNC_NODE_STARTING;
	note_attempt(node);
	node->starts++;
	node->reason[0] = '\0';
	LWLockRelease(&shared->lock);
	registered = RegisterDynamicBackgroundWorker(&worker, NULL);
	if (!registered)
	{
		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		node->state = SYNC_NODE_DOWN;
		strlcpy(node->reason, "there is no room for one more background worker: raise max_worker_processes", SYNC_REASON);
		LWLockRelease(&shared->lock);
		if (node->failures == 1)
			ereport(LOG,
					(errmsg("could not start the node worker of database \"%s\"", node->name),
					 errhint("Raise max_worker_processes, which is %d.", max_worker_processes)));
	}
}

/* Start, stop or leave alone.  True when it has to be looked at again soon. */
static bool
tend(int number)
{
	SyncNode   *node = &shared->node[number];
	int64		now = MonotonicMs();
	bool		start = false;
	bool		soon = false;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (!node->used)
	{
		LWLockRelease(&shared->lock);
		return false;
	}
	if (node->pid == 0 && node->state == SYNC_NODE_STARTING &&
		now - node->started_ms >= START_LIMIT_MS)
		node->state = SYNC_NODE_DOWN;
	if (!node->wanted)
	{
		if (node->pid != 0)
			kill(node->pid, SIGTERM);
		else if (node->state != SYNC_NODE_STARTING)
			node->used = false;
		soon = node->used;
	}
	else if (node->state == SYNC_NODE_DOWN)
	{
		soon = true;
		if (!node->own_key_file)
			strlcpy(node->reason, "vecdb.key_file names one file for all databases: put %d into it", SYNC_REASON);
		else
			start = now - node->started_ms >= WorkerBackoff(Max(node->failures, 1));
	}
	else
		soon = node->state == SYNC_NODE_STARTING;
	LWLockRelease(&shared->lock);
	if (start)
	{
		Oid			database = find_database(node);

		if (OidIsValid(database))
			start_worker(node, database, number);
	}
	return soon;
}

static void
launcher_exit(int code, Datum arg)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->launcher_pid = 0;
	shared->launcher_latch = NULL;
	LWLockRelease(&shared->lock);
}

bool
SyncDatabaseIsFree(Oid database)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	LockRelease(&tag, RowExclusiveLock, true);
	return true;
}

void
VecdbSyncLauncherMain(Datum arg)
{
	WorkerStart(InvalidOid, SignalHandlerForShutdownRequest);
	shared = SyncAttach();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->launcher_pid = MyProcPid;
	shared->launcher_latch = MyLatch;
	shared->launcher_started = GetCurrentTimestamp();
	LWLockRelease(&shared->lock);
	before_shmem_exit(launcher_exit, (Datum) 0);
	loop_context = AllocSetContextCreate(TopMemoryContext, "vecdb node launcher", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(loop_context);
	read_setting();
	while (!ShutdownRequestPending)
	{
		bool		soon = false;

		for (int i = 0; i < SYNC_NODES; i++)
			soon |= tend(i);
		MemoryContextReset(loop_context);
		MemoryContextSwitchTo(loop_context);
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (soon ? WL_TIMEOUT : 0), POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		WorkerInterrupts();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			read_setting();
		}
	}
	/* With 0 the postmaster would not start us again; at shutdown it does not anyway. */
	proc_exit(1);
}
