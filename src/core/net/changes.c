/*
 * changes.c
 *	  The changes of one collection's columns, and which is next.
 *
 * What counts and what is done is found anew when somebody asks: there are few, and
 * membership changes by itself.
 */
#include "core/net/changes.h"

#include "core/assert.h"

void
changes_init(Changes *self, const CoreMemory *memory, const CoreCrypto *crypto)
{
	memset(self, 0, sizeof *self);
	self->memory = memory;
	self->crypto = crypto;
}

void
changes_reset(Changes *self)
{
	for (int i = 0; i < self->n; i++)
		core_free(self->memory, self->entry[i]);
	self->changes += (uint64_t) self->n;
	self->n = 0;
	memset(self->fingerprint, 0, sizeof self->fingerprint);
}

static int
compare(const ChangeEntry *a, const ChangeEntry *b)
{
	if (a->change.number != b->change.number)
		return a->change.number < b->change.number ? -1 : 1;
	return memcmp(a->hash, b->hash, CHANGE_HASH_BYTES);
}

ChangeEntry *
changes_find(const Changes *self, const uint8_t hash[CHANGE_HASH_BYTES])
{
	for (int i = 0; i < self->n; i++)
		if (memcmp(self->entry[i]->hash, hash, CHANGE_HASH_BYTES) == 0)
			return self->entry[i];
	return NULL;
}

ChangeEntry *
changes_head(const Changes *self)
{
	ChangeEntry *head = NULL;

	for (int i = 0; i < self->n; i++)
		if (self->entry[i]->applied > (head == NULL ? 0 : head->applied))
			head = self->entry[i];
	return head;
}

/* The change that it follows; NULL for a first one. */
static ChangeEntry *
parent_of(const Changes *self, const ChangeEntry *entry)
{
	ChangeEntry *parent = entry->change.number == 1 ? NULL : changes_find(self, entry->change.follows);

	CORE_ASSERT(parent != NULL || entry->change.number == 1);
	return parent;
}

/* ---- what counts, what is done ---- */

/* Do two changes of one parent say the same? */
static bool
alike(const SchemaChange *a, const SchemaChange *b)
{
	return memcmp(a->follows, b->follows, CHANGE_HASH_BYTES) == 0 &&
		memcmp(a->before, b->before, CORE_HASH_BYTES) == 0 && memcmp(a->after, b->after, CORE_HASH_BYTES) == 0 &&
		a->text_len == b->text_len && memcmp(a->text, b->text, a->text_len) == 0;
}

static void
evaluate(Changes *self, Membership *membership, int64_t unix_ms)
{
	for (int i = 0; i < self->n; i++)
	{
		ChangeEntry *entry = self->entry[i];

		entry->counts = membership_admin_depth(membership, entry->change.issuer, unix_ms) >= 0;
		entry->done = entry->applied > 0;
	}
	/* what is followed stands before what follows it */
	for (int i = self->n - 1; i >= 0; i--)
	{
		ChangeEntry *entry = self->entry[i];
		ChangeEntry *parent = parent_of(self, entry);

		for (int k = 0; k < self->n && !entry->done; k++)
			entry->done = self->entry[k]->applied > 0 && alike(&entry->change, &self->entry[k]->change);
		if (parent == NULL)
			continue;
		parent->counts |= entry->counts;
		parent->done |= entry->done;
	}
}

/* Does a go before b where both could be applied? */
static bool
goes_before(Membership *membership, int64_t unix_ms, const ChangeEntry *a, const ChangeEntry *b)
{
	int			depth[2] = {
		membership_admin_depth(membership, a->change.issuer, unix_ms),
		membership_admin_depth(membership, b->change.issuer, unix_ms)
	};

	if (a->change.number != b->change.number)
		return a->change.number < b->change.number;
	if (depth[0] != depth[1])
		return depth[1] < 0 || (depth[0] >= 0 && depth[0] < depth[1]);
	return memcmp(a->hash, b->hash, CHANGE_HASH_BYTES) < 0;
}

/* ---- adding ---- */

/* Was key[32] ever made an admin? */
static bool
was_admin(const Membership *membership, const uint8_t *key)
{
	if (memcmp(key, membership->root, CORE_KEY_BYTES) == 0)
		return true;
	for (int i = membership_first(membership, key);
		 i < membership->n && memcmp(membership->entry[i]->grant.member, key, CORE_KEY_BYTES) == 0; i++)
		if (membership->entry[i]->grant.kind == GRANT_MEMBER && membership->entry[i]->grant.role == GRANT_ADMIN)
			return true;
	return false;
}

static bool
follows_held(const Changes *self, const SchemaChange *change)
{
	const ChangeEntry *parent;

	if (change->number == 1)
		return true;
	parent = changes_find(self, change->follows);
	return parent != NULL && parent->change.number == change->number - 1 &&
		memcmp(parent->change.after, change->before, CORE_HASH_BYTES) == 0;
}

static void
turn_fingerprint(Changes *self, const ChangeEntry *entry)
{
	for (int i = 0; i < CHANGE_HASH_BYTES; i++)
		self->fingerprint[i] ^= entry->hash[i];
	self->changes++;
}

static bool
is_followed(const Changes *self, const ChangeEntry *entry)
{
	for (int i = 0; i < self->n; i++)
		if (self->entry[i]->change.number == entry->change.number + 1 &&
			memcmp(self->entry[i]->change.follows, entry->hash, CHANGE_HASH_BYTES) == 0)
			return true;
	return false;
}

static int
held_of(const Changes *self, const uint8_t *issuer)
{
	int			n = 0;

	for (int i = 0; i < self->n; i++)
		n += memcmp(self->entry[i]->change.issuer, issuer, CORE_KEY_BYTES) == 0;
	return n;
}

/* Is a to be dropped rather than b, which stands before it? */
static bool
goes_first(const Changes *self, Membership *membership, int64_t unix_ms, const ChangeEntry *a, const ChangeEntry *b)
{
	int			depth[2] = {
		membership_admin_depth(membership, a->change.issuer, unix_ms),
		membership_admin_depth(membership, b->change.issuer, unix_ms)
	};

	if (a->counts != b->counts)
		return b->counts;
	if (a->counts && depth[0] != depth[1])
		return depth[0] > depth[1];
	return !a->counts || held_of(self, a->change.issuer) >= held_of(self, b->change.issuer);
}

/*
 * Drop one that nothing follows: of those that do not count the last; where all do, of the
 * admin that is farthest from the root, and of such admins of the one with most, the last.
 * So no admin pushes out what one nearer to the root has signed, nor more than its share.
 */
static const ChangeEntry *
drop_one(Changes *self, Membership *membership, int64_t unix_ms)
{
	int			last = -1;
	ChangeEntry *entry;

	for (int i = 0; i < self->n; i++)
		if (!is_followed(self, self->entry[i]) &&
			(last < 0 || goes_first(self, membership, unix_ms, self->entry[i], self->entry[last])))
			last = i;
	CORE_ASSERT(last >= 0);
	entry = self->entry[last];
	memmove(&self->entry[last], &self->entry[last + 1], (size_t) (self->n - 1 - last) * sizeof self->entry[0]);
	self->n--;
	turn_fingerprint(self, entry);
	core_free(self->memory, entry);
	return entry;
}

ChangesAdded
changes_add(Changes *self, Membership *membership, const uint8_t *bytes, size_t len,
			int64_t unix_ms, int64_t skew_ms, DecodeStatus *status)
{
	SchemaChange change;
	ChangeEntry *entry;
	uint8_t		hash[CHANGE_HASH_BYTES];
	int			at;

	*status = change_read(bytes, len, unix_ms, skew_ms, &change);
	if (*status == DECODE_OK && memcmp(change.root, membership->root, CORE_KEY_BYTES) != 0)
		*status = DECODE_COLLECTION;
	if (*status != DECODE_OK)
		return CHANGES_INVALID;
	change_hash(self->crypto, bytes, len, hash);
	if (changes_find(self, hash) != NULL)
		return CHANGES_KNOWN;
	if (!was_admin(membership, change.issuer) || !follows_held(self, &change))
		return CHANGES_UNKNOWN;
	if (!change_verify(self->crypto, bytes, len))
	{
		*status = DECODE_SIGNATURE;
		return CHANGES_INVALID;
	}
	entry = core_alloc(self->memory, sizeof *entry);
	if (entry == NULL)
		return CHANGES_FULL;
	memset(entry, 0, sizeof *entry);
	memcpy(entry->bytes, bytes, len);
	memcpy(entry->hash, hash, CHANGE_HASH_BYTES);
	entry->len = len;
	*status = change_read(entry->bytes, len, unix_ms, skew_ms, &entry->change);
	CORE_ASSERT(*status == DECODE_OK);
	for (at = self->n; at > 0 && compare(entry, self->entry[at - 1]) < 0; at--)
		self->entry[at] = self->entry[at - 1];
	self->entry[at] = entry;
	self->n++;
	turn_fingerprint(self, entry);
	if (self->n <= CHANGES_LIMIT)
		return CHANGES_ADDED;
	evaluate(self, membership, unix_ms);
	return drop_one(self, membership, unix_ms) == entry ? CHANGES_FULL : CHANGES_ADDED;
}

/* ---- what is next ---- */

/* "ALTER COLUMN name" of a default's change: its length. */
static size_t
column_of(const SchemaChange *change)
{
	static const char head[] = "ALTER COLUMN ";
	size_t		at = sizeof head - 1;
	bool		quoted = false;

	if (change->text_len < at || memcmp(change->text, head, at) != 0)
		return 0;
	for (; at < change->text_len && (quoted || change->text[at] != ' '); at++)
		quoted ^= change->text[at] == '"';
	return at;
}

/* Was a default of the same column applied here that goes behind this one? */
static bool
overtaken(const Changes *self, Membership *membership, int64_t unix_ms, const ChangeEntry *entry)
{
	size_t		len = column_of(&entry->change);

	for (int i = 0; i < self->n; i++)
	{
		const ChangeEntry *other = self->entry[i];

		if (other->applied > 0 && change_of_default(&other->change) && column_of(&other->change) == len &&
			memcmp(other->change.text, entry->change.text, len) == 0 && goes_before(membership, unix_ms, entry, other))
			return true;
	}
	return false;
}

/* Nothing was applied here: which of them made the columns that the table has?  NULL: they are those before all, or others. */
static const ChangeEntry *
find_start(const Changes *self, const uint8_t *schema)
{
	const ChangeEntry *start = NULL;

	for (int i = 0; i < self->n; i++)
	{
		const ChangeEntry *entry = self->entry[i];

		if (entry->change.number == 1 && memcmp(entry->change.before, schema, CORE_HASH_BYTES) == 0)
			return NULL;
		if (entry->counts && memcmp(entry->change.after, schema, CORE_HASH_BYTES) == 0)
			start = entry;
	}
	return start;
}

/* Of one that could be applied, but for the columns that it needs: does it go before what was applied in its place? */
static bool
outranks(const Changes *self, Membership *membership, int64_t unix_ms, const ChangeEntry *entry)
{
	for (int i = 0; i < self->n; i++)
	{
		const ChangeEntry *other = self->entry[i];

		if (other->done && other->change.number == entry->change.number && !change_of_default(&other->change) &&
			memcmp(other->change.follows, entry->change.follows, CHANGE_HASH_BYTES) == 0 &&
			goes_before(membership, unix_ms, entry, other))
			return true;
	}
	return false;
}

ChangesNext
changes_next(Changes *self, Membership *membership, const uint8_t schema[CORE_HASH_BYTES], int64_t unix_ms,
			 const ChangeEntry **out)
{
	const ChangeEntry *due = NULL;
	const ChangeEntry *before = NULL;

	evaluate(self, membership, unix_ms);
	if (changes_head(self) == NULL && (*out = find_start(self, schema)) != NULL)
		return CHANGES_ADOPT;
	for (int i = 0; i < self->n; i++)
	{
		const ChangeEntry *entry = self->entry[i];
		const ChangeEntry *parent = parent_of(self, entry);

		if (entry->done || (parent != NULL && !parent->done))
			continue;
		if (change_of_default(&entry->change) || memcmp(entry->change.before, schema, CORE_HASH_BYTES) == 0)
		{
			if (due == NULL || (entry->counts != due->counts ? entry->counts : goes_before(membership, unix_ms, entry, due)))
				due = entry;
		}
		else if (before == NULL && entry->counts && outranks(self, membership, unix_ms, entry))
			before = entry;
	}
	*out = due != NULL ? due : before;
	if (due != NULL && change_of_default(&due->change) && overtaken(self, membership, unix_ms, due))
		return CHANGES_ADOPT;
	return due != NULL ? due->counts ? CHANGES_DUE : CHANGES_UNVOUCHED : before != NULL ? CHANGES_FORKED : CHANGES_NOTHING;
}
