/*
 * kad_request.c
 *	  The requests of a node that are not answered yet.
 */
#include "core/net/kad_node_state.h"

#include "core/assert.h"

#define FIRST_ROOM 8

_Static_assert(KAD_PINGS_NEW <= KAD_PINGS && KAD_PINGS + KAD_HANDED < KAD_PENDING,
			   "pings and what is handed on leave requests to lookups");

/* Numbers were given by this node, pings are counted, and a lookup's request names its task. */
static bool
requests_hold(const KadNode *self)
{
	for (int i = 0; i < self->n_pending; i++)
	{
		const KadPending *pending = &self->pending[i];

		if (pending->request == 0 || pending->request >= self->next_request || pending->to->references == 0 ||
			(pending->task != KAD_NO_TASK) != (pending->purpose == KAD_FOR_LOOKUP))
			return false;
	}
	return self->n_pending >= 0 && self->n_pending <= self->pending_room && self->pending_room <= KAD_PENDING &&
		self->n_pings == kad_request_count(self, KAD_FOR_PING) && self->n_pings <= KAD_PINGS;
}

int
kad_request_find(const KadNode *self, const KadId *to, uint64_t request)
{
	for (int i = 0; i < self->n_pending; i++)
		if (self->pending[i].request == request)
			return kad_id_equal(&self->pending[i].to->id, to) ? i : -1;
	return -1;
}

bool
kad_node_awaits(const KadNode *self, const KadId *from, uint64_t request)
{
	return kad_request_find(self, from, request) >= 0;
}

bool
kad_request_send(KadNode *self, CoreClock clock, NodeRecord *to, WireMessage *m, KadPurpose purpose, uint32_t task)
{
	CORE_ASSERT(!kad_id_equal(&to->id, &self->own->id));
	if (self->n_pending == self->pending_room)
	{
		int			room = self->pending_room == 0 ? FIRST_ROOM : 2 * self->pending_room;
		KadPending *wider;

		if (room > KAD_PENDING)
			return false;
		wider = core_grow(self->config.memory, self->pending, (size_t) self->n_pending, (size_t) room, sizeof *wider);
		if (wider == NULL)
			return false;
		self->pending = wider;
		self->pending_room = room;
	}
	m->version = WIRE_VERSION_MAX;
	m->request = self->next_request++;
	self->pending[self->n_pending++] = (KadPending) {
		.request = m->request,
		.to = node_record_keep(to),
		.sent_ms = clock.tick_ms,
		.task = task,
		.purpose = (uint8_t) purpose
	};
	self->n_pings += purpose == KAD_FOR_PING;
	CORE_ASSERT(requests_hold(self));
	self->stats.requests_sent++;
	self->config.host.send(self->config.host.context, to, m);
	return true;
}

bool
kad_request_ping(KadNode *self, CoreClock clock, NodeRecord *to, int most)
{
	WireMessage m = {.type = WIRE_PING};

	for (int i = 0; i < self->n_pending; i++)
		if (self->pending[i].purpose == KAD_FOR_PING && kad_id_equal(&self->pending[i].to->id, &to->id))
			return true;
	if (self->n_pings >= most)
		return false;
	return kad_request_send(self, clock, to, &m, KAD_FOR_PING, KAD_NO_TASK);
}

int
kad_request_count(const KadNode *self, KadPurpose purpose)
{
	int			n = 0;

	for (int i = 0; i < self->n_pending; i++)
		n += self->pending[i].purpose == purpose;
	return n;
}

void
kad_request_forget(KadNode *self, int i)
{
	CORE_ASSERT(i >= 0 && i < self->n_pending);
	self->n_pings -= self->pending[i].purpose == KAD_FOR_PING;
	record_pool_release(self->config.pool, self->pending[i].to);
	self->pending[i] = self->pending[--self->n_pending];
	CORE_ASSERT(requests_hold(self));
}

void
kad_request_failed(KadNode *self, CoreClock clock, int i)
{
	KadPending	pending = self->pending[i];
	NodeRecord *to = node_record_keep(pending.to);
	NodeRecord *gone = NULL;
	KadTask    *task;

	kad_request_forget(self, i);
	if (self->answered_ms > pending.sent_ms)
		gone = kad_table_failed(&self->table, &to->id);
	if (gone != NULL)
		kad_absent_remember(self, clock, gone);
	if (pending.purpose == KAD_FOR_LOOKUP && (task = kad_task_find(self, pending.task)) != NULL)
	{
		kad_lookup_failed(&task->lookup, &to->id);
		kad_task_go_on(self, clock, task);
	}
	record_pool_release(self->config.pool, to);
}
