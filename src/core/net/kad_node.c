/*
 * kad_node.c
 *	  The life of one node, over table, lookups and store: what it is told, and what
 *	  it answers.
 *
 * Nothing calls back into receive() or tick(); a host's done() and event() may call
 * anything but destroy().
 */
#include "core/net/kad_node_state.h"

#include "core/assert.h"

#define EXPIRE_MS 300000
#define MERGE_MS 30000			/* between lookups for the sake of returned nodes */
#define QUESTIONABLE_MS 60000	/* silent for so long: pinged when a newcomer waits */

static void note_alive(KadNode *self, CoreClock clock, NodeRecord *from, int address);
static void consider(KadNode *self, CoreClock clock, NodeRecord *record);
static void answer_request(KadNode *self, CoreClock clock, NodeRecord *from, int address, const WireMessage *m);
static uint64_t carrier_of(const KadNode *self, const NodeRecord *from, int address);
static bool to_avoid(const WireFind *find, const KadId *id);
static void take_answer(KadNode *self, CoreClock clock, NodeRecord *from, const WireMessage *m);
static void check_clone(KadNode *self, const WireMessage *m);

KadNode *
kad_node_new(const KadConfig *config, NodeRecord *own, CoreClock clock)
{
	KadNode    *self = core_alloc(config->memory, sizeof *self);
	int64_t		jitter;

	if (self == NULL)
		return NULL;
	memset(self, 0, sizeof *self);
	self->config = *config;
	self->own = node_record_keep(own);
	kad_table_init(&self->table, config->memory, config->pool, &own->id, config->exempt_private);
	provider_store_init(&self->store, config->pool, config->random, config->exempt_private, KAD_STORE);
	/* not to be guessed by who sees none of the requests; 0 is no request */
	self->next_request = core_random_bits(config->random) >> 16 | 1;
	jitter = (int64_t) core_random_below(config->random, (uint64_t) config->refresh_ms / 5 + 1);
	self->refresh_ms = config->refresh_ms - config->refresh_ms / 10 + jitter;
	self->answered_ms = INT64_MIN;
	self->self_ms = INT64_MAX;
	self->bucket_ms = INT64_MAX;
	self->slow_ms = INT64_MAX;
	self->merge_ms = clock.tick_ms;
	self->sweep_ms = clock.tick_ms + (int64_t) core_random_below(config->random, KAD_SWEEP_MS);
	self->expire_ms = clock.tick_ms + EXPIRE_MS;
	return self;
}

void
kad_node_destroy(KadNode **self_p)
{
	KadNode    *self = *self_p;
	const CoreMemory *memory;

	if (self == NULL)
		return;
	memory = self->config.memory;
	for (int i = 0; i < self->n_tasks; i++)
	{
		kad_lookup_reset(&self->task[i]->lookup);
		core_free(memory, self->task[i]);
	}
	while (self->n_pending > 0)
		kad_request_forget(self, self->n_pending - 1);
	for (int i = 0; i < self->n_absent; i++)
		record_pool_release(self->config.pool, self->absent[i].record);
	provider_store_reset(&self->store);
	kad_table_reset(&self->table);
	core_free(memory, self->pending);
	core_free(memory, self->held);
	record_pool_release(self->config.pool, self->own);
	core_free(memory, self);
	*self_p = NULL;
}

void
kad_node_renew(KadNode *self, NodeRecord *own)
{
	CORE_ASSERT(kad_id_equal(&own->id, &self->own->id));
	node_record_keep(own);
	record_pool_release(self->config.pool, self->own);
	self->own = own;
}

bool
kad_node_meet(KadNode *self, CoreClock clock, NodeRecord *record)
{
	if (kad_id_equal(&record->id, &self->own->id))
		return true;
	return kad_request_ping(self, clock, record, KAD_PINGS_NEW);
}

void
kad_node_receive(KadNode *self, CoreClock clock, NodeRecord *from, int address, const WireMessage *m)
{
	if (kad_id_equal(&from->id, &self->own->id))
	{
		/* a link to ourselves is nothing; to another with our key it is */
		if (from->seq > self->own->seq || (from->seq == self->own->seq && from != self->own))
			self->config.host.event(self->config.host.context, KAD_EVENT_CLONE, from);
		return;
	}
	if (address >= from->n_addresses)
		address = -1;
	check_clone(self, m);
	if (m->response)
	{
		if (kad_request_find(self, &from->id, m->request) < 0)
		{
			self->stats.unasked++;
			return;
		}
		note_alive(self, clock, from, address);
		take_answer(self, clock, from, m);
		return;
	}
	answer_request(self, clock, from, address, m);
}

void
kad_node_unreachable(KadNode *self, CoreClock clock, const KadId *id)
{
	/* a failure may send and so append a request: to another node than this one */
	for (int i = self->n_pending - 1; i >= 0; i--)
		if (i < self->n_pending && kad_id_equal(&self->pending[i].to->id, id))
			kad_request_failed(self, clock, i);
}

void
kad_node_tick(KadNode *self, CoreClock clock)
{
	for (int i = 0; i < self->n_pending;)
	{
		if (self->pending[i].sent_ms + KAD_TIMEOUT_MS <= clock.tick_ms)
		{
			self->stats.timeouts++;
			kad_request_failed(self, clock, i);
			i = 0;				/* a lookup that went on may have changed the list */
		}
		else
			i++;
	}
	if (clock.tick_ms >= self->slow_ms)
	{
		self->slow_ms = INT64_MAX;
		/* where a task ends, the last one gets its index, and that has had its turn */
		for (int i = self->n_tasks - 1; i >= 0; i--)
			if (i < self->n_tasks)
				kad_task_go_on(self, clock, self->task[i]);
	}
	kad_refresh(self, clock);
	kad_announce_due(self, clock);
	if (clock.tick_ms >= self->sweep_ms)
		kad_sweep(self, clock);
	if (clock.tick_ms >= self->expire_ms)
	{
		NodeRecord *gone;

		self->expire_ms = clock.tick_ms + EXPIRE_MS;
		provider_store_expire(&self->store, clock.unix_ms);
		while ((gone = kad_table_expire(&self->table, clock.unix_ms)) != NULL)
			record_pool_release(self->config.pool, gone);
	}
}

int64_t
kad_node_next_tick(const KadNode *self)
{
	int64_t		next = self->sweep_ms;

	for (int i = 0; i < self->n_pending; i++)
		if (self->pending[i].sent_ms + KAD_TIMEOUT_MS < next)
			next = self->pending[i].sent_ms + KAD_TIMEOUT_MS;
	if (self->slow_ms < next)
		next = self->slow_ms;
	if (self->self_ms < next)
		next = self->self_ms;
	if (self->bucket_ms < next)
		next = self->bucket_ms;
	if (self->expire_ms < next)
		next = self->expire_ms;
	if (self->joined)
		for (int i = 0; i < self->n_held; i++)
			if (self->held[i].next_ms < next)
				next = self->held[i].next_ms;
	return next;
}

const KadTable *
kad_node_table(const KadNode *self)
{
	return &self->table;
}

const ProviderStore *
kad_node_store(const KadNode *self)
{
	return &self->store;
}

KadStats
kad_node_stats(const KadNode *self)
{
	return self->stats;
}

/* A node has answered: it may get an entry in the table, if the link shows that one of its addresses is its. */
static void
note_alive(KadNode *self, CoreClock clock, NodeRecord *from, int address)
{
	KadOutcome	outcome = KAD_UPDATED;
	KadEntry   *entry;

	if (address >= 0)
		outcome = kad_table_answered(&self->table, from, address, clock.tick_ms);
	else if ((entry = kad_table_find(&self->table, &from->id)) != NULL)
	{
		entry->answered_ms = clock.tick_ms;
		entry->failures = 0;
	}
	self->answered_ms = clock.tick_ms;
	self->stats.answers_received++;
	if (outcome == KAD_WAITS)
	{
		KadEntry   *oldest = kad_table_oldest(&self->table, &from->id, clock.tick_ms - QUESTIONABLE_MS);

		if (oldest != NULL)
			kad_request_ping(self, clock, oldest->record, KAD_PINGS);
	}
	if (outcome == KAD_ADDED && self->joined)
	{
		if (self->bucket_ms > clock.tick_ms)
			self->bucket_ms = clock.tick_ms;	/* its bucket may have had no lookup */
		kad_announce_to(self, clock, from);
	}
	if (!self->joined && self->self_ms == INT64_MAX)
		self->self_ms = clock.tick_ms;
	if (address >= 0 && kad_absent_forget(self, &from->id))
	{
		self->config.host.event(self->config.host.context, KAD_EVENT_RETURNED, from);
		if (clock.tick_ms >= self->merge_ms)
		{
			KadTask    *task = kad_task_start(self, clock, &self->own->id, KAD_TASK_SELF, 0, false);

			self->merge_ms = clock.tick_ms + MERGE_MS;
			if (task != NULL)
			{
				kad_lookup_offer(&task->lookup, from);
				kad_task_go_on(self, clock, task);
			}
		}
	}
}

/* A node has sent a request: it is there, but can we reach it? */
static void
consider(KadNode *self, CoreClock clock, NodeRecord *record)
{
	KadEntry   *entry = kad_table_find(&self->table, &record->id);

	if (entry != NULL && record->seq <= entry->record->seq)
	{
		entry->answered_ms = clock.tick_ms;
		entry->failures = 0;
	}
	else if (entry != NULL || kad_table_wants(&self->table, record, clock.tick_ms - self->refresh_ms))
		kad_request_ping(self, clock, record, KAD_PINGS_NEW);
}

static void
answer_request(KadNode *self, CoreClock clock, NodeRecord *from, int address, const WireMessage *m)
{
	WireMessage answer = {.version = WIRE_VERSION_MAX, .type = m->type, .response = true, .request = m->request};
	NodeRecord *near[KAD_K + WIRE_AVOID + 1];
	int			n;

	self->stats.requests_received++;
	switch (m->type)
	{
		case WIRE_PING:
			break;
		case WIRE_FIND_PROVIDERS:
			answer.found.n_providers = provider_store_list(&self->store, &m->find.target, clock.unix_ms,
														   answer.found.provider, WIRE_PROVIDERS);
			/* fall through */
		case WIRE_FIND_NODE:
			n = kad_table_closest(&self->table, &m->find.target, KAD_K + m->find.n_avoid + 1, false, near);
			for (int i = 0; i < n && answer.found.n_records < KAD_K; i++)
				if (!kad_id_equal(&near[i]->id, &from->id) && !to_avoid(&m->find, &near[i]->id))
					answer.found.record[answer.found.n_records++] = near[i];
			break;
		case WIRE_PROVIDE:
			/* whoever brings it: its owner has signed it */
			if (m->provide.provider == NULL)
				answer.provided.code = WIRE_CODE_MALFORMED;
			else
				switch (provider_store_add(&self->store, m->provide.provider, carrier_of(self, from, address), clock.unix_ms))
				{
					case PROVIDER_NEW:
					case PROVIDER_NEWER:
					case PROVIDER_KNOWN:
						answer.provided.code = WIRE_CODE_OK;
						break;
					case PROVIDER_STALE:
						answer.provided.code = WIRE_CODE_STALE;
						break;
					case PROVIDER_FORGED:
						answer.provided.code = WIRE_CODE_FORGED;
						break;
					default:
						answer.provided.code = WIRE_CODE_BUSY;
				}
			break;
		default:
			return;				/* greetings, grants and the mesh are the host's */
	}
	self->config.host.send(self->config.host.context, from, &answer);
	consider(self, clock, from);
}

/* The subnet that a message has come from; those from nowhere in particular are one. */
static uint64_t
carrier_of(const KadNode *self, const NodeRecord *from, int address)
{
	if (address < 0)
		return UINT64_MAX;
	if (net_address_private(&from->addresses[address]))
		return self->config.exempt_private ? 0 : 1;
	return net_address_subnet(&from->addresses[address]);
}

static bool
to_avoid(const WireFind *find, const KadId *id)
{
	for (int i = 0; i < find->n_avoid; i++)
		if (find->avoid[i] == kad_id_short(id))
			return true;
	return false;
}

static void
take_answer(KadNode *self, CoreClock clock, NodeRecord *from, const WireMessage *m)
{
	KadPending	pending;
	KadTask    *task;
	int			i = kad_request_find(self, &from->id, m->request);

	if (i < 0)
		return;
	pending = self->pending[i];
	node_record_keep(pending.to);
	kad_request_forget(self, i);
	if (pending.purpose == KAD_FOR_LOOKUP && (task = kad_task_find(self, pending.task)) != NULL)
	{
		/* an error, or an answer to another question, is an answer without names */
		bool		fits = m->type == WIRE_FIND_NODE || m->type == WIRE_FIND_PROVIDERS;

		kad_lookup_answered(&task->lookup, &from->id, m->found.record, fits ? m->found.n_records : 0);
		if (task->lookup.for_providers && m->type == WIRE_FIND_PROVIDERS)
			for (int p = 0; p < m->found.n_providers; p++)
				kad_lookup_provider(&task->lookup, m->found.provider[p]);
		kad_task_go_on(self, clock, task);
	}
	record_pool_release(self->config.pool, pending.to);
}

/* Who signs newer records with our key than we do is a copy of us. */
static void
check_clone(KadNode *self, const WireMessage *m)
{
	NodeRecord *const *record;
	int			n = wire_records(m, &record);

	for (int i = 0; i < n; i++)
		if (kad_id_equal(&record[i]->id, &self->own->id) &&
			(record[i]->seq > self->own->seq || (record[i]->seq == self->own->seq && record[i] != self->own)))
			self->config.host.event(self->config.host.context, KAD_EVENT_CLONE, record[i]);
}
