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

#include "core/assert.h"
#include "net/address.h"

#define WAITING_FRAMES 64		/* of a link that is not up yet */
#define ATTEMPT_SPARE_MS 1000	/* an attempt at one address may take this longer */
#define RETRY_LAST_MS 60000
#define ANSWER_MS 3000			/* so long a frame may have to wait for its answer */

static TransportVia
out_via(const Transport *self, const Outbound *out)
{
	return (TransportVia) {out->link.serial * VIA_SLOTS + (uint64_t) (out - self->out)};
}

Outbound *
out_of_via(const Transport *self, TransportVia via)
{
	uint64_t	slot = via.link % VIA_SLOTS;
	Outbound   *out;

	if (slot >= TRANSPORT_LINKS_MAX)
		return NULL;
	out = (Outbound *) &self->out[slot];
	return out->link.used && out->up && out->link.serial == via.link / VIA_SLOTS ? out : NULL;
}

Outbound *
out_find(const Transport *self, const uint8_t *key)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->out[i].link.used && memcmp(self->out[i].link.key, key, CORE_KEY_BYTES) == 0)
			return (Outbound *) &self->out[i];
	return NULL;
}

static void
out_close_socket(Transport *self, Outbound *out, int linger_ms)
{
	if (out->dealer.socket != NULL)
		zmq_socket_monitor(out->dealer.socket, NULL, 0);
	port_close(self, &out->monitor, 0);
	port_close(self, &out->dealer, linger_ms);
	out->up = false;
	out->link.fd = -1;
}

/* Are the frames that wait counted, and is the last of them where the next one goes? */
static bool
waiting_holds(const Outbound *out)
{
	Frame	   *const *last = &out->first;
	int			n = 0;

	for (; *last != NULL; last = &(*last)->next)
		n++;
	return n == out->waiting && last == out->last;
}

void
out_drop_waiting(Outbound *out)
{
	while (out->first != NULL)
	{
		Frame	   *frame = out->first;

		out->first = frame->next;
		frame_free(NULL, frame);
	}
	out->last = &out->first;
	out->waiting = 0;
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
out_forget(Transport *self, Outbound *out, bool tell)
{
	uint8_t		key[CORE_KEY_BYTES];

	memcpy(key, out->link.key, sizeof key);
	out_close_socket(self, out, LINGER_MS);
	out_drop_waiting(out);
	account_release(out->link.account);
	memset(out, 0, sizeof *out);
	out->link.fd = -1;
	if (tell)
		tell_unreachable(self, key);
}

/* A DEALER to the address at hand. */
static bool
out_attempt(Transport *self, Outbound *out)
{
	const NetAddress *address = &out->addresses[out->at];
	char		ip[INET6_ADDRSTRLEN];
	char		endpoint[80];
	char		monitor[48];
	void	   *dealer;

	CORE_ASSERT(out->at >= 0 && out->at < out->n_addresses && out->n_addresses <= TRANSPORT_ADDRESSES);
	out->link.serial = ++self->serial;
	out->failed = false;
	out->link.fd = -1;
	out->link.stream = (Stream) {0};
	out->deadline_ms = self->now_ms + self->config.handshake_ms + ATTEMPT_SPARE_MS;
	out->tried++;
	if (net_address_is_v4(address))
	{
		inet_ntop(AF_INET, address->ip + 12, ip, sizeof ip);
		snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", ip, address->port);
	}
	else
	{
		inet_ntop(AF_INET6, address->ip, ip, sizeof ip);
		snprintf(endpoint, sizeof endpoint, "tcp://[%s]:%u", ip, address->port);
	}
	snprintf(monitor, sizeof monitor, "inproc://dealer.monitor.%llu", (unsigned long long) out->link.serial);

	dealer = out->dealer.socket = zmq_socket(self->context, ZMQ_DEALER);
	if (dealer == NULL)
		return false;
	if (zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, out->link.key, CORE_KEY_BYTES) != 0 ||
		zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, self->config.curve_public, CORE_KEY_BYTES) != 0 ||
		zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, self->config.curve_secret, CORE_KEY_BYTES) != 0 ||
		!port_set_int(dealer, ZMQ_IPV6, 1) ||
		!port_set_int(dealer, ZMQ_IMMEDIATE, 1) ||
		!port_set_int(dealer, ZMQ_RECONNECT_IVL, -1) ||
		!port_set_int(dealer, ZMQ_CONNECT_TIMEOUT, self->config.handshake_ms) ||
		!port_set_limits(self, dealer) ||
		PATIENT(zmq_socket_monitor(dealer, monitor, ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
								   ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
								   ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)) != 0)
		return false;
	out->monitor.socket = zmq_socket(self->context, ZMQ_PAIR);
	return out->monitor.socket != NULL && port_set_int(out->monitor.socket, ZMQ_LINGER, 0) &&
		PATIENT(zmq_connect(out->monitor.socket, monitor)) == 0 && port_add(self, &out->monitor) &&
		PATIENT(zmq_connect(dealer, endpoint)) == 0 && port_add(self, &out->dealer);
}

/* The attempt or the link has failed: the next address, a pause, or the end. */
static void
out_failed(Transport *self, Outbound *out)
{
	uint8_t		key[CORE_KEY_BYTES];

	if (!out->up)
		self->stats.outbound_failed++;
	else
	{
		out->tried = 0;
		out->at = -1;
		out->link.since_ms = self->now_ms;
	}
	out_close_socket(self, out, 0);
	if (out->tried < out->n_addresses)
	{
		out->at = (out->at + 1) % out->n_addresses;
		out->deadline_ms = self->now_ms + (out->tried == 0 ? RETRY_FIRST_MS : 0);
	}
	else if (transport_pin_at(self, out->link.key) < 0)
		out_forget(self, out, true);
	else
	{
		out_drop_waiting(out);
		out->tried = 0;
		out->at = 0;
		out->deadline_ms = self->now_ms + out->retry_ms + (int64_t) randombytes_uniform((uint32_t) out->retry_ms / 4 + 1);
		out->retry_ms = out->retry_ms * 2 < RETRY_LAST_MS ? out->retry_ms * 2 : RETRY_LAST_MS;
		memcpy(key, out->link.key, sizeof key);
		tell_unreachable(self, key);
	}
}

/* Give libzmq what waits, as far as it takes it. */
static void
out_flush(Transport *self, Outbound *out)
{
	if (out->dealer.socket == NULL)
		return;
	while (out->up && out->first != NULL && (port_events(&out->dealer) & ZMQ_POLLOUT) != 0)
	{
		Frame	   *frame = out->first;
		size_t		len = frame->len;
		zmq_msg_t	msg;

		out->first = frame->next;
		if (out->first == NULL)
			out->last = &out->first;
		out->waiting--;
		if (zmq_msg_init_data(&msg, frame->data, len, frame_free, frame) != 0)
		{
			frame_free(NULL, frame);
			self->stats.dropped++;
		}
		else if (port_send(&msg, out->dealer.socket) < 0)
		{
			zmq_msg_close(&msg);
			self->stats.dropped++;
		}
		else
			link_count_sent(self, &out->link, len);
	}
	CORE_ASSERT(waiting_holds(out));
	port_sent(self, &out->dealer);
}

static void
out_events(Transport *self, Outbound *out)
{
	uint16_t	event;
	uint32_t	value;

	while (port_monitor_event(&out->monitor, &event, &value))
		switch (event)
		{
			case ZMQ_EVENT_CONNECTED:
				out->link.fd = (int) value;
				break;
			case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
				out->up = true;
				out->retry_ms = RETRY_FIRST_MS;
				out->link.since_ms = self->now_ms;
				self->stats.outbound_made++;
				break;
			default:
				out->failed = true;
				out->link.fd = -1;
				break;
		}
}

/* Is an answer on its way, which would be lost if the link were closed now? */
static bool
out_awaits(const Transport *self, const Outbound *out)
{
	return out->link.frames_out > out->link.frames_in && self->now_ms - out->used_ms < ANSWER_MS;
}

/*
 * A slot for another link: a free one or, where as many as may be are in use, that of
 * the idle, unpinned link that was used least recently.  NULL when there is none.
 */
static Outbound *
out_slot(Transport *self)
{
	Outbound   *slot = NULL;
	Outbound   *idle = NULL;
	int			n = 0;

	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *out = &self->out[i];

		if (!out->link.used)
		{
			if (slot == NULL)
				slot = out;
			continue;
		}
		n++;
		if (account_queued(out->link.account) == 0 && out->up && !out_awaits(self, out) &&
			transport_pin_at(self, out->link.key) < 0 &&
			(idle == NULL || out->used_ms < idle->used_ms))
			idle = out;
	}
	if (n < self->config.max_links)
		return slot;
	if (idle == NULL)
		return NULL;
	self->stats.evicted++;
	out_forget(self, idle, false);
	return idle;
}

/* The usable ones become the addresses of the link.  False, and nothing is changed, when there are none. */
static bool
out_addresses(Outbound *out, const NetAddress *addresses, int n)
{
	NetAddress	usable[TRANSPORT_ADDRESSES];
	int			n_usable = 0;

	for (int i = 0; i < n && n_usable < TRANSPORT_ADDRESSES; i++)
		if (net_address_usable(&addresses[i]))
			usable[n_usable++] = addresses[i];
	if (n_usable == 0)
		return false;			/* those that it has stay */
	memcpy(out->addresses, usable, sizeof usable[0] * (size_t) n_usable);
	out->n_addresses = n_usable;
	return true;
}

void
out_retarget(Outbound *out, const NetAddress *addresses, int n)
{
	NetAddress	now = out->addresses[out->at];

	CORE_ASSERT(out->at >= 0 && out->at < out->n_addresses);
	if (!out_addresses(out, addresses, n))
		return;
	out->at = out->tried = 0;
	if (out->dealer.socket == NULL)
		return;
	/* the one being tried stays what it is until it has failed */
	memmove(out->addresses + 1, out->addresses, sizeof now * (TRANSPORT_ADDRESSES - 1));
	out->addresses[0] = now;
	out->tried = 1;
	if (out->n_addresses < TRANSPORT_ADDRESSES)
		out->n_addresses++;
}

Outbound *
out_open(Transport *self, const uint8_t *key, const NetAddress *addresses, int n, TransportSent *why)
{
	Outbound	fresh = {.link = {.used = true, .fd = -1, .since_ms = self->now_ms}, .retry_ms = RETRY_FIRST_MS};
	Outbound   *out;

	*why = TRANSPORT_ERROR;
	if (!out_addresses(&fresh, addresses, n))
		return NULL;
	*why = TRANSPORT_NO_ROOM;
	out = out_slot(self);
	if (out == NULL)
		return NULL;
	fresh.link.account = account_new();
	if (fresh.link.account == NULL)
		return NULL;
	memcpy(fresh.link.key, key, CORE_KEY_BYTES);
	*out = fresh;
	out->last = &out->first;
	if (!out_attempt(self, out))
		out->failed = true;
	transport_wake(self);
	return out;
}

TransportSent
out_send(Transport *self, Outbound *out, const uint8_t *bytes, size_t len)
{
	Frame	   *frame;

	if (!account_has_room(out->link.account, len) || (!out->up && out->waiting >= WAITING_FRAMES))
	{
		link_count_dropped(self, &out->link);
		return TRANSPORT_FULL;
	}
	frame = frame_new(out->link.account, bytes, len);
	if (frame == NULL)
		return TRANSPORT_NO_ROOM;
	*out->last = frame;
	out->last = &frame->next;
	out->waiting++;
	CORE_ASSERT(waiting_holds(out));
	out->used_ms = self->now_ms;
	if (out->up)
		out_flush(self, out);
	return TRANSPORT_SENT;
}

bool
out_receive(Transport *self, Outbound *out, TransportReceive receive, void *context)
{
	zmq_msg_t	msg;
	uint8_t		key[CORE_KEY_BYTES];

	zmq_msg_init(&msg);
	if (port_receive(&msg, out->dealer.socket) < 0)
	{
		zmq_msg_close(&msg);
		return false;
	}
	if (zmq_msg_more(&msg) || zmq_msg_size(&msg) > TRANSPORT_FRAME_MAX)
	{
		self->stats.malformed++;
		out->link.stream.seen += port_drain(&msg, out->dealer.socket);
	}
	else
	{
		size_t		len = zmq_msg_size(&msg);

		memcpy(key, out->link.key, sizeof key);
		link_count_received(self, &out->link, len);
		out->used_ms = self->now_ms;
		if (receive != NULL)
			transport_hand_over(receive, context, key, out_via(self, out), &msg);
	}
	zmq_msg_close(&msg);
	return true;
}

void
out_reset(Transport *self, Outbound *out)
{
	struct sockaddr_storage name;
	socklen_t	size = sizeof name;
	NetAddress	peer;

	self->stats.cut++;
	/* it is libzmq's, and may be something else by now */
	if (out->link.fd >= 0 && getpeername(out->link.fd, (struct sockaddr *) &name, &size) == 0 &&
		address_of_socket((struct sockaddr *) &name, &peer) && net_address_equal(&peer, &out->addresses[out->at]))
		link_discard(&out->link);
	out_failed(self, out);
}

/*
 * Its handshake is over, and we have sent no frame yet, so an honest peer has sent
 * nothing more: a long READY would be kept by libzmq as a long INITIATE is.
 */
static bool
out_handshake_is_short(Transport *self, Outbound *out)
{
	link_look(&out->link, self->now_ms);
	return out->link.stream.received <= HANDSHAKE_BYTES;
}

/* Events of a DEALER.  False when its connection has been reset. */
static bool
out_take_events(Transport *self, Outbound *out)
{
	bool		was_up = out->up;

	out->monitor.ready = false;
	out_events(self, out);
	if (!out->up || was_up || out->failed || out_handshake_is_short(self, out))
		return true;
	out_reset(self, out);
	return false;
}

void
out_step(Transport *self)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *out = &self->out[i];

		if (!out->link.used)
			continue;
		if (out->monitor.socket != NULL && out->monitor.ready && !out_take_events(self, out))
			continue;
		/* what came before the end is read first */
		if (out->failed && out->up && (port_events(&out->dealer) & ZMQ_POLLIN) != 0)
		{
			out->dealer.ready = true;
			continue;
		}
		if (out->failed || (out->dealer.socket != NULL && !out->up && self->now_ms >= out->deadline_ms))
		{
			out->failed = false;
			out_failed(self, out);
		}
		if (!out->link.used)
			continue;
		if (out->dealer.socket == NULL && self->now_ms >= out->deadline_ms && !out_attempt(self, out))
			out->failed = true;
		if (out->up && out->first != NULL)
			out_flush(self, out);
	}
}

void
out_info(const Transport *self, const Outbound *out, TransportLinkInfo *info)
{
	link_info(self, &out->link, info);
	info->address = out->addresses[out->at > 0 ? out->at : 0];
	info->outbound = true;
	info->state = out->up ? TRANSPORT_UP : TRANSPORT_CONNECTING;
}
