/*
 * ipc.c
 *	  The shared memory between the HTTP front and the executors; and the mark
 *	  that lets PostgreSQL load the library of both.
 */
#include "http/ipc.h"

#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "storage/shmem.h"

#define TRANCHE "VecdbHttp"

PG_MODULE_MAGIC;

IpcShared *
IpcAttach(void)
{
	IpcShared  *shared;
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("vecdb http", IpcSize(VecdbHttpExecutors), &found);
	if (!found)
	{
		memset(shared, 0, IpcSlotsSize(VecdbHttpExecutors));
		LWLockInitialize(&shared->lock, VecdbNewTranche(TRANCHE));
		pg_atomic_init_u32(&shared->stopping, 0);
		shared->nslots = VecdbHttpExecutors;
		for (int i = 0; i < shared->nslots; i++)
			pg_atomic_init_u64(&shared->slots[i].cancel_id, 0);
	}
	LWLockRelease(AddinShmemInitLock);
	VecdbNameTranche(shared->lock.tranche, TRANCHE);
	return shared;
}

void *
IpcRing(IpcShared *shared, int slot, int direction)
{
	return (char *) shared + IpcSlotsSize(shared->nslots) + (Size) (2 * slot + direction) * IPC_RING;
}
