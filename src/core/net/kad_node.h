/*
 * kad_node.h
 *	  One node of the network: answers requests, keeps its routing table fresh,
 *	  runs lookups, announces what it holds.
 *
 * It is driven from outside: kad_node_receive() with each message that came
 * over a link whose other end is known, kad_node_tick() when the time comes
 * that kad_node_next_tick() names.  It acts through the callbacks of its host
 * only.  The worker, the tests and the simulator are such hosts.
 *
 * What it does by itself:
 *	  - joins: as soon as somebody it has met answers, a lookup of itself, then
 *		one into each bucket that none has gone into (Kademlia, section 2.3);
 *	  - refreshes: the same again every refresh_ms; who was silent that long is
 *		pinged;
 *	  - remembers KAD_ABSENT nodes that were in the table and stopped answering,
 *		and pings them after 1, 2, 4, at most 8 minutes: a network that fell in two
 *		halves, each of them healthy, grows together again through them, and
 *		each that comes back is asked for the neighbors of both;
 *	  - announces each collection it holds to the KAD_K nearest nodes when told,
 *		hourly, and its withdrawal once; and hands the announcements of others
 *		on to newcomers that are nearer to them;
 *	  - notices when another node uses its key (KAD_EVENT_CLONE).
 * A request that nobody answered counts against its receiver only if somebody
 * else has answered since it was sent: else it is our own line that is down.
 *
 * Memory is bounded by the constants here and in the parts, whatever peers send.
 */
#ifndef CORE_KAD_NODE_H
#define CORE_KAD_NODE_H

#include "core/net/kad_lookup.h"
#include "core/net/kad_table.h"
#include "core/net/provider.h"
#include "core/net/wire.h"

#define KAD_TIMEOUT_MS 3000
#define KAD_REFRESH_MS 600000
#define KAD_PENDING 256			/* requests without an answer yet */
#define KAD_LOOKUPS 16			/* at once; for refreshing at most KAD_REFRESH_LOOKUPS of them */
#define KAD_REFRESH_LOOKUPS 2
#define KAD_PINGS 32			/* at once */
#define KAD_PINGS_NEW 24		/* of them for newcomers: others decide how many there are */
#define KAD_HANDED 32			/* provider records on their way to newcomers, at once */
#define KAD_ABSENT 16
#define KAD_ABSENT_FIRST_MS 60000
#define KAD_ABSENT_LAST_MS 480000
#define KAD_HELD 1024			/* collections that a node announces */
#define KAD_STORE 4096			/* provider records of others */

typedef enum KadEvent
{
	KAD_EVENT_JOINED,			/* the first lookup of itself has found somebody */
	KAD_EVENT_CLONE,			/* record: signed with our key, and not by us */
	KAD_EVENT_RETURNED			/* record: a node that was absent answers again */
} KadEvent;

typedef struct KadHost
{
	void	   *context;

	/*
	 * Send a message; both arguments are the node's and good during the call.
	 * Losing it is allowed: there are timeouts.
	 */
	void		(*send) (void *context, const NodeRecord *to, const WireMessage *message);
	void		(*event) (void *context, KadEvent event, const NodeRecord *record);

	/* A lookup of kad_node_lookup() has ended; it is good during the call. */
	void		(*done) (void *context, uint64_t tag, const KadLookup *lookup);
} KadHost;

typedef struct KadConfig
{
	const CoreMemory *memory;
	const CoreCrypto *crypto;
	const CoreRandom *random;
	RecordPool *pool;			/* may be shared */
	KadHost		host;
	const uint8_t *secret;		/* [CORE_SECRET_BYTES], to sign provider records */
	int64_t		refresh_ms;		/* KAD_REFRESH_MS */
	bool		exempt_private; /* private addresses are not limited by subnet */
} KadConfig;

typedef struct KadStats
{
	uint64_t	requests_sent;
	uint64_t	requests_received;
	uint64_t	answers_received;
	uint64_t	timeouts;
	uint64_t	unasked;		/* answers to nothing that was asked */
	uint64_t	lookups;
} KadStats;

typedef struct KadNode KadNode;

/*
 * A node with its own record (of which it takes a reference).  NULL when there
 * is no memory.  Everything config points to must outlive it.
 */
extern KadNode *kad_node_new(const KadConfig *config, NodeRecord *own, CoreClock clock);
extern void kad_node_destroy(KadNode **self);

/* The own record was signed anew: other addresses, or a later expiry. */
extern void kad_node_renew(KadNode *self, NodeRecord *own);

/*
 * A node that may be there: from the bootstrap list, a beacon, an invitation,
 * the table saved at the last shutdown.  It is pinged and, if it answers, gets an
 * entry.  False when too many requests are open: try later.
 */
extern bool kad_node_meet(KadNode *self, CoreClock clock, NodeRecord *record);

/* Is the answer to this request awaited from the node with this id?  Others need not be decoded. */
extern bool kad_node_awaits(const KadNode *self, const KadId *from, uint64_t request);

/*
 * A message came from the node of this record, which the link has proved to be
 * its sender, over a link that shows record->addresses[address] to be its, or at
 * least the subnet of that; -1: over one that shows none.  Then an answer is used,
 * and makes no entry in the table.
 */
extern void kad_node_receive(KadNode *self, CoreClock clock, NodeRecord *from, int address,
							 const WireMessage *message);

/* No link to this node could be made, or it broke: its requests have failed. */
extern void kad_node_unreachable(KadNode *self, CoreClock clock, const KadId *id);

/* Do what is due; to be called at kad_node_next_tick() (a tick_ms) or soon after. */
extern void kad_node_tick(KadNode *self, CoreClock clock);
extern int64_t kad_node_next_tick(const KadNode *self);

/*
 * Look for the nodes nearest to target, and for providers of it if asked; the
 * host's done() gets tag and result, perhaps during this call.  False when
 * KAD_LOOKUPS are under way or there is no memory.
 */
extern bool kad_node_lookup(KadNode *self, CoreClock clock, const KadId *target,
							bool for_providers, uint64_t tag);

/*
 * Announce that this node holds a collection, from now on, or (held = false)
 * that it does no more, for as long as others may have a record that says it does.
 * False when it holds KAD_HELD already or there is no memory.
 */
extern bool kad_node_hold(KadNode *self, CoreClock clock, const KadId *collection, bool held);

/* For views, and for saving the table. */
extern const KadTable *kad_node_table(const KadNode *self);
extern const ProviderStore *kad_node_store(const KadNode *self);
extern KadStats kad_node_stats(const KadNode *self);

#endif							/* CORE_KAD_NODE_H */
