/*
 * node_record_fuzz.c
 *	  Node records, and provider records: the first byte says which.
 */
#include "core/net/provider.h"

#include "net_fuzz.h"

/* Signed again, a record has the same bytes, but for extensions, which are not written yet. */
static void
sign_again(const NodeRecord *record)
{
	NodeRecordFields fields = {.network = record->network, .seq = record->seq, .expires_ms = record->expires_ms,
	.capabilities = record->capabilities, .n_addresses = record->n_addresses};
	uint8_t		secret[CORE_SECRET_BYTES] = {0};
	uint8_t		again[NODE_RECORD_MAX];
	size_t		without = NODE_RECORD_HEAD + (size_t) record->n_addresses * NET_ADDRESS_BYTES;
	size_t		len;

	memcpy(secret + CORE_SEED_BYTES, record->key, CORE_KEY_BYTES);
	memcpy(fields.curve_key, record->curve_key, CORE_KEY_BYTES);
	memcpy(fields.addresses, record->addresses, sizeof fields.addresses);
	REQUIRE(node_record_sign(&crypto, secret, &fields, again, &len) == DECODE_OK);
	REQUIRE(len == without + CORE_SIGNATURE_BYTES && len <= record->len);
	REQUIRE(memcmp(again, record->bytes, 6) == 0 && memcmp(again + 8, record->bytes + 8, without - 8) == 0);
}

static void
try_record(const uint8_t *bytes, size_t size)
{
	NodeRecord *record;
	NodeRecord *again;
	DecodeStatus status = record_pool_take(&pool, bytes, size, NOW, &record);

	REQUIRE((status == DECODE_OK) == (record != NULL));
	if (record == NULL)
		return;
	REQUIRE(size <= NODE_RECORD_MAX && record->len == size && memcmp(record->bytes, bytes, size) == 0);
	REQUIRE(record->n_addresses >= 1 && record->n_addresses <= NODE_RECORD_ADDRESSES);
	for (int i = 0; i < record->n_addresses; i++)
	{
		REQUIRE(net_address_usable(&record->addresses[i]));
		net_address_private(&record->addresses[i]);
		net_address_subnet(&record->addresses[i]);
	}
	REQUIRE(node_record_current(record, NOW, SKEW));
	sign_again(record);
	REQUIRE(record_pool_take(&pool, bytes, size, NOW, &again) == DECODE_OK && again == record);
	record_pool_release(&pool, again);
	record_pool_release(&pool, record);
}

static void
try_provider(const uint8_t *bytes, size_t size)
{
	NodeRecordFields fields = {.network = pool.network, .seq = 1, .expires_ms = NOW + 1000, .n_addresses = 1,
	.addresses = {{{[15] = 1}, 1}}};
	uint8_t		secret[CORE_SECRET_BYTES] = {0};
	uint8_t		of_node[NODE_RECORD_MAX];
	size_t		len;
	NodeRecord *record;
	Provider   *provider;
	ProviderStore store;
	Provider   *out[4];

	/* the node that it says has signed it, so that the rest is looked at */
	if (size >= 72)
		memcpy(secret + CORE_SEED_BYTES, bytes + 40, CORE_KEY_BYTES);
	REQUIRE(node_record_sign(&crypto, secret, &fields, of_node, &len) == DECODE_OK);
	of_node[len - 1] = 0;
	REQUIRE(record_pool_take(&pool, of_node, len, NOW, &record) == DECODE_OK);
	if (provider_decode(&pool, bytes, size, record, NOW, &provider) == DECODE_OK)
	{
		ProviderAdded added;
		uint8_t		again[PROVIDER_BYTES];

		/* the same bytes, but for an end that its signer has chosen, and the signature */
		REQUIRE(provider_sign(&crypto, secret, &provider->collection, provider->issued_ms, provider->withdrawn, again));
		REQUIRE(memcmp(again, bytes, PROVIDER_BYTES - 8 - CORE_SIGNATURE_BYTES) == 0);
		REQUIRE(size == PROVIDER_BYTES && provider->expires_ms - provider->issued_ms <= PROVIDER_LIFE_MS);
		provider_store_init(&store, &pool, &fuzz_random, true, 4);
		added = provider_store_add(&store, provider, 0, NOW);
		REQUIRE(added == (bytes[size - 1] & 1 ? PROVIDER_FORGED : PROVIDER_NEW));
		REQUIRE(provider_store_list(&store, &provider->collection, NOW, out, 4) ==
				(added == PROVIDER_NEW && !provider->withdrawn && provider->expires_ms > NOW));
		provider_store_reset(&store);
		provider_release(&pool, provider);
	}
	record_pool_release(&pool, record);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_one_of_two(data, size, try_record, try_provider);
}
