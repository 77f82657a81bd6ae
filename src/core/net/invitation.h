/*
 * invitation.h
 *	  The text with which one may join a collection, once.
 *
 * "vecdb1:" and the base64url form (RFC 4648, section 5, no padding, unused bits
 * zero) of, integers little-endian:
 *
 *	  0   4  "vin1"
 *	  4   1  addresses, 1 .. 4
 *	  5   3  0
 *	  8   8  network
 *	 16  32  id of the node that invites
 *	 48  32  its CURVE key
 *	 80  32  seed of the invitation's Ed25519 key
 *	112 240  the invitation, a statement (grant.h) on that key
 *	352 18n  addresses of the node that invites: ip[16], port
 *	  .   4  first bytes of SHA-256 of all before: finds typing errors
 *
 * Who holds the text is who may join: it is a secret.  A node record would not
 * do in place of addresses and keys, for it expires sooner.
 */
#ifndef CORE_INVITATION_H
#define CORE_INVITATION_H

#include "core/net/grant.h"
#include "core/net/net_address.h"

#define INVITATION_PREFIX "vecdb1:"
#define INVITATION_ADDRESSES 4
#define INVITATION_MAX (352 + INVITATION_ADDRESSES * NET_ADDRESS_BYTES + 4)
#define INVITATION_TEXT_MAX (7 + (INVITATION_MAX * 4 + 2) / 3)	/* and a zero byte after it */

typedef struct Invitation
{
	uint64_t	network;
	KadId		node;
	uint8_t		curve_key[CORE_KEY_BYTES];
	int			n_addresses;
	NetAddress	addresses[INVITATION_ADDRESSES];
	uint8_t		seed[CORE_SEED_BYTES];
	Grant		grant;			/* decoded from statement */
	uint8_t		statement[GRANT_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];	/* of the invitation's key; for redemption_sign() */
} Invitation;

/*
 * Write the text into text[INVITATION_TEXT_MAX + 1], ended by a zero byte.
 * Used of self: network, node, curve_key, addresses, seed, statement.  False
 * when there is no usable address.
 */
extern bool invitation_text(const CoreCrypto *crypto, const Invitation *self, char *text);

/*
 * Decode text[len]; no space around it.  TEXT, TRUNCATED, OVERLONG, CHECKSUM,
 * MAGIC, FLAGS, VALUE, SIGNATURE (the statement is forged, or of another key
 * than the seed's), EXPIRED, FUTURE.
 */
extern DecodeStatus invitation_decode(const CoreCrypto *crypto, const char *text, size_t len,
									  int64_t unix_ms, int64_t skew_ms, Invitation *self);

#endif							/* CORE_INVITATION_H */
