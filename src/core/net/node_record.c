/*
 * node_record.c
 *	  Node records: encoding, verification, and the pool of those verified.
 */
#include "core/net/node_record.h"

#include "core/assert.h"
#include "core/bytes.h"
#include "core/net/wire_item.h"

#define FIRST_SLOTS 64

_Static_assert(8 + 2 * CORE_KEY_BYTES + 4 * 8 == NODE_RECORD_HEAD, "the fields before the addresses");
_Static_assert(NODE_RECORD_MAX <= UINT16_MAX, "a record's length has 16 bits");

static const uint8_t magic[4] = {'v', 'n', 'r', '1'};

static DecodeStatus decode(const uint8_t *bytes, size_t len, NodeRecordFields *fields,
						   uint8_t key[CORE_KEY_BYTES]);
static DecodeStatus check_extensions(const uint8_t *bytes, size_t len);
static bool addresses_good(const NodeRecordFields *fields);
static NodeRecord **find_slot(const RecordPool *self, const uint8_t *key);
static void grow(RecordPool *self);

uint64_t
node_network(const CoreCrypto *crypto, const char *name, size_t len)
{
	uint8_t		hash[CORE_HASH_BYTES];

	crypto->sha256(crypto->context, (const uint8_t *) name, len, hash);
	return bytes_load(hash, 8);
}

/* Does a reader find in bytes what the writer was given? */
static bool
reads_as(const uint8_t *bytes, size_t len, const NodeRecordFields *fields)
{
	NodeRecordFields read;
	uint8_t		key[CORE_KEY_BYTES];

	if (decode(bytes, len, &read, key) != DECODE_OK || read.n_addresses != fields->n_addresses)
		return false;
	for (int i = 0; i < read.n_addresses; i++)
	{
		if (!net_address_equal(&read.addresses[i], &fields->addresses[i]))
			return false;
	}
	return memcmp(read.curve_key, fields->curve_key, CORE_KEY_BYTES) == 0 && read.network == fields->network &&
		read.seq == fields->seq && read.expires_ms == fields->expires_ms && read.capabilities == fields->capabilities;
}

DecodeStatus
node_record_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
				 const NodeRecordFields *fields, uint8_t *out, size_t *len)
{
	ByteWriter	w = {out, NODE_RECORD_MAX, false};
	uint8_t    *signature;
	size_t		signed_len;

	if (fields->n_addresses < 1 || fields->n_addresses > NODE_RECORD_ADDRESSES ||
		fields->expires_ms <= 0 || fields->expires_ms > INT64_MAX / 2 || !addresses_good(fields))
		return DECODE_VALUE;
	bytes_put(&w, magic, sizeof magic);
	bytes_put_uint(&w, 1, 0);
	bytes_put_uint(&w, 1, (uint64_t) fields->n_addresses);
	bytes_put_uint(&w, 2, 0);
	bytes_put(&w, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	bytes_put(&w, fields->curve_key, CORE_KEY_BYTES);
	bytes_put_uint(&w, 8, fields->network);
	bytes_put_uint(&w, 8, fields->seq);
	bytes_put_uint(&w, 8, (uint64_t) fields->expires_ms);
	bytes_put_uint(&w, 8, fields->capabilities);
	for (int i = 0; i < fields->n_addresses; i++)
	{
		bytes_put(&w, fields->addresses[i].ip, sizeof fields->addresses[i].ip);
		bytes_put_uint(&w, 2, fields->addresses[i].port);
	}
	signed_len = (size_t) (w.at - out);
	signature = bytes_room(&w, CORE_SIGNATURE_BYTES);
	if (signature == NULL || !crypto->sign(crypto->context, secret, out, signed_len, signature))
		return DECODE_SIGNATURE;
	*len = signed_len + CORE_SIGNATURE_BYTES;
	CORE_ASSERT(reads_as(out, *len, fields));
	return DECODE_OK;
}

bool
record_pool_init(RecordPool *self, const CoreMemory *memory, const CoreCrypto *crypto,
				 const CoreRandom *random, uint64_t network, int64_t skew_ms, uint32_t limit)
{
	memset(self, 0, sizeof *self);
	self->memory = memory;
	self->crypto = crypto;
	self->secret = core_random_bits(random);
	self->network = network;
	self->skew_ms = skew_ms;
	self->limit = limit;
	self->slot = core_alloc(memory, FIRST_SLOTS * sizeof *self->slot);
	if (self->slot == NULL)
		return false;
	memset(self->slot, 0, FIRST_SLOTS * sizeof *self->slot);
	self->slots = FIRST_SLOTS;
	return true;
}

void
record_pool_reset(RecordPool *self)
{
	for (uint32_t i = 0; i < self->slots; i++)
		while (self->slot[i] != NULL)
		{
			NodeRecord *record = self->slot[i];

			self->slot[i] = record->next;
			core_free(self->memory, record);
		}
	core_free(self->memory, self->slot);
	memset(self, 0, sizeof *self);
}

DecodeStatus
record_pool_take(RecordPool *self, const uint8_t *bytes, size_t len,
				 int64_t unix_ms, NodeRecord **record)
{
	NodeRecordFields fields;
	uint8_t		key[CORE_KEY_BYTES];
	DecodeStatus status;
	NodeRecord **slot;
	NodeRecord *r;

	*record = NULL;
	status = decode(bytes, len, &fields, key);
	if (status != DECODE_OK)
		return status;
	if (fields.network != self->network)
		return DECODE_NETWORK;
	if (fields.expires_ms <= unix_ms - self->skew_ms)
		return DECODE_EXPIRED;
	if (fields.expires_ms - NODE_RECORD_LIFE_MS > unix_ms + self->skew_ms)
		return DECODE_FUTURE;

	slot = find_slot(self, key);
	for (r = *slot; r != NULL; r = r->next)
		if (r->len == len && memcmp(r->bytes, bytes, len) == 0)
		{
			*record = node_record_keep(r);
			return DECODE_OK;
		}
	if (self->n >= self->limit)
		return DECODE_TOO_MANY;
	self->verified++;
	if (!self->crypto->verify(self->crypto->context, key, bytes, len - CORE_SIGNATURE_BYTES,
							  bytes + len - CORE_SIGNATURE_BYTES))
		return DECODE_SIGNATURE;
	r = core_alloc(self->memory, sizeof *r + len);
	if (r == NULL)
		return DECODE_MEMORY;
	r->id = kad_id_of_key(self->crypto, key);
	memcpy(r->key, key, sizeof r->key);
	memcpy(r->curve_key, fields.curve_key, sizeof r->curve_key);
	r->network = fields.network;
	r->seq = fields.seq;
	r->expires_ms = fields.expires_ms;
	r->capabilities = fields.capabilities;
	r->n_addresses = fields.n_addresses;
	memcpy(r->addresses, fields.addresses, sizeof r->addresses);
	r->references = 1;
	r->len = (uint16_t) len;
	memcpy(r->bytes, bytes, len);
	r->next = *slot;
	*slot = r;
	CORE_ASSERT(self->n < self->limit);
	if (++self->n > self->slots)
		grow(self);
	*record = r;
	return DECODE_OK;
}

NodeRecord *
node_record_keep(NodeRecord *record)
{
	CORE_ASSERT(record->references > 0 && record->references < UINT32_MAX);
	record->references++;
	return record;
}

void
record_pool_release(RecordPool *self, NodeRecord *record)
{
	NodeRecord **at;

	CORE_ASSERT(record == NULL || record->references > 0);
	if (record == NULL || --record->references > 0)
		return;
	CORE_ASSERT(self->n > 0);
	for (at = find_slot(self, record->key); *at != NULL; at = &(*at)->next)
		if (*at == record)
		{
			*at = record->next;
			self->n--;
			break;
		}
	core_free(self->memory, record);
}

/* The form alone: nothing is verified yet. */
static DecodeStatus
decode(const uint8_t *bytes, size_t len, NodeRecordFields *fields, uint8_t key[CORE_KEY_BYTES])
{
	ByteReader	r = {bytes, len, false};
	const uint8_t *head = bytes_take(&r, sizeof magic);
	uint64_t	flags;
	uint64_t	expires;
	size_t		extensions;
	const uint8_t *extension;
	DecodeStatus status;

	if (len > NODE_RECORD_MAX)
		return DECODE_OVERLONG;
	if (head == NULL)
		return DECODE_TRUNCATED;
	if (memcmp(head, magic, sizeof magic) != 0)
		return DECODE_MAGIC;
	memset(fields, 0, sizeof *fields);
	flags = bytes_take_uint(&r, 1);
	fields->n_addresses = (int) bytes_take_uint(&r, 1);
	extensions = (size_t) bytes_take_uint(&r, 2);
	bytes_take_copy(&r, key, CORE_KEY_BYTES);
	bytes_take_copy(&r, fields->curve_key, CORE_KEY_BYTES);
	fields->network = bytes_take_uint(&r, 8);
	fields->seq = bytes_take_uint(&r, 8);
	expires = bytes_take_uint(&r, 8);
	fields->capabilities = bytes_take_uint(&r, 8);
	if (r.failed)
		return DECODE_TRUNCATED;
	if (flags != 0)
		return DECODE_FLAGS;
	if (fields->n_addresses < 1 || fields->n_addresses > NODE_RECORD_ADDRESSES ||
		extensions > NODE_RECORD_EXTENSIONS || expires == 0 || expires > INT64_MAX / 2)
		return DECODE_VALUE;
	fields->expires_ms = (int64_t) expires;
	for (int i = 0; i < fields->n_addresses; i++)
	{
		bytes_take_copy(&r, fields->addresses[i].ip, sizeof fields->addresses[i].ip);
		fields->addresses[i].port = (uint16_t) bytes_take_uint(&r, 2);
	}
	extension = bytes_take(&r, extensions);
	bytes_take(&r, CORE_SIGNATURE_BYTES);
	if (r.failed)
		return DECODE_TRUNCATED;
	if (r.left > 0)
		return DECODE_OVERLONG;
	status = check_extensions(extension, extensions);
	if (status != DECODE_OK)
		return status;
	return addresses_good(fields) ? DECODE_OK : DECODE_VALUE;
}

/* No extension is known yet: all may be skipped but the critical ones. */
static DecodeStatus
check_extensions(const uint8_t *bytes, size_t len)
{
	WireItems	items = wire_items(bytes, len);
	WireItem	item;

	while (wire_items_next(&items, &item))
		if (item.tag & WIRE_CRITICAL)
			return DECODE_CRITICAL;
	return items.status;
}

static bool
addresses_good(const NodeRecordFields *fields)
{
	for (int i = 0; i < fields->n_addresses; i++)
	{
		if (!net_address_usable(&fields->addresses[i]))
			return false;
		for (int j = 0; j < i; j++)
			if (net_address_equal(&fields->addresses[i], &fields->addresses[j]))
				return false;
	}
	return true;
}

static NodeRecord **
find_slot(const RecordPool *self, const uint8_t *key)
{
	uint64_t	h = (bytes_load(key, 8) ^ self->secret) * UINT64_C(0x9E3779B97F4A7C15);

	CORE_ASSERT(self->slots > 0 && (self->slots & (self->slots - 1)) == 0);
	return &self->slot[(h >> 32) & (self->slots - 1)];
}

/* Twice the slots, when there is memory; longer chains otherwise. */
static void
grow(RecordPool *self)
{
	uint32_t	slots = self->slots;
	NodeRecord **old = self->slot;
	NodeRecord **wider;

	if (slots > UINT32_MAX / 4)
		return;
	wider = core_alloc(self->memory, 2 * (size_t) slots * sizeof *wider);
	if (wider == NULL)
		return;
	memset(wider, 0, 2 * (size_t) slots * sizeof *wider);
	self->slot = wider;
	self->slots = 2 * slots;
	for (uint32_t i = 0; i < slots; i++)
		while (old[i] != NULL)
		{
			NodeRecord *record = old[i];
			NodeRecord **slot = find_slot(self, record->key);

			old[i] = record->next;
			record->next = *slot;
			*slot = record;
		}
	core_free(self->memory, old);
}
