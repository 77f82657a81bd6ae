/*
 * transport_socket.c
 *	  libzmq's calls, without the traps that README.md lists; bytes under way to
 *	  a peer; TCP connections seen from outside.
 */
#include "sync/transport_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define UNREAD_PER_SECOND 256	/* heartbeats, and what is around frames */
#define UNREAD_ALWAYS 4096		/* the handshake */

int
socket_int(void *socket, int option, int value)
{
	return socket_bytes(socket, option, &value, sizeof value);
}

int
socket_bytes(void *socket, int option, const void *value, size_t len)
{
	int			rc;

	do
		rc = zmq_setsockopt(socket, option, value, len);
	while (rc != 0 && errno == EINTR);
	return rc;
}

int
socket_descriptor(void *socket)
{
	int			fd = -1;
	size_t		len = sizeof fd;

	while (zmq_getsockopt(socket, ZMQ_FD, &fd, &len) != 0)
		if (errno != EINTR)
			return -1;
	return fd;
}

/*
 * A signal makes libzmq 4.3.4 forget to say that it has done the commands it had
 * (fixed in 4.3.5): ask again.
 */
int
socket_events(void *socket)
{
	int			events = 0;
	size_t		len = sizeof events;

	while (zmq_getsockopt(socket, ZMQ_EVENTS, &events, &len) != 0)
		if (errno != EINTR)
			return 0;
	return events;
}

int
socket_receive(void *socket, zmq_msg_t *msg)
{
	int			n;

	zmq_msg_init(msg);
	do
		n = zmq_msg_recv(msg, socket, ZMQ_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		zmq_msg_close(msg);
	return n;
}

/*
 * libzmq looks at what its thread has told it once a millisecond at most when it
 * sends, and so may believe a queue to be full, or a link not to be there, that
 * has long been otherwise: before that is believed it is made to look.
 */
int
socket_send(void *socket, zmq_msg_t *msg, int flags)
{
	bool		looked = false;
	int			saved;

	for (;;)
	{
		if (zmq_msg_send(msg, socket, flags | ZMQ_DONTWAIT) >= 0)
			return 0;
		saved = errno;
		if (saved == EINTR)
			continue;
		if (looked || (saved != EAGAIN && saved != EHOSTUNREACH))
			break;
		looked = true;
		(void) socket_events(socket);
	}
	zmq_msg_close(msg);
	errno = saved;
	return -1;
}

/*
 * A PAIR that hears what happens to the connections of a socket.
 *
 * libzmq's thread tells it with a send that waits: a full queue, or a PAIR that
 * is closed before the socket, would stop all connections.  So the queue has no
 * limit, the PAIR is connected before there is anything to tell, and it is closed
 * only after ZMQ_EVENT_MONITOR_STOPPED, which must be among the events.
 */
void *
monitor_new(Transport *self, void *socket, int events)
{
	void	   *monitor = zmq_socket(self->context, ZMQ_PAIR);
	char		name[48];
	int			saved;

	if (monitor == NULL)
		return NULL;
	snprintf(name, sizeof name, "inproc://monitor-%" PRIu64, ++self->serial);
	if (socket_int(monitor, ZMQ_RCVHWM, 0) == 0 && socket_int(monitor, ZMQ_LINGER, 0) == 0 &&
		zmq_connect(monitor, name) == 0 &&
		zmq_socket_monitor(socket, name, events | ZMQ_EVENT_MONITOR_STOPPED) == 0)
		return monitor;
	saved = errno;
	zmq_close(monitor);
	errno = saved;
	return NULL;
}

bool
monitor_read(void *monitor, int *event, uint32_t *value)
{
	zmq_msg_t	msg;
	uint16_t	word = 0;
	bool		more;

	if (socket_receive(monitor, &msg) < 0)
		return false;
	*value = 0;
	if (zmq_msg_size(&msg) >= sizeof word + sizeof *value)
	{
		memcpy(&word, zmq_msg_data(&msg), sizeof word);
		memcpy(value, (char *) zmq_msg_data(&msg) + sizeof word, sizeof *value);
	}
	*event = word;
	do
	{
		more = zmq_msg_more(&msg);
		zmq_msg_close(&msg);
	} while (more && socket_receive(monitor, &msg) >= 0);
	return true;
}

/* ---- bytes under way ---- */

typedef struct Sending
{
	SendQueue  *queue;
	size_t		len;
	uint8_t		bytes[];
} Sending;

SendQueue *
send_queue_new(void)
{
	SendQueue  *self = malloc(sizeof *self);

	if (self != NULL)
	{
		atomic_init(&self->bytes, 0);
		atomic_init(&self->references, 1);
	}
	return self;
}

void
send_queue_release(SendQueue *self)
{
	if (self != NULL && atomic_fetch_sub(&self->references, 1) == 1)
		free(self);
}

/* On libzmq's thread, as a rule. */
static void
sending_free(void *data, void *hint)
{
	Sending    *sending = hint;
	SendQueue  *queue = sending->queue;

	atomic_fetch_sub(&queue->bytes, sending->len);
	free(sending);
	send_queue_release(queue);
}

bool
send_queue_message(SendQueue *self, const uint8_t *frame, size_t len, zmq_msg_t *msg)
{
	Sending    *sending = malloc(sizeof *sending + len);

	if (sending == NULL)
		return false;
	sending->queue = self;
	sending->len = len;
	if (len > 0)
		memcpy(sending->bytes, frame, len);
	if (zmq_msg_init_data(msg, sending->bytes, len, sending_free, sending) != 0)
	{
		free(sending);
		return false;
	}
	atomic_fetch_add(&self->references, 1);
	atomic_fetch_add(&self->bytes, len);
	return true;
}

/* ---- connections ---- */

static bool
peer_of(int fd, NetAddress *peer)
{
	struct sockaddr_storage storage;
	socklen_t	len = sizeof storage;

	memset(peer, 0, sizeof *peer);
	if (getpeername(fd, (struct sockaddr *) &storage, &len) != 0)
		return false;
	if (storage.ss_family == AF_INET)
	{
		const struct sockaddr_in *v4 = (const struct sockaddr_in *) &storage;
		uint8_t		b[4];

		memcpy(b, &v4->sin_addr, sizeof b);
		*peer = net_address_v4(b[0], b[1], b[2], b[3], ntohs(v4->sin_port));
		return true;
	}
	if (storage.ss_family == AF_INET6)
	{
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &storage;

		memcpy(peer->ip, &v6->sin6_addr, sizeof peer->ip);
		peer->port = ntohs(v6->sin6_port);
		return true;
	}
	return false;
}

void
connection_open(Connection *self, int fd, int64_t tick_ms)
{
	memset(self, 0, sizeof *self);
	self->fd = fd >= 0 && peer_of(fd, &self->peer) ? fd : -1;
	self->since_ms = tick_ms;
}

bool
connection_alive(const Connection *self)
{
	NetAddress	peer;

	return self->fd >= 0 && peer_of(self->fd, &peer) && net_address_equal(&peer, &self->peer);
}

/*
 * There is no call that closes one connection of a ROUTER; shutdown() makes
 * libzmq find it closed by its peer.
 */
void
connection_cut(Connection *self)
{
	if (connection_alive(self))
		shutdown(self->fd, SHUT_RDWR);
	self->cut = true;
}

uint64_t
connection_unread(const Connection *self, int64_t tick_ms)
{
	struct tcp_info info;
	socklen_t	len = sizeof info;
	uint64_t	allowed = self->delivered + UNREAD_ALWAYS +
		(uint64_t) (tick_ms - self->since_ms) * UNREAD_PER_SECOND / 1000;

	if (self->fd < 0 || self->cut)
		return 0;
	memset(&info, 0, sizeof info);
	if (getsockopt(self->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return 0;
	return info.tcpi_bytes_received > allowed ? info.tcpi_bytes_received - allowed : 0;
}

void
connection_delivered(Connection *self, size_t len)
{
	len += MECHANISM_OVERHEAD;
	self->delivered += len + (len > 255 ? 9 : 2);
}
