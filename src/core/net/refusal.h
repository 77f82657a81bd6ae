/*
 * refusal.h
 *	  Lines for the log, and refused peers in it.
 */
#ifndef CORE_REFUSAL_H
#define CORE_REFUSAL_H

#include "core/net/node.h"

#define NODE_REFUSALS 256		/* remembered, so that each is logged once */

typedef struct NodeRefusal
{
	uint64_t	key;			/* of peer and reason; 0: free */
	int64_t		logged_ms;
	uint32_t	times;			/* since then */
} NodeRefusal;

extern void node_log(Node *self, NodeLevel level, const char *format,...) __attribute__((format(printf, 3, 4)));

/* Count a refusal and log it, once for each peer and reason within an hour. */
extern void node_refuse(Node *self, const uint8_t *curve, const char *reason);

#endif							/* CORE_REFUSAL_H */
