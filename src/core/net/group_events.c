/*
 * group_events.c
 *	  What reaches the collections: messages, answers, greetings, the time.
 */
#include "core/net/node_state.h"

#include <stdio.h>
#include <string.h>

#include "core/assert.h"

#define PIN_MS 5000
#define PRUNE_STRANGER_S 60

static void
heartbeat(Node *self, NodeGroup *g)
{
	/* a peer whose role or link has ended leaves the mesh */
	for (int i = g->mesh.n - 1; i >= 0; i--)
	{
		NodeRecord *record = g->mesh.peer[i].record;
		NodePeer   *peer = group_peer(self, record);

		if (peer == NULL || !peer->greeted || group_role(self, g, peer) == GRANT_NOBODY)
		{
			KadId		id = record->id;

			mesh_gone(&g->mesh, &id);
		}
	}
	mesh_heartbeat(&g->mesh, self->now.tick_ms, group_emit, g);
}

/* Pin the links to peers of any mesh; the others may be closed to make room. */
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

void
group_receive(Node *self, NodePeer *from, const WireMessage *m)
{
	NodeGroup  *g = group_find(self, &m->collection);
	WireMessage prune = {.version = WIRE_VERSION_MAX, .type = WIRE_PRUNE, .collection = m->collection,
	.prune = {.backoff_s = PRUNE_STRANGER_S}};
	char		reason[128];
	char		name[NODE_NAME];

	if (g == NULL || g->leaving)
	{
		if (g != NULL && m->type == WIRE_GRANTS_SYNC && group_concerns(self, g, from->record->key))
			(void) compare_take(self, g, from, m->grants.grant, m->grants.n);
		if (m->type == WIRE_GRAFT)
			node_send(self, from, &prune);
		node_answer_error(self, m->request, &m->collection, WIRE_CODE_UNKNOWN_COLLECTION, NULL);
		return;
	}
	switch (m->type)
	{
		case WIRE_GRANTS_SYNC:
			compare_receive(self, g, from, m);
			break;
		case WIRE_REDEEM:
			join_receive(self, g, from, m);
			break;
		case WIRE_GRAFT:
			if (group_role(self, g, from) == GRANT_NOBODY || g->role == GRANT_NOBODY)
			{
				if (g->role != GRANT_NOBODY)
				{
					snprintf(reason, sizeof reason, "it is no member of collection %s", group_name(g, name));
					node_refuse(self, from->curve, reason);
				}
				node_send(self, from, &prune);
				break;
			}
			from->shares = true;
			mesh_peer(&g->mesh, from->record);
			mesh_grafted(&g->mesh, from->record, self->now.tick_ms, group_emit, g);
			break;
		case WIRE_PRUNE:
			mesh_pruned(&g->mesh, &from->record->id, m->prune.backoff_s, self->now.tick_ms);
			for (int i = 0; i < m->prune.n_records && g->mesh.n_inside < g->mesh.degree; i++)
			{
				NodePeer   *peer;

				if (kad_id_equal(&m->prune.record[i]->id, &self->id) ||
					membership_role(&g->membership, m->prune.record[i]->key, self->now.unix_ms) == GRANT_NOBODY)
					continue;
				peer = node_peer(self, m->prune.record[i]->curve_key, true);
				if (peer != NULL && !node_connected(peer))
					node_greet(self, peer, m->prune.record[i]->addresses, m->prune.record[i]->n_addresses);
			}
			break;
	}
}

void
group_answered(Node *self, NodePeer *from, const NodeCall *call, const WireMessage *m)
{
	NodeGroup  *g = group_find(self, &call->collection);

	CORE_ASSERT(from->greeted && from->record != NULL);
	if (call->purpose == CALL_REDEEM)
		join_answered(self, from, call->request, m);
	else if (g != NULL)
		compare_answered(self, g, from, m);
}

void
group_call_failed(Node *self, const NodeCall *call)
{
	NodeGroup  *g = group_find(self, &call->collection);

	if (call->purpose == CALL_GRANTS && g != NULL && g->compare.active &&
		memcmp(g->compare.curve, call->curve, CORE_KEY_BYTES) == 0)
		compare_end(self, g);
}

/* A peer has greeted: where it is a member of a collection, it is a peer of its mesh. */
void
group_greeted(Node *self, NodePeer *peer)
{
	join_greeted(self, peer);
	for (int i = 0; i < self->n_groups; i++)
	{
		NodeGroup  *g = self->group[i];

		if (!node_connected(peer) || !group_concerns(self, g, peer->record->key))
			continue;
		if (!g->leaving && g->role != GRANT_NOBODY)
		{
			peer->shares = true;
			mesh_peer(&g->mesh, peer->record);
		}
		if (!g->compare.active && g->compare_ms > self->now.tick_ms + COMPARE_SOON_MS)
			g->compare_ms = self->now.tick_ms + node_jittered(self, COMPARE_SOON_MS / 2);
	}
}

void
group_gone(Node *self, const KadId *id)
{
	for (int i = 0; i < self->n_groups; i++)
		mesh_gone(&self->group[i]->mesh, id);
}

void
group_tick(Node *self)
{
	int64_t		tick = self->now.tick_ms;

	join_tick(self);
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
			compare_end(self, g);
		if (!g->compare.active && tick >= g->compare_ms)
		{
			if (g->role != GRANT_NOBODY || g->leaving)
				compare_start(self, g);
			else
				g->compare_ms = tick + COMPARE_MS;
			group_refresh(self, g);
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
	int64_t		next = join_next_tick(self);

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
