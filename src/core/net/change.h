/*
 * change.h
 *	  A signed change of the columns of a collection's table.
 *
 * A statement on the wire (integers little-endian), 226 bytes and its text:
 *
 *	  0   4  "vch1", which also separates this signature from all others
 *	  4   4  number, 1 to 256: one more than that of the change that it follows
 *	  8  32  the collection's root key (Ed25519)
 *	 40  32  issuer's key
 *	 72   8  issued, ms since 1970
 *	 80  32  hash of the columns before it (core/rows/schema.h)
 *	112  32  and after it; the same where it changes none, but a default
 *	144  16  the change that it follows: first 16 bytes of the SHA-256 of that; 0: it is the first
 *	160   2  length of the text, 1 to 1024
 *	162   n  what would follow ALTER TABLE and a name: UTF-8 without control characters
 *	162+n 64 issuer's Ed25519 signature of all before it
 *
 * What the text may say is for who applies it (src/rows/alter_parse.c).
 */
#ifndef CORE_CHANGE_H
#define CORE_CHANGE_H

#include "core/net/decode.h"
#include "core/net/host.h"

#define CHANGE_HASH_BYTES 16
#define CHANGE_HEAD 162
#define CHANGE_TEXT_MAX 1024
#define CHANGE_BYTES_MAX (CHANGE_HEAD + CHANGE_TEXT_MAX + CORE_SIGNATURE_BYTES)
#define CHANGE_NUMBER_MAX 256

typedef struct SchemaChange
{
	uint32_t	number;
	uint8_t		root[CORE_KEY_BYTES];
	uint8_t		issuer[CORE_KEY_BYTES];
	int64_t		issued_ms;
	uint8_t		before[CORE_HASH_BYTES];
	uint8_t		after[CORE_HASH_BYTES];
	uint8_t		follows[CHANGE_HASH_BYTES];
	const char *text;			/* not ended by 0; inside the bytes that were read */
	size_t		text_len;
} SchemaChange;

/*
 * Write and sign a change into out[CHANGE_BYTES_MAX]; the issuer is the public half of
 * secret[64], whatever self says.  DECODE_VALUE or DECODE_TEXT for what a reader would
 * refuse, DECODE_SIGNATURE when signing failed.
 */
extern DecodeStatus change_sign(const CoreCrypto *crypto, const uint8_t secret[CORE_SECRET_BYTES],
								const SchemaChange *self, uint8_t *out, size_t *len);

/*
 * Read bytes[len], which must stay while self is used, without looking at the signature:
 * TRUNCATED, OVERLONG, MAGIC, VALUE, TEXT, FUTURE (issued ahead of unix_ms by more than
 * skew_ms).  Whether its issuer may sign it is for changes.h.
 */
extern DecodeStatus change_read(const uint8_t *bytes, size_t len, int64_t unix_ms, int64_t skew_ms, SchemaChange *self);

/* Of what was read. */
extern bool change_verify(const CoreCrypto *crypto, const uint8_t *bytes, size_t len);

/* The name by which others follow it: hash[CHANGE_HASH_BYTES]. */
extern void change_hash(const CoreCrypto *crypto, const uint8_t *bytes, size_t len, uint8_t *hash);

/* Does it leave the columns as they are? */
static inline bool
change_of_default(const SchemaChange *self)
{
	return memcmp(self->before, self->after, CORE_HASH_BYTES) == 0;
}

#endif							/* CORE_CHANGE_H */
