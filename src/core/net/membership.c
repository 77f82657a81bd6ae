/*
 * membership.c
 *	  The set of statements about one collection, and what counts of it.
 *
 * Evaluation goes by depth: what counts at depth d depends on grants and
 * revocations of lesser depth only, so one pass for each depth is enough and
 * there is no cycle to resolve.  It is done when somebody asks, not on each
 * statement that arrives.
 */
#include "core/net/membership.h"

#include "core/assert.h"
#include "core/bytes.h"

#include <stdlib.h>

#define FIRST_CAPACITY 16
#define INCLUDED 3				/* revocations that one can include */

_Static_assert(MEMBERSHIP_ROOM < 0x10000, "an index fits into the lower half of membership_next()'s cursor");
_Static_assert(INCLUDED * GRANT_HASH_BYTES == CORE_KEY_BYTES + GRANT_HASH_BYTES,
			   "the revocations that one includes fill two fields of a statement");

static int	compare(const MembershipEntry *a, const MembershipEntry *b);
static bool same_member(const Membership *self, int i, const uint8_t *member);
static bool known_issuer(const Membership *self, const Grant *grant);
static bool has_grant(const Membership *self, const uint8_t *member);
static bool later(const Grant *a, const uint8_t *a_bytes, const Grant *b, const uint8_t *b_bytes);
static bool give_way(Membership *self, const Grant *grant, const uint8_t *bytes);
static bool grow(Membership *self);
static bool hopeless(Membership *self, const Grant *grant, const uint8_t *bytes, int64_t unix_ms);
static const MembershipEntry *find_last(Membership *self, int64_t unix_ms);
static void insert(Membership *self, MembershipEntry *entry);
static void remove_at(Membership *self, int i);
static void remove_entry(Membership *self, const MembershipEntry *entry);
static void evaluate(Membership *self, int64_t unix_ms);
static bool is_latest(const Membership *self, int i);
static void choose_redeemers(Membership *self, int depth);
static bool admin_at(const Membership *self, const uint8_t *key, int depth);
static bool revoked(const Grant *grant, const MembershipEntry *const *revocations, int n);
static int	next_to_go(const Membership *self, const Grant *grant);
static int	revocations_of(const Membership *self, const uint8_t *member, int depth, const MembershipEntry **out);
static uint64_t covered_by(const MembershipEntry *const *revocations, int n, const uint8_t *hash);
static int	uncovered(const Membership *self, const Grant *grant, uint8_t hashes[][GRANT_HASH_BYTES], int max);

static inline bool
is_leave(const Grant *grant)
{
	return grant->kind == GRANT_REVOCATION && memcmp(grant->issuer, grant->member, CORE_KEY_BYTES) == 0;
}

static inline const uint8_t *
included(const Grant *revocation, int i)
{
	return i < 2 ? revocation->invitation + i * GRANT_HASH_BYTES : revocation->overrides;
}

/* Are the statements in order, each once, and are leaves and fingerprint those of what is held? */
static bool
set_holds(const Membership *self)
{
	uint8_t		fingerprint[GRANT_HASH_BYTES] = {0};
	int			leaves = 0;

	for (int i = 0; i < self->n; i++)
	{
		const MembershipEntry *entry = self->entry[i];

		if (i > 0 && compare(self->entry[i - 1], entry) >= 0)
			return false;
		leaves += is_leave(&entry->grant);
		for (int k = 0; k < GRANT_HASH_BYTES; k++)
			fingerprint[k] ^= entry->hash[k];
	}
	return self->n >= 0 && self->n <= self->capacity && leaves == self->n_leaves &&
		memcmp(fingerprint, self->fingerprint, GRANT_HASH_BYTES) == 0;
}

void
membership_init(Membership *self, const CoreMemory *memory, const CoreCrypto *crypto,
				const uint8_t root[CORE_KEY_BYTES])
{
	memset(self, 0, sizeof *self);
	self->memory = memory;
	self->crypto = crypto;
	memcpy(self->root, root, CORE_KEY_BYTES);
	self->collection = kad_id_of_key(crypto, root);
	self->limit = MEMBERSHIP_LIMIT;
	self->dirty = true;
}

void
membership_reset(Membership *self)
{
	for (int i = 0; i < self->n; i++)
		core_free(self->memory, self->entry[i]);
	core_free(self->memory, self->entry);
	core_free(self->memory, self->scratch);
	self->entry = self->scratch = NULL;
	self->last = NULL;
	self->n = self->n_leaves = self->capacity = 0;
	self->dirty = true;
	memset(self->fingerprint, 0, sizeof self->fingerprint);
}

MembershipAdded
membership_add(Membership *self, const uint8_t *bytes, size_t len,
			   int64_t unix_ms, int64_t skew_ms, DecodeStatus *status)
{
	Grant		grant;
	MembershipEntry *entry;
	const MembershipEntry *last;
	uint64_t	before;

	/* for a statement that is held already no signature is verified */
	*status = DECODE_OK;
	if (len == GRANT_BYTES)
		for (int i = membership_first(self, bytes + 72); same_member(self, i, bytes + 72); i++)
			if (memcmp(self->entry[i]->bytes, bytes, GRANT_BYTES) == 0)
				return MEMBERSHIP_KNOWN;

	/* nor for one that would be of no use, whoever has signed it */
	*status = grant_read(bytes, len, unix_ms, skew_ms, &grant);
	if (*status == DECODE_OK && memcmp(grant.root, self->root, CORE_KEY_BYTES) != 0)
		*status = DECODE_COLLECTION;
	if (*status != DECODE_OK)
		return MEMBERSHIP_INVALID;
	if (!known_issuer(self, &grant))
		return MEMBERSHIP_UNKNOWN_ISSUER;
	if (!is_leave(&grant) && hopeless(self, &grant, bytes, unix_ms))
		return MEMBERSHIP_FULL;
	if (!grant_verify(self->crypto, bytes))
	{
		*status = DECODE_SIGNATURE;
		return MEMBERSHIP_INVALID;
	}

	if (!grow(self) || (entry = core_alloc(self->memory, sizeof *entry)) == NULL)
		return MEMBERSHIP_FULL;
	if (!give_way(self, &grant, bytes))
	{
		core_free(self->memory, entry);
		return MEMBERSHIP_SUPERSEDED;
	}
	before = self->changes;
	last = self->last;
	memset(entry, 0, sizeof *entry);
	entry->grant = grant;
	memcpy(entry->bytes, bytes, GRANT_BYTES);
	grant_hash(self->crypto, bytes, entry->hash);
	insert(self, entry);
	/* a statement of the same issuer and depth can only push the last one farther back */
	if (last != NULL && !self->dirty && last->grant.depth == grant.depth &&
		memcmp(last->grant.issuer, grant.issuer, CORE_KEY_BYTES) == 0)
		self->last = last;
	if (self->n - self->n_leaves > self->limit)
	{
		bool		itself;

		last = find_last(self, unix_ms);
		CORE_ASSERT(last != NULL && !is_leave(&last->grant));
		itself = last == entry;
		remove_entry(self, last);
		if (itself)
		{
			self->changes = before;
			return MEMBERSHIP_FULL;
		}
	}
	return MEMBERSHIP_ADDED;
}

GrantRole
membership_role(Membership *self, const uint8_t key[CORE_KEY_BYTES], int64_t unix_ms)
{
	GrantRole	role = GRANT_NOBODY;

	if (memcmp(key, self->root, CORE_KEY_BYTES) == 0)
		return GRANT_ADMIN;
	evaluate(self, unix_ms);
	for (int i = membership_first(self, key); same_member(self, i, key); i++)
	{
		const MembershipEntry *entry = self->entry[i];

		if (entry->counts && entry->grant.kind == GRANT_MEMBER && entry->grant.role > role)
			role = (GrantRole) entry->grant.role;
	}
	return role;
}

bool
membership_was_writer(const Membership *self, const uint8_t key[CORE_KEY_BYTES])
{
	if (memcmp(key, self->root, CORE_KEY_BYTES) == 0)
		return true;
	for (int i = membership_first(self, key); same_member(self, i, key); i++)
	{
		const Grant *grant = &self->entry[i]->grant;

		if (grant->kind == GRANT_MEMBER && (grant->role >= GRANT_WRITER || grant->epoch > 0))
			return true;
	}
	return false;
}

bool
membership_bereft(Membership *self, const uint8_t key[CORE_KEY_BYTES], int64_t unix_ms)
{
	const MembershipEntry *revocations[MEMBERSHIP_REVOCATIONS];

	if (membership_role(self, key, unix_ms) != GRANT_NOBODY)
		return false;
	for (int i = membership_first(self, key); same_member(self, i, key); i++)
	{
		const Grant *grant = &self->entry[i]->grant;

		if (grant->kind == GRANT_MEMBER && self->entry[i]->idle &&
			!revoked(grant, revocations, revocations_of(self, key, grant->depth, revocations)))
			return true;
	}
	return false;
}

const uint8_t *
membership_pick(Membership *self, const uint8_t besides[CORE_KEY_BYTES],
				const CoreRandom *random, int64_t unix_ms, int *others)
{
	const uint8_t *last = besides;
	const uint8_t *pick = NULL;

	*others = 0;
	evaluate(self, unix_ms);
	for (int i = 0; i < self->n; i++)
	{
		const MembershipEntry *entry = self->entry[i];
		const uint8_t *member = entry->grant.member;

		/* sorted by member: one who has several grants is no likelier */
		if (!entry->counts || entry->grant.kind != GRANT_MEMBER || memcmp(member, besides, CORE_KEY_BYTES) == 0 ||
			memcmp(member, last, CORE_KEY_BYTES) == 0)
			continue;
		last = member;
		if (core_random_below(random, (uint64_t) ++*others) == 0)
			pick = member;
	}
	return pick;
}

int
membership_admin_depth(Membership *self, const uint8_t key[CORE_KEY_BYTES], int64_t unix_ms)
{
	evaluate(self, unix_ms);
	for (int depth = 0; depth < GRANT_DEPTH_MAX; depth++)
		if (admin_at(self, key, depth))
			return depth;
	return -1;
}

bool
membership_prepare(Membership *self, GrantKind kind, GrantRole role,
				   const uint8_t issuer[CORE_KEY_BYTES], const uint8_t member[CORE_KEY_BYTES],
				   int64_t unix_ms, int64_t expires_ms, Grant *out)
{
	uint8_t		hashes[INCLUDED + 1][GRANT_HASH_BYTES];
	int			depth = membership_admin_depth(self, issuer, unix_ms);
	int			open;

	memset(out, 0, sizeof *out);
	if (depth < 0)
	{
		if (kind != GRANT_REVOCATION || memcmp(issuer, member, CORE_KEY_BYTES) != 0)
			return false;
		depth = 0;
	}
	out->kind = (uint8_t) kind;
	out->role = (uint8_t) role;
	out->depth = (uint8_t) (depth + 1);
	memcpy(out->root, self->root, CORE_KEY_BYTES);
	memcpy(out->issuer, issuer, CORE_KEY_BYTES);
	memcpy(out->member, member, CORE_KEY_BYTES);
	out->issued_ms = unix_ms;
	out->expires_ms = expires_ms;
	for (int i = membership_first(self, member); same_member(self, i, member); i++)
	{
		const Grant *held = &self->entry[i]->grant;

		if (memcmp(held->issuer, issuer, CORE_KEY_BYTES) == 0 && held->epoch >= out->epoch)
			out->epoch = held->epoch + 1;
	}
	open = uncovered(self, out, hashes, INCLUDED + 1);
	CORE_ASSERT(open >= 0 && open <= INCLUDED + 1);
	if (kind == GRANT_REVOCATION)
	{
		/* the revocations that do not fit are for the next statement to name */
		memset(hashes[open], 0, (size_t) (INCLUDED + 1 - open) * sizeof hashes[0]);
		memcpy(out->invitation, hashes[0], 2 * GRANT_HASH_BYTES);
		memcpy(out->overrides, hashes[2], GRANT_HASH_BYTES);
	}
	else if (kind == GRANT_MEMBER && open == 1)
		memcpy(out->overrides, hashes[0], GRANT_HASH_BYTES);
	else if (open > 0)
		return false;
	return true;
}

RedeemStatus
membership_redeem(Membership *self, const Redemption *redemption,
				  const uint8_t admin[CORE_KEY_BYTES], int64_t unix_ms, Grant *out)
{
	const Grant *invitation = NULL;

	if (membership_admin_depth(self, admin, unix_ms) < 0)
		return REDEEM_NOT_ADMIN;
	for (int i = 0; i < self->n; i++)
	{
		const MembershipEntry *entry = self->entry[i];

		if (entry->grant.kind == GRANT_MEMBER && entry->counts &&
			memcmp(entry->grant.invitation, redemption->invitation, CORE_KEY_BYTES) == 0)
			return memcmp(entry->grant.member, redemption->member, CORE_KEY_BYTES) == 0 ?
				REDEEM_ALREADY : REDEEM_USED;
	}
	for (int i = membership_first(self, redemption->invitation); same_member(self, i, redemption->invitation); i++)
		if (self->entry[i]->counts && self->entry[i]->grant.kind == GRANT_INVITATION)
			invitation = &self->entry[i]->grant;
	/* a member who was admitted by it and revoked since needs a new one */
	for (int i = 0; i < self->n && invitation != NULL; i++)
		if (self->entry[i]->grant.kind == GRANT_MEMBER &&
			memcmp(self->entry[i]->grant.invitation, redemption->invitation, CORE_KEY_BYTES) == 0)
			return REDEEM_USED;
	if (invitation == NULL || memcmp(redemption->root, self->root, CORE_KEY_BYTES) != 0)
		return REDEEM_VOID;
	if (!membership_prepare(self, GRANT_MEMBER, (GrantRole) invitation->role, admin, redemption->member,
							unix_ms, 0, out))
		return REDEEM_VOID;
	memcpy(out->invitation, redemption->invitation, CORE_KEY_BYTES);
	return REDEEM_OK;
}

const uint8_t *
membership_next(const Membership *self, uint32_t *cursor)
{
	/* depth in the upper half, index in the lower */
	for (uint32_t depth = *cursor >> 16; depth < GRANT_DEPTH_MAX; depth++)
	{
		for (uint32_t i = depth == *cursor >> 16 ? *cursor & 0xFFFF : 0; i < (uint32_t) self->n; i++)
			if (self->entry[i]->grant.depth == depth + 1)
			{
				*cursor = depth << 16 | (i + 1);
				return self->entry[i]->bytes;
			}
	}
	*cursor = GRANT_DEPTH_MAX << 16;
	return NULL;
}

static int
compare(const MembershipEntry *a, const MembershipEntry *b)
{
	int			c = memcmp(a->grant.member, b->grant.member, CORE_KEY_BYTES);

	if (c == 0)
		c = (int) a->grant.kind - (int) b->grant.kind;
	if (c == 0)
		c = memcmp(a->grant.issuer, b->grant.issuer, CORE_KEY_BYTES);
	if (c == 0)
		c = memcmp(a->hash, b->hash, GRANT_HASH_BYTES);
	return c;
}

/* The first entry of a member that is of this kind or a greater one, or where it would stand. */
static int
first_of_kind(const Membership *self, const uint8_t *member, int kind)
{
	int			low = 0;
	int			high = self->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const Grant *grant = &self->entry[middle]->grant;
		int			c = memcmp(grant->member, member, CORE_KEY_BYTES);

		if (c < 0 || (c == 0 && grant->kind < kind))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int
membership_first(const Membership *self, const uint8_t key[CORE_KEY_BYTES])
{
	return first_of_kind(self, key, 0);
}

static bool
same_member(const Membership *self, int i, const uint8_t *member)
{
	return i < self->n && memcmp(self->entry[i]->grant.member, member, CORE_KEY_BYTES) == 0;
}

/*
 * Was the issuer ever made what it says it is?  Whether that still counts is
 * for evaluate(): here it only keeps strangers from filling the set.
 */
static bool
known_issuer(const Membership *self, const Grant *grant)
{
	if (memcmp(grant->issuer, self->root, CORE_KEY_BYTES) == 0)
		return true;
	if (is_leave(grant))
		return has_grant(self, grant->member);
	for (int i = membership_first(self, grant->issuer); same_member(self, i, grant->issuer); i++)
	{
		const Grant *held = &self->entry[i]->grant;

		if (held->kind == GRANT_MEMBER && held->role == GRANT_ADMIN && held->depth == grant->depth - 1)
			return true;
	}
	return false;
}

static bool
has_grant(const Membership *self, const uint8_t *member)
{
	for (int i = membership_first(self, member); same_member(self, i, member); i++)
		if (self->entry[i]->grant.kind == GRANT_MEMBER)
			return true;
	return false;
}

/*
 * Of equal epochs, which of one member an honest issuer does not make, the one that
 * was issued first is taken for the later.  This is also the order in which an
 * issuer's statements of a kind have room: what supersedes goes before what it
 * supersedes, and members who are in before those who come.
 */
static bool
later(const Grant *a, const uint8_t *a_bytes, const Grant *b, const uint8_t *b_bytes)
{
	if (a->epoch != b->epoch)
		return a->epoch > b->epoch;
	if (a->issued_ms != b->issued_ms)
		return a->issued_ms < b->issued_ms;
	return memcmp(a_bytes, b_bytes, GRANT_BYTES) > 0;
}

/*
 * Does the one supersede the other, which is earlier and of the same kind, issuer
 * and member?  Of another depth it may lose its room on its own, so it does not.
 */
static bool
supersedes(const Grant *a, const Grant *b)
{
	/* the earlier grant of an admin bears witness, unless this one does it, too */
	return a->depth == b->depth && (b->kind != GRANT_MEMBER || b->role != GRANT_ADMIN || a->role == GRANT_ADMIN);
}

/* The revocation that one more of the same kind will supersede; -1: there is room for both. */
static int
next_to_go(const Membership *self, const Grant *grant)
{
	bool		leave = is_leave(grant);
	int			n = 0;
	int			earliest = -1;

	for (int i = first_of_kind(self, grant->member, GRANT_REVOCATION); same_member(self, i, grant->member); i++)
	{
		const MembershipEntry *held = self->entry[i];

		if (held->grant.kind != GRANT_REVOCATION || memcmp(held->grant.issuer, grant->issuer, CORE_KEY_BYTES) != 0 ||
			(!leave && held->grant.depth != grant->depth))
			continue;
		n++;
		if (earliest < 0 || later(&self->entry[earliest]->grant, self->entry[earliest]->bytes, &held->grant, held->bytes))
			earliest = i;
	}
	return n < (leave ? 1 : MEMBERSHIP_AGAIN) ? -1 : earliest;
}

/*
 * Remove what a statement supersedes.  False when it is superseded itself; then
 * nothing is removed.
 */
static bool
give_way(Membership *self, const Grant *grant, const uint8_t *bytes)
{
	if (grant->kind == GRANT_REVOCATION)
	{
		int			i = next_to_go(self, grant);

		if (i >= 0 && later(&self->entry[i]->grant, self->entry[i]->bytes, grant, bytes))
			return false;
		if (i >= 0)
			remove_at(self, i);
		return true;
	}
	for (int i = membership_first(self, grant->member); same_member(self, i, grant->member); i++)
	{
		const MembershipEntry *held = self->entry[i];

		if (held->grant.kind == grant->kind && memcmp(held->grant.issuer, grant->issuer, CORE_KEY_BYTES) == 0 &&
			later(&held->grant, held->bytes, grant, bytes) && supersedes(&held->grant, grant))
			return false;
	}
	for (int i = membership_first(self, grant->member); same_member(self, i, grant->member);)
	{
		const MembershipEntry *held = self->entry[i];

		if (held->grant.kind == grant->kind && memcmp(held->grant.issuer, grant->issuer, CORE_KEY_BYTES) == 0 &&
			later(grant, bytes, &held->grant, held->bytes) && supersedes(grant, &held->grant))
			remove_at(self, i);
		else
			i++;
	}
	return true;
}

/* Room for one more entry, in entry[] and in scratch[].  False: there is no memory. */
static bool
grow(Membership *self)
{
	MembershipEntry **wider[2];
	int			capacity;

	if (self->n < self->capacity)
		return true;
	capacity = self->capacity == 0 ? FIRST_CAPACITY : 2 * self->capacity;
	for (int i = 0; i < 2; i++)
		wider[i] = core_alloc(self->memory, (size_t) capacity * sizeof *wider[i]);
	if (wider[0] == NULL || wider[1] == NULL)
	{
		core_free(self->memory, wider[0]);
		core_free(self->memory, wider[1]);
		return false;
	}
	if (self->n > 0)
		memcpy(wider[0], self->entry, (size_t) self->n * sizeof *wider[0]);
	core_free(self->memory, self->entry);
	core_free(self->memory, self->scratch);
	self->entry = wider[0];
	self->scratch = wider[1];
	self->capacity = capacity;
	return true;
}

/* ---- who makes room for whom ---- */

/* One issuer's statements in the order in which it gets room for them. */
static int
compare_own(const MembershipEntry *a, const MembershipEntry *b)
{
	static const uint8_t order[] = {[GRANT_REVOCATION] = 0, [GRANT_MEMBER] = 1, [GRANT_INVITATION] = 2};

	if (a->grant.kind != b->grant.kind)
		return (int) order[a->grant.kind] - (int) order[b->grant.kind];
	return later(&a->grant, a->bytes, &b->grant, b->bytes) ? -1 : 1;
}

static int
compare_streams(const void *left, const void *right)
{
	const MembershipEntry *a = *(MembershipEntry *const *) left;
	const MembershipEntry *b = *(MembershipEntry *const *) right;
	int			c;

	if (a == b)
		return 0;
	if (a->idle != b->idle)
		return a->idle ? 1 : -1;
	if (a->grant.depth != b->grant.depth)
		return a->grant.depth < b->grant.depth ? -1 : 1;
	c = memcmp(a->grant.issuer, b->grant.issuer, CORE_KEY_BYTES);
	return c != 0 ? c : compare_own(a, b);
}

/* Does a get room before b? */
static bool
goes_before(const MembershipEntry *a, const MembershipEntry *b)
{
	if (a->idle != b->idle)
		return b->idle;
	if (a->grant.depth != b->grant.depth)
		return a->grant.depth < b->grant.depth;
	if (a->turn != b->turn)
		return a->turn < b->turn;
	return memcmp(a->grant.issuer, b->grant.issuer, CORE_KEY_BYTES) < 0;
}

/* The statement that is dropped first.  Leaves never are; NULL where nothing else is held. */
static const MembershipEntry *
find_last(Membership *self, int64_t unix_ms)
{
	int			n = 0;

	evaluate(self, unix_ms);
	if (self->last != NULL)
		return self->last;
	for (int i = 0; i < self->n; i++)
	{
		MembershipEntry *entry = self->entry[i];

		if (!is_leave(&entry->grant))
			self->scratch[n++] = entry;
	}
	qsort(self->scratch, (size_t) n, sizeof *self->scratch, compare_streams);
	for (int i = 0; i < n; i++)
	{
		MembershipEntry *entry = self->scratch[i];
		const MembershipEntry *before = i > 0 ? self->scratch[i - 1] : NULL;

		entry->turn = before != NULL && before->idle == entry->idle && before->grant.depth == entry->grant.depth &&
			memcmp(before->grant.issuer, entry->grant.issuer, CORE_KEY_BYTES) == 0 ? before->turn + 1 : 0;
		if (self->last == NULL || goes_before(self->last, entry))
			self->last = entry;
	}
	return self->last;
}

/* Would it supersede one that is held?  Then it takes no more room than that. */
static bool
replaces(const Membership *self, const Grant *grant)
{
	if (grant->kind == GRANT_REVOCATION)
		return next_to_go(self, grant) >= 0;
	for (int i = first_of_kind(self, grant->member, grant->kind); same_member(self, i, grant->member); i++)
	{
		const Grant *held = &self->entry[i]->grant;

		if (held->kind == grant->kind && memcmp(held->issuer, grant->issuer, CORE_KEY_BYTES) == 0 && supersedes(grant, held))
			return true;
	}
	return false;
}

/* Would a statement be dropped first?  This is cheap, for it is asked of each that comes to a full set. */
static bool
hopeless(Membership *self, const Grant *grant, const uint8_t *bytes, int64_t unix_ms)
{
	MembershipEntry asked = {.grant = *grant};
	const MembershipEntry *last;

	if (self->n - self->n_leaves < self->limit || replaces(self, grant))
		return false;
	last = find_last(self, unix_ms);
	CORE_ASSERT(last != NULL);
	memcpy(asked.bytes, bytes, GRANT_BYTES);
	asked.idle = !admin_at(self, grant->issuer, grant->depth - 1);
	for (int i = 0; i < self->n; i++)
	{
		const MembershipEntry *held = self->entry[i];

		if (held->grant.depth == grant->depth && memcmp(held->grant.issuer, grant->issuer, CORE_KEY_BYTES) == 0 &&
			!is_leave(&held->grant))
			asked.turn += compare_own(held, &asked) < 0;
	}
	return goes_before(last, &asked);
}

/* ---- the array ---- */

static void
mix_fingerprint(Membership *self, const uint8_t *hash)
{
	for (int i = 0; i < GRANT_HASH_BYTES; i++)
		self->fingerprint[i] ^= hash[i];
}

/*
 * May the i-th statement change which others count?  It does not where it is the only
 * one of its member, makes no admin and redeems no invitation.
 */
static bool
bears_on_others(const Membership *self, int i)
{
	const Grant *grant = &self->entry[i]->grant;

	return is_leave(grant) ||
		(grant->kind == GRANT_MEMBER && (grant->role == GRANT_ADMIN || !bytes_all_zero(grant->invitation, CORE_KEY_BYTES))) ||
		(i > 0 && same_member(self, i - 1, grant->member)) || same_member(self, i + 1, grant->member);
}

static void
insert(Membership *self, MembershipEntry *entry)
{
	const Grant *grant = &entry->grant;
	int			at = membership_first(self, entry->grant.member);

	while (at < self->n && compare(self->entry[at], entry) < 0)
		at++;
	CORE_ASSERT(self->n < self->capacity);
	CORE_ASSERT(at == self->n || compare(entry, self->entry[at]) < 0);
	CORE_ASSERT(at == 0 || compare(self->entry[at - 1], entry) < 0);
	memmove(&self->entry[at + 1], &self->entry[at], (size_t) (self->n - at) * sizeof *self->entry);
	self->entry[at] = entry;
	self->n++;
	self->n_leaves += is_leave(grant);
	self->changes++;
	self->last = NULL;
	mix_fingerprint(self, entry->hash);

	/* only this one is to be evaluated: evaluate() looks at all, and a thousand new ones would cost a thousand such looks */
	if (bears_on_others(self, at))
		self->dirty = true;
	if (self->dirty)
		return;
	entry->idle = !admin_at(self, grant->issuer, grant->depth - 1);
	entry->counts = !entry->idle && (grant->expires_ms == 0 || grant->expires_ms > self->evaluated_ms);
	if (entry->counts && grant->expires_ms != 0 && grant->expires_ms < self->until_ms)
		self->until_ms = grant->expires_ms;
}

static void
remove_at(Membership *self, int i)
{
	CORE_ASSERT(i >= 0 && i < self->n);
	mix_fingerprint(self, self->entry[i]->hash);
	self->n_leaves -= is_leave(&self->entry[i]->grant);
	if (bears_on_others(self, i))
		self->dirty = true;
	core_free(self->memory, self->entry[i]);
	self->n--;
	self->changes++;
	memmove(&self->entry[i], &self->entry[i + 1], (size_t) (self->n - i) * sizeof *self->entry);
	self->last = NULL;
	CORE_ASSERT(self->n_leaves >= 0 && self->n_leaves <= self->n);
	CORE_ASSERT(self->n > 0 || bytes_all_zero(self->fingerprint, GRANT_HASH_BYTES));
}

/* Drop a statement to make room.  A member's leave goes with its last grant. */
static void
remove_entry(Membership *self, const MembershipEntry *entry)
{
	uint8_t		member[CORE_KEY_BYTES];
	int			i = membership_first(self, entry->grant.member);

	memcpy(member, entry->grant.member, CORE_KEY_BYTES);
	while (self->entry[i] != entry)
	{
		CORE_ASSERT(same_member(self, i, member));
		i++;
	}
	remove_at(self, i);
	if (has_grant(self, member))
		return;
	for (i = membership_first(self, member); same_member(self, i, member); i++)
		if (is_leave(&self->entry[i]->grant))
		{
			remove_at(self, i);
			return;
		}
}

static void
evaluate(Membership *self, int64_t unix_ms)
{
	if (!self->dirty && unix_ms >= self->evaluated_ms && unix_ms < self->until_ms)
		return;
	CORE_ASSERT(set_holds(self));
	self->dirty = false;
	self->evaluations++;
	self->last = NULL;
	self->evaluated_ms = unix_ms;
	self->until_ms = INT64_MAX;
	for (int i = 0; i < self->n; i++)
		self->entry[i]->counts = is_leave(&self->entry[i]->grant);
	for (int depth = 1; depth <= GRANT_DEPTH_MAX; depth++)
	{
		const MembershipEntry *revocations[MEMBERSHIP_REVOCATIONS];
		const uint8_t *member = NULL;	/* of whom revocations[] are */
		int			n_revocations = 0;
		const uint8_t *issuer = NULL;	/* the last that was looked up: one who signed many is looked up once */
		bool		admin = false;

		for (int i = 0; i < self->n; i++)
		{
			MembershipEntry *entry = self->entry[i];

			if (entry->grant.depth != depth || is_leave(&entry->grant))
				continue;
			if (issuer == NULL || memcmp(issuer, entry->grant.issuer, CORE_KEY_BYTES) != 0)
			{
				issuer = entry->grant.issuer;
				admin = admin_at(self, issuer, depth - 1);
			}
			entry->idle = !admin;
			entry->counts = admin && entry->grant.kind == GRANT_REVOCATION;
		}
		for (int i = 0; i < self->n; i++)
		{
			MembershipEntry *entry = self->entry[i];
			const Grant *grant = &entry->grant;

			if (grant->depth != depth || grant->kind == GRANT_REVOCATION || entry->idle || !is_latest(self, i))
				continue;
			if (member == NULL || memcmp(member, grant->member, CORE_KEY_BYTES) != 0)
			{
				member = grant->member;
				n_revocations = revocations_of(self, member, depth, revocations);
			}
			if (revoked(grant, revocations, n_revocations))
				continue;
			if (grant->expires_ms != 0 && grant->expires_ms <= unix_ms)
				continue;
			entry->counts = true;
			if (grant->expires_ms != 0 && grant->expires_ms < self->until_ms)
				self->until_ms = grant->expires_ms;
		}
		choose_redeemers(self, depth);
	}
	CORE_ASSERT(self->until_ms > unix_ms);
}

/* Rule 2: is there no later grant of the same issuer to the same member, as near to the root or nearer? */
static bool
is_latest(const Membership *self, int i)
{
	const MembershipEntry *entry = self->entry[i];

	if (entry->grant.kind != GRANT_MEMBER)
		return true;
	/* they stand side by side */
	for (int step = -1; step <= 1; step += 2)
		for (int j = i + step; j >= 0 && j < self->n; j += step)
		{
			const MembershipEntry *other = self->entry[j];

			if (other->grant.kind != GRANT_MEMBER ||
				memcmp(other->grant.member, entry->grant.member, CORE_KEY_BYTES) != 0 ||
				memcmp(other->grant.issuer, entry->grant.issuer, CORE_KEY_BYTES) != 0)
				break;
			if (other->grant.depth <= entry->grant.depth &&
				later(&other->grant, other->bytes, &entry->grant, entry->bytes))
				return false;
		}
	return true;
}

/* By invitation; of one invitation in the order of rule 4. */
static int
compare_redeemers(const void *left, const void *right)
{
	const Grant *a = &(*(MembershipEntry *const *) left)->grant;
	const Grant *b = &(*(MembershipEntry *const *) right)->grant;
	int			c = memcmp(a->invitation, b->invitation, CORE_KEY_BYTES);

	if (c != 0)
		return c;
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	if (a->issued_ms != b->issued_ms)
		return a->issued_ms < b->issued_ms ? -1 : 1;
	return memcmp(a->member, b->member, CORE_KEY_BYTES);
}

/* Rule 4, for the grants of one depth: those of lesser depth are settled. */
static void
choose_redeemers(Membership *self, int depth)
{
	int			n = 0;
	int			deepest = 0;

	for (int i = 0; i < self->n; i++)
	{
		const Grant *grant = &self->entry[i]->grant;

		if (!self->entry[i]->counts || grant->kind != GRANT_MEMBER || bytes_all_zero(grant->invitation, CORE_KEY_BYTES))
			continue;
		deepest = grant->depth > deepest ? grant->depth : deepest;
		self->scratch[n++] = self->entry[i];
	}
	if (deepest < depth)
		return;
	qsort(self->scratch, (size_t) n, sizeof *self->scratch, compare_redeemers);
	for (int i = 1, first = 0; i < n; i++)
	{
		if (memcmp(self->scratch[i]->grant.invitation, self->scratch[first]->grant.invitation, CORE_KEY_BYTES) != 0)
			first = i;
		else if (memcmp(self->scratch[i]->grant.member, self->scratch[first]->grant.member, CORE_KEY_BYTES) != 0)
			self->scratch[i]->counts = false;
	}
}

/* Is key[32] an admin of exactly this depth by a grant that counts? */
static bool
admin_at(const Membership *self, const uint8_t *key, int depth)
{
	if (depth == 0)
		return memcmp(key, self->root, CORE_KEY_BYTES) == 0;
	for (int i = membership_first(self, key); same_member(self, i, key); i++)
	{
		const MembershipEntry *entry = self->entry[i];

		if (entry->counts && entry->grant.kind == GRANT_MEMBER &&
			entry->grant.role == GRANT_ADMIN && entry->grant.depth == depth)
			return true;
	}
	return false;
}

/* By these, which revocations_of() has found for its member and depth. */
static bool
revoked(const Grant *grant, const MembershipEntry *const *revocations, int n)
{
	uint64_t	covered = 0;

	if (n > 0 && grant->kind == GRANT_MEMBER && !bytes_all_zero(grant->overrides, GRANT_HASH_BYTES))
		covered = covered_by(revocations, n, grant->overrides);
	for (int i = 0; i < n; i++)
		if (!(covered >> i & 1))
			return true;
	return false;
}

/*
 * The revocations of a member that count and may reach a grant of this depth,
 * its leave first, then the nearest to the root, into out[MEMBERSHIP_REVOCATIONS].
 * Returns how many.
 *
 * One that does not count takes no part, not even as a step from a revocation that
 * a grant names to one that it includes: it has room only behind all that count, so
 * what it supports would come and go with it, and full sets would never be equal.
 */
static int
revocations_of(const Membership *self, const uint8_t *member, int depth, const MembershipEntry **out)
{
	int			first = first_of_kind(self, member, GRANT_REVOCATION);
	int			end = first_of_kind(self, member, GRANT_REVOCATION + 1);
	int			n = 0;

	for (int d = 0; first < end && d <= depth; d++)
		for (int i = first; i < end && n < MEMBERSHIP_REVOCATIONS; i++)
		{
			const Grant *grant = &self->entry[i]->grant;

			if (self->entry[i]->counts && (is_leave(grant) ? 0 : grant->depth) == d)
				out[n++] = self->entry[i];
		}
	return n;
}

/* Which of these are reached from the one named hash through what they include: bit i for the i-th. */
static uint64_t
covered_by(const MembershipEntry *const *revocations, int n, const uint8_t *hash)
{
	uint64_t	covered = 0;
	uint64_t	followed = 0;

	for (int i = 0; i < n; i++)
		if (memcmp(revocations[i]->hash, hash, GRANT_HASH_BYTES) == 0)
			covered |= UINT64_C(1) << i;
	while (covered != followed)
		for (int i = 0; i < n; i++)
		{
			if (!((covered & ~followed) >> i & 1))
				continue;
			followed |= UINT64_C(1) << i;
			for (int j = 0; j < n; j++)
				for (int k = 0; k < INCLUDED; k++)
					if (memcmp(included(&revocations[i]->grant, k), revocations[j]->hash, GRANT_HASH_BYTES) == 0)
						covered |= UINT64_C(1) << j;
		}
	return covered;
}

/*
 * The revocations that a statement should name: those of its member that count,
 * may reach a grant of its depth, and are included by no other one; what it will
 * supersede is as good as gone.  Their hashes, at most max.  Returns how many.
 */
static int
uncovered(const Membership *self, const Grant *grant, uint8_t hashes[][GRANT_HASH_BYTES], int max)
{
	const MembershipEntry *revocations[MEMBERSHIP_REVOCATIONS];
	int			found = revocations_of(self, grant->member, is_leave(grant) ? GRANT_DEPTH_MAX : grant->depth, revocations);
	int			going = grant->kind == GRANT_REVOCATION ? next_to_go(self, grant) : -1;
	int			n = 0;

	for (int i = 0; i < found && n < max; i++)
	{
		bool		inside = going >= 0 && revocations[i] == self->entry[going];

		for (int j = 0; j < found; j++)
			for (int k = 0; k < INCLUDED && !(going >= 0 && revocations[j] == self->entry[going]); k++)
				inside |= memcmp(included(&revocations[j]->grant, k), revocations[i]->hash, GRANT_HASH_BYTES) == 0;
		if (!inside)
			memcpy(hashes[n++], revocations[i]->hash, GRANT_HASH_BYTES);
	}
	return n;
}
