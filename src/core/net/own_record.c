/*
 * own_record.c
 *	  The record that this node signs of itself, and others that are signed with its key.
 */
#include "core/net/node_state.h"

#include <string.h>

#define RECORD_LIFE_MS (INT64_C(24) * 3600 * 1000)
#define RECORD_RENEW_MS (INT64_C(8) * 3600 * 1000)	/* left when it is signed anew */
#define ALARM_MS 60000			/* between records signed above that of the same namesake */
#define ADOPTIONS 3				/* of our own past, before it counts as a copy */

/* The own record, good for a day. */
bool
own_sign(Node *self)
{
	NodeRecordFields fields = {
		.network = self->network,
		.expires_ms = self->now.unix_ms + RECORD_LIFE_MS,
		.n_addresses = self->n_addresses
	};
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	NodeRecord *record = NULL;

	/* the clock keeps numbers rising even where the file with the last one is lost */
	fields.seq = self->seq + 1;
	if ((int64_t) fields.seq < self->now.unix_ms)
		fields.seq = (uint64_t) self->now.unix_ms;
	memcpy(fields.curve_key, self->config.curve_public, CORE_KEY_BYTES);
	memcpy(fields.addresses, self->addresses, sizeof fields.addresses);
	self->sign_ms = self->now.unix_ms + 60000;	/* should it fail */
	if (node_record_sign(&self->crypto, self->config.secret, &fields, bytes, &len) != DECODE_OK ||
		record_pool_take(&self->pool, bytes, len, self->now.unix_ms, &record) != DECODE_OK)
		return false;
	record_pool_release(&self->pool, self->own);
	self->own = record;
	self->seq = fields.seq;
	self->sign_ms = fields.expires_ms - RECORD_RENEW_MS;
	self->config.callbacks.signed_anew(self->config.callbacks.context, self->seq);
	return true;
}

/* Sign the record anew, and show it to all who are connected. */
void
own_renew(Node *self)
{
	if (!own_sign(self))
	{
		node_log(self, NODE_WARNING, "could not sign the node's record anew; it is tried again in a minute");
		return;
	}
	kad_node_renew(self->kad, self->own);
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && node_connected(peer))
				node_greet(self, peer, NULL, 0);
}

/*
 * A node at this address has our key.  It learns of us by a record of ours that is
 * above its own, signed once a minute at most for each such node: so all learn of each
 * other, and it ends.  True when no such node was known at this address.
 */
static bool
sound_alarm(Node *self, const NetAddress *at)
{
	NodeAlarm  *alarm = NULL;
	bool		fresh;

	for (int i = 0; i < NODE_ALARMS; i++)
		if (net_address_equal(&self->alarm[i].at, at))
			alarm = &self->alarm[i];
	fresh = alarm == NULL;
	for (int i = 0; alarm == NULL && i < NODE_ALARMS; i++)
		if (self->alarm[i].at.port == 0)
			alarm = &self->alarm[i];
	if (alarm == NULL)
		return false;
	if (fresh || self->now.tick_ms - alarm->signed_ms >= ALARM_MS)
	{
		*alarm = (NodeAlarm) {*at, self->now.tick_ms};
		self->sign_ms = 0;
	}
	return fresh;
}

/* A record was seen that is signed with our key, and not by us as we are now. */
void
own_copied(Node *self, const NodeRecord *record)
{
	char		id[13];
	bool		ours = record->n_addresses == self->n_addresses;
	char		text[ADDRESS_TEXT];
	bool		fresh;

	for (int i = 0; ours && i < record->n_addresses; i++)
		ours = net_address_equal(&record->addresses[i], &self->addresses[i]);
	if (record->seq >= self->seq)
		self->seq = record->seq;
	if (ours && self->adopted < ADOPTIONS)
	{
		/* a record that we signed before our data directory was set back */
		self->adopted++;
		self->sign_ms = 0;
		return;
	}
	fresh = sound_alarm(self, &record->addresses[0]);
	self->cloned = true;
	self->clone_at = record->addresses[0];
	if (!fresh)
		return;
	address_text(&self->clone_at, text);
	node_log(self, NODE_WARNING,
			 "another node uses the key of this one: node id %s is also at %s; this node announces nothing any more. "
			 "One data directory is a copy of the other: remove the key file of the one that shall be a node of its own, and restart it",
			 node_short_id(&self->id, id), text);
	group_announce_all(self);
}
