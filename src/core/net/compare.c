/*
 * compare.c
 *	  How the statements about a collection spread.
 *
 * In two ways: a new one is pushed to the members that are connected, and each of
 * these pushes on what it did not have; and every half minute or so two members
 * compare fingerprints and, where they differ, send each other all they hold, in
 * the order of depth.  So it is with changes of columns (changes.h), which go in the same
 * messages, after the statements that say who may make them.
 */
#include "core/net/node_state.h"

#include <stdio.h>
#include <string.h>

#include "core/assert.h"
#include "core/net/reasons.h"

#define COMPARE_LIMIT_MS 20000
#define COMPARE_MESSAGES 160	/* enough for MEMBERSHIP_ROOM both ways */
#define SERVE_MS 10000

static void
put_fingerprints(const NodeGroup *g, WireMessage *m)
{
	memcpy(m->grants.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES);
	memcpy(m->grants.changes_fingerprint, g->changes.fingerprint, CHANGE_HASH_BYTES);
}

/* Does it hold what we hold? */
static bool
same_sets(const NodeGroup *g, const WireMessage *m)
{
	return memcmp(m->grants.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES) == 0 &&
		memcmp(m->grants.changes_fingerprint, g->changes.fingerprint, CHANGE_HASH_BYTES) == 0;
}

static void
put_change(WireMessage *m, const ChangeEntry *entry)
{
	CORE_ASSERT(m->grants.n_changes < WIRE_CHANGES);
	m->grants.change[m->grants.n_changes].bytes = entry->bytes;
	m->grants.change[m->grants.n_changes++].len = entry->len;
}

static void
send(Node *self, NodeGroup *g, NodePeer *to, WireMessage *m)
{
	m->version = WIRE_VERSION_MAX;
	m->type = WIRE_GRANTS_SYNC;
	m->collection = g->id;
	put_fingerprints(g, m);
	m->request = node_call(self, CALL_GRANTS, to->curve, &g->id, NODE_CALL_TIMEOUT_MS);
	/* with no call free it is sent all the same, and its answer is not used: the next comparison brings what that had */
	if (m->request == 0)
		m->request = node_request(self);
	node_send(self, to, m);
}

void
compare_send(Node *self, NodeGroup *g, NodePeer *to, const uint8_t *const *statements, int n)
{
	WireMessage m = {.grants = {.n = n}};

	for (int i = 0; i < n; i++)
		m.grants.grant[i] = statements[i];
	send(self, g, to, &m);
}

/* To the members that are connected; revocations also to those who are none any more since the admin is gone that they hung on. */
void
compare_push(Node *self, NodeGroup *g, const uint8_t *const *statements, int n, const NodePeer *except)
{
	const uint8_t *revocations[WIRE_GRANTS];
	int			n_revocations = 0;

	for (int i = 0; i < n; i++)
		if (statements[i][GRANT_KIND_AT] == GRANT_REVOCATION)
			revocations[n_revocations++] = statements[i];
	for (int i = 0; i < NODE_PEER_SLOTS && n > 0; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
		{
			if (peer == except || !peer->greeted || !node_connected(peer))
				continue;
			if (group_role(self, g, peer) != GRANT_NOBODY)
				compare_send(self, g, peer, statements, n);
			else if (n_revocations > 0 && membership_bereft(&g->membership, peer->record->key, self->now.unix_ms))
				compare_send(self, g, peer, revocations, n_revocations);
		}
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

/* Up to WIRE_GRANTS of ours from *cursor on, and behind the last of them up to WIRE_CHANGES.  False: there are no more. */
static bool
put_next(const NodeGroup *g, uint32_t *cursor, int *change, WireMessage *m)
{
	WireGrants *grants = &m->grants;

	while (grants->n < WIRE_GRANTS && (grants->grant[grants->n] = membership_next(&g->membership, cursor)) != NULL)
		grants->n++;
	while (grants->n < WIRE_GRANTS && grants->n_changes < WIRE_CHANGES && *change < g->changes.n)
		put_change(m, g->changes.entry[(*change)++]);
	return grants->n + grants->n_changes > 0;
}

ChangesAdded
compare_take_change(Node *self, NodeGroup *g, NodePeer *from, const uint8_t *bytes, size_t len)
{
	DecodeStatus status;
	ChangesAdded how = group_add_change(self, g, bytes, len, self->config.skew_ms, &status);
	const ChangeEntry *entry;
	uint8_t		hash[CHANGE_HASH_BYTES];
	char		reason[160];
	char		id[NODE_NAME];

	if (how == CHANGES_INVALID && from != NULL)
	{
		snprintf(reason, sizeof reason, "a change of the columns of collection %s cannot be used: %s",
				 group_name(g, id), decode_status_text(status));
		node_refuse(self, from->curve, reason);
	}
	if (how != CHANGES_ADDED)
		return how;
	change_hash(&self->crypto, bytes, len, hash);
	entry = changes_find(&g->changes, hash);
	CORE_ASSERT(entry != NULL);
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
		{
			WireMessage m = {0};

			if (peer == from || !peer->greeted || !node_connected(peer) || group_role(self, g, peer) == GRANT_NOBODY)
				continue;
			put_change(&m, entry);
			send(self, g, peer, &m);
		}
	return how;
}

/* Those of a member's message. */
static void
take_changes(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	if (group_role(self, g, from) == GRANT_NOBODY)
		return;
	for (int i = 0; i < m->grants.n_changes; i++)
		/* its sender could have verified it: no more signatures of this message are */
		if (compare_take_change(self, g, from, m->grants.change[i].bytes, m->grants.change[i].len) == CHANGES_INVALID)
			break;
}

void
compare_end(Node *self, NodeGroup *g)
{
	g->compare.active = false;
	g->compare_ms = self->now.tick_ms + node_jittered(self, COMPARE_MS);
}

/* Our own last revocation of ourselves; NULL: there is none, as we were no member any more. */
static const MembershipEntry *
own_leave(const Node *self, const NodeGroup *g)
{
	for (int i = 0; i < g->membership.n; i++)
	{
		const Grant *grant = &g->membership.entry[i]->grant;

		if (grant->kind == GRANT_REVOCATION && memcmp(grant->member, self->key, CORE_KEY_BYTES) == 0 &&
			memcmp(grant->issuer, self->key, CORE_KEY_BYTES) == 0)
			return g->membership.entry[i];
	}
	return NULL;
}

/* The bytes of these, which fit into a message. */
static int
entry_bytes(const MembershipEntry *const *entry, int n, const uint8_t **out)
{
	_Static_assert(REASONS_MAX <= WIRE_GRANTS, "all fit into a message");
	for (int i = 0; i < n; i++)
		out[i] = entry[i]->bytes;
	return n;
}

/*
 * What a node that leaves tells, to out[WIRE_GRANTS]: the newest revocations that count, for
 * others may not have heard of them and hear nothing more of it, and its leave as the last.
 */
static int
put_parting(const Node *self, const NodeGroup *g, const uint8_t **out)
{
	const MembershipEntry *leave = own_leave(self, g);
	const MembershipEntry *newest[WIRE_GRANTS];
	int			n = 0;

	for (int i = 0; i < g->membership.n; i++)
	{
		const MembershipEntry *entry = g->membership.entry[i];
		int			at = n;

		if (entry == leave || entry->grant.kind != GRANT_REVOCATION || !entry->counts)
			continue;
		while (at > 0 && newest[at - 1]->grant.issued_ms < entry->grant.issued_ms)
			at--;
		if (at == WIRE_GRANTS - 1)
			continue;
		n += n < WIRE_GRANTS - 1;
		memmove(newest + at + 1, newest + at, (size_t) (n - 1 - at) * sizeof *newest);
		newest[at] = entry;
	}
	if (leave != NULL)
		newest[n++] = leave;
	return entry_bytes(newest, n, out);
}

void
compare_send_proof(Node *self, NodeGroup *g, NodePeer *to)
{
	const MembershipEntry *entry[REASONS_MAX];
	const uint8_t *statement[WIRE_GRANTS];

	compare_send(self, g, to, statement,
				 entry_bytes(entry, membership_proof(&g->membership, self->key, entry), statement));
}

int
node_group_proof(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], uint8_t out[REASONS_MAX][GRANT_BYTES])
{
	NodeGroup  *g = group_by_root(self, root);
	const MembershipEntry *entry[REASONS_MAX];
	int			n;

	self->now = clock;
	if (g == NULL)
		return 0;
	(void) membership_role(&g->membership, self->key, clock.unix_ms);	/* evaluates */
	n = membership_proof(&g->membership, self->key, entry);
	for (int i = 0; i < n; i++)
		memcpy(out[i], entry[i]->bytes, GRANT_BYTES);
	return n;
}

bool
compare_alone(Node *self, NodeGroup *g, const NodePeer *besides)
{
	(void) membership_role(&g->membership, self->key, self->now.unix_ms);	/* evaluates */
	for (int i = 0; i < g->membership.n; i++)
	{
		const MembershipEntry *entry = g->membership.entry[i];

		if (entry->grant.kind == GRANT_MEMBER && memcmp(entry->grant.member, self->key, CORE_KEY_BYTES) != 0 &&
			(besides == NULL || memcmp(entry->grant.member, besides->record->key, CORE_KEY_BYTES) != 0) &&
			(entry->counts || membership_bereft(&g->membership, entry->grant.member, self->now.unix_ms)))
			return false;
	}
	return true;
}

void
compare_start(Node *self, NodeGroup *g)
{
	NodePeer   *chosen = NULL;
	const uint8_t *statement[WIRE_GRANTS];
	uint64_t	seen = 0;

	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && node_connected(peer) && group_concerns(self, g, peer->record->key) &&
				core_random_below(&self->random, ++seen) == 0)
				chosen = peer;
	compare_end(self, g);
	if (g->leaving)
		g->leave_told |= compare_alone(self, g, NULL);
	if (chosen == NULL)
		return;
	memcpy(g->compare.curve, chosen->curve, CORE_KEY_BYTES);
	g->compare.active = true;
	g->compare.cursor = 0;
	g->compare.change = 0;
	g->compare.sent = 0;
	g->compare.until_ms = self->now.tick_ms + COMPARE_LIMIT_MS;
	compare_send(self, g, chosen, statement, g->leaving ? put_parting(self, g, statement) : 0);
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
	oldest->change = 0;
	return oldest;
}

void
compare_receive(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	WireMessage answer = {.version = WIRE_VERSION_MAX, .type = WIRE_GRANTS_SYNC, .response = true,
	.request = m->request, .collection = g->id};
	const MembershipEntry *why[REASONS_MAX];
	GroupServe *serve;

	compare_take(self, g, from, m->grants.grant, m->grants.n);
	take_changes(self, g, from, m);
	put_fingerprints(g, &answer);
	if (group_role(self, g, from) == GRANT_NOBODY)
	{
		answer.grants.n = entry_bytes(why, membership_reasons(&g->membership, from->record->key, why), answer.grants.grant);
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
	if (!same_sets(g, m))
	{
		serve = serve_of(self, g, from->curve, true);
		/* all have been sent: the next request begins another comparison */
		serve->at_ms = put_next(g, &serve->cursor, &serve->change, &answer) ? self->now.tick_ms : 0;
	}
	node_answer(self, &answer);
}

static bool
among(const uint8_t *const *statement, int n, const MembershipEntry *entry)
{
	for (int i = 0; i < n; i++)
		if (memcmp(statement[i], entry->bytes, GRANT_BYTES) == 0)
			return true;
	return false;
}

/*
 * Does an answer show that its sender knows that we have left?  It has our leave or, where
 * we were no member any more, what made us none.
 */
static bool
knows_leave(const Node *self, const NodeGroup *g, const WireMessage *m)
{
	const MembershipEntry *leave = own_leave(self, g);
	const MembershipEntry *reason[REASONS_MAX];
	int			n;

	if (memcmp(m->grants.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES) == 0)
		return true;
	if (leave != NULL)
		return among(m->grants.grant, m->grants.n, leave);
	n = membership_reasons(&g->membership, self->key, reason);
	for (int i = 0; i < n; i++)
		if (reason[i]->grant.kind == GRANT_REVOCATION && among(m->grants.grant, m->grants.n, reason[i]))
			return true;
	return false;
}

/*
 * An error ends a comparison.  Whom we are no member for may not have heard of it, as when
 * who admitted us has forgotten it in a crash: it is told once, and so of our leave.
 */
static void
refused(Node *self, NodeGroup *g, NodePeer *from, uint16_t code)
{
	bool		comparing = g->compare.active && memcmp(g->compare.curve, from->curve, CORE_KEY_BYTES) == 0;

	if (code == WIRE_CODE_FORBIDDEN && comparing && g->compare.sent == 0 && (g->leaving || g->role != GRANT_NOBODY))
	{
		g->compare.sent = 1;
		g->compare.until_ms = self->now.tick_ms + COMPARE_LIMIT_MS;
		compare_send_proof(self, g, from);
		return;
	}
	if (g->leaving && code == WIRE_CODE_FORBIDDEN)
		g->leave_told |= comparing;
	/* it has left as well, so it tells nobody: others have to hear */
	else if (g->leaving && code == WIRE_CODE_UNKNOWN_COLLECTION)
		g->leave_told |= compare_alone(self, g, from);
	if (comparing)
		compare_end(self, g);
}

void
compare_answered(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	WireMessage ours = {0};

	if (m->type != WIRE_GRANTS_SYNC)
	{
		/* an error without a collection says that it has begun anew and does not know us, and nothing of this one */
		refused(self, g, from, m->type == WIRE_ERROR && kad_id_equal(&m->collection, &g->id) ? m->error.code : WIRE_CODE_BUSY);
		return;
	}
	compare_take(self, g, from, m->grants.grant, m->grants.n);
	take_changes(self, g, from, m);
	if (g->leaving && !g->leave_told && knows_leave(self, g, m))
	{
		g->leave_told = true;
		return;
	}
	if (!g->compare.active || memcmp(g->compare.curve, from->curve, CORE_KEY_BYTES) != 0)
		return;
	/* who is no member any more hears nothing more of the others */
	if (group_role(self, g, from) == GRANT_NOBODY ||
		same_sets(g, m) ||
		++g->compare.sent > COMPARE_MESSAGES)
	{
		compare_end(self, g);
		return;
	}
	if (!put_next(g, &g->compare.cursor, &g->compare.change, &ours) && m->grants.n + m->grants.n_changes == 0)
		compare_end(self, g);
	else
	{
		g->compare.until_ms = self->now.tick_ms + COMPARE_LIMIT_MS;
		send(self, g, from, &ours);
	}
}
