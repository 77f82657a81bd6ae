/*
 * node_private.h
 *	  What node.c (links, greetings, the core's messages) and node_group.c
 *	  (collections) share.
 */
#ifndef CORE_NODE_PRIVATE_H
#define CORE_NODE_PRIVATE_H

#include "core/net/node.h"

#define NODE_PEER_SLOTS 256		/* a power of two */
#define NODE_REFUSALS 256		/* remembered, so that each is logged once */
#define NODE_OWN_REQUEST (UINT64_C(1) << 63)	/* set in request ids of ours, never in the core's */
#define NODE_CALL_TIMEOUT_MS 5000

/* Of NODE_CALLS those about statements: who says much must not keep us from joining. */
#define GRANTS_CALLS (NODE_CALLS / 2)
#define GRANTS_CALLS_EACH (NODE_CALLS / 8)	/* about those of one collection */

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

typedef struct NodeRefusal
{
	uint64_t	key;			/* of peer and reason; 0: free */
	int64_t		logged_ms;
	uint32_t	times;			/* since then */
} NodeRefusal;

/* The statements of one collection are compared with one peer at a time. */
typedef struct GroupCompare
{
	uint8_t		curve[CORE_KEY_BYTES];
	bool		active;
	uint32_t	cursor;			/* of membership_next() */
	int			sent;			/* messages with statements */
	int64_t		until_ms;
} GroupCompare;

/* What another asks of ours in several messages: where it stands. */
typedef struct GroupServe
{
	uint8_t		curve[CORE_KEY_BYTES];
	uint32_t	cursor;
	int64_t		at_ms;
} GroupServe;

#define GROUP_SERVES 8

typedef struct NodeGroup
{
	Membership	membership;
	uint64_t	saved;			/* changes of the membership that are kept */
	Mesh		mesh;
	KadId		id;
	bool		has_root;
	uint8_t		root_secret[CORE_SECRET_BYTES];
	uint32_t	tag;			/* 0: no table */
	char		name[NODE_NAME];
	bool		leaving;		/* until somebody knows */
	bool		leave_told;
	bool		held;			/* announced */
	uint32_t	owner;			/* whose share of the statements it counts for */
	GrantRole	role;			/* our own, as last told */
	int64_t		find_ms;		/* ticks at which each is due */
	int64_t		compare_ms;
	int64_t		retry_ms;		/* between looks for members while there are few */
	GroupCompare compare;
	GroupServe	serve[GROUP_SERVES];
	size_t		description_len;
	uint8_t		description[NODE_DESCRIPTION];
} NodeGroup;

typedef struct NodeJoin
{
	bool		active;
	uint64_t	request;		/* of the REDEEM that was sent; 0: none yet */
	uint64_t	tag;
	int64_t		greet_ms;		/* tick at which its addresses are tried again */
	int64_t		until_ms;
	Invitation	invitation;
} NodeJoin;

typedef struct NodeLookup
{
	uint64_t	tag;			/* of the caller; 0: ours, for a group */
	int64_t		started_ms;
	bool		active;
	KadId		target;
} NodeLookup;

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

#define NODE_ALARMS 8

/* Another process with our key, by where it is. */
typedef struct NodeAlarm
{
	NetAddress	at;				/* port 0: none */
	int64_t		signed_ms;		/* tick at which we last signed above its number */
} NodeAlarm;

struct Node
{
	NodeConfig	config;
	CoreMemory	memory;
	CoreRandom	random;
	CoreCrypto	crypto;
	CoreClock	now;
	Links		links;
	RecordPool	pool;
	bool		has_pool;
	KadNode    *kad;
	NodeRecord *own;
	uint64_t	network;
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
	uint8_t		frame[WIRE_FRAME_MAX];
};

/* node.c */

extern void node_say(Node *self, NodeLevel level, const char *format,...) __attribute__((format(printf, 3, 4)));

/* Count a refusal and log it, once for each peer and reason within an hour. */
extern void node_refuse(Node *self, const uint8_t *curve, const char *reason);

extern NodePeer *node_peer(Node *self, const uint8_t curve[CORE_KEY_BYTES], bool create);
extern bool node_take_record(Node *self, NodePeer *peer, NodeRecord *record, bool proved);

/* Send to whom this record or these addresses name, greeting first where need be. */
extern bool node_send(Node *self, NodePeer *peer, const WireMessage *message);
extern void node_send_to(Node *self, NodePeer *peer, const NetAddress *addresses, int n, const WireMessage *message);
extern void node_greet(Node *self, NodePeer *peer, const NetAddress *addresses, int n);
extern void node_answer(Node *self, const WireMessage *message);
extern void node_answer_error(Node *self, uint64_t request, const KadId *collection, WireCode code, const char *text);

/* The id of a request whose answer nobody waits for. */
extern uint64_t node_request(Node *self);

/* Begin a request of ours: its id, or 0 when too many are open; of those about statements also of one collection. */
extern uint64_t node_call(Node *self, CallPurpose purpose, const uint8_t curve[CORE_KEY_BYTES],
						  const KadId *collection, int64_t timeout_ms);

extern bool node_start_lookup(Node *self, const KadId *target, bool for_providers, uint64_t tag);

/* Is there an open link with this peer? */
static inline bool
node_connected(const NodePeer *peer)
{
	return peer->up || peer->inbound;
}

/* node_group.c */
extern NodeGroup *group_find(const Node *self, const KadId *id);
extern void group_receive(Node *self, NodePeer *from, const WireMessage *message);
extern void group_answered(Node *self, NodePeer *from, const NodeCall *call, const WireMessage *message);
extern void group_call_failed(Node *self, const NodeCall *call);
extern void group_greeted(Node *self, NodePeer *peer);
extern void group_gone(Node *self, const KadId *id);
extern void group_lookup_done(Node *self, const KadId *target, const KadLookup *lookup);
extern void group_tick(Node *self);
extern int64_t group_next_tick(const Node *self);
extern void group_reset(Node *self);
extern void group_announce_all(Node *self);
extern void group_unreachable(Node *self, const uint8_t curve[CORE_KEY_BYTES]);

#endif							/* CORE_NODE_PRIVATE_H */
