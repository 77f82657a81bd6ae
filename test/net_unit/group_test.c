/*
 * group_test.c
 *	  What one of those who share a node can take from the others: room for
 *	  statements, joins by the same node, signatures of answers nobody asked for.
 */
#include <stdlib.h>

#include "net/crypto_sodium.h"
#include "node_host.h"

#define NODES 2
#define PATIENCE_MS 60000
#define TURN_MS 10
#define HOUR_MS 3600000
#define ROOM 512				/* for statements, instead of NODE_STATEMENTS */
#define ANSWERED 5				/* records in the answer that nobody asked for */
#define GOOD 1					/* tags of joins */
#define BAD 2
#define FALSE_JOIN 4

typedef struct Hosted
{
	NetNode    *net;
	Node	   *node;
	int			ended;			/* tags of joins that have ended, added up ... */
	int			admitted;		/* ... and of those that ended well */
} Hosted;

static uint64_t random_state;
static Hosted hosted[NODES];
static CoreCrypto crypto;

static void
on_join_done(void *context, uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
			 const uint8_t *description, size_t len)
{
	Hosted	   *self = context;

	self->ended += (int) tag;
	if (status == NODE_OK)
		self->admitted += (int) tag;
}

static bool
start(Hosted *self)
{
	NodeCallbacks callbacks = quiet_callbacks(self);

	callbacks.join_done = on_join_done;
	self->net = host_node(callbacks, 8, node_clock(), &random_state);
	if (self->net != NULL)
		self->node = self->net->node;
	return self->net != NULL;
}

static void
turn(void)
{
	struct pollfd p[NODES];

	for (int i = 0; i < NODES; i++)
		p[i] = poll_of(hosted[i].net);
	(void) poll(p, NODES, TURN_MS);
	for (int i = 0; i < NODES; i++)
		(void) net_node_run(hosted[i].net, node_clock());
}

/* Share a collection of this owner. */
static bool
share(Node *node, uint32_t tag, uint32_t owner, uint8_t root[CORE_KEY_BYTES])
{
	uint8_t		seed[CORE_SEED_BYTES];

	host_fill(&random_state, seed, sizeof seed);
	if (node_share(node, node_clock(), seed, tag, "collection", root) != NODE_OK)
		return false;
	node_group_owner(node, root, owner);
	return true;
}

/* Invite until it is refused, n times at most.  Returns how many were invited. */
static int
invite(Node *node, uint32_t tag, int n, NodeStatus *status)
{
	char		text[INVITATION_TEXT_MAX + 1];
	int			done = 0;

	*status = NODE_OK;
	while (done < n && (*status = node_invite(node, node_clock(), tag, GRANT_READER, HOUR_MS, text)) == NODE_OK)
		done++;
	return done;
}

static void
test_statements(void)
{
	Node	   *node = hosted[0].node;
	uint8_t		root[4][CORE_KEY_BYTES];
	uint8_t		fresh[CORE_KEY_BYTES];
	static uint8_t kept[ROOM][GRANT_BYTES];
	const uint8_t *statements[ROOM];
	int			all = 0;
	int			n;
	int			taken = 0;
	int			left = ROOM;
	NodeStatus	status[4];

	node->max_statements = ROOM;
	for (int i = 0; i < 4; i++)
	{
		if (!share(node, 11 + (uint32_t) i, 7, root[i]))
			exit(2);
		(void) invite(node, 11 + (uint32_t) i, ROOM, &status[i]);
		all += node->group[i]->membership.n;
	}
	ok(all > ROOM / 3 && all < ROOM / 2 + 4 * NODE_STATEMENTS_EACH && status[0] == NODE_SHARE_FULL && status[3] == NODE_SHARE_FULL,
	   "the collections of one owner hold %d statements of %d, and are refused more: %d, %d, %d, %d",
	   all, ROOM, status[0], status[1], status[2], status[3]);
	ok(share(node, 20, 8, fresh) && (n = invite(node, 20, 64, &status[0])) == 64, "another's have room");
	ok(share(node, 21, NODE_NO_SHARE, fresh) && invite(node, 21, 128, &status[0]) == 128, "so have those of whom no share binds");
	/* of invitations of one millisecond a later one may take the place of another */
	ok(share(node, 15, 7, fresh) && invite(node, 15, ROOM, &status[0]) >= NODE_STATEMENTS_EACH - 1 &&
	   status[0] == NODE_SHARE_FULL && node->group[6]->membership.n == NODE_STATEMENTS_EACH, "each collection may hold a few");

	/* what was held before a restart is held after it, whatever came first */
	n = node_group_statements(node, 0, statements, ROOM);
	for (int i = 0; i < n; i++)
		memcpy(kept[i], statements[i], GRANT_BYTES);
	hosted[1].node->max_statements = NODE_STATEMENTS_EACH;
	if (node_group_load(hosted[1].node, node_clock(), root[0], NULL, 11, "collection", false) != NODE_OK)
		exit(2);
	node_group_owner(hosted[1].node, root[0], 7);
	for (int before = -1; taken != before;)
	{
		before = taken;
		for (int i = 0; i < n; i++)
			taken += node_group_add(hosted[1].node, node_clock(), root[0], kept[i]);
	}
	ok(n > NODE_STATEMENTS_EACH && taken == n, "what is loaded is bound by no share");
	node_group_forget(hosted[1].node, node_clock(), root[0]);
	hosted[1].node->max_statements = NODE_STATEMENTS;

	for (int i = 0; i < 4; i++)
		left -= node_leave(node, node_clock(), 11 + (uint32_t) i) == NODE_OK;
	ok(left == ROOM - 4, "and who has used up a share can leave");
	group_reset(node);
	node->max_statements = NODE_STATEMENTS;
}

/* An invitation that a stranger has made up: by another's CURVE key, for a collection of its own or of another's. */
static void
make_up(const Node *inviter, const uint8_t *root, char *text)
{
	Invitation	invitation = {
		.network = inviter->network,
		.node = inviter->id,
		.n_addresses = 1,
		.addresses = {own_address(1)}
	};
	Grant		grant = {.kind = GRANT_INVITATION, .role = GRANT_READER, .depth = root == NULL ? 1 : 2};
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		unused[CORE_SECRET_BYTES];

	memcpy(invitation.curve_key, inviter->config.curve_public, CORE_KEY_BYTES);
	host_fill(&random_state, seed, sizeof seed);
	host_fill(&random_state, invitation.seed, sizeof invitation.seed);
	grant.issued_ms = node_clock().unix_ms;
	grant.expires_ms = grant.issued_ms + HOUR_MS;
	if (!crypto.key_pair(crypto.context, seed, grant.issuer, secret) ||
		!crypto.key_pair(crypto.context, invitation.seed, grant.member, unused))
		exit(2);
	memcpy(grant.root, root == NULL ? grant.issuer : root, CORE_KEY_BYTES);
	if (grant_sign(&crypto, secret, &grant, invitation.statement) != DECODE_OK ||
		!invitation_text(&crypto, &invitation, text))
		exit(2);
}

static void
test_joins(void)
{
	Node	   *node = hosted[1].node;
	char		good[INVITATION_TEXT_MAX + 1];
	char		bad[INVITATION_TEXT_MAX + 1];
	uint8_t		root[CORE_KEY_BYTES];
	static const uint8_t words[] = "collection of nothing";
	DecodeStatus decode;
	NodeStatus	first;
	NodeStatus	second;
	NodeStatus	again;

	if (!share(hosted[0].node, 30, 7, root) ||
		node_invite(hosted[0].node, node_clock(), 30, GRANT_READER, HOUR_MS, good) != NODE_OK)
		exit(2);
	node_group_bind(hosted[0].node, node_clock(), root, 30, "collection", words, sizeof words - 1);
	make_up(hosted[0].node, NULL, bad);
	first = node_join(node, node_clock(), bad, strlen(bad), BAD, &decode);
	second = node_join(node, node_clock(), good, strlen(good), GOOD, &decode);
	again = node_join(node, node_clock(), good, strlen(good), GOOD, &decode);
	ok(first == NODE_OK && second == NODE_OK, "a join by a made-up invitation of the same node keeps nobody from joining: %d, %d", first, second);
	ok(again == NODE_BUSY, "the same invitation is redeemed once at a time");
	ok(pump(hosted[1].ended >= GOOD + BAD || (second != NODE_OK && hosted[1].ended >= BAD)) && hosted[1].admitted == GOOD,
	   "who has a good one is admitted, the other is not");
}

/* Who leaves tells of the revocations that it knows of: nobody else may have heard of them. */
static void
test_parting(void)
{
	Node	   *stays = hosted[0].node;
	Node	   *leaves = hosted[1].node;
	NodeGroup  *there = group_by_tag(stays, 30);
	NodeGroup  *here = group_find(leaves, &there->id);
	Grant		grant;
	MembershipAdded how;
	DecodeStatus decode;
	uint8_t		stranger[CORE_KEY_BYTES];
	uint8_t		statement[GRANT_BYTES];
	int			n;

	host_fill(&random_state, stranger, sizeof stranger);
	if (here == NULL || !pump(memcmp(here->membership.fingerprint, there->membership.fingerprint, GRANT_HASH_BYTES) == 0))
		exit(2);
	node_group_bind(leaves, node_clock(), there->membership.root, 31, "collection", NULL, 0);
	n = there->membership.n;
	if (!membership_prepare(&here->membership, GRANT_REVOCATION, GRANT_NOBODY, there->membership.root, stranger,
							node_clock().unix_ms, 0, &grant) ||
		grant_sign(&crypto, there->root_secret, &grant, statement) != DECODE_OK ||
		!group_add(leaves, here, statement, &how, &decode))
		exit(2);
	ok(node_leave(leaves, node_clock(), 31) == NODE_OK, "one leaves who alone knows of a revocation");
	compare_start(leaves, here);
	ok(pump(there->membership.n == n + 2), "who stays is told of both");
	node_group_forget(leaves, node_clock(), there->membership.root);
}

/* An answer that admits nobody leaves a collection that is being left as it is. */
static void
test_leaving(void)
{
	Node	   *node = hosted[1].node;
	char		text[INVITATION_TEXT_MAX + 1];
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	WireMessage answer = {.version = WIRE_VERSION_MAX, .type = WIRE_REDEEM, .response = true, .request = 77};
	NodeCall	call = {.purpose = CALL_REDEEM, .request = 77};
	NodePeer   *peer;
	DecodeStatus decode;

	host_fill(&random_state, seed, sizeof seed);
	if (!crypto.key_pair(crypto.context, seed, root, secret) ||
		node_group_load(node, node_clock(), root, NULL, 40, "left", true) != NODE_OK)
		exit(2);
	call.collection = answer.collection = kad_id_of_key(&crypto, root);
	make_up(hosted[0].node, root, text);
	if (node_join(node, node_clock(), text, strlen(text), FALSE_JOIN, &decode) != NODE_OK)
		exit(2);
	for (int i = 0; i < NODE_JOINS; i++)
		if (node->join[i].active)
			node->join[i].request = call.request;
	peer = node_peer(node, hosted[0].node->config.curve_public, false);
	hosted[1].ended = 0;
	group_answered(node, peer, &call, &answer);
	ok(hosted[1].ended == FALSE_JOIN && hosted[1].admitted == GOOD, "an answer that admits nobody ends the join");
	ok(group_find(node, &call.collection)->leaving, "and the collection is left as before");
	node_group_forget(node, node_clock(), root);
}

static void
test_unasked(void)
{
	Node	   *from = hosted[0].node;
	Node	   *to = hosted[1].node;
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_FIND_NODE, .response = true, .request = 12345};
	const NodeRecord *own = node_record(from);
	uint64_t	refused;
	uint64_t	verified;
	size_t		len;

	for (int i = 0; i < ANSWERED; i++)
	{
		NodeRecordFields fields = {
			.network = own->network,
			.seq = 1,
			.expires_ms = own->expires_ms,
			.n_addresses = 1,
			.addresses = {own_address(1)}
		};
		uint8_t		seed[CORE_SEED_BYTES];
		uint8_t		key[CORE_KEY_BYTES];
		uint8_t		secret[CORE_SECRET_BYTES];
		uint8_t		bytes[NODE_RECORD_MAX];

		host_fill(&random_state, seed, sizeof seed);
		host_fill(&random_state, fields.curve_key, sizeof fields.curve_key);
		if (!crypto.key_pair(crypto.context, seed, key, secret) ||
			node_record_sign(&crypto, secret, &fields, bytes, &len) != DECODE_OK ||
			record_pool_take(node_pool(from), bytes, len, node_clock().unix_ms, &m.found.record[m.found.n_records++]) != DECODE_OK)
			exit(2);
	}
	refused = node_figures(to).refused;
	verified = node_pool(to)->verified;
	ok(wire_encode(&m, from->frame, sizeof from->frame, &len) &&
	   transport_send(hosted[0].net->transport, node_clock().tick_ms, to->config.curve_public, to->addresses, 1, from->frame, len) == TRANSPORT_SENT,
	   "a peer sends an answer that nobody asked for, with %d records", ANSWERED);
	ok(pump(node_figures(to).refused > refused || node_pool(to)->verified > verified) && node_pool(to)->verified == verified,
	   "and none of their signatures is looked at");
	wire_release(node_pool(from), &m);
}

int
main(void)
{
	const char *seed = getenv("TEST_SEED");

	if (!crypto_sodium_init())
		return 2;
	crypto = crypto_sodium();
	random_state = seed != NULL ? strtoull(seed, NULL, 0) : 1;
	diag("TEST_SEED=%llu", (unsigned long long) random_state);
	if (!ok(start(&hosted[0]) && start(&hosted[1]), "two nodes start"))
		return tap_done();
	test_statements();
	test_joins();
	test_parting();
	test_unasked();
	test_leaving();
	for (int i = 0; i < NODES; i++)
		net_node_destroy(&hosted[i].net);
	return tap_done();
}
