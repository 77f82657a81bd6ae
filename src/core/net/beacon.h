/*
 * beacon.h
 *	  Datagrams by which nodes find each other before they share a connection:
 *	  on a LAN, by multicast, and at a bootstrap address, whose keys the asker
 *	  does not know yet.
 *
 * On the wire (integers little-endian):
 *
 *	  0   4  "vbc1", which also separates this signature from all others
 *	  4   1  kind: 1 announce, 2 ask
 *	  5   1  0
 *	  6   2  bytes of the record
 *	  8   8  network
 *	 16   8  issued, ms since 1970
 *	 24   8  nonce: of an ask at random and not 0; an announce repeats that of
 *			 the ask it answers, or has 0
 *	 32   .  sender's node record
 *	  .  64  signature of all before it by the record's key
 *
 * At most 464 bytes, so never fragmented, and an answer is at most 1.65 times as
 * long as its ask.  The signature shows that the sender holds the key now; that
 * it holds the address is seen when a connection to it works.
 */
#ifndef CORE_BEACON_H
#define CORE_BEACON_H

#include "core/net/node_record.h"

#define BEACON_HEAD 32
#define BEACON_MAX (BEACON_HEAD + NODE_RECORD_MAX + CORE_SIGNATURE_BYTES)
#define BEACON_LIFE_MS (INT64_C(60) * 1000)

typedef enum BeaconKind
{
	BEACON_ANNOUNCE = 1,
	BEACON_ASK = 2
} BeaconKind;

typedef struct Beacon
{
	BeaconKind	kind;
	uint64_t	nonce;
	int64_t		issued_ms;
	NodeRecord *record;			/* referenced */
} Beacon;

/*
 * Write and sign a beacon of the node whose record and secret[64] are given
 * into out[BEACON_MAX].  Returns its bytes, 0 when signing failed.
 */
extern size_t beacon_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
						  BeaconKind kind, uint64_t nonce, const NodeRecord *record,
						  int64_t unix_ms, uint8_t *out);

/*
 * Decode and verify bytes[len].  NETWORK is told before anything is verified,
 * so that another network's beacons cost little.  On DECODE_OK self holds a
 * reference to the record.  Everything that record_pool_take() may answer; a
 * beacon older than BEACON_LIFE_MS and the pool's skew is EXPIRED.
 */
extern DecodeStatus beacon_decode(RecordPool *pool, const uint8_t *bytes, size_t len,
								  int64_t unix_ms, Beacon *self);

#endif							/* CORE_BEACON_H */
