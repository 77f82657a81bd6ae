/*
 * member.c
 *	  What the process around a node asks it to do about members: share, invite, leave,
 *	  evict, list.
 */
#include "core/net/node_state.h"

#include <string.h>

#include "core/bytes.h"

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
	if (group_by_tag(self, tag) != NULL)
		return NODE_SELF;
	if (!self->crypto.key_pair(self->crypto.context, seed, root, secret))
		return NODE_NO_MEMORY;
	g = group_new(self, root, tag, name);
	if (g == NULL)
	{
		bytes_wipe(secret, sizeof secret);
		return NODE_NO_MEMORY;
	}
	g->has_root = true;
	memcpy(g->root_secret, secret, sizeof secret);
	bytes_wipe(secret, sizeof secret);
	status = membership_prepare(&g->membership, GRANT_MEMBER, GRANT_ADMIN, root, self->key, clock.unix_ms, 0, &grant) ?
		compare_sign(self, g, g->root_secret, &grant, statement) : NODE_FORBIDDEN;
	if (status != NODE_OK)
		node_group_forget(self, clock, root);
	return status;
}

NodeStatus
node_invite(Node *self, CoreClock clock, uint32_t tag, GrantRole role, int64_t life_ms, char *text)
{
	NodeGroup  *g = group_by_tag(self, tag);
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
							clock.unix_ms + life_ms, &grant))
		return NODE_FORBIDDEN;
	status = compare_sign(self, g, self->config.secret, &grant, invitation.statement);
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
	NodeGroup  *g = group_by_tag(self, tag);
	uint8_t		statement[GRANT_BYTES];
	Grant		grant;
	NodeStatus	status = NODE_OK;

	self->now = clock;
	if (g == NULL)
		return NODE_NOT_SHARED;
	if (membership_role(&g->membership, self->key, clock.unix_ms) != GRANT_NOBODY)
	{
		if (!membership_prepare(&g->membership, GRANT_REVOCATION, GRANT_NOBODY, self->key, self->key,
								clock.unix_ms, 0, &grant))
			return NODE_FORBIDDEN;
		g->leaving = true;
		status = compare_sign(self, g, self->config.secret, &grant, statement);
	}
	g->leaving = true;
	/* they were applied to this table: should this node join again, it is with another one */
	changes_reset(&g->changes);
	mesh_leave(&g->mesh, clock.tick_ms, group_emit, g);
	group_refresh(self, g);
	g->leave_told = compare_alone(self, g, NULL);
	return status;
}

/* The keys of the members, to keys[MEMBERSHIP_LIMIT]; -1 when there is no memory. */
static int
keys_of_members(Node *self, NodeGroup *g, uint8_t (*keys)[CORE_KEY_BYTES])
{
	const Grant **members = core_alloc(&self->memory, MEMBERSHIP_LIMIT * sizeof *members);
	int			n;

	if (members == NULL)
		return -1;
	n = group_members(self, g, members, MEMBERSHIP_LIMIT);
	for (int i = 0; i < n; i++)
		memcpy(keys[i], members[i]->member, CORE_KEY_BYTES);
	core_free(&self->memory, members);
	return n;
}

/* The one member, not this node, whose id begins with prefix: its key. */
static NodeStatus
find_victim(const Node *self, const uint8_t (*keys)[CORE_KEY_BYTES], int n, const char *prefix, const uint8_t **victim)
{
	int			matches = 0;

	for (int i = 0; i < n; i++)
	{
		KadId		id = kad_id_of_key(&self->crypto, keys[i]);
		char		text[65];

		kad_id_text(&id, text);
		if (strncmp(text, prefix, strlen(prefix)) == 0)
		{
			matches++;
			*victim = keys[i];
		}
	}
	if (matches != 1)
		return NODE_UNKNOWN;
	return memcmp(*victim, self->key, CORE_KEY_BYTES) == 0 ? NODE_SELF : NODE_OK;
}

/*
 * The key to sign a revocation with that reaches every grant of this member.  A
 * revocation reaches the grants of issuers that are as near to the root as its own, or
 * farther: so it is this node's key or, where that is too far and this node has it, the
 * root key.
 */
static NodeStatus
choose_revoker(Node *self, NodeGroup *g, const uint8_t *member, const uint8_t **secret, const uint8_t **issuer)
{
	int			depth = membership_admin_depth(&g->membership, self->key, self->now.unix_ms);
	int			least = GRANT_DEPTH_MAX + 1;

	*secret = self->config.secret;
	*issuer = self->key;
	for (int i = 0; i < g->membership.n; i++)
	{
		const MembershipEntry *entry = g->membership.entry[i];

		if (entry->counts && entry->grant.kind == GRANT_MEMBER &&
			memcmp(entry->grant.member, member, CORE_KEY_BYTES) == 0 && entry->grant.depth - 1 < least)
			least = entry->grant.depth - 1;
	}
	if (depth >= 0 && depth <= least)
		return NODE_OK;
	if (!g->has_root)
		return depth < 0 ? NODE_FORBIDDEN : NODE_OUTRANKED;
	*secret = g->root_secret;
	*issuer = g->membership.root;
	return NODE_OK;
}

/* A node that is no member any more is sent the statement that evicted it, and leaves the mesh. */
static void
tell_evicted(Node *self, NodeGroup *g, const KadId *id, const uint8_t *statement)
{
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && kad_id_equal(&peer->record->id, id) && node_connected(peer))
				compare_send(self, g, peer, &statement, 1);
	mesh_gone(&g->mesh, id);
}

NodeStatus
node_evict(Node *self, CoreClock clock, uint32_t tag, const char *prefix, KadId *lost, int room, int *n_lost)
{
	NodeGroup  *g = group_by_tag(self, tag);
	uint8_t		(*keys)[CORE_KEY_BYTES];
	uint8_t		statement[GRANT_BYTES];
	const uint8_t *secret;
	const uint8_t *issuer;
	const uint8_t *victim = NULL;
	Grant		grant;
	int			n;
	NodeStatus	status;

	self->now = clock;
	*n_lost = 0;
	if (g == NULL)
		return NODE_NOT_SHARED;
	keys = core_alloc(&self->memory, MEMBERSHIP_LIMIT * sizeof *keys);
	if (keys == NULL || (n = keys_of_members(self, g, keys)) < 0)
	{
		core_free(&self->memory, keys);
		return NODE_NO_MEMORY;
	}
	status = find_victim(self, keys, n, prefix, &victim);
	if (status == NODE_OK)
		status = choose_revoker(self, g, victim, &secret, &issuer);
	if (status == NODE_OK &&
		!membership_prepare(&g->membership, GRANT_REVOCATION, GRANT_NOBODY, issuer, victim, clock.unix_ms, 0, &grant))
		status = NODE_FORBIDDEN;
	if (status == NODE_OK)
		status = compare_sign(self, g, secret, &grant, statement);
	for (int i = 0; i < n && status == NODE_OK; i++)
		if (membership_role(&g->membership, keys[i], clock.unix_ms) == GRANT_NOBODY)
		{
			KadId		id = kad_id_of_key(&self->crypto, keys[i]);

			if (*n_lost < room)
				lost[(*n_lost)++] = id;
			tell_evicted(self, g, &id, statement);
		}
	core_free(&self->memory, keys);
	return status;
}

int
node_members(Node *self, CoreClock clock, uint32_t tag, NodeMember *out, int room)
{
	NodeGroup  *g = group_by_tag(self, tag);
	const Grant **members;
	int			n;

	self->now = clock;
	if (g == NULL || (members = core_alloc(&self->memory, MEMBERSHIP_LIMIT * sizeof *members)) == NULL)
		return -1;
	n = group_members(self, g, members, MEMBERSHIP_LIMIT);
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
