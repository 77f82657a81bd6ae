/*
 * link_out.c
 *	  Links that we make: a DEALER for each, its addresses tried in turn, and made
 *	  again when it breaks.
 *
 * A DEALER is for one connection and does not reconnect: the next attempt is ours
 * to make, with a new one.  Until the handshake is over frames wait here.
 */
#include "net/transport_private.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <sodium.h>

#include "net/address.h"

#define WAITING_FRAMES 64		/* of a link that is not up yet */
#define ATTEMPT_SPARE_MS 1000	/* an attempt at one address may take this longer */
#define RETRY_LAST_MS 60000
#define ANSWER_MS 3000			/* so long a frame may have to wait for its answer */

static TransportVia
out_via(const Transport *self, const Outbound *link)
{
	return (TransportVia) {link->serial * 8192 + (uint64_t) (link - self->out)};
}

Outbound *
out_of_via(const Transport *self, TransportVia via)
{
	uint64_t	slot = via.link % 8192;
	Outbound   *link;

	if (slot >= TRANSPORT_LINKS_MAX)
		return NULL;
	link = (Outbound *) &self->out[slot];
	return link->used && link->up && link->serial == via.link / 8192 ? link : NULL;
}

Outbound *
out_find(const Transport *self, const uint8_t *key)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->out[i].used && memcmp(self->out[i].key, key, CORE_KEY_BYTES) == 0)
			return (Outbound *) &self->out[i];
	return NULL;
}

static void
out_close_socket(Transport *self, Outbound *link, int linger_ms)
{
	if (link->dealer.socket != NULL)
		zmq_socket_monitor(link->dealer.socket, NULL, 0);
	port_close(self, &link->monitor, 0);
	port_close(self, &link->dealer, linger_ms);
	link->up = false;
	link->fd = -1;
}

void
out_drop_waiting(Outbound *link)
{
	while (link->first != NULL)
	{
		Frame	   *frame = link->first;

		link->first = frame->next;
		frame_free(NULL, frame);
	}
	link->last = &link->first;
	link->waiting = 0;
}

static void
tell_unreachable(Transport *self, const uint8_t *key)
{
	ContainFrame *frame;

	self->stats.unreachable++;
	if (self->config.unreachable == NULL)
		return;
	frame = contain_suspend();
	self->config.unreachable(self->config.context, key);
	contain_resume(frame);
}

void
out_forget(Transport *self, Outbound *link, bool tell)
{
	uint8_t		key[CORE_KEY_BYTES];

	memcpy(key, link->key, sizeof key);
	out_close_socket(self, link, LINGER_MS);
	out_drop_waiting(link);
	account_release(link->account);
	memset(link, 0, sizeof *link);
	link->fd = -1;
	if (tell)
	{
		tell_unreachable(self, key);
	}
}

/* A DEALER to the address at hand. */
bool
out_attempt(Transport *self, Outbound *link)
{
	const NetAddress *address = &link->addresses[link->at];
	static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
	char		ip[INET6_ADDRSTRLEN];
	char		endpoint[80];
	char		monitor[48];
	void	   *dealer;

	link->serial = ++self->serial;
	link->failed = false;
	link->fd = -1;
	link->stream = (Stream) {0};
	link->deadline_ms = self->now_ms + self->config.handshake_ms + ATTEMPT_SPARE_MS;
	link->tried++;
	if (memcmp(address->ip, v4_prefix, sizeof v4_prefix) == 0)
	{
		inet_ntop(AF_INET, address->ip + 12, ip, sizeof ip);
		snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", ip, address->port);
	}
	else
	{
		inet_ntop(AF_INET6, address->ip, ip, sizeof ip);
		snprintf(endpoint, sizeof endpoint, "tcp://[%s]:%u", ip, address->port);
	}
	snprintf(monitor, sizeof monitor, "inproc://dealer.monitor.%llu", (unsigned long long) link->serial);

	dealer = link->dealer.socket = zmq_socket(self->context, ZMQ_DEALER);
	if (dealer == NULL)
		return false;
	if (zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, link->key, CORE_KEY_BYTES) != 0 ||
		zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, self->config.curve_public, CORE_KEY_BYTES) != 0 ||
		zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, self->config.curve_secret, CORE_KEY_BYTES) != 0 ||
		!port_set_int(dealer, ZMQ_IPV6, 1) ||
		!port_set_int(dealer, ZMQ_IMMEDIATE, 1) ||
		!port_set_int(dealer, ZMQ_LINGER, LINGER_MS) ||
		zmq_setsockopt(dealer, ZMQ_MAXMSGSIZE, &(int64_t) {TRANSPORT_FRAME_MAX + 64}, sizeof(int64_t)) != 0 ||
		!port_set_int(dealer, ZMQ_RCVHWM, 0) ||
		!port_set_int(dealer, ZMQ_SNDHWM, 0) ||
		!port_set_int(dealer, ZMQ_RECONNECT_IVL, -1) ||
		!port_set_int(dealer, ZMQ_CONNECT_TIMEOUT, self->config.handshake_ms) ||
		!port_set_int(dealer, ZMQ_HANDSHAKE_IVL, self->config.handshake_ms) ||
		!port_set_int(dealer, ZMQ_HEARTBEAT_IVL, self->config.heartbeat_ms) ||
		!port_set_int(dealer, ZMQ_HEARTBEAT_TIMEOUT, self->config.heartbeat_timeout_ms) ||
		!port_set_int(dealer, ZMQ_HEARTBEAT_TTL, self->config.heartbeat_timeout_ms) ||
		PATIENT(zmq_socket_monitor(dealer, monitor, ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
								   ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
								   ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)) != 0)
		return false;
	link->monitor.socket = zmq_socket(self->context, ZMQ_PAIR);
	return link->monitor.socket != NULL && port_set_int(link->monitor.socket, ZMQ_LINGER, 0) &&
		PATIENT(zmq_connect(link->monitor.socket, monitor)) == 0 && port_add(self, &link->monitor) &&
		PATIENT(zmq_connect(dealer, endpoint)) == 0 && port_add(self, &link->dealer);
}

/* The attempt or the link has failed: the next address, a pause, or the end. */
static void
out_failed(Transport *self, Outbound *link)
{
	uint8_t		key[CORE_KEY_BYTES];

	if (!link->up)
		self->stats.outbound_failed++;
	else
	{
		link->tried = 0;
		link->at = -1;
		link->since_ms = self->now_ms;
	}
	out_close_socket(self, link, 0);
	if (link->tried < link->n_addresses)
	{
		link->at = (link->at + 1) % link->n_addresses;
		link->deadline_ms = self->now_ms + (link->tried == 0 ? RETRY_FIRST_MS : 0);
	}
	else if (transport_pin_at(self, link->key) < 0)
		out_forget(self, link, true);
	else
	{
		out_drop_waiting(link);
		link->tried = 0;
		link->at = 0;
		link->deadline_ms = self->now_ms + link->retry_ms + (int64_t) randombytes_uniform((uint32_t) link->retry_ms / 4 + 1);
		link->retry_ms = link->retry_ms * 2 < RETRY_LAST_MS ? link->retry_ms * 2 : RETRY_LAST_MS;
		memcpy(key, link->key, sizeof key);
		tell_unreachable(self, key);
	}
}

/* Give libzmq what waits, as far as it takes it. */
static void
out_flush(Transport *self, Outbound *link)
{
	if (link->dealer.socket == NULL)
		return;
	while (link->up && link->first != NULL && (port_events(&link->dealer) & ZMQ_POLLOUT) != 0)
	{
		Frame	   *frame = link->first;
		size_t		len = frame->len;
		zmq_msg_t	msg;

		link->first = frame->next;
		if (link->first == NULL)
			link->last = &link->first;
		link->waiting--;
		if (zmq_msg_init_data(&msg, frame->data, len, frame_free, frame) != 0)
		{
			frame_free(NULL, frame);
			self->stats.dropped++;
		}
		else if (port_send(&msg, link->dealer.socket) < 0)
		{
			zmq_msg_close(&msg);
			self->stats.dropped++;
		}
		else
		{
			link->frames_out++;
			link->bytes_out += len;
			self->stats.frames_out++;
			self->stats.bytes_out += len;
		}
	}
	port_sent(self, &link->dealer);
}

static void
out_events(Transport *self, Outbound *link)
{
	uint16_t	event;
	uint32_t	value;

	while (port_monitor_event(&link->monitor, &event, &value))
		switch (event)
		{
			case ZMQ_EVENT_CONNECTED:
				link->fd = (int) value;
				break;
			case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
				link->up = true;
				link->retry_ms = RETRY_FIRST_MS;
				link->since_ms = self->now_ms;
				self->stats.outbound_made++;
				break;
			default:
				link->failed = true;
				link->fd = -1;
				break;
		}
}

/* Closed now, it would lose an answer that is on its way. */
static bool
out_awaits(const Transport *self, const Outbound *link)
{
	return link->frames_out > link->frames_in && self->now_ms - link->used_ms < ANSWER_MS;
}

/* Whom to give up for another: idle, unpinned, the least recently used. */
Outbound *
out_slot(Transport *self)
{
	Outbound   *slot = NULL;
	Outbound   *idle = NULL;
	int			n = 0;

	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *link = &self->out[i];

		if (!link->used)
		{
			if (slot == NULL)
				slot = link;
			continue;
		}
		n++;
		if (account_queued(link->account) == 0 && link->up && !out_awaits(self, link) && transport_pin_at(self, link->key) < 0 &&
			(idle == NULL || link->used_ms < idle->used_ms))
			idle = link;
	}
	if (n < self->config.max_links)
		return slot;
	if (idle == NULL)
		return NULL;
	self->stats.evicted++;
	out_forget(self, idle, false);
	return idle;
}

bool
out_addresses(Outbound *link, const NetAddress *addresses, int n)
{
	NetAddress	usable[TRANSPORT_ADDRESSES];
	int			n_usable = 0;

	for (int i = 0; i < n && n_usable < TRANSPORT_ADDRESSES; i++)
		if (net_address_usable(&addresses[i]))
			usable[n_usable++] = addresses[i];
	if (n_usable == 0)
		return false;			/* those that it has stay */
	memcpy(link->addresses, usable, sizeof usable[0] * (size_t) n_usable);
	link->n_addresses = n_usable;
	return true;
}

TransportSent
out_send(Transport *self, Outbound *link, const uint8_t *bytes, size_t len)
{
	Frame	   *frame;

	if (!account_has_room(link->account, len) || (!link->up && link->waiting >= WAITING_FRAMES))
	{
		link->dropped++;
		self->stats.dropped++;
		return TRANSPORT_FULL;
	}
	frame = frame_new(link->account, bytes, len);
	if (frame == NULL)
		return TRANSPORT_NO_ROOM;
	*link->last = frame;
	link->last = &frame->next;
	link->waiting++;
	link->used_ms = self->now_ms;
	if (link->up)
		out_flush(self, link);
	return TRANSPORT_SENT;
}

bool
out_receive(Transport *self, Outbound *link, TransportReceive receive, void *context)
{
	zmq_msg_t	msg;
	uint8_t		key[CORE_KEY_BYTES];

	zmq_msg_init(&msg);
	if (port_receive(&msg, link->dealer.socket) < 0)
	{
		zmq_msg_close(&msg);
		return false;
	}
	if (zmq_msg_more(&msg) || zmq_msg_size(&msg) > TRANSPORT_FRAME_MAX)
	{
		self->stats.malformed++;
		link->stream.seen += port_drain(&msg, link->dealer.socket);
	}
	else
	{
		size_t		len = zmq_msg_size(&msg);

		link->stream.seen += wire_bytes(len);
		memcpy(key, link->key, sizeof key);
		link->heard_ms = link->used_ms = self->now_ms;
		link->frames_in++;
		link->bytes_in += len;
		self->stats.frames_in++;
		self->stats.bytes_in += len;
		if (receive != NULL)
			transport_hand_over(receive, context, key, out_via(self, link), &msg);
	}
	zmq_msg_close(&msg);
	return true;
}

void
out_reset(Transport *self, Outbound *link)
{
	struct linger now = {1, 0};
	struct sockaddr_storage name;
	socklen_t	size = sizeof name;
	NetAddress	peer;

	self->stats.cut++;
	/* it is libzmq's, and may be something else by now */
	if (link->fd >= 0 && getpeername(link->fd, (struct sockaddr *) &name, &size) == 0 &&
		address_of_socket((struct sockaddr *) &name, &peer) && net_address_equal(&peer, &link->addresses[link->at]))
		setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	out_failed(self, link);
}

/*
 * Its handshake is over, and we have said nothing yet, so that nobody but one who means
 * harm has said more: a long READY would be kept by libzmq as a long INITIATE is.
 */
static bool
out_handshake_is_short(Transport *self, Outbound *link)
{
	stream_look(&link->stream, link->fd, link->account, self->now_ms);
	return link->stream.received <= HANDSHAKE_BYTES;
}

void
out_step(Transport *self)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *link = &self->out[i];

		if (!link->used)
			continue;
		if (link->monitor.socket != NULL && link->monitor.ready)
		{
			bool		was_up = link->up;

			link->monitor.ready = false;
			out_events(self, link);
			if (link->up && !was_up && !link->failed && !out_handshake_is_short(self, link))
			{
				out_reset(self, link);
				continue;
			}
		}
		/* what came before the end is read first */
		if (link->failed && link->up && (port_events(&link->dealer) & ZMQ_POLLIN) != 0)
		{
			link->dealer.ready = true;
			continue;
		}
		if (link->failed || (link->dealer.socket != NULL && !link->up && self->now_ms >= link->deadline_ms))
		{
			link->failed = false;
			out_failed(self, link);
		}
		if (!link->used)
			continue;
		if (link->dealer.socket == NULL && self->now_ms >= link->deadline_ms && !out_attempt(self, link))
			link->failed = true;
		if (link->up && link->first != NULL)
			out_flush(self, link);
	}
}

void
out_info(const Transport *self, const Outbound *link, TransportLinkInfo *out)
{
	memset(out, 0, sizeof *out);
	memcpy(out->curve_key, link->key, CORE_KEY_BYTES);
	out->address = link->addresses[link->at > 0 ? link->at : 0];
	out->outbound = true;
	out->pinned = transport_pin_at(self, link->key) >= 0;
	out->state = link->up ? TRANSPORT_UP : TRANSPORT_CONNECTING;
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
