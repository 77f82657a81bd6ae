/*
 * sync_rows.c
 *	  Rows of shared collections in a node's worker: which collections there are, the
 *	  lives that begin here, and what drives a replica (core/rows/replica.h).
 *
 * A collection has a replica from when the transaction that captures its table
 * (rows/capture.h) is committed.  Where it is shared here its life has begun before, since
 * that transaction gives versions to the rows that are there.
 */
#include "sync/sync_rows.h"

#include <sodium.h>

#include "access/relation.h"
#include "fault_point.h"
#include "guc.h"
#include "miscadmin.h"
#include "rows/row_shape.h"
#include "rows/version_table.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "worker/worker.h"

#define ASIDE_MS 200			/* between looks at which rows are set aside, while somebody waits for a token */
#define LOOK_MS 10000			/* at the tables, where nobody has said that they changed */
#define TICK_MS 100
#define QUIET_TICK_MS 500		/* ... where for so long nothing was written here and nothing came: */
#define QUIET_MS 3000

/* ---------------------------------------------------------------------------
 * Memory
 */

/* May the collections of its owner together have so much more?  No more than they leave to others. */
static bool
has_share(const SyncCollection *self, size_t size)
{
	const SyncRows *rows = self->rows;
	size_t		mine = size;

	if (self->owner == NODE_NO_SHARE || rows->allocated + size <= ROWS_MEMORY_ALL / 2)
		return true;
	for (int i = 0; i < rows->n; i++)
		if (rows->collection[i]->owner == self->owner)
			mine += rows->collection[i]->allocated;
	return mine <= ROWS_MEMORY_ALL - rows->allocated;
}

static void *
rows_alloc(void *context, size_t size)
{
	SyncCollection *self = context;
	size_t		room = ROWS_MEMORY + (size_t) self->rows->settings.atomic_kB * 1024;
	size_t	   *p;

	if (size > room || self->allocated > room - size || self->rows->allocated > ROWS_MEMORY_ALL - size ||
		!has_share(self, size))
		return NULL;
	p = malloc(size + 16);
	if (!p)
		return NULL;
	*p = size;
	self->allocated += size;
	self->rows->allocated += size;
	return (char *) p + 16;
}

static void
rows_free(void *context, void *block)
{
	SyncCollection *self = context;
	size_t	   *p = (size_t *) ((char *) block - 16);

	self->allocated -= *p;
	self->rows->allocated -= *p;
	free(p);
}

static void
fill_random(void *context, void *bytes, size_t n)
{
	randombytes_buf(bytes, n);
}

/* ---------------------------------------------------------------------------
 * Lives
 */

typedef struct Load
{
	SyncWorker *worker;
	const uint8_t *root;
	Oid			table;
	RowDictionary *dictionary;
	RowFrontier *frontier;		/* NULL: not asked for */
	RowFrontier *floor;
	bool		captured;
	bool		complete;		/* nothing was left out for want of memory */
	bool		known;			/* something has been kept of it */
	uint8_t		schema[CORE_HASH_BYTES];
} Load;

static bool
take_incarnation(void *arg, uint32 number, const uint8 *bytes)
{
	Load	   *load = arg;
	RowIncarnation incarnation;
	uint32_t	given = 0;

	row_incarnation_decode(bytes, &incarnation);
	load->complete = row_dictionary_add(load->dictionary, &incarnation, true, &given) == ROW_INCARNATION_NEW && given == number;
	return load->complete;
}

/* What is kept of a collection, in a transaction. */
static void
load_state(void *arg)
{
	Load	   *load = arg;

	load->complete = true;
	if (OidIsValid(load->table))
	{
		Relation	rel;

		if (!OidIsValid(VersionTableOf(load->table)) || !ConditionalLockRelationOid(load->table, AccessShareLock))
			return;
		rel = try_relation_open(load->table, NoLock);
		if (!rel)
			return;
		memcpy(load->schema, RowShapeSchema(RowShapeOf(rel)), sizeof(load->schema));
		relation_close(rel, NoLock);
		load->captured = true;
	}
	if (!RowStateIncarnations(load->root, take_incarnation, load))
		load->complete = false;
	if (load->frontier)
		load->known = RowStateLoad(load->root, load->frontier, load->floor, NULL);
}

typedef struct Begin
{
	const uint8_t *root;
	uint32_t	number;
	uint8_t		bytes[ROW_INCARNATION_BYTES];
} Begin;

static void
write_incarnation(void *arg)
{
	Begin	   *begin = arg;

	RowStateAddIncarnation(begin->root, begin->number, begin->bytes);
}

/*
 * The number of this life of a collection, which is begun unless it goes on; 0 after a
 * line in the log.  The dictionary is that of the tables, and gets the life.
 */
static uint32_t
begin_life(SyncRows *self, const uint8_t *root, Oid table, Oid owner, RowDictionary *dictionary)
{
	RowsLife	life;
	RowIncarnation incarnation;
	Begin		begin = {root};

	if (RowsLifeFind(table, &life))
	{
		life.number = row_dictionary_find(dictionary, &life.id);
		if (life.number > 0)
			return life.number;
		RowsLifeEnd(table);		/* of another collection, with the same table */
	}
	if (!row_incarnation_begin(dictionary, &self->random, node_secret(self->worker->node), &incarnation) ||
		row_dictionary_add(dictionary, &incarnation, true, &begin.number) != ROW_INCARNATION_NEW)
		return 0;
	row_incarnation_encode(&incarnation, begin.bytes);
	if (!WorkerTransaction(SYNC_STATEMENT_MS, write_incarnation, &begin))
		return 0;
	FAULT_POINT("life-written");
	life = (RowsLife) {.number = begin.number, .id = incarnation.id, .writable = true};
	memcpy(life.collection, dictionary->collection.b, ROW_TOKEN_COLLECTION);
	if (RowsLifeBegin(table, owner, &life))
		return begin.number;
	ereport(LOG,
			(errmsg("collection of table %u is not replicated", table),
			 errdetail("A server replicates %d, the last %d of them of tables of superusers, and of one owner's no more than it leaves to others.", ROWS_COLLECTIONS, ROWS_COLLECTIONS_RESERVED),
			 errhint("vecdb.leave() leaves one.")));
	return 0;
}

typedef struct Shared
{
	const uint8_t *root;
	RowFrontier *nothing;
} Shared;

static void
keep_as_source(void *arg)
{
	Shared	   *shared = arg;

	(void) RowStateKeep(shared->root, shared->nothing, shared->nothing);
}

bool
SyncRowsShare(SyncWorker *worker, const uint8_t root[CORE_KEY_BYTES], Oid table)
{
	SyncRows   *self = worker->rows;
	SyncCollection memory_of = {.rows = self};
	CoreMemory	memory = {&memory_of, rows_alloc, rows_free};
	KadId		id = kad_id_of_key(node_crypto(worker->node), root);
	RowDictionary dictionary;
	RowFrontier nothing;
	Load		load = {worker, root, .dictionary = &dictionary};
	Shared		shared = {root, &nothing};
	Oid			owner;
	Oid			share;
	bool		ok;

	row_dictionary_init(&dictionary, &memory, node_crypto(worker->node), &id);
	row_frontier_init(&nothing, &memory);
	ok = SyncTableOwner(table, &owner, &share) &&
		WorkerTransaction(SYNC_STATEMENT_MS, load_state, &load) && load.complete &&
		begin_life(self, root, table, share, &dictionary) > 0 &&
		WorkerTransaction(SYNC_STATEMENT_MS, keep_as_source, &shared);
	row_dictionary_reset(&dictionary);
	FAULT_POINT("share-life-begun");
	return ok;
}

static void
forget(void *arg)
{
	RowStateForget(arg);
}

/* What an earlier copy had covered is not in a table that joins.  Another that does has begun already. */
static bool
forget_earlier(SyncRows *self, const uint8_t *root, Oid table)
{
	uint8_t		key[CORE_KEY_BYTES];
	Oid			bound;

	for (int i = 0; i < ROWS_JOINING; i++)
		if (OidIsValid(self->joining[i].table) && self->joining[i].table != table && memcmp(self->joining[i].root, root, CORE_KEY_BYTES) == 0)
			return true;
	memcpy(key, root, sizeof(key));
	return !SyncFindTable(root, &bound) || OidIsValid(bound) || WorkerTransaction(SYNC_STATEMENT_MS, forget, key);
}

bool
SyncRowsJoin(SyncWorker *worker, const uint8_t root[CORE_KEY_BYTES], Oid table)
{
	SyncRows   *self = worker->rows;

	if (!forget_earlier(self, root, table))
		return false;
	FAULT_POINT("earlier-forgotten");
	for (int i = 0; i < ROWS_JOINING; i++)
		if (!OidIsValid(self->joining[i].table) || self->joining[i].table == table)
		{
			self->joining[i].table = table;
			memcpy(self->joining[i].root, root, CORE_KEY_BYTES);
			return SyncRowsShare(worker, root, table);
		}
	ereport(LOG, (errmsg("%d tables with rows join collections at the moment, and no more do", ROWS_JOINING)));
	return false;
}

/* A join that was rolled back leaves a life behind, which ends once its collection is given back (sync_store.c). */
static void
end_joining(SyncRows *self)
{
	for (int i = 0; i < ROWS_JOINING; i++)
	{
		SyncJoining *joining = &self->joining[i];
		uint8_t		now[CORE_KEY_BYTES];
		Oid			bound;
		bool		held;

		if (!OidIsValid(joining->table))
			continue;
		held = SyncFindTable(joining->root, &bound);
		/* in the midst of it, or it could not be seen */
		if (held && !OidIsValid(bound))
			continue;
		/* it may be another collection's by now */
		if (!SyncFindRoot(joining->table, now))
			RowsLifeEnd(joining->table);
		if (!held)
			(void) WorkerTransaction(SYNC_STATEMENT_MS, forget, joining->root);
		joining->table = InvalidOid;
	}
}

/* ---------------------------------------------------------------------------
 * Collections
 */

SyncCollection *
SyncRowsOf(const SyncRows *self, Oid table)
{
	for (int i = 0; i < self->n; i++)
		if (self->collection[i]->table == table)
			return self->collection[i];
	return NULL;
}

void
SyncRowsPause(SyncRows *self, Oid table, bool paused, CoreClock clock)
{
	SyncCollection *collection = SyncRowsOf(self, table);

	if (!collection || collection->paused == paused)
		return;
	collection->paused = paused;
	replica_pause(collection->replica, clock, paused);
	self->worker->due.rows_tick = 0;
	ereport(LOG, (errmsg(paused ? "rows of the collection of table %u are paused" : "rows of the collection of table %u go on", table)));
}

static void
end_collection(SyncCollection *self)
{
	SyncRows   *rows = self->rows;

	SyncRowsLeave(rows);
	SyncVerifyEnd(self);
	replica_destroy(&self->replica);
	if (self->place >= 0)
		AppliesLeave(rows->applies, self->place);
	MemoryContextDelete(self->context);
	for (int i = 0; i < rows->n; i++)
		if (rows->collection[i] == self)
			rows->collection[i] = rows->collection[--rows->n];
	free(self);
}

static ReplicaConfig
config_of(SyncCollection *self, const uint8_t *schema)
{
	SyncRows   *rows = self->rows;
	Node	   *node = rows->worker->node;
	ReplicaConfig config = {
		.host = SyncRowsHost(self),
		.memory = &self->memory,
		.crypto = node_crypto(node),
		.random = &rows->random,
		.collection = kad_id_of_key(node_crypto(node), self->root),
		.self = node_record(node)->id,
		.max_atomic_bytes = (uint32_t) rows->settings.atomic_kB * 1024,
		.credit = (uint32_t) rows->settings.batch_kB * 1024,
		.max_row_bytes = ROWS_ROW_BYTES,
		.retention_ms = rows->settings.retention_min * INT64CONST(60000),
		.anti_entropy_ms = rows->settings.entropy_s * INT64CONST(1000),
		.scratch = rows->scratch
	};

	memcpy(config.schema, schema, sizeof(config.schema));
	return config;
}

/* From what is kept, as far as there is memory for it. */
static bool
begin_replica(SyncCollection *self, CoreClock clock)
{
	static const uint8_t unknown[CORE_HASH_BYTES];
	ReplicaConfig config = config_of(self, unknown);
	Load		load = {self->rows->worker, self->root, self->table};
	RowFrontier nothing;
	uint32_t	own;

	self->replica = replica_new(&config, clock);
	if (!self->replica)
		return false;
	load.dictionary = replica_dictionary(self->replica);
	load.frontier = replica_frontier(self->replica);
	load.floor = replica_floor(self->replica);
	if (!WorkerTransaction(SYNC_STATEMENT_MS, load_state, &load) || !load.captured || !load.complete)
		return false;
	own = begin_life(self->rows, self->root, self->table, self->owner, load.dictionary);
	if (own == 0)
		return false;
	replica_schema(self->replica, load.schema);
	memcpy(self->schema, load.schema, sizeof(self->schema));
	/* a copy is one only until something is kept of it: what a restart breaks off is compared */
	row_frontier_init(&nothing, &self->memory);
	if (!load.known && !WorkerTransaction(SYNC_STATEMENT_MS, keep_as_source, &(Shared) {self->root, &nothing}))
		return false;
	SyncColumnsForget(self);
	replica_begin(self->replica, clock, own, !load.known);
	replica_pause(self->replica, clock, self->paused);
	return true;
}

static void
begin_collection(SyncRows *self, const SyncSharedTable *shared, CoreClock clock)
{
	SyncCollection *new;

	if (self->n == ROWS_COLLECTIONS)
		return;
	new = calloc(1, sizeof(*new));
	if (!new)
		return;
	new->rows = self;
	memcpy(new->root, shared->root, CORE_KEY_BYTES);
	new->table = shared->table;
	new->owner = shared->owner;
	new->paused = shared->paused;
	new->seen = true;
	new->place = -1;
	new->memory = (CoreMemory) {new, rows_alloc, rows_free};
	new->context = AllocSetContextCreate(self->context, "vecdb collection", ALLOCSET_DEFAULT_SIZES);
	self->collection[self->n++] = new;
	if (!begin_replica(new, clock))
	{
		end_collection(new);
		return;
	}
	ereport(LOG, (errmsg("rows of the collection of table %u are replicated", new->table)));
}

/* It was left, or its table is gone. */
static void
forget_collection(SyncCollection *self)
{
	uint8_t		root[CORE_KEY_BYTES];

	memcpy(root, self->root, sizeof(root));
	RowsLifeEnd(self->table);
	end_collection(self);
	FAULT_POINT("leave-before-forgotten");
	(void) WorkerTransaction(SYNC_STATEMENT_MS, forget, root);
}

/* Is the table captured?  Then something is to begin. */
static void
is_captured(void *arg)
{
	Load	   *load = arg;

	load->captured = OidIsValid(VersionTableOf(load->table));
}

/* What collections are served with: its memory may not be there for all. */
static void
begin_helpers(void *arg)
{
	SyncRows   *self = arg;

	if (!self->snapshots)
		self->snapshots = SnapshotsNew(self->worker->slot->name);
	self->applies = AppliesNew(self->worker->slot->name);
}

static bool
has_helpers(SyncRows *self)
{
	self->no_memory = !self->applies && !WorkerTry(begin_helpers, NULL, self);
	return !self->no_memory;
}

/* Those that are gone are forgotten before others begin: one may be the same collection, which was left and joined again. */
static void
look(SyncRows *self, CoreClock clock)
{
	SyncSharedTable *list = palloc(sizeof(*list) * NODE_COLLECTIONS);
	bool	   *begins = palloc0(sizeof(*begins) * NODE_COLLECTIONS);
	int			n = SyncSharedTables(list, NODE_COLLECTIONS);

	if (n < 0)
		return;
	self->no_memory = false;
	for (int i = 0; i < self->n; i++)
		self->collection[i]->seen = false;
	for (int i = 0; i < n; i++)
	{
		SyncCollection *known = SyncRowsOf(self, list[i].table);
		Load		load = {.table = list[i].table};
		bool		looked = WorkerTransaction(SYNC_STATEMENT_MS, is_captured, &load);

		if (known)
		{
			known->owner = list[i].owner;
			SyncRowsPause(self, list[i].table, list[i].paused, clock);
			known->seen = !looked || (load.captured && memcmp(known->root, list[i].root, CORE_KEY_BYTES) == 0);
		}
		else
			begins[i] = looked && load.captured;
	}
	for (int i = self->n - 1; i >= 0; i--)
		if (!self->collection[i]->seen)
			forget_collection(self->collection[i]);
	for (int i = 0; i < n; i++)
		if (begins[i])
		{
			if (!has_helpers(self))
				return;
			begin_collection(self, &list[i], clock);
		}
}

/* ---------------------------------------------------------------------------
 * What the node hands on, and time
 */

/* The next tick is no later than where nothing rests. */
static void
stir(SyncWorker *worker, int64_t tick_ms)
{
	worker->rows->stirred_ms = tick_ms;
	worker->due.rows_tick = Min(worker->due.rows_tick, tick_ms + TICK_MS);
}

static void
on_frame(void *context, uint32_t tag, const KadId *from, const uint8_t *frame, size_t len)
{
	SyncWorker *worker = context;
	SyncCollection *collection = SyncRowsOf(worker->rows, tag);

	stir(worker, worker->net->clock.tick_ms);
	FAULT_POINT("frame-received");
	if (collection)
		replica_frame(collection->replica, worker->net->clock, from, frame, len);
	FAULT_POINT("frame-taken");
}

static void
on_link(void *context, const KadId *id, bool up)
{
	SyncWorker *worker = context;
	SyncRows   *self = worker->rows;

	stir(worker, worker->net->clock.tick_ms);
	for (int i = 0; i < self->n; i++)
		if (up)
			replica_connected(self->collection[i]->replica, worker->net->clock, id);
		else
			replica_gone(self->collection[i]->replica, worker->net->clock, id);
}

NodeRows
SyncRowsCallbacks(SyncWorker *worker)
{
	return (NodeRows) {worker, on_frame, on_link};
}

static SyncRowsSettings
settings_now(void)
{
	return (SyncRowsSettings) {
		VecdbMaxBatch_kB, VecdbMaxAtomic_kB, VecdbAntiEntropy_s, VecdbTombstoneRetention_min, VecdbMaxClockSkew_s
	};
}

void
SyncRowsInit(SyncWorker *worker)
{
	SyncRows   *self = MemoryContextAllocZero(TopMemoryContext, sizeof(*self));

	self->worker = worker;
	self->settings = settings_now();
	self->random = (CoreRandom) {NULL, fill_random};
	self->context = AllocSetContextCreate(TopMemoryContext, "vecdb rows", ALLOCSET_DEFAULT_SIZES);
	self->scratch = MemoryContextAlloc(self->context, replica_scratch_bytes());
	worker->rows = self;
	SyncColumnsInit(self);
}

void
SyncRowsLook(SyncWorker *worker)
{
	worker->due.rows = 0;
}

void
SyncRowsStop(SyncWorker *worker)
{
	while (worker->rows->n > 0)
		end_collection(worker->rows->collection[worker->rows->n - 1]);
}

/* Replicas begin anew with other settings. */
static void
follow_settings(SyncRows *self)
{
	SyncRowsSettings now = settings_now();

	if (memcmp(&now, &self->settings, sizeof(now)) == 0)
		return;
	SyncRowsStop(self->worker);
	self->settings = now;
	self->worker->due.rows = 0;
}

static void
look_aside(void *arg)
{
	SyncCollection *self = arg;

	HeldRowTops(self->table, &self->aside);
}

/*
 * Could a row of this ticket, or of a later one of that life, which may have taken its
 * place, not go into its table?  What is set aside is covered, and a reader does not see it.
 */
static bool
is_set_aside(SyncCollection *self, const RowTokenTicket *ticket)
{
	uint32_t	life = row_dictionary_find(replica_dictionary(self->replica), &ticket->incarnation);
	ReplicaFigures figures = replica_figures(self->replica);
	int64_t		tick = node_clock().tick_ms;

	/* what comes may be set aside, what is there may go */
	if (tick >= self->aside_ms || figures.rows_taken + figures.batches != self->aside_of)
	{
		/* somebody has locked the table of what is held: it is not known for a moment */
		if (!WorkerTransaction(SYNC_STATEMENT_MS, look_aside, self))
			self->aside = (HeldTops) {.more = true};
		self->aside_ms = tick + ASIDE_MS;
		self->aside_of = figures.rows_taken + figures.batches;
	}
	for (int i = 0; i < self->aside.n; i++)
		if (self->aside.top[i].incarnation == life && self->aside.top[i].ticket >= ticket->ticket)
			return true;
	return self->aside.more;
}

/* For TokenWaitAnswerAll(). */
static TokenWaitAnswer
answer_wait(void *context, const RowTokenTicket *ticket, bool all)
{
	const SyncRows *self = context;
	SyncCollection *collection = NULL;
	TokenWaitAnswer answer = {.state = TOKEN_WAITING, .lacking = -1};

	for (int i = 0; i < self->n && !collection; i++)
		if (memcmp(replica_dictionary(self->collection[i]->replica)->collection.b, ticket->collection, ROW_TOKEN_COLLECTION) == 0)
			collection = self->collection[i];
	if (!collection)
	{
		/* one that was joined a moment ago has not begun */
		if (!node_collection_here(self->worker->node, ticket->collection, ROW_TOKEN_COLLECTION))
			answer.state = TOKEN_NOT_HERE;
		return answer;
	}
	if (all)
		answer.lacking = replica_lacking(collection->replica, &ticket->incarnation, ticket->ticket);
	if (!replica_covers(collection->replica, &ticket->incarnation, ticket->ticket) || (all && answer.lacking != 0))
		return answer;
	answer.set_aside = is_set_aside(collection, ticket);
	if (!answer.set_aside)
		answer.state = TOKEN_REACHED;
	return answer;
}

/* What vecdb.max_send_rate lets through, up to that of a second. */
static void
let_through(SyncRows *self, CoreClock clock)
{
	int64_t		rate = VecdbMaxSendRate_kB * INT64CONST(1024);

	if (rate == 0)
		self->sendable = 0;
	else
		self->sendable = Min(rate, self->sendable + rate * Min(clock.tick_ms - self->sendable_ms, 1000) / 1000);
	self->sendable_ms = clock.tick_ms;
}

void
SyncRowsRun(SyncWorker *worker, CoreClock clock)
{
	SyncRows   *self = worker->rows;
	bool		tick = clock.tick_ms >= worker->due.rows_tick;
	int			first;

	SyncRowsLeave(self);
	follow_settings(self);
	if (clock.tick_ms >= worker->due.rows)
	{
		worker->due.rows = clock.tick_ms + LOOK_MS;
		end_joining(self);
		look(self, clock);
	}
	if (self->n == 0)
	{
		TokenWaitAnswerAll(answer_wait, self);
		return;
	}
	if (tick)
	{
		worker->due.rows_tick = clock.tick_ms + (clock.tick_ms - self->stirred_ms < QUIET_MS ? TICK_MS : QUIET_TICK_MS);
		SnapshotsTend(self->snapshots, clock.tick_ms);
		AppliesTend(self->applies, clock.tick_ms);
		RowsClockKeep();
		let_through(self, clock);
	}
	/* which of them may send first where the rate is limited is left to chance */
	first = tick && self->n > 1 ? (int) core_random_below(&self->random, (uint64_t) self->n) : 0;
	for (int i = 0; i < self->n; i++)
	{
		SyncCollection *collection = self->collection[(first + i) % self->n];
		bool		committed = RowsCommitted(collection->table);

		if (committed || collection->posted)
			stir(worker, clock.tick_ms);
		if (collection->place < 0)
			collection->place = AppliesEnter(self->applies, collection->table, collection->root);
		if (tick)
		{
			SyncRowsMembers(collection, clock);
			SyncVerifyTend(collection, clock);
		}
		SyncRowsColumns(collection, clock);
		SyncRowsChange(collection, clock);
		SyncRowsWork(collection, clock);
		if (committed || tick)
			replica_tick(collection->replica, clock);
		SyncRowsWork(collection, clock);
	}
	SyncRowsLeave(self);
	TokenWaitAnswerAll(answer_wait, self);
}

const char *
SyncRowsLack(const SyncWorker *worker)
{
	const SyncRows *self = worker->rows;
	bool		index;

	if (self->no_memory)
		return "no rows travel, a segment of shared memory could not be made: the server's log says why";
	if (self->n == 0)
		return "";
	if (SnapshotsLackRoom(self->snapshots))
		return "no rows are sent to others, there is no room for the process that holds snapshots: raise max_worker_processes";
	if (AppliesLackRoom(self->applies, &index))
		return "rows of others wait, there is no room for an apply worker: raise max_worker_processes";
	return index ? "an index waits, there is no room for the process that builds it: raise max_worker_processes" : "";
}

size_t
SyncRowsMemory(const SyncWorker *worker)
{
	return worker->rows->allocated + (size_t) worker->rows->n * sizeof(SyncCollection);
}
