/*
 * rows_jobs.c
 *	  What a replica hands over to be written, and the table that it is written to.
 *
 * What becomes of a row is decided in the core (apply.h).  Here is what that works on,
 * and when: each step of a job is one commit, and it is done when the last of them is on
 * disk.  A crash may come between any two.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "rows_store.h"
#include "rows_world.h"

#define JOB_PID 1000

enum
{
	JOB_BEGIN,
	JOB_WRITE,
	JOB_GIVE_BACK,
	JOB_FLUSH
};

StoreJob *
store_job_new(const RowJob *job)
{
	StoreJob   *self = calloc(1, sizeof *self);

	self->kind = job->kind;
	self->copy = *job;
	self->job = &self->copy;
	self->missing = malloc(((size_t) job->n + 1) * sizeof *self->missing);
	return self;
}

void
store_job_free(StoreJob *self)
{
	free(self->missing);
	free(self);
}

/* ---- the table ---- */

/* -1: it is no key of this table. */
static int
key_of(const Store *self, RowBytes bytes)
{
	int			key = store_key(bytes);

	return key < self->n_keys ? key : -1;
}

static void
table_find(void *context, RowBytes bytes, RowFound *out)
{
	Store	   *self = context;
	int			key = key_of(self, bytes);
	const StoreRow *head = key < 0 ? NULL : store_head(self, key);

	out->busy = key >= 0 && self->key[key].locked != 0;
	out->present = head != NULL && head->present;
	if (out->present)
	{
		out->entry = head->entry;
		out->why = head->why;
	}
}

static bool
selected(RowSelect which, const RowEntry *entry)
{
	switch (which)
	{
		case ROW_SELECT_ALL:
			return true;
		case ROW_SELECT_DEAD:
			return !entry->live && entry->held == ROW_APPLIED;
		case ROW_SELECT_PARKED:
			return entry->held == ROW_PARKED;
		case ROW_SELECT_QUARANTINED:
			return entry->held == ROW_QUARANTINED;
	}
	return false;
}

static bool
table_next(void *context, RowSelect which, RowBytes after, Row *out)
{
	Store	   *self = context;

	for (int k = after.len == 0 ? 0 : store_key(after) + 1; k < self->n_keys; k++)
	{
		const StoreRow *head = store_head(self, k);

		if (head == NULL || !head->present || !selected(which, &head->entry))
			continue;
		memset(out, 0, sizeof *out);
		out->key = store_key_bytes(k, self->next_key);
		out->entry = head->entry;
		return true;
	}
	return false;
}

/* False: these are not the columns. */
static bool
read_content(const Row *row, const StoreData *here, StoreData *out)
{
	*out = (StoreData) {false, 0, 0};
	if (!row->entry.live)
		return true;
	if (row->content.len < (row->thin ? 8 : 16))
		return false;
	out->live = true;
	out->meta = bytes_load(row->content.at, 8);
	out->vector = row->thin ? here->vector : bytes_load(row->content.at + 8, 8);
	return true;
}

/* The row that came, beside what the table has. */
static bool
read_row(const Store *self, const Row *row, StoreData *here, StoreData *out)
{
	int			key = key_of(self, row->key);
	const StoreRow *head = key < 0 ? NULL : store_head(self, key);

	*here = head == NULL ? (StoreData) {false, 0, 0} : head->table;
	return read_content(row, here, out) && key >= 0;
}

static bool
table_hashes(void *context, const Row *row, uint8_t hash[ROW_HASH], uint8_t vector_hash[ROW_HASH])
{
	StoreData	here;
	StoreData	data;

	if (!read_row(context, row, &here, &data))
		return false;
	store_hashes(&data, hash, vector_hash);
	return true;
}

bool
store_refuses(const Store *self, const StoreData *data)
{
	return data->live && world_constrains(self->world, self->node, data->meta);
}

static RowWritten
table_write(void *context, const Row *row, char text[ROW_REASON_TEXT])
{
	Store	   *self = context;
	StoreRow	new = {.present = true, .entry = row->entry};
	StoreData	here;
	int			key = key_of(self, row->key);

	if (!read_row(self, row, &here, &new.table) || store_refuses(self, &new.table))
	{
		snprintf(text, ROW_REASON_TEXT, "a constraint of node %d", self->node);
		return ROW_WRITE_REFUSED;
	}
	CORE_ASSERT(self->key[key].locked == 0);
	if (self->at_work == ROW_JOB_DROP && store_head(self, key) != NULL)
		world_dropped(self->world, self, key, &store_head(self, key)->entry);
	store_put(self, key, &new);
	return ROW_WRITTEN;
}

/* I14: is there what a row is said to be held by? */
static bool
is_right(const Store *self, const Row *row, RowReason why, const StoreData *data)
{
	uint8_t		hash[ROW_HASH];
	uint8_t		vector_hash[ROW_HASH];

	switch (why)
	{
		case ROW_REASON_NONE:
			return self->key[key_of(self, row->key)].locked != 0;
		case ROW_REASON_CLOCK:
			return row->entry.version.clock > (uint64_t) (world_unix_us(self->world, self->node) + STORE_SKEW_US);
		case ROW_REASON_HASH:
			store_hashes(data, hash, vector_hash);
			return memcmp(hash, row->entry.hash, ROW_HASH) != 0 || memcmp(vector_hash, row->entry.vector_hash, ROW_HASH) != 0;
		case ROW_REASON_TABLE:
			return store_refuses(self, data);
	}
	return false;
}

static bool
table_set_aside(void *context, const Row *row, RowReason why, const char *text)
{
	Store	   *self = context;
	StoreRow	new = {.present = true, .entry = row->entry, .why = why};

	if (key_of(self, row->key) < 0)
		return true;			/* a liar's */
	if (!read_row(self, row, &new.table, &new.aside))
		new.aside.live = row->entry.live;
	if (self->at_work == ROW_JOB_DROP && store_head(self, key_of(self, row->key)) != NULL)
		world_dropped(self->world, self, key_of(self, row->key), &store_head(self, key_of(self, row->key))->entry);
	if (!is_right(self, row, why, &new.aside))
		world_violation(self->world, "I14: key %d of node %d is set aside (%d), and nothing holds it", key_of(self, row->key), self->node, (int) why);
	world_trace(self->world, "node %d: key %d, clock %llu, is held: %s", self->node, key_of(self, row->key),
				(unsigned long long) row->entry.version.clock, why == ROW_REASON_NONE ? "locked" : text[0] != '\0' ? text : "clock or hash");
	store_put(self, key_of(self, row->key), &new);
	return true;
}

static bool
table_aside(void *context, RowBytes bytes, RowBytes *content)
{
	Store	   *self = context;
	const StoreRow *head = store_head(self, key_of(self, bytes));

	CORE_ASSERT(head != NULL && head->present && head->entry.held != ROW_APPLIED && head->entry.live);
	*content = store_content(self, &head->aside, false);
	return true;
}

static bool
table_restamp(void *context, RowBytes bytes, const RowEntry *entry)
{
	Store	   *self = context;
	StoreRow	new = *store_head(self, key_of(self, bytes));

	CORE_ASSERT(row_version_compare(&entry->version, &new.entry.version) >= 0 && entry->held == new.entry.held);
	new.entry = *entry;
	store_put(self, key_of(self, bytes), &new);
	return true;
}

static bool
table_remove(void *context, RowBytes bytes)
{
	Store	   *self = context;
	StoreRow	nothing = {.present = false};
	int			key = key_of(self, bytes);

	CORE_ASSERT(self->key[key].locked == 0);
	if (self->at_work == ROW_JOB_DROP)
	{
		world_dropped(self->world, self, key, &store_head(self, key)->entry);
		/* of a clock further ahead than is heard nothing is known any more */
		if (self->seen_clock[key] > self->clock.last)
			self->seen_clock[key] = self->clock.last;
	}
	else
		world_collected(self->world, self, key, &store_head(self, key)->entry);
	store_put(self, key, &nothing);
	return true;
}

static bool
table_conflict(void *context, RowBytes bytes, const RowEntry *loser, const Row *came)
{
	Store	   *self = context;
	int			key = key_of(self, bytes);

	if (key < 0)
		return true;
	for (uint32_t i = 0; i < self->n_conflicts; i++)
		if (self->conflict[i].key == key && row_version_compare(&self->conflict[i].version, &loser->version) == 0)
			return true;
	CORE_ASSERT(self->n_conflicts <= STORE_CONFLICTS);
	self->conflict[self->n_conflicts++] = (StoreConflict) {self->commit, key, loser->version};
	world_conflict(self->world, self, key, loser);
	return true;
}

static uint32_t
table_conflicts(void *context)
{
	return ((Store *) context)->n_conflicts;
}

static bool
table_forget_conflict(void *context)
{
	Store	   *self = context;

	memmove(self->conflict, self->conflict + 1, --self->n_conflicts * sizeof self->conflict[0]);
	return true;
}

static bool
table_stamp(void *context, RowStamp *out)
{
	Store	   *self = context;

	if (self->job_ticket == 0)
	{
		self->job_ticket = ticket_take(&self->tickets, JOB_PID);
		if (self->job_ticket == 0)
			return false;
		world_ticket(self->world, self, self->job_ticket);
	}
	*out = (RowStamp) {self->own, self->job_ticket};
	return true;
}

static bool
table_version(void *context, uint64_t above, RowVersion *out)
{
	Store	   *self = context;

	out->clock = store_clock(self, world_unix_us(self->world, self->node), above);
	memcpy(out->tie, self->life[self->own - 1].id.bytes, ROW_HASH);
	return out->clock != 0;
}

static bool
table_clock_heard(void *context, uint64_t value, int64_t skew_us)
{
	Store	   *self = context;

	return row_clock_heard(&self->clock, world_unix_us(self->world, self->node), value, skew_us);
}

static bool
table_keep_clock(void *context)
{
	Store	   *self = context;

	store_keep_bound(self, world_unix_us(self->world, self->node));
	return true;
}

static bool
table_claim(void *context, const RowFrontier *frontier, const RowFrontier *floor)
{
	Store	   *self = context;

	if (self->at_work != ROW_JOB_COLLECT && floor != NULL &&
		(self->n_claims == 0 || !row_frontier_includes(&self->claim[self->n_claims - 1].floor, floor)))
	{
		self->floor_clock = self->clock.last;
		world_floor_raised(self->world, self);
	}
	store_put_claim(self, frontier, floor);
	return true;
}

void
store_begin_applying(Store *self)
{
	RowApplyConfig config = {
		.table = {self, table_find, table_next, table_write, table_set_aside, table_aside, table_restamp, table_remove,
			table_hashes, table_conflict, table_conflicts, table_forget_conflict, table_stamp, table_version, table_clock_heard,
		table_keep_clock, table_claim},
		.skew_us = STORE_SKEW_US, .max_conflicts = STORE_CONFLICTS, .retry_ms = 100, .retry_most_ms = 3000, .off = self->off,
	};

	row_apply_init(&self->apply, &config);
}

/* ---- jobs ---- */

/* One transaction of it. */
static void
write_some(Store *self, StoreJob *job)
{
	self->at_work = job->kind;
	store_begin_commit(self);
	job->more = row_apply_step(&self->apply, world_clock(self->world, self->node));
	store_end_commit(self, false);
	row_apply_done(&self->apply, &job->done);
	if (job->done.failed && (job->kind == ROW_JOB_APPLY || job->kind == ROW_JOB_DROP))
		world_violation(self->world, "I14: a row keeps node %d from doing the others of its job", self->node);
}

bool
store_job_step(Store *self, StoreJob *job)
{
	switch (job->step)
	{
		case JOB_BEGIN:
			row_apply_begin(&self->apply, job->job, job->missing);
			row_apply_done(&self->apply, &job->done);
			job->done.failed = world_refuses(self->world, self);
			job->step = job->done.failed ? JOB_FLUSH : JOB_WRITE;
			return true;
		case JOB_WRITE:
			write_some(self, job);
			job->step = JOB_GIVE_BACK;
			return true;
		case JOB_GIVE_BACK:
			if (self->job_ticket != 0)
				(void) ticket_give_back(&self->tickets, self->job_ticket, JOB_PID);
			self->job_ticket = 0;
			job->step = job->more ? JOB_WRITE : JOB_FLUSH;
			return true;
		default:
			store_flush(self);
			store_trim(self);
			return false;
	}
}

void
store_retry(Store *self)
{
	CoreClock	now = world_clock(self->world, self->node);
	uint32_t	n;

	if (!row_apply_retry_due(&self->apply, now))
		return;
	self->at_work = ROW_JOB_APPLY;
	store_begin_commit(self);
	n = row_apply_retry(&self->apply, now);
	if (n > 0 && world_rolls_back(self->world))
	{
		world_trace(self->world, "node %d: the transaction that tried %u held rows fails", self->node, n);
		store_roll_back(self);
		row_apply_failed(&self->apply);
		n = 0;
	}
	store_end_commit(self, n > 0);
}
