/*
 * links.h
 *	  What a node is handed to reach others: links, whose ends know each other's
 *	  CURVE key before the first frame passes.
 *
 * A link that we made leads to an address of our choice (outbound); one that the
 * other made leads back only as long as it stays.  In a server the links are those
 * of src/net/transport.h, in a simulator entries of a table.
 *
 * None of these functions calls back into the node.  What comes over a link and
 * what becomes of it is told by node_frame() and node_unreachable() in node.h.
 */
#ifndef CORE_LINKS_H
#define CORE_LINKS_H

#include "core/net/host.h"
#include "core/net/net_address.h"

#define LINKS_MAX 1088			/* at a time, whoever made them */

/* The link a frame came over, by a number that is never used for another one. */
typedef struct LinkVia
{
	uint64_t	link;			/* not 0 */
} LinkVia;

typedef enum LinkSent
{
	LINK_SENT,					/* on its way; not yet: arrived */
	LINK_FULL,					/* too much is on its way to this peer: dropped */
	LINK_NO_ROOM,				/* no link can be made now, perhaps later */
	LINK_ERROR					/* no address or link, or not that frame */
} LinkSent;

typedef struct LinkInfo
{
	uint8_t		curve_key[CORE_KEY_BYTES];
	NetAddress	address;		/* outbound: where it leads; else from where, with its port there */
	bool		outbound;
	bool		up;				/* else it is being made */
	int64_t		since_ms;		/* tick at which that became so */
} LinkInfo;

typedef struct Links
{
	void	   *self;

	/*
	 * Send a frame to the node with this CURVE key over the link that we made to
	 * it; make one to the first of its addresses that answers where there is none.
	 * Without room for it, or with n = 0, a link that the node made is used.
	 */
	LinkSent	(*send) (void *self, int64_t tick_ms, const uint8_t curve_key[CORE_KEY_BYTES],
						 const NetAddress *addresses, int n, const uint8_t *frame, size_t len);

	/* Send over the link that a frame came by; LINK_ERROR when it is gone. */
	LinkSent	(*answer) (void *self, LinkVia via, const uint8_t *frame, size_t len);

	/* Close the links with this node: the one that we made, or all. */
	void		(*drop) (void *self, const uint8_t curve_key[CORE_KEY_BYTES], bool only_outbound);

	/* The link that we make to a pinned node makes no room for others.  A pin outlives it. */
	void		(*pin) (void *self, const uint8_t curve_key[CORE_KEY_BYTES], bool pinned);

	/* Up to room links; returns how many were written. */
	int			(*list) (void *self, LinkInfo *out, int room);

	/* One of them; false when it is gone. */
	bool		(*find) (void *self, LinkVia via, LinkInfo *out);
} Links;

#endif							/* CORE_LINKS_H */
