/*
 * change_test.c
 *	  Changes of a table's columns: their bytes, which of them are held, which is next.
 */
#include "core/net/changes.h"

#include "core/bytes.h"

#include "node_fixture.h"

typedef struct Made
{
	uint8_t		bytes[CHANGE_BYTES_MAX];
	size_t		len;
	uint8_t		hash[CHANGE_HASH_BYTES];
} Made;

static Key	root;
static Key	anna;					/* an admin by the root, ... */
static Key	bert;					/* ... by her, ... */
static Key	carl;					/* ... a writer */
static Key	dora;					/* an admin by the root */
static Membership members;
static Changes changes;

static void
grant(GrantKind kind, GrantRole role, const Key *issuer, const Key *member, int64_t unix_ms)
{
	Grant		statement;
	uint8_t		bytes[GRANT_BYTES];
	DecodeStatus status;

	if (!membership_prepare(&members, kind, role, issuer->public, member->public, unix_ms, 0, &statement) ||
		grant_sign(&crypto, issuer->secret, &statement, bytes) != DECODE_OK ||
		membership_add(&members, bytes, GRANT_BYTES, unix_ms, SKEW, &status) != MEMBERSHIP_ADDED)
		diag("a statement of the test could not be made");
}

/* Columns are named by a letter. */
static const uint8_t *
columns(char name)
{
	static uint8_t hash[128][CORE_HASH_BYTES];

	memset(hash[(int) name], name, CORE_HASH_BYTES);
	return hash[(int) name];
}

static Made
change(const Key *issuer, const Made *follows, uint32_t number, char before, char after, const char *text)
{
	SchemaChange statement = {.number = number, .issued_ms = NOW, .text = text, .text_len = strlen(text)};
	Made		made = {.len = 0};

	memcpy(statement.root, root.public, 32);
	memcpy(statement.before, columns(before), 32);
	memcpy(statement.after, columns(after), 32);
	if (follows != NULL)
		memcpy(statement.follows, follows->hash, CHANGE_HASH_BYTES);
	if (change_sign(&crypto, issuer->secret, &statement, made.bytes, &made.len) != DECODE_OK)
		diag("a change of the test could not be signed");
	change_hash(&crypto, made.bytes, made.len, made.hash);
	return made;
}

static ChangesAdded
add(const Made *made)
{
	DecodeStatus status;

	return changes_add(&changes, &members, made->bytes, made->len, NOW, SKEW, &status);
}

static bool
next_is(char schema, ChangesNext what, const Made *made)
{
	const ChangeEntry *entry = NULL;

	return changes_next(&changes, &members, columns(schema), NOW, &entry) == what &&
		(made == NULL || (entry != NULL && memcmp(entry->hash, made->hash, CHANGE_HASH_BYTES) == 0));
}

static void
applied(const Made *made, uint32_t n)
{
	changes_find(&changes, made->hash)->applied = n;
}

static void
begin(void)
{
	changes_init(&changes, &memory, &crypto);
	membership_init(&members, &memory, &crypto, root.public);
	grant(GRANT_MEMBER, GRANT_ADMIN, &root, &anna, NOW);
	grant(GRANT_MEMBER, GRANT_ADMIN, &anna, &bert, NOW);
	grant(GRANT_MEMBER, GRANT_WRITER, &anna, &carl, NOW);
	grant(GRANT_MEMBER, GRANT_ADMIN, &root, &dora, NOW);
}

static void
end(void)
{
	changes_reset(&changes);
	membership_reset(&members);
}

/* ---- bytes ---- */

static DecodeStatus
read_with(Made made, size_t at, uint8_t byte)
{
	SchemaChange out;

	made.bytes[at] = byte;
	return change_read(made.bytes, made.len, NOW, SKEW, &out);
}

static void
test_bytes(void)
{
	Made		made = change(&anna, NULL, 1, 'a', 'b', "ADD COLUMN x integer");
	Made		longer = made;
	SchemaChange read;
	char		text[CHANGE_TEXT_MAX + 1];
	uint8_t		out[CHANGE_BYTES_MAX];
	size_t		len;
	int			short_ones = 0;
	int			forged = 0;

	ok(change_read(made.bytes, made.len, NOW, SKEW, &read) == DECODE_OK && read.number == 1 && read.issued_ms == NOW &&
	   memcmp(read.issuer, anna.public, 32) == 0 && memcmp(read.before, columns('a'), 32) == 0 &&
	   memcmp(read.after, columns('b'), 32) == 0 && read.text_len == 20 && memcmp(read.text, "ADD COLUMN x integer", 20) == 0 &&
	   change_verify(&crypto, made.bytes, made.len), "a change is read as it was written");
	for (size_t n = 0; n < made.len; n++)
		short_ones += change_read(made.bytes, n, NOW, SKEW, &read) == DECODE_TRUNCATED;
	ok(short_ones == (int) made.len, "what ends before its last byte is none");
	longer.bytes[longer.len++] = 0;
	ok(change_read(longer.bytes, longer.len, NOW, SKEW, &read) == DECODE_OVERLONG, "nor what goes on behind it");
	for (size_t at = 4; at < made.len; at++)
	{
		Made		bad = made;

		bad.bytes[at] ^= 1;
		forged += change_read(bad.bytes, bad.len, NOW, SKEW, &read) != DECODE_OK || !change_verify(&crypto, bad.bytes, bad.len);
	}
	ok(forged == (int) made.len - 4, "one bit more or less, and it is forged");
	ok(read_with(made, 0, 'x') == DECODE_MAGIC, "something else");
	ok(read_with(made, 4, 0) == DECODE_VALUE && read_with(made, 5, 1) == DECODE_VALUE && read_with(made, 4, 2) == DECODE_VALUE,
	   "numbers 0 and 257, and a second one that follows none");
	ok(read_with(made, 144, 1) == DECODE_VALUE, "a first one that follows another");
	ok(read_with(made, 162, '\n') == DECODE_TEXT && read_with(made, 162, 0) == DECODE_TEXT && read_with(made, 162, 0xFF) == DECODE_TEXT,
	   "a line feed, a zero, no UTF-8");
	ok(change_read(made.bytes, made.len, NOW - SKEW - 1, SKEW, &read) == DECODE_FUTURE, "one from the future");
	memset(text, 'x', sizeof text);
	read = (SchemaChange) {.number = 1, .issued_ms = NOW, .text = text, .text_len = CHANGE_TEXT_MAX};
	ok(change_sign(&crypto, anna.secret, &read, out, &len) == DECODE_OK && len == CHANGE_BYTES_MAX, "a text of 1,024 bytes");
	read.text_len++;
	ok(change_sign(&crypto, anna.secret, &read, out, &len) == DECODE_VALUE, "no longer one");
	read.text_len = 0;
	ok(change_sign(&crypto, anna.secret, &read, out, &len) == DECODE_VALUE, "nor an empty one");
}

/* ---- the set ---- */

static void
test_order(void)
{
	Made		one = change(&anna, NULL, 1, 'a', 'b', "ADD COLUMN x integer");
	Made		two = change(&bert, &one, 2, 'b', 'a', "DROP COLUMN x");
	Made		three = change(&anna, &two, 3, 'a', 'b', "ADD COLUMN x integer");

	begin();
	ok(add(&two) == CHANGES_UNKNOWN && changes.n == 0, "one whose path is not held is not taken");
	ok(add(&one) == CHANGES_ADDED && add(&one) == CHANGES_KNOWN && add(&two) == CHANGES_ADDED && add(&three) == CHANGES_ADDED, "three are");
	ok(next_is('a', CHANGES_DUE, &one), "the first is due");
	applied(&one, 1);
	ok(next_is('b', CHANGES_DUE, &two), "then the second");
	applied(&two, 2);
	ok(next_is('a', CHANGES_DUE, &three), "where the columns are those of the beginning again, the third and not the first");
	applied(&three, 3);
	ok(next_is('b', CHANGES_NOTHING, NULL) && changes_head(&changes) != NULL && changes_head(&changes)->applied == 3, "and then none");
	for (int i = 0; i < changes.n; i++)
		changes.entry[i]->applied = 0;
	ok(next_is('b', CHANGES_ADOPT, &three), "a table that was made with these columns begins behind the last that leads to them");
	applied(&three, 1);
	ok(next_is('b', CHANGES_NOTHING, NULL) && next_is('a', CHANGES_NOTHING, NULL), "and goes through none before it");
	ok(next_is('z', CHANGES_NOTHING, NULL), "other columns are nobody's");
	end();
}

static void
test_right(void)
{
	Made		of_writer = change(&carl, NULL, 1, 'a', 'b', "ADD COLUMN x integer");
	Made		one = change(&bert, NULL, 1, 'a', 'b', "ADD COLUMN x integer");
	Made		two = change(&anna, &one, 2, 'b', 'c', "ADD COLUMN y integer");
	Made		wrong = change(&anna, &one, 2, 'c', 'd', "ADD COLUMN y integer");
	Made		skips = change(&anna, &one, 3, 'b', 'c', "ADD COLUMN y integer");
	Made		forged = one;
	DecodeStatus status;

	begin();
	forged.bytes[forged.len - 1] ^= 1;
	ok(add(&of_writer) == CHANGES_UNKNOWN, "a writer changes nothing");
	ok(changes_add(&changes, &members, forged.bytes, forged.len, NOW, SKEW, &status) == CHANGES_INVALID && status == DECODE_SIGNATURE, "nor who forges");
	ok(add(&one) == CHANGES_ADDED && add(&wrong) == CHANGES_UNKNOWN && add(&skips) == CHANGES_UNKNOWN,
	   "columns and number follow those of the change before");
	grant(GRANT_REVOCATION, GRANT_NOBODY, &anna, &bert, NOW + 1);
	ok(next_is('a', CHANGES_UNVOUCHED, &one), "what an admin signed that was evicted waits");
	ok(add(&two) == CHANGES_ADDED && next_is('a', CHANGES_DUE, &one), "until another that follows it vouches for it");
	members.root[0] ^= 1;
	ok(changes_add(&changes, &members, two.bytes, two.len, NOW, SKEW, &status) == CHANGES_INVALID && status == DECODE_COLLECTION,
	   "a change of another collection");
	members.root[0] ^= 1;
	end();
}

static void
test_branches(void)
{
	Made		of_anna = change(&anna, NULL, 1, 'a', 'b', "ADD COLUMN x integer");
	Made		of_bert = change(&bert, NULL, 1, 'a', 'c', "ADD COLUMN y integer");
	Made		undone = change(&bert, &of_bert, 2, 'c', 'a', "DROP COLUMN y");
	Made		same = change(&bert, NULL, 1, 'a', 'b', "ADD COLUMN x integer");
	Made		behind = change(&bert, &same, 2, 'b', 'd', "ADD COLUMN z integer");

	begin();
	ok(add(&of_bert) == CHANGES_ADDED && add(&of_anna) == CHANGES_ADDED, "two admins at once");
	ok(next_is('a', CHANGES_DUE, &of_anna), "who is nearer to the root goes first");
	applied(&of_anna, 1);
	ok(next_is('b', CHANGES_NOTHING, NULL), "where that is applied the other is nothing");
	applied(&of_anna, 0);
	applied(&of_bert, 1);
	ok(next_is('c', CHANGES_FORKED, &of_anna), "where the other is, it is told");
	ok(add(&undone) == CHANGES_ADDED && next_is('c', CHANGES_DUE, &undone), "who undoes it");
	applied(&undone, 2);
	ok(next_is('a', CHANGES_DUE, &of_anna), "takes the first then");
	ok(add(&same) == CHANGES_ADDED && add(&behind) == CHANGES_ADDED, "two that say the same");
	applied(&of_anna, 3);
	ok(next_is('b', CHANGES_DUE, &behind), "are one, and what follows either is next");
	end();
}

static void
test_defaults(void)
{
	Made		first = change(&anna, NULL, 1, 'a', 'a', "ALTER COLUMN \"x y\" SET DEFAULT '1'");
	Made		second = change(&bert, NULL, 1, 'a', 'a', "ALTER COLUMN \"x y\" SET DEFAULT '2'");
	Made		other = change(&bert, NULL, 1, 'a', 'a', "ALTER COLUMN \"x z\" SET DEFAULT '2'");

	begin();
	(void) add(&first);
	(void) add(&second);
	ok(next_is('q', CHANGES_DUE, &first), "defaults are for whatever columns there are, in their order");
	applied(&second, 1);
	ok(next_is('a', CHANGES_ADOPT, &first), "one that comes late does not replace a later one");
	applied(&first, 2);
	ok(add(&other) == CHANGES_ADDED && next_is('a', CHANGES_DUE, &other), "that of another column stands for itself");
	end();
}

static void
test_limit(void)
{
	Made		last = {.len = 0};
	Made		of_anna;
	char		text[64];
	int			added = 0;

	begin();
	for (int i = 0; i < CHANGES_LIMIT + 9; i++)
	{
		snprintf(text, sizeof text, "ADD COLUMN x%d integer", i);
		last = change(&bert, NULL, 1, 'a', 'b', text);
		(void) add(&last);
		added = changes.n > added ? changes.n : added;
	}
	ok(added == CHANGES_LIMIT && changes.n == CHANGES_LIMIT, "256 are held");
	grant(GRANT_REVOCATION, GRANT_NOBODY, &anna, &bert, NOW + 1);
	of_anna = change(&anna, NULL, 1, 'a', 'b', "ADD COLUMN y integer");
	ok(add(&of_anna) == CHANGES_ADDED && changes.n == CHANGES_LIMIT && next_is('a', CHANGES_DUE, &of_anna),
	   "those of an admin that was evicted make room");
	memory_state.until_failure = 0;
	of_anna = change(&anna, NULL, 1, 'a', 'b', "ADD COLUMN z integer");
	ok(add(&of_anna) == CHANGES_FULL && changes.n == CHANGES_LIMIT, "without memory nothing is lost");
	memory_state.until_failure = -1;
	end();
	ok(bytes_all_zero(changes.fingerprint, CHANGE_HASH_BYTES), "a set of none has the fingerprint 0");
}

/* One admin signs as many as there can be: before the others', behind them, or both. */
static void
test_share(const Key *greedy, const char *who)
{
	Made		chain[4];
	Made		flood;
	uint8_t		fingerprint[2][CHANGE_HASH_BYTES];
	char		text[64];

	for (int turn = 0; turn < 2; turn++)
	{
		begin();
		for (int i = 0; i < 4; i++)
		{
			chain[i] = change(&anna, i == 0 ? NULL : &chain[i - 1], (uint32_t) i + 1, (char) ('a' + i), (char) ('b' + i), "ADD COLUMN x integer");
			if (turn == 0 && i < 3)
				ok(add(&chain[i]) == CHANGES_ADDED, "a change is added");
		}
		for (int i = 0; i < CHANGES_LIMIT + 40; i++)
		{
			snprintf(text, sizeof text, "ADD COLUMN x%d integer", i);
			flood = change(greedy, NULL, 1, 'a', 'b', text);
			(void) add(&flood);
		}
		for (int i = turn == 0 ? 3 : 0; i < 4; i++)
			ok(add(&chain[i]) == CHANGES_ADDED, "another is, although %s has filled the set", who);
		ok(changes.n == CHANGES_LIMIT, "256 are held");
		for (int i = 0; i < 4; i++)
			ok(changes_find(&changes, chain[i].hash) != NULL, "and change %d of the other is among them", i + 1);
		memcpy(fingerprint[turn], changes.fingerprint, CHANGE_HASH_BYTES);
		end();
	}
	ok(memcmp(fingerprint[0], fingerprint[1], CHANGE_HASH_BYTES) == 0, "which are held does not depend on their order");
}

int
main(void)
{
	fixture_begin(16);
	root = new_key();
	anna = new_key();
	bert = new_key();
	carl = new_key();
	dora = new_key();
	test_bytes();
	test_order();
	test_right();
	test_branches();
	test_defaults();
	test_limit();
	test_share(&bert, "an admin farther from the root");
	test_share(&dora, "an admin as near to the root");
	return fixture_end();
}
