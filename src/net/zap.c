/*
 * zap.c
 *	  Authentication of those who come to us: the handler of ZAP (RFC 27).
 *
 * The handler numbers the handshakes it admits and gives back "KEY.NUMBER" as
 * User-Id, which libzmq attaches to every frame of that connection.  So key and
 * connection of a frame are authentic; a routing id, which a peer may choose, only
 * says where an answer goes.
 */
#include "net/transport_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "core/assert.h"
#include "core/bytes.h"
#include "net/address.h"

#define ZAP_PARTS 7				/* version, request, domain, address, routing id, mechanism, key */

static void
forget(Transport *self, Admitted *slot)
{
	CORE_ASSERT(slot->serial != 0 && self->n_admitted > 0);
	slot->serial = 0;
	self->n_admitted--;
}

/* Numbers a handshake.  Where there is no room, the oldest of which no frame has come is forgotten. */
static Admitted *
admit(Transport *self, const uint8_t *key, const char *ip)
{
	NetAddress	from;
	Admitted   *oldest = NULL;
	Admitted   *slot = NULL;

	for (int i = 0; i < ADMITTED_MAX && slot == NULL; i++)
	{
		Admitted   *at = &self->admitted[i];

		if (at->serial == 0)
			slot = at;
		else if (oldest == NULL || at->serial < oldest->serial)
			oldest = at;
	}
	if (slot == NULL)
		slot = oldest;
	else
		self->n_admitted++;
	CORE_ASSERT(slot != NULL && self->n_admitted <= ADMITTED_MAX);
	memset(slot, 0, sizeof *slot);
	slot->serial = ++self->serial;
	slot->order = ++self->order;
	slot->since_ms = self->now_ms;
	memcpy(slot->key, key, CORE_KEY_BYTES);
	if (address_parse_ip(ip, &from))
		memcpy(slot->ip, from.ip, 16);
	return slot;
}

static void
zap_reply(Transport *self, const uint8_t *request, size_t len, const char *status, const char *text, const char *user)
{
	void	   *zap = self->zap.socket;

	if (port_send_bytes(zap, "1.0", 3, ZMQ_SNDMORE) >= 0 &&
		port_send_bytes(zap, request, len, ZMQ_SNDMORE) >= 0 &&
		port_send_bytes(zap, status, 3, ZMQ_SNDMORE) >= 0 &&
		port_send_bytes(zap, text, strlen(text), ZMQ_SNDMORE) >= 0 &&
		port_send_bytes(zap, user, strlen(user), ZMQ_SNDMORE) >= 0)
		port_send_bytes(zap, "", 0, 0);
}

/* One handshake; false when none waits. */
bool
zap_answer(Transport *self)
{
	uint8_t		part[ZAP_PARTS][256];
	size_t		len[ZAP_PARTS] = {0};
	int			n = 0;
	bool		fits = true;
	zmq_msg_t	msg;
	char		user[CORE_KEY_BYTES * 2 + 24] = "";
	NetAddress	from;

	zmq_msg_init(&msg);
	while (port_receive(&msg, self->zap.socket) >= 0)
	{
		size_t		size = zmq_msg_size(&msg);

		if (n < ZAP_PARTS && size < sizeof part[n])
		{
			memcpy(part[n], zmq_msg_data(&msg), size);
			part[n][size] = 0;
			len[n] = size;
		}
		else
			fits = false;
		n++;
		if (!zmq_msg_more(&msg))
			break;
	}
	zmq_msg_close(&msg);
	if (n == 0)
		return false;

	/* whoever asks here was accepted before: that must be known first */
	in_events(self, INT32_MAX);
	if (!fits || n != ZAP_PARTS || len[0] != 3 || memcmp(part[0], "1.0", 3) != 0 ||
		len[2] != strlen(DOMAIN_NAME) || memcmp(part[2], DOMAIN_NAME, len[2]) != 0)
		zap_reply(self, part[1], fits ? len[1] : 0, "500", "not understood", "");
	else if (len[5] != 5 || memcmp(part[5], "CURVE", 5) != 0 || len[6] != CORE_KEY_BYTES)
	{
		self->stats.refused_mechanism++;
		zap_reply(self, part[1], len[1], "400", "CURVE only", "");
	}
	else if (memcmp(part[6], self->config.curve_public, CORE_KEY_BYTES) == 0)
	{
		self->stats.refused_own_key++;
		self->refused_keys++;
		zap_reply(self, part[1], len[1], "400", "not welcome", "");
		if (address_parse_ip((const char *) part[3], &from))
			transport_tell_refused(self, &from, REASON_OWN_KEY);
	}
	else
	{
		Admitted   *slot = admit(self, part[6], (const char *) part[3]);

		in_look_at_handshakes(self, slot->ip);
		self->stats.admitted++;
		bytes_hex(slot->key, CORE_KEY_BYTES, user);
		snprintf(user + CORE_KEY_BYTES * 2, sizeof user - CORE_KEY_BYTES * 2, ".%016llx",
				 (unsigned long long) slot->serial);
		zap_reply(self, part[1], len[1], "200", "OK", user);
	}
	return true;
}

/* Key and serial of the handshake that libzmq attaches to a message.  False when these are none of ours. */
bool
zap_whose(zmq_msg_t *msg, uint8_t key[CORE_KEY_BYTES], uint64_t *serial)
{
	const char *user = zmq_msg_gets(msg, "User-Id");
	char	   *end;
	size_t		len;

	if (user == NULL || strlen(user) != CORE_KEY_BYTES * 2 + 17 || user[CORE_KEY_BYTES * 2] != '.' ||
		sodium_hex2bin(key, CORE_KEY_BYTES, user, CORE_KEY_BYTES * 2, NULL, &len, NULL) != 0 ||
		len != CORE_KEY_BYTES)
		return false;
	*serial = strtoull(user + CORE_KEY_BYTES * 2 + 1, &end, 16);
	return *end == 0 && *serial != 0;
}

bool
zap_take(Transport *self, uint64_t serial, uint64_t *order)
{
	for (int i = 0; i < ADMITTED_MAX; i++)
		if (self->admitted[i].serial == serial)
		{
			*order = self->admitted[i].order;
			forget(self, &self->admitted[i]);
			return true;
		}
	return false;
}

bool
zap_has_admitted(const Transport *self, const uint8_t ip[16], uint64_t after)
{
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
		if (self->admitted[i].serial != 0 && self->admitted[i].order > after &&
			memcmp(self->admitted[i].ip, ip, 16) == 0)
			return true;
	return false;
}

void
zap_withdraw(Transport *self, const uint8_t *key)
{
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
	{
		Admitted   *slot = &self->admitted[i];

		if (slot->serial == 0 || memcmp(slot->key, key, CORE_KEY_BYTES) != 0)
			continue;
		in_cut_silent(self, slot->ip, slot->order);
		forget(self, slot);
	}
}

void
zap_sweep(Transport *self)
{
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
		if (self->admitted[i].serial != 0 && self->now_ms - self->admitted[i].since_ms > 2 * SILENT_MS)
			forget(self, &self->admitted[i]);
}
