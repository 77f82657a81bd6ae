/*
 * beacon.c
 *	  Signed datagrams for finding nodes.
 */
#include "core/net/beacon.h"

#include "core/assert.h"
#include "core/bytes.h"

_Static_assert(4 + 2 + 2 + 3 * 8 == BEACON_HEAD, "the fields before the record");

static const uint8_t magic[4] = {'v', 'b', 'c', '1'};

size_t
beacon_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
			BeaconKind kind, uint64_t nonce, const NodeRecord *record,
			int64_t unix_ms, uint8_t *out)
{
	ByteWriter	w = {out, BEACON_MAX, false};
	size_t		len;
	uint8_t    *signature;

	CORE_ASSERT(record->len <= NODE_RECORD_MAX);
	bytes_put(&w, magic, sizeof magic);
	bytes_put_uint(&w, 2, (uint64_t) kind);
	bytes_put_uint(&w, 2, record->len);
	bytes_put_uint(&w, 8, record->network);
	bytes_put_uint(&w, 8, (uint64_t) unix_ms);
	bytes_put_uint(&w, 8, nonce);
	bytes_put(&w, record->bytes, record->len);
	len = (size_t) (w.at - out);
	CORE_ASSERT(!w.failed && len == BEACON_HEAD + (size_t) record->len);
	signature = bytes_room(&w, CORE_SIGNATURE_BYTES);
	if (signature == NULL || !crypto->sign(crypto->context, secret, out, len, signature))
		return 0;
	return len + CORE_SIGNATURE_BYTES;
}

DecodeStatus
beacon_decode(RecordPool *pool, const uint8_t *bytes, size_t len, int64_t unix_ms, Beacon *self)
{
	ByteReader	r = {bytes, len, false};
	const uint8_t *head = bytes_take(&r, sizeof magic);
	uint64_t	kind;
	uint64_t	issued;
	size_t		record_len;
	uint64_t	network;
	const uint8_t *record;
	DecodeStatus status;

	memset(self, 0, sizeof *self);
	if (len > BEACON_MAX)
		return DECODE_OVERLONG;
	if (head == NULL)
		return DECODE_TRUNCATED;
	if (memcmp(head, magic, sizeof magic) != 0)
		return DECODE_MAGIC;
	kind = bytes_take_uint(&r, 2);
	record_len = (size_t) bytes_take_uint(&r, 2);
	network = bytes_take_uint(&r, 8);
	issued = bytes_take_uint(&r, 8);
	self->nonce = bytes_take_uint(&r, 8);
	record = bytes_take(&r, record_len);
	bytes_take(&r, CORE_SIGNATURE_BYTES);
	if (r.failed)
		return DECODE_TRUNCATED;
	if (r.left > 0)
		return DECODE_OVERLONG;
	if (kind > 255)
		return DECODE_FLAGS;
	if (kind != BEACON_ANNOUNCE && kind != BEACON_ASK)
		return DECODE_TYPE;
	if (issued > INT64_MAX / 2 || (kind == BEACON_ASK && self->nonce == 0))
		return DECODE_VALUE;
	if (network != pool->network)
		return DECODE_NETWORK;
	self->kind = (BeaconKind) kind;
	self->issued_ms = (int64_t) issued;
	if (self->issued_ms > unix_ms + pool->skew_ms)
		return DECODE_FUTURE;
	if (self->issued_ms + BEACON_LIFE_MS <= unix_ms - pool->skew_ms)
		return DECODE_EXPIRED;
	status = record_pool_take(pool, record, record_len, unix_ms, &self->record);
	if (status != DECODE_OK)
		return status;
	if (pool->crypto->verify(pool->crypto->context, self->record->key, bytes,
							 len - CORE_SIGNATURE_BYTES, bytes + len - CORE_SIGNATURE_BYTES))
		return DECODE_OK;
	record_pool_release(pool, self->record);
	self->record = NULL;
	return DECODE_SIGNATURE;
}
