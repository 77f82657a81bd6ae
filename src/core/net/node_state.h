/*
 * node_state.h
 *	  All that a node is: what the files that node.c names share.
 *
 * Each of these files is handed the node, changes what its own header declares, and
 * calls only those that stand before it in node.c.
 */
#ifndef CORE_NODE_STATE_H
#define CORE_NODE_STATE_H

#include "core/net/compare.h"
#include "core/net/find.h"
#include "core/net/group.h"
#include "core/net/group_events.h"
#include "core/net/hello.h"
#include "core/net/join.h"
#include "core/net/node.h"
#include "core/net/node_rows.h"
#include "core/net/outbox.h"
#include "core/net/own_record.h"
#include "core/net/peer.h"
#include "core/net/refusal.h"

struct Node
{
	NodeConfig	config;
	CoreMemory	memory;
	CoreRandom	random;
	CoreCrypto	crypto;
	CoreClock	now;
	Links		links;
	void		(*gone) (Node *self, const KadId *id);	/* a peer was forgotten, or is another: group_gone() */
	RecordPool	pool;
	bool		has_pool;
	KadNode    *kad;
	NodeRecord *own;
	uint64_t	network;
	char		network_name[128];	/* cut, for the log: the setting may be gone */
	uint64_t	seq;
	uint8_t		key[CORE_KEY_BYTES];
	KadId		id;
	int			n_addresses;
	NetAddress	addresses[NODE_RECORD_ADDRESSES];
	int64_t		sign_ms;		/* unix, when to sign anew */

	bool		cloned;
	NodeAlarm	alarm[NODE_ALARMS];	/* of others with our key */
	int			adopted;		/* times a record of our own past was signed over */
	NetAddress	clone_at;

	int			n_peers;
	NodePeer   *peer[NODE_PEER_SLOTS];
	uint64_t	next_call;
	NodeCall	call[NODE_CALLS];
	NodeRefusal refusal[NODE_REFUSALS];
	uint64_t	refused;
	int64_t		lines_ms;		/* tick of the minute of ... */
	int			lines;			/* ... so many lines about refusals */

	int64_t		links_ms;		/* tick of the next look at the links */
	int			n_links;
	LinkInfo	link[LINKS_MAX];
	int64_t		pin_ms;

	/* the message being handled, so that its answer takes the same link */
	bool		handling;
	LinkVia via;
	NodePeer   *from;

	int			n_waiting;
	NodeWaiting waiting[NODE_WAITING];	/* the oldest first */

	int			max_statements; /* NODE_STATEMENTS */
	int			n_groups;
	NodeGroup  *group[NODE_COLLECTIONS];
	NodeJoin	join[NODE_JOINS];
	NodeLookup	lookup[KAD_LOOKUPS];

	int			n_rows;
	NodeRowsLink *rows[LINKS_MAX];	/* sorted by id */
	int			n_rows_wanted;
	KadId		rows_wanted[NODE_ROWS_WANTED];	/* to whom there was no link: one is to be made */
	int64_t		rows_find_ms;	/* tick before which none of them is looked for in the network */
	uint8_t		frame[WIRE_FRAME_MAX];
};

#endif							/* CORE_NODE_STATE_H */
