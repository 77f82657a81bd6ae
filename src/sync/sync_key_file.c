/*
 * sync_key_file.c
 *	  Keys of collections whose root this node is: a file for each, named by the
 *	  first bytes of the root.  It is written before the collection's row and removed
 *	  after it; what a crash leaves between the two is swept.
 */
#include "sync/sync_worker.h"

#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "miscadmin.h"
#include "node/node_table.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "worker/worker.h"

/* A key file is named by so much of its root. */
#define ROOT_NAME_BYTES 16

static void
root_file_name(const uint8_t *root, char *out, size_t room)
{
	char		hex[2 * ROOT_NAME_BYTES + 1];

	snprintf(out, room, "collection-%s.key", bytes_hex(root, ROOT_NAME_BYTES, hex));
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
SyncSaveRoot(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES], const uint8_t seed[CORE_SEED_BYTES])
{
	char		name[80];

	root_file_name(root, name, sizeof(name));
	return SyncWriteFile(self, name, seed, CORE_SEED_BYTES);
}

bool
SyncReadRoot(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES], uint8_t secret[CORE_SECRET_BYTES])
{
	char		name[80];
	uint8_t		seed[CORE_SEED_BYTES + 1];
	uint8_t		key[CORE_KEY_BYTES];
	ssize_t		n;
	bool		ok;

	root_file_name(root, name, sizeof(name));
	n = SyncReadFile(self, name, seed, sizeof(seed));
	ok = n == CORE_SEED_BYTES && crypto_sign_seed_keypair(key, secret, seed) == 0 && memcmp(key, root, CORE_KEY_BYTES) == 0;
	if (n >= 0 && !ok)
		ereport(LOG,
				(errmsg("file \"%s/%s\" does not hold the key of its collection", self->dir, name),
				 errdetail("The node goes on without the rights of the collection's root. Stop it and restore the file.")));
	sodium_memzero(seed, sizeof(seed));
	return ok;
}

/* Once the collection is not held any more.  What is not there need not go. */
void
SyncRemoveRoot(SyncWorker *self, const uint8_t root[CORE_KEY_BYTES])
{
	char		name[80];
	char		path[MAXPGPATH];

	root_file_name(root, name, sizeof(name));
	snprintf(path, sizeof(path), "%s/%s", self->dir, name);
	if (unlink(path) < 0 && errno != ENOENT)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", path)));
}

/* The extension is gone, and with it the rows of all collections. */
void
SyncRemoveRoots(SyncWorker *self)
{
	const uint8_t *root;

	for (int i = 0; i < node_group_count(self->node); i++)
	{
		(void) node_group_unsaved(self->node, i, &root);
		SyncRemoveRoot(self, root);
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
	SyncWorker *self = arg;
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
	dir = AllocateDir(self->dir);
	while ((entry = ReadDir(dir, self->dir)) != NULL)
	{
		uint8_t		root[ROOT_NAME_BYTES];
		struct stat st;
		bool		held = false;

		CHECK_FOR_INTERRUPTS();
		if (!parse_root_file_name(entry->d_name, root))
			continue;
		snprintf(path, sizeof(path), "%s/%s", self->dir, entry->d_name);
		if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_mtime < made.st_mtime)
			continue;
		for (int i = 0; i < node_group_count(self->node) && !held; i++)
		{
			const uint8_t *other;

			(void) node_group_unsaved(self->node, i, &other);
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
SyncSweepRoots(SyncWorker *self)
{
	return WorkerTransaction(SYNC_STATEMENT_MS, sweep_roots, self);
}
