/*
 * refusal.c
 *	  Lines for the log. Of refused peers each reason is logged once in
 *	  an hour for each peer, 20 lines a minute at most.
 */
#include "core/net/node_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

#define REFUSAL_QUIET_MS 3600000
#define REFUSAL_LINES 20		/* a minute */

void
node_log(Node *self, NodeLevel level, const char *format,...)
{
	char		text[NODE_TEXT];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	self->config.callbacks.log(self->config.callbacks.context, level, text);
}

const char *
node_short_id(const KadId *id, char out[13])
{
	return bytes_hex(id->b, 6, out);
}

void
node_refuse(Node *self, const uint8_t *curve, const char *reason)
{
	NodePeer   *peer = node_peer(self, curve, false);
	uint8_t		hash[CORE_HASH_BYTES];
	uint8_t		text[CORE_KEY_BYTES + 128];
	size_t		len = strlen(reason);
	NodeRefusal *free_slot = NULL;
	NodeRefusal *oldest = &self->refusal[0];
	uint64_t	key;
	char		name[13];
	char		who[80];

	self->refused++;
	if (len > 128)
		len = 128;
	memcpy(text, curve, CORE_KEY_BYTES);
	memcpy(text + CORE_KEY_BYTES, reason, len);
	self->crypto.sha256(self->crypto.context, text, CORE_KEY_BYTES + len, hash);
	key = bytes_load(hash, 8) | 1;
	for (int i = 0; i < NODE_REFUSALS; i++)
	{
		NodeRefusal *r = &self->refusal[i];

		if (r->key == key)
		{
			r->times++;
			if (self->now.tick_ms - r->logged_ms < REFUSAL_QUIET_MS)
				return;
			free_slot = r;
			break;
		}
		if (r->key == 0 && free_slot == NULL)
			free_slot = r;
		if (r->logged_ms < oldest->logged_ms)
			oldest = r;
	}
	if (free_slot == NULL)
		free_slot = oldest;
	if (self->now.tick_ms - self->lines_ms >= 60000)
	{
		self->lines_ms = self->now.tick_ms;
		self->lines = 0;
	}
	if (self->lines++ > REFUSAL_LINES)
		return;
	if (self->lines > REFUSAL_LINES)
	{
		node_log(self, NODE_LOG, "more refusals within this minute are not logged");
		return;
	}
	if (peer != NULL && peer->greeted)
		snprintf(who, sizeof who, "node %s", node_short_id(&peer->record->id, name));
	else
	{
		KadId		as_id;

		memcpy(as_id.b, curve, CORE_KEY_BYTES);
		snprintf(who, sizeof who, "a peer with CURVE key %s", node_short_id(&as_id, name));
	}
	if (free_slot->key == key && free_slot->times > 1)
		node_log(self, NODE_LOG, "refused %s: %s (%u times in an hour)", who, reason, free_slot->times);
	else
		node_log(self, NODE_LOG, "refused %s: %s", who, reason);
	*free_slot = (NodeRefusal) {key, self->now.tick_ms, 0};
}
