/*
 * net_node.h
 *	  A node (core/net/node.h) over the transport: it is handed links of libzmq,
 *	  memory of malloc, cryptography and randomness of libsodium.
 *
 * Plain C: no PostgreSQL and no files.  All happens inside these functions, on the
 * caller's thread; the node's callbacks come out of net_node_run() and of the
 * node's own functions.
 */
#ifndef NET_NODE_H
#define NET_NODE_H

#include "core/net/node.h"
#include "net/transport.h"

#define NET_NODE_MEMORY (48 * 1024 * 1024)	/* of malloc, counted; what is more is refused */

typedef struct NetNode
{
	Node	   *node;
	Transport  *transport;
	CoreClock	clock;			/* of the turn */
	NodeCallbacks callbacks;
	CoreMemory	memory;			/* what the node is handed: these three ... */
	CoreRandom	random;
	CoreCrypto	crypto;
	size_t		allocated;		/* ... and how much memory it holds */
} NetNode;

typedef struct NetNodeConfig
{
	NodeConfig	node;			/* but memory, crypto, random and links */
	const char *listen;			/* an address, no name */
	uint16_t	port;
	uint8_t		curve_secret[CORE_KEY_BYTES];
	int			max_links;
} NetNodeConfig;

/* Now, by the clock that only goes on and by that of the wall: what to pass as clock. */
extern CoreClock node_clock(void);

/* A node that listens; NULL with a one-line reason in error[room]. */
extern NetNode *net_node_new(const NetNodeConfig *config, CoreClock clock, char *error, size_t room);

/* Says goodbye to its peers and closes; well under a second.  NULL inside is fine. */
extern void net_node_destroy(NetNode **self);

/*
 * Handle what came and do what is due: when a descriptor of the transport is
 * readable, at node_next_tick(), and every 100 ms.  True: more is there, call
 * again soon.
 */
extern bool net_node_run(NetNode *self, CoreClock clock);

#endif							/* NET_NODE_H */
