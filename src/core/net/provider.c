/*
 * provider.c
 *	  Provider records and the store of those announced to us.
 */
#include "core/net/provider.h"

#include "core/assert.h"
#include "core/bytes.h"

#define SIGNED_BYTES (PROVIDER_BYTES - CORE_SIGNATURE_BYTES)
#define FLAG_WITHDRAWN 1

_Static_assert(8 + KAD_ID_BYTES + CORE_KEY_BYTES + 2 * 8 == SIGNED_BYTES, "the fields of a provider record");

static const uint8_t magic[4] = {'v', 'p', 'r', '1'};

static ProviderGroup **find_group(ProviderStore *self, const KadId *collection);
static void drop_member(ProviderStore *self, ProviderGroup *group, int i);
static void drop_group(ProviderStore *self, ProviderGroup **at);
static uint32_t count_of_node(const ProviderStore *self, const KadId *id);
static bool subnet_of(const ProviderStore *self, const Provider *provider, uint64_t *subnet);
static int	count_subnet(const ProviderStore *self, const ProviderGroup *group, const Provider *provider);
static bool make_room(ProviderStore *self, uint64_t carrier);
static int	choose_victim(ProviderStore *self, const ProviderGroup *group, int64_t unix_ms);

/* Are the records counted, each in the group of its collection and verified, and is no group empty? */
static bool
store_holds(const ProviderStore *self)
{
	uint32_t	n = 0;

	for (int i = 0; i < PROVIDER_SLOTS; i++)
		for (const ProviderGroup *group = self->slot[i]; group != NULL; group = group->next)
		{
			if (group->n < 1 || group->n > PROVIDERS_PER_COLLECTION)
				return false;
			for (int j = 0; j < group->n; j++)
				if (!group->member[j]->verified || group->member[j]->references == 0 ||
					!kad_id_equal(&group->member[j]->collection, &group->collection))
					return false;
			n += (uint32_t) group->n;
		}
	return n == self->n && n <= self->limit;
}

bool
provider_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
			  const KadId *collection, int64_t unix_ms, bool withdrawn, uint8_t *out)
{
	ByteWriter	w = {out, PROVIDER_BYTES, false};

	bytes_put(&w, magic, sizeof magic);
	bytes_put_uint(&w, 4, withdrawn ? FLAG_WITHDRAWN : 0);
	bytes_put(&w, collection->b, KAD_ID_BYTES);
	bytes_put(&w, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	bytes_put_uint(&w, 8, (uint64_t) unix_ms);
	bytes_put_uint(&w, 8, (uint64_t) (unix_ms + PROVIDER_LIFE_MS));
	CORE_ASSERT(!w.failed && w.left == CORE_SIGNATURE_BYTES && unix_ms > 0);
	return crypto->sign(crypto->context, secret, out, SIGNED_BYTES, out + SIGNED_BYTES);
}

DecodeStatus
provider_decode(RecordPool *pool, const uint8_t *bytes, size_t len,
				NodeRecord *record, int64_t unix_ms, Provider **provider)
{
	uint64_t	issued;
	uint64_t	expires;
	Provider   *p;

	*provider = NULL;
	if (len < sizeof magic)
		return DECODE_TRUNCATED;
	if (memcmp(bytes, magic, sizeof magic) != 0)
		return DECODE_MAGIC;
	if (len != PROVIDER_BYTES)
		return len < PROVIDER_BYTES ? DECODE_TRUNCATED : DECODE_OVERLONG;
	if (bytes_load(bytes + 4, 4) > FLAG_WITHDRAWN)
		return DECODE_FLAGS;
	issued = bytes_load(bytes + 72, 8);
	expires = bytes_load(bytes + 80, 8);
	if (issued == 0 || expires > INT64_MAX / 2 || expires <= issued || expires - issued > PROVIDER_LIFE_MS)
		return DECODE_VALUE;
	if ((int64_t) expires <= unix_ms - pool->skew_ms)
		return DECODE_EXPIRED;
	if ((int64_t) issued > unix_ms + pool->skew_ms)
		return DECODE_FUTURE;
	if (memcmp(bytes + 40, record->key, CORE_KEY_BYTES) != 0)
		return DECODE_SIGNATURE;
	p = core_alloc(pool->memory, sizeof *p);
	if (p == NULL)
		return DECODE_MEMORY;
	memcpy(p->collection.b, bytes + 8, KAD_ID_BYTES);
	p->issued_ms = (int64_t) issued;
	p->expires_ms = (int64_t) expires;
	p->record = node_record_keep(record);
	p->references = 1;
	p->withdrawn = bytes[4] == FLAG_WITHDRAWN;
	p->verified = false;
	memcpy(p->bytes, bytes, PROVIDER_BYTES);
	*provider = p;
	return DECODE_OK;
}

bool
provider_verify(const CoreCrypto *crypto, Provider *self)
{
	if (!self->verified)
		self->verified = crypto->verify(crypto->context, self->record->key, self->bytes, SIGNED_BYTES,
										self->bytes + SIGNED_BYTES);
	return self->verified;
}

Provider *
provider_keep(Provider *self)
{
	CORE_ASSERT(self->references > 0 && self->references < UINT32_MAX);
	self->references++;
	return self;
}

void
provider_release(RecordPool *pool, Provider *self)
{
	CORE_ASSERT(self == NULL || self->references > 0);
	if (self == NULL || --self->references > 0)
		return;
	record_pool_release(pool, self->record);
	core_free(pool->memory, self);
}

void
provider_store_init(ProviderStore *self, RecordPool *pool, const CoreRandom *random,
					bool exempt_private, uint32_t limit)
{
	memset(self, 0, sizeof *self);
	self->pool = pool;
	self->random = random;
	self->exempt_private = exempt_private;
	self->limit = limit;
	self->secret = core_random_bits(random);
}

void
provider_store_reset(ProviderStore *self)
{
	for (int i = 0; i < PROVIDER_SLOTS; i++)
		while (self->slot[i] != NULL)
		{
			while (self->slot[i]->n > 0)
				drop_member(self, self->slot[i], self->slot[i]->n - 1);
			drop_group(self, &self->slot[i]);
		}
	CORE_ASSERT(self->n == 0);
}

ProviderAdded
provider_store_add(ProviderStore *self, Provider *provider, uint64_t carrier, int64_t unix_ms)
{
	ProviderGroup **at = find_group(self, &provider->collection);
	ProviderGroup *group = *at;

	for (int i = 0; group != NULL && i < group->n; i++)
	{
		Provider   *held = group->member[i];

		if (!kad_id_equal(&held->record->id, &provider->record->id))
			continue;
		if (memcmp(held->bytes, provider->bytes, PROVIDER_BYTES) == 0)
			return PROVIDER_KNOWN;
		if (provider->issued_ms <= held->issued_ms)
			return PROVIDER_STALE;
		if (!provider_verify(self->pool->crypto, provider))
			return PROVIDER_FORGED;
		/* not the carrier of the older record: an attacker may have brought that, so that it is dropped with the attacker's own */
		provider->carrier = carrier;
		group->member[i] = provider_keep(provider);
		provider_release(self->pool, held);
		return PROVIDER_NEWER;
	}
	if (group != NULL && count_subnet(self, group, provider) >= PROVIDERS_PER_SUBNET)
		return PROVIDER_CROWDED;
	if (count_of_node(self, &provider->record->id) >= PROVIDERS_PER_NODE)
		return PROVIDER_FULL;
	if (!provider_verify(self->pool->crypto, provider))
		return PROVIDER_FORGED;
	if (group != NULL && group->n == PROVIDERS_PER_COLLECTION)
		drop_member(self, group, choose_victim(self, group, unix_ms));
	if (self->n >= self->limit)
	{
		provider_store_expire(self, unix_ms);
		if (self->n >= self->limit && !make_room(self, carrier))
			return PROVIDER_FULL;
		at = find_group(self, &provider->collection);
		group = *at;
	}
	if (group == NULL)
	{
		group = core_alloc(self->pool->memory, sizeof *group);
		if (group == NULL)
			return PROVIDER_FULL;
		memset(group, 0, sizeof *group);
		group->collection = provider->collection;
		*at = group;
	}
	CORE_ASSERT(provider->verified && group->n < PROVIDERS_PER_COLLECTION && self->n < self->limit);
	provider->carrier = carrier;
	group->member[group->n++] = provider_keep(provider);
	self->n++;
	return PROVIDER_NEW;
}

int
provider_store_list(ProviderStore *self, const KadId *collection, int64_t unix_ms,
					Provider **out, int max)
{
	ProviderGroup *group = *find_group(self, collection);
	int			n = 0;
	int			seen = 0;

	if (group == NULL)
		return 0;
	/* reservoir sampling: Vitter's algorithm R */
	for (int i = 0; i < group->n; i++)
	{
		Provider   *p = group->member[i];

		if (p->withdrawn || p->expires_ms <= unix_ms)
			continue;
		if (n < max)
			out[n++] = p;
		else
		{
			uint64_t	at = core_random_below(self->random, (uint64_t) seen + 1);

			if (at < (uint64_t) max)
				out[at] = p;
		}
		seen++;
	}
	return n;
}

void
provider_store_expire(ProviderStore *self, int64_t unix_ms)
{
	for (int i = 0; i < PROVIDER_SLOTS; i++)
		for (ProviderGroup **at = &self->slot[i]; *at != NULL;)
		{
			ProviderGroup *group = *at;

			for (int j = group->n - 1; j >= 0; j--)
				if (group->member[j]->expires_ms <= unix_ms)
					drop_member(self, group, j);
			if (group->n == 0)
				drop_group(self, at);
			else
				at = &group->next;
		}
	CORE_ASSERT(store_holds(self));
}

/*
 * By its upper bits two values collide as rarely as by chance, whoever chooses
 * them: the factor is odd and secret (multiply-shift, Dietzfelbinger and others 1997).
 */
static uint64_t
hash_of(const ProviderStore *self, uint64_t value)
{
	return value * (self->secret | 1);
}

/* The pointer that leads to the group of a collection, or the NULL at the end of its chain. */
static ProviderGroup **
find_group(ProviderStore *self, const KadId *collection)
{
	ProviderGroup **at = &self->slot[((hash_of(self, bytes_load(collection->b, 8)) >> 32) * PROVIDER_SLOTS) >> 32];

	while (*at != NULL && !kad_id_equal(&(*at)->collection, collection))
		at = &(*at)->next;
	return at;
}

static void
drop_member(ProviderStore *self, ProviderGroup *group, int i)
{
	CORE_ASSERT(i >= 0 && i < group->n && self->n > 0);
	provider_release(self->pool, group->member[i]);
	group->member[i] = group->member[--group->n];
	self->n--;
}

static void
drop_group(ProviderStore *self, ProviderGroup **at)
{
	ProviderGroup *group = *at;

	CORE_ASSERT(group->n == 0);
	*at = group->next;
	core_free(self->pool->memory, group);
}

/* A scan, bounded by the store's limit; only for what is not known yet. */
static uint32_t
count_of_node(const ProviderStore *self, const KadId *id)
{
	uint32_t	n = 0;

	for (int i = 0; i < PROVIDER_SLOTS; i++)
		for (const ProviderGroup *group = self->slot[i]; group != NULL; group = group->next)
			for (int j = 0; j < group->n; j++)
				n += kad_id_equal(&group->member[j]->record->id, id);
	return n;
}

/* The subnet of a provider's first address.  False when it is counted for none. */
static bool
subnet_of(const ProviderStore *self, const Provider *provider, uint64_t *subnet)
{
	const NetAddress *address = &provider->record->addresses[0];

	*subnet = net_address_subnet(address);
	return !(self->exempt_private && net_address_private(address));
}

/* How many of the group share the provider's subnet. */
static int
count_subnet(const ProviderStore *self, const ProviderGroup *group, const Provider *provider)
{
	uint64_t	subnet;
	uint64_t	other;
	int			n = 0;

	if (!subnet_of(self, provider, &subnet))
		return 0;
	for (int i = 0; i < group->n; i++)
		n += subnet_of(self, group->member[i], &other) && other == subnet;
	return n;
}

/* Two carriers that share a counter are taken for one. */
static unsigned
counter_of(const ProviderStore *self, uint64_t carrier)
{
	return (unsigned) (hash_of(self, carrier) >> 54);
}

/*
 * Drop one, at random, of those that the carrier who has brought most has brought.
 * False when that is this one.
 */
static bool
make_room(ProviderStore *self, uint64_t carrier)
{
	uint32_t	count[1 << 10] = {0};
	unsigned	most = counter_of(self, carrier);
	ProviderGroup **victim_of = NULL;
	int			victim = 0;
	uint64_t	seen = 0;

	for (int i = 0; i < PROVIDER_SLOTS; i++)
		for (ProviderGroup *group = self->slot[i]; group != NULL; group = group->next)
			for (int j = 0; j < group->n; j++)
				count[counter_of(self, group->member[j]->carrier)]++;
	for (unsigned c = 0; c < sizeof count / sizeof count[0]; c++)
		if (count[c] > count[most])
			most = c;
	if (most == counter_of(self, carrier))
		return false;
	for (int i = 0; i < PROVIDER_SLOTS; i++)
		for (ProviderGroup **at = &self->slot[i]; *at != NULL; at = &(*at)->next)
			for (int j = 0; j < (*at)->n; j++)
				if (counter_of(self, (*at)->member[j]->carrier) == most && core_random_below(self->random, ++seen) == 0)
				{
					victim_of = at;
					victim = j;
				}
	if (victim_of == NULL)
		return false;
	drop_member(self, *victim_of, victim);
	if ((*victim_of)->n == 0)
		drop_group(self, victim_of);
	CORE_ASSERT(store_holds(self));
	return true;
}

/* The index of the record that a full group drops: one that has expired, else at random one of the subnet that has most. */
static int
choose_victim(ProviderStore *self, const ProviderGroup *group, int64_t unix_ms)
{
	int			victim = 0;
	int			most = -1;
	int			alike = 0;

	for (int i = 0; i < group->n; i++)
	{
		int			n = count_subnet(self, group, group->member[i]);

		if (group->member[i]->expires_ms <= unix_ms)
			return i;
		if (n > most)
		{
			most = n;
			alike = 0;
		}
		if (n == most && core_random_below(self->random, (uint64_t) ++alike) == 0)
			victim = i;
	}
	return victim;
}
