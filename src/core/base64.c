/*
 * base64.c
 *	  Base64.
 */
#include "core/base64.h"

#include <stdbool.h>
#include <stdint.h>

/* Six bits; -1 for other characters.  Of the other alphabet are "+" and "/". */
static int
value_of(char c, bool other_alphabet)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-' || (other_alphabet && c == '+'))
		return 62;
	return c == '_' || (other_alphabet && c == '/') ? 63 : -1;
}

/* The number of bytes, or -1; *rest is what the last character has beyond them. */
static long
decode(const char *text, size_t len, bool other_alphabet, unsigned char *out, uint32_t *rest)
{
	uint32_t	bits = 0;
	int			nbits = 0;
	long		n = 0;

	if (len % 4 == 1)
		return -1;
	for (size_t i = 0; i < len; i++)
	{
		int			value = value_of(text[i], other_alphabet);

		if (value < 0)
			return -1;
		bits = (bits << 6) | (uint32_t) value;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			out[n++] = (unsigned char) (bits >> nbits);
		}
	}
	*rest = bits & ((1U << nbits) - 1);
	return n;
}

long
base64_decode(const char *text, size_t len, unsigned char *out)
{
	uint32_t	rest;

	for (int i = 0; i < 2 && len > 0 && text[len - 1] == '='; i++)
		len--;
	return decode(text, len, true, out, &rest);
}

long
base64url_decode(const char *text, size_t len, unsigned char *out)
{
	uint32_t	rest = 0;
	long		n = decode(text, len, false, out, &rest);

	return rest == 0 ? n : -1;
}

void
base64url_encode(const unsigned char *bytes, size_t len, char *text)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t	held = 0;
	int			nbits = 0;

	for (size_t i = 0; i < len; i++)
	{
		held = (held << 8 | bytes[i]) & 0xFFFFFF;
		for (nbits += 8; nbits >= 6; nbits -= 6)
			*text++ = alphabet[held >> (nbits - 6) & 63];
	}
	if (nbits > 0)
		*text++ = alphabet[held << (6 - nbits) & 63];
	*text = '\0';
}
