/*
 * provider.h
 *	  Provider records: "this node holds that collection", signed; and the
 *	  store of those that were announced to us (Kademlia, section 2.5: values
 *	  at the k nodes nearest to the key, republished by their owner).
 *
 * On the wire (integers little-endian):
 *
 *	  0   4  "vpr1", which also separates this signature from all others
 *	  4   1  flags: 1 = withdrawn; other bits 0
 *	  5   3  0
 *	  8  32  collection: SHA-256 of its root key
 *	 40  32  Ed25519 public key of the node that holds it
 *	 72   8  issued, ms since 1970: the greater replaces the lesser
 *	 80   8  expires, ms since 1970; at most 3 hours after it was issued
 *	 88  64  Ed25519 signature of all before it
 */
#ifndef CORE_PROVIDER_H
#define CORE_PROVIDER_H

#include "core/net/node_record.h"

#define PROVIDER_BYTES 152
#define PROVIDER_LIFE_MS (INT64_C(3) * 3600 * 1000)
#define PROVIDER_REPUBLISH_MS (INT64_C(3600) * 1000)

#define PROVIDERS_PER_COLLECTION 64
#define PROVIDERS_PER_NODE 512
#define PROVIDERS_PER_SUBNET 3	/* of one collection */

typedef struct Provider
{
	KadId		collection;
	int64_t		issued_ms;
	int64_t		expires_ms;
	NodeRecord *record;			/* of the node that signed; referenced */
	uint64_t	carrier;		/* in a store: of who brought it */
	uint32_t	references;
	bool		withdrawn;
	bool		verified;		/* its signature was checked */
	uint8_t		bytes[PROVIDER_BYTES];
} Provider;

/*
 * Write and sign a provider record into out[PROVIDER_BYTES] with the node's
 * secret[64]; good for PROVIDER_LIFE_MS from unix_ms.  False when signing failed.
 */
extern bool provider_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
						  const KadId *collection, int64_t unix_ms, bool withdrawn, uint8_t *out);

/*
 * Decode bytes[len], which `record`'s node must have signed; the result holds
 * one more reference to record and is itself referenced once.  The signature
 * is not checked yet, for most of what arrives is known already: see
 * provider_verify().  TRUNCATED, OVERLONG, MAGIC, FLAGS, VALUE, EXPIRED,
 * FUTURE (issued ahead of unix_ms by more than the pool's skew), SIGNATURE
 * (another node's), MEMORY.
 */
extern DecodeStatus provider_decode(RecordPool *pool, const uint8_t *bytes, size_t len,
									NodeRecord *record, int64_t unix_ms, Provider **provider);

/* Check the signature, once. */
extern bool provider_verify(const CoreCrypto *crypto, Provider *self);

extern Provider *provider_keep(Provider *self);
extern void provider_release(RecordPool *pool, Provider *self);	/* NULL is ignored */

typedef enum ProviderAdded
{
	PROVIDER_NEW,				/* was not known, is now */
	PROVIDER_NEWER,				/* replaces an older one of the same node */
	PROVIDER_KNOWN,				/* the very same is held */
	PROVIDER_STALE,				/* a newer one is held: a replay, or late */
	PROVIDER_FORGED,
	PROVIDER_CROWDED,			/* its subnet has PROVIDERS_PER_SUBNET already */
	PROVIDER_FULL,				/* the store is full and no other has brought more; or this node's share of it; or no memory */
} ProviderAdded;

typedef struct ProviderGroup
{
	KadId		collection;
	int			n;
	struct ProviderGroup *next;
	Provider   *member[PROVIDERS_PER_COLLECTION];
} ProviderGroup;

typedef struct ProviderStore
{
	RecordPool *pool;
	const CoreRandom *random;
	bool		exempt_private; /* private addresses count for no subnet */
	uint32_t	limit;			/* records held at most */
	uint32_t	n;
	uint64_t	secret;
#define PROVIDER_SLOTS 64
	ProviderGroup *slot[PROVIDER_SLOTS];
} ProviderStore;

extern void provider_store_init(ProviderStore *self, RecordPool *pool, const CoreRandom *random,
								bool exempt_private, uint32_t limit);
extern void provider_store_reset(ProviderStore *self);

/*
 * Take an announcement.  carrier is the subnet (net_address_subnet) from which it
 * was brought, 0 for one's own and for what counts for none: a key costs nothing and
 * a record may claim anything, so only that keeps one from taking the whole store.
 * In a full store one of the carrier that has brought most makes room.  A collection that has PROVIDERS_PER_COLLECTION keeps a
 * random choice: the newcomer takes the place of one of the subnet that has
 * most, so that who was first, or who floods, does not own the answer.
 */
extern ProviderAdded provider_store_add(ProviderStore *self, Provider *provider, uint64_t carrier, int64_t unix_ms);

/*
 * Up to max providers of a collection into out[], a random choice when there
 * are more; not referenced, good until the store changes.  Returns how many.
 */
extern int	provider_store_list(ProviderStore *self, const KadId *collection, int64_t unix_ms,
								Provider **out, int max);

/* Drop what has expired; to be called every few minutes. */
extern void provider_store_expire(ProviderStore *self, int64_t unix_ms);

#endif							/* CORE_PROVIDER_H */
