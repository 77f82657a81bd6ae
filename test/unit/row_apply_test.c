/*
 * row_apply_test.c
 *	  What becomes of the rows of a job, on a table of a few thousand keys that refuses,
 *	  locks and breaks when it is told to.
 *
 * A row's content is its hash and its vector's, 8 bytes of each; a thin one lacks the
 * latter.
 */
#include "core/rows/apply.h"
#include "core/rows/clock.h"

#include "rows_fixture.h"

#define KEYS 3000
#define SKEW_US INT64_C(1000000)
#define UNIX_MS INT64_C(1000000)
#define CONFLICTS 3

typedef struct Place
{
	bool		present;
	bool		busy;
	bool		refuses;
	RowEntry	entry;
	RowReason	why;
	bool		discarded;
	uint8_t		table[16];
	bool		in_table;
	uint8_t		aside[16];
} Place;

static Place place[KEYS];
static uint8_t next_key[2];
static RowClock row_clock;
static uint64_t conflict_clock[CONFLICTS + 1];
static int	conflict_key[CONFLICTS + 1];
static size_t conflict_len;		/* of the content that came last */
static uint32_t n_conflicts;
static uint64_t ticket;			/* of the transaction; 0: none yet */
static uint64_t last_ticket;
static bool no_ticket;
static int	claims;
static int	kept;
static int	tries;				/* rows that were to be written */
static int	looks;				/* at what is set aside */
static size_t aside_len = 16;	/* of a content there, as is said */
static int	changes;			/* of the table, in this transaction */
static int	until_failure = -1; /* writes */
static int	claimed_at;			/* changes before it */
static char last_text[ROW_REASON_TEXT];

static RowApply apply;
static CoreClock now;
static RowFrontier nothing;
static RowFrontier all;

static int
number(RowBytes key)
{
	return key.at[0] << 8 | key.at[1];
}

static bool
fails(void)
{
	changes++;
	return until_failure >= 0 && until_failure-- == 0;
}

/* ---- the table ---- */

static void
t_find(void *context, RowBytes key, RowFound *out)
{
	const Place *at = &place[number(key)];

	*out = (RowFound) {at->present, at->busy, at->entry, at->why, at->discarded};
}

static bool
t_next(void *context, RowSelect which, RowBytes after, Row *out)
{
	for (int k = after.len == 0 ? 0 : number(after) + 1; k < KEYS; k++)
	{
		const RowEntry *entry = &place[k].entry;

		if (!place[k].present || (which == ROW_SELECT_DEAD && (entry->live || entry->held != ROW_APPLIED)) ||
			(which == ROW_SELECT_PARKED && entry->held != ROW_PARKED) ||
			(which == ROW_SELECT_QUARANTINED && entry->held != ROW_QUARANTINED))
			continue;
		next_key[0] = (uint8_t) (k >> 8);
		next_key[1] = (uint8_t) k;
		memset(out, 0, sizeof *out);
		out->key = (RowBytes) {next_key, 2};
		out->entry = *entry;
		return true;
	}
	return false;
}

static void
content_of(const Row *row, const uint8_t table[16], uint8_t out[16])
{
	memcpy(out, table, 16);
	if (row->entry.live)
		memcpy(out, row->content.at, row->thin ? 8 : 16);
}

static RowWritten
t_write(void *context, const Row *row, char text[ROW_REASON_TEXT])
{
	Place	   *at = &place[number(row->key)];
	uint8_t		content[16];

	tries++;
	if (at->refuses)
	{
		snprintf(text, ROW_REASON_TEXT, "key %d is refused", number(row->key));
		return ROW_WRITE_REFUSED;
	}
	if (fails())
		return ROW_WRITE_FAILED;
	content_of(row, at->table, content);
	*at = (Place) {.present = true, .entry = row->entry, .in_table = row->entry.live};
	memcpy(at->table, content, 16);
	return ROW_WRITTEN;
}

static bool
t_set_aside(void *context, const Row *row, RowReason why, const char *text)
{
	Place	   *at = &place[number(row->key)];
	uint8_t		content[16];

	/* it may be what is set aside already */
	content_of(row, at->table, content);
	memcpy(at->aside, content, 16);
	at->present = true;
	at->entry = row->entry;
	at->why = why;
	snprintf(last_text, sizeof last_text, "%s", text);
	return !fails();
}

static bool
t_aside(void *context, RowBytes key, RowBytes *content)
{
	looks++;
	*content = (RowBytes) {place[number(key)].aside, aside_len};
	return true;
}

static bool
t_restamp(void *context, RowBytes key, const RowEntry *entry)
{
	place[number(key)].entry = *entry;
	return !fails();
}

static bool
t_remove(void *context, RowBytes key)
{
	place[number(key)] = (Place) {.present = false};
	return !fails();
}

static bool
t_hashes(void *context, const Row *row, uint8_t hash[ROW_HASH], uint8_t vector_hash[ROW_HASH])
{
	uint8_t		content[16];

	if (row->content.len != (row->thin ? 8 : 16))
		return false;
	content_of(row, place[number(row->key)].table, content);
	memset(hash, 0, ROW_HASH);
	memset(vector_hash, 0, ROW_HASH);
	memcpy(hash, content, 8);
	memcpy(vector_hash, content + 8, 8);
	return true;
}

static bool
t_conflict(void *context, RowBytes key, const RowEntry *loser, const Row *came)
{
	for (uint32_t i = 0; i < n_conflicts; i++)
		if (conflict_clock[i] == loser->version.clock && conflict_key[i] == number(key))
			return true;
	if (n_conflicts > CONFLICTS)
		return false;
	conflict_key[n_conflicts] = number(key);
	conflict_clock[n_conflicts++] = loser->version.clock;
	conflict_len = came == NULL ? 0 : came->content.len;
	return true;
}

static uint32_t
t_conflicts(void *context)
{
	return n_conflicts;
}

static bool
t_forget_conflict(void *context)
{
	memmove(conflict_clock, conflict_clock + 1, --n_conflicts * sizeof conflict_clock[0]);
	memmove(conflict_key, conflict_key + 1, n_conflicts * sizeof conflict_key[0]);
	return true;
}

static bool
t_stamp(void *context, RowStamp *out)
{
	if (ticket == 0 && !no_ticket)
		ticket = ++last_ticket;
	*out = (RowStamp) {1, ticket};
	return ticket != 0;
}

static bool
t_version(void *context, uint64_t above, RowVersion *out)
{
	memset(out, 0, sizeof *out);
	out->clock = (row_clock.last > above ? row_clock.last : above) + 1;
	out->tie[0] = 1;
	return true;
}

static bool
t_clock_heard(void *context, uint64_t value, int64_t skew_us)
{
	return row_clock_heard(&row_clock, now.unix_ms * 1000, value, skew_us);
}

static bool
t_keep_clock(void *context)
{
	kept++;
	return true;
}

static bool
t_claim(void *context, const RowFrontier *frontier, const RowFrontier *floor)
{
	claims++;
	claimed_at = changes;
	return true;
}

/* ---- rows and jobs ---- */

static void
begin(void)
{
	RowApplyConfig config = {
		.table = {NULL, t_find, t_next, t_write, t_set_aside, t_aside, t_restamp, t_remove, t_hashes, t_conflict, t_conflicts,
		t_forget_conflict, t_stamp, t_version, t_clock_heard, t_keep_clock, t_claim},
		.skew_us = SKEW_US, .max_conflicts = CONFLICTS, .retry_ms = 100, .retry_most_ms = 1000,
	};

	memset(place, 0, sizeof place);
	now = (CoreClock) {5000, UNIX_MS};
	row_clock_init(&row_clock, 0);
	n_conflicts = 0;
	ticket = last_ticket = 0;
	no_ticket = false;
	until_failure = -1;
	claims = kept = tries = looks = changes = claimed_at = 0;
	row_apply_init(&apply, &config);
}

/* A row of the second incarnation; value 0 is a tombstone. */
static Row
new_row(int key, uint64_t clock, uint8_t value, uint8_t vector)
{
	static uint8_t bytes[64][18];
	static int	n;
	uint8_t    *at = bytes[n++ % 64];
	Row			row;

	memset(at, 0, 18);
	memset(&row, 0, sizeof row);
	at[0] = (uint8_t) (key >> 8);
	at[1] = (uint8_t) key;
	row.key = (RowBytes) {at, 2};
	row.entry.version.clock = clock;
	row.entry.version.tie[0] = 2;
	row.entry.stamp = row.entry.birth = row.entry.vector_stamp = (RowStamp) {2, clock};
	row.entry.live = value > 0;
	if (value > 0)
	{
		at[2] = row.entry.hash[0] = value;
		at[10] = row.entry.vector_hash[0] = vector;
		row.content = (RowBytes) {at + 2, 16};
	}
	return row;
}

static Row
thin(Row row)
{
	row.thin = true;
	row.content.len = 8;
	return row;
}

/* It stands in the table. */
static void
put(Row row)
{
	Place	   *at = &place[number(row.key)];

	*at = (Place) {.present = true, .entry = row.entry, .in_table = row.entry.live};
	if (row.entry.live)
		memcpy(at->table, row.content.at, 16);
}

static uint32_t missing[64];

/* How many transactions it takes. */
static int
run(RowJob job, RowDone *done)
{
	int			n = 0;
	bool		more = true;

	job.id = 7;
	if (job.covered == NULL)
		job.covered = &nothing;
	job.collected = &nothing;
	row_apply_begin(&apply, &job, missing);
	for (; more && n < 1000; n++)
	{
		ticket = 0;
		changes = 0;
		more = row_apply_step(&apply, now);
	}
	row_apply_done(&apply, done);
	return n;
}

static RowDone
apply_rows(Row *row, int n)
{
	RowDone		done;

	(void) run((RowJob) {.kind = ROW_JOB_APPLY, .n = n, .row = row, .frontier = &all, .claim = &nothing}, &done);
	return done;
}

/* Time passes in steps of 50 ms; how many rows went into the table. */
static uint32_t
retry_for(int64_t ms)
{
	uint32_t	n = 0;

	for (int64_t until = now.tick_ms + ms; now.tick_ms < until; now.tick_ms += 50, now.unix_ms += 50)
		if (row_apply_retry_due(&apply, now))
			n += row_apply_retry(&apply, now);
	return n;
}

static bool
applied(int key, uint8_t value)
{
	return place[key].present && place[key].entry.held == ROW_APPLIED && place[key].in_table && place[key].table[0] == value;
}

static bool
held(int key, RowHeld how, RowReason why, uint8_t value)
{
	return place[key].present && place[key].entry.held == how && place[key].why == why && place[key].aside[0] == value;
}

/* ---- tests ---- */

static void
test_a_row_that_is_refused(void)
{
	Row			row[3];
	RowDone		done;

	begin();
	for (int i = 0; i < 3; i++)
		row[i] = new_row(i, 10, 7, 8);
	place[1].refuses = true;
	done = apply_rows(row, 3);
	ok(!done.failed && done.id == 7 && claims == 1 && claimed_at == changes, "a batch with a row that the table refuses is claimed, behind its rows");
	ok(applied(0, 7) && applied(2, 7), "the other rows are in the table");
	ok(held(1, ROW_QUARANTINED, ROW_REASON_TABLE, 7) && strcmp(last_text, "key 1 is refused") == 0 && place[1].aside[8] == 8,
	   "it is in quarantine, whole, with the reason");
	row[0] = new_row(1, 20, 9, 8);
	(void) apply_rows(row, 1);
	ok(held(1, ROW_QUARANTINED, ROW_REASON_TABLE, 9), "a newer one takes its place there");
	place[1].refuses = false;
	ok(retry_for(2000) == 1 && applied(1, 9), "it goes into the table once that takes it");
}

static void
test_a_row_that_a_user_holds(void)
{
	Row			row[2] = {new_row(0, 20, 7, 8), new_row(1, 20, 7, 8)};

	begin();
	put(new_row(0, 10, 5, 6));
	place[0].busy = true;
	(void) apply_rows(row, 2);
	ok(held(0, ROW_PARKED, ROW_REASON_NONE, 7) && applied(1, 7) && place[0].table[0] == 5, "a row that a user's transaction holds is parked");
	ok(claims == 1 && row_clock.last >= 20, "and counts as here, its clock as heard");
	row[0] = thin(new_row(0, 30, 9, 8));
	ok(apply_rows(row, 1).n_missing == 1 && missing[0] == 0, "on one that is parked no row without its vector goes");
	(void) retry_for(1000);
	ok(held(0, ROW_PARKED, ROW_REASON_NONE, 7) && tries == 1, "it stays as long as it is held");
	place[0].busy = false;
	place[0].refuses = true;
	(void) retry_for(2000);
	ok(held(0, ROW_QUARANTINED, ROW_REASON_TABLE, 7), "then it is in quarantine where the table refuses it");
}

static void
test_clocks(void)
{
	uint64_t	near = (uint64_t) UNIX_MS * 1000 + SKEW_US;
	Row			row[2] = {new_row(0, near + 500000, 7, 8), new_row(1, near, 7, 8)};

	begin();
	(void) apply_rows(row, 2);
	ok(held(0, ROW_QUARANTINED, ROW_REASON_CLOCK, 7) && applied(1, 7), "a row whose clock is too far ahead goes into quarantine");
	ok(row_clock.last == near && kept == 1, "our clock does not follow it, but the others'");
	ok(retry_for(300) == 0 && retry_for(2000) == 1 && applied(0, 7), "when time has come that far it goes into the table");
}

static void
test_hashes(void)
{
	Row			row[2] = {new_row(0, 10, 7, 8), new_row(1, 10, 7, 8)};
	Row			good = row[0];

	begin();
	row[0].entry.hash[3] ^= 1;
	(void) apply_rows(row, 2);
	ok(held(0, ROW_QUARANTINED, ROW_REASON_HASH, 7) && applied(1, 7) && claims == 1, "a row that has not its hash goes into quarantine");
	ok(retry_for(5000) == 0, "and stays there");
	(void) apply_rows(&good, 1);
	ok(applied(0, 7), "until the same version comes with the content that it names");
	row[0] = thin(new_row(1, 20, 9, 8));
	ok(apply_rows(row, 1).n_missing == 0 && applied(1, 9), "a row without its vector goes on the vector that it names");
	row[0] = thin(new_row(1, 30, 5, 4));
	ok(apply_rows(row, 1).n_missing == 1, "on another vector it does not");
	row[0] = thin(new_row(1, 30, 5, 8));
	row[0].entry.hash[3] ^= 1;
	claims = 0;
	ok(apply_rows(row, 1).n_missing == 1 && applied(1, 9) && claims == 0, "one that has not its hash is asked for whole, and nothing claimed before");
}

static void
test_conflicts(void)
{
	Row			row[1];
	RowEntry	mine;
	bool		stands;

	begin();
	put(new_row(0, 10, 1, 1));
	for (uint64_t clock = 20; clock <= 60; clock += 10)
	{
		row[0] = new_row(0, clock, (uint8_t) clock, 1);
		(void) apply_rows(row, 1);
	}
	ok(n_conflicts == CONFLICTS && conflict_clock[0] == 30 && conflict_clock[2] == 50 && apply.at.n_conflicts == 5,
	   "what loses to a write that had not seen it is kept, and the oldest goes where there are too many");
	row[0] = new_row(0, 15, 2, 1);
	(void) apply_rows(row, 1);
	ok(applied(0, 60) && conflict_clock[2] == 15, "and so is what comes and loses");
	mine = new_row(1, 70, 1, 1).entry;
	row[0] = new_row(1, 80, 1, 1);
	row[0].entry.held = ROW_PARKED;
	ok(row_apply_written(&apply, row[0].key, &row[0].entry, &mine, &stands) && stands && conflict_clock[2] == 70,
	   "a user's write loses to a newer row that is held");
	mine.version.clock = 90;
	ok(row_apply_written(&apply, row[0].key, &row[0].entry, &mine, &stands) && !stands && conflict_clock[2] == 80,
	   "and wins over an older one");
}

/* A loser comes as often as others stamp it anew, or send it. */
static void
test_losers(void)
{
	Row			row[1];

	begin();
	put(new_row(0, 30, 5, 6));
	for (uint32_t i = 3; i < 9; i++)
	{
		row[0] = new_row(0, 20, 7, 8);
		row[0].entry.stamp = row[0].entry.birth = (RowStamp) {i, 1};
		(void) apply_rows(row, 1);
	}
	ok(n_conflicts == 1 && apply.at.n_conflicts == 1, "a loser that comes again is kept once");
	row[0] = thin(new_row(0, 21, 7, 8));
	ok(apply_rows(row, 1).n_missing == 1 && n_conflicts == 1, "one that has another vector than the row here is asked for whole");
	row[0] = new_row(0, 21, 7, 8);
	ok(apply_rows(row, 1).n_missing == 0 && n_conflicts == 2 && conflict_len == 16, "and kept when it came");
	row[0] = thin(new_row(0, 22, 7, 6));
	ok(apply_rows(row, 1).n_missing == 0 && n_conflicts == 3 && conflict_len == 8, "on the vector that is here it is kept without it");
	begin();
	put(new_row(0, 10, 5, 6));
	row[0] = thin(new_row(0, 20, 7, 6));
	row[0].entry.hash[1] = 9;
	ok(apply_rows(row, 1).n_missing == 1 && n_conflicts == 0, "what a row wins over is no conflict while that is asked for whole");
	row[0] = new_row(0, 20, 7, 6);
	ok(apply_rows(row, 1).n_missing == 0 && n_conflicts == 1 && applied(0, 7), "it is when that comes");
}

static void
test_drop(void)
{
	Row			row[2] = {new_row(0, 10, 1, 1), new_row(1, 10, 1, 1)};
	RowJob		job = {.kind = ROW_JOB_DROP, .n = 2, .row = row, .floor = &all, .covered = &all};
	RowDone		done;

	begin();
	put(row[0]);
	put(row[1]);
	put(new_row(1, 20, 2, 2));
	(void) run(job, &done);
	ok(!done.failed && done.n_changed == 1 && !place[0].present && applied(1, 2) && claims == 1 && claimed_at == changes,
	   "a version that is another by now stays");
	row[1] = new_row(1, 20, 2, 2);
	row[1].lost = true;
	no_ticket = true;
	(void) run(job, &done);
	ok(done.failed && applied(1, 2), "without a ticket nothing is deleted by a write of ours");
	no_ticket = false;
	(void) run(job, &done);
	ok(!done.failed && place[1].present && !place[1].entry.live && place[1].entry.stamp.incarnation == 1 &&
	   place[1].entry.stamp.ticket == 1 && conflict_clock[0] == 20, "with one it is, and the row is kept as a conflict");
}

/* A user who sleeps in a transaction keeps no other row from going. */
static void
test_drop_of_what_is_held(void)
{
	Row			row[5] = {new_row(0, 10, 1, 1), new_row(1, 10, 1, 1), new_row(2, 10, 3, 3), new_row(3, 10, 0, 0), new_row(4, 10, 4, 4)};
	RowJob		job = {.kind = ROW_JOB_DROP, .n = 5, .row = row, .floor = &all, .covered = &all};
	RowDone		done;

	begin();
	for (int i = 0; i < 5; i++)
	{
		put(row[i]);
		place[i].busy = i > 0;
	}
	put(new_row(1, 20, 2, 2));
	place[1].busy = true;
	row[4].renew = true;
	no_ticket = true;
	(void) run(job, &done);
	ok(done.failed && place[0].present, "without a ticket for the tombstone of a row that is held nothing is dropped");
	no_ticket = false;
	(void) run(job, &done);
	ok(!done.failed && done.n_changed == 2 && !place[0].present, "a row that is held keeps no other from being dropped");
	ok(done.n_missing == 1 && done.missing[0] == 4 && claims == 0, "nothing is claimed while one that is to be written anew is held");
	ok(applied(1, 2) && place[1].entry.version.clock == 20, "another version of it is none of its business");
	ok(place[2].entry.held == ROW_PARKED && !place[2].entry.live && place[2].entry.stamp.incarnation == 1 && place[2].table[0] == 3,
	   "a live row is deleted by a tombstone that waits");
	ok(place[3].present && applied(4, 4) && place[4].entry.version.clock == 10, "a tombstone stays, and what is renewed as it is");
	place[4].busy = false;
	(void) run(job, &done);
	ok(!done.failed && done.n_missing == 0 && claims == 1 && place[4].entry.version.clock > 10, "once it is not, it is, with the claim");
	place[2].busy = false;
	ok(retry_for(1000) == 1 && place[2].entry.held == ROW_APPLIED && !place[2].in_table, "it is deleted when the user is done");
}

/* A clock that is wrong, or a lie, is heard from no row, whatever becomes of the row. */
static void
test_drop_far_ahead(void)
{
	uint64_t	far = ROW_CLOCK_MAX - 1;
	Row			row[3] = {new_row(0, far, 1, 1), new_row(1, far, 2, 2), new_row(2, far, 3, 3)};
	RowDone		done;

	begin();
	(void) apply_rows(row, 3);
	row[1].lost = row[2].renew = true;
	(void) run((RowJob) {.kind = ROW_JOB_DROP, .n = 3, .row = row, .floor = &all, .covered = &all}, &done);
	ok(!done.failed && done.n_changed == 3 && !place[0].present && place[1].present && !place[1].entry.live,
	   "rows whose clock is far ahead are dropped");
	ok(held(2, ROW_QUARANTINED, ROW_REASON_CLOCK, 3) && place[2].entry.version.clock == ROW_CLOCK_MAX && place[2].entry.stamp.incarnation == 1,
	   "one that is renewed is a version above the one that it was");
	ok(row_clock.last <= (uint64_t) UNIX_MS * 1000 + SKEW_US, "our clock follows none of them");
	put(new_row(3, 10, 4, 4));
	row[0] = new_row(3, far, 0, 0);
	(void) apply_rows(row, 1);
	ok(place[3].in_table && place[3].entry.held == ROW_QUARANTINED, "a tombstone that is far ahead deletes nothing yet");
	(void) run((RowJob) {.kind = ROW_JOB_DROP, .n = 1, .row = row, .floor = &all, .covered = &all}, &done);
	ok(!done.failed && place[3].present && !place[3].in_table && place[3].entry.held == ROW_APPLIED && place[3].entry.version.clock == far,
	   "one that is dropped does, and stays: what is written to its key is above it");
	ok(row_clock.last <= (uint64_t) UNIX_MS * 1000 + SKEW_US, "and our clock follows it no more than the others");
}

/* What was first written while its writer was away is written anew, here or as it comes. */
static void
test_renewed(void)
{
	Row			row[3] = {new_row(0, 10, 1, 1), new_row(1, 10, 2, 2), new_row(2, 10, 3, 3)};
	RowDone		done;

	begin();
	put(row[0]);
	row_clock.last = 500;
	for (int i = 0; i < 3; i++)
		row[i].renew = true;
	(void) run((RowJob) {.kind = ROW_JOB_DROP, .n = 1, .row = row, .floor = &all, .covered = &all}, &done);
	ok(done.n_changed == 1 && applied(0, 1) && place[0].entry.version.clock == 501 && place[0].entry.version.tie[0] == 1 &&
	   place[0].entry.stamp.incarnation == 1 && place[0].entry.birth.incarnation == 2, "a row that is renewed stays, as a version of ours");
	put(new_row(2, 5, 4, 4));
	(void) apply_rows(row + 1, 2);
	ok(applied(1, 2) && place[1].entry.version.clock == 501 && place[1].entry.stamp.incarnation == 1, "so does one that comes");
	ok(applied(2, 3) && place[2].entry.version.clock == 10, "but not over one that is here");
}

static void
test_collect(void)
{
	RowJob		job = {.kind = ROW_JOB_COLLECT, .below = &all, .frontier = &all, .floor = &all};
	int			left = 0;
	RowDone		done;
	int			n;

	begin();
	for (int k = 0; k < KEYS; k++)
		put(new_row(k, 10, k % 3 == 0, 1));
	place[1].busy = true;
	put(new_row(2, UINT64_MAX / 4, 0, 0));
	n = run(job, &done);
	for (int k = 0; k < KEYS; k++)
		left += place[k].present && !place[k].entry.live;
	ok(!done.failed && done.n_changed == KEYS / 3 * 2 - 2 && left == 2 && place[1].present && place[2].present,
	   "all tombstones go but one that a user holds and one far ahead of our clock");
	ok(n == (KEYS / 3 * 2 - 2) / ROW_APPLY_CHANGES + 1 && claims == 1 && claimed_at == 0, "in %d steps, the floor before the first", n);
	until_failure = 0;
	put(new_row(0, 10, 0, 0));
	(void) run(job, &done);
	ok(done.failed, "a table that breaks fails the job");
}

static void
test_adopt(void)
{
	RowJob		job = {.kind = ROW_JOB_ADOPT, .covered = &nothing};
	bool		good = true;
	RowDone		done;
	int			n;

	begin();
	for (int k = 0; k < KEYS; k++)
		put(new_row(k, 10, 1, 1));
	place[5].busy = true;
	n = run(job, &done);
	for (int k = 0; k < KEYS; k++)
		good = good && (k == 5 || (place[k].entry.stamp.incarnation == 1 && place[k].entry.birth.incarnation == 1));
	ok(!done.failed && good && done.n_changed == KEYS - 1 && done.n_missing == 1 && place[5].entry.stamp.incarnation == 2,
	   "all that nobody claims is stamped anew but what a user holds");
	ok(n == (KEYS - 1) / ROW_APPLY_CHANGES + 1 && last_ticket == (uint64_t) n, "in %d steps, each with a ticket", n);
	job.covered = &all;
	ok(run(job, &done) == KEYS / ROW_APPLY_SCAN + 1 && done.n_changed == 0 && last_ticket == (uint64_t) n,
	   "where nothing is loose it takes none");

	/* while a job goes on users write */
	begin();
	for (int k = 0; k < 4; k++)
	{
		put(new_row(k, 10, 1, 1));
		place[k].entry.stamp = (RowStamp) {k < 2 ? 1 : 2, 7};
		place[k].entry.birth = (RowStamp) {k % 2 == 0 ? 1 : 2, 7};
	}
	put(new_row(4, 10, 1, 1));
	place[4].entry.stamp = (RowStamp) {1, 1000};
	last_ticket = 200;
	job.covered = &nothing;
	(void) run(job, &done);
	ok(done.n_changed == 4 && place[0].entry.stamp.ticket == 7 && place[1].entry.birth.ticket == 201 && place[2].entry.birth.ticket == 7,
	   "what was written here meanwhile is not, nor is what it made");
	ok(place[4].entry.stamp.ticket == 201, "but a ticket of ours that was not given out is");
}

/* One good row that waits behind many which are refused. */
static void
test_retries(void)
{
	Row			row[1];
	int			most = 0;
	int			before;

	begin();
	for (int k = 0; k < KEYS; k++)
	{
		row[0] = new_row(k, 10, 1, 1);
		place[k].refuses = k < KEYS - 2;
		place[k].busy = k == KEYS - 1;
		(void) apply_rows(row, 1);
	}
	place[KEYS - 1].busy = false;
	tries = 0;
	for (int i = 0; i < 40 && place[KEYS - 1].entry.held != ROW_APPLIED; i++)
	{
		before = tries;
		(void) retry_for(50);
		most = tries - before > most ? tries - before : most;
	}
	ok(applied(KEYS - 1, 1) && most <= 2 * ROW_APPLY_RETRY, "a row that was parked goes into the table before %d others are tried again", KEYS);
	(void) retry_for(60000);
	for (int k = 1; k < KEYS - 2; k++)
		place[k] = (Place) {.present = false};
	tries = 0;
	(void) retry_for(60000);
	ok(tries >= 50 && tries <= 65, "what was tried in vain is tried less often: %d times in a minute", tries);
	place[0].refuses = false;
	row_apply_retry_soon(&apply, now);
	ok(retry_for(200) == 1 && applied(0, 1), "and at once when it is asked for");
	row[0] = new_row(4, 10, 1, 1);
	place[4].refuses = true;
	(void) apply_rows(row, 1);
	place[4].refuses = false;
	until_failure = 0;
	now.tick_ms += 1000;
	ok(row_apply_retry(&apply, now) == 0 && row_apply_retry(&apply, now) == UINT32_MAX, "a table that breaks ends the transaction");
}

static int	bad_key = -1;

static RowWritten
t_write_but_one(void *context, const Row *row, char text[ROW_REASON_TEXT])
{
	return number(row->key) == bad_key ? ROW_WRITE_FAILED : t_write(context, row, text);
}

static void
test_a_row_that_is_discarded(void)
{
	uint8_t		key[2] = {0, 1};
	Row			row[2] = {new_row(1, 10, 7, 8), new_row(2, 10, 7, 8)};

	begin();
	place[1].refuses = place[2].refuses = true;
	(void) apply_rows(row, 2);
	place[1].discarded = true;
	tries = 0;
	ok(retry_for(2000) == 0 && tries > 0, "of two in quarantine one is tried again");
	place[1].refuses = place[2].refuses = false;
	ok(retry_for(5000) == 1 && applied(2, 7) && held(1, ROW_QUARANTINED, ROW_REASON_TABLE, 7), "what was discarded stays where it is");
	place[1].refuses = true;
	ok(row_apply_retry_key(&apply, (RowBytes) {key, 2}, now) && held(1, ROW_QUARANTINED, ROW_REASON_TABLE, 7), "a retry by its key is in vain while it is refused");
	place[1].refuses = false;
	until_failure = 0;
	ok(!row_apply_retry_key(&apply, (RowBytes) {key, 2}, now), "a table that breaks ends the transaction");
	until_failure = -1;
	ok(row_apply_retry_key(&apply, (RowBytes) {key, 2}, now) && applied(1, 7), "by its key it goes into the table");
	ok(row_apply_retry_key(&apply, (RowBytes) {key, 2}, now) && applied(1, 7), "once");
	key[1] = 9;
	ok(row_apply_retry_key(&apply, (RowBytes) {key, 2}, now), "a key of which nothing is held is none");
}

/* Time passes as in retry_for(); what fails is rolled back.  How many transactions did. */
static int
retry_and_roll_back(int64_t ms)
{
	static Place saved[KEYS];
	int			n = 0;

	for (int64_t until = now.tick_ms + ms; now.tick_ms < until; now.tick_ms += 50, now.unix_ms += 50)
	{
		if (!row_apply_retry_due(&apply, now))
			continue;
		memcpy(saved, place, sizeof place);
		if (row_apply_retry(&apply, now) != UINT32_MAX)
			continue;
		memcpy(place, saved, sizeof place);
		n++;
	}
	return n;
}

/* A row whose write ends the transaction each time. */
static void
test_a_row_that_fails(void)
{
	Row			row[1];
	bool		good = true;
	int			n;

	begin();
	apply.config.table.write = t_write_but_one;
	bad_key = 70;
	for (int k = 0; k < 140; k++)
	{
		row[0] = new_row(k, 10, 7, 8);
		place[k].busy = k % 2 == 0;
		place[k].refuses = k % 2 == 1;
		(void) apply_rows(row, 1);
	}
	for (int k = 0; k < 140; k++)
		place[k].busy = place[k].refuses = false;
	(void) retry_and_roll_back(10000);
	for (int k = 0; k < 140; k++)
		good = good && (k == bad_key) == (place[k].entry.held == ROW_PARKED);
	ok(good, "a row that ends its transaction keeps no other aside");
	tries = 0;
	n = retry_and_roll_back(60000);
	ok(n >= 100 && n <= 130, "and is tried less often: %d transactions in a minute fail", n);
	bad_key = -1;
	ok(retry_for(2000) == 1 && applied(70, 7), "until it does not");
}

/* The program tells of a jump, or of a commit that failed. */
static void
test_what_is_rolled_back(void)
{
	Row			row[2] = {new_row(1, 20, 7, 8), new_row(2, 20, 7, 8)};
	RowJob		job = {.kind = ROW_JOB_APPLY, .n = 2, .row = row, .frontier = &all, .covered = &nothing, .collected = &nothing, .claim = &nothing};
	RowDone		done;

	begin();
	put(new_row(1, 30, 5, 6));
	for (int i = 0; i < 5; i++)
	{
		until_failure = 0;
		n_conflicts = 0;
		(void) apply_rows(row, 2);
	}
	ok(apply.at.n_conflicts == 0, "what a job that fails did is not counted");
	until_failure = -1;
	row_apply_begin(&apply, &job, missing);
	ok(!row_apply_step(&apply, now), "a job is done");
	row_apply_failed(&apply);
	row_apply_done(&apply, &done);
	ok(done.failed && apply.at.n_conflicts == 0, "it has failed where its commit does");
	row_apply_begin(&apply, &job, missing);
	row_apply_failed(&apply);
	row_apply_done(&apply, &done);
	ok(done.failed, "and where it cannot begin");

	begin();
	for (int k = 0; k < 3; k++)
	{
		Row			held_row[1] = {new_row(k, 10, 7, 8)};

		place[k].busy = true;
		(void) apply_rows(held_row, 1);
		place[k].busy = false;
	}
	now.tick_ms += 1000;
	ok(row_apply_retry(&apply, now) == 3, "what was parked is tried again");
	row_apply_failed(&apply);
	ok(row_apply_retry_due(&apply, now) && apply.at.parked.key_len == 0 && apply.at.parked.alone == ROW_APPLY_RETRY && !apply.at.parked.changed,
	   "a retry that is rolled back is tried again, row by row");
	for (int k = 0; k < 3; k++)
	{
		place[k].entry.held = ROW_PARKED;
		memcpy(place[k].aside, place[k].table, 16);
		place[k].in_table = false;
	}
	tries = 0;
	ok(row_apply_retry(&apply, now) == 1 && tries == 1, "one row in each transaction");
	row_apply_failed(&apply);
	place[0] = (Place) {.present = false};
	ok(row_apply_retry(&apply, now) == 2 && tries == 3, "and behind the one that fails alone, all of them");
}

/* A quarantine that gets new rows all the time is gone through no more often, and in small steps. */
static void
test_a_large_quarantine(void)
{
	Row			row[1];
	int			steps = 0;

	begin();
	for (int k = 0; k < 1000; k++)
	{
		row[0] = new_row(k, ROW_CLOCK_MAX - 1, 7, 8);
		(void) apply_rows(row, 1);
	}
	(void) retry_for(20000);
	for (int k = 1000; k < 1100; k++, now.tick_ms += 100, now.unix_ms += 100)
	{
		row[0] = new_row(k, ROW_CLOCK_MAX - 1, 7, 8);
		if (k % 2 == 0)
			row[0].entry.hash[3] ^= 1;
		(void) apply_rows(row, 1);
		if (row_apply_retry_due(&apply, now))
		{
			(void) row_apply_retry(&apply, now);
			steps++;
		}
	}
	ok(looks <= 500 && steps >= 50 && steps <= 100, "1,000 rows far ahead, and one more each 100 ms: %d contents are read, in %d steps", looks, steps);
	begin();
	for (int k = 0; k < 10; k++)
	{
		row[0] = new_row(k, 10, 7, 8);
		row[0].entry.hash[3] ^= 1;
		(void) apply_rows(row, 1);
	}
	aside_len = 3 * 1024 * 1024;
	looks = 0;
	ok(row_apply_retry(&apply, now) == 0 && looks == 0, "what was parked and what is in quarantine have a transaction each");
	(void) row_apply_retry(&apply, now);
	aside_len = 16;
	ok(looks == 2, "a step ends after 4 MiB of content");
}

int
main(void)
{
	fixture_begin();
	row_frontier_init(&nothing, &memory);
	row_frontier_init(&all, &memory);
	if (!row_frontier_claim(&all, 1, 1000, NULL, 0) || !row_frontier_claim(&all, 2, UINT64_MAX / 2, NULL, 0))
		return 2;
	test_a_row_that_is_refused();
	test_a_row_that_a_user_holds();
	test_clocks();
	test_hashes();
	test_conflicts();
	test_losers();
	test_drop();
	test_drop_of_what_is_held();
	test_drop_far_ahead();
	test_renewed();
	test_collect();
	test_adopt();
	test_retries();
	test_a_row_that_is_discarded();
	test_a_row_that_fails();
	test_what_is_rolled_back();
	test_a_large_quarantine();
	row_frontier_reset(&all);
	return fixture_end();
}
