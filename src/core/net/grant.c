/*
 * grant.c
 *	  Statements about membership and redemptions of invitations: their bytes
 *	  and signatures.
 */
#include "core/net/grant.h"

#include "core/assert.h"
#include "core/bytes.h"

#define ISSUER_AT 40
#define SIGNED_BYTES (GRANT_BYTES - CORE_SIGNATURE_BYTES)
#define REDEMPTION_SIGNED_BYTES (REDEMPTION_BYTES - CORE_SIGNATURE_BYTES)

_Static_assert(ISSUER_AT + 2 * CORE_KEY_BYTES == 104 && 104 + 3 * 8 + CORE_KEY_BYTES + GRANT_HASH_BYTES == SIGNED_BYTES,
			   "the fields of a statement");
_Static_assert(8 + 3 * CORE_KEY_BYTES + 8 == REDEMPTION_SIGNED_BYTES, "the fields of a redemption");

static const uint8_t grant_magic[4] = {'v', 'g', 'r', '1'};
static const uint8_t redemption_magic[4] = {'v', 'r', 'd', '1'};

static DecodeStatus check_form(const uint8_t *bytes, size_t len, const uint8_t magic[4], size_t expected);
static bool fields_good(const Grant *self);

/* Does a reader find in bytes what the writer was given? */
static bool
reads_as(const uint8_t *bytes, const Grant *self)
{
	Grant		read;

	return grant_read(bytes, GRANT_BYTES, self->issued_ms, 0, &read) == DECODE_OK &&
		read.kind == self->kind && read.role == self->role && read.depth == self->depth &&
		memcmp(read.root, self->root, CORE_KEY_BYTES) == 0 &&
		memcmp(read.issuer, self->issuer, CORE_KEY_BYTES) == 0 &&
		memcmp(read.member, self->member, CORE_KEY_BYTES) == 0 &&
		read.epoch == self->epoch && read.issued_ms == self->issued_ms && read.expires_ms == self->expires_ms &&
		memcmp(read.invitation, self->invitation, CORE_KEY_BYTES) == 0 &&
		memcmp(read.overrides, self->overrides, GRANT_HASH_BYTES) == 0;
}

DecodeStatus
grant_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
		   const Grant *self, uint8_t *out)
{
	ByteWriter	w = {out, GRANT_BYTES, false};
	Grant		own = *self;

	memcpy(own.issuer, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	if (!fields_good(&own))
		return DECODE_VALUE;
	bytes_put(&w, grant_magic, sizeof grant_magic);
	bytes_put_uint(&w, 1, own.kind);
	bytes_put_uint(&w, 1, own.role);
	bytes_put_uint(&w, 1, own.depth);
	bytes_put_uint(&w, 1, 0);
	bytes_put(&w, own.root, CORE_KEY_BYTES);
	bytes_put(&w, own.issuer, CORE_KEY_BYTES);
	bytes_put(&w, own.member, CORE_KEY_BYTES);
	bytes_put_uint(&w, 8, own.epoch);
	bytes_put_uint(&w, 8, (uint64_t) own.issued_ms);
	bytes_put_uint(&w, 8, (uint64_t) own.expires_ms);
	bytes_put(&w, own.invitation, CORE_KEY_BYTES);
	bytes_put(&w, own.overrides, GRANT_HASH_BYTES);
	CORE_ASSERT(!w.failed && w.left == CORE_SIGNATURE_BYTES && reads_as(out, &own));
	return crypto->sign(crypto->context, secret, out, SIGNED_BYTES, out + SIGNED_BYTES) ?
		DECODE_OK : DECODE_SIGNATURE;
}

DecodeStatus
grant_read(const uint8_t *bytes, size_t len, int64_t unix_ms, int64_t skew_ms, Grant *self)
{
	DecodeStatus status = check_form(bytes, len, grant_magic, GRANT_BYTES);
	ByteReader	r = {bytes, len, false};
	uint64_t	reserved;
	uint64_t	issued;
	uint64_t	expires;

	if (status != DECODE_OK)
		return status;
	bytes_take(&r, sizeof grant_magic);
	self->kind = (uint8_t) bytes_take_uint(&r, 1);
	self->role = (uint8_t) bytes_take_uint(&r, 1);
	self->depth = (uint8_t) bytes_take_uint(&r, 1);
	reserved = bytes_take_uint(&r, 1);
	bytes_take_copy(&r, self->root, CORE_KEY_BYTES);
	bytes_take_copy(&r, self->issuer, CORE_KEY_BYTES);
	bytes_take_copy(&r, self->member, CORE_KEY_BYTES);
	self->epoch = bytes_take_uint(&r, 8);
	issued = bytes_take_uint(&r, 8);
	expires = bytes_take_uint(&r, 8);
	bytes_take_copy(&r, self->invitation, sizeof self->invitation);
	bytes_take_copy(&r, self->overrides, sizeof self->overrides);
	if (reserved != 0)
		return DECODE_FLAGS;
	self->issued_ms = (int64_t) issued;
	self->expires_ms = (int64_t) expires;
	if (!fields_good(self))
		return DECODE_VALUE;
	return self->issued_ms > unix_ms + skew_ms ? DECODE_FUTURE : DECODE_OK;
}

bool
grant_verify(const CoreCrypto *crypto, const uint8_t *bytes)
{
	return crypto->verify(crypto->context, bytes + ISSUER_AT, bytes, SIGNED_BYTES, bytes + SIGNED_BYTES);
}

DecodeStatus
grant_decode(const CoreCrypto *crypto, const uint8_t *bytes, size_t len,
			 int64_t unix_ms, int64_t skew_ms, Grant *self)
{
	DecodeStatus status = grant_read(bytes, len, unix_ms, skew_ms, self);

	if (status != DECODE_OK)
		return status;
	return grant_verify(crypto, bytes) ? DECODE_OK : DECODE_SIGNATURE;
}

void
grant_hash(const CoreCrypto *crypto, const uint8_t *bytes, uint8_t *hash)
{
	uint8_t		whole[CORE_HASH_BYTES];

	crypto->sha256(crypto->context, bytes, GRANT_BYTES, whole);
	memcpy(hash, whole, GRANT_HASH_BYTES);
}

bool
redemption_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
				const uint8_t root[CORE_KEY_BYTES], const uint8_t member[CORE_KEY_BYTES],
				int64_t unix_ms, uint8_t *out)
{
	ByteWriter	w = {out, REDEMPTION_BYTES, false};

	bytes_put(&w, redemption_magic, sizeof redemption_magic);
	bytes_put_uint(&w, 4, 0);
	bytes_put(&w, root, CORE_KEY_BYTES);
	bytes_put(&w, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	bytes_put(&w, member, CORE_KEY_BYTES);
	bytes_put_uint(&w, 8, (uint64_t) unix_ms);
	CORE_ASSERT(!w.failed && w.left == CORE_SIGNATURE_BYTES);
	return crypto->sign(crypto->context, secret, out, REDEMPTION_SIGNED_BYTES, out + REDEMPTION_SIGNED_BYTES);
}

DecodeStatus
redemption_decode(const CoreCrypto *crypto, const uint8_t *bytes, size_t len,
				  int64_t unix_ms, int64_t skew_ms, Redemption *self)
{
	DecodeStatus status = check_form(bytes, len, redemption_magic, REDEMPTION_BYTES);
	ByteReader	r = {bytes, len, false};
	uint64_t	reserved;
	uint64_t	issued;

	if (status != DECODE_OK)
		return status;
	bytes_take(&r, sizeof redemption_magic);
	reserved = bytes_take_uint(&r, 4);
	bytes_take_copy(&r, self->root, CORE_KEY_BYTES);
	bytes_take_copy(&r, self->invitation, CORE_KEY_BYTES);
	bytes_take_copy(&r, self->member, CORE_KEY_BYTES);
	issued = bytes_take_uint(&r, 8);
	if (reserved != 0)
		return DECODE_FLAGS;
	if (issued > INT64_MAX / 2)
		return DECODE_VALUE;
	self->issued_ms = (int64_t) issued;
	if (self->issued_ms > unix_ms + skew_ms)
		return DECODE_FUTURE;
	if (self->issued_ms + REDEMPTION_LIFE_MS <= unix_ms - skew_ms)
		return DECODE_EXPIRED;
	return crypto->verify(crypto->context, self->invitation, bytes, REDEMPTION_SIGNED_BYTES,
						  bytes + REDEMPTION_SIGNED_BYTES) ? DECODE_OK : DECODE_SIGNATURE;
}

static DecodeStatus
check_form(const uint8_t *bytes, size_t len, const uint8_t magic[4], size_t expected)
{
	if (len < 4)
		return DECODE_TRUNCATED;
	if (memcmp(bytes, magic, 4) != 0)
		return DECODE_MAGIC;
	if (len != expected)
		return len < expected ? DECODE_TRUNCATED : DECODE_OVERLONG;
	return DECODE_OK;
}

/* What holds of a statement by itself; the same for writers and readers. */
static bool
fields_good(const Grant *self)
{
	bool		invited = !bytes_all_zero(self->invitation, CORE_KEY_BYTES);
	bool		overriding = !bytes_all_zero(self->overrides, GRANT_HASH_BYTES);
	bool		by_root = memcmp(self->issuer, self->root, CORE_KEY_BYTES) == 0;

	if (self->depth < 1 || self->depth > GRANT_DEPTH_MAX ||
		self->issued_ms <= 0 || self->issued_ms > INT64_MAX / 2 ||
		self->expires_ms < 0 || self->expires_ms > INT64_MAX / 2 ||
		memcmp(self->member, self->root, CORE_KEY_BYTES) == 0 ||
		(by_root && self->depth != 1))
		return false;
	switch (self->kind)
	{
		case GRANT_MEMBER:
			return self->role >= GRANT_READER && self->role <= GRANT_ADMIN &&
				(self->expires_ms == 0 || self->expires_ms > self->issued_ms);
		case GRANT_REVOCATION:
			return self->role == GRANT_NOBODY && self->expires_ms == 0;
		case GRANT_INVITATION:
			/* an invitation always ends */
			return self->role >= GRANT_READER && self->role <= GRANT_ADMIN &&
				self->expires_ms > self->issued_ms && !invited && !overriding;
		default:
			return false;
	}
}
