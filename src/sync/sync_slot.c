/*
 * sync_slot.c
 *	  A node's slot in shared memory (node_ipc.h): what views and the launcher see
 *	  of the worker.  The lock of shared memory is held for a copy, never for work.
 */
#include "sync/sync_worker.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

TimestampTz
SyncUnixTime(int64_t unix_ms)
{
	return (unix_ms - (int64_t) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000) * 1000;
}

TimestampTz
SyncTickTime(int64_t tick_ms)
{
	CoreClock	now = node_clock();

	return SyncUnixTime(now.unix_ms - (now.tick_ms - tick_ms));
}

void
SyncSetState(SyncWorker *self, SyncNodeState state, const char *reason)
{
	LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
	self->slot->state = state;
	strlcpy(self->slot->reason, reason, SYNC_REASON);
	LWLockRelease(&self->shared->lock);
}

/* Are two reasons the same, but for the numbers in them?  A count that changes is not logged. */
static bool
same_but_numbers(const char *a, const char *b)
{
	for (;; a++, b++)
	{
		a += strspn(a, "0123456789");
		b += strspn(b, "0123456789");
		if (*a != *b)
			return false;
		if (*a == '\0')
			return true;
	}
}

void
SyncWaitFor(SyncWorker *self, const char *reason, const char *hint)
{
	bool		same;

	LWLockAcquire(&self->shared->lock, LW_SHARED);
	same = self->slot->state == SYNC_NODE_WAITING && same_but_numbers(self->slot->reason, reason);
	LWLockRelease(&self->shared->lock);
	SyncSetState(self, SYNC_NODE_WAITING, reason);
	if (!same)
		ereport(LOG,
				(errmsg("node of database \"%s\" waits: %s", self->slot->name, reason),
				 hint ? errhint("%s", hint) : 0));
}

void
SyncLeaveSlot(int code, Datum arg)
{
	SyncWorker *self = (SyncWorker *) DatumGetPointer(arg);
	SyncNode   *slot = self->slot;

	SyncLeavePlaces(self);
	LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		slot->pid = 0;
		slot->latch = NULL;
		slot->state = SYNC_NODE_DOWN;
		slot->peers = slot->known = 0;
	}
	if (self->shared->launcher_latch)
		SetLatch(self->shared->launcher_latch);
	LWLockRelease(&self->shared->lock);
}

void
SyncListAddresses(const NetAddress *addresses, int n, char *out, size_t room)
{
	char		one[ADDRESS_TEXT];
	size_t		len = 0;

	for (int i = 0; i < n && len < room; i++)
		len += (size_t) snprintf(out + len, room - len, "%c\"%s\"", i == 0 ? '{' : ',', address_text(&addresses[i], one));
	if (len < room)
		snprintf(out + len, room - len, n == 0 ? "" : "}");
	else
		out[0] = '\0';
}

void
SyncPublish(SyncWorker *self)
{
	SyncNode   *slot = self->slot;
	NodeFigures figures = node_figures(self->node);
	TransportStats transport = transport_stats(self->net->transport);
	const NodeRecord *own = node_record(self->node);
	const KadTable *table = node_table(self->node);
	NetAddress	clone;
	bool		cloned = node_cloned(self->node, &clone);
	const char *lack = SyncRowsLack(self);

	LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
	slot->has_id = true;
	memcpy(slot->id, own->id.b, sizeof(slot->id));
	SyncListAddresses(own->addresses, own->n_addresses, slot->advertised, sizeof(slot->advertised));
	if (cloned)
		address_text(&clone, slot->clone);
	else
		slot->clone[0] = '\0';
	strlcpy(slot->reason, lack, SYNC_REASON);
	slot->peers = figures.greeted;
	slot->known = table->n;
	slot->sent = (int64) transport.frames_out;
	slot->received = (int64) transport.frames_in;
	slot->refused = (int64) (figures.refused + transport.refused_mechanism + transport.refused_crypto +
							 transport.refused_own_key + transport.refused_protocol + transport.refused_room);
	slot->lookups = (int64) figures.kad.lookups;
	slot->memory_bytes = (int64) (self->net->allocated + sizeof(*self->net) + SyncRowsMemory(self));
	LWLockRelease(&self->shared->lock);
}

int
SyncPort(SyncWorker *self)
{
	int			port;

	LWLockAcquire(&self->shared->lock, LW_SHARED);
	port = self->slot->port;
	LWLockRelease(&self->shared->lock);
	return port;
}
