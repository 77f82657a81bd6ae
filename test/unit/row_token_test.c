/*
 * row_token_test.c
 *	  Commit tokens as text: written, read, and what is none.
 */
#include <stdio.h>

#include "core/rows/token.h"

#include "rows_fixture.h"

#define PREFIX "00112233445566ff"
#define LIFE "000102030405060708090a0b0c0d0eff"

static RowTokenTicket in[ROW_TOKEN_TICKETS];
static RowTokenTicket out[ROW_TOKEN_TICKETS];
static char text[ROW_TOKEN_TEXT];

static void
test_round_trip(void)
{
	for (int n = 1; n <= ROW_TOKEN_TICKETS; n++)
	{
		for (int i = 0; i < n; i++)
		{
			for (int k = 0; k < ROW_TOKEN_COLLECTION; k++)
				in[i].collection[k] = (uint8_t) (37 * n + 5 * i + k);
			for (int k = 0; k < ROW_INCARNATION_ID; k++)
				in[i].incarnation.bytes[k] = (uint8_t) (91 * n + 7 * i + k);
			in[i].ticket = i == 0 ? UINT64_MAX : (uint64_t) (i + n);
		}
		row_token_write(in, n, text);
		if (row_token_read(text, out) != n || memcmp(in, out, (size_t) n * sizeof *in) != 0)
		{
			ok(false, "%d tickets are read as they were written: %s", n, text);
			return;
		}
	}
	ok(strlen(text) < ROW_TOKEN_TEXT, "1 to %d tickets are read as they were written", ROW_TOKEN_TICKETS);
}

static void
test_text(void)
{
	static const struct
	{
		const char *text;
		int			n;
	}			cases[] = {
		{PREFIX "." LIFE ".1", 1},
		{PREFIX "." LIFE ".18446744073709551615", 1},
		{PREFIX "." LIFE ".1," PREFIX "." LIFE ".2", 2},
		{"", 0},
		{".", 0},
		{PREFIX, 0},
		{PREFIX ".", 0},
		{PREFIX "." LIFE, 0},
		{PREFIX "." LIFE ".", 0},
		{PREFIX "." LIFE ".0", 0},
		{PREFIX "." LIFE ".01", 0},
		{PREFIX "." LIFE ".-1", 0},
		{PREFIX "." LIFE ".+1", 0},
		{PREFIX "." LIFE ". 1", 0},
		{PREFIX "." LIFE ".1 ", 0},
		{PREFIX "." LIFE ".1,", 0},
		{"," PREFIX "." LIFE ".1", 0},
		{PREFIX "." LIFE ".18446744073709551616", 0},
		{PREFIX "." LIFE ".99999999999999999999", 0},
		{PREFIX "0." LIFE ".1", 0},
		{"0" PREFIX "." LIFE ".1", 0},
		{PREFIX ":" LIFE ".1", 0},
		{"0011223344556g77." LIFE ".1", 0},
		{PREFIX "." LIFE ".1.2", 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ok(row_token_read(cases[i].text, out) == cases[i].n, "'%s' has %d tickets", cases[i].text, cases[i].n);
}

static void
test_too_many(void)
{
	char		many[ROW_TOKEN_TEXT + ROW_TOKEN_TICKET_TEXT];
	size_t		at = 0;

	for (int i = 0; i <= ROW_TOKEN_TICKETS; i++)
		at += (size_t) snprintf(many + at, sizeof many - at, "%s" PREFIX "." LIFE ".%d", i > 0 ? "," : "", i + 1);
	ok(row_token_read(many, out) == 0, "a token of more than %d tickets is none", ROW_TOKEN_TICKETS);
}

int
main(void)
{
	fixture_begin();
	test_round_trip();
	test_text();
	test_too_many();
	return fixture_end();
}
