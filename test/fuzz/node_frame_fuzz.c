/*
 * node_frame_fuzz.c
 *	  A whole node (node.h) and what comes to it from six peers over links of this
 *	  program's own: frames, well or badly made, links that break or are full, calls of
 *	  the process around it, no memory, and the time.
 *
 * The node has shared a collection.  Of the peers one is a reader of it and one an
 * admin, and both have greeted and were greeted; the others are strangers.  An input
 * is a list of steps:
 *
 *	  0   1  kind (StepKind) and number of the peer
 *	  1   1  flags: FLAG_*; where there is no memory, bits 5 to 7: after so many blocks
 *	  2   1  how much time has passed, see passed_ms()
 *	  3   2  value; of STEP_FRAME the length of the frame, which follows
 *
 * What the node sends is looked at: it can be read, who has not greeted is told
 * nothing, nobody is told anything before HELLO, and who is no member hears of a
 * collection only why it is none.  Rows pass from and to members alone, between the
 * beginning and the end of a link that the node has told of.
 */
#include "core/net/node_state.h"

#include "net_fuzz.h"

#define PEERS 6
#define READER 1
#define ADMIN 2
#define STEP_HEAD 5
#define TAG 1					/* of the collection that is shared */
#define HELLO_AGAIN_MS 2000		/* the node's, see outbox.c */

typedef enum StepKind
{
	STEP_FRAME,					/* of any bytes */
	STEP_HELLO,					/* of a record with number and address in value */
	STEP_STATEMENT,				/* GRANTS with one statement, see make_statement() */
	STEP_SAY,					/* one of say()'s messages */
	STEP_BREAK,					/* all links with this peer */
	STEP_UNREACHABLE,
	STEP_OWN,					/* one of call()'s calls */
	STEPS
} StepKind;

#define FLAG_ANSWER 1			/* the frame answers the node's last request to this peer */
#define FLAG_LENGTH 2			/* the frame's length is put right */
#define FLAG_OURS 4				/* it comes over the link that the node made, if there is one */
#define FLAG_FULL 8				/* of what the node sends now, nothing goes out */
#define FLAG_MEMORY 16			/* memory runs out */

typedef struct Peer
{
	uint8_t		secret[CORE_SECRET_BYTES];	/* the second half is the key */
	uint8_t		curve[CORE_KEY_BYTES];
	uint64_t	link[2];		/* its to us, and ours to it; 0: none */
	int64_t		since_ms[2];
	uint64_t	request;		/* the last that the node sent it, ... */
	uint64_t	hello;			/* ... and the last HELLO */
} Peer;

static Peer peers[PEERS];
static Node *node;
static CoreClock now;
static HostMemory node_memory_state;
static CoreMemory node_memory;
static uint64_t next_link;
static bool full;
static bool rows_up[PEERS];		/* as the node has told */

/* ---- keys that follow from their numbers, and signatures that hold ---- */

static bool
fuzz_sign(void *context, const uint8_t *secret, const uint8_t *message, size_t len, uint8_t *signature)
{
	memset(signature, 0, CORE_SIGNATURE_BYTES);
	signature[0] = secret[CORE_SEED_BYTES];
	return true;
}

static bool
fuzz_key_pair(void *context, const uint8_t *seed, uint8_t *key, uint8_t *secret)
{
	crypto.sha256(NULL, seed, CORE_SEED_BYTES, key);
	memcpy(secret, seed, CORE_SEED_BYTES);
	memcpy(secret + CORE_SEED_BYTES, key, CORE_KEY_BYTES);
	return true;
}

static const uint8_t *
key_of_peer(int i)
{
	return peers[i].secret + CORE_SEED_BYTES;
}

static NetAddress
address_of(int i, int variant)
{
	return net_address_v4(8, (uint8_t) (8 + variant), (uint8_t) i, 1, 7777);
}

static int
by_curve(const uint8_t *curve)
{
	for (int i = 0; i < PEERS; i++)
		if (memcmp(peers[i].curve, curve, CORE_KEY_BYTES) == 0)
			return i;
	return -1;
}

/* The seed and the key of a collection's root: 0 is the one that is shared, 1 the one that ADMIN invites to. */
static void
root_pair(int number, uint8_t seed[CORE_SEED_BYTES], uint8_t secret[CORE_SECRET_BYTES])
{
	uint8_t		key[CORE_KEY_BYTES];

	memset(seed, 100 + number, CORE_SEED_BYTES);
	fuzz_key_pair(NULL, seed, key, secret);
}

static KadId
collection_of(int root)
{
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];

	root_pair(root, seed, secret);
	return kad_id_of_key(&crypto, secret + CORE_SEED_BYTES);
}

/* ---- what the node sends ---- */

/* Statements go to members; who is none gets only revocations of its own key. */
static void
require_may_hear(const NodePeer *peer, const WireMessage *m)
{
	NodeGroup  *g = group_find(node, &m->collection);

	if (m->type != WIRE_GRANTS_SYNC || m->grants.n == 0 || g == NULL || group_role(node, g, peer) != GRANT_NOBODY)
		return;
	REQUIRE(peer->record != NULL);
	for (int i = 0; i < m->grants.n; i++)
	{
		Grant		grant;

		REQUIRE(grant_read(m->grants.grant[i], GRANT_BYTES, now.unix_ms, SKEW, &grant) == DECODE_OK);
		REQUIRE(grant.kind == GRANT_REVOCATION && memcmp(grant.member, peer->record->key, CORE_KEY_BYTES) == 0);
	}
}

static void
require_good(Peer *to, const uint8_t *frame, size_t len, bool answer)
{
	const NodePeer *peer = node_peer(node, to->curve, false);
	WireMessage m;

	REQUIRE(len >= WIRE_HEAD && len <= WIRE_FRAME_MAX);
	if (frame[6] >= WIRE_ROWS)
	{
		REQUIRE(answer && peer != NULL && rows_up[to - peers]);
		return;
	}
	REQUIRE(wire_decode(&pool, frame, len, now.unix_ms, &m) == DECODE_OK);
	REQUIRE(peer != NULL);
	REQUIRE(m.type != WIRE_HELLO || kad_id_equal(&m.hello.record->id, &node_record(node)->id));
	/* a newer record of one's own key is told to anybody, see hello.c */
	if (answer && !peer->greeted)
		REQUIRE(m.type == WIRE_HELLO || m.type == WIRE_ERROR || (m.type == WIRE_PING && !m.response));
	if (!answer && m.type != WIRE_HELLO)
		REQUIRE(peer->welcomed || (peer->hello_ms != 0 && now.tick_ms - peer->hello_ms < HELLO_AGAIN_MS));
	require_may_hear(peer, &m);
	if (!m.response && m.request != 0)
		*(m.type == WIRE_HELLO ? &to->hello : &to->request) = m.request;
	wire_release(&pool, &m);
}

static void
begin_link(Peer *self, bool ours)
{
	self->link[ours] = ++next_link;
	self->since_ms[ours] = now.tick_ms;
}

static LinkSent
links_send(void *context, int64_t tick_ms, const uint8_t curve_key[CORE_KEY_BYTES], const NetAddress *addresses,
		   int n, const uint8_t *frame, size_t len)
{
	int			i = by_curve(curve_key);

	REQUIRE(tick_ms == now.tick_ms && n >= 0 && n <= NODE_RECORD_ADDRESSES && (n == 0 || addresses != NULL));
	if (full)
		return i % 2 == 0 ? LINK_FULL : LINK_NO_ROOM;
	if (i < 0)
		return LINK_NO_ROOM;
	if (peers[i].link[true] == 0 && n > 0)
		begin_link(&peers[i], true);
	if (peers[i].link[true] == 0 && peers[i].link[false] == 0)
		return LINK_ERROR;
	require_good(&peers[i], frame, len, false);
	return LINK_SENT;
}

static int
by_link(LinkVia via, bool *ours)
{
	for (int i = 0; i < PEERS; i++)
		for (int k = 0; k < 2; k++)
			if (peers[i].link[k] != 0 && peers[i].link[k] == via.link)
			{
				*ours = k;
				return i;
			}
	return -1;
}

static LinkSent
links_answer(void *context, LinkVia via, const uint8_t *frame, size_t len)
{
	bool		ours;
	int			i = by_link(via, &ours);

	if (i < 0)
		return LINK_ERROR;
	require_good(&peers[i], frame, len, true);
	return full ? LINK_FULL : LINK_SENT;
}

static void
links_drop(void *context, const uint8_t curve_key[CORE_KEY_BYTES], bool only_outbound)
{
	int			i = by_curve(curve_key);

	if (i < 0)
		return;
	peers[i].link[true] = 0;
	if (!only_outbound)
		peers[i].link[false] = 0;
}

static void
links_pin(void *context, const uint8_t curve_key[CORE_KEY_BYTES], bool pinned)
{
}

static LinkInfo
info_of(int i, bool ours)
{
	LinkInfo	info = {.address = address_of(i, 0), .outbound = ours, .up = true, .since_ms = peers[i].since_ms[ours]};

	memcpy(info.curve_key, peers[i].curve, CORE_KEY_BYTES);
	return info;
}

static int
links_list(void *context, LinkInfo *out, int room)
{
	int			n = 0;

	REQUIRE(room >= 2 * PEERS);
	for (int i = 0; i < PEERS; i++)
		for (int k = 0; k < 2; k++)
			if (peers[i].link[k] != 0)
				out[n++] = info_of(i, k);
	return n;
}

static bool
links_find(void *context, LinkVia via, LinkInfo *out)
{
	bool		ours;
	int			i = by_link(via, &ours);

	if (i >= 0)
		*out = info_of(i, ours);
	return i >= 0;
}

/* ---- what the node calls ---- */

static void
on_log(void *context, NodeLevel level, const char *text)
{
	REQUIRE(strlen(text) < NODE_TEXT && strchr(text, '\n') == NULL);
}

static void
on_lookup_done(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
	REQUIRE(tag == 1 && took_ms >= 0);
}

static void
on_join_done(void *context, uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
			 const uint8_t *description, size_t len)
{
	REQUIRE((status == NODE_OK) == (root != NULL) && len <= WIRE_TEXT_MAX);
}

static void
on_left(void *context, const uint8_t *root)
{
	REQUIRE(group_by_root(node, root) != NULL);
}

static void
on_signed_anew(void *context, uint64_t seq)
{
}

static int
by_id(const KadId *id)
{
	for (int i = 0; i < PEERS; i++)
	{
		KadId		of = kad_id_of_key(&crypto, key_of_peer(i));

		if (kad_id_equal(&of, id))
			return i;
	}
	return -1;
}

/* A frame of rows about the i-th collection; its length. */
static size_t
rows_frame(int type, int number, uint8_t out[WIRE_HEAD + 1])
{
	WireHeader	header = {.type = (uint8_t) type, .collection = collection_of(number)};
	ByteWriter	w = {out, WIRE_HEAD + 1, false};

	wire_header_put(&w, &header);
	out[WIRE_HEAD] = 'r';
	wire_header_end(out, WIRE_HEAD + 1);
	return WIRE_HEAD + 1;
}

static void
on_rows_link(void *context, const KadId *id, bool up)
{
	uint8_t		frame[WIRE_HEAD + 1];
	int			i = by_id(id);

	REQUIRE(i >= 0 && rows_up[i] != up);
	rows_up[i] = up;
	REQUIRE(node_rows_connected(node, id) == up);
	(void) node_rows_send(node, id, frame, rows_frame(WIRE_ROWS, 0, frame));
}

static void
on_rows(void *context, uint32_t tag, const KadId *from, const uint8_t *frame, size_t len)
{
	KadId		id[PEERS];
	int			i = by_id(from);
	NodePeer   *peer = i < 0 ? NULL : node_peer(node, peers[i].curve, false);
	NodeGroup  *g = group_by_tag(node, tag);
	int			n = node_rows_mesh(node, tag, id, PEERS);

	REQUIRE(peer != NULL && rows_up[i] && peer->greeted && kad_id_equal(&peer->record->id, from));
	REQUIRE(g != NULL && group_role(node, g, peer) != GRANT_NOBODY && node_rows_was_writer(node, tag, node->key));
	REQUIRE(len >= WIRE_HEAD && memcmp(frame + 16, g->id.b, KAD_ID_BYTES) == 0);
	REQUIRE(n <= PEERS);
	for (int k = 0; k < n; k++)
		REQUIRE(by_id(&id[k]) >= 0 && rows_up[by_id(&id[k])]);
	(void) node_rows_send(node, from, frame, len);
}

/* ---- what comes to it ---- */

static void
deliver(int from, const uint8_t *bytes, size_t len, unsigned flags)
{
	Peer	   *peer = &peers[from];
	bool		ours = (flags & FLAG_OURS) != 0 && peer->link[true] != 0;
	uint8_t    *frame = exact_copy(bytes, len);

	if (!ours && peer->link[false] == 0)
		begin_link(peer, false);
	if (len >= WIRE_HEAD && (flags & FLAG_ANSWER) != 0)
		bytes_store(frame + 8, 8, frame[6] == WIRE_HELLO ? peer->hello : peer->request);
	if (len >= WIRE_HEAD && (flags & FLAG_LENGTH) != 0)
		bytes_store(frame + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
	node_frame(node, now, peer->curve, (LinkVia) {peer->link[ours]}, frame, len);
	REQUIRE(!node->handling && node->from == NULL);
	free(frame);
}

static void
deliver_message(int from, const WireMessage *m, unsigned flags)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	size_t		len;

	if (wire_encode(m, frame, sizeof frame, &len))
		deliver(from, frame, len, flags & ~(unsigned) FLAG_LENGTH);
}

static NodeRecord *
record_of(int i, unsigned value)
{
	NodeRecordFields fields = {.network = pool.network, .seq = 1 + (value & 15), .n_addresses = 1,
		.expires_ms = now.unix_ms + 3600000, .addresses = {address_of(i, value >> 4 & 1)}};
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	NodeRecord *record;

	memcpy(fields.curve_key, peers[i].curve, CORE_KEY_BYTES);
	REQUIRE(node_record_sign(&crypto, peers[i].secret, &fields, bytes, &len) == DECODE_OK);
	REQUIRE(record_pool_take(&pool, bytes, len, now.unix_ms, &record) == DECODE_OK);
	return record;
}

static void
greet(int from, unsigned flags, unsigned value)
{
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_HELLO, .response = (flags & FLAG_ANSWER) != 0, .request = 1,
		.hello = {WIRE_VERSION_MIN, WIRE_VERSION_MAX, pool.network, record_of(from, value)}};

	if (peers[from].hello == 0)
		flags &= ~(unsigned) FLAG_ANSWER;
	deliver_message(from, &m, flags);
	record_pool_release(&pool, m.hello.record);
}

/*
 * A statement about a collection, as the bits of value say: 0 to 2 its issuer, 3 to 5
 * its member (each a peer, the node or, as issuer, the root), 6 whether it revokes, 7
 * and 8 its depth less one, 9 to 11 its epoch less one, 12 and 13 the role.  False when
 * there is no such statement.
 */
static bool
make_statement(int root, unsigned value, uint8_t out[GRANT_BYTES])
{
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	unsigned	issuer = value & 7;
	unsigned	member = value >> 3 & 7;
	Grant		grant = {.kind = (uint8_t) (1 + (value >> 6 & 1)), .depth = (uint8_t) (1 + (value >> 7 & 3)),
		.epoch = 1 + (value >> 9 & 7), .issued_ms = now.unix_ms};

	grant.role = grant.kind == GRANT_MEMBER ? (uint8_t) (value >> 12 & 3) : GRANT_NOBODY;
	root_pair(root, seed, secret);
	memcpy(grant.root, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	memcpy(grant.member, member < PEERS ? key_of_peer((int) member) : node->key, CORE_KEY_BYTES);
	if (issuer < PEERS)
		memcpy(secret, peers[issuer].secret, CORE_SECRET_BYTES);
	else if (issuer == PEERS)
		memcpy(secret, node->config.secret, CORE_SECRET_BYTES);
	return grant_sign(&crypto, secret, &grant, out) == DECODE_OK;
}

#define STATEMENT(issuer, member, depth, role) ((unsigned) (issuer) | (member) << 3 | ((depth) - 1) << 7 | (role) << 12)
#define THE_NODE PEERS			/* as issuer; as member any number from here on */
#define THE_ROOT (PEERS + 1)

static void
send_statement(int from, unsigned flags, unsigned value)
{
	uint8_t		statement[GRANT_BYTES];
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_GRANTS_SYNC, .response = (flags & FLAG_ANSWER) != 0,
		.request = 1, .collection = collection_of((int) (value >> 14 & 1)), .grants = {.n = 1, .grant = {statement}}};

	if (make_statement((int) (value >> 14 & 1), value, statement))
		deliver_message(from, &m, flags);
}

/* Messages of one kind each; the value's low bits say which. */
static void
say(int from, unsigned flags, unsigned value)
{
	uint8_t		chain[2][GRANT_BYTES];
	bool		answer = (flags & FLAG_ANSWER) != 0;
	WireMessage m = {.version = WIRE_VERSION_MAX, .request = 1, .collection = collection_of((int) (value >> 3 & 1))};

	switch (value & 7)
	{
		case 0:
			m.type = WIRE_GRAFT;
			break;
		case 1:
			m.type = WIRE_PRUNE;
			m.prune.backoff_s = value >> 4;
			m.prune.n_records = 1;
			m.prune.record[0] = record_of((int) (value >> 4) % PEERS, value >> 8);
			break;
		case 2:
			m.type = WIRE_BYE;
			break;
		case 3:
			m.type = WIRE_ERROR;
			m.error.code = (uint16_t) (value >> 4);
			break;
		case 4:					/* the node has joined the collection that ADMIN has */
			m.type = WIRE_REDEEM;
			m.redeemed.n = 2;
			m.redeemed.grant[0] = chain[0];
			m.redeemed.grant[1] = chain[1];
			(void) make_statement(1, STATEMENT(THE_ROOT, ADMIN, 1, GRANT_ADMIN), chain[0]);
			(void) make_statement(1, STATEMENT(ADMIN, THE_NODE, 2, 1 + (value >> 4) % 3), chain[1]);
			answer = true;
			break;
		case 5:
			if (value >> 8 != 0)
			{
				uint8_t		rows[WIRE_HEAD + 1];

				deliver(from, rows, rows_frame(WIRE_ROWS + (int) (value >> 4 & 15), (int) (value >> 3 & 1), rows), flags);
				return;
			}
			m.type = WIRE_PING;
			break;
		case 6:
			m.type = WIRE_FIND_NODE;
			m.find.target = m.collection;
			answer = false;
			break;
		case 7:					/* an answer that names one node */
			m.type = WIRE_FIND_NODE;
			m.found.n_records = 1;
			m.found.record[0] = record_of((int) (value >> 4) % PEERS, value >> 8);
			answer = true;
			break;
	}
	m.response = answer || m.type == WIRE_ERROR;
	if (m.type == WIRE_GRAFT || m.type == WIRE_PRUNE || m.type == WIRE_BYE)
	{
		m.request = 0;
		m.response = false;
	}
	if (m.type != WIRE_GRAFT && m.type != WIRE_PRUNE && m.type != WIRE_REDEEM)
		memset(&m.collection, 0, sizeof m.collection);
	deliver_message(from, &m, m.response ? flags | FLAG_ANSWER : flags & ~(unsigned) FLAG_ANSWER);
	wire_release(&pool, &m);
}

/* ADMIN's invitation to its collection. */
static void
join(void)
{
	Invitation	invitation = {.network = pool.network, .node = kad_id_of_key(&crypto, key_of_peer(ADMIN)), .n_addresses = 1,
		.addresses = {address_of(ADMIN, 0)}};
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	char		text[INVITATION_TEXT_MAX + 1];
	DecodeStatus decode;
	Grant		grant = {.kind = GRANT_INVITATION, .role = GRANT_READER, .depth = 2, .epoch = 1,
	.issued_ms = now.unix_ms, .expires_ms = now.unix_ms + 3600000};

	root_pair(1, seed, secret);
	memcpy(grant.root, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	REQUIRE(fuzz_key_pair(NULL, invitation.seed, grant.member, secret));
	REQUIRE(grant_sign(&crypto, peers[ADMIN].secret, &grant, invitation.statement) == DECODE_OK);
	memcpy(invitation.curve_key, peers[ADMIN].curve, CORE_KEY_BYTES);
	REQUIRE(invitation_text(&crypto, &invitation, text));
	REQUIRE(node_join(node, now, text, strlen(text), 1, &decode) != NODE_INVALID);
}

/* What the process around the node may ask of it. */
static void
call(int peer, unsigned value)
{
	KadId		id = kad_id_of_key(&crypto, key_of_peer(peer));
	char		text[INVITATION_TEXT_MAX + 1];
	NetAddress	address = address_of(PEERS, (int) (value >> 3) & 1);
	KadId		lost[PEERS + 2];
	int			n;
	NodeRecord *record;

	switch (value & 7)
	{
		case 0:
			(void) node_lookup(node, now, &id, (value & 8) != 0, 1);
			break;
		case 1:
			join();
			break;
		case 2:
			(void) node_leave(node, now, TAG);
			break;
		case 3:
			kad_id_text(&id, text);
			(void) node_evict(node, now, TAG, text, lost, PEERS + 2, &n);
			break;
		case 4:
			(void) node_invite(node, now, TAG, GRANT_READER, (value & 8) * 1000, text);
			break;
		case 5:
			node_advertise(node, now, &address, 1);
			break;
		case 6:
			record = record_of(peer, value >> 3);
			(void) node_meet(node, now, record->bytes, record->len);
			record_pool_release(&pool, record);
			break;
		case 7:
			node_adjust(node, SKEW, (int) (value >> 3 & 15));
			break;
	}
}

/* ---- what holds after every step ---- */

static void
require_state(void)
{
	NodeFigures figures = node_figures(node);
	int			n = 0;
	int			statements = 0;

	REQUIRE(figures.greeted <= node->n_peers && figures.links <= node->n_peers && node->n_peers <= NODE_PEERS);
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (const NodePeer *peer = node->peer[i]; peer != NULL; peer = peer->next, n++)
		{
			REQUIRE(!peer->greeted || peer->record != NULL);
			REQUIRE(peer->record == NULL || memcmp(peer->record->curve_key, peer->curve, CORE_KEY_BYTES) == 0);
			REQUIRE(!peer->greeted || !kad_id_equal(&peer->record->id, &node->id));
		}
	REQUIRE(n == node->n_peers);
	for (int i = 0; i < node->n_groups; i++)
	{
		const NodeGroup *g = node->group[i];
		int			inside = 0;

		REQUIRE(g->mesh.n >= 0 && g->mesh.n <= MESH_PEERS);
		for (int k = 0; k < g->mesh.n; k++)
		{
			REQUIRE(g->mesh.peer[k].record != NULL && !kad_id_equal(&g->mesh.peer[k].record->id, &node->id));
			inside += g->mesh.peer[k].inside;
		}
		REQUIRE(inside == g->mesh.n_inside);
		REQUIRE(g->membership.n_leaves >= 0 && g->membership.n_leaves <= g->membership.n);
		statements += g->membership.n - g->membership.n_leaves;
	}
	REQUIRE(statements <= node->max_statements);
}

/* A tick leaves nothing that was due before it. */
static void
tick(void)
{
	int			n = 0;

	do
		node_tick(node, now);
	while (node_next_tick(node) <= now.tick_ms && ++n < 4);
	REQUIRE(n < 4);
}

static int64_t
passed_ms(uint8_t t)
{
	return t < 200 ? t * 10 : (int64_t) (t - 199) * 20000;
}

static void
step(StepKind kind, int peer, unsigned flags, unsigned value, const uint8_t *frame)
{
	full = (flags & FLAG_FULL) != 0;
	if ((flags & FLAG_MEMORY) != 0)
		node_memory_state.until_failure = flags >> 5;
	switch (kind)
	{
		case STEP_FRAME:
			deliver(peer, frame, value, flags);
			break;
		case STEP_HELLO:
			greet(peer, flags, value);
			break;
		case STEP_STATEMENT:
			send_statement(peer, flags, value);
			break;
		case STEP_SAY:
			say(peer, flags, value);
			break;
		case STEP_BREAK:
			peers[peer].link[false] = peers[peer].link[true] = 0;
			break;
		case STEP_UNREACHABLE:
			peers[peer].link[true] = 0;
			node_unreachable(node, now, peers[peer].curve);
			break;
		case STEP_OWN:
			call(peer, value);
			break;
		case STEPS:
			break;
	}
	tick();
	node_memory_state.until_failure = -1;
	full = false;
	require_state();
}

static void
begin(void)
{
	NodeConfig	config = {
		.callbacks = {NULL, on_log, on_lookup_done, on_join_done, on_left, on_signed_anew},
		.rows = {NULL, on_rows, on_rows_link},
		.memory = &node_memory,
		.crypto = &crypto,
		.random = &fuzz_random,
		.links = {NULL, links_send, links_answer, links_drop, links_pin, links_list, links_find},
		.network = "test",
		.seq = 1,
		.n_addresses = 1,
		.addresses = {address_of(PEERS, 0)},
		.skew_ms = SKEW,
		.mesh_degree = MESH_DEGREE
	};
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		statement[GRANT_BYTES];
	char		error[256];

	crypto.sign = fuzz_sign;
	crypto.key_pair = fuzz_key_pair;
	node_memory_state = (HostMemory) {.until_failure = -1};
	node_memory = HOST_MEMORY(&node_memory_state);
	now = (CoreClock) {1000, NOW};
	next_link = 0;
	full = false;
	memset(rows_up, 0, sizeof rows_up);
	memset(peers, 0, sizeof peers);
	for (int i = 0; i < PEERS; i++)
	{
		memset(peers[i].secret + CORE_SEED_BYTES, 65 + i, CORE_KEY_BYTES);
		memset(peers[i].curve, 97 + i, CORE_KEY_BYTES);
	}
	memset(config.secret + CORE_SEED_BYTES, 65 + PEERS, CORE_KEY_BYTES);
	memset(config.curve_public, 97 + PEERS, CORE_KEY_BYTES);
	node = node_new(&config, now, error, sizeof error);
	REQUIRE(node != NULL);
	root_pair(0, seed, secret);
	REQUIRE(node_share(node, now, seed, TAG, "things", secret) == NODE_OK);
	node_group_bind(node, now, secret, TAG, "things", (const uint8_t *) "things 3", 8);
	REQUIRE(make_statement(0, STATEMENT(THE_ROOT, READER, 1, GRANT_READER), statement) &&
			node_group_add(node, now, secret, statement));
	REQUIRE(make_statement(0, STATEMENT(THE_ROOT, ADMIN, 1, GRANT_ADMIN), statement) &&
			node_group_add(node, now, secret, statement));
	for (int i = READER; i <= ADMIN; i++)
	{
		step(STEP_HELLO, i, 0, 0, NULL);
		step(STEP_OWN, i, 0, 6, NULL);
		step(STEP_HELLO, i, FLAG_ANSWER | FLAG_OURS, 0, NULL);
		REQUIRE(node_peer(node, peers[i].curve, false)->welcomed);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_begin();
	begin();
	while (size >= STEP_HEAD)
	{
		StepKind	kind = data[0] % STEPS;
		int			peer = data[0] / STEPS % PEERS;
		unsigned	flags = data[1];
		int64_t		passed = passed_ms(data[2]);
		unsigned	value = (unsigned) bytes_load(data + 3, 2);

		data += STEP_HEAD;
		size -= STEP_HEAD;
		now.tick_ms += passed;
		now.unix_ms += passed;
		if (kind == STEP_FRAME && value > size)
			value = (unsigned) size;
		step(kind, peer, flags, value, data);
		if (kind == STEP_FRAME)
		{
			data += value;
			size -= value;
		}
	}
	node_destroy(&node);
	REQUIRE(node_memory_state.blocks == 0);
	fuzz_end();
	return 0;
}
