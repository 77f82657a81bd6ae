/*
 * world.c
 *	  Many nodes on one virtual clock.
 *
 * Events hang in a wheel of one slot for each millisecond, in the order they
 * were made.  A node's ticks are at most 10 s away and messages less, so the
 * wheel needs no second level.
 *
 * With 100,000 nodes nothing that an event touches is in a cache: what the next
 * event will need is fetched while this one is delivered.  Records live as long
 * as the world, so events do not count references to them.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "host_fixture.h"

#define WORLD_EPOCH_MS INT64_C(1800000000000)
#define WHEEL 65536				/* milliseconds ahead */
#define DELAY_LEAST 10
#define DELAY_SPREAD 91			/* 10 .. 100 ms one way */
#define FIRST_SUBNET 0x0B0000	/* 11.0.0.0: every node in a subnet of its own */
#define LAST_SUBNET 0x640000
#define LIE_SUBNET 0x800000		/* 128.0.0.0: those that liars invent */

typedef struct Event
{
	struct Event *next;
	int32_t		from;			/* -1: a tick */
	int32_t		to;
	uint8_t		type;
	bool		response;
	uint16_t	code;
	uint8_t		n_records;
	uint8_t		n_providers;
	uint8_t		n_avoid;
	uint64_t	request;
	KadId		target;
	void	   *item[];			/* records, not referenced; providers; then of avoid[] what is used */
} Event;

#define EVENT_CLASSES 4			/* of room for items: none, 20, 40, 60 */
#define EVENT_STEP 20

struct WorldParts
{
	uint64_t	random_state;
	HostMemory	node_memory_state;
	HostMemory	record_memory_state;
	CoreMemory	node_memory;
	CoreMemory	record_memory;
	CoreRandom	random;
	CoreCrypto	crypto;
	RecordPool	pool;
	Event	   *head[WHEEL];
	Event	   *tail[WHEEL];
	Event	   *unused[EVENT_CLASSES];
	int			n_sorted;
	int		   *sorted;
	int			n_liars;
	int		   *liars;
	int			n_lies;			/* in use: of those made, the first */
	int			made_lies;
	NodeRecord **lies;			/* those in use sorted by id */
	uint64_t	coded_turn;
	int			acting;			/* the node whose code runs */
};

/* Signatures where they are not what is measured: SHA-256 of key and message. */
static bool
cheap_verify(void *context, const uint8_t *key, const uint8_t *message, size_t len, const uint8_t *signature)
{
	crypto_hash_sha256_state state;
	uint8_t		hash[32];

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, key, CORE_KEY_BYTES);
	crypto_hash_sha256_update(&state, message, len);
	crypto_hash_sha256_final(&state, hash);
	return memcmp(hash, signature, 32) == 0 && memcmp(hash, signature + 32, 32) == 0;
}

static bool
cheap_sign(void *context, const uint8_t *secret, const uint8_t *message, size_t len, uint8_t *signature)
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	crypto_hash_sha256_update(&state, message, len);
	crypto_hash_sha256_final(&state, signature);
	memcpy(signature + 32, signature, 32);
	return true;
}

static bool
cheap_key_pair(void *context, const uint8_t *seed, uint8_t *key, uint8_t *secret)
{
	crypto_hash_sha256(key, seed, CORE_SEED_BYTES);
	memcpy(secret, seed, CORE_SEED_BYTES);
	memcpy(secret + CORE_SEED_BYTES, key, CORE_KEY_BYTES);
	return true;
}

static void host_send(void *context, const NodeRecord *to, const WireMessage *message);
static void host_event(void *context, KadEvent event, const NodeRecord *record);
static void host_done(void *context, uint64_t tag, const KadLookup *lookup);

/* What a node's callbacks get: the world, and which node. */
static World *the_world;

static void *
must(void *p)
{
	if (p == NULL)
	{
		fprintf(stderr, "the simulator is out of memory\n");
		exit(2);
	}
	return p;
}

World *
world_new(uint64_t seed, bool ed25519, int codec_every, int room)
{
	World	   *self = must(calloc(1, sizeof *self));
	struct WorldParts *parts = must(calloc(1, sizeof *parts));

	self->seed = seed;
	self->ed25519 = ed25519;
	self->codec_every = codec_every;
	self->parts = parts;
	self->room = room;
	self->node = must(calloc((size_t) room, sizeof *self->node));
	parts->random_state = seed * UINT64_C(0xD1342543DE82EF95) + 1;
	parts->node_memory_state.until_failure = parts->record_memory_state.until_failure = -1;
	parts->node_memory = HOST_MEMORY(&parts->node_memory_state);
	parts->record_memory = HOST_MEMORY(&parts->record_memory_state);
	parts->random = HOST_RANDOM(&parts->random_state);
	parts->crypto = host_crypto();
	if (!ed25519)
	{
		parts->crypto.sign = cheap_sign;
		parts->crypto.verify = cheap_verify;
		parts->crypto.key_pair = cheap_key_pair;
	}
	if (!record_pool_init(&parts->pool, &parts->record_memory, &parts->crypto, &parts->random,
						  node_network(&parts->crypto, "sim", 3), 300000, UINT32_MAX))
		must(NULL);
	the_world = self;
	return self;
}

static int
items_of(const Event *event)
{
	return event->n_records + event->n_providers + event->n_avoid;
}

static Event *
new_event(World *self, int items)
{
	int			class = (items + EVENT_STEP - 1) / EVENT_STEP;
	Event	   *event = self->parts->unused[class];

	if (event != NULL)
		self->parts->unused[class] = event->next;
	else
		event = must(malloc(sizeof *event + (size_t) (class * EVENT_STEP) * sizeof event->item[0]));
	memset(event, 0, sizeof *event);
	return event;
}

static void
drop_event(World *self, Event *event)
{
	int			class = (items_of(event) + EVENT_STEP - 1) / EVENT_STEP;

	for (int i = 0; i < event->n_providers; i++)
		provider_release(&self->parts->pool, event->item[event->n_records + i]);
	event->next = self->parts->unused[class];
	self->parts->unused[class] = event;
}

void
world_destroy(World **self_p)
{
	World	   *self = *self_p;
	struct WorldParts *parts = self->parts;

	for (int i = 0; i < WHEEL; i++)
		while (parts->head[i] != NULL)
		{
			Event	   *event = parts->head[i];

			parts->head[i] = event->next;
			drop_event(self, event);
		}
	for (int i = 0; i < self->n; i++)
	{
		kad_node_destroy(&self->node[i].node);
		record_pool_release(&parts->pool, self->node[i].record);
	}
	for (int i = 0; i < parts->made_lies; i++)
		record_pool_release(&parts->pool, parts->lies[i]);
	for (int i = 0; i < EVENT_CLASSES; i++)
		while (parts->unused[i] != NULL)
		{
			Event	   *event = parts->unused[i];

			parts->unused[i] = event->next;
			free(event);
		}
	if (parts->pool.n > 0 || parts->node_memory_state.blocks > 0)
	{
		fprintf(stderr, "the core has lost %u records and %zu blocks\n", parts->pool.n, parts->node_memory_state.blocks);
		exit(2);
	}
	record_pool_reset(&parts->pool);
	free(parts->sorted);
	free(parts->liars);
	free(parts->lies);
	free(parts);
	free(self->node);
	free(self);
	*self_p = NULL;
}

CoreClock
world_clock(const World *self)
{
	return (CoreClock) {self->now_ms, self->now_ms + WORLD_EPOCH_MS};
}

uint64_t
world_below(World *self, uint64_t n)
{
	return core_random_below(&self->parts->random, n);
}

KadId
world_random_id(World *self)
{
	KadId		id;

	host_fill(&self->parts->random_state, id.b, sizeof id.b);
	return id;
}

static void
push(World *self, Event *event, int64_t at_ms)
{
	struct WorldParts *parts = self->parts;
	int			slot = (int) (at_ms % WHEEL);

	if (at_ms - self->now_ms >= WHEEL)
	{
		fprintf(stderr, "an event is farther away than the wheel reaches\n");
		exit(2);
	}
	event->next = NULL;
	if (parts->head[slot] == NULL)
		parts->head[slot] = event;
	else
		parts->tail[slot]->next = event;
	parts->tail[slot] = event;
}

static void
schedule_tick(World *self, WorldNode *node)
{
	int64_t		at = kad_node_next_tick(node->node);
	Event	   *event;

	if (at <= self->now_ms)
		at = self->now_ms + 1;
	if (at >= node->tick_at)
		return;
	node->tick_at = at;
	event = new_event(self, 0);
	event->from = -1;
	event->to = node->index;
	push(self, event, at);
}

static NodeRecord *
make_record(World *self, uint32_t subnet, uint8_t secret[CORE_SECRET_BYTES])
{
	struct WorldParts *parts = self->parts;
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	CoreClock	clock = world_clock(self);
	NodeRecordFields fields = {.network = parts->pool.network, .seq = 1, .n_addresses = 1};
	NodeRecord *record;

	host_fill(&parts->random_state, seed, sizeof seed);
	parts->crypto.key_pair(NULL, seed, key, secret);
	fields.expires_ms = clock.unix_ms + NODE_RECORD_LIFE_MS;
	fields.addresses[0] = net_address_v4((uint8_t) (subnet >> 16), (uint8_t) (subnet >> 8), (uint8_t) subnet, 1, 7777);
	if (node_record_sign(&parts->crypto, secret, &fields, bytes, &len) != DECODE_OK ||
		record_pool_take(&parts->pool, bytes, len, clock.unix_ms, &record) != DECODE_OK)
	{
		fprintf(stderr, "a record could not be made\n");
		exit(2);
	}
	return record;
}

static void
make_node(World *self, WorldNode *w)
{
	struct WorldParts *parts = self->parts;
	KadConfig	config = {
		.memory = &parts->node_memory,
		.crypto = &parts->crypto,
		.random = &parts->random,
		.pool = &parts->pool,
		.host = {w, host_send, host_event, host_done},
		.secret = w->secret,
		.refresh_ms = KAD_REFRESH_MS
	};

	w->node = must(kad_node_new(&config, w->record, world_clock(self)));
	w->tick_at = INT64_MAX;
	schedule_tick(self, w);
}

int
world_add(World *self)
{
	WorldNode  *w;

	if (self->n == self->room || FIRST_SUBNET + self->n >= LAST_SUBNET)
	{
		fprintf(stderr, "there is no room for more than %d nodes\n", self->room);
		exit(2);
	}
	w = &self->node[self->n];
	w->index = self->n++;
	w->record = make_record(self, FIRST_SUBNET + (uint32_t) w->index, w->secret);
	w->up = true;
	self->n_up++;
	make_node(self, w);
	return w->index;
}

void
world_meet(World *self, int node, int other)
{
	kad_node_meet(self->node[node].node, world_clock(self), self->node[other].record);
	schedule_tick(self, &self->node[node]);
}

void
world_down(World *self, int node, bool for_good)
{
	WorldNode  *w = &self->node[node];

	if (w->up)
		self->n_up--;
	w->up = false;
	if (for_good)
		kad_node_destroy(&w->node);
}

void
world_up(World *self, int node)
{
	WorldNode  *w = &self->node[node];

	if (w->up || w->node == NULL)
		return;
	w->up = true;
	w->tick_at = INT64_MAX;
	self->n_up++;
	schedule_tick(self, w);
}

bool
world_lookup(World *self, int node, const KadId *target, bool for_providers)
{
	WorldNode  *w = &self->node[node];
	bool		begun = kad_node_lookup(w->node, world_clock(self), target, for_providers, (uint64_t) self->now_ms);

	schedule_tick(self, w);
	return begun;
}

void
world_hold(World *self, int node, const KadId *collection)
{
	kad_node_hold(self->node[node].node, world_clock(self), collection, true);
	schedule_tick(self, &self->node[node]);
}

/* ---- who is near ---- */

static int
compare_nodes(const void *a, const void *b)
{
	const WorldNode *nodes = the_world->node;

	return memcmp(nodes[*(const int *) a].record->id.b, nodes[*(const int *) b].record->id.b, KAD_ID_BYTES);
}

static int
compare_lies(const void *a, const void *b)
{
	return memcmp((*(NodeRecord *const *) a)->id.b, (*(NodeRecord *const *) b)->id.b, KAD_ID_BYTES);
}

void
world_sort(World *self)
{
	struct WorldParts *parts = self->parts;

	free(parts->sorted);
	free(parts->liars);
	parts->sorted = must(malloc(sizeof(int) * (size_t) (self->n + 1)));
	parts->liars = must(malloc(sizeof(int) * (size_t) (self->n + 1)));
	parts->n_sorted = parts->n_liars = 0;
	for (int i = 0; i < self->n; i++)
	{
		if (!self->node[i].up)
			continue;
		parts->sorted[parts->n_sorted++] = i;
		if (self->node[i].liar)
			parts->liars[parts->n_liars++] = i;
	}
	qsort(parts->sorted, (size_t) parts->n_sorted, sizeof(int), compare_nodes);
	qsort(parts->liars, (size_t) parts->n_liars, sizeof(int), compare_nodes);
}

/* Ids of any of the sorted lists. */
typedef const KadId *(*IdAt) (const World *self, int i);

static const KadId *
id_of_sorted(const World *self, int i)
{
	return &self->node[self->parts->sorted[i]].record->id;
}

static const KadId *
id_of_liar(const World *self, int i)
{
	return &self->node[self->parts->liars[i]].record->id;
}

static const KadId *
id_of_lie(const World *self, int i)
{
	return &self->parts->lies[i]->id;
}

static int
bit_of(const KadId *id, int bit)
{
	return id->b[bit / 8] >> (7 - bit % 8) & 1;
}

/* The first of low .. high - 1, which share `bit` leading bits, whose next bit is 1. */
static int
split(const World *self, IdAt id_at, int low, int high, int bit)
{
	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (bit_of(id_at(self, middle), bit))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Appends places of low .. high - 1 to out[*n], nearest first. */
static void
nearest(const World *self, IdAt id_at, int low, int high, int bit, const KadId *target, int max, int *out, int *n)
{
	int			middle;

	if (low >= high || *n >= max)
		return;
	if (high - low == 1)
	{
		out[(*n)++] = low;
		return;
	}
	middle = split(self, id_at, low, high, bit);
	if (bit_of(target, bit))
	{
		nearest(self, id_at, middle, high, bit + 1, target, max, out, n);
		nearest(self, id_at, low, middle, bit + 1, target, max, out, n);
	}
	else
	{
		nearest(self, id_at, low, middle, bit + 1, target, max, out, n);
		nearest(self, id_at, middle, high, bit + 1, target, max, out, n);
	}
}

int
world_closest(const World *self, const KadId *target, int n, int *out)
{
	int			found = 0;

	nearest(self, id_of_sorted, 0, self->parts->n_sorted, 0, target, n, out, &found);
	for (int i = 0; i < found; i++)
		out[i] = self->parts->sorted[out[i]];
	return found;
}

void
world_fill_table(World *self, int node)
{
	struct WorldParts *parts = self->parts;
	WorldNode  *w = &self->node[node];
	KadTable   *table = (KadTable *) kad_node_table(w->node);
	const KadId *id = &w->record->id;
	int			low = 0;
	int			high = parts->n_sorted;

	for (int bit = 0; high - low > 1; bit++)
	{
		int			middle = split(self, id_of_sorted, low, high, bit);
		int			from = bit_of(id, bit) ? low : middle;
		int			to = bit_of(id, bit) ? middle : high;
		int			n = to - from;

		/* Floyd's sampling, without a set: a repeated choice is an update */
		for (int i = n > KAD_K ? n - KAD_K : 0; i < n; i++)
		{
			int			chosen = n > KAD_K ? (int) world_below(self, (uint64_t) i + 1) : i;
			NodeRecord *record = self->node[parts->sorted[from + chosen]].record;

			if (n > KAD_K && kad_table_find(table, &record->id) != NULL)
				record = self->node[parts->sorted[from + i]].record;
			/* as if they had answered within the last refresh */
			kad_table_answered(table, record, 0, self->now_ms - (int64_t) world_below(self, KAD_REFRESH_MS));
		}
		if (n > 0)
		{
			KadId		inside = self->node[parts->sorted[from]].record->id;

			kad_table_touch(table, &inside, self->now_ms - (int64_t) world_below(self, KAD_REFRESH_MS));
		}
		if (bit_of(id, bit))
			low = middle;
		else
			high = middle;
	}
}

void
world_make_liars(World *self, double share, int made_up)
{
	struct WorldParts *parts = self->parts;

	for (int i = 0; i < self->n; i++)
		self->node[i].liar = false;
	for (int i = 0; i < self->n; i++)
		self->node[i].liar = self->node[i].up && (double) world_below(self, 1000000) < share * 1e6;
	if (made_up > parts->made_lies)
		parts->lies = must(realloc(parts->lies, sizeof *parts->lies * (size_t) made_up));
	for (; parts->made_lies < made_up; parts->made_lies++)
	{
		uint8_t		secret[CORE_SECRET_BYTES];

		parts->lies[parts->made_lies] = make_record(self, LIE_SUBNET + (uint32_t) parts->made_lies, secret);
	}
	parts->n_lies = made_up;
	qsort(parts->lies, (size_t) parts->n_lies, sizeof *parts->lies, compare_lies);
	self->made_up = (uint64_t) made_up;
	world_sort(self);
}

int
world_index(const World *self, const NodeRecord *record)
{
	const uint8_t *ip = record->addresses[0].ip;
	int			index = (ip[12] << 16 | ip[13] << 8 | ip[14]) - FIRST_SUBNET;

	return index >= 0 && index < self->n && self->node[index].up ? index : -1;
}

size_t
world_node_bytes(const World *self)
{
	return self->parts->node_memory_state.bytes;
}

size_t
world_record_bytes(const World *self)
{
	return self->parts->record_memory_state.bytes;
}

/* ---- messages ---- */

/*
 * The same message out of its bytes.  The caller owes a wire_release(); false
 * when it did not come out as it went in.
 */
static bool
through_bytes(World *self, const WireMessage *in, WireMessage *out)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	static uint8_t again[WIRE_FRAME_MAX];
	size_t		len;
	size_t		again_len;

	if (!wire_encode(in, frame, sizeof frame, &len))
		return false;
	self->coded++;
	self->coded_bytes += len;
	if (wire_decode(&self->parts->pool, frame, len, world_clock(self).unix_ms, out) != DECODE_OK)
		return false;
	if (out->skipped == 0 &&
		(!wire_encode(out, again, sizeof again, &again_len) || again_len != len || memcmp(frame, again, len) != 0))
	{
		wire_release(&self->parts->pool, out);
		return false;
	}
	return true;
}

static void
post(World *self, int from, int to, const WireMessage *m)
{
	Event	   *event;
	NodeRecord *const *record;
	Provider   *const *provider;
	int			n_records = wire_records(m, &record);
	int			n_providers = wire_providers(m, &provider);
	bool		question = !m->response && (m->type == WIRE_FIND_NODE || m->type == WIRE_FIND_PROVIDERS);
	int			n_avoid = question ? m->find.n_avoid : 0;
	int			n = n_records + n_providers;

	self->messages++;
	self->requests += !m->response;
	if (to < 0 || self->node[from].side != self->node[to].side)
		return;
	event = new_event(self, n + n_avoid);
	event->from = from;
	event->to = to;
	event->type = m->type;
	event->response = m->response;
	event->code = m->type == WIRE_PROVIDE && m->response ? m->provided.code : 0;
	event->request = m->request;
	if (question)
		event->target = m->find.target;
	event->n_records = (uint8_t) n_records;
	event->n_providers = (uint8_t) n_providers;
	event->n_avoid = (uint8_t) n_avoid;
	if (n_avoid > 0)
		memcpy(&event->item[n], m->find.avoid, (size_t) n_avoid * sizeof m->find.avoid[0]);
	for (int i = 0; i < n_records; i++)
		event->item[i] = record[i];
	for (int i = 0; i < n_providers; i++)
		event->item[n_records + i] = provider_keep(provider[i]);
	push(self, event, self->now_ms + DELAY_LEAST + (int64_t) world_below(self, DELAY_SPREAD));
}

static void
host_send(void *context, const NodeRecord *to, const WireMessage *message)
{
	World	   *self = the_world;
	WorldNode  *w = context;
	WireMessage decoded;

	if (self->codec_every == 0 || ++self->parts->coded_turn % (uint64_t) self->codec_every != 0)
		post(self, w->index, world_index(self, to), message);
	else if (through_bytes(self, message, &decoded))
	{
		post(self, w->index, world_index(self, to), &decoded);
		wire_release(&self->parts->pool, &decoded);
	}
	else
		self->coded_wrong++;
}

static void
host_event(void *context, KadEvent event, const NodeRecord *record)
{
	WorldNode  *w = context;

	if (event == KAD_EVENT_JOINED)
		w->joined = true;
	else if (event == KAD_EVENT_CLONE)
		the_world->clones++;
}

static void
host_done(void *context, uint64_t tag, const KadLookup *lookup)
{
	World	   *self = the_world;
	WorldNode  *w = context;
	WorldLookup result = {lookup, w->index, (int64_t) tag, self->now_ms};

	if (self->done != NULL)
		self->done(self->done_context, &result);
}

/*
 * A liar's answer: the liars nearest to the target, in front of them nodes that
 * were invented there, no provider; it takes an announcement and forgets it.
 */
static void
lie(World *self, int liar, int to, const Event *question)
{
	struct WorldParts *parts = self->parts;
	WireMessage m = {.type = question->type, .response = true, .request = question->request};
	int			place[KAD_K];
	int			n = 0;

	if (question->type == WIRE_FIND_NODE || question->type == WIRE_FIND_PROVIDERS)
	{
		nearest(self, id_of_lie, 0, parts->n_lies, 0, &question->target, KAD_K / 2, place, &n);
		for (int i = 0; i < n; i++)
			m.found.record[m.found.n_records++] = parts->lies[place[i]];
		n = 0;
		nearest(self, id_of_liar, 0, parts->n_liars, 0, &question->target, KAD_K - m.found.n_records, place, &n);
		for (int i = 0; i < n; i++)
			m.found.record[m.found.n_records++] = self->node[parts->liars[place[i]]].record;
	}
	post(self, liar, to, &m);
}

/* The message of an event; what it names stays the event's. */
static void
unpack(const Event *event, WireMessage *m)
{
	m->type = event->type;
	m->response = event->response;
	m->request = event->request;
	switch (event->type)
	{
		case WIRE_PING:
			m->ping.record = event->n_records > 0 ? event->item[0] : NULL;
			break;
		case WIRE_PROVIDE:
			if (event->response)
				m->provided.code = event->code;
			else
				m->provide.provider = event->item[0];
			break;
		case WIRE_FIND_NODE:
		case WIRE_FIND_PROVIDERS:
			if (!event->response)
			{
				m->find.target = event->target;
				m->find.n_avoid = event->n_avoid;
				memcpy(m->find.avoid, event->item, event->n_avoid * sizeof m->find.avoid[0]);
				break;
			}
			m->found.n_records = event->n_records;
			m->found.n_providers = event->n_providers;
			for (int i = 0; i < event->n_records; i++)
				m->found.record[i] = event->item[i];
			for (int i = 0; i < event->n_providers; i++)
				m->found.provider[i] = event->item[event->n_records + i];
			break;
	}
}

static void
deliver(World *self, Event *event)
{
	WorldNode  *to = &self->node[event->to];
	WireMessage m = {.version = WIRE_VERSION_MAX};

	self->digest = (self->digest ^ (uint64_t) self->now_ms ^ (uint64_t) event->type << 32 ^
					(uint64_t) (uint32_t) event->from << 40 ^ (uint64_t) (uint32_t) event->to << 20 ^ event->request) *
		UINT64_C(0x9E3779B97F4A7C15);
	self->digest ^= self->digest >> 29;
	if (!to->up)
		return;
	if (event->from < 0)
	{
		if (to->tick_at != self->now_ms)
			return;				/* another one came before */
		to->tick_at = INT64_MAX;
		kad_node_tick(to->node, world_clock(self));
		schedule_tick(self, to);
		return;
	}
	if (self->node[event->from].side != to->side)
		return;
	if (to->liar && !event->response)
	{
		lie(self, event->to, event->from, event);
		return;
	}
	unpack(event, &m);
	kad_node_receive(to->node, world_clock(self), self->node[event->from].record, 0, &m);
	schedule_tick(self, to);
}

/* What the delivery of an event will read first, in two steps, for the second needs the first. */
static void
fetch_node(const World *self, const Event *event)
{
	__builtin_prefetch(&self->node[event->to]);
	if (event->from >= 0)
		__builtin_prefetch(&self->node[event->from]);
	for (int i = 0; i < event->n_records; i++)
		__builtin_prefetch(event->item[i]);
}

static void
fetch_state(const World *self, const Event *event)
{
	const char *node = (const char *) self->node[event->to].node;

	/* the head of a node and of its table, and the deadlines at its end */
	for (int line = 0; node != NULL && line < 8; line++)
		__builtin_prefetch(node + 64 * line);
}

bool
world_run_until(World *self, int64_t ms, bool (*condition) (void *), void *context)
{
	struct WorldParts *parts = self->parts;
	int64_t		until = self->now_ms + ms;

	for (; self->now_ms < until; self->now_ms++)
	{
		int			slot = (int) (self->now_ms % WHEEL);

		while (parts->head[slot] != NULL)
		{
			Event	   *event = parts->head[slot];

			parts->head[slot] = event->next;
			if (event->next != NULL)
			{
				fetch_state(self, event->next);
				if (event->next->next != NULL)
					fetch_node(self, event->next->next);
			}
			deliver(self, event);
			drop_event(self, event);
		}
		if (condition != NULL && condition(context))
			return true;
	}
	return condition == NULL;
}

void
world_run(World *self, int64_t ms)
{
	world_run_until(self, ms, NULL, NULL);
}
