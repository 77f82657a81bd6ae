/*
 * sync_worker.h
 *	  A node's worker: the process around a Node (core/net/node.h), and what each
 *	  part of it may ask of the others.  There is one SyncWorker in the process;
 *	  it is passed to who needs it.
 *
 * Everything here runs on the main thread.  What the node calls back only takes
 * notes, in memory of its own; the loop does the rest, where an error can be
 * caught.
 */
#ifndef VECDB_SYNC_WORKER_H
#define VECDB_SYNC_WORKER_H

#include "pgcompat.h"

#include "datatype/timestamp.h"
#include "net/address.h"
#include "net/beacon_socket.h"
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

#define SYNC_TICK_MS 100		/* nothing wakes us for: look anyway */
#define SYNC_HOUSE_MS 1000		/* the database, figures */
#define SYNC_RETRY_MS 5000		/* what failed of a start, of files */
#define SYNC_ADDRESS_MS 15000	/* our own addresses may have changed */
#define SYNC_REBIND_MS 10000	/* tables of collections may have been dropped */
#define SYNC_LINES 64
#define SYNC_NONCES 8
#define SYNC_BOOTSTRAP_ADDRESSES (2 * RESOLVER_LIMIT)

/* What the node runs with; other settings mean another node. */
typedef struct SyncRunning
{
	char		listen[SYNC_ADDRESS];
	int			port;
	char		network[NODE_TEXT];
	char		key_file[MAXPGPATH];
	int			max_peers;
	bool		limit_private;
} SyncRunning;

/* Times (ticks) at which each is due. */
typedef struct SyncDue
{
	int64_t		house;
	int64_t		extension;
	int64_t		start;
	int64_t		rebind;
	int64_t		address;
	int64_t		resolve;
	int64_t		save;
	int64_t		sweep;
	int64_t		ask;
	int64_t		ask_wait;
	int64_t		lan;
	int64_t		lan_wait;
	int64_t		rows;			/* a look at which tables are captured */
	int64_t		rows_tick;
	int64_t		flush;
	int			flush_failures; /* in a row */
} SyncDue;

/* What the settings name, and where that is. */
typedef struct SyncNames
{
	Resolver   *advertise;		/* of vecdb.advertise, while it runs */
	Resolver   *bootstrap;
	bool		advertise_known;
	NetAddress	advertised[NODE_RECORD_ADDRESSES];
	int			n_advertised;
	NetAddress	asked[SYNC_BOOTSTRAP_ADDRESSES];
	int			n_asked;
	char		told_failed[2][ADDRESS_HOST];	/* the name that could not be resolved, told once */
} SyncNames;

typedef struct SyncBeacons
{
	BeaconSocket *socket;
	uint64_t	nonce[SYNC_NONCES]; /* of the asks that are out: an announce must repeat one */
	int			next_nonce;
	int64_t		answered;		/* in the second that began at this tick ... */
	int			answers;		/* ... so many asks were answered */
} SyncBeacons;

/* Notes of the node's callbacks. */
typedef struct SyncNotes
{
	struct
	{
		NodeLevel	level;
		char		text[NODE_TEXT];
	}			line[SYNC_LINES];
	int			n;
	int			lost;
	uint64_t	signed_seq;
	uint64_t	saved_seq;
} SyncNotes;

/* Collections that were left, whose rows wait to be deleted; joined again they stay. */
typedef struct SyncLeft
{
	uint8_t		root[NODE_COLLECTIONS][CORE_KEY_BYTES];
	bool		gone[NODE_COLLECTIONS];
	uint8_t    *proof[NODE_COLLECTIONS];	/* the statements that stay, n_proof of GRANT_BYTES each */
	int			n_proof[NODE_COLLECTIONS];
	int			n;
} SyncLeft;

typedef struct SyncWait
{
	WaitEventSet *set;
	bool		has_node;
} SyncWait;

typedef struct SyncWorker
{
	SyncShared *shared;
	SyncNode   *slot;
	NetNode    *net;			/* NULL while something is missing; and ... */
	Node	   *node;			/* ... the node inside, or NULL */
	char		dir[MAXPGPATH]; /* of our files, below the data directory */
	int64_t		started_ms;
	bool		settled;		/* it has lived long enough not to have failed */
	uint64_t	moved;			/* bytes of frames that had come and gone at the last look, ... */
	size_t		held;			/* ... that the node and its rows had; ... */
	uint64_t	kept;			/* ... of frames, and freed, since memory was given back */
	SyncRunning running;
	SyncDue		due;
	SyncNames	names;
	SyncBeacons beacons;
	SyncNotes	notes;
	SyncLeft	left;
	SyncWait	wait;
	struct SyncRequests *requests;	/* sync_pending.h */
	struct SyncRows *rows;		/* sync_rows.h */
} SyncWorker;

/*
 * False while somebody waits to have this database for himself (to drop or
 * rename it, or as a template), which a connection of ours would hold up.
 */
extern bool SyncDatabaseIsFree(Oid database);

/* SIGTERM: what a transaction does, if one runs, is given up. */
extern void SyncOnSigterm(SIGNAL_ARGS);

/* ---- sync_slot.c: what the server sees of us; clocks ---- */

extern void SyncSetState(SyncWorker *self, SyncNodeState state, const char *reason);

/* Something is missing.  The log is told when it is another thing than before. */
extern void SyncWaitFor(SyncWorker *self, const char *reason, const char *hint);
extern void SyncPublish(SyncWorker *self);
extern int	SyncPort(SyncWorker *self);

/* Addresses as the text of an array, which needs no quotes within them; "" for none or where room is too small. */
extern void SyncListAddresses(const NetAddress *addresses, int n, char *out, size_t room);

/* When the process ends; arg is the SyncWorker. */
extern void SyncLeaveSlot(int code, Datum arg);

/* A tick of the node as a time of day. */
extern TimestampTz SyncTickTime(int64_t tick_ms);
extern TimestampTz SyncUnixTime(int64_t unix_ms);

/* ---- sync_wait.c ---- */

/* Wait for something to happen. */
extern void SyncWaitAWhile(SyncWorker *self, CoreClock clock);

/* It must be gone before a descriptor in it is closed. */
extern void SyncForgetWaitSet(SyncWorker *self);

/* ---- sync_node.c ---- */

/* Start the node, or say what is missing for that. */
extern void SyncStartNode(SyncWorker *self);
extern void SyncStopNode(SyncWorker *self);
extern bool SyncSettingsAreTheSame(SyncWorker *self);

/* A line for the log, which is written after the node's own work. */
extern void SyncNote(void *context, NodeLevel level, const char *text);

/*
 * The first bytes of UTF-8 in the database's encoding, with a 0 behind them; gives out.
 * There is no transaction, which a conversion would need: what is not ASCII is ? there.
 */
extern const char *SyncText(const char *utf8, size_t len, char *out, size_t room);

/* What the node's callbacks have noted: lines to the log, the sequence number to its file. */
extern void SyncWriteLines(SyncWorker *self);
extern void SyncSaveSigned(SyncWorker *self);

/* ---- sync_names.c ---- */

/* The setting vecdb.listen as an address; false when it is none. */
extern bool SyncListenAddress(NetAddress *out);

/* Begin to look up the names in the settings; take what has been found. */
extern void SyncResolveNames(SyncWorker *self);
extern void SyncTakeNames(SyncWorker *self);

/* What to advertise now: up to NODE_RECORD_ADDRESSES; 0 when nothing is known. */
extern int	SyncWantedAddresses(SyncWorker *self, NetAddress *out);

/* ---- sync_beacon.c ---- */

extern void SyncOpenBeacons(SyncWorker *self);
extern void SyncReadBeacons(SyncWorker *self, CoreClock clock);
extern void SyncAskBootstrap(SyncWorker *self, CoreClock clock);
extern void SyncAnnounceOnLan(SyncWorker *self, CoreClock clock);

/* The next ask of the bootstrap list is now, those after it soon. */
extern void SyncAskSoon(SyncWorker *self, int64_t tick_ms);

/* ---- sync_store.c: collections and statements in the extension's tables ---- */

typedef enum SyncExtension
{
	SYNC_EXTENSION_ABSENT,
	SYNC_EXTENSION_OLD,			/* without the tables of nodes */
	SYNC_EXTENSION_THERE,
	SYNC_EXTENSION_UNKNOWN		/* it could not be seen */
} SyncExtension;

extern SyncExtension SyncFindExtension(void);

/* The collections and statements of the tables, into the node. */
extern bool SyncLoad(SyncWorker *self);

/*
 * One that was left and may be joined again: what was kept of it, into the node, as a
 * collection that is being left.  Who lets this node in again hears of the leave first.
 * False: nothing was kept, or it is there.
 */
extern bool SyncLoadLeft(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES]);

/* What became of the tables of collections: other names, none any more.  False: look again soon. */
extern bool SyncRebind(SyncWorker *self);

/* A collection was left, which the node holds still: its rows go with the next flush, but for what SyncLoadLeft() needs. */
extern void SyncNoteLeft(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES]);

/* Write down which statements are held, where that has changed.  False: it has to be tried again. */
extern bool SyncFlush(SyncWorker *self);

/* How many collections a role holds: the owner of the table or, where there is none, who joins or leaves. */
typedef struct SyncHolder
{
	int			n;
	bool		superuser;
	char		name[NAMEDATALEN];
} SyncHolder;

/* False when that could not be seen. */
extern bool SyncCountHeld(Oid role, SyncHolder *out);
extern bool SyncTableOwner(Oid table, Oid *owner, Oid *share);

/* A collection that this node shares, has joined or leaves: its row and its statements, all or nothing. */
extern bool SyncAddCollection(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES], Oid table, const char *name,
							  Oid role);
extern bool SyncMarkLeaving(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES]);
extern bool SyncMarkPaused(const uint8_t root[CORE_KEY_BYTES], bool paused);
extern bool SyncFindRoot(Oid table, uint8_t root[CORE_KEY_BYTES]);

/* Is a collection held, or left and not told yet?  Its table, InvalidOid: none.  True also where that could not be seen. */
extern bool SyncFindTable(const uint8_t root[CORE_KEY_BYTES], Oid *table);

/* Those with a table that are not being left; -1 when that could not be seen. */
typedef struct SyncSharedTable
{
	uint8_t		root[CORE_KEY_BYTES];
	Oid			table;
	Oid			owner;			/* for whose share it counts, or NODE_NO_SHARE */
	bool		paused;
} SyncSharedTable;

extern int	SyncSharedTables(SyncSharedTable *out, int room);

/* ---- sync_rows.c: rows of shared collections ---- */

extern void SyncRowsInit(SyncWorker *self);

/* What the node is to call. */
extern NodeRows SyncRowsCallbacks(SyncWorker *self);

/* Tables may have been shared, captured or left: look at them in the next turn. */
extern void SyncRowsLook(SyncWorker *self);

/*
 * Begin this life of a collection that is shared here, so that its table can be captured,
 * and note that this node has its rows, which it copies from nobody.
 */
extern bool SyncRowsShare(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES], Oid table);

/* The same of one that is joined with a table that has rows; in vain where that is rolled back. */
extern bool SyncRowsJoin(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES], Oid table);

/* In each turn. */
extern void SyncRowsRun(SyncWorker *self, CoreClock clock);

/* What does not go on for want of room for a process, and the way out; "": everything does. */
extern const char *SyncRowsLack(const SyncWorker *self);

/* Bytes that replicas hold. */
extern size_t SyncRowsMemory(const SyncWorker *self);

/* Before the node is stopped. */
extern void SyncRowsStop(SyncWorker *self);

/* ---- sync_change.c: changes of columns in the extension's tables; each in a transaction ---- */

extern void SyncLoadChanges(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES]);

/* Make the rows of a collection equal to what is held; NULL: nothing is. */
extern void SyncWriteChanges(const uint8_t root[CORE_KEY_BYTES], const Changes *held);

/* ---- sync_key_file.c: keys of collections ---- */

extern bool SyncSaveRoot(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES], const uint8_t seed[CORE_SEED_BYTES]);
extern bool SyncReadRoot(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES], uint8_t secret[CORE_SECRET_BYTES]);

/* Once the collection is not held any more.  What is not there need not go. */
extern void SyncRemoveRoot(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES]);

/* The extension is gone, and with it the rows of all collections. */
extern void SyncRemoveRoots(SyncWorker *self);

/* Remove what a crash has left of keys whose collection is not held.  False: look again soon. */
extern bool SyncSweepRoots(SyncWorker *self);

/* ---- sync_file.c: the worker's directory, the routing table, the last sequence number ---- */

/* Make the directory for files; false after a line in the log. */
extern bool SyncMakeDirectory(SyncWorker *self);

/* Whole or not at all.  False after a line in the log. */
extern bool SyncWriteFile(SyncWorker *self, const char *name, const void *bytes, size_t len);

/* Bytes read, -1 when there is none (or, after a line in the log, it cannot be read). */
extern ssize_t SyncReadFile(SyncWorker *self, const char *name, void *bytes, size_t room);
extern void SyncSaveTable(SyncWorker *self);
extern void SyncReadTable(SyncWorker *self);
extern void SyncSaveSeq(SyncWorker *self, uint64_t seq);
extern uint64_t SyncReadSeq(SyncWorker *self);

/* ---- sync_request.c: what backends ask ---- */

extern struct SyncRequests *SyncRequestsNew(void);

/* Take what backends have posted, answer what is ready. */
extern void SyncServe(SyncWorker *self);

/* Answer all that waits with an error: the node has stopped. */
extern void SyncFailAll(SyncWorker *self);

/* The process ends: nobody waits for it any more. */
extern void SyncLeavePlaces(SyncWorker *self);

extern void SyncLookupDone(SyncWorker *self, uint64_t tag, const KadLookup *lookup, int64_t took_ms);
extern void SyncJoinDone(SyncWorker *self, uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
						 const uint8_t *description, size_t len);

#endif							/* VECDB_SYNC_WORKER_H */
