/*
 * node_group.c
 *	  The collections that a node is a member of: their statements, their
 *	  mesh, who is invited, admitted and evicted.
 *
 * Statements spread in two ways: a new one is pushed to the members that are
 * connected, and each of these pushes on what it did not have; and every half
 * minute or so two members compare fingerprints and, where they differ, send
 * each other all they hold, in the order of depth.
 *
 * Who is connected is found by the collection's provider records and, where
 * these lead to nobody, by looking for a member by its id.
 */
#include "core/net/node_private.h"

#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

#define COMPARE_MS 30000		/* and up to as much again */
#define COMPARE_SOON_MS 2000
#define COMPARE_LIMIT_MS 20000
#define COMPARE_MESSAGES 160	/* enough for MEMBERSHIP_ROOM both ways */
#define SERVE_MS 10000
#define FIND_MS 600000
#define FIND_AGAIN_MS 15000		/* while fewer members are connected than the mesh wants */
#define FIND_LAST_MS 120000
#define PIN_MS 5000
#define JOIN_MS 15000
#define JOIN_GREET_MS 5000		/* until its addresses are tried again; of several joins by one key ... */
#define JOIN_TURN_MS 500		/* ... each in turn, so much after another */
#define PRUNE_STRANGER_S 60
#define KEPT_SKEW_MS (INT64_C(100) * 366 * 86400000)	/* of statements that come from our own disk */

static void refresh(Node *self, NodeGroup *g);
static void push(Node *self, NodeGroup *g, const uint8_t *const *statements, int n, const NodePeer *except);

static int64_t
jittered(Node *self, int64_t ms)
{
	return ms + (int64_t) core_random_below(&self->random, (uint64_t) ms);
}

static NodeGroup *
by_tag(const Node *self, uint32_t tag)
{
	for (int i = 0; i < self->n_groups && tag != 0; i++)
		if (self->group[i]->tag == tag && !self->group[i]->leaving)
			return self->group[i];
	return NULL;
}

static NodeGroup *
by_root(const Node *self, const uint8_t *root)
{
	for (int i = 0; i < self->n_groups; i++)
		if (memcmp(self->group[i]->membership.root, root, CORE_KEY_BYTES) == 0)
			return self->group[i];
	return NULL;
}

NodeGroup *
group_find(const Node *self, const KadId *id)
{
	for (int i = 0; i < self->n_groups; i++)
		if (kad_id_equal(&self->group[i]->id, id))
			return self->group[i];
	return NULL;
}

static const char *
name_of(const NodeGroup *g, char out[NODE_NAME])
{
	if (g->name[0] != '\0')
		return g->name;
	return node_short_id(&g->id, out);
}

/*
 * How many statements beside leaves a collection may hold now.  An owner's may become
 * more as long as all of its collections hold fewer than are free; then each stays
 * as large as it is, so that what goes before others still has room in it, and a few
 * it may always have.
 */
static int
statements_limit(const Node *self, const NodeGroup *g)
{
	int			held = g->membership.n - g->membership.n_leaves;
	int			free = self->max_statements;
	int			mine = 0;

	for (int i = 0; i < self->n_groups; i++)
	{
		const NodeGroup *other = self->group[i];
		int			n = other->membership.n - other->membership.n_leaves;

		free -= n;
		if (other->owner == g->owner)
			mine += n;
	}
	if (g->owner == NODE_NO_SHARE ? free > 0 : mine < free - self->max_statements / NODE_STATEMENTS_ASIDE)
		return MEMBERSHIP_LIMIT;
	return held > NODE_STATEMENTS_EACH ? held : NODE_STATEMENTS_EACH;
}

/* Take a statement; true when it is new. */
static bool
add(Node *self, NodeGroup *g, const uint8_t *statement, MembershipAdded *how, DecodeStatus *status)
{
	g->membership.limit = statements_limit(self, g);
	*how = membership_add(&g->membership, statement, GRANT_BYTES, self->now.unix_ms, self->config.skew_ms, status);
	return *how == MEMBERSHIP_ADDED;
}

static GrantRole
role_of(Node *self, NodeGroup *g, const NodePeer *peer)
{
	if (peer->record == NULL)
		return GRANT_NOBODY;
	return membership_role(&g->membership, peer->record->key, self->now.unix_ms);
}

static NodePeer *
peer_of(Node *self, const NodeRecord *record)
{
	return node_peer(self, record->curve_key, false);
}

/* ---- the mesh ---- */

static void
emit(void *context, const MeshAction *action)
{
	void	  **both = context;
	Node	   *self = both[0];
	NodeGroup  *g = both[1];
	NodePeer   *peer = peer_of(self, action->to);
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = action->graft ? WIRE_GRAFT : WIRE_PRUNE, .collection = g->id};

	if (peer == NULL)
		return;
	m.backoff_s = action->backoff_s;
	for (int i = 0; i < action->n_exchange && i < WIRE_PRUNE_RECORDS; i++)
		m.record[m.n_records++] = action->exchange[i];
	node_send(self, peer, &m);
}

static void
heartbeat(Node *self, NodeGroup *g)
{
	void	   *both[2] = {self, g};

	/* whose role has ended, or whose link, is no peer of the mesh */
	for (int i = g->mesh.n - 1; i >= 0; i--)
	{
		NodeRecord *record = g->mesh.peer[i].record;
		NodePeer   *peer = peer_of(self, record);

		if (peer == NULL || !peer->greeted || role_of(self, g, peer) == GRANT_NOBODY)
		{
			KadId		id = record->id;

			mesh_gone(&g->mesh, &id);
		}
	}
	mesh_heartbeat(&g->mesh, self->now.tick_ms, emit, both);
}

/* Links of any mesh stay; others may make room. */
static void
pin_links(Node *self)
{
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
		{
			bool		inside = false;

			if (peer->record == NULL || !node_connected(peer))
				continue;
			for (int k = 0; k < self->n_groups && !inside; k++)
				inside = mesh_inside(&self->group[k]->mesh, &peer->record->id);
			self->links.pin(self->links.self, peer->curve, inside);
		}
}

/* ---- statements ---- */

static void
send_statements(Node *self, NodeGroup *g, NodePeer *to, const uint8_t *const *statements, int n)
{
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_GRANTS_SYNC, .collection = g->id, .n_grants = n};

	memcpy(m.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES);
	for (int i = 0; i < n; i++)
		m.grant[i] = statements[i];
	m.request = node_call(self, CALL_GRANTS, to->curve, &g->id, NODE_CALL_TIMEOUT_MS);
	/* told all the same: what the answer would say is said by the next comparison, too */
	if (m.request == 0)
		m.request = node_request(self);
	node_send(self, to, &m);
}

/* To the members that are connected. */
static void
push(Node *self, NodeGroup *g, const uint8_t *const *statements, int n, const NodePeer *except)
{
	for (int i = 0; i < NODE_PEER_SLOTS && n > 0; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer != except && peer->greeted && node_connected(peer) &&
				role_of(self, g, peer) != GRANT_NOBODY)
				send_statements(self, g, peer, statements, n);
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

static void
end_compare(Node *self, NodeGroup *g)
{
	g->compare.active = false;
	g->compare_ms = self->now.tick_ms + jittered(self, COMPARE_MS);
}

static void
begin_compare(Node *self, NodeGroup *g)
{
	NodePeer   *chosen = NULL;
	uint64_t	seen = 0;

	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && node_connected(peer) && role_of(self, g, peer) != GRANT_NOBODY &&
				core_random_below(&self->random, ++seen) == 0)
				chosen = peer;
	end_compare(self, g);
	if (chosen == NULL)
		return;
	memcpy(g->compare.curve, chosen->curve, CORE_KEY_BYTES);
	g->compare.active = true;
	g->compare.cursor = 0;
	g->compare.sent = 0;
	g->compare.until_ms = self->now.tick_ms + COMPARE_LIMIT_MS;
	send_statements(self, g, chosen, NULL, 0);
}

/* Take what came; what was new is pushed on.  Returns how many were new. */
static int
take_statements(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	const uint8_t *fresh[WIRE_GRANTS];
	int			n = 0;

	for (int i = 0; i < m->n_grants; i++)
	{
		MembershipAdded how;
		DecodeStatus status;

		if (add(self, g, m->grant[i], &how, &status))
			fresh[n++] = m->grant[i];
		else if (how == MEMBERSHIP_INVALID)
		{
			char		reason[160];
			char		id[NODE_NAME];

			snprintf(reason, sizeof reason, "a statement about collection %s cannot be used: %s",
					 name_of(g, id), decode_status_text(status));
			node_refuse(self, from->curve, reason);
			/* its sender could have checked: the rest is not worth a signature */
			if (status == DECODE_SIGNATURE)
				break;
		}
	}
	if (n > 0)
	{
		refresh(self, g);
		push(self, g, fresh, n, from);
	}
	return n;
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

/* What was said against this key: it may know that. */
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

static void
receive_grants(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	WireMessage answer = {.version = WIRE_VERSION_MAX, .type = WIRE_GRANTS_SYNC, .response = true,
	.request = m->request, .collection = g->id};
	bool		same;
	GroupServe *serve;

	take_statements(self, g, from, m);
	memcpy(answer.fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES);
	if (role_of(self, g, from) == GRANT_NOBODY)
	{
		answer.n_grants = revocations_of(g, from->record->key, answer.grant);
		if (answer.n_grants > 0)
			node_answer(self, &answer);
		else
		{
			char		reason[128];
			char		id[NODE_NAME];

			snprintf(reason, sizeof reason, "it is no member of collection %s", name_of(g, id));
			node_refuse(self, from->curve, reason);
			node_answer_error(self, m->request, &g->id, WIRE_CODE_FORBIDDEN, "not a member");
		}
		return;
	}
	same = memcmp(m->fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES) == 0;
	if (!same)
	{
		serve = serve_of(self, g, from->curve, true);
		answer.n_grants = next_statements(g, &serve->cursor, answer.grant);
		/* all told: what comes after this is another comparison */
		serve->at_ms = answer.n_grants == 0 ? 0 : self->now.tick_ms;
	}
	node_answer(self, &answer);
}

static void
compare_answered(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	const uint8_t *ours[WIRE_GRANTS];
	int			n;

	if (g->leaving && m->type == WIRE_GRANTS_SYNC && !g->leave_told)
	{
		g->leave_told = true;
		return;
	}
	if (m->type != WIRE_GRANTS_SYNC)
	{
		if (g->leaving)
			g->leave_told = true;
		if (g->compare.active && memcmp(g->compare.curve, from->curve, CORE_KEY_BYTES) == 0)
			end_compare(self, g);
		return;
	}
	take_statements(self, g, from, m);
	if (!g->compare.active || memcmp(g->compare.curve, from->curve, CORE_KEY_BYTES) != 0)
		return;
	if (memcmp(m->fingerprint, g->membership.fingerprint, GRANT_HASH_BYTES) == 0 ||
		++g->compare.sent > COMPARE_MESSAGES)
	{
		end_compare(self, g);
		return;
	}
	n = next_statements(g, &g->compare.cursor, ours);
	if (n == 0 && m->n_grants == 0)
		end_compare(self, g);
	else
	{
		g->compare.until_ms = self->now.tick_ms + COMPARE_LIMIT_MS;
		send_statements(self, g, from, ours, n);
	}
}

/* ---- membership ---- */

/* Members beside us, by their grants that count; each once. */
static int
list_members(Node *self, NodeGroup *g, const Grant **out, int room)
{
	int			n = 0;

	(void) membership_role(&g->membership, self->key, self->now.unix_ms);	/* evaluates */
	for (int i = 0; i < g->membership.n; i++)
	{
		const MembershipEntry *entry = g->membership.entry[i];

		if (!entry->counts || entry->grant.kind != GRANT_MEMBER)
			continue;
		/* sorted by member: of several grants the greatest role */
		if (n > 0 && memcmp(out[n - 1]->member, entry->grant.member, CORE_KEY_BYTES) == 0)
		{
			if (entry->grant.role > out[n - 1]->role)
				out[n - 1] = &entry->grant;
		}
		else if (n < room)
			out[n++] = &entry->grant;
	}
	return n;
}

/* Follow what the statements say of this node, and whether it has the table. */
static void
refresh(Node *self, NodeGroup *g)
{
	GrantRole	role = membership_role(&g->membership, self->key, self->now.unix_ms);
	bool		hold = role != GRANT_NOBODY && g->tag != 0 && !g->leaving && !self->cloned;
	char		name[NODE_NAME];

	if (g->role != GRANT_NOBODY && role == GRANT_NOBODY && !g->leaving)
	{
		node_say(self, NODE_WARNING, "this node is no member of collection %s any more: it was evicted, or its grant has expired",
				 name_of(g, name));
		{
			void	   *both[2] = {self, g};

			mesh_leave(&g->mesh, self->now.tick_ms, emit, both);
		}
	}
	g->role = role;
	if (hold != g->held && kad_node_hold(self->kad, self->now, &g->id, hold))
		g->held = hold;
	for (int i = 0; i < NODE_PEER_SLOTS && role != GRANT_NOBODY && !g->leaving; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && node_connected(peer) && role_of(self, g, peer) != GRANT_NOBODY)
				mesh_peer(&g->mesh, peer->record);
}

void
group_announce_all(Node *self)
{
	for (int i = 0; i < self->n_groups; i++)
		refresh(self, self->group[i]);
}

/* Sign a statement, take it, tell the others. */
static NodeStatus
say(Node *self, NodeGroup *g, const uint8_t *secret, const Grant *grant, uint8_t *out)
{
	const uint8_t *statements[1] = {out};
	MembershipAdded how;
	DecodeStatus status = grant_sign(&self->crypto, secret, grant, out);

	if (status != DECODE_OK)
		return status == DECODE_VALUE ? NODE_FORBIDDEN : NODE_NO_MEMORY;
	if (!add(self, g, out, &how, &status) && how != MEMBERSHIP_KNOWN)
		return how != MEMBERSHIP_FULL ? NODE_FORBIDDEN :
			g->membership.limit < MEMBERSHIP_LIMIT ? NODE_SHARE_FULL : NODE_FULL;
	push(self, g, statements, 1, NULL);
	refresh(self, g);
	return NODE_OK;
}

static NodeGroup *
new_group(Node *self, const uint8_t *root, uint32_t tag, const char *name)
{
	NodeGroup  *g;

	if (self->n_groups == NODE_COLLECTIONS || (g = core_alloc(&self->memory, sizeof *g)) == NULL)
		return NULL;
	memset(g, 0, sizeof *g);
	membership_init(&g->membership, &self->memory, &self->crypto, root);
	mesh_init(&g->mesh, &self->pool, &self->random, self->config.mesh_degree, self->now.tick_ms);
	g->id = g->membership.collection;
	g->tag = tag;
	snprintf(g->name, sizeof g->name, "%s", name);
	g->compare_ms = self->now.tick_ms + jittered(self, COMPARE_SOON_MS);
	g->find_ms = self->now.tick_ms + jittered(self, COMPARE_SOON_MS);
	g->retry_ms = FIND_AGAIN_MS;
	self->group[self->n_groups++] = g;
	return g;
}

static void
free_group(Node *self, int i)
{
	NodeGroup  *g = self->group[i];

	mesh_reset(&g->mesh);
	membership_reset(&g->membership);
	bytes_wipe(g->root_secret, sizeof g->root_secret);
	core_free(&self->memory, g);
	self->group[i] = self->group[--self->n_groups];
}

void
group_reset(Node *self)
{
	while (self->n_groups > 0)
		free_group(self, self->n_groups - 1);
	bytes_wipe(self->join, sizeof self->join);
}

NodeStatus
node_group_load(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], const uint8_t *secret,
				uint32_t tag, const char *name, bool leaving)
{
	NodeGroup  *g;

	self->now = clock;
	if (by_root(self, root) != NULL)
		return NODE_OK;
	g = new_group(self, root, tag, name);
	if (g == NULL)
		return NODE_NO_MEMORY;
	g->leaving = leaving;
	if (secret != NULL)
	{
		g->has_root = true;
		memcpy(g->root_secret, secret, CORE_SECRET_BYTES);
	}
	return NODE_OK;
}

bool
node_group_add(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], const uint8_t *statement)
{
	NodeGroup  *g = by_root(self, root);
	DecodeStatus status;

	self->now = clock;
	if (g == NULL)
		return false;
	/* it was taken before: neither a clock that is wrong today must cost it, nor what others hold by now */
	g->membership.limit = MEMBERSHIP_LIMIT;
	return membership_add(&g->membership, statement, GRANT_BYTES, clock.unix_ms, KEPT_SKEW_MS, &status) == MEMBERSHIP_ADDED;
}

void
node_group_loaded(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES])
{
	NodeGroup  *g = by_root(self, root);

	self->now = clock;
	if (g == NULL)
		return;
	g->role = membership_role(&g->membership, self->key, clock.unix_ms);
	refresh(self, g);
}

int
node_group_count(const Node *self)
{
	return self->n_groups;
}

bool
node_group_unsaved(const Node *self, int i, const uint8_t **root)
{
	*root = self->group[i]->membership.root;
	return self->group[i]->saved != self->group[i]->membership.changes;
}

int
node_group_statements(const Node *self, int i, const uint8_t **out, int room)
{
	const Membership *membership = &self->group[i]->membership;
	int			n = membership->n < room ? membership->n : room;

	for (int k = 0; k < n; k++)
		out[k] = membership->entry[k]->bytes;
	return n;
}

void
node_groups_saved(Node *self)
{
	for (int i = 0; i < self->n_groups; i++)
		self->group[i]->saved = self->group[i]->membership.changes;
}

void
node_group_owner(Node *self, const uint8_t root[CORE_KEY_BYTES], uint32_t owner)
{
	NodeGroup  *g = by_root(self, root);

	if (g != NULL)
		g->owner = owner;
}

void
node_group_bind(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], uint32_t tag, const char *name,
				const uint8_t *description, size_t len)
{
	NodeGroup  *g = by_root(self, root);

	self->now = clock;
	if (g == NULL)
		return;
	g->tag = tag;
	if (name[0] != '\0')
		snprintf(g->name, sizeof g->name, "%s", name);
	if (description != NULL)
	{
		g->description_len = len <= sizeof g->description ? len : 0;
		memcpy(g->description, description, g->description_len);
	}
	refresh(self, g);
}

void
node_group_forget(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES])
{
	self->now = clock;
	for (int i = 0; i < self->n_groups; i++)
		if (memcmp(self->group[i]->membership.root, root, CORE_KEY_BYTES) == 0)
		{
			void	   *both[2] = {self, self->group[i]};

			mesh_leave(&self->group[i]->mesh, clock.tick_ms, emit, both);
			if (self->group[i]->held)
				(void) kad_node_hold(self->kad, clock, &self->group[i]->id, false);
			free_group(self, i);
			return;
		}
}

NodeStatus
node_share(Node *self, CoreClock clock, const uint8_t seed[CORE_SEED_BYTES], uint32_t tag, const char *name,
		   uint8_t root[CORE_KEY_BYTES])
{
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		statement[GRANT_BYTES];
	NodeGroup  *g;
	Grant		grant;
	NodeStatus	status;

	self->now = clock;
	if (by_tag(self, tag) != NULL)
		return NODE_SELF;
	if (!self->crypto.key_pair(self->crypto.context, seed, root, secret))
		return NODE_NO_MEMORY;
	g = new_group(self, root, tag, name);
	if (g == NULL)
	{
		bytes_wipe(secret, sizeof secret);
		return NODE_NO_MEMORY;
	}
	g->has_root = true;
	memcpy(g->root_secret, secret, sizeof secret);
	bytes_wipe(secret, sizeof secret);
	status = membership_prepare(&g->membership, GRANT_MEMBER, GRANT_ADMIN, root, self->key, clock.unix_ms, 0, &grant) ?
		say(self, g, g->root_secret, &grant, statement) : NODE_FORBIDDEN;
	if (status != NODE_OK)
		node_group_forget(self, clock, root);
	return status;
}

NodeStatus
node_invite(Node *self, CoreClock clock, uint32_t tag, GrantRole role, int64_t life_ms, char *text)
{
	NodeGroup  *g = by_tag(self, tag);
	Invitation	invitation;
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	Grant		grant;
	NodeStatus	status;

	self->now = clock;
	if (g == NULL)
		return NODE_NOT_SHARED;
	if (self->cloned)
		return NODE_CLONED;
	memset(&invitation, 0, sizeof invitation);
	self->random.fill(self->random.context, invitation.seed, sizeof invitation.seed);
	if (!self->crypto.key_pair(self->crypto.context, invitation.seed, key, secret))
		return NODE_NO_MEMORY;
	bytes_wipe(secret, sizeof secret);
	if (!membership_prepare(&g->membership, GRANT_INVITATION, role, self->key, key, clock.unix_ms,
							life_ms == 0 ? 0 : clock.unix_ms + life_ms, &grant))
		return NODE_FORBIDDEN;
	status = say(self, g, self->config.secret, &grant, invitation.statement);
	if (status != NODE_OK)
		return status;
	invitation.network = self->network;
	invitation.node = self->id;
	memcpy(invitation.curve_key, self->config.curve_public, CORE_KEY_BYTES);
	invitation.n_addresses = self->n_addresses;
	memcpy(invitation.addresses, self->addresses, sizeof invitation.addresses);
	status = invitation_text(&self->crypto, &invitation, text) ? NODE_OK : NODE_NO_ADDRESS;
	bytes_wipe(&invitation, sizeof invitation);
	return status;
}

NodeStatus
node_leave(Node *self, CoreClock clock, uint32_t tag)
{
	NodeGroup  *g = by_tag(self, tag);
	const Grant *others[2];
	uint8_t		statement[GRANT_BYTES];
	Grant		grant;
	NodeStatus	status = NODE_OK;
	void	   *both[2] = {self, g};

	self->now = clock;
	if (g == NULL)
		return NODE_NOT_SHARED;
	if (membership_role(&g->membership, self->key, clock.unix_ms) != GRANT_NOBODY)
	{
		if (!membership_prepare(&g->membership, GRANT_REVOCATION, GRANT_NOBODY, self->key, self->key,
								clock.unix_ms, 0, &grant))
			return NODE_FORBIDDEN;
		g->leaving = true;
		status = say(self, g, self->config.secret, &grant, statement);
	}
	g->leaving = true;
	mesh_leave(&g->mesh, clock.tick_ms, emit, both);
	refresh(self, g);
	/* nobody is left to be told */
	if (list_members(self, g, others, 2) == 0)
		g->leave_told = true;
	return status;
}

NodeStatus
node_evict(Node *self, CoreClock clock, uint32_t tag, const char *prefix, KadId *lost, int room, int *n_lost)
{
	NodeGroup  *g = by_tag(self, tag);
	const Grant **members;
	const Grant *victim = NULL;
	uint8_t		key[CORE_KEY_BYTES];
	KadId		victim_id;
	uint8_t		statement[GRANT_BYTES];
	const uint8_t *statements[1] = {statement};
	KadId	   *before;
	uint8_t		(*keys)[CORE_KEY_BYTES];
	const uint8_t *secret = self->config.secret;
	const uint8_t *issuer = self->key;
	Grant		grant;
	NodePeer   *peer;
	int			n;
	int			matches = 0;
	int			depth;
	int			least = GRANT_DEPTH_MAX + 1;
	NodeStatus	status;

	self->now = clock;
	*n_lost = 0;
	if (g == NULL)
		return NODE_NOT_SHARED;
	members = core_alloc(&self->memory, MEMBERSHIP_LIMIT * sizeof *members);
	before = core_alloc(&self->memory, MEMBERSHIP_LIMIT * sizeof *before);
	keys = core_alloc(&self->memory, MEMBERSHIP_LIMIT * sizeof *keys);
	if (members == NULL || before == NULL || keys == NULL)
	{
		status = NODE_NO_MEMORY;
		goto done;
	}
	n = list_members(self, g, members, MEMBERSHIP_LIMIT);
	for (int i = 0; i < n; i++)
	{
		char		text[65];

		before[i] = kad_id_of_key(&self->crypto, members[i]->member);
		memcpy(keys[i], members[i]->member, CORE_KEY_BYTES);
		kad_id_text(&before[i], text);
		if (strncmp(text, prefix, strlen(prefix)) == 0)
		{
			matches++;
			victim = members[i];
			victim_id = before[i];
		}
	}
	if (matches != 1)
	{
		status = NODE_UNKNOWN;
		goto done;
	}
	if (memcmp(victim->member, self->key, CORE_KEY_BYTES) == 0)
	{
		status = NODE_SELF;
		goto done;
	}
	memcpy(key, victim->member, CORE_KEY_BYTES);
	/* a revocation reaches grants of issuers as near to the root as ours, or farther */
	depth = membership_admin_depth(&g->membership, self->key, clock.unix_ms);
	for (int i = 0; i < g->membership.n; i++)
	{
		const MembershipEntry *entry = g->membership.entry[i];

		if (entry->counts && entry->grant.kind == GRANT_MEMBER &&
			memcmp(entry->grant.member, key, CORE_KEY_BYTES) == 0 && entry->grant.depth - 1 < least)
			least = entry->grant.depth - 1;
	}
	if (depth < 0 || depth > least)
	{
		if (!g->has_root)
		{
			status = depth < 0 ? NODE_FORBIDDEN : NODE_OUTRANKED;
			goto done;
		}
		secret = g->root_secret;
		issuer = g->membership.root;
	}
	if (!membership_prepare(&g->membership, GRANT_REVOCATION, GRANT_NOBODY, issuer, key, clock.unix_ms, 0, &grant))
	{
		status = NODE_FORBIDDEN;
		goto done;
	}
	status = say(self, g, secret, &grant, statement);
	if (status != NODE_OK)
		goto done;
	for (int i = 0; i < n; i++)
		if (membership_role(&g->membership, keys[i], clock.unix_ms) == GRANT_NOBODY)
		{
			if (*n_lost < room)
				lost[(*n_lost)++] = before[i];
			/* they are told, too */
			for (int s = 0; s < NODE_PEER_SLOTS; s++)
				for (peer = self->peer[s]; peer != NULL; peer = peer->next)
					if (peer->greeted && kad_id_equal(&peer->record->id, &before[i]) && node_connected(peer))
						send_statements(self, g, peer, statements, 1);
			mesh_gone(&g->mesh, &before[i]);
		}
	(void) victim_id;
done:
	core_free(&self->memory, members);
	core_free(&self->memory, before);
	core_free(&self->memory, keys);
	return status;
}

int
node_members(Node *self, CoreClock clock, uint32_t tag, NodeMember *out, int room)
{
	NodeGroup  *g = by_tag(self, tag);
	const Grant **members;
	int			n;

	self->now = clock;
	if (g == NULL || (members = core_alloc(&self->memory, MEMBERSHIP_LIMIT * sizeof *members)) == NULL)
		return -1;
	n = list_members(self, g, members, MEMBERSHIP_LIMIT);
	if (n > room)
		n = room;
	for (int i = 0; i < n; i++)
	{
		const Grant *grant = members[i];
		NodeMember *member = &out[i];

		memset(member, 0, sizeof *member);
		member->id = kad_id_of_key(&self->crypto, grant->member);
		member->role = (GrantRole) grant->role;
		member->depth = grant->depth;
		member->admitted_by = kad_id_of_key(&self->crypto, grant->issuer);
		member->since_ms = grant->issued_ms;
		member->expires_ms = grant->expires_ms;
		for (int s = 0; s < NODE_PEER_SLOTS; s++)
			for (NodePeer *peer = self->peer[s]; peer != NULL; peer = peer->next)
				if (peer->greeted && kad_id_equal(&peer->record->id, &member->id))
					member->connected |= node_connected(peer);
		member->meshed = mesh_inside(&g->mesh, &member->id);
	}
	core_free(&self->memory, members);
	return n;
}

bool
node_collection_id(const Node *self, uint32_t tag, KadId *id)
{
	const NodeGroup *g = by_tag(self, tag);

	if (g != NULL)
		*id = g->id;
	return g != NULL;
}

bool
node_collection_described(const Node *self, uint32_t tag)
{
	const NodeGroup *g = by_tag(self, tag);

	return g != NULL && g->description_len > 0;
}

/* ---- invitations ---- */

static WireCode
refuse_redeem(Node *self, NodePeer *from, const NodeGroup *g, WireCode code, const char *what)
{
	char		reason[160];
	char		id[NODE_NAME];

	snprintf(reason, sizeof reason, "an invitation to collection %s cannot be redeemed: %s", name_of(g, id), what);
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

static void
receive_redeem(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *m)
{
	WireMessage answer = {.version = WIRE_VERSION_MAX, .type = WIRE_REDEEM, .response = true,
	.request = m->request, .collection = g->id};
	Redemption	redemption;
	DecodeStatus status;
	MembershipAdded how;
	Grant		grant;
	uint8_t		statement[GRANT_BYTES];
	WireCode	code = WIRE_CODE_OK;

	status = redemption_decode(&self->crypto, m->redemption, REDEMPTION_BYTES, self->now.unix_ms,
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
	add(self, g, m->grant[0], &how, &status);
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
			if (self->cloned)
				code = WIRE_CODE_BUSY;
			else if (say(self, g, self->config.secret, &grant, statement) != NODE_OK)
				code = WIRE_CODE_FORBIDDEN;
			else
			{
				KadId		id = kad_id_of_key(&self->crypto, redemption.member);
				char		short_id[13];
				char		name[NODE_NAME];

				node_say(self, NODE_LOG, "node %s has joined collection %s by an invitation",
						 node_short_id(&id, short_id), name_of(g, name));
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
		answer.n_grants = chain_of(self, g, redemption.member, answer.grant, WIRE_GRANTS);
		answer.text = (const char *) g->description;
		answer.text_len = g->description_len;
		if (answer.n_grants > 0)
			node_answer(self, &answer);
		else
			code = WIRE_CODE_FORBIDDEN;
	}
	if (code != WIRE_CODE_OK)
		node_answer_error(self, m->request, &g->id, code, NULL);
	else if (from->record != NULL && role_of(self, g, from) != GRANT_NOBODY)
		mesh_peer(&g->mesh, from->record);
}

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
redeem(Node *self, NodeJoin *join, NodePeer *peer)
{
	uint8_t		redemption[REDEMPTION_BYTES];
	const Invitation *invitation = &join->invitation;
	KadId		collection = kad_id_of_key(&self->crypto, invitation->grant.root);
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_REDEEM, .collection = collection, .n_grants = 1};

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
	m.grant[0] = invitation->statement;
	m.redemption = redemption;
	m.request = node_call(self, CALL_REDEEM, peer->curve, &collection, JOIN_MS);
	if (m.request == 0 || !node_send(self, peer, &m))
	{
		end_join(self, join, NODE_BUSY, NULL, NULL, NULL, 0);
		return;
	}
	join->request = m.request;
}

/* Has the node to which it leads not been greeted just now?  Only the answers to the last two HELLOs count. */
static bool
greeting_rests(Node *self, const NodeJoin *join)
{
	const NodePeer *peer = node_peer(self, join->invitation.curve_key, false);

	return peer == NULL || peer->hello_ms == 0 || self->now.tick_ms - peer->hello_ms >= JOIN_TURN_MS;
}

/* Links are shared by key, so the addresses of one join may have taken the place of another's. */
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
	join->active = true;
	join->tag = tag;
	join->until_ms = clock.tick_ms + JOIN_MS;
	if (peer->greeted && peer->welcomed && node_connected(peer))
		redeem(self, join, peer);
	else
		try_addresses(self, join);
	return NODE_OK;
}

static void
redeem_answered(Node *self, NodePeer *from, uint64_t request, const WireMessage *m)
{
	NodeJoin   *join = NULL;
	NodeGroup  *g;
	char		text[WIRE_TEXT_MAX + 64];
	bool		created;

	for (int i = 0; i < NODE_JOINS; i++)
		if (leads_to(&self->join[i], from->curve) && self->join[i].request == request)
			join = &self->join[i];
	if (join == NULL)
		return;
	if (m->type == WIRE_ERROR)
	{
		NodeStatus	status = m->code == WIRE_CODE_INVITATION_USED ? NODE_USED :
			m->code == WIRE_CODE_INVITATION_VOID || m->code == WIRE_CODE_EXPIRED ? NODE_VOID :
			m->code == WIRE_CODE_UNKNOWN_COLLECTION ? NODE_NOT_SHARED :
			m->code == WIRE_CODE_FORBIDDEN ? NODE_FORBIDDEN :
			m->code == WIRE_CODE_BUSY ? NODE_BUSY : NODE_REFUSED;

		snprintf(text, sizeof text, "code %u: %.*s", m->code, (int) m->text_len, m->text == NULL ? "" : m->text);
		end_join(self, join, status, text, NULL, NULL, 0);
		return;
	}
	g = by_root(self, join->invitation.grant.root);
	created = g == NULL;
	if (g == NULL)
		g = new_group(self, join->invitation.grant.root, 0, "");
	if (g == NULL)
	{
		end_join(self, join, NODE_NO_MEMORY, NULL, NULL, NULL, 0);
		return;
	}
	take_statements(self, g, from, m);
	if (membership_role(&g->membership, self->key, self->now.unix_ms) == GRANT_NOBODY)
	{
		if (created)
			node_group_forget(self, self->now, join->invitation.grant.root);
		end_join(self, join, NODE_REFUSED, "the answer does not make this node a member", NULL, NULL, 0);
		return;
	}
	g->leaving = g->leave_told = false;
	refresh(self, g);
	g->compare_ms = self->now.tick_ms;
	node_meet_record(self, self->now, from->record);
	end_join(self, join, NODE_OK, NULL, g, (const uint8_t *) m->text, m->text_len);
}

void
group_unreachable(Node *self, const uint8_t curve[CORE_KEY_BYTES])
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

/* ---- what comes ---- */

void
group_receive(Node *self, NodePeer *from, const WireMessage *m)
{
	NodeGroup  *g = group_find(self, &m->collection);
	void	   *both[2] = {self, g};
	WireMessage prune = {.version = WIRE_VERSION_MAX, .type = WIRE_PRUNE, .collection = m->collection,
	.backoff_s = PRUNE_STRANGER_S};
	char		reason[128];
	char		name[NODE_NAME];

	if (g == NULL || (g->leaving && m->type != WIRE_GRANTS_SYNC))
	{
		if (m->type == WIRE_GRAFT)
			node_send(self, from, &prune);
		node_answer_error(self, m->request, &m->collection, WIRE_CODE_UNKNOWN_COLLECTION, NULL);
		return;
	}
	switch (m->type)
	{
		case WIRE_GRANTS_SYNC:
			receive_grants(self, g, from, m);
			break;
		case WIRE_REDEEM:
			receive_redeem(self, g, from, m);
			break;
		case WIRE_GRAFT:
			if (role_of(self, g, from) == GRANT_NOBODY || g->role == GRANT_NOBODY)
			{
				if (g->role != GRANT_NOBODY)
				{
					snprintf(reason, sizeof reason, "it is no member of collection %s", name_of(g, name));
					node_refuse(self, from->curve, reason);
				}
				node_send(self, from, &prune);
				break;
			}
			mesh_peer(&g->mesh, from->record);
			mesh_grafted(&g->mesh, from->record, self->now.tick_ms, emit, both);
			break;
		case WIRE_PRUNE:
			mesh_pruned(&g->mesh, &from->record->id, m->backoff_s, self->now.tick_ms);
			for (int i = 0; i < m->n_records && g->mesh.n_inside < g->mesh.degree; i++)
			{
				NodePeer   *peer;

				if (kad_id_equal(&m->record[i]->id, &self->id) ||
					membership_role(&g->membership, m->record[i]->key, self->now.unix_ms) == GRANT_NOBODY)
					continue;
				peer = node_peer(self, m->record[i]->curve_key, true);
				if (peer != NULL && !node_connected(peer))
					node_greet(self, peer, m->record[i]->addresses, m->record[i]->n_addresses);
			}
			break;
	}
}

void
group_answered(Node *self, NodePeer *from, const NodeCall *call, const WireMessage *m)
{
	NodeGroup  *g = group_find(self, &call->collection);

	if (call->purpose == CALL_REDEEM)
		redeem_answered(self, from, call->request, m);
	else if (g != NULL && from->greeted)
		compare_answered(self, g, from, m);
}

void
group_call_failed(Node *self, const NodeCall *call)
{
	NodeGroup  *g = group_find(self, &call->collection);

	if (call->purpose == CALL_GRANTS && g != NULL && g->compare.active &&
		memcmp(g->compare.curve, call->curve, CORE_KEY_BYTES) == 0)
		end_compare(self, g);
}

/* A peer is heard from now on: a member of something, perhaps the one that invites us. */
void
group_greeted(Node *self, NodePeer *peer)
{
	for (int i = 0; i < NODE_JOINS && peer->welcomed; i++)
		if (leads_to(&self->join[i], peer->curve))
			redeem(self, &self->join[i], peer);
	for (int i = 0; i < self->n_groups; i++)
	{
		NodeGroup  *g = self->group[i];

		if (role_of(self, g, peer) == GRANT_NOBODY || !node_connected(peer))
			continue;
		if (!g->leaving && g->role != GRANT_NOBODY)
			mesh_peer(&g->mesh, peer->record);
		if (!g->compare.active && g->compare_ms > self->now.tick_ms + COMPARE_SOON_MS)
			g->compare_ms = self->now.tick_ms + jittered(self, COMPARE_SOON_MS / 2);
	}
}

void
group_gone(Node *self, const KadId *id)
{
	for (int i = 0; i < self->n_groups; i++)
		mesh_gone(&self->group[i]->mesh, id);
}

/* ---- finding members ---- */

static void
connect_to(Node *self, NodeRecord *record)
{
	NodePeer   *peer;

	if (kad_id_equal(&record->id, &self->id))
		return;
	peer = node_peer(self, record->curve_key, true);
	if (peer == NULL || (peer->welcomed && node_connected(peer)))
		return;
	(void) node_take_record(self, peer, record, false);
	node_greet(self, peer, record->addresses, record->n_addresses);
}

void
group_lookup_done(Node *self, const KadId *target, const KadLookup *lookup)
{
	NodeGroup  *g = group_find(self, target);
	NodeRecord *near[1];

	if (g == NULL)
	{
		if (kad_lookup_result(lookup, near, 1, NULL) == 1 && kad_id_equal(&near[0]->id, target))
			connect_to(self, near[0]);
		return;
	}
	for (int i = 0; i < lookup->n_providers; i++)
		if (!lookup->provider[i]->withdrawn &&
			membership_role(&g->membership, lookup->provider[i]->record->key, self->now.unix_ms) != GRANT_NOBODY)
			connect_to(self, lookup->provider[i]->record);
}

/* Look for members when fewer are connected than there could be. */
static void
find_members(Node *self, NodeGroup *g)
{
	int			others;
	const uint8_t *pick = membership_pick(&g->membership, self->key, &self->random, self->now.unix_ms, &others);
	int			wanted;

	wanted = others < self->config.mesh_degree ? others : self->config.mesh_degree;
	g->find_ms = self->now.tick_ms + jittered(self, FIND_MS);
	if (g->mesh.n >= wanted && !(g->leaving && g->mesh.n == 0))
	{
		g->retry_ms = FIND_AGAIN_MS;
		return;
	}
	g->find_ms = self->now.tick_ms + jittered(self, g->retry_ms);
	g->retry_ms = g->retry_ms >= FIND_LAST_MS / 2 ? FIND_LAST_MS : 2 * g->retry_ms;
	(void) node_start_lookup(self, &g->id, true, 0);
	if (pick != NULL)
	{
		KadId		id = kad_id_of_key(&self->crypto, pick);

		(void) node_start_lookup(self, &id, false, 0);
	}
}

/* ---- time ---- */

void
group_tick(Node *self)
{
	int64_t		tick = self->now.tick_ms;

	for (int i = 0; i < NODE_JOINS; i++)
	{
		NodeJoin   *join = &self->join[i];

		if (join->active && tick >= join->until_ms)
			end_join(self, join, NODE_UNREACHABLE, NULL, NULL, NULL, 0);
		else if (join->active && join->request == 0 && tick >= join->greet_ms && greeting_rests(self, join))
			try_addresses(self, join);
	}
	for (int i = self->n_groups - 1; i >= 0; i--)
	{
		NodeGroup  *g = self->group[i];

		if (g->leaving && g->leave_told)
		{
			self->config.callbacks.left(self->config.callbacks.context, g->membership.root);
			node_group_forget(self, self->now, g->membership.root);
			continue;
		}
		if (tick >= g->mesh.next_ms && !g->leaving)
			heartbeat(self, g);
		if (g->compare.active && tick >= g->compare.until_ms)
			end_compare(self, g);
		if (!g->compare.active && tick >= g->compare_ms)
		{
			if (g->role != GRANT_NOBODY || g->leaving)
				begin_compare(self, g);
			else
				g->compare_ms = tick + COMPARE_MS;
			refresh(self, g);
		}
		if (tick >= g->find_ms)
		{
			if (g->role != GRANT_NOBODY || g->leaving)
				find_members(self, g);
			else
				g->find_ms = tick + FIND_MS;
		}
	}
	if (tick >= self->pin_ms && self->n_groups > 0)
	{
		self->pin_ms = tick + PIN_MS;
		pin_links(self);
	}
}

int64_t
group_next_tick(const Node *self)
{
	int64_t		next = INT64_MAX;

	for (int i = 0; i < NODE_JOINS; i++)
		if (self->join[i].active && self->join[i].until_ms < next)
			next = self->join[i].until_ms;
	for (int i = 0; i < self->n_groups; i++)
	{
		const NodeGroup *g = self->group[i];

		if (!g->leaving && g->mesh.next_ms < next)
			next = g->mesh.next_ms;
		if (!g->compare.active && g->compare_ms < next)
			next = g->compare_ms;
		if (g->leaving && g->leave_told)
			next = 0;
	}
	return next;
}
