/*
 * changes_fuzz.c
 *	  Changes of columns one after the other into a set: five bytes choose each, so that
 *	  they follow each other.
 */
#include "core/net/changes.h"

#include "net_fuzz.h"

#define KEYS 3					/* 0 is the root, 1 an admin, 2 a writer */
#define MOST 64

static void
key_of(int i, uint8_t *key)
{
	memset(key, i + 1, CORE_KEY_BYTES);
}

static void
grant(Membership *members, int member, GrantRole role)
{
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES] = {0};
	uint8_t		bytes[GRANT_BYTES];
	Grant		statement;
	DecodeStatus status;

	key_of(member, key);
	key_of(0, secret + CORE_SEED_BYTES);
	REQUIRE(membership_prepare(members, GRANT_MEMBER, role, members->root, key, NOW, 0, &statement));
	REQUIRE(grant_sign(&crypto, secret, &statement, bytes) == DECODE_OK);
	bytes[GRANT_BYTES - 1] = 0;
	REQUIRE(membership_add(members, bytes, GRANT_BYTES, NOW, SKEW, &status) == MEMBERSHIP_ADDED);
}

/* Each whole path is held, in the order of the numbers. */
static void
require_tree(const Changes *changes)
{
	for (int i = 0; i < changes->n; i++)
	{
		const ChangeEntry *entry = changes->entry[i];
		const ChangeEntry *parent = changes_find(changes, entry->change.follows);

		REQUIRE(i == 0 || changes->entry[i - 1]->change.number <= entry->change.number);
		REQUIRE((parent != NULL) == (entry->change.number > 1));
		REQUIRE(parent == NULL || (parent->change.number == entry->change.number - 1 &&
								   memcmp(parent->change.after, entry->change.before, CORE_HASH_BYTES) == 0));
	}
}

/* What is due is applied until nothing is: a table with columns of four kinds, and each change once. */
static void
apply_all(Changes *changes, Membership *members, uint8_t kind)
{
	uint8_t		schema[CORE_HASH_BYTES];
	const ChangeEntry *next;
	uint32_t	n = 0;

	memset(schema, kind & 3, sizeof schema);
	for (;;)
	{
		ChangesNext what = changes_next(changes, members, schema, NOW, &next);
		ChangeEntry *entry;

		if (what != CHANGES_DUE && what != CHANGES_ADOPT)
			break;
		REQUIRE(next->applied == 0 && next->counts);
		REQUIRE(what == CHANGES_ADOPT || change_of_default(&next->change) || memcmp(next->change.before, schema, CORE_HASH_BYTES) == 0);
		if (what == CHANGES_DUE)
			memcpy(schema, change_of_default(&next->change) ? schema : next->change.after, CORE_HASH_BYTES);
		entry = changes_find(changes, next->hash);
		entry->applied = ++n;
		REQUIRE(n <= (uint32_t) changes->n);
	}
}

static void
try_set(const uint8_t *data, size_t size)
{
	Membership	members;
	Changes		changes;
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		hashes[MOST][CHANGE_HASH_BYTES] = {{0}};
	int			n = 1;			/* the first is that of none */

	key_of(0, root);
	membership_init(&members, &memory, &crypto, root);
	changes_init(&changes, &memory, &crypto);
	grant(&members, 1, GRANT_ADMIN);
	grant(&members, 2, GRANT_WRITER);
	for (; size >= 5; data += 5, size -= 5)
	{
		static const char *const text[] = {"ADD COLUMN x", "DROP COLUMN x", "ALTER COLUMN x SET DEFAULT", "ALTER COLUMN \"x"};
		SchemaChange change = {.number = data[0] & 15, .issued_ms = NOW, .text = text[data[1] & 3], .text_len = strlen(text[data[1] & 3])};
		uint8_t		secret[CORE_SECRET_BYTES] = {0};
		uint8_t		bytes[CHANGE_BYTES_MAX];
		DecodeStatus status;
		ChangesAdded added;
		size_t		len;

		memcpy(change.root, root, sizeof root);
		memset(change.before, data[2] & 3, sizeof change.before);
		memset(change.after, data[2] >> 2 & 3, sizeof change.after);
		memcpy(change.follows, hashes[data[3] % n], CHANGE_HASH_BYTES);
		key_of(data[4] % KEYS, secret + CORE_SEED_BYTES);
		if (change_sign(&crypto, secret, &change, bytes, &len) != DECODE_OK)
			continue;
		bytes[len - 1] = 0;
		added = changes_add(&changes, &members, bytes, len, NOW, SKEW, &status);
		REQUIRE(added != CHANGES_ADDED || data[4] % KEYS != 2);
		if (added == CHANGES_ADDED && n < MOST)
			change_hash(&crypto, bytes, len, hashes[n++]);
		require_tree(&changes);
	}
	apply_all(&changes, &members, size > 0 ? data[0] : 0);
	changes_reset(&changes);
	membership_reset(&members);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_one(data, size, try_set);
}
