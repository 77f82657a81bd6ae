/*
 * membership_sets_test.c
 *	  Random sets of statements, among them such as no honest node makes, heard in
 *	  random orders: sets come to rest and hold the same.
 *
 *	TEST_SEED=N		begin with another set
 *	TEST_ROUNDS=N	so many of them; 500, or 12,000 with LONG=1
 *
 * Each round follows from a number alone, the seed plus those before it: one that
 * fails is told by the seed that begins with it.
 *
 * A statement is heard some hundred times in a round, so the cryptography is a
 * stand-in: a signature is a hash of what it signs.
 */
#include "core/net/membership.h"

#include "host_fixture.h"
#include "tap.h"

#define NOW INT64_C(1800000000000)	/* unix ms */
#define HOUR INT64_C(3600000)
#define SKEW INT64_C(300000)

enum
{
	PEOPLE = 12,				/* the first is the root */
	FIRST = 3,					/* whom the root admits before anything else is said */
	SAID = 300,					/* statements of a round */
	SETS = 3					/* nodes that heard a part and tell each other */
};

typedef struct Statement
{
	uint8_t		bytes[GRANT_BYTES];
} Statement;

typedef struct Key
{
	uint8_t		public[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
} Key;

static HostMemory memory_state = {.until_failure = -1};
static CoreMemory memory = HOST_MEMORY(&memory_state);
static uint64_t random_state;
static CoreRandom random_source = HOST_RANDOM(&random_state);
static CoreCrypto quick;
static Key	people[PEOPLE];
static Statement said[SAID];
static int	n_said;
static int	limit;				/* of a set, in this round */
static int64_t now;				/* ... and the time at which all of it is heard */

static int
below(int n)
{
	return (int) core_random_below(&random_source, (uint64_t) n);
}

/* ---- cryptography, enough for statements that nobody forges ---- */

static void
quick_hash(void *context, const uint8_t *message, size_t len, uint8_t *hash)
{
	uint64_t	a = UINT64_C(1469598103934665603);
	uint64_t	b = UINT64_C(88172645463325252);

	for (size_t i = 0; i < len; i++)
	{
		a = (a ^ message[i]) * UINT64_C(1099511628211);
		b = (b + a) * UINT64_C(0x9E3779B97F4A7C15);
		b ^= b >> 29;
	}
	a ^= b << 1;
	host_fill(&a, hash, 32);
}

static bool
quick_sign(void *context, const uint8_t *secret, const uint8_t *message, size_t len, uint8_t *signature)
{
	quick_hash(context, message, len, signature);
	memcpy(signature + 32, signature, 32);
	return true;
}

static bool
quick_verify(void *context, const uint8_t *key, const uint8_t *message, size_t len, const uint8_t *signature)
{
	return true;
}

/* The public half stands where libsodium has it. */
static Key
quick_key(void)
{
	Key			key;

	host_fill(&random_state, key.secret, sizeof key.secret);
	memcpy(key.public, key.secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	return key;
}

/* ---- what is said ---- */

static void
limited(Membership *self, int to)
{
	membership_init(self, &memory, &quick, people[0].public);
	self->limit = to;
}

static MembershipAdded
add_to(Membership *to, const Statement *statement)
{
	DecodeStatus status;

	return membership_add(to, statement->bytes, GRANT_BYTES, now, SKEW, &status);
}

/* The name of one of those said before. */
static void
name_one(uint8_t *hash)
{
	grant_hash(&quick, said[below(n_said)].bytes, hash);
}

/* Any fields that can be signed, whether their issuer may say so or not. */
static Grant
any_grant(GrantKind kind, GrantRole role, const Key *member, int64_t expires_ms)
{
	Grant		grant = {.kind = (uint8_t) kind, .role = (uint8_t) role, .depth = (uint8_t) (1 + below(5)),
	.epoch = (uint64_t) below(6), .issued_ms = NOW + below(5), .expires_ms = expires_ms};

	memcpy(grant.root, people[0].public, CORE_KEY_BYTES);
	memcpy(grant.member, member->public, CORE_KEY_BYTES);
	if (below(20) == 0)
		grant.epoch = UINT64_MAX;
	if (kind == GRANT_MEMBER && below(3) == 0)
		memset(grant.invitation, 1 + below(3), sizeof grant.invitation);
	if (n_said > 0 && kind != GRANT_INVITATION && below(2) == 0)
		name_one(grant.overrides);
	if (n_said > 0 && kind == GRANT_REVOCATION && below(2) == 0)
	{
		name_one(grant.invitation);
		if (below(2) == 0)
			name_one(grant.invitation + GRANT_HASH_BYTES);
	}
	return grant;
}

/* Half of it by somebody who knows most of what was said before, half by nobody honest. */
static void
make_statements(void)
{
	Membership	known;
	int			n_people = FIRST + below(PEOPLE - FIRST);
	int			wanted = 20 + below(SAID - 20);

	now = NOW + 1000;
	n_said = 0;
	limited(&known, MEMBERSHIP_LIMIT);
	for (int i = 0; i < 6 * wanted && n_said < wanted; i++)
	{
		bool		first = i < FIRST;
		const Key  *issuer = first ? &people[0] : &people[below(n_people)];
		const Key  *member = first ? &people[i + 1] : below(8) == 0 ? issuer : &people[below(n_people)];
		int			dice = below(12);
		GrantKind	kind = first || dice < 6 ? GRANT_MEMBER : dice < 11 ? GRANT_REVOCATION : GRANT_INVITATION;
		GrantRole	role = kind == GRANT_REVOCATION ? GRANT_NOBODY : first || below(3) > 0 ? GRANT_ADMIN : (GrantRole) (1 + below(3));
		int64_t		issued_ms = NOW + i;
		int64_t		expires_ms = kind == GRANT_INVITATION ? issued_ms + HOUR :
			kind == GRANT_MEMBER && !first && below(6) == 0 ? issued_ms + 1 + below(2000) : 0;
		Grant		grant;

		if (!(first || below(2) == 0) ||
			!membership_prepare(&known, kind, role, issuer->public, member->public, issued_ms, expires_ms, &grant))
			grant = any_grant(kind, role, member, expires_ms);
		if (grant_sign(&quick, issuer->secret, &grant, said[n_said].bytes) != DECODE_OK)
			continue;
		if (first || below(4) > 0)
			add_to(&known, &said[n_said]);
		n_said++;
	}
	membership_reset(&known);
}

/* ---- what becomes of it ---- */

/* Give a set all of it, in random order, again and again until it takes none. */
static bool
settle(Membership *to)
{
	int			order[SAID];

	for (int i = 0; i < n_said; i++)
		order[i] = i;
	for (int pass = 0; pass < 200; pass++)
	{
		uint64_t	before = to->changes;

		for (int i = n_said - 1; i > 0; i--)
		{
			int			j = below(i + 1);
			int			t = order[i];

			order[i] = order[j];
			order[j] = t;
		}
		for (int i = 0; i < n_said; i++)
			add_to(to, &said[order[i]]);
		if (to->changes == before)
			return true;
	}
	return false;
}

/* They tell each other all they hold, in turns, until nothing changes. */
static bool
exchange(Membership *sets)
{
	for (int turn = 0; turn < 400; turn++)
	{
		bool		changed = false;

		for (int pair = 0; pair < SETS * SETS; pair++)
		{
			Membership *from = &sets[pair / SETS];
			Membership *to = &sets[pair % SETS];
			uint64_t	before = to->changes;
			const uint8_t *bytes;

			for (uint32_t cursor = 0; from != to && (bytes = membership_next(from, &cursor)) != NULL;)
			{
				Statement	s;

				memcpy(s.bytes, bytes, GRANT_BYTES);
				add_to(to, &s);
			}
			changed |= to->changes != before;
		}
		if (!changed)
			return true;
	}
	return false;
}

static bool
same_set(const Membership *a, const Membership *b)
{
	return memcmp(a->fingerprint, b->fingerprint, GRANT_HASH_BYTES) == 0;
}

static bool
same_roles(Membership *a, Membership *b)
{
	for (int i = 0; i < PEOPLE; i++)
		if (membership_role(a, people[i].public, now) != membership_role(b, people[i].public, now) ||
			membership_admin_depth(a, people[i].public, now) != membership_admin_depth(b, people[i].public, now))
			return false;
	return true;
}

/* Is what is known of each statement what is found when all are looked at anew? */
static bool
is_up_to_date(Membership *self)
{
	static bool counts[2 * SAID];
	static bool idle[2 * SAID];

	(void) membership_role(self, people[1].public, now);
	for (int i = 0; i < self->n; i++)
	{
		counts[i] = self->entry[i]->counts;
		idle[i] = self->entry[i]->idle;
	}
	self->dirty = true;
	(void) membership_role(self, people[1].public, now);
	for (int i = 0; i < self->n; i++)
		if (self->entry[i]->counts != counts[i] || self->entry[i]->idle != idle[i])
			return false;
	return true;
}

static bool
within_limit(const Membership *self)
{
	return self->n - self->n_leaves <= limit && self->n_leaves <= limit;
}

/* Has something of the root's no room beside something that is not the root's? */
static bool
root_lacks_room(Membership *self)
{
	bool		others = false;
	bool		full = false;

	for (int i = 0; i < self->n; i++)
	{
		const Grant *grant = &self->entry[i]->grant;

		others |= grant->depth > 1 && memcmp(grant->issuer, grant->member, CORE_KEY_BYTES) != 0;
	}
	for (int i = 0; i < n_said && others; i++)
		if (memcmp(said[i].bytes + 40, people[0].public, CORE_KEY_BYTES) == 0)
			full |= add_to(self, &said[i]) == MEMBERSHIP_FULL;
	return full;
}

typedef enum Fault
{
	RESTLESS,
	DIFFER,
	ROLES,
	STALE,
	TALKATIVE,
	APART,
	TOO_MANY,
	ROOT_LACKS,
	FAULTS
} Fault;

static int	faults[FAULTS];
static int	n_full;

static void
note(bool wrong, Fault fault, const char *what, uint64_t seed)
{
	if (wrong && ++faults[fault] <= 5)
		diag("%s: TEST_SEED=%llu begins with it (limit %d, %d statements)", what, (unsigned long long) seed, limit, n_said);
}

static void
play(uint64_t seed)
{
	Membership	all[2];
	Membership	parts[SETS];
	bool		rested = true;
	bool		within = true;
	bool		stale = false;

	random_state = seed;
	for (int i = 0; i < PEOPLE; i++)
		people[i] = quick_key();
	limit = below(3) == 0 ? MEMBERSHIP_LIMIT : 6 + below(50);
	make_statements();
	now = NOW + below(3000);

	for (int i = 0; i < 2; i++)
	{
		limited(&all[i], limit);
		rested &= settle(&all[i]);
		within &= within_limit(&all[i]);
	}
	n_full += all[0].n - all[0].n_leaves == limit;
	note(!rested, RESTLESS, "a set that is told the same again does not come to rest", seed);
	note(!same_set(&all[0], &all[1]), DIFFER, "two that heard all of it differ", seed);
	note(!same_roles(&all[0], &all[1]), ROLES, "they differ in who is what", seed);
	note(root_lacks_room(&all[0]), ROOT_LACKS, "the root lacks room", seed);

	for (int i = 0; i < SETS; i++)
	{
		limited(&parts[i], limit);
		for (int k = 0; k < 2 * n_said; k++)
		{
			add_to(&parts[i], &said[below(n_said)]);
			stale |= below(16) == 0 && !is_up_to_date(&parts[i]);
		}
	}
	note(stale, STALE, "a set does not know what its statements are worth", seed);
	note(!exchange(parts), TALKATIVE, "some that heard parts do not come to rest", seed);
	for (int i = 0; i < SETS; i++)
	{
		note(!same_set(&parts[0], &parts[i]), APART, "some that heard parts differ", seed);
		within &= within_limit(&parts[i]);
	}
	note(!within, TOO_MANY, "there are more than there is room for", seed);
	for (int i = 0; i < SETS; i++)
		membership_reset(&parts[i]);
	membership_reset(&all[0]);
	membership_reset(&all[1]);
}

int
main(void)
{
	const char *given_seed = getenv("TEST_SEED");
	const char *given_rounds = getenv("TEST_ROUNDS");
	const char *is_long = getenv("LONG");
	uint64_t	seed = given_seed != NULL ? strtoull(given_seed, NULL, 0) : 1;
	int			rounds = given_rounds != NULL ? atoi(given_rounds) : is_long != NULL && is_long[0] != '\0' ? 12000 : 500;

	diag("seed %llu (TEST_SEED sets another)", (unsigned long long) seed);
	quick = (CoreCrypto) {NULL, quick_hash, quick_sign, quick_verify, NULL};
	for (int i = 0; i < rounds; i++)
		play(seed + (uint64_t) i);
	diag("%d rounds, in %d of them more is said than there is room for", rounds, n_full);
	if (rounds >= 100)
		ok(n_full > rounds / 4, "sets fill up");
	ok(faults[RESTLESS] == 0, "sets that hear all of it come to rest (%d of %d do not)", faults[RESTLESS], rounds);
	ok(faults[DIFFER] == 0, "they hold the same, whatever the order (%d of %d differ)", faults[DIFFER], rounds);
	ok(faults[ROLES] == 0, "and say the same of everybody (%d of %d do not)", faults[ROLES], rounds);
	ok(faults[STALE] == 0, "sets know what each statement is worth (%d of %d do not)", faults[STALE], rounds);
	ok(faults[TALKATIVE] == 0, "those that heard parts and tell each other come to rest (%d of %d do not)", faults[TALKATIVE], rounds);
	ok(faults[APART] == 0, "they hold the same, too (%d of %d do not)", faults[APART], rounds * SETS);
	ok(faults[TOO_MANY] == 0, "nobody holds more than there is room for");
	ok(faults[ROOT_LACKS] == 0, "whatever others said, the root has room (%d times it has not)", faults[ROOT_LACKS]);
	ok(memory_state.blocks == 0, "no memory is held any more (%zu blocks)", memory_state.blocks);
	return tap_done();
}
