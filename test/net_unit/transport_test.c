/*
 * transport_test.c
 *	  Links between nodes: both ways, strangers, limits, ends.
 */
#include "link_fixture.h"

static Peer a;
static Peer b;
static Peer *both[] = {&a, &b};

static void
test_both_ways(void)
{
	TransportLinkInfo info[8];
	TransportStats stats;
	int			n;

	ok(peer_start(&a) && peer_start(&b), "two nodes start");
	b.answers = true;
	ok(peer_send(&a, &b, "hello", 5) == TRANSPORT_SENT, "a frame to a node without a link waits for one");
	ok(pump(both, 2, a.frames == 1), "it arrives, and so does the answer");
	ok(b.last_len == 5 && memcmp(b.last, "hello", 5) == 0 && memcmp(b.last_key, a.public, CORE_KEY_BYTES) == 0,
	   "the frame is what was sent, and who sent it is known by its key");
	ok(memcmp(a.last_key, b.public, CORE_KEY_BYTES) == 0, "so is the answer's sender");
	b.answers = false;
	for (int i = 0; i < 1000; i++)
		peer_send(&a, &b, "again", 5);
	ok(pump(both, 2, b.frames == 1001), "a thousand more arrive");
	ok(transport_send(b.transport, now_ms(), a.public, NULL, 0, (const uint8_t *) "back", 4) == TRANSPORT_SENT &&
	   pump(both, 2, a.frames == 2), "without an address a link that the peer made is used");
	ok(transport_answer(a.transport, a.last_via, (const uint8_t *) "via", 3) == TRANSPORT_SENT &&
	   pump(both, 2, b.frames == 1002), "a frame can be answered over our own link");
	n = transport_links(a.transport, info, 8);
	ok(n == 1 && info[0].outbound && info[0].state == TRANSPORT_UP && info[0].frames_out == 1002 &&
	   info[0].frames_in == 2 && net_address_equal(&info[0].address, &b.address), "the link tells of itself");
	n = transport_links(b.transport, info, 8);
	ok(n == 1 && !info[0].outbound && memcmp(info[0].curve_key, a.public, CORE_KEY_BYTES) == 0 &&
	   info[0].frames_in == 1002 && info[0].frames_out == 2 && info[0].address.port != 0, "so does its other end");
	stats = transport_stats(b.transport);
	ok(stats.accepted == 1 && stats.admitted == 1 && stats.malformed == 0, "one connection was accepted and admitted");
	ok(pump(both, 2, (transport_links(a.transport, info, 8), info[0].queued_bytes == 0)), "nothing is left in the queue");
	transport_destroy(&a.transport);
	transport_destroy(&b.transport);
}

/* One behind a router that lets nobody in: a pinned link to it is being made all the time. */
static void
test_unreachable(void)
{
	ok(peer_start(&a) && peer_start(&b), "two nodes start");
	ok(transport_pin(a.transport, b.public, true) &&
	   transport_send(a.transport, now_ms(), b.public, &(NetAddress) {.ip = {[10] = 255, 255, 127, 0, 0, 1}, .port = 1}, 1, (const uint8_t *) "lost", 4) == TRANSPORT_SENT &&
	   pump(both, 2, a.unreachable > 0), "one cannot reach the other, and goes on trying");
	b.frames = 0;
	ok(peer_send(&b, &a, "here", 4) == TRANSPORT_SENT && pump(both, 2, a.frames == 1), "the other makes a link to it");
	ok(transport_send(a.transport, now_ms(), b.public, NULL, 0, (const uint8_t *) "back", 4) == TRANSPORT_SENT &&
	   pump(both, 2, b.frames == 1) && b.last_len == 4 && memcmp(b.last, "back", 4) == 0, "without an address that link is used");
	transport_destroy(&a.transport);
	transport_destroy(&b.transport);
}

static Peer c;
static Peer d;
static int	heard[3];			/* of b, c and d */

/* What a frame with many signatures may cost. */
static void
receive_slowly(void *context, const uint8_t *key, TransportVia via, const uint8_t *frame, size_t len)
{
	const Peer *const from[] = {&b, &c, &d};

	for (int i = 0; i < 3; i++)
		heard[i] += memcmp(key, from[i]->public, CORE_KEY_BYTES) == 0;
	poll(NULL, 0, 30);
}

/* Frames that cost much end a turn, and all links have theirs all the same. */
static void
test_slow_frames(void)
{
	Peer	   *all[] = {&a, &b, &c, &d};
	int			most = 0;
	int			polls = 0;

	ok(peer_start(&a) && peer_start(&b) && peer_start(&c) && peer_start(&d), "four nodes start");
	c.answers = d.answers = true;
	peer_send(&b, &a, "one", 3);
	peer_send(&a, &c, "one", 3);
	peer_send(&a, &d, "one", 3);
	ok(pump(all, 4, a.frames == 3), "one has a link of others and two of its own");
	for (int i = 0; i < 40; i++)
	{
		peer_send(&b, &a, "more", 4);
		peer_send(&a, &c, "more", 4);
		peer_send(&a, &d, "more", 4);
	}
	ok(pump(all + 1, 3, c.frames == 41 && d.frames == 41), "all of them say much");
	while (polls < 200 && (heard[0] < 5 || heard[1] < 5 || heard[2] < 5))
	{
		int			before = heard[0] + heard[1] + heard[2];

		transport_poll(a.transport, now_ms(), 64, receive_slowly, NULL);
		before = heard[0] + heard[1] + heard[2] - before;
		most = before > most ? before : most;
		polls += before > 0;
		poll(NULL, 0, 1);
	}
	ok(most > 0 && most <= 3, "a turn ends after 50 ms of frames (%d of 30 ms each)", most);
	ok(polls < 30, "each link has its turns (%d, %d and %d frames in %d)", heard[0], heard[1], heard[2], polls);
	for (int i = 0; i < 4; i++)
		transport_destroy(&all[i]->transport);
}

int
main(void)
{
	if (sodium_init() < 0)
		return 2;
	test_both_ways();
	test_unreachable();
	test_slow_frames();
	return tap_done();
}
