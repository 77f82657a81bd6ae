/*
 * net_address.h
 *	  Where a node listens: an IPv6 address, or an IPv4 address mapped into
 *	  one (RFC 4291, section 2.5.5.2), and a port.  Names are for the host to
 *	  resolve.
 */
#ifndef CORE_NET_ADDRESS_H
#define CORE_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NET_ADDRESS_BYTES 18	/* on the wire: ip[16], port */
#define ADDRESS_TEXT 64			/* "[...]:65535" and a zero byte */

typedef struct NetAddress
{
	uint8_t		ip[16];			/* network byte order */
	uint16_t	port;
} NetAddress;

_Static_assert(sizeof(NetAddress) == NET_ADDRESS_BYTES, "an address has no room between its fields");

extern NetAddress net_address_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port);

/* Is it an IPv4 address, mapped?  Its bytes are ip[12] to ip[15]. */
extern bool net_address_is_v4(const NetAddress *self);

/*
 * Can a node be reached there at all?  Not at port 0, the unspecified address,
 * multicast, broadcast, or the deprecated IPv4-compatible form (RFC 6890).
 */
extern bool net_address_usable(const NetAddress *self);

/*
 * Loopback, link-local, and the private ranges of RFC 1918, RFC 6598 and
 * RFC 4193: not an address that a stranger far away has had to pay for.
 */
extern bool net_address_private(const NetAddress *self);

/*
 * Nodes whose addresses give the same number are likely one operator's: the
 * /24 of IPv4, the /48 of IPv6 (what one customer is given, RFC 6177).
 */
extern uint64_t net_address_subnet(const NetAddress *self);

/* "1.2.3.4:7777" or "[2001:db8::1]:7777" (RFC 5952) into out[ADDRESS_TEXT]; returns out. */
extern char *address_text(const NetAddress *self, char *out);

static inline bool
net_address_equal(const NetAddress *a, const NetAddress *b)
{
	return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

#endif							/* CORE_NET_ADDRESS_H */
