/*
 * net_address.c
 *	  Addresses, what they can be used for, and whose they may be.
 */
#include "core/net/net_address.h"

#include "core/assert.h"

#include <stdio.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

bool
net_address_is_v4(const NetAddress *self)
{
	return memcmp(self->ip, v4_prefix, sizeof v4_prefix) == 0;
}

NetAddress
net_address_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
	NetAddress	self = {.port = port};

	memcpy(self.ip, v4_prefix, sizeof v4_prefix);
	self.ip[12] = a;
	self.ip[13] = b;
	self.ip[14] = c;
	self.ip[15] = d;
	return self;
}

bool
net_address_usable(const NetAddress *self)
{
	static const uint8_t zeros[16];

	if (self->port == 0)
		return false;
	if (net_address_is_v4(self))
		return self->ip[12] != 0 && self->ip[12] < 224;
	if (memcmp(self->ip, zeros, 12) == 0)	/* ::, ::a.b.c.d; ::1 is the loopback */
		return memcmp(self->ip, zeros, 15) == 0 && self->ip[15] == 1;
	return self->ip[0] != 0xFF;
}

bool
net_address_private(const NetAddress *self)
{
	const uint8_t *ip = self->ip;

	if (net_address_is_v4(self))
		return ip[12] == 10 || ip[12] == 127 ||
			(ip[12] == 172 && (ip[13] & 0xF0) == 16) ||
			(ip[12] == 192 && ip[13] == 168) ||
			(ip[12] == 169 && ip[13] == 254) ||
			(ip[12] == 100 && (ip[13] & 0xC0) == 64);
	if ((ip[0] & 0xFE) == 0xFC || (ip[0] == 0xFE && (ip[1] & 0xC0) == 0x80))
		return true;
	for (int i = 0; i < 15; i++)
		if (ip[i] != 0)
			return false;
	return ip[15] == 1;
}

uint64_t
net_address_subnet(const NetAddress *self)
{
	uint64_t	subnet = 0;
	int			from = net_address_is_v4(self) ? 12 : 0;
	int			to = net_address_is_v4(self) ? 15 : 6;

	/* the bit on top keeps the two families apart */
	for (int i = from; i < to; i++)
		subnet = subnet << 8 | self->ip[i];
	return net_address_is_v4(self) ? subnet | UINT64_C(1) << 56 : subnet;
}

/* The longest run of two zero words or more, the first of those that are equal: *n words from *first on. */
static void
longest_zeros(const uint8_t *ip, int *first, int *n)
{
	*first = *n = 0;
	for (int i = 0; i < 8; i++)
	{
		int			k = i;

		while (k < 8 && ip[2 * k] == 0 && ip[2 * k + 1] == 0)
			k++;
		if (k - i > *n && k - i > 1)
		{
			*first = i;
			*n = k - i;
		}
	}
}

char *
address_text(const NetAddress *self, char *out)
{
	int			first;
	int			n;
	int			len;

	if (net_address_is_v4(self))
	{
		snprintf(out, ADDRESS_TEXT, "%u.%u.%u.%u:%u", self->ip[12], self->ip[13], self->ip[14], self->ip[15], self->port);
		return out;
	}
	longest_zeros(self->ip, &first, &n);
	len = snprintf(out, ADDRESS_TEXT, "[");
	for (int i = 0; i < 8; i++)
	{
		if (n > 0 && i == first)
		{
			len += snprintf(out + len, ADDRESS_TEXT - (size_t) len, "::");
			i += n - 1;
			continue;
		}
		len += snprintf(out + len, ADDRESS_TEXT - (size_t) len, "%s%x", i == 0 || (n > 0 && i == first + n) ? "" : ":",
						(unsigned) (self->ip[2 * i] << 8 | self->ip[2 * i + 1]));
	}
	len += snprintf(out + len, ADDRESS_TEXT - (size_t) len, "]:%u", self->port);
	CORE_ASSERT(len < ADDRESS_TEXT);
	return out;
}
