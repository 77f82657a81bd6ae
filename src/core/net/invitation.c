/*
 * invitation.c
 *	  Invitations as text.
 */
#include "core/net/invitation.h"

#include "core/assert.h"
#include "core/base64.h"
#include "core/bytes.h"

#define HEAD 352
#define CHECKSUM 4
#define PREFIX_LEN (sizeof INVITATION_PREFIX - 1)
#define TEXT_LEN BASE64_LENGTH(INVITATION_MAX)

_Static_assert(16 + KAD_ID_BYTES + CORE_KEY_BYTES + CORE_SEED_BYTES + GRANT_BYTES == HEAD, "the fields before the addresses");

static const uint8_t magic[4] = {'v', 'i', 'n', '1'};

/* The bytes that the text behind the prefix stands for. */
static DecodeStatus
decode_text(const char *text, size_t len, uint8_t bytes[BASE64_BYTES(TEXT_LEN)], size_t *used)
{
	long		n;

	if (len % 4 == 1)
		return DECODE_TRUNCATED;
	if (len > TEXT_LEN)
		return DECODE_OVERLONG;
	n = base64url_decode(text, len, bytes);
	if (n < 0)
		return DECODE_TEXT;
	*used = (size_t) n;
	return DECODE_OK;
}

/* Does a reader get bytes[len] of the text? */
static bool
reads_as(const char *text, const uint8_t *bytes, size_t len)
{
	uint8_t		read[BASE64_BYTES(TEXT_LEN)];
	size_t		used;

	return decode_text(text, strlen(text), read, &used) == DECODE_OK &&
		used == len && memcmp(read, bytes, len) == 0;
}

bool
invitation_text(const CoreCrypto *crypto, const Invitation *self, char *text)
{
	uint8_t		bytes[INVITATION_MAX];
	uint8_t		hash[CORE_HASH_BYTES];
	ByteWriter	w = {bytes, sizeof bytes, false};
	size_t		len;

	if (self->n_addresses < 1 || self->n_addresses > INVITATION_ADDRESSES)
		return false;
	bytes_put(&w, magic, sizeof magic);
	bytes_put_uint(&w, 1, (uint64_t) self->n_addresses);
	bytes_put_uint(&w, 3, 0);
	bytes_put_uint(&w, 8, self->network);
	bytes_put(&w, self->node.b, KAD_ID_BYTES);
	bytes_put(&w, self->curve_key, CORE_KEY_BYTES);
	bytes_put(&w, self->seed, CORE_SEED_BYTES);
	bytes_put(&w, self->statement, GRANT_BYTES);
	for (int i = 0; i < self->n_addresses; i++)
	{
		if (!net_address_usable(&self->addresses[i]))
			return false;
		bytes_put(&w, self->addresses[i].ip, sizeof self->addresses[i].ip);
		bytes_put_uint(&w, 2, self->addresses[i].port);
	}
	len = (size_t) (w.at - bytes);
	crypto->sha256(crypto->context, bytes, len, hash);
	bytes_put(&w, hash, CHECKSUM);
	memcpy(text, INVITATION_PREFIX, PREFIX_LEN);
	base64url_encode(bytes, len + CHECKSUM, text + PREFIX_LEN);
	CORE_ASSERT(!w.failed && strlen(text) <= INVITATION_TEXT_MAX && reads_as(text + PREFIX_LEN, bytes, len + CHECKSUM));
	return !w.failed;
}

DecodeStatus
invitation_decode(const CoreCrypto *crypto, const char *text, size_t len,
				  int64_t unix_ms, int64_t skew_ms, Invitation *self)
{
	uint8_t		bytes[BASE64_BYTES(TEXT_LEN)];
	uint8_t		hash[CORE_HASH_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	size_t		used;
	ByteReader	r;
	DecodeStatus status;

	if (len < PREFIX_LEN || memcmp(text, INVITATION_PREFIX, PREFIX_LEN) != 0)
		return DECODE_MAGIC;
	status = decode_text(text + PREFIX_LEN, len - PREFIX_LEN, bytes, &used);
	if (status != DECODE_OK)
		return status;
	if (used < HEAD + NET_ADDRESS_BYTES + CHECKSUM)
		return DECODE_TRUNCATED;
	crypto->sha256(crypto->context, bytes, used - CHECKSUM, hash);
	if (memcmp(hash, bytes + used - CHECKSUM, CHECKSUM) != 0)
		return DECODE_CHECKSUM;

	memset(self, 0, sizeof *self);
	r = (ByteReader) {bytes, used - CHECKSUM, false};
	if (memcmp(bytes_take(&r, sizeof magic), magic, sizeof magic) != 0)
		return DECODE_MAGIC;
	self->n_addresses = (int) bytes_take_uint(&r, 1);
	if (bytes_take_uint(&r, 3) != 0)
		return DECODE_FLAGS;
	self->network = bytes_take_uint(&r, 8);
	bytes_take_copy(&r, self->node.b, KAD_ID_BYTES);
	bytes_take_copy(&r, self->curve_key, CORE_KEY_BYTES);
	bytes_take_copy(&r, self->seed, CORE_SEED_BYTES);
	bytes_take_copy(&r, self->statement, GRANT_BYTES);
	if (self->n_addresses < 1 || self->n_addresses > INVITATION_ADDRESSES)
		return DECODE_VALUE;
	for (int i = 0; i < self->n_addresses; i++)
	{
		bytes_take_copy(&r, self->addresses[i].ip, sizeof self->addresses[i].ip);
		self->addresses[i].port = (uint16_t) bytes_take_uint(&r, 2);
		if (!r.failed && !net_address_usable(&self->addresses[i]))
			return DECODE_VALUE;
	}
	if (r.failed)
		return DECODE_TRUNCATED;
	if (r.left > 0)
		return DECODE_OVERLONG;

	status = grant_decode(crypto, self->statement, GRANT_BYTES, unix_ms, skew_ms, &self->grant);
	if (status != DECODE_OK)
		return status;
	if (self->grant.kind != GRANT_INVITATION)
		return DECODE_VALUE;
	if (!crypto->key_pair(crypto->context, self->seed, key, self->secret) ||
		memcmp(key, self->grant.member, CORE_KEY_BYTES) != 0)
		return DECODE_SIGNATURE;
	if (self->grant.expires_ms <= unix_ms)
		return DECODE_EXPIRED;
	return DECODE_OK;
}
