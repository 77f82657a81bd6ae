/*
 * address.c
 *	  Socket addresses, those of this machine, and names.
 *
 * A Resolver is shared by its caller and its thread; whoever lets go of it last
 * frees it.
 */
#include "net/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/list.h"

static NetAddress
of_v4(const uint8_t ip[4], uint16_t port)
{
	return net_address_v4(ip[0], ip[1], ip[2], ip[3], port);
}

bool
address_of_socket(const struct sockaddr *socket, NetAddress *out)
{
	if (socket->sa_family == AF_INET)
	{
		const struct sockaddr_in *v4 = (const struct sockaddr_in *) socket;

		*out = of_v4((const uint8_t *) &v4->sin_addr, ntohs(v4->sin_port));
		return true;
	}
	if (socket->sa_family == AF_INET6)
	{
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) socket;

		memcpy(out->ip, &v6->sin6_addr, 16);
		out->port = ntohs(v6->sin6_port);
		return true;
	}
	return false;
}

bool
address_parse_ip(const char *text, NetAddress *out)
{
	uint8_t		v4[4];

	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, text, v4) == 1)
	{
		*out = of_v4(v4, 0);
		return true;
	}
	return inet_pton(AF_INET6, text, out->ip) == 1;
}

bool
address_is_any(const NetAddress *self)
{
	static const uint8_t zeros[16];

	return memcmp(self->ip, zeros, 16) == 0 || (net_address_is_v4(self) && memcmp(self->ip + 12, zeros, 4) == 0);
}

/* entry[len] as address_next() takes it, into host and *port.  False when it is none. */
static bool
parse_entry(const char *entry, size_t len, int default_port, char host[ADDRESS_HOST], int *port)
{
	const char *colon = NULL;
	const char *name = entry;
	size_t		name_len = len;

	*port = default_port;
	if (entry[0] == '[')
	{
		const char *close = memchr(entry, ']', len);

		if (close == NULL)
			return false;
		name = entry + 1;
		name_len = (size_t) (close - name);
		if (close + 1 < entry + len)
		{
			if (close[1] != ':')
				return false;
			colon = close + 1;
		}
	}
	else
	{
		const char *first = memchr(entry, ':', len);

		/* two colons and no brackets: IPv6 without a port */
		if (first != NULL && memchr(first + 1, ':', len - (size_t) (first + 1 - entry)) == NULL)
		{
			colon = first;
			name_len = (size_t) (colon - entry);
		}
	}
	if (colon != NULL)
	{
		*port = 0;
		for (const char *digit = colon + 1; digit < entry + len; digit++)
		{
			/* strtol() would take signs and spaces */
			if (*digit < '0' || *digit > '9' || (*port = *port * 10 + *digit - '0') > 65535)
				return false;
		}
		if (*port == 0)
			return false;
	}
	if (name_len == 0 || name_len >= ADDRESS_HOST)
		return false;
	memcpy(host, name, name_len);
	host[name_len] = '\0';
	return true;
}

int
address_next(const char **at, int default_port, char host[ADDRESS_HOST], int *port)
{
	const char *entry;
	size_t		len;

	if (!list_next(at, &entry, &len))
		return 0;
	if (parse_entry(entry, len, default_port, host, port))
		return 1;
	if (len >= ADDRESS_HOST)
		len = ADDRESS_HOST - 1;
	memcpy(host, entry, len);
	host[len] = '\0';
	return -1;
}

static int
add_local(const struct ifaddrs *list, int family, bool loopback, uint16_t port, NetAddress *out, int n, int room)
{
	for (const struct ifaddrs *i = list; i != NULL && n < room; i = i->ifa_next)
	{
		NetAddress	address;
		bool		known = false;

		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family || (i->ifa_flags & IFF_UP) == 0 ||
			((i->ifa_flags & IFF_LOOPBACK) != 0) != loopback || !address_of_socket(i->ifa_addr, &address))
			continue;
		/* link-local ones mean nothing without the interface */
		if (family == AF_INET6 && address.ip[0] == 0xFE && (address.ip[1] & 0xC0) == 0x80)
			continue;
		if (family == AF_INET && address.ip[12] == 169 && address.ip[13] == 254)
			continue;
		address.port = port;
		for (int k = 0; k < n; k++)
			known |= net_address_equal(&out[k], &address);
		if (!known && net_address_usable(&address))
			out[n++] = address;
	}
	return n;
}

int
address_local(uint16_t port, bool v4, bool v6, NetAddress *out, int room)
{
	struct ifaddrs *list;
	int			n = 0;

	if (getifaddrs(&list) != 0)
		return 0;
	if (v4)
		n = add_local(list, AF_INET, false, port, out, n, room);
	if (v6)
		n = add_local(list, AF_INET6, false, port, out, n, room);
	if (n == 0 && v4)
		n = add_local(list, AF_INET, true, port, out, n, room);
	if (n == 0 && v6)
		n = add_local(list, AF_INET6, true, port, out, n, room);
	freeifaddrs(list);
	return n;
}

/* ---- names ---- */

struct Resolver
{
	atomic_int	users;			/* the caller and the thread: the last frees */
	atomic_bool done;
	int			n_names;
	struct
	{
		char		host[ADDRESS_HOST];
		int			port;
	}			name[RESOLVER_LIMIT];
	atomic_int	n;				/* those below it do not change any more */
	NetAddress	address[2 * RESOLVER_LIMIT];
	char		failed[ADDRESS_HOST];
};

static void
release(Resolver *self)
{
	if (atomic_fetch_sub(&self->users, 1) == 1)
		free(self);
}

static void
add_address(Resolver *self, NetAddress address)
{
	int			n = atomic_load(&self->n);

	for (int i = 0; i < n; i++)
		if (net_address_equal(&self->address[i], &address))
			return;
	if (n < 2 * RESOLVER_LIMIT && net_address_usable(&address))
	{
		self->address[n] = address;
		atomic_store(&self->n, n + 1);
	}
}

static void *
look_up(void *arg)
{
	Resolver   *self = arg;

	for (int i = 0; i < self->n_names; i++)
	{
		struct addrinfo hint = {.ai_family = AF_UNSPEC,.ai_socktype = SOCK_STREAM};
		struct addrinfo *found = NULL;
		int			taken = 0;

		if (getaddrinfo(self->name[i].host, NULL, &hint, &found) == 0)
		{
			for (struct addrinfo *a = found; a != NULL && taken < 2; a = a->ai_next)
			{
				NetAddress	address;

				if (!address_of_socket(a->ai_addr, &address))
					continue;
				address.port = (uint16_t) self->name[i].port;
				add_address(self, address);
				taken++;
			}
			freeaddrinfo(found);
		}
		if (taken == 0 && self->failed[0] == '\0')
			memcpy(self->failed, self->name[i].host, ADDRESS_HOST);
	}
	atomic_store(&self->done, true);
	release(self);
	return NULL;
}

Resolver *
resolver_start(const char *list, int default_port)
{
	Resolver   *self = calloc(1, sizeof *self);
	const char *at = list;
	char		host[ADDRESS_HOST];
	int			port;
	int			what;

	if (self == NULL)
		return NULL;
	atomic_init(&self->users, 1);
	while ((what = address_next(&at, default_port, host, &port)) != 0)
	{
		NetAddress	address;

		if (what < 0)
		{
			if (self->failed[0] == '\0')
				memcpy(self->failed, host, ADDRESS_HOST);
		}
		else if (address_parse_ip(host, &address))
		{
			address.port = (uint16_t) port;
			add_address(self, address);
		}
		else if (self->n_names < RESOLVER_LIMIT)
		{
			memcpy(self->name[self->n_names].host, host, ADDRESS_HOST);
			self->name[self->n_names++].port = port;
		}
	}
	if (self->n_names == 0)
		atomic_init(&self->done, true);
	else
	{
		pthread_attr_t attributes;
		pthread_t	thread;
		sigset_t	all;
		sigset_t	before;
		int			rc;

		sigfillset(&all);
		pthread_attr_init(&attributes);
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		atomic_fetch_add(&self->users, 1);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		rc = pthread_create(&thread, &attributes, look_up, self);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		pthread_attr_destroy(&attributes);
		if (rc != 0)
		{
			free(self);
			return NULL;
		}
	}
	return self;
}

int
resolver_so_far(const Resolver *self, NetAddress *out, int room)
{
	int			n = atomic_load(&self->n);

	if (n > room)
		n = room;
	memcpy(out, self->address, (size_t) n * sizeof *out);
	return n;
}

bool
resolver_done(Resolver *self, NetAddress *out, int room, int *n, char failed[ADDRESS_HOST])
{
	if (!atomic_load(&self->done))
		return false;
	*n = resolver_so_far(self, out, room);
	memcpy(failed, self->failed, ADDRESS_HOST);
	return true;
}

void
resolver_free(Resolver **self)
{
	if (*self != NULL)
		release(*self);
	*self = NULL;
}
