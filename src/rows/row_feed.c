/*
 * row_feed.c
 *	  Reading a shared collection in a snapshot.
 *
 * Changes are read an incarnation after another: of each the tickets that the asker's
 * frontier leaves open, then those above its top.  Of such a range the places in the
 * version table are noted, many at once, and its rows are read from there later: so a
 * ticket of a million rows is not gone through again for each of the transactions in
 * which it is read.
 *
 * Held rows whose entry is not in the version table (row_state.h: apart) are added: to
 * changes at their end, in ranges of keys where they belong.  What stands for a key is the
 * newer of both.
 */
#include "rows/row_feed.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "guc.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "rows/row_key.h"
#include "rows/rows_shared.h"
#include "rows/version_table.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define PLACES 16384			/* that are noted at once */

typedef enum FeedMode
{
	FEED_ENDED,
	FEED_CHANGES,
	FEED_KEYS
} FeedMode;

/* A key that stays when its transaction ends. */
typedef struct Key
{
	size_t		len;
	uint8		bytes[ROW_KEY_MAX];
} Key;

struct RowFeed
{
	MemoryContext context;
	Oid			table;
	uint8		schema[CORE_HASH_BYTES];
	bool		begun;			/* once: then the next is known */
	RelFileNumber file;			/* of the version table */

	/* in a transaction */
	MemoryContext turn;
	MemoryContext row;			/* for one call */
	Snapshot	snapshot;
	Relation	rel;
	RowShape   *shape;
	RowKeyIndex index;
	VersionTable versions;
	TupleTableSlot *slot;
	VersionScan *scan;			/* of keys */
	bool		stale;			/* of other ones than were asked for since */

	/* what was asked for, and where it stands */
	FeedMode	mode;
	Key			key;			/* of the row that was given last */
	StringInfoData content;

	/* changes */
	const RowFrontier *above;
	uint32		incarnations;
	uint32		incarnation;	/* 0: not begun; above incarnations: they have been read */
	uint32		open;			/* number of its open ticket in above that is read; n_open or another incarnation's: behind all */
	uint64		ticket;			/* of the last row of this range; 0: none */
	ItemPointerData *place;
	int			n_places;
	int			next_place;
	bool		more;			/* of this range, behind the last place */

	/* keys */
	Key			low;			/* the last that was read from the version table, at first the range's */
	Key			high;
	bool		ahead;			/* one was read and not given: */
	RowEntry	ahead_entry;	/* of the key in low */
	bool		scanned;

	/* held rows that are apart */
	bool		apart_known;	/* is there any in the snapshot? */
	bool		apart_any;
	bool		apart_ended;
	bool		apart_found;	/* the next is: */
	Key			apart;			/* else the last */
};

static RowBytes
bytes_of(const Key *key)
{
	return (RowBytes) {key->bytes, key->len};
}

static void
set_key(Key *self, RowBytes key)
{
	Assert(key.len <= ROW_KEY_MAX);
	if (key.len > 0)
		memmove(self->bytes, key.at, key.len);
	self->len = key.len;
}

RowFeed *
RowFeedNew(Oid table, const uint8 schema[CORE_HASH_BYTES])
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "vecdb row feed", ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(context);
	RowFeed    *self = palloc0(sizeof(RowFeed));

	self->context = context;
	self->table = table;
	memcpy(self->schema, schema, sizeof(self->schema));
	self->turn = AllocSetContextCreate(context, "vecdb row feed's turn", ALLOCSET_DEFAULT_SIZES);
	self->row = AllocSetContextCreate(context, "vecdb row feed's row", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&self->content);
	MemoryContextSwitchTo(outer);
	return self;
}

void
RowFeedFree(RowFeed *self)
{
	MemoryContextDelete(self->context);
}

/* ---------------------------------------------------------------------------
 * A transaction
 */

/* The table and the version table, locked, unless somebody else has locked one or an index. */
static bool
open_tables(RowFeed *self)
{
	Oid			versions = VersionTableOf(self->table);

	if (!OidIsValid(versions) || !ConditionalLockRelationOid(versions, AccessShareLock))
		return false;
	self->rel = RowTableTryOpen(self->table, AccessShareLock);
	return self->rel != NULL;
}

bool
RowFeedBegin(RowFeed *self)
{
	MemoryContext outer;
	bool		same;

	/* what an error has left of the last one went with its transaction */
	self->scan = NULL;
	self->stale = false;
	MemoryContextReset(self->turn);
	if (!open_tables(self))
		return false;
	outer = MemoryContextSwitchTo(self->turn);
	self->snapshot = GetActiveSnapshot();
	self->shape = RowShapeOf(self->rel);
	VersionTableOpen(&self->versions, self->table, AccessShareLock, false);
	if (!self->begun)
	{
		self->file = RelationGetFileNumber(self->versions.rel);
		self->begun = true;
	}
	same = memcmp(self->schema, RowShapeSchema(self->shape), sizeof(self->schema)) == 0 &&
		self->file == RelationGetFileNumber(self->versions.rel);
	if (same)
	{
		RowKeyOpen(&self->index, self->rel, self->shape, AccessShareLock);
		self->slot = table_slot_create(self->rel, NULL);
	}
	else
	{
		VersionTableClose(&self->versions, NoLock);
		relation_close(self->rel, NoLock);
	}
	MemoryContextSwitchTo(outer);
	return same;
}

static void
end_scan(RowFeed *self)
{
	if (self->scan)
		VersionScanEnd(self->scan);
	self->scan = NULL;
	self->stale = false;
}

void
RowFeedEnd(RowFeed *self)
{
	end_scan(self);
	ExecDropSingleTupleTableSlot(self->slot);
	VersionTableClose(&self->versions, NoLock);
	RowKeyClose(&self->index);
	relation_close(self->rel, NoLock);
	MemoryContextReset(self->turn);
}

/* ---------------------------------------------------------------------------
 * Seeking
 */

static void
seek(RowFeed *self, FeedMode mode)
{
	self->mode = mode;
	self->n_places = self->next_place = 0;
	self->more = self->ahead = self->scanned = false;
	self->apart_ended = self->apart_found = false;
	self->apart.len = 0;
	/* perhaps its transaction has ended, by an error */
	self->stale = true;
}

void
RowFeedSeekChanges(RowFeed *self, const RowFrontier *above, uint32 incarnations)
{
	seek(self, FEED_CHANGES);
	self->above = above;
	self->incarnations = incarnations;
	self->incarnation = 0;
}

void
RowFeedSeekKeys(RowFeed *self, const RowRange *range)
{
	seek(self, FEED_KEYS);
	set_key(&self->low, range->low);
	set_key(&self->high, range->high);
	set_key(&self->apart, range->low);
}

/* ---------------------------------------------------------------------------
 * Held rows that are apart
 */

static bool
any_apart(RowFeed *self)
{
	Key			first;

	if (!self->apart_known)
	{
		self->apart_any = HeldRowNextApart(self->table, self->snapshot, (RowBytes) {first.bytes, 0}, first.bytes, &first.len);
		self->apart_known = true;
	}
	return self->apart_any;
}

/* Is there another, behind the last one?  Its key is in apart. */
static bool
next_apart(RowFeed *self)
{
	Key			next;

	if (self->apart_found)
		return true;
	if (self->apart_ended || !any_apart(self) ||
		!HeldRowNextApart(self->table, self->snapshot, bytes_of(&self->apart), next.bytes, &next.len))
	{
		self->apart_ended = true;
		return false;
	}
	set_key(&self->apart, bytes_of(&next));
	self->apart_found = true;
	return true;
}

/* The entry of one that is apart. */
static bool
apart_entry(RowFeed *self, RowBytes key, RowEntry *out)
{
	HeldRow		held;

	if (!any_apart(self) || !HeldRowLook(self->table, key, self->snapshot, &held) || !held.apart)
		return false;
	*out = held.entry;
	return true;
}

static RowRead
give(RowFeed *self, RowBytes key, const RowEntry *entry, Row *out)
{
	set_key(&self->key, key);
	memset(out, 0, sizeof(*out));
	out->key = bytes_of(&self->key);
	out->entry = *entry;
	return ROW_READ;
}

/* ---------------------------------------------------------------------------
 * Changes
 */

/* Is `open` the number of an open ticket of the incarnation that is read? */
static bool
at_open(const RowFeed *self)
{
	return self->open < self->above->n_open && self->above->open[self->open].incarnation == self->incarnation;
}

/* The next range.  False: that was the last one. */
static bool
next_range(RowFeed *self)
{
	self->ticket = 0;
	if (self->incarnation > 0 && at_open(self))
	{
		self->open++;
		return true;
	}
	if (self->incarnation == 0)
		self->open = 0;
	self->incarnation++;
	return self->incarnation <= self->incarnations;
}

/*
 * Skip the places up to the one that was read last.  False: it is not among them.
 */
static bool
skip_to(RowFeed *self, ItemPointer last, int n)
{
	for (int i = 0; i < n; i++)
		if (ItemPointerEquals(&self->place[i], last))
		{
			self->next_place = i + 1;
			return true;
		}
	return false;
}

/*
 * Note the next places of the range.  It is gone on with behind the last one that was
 * noted, which holds a row: what no snapshot shows may be vacuumed away meanwhile.
 */
static void
note_places(RowFeed *self)
{
	bool		goes_on = self->more;
	ItemPointerData last = goes_on ? self->place[self->n_places - 1] : (ItemPointerData) {{0}};
	uint64		top = row_frontier_top(self->above, self->incarnation);
	uint64		from = at_open(self) ? self->above->open[self->open].ticket : top + 1;
	uint64		to = at_open(self) ? from : PG_INT64_MAX;
	VersionScan *scan;

	self->n_places = self->next_place = 0;
	self->more = false;
	if (from > PG_INT64_MAX || from == 0)
		return;
	if (self->place == NULL)
		self->place = MemoryContextAlloc(self->context, PLACES * sizeof(*self->place));
	scan = VersionScanStamps(&self->versions, self->snapshot, self->incarnation, Max(from, self->ticket), to);
	do
	{
		int			n = VersionScanPlaces(scan, self->place, PLACES);
		VersionRow	row;

		CHECK_FOR_INTERRUPTS();
		self->more = n == PLACES;
		self->next_place = 0;
		if (goes_on && !skip_to(self, &last, n))
		{
			if (!self->more)
				elog(ERROR, "a row of table \"vecdb.version_%u\" has no entry in an index", self->table);
			self->next_place = n;
		}
		else
			goes_on = false;
		while (self->more && n > self->next_place && !VersionAt(&self->versions, self->snapshot, &self->place[n - 1], &row))
			n--;
		self->n_places = n;
	} while (self->more && self->next_place == self->n_places);
	VersionScanEnd(scan);
}

static RowRead
next_change(RowFeed *self, Row *out)
{
	while (self->incarnation <= self->incarnations)
	{
		VersionRow	row;

		CHECK_FOR_INTERRUPTS();
		if (self->next_place < self->n_places)
		{
			if (!VersionAt(&self->versions, self->snapshot, &self->place[self->next_place++], &row))
				continue;
			self->ticket = row.entry.stamp.ticket;
			return give(self, row.key, &row.entry, out);
		}
		if (!self->more && !next_range(self))
			break;
		note_places(self);
	}
	while (next_apart(self))
	{
		RowEntry	entry;

		self->apart_found = false;
		if (apart_entry(self, bytes_of(&self->apart), &entry) && !row_frontier_covers(self->above, entry.stamp))
			return give(self, bytes_of(&self->apart), &entry, out);
	}
	self->mode = FEED_ENDED;
	return ROW_READ_END;
}

/* ---------------------------------------------------------------------------
 * Keys
 */

/* One of the version table, in ahead. */
static bool
read_ahead(RowFeed *self)
{
	VersionRow	row;

	if (self->ahead)
		return true;
	if (self->scanned)
		return false;
	if (self->scan == NULL)
		self->scan = VersionScanKeys(&self->versions, self->snapshot, bytes_of(&self->low), bytes_of(&self->high));
	self->ahead = VersionScanNext(self->scan, &row);
	self->scanned = !self->ahead;
	if (self->ahead)
	{
		set_key(&self->low, row.key);
		self->ahead_entry = row.entry;
	}
	return self->ahead;
}

static RowRead
next_key(RowFeed *self, Row *out)
{
	bool		ahead = read_ahead(self);
	bool		apart = next_apart(self) &&
		(self->high.len == 0 || row_key_compare(bytes_of(&self->apart), bytes_of(&self->high)) <= 0);
	int			order = !ahead ? 1 : !apart ? -1 : row_key_compare(bytes_of(&self->low), bytes_of(&self->apart));
	RowEntry	entry;

	if (!ahead && !apart)
	{
		self->mode = FEED_ENDED;
		return ROW_READ_END;
	}
	if (order <= 0)
		self->ahead = false;
	if (order < 0)
		return give(self, bytes_of(&self->low), &self->ahead_entry, out);
	self->apart_found = false;
	if (!apart_entry(self, bytes_of(&self->apart), &entry))
		elog(ERROR, "a held row of table %u is gone", self->table);
	if (order == 0 && row_version_compare(&self->ahead_entry.version, &entry.version) >= 0)
		entry = self->ahead_entry;
	return give(self, bytes_of(&self->apart), &entry, out);
}

/* ---------------------------------------------------------------------------
 * Reading
 */

RowRead
RowFeedNext(RowFeed *self, Row *out)
{
	MemoryContext outer;
	RowRead		read = ROW_READ_END;

	MemoryContextReset(self->row);
	if (self->stale)
		end_scan(self);
	/* a scan lives as long as the turn */
	outer = MemoryContextSwitchTo(self->scan == NULL && self->mode == FEED_KEYS ? self->turn : self->row);
	if (self->mode == FEED_CHANGES)
		read = next_change(self, out);
	else if (self->mode == FEED_KEYS)
		read = next_key(self, out);
	MemoryContextSwitchTo(outer);
	return read;
}

RowRead
RowFeedFind(RowFeed *self, RowBytes key, Row *out)
{
	MemoryContext outer;
	VersionRow	row;
	RowEntry	entry;
	bool		found;
	bool		apart;

	MemoryContextReset(self->row);
	outer = MemoryContextSwitchTo(self->row);
	found = VersionGet(&self->versions, self->snapshot, key, &row);
	apart = apart_entry(self, key, &entry);
	if (found && !(apart && row_version_compare(&entry.version, &row.entry.version) > 0))
		entry = row.entry;
	MemoryContextSwitchTo(outer);
	return found || apart ? give(self, key, &entry, out) : ROW_READ_END;
}

/* Content of a held row, which is whole. */
static bool
held_content(RowFeed *self, Row *row)
{
	HeldRow		held;

	if (!HeldRowGet(self->table, row->key, self->snapshot, &held))
		return false;
	appendBinaryStringInfo(&self->content, (const char *) held.content.at, (int) held.content.len);
	row->thin = false;
	return true;
}

static bool
table_content(RowFeed *self, Row *row, bool thin)
{
	if (!RowKeyFetch(&self->index, row->key, self->snapshot, self->slot))
		return false;
	RowShapeContent(self->shape, self->slot, thin, &self->content);
	ExecClearTuple(self->slot);
	row->thin = thin;
	return true;
}

RowRead
RowFeedContent(RowFeed *self, Row *row, bool thin)
{
	MemoryContext outer;
	bool		found;

	Assert(row->entry.live);
	MemoryContextReset(self->row);
	outer = MemoryContextSwitchTo(self->row);
	resetStringInfo(&self->content);
	found = row->entry.held == ROW_APPLIED ? table_content(self, row, thin) : held_content(self, row);
	MemoryContextSwitchTo(outer);
	if (!found)
		return ROW_READ_LOST;
	row->content = (RowBytes) {(const uint8 *) self->content.data, (size_t) self->content.len};
	return ROW_READ;
}

uint64
RowFeedTotal(RowFeed *self)
{
	BlockNumber pages;
	double		rows;
	double		visible;

	estimate_rel_size(self->rel, NULL, &pages, &rows, &visible);
	return rows > 0 ? (uint64) rows : 0;
}

/* ---------------------------------------------------------------------------
 * Tombstones
 */

bool
RowFeedHasTombstones(Oid table, const RowFrontier *below)
{
	uint64		now = (uint64) (GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
	uint64		heard = Max(RowsClockLast(), now + (uint64) VecdbMaxClockSkew_s * 1000000);
	VersionTable versions;
	VersionScan *scan;
	VersionRow	row;
	bool		any = false;

	if (!OidIsValid(VersionTableOf(table)))
		return false;
	VersionTableOpen(&versions, table, AccessShareLock, false);
	scan = VersionScanDead(&versions, GetActiveSnapshot(), (RowBytes) {NULL, 0});
	while (!any && VersionScanNext(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		any = row.entry.held == ROW_APPLIED && row.entry.version.clock <= heard &&
			row_frontier_covers(below, row.entry.stamp) && row_frontier_covers(below, row.entry.birth);
	}
	VersionScanEnd(scan);
	VersionTableClose(&versions, NoLock);
	return any;
}
