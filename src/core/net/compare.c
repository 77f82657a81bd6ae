/*
 * compare.c
 *	  How the statements about a collection spread.
 *
 * In two ways: a new one is pushed to the members that are connected, and each of
 * these pushes on what it did not have; and every half minute or so two members
 * compare fingerprints and, where they differ, send each other all they hold, in
 * the order of depth.
 */
#include "core/net/node_state.h"

#include <stdio.h>
#include <string.h>

#include "core/assert.h"

#define COMPARE_LIMIT_MS 20000
#define COMPARE_MESSAGES 160	/* enough for MEMBERSHIP_ROOM both ways */
#define SERVE_MS 10000

void
compare_send(Node *self, NodeGroup *g, NodePeer *to, const uint8_t *const *statements, int n)
{
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_GRANTS_SYNC, .collection = g->id, .grants = {.n = n}};

	memcpy(m.grants.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES);
	for (int i = 0; i < n; i++)
		m.grants.grant[i] = statements[i];
	m.request = node_call(self, CALL_GRANTS, to->curve, &g->id, NODE_CALL_TIMEOUT_MS);
	/* with no call free it is sent all the same, and its answer is not used: the next comparison brings what that had */
	if (m.request == 0)
		m.request = node_request(self);
	node_send(self, to, &m);
}

/* To the members that are connected. */
void
compare_push(Node *self, NodeGroup *g, const uint8_t *const *statements, int n, const NodePeer *except)
{
	for (int i = 0; i < NODE_PEER_SLOTS && n > 0; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer != except && peer->greeted && node_connected(peer) &&
				group_role(self, g, peer) != GRANT_NOBODY)
				compare_send(self, g, peer, statements, n);
}

/* Sign a statement, take it, tell the others. */
NodeStatus
compare_sign(Node *self, NodeGroup *g, const uint8_t *secret, const Grant *grant, uint8_t *out)
{
	const uint8_t *statements[1] = {out};
	MembershipAdded how;
	DecodeStatus status = grant_sign(&self->crypto, secret, grant, out);

	if (status != DECODE_OK)
		return status == DECODE_VALUE ? NODE_FORBIDDEN : NODE_NO_MEMORY;
	if (!group_add(self, g, out, &how, &status) && how != MEMBERSHIP_KNOWN)
		return how != MEMBERSHIP_FULL ? NODE_FORBIDDEN :
			g->membership.limit < MEMBERSHIP_LIMIT ? NODE_SHARE_FULL : NODE_FULL;
	compare_push(self, g, statements, 1, NULL);
	group_refresh(self, g);
	return NODE_OK;
}

/* Up to WIRE_GRANTS of ours from *cursor on. */
static int
next_statements(const NodeGroup *g, uint32_t *cursor, const uint8_t **out)
{
	int			n = 0;

	while (n < WIRE_GRANTS && (out[n] = membership_next(&g->membership, cursor)) != NULL)
		n++;
	return n;
}

void
compare_end(Node *self, NodeGroup *g)
{
	g->compare.active = false;
	g->compare_ms = self->now.tick_ms + node_jittered(self, COMPARE_MS);
}

void
compare_start(Node *self, NodeGroup *g)
{
	NodePeer   *chosen = NULL;
	uint64_t	seen = 0;

	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && node_connected(peer) && group_role(self, g, peer) != GRANT_NOBODY &&
				core_random_below(&self->random, ++seen) == 0)
				chosen = peer;
	compare_end(self, g);
	if (chosen == NULL)
		return;
	memcpy(g->compare.curve, chosen->curve, CORE_KEY_BYTES);
	g->compare.active = true;
	g->compare.cursor = 0;
	g->compare.sent = 0;
	g->compare.until_ms = self->now.tick_ms + COMPARE_LIMIT_MS;
	compare_send(self, g, chosen, NULL, 0);
}

/* Take what came; what was new is pushed on.  Returns how many were new. */
int
compare_take(Node *self, NodeGroup *g, NodePeer *from, const uint8_t *const *statements, int n)
{
	const uint8_t *fresh[WIRE_GRANTS];
	int			n_fresh = 0;

	CORE_ASSERT(n >= 0 && n <= WIRE_GRANTS);
	for (int i = 0; i < n; i++)
	{
		MembershipAdded how;
		DecodeStatus status;

		if (group_add(self, g, statements[i], &how, &status))
			fresh[n_fresh++] = statements[i];
		else if (how == MEMBERSHIP_INVALID)
		{
			char		reason[160];
			char		id[NODE_NAME];

			snprintf(reason, sizeof reason, "a statement about collection %s cannot be used: %s",
					 group_name(g, id), decode_status_text(status));
			node_refuse(self, from->curve, reason);
			/* its sender could have verified it: no more signatures of this message are */
			if (status == DECODE_SIGNATURE)
				break;
		}
	}
	if (n_fresh > 0)
	{
		group_refresh(self, g);
		compare_push(self, g, fresh, n_fresh, from);
	}
	return n_fresh;
}

static GroupServe *
serve_of(Node *self, NodeGroup *g, const uint8_t *curve, bool create)
{
	GroupServe *oldest = &g->serve[0];

	for (int i = 0; i < GROUP_SERVES; i++)
	{
		if (g->serve[i].at_ms != 0 && memcmp(g->serve[i].curve, curve, CORE_KEY_BYTES) == 0 &&
			self->now.tick_ms - g->serve[i].at_ms < SERVE_MS)
			return &g->serve[i];
		if (g->serve[i].at_ms < oldest->at_ms)
			oldest = &g->serve[i];
	}
	if (!create)
		return NULL;
	memcpy(oldest->curve, curve, CORE_KEY_BYTES);
	oldest->cursor = 0;
	return oldest;
}

/* Revocations of this key: its owner may know of them. */
static int
revocations_of(const NodeGroup *g, const uint8_t *key, const uint8_t **out)
{
	int			n = 0;

	for (int i = 0; i < g->membership.n && n < WIRE_GRANTS; i++)
	{
		const MembershipEntry *entry = g->membership.entry[i];

		if (entry->grant.kind == GRANT_REVOCATION && memcmp(entry->grant.member, key, CORE_KEY_BYTES) == 0)
			out[n++] = entry->bytes;
	}
	return n;
}

void
compare_receive(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	WireMessage answer = {.version = WIRE_VERSION_MAX, .type = WIRE_GRANTS_SYNC, .response = true,
	.request = m->request, .collection = g->id};
	bool		same;
	GroupServe *serve;

	compare_take(self, g, from, m->grants.grant, m->grants.n);
	memcpy(answer.grants.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES);
	if (group_role(self, g, from) == GRANT_NOBODY)
	{
		answer.grants.n = revocations_of(g, from->record->key, answer.grants.grant);
		if (answer.grants.n > 0)
			node_answer(self, &answer);
		else
		{
			char		reason[128];
			char		id[NODE_NAME];

			snprintf(reason, sizeof reason, "it is no member of collection %s", group_name(g, id));
			node_refuse(self, from->curve, reason);
			node_answer_error(self, m->request, &g->id, WIRE_CODE_FORBIDDEN, "not a member");
		}
		return;
	}
	same = memcmp(m->grants.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES) == 0;
	if (!same)
	{
		serve = serve_of(self, g, from->curve, true);
		answer.grants.n = next_statements(g, &serve->cursor, answer.grants.grant);
		/* all have been sent: the next request begins another comparison */
		serve->at_ms = answer.grants.n == 0 ? 0 : self->now.tick_ms;
	}
	node_answer(self, &answer);
}

/*
 * Does an answer show that its sender knows that we have left?  It has our leave or, where
 * we were no member any more, what made us none.
 */
static bool
knows_leave(const Node *self, const NodeGroup *g, const WireMessage *m)
{
	const Membership *held = &g->membership;
	bool		left = false;
	bool		known = false;

	if (memcmp(m->grants.fingerprint, held->fingerprint, GRANT_HASH_BYTES) == 0)
		return true;
	for (int i = 0; i < held->n; i++)
	{
		const Grant *grant = &held->entry[i]->grant;
		bool		leave = memcmp(grant->issuer, self->key, CORE_KEY_BYTES) == 0;

		if (grant->kind != GRANT_REVOCATION || memcmp(grant->member, self->key, CORE_KEY_BYTES) != 0 || (left && !leave))
			continue;
		if (leave)
		{
			left = true;
			known = false;
		}
		for (int k = 0; k < m->grants.n; k++)
			known |= memcmp(m->grants.grant[k], held->entry[i]->bytes, GRANT_BYTES) == 0;
	}
	return known;
}

void
compare_answered(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	const uint8_t *ours[WIRE_GRANTS];
	int			n;

	if (m->type != WIRE_GRANTS_SYNC)
	{
		if (g->leaving)
			g->leave_told = true;
		if (g->compare.active && memcmp(g->compare.curve, from->curve, CORE_KEY_BYTES) == 0)
			compare_end(self, g);
		return;
	}
	compare_take(self, g, from, m->grants.grant, m->grants.n);
	if (g->leaving && !g->leave_told && knows_leave(self, g, m))
	{
		g->leave_told = true;
		return;
	}
	if (!g->compare.active || memcmp(g->compare.curve, from->curve, CORE_KEY_BYTES) != 0)
		return;
	/* who is no member any more hears nothing more of the others */
	if (group_role(self, g, from) == GRANT_NOBODY ||
		memcmp(m->grants.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES) == 0 ||
		++g->compare.sent > COMPARE_MESSAGES)
	{
		compare_end(self, g);
		return;
	}
	n = next_statements(g, &g->compare.cursor, ours);
	if (n == 0 && m->grants.n == 0)
		compare_end(self, g);
	else
	{
		g->compare.until_ms = self->now.tick_ms + COMPARE_LIMIT_MS;
		compare_send(self, g, from, ours, n);
	}
}
