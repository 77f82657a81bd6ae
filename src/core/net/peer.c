/*
 * peer.c
 *	  The peers of a node, by their CURVE keys, and which record each is known by.
 */
#include "core/net/node_state.h"

#include <string.h>

#include "core/assert.h"

static unsigned
peer_slot(const uint8_t *curve)
{
	/* keys are random, and a peer that grinds them lengthens only a bounded list */
	return (curve[0] ^ curve[7]) & (NODE_PEER_SLOTS - 1);
}

static void
drop_peer(Node *self, NodePeer *peer)
{
	NodePeer  **at = &self->peer[peer_slot(peer->curve)];

	CORE_ASSERT(peer != self->from && !node_connected(peer) && self->n_peers > 0);
	while (*at != peer)
	{
		CORE_ASSERT(*at != NULL);
		at = &(*at)->next;
	}
	*at = peer->next;
	if (peer->record != NULL)
		self->gone(self, &peer->record->id);
	record_pool_release(&self->pool, peer->record);
	core_free(&self->memory, peer);
	self->n_peers--;
}

/* Make room: whom we have not heard of for longest goes, strangers first. */
static bool
drop_oldest_peer(Node *self)
{
	NodePeer   *oldest = NULL;

	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
		{
			if (peer == self->from || node_connected(peer))
				continue;
			if (oldest == NULL || peer->greeted < oldest->greeted ||
				(peer->greeted == oldest->greeted && peer->heard_ms < oldest->heard_ms))
				oldest = peer;
		}
	if (oldest == NULL)
		return false;
	drop_peer(self, oldest);
	return true;
}

NodePeer *
node_peer(Node *self, const uint8_t curve[CORE_KEY_BYTES], bool create)
{
	unsigned	slot = peer_slot(curve);
	NodePeer   *peer;

	for (peer = self->peer[slot]; peer != NULL; peer = peer->next)
		if (memcmp(peer->curve, curve, CORE_KEY_BYTES) == 0)
			return peer;
	if (!create || (self->n_peers >= NODE_PEERS && !drop_oldest_peer(self)))
		return NULL;
	peer = core_alloc(&self->memory, sizeof *peer);
	if (peer == NULL)
		return NULL;
	memset(peer, 0, sizeof *peer);
	memcpy(peer->curve, curve, CORE_KEY_BYTES);
	peer->heard_ms = self->now.tick_ms;
	peer->complained_ms = INT64_MIN / 2;
	peer->next = self->peer[slot];
	self->peer[slot] = peer;
	self->n_peers++;
	CORE_ASSERT(self->n_peers <= NODE_PEERS);
	return peer;
}

void
peer_reset(Node *self)
{
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		while (self->peer[i] != NULL)
		{
			NodePeer   *peer = self->peer[i];

			self->peer[i] = peer->next;
			record_pool_release(&self->pool, peer->record);
			core_free(&self->memory, peer);
			self->n_peers--;
		}
	CORE_ASSERT(self->n_peers == 0);
}

static bool
has_address(const NodeRecord *record, const NetAddress *address)
{
	for (int i = 0; i < record->n_addresses; i++)
		if (net_address_equal(&record->addresses[i], address))
			return true;
	return false;
}

/*
 * A record that names the CURVE key of a peer.  Anybody may sign one with a key of
 * their own, and send it around: whose key is at the other end of the link is known
 * only of a record that came over it (proved).  One that did not is taken while
 * there is no other, and when it is newer and of the same node.
 *
 * True when a newer one has other addresses.  A link of ours that leads to none of
 * them may be up for a while and carry nothing: it is closed, and made anew to where
 * it is now.
 */
bool
node_take_record(Node *self, NodePeer *peer, NodeRecord *record, bool proved)
{
	NodeRecord *before = peer->record;
	bool		same = before != NULL && kad_id_equal(&before->id, &record->id);
	bool		moved = false;

	if (before != NULL && !(same ? before->seq < record->seq : proved))
		return false;
	if (before != NULL && !same)
		self->gone(self, &before->id);
	/* who is heard is one node, as long as it is heard */
	CORE_ASSERT(same || proved || !peer->greeted);
	peer->record = node_record_keep(record);
	for (int i = 0; same && i < record->n_addresses; i++)
		moved |= !has_address(before, &record->addresses[i]);
	record_pool_release(&self->pool, before);
	for (int i = 0; moved && i < self->n_links; i++)
		if (self->link[i].outbound && memcmp(self->link[i].curve_key, peer->curve, CORE_KEY_BYTES) == 0 &&
			!has_address(record, &self->link[i].address))
		{
			/* not theirs to us: of two with one key, one would then not hear of the other */
			self->links.drop(self->links.self, peer->curve, true);
			self->link[i].outbound = false;
			peer->up = peer->welcomed = false;
			peer->hello_ms = 0;
		}
	return moved;
}

bool
node_peer_info(const Node *self, const uint8_t curve[CORE_KEY_BYTES], NodePeerInfo *out)
{
	const NodePeer *peer = node_peer((Node *) self, curve, false);

	memset(out, 0, sizeof *out);
	if (peer == NULL || !peer->greeted)
		return false;
	CORE_ASSERT(peer->record != NULL);
	out->id = peer->record->id;
	out->n_addresses = peer->record->n_addresses;
	memcpy(out->addresses, peer->record->addresses, sizeof out->addresses);
	for (int i = 0; i < self->n_groups; i++)
		out->collections += mesh_inside(&self->group[i]->mesh, &peer->record->id);
	return true;
}
