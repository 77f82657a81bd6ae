/*
 * join.h
 *	  Invitations redeemed, by this node and by others.
 */
#ifndef CORE_JOIN_H
#define CORE_JOIN_H

#include "core/net/group.h"
#include "core/net/invitation.h"
#include "core/net/outbox.h"

typedef struct NodeJoin
{
	bool		active;
	uint64_t	request;		/* of the REDEEM that was sent; 0: none yet */
	uint64_t	tag;
	int64_t		greet_ms;		/* tick at which its addresses are tried again */
	int64_t		until_ms;
	Invitation	invitation;
	char		kinds[WIRE_TEXT_MAX + 1];	/* of node_join_kind(); "": NULL */
} NodeJoin;

/* REDEEM came, or the answer to ours. */
extern void join_receive(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *message);
extern void join_answered(Node *self, NodePeer *from, uint64_t request, const WireMessage *message);

extern void join_greeted(Node *self, NodePeer *peer);
extern void join_unreachable(Node *self, const uint8_t curve[CORE_KEY_BYTES]);
extern void join_tick(Node *self);
extern int64_t join_next_tick(const Node *self);

#endif							/* CORE_JOIN_H */
