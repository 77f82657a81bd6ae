/*
 * rows_world.c
 *	  Nodes with copies of one collection, and the clock that they share.
 */
#include "rows_world.h"

#include <stdarg.h>
#include <stdlib.h>

#include "core/assert.h"

uint64_t
world_below(uint64_t *state, uint64_t n)
{
	return core_random_below(&HOST_RANDOM(state), n);
}

static void
note(World *self, uint64_t value)
{
	self->digest = (self->digest ^ value) * UINT64_C(0x100000001B3);
	self->digest ^= self->digest >> 29;
}

void
world_trace(World *self, const char *format,...)
{
	va_list		args;

	if (!self->trace)
		return;
	printf("# %9.3f  ", (double) self->now_ms / 1000);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* The first one counts. */
void
world_violation(World *self, const char *format,...)
{
	va_list		args;

	if (self->failed)
		return;
	self->failed = true;
	va_start(args, format);
	vsnprintf(self->message, sizeof self->message, format, args);
	va_end(args);
	world_trace(self, "VIOLATION %s", self->message);
}

CoreClock
world_clock(const World *self, int node)
{
	return (CoreClock) {self->now_ms, ROWS_EPOCH_MS + self->now_ms + self->node[node].offset_ms};
}

int64_t
world_unix_us(const World *self, int node)
{
	return world_clock(self, node).unix_ms * 1000;
}

/* ---- the queue ---- */

static bool
before(const RowsEvent *a, const RowsEvent *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void
world_schedule(World *self, RowsEvent event)
{
	int			i = self->n_heap++;

	if (self->n_heap > self->heap_room)
	{
		self->heap_room = 2 * self->heap_room + 256;
		self->heap = realloc(self->heap, (size_t) self->heap_room * sizeof *self->heap);
	}
	event.order = self->next_order++;
	for (; i > 0 && before(&event, &self->heap[(i - 1) / 2]); i = (i - 1) / 2)
		self->heap[i] = self->heap[(i - 1) / 2];
	self->heap[i] = event;
}

static RowsEvent
take_first(World *self)
{
	RowsEvent	first = self->heap[0];
	RowsEvent	last = self->heap[--self->n_heap];
	int			i = 0;

	for (int k; (k = 2 * i + 1) < self->n_heap; i = k)
	{
		if (k + 1 < self->n_heap && before(&self->heap[k + 1], &self->heap[k]))
			k++;
		if (!before(&self->heap[k], &last))
			break;
		self->heap[i] = self->heap[k];
	}
	self->heap[i] = last;
	return first;
}

void
world_after(World *self, int64_t ms, int kind, int a, int b)
{
	world_schedule(self, (RowsEvent) {.at_ms = self->now_ms + ms, .kind = kind, .a = a, .b = b, .number = self->node[a].life});
}

void
world_end_writer_soon(World *self, int node, int writer, int64_t ms)
{
	world_after(self, ms, AFTER_COMMIT, node, writer);
}

/* ---- members and frames ---- */

GrantRole
world_role(const World *self, int identity)
{
	return self->network->role(self, identity);
}

GrantRole
world_own_role(const World *self, int node)
{
	return self->network->own_role(self, node);
}

bool
world_counts(const World *self, int node)
{
	const RowsNode *at = &self->node[node];

	return !at->dead && !at->liar && world_role(self, at->identity) != GRANT_NOBODY;
}

static const char *
type_name(uint8_t type)
{
	static const char *const names[] = {"HAVE", "WANT", "DATA", "ACK", "STOP", "RANGES", "FETCH", "INTRODUCE", "PACKED"};

	return type >= 16 && type < 25 ? names[type - 16] : "?";
}

LinkSent
world_sending(World *self, int node, int to, const uint8_t *frame, size_t len)
{
	if (!self->healing && self->profile->full > 0 && world_below(&self->net, 1000) < (uint64_t) self->profile->full)
		return LINK_FULL;
	if (frame[6] == ROW_WIRE_DATA && (frame[7] & 1) != 0 && self->node[node].wanted[self->node[to].identity] == bytes_load(frame + 8, 8) + 1)
		world_violation(self, "I13: node %d answers a request from below its floor row by row", node);
	self->figures.frames++;
	self->figures.bytes += len;
	return LINK_SENT;
}

/* Does a request ask for changes from below the floor of who is asked? */
static void
look_at_want(World *self, int from, int to, const uint8_t *frame, size_t len)
{
	RowsNode   *at = &self->node[to];
	RowMessage	message;
	RowFrontier above;
	RowWireClaim claim;

	if (frame[6] != ROW_WIRE_WANT || row_wire_decode(frame, len, &message) != DECODE_OK)
		return;
	at->wanted[self->node[from].identity] = 0;
	if (message.mode != ROW_MODE_CHANGES)
		return;
	row_frontier_init(&above, &at->store->memory);
	while (row_wire_next_claim(&message.frontier, &claim))
	{
		uint32_t	number = row_dictionary_find(replica_dictionary(at->replica), &claim.id);

		if (number != 0)
			(void) row_frontier_claim(&above, number, claim.top, claim.open, claim.n_open);
	}
	at->wanted[self->node[from].identity] = row_frontier_includes(&above, replica_floor(at->replica)) ? 0 : message.request + 1;
	row_frontier_reset(&above);
}

/* Does a frame come once more, when its link may be another? */
bool
world_comes_again(World *self, const uint8_t *frame)
{
	return !self->healing && self->profile->duplicates > 0 && frame[6] != ROW_WIRE_HAVE && frame[6] != ROW_WIRE_WANT &&
		world_below(&self->net, 1000) < (uint64_t) self->profile->duplicates;
}

void
world_deliver(World *self, int from, int to, const uint8_t *frame, size_t len, bool stale)
{
	RowsNode   *at = &self->node[to];

	if (self->trace)
		world_trace(self, "%d -> %d %s%s %d, %zu bytes%s", from, to, frame[7] & 1 ? "re: " : "", type_name(frame[6]),
					(int) bytes_load(frame + 8, 8), len, stale ? ", once more" : "");
	if (at->replica != NULL)
	{
		look_at_want(self, from, to, frame, len);
		replica_frame(at->replica, world_clock(self, to), &self->node[from].id, frame, len);
	}
	else if (at->liar)
		liar_frame(self, to, from, frame, len);
}

/* ---- nodes ---- */

int
world_add(World *self, bool fresh)
{
	int			i = self->n++;
	RowsNode   *at = &self->node[i];

	memset(at, 0, sizeof *at);
	at->index = at->identity = i;
	self->network->add(self, i);
	at->memory.until_failure = -1;
	at->random_state = self->seed * 1000 + (uint64_t) i;
	at->schema = self->schema;
	at->store = store_new(self, i, self->n_keys, self->off, self->profile->pad);
	at->store->copied = !fresh;
	row_frontier_init(&at->last, &at->store->memory);
	return i;
}

static uint32_t
begin_life(World *self, RowsNode *at, RowDictionary *dictionary)
{
	Store	   *store = at->store;
	CoreRandom	random = HOST_RANDOM(&at->random_state);
	RowIncarnation life;
	uint32_t	number;

	if (!ROW_RULE_HOLDS(self->off, ROW_RULE_INCARNATION))
	{
		/* the same goes on, from the last ticket that the table shows */
		for (uint32_t i = store->n_lives; i > 0; i--)
			if (memcmp(store->life[i - 1].owner, at->secret + CORE_SEED_BYTES, CORE_KEY_BYTES) == 0)
			{
				for (int k = 0; k < store->n_keys; k++)
				{
					const StoreRow *row = store_head(store, k);

					if (row != NULL && row->present && row->entry.stamp.incarnation == i && row->entry.stamp.ticket > store->tickets.last)
						store->tickets.last = row->entry.stamp.ticket;
				}
				return i;
			}
	}
	if (!row_incarnation_begin(dictionary, &random, at->secret, &life) ||
		row_dictionary_add(dictionary, &life, true, &number) != ROW_INCARNATION_NEW)
		return 0;
	if (!store_host(store).keep_incarnation(store, number, &life))
		return 0;
	return number;
}

static void *scratch;			/* of all replicas */

static void
start_copy(World *self, int node)
{
	RowsNode   *at = &self->node[node];
	Store	   *store = at->store;
	CoreMemory	memory = HOST_MEMORY(&at->memory);
	CoreRandom	random = HOST_RANDOM(&at->random_state);
	ReplicaConfig config;
	uint32_t	number;
	bool		healing = self->healing;
	bool		fresh;

	if (at->replica != NULL || at->dead || !self->network->start(self, node))
		return;
	memset(&config, 0, sizeof config);
	at->life++;
	at->idle = at->job_due = false;
	at->members = 0;
	memset(at->wanted, 0, sizeof at->wanted);
	config.host = store_host(store);
	config.memory = &memory;
	config.crypto = &self->crypto;
	config.random = &random;
	config.collection = self->collection;
	config.self = at->id;
	world_schema_hash(self, at->schema, config.schema);
	if (self->profile->pad > 0)
	{
		/* all rows take more than a transaction and what may be on its way */
		config.max_atomic_bytes = (uint32_t) (7 * self->profile->pad / 2);
		config.credit = (uint32_t) (14 * self->profile->pad);
	}
	else
		config.max_atomic_bytes = world_below(&self->net, 2) ? 1024 * 1024 : 300;
	if (scratch == NULL)
		scratch = malloc(replica_scratch_bytes());
	config.scratch = scratch;
	if (world_below(&self->net, 2))
	{
		/* a batch takes many frames, and as long as many things that happen meanwhile */
		config.credit = 400;
		config.chunk = 250;
	}
	config.max_row_bytes = 8 * 1024 * 1024;
	config.retention_ms = self->profile->retention_ms;
	config.anti_entropy_ms = self->anti_entropy_ms;
	config.verify_every = self->profile->false_claims ? VERIFY_OFTEN : 0;
	config.off = self->off;
	at->replica = replica_new(&config, world_clock(self, node));
	for (uint32_t i = 0; i < store->n_lives; i++)
		if (row_dictionary_add(replica_dictionary(at->replica), &store->life[i], true, &number) != ROW_INCARNATION_NEW || number != i + 1)
			world_violation(self, "node %d cannot load its dictionary", node);
	if (store->n_claims > 0)
	{
		(void) row_frontier_copy(replica_frontier(at->replica), &store->claim[store->n_claims - 1].frontier);
		(void) row_frontier_copy(replica_floor(at->replica), &store->claim[store->n_claims - 1].floor);
	}
	row_clock_init(&store->clock, ROW_RULE_HOLDS(self->off, ROW_RULE_CLOCK_BOUND) ? store->clock_bound : 0);
	self->healing = true;		/* no refusals here */
	store->own = begin_life(self, at, replica_dictionary(at->replica));
	self->healing = healing;
	if (store->own == 0)
	{
		world_violation(self, "node %d cannot begin", node);
		return;
	}
	row_frontier_reset(&at->last);
	fresh = !store->copied && !store->begun;
	store->begun = true;
	world_trace(self, "node %d starts, life %u%s", node, store->global_of[store->own], fresh ? ", copies" : "");
	replica_begin(at->replica, world_clock(self, node), store->own, fresh);
	replica_pause(at->replica, world_clock(self, node), at->paused);
	self->network->members(self, node);
	world_after(self, 1 + (int64_t) world_below(&self->net, (uint64_t) self->tick_ms), AFTER_TICK, node, 0);
	self->network->connect(self, node);
}

void
world_pause(World *self, int node, bool paused)
{
	RowsNode   *at = &self->node[node];

	at->paused = paused;
	if (at->replica != NULL)
		replica_pause(at->replica, world_clock(self, node), paused);
}

/* Without memory it would not start, and be started again. */
void
world_start(World *self, int node)
{
	HostMemory *memory = &self->node[node].memory;
	int64_t		until_failure = memory->until_failure;

	memory->until_failure = -1;
	start_copy(self, node);
	memory->until_failure = until_failure;
}

/* Its process ends, without a word; what is on disk stays. */
void
world_stop(World *self, int node)
{
	RowsNode   *at = &self->node[node];

	self->network->stop(self, node);
	if (at->replica == NULL)
		return;
	{
		ReplicaFigures figures = replica_figures(at->replica);

		self->figures.batches += figures.batches;
		self->figures.compared += figures.compared;
		self->figures.collected += figures.collected;
		self->figures.adopted += figures.adopted;
		self->figures.interrupted += figures.interrupted;
	}
	replica_destroy(&at->replica);
	if (at->memory.blocks != 0)
		world_violation(self, "node %d keeps %zu blocks of memory after its end", node, at->memory.blocks);
	at->life++;
}

void
world_crash(World *self, int node)
{
	RowsNode   *at = &self->node[node];
	uint64_t	chance = world_below(&self->chance, 1 << 20);
	uint64_t	left = at->store->durable + chance % (at->store->commit - at->store->durable + 1);

	if (at->replica == NULL)
		return;
	world_stop(self, node);
	world_trace(self, "node %d crashes, and loses %d commits", node, (int) (at->store->commit - left));
	check_lost(self, node, left);
	store_crash(at->store, chance);
	check_crashed(self, node);
}

/* Another process with the same key and a copy of the disk. */
int
world_clone(World *self, int node)
{
	int			i = world_add(self, false);
	RowsNode   *at = &self->node[i];

	at->identity = self->node[node].identity;
	self->network->clone(self, i, node);
	at->schema = self->node[node].schema;
	at->offset_ms = self->node[node].offset_ms;
	at->most_ms = self->node[node].most_ms;
	store_clone(at->store, self->node[node].store);
	check_cloned(self, i, node);
	return i;
}

void
world_schema(World *self, int node, uint8_t schema)
{
	RowsNode   *at = &self->node[node];
	uint8_t		bytes[32];

	at->schema = schema;
	world_schema_hash(self, schema, bytes);
	if (at->replica != NULL)
		replica_schema(at->replica, bytes);
}

bool
world_refuses(World *self, Store *store)
{
	return !self->healing && self->profile->refuses > 0 && world_below(&self->net, 1000) < (uint64_t) self->profile->refuses;
}

bool
world_rolls_back(World *self)
{
	return !self->healing && self->profile->refuses > 0 && world_below(&self->net, 8) == 0;
}

void
world_job_soon(World *self, Store *store, bool first)
{
	RowsNode   *at = &self->node[store->node];

	if (at->job_due)
		return;
	at->job_due = true;
	world_after(self, 1 + (int64_t) world_below(&self->net, (uint64_t) self->profile->job_ms), AFTER_JOB, store->node, 0);
}

static void
job_step(World *self, int node)
{
	RowsNode   *at = &self->node[node];
	Store	   *store = at->store;
	StoreJob   *job;
	RowDone		done;

	at->job_due = false;
	if (at->replica == NULL || store->n_jobs == 0)
		return;
	job = store->job[0];
	if (store_job_step(store, job))
	{
		world_job_soon(self, store, false);
		return;
	}
	memmove(store->job, store->job + 1, (size_t) (store->n_jobs - 1) * sizeof *store->job);
	store->n_jobs--;
	done = job->done;
	if (self->trace)
	{
		static const char *const names[] = {"APPLY", "DROP", "COLLECT", "ADOPT"};

		world_trace(self, "node %d did %s of %d rows%s, %u missing, %u changed%s", node, names[job->kind], job->job->n,
					job->job->frontier != NULL ? " and a claim" : "", done.n_missing, done.n_changed, done.failed ? ": failed" : "");
	}
	replica_done(at->replica, world_clock(self, node), &done);
	store_job_free(job);
	if (store->n_jobs > 0)
		world_job_soon(self, store, false);
	if (!replica_figures(at->replica).copying)
		store->copied = true;
	check_node(self, node);
}

static void
tick(World *self, int node)
{
	RowsNode   *at = &self->node[node];

	if (world_below(&self->net, 3) == 0)
		store_flush(at->store);
	store_retry(at->store);
	replica_tick(at->replica, world_clock(self, node));
	world_after(self, self->tick_ms, AFTER_TICK, node, 0);
}

static void
end_writer(World *self, int node, int writer)
{
	Store	   *store = self->node[node].store;
	bool		roll_back = world_below(&self->net, 12) == 0;

	if (!store->writer[writer].open)
		return;
	world_trace(self, "node %d %s ticket %d", node, roll_back ? "rolls back" : "commits", (int) store->writer[writer].ticket);
	if (roll_back)
		store_rollback(store, writer);
	else
	{
		store_commit(store, writer);
		self->figures.commits++;
	}
	world_after(self, (int64_t) world_below(&self->net, 3), AFTER_END, node, writer);
}

static void
happen(World *self, const RowsEvent *event)
{
	RowsNode   *a = &self->node[event->a];
	bool		alive = a->replica != NULL && a->life == event->number;

	note(self, (uint64_t) event->at_ms << 16 ^ (uint64_t) event->kind << 12 ^ (uint64_t) event->a << 6 ^ (uint64_t) event->b);
	note(self, event->len);
	switch (event->kind)
	{
		case AFTER_TICK:
			if (alive)
				tick(self, event->a);
			break;
		case AFTER_ACT:
			if (!self->healing)
				faults_act(self, event->b);
			break;
		case AFTER_JOB:
			if (alive)
				job_step(self, event->a);
			break;
		case AFTER_COMMIT:
			if (alive)
			{
				end_writer(self, event->a, event->b);
				if (world_below(&self->net, 2) == 0)
					replica_tick(a->replica, world_clock(self, event->a));
			}
			break;
		case AFTER_END:
			if (alive)
				store_end(a->store, event->b);
			break;
		case AFTER_START:
			world_start(self, event->a);
			break;
		case AFTER_SIDE:
			a->side = 0;
			for (int i = 0; i < self->n; i++)
				self->one_way[event->a][i] = self->one_way[i][event->a] = false;
			self->network->connect(self, event->a);
			break;
		case AFTER_SCHEMA:
			if (a->schema < event->b)
				world_schema(self, event->a, (uint8_t) event->b);
			break;
		case AFTER_RESUME:
			world_pause(self, event->a, false);
			break;
		case AFTER_LIAR:
			liar_act(self, event->a);
			break;
		default:
			if (!self->failed)
				self->network->happen(self, event);
			free(event->frame);
	}
}

void
world_run(World *self, int64_t until_ms)
{
	while (!self->failed)
	{
		int64_t		next_ms = self->n_heap > 0 ? self->heap[0].at_ms : INT64_MAX;
		int64_t		theirs_ms = self->network->next_ms != NULL ? self->network->next_ms(self) : INT64_MAX;
		RowsEvent	event;

		if (next_ms > until_ms && theirs_ms > until_ms)
			break;
		if (theirs_ms < next_ms)
		{
			self->now_ms = theirs_ms;
			self->network->step(self);
			continue;
		}
		event = take_first(self);
		self->now_ms = event.at_ms;
		happen(self, &event);
		if (!self->healing && self->steps.at > 0 && ++self->steps.n == self->steps.at)
			steps_interrupt(self, event.a, event.b);
	}
	if (self->now_ms < until_ms)
		self->now_ms = until_ms;
}

/* ---- a seed ---- */

static World *running;

/* In place of the core's: the seed failed. */
void
core_assert_failed(const char *file, int line, const char *condition)
{
	if (running == NULL)
	{
		fprintf(stderr, "%s:%d: %s\n", file, line, condition);
		abort();
	}
	world_violation(running, "%s:%d: %s", file, line, condition);
	running->asserted = true;
	longjmp(running->out, 1);
}

static int
between(World *self, const int range[2])
{
	return range[0] + (int) world_below(&self->chance, (uint64_t) (range[1] - range[0] + 1));
}

static void
form(World *self)
{
	const Profile *profile = self->profile;
	GrantRole	role[ROWS_NODES] = {GRANT_NOBODY};
	int			n;
	int			events;

	self->chance = self->seed * UINT64_C(0x2545F4914F6CDD1D) + 1;
	self->net = self->seed * UINT64_C(0x5851F42D4C957F2D) + 2;
	self->n_used = between(self, profile->keys);
	self->n_keys = self->n_used + 2;
	self->mesh = 1 + (int) world_below(&self->chance, 4);
	self->tick_ms = 100 << world_below(&self->chance, 3);
	self->anti_entropy_ms = 1000 << world_below(&self->chance, 3);
	n = between(self, profile->nodes);
	if (self->wanted_nodes > 0)
		n = self->wanted_nodes;
	events = between(self, profile->events);
	self->n_events = self->limit > 0 && self->limit < events ? self->limit : events;
	memset(&self->collection, 7, sizeof self->collection);
	for (int i = 0; i < n; i++)
	{
		(void) world_add(self, false);
		self->node[i].liar = profile->liar && i == n - 1;
		role[i] = profile->readers && i == n - 1 && n > 2 ? GRANT_READER : i == 0 ? GRANT_ADMIN : GRANT_WRITER;
		if (profile->clock_ms > 0)
			faults_set_clock(self, i);
	}
	self->network->form(self, role);
	for (int i = 0; i < n; i++)
	{
		if (self->node[i].liar)
		{
			world_after(self, 100, AFTER_LIAR, i, 0);
			(void) self->network->start(self, i);
			self->network->connect(self, i);
			continue;
		}
		world_start(self, i);
		if (profile->dump > 0 && i != n - 1)
			store_load(self->node[i].store, profile->dump < self->n_used ? profile->dump : self->n_used, self->seed);
	}
}

static void
finish(World *self)
{
	bool		leak = self->failed;

	/* whose statements go with its process is asked of all tables */
	for (int i = 0; i < self->n && !leak; i++)
		world_stop(self, i);
	for (int i = 0; i < self->n; i++)
	{
		if (leak && self->node[i].replica != NULL && !self->asserted)
			replica_destroy(&self->node[i].replica);
		liar_free(self, i);
		batch_free(&self->node[i]);
		row_frontier_reset(&self->node[i].last);
		store_destroy(&self->node[i].store);
		if (self->node[i].saved != NULL)
			store_destroy(&self->node[i].saved);
	}
	while (self->n_heap > 0)
	{
		RowsEvent	event = take_first(self);

		free(event.frame);
	}
	self->network->end(self);
}

static void
all_of_it(World *self)
{
	int64_t		at = 200;

	form(self);
	for (int i = 0; i < self->n_events; i++)
	{
		uint64_t	state = self->seed * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t) i;

		at += (int64_t) world_below(&state, (uint64_t) self->profile->gap_ms);
		if (world_below(&state, 12) == 0)
			at += (int64_t) world_below(&state, 3000);
		world_schedule(self, (RowsEvent) {.at_ms = at, .kind = AFTER_ACT, .b = i});
	}
	world_run(self, at + (int64_t) world_below(&self->chance, 1000));
	if (!self->failed)
		faults_heal(self);
	if (!self->failed)
		check_end(self);
}

/* An assertion that fails ends it. */
static void
guarded(World *self, void (*what) (World *))
{
	running = self;
	if (setjmp(self->out) == 0)
		what(self);
	running = NULL;
}

static const RowsNetwork *
choose_network(const World *self)
{
	if (self->wanted_network != NULL)
		return self->wanted_network;
	/* what is interrupted at each step is interrupted at these steps */
	if (self->steps.at > 0)
		return &rows_links;
	return self->seed / (uint64_t) rows_n_profiles % ROWS_REAL_EACH == ROWS_REAL_EACH - 1 ? &rows_net : &rows_links;
}

bool
rows_run(World *self, uint64_t seed, uint32_t off)
{
	RowsEvent  *heap = self->heap;
	int			room = self->heap_room;
	RowsVersion *version = self->version;
	int			slots = self->version_slots;
	World		options;

	options.limit = self->limit;
	options.trace = self->trace;
	options.wanted_nodes = self->wanted_nodes;
	options.wanted_network = self->wanted_network;
	options.real_crypto = self->real_crypto;
	options.steps = self->steps;
	memcpy(options.skip, self->skip, sizeof self->skip);
	memset(self, 0, sizeof *self);
	self->heap = heap;
	self->heap_room = room;
	self->version = version;
	self->version_slots = slots;
	self->limit = options.limit;
	self->trace = options.trace;
	self->wanted_nodes = options.wanted_nodes;
	self->wanted_network = options.wanted_network;
	self->real_crypto = options.real_crypto;
	self->steps = options.steps;
	self->steps.n = 0;
	memcpy(self->skip, options.skip, sizeof self->skip);
	self->seed = seed;
	self->off = off;
	self->profile = self->steps.at > 0 ? &rows_steps : &rows_profiles[seed % (uint64_t) rows_n_profiles];
	self->network = choose_network(self);
	self->crypto = self->real_crypto ? host_crypto() : rows_cheap_crypto();
	check_reset(self);
	guarded(self, all_of_it);
	guarded(self, finish);
	return !self->failed;
}

void
rows_free(World *self)
{
	free(self->heap);
	free(self->version);
}
