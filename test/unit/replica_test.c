/*
 * replica_test.c
 *	  What a replica asks, claims and refuses, step by step, against a host that has no
 *	  rows and keeps the job that it is handed until the test ends it.
 */
#include "replica_fixture.h"

/* ---- tests ---- */

static void
test_copy_of_two_sources(void)
{
	static const uint64_t nothing[2];
	static const uint64_t first[2] = {5, 1};
	static const uint64_t second[2] = {9, 9};
	static const uint64_t floor[2] = {8, 8};
	RowWriter	w;

	begin(true);
	have(&peer[0], second, nothing);
	begin_data(&w, 0, first, nothing);
	put_row(&w, "k", false, 16);
	end_data(&w, false);
	ok(job.id != 0 && job.frontier == NULL, "rows of a copy are written without a claim");
	end_job(&(RowDone) {0});
	replica_gone(replica, now, &sent.to);
	have(&peer[1], second, floor);
	ok(sent.mode == ROW_MODE_COPY && kad_id_equal(&sent.to, &peer[1]), "the copy goes on at another source");
	begin_data(&w, 0, second, floor);
	end_data(&w, true);
	ok(job.id != 0 && job.frontier != NULL && row_frontier_top(job.frontier, 2) == 5 &&
	   row_frontier_top(job.frontier, 3) == 1, "it claims what both sources claim");
	ok(job.id != 0 && job.floor != NULL && row_frontier_includes(job.frontier, job.floor) &&
	   row_frontier_top(job.floor, 2) == 5, "its floor is nowhere above its claim");
	end_job(&(RowDone) {0});
	end("copy");
}

static void
test_fetch_in_pieces(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	static const uint32_t missing[] = {0, 1, 2};
	RowWriter	w;

	begin(false);
	have(&peer[0], claim, nothing);
	begin_data(&w, 0, claim, nothing);
	put_row(&w, "a", true, 8);
	put_row(&w, "b", true, 8);
	put_row(&w, "c", true, 8);
	end_data(&w, true);
	ok(job.id != 0 && job.frontier != NULL, "a whole batch is written with its claim");
	end_job(&(RowDone) {.n_missing = 3, .missing = missing});
	ok(sent.n[ROW_WIRE_FETCH] == 1, "rows that lack their vector are fetched");
	begin_data(&w, 1, NULL, NULL);
	put_row(&w, "c", false, 2 * ATOMIC);
	end_data(&w, false);
	ok(job.id != 0 && job.n == 1 && job.frontier == NULL, "what was fetched is written when it is much, without the claim");
	begin_data(&w, 2, NULL, NULL);
	put_row(&w, "b", false, 2 * ATOMIC);
	put_row(&w, "a", false, 2 * ATOMIC);
	end_data(&w, true);
	end_job(&(RowDone) {0});
	ok(sent.n[ROW_WIRE_FETCH] == 1, "nothing is asked for twice");
	ok(job.id != 0 && job.n == 2 && job.frontier != NULL, "the last of the rows come with the claim");
	end_job(&(RowDone) {0});
	ok(replica_figures(replica).batches == 1, "the batch is whole");
	end("fetch");
}

static void
test_no_memory_for_a_missing_row(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	static const uint32_t missing[] = {0};
	RowWriter	w;

	begin(false);
	have(&peer[0], claim, nothing);
	begin_data(&w, 0, claim, nothing);
	put_row(&w, "a", true, 8);
	end_data(&w, true);
	memory_state.until_failure = 0;
	end_job(&(RowDone) {.n_missing = 1, .missing = missing});
	memory_state.until_failure = -1;
	ok(replica_figures(replica).interrupted == 1, "without memory for its key the request ends");
	pass(2000);
	ok(sent.n[ROW_WIRE_WANT] == 2, "and is begun anew");
	end("no memory");
}

static void
test_rows_that_a_comparison_did_not_fetch(void)
{
	static const uint64_t claim[2] = {5, 0};
	RowWriter	w;

	begin(false);
	have(&peer[0], claim, claim);
	ok(sent.mode == ROW_MODE_COMPARE, "below a member's floor it is compared with");
	begin_data(&w, 0, claim, claim);
	put_row(&w, "a", false, 8);
	end_data(&w, true);
	ok(job.id == 0 && replica_figures(replica).interrupted == 1, "rows that were not fetched end a comparison");
	end("comparison");
}

/* The first answer of a comparison: no rows at all. */
static void
answer_nothing(uint64_t clock, const uint64_t claim[2], const uint64_t floor[2])
{
	RowSum		sum = {{{NULL, 0}, {NULL, 0}}, 0, {0}};
	RowWriter	w;

	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_RANGES, true, sent.request, &collection);
	(void) row_wire_put_uint(&w, ROW_TAG_CLOCK, clock);
	put_tops(&w, ROW_TAG_CLAIM, claim[0], claim[1]);
	put_tops(&w, ROW_TAG_FLOOR, floor[0], floor[1]);
	(void) row_wire_put_sum(&w, &sum);
	deliver(&w, &sent.to);
}

/* What is written here after its snapshot is above the other's tombstones. */
static void
test_snapshot_of_a_comparison(void)
{
	static const uint64_t claim[2] = {5, 0};

	begin(false);
	have(&peer[0], claim, claim);
	ok(sent.mode == ROW_MODE_COMPARE && scan.open == 0, "a comparison has no snapshot of ours before the other has answered");
	answer_nothing(77, claim, claim);
	ok(scan.open == 1 && heard_at_open == 77, "it is taken when the clock of the other's tombstones has been heard");
	end_job(&(RowDone) {0});
	ok(row_frontier_top(replica_frontier(replica), 2) == 5 && scan.open == 0, "and closed with the claim");
	end("snapshot of a comparison");
}

/* A reader that covers 5 of one writer's tickets has a row that nobody claims, and the other has none. */
static void
compare_as_reader(uint64_t clock, const uint64_t claim[2])
{
	static const uint64_t nothing[2];
	static const uint64_t first[2] = {5, 0};
	static const uint64_t floor[2] = {0, 5};
	RowWriter	w;

	begin(false);
	tell_role(GRANT_READER);
	have(&peer[0], first, nothing);
	begin_data(&w, 0, first, nothing);
	end_data(&w, true);
	end_job(&(RowDone) {0});
	have(&peer[1], claim, floor);
	rows_left = 1;
	answer_nothing(clock, claim, floor);
	rows_left = 1;
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_RANGES, true, sent.request, &collection);
	deliver(&w, &sent.to);
	rows_left = 0;
}

static void
test_strays_of_a_reader(void)
{
	static const uint64_t less[2] = {4, 5};
	static const uint64_t as_much[2] = {5, 5};

	compare_as_reader(0, less);
	ok(job.id != 0 && job.kind == ROW_JOB_APPLY && job.n == 0, "of one who covers less a reader drops nothing: what the row replaced is not known to be gone");
	end_job(&(RowDone) {0});
	end("stray");
	compare_as_reader(0, as_much);
	ok(job.id != 0 && job.kind == ROW_JOB_DROP && job.n == 1, "of one who covers as much it drops what nobody claims");
	end_job(&(RowDone) {0});
	end("stray dropped");
	compare_as_reader(77, as_much);
	ok(job.id != 0 && job.kind == ROW_JOB_DROP && job.n == 1 && !job.row[0].renew, "also where one who may write would write it anew");
	end_job(&(RowDone) {0});
	end("no row of a reader's own");
	row_birth = (RowStamp) {3, 2};
	compare_as_reader(0, less);
	ok(job.id != 0 && job.kind == ROW_JOB_DROP && job.n == 1 && !job.row[0].lost,
	   "what was written on a row that has been deleted it drops as well: it may be a writer again, and would be asked for it");
	end_job(&(RowDone) {0});
	end("written as a writer");
	row_birth = (RowStamp) {1, 1};
}

static void
test_credit_of_others_is_bounded(void)
{
	RowWriter	w;

	begin(false);
	rows_left = 1000;
	want(&peer[0], ROW_MODE_CHANGES, 3, 0, 0);
	ok(sent.n[ROW_WIRE_DATA] > 0 && sent.data <= REPLICA_CREDIT + ROW_FRAME_MAX,
	   "one WANT makes us send no more than our credit, whatever it grants");
	sent.data = 0;
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_ACK, false, 3, &collection);
	(void) row_wire_put_uint(&w, ROW_TAG_CREDIT, UINT32_MAX);
	deliver(&w, &peer[0]);
	ok(sent.data > 0 && sent.data <= REPLICA_CREDIT + ROW_FRAME_MAX, "and so does an ACK");
	rows_left = 0;
	end("credit");
}

/* Both members acknowledge what we cover; a tombstone may go, and has gone before we are told. */
static void
test_floor_while_tombstones_go(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	RowWriter	w;

	begin(false);
	have(&peer[0], claim, nothing);
	begin_data(&w, 0, claim, nothing);
	end_data(&w, true);
	end_job(&(RowDone) {0});
	for (int i = 0; i < PEERS; i++)
		have(&peer[i], claim, nothing);
	has_tombstones = true;
	pass(60000);
	has_tombstones = false;
	ok(job.id != 0 && job.kind == ROW_JOB_COLLECT && row_frontier_top(job.floor, 2) == 5,
	   "tombstones that all have acknowledged are collected");
	sent.code = 0;
	want(&peer[0], ROW_MODE_CHANGES, 3, 4, 0);
	ok(sent.code == ROW_CODE_FLOOR, "who is below them is sent no changes from then on");
	end_job(&(RowDone) {0});
	end("floor");
}

/* After a restart: one member is up and acknowledges, the other was heard of long ago. */
static void
test_member_who_was_away_before_a_restart(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	ReplicaMember member[PEERS] = {{peer[0], GRANT_WRITER, 0}, {peer[1], GRANT_WRITER, 0}};
	RowWriter	w;

	for (int gone = 0; gone < 2; gone++)
	{
		begin(false);
		replica_members(replica, now, NULL, 0, GRANT_WRITER, fingerprint);
		now.unix_ms += 10 * 3600000;
		member[1].heard_unix_ms = now.unix_ms - (gone ? 3600001 : 3000000);
		replica_members(replica, now, member, PEERS, GRANT_WRITER, fingerprint);
		ok(replica_heard(replica, &peer[1]) == member[1].heard_unix_ms && replica_heard(replica, &peer[0]) == now.unix_ms,
		   "when a member was heard goes in and comes out");
		replica_connected(replica, now, &peer[0]);
		have(&peer[0], claim, nothing);
		begin_data(&w, 0, claim, nothing);
		end_data(&w, true);
		end_job(&(RowDone) {0});
		have(&peer[0], claim, nothing);
		has_tombstones = true;
		pass(30000);
		while (job.id != 0 && job.kind != ROW_JOB_COLLECT)
		{
			end_job(&(RowDone) {0});
			pass(30000);
		}
		has_tombstones = false;
		ok((job.id != 0) == (gone == 1), gone ? "who was away for longer than retention, restarts and all, holds no tombstone back" :
		   "who was not, does");
		if (job.id != 0)
			end_job(&(RowDone) {0});
		end("heard");
	}
}

/* What a member wrote just before a crash is in no frontier, so each is asked once over a new link. */
static void
test_asked_over_each_link(void)
{
	static const uint64_t nothing[2];
	RowWriter	w;

	begin(false);
	have(&peer[0], nothing, nothing);
	ok(sent.n[ROW_WIRE_WANT] == 1 && sent.mode == ROW_MODE_CHANGES, "who tells nothing new is asked all the same");
	begin_data(&w, 0, nothing, nothing);
	put_row(&w, "k", false, 16);
	end_data(&w, true);
	ok(job.id != 0 && job.n == 1, "a row that nobody claims is written");
	end_job(&(RowDone) {0});
	have(&peer[0], nothing, nothing);
	pass(1000);
	ok(sent.n[ROW_WIRE_WANT] == 1, "and it is asked once");
	replica_gone(replica, now, &peer[0]);
	replica_connected(replica, now, &peer[0]);
	ok(sent.n[ROW_WIRE_WANT] == 1, "over a new link it is not asked before it was heard");
	have(&peer[0], nothing, nothing);
	ok(sent.n[ROW_WIRE_WANT] == 2, "and then once more");
	replica_gone(replica, now, &peer[0]);
	replica_connected(replica, now, &peer[0]);
	have(&peer[0], nothing, nothing);
	ok(sent.n[ROW_WIRE_WANT] == 3, "also where the link went before it had answered");
	end("asked over each link");
}

/* Without a tombstone the floor stays, and of the frontier what is not on disk is kept there, once. */
static void
test_floor_without_tombstones(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	RowWriter	w;
	int			kept;

	begin(false);
	have(&peer[0], claim, nothing);
	begin_data(&w, 0, claim, nothing);
	end_data(&w, true);
	end_job(&(RowDone) {0});
	for (int i = 0; i < PEERS; i++)
		have(&peer[i], claim, nothing);
	for (int i = 0; i < 10; i++)	/* rows that nobody claims; and the others do not answer what they are asked */
	{
		pass(60000);
		if (job.id != 0)
			end_job(&(RowDone) {0});
	}
	settled.top = 9;
	pass(60000);
	ok(job.id != 0 && job.kind == ROW_JOB_APPLY && job.n == 0 && job.floor == NULL && row_frontier_top(job.frontier, 1) == 9,
	   "where there is no tombstone, what of our own tickets has ended is kept and the floor is not raised");
	kept = n_jobs;
	end_job(&(RowDone) {0});
	pass(60000);
	ok(row_frontier_top(replica_floor(replica), 2) == 0, "the floor is where it was");
	ok(n_jobs == kept, "and where nothing has changed, nothing is written");
	settled.top = 0;
	end("floor without tombstones");
}

/* A member tells a floor that is far above us, and answers nothing. */
static void
test_floor_that_nobody_else_tells(void)
{
	static const uint64_t nothing[2];
	static const uint64_t lie[2] = {0, UINT64_C(1) << 62};
	static const uint64_t claim[2] = {5, 0};

	begin(false);
	have(&peer[1], lie, lie);
	have(&peer[0], claim, nothing);
	sent.code = 0;
	want(&peer[0], ROW_MODE_CHANGES, 3, 4, 0);
	ok(sent.code == ROW_CODE_BUSY, "who is below a member's floor serves nobody at first");
	for (int i = 0; i < 5; i++)
	{
		have(&peer[1], lie, lie);
		pass(60000);
		while (job.id != 0)
			end_job(&(RowDone) {0});
	}
	sent.code = 0;
	want(&peer[0], ROW_MODE_CHANGES, 4, 4, 0);
	ok(sent.code == 0, "but a floor of one who answers no comparison does not keep it from the others");
	end("a floor that nobody else tells");
}

/* Who was lied to about our tickets says what nobody can know: the rest of it is heard. */
static void
test_claim_of_our_tickets(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	RowFrontier lie;
	RowWriter	w;

	begin(false);
	settled.top = 4;
	have(&peer[0], claim, nothing);
	row_frontier_init(&lie, &memory);
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_DATA, true, sent.request, &collection);
	ok(row_frontier_claim(&lie, 1, UINT64_MAX, NULL, 0) && row_frontier_claim(&lie, 2, 5, NULL, 0) &&
	   row_wire_put_frontier(&w, ROW_TAG_CLAIM, &lie, replica_dictionary(replica)), "a claim of all tickets that we will ever give out");
	row_frontier_reset(&lie);
	put_tops(&w, ROW_TAG_FLOOR, 0, 0);
	(void) row_wire_put_uint(&w, ROW_TAG_SEQUENCE, 0);
	end_data(&w, true);
	ok(job.id != 0 && row_frontier_top(job.frontier, 2) == 5 && row_frontier_top(job.frontier, 1) <= 4,
	   "is taken for others' tickets, and not for ours");
	end_job(&(RowDone) {0});
	ok(!row_frontier_covers(replica_frontier(replica), (RowStamp) {1, 5}) &&
	   row_frontier_covers(replica_frontier(replica), (RowStamp) {2, 5}), "and so is what we cover then");
	settled.top = 0;
	end("our tickets");
}

static void
test_no_members_no_garbage(void)
{
	begin(false);
	memory_state.until_failure = 0;
	replica_members(replica, now, NULL, 0, GRANT_WRITER, fingerprint);
	tell_members();
	memory_state.until_failure = -1;
	pass(60000);
	ok(n_jobs == 0 || job.kind != ROW_JOB_COLLECT, "a member that there was no memory for holds tombstones back");
	tell_members();
	end("members");
}

/* A member that does not keep to the credit it was given, while our disk takes its time. */
static void
test_flood_while_a_job_is_at_work(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	uint32_t	sequence = 0;
	RowWriter	w;

	begin(false);
	have(&peer[0], claim, nothing);
	while (replica_figures(replica).interrupted == 0 && sequence < 1000)
	{
		begin_data(&w, sequence++, claim, nothing);
		put_row(&w, "k", false, 60000);
		end_data(&w, false);
	}
	ok(n_jobs == 1 && sequence > REPLICA_CREDIT / 65536 && sequence < 2 * (REPLICA_CREDIT + 2 * ROW_FRAME_MAX) / 60000,
	   "who sends much more than was granted is heard no longer (%u frames)", sequence);
	end_job(&(RowDone) {0});
	end("flood");
}

/* A frame of so many bytes every nine seconds: is the request still under way after a minute? */
static bool
goes_on_with(size_t bytes)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	bool		result;
	RowWriter	w;

	begin(false);
	have(&peer[0], claim, nothing);
	for (uint32_t sequence = 0; sequence < 7; sequence++)
	{
		begin_data(&w, sequence, claim, nothing);
		put_row(&w, "k", false, bytes);
		end_data(&w, false);
		if (job.id != 0)
			end_job(&(RowDone) {0});
		pass(9000);
		if (job.id != 0)
			end_job(&(RowDone) {0});
	}
	result = replica_figures(replica).interrupted == 0;
	end("rate");
	return result;
}

static void
test_least_rate(void)
{
	ok(!goes_on_with(100), "who sends a little every nine seconds is asked no longer");
	ok(goes_on_with(20000), "who sends enough in that time is");
}

static void
test_long_job(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	RowWriter	w;

	begin(false);
	have(&peer[0], claim, nothing);
	begin_data(&w, 0, claim, nothing);
	put_row(&w, "k", false, 2 * ATOMIC);
	end_data(&w, false);
	pass(30000);
	ok(job.id != 0 && sent.n[ROW_WIRE_ACK] > 0 && sent.acknowledged == 0 && replica_figures(replica).interrupted == 0,
	   "while a job is at work the other is told that we are there, and granted nothing");
	end_job(&(RowDone) {0});
	end("long job");
}

static void
test_rows_that_were_not_fetched(void)
{
	static const uint64_t nothing[2];
	static const uint64_t claim[2] = {5, 0};
	static const uint32_t missing[] = {0};
	RowWriter	w;

	begin(false);
	have(&peer[0], claim, nothing);
	begin_data(&w, 0, claim, nothing);
	put_row(&w, "a", true, 8);
	end_data(&w, true);
	end_job(&(RowDone) {.n_missing = 1, .missing = missing});
	begin_data(&w, 1, NULL, NULL);
	put_row(&w, "b", false, 8);
	end_data(&w, true);
	ok(job.id == 0 && replica_figures(replica).interrupted == 1, "a row that was not asked for ends the request");
	end("other rows");
}

static void
test_floor_of_who_is_gone(void)
{
	static const uint64_t nothing[2];
	static const uint64_t high[2] = {9, 9};
	static const uint64_t claim[2] = {5, 0};

	begin(false);
	have(&peer[0], high, high);
	have(&peer[1], claim, nothing);
	ok(sent.mode == ROW_MODE_COMPARE && replica_figures(replica).stale, "below a member's floor nobody is served");
	replica_gone(replica, now, &peer[0]);
	pass(2000);
	ok(!replica_figures(replica).stale && sent.mode == ROW_MODE_CHANGES && kad_id_equal(&sent.to, &peer[1]),
	   "when that member is gone the others go on without it");
	end("gone");
}

static void
test_adopts_in_company(void)
{
	static const uint64_t nothing[2];
	bool		adopted = false;

	begin(false);
	for (int i = 0; i < PEERS; i++)
		replica_gone(replica, now, &peer[i]);
	pass(120000);
	ok(n_jobs == 0, "who hears nobody does not make rows anew that others may have deleted");
	replica_connected(replica, now, &peer[0]);
	have(&peer[0], nothing, nothing);
	for (int i = 0; i < 600 && !adopted; i++)
	{
		pass(100);
		adopted = job.id != 0 && job.kind == ROW_JOB_ADOPT;
		if (job.id != 0)
			end_job(&(RowDone) {0});
	}
	ok(adopted, "and does so when it has heard a member");
	end("adopt");
}

/* Is there an ADOPT within two minutes?  It has done so many. */
static bool
adopts(uint32_t n_changed)
{
	for (int i = 0; i < 1200; i++)
	{
		bool		adopted;

		pass(100);
		adopted = job.id != 0 && job.kind == ROW_JOB_ADOPT;
		if (job.id != 0)
			end_job(&(RowDone) {.n_changed = adopted ? n_changed : 0});
		if (adopted)
			return true;
	}
	return false;
}

/* Who had begun to write on a row before it was adopted is seen when that has ended. */
static void
test_adopts_what_was_open(void)
{
	static const uint64_t nothing[2];

	begin(false);
	have(&peer[0], nothing, nothing);
	settled = (RowSettled) {.top = 6, .last = 7};
	ok(adopts(1), "what nobody claims is adopted");
	ok(!adopts(0), "once, while a transaction goes on");
	settled = (RowSettled) {.top = 8, .n = 1, .open = {7}, .last = 8};
	ok(!adopts(0), "another one changes nothing");
	settled = (RowSettled) {.top = 9, .last = 9};
	ok(adopts(0), "when it has ended there may be more");
	ok(!adopts(0), "and then not");
	settled = (RowSettled) {.top = 0};
	end("adopt what was open");
}

/* A member tells of a life of somebody who was never let in. */
static void
test_lives_of_strangers(void)
{
	Key			key = new_key(&crypto);
	RowIncarnation alien;
	RowWriter	w;
	uint32_t	before;

	begin(false);
	memcpy(stranger, key.public, CORE_KEY_BYTES);
	if (!row_incarnation_begin(replica_dictionary(replica), &random_source, key.secret, &alien))
		exit(2);
	before = replica_dictionary(replica)->n;
	for (int known = 0; known < 2; known++)
	{
		row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_INTRODUCE, false, 0, &collection);
		(void) row_wire_put_incarnation(&w, &alien);
		deliver(&w, &peer[0]);
		if (known == 0)
			ok(replica_dictionary(replica)->n == before && replica_figures(replica).refused == 1,
			   "a life of who is no writer takes no place");
		else
			ok(replica_dictionary(replica)->n == before + 1, "and does when it is told again and he is one");
		memset(stranger, 0, sizeof stranger);
	}
	end("strangers");
}

/* Whose grants are gone, or was granted something anew, has less room for lives. */
static void
test_lives_of_former_writers(void)
{
	Key			key = new_key(&crypto);
	RowIncarnation alien;
	RowWriter	w;
	uint32_t	number;
	uint32_t	before;

	begin(false);
	memcpy(former, key.public, CORE_KEY_BYTES);
	for (int i = 0; i <= ROW_INCARNATIONS_FORMER; i++)
		if (!row_incarnation_begin(replica_dictionary(replica), &random_source, key.secret, &alien) ||
			(i < ROW_INCARNATIONS_FORMER &&
			 row_dictionary_add(replica_dictionary(replica), &alien, true, &number) != ROW_INCARNATION_NEW))
			exit(2);
	before = replica_dictionary(replica)->n;
	for (int writes = 0; writes < 2; writes++)
	{
		row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_INTRODUCE, false, 0, &collection);
		(void) row_wire_put_incarnation(&w, &alien);
		deliver(&w, &peer[0]);
		ok(replica_dictionary(replica)->n == before + (uint32_t) writes && replica_figures(replica).refused == 1,
		   writes == 0 ? "of who may not write now so many lives are taken" : "and more when he may");
		memset(former, 0, sizeof former);
	}
	end("former writers");
}

/* A member compares with us, and asks for parts. */
static void
compare_with_us(const KadId *from, uint64_t request)
{
	const RowRange all = {{NULL, 0}, {NULL, 0}};
	RowWriter	w;

	want(from, ROW_MODE_COMPARE, request, 0, 0);
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_RANGES, false, request, &collection);
	if (!row_wire_put_range(&w, &all))
		exit(2);
	deliver(&w, from);
}

/* Who finds a difference to us is compared with soon, and not again soon. */
static void
test_compared_with(void)
{
	static const uint64_t nothing[2];
	RowWriter	w;

	begin(false);
	for (int i = 0; i < PEERS; i++)
	{
		have(&peer[i], nothing, nothing);
		begin_data(&w, 0, nothing, nothing);
		end_data(&w, true);
		if (job.id != 0)
			end_job(&(RowDone) {0});
	}
	pass(60000);
	sent.n[ROW_WIRE_WANT] = 0;
	want(&peer[1], ROW_MODE_COMPARE, 7, 0, 0);
	pass(30000);
	ok(sent.n[ROW_WIRE_WANT] == 0, "who compares with us and finds us equal is not compared with");
	compare_with_us(&peer[1], 8);
	pass(23000);
	ok(sent.n[ROW_WIRE_WANT] == 1 && sent.mode == ROW_MODE_COMPARE && kad_id_equal(&sent.to, &peer[1]), "who asks for parts is");
	answer_nothing(1, nothing, nothing);
	if (job.id != 0)
		end_job(&(RowDone) {0});
	sent.mode = 0;
	compare_with_us(&peer[1], 9);
	pass(60000);
	ok(sent.mode != ROW_MODE_COMPARE, "and not again soon");
	end("compared with");
}

/* With columns that are others; with 2 it tells them. */
static void
other_columns(const KadId *from, uint8_t hash)
{
	const uint8_t other[32] = {hash};
	const RowColumn changed = {own_column.name, {(const uint8_t *) "uuid", 4}, true, 1};
	RowWriter	w;

	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_HAVE, false, 0, &collection);
	(void) row_wire_put_bytes(&w, ROW_TAG_MEMBERS, fingerprint, 16);
	(void) row_wire_put_uint(&w, ROW_TAG_CLOCK, 1);
	(void) row_wire_put_bytes(&w, ROW_TAG_SCHEMA, other, 32);
	put_tops(&w, ROW_TAG_FRONTIER, 0, 0);
	put_tops(&w, ROW_TAG_FLOOR, 0, 0);
	if (hash == 2 && !row_wire_put_column(&w, &changed))
		exit(2);
	deliver(&w, from);
}

/* A member whose columns are others is told ours, and its own are looked at. */
static void
test_other_columns(void)
{
	const uint64_t nothing[2] = {0, 0};

	begin(false);
	tell_members();
	replica_connected(replica, now, &peer[0]);
	have(&peer[0], nothing, nothing);
	sent.n[ROW_WIRE_HAVE] = sent.columns = n_differ = 0;
	for (n_columns = 0; n_columns < 2; n_columns++)
		for (int i = 0; i < 3; i++)
		{
			other_columns(&peer[0], 2);
			if (n_columns == 0)
				ok(sent.n[ROW_WIRE_HAVE] == 0, "where ours are not known nothing is told");
		}
	n_columns = 1;
	ok(sent.n[ROW_WIRE_HAVE] == 1 && sent.columns == 1, "who has other columns is told ours, once");
	ok(n_differ == 6 && strcmp(difference, "column \"id\" is text NOT NULL here and uuid NOT NULL there") == 0 &&
	   replica_differs(replica, &peer[0]), "and what it tells is looked at");
	pass(31000);
	other_columns(&peer[0], 2);
	ok(sent.columns == 2, "in half a minute it is told again");
	other_columns(&peer[0], 3);
	pass(1000);
	other_columns(&peer[0], 3);
	ok(sent.columns == 3, "and when its columns have become others, soon");
	for (uint8_t i = 4; i < 100; i++)
		other_columns(&peer[0], i);
	ok(sent.columns == 3, "but not each time where they do so all the time");
	replica_gone(replica, now, &peer[0]);
	ok(!replica_differs(replica, &peer[0]), "until its link is gone");
	replica_connected(replica, now, &peer[0]);
	ok(sent.columns == 4, "over another link it is told again");
	have(&peer[0], nothing, nothing);
	ok(!replica_differs(replica, &peer[0]) && sent.columns == 4, "until its columns are ours");
	n_columns = 0;
	end("other columns");
}

/* Whoever waits for a ticket is told when it is here, and when members have told that it is there. */
static void
test_waited_for(void)
{
	static const uint64_t nothing[2];
	static const uint64_t first[2] = {5, 0};
	static const uint64_t both[2] = {5, 7};
	static const RowIncarnationId unmet = {{1, 2, 3}};

	begin(false);
	settled.top = 3;
	settled.n = 1;
	settled.open[0] = 2;
	replica_tick(replica, now);
	ok(replica_covers(replica, &life[0].id, 1) && replica_covers(replica, &life[0].id, 3) &&
	   !replica_covers(replica, &life[0].id, 2) && !replica_covers(replica, &life[0].id, 4),
	   "of our tickets those are here whose transactions have ended");
	ok(!replica_covers(replica, &life[0].id, 0) && !replica_covers(replica, &unmet, 1), "no ticket is 0, nor one of a life that was not met");
	ok(!replica_covers(replica, &life[1].id, 5), "another's is not here before its rows are");
	ok(replica_lacking(replica, &life[1].id, 5) == PEERS && replica_lacking(replica, &unmet, 1) == PEERS, "nor with any member");
	have(&peer[0], first, nothing);
	ok(replica_lacking(replica, &life[1].id, 5) == PEERS - 1 && replica_lacking(replica, &life[1].id, 6) == PEERS,
	   "one has told that it has it");
	for (int i = 1; i < PEERS; i++)
		have(&peer[i], both, nothing);
	ok(replica_lacking(replica, &life[1].id, 5) == 0 && replica_lacking(replica, &life[2].id, 7) == 1, "all have");
	replica_gone(replica, now, &peer[0]);
	ok(replica_lacking(replica, &life[1].id, 5) == 0, "and one that goes has it still");
	memory_state.until_failure = 0;
	replica_members(replica, now, NULL, 0, GRANT_WRITER, fingerprint);
	tell_members();
	memory_state.until_failure = -1;
	ok(replica_lacking(replica, &life[1].id, 5) == -1, "where the members are not known nobody can tell");
	tell_members();
	settled.top = 0;
	settled.n = 0;
	end("waited for");
}

/* What people who look are told of a member. */
static void
test_member_figures(void)
{
	static const uint64_t nothing[2];
	static const uint64_t more[2] = {5, 0};
	ReplicaMemberFigures figures;

	begin(false);
	ok(replica_members_count(replica) == PEERS, "there are %d members", PEERS);
	replica_member_figures(replica, now, 0, &figures);
	ok(kad_id_equal(&figures.id, &peer[0]) && figures.role == GRANT_WRITER && figures.state == REPLICA_SILENT, "one that has said nothing is silent");
	have(&peer[0], nothing, nothing);
	replica_gone(replica, now, &peer[0]);
	settled.top = 3;
	pass(3000);
	replica_member_figures(replica, now, 0, &figures);
	ok(figures.state == REPLICA_AWAY && figures.lacks_there == 3 && figures.lacks_there_ms >= 1000 && figures.lacks_there_ms <= 3000 &&
	   figures.lacks_here == 0 && figures.heard_ms == 3000, "one that is away lacks 3 commits since then");
	replica_connected(replica, now, &peer[1]);
	have(&peer[1], more, nothing);
	replica_member_figures(replica, now, 1, &figures);
	ok(figures.state == REPLICA_TAKING && figures.lacks_here == 5 && figures.credit > 0 && figures.heard_ms == 0, "where there is more it is asked for");
	settled.top = 0;
	end("figures");
}

int
main(void)
{
	fixture_begin();
	crypto = host_crypto();
	test_copy_of_two_sources();
	test_fetch_in_pieces();
	test_no_memory_for_a_missing_row();
	test_rows_that_a_comparison_did_not_fetch();
	test_snapshot_of_a_comparison();
	test_strays_of_a_reader();
	test_credit_of_others_is_bounded();
	test_floor_while_tombstones_go();
	test_asked_over_each_link();
	test_floor_without_tombstones();
	test_member_who_was_away_before_a_restart();
	test_floor_that_nobody_else_tells();
	test_claim_of_our_tickets();
	test_no_members_no_garbage();
	test_flood_while_a_job_is_at_work();
	test_least_rate();
	test_long_job();
	test_rows_that_were_not_fetched();
	test_floor_of_who_is_gone();
	test_adopts_in_company();
	test_adopts_what_was_open();
	test_lives_of_strangers();
	test_lives_of_former_writers();
	test_compared_with();
	test_other_columns();
	test_waited_for();
	test_member_figures();
	return fixture_end();
}
