/*
 * incarnation_test.c
 *	  Lives of nodes, signed by libsodium, and the dictionary of them.
 */
#include "core/rows/incarnation.h"

#include "incarnation_fixture.h"
#include "rows_fixture.h"

#define SOME 3000

static CoreCrypto crypto;
static const KadId collection = {{7, 7, 7}};
static int	verified;			/* so many times */

static bool
counting_verify(void *context, const uint8_t *key, const uint8_t *message, size_t len, const uint8_t *signature)
{
	verified++;
	return host_verify(context, key, message, len, signature);
}

static bool
cannot_sign(void *context, const uint8_t *secret, const uint8_t *message, size_t len, uint8_t *signature)
{
	return false;
}

/* The message that is signed names the owner, so its hash stands for a signature where many are needed. */
static bool
cheap_sign(void *context, const uint8_t *secret, const uint8_t *message, size_t len, uint8_t *signature)
{
	host_sha256(context, message, len, signature);
	memset(signature + CORE_HASH_BYTES, 0, CORE_SIGNATURE_BYTES - CORE_HASH_BYTES);
	return true;
}

static bool
cheap_verify(void *context, const uint8_t *key, const uint8_t *message, size_t len, const uint8_t *signature)
{
	uint8_t		good[CORE_SIGNATURE_BYTES];

	return cheap_sign(context, NULL, message, len, good) && memcmp(signature, good, sizeof good) == 0;
}

/* All ids are one. */
static void
one_hash(void *context, const uint8_t *message, size_t len, uint8_t *hash)
{
	memset(hash, 5, CORE_HASH_BYTES);
}

/* What is signed and hashed. */
static void
message_by_hand(const uint8_t *owner, const uint8_t *salt, uint8_t message[4 + 32 + 32 + 16])
{
	memcpy(message, "vic1", 4);
	memcpy(message + 4, collection.b, 32);
	memcpy(message + 36, owner, 32);
	memcpy(message + 68, salt, 16);
}

/* Nobody's bytes, as only our own disk may hand them in. */
static RowIncarnation
any_incarnation(void)
{
	RowIncarnation any;

	random_source.fill(random_source.context, &any, sizeof any);
	return any;
}

static void
fill_the_same(void *context, void *bytes, size_t n)
{
	memset(bytes, 9, n);
}

static void
test_begin(void)
{
	RowDictionary dictionary;
	Key			key = new_key(&crypto);
	RowIncarnation life;
	RowIncarnation next;
	CoreRandom	same = {NULL, fill_the_same};
	CoreCrypto	mute = crypto;
	uint32_t	number = 77;
	uint8_t		message[4 + 32 + 32 + 16];
	uint8_t		hash[CORE_HASH_BYTES];
	RowIncarnationId id;

	row_dictionary_init(&dictionary, &memory, &crypto, &collection);
	ok(row_dictionary_find(&dictionary, &(RowIncarnationId) {{1}}) == 0, "an empty dictionary knows none");
	ok(row_incarnation_begin(&dictionary, &random_source, key.secret, &life) && dictionary.n == 0, "a life begins, not yet in it");
	ok(memcmp(life.owner, key.public, 32) == 0, "it is of whose key it is");
	message_by_hand(key.public, life.salt, message);
	ok(host_verify(NULL, key.public, message, sizeof message, life.signature), "what is signed is as the header says");
	host_sha256(NULL, message, sizeof message, hash);
	ok(memcmp(life.id.bytes, hash, 16) == 0, "its id is the hash of that");
	id = life.id;
	memset(&life.id, 1, sizeof life.id);
	verified = 0;
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_NEW && number == 1 && verified == 1,
	   "it is new, its number 1");
	ok(row_incarnation_compare(&life.id, &id) == 0 && row_dictionary_find(&dictionary, &id) == 1, "its id is filled in, whatever it was");
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_KNOWN && number == 1 && verified == 1,
	   "then known, and is not verified again");
	ok(row_incarnation_begin(&dictionary, &random_source, key.secret, &next) && row_incarnation_compare(&life.id, &next.id) != 0 &&
	   row_dictionary_add(&dictionary, &next, false, &number) == ROW_INCARNATION_NEW && number == 2, "the next life has another id");
	ok(row_dictionary_find(&dictionary, &life.id) == 1 && row_dictionary_find(&dictionary, &next.id) == 2 &&
	   memcmp(row_dictionary_get(&dictionary, 2), &next, sizeof next) == 0, "both are found");
	ok((row_incarnation_compare(&life.id, &next.id) < 0) == (memcmp(life.id.bytes, next.id.bytes, 16) < 0) &&
	   (row_incarnation_compare(&next.id, &life.id) < 0) == (memcmp(next.id.bytes, life.id.bytes, 16) < 0) &&
	   row_incarnation_compare(&life.id, &life.id) == 0, "ids have the order of their bytes");

	ok(row_incarnation_begin(&dictionary, &same, key.secret, &life) &&
	   row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_NEW &&
	   !row_incarnation_begin(&dictionary, &same, key.secret, &next), "randomness that comes again begins no life");
	mute.sign = cannot_sign;
	dictionary.crypto = &mute;
	ok(!row_incarnation_begin(&dictionary, &random_source, key.secret, &life), "nor does who cannot sign");
	row_dictionary_reset(&dictionary);
	ok(dictionary.n == 0 && row_dictionary_find(&dictionary, &next.id) == 0 && kad_id_equal(&dictionary.collection, &collection),
	   "after a reset it is empty, of the same collection");
}

static void
test_forged(void)
{
	RowDictionary dictionary;
	KadId		elsewhere = collection;
	Key			key = new_key(&crypto);
	Key			thief = new_key(&crypto);
	RowIncarnation life;
	RowIncarnation stolen;
	uint8_t		bytes[ROW_INCARNATION_BYTES];
	uint32_t	number = 77;
	int			taken = 0;

	row_dictionary_init(&dictionary, &memory, &crypto, &collection);
	if (!row_incarnation_begin(&dictionary, &random_source, key.secret, &life))
		exit(2);
	row_incarnation_encode(&life, bytes);
	for (int i = 0; i < ROW_INCARNATION_BYTES; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			RowIncarnation forged;

			bytes[i] ^= (uint8_t) (1 << bit);
			row_incarnation_decode(bytes, &forged);
			taken += row_dictionary_add(&dictionary, &forged, false, &number) != ROW_INCARNATION_FORGED;
			bytes[i] ^= (uint8_t) (1 << bit);
		}
	ok(taken == 0 && number == 77 && dictionary.n == 0, "with any bit flipped it is refused, and gets no number");
	elsewhere.b[31] ^= 1;
	dictionary.collection = elsewhere;
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_FORGED, "so is one of another collection");
	dictionary.collection = collection;
	stolen = life;
	memcpy(stolen.owner, thief.public, sizeof stolen.owner);
	ok(row_dictionary_add(&dictionary, &stolen, false, &number) == ROW_INCARNATION_FORGED, "and one signed by another");
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_NEW && number == 1, "as it was it is taken");
	stolen = life;
	stolen.signature[0] ^= 1;
	ok(row_dictionary_add(&dictionary, &stolen, false, &number) == ROW_INCARNATION_KNOWN && number == 1 &&
	   memcmp(row_dictionary_get(&dictionary, 1), &life, sizeof life) == 0, "a bad signature of one that is known replaces none");
	row_dictionary_reset(&dictionary);
}

/* Who hears of another's new life signs its salt as its own, and is first with it. */
static void
test_squatter(void)
{
	RowDictionary dictionary;
	Key			key = new_key(&crypto);
	Key			thief = new_key(&crypto);
	RowIncarnation life;
	RowIncarnation squatter;
	uint8_t		message[4 + 32 + 32 + 16];
	uint32_t	number = 0;

	row_dictionary_init(&dictionary, &memory, &crypto, &collection);
	if (!row_incarnation_begin(&dictionary, &random_source, key.secret, &life))
		exit(2);
	squatter = life;
	memcpy(squatter.owner, thief.public, sizeof squatter.owner);
	message_by_hand(thief.public, life.salt, message);
	if (!host_sign(NULL, thief.secret, message, sizeof message, squatter.signature))
		exit(2);
	ok(row_dictionary_add(&dictionary, &squatter, false, &number) == ROW_INCARNATION_NEW && number == 1 &&
	   row_incarnation_compare(&squatter.id, &life.id) != 0 && row_dictionary_find(&dictionary, &life.id) == 0,
	   "who signs another's salt has another id");
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_NEW && number == 2 &&
	   row_dictionary_find(&dictionary, &life.id) == 2 && memcmp(row_dictionary_get(&dictionary, 2), &life, sizeof life) == 0,
	   "a squatter that was first does the true one no harm");
	row_dictionary_reset(&dictionary);
}

/* Two that have one id by their hash. */
static void
test_collision(void)
{
	CoreCrypto	weak = crypto;
	RowDictionary dictionary;
	RowIncarnation life = any_incarnation();
	RowIncarnation others = life;
	RowIncarnation salted = life;
	uint32_t	number = 77;
	int			taken = 0;

	weak.sha256 = one_hash;
	weak.sign = cheap_sign;
	weak.verify = cheap_verify;
	row_dictionary_init(&dictionary, &memory, &weak, &collection);
	if (row_dictionary_add(&dictionary, &life, true, &number) != ROW_INCARNATION_NEW)
		exit(2);
	number = 77;
	others.owner[31] ^= 1;
	salted.salt[15] ^= 1;
	for (int trusted = 0; trusted < 2; trusted++)
		taken += row_dictionary_add(&dictionary, &others, trusted == 1, &number) != ROW_INCARNATION_FORGED ||
			row_dictionary_add(&dictionary, &salted, trusted == 1, &number) != ROW_INCARNATION_FORGED;
	ok(taken == 0 && number == 77 && dictionary.n == 1 && memcmp(row_dictionary_get(&dictionary, 1), &life, sizeof life) == 0,
	   "of two owners or salts with one hash the first stays, trusted or not");
	row_dictionary_reset(&dictionary);
}

static void
test_bytes(void)
{
	RowIncarnation life = any_incarnation();
	RowIncarnation again;
	uint8_t		bytes[ROW_INCARNATION_BYTES];
	uint8_t		more[ROW_INCARNATION_BYTES];

	row_incarnation_encode(&life, bytes);
	ok(memcmp(bytes, life.owner, 32) == 0 && memcmp(bytes + 32, life.salt, 16) == 0 &&
	   memcmp(bytes + 48, life.signature, 64) == 0, "bytes are owner, salt and signature");
	memset(&again, 1, sizeof again);
	row_incarnation_decode(bytes, &again);
	row_incarnation_encode(&again, more);
	memset(&life.id, 0, sizeof life.id);
	ok(memcmp(&again, &life, sizeof life) == 0 && memcmp(bytes, more, sizeof bytes) == 0, "and come back as they went, without an id");
}

/* Each of n is found by its id, at its number. */
static int
not_found(const RowDictionary *dictionary, const RowIncarnation *lives, uint32_t n)
{
	int			wrong = 0;

	for (uint32_t i = 0; i < n; i++)
		wrong += row_dictionary_find(dictionary, &lives[i].id) != i + 1 ||
			memcmp(row_dictionary_get(dictionary, i + 1), &lives[i], sizeof lives[i]) != 0;
	return wrong;
}

static void
test_growth(void)
{
	static RowIncarnation lives[SOME];
	CoreCrypto	by_salt = crypto;
	RowDictionary dictionary;
	RowIncarnation stranger = any_incarnation();
	uint32_t	number;
	int			wrong = 0;
	int			failures = 0;

	by_salt.sha256 = salt_is_id;
	row_dictionary_init(&dictionary, &memory, &by_salt, &collection);
	verified = 0;
	for (uint32_t i = 0; i < SOME; i++)
	{
		lives[i] = any_incarnation();
		/* many point to one slot: salts may be drawn until they do */
		if (i % 3 == 0)
			memset(lives[i].salt, 0xff, 8);
		for (long until = 0;; until++)
		{
			RowIncarnationAdded added;

			number = 0;
			memory_state.until_failure = until;
			added = row_dictionary_add(&dictionary, &lives[i], true, &number);
			if (added == ROW_INCARNATION_NEW)
				break;
			failures++;
			wrong += added != ROW_INCARNATION_NO_MEMORY || number != 0 || dictionary.n != i ||
				row_dictionary_find(&dictionary, &lives[i].id) != 0 || not_found(&dictionary, lives, i) != 0;
		}
		wrong += number != i + 1;
	}
	memory_state.until_failure = -1;
	ok(wrong == 0 && failures > 10, "without memory it is as before, with it they are numbered in order (%d times)", failures);
	ok(not_found(&dictionary, lives, SOME) == 0, "all %d are found", SOME);
	ok(row_dictionary_find(&dictionary, &stranger.id) == 0, "another is not");
	memset(stranger.id.bytes, 0xff, 8);
	ok(row_dictionary_find(&dictionary, &stranger.id) == 0, "nor one that points to where many do");
	for (uint32_t i = 0; i < SOME; i++)
		wrong += row_dictionary_add(&dictionary, &lives[i], i % 2 == 0, &number) != ROW_INCARNATION_KNOWN || number != i + 1;
	ok(wrong == 0 && dictionary.n == SOME && verified == 0, "all are known, and what is trusted was not verified");
	row_dictionary_reset(&dictionary);
}

static void
test_forget(void)
{
	static RowIncarnation lives[100];
	CoreCrypto	by_salt = crypto;
	RowDictionary dictionary;
	uint32_t	number;
	int			wrong = 0;

	by_salt.sha256 = salt_is_id;
	row_dictionary_init(&dictionary, &memory, &by_salt, &collection);
	for (uint32_t i = 0; i < 100; i++)
	{
		/* each number is another's first; all point to one slot */
		RowIncarnation other = any_incarnation();

		lives[i] = any_incarnation();
		memset(other.salt, 0xff, 8);
		memset(lives[i].salt, 0xff, 8);
		wrong += row_dictionary_add(&dictionary, &other, true, &number) != ROW_INCARNATION_NEW || number != i + 1;
		row_dictionary_forget_last(&dictionary);
		wrong += dictionary.n != i || row_dictionary_find(&dictionary, &other.id) != 0 || not_found(&dictionary, lives, i) != 0;
		wrong += row_dictionary_add(&dictionary, &lives[i], true, &number) != ROW_INCARNATION_NEW || number != i + 1 ||
			row_dictionary_find(&dictionary, &other.id) != 0;
	}
	ok(wrong == 0 && not_found(&dictionary, lives, 100) == 0, "who was forgotten is unknown, its number the next one's");
	row_dictionary_reset(&dictionary);
}

static void
test_flood(void)
{
	CoreCrypto	cheap = crypto;
	RowDictionary dictionary;
	Key			key = new_key(&crypto);
	Key			other = new_key(&crypto);
	RowIncarnation life = any_incarnation();
	RowIncarnation one_more;
	uint32_t	number = 0;
	int			wrong = 0;

	cheap.sign = cheap_sign;
	cheap.verify = cheap_verify;
	row_dictionary_init(&dictionary, &memory, &cheap, &collection);
	/* half of them from disk, others' between */
	for (uint32_t i = 0; i < ROW_INCARNATIONS_OPEN; i++)
	{
		if (!row_incarnation_begin(&dictionary, &random_source, key.secret, &life))
			exit(2);
		wrong += row_dictionary_add(&dictionary, &life, i % 2 == 0, &number) != ROW_INCARNATION_NEW;
		if (i % 8 == 0)
		{
			one_more = any_incarnation();
			wrong += row_dictionary_add(&dictionary, &one_more, true, &number) != ROW_INCARNATION_NEW;
		}
	}
	ok(wrong == 0, "an owner may have %d", ROW_INCARNATIONS_OPEN);
	if (!row_incarnation_begin(&dictionary, &random_source, key.secret, &one_more))
		exit(2);
	number = 77;
	ok(row_dictionary_add(&dictionary, &one_more, false, &number) == ROW_INCARNATION_FLOOD && number == 77 &&
	   row_dictionary_find(&dictionary, &one_more.id) == 0, "one more is a flood");
	cheap.verify = counting_verify;
	verified = 0;
	ok(row_dictionary_add(&dictionary, &one_more, false, &number) == ROW_INCARNATION_FLOOD && verified == 0, "whose signature is not verified");
	cheap.verify = cheap_verify;
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_KNOWN, "those that it has stay");
	ok(row_dictionary_add(&dictionary, &one_more, true, &number) == ROW_INCARNATION_NEW, "one from disk is taken all the same");
	if (!row_incarnation_begin(&dictionary, &random_source, other.secret, &life))
		exit(2);
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_NEW, "and so is one of another owner");

	wrong = 0;
	while (dictionary.n < ROW_INCARNATIONS - 1)
	{
		life = any_incarnation();
		wrong += row_dictionary_add(&dictionary, &life, true, &number) != ROW_INCARNATION_NEW;
	}
	if (!row_incarnation_begin(&dictionary, &random_source, other.secret, &life))
		exit(2);
	ok(wrong == 0 && row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_NEW && number == ROW_INCARNATIONS,
	   "the dictionary has room for %d", ROW_INCARNATIONS);
	if (!row_incarnation_begin(&dictionary, &random_source, other.secret, &life))
		exit(2);
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_FLOOD, "and no more");
	ok(row_dictionary_add(&dictionary, &life, true, &number) == ROW_INCARNATION_NEW && number == ROW_INCARNATIONS + 1,
	   "but for what is on disk already");
	row_dictionary_reset(&dictionary);
}

/* Of who may not write now fewer are taken, and none when half of the room is taken. */
static void
test_former(void)
{
	RowDictionary dictionary;
	CoreCrypto	cheap = crypto;
	Key			key = new_key(&crypto);
	Key			other = new_key(&crypto);
	RowIncarnation life;
	uint32_t	number = 0;
	int			wrong = 0;

	cheap.sign = cheap_sign;
	cheap.verify = cheap_verify;
	row_dictionary_init(&dictionary, &memory, &cheap, &collection);
	for (uint32_t i = 0; i < ROW_INCARNATIONS_FORMER; i++)
		wrong += !row_incarnation_begin(&dictionary, &random_source, key.secret, &life) ||
			row_dictionary_add_former(&dictionary, &life, &number) != ROW_INCARNATION_NEW || number != i + 1;
	ok(wrong == 0, "of one that may not write now %d are taken", ROW_INCARNATIONS_FORMER);
	ok(row_dictionary_add_former(&dictionary, &life, &number) == ROW_INCARNATION_KNOWN, "which are known then");
	ok(row_incarnation_begin(&dictionary, &random_source, key.secret, &life) &&
	   row_dictionary_add_former(&dictionary, &life, &number) == ROW_INCARNATION_FLOOD, "and no more");
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_NEW, "until it may write again");
	while (dictionary.n < ROW_INCARNATIONS / 2)
	{
		life = any_incarnation();
		wrong += row_dictionary_add(&dictionary, &life, true, &number) != ROW_INCARNATION_NEW;
	}
	ok(wrong == 0 && row_incarnation_begin(&dictionary, &random_source, other.secret, &life) &&
	   row_dictionary_add_former(&dictionary, &life, &number) == ROW_INCARNATION_FLOOD, "half of the room is for those who may write");
	ok(row_dictionary_add(&dictionary, &life, false, &number) == ROW_INCARNATION_NEW, "who have it");
	row_dictionary_reset(&dictionary);
}

int
main(void)
{
	fixture_begin();
	crypto = host_crypto();
	crypto.verify = counting_verify;
	test_begin();
	test_forged();
	test_squatter();
	test_collision();
	test_bytes();
	test_growth();
	test_forget();
	test_flood();
	test_former();
	return fixture_end();
}
