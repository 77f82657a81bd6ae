/*
 * answer.h
 *	  An error of HTTP, and its text in the form that PostgREST has.
 *
 * Plain C: nothing of PostgreSQL.
 */
#ifndef VECDB_HTTP_ANSWER_H
#define VECDB_HTTP_ANSWER_H

#include <stddef.h>

#define ANSWER_JSON		"application/json; charset=utf-8"
#define ANSWER_TEXT		"text/plain; charset=utf-8"

/*
 * An error that is to be the answer.  Strings end with a NUL; bytes that are no
 * valid UTF-8 come out as they are.
 */
typedef struct HttpError
{
	int			status;			/* of HTTP */
	const char *code;			/* a SQLSTATE; NULL: there is none, the front found the error */
	const char *message;
	const char *details;		/* NULL: none */
	const char *hint;			/* NULL: none */
} HttpError;

/*
 * An error as {"code", "message", "details", "hint"}, malloc'ed, and its length in
 * bytes; NULL when there is no memory.  An error without a code gets PTnnn, where
 * nnn is its status.
 */
extern char *answer_error(const HttpError *error, size_t *len);

#endif							/* VECDB_HTTP_ANSWER_H */
