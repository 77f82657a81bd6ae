/*
 * flood.h
 *	  What a member with the role admin can flood its collection with: statements
 *	  that are validly signed, and that nobody needs.
 *
 * Statements of a flood are numbered from 0 and made in that order; those of two
 * floods of one kind differ in their keys and epochs.
 */
#ifndef TEST_NET_FLOOD_H
#define TEST_NET_FLOOD_H

#include "core/bytes.h"
#include "core/net/grant.h"
#include "host_fixture.h"

typedef enum FloodKind
{
	FLOOD_REVOCATIONS,			/* of keys that nobody has */
	FLOOD_READERS,				/* who are nobody */
	FLOOD_INVITATIONS,
	FLOOD_LEAVES,				/* a reader is let in, and leaves */
	FLOOD_CHAINS,				/* an admin lets in an admin, and so on, down to the greatest depth */
	FLOOD_LATER,				/* grants to one key, each superseding the one before */
	FLOOD_EARLIER,				/* grants to one key, each superseded by the one before */
	FLOOD_RISING,				/* revocations of keys that nobody has, each with more right to room than the one before */
	FLOOD_ELSEWHERE,			/* of another collection, whose root we are */
	FLOOD_FORGED,				/* one bit of the signature is another */
	FLOOD_KINDS
} FloodKind;

static const char *const flood_names[FLOOD_KINDS] = {
	"revocations", "readers", "invitations", "leaves", "chains", "later", "earlier", "rising", "elsewhere", "forged"
};

typedef struct Flood
{
	const CoreCrypto *crypto;
	uint64_t   *random_state;
	FloodKind	kind;
	int64_t		now_ms;
	int			depth;			/* of statements of ours */
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];	/* ours */
	uint8_t		one[CORE_KEY_BYTES];	/* FLOOD_LATER and FLOOD_EARLIER: whose grants they are */
	uint8_t		last_secret[CORE_SECRET_BYTES]; /* of the member of the statement before */
} Flood;

static inline void
flood_begin(Flood *self, const CoreCrypto *crypto, uint64_t *random_state, FloodKind kind, int64_t now_ms,
			int depth, const uint8_t *root, const uint8_t *secret)
{
	*self = (Flood) {.crypto = crypto, .random_state = random_state, .kind = kind, .now_ms = now_ms, .depth = depth};
	memcpy(self->root, root, CORE_KEY_BYTES);
	memcpy(self->secret, secret, CORE_SECRET_BYTES);
	host_fill(random_state, self->one, sizeof self->one);
}

/* Statement number n into out[GRANT_BYTES]; false when it cannot be signed. */
static inline bool
flood_make(Flood *self, long n, uint8_t *out)
{
	Grant		grant = {.kind = GRANT_MEMBER, .role = GRANT_READER, .depth = (uint8_t) self->depth,
	.epoch = 1, .issued_ms = self->now_ms};
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	int			level = (int) (n % (GRANT_DEPTH_MAX - self->depth + 1));
	const uint8_t *issuer = self->secret;

	memcpy(grant.root, self->root, CORE_KEY_BYTES);
	host_fill(self->random_state, seed, sizeof seed);
	self->crypto->key_pair(self->crypto->context, seed, grant.member, secret);
	switch (self->kind)
	{
		case FLOOD_REVOCATIONS:
		case FLOOD_RISING:
			grant.kind = GRANT_REVOCATION;
			grant.role = GRANT_NOBODY;
			if (self->kind == FLOOD_RISING)
				grant.epoch = (uint64_t) self->now_ms + (uint64_t) n;
			break;
		case FLOOD_INVITATIONS:
			grant.kind = GRANT_INVITATION;
			grant.expires_ms = grant.issued_ms + 3600000;
			break;
		case FLOOD_LEAVES:
			if (n % 2 == 0)
				break;
			grant.kind = GRANT_REVOCATION;
			grant.role = GRANT_NOBODY;
			grant.depth = 1;
			issuer = self->last_secret;
			memcpy(grant.member, self->last_secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
			break;
		case FLOOD_CHAINS:
			grant.role = GRANT_ADMIN;
			grant.depth = (uint8_t) (self->depth + level);
			if (level > 0)
				issuer = self->last_secret;
			break;
		case FLOOD_LATER:
		case FLOOD_EARLIER:
			memcpy(grant.member, self->one, CORE_KEY_BYTES);
			grant.epoch = self->kind == FLOOD_LATER ? (uint64_t) n + 1 : UINT64_MAX - (uint64_t) n;
			break;
		case FLOOD_ELSEWHERE:
			memcpy(grant.root, self->secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
			grant.depth = 1;
			break;
		default:
			break;
	}
	if (grant_sign(self->crypto, issuer, &grant, out) != DECODE_OK)
		return false;
	if (self->kind == FLOOD_FORGED)
		out[GRANT_BYTES - 1] ^= 1;
	memcpy(self->last_secret, secret, sizeof secret);
	return true;
}

#endif							/* TEST_NET_FLOOD_H */
