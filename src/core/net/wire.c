/*
 * wire.c
 *	  Encoding and decoding of messages.
 *
 * One table says which items a type has, in each direction; encoder and decoder
 * both follow it, so what the one writes is what the other takes.
 */
#include "core/net/wire.h"

#include "core/bytes.h"
#include "core/net/wire_item.h"

#define FLAG_RESPONSE 1
#define HAS(tag) (1u << WIRE_TAG_##tag)

static const uint8_t magic[4] = {'v', 'd', 'b', 'p'};

typedef struct Shape
{
	bool		exists;
	bool		numbered;		/* has a request id */
	bool		of_collection;	/* names a collection; else must not */
	bool		either;			/* ... unless it may do both */
	uint32_t	required;
	uint32_t	optional;
	int			records;		/* most of each list */
	int			grants;
	int			fewest_grants;
} Shape;

/* [type][response] */
static const Shape shapes[WIRE_TYPES][2] = {
	[WIRE_HELLO] = {
		{.exists = true, .numbered = true, .required = HAS(VERSIONS) | HAS(NETWORK) | HAS(RECORD), .records = 1},
		{.exists = true, .numbered = true, .required = HAS(VERSIONS) | HAS(NETWORK) | HAS(RECORD), .records = 1}
	},
	[WIRE_PING] = {
		{.exists = true, .numbered = true, .optional = HAS(RECORD), .records = 1},
		{.exists = true, .numbered = true, .optional = HAS(RECORD), .records = 1}
	},
	[WIRE_FIND_NODE] = {
		{.exists = true, .numbered = true, .required = HAS(TARGET), .optional = HAS(AVOID)},
		{.exists = true, .numbered = true, .optional = HAS(RECORD), .records = WIRE_RECORDS}
	},
	[WIRE_FIND_PROVIDERS] = {
		{.exists = true, .numbered = true, .required = HAS(TARGET), .optional = HAS(AVOID)},
		{.exists = true, .numbered = true, .optional = HAS(RECORD) | HAS(PROVIDER), .records = WIRE_RECORDS}
	},
	[WIRE_PROVIDE] = {
		{.exists = true, .numbered = true, .required = HAS(PROVIDER)},
		{.exists = true, .numbered = true, .required = HAS(CODE)}
	},
	[WIRE_GRANTS_SYNC] = {
		{.exists = true, .numbered = true, .of_collection = true,
		.required = HAS(FINGERPRINT), .optional = HAS(GRANT), .grants = WIRE_GRANTS},
		{.exists = true, .numbered = true, .of_collection = true,
		.required = HAS(FINGERPRINT), .optional = HAS(GRANT), .grants = WIRE_GRANTS}
	},
	[WIRE_REDEEM] = {
		{.exists = true, .numbered = true, .of_collection = true,
		.required = HAS(GRANT) | HAS(REDEMPTION), .grants = 1, .fewest_grants = 1},
		{.exists = true, .numbered = true, .of_collection = true,
		.required = HAS(GRANT), .optional = HAS(TEXT), .grants = WIRE_GRANTS, .fewest_grants = 1}
	},
	[WIRE_GRAFT] = {
		{.exists = true, .of_collection = true},
	},
	[WIRE_PRUNE] = {
		{.exists = true, .of_collection = true,
		.required = HAS(BACKOFF), .optional = HAS(RECORD), .records = WIRE_PRUNE_RECORDS},
	},
	[WIRE_ERROR] = {
		{.exists = false},
		{.exists = true, .numbered = true, .either = true, .required = HAS(CODE), .optional = HAS(TEXT)}
	},
	[WIRE_BYE] = {
		{.exists = true},
	},
};

static const Shape *shape_of(int type, bool response);
static DecodeStatus decode_item(RecordPool *pool, const Shape *shape, const WireItem *item,
								int64_t unix_ms, WireMessage *self);
static DecodeStatus decode_record(RecordPool *pool, const WireItem *item, int64_t unix_ms, WireMessage *self);
static DecodeStatus decode_provider(RecordPool *pool, const WireItem *item, int64_t unix_ms, WireMessage *self);
static bool may_skip(const WireMessage *self, DecodeStatus status);
static bool text_good(const uint8_t *text, size_t len);
static void put_items(ByteWriter *w, const Shape *shape, const WireMessage *self);
static void put_provider(ByteWriter *w, const Provider *provider);

bool
wire_encode(const WireMessage *self, uint8_t *out, size_t room, size_t *len)
{
	const Shape *shape = shape_of(self->type, self->response);
	ByteWriter	w = {out, room, false};

	if (shape == NULL || (self->request != 0) != shape->numbered)
		return false;
	if (!shape->either && bytes_all_zero(self->collection.b, KAD_ID_BYTES) == shape->of_collection)
		return false;
	bytes_put(&w, magic, sizeof magic);
	bytes_put_uint(&w, 2, WIRE_VERSION_MAX);
	bytes_put_uint(&w, 1, self->type);
	bytes_put_uint(&w, 1, self->response ? FLAG_RESPONSE : 0);
	bytes_put_uint(&w, 8, self->request);
	bytes_put(&w, self->collection.b, KAD_ID_BYTES);
	bytes_put_uint(&w, 4, 0);
	put_items(&w, shape, self);
	if (w.failed)
		return false;
	*len = room - w.left;
	if (*len > WIRE_FRAME_MAX)
		return false;
	bytes_store(out + WIRE_HEAD - 4, 4, *len - WIRE_HEAD);
	return true;
}

DecodeStatus
wire_decode(RecordPool *pool, const uint8_t *frame, size_t len, int64_t unix_ms, WireMessage *self)
{
	ByteReader	r = {frame, len, false};
	const uint8_t *head = bytes_take(&r, sizeof magic);
	uint64_t	flags;
	uint64_t	payload;
	const Shape *shape;
	WireItems	items;
	WireItem	item;
	uint32_t	seen = 0;
	bool		collection;

	memset(self, 0, sizeof *self);
	if (len > WIRE_FRAME_MAX)
		return DECODE_OVERLONG;
	if (head == NULL)
		return DECODE_TRUNCATED;
	if (memcmp(head, magic, sizeof magic) != 0)
		return DECODE_MAGIC;
	self->version = (uint16_t) bytes_take_uint(&r, 2);
	self->type = (uint8_t) bytes_take_uint(&r, 1);
	flags = bytes_take_uint(&r, 1);
	self->request = bytes_take_uint(&r, 8);
	bytes_take_copy(&r, self->collection.b, KAD_ID_BYTES);
	payload = bytes_take_uint(&r, 4);
	if (r.failed)
		return DECODE_TRUNCATED;
	if (self->version < WIRE_VERSION_MIN || self->version > WIRE_VERSION_MAX)
		return DECODE_VERSION;
	if (payload != r.left)
		return payload > r.left ? DECODE_TRUNCATED : DECODE_OVERLONG;
	if (flags & ~(uint64_t) FLAG_RESPONSE)
		return DECODE_FLAGS;
	self->response = flags != 0;
	shape = shape_of(self->type, self->response);
	if (shape == NULL)
		return DECODE_TYPE;
	collection = !bytes_all_zero(self->collection.b, KAD_ID_BYTES);
	if ((self->request != 0) != shape->numbered || (!shape->either && collection != shape->of_collection))
		return DECODE_VALUE;

	items = wire_items(r.at, r.left);
	while (wire_items_next(&items, &item))
	{
		int			tag = item.tag & ~WIRE_CRITICAL;
		DecodeStatus status;

		if (tag == 0 || tag >= WIRE_TAGS)
		{
			if (item.tag & WIRE_CRITICAL)
				items.status = DECODE_CRITICAL;
			continue;
		}
		if (item.tag & WIRE_CRITICAL || !((shape->required | shape->optional) >> tag & 1))
		{
			/* one form only: a known tag where it belongs, without the bit */
			items.status = DECODE_VALUE;
			continue;
		}
		seen |= 1u << tag;
		status = decode_item(pool, shape, &item, unix_ms, self);
		if (status != DECODE_OK)
			items.status = status;
	}
	if (items.status == DECODE_OK &&
		((seen & shape->required) != shape->required || self->n_grants < shape->fewest_grants))
		items.status = DECODE_MISSING;
	if (items.status != DECODE_OK)
		wire_release(pool, self);
	return items.status;
}

void
wire_release(RecordPool *pool, WireMessage *self)
{
	for (int i = 0; i < self->n_records; i++)
		record_pool_release(pool, self->record[i]);
	for (int i = 0; i < self->n_providers; i++)
		provider_release(pool, self->provider[i]);
	self->n_records = self->n_providers = 0;
}

static const Shape *
shape_of(int type, bool response)
{
	if (type <= 0 || type >= WIRE_TYPES || !shapes[type][response].exists)
		return NULL;
	return &shapes[type][response];
}

static DecodeStatus
decode_item(RecordPool *pool, const Shape *shape, const WireItem *item, int64_t unix_ms, WireMessage *self)
{
	static const uint8_t sizes[WIRE_TAGS] = {
		[WIRE_TAG_VERSIONS] = 4,
		[WIRE_TAG_NETWORK] = 8,
		[WIRE_TAG_TARGET] = KAD_ID_BYTES,
		[WIRE_TAG_GRANT] = GRANT_BYTES,
		[WIRE_TAG_REDEMPTION] = REDEMPTION_BYTES,
		[WIRE_TAG_BACKOFF] = 4,
		[WIRE_TAG_CODE] = 2,
		[WIRE_TAG_FINGERPRINT] = GRANT_HASH_BYTES,
	};
	bool		list = item->tag == WIRE_TAG_RECORD || item->tag == WIRE_TAG_PROVIDER || item->tag == WIRE_TAG_GRANT;

	if (item->repeated && !list)
		return DECODE_ORDER;
	if (sizes[item->tag] != 0 && item->len != sizes[item->tag])
		return item->len < sizes[item->tag] ? DECODE_TRUNCATED : DECODE_OVERLONG;
	switch (item->tag)
	{
		case WIRE_TAG_VERSIONS:
			self->min_version = (uint16_t) bytes_load(item->value, 2);
			self->max_version = (uint16_t) bytes_load(item->value + 2, 2);
			return self->min_version >= 1 && self->min_version <= self->max_version ? DECODE_OK : DECODE_VALUE;
		case WIRE_TAG_NETWORK:
			self->network = bytes_load(item->value, 8);
			return DECODE_OK;
		case WIRE_TAG_RECORD:
			return self->n_records + self->skipped < shape->records ?
				decode_record(pool, item, unix_ms, self) : DECODE_TOO_MANY;
		case WIRE_TAG_TARGET:
			memcpy(self->target.b, item->value, KAD_ID_BYTES);
			return DECODE_OK;
		case WIRE_TAG_PROVIDER:
			return self->n_providers < (self->type == WIRE_PROVIDE ? 1 : WIRE_PROVIDERS) &&
				self->skipped < WIRE_RECORDS + WIRE_PROVIDERS ?
				decode_provider(pool, item, unix_ms, self) : DECODE_TOO_MANY;
		case WIRE_TAG_GRANT:
			if (self->n_grants >= shape->grants)
				return DECODE_TOO_MANY;
			self->grant[self->n_grants++] = item->value;
			return DECODE_OK;
		case WIRE_TAG_REDEMPTION:
			self->redemption = item->value;
			return DECODE_OK;
		case WIRE_TAG_BACKOFF:
			self->backoff_s = (uint32_t) bytes_load(item->value, 4);
			return DECODE_OK;
		case WIRE_TAG_CODE:
			self->code = (uint16_t) bytes_load(item->value, 2);
			return DECODE_OK;
		case WIRE_TAG_TEXT:
			if (item->len > WIRE_TEXT_MAX)
				return DECODE_OVERLONG;
			if (item->len == 0 || !text_good(item->value, item->len))
				return DECODE_TEXT;
			self->text = (const char *) item->value;
			self->text_len = item->len;
			return DECODE_OK;
		case WIRE_TAG_AVOID:
			if (item->len == 0 || item->len % 8 != 0)
				return DECODE_VALUE;
			if (item->len > sizeof self->avoid)
				return DECODE_TOO_MANY;
			self->n_avoid = (int) (item->len / 8);
			memcpy(self->avoid, item->value, item->len);
			return DECODE_OK;
		default:
			memcpy(self->fingerprint, item->value, GRANT_HASH_BYTES);
			return DECODE_OK;
	}
}

static DecodeStatus
decode_record(RecordPool *pool, const WireItem *item, int64_t unix_ms, WireMessage *self)
{
	NodeRecord *record;
	DecodeStatus status = record_pool_take(pool, item->value, item->len, unix_ms, &record);

	if (status == DECODE_OK)
		self->record[self->n_records++] = record;
	else if (may_skip(self, status))
	{
		self->skipped++;
		status = DECODE_OK;
	}
	return status;
}

/* A provider record, then the record of the node that signed it. */
static DecodeStatus
decode_provider(RecordPool *pool, const WireItem *item, int64_t unix_ms, WireMessage *self)
{
	NodeRecord *record;
	DecodeStatus status;

	if (item->len < PROVIDER_BYTES)
		return DECODE_TRUNCATED;
	status = record_pool_take(pool, item->value + PROVIDER_BYTES, item->len - PROVIDER_BYTES, unix_ms, &record);
	if (status == DECODE_OK)
	{
		status = provider_decode(pool, item->value, PROVIDER_BYTES, record, unix_ms,
								 &self->provider[self->n_providers]);
		record_pool_release(pool, record);
	}
	if (status == DECODE_OK)
		self->n_providers++;
	else if (may_skip(self, status))
	{
		self->skipped++;
		status = DECODE_OK;
	}
	return status;
}

/* Errors that an honest peer's answer may contain, and those that are ours. */
static bool
may_skip(const WireMessage *self, DecodeStatus status)
{
	if (self->type != WIRE_FIND_NODE && self->type != WIRE_FIND_PROVIDERS && self->type != WIRE_PRUNE)
		return false;
	return status == DECODE_EXPIRED || status == DECODE_FUTURE || status == DECODE_CRITICAL ||
		status == DECODE_TOO_MANY || status == DECODE_MEMORY;
}

/* UTF-8 (RFC 3629) without control characters: it will stand in a log. */
static bool
text_good(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len;)
	{
		uint8_t		c = text[i];
		size_t		more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : 4;
		uint32_t	point;

		if (more == 4 || more > len - i - 1)
			return false;
		point = more == 0 ? c : c & (0x3F >> more);
		for (size_t j = 1; j <= more; j++)
		{
			if ((text[i + j] & 0xC0) != 0x80)
				return false;
			point = point << 6 | (text[i + j] & 0x3F);
		}
		if (point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 ||
			(more == 2 && (point < 0x800 || (point >= 0xD800 && point < 0xE000))) ||
			(more == 3 && (point < 0x10000 || point > 0x10FFFF)))
			return false;
		i += more + 1;
	}
	return true;
}

/* In ascending order of tags.  What is missing or too much fails the writer. */
static void
put_items(ByteWriter *w, const Shape *shape, const WireMessage *self)
{
	uint32_t	allowed = shape->required | shape->optional;
	uint8_t		versions[4];

	if (allowed & HAS(VERSIONS))
	{
		bytes_store(versions, 2, self->min_version);
		bytes_store(versions + 2, 2, self->max_version);
		wire_put_item(w, WIRE_TAG_VERSIONS, versions, sizeof versions);
	}
	if (allowed & HAS(NETWORK))
		wire_put_item_uint(w, WIRE_TAG_NETWORK, 8, self->network);
	if (allowed & HAS(RECORD))
	{
		if (self->n_records > shape->records || (shape->required & HAS(RECORD) && self->n_records == 0))
			w->failed = true;
		for (int i = 0; i < self->n_records && !w->failed; i++)
			wire_put_item(w, WIRE_TAG_RECORD, self->record[i]->bytes, self->record[i]->len);
	}
	if (allowed & HAS(TARGET))
		wire_put_item(w, WIRE_TAG_TARGET, self->target.b, KAD_ID_BYTES);
	if (allowed & HAS(PROVIDER))
	{
		if (shape->required & HAS(PROVIDER) ? self->n_providers != 1 : self->n_providers > WIRE_PROVIDERS)
			w->failed = true;
		for (int i = 0; i < self->n_providers && !w->failed; i++)
			put_provider(w, self->provider[i]);
	}
	if (allowed & HAS(GRANT))
	{
		if (self->n_grants > shape->grants || self->n_grants < shape->fewest_grants)
			w->failed = true;
		for (int i = 0; i < self->n_grants && !w->failed; i++)
			wire_put_item(w, WIRE_TAG_GRANT, self->grant[i], GRANT_BYTES);
	}
	if (allowed & HAS(REDEMPTION))
	{
		if (self->redemption == NULL)
			w->failed = true;
		else
			wire_put_item(w, WIRE_TAG_REDEMPTION, self->redemption, REDEMPTION_BYTES);
	}
	if (allowed & HAS(BACKOFF))
		wire_put_item_uint(w, WIRE_TAG_BACKOFF, 4, self->backoff_s);
	if (allowed & HAS(CODE))
		wire_put_item_uint(w, WIRE_TAG_CODE, 2, self->code);
	if (allowed & HAS(TEXT) && self->text_len > 0)
	{
		if (self->text_len > WIRE_TEXT_MAX || !text_good((const uint8_t *) self->text, self->text_len))
			w->failed = true;
		wire_put_item(w, WIRE_TAG_TEXT, self->text, self->text_len);
	}
	if (allowed & HAS(FINGERPRINT))
		wire_put_item(w, WIRE_TAG_FINGERPRINT, self->fingerprint, GRANT_HASH_BYTES);
	if (allowed & HAS(AVOID) && self->n_avoid > 0)
	{
		if (self->n_avoid > WIRE_AVOID)
			w->failed = true;
		else
			wire_put_item(w, WIRE_TAG_AVOID, self->avoid, (size_t) self->n_avoid * sizeof self->avoid[0]);
	}
}

static void
put_provider(ByteWriter *w, const Provider *provider)
{
	bytes_put_uint(w, 2, WIRE_TAG_PROVIDER);
	bytes_put_uint(w, 4, (uint64_t) PROVIDER_BYTES + provider->record->len);
	bytes_put(w, provider->bytes, PROVIDER_BYTES);
	bytes_put(w, provider->record->bytes, provider->record->len);
}
