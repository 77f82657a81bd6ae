/*
 * jwt.h
 *	  A JSON Web Token (RFC 7519) in its compact form: taken apart, its signature
 *	  verified, its claims checked, and the role found that it names.
 *
 * Plain C: nothing of PostgreSQL.  Nothing of a payload is read before its signature
 * is verified.  Messages and codes are those of PostgREST.
 */
#ifndef VECDB_HTTP_JWT_H
#define VECDB_HTTP_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/query/role_path.h"
#include "http/token/jwk.h"

#define JWT_MAX_TOKEN	8192	/* bytes */
#define JWT_MAX_HEADER	2048	/* characters of base64url */
#define JWT_MAX_CLAIMS	256		/* at the top; with more a token is refused */
#define JWT_MAX_ROLE	255		/* bytes */
#define JWT_SKEW_S		30		/* by which clocks may differ */

#define JWT_CODE_INVALID	"PGRST301"	/* no token that we could verify */
#define JWT_CODE_NONE		"PGRST302"	/* there is to be one */
#define JWT_CODE_CLAIMS		"PGRST303"	/* a claim of it is wrong */

typedef struct JwtRules
{
	const JwkSet *keys;
	const char *audience;		/* that must be among those of a token that names any; "": all are ours */
	const RolePath *role_path;
	const char *default_role;	/* of a token that names no role; "": it is refused */
} JwtRules;

/* When a token counts, in seconds since 1970. */
typedef struct JwtTimes
{
	int64_t		exp;			/* INT64_MAX: it does not expire */
	int64_t		nbf;			/* INT64_MIN: there is none */
	int64_t		iat;
} JwtTimes;

typedef struct JwtResult
{
	int			status;			/* 0: good; 401; 503: no memory */
	const char *code;
	const char *message;		/* static, without quotes or control characters */
	JwtTimes	times;
	bool		names_role;		/* role is the token's own, not the default */
	char	   *role;			/* malloc'ed with its NUL, when good; claims lies behind it */
	size_t		role_len;
	char	   *claims;			/* JSON, with the NUL behind it; its member "role" is the role */
	size_t		claims_len;
} JwtResult;

/* Check a token at a time (seconds since 1970).  Who calls frees result->role. */
extern void jwt_check(const char *token, size_t len, const JwtRules *rules, int64_t now, JwtResult *result);

/* Whether a token that was good counts at this time; false after a message in result. */
extern bool jwt_check_times(const JwtTimes *times, int64_t now, JwtResult *result);

#endif							/* VECDB_HTTP_JWT_H */
