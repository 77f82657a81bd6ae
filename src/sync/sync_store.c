/*
 * sync_store.c
 *	  What a node's worker keeps: collections and statements in tables of the
 *	  extension; keys of collections, the routing table and the record's
 *	  sequence number in files.
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

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "common/file_perm.h"
#include "core/bytes.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "net/saved_table.h"
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

/* Collections that were left, whose rows wait to be deleted; joined again they stay. */
static uint8_t left[NODE_COLLECTIONS][CORE_KEY_BYTES];
static bool left_gone[NODE_COLLECTIONS];
static int	n_left;

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

/*
 * The statements of a collection, in the order of their bytes, which is not that
 * of their depth: again until no more are taken.  The node decides which it
 * holds; the next flush deletes the others.
 */
static void
load_statements(void *arg)
{
	const uint8_t *root = arg;
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
			progress |= statement && node_group_add(sync_worker.node, node_clock(), root, statement);
			MemoryContextSwitchTo(old);
			MemoryContextReset(row_context);
		}
		systable_endscan_ordered(scan);
	}
	SyncTableClose(&table);
	node_group_loaded(sync_worker.node, node_clock(), root);
}

bool
SyncLoad(void)
{
	SharedList *list = palloc(sizeof(SharedList));
	bool		ok = in_transaction(list_shared, list);

	for (int i = 0; ok && i < list->n; i++)
	{
		uint8_t		secret[CORE_SECRET_BYTES];
		bool		has_secret = SyncReadRoot(list->row[i].root, secret);

		ok = node_group_load(sync_worker.node, node_clock(), list->row[i].root, has_secret ? secret : NULL,
							 list->row[i].table, list->row[i].name, list->row[i].leaving) == NODE_OK &&
			in_transaction(load_statements, list->row[i].root);
		node_group_owner(sync_worker.node, list->row[i].root, list->row[i].owner);
		sodium_memzero(secret, sizeof(secret));
	}
	pfree(list);
	return ok;
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

/* No rows of this collection any more; if only_leaving, unless it is held again.  False: it is. */
static bool
delete_shared(const uint8_t *root, bool only_leaving)
{
	SyncTable	table;
	SysScanDesc scan;
	HeapTuple	row;
	Shared		shared;
	bool		gone = true;

	SyncTableOpen(&table, SYNC_SHARED_COLLECTION, true, false);
	scan = SyncTableScan(&table, root);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(row))
	{
		gone = !only_leaving || (read_shared(&table, row, &shared) && shared.leaving);
		if (gone)
			SyncTableDelete(&table, row);
	}
	systable_endscan_ordered(scan);
	SyncTableClose(&table);
	if (!gone)
		return false;
	SyncTableOpen(&table, SYNC_MEMBERSHIP_STATEMENT, true, false);
	write_statements(&table, root, NULL, 0);
	SyncTableClose(&table);
	return true;
}

static void
delete_dropped(void *arg)
{
	(void) delete_shared(arg, false);
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
	SyncTable	table;
	SysScanDesc scan;
	HeapTuple	row;
	Shared		shared;

	SyncTableOpen(&table, SYNC_SHARED_COLLECTION, true, false);
	scan = SyncTableScan(&table, orphan->root);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	orphan->gone = HeapTupleIsValid(row) && read_shared(&table, row, &shared) && is_orphan(&shared) &&
		SyncTableTryRow(&table, row);
	systable_endscan_ordered(scan);
	SyncTableClose(&table);
	if (orphan->gone)
		(void) delete_shared(orphan->root, false);
}

/* To the network this node stays a member, as when a table is dropped: the same invitation lets it in again. */
static bool
give_back(const uint8_t *root)
{
	Orphan		orphan = {.root = root};

	if (!in_transaction(delete_orphan, &orphan))
		return false;
	if (orphan.gone)
	{
		ereport(LOG, (errmsg("a join came to nothing: this node does not hold the collection any more"),
					  errhint("The same invitation can be redeemed again.")));
		node_group_forget(sync_worker.node, node_clock(), root);
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
SyncRebind(void)
{
	SharedList *list = palloc(sizeof(SharedList));
	bool		ok = in_transaction(list_shared, list);
	bool		locked = false;

	for (int i = 0; ok && i < list->n; i++)
	{
		Shared	   *shared = &list->row[i];
		Description description = {.table = shared->table};
		char		name[NODE_NAME];

		node_group_owner(sync_worker.node, shared->root, shared->owner);
		if (is_orphan(shared))
			ok = give_back(shared->root);
		if (!OidIsValid(shared->table) || shared->leaving || !in_transaction(describe, &description))
			continue;
		switch (description.state)
		{
			case SYNC_DESCRIBED:
			case SYNC_NO_COLLECTION:
				strlcpy(name, description.words, Min(strcspn(description.words, " ") + 1, sizeof(name)));
				node_group_bind(sync_worker.node, node_clock(), shared->root, shared->table, name,
								(const uint8_t *) description.words,
								description.state == SYNC_DESCRIBED ? strlen(description.words) : 0);
				break;
			case SYNC_TABLE_LOCKED:
				/* what was known of its shape stays */
				node_group_bind(sync_worker.node, node_clock(), shared->root, shared->table, description.words, NULL, 0);
				locked = true;
				break;
			case SYNC_TABLE_GONE:
				ereport(LOG, (errmsg("a shared collection was dropped: this node does not hold it any more")));
				ok = in_transaction(delete_dropped, shared->root);
				if (ok)
				{
					node_group_forget(sync_worker.node, node_clock(), shared->root);
					SyncRemoveRoot(shared->root);
				}
				break;
		}
	}
	pfree(list);
	return ok && !locked;
}

typedef struct NewCollection
{
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
	SyncTable	table;
	SysScanDesc scan;
	HeapTuple	row;
	Shared		before;

	SyncTableOpen(&table, SYNC_SHARED_COLLECTION, true, false);
	scan = SyncTableScan(&table, new->root);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	values[SHARED_ROOT - 1] = SyncBytea(new->root, CORE_KEY_BYTES);
	values[SHARED_TABLE - 1] = ObjectIdGetDatum(new->table);
	nulls[SHARED_TABLE - 1] = !OidIsValid(new->table);
	values[SHARED_LEAVING - 1] = BoolGetDatum(new->leave);
	values[SHARED_SINCE - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	if (new->name)
		values[SHARED_NAME - 1] = CStringGetTextDatum(new->name);
	/* who leaves is whose table it was */
	if (new->leave && HeapTupleIsValid(row) && read_shared(&table, row, &before))
		new->role = owner_of(before.table);
	values[SHARED_ROLE - 1] = ObjectIdGetDatum(new->role);
	nulls[SHARED_ROLE - 1] = !OidIsValid(new->role);
	replace[SHARED_ROLE - 1] = replace[SHARED_SINCE - 1] = true;
	replace[SHARED_LEAVING - 1] = true;
	replace[SHARED_NAME - 1] = new->name != NULL;
	replace[SHARED_TABLE - 1] = new->leave || OidIsValid(new->table);
	if (HeapTupleIsValid(row))
		SyncTableUpdate(&table, row, values, nulls, replace);
	else if (!new->leave)
		SyncTableInsert(&table, values, nulls);
	systable_endscan_ordered(scan);
	SyncTableClose(&table);
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
} OwnerOf;

static void
find_owner(void *arg)
{
	OwnerOf    *find = arg;

	find->owner = owner_of(find->table);
}

bool
SyncTableOwner(Oid table, Oid *owner)
{
	OwnerOf		find = {table, InvalidOid};

	if (!in_transaction(find_owner, &find))
		return false;
	*owner = find.owner;
	return OidIsValid(*owner);
}

/* ---------------------------------------------------------------------------
 * What has changed
 */

void
SyncNoteLeft(const uint8_t root[CORE_KEY_BYTES])
{
	/* more are not held, so more cannot wait; a row that stays is left again after a restart */
	if (n_left < NODE_COLLECTIONS)
		memcpy(left[n_left++], root, CORE_KEY_BYTES);
}

static void
flush(void *arg)
{
	const uint8_t **held = palloc(sizeof(*held) * MEMBERSHIP_ROOM);
	SyncTable	table;

	for (int i = 0; i < n_left; i++)
		left_gone[i] = delete_shared(left[i], true);
	SyncTableOpen(&table, SYNC_MEMBERSHIP_STATEMENT, true, false);
	for (int i = 0; i < node_group_count(sync_worker.node); i++)
	{
		const uint8_t *root;
		int			n;

		if (!node_group_unsaved(sync_worker.node, i, &root))
			continue;
		n = node_group_statements(sync_worker.node, i, held, MEMBERSHIP_ROOM);
		qsort(held, (size_t) n, sizeof(*held), compare_statements);
		write_statements(&table, root, held, n);
	}
	SyncTableClose(&table);
}

static void
saved(void)
{
	/* only now, when the rows are gone for good */
	for (int i = 0; i < n_left; i++)
		if (left_gone[i])
			SyncRemoveRoot(left[i]);
	n_left = 0;
	node_groups_saved(sync_worker.node);
}

bool
SyncFlush(void)
{
	bool		unsaved = n_left > 0;
	const uint8_t *root;

	for (int i = 0; i < node_group_count(sync_worker.node) && !unsaved; i++)
		unsaved = node_group_unsaved(sync_worker.node, i, &root);
	if (!unsaved)
		return true;
	if (!in_transaction(flush, NULL))
		return false;
	saved();
	return true;
}

/* The row and the statements at once: of one that could not be written nothing is left. */
static void
put_and_flush(void *arg)
{
	put_collection(arg);
	flush(NULL);
}

static bool
put_collection_now(NewCollection *new)
{
	if (!in_transaction(put_and_flush, new))
		return false;
	saved();
	return true;
}

bool
SyncAddCollection(const uint8_t root[CORE_KEY_BYTES], Oid table, const char *name, Oid role)
{
	NewCollection new = {root, table, name, role};

	return put_collection_now(&new);
}

bool
SyncMarkLeaving(const uint8_t root[CORE_KEY_BYTES])
{
	NewCollection new = {root, .leave = true};

	return put_collection_now(&new);
}

/* ---------------------------------------------------------------------------
 * Files
 */

bool
SyncMakeDirectory(void)
{
	const char *const dirs[] = {"vecdb", sync_worker.dir};

	for (int i = 0; i < (int) lengthof(dirs); i++)
	{
		if (MakePGDirectory(dirs[i]) < 0 && errno != EEXIST)
		{
			ereport(LOG, (errcode_for_file_access(), errmsg("could not create directory \"%s\": %m", dirs[i])));
			return false;
		}
	}
	return true;
}

/* Whole or not at all.  False after a line in the log. */
static bool
write_file(const char *name, const void *bytes, size_t len)
{
	char		path[MAXPGPATH];
	char		temporary[MAXPGPATH + 8];
	int			fd;
	bool		ok;

	snprintf(path, sizeof(path), "%s/%s", sync_worker.dir, name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = OpenTransientFilePerm(temporary, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY, S_IRUSR | S_IWUSR);
	if (fd < 0)
	{
		ereport(LOG, (errcode_for_file_access(), errmsg("could not create file \"%s\": %m", temporary)));
		return false;
	}
	errno = 0;
	ok = write(fd, bytes, len) == (ssize_t) len && pg_fsync(fd) == 0;
	if (!ok)
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(LOG, (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", temporary)));
	}
	CloseTransientFile(fd);
	return ok && durable_rename(temporary, path, LOG) == 0;
}

/* Bytes read, -1 when there is none (or, after a line in the log, it cannot be read). */
static ssize_t
read_file(const char *name, void *bytes, size_t room)
{
	char		path[MAXPGPATH];
	int			fd;
	ssize_t		n;

	snprintf(path, sizeof(path), "%s/%s", sync_worker.dir, name);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
	{
		if (errno != ENOENT)
			ereport(LOG, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
		return -1;
	}
	n = read(fd, bytes, room);
	if (n < 0)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", path)));
	CloseTransientFile(fd);
	return n;
}

/* A key file is named by so much of its root. */
#define ROOT_NAME_BYTES 16

static void
root_file_name(const uint8_t *root, char *out, size_t room)
{
	char		hex[2 * ROOT_NAME_BYTES + 1];

	sodium_bin2hex(hex, sizeof(hex), root, ROOT_NAME_BYTES);
	snprintf(out, room, "collection-%s.key", hex);
}

/* The first bytes of the root, from the name of its key file or of one that was being written. */
static bool
parse_root_file_name(const char *name, uint8_t root[ROOT_NAME_BYTES])
{
	static const char head[] = "collection-";
	size_t		n;
	const char *tail;

	if (strncmp(name, head, strlen(head)) != 0 ||
		strnlen(name, strlen(head) + 2 * ROOT_NAME_BYTES) < strlen(head) + 2 * ROOT_NAME_BYTES ||
		sodium_hex2bin(root, ROOT_NAME_BYTES, name + strlen(head), 2 * ROOT_NAME_BYTES, NULL, &n, NULL) != 0 ||
		n != ROOT_NAME_BYTES)
		return false;
	tail = name + strlen(head) + 2 * ROOT_NAME_BYTES;
	return strcmp(tail, ".key") == 0 || strcmp(tail, ".key.new") == 0;
}

/* The seed of a collection's root key, as it is: 32 bytes. */
bool
SyncSaveRoot(const uint8_t root[CORE_KEY_BYTES], const uint8_t seed[CORE_SEED_BYTES])
{
	char		name[80];

	root_file_name(root, name, sizeof(name));
	return write_file(name, seed, CORE_SEED_BYTES);
}

bool
SyncReadRoot(const uint8_t root[CORE_KEY_BYTES], uint8_t secret[CORE_SECRET_BYTES])
{
	char		name[80];
	uint8_t		seed[CORE_SEED_BYTES + 1];
	uint8_t		key[CORE_KEY_BYTES];
	ssize_t		n;
	bool		ok;

	root_file_name(root, name, sizeof(name));
	n = read_file(name, seed, sizeof(seed));
	ok = n == CORE_SEED_BYTES && crypto_sign_seed_keypair(key, secret, seed) == 0 && memcmp(key, root, CORE_KEY_BYTES) == 0;
	if (n >= 0 && !ok)
		ereport(LOG,
				(errmsg("file \"%s/%s\" does not hold the key of its collection", sync_worker.dir, name),
				 errdetail("The node goes on without the rights of the collection's root. Stop it and restore the file.")));
	sodium_memzero(seed, sizeof(seed));
	return ok;
}

/* Once the collection is not held any more.  What is not there need not go. */
void
SyncRemoveRoot(const uint8_t root[CORE_KEY_BYTES])
{
	char		name[80];
	char		path[MAXPGPATH];

	root_file_name(root, name, sizeof(name));
	snprintf(path, sizeof(path), "%s/%s", sync_worker.dir, name);
	if (unlink(path) < 0 && errno != ENOENT)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", path)));
}

/* The extension is gone, and with it the rows of all collections. */
void
SyncRemoveRoots(void)
{
	const uint8_t *root;

	for (int i = 0; i < node_group_count(sync_worker.node); i++)
	{
		(void) node_group_unsaved(sync_worker.node, i, &root);
		SyncRemoveRoot(root);
	}
}

/*
 * A crash between the file and the row of a new collection, or between the end of
 * a row and that of its file, leaves a key behind that nobody holds; so does the
 * extension when it is dropped while no worker runs.
 *
 * No file goes whose root has a row, looked up one by one: list_shared() ends
 * before all rows are seen.  Nor does one that the node holds in memory.  Nor one
 * that is older than the database: somebody has brought it here from another, where
 * its row may have stayed, and it may be the only copy.
 */
static void
sweep_roots(void *arg)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "vecdb key file", ALLOCSET_SMALL_SIZES);
	MemoryContext old = CurrentMemoryContext;
	char		path[MAXPGPATH];
	struct stat made;
	SyncTable	table;
	DIR		   *dir;
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s/PG_VERSION", DatabasePath);
	if (stat(path, &made) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not stat file \"%s\": %m", path)));
	SyncTableOpen(&table, SYNC_SHARED_COLLECTION, false, false);
	dir = AllocateDir(sync_worker.dir);
	while ((entry = ReadDir(dir, sync_worker.dir)) != NULL)
	{
		uint8_t		root[ROOT_NAME_BYTES];
		struct stat st;
		bool		held = false;

		CHECK_FOR_INTERRUPTS();
		if (!parse_root_file_name(entry->d_name, root))
			continue;
		snprintf(path, sizeof(path), "%s/%s", sync_worker.dir, entry->d_name);
		if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_mtime < made.st_mtime)
			continue;
		for (int i = 0; i < node_group_count(sync_worker.node) && !held; i++)
		{
			const uint8_t *other;

			(void) node_group_unsaved(sync_worker.node, i, &other);
			held = memcmp(other, root, ROOT_NAME_BYTES) == 0;
		}
		MemoryContextSwitchTo(row_context);
		held = held || SyncTableHasRoot(&table, root, ROOT_NAME_BYTES);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
		if (held)
			continue;
		if (unlink(path) == 0)
			ereport(LOG, (errmsg("removed file \"%s\": this database does not hold its collection", path)));
		else
			ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", path)));
	}
	FreeDir(dir);
	SyncTableClose(&table);
}

bool
SyncSweepRoots(void)
{
	return in_transaction(sweep_roots, NULL);
}

void
SyncSaveTable(void)
{
	uint8_t    *bytes = malloc(SAVED_TABLE_MAX);
	size_t		len;

	if (!bytes)
		return;
	len = saved_table_write(node_crypto(sync_worker.node), node_table(sync_worker.node),
							node_record(sync_worker.node)->network, bytes);
	/* nobody known is no reason to forget those who were */
	if (bytes_load(bytes + 4, 4) > 0)
		(void) write_file("nodes", bytes, len);
	free(bytes);
}

static void
meet(void *context, const uint8_t *record, size_t len)
{
	(void) node_meet(sync_worker.node, node_clock(), record, len);
}

void
SyncReadTable(void)
{
	uint8_t    *bytes = malloc(SAVED_TABLE_MAX + 1);
	ssize_t		len;

	if (!bytes)
		return;
	len = read_file("nodes", bytes, SAVED_TABLE_MAX + 1);
	if (len >= 0 && saved_table_read(node_crypto(sync_worker.node), bytes, (size_t) len,
									 node_record(sync_worker.node)->network, meet, NULL) < 0)
		ereport(LOG,
				(errmsg("file \"%s/nodes\" is damaged: the nodes that it held are not asked", sync_worker.dir),
				 errdetail("It is written anew; until then vecdb.bootstrap has to lead to the network.")));
	free(bytes);
}

void
SyncSaveSeq(uint64_t seq)
{
	uint8_t		bytes[8];

	bytes_store(bytes, 8, seq);
	(void) write_file("seq", bytes, sizeof(bytes));
}

uint64_t
SyncReadSeq(void)
{
	uint8_t		bytes[9];

	return read_file("seq", bytes, sizeof(bytes)) == 8 ? bytes_load(bytes, 8) : 0;
}
