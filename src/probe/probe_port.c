/*
 * probe_port.c
 *	  What is at a TCP port that has not answered a greeting.
 *
 * Whoever speaks ZMTP begins with a greeting in clear, which says with which mechanism
 * (ZMTP 3.1, section "Greeting"): so much can be seen without a key.
 */
#include "probe/probe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define GREETING 64
#define MECHANISM_AT 12

typedef struct Look
{
	ProbePath  *path;
	int			fd;				/* -1: done */
	bool		connected;
	uint8_t		heard[GREETING];
	size_t		n_heard;
} Look;

static void
finish(Look *self, PortState state, int error)
{
	self->path->state = state;
	self->path->error = error;
	if (self->fd >= 0)
		close(self->fd);
	self->fd = -1;
}

static void
begin(Look *self, ProbePath *path)
{
	struct sockaddr_storage address;
	socklen_t	len = probe_address_socket(&path->address, &address);

	memset(self, 0, sizeof *self);
	self->path = path;
	self->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (self->fd < 0)
		finish(self, PORT_UNREACHABLE, errno);
	else if (connect(self->fd, (struct sockaddr *) &address, len) != 0 && errno != EINPROGRESS)
		finish(self, errno == ECONNREFUSED ? PORT_REFUSED : PORT_UNREACHABLE, errno);
}

/* It is connected, or cannot be. */
static void
greet(Look *self)
{
	static const uint8_t greeting[GREETING] = {
		[0] = 0xFF,[8] = 1,[9] = 0x7F,[10] = 3,[MECHANISM_AT] = 'C', 'U', 'R', 'V', 'E'
	};
	int			error = 0;
	socklen_t	len = sizeof error;

	if (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0 && send(self->fd, greeting, sizeof greeting, MSG_NOSIGNAL) != (ssize_t) sizeof greeting)
		error = errno;
	if (error != 0)
		finish(self, error == ECONNREFUSED ? PORT_REFUSED : error == ETIMEDOUT ? PORT_SILENT : PORT_UNREACHABLE, error);
	self->connected = true;
}

static void
hear(Look *self)
{
	ssize_t		n = recv(self->fd, self->heard + self->n_heard, GREETING - self->n_heard, 0);
	const uint8_t *s = self->heard;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		self->n_heard += (size_t) n;
	if (n > 0 && self->n_heard < GREETING)
		return;
	if (self->n_heard == GREETING && s[0] == 0xFF && s[9] == 0x7F && s[10] >= 3 &&
		memcmp(s + MECHANISM_AT, "CURVE\0\0", 7) == 0)
		finish(self, PORT_OPEN, 0);
	else
		finish(self, PORT_STRANGE, 0);
}

void
probe_ports(ProbePath *const *paths, int n, double deadline)
{
	Look		look[PROBE_TARGETS + PROBE_TOLD];
	struct pollfd fds[PROBE_TARGETS + PROBE_TOLD];
	double		now;

	if (n > PROBE_TARGETS + PROBE_TOLD)
		n = PROBE_TARGETS + PROBE_TOLD;
	for (int i = 0; i < n; i++)
		begin(&look[i], paths[i]);
	while ((now = probe_tick_ms()) < deadline)
	{
		bool		waiting = false;

		for (int i = 0; i < n; i++)
		{
			fds[i] = (struct pollfd) {.fd = look[i].fd,.events = look[i].connected ? POLLIN : POLLOUT};
			waiting |= look[i].fd >= 0;
		}
		if (!waiting)
			break;
		if (poll(fds, (nfds_t) n, (int) (deadline - now) + 1) <= 0)
			continue;
		for (int i = 0; i < n; i++)
			if (look[i].fd >= 0 && fds[i].revents != 0)
			{
				if (look[i].connected)
					hear(&look[i]);
				else
					greet(&look[i]);
			}
	}
	/* who accepts and does not say what it is, in time, is no node */
	for (int i = 0; i < n; i++)
		if (look[i].fd >= 0)
			finish(&look[i], look[i].connected ? PORT_STRANGE : PORT_SILENT, 0);
}
