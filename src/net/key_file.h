/*
 * key_file.h
 *	  The keys of a node, in a file that only its owner may read.  Plain C.
 *
 * In the file:
 *
 *	  0   4  "vnk1"
 *	  4  32  seed of the Ed25519 key
 *	 36  32  secret X25519 key of the node's CURVE connections
 *	 68  32  SHA-256 of all before it
 */
#ifndef NET_KEY_FILE_H
#define NET_KEY_FILE_H

#include "core/net/host.h"

typedef struct NodeKeys
{
	uint8_t		secret[CORE_SECRET_BYTES];	/* Ed25519: seed, then public key */
	uint8_t		curve_public[CORE_KEY_BYTES];
	uint8_t		curve_secret[CORE_KEY_BYTES];
} NodeKeys;

/*
 * Read the keys; where there is no file, make keys and write one (*created),
 * mode 0600, whole or not at all, on disk before this returns.  Wipe *keys when
 * done.
 *
 * False, with one line without a full stop in error[room]: the file cannot be
 * read or written, is open to others than its owner, is damaged or no such file.
 */
extern bool key_file_load(const char *path, NodeKeys *keys, bool *created, char *error, size_t room);

#endif							/* NET_KEY_FILE_H */
