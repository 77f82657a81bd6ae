/*
 * kad_upkeep.c
 *	  How a node keeps its table fresh: refreshes, pings of the silent, and the nodes
 *	  that were in the table and stopped answering.
 */
#include "core/net/kad_node_state.h"

#include "core/assert.h"

#define SWEEP_PINGS 4

/* Each is there once, is not in the table, and waits for what is between the first and the longest time. */
static bool
absent_hold(const KadNode *self)
{
	for (int i = 0; i < self->n_absent; i++)
	{
		const KadAbsent *absent = &self->absent[i];

		if (kad_table_find(&self->table, &absent->record->id) != NULL ||
			absent->wait_ms < KAD_ABSENT_FIRST_MS || absent->wait_ms > KAD_ABSENT_LAST_MS)
			return false;
		for (int k = 0; k < i; k++)
			if (kad_id_equal(&self->absent[k].record->id, &absent->record->id))
				return false;
	}
	return self->n_absent >= 0 && self->n_absent <= KAD_ABSENT;
}

void
kad_refresh(KadNode *self, CoreClock clock)
{
	KadTask    *task;
	int			bucket;

	if (clock.tick_ms >= self->self_ms)
	{
		task = kad_task_start(self, clock, &self->own->id, KAD_TASK_SELF, 0, false);
		self->self_ms = clock.tick_ms + (task != NULL && self->joined ? self->refresh_ms : KAD_SWEEP_MS);
		if (task != NULL)
			kad_task_go_on(self, clock, task);
	}
	while (self->joined && clock.tick_ms >= self->bucket_ms)
	{
		KadId		target;

		if (kad_task_count(self, KAD_TASK_REFRESH) >= KAD_REFRESH_LOOKUPS)
		{
			self->bucket_ms = INT64_MAX;	/* until one ends */
			break;
		}
		bucket = kad_table_stale(&self->table, clock.tick_ms - self->refresh_ms);
		if (bucket < 0)
		{
			self->bucket_ms = clock.tick_ms + KAD_SWEEP_MS;
			break;
		}
		target = kad_id_random(self->config.random, &self->own->id, bucket);
		task = kad_task_start(self, clock, &target, KAD_TASK_REFRESH, 0, false);
		if (task == NULL)
		{
			self->bucket_ms = clock.tick_ms + KAD_SWEEP_MS;
			break;
		}
		kad_task_go_on(self, clock, task);
	}
}

/*
 * Ping a few of those long silent in the table, and those absent whose time it
 * is.  And with the silent the one heard last: if it answers our line is up,
 * and those who do not have failed.
 */
void
kad_sweep(KadNode *self, CoreClock clock)
{
	uint32_t	cursor = 0;
	KadEntry   *entry;
	KadEntry   *latest = NULL;
	int			sent = 0;

	CORE_ASSERT(absent_hold(self));
	self->sweep_ms = clock.tick_ms + KAD_SWEEP_MS;
	while ((entry = kad_table_next(&self->table, &cursor)) != NULL)
	{
		if (latest == NULL || entry->answered_ms > latest->answered_ms)
			latest = entry;
		if (sent < SWEEP_PINGS && entry->answered_ms + self->refresh_ms < clock.tick_ms &&
			kad_request_ping(self, clock, entry->record, KAD_PINGS))
			sent++;
	}
	if (sent > 0)
		kad_request_ping(self, clock, latest->record, KAD_PINGS);
	for (int i = self->n_absent - 1; i >= 0; i--)
	{
		KadAbsent  *absent = &self->absent[i];

		if (!node_record_current(absent->record, clock.unix_ms, self->config.pool->skew_ms))
			kad_absent_forget(self, &absent->record->id);
		else if (clock.tick_ms >= absent->next_ms && kad_request_ping(self, clock, absent->record, KAD_PINGS))
		{
			absent->wait_ms = absent->wait_ms < KAD_ABSENT_LAST_MS / 2 ? 2 * absent->wait_ms : KAD_ABSENT_LAST_MS;
			absent->next_ms = clock.tick_ms + absent->wait_ms;
		}
	}
}

void
kad_absent_remember(KadNode *self, CoreClock clock, NodeRecord *record)
{
	int			i;

	for (i = 0; i < self->n_absent; i++)
		if (kad_id_equal(&self->absent[i].record->id, &record->id))
			break;
	if (i == self->n_absent)
	{
		if (self->n_absent < KAD_ABSENT)
			self->n_absent++;
		else
		{
			i = (int) core_random_below(self->config.random, KAD_ABSENT);
			record_pool_release(self->config.pool, self->absent[i].record);
		}
	}
	else
		record_pool_release(self->config.pool, self->absent[i].record);
	self->absent[i] = (KadAbsent) {
		.record = record,
		.next_ms = clock.tick_ms + KAD_ABSENT_FIRST_MS,
		.wait_ms = KAD_ABSENT_FIRST_MS
	};
	CORE_ASSERT(absent_hold(self));
}

bool
kad_absent_forget(KadNode *self, const KadId *id)
{
	for (int i = 0; i < self->n_absent; i++)
		if (kad_id_equal(&self->absent[i].record->id, id))
		{
			record_pool_release(self->config.pool, self->absent[i].record);
			self->absent[i] = self->absent[--self->n_absent];
			return true;
		}
	return false;
}
