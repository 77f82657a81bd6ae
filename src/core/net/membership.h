/*
 * membership.h
 *	  Who belongs to one collection, and as what: the set of signed statements
 *	  (grant.h) that a node has seen, and what follows from them.
 *
 * The answer depends on the set alone, not on the order in which it came, so
 * nodes that hold equal sets agree.  The rules:
 *
 *	  1. The root key is an admin of depth 0.  A grant or invitation of depth d
 *		 counts when its issuer is an admin of depth d - 1 by a grant that counts.
 *		 A statement is worth what its issuer is worth now: with an admin goes
 *		 all that hung on it, so who evicts an admin grants anew to those it keeps.
 *	  2. Of one issuer's grants to one member only that of the greatest epoch
 *		 counts.  Earlier ones that made an admin are still held, one for each
 *		 depth: they bear witness that its statements were once its to make.
 *	  3. A revocation counts when it is the member's own (it left), or its issuer
 *		 is an admin nearer to the root than the grant's issuer or as near.  It
 *		 voids every grant of that depth or deeper to its member, however new,
 *		 unless the grant names it, or one that includes it, as overridden:
 *		 against a grant that was made without knowing of it, revocation wins.
 *		 Those of who is no admin any more need not be named.
 *	  4. Of grants that redeem one invitation for different members one counts:
 *		 the least in depth, then issued, then member.  So two admins that redeem
 *		 one text in two halves of a split network admit one member, not two.
 *
 * A grant that has expired counts no more; a member's role is the greatest that
 * its grants give.
 *
 * What is held is a function of all statements that were ever heard, whatever
 * their order; src/sync/README.md says why.  Of them
 *
 *	  - those whose issuer's grant is held;
 *	  - the last revocation of itself (a leave) of each member whose grant is held:
 *		 there is room for as many as there are others;
 *	  - of one issuer's revocations of one member the last few;
 *	  - and of the rest no more than the limit: first those whose issuer is an
 *		 admin now, then those nearer to the root; issuers of equal depth take
 *		 turns, each with its revocations before its grants and invitations.
 *
 * So the root always has room, an admin cannot take that of another as near to the
 * root or nearer, and who is evicted loses its own.
 */
#ifndef CORE_MEMBERSHIP_H
#define CORE_MEMBERSHIP_H

#include "core/net/grant.h"

#define MEMBERSHIP_LIMIT 4096	/* statements of one collection beside leaves */
#define MEMBERSHIP_ROOM (2 * MEMBERSHIP_LIMIT)	/* and with them */
#define MEMBERSHIP_AGAIN 4		/* revocations of one member by one issuer */
#define MEMBERSHIP_REVOCATIONS 64	/* of one member that are looked at: those that count, the nearest to the root */

typedef struct MembershipEntry
{
	Grant		grant;
	bool		counts;			/* a revocation: its issuer is an admin now, or it is a leave */
	bool		idle;			/* its issuer is no admin now */
	int			turn;			/* its number among those of its issuer, from 0 */
	uint8_t		hash[GRANT_HASH_BYTES];
	uint8_t		bytes[GRANT_BYTES];
} MembershipEntry;

typedef struct Membership
{
	const CoreMemory *memory;
	const CoreCrypto *crypto;
	uint8_t		root[CORE_KEY_BYTES];
	KadId		collection;		/* SHA-256 of root */
	int			limit;			/* MEMBERSHIP_LIMIT */
	int			n;
	int			n_leaves;		/* of these */
	int			capacity;
	MembershipEntry **entry;	/* sorted by member, then kind, issuer, hash */
	MembershipEntry **scratch;	/* room for as many */
	const MembershipEntry *last;	/* the one that is dropped first; NULL: not known */
	uint64_t	changes;		/* statements that came or went, ever */
	bool		dirty;
	uint64_t	evaluations;	/* times that what counts was found anew */
	int64_t		evaluated_ms;	/* what counts was found at this time ... */
	int64_t		until_ms;		/* ... and holds until this one */
	uint8_t		fingerprint[GRANT_HASH_BYTES];	/* of the set: equal sets, equal fingerprints */
} Membership;

typedef enum MembershipAdded
{
	MEMBERSHIP_ADDED,
	MEMBERSHIP_KNOWN,			/* the very same is held */
	MEMBERSHIP_SUPERSEDED,		/* later ones of the same issuer are held */
	MEMBERSHIP_UNKNOWN_ISSUER,	/* no grant is held that made its issuer an admin: ask for the chain */
	MEMBERSHIP_FULL,			/* those that are held go before it; or no memory */
	MEMBERSHIP_INVALID			/* *status says why */
} MembershipAdded;

typedef enum RedeemStatus
{
	REDEEM_OK,
	REDEEM_ALREADY,				/* this member has redeemed it before: its grant stands */
	REDEEM_USED,				/* another member has */
	REDEEM_VOID,				/* no invitation of that key counts: unknown, revoked or expired */
	REDEEM_NOT_ADMIN			/* the redeeming node may not grant */
} RedeemStatus;

/* An empty set for the collection of root[32]; memory and crypto stay the caller's. */
extern void membership_init(Membership *self, const CoreMemory *memory, const CoreCrypto *crypto,
							const uint8_t root[CORE_KEY_BYTES]);
extern void membership_reset(Membership *self);

/*
 * Decode, verify and add one statement.  Statements of one chain must come in
 * the order of their depth, as membership_next() gives them.  *status is set in
 * every case; DECODE_COLLECTION when it is another collection's.
 */
extern MembershipAdded membership_add(Membership *self, const uint8_t *bytes, size_t len,
									  int64_t unix_ms, int64_t skew_ms, DecodeStatus *status);

/* The role of key[32] now. */
extern GrantRole membership_role(Membership *self, const uint8_t key[CORE_KEY_BYTES], int64_t unix_ms);

/*
 * Is there a statement by which key[32] may write, or could before?  What a grant replaced
 * of the same issuer is not held any more: who was granted something anew may have been a
 * writer.  So may who is in by the grants of an admin that is none any more, though these may
 * have been signed since.
 */
extern bool membership_was_writer(const Membership *self, const uint8_t key[CORE_KEY_BYTES]);

/* Has key[32] lost its membership with an admin that it hung on, and by nothing that is said of itself? */
extern bool membership_bereft(Membership *self, const uint8_t key[CORE_KEY_BYTES], int64_t unix_ms);

/*
 * The key of a member other than besides[32], each as likely as any; NULL when there is
 * none.  *others: how many there are.  Good until the set changes.
 */
extern const uint8_t *membership_pick(Membership *self, const uint8_t besides[CORE_KEY_BYTES],
									  const CoreRandom *random, int64_t unix_ms, int *others);

/* How far key[32] is from the root as an admin: 0 for the root key itself, -1 when it is none. */
extern int	membership_admin_depth(Membership *self, const uint8_t key[CORE_KEY_BYTES], int64_t unix_ms);

/*
 * Fill out with a statement of issuer[32] on member[32], ready for grant_sign():
 * depth, epoch, and what it overrides or includes, from what is held.  False
 * when the issuer may not make it (a revocation of oneself is always allowed),
 * or revocations that count and reach it stand side by side so that it cannot name them
 * all: revoke again first, which joins three.
 */
extern bool membership_prepare(Membership *self, GrantKind kind, GrantRole role,
							   const uint8_t issuer[CORE_KEY_BYTES], const uint8_t member[CORE_KEY_BYTES],
							   int64_t unix_ms, int64_t expires_ms, Grant *out);

/*
 * May admin[32] grant what this redemption (already decoded and verified) asks
 * for?  On REDEEM_OK out is ready for grant_sign(); the invitation itself must
 * have been added before.
 */
extern RedeemStatus membership_redeem(Membership *self, const Redemption *redemption,
									  const uint8_t admin[CORE_KEY_BYTES], int64_t unix_ms, Grant *out);

/*
 * Walk over all statements by depth, so that another set can add them in this
 * order: start with *cursor = 0; bytes[GRANT_BYTES], or NULL at the end.
 */
extern const uint8_t *membership_next(const Membership *self, uint32_t *cursor);

/* Where the statements about key[32] begin in entry[], or would. */
extern int	membership_first(const Membership *self, const uint8_t key[CORE_KEY_BYTES]);

#endif							/* CORE_MEMBERSHIP_H */
