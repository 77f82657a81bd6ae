/*
 * kad_id.h
 *	  Identifiers of nodes and of collections, and the distance between them
 *	  (Maymounkov and Mazieres, Kademlia, IPTPS 2002, section 2.1).
 *
 * An identifier is the SHA-256 of an Ed25519 public key: of a node's, or of a
 * collection's root key.  The distance of two is their exclusive or, read as a
 * big-endian number.
 */
#ifndef CORE_KAD_ID_H
#define CORE_KAD_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/assert.h"
#include "core/net/host.h"

#define KAD_ID_BYTES 32
#define KAD_ID_BITS 256

typedef struct KadId
{
	uint8_t		b[KAD_ID_BYTES];
} KadId;

_Static_assert(sizeof(KadId) == 32 && KAD_ID_BYTES == CORE_HASH_BYTES, "an identifier is a hash, and lies on the wire");

/* The identifier of key[32]. */
extern KadId kad_id_of_key(const CoreCrypto *crypto, const uint8_t key[CORE_KEY_BYTES]);

/* Leading bits that a and b share: 0 .. 256, 256 when they are equal. */
extern int	kad_id_prefix(const KadId *a, const KadId *b);

/*
 * Which of a and b is nearer to target: below 0 for a, above 0 for b, 0 when
 * they are equal.
 */
extern int	kad_id_nearer(const KadId *target, const KadId *a, const KadId *b);

/*
 * A random identifier that shares exactly `prefix` (0 .. 255) leading bits
 * with id: one that belongs to that bucket of id's table (section 2.3).
 */
extern KadId kad_id_random(const CoreRandom *random, const KadId *id, int prefix);

/* text[65]: 64 hexadecimal digits, lower case, and a zero byte */
extern void kad_id_text(const KadId *id, char *text);

/* The reverse; len must be 64.  False, with id undefined, for anything else. */
extern bool kad_id_parse(const char *text, size_t len, KadId *id);

/*
 * The first 64 bits of the distance: where these differ, they tell who is
 * nearer; where not, kad_id_nearer() does.
 */
static inline uint64_t
kad_id_distance(const KadId *a, const KadId *b)
{
	uint64_t	x;
	uint64_t	y;

	memcpy(&x, a->b, sizeof x);
	memcpy(&y, b->b, sizeof y);
	x ^= y;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	return x;
}

/* Its first eight bytes: enough to tell nodes of one neighborhood apart. */
static inline uint64_t
kad_id_short(const KadId *id)
{
	uint64_t	bits;

	memcpy(&bits, id->b, sizeof bits);
	return bits;
}

static inline bool
kad_id_equal(const KadId *a, const KadId *b)
{
	return memcmp(a->b, b->b, KAD_ID_BYTES) == 0;
}

#endif							/* CORE_KAD_ID_H */
