/*
 * base64url.h
 *	  base64url as JSON Web Signature has it (RFC 7515, 2; RFC 4648, 5).
 *
 * Plain C: nothing of PostgreSQL.
 */
#ifndef VECDB_HTTP_BASE64URL_H
#define VECDB_HTTP_BASE64URL_H

#include <stddef.h>

/* Bytes that so many characters stand for, at most. */
#define BASE64URL_BYTES(len)	((len) / 4 * 3 + 2)

/*
 * Decode into out, which has room for BASE64URL_BYTES(len).  The number of bytes; -1
 * unless it is the one text that stands for them: no padding, no other characters, and
 * the bits that the last character does not need are 0.
 */
extern long base64url_decode(const char *text, size_t len, unsigned char *out);

#endif							/* VECDB_HTTP_BASE64URL_H */
