/*
 * alter_rows.c
 *	  What a change of a shared table's columns makes of versions, of rows that are set
 *	  aside, and of conflicts.
 *
 * A version stays what it is: its row is the same on all nodes before the change and after
 * it.  What is hashed of it is another thing where a column goes, or comes with a value.
 * Nobody else is at the table meanwhile.
 */
#include "rows/alter.h"

#include "access/tableam.h"
#include "core/bytes.h"
#include "core/rows/content.h"
#include "miscadmin.h"
#include "rows/row_key.h"
#include "rows/row_shape.h"
#include "rows/row_state.h"
#include "rows/version_table.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define LOADED_CLOCKS 1024		/* those of rows that were there before their table was shared are below */
#define LOADED_STEP 2			/* of a change, of which there are 256 */

typedef struct Converter
{
	Relation	rel;
	RowShape   *before;
	RowShape   *after;
	const ContentChange *change;
	VersionTable versions;
	MemoryContext scratch;		/* of one row */
} Converter;

/* ---------------------------------------------------------------------------
 * Content
 */

static void
put_bytes(StringInfo out, const uint8 *bytes, size_t len)
{
	appendBinaryStringInfo(out, (const char *) bytes, (int) len);
}

/* False: it is no content of the columns before; then it stays as it is. */
static bool
convert(const ContentChange *change, RowBytes content, StringInfo out)
{
	static const uint8 none[2];
	static const uint8 null[4] = {255, 255, 255, 255};
	RowContentReader reader;
	RowValue	value;
	int			end = sizeof none;
	int			columns = 0;
	int			values = 0;

	if (!row_content_begin(&reader, content, change->columns))
		return false;
	put_bytes(out, none, sizeof none);
	for (int i = 0; i < change->columns; i++)
	{
		if (!row_content_next(&reader, false, &value))
			return false;
		if (i == change->dropped)
			continue;
		columns++;
		if (value.length == ROW_VALUE_NULL)
		{
			put_bytes(out, null, sizeof null);
			continue;
		}
		put_bytes(out, value.whole.at, value.whole.len);
		end = out->len;
		values = columns;
	}
	if (!row_content_ended(&reader))
		return false;
	if (change->added >= 0)
	{
		put_bytes(out, change->value.at, change->value.len);
		end = out->len;
		values = columns + 1;
	}
	out->len = end;
	bytes_store((uint8 *) out->data, 2, (uint64) values);
	return true;
}

/* ---------------------------------------------------------------------------
 * Versions of rows that are in the table
 */

/*
 * A row that was there before its table was shared has clock 0 and its hash for a version,
 * which one with another hash may not have.  Its clock goes up, and its tie stays: so two
 * versions are in the order after a change that they were in before it, wherever they are by
 * then.  So it is with tombstones of such rows, whose clocks are one more.  Whatever is
 * written has the time of day.
 */
static bool
was_loaded(const RowEntry *entry)
{
	return entry->version.clock < LOADED_CLOCKS;
}

static void
set_hashes(RowEntry *entry, const uint8 *hash, const uint8 *vector_hash)
{
	memcpy(entry->hash, hash, ROW_HASH);
	memcpy(entry->vector_hash, vector_hash, ROW_HASH);
	if (was_loaded(entry))
		entry->version.clock += LOADED_STEP;
}

static void
put_hashes(Converter *self, RowBytes key, const uint8 *hash, const uint8 *vector_hash)
{
	VersionRow	old;
	RowEntry	entry;

	if (VersionLock(&self->versions, key, false, &old) != VERSION_THERE)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("a version of a row of table \"%s\" is locked by another session", RelationGetRelationName(self->rel))));
	entry = old.entry;
	if (!was_loaded(&entry) && memcmp(entry.hash, hash, ROW_HASH) == 0 && memcmp(entry.vector_hash, vector_hash, ROW_HASH) == 0)
		return;
	set_hashes(&entry, hash, vector_hash);
	VersionPut(&self->versions, &old, key, &entry);
}

static void
convert_versions(Converter *self)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	VersionScan *scan = VersionScanKeys(&self->versions, snapshot, (RowBytes) {NULL, 0}, (RowBytes) {NULL, 0});
	TupleTableSlot *slot = table_slot_create(self->rel, NULL);
	MemoryContext outer;
	RowKeyIndex rows;
	VersionRow	row;

	RowKeyOpen(&rows, self->rel, self->after, RowExclusiveLock);
	outer = MemoryContextSwitchTo(self->scratch);
	while (VersionScanNext(scan, &row))
	{
		uint8		hash[ROW_HASH];
		uint8		vector_hash[ROW_HASH];

		CHECK_FOR_INTERRUPTS();
		/* a row that is not there is for vecdb.rescan() */
		if (row.entry.live && row.entry.held == ROW_APPLIED && RowKeyFetch(&rows, row.key, SnapshotSelf, slot))
		{
			(void) RowShapeHashes(self->after, slot, hash, vector_hash);
			ExecClearTuple(slot);
			put_hashes(self, row.key, hash, vector_hash);
		}
		else if (!row.entry.live && row.entry.held == ROW_APPLIED && was_loaded(&row.entry))
			put_hashes(self, row.key, row.entry.hash, row.entry.vector_hash);
		MemoryContextReset(self->scratch);
	}
	MemoryContextSwitchTo(outer);
	ExecDropSingleTupleTableSlot(slot);
	RowKeyClose(&rows);
	VersionScanEnd(scan);
	UnregisterSnapshot(snapshot);
	CommandCounterIncrement();
}

/* ---------------------------------------------------------------------------
 * What is set aside, conflicts
 */

static bool
same_hashes(const RowEntry *entry, const uint8 *hash, const uint8 *vector_hash)
{
	return memcmp(entry->hash, hash, ROW_HASH) == 0 && memcmp(entry->vector_hash, vector_hash, ROW_HASH) == 0;
}

/* A content that had not the hashes beside it does not get them by this. */
static void
convert_held(Converter *self, RowBytes key)
{
	StringInfoData out;
	HeldRow		held;
	RowBytes	content;
	uint8		hash[ROW_HASH];
	uint8		vector_hash[ROW_HASH];

	if (!HeldRowGet(RelationGetRelid(self->rel), key, NULL, &held) || !held.entry.live ||
		!RowShapeContentHashes(self->before, held.content, NULL, hash, vector_hash) || !same_hashes(&held.entry, hash, vector_hash))
		return;
	initStringInfo(&out);
	if (!convert(self->change, held.content, &out))
		return;
	content = (RowBytes) {(const uint8 *) out.data, (size_t) out.len};
	if (!RowShapeContentHashes(self->after, content, NULL, hash, vector_hash))
		elog(ERROR, "the content of a row is not what it was made as");
	set_hashes(&held.entry, hash, vector_hash);
	HeldRowRestamp(RelationGetRelid(self->rel), key, &held.entry, &content);
	if (!held.apart)
	{
		VersionRow	version;

		/* a user's write may have come since; that has its own hash */
		if (VersionLock(&self->versions, key, false, &version) == VERSION_THERE && version.entry.held != ROW_APPLIED)
			put_hashes(self, key, hash, vector_hash);
	}
}

static void
convert_all_held(Converter *self, RowHeld how)
{
	uint8		key[ROW_KEY_MAX];
	uint8		last[ROW_KEY_MAX];
	RowBytes	after = {last, 0};
	size_t		len;
	MemoryContext outer = MemoryContextSwitchTo(self->scratch);

	while (HeldRowNext(RelationGetRelid(self->rel), how, after, key, &len))
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(last, key, len);
		after.len = len;
		convert_held(self, after);
		CommandCounterIncrement();
		MemoryContextReset(self->scratch);
	}
	MemoryContextSwitchTo(outer);
}

static bool
convert_conflict(void *arg, RowBytes content, RowBytes *out)
{
	Converter  *self = arg;
	StringInfoData to;

	initStringInfo(&to);
	if (!convert(self->change, content, &to))
		return false;
	*out = (RowBytes) {(const uint8 *) to.data, (size_t) to.len};
	return true;
}

void
TableChangeRows(Relation rel, RowShape *before, RowShape *after, const ContentChange *change)
{
	Converter	self = {.rel = rel, .before = before, .after = after, .change = change};

	VersionTableOpen(&self.versions, RelationGetRelid(rel), RowExclusiveLock, false);
	self.scratch = AllocSetContextCreate(CurrentMemoryContext, "vecdb changed row", ALLOCSET_DEFAULT_SIZES);
	convert_versions(&self);
	convert_all_held(&self, ROW_PARKED);
	convert_all_held(&self, ROW_QUARANTINED);
	RowConflictsRewrite(RelationGetRelid(rel), convert_conflict, &self);
	MemoryContextDelete(self.scratch);
	VersionTableClose(&self.versions, NoLock);
}
