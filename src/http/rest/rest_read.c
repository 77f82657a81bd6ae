/*
 * rest_read.c
 *	  Reads: the statement, the number of rows, the plan.
 */
#include "http/rest/rest.h"

#include "executor/spi.h"
#include "guc.h"
#include "http/body.h"
#include "http/rest/rest_surface.h"
#include "utils/builtins.h"

/* ---------------------------------------------------------------------------
 * Counts and plans
 */

static char *
execute_for_text(const RestSql *sql, const char *statement)
{
	StringInfoData text;

	/* EXPLAIN is no read to SPI; the transaction is read only all the same. */
	if (SPI_execute_with_args(statement, sql->nparams, sql->types, sql->values, NULL, false, 0) < 0)
		elog(ERROR, "could not execute a statement");
	initStringInfo(&text);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		if (i > 0)
			BodyText(&text, "\n");
		BodyText(&text, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	}
	return text.data;
}

/* How many rows there are, but no more than most, unless that is 0. */
static int64
count_exactly(const RestTable *table, const RestRequest *request, int64 most)
{
	RestSql		sql;
	bool		isnull;

	RestSqlBegin(&sql, table);
	appendStringInfo(&sql.text, "SELECT pg_catalog.count(*) FROM (SELECT FROM %s t", table->sql);
	RestSqlWhere(&sql, request->conditions);
	if (most > 0)
		RestSqlLimit(&sql, most, 0);
	appendStringInfoString(&sql.text, ") c");
	if (SPI_execute_plan(RestPlan(&sql), sql.values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not count rows");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static int64
count_by_plan(const RestTable *table, const RestRequest *request)
{
	RestSql		sql;
	const char *found;

	RestSqlBegin(&sql, table);
	appendStringInfo(&sql.text, "EXPLAIN (FORMAT JSON) SELECT FROM %s t", table->sql);
	RestSqlWhere(&sql, request->conditions);
	found = strstr(execute_for_text(&sql, sql.text.data), "\"Plan Rows\":");
	return found ? strtoll(found + strlen("\"Plan Rows\":"), NULL, 10) : 0;
}

/* The number of all rows that the request is about; -1: it did not ask. */
static int64
count_rows(const RestTable *table, const RestRequest *request)
{
	int64		rows;

	switch (request->count)
	{
		case REST_NO_COUNT:
			return -1;
		case REST_EXACT:
			return count_exactly(table, request, 0);
		case REST_PLANNED:
			return count_by_plan(table, request);
		case REST_ESTIMATED:
			rows = VecdbHttpMaxRows > 0 ? count_exactly(table, request, (int64) VecdbHttpMaxRows + 1) : 0;
			return VecdbHttpMaxRows > 0 && rows <= VecdbHttpMaxRows ? rows : Max(rows, count_by_plan(table, request));
	}
	pg_unreachable();
}

static void
answer_with_plan(const RestSql *sql, const RestRequest *request, ApiAnswer *answer)
{
	bool		json = request->media == REST_PLAN_JSON;
	char	   *statement = psprintf("EXPLAIN (FORMAT %s%s) %s", json ? "JSON" : "TEXT", request->plan_options, sql->text.data);

	ApiHeader(answer, "Content-Type", json ? "application/vnd.pgrst.plan+json; charset=utf-8" : "application/vnd.pgrst.plan+text; charset=utf-8");
	BodyText(&answer->body, execute_for_text(sql, statement));
	BodyText(&answer->body, "\n");
}

/* ---------------------------------------------------------------------------
 * The request
 */

/* There are fewer rows than are to be passed over: an error, but one that tells how many there are. */
static void
answer_beyond(const RestRequest *request, int64 total, ApiAnswer *answer)
{
	ErrorData	error = {
		.message = "Requested range not satisfiable",
		.detail = psprintf("An offset of " INT64_FORMAT " was requested, but there are only " INT64_FORMAT " rows.", request->offset, total)
	};

	ApiErrorCode = "PGRST103";
	ApiAnswerError(answer, &rest_surface, 416, &error);
	ApiErrorCode = NULL;
	ApiHeader(answer, "Content-Range", psprintf("*/" INT64_FORMAT, total));
}

/* Which rows of how many these are; and whether they are all. */
static void
tell_range(const RestRequest *request, int64 rows, int64 total, ApiAnswer *answer)
{
	char	   *range = rows > 0 ? psprintf(INT64_FORMAT "-" INT64_FORMAT, request->offset, request->offset + rows - 1) : "*";

	if (total >= 0 && request->offset > total && rows == 0)
	{
		answer_beyond(request, total, answer);
		return;
	}
	if (total >= 0 && rows < total)
		answer->status = 206;
	ApiHeader(answer, "Content-Range", total < 0 ? psprintf("%s/*", range) : psprintf("%s/" INT64_FORMAT, range, total));
}

void
RestRead(const RestTable *table, const RestRequest *request, ApiAnswer *answer)
{
	RestSql		sql;
	const char **outputs;
	int			noutputs;
	int64		rows;
	int64		limit = request->limit;

	if (VecdbHttpMaxRows > 0 && (limit < 0 || limit > VecdbHttpMaxRows))
		limit = VecdbHttpMaxRows;
	RestSqlBegin(&sql, table);
	appendStringInfoString(&sql.text, "SELECT ");
	RestSqlColumns(&sql, request->columns, &outputs, &noutputs);
	appendStringInfo(&sql.text, " FROM %s t", table->sql);
	RestSqlWhere(&sql, request->conditions);
	RestSqlOrder(&sql, request->order);
	RestSqlLimit(&sql, limit, request->offset);
	if (request->media == REST_PLAN_TEXT || request->media == REST_PLAN_JSON)
	{
		answer_with_plan(&sql, request, answer);
		return;
	}
	rows = RestWriteRows(&sql, request, outputs, noutputs, true, answer);
	tell_range(request, rows, count_rows(table, request), answer);
}
