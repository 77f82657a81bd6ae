/*
 * linger.c
 *	  Sockets that are closed, whose client still sends.
 *
 * To close a socket with unread bytes resets the connection, and the client
 * may then never see why it was refused.  A second descriptor keeps the socket
 * open for a moment while those bytes are read and thrown away.
 */
#include "http/front.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

void
LingerInit(void)
{
	for (int i = 0; i < MAX_LINGERING; i++)
		front.lingering[i].fd = -1;
}

void
LingerBegin(int fd)
{
	for (int i = 0; i < MAX_LINGERING; i++)
	{
		Lingering  *l = &front.lingering[i];
		struct epoll_event event = {.events = EPOLLIN,.data.ptr = l};

		if (l->fd >= 0)
			continue;
		l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (l->fd < 0)
			return;
		shutdown(l->fd, SHUT_WR);
		l->deadline_ms = front.now_ms + LINGER_MS;
		if (epoll_ctl(front.watch_fd, EPOLL_CTL_ADD, l->fd, &event) != 0)
		{
			close(l->fd);
			l->fd = -1;
			return;
		}
		front.nlingering++;
		return;
	}
}

static void
end_linger(Lingering *l)
{
	Assert(l->fd >= 0 && front.nlingering > 0);
	epoll_ctl(front.watch_fd, EPOLL_CTL_DEL, l->fd, NULL);
	close(l->fd);
	l->fd = -1;
	front.nlingering--;
}

static void
read_rest(Lingering *l)
{
	static char rest[65536];
	ssize_t		n = recv(l->fd, rest, sizeof(rest), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		end_linger(l);
}

bool
LingerEvent(void *what)
{
	if (what < (void *) front.lingering || what >= (void *) (front.lingering + MAX_LINGERING))
		return false;
	read_rest(what);
	return true;
}

void
LingerExpire(void)
{
	for (int i = 0; i < MAX_LINGERING && front.nlingering > 0; i++)
	{
		if (front.lingering[i].fd >= 0 && front.lingering[i].deadline_ms <= front.now_ms)
			end_linger(&front.lingering[i]);
	}
}

int64
LingerDeadline(void)
{
	int64		next = -1;

	for (int i = 0; i < MAX_LINGERING && front.nlingering > 0; i++)
	{
		if (front.lingering[i].fd >= 0 && (next < 0 || front.lingering[i].deadline_ms < next))
			next = front.lingering[i].deadline_ms;
	}
	return next;
}
