/*
 * key_file.c
 *	  Reading and making of a node's key file.
 *
 * Secrets are wiped from every buffer before it is left.
 */
#include "net/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEED_AT 4
#define CURVE_AT (SEED_AT + CORE_SEED_BYTES)
#define HASH_AT (CURVE_AT + CORE_KEY_BYTES)
#define FILE_BYTES (HASH_AT + CORE_HASH_BYTES)

_Static_assert(FILE_BYTES == 100, "the fields of the file");

static const uint8_t magic[4] = {'v', 'n', 'k', '1'};

static bool
take_keys(const uint8_t *bytes, NodeKeys *keys)
{
	uint8_t		public[CORE_KEY_BYTES];

	memcpy(keys->curve_secret, bytes + CURVE_AT, CORE_KEY_BYTES);
	return crypto_sign_seed_keypair(public, keys->secret, bytes + SEED_AT) == 0 &&
		crypto_scalarmult_base(keys->curve_public, keys->curve_secret) == 0;
}

static bool
read_keys(int fd, const char *path, NodeKeys *keys, char *error, size_t room)
{
	uint8_t		bytes[FILE_BYTES + 1];
	uint8_t		hash[CORE_HASH_BYTES];
	struct stat st;
	ssize_t		n;
	bool		ok = false;

	if (fstat(fd, &st) != 0)
	{
		snprintf(error, room, "\"%s\": %s", path, strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode))
	{
		snprintf(error, room, "\"%s\" is no ordinary file", path);
		return false;
	}
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
	{
		snprintf(error, room, "\"%s\" has mode %04o and is open to others: make it 0600", path,
				 (unsigned) (st.st_mode & 07777));
		return false;
	}
	n = read(fd, bytes, sizeof bytes);
	if (n < 0)
	{
		snprintf(error, room, "\"%s\": %s", path, strerror(errno));
		return false;
	}
	if (n < (ssize_t) sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
		snprintf(error, room, "\"%s\" holds no keys of a node", path);
	else if (n != FILE_BYTES || (crypto_hash_sha256(hash, bytes, HASH_AT), memcmp(hash, bytes + HASH_AT, sizeof hash) != 0))
		snprintf(error, room, "\"%s\" is damaged: restore it, or remove it and be another node", path);
	else if (!take_keys(bytes, keys))
		snprintf(error, room, "\"%s\" holds a key that cannot be used", path);
	else
		ok = true;
	sodium_memzero(bytes, sizeof bytes);
	return ok;
}

static bool
sync_directory(const char *path)
{
	char		copy[PATH_MAX];
	int			fd;
	bool		ok;

	snprintf(copy, sizeof copy, "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = fsync(fd) == 0;
	close(fd);
	return ok;
}

static bool
write_keys(const char *path, NodeKeys *keys, char *error, size_t room)
{
	char		temporary[PATH_MAX];
	uint8_t		bytes[FILE_BYTES];
	int			fd;
	bool		ok;
	int			failed = 0;

	if ((size_t) snprintf(temporary, sizeof temporary, "%s.new-XXXXXX", path) >= sizeof temporary)
	{
		snprintf(error, room, "its path is too long");
		return false;
	}
	memcpy(bytes, magic, sizeof magic);
	randombytes_buf(bytes + SEED_AT, HASH_AT - SEED_AT);
	crypto_hash_sha256(bytes + HASH_AT, bytes, HASH_AT);
	/* a name that nobody has: a file beside it with a fixed one may be a key that somebody keeps there */
	fd = mkostemp(temporary, O_CLOEXEC);
	ok = fd >= 0;
	if (ok)
	{
		ssize_t		n = write(fd, bytes, sizeof bytes);

		if (n >= 0 && n != sizeof bytes)
			errno = ENOSPC;
		ok = n == sizeof bytes && fsync(fd) == 0;
		failed = errno;
		if (close(fd) != 0 && ok)
		{
			failed = errno;
			ok = false;
		}
		/* link(), not rename(): a file that appeared meanwhile stays */
		if (ok && (link(temporary, path) != 0 || !sync_directory(path)))
		{
			failed = errno;
			ok = false;
		}
		unlink(temporary);
	}
	else
		failed = errno;
	if (!ok)
		snprintf(error, room, "could not write \"%s\": %s", path, strerror(failed));
	else if (!take_keys(bytes, keys))
	{
		snprintf(error, room, "could not make a key");
		ok = false;
	}
	sodium_memzero(bytes, sizeof bytes);
	return ok;
}

bool
key_file_load(const char *path, NodeKeys *keys, bool *created, char *error, size_t room)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool		ok;

	*created = false;
	if (fd < 0 && errno != ENOENT)
	{
		snprintf(error, room, "\"%s\": %s", path, strerror(errno));
		return false;
	}
	if (fd < 0)
		*created = ok = write_keys(path, keys, error, room);
	else
	{
		ok = read_keys(fd, path, keys, error, room);
		close(fd);
	}
	if (!ok)
		sodium_memzero(keys, sizeof *keys);
	return ok;
}
