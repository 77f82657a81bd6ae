/*
 * base64url.c
 *	  base64url, strictly.
 */
#include "http/token/base64url.h"

#include <stdint.h>

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long
base64url_decode(const char *text, size_t len, unsigned char *out)
{
	uint32_t	bits = 0;
	int			nbits = 0;
	long		n = 0;

	if (len % 4 == 1)
		return -1;
	for (size_t i = 0; i < len; i++)
	{
		int			value = value_of(text[i]);

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
	return (bits & ((1U << nbits) - 1)) == 0 ? n : -1;
}
