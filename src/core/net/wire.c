/*
 * wire.c
 *	  Encoding and decoding of messages.
 *
 * Each type has a codec of its own in each direction: a row of the table below, a
 * function that writes its items in the order of their tags, and one that takes an
 * item.  The row says which items there may and must be, so that what the one writes
 * is what the other takes.
 */
#include "core/net/wire.h"

#include "core/assert.h"
#include "core/bytes.h"
#include "core/net/wire_item.h"

#define HAS(tag) (1u << WIRE_TAG_##tag)

/* What is being decoded. */
typedef struct Decoder
{
	RecordPool *pool;
	int64_t		unix_ms;
	WireMessage *m;
} Decoder;

/* An item whose tag its codec has, of the right size where that is fixed. */
typedef DecodeStatus (*TakeItem) (Decoder *self, const WireItem *item);

/* What is missing or too much fails the writer. */
typedef void (*PutItems) (ByteWriter *w, const WireMessage *m);

typedef enum Names
{
	NAMES_NOTHING,				/* no collection in the header */
	NAMES_COLLECTION,
	NAMES_EITHER
} Names;

typedef struct Codec
{
	bool		exists;
	bool		numbered;		/* has a request id */
	Names		names;
	uint32_t	required;
	uint32_t	optional;
	PutItems	put;			/* NULL: no items */
	TakeItem	take;
} Codec;

static void put_hello(ByteWriter *w, const WireMessage *m);
static void put_ping(ByteWriter *w, const WireMessage *m);
static void put_find(ByteWriter *w, const WireMessage *m);
static void put_found(ByteWriter *w, const WireMessage *m);
static void put_provide(ByteWriter *w, const WireMessage *m);
static void put_provided(ByteWriter *w, const WireMessage *m);
static void put_grants(ByteWriter *w, const WireMessage *m);
static void put_redeem(ByteWriter *w, const WireMessage *m);
static void put_redeemed(ByteWriter *w, const WireMessage *m);
static void put_prune(ByteWriter *w, const WireMessage *m);
static void put_error(ByteWriter *w, const WireMessage *m);
static DecodeStatus take_hello(Decoder *self, const WireItem *item);
static DecodeStatus take_ping(Decoder *self, const WireItem *item);
static DecodeStatus take_find(Decoder *self, const WireItem *item);
static DecodeStatus take_found(Decoder *self, const WireItem *item);
static DecodeStatus take_provide(Decoder *self, const WireItem *item);
static DecodeStatus take_provided(Decoder *self, const WireItem *item);
static DecodeStatus take_grants(Decoder *self, const WireItem *item);
static DecodeStatus take_redeem(Decoder *self, const WireItem *item);
static DecodeStatus take_redeemed(Decoder *self, const WireItem *item);
static DecodeStatus take_prune(Decoder *self, const WireItem *item);
static DecodeStatus take_error(Decoder *self, const WireItem *item);

/* [type][response] */
static const Codec codecs[WIRE_TYPES][2] = {
	[WIRE_HELLO] = {
		{true, true, NAMES_NOTHING, HAS(VERSIONS) | HAS(NETWORK) | HAS(RECORD), 0, put_hello, take_hello},
		{true, true, NAMES_NOTHING, HAS(VERSIONS) | HAS(NETWORK) | HAS(RECORD), 0, put_hello, take_hello}
	},
	[WIRE_PING] = {
		{true, true, NAMES_NOTHING, 0, HAS(RECORD), put_ping, take_ping},
		{true, true, NAMES_NOTHING, 0, HAS(RECORD), put_ping, take_ping}
	},
	[WIRE_FIND_NODE] = {
		{true, true, NAMES_NOTHING, HAS(TARGET), HAS(AVOID), put_find, take_find},
		{true, true, NAMES_NOTHING, 0, HAS(RECORD), put_found, take_found}
	},
	[WIRE_FIND_PROVIDERS] = {
		{true, true, NAMES_NOTHING, HAS(TARGET), HAS(AVOID), put_find, take_find},
		{true, true, NAMES_NOTHING, 0, HAS(RECORD) | HAS(PROVIDER), put_found, take_found}
	},
	[WIRE_PROVIDE] = {
		{true, true, NAMES_NOTHING, HAS(PROVIDER), 0, put_provide, take_provide},
		{true, true, NAMES_NOTHING, HAS(CODE), 0, put_provided, take_provided}
	},
	[WIRE_GRANTS_SYNC] = {
		{true, true, NAMES_COLLECTION, HAS(FINGERPRINT), HAS(GRANT) | HAS(CHANGES) | HAS(CHANGE), put_grants, take_grants},
		{true, true, NAMES_COLLECTION, HAS(FINGERPRINT), HAS(GRANT) | HAS(CHANGES) | HAS(CHANGE), put_grants, take_grants}
	},
	[WIRE_REDEEM] = {
		{true, true, NAMES_COLLECTION, HAS(GRANT) | HAS(REDEMPTION), HAS(TEXT), put_redeem, take_redeem},
		{true, true, NAMES_COLLECTION, HAS(GRANT), HAS(TEXT), put_redeemed, take_redeemed}
	},
	[WIRE_GRAFT] = {
		{true, false, NAMES_COLLECTION, 0, 0, NULL, NULL}
	},
	[WIRE_PRUNE] = {
		{true, false, NAMES_COLLECTION, HAS(BACKOFF), HAS(RECORD), put_prune, take_prune}
	},
	[WIRE_ERROR] = {
		{.exists = false},
		{true, true, NAMES_EITHER, HAS(CODE), HAS(TEXT), put_error, take_error}
	},
	[WIRE_BYE] = {
		{true, false, NAMES_NOTHING, 0, 0, NULL, NULL}
	},
};

/* Bytes of items that have one size only; 0: any. */
static const uint8_t sizes[WIRE_TAGS] = {
	[WIRE_TAG_VERSIONS] = 4,
	[WIRE_TAG_NETWORK] = 8,
	[WIRE_TAG_TARGET] = KAD_ID_BYTES,
	[WIRE_TAG_GRANT] = GRANT_BYTES,
	[WIRE_TAG_REDEMPTION] = REDEMPTION_BYTES,
	[WIRE_TAG_BACKOFF] = 4,
	[WIRE_TAG_CODE] = 2,
	[WIRE_TAG_FINGERPRINT] = GRANT_HASH_BYTES,
	[WIRE_TAG_CHANGES] = CHANGE_HASH_BYTES,
};

_Static_assert(WIRE_TAGS <= 32, "a codec has a bit for each tag");
_Static_assert(WIRE_TYPES <= UINT8_MAX, "a type is a byte");

static const Codec *
codec_of(int type, bool response)
{
	if (type <= 0 || type >= WIRE_TYPES || !codecs[type][response].exists)
		return NULL;
	return &codecs[type][response];
}

static bool
names_good(const Codec *codec, const KadId *collection)
{
	bool		none = bytes_all_zero(collection->b, KAD_ID_BYTES);

	return codec->names == NAMES_EITHER || none == (codec->names == NAMES_NOTHING);
}

/* Are these the items that a reader of this type takes? */
static bool
items_fit(const Codec *codec, const uint8_t *bytes, size_t len)
{
	WireItems	items = wire_items(bytes, len);
	WireItem	item;
	uint32_t	seen = 0;

	while (wire_items_next(&items, &item))
	{
		if (item.tag >= WIRE_TAGS || !((codec->required | codec->optional) >> item.tag & 1) ||
			(sizes[item.tag] != 0 && item.len != sizes[item.tag]))
			return false;
		seen |= 1u << item.tag;
	}
	return items.status == DECODE_OK && (seen & codec->required) == codec->required;
}

bool
wire_encode(const WireMessage *self, uint8_t *out, size_t room, size_t *len)
{
	const Codec *codec = codec_of(self->type, self->response);
	WireHeader	header = {WIRE_VERSION_MAX, self->type, self->response, self->request, self->collection};
	ByteWriter	w = {out, room, false};

	if (codec == NULL || (self->request != 0) != codec->numbered || !names_good(codec, &self->collection))
		return false;
	wire_header_put(&w, &header);
	if (codec->put != NULL)
		codec->put(&w, self);
	if (w.failed)
		return false;
	*len = room - w.left;
	if (*len > WIRE_FRAME_MAX)
		return false;
	wire_header_end(out, *len);
	CORE_ASSERT(items_fit(codec, out + WIRE_HEAD, *len - WIRE_HEAD));
	return true;
}

/* The header; r is left at the first item. */
static DecodeStatus
decode_head(ByteReader *r, WireMessage *m, const Codec **codec)
{
	WireHeader	header;
	DecodeStatus status = wire_header_take(r, &header);

	m->version = header.version;
	m->type = header.type;
	m->response = header.response;
	m->request = header.request;
	m->collection = header.collection;
	if (status != DECODE_OK)
		return status;
	*codec = codec_of(m->type, m->response);
	if (*codec == NULL)
		return DECODE_TYPE;
	if ((m->request != 0) != (*codec)->numbered || !names_good(*codec, &m->collection))
		return DECODE_VALUE;
	return DECODE_OK;
}

static DecodeStatus
decode_item(Decoder *self, const Codec *codec, const WireItem *item, uint32_t *seen)
{
	int			tag = item->tag & ~WIRE_CRITICAL;
	bool		list = tag == WIRE_TAG_RECORD || tag == WIRE_TAG_PROVIDER || tag == WIRE_TAG_GRANT ||
		tag == WIRE_TAG_CHANGE;

	if (tag == 0 || tag >= WIRE_TAGS)
		return item->tag & WIRE_CRITICAL ? DECODE_CRITICAL : DECODE_OK;
	/* one form only: a known tag where it belongs, without the bit */
	if (item->tag & WIRE_CRITICAL || !((codec->required | codec->optional) >> tag & 1))
		return DECODE_VALUE;
	*seen |= 1u << tag;
	if (item->repeated && !list)
		return DECODE_ORDER;
	if (sizes[tag] != 0 && item->len != sizes[tag])
		return item->len < sizes[tag] ? DECODE_TRUNCATED : DECODE_OVERLONG;
	CORE_ASSERT(codec->take != NULL);
	return codec->take(self, item);
}

DecodeStatus
wire_decode(RecordPool *pool, const uint8_t *frame, size_t len, int64_t unix_ms, WireMessage *self)
{
	ByteReader	r = {frame, len, false};
	Decoder		decoder = {pool, unix_ms, self};
	const Codec *codec = NULL;
	DecodeStatus status;
	WireItems	items;
	WireItem	item;
	uint32_t	seen = 0;

	memset(self, 0, sizeof *self);
	if (len > WIRE_FRAME_MAX)
		return DECODE_OVERLONG;
	status = decode_head(&r, self, &codec);
	if (status != DECODE_OK)
		return status;
	items = wire_items(r.at, r.left);
	while (wire_items_next(&items, &item))
		items.status = decode_item(&decoder, codec, &item, &seen);
	if (items.status == DECODE_OK && (seen & codec->required) != codec->required)
		items.status = DECODE_MISSING;
	if (items.status != DECODE_OK)
		wire_release(pool, self);
	return items.status;
}

int
wire_records(const WireMessage *self, NodeRecord *const **out)
{
	switch (self->type)
	{
		case WIRE_HELLO:
			*out = &self->hello.record;
			return self->hello.record != NULL;
		case WIRE_PING:
			*out = &self->ping.record;
			return self->ping.record != NULL;
		case WIRE_FIND_NODE:
		case WIRE_FIND_PROVIDERS:
			*out = self->found.record;
			return self->response ? self->found.n_records : 0;
		case WIRE_PRUNE:
			*out = self->prune.record;
			return self->response ? 0 : self->prune.n_records;
	}
	*out = NULL;
	return 0;
}

int
wire_providers(const WireMessage *self, Provider *const **out)
{
	switch (self->type)
	{
		case WIRE_FIND_NODE:
		case WIRE_FIND_PROVIDERS:
			*out = self->found.provider;
			return self->response ? self->found.n_providers : 0;
		case WIRE_PROVIDE:
			*out = &self->provide.provider;
			return !self->response && self->provide.provider != NULL;
	}
	*out = NULL;
	return 0;
}

/* Nothing of what the message said is left in it. */
void
wire_release(RecordPool *pool, WireMessage *self)
{
	NodeRecord *const *record;
	Provider   *const *provider;
	int			n = wire_records(self, &record);

	for (int i = 0; i < n; i++)
		record_pool_release(pool, record[i]);
	n = wire_providers(self, &provider);
	for (int i = 0; i < n; i++)
		provider_release(pool, provider[i]);
	memset((char *) self + offsetof(WireMessage, hello), 0, sizeof *self - offsetof(WireMessage, hello));
}

/* ---- what several types have ---- */

static void
put_record(ByteWriter *w, const NodeRecord *record)
{
	wire_put_item(w, WIRE_TAG_RECORD, record->bytes, record->len);
}

static void
put_records(ByteWriter *w, NodeRecord *const *record, int n, int most)
{
	if (n > most)
		w->failed = true;
	for (int i = 0; i < n && !w->failed; i++)
		put_record(w, record[i]);
}

/* A provider record, then the record of the node that signed it. */
static void
put_provider(ByteWriter *w, const Provider *provider)
{
	bytes_put_uint(w, 2, WIRE_TAG_PROVIDER);
	bytes_put_uint(w, 4, (uint64_t) PROVIDER_BYTES + provider->record->len);
	bytes_put(w, provider->bytes, PROVIDER_BYTES);
	bytes_put(w, provider->record->bytes, provider->record->len);
}

static void
put_statements(ByteWriter *w, const uint8_t *const *grant, int n)
{
	if (n > WIRE_GRANTS)
		w->failed = true;
	for (int i = 0; i < n && !w->failed; i++)
		wire_put_item(w, WIRE_TAG_GRANT, grant[i], GRANT_BYTES);
}

static DecodeStatus
take_record(Decoder *self, const WireItem *item, NodeRecord **out)
{
	return record_pool_take(self->pool, item->value, item->len, self->unix_ms, out);
}

static DecodeStatus
take_provider_record(Decoder *self, const WireItem *item, Provider **out)
{
	NodeRecord *record;
	Provider   *provider;
	DecodeStatus status;

	if (item->len < PROVIDER_BYTES)
		return DECODE_TRUNCATED;
	status = record_pool_take(self->pool, item->value + PROVIDER_BYTES, item->len - PROVIDER_BYTES, self->unix_ms, &record);
	if (status == DECODE_OK)
	{
		status = provider_decode(self->pool, item->value, PROVIDER_BYTES, record, self->unix_ms, &provider);
		record_pool_release(self->pool, record);
	}
	if (status == DECODE_OK)
		*out = provider;
	return status;
}

/*
 * One of a list was taken, or not: errors that an honest peer's answer may contain,
 * and those that are ours, leave it out.
 */
static DecodeStatus
taken_or_skipped(Decoder *self, DecodeStatus status, int *n)
{
	if (status == DECODE_OK)
		++*n;
	else if (status == DECODE_EXPIRED || status == DECODE_FUTURE || status == DECODE_CRITICAL ||
			 status == DECODE_TOO_MANY || status == DECODE_MEMORY)
	{
		self->m->skipped++;
		status = DECODE_OK;
	}
	return status;
}

static DecodeStatus
take_statement(const WireItem *item, const uint8_t **grant, int *n)
{
	if (*n >= WIRE_GRANTS)
		return DECODE_TOO_MANY;
	grant[(*n)++] = item->value;
	return DECODE_OK;
}

static void
put_text(ByteWriter *w, const char *text, size_t len)
{
	if (len == 0)
		return;
	if (len > WIRE_TEXT_MAX || !wire_text_good((const uint8_t *) text, len))
		w->failed = true;
	wire_put_item(w, WIRE_TAG_TEXT, text, len);
}

static DecodeStatus
take_text(const WireItem *item, const char **text, size_t *len)
{
	if (item->len > WIRE_TEXT_MAX)
		return DECODE_OVERLONG;
	if (item->len == 0 || !wire_text_good(item->value, item->len))
		return DECODE_TEXT;
	*text = (const char *) item->value;
	*len = item->len;
	return DECODE_OK;
}

/* ---- HELLO ---- */

static void
put_hello(ByteWriter *w, const WireMessage *m)
{
	uint8_t		versions[4];

	bytes_store(versions, 2, m->hello.min_version);
	bytes_store(versions + 2, 2, m->hello.max_version);
	wire_put_item(w, WIRE_TAG_VERSIONS, versions, sizeof versions);
	wire_put_item_uint(w, WIRE_TAG_NETWORK, 8, m->hello.network);
	if (m->hello.record == NULL)
		w->failed = true;
	else
		put_record(w, m->hello.record);
}

static DecodeStatus
take_hello(Decoder *self, const WireItem *item)
{
	WireHello  *hello = &self->m->hello;

	switch (item->tag)
	{
		case WIRE_TAG_VERSIONS:
			hello->min_version = (uint16_t) bytes_load(item->value, 2);
			hello->max_version = (uint16_t) bytes_load(item->value + 2, 2);
			return hello->min_version >= 1 && hello->min_version <= hello->max_version ? DECODE_OK : DECODE_VALUE;
		case WIRE_TAG_NETWORK:
			hello->network = bytes_load(item->value, 8);
			return DECODE_OK;
		default:
			return hello->record != NULL ? DECODE_ORDER : take_record(self, item, &hello->record);
	}
}

/* ---- PING ---- */

static void
put_ping(ByteWriter *w, const WireMessage *m)
{
	if (m->ping.record != NULL)
		put_record(w, m->ping.record);
}

static DecodeStatus
take_ping(Decoder *self, const WireItem *item)
{
	return self->m->ping.record != NULL ? DECODE_ORDER : take_record(self, item, &self->m->ping.record);
}

/* ---- FIND_NODE, FIND_PROVIDERS ---- */

static void
put_find(ByteWriter *w, const WireMessage *m)
{
	wire_put_item(w, WIRE_TAG_TARGET, m->find.target.b, KAD_ID_BYTES);
	if (m->find.n_avoid > WIRE_AVOID)
		w->failed = true;
	else if (m->find.n_avoid > 0)
		wire_put_item(w, WIRE_TAG_AVOID, m->find.avoid, (size_t) m->find.n_avoid * sizeof m->find.avoid[0]);
}

static DecodeStatus
take_find(Decoder *self, const WireItem *item)
{
	WireFind   *find = &self->m->find;

	if (item->tag == WIRE_TAG_TARGET)
	{
		memcpy(find->target.b, item->value, KAD_ID_BYTES);
		return DECODE_OK;
	}
	if (item->len == 0 || item->len % 8 != 0)
		return DECODE_VALUE;
	if (item->len > sizeof find->avoid)
		return DECODE_TOO_MANY;
	find->n_avoid = (int) (item->len / 8);
	memcpy(find->avoid, item->value, item->len);
	return DECODE_OK;
}

static void
put_found(ByteWriter *w, const WireMessage *m)
{
	int			most = m->type == WIRE_FIND_PROVIDERS ? WIRE_PROVIDERS : 0;

	put_records(w, m->found.record, m->found.n_records, WIRE_RECORDS);
	if (m->found.n_providers > most)
		w->failed = true;
	for (int i = 0; i < m->found.n_providers && !w->failed; i++)
		put_provider(w, m->found.provider[i]);
}

static DecodeStatus
take_found(Decoder *self, const WireItem *item)
{
	WireFound  *found = &self->m->found;

	if (item->tag == WIRE_TAG_RECORD)
		return found->n_records + self->m->skipped >= WIRE_RECORDS ? DECODE_TOO_MANY :
			taken_or_skipped(self, take_record(self, item, &found->record[found->n_records]), &found->n_records);
	if (found->n_providers >= WIRE_PROVIDERS || self->m->skipped >= WIRE_RECORDS + WIRE_PROVIDERS)
		return DECODE_TOO_MANY;
	return taken_or_skipped(self, take_provider_record(self, item, &found->provider[found->n_providers]),
							&found->n_providers);
}

/* ---- PROVIDE ---- */

static void
put_provide(ByteWriter *w, const WireMessage *m)
{
	if (m->provide.provider == NULL)
		w->failed = true;
	else
		put_provider(w, m->provide.provider);
}

static DecodeStatus
take_provide(Decoder *self, const WireItem *item)
{
	return self->m->provide.provider != NULL ? DECODE_ORDER :
		take_provider_record(self, item, &self->m->provide.provider);
}

static void
put_provided(ByteWriter *w, const WireMessage *m)
{
	wire_put_item_uint(w, WIRE_TAG_CODE, 2, m->provided.code);
}

static DecodeStatus
take_provided(Decoder *self, const WireItem *item)
{
	self->m->provided.code = (uint16_t) bytes_load(item->value, 2);
	return DECODE_OK;
}

/* ---- GRANTS_SYNC ---- */

static void
put_grants(ByteWriter *w, const WireMessage *m)
{
	put_statements(w, m->grants.grant, m->grants.n);
	wire_put_item(w, WIRE_TAG_FINGERPRINT, m->grants.fingerprint, GRANT_HASH_BYTES);
	if (!bytes_all_zero(m->grants.changes_fingerprint, CHANGE_HASH_BYTES))
		wire_put_item(w, WIRE_TAG_CHANGES, m->grants.changes_fingerprint, CHANGE_HASH_BYTES);
	if (m->grants.n_changes > WIRE_CHANGES)
		w->failed = true;
	for (int i = 0; i < m->grants.n_changes && !w->failed; i++)
		wire_put_item(w, WIRE_TAG_CHANGE, m->grants.change[i].bytes, m->grants.change[i].len);
}

static DecodeStatus
take_change(WireGrants *grants, const WireItem *item)
{
	if (grants->n_changes >= WIRE_CHANGES)
		return DECODE_TOO_MANY;
	if (item->len > CHANGE_BYTES_MAX)
		return DECODE_OVERLONG;
	if (item->len <= CHANGE_HEAD + CORE_SIGNATURE_BYTES)
		return DECODE_TRUNCATED;
	grants->change[grants->n_changes].bytes = item->value;
	grants->change[grants->n_changes++].len = item->len;
	return DECODE_OK;
}

static DecodeStatus
take_grants(Decoder *self, const WireItem *item)
{
	WireGrants *grants = &self->m->grants;

	switch (item->tag)
	{
		case WIRE_TAG_GRANT:
			return take_statement(item, grants->grant, &grants->n);
		case WIRE_TAG_CHANGE:
			return take_change(grants, item);
		case WIRE_TAG_CHANGES:
			memcpy(grants->changes_fingerprint, item->value, CHANGE_HASH_BYTES);
			return bytes_all_zero(item->value, CHANGE_HASH_BYTES) ? DECODE_VALUE : DECODE_OK;
		default:
			memcpy(grants->fingerprint, item->value, GRANT_HASH_BYTES);
			return DECODE_OK;
	}
}

/* ---- REDEEM ---- */

static void
put_redeem(ByteWriter *w, const WireMessage *m)
{
	if (m->redeem.invitation == NULL || m->redeem.redemption == NULL)
	{
		w->failed = true;
		return;
	}
	wire_put_item(w, WIRE_TAG_GRANT, m->redeem.invitation, GRANT_BYTES);
	wire_put_item(w, WIRE_TAG_REDEMPTION, m->redeem.redemption, REDEMPTION_BYTES);
	put_text(w, m->redeem.text, m->redeem.text_len);
}

static DecodeStatus
take_redeem(Decoder *self, const WireItem *item)
{
	if (item->tag == WIRE_TAG_TEXT)
		return take_text(item, &self->m->redeem.text, &self->m->redeem.text_len);
	if (item->tag == WIRE_TAG_REDEMPTION)
		self->m->redeem.redemption = item->value;
	else if (self->m->redeem.invitation != NULL)
		return DECODE_ORDER;
	else
		self->m->redeem.invitation = item->value;
	return DECODE_OK;
}

static void
put_redeemed(ByteWriter *w, const WireMessage *m)
{
	if (m->redeemed.n < 1)
		w->failed = true;
	put_statements(w, m->redeemed.grant, m->redeemed.n);
	put_text(w, m->redeemed.text, m->redeemed.text_len);
}

static DecodeStatus
take_redeemed(Decoder *self, const WireItem *item)
{
	if (item->tag == WIRE_TAG_GRANT)
		return take_statement(item, self->m->redeemed.grant, &self->m->redeemed.n);
	return take_text(item, &self->m->redeemed.text, &self->m->redeemed.text_len);
}

/* ---- PRUNE ---- */

static void
put_prune(ByteWriter *w, const WireMessage *m)
{
	put_records(w, m->prune.record, m->prune.n_records, WIRE_PRUNE_RECORDS);
	wire_put_item_uint(w, WIRE_TAG_BACKOFF, 4, m->prune.backoff_s);
}

static DecodeStatus
take_prune(Decoder *self, const WireItem *item)
{
	WirePrune  *prune = &self->m->prune;

	if (item->tag == WIRE_TAG_BACKOFF)
	{
		prune->backoff_s = (uint32_t) bytes_load(item->value, 4);
		return DECODE_OK;
	}
	return prune->n_records + self->m->skipped >= WIRE_PRUNE_RECORDS ? DECODE_TOO_MANY :
		taken_or_skipped(self, take_record(self, item, &prune->record[prune->n_records]), &prune->n_records);
}

/* ---- ERROR ---- */

static void
put_error(ByteWriter *w, const WireMessage *m)
{
	wire_put_item_uint(w, WIRE_TAG_CODE, 2, m->error.code);
	put_text(w, m->error.text, m->error.text_len);
}

static DecodeStatus
take_error(Decoder *self, const WireItem *item)
{
	if (item->tag == WIRE_TAG_TEXT)
		return take_text(item, &self->m->error.text, &self->m->error.text_len);
	self->m->error.code = (uint16_t) bytes_load(item->value, 2);
	return DECODE_OK;
}
