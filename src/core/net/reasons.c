/*
 * reasons.c
 *	  Why somebody is no member any more.
 *
 * Who evicts an admin says nothing of those who are in by its grants, so there is no
 * statement about them: what shows that they are out is the revocation of the admin.
 */
#include "core/net/reasons.h"

#include "core/assert.h"

/* Keys, each once. */
typedef struct Keys
{
	int			n;
	const uint8_t *key[REASONS_MAX];
} Keys;

static void
keys_add(Keys *self, const uint8_t *key)
{
	for (int i = 0; i < self->n; i++)
		if (memcmp(self->key[i], key, CORE_KEY_BYTES) == 0)
			return;
	if (self->n < REASONS_MAX)
		self->key[self->n++] = key;
}

/* Sorted by depth; those of one depth as they came. */
static int
put(const MembershipEntry **out, int n, const MembershipEntry *entry)
{
	int			at = n;

	if (n == REASONS_MAX)
		return n;
	for (int i = 0; i < n; i++)
		if (out[i] == entry)
			return n;
	for (; at > 0 && out[at - 1]->grant.depth > entry->grant.depth; at--)
		out[at] = out[at - 1];
	out[at] = entry;
	return n + 1;
}

static const MembershipEntry *
about(const Membership *self, const uint8_t *key, int i)
{
	return i < self->n && memcmp(self->entry[i]->grant.member, key, CORE_KEY_BYTES) == 0 ? self->entry[i] : NULL;
}

/* Add what makes these admins, and those by whose grants they are. */
static int
put_admins(const Membership *self, Keys *admins, const MembershipEntry **out, int n)
{
	const MembershipEntry *entry;

	for (int k = 0; k < admins->n; k++)
		for (int i = membership_first(self, admins->key[k]); (entry = about(self, admins->key[k], i)) != NULL; i++)
			if (entry->grant.kind == GRANT_MEMBER && entry->grant.role == GRANT_ADMIN && entry->counts)
			{
				n = put(out, n, entry);
				keys_add(admins, entry->grant.issuer);
			}
	CORE_ASSERT(n >= 0 && n <= REASONS_MAX);
	return n;
}

int
membership_reasons(const Membership *self, const uint8_t key[CORE_KEY_BYTES], const MembershipEntry **out)
{
	Keys		out_by = {1, {key}};	/* those with whom it goes, itself first */
	Keys		issuers = {0};
	const MembershipEntry *entry;
	int			n = 0;

	for (int k = 0; k < out_by.n; k++)
		for (int i = membership_first(self, out_by.key[k]); (entry = about(self, out_by.key[k], i)) != NULL; i++)
			if (entry->grant.kind == GRANT_REVOCATION)
			{
				n = put(out, n, entry);
				keys_add(&issuers, entry->grant.issuer);
			}
			else if (entry->grant.kind == GRANT_MEMBER && entry->idle)
				keys_add(&out_by, entry->grant.issuer);
	return put_admins(self, &issuers, out, n);
}

int
membership_proof(const Membership *self, const uint8_t key[CORE_KEY_BYTES], const MembershipEntry **out)
{
	Keys		issuers = {0};
	const MembershipEntry *entry;
	int			n = 0;

	for (int i = membership_first(self, key); (entry = about(self, key, i)) != NULL; i++)
	{
		bool		leave = entry->grant.kind == GRANT_REVOCATION && memcmp(entry->grant.issuer, key, CORE_KEY_BYTES) == 0;

		if (!leave && (entry->grant.kind != GRANT_MEMBER || entry->idle))
			continue;
		n = put(out, n, entry);
		if (!leave)
			keys_add(&issuers, entry->grant.issuer);
	}
	return put_admins(self, &issuers, out, n);
}
