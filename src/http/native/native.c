/*
 * native.c
 *	  The native API: which function serves a route, statuses of errors.
 *
 * Whatever touches a collection goes through the functions of schema vecdb, or
 * through statements on its table whose names are quoted and whose values are
 * parameters.
 */
#include "http/native/native.h"

#include "http/answer.h"
#include "http/api_statement.h"
#include "http/body.h"
#include "http/native/native_surface.h"
#include "mb/pg_wchar.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"

static ApiStatement stats_statement = {
	"SELECT pg_catalog.row_to_json(t)::pg_catalog.text FROM (SELECT s.*, r.* FROM vecdb.stats() s, vecdb.replication_stats() r) t", 0, ""
};

/* Of an extension that has not been updated yet */
static ApiStatement old_stats_statement = {
	"SELECT pg_catalog.row_to_json(s)::pg_catalog.text FROM vecdb.stats() s", 0, ""
};

static int
error_status(int sqlerrcode)
{
	if (ApiErrorStatus != 0)
		return ApiErrorStatus;
	switch (sqlerrcode)
	{
		case ERRCODE_DUPLICATE_TABLE:
			return 409;
		case ERRCODE_WRONG_OBJECT_TYPE:
			return 404;
		case ERRCODE_CONFIGURATION_LIMIT_EXCEEDED:
			return 422;
		case ERRCODE_INVALID_NAME:
			return 422;
		case ERRCODE_CHARACTER_NOT_IN_REPERTOIRE:
		case ERRCODE_UNTRANSLATABLE_CHARACTER:
		case ERRCODE_INVALID_TEXT_REPRESENTATION:
			return 400;
	}
	/* The JSON was right, its values are not. */
	if (ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION)
		return 422;
	return ApiStatusOfSqlState(sqlerrcode);
}

/* The parameter collection= of the query, or NULL; others are refused. */
char *
NativeCollectionOfQuery(const ApiRequest *request)
{
	const char *query = request->query;
	size_t		len = request->query_len;
	char	   *key = palloc(len + 1);
	char	   *value = palloc(len + 1);
	char	   *collection = NULL;
	bool		bad;

	while (route_query_next(&query, &len, key, value, &bad))
	{
		if (bad)
			ApiRefuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "the query is not well percent-encoded");
		if (strcmp(key, "collection") != 0 || request->route != NATIVE_VECTOR)
			ApiRefuse(400, ERRCODE_INVALID_PARAMETER_VALUE, "unknown parameter \"%.100s\"",
				   pg_any_to_server(key, strlen(key), PG_UTF8));
		if (collection)
			ApiRefuse(400, ERRCODE_INVALID_PARAMETER_VALUE, "parameter \"collection\" is given twice");
		collection = pstrdup(pg_any_to_server(value, strlen(value), PG_UTF8));
	}
	return collection;
}

static void
get_stats(ApiAnswer *answer)
{
	List	   *added = list_make2(makeString("vecdb"), makeString("replication_stats"));

	ApiRun(OidIsValid(LookupFuncName(added, 0, NULL, true)) ? &stats_statement : &old_stats_statement, NULL, NULL, true);
	if (SPI_processed == 0)
		elog(ERROR, "vecdb.stats() gave no row");
	appendStringInfo(&answer->body, "%s\n", ApiText(0, 1));
}

static void
run(const ApiRequest *request, ApiAnswer *answer)
{
	HttpMethod	method = request->method == HTTP_HEAD ? HTTP_GET : request->method;

	ApiFindTypes();
	ApiHeader(answer, "Content-Type", ANSWER_JSON);
	if (request->query_len > 0 && request->route != NATIVE_VECTOR && request->route != NATIVE_COLLECTION_VECTORS)
		NativeCollectionOfQuery(request);
	switch (request->route)
	{
		case NATIVE_STATS:
			get_stats(answer);
			return;
		case NATIVE_VECTORS:
			NativePostVectors(request, answer);
			return;
		case NATIVE_VECTOR:
			if (method == HTTP_DELETE)
				NativeDeleteVector(request, answer);
			else if (method == HTTP_PATCH)
				NativePatchVector(request, NativeCollectionOfVector(request), answer);
			else
				NativeGetVector(request, answer);
			return;
		case NATIVE_SEARCH:
		case NATIVE_COLLECTION_SEARCH:
			NativePostSearch(request, answer);
			return;
		case NATIVE_COLLECTIONS:
			if (method == HTTP_POST)
				NativePostCollection(request, answer);
			else
				NativeGetCollections(answer);
			return;
		case NATIVE_COLLECTION:
			if (method == HTTP_DELETE)
				NativeDeleteCollection(request->param, answer);
			else
				NativeGetCollection(request->param, answer, true);
			return;
		case NATIVE_COLLECTION_VECTORS:
			NativeListVectors(request, answer);
			return;
		case NATIVE_COLLECTION_COUNT:
			NativeCountVectors(request, answer);
			return;
		case NATIVE_COLLECTION_GET:
			NativeFetchVectors(request, answer);
			return;
		case NATIVE_COLLECTION_DELETE:
			NativeDeleteVectors(request, answer);
			return;
		default:
			ApiRefuse(404, ERRCODE_UNDEFINED_OBJECT, "there is no such path");
	}
}

const ApiSurface native_api = {
	.run = run,
	.error_status = error_status
};
