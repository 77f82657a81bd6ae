/*
 * probe_wire.c
 *	  The bytes of the wire, for a second time.
 */
#include "probe/probe_wire.h"

#include <string.h>

#include <sodium.h>

#include "core/bytes.h"

#define HEAD 52
#define CRITICAL 0x8000
#define TAG_VERSIONS 1
#define TAG_NETWORK 2
#define TAG_RECORD 3
#define TAG_CODE 9
#define TAG_TEXT 10
#define TAG_LAST 14				/* the greatest of WIRE.md's table */
#define ANNOUNCE 1
#define ASK 2
#define LATEST (INT64_MAX / 2)	/* times above are none */
#define ASK_LIFE_MS (INT64_C(600) * 1000)	/* of the record in an ask */
#define INVITATION_HEAD 352

uint64_t
probe_network(const char *name)
{
	uint8_t		hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const uint8_t *) name, strlen(name));
	return bytes_load(hash, 8);
}

void
probe_make_keys(ProbeKeys *out)
{
	crypto_sign_keypair(out->key, out->secret);
	crypto_box_keypair(out->curve_public, out->curve_secret);
}

/* ---- records ---- */

size_t
probe_write_record(const ProbeKeys *keys, uint64_t network, const ProbeAddress *address,
				   uint64_t seq, int64_t expires_ms, uint8_t *out)
{
	ByteWriter	w = {out, PROBE_RECORD_MAX, false};
	size_t		len;

	bytes_put(&w, "vnr1", 4);
	bytes_put_uint(&w, 1, 0);
	bytes_put_uint(&w, 1, 1);
	bytes_put_uint(&w, 2, 0);
	bytes_put(&w, keys->key, 32);
	bytes_put(&w, keys->curve_public, 32);
	bytes_put_uint(&w, 8, network);
	bytes_put_uint(&w, 8, seq);
	bytes_put_uint(&w, 8, (uint64_t) expires_ms);
	bytes_put_uint(&w, 8, 0);
	bytes_put(&w, address->ip, 16);
	bytes_put_uint(&w, 2, address->port);
	len = (size_t) (w.at - out);
	crypto_sign_detached(w.at, NULL, out, len, keys->secret);
	return len + crypto_sign_BYTES;
}

/* Items of which none is known: critical ones are refused. */
static const char *
read_extensions(const uint8_t *bytes, size_t len)
{
	ByteReader	r = {bytes, len, false};
	int			last = -1;

	while (r.left > 0)
	{
		int			tag = (int) bytes_take_uint(&r, 2);
		size_t		size = (size_t) bytes_take_uint(&r, 4);

		bytes_take(&r, size);
		if (r.failed)
			return "the extensions of its record are cut off";
		if (tag & CRITICAL)
			return "its record has a critical extension that is not known";
		if (tag < last)
			return "the extensions of its record are not in order";
		last = tag;
	}
	return NULL;
}

static const char *
read_addresses(ByteReader *r, ProbeRecord *out)
{
	for (int i = 0; i < out->n_addresses; i++)
	{
		bytes_take_copy(r, out->addresses[i].ip, 16);
		out->addresses[i].port = (uint16_t) bytes_take_uint(r, 2);
		if (r->failed)
			return "its record is cut off";
		if (!probe_address_usable(&out->addresses[i]))
			return "its record has an address where nobody can be";
		for (int j = 0; j < i; j++)
			if (probe_address_equal(&out->addresses[i], &out->addresses[j]))
				return "its record has an address twice";
	}
	return NULL;
}

const char *
probe_read_record(const uint8_t *bytes, size_t len, ProbeRecord *out)
{
	ByteReader	r = {bytes, len, false};
	const uint8_t *magic = bytes_take(&r, 4);
	uint64_t	flags = bytes_take_uint(&r, 1);
	size_t		extensions;
	const uint8_t *extension;
	uint64_t	expires;
	const char *fault;

	memset(out, 0, sizeof *out);
	if (len < PROBE_RECORD_LEAST || len > PROBE_RECORD_MAX || magic == NULL)
		return "its record is too short or too long";
	if (memcmp(magic, "vnr1", 4) != 0)
		return "its record does not begin as one does";
	out->n_addresses = (int) bytes_take_uint(&r, 1);
	extensions = (size_t) bytes_take_uint(&r, 2);
	bytes_take_copy(&r, out->key, 32);
	bytes_take_copy(&r, out->curve_key, 32);
	out->network = bytes_take_uint(&r, 8);
	out->seq = bytes_take_uint(&r, 8);
	expires = bytes_take_uint(&r, 8);
	out->capabilities = bytes_take_uint(&r, 8);
	if (flags != 0)
		return "its record has unknown flags";
	if (out->n_addresses < 1 || out->n_addresses > PROBE_TOLD || extensions > 128)
		return "its record has too many or too few addresses, or too long extensions";
	if (expires == 0 || expires > LATEST)
		return "its record expires at no time";
	out->expires_ms = (int64_t) expires;
	fault = read_addresses(&r, out);
	if (fault != NULL)
		return fault;
	extension = bytes_take(&r, extensions);
	if (bytes_take(&r, crypto_sign_BYTES) == NULL || r.left > 0)
		return "its record is not as long as it says";
	fault = read_extensions(extension, extensions);
	if (fault != NULL)
		return fault;
	if (crypto_sign_verify_detached(bytes + len - crypto_sign_BYTES, bytes, len - crypto_sign_BYTES, out->key) != 0)
		return "the signature of its record does not verify";
	crypto_hash_sha256(out->id, out->key, 32);
	return NULL;
}

/* ---- datagrams ---- */

size_t
probe_write_ask(const ProbeKeys *keys, uint64_t network, const ProbeAddress *address,
				uint64_t nonce, int64_t issued_ms, uint8_t *out)
{
	ByteWriter	w = {out, PROBE_ASK_MAX, false};
	uint8_t		record[PROBE_RECORD_MAX];
	size_t		record_len = probe_write_record(keys, network, address, (uint64_t) issued_ms, issued_ms + ASK_LIFE_MS, record);
	size_t		len;

	bytes_put(&w, "vbc1", 4);
	bytes_put_uint(&w, 1, ASK);
	bytes_put_uint(&w, 1, 0);
	bytes_put_uint(&w, 2, record_len);
	bytes_put_uint(&w, 8, network);
	bytes_put_uint(&w, 8, (uint64_t) issued_ms);
	bytes_put_uint(&w, 8, nonce);
	bytes_put(&w, record, record_len);
	len = (size_t) (w.at - out);
	crypto_sign_detached(w.at, NULL, out, len, keys->secret);
	return len + crypto_sign_BYTES;
}

const char *
probe_read_answer(const uint8_t *bytes, size_t len, ProbeAnswer *out)
{
	ByteReader	r = {bytes, len, false};
	const uint8_t *magic = bytes_take(&r, 4);
	uint64_t	kind = bytes_take_uint(&r, 1);
	uint64_t	zero = bytes_take_uint(&r, 1);
	size_t		record_len = (size_t) bytes_take_uint(&r, 2);
	uint64_t	issued;
	const uint8_t *record;
	const char *fault;

	memset(out, 0, sizeof *out);
	out->network = bytes_take_uint(&r, 8);
	issued = bytes_take_uint(&r, 8);
	out->nonce = bytes_take_uint(&r, 8);
	if (magic == NULL || memcmp(magic, "vbc1", 4) != 0)
		return "its datagram does not begin as one of a node does";
	record = bytes_take(&r, record_len);
	if (bytes_take(&r, crypto_sign_BYTES) == NULL || record == NULL || r.left > 0 || len > PROBE_ASK_MAX)
		return "its datagram is not as long as it says, or too long";
	if (kind != ANNOUNCE || zero != 0)
		return "its datagram is no announcement";
	if (issued > LATEST)
		return "its datagram is of no time";
	out->issued_ms = (int64_t) issued;
	fault = probe_read_record(record, record_len, &out->record);
	if (fault != NULL)
		return fault;
	if (out->record.network != out->network)
		return "its datagram is of another network than its record";
	if (crypto_sign_verify_detached(bytes + len - crypto_sign_BYTES, bytes, len - crypto_sign_BYTES, out->record.key) != 0)
		return "the signature of its datagram does not verify";
	return NULL;
}

/* ---- frames ---- */

static void
put_item(ByteWriter *w, int tag, const uint8_t *value, size_t len)
{
	bytes_put_uint(w, 2, (uint64_t) tag);
	bytes_put_uint(w, 4, len);
	bytes_put(w, value, len);
}

size_t
probe_write_frame(int type, uint64_t request, uint64_t network,
				  const uint8_t *record, size_t record_len, uint8_t *out)
{
	static const uint8_t no_collection[32];
	ByteWriter	w = {out, PROBE_FRAME_MAX, false};
	uint8_t		versions[4];
	uint8_t		number[8];
	size_t		len;

	bytes_put(&w, "vdbp", 4);
	bytes_put_uint(&w, 2, 1);
	bytes_put_uint(&w, 1, (uint64_t) type);
	bytes_put_uint(&w, 1, 0);
	bytes_put_uint(&w, 8, request);
	bytes_put(&w, no_collection, 32);
	bytes_put_uint(&w, 4, 0);
	if (type == PROBE_HELLO)
	{
		bytes_store(versions, 2, PROBE_VERSION_LEAST);
		bytes_store(versions + 2, 2, PROBE_VERSION_GREATEST);
		bytes_store(number, 8, network);
		put_item(&w, TAG_VERSIONS, versions, sizeof versions);
		put_item(&w, TAG_NETWORK, number, sizeof number);
		put_item(&w, TAG_RECORD, record, record_len);
	}
	len = (size_t) (w.at - out);
	bytes_store(out + HEAD - 4, 4, len - HEAD);
	return len;
}

const char *
probe_read_head(const uint8_t *bytes, size_t len, ProbeFrame *out)
{
	ByteReader	r = {bytes, len, false};
	const uint8_t *magic = bytes_take(&r, 4);
	uint64_t	version = bytes_take_uint(&r, 2);
	uint64_t	flags;
	uint64_t	left;

	memset(out, 0, sizeof *out);
	out->type = (uint8_t) bytes_take_uint(&r, 1);
	flags = bytes_take_uint(&r, 1);
	out->request = bytes_take_uint(&r, 8);
	bytes_take(&r, 32);
	left = bytes_take_uint(&r, 4);
	if (r.failed || len > PROBE_FRAME_MAX)
		return "its message is too short or too long";
	if (memcmp(magic, "vdbp", 4) != 0)
		return "its message does not begin as one of a node does";
	if (version != 1)
		return "its message is of another version than 1";
	if (flags > 1)
		return "its message has unknown flags";
	if (left != r.left)
		return "its message is not as long as it says";
	out->response = flags == 1;
	return NULL;
}

bool
probe_text_good(const uint8_t *s, size_t n)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	size_t		i = 0;

	while (i < n)
	{
		int			more = s[i] < 0x80 ? 0 : s[i] >> 5 == 6 ? 1 : s[i] >> 4 == 14 ? 2 : s[i] >> 3 == 30 ? 3 : -1;
		uint32_t	c;

		if (more < 0 || (size_t) more >= n - i)
			return false;
		c = more == 0 ? s[i] : s[i] & (0x3Fu >> more);
		for (int k = 1; k <= more; k++)
		{
			if (s[i + (size_t) k] >> 6 != 2)
				return false;
			c = c << 6 | (s[i + (size_t) k] & 0x3Fu);
		}
		if (c < least[more] || c > 0x10FFFF || c >> 11 == 0x1B || c < 0x20 || (c >= 0x7F && c < 0xA0) ||
			c == 0x2028 || c == 0x2029)
			return false;
		i += (size_t) more + 1;
	}
	return true;
}

/* Tags that a type has to have, and those that it may have, as bits. */
static void
tags_of(int type, unsigned *must, unsigned *may)
{
	*must = type == PROBE_HELLO ? 1u << TAG_VERSIONS | 1u << TAG_NETWORK | 1u << TAG_RECORD : type == PROBE_ERROR ? 1u << TAG_CODE : 0;
	*may = type == PROBE_PING ? 1u << TAG_RECORD : type == PROBE_ERROR ? 1u << TAG_TEXT : 0;
}

static const char *
read_item(int tag, const uint8_t *value, size_t len, ProbeFrame *out)
{
	switch (tag)
	{
		case TAG_VERSIONS:
			if (len != 4)
				return "its versions are not 4 bytes";
			out->least = (uint16_t) bytes_load(value, 2);
			out->greatest = (uint16_t) bytes_load(value + 2, 2);
			return out->least < 1 || out->least > out->greatest ? "its versions are no range" : NULL;
		case TAG_NETWORK:
			if (len != 8)
				return "its network is not 8 bytes";
			out->network = bytes_load(value, 8);
			return NULL;
		case TAG_RECORD:
			out->has_record = true;
			return probe_read_record(value, len, &out->record);
		case TAG_CODE:
			if (len != 2)
				return "the code of its error is not 2 bytes";
			out->code = (uint16_t) bytes_load(value, 2);
			return NULL;
		default:
			if (len < 1 || len > PROBE_TEXT || !probe_text_good(value, len))
				return "the text of its error is none";
			memcpy(out->text, value, len);
			return NULL;
	}
}

const char *
probe_read_response(const uint8_t *bytes, size_t len, ProbeFrame *out)
{
	const char *fault = probe_read_head(bytes, len, out);
	ByteReader	r;
	unsigned	must;
	unsigned	may;
	unsigned	seen = 0;
	int			last = -1;

	if (fault != NULL)
		return fault;
	r = (ByteReader) {bytes + HEAD, len - HEAD, false};
	if (!out->response || (out->type != PROBE_HELLO && out->type != PROBE_PING && out->type != PROBE_ERROR))
		return "its message is no answer to what was asked";
	if (out->type != PROBE_ERROR && !bytes_all_zero(bytes + 16, 32))
		return "its answer names a collection";
	tags_of(out->type, &must, &may);
	while (r.left > 0)
	{
		int			tag = (int) bytes_take_uint(&r, 2);
		size_t		size = (size_t) bytes_take_uint(&r, 4);
		const uint8_t *value = bytes_take(&r, size);
		int			plain = tag & ~CRITICAL;

		if (value == NULL)
			return "an item of its message is cut off";
		if (plain < last)
			return "the items of its message are not in order";
		if (plain == 0 || plain > TAG_LAST)
		{
			if (tag != plain)
				return "its message has a critical item that is not known";
			last = plain;
			continue;
		}
		if (plain == last)
			return "its message has an item twice";
		if (tag != plain || !((must | may) >> plain & 1))
			return "its message has an item that does not belong there";
		last = plain;
		seen |= 1u << plain;
		fault = read_item(plain, value, size, out);
		if (fault != NULL)
			return fault;
	}
	return (seen & must) == must ? NULL : "its message lacks an item";
}

/* ---- invitations ---- */

static const char *
read_invitation(const uint8_t *bytes, size_t len, ProbeOptions *options)
{
	ByteReader	r = {bytes, len, false};
	const uint8_t *magic = bytes_take(&r, 4);
	uint64_t	n = bytes_take_uint(&r, 1);
	uint64_t	zero = bytes_take_uint(&r, 3);
	uint8_t		hash[crypto_hash_sha256_BYTES];

	if (len < INVITATION_HEAD + 4 || magic == NULL || memcmp(magic, "vin1", 4) != 0)
		return "it is none";
	if (n < 1 || n > PROBE_TARGETS || zero != 0 || len != INVITATION_HEAD + 18 * (size_t) n + 4)
		return "it is cut off, or of a later version";
	crypto_hash_sha256(hash, bytes, len - 4);
	if (memcmp(hash, bytes + len - 4, 4) != 0)
		return "it is mistyped";
	options->network = bytes_take_uint(&r, 8);
	bytes_take_copy(&r, options->id, 32);
	bytes_take_copy(&r, options->key, 32);
	options->has_id = options->has_key = true;
	bytes_take(&r, INVITATION_HEAD - 80);	/* seed and statement */
	options->n_addresses = (int) n;
	for (int i = 0; i < options->n_addresses; i++)
	{
		bytes_take_copy(&r, options->addresses[i].ip, 16);
		options->addresses[i].port = (uint16_t) bytes_take_uint(&r, 2);
		if (!probe_address_usable(&options->addresses[i]))
			return "it has an address where nobody can be";
	}
	return r.failed ? "it is cut off" : NULL;
}

const char *
probe_read_invitation(const char *text, size_t len, ProbeOptions *options)
{
	uint8_t		bytes[INVITATION_HEAD + PROBE_TARGETS * 18 + 4];
	const char *fault;
	const char *end;
	size_t		used;

	if (len < 7 || memcmp(text, "vecdb1:", 7) != 0)
		return "it does not begin with \"vecdb1:\"";
	if (sodium_base642bin(bytes, sizeof bytes, text + 7, len - 7, NULL, &used, &end,
						  sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 || end != text + len)
		fault = "it is mistyped";
	else
		fault = read_invitation(bytes, used, options);
	sodium_memzero(bytes, sizeof bytes);
	return fault;
}
