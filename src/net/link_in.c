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

#include "net/address.h"

#define INBOUND_PER_KEY 4
#define BEFORE_READY 234		/* bytes that we have sent when only READY is left: greeting, WELCOME */
#define INBOUND_IDLE_MS 60000	/* may be closed to make room for another */

static TransportVia
in_via(const Transport *self, const Inbound *link)
{
	return (TransportVia) {link->serial * 8192 + VIA_INBOUND + (uint64_t) (link - self->in)};
}

Inbound *
in_of_via(const Transport *self, TransportVia via)
{
	uint64_t	slot = via.link % 8192;
	Inbound    *link;

	if (slot < VIA_INBOUND || slot >= VIA_INBOUND + INBOUND_SLOTS)
		return NULL;
	link = (Inbound *) &self->in[slot - VIA_INBOUND];
	return link->used && link->speaks && !link->cut && link->serial == via.link / 8192 ? link : NULL;
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
in_cut(Transport *self, Inbound *link)
{
	NetAddress	peer;

	link->cut = true;
	if (is_ours(self, link->fd, &peer) && net_address_equal(&peer, &link->address))
		shutdown(link->fd, SHUT_RDWR);
}

/* The same, and what the kernel has to send is thrown away: it might wait for minutes. */
void
in_reset(Transport *self, Inbound *link)
{
	struct linger now = {1, 0};
	NetAddress	peer;

	self->stats.cut++;
	if (is_ours(self, link->fd, &peer) && net_address_equal(&peer, &link->address))
		setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	in_cut(self, link);
}

static void
in_forget(Transport *self, Inbound *link)
{
	self->by_fd[link->fd] = -1;
	account_release(link->account);
	memset(link, 0, sizeof *link);
	self->n_in--;
	while (self->in_top > 0 && !self->in[self->in_top - 1].used)
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
 * Whom to hang up on so that another may come: of those that have said nothing
 * yet the oldest of the subnet that has most of them, the newcomer among them.
 * So a subnet that floods us gets in its own way first.
 */
static Inbound *
in_silent_victim(Transport *self)
{
	bool		silent[INBOUND_SLOTS];
	int			of_subnet[INBOUND_SLOTS];
	Inbound    *victim = NULL;
	int			most = 0;

	for (int i = 0; i < self->in_top; i++)
		silent[i] = self->in[i].used && !self->in[i].cut && !self->in[i].speaks;
	count_subnets(self, silent, of_subnet);
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (silent[i] && (of_subnet[i] > most || (of_subnet[i] == most && link->accepted < victim->accepted)))
		{
			most = of_subnet[i];
			victim = link;
		}
	}
	return victim;
}

/*
 * Whom to hang up on so that one more which is known by its key may stay: one of the
 * subnet that has most of them, the newcomer among them.  So who has many keys and
 * few addresses keeps nobody out.  Of that subnet it is who was not heard for longest,
 * if that is long, or if the newcomer is of another one; else the newcomer.
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
		may_go[i] = self->in[i].used && !self->in[i].cut && self->in[i].speaks && transport_pin_at(self, self->in[i].key) < 0;
	count_subnets(self, may_go, of_subnet);
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (!may_go[i] || of_subnet[i] < most)
			continue;
		if (of_subnet[i] > most)
		{
			silent = NULL;
			itself = false;
			most = of_subnet[i];
		}
		if (link == newcomer)
			itself = true;
		else if (silent == NULL || link->heard_ms < silent->heard_ms)
			silent = link;
	}
	if (silent == NULL || (itself && self->now_ms - silent->heard_ms < INBOUND_IDLE_MS))
		return newcomer;
	return silent;
}

/* A connection is known by its key now: has it room? */
static void
in_make_room(Transport *self, Inbound *newcomer)
{
	Inbound    *of_key = NULL;
	Inbound    *victim;
	int			same = 0;
	int			n = 0;

	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (!link->used || link->cut || !link->speaks)
			continue;
		n++;
		if (memcmp(link->key, newcomer->key, CORE_KEY_BYTES) == 0)
		{
			same++;
			if (of_key == NULL || link->serial < of_key->serial)
				of_key = link;
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
	Inbound    *link = in_of_fd(self, fd);
	NetAddress	peer;
	int			silent = 0;
	int			speaking = 0;
	int			may;

	self->stats.accepted++;
	if (link != NULL)
		in_forget(self, link);
	if (!is_ours(self, fd, &peer))
		return;					/* it has ended; that event follows */
	for (int i = 0; i < INBOUND_SLOTS && link == NULL; i++)
		if (!self->in[i].used)
			link = &self->in[i];
	if (link == NULL || !by_fd_grow(self, fd))
	{
		self->stats.refused_room++;
		shutdown(fd, SHUT_RDWR);
		return;
	}
	memset(link, 0, sizeof *link);
	link->used = true;
	link->fd = fd;
	link->address = peer;
	link->accepted = ++self->order;
	link->since_ms = self->now_ms;
	link->subnet = net_address_subnet(&peer);
	self->by_fd[fd] = (int16_t) (link - self->in);
	self->n_in++;
	if (self->in_top <= link - self->in)
		self->in_top = (int) (link - self->in) + 1;
	if (self->starving)
	{
		/* the descriptor is needed for the others that wait */
		self->stats.refused_room++;
		in_cut(self, link);
		return;
	}
	for (int i = 0; i < self->in_top; i++)
		if (self->in[i].used && !self->in[i].cut)
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

/* Was it one that our handler has let in, for all we know? */
static bool
in_was_admitted(const Transport *self, const Inbound *link)
{
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
		if (self->admitted[i].serial != 0 && self->admitted[i].order > link->accepted &&
			memcmp(self->admitted[i].ip, link->address.ip, 16) == 0)
			return true;
	return false;
}

/* A connection has ended.  libzmq does not tell why when it speaks an old ZMTP, or another protocol. */
static void
in_ended(Transport *self, Inbound *link)
{
	Reason		reason = self->failure;
	NetAddress	from = link->address;

	if (reason == REASON_NONE && !link->speaks && !link->cut)
	{
		if (self->refused_keys > 0)
			self->refused_keys--;
		else if (!in_was_admitted(self, link))
		{
			self->stats.refused_protocol++;
			reason = REASON_PROTOCOL;
		}
	}
	in_forget(self, link);
	if (reason != REASON_NONE)
		transport_tell_refused(self, &from, reason);
}

static void
in_event(Transport *self, uint16_t event, uint32_t value)
{
	Inbound    *link;

	switch (event)
	{
		case ZMQ_EVENT_ACCEPTED:
			in_accepted(self, (int) value);
			break;
		case ZMQ_EVENT_DISCONNECTED:
			link = in_of_fd(self, (int) value);
			if (link != NULL)
				in_ended(self, link);
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
bool
in_shakes_hands(const Inbound *link)
{
	return !link->speaks && link->stream.taken <= BEFORE_READY;
}

/*
 * Somebody from there has sent all of its handshake and waits for us.  Look at
 * those who may be it: one whose handshake is long would have libzmq keep what it
 * says about itself, in forty times the space.
 */
void
in_look_at_handshakes(Transport *self, const uint8_t ip[16])
{
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (!link->used || link->cut || link->speaks || memcmp(link->address.ip, ip, 16) != 0)
			continue;
		stream_look(&link->stream, link->fd, NULL, self->now_ms);
		if (in_shakes_hands(link) && link->stream.received > HANDSHAKE_BYTES)
			in_reset(self, link);
	}
}

/* The connection with this number; NULL when it has ended. */
static Inbound *
in_of_frame(Transport *self, zmq_msg_t *msg, const uint8_t *key, uint64_t serial, zmq_msg_t *routing_id)
{
	Inbound    *link = in_of_fd(self, zmq_msg_get(msg, ZMQ_SRCFD));

	if (link != NULL && link->speaks)
		return link->serial == serial ? link : NULL;
	for (int i = 0; i < ADMITTED_MAX; i++)
	{
		Admitted   *slot = &self->admitted[i];

		if (slot->serial != serial)
			continue;
		slot->serial = 0;
		self->n_admitted--;
		/* a descriptor accepted after the handshake is another's */
		if (link == NULL || link->accepted > slot->order || link->cut)
			return NULL;
		/* ours choose none; libzmq asserts that none is chosen which it makes itself */
		if (zmq_msg_size(routing_id) != ROUTING_ID_BYTES || *(uint8_t *) zmq_msg_data(routing_id) != 0)
		{
			self->stats.cut++;
			in_cut(self, link);
			return link;
		}
		link->account = account_new();
		if (link->account == NULL)
			return NULL;
		link->speaks = true;
		link->serial = serial;
		link->since_ms = self->now_ms;
		memcpy(link->key, key, CORE_KEY_BYTES);
		link->heard_ms = self->now_ms;
		memcpy(link->routing_id, zmq_msg_data(routing_id), ROUTING_ID_BYTES);
		stream_look(&link->stream, link->fd, link->account, self->now_ms);
		in_make_room(self, link);
		return link;
	}
	return NULL;
}

TransportSent
in_send(Transport *self, Inbound *link, const uint8_t *bytes, size_t len)
{
	Frame	   *frame;
	zmq_msg_t	msg;

	if (!account_has_room(link->account, len))
	{
		link->dropped++;
		self->stats.dropped++;
		return TRANSPORT_FULL;
	}
	frame = frame_new(link->account, bytes, len);
	if (frame == NULL)
		return TRANSPORT_NO_ROOM;
	if (zmq_msg_init_data(&msg, frame->data, len, frame_free, frame) != 0)
	{
		frame_free(NULL, frame);
		return TRANSPORT_NO_ROOM;
	}
	if (port_send_bytes(self->router.socket, link->routing_id, ROUTING_ID_BYTES, ZMQ_SNDMORE) < 0 ||
		port_send(&msg, self->router.socket) < 0)
	{
		bool		full = zmq_errno() == EAGAIN;

		zmq_msg_close(&msg);
		port_sent(self, &self->router);
		return full ? TRANSPORT_FULL : TRANSPORT_ERROR;
	}
	link->frames_out++;
	link->bytes_out += len;
	self->stats.frames_out++;
	self->stats.bytes_out += len;
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
	Inbound    *link;
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

		link = zap_whose(&msg, key, &serial) ? in_of_frame(self, &msg, key, serial, &id) : NULL;
		bytes = port_drain(&msg, self->router.socket);
		if (link != NULL)
			link->stream.seen += bytes;
		self->stats.malformed++;
	}
	else
	{
		size_t		len = zmq_msg_size(&msg);

		link = in_of_frame(self, &msg, key, serial, &id);
		self->stats.frames_in++;
		self->stats.bytes_in += len;
		if (link != NULL)
		{
			link->heard_ms = self->now_ms;
			link->frames_in++;
			link->bytes_in += len;
			link->stream.seen += wire_bytes(len);
			via = in_via(self, link);
		}
		if (receive != NULL && (link == NULL || !link->cut))
			transport_hand_over(receive, context, key, via, &msg);
	}
	zmq_msg_close(&msg);
	zmq_msg_close(&id);
	return true;
}

void
in_info(const Transport *self, const Inbound *link, TransportLinkInfo *out)
{
	memset(out, 0, sizeof *out);
	memcpy(out->curve_key, link->key, CORE_KEY_BYTES);
	out->address = link->address;
	out->pinned = transport_pin_at(self, link->key) >= 0;
	out->state = TRANSPORT_UP;
	out->since_ms = link->since_ms;
	out->heard_ms = link->heard_ms;
	out->frames_in = link->frames_in;
	out->frames_out = link->frames_out;
	out->bytes_in = link->bytes_in;
	out->bytes_out = link->bytes_out;
	out->dropped = link->dropped;
	out->queued_bytes = account_queued(link->account);
	out->held_bytes = link->stream.held;
}
