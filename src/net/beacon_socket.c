/*
 * beacon_socket.c
 *	  The sockets of beacons: binding them, joining groups, sending, receiving.
 *
 * What a datagram holds is core/net/beacon.h's.  All sockets are non-blocking and
 * belong to one thread.
 */
#include "net/beacon_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"

#define GROUP_V4 "239.255.118.100"
#define GROUP_V6 "ff02::7665:6364:6200"
#define INTERFACES 32
#define TRIES 64

struct BeaconSocket
{
	int			fd;				/* on the node's port */
	bool		v6;				/* of that family (with IPv4 in it, where it is bound to ::) */
	int			lan[2];			/* hears the group of IPv4, of IPv6; -1: none */
	int			turn;
};

/* As a socket address of a family; its length, 0 when it has none there. */
static socklen_t
to_socket(const NetAddress *address, bool v6, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (v6)
	{
		struct sockaddr_in6 *a = (struct sockaddr_in6 *) out;

		a->sin6_family = AF_INET6;
		memcpy(&a->sin6_addr, address->ip, 16);
		a->sin6_port = htons(address->port);
		return sizeof *a;
	}
	if (net_address_is_v4(address))
	{
		struct sockaddr_in *a = (struct sockaddr_in *) out;

		a->sin_family = AF_INET;
		memcpy(&a->sin_addr, address->ip + 12, 4);
		a->sin_port = htons(address->port);
		return sizeof *a;
	}
	return 0;
}

static int
open_socket(int family)
{
	return socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Join the group on every interface; false when none let us. */
static bool
join_everywhere(int fd, bool v6)
{
	struct if_nameindex *list = if_nameindex();
	bool		joined = false;
	int			n = 0;

	for (struct if_nameindex *i = list; i != NULL && i->if_index != 0 && n < INTERFACES; i++, n++)
	{
		if (v6)
		{
			struct ipv6_mreq group = {.ipv6mr_interface = i->if_index};

			inet_pton(AF_INET6, GROUP_V6, &group.ipv6mr_multiaddr);
			joined |= setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group) == 0;
		}
		else
		{
			struct ip_mreqn group = {.imr_ifindex = (int) i->if_index};

			inet_pton(AF_INET, GROUP_V4, &group.imr_multiaddr);
			joined |= setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0;
		}
	}
	if (list != NULL)
		if_freenameindex(list);
	return joined;
}

/* Several nodes of one machine hear the same group. */
static int
open_lan(bool v6)
{
	int			fd = open_socket(v6 ? AF_INET6 : AF_INET);
	int			on = 1;
	NetAddress	group;
	struct sockaddr_storage address;
	socklen_t	len;

	if (fd < 0)
		return -1;
	(void) address_parse_ip(v6 ? GROUP_V6 : GROUP_V4, &group);
	group.port = BEACON_LAN_PORT;
	len = to_socket(&group, v6, &address);
	/* a group of the local link means nothing without the link, and this is to hear all */
	if (v6)
		((struct sockaddr_in6 *) &address)->sin6_addr = in6addr_any;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
		(v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
		bind(fd, (struct sockaddr *) &address, len) != 0 || !join_everywhere(fd, v6))
	{
		close(fd);
		return -1;
	}
	return fd;
}

BeaconSocket *
beacon_socket_new(const BeaconSocketConfig *config, char *error, size_t room)
{
	BeaconSocket *self = calloc(1, sizeof *self);
	char		text[INET6_ADDRSTRLEN + IF_NAMESIZE + 2];
	char	   *zone;
	NetAddress	listen;
	struct sockaddr_storage address;
	socklen_t	len;
	int			off = 0;

	if (self == NULL)
	{
		snprintf(error, room, "out of memory");
		return NULL;
	}
	self->lan[0] = self->lan[1] = -1;
	snprintf(text, sizeof text, "%s", config->listen);
	zone = strchr(text, '%');
	if (zone != NULL)
		*zone++ = '\0';
	if (!address_parse_ip(text, &listen))
	{
		snprintf(error, room, "\"%s\" is no address", config->listen);
		free(self);
		return NULL;
	}
	listen.port = config->port;
	self->v6 = !net_address_is_v4(&listen);
	len = to_socket(&listen, self->v6, &address);
	if (zone != NULL && self->v6)
		((struct sockaddr_in6 *) &address)->sin6_scope_id = if_nametoindex(zone);
	self->fd = open_socket(self->v6 ? AF_INET6 : AF_INET);
	/* bound to ::, IPv4 comes in as well */
	if (self->fd < 0 || (self->v6 && setsockopt(self->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
		bind(self->fd, (struct sockaddr *) &address, len) != 0)
	{
		snprintf(error, room, "%s", strerror(errno));
		beacon_socket_free(&self);
		return NULL;
	}
	if (config->lan)
	{
		self->lan[0] = open_lan(false);
		self->lan[1] = open_lan(true);
	}
	return self;
}

void
beacon_socket_free(BeaconSocket **self_p)
{
	BeaconSocket *self = *self_p;

	if (self == NULL)
		return;
	if (self->fd >= 0)
		close(self->fd);
	for (int i = 0; i < 2; i++)
		if (self->lan[i] >= 0)
			close(self->lan[i]);
	free(self);
	*self_p = NULL;
}

int
beacon_socket_descriptors(const BeaconSocket *self, int *fds, int room)
{
	int			n = 0;

	if (n < room)
		fds[n++] = self->fd;
	for (int i = 0; i < 2; i++)
		if (self->lan[i] >= 0 && n < room)
			fds[n++] = self->lan[i];
	return n;
}

bool
beacon_socket_lan(const BeaconSocket *self)
{
	return self->lan[0] >= 0 || self->lan[1] >= 0;
}

bool
beacon_socket_send(BeaconSocket *self, const NetAddress *to, const uint8_t *bytes, size_t len)
{
	struct sockaddr_storage address;
	socklen_t	address_len = to_socket(to, self->v6, &address);

	return address_len > 0 &&
		sendto(self->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &address, address_len) == (ssize_t) len;
}

/* Through one interface, from a socket of the moment: ours may be bound elsewhere. */
static void
announce_through(unsigned index, bool v6, const uint8_t *bytes, size_t len)
{
	int			fd = open_socket(v6 ? AF_INET6 : AF_INET);
	NetAddress	group;
	struct sockaddr_storage address;
	socklen_t	address_len;

	if (fd < 0)
		return;
	(void) address_parse_ip(v6 ? GROUP_V6 : GROUP_V4, &group);
	group.port = BEACON_LAN_PORT;
	address_len = to_socket(&group, v6, &address);
	if (v6)
	{
		((struct sockaddr_in6 *) &address)->sin6_scope_id = index;
		(void) setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
	}
	else
	{
		struct ip_mreqn through = {.imr_ifindex = (int) index};

		(void) setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &through, sizeof through);
	}
	(void) sendto(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &address, address_len);
	close(fd);
}

void
beacon_socket_announce(BeaconSocket *self, const uint8_t *bytes, size_t len)
{
	struct if_nameindex *list = if_nameindex();
	int			n = 0;

	for (struct if_nameindex *i = list; i != NULL && i->if_index != 0 && n < INTERFACES; i++, n++)
		for (int v6 = 0; v6 < 2; v6++)
			if (self->lan[v6] >= 0)
				announce_through(i->if_index, v6 != 0, bytes, len);
	if (list != NULL)
		if_freenameindex(list);
}

ssize_t
beacon_socket_receive(BeaconSocket *self, uint8_t *bytes, size_t room, NetAddress *from)
{
	int			fds[BEACON_SOCKET_DESCRIPTORS];
	int			n = beacon_socket_descriptors(self, fds, BEACON_SOCKET_DESCRIPTORS);

	/* each in its turn, so that none starves another */
	for (int empty = 0, tries = 0; empty < n && tries < TRIES; tries++)
	{
		struct sockaddr_storage address;
		socklen_t	address_len = sizeof address;
		ssize_t		len;

		self->turn = (self->turn + 1) % n;
		len = recvfrom(fds[self->turn], bytes, room, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *) &address, &address_len);
		if (len >= 0 && (size_t) len <= room && address_of_socket((struct sockaddr *) &address, from))
			return len;
		/* what is too long, or an error that a datagram of ours brought back, is no end */
		if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			empty++;
	}
	return -1;
}
