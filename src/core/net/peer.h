/*
 * peer.h
 *	  A peer of a node, and the table of them.
 */
#ifndef CORE_PEER_H
#define CORE_PEER_H

#include "core/net/node.h"

#define NODE_PEER_SLOTS 256		/* a power of two */

/* One at the other end of a link, known by its CURVE key. */
typedef struct NodePeer
{
	uint8_t		curve[CORE_KEY_BYTES];
	NodeRecord *record;			/* referenced; NULL until we know one */
	bool		greeted;		/* its HELLO holds: it is heard and answered */
	bool		welcomed;		/* it has answered ours ... */
	LinkVia welcome_via;	/* ... over this link: without it, it may not know us any more */
	int64_t		welcomed_ms;	/* tick at which it last did */
	bool		told;			/* that it has to greet first */
	bool		up;				/* our link to it is up ... */
	int64_t		up_since_ms;
	bool		inbound;		/* it has a link to us */
	bool		shares;			/* a collection with us, as of when we last looked */
	int64_t		hello_ms;		/* tick of our last HELLO to it, or 0 */
	uint64_t	hello_request[2];	/* the last two that it may still answer, ... */
	int64_t		hello_until_ms; /* ... until this tick */
	LinkVia hello_via;		/* of its last HELLO: the link (0: none), ... */
	uint64_t	hello_seq;		/* ... the number of its record there ... */
	NetAddress	hello_address;	/* ... and its first address */
	uint64_t	met_seq;		/* of the record it was met anew with when our link had failed */
	int64_t		heard_ms;
	int64_t		complained_ms;	/* tick of the last error sent for a malformed message */
	struct NodePeer *next;
} NodePeer;

/* Is there an open link with this peer? */
static inline bool
node_connected(const NodePeer *peer)
{
	return peer->up || peer->inbound;
}

/* The peer with this key; a new one, where create and room are there; or NULL. */
extern NodePeer *node_peer(Node *self, const uint8_t curve[CORE_KEY_BYTES], bool create);

/* Forget all, without a word. */
extern void peer_reset(Node *self);

/* A record names the CURVE key of a peer; see there.  True: what is newer has other addresses. */
extern bool node_take_record(Node *self, NodePeer *peer, NodeRecord *record, bool proved);

#endif							/* CORE_PEER_H */
