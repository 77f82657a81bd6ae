/*
 * node_order_test.c
 *	  Two nodes over links that this program holds: what comes out of order.
 *
 * The node that invites takes REDEEM and keeps its answer back until it has been
 * forgotten, then sends it as the first frame of a new link, without a greeting.
 */
#include "core/net/node_state.h"

#include "host_fixture.h"
#include "tap.h"

#define FRAMES 64

typedef struct Side
{
	Node	   *node;
	struct Side *other;
	uint8_t		curve[CORE_KEY_BYTES];
	NetAddress	address;
	bool		connected;
	int			n;				/* frames that it has sent and that were not delivered */
	size_t		len[FRAMES];
	uint8_t		frame[FRAMES][65536];
	int			joins;			/* that ended */
	NodeStatus	status;			/* how the last of them did */
} Side;

static Side joins, invites;
static uint64_t seed = 1;
static HostMemory state = {0, 0, -1};
static CoreMemory memory;
static CoreCrypto crypto;
static CoreRandom rnd;
static int64_t now_ms = 1000000;

static CoreClock
now(void)
{
	return (CoreClock) {now_ms, INT64_C(1900000000000) + now_ms};
}

static LinkSent
put(Side *self, const uint8_t *frame, size_t len)
{
	if (self->n == FRAMES)
		return LINK_FULL;
	memcpy(self->frame[self->n], frame, len);
	self->len[self->n++] = len;
	return LINK_SENT;
}

static LinkSent
link_send(void *context, int64_t tick_ms, const uint8_t *curve, const NetAddress *addresses, int n,
		  const uint8_t *frame, size_t len)
{
	Side	   *self = context;

	return self->connected && memcmp(curve, self->other->curve, CORE_KEY_BYTES) == 0 ? put(self, frame, len) : LINK_ERROR;
}

static LinkSent
link_answer(void *context, LinkVia via, const uint8_t *frame, size_t len)
{
	Side	   *self = context;

	return self->connected ? put(self, frame, len) : LINK_ERROR;
}

static void
link_drop(void *context, const uint8_t *curve, bool only_outbound)
{
}

static void
link_pin(void *context, const uint8_t *curve, bool pinned)
{
}

static bool
link_find(void *context, LinkVia via, LinkInfo *out)
{
	Side	   *self = context;

	if (!self->connected)
		return false;
	memset(out, 0, sizeof(*out));
	memcpy(out->curve_key, self->other->curve, CORE_KEY_BYTES);
	out->address = self->other->address;
	out->outbound = out->up = true;
	out->since_ms = 1;
	return true;
}

static int
link_list(void *context, LinkInfo *out, int room)
{
	return room > 0 && link_find(context, (LinkVia) {1}, out);
}

static void
on_log(void *context, NodeLevel level, const char *text)
{
}

static void
on_lookup(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
}

static void
on_join(void *context, uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
		const uint8_t *description, size_t len)
{
	Side	   *self = context;

	self->joins++;
	self->status = status;
}

static void
on_left(void *context, const uint8_t *root)
{
}

static void
on_seq(void *context, uint64_t seq)
{
}

static void
start(Side *self, Side *other, int port)
{
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		key_seed[CORE_SEED_BYTES];
	char		error[256];
	NodeConfig	config = {
		.callbacks = {self, on_log, on_lookup, on_join, on_left, on_seq},
		.memory = &memory, .crypto = &crypto, .random = &rnd,
		.links = {self, link_send, link_answer, link_drop, link_pin, link_list, link_find},
		.network = "test", .n_addresses = 1, .skew_ms = 300000, .mesh_degree = 6, .exempt_private = true
	};

	host_fill(&seed, key_seed, sizeof(key_seed));
	host_key_pair(NULL, key_seed, key, config.secret);
	host_fill(&seed, self->curve, sizeof(self->curve));
	memcpy(config.curve_public, self->curve, sizeof(self->curve));
	self->address = config.addresses[0] = net_address_v4(127, 0, 0, 1, (uint16_t) port);
	self->other = other;
	self->connected = true;
	self->node = node_new(&config, now(), error, sizeof(error));
	if (self->node == NULL)
	{
		diag("no node: %s", error);
		exit(2);
	}
}

static void
deliver(Side *from, const uint8_t *frame, size_t len)
{
	node_frame(from->other->node, now(), from->curve, (LinkVia) {1}, frame, len);
}

static void
deliver_all(Side *from)
{
	int			n = from->n;

	from->n = 0;
	for (int i = 0; i < n; i++)
	{
		static uint8_t frame[65536];
		size_t		len = from->len[i];

		memcpy(frame, from->frame[i], len);
		deliver(from, frame, len);
	}
}

int
main(void)
{
	static uint8_t kept[65536];
	size_t		kept_len = 0;
	uint8_t		root_seed[CORE_SEED_BYTES];
	uint8_t		root[CORE_KEY_BYTES];
	char		text[INVITATION_TEXT_MAX + 1];
	DecodeStatus decoded;
	int			strangers = 0;

	memory = HOST_MEMORY(&state);
	rnd = HOST_RANDOM(&seed);
	crypto = host_crypto();
	start(&joins, &invites, 4001);
	start(&invites, &joins, 4002);
	host_fill(&seed, root_seed, sizeof(root_seed));
	ok(node_share(invites.node, now(), root_seed, 7, "c", root) == NODE_OK &&
	   node_invite(invites.node, now(), 7, GRANT_READER, 3600000, text) == NODE_OK, "a node shares a collection and invites");
	node_group_bind(invites.node, now(), root, 7, "c", (const uint8_t *) "c 3 l2", 6);
	ok(node_join(joins.node, now(), text, strlen(text), 1, &decoded) == NODE_OK, "another one joins");
	for (int round = 0; round < 20 && kept_len == 0; round++)
	{
		now_ms += 10;
		deliver_all(&joins);
		for (int i = 0; i < invites.n; i++)
		{
			if (invites.frame[i][6] == WIRE_REDEEM && invites.frame[i][7] != 0)
			{
				kept_len = invites.len[i];
				memcpy(kept, invites.frame[i], kept_len);
			}
			else
				deliver(&invites, invites.frame[i], invites.len[i]);
		}
		invites.n = 0;
	}
	ok(kept_len > 0, "the answer to REDEEM is kept back");

	/* the link is gone, and strangers take the peer's place */
	joins.connected = false;
	now_ms += 1100;
	node_tick(joins.node, now());
	while (strangers < 2 * NODE_PEERS && node_peer(joins.node, invites.curve, false) != NULL)
	{
		uint8_t		stranger[CORE_KEY_BYTES];

		host_fill(&seed, stranger, sizeof(stranger));
		node_frame(joins.node, now(), stranger, (LinkVia) {2}, (const uint8_t *) "hi", 2);
		now_ms += ++strangers % 4 == 0;
	}
	ok(node_peer(joins.node, invites.curve, false) == NULL, "%d strangers make the node forget who invited it", strangers);
	deliver(&invites, kept, kept_len);
	ok(joins.joins == 0 || joins.status != NODE_OK, "an answer without a greeting joins nothing");
	ok(node_peer(joins.node, invites.curve, false) == NULL || node_peer(joins.node, invites.curve, false)->record == NULL,
	   "nor does who sends it count as greeted");

	node_destroy(&joins.node);
	node_destroy(&invites.node);
	ok(state.blocks == 0, "all memory is given back");
	return tap_done();
}
