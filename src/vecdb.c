/*
 * vecdb.c
 *	  Module magic and start-up order of the extension's library.
 *
 * The library is loaded by every backend that touches a vector, and by the
 * postmaster when it stands in shared_preload_libraries.  Nothing here may
 * depend on being preloaded.
 */
#include "pgcompat.h"

#include "access/xact.h"
#include "fmgr.h"
#include "guc.h"
#include "hnsw/hnsw.h"
#include "http/ipc.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type prev_shmem_request_hook;

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(IpcSize(VecdbHttpExecutors));
}

static void
register_http_worker(const char *name, const char *function, int flags, int number)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | flags,
		.bgw_start_time = BgWorkerStart_ConsistentState,
		.bgw_restart_time = 1,
		.bgw_library_name = "vecdb_http",
		.bgw_main_arg = Int32GetDatum(number)
	};

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
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	register_http_worker("vecdb http front", "VecdbHttpFrontMain", 0, 0);
	for (int i = 0; i < VecdbHttpExecutors; i++)
	{
		char		name[BGW_MAXLEN];

		snprintf(name, sizeof(name), "vecdb http executor %d", i);
		register_http_worker(name, "VecdbHttpExecutorMain", BGWORKER_BACKEND_DATABASE_CONNECTION, i);
	}
}

void
_PG_init(void)
{
	VecdbDefineSettings();
	HnswHookPlanner();
	if (process_shared_preload_libraries_in_progress)
		register_http();

	/*
	 * A backend that comes here by calling one of our functions wants the
	 * index's settings.  One that merely preloads us may be in a database where
	 * pgvector defines them.
	 */
	if (!process_shared_preload_libraries_in_progress && IsTransactionState())
		HnswDefineSettings();
}
