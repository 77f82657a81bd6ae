/*
 * membership.c
 *	  The set of statements about one collection, and what counts of it.
 *
 * Evaluation goes by depth: what counts at depth d depends on grants and
 * revocations of lesser depth only, so one pass for each depth is enough and
 * there is no cycle to resolve.  It is done when somebody asks, not on each
 * statement that arrives.
 */
#include "core/membership.h"

#include "core/bytes.h"

#define FIRST_CAPACITY 16
#define INCLUDED 3				/* revocations that one can include */

static int	compare(const MembershipEntry *a, const MembershipEntry *b);
static int	first_of(const Membership *self, const uint8_t *member);
static bool same_member(const Membership *self, int i, const uint8_t *member);
static bool known_issuer(const Membership *self, const Grant *grant);
static bool make_room(Membership *self, int64_t unix_ms);
static void insert(Membership *self, MembershipEntry *entry);
static void remove_at(Membership *self, int i);
static void evaluate(Membership *self, int64_t unix_ms);
static void choose_redeemers(Membership *self, int depth);
static bool redeems_before(const Grant *a, const Grant *b);
static bool admin_at(const Membership *self, const uint8_t *key, int depth);
static bool revoked(const Membership *self, const Grant *grant);
static bool authoritative(const Membership *self, const Grant *revocation, const Grant *grant);
static uint64_t covered_by(const Membership *self, int first, const uint8_t *hash);
static int	uncovered(const Membership *self, const uint8_t *member, uint8_t hashes[][GRANT_HASH_BYTES], int max);

static inline const uint8_t *
included(const Grant *revocation, int i)
{
	return i < 2 ? revocation->invitation + i * GRANT_HASH_BYTES : revocation->overrides;
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
	self->dirty = true;
}

void
membership_reset(Membership *self)
{
	for (int i = 0; i < self->n; i++)
		core_free(self->memory, self->entry[i]);
	core_free(self->memory, self->entry);
	self->entry = NULL;
	self->n = self->capacity = 0;
	self->dirty = true;
	memset(self->fingerprint, 0, sizeof self->fingerprint);
}

MembershipAdded
membership_add(Membership *self, const uint8_t *bytes, size_t len,
			   int64_t unix_ms, int64_t skew_ms, DecodeStatus *status)
{
	Grant		grant;
	MembershipEntry *entry;
	int			superseded = -1;
	int			revocations = 0;

	/* what is held already costs no signature */
	*status = DECODE_OK;
	if (len == GRANT_BYTES)
		for (int i = first_of(self, bytes + 72); same_member(self, i, bytes + 72); i++)
			if (memcmp(self->entry[i]->bytes, bytes, GRANT_BYTES) == 0)
				return MEMBERSHIP_KNOWN;

	*status = grant_decode(self->crypto, bytes, len, unix_ms, skew_ms, &grant);
	if (*status == DECODE_OK && memcmp(grant.root, self->root, CORE_KEY_BYTES) != 0)
		*status = DECODE_COLLECTION;
	if (*status != DECODE_OK)
		return MEMBERSHIP_INVALID;
	if (!known_issuer(self, &grant))
		return MEMBERSHIP_UNKNOWN_ISSUER;
	for (int i = first_of(self, grant.member); same_member(self, i, grant.member); i++)
	{
		const Grant *held = &self->entry[i]->grant;

		if (held->kind == GRANT_REVOCATION)
			revocations++;
		else if (held->kind == grant.kind && memcmp(held->issuer, grant.issuer, CORE_KEY_BYTES) == 0)
		{
			/* equal epochs, which an honest issuer does not make: the greater bytes */
			if (held->epoch > grant.epoch ||
				(held->epoch == grant.epoch && memcmp(self->entry[i]->bytes, bytes, GRANT_BYTES) > 0))
				return MEMBERSHIP_SUPERSEDED;
			superseded = i;
		}
	}
	if (grant.kind == GRANT_REVOCATION && revocations >= MEMBERSHIP_REVOCATIONS)
		return MEMBERSHIP_FULL;
	if (grant.kind != GRANT_REVOCATION && superseded >= 0)
		remove_at(self, superseded);
	if (!make_room(self, unix_ms))
		return MEMBERSHIP_FULL;
	entry = core_alloc(self->memory, sizeof *entry);
	if (entry == NULL)
		return MEMBERSHIP_FULL;
	entry->grant = grant;
	entry->counts = false;
	memcpy(entry->bytes, bytes, GRANT_BYTES);
	grant_hash(self->crypto, bytes, entry->hash);
	insert(self, entry);
	return MEMBERSHIP_ADDED;
}

GrantRole
membership_role(Membership *self, const uint8_t key[CORE_KEY_BYTES], int64_t unix_ms)
{
	GrantRole	role = GRANT_NOBODY;

	if (memcmp(key, self->root, CORE_KEY_BYTES) == 0)
		return GRANT_ADMIN;
	evaluate(self, unix_ms);
	for (int i = first_of(self, key); same_member(self, i, key); i++)
	{
		const MembershipEntry *entry = self->entry[i];

		if (entry->counts && entry->grant.kind == GRANT_MEMBER && entry->grant.role > role)
			role = (GrantRole) entry->grant.role;
	}
	return role;
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
	for (int i = first_of(self, member); same_member(self, i, member); i++)
	{
		const Grant *held = &self->entry[i]->grant;

		if (memcmp(held->issuer, issuer, CORE_KEY_BYTES) == 0 && held->epoch >= out->epoch)
			out->epoch = held->epoch + 1;
	}
	open = uncovered(self, member, hashes, INCLUDED + 1);
	if (kind == GRANT_REVOCATION)
	{
		/* what does not fit is left to the next one */
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
	for (int i = first_of(self, redemption->invitation); same_member(self, i, redemption->invitation); i++)
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
	/* depth in the upper half, place in the lower */
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

/* The first entry of a member, or where it would stand. */
static int
first_of(const Membership *self, const uint8_t *member)
{
	int			low = 0;
	int			high = self->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (memcmp(self->entry[middle]->grant.member, member, CORE_KEY_BYTES) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
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
	for (int i = first_of(self, grant->issuer); same_member(self, i, grant->issuer); i++)
	{
		const Grant *held = &self->entry[i]->grant;

		if (held->kind != GRANT_MEMBER)
			continue;
		if (held->role == GRANT_ADMIN && held->depth == grant->depth - 1)
			return true;
		if (grant->kind == GRANT_REVOCATION && memcmp(grant->issuer, grant->member, CORE_KEY_BYTES) == 0)
			return true;
	}
	return false;
}

/* Room for one more; a full set first loses what does not count. */
static bool
make_room(Membership *self, int64_t unix_ms)
{
	MembershipEntry **wider;
	int			capacity;

	if (self->n >= MEMBERSHIP_LIMIT)
	{
		evaluate(self, unix_ms);
		for (int i = self->n - 1; i >= 0; i--)
			if (self->entry[i]->grant.kind != GRANT_REVOCATION && !self->entry[i]->counts)
				remove_at(self, i);
		if (self->n >= MEMBERSHIP_LIMIT)
			return false;
	}
	if (self->n < self->capacity)
		return true;
	capacity = self->capacity == 0 ? FIRST_CAPACITY : 2 * self->capacity;
	wider = core_alloc(self->memory, (size_t) capacity * sizeof *wider);
	if (wider == NULL)
		return false;
	if (self->n > 0)
		memcpy(wider, self->entry, (size_t) self->n * sizeof *wider);
	core_free(self->memory, self->entry);
	self->entry = wider;
	self->capacity = capacity;
	return true;
}

static void
mix_fingerprint(Membership *self, const uint8_t *hash)
{
	for (int i = 0; i < GRANT_HASH_BYTES; i++)
		self->fingerprint[i] ^= hash[i];
}

static void
insert(Membership *self, MembershipEntry *entry)
{
	int			at = first_of(self, entry->grant.member);

	while (at < self->n && compare(self->entry[at], entry) < 0)
		at++;
	memmove(&self->entry[at + 1], &self->entry[at], (size_t) (self->n - at) * sizeof *self->entry);
	self->entry[at] = entry;
	self->n++;
	self->changes++;
	self->dirty = true;
	mix_fingerprint(self, entry->hash);
}

static void
remove_at(Membership *self, int i)
{
	mix_fingerprint(self, self->entry[i]->hash);
	core_free(self->memory, self->entry[i]);
	self->n--;
	self->changes++;
	memmove(&self->entry[i], &self->entry[i + 1], (size_t) (self->n - i) * sizeof *self->entry);
	self->dirty = true;
}

static void
evaluate(Membership *self, int64_t unix_ms)
{
	if (!self->dirty && unix_ms >= self->evaluated_ms && unix_ms < self->until_ms)
		return;
	self->dirty = false;
	self->evaluated_ms = unix_ms;
	self->until_ms = INT64_MAX;
	for (int i = 0; i < self->n; i++)
		self->entry[i]->counts = false;
	for (int depth = 1; depth <= GRANT_DEPTH_MAX; depth++)
	{
		for (int i = 0; i < self->n; i++)
		{
			MembershipEntry *entry = self->entry[i];
			const Grant *grant = &entry->grant;

			if (grant->depth != depth || grant->kind == GRANT_REVOCATION ||
				!admin_at(self, grant->issuer, depth - 1) || revoked(self, grant))
				continue;
			if (grant->expires_ms != 0 && grant->expires_ms <= unix_ms)
				continue;
			entry->counts = true;
			if (grant->expires_ms != 0 && grant->expires_ms < self->until_ms)
				self->until_ms = grant->expires_ms;
		}
		choose_redeemers(self, depth);
	}
}

/* Rule 4, for the grants of one depth: those of lesser depth are settled. */
static void
choose_redeemers(Membership *self, int depth)
{
	for (int i = 0; i < self->n; i++)
	{
		const Grant *grant = &self->entry[i]->grant;

		if (!self->entry[i]->counts || grant->kind != GRANT_MEMBER || grant->depth != depth ||
			bytes_all_zero(grant->invitation, CORE_KEY_BYTES))
			continue;
		for (int j = 0; j < self->n; j++)
		{
			MembershipEntry *other = self->entry[j];

			if (j == i || !other->counts || other->grant.kind != GRANT_MEMBER ||
				memcmp(other->grant.invitation, grant->invitation, CORE_KEY_BYTES) != 0 ||
				memcmp(other->grant.member, grant->member, CORE_KEY_BYTES) == 0)
				continue;
			if (redeems_before(&other->grant, grant))
			{
				self->entry[i]->counts = false;
				break;
			}
			other->counts = false;
		}
	}
}

static bool
redeems_before(const Grant *a, const Grant *b)
{
	if (a->depth != b->depth)
		return a->depth < b->depth;
	if (a->issued_ms != b->issued_ms)
		return a->issued_ms < b->issued_ms;
	return memcmp(a->member, b->member, CORE_KEY_BYTES) < 0;
}

/* Is key[32] an admin of exactly this depth by a grant that counts? */
static bool
admin_at(const Membership *self, const uint8_t *key, int depth)
{
	if (depth == 0)
		return memcmp(key, self->root, CORE_KEY_BYTES) == 0;
	for (int i = first_of(self, key); same_member(self, i, key); i++)
	{
		const MembershipEntry *entry = self->entry[i];

		if (entry->counts && entry->grant.kind == GRANT_MEMBER &&
			entry->grant.role == GRANT_ADMIN && entry->grant.depth == depth)
			return true;
	}
	return false;
}

static bool
revoked(const Membership *self, const Grant *grant)
{
	int			first = first_of(self, grant->member);
	uint64_t	covered;
	int			bit = 0;

	if (grant->kind == GRANT_MEMBER && !bytes_all_zero(grant->overrides, GRANT_HASH_BYTES))
		covered = covered_by(self, first, grant->overrides);
	else
		covered = 0;
	for (int i = first; same_member(self, i, grant->member); i++)
	{
		const Grant *revocation = &self->entry[i]->grant;

		if (revocation->kind != GRANT_REVOCATION)
			continue;
		if (!(covered >> bit++ & 1) && authoritative(self, revocation, grant))
			return true;
	}
	return false;
}

static bool
authoritative(const Membership *self, const Grant *revocation, const Grant *grant)
{
	if (memcmp(revocation->issuer, revocation->member, CORE_KEY_BYTES) == 0)
		return true;
	return revocation->depth <= grant->depth &&
		admin_at(self, revocation->issuer, revocation->depth - 1);
}

/*
 * The revocations of the member whose entries begin at first that are reached
 * from the one named hash through what they include: bit i for the i-th.
 */
static uint64_t
covered_by(const Membership *self, int first, const uint8_t *hash)
{
	const MembershipEntry *revocations[MEMBERSHIP_REVOCATIONS];
	uint64_t	covered = 0;
	uint64_t	before;
	int			n = 0;

	for (int i = first; same_member(self, i, self->entry[first]->grant.member); i++)
		if (self->entry[i]->grant.kind == GRANT_REVOCATION && n < MEMBERSHIP_REVOCATIONS)
			revocations[n++] = self->entry[i];
	for (int i = 0; i < n; i++)
		if (memcmp(revocations[i]->hash, hash, GRANT_HASH_BYTES) == 0)
			covered |= UINT64_C(1) << i;
	do
	{
		before = covered;
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++)
				for (int k = 0; k < INCLUDED; k++)
					if ((covered >> i & 1) &&
						memcmp(included(&revocations[i]->grant, k), revocations[j]->hash, GRANT_HASH_BYTES) == 0)
						covered |= UINT64_C(1) << j;
	} while (covered != before);
	return covered;
}

/*
 * The revocations of a member that no other one includes: their hashes, at
 * most max.  Returns how many.
 */
static int
uncovered(const Membership *self, const uint8_t *member, uint8_t hashes[][GRANT_HASH_BYTES], int max)
{
	int			first = first_of(self, member);
	int			n = 0;

	for (int i = first; same_member(self, i, member) && n < max; i++)
	{
		bool		inside = false;

		if (self->entry[i]->grant.kind != GRANT_REVOCATION)
			continue;
		for (int j = first; same_member(self, j, member); j++)
			for (int k = 0; k < INCLUDED && self->entry[j]->grant.kind == GRANT_REVOCATION; k++)
				inside |= memcmp(included(&self->entry[j]->grant, k), self->entry[i]->hash, GRANT_HASH_BYTES) == 0;
		if (!inside)
			memcpy(hashes[n++], self->entry[i]->hash, GRANT_HASH_BYTES);
	}
	return n;
}
