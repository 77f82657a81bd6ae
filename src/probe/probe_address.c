/*
 * probe_address.c
 *	  Addresses: of sockets, in records, as text.
 */
#include "probe/probe.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PORT_DISCARD 9

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static bool
is_v4(const ProbeAddress *self)
{
	return memcmp(self->ip, v4_prefix, sizeof v4_prefix) == 0;
}

bool
probe_address_of(const struct sockaddr *socket, ProbeAddress *out)
{
	memset(out, 0, sizeof *out);
	if (socket->sa_family == AF_INET)
	{
		const struct sockaddr_in *a = (const struct sockaddr_in *) socket;

		memcpy(out->ip, v4_prefix, sizeof v4_prefix);
		memcpy(out->ip + 12, &a->sin_addr, 4);
		out->port = ntohs(a->sin_port);
		return true;
	}
	if (socket->sa_family == AF_INET6)
	{
		const struct sockaddr_in6 *a = (const struct sockaddr_in6 *) socket;

		memcpy(out->ip, &a->sin6_addr, 16);
		out->port = ntohs(a->sin6_port);
		out->scope = a->sin6_scope_id;
		return true;
	}
	return false;
}

socklen_t
probe_address_socket(const ProbeAddress *self, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (is_v4(self))
	{
		struct sockaddr_in *a = (struct sockaddr_in *) out;

		a->sin_family = AF_INET;
		memcpy(&a->sin_addr, self->ip + 12, 4);
		a->sin_port = htons(self->port);
		return sizeof *a;
	}
	else
	{
		struct sockaddr_in6 *a = (struct sockaddr_in6 *) out;

		a->sin6_family = AF_INET6;
		memcpy(&a->sin6_addr, self->ip, 16);
		a->sin6_port = htons(self->port);
		a->sin6_scope_id = self->scope;
		return sizeof *a;
	}
}

bool
probe_address_equal(const ProbeAddress *a, const ProbeAddress *b)
{
	return memcmp(a->ip, b->ip, 16) == 0 && a->port == b->port;
}

bool
probe_address_usable(const ProbeAddress *self)
{
	static const uint8_t zeros[16];

	if (self->port == 0)
		return false;
	if (is_v4(self))
		return self->ip[12] != 0 && self->ip[12] < 224;
	if (memcmp(self->ip, zeros, 12) == 0)
		return memcmp(self->ip + 12, "\0\0\0\1", 4) == 0;
	return self->ip[0] != 0xFF;
}

char *
probe_address_text(const ProbeAddress *self, char *out)
{
	char		ip[INET6_ADDRSTRLEN] = "";
	char		name[IF_NAMESIZE] = "";

	if (is_v4(self))
	{
		inet_ntop(AF_INET, self->ip + 12, ip, sizeof ip);
		snprintf(out, PROBE_ADDRESS_TEXT, "%s:%u", ip, self->port);
		return out;
	}
	inet_ntop(AF_INET6, self->ip, ip, sizeof ip);
	if (self->scope == 0 || if_indextoname(self->scope, name) == NULL)
		name[0] = '\0';
	snprintf(out, PROBE_ADDRESS_TEXT, "[%s%s%s]:%u", ip, name[0] != '\0' ? "%" : "", name, self->port);
	return out;
}

void
probe_address_own(const ProbeAddress *to, ProbeAddress *out)
{
	struct sockaddr_storage address;
	socklen_t	len = probe_address_socket(to, &address);
	int			fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool		known = false;

	if (fd >= 0)
	{
		if (connect(fd, (struct sockaddr *) &address, len) == 0)
		{
			len = sizeof address;
			known = getsockname(fd, (struct sockaddr *) &address, &len) == 0 &&
				probe_address_of((struct sockaddr *) &address, out);
		}
		close(fd);
	}
	out->port = PORT_DISCARD;
	/* a record has to have one; to where nothing leads, none is sent */
	if (!known || !probe_address_usable(out))
	{
		memset(out, 0, sizeof *out);
		out->ip[15] = 1;
		out->port = PORT_DISCARD;
	}
}
