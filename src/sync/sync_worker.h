/*
 * sync_worker.h
 *	  A node's worker: the process around a Node (core/net/node.h).  sync_worker.c has
 *	  its life and its loop, sync_store.c what it keeps in tables and files,
 *	  sync_request.c what backends ask it.
 *
 * Everything here runs on the main thread.  What the node calls back only takes
 * notes, in memory of its own; the loop does the rest, where an error can be
 * caught.
 */
#ifndef VECDB_SYNC_WORKER_H
#define VECDB_SYNC_WORKER_H

#include "pgcompat.h"

#include "datatype/timestamp.h"
#include "net/net_node.h"
#include "node/node_ipc.h"

/* For node_group_owner(): a role that is gone, or not known, has its share as the others. */
static inline uint32_t
SyncShareOf(Oid role, bool superuser)
{
	return superuser ? NODE_NO_SHARE : OidIsValid(role) ? role : PG_UINT32_MAX;
}

/* Of the NODE_COLLECTIONS these are for superusers only. */
#define SYNC_COLLECTIONS_RESERVED 64

/*
 * One transaction on the tables of ours may take so long.  What it waits for ends it
 * sooner (lock_timeout, 100 ms); this is for work: a full set is some thousand
 * signatures to verify, or rows to write, on a machine that does other things.
 */
#define SYNC_STATEMENT_MS 30000

typedef struct SyncWorker
{
	SyncShared *shared;
	SyncNode   *slot;
	NetNode    *net;			/* NULL while something is missing; and ... */
	Node	   *node;			/* ... the node inside, or NULL */
	char		dir[MAXPGPATH]; /* of our files, below the data directory */
} SyncWorker;

extern SyncWorker sync_worker;

/*
 * False while somebody waits to have this database for himself (to drop or
 * rename it, or as a template), which a connection of ours would hold up.
 */
extern bool SyncDatabaseIsFree(Oid database);

/* A tick of the node as a time of day. */
extern TimestampTz SyncTickTime(int64_t tick_ms);
extern TimestampTz SyncUnixTime(int64_t unix_ms);

/* ---- sync_store.c ---- */

typedef enum SyncExtension
{
	SYNC_EXTENSION_ABSENT,
	SYNC_EXTENSION_OLD,			/* without the tables of nodes */
	SYNC_EXTENSION_THERE,
	SYNC_EXTENSION_UNKNOWN		/* it could not be seen */
} SyncExtension;

extern SyncExtension SyncFindExtension(void);

/* Make the directory for files; false after a line in the log. */
extern bool SyncMakeDirectory(void);

/* The collections and statements of the tables, into the node. */
extern bool SyncLoad(void);

/* What became of the tables of collections: other names, none any more.  False: look again soon. */
extern bool SyncRebind(void);

/* A collection was left: its rows go with the next flush. */
extern void SyncNoteLeft(const uint8_t root[CORE_KEY_BYTES]);

/* Write down which statements are held, where that has changed.  False: it has to be tried again. */
extern bool SyncFlush(void);

/* How many collections a role holds: the owner of the table or, where there is none, who joins or leaves. */
typedef struct SyncHolder
{
	int			n;
	bool		superuser;
	char		name[NAMEDATALEN];
} SyncHolder;

/* False when that could not be seen. */
extern bool SyncCountHeld(Oid role, SyncHolder *out);
extern bool SyncTableOwner(Oid table, Oid *owner);

/* A collection that this node shares, has joined or leaves: its row and its statements, all or nothing. */
extern bool SyncAddCollection(const uint8_t root[CORE_KEY_BYTES], Oid table, const char *name, Oid role);
extern bool SyncMarkLeaving(const uint8_t root[CORE_KEY_BYTES]);
extern bool SyncFindRoot(Oid table, uint8_t root[CORE_KEY_BYTES]);

/* Keys of collections, the routing table, the last sequence number: files. */
extern bool SyncSaveRoot(const uint8_t root[CORE_KEY_BYTES], const uint8_t seed[CORE_SEED_BYTES]);
extern bool SyncReadRoot(const uint8_t root[CORE_KEY_BYTES], uint8_t secret[CORE_SECRET_BYTES]);
extern void SyncRemoveRoot(const uint8_t root[CORE_KEY_BYTES]);
extern void SyncRemoveRoots(void);
/* Remove what a crash has left of keys whose collection is not held.  False: look again soon. */
extern bool SyncSweepRoots(void);
extern void SyncSaveTable(void);
extern void SyncReadTable(void);
extern void SyncSaveSeq(uint64_t seq);
extern uint64_t SyncReadSeq(void);

/* ---- sync_request.c ---- */

/* Take what backends have posted, answer what is ready. */
extern void SyncServe(void);

/* Answer all that waits with an error: the node has stopped. */
extern void SyncFailAll(void);

/* The process ends: nobody waits for it any more. */
extern void SyncLeavePlaces(void);

extern void SyncLookupDone(uint64_t tag, const KadLookup *lookup, int64_t took_ms);
extern void SyncJoinDone(uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
						 const uint8_t *description, size_t len);

#endif							/* VECDB_SYNC_WORKER_H */
