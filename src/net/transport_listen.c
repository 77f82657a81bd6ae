/*
 * transport_listen.c
 *	  The listening socket, and what is told of those who were refused.
 *
 * The socket is ours and libzmq has a duplicate of its descriptor.  When no more may
 * come, a filter on it drops what arrives: a listener of libzmq without descriptors
 * would spin.
 */
#include "net/transport_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"

#define REFUSAL_MS 3600000
#define REFUSALS_A_MINUTE 20

static const char *const reason_text[] = {
	[REASON_MECHANISM] = "it does not speak CURVE",
	[REASON_CRYPTO] = "it takes us for another, or its handshake is forged",
	[REASON_OWN_KEY] = "it has our own key",
	[REASON_PROTOCOL] = "it does not speak ZMTP, or not in time",
	[REASON_ROOM] = "there is no room for another connection"
};

bool
transport_error(char *error, size_t room, const char *format,...)
{
	va_list		args;

	if (room > 0)
	{
		va_start(args, format);
		vsnprintf(error, room, format, args);
		va_end(args);
	}
	return false;
}

void
transport_tell_refused(Transport *self, const NetAddress *from, Reason reason)
{
	NetAddress	address = *from;
	uint64_t	subnet = net_address_subnet(from);
	Refusal    *refusal = NULL;
	ContainFrame *frame;

	if (self->config.refused == NULL)
		return;
	for (int i = 0; i < REFUSALS && refusal == NULL; i++)
		if (self->refusals[i].used && self->refusals[i].reason == reason && self->refusals[i].subnet == subnet)
			refusal = &self->refusals[i];
	if (refusal != NULL && self->now_ms - refusal->told_ms < REFUSAL_MS)
		return;
	if (self->now_ms - self->minute_ms >= 60000 || self->now_ms < self->minute_ms)
	{
		self->minute_ms = self->now_ms;
		self->refusals_told = 0;
	}
	if (self->refusals_told >= REFUSALS_A_MINUTE)
		return;
	self->refusals_told++;
	if (refusal == NULL)
	{
		refusal = &self->refusals[self->next_refusal];
		self->next_refusal = (self->next_refusal + 1) % REFUSALS;
	}
	*refusal = (Refusal) {true, reason, subnet, self->now_ms};
	address.port = 0;
	frame = contain_suspend();
	self->config.refused(self->config.context, &address, reason_text[reason]);
	contain_resume(frame);
}

/* Drop what arrives at the listening socket, or no longer. */
void
listener_close(Transport *self, bool closed)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {1, &drop};

	if (closed == self->closed)
		return;
	if (closed)
		self->closed = setsockopt(self->listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
	else
		self->closed = setsockopt(self->listener, SOL_SOCKET, SO_DETACH_FILTER, NULL, 0) != 0;
}

/*
 * Take the connections that wait and hang up: with no descriptor left libzmq
 * cannot, and tries again and again.  It may be faster than we with the one that
 * is given up; then what it has accepted is cut, and we try again in our turn.
 */
void
listener_hang_up(Transport *self)
{
	int			fd;

	if (self->spare >= 0)
		close(self->spare);
	while ((fd = accept(self->listener, NULL, NULL)) >= 0)
	{
		self->stats.refused_room++;
		close(fd);
	}
	self->starving = errno == EMFILE || errno == ENFILE;
	self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool
listener_open(Transport *self, char *error, size_t room)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct sockaddr_storage bound;
	NetAddress	own;
	socklen_t	size = sizeof bound;
	char		service[8];
	int			status;
	int			on = 1;
	int			off = 0;

	snprintf(service, sizeof service, "%u", self->config.port);
	status = getaddrinfo(self->config.listen, service, &hints, &found);
	if (status != 0)
		return transport_error(error, room, "cannot listen on \"%s\": %s", self->config.listen,
					  status == EAI_NONAME ? "not a numeric address" : gai_strerror(status));
	self->listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (self->listener < 0 ||
		setsockopt(self->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
		(found->ai_family == AF_INET6 &&
		 setsockopt(self->listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
		bind(self->listener, found->ai_addr, found->ai_addrlen) != 0 ||
		listen(self->listener, 100) != 0 ||
		getsockname(self->listener, (struct sockaddr *) &bound, &size) != 0)
	{
		int			why = errno;

		freeaddrinfo(found);
		return transport_error(error, room, "could not listen on %s port %u: %s", self->config.listen,
					  self->config.port, strerror(why));
	}
	freeaddrinfo(found);
	if (!address_of_socket((struct sockaddr *) &bound, &own))
		return transport_error(error, room, "cannot listen on \"%s\": neither IPv4 nor IPv6", self->config.listen);
	self->port = own.port;
	return true;
}
