/*
 * sync_pending.h
 *	  Requests of backends that are being answered: what sync_request.c, which takes
 *	  and ends them, shares with those that answer.
 */
#ifndef VECDB_SYNC_PENDING_H
#define VECDB_SYNC_PENDING_H

#include "sync/sync_worker.h"

typedef struct Pending
{
	SyncWorker *worker;
	bool		active;
	bool		finished;		/* the answer is in the segment */
	uint64_t	tag;			/* serial and place */
	int64_t		until_ms;		/* tick after which nobody waits, nor its place */
	Oid			role;			/* who asks; of a join with a table, its owner */
	bool		superuser;
	int			op;
	Oid			table;			/* of a join: which is here already; else InvalidOid */
	char		kind[80];		/* what a collection of it is: "table" and the hash of its columns, */
	char		other_kind[80];	/* or what vecdb.create_collection() says; "": it did not make it */
	dsm_handle	handle;			/* of the segment that the caller has made */
	dsm_segment *segment;
	SyncCall   *call;
	bool		altering;		/* it waits for a change of this name to be applied here */
	uint8_t		change[CHANGE_HASH_BYTES];
	bool		returning;		/* a join of what was left: the node has read what was kept of that, by this root key */
	uint8_t		left[CORE_KEY_BYTES];
	bool		again;			/* it could not be begun: it is in the next turn, its arguments are still there */
} Pending;

/*
 * A collection that the network has admitted us to: kept first, then told to who
 * asked for it, by the tag of that request.  Whoever that was may have gone, and
 * the place of the request may be another's by now.
 */
typedef struct Admitted
{
	bool		used;
	uint64_t	tag;
	Oid			role;			/* who asked */
	bool		superuser;
	uint8_t		root[CORE_KEY_BYTES];
	char		description[NODE_DESCRIPTION + 1];
} Admitted;

typedef struct SyncRequests
{
	Pending		pending[SYNC_REQUESTS];
	Admitted	admitted[SYNC_REQUESTS];
	uint64_t	serial;
} SyncRequests;

/*
 * ---- sync_answer.c: fields of an answer, in order; false when it is full, and
 * then the answer says that it is cut.  Then what an error says. ----
 */

extern bool PendingPut(Pending *p, const char *text);
extern bool PendingPutNumber(Pending *p, long long number);
extern bool PendingPutId(Pending *p, const KadId *id);
extern bool PendingPutAddress(Pending *p, const NetAddress *address);
extern bool PendingPutAddresses(Pending *p, const NetAddress *addresses, int n);
extern bool PendingPutTime(Pending *p, TimestampTz time);
extern bool PendingPutBool(Pending *p, bool value);
extern void PendingError(Pending *p, int sqlstate, const char *message, const char *detail, const char *hint);

/* What a status means to the one who asked. */
extern void PendingStatus(Pending *p, NodeStatus status, const char *detail);

/* ---- sync_list.c: what the node knows ---- */

extern void PendingListPeers(SyncWorker *self, Pending *p);
extern void PendingListTable(SyncWorker *self, Pending *p);
extern void PendingListMembers(SyncWorker *self, Pending *p, Oid table);
extern void PendingListCollections(SyncWorker *self, Pending *p);
extern void PendingListReplication(SyncWorker *self, Pending *p);
extern void PendingLookUp(SyncWorker *self, Pending *p, const char *id_text, bool for_providers);

/* ---- sync_member.c: what changes who is a member ---- */

extern void PendingInvite(SyncWorker *self, Pending *p, Oid table, const char *name, const char *role, int64 life_ms);
extern void PendingShare(SyncWorker *self, Pending *p, Oid table, const char *name);
extern void PendingJoin(SyncWorker *self, Pending *p, const char *text);
extern void PendingForgetLeft(SyncWorker *self, Pending *p);
extern void PendingJoinRows(SyncWorker *self, Pending *p, const char *root_hex, Oid table);
extern void PendingLeave(SyncWorker *self, Pending *p, Oid table);
extern void PendingPause(SyncWorker *self, Pending *p, Oid table, bool paused);
extern void PendingEvict(SyncWorker *self, Pending *p, Oid table, const char *prefix);

/* ---- sync_held.c: rows that are held, by their keys as digits ---- */

extern void PendingRetry(SyncWorker *self, Pending *p, Oid table, const char *key);
extern void PendingDiscard(SyncWorker *self, Pending *p, Oid table, const char *key);

/* ---- sync_verify.c: comparisons that somebody waits for ---- */

/*
 * Begin a run where number is 0.  The answer is its number, and how many members have not
 * been compared with; or, and then it ends, all that it has found: see there.
 */
extern void PendingVerify(SyncWorker *self, Pending *p, Oid table, uint32 number, bool all);

/* ---- sync_change.c: what changes columns ---- */

/* Sign a change; it is answered when that is applied here, or could not be. */
extern void PendingAlter(SyncWorker *self, Pending *p, Oid table, const char *before, const char *after, const char *text);

/* The network has admitted us: write that down, then answer. */
extern void PendingFinishJoin(SyncWorker *self, Admitted *join);

/* Who asked with this tag and still waits; NULL when nobody does. */
extern Pending *PendingByTag(SyncWorker *self, uint64_t tag);

#endif							/* VECDB_SYNC_PENDING_H */
