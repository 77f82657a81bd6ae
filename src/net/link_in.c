/*
 * link_in.c
 *	  Connections that others make to us: from being accepted to their end, whom to
 *	  hang up on, frames either way.
 *
 * A monitor tells of connections by descriptor, a frame names its descriptor, too
 * (ZMQ_SRCFD): by that the two are matched.  The descriptors are libzmq's and may be
 * closed at any time; a connection is cut by shutdown(), which libzmq's thread
 * notices as the end of the stream.
 *
 * A connection is silent until its first frame tells whose it is; then it speaks.
 * Those who are silent and those who speak have limits of their own.
 */
#include "net/transport_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/assert.h"
#include "net/address.h"

#define INBOUND_PER_KEY 4
#define BEFORE_READY 234		/* bytes that we have sent when only READY is left: greeting, WELCOME */
#define INBOUND_IDLE_MS 60000	/* may be closed to make room for another */

static TransportVia
in_via(const Transport *self, const Inbound *in)
{
	return (TransportVia) {in->link.serial * VIA_SLOTS + VIA_INBOUND + (uint64_t) (in - self->in)};
}

Inbound *
in_of_via(const Transport *self, TransportVia via)
{
	uint64_t	slot = via.link % VIA_SLOTS;
	Inbound    *in;

	if (slot < VIA_INBOUND || slot >= VIA_INBOUND + INBOUND_SLOTS)
		return NULL;
	in = (Inbound *) &self->in[slot - VIA_INBOUND];
	return in->link.used && in->speaks && !in->cut && in->link.serial == via.link / VIA_SLOTS ? in : NULL;
}

static Inbound *
in_of_fd(const Transport *self, int fd)
{
	if (fd < 0 || fd >= self->by_fd_room || self->by_fd[fd] < 0)
		return NULL;
	return (Inbound *) &self->in[self->by_fd[fd]];
}

static bool
by_fd_grow(Transport *self, int fd)
{
	int			room = self->by_fd_room > 0 ? self->by_fd_room : 256;
	int16_t    *grown;

	if (fd < self->by_fd_room)
		return true;
	while (room <= fd)
		room *= 2;
	grown = realloc(self->by_fd, (size_t) room * sizeof *grown);
	if (grown == NULL)
		return false;
	for (int i = self->by_fd_room; i < room; i++)
		grown[i] = -1;
	self->by_fd = grown;
	self->by_fd_room = room;
	return true;
}

/* Is it still a connection that our listener accepted?  Then from whom? */
static bool
is_ours(const Transport *self, int fd, NetAddress *peer)
{
	struct sockaddr_storage name;
	socklen_t	size = sizeof name;
	NetAddress	own;

	if (getsockname(fd, (struct sockaddr *) &name, &size) != 0 ||
		!address_of_socket((struct sockaddr *) &name, &own) || own.port != self->port)
		return false;
	size = sizeof name;
	return getpeername(fd, (struct sockaddr *) &name, &size) == 0 &&
		address_of_socket((struct sockaddr *) &name, peer);
}

/*
 * End a connection.  Its descriptor is libzmq's: by now it may be closed, and its
 * number may be another's, which then is a younger one of our listener's.
 */
void
in_cut(Transport *self, Inbound *in)
{
	NetAddress	peer;

	in->cut = true;
	if (is_ours(self, in->link.fd, &peer) && net_address_equal(&peer, &in->address))
		shutdown(in->link.fd, SHUT_RDWR);
}

/* The same, and what the kernel has to send is thrown away: it might wait for minutes. */
void
in_reset(Transport *self, Inbound *in)
{
	NetAddress	peer;

	self->stats.cut++;
	if (is_ours(self, in->link.fd, &peer) && net_address_equal(&peer, &in->address))
		link_discard(&in->link);
	in_cut(self, in);
}

static void
in_forget(Transport *self, Inbound *in)
{
	CORE_ASSERT(in->link.used && in_of_fd(self, in->link.fd) == in && self->n_in > 0);
	CORE_ASSERT(in->speaks == (in->link.account != NULL));
	self->by_fd[in->link.fd] = -1;
	account_release(in->link.account);
	memset(in, 0, sizeof *in);
	self->n_in--;
	while (self->in_top > 0 && !self->in[self->in_top - 1].link.used)
		self->in_top--;
}

typedef struct OfSubnet
{
	uint64_t	subnet;
	int			slot;
} OfSubnet;

static int
compare_subnets(const void *left, const void *right)
{
	uint64_t	a = ((const OfSubnet *) left)->subnet;
	uint64_t	b = ((const OfSubnet *) right)->subnet;

	return a < b ? -1 : a > b;
}

/*
 * For each of the links chosen: how many of them are of its subnet; 0 for others.
 * Counted exactly: who floods could choose a subnet that shares a counter with another's.
 */
static void
count_subnets(const Transport *self, const bool *chosen, int *of_subnet)
{
	OfSubnet	by_subnet[INBOUND_SLOTS];
	int			n = 0;
	int			end;

	for (int i = 0; i < self->in_top; i++)
	{
		of_subnet[i] = 0;
		if (chosen[i])
			by_subnet[n++] = (OfSubnet) {self->in[i].subnet, i};
	}
	qsort(by_subnet, (size_t) n, sizeof *by_subnet, compare_subnets);
	for (int begin = 0; begin < n; begin = end)
	{
		for (end = begin + 1; end < n && by_subnet[end].subnet == by_subnet[begin].subnet; end++)
			;
		for (int i = begin; i < end; i++)
			of_subnet[by_subnet[i].slot] = end - begin;
	}
}

/*
 * The connection to cut so that another may come: of those that have sent no frame
 * yet, the oldest of the subnet that has most of them.  The newcomer is one of them.
 * So a subnet that floods us takes room from itself first.
 */
static Inbound *
in_silent_victim(Transport *self)
{
	bool		silent[INBOUND_SLOTS];
	int			of_subnet[INBOUND_SLOTS];
	Inbound    *victim = NULL;
	int			most = 0;

	for (int i = 0; i < self->in_top; i++)
		silent[i] = self->in[i].link.used && !self->in[i].cut && !self->in[i].speaks;
	count_subnets(self, silent, of_subnet);
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *in = &self->in[i];

		if (silent[i] && (of_subnet[i] > most || (of_subnet[i] == most && in->accepted < victim->accepted)))
		{
			most = of_subnet[i];
			victim = in;
		}
	}
	CORE_ASSERT(victim != NULL);
	return victim;
}

/*
 * The connection to cut so that one more that is known by its key may stay: one of the
 * subnet that has most of them, the newcomer counted.  So one who has many keys and few
 * addresses keeps nobody out.  Of that subnet it is the one that was not heard for
 * longest, if that is long or the newcomer is of another subnet; else the newcomer.
 */
static Inbound *
in_speaking_victim(Transport *self, Inbound *newcomer)
{
	bool		may_go[INBOUND_SLOTS];
	int			of_subnet[INBOUND_SLOTS];
	Inbound    *silent = NULL;
	int			most = 0;
	bool		itself = false;

	for (int i = 0; i < self->in_top; i++)
		may_go[i] = self->in[i].link.used && !self->in[i].cut && self->in[i].speaks &&
			transport_pin_at(self, self->in[i].link.key) < 0;
	count_subnets(self, may_go, of_subnet);
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *in = &self->in[i];

		if (!may_go[i] || of_subnet[i] < most)
			continue;
		if (of_subnet[i] > most)
		{
			silent = NULL;
			itself = false;
			most = of_subnet[i];
		}
		if (in == newcomer)
			itself = true;
		else if (silent == NULL || in->link.heard_ms < silent->link.heard_ms)
			silent = in;
	}
	if (silent == NULL || (itself && self->now_ms - silent->link.heard_ms < INBOUND_IDLE_MS))
		return newcomer;
	return silent;
}

/* A connection is known by its key now: cut one where its key or all keys have too many. */
static void
in_make_room(Transport *self, Inbound *newcomer)
{
	Inbound    *of_key = NULL;
	Inbound    *victim;
	int			same = 0;
	int			n = 0;

	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *in = &self->in[i];

		if (!in->link.used || in->cut || !in->speaks)
			continue;
		n++;
		if (memcmp(in->link.key, newcomer->link.key, CORE_KEY_BYTES) == 0)
		{
			same++;
			if (of_key == NULL || in->link.serial < of_key->link.serial)
				of_key = in;
		}
	}
	if (same <= INBOUND_PER_KEY && n <= self->config.max_inbound)
		return;
	victim = same > INBOUND_PER_KEY ? of_key : in_speaking_victim(self, newcomer);
	in_cut(self, victim);
	if (victim != newcomer)
		self->stats.evicted++;
	else
	{
		self->stats.refused_room++;
		transport_tell_refused(self, &newcomer->address, REASON_ROOM);
	}
}

static void
in_accepted(Transport *self, int fd)
{
	Inbound    *in = in_of_fd(self, fd);
	NetAddress	peer;
	int			silent = 0;
	int			speaking = 0;
	int			may;

	self->stats.accepted++;
	if (in != NULL)
		in_forget(self, in);
	if (!is_ours(self, fd, &peer))
		return;					/* it has ended; that event follows */
	for (int i = 0; i < INBOUND_SLOTS && in == NULL; i++)
		if (!self->in[i].link.used)
			in = &self->in[i];
	if (in == NULL || !by_fd_grow(self, fd))
	{
		self->stats.refused_room++;
		shutdown(fd, SHUT_RDWR);
		return;
	}
	memset(in, 0, sizeof *in);
	in->link.used = true;
	in->link.fd = fd;
	in->address = peer;
	in->accepted = ++self->order;
	in->link.since_ms = self->now_ms;
	in->subnet = net_address_subnet(&peer);
	self->by_fd[fd] = (int16_t) (in - self->in);
	self->n_in++;
	if (self->in_top <= in - self->in)
		self->in_top = (int) (in - self->in) + 1;
	if (self->starving)
	{
		/* the descriptor is needed for the others that wait */
		self->stats.refused_room++;
		in_cut(self, in);
		return;
	}
	for (int i = 0; i < self->in_top; i++)
		if (self->in[i].link.used && !self->in[i].cut)
		{
			silent += !self->in[i].speaks;
			speaking += self->in[i].speaks;
		}
	may = self->config.max_inbound - speaking;
	if (silent > (may > INBOUND_SPARE ? may : INBOUND_SPARE))
	{
		self->stats.refused_room++;
		in_cut(self, in_silent_victim(self));
	}
}

/* A connection has ended.  libzmq does not tell why when it speaks an old ZMTP, or another protocol. */
static void
in_ended(Transport *self, Inbound *in)
{
	Reason		reason = self->failure;
	NetAddress	from = in->address;

	if (reason == REASON_NONE && !in->speaks && !in->cut)
	{
		if (self->refused_keys > 0)
			self->refused_keys--;
		else if (!zap_has_admitted(self, in->address.ip, in->accepted))
		{
			self->stats.refused_protocol++;
			reason = REASON_PROTOCOL;
		}
	}
	in_forget(self, in);
	if (reason != REASON_NONE)
		transport_tell_refused(self, &from, reason);
}

static void
in_event(Transport *self, uint16_t event, uint32_t value)
{
	Inbound    *in;

	switch (event)
	{
		case ZMQ_EVENT_ACCEPTED:
			in_accepted(self, (int) value);
			break;
		case ZMQ_EVENT_DISCONNECTED:
			in = in_of_fd(self, (int) value);
			if (in != NULL)
				in_ended(self, in);
			else if (self->failure == REASON_NONE)
				self->stats.refused_protocol++; /* gone before we could look */
			self->failure = REASON_NONE;
			break;
		case ZMQ_EVENT_ACCEPT_FAILED:
			self->stats.accept_failed++;
			if (value == EMFILE || value == ENFILE || value == ENOMEM || value == ENOBUFS)
			{
				listener_close(self, true);
				self->starving = true;
				self->open_ms = self->now_ms + 1000;
			}
			break;
		case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
			if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
			{
				self->failure = REASON_MECHANISM;
				self->stats.refused_mechanism++;
			}
			else if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC || value == ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE)
			{
				self->failure = REASON_CRYPTO;
				self->stats.refused_crypto++;
			}
			else
			{
				self->failure = REASON_PROTOCOL;
				self->stats.refused_protocol++;
			}
			break;
		case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
			self->failure = REASON_PROTOCOL;
			self->stats.refused_protocol++;
			break;
		default:				/* what our own handler refused it has counted */
			break;
	}
}

/* True when there may be more. */
bool
in_events(Transport *self, int most)
{
	uint16_t	event;
	uint32_t	value;

	while (port_monitor_event(&self->monitor, &event, &value))
	{
		in_event(self, event, value);
		if (--most <= 0)
			return true;
	}
	return false;
}

/*
 * May all that has come of it be its handshake?  That lasts until it has READY, which
 * libzmq sends after our handler has answered; who speaks before does so on purpose.
 * What comes later, however much, acknowledges READY.
 */
static bool
in_shakes_hands(const Inbound *in)
{
	return !in->speaks && in->link.stream.taken <= BEFORE_READY;
}

bool
in_is_sound(Transport *self, Inbound *in)
{
	return link_look(&in->link, self->now_ms) &&
		in->link.stream.held <= HELD_BYTES &&
		!(in_shakes_hands(in) && in->link.stream.received > HANDSHAKE_BYTES) &&
		(in->speaks || self->now_ms - in->link.since_ms < SILENT_MS);
}

/*
 * Somebody from there has sent all of its handshake and waits for us.  Look at
 * the connections that may be it: of one whose handshake is long, libzmq would keep
 * the metadata, in forty times the space.
 */
void
in_look_at_handshakes(Transport *self, const uint8_t ip[16])
{
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *in = &self->in[i];

		if (!in->link.used || in->cut || in->speaks || memcmp(in->address.ip, ip, 16) != 0)
			continue;
		link_look(&in->link, self->now_ms);
		if (in_shakes_hands(in) && in->link.stream.received > HANDSHAKE_BYTES)
			in_reset(self, in);
	}
}

/*
 * The first frame of a connection tells which admitted handshake it is of, and so by
 * whom.  NULL when the connection has ended.
 */
static Inbound *
in_begin_to_speak(Transport *self, Inbound *in, const uint8_t *key, uint64_t serial, zmq_msg_t *routing_id)
{
	uint64_t	order;

	/* a descriptor accepted after the handshake is another's */
	if (!zap_take(self, serial, &order) || in == NULL || in->accepted > order || in->cut)
		return NULL;
	/* ours choose none; libzmq asserts that none is chosen which it makes itself */
	if (zmq_msg_size(routing_id) != ROUTING_ID_BYTES || *(uint8_t *) zmq_msg_data(routing_id) != 0)
	{
		self->stats.cut++;
		in_cut(self, in);
		return in;
	}
	in->link.account = account_new();
	if (in->link.account == NULL)
		return NULL;
	in->speaks = true;
	in->link.serial = serial;
	in->link.since_ms = self->now_ms;
	memcpy(in->link.key, key, CORE_KEY_BYTES);
	in->link.heard_ms = self->now_ms;
	memcpy(in->routing_id, zmq_msg_data(routing_id), ROUTING_ID_BYTES);
	link_look(&in->link, self->now_ms);
	in_make_room(self, in);
	return in;
}

/* The connection with this number; NULL when it has ended. */
static Inbound *
in_of_frame(Transport *self, zmq_msg_t *msg, const uint8_t *key, uint64_t serial, zmq_msg_t *routing_id)
{
	Inbound    *in = in_of_fd(self, zmq_msg_get(msg, ZMQ_SRCFD));

	if (in != NULL && in->speaks)
		return in->link.serial == serial ? in : NULL;
	return in_begin_to_speak(self, in, key, serial, routing_id);
}

/* ---- those of a key ---- */

static bool
in_is_of(const Inbound *in, const uint8_t *key)
{
	return in->link.used && in->speaks && !in->cut && memcmp(in->link.key, key, CORE_KEY_BYTES) == 0;
}

Inbound *
in_find(Transport *self, const uint8_t *key)
{
	Inbound    *youngest = NULL;

	for (int i = 0; i < self->in_top; i++)
		if (in_is_of(&self->in[i], key) &&
			(youngest == NULL || self->in[i].link.serial > youngest->link.serial))
			youngest = &self->in[i];
	return youngest;
}

void
in_cut_key(Transport *self, const uint8_t *key)
{
	for (int i = 0; i < self->in_top; i++)
		if (in_is_of(&self->in[i], key))
			in_cut(self, &self->in[i]);
}

void
in_cut_silent(Transport *self, const uint8_t ip[16], uint64_t before)
{
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *in = &self->in[i];

		if (in->link.used && !in->cut && !in->speaks && in->accepted < before &&
			memcmp(in->address.ip, ip, 16) == 0)
			in_cut(self, in);
	}
}

/* ---- frames ---- */

TransportSent
in_send(Transport *self, Inbound *in, const uint8_t *bytes, size_t len)
{
	Frame	   *frame;
	zmq_msg_t	msg;

	CORE_ASSERT(in->speaks && in->link.account != NULL);
	if (!account_has_room(in->link.account, len))
	{
		link_count_dropped(self, &in->link);
		return TRANSPORT_FULL;
	}
	frame = frame_new(in->link.account, bytes, len);
	if (frame == NULL)
		return TRANSPORT_NO_ROOM;
	if (zmq_msg_init_data(&msg, frame->data, len, frame_free, frame) != 0)
	{
		frame_free(NULL, frame);
		return TRANSPORT_NO_ROOM;
	}
	if (port_send_bytes(self->router.socket, in->routing_id, ROUTING_ID_BYTES, ZMQ_SNDMORE) < 0 ||
		port_send(&msg, self->router.socket) < 0)
	{
		bool		full = zmq_errno() == EAGAIN;

		zmq_msg_close(&msg);
		port_sent(self, &self->router);
		return full ? TRANSPORT_FULL : TRANSPORT_ERROR;
	}
	link_count_sent(self, &in->link, len);
	port_sent(self, &self->router);
	return TRANSPORT_SENT;
}

/* One message of the ROUTER; false when there is none. */
bool
in_receive(Transport *self, TransportReceive receive, void *context)
{
	zmq_msg_t	id;
	zmq_msg_t	msg;
	uint8_t		key[CORE_KEY_BYTES];
	uint64_t	serial;
	Inbound    *in;
	TransportVia via = {0};

	zmq_msg_init(&id);
	if (port_receive(&id, self->router.socket) < 0)
	{
		zmq_msg_close(&id);
		return false;
	}
	zmq_msg_init(&msg);
	if (!zmq_msg_more(&id) || port_receive(&msg, self->router.socket) < 0 || zmq_msg_more(&msg) ||
		zmq_msg_size(&msg) > TRANSPORT_FRAME_MAX || !zap_whose(&msg, key, &serial))
	{
		uint64_t	bytes;

		in = zap_whose(&msg, key, &serial) ? in_of_frame(self, &msg, key, serial, &id) : NULL;
		bytes = port_drain(&msg, self->router.socket);
		if (in != NULL)
			in->link.stream.seen += bytes;
		self->stats.malformed++;
	}
	else
	{
		size_t		len = zmq_msg_size(&msg);

		in = in_of_frame(self, &msg, key, serial, &id);
		if (in != NULL)
		{
			link_count_received(self, &in->link, len);
			via = in_via(self, in);
		}
		else
		{
			self->stats.frames_in++;
			self->stats.bytes_in += len;
		}
		if (receive != NULL && (in == NULL || !in->cut))
			transport_hand_over(receive, context, key, via, &msg);
	}
	zmq_msg_close(&msg);
	zmq_msg_close(&id);
	return true;
}

void
in_info(const Transport *self, const Inbound *in, TransportLinkInfo *info)
{
	link_info(self, &in->link, info);
	info->address = in->address;
	info->state = TRANSPORT_UP;
}
