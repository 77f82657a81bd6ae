/*
 * kad_id.c
 *	  Identifiers and their distance.
 */
#include "core/net/kad_id.h"

#include "core/bytes.h"

static inline uint64_t
load_big_endian(const uint8_t *p)
{
	uint64_t	v;

	memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

KadId
kad_id_of_key(const CoreCrypto *crypto, const uint8_t key[CORE_KEY_BYTES])
{
	KadId		id;

	crypto->sha256(crypto->context, key, CORE_KEY_BYTES, id.b);
	return id;
}

int
kad_id_prefix(const KadId *a, const KadId *b)
{
	for (int i = 0; i < KAD_ID_BYTES; i += 8)
	{
		uint64_t	x = load_big_endian(a->b + i) ^ load_big_endian(b->b + i);

		if (x != 0)
			return 8 * i + __builtin_clzll(x);
	}
	return KAD_ID_BITS;
}

int
kad_id_nearer(const KadId *target, const KadId *a, const KadId *b)
{
	for (int i = 0; i < KAD_ID_BYTES; i += 8)
	{
		uint64_t	t = load_big_endian(target->b + i);
		uint64_t	x = load_big_endian(a->b + i) ^ t;
		uint64_t	y = load_big_endian(b->b + i) ^ t;

		if (x != y)
			return x < y ? -1 : 1;
	}
	return 0;
}

KadId
kad_id_random(const CoreRandom *random, const KadId *id, int prefix)
{
	KadId		out;
	int			whole = prefix / 8;
	int			bit = prefix % 8;
	uint8_t		kept = (uint8_t) (0xFF00 >> bit);	/* bits before the one that differs */
	uint8_t		differs = (uint8_t) (0x80 >> bit);

	CORE_ASSERT(prefix >= 0 && prefix < KAD_ID_BITS);
	random->fill(random->context, out.b, sizeof out.b);
	memcpy(out.b, id->b, (size_t) whole);
	out.b[whole] = (uint8_t) ((id->b[whole] & kept) |
							  (~id->b[whole] & differs) |
							  (out.b[whole] & ~(kept | differs)));
	CORE_ASSERT(kad_id_prefix(id, &out) == prefix);
	return out;
}

void
kad_id_text(const KadId *id, char *text)
{
	bytes_hex(id->b, KAD_ID_BYTES, text);
}

bool
kad_id_parse(const char *text, size_t len, KadId *id)
{
	if (len != 2 * KAD_ID_BYTES)
		return false;
	for (int i = 0; i < KAD_ID_BYTES; i++)
	{
		int			high = bytes_hex_digit(text[2 * i]);
		int			low = bytes_hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		id->b[i] = (uint8_t) (high << 4 | low);
	}
	return true;
}
