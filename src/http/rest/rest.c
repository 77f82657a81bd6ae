/*
 * rest.c
 *	  PostgREST's API: which function serves a request, statuses of errors.
 */
#include "http/rest/rest.h"

#include "access/relation.h"
#include "access/xact.h"
#include "guc.h"
#include "http/api_statement.h"
#include "http/rest/rest_surface.h"
#include "utils/guc.h"

void
RestRefuse(int status, const char *code, const char *message, const char *detail, const char *hint)
{
	ApiErrorStatus = status;
	ApiErrorCode = code;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_internal("%s", message),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
}

static int
error_status(int sqlerrcode)
{
	/* A body that is being read has a code for what is wrong with it, which a cancel is not. */
	if (ApiErrorStatus == 0 && ERRCODE_TO_CATEGORY(sqlerrcode) != ERRCODE_DATA_EXCEPTION)
		ApiErrorCode = NULL;
	return ApiErrorStatus != 0 ? ApiErrorStatus : ApiStatusOfSqlState(sqlerrcode);
}

instr_time
RestClock(void)
{
	instr_time	now;

	if (VecdbHttpServerTiming)
		INSTR_TIME_SET_CURRENT(now);
	else
		INSTR_TIME_SET_ZERO(now);
	return now;
}

double
RestMilliseconds(instr_time since, instr_time until)
{
	INSTR_TIME_SUBTRACT(until, since);
	return INSTR_TIME_GET_MILLISEC(until);
}

static void
run(const ApiRequest *request, ApiAnswer *answer)
{
	RestRequest parsed;
	RestTable	table;
	char	   *applied;
	instr_time	began;
	instr_time	read;
	instr_time	found;
	instr_time	ended;

	began = RestClock();
	RestPrepareBegin();
	/* A read by POST is as one by GET. */
	if (request->route == REST_TABLE_QUERY)
		XactReadOnly = true;
	ApiFindTypes();
	RestReadRequest(request, &parsed);
	if (parsed.timezone)
		(void) set_config_option("TimeZone", parsed.timezone, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, ERROR, false);
	read = RestClock();
	RestOpenTable(parsed.schema, request->param, &table);
	found = RestClock();
	if (parsed.reads)
		RestRead(&table, &parsed, answer);
	else
		RestWrite(&table, request, &parsed, answer);
	relation_close(table.rel, NoLock);
	if (parsed.profile_given || list_length(RestSchemas()) > 1)
		ApiHeader(answer, "Content-Profile", parsed.schema);
	applied = RestApplied(&parsed);
	if (applied)
		ApiHeader(answer, "Preference-Applied", applied);
	ApiHeader(answer, "Vary", "Accept, Prefer, Range");
	ended = RestClock();
	if (VecdbHttpServerTiming)
		ApiHeader(answer, "Server-Timing",
				  psprintf("parse;dur=%.3f, plan;dur=%.3f, prepare;dur=%.3f, transaction;dur=%.3f", RestMilliseconds(began, read),
						   RestMilliseconds(read, found), RestPrepared(), RestMilliseconds(found, ended) - RestPrepared()));
}

const ApiSurface rest_api = {
	.run = run,
	.error_status = error_status
};
