/*
 * rows_shared.c
 *	  The shared memory of collections that are written here: lives, open tickets,
 *	  clocks.
 *
 * Two locks.  `lock` protects everything and is held for moments only.  `file` is held
 * by who writes a clock's bound to disk, so that files are written in the order of what
 * they say; `lock` is taken within it, never the other way round.
 *
 * A ticket is open from RowsTicket() to the callback at the end of its transaction,
 * which runs after snapshots show that end.
 */
#include "rows/rows_shared.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xact.h"
#include "common/file_perm.h"
#include "core/bytes.h"
#include "fault_point.h"
#include "miscadmin.h"
#include "monotonic.h"
#include "node/node_ask.h"
#include "node/node_table.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define TRANCHE "VecdbRows"
#define DATABASES SYNC_NODES
#define LIFE_WAIT_MS 10000
#define LIFE_POLL_MS 20
#define CLOCK_FILE_BYTES 12		/* the bound, and CRC-32C of it, the greatest byte first */

/* Whose a slot is: beside each other, as every ticket looks for one. */
typedef struct SlotKey
{
	Oid			database;		/* InvalidOid: free */
	Oid			table;
} SlotKey;

typedef struct CollectionSlot
{
	Oid			owner;			/* for whose share it counts, or InvalidOid */
	RowsLife	life;
	bool		committed;		/* a transaction with a ticket has ended, and the worker has not seen it */
	RowTickets	tickets;
} CollectionSlot;

typedef struct ClockSlot
{
	Oid			database;		/* InvalidOid: free */
	RowClock	clock;
} ClockSlot;

typedef struct RowsShared
{
	LWLock		lock;
	LWLock		file;
	ClockSlot	clock[DATABASES];
	SlotKey		key[ROWS_COLLECTIONS];
	CollectionSlot collection[ROWS_COLLECTIONS];
} RowsShared;

/* A ticket of this transaction. */
typedef struct HeldTicket
{
	Oid			table;
	RowStamp	stamp;
	RowTokenTicket token;		/* with the id of the life that it was taken in */
} HeldTicket;

static HeldTicket *held;
static int	n_held;
static int	held_room;
static RowTokenTicket *last_commit;
static int	n_last_commit;

Size
RowsSharedSize(void)
{
	return MAXALIGN(sizeof(RowsShared));
}

static RowsShared *
attach(void)
{
	static RowsShared *shared = NULL;
	bool		found;

	if (shared)
		return shared;
	Assert(SyncPreloaded);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("vecdb rows", sizeof(RowsShared), &found);
	if (!found)
	{
		int			tranche = VecdbNewTranche(TRANCHE);

		memset(shared, 0, sizeof(RowsShared));
		LWLockInitialize(&shared->lock, tranche);
		LWLockInitialize(&shared->file, tranche);
	}
	LWLockRelease(AddinShmemInitLock);
	VecdbNameTranche(shared->lock.tranche, TRANCHE);
	return shared;
}

/* The lock is held. */
static CollectionSlot *
find_slot(RowsShared *shared, Oid database, Oid table)
{
	for (int i = 0; i < ROWS_COLLECTIONS; i++)
		if (shared->key[i].database == database && (!OidIsValid(database) || shared->key[i].table == table))
			return &shared->collection[i];
	return NULL;
}

static bool
same_life(const RowIncarnationId *a, const RowIncarnationId *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---------------------------------------------------------------------------
 * Lives
 */

/* May this owner have one more life, besides so many?  The lock is held. */
static bool
has_room(const RowsShared *shared, Oid owner, int besides)
{
	int			mine = besides;
	int			free = -besides;

	for (int i = 0; i < ROWS_COLLECTIONS; i++)
		if (!OidIsValid(shared->key[i].database))
			free++;
		else if (shared->collection[i].owner == owner)
			mine++;
	return OidIsValid(owner) ? SyncShareAllows(mine, free, ROWS_COLLECTIONS_RESERVED) : free > 0;
}

bool
RowsHaveRoom(Oid owner, int besides)
{
	RowsShared *shared = attach();
	bool		room;

	LWLockAcquire(&shared->lock, LW_SHARED);
	room = has_room(shared, owner, besides);
	LWLockRelease(&shared->lock);
	return room;
}

bool
RowsLifeBegin(Oid table, Oid owner, const RowsLife *life)
{
	RowsShared *shared = attach();
	CollectionSlot *slot;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = find_slot(shared, MyDatabaseId, table);
	if (slot)
		slot->life.writable = life->writable;
	else if (has_room(shared, owner, 0) && (slot = find_slot(shared, InvalidOid, InvalidOid)) != NULL)
	{
		memset(slot, 0, sizeof(*slot));
		slot->owner = owner;
		slot->life = *life;
		shared->key[slot - shared->collection] = (SlotKey) {MyDatabaseId, table};
	}
	LWLockRelease(&shared->lock);
	return slot != NULL;
}

bool
RowsLifeFind(Oid table, RowsLife *out)
{
	RowsShared *shared;
	CollectionSlot *slot;

	if (!SyncPreloaded)
		return false;
	shared = attach();
	LWLockAcquire(&shared->lock, LW_SHARED);
	slot = find_slot(shared, MyDatabaseId, table);
	if (slot)
		*out = slot->life;
	LWLockRelease(&shared->lock);
	return slot != NULL;
}

void
RowsLifeEnd(Oid table)
{
	RowsShared *shared = attach();
	CollectionSlot *slot;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = find_slot(shared, MyDatabaseId, table);
	if (slot)
		shared->key[slot - shared->collection].database = InvalidOid;
	LWLockRelease(&shared->lock);
}

void
RowsDatabaseDropped(Oid database)
{
	RowsShared *shared;

	if (!SyncPreloaded)
		return;
	shared = attach();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ROWS_COLLECTIONS; i++)
		if (shared->key[i].database == database)
			shared->key[i].database = InvalidOid;
	for (int i = 0; i < DATABASES; i++)
		if (shared->clock[i].database == database)
			shared->clock[i].database = InvalidOid;
	LWLockRelease(&shared->lock);
}

void
RowsSettled(Oid table, RowSettled *out)
{
	RowsShared *shared = attach();
	CollectionSlot *slot;

	LWLockAcquire(&shared->lock, LW_SHARED);
	slot = find_slot(shared, MyDatabaseId, table);
	if (slot)
		ticket_settled(&slot->tickets, out);
	else
		memset(out, 0, sizeof(*out));
	LWLockRelease(&shared->lock);
}

int
RowsBlockedBy(Oid table)
{
	RowsShared *shared = attach();
	CollectionSlot *slot;
	int			pid = 0;

	LWLockAcquire(&shared->lock, LW_SHARED);
	slot = find_slot(shared, MyDatabaseId, table);
	if (slot)
		pid = ticket_blocked_by(&slot->tickets);
	LWLockRelease(&shared->lock);
	return pid;
}

bool
RowsCommitted(Oid table)
{
	RowsShared *shared = attach();
	CollectionSlot *slot;
	bool		committed;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = find_slot(shared, MyDatabaseId, table);
	committed = slot && slot->committed;
	if (committed)
		slot->committed = false;
	LWLockRelease(&shared->lock);
	return committed;
}

/* ---------------------------------------------------------------------------
 * Tickets
 */

/* Wake the worker of this database. */
static void
wake_worker(void)
{
	SyncShared *sync = SyncAttach();
	SyncNode   *node;

	LWLockAcquire(&sync->lock, LW_SHARED);
	node = NodeOwnSlot(sync);
	if (node && node->latch)
		SetLatch(node->latch);
	LWLockRelease(&sync->lock);
}

static void
give_back_all(void)
{
	RowsShared *shared = attach();
	bool		wake = false;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n_held; i++)
	{
		CollectionSlot *slot = find_slot(shared, MyDatabaseId, held[i].table);

		if (!slot || !same_life(&slot->life.id, &held[i].token.incarnation) ||
			!ticket_give_back(&slot->tickets, held[i].stamp.ticket, MyProcPid))
			continue;
		wake |= !slot->committed;
		slot->committed = true;
	}
	LWLockRelease(&shared->lock);
	n_held = 0;
	if (wake)
		wake_worker();
}

/* There is room: make_room() saw to it. */
static void
note_commit(void)
{
	for (int i = 0; i < n_held; i++)
		last_commit[i] = held[i].token;
	n_last_commit = n_held;
}

static void
at_end(XactEvent event, void *arg)
{
	if (n_held == 0)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has written to a shared collection"),
				 errdetail("Other nodes would have to wait for its end, whose server may have started anew by then."),
				 errhint("Commit it with COMMIT, or write to the collection in another transaction.")));
	if (event == XACT_EVENT_PRE_COMMIT)
		FAULT_POINT("capture-before-commit");
	if (event == XACT_EVENT_COMMIT)
	{
		FAULT_POINT("capture-committed");
		note_commit();
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		give_back_all();
}

void
RowsSharedInit(void)
{
	RegisterXactCallback(at_end, NULL);
}

int
RowsLastCommit(const RowTokenTicket **out)
{
	*out = last_commit;
	return n_last_commit;
}

void
RowsForgetLastCommit(void)
{
	n_last_commit = 0;
}

/* Room for one more, so that a ticket that was taken can be noted, and so at the commit. */
static void
make_room(void)
{
	int			room = Max(4, 2 * held_room);

	if (n_held < held_room)
		return;
	last_commit = last_commit ? repalloc(last_commit, room * sizeof(*last_commit)) :
		MemoryContextAlloc(TopMemoryContext, room * sizeof(*last_commit));
	held = held ? repalloc(held, room * sizeof(*held)) : MemoryContextAlloc(TopMemoryContext, room * sizeof(*held));
	held_room = room;
}

static void pg_attribute_noreturn()
no_life(Oid table)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("shared collection \"%s\" cannot be written yet: the node of this database has not begun with it", get_rel_name(table)),
			 errdetail("A node's worker begins after each start of the server."),
			 errhint("See the view vecdb.stat_workers and the server's log; vecdb.leave() makes it an ordinary table.")));
}

static void pg_attribute_noreturn()
not_shared(Oid table)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" cannot be written: this node is no member of its collection any more", get_rel_name(table)),
			 errhint("vecdb.leave() makes it an ordinary table, which can be shared again.")));
}

static void
refuse_reader(Oid table)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("this node only reads collection \"%s\"", get_rel_name(table)),
			 errdetail("Other members would not take what is written here."),
			 errhint("Write on a node that is a writer or an admin of it, or ask an admin for an invitation as a writer.")));
}

/* The life that goes on, once a worker has begun it. */
static void
await_life(Oid table, RowsLife *life)
{
	int64		began = MonotonicMs();

	if (!SyncPreloaded)
		NodeNotPreloaded();
	if (RowsLifeFind(table, life))
		return;
	if (!SyncTableIsShared(table))
		not_shared(table);
	while (!RowsLifeFind(table, life))
	{
		if (MonotonicMs() - began >= LIFE_WAIT_MS)
			no_life(table);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LIFE_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Take a ticket of this life.  0: too many are open; *gone: the life has ended. */
static uint64
take_ticket(Oid table, const RowsLife *life, bool *gone)
{
	RowsShared *shared = attach();
	CollectionSlot *slot;
	uint64		ticket = 0;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = find_slot(shared, MyDatabaseId, table);
	*gone = !slot || !same_life(&slot->life.id, &life->id);
	if (!*gone)
		ticket = ticket_take(&slot->tickets, MyProcPid);
	if (ticket != 0)
	{
		HeldTicket *new = &held[n_held++];

		*new = (HeldTicket) {table, {life->number, ticket}, {{0}, life->id, ticket}};
		memcpy(new->token.collection, life->collection, ROW_TOKEN_COLLECTION);
	}
	LWLockRelease(&shared->lock);
	return ticket;
}

RowStamp
RowsTicket(Oid table, bool apply, RowIncarnationId *id)
{
	for (;;)
	{
		RowsLife	life;
		bool		gone;

		await_life(table, &life);
		if (!life.writable && !apply)
			refuse_reader(table);
		*id = life.id;
		for (int i = 0; i < n_held; i++)
			if (held[i].table == table && same_life(&held[i].token.incarnation, &life.id))
				return held[i].stamp;
		make_room();
		if (take_ticket(table, &life, &gone) != 0)
		{
			FAULT_POINT("ticket-taken");
			return held[n_held - 1].stamp;
		}
		if (!gone)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("too many transactions that have written to collection \"%s\" are open", get_rel_name(table)),
					 errdetail("There may be %d at a time.", ROW_TICKETS_OPEN),
					 errhint("End those that are idle; pg_stat_activity shows them.")));
	}
}

/* ---------------------------------------------------------------------------
 * The clock
 */

static int64
unix_us(void)
{
	return GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

static void
clock_path(char path[MAXPGPATH])
{
	snprintf(path, MAXPGPATH, "vecdb/%u/row_clock", MyDatabaseId);
}

static uint32
check_of(const uint8 *bytes)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, 8);
	FIN_CRC32C(crc);
	return crc;
}

static void
store_big_endian(uint8 *out, int width, uint64 value)
{
	for (int i = width - 1; i >= 0; i--, value >>= 8)
		out[i] = (uint8) value;
}

static uint64
load_big_endian(const uint8 *in, int width)
{
	uint64		value = 0;

	for (int i = 0; i < width; i++)
		value = value << 8 | in[i];
	return value;
}

/* The bound that is on disk, 0: there is none.  A damaged one is an error: to go on without would let the clock go back. */
static uint64
read_bound(void)
{
	char		path[MAXPGPATH];
	uint8		bytes[CLOCK_FILE_BYTES + 1];
	ssize_t		n;
	uint64		bound;
	int			fd;

	clock_path(path);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
	{
		if (errno == ENOENT)
			return 0;
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
	}
	n = read(fd, bytes, sizeof(bytes));
	if (n < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", path)));
	CloseTransientFile(fd);
	bound = n == CLOCK_FILE_BYTES ? load_big_endian(bytes, 8) : 0;
	if (n != CLOCK_FILE_BYTES || load_big_endian(bytes + 8, 4) != check_of(bytes) || bound > ROW_CLOCK_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" is damaged", path),
				 errdetail("It keeps the clock of shared collections from going back."),
				 errhint("Remove it if the clock of this machine has not been set back since the server last ran: then the time of day is above all that was given out.")));
	return bound;
}

static void
make_directory(const char *path)
{
	if (MakePGDirectory(path) < 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create directory \"%s\": %m", path)));
}

/* The lock on files is held. */
static void
write_bound(uint64 bound)
{
	char		path[MAXPGPATH];
	char		temporary[MAXPGPATH + 8];
	uint8		bytes[CLOCK_FILE_BYTES];
	int			fd;

	make_directory("vecdb");
	snprintf(path, sizeof(path), "vecdb/%u", MyDatabaseId);
	make_directory(path);
	clock_path(path);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	if (unlink(temporary) < 0 && errno != ENOENT)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", temporary)));
	store_big_endian(bytes, 8, bound);
	store_big_endian(bytes + 8, 4, check_of(bytes));
	fd = OpenTransientFile(temporary, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY);
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create file \"%s\": %m", temporary)));
	errno = 0;
	if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes) || pg_fsync(fd) != 0)
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", temporary)));
	}
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not close file \"%s\": %m", temporary)));
	FAULT_POINT("clock-written");
	(void) durable_rename(temporary, path, ERROR);
	FAULT_POINT("clock-renamed");
}

/* The lock is held. */
static ClockSlot *
find_clock(RowsShared *shared, Oid database)
{
	for (int i = 0; i < DATABASES; i++)
		if (shared->clock[i].database == database)
			return &shared->clock[i];
	return NULL;
}

/* A place that is free, or of a database without any shared collection: its clock is on disk. */
static ClockSlot *
free_clock(RowsShared *shared)
{
	ClockSlot  *clock = find_clock(shared, InvalidOid);

	for (int i = 0; !clock && i < DATABASES; i++)
	{
		bool		used = false;

		for (int j = 0; j < ROWS_COLLECTIONS; j++)
			used |= shared->key[j].database == shared->clock[i].database;
		if (!used)
			clock = &shared->clock[i];
	}
	return clock;
}

/* Take the lock, and find the clock of this database, which is read from disk the first time. */
static RowClock *
lock_clock(RowsShared *shared)
{
	ClockSlot  *slot;
	uint64		bound;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = find_clock(shared, MyDatabaseId);
	if (slot)
		return &slot->clock;
	LWLockRelease(&shared->lock);
	LWLockAcquire(&shared->file, LW_EXCLUSIVE);
	bound = read_bound();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	LWLockRelease(&shared->file);
	slot = find_clock(shared, MyDatabaseId);
	if (slot)
		return &slot->clock;
	slot = free_clock(shared);
	if (!slot)
	{
		LWLockRelease(&shared->lock);
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("more than %d databases of this server have shared collections", DATABASES)));
	}
	slot->database = MyDatabaseId;
	row_clock_init(&slot->clock, bound);
	return &slot->clock;
}

/* What has to be written: 0, nothing.  The lock on files is held, so that no other has written when this is. */
static uint64
wanted_bound(RowsShared *shared)
{
	ClockSlot  *slot;
	uint64		bound = 0;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot = find_clock(shared, MyDatabaseId);
	if (slot)
		bound = row_clock_wanted_bound(&slot->clock, unix_us());
	LWLockRelease(&shared->lock);
	return bound;
}

/* Write the bound that is wanted.  False: none was. */
static bool
raise_bound(RowsShared *shared)
{
	ClockSlot  *slot;
	uint64		bound;

	bound = row_clock_wanted_bound(lock_clock(shared), unix_us());
	LWLockRelease(&shared->lock);
	if (bound == 0)
		return false;
	LWLockAcquire(&shared->file, LW_EXCLUSIVE);
	bound = wanted_bound(shared);
	if (bound != 0)
	{
		write_bound(bound);
		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		/* else its place went to another database, and it is read anew */
		slot = find_clock(shared, MyDatabaseId);
		if (slot)
			row_clock_bounded(&slot->clock, bound);
		LWLockRelease(&shared->lock);
	}
	LWLockRelease(&shared->file);
	return true;
}

uint64
RowsClockNext(uint64 above)
{
	RowsShared *shared = attach();

	for (;;)
	{
		uint64		value;

		value = row_clock_next(lock_clock(shared), unix_us(), above);
		LWLockRelease(&shared->lock);
		if (value != 0 || above > ROW_CLOCK_MAX || !raise_bound(shared))
			return value;
	}
}

bool
RowsClockHeard(uint64 value, int64 skew_us)
{
	RowsShared *shared = attach();
	bool		good;

	good = row_clock_heard(lock_clock(shared), unix_us(), value, skew_us);
	LWLockRelease(&shared->lock);
	return good;
}

uint64
RowsClockLast(void)
{
	RowsShared *shared = attach();
	uint64		last;

	last = lock_clock(shared)->last;
	LWLockRelease(&shared->lock);
	return last;
}

void
RowsClockKeep(void)
{
	(void) raise_bound(attach());
}
