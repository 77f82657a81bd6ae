/*
 * token.c
 *	  Tickets of a transaction as text.
 */
#include "core/rows/token.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/assert.h"
#include "core/bytes.h"

void
row_token_write(const RowTokenTicket *ticket, int n, char out[ROW_TOKEN_TEXT])
{
	size_t		at = 0;

	CORE_ASSERT(n > 0 && n <= ROW_TOKEN_TICKETS);
	for (int i = 0; i < n; i++)
	{
		char		collection[2 * ROW_TOKEN_COLLECTION + 1];
		char		incarnation[2 * ROW_INCARNATION_ID + 1];

		bytes_hex(ticket[i].collection, ROW_TOKEN_COLLECTION, collection);
		bytes_hex(ticket[i].incarnation.bytes, ROW_INCARNATION_ID, incarnation);
		at += (size_t) snprintf(out + at, ROW_TOKEN_TEXT - at, "%s%s.%s.%" PRIu64, i > 0 ? "," : "",
								collection, incarnation, ticket[i].ticket);
		CORE_ASSERT(at < ROW_TOKEN_TEXT);
	}
}

/* So many bytes in hexadecimal digits; where they end, or NULL. */
static const char *
read_hex(const char *text, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		int			high = bytes_hex_digit(text[0]);
		int			low = high < 0 ? -1 : bytes_hex_digit(text[1]);

		if (low < 0)
			return NULL;
		out[i] = (uint8_t) (high << 4 | low);
		text += 2;
	}
	return text;
}

static const char *
read_ticket(const char *text, uint64_t *out)
{
	*out = 0;
	for (; *text >= '0' && *text <= '9'; text++)
	{
		uint64_t	digit = (uint64_t) (*text - '0');

		if (*out > (UINT64_MAX - digit) / 10 || (*out == 0 && digit == 0))
			return NULL;
		*out = *out * 10 + digit;
	}
	return *out == 0 ? NULL : text;
}

int
row_token_read(const char *text, RowTokenTicket out[ROW_TOKEN_TICKETS])
{
	for (int n = 0; n < ROW_TOKEN_TICKETS; n++)
	{
		if ((text = read_hex(text, out[n].collection, ROW_TOKEN_COLLECTION)) == NULL || *text++ != '.' ||
			(text = read_hex(text, out[n].incarnation.bytes, ROW_INCARNATION_ID)) == NULL || *text++ != '.' ||
			(text = read_ticket(text, &out[n].ticket)) == NULL)
			return 0;
		if (*text == '\0')
			return n + 1;
		if (*text++ != ',')
			return 0;
	}
	return 0;
}
