/*
 * join.c
 *	  Invitations redeemed: by this node, of others, and by others, of this node.
 */
#include "core/net/node_state.h"

#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

#define JOIN_MS 15000
#define JOIN_GREET_MS 5000		/* until its addresses are tried again; of several joins by one key ... */
#define JOIN_TURN_MS 500		/* ... each in turn, so much after another */

/* ---- others join ---- */

static WireCode
refuse_redeem(Node *self, NodePeer *from, const NodeGroup *g, WireCode code, const char *what)
{
	char		reason[160];
	char		id[NODE_NAME];

	snprintf(reason, sizeof reason, "an invitation to collection %s cannot be redeemed: %s", group_name(g, id), what);
	node_refuse(self, from->curve, reason);
	return code;
}

/* The grants that lead from the root to this member. */
static int
chain_of(Node *self, NodeGroup *g, const uint8_t *member, const uint8_t **out, int room)
{
	const uint8_t *up[GRANT_DEPTH_MAX];
	const uint8_t *key = member;
	int			n = 0;

	(void) membership_role(&g->membership, self->key, self->now.unix_ms);	/* evaluates */
	while (n < GRANT_DEPTH_MAX && n < room && memcmp(key, g->membership.root, CORE_KEY_BYTES) != 0)
	{
		const MembershipEntry *best = NULL;

		for (int i = 0; i < g->membership.n; i++)
		{
			const MembershipEntry *entry = g->membership.entry[i];

			if (entry->counts && entry->grant.kind == GRANT_MEMBER &&
				memcmp(entry->grant.member, key, CORE_KEY_BYTES) == 0 &&
				(n == 0 || entry->grant.role == GRANT_ADMIN) &&
				(best == NULL || entry->grant.depth < best->grant.depth))
				best = entry;
		}
		if (best == NULL)
			return 0;
		up[n++] = best->bytes;
		key = best->grant.issuer;
	}
	for (int i = 0; i < n; i++)
		out[i] = up[n - 1 - i];
	return n;
}

/* What a collection is: its description without the name. */
static const char *
kind_of(const NodeGroup *g, char out[NODE_DESCRIPTION + 1])
{
	memcpy(out, g->description, g->description_len);
	out[g->description_len] = '\0';
	out += strcspn(out, " ");
	return *out == ' ' ? out + 1 : out;
}

/* Is that one of the kinds that who joins can take? */
static bool
takes_kind(const WireRedeem *redeem, const char *kind)
{
	size_t		len = strlen(kind);
	size_t		at = 0;

	if (redeem->text_len == 0)
		return strncmp(kind, "table ", 6) != 0;
	while (at < redeem->text_len)
	{
		const char *end = memchr(redeem->text + at, '|', redeem->text_len - at);
		size_t		n = end == NULL ? redeem->text_len - at : (size_t) (end - (redeem->text + at));

		if (n == len && n > 0 && memcmp(redeem->text + at, kind, n) == 0)
			return true;
		at += n + 1;
	}
	return false;
}

void
join_receive(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	WireMessage answer = {.version = WIRE_VERSION_MAX, .type = WIRE_REDEEM, .response = true,
	.request = m->request, .collection = g->id};
	Redemption	redemption;
	DecodeStatus status;
	MembershipAdded how;
	Grant		grant;
	uint8_t		statement[GRANT_BYTES];
	char		description[NODE_DESCRIPTION + 1];
	const char *kind = NULL;
	WireCode	code = WIRE_CODE_OK;

	status = redemption_decode(&self->crypto, m->redeem.redemption, REDEMPTION_BYTES, self->now.unix_ms,
							   self->config.skew_ms, &redemption);
	if (status != DECODE_OK)
	{
		code = refuse_redeem(self, from, g,
							 status == DECODE_EXPIRED || status == DECODE_FUTURE ? WIRE_CODE_EXPIRED : WIRE_CODE_FORGED,
							 decode_status_text(status));
		node_answer_error(self, m->request, &g->id, code, decode_status_text(status));
		return;
	}
	/* what the collection is could not be looked at yet: its table is locked */
	if (g->tag != 0 && g->description_len == 0)
	{
		node_answer_error(self, m->request, &g->id, WIRE_CODE_BUSY, NULL);
		return;
	}
	group_add(self, g, m->redeem.invitation, &how, &status);
	if (how == MEMBERSHIP_INVALID)
	{
		code = refuse_redeem(self, from, g, status == DECODE_FUTURE ? WIRE_CODE_EXPIRED : WIRE_CODE_FORGED,
							 decode_status_text(status));
		node_answer_error(self, m->request, &g->id, code, decode_status_text(status));
		return;
	}
	switch (membership_redeem(&g->membership, &redemption, self->key, self->now.unix_ms, &grant))
	{
		case REDEEM_OK:
			kind = kind_of(g, description);
			if (self->cloned)
				code = WIRE_CODE_BUSY;
			else if (!takes_kind(&m->redeem, kind))
				code = WIRE_CODE_OTHER_KIND;
			else if (compare_sign(self, g, self->config.secret, &grant, statement) != NODE_OK)
				code = WIRE_CODE_FORBIDDEN;
			else
			{
				KadId		id = kad_id_of_key(&self->crypto, redemption.member);
				char		short_id[13];
				char		name[NODE_NAME];

				node_log(self, NODE_LOG, "node %s has joined collection %s by an invitation",
						 node_short_id(&id, short_id), group_name(g, name));
			}
			break;
		case REDEEM_ALREADY:
			break;
		case REDEEM_USED:
			code = refuse_redeem(self, from, g, WIRE_CODE_INVITATION_USED, "it was used before");
			break;
		case REDEEM_VOID:
			code = refuse_redeem(self, from, g, WIRE_CODE_INVITATION_VOID, "it has expired or was revoked");
			break;
		case REDEEM_NOT_ADMIN:
			code = WIRE_CODE_FORBIDDEN;
			break;
	}
	if (code == WIRE_CODE_OK)
	{
		answer.redeemed.n = chain_of(self, g, redemption.member, answer.redeemed.grant, WIRE_GRANTS);
		answer.redeemed.text = (const char *) g->description;
		answer.redeemed.text_len = g->description_len;
		if (answer.redeemed.n > 0)
			node_answer(self, &answer);
		else
			code = WIRE_CODE_FORBIDDEN;
	}
	if (code != WIRE_CODE_OK)
		node_answer_error(self, m->request, &g->id, code, code == WIRE_CODE_OTHER_KIND ? kind : NULL);
	else if (from->record != NULL && group_role(self, g, from) != GRANT_NOBODY)
		mesh_peer(&g->mesh, from->record);
}

/* ---- this node joins ---- */

static void
end_join(Node *self, NodeJoin *join, NodeStatus status, const char *text, const NodeGroup *g,
		 const uint8_t *description, size_t len)
{
	uint64_t	tag = join->tag;

	bytes_wipe(join, sizeof *join);
	self->config.callbacks.join_done(self->config.callbacks.context, tag, status, text,
									 g == NULL ? NULL : g->membership.root, description, len);
}

/* Several joins may lead to one node: anybody can make up an invitation that names another's CURVE key. */
static bool
leads_to(const NodeJoin *join, const uint8_t *curve)
{
	return join->active && memcmp(join->invitation.curve_key, curve, CORE_KEY_BYTES) == 0;
}

static void
join_redeem(Node *self, NodeJoin *join, NodePeer *peer)
{
	uint8_t		redemption[REDEMPTION_BYTES];
	const Invitation *invitation = &join->invitation;
	KadId		collection = kad_id_of_key(&self->crypto, invitation->grant.root);
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_REDEEM, .collection = collection};
	NodeGroup  *left = group_by_root(self, invitation->grant.root);

	if (join->request != 0)
		return;
	if (peer->record == NULL || !kad_id_equal(&peer->record->id, &invitation->node))
	{
		end_join(self, join, NODE_REFUSED, "another node answers at the address of the invitation", NULL, NULL, 0);
		return;
	}
	if (!redemption_sign(&self->crypto, invitation->secret, invitation->grant.root, self->key,
						 self->now.unix_ms, redemption))
	{
		end_join(self, join, NODE_NO_MEMORY, NULL, NULL, NULL, 0);
		return;
	}
	/* a grant that is made without knowing of our leave would not count against it */
	if (left != NULL && left->leaving)
		compare_send_proof(self, left, peer);
	m.redeem.invitation = invitation->statement;
	m.redeem.redemption = redemption;
	m.redeem.text = join->kinds;
	m.redeem.text_len = strlen(join->kinds);
	m.request = node_call(self, CALL_REDEEM, peer->curve, &collection, JOIN_MS);
	if (m.request == 0 || !node_send(self, peer, &m))
	{
		end_join(self, join, NODE_BUSY, NULL, NULL, NULL, 0);
		return;
	}
	join->request = m.request;
}

/* May the node to which it leads be greeted again?  Not at once: only the answers to the last two HELLOs count. */
static bool
greeting_rests(Node *self, const NodeJoin *join)
{
	const NodePeer *peer = node_peer(self, join->invitation.curve_key, false);

	return peer == NULL || peer->hello_ms == 0 || self->now.tick_ms - peer->hello_ms >= JOIN_TURN_MS;
}

/* A link belongs to a key: of two joins that lead to one key, the addresses of the later one may have replaced the other's. */
static void
try_addresses(Node *self, NodeJoin *join)
{
	NodePeer   *peer = node_peer(self, join->invitation.curve_key, true);
	int			n = 0;

	for (int i = 0; i < NODE_JOINS; i++)
		n += leads_to(&self->join[i], join->invitation.curve_key);
	join->greet_ms = self->now.tick_ms + (n == 1 ? JOIN_GREET_MS : n * JOIN_TURN_MS);
	if (peer != NULL)
		node_greet(self, peer, join->invitation.addresses, join->invitation.n_addresses);
}

NodeStatus
node_join(Node *self, CoreClock clock, const char *text, size_t len, uint64_t tag, DecodeStatus *decode)
{
	return node_join_kind(self, clock, text, len, NULL, tag, decode);
}

NodeStatus
node_join_kind(Node *self, CoreClock clock, const char *text, size_t len, const char *kinds, uint64_t tag, DecodeStatus *decode)
{
	NodeJoin   *join = NULL;
	NodePeer   *peer;

	self->now = clock;
	if (self->cloned)
		return NODE_CLONED;
	for (int i = 0; i < NODE_JOINS && join == NULL; i++)
		if (!self->join[i].active)
			join = &self->join[i];
	if (join == NULL)
		return NODE_BUSY;
	*decode = invitation_decode(&self->crypto, text, len, clock.unix_ms, self->config.skew_ms, &join->invitation);
	if (*decode != DECODE_OK)
	{
		bytes_wipe(join, sizeof *join);
		return NODE_INVALID;
	}
	if (join->invitation.network != self->network)
	{
		bytes_wipe(join, sizeof *join);
		return NODE_OTHER_NETWORK;
	}
	if (kad_id_equal(&join->invitation.node, &self->id))
	{
		bytes_wipe(join, sizeof *join);
		return NODE_SELF;
	}
	peer = node_peer(self, join->invitation.curve_key, true);
	for (int i = 0; i < NODE_JOINS; i++)
		if (self->join[i].active &&
			memcmp(self->join[i].invitation.statement, join->invitation.statement, GRANT_BYTES) == 0)
			peer = NULL;
	if (peer == NULL)
	{
		bytes_wipe(join, sizeof *join);
		return NODE_BUSY;
	}
	snprintf(join->kinds, sizeof join->kinds, "%s", kinds == NULL ? "" : kinds);
	join->active = true;
	join->tag = tag;
	join->until_ms = clock.tick_ms + JOIN_MS;
	if (peer->greeted && peer->welcomed && node_connected(peer))
		join_redeem(self, join, peer);
	else
		try_addresses(self, join);
	return NODE_OK;
}

void
join_answered(Node *self, NodePeer *from, uint64_t request, const WireMessage *m)
{
	NodeJoin   *join = NULL;
	NodeGroup  *g;
	char		text[WIRE_TEXT_MAX + 64];
	const uint8_t *description = NULL;
	size_t		len = 0;
	bool		created;

	for (int i = 0; i < NODE_JOINS; i++)
		if (leads_to(&self->join[i], from->curve) && self->join[i].request == request)
			join = &self->join[i];
	if (join == NULL)
		return;
	if (m->type == WIRE_ERROR)
	{
		NodeStatus	status = m->error.code == WIRE_CODE_INVITATION_USED ? NODE_USED :
			m->error.code == WIRE_CODE_INVITATION_VOID || m->error.code == WIRE_CODE_EXPIRED ? NODE_VOID :
			m->error.code == WIRE_CODE_UNKNOWN_COLLECTION ? NODE_NOT_SHARED :
			m->error.code == WIRE_CODE_FORBIDDEN ? NODE_FORBIDDEN :
			m->error.code == WIRE_CODE_OTHER_KIND ? NODE_OTHER_KIND :
			m->error.code == WIRE_CODE_BUSY ? NODE_BUSY : NODE_REFUSED;

		if (status == NODE_OTHER_KIND)
			snprintf(text, sizeof text, "%.*s", (int) m->error.text_len, m->error.text == NULL ? "" : m->error.text);
		else
			snprintf(text, sizeof text, "code %u: %.*s", m->error.code, (int) m->error.text_len,
					 m->error.text == NULL ? "" : m->error.text);
		end_join(self, join, status, text, NULL, NULL, 0);
		return;
	}
	g = group_by_root(self, join->invitation.grant.root);
	created = g == NULL;
	if (g == NULL)
		g = group_new(self, join->invitation.grant.root, 0, "");
	if (g == NULL)
	{
		end_join(self, join, NODE_NO_MEMORY, NULL, NULL, NULL, 0);
		return;
	}
	/* an answer to another question brings nothing */
	if (m->type == WIRE_REDEEM)
	{
		compare_take(self, g, from, m->redeemed.grant, m->redeemed.n);
		description = (const uint8_t *) m->redeemed.text;
		len = m->redeemed.text_len;
	}
	if (membership_role(&g->membership, self->key, self->now.unix_ms) == GRANT_NOBODY)
	{
		if (created)
			node_group_forget(self, self->now, join->invitation.grant.root);
		end_join(self, join, NODE_REFUSED, "the answer does not make this node a member", NULL, NULL, 0);
		return;
	}
	g->leaving = g->leave_told = false;
	group_refresh(self, g);
	g->compare_ms = self->now.tick_ms;
	(void) kad_node_meet(self->kad, self->now, from->record);
	end_join(self, join, NODE_OK, NULL, g, description, len);
}

void
join_unreachable(Node *self, const uint8_t curve[CORE_KEY_BYTES])
{
	NodeJoin   *join = NULL;
	int			n = 0;

	for (int i = 0; i < NODE_JOINS; i++)
		if (leads_to(&self->join[i], curve))
		{
			join = &self->join[i];
			n++;
		}
	/* of several it may be another's addresses where nobody is */
	if (n == 1 && self->now.tick_ms - (join->until_ms - JOIN_MS) > 2000)
		end_join(self, join, NODE_UNREACHABLE, NULL, NULL, NULL, 0);
}

/* A peer is heard from now on: perhaps the one that invites us. */
void
join_greeted(Node *self, NodePeer *peer)
{
	for (int i = 0; i < NODE_JOINS && peer->welcomed; i++)
		if (leads_to(&self->join[i], peer->curve))
			join_redeem(self, &self->join[i], peer);
}

void
join_tick(Node *self)
{
	for (int i = 0; i < NODE_JOINS; i++)
	{
		NodeJoin   *join = &self->join[i];

		if (join->active && self->now.tick_ms >= join->until_ms)
			end_join(self, join, NODE_UNREACHABLE, NULL, NULL, NULL, 0);
		else if (join->active && join->request == 0 && self->now.tick_ms >= join->greet_ms && greeting_rests(self, join))
			try_addresses(self, join);
	}
}

int64_t
join_next_tick(const Node *self)
{
	int64_t		next = INT64_MAX;

	for (int i = 0; i < NODE_JOINS; i++)
		if (self->join[i].active && self->join[i].until_ms < next)
			next = self->join[i].until_ms;
	return next;
}
