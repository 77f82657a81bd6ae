/*
 * base64.h
 *	  Base64 (RFC 4648).
 */
#ifndef CORE_BASE64_H
#define CORE_BASE64_H

#include <stddef.h>

/* Bytes that so many characters stand for, at most. */
#define BASE64_BYTES(len)	((len) / 4 * 3 + 2)

/* Characters that stand for so many bytes, without padding. */
#define BASE64_LENGTH(len)	(((len) * 4 + 2) / 3)

/*
 * Decode into out, which has room for BASE64_BYTES(len).  The number of bytes; -1 where
 * the text is none.
 */

/* Of either alphabet, "=" at its end or not. */
extern long base64_decode(const char *text, size_t len, unsigned char *out);

/*
 * base64url as JSON Web Signature has it (RFC 7515, 2): only the one text that stands
 * for its bytes, so no padding, and the bits that the last character does not need are 0.
 */
extern long base64url_decode(const char *text, size_t len, unsigned char *out);

/* That text, and a zero byte behind it, into text[BASE64_LENGTH(len) + 1]. */
extern void base64url_encode(const unsigned char *bytes, size_t len, char *text);

#endif							/* CORE_BASE64_H */
