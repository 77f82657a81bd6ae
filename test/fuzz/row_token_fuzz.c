/*
 * row_token_fuzz.c
 *	  Commit tokens as text: what is one is written as it was read.
 */
#include <ctype.h>

#include "core/rows/token.h"

#include "net_fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RowTokenTicket ticket[ROW_TOKEN_TICKETS];
	char		again[ROW_TOKEN_TEXT];
	char	   *text = malloc(size + 1);
	int			n;

	REQUIRE(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	n = row_token_read(text, ticket);
	REQUIRE(n >= 0 && n <= ROW_TOKEN_TICKETS);
	if (n > 0)
	{
		for (char *c = text; *c != '\0'; c++)
			*c = (char) tolower((unsigned char) *c);
		row_token_write(ticket, n, again);
		REQUIRE(strcmp(again, text) == 0);
	}
	free(text);
	return 0;
}
