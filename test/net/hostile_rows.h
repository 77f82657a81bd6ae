/*
 * hostile_rows.h
 *	  What hostile.c does as a member of a collection: it speaks the messages of rows, well
 *	  or as badly as it is told.
 */
#ifndef TEST_NET_HOSTILE_ROWS_H
#define TEST_NET_HOSTILE_ROWS_H

/* "KIND:N", as the head of hostile.c lists. */
extern void do_rows(const char *argument);

#endif							/* TEST_NET_HOSTILE_ROWS_H */
