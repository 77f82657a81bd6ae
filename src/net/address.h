/*
 * address.h
 *	  Socket addresses, and those of this machine; and names that become
 *	  addresses, off the caller's thread.  Plain C.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "core/net/net_address.h"

#define ADDRESS_HOST 256

/* Of an IPv4 or IPv6 socket address; false for another family. */
extern bool address_of_socket(const struct sockaddr *socket, NetAddress *out);

/* An address without a port, as numbers: "127.0.0.1", "::1".  False for a name. */
extern bool address_parse_ip(const char *text, NetAddress *out);

/* 0.0.0.0 or :: */
extern bool address_is_any(const NetAddress *self);

/*
 * The next "host:port", "[v6]:port" or "host" (with default_port) of a list
 * separated by commas; *at moves behind it.  1 for one, 0 at the end, -1 for
 * what is none: host then holds it.
 */
extern int	address_next(const char **at, int default_port, char host[ADDRESS_HOST], int *port);

/*
 * Addresses of this machine's interfaces that are up, with this port: IPv4
 * first, no loopback unless there is nothing else, no link-local.  v4 and v6
 * tell which are wanted.
 */
extern int	address_local(uint16_t port, bool v4, bool v6, NetAddress *out, int room);

/* ---- names ---- */

#define RESOLVER_LIMIT 16

/*
 * Looks names up on a thread of its own, which blocks every signal and calls
 * nothing of ours: getaddrinfo() may take as long as it likes.
 */
typedef struct Resolver Resolver;

/*
 * Begin to look up a list (see address_next).  NULL when there is no memory or
 * no thread.  What is given as numbers is there at once, without a thread.
 */
extern Resolver *resolver_start(const char *list, int default_port);

/*
 * Is it done?  Then out[] gets up to room addresses, *n how many, and failed[]
 * the first entry that could not be resolved, or "".
 */
extern bool resolver_done(Resolver *self, NetAddress *out, int room, int *n, char failed[ADDRESS_HOST]);

/* Up to room of those known before it is done, numbers first; how many. */
extern int	resolver_so_far(const Resolver *self, NetAddress *out, int room);

/* A lookup that still runs is left to end by itself. */
extern void resolver_free(Resolver **self);

#endif							/* NET_ADDRESS_H */
