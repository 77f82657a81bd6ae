/*
 * row_table.c
 *	  A shared collection's table as the core's RowTable.
 *
 * Locks are taken in a user's own order, the row's and then its version's, and none is
 * waited for: what another transaction is at is busy.  What is waited for all the same,
 * deep in a write (an entry of an index, a row's key share lock), is bounded by
 * lock_timeout, and busy then.
 *
 * Where another transaction holds the entry of a key, what is set aside for it cannot be
 * written there: it is apart (row_state.h).  When that transaction has ended, the next to
 * find the key settles what stands: what was set aside, or what was written meanwhile.
 *
 * Of each call one row is in memory, in a context that the next find() resets.
 */
#include "rows/row_table.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "fault_point.h"
#include "miscadmin.h"
#include "rows/row_key.h"
#include "rows/row_write.h"
#include "rows/rows_shared.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define LOCK_TRIES 10			/* of a row that others change */

typedef struct NextKey
{
	size_t		len;
	uint8		bytes[ROW_KEY_MAX];
} NextKey;

struct RowTableHost
{
	MemoryContext context;
	Oid			table;
	uint8		root[ROW_STATE_ROOT];
	uint8		schema[CORE_HASH_BYTES];

	/* of a transaction */
	MemoryContext work;
	MemoryContext row;			/* since the last find() */
	MemoryContext aside;		/* what aside() gave */
	int			nest;			/* of settings */
	Relation	rel;
	RowShape   *shape;
	RowKeyIndex index;
	TableWriter	writer;
	VersionTable versions;
	int64		n_conflicts;	/* -1: not counted */
	int64		forgotten;		/* number of the conflict that was forgotten last; 0: none */
	bool		any_apart;

	/* what next() goes through */
	VersionScan *scan;
	Snapshot	snapshot;
	RowSelect	which;
	NextKey		next;			/* what it gave last */

	/* what the last find() found */
	bool		found;			/* else it has to be looked for again */
	NextKey		key;
	TupleTableSlot *here;		/* of the table's; empty: there is none */
	bool		committed;		/* of one that is busy: here has been filled */
	bool		row_busy;
	VersionFound version;
	VersionRow	old;			/* where it is there, or was committed */
	bool		old_there;
	bool		apart;			/* what is apart stands, and not what is in the version table */
	RowVersion	over;			/* of what is apart, whether it stands or not */
	bool		has_apart;
};

/* ---------------------------------------------------------------------------
 * A process, a transaction
 */

RowTableHost *
RowTableNew(Oid table, const uint8 root[ROW_STATE_ROOT])
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "vecdb row table", ALLOCSET_DEFAULT_SIZES);
	RowTableHost *self = MemoryContextAllocZero(context, sizeof(RowTableHost));

	self->context = context;
	self->table = table;
	memcpy(self->root, root, ROW_STATE_ROOT);
	self->work = AllocSetContextCreate(context, "vecdb row table's transaction", ALLOCSET_DEFAULT_SIZES);
	self->row = AllocSetContextCreate(context, "vecdb row table's row", ALLOCSET_DEFAULT_SIZES);
	self->aside = AllocSetContextCreate(context, "vecdb row set aside", ALLOCSET_DEFAULT_SIZES);
	return self;
}

void
RowTableFree(RowTableHost *self)
{
	MemoryContextDelete(self->context);
}

/* Until RowTableEnd(), or the transaction's. */
static void
set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
RowTableBegin(RowTableHost *self)
{
	MemoryContext outer;
	NextKey		first;

	/* what an error has left of the last one went with its transaction */
	self->scan = NULL;
	self->which = ROW_SELECT_ALL;
	self->found = false;
	MemoryContextReset(self->work);
	MemoryContextReset(self->row);
	MemoryContextReset(self->aside);
	self->rel = RowTableTryOpen(self->table, RowExclusiveLock);
	if (self->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("table %u is gone, or locked by another session", self->table)));
	outer = MemoryContextSwitchTo(self->work);
	self->nest = NewGUCNestLevel();
	set("session_replication_role", "replica");
	set("lock_timeout", "200ms");
	set("deadlock_timeout", "20ms");
	self->shape = RowShapeOf(self->rel);
	memcpy(self->schema, RowShapeSchema(self->shape), sizeof(self->schema));
	VersionTableOpen(&self->versions, self->table, RowExclusiveLock, false);
	RowKeyOpen(&self->index, self->rel, self->shape, RowExclusiveLock);
	TableWriterBegin(&self->writer, &self->index, self->shape);
	self->here = table_slot_create(self->rel, NULL);
	self->any_apart = HeldRowNextApart(self->table, NULL, (RowBytes) {first.bytes, 0}, first.bytes, &first.len);
	self->n_conflicts = -1;
	self->forgotten = 0;
	MemoryContextSwitchTo(outer);
}

static void
end_scan(RowTableHost *self)
{
	if (self->scan == NULL)
		return;
	VersionScanEnd(self->scan);
	UnregisterSnapshot(self->snapshot);
	self->scan = NULL;
}

void
RowTableEnd(RowTableHost *self)
{
	ExecClearTuple(self->here);
	TableWriterClose(&self->writer);
	end_scan(self);
	ExecDropSingleTupleTableSlot(self->here);
	TableWriterEnd(&self->writer);
	RowKeyClose(&self->index);
	VersionTableClose(&self->versions, NoLock);
	relation_close(self->rel, NoLock);
	AtEOXact_GUC(false, self->nest);
	MemoryContextReset(self->work);
	MemoryContextReset(self->row);
	MemoryContextReset(self->aside);
}

const uint8 *
RowTableSchema(const RowTableHost *self)
{
	return self->schema;
}

/* ---------------------------------------------------------------------------
 * Finding and locking
 */

static RowBytes
key_of(const NextKey *key)
{
	return (RowBytes) {key->bytes, key->len};
}

static void
set_key(NextKey *self, RowBytes key)
{
	Assert(key.len <= ROW_KEY_MAX);
	if (key.len > 0)
		memmove(self->bytes, key.at, key.len);
	self->len = key.len;
}

/* Lock the row of the key, into here.  False: another transaction is at it. */
static bool
lock_row(RowTableHost *self)
{
	for (int i = 0; i < LOCK_TRIES; i++)
	{
		SnapshotData dirty;
		ItemPointerData tid;
		TM_FailureData failure;
		TM_Result	result;

		InitDirtySnapshot(dirty);
		if (!RowKeyFetch(&self->index, key_of(&self->key), &dirty, self->here))
			return true;
		if (TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax))
			break;
		tid = self->here->tts_tid;
		result = table_tuple_lock(self->rel, &tid, SnapshotSelf, self->here, GetCurrentCommandId(true),
								  LockTupleNoKeyExclusive, LockWaitSkip, 0, &failure);
		if (result == TM_Ok)
		{
			/* no (sub)transaction's: it is changed while it is there */
			ExecMaterializeSlot(self->here);
			return true;
		}
		ExecClearTuple(self->here);
		if (result == TM_WouldBlock)
			break;
	}
	ExecClearTuple(self->here);
	return false;
}

/* Lock both, the row first. */
static void
lock_key(RowTableHost *self)
{
	self->row_busy = !lock_row(self);
	self->version = VersionLock(&self->versions, key_of(&self->key), false, &self->old);
	self->old_there = self->version == VERSION_THERE || (self->version == VERSION_BUSY && self->old.key.len > 0);
	/* a row that came before its version could be locked */
	if (!self->row_busy && TTS_EMPTY(self->here) && self->version == VERSION_THERE && self->old.entry.live &&
		self->old.entry.held == ROW_APPLIED)
		self->row_busy = !lock_row(self);
}

static bool
is_of_held(RowSelect which)
{
	return which == ROW_SELECT_PARKED || which == ROW_SELECT_QUARANTINED;
}

static bool
is_busy(const RowTableHost *self)
{
	return self->row_busy || self->version == VERSION_BUSY;
}

/* What stands in the table: what is locked, or was committed last.  NULL: there is none. */
static TupleTableSlot *
standing(RowTableHost *self)
{
	if (self->row_busy && !self->committed)
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

		if (RowKeyFetch(&self->index, key_of(&self->key), snapshot, self->here))
			ExecMaterializeSlot(self->here);
		UnregisterSnapshot(snapshot);
		self->committed = true;
	}
	return TTS_EMPTY(self->here) ? NULL : self->here;
}

static bool add_conflict(RowTableHost *self, const RowEntry *loser, const Row *came);

static bool
same_version(const RowVersion *a, const RowVersion *b)
{
	return row_version_compare(a, b) == 0;
}

/* The entry in place of the key's.  False: another transaction has made one. */
static bool
put_entry(RowTableHost *self, const RowEntry *entry)
{
	RowBytes	key = key_of(&self->key);

	Assert(self->version != VERSION_BUSY);
	if (self->version == VERSION_ABSENT)
		return VersionTryPut(&self->versions, key, entry);
	VersionPut(&self->versions, &self->old, key, entry);
	return true;
}

static void pg_attribute_noreturn()
came_between(RowTableHost *self)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("a row of table \"%s\" was written by another session", RelationGetRelationName(self->rel))));
}

/*
 * A row was set aside and no transaction is at its key.  It stands, and where it was apart
 * comes into the version table, or what was written since does: the other is a conflict.
 */
static void
settle(RowTableHost *self, const HeldRow *held)
{
	const RowVersion *version = &held->entry.version;
	bool		written = self->old_there && !same_version(&self->old.entry.version, version) &&
		!(held->apart && same_version(&self->old.entry.version, &held->over));
	bool		stands = !self->old_there || row_version_compare(version, &self->old.entry.version) > 0;
	RowEntry	loser = stands ? self->old.entry : held->entry;

	if (!held->apart && !written)
		return;
	if (written)
		(void) add_conflict(self, &loser, NULL);
	if (stands)
	{
		if (!put_entry(self, &held->entry))
			came_between(self);
		CommandCounterIncrement();
		if (held->apart)
			HeldRowJoin(self->table, key_of(&self->key));
		self->version = VersionLock(&self->versions, key_of(&self->key), false, &self->old);
		self->old_there = true;
	}
	else
		HeldRowRemove(self->table, key_of(&self->key));
}

/* May a row be held for the key that was found? */
static bool
may_be_held(const RowTableHost *self)
{
	return self->any_apart || (self->old_there && self->old.entry.held != ROW_APPLIED) ||
		(is_of_held(self->which) && row_key_compare(key_of(&self->key), key_of(&self->next)) == 0);
}

/* What is held for the key, if anything. */
static void
find_held(RowTableHost *self, RowFound *out)
{
	HeldRow		held;

	if (!may_be_held(self) || !HeldRowLook(self->table, key_of(&self->key), NULL, &held))
		return;
	if (!is_busy(self))
		settle(self, &held);
	else if (held.apart)
	{
		self->has_apart = true;
		self->over = held.over;
		self->apart = !self->old_there || row_version_compare(&held.entry.version, &self->old.entry.version) > 0;
	}
	if (self->apart || (self->old_there && same_version(&held.entry.version, &self->old.entry.version)))
	{
		out->why = held.why;
		out->discarded = held.discarded;
	}
	if (self->apart)
	{
		out->present = true;
		out->entry = held.entry;
	}
}

static void
look_for(RowTableHost *self, RowBytes key, RowFound *out)
{
	MemoryContextReset(self->row);
	MemoryContextSwitchTo(self->row);
	memset(out, 0, sizeof(*out));
	set_key(&self->key, key);
	ExecClearTuple(self->here);
	self->committed = self->apart = self->has_apart = false;
	lock_key(self);
	find_held(self, out);
	out->busy = is_busy(self);
	if (!self->apart && self->old_there)
	{
		out->present = true;
		out->entry = self->old.entry;
	}
	self->found = true;
}

static void
t_find(void *context, RowBytes key, RowFound *out)
{
	MemoryContext outer = CurrentMemoryContext;

	look_for(context, key, out);
	MemoryContextSwitchTo(outer);
}

/*
 * For what is done with a key: it is the one that was found last, and locked.  The caller's
 * memory context.  What is not a write keeps those before it.
 */
static MemoryContext
enter(RowTableHost *self, RowBytes key, bool writes)
{
	MemoryContext outer = CurrentMemoryContext;
	RowFound	found;

	if (!writes)
		TableWriterClose(&self->writer);

	if (!self->found || row_key_compare(key, key_of(&self->key)) != 0)
		look_for(self, key, &found);
	MemoryContextSwitchTo(self->row);
	return outer;
}

/* What was found is not so any more. */
static bool
leave(RowTableHost *self, MemoryContext outer, bool result)
{
	self->found = false;
	CommandCounterIncrement();
	MemoryContextSwitchTo(outer);
	return result;
}

/* ---------------------------------------------------------------------------
 * Going through entries
 */

/* The next entry of the version table behind a key. */
static bool
next_entry(RowTableHost *self, RowSelect which, RowBytes after, VersionRow *out)
{
	bool		goes_on = self->scan && self->which == which && row_key_compare(after, key_of(&self->next)) == 0;

	if (!goes_on)
	{
		MemoryContext outer = MemoryContextSwitchTo(self->work);

		end_scan(self);
		self->snapshot = RegisterSnapshot(GetLatestSnapshot());
		self->which = which;
		self->scan = which == ROW_SELECT_DEAD ? VersionScanDead(&self->versions, self->snapshot, after)
			: VersionScanKeys(&self->versions, self->snapshot, after, (RowBytes) {NULL, 0});
		MemoryContextSwitchTo(outer);
	}
	while (VersionScanNext(self->scan, out))
	{
		CHECK_FOR_INTERRUPTS();
		if (which != ROW_SELECT_DEAD || out->entry.held == ROW_APPLIED)
		{
			set_key(&self->next, out->key);
			return true;
		}
	}
	end_scan(self);
	return false;
}

/* The first of the entries and of what is apart; both are read anew each time, for seldom anything is. */
static bool
next_of_both(RowTableHost *self, RowBytes after, RowEntry *entry)
{
	NextKey		behind;
	NextKey		apart;
	VersionRow	row;
	HeldRow		held;
	bool		any;
	int			order;

	set_key(&behind, after);
	end_scan(self);
	any = next_entry(self, ROW_SELECT_ALL, key_of(&behind), &row);
	if (any)
		*entry = row.entry;
	end_scan(self);
	if (!HeldRowNextApart(self->table, NULL, key_of(&behind), apart.bytes, &apart.len))
		return any;
	order = any ? row_key_compare(key_of(&self->next), key_of(&apart)) : 1;
	if (order < 0 || !HeldRowLook(self->table, key_of(&apart), NULL, &held))
		return any;
	if (order > 0 || row_version_compare(&held.entry.version, &entry->version) > 0)
		*entry = held.entry;
	set_key(&self->next, key_of(&apart));
	return true;
}

static bool
t_next(void *context, RowSelect which, RowBytes after, Row *out)
{
	RowTableHost *self = context;
	MemoryContext garbage = AllocSetContextCreate(CurrentMemoryContext, "vecdb next row", ALLOCSET_SMALL_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(garbage);
	VersionRow	row = {.entry = {.held = which == ROW_SELECT_PARKED ? ROW_PARKED : ROW_QUARANTINED}};
	NextKey		behind;
	bool		any;

	TableWriterClose(&self->writer);
	if (is_of_held(which))
	{
		end_scan(self);
		self->which = which;
		set_key(&behind, after);
		any = HeldRowNext(self->table, row.entry.held, key_of(&behind), self->next.bytes, &self->next.len);
	}
	else if (which == ROW_SELECT_ALL && self->any_apart)
		any = next_of_both(self, after, &row.entry);
	else
		any = next_entry(self, which, after, &row);
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(garbage);
	memset(out, 0, sizeof(*out));
	if (any)
	{
		out->key = key_of(&self->next);
		out->entry = row.entry;
	}
	return any;
}

/* ---------------------------------------------------------------------------
 * Writing
 */

typedef struct Put
{
	RowTableHost *self;
	const RowEntry *entry;		/* NULL: it goes */
} Put;

/* What belongs to the row: its entry, and what was held. */
static bool
put(void *arg)
{
	Put		   *what = arg;
	RowTableHost *self = what->self;

	if (what->entry && !put_entry(self, what->entry))
		return false;
	if (!what->entry && self->version == VERSION_THERE)
		VersionRemove(&self->versions, &self->old);
	if (self->old_there && self->old.entry.held != ROW_APPLIED)
		HeldRowRemove(self->table, key_of(&self->key));
	return true;
}

/*
 * A row and its entry (NULL: that goes).  Of what is held the content is good until the
 * next one is looked at, and what goes is not written again: those are alone.
 */
static RowWritten
write_row(RowTableHost *self, const Row *row, const RowEntry *entry, char text[ROW_REASON_TEXT])
{
	bool		alone = entry == NULL || is_of_held(self->which);
	bool		empty = TTS_EMPTY(self->here);
	Put			what = {self, entry};

	if (row->entry.live || !empty)
		return RowWrite(&self->writer, row, empty ? NULL : self->here, alone, put, &what, text);
	/* nothing of the table's */
	TableWriterClose(&self->writer);
	return put(&what) ? ROW_WRITTEN : ROW_WRITE_BUSY;
}

/* Write again what was rolled back because a row behind it was not written. */
static void
write_again(RowTableHost *self)
{
	int			n = self->writer.n;
	char		text[ROW_REASON_TEXT];

	for (int i = 0; i < n; i++)
	{
		Row			row = self->writer.done[i];
		RowFound	found;

		look_for(self, row.key, &found);
		if (found.busy || write_row(self, &row, &row.entry, text) != ROW_WRITTEN)
			came_between(self);
		CommandCounterIncrement();
	}
	TableWriterClose(&self->writer);
	self->writer.n = 0;
	self->found = false;
}

static RowWritten
write_key(RowTableHost *self, const Row *row, const RowEntry *entry, char text[ROW_REASON_TEXT])
{
	MemoryContext outer = enter(self, row->key, true);
	RowWritten	written = ROW_WRITE_BUSY;

	if (!is_busy(self))
	{
		written = write_row(self, row, entry, text);
		if (written != ROW_WRITTEN)
			write_again(self);
	}
	FAULT_POINT("apply-row-written");
	if (written == ROW_WRITTEN)
		(void) leave(self, outer, true);
	MemoryContextSwitchTo(outer);
	return written;
}

static RowWritten
t_write(void *context, const Row *row, char text[ROW_REASON_TEXT])
{
	return write_key(context, row, &row->entry, text);
}

static bool
t_remove(void *context, RowBytes key)
{
	RowTableHost *self = context;
	Row			gone = {.key = key};
	char		text[ROW_REASON_TEXT] = "";
	RowWritten	written = write_key(self, &gone, NULL, text);

	if (written == ROW_WRITE_REFUSED)
		ereport(LOG,
				(errmsg("a row of table \"%s\" that is to go stays", RelationGetRelationName(self->rel)),
				 errdetail("%s", text)));
	return written == ROW_WRITTEN;
}

static bool
t_restamp(void *context, RowBytes key, const RowEntry *entry)
{
	RowTableHost *self = context;
	MemoryContext outer = enter(self, key, false);

	/* what is busy keeps its stamps: its transaction writes others, or they stay nobody's and are adopted */
	if (self->apart || (self->version == VERSION_THERE && self->old.entry.held != ROW_APPLIED))
		HeldRowRestamp(self->table, key_of(&self->key), entry, NULL);
	if (self->version == VERSION_THERE)
		(void) put_entry(self, entry);
	FAULT_POINT("row-restamped");
	return leave(self, outer, true);
}

/* Whole content of a row that came.  False: it is none. */
static bool
whole_content(RowTableHost *self, const Row *row, RowBytes *out)
{
	StringInfoData bytes;

	*out = row->content;
	if (!row->entry.live)
		*out = (RowBytes) {(const uint8 *) "", 0};
	if (!row->entry.live || !row->thin)
		return true;
	initStringInfo(&bytes);
	if (!RowShapeComplete(self->shape, row->content, standing(self), &bytes))
		return false;
	*out = (RowBytes) {(const uint8 *) bytes.data, (size_t) bytes.len};
	return true;
}

static bool
t_set_aside(void *context, const Row *row, RowReason why, const char *text)
{
	RowTableHost *self = context;
	MemoryContext outer = enter(self, row->key, false);
	HeldRow		held = {.held = row->entry.held, .why = why, .entry = row->entry};

	if (!whole_content(self, row, &held.content))
		return leave(self, outer, false);
	held.apart = self->version == VERSION_BUSY;
	if (held.apart)
	{
		if (self->has_apart)
			held.over = self->over;
		else if (self->old_there)
			held.over = self->old.entry.version;
		self->any_apart = true;
	}
	else if (!put_entry(self, &row->entry))
		came_between(self);
	HeldRowPut(self->table, key_of(&self->key), &held, text);
	return leave(self, outer, true);
}

/* ---------------------------------------------------------------------------
 * Content
 */

static bool
t_aside(void *context, RowBytes key, RowBytes *content)
{
	RowTableHost *self = context;
	MemoryContext outer;
	HeldRow		held;
	bool		any;

	MemoryContextReset(self->aside);
	outer = MemoryContextSwitchTo(self->aside);
	any = HeldRowGet(self->table, key, NULL, &held);
	MemoryContextSwitchTo(outer);
	*content = held.content;
	return any;
}

static bool
t_hashes(void *context, const Row *row, uint8_t hash[ROW_HASH], uint8_t vector_hash[ROW_HASH])
{
	RowTableHost *self = context;
	MemoryContext outer = enter(self, row->key, true);
	bool		good = RowShapeContentHashes(self->shape, row->content, row->thin ? standing(self) : NULL, hash, vector_hash);

	MemoryContextSwitchTo(outer);
	return good;
}

/* Content of what stands for the key, whole; of length 0 where it is not there. */
static RowBytes
content_here(RowTableHost *self, const RowEntry *entry)
{
	uint8		hash[ROW_HASH];
	uint8		vector_hash[ROW_HASH];
	StringInfoData bytes;
	HeldRow		held;

	if (entry->live && entry->held != ROW_APPLIED && HeldRowGet(self->table, key_of(&self->key), NULL, &held))
		return held.content;
	if (!entry->live || entry->held != ROW_APPLIED || standing(self) == NULL)
		return (RowBytes) {(const uint8 *) "", 0};
	initStringInfo(&bytes);
	RowShapeContent(self->shape, self->here, false, &bytes);
	/* its transaction may have ended between entry and row */
	if (!RowShapeContentHashes(self->shape, (RowBytes) {(const uint8 *) bytes.data, (size_t) bytes.len}, NULL, hash, vector_hash) ||
		memcmp(hash, entry->hash, ROW_HASH) != 0)
		bytes.len = 0;
	return (RowBytes) {(const uint8 *) bytes.data, (size_t) bytes.len};
}

/* ---------------------------------------------------------------------------
 * Conflicts
 */

/* Keep a loser: what came, or what stands here.  One whose content is not to be had is not kept. */
static bool
add_conflict(RowTableHost *self, const RowEntry *loser, const Row *came)
{
	RowBytes	content = {(const uint8 *) "", 0};

	if (came && !whole_content(self, came, &content))
		return false;
	if (!came)
		content = content_here(self, loser);
	if (loser->live && content.len == 0)
		return true;
	if (RowConflictAdd(self->table, key_of(&self->key), loser, content) && self->n_conflicts >= 0)
		self->n_conflicts++;
	return true;
}

static bool
t_conflict(void *context, RowBytes key, const RowEntry *loser, const Row *came)
{
	RowTableHost *self = context;
	MemoryContext outer = enter(self, key, false);
	bool		good = add_conflict(self, loser, came);

	MemoryContextSwitchTo(outer);
	return good;
}

static uint32_t
t_conflicts(void *context)
{
	RowTableHost *self = context;

	if (self->n_conflicts < 0)
		self->n_conflicts = RowConflictCount(self->table, UINT32_MAX);
	return (uint32) self->n_conflicts;
}

static bool
t_forget_conflict(void *context)
{
	RowTableHost *self = context;

	TableWriterClose(&self->writer);
	/* where sessions are at all of them the list is longer for a while */
	if (RowConflictForgetOldest(self->table, &self->forgotten) && self->n_conflicts > 0)
		self->n_conflicts--;
	return true;
}

/* ---------------------------------------------------------------------------
 * Tickets, the clock, claims
 */

static bool
t_stamp(void *context, RowStamp *out)
{
	RowTableHost *self = context;
	RowIncarnationId id;

	*out = RowsTicket(self->table, true, &id);
	return true;
}

static bool
t_version(void *context, uint64_t above, RowVersion *out)
{
	RowTableHost *self = context;
	RowIncarnationId id;

	(void) RowsTicket(self->table, true, &id);
	StaticAssertStmt(sizeof(id.bytes) == sizeof(out->tie), "the tie of a version is an incarnation's id");
	memcpy(out->tie, id.bytes, sizeof(out->tie));
	out->clock = RowsClockNext(above);
	return out->clock != 0;
}

static bool
t_clock_heard(void *context, uint64_t value, int64_t skew_us)
{
	return RowsClockHeard(value, skew_us);
}

static bool
t_keep_clock(void *context)
{
	RowsClockKeep();
	return true;
}

static bool
t_claim(void *context, const RowFrontier *frontier, const RowFrontier *floor)
{
	RowTableHost *self = context;
	MemoryContext garbage = AllocSetContextCreate(CurrentMemoryContext, "vecdb row claim", ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(garbage);
	bool		kept;

	TableWriterClose(&self->writer);
	FAULT_POINT("apply-before-claim");
	kept = RowStateKeep(self->root, frontier, floor);

	/* a claim is made when all is here that its sender had */
	if (kept && frontier)
		RowStateCopied(self->root, true);
	FAULT_POINT("apply-claimed");
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(garbage);
	return kept;
}

RowTable
RowTableCallbacks(RowTableHost *self)
{
	return (RowTable) {
		.context = self,
		.find = t_find,
		.next = t_next,
		.write = t_write,
		.set_aside = t_set_aside,
		.aside = t_aside,
		.restamp = t_restamp,
		.remove = t_remove,
		.hashes = t_hashes,
		.conflict = t_conflict,
		.conflicts = t_conflicts,
		.forget_conflict = t_forget_conflict,
		.stamp = t_stamp,
		.version = t_version,
		.clock_heard = t_clock_heard,
		.keep_clock = t_keep_clock,
		.claim = t_claim
	};
}
