/*
 * native_api.h
 *	  The native API: what each route does in the database.
 */
#ifndef VECDB_HTTP_NATIVE_API_H
#define VECDB_HTTP_NATIVE_API_H

#include "pgcompat.h"

#include "http/guard.h"
#include "http/route.h"
#include "lib/stringinfo.h"

/* Strings belong to the executor and live as long as the request. */
typedef struct ApiRequest
{
	HttpMethod	method;
	Route		route;
	const char *param;			/* the decoded name in the path, NUL-terminated */
	const char *target;
	size_t		target_len;
	const char *headers;		/* name NUL value NUL ... */
	size_t		headers_len;
	const char *body;			/* in the database's encoding */
	size_t		body_len;
} ApiRequest;

/* Built in the request's memory context, which outlives the transaction. */
typedef struct ApiAnswer
{
	int			status;
	StringInfoData headers;		/* name NUL value NUL ... */
	StringInfoData body;
} ApiAnswer;

/*
 * Run one request within a transaction, connected to SPI, as the role that the
 * request acts as.  Errors are raised; ApiErrorStatus then has the HTTP status
 * where the API knows better than the SQLSTATE, else 0.
 */
extern void NativeApiRun(const ApiRequest *request, ApiAnswer *answer);
extern int	ApiErrorStatus;

/* A SQLSTATE's HTTP status in general, and for the last error of this API. */
extern int	ApiStatusOfSqlState(int sqlerrcode, bool anonymous);
extern int	NativeApiErrorStatus(int sqlerrcode);

/* The part of /metrics about collections; as the executor's own role. */
extern void NativeApiMetrics(ApiAnswer *answer);

/* Call once for each process. */
extern void NativeApiInit(void);

#endif							/* VECDB_HTTP_NATIVE_API_H */
