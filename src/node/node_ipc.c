/*
 * node_ipc.c
 *	  The shared memory between launcher, node workers and backends.  Linked
 *	  into vecdb.so and into vecdb_sync.so.
 */
#include "node/node_ipc.h"

#include "storage/shmem.h"

#define TRANCHE "VecdbSync"

bool		SyncPreloaded = false;

SyncShared *
SyncAttach(void)
{
	static SyncShared *shared = NULL;
	bool		found;

	if (shared)
		return shared;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("vecdb sync", sizeof(SyncShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(SyncShared));
		LWLockInitialize(&shared->lock, VecdbNewTranche(TRANCHE));
	}
	LWLockRelease(AddinShmemInitLock);
	VecdbNameTranche(shared->lock.tranche, TRANCHE);
	return shared;
}

const char *
SyncStateName(int state)
{
	static const char *const names[] = {"down", "starting", "waiting", "running", "stopping"};

	StaticAssertStmt(lengthof(names) == SYNC_NODE_STOPPING + 1, "a state has a name");
	return state >= 0 && state < (int) lengthof(names) ? names[state] : "unknown";
}
