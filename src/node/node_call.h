/*
 * node_call.h
 *	  A request of a backend to a node worker, and its answer, as both write it
 *	  in their shared segment.  Plain C.
 */
#ifndef VECDB_NODE_CALL_H
#define VECDB_NODE_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * The head of a request's segment.  The answer takes the arguments' place: rows
 * of strings, of a width that both sides know, each behind a byte that is 1 or,
 * for NULL, 0; a time is a TimestampTz in digits.  For an error: its SQLSTATE,
 * message, detail and hint.
 */
typedef struct SyncCall
{
	uint32_t	op;				/* a SyncOp */
	uint32_t	room;			/* of data */
	uint32_t	len;			/* used */
	int32_t		sqlstate;		/* of the answer; 0: no error */
	bool		cut;			/* there was no room for all rows */
	char		data[];
} SyncCall;

_Static_assert(offsetof(SyncCall, len) == 8 && offsetof(SyncCall, data) == 17, "backend and worker agree on where data begin");

/* Append a string to a call's data; false where there is no room.  NULL is NULL. */
static inline bool
SyncPut(SyncCall *call, const char *text)
{
	size_t		need = text != NULL ? strlen(text) + 2 : 1;

	if (need > call->room - call->len)
		return false;
	call->data[call->len] = text != NULL;
	if (text != NULL)
		memcpy(call->data + call->len + 1, text, need - 1);
	call->len += (uint32_t) need;
	return true;
}

/* The next string of data[0 .. len), *at being where it is; false at the end. */
static inline bool
SyncTake(const SyncCall *call, uint32_t *at, const char **text)
{
	const char *end;

	if (*at >= call->len)
		return false;
	if (call->data[*at] == 0)
	{
		*text = NULL;
		(*at)++;
		return true;
	}
	*text = call->data + *at + 1;
	end = memchr(*text, '\0', call->len - *at - 1);
	if (end == NULL)
		return false;
	*at = (uint32_t) (end + 1 - call->data);
	return true;
}

#endif							/* VECDB_NODE_CALL_H */
