/*
 * find.c
 *	  Lookups of a node, and how it finds members of its collections.
 *
 * Members are found by the collection's provider records and, where these lead to
 * nobody, by looking for a member by its id.
 */
#include "core/net/node_state.h"

#define FIND_LAST_MS 120000

bool
find_start(Node *self, const KadId *target, bool for_providers, uint64_t tag)
{
	for (int i = 0; i < KAD_LOOKUPS; i++)
		if (!self->lookup[i].active)
		{
			self->lookup[i] = (NodeLookup) {tag, self->now.tick_ms, true, *target};
			if (kad_node_lookup(self->kad, self->now, target, for_providers, (uint64_t) i))
				return true;
			self->lookup[i].active = false;
			return false;
		}
	return false;
}

void
find_connect(Node *self, NodeRecord *record)
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
find_done(Node *self, const KadId *target, const KadLookup *lookup)
{
	NodeGroup  *g = group_find(self, target);
	NodeRecord *near[1];

	if (g == NULL)
	{
		if (kad_lookup_result(lookup, near, 1, NULL) == 1 && kad_id_equal(&near[0]->id, target))
			find_connect(self, near[0]);
		return;
	}
	for (int i = 0; i < lookup->n_providers; i++)
		if (!lookup->provider[i]->withdrawn &&
			group_concerns(self, g, lookup->provider[i]->record->key))
			find_connect(self, lookup->provider[i]->record);
}

/* Look for members when fewer are connected than there could be. */
void
find_members(Node *self, NodeGroup *g)
{
	int			others;
	const uint8_t *pick = membership_pick(&g->membership, self->key, &self->random, self->now.unix_ms, &others);
	int			wanted;

	wanted = others < self->config.mesh_degree ? others : self->config.mesh_degree;
	g->find_ms = self->now.tick_ms + node_jittered(self, FIND_MS);
	if (g->mesh.n >= wanted && !(g->leaving && g->mesh.n == 0))
	{
		g->retry_ms = FIND_AGAIN_MS;
		return;
	}
	g->find_ms = self->now.tick_ms + node_jittered(self, g->retry_ms);
	g->retry_ms = g->retry_ms >= FIND_LAST_MS / 2 ? FIND_LAST_MS : 2 * g->retry_ms;
	(void) find_start(self, &g->id, true, 0);
	if (pick != NULL)
	{
		KadId		id = kad_id_of_key(&self->crypto, pick);

		(void) find_start(self, &id, false, 0);
	}
}
