/*
 * kad_table.h
 *	  The routing table of one node (Kademlia, sections 2.2 and 2.4): a bucket
 *	  of k nodes for each length of the prefix that they share with the owner.
 *
 * Rules, and where they go beyond the paper:
 *
 *	  - A node enters only after it has answered a request of ours.  A record that
 *		others send, or that comes with a request, makes no entry.
 *	  - A full bucket keeps whom it has, for who has been there long stays long;
 *		a newcomer waits in the bucket's replacement cache until one of them
 *		fails.  kad_table_oldest() names whom to ping.
 *	  - Unless it stands for a part of the bucket's ids, a sixteenth, for which
 *		nobody does: then one of the part that has most entries waits instead.
 *		Lookups into a bucket find nodes that are near to each other, and a bucket
 *		of those is near to few targets (seen at 10,000 nodes: 2.8 hops instead
 *		of 2.4).
 *	  - At most 2 nodes of a subnet in a bucket and 3 in the table, so that who
 *		owns a few networks cannot own the table (private addresses may be
 *		exempt; they all count as one subnet else).
 *	  - Who fails is replaced at once by one that waits; where nobody waits it
 *		stays, is told to nobody, and goes after KAD_FAILURES in a row.
 *
 * Memory: at most KAD_ID_BITS buckets, in truth as many as the network is deep
 * (log2 of its size) and those an attacker has ground keys for, each of fixed
 * size.  Records are referenced in the pool.
 */
#ifndef CORE_KAD_TABLE_H
#define CORE_KAD_TABLE_H

#include "core/net/node_record.h"

#define KAD_K 20				/* nodes of a bucket, and of an answer */
#define KAD_WAITING 8			/* nodes of a replacement cache */
#define KAD_PART_BITS 4			/* of an id, behind those of its bucket */
#define KAD_PARTS (1 << KAD_PART_BITS)
#define KAD_SUBNET_BUCKET 2
#define KAD_SUBNET_TABLE 3
#define KAD_FAILURES 3
#define KAD_CLOSEST_MAX 64		/* most that kad_table_closest() gives */

typedef struct KadEntry
{
	KadId		id;				/* beside the record: walks over a bucket stay in it */
	NodeRecord *record;			/* referenced */
	int64_t		answered_ms;	/* tick of its last answer */
	uint64_t	subnet;			/* 0: counts for none */
	NetAddress *address;		/* of the record's, where it answered */
	uint8_t		failures;		/* requests in a row that it did not answer */
} KadEntry;

typedef struct KadBucket
{
	int64_t		refreshed_ms;	/* tick of the last lookup into it */
	int			n;
	int			n_waiting;
	KadEntry	entry[KAD_K];
	KadEntry   *waiting;		/* [KAD_WAITING], made when first needed; the newest last */
} KadBucket;

typedef struct KadTable
{
	const CoreMemory *memory;
	RecordPool *pool;
	KadId		self;
	bool		exempt_private;
	int			n;				/* entries, without those that wait */
	int			n_buckets;		/* room in bucket; every index from there on is empty */
	KadBucket **bucket;			/* NULL where nothing is */
} KadTable;

typedef enum KadOutcome
{
	KAD_ADDED,
	KAD_UPDATED,				/* was there; its record may be newer now */
	KAD_WAITS,					/* in the replacement cache */
	KAD_SELF,					/* the owner itself, under this or another address */
	KAD_CROWDED,				/* its subnet has its share already */
	KAD_OLDER,					/* a newer record of it is there, which stays */
	KAD_NO_MEMORY
} KadOutcome;

extern void kad_table_init(KadTable *self, const CoreMemory *memory, RecordPool *pool,
						   const KadId *id, bool exempt_private);
extern void kad_table_reset(KadTable *self);

/*
 * The node of this record has answered, at record->addresses[address].  The
 * table takes a reference of its own.
 */
extern KadOutcome kad_table_answered(KadTable *self, NodeRecord *record, int address, int64_t tick_ms);

/*
 * A request to this node was not answered.  Returns its record when it left
 * the table for that, with the table's reference, which is now the caller's to
 * release; else NULL.
 */
extern NodeRecord *kad_table_failed(KadTable *self, const KadId *id);

/* Take a node out, whatever its merits; the same result. */
extern NodeRecord *kad_table_remove(KadTable *self, const KadId *id);

/* The entry of a node, or NULL; those that wait are not looked at. */
extern KadEntry *kad_table_find(const KadTable *self, const KadId *id);

/*
 * Would this node get an entry if it answered, or has a node of its bucket been
 * silent for so long (since before silent_ms) that it may get that one's?
 */
extern bool kad_table_wants(const KadTable *self, const NodeRecord *record, int64_t silent_ms);

/*
 * Of the bucket in which id belongs, who has been silent longest, if since
 * before silent_ms: the one to ping for a newcomer.  NULL when all were heard.
 */
extern KadEntry *kad_table_oldest(const KadTable *self, const KadId *id, int64_t silent_ms);

/*
 * The up to n (<= KAD_CLOSEST_MAX) nodes nearest to target into out[], nearest first,
 * not referenced.  Who has failed last time is left out, unless `failing`
 * (for the owner's own lookups, when there are no others).  Returns how many.
 */
extern int	kad_table_closest(const KadTable *self, const KadId *target, int n, bool failing, NodeRecord **out);

/*
 * A bucket into which no lookup has gone since before since_ms, or -1.  Only
 * buckets down to the first that is not full are asked for: the nodes deeper
 * are all found by a lookup of the owner itself.
 */
extern int	kad_table_stale(const KadTable *self, int64_t since_ms);

/* A lookup for target begins: its bucket is being refreshed. */
extern void kad_table_touch(KadTable *self, const KadId *target, int64_t tick_ms);

/*
 * Take out one entry whose record has expired at unix_ms by more than the
 * pool's skew; the same result as of kad_table_failed(), NULL when there is
 * none left.  Those that wait are dropped on the way.
 */
extern NodeRecord *kad_table_expire(KadTable *self, int64_t unix_ms);

/* Walk over the entries: start with *cursor = 0; NULL at the end. */
extern KadEntry *kad_table_next(const KadTable *self, uint32_t *cursor);

#endif							/* CORE_KAD_TABLE_H */
