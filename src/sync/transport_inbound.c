/*
 * transport_inbound.c
 *	  Links that others make: the ROUTER and who is behind it.
 *
 * Whoever knows our key may knock; our ZAP handler lets in every CURVE key but
 * the banned, and gives the key back as User-Id (in hexadecimal, for libzmq
 * hands it out as a C string).  libzmq says it with each frame, and that is whom
 * a frame is from.  A routing id only says where an answer goes.
 *
 * libzmq does not limit how many connect, nor what they send before it is read.
 * So connections are counted by the monitor's events, and looked at by their
 * descriptors: too many, too long silent, too much unread are shut down.
 */
#include "sync/transport_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTER_EVENTS (ZMQ_EVENT_LISTENING | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | \
	ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | \
	ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

#define ZAP_PARTS 7				/* of a request with a CURVE key; more are refused */
#define ZAP_DOMAIN "vecdb"
#define USER_ID_LEN (2 * CORE_KEY_BYTES)

int
inbound_open(Transport *self)
{
	self->zap = zmq_socket(self->context, ZMQ_REP);
	if (self->zap == NULL ||
		socket_int(self->zap, ZMQ_LINGER, 0) != 0 ||
		zmq_bind(self->zap, "inproc://zeromq.zap.01") != 0)
		return -1;
	transport_watch(self, self->zap);

	self->router = zmq_socket(self->context, ZMQ_ROUTER);
	if (self->router == NULL ||
		socket_int(self->router, ZMQ_LINGER, LINGER_MS) != 0 ||
		socket_int(self->router, ZMQ_SNDHWM, SEND_MESSAGES) != 0 ||
		socket_int(self->router, ZMQ_RCVHWM, 0) != 0 || /* see README.md, "Traps" */
		socket_int(self->router, ZMQ_ROUTER_MANDATORY, 1) != 0 ||
		socket_bytes(self->router, ZMQ_MAXMSGSIZE, &(int64_t) {TRANSPORT_FRAME_MAX + 64}, sizeof(int64_t)) != 0 ||
		socket_int(self->router, ZMQ_IPV6, strchr(self->listen, ':') != NULL) != 0 ||
		socket_int(self->router, ZMQ_BACKLOG, 128) != 0 ||
		socket_int(self->router, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) != 0 ||
		socket_int(self->router, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) != 0 ||
		socket_int(self->router, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) != 0 ||
		socket_int(self->router, ZMQ_HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS) != 0 ||
		socket_int(self->router, ZMQ_CURVE_SERVER, 1) != 0 ||
		socket_bytes(self->router, ZMQ_CURVE_SECRETKEY, self->config.curve_secret, CORE_KEY_BYTES) != 0 ||
		socket_bytes(self->router, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) != 0 ||
		socket_int(self->router, SOCKET_ZAP_ENFORCE_DOMAIN, 1) != 0)
		return -1;
	self->router_monitor = monitor_new(self, self->router, ROUTER_EVENTS);
	if (self->router_monitor == NULL)
		return -1;
	transport_watch(self, self->router_monitor);
	transport_watch(self, self->router);
	return zmq_bind(self->router, self->endpoint);
}

/* ---- who is connected ---- */

static Inbound *
new_inbound(Transport *self, int fd)
{
	for (int i = 0; i < INBOUND_SLOTS; i++)
	{
		Inbound    *inbound = &self->inbound[i];

		if (inbound->used)
			continue;
		memset(inbound, 0, sizeof *inbound);
		inbound->queue = send_queue_new();
		if (inbound->queue == NULL)
			return NULL;
		inbound->used = true;
		inbound->number = transport_number(self, TRANSPORT_LINKS_MAX + i);
		connection_open(&inbound->connection, fd, self->tick_ms);
		self->n_inbound++;
		return inbound;
	}
	return NULL;
}

void
inbound_forget(Transport *self, Inbound *inbound)
{
	send_queue_release(inbound->queue);
	inbound->used = false;
	self->n_inbound--;
	if (inbound->spoke)
		self->n_spoke--;
}

void
inbound_cut(Transport *self, Inbound *inbound)
{
	if (!inbound->connection.cut)
		connection_cut(&inbound->connection);
}

static Inbound *
by_fd(Transport *self, int fd)
{
	for (int i = 0; i < INBOUND_SLOTS; i++)
		if (self->inbound[i].used && self->inbound[i].connection.fd == fd)
			return &self->inbound[i];
	return NULL;
}

static Inbound *
by_rid(Transport *self, uint32_t rid)
{
	int16_t    *guess = &self->by_rid[rid % (sizeof self->by_rid / sizeof self->by_rid[0])];

	if (self->inbound[*guess].used && self->inbound[*guess].spoke && self->inbound[*guess].rid == rid)
		return &self->inbound[*guess];
	for (int i = 0; i < INBOUND_SLOTS; i++)
		if (self->inbound[i].used && self->inbound[i].spoke && self->inbound[i].rid == rid)
		{
			*guess = (int16_t) i;
			return &self->inbound[i];
		}
	return NULL;
}

/* Of those that have sent a frame or not: who came first, or was silent longest. */
static Inbound *
oldest(Transport *self, bool spoke)
{
	Inbound    *best = NULL;

	for (int i = 0; i < INBOUND_SLOTS; i++)
	{
		Inbound    *inbound = &self->inbound[i];

		if (!inbound->used || inbound->spoke != spoke || inbound->connection.cut)
			continue;
		if (spoke && transport_pinned(self, inbound->key))
			continue;
		if (best == NULL ||
			(spoke ? inbound->traffic.heard_ms < best->traffic.heard_ms :
			 inbound->connection.since_ms < best->connection.since_ms))
			best = inbound;
	}
	return best;
}

static int
count_silent(const Transport *self)
{
	int			n = 0;

	for (int i = 0; i < INBOUND_SLOTS; i++)
		if (self->inbound[i].used && !self->inbound[i].spoke && !self->inbound[i].connection.cut)
			n++;
	return n;
}

static int
count_spoke(const Transport *self)
{
	int			n = 0;

	for (int i = 0; i < INBOUND_SLOTS; i++)
		if (self->inbound[i].used && self->inbound[i].spoke && !self->inbound[i].connection.cut)
			n++;
	return n;
}

/* Room for one more that is let in: is there any, or can there be? */
static bool
make_room(Transport *self)
{
	Inbound    *idle;

	if (count_spoke(self) < self->config.max_inbound)
		return true;
	idle = oldest(self, true);
	if (idle == NULL || self->tick_ms - idle->traffic.heard_ms < INBOUND_IDLE_MS)
		return false;
	inbound_cut(self, idle);
	self->stats.evicted++;
	return true;
}

static void
accepted(Transport *self, int fd)
{
	Inbound    *inbound = by_fd(self, fd);

	self->stats.accepted++;
	if (inbound != NULL)
		inbound->connection.fd = -1;	/* its end was not told */
	inbound = new_inbound(self, fd);
	if (inbound == NULL)
	{
		Connection	stranger;

		connection_open(&stranger, fd, self->tick_ms);
		connection_cut(&stranger);
		self->stats.refused_room++;
	}
	else if (self->pressed_ms != 0)
	{
		inbound_cut(self, inbound);
		self->stats.refused_room++;
	}
	else if (count_silent(self) > SILENT_MAX)
	{
		/* the newest has the best chance to be through with its handshake in time */
		inbound = oldest(self, false);
		inbound_cut(self, inbound);
		self->stats.refused_room++;
	}
}

static void
disconnected(Transport *self, int fd)
{
	Inbound    *inbound = by_fd(self, fd);

	/* That it was refused is told just before, except by ZAP: that was some time ago. */
	if (self->blamed)
		self->blamed = false;
	else if (inbound != NULL && !inbound->spoke && !inbound->connection.cut)
	{
		if (self->auth_failing > 0)
			self->auth_failing--;
		else
			self->stats.refused_protocol++;
	}
	if (inbound == NULL)
		return;
	if (inbound->spoke)
		inbound->connection.fd = -1;	/* what it sent may be to be read yet: sweep() forgets it */
	else
		inbound_forget(self, inbound);
}

static void
hear_monitor(Transport *self)
{
	int			event;
	uint32_t	value;

	for (int i = 0; i < MONITOR_SLICE && monitor_read(self->router_monitor, &event, &value); i++)
		switch (event)
		{
			case ZMQ_EVENT_LISTENING:
				self->listener = (int) value;
				break;
			case ZMQ_EVENT_ACCEPTED:
				accepted(self, (int) value);
				break;
			case ZMQ_EVENT_DISCONNECTED:
				disconnected(self, (int) value);
				break;
			case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
				self->auth_failing++;
				break;
			case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
				if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
					self->stats.refused_mechanism++;
				else if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC ||
						 value == ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE)
					self->stats.refused_crypto++;
				else
					self->stats.refused_protocol++;
				self->blamed = true;
				break;
			case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
				self->stats.refused_protocol++;
				self->blamed = true;
				break;
			default:
				break;
		}
}

/* ---- ZAP (ZeroMQ RFC 27) ---- */

typedef struct ZapPart
{
	char		bytes[64];
	size_t		len;
} ZapPart;

static bool
part_is(const ZapPart *part, const char *text)
{
	return part->len == strlen(text) && memcmp(part->bytes, text, part->len) == 0;
}

static void
zap_say(Transport *self, const void *bytes, size_t len, bool more)
{
	zmq_msg_t	msg;

	if (zmq_msg_init_size(&msg, len) != 0)
		return;
	if (len > 0)
		memcpy(zmq_msg_data(&msg), bytes, len);
	(void) socket_send(self->zap, &msg, more ? ZMQ_SNDMORE : 0);
}

/* One request; false when there is none. */
static bool
zap_answer(Transport *self)
{
	/* version, request id, domain, address, routing id, mechanism, key */
	ZapPart		part[ZAP_PARTS] = {0};
	int			n = 0;
	bool		more;
	bool		whole = true;
	const char *code = "400";
	const char *text = "refused";
	char		user_id[USER_ID_LEN + 1] = "";

	do
	{
		zmq_msg_t	msg;
		int			len = socket_receive(self->zap, &msg);

		if (len < 0)
			return false;
		if (n < ZAP_PARTS && (size_t) len <= sizeof part[n].bytes)
		{
			memcpy(part[n].bytes, zmq_msg_data(&msg), (size_t) len);
			part[n].len = (size_t) len;
		}
		else
			whole = false;
		n++;
		more = zmq_msg_more(&msg);
		zmq_msg_close(&msg);
	} while (more);

	if (!whole || n != ZAP_PARTS || !part_is(&part[0], "1.0") || !part_is(&part[2], ZAP_DOMAIN) ||
		!part_is(&part[5], "CURVE") || part[6].len != CORE_KEY_BYTES)
		self->stats.refused_mechanism++;
	else if (transport_banned(self, (const uint8_t *) part[6].bytes))
		self->stats.refused_banned++;
	else if (!make_room(self))
	{
		self->stats.refused_room++;
		code = "300";
	}
	else
	{
		static const char digits[] = "0123456789abcdef";

		for (int i = 0; i < CORE_KEY_BYTES; i++)
		{
			user_id[2 * i] = digits[(uint8_t) part[6].bytes[i] >> 4];
			user_id[2 * i + 1] = digits[(uint8_t) part[6].bytes[i] & 15];
		}
		self->stats.admitted++;
		code = "200";
		text = "";
	}
	zap_say(self, "1.0", 3, true);
	zap_say(self, part[1].bytes, part[1].len, true);
	zap_say(self, code, 3, true);
	zap_say(self, text, strlen(text), true);
	zap_say(self, user_id, strlen(user_id), true);
	zap_say(self, "", 0, false);
	return true;
}

/* ---- frames ---- */

static bool
read_user_id(zmq_msg_t *msg, uint8_t key[CORE_KEY_BYTES])
{
	const char *text = zmq_msg_gets(msg, "User-Id");

	if (text == NULL || strlen(text) != USER_ID_LEN)
		return false;
	for (int i = 0; i < USER_ID_LEN; i++)
	{
		char		c = text[i];
		int			digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		key[i / 2] = (uint8_t) (i % 2 == 0 ? digit << 4 : key[i / 2] | digit);
	}
	return true;
}

static int
descriptor_of(zmq_msg_t *msg)
{
	const char *text = zmq_msg_gets(msg, "__fd");

	return text != NULL ? atoi(text) : -1;
}

/* The connection of a frame that is the first with this routing id. */
static Inbound *
introduce(Transport *self, uint32_t rid, int fd, const uint8_t *key)
{
	Inbound    *inbound = fd >= 0 ? by_fd(self, fd) : NULL;

	if (inbound != NULL && inbound->spoke)
	{
		/* libzmq has closed that and uses its descriptor again */
		inbound->connection.fd = -1;
		inbound = NULL;
	}
	if (inbound == NULL)
		inbound = new_inbound(self, fd);
	if (inbound == NULL)
		return NULL;
	if (!make_room(self))
	{
		inbound_cut(self, inbound);
		self->stats.refused_room++;
	}
	inbound->spoke = true;
	inbound->rid = rid;
	memcpy(inbound->key, key, CORE_KEY_BYTES);
	self->n_spoke++;
	self->by_rid[rid % (sizeof self->by_rid / sizeof self->by_rid[0])] = (int16_t) (inbound - self->inbound);
	return inbound;
}

/* Not what a node sends: the connection goes. */
static void
refuse_part(Transport *self, zmq_msg_t *msg)
{
	int			fd = descriptor_of(msg);
	Inbound    *inbound = self->part_known ? by_rid(self, self->part_rid) : NULL;

	self->stats.malformed++;
	if (inbound == NULL && fd >= 0)
		inbound = by_fd(self, fd);
	if (inbound == NULL)
		return;
	connection_delivered(&inbound->connection, zmq_msg_size(msg));
	if (!inbound->connection.cut)
	{
		inbound_cut(self, inbound);
		self->stats.cut++;
	}
}

bool
inbound_receive(Transport *self, TransportReceive receive, void *context, size_t *bytes)
{
	zmq_msg_t	msg;
	uint8_t		key[CORE_KEY_BYTES];
	Inbound    *inbound;
	size_t		len;

	if (self->part == PART_ROUTE)
	{
		const uint8_t *route;

		if (socket_receive(self->router, &msg) < 0)
			return false;
		route = zmq_msg_data(&msg);
		/* five bytes, the first 0: given by our ROUTER; nodes do not choose theirs */
		self->part_known = zmq_msg_size(&msg) == 5 && route[0] == 0;
		if (self->part_known)
			self->part_rid = (uint32_t) route[1] << 24 | (uint32_t) route[2] << 16 | (uint32_t) route[3] << 8 | route[4];
		self->part = zmq_msg_more(&msg) ? PART_FRAME : PART_ROUTE;
		zmq_msg_close(&msg);
		if (self->part == PART_ROUTE)
			return true;
	}
	if (socket_receive(self->router, &msg) < 0)
		return false;
	len = zmq_msg_size(&msg);
	*bytes += len;
	if (self->part == PART_SKIP || zmq_msg_more(&msg) || !self->part_known || !read_user_id(&msg, key))
	{
		self->part = zmq_msg_more(&msg) ? PART_SKIP : PART_ROUTE;
		refuse_part(self, &msg);
		zmq_msg_close(&msg);
		return true;
	}
	self->part = PART_ROUTE;
	inbound = by_rid(self, self->part_rid);
	if (inbound == NULL)
		inbound = introduce(self, self->part_rid, descriptor_of(&msg), key);
	if (inbound != NULL)
	{
		connection_delivered(&inbound->connection, len);
		if (!inbound->connection.cut && memcmp(inbound->key, key, sizeof key) == 0 &&
			!transport_banned(self, key))
		{
			inbound->traffic.heard_ms = self->tick_ms;
			inbound->traffic.frames_in++;
			inbound->traffic.bytes_in += len;
			self->stats.frames_in++;
			self->stats.bytes_in += len;
			receive(context, key, (TransportVia) {inbound->number}, zmq_msg_data(&msg), len);
		}
	}
	zmq_msg_close(&msg);
	return true;
}

TransportSent
inbound_send(Transport *self, Inbound *inbound, const uint8_t *frame, size_t len)
{
	uint8_t		route[5] = {0, (uint8_t) (inbound->rid >> 24), (uint8_t) (inbound->rid >> 16),
	(uint8_t) (inbound->rid >> 8), (uint8_t) inbound->rid};
	uint64_t	before = atomic_load(&inbound->queue->bytes);
	TransportSent sent = TRANSPORT_SENT;
	zmq_msg_t	msg;
	zmq_msg_t	to;

	if (!inbound->spoke || inbound->connection.cut)
		return TRANSPORT_ERROR;
	if (before > 0 && before + len > TRANSPORT_QUEUE_BYTES)
		sent = TRANSPORT_FULL;
	else if (!send_queue_message(inbound->queue, frame, len, &msg))
		return TRANSPORT_NO_ROOM;
	else if (zmq_msg_init_size(&to, sizeof route) != 0)
	{
		zmq_msg_close(&msg);
		return TRANSPORT_NO_ROOM;
	}
	else
	{
		memcpy(zmq_msg_data(&to), route, sizeof route);
		if (socket_send(self->router, &to, ZMQ_SNDMORE) != 0)
		{
			sent = errno == EAGAIN ? TRANSPORT_FULL : TRANSPORT_ERROR;
			zmq_msg_close(&msg);
		}
		else if (socket_send(self->router, &msg, 0) != 0)
			sent = TRANSPORT_ERROR;
	}
	if (socket_events(self->router) & ZMQ_POLLIN)
		transport_hurry(self);
	if (sent == TRANSPORT_SENT)
	{
		inbound->traffic.sent_ms = self->tick_ms;
		inbound->traffic.frames_out++;
		inbound->traffic.bytes_out += len;
		self->stats.frames_out++;
		self->stats.bytes_out += len;
	}
	else if (sent == TRANSPORT_FULL)
	{
		inbound->traffic.dropped++;
		self->stats.dropped++;
	}
	return sent;
}

/* ---- each poll ---- */

void
inbound_step(Transport *self)
{
	hear_monitor(self);
	for (int i = 0; i < ZAP_SLICE; i++)
		if (!zap_answer(self))
			break;
	if (socket_events(self->zap) & ZMQ_POLLIN)
		transport_hurry(self);
}
