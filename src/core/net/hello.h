/*
 * hello.h
 *	  Greetings.
 */
#ifndef CORE_HELLO_H
#define CORE_HELLO_H

#include "core/net/outbox.h"

/* Is this the answer to a HELLO of ours? */
extern bool hello_awaited(const Node *self, const NodePeer *peer, uint64_t request);

/* HELLO came, or the answer to ours.  A peer that it holds for is heard from now on. */
extern void hello_receive(Node *self, NodePeer *peer, const WireMessage *message);

/* Look which links there are; those that were made anew are greeted anew. */
extern void hello_look(Node *self);

#endif							/* CORE_HELLO_H */
