/*
 * membership_test.c
 *	  Statements about members: their bytes, invitations, and what follows from a
 *	  set of them.
 */
#include "core/net/invitation.h"
#include "core/net/membership.h"

#include "core/bytes.h"

#include "node_fixture.h"

typedef struct Statement
{
	uint8_t		bytes[GRANT_BYTES];
} Statement;

static Key	root;
static Key	anna;
static Key	bert;
static Key	carl;
static Key	dora;
static Membership set;

static void
begin(void)
{
	membership_init(&set, &memory, &crypto, root.public);
}

static MembershipAdded
add_to(Membership *to, const Statement *statement, int64_t unix_ms)
{
	DecodeStatus status;

	return membership_add(to, statement->bytes, GRANT_BYTES, unix_ms, SKEW, &status);
}

/* Prepared from what `from` holds, signed, and added to it. */
static Statement
state_in(Membership *from, GrantKind kind, GrantRole role, const Key *issuer, const Key *member,
		 int64_t unix_ms, int64_t expires_ms)
{
	Grant		grant;
	Statement	statement = {{0}};

	if (!membership_prepare(from, kind, role, issuer->public, member->public, unix_ms, expires_ms, &grant) ||
		grant_sign(&crypto, issuer->secret, &grant, statement.bytes) != DECODE_OK ||
		add_to(from, &statement, unix_ms) != MEMBERSHIP_ADDED)
		diag("a statement of the test could not be made");
	return statement;
}

static Statement
state(GrantKind kind, GrantRole role, const Key *issuer, const Key *member, int64_t unix_ms)
{
	return state_in(&set, kind, role, issuer, member, unix_ms, kind == GRANT_INVITATION ? unix_ms + HOUR : 0);
}

static GrantRole
role_of(const Key *key)
{
	return membership_role(&set, key->public, NOW);
}

/* Any statement, whether it may be made or not, signed by whom it says. */
static Statement
force(GrantKind kind, GrantRole role, int depth, const Key *issuer, const Key *member, uint64_t epoch)
{
	Grant		grant = {.kind = (uint8_t) kind, .role = (uint8_t) role, .depth = (uint8_t) depth, .epoch = epoch,
	.issued_ms = NOW, .expires_ms = kind == GRANT_INVITATION ? NOW + HOUR : 0};
	Statement	statement;

	memcpy(grant.root, root.public, 32);
	memcpy(grant.member, member->public, 32);
	if (grant_sign(&crypto, issuer->secret, &grant, statement.bytes) != DECODE_OK)
		diag("a statement of the test could not be signed");
	return statement;
}

static DecodeStatus
decode(const uint8_t *bytes, size_t len, int64_t unix_ms)
{
	uint8_t    *copy = exact_copy(bytes, len);
	Grant		grant;
	DecodeStatus status = grant_decode(&crypto, copy, len, unix_ms, SKEW, &grant);

	free(copy);
	return status;
}

static void
test_bytes(void)
{
	Statement	statement = force(GRANT_MEMBER, GRANT_WRITER, 1, &root, &anna, 3);
	uint8_t		changed[GRANT_BYTES + 1];
	Grant		grant;
	Grant		bad;
	int			wrong = 0;

	ok(grant_decode(&crypto, statement.bytes, GRANT_BYTES, NOW, SKEW, &grant) == DECODE_OK &&
	   grant.kind == GRANT_MEMBER && grant.role == GRANT_WRITER && grant.depth == 1 && grant.epoch == 3 &&
	   grant.issued_ms == NOW && memcmp(grant.issuer, root.public, 32) == 0 &&
	   memcmp(grant.member, anna.public, 32) == 0, "a grant comes back as it was signed");
	for (size_t len = 0; len < GRANT_BYTES; len++)
		wrong += decode(statement.bytes, len, NOW) != DECODE_TRUNCATED;
	ok(wrong == 0, "cut anywhere it is truncated");
	memcpy(changed, statement.bytes, GRANT_BYTES);
	changed[GRANT_BYTES] = 0;
	ok(decode(changed, GRANT_BYTES + 1, NOW) == DECODE_OVERLONG, "a byte more is overlong");
	for (size_t i = 0; i < GRANT_BYTES * 8; i++)
	{
		memcpy(changed, statement.bytes, GRANT_BYTES);
		changed[i / 8] ^= (uint8_t) (1 << i % 8);
		wrong += decode(changed, GRANT_BYTES, NOW) == DECODE_OK;
	}
	ok(wrong == 0, "no bit can be changed without being noticed");
	ok(decode(statement.bytes, GRANT_BYTES, NOW - SKEW) == DECODE_OK &&
	   decode(statement.bytes, GRANT_BYTES, NOW - SKEW - 1) == DECODE_FUTURE, "its clock may be ahead by the skew");

	for (int i = 0; i < 13; i++)
	{
		bad = grant;
		switch (i)
		{
			case 0: bad.role = GRANT_NOBODY; break;
			case 1: bad.role = 4; break;
			case 2: bad.depth = 0; break;
			case 3: bad.depth = 2; break;	/* the root's are of depth 1 */
			case 4: bad.depth = GRANT_DEPTH_MAX + 1; break;
			case 5: bad.expires_ms = bad.issued_ms; break;
			case 6: bad.expires_ms = INT64_MAX; break;
			case 7: bad.issued_ms = INT64_MAX; break;
			case 8: bad.issued_ms = 0; break;
			case 9: memcpy(bad.member, root.public, 32); break;
			case 10: bad.kind = GRANT_INVITATION; break;	/* that never ends */
			case 11: bad.kind = GRANT_REVOCATION; break;
			case 12: bad.kind = 4; break;
		}
		if (grant_sign(&crypto, i == 4 ? anna.secret : root.secret, &bad, changed) != DECODE_VALUE)
		{
			diag("number %d is signed", i);
			wrong++;
		}
	}
	ok(wrong == 0, "what contradicts itself, or no reader would take, is not signed");
}

static void
test_roles(void)
{
	Statement	s;
	DecodeStatus status;
	Key			stranger = new_key();
	uint8_t		again[GRANT_HASH_BYTES];

	begin();
	ok(role_of(&root) == GRANT_ADMIN && role_of(&anna) == GRANT_NOBODY && set.n == 0, "at first the root key is all");
	s = state(GRANT_MEMBER, GRANT_READER, &root, &anna, NOW);
	ok(role_of(&anna) == GRANT_READER && membership_admin_depth(&set, anna.public, NOW) == -1, "a reader reads");
	memcpy(again, set.fingerprint, sizeof again);
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_KNOWN && set.n == 1 && memcmp(again, set.fingerprint, sizeof again) == 0,
	   "a replay changes nothing");
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW + 1);
	ok(role_of(&anna) == GRANT_ADMIN && set.n == 1, "a later grant of the same issuer takes the place of the first");
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_SUPERSEDED && role_of(&anna) == GRANT_ADMIN, "which cannot be replayed");
	state(GRANT_MEMBER, GRANT_WRITER, &anna, &bert, NOW);
	ok(role_of(&bert) == GRANT_WRITER, "an admin grants");
	ok(membership_role(&set, bert.public, NOW) == GRANT_WRITER && membership_admin_depth(&set, anna.public, NOW) == 1, "at depth 1");

	s = force(GRANT_MEMBER, GRANT_ADMIN, 3, &bert, &carl, 1);
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_UNKNOWN_ISSUER && role_of(&carl) == GRANT_NOBODY, "a writer does not");
	s = force(GRANT_MEMBER, GRANT_ADMIN, 2, &stranger, &carl, 1);
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_UNKNOWN_ISSUER, "nor does a stranger");
	s = force(GRANT_MEMBER, GRANT_ADMIN, 3, &anna, &carl, 1);
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_UNKNOWN_ISSUER, "nor an admin of another depth than it says");
	s = force(GRANT_REVOCATION, GRANT_NOBODY, 1, &stranger, &anna, 1);
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_UNKNOWN_ISSUER && role_of(&anna) == GRANT_ADMIN, "a stranger revokes nobody");

	s = force(GRANT_MEMBER, GRANT_ADMIN, 1, &root, &carl, 1);
	memcpy(s.bytes + 8, stranger.public, 32);
	crypto.sign(NULL, root.secret, s.bytes, GRANT_BYTES - 64, s.bytes + GRANT_BYTES - 64);
	ok(membership_add(&set, s.bytes, GRANT_BYTES, NOW, SKEW, &status) == MEMBERSHIP_INVALID && status == DECODE_COLLECTION,
	   "a grant of another collection is refused");
	s = force(GRANT_MEMBER, GRANT_ADMIN, 1, &root, &carl, 1);
	s.bytes[GRANT_BYTES - 1] ^= 1;
	ok(membership_add(&set, s.bytes, GRANT_BYTES, NOW, SKEW, &status) == MEMBERSHIP_INVALID && status == DECODE_SIGNATURE,
	   "a forged one too");
	memory_state.until_failure = 0;
	s = force(GRANT_MEMBER, GRANT_ADMIN, 1, &root, &carl, 1);
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_FULL && role_of(&carl) == GRANT_NOBODY, "without memory it is not added");
	memory_state.until_failure = -1;
	membership_reset(&set);

	begin();
	state_in(&set, GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW, NOW + HOUR);
	state(GRANT_MEMBER, GRANT_WRITER, &anna, &bert, NOW);
	ok(membership_role(&set, anna.public, NOW + HOUR - 1) == GRANT_ADMIN &&
	   membership_role(&set, bert.public, NOW + HOUR - 1) == GRANT_WRITER, "a grant holds until it expires");
	ok(membership_role(&set, anna.public, NOW + HOUR) == GRANT_NOBODY &&
	   membership_role(&set, bert.public, NOW + HOUR) == GRANT_NOBODY, "then it and all that hung on it are gone");
	ok(membership_role(&set, bert.public, NOW) == GRANT_WRITER, "a clock that is set back sees it again");
	membership_reset(&set);
}

static void
test_revocation(void)
{
	Statement	old;
	Statement	concurrent;
	Statement	revocation;
	Grant		grant;
	Membership	other;

	begin();
	old = state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	state(GRANT_MEMBER, GRANT_WRITER, &anna, &bert, NOW);
	/* made by somebody who does not know of the revocation: same set, other half of the network */
	concurrent = force(GRANT_MEMBER, GRANT_ADMIN, 1, &root, &anna, 9);
	revocation = state(GRANT_REVOCATION, GRANT_NOBODY, &root, &anna, NOW + 1);
	ok(role_of(&anna) == GRANT_NOBODY, "who is revoked is nobody");
	ok(role_of(&bert) == GRANT_NOBODY, "and with an admin goes whom it let in");
	ok(add_to(&set, &concurrent, NOW) == MEMBERSHIP_ADDED && role_of(&anna) == GRANT_NOBODY,
	   "revocation wins over a concurrent grant, though its epoch is greater");
	ok(add_to(&set, &old, NOW) == MEMBERSHIP_SUPERSEDED && add_to(&set, &revocation, NOW) == MEMBERSHIP_KNOWN,
	   "replays change nothing");
	state(GRANT_MEMBER, GRANT_READER, &root, &anna, NOW + 2);
	ok(role_of(&anna) == GRANT_READER, "a grant that knows of the revocation lets in again");
	state(GRANT_REVOCATION, GRANT_NOBODY, &root, &anna, NOW + 3);
	ok(role_of(&anna) == GRANT_NOBODY, "until the next revocation");
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW + 4);
	ok(role_of(&anna) == GRANT_ADMIN && role_of(&bert) == GRANT_WRITER, "let in again as an admin, and with it whom it had let in");

	/* two revoke at once: a grant must know of both */
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &dora, NOW);
	state(GRANT_MEMBER, GRANT_READER, &anna, &carl, NOW);
	membership_init(&other, &memory, &crypto, root.public);
	for (uint32_t cursor = 0;;)
	{
		const uint8_t *bytes = membership_next(&set, &cursor);
		Statement	s;

		if (bytes == NULL)
			break;
		memcpy(s.bytes, bytes, GRANT_BYTES);
		if (add_to(&other, &s, NOW + 10) != MEMBERSHIP_ADDED)
			diag("a copied statement was refused");
	}
	ok(other.n == set.n && memcmp(other.fingerprint, set.fingerprint, GRANT_HASH_BYTES) == 0,
	   "a set copied by depth is equal, and so is its fingerprint");
	revocation = state_in(&other, GRANT_REVOCATION, GRANT_NOBODY, &dora, &carl, NOW + 5, 0);
	state(GRANT_REVOCATION, GRANT_NOBODY, &anna, &carl, NOW + 5);
	state(GRANT_MEMBER, GRANT_READER, &anna, &carl, NOW + 6);
	ok(role_of(&carl) == GRANT_READER, "one half has revoked and granted anew");
	ok(add_to(&set, &revocation, NOW + 10) == MEMBERSHIP_ADDED && role_of(&carl) == GRANT_NOBODY,
	   "the other half's revocation, unknown to that grant, wins");
	ok(!membership_prepare(&set, GRANT_MEMBER, GRANT_READER, anna.public, carl.public, NOW, 0, &grant),
	   "a grant cannot name two revocations");
	state(GRANT_REVOCATION, GRANT_NOBODY, &anna, &carl, NOW + 7);
	state(GRANT_MEMBER, GRANT_WRITER, &anna, &carl, NOW + 8);
	ok(role_of(&carl) == GRANT_WRITER, "one that joins them, and a grant that names it, lets in again");
	membership_reset(&other);
	membership_reset(&set);
}

static void
test_authority(void)
{
	Grant		grant;
	Statement	s;

	begin();
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &bert, NOW);
	state(GRANT_MEMBER, GRANT_ADMIN, &anna, &carl, NOW);
	state(GRANT_MEMBER, GRANT_WRITER, &carl, &dora, NOW);
	ok(role_of(&carl) == GRANT_ADMIN && role_of(&dora) == GRANT_WRITER, "a chain of three");
	state(GRANT_REVOCATION, GRANT_NOBODY, &bert, &anna, NOW);
	ok(role_of(&anna) == GRANT_ADMIN, "an admin does not revoke one as near to the root as itself");
	s = force(GRANT_REVOCATION, GRANT_NOBODY, 3, &carl, &anna, 1);
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_ADDED && role_of(&anna) == GRANT_ADMIN, "nor one that is nearer");
	state(GRANT_REVOCATION, GRANT_NOBODY, &bert, &carl, NOW);
	ok(role_of(&carl) == GRANT_NOBODY && role_of(&dora) == GRANT_NOBODY, "but one that is farther, whoever let it in");
	state(GRANT_REVOCATION, GRANT_NOBODY, &root, &bert, NOW);
	ok(role_of(&bert) == GRANT_NOBODY && role_of(&carl) == GRANT_ADMIN && role_of(&dora) == GRANT_WRITER,
	   "what an evicted admin has revoked is as it was before");
	ok(!membership_prepare(&set, GRANT_MEMBER, GRANT_READER, bert.public, dora.public, NOW, 0, &grant) &&
	   !membership_prepare(&set, GRANT_REVOCATION, GRANT_NOBODY, bert.public, dora.public, NOW, 0, &grant),
	   "and it is asked for no more statements");
	state(GRANT_REVOCATION, GRANT_NOBODY, &dora, &dora, NOW);
	ok(role_of(&dora) == GRANT_NOBODY, "a member can leave by itself");
	s = force(GRANT_REVOCATION, GRANT_NOBODY, 1, &root, &anna, 5);
	add_to(&set, &s, NOW);
	ok(role_of(&anna) == GRANT_NOBODY && role_of(&carl) == GRANT_NOBODY, "the root evicts whom it likes");
	membership_reset(&set);
}

/* What counts does not depend on the order in which statements came. */
static void
test_order(void)
{
	enum
	{
		PEOPLE = 12,
		ROUNDS = 30
	};
	Key			people[PEOPLE];
	int			differ = 0;
	int			sizes = 0;

	for (int i = 0; i < PEOPLE; i++)
		people[i] = new_key();
	for (int round = 0; round < ROUNDS; round++)
	{
		Statement	said[80];
		int			n = 0;
		int			order[80];
		Membership	sets[2];

		begin();
		for (int i = 0; i < 80 && n < 60; i++)
		{
			const Key  *issuer = i < 4 ? &root : &people[core_random_below(&fixture_random, PEOPLE)];
			const Key  *member = &people[core_random_below(&fixture_random, PEOPLE)];
			GrantKind	kind = i < 4 || core_random_below(&fixture_random, 3) ? GRANT_MEMBER : GRANT_REVOCATION;
			GrantRole	role = kind == GRANT_REVOCATION ? GRANT_NOBODY :
				i < 4 || core_random_below(&fixture_random, 2) ? GRANT_ADMIN : GRANT_READER;
			Grant		grant;

			if (membership_prepare(&set, kind, role, issuer->public, member->public, NOW + i, 0, &grant) &&
				grant.depth <= GRANT_DEPTH_MAX &&
				grant_sign(&crypto, issuer->secret, &grant, said[n].bytes) == DECODE_OK)
			{
				/* some statements are made without knowledge of the ones before */
				if (core_random_below(&fixture_random, 3))
					add_to(&set, &said[n], NOW + i);
				n++;
			}
		}
		membership_reset(&set);
		for (int which = 0; which < 2; which++)
		{
			membership_init(&sets[which], &memory, &crypto, root.public);
			for (int i = 0; i < n; i++)
				order[i] = i;
			for (int i = n - 1; i > 0; i--)
			{
				int			j = (int) core_random_below(&fixture_random, (uint64_t) i + 1);
				int			t = order[i];

				order[i] = order[j];
				order[j] = t;
			}
			/* in any order, until nothing new is taken: as sets are exchanged again and again */
			for (int before = -1; before != sets[which].n;)
			{
				before = sets[which].n;
				for (int i = 0; i < n; i++)
					add_to(&sets[which], &said[order[i]], NOW + 1000);
			}
		}
		/* and each other's, as members do */
		for (int pass = 0; pass < 4; pass++)
			for (uint32_t cursor = 0;;)
			{
				const uint8_t *bytes = membership_next(&sets[pass % 2], &cursor);
				Statement	s;

				if (bytes == NULL)
					break;
				memcpy(s.bytes, bytes, GRANT_BYTES);
				add_to(&sets[1 - pass % 2], &s, NOW + 1000);
			}
		sizes += memcmp(sets[0].fingerprint, sets[1].fingerprint, GRANT_HASH_BYTES) != 0;
		for (int i = 0; i < PEOPLE; i++)
			differ += membership_role(&sets[0], people[i].public, NOW + 1000) !=
				membership_role(&sets[1], people[i].public, NOW + 1000);
		membership_reset(&sets[0]);
		membership_reset(&sets[1]);
	}
	ok(sizes == 0, "sets that were told the same in any order are equal (%d of %d differ)", sizes, ROUNDS);
	ok(differ == 0, "and give everybody the same role");
}

static Statement
invite(const Key *issuer, const Key *one_time, GrantRole role, int64_t unix_ms)
{
	return state(GRANT_INVITATION, role, issuer, one_time, unix_ms);
}

static Redemption
redemption_by(const Key *one_time, const Key *member)
{
	uint8_t		bytes[REDEMPTION_BYTES];
	Redemption	redemption = {.issued_ms = 0};

	redemption_sign(&crypto, one_time->secret, root.public, member->public, NOW, bytes);
	if (redemption_decode(&crypto, bytes, sizeof bytes, NOW, SKEW, &redemption) != DECODE_OK)
		diag("a redemption of the test was refused");
	return redemption;
}

static void
test_redeeming(void)
{
	Key			one_time = new_key();
	Key			second = new_key();
	Redemption	by_carl = redemption_by(&one_time, &carl);
	Redemption	by_dora = redemption_by(&one_time, &dora);
	Grant		grant;
	Grant		other;
	Statement	s[2];
	uint8_t		bytes[REDEMPTION_BYTES + 1];
	uint8_t		changed[REDEMPTION_BYTES];
	Redemption	out;
	int			wrong = 0;

	redemption_sign(&crypto, one_time.secret, root.public, carl.public, NOW, bytes);
	for (size_t len = 0; len < REDEMPTION_BYTES; len++)
	{
		uint8_t    *copy = exact_copy(bytes, len);

		wrong += redemption_decode(&crypto, copy, len, NOW, SKEW, &out) != DECODE_TRUNCATED;
		free(copy);
	}
	for (size_t i = 0; i < REDEMPTION_BYTES * 8; i++)
	{
		memcpy(changed, bytes, REDEMPTION_BYTES);
		changed[i / 8] ^= (uint8_t) (1 << i % 8);
		wrong += redemption_decode(&crypto, changed, REDEMPTION_BYTES, NOW, SKEW, &out) == DECODE_OK;
	}
	bytes[REDEMPTION_BYTES] = 0;
	wrong += redemption_decode(&crypto, bytes, REDEMPTION_BYTES + 1, NOW, SKEW, &out) != DECODE_OVERLONG;
	ok(wrong == 0, "a redemption that is cut, longer or changed is refused");
	ok(redemption_decode(&crypto, bytes, REDEMPTION_BYTES, NOW - SKEW - 1, SKEW, &out) == DECODE_FUTURE &&
	   redemption_decode(&crypto, bytes, REDEMPTION_BYTES, NOW + SKEW + REDEMPTION_LIFE_MS, SKEW, &out) == DECODE_EXPIRED,
	   "and so is one of another time");

	begin();
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &bert, NOW);
	ok(membership_redeem(&set, &by_carl, anna.public, NOW, &grant) == REDEEM_VOID, "what nobody has issued is void");
	invite(&anna, &one_time, GRANT_WRITER, NOW);
	ok(role_of(&one_time) == GRANT_NOBODY, "an invitation makes its own key no member");
	ok(membership_redeem(&set, &by_carl, carl.public, NOW, &grant) == REDEEM_NOT_ADMIN, "who is no admin redeems nothing");
	ok(membership_redeem(&set, &by_carl, bert.public, NOW + HOUR, &grant) == REDEEM_VOID, "an expired one is void");
	/* both halves of a split network redeem the same text */
	ok(membership_redeem(&set, &by_carl, anna.public, NOW + 5, &grant) == REDEEM_OK && grant.role == GRANT_WRITER, "an admin redeems it");
	ok(membership_redeem(&set, &by_dora, bert.public, NOW + 4, &other) == REDEEM_OK, "another one too, if it does not know");
	grant_sign(&crypto, anna.secret, &grant, s[0].bytes);
	grant_sign(&crypto, bert.secret, &other, s[1].bytes);
	add_to(&set, &s[0], NOW + 5);
	ok(role_of(&carl) == GRANT_WRITER, "the first half has its member");
	ok(membership_redeem(&set, &by_carl, bert.public, NOW, &grant) == REDEEM_ALREADY, "asking again is no harm");
	ok(membership_redeem(&set, &by_dora, bert.public, NOW, &grant) == REDEEM_USED, "a second member is refused");
	add_to(&set, &s[1], NOW + 5);
	ok(role_of(&carl) == GRANT_NOBODY && role_of(&dora) == GRANT_WRITER, "when the halves meet the earlier one counts, and one only");
	membership_reset(&set);
	begin();
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &bert, NOW);
	add_to(&set, &s[1], NOW + 5);
	add_to(&set, &s[0], NOW + 5);
	ok(role_of(&carl) == GRANT_NOBODY && role_of(&dora) == GRANT_WRITER, "whichever half is heard first");
	state(GRANT_REVOCATION, GRANT_NOBODY, &root, &dora, NOW + 6);
	ok(role_of(&dora) == GRANT_NOBODY && role_of(&carl) == GRANT_WRITER, "a revoked member does not keep the other out");
	membership_reset(&set);

	begin();
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	invite(&anna, &second, GRANT_READER, NOW);
	by_carl = redemption_by(&second, &carl);
	state(GRANT_REVOCATION, GRANT_NOBODY, &anna, &second, NOW);
	ok(membership_redeem(&set, &by_carl, anna.public, NOW, &grant) == REDEEM_VOID, "an invitation can be taken back");
	membership_reset(&set);

	begin();
	invite(&root, &one_time, GRANT_READER, NOW);
	by_carl = redemption_by(&one_time, &carl);
	if (membership_redeem(&set, &by_carl, root.public, NOW, &grant) != REDEEM_OK)
		diag("not redeemed");
	grant_sign(&crypto, root.secret, &grant, s[0].bytes);
	add_to(&set, &s[0], NOW);
	state(GRANT_REVOCATION, GRANT_NOBODY, &root, &carl, NOW);
	ok(membership_redeem(&set, &by_carl, root.public, NOW, &grant) == REDEEM_USED, "who was revoked does not come back with the same text");
	membership_reset(&set);
}

/* Fill the set with what an admin of depth 1 says about random keys. */
static void
flood(const Key *issuer, GrantKind kind)
{
	for (int i = 0; i < set.limit + 10; i++)
	{
		Key			key = new_key();
		Statement	s = force(kind, kind == GRANT_REVOCATION ? GRANT_NOBODY : GRANT_READER, 2, issuer, &key, 1);

		if (add_to(&set, &s, NOW) == MEMBERSHIP_FULL)
			break;
	}
}

static void
test_limits(void)
{
	enum
	{
		AGAIN = 69
	};
	Statement	again[AGAIN];
	uint8_t		fingerprint[GRANT_HASH_BYTES];
	Statement	s;
	Key			evil = new_key();
	Key			key;
	int			hers = 0;

	/* the same one again and again, in two orders */
	for (int i = 0; i < AGAIN; i++)
		again[i] = force(GRANT_REVOCATION, GRANT_NOBODY, 2, &anna, &bert, (uint64_t) i);
	begin();
	s = state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	for (int i = 0; i < AGAIN; i++)
		add_to(&set, &again[i], NOW);
	memcpy(fingerprint, set.fingerprint, sizeof fingerprint);
	ok(set.n == 1 + MEMBERSHIP_AGAIN, "of one issuer's revocations of one member %d are held", set.n - 1);
	membership_reset(&set);
	begin();
	add_to(&set, &s, NOW);
	for (int i = AGAIN - 1; i >= 0; i--)
		add_to(&set, &again[i], NOW);
	ok(set.n == 1 + MEMBERSHIP_AGAIN && memcmp(fingerprint, set.fingerprint, sizeof fingerprint) == 0,
	   "the last ones, in whatever order they came");
	membership_reset(&set);

	/* an admin fills the set with revocations of nobody */
	begin();
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &evil, NOW);
	state(GRANT_MEMBER, GRANT_WRITER, &anna, &carl, NOW);
	flood(&evil, GRANT_REVOCATION);
	ok(set.n == MEMBERSHIP_LIMIT, "a set has at most %d statements", set.n);
	key = new_key();
	s = force(GRANT_REVOCATION, GRANT_NOBODY, 2, &evil, &key, 0);
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_FULL && set.n == MEMBERSHIP_LIMIT, "who has filled it has no more room");
	s.bytes[GRANT_BYTES - 1] ^= 1;
	ok(add_to(&set, &s, NOW) == MEMBERSHIP_FULL, "and costs no signature");
	state(GRANT_MEMBER, GRANT_WRITER, &anna, &dora, NOW);
	ok(role_of(&dora) == GRANT_WRITER, "another admin admits");
	state(GRANT_REVOCATION, GRANT_NOBODY, &dora, &dora, NOW);
	ok(role_of(&dora) == GRANT_NOBODY, "a member leaves");
	state(GRANT_REVOCATION, GRANT_NOBODY, &anna, &carl, NOW);
	ok(role_of(&carl) == GRANT_NOBODY, "another admin evicts");
	state(GRANT_MEMBER, GRANT_READER, &root, &bert, NOW);
	ok(role_of(&bert) == GRANT_READER, "the root admits");
	state(GRANT_REVOCATION, GRANT_NOBODY, &root, &evil, NOW);
	ok(role_of(&evil) == GRANT_NOBODY, "and evicts who has filled it");
	ok(set.n - set.n_leaves == MEMBERSHIP_LIMIT, "all that within the limit");
	membership_reset(&set);
	ok(set.n == 0, "and it can be emptied");

	/* who is evicted loses its room: others fill it */
	begin();
	set.limit = 64;
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &bert, NOW);
	flood(&anna, GRANT_MEMBER);
	state(GRANT_REVOCATION, GRANT_NOBODY, &root, &anna, NOW);
	ok(set.n == 64 && role_of(&anna) == GRANT_NOBODY, "an admin of a full set is evicted");
	flood(&bert, GRANT_MEMBER);
	for (int i = 0; i < set.n; i++)
		hers += memcmp(set.entry[i]->grant.issuer, anna.public, 32) == 0;
	ok(set.n == 64 && hers == 0, "and all its statements make room for those of another");
	membership_reset(&set);

	/* many who are farther from the root revoke one member */
	begin();
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	state(GRANT_MEMBER, GRANT_WRITER, &anna, &carl, NOW);
	for (int i = 0; i < 2 * MEMBERSHIP_REVOCATIONS; i++)
	{
		key = new_key();
		state(GRANT_MEMBER, GRANT_ADMIN, &anna, &key, NOW);
		s = force(GRANT_REVOCATION, GRANT_NOBODY, 3, &key, &carl, 1);
		add_to(&set, &s, NOW);
	}
	ok(role_of(&carl) == GRANT_WRITER, "revocations from farther off do nothing");
	state(GRANT_REVOCATION, GRANT_NOBODY, &anna, &carl, NOW);
	ok(role_of(&carl) == GRANT_NOBODY, "and do not keep a nearer one from being looked at");
	membership_reset(&set);
}

/* What evicted admins had revoked keeps nobody out, and hides no revocation that counts. */
static void
test_evicted(void)
{
	Key			evicted[MEMBERSHIP_REVOCATIONS / MEMBERSHIP_AGAIN];
	Statement	s;
	Grant		grant;

	begin();
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	state(GRANT_MEMBER, GRANT_WRITER, &anna, &carl, NOW);
	for (int i = 0; i < MEMBERSHIP_REVOCATIONS / MEMBERSHIP_AGAIN; i++)
	{
		do
			evicted[i] = new_key();
		while (memcmp(evicted[i].public, anna.public, CORE_KEY_BYTES) > 0);
		state(GRANT_MEMBER, GRANT_ADMIN, &root, &evicted[i], NOW);
		for (uint64_t epoch = 1; epoch <= MEMBERSHIP_AGAIN; epoch++)
		{
			s = force(GRANT_REVOCATION, GRANT_NOBODY, 2, &evicted[i], &carl, epoch);
			add_to(&set, &s, NOW);
		}
	}
	ok(role_of(&carl) == GRANT_NOBODY, "many admins revoke a member, each as often as there is room for");
	ok(!membership_prepare(&set, GRANT_MEMBER, GRANT_WRITER, anna.public, carl.public, NOW, 0, &grant),
	   "another as near to the root cannot let it in again");
	for (int i = 0; i < MEMBERSHIP_REVOCATIONS / MEMBERSHIP_AGAIN; i++)
		state(GRANT_REVOCATION, GRANT_NOBODY, &root, &evicted[i], NOW + 1);
	ok(role_of(&carl) == GRANT_WRITER, "they are evicted, and it is in again");
	state(GRANT_REVOCATION, GRANT_NOBODY, &anna, &carl, NOW + 2);
	ok(role_of(&carl) == GRANT_NOBODY, "who is still an admin evicts it, however many have done so before");
	state(GRANT_MEMBER, GRANT_READER, &anna, &carl, NOW + 3);
	ok(role_of(&carl) == GRANT_READER, "and lets it in again");
	membership_reset(&set);
}

static DecodeStatus
read_text(const char *text, size_t len, int64_t unix_ms)
{
	char	   *copy = (char *) exact_copy(text, len);
	Invitation	invitation;
	DecodeStatus status = invitation_decode(&crypto, copy, len, unix_ms, SKEW, &invitation);

	free(copy);
	return status;
}

/* An admin names members with keys as low as it can grind: they are not all that is looked for. */
static void
test_pick(void)
{
	enum
	{
		MEMBERS = 100, PICKS = 10000
	};

	Key			member[MEMBERS];
	int			picked[MEMBERS] = {0};
	int			others = -1;
	int			least = PICKS;
	int			wrong = 0;

	begin();
	ok(membership_pick(&set, anna.public, &fixture_random, NOW, &others) == NULL && others == 0, "of nobody nobody is picked");
	state(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	ok(membership_pick(&set, anna.public, &fixture_random, NOW, &others) == NULL && others == 0, "nor is who asks");
	state(GRANT_MEMBER, GRANT_READER, &root, &bert, NOW);
	state(GRANT_REVOCATION, GRANT_NOBODY, &root, &bert, NOW);
	for (int i = 0; i < MEMBERS; i++)
	{
		member[i] = new_key();
		state(GRANT_MEMBER, GRANT_READER, &anna, &member[i], NOW);
		/* two grants make nobody likelier */
		if (i == 0)
			state(GRANT_MEMBER, GRANT_WRITER, &root, &member[i], NOW);
	}
	for (int k = 0; k < PICKS; k++)
	{
		const uint8_t *key = membership_pick(&set, anna.public, &fixture_random, NOW, &others);
		int			i = 0;

		while (i < MEMBERS && memcmp(member[i].public, key, 32) != 0)
			i++;
		if (i < MEMBERS)
			picked[i]++;
		else
			wrong++;
	}
	for (int i = 0; i < MEMBERS; i++)
		least = picked[i] < least ? picked[i] : least;
	ok(wrong == 0 && others == MEMBERS, "nobody who was evicted is picked");
	ok(least >= PICKS / MEMBERS / 3 && picked[0] <= 2 * PICKS / MEMBERS, "and each of %d is, %d times at least of %d, whatever its key",
	   MEMBERS, least, PICKS);
	membership_reset(&set);
}

static void
test_invitation(void)
{
	Invitation	in = {.network = network, .n_addresses = 2, .addresses = {nth_address(1), nth_address(2)}};
	Invitation	out;
	char		text[INVITATION_TEXT_MAX + 2];
	char		changed[INVITATION_TEXT_MAX + 2];
	uint8_t		secret[CORE_SECRET_BYTES];
	Key			one_time;
	Statement	statement;
	size_t		len;
	bool		done;
	int			wrong = 0;
	int			taken = 0;

	begin();
	host_fill(&random_state, in.seed, sizeof in.seed);
	host_fill(&random_state, in.curve_key, sizeof in.curve_key);
	in.node = kad_id_of_key(&crypto, anna.public);
	crypto.key_pair(NULL, in.seed, one_time.public, one_time.secret);
	memcpy(secret, one_time.secret, sizeof secret);
	statement = invite(&root, &one_time, GRANT_READER, NOW);
	memcpy(in.statement, statement.bytes, GRANT_BYTES);
	done = invitation_text(&crypto, &in, text);
	len = done ? strlen(text) : 0;
	ok(done, "an invitation is written, %zu characters", len);
	ok(strspn(text + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == len - 7 &&
	   strncmp(text, "vecdb1:", 7) == 0, "of characters that need no quoting");
	ok(invitation_decode(&crypto, text, len, NOW, SKEW, &out) == DECODE_OK && out.network == network &&
	   out.n_addresses == 2 && net_address_equal(&out.addresses[1], &in.addresses[1]) &&
	   kad_id_equal(&out.node, &in.node) && memcmp(out.curve_key, in.curve_key, 32) == 0 &&
	   out.grant.role == GRANT_READER && memcmp(out.secret, secret, sizeof secret) == 0,
	   "every field comes back, and the key to redeem it");
	for (size_t cut = 0; cut < len; cut++)
		wrong += read_text(text, cut, NOW) == DECODE_OK;
	for (size_t i = 0; i < len; i++)
		for (int c = 1; c < 256; c += 5)
		{
			memcpy(changed, text, len);
			changed[i] = (char) (changed[i] ^ c);
			taken += read_text(changed, len, NOW) == DECODE_OK;
		}
	ok(wrong == 0 && taken == 0, "cut or changed anywhere it is refused");
	memcpy(changed, text, len);
	changed[20] = changed[20] == 'x' ? 'y' : 'x';
	ok(read_text(changed, len, NOW) == DECODE_CHECKSUM, "a typing error is told as one");
	changed[20] = ' ';
	ok(read_text(changed, len, NOW) == DECODE_TEXT, "and so is a space");
	ok(read_text("vecdb2:AAAA", 11, NOW) == DECODE_MAGIC && read_text("", 0, NOW) == DECODE_MAGIC &&
	   read_text("vecdb1:", 7, NOW) == DECODE_TRUNCATED, "something else is told as such");
	memset(changed, 'A', sizeof changed);
	memcpy(changed, "vecdb1:", 7);
	ok(read_text(changed, sizeof changed, NOW) != DECODE_OK && read_text(changed, INVITATION_TEXT_MAX, NOW) == DECODE_CHECKSUM,
	   "one that is too long is refused");
	ok(read_text(text, len, NOW + HOUR) == DECODE_EXPIRED && read_text(text, len, NOW - SKEW - 1) == DECODE_FUTURE,
	   "it holds in its time only");

	/* checksums are right from here on: who writes them is no honest writer */
	in.statement[200] ^= 1;
	invitation_text(&crypto, &in, text);
	ok(read_text(text, strlen(text), NOW) == DECODE_SIGNATURE, "a forged statement is refused");
	in.statement[200] ^= 1;
	in.seed[0] ^= 1;
	invitation_text(&crypto, &in, text);
	ok(read_text(text, strlen(text), NOW) == DECODE_SIGNATURE, "a seed of another key is refused");
	in.seed[0] ^= 1;
	statement = force(GRANT_MEMBER, GRANT_READER, 1, &root, &one_time, 9);
	memcpy(in.statement, statement.bytes, GRANT_BYTES);
	invitation_text(&crypto, &in, text);
	ok(read_text(text, strlen(text), NOW) == DECODE_VALUE, "a grant in place of an invitation is refused");
	in.n_addresses = 0;
	ok(!invitation_text(&crypto, &in, text), "none without an address is written");
	in.n_addresses = 1;
	in.addresses[0].port = 0;
	ok(!invitation_text(&crypto, &in, text), "nor one with an address that cannot be reached");
	membership_reset(&set);
}

int
main(void)
{
	fixture_begin(100);
	root = new_key();
	anna = new_key();
	bert = new_key();
	carl = new_key();
	dora = new_key();
	test_bytes();
	test_roles();
	test_revocation();
	test_authority();
	test_order();
	test_redeeming();
	test_limits();
	test_evicted();
	test_pick();
	test_invitation();
	return fixture_end();
}
