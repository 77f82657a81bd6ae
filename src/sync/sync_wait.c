/*
 * sync_wait.c
 *	  What the loop waits for: its latch, the postmaster's end, the descriptors of
 *	  the transport and of beacons; 100 ms at most, or until the node's next deadline.
 *
 * The set is made anew when the node comes or goes.  It must be gone before a
 * descriptor in it is closed.
 */
#include "sync/sync_worker.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"

void
SyncForgetWaitSet(SyncWorker *self)
{
	if (self->wait.set)
		FreeWaitEventSet(self->wait.set);
	self->wait.set = NULL;
}

void
SyncWaitAWhile(SyncWorker *self, CoreClock clock)
{
	WaitEvent	event;
	long		timeout = self->node ? SYNC_TICK_MS : SYNC_HOUSE_MS;

	if (self->wait.set && self->wait.has_node != (self->node != NULL))
		SyncForgetWaitSet(self);
	if (!self->wait.set)
	{
		self->wait.set = CreateSessionWaitEventSet(TRANSPORT_DESCRIPTORS + BEACON_SOCKET_DESCRIPTORS + 2);
		AddWaitEventToSet(self->wait.set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(self->wait.set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		self->wait.has_node = self->node != NULL;
		if (self->wait.has_node)
		{
			int			fds[TRANSPORT_DESCRIPTORS + BEACON_SOCKET_DESCRIPTORS];
			int			n = transport_descriptors(self->net->transport, fds, TRANSPORT_DESCRIPTORS);

			if (self->beacons.socket)
				n += beacon_socket_descriptors(self->beacons.socket, fds + n, BEACON_SOCKET_DESCRIPTORS);
			for (int i = 0; i < n; i++)
				AddWaitEventToSet(self->wait.set, WL_SOCKET_READABLE, fds[i], NULL, NULL);
		}
	}
	if (self->node)
	{
		int64_t		next = node_next_tick(self->node) - clock.tick_ms;

		timeout = (long) Max(Min(next, SYNC_TICK_MS), 1);
	}
	if (WaitEventSetWait(self->wait.set, timeout, &event, 1, PG_WAIT_EXTENSION) > 0 && (event.events & WL_LATCH_SET))
		ResetLatch(MyLatch);
}
