/*
 * grant.h
 *	  Signed statements about who belongs to a collection: grants,
 *	  revocations, invitations and their redemption.
 *
 * A statement on the wire (integers little-endian), always 240 bytes:
 *
 *	  0   4  "vgr1", which also separates this signature from all others
 *	  4   1  kind: 1 grant, 2 revocation, 3 invitation
 *	  5   1  role: 1 reader, 2 writer, 3 admin; 0 in a revocation
 *	  6   1  depth 1 .. 8: one more than the issuer's; the root key has 0
 *	  7   1  0
 *	  8  32  the collection's root key (Ed25519)
 *	 40  32  issuer's key
 *	 72  32  member's key; in an invitation the key of the invitation itself
 *	104   8  epoch: of two statements of one issuer on one member the greater counts
 *	112   8  issued, ms since 1970
 *	120   8  expires, ms since 1970; 0 for never (and in a revocation)
 *	128  32  grant: key of the invitation that it redeems, or 0; invitation: 0
 *	160  16  grant: the revocation that it overrides, or 0; invitation: 0
 *		revocation: 128 .. 175 are up to three earlier revocations of the same
 *		member that it includes, or 0; a revocation is named by the first 16
 *		bytes of its SHA-256
 *	176  64  issuer's Ed25519 signature of all before it
 *
 * A redemption, 176 bytes, is what the holder of an invitation presents:
 *
 *	  0   4  "vrd1"
 *	  4   4  0
 *	  8  32  collection's root key
 *	 40  32  the invitation's key
 *	 72  32  the key that wants to be a member
 *	104   8  issued, ms since 1970; good for 10 minutes
 *	112  64  signature by the invitation's key
 *
 * It names the member, so who carries it cannot use it for another key.
 */
#ifndef CORE_GRANT_H
#define CORE_GRANT_H

#include "core/net/decode.h"
#include "core/net/host.h"
#include "core/net/kad_id.h"

#define GRANT_BYTES 240
#define GRANT_KIND_AT 4
#define GRANT_DEPTH_MAX 8
#define GRANT_HASH_BYTES 16
#define REDEMPTION_BYTES 176
#define REDEMPTION_LIFE_MS (INT64_C(10) * 60 * 1000)

typedef enum GrantKind
{
	GRANT_MEMBER = 1,
	GRANT_REVOCATION = 2,
	GRANT_INVITATION = 3
} GrantKind;

typedef enum GrantRole
{
	GRANT_NOBODY = 0,
	GRANT_READER = 1,
	GRANT_WRITER = 2,
	GRANT_ADMIN = 3
} GrantRole;

typedef struct Grant
{
	uint8_t		kind;			/* GrantKind */
	uint8_t		role;			/* GrantRole */
	uint8_t		depth;
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		issuer[CORE_KEY_BYTES];
	uint8_t		member[CORE_KEY_BYTES];
	uint64_t	epoch;
	int64_t		issued_ms;
	int64_t		expires_ms;
	uint8_t		invitation[CORE_KEY_BYTES];
	uint8_t		overrides[GRANT_HASH_BYTES];
} Grant;

typedef struct Redemption
{
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		invitation[CORE_KEY_BYTES];
	uint8_t		member[CORE_KEY_BYTES];
	int64_t		issued_ms;
} Redemption;

/*
 * Write and sign a statement into out[GRANT_BYTES]; the issuer is the public
 * half of secret[64], whatever self says.  DECODE_VALUE for what a reader
 * would refuse, DECODE_SIGNATURE when signing failed.
 */
extern DecodeStatus grant_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
							   const Grant *self, uint8_t *out);

/*
 * Decode bytes[len] and verify the issuer's signature.  TRUNCATED, OVERLONG,
 * MAGIC, FLAGS, VALUE, FUTURE (issued ahead of unix_ms by more than skew_ms),
 * SIGNATURE.  Whether it has expired, and whether the issuer may sign such a
 * thing, is for membership.h.
 */
extern DecodeStatus grant_decode(const CoreCrypto *crypto, const uint8_t *bytes, size_t len,
								 int64_t unix_ms, int64_t skew_ms, Grant *self);

/* The same without looking at the signature, which costs most; and the signature alone. */
extern DecodeStatus grant_read(const uint8_t *bytes, size_t len, int64_t unix_ms, int64_t skew_ms, Grant *self);
extern bool grant_verify(const CoreCrypto *crypto, const uint8_t *bytes);

/* The name by which a grant overrides this revocation: hash[GRANT_HASH_BYTES]. */
extern void grant_hash(const CoreCrypto *crypto, const uint8_t *bytes, uint8_t *hash);

/* Write a redemption for member[32] into out[REDEMPTION_BYTES], signed with the invitation's secret[64]. */
extern bool redemption_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
							const uint8_t root[CORE_KEY_BYTES], const uint8_t member[CORE_KEY_BYTES],
							int64_t unix_ms, uint8_t *out);

/* Decode and verify: TRUNCATED, OVERLONG, MAGIC, FLAGS, VALUE, EXPIRED, FUTURE, SIGNATURE. */
extern DecodeStatus redemption_decode(const CoreCrypto *crypto, const uint8_t *bytes, size_t len,
									  int64_t unix_ms, int64_t skew_ms, Redemption *self);

#endif							/* CORE_GRANT_H */
