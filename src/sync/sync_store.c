/*
 * sync_store.c
 *	  What a node's worker keeps in the extension's tables: collections and what is
 *	  stated about their members.  What it keeps in files: sync_key_file.c, sync_file.c.
 *
 * Every access to the tables is a transaction of its own, without SQL (see
 * node_table.c), and waits for nobody: what somebody has locked is tried again.
 *
 * What is written of statements is not what came but what is held: the rows of a
 * collection are made equal to the node's set, so those that others superseded or
 * pushed out go, whatever the node was doing when they did.
 *
 * The tables' data are in no dump: a dump carries rows, not membership, and never
 * makes a second node of the same key.
 */
#include "sync/sync_worker.h"

#include <sodium.h>

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "node/node_table.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

StaticAssertDecl(SYNC_ROOT_BYTES == CORE_KEY_BYTES, "a root key has another length in core");
StaticAssertDecl(SYNC_STATEMENT_BYTES == GRANT_BYTES, "a statement has another length in core");

/*
 * A join has its table so long after the network has admitted us, or never: who
 * asked for it was cancelled or rolled back.  A transaction that has bound the
 * table and goes on holds the row itself.
 */
#define JOIN_GRACE_MS (2 * SYNC_ANSWER_MS)

/* ---------------------------------------------------------------------------
 * A transaction
 */

static bool
in_transaction(WorkerBody work, void *arg)
{
	return WorkerTransaction(SYNC_STATEMENT_MS, work, arg);
}

/* ---------------------------------------------------------------------------
 * The extension
 */

static void
find_tables(void *arg)
{
	*(SyncTableFound *) arg = SyncTablesFind();
}

SyncExtension
SyncFindExtension(void)
{
	SyncTableFound found;

	if (!in_transaction(find_tables, &found))
		return SYNC_EXTENSION_UNKNOWN;
	return found == SYNC_TABLES_THERE ? SYNC_EXTENSION_THERE :
		found == SYNC_TABLES_OLD ? SYNC_EXTENSION_OLD : SYNC_EXTENSION_ABSENT;
}

/* ---------------------------------------------------------------------------
 * Collections and statements
 */

typedef struct Shared
{
	uint8_t		root[CORE_KEY_BYTES];
	Oid			table;			/* InvalidOid: none is bound */
	Oid			role;			/* whose it is then */
	uint32_t	owner;			/* for node_group_owner() */
	bool		leaving;
	bool		paused;
	TimestampTz since;
	char		name[NODE_NAME];
} Shared;

typedef struct SharedList
{
	int			n;
	Shared		row[NODE_COLLECTIONS];
} SharedList;

static bool
read_shared(SyncTable *table, HeapTuple row, Shared *out)
{
	const uint8 *root = SyncTableBytes(table, row, SHARED_ROOT, CORE_KEY_BYTES);
	bool		isnull;
	Datum		value;

	if (!root)
		return false;
	memcpy(out->root, root, CORE_KEY_BYTES);
	value = SyncTableValue(table, row, SHARED_TABLE, &isnull);
	out->table = isnull ? InvalidOid : DatumGetObjectId(value);
	value = SyncTableValue(table, row, SHARED_LEAVING, &isnull);
	out->leaving = !isnull && DatumGetBool(value);
	value = SyncTableValue(table, row, SHARED_PAUSED, &isnull);
	out->paused = !isnull && DatumGetBool(value);
	value = SyncTableValue(table, row, SHARED_SINCE, &isnull);
	out->since = isnull ? 0 : DatumGetTimestampTz(value);
	value = SyncTableValue(table, row, SHARED_ROLE, &isnull);
	out->role = isnull ? InvalidOid : DatumGetObjectId(value);
	SyncTableText(table, row, SHARED_NAME, out->name, NODE_NAME);
	return true;
}

/* InvalidOid when there is no such table any more. */
static Oid
owner_of(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/* The role for which a collection counts. */
static Oid
holder_of(const Shared *shared)
{
	return OidIsValid(shared->table) ? owner_of(shared->table) : shared->role;
}

/* In the order of their roots, so that of too many it is always the same that are left out. */
static void
list_shared(void *arg)
{
	SharedList *list = arg;
	SyncTable	table;
	SysScanDesc scan;
	HeapTuple	row;

	list->n = 0;
	SyncTableOpen(&table, SYNC_SHARED_COLLECTION, false, false);
	scan = SyncTableScan(&table, NULL);
	while (list->n < NODE_COLLECTIONS && HeapTupleIsValid(row = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		Shared	   *shared = &list->row[list->n];

		CHECK_FOR_INTERRUPTS();
		if (read_shared(&table, row, shared))
		{
			shared->owner = SyncShareOf(holder_of(shared), superuser_arg(holder_of(shared)));
			list->n++;
		}
	}
	systable_endscan_ordered(scan);
	SyncTableClose(&table);
}

int
SyncSharedTables(SyncSharedTable *out, int room)
{
	SharedList *list = palloc(sizeof(SharedList));
	int			n = 0;

	if (!in_transaction(list_shared, list))
		return -1;
	for (int i = 0; i < list->n && n < room; i++)
		if (OidIsValid(list->row[i].table) && !list->row[i].leaving)
		{
			memcpy(out[n].root, list->row[i].root, CORE_KEY_BYTES);
			out[n].owner = list->row[i].owner;
			out[n].paused = list->row[i].paused;
			out[n++].table = list->row[i].table;
		}
	pfree(list);
	return n;
}

typedef struct Loading
{
	SyncWorker *worker;
	const uint8_t *root;
} Loading;

/*
 * The statements of a collection, in the order of their bytes, which is not that
 * of their depth: again until no more are taken.  The node decides which it
 * holds; the next flush deletes the others.
 */
static void
load_statements(void *arg)
{
	Loading    *loading = arg;
	SyncWorker *self = loading->worker;
	const uint8_t *root = loading->root;
	SyncTable	table;
	bool		progress = true;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "vecdb statement", ALLOCSET_SMALL_SIZES);

	SyncTableOpen(&table, SYNC_MEMBERSHIP_STATEMENT, false, false);
	for (int pass = 0; progress && pass <= 2 * GRANT_DEPTH_MAX; pass++)
	{
		SysScanDesc scan = SyncTableScan(&table, root);
		HeapTuple	row;

		progress = false;
		while (HeapTupleIsValid(row = systable_getnext_ordered(scan, ForwardScanDirection)))
		{
			MemoryContext old = MemoryContextSwitchTo(row_context);
			const uint8 *statement = SyncTableBytes(&table, row, STATEMENT_STATEMENT, GRANT_BYTES);

			CHECK_FOR_INTERRUPTS();
			progress |= statement && node_group_add(self->node, node_clock(), root, statement);
			MemoryContextSwitchTo(old);
			MemoryContextReset(row_context);
		}
		systable_endscan_ordered(scan);
	}
	SyncTableClose(&table);
	SyncLoadChanges(self, root);
	node_group_loaded(self->node, node_clock(), root);
}

bool
SyncLoad(SyncWorker *self)
{
	SharedList *list = palloc(sizeof(SharedList));
	bool		ok = in_transaction(list_shared, list);

	for (int i = 0; ok && i < list->n; i++)
	{
		Loading		loading = {self, list->row[i].root};
		uint8_t		secret[CORE_SECRET_BYTES];
		bool		has_secret = SyncReadRoot(self, list->row[i].root, secret);

		ok = node_group_load(self->node, node_clock(), list->row[i].root, has_secret ? secret : NULL,
							 list->row[i].table, list->row[i].name, list->row[i].leaving) == NODE_OK &&
			in_transaction(load_statements, &loading);
		node_group_owner(self->node, list->row[i].root, list->row[i].owner);
		sodium_memzero(secret, sizeof(secret));
	}
	pfree(list);
	return ok;
}

typedef struct Kept
{
	const uint8_t *root;
	bool		found;
} Kept;

static void
find_statement(void *arg)
{
	Kept	   *kept = arg;
	SyncTable	table;
	SysScanDesc scan;

	SyncTableOpen(&table, SYNC_MEMBERSHIP_STATEMENT, false, false);
	scan = SyncTableScan(&table, kept->root);
	kept->found = HeapTupleIsValid(systable_getnext_ordered(scan, ForwardScanDirection));
	systable_endscan_ordered(scan);
	SyncTableClose(&table);
}

bool
SyncLoadLeft(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES])
{
	Kept		kept = {root};
	Loading		loading = {self, root};

	if (node_group_held(self->node, root) || !in_transaction(find_statement, &kept) || !kept.found ||
		node_group_load(self->node, node_clock(), root, NULL, 0, "", true) != NODE_OK)
		return false;
	if (in_transaction(load_statements, &loading))
		return true;
	node_group_forget(self->node, node_clock(), root);
	return false;
}

static int
compare_statements(const void *a, const void *b)
{
	return memcmp(*(const uint8_t *const *) a, *(const uint8_t *const *) b, GRANT_BYTES);
}

/*
 * Make the rows of a collection equal to what is held; held[n] are in the order of
 * their bytes.  The scan keeps memory of its own from row to row, so only what is
 * done with a row is done in a context that is reset after it.
 */
static void
write_statements(SyncTable *table, const uint8_t *root, const uint8_t *const *held, int n)
{
	SysScanDesc scan = SyncTableScan(table, root);
	HeapTuple	row;
	bool	   *there = palloc0(sizeof(bool) * (n + 1));
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "vecdb statement", ALLOCSET_SMALL_SIZES);
	MemoryContext old = CurrentMemoryContext;

	while (HeapTupleIsValid(row = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		const uint8 *statement;
		const uint8_t *const *found;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(row_context);
		statement = SyncTableBytes(table, row, STATEMENT_STATEMENT, GRANT_BYTES);
		found = statement && n > 0 ? bsearch(&statement, held, (size_t) n, sizeof(*held), compare_statements) : NULL;
		if (found)
			there[found - held] = true;
		else
			SyncTableDelete(table, row);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	systable_endscan_ordered(scan);
	MemoryContextSwitchTo(row_context);
	for (int i = 0; i < n; i++)
	{
		Datum		values[STATEMENT_COLUMNS];
		bool		nulls[STATEMENT_COLUMNS] = {false};

		CHECK_FOR_INTERRUPTS();
		if (there[i])
			continue;
		values[STATEMENT_ROOT - 1] = SyncBytea(root, CORE_KEY_BYTES);
		values[STATEMENT_STATEMENT - 1] = SyncBytea(held[i], GRANT_BYTES);
		SyncTableInsert(table, values, nulls);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
}

typedef struct RowOf
{
	SyncTable	table;
	SysScanDesc scan;
	bool		readable;
} RowOf;

/*
 * The row of a collection, read into *out if it is one that can be read; NULL when
 * there is none.  It is good until end_row().
 */
static HeapTuple
begin_row(RowOf *of, const uint8_t *root, Shared *out)
{
	HeapTuple	row;

	SyncTableOpen(&of->table, SYNC_SHARED_COLLECTION, true, false);
	of->scan = SyncTableScan(&of->table, root);
	row = systable_getnext_ordered(of->scan, ForwardScanDirection);
	of->readable = HeapTupleIsValid(row) && read_shared(&of->table, row, out);
	return HeapTupleIsValid(row) ? row : NULL;
}

static void
end_row(RowOf *of)
{
	systable_endscan_ordered(of->scan);
	SyncTableClose(&of->table);
}

/*
 * No row of this collection any more, and of its statements only these n, in the order of
 * their bytes; if it was left, unless it is held again.  False: it is.
 */
static bool
delete_shared(const uint8_t *root, bool left, const uint8_t *const *kept, int n)
{
	SyncTable	table;
	RowOf		of;
	Shared		shared;
	HeapTuple	row = begin_row(&of, root, &shared);
	bool		gone = !row || !left || (of.readable && shared.leaving);

	if (row && gone)
		SyncTableDelete(&of.table, row);
	end_row(&of);
	if (!gone)
		return false;
	SyncTableOpen(&table, SYNC_MEMBERSHIP_STATEMENT, true, false);
	write_statements(&table, root, kept, n);
	SyncTableClose(&table);
	SyncWriteChanges(root, NULL);
	return true;
}

static void
delete_dropped(void *arg)
{
	(void) delete_shared(arg, false, NULL, 0);
}

static bool
is_orphan(const Shared *shared)
{
	return !OidIsValid(shared->table) && !shared->leaving &&
		TimestampDifferenceExceeds(shared->since, GetCurrentTimestamp(), JOIN_GRACE_MS);
}

typedef struct Orphan
{
	const uint8_t *root;
	bool		gone;
} Orphan;

/* The join of a collection came to nothing, unless a transaction has bound its table since. */
static void
delete_orphan(void *arg)
{
	Orphan	   *orphan = arg;
	RowOf		of;
	Shared		shared;
	HeapTuple	row = begin_row(&of, orphan->root, &shared);

	orphan->gone = of.readable && is_orphan(&shared) && SyncTableTryRow(&of.table, row);
	end_row(&of);
	if (orphan->gone)
		(void) delete_shared(orphan->root, false, NULL, 0);
}

/* To the network this node stays a member, as when a table is dropped: the same invitation lets it in again. */
static bool
give_back(SyncWorker *self, const uint8_t *root)
{
	Orphan		orphan = {.root = root};

	if (!in_transaction(delete_orphan, &orphan))
		return false;
	if (orphan.gone)
	{
		ereport(LOG, (errmsg("a join came to nothing: this node does not hold the collection any more"),
					  errhint("The same invitation can be redeemed again.")));
		node_group_forget(self->node, node_clock(), root);
	}
	return true;
}

typedef struct Description
{
	Oid			table;
	SyncDescribed state;
	char		words[NODE_DESCRIPTION + 1];
} Description;

static void
describe(void *arg)
{
	Description *description = arg;

	description->state = SyncDescribe(description->table, description->words, sizeof(description->words));
}

/* Each table in a transaction of its own: one that is locked, or strange, must not hide the others. */
bool
SyncRebind(SyncWorker *self)
{
	SharedList *list = palloc(sizeof(SharedList));
	bool		ok = in_transaction(list_shared, list);
	bool		locked = false;

	for (int i = 0; ok && i < list->n; i++)
	{
		Shared	   *shared = &list->row[i];
		Description description = {.table = shared->table};
		char		name[NODE_NAME];

		node_group_owner(self->node, shared->root, shared->owner);
		if (is_orphan(shared))
			ok = give_back(self, shared->root);
		if (!OidIsValid(shared->table) || shared->leaving || !in_transaction(describe, &description))
			continue;
		switch (description.state)
		{
			case SYNC_DESCRIBED:
			case SYNC_NOT_DESCRIBED:
				strlcpy(name, description.words, Min(strcspn(description.words, " ") + 1, sizeof(name)));
				node_group_bind(self->node, node_clock(), shared->root, shared->table, name,
								(const uint8_t *) description.words,
								description.state == SYNC_DESCRIBED ? strlen(description.words) : 0);
				break;
			case SYNC_TABLE_LOCKED:
				/* what was known of its shape stays */
				node_group_bind(self->node, node_clock(), shared->root, shared->table, description.words, NULL, 0);
				locked = true;
				break;
			case SYNC_TABLE_GONE:
				ereport(LOG, (errmsg("a shared collection was dropped: this node does not hold it any more")));
				ok = in_transaction(delete_dropped, shared->root);
				if (ok)
				{
					node_group_forget(self->node, node_clock(), shared->root);
					SyncRemoveRoot(self, shared->root);
				}
				break;
		}
	}
	pfree(list);
	return ok && !locked;
}

typedef struct NewCollection
{
	SyncWorker *worker;
	const uint8_t *root;
	Oid			table;
	const char *name;
	Oid			role;			/* whose it is while it has no table */
	bool		leave;			/* mark it as left */
} NewCollection;

/* The row of a collection that is shared, joined or left: made, or changed. */
static void
put_collection(NewCollection *new)
{
	Datum		values[SHARED_COLUMNS] = {0};
	bool		nulls[SHARED_COLUMNS] = {false};
	bool		replace[SHARED_COLUMNS] = {false};
	RowOf		of;
	Shared		before;
	HeapTuple	row = begin_row(&of, new->root, &before);

	values[SHARED_ROOT - 1] = SyncBytea(new->root, CORE_KEY_BYTES);
	values[SHARED_TABLE - 1] = ObjectIdGetDatum(new->table);
	nulls[SHARED_TABLE - 1] = !OidIsValid(new->table);
	values[SHARED_LEAVING - 1] = BoolGetDatum(new->leave);
	values[SHARED_PAUSED - 1] = BoolGetDatum(false);
	values[SHARED_SINCE - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	if (new->name)
		values[SHARED_NAME - 1] = CStringGetTextDatum(new->name);
	/* who leaves is whose table it was */
	if (new->leave && of.readable)
		new->role = owner_of(before.table);
	values[SHARED_ROLE - 1] = ObjectIdGetDatum(new->role);
	nulls[SHARED_ROLE - 1] = !OidIsValid(new->role);
	replace[SHARED_ROLE - 1] = replace[SHARED_SINCE - 1] = true;
	replace[SHARED_LEAVING - 1] = replace[SHARED_PAUSED - 1] = true;
	replace[SHARED_NAME - 1] = new->name != NULL;
	replace[SHARED_TABLE - 1] = new->leave || OidIsValid(new->table);
	if (row)
		SyncTableUpdate(&of.table, row, values, nulls, replace);
	else if (!new->leave)
		SyncTableInsert(&of.table, values, nulls);
	end_row(&of);
}

bool
SyncFindRoot(Oid table, uint8_t root[CORE_KEY_BYTES])
{
	SharedList *list = palloc(sizeof(SharedList));
	bool		found = false;

	if (in_transaction(list_shared, list))
		for (int i = 0; i < list->n && !found; i++)
			if (list->row[i].table == table && !list->row[i].leaving)
			{
				memcpy(root, list->row[i].root, CORE_KEY_BYTES);
				found = true;
			}
	pfree(list);
	return found;
}

bool
SyncFindTable(const uint8_t root[CORE_KEY_BYTES], Oid *table)
{
	SharedList *list = palloc(sizeof(SharedList));
	bool		found = !in_transaction(list_shared, list);

	*table = InvalidOid;
	for (int i = 0; !found && i < list->n; i++)
		if (memcmp(list->row[i].root, root, CORE_KEY_BYTES) == 0)
		{
			*table = list->row[i].table;
			found = true;
		}
	pfree(list);
	return found;
}

/* ---------------------------------------------------------------------------
 * Whose they are
 */

typedef struct Count
{
	Oid			role;
	SyncHolder *holder;
} Count;

static void
count_held(void *arg)
{
	Count	   *count = arg;
	SharedList *list = palloc(sizeof(SharedList));
	char	   *name = GetUserNameFromId(count->role, true);

	list_shared(list);
	for (int i = 0; i < list->n; i++)
	{
		const Shared *shared = &list->row[i];

		count->holder->n += holder_of(shared) == count->role;
	}
	count->holder->superuser = superuser_arg(count->role);
	strlcpy(count->holder->name, name ? name : "?", NAMEDATALEN);
}

bool
SyncCountHeld(Oid role, SyncHolder *out)
{
	Count		count = {role, out};

	memset(out, 0, sizeof(*out));
	return in_transaction(count_held, &count);
}

typedef struct OwnerOf
{
	Oid			table;
	Oid			owner;
	Oid			share;
} OwnerOf;

static void
find_owner(void *arg)
{
	OwnerOf    *find = arg;

	find->owner = owner_of(find->table);
	find->share = SyncShareOf(find->owner, superuser_arg(find->owner));
}

bool
SyncTableOwner(Oid table, Oid *owner, Oid *share)
{
	OwnerOf		find = {table};

	if (!in_transaction(find_owner, &find))
		return false;
	*owner = find.owner;
	*share = find.share;
	return OidIsValid(*owner);
}

/* ---------------------------------------------------------------------------
 * What has changed
 */

/*
 * What shows the leave stays: who lets this node in again may not have heard of it
 * (SyncLoadLeft).  The node calls it, so nothing is thrown here.
 */
void
SyncNoteLeft(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES])
{
	SyncLeft   *left = &self->left;
	uint8_t		proof[REASONS_MAX][GRANT_BYTES];
	int			n;

	/* more are not held, so more cannot wait; a row that stays is left again after a restart */
	if (left->n == NODE_COLLECTIONS)
		return;
	n = node_group_proof(self->node, node_clock(), root, proof);
	left->proof[left->n] = n == 0 ? NULL : MemoryContextAllocExtended(TopMemoryContext, (Size) n * GRANT_BYTES, MCXT_ALLOC_NO_OOM);
	if (left->proof[left->n])
		memcpy(left->proof[left->n], proof, (Size) n * GRANT_BYTES);
	left->n_proof[left->n] = left->proof[left->n] ? n : 0;
	memcpy(left->root[left->n++], root, CORE_KEY_BYTES);
}

static bool
delete_left(SyncLeft *left, int i)
{
	const uint8_t *kept[REASONS_MAX];

	for (int k = 0; k < left->n_proof[i]; k++)
		kept[k] = left->proof[i] + k * GRANT_BYTES;
	qsort(kept, (size_t) left->n_proof[i], sizeof(*kept), compare_statements);
	return delete_shared(left->root[i], true, kept, left->n_proof[i]);
}

static void
flush(void *arg)
{
	SyncWorker *self = arg;
	const uint8_t **held = palloc(sizeof(*held) * MEMBERSHIP_ROOM);
	SyncTable	table;

	for (int i = 0; i < self->left.n; i++)
		self->left.gone[i] = delete_left(&self->left, i);
	SyncTableOpen(&table, SYNC_MEMBERSHIP_STATEMENT, true, false);
	for (int i = 0; i < node_group_count(self->node); i++)
	{
		const uint8_t *root;
		int			n;

		if (!node_group_unsaved(self->node, i, &root))
			continue;
		n = node_group_statements(self->node, i, held, MEMBERSHIP_ROOM);
		qsort(held, (size_t) n, sizeof(*held), compare_statements);
		write_statements(&table, root, held, n);
		SyncWriteChanges(root, node_group_changes(self->node, i));
	}
	SyncTableClose(&table);
}

static void
saved(SyncWorker *self)
{
	/* only now, when the rows are gone for good */
	for (int i = 0; i < self->left.n; i++)
	{
		if (self->left.gone[i])
			SyncRemoveRoot(self, self->left.root[i]);
		if (self->left.proof[i])
			pfree(self->left.proof[i]);
	}
	self->left.n = 0;
	node_groups_saved(self->node);
}

bool
SyncFlush(SyncWorker *self)
{
	bool		unsaved = self->left.n > 0;
	const uint8_t *root;

	for (int i = 0; i < node_group_count(self->node) && !unsaved; i++)
		unsaved = node_group_unsaved(self->node, i, &root);
	if (!unsaved)
		return true;
	if (!in_transaction(flush, self))
		return false;
	saved(self);
	return true;
}

/* The row and the statements at once: of one that could not be written nothing is left. */
static void
put_and_flush(void *arg)
{
	NewCollection *new = arg;

	put_collection(new);
	flush(new->worker);
}

static bool
put_collection_now(SyncWorker *self, NewCollection *new)
{
	if (!in_transaction(put_and_flush, new))
		return false;
	saved(self);
	return true;
}

bool
SyncAddCollection(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES], Oid table, const char *name, Oid role)
{
	NewCollection new = {self, root, table, name, role};

	return put_collection_now(self, &new);
}

typedef struct Pause
{
	const uint8_t *root;
	bool		paused;
} Pause;

static void
put_pause(void *arg)
{
	Pause	   *pause = arg;
	Datum		values[SHARED_COLUMNS] = {0};
	bool		nulls[SHARED_COLUMNS] = {false};
	bool		replace[SHARED_COLUMNS] = {false};
	RowOf		of;
	Shared		before;
	HeapTuple	row = begin_row(&of, pause->root, &before);

	values[SHARED_PAUSED - 1] = BoolGetDatum(pause->paused);
	replace[SHARED_PAUSED - 1] = true;
	if (row)
		SyncTableUpdate(&of.table, row, values, nulls, replace);
	end_row(&of);
}

bool
SyncMarkPaused(const uint8_t root[CORE_KEY_BYTES], bool paused)
{
	return in_transaction(put_pause, &(Pause) {root, paused});
}

bool
SyncMarkLeaving(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES])
{
	NewCollection new = {self, root, .leave = true};

	return put_collection_now(self, &new);
}
