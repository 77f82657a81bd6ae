/*
 * kad_task.c
 *	  The lookups of a node, and what becomes of each when it ends.
 */
#include "core/net/kad_node_state.h"

#include "core/assert.h"

static void finish(KadNode *self, CoreClock clock, KadTask *task);

KadTask *
kad_task_start(KadNode *self, CoreClock clock, const KadId *target, KadTaskKind kind, uint64_t tag, bool for_providers)
{
	KadTask    *task;

	if (self->n_tasks == KAD_LOOKUPS)
		return NULL;
	task = core_alloc(self->config.memory, sizeof *task);
	if (task == NULL)
		return NULL;
	kad_table_touch(&self->table, target, clock.tick_ms);
	kad_lookup_init(&task->lookup, &self->table, target, for_providers, clock.tick_ms);
	task->kind = kind;
	task->tag = tag;
	task->serial = self->next_serial;
	CORE_ASSERT(kad_task_find(self, task->serial) == NULL);
	self->next_serial = (self->next_serial + 1) % KAD_NO_TASK;
	self->task[self->n_tasks++] = task;
	self->stats.lookups++;
	return task;
}

KadTask *
kad_task_find(KadNode *self, uint32_t serial)
{
	for (int i = 0; i < self->n_tasks; i++)
		if (self->task[i]->serial == serial)
			return self->task[i];
	return NULL;
}

int
kad_task_count(const KadNode *self, KadTaskKind kind)
{
	int			n = 0;

	for (int i = 0; i < self->n_tasks; i++)
		n += self->task[i]->kind == kind;
	return n;
}

void
kad_task_go_on(KadNode *self, CoreClock clock, KadTask *task)
{
	int64_t		slow = kad_lookup_slow(&task->lookup, clock.tick_ms);
	NodeRecord *to;

	while ((to = kad_lookup_next(&task->lookup, clock.tick_ms)) != NULL)
	{
		WireMessage m = {.type = task->lookup.for_providers ? WIRE_FIND_PROVIDERS : WIRE_FIND_NODE,
		.find = {.target = task->lookup.target}};

		m.find.n_avoid = kad_lookup_avoid(&task->lookup, m.find.avoid, WIRE_AVOID);
		if (!kad_request_send(self, clock, to, &m, KAD_FOR_LOOKUP, task->serial))
			kad_lookup_failed(&task->lookup, &to->id);
		else if (clock.tick_ms + KAD_SLOW_MS < slow)
			slow = clock.tick_ms + KAD_SLOW_MS;
	}
	if (slow < self->slow_ms)
		self->slow_ms = slow;
	if (kad_lookup_done(&task->lookup))
		finish(self, clock, task);
}

static void
finish(KadNode *self, CoreClock clock, KadTask *task)
{
	KadLookup  *lookup = &task->lookup;
	NodeRecord *near[KAD_K];
	int			n;

	CORE_ASSERT(kad_task_find(self, task->serial) == task);
	for (int i = 0; i < self->n_tasks; i++)
		if (self->task[i] == task)
		{
			self->task[i] = self->task[--self->n_tasks];
			break;
		}
	switch (task->kind)
	{
		case KAD_TASK_USER:
			if (lookup->for_providers)
			{
				Provider   *known[WIRE_PROVIDERS];

				n = provider_store_list(&self->store, &lookup->target, clock.unix_ms, known, WIRE_PROVIDERS);
				for (int i = 0; i < n; i++)
					kad_lookup_provider(lookup, known[i]);
			}
			self->config.host.done(self->config.host.context, task->tag, lookup);
			break;
		case KAD_TASK_SELF:
			if (!self->joined && self->table.n > 0)
			{
				self->joined = true;
				self->self_ms = clock.tick_ms + self->refresh_ms;
				self->config.host.event(self->config.host.context, KAD_EVENT_JOINED, self->own);
			}
			/* without the network there is nothing to refresh, and what is due would stay so */
			if (self->joined)
				self->bucket_ms = clock.tick_ms;
			break;
		case KAD_TASK_REFRESH:
			self->bucket_ms = clock.tick_ms;
			break;
		case KAD_TASK_PUBLISH:
		case KAD_TASK_WITHDRAW:
			n = kad_lookup_result(lookup, near, KAD_K, NULL);
			kad_announce(self, clock, &lookup->target, near, n, task->kind == KAD_TASK_WITHDRAW);
			break;
	}
	kad_lookup_reset(lookup);
	core_free(self->config.memory, task);
}

bool
kad_node_lookup(KadNode *self, CoreClock clock, const KadId *target, bool for_providers, uint64_t tag)
{
	KadTask    *task = kad_task_start(self, clock, target, KAD_TASK_USER, tag, for_providers);

	if (task == NULL)
		return false;
	kad_task_go_on(self, clock, task);
	return true;
}
