/*
 * node_test.c
 *	  Whole nodes over real links on loopback, all in one thread: a network that
 *	  has more nodes than each may have links, so that links come and go with
 *	  every lookup.
 */
#include <stdlib.h>

#include "net/crypto_sodium.h"
#include "node_host.h"

#define NODES 24
#define LINKS 8
#define LOOKUPS 60
#define AT_ONCE 8
#define ROUNDS 10				/* of so many lookups at once */
#define PATIENCE_MS 120000
#define TURN_MS 10
#define HOUR_MS 3600000

typedef struct Hosted
{
	NetNode    *net;
	Node	   *node;
	bool		joined;
	int64_t		polled_ms;
} Hosted;

static uint64_t random_state;
static Hosted hosted[NODES];
static int	ended;
static int	found;

static void
on_log(void *context, NodeLevel level, const char *text)
{
	Hosted	   *self = context;

	self->joined |= strstr(text, "has joined the network") != NULL;
}

static void
on_lookup_done(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
	NodeRecord *near[KAD_K];
	int			n = kad_lookup_result(lookup, near, KAD_K, NULL);

	ended++;
	/* the tag is the number of the node whose id was looked for, and one */
	for (int i = 0; i < n; i++)
		found += kad_id_equal(&near[i]->id, &node_record(hosted[tag - 1].node)->id);
}

/*
 * The nodes' clock.  While something happens, or a request waits for its answer, it
 * goes slowly, so that a node or a thread of libzmq that has to wait for the processor
 * does not make requests late.
 */
static CoreClock shown;

static void
clock_turn(int most_ms)
{
	static int64_t before_ms;
	int64_t		real_ms = node_clock().tick_ms;
	int64_t		passed_ms = real_ms - before_ms < most_ms ? real_ms - before_ms : most_ms;

	before_ms = real_ms;
	shown.tick_ms += passed_ms;
	shown.unix_ms += passed_ms;
}

/* A node on a port that is free, with links to few. */
static bool
start(Hosted *self)
{
	NodeCallbacks callbacks = quiet_callbacks(self);

	callbacks.log = on_log;
	callbacks.lookup_done = on_lookup_done;
	self->net = host_node(callbacks, LINKS, shown, &random_state);
	if (self->net != NULL)
		self->node = self->net->node;
	return self->net != NULL;
}

/* Is there a request that was neither answered nor given up? */
static bool
waiting(void)
{
	for (int i = 0; i < NODES; i++)
	{
		KadStats	kad = node_figures(hosted[i].node).kad;

		if (kad.requests_sent > kad.answers_received + kad.timeouts)
			return true;
	}
	return false;
}

static void
turn(void)
{
	struct pollfd p[NODES];
	int			fd[1];
	bool		idle;

	for (int i = 0; i < NODES; i++)
	{
		transport_descriptors(hosted[i].net->transport, fd, 1);
		p[i] = (struct pollfd) {.fd = fd[0], .events = POLLIN};
	}
	idle = poll(p, NODES, TURN_MS) == 0;
	clock_turn(idle && !waiting() ? TURN_MS : 1);
	for (int i = 0; i < NODES; i++)
	{
		if (p[i].revents != 0 || shown.tick_ms >= node_next_tick(hosted[i].node) || shown.tick_ms >= hosted[i].polled_ms + 100)
			hosted[i].polled_ms = net_node_run(hosted[i].net, shown) ? 0 : shown.tick_ms;
	}
}

static int
joined(void)
{
	int			n = 0;

	for (int i = 0; i < NODES; i++)
		n += hosted[i].joined;
	return n;
}

/* All requests have been answered or are late. */
static bool
all_quiet(void)
{
	static uint64_t before;
	static int64_t since_ms;
	uint64_t	sent = 0;

	for (int i = 0; i < NODES; i++)
		sent += node_figures(hosted[i].node).kad.requests_sent;
	if (sent != before)
	{
		before = sent;
		since_ms = shown.tick_ms;
	}
	return shown.tick_ms - since_ms > KAD_TIMEOUT_MS;
}

static uint64_t
timeouts(void)
{
	uint64_t	n = 0;

	for (int i = 0; i < NODES; i++)
		n += node_figures(hosted[i].node).kad.timeouts;
	return n;
}

static uint64_t
evicted(void)
{
	uint64_t	n = 0;

	for (int i = 0; i < NODES; i++)
		n += transport_stats(hosted[i].net->transport).evicted;
	return n;
}

/* Who one node takes for the owner of another's link; NULL: it has none, or nobody has greeted over it. */
static const KadId *
taken_for(const Hosted *self, const Hosted *other)
{
	static NodePeerInfo peer;

	return node_peer_info(self->node, node_record(other->node)->curve_key, &peer) ? &peer.id : NULL;
}

/*
 * A stranger signs a record that names the CURVE key of another node, newer than
 * anything that it will ever sign.
 */
static void
test_claimed_key(void)
{
	const NodeRecord *victim = node_record(hosted[1].node);
	KadId		id = victim->id;
	CoreCrypto	crypto = crypto_sodium();
	NodeRecordFields fields = {
		.network = victim->network,
		.seq = UINT64_MAX / 2,
		.expires_ms = victim->expires_ms,
		.n_addresses = 1,
		.addresses = {own_address(1)}
	};
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	int64_t		until;
	const KadId *taken;

	node_meet(hosted[0].node, node_clock(), victim->bytes, victim->len);
	ok(pump(taken_for(&hosted[0], &hosted[1]) != NULL) && kad_id_equal(taken_for(&hosted[0], &hosted[1]), &id),
	   "a node knows whose link it has");

	memcpy(fields.curve_key, victim->curve_key, CORE_KEY_BYTES);
	host_fill(&random_state, seed, sizeof seed);
	if (!crypto.key_pair(crypto.context, seed, key, secret) ||
		node_record_sign(&crypto, secret, &fields, bytes, &len) != DECODE_OK)
		exit(2);
	ok(node_meet(hosted[0].node, node_clock(), bytes, len) == DECODE_OK, "a stranger's record names the key of that link");
	until = node_clock().tick_ms + KAD_TIMEOUT_MS + 500;
	while (node_clock().tick_ms < until)
		turn();
	/* links make room for others all the time: perhaps it is made anew */
	victim = node_record(hosted[1].node);
	node_meet(hosted[0].node, node_clock(), victim->bytes, victim->len);
	ok(pump((taken = taken_for(&hosted[0], &hosted[1])) != NULL && kad_id_equal(taken, &id)),
	   "and does not become the owner of the link");

	ended = found = 0;
	ok(node_lookup(hosted[0].node, node_clock(), &id, false, 2) == NODE_OK && pump(ended == 1) && found == 1,
	   "who has it is found as before");
}

/* Many are greeted that are not there, as strangers may have us do. */
static void
test_greetings(void)
{
	Node	   *node = hosted[4].node;
	NetAddress	nowhere = own_address(1);
	int64_t		until = node_clock().tick_ms + 3000;
	int			greeted = 0;

	while (greeted < 2 * NODE_CALLS && node_clock().tick_ms < until)
	{
		uint8_t		curve[CORE_KEY_BYTES];
		NodePeer   *peer;

		host_fill(&random_state, curve, sizeof curve);
		peer = node_peer(node, curve, true);
		if (peer == NULL)
			break;
		node_greet(node, peer, &nowhere, 1);
		if (peer->hello_ms != 0)
			greeted++;
		else
			turn();
	}
	ok(greeted > NODE_CALLS, "%d are greeted within seconds that are not there", greeted);
	ok(node_call(node, CALL_GRANTS, node_record(hosted[5].node)->curve_key, &node_record(hosted[5].node)->id, 0) != 0,
	   "and there is room for other requests");
}

/*
 * self hears of record, and once a second again, as a node does of those near it: what
 * it then asks may come over another link, or be lost with a link that makes room.
 */
static bool
hears(const Hosted *self, const NodeRecord *record)
{
	static int64_t heard_ms;

	if (node_clock().tick_ms >= heard_ms + 1000)
	{
		heard_ms = node_clock().tick_ms;
		node_meet(self->node, node_clock(), record->bytes, record->len);
	}
	return true;
}

/* Who says to be at several addresses counts for the one where it answers, not for the first. */
static void
test_good_address(void)
{
	NetAddress	real = node_record(hosted[2].node)->addresses[0];
	NetAddress	both[2] = {own_address(1), real};
	const NodeRecord *record;
	const KadEntry *entry;

	node_advertise(hosted[2].node, node_clock(), both, 2);
	record = node_record(hosted[2].node);
	ok(pump(hears(&hosted[3], record) &&
			(entry = kad_table_find(node_table(hosted[3].node), &record->id)) != NULL && entry->record->n_addresses == 2 &&
			net_address_equal(entry->address, &real)),
	   "a node stands in the table with the address where it was reached");
}

/* Requests about statements, however many, leave places for others. */
static void
test_calls(Node *node)
{
	static const uint8_t curve[CORE_KEY_BYTES] = {1};
	int			begun[NODE_CALLS] = {0};
	int			all = 0;

	for (int i = 0; i < NODE_CALLS; i++)
	{
		KadId		collection = {{(uint8_t) i}};

		for (int k = 0; k < NODE_CALLS; k++)
			begun[i] += node_call(node, CALL_GRANTS, curve, &collection, HOUR_MS) != 0;
		all += begun[i];
	}
	ok(begun[0] == GRANTS_CALLS_EACH && begun[1] == GRANTS_CALLS_EACH, "requests about statements of one collection leave places for those of another");
	ok(all == GRANTS_CALLS, "those of all collections leave some");
	ok(node_call(node, CALL_REDEEM, curve, NULL, HOUR_MS) != 0, "for joining");
}

int
main(void)
{
	const char *seed = getenv("TEST_SEED");
	const NodeRecord *first;
	uint64_t	late;
	uint64_t	closed;
	int			alike = 0;
	int			asked = 0;
	bool		started = true;

	if (!crypto_sodium_init())
		return 2;
	random_state = seed != NULL ? strtoull(seed, NULL, 0) : 1;
	diag("TEST_SEED=%llu", (unsigned long long) random_state);
	shown = node_clock();
	for (int i = 0; i < NODES; i++)
		started = started && start(&hosted[i]);
	if (!ok(started, "%d nodes start, with %d links each", NODES, LINKS))
		return tap_done();
	first = node_record(hosted[0].node);
	for (int i = 1; i < NODES; i++)
		if (node_meet(hosted[i].node, shown, first->bytes, first->len) == DECODE_OK)
			alike++;
	ok(alike == NODES - 1 && pump(joined() == NODES), "they join through one of them");
	ok(pump(all_quiet()), "and come to rest");

	late = timeouts();
	closed = evicted();
	for (int i = 0; i < LOOKUPS; i++)
	{
		int			from = (int) core_random_below(&HOST_RANDOM(&random_state), NODES);
		int			to = (from + 1 + (int) core_random_below(&HOST_RANDOM(&random_state), NODES - 1)) % NODES;

		if (node_lookup(hosted[from].node, shown, &node_record(hosted[to].node)->id, false, (uint64_t) to + 1) != NODE_OK ||
			!pump(ended == i + 1))
			break;
	}
	ok(ended == LOOKUPS && found == LOOKUPS, "each of %d lookups ends and finds its node", LOOKUPS);
	diag("%d ended, %d found; %llu links made room for others", ended, found, (unsigned long long) (evicted() - closed));
	ok(evicted() - closed > LOOKUPS, "links come and go meanwhile");
	ok(timeouts() == late, "and no request is lost by that");
	diag("%llu requests timed out", (unsigned long long) (timeouts() - late));

	late = timeouts();
	ended = found = 0;
	for (int i = 0; i < ROUNDS; i++)
	{
		int			from = (int) core_random_below(&HOST_RANDOM(&random_state), NODES);
		int			begun = 0;

		for (int k = 0; k < AT_ONCE; k++)
		{
			int			to = (from + 1 + (int) core_random_below(&HOST_RANDOM(&random_state), NODES - 1)) % NODES;

			begun += node_lookup(hosted[from].node, shown, &node_record(hosted[to].node)->id, false, (uint64_t) to + 1) == NODE_OK;
		}
		asked += begun;
		if (begun == 0 || !pump(ended == asked))
			break;
	}
	ok(asked == ROUNDS * AT_ONCE && ended == asked && found == asked, "%d lookups at once, %d times: each finds its node", AT_ONCE, ROUNDS);
	diag("%d begun, %d ended, %d found", asked, ended, found);
	ok(timeouts() == late, "and no request is lost for want of a link");
	diag("%llu requests timed out", (unsigned long long) (timeouts() - late));
	test_claimed_key();
	test_good_address();
	test_calls(hosted[0].node);
	test_greetings();
	for (int i = 0; i < NODES; i++)
		net_node_destroy(&hosted[i].net);
	return tap_done();
}
