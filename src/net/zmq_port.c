/*
 * zmq_port.c
 *	  Sockets of libzmq as this tree uses them: never waiting, in one epoll set,
 *	  tried again after a signal.
 *
 * What waits on them is the descriptor of the epoll set.  libzmq signals a socket's
 * descriptor once only, and a send may take that signal: so `ready` of a Port stays
 * until somebody has looked, and transport_wake() makes the set readable for it.
 */
#include "net/transport_private.h"

#include <sys/epoll.h>
#include <unistd.h>

void
transport_wake(Transport *self)
{
	if (!self->woken)
	{
		uint64_t	one = 1;

		self->woken = write(self->wake, &one, sizeof one) == sizeof one;
	}
}

int
port_receive(zmq_msg_t *msg, void *socket)
{
	return PATIENT(zmq_msg_recv(msg, socket, ZMQ_DONTWAIT));
}

int
port_send(zmq_msg_t *msg, void *socket)
{
	return PATIENT(zmq_msg_send(msg, socket, ZMQ_DONTWAIT));
}

int
port_send_bytes(void *socket, const void *bytes, size_t len, int flags)
{
	return PATIENT(zmq_send(socket, bytes, len, ZMQ_DONTWAIT | flags));
}

bool
port_add(Transport *self, Port *port)
{
	int			fd;
	size_t		size = sizeof fd;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};

	if (zmq_getsockopt(port->socket, ZMQ_FD, &fd, &size) != 0)
		return false;
	port->ready = true;
	transport_wake(self);
	return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

void
port_close(Transport *self, Port *port, int linger_ms)
{
	int			fd;
	size_t		size = sizeof fd;

	if (port->socket == NULL)
		return;
	if (zmq_getsockopt(port->socket, ZMQ_FD, &fd, &size) == 0)
		epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL);
	zmq_setsockopt(port->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
	zmq_close(port->socket);
	port->socket = NULL;
	port->ready = false;
}

/* ZMQ_EVENTS, which also makes libzmq do what its threads ask of this socket. */
int
port_events(Port *port)
{
	int			events = 0;
	size_t		size = sizeof events;

	if (PATIENT(zmq_getsockopt(port->socket, ZMQ_EVENTS, &events, &size)) != 0)
		return 0;
	return events;
}

/* After a send: what came in meanwhile gave its only signal then. */
void
port_sent(Transport *self, Port *port)
{
	if (!port->ready && (port_events(port) & ZMQ_POLLIN) != 0)
	{
		port->ready = true;
		transport_wake(self);
	}
}

bool
port_set_int(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

bool
port_set_limits(const Transport *self, void *socket)
{
	int64_t		longest = TRANSPORT_FRAME_MAX + 64;

	return port_set_int(socket, ZMQ_LINGER, LINGER_MS) &&
		zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &longest, sizeof longest) == 0 &&
		port_set_int(socket, ZMQ_RCVHWM, 0) &&
		port_set_int(socket, ZMQ_SNDHWM, 0) &&
		port_set_int(socket, ZMQ_HANDSHAKE_IVL, self->config.handshake_ms) &&
		port_set_int(socket, ZMQ_HEARTBEAT_IVL, self->config.heartbeat_ms) &&
		port_set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, self->config.heartbeat_timeout_ms) &&
		port_set_int(socket, ZMQ_HEARTBEAT_TTL, self->config.heartbeat_timeout_ms);
}

/* One event of a monitor; false when there is none. */
bool
port_monitor_event(Port *monitor, uint16_t *event, uint32_t *value)
{
	zmq_msg_t	msg;
	bool		got = false;

	zmq_msg_init(&msg);
	while (port_receive(&msg, monitor->socket) >= 0)
	{
		if (!got && zmq_msg_size(&msg) == sizeof *event + sizeof *value)
		{
			memcpy(event, zmq_msg_data(&msg), sizeof *event);
			memcpy(value, (uint8_t *) zmq_msg_data(&msg) + sizeof *event, sizeof *value);
			got = true;
		}
		if (!zmq_msg_more(&msg))
			break;
	}
	zmq_msg_close(&msg);
	return got;
}

/* The rest of a message that is not what it should be; its bytes on the wire. */
uint64_t
port_drain(zmq_msg_t *msg, void *socket)
{
	uint64_t	bytes = wire_bytes(zmq_msg_size(msg));

	while (zmq_msg_more(msg) && port_receive(msg, socket) >= 0)
		bytes += wire_bytes(zmq_msg_size(msg));
	return bytes;
}
