/*
 * sync_file.c
 *	  Files in the worker's directory (vecdb/OID below the data directory): written
 *	  whole or not at all; the routing table and the record's last sequence number.
 *	  Keys of collections are sync_key_file.c's.
 */
#include "sync/sync_worker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "core/bytes.h"
#include "miscadmin.h"
#include "net/saved_table.h"
#include "storage/fd.h"

bool
SyncMakeDirectory(SyncWorker *self)
{
	const char *const dirs[] = {"vecdb", self->dir};

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

bool
SyncWriteFile(SyncWorker *self, const char *name, const void *bytes, size_t len)
{
	char		path[MAXPGPATH];
	char		temporary[MAXPGPATH + 8];
	int			fd;
	bool		ok;

	snprintf(path, sizeof(path), "%s/%s", self->dir, name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	/* a file of ours: what a crash has left, or a link that somebody has put there, goes */
	if (unlink(temporary) < 0 && errno != ENOENT)
	{
		ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", temporary)));
		return false;
	}
	fd = OpenTransientFilePerm(temporary, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY, S_IRUSR | S_IWUSR);
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

ssize_t
SyncReadFile(SyncWorker *self, const char *name, void *bytes, size_t room)
{
	char		path[MAXPGPATH];
	int			fd;
	ssize_t		n;

	snprintf(path, sizeof(path), "%s/%s", self->dir, name);
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

void
SyncSaveTable(SyncWorker *self)
{
	uint8_t    *bytes = malloc(SAVED_TABLE_MAX);
	size_t		len;

	if (!bytes)
		return;
	len = saved_table_write(node_crypto(self->node), node_table(self->node),
							node_record(self->node)->network, bytes);
	/* nobody known is no reason to forget those who were */
	if (bytes_load(bytes + 4, 4) > 0)
		(void) SyncWriteFile(self, "nodes", bytes, len);
	free(bytes);
}

static void
meet(void *context, const uint8_t *record, size_t len)
{
	SyncWorker *self = context;

	(void) node_meet(self->node, node_clock(), record, len);
}

void
SyncReadTable(SyncWorker *self)
{
	uint8_t    *bytes = malloc(SAVED_TABLE_MAX + 1);
	ssize_t		len;

	if (!bytes)
		return;
	len = SyncReadFile(self, "nodes", bytes, SAVED_TABLE_MAX + 1);
	if (len >= 0 && saved_table_read(node_crypto(self->node), bytes, (size_t) len,
									 node_record(self->node)->network, meet, self) < 0)
		ereport(LOG,
				(errmsg("file \"%s/nodes\" is damaged: the nodes that it held are not asked", self->dir),
				 errdetail("It is written anew; until then vecdb.bootstrap has to lead to the network.")));
	free(bytes);
}

void
SyncSaveSeq(SyncWorker *self, uint64_t seq)
{
	uint8_t		bytes[8];

	bytes_store(bytes, 8, seq);
	(void) SyncWriteFile(self, "seq", bytes, sizeof(bytes));
}

uint64_t
SyncReadSeq(SyncWorker *self)
{
	uint8_t		bytes[9];

	return SyncReadFile(self, "seq", bytes, sizeof(bytes)) == 8 ? bytes_load(bytes, 8) : 0;
}
