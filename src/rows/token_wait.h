/*
 * token_wait.h
 *	  Who waits until this node has what a commit token stands for.
 *
 * Places in shared memory.  A process that waits takes one for a ticket (core/rows/token.h),
 * and its latch is set when the worker of that database has answered; a token of several
 * tickets is waited for one ticket after the other.  The worker only looks whether its
 * replicas cover the tickets, so waiting costs nobody a session, a transaction or a frame.
 *
 * No role but a superuser's has more places than it leaves free for others.
 */
#ifndef VECDB_TOKEN_WAIT_H
#define VECDB_TOKEN_WAIT_H

#include "pgcompat.h"

#include "core/rows/token.h"

#define TOKEN_WAITS 1024		/* of a server */
#define TOKEN_WAITS_RESERVED 64	/* of these, for superusers */
#define TOKEN_NO_PLACE (-1)

typedef enum TokenWaitState
{
	TOKEN_WAITING,
	TOKEN_REACHED,
	TOKEN_NOT_HERE				/* this node has no such collection */
} TokenWaitState;

/* What the worker says of a ticket. */
typedef struct TokenWaitAnswer
{
	TokenWaitState state;
	bool		looked;			/* the worker has looked at least once: it is what it says */
	bool		set_aside;		/* it has come, and a row of it, or a later one, could not go into its table */
	int			lacking;		/* while some wait for all: members that have not told that it is there; -1: not known */
} TokenWaitAnswer;

/* Bytes to request of shared memory. */
extern Size TokenWaitSize(void);

/*
 * Wait with this process's latch for a ticket on the node of a database, or on all members
 * of its collection.  role: for whose share it counts, InvalidOid: a superuser.  Returns a
 * place, or TOKEN_NO_PLACE.  It is given back by TokenWaitEnd(), whatever happens.
 */
extern PGDLLEXPORT int TokenWaitBegin(Oid database, Oid role, const RowTokenTicket *ticket, bool all);
extern PGDLLEXPORT TokenWaitAnswer TokenWaitLook(int place);
extern PGDLLEXPORT void TokenWaitEnd(int place);

/* The worker answers all who wait in its database; answer() raises nothing. */
extern PGDLLEXPORT void TokenWaitAnswerAll(TokenWaitAnswer (*answer) (void *context, const RowTokenTicket *ticket, bool all),
										   void *context);

/* ---- token_sql.c ---- */

/* Milliseconds, from 0 to a day; else an error. */
extern int64 TokenTimeout(Interval *span);

#endif							/* VECDB_TOKEN_WAIT_H */
