/*
 * replica_flow_test.c
 *	  What holds the rows of a replica up, or makes them fewer bytes: a pause, a rate, packing.
 *	  And a comparison that somebody waits for.
 */
#include "core/rows/replica_state.h"

#include "replica_fixture.h"

static const uint64_t nothing[2];
static const uint64_t first[2] = {5, 0};
static const uint64_t more[2] = {9, 0};

/* Time in which what is covered here may be kept, and rows that nobody claims adopted. */
static void
pass_quietly(int64_t ms)
{
	pass(ms);
	while (job.id != 0)
		end_job(&(RowDone) {0});
}

/* ---- a pause ---- */

static void
test_pause(void)
{
	RowWriter	w;

	begin(false);
	have(&peer[0], first, nothing);
	ok(sent.n[ROW_WIRE_WANT] == 1, "rows are asked for");
	rows_left = 100;
	want(&peer[1], ROW_MODE_CHANGES, 3, 0, 0);
	sent.code = 0;
	sent.n[ROW_WIRE_STOP] = sent.busy = 0;
	replica_pause(replica, now, true);
	ok(sent.n[ROW_WIRE_STOP] == 2 && sent.code == ROW_CODE_BUSY && scan.open == 0, "with a pause both requests are over");
	ok(sent.busy == PEERS && replica_figures(replica).paused, "and each member is told");
	replica_pause(replica, now, true);
	ok(sent.busy == PEERS, "once");
	have(&peer[0], more, nothing);
	pass_quietly(120000);
	ok(sent.n[ROW_WIRE_WANT] == 1, "nothing is asked for");
	sent.code = 0;
	want(&peer[1], ROW_MODE_CHANGES, 4, 0, 0);
	ok(sent.code == ROW_CODE_BUSY && scan.open == 0, "and nobody is served");
	settled.top = 3;
	pass(100);
	ok(replica_covers(replica, &life[0].id, 3), "what is written here is covered all the same");
	replica_pause(replica, now, false);
	pass_quietly(100);
	ok(sent.n[ROW_WIRE_WANT] == 2, "it goes on");
	begin_data(&w, 0, more, nothing);
	put_row(&w, "k", false, 16);
	end_data(&w, true);
	ok(job.id != 0 && job.frontier != NULL, "rows come");
	replica_pause(replica, now, true);
	end_job(&(RowDone) {0});
	ok(row_frontier_top(replica_frontier(replica), 2) == 9, "what was being written when it was paused is kept");
	rows_left = 0;
	settled.top = 0;
	end("pause");
}

/* ---- a rate ---- */

/* Frames of 64 kB, as many as may be sent. */
static void
test_rate(void)
{
	int			n;

	begin(false);
	rows_left = 40;
	may_send = 1;
	want(&peer[0], ROW_MODE_CHANGES, 3, 0, 0);
	n = sent.n[ROW_WIRE_DATA];
	ok(n == 1 && scan.open == 1, "no more is sent than may be");
	want(&peer[1], ROW_MODE_CHANGES, 3, 0, 0);
	ok(sent.n[ROW_WIRE_DATA] == n, "whoever asks");
	pass(SERVE_ALIVE_MS + 100);
	ok(sent.n[ROW_WIRE_DATA] == n + 2, "both hear that their requests are alive");
	may_send = 1;
	sent.data = 0;
	pass(100);
	ok(sent.n[ROW_WIRE_DATA] == n + 3 && sent.data > 65536, "then rows go on");
	may_send = INT64_MAX;
	sent.data = 0;
	pass(100);
	ok(rows_left == 0 && sent.data > 65536, "up to the last");
	end("rate");
}

/* Who is asked and may not send is waited for, but not for ever. */
static void
test_patience(void)
{
	RowWriter	w;
	int64_t		ms = 0;

	begin(false);
	have(&peer[0], first, nothing);
	sent.n[ROW_WIRE_STOP] = 0;
	for (uint32_t sequence = 0; sent.n[ROW_WIRE_STOP] == 0 && ms < 1000000; ms += SERVE_ALIVE_MS)
	{
		begin_data(&w, sequence++, first, nothing);
		end_data(&w, false);
		pass_quietly(0);
		pass_quietly(SERVE_ALIVE_MS);
	}
	ok(ms >= ASK_PATIENCE_MS && ms <= ASK_PATIENCE_MS + 2 * ASK_RATE_MS, "a request whose rows are held back ends after minutes (%d s)", (int) (ms / 1000));
	end("patience");
}

/* The oldest request goes first, until its credit is used up. */
static void
test_rate_in_order(void)
{
	ReplicaMemberFigures figures;

	begin(false);
	have(&peer[0], nothing, nothing);
	have(&peer[1], nothing, nothing);
	rows_left = 400;
	may_send = 0;
	want(&peer[1], ROW_MODE_CHANGES, 3, 0, 0);
	want(&peer[0], ROW_MODE_CHANGES, 3, 0, 0);
	may_send = 2;
	pass(100);
	replica_member_figures(replica, now, 1, &figures);
	ok(figures.rows_sent > 0, "who asked first is sent rows first");
	replica_member_figures(replica, now, 0, &figures);
	ok(figures.rows_sent == 0, "the other waits");
	may_send = INT64_MAX;
	rows_left = 0;
	end("rate in order");
}

/* ---- packing ---- */

static void
test_packs(void)
{
	size_t		plain;

	begin(false);
	rows_left = 40;
	want(&peer[0], ROW_MODE_CHANGES, 3, 0, 0);
	plain = sent.data;
	ok(sent.n[ROW_WIRE_PACKED] == 0 && plain > 40 * 65536 / 2, "who does not say so gets rows as they are");
	rows_left = 40;
	sent.data = 0;
	want_packs = true;
	want(&peer[0], ROW_MODE_CHANGES, 4, 0, 0);
	ok(sent.n[ROW_WIRE_PACKED] > 0 && sent.data < plain / 10, "who does gets fewer bytes, %zu instead of %zu", sent.data, plain);
	ok(sent.whole > plain * 9 / 10 && replica_figures(replica).bytes_sent > 19 * plain / 10, "that stand for as many");
	want_packs = false;
	rows_left = 0;
	end("packs");
}

/* The frame that has been written, packed: as another one sends it. */
static void
deliver_packed(RowWriter *w, const KadId *from, uint32_t longer, int wrong)
{
	static uint8_t packed[ROW_FRAME_MAX];
	size_t		len = row_wire_end(w);
	size_t		n = net_pack(NULL, frame, len, packed + ROW_PACKED_HEAD, len - 1);
	RowWriter	around;

	if (n == 0)
		exit(2);
	if (wrong >= 0)
		packed[ROW_PACKED_HEAD + (size_t) wrong % n] ^= 0x55;
	row_wire_begin(&around, packed, sizeof packed, ROW_WIRE_PACKED, true, sent.request, &collection);
	if (!row_wire_put_packed(&around, (uint32_t) len + longer, n))
		exit(2);
	len = row_wire_end(&around);
	memcpy(frame, packed, len);
	replica_frame(replica, now, from, frame, len);
}

static void
begin_packed(RowWriter *w)
{
	begin_data(w, 0, first, nothing);
	put_row(w, "k", false, 5000);
	(void) row_wire_put_bytes(w, ROW_TAG_LAST, NULL, 0);
}

static void
test_unpacks(void)
{
	uint64_t	refused;
	RowWriter	w;

	begin(false);
	have(&peer[0], first, nothing);
	refused = replica_figures(replica).refused;
	begin_packed(&w);
	deliver_packed(&w, &peer[1], 0, -1);
	ok(replica_figures(replica).refused == refused + 1 && job.id == 0, "of whom was not asked it is refused");
	begin_packed(&w);
	deliver_packed(&w, &peer[0], 0, -1);
	ok(job.id != 0 && job.n == 1 && job.row[0].content.len == 5000 && job.frontier != NULL, "rows that were packed come as any");
	end_job(&(RowDone) {0});
	ok(row_frontier_top(replica_frontier(replica), 2) == 5, "with their claim");
	have(&peer[0], more, nothing);
	sent.code = 0;
	begin_packed(&w);
	deliver_packed(&w, &peer[0], 1, -1);
	ok(replica_figures(replica).refused == refused + 2 && job.id == 0 && sent.code == ROW_CODE_MALFORMED, "of another length it ends the request");
	end("unpacks");
}

/* Whatever becomes of a byte of it, nothing is written beyond a frame, and it goes on. */
static void
test_unpacks_anything(void)
{
	RowWriter	w;

	for (int i = 0; i < 60; i++)
	{
		begin(false);
		have(&peer[0], first, nothing);
		begin_packed(&w);
		deliver_packed(&w, &peer[0], 0, i);
		if (job.id != 0)
			end_job(&(RowDone) {.failed = true});
		replica_destroy(&replica);
	}
	ok(scan.open == 0, "a byte that is wrong harms nobody");
}

/* Within a PACKED is a DATA, and nothing else. */
static void
test_packed_is_data(void)
{
	uint64_t	refused;
	RowWriter	w;

	begin(false);
	have(&peer[0], first, nothing);
	refused = replica_figures(replica).refused;
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_RANGES, true, sent.request, &collection);
	for (int i = 0; i < 40; i++)
		(void) row_wire_put_sum(&w, &(RowSum) {.range = {{NULL, 0}, {(const uint8_t *) "zzzzzzzzzzzz", 12}}});
	deliver_packed(&w, &peer[0], 0, -1);
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_DATA, true, sent.request + 1, &collection);
	(void) row_wire_put_uint(&w, ROW_TAG_SEQUENCE, 0);
	put_row(&w, "k", false, 5000);
	deliver_packed(&w, &peer[0], 0, -1);
	ok(replica_figures(replica).refused == refused + 2 && job.id == 0, "no other message comes packed, nor one of another request");
	end("packed");
}

/* ---- a comparison that somebody waits for ---- */

/* One that claims what is covered here, and has no row. */
static void
answer_without_rows(void)
{
	RowSum		sum = {{{NULL, 0}, {NULL, 0}}, 0, {0}};
	RowWriter	w;

	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_RANGES, true, sent.request, &collection);
	put_tops(&w, ROW_TAG_CLAIM, first[0], first[1]);
	put_tops(&w, ROW_TAG_FLOOR, 0, 0);
	(void) row_wire_put_sum(&w, &sum);
	deliver(&w, &sent.to);
}

static void
test_wanted_comparison(void)
{
	RowWriter	w;
	int			n;

	begin(false);
	have(&peer[0], first, nothing);
	begin_data(&w, 0, first, nothing);
	end_data(&w, true);
	end_job(&(RowDone) {0});
	have(&peer[1], first, nothing);
	begin_data(&w, 0, first, nothing);
	end_data(&w, true);
	end_job(&(RowDone) {0});
	n = sent.n[ROW_WIRE_WANT];
	ok(replica_compared(replica, &peer[1]) == 0 && replica_compared(replica, &(KadId) {{9}}) == -1, "nobody has been compared with");
	replica_compare(replica, now, &peer[1], true);
	pass(100);
	ok(sent.n[ROW_WIRE_WANT] == n + 1 && sent.mode == ROW_MODE_COMPARE && kad_id_equal(&sent.to, &peer[1]), "a comparison that is wanted begins at once");
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_STOP, true, sent.request, &collection);
	(void) row_wire_put_uint(&w, ROW_TAG_CODE, ROW_CODE_BUSY);
	deliver(&w, &peer[1]);
	pass(2000);
	ok(sent.n[ROW_WIRE_WANT] == n + 2 && sent.mode == ROW_MODE_COMPARE, "and again, where it does not come to its end");
	row_stamp = row_birth = (RowStamp) {2, 3};
	rows_left = 1;
	answer_without_rows();
	rows_left = 1;
	row_wire_begin(&w, frame, sizeof frame, ROW_WIRE_RANGES, true, sent.request, &collection);
	deliver(&w, &sent.to);
	ok(n_found == 1 && n_found_here == 0, "what the other lacks though it claims it is told");
	end_job(&(RowDone) {0});
	ok(replica_compared(replica, &peer[1]) == 1 && replica_compared(replica, &peer[0]) == 0, "it has ended");
	ok(replica_figures(replica).summed_ms == now.unix_ms && !bytes_all_zero(replica_figures(replica).sum, 16), "with a sum of what is here");
	pass(1000);
	ok(sent.n[ROW_WIRE_WANT] == n + 2, "and is not wanted any more");
	rows_left = 0;
	row_stamp = row_birth = (RowStamp) {1, 1};
	end("wanted comparison");
}

/* What stands for a frontier is another where that is. */
static void
test_frontier_sum(void)
{
	uint8_t		sum[3][16];
	RowWriter	w;

	begin(false);
	replica_frontier_sum(replica, sum[0]);
	have(&peer[0], first, nothing);
	begin_data(&w, 0, first, nothing);
	end_data(&w, true);
	end_job(&(RowDone) {0});
	replica_frontier_sum(replica, sum[1]);
	replica_frontier_sum(replica, sum[2]);
	ok(memcmp(sum[0], sum[1], 16) != 0 && memcmp(sum[1], sum[2], 16) == 0, "a frontier has one sum, another one another");
	end("frontier sum");
}

int
main(void)
{
	fixture_begin();
	crypto = host_crypto();
	test_pause();
	test_rate();
	test_rate_in_order();
	test_patience();
	test_packs();
	test_unpacks();
	test_unpacks_anything();
	test_packed_is_data();
	test_wanted_comparison();
	test_frontier_sum();
	return fixture_end();
}
