/*
 * transport_link.c
 *	  Links that we make: one DEALER for each peer, made anew for each attempt.
 *
 *	WAIT ── its time comes ──▶ TRY addresses[at] ── handshake done ──▶ UP
 *	TRY  ── refused, another key, TRY_MS over ──▶ the next address, at once
 *	     ── all addresses failed, a round ──▶ WAIT, longer each time; or given up:
 *			after one round if it was never up, else after BROKEN_ROUNDS
 *	UP   ── disconnected, and what had come before is read ──▶ WAIT
 *	given up ──▶ unreachable(); pinned: WAIT, for ever; else no more
 *
 * libzmq could reconnect by itself, but after a refusal it does not, it knows
 * one address, and it would not say when to give up.
 */
#include "sync/transport_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINK_EVENTS (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED | \
	ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | \
	ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

Link *
link_find(Transport *self, const uint8_t *key)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->links[i].used && memcmp(self->links[i].key, key, CORE_KEY_BYTES) == 0)
			return &self->links[i];
	return NULL;
}

static bool
is_v4(const NetAddress *address)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

	return memcmp(address->ip, prefix, sizeof prefix) == 0;
}

static void
endpoint_of(const NetAddress *address, char *out, size_t room)
{
	char		text[INET6_ADDRSTRLEN];

	if (is_v4(address))
	{
		inet_ntop(AF_INET, address->ip + 12, text, sizeof text);
		snprintf(out, room, "tcp://%s:%u", text, address->port);
	}
	else
	{
		inet_ntop(AF_INET6, address->ip, text, sizeof text);
		snprintf(out, room, "tcp://[%s]:%u", text, address->port);
	}
}

static uint64_t
queued_bytes(const Link *link)
{
	return link->waiting_bytes + (link->queue != NULL ? atomic_load(&link->queue->bytes) : 0);
}

static int64_t
last_use(const Link *link)
{
	return link->traffic.heard_ms > link->traffic.sent_ms ? link->traffic.heard_ms : link->traffic.sent_ms;
}

static void
drop_waiting(Link *link)
{
	for (int i = 0; i < link->n_waiting; i++)
		free(link->waiting[i].bytes);
	link->n_waiting = 0;
	link->waiting_bytes = 0;
}

/* The least recently used that nobody would miss. */
static Link *
evictable(Transport *self)
{
	Link	   *best = NULL;

	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Link	   *link = &self->links[i];

		if (!link->used || queued_bytes(link) > 0 || transport_pinned(self, link->key))
			continue;
		if (link->traffic.heard_ms < link->traffic.sent_ms && self->tick_ms - link->traffic.sent_ms < ANSWER_MS)
			continue;
		if (best == NULL || last_use(link) < last_use(best))
			best = link;
	}
	return best;
}

static int
set_addresses(Link *link, const NetAddress *addresses, int n)
{
	link->n_addresses = 0;
	for (int i = 0; i < n && link->n_addresses < TRANSPORT_ADDRESSES; i++)
		if (net_address_usable(&addresses[i]))
			link->addresses[link->n_addresses++] = addresses[i];
	return link->n_addresses;
}

Link *
link_make(Transport *self, const uint8_t *key, const NetAddress *addresses, int n)
{
	Link		made = {.used = true, .state = LINK_WAIT, .connection.fd = -1};
	int			slot;

	if (set_addresses(&made, addresses, n) == 0)
		return NULL;
	if (self->n_links >= self->config.max_links)
	{
		Link	   *idle = evictable(self);

		if (idle == NULL)
			return NULL;
		link_remove(self, idle);
		self->stats.evicted++;
	}
	for (slot = 0; self->links[slot].used; slot++)
		;
	made.queue = send_queue_new();
	if (made.queue == NULL)
		return NULL;
	made.number = transport_number(self, slot);
	memcpy(made.key, key, CORE_KEY_BYTES);
	made.due_ms = self->tick_ms;
	made.since_ms = self->tick_ms;
	self->links[slot] = made;
	self->n_links++;
	return &self->links[slot];
}

void
link_close(Transport *self, Link *link)
{
	if (link->dealer != NULL)
	{
		transport_unwatch(self, socket_descriptor(link->dealer));
		zmq_close(link->dealer);
		link->dealer = NULL;
	}
	if (link->monitor != NULL)
	{
		transport_retire(self, link->monitor);
		link->monitor = NULL;
	}
	link->connection.fd = -1;
	link->met = false;
}

void
link_remove(Transport *self, Link *link)
{
	link_close(self, link);
	drop_waiting(link);
	send_queue_release(link->queue);
	link->used = false;
	self->n_links--;
}

/* Addresses as they are now; a link that is not up starts over with them. */
void
link_retarget(Transport *self, Link *link, const NetAddress *addresses, int n)
{
	Link		other;

	if (link->state == LINK_UP || n == 0)
		return;
	if (set_addresses(&other, addresses, n) == 0)
		return;
	if (other.n_addresses == link->n_addresses &&
		memcmp(other.addresses, link->addresses, sizeof other.addresses[0] * (size_t) other.n_addresses) == 0)
		return;
	link_close(self, link);
	memcpy(link->addresses, other.addresses, sizeof link->addresses);
	link->n_addresses = other.n_addresses;
	link->at = link->tried = link->round = 0;
	link->state = LINK_WAIT;
	link->due_ms = self->tick_ms;
}

/* 0, or -1 with errno when there are no sockets to be had. */
static int
start(Transport *self, Link *link)
{
	const NetAddress *address = &link->addresses[link->at];
	char		endpoint[96];
	void	   *dealer;
	int			saved;

	if (self->n_retired + 1 >= RETIRED_MAX)
	{
		errno = EMFILE;
		return -1;
	}
	dealer = zmq_socket(self->context, ZMQ_DEALER);
	if (dealer == NULL)
		return -1;
	endpoint_of(address, endpoint, sizeof endpoint);
	if (socket_int(dealer, ZMQ_LINGER, LINGER_MS) == 0 &&
		socket_int(dealer, ZMQ_SNDHWM, SEND_MESSAGES) == 0 &&
		socket_int(dealer, ZMQ_RCVHWM, 0) == 0 &&	/* see README.md, "Traps" */
		socket_int(dealer, ZMQ_IMMEDIATE, 1) == 0 &&
		socket_bytes(dealer, ZMQ_MAXMSGSIZE, &(int64_t) {TRANSPORT_FRAME_MAX + 64}, sizeof(int64_t)) == 0 &&
		socket_int(dealer, ZMQ_IPV6, !is_v4(address)) == 0 &&
		socket_int(dealer, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) == 0 &&
		socket_int(dealer, ZMQ_CONNECT_TIMEOUT, TRY_MS) == 0 &&
		socket_int(dealer, ZMQ_RECONNECT_IVL, -1) == 0 &&
		socket_int(dealer, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) == 0 &&
		socket_int(dealer, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) == 0 &&
		socket_int(dealer, ZMQ_HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS) == 0 &&
		socket_bytes(dealer, ZMQ_CURVE_SERVERKEY, link->key, CORE_KEY_BYTES) == 0 &&
		socket_bytes(dealer, ZMQ_CURVE_PUBLICKEY, self->config.curve_public, CORE_KEY_BYTES) == 0 &&
		socket_bytes(dealer, ZMQ_CURVE_SECRETKEY, self->config.curve_secret, CORE_KEY_BYTES) == 0)
	{
		link->monitor = monitor_new(self, dealer, LINK_EVENTS);
		if (link->monitor != NULL)
		{
			link->dealer = dealer;
			transport_watch(self, link->monitor);
			transport_watch(self, link->dealer);
			if (zmq_connect(dealer, endpoint) == 0)
				return 0;
			saved = errno;
			link_close(self, link);
			errno = saved;
			return -1;
		}
	}
	saved = errno;
	zmq_close(dealer);
	errno = saved;
	return -1;
}

static void
wait_for(Transport *self, Link *link, int ms)
{
	link_close(self, link);
	if (link->state != LINK_WAIT)
		link->since_ms = self->tick_ms;
	link->state = LINK_WAIT;
	link->due_ms = self->tick_ms + transport_jitter(self, ms);
}

/* RECONNECT_FIRST_MS, doubled each round, RECONNECT_LAST_MS at most */
static int
pause_ms(int round)
{
	return round > 9 ? RECONNECT_LAST_MS : RECONNECT_FIRST_MS << round;
}

static void
give_up(Transport *self, Link *link)
{
	uint8_t		key[CORE_KEY_BYTES];
	bool		tell = !link->told;

	memcpy(key, link->key, sizeof key);
	drop_waiting(link);
	if (transport_pinned(self, link->key))
	{
		link->told = true;
		wait_for(self, link, pause_ms(link->round));
	}
	else
		link_remove(self, link);
	if (!tell)
		return;
	self->stats.unreachable++;
	if (self->config.unreachable != NULL)
		self->config.unreachable(self->config.context, key);
}

/* The attempt at addresses[at] came to nothing. */
static void
attempt_failed(Transport *self, Link *link)
{
	self->stats.outbound_failed++;
	link->at = (link->at + 1) % link->n_addresses;
	if (++link->tried < link->n_addresses)
	{
		link_close(self, link);
		link->state = LINK_WAIT;
		link->due_ms = self->tick_ms;
		transport_hurry(self);
		return;
	}
	link->tried = 0;
	link->at = 0;
	link->round++;
	if (link->round >= (link->was_up ? BROKEN_ROUNDS : 1))
		give_up(self, link);
	else
		wait_for(self, link, pause_ms(link->round * 2));
}

/* A link that breaks as soon as it is up has not been up. */
static void
broken(Transport *self, Link *link)
{
	link->tried = link->at = 0;
	link->round = self->tick_ms - link->since_ms < STEADY_MS ? link->round + 1 : 0;
	if (link->round >= BROKEN_ROUNDS)
		give_up(self, link);
	else
		wait_for(self, link, pause_ms(link->round * 2));
}

static void
come_up(Transport *self, Link *link)
{
	link->state = LINK_UP;
	link->since_ms = self->tick_ms;
	link->was_up = true;
	link->told = false;
	link->ending = false;
	link->tried = 0;
	self->stats.outbound_made++;
}

/* What libzmq has done for this link; false when the attempt has failed. */
static bool
hear_monitor(Transport *self, Link *link)
{
	void	   *monitor = link->monitor;
	int			event;
	uint32_t	value;

	while (monitor_read(monitor, &event, &value))
		switch (event)
		{
			case ZMQ_EVENT_CONNECTED:
				connection_open(&link->connection, (int) value, self->tick_ms);
				link->met = true;
				break;
			case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
				if (link->state == LINK_TRY)
					come_up(self, link);
				break;
			case ZMQ_EVENT_CONNECT_RETRIED:
			case ZMQ_EVENT_CLOSED:
			case ZMQ_EVENT_DISCONNECTED:
			case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
			case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
			case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
				if (link->state != LINK_UP)
				{
					attempt_failed(self, link);
					return false;
				}
				link->ending = true;
				link->connection.fd = -1;
				break;
			default:
				break;
		}
	return true;
}

/* TRANSPORT_SENT, or why not; EAGAIN with nothing under way means not attached yet. */
static TransportSent
send_now(Link *link, const uint8_t *frame, size_t len, bool *not_yet)
{
	uint64_t	before = atomic_load(&link->queue->bytes);
	zmq_msg_t	msg;

	*not_yet = false;
	if (before > 0 && before + len > TRANSPORT_QUEUE_BYTES)
		return TRANSPORT_FULL;
	if (!send_queue_message(link->queue, frame, len, &msg))
		return TRANSPORT_NO_ROOM;
	if (socket_send(link->dealer, &msg, 0) == 0)
		return TRANSPORT_SENT;
	*not_yet = errno == EAGAIN && before == 0;
	return errno == EAGAIN ? TRANSPORT_FULL : TRANSPORT_ERROR;
}

static void
count_sent(Transport *self, Link *link, size_t len)
{
	link->traffic.frames_out++;
	link->traffic.bytes_out += len;
	self->stats.frames_out++;
	self->stats.bytes_out += len;
}

static void
send_waiting(Transport *self, Link *link)
{
	int			n = 0;
	bool		not_yet;

	while (n < link->n_waiting)
	{
		Waiting    *w = &link->waiting[n];

		if (send_now(link, w->bytes, w->len, &not_yet) != TRANSPORT_SENT)
			break;
		count_sent(self, link, w->len);
		link->waiting_bytes -= w->len;
		free(w->bytes);
		n++;
	}
	link->n_waiting -= n;
	memmove(link->waiting, link->waiting + n, sizeof link->waiting[0] * (size_t) link->n_waiting);
}

void
link_step(Transport *self, Link *link)
{
	if (link->monitor != NULL && !hear_monitor(self, link))
		return;
	switch (link->state)
	{
		case LINK_WAIT:
			if (self->tick_ms < link->due_ms)
				return;
			if (start(self, link) != 0)
			{
				/* no descriptors or no memory: nobody's fault, but time goes by */
				attempt_failed(self, link);
				return;
			}
			link->state = LINK_TRY;
			link->due_ms = self->tick_ms + TRY_MS;
			break;
		case LINK_TRY:
			if (self->tick_ms >= link->due_ms)
				attempt_failed(self, link);
			break;
		case LINK_UP:
			if (link->ending)
			{
				if (!(socket_events(link->dealer) & ZMQ_POLLIN))
					broken(self, link);
			}
			else if (link->n_waiting > 0)
				send_waiting(self, link);
			break;
	}
}

TransportSent
link_send(Transport *self, Link *link, const uint8_t *frame, size_t len)
{
	Waiting    *w;

	link->traffic.sent_ms = self->tick_ms;
	if (link->state == LINK_UP && !link->ending && link->n_waiting == 0)
	{
		bool		not_yet;
		TransportSent sent = send_now(link, frame, len, &not_yet);

		if (sent == TRANSPORT_SENT)
			count_sent(self, link, len);
		if (socket_events(link->dealer) & ZMQ_POLLIN)
			transport_hurry(self);
		if (sent != TRANSPORT_FULL || !not_yet)
		{
			if (sent == TRANSPORT_FULL)
			{
				link->traffic.dropped++;
				self->stats.dropped++;
			}
			return sent;
		}
	}
	if (link->n_waiting == WAITING_FRAMES ||
		(link->n_waiting > 0 && link->waiting_bytes + len > WAITING_BYTES))
	{
		link->traffic.dropped++;
		self->stats.dropped++;
		return TRANSPORT_FULL;
	}
	w = &link->waiting[link->n_waiting];
	w->bytes = malloc(len > 0 ? len : 1);
	if (w->bytes == NULL)
		return TRANSPORT_NO_ROOM;
	if (len > 0)
		memcpy(w->bytes, frame, len);
	w->len = len;
	link->n_waiting++;
	link->waiting_bytes += len;
	/* somebody wants it: do not sit out a long pause */
	if (link->state == LINK_WAIT && link->due_ms > self->tick_ms + 1000)
		link->due_ms = self->tick_ms + 1000;
	transport_hurry(self);
	return TRANSPORT_SENT;
}

bool
link_receive(Transport *self, Link *link, TransportReceive receive, void *context, size_t *bytes)
{
	uint64_t	number = link->number;
	zmq_msg_t	msg;
	size_t		len;
	bool		more;

	if (link->state != LINK_UP || socket_receive(link->dealer, &msg) < 0)
		return false;
	len = zmq_msg_size(&msg);
	more = zmq_msg_more(&msg);
	connection_delivered(&link->connection, len);
	*bytes += len;
	if (more || link->connection.cut)
	{
		/* not from a node: all its parts go, and then the link */
		self->stats.malformed++;
		if (!link->connection.cut)
		{
			connection_cut(&link->connection);
			self->stats.cut++;
		}
	}
	else
	{
		link->traffic.heard_ms = self->tick_ms;
		link->traffic.frames_in++;
		link->traffic.bytes_in += len;
		self->stats.frames_in++;
		self->stats.bytes_in += len;
		receive(context, link->key, (TransportVia) {number}, zmq_msg_data(&msg), len);
	}
	zmq_msg_close(&msg);
	return true;
}
