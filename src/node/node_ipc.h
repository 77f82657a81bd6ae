/*
 * node_ipc.h
 *	  What the launcher, the node workers and the backends that ask them share.
 *
 * A slot for each database that is a node: the launcher gives and takes it, its
 * worker writes how it does.  In a slot, places for requests by backends.  A
 * place passes through these states, always under the lock:
 *
 *	  FREE -> POSTED		the backend; its memory (a DSM segment) is ready
 *	  POSTED -> TAKEN		the worker, which has attached to it
 *	  TAKEN -> DONE			the worker, which has written the answer and detached
 *	  POSTED, TAKEN -> LOST	the worker, which ends or could not attach
 *	  POSTED, DONE, LOST -> FREE	the backend
 *	  TAKEN -> ABANDONED	the backend, which waits no longer
 *	  ABANDONED -> FREE		the worker
 *
 * The segment is the backend's: it goes with it, whatever the worker does.
 *
 * No role but a superuser's may have more places than it leaves free for others,
 * see SyncShareAllows().  An abandoned place is still its role's until the network
 * has answered: what was asked of the network is under way as long.
 */
#ifndef VECDB_NODE_IPC_H
#define VECDB_NODE_IPC_H

#include "pgcompat.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "node/node_call.h"

#define SYNC_NODES 16			/* databases of one server */
#define SYNC_REQUESTS 32		/* of one node at a time */
#define SYNC_RESERVED 4			/* places of these that only superusers get */
#define SYNC_ANSWER_MS 60000	/* after so long the worker is taken for hung */
#define SYNC_REASON 256
#define SYNC_ADDRESS 64			/* bytes of an address as text, with its port */

typedef enum SyncPlaceState
{
	SYNC_PLACE_FREE,
	SYNC_PLACE_POSTED,
	SYNC_PLACE_TAKEN,
	SYNC_PLACE_DONE,
	SYNC_PLACE_LOST,
	SYNC_PLACE_ABANDONED
} SyncPlaceState;

typedef struct SyncPlace
{
	int			state;
	Latch	   *latch;			/* of the backend, set at the end */
	dsm_handle	segment;
	Oid			role;			/* who asks */
	bool		superuser;		/* whom no share binds */
} SyncPlace;

/*
 * May somebody who holds `mine` of a resource, of which `free` are free, get one
 * more?  Only while no more are held than left free, beside those reserved: one
 * role gets less than half, the next less than half of the rest, and a place is
 * left for who comes new.
 */
static inline bool
SyncShareAllows(int mine, int free, int reserved)
{
	return mine < free - reserved;
}

/* What is asked.  Arguments and answers are strings, one after another. */
typedef enum SyncOp
{
	SYNC_PEERS,
	SYNC_TABLE,
	SYNC_LOOKUP,				/* id of a node */
	SYNC_PROVIDERS,				/* id of a collection */
	SYNC_INVITE,				/* table, its name, role, life in ms */
	SYNC_JOIN,					/* invitation; a table that is here, the hash of its columns, what it is as a collection */
	SYNC_LEAVE,					/* table */
	SYNC_PAUSE,					/* table, "1" or, to go on, "0" */
	SYNC_VERIFY,				/* table, number of the run or 0, "1" for all that it has found */
	SYNC_EVICT,					/* table, id of the node or its beginning */
	SYNC_MEMBERS,				/* table */
	SYNC_COLLECTIONS,			/* those whose rows are replicated */
	SYNC_REPLICATION,			/* members of these */
	SYNC_SHARE,					/* table, its name */
	SYNC_JOIN_ROWS,				/* root key, a table with rows that is about to be its */
	SYNC_RETRY,					/* table, digits of the key of a row that is held; "": all */
	SYNC_DISCARD,				/* table, digits of the key of a row in quarantine */
	SYNC_ALTER					/* table, hashes of its columns before and after a change, its text */
} SyncOp;

typedef enum SyncNodeState
{
	SYNC_NODE_DOWN,				/* no process */
	SYNC_NODE_STARTING,			/* the launcher has asked for one */
	SYNC_NODE_WAITING,			/* there is one, and something is missing: see reason */
	SYNC_NODE_RUNNING,
	SYNC_NODE_STOPPING
} SyncNodeState;

/* All under the lock. */
typedef struct SyncNode
{
	bool		used;
	bool		wanted;			/* vecdb.node_databases names it */
	char		name[NAMEDATALEN];	/* of the database */
	Oid			database;		/* InvalidOid: there is none of that name */
	int			port;
	bool		own_key_file;	/* false: another node uses the one of vecdb.key_file */

	int			state;			/* SyncNodeState */
	pid_t		pid;			/* of the worker, 0 when there is none */
	Latch	   *latch;			/* of the worker */
	bool		reload;			/* a transaction has changed what the worker read from its tables */
	int64		started_ms;		/* MonotonicMs(): the worker, or the last attempt; 0: never */
	int			failures;		/* attempts in a row that came to nothing */
	uint64		starts;
	char		reason[SYNC_REASON];	/* why it does not run, or what does not while it does; or "" */

	bool		has_id;
	uint8		id[32];
	char		listen[SYNC_ADDRESS];
	char		advertised[4 * SYNC_ADDRESS];
	char		clone[SYNC_ADDRESS];	/* where another node with our key is; "": nowhere */
	int32		peers;
	int32		known;			/* nodes in the routing table */
	int64		sent;			/* messages */
	int64		received;
	int64		refused;		/* messages, handshakes */
	int64		lookups;
	int64		memory_bytes;	/* of the node and of rows, without PostgreSQL's */

	SyncPlace	place[SYNC_REQUESTS];
} SyncNode;

typedef struct SyncShared
{
	LWLock		lock;
	pid_t		launcher_pid;	/* 0 when there is none */
	Latch	   *launcher_latch;
	TimestampTz launcher_started;
	SyncNode	node[SYNC_NODES];
} SyncShared;

/*
 * vecdb.so and vecdb_sync.so read each other's.  Who changes a size here changes it
 * in both, and knows that a server runs the new ones only after a restart.
 */
StaticAssertDecl(sizeof(void *) != 8 || sizeof(SyncPlace) == 32, "a place of vecdb.so is one of vecdb_sync.so");
StaticAssertDecl(sizeof(void *) != 8 || sizeof(SyncNode) == 1880, "a slot of vecdb.so is one of vecdb_sync.so");
StaticAssertDecl(sizeof(void *) != 8 || offsetof(SyncShared, node) == sizeof(LWLock) + 24, "what precedes the slots in vecdb.so does so in vecdb_sync.so");
StaticAssertDecl(SYNC_RESERVED < SYNC_REQUESTS, "there are places for those who are no superusers");

/* Did the postmaster load vecdb, so that there is shared memory and a launcher?  Set in vecdb.so only. */
extern bool SyncPreloaded;

/* Shared state; made by the first process that asks for it. */
extern PGDLLEXPORT SyncShared *SyncAttach(void);

/* What SyncDescribe() has found. */
typedef enum SyncDescribed
{
	SYNC_DESCRIBED,
	SYNC_NOT_DESCRIBED,			/* it cannot be shared as it is: only its name */
	SYNC_TABLE_LOCKED,			/* somebody has locked it, or an index: only its name */
	SYNC_TABLE_GONE
} SyncDescribed;

/*
 * What members are told of a collection (WIRE.md), by its table, into out[room].
 * Waits for no lock and runs nobody's code.  In vecdb.so, inside a transaction.
 */
extern PGDLLEXPORT SyncDescribed SyncDescribe(Oid table, char *out, size_t room);

/* "down", "starting", ... */
extern PGDLLEXPORT const char *SyncStateName(int state);

#endif							/* VECDB_NODE_IPC_H */
