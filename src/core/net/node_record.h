/*
 * node_record.h
 *	  What a node says of itself, signed: keys, addresses, capabilities; and
 *	  the pool that holds what was verified.
 *
 * On the wire (integers little-endian):
 *
 *	  0   4  "vnr1", which also separates this signature from all others
 *	  4   1  flags, 0
 *	  5   1  addresses, 1 .. 4
 *	  6   2  bytes of extensions, 0 .. 128
 *	  8  32  Ed25519 public key; the node's id is its SHA-256
 *	 40  32  X25519 public key of the node's CURVE connections
 *	 72   8  network: the first bytes of SHA-256 of the network's name
 *	 80   8  sequence number: of two records of one key the greater is the newer
 *	 88   8  expires, ms since 1970
 *	 96   8  capabilities, a set of bits; unknown ones are ignored
 *	104  18n addresses: ip[16], port
 *	      .  extensions: items as in a message (WIRE.md), unknown ones kept
 *	      64 Ed25519 signature of all before it
 *
 * The bytes are kept as they came, for the signature is of them.
 */
#ifndef CORE_NODE_RECORD_H
#define CORE_NODE_RECORD_H

#include "core/net/decode.h"
#include "core/net/host.h"
#include "core/net/kad_id.h"
#include "core/net/net_address.h"

#define NODE_RECORD_HEAD 104
#define NODE_RECORD_ADDRESSES 4
#define NODE_RECORD_EXTENSIONS 128
#define NODE_RECORD_MAX \
	(NODE_RECORD_HEAD + NODE_RECORD_ADDRESSES * NET_ADDRESS_BYTES + NODE_RECORD_EXTENSIONS + CORE_SIGNATURE_BYTES)

/* No record is good for longer: a key that is gone must not stay in tables. */
#define NODE_RECORD_LIFE_MS (INT64_C(48) * 3600 * 1000)

typedef struct NodeRecord
{
	KadId		id;
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		curve_key[CORE_KEY_BYTES];
	uint64_t	network;
	uint64_t	seq;
	int64_t		expires_ms;
	uint64_t	capabilities;
	int			n_addresses;
	NetAddress	addresses[NODE_RECORD_ADDRESSES];

	/* the pool's */
	uint32_t	references;
	struct NodeRecord *next;
	uint16_t	len;
	uint8_t		bytes[];
} NodeRecord;

/* What the owner of a key fills in. */
typedef struct NodeRecordFields
{
	uint8_t		curve_key[CORE_KEY_BYTES];
	uint64_t	network;
	uint64_t	seq;
	int64_t		expires_ms;
	uint64_t	capabilities;
	int			n_addresses;	/* 1 .. 4 */
	NetAddress	addresses[NODE_RECORD_ADDRESSES];
} NodeRecordFields;

/*
 * The number of the network with this name, for records and greetings: names
 * differ, nodes do not meet.
 */
extern uint64_t node_network(const CoreCrypto *crypto, const char *name, size_t len);

/*
 * Write and sign a record into out[NODE_RECORD_MAX] with secret[64]; *len gets
 * its bytes.  DECODE_VALUE when a field would be refused by a reader,
 * DECODE_SIGNATURE when signing failed.
 */
extern DecodeStatus node_record_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
									 const NodeRecordFields *fields, uint8_t *out, size_t *len);

/*
 * Records that were verified, each once, counted by who holds it: the table,
 * lookups, messages.  A record that arrives again, byte for byte, costs a
 * comparison and no signature.  Nothing is freed while it is referenced.
 */
typedef struct RecordPool
{
	const CoreMemory *memory;
	const CoreCrypto *crypto;
	uint64_t	secret;			/* so that nobody can aim at one chain */
	uint64_t	network;
	int64_t		skew_ms;		/* how far another clock may be off */
	uint32_t	limit;			/* records held at most */
	uint32_t	n;
	uint32_t	slots;			/* a power of two */
	NodeRecord **slot;
	uint64_t	verified;		/* signatures checked so far */
} RecordPool;

/*
 * A pool for records of one network, of at most `limit` records; memory and
 * crypto stay the caller's and must outlive it.  False when there is no memory.
 */
extern bool record_pool_init(RecordPool *self, const CoreMemory *memory, const CoreCrypto *crypto,
							 const CoreRandom *random, uint64_t network, int64_t skew_ms, uint32_t limit);

/* Frees all, referenced or not. */
extern void record_pool_reset(RecordPool *self);

/*
 * Decode and verify bytes[len] at unix_ms, and reference the result in
 * *record.  Every status of a record is possible: TRUNCATED, OVERLONG, MAGIC,
 * FLAGS, VALUE, ORDER, CRITICAL, NETWORK, EXPIRED, FUTURE (a life above
 * NODE_RECORD_LIFE_MS), SIGNATURE; TOO_MANY when the pool is full; MEMORY.
 * *record is then NULL.
 */
extern DecodeStatus record_pool_take(RecordPool *self, const uint8_t *bytes, size_t len,
									 int64_t unix_ms, NodeRecord **record);

/* One reference more; returns its argument. */
extern NodeRecord *node_record_keep(NodeRecord *record);

/* One reference less; the last frees it.  NULL is ignored. */
extern void record_pool_release(RecordPool *self, NodeRecord *record);

/*
 * Is it still good at unix_ms?  skew_ms is the pool's: a record is refused only
 * when it has expired by every clock that is right within the skew.
 */
static inline bool
node_record_current(const NodeRecord *record, int64_t unix_ms, int64_t skew_ms)
{
	return record->expires_ms > unix_ms - skew_ms;
}

#endif							/* CORE_NODE_RECORD_H */
