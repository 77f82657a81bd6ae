/*
 * role_path.h
 *	  The grammar of a path to the role within the claims of a token.
 *
 *	path	= 1*step
 *	step	= "." key / "[" index "]" / "[?(@ " op " " string ")]" / "[" [int] ":" [int] "]"
 *	key		= 1*(ALPHA / DIGIT / "_" / "$" / "@") / string
 *	op		= "==" / "!=" / "^==" / "==^" / "*=="
 *	string	= DQUOTE *(any byte but DQUOTE) DQUOTE
 *
 * It is the one of PostgREST's jwt-role-claim-key: a member of an object, an element
 * of an array, the first string of an array that is equal, is not, begins, ends or
 * contains, and a slice of the characters of a string, which only others may follow.
 */
#ifndef CORE_QUERY_ROLE_PATH_H
#define CORE_QUERY_ROLE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#define ROLE_PATH_STEPS 16
#define ROLE_PATH_INDEX 1000000

typedef enum RolePathKind
{
	ROLE_PATH_KEY,
	ROLE_PATH_INDEX_OF,
	ROLE_PATH_EQUAL,			/* the first element of an array that ... the text */
	ROLE_PATH_NOT_EQUAL,
	ROLE_PATH_BEGINS,
	ROLE_PATH_ENDS,
	ROLE_PATH_CONTAINS,
	ROLE_PATH_SLICE
} RolePathKind;

typedef struct RolePathStep
{
	RolePathKind kind;
	const char *text;			/* of a key or a comparison; within the path, of text_len bytes */
	size_t		text_len;
	int			from;			/* an index; a slice, negative from the end */
	int			to;
	bool		to_end;			/* the slice has no end of its own */
} RolePathStep;

typedef struct RolePath
{
	int			n;				/* at least 1 */
	RolePathStep step[ROLE_PATH_STEPS];
} RolePath;

/* NULL, or what is wrong, a static text, and in *at the byte where. */
extern const char *role_path_parse(const char *path, RolePath *out, size_t *at);

/* Whether a string passes the comparison of a step. */
extern bool role_path_matches(const RolePathStep *step, const char *s, size_t len);

/* Cut s[len], which is UTF-8, to a slice: gives its length, and in *at where it begins. */
extern size_t role_path_slice(const RolePathStep *step, const char *s, size_t len, size_t *at);

#endif							/* CORE_QUERY_ROLE_PATH_H */
