/*
 * hello.c
 *	  Greetings.  On a link, HELLO is the first message each way; until it holds
 *	  nothing else is heard.
 */
#include "core/net/node_state.h"

#include <string.h>

#define LINKS_MS 1000

/* Is this the answer to a HELLO of ours? */
bool
hello_awaited(const Node *self, const NodePeer *peer, uint64_t request)
{
	return request != 0 && self->now.tick_ms < peer->hello_until_ms &&
		(request == peer->hello_request[0] || request == peer->hello_request[1]);
}

/*
 * Two processes may use one key, and each believe that it is alone.  Who hears
 * both tells the one of the other: whoever greets with a record older than the
 * one that is known, and whoever has greeted over another link before with other
 * addresses, is sent the newest record of its key.  Its core sees what that means.
 */
static void
tell_of_namesake(Node *self, NodePeer *peer, NodeRecord *greeted)
{
	NodeRecord *known = peer->record;
	LinkVia to;
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_PING};
	size_t		len;

	if (known != NULL && !kad_id_equal(&known->id, &greeted->id))
		return;
	/* one that has expired could not be read */
	if (known != NULL && greeted->seq < known->seq &&
		node_record_current(known, self->now.unix_ms, self->config.skew_ms))
	{
		m.ping.record = known;
		to = self->via;
	}
	else if (peer->hello_via.link != 0 && peer->hello_via.link != self->via.link && greeted->seq >= peer->hello_seq &&
			 !net_address_equal(&greeted->addresses[0], &peer->hello_address))
	{
		m.ping.record = greeted;
		to = peer->hello_via;
	}
	else
		return;
	/* its answer is not awaited */
	m.request = node_request(self);
	if (wire_encode(&m, self->frame, sizeof self->frame, &len))
		(void) self->links.answer(self->links.self, to, self->frame, len);
}

/* HELLO, or its answer.  A peer that it holds for is heard from now on. */
void
hello_receive(Node *self, NodePeer *peer, const WireMessage *m)
{
	NodeRecord *record = m->hello.record;
	bool		first = !peer->greeted;
	bool		moved = false;
	WireMessage answer = {
		.version = WIRE_VERSION_MIN,
		.type = WIRE_HELLO,
		.response = true,
		.request = m->request,
		.hello = {WIRE_VERSION_MIN, WIRE_VERSION_MAX, self->network, self->own}
	};
	WireCode	code = WIRE_CODE_OK;
	const char *reason = NULL;

	if (record == NULL)
	{
		code = WIRE_CODE_MALFORMED;
		reason = "its greeting lacks a record";
	}
	else if (m->hello.network != self->network)
	{
		code = WIRE_CODE_NETWORK;
		reason = "it is of another network";
	}
	else if (m->hello.min_version > WIRE_VERSION_MAX || m->hello.max_version < WIRE_VERSION_MIN)
	{
		code = WIRE_CODE_VERSION;
		reason = "it speaks no version of the protocol that this node speaks";
	}
	else if (memcmp(record->curve_key, peer->curve, CORE_KEY_BYTES) != 0)
	{
		code = WIRE_CODE_FORGED;
		reason = "it presents the record of another node";
	}
	if (reason != NULL)
	{
		node_refuse(self, peer->curve, reason);
		peer->greeted = false;
		if (!m->response)
			node_answer_error(self, m->request, NULL, code, reason);
		else
			self->links.drop(self->links.self, peer->curve, false);
		return;
	}
	if (kad_id_equal(&record->id, &self->id))
	{
		if (record != self->own && record->seq >= self->own->seq)
			own_copied(self, record);
		if (!m->response)
			node_answer(self, &answer);
		return;
	}
	if (!m->response)
	{
		node_answer(self, &answer);
		tell_of_namesake(self, peer, record);
		peer->hello_via = self->via;
		peer->hello_seq = record->seq;
		peer->hello_address = record->addresses[0];
	}
	moved = node_take_record(self, peer, record, true);
	peer->greeted = true;
	peer->told = false;
	if (m->response)
	{
		peer->welcomed = peer->up = true;
		peer->welcome_via = self->via;
		peer->welcomed_ms = self->now.tick_ms;
	}
	if (first || m->response)
		group_greeted(self, peer);
	if (moved)
		(void) kad_node_meet(self->kad, self->now, record);
}

/*
 * Which links there are, once a second.  One that was made anew is greeted
 * anew: who is at its other end may have begun anew, too.
 */
void
hello_look(Node *self)
{
	self->links_ms = self->now.tick_ms + LINKS_MS;
	self->n_links = self->links.list(self->links.self, self->link, LINKS_MAX);
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			peer->up = peer->inbound = false;
	for (int i = 0; i < self->n_links; i++)
	{
		const LinkInfo *link = &self->link[i];
		NodePeer   *peer = node_peer(self, link->curve_key, false);

		if (peer == NULL || !link->up)
			continue;
		if (!link->outbound)
		{
			peer->inbound = true;
			continue;
		}
		peer->up = true;
		if (peer->up_since_ms != link->since_ms)
		{
			peer->up_since_ms = link->since_ms;
			/* a welcome, or a greeting on its way, may have gone with the link before */
			if (peer->welcomed_ms < link->since_ms)
			{
				peer->welcomed = false;
				node_greet(self, peer, NULL, 0);
			}
		}
	}
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && !node_connected(peer))
			{
				/* it may come back; but what it sends then begins with HELLO, as does what we send */
				peer->greeted = peer->welcomed = peer->shares = false;
				peer->hello_ms = 0;
				group_gone(self, &peer->record->id);
			}
}
