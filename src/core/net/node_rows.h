/*
 * node_rows.h
 *	  The link of rows to each node that shares a collection: see NodeRows in node.h.
 */
#ifndef CORE_NODE_ROWS_H
#define CORE_NODE_ROWS_H

#include "core/net/peer.h"

#define NODE_ROWS_PAST 8
#define NODE_ROWS_WANTED 8

/*
 * Two nodes may have several links, and each sends over one of its choice.  Who sends
 * leaves a link only when that is gone, so who receives takes nothing more from one after
 * the first frame by another; who leaves links that are not gone has no more than so many,
 * and one a second.
 */
typedef struct NodeRowsLink
{
	KadId		id;
	uint8_t		curve[CORE_KEY_BYTES];
	bool		up;				/* as the process was told */
	LinkVia out;				/* ours go over this one: it has answered a greeting of ours there */
	LinkVia in;					/* its last came over this one; 0: none has come yet */
	int64_t		flip_ms;		/* not before this tick over another one while that is there */
	int			n_past;
	LinkVia past[NODE_ROWS_PAST];	/* and before over these, as far as they are not gone */
} NodeRowsLink;

/* A frame of a type from WIRE_ROWS on, of a peer that has greeted and whose record is current. */
extern void rows_receive(Node *self, NodePeer *from, const uint8_t *frame, size_t len);

/* Tell of links that are gone or there, and make those that are wanted. */
extern void rows_tick(Node *self);

/* Forget them, without a word. */
extern void rows_reset(Node *self);

#endif							/* CORE_NODE_ROWS_H */
