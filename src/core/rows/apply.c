/*
 * apply.c
 *	  Jobs of a replica, row by row, and what is held tried again.
 *
 * Nothing here is bounded by what others send but by the job, which the replica has
 * bounded, and by the numbers in apply.h.
 */
#include "core/rows/apply.h"

#include "core/assert.h"
#include "core/rows/rules.h"

#define SHRINK 2				/* conflicts that go for each that comes where the list has too many */

void
row_apply_init(RowApply *self, const RowApplyConfig *config)
{
	CORE_ASSERT(config->max_conflicts > 0 && config->retry_ms > 0 && config->retry_most_ms >= config->retry_ms);
	memset(self, 0, sizeof *self);
	self->config = *config;
	self->at.parked.wait_ms = self->at.quarantined.wait_ms = config->retry_ms;
	self->at.parked.at_ms = self->at.quarantined.at_ms = INT64_MIN;
}

void
row_apply_begin(RowApply *self, const RowJob *job, uint32_t *missing)
{
	self->job = job;
	self->at.claimed = self->failed = false;
	self->at.n_missing = self->at.n_changed = 0;
	self->missing = missing;
	self->at.key_len = 0;
	/* before its first step it may fail, too */
	self->before = self->at;
	self->work = ROW_WORK_STEP;
}

void
row_apply_done(const RowApply *self, RowDone *out)
{
	memset(out, 0, sizeof *out);
	out->id = self->job->id;
	out->failed = self->failed;
	out->n_missing = self->at.n_missing;
	out->missing = self->missing;
	out->n_changed = self->at.n_changed;
}

static bool
holds(const RowApply *self, RowRule rule)
{
	return ROW_RULE_HOLDS(self->config.off, rule);
}

static void
find(const RowApply *self, RowBytes key, RowFound *out)
{
	memset(out, 0, sizeof *out);
	self->config.table.find(self->config.table.context, key, out);
}

/* ---- clock, conflicts ---- */

/* Is this clock heard?  Without the rule it is not, and only as far ahead as one that would be. */
static bool
hears(RowApply *self, uint64_t clock)
{
	const RowTable *table = &self->config.table;

	if (holds(self, ROW_RULE_CLOCK_HEARD))
		return table->clock_heard(table->context, clock, self->config.skew_us);
	return clock <= (uint64_t) (self->now.unix_ms * 1000 + self->config.skew_us);
}

/* Keep a loser, where the list does not have it: it may come again with other stamps. */
static bool
conflict(RowApply *self, RowBytes key, const RowEntry *loser, const Row *came)
{
	const RowTable *table = &self->config.table;
	uint32_t	before = table->conflicts(table->context);

	if (!table->conflict(table->context, key, loser, came))
		return false;
	if (table->conflicts(table->context) == before)
		return true;
	self->at.n_conflicts++;
	for (int i = 0; i < SHRINK && table->conflicts(table->context) > self->config.max_conflicts; i++)
		if (!table->forget_conflict(table->context))
			return false;
	return true;
}

bool
row_apply_written(RowApply *self, RowBytes key, const RowEntry *held, const RowEntry *written, bool *stands)
{
	CORE_ASSERT(held->held != ROW_APPLIED && written->held == ROW_APPLIED);
	*stands = row_version_compare(&held->version, &written->version) > 0;
	return conflict(self, key, *stands ? written : held, NULL);
}

/* ---- a row that wins ---- */

/* Has its content the hashes that stand beside it?  So a version is one content on all nodes. */
static bool
has_hashes(const RowApply *self, const Row *row)
{
	const RowTable *table = &self->config.table;
	uint8_t		hash[ROW_HASH];
	uint8_t		vector_hash[ROW_HASH];

	if (!row->entry.live || (row->thin && !holds(self, ROW_RULE_VECTOR_HASH)))
		return true;
	return table->hashes(table->context, row, hash, vector_hash) && memcmp(hash, row->entry.hash, ROW_HASH) == 0 &&
		memcmp(vector_hash, row->entry.vector_hash, ROW_HASH) == 0;
}

static void
soon(const RowApply *self, RowRetry *retry)
{
	int64_t		at_ms = self->now.tick_ms + self->config.retry_ms;

	retry->wait_ms = self->config.retry_ms;
	if (at_ms < retry->at_ms)
		retry->at_ms = at_ms;
}

/*
 * Write a row, whose content has been looked at where `why` says so, or set it aside.
 * found is what stands for its key.
 */
static bool
put(RowApply *self, Row *row, const RowFound *found, RowReason why)
{
	const RowTable *table = &self->config.table;
	RowWritten	written = ROW_WRITE_BUSY;
	char		text[ROW_REASON_TEXT] = "";

	row->entry.held = ROW_APPLIED;
	if (why == ROW_REASON_NONE && !found->busy)
		written = table->write(table->context, row, text);
	if (written == ROW_WRITTEN || written == ROW_WRITE_FAILED)
		return written == ROW_WRITTEN;
	if (written == ROW_WRITE_REFUSED)
		why = ROW_REASON_TABLE;
	row->entry.held = why == ROW_REASON_NONE ? ROW_PARKED : ROW_QUARANTINED;
	if (found->present && found->entry.held == row->entry.held && found->why == why &&
		row_version_compare(&found->entry.version, &row->entry.version) == 0)
		return true;			/* it is there, for that reason */
	if (why == ROW_REASON_NONE)
	{
		self->at.n_parked++;
		soon(self, &self->at.parked);
	}
	else
	{
		self->at.n_quarantined++;
		/* time, and the right content, come when they come */
		if (why == ROW_REASON_TABLE)
			soon(self, &self->at.quarantined);
	}
	return table->set_aside(table->context, row, why, text);
}

/* The entry of a row that is written anew as it is.  Where its clock is not heard only the row goes so far. */
static bool
renew(RowApply *self, RowEntry *entry)
{
	const RowTable *table = &self->config.table;
	bool		heard = hears(self, entry->version.clock);
	RowVersion	version;
	RowStamp	stamp;

	if (!table->stamp(table->context, &stamp) ||
		!table->version(table->context, heard ? entry->version.clock : 0, &version))
		return false;
	if (version.clock <= entry->version.clock)
		version.clock = entry->version.clock + 1;
	*entry = row_renewed(entry, &version, stamp);
	return true;
}

/* The job's row is not written, so the job's claim is not kept. */
static void
lacks(RowApply *self, uint32_t index)
{
	CORE_ASSERT(self->at.n_missing < (uint32_t) self->job->n);
	self->missing[self->at.n_missing++] = index;
}

/* ---- APPLY ---- */

/* over: what is here is kept as a conflict. */
static bool
take(RowApply *self, uint32_t index, const RowFound *found, bool over)
{
	Row			row = self->job->row[index];
	RowReason	why = ROW_REASON_NONE;

	if (!has_hashes(self, &row))
	{
		/* it stands on a vector that only its sender has; whole it shows whether it is right */
		if (row.thin)
		{
			lacks(self, index);
			return true;
		}
		why = ROW_REASON_HASH;
	}
	else if (!hears(self, row.entry.version.clock))
		why = ROW_REASON_CLOCK;
	if (over && !conflict(self, row.key, &found->entry, NULL))
		return false;
	if (why == ROW_REASON_NONE && row.renew && !(found->present && found->entry.live) && !renew(self, &row.entry))
		return false;
	return put(self, &row, found, why);
}

/* The same version is here: it is covered by what covers the one that came. */
static bool
take_stamps(RowApply *self, const Row *row, const RowFound *found)
{
	const RowTable *table = &self->config.table;
	RowEntry	entry = found->entry;

	entry.stamp = row->entry.stamp;
	entry.birth = row->entry.birth;
	entry.vector_stamp = row->entry.vector_stamp;
	return table->restamp(table->context, row->key, &entry);
}

/* Is a row without its vector one of the vector that stands here? */
static bool
stands_on(const Row *row, const RowEntry *here)
{
	return here->live && here->held == ROW_APPLIED && memcmp(here->vector_hash, row->entry.vector_hash, ROW_HASH) == 0;
}

/* It loses. */
static bool
keep_over(RowApply *self, uint32_t index, const RowEntry *here)
{
	const Row  *row = &self->job->row[index];

	if (row->thin && !stands_on(row, here))
	{
		lacks(self, index);
		return true;
	}
	return conflict(self, row->key, &row->entry, row);
}

/* Does the content of a version come that is here with a wrong one? */
static bool
is_right_at_last(const RowApply *self, const Row *row, const RowFound *found)
{
	return found->present && found->why == ROW_REASON_HASH && !row->thin &&
		row_version_compare(&row->entry.version, &found->entry.version) == 0 && has_hashes(self, row);
}

static bool
apply_row(RowApply *self, uint32_t index)
{
	const RowJob *job = self->job;
	const Row  *row = &job->row[index];
	const RowEntry *here;
	RowFound	found;
	RowDecision decision;

	find(self, row->key, &found);
	here = found.present ? &found.entry : NULL;
	decision = row_decide(here, &row->entry, row->thin, job->covered, job->collected, job->claim);
	if (decision == ROW_NEEDS_VECTOR && !holds(self, ROW_RULE_VECTOR_HASH) && here != NULL && here->live &&
		here->held == ROW_APPLIED)
		decision = ROW_TAKE;
	if (is_right_at_last(self, row, &found))
		decision = ROW_TAKE;
	switch (decision)
	{
		case ROW_TAKE_OVER:
		case ROW_TAKE:
			return take(self, index, &found, decision == ROW_TAKE_OVER);
		case ROW_SAME:
			return take_stamps(self, row, &found);
		case ROW_NEEDS_VECTOR:
			lacks(self, index);
			return true;
		case ROW_KEEP_OVER:
			return keep_over(self, index, here);
		case ROW_KEEP:
		case ROW_LATE:
			return true;
	}
	return false;
}

static bool
apply(RowApply *self)
{
	for (int i = 0; i < self->job->n; i++)
		if (!apply_row(self, (uint32_t) i))
			return false;
	return true;
}

/* ---- DROP ---- */

/*
 * One whose clock is not heard deletes its row, and stays until it is: what is written to
 * its key meanwhile is above it, though our clock is not.
 */
static bool
keep_tombstone(RowApply *self, RowBytes key, const RowFound *found)
{
	Row			tombstone = {.key = key, .entry = found->entry};

	return found->entry.held == ROW_APPLIED || put(self, &tombstone, found, ROW_REASON_NONE);
}

static bool
drop_row(RowApply *self, uint32_t index, const RowFound *found)
{
	const RowTable *table = &self->config.table;
	const Row  *row = &self->job->row[index];
	const RowEntry *here = &found->entry;
	RowEntry	renewed = *here;
	RowStamp	stamp;

	/* its user's transaction may write the row anew, or be undone: so nothing is claimed before this one is */
	if (found->busy && row->renew)
	{
		lacks(self, index);
		return true;
	}
	/* a tombstone may stay */
	if (found->busy && !here->live)
		return true;
	if (!here->live && !hears(self, here->version.clock))
		return keep_tombstone(self, row->key, found);
	if (row->renew)
	{
		self->at.n_changed++;
		return renew(self, &renewed) && table->restamp(table->context, row->key, &renewed);
	}
	if ((row->lost || (here->live && !row_frontier_covers(self->job->covered, here->stamp))) &&
		!conflict(self, row->key, here, NULL))
		return false;
	self->at.n_changed++;
	if ((row->lost || found->busy) && here->live)
	{
		Row			tombstone = {.key = row->key};

		if (!table->stamp(table->context, &stamp))
			return false;
		tombstone.entry = row_lost(here, stamp);
		return put(self, &tombstone, found, ROW_REASON_NONE);
	}
	/* what is written to its key later is newer, but where the clock is further ahead than any that is heard */
	(void) hears(self, here->version.clock);
	return table->remove(table->context, row->key);
}

/* Is it still the version that is to go?  Any other is none of our business. */
static bool
stands(const Row *row, const RowFound *found)
{
	return found->present && row_version_compare(&found->entry.version, &row->entry.version) == 0;
}

/* All are locked, and the ticket is there, before the first goes. */
static bool
drop(RowApply *self)
{
	const RowTable *table = &self->config.table;
	const RowJob *job = self->job;
	RowFound	found;
	RowStamp	stamp;

	for (int i = 0; i < job->n; i++)
	{
		find(self, job->row[i].key, &found);
		if (stands(&job->row[i], &found) && (found.busy || job->row[i].lost || job->row[i].renew) &&
			!table->stamp(table->context, &stamp))
			return false;
	}
	for (int i = 0; i < job->n; i++)
	{
		find(self, job->row[i].key, &found);
		if (stands(&job->row[i], &found) && !drop_row(self, (uint32_t) i, &found))
			return false;
	}
	return true;
}

/* ---- COLLECT, ADOPT ---- */

/* May this tombstone go? */
static bool
is_collected(const RowApply *self, const RowEntry *entry)
{
	return !entry->live && entry->held == ROW_APPLIED && row_frontier_covers(self->job->below, entry->stamp) &&
		row_frontier_covers(self->job->below, entry->birth);
}

static bool
collect_entry(RowApply *self, RowBytes key, const RowFound *found)
{
	const RowTable *table = &self->config.table;

	if (found->busy || !hears(self, found->entry.version.clock))
		return true;
	self->at.n_changed++;
	return table->remove(table->context, key);
}

/* Is this entry claimed by nobody, or the write that made its row? */
static bool
is_loose(const RowApply *self, const RowEntry *entry)
{
	return !row_frontier_covers(self->job->covered, entry->stamp) || !row_frontier_covers(self->job->covered, entry->birth);
}

/* Is a stamp claimed by nobody?  One of ours up to our own ticket will be: it was written here since the job began. */
static bool
is_nobodys(const RowApply *self, RowStamp stamp, RowStamp own)
{
	return !row_frontier_covers(self->job->covered, stamp) &&
		!(stamp.incarnation == own.incarnation && stamp.ticket <= own.ticket);
}

static bool
adopt_entry(RowApply *self, RowBytes key, const RowFound *found)
{
	const RowTable *table = &self->config.table;
	RowEntry	entry = found->entry;
	RowStamp	stamp;

	if (found->busy)
	{
		self->at.n_missing++;
		return true;
	}
	if (!table->stamp(table->context, &stamp))
		return false;
	if (!is_nobodys(self, entry.stamp, stamp) && !is_nobodys(self, entry.birth, stamp))
		return true;
	entry.stamp = stamp;
	if (is_nobodys(self, entry.birth, stamp))
		entry.birth = stamp;
	if (is_nobodys(self, entry.vector_stamp, stamp))
		entry.vector_stamp = stamp;
	self->at.n_changed++;
	return table->restamp(table->context, key, &entry);
}

/*
 * Go on through the entries behind the last key.  *more: it may not have been the last
 * one.  Each is looked at before it is locked, and again after.
 */
static bool
go_through(RowApply *self, bool *more)
{
	const RowTable *table = &self->config.table;
	bool		collects = self->job->kind == ROW_JOB_COLLECT;
	bool		(*is_due) (const RowApply *, const RowEntry *) = collects ? is_collected : is_loose;
	uint32_t	until = self->at.n_changed + ROW_APPLY_CHANGES;
	Row			at;

	*more = false;
	for (int i = 0; table->next(table->context, collects ? ROW_SELECT_DEAD : ROW_SELECT_ALL,
								(RowBytes) {self->at.key, self->at.key_len}, &at); i++)
	{
		RowBytes	key = {self->at.key, at.key.len};
		RowFound	found;

		*more = i == ROW_APPLY_SCAN || self->at.n_changed == until;
		if (*more)
			return true;
		CORE_ASSERT(at.key.len > 0 && at.key.len <= ROW_KEY_MAX);
		self->at.key_len = at.key.len;
		memcpy(self->at.key, at.key.at, at.key.len);
		if (!is_due(self, &at.entry))
			continue;
		find(self, key, &found);
		if (found.present && is_due(self, &found.entry) &&
			!(collects ? collect_entry(self, key, &found) : adopt_entry(self, key, &found)))
			return false;
	}
	return true;
}

/* ---- transactions ---- */

/* A transaction begins. */
static void
begin(RowApply *self, CoreClock now, RowWork work)
{
	self->now = now;
	self->before = self->at;
	self->work = work;
}

/* A pass is at its end. */
static void
end_pass(const RowApply *self, RowRetry *retry)
{
	retry->wait_ms = retry->changed ? self->config.retry_ms :
		retry->wait_ms >= self->config.retry_most_ms / 2 ? self->config.retry_most_ms : 2 * retry->wait_ms;
	retry->at_ms = self->now.tick_ms + retry->wait_ms;
	retry->key_len = 0;
	retry->changed = false;
	retry->alone = 0;
}

/* What was tried is as before but for what is done with it: tried is where that was. */
static void
retry_failed(RowApply *self, RowRetry *retry, const RowRetry *tried)
{
	bool		moved = tried->key_len > 0 &&
		(tried->key_len != retry->key_len || memcmp(tried->key, retry->key, tried->key_len) != 0);

	if (retry->alone == 0)
		retry->alone = ROW_APPLY_RETRY;
	else if (moved)
	{
		/* it was this one: the others go on behind it */
		retry->alone = 0;
		retry->key_len = tried->key_len;
		memcpy(retry->key, tried->key, tried->key_len);
	}
	else
		end_pass(self, retry);
}

void
row_apply_failed(RowApply *self)
{
	RowRetry	tried = self->work == ROW_WORK_RETRY_PARKED ? self->at.parked : self->at.quarantined;
	RowWork		work = self->work;

	if (work == ROW_WORK_NONE)
		return;
	self->at = self->before;
	self->work = ROW_WORK_NONE;
	if (work == ROW_WORK_STEP)
		self->failed = true;
	else if (work == ROW_WORK_RETRY_PARKED)
		retry_failed(self, &self->at.parked, &tried);
	else if (work == ROW_WORK_RETRY_QUARANTINED)
		retry_failed(self, &self->at.quarantined, &tried);
}

/* ---- a job ---- */

/* Keep the claim of the job, once. */
static bool
claim(RowApply *self)
{
	const RowTable *table = &self->config.table;

	if (self->at.claimed || (self->job->frontier == NULL && self->job->floor == NULL))
		return true;
	self->at.claimed = true;
	return table->claim(table->context, self->job->frontier, self->job->floor);
}

bool
row_apply_step(RowApply *self, CoreClock now)
{
	const RowTable *table = &self->config.table;
	const RowJob *job = self->job;
	bool		good = false;
	bool		more = false;

	CORE_ASSERT(!self->failed);
	begin(self, now, ROW_WORK_STEP);
	if (!holds(self, ROW_RULE_CLAIM_WITH_ROWS) && !self->at.claimed && (job->frontier != NULL || job->floor != NULL))
	{
		if (!claim(self))
			row_apply_failed(self);
		return !self->failed;
	}
	switch (job->kind)
	{
		case ROW_JOB_APPLY:
			good = apply(self);
			break;
		case ROW_JOB_DROP:
			good = drop(self);
			break;
		case ROW_JOB_COLLECT:
			/* before the first tombstone goes it is known that it may be gone */
			good = claim(self) && go_through(self, &more);
			break;
		case ROW_JOB_ADOPT:
			good = go_through(self, &more);
			break;
	}
	/* what is missing is not here yet */
	if (good && !more && (job->kind == ROW_JOB_ADOPT || self->at.n_missing == 0))
		good = claim(self);
	if (!good || !table->keep_clock(table->context))
		row_apply_failed(self);
	return more && !self->failed;
}

/* ---- what is held ---- */

static bool
retry_due(const RowRetry *self, CoreClock now)
{
	return now.tick_ms >= self->at_ms;
}

bool
row_apply_retry_due(const RowApply *self, CoreClock now)
{
	return retry_due(&self->at.parked, now) || retry_due(&self->at.quarantined, now);
}

void
row_apply_retry_soon(RowApply *self, CoreClock now)
{
	self->now = now;
	soon(self, &self->at.parked);
	soon(self, &self->at.quarantined);
}

/* One row that is held, of so many bytes.  False: the transaction cannot go on. */
static bool
retry_row(RowApply *self, RowRetry *retry, uint32_t *n_changed, size_t *bytes)
{
	const RowTable *table = &self->config.table;
	Row			row = {.key = {retry->key, retry->key_len}};
	RowFound	found;
	RowReason	why = ROW_REASON_NONE;

	find(self, row.key, &found);
	if (!found.present || found.entry.held == ROW_APPLIED || found.busy)
		return true;
	if (found.discarded && self->work != ROW_WORK_RETRY_KEY)
		return true;
	if (found.why == ROW_REASON_CLOCK && !hears(self, found.entry.version.clock))
		return true;
	row.entry = found.entry;
	if (row.entry.live && !table->aside(table->context, row.key, &row.content))
		return false;
	*bytes += row.content.len;
	if (!has_hashes(self, &row))
		why = ROW_REASON_HASH;
	else if (!hears(self, row.entry.version.clock))
		why = ROW_REASON_CLOCK;
	if (!put(self, &row, &found, why))
		return false;
	if (row.entry.held == ROW_APPLIED)
	{
		++*n_changed;
		retry->changed = true;
	}
	return true;
}

/* Some of a pass. */
static bool
retry_some(RowApply *self, RowRetry *retry, RowSelect which, uint32_t *n_changed)
{
	const RowTable *table = &self->config.table;
	size_t		bytes = 0;
	Row			at;

	for (int i = 0; i < (retry->alone > 0 ? 1 : ROW_APPLY_RETRY) && bytes < ROW_APPLY_RETRY_BYTES; i++)
	{
		if (!table->next(table->context, which, (RowBytes) {retry->key, retry->key_len}, &at))
		{
			end_pass(self, retry);
			return true;
		}
		CORE_ASSERT(at.key.len > 0 && at.key.len <= ROW_KEY_MAX);
		retry->key_len = at.key.len;
		memcpy(retry->key, at.key.at, at.key.len);
		if (!retry_row(self, retry, n_changed, &bytes))
			return false;
	}
	if (retry->alone > 0)
		retry->alone--;
	/* the rest of the pass follows at once */
	retry->at_ms = self->now.tick_ms;
	return true;
}

uint32_t
row_apply_retry(RowApply *self, CoreClock now)
{
	const RowTable *table = &self->config.table;
	bool		parked = retry_due(&self->at.parked, now) &&
		(!retry_due(&self->at.quarantined, now) || self->at.parked.at_ms <= self->at.quarantined.at_ms);
	uint32_t	n_changed = 0;
	bool		good;

	begin(self, now, parked ? ROW_WORK_RETRY_PARKED : ROW_WORK_RETRY_QUARANTINED);
	if (!parked && !retry_due(&self->at.quarantined, now))
		return 0;
	good = parked ? retry_some(self, &self->at.parked, ROW_SELECT_PARKED, &n_changed) :
		retry_some(self, &self->at.quarantined, ROW_SELECT_QUARANTINED, &n_changed);
	if (good && (n_changed == 0 || table->keep_clock(table->context)))
		return n_changed;
	row_apply_failed(self);
	return UINT32_MAX;
}

bool
row_apply_retry_key(RowApply *self, RowBytes key, CoreClock now)
{
	const RowTable *table = &self->config.table;
	RowRetry	retry = {.key_len = key.len};
	uint32_t	n_changed = 0;
	size_t		bytes = 0;

	CORE_ASSERT(key.len > 0 && key.len <= ROW_KEY_MAX);
	memcpy(retry.key, key.at, key.len);
	begin(self, now, ROW_WORK_RETRY_KEY);
	if (retry_row(self, &retry, &n_changed, &bytes) && table->keep_clock(table->context))
		return true;
	row_apply_failed(self);
	return false;
}
