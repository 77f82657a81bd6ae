/*
 * rows_jobs.c
 *	  What a replica hands over to be written.
 *
 * A job is one transaction: it happens at its commit, and is done when that is on disk.
 * A crash may come between any of its steps.
 */
#include <stdlib.h>

#include "core/assert.h"
#include "rows_store.h"
#include "rows_world.h"

StoreJob *
store_job_new(const RowJob *job)
{
	StoreJob   *self = calloc(1, sizeof *self);

	self->kind = job->kind;
	self->id = job->id;
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

static StoreData
content_of(const Row *row, const StoreData *here)
{
	StoreData	data = {false, 0, 0};

	if (!row->entry.live || row->content.len < 8)
		return data;
	data.live = true;
	data.meta = bytes_load(row->content.at, 8);
	data.vector = row->thin ? here->vector : row->content.len < 16 ? 0 : bytes_load(row->content.at + 8, 8);
	return data;
}

/* Write an incoming row over what is here. */
static void
take_row(Store *self, int key, const StoreRow *head, const Row *row, int64_t unix_us)
{
	StoreRow	new = {.present = true, .entry = row->entry};
	StoreData	nothing = {false, 0, 0};
	StoreData	content = content_of(row, head == NULL ? &nothing : &head->table);

	if (head != NULL)
		new.table = head->table;
	new.entry.held = ROW_APPLIED;
	if (row->entry.version.clock > (uint64_t) (unix_us + STORE_SKEW_US))
		new.entry.held = ROW_QUARANTINED;
	else if (self->key[key].locked != 0)
		new.entry.held = ROW_PARKED;
	if (new.entry.held == ROW_APPLIED)
	{
		new.table = content;
		if (ROW_RULE_HOLDS(self->off, ROW_RULE_CLOCK_HEARD))
			(void) row_clock_heard(&self->clock, unix_us, row->entry.version.clock, STORE_SKEW_US);
	}
	else
		new.aside = content;
	store_put(self, key, &new);
}

static void
apply_row(Store *self, StoreJob *job, int index, int64_t unix_us)
{
	const Row  *row = &job->job->row[index];
	int			key = store_key(row->key);
	const StoreRow *head;
	const RowEntry *here;
	RowDecision decision;

	if (key < 0 || key >= self->n_keys)
		return;					/* a liar's */
	head = store_head(self, key);
	here = head != NULL && head->present ? &head->entry : NULL;
	decision = row_decide(here, &row->entry, row->thin, job->job->covered, job->job->collected, job->job->claim);
	if (decision == ROW_NEEDS_VECTOR && !ROW_RULE_HOLDS(self->off, ROW_RULE_VECTOR_HASH) && here != NULL && here->live &&
		here->held == ROW_APPLIED)
		decision = ROW_TAKE;
	switch (decision)
	{
		case ROW_TAKE_OVER:
			world_conflict(self->world, self, key, here);
			/* FALLTHROUGH */
		case ROW_TAKE:
			take_row(self, key, head, row, unix_us);
			break;
		case ROW_SAME:
			{
				StoreRow	new = *head;

				new.entry.stamp = row->entry.stamp;
				new.entry.birth = row->entry.birth;
				new.entry.vector_stamp = row->entry.vector_stamp;
				store_put(self, key, &new);
			}
			break;
		case ROW_NEEDS_VECTOR:
			job->missing[job->n_missing++] = (uint32_t) index;
			break;
		case ROW_KEEP_OVER:
			world_conflict(self->world, self, key, &row->entry);
			break;
		case ROW_KEEP:
		case ROW_LATE:
			break;
	}
}

static void
drop_row(Store *self, StoreJob *job, const Row *row, int64_t unix_us)
{
	int			key = store_key(row->key);
	const StoreRow *head = key < 0 || key >= self->n_keys ? NULL : store_head(self, key);
	StoreRow	nothing = {.present = false};

	if (head == NULL || !head->present || row_version_compare(&head->entry.version, &row->entry.version) != 0)
		return;
	if (row->lost || (head->entry.live && !row_frontier_covers(job->job->covered, head->entry.stamp)))
		world_conflict(self->world, self, key, &head->entry);
	world_dropped(self->world, self, key, &head->entry);
	if (row->lost && head->entry.live)
	{
		nothing.present = true;
		nothing.entry = row_lost(&head->entry, (RowStamp) {self->own, job->ticket});
	}
	else if (ROW_RULE_HOLDS(self->off, ROW_RULE_CLOCK_HEARD))
		/* who collected what was newer had heard it: it is our clock that is behind */
		(void) row_clock_heard(&self->clock, unix_us, head->entry.version.clock, INT64_MAX);
	store_put(self, key, &nothing);
	job->n_changed++;
}

/* Is the clock of a tombstone heard, so that it may go?  Without the rule it goes all the same. */
static bool
hears(Store *self, int64_t unix_us, uint64_t clock)
{
	return ROW_RULE_HOLDS(self->off, ROW_RULE_CLOCK_HEARD) ? row_clock_heard(&self->clock, unix_us, clock, STORE_SKEW_US) :
		clock <= (uint64_t) (unix_us + STORE_SKEW_US);
}

static void
collect(Store *self, StoreJob *job, int64_t unix_us)
{
	StoreRow	nothing = {.present = false};

	for (int k = 0; k < self->n_keys; k++)
	{
		const StoreRow *head = store_head(self, k);

		if (head == NULL || !head->present || head->entry.live || head->entry.held != ROW_APPLIED ||
			self->key[k].locked != 0 || !row_frontier_covers(job->job->below, head->entry.stamp) ||
			!row_frontier_covers(job->job->below, head->entry.birth) ||
			!hears(self, unix_us, head->entry.version.clock))
			continue;
		world_collected(self->world, self, k, &head->entry);
		store_put(self, k, &nothing);
		job->n_changed++;
	}
}

static void
adopt(Store *self, StoreJob *job)
{
	const RowFrontier *covered = job->job->covered != NULL ? job->job->covered : job->job->frontier;
	RowStamp	stamp = {self->own, job->ticket};

	for (int k = 0; k < self->n_keys; k++)
	{
		const StoreRow *head = store_head(self, k);
		StoreRow	new;

		if (head == NULL || !head->present ||
			(row_frontier_covers(covered, head->entry.stamp) && row_frontier_covers(covered, head->entry.birth)))
			continue;
		if (self->key[k].locked != 0)
		{
			job->n_missing++;
			continue;
		}
		/* what our own open transactions have stamped is not in the table yet, so it is not adopted */
		new = *head;
		new.entry.stamp = stamp;
		if (!row_frontier_covers(covered, new.entry.birth))
			new.entry.birth = stamp;
		if (!row_frontier_covers(covered, new.entry.vector_stamp))
			new.entry.vector_stamp = stamp;
		store_put(self, k, &new);
		job->n_changed++;
	}
}

static bool
any_locked(const Store *self, const RowJob *job)
{
	for (int i = 0; i < job->n; i++)
	{
		int			key = store_key(job->row[i].key);

		if (key >= 0 && key < self->n_keys && self->key[key].locked != 0)
			return true;
	}
	return false;
}

/* Is one deleted by a write of ours? */
static bool
any_lost(const RowJob *job)
{
	for (int i = 0; job->kind == ROW_JOB_DROP && i < job->n; i++)
		if (job->row[i].lost)
			return true;
	return false;
}

/* The transaction, up to its commit. */
static void
write_all(Store *self, StoreJob *job, int64_t unix_us)
{
	const RowJob *todo = job->job;

	if (todo->kind == ROW_JOB_DROP && any_locked(self, todo))
	{
		job->failed = true;		/* lock_timeout */
		return;
	}
	store_begin_commit(self);
	switch (todo->kind)
	{
		case ROW_JOB_APPLY:
			for (int i = 0; i < todo->n; i++)
				apply_row(self, job, i, unix_us);
			break;
		case ROW_JOB_DROP:
			for (int i = 0; i < todo->n; i++)
				drop_row(self, job, &todo->row[i], unix_us);
			break;
		case ROW_JOB_COLLECT:
			collect(self, job, unix_us);
			break;
		case ROW_JOB_ADOPT:
			adopt(self, job);
			break;
	}
	if ((todo->frontier != NULL || todo->floor != NULL) && job->n_missing == 0 &&
		ROW_RULE_HOLDS(self->off, ROW_RULE_CLAIM_WITH_ROWS))
		store_put_claim(self, todo->frontier, todo->floor);
	store_end_commit(self, false);
	store_keep_bound(self, unix_us);
}

bool
store_job_step(Store *self, StoreJob *job, int64_t unix_us)
{
	switch (job->step++)
	{
		case 0:
			if (job->kind == ROW_JOB_ADOPT || any_lost(job->job))
			{
				job->ticket = ticket_take(&self->tickets, 1000);
				job->failed = job->ticket == 0;
				if (!job->failed)
					world_ticket(self->world, self, job->ticket);
			}
			if (world_refuses(self->world, self))
				job->failed = true;
			else if (!ROW_RULE_HOLDS(self->off, ROW_RULE_CLAIM_WITH_ROWS) &&
					 (job->job->frontier != NULL || job->job->floor != NULL))
			{
				store_begin_commit(self);
				store_put_claim(self, job->job->frontier, job->job->floor);
				store_end_commit(self, true);
			}
			return true;
		case 1:
			if (!job->failed)
				write_all(self, job, unix_us);
			return true;
		case 2:
			if (job->ticket != 0)
				(void) ticket_give_back(&self->tickets, job->ticket, 1000);
			job->ticket = 0;
			return true;
		default:
			store_flush(self);
			store_trim(self);
			return false;
	}
}
