/*
 * status.c
 *	  Errors of requests: raised with a status, or given one by their SQLSTATE,
 *	  and written as the answer.
 */
#include "http/api.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

int			ApiErrorStatus;
const char *ApiErrorCode;
bool		ApiAnonymous;

/* The message, cut to its size, but not within a character. */
static char *pg_attribute_printf(1, 0)
message_of(const char *format, va_list args)
{
	static char message[1024];

	vsnprintf(message, sizeof(message), format, args);
	message[pg_mbcliplen(message, strlen(message), sizeof(message) - 1)] = '\0';
	return message;
}

void
ApiRefuse(int status, int sqlstate, const char *format,...)
{
	char	   *message;
	va_list		args;

	va_start(args, format);
	message = message_of(format, args);
	va_end(args);
	ApiErrorStatus = status;
	ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message)));
}

void
ApiTooMany(const char *format,...)
{
	char	   *message;
	va_list		args;

	va_start(args, format);
	message = message_of(format, args);
	va_end(args);
	ApiErrorStatus = 422;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg_internal("%s", message),
			 errhint("Send it in several requests.")));
}

/* Is the state of one of these classes, each of two characters? */
static bool
is_of_class(const char *state, const char *classes)
{
	for (; classes[0]; classes += 2)
	{
		if (strncmp(state, classes, 2) == 0)
			return true;
	}
	return false;
}

/* As PostgREST has them. */
int
ApiStatusOfSqlState(int sqlerrcode)
{
	const char *state = unpack_sql_state(sqlerrcode);

	if (state[0] == 'P' && state[1] == 'T')
	{
		int			status = atoi(state + 2);

		return status >= 200 && status <= 599 ? status : 500;
	}
	switch (sqlerrcode)
	{
		case ERRCODE_FOREIGN_KEY_VIOLATION:
		case ERRCODE_UNIQUE_VIOLATION:
			return 409;
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
			return 405;
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return ApiAnonymous ? 401 : 403;
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_TABLE:
			return 404;
		case ERRCODE_RAISE_EXCEPTION:
			return 400;
		case ERRCODE_ADMIN_SHUTDOWN:
			return 503;
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_CONFIGURATION_LIMIT_EXCEEDED:
		case ERRCODE_INVALID_OBJECT_DEFINITION:
			return 500;
	}
	if (is_of_class(state, "0853"))
		return 503;
	if (is_of_class(state, "280L0P"))
		return 403;
	return is_of_class(state, "09252D38393B4054555758F0HVP0XX") ? 500 : 400;
}

void
ApiAppendEncoded(StringInfo location, const char *text)
{
	for (const char *p = pg_server_to_any(text, (int) strlen(text), PG_UTF8); *p; p++)
	{
		if (isalnum((unsigned char) *p) || strchr("-._~", *p))
			appendStringInfoChar(location, *p);
		else
			appendStringInfo(location, "%%%02X", (unsigned char) *p);
	}
}

void
ApiHeader(ApiAnswer *answer, const char *name, const char *value)
{
	appendBinaryStringInfo(&answer->headers, name, strlen(name) + 1);
	appendBinaryStringInfo(&answer->headers, value, strlen(value) + 1);
}

/* Most bytes of an error's text that are shown: a user's function may raise a message of any length. */
#define MAX_ERROR_TEXT			8192

static const char *
shown(const char *text)
{
	if (!text || strlen(text) <= MAX_ERROR_TEXT)
		return text;
	return psprintf("%.*s...", pg_mbcliplen(text, (int) strnlen(text, MAX_ERROR_TEXT + MAX_MULTIBYTE_CHAR_LEN), MAX_ERROR_TEXT), text);
}

void
ApiAnswerError(ApiAnswer *answer, const HttpSurface *surface, int status, const ErrorData *error)
{
	const HttpError as_shown = {
		.status = status,
		.code = ApiErrorCode ? ApiErrorCode : unpack_sql_state(error->sqlerrcode),
		.message = shown(error->message),
		.details = shown(error->detail),
		.hint = shown(error->hint)
	};
	size_t		len;
	char	   *body = surface->error_body(&as_shown, &len);

	if (!body)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	resetStringInfo(&answer->body);
	resetStringInfo(&answer->headers);
	appendBinaryStringInfo(&answer->body, body, (int) len);
	free(body);
	answer->status = status;
	ApiHeader(answer, "Content-Type", surface->error_type);
	if (status == 401)
		ApiHeader(answer, "WWW-Authenticate", "Bearer");
	if (status == 503)
		ApiHeader(answer, "Retry-After", "1");
}
