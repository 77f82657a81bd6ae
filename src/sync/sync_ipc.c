/*
 * sync_ipc.c
 *	  The shared memory between launcher, node workers and backends.  Linked
 *	  into vecdb.so and into vecdb_sync.so.
 */
#include "sync/sync_ipc.h"

#include "storage/shmem.h"

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
		LWLockInitialize(&shared->lock, LWLockNewTrancheId());
	}
	LWLockRelease(AddinShmemInitLock);
	LWLockRegisterTranche(shared->lock.tranche, "VecdbSync");
	return shared;
}

const char *
SyncStateName(int state)
{
	static const char *const names[] = {"down", "starting", "waiting", "running", "stopping"};

	return state >= 0 && state < (int) lengthof(names) ? names[state] : "unknown";
}

bool
SyncPut(SyncCall *call, const char *text)
{
	uint32		need = text ? (uint32) strlen(text) + 2 : 1;

	if (need > call->room - call->len)
		return false;
	call->data[call->len] = text != NULL;
	if (text)
		memcpy(call->data + call->len + 1, text, need - 1);
	call->len += need;
	return true;
}

bool
SyncTake(const SyncCall *call, uint32 *at, const char **text)
{
	const char *end;

	if (*at >= call->len)
		return false;
	if (call->data[*at] == 0)
	{
		*text = NULL;
		(*at)++;
		return true;
	}
	*text = call->data + *at + 1;
	end = memchr(*text, '\0', call->len - *at - 1);
	if (!end)
		return false;
	*at = (uint32) (end + 1 - call->data);
	return true;
}
