/*
 * answer.h
 *	  The one form of an error: {"code", "message", "details", "hint"}.
 *
 * Plain C: nothing of PostgreSQL.
 */
#ifndef VECDB_HTTP_ANSWER_H
#define VECDB_HTTP_ANSWER_H

#include <stddef.h>

#define ANSWER_JSON		"application/json; charset=utf-8"
#define ANSWER_TEXT		"text/plain; charset=utf-8"

/*
 * An error as JSON, malloc'ed; NULL when there is no memory.  details and hint
 * may be NULL.  Bytes that are no valid UTF-8 come out as they are.
 */
extern char *answer_error(const char *code, const char *message, const char *details, const char *hint, size_t *len);

#endif							/* VECDB_HTTP_ANSWER_H */
