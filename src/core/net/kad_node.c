/*
 * kad_node.c
 *	  The life of one node, over table, lookups and store.
 *
 * A request is remembered until it is answered or late (KadPending).  A task is
 * a lookup and what it is for.  Nothing calls back into receive() or tick(); a
 * host's done() and event() may call anything but destroy().
 */
#include "core/net/kad_node.h"

#define FIRST_PENDING 8
#define SWEEP_MS 10000			/* looks for the silent and the absent */
#define SWEEP_PINGS 4
#define EXPIRE_MS 300000
#define MERGE_MS 30000			/* between lookups for the sake of returned nodes */
#define QUESTIONABLE_MS 60000	/* silent for so long: pinged when a newcomer waits */
#define NO_TASK UINT32_MAX

typedef enum Purpose
{
	FOR_PING,
	FOR_LOOKUP,
	FOR_PROVIDE,				/* what this node holds itself */
	FOR_HANDING_ON
} Purpose;

typedef struct KadPending
{
	uint64_t	request;
	NodeRecord *to;				/* referenced */
	int64_t		sent_ms;
	uint32_t	task;			/* serial of the lookup's task, or NO_TASK */
	uint8_t		purpose;
} KadPending;

typedef enum TaskKind
{
	TASK_USER,
	TASK_SELF,
	TASK_REFRESH,
	TASK_PUBLISH,
	TASK_WITHDRAW
} TaskKind;

typedef struct KadTask
{
	KadLookup	lookup;
	uint64_t	tag;
	uint32_t	serial;
	TaskKind	kind;
} KadTask;

typedef struct KadHeld
{
	KadId		collection;
	int64_t		next_ms;		/* tick of the next announcement */
	bool		withdrawn;
} KadHeld;

typedef struct KadAbsent
{
	NodeRecord *record;			/* referenced */
	int64_t		next_ms;
	int64_t		wait_ms;
} KadAbsent;

struct KadNode
{
	KadConfig	config;
	NodeRecord *own;
	KadTable	table;
	ProviderStore store;
	KadStats	stats;
	uint64_t	next_request;
	uint32_t	next_serial;
	bool		joined;
	int			n_pings;
	int			n_pending;
	int			pending_room;
	KadPending *pending;
	int			n_tasks;
	KadTask    *task[KAD_LOOKUPS];
	int			n_held;
	int			held_room;
	KadHeld    *held;
	int			n_absent;
	KadAbsent	absent[KAD_ABSENT];
	int64_t		issued_ms;		/* unix, of the last provider record: the next is newer */
	int64_t		answered_ms;	/* tick of the last answer from anybody */
	int64_t		self_ms;		/* ticks at which each is due */
	int64_t		sweep_ms;
	int64_t		expire_ms;
	int64_t		merge_ms;
	int64_t		slow_ms;
	int64_t		refresh_ms;		/* config's, jittered once */
	int64_t		bucket_ms;		/* when to look for stale buckets again */
};

static void note_alive(KadNode *self, CoreClock clock, NodeRecord *from, int address);
static void consider(KadNode *self, CoreClock clock, NodeRecord *record);
static void answer_request(KadNode *self, CoreClock clock, NodeRecord *from, int address, const WireMessage *m);
static uint64_t carrier_of(const KadNode *self, const NodeRecord *from, int address);
static bool to_avoid(const WireFind *find, const KadId *id);
static void take_answer(KadNode *self, CoreClock clock, NodeRecord *from, const WireMessage *m);
static void check_clone(KadNode *self, const WireMessage *m);
static bool send_request(KadNode *self, CoreClock clock, NodeRecord *to, WireMessage *m,
						 Purpose purpose, uint32_t task);
static bool ping(KadNode *self, CoreClock clock, NodeRecord *to, int most);
static int	count_pending(const KadNode *self, Purpose purpose);
static void forget_pending(KadNode *self, int i);
static void fail(KadNode *self, CoreClock clock, int pending);
static void remember_absent(KadNode *self, CoreClock clock, NodeRecord *record);
static bool forget_absent(KadNode *self, const KadId *id);
static KadTask *start_task(KadNode *self, CoreClock clock, const KadId *target, TaskKind kind, uint64_t tag,
						   bool for_providers);
static KadTask *find_task(KadNode *self, uint32_t serial);
static void pump(KadNode *self, CoreClock clock, KadTask *task);
static void finish(KadNode *self, CoreClock clock, KadTask *task);
static void publish(KadNode *self, CoreClock clock, const KadId *collection, NodeRecord *const *near, int n,
					bool withdrawn);
static void hand_on(KadNode *self, CoreClock clock, NodeRecord *to);
static void refresh(KadNode *self, CoreClock clock);
static void sweep(KadNode *self, CoreClock clock);
static void announce_due(KadNode *self, CoreClock clock);
static int	count_tasks(const KadNode *self, TaskKind kind);

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
	self->sweep_ms = clock.tick_ms + (int64_t) core_random_below(config->random, SWEEP_MS);
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
	for (int i = 0; i < self->n_pending; i++)
		record_pool_release(self->config.pool, self->pending[i].to);
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
	node_record_keep(own);
	record_pool_release(self->config.pool, self->own);
	self->own = own;
}

bool
kad_node_meet(KadNode *self, CoreClock clock, NodeRecord *record)
{
	if (kad_id_equal(&record->id, &self->own->id))
		return true;
	return ping(self, clock, record, KAD_PINGS_NEW);
}

static int
find_pending(const KadNode *self, const KadId *from, uint64_t request)
{
	for (int i = 0; i < self->n_pending; i++)
		if (self->pending[i].request == request)
			return kad_id_equal(&self->pending[i].to->id, from) ? i : -1;
	return -1;
}

bool
kad_node_awaits(const KadNode *self, const KadId *from, uint64_t request)
{
	return find_pending(self, from, request) >= 0;
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
		if (find_pending(self, &from->id, m->request) < 0)
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
	/* each fail() may send and so append; what is appended is not to that node again */
	for (int i = self->n_pending - 1; i >= 0; i--)
		if (i < self->n_pending && kad_id_equal(&self->pending[i].to->id, id))
			fail(self, clock, i);
}

void
kad_node_tick(KadNode *self, CoreClock clock)
{
	for (int i = 0; i < self->n_pending;)
	{
		if (self->pending[i].sent_ms + KAD_TIMEOUT_MS <= clock.tick_ms)
		{
			self->stats.timeouts++;
			fail(self, clock, i);
			i = 0;				/* lookups may have gone on and changed the list */
		}
		else
			i++;
	}
	if (clock.tick_ms >= self->slow_ms)
	{
		self->slow_ms = INT64_MAX;
		/* one that ends gives its place to the last, which had its turn */
		for (int i = self->n_tasks - 1; i >= 0; i--)
			if (i < self->n_tasks)
				pump(self, clock, self->task[i]);
	}
	refresh(self, clock);
	announce_due(self, clock);
	if (clock.tick_ms >= self->sweep_ms)
		sweep(self, clock);
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

bool
kad_node_lookup(KadNode *self, CoreClock clock, const KadId *target, bool for_providers, uint64_t tag)
{
	KadTask    *task = start_task(self, clock, target, TASK_USER, tag, for_providers);

	if (task == NULL)
		return false;
	pump(self, clock, task);
	return true;
}

bool
kad_node_hold(KadNode *self, CoreClock clock, const KadId *collection, bool held)
{
	KadHeld    *wider;
	int			i;

	for (i = 0; i < self->n_held; i++)
		if (kad_id_equal(&self->held[i].collection, collection))
			break;
	if (i == self->n_held)
	{
		if (!held)
			return true;
		if (self->n_held == KAD_HELD)
			return false;
		if (self->n_held == self->held_room)
		{
			int			room = self->held_room == 0 ? 4 : 2 * self->held_room;

			wider = core_alloc(self->config.memory, (size_t) room * sizeof *wider);
			if (wider == NULL)
				return false;
			if (self->n_held > 0)
				memcpy(wider, self->held, (size_t) self->n_held * sizeof *wider);
			core_free(self->config.memory, self->held);
			self->held = wider;
			self->held_room = room;
		}
		self->held[self->n_held++].collection = *collection;
	}
	self->held[i].withdrawn = !held;
	self->held[i].next_ms = clock.tick_ms;
	/* who asks this node itself is told at once, joined or not */
	publish(self, clock, collection, NULL, 0, !held);
	announce_due(self, clock);
	return true;
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

/* A node has answered: it may take a place in the table, if one of its addresses is shown to be its. */
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
			ping(self, clock, oldest->record, KAD_PINGS);
	}
	if (outcome == KAD_ADDED && self->joined)
	{
		if (self->bucket_ms > clock.tick_ms)
			self->bucket_ms = clock.tick_ms;	/* perhaps a bucket no lookup has gone into */
		hand_on(self, clock, from);
	}
	if (!self->joined && self->self_ms == INT64_MAX)
		self->self_ms = clock.tick_ms;
	if (address >= 0 && forget_absent(self, &from->id))
	{
		self->config.host.event(self->config.host.context, KAD_EVENT_RETURNED, from);
		if (clock.tick_ms >= self->merge_ms)
		{
			KadTask    *task = start_task(self, clock, &self->own->id, TASK_SELF, 0, false);

			self->merge_ms = clock.tick_ms + MERGE_MS;
			if (task != NULL)
			{
				kad_lookup_offer(&task->lookup, from);
				pump(self, clock, task);
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
		ping(self, clock, record, KAD_PINGS_NEW);
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
	int			i;

	for (i = 0; i < self->n_pending && self->pending[i].request != m->request; i++)
		;
	if (i == self->n_pending)
		return;
	pending = self->pending[i];
	node_record_keep(pending.to);
	forget_pending(self, i);
	if (pending.purpose == FOR_LOOKUP && (task = find_task(self, pending.task)) != NULL)
	{
		/* an error, or an answer to another question, is an answer without names */
		bool		fits = m->type == WIRE_FIND_NODE || m->type == WIRE_FIND_PROVIDERS;

		kad_lookup_answered(&task->lookup, &from->id, m->found.record, fits ? m->found.n_records : 0);
		if (task->lookup.for_providers && m->type == WIRE_FIND_PROVIDERS)
			for (int p = 0; p < m->found.n_providers; p++)
				kad_lookup_provider(&task->lookup, m->found.provider[p]);
		pump(self, clock, task);
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

static bool
send_request(KadNode *self, CoreClock clock, NodeRecord *to, WireMessage *m, Purpose purpose, uint32_t task)
{
	if (self->n_pending == self->pending_room)
	{
		int			room = self->pending_room == 0 ? FIRST_PENDING : 2 * self->pending_room;
		KadPending *wider;

		if (room > KAD_PENDING)
			return false;
		wider = core_alloc(self->config.memory, (size_t) room * sizeof *wider);
		if (wider == NULL)
			return false;
		if (self->n_pending > 0)
			memcpy(wider, self->pending, (size_t) self->n_pending * sizeof *wider);
		core_free(self->config.memory, self->pending);
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
	self->n_pings += purpose == FOR_PING;
	self->stats.requests_sent++;
	self->config.host.send(self->config.host.context, to, m);
	return true;
}

/* Unless so many are out.  True also when one to it is under way. */
static bool
ping(KadNode *self, CoreClock clock, NodeRecord *to, int most)
{
	WireMessage m = {.type = WIRE_PING};

	for (int i = 0; i < self->n_pending; i++)
		if (self->pending[i].purpose == FOR_PING && kad_id_equal(&self->pending[i].to->id, &to->id))
			return true;
	if (self->n_pings >= most)
		return false;
	return send_request(self, clock, to, &m, FOR_PING, NO_TASK);
}

static int
count_pending(const KadNode *self, Purpose purpose)
{
	int			n = 0;

	for (int i = 0; i < self->n_pending; i++)
		n += self->pending[i].purpose == purpose;
	return n;
}

static void
forget_pending(KadNode *self, int i)
{
	self->n_pings -= self->pending[i].purpose == FOR_PING;
	record_pool_release(self->config.pool, self->pending[i].to);
	self->pending[i] = self->pending[--self->n_pending];
}

/* The i-th request will not be answered. */
static void
fail(KadNode *self, CoreClock clock, int i)
{
	KadPending	pending = self->pending[i];
	NodeRecord *to = node_record_keep(pending.to);
	NodeRecord *gone = NULL;
	KadTask    *task;

	forget_pending(self, i);
	if (self->answered_ms > pending.sent_ms)
		gone = kad_table_failed(&self->table, &to->id);
	if (gone != NULL)
		remember_absent(self, clock, gone);
	if (pending.purpose == FOR_LOOKUP && (task = find_task(self, pending.task)) != NULL)
	{
		kad_lookup_failed(&task->lookup, &to->id);
		pump(self, clock, task);
	}
	record_pool_release(self->config.pool, to);
}

/* Takes over the reference.  One more than fit takes the place of one at random. */
static void
remember_absent(KadNode *self, CoreClock clock, NodeRecord *record)
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
}

static bool
forget_absent(KadNode *self, const KadId *id)
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

static KadTask *
start_task(KadNode *self, CoreClock clock, const KadId *target, TaskKind kind, uint64_t tag, bool for_providers)
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
	self->next_serial = (self->next_serial + 1) % NO_TASK;
	self->task[self->n_tasks++] = task;
	self->stats.lookups++;
	return task;
}

static KadTask *
find_task(KadNode *self, uint32_t serial)
{
	for (int i = 0; i < self->n_tasks; i++)
		if (self->task[i]->serial == serial)
			return self->task[i];
	return NULL;
}

/* Send what a lookup wants sent; end it when it is done. */
static void
pump(KadNode *self, CoreClock clock, KadTask *task)
{
	int64_t		slow = kad_lookup_slow(&task->lookup, clock.tick_ms);
	NodeRecord *to;

	while ((to = kad_lookup_next(&task->lookup, clock.tick_ms)) != NULL)
	{
		WireMessage m = {.type = task->lookup.for_providers ? WIRE_FIND_PROVIDERS : WIRE_FIND_NODE,
		.find = {.target = task->lookup.target}};

		m.find.n_avoid = kad_lookup_avoid(&task->lookup, m.find.avoid, WIRE_AVOID);
		if (!send_request(self, clock, to, &m, FOR_LOOKUP, task->serial))
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

	for (int i = 0; i < self->n_tasks; i++)
		if (self->task[i] == task)
		{
			self->task[i] = self->task[--self->n_tasks];
			break;
		}
	switch (task->kind)
	{
		case TASK_USER:
			if (lookup->for_providers)
			{
				Provider   *known[WIRE_PROVIDERS];

				n = provider_store_list(&self->store, &lookup->target, clock.unix_ms, known, WIRE_PROVIDERS);
				for (int i = 0; i < n; i++)
					kad_lookup_provider(lookup, known[i]);
			}
			self->config.host.done(self->config.host.context, task->tag, lookup);
			break;
		case TASK_SELF:
			if (!self->joined && self->table.n > 0)
			{
				self->joined = true;
				self->self_ms = clock.tick_ms + self->refresh_ms;
				self->config.host.event(self->config.host.context, KAD_EVENT_JOINED, self->own);
			}
			self->bucket_ms = clock.tick_ms;
			break;
		case TASK_REFRESH:
			self->bucket_ms = clock.tick_ms;
			break;
		case TASK_PUBLISH:
		case TASK_WITHDRAW:
			n = kad_lookup_result(lookup, near, KAD_K, NULL);
			publish(self, clock, &lookup->target, near, n, task->kind == TASK_WITHDRAW);
			break;
	}
	kad_lookup_reset(lookup);
	core_free(self->config.memory, task);
}

/* Sign a provider record, keep it, and bring it to these nodes. */
static void
publish(KadNode *self, CoreClock clock, const KadId *collection, NodeRecord *const *near, int n, bool withdrawn)
{
	uint8_t		bytes[PROVIDER_BYTES];
	WireMessage m = {.type = WIRE_PROVIDE};
	int64_t		issued_ms = clock.unix_ms > self->issued_ms ? clock.unix_ms : self->issued_ms + 1;

	/* a clock set back by more than the skew gives nothing that could be used: then by the clock */
	if (issued_ms > clock.unix_ms + self->config.pool->skew_ms)
		issued_ms = clock.unix_ms;
	if (!provider_sign(self->config.crypto, self->config.secret, collection, issued_ms, withdrawn, bytes) ||
		provider_decode(self->config.pool, bytes, sizeof bytes, self->own, clock.unix_ms, &m.provide.provider) != DECODE_OK)
		return;
	self->issued_ms = issued_ms;
	m.provide.provider->verified = true;
	provider_store_add(&self->store, m.provide.provider, 0, clock.unix_ms);
	for (int i = 0; i < n; i++)
		send_request(self, clock, near[i], &m, FOR_PROVIDE, NO_TASK);
	provider_release(self->config.pool, m.provide.provider);
}

/*
 * A newcomer gets the provider records that now belong to it: those of keys to
 * which it is among the KAD_K nearest, from the KAD_ALPHA nearest only, or it
 * would get each twenty times (Kademlia, section 2.5).  Strangers decide how many
 * there are, and whether the newcomer answers: so these take only their share of
 * the requests that may be open.  Owners announce anew what is left out.
 */
static void
hand_on(KadNode *self, CoreClock clock, NodeRecord *to)
{
	int			room = KAD_HANDED - count_pending(self, FOR_HANDING_ON);

	for (int i = 0; i < PROVIDER_SLOTS && room > 0; i++)
		for (ProviderGroup *group = self->store.slot[i]; group != NULL && room > 0; group = group->next)
		{
			NodeRecord *near[KAD_K];
			int			n = kad_table_closest(&self->table, &group->collection, KAD_K, false, near);
			int			nearer = 0;
			bool		belongs = false;

			for (int j = 0; j < n; j++)
			{
				belongs |= near[j] == to;
				nearer += near[j] != to &&
					kad_id_nearer(&group->collection, &near[j]->id, &self->own->id) < 0;
			}
			for (int j = 0; j < group->n && belongs && nearer < KAD_ALPHA && room > 0; j++)
			{
				WireMessage m = {.type = WIRE_PROVIDE, .provide = {group->member[j]}};

				if (group->member[j]->expires_ms > clock.unix_ms &&
					!kad_id_equal(&group->member[j]->record->id, &to->id))
					room -= send_request(self, clock, to, &m, FOR_HANDING_ON, NO_TASK);
			}
		}
}

/* The lookup of itself, and into buckets that have had none for long. */
static void
refresh(KadNode *self, CoreClock clock)
{
	KadTask    *task;
	int			bucket;

	if (clock.tick_ms >= self->self_ms)
	{
		task = start_task(self, clock, &self->own->id, TASK_SELF, 0, false);
		self->self_ms = clock.tick_ms + (task != NULL && self->joined ? self->refresh_ms : SWEEP_MS);
		if (task != NULL)
			pump(self, clock, task);
	}
	while (self->joined && clock.tick_ms >= self->bucket_ms)
	{
		KadId		target;

		if (count_tasks(self, TASK_REFRESH) >= KAD_REFRESH_LOOKUPS)
		{
			self->bucket_ms = INT64_MAX;	/* until one ends */
			break;
		}
		bucket = kad_table_stale(&self->table, clock.tick_ms - self->refresh_ms);
		if (bucket < 0)
		{
			self->bucket_ms = clock.tick_ms + SWEEP_MS;
			break;
		}
		target = kad_id_random(self->config.random, &self->own->id, bucket);
		task = start_task(self, clock, &target, TASK_REFRESH, 0, false);
		if (task == NULL)
		{
			self->bucket_ms = clock.tick_ms + SWEEP_MS;
			break;
		}
		pump(self, clock, task);
	}
}

/*
 * Ping a few of those long silent in the table, and those absent whose time it
 * is.  And with the silent the one heard last: if it answers our line is up,
 * and those who do not have failed.
 */
static void
sweep(KadNode *self, CoreClock clock)
{
	uint32_t	cursor = 0;
	KadEntry   *entry;
	KadEntry   *latest = NULL;
	int			sent = 0;

	self->sweep_ms = clock.tick_ms + SWEEP_MS;
	while ((entry = kad_table_next(&self->table, &cursor)) != NULL)
	{
		if (latest == NULL || entry->answered_ms > latest->answered_ms)
			latest = entry;
		if (sent < SWEEP_PINGS && entry->answered_ms + self->refresh_ms < clock.tick_ms &&
			ping(self, clock, entry->record, KAD_PINGS))
			sent++;
	}
	if (sent > 0)
		ping(self, clock, latest->record, KAD_PINGS);
	for (int i = self->n_absent - 1; i >= 0; i--)
	{
		KadAbsent  *absent = &self->absent[i];

		if (!node_record_current(absent->record, clock.unix_ms, self->config.pool->skew_ms))
			forget_absent(self, &absent->record->id);
		else if (clock.tick_ms >= absent->next_ms && ping(self, clock, absent->record, KAD_PINGS))
		{
			absent->wait_ms = absent->wait_ms < KAD_ABSENT_LAST_MS / 2 ? 2 * absent->wait_ms : KAD_ABSENT_LAST_MS;
			absent->next_ms = clock.tick_ms + absent->wait_ms;
		}
	}
}

static void
announce_due(KadNode *self, CoreClock clock)
{
	for (int i = 0; self->joined && i < self->n_held; i++)
	{
		KadHeld    *held = &self->held[i];
		bool		withdrawn = held->withdrawn;
		KadTask    *task;

		if (clock.tick_ms < held->next_ms)
			continue;
		task = start_task(self, clock, &held->collection, withdrawn ? TASK_WITHDRAW : TASK_PUBLISH, 0, false);
		if (task == NULL)
		{
			held->next_ms = clock.tick_ms + SWEEP_MS;
			continue;
		}
		held->next_ms = clock.tick_ms + PROVIDER_REPUBLISH_MS;
		if (withdrawn)
			*held = self->held[--self->n_held];
		pump(self, clock, task);
		if (withdrawn)
			i--;
	}
}

static int
count_tasks(const KadNode *self, TaskKind kind)
{
	int			n = 0;

	for (int i = 0; i < self->n_tasks; i++)
		n += self->task[i]->kind == kind;
	return n;
}
