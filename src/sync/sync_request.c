/*
 * sync_request.c
 *	  What backends ask of a node: taking their requests, handing them to who answers
 *	  (sync_list.c, sync_member.c), ending them.
 *
 * Some are answered at once, some when the network has answered: the node calls
 * back with the request's tag, and the next turn of the loop does the rest.
 */
#include "sync/sync_pending.h"

#include <sodium.h>

#include "storage/latch.h"
#include "utils/errcodes.h"
#include "utils/memutils.h"
#include "worker/worker.h"

struct SyncRequests *
SyncRequestsNew(void)
{
	return MemoryContextAllocZero(TopMemoryContext, sizeof(SyncRequests));
}

Pending *
PendingByTag(SyncWorker *self, uint64_t tag)
{
	Pending    *p = &self->requests->pending[tag % SYNC_REQUESTS];

	return p->active && p->tag == tag && !p->finished ? p : NULL;
}

static void
begin(SyncWorker *self, Pending *p)
{
	const char *argument[4] = {"", "", "", ""};
	uint32_t	at = 0;
	Oid			table;

	for (int i = 0; i < (int) lengthof(argument) && SyncTake(p->call, &at, &argument[i]); i++)
		if (!argument[i])
			argument[i] = "";
	table = (Oid) strtoul(argument[0], NULL, 10);
	p->call->sqlstate = 0;
	p->call->cut = false;
	if (!self->node)
	{
		char		detail[SYNC_REASON + 32];

		LWLockAcquire(&self->shared->lock, LW_SHARED);
		snprintf(detail, sizeof(detail), "What is missing: %s.", self->slot->reason);
		LWLockRelease(&self->shared->lock);
		PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the node is not running yet", detail,
					 "See vecdb.stat_workers, and the server's log.");
		return;
	}
	switch ((SyncOp) p->op)
	{
		case SYNC_PEERS:
			p->call->len = 0;
			PendingListPeers(self, p);
			break;
		case SYNC_TABLE:
			p->call->len = 0;
			PendingListTable(self, p);
			break;
		case SYNC_LOOKUP:
		case SYNC_PROVIDERS:
			{
				char	   *id = pstrdup(argument[0]);
				KadId		of_table;

				/* a collection by its table */
				if (p->op == SYNC_PROVIDERS && strlen(id) != 2 * KAD_ID_BYTES)
				{
					if (!node_collection_id(self->node, table, &of_table))
					{
						PendingStatus(p, NODE_NOT_SHARED, NULL);
						break;
					}
					id = palloc(2 * KAD_ID_BYTES + 1);
					kad_id_text(&of_table, id);
				}
				PendingLookUp(self, p, id, p->op == SYNC_PROVIDERS);
				break;
			}
		case SYNC_INVITE:
			PendingInvite(self, p, table, pstrdup(argument[1]), pstrdup(argument[2]), strtoll(argument[3], NULL, 10));
			break;
		case SYNC_JOIN:
			{
				char	   *text = pstrdup(argument[0]);

				p->table = (Oid) strtoul(argument[1], NULL, 10);
				snprintf(p->kind, sizeof(p->kind), "table %s", argument[2]);
				strlcpy(p->other_kind, argument[3], sizeof(p->other_kind));
				p->call->len = 0;
				PendingJoin(self, p, text);
				sodium_memzero(text, strlen(text));
				break;
			}
		case SYNC_SHARE:
			PendingShare(self, p, table, pstrdup(argument[1]));
			break;
		case SYNC_JOIN_ROWS:
			PendingJoinRows(self, p, pstrdup(argument[0]), (Oid) strtoul(argument[1], NULL, 10));
			break;
		case SYNC_LEAVE:
			PendingLeave(self, p, table);
			break;
		case SYNC_PAUSE:
			PendingPause(self, p, table, argument[1][0] == '1');
			break;
		case SYNC_VERIFY:
			PendingVerify(self, p, table, (uint32) strtoul(argument[1], NULL, 10), argument[2][0] == '1');
			break;
		case SYNC_EVICT:
			PendingEvict(self, p, table, argument[1]);
			break;
		case SYNC_ALTER:
			PendingAlter(self, p, table, argument[1], argument[2], argument[3]);
			break;
		case SYNC_RETRY:
			PendingRetry(self, p, table, argument[1]);
			break;
		case SYNC_DISCARD:
			PendingDiscard(self, p, table, argument[1]);
			break;
		case SYNC_MEMBERS:
			p->call->len = 0;
			PendingListMembers(self, p, table);
			break;
		case SYNC_COLLECTIONS:
			p->call->len = 0;
			PendingListCollections(self, p);
			break;
		case SYNC_REPLICATION:
			p->call->len = 0;
			PendingListReplication(self, p);
			break;
		default:
			PendingError(p, ERRCODE_INTERNAL_ERROR, "the node does not know this request", NULL, NULL);
	}
}

static void
end_place(SyncWorker *self, int i, int state)
{
	SyncPlace  *place = &self->slot->place[i];

	Assert(i >= 0 && i < SYNC_REQUESTS);
	LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
	if (place->state == SYNC_PLACE_ABANDONED)
		place->state = SYNC_PLACE_FREE;
	else if (place->state == SYNC_PLACE_TAKEN || place->state == SYNC_PLACE_POSTED)
	{
		place->state = state;
		SetLatch(place->latch);
	}
	LWLockRelease(&self->shared->lock);
}

static void
end(SyncWorker *self, Pending *p, int state)
{
	int			i = (int) (p - self->requests->pending);

	if (p->segment)
		dsm_detach(p->segment);
	p->segment = NULL;
	p->call = NULL;
	p->active = false;
	end_place(self, i, state);
}

static void
begin_again(void *arg)
{
	Pending    *p = arg;

	p->again = false;
	begin(p->worker, p);
}

/* A request of a place that has been posted. */
static void
take(void *arg)
{
	Pending    *p = arg;

	p->segment = WorkerAttach(p->handle);
	if (!p->segment)
		return;
	p->call = dsm_segment_address(p->segment);
	p->op = (int) p->call->op;
	p->active = true;
	begin(p->worker, p);
}

void
SyncServe(SyncWorker *self)
{
	bool		taken[SYNC_REQUESTS] = {false};
	bool		abandoned[SYNC_REQUESTS] = {false};
	SyncPlace	place[SYNC_REQUESTS];
	SyncNode   *slot = self->slot;
	int64_t		tick_ms = node_clock().tick_ms;

	LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		abandoned[i] = slot->place[i].state == SYNC_PLACE_ABANDONED;
		if (slot->place[i].state == SYNC_PLACE_POSTED)
		{
			slot->place[i].state = SYNC_PLACE_TAKEN;
			place[i] = slot->place[i];
			taken[i] = true;
		}
	}
	LWLockRelease(&self->shared->lock);

	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Pending    *p = &self->requests->pending[i];

		if (taken[i])
		{
			memset(p, 0, sizeof(*p));
			p->worker = self;
			p->handle = place[i].segment;
			p->role = place[i].role;
			p->superuser = place[i].superuser;
			p->until_ms = tick_ms + SYNC_ANSWER_MS;
			p->tag = ++self->requests->serial * SYNC_REQUESTS + (uint64_t) i;
			if (!WorkerTry(take, NULL, p) && p->segment)
				PendingError(p, ERRCODE_INTERNAL_ERROR, "the node could not answer", "The server's log says why.", NULL);
			if (!p->segment)
				end(self, p, SYNC_PLACE_LOST);
		}
	}
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Pending    *p = &self->requests->pending[i];

		if (p->active && p->again && !taken[i] && !WorkerTry(begin_again, NULL, p))
			PendingError(p, ERRCODE_INTERNAL_ERROR, "the node could not answer", "The server's log says why.", NULL);
	}
	for (int i = 0; i < SYNC_REQUESTS && self->node; i++)
		if (self->requests->admitted[i].used)
			PendingFinishJoin(self, &self->requests->admitted[i]);
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Pending    *p = &self->requests->pending[i];

		if (p->active && p->returning && self->node && (p->finished || tick_ms >= p->until_ms))
			PendingForgetLeft(self, p);
		if (p->active && p->finished)
			end(self, p, SYNC_PLACE_DONE);
		/* what it asked of the network goes on, and counts as its role's until it ends */
		else if (abandoned[i] && (!p->active || tick_ms >= p->until_ms))
			end(self, p, SYNC_PLACE_FREE);
	}
}

void
SyncFailAll(SyncWorker *self)
{
	/* who is told of these is told otherwise, and the node that held them is gone */
	memset(self->requests->admitted, 0, sizeof(self->requests->admitted));
	for (int i = 0; i < SYNC_REQUESTS; i++)
		if (self->requests->pending[i].active)
		{
			PendingError(&self->requests->pending[i], ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the node has stopped", NULL,
						 "See vecdb.stat_workers, and the server's log.");
			end(self, &self->requests->pending[i], SYNC_PLACE_DONE);
		}
}

void
SyncLeavePlaces(SyncWorker *self)
{
	for (int i = 0; i < SYNC_REQUESTS; i++)
		end_place(self, i, SYNC_PLACE_LOST);
}
