/*
 * transport_test.c
 *	  Links between nodes: both ways, strangers, bans, limits, ends.
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

int
main(void)
{
	if (sodium_init() < 0)
		return 2;
	test_both_ways();
	return tap_done();
}
