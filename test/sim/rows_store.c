/*
 * rows_store.c
 *	  Tables, transactions, snapshots, and what a crash leaves of them.
 */
#include "rows_store.h"

#include <stdlib.h>

#include "core/assert.h"
#include "net/pack.h"
#include "rows_world.h"

#define AHEAD_TRIES 2

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

static void *
plain_alloc(void *context, size_t size)
{
	return must(malloc(size));
}

static void
plain_free(void *context, void *p)
{
	free(p);
}

Store *
store_new(World *world, int node, int n_keys, uint32_t off, size_t content_pad)
{
	Store	   *self = must(calloc(1, sizeof *self));

	CORE_ASSERT(n_keys <= STORE_KEYS);
	self->world = world;
	self->node = node;
	self->n_keys = n_keys;
	self->off = off;
	self->memory = (CoreMemory) {NULL, plain_alloc, plain_free};
	self->content_pad = content_pad;
	self->content = must(malloc(16 + content_pad));
	row_clock_init(&self->clock, 0);
	store_begin_applying(self);
	return self;
}

static void
forget_shared(Store *self)
{
	memset(&self->tickets, 0, sizeof self->tickets);
	memset(self->writer, 0, sizeof self->writer);
	for (int i = 0; i < self->n_jobs; i++)
		store_job_free(self->job[i]);
	for (int i = 0; i < self->n_scans; i++)
		free(self->scan[i]);
	self->n_jobs = self->n_scans = 0;
	self->own = 0;
	self->job_ticket = 0;
	store_begin_applying(self);
	for (int k = 0; k < self->n_keys; k++)
		self->key[k].locked = 0;
}

static void
free_claim(StoreClaim *claim)
{
	row_frontier_reset(&claim->frontier);
	row_frontier_reset(&claim->floor);
}

void
store_destroy(Store **at)
{
	Store	   *self = *at;

	forget_shared(self);
	for (int k = 0; k < self->n_keys; k++)
		free(self->key[k].row);
	for (int i = 0; i < self->n_claims; i++)
		free_claim(&self->claim[i]);
	free(self->life);
	free(self->global_of);
	free(self->number_of);
	free(self->content);
	free(self);
	*at = NULL;
}

/* ---- keys and contents ---- */

int
store_key(RowBytes bytes)
{
	int			key = bytes.len == STORE_KEY_BYTES && bytes.at[0] == 'k' ? bytes.at[1] << 8 | bytes.at[2] : -1;

	return key < STORE_KEYS ? key : -1;
}

RowBytes
store_key_bytes(int key, uint8_t out[STORE_KEY_BYTES])
{
	out[0] = 'k';
	out[1] = (uint8_t) (key >> 8);
	out[2] = (uint8_t) key;
	return (RowBytes) {out, STORE_KEY_BYTES};
}

static uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

void
store_hashes(const StoreData *data, uint8_t hash[ROW_HASH], uint8_t vector_hash[ROW_HASH])
{
	memset(hash, 0, ROW_HASH);
	memset(vector_hash, 0, ROW_HASH);
	if (!data->live)
		return;
	bytes_store(hash, 8, mix(data->meta + 1) ^ mix(mix(data->vector + 2)));
	bytes_store(hash + 8, 8, 1);
	bytes_store(vector_hash, 8, mix(data->vector + 3));
	bytes_store(vector_hash + 8, 8, 2);
}

/* Its columns as bytes, good until the next call. */
RowBytes
store_content(Store *self, const StoreData *data, bool thin)
{
	bytes_store(self->content, 8, data->meta);
	bytes_store(self->content + 8, 8, data->vector);
	if (self->content_pad > 0 && !thin)
		memset(self->content + 16, (int) (data->vector & 0xff), self->content_pad);
	return (RowBytes) {self->content, thin ? 8 : 16 + self->content_pad};
}

/* ---- commits ---- */

const StoreRow *
store_at(const Store *self, int key, uint64_t commit)
{
	const StoreKey *k = &self->key[key];

	for (int i = k->n - 1; i >= 0; i--)
		if (k->row[i].commit <= commit)
			return &k->row[i];
	return NULL;
}

const StoreRow *
store_head(const Store *self, int key)
{
	const StoreKey *k = &self->key[key];

	return k->n == 0 ? NULL : &k->row[k->n - 1];
}

void
store_begin_commit(Store *self)
{
	self->commit++;
}

void
store_put(Store *self, int key, const StoreRow *row)
{
	StoreKey   *k = &self->key[key];

	if (k->n > 0 && k->row[k->n - 1].commit == self->commit)
		k->n--;
	if (k->n == k->room)
	{
		k->room = 2 * k->room + 4;
		k->row = must(realloc(k->row, (size_t) k->room * sizeof *k->row));
	}
	k->row[k->n] = *row;
	k->row[k->n].commit = self->commit;
	k->n++;
	if (row->present && row->entry.held == ROW_APPLIED && row->entry.version.clock > self->seen_clock[key])
		self->seen_clock[key] = row->entry.version.clock;
	world_put(self->world, self, key, row);
}

void
store_put_claim(Store *self, const RowFrontier *frontier, const RowFrontier *floor)
{
	const StoreClaim *last = self->n_claims == 0 ? NULL : &self->claim[self->n_claims - 1];
	StoreClaim	new = {.commit = self->commit};

	row_frontier_init(&new.frontier, &self->memory);
	row_frontier_init(&new.floor, &self->memory);
	if (last != NULL)
	{
		(void) row_frontier_copy(&new.frontier, &last->frontier);
		(void) row_frontier_copy(&new.floor, &last->floor);
	}
	if (frontier != NULL)
		(void) row_frontier_join(&new.frontier, frontier);
	if (floor != NULL)
		(void) row_frontier_join(&new.floor, floor);
	if (self->n_claims == 16)
	{
		free_claim(&self->claim[0]);
		memmove(self->claim, self->claim + 1, 15 * sizeof self->claim[0]);
		self->n_claims--;
	}
	self->claim[self->n_claims++] = new;
	batch_claimed(self->world, self, frontier, &self->claim[self->n_claims - 1].floor);
}

/* Of rows only: nothing else was put. */
void
store_roll_back(Store *self)
{
	for (int k = 0; k < self->n_keys; k++)
		if (self->key[k].n > 0 && self->key[k].row[self->key[k].n - 1].commit == self->commit)
			self->key[k].n--;
}

void
store_end_commit(Store *self, bool durable)
{
	if (durable)
		store_flush(self);
	store_trim(self);
}

void
store_flush(Store *self)
{
	self->durable = self->commit;
}

void
store_trim(Store *self)
{
	uint64_t	oldest = self->durable;

	for (int i = 0; i < self->n_scans; i++)
		if (self->scan[i]->commit < oldest)
			oldest = self->scan[i]->commit;
	for (int key = 0; key < self->n_keys; key++)
	{
		StoreKey   *k = &self->key[key];
		int			first = 0;

		while (first + 1 < k->n && k->row[first + 1].commit <= oldest)
			first++;
		if (first > 0)
			memmove(k->row, k->row + first, (size_t) (k->n - first) * sizeof *k->row);
		k->n -= first;
	}
	while (self->n_claims > 1 && self->claim[1].commit <= self->durable)
	{
		free_claim(&self->claim[0]);
		memmove(self->claim, self->claim + 1, (size_t) (self->n_claims - 1) * sizeof self->claim[0]);
		self->n_claims--;
	}
}

static void
recompute_seen(Store *self)
{
	for (int k = 0; k < self->n_keys; k++)
	{
		const StoreRow *row = store_head(self, k);

		self->seen_clock[k] = row != NULL && row->present && row->entry.held == ROW_APPLIED ? row->entry.version.clock : 0;
	}
}

void
store_crash(Store *self, uint64_t chance)
{
	uint64_t	left = self->durable + chance % (self->commit - self->durable + 1);

	forget_shared(self);
	for (int k = 0; k < self->n_keys; k++)
		while (self->key[k].n > 0 && self->key[k].row[self->key[k].n - 1].commit > left)
			self->key[k].n--;
	while (self->n_claims > 0 && self->claim[self->n_claims - 1].commit > left)
		free_claim(&self->claim[--self->n_claims]);
	while (self->n_conflicts > 0 && self->conflict[self->n_conflicts - 1].commit > left)
		self->n_conflicts--;
	self->commit = self->durable = left;
	if (self->lost > left)
		self->lost = left;
	recompute_seen(self);
	store_trim(self);
}

void
store_clone(Store *self, const Store *from)
{
	self->commit = self->durable = 1;
	for (int k = 0; k < from->n_keys; k++)
	{
		const StoreRow *row = store_at(from, k, from->durable);

		if (row != NULL)
		{
			self->key[k].n = 0;
			store_put(self, k, row);
		}
	}
	for (int i = from->n_claims - 1; i >= 0; i--)
		if (from->claim[i].commit <= from->durable)
		{
			store_put_claim(self, &from->claim[i].frontier, &from->claim[i].floor);
			break;
		}
	self->n_lives = from->n_lives;
	if (from->n_lives > 0)
	{
		self->life = must(malloc((from->n_lives + 1) * sizeof *self->life));
		memcpy(self->life, from->life, from->n_lives * sizeof *self->life);
		self->global_of = must(malloc((from->n_lives + 1) * sizeof *self->global_of));
		memcpy(self->global_of, from->global_of, (from->n_lives + 1) * sizeof *self->global_of);
		self->number_of = must(malloc(STORE_LIVES * sizeof *self->number_of));
		memcpy(self->number_of, from->number_of, STORE_LIVES * sizeof *self->number_of);
	}
	memcpy(self->conflict, from->conflict, sizeof self->conflict);
	for (uint32_t i = 0; i < from->n_conflicts && from->conflict[i].commit <= from->durable; i++)
		self->conflict[self->n_conflicts++].commit = self->commit;
	self->clock_bound = from->clock_bound;
	self->copied = from->copied;
	self->begun = from->begun;
	recompute_seen(self);
}

/* ---- users ---- */

uint64_t
store_clock(Store *self, int64_t unix_us, uint64_t above)
{
	uint64_t	value = row_clock_next(&self->clock, unix_us, above);

	for (int i = 0; i < AHEAD_TRIES && value == 0; i++)
	{
		uint64_t	bound = row_clock_wanted_bound(&self->clock, unix_us);

		if (bound == 0 || bound <= above)
			bound = above + (uint64_t) ROW_CLOCK_AHEAD_US;
		self->clock_bound = bound;
		row_clock_bounded(&self->clock, bound);
		value = row_clock_next(&self->clock, unix_us, above);
	}
	return value;
}

/* What was applied here is not above what a restart goes on from: its tombstone may be collected soon. */
void
store_keep_bound(Store *self, int64_t unix_us)
{
	uint64_t	bound = row_clock_wanted_bound(&self->clock, unix_us);

	if (bound > self->clock_bound)
	{
		self->clock_bound = bound;
		row_clock_bounded(&self->clock, bound);
	}
}

int
store_begin(Store *self, bool sync)
{
	for (int i = 0; i < STORE_WRITERS; i++)
		if (!self->writer[i].open && !self->writer[i].ended)
		{
			memset(&self->writer[i], 0, sizeof self->writer[i]);
			self->writer[i].open = true;
			self->writer[i].sync = sync;
			return i;
		}
	return -1;
}

/* What the transaction sees of a key: its own write, or the last commit. */
static StoreWrite
current(const Store *self, const StoreWriter *writer, int key, int *place)
{
	StoreWrite	write = {.key = key};
	const StoreRow *row = store_head(self, key);

	for (*place = 0; *place < writer->n; ++*place)
		if (writer->write[*place].key == key)
			return writer->write[*place];
	if (row != NULL)
	{
		write.table = row->table;
		write.has_entry = row->present;
		write.entry = row->entry;
	}
	return write;
}

bool
store_write(Store *self, int at, int key, StoreAct act, uint64_t value, int64_t unix_us)
{
	StoreWriter *writer = &self->writer[at];
	int			place;
	StoreWrite	write;
	uint8_t		hash[ROW_HASH];
	uint8_t		vector_hash[ROW_HASH];
	bool		live;
	uint64_t	above;
	uint64_t	clock;

	if (!writer->open || (self->key[key].locked != 0 && self->key[key].locked != at + 1))
		return false;
	write = current(self, writer, key, &place);
	if (place == STORE_WRITES || (act != STORE_INSERT_OR_UPDATE && !write.table.live))
		return false;
	if (act == STORE_INSERT_OR_UPDATE || act == STORE_MOVE || !write.table.live)
		write.table = (StoreData) {true, value, act == STORE_MOVE ? write.table.vector : value};
	else if (act == STORE_UPDATE_META)
		write.table.meta = value;
	else
		write.table = (StoreData) {false, 0, 0};
	if (store_refuses(self, &write.table))
		return false;
	if (writer->ticket == 0)
	{
		writer->ticket = ticket_take(&self->tickets, at + 1);
		if (writer->ticket == 0)
			return false;
		world_ticket(self->world, self, writer->ticket);
	}
	store_hashes(&write.table, hash, vector_hash);
	/* the trigger of DELETE fires last in a move */
	live = ROW_RULE_HOLDS(self->off, ROW_RULE_LIVE_FROM_TABLE) ? write.table.live : act != STORE_MOVE && write.table.live;
	above = write.has_entry && write.entry.version.clock <= (uint64_t) (unix_us + STORE_SKEW_US) ? write.entry.version.clock : 0;
	clock = store_clock(self, unix_us, above);
	if (clock == 0 || (write.has_entry && write.entry.version.clock == ROW_CLOCK_MAX))
		return false;
	if (clock <= self->last_clock)
		world_violation(self->world, "I5: the clock of node %d goes back", self->node);
	self->last_clock = clock;
	write.entry = row_written(write.has_entry ? &write.entry : NULL, clock, (RowStamp) {self->own, writer->ticket},
							  &self->life[self->own - 1].id, live, hash, vector_hash);
	if (write.entry.version.clock <= self->seen_clock[key])
		world_violation(self->world, "I1: a write of key %d at node %d, clock %llu, is older than one that the node had seen, %llu", key,
						self->node, (unsigned long long) write.entry.version.clock, (unsigned long long) self->seen_clock[key]);
	write.has_entry = true;
	self->key[key].locked = at + 1;
	writer->write[place] = write;
	writer->n += place == writer->n;
	return true;
}

void
store_commit(Store *self, int at)
{
	StoreWriter *writer = &self->writer[at];

	CORE_ASSERT(writer->open);
	if (writer->n > 0)
	{
		store_begin_commit(self);
		for (int i = 0; i < writer->n; i++)
		{
			const StoreWrite *write = &writer->write[i];
			const StoreRow *head = store_head(self, write->key);
			StoreRow	row = {.present = true, .entry = write->entry, .table = write->table};

			if (head != NULL && head->present && head->entry.held != ROW_APPLIED)
			{
				uint8_t		bytes[STORE_KEY_BYTES];
				bool		stands;

				(void) row_apply_written(&self->apply, store_key_bytes(write->key, bytes), &head->entry, &write->entry, &stands);
				if (stands)
				{
					row.entry = head->entry;
					row.aside = head->aside;
					row.why = head->why;
				}
			}
			world_written(self->world, self, write);
			store_put(self, write->key, &row);
			self->key[write->key].locked = 0;
		}
		store_end_commit(self, writer->sync);
	}
	writer->open = false;
	writer->ended = writer->ticket != 0;
}

void
store_rollback(Store *self, int at)
{
	StoreWriter *writer = &self->writer[at];

	for (int i = 0; i < writer->n; i++)
		self->key[writer->write[i].key].locked = 0;
	writer->open = false;
	writer->ended = writer->ticket != 0;
}

void
store_end(Store *self, int at)
{
	StoreWriter *writer = &self->writer[at];

	if (writer->ended)
		(void) ticket_give_back(&self->tickets, writer->ticket, at + 1);
	writer->ended = false;
}

static bool
any_lock(const Store *self)
{
	for (int k = 0; k < self->n_keys; k++)
		if (self->key[k].locked != 0)
			return true;
	return false;
}

/* A delete of all rows; older snapshots lose the table. */
void
store_truncate(Store *self, int64_t unix_us)
{
	if (any_lock(self))
		return;
	for (int first = 0; first < self->n_keys; first += STORE_WRITES)
	{
		int			writer = store_begin(self, true);

		if (writer < 0)
			return;
		for (int k = first; k < self->n_keys && k < first + STORE_WRITES; k++)
			(void) store_write(self, writer, k, STORE_DELETE, 0, unix_us);
		store_commit(self, writer);
		store_end(self, writer);
	}
	self->lost = self->commit;
}

/* ALTER TABLE that writes all rows anew; older snapshots lose the table. */
void
store_rewrite(Store *self)
{
	if (any_lock(self))
		return;
	store_begin_commit(self);
	store_end_commit(self, true);
	self->lost = self->commit;
}

void
store_load(Store *self, int n, uint64_t seed)
{
	uint64_t	ticket = ticket_take(&self->tickets, 1);

	world_ticket(self->world, self, ticket);
	store_begin_commit(self);
	for (int k = 0; k < n; k++)
	{
		StoreRow	row = {.present = true, .table = {true, mix(seed + (uint64_t) k), mix(seed + 7 * (uint64_t) k)}};
		uint8_t		hash[ROW_HASH];
		uint8_t		vector_hash[ROW_HASH];

		store_hashes(&row.table, hash, vector_hash);
		row.entry = row_loaded((RowStamp) {self->own, ticket}, hash, vector_hash);
		store_put(self, k, &row);
	}
	store_end_commit(self, true);
	(void) ticket_give_back(&self->tickets, ticket, 1);
}

/* ---- the replica's host ---- */

static RowScan *
host_open(void *context, const RowFrontier *covered)
{
	Store	   *self = context;
	RowScan    *scan;

	if (self->n_scans == STORE_SCANS || world_refuses(self->world, self))
		return NULL;
	if (covered != NULL)
	{
		store_begin_commit(self);
		store_put_claim(self, covered, NULL);
		store_end_commit(self, false);
	}
	if (ROW_RULE_HOLDS(self->off, ROW_RULE_FLUSH))
		store_flush(self);
	scan = must(malloc(sizeof *scan));
	scan->store = self;
	scan->commit = self->commit;
	scan->n = scan->at = 0;
	self->scan[self->n_scans++] = scan;
	return scan;
}

static void
host_close(void *context, RowScan *scan)
{
	Store	   *self = context;

	for (int i = 0; i < self->n_scans; i++)
		if (self->scan[i] == scan)
		{
			self->scan[i] = self->scan[--self->n_scans];
			free(scan);
			return;
		}
	CORE_ASSERT(scan == NULL);
}

/* By incarnation and ticket, as the feed's index has them. */
static void
host_seek_changes(void *context, RowScan *scan, const RowFrontier *above)
{
	Store	   *self = context;
	RowStamp	stamp[STORE_KEYS];

	scan->n = scan->at = 0;
	for (int k = 0; k < self->n_keys; k++)
	{
		const StoreRow *row = store_at(self, k, scan->commit);
		int			i;

		if (row == NULL || !row->present || row_frontier_covers(above, row->entry.stamp))
			continue;
		for (i = scan->n++; i > 0 && (stamp[i - 1].incarnation > row->entry.stamp.incarnation ||
									  (stamp[i - 1].incarnation == row->entry.stamp.incarnation &&
									   stamp[i - 1].ticket > row->entry.stamp.ticket)); i--)
		{
			stamp[i] = stamp[i - 1];
			scan->order[i] = scan->order[i - 1];
		}
		stamp[i] = row->entry.stamp;
		scan->order[i] = (uint8_t) k;
	}
}

static void
host_seek_keys(void *context, RowScan *scan, const RowRange *range)
{
	Store	   *self = context;

	scan->n = scan->at = 0;
	for (int k = 0; k < self->n_keys; k++)
	{
		const StoreRow *row = store_at(self, k, scan->commit);
		uint8_t		bytes[STORE_KEY_BYTES];
		RowBytes	key = store_key_bytes(k, bytes);

		if (row != NULL && row->present && (range->low.len == 0 || row_key_compare(key, range->low) > 0) &&
			(range->high.len == 0 || row_key_compare(key, range->high) <= 0))
			scan->order[scan->n++] = (uint8_t) k;
	}
}

static RowRead
read_row(RowScan *scan, int key, Row *out)
{
	const StoreRow *row = store_at(scan->store, key, scan->commit);

	if (row == NULL || !row->present)
		return ROW_READ_END;
	memset(out, 0, sizeof *out);
	out->key = store_key_bytes(key, scan->key);
	out->entry = row->entry;
	return ROW_READ;
}

static RowRead
host_next(void *context, RowScan *scan, Row *out)
{
	if (scan->at >= scan->n)
		return ROW_READ_END;
	return read_row(scan, scan->order[scan->at++], out);
}

static RowRead
host_find(void *context, RowScan *scan, RowBytes bytes, Row *out)
{
	int			key = store_key(bytes);

	return key < 0 || key >= scan->store->n_keys ? ROW_READ_END : read_row(scan, key, out);
}

static RowRead
host_content(void *context, RowScan *scan, Row *out, bool thin)
{
	Store	   *self = context;
	int			key = store_key(out->key);
	const StoreRow *row = store_at(self, key, scan->commit);
	const StoreData *data;

	CORE_ASSERT(row != NULL && row->present && out->entry.live);
	data = row->entry.held == ROW_APPLIED ? &row->table : &row->aside;
	if (!data->live || (row->entry.held == ROW_APPLIED && scan->commit < self->lost))
		return ROW_READ_LOST;
	out->thin = thin;
	out->content = store_content(self, data, thin);
	return ROW_READ;
}

static bool
host_has_tombstones(void *context, const RowFrontier *below)
{
	const Store *self = context;
	uint64_t	heard = (uint64_t) (world_unix_us(self->world, self->node) + STORE_SKEW_US);

	for (int k = 0; k < self->n_keys; k++)
	{
		const StoreRow *head = store_head(self, k);

		if (head != NULL && head->present && !head->entry.live && head->entry.held == ROW_APPLIED &&
			(head->entry.version.clock <= heard || head->entry.version.clock <= self->clock.last) &&
			row_frontier_covers(below, head->entry.stamp) && row_frontier_covers(below, head->entry.birth))
			return true;
	}
	return false;
}

static uint64_t
host_total(void *context, RowScan *scan)
{
	return (uint64_t) ((const Store *) context)->n_keys;
}

static void
host_settled(void *context, RowSettled *out)
{
	Store	   *self = context;

	if (ROW_RULE_HOLDS(self->off, ROW_RULE_OPEN_TICKETS))
		ticket_settled(&self->tickets, out);
	else
	{
		out->top = self->tickets.last;
		out->n = 0;
	}
}

static uint64_t
host_clock(void *context)
{
	Store	   *self = context;

	return self->clock.last;
}

static void
host_clock_heard(void *context, uint64_t value)
{
	Store	   *self = context;

	if (ROW_RULE_HOLDS(self->off, ROW_RULE_CLOCK_HEARD))
		(void) row_clock_heard(&self->clock, world_unix_us(self->world, self->node), value, STORE_SKEW_US);
}

static bool
host_submit(void *context, const RowJob *job)
{
	Store	   *self = context;

	if (self->n_jobs == STORE_JOBS || world_refuses(self->world, self))
		return false;
	self->job[self->n_jobs++] = store_job_new(job);
	world_job_soon(self->world, self, self->n_jobs == 1);
	return true;
}

static bool
host_keep_incarnation(void *context, uint32_t number, const RowIncarnation *incarnation)
{
	Store	   *self = context;
	uint32_t	global;

	if (world_refuses(self->world, self))
		return false;
	CORE_ASSERT(number == self->n_lives + 1);
	self->life = must(realloc(self->life, (number + 1) * sizeof *self->life));
	self->global_of = must(realloc(self->global_of, (number + 1) * sizeof *self->global_of));
	if (self->number_of == NULL)
		self->number_of = must(calloc(STORE_LIVES, sizeof *self->number_of));
	self->life[self->n_lives++] = *incarnation;
	global = world_life(self->world, &incarnation->id);
	self->global_of[number] = (uint16_t) global;
	self->number_of[global] = number;
	return true;
}

static RowOwner
host_owner(void *context, const uint8_t *owner)
{
	Store	   *self = context;

	return self->world->network->owner(self->world, self->node, owner);
}

static LinkSent
host_send(void *context, const KadId *to, const uint8_t *frame, size_t len)
{
	Store	   *self = context;

	RowsNode   *at = &self->world->node[self->node];

	batch_told(self->world, self, to, frame, len);
	if (self->world->profile->rate > 0)
		at->sent_ms = (at->sent_ms > self->world->now_ms ? at->sent_ms : self->world->now_ms) + (int64_t) len / self->world->profile->rate;
	return self->world->network->send(self->world, self->node, to, frame, len);
}

static int
host_columns(void *context, const RowColumn **out)
{
	const Store *self = context;

	return world_columns(self->world->node[self->node].schema, out);
}

/* Whoever has others has more, or fewer. */
static void
host_differs(void *context, const KadId *id, const uint8_t *schema, RowBytes columns)
{
	const Store *self = context;
	const RowColumn *ours;
	int			n = host_columns(context, &ours);
	RowColumn	theirs[UINT8_MAX + 1];
	int			m = 0;
	uint8_t		hash[32];
	char		text[200];

	while (m <= UINT8_MAX && row_wire_next_column(&columns, &theirs[m]))
		m++;
	if (!row_schema_hash(&self->world->crypto, theirs, m, hash) || memcmp(hash, schema, 32) != 0 ||
		!row_schema_difference(ours, n, theirs, m, true, text, sizeof text) ||
		strcmp(text, n < m ? "column \"c\" is only there" : "column \"c\" is not there") != 0)
		abort();
}

static bool
host_may_send(void *context)
{
	const Store *self = context;
	const World *world = self->world;

	return world->profile->rate == 0 || world->healing || world->node[self->node].sent_ms <= world->now_ms;
}

static int
host_mesh(void *context, KadId *out, int room)
{
	Store	   *self = context;

	return self->world->network->mesh(self->world, self->node, out, room);
}

static void
host_log(void *context, const char *text)
{
	Store	   *self = context;

	world_trace(self->world, "node %d says: %s", self->node, text);
}

RowHost
store_host(Store *self)
{
	return (RowHost) {self, host_open, host_close, host_seek_changes, host_seek_keys, host_next, host_find,
		host_content, host_has_tombstones, host_total, host_settled, host_clock, host_clock_heard, host_submit, host_keep_incarnation, host_owner, host_send, host_columns, host_differs,
		host_mesh, host_log, host_may_send, NULL, net_pack, net_unpack};
}
