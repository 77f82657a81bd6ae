/*
 * change.c
 *	  Changes of a table's columns: their bytes and signatures.
 */
#include "core/net/change.h"

#include "core/assert.h"
#include "core/bytes.h"
#include "core/net/wire_frame.h"

#define ISSUER_AT 40

_Static_assert(8 + 2 * CORE_KEY_BYTES + 8 + 2 * CORE_HASH_BYTES + CHANGE_HASH_BYTES + 2 == CHANGE_HEAD, "the fields of a change");

static const uint8_t magic[4] = {'v', 'c', 'h', '1'};

/* What holds of a change by itself; the same for writers and readers. */
static DecodeStatus
check_fields(const SchemaChange *self)
{
	if (self->number < 1 || self->number > CHANGE_NUMBER_MAX ||
		(self->number == 1) != bytes_all_zero(self->follows, CHANGE_HASH_BYTES) ||
		self->issued_ms <= 0 || self->issued_ms > INT64_MAX / 2 ||
		self->text_len < 1 || self->text_len > CHANGE_TEXT_MAX)
		return DECODE_VALUE;
	return wire_text_good((const uint8_t *) self->text, self->text_len) ? DECODE_OK : DECODE_TEXT;
}

DecodeStatus
change_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
			const SchemaChange *self, uint8_t *out, size_t *len)
{
	ByteWriter	w = {out, CHANGE_BYTES_MAX, false};
	DecodeStatus status = check_fields(self);
	size_t		written;

	if (status != DECODE_OK)
		return status;
	bytes_put(&w, magic, sizeof magic);
	bytes_put_uint(&w, 4, self->number);
	bytes_put(&w, self->root, CORE_KEY_BYTES);
	bytes_put(&w, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	bytes_put_uint(&w, 8, (uint64_t) self->issued_ms);
	bytes_put(&w, self->before, CORE_HASH_BYTES);
	bytes_put(&w, self->after, CORE_HASH_BYTES);
	bytes_put(&w, self->follows, CHANGE_HASH_BYTES);
	bytes_put_uint(&w, 2, self->text_len);
	bytes_put(&w, self->text, self->text_len);
	written = CHANGE_BYTES_MAX - w.left;
	CORE_ASSERT(!w.failed && written == CHANGE_HEAD + self->text_len && w.left >= CORE_SIGNATURE_BYTES);
	*len = written + CORE_SIGNATURE_BYTES;
	return crypto->sign(crypto->context, secret, out, written, out + written) ? DECODE_OK : DECODE_SIGNATURE;
}

DecodeStatus
change_read(const uint8_t *bytes, size_t len, int64_t unix_ms, int64_t skew_ms, SchemaChange *self)
{
	ByteReader	r = {bytes, len, false};
	const uint8_t *mark = bytes_take(&r, sizeof magic);
	uint64_t	issued;
	DecodeStatus status;

	if (mark == NULL)
		return DECODE_TRUNCATED;
	if (memcmp(mark, magic, sizeof magic) != 0)
		return DECODE_MAGIC;
	self->number = (uint32_t) bytes_take_uint(&r, 4);
	bytes_take_copy(&r, self->root, CORE_KEY_BYTES);
	bytes_take_copy(&r, self->issuer, CORE_KEY_BYTES);
	issued = bytes_take_uint(&r, 8);
	bytes_take_copy(&r, self->before, CORE_HASH_BYTES);
	bytes_take_copy(&r, self->after, CORE_HASH_BYTES);
	bytes_take_copy(&r, self->follows, CHANGE_HASH_BYTES);
	self->text_len = (size_t) bytes_take_uint(&r, 2);
	self->text = (const char *) bytes_take(&r, self->text_len);
	(void) bytes_take(&r, CORE_SIGNATURE_BYTES);
	if (r.failed)
		return DECODE_TRUNCATED;
	if (r.left > 0)
		return DECODE_OVERLONG;
	self->issued_ms = issued > INT64_MAX / 2 ? 0 : (int64_t) issued;
	status = check_fields(self);
	if (status != DECODE_OK)
		return status;
	return self->issued_ms > unix_ms + skew_ms ? DECODE_FUTURE : DECODE_OK;
}

bool
change_verify(const CoreCrypto *crypto, const uint8_t *bytes, size_t len)
{
	CORE_ASSERT(len > CHANGE_HEAD + CORE_SIGNATURE_BYTES && len <= CHANGE_BYTES_MAX);
	return crypto->verify(crypto->context, bytes + ISSUER_AT, bytes, len - CORE_SIGNATURE_BYTES, bytes + len - CORE_SIGNATURE_BYTES);
}

void
change_hash(const CoreCrypto *crypto, const uint8_t *bytes, size_t len, uint8_t *hash)
{
	uint8_t		whole[CORE_HASH_BYTES];

	crypto->sha256(crypto->context, bytes, len, whole);
	memcpy(hash, whole, CHANGE_HASH_BYTES);
}
