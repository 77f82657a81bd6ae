/*
 * sync_change.c
 *	  Changes of the columns of shared collections (core/net/changes.h): kept in the
 *	  extension's table, signed where a backend asks for one, handed to the apply worker of
 *	  the collection when they are due.
 *
 * What was applied is noted by who applies it, in the same transaction
 * (rows/alter_table.c); here rows come and go with what the node holds.
 */
#include "sync/sync_pending.h"
#include "sync/sync_rows.h"

#include "access/htup_details.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "node/node_table.h"
#include "utils/errcodes.h"
#include "utils/memutils.h"

#define LOOK_MS 1000
#define AGAIN_MS 500			/* after a failure, and twice as long after each more */
#define AGAIN_MOST_MS 60000
#define SHOWN_TEXT 60			/* bytes of a change's text in messages */
#define TELL_MS 20000			/* so long a backend waits for a change that cannot be applied */

StaticAssertDecl(SIGNED_CHANGE_HASH == CHANGE_HASH_BYTES && SIGNED_CHANGE_TEXT == CHANGE_TEXT_MAX, "a change is as long in alter.h");

/* ---------------------------------------------------------------------------
 * The table
 */

/* In the order of their hashes, which is not that in which they follow each other: again until no more are taken. */
void
SyncLoadChanges(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES])
{
	SyncTable	table;
	bool		progress = true;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "vecdb change", ALLOCSET_SMALL_SIZES);

	SyncTableOpen(&table, SYNC_SCHEMA_CHANGE, false, false);
	for (int pass = 0; progress && pass <= CHANGE_NUMBER_MAX; pass++)
	{
		SysScanDesc scan = SyncTableScan(&table, root);
		HeapTuple	row;

		progress = false;
		while (HeapTupleIsValid(row = systable_getnext_ordered(scan, ForwardScanDirection)))
		{
			MemoryContext old = MemoryContextSwitchTo(row_context);
			size_t		len = 0;
			const uint8 *statement = SyncTableBytesUpTo(&table, row, SCHEMA_CHANGE_STATEMENT, CHANGE_BYTES_MAX, &len);
			bool		isnull;
			int32		applied = DatumGetInt32(SyncTableValue(&table, row, SCHEMA_CHANGE_APPLIED, &isnull));

			CHECK_FOR_INTERRUPTS();
			progress |= statement &&
				node_change_load(self->node, node_clock(), root, statement, len, isnull || applied < 0 ? 0 : (uint32_t) applied);
			MemoryContextSwitchTo(old);
			MemoryContextReset(row_context);
		}
		systable_endscan_ordered(scan);
	}
	SyncTableClose(&table);
}

static void
insert_change(SyncTable *table, const uint8_t *root, const ChangeEntry *entry)
{
	Datum		values[SCHEMA_CHANGE_COLUMNS] = {0};
	bool		nulls[SCHEMA_CHANGE_COLUMNS] = {false};

	values[SCHEMA_CHANGE_ROOT - 1] = SyncBytea(root, CORE_KEY_BYTES);
	values[SCHEMA_CHANGE_HASH - 1] = SyncBytea(entry->hash, CHANGE_HASH_BYTES);
	values[SCHEMA_CHANGE_STATEMENT - 1] = SyncBytea(entry->bytes, entry->len);
	nulls[SCHEMA_CHANGE_APPLIED - 1] = true;
	SyncTableInsert(table, values, nulls);
}

void
SyncWriteChanges(const uint8_t root[CORE_KEY_BYTES], const Changes *held)
{
	SyncTable	table;
	SysScanDesc scan;
	HeapTuple	row;
	bool		there[CHANGES_LIMIT + 1] = {false};

	SyncTableOpen(&table, SYNC_SCHEMA_CHANGE, true, false);
	scan = SyncTableScan(&table, root);
	while (HeapTupleIsValid(row = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		const uint8 *hash = SyncTableBytes(&table, row, SCHEMA_CHANGE_HASH, CHANGE_HASH_BYTES);
		bool		found = false;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; hash && held && i < held->n && !found; i++)
		{
			found = memcmp(held->entry[i]->hash, hash, CHANGE_HASH_BYTES) == 0;
			there[i] |= found;
		}
		if (!found)
			SyncTableDelete(&table, row);
	}
	systable_endscan_ordered(scan);
	for (int i = 0; held && i < held->n; i++)
		if (!there[i])
			insert_change(&table, root, held->entry[i]);
	SyncTableClose(&table);
}

/* ---------------------------------------------------------------------------
 * Backends that wait
 */

static void
answer(Pending *p, bool applied, const char *reason)
{
	p->altering = false;
	(void) (PendingPutBool(p, applied) && PendingPut(p, reason));
	p->finished = true;
}

/* To those who wait for a change: it is applied, or (why) could not be. */
static void
answer_all(SyncWorker *self, const uint8_t *hash, bool applied, const char *why)
{
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Pending    *p = &self->requests->pending[i];

		if (p->active && p->altering && !p->finished && memcmp(p->change, hash, CHANGE_HASH_BYTES) == 0)
			answer(p, applied, why);
	}
}

static void
answer_late(SyncWorker *self, int64_t tick_ms)
{
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Pending    *p = &self->requests->pending[i];

		if (p->active && p->altering && !p->finished && tick_ms > p->until_ms - SYNC_ANSWER_MS + TELL_MS)
			answer(p, false, NULL);
	}
}

static bool
read_hash(const char *hex, uint8_t out[CORE_HASH_BYTES])
{
	KadId		id;

	if (!kad_id_parse(hex, strlen(hex), &id))
		return false;
	memcpy(out, id.b, CORE_HASH_BYTES);
	return true;
}

void
PendingAlter(SyncWorker *self, Pending *p, Oid table, const char *before, const char *after, const char *text)
{
	uint8_t		hash[2][CORE_HASH_BYTES];
	char	   *copy = pstrdup(text);
	NodeStatus	status;

	if (!read_hash(before, hash[0]) || !read_hash(after, hash[1]))
	{
		PendingError(p, ERRCODE_INTERNAL_ERROR, "the node does not know this request", NULL, NULL);
		return;
	}
	p->call->len = 0;
	status = node_alter(self->node, node_clock(), table, hash[0], hash[1], copy, strlen(copy), p->change);
	switch (status)
	{
		case NODE_OK:
			if (!SyncFlush(self))
				PendingError(p, ERRCODE_IO_ERROR, "the change could not be written down", "The server's log says why.", NULL);
			else
				p->altering = true;
			for (int i = 0; i < self->rows->n; i++)
				self->rows->collection[i]->change_ms = 0;
			break;
		case NODE_FULL:
			PendingError(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "the columns of this collection have been changed as often as can be",
						 "A collection has 256 changes of its columns.", "Share its table anew: vecdb.leave() on all members first.");
			break;
		case NODE_BUSY:
			PendingError(p, ERRCODE_OBJECT_IN_USE, "another change of the columns of this collection is to be applied here first", NULL,
						 "Try again in a few seconds; view vecdb.stat_collections tells what it waits for.");
			break;
		case NODE_INVALID:
			PendingError(p, ERRCODE_INVALID_PARAMETER_VALUE, "this change has characters that none may have", NULL,
						 "Names and values have no control characters.");
			break;
		default:
			PendingStatus(p, status, NULL);
	}
}

/* ---------------------------------------------------------------------------
 * Applying
 */

/* The first bytes of a change's text. */
static const char *
text_begin(const char *text, size_t len, char out[SHOWN_TEXT + 1])
{
	return SyncText(text, len, out, SHOWN_TEXT + 1);
}

/* What keeps a change from being applied, told once. */
static void
wait_for(SyncCollection *self, const ChangeEntry *entry, const char *why)
{
	char		waits[APPLY_TEXT];
	char		node[13];
	char		shown[SHOWN_TEXT + 1];
	KadId		id = kad_id_of_key(node_crypto(self->rows->worker->node), entry->change.issuer);

	snprintf(waits, sizeof(waits), "change %u of node %s, %s: %s", entry->change.number, node_short_id(&id, node),
			 text_begin(entry->change.text, entry->change.text_len, shown), why);
	waits[pg_mbcliplen(waits, (int) strlen(waits), APPLY_TEXT - 1)] = '\0';
	if (strcmp(waits, self->waits) == 0)
		return;
	strlcpy(self->waits, waits, sizeof(self->waits));
	ereport(LOG,
			(errmsg("collection of table %u waits for a change of its columns", self->table),
			 errdetail_internal("%s", waits)));
}

static void
end_change(SyncCollection *self, CoreClock clock)
{
	SyncWorker *worker = self->rows->worker;
	uint32		applied;
	char		text[APPLY_TEXT];
	char		shown[SHOWN_TEXT + 1];
	const ChangeEntry *entry;

	if (!AppliesChangeDone(self->rows->applies, self->place, &applied, text))
		return;
	self->changing = false;
	if (applied == 0)
	{
		(void) node_change_next(worker->node, clock, self->table, self->schema, &entry);
		if (text[0] != '\0' && entry && memcmp(entry->hash, self->change.hash, CHANGE_HASH_BYTES) == 0)
		{
			wait_for(self, entry, text);
			answer_all(worker, self->change.hash, false, text);
		}
		self->change_ms = clock.tick_ms + Min(AGAIN_MS << Min(self->change_failures, 10), text[0] ? AGAIN_MOST_MS : 4 * AGAIN_MS);
		self->change_failures++;
		return;
	}
	node_change_applied(worker->node, self->table, self->change.hash, applied);
	answer_all(worker, self->change.hash, true, NULL);
	ereport(LOG,
			(errmsg("columns of the collection of table %u were changed", self->table),
			 errdetail_internal("%s", text_begin(self->change.text, self->change.len, shown))));
	self->change_failures = 0;
	self->change_ms = 0;
	self->waits[0] = '\0';
	if (memcmp(self->change.before, self->change.after, CORE_HASH_BYTES) == 0 || self->change.adopt)
		return;
	memcpy(self->schema, self->change.after, CORE_HASH_BYTES);
	SyncColumnsForget(self);
	replica_schema(self->replica, self->schema);
	worker->due.rebind = 0;		/* who joins is told of them */
}

static void
begin_change(SyncCollection *self, const ChangeEntry *entry, bool adopt)
{
	SignedChange *change = &self->change;

	memset(change, 0, sizeof(*change));
	memcpy(change->hash, entry->hash, CHANGE_HASH_BYTES);
	memcpy(change->before, entry->change.before, CORE_HASH_BYTES);
	memcpy(change->after, entry->change.after, CORE_HASH_BYTES);
	memcpy(change->text, entry->change.text, entry->change.text_len);
	change->len = (uint16) entry->change.text_len;
	change->adopt = adopt;
	AppliesPostChange(self->rows->applies, self->place, change);
	self->changing = true;
}

void
SyncRowsChange(SyncCollection *self, CoreClock clock)
{
	SyncWorker *worker = self->rows->worker;
	const ChangeEntry *entry;
	ChangesNext next;

	if (self->changing)
		end_change(self, clock);
	if (self->changing || clock.tick_ms < self->change_ms || self->place < 0)
		return;
	self->change_ms = clock.tick_ms + LOOK_MS;
	self->change_due = false;
	answer_late(worker, clock.tick_ms);
	next = node_change_next(worker->node, clock, self->table, self->schema, &entry);
	if (next == CHANGES_NOTHING)
		self->waits[0] = '\0';
	else if (next == CHANGES_UNVOUCHED)
		wait_for(self, entry, "its signer is no admin any more; an admin that has applied it vouches for it by its next change");
	else if (next == CHANGES_FORKED)
		wait_for(self, entry, "another was made here at once, which goes behind it; undo that by vecdb.alter_collection() on an admin that has it, or leave and join anew");
	else if (self->n_jobs > 0)
	{
		self->change_due = true;
		self->change_ms = 0;
	}
	/* who applies it notes that in its row */
	else if (SyncFlush(worker))
		begin_change(self, entry, next == CHANGES_ADOPT);
}
