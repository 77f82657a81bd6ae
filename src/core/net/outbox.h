/*
 * outbox.h
 *	  What a node sends, and the requests of its own that it waits for.
 */
#ifndef CORE_OUTBOX_H
#define CORE_OUTBOX_H

#include "core/net/peer.h"

#define NODE_OWN_REQUEST (UINT64_C(1) << 63)	/* set in request ids of ours, never in the core's */
#define NODE_CALL_TIMEOUT_MS 5000

/* Of NODE_CALLS those about statements: who signs many must not keep us from joining. */
#define GRANTS_CALLS (NODE_CALLS / 2)
#define GRANTS_CALLS_EACH (NODE_CALLS / 8)	/* about those of one collection */

typedef enum CallPurpose
{
	CALL_NONE,
	CALL_GRANTS,
	CALL_REDEEM
} CallPurpose;

/* A request of ours beside the core's and HELLO, until its answer or its end. */
typedef struct NodeCall
{
	CallPurpose purpose;
	uint64_t	request;
	int64_t		until_ms;
	uint8_t		curve[CORE_KEY_BYTES];
	KadId		collection;
} NodeCall;

#define NODE_WAITING 64

/* A request for which there was no link to be had. */
typedef struct NodeWaiting
{
	uint8_t    *frame;
	size_t		len;
	int64_t		until_ms;
	uint8_t		curve[CORE_KEY_BYTES];
	int			n_addresses;
	NetAddress	addresses[NODE_RECORD_ADDRESSES];
} NodeWaiting;

/* Send to whom this record or these addresses name, greeting first where need be. */
extern bool node_send(Node *self, NodePeer *peer, const WireMessage *message);
extern void node_send_to(Node *self, NodePeer *peer, const NetAddress *addresses, int n, const WireMessage *message);
extern void node_greet(Node *self, NodePeer *peer, const NetAddress *addresses, int n);

/* Before a message to this peer: must it be greeted? */
extern bool node_greeting_due(Node *self, NodePeer *peer);

/* Answer the message that is being handled, over its link. */
extern void node_answer(Node *self, const WireMessage *message);
extern void node_answer_error(Node *self, uint64_t request, const KadId *collection, WireCode code, const char *text);

/* The id of a request whose answer nobody waits for. */
extern uint64_t node_request(Node *self);

/* Begin a request of ours: its id, or 0 when too many are open; of those about statements also of one collection. */
extern uint64_t node_call(Node *self, CallPurpose purpose, const uint8_t curve[CORE_KEY_BYTES],
						  const KadId *collection, int64_t timeout_ms);

/* Send what has waited for a link; and forget it. */
extern void outbox_tick(Node *self);
extern void outbox_reset(Node *self);

#endif							/* CORE_OUTBOX_H */
