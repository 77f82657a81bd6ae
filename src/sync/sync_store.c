/*
 * sync_store.c
 *	  What a node's worker keeps: collections and statements in tables of the
 *	  extension; keys of collections, the routing table and the record's
 *	  sequence number in files.
 *
 * Every access to a table is a transaction of its own, with a timeout: a table
 * that somebody has locked costs a second, not the node.  What could not be
 * written stays noted and is tried again.
 *
 * The tables' data are in no dump: a dump carries rows, not membership, and never
 * makes a second node of the same key.
 */
#include "sync/sync_worker.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/file_perm.h"
#include "core/bytes.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "sync/saved_table.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

/* Statements that wait to be written: more are lost, and come again from others. */
#define MAX_NOTES 4096

typedef struct Note
{
	bool		left;			/* else a statement */
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		statement[GRANT_BYTES];
} Note;

static Note notes[MAX_NOTES];
static int	nnotes;
static bool notes_lost;

/* ---------------------------------------------------------------------------
 * A transaction
 */

typedef void (*Work) (void *arg);

/*
 * Run some work in a transaction, SPI connected.  False, after a line in the log,
 * when it failed; nothing of it is left then.  Memory is that of the transaction.
 */
static bool
in_transaction(Work work, void *arg)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool ok = false;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		sync_worker.in_sql = true;
		enable_timeout_after(STATEMENT_TIMEOUT, SYNC_STATEMENT_MS);
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "could not connect to SPI");
		PushActiveSnapshot(GetTransactionSnapshot());
		work(arg);
		PopActiveSnapshot();
		SPI_finish();
		disable_timeout(STATEMENT_TIMEOUT, false);
		sync_worker.in_sql = false;
		CommitTransactionCommand();
		ok = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		sync_worker.in_sql = false;
		disable_timeout(STATEMENT_TIMEOUT, false);
		QueryCancelPending = false;
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return ok;
}

static Datum
bytea_datum(const void *bytes, size_t len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), bytes, len);
	return PointerGetDatum(value);
}

static void
run(const char *text, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	int			rc = SPI_execute_with_args(text, nargs, types, values, nulls, expected == SPI_OK_SELECT, 0);

	if (rc != expected)
		elog(ERROR, "statement of the node worker returned %s", SPI_result_code_string(rc));
}

/* A column of bytes of exactly this length, or NULL. */
static const uint8_t *
bytes_column(uint64 row, int column, size_t len)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	bytea	   *bytes;

	if (isnull)
		return NULL;
	bytes = DatumGetByteaPP(value);
	return VARSIZE_ANY_EXHDR(bytes) == len ? (const uint8_t *) VARDATA_ANY(bytes) : NULL;
}

/* ---------------------------------------------------------------------------
 * The extension
 */

static void
find_extension(void *arg)
{
	SyncExtension *state = arg;

	if (!OidIsValid(get_extension_oid("vecdb", true)))
		*state = SYNC_EXTENSION_ABSENT;
	else
	{
		Oid			schema = get_namespace_oid("vecdb", true);

		*state = OidIsValid(schema) && OidIsValid(get_relname_relid("shared_collection", schema)) ?
			SYNC_EXTENSION_THERE : SYNC_EXTENSION_OLD;
	}
}

SyncExtension
SyncFindExtension(void)
{
	SyncExtension state = SYNC_EXTENSION_UNKNOWN;

	return in_transaction(find_extension, &state) ? state : SYNC_EXTENSION_UNKNOWN;
}

/* ---------------------------------------------------------------------------
 * Collections and statements
 */

typedef struct Loaded
{
	int			n;
	struct
	{
		uint8_t		root[CORE_KEY_BYTES];
		Oid			table;
		bool		leaving;
		char		name[NODE_NAME];
	}			row[NODE_COLLECTIONS];
} Loaded;

static void
load_collections(void *arg)
{
	Loaded	   *loaded = arg;

	run("SELECT root, \"table\", name, leaving FROM vecdb.shared_collection ORDER BY root LIMIT 1024",
		0, NULL, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed && loaded->n < NODE_COLLECTIONS; i++)
	{
		const uint8_t *root = bytes_column(i, 1, CORE_KEY_BYTES);
		bool		isnull;
		Datum		table = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);
		char	   *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3);
		bool		leaving_null;
		Datum		leaving = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 4, &leaving_null);

		if (!root)
			continue;
		memcpy(loaded->row[loaded->n].root, root, CORE_KEY_BYTES);
		loaded->row[loaded->n].table = isnull ? InvalidOid : DatumGetObjectId(table);
		loaded->row[loaded->n].leaving = !leaving_null && DatumGetBool(leaving);
		strlcpy(loaded->row[loaded->n].name, name ? name : "", NODE_NAME);
		loaded->n++;
	}
}

/* The statements of a collection; what is of no use any more is deleted. */
static void
load_statements(void *arg)
{
	const uint8_t *root = arg;
	Oid			types[2] = {BYTEAOID, BYTEAOID};
	Datum		values[2] = {bytea_datum(root, CORE_KEY_BYTES)};
	const uint8_t **statement;
	bool	   *kept;
	int			n;
	SPITupleTable *table;

	run("SELECT statement FROM vecdb.membership_statement WHERE root = $1 LIMIT 16384",
		1, types, values, NULL, SPI_OK_SELECT);
	n = (int) SPI_processed;
	table = SPI_tuptable;
	statement = palloc0(sizeof(*statement) * (n + 1));
	kept = palloc0(sizeof(*kept) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		SPI_tuptable = table;
		statement[i] = bytes_column(i, 1, GRANT_BYTES);
		if (!statement[i])
			elog(ERROR, "a row of vecdb.membership_statement is no statement");
	}
	node_group_statements(sync_worker.node, node_clock(), root, statement, n, kept);
	for (int i = 0; i < n; i++)
	{
		if (kept[i])
			continue;
		values[1] = bytea_datum(statement[i], GRANT_BYTES);
		run("DELETE FROM vecdb.membership_statement WHERE root = $1 AND statement = $2", 2, types, values, NULL, SPI_OK_DELETE);
	}
}

bool
SyncLoad(void)
{
	Loaded	   *loaded = MemoryContextAllocZero(CurrentMemoryContext, sizeof(Loaded));
	bool		ok = in_transaction(load_collections, loaded);

	for (int i = 0; ok && i < loaded->n; i++)
	{
		uint8_t		secret[CORE_SECRET_BYTES];
		bool		has_secret = SyncReadRoot(loaded->row[i].root, secret);

		ok = node_group_load(sync_worker.node, node_clock(), loaded->row[i].root, has_secret ? secret : NULL,
							 loaded->row[i].table, loaded->row[i].name, loaded->row[i].leaving) == NODE_OK &&
			in_transaction(load_statements, loaded->row[i].root);
		sodium_memzero(secret, sizeof(secret));
	}
	pfree(loaded);
	return ok && SyncRebind();
}

static void
rebind(void *arg)
{
	SPITupleTable *table;
	uint64		n;

	/* vecdb.describe() gives a row only for what is a collection */
	run("SELECT s.root, s.\"table\", c.relname::text, "
		"concat_ws(' ', c.relname, d.dimensions, d.metric, d.index_type, d.storage, coalesce(d.m, 0), coalesce(d.ef_construction, 0), d.filter_index::int), "
		"c.oid IS NOT NULL, d.dimensions IS NOT NULL "
		"FROM vecdb.shared_collection s LEFT JOIN pg_catalog.pg_class c ON c.oid = s.\"table\" "
		"LEFT JOIN LATERAL vecdb.describe(c.oid) d ON true WHERE s.\"table\" IS NOT NULL AND NOT s.leaving",
		0, NULL, NULL, NULL, SPI_OK_SELECT);
	table = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		const uint8_t *root;
		bool		isnull;
		Oid			oid;
		char	   *name;
		char	   *description;
		bool		there;
		bool		described;

		SPI_tuptable = table;
		root = bytes_column(i, 1, CORE_KEY_BYTES);
		if (!root)
			continue;
		oid = DatumGetObjectId(SPI_getbinval(table->vals[i], table->tupdesc, 2, &isnull));
		name = SPI_getvalue(table->vals[i], table->tupdesc, 3);
		description = SPI_getvalue(table->vals[i], table->tupdesc, 4);
		there = DatumGetBool(SPI_getbinval(table->vals[i], table->tupdesc, 5, &isnull));
		described = DatumGetBool(SPI_getbinval(table->vals[i], table->tupdesc, 6, &isnull));
		if (there)
			node_group_bind(sync_worker.node, node_clock(), root, oid, name, (const uint8_t *) description,
							described && description ? strlen(description) : 0);
		else
		{
			Oid			type = BYTEAOID;
			Datum		value = bytea_datum(root, CORE_KEY_BYTES);

			ereport(LOG, (errmsg("a shared collection was dropped: this node does not hold it any more")));
			run("DELETE FROM vecdb.membership_statement WHERE root = $1", 1, &type, &value, NULL, SPI_OK_DELETE);
			run("DELETE FROM vecdb.shared_collection WHERE root = $1", 1, &type, &value, NULL, SPI_OK_DELETE);
			node_group_forget(sync_worker.node, node_clock(), root);
		}
	}
}

bool
SyncRebind(void)
{
	return in_transaction(rebind, NULL);
}

typedef struct NewCollection
{
	const uint8_t *root;
	Oid			table;
	const char *name;
	bool		found;
	uint8_t		found_root[CORE_KEY_BYTES];
} NewCollection;

static void
add_collection(void *arg)
{
	NewCollection *new = arg;
	Oid			types[3] = {BYTEAOID, OIDOID, TEXTOID};
	Datum		values[3] = {bytea_datum(new->root, CORE_KEY_BYTES), ObjectIdGetDatum(new->table),
	CStringGetTextDatum(new->name)};
	char		nulls[3] = {' ', OidIsValid(new->table) ? ' ' : 'n', ' '};

	run("INSERT INTO vecdb.shared_collection AS s (root, \"table\", name) VALUES ($1, $2, $3) "
		"ON CONFLICT (root) DO UPDATE SET leaving = false, \"table\" = coalesce(excluded.\"table\", s.\"table\"), name = excluded.name",
		3, types, values, nulls, SPI_OK_INSERT);
}

bool
SyncAddCollection(const uint8_t root[CORE_KEY_BYTES], Oid table, const char *name)
{
	NewCollection new = {root, table, name};

	return in_transaction(add_collection, &new);
}

static void
mark_leaving(void *arg)
{
	Oid			type = BYTEAOID;
	Datum		value = bytea_datum(arg, CORE_KEY_BYTES);

	run("UPDATE vecdb.shared_collection SET leaving = true, \"table\" = NULL WHERE root = $1", 1, &type, &value, NULL, SPI_OK_UPDATE);
}

bool
SyncMarkLeaving(const uint8_t root[CORE_KEY_BYTES])
{
	return in_transaction(mark_leaving, (void *) root);
}

static void
find_root(void *arg)
{
	NewCollection *new = arg;
	Oid			type = OIDOID;
	Datum		value = ObjectIdGetDatum(new->table);

	run("SELECT root FROM vecdb.shared_collection WHERE \"table\" = $1 AND NOT leaving", 1, &type, &value, NULL, SPI_OK_SELECT);
	if (SPI_processed > 0)
	{
		const uint8_t *root = bytes_column(0, 1, CORE_KEY_BYTES);

		new->found = root != NULL;
		if (root)
			memcpy(new->found_root, root, CORE_KEY_BYTES);
	}
}

bool
SyncFindRoot(Oid table, uint8_t root[CORE_KEY_BYTES])
{
	NewCollection new = {NULL, table, NULL};

	if (!in_transaction(find_root, &new) || !new.found)
		return false;
	memcpy(root, new.found_root, CORE_KEY_BYTES);
	return true;
}

/* ---------------------------------------------------------------------------
 * Notes
 */

static void
note(bool left, const uint8_t *root, const uint8_t *statement)
{
	if (nnotes == MAX_NOTES)
	{
		notes_lost = true;
		return;
	}
	notes[nnotes].left = left;
	memcpy(notes[nnotes].root, root, CORE_KEY_BYTES);
	if (statement)
		memcpy(notes[nnotes].statement, statement, GRANT_BYTES);
	nnotes++;
}

void
SyncNoteStatement(const uint8_t root[CORE_KEY_BYTES], const uint8_t *statement)
{
	note(false, root, statement);
}

void
SyncNoteLeft(const uint8_t root[CORE_KEY_BYTES])
{
	note(true, root, NULL);
}

static void
flush_notes(void *arg)
{
	Oid			types[2] = {BYTEAOID, BYTEAOID};

	for (int i = 0; i < nnotes; i++)
	{
		Datum		values[2] = {bytea_datum(notes[i].root, CORE_KEY_BYTES),
		bytea_datum(notes[i].statement, GRANT_BYTES)};

		if (notes[i].left)
		{
			run("DELETE FROM vecdb.membership_statement WHERE root = $1", 1, types, values, NULL, SPI_OK_DELETE);
			run("DELETE FROM vecdb.shared_collection WHERE root = $1 AND leaving", 1, types, values, NULL, SPI_OK_DELETE);
		}
		else
			run("INSERT INTO vecdb.membership_statement (root, statement) VALUES ($1, $2) ON CONFLICT DO NOTHING",
				2, types, values, NULL, SPI_OK_INSERT);
	}
}

bool
SyncFlushNotes(void)
{
	if (notes_lost)
		ereport(LOG, (errmsg("statements about collections could not be kept: others will send them again")));
	notes_lost = false;
	if (nnotes > 0 && !in_transaction(flush_notes, NULL))
		return false;
	nnotes = 0;
	return true;
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

static void
root_file_name(const uint8_t *root, char *out, size_t room)
{
	char		hex[2 * CORE_KEY_BYTES + 1];

	sodium_bin2hex(hex, sizeof(hex), root, CORE_KEY_BYTES);
	snprintf(out, room, "collection-%.32s.key", hex);
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
	bool		ok;

	root_file_name(root, name, sizeof(name));
	ok = read_file(name, seed, sizeof(seed)) == CORE_SEED_BYTES &&
		crypto_sign_seed_keypair(key, secret, seed) == 0 && memcmp(key, root, CORE_KEY_BYTES) == 0;
	sodium_memzero(seed, sizeof(seed));
	return ok;
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
