/*
 * group_events.h
 *	  What reaches the collections: messages, answers, greetings, the time.
 */
#ifndef CORE_GROUP_EVENTS_H
#define CORE_GROUP_EVENTS_H

#include "core/net/group.h"
#include "core/net/outbox.h"

extern void group_receive(Node *self, NodePeer *from, const WireMessage *message);
extern void group_answered(Node *self, NodePeer *from, const NodeCall *call, const WireMessage *message);
extern void group_call_failed(Node *self, const NodeCall *call);

/* A peer is heard from now on; one is not connected any more, or is another. */
extern void group_greeted(Node *self, NodePeer *peer);
extern void group_gone(Node *self, const KadId *id);

extern void group_tick(Node *self);
extern int64_t group_next_tick(const Node *self);

#endif							/* CORE_GROUP_EVENTS_H */
