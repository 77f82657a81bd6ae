/*
 * api.h
 *	  A request as an executor runs it, its answer, and how it is refused.  Every
 *	  surface of the API is written on these.
 */
#ifndef VECDB_HTTP_API_H
#define VECDB_HTTP_API_H

#include "pgcompat.h"

#include "http/guard.h"
#include "http/route.h"
#include "lib/stringinfo.h"

/* Strings belong to the executor and live as long as the request. */
typedef struct ApiRequest
{
	HttpMethod	method;
	int			route;			/* its number in the surface that the request is for */
	const char *param;			/* the decoded name in the path, NUL-terminated; "": none */
	size_t		param_len;
	const char *query;			/* behind the "?", encoded */
	size_t		query_len;
	const char *target;
	size_t		target_len;
	size_t		path_len;		/* of the target, up to the "?" */
	const char *headers;		/* name NUL value NUL ... */
	size_t		headers_len;
	const char *role;			/* that the token names; "": none, it acts as the anonymous role */
	const char *claims;			/* of the token, JSON in UTF-8; "": there is no token */
	const char *body;			/* any bytes: who reads it checks that it is UTF-8, as ReadBegin() does */
	size_t		body_len;
} ApiRequest;

/* Built in the request's memory context, which outlives the transaction. */
typedef struct ApiAnswer
{
	int			status;
	bool		rollback;		/* what the request did is undone, though it did not fail */
	StringInfoData headers;		/* name NUL value NUL ... */
	StringInfoData body;
} ApiAnswer;

/* What an executor does for a surface, beside the HttpSurface that both processes have. */
typedef struct ApiSurface
{
	/*
	 * Run one request, connected to SPI, within its transaction.  Errors are raised.
	 */
	void		(*run) (const ApiRequest *request, ApiAnswer *answer);

	/* The HTTP status of an error that run() raised. */
	int			(*error_status) (int sqlerrcode);
	bool		as_executor;	/* run() acts as the executor's own role, not as the request's */
} ApiSurface;

extern void ApiHeader(ApiAnswer *answer, const char *name, const char *value);

/* Append a text, percent-encoded, for the header Location. */
extern void ApiAppendEncoded(StringInfo location, const char *text);

/* ---- status.c ---- */

/* The request acts as the anonymous role. */
extern bool ApiAnonymous;

/* The HTTP status of the error that is being raised; 0: its SQLSTATE determines it. */
extern int	ApiErrorStatus;

/* Its code, a static text; NULL: its SQLSTATE. */
extern const char *ApiErrorCode;

/* Raise an error with this status.  A message longer than a kilobyte is cut. */
extern void ApiRefuse(int status, int sqlstate, const char *format,...) pg_attribute_printf(3, 4) pg_attribute_noreturn();
#define ApiWrongShape(...) ApiRefuse(422, ERRCODE_INVALID_PARAMETER_VALUE, __VA_ARGS__)

/* Raise an error with status 422, for a body that holds more than it may. */
extern void ApiTooMany(const char *format,...) pg_attribute_printf(1, 2) pg_attribute_noreturn();

/* A SQLSTATE's HTTP status, as PostgREST has it. */
extern int	ApiStatusOfSqlState(int sqlerrcode);

/* Make an error the answer, in the surface's form; what was written of an answer is gone. */
extern void ApiAnswerError(ApiAnswer *answer, const HttpSurface *surface, int status, const ErrorData *error);

#endif							/* VECDB_HTTP_API_H */
