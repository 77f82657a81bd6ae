/*
 * provider_test.c
 *	  Provider records and the store of them.
 */
#include "core/net/provider.h"

#include "core/bytes.h"

#include "node_fixture.h"

typedef struct Owner
{
	Key			key;
	NodeRecord *record;
} Owner;

static KadId
id_number(int n)
{
	KadId		id = {{0}};

	id.b[0] = (uint8_t) (n >> 8);
	id.b[1] = (uint8_t) n;
	id.b[31] = 1;
	return id;
}

static Owner
owner_at(NetAddress address)
{
	Owner		owner = {.key = new_key()};

	owner.record = record_of(&owner.key, address, 1);
	return owner;
}

static Provider *
announce(const Owner *owner, const KadId *collection, int64_t issued_ms, bool withdrawn)
{
	uint8_t		bytes[PROVIDER_BYTES];
	Provider   *provider = NULL;

	provider_sign(&crypto, owner->key.secret, collection, issued_ms, withdrawn, bytes);
	if (provider_decode(&pool, bytes, sizeof bytes, owner->record, issued_ms, &provider) != DECODE_OK)
		exit(2);
	return provider;
}

/* Announce, add, let go. */
static ProviderAdded
add_from(ProviderStore *store, const Owner *owner, const KadId *collection, uint64_t carrier, int64_t issued_ms, bool withdrawn)
{
	Provider   *provider = announce(owner, collection, issued_ms, withdrawn);
	ProviderAdded added = provider_store_add(store, provider, carrier, issued_ms);

	provider_release(&pool, provider);
	return added;
}

static ProviderAdded
add(ProviderStore *store, const Owner *owner, const KadId *collection, int64_t issued_ms, bool withdrawn)
{
	return add_from(store, owner, collection, 0, issued_ms, withdrawn);
}

static DecodeStatus
decode_at(const uint8_t *bytes, size_t len, NodeRecord *record, int64_t unix_ms)
{
	uint8_t    *copy = exact_copy(bytes, len);
	Provider   *provider;
	DecodeStatus status = provider_decode(&pool, copy, len, record, unix_ms, &provider);

	if (status == DECODE_OK && !provider_verify(&crypto, provider))
		status = DECODE_SIGNATURE;
	provider_release(&pool, provider);
	free(copy);
	return status;
}

static void
test_bytes(void)
{
	Owner		owner = owner_at(nth_address(1));
	Owner		other = owner_at(nth_address(2));
	KadId		collection = id_number(5);
	uint8_t		bytes[PROVIDER_BYTES + 1];
	uint8_t		changed[PROVIDER_BYTES];
	Provider   *provider;
	int			wrong = 0;

	ok(provider_sign(&crypto, owner.key.secret, &collection, NOW, false, bytes), "a provider record is written");
	ok(provider_decode(&pool, bytes, PROVIDER_BYTES, owner.record, NOW, &provider) == DECODE_OK &&
	   kad_id_equal(&provider->collection, &collection) && provider->issued_ms == NOW &&
	   provider->expires_ms == NOW + PROVIDER_LIFE_MS && !provider->withdrawn && !provider->verified &&
	   provider_verify(&crypto, provider) && provider->verified, "every field comes back, and the signature holds");
	provider_release(&pool, provider);

	for (size_t len = 0; len < PROVIDER_BYTES; len++)
		wrong += decode_at(bytes, len, owner.record, NOW) != DECODE_TRUNCATED;
	ok(wrong == 0, "cut anywhere it is truncated");
	bytes[PROVIDER_BYTES] = 0;
	ok(decode_at(bytes, PROVIDER_BYTES + 1, owner.record, NOW) == DECODE_OVERLONG, "a byte more is overlong");
	for (size_t i = 0; i < PROVIDER_BYTES * 8; i++)
	{
		memcpy(changed, bytes, PROVIDER_BYTES);
		changed[i / 8] ^= (uint8_t) (1 << i % 8);
		wrong += decode_at(changed, PROVIDER_BYTES, owner.record, NOW) == DECODE_OK;
	}
	ok(wrong == 0, "no bit can be changed without being noticed");
	ok(decode_at(bytes, PROVIDER_BYTES, other.record, NOW) == DECODE_SIGNATURE, "it does not stand for another node");
	ok(decode_at(bytes, PROVIDER_BYTES, owner.record, NOW + PROVIDER_LIFE_MS + SKEW - 1) == DECODE_OK &&
	   decode_at(bytes, PROVIDER_BYTES, owner.record, NOW + PROVIDER_LIFE_MS + SKEW) == DECODE_EXPIRED, "it expires after 3 hours and the skew");
	ok(decode_at(bytes, PROVIDER_BYTES, owner.record, NOW - SKEW) == DECODE_OK &&
	   decode_at(bytes, PROVIDER_BYTES, owner.record, NOW - SKEW - 1) == DECODE_FUTURE, "its clock may be ahead by the skew");
	memcpy(changed, bytes, PROVIDER_BYTES);
	bytes_store(changed + 80, 8, (uint64_t) (NOW + PROVIDER_LIFE_MS + 1));
	ok(decode_at(changed, PROVIDER_BYTES, owner.record, NOW) == DECODE_VALUE, "a life above 3 hours is refused");
	bytes_store(changed + 80, 8, (uint64_t) NOW);
	ok(decode_at(changed, PROVIDER_BYTES, owner.record, NOW) == DECODE_VALUE, "and so is none at all");
	memory_state.until_failure = 0;
	ok(decode_at(bytes, PROVIDER_BYTES, owner.record, NOW) == DECODE_MEMORY, "without memory it says so");
	memory_state.until_failure = -1;
	record_pool_release(&pool, owner.record);
	record_pool_release(&pool, other.record);
}

static void
test_store(void)
{
	ProviderStore store;
	Owner		a = owner_at(nth_address(1));
	Owner		b = owner_at(nth_address(2));
	KadId		one = id_number(1);
	KadId		two = id_number(2);
	Provider   *out[PROVIDERS_PER_COLLECTION];
	Provider   *forged;
	Provider   *first;

	provider_store_init(&store, &pool, &fixture_random, true, 1000);
	ok(provider_store_list(&store, &one, NOW, out, 20) == 0, "an empty store has nothing");
	first = announce(&a, &one, NOW, false);
	ok(provider_store_add(&store, first, 0, NOW) == PROVIDER_NEW, "the first is new");
	ok(provider_store_add(&store, first, 0, NOW) == PROVIDER_KNOWN, "the very same is known");
	ok(add(&store, &a, &one, NOW + 1, false) == PROVIDER_NEWER, "a later one replaces it");
	ok(provider_store_add(&store, first, 0, NOW) == PROVIDER_STALE, "the first, replayed, is stale");
	provider_release(&pool, first);
	ok(store.n == 1 && provider_store_list(&store, &one, NOW, out, 20) == 1 && out[0]->record == a.record, "one is held");

	forged = announce(&a, &one, NOW + 2, false);
	forged->bytes[90] ^= 1;
	ok(provider_store_add(&store, forged, 0, NOW) == PROVIDER_FORGED, "a forged successor changes nothing");
	provider_release(&pool, forged);
	forged = announce(&b, &one, NOW + 2, false);
	forged->bytes[90] ^= 1;
	ok(provider_store_add(&store, forged, 0, NOW) == PROVIDER_FORGED && store.n == 1, "nor does a forged newcomer");
	provider_release(&pool, forged);

	ok(add(&store, &b, &one, NOW, false) == PROVIDER_NEW && add(&store, &b, &two, NOW, false) == PROVIDER_NEW &&
	   provider_store_list(&store, &one, NOW, out, 20) == 2 && provider_store_list(&store, &two, NOW, out, 20) == 1,
	   "collections are kept apart");
	ok(provider_store_list(&store, &one, NOW, out, 1) == 1, "no more are given than asked for");
	ok(add(&store, &b, &two, NOW + 1, true) == PROVIDER_NEWER && provider_store_list(&store, &two, NOW, out, 20) == 0,
	   "who withdraws is not listed");
	ok(add(&store, &b, &two, NOW, false) == PROVIDER_STALE, "and a replay does not bring it back");
	ok(provider_store_list(&store, &one, NOW + PROVIDER_LIFE_MS + 1, out, 20) == 0, "who has expired is not listed");
	provider_store_expire(&store, NOW + PROVIDER_LIFE_MS);
	ok(store.n == 2, "expiry takes who has expired, to the millisecond");
	provider_store_expire(&store, NOW + PROVIDER_LIFE_MS + 1);
	ok(store.n == 0, "and all in the end");
	memory_state.until_failure = 1;
	ok(add(&store, &a, &one, NOW, false) == PROVIDER_FULL && store.n == 0, "without memory nothing is kept");
	memory_state.until_failure = -1;
	provider_store_reset(&store);
	record_pool_release(&pool, a.record);
	record_pool_release(&pool, b.record);
}

static void
test_limits(void)
{
	enum
	{
		MANY = 400
	};
	static Owner owners[MANY];
	ProviderStore store;
	KadId		one = id_number(1);
	Provider   *out[PROVIDERS_PER_COLLECTION];
	int			counted[MANY] = {0};
	int			added = 0;
	int			late = 0;
	int			n;
	Owner		last;

	provider_store_init(&store, &pool, &fixture_random, true, 1000);
	for (int i = 0; i < 10; i++)
	{
		owners[i] = owner_at(net_address_v4(8, 8, 8, (uint8_t) (i + 1), 1));
		added += add(&store, &owners[i], &one, NOW, false) == PROVIDER_NEW;
	}
	ok(added == PROVIDERS_PER_SUBNET && store.n == PROVIDERS_PER_SUBNET, "ten of one subnet: %d are taken", added);
	for (int i = 0; i < 10; i++)
		record_pool_release(&pool, owners[i].record);
	for (int i = 0; i < 10; i++)
	{
		owners[i] = owner_at(net_address_v4(10, 0, 0, (uint8_t) (i + 1), 1));
		added += add(&store, &owners[i], &one, NOW, false) == PROVIDER_NEW;
	}
	ok(added == PROVIDERS_PER_SUBNET + 10, "private addresses may be exempt");
	for (int i = 0; i < 10; i++)
		record_pool_release(&pool, owners[i].record);
	provider_store_reset(&store);

	for (int i = 0; i < MANY; i++)
	{
		owners[i] = owner_at(nth_address(i));
		add(&store, &owners[i], &one, NOW, false);
	}
	ok(store.n == PROVIDERS_PER_COLLECTION, "%d announcements for one collection: %u are kept", MANY, store.n);
	n = provider_store_list(&store, &one, NOW, out, PROVIDERS_PER_COLLECTION);
	for (int i = 0; i < n; i++)
		for (int j = MANY / 2; j < MANY; j++)
			late += out[i]->record == owners[j].record;
	ok(late > n / 4, "who comes late has a place too: %d of %d are of the later half", late, n);
	for (int round = 0; round < 2000; round++)
	{
		n = provider_store_list(&store, &one, NOW, out, 20);
		for (int i = 0; i < n; i++)
			for (int j = 0; j < MANY; j++)
				counted[j] += out[i]->record == owners[j].record;
	}
	added = 0;
	for (int j = 0; j < MANY; j++)
		added += counted[j] > 400 && counted[j] < 900;
	ok(added == PROVIDERS_PER_COLLECTION, "each of the 64 is in about 20 of 64 answers (%d are)", added);

	/* one node, more collections than its share */
	provider_store_reset(&store);
	added = 0;
	for (int i = 0; i < PROVIDERS_PER_NODE + 20; i++)
	{
		KadId		id = id_number(i);

		added += add(&store, &owners[0], &id, NOW, false) == PROVIDER_NEW;
	}
	ok(added == PROVIDERS_PER_NODE, "one node gets %d places of the store", added);
	late = 0;
	for (int i = 0; i < 600; i++)
	{
		KadId		id = id_number(i);

		late += add(&store, &owners[1 + i % 2], &id, NOW + HOUR, false) == PROVIDER_NEW;
	}
	ok(store.n == 1000 && late == 488, "a full store takes no more");
	last = owner_at(nth_address(5000));
	ok(add(&store, &last, &one, NOW + PROVIDER_LIFE_MS, false) == PROVIDER_NEW && store.n < 1000,
	   "until there is what has expired");
	record_pool_release(&pool, last.record);
	provider_store_reset(&store);
	for (int i = 0; i < MANY; i++)
		record_pool_release(&pool, owners[i].record);
}

/* One carrier, with keys and addresses as it likes, and few others. */
static void
test_carriers(void)
{
	enum
	{
		LIMIT = 200, OTHERS = 10
	};
	ProviderStore store;
	Owner		owner = owner_at(nth_address(1));
	Owner		other[OTHERS];
	KadId		theirs[OTHERS];
	KadId		random_id;
	int			taken = 0;
	int			refused = 0;
	int			kept = 0;
	Provider   *out[1];

	provider_store_init(&store, &pool, &fixture_random, false, LIMIT);
	for (int i = 0; i < LIMIT; i++)
	{
		host_fill(&random_state, &random_id, sizeof random_id);
		taken += add_from(&store, &owner, &random_id, 77, NOW, false) == PROVIDER_NEW;
	}
	ok(taken == LIMIT && store.n == LIMIT, "one carrier may fill a store that is empty");
	taken = 0;
	for (int i = 0; i < OTHERS; i++)
	{
		other[i] = owner_at(nth_address(100 + i));
		host_fill(&random_state, &theirs[i], sizeof theirs[i]);
		taken += add_from(&store, &other[i], &theirs[i], (uint64_t) i, NOW, false) == PROVIDER_NEW;
	}
	ok(taken == OTHERS && store.n == LIMIT, "what others bring has room nevertheless");
	for (int i = 0; i < 1000; i++)
	{
		host_fill(&random_state, &random_id, sizeof random_id);
		refused += add_from(&store, &owner, &random_id, 77, NOW, false) == PROVIDER_FULL;
	}
	for (int i = 0; i < OTHERS; i++)
		kept += provider_store_list(&store, &theirs[i], NOW, out, 1) == 1;
	ok(refused == 1000 && kept == OTHERS && store.n == LIMIT, "and is not pushed out by who has brought most");
	provider_store_reset(&store);

	/* who floods brings those of others first, which they bring anew */
	provider_store_init(&store, &pool, &fixture_random, false, LIMIT);
	for (int i = 0; i < OTHERS; i++)
		(void) add_from(&store, &other[i], &theirs[i], 77, NOW, false);
	while (store.n < LIMIT)
	{
		host_fill(&random_state, &random_id, sizeof random_id);
		(void) add_from(&store, &owner, &random_id, 77, NOW, false);
	}
	taken = kept = 0;
	for (int i = 0; i < OTHERS; i++)
		taken += add_from(&store, &other[i], &theirs[i], (uint64_t) i, NOW + 1, false) == PROVIDER_NEWER;
	for (int i = 0; i < LIMIT - 2 * OTHERS; i++)
	{
		host_fill(&random_state, &random_id, sizeof random_id);
		(void) add_from(&store, &owner, &random_id, (uint64_t) (1000 + i), NOW, false);
	}
	for (int i = 0; i < OTHERS; i++)
		kept += provider_store_list(&store, &theirs[i], NOW, out, 1) == 1;
	ok(taken == OTHERS && kept == OTHERS, "what its owner brings anew goes with nobody's flood");
	provider_store_reset(&store);
	record_pool_release(&pool, owner.record);
	for (int i = 0; i < OTHERS; i++)
		record_pool_release(&pool, other[i].record);
}

int
main(void)
{
	fixture_begin(10000);
	test_bytes();
	test_store();
	test_limits();
	test_carriers();
	return fixture_end();
}
