/*
 * node_rows_test.c
 *	  Frames with rows through two nodes of a collection and a stranger, over links that
 *	  this program holds: who is heard, over which link, in which order.
 */
#include "core/net/node_state.h"

#include "host_fixture.h"
#include "tap.h"

#define NODES 4					/* the last one only where it is started */
#define QUEUE 256
#define TAG 7
#define MANY (WIRE_ROWS_FRAME_MAX + 1)

typedef struct Frame
{
	int			from;
	int			to;
	uint64_t	link;
	size_t		len;
	uint8_t    *bytes;
} Frame;

typedef struct Link
{
	int			from;			/* who made it */
	int			to;
	bool		up;
} Link;

typedef struct Side
{
	int			index;
	Node	   *node;
	uint8_t		curve[CORE_KEY_BYTES];
	NetAddress	address;
	bool		cut;			/* no links are made, by it or to it */
	int			joined;
	bool		left;			/* a collection, and others know */
	char		heard[32];		/* of rows: + link, - gone, else the first byte behind the header */
	uint32_t	tag;
	KadId		from;
	size_t		len;
} Side;

static Side side[NODES];
static Link link_of[256];		/* by number, from 1 on */
static int	n_links;
static Frame queue[QUEUE];
static int	n_queued;
static uint64_t seed = 1;
static HostMemory state = {0, 0, -1};
static CoreMemory memory;
static CoreCrypto crypto;
static CoreRandom rnd;
static int64_t now_ms = 1000000;
static int64_t back_ms;			/* that the clock of the day is behind */
static uint8_t root[CORE_KEY_BYTES];
static uint8_t big[MANY];

static CoreClock
now(void)
{
	return (CoreClock) {now_ms, INT64_C(1900000000000) + now_ms - back_ms};
}

static int
by_curve(const uint8_t *curve)
{
	for (int i = 0; i < NODES; i++)
		if (memcmp(side[i].curve, curve, CORE_KEY_BYTES) == 0)
			return i;
	return -1;
}

static LinkSent
put(int from, uint64_t number, const uint8_t *bytes, size_t len)
{
	const Link *link = &link_of[number];
	Frame	   *frame = &queue[n_queued];

	if (n_queued == QUEUE)
		return LINK_FULL;
	n_queued++;
	*frame = (Frame) {from, link->from == from ? link->to : link->from, number, len, malloc(len)};
	memcpy(frame->bytes, bytes, len);
	return LINK_SENT;
}

static int
made(int from, int to)
{
	for (int i = n_links; i > 0; i--)
		if (link_of[i].up && link_of[i].from == from && link_of[i].to == to)
			return i;
	return 0;
}

static LinkSent
link_send(void *context, int64_t tick_ms, const uint8_t *curve, const NetAddress *addresses, int n,
		  const uint8_t *frame, size_t len)
{
	Side	   *self = context;
	int			to = by_curve(curve);
	int			number = to < 0 ? 0 : made(self->index, to);

	if (number == 0 && n > 0 && to >= 0 && !self->cut && !side[to].cut && net_address_equal(&addresses[0], &side[to].address))
	{
		number = ++n_links;
		link_of[number] = (Link) {self->index, to, true};
	}
	if (number == 0)
		number = to < 0 ? 0 : made(to, self->index);
	return number == 0 ? LINK_ERROR : put(self->index, (uint64_t) number, frame, len);
}

static LinkSent
link_answer(void *context, LinkVia via, const uint8_t *frame, size_t len)
{
	Side	   *self = context;

	return link_of[via.link].up ? put(self->index, via.link, frame, len) : LINK_ERROR;
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
	const Link *link = &link_of[via.link];
	const Side *other = &side[link->from == self->index ? link->to : link->from];

	memset(out, 0, sizeof *out);
	memcpy(out->curve_key, other->curve, CORE_KEY_BYTES);
	out->address = other->address;
	out->outbound = link->from == self->index;
	out->up = true;
	out->since_ms = (int64_t) via.link;
	return link->up;
}

static int
link_list(void *context, LinkInfo *out, int room)
{
	Side	   *self = context;
	int			n = 0;

	for (int i = 1; i <= n_links && n < room; i++)
		if ((link_of[i].from == self->index || link_of[i].to == self->index) && link_find(self, (LinkVia) {(uint64_t) i}, &out[n]))
			n++;
	return n;
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
on_join(void *context, uint64_t tag, NodeStatus status, const char *text, const uint8_t *of, const uint8_t *description,
		size_t len)
{
	Side	   *self = context;

	self->joined += status == NODE_OK;
}

static void
on_left(void *context, const uint8_t *of)
{
	Side	   *self = context;

	self->left = true;
}

static void
on_seq(void *context, uint64_t seq)
{
}

static void
note(Side *self, char what)
{
	size_t		n = strlen(self->heard);

	if (n + 1 < sizeof self->heard)
	{
		self->heard[n] = what;
		self->heard[n + 1] = '\0';
	}
}

static void
on_rows(void *context, uint32_t tag, const KadId *from, const uint8_t *frame, size_t len)
{
	Side	   *self = context;

	note(self, (char) frame[WIRE_HEAD]);
	self->tag = tag;
	self->from = *from;
	self->len = len;
}

static void
on_link(void *context, const KadId *id, bool up)
{
	note(context, up ? '+' : '-');
}

/* A node with keys of its own; or, of another, with the keys and the last number of a record of that. */
static void
start(int i, bool rows, const Side *of)
{
	Side	   *self = &side[i];
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		key_seed[CORE_SEED_BYTES];
	char		error[256];
	NodeConfig	config = {
		.callbacks = {self, on_log, on_lookup, on_join, on_left, on_seq},
		.memory = &memory, .crypto = &crypto, .random = &rnd,
		.links = {self, link_send, link_answer, link_drop, link_pin, link_list, link_find},
		.network = "test", .n_addresses = 1, .skew_ms = 300000, .mesh_degree = 6, .exempt_private = true
	};

	if (rows)
		config.rows = (NodeRows) {self, on_rows, on_link};
	self->index = i;
	host_fill(&seed, key_seed, sizeof key_seed);
	host_key_pair(NULL, key_seed, key, config.secret);
	host_fill(&seed, self->curve, sizeof self->curve);
	if (of != NULL)
	{
		memcpy(config.secret, of->node->config.secret, sizeof config.secret);
		memcpy(self->curve, of->curve, sizeof self->curve);
		config.seq = of->node->seq - 1;
	}
	memcpy(config.curve_public, self->curve, sizeof self->curve);
	self->address = config.addresses[0] = net_address_v4(127, 0, 0, 1, (uint16_t) (4000 + i));
	self->node = node_new(&config, now(), error, sizeof error);
	if (self->node == NULL)
	{
		diag("no node: %s", error);
		exit(2);
	}
}

/* Hand over what is on its way; then let some time pass. */
static void
turn(void)
{
	int			n = n_queued;
	Frame		taken[QUEUE];

	memcpy(taken, queue, sizeof taken);
	n_queued = 0;
	for (int i = 0; i < n; i++)
	{
		if (link_of[taken[i].link].up)
			node_frame(side[taken[i].to].node, now(), side[taken[i].from].curve, (LinkVia) {taken[i].link},
					   taken[i].bytes, taken[i].len);
		free(taken[i].bytes);
	}
	now_ms += 50;
	for (int i = 0; i < NODES; i++)
		if (side[i].node != NULL)
			node_tick(side[i].node, now());
}

static void
turns(int n)
{
	for (int i = 0; i < n; i++)
		turn();
}

/* A frame of rows about our collection, of this length; mark stands behind its header. */
static const uint8_t *
frame_of(char mark, size_t len)
{
	ByteWriter	w = {big, sizeof big, false};
	WireHeader	header = {.type = WIRE_ROWS, .collection = kad_id_of_key(&crypto, root)};

	wire_header_put(&w, &header);
	memset(big + WIRE_HEAD, mark, len - WIRE_HEAD);
	wire_header_end(big, len);
	return big;
}

static LinkSent
say(int from, int to, char mark, size_t len)
{
	return node_rows_send(side[from].node, &node_record(side[to].node)->id, frame_of(mark, len), len);
}

/* Over a link of the test's choice, as a node that is not ours might. */
static void
say_by(int from, int to, int number, char mark, size_t len)
{
	node_frame(side[to].node, now(), side[from].curve, (LinkVia) {(uint64_t) number}, frame_of(mark, len), len);
}

static void
forget_heard(void)
{
	for (int i = 0; i < NODES; i++)
		side[i].heard[0] = '\0';
}

static uint64_t
refused(int i)
{
	return node_figures(side[i].node).refused;
}

/* ---- the parts ---- */

static void
join_by_invitation(int who)
{
	char		text[INVITATION_TEXT_MAX + 1];
	DecodeStatus decoded;
	int			before = side[who].joined;

	ok(node_invite(side[0].node, now(), TAG, GRANT_WRITER, 3600000, text) == NODE_OK &&
	   node_join(side[who].node, now(), text, strlen(text), 1, &decoded) == NODE_OK, "node %d is invited", who);
	turns(20);
	node_group_bind(side[who].node, now(), root, TAG, "c", (const uint8_t *) "c 3 l2", 6);
	turns(60);
	ok(side[who].joined == before + 1, "and joins");
}

static void
join(void)
{
	uint8_t		root_seed[CORE_SEED_BYTES];

	host_fill(&seed, root_seed, sizeof root_seed);
	ok(node_share(side[0].node, now(), root_seed, TAG, "c", root) == NODE_OK, "a node shares a collection");
	node_group_bind(side[0].node, now(), root, TAG, "c", (const uint8_t *) "c 3 l2", 6);
	join_by_invitation(1);
}

static void
pass(void)
{
	KadId		id[4];
	size_t		len = WIRE_HEAD + 5;

	ok(strcmp(side[0].heard, "+") == 0 && strcmp(side[1].heard, "+") == 0, "both are told of one link of rows (%s, %s)",
	   side[0].heard, side[1].heard);
	ok(node_rows_mesh(side[0].node, TAG, id, 4) == 1 && kad_id_equal(&id[0], &node_record(side[1].node)->id),
	   "who is in the mesh is told rows at once");
	ok(say(0, 1, 'a', len) == LINK_SENT && say(0, 1, 'b', WIRE_ROWS_FRAME_MAX) == LINK_SENT && say(1, 0, 'c', len) == LINK_SENT,
	   "frames are sent both ways");
	turn();
	ok(strcmp(side[1].heard, "+ab") == 0 && strcmp(side[0].heard, "+c") == 0, "and handed over in their order");
	ok(side[1].tag == TAG && kad_id_equal(&side[1].from, &node_record(side[0].node)->id) && side[1].len == WIRE_ROWS_FRAME_MAX,
	   "with collection and sender, up to the greatest length");
	ok(say(0, 1, 'd', WIRE_ROWS_FRAME_MAX + 1) == LINK_ERROR, "a longer one is not sent");
	say_by(0, 1, made(1, 0), 'd', WIRE_ROWS_FRAME_MAX + 1);
	ok(strcmp(side[1].heard, "+ab") == 0, "nor taken");
	forget_heard();
}

static void
strangers(void)
{
	uint64_t	before;
	NodePeer   *peer;

	n_links++;
	link_of[n_links] = (Link) {2, 0, true};
	before = refused(0);
	say_by(2, 0, n_links, 'x', 80);
	ok(refused(0) == before + 1 && side[0].heard[0] == '\0', "who has not greeted is refused");
	peer = node_peer(side[2].node, side[0].curve, true);
	node_greet(side[2].node, peer, &side[0].address, 1);
	turns(4);
	ok(node_peer(side[0].node, side[2].curve, false)->greeted, "a node that is no member greets");
	before = refused(0);
	say_by(2, 0, n_links, 'x', 80);
	ok(refused(0) == before + 1 && side[0].heard[0] == '\0', "and is not heard about rows");
	(void) frame_of('x', 80);
	big[16] ^= 1;
	before = refused(0);
	node_frame(side[0].node, now(), side[1].curve, (LinkVia) {(uint64_t) made(1, 0)}, big, 80);
	ok(refused(0) == before + 1 && side[0].heard[0] == '\0', "nor is a member about a collection that is not here");
	(void) frame_of('x', 80);
	before = refused(2);
	say_by(0, 2, n_links, 'x', 80);
	ok(refused(2) == before + 1, "a node that carries no rows refuses them");
	ok(node_rows_send(side[0].node, &node_record(side[2].node)->id, frame_of('x', 80), 80) == LINK_ERROR, "who shares nothing is sent none");
	ok(node_rows_was_writer(side[0].node, TAG, side[1].node->key) && node_rows_was_writer(side[0].node, TAG, side[0].node->key) &&
	   !node_rows_was_writer(side[0].node, TAG, side[2].node->key), "who may write is known by the statements");
}

/* It changes the link as often as it likes; so far it has come to the last one that there is, from this one. */
static void
flips(int first)
{
	int			before = n_links;
	uint64_t	refusals;

	forget_heard();
	for (int i = 1; i < NODE_ROWS_PAST; i++)
	{
		link_of[++n_links] = (Link) {1, 0, true};
		say_by(1, 0, n_links, 'x', 80);
		now_ms += 1000;
		say_by(1, 0, n_links, 'y', 80);
	}
	ok(strcmp(side[0].heard, "-+y-+y-+y-+y-+y-+y-+y") == 0, "it changes the link once a second (%s)", side[0].heard);
	forget_heard();
	refusals = refused(0);
	link_of[++n_links] = (Link) {1, 0, true};
	now_ms += 1000;
	for (int i = before; i <= n_links; i++)
		if (i != n_links - 1)
			say_by(1, 0, i, 'x', 80);
	say_by(1, 0, first, 'x', 80);
	ok(side[0].heard[0] == '\0' && refused(0) == refusals + NODE_ROWS_PAST + 1,
	   "while it has left so many that are not gone it stays with the last, and none of them is taken again (%s)", side[0].heard);
	link_of[first].up = false;
	say_by(1, 0, n_links, 'z', 80);
	say_by(1, 0, before, 'x', 80);
	ok(strcmp(side[0].heard, "-+z") == 0, "when one is gone it changes again, to one that it had not left (%s)", side[0].heard);
}

static void
links(void)
{
	int			first = made(1, 0);
	int			second;

	forget_heard();
	(void) say(1, 0, '1', 80);
	turn();
	second = ++n_links;
	link_of[second] = (Link) {1, 0, true};
	say_by(1, 0, second, '2', 80);
	ok(strcmp(side[0].heard, "1-+2") == 0, "the first frame by another link ends the one before (%s)", side[0].heard);
	say_by(1, 0, first, '1', 80);
	say_by(1, 0, second, '3', 80);
	ok(strcmp(side[0].heard, "1-+23") == 0, "over which nothing more is taken (%s)", side[0].heard);
	flips(first);

	forget_heard();
	for (int i = 1; i <= n_links; i++)
		link_of[i].up = false;
	ok(say(0, 1, 'x', 80) == LINK_ERROR, "over a link that is gone nothing is sent");
	side[0].cut = side[1].cut = true;
	turns(30);
	ok(strcmp(side[0].heard, "-") == 0 && strcmp(side[1].heard, "-") == 0 &&
	   !node_rows_connected(side[0].node, &node_record(side[1].node)->id), "that it is gone is told (%s, %s)", side[0].heard, side[1].heard);
	side[0].cut = side[1].cut = false;
	(void) say(0, 1, 'x', 80);
	turns(30);
	ok(strcmp(side[0].heard, "-+") == 0 && strcmp(side[1].heard, "-+") == 0, "to whom something was to be sent a link is made (%s, %s)",
	   side[0].heard, side[1].heard);
	(void) say(0, 1, '4', 80);
	turn();
	ok(strcmp(side[1].heard, "-+4") == 0, "and frames pass again");
}

static void
evicted(void)
{
	NodeRowsMembers before;
	NodeRowsMembers after;
	KadId		lost[4];
	char		text[2 * KAD_ID_BYTES + 1];
	int			n;

	forget_heard();
	ok(node_rows_members(side[0].node, now(), TAG, &before) && before.own_role == GRANT_ADMIN, "a node knows its own role");
	ok(node_rows_members(side[0].node, now(), TAG, &after) && after.version == before.version, "while nobody comes or goes, that is said");
	kad_id_text(&node_record(side[1].node)->id, text);
	ok(node_evict(side[0].node, now(), TAG, text, lost, 4, &n) == NODE_OK, "the other is evicted");
	ok(node_rows_members(side[0].node, now(), TAG, &after) && after.version != before.version &&
	   memcmp(after.fingerprint, before.fingerprint, sizeof after.fingerprint) != 0, "and it shows that something has changed");
	say_by(1, 0, made(1, 0) + made(0, 1), 'x', 80);
	ok(strchr(side[0].heard, 'x') == NULL, "from now on it is not heard");
	ok(node_rows_was_writer(side[0].node, TAG, side[1].node->key), "that it could write is known as before");
	ok(!node_rows_is_writer(side[0].node, TAG, side[1].node->key) && node_rows_is_writer(side[0].node, TAG, side[0].node->key),
	   "and that it may not now");
	turns(10);
	ok(node_rows_members(side[1].node, now(), TAG, &after) && after.own_role == GRANT_NOBODY, "it knows, too");
}

static void
leave(void)
{
	NodeMember	member[4];
	int			n;

	join_by_invitation(2);
	ok(node_members(side[0].node, now(), TAG, member, 4) == 2, "the first node knows of two members");
	for (int i = 0; i < NODES; i++)
		side[i].cut = true;
	for (int i = 1; i <= n_links; i++)
		link_of[i].up = false;
	turns(30);
	ok(node_leave(side[2].node, now(), TAG) == NODE_OK, "a member leaves while nobody is connected");
	turns(100);
	ok(!side[2].left, "which nobody knows yet");
	for (int i = 0; i < NODES; i++)
		side[i].cut = false;
	(void) node_meet(side[2].node, now(), node_record(side[0].node)->bytes, node_record(side[0].node)->len);
	for (n = 0; n < 4000 && !side[2].left; n++)
		turn();
	ok(side[2].left, "later it is told, after %d s", n / 20);
	ok(node_members(side[0].node, now(), TAG, member, 4) == 1, "and the other knows by then");
}

/* Who has left before anybody could hear of it joins again: the grant is made by one who knows. */
static void
leave_and_join(void)
{
	static const char text[] = "ADD COLUMN more integer";
	const uint8_t before[CORE_HASH_BYTES] = {1};
	const uint8_t after[CORE_HASH_BYTES] = {2};
	uint8_t		hash[CHANGE_HASH_BYTES];
	const ChangeEntry *change;
	NodeRowsMembers members;

	join_by_invitation(2);
	ok(node_alter(side[0].node, now(), TAG, before, after, text, strlen(text), hash) == NODE_OK, "columns are changed");
	turns(100);
	ok(node_change_next(side[2].node, now(), TAG, before, &change) == CHANGES_DUE, "... which is due on the other");
	node_change_applied(side[2].node, TAG, hash, 1);
	ok(node_change_next(side[2].node, now(), TAG, after, &change) == CHANGES_NOTHING, "... once");
	for (int i = 0; i < NODES; i++)
		side[i].cut = true;
	for (int i = 1; i <= n_links; i++)
		link_of[i].up = false;
	turns(30);
	side[2].left = false;
	ok(node_leave(side[2].node, now(), TAG) == NODE_OK, "a member leaves while nobody is connected");
	for (int i = 0; i < NODES; i++)
		side[i].cut = false;
	join_by_invitation(2);
	turns(2000);
	ok(node_rows_members(side[2].node, now(), TAG, &members) && members.own_role == GRANT_WRITER &&
	   node_rows_is_writer(side[0].node, TAG, side[2].node->key), "and stays what its new invitation made it");
	ok(node_change_next(side[2].node, now(), TAG, before, &change) == CHANGES_DUE, "and its new table is to have the changes of the old one");
	node_change_applied(side[0].node, TAG, hash, 1);
}

/* No links but between these two from now on. */
static void
only(int a, int b)
{
	for (int i = 0; i < NODES; i++)
		side[i].cut = i != a && i != b;
	for (int i = 1; i <= n_links; i++)
		link_of[i].up &= (link_of[i].from == a || link_of[i].from == b) && (link_of[i].to == a || link_of[i].to == b);
}

/* Who leaves tells one that has the collection, while there is one. */
static void
leave_past_one_without(void)
{
	NodeMember	member[4];
	int			n;

	join_by_invitation(1);
	join_by_invitation(2);
	turns(100);
	node_group_forget(side[1].node, now(), root);
	only(1, 2);
	side[2].left = false;
	ok(node_leave(side[2].node, now(), TAG) == NODE_OK, "a member leaves that reaches only one who has no such collection any more");
	turns(2000);
	ok(!side[2].left, "whose answer does not count");
	only(0, 2);
	(void) node_meet(side[2].node, now(), node_record(side[0].node)->bytes, node_record(side[0].node)->len);
	for (n = 0; n < 4000 && !side[2].left; n++)
		turn();
	ok(side[2].left && node_members(side[0].node, now(), TAG, member, 4) == 2, "later it reaches another, which knows by then");
}

/* With an admin go those who are in by its grants: they have to hear of it. */
static void
leave_with_all(void)
{
	NodeRowsMembers members;
	int			n;

	join_by_invitation(2);
	side[0].left = false;
	ok(node_rows_members(side[2].node, now(), TAG, &members) && members.own_role == GRANT_WRITER, "it is a member by the first one's grant");
	ok(node_leave(side[0].node, now(), TAG) == NODE_OK, "who has admitted all others leaves");
	for (n = 0; n < 4000 && !side[0].left; n++)
		turn();
	ok(side[0].left && node_rows_members(side[2].node, now(), TAG, &members) && members.own_role == GRANT_NOBODY,
	   "and they know that they are members no more (left %d, role %d)", side[0].left, members.own_role);
}

/* Two processes whose records have one number, as their clocks are behind those from before. */
static void
namesake(void)
{
	NetAddress	where;
	bool		known[2] = {false, false};

	back_ms = 3600000;
	start(3, false, &side[2]);
	ok(node_record(side[3].node)->seq == node_record(side[2].node)->seq && !node_cloned(side[2].node, &where),
	   "another process has a node's key, and a record of the same number");
	node_greet(side[3].node, node_peer(side[3].node, side[0].curve, true), &side[0].address, 1);
	for (int i = 0; i < 2000 && !(known[0] && known[1]); i++)
	{
		turn();
		known[0] = node_cloned(side[2].node, &where);
		known[1] = node_cloned(side[3].node, &where);
	}
	ok(known[0] && known[1], "whoever greets a node that the other has greeted, both come to know");
}

int
main(void)
{
	memory = HOST_MEMORY(&state);
	rnd = HOST_RANDOM(&seed);
	crypto = host_crypto();
	for (int i = 0; i < NODES - 1; i++)
		start(i, i < 2, NULL);
	join();
	pass();
	strangers();
	links();
	evicted();
	leave();
	leave_and_join();
	leave_past_one_without();
	leave_with_all();
	for (int i = 0; i < NODES; i++)
		side[i].cut = false;
	namesake();
	while (n_queued > 0)
		free(queue[--n_queued].bytes);
	for (int i = 0; i < NODES; i++)
		node_destroy(&side[i].node);
	while (n_queued > 0)
		free(queue[--n_queued].bytes);
	ok(state.blocks == 0, "all memory is given back");
	return tap_done();
}
