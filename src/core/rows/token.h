/*
 * token.h
 *	  What a client takes from one node to another, so that it finds its own writes there:
 *	  the tickets of a transaction.
 *
 * As text, one for each collection that the transaction wrote to, separated by commas:
 *
 *	the first 8 bytes of the collection's id "." the incarnation's id "." the ticket
 *
 * ids in lower-case hexadecimal digits, the ticket in decimal ones without a leading zero.
 * A node has what a token stands for once its frontier covers the tickets.
 */
#ifndef CORE_ROWS_TOKEN_H
#define CORE_ROWS_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/rows/incarnation.h"

#define ROW_TOKEN_COLLECTION 8
#define ROW_TOKEN_TICKETS 64	/* collections of one token */
#define ROW_TOKEN_TICKET_TEXT (2 * ROW_TOKEN_COLLECTION + 2 * ROW_INCARNATION_ID + 2 + 20)
#define ROW_TOKEN_TEXT (ROW_TOKEN_TICKETS * (ROW_TOKEN_TICKET_TEXT + 1))	/* with its NUL */

typedef struct RowTokenTicket
{
	uint8_t		collection[ROW_TOKEN_COLLECTION];
	RowIncarnationId incarnation;
	uint64_t	ticket;			/* from 1 on */
} RowTokenTicket;

/* n (1 to ROW_TOKEN_TICKETS) tickets as text, with a NUL. */
extern void row_token_write(const RowTokenTicket *ticket, int n, char out[ROW_TOKEN_TEXT]);

/* How many tickets the text has, to out; 0: it is no token. */
extern int	row_token_read(const char *text, RowTokenTicket out[ROW_TOKEN_TICKETS]);

#endif							/* CORE_ROWS_TOKEN_H */
