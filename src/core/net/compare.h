/*
 * compare.h
 *	  How the statements about a collection spread.
 */
#ifndef CORE_COMPARE_H
#define CORE_COMPARE_H

#include "core/net/group.h"
#include "core/net/outbox.h"

/* To one peer, and to the members that are connected, but one. */
extern void compare_send(Node *self, NodeGroup *g, NodePeer *to, const uint8_t *const *statements, int n);
extern void compare_push(Node *self, NodeGroup *g, const uint8_t *const *statements, int n, const NodePeer *except);

/* What shows that this node was a member, and is none any more where it has left. */
extern void compare_send_proof(Node *self, NodeGroup *g, NodePeer *to);

/* Take changes of columns that came from a member, or one of our own; what was new is pushed on. */
extern ChangesAdded compare_take_change(Node *self, NodeGroup *g, NodePeer *from, const uint8_t *bytes, size_t len);

/* Sign a statement into out[GRANT_BYTES], take it, tell the others. */
extern NodeStatus compare_sign(Node *self, NodeGroup *g, const uint8_t *secret, const Grant *grant, uint8_t *out);

/* Take what came; what was new is pushed on.  Returns how many were new. */
extern int	compare_take(Node *self, NodeGroup *g, NodePeer *from, const uint8_t *const *statements, int n);

/* Compare with a member that is connected; the end of that. */
extern void compare_start(Node *self, NodeGroup *g);
extern void compare_end(Node *self, NodeGroup *g);

/* Is there nobody left to tell that we leave, besides perhaps one: no member, and none that hung on one who has gone? */
extern bool compare_alone(Node *self, NodeGroup *g, const NodePeer *besides);

/* GRANTS came, or the answer to ours. */
extern void compare_receive(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *message);
extern void compare_answered(Node *self, NodeGroup *g, NodePeer *from, const WireMessage *message);

#endif							/* CORE_COMPARE_H */
