/*
 * vecdb.c
 *	  Module magic and start-up order of the extension's library.
 *
 * The library is loaded by every backend that touches a vector, and by the
 * postmaster when it stands in shared_preload_libraries.  Nothing here may
 * depend on being preloaded.
 */
#include "pgcompat.h"

#include "as_owner.h"
#include "fmgr.h"
#include "guc.h"
#include "index/bound.h"
#include "index/plan.h"
#include "index/settings.h"
#include "http/ipc.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "node/node_ipc.h"
#include "rows/capture.h"
#include "rows/rows_shared.h"
#include "rows/token_wait.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type prev_shmem_request_hook;

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	if (VecdbHttpExecutors > 0)
		RequestAddinShmemSpace(IpcSize(VecdbHttpExecutors));
	RequestAddinShmemSpace(MAXALIGN(sizeof(SyncShared)));
	RequestAddinShmemSpace(RowsSharedSize());
	RequestAddinShmemSpace(TokenWaitSize());
}

static void
register_worker(const char *library, const char *name, const char *function, BgWorkerStartTime when,
				int flags, int number)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | flags,
		.bgw_start_time = when,
		.bgw_restart_time = 1,
		.bgw_main_arg = Int32GetDatum(number)
	};

	strlcpy(worker.bgw_library_name, library, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_name, name, BGW_MAXLEN);
	strlcpy(worker.bgw_type, name, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* One front and the executors; their code is in a library of its own. */
static void
register_http(void)
{
	if (VecdbHttpExecutors == 0)
		return;
	register_worker("vecdb_http", "vecdb http front", "VecdbHttpFrontMain", BgWorkerStart_ConsistentState, 0, 0);
	for (int i = 0; i < VecdbHttpExecutors; i++)
	{
		char		name[BGW_MAXLEN];

		snprintf(name, sizeof(name), "vecdb http executor %d", i);
		register_worker("vecdb_http", name, "VecdbHttpExecutorMain", BgWorkerStart_ConsistentState,
						BGWORKER_BACKEND_DATABASE_CONNECTION, i);
	}
}

/*
 * It starts a worker for each database that is a node; with none it sleeps.  A
 * node writes, so a standby has none until it is promoted.
 */
static void
register_launcher(void)
{
	register_worker("vecdb_sync", "vecdb node launcher", "VecdbSyncLauncherMain", BgWorkerStart_RecoveryFinished,
					BGWORKER_BACKEND_DATABASE_CONNECTION, 0);
}

void
_PG_init(void)
{
	VecdbDefineSettings();
	IndexHookPlanner();
	IndexHookExecutor();
	IndexHookSettings();
	AsOwnerInit();
	/* callbacks run in reverse order: what capture does before an end may take a ticket */
	RowsSharedInit();
	CaptureInit();
	CaptureGuardInit();
	if (process_shared_preload_libraries_in_progress)
	{
		prev_shmem_request_hook = shmem_request_hook;
		shmem_request_hook = request_shmem;
		/* pg_upgrade starts servers that are to be left alone */
		if (!IsBinaryUpgrade)
		{
			register_http();
			register_launcher();
		}
		SyncPreloaded = true;
	}
}
