/*
 * rest_read.c
 *	  Reads: rows as JSON or CSV, their number, their plan.
 *
 * Rows come through a cursor, some at a time, and each is written to the answer at
 * once: what is in memory is the answer, and the rows of one turn.
 */
#include "http/rest/rest.h"

#include "executor/spi.h"
#include "guc.h"
#include "http/body.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* Rows of one turn. */
#define ROWS_A_TURN		64

#define JSON_TYPE		"application/json; charset=utf-8"
#define OBJECT_TYPE		"application/vnd.pgrst.object+json; charset=utf-8"
#define CSV_TYPE		"text/csv; charset=utf-8"

/* What is written of the rows of a statement. */
typedef struct Writer
{
	const RestRequest *request;
	RestFormat	format;
	const RestOutput *outputs;
	int			noutputs;
	char	  **names;			/* as strings of JSON */
	StringInfo	body;
	int64		rows;
	MemoryContext row_context;
} Writer;

/* ---------------------------------------------------------------------------
 * Rows
 */

static void
writer_begin(Writer *self, const RestRequest *request, const RestOutput *outputs, int noutputs, StringInfo body)
{
	memset(self, 0, sizeof(*self));
	self->request = request;
	self->format.vectors_as_text = request->vectors_as_text;
	self->format.strip_nulls = request->strip_nulls;
	self->outputs = outputs;
	self->noutputs = noutputs;
	self->body = body;
	self->row_context = AllocSetContextCreate(CurrentMemoryContext, "vecdb http row", ALLOCSET_DEFAULT_SIZES);
	self->names = palloc(sizeof(char *) * Max(noutputs, 1));
	for (int i = 0; i < noutputs; i++)
	{
		StringInfoData name;

		initStringInfo(&name);
		BodyName(&name, outputs[i].name);
		self->names[i] = name.data;
		if (request->media != REST_CSV)
			continue;
		BodyText(body, i > 0 ? "," : "");
		RestPutCsvText(body, outputs[i].name, strlen(outputs[i].name));
	}
	if (request->media == REST_JSON)
		BodyText(body, "[");
}

static void
put_json_row(Writer *self, HeapTuple row, TupleDesc desc)
{
	bool		first = true;

	BodyText(self->body, "{");
	for (int i = 0; i < self->noutputs; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(row, desc, i + 1, &isnull);

		if (isnull && self->format.strip_nulls)
			continue;
		BodyText(self->body, first ? "" : ",");
		first = false;
		BodyText(self->body, self->names[i]);
		BodyText(self->body, ":");
		if (isnull)
			BodyText(self->body, "null");
		else
			RestPutValue(self->body, &self->format, value, SPI_gettypeid(desc, i + 1));
	}
	BodyText(self->body, "}");
}

static void
put_csv_row(Writer *self, HeapTuple row, TupleDesc desc)
{
	BodyText(self->body, "\n");
	for (int i = 0; i < self->noutputs; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(row, desc, i + 1, &isnull);

		BodyText(self->body, i > 0 ? "," : "");
		if (!isnull)
			RestPutCsvValue(self->body, &self->format, value, SPI_gettypeid(desc, i + 1));
	}
}

static void
writer_put(Writer *self, HeapTuple row, TupleDesc desc)
{
	MemoryContext old = MemoryContextSwitchTo(self->row_context);

	CHECK_FOR_INTERRUPTS();
	self->rows++;
	if (self->request->media == REST_CSV)
		put_csv_row(self, row, desc);
	else if (self->request->media == REST_JSON || self->rows == 1)
	{
		if (self->rows > 1)
			BodyText(self->body, ",\n ");
		put_json_row(self, row, desc);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(self->row_context);
}

static void
writer_end(Writer *self)
{
	if (self->request->media == REST_JSON)
		BodyText(self->body, "]");
	if (self->request->media == REST_OBJECT && self->rows != 1)
		RestRefuse(406, "PGRST116", "Cannot coerce the result to a single JSON object",
				   psprintf("The result contains " INT64_FORMAT " rows", self->rows), NULL);
}

/* Run the statement and write its rows. */
static void
write_rows(Writer *self, const RestSql *sql)
{
	Portal		portal = SPI_cursor_open_with_args(NULL, sql->text.data, sql->nparams, sql->types, sql->values, NULL, true, 0);

	for (;;)
	{
		SPI_cursor_fetch(portal, true, ROWS_A_TURN);
		for (uint64 i = 0; i < SPI_processed; i++)
			writer_put(self, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		if (SPI_processed < ROWS_A_TURN)
			break;
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_freetuptable(SPI_tuptable);
	SPI_cursor_close(portal);
}

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
	if (SPI_execute_with_args(sql.text.data, sql.nparams, sql.types, sql.values, NULL, true, 0) != SPI_OK_SELECT)
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

/*
 * Order by a distance comes out of an index, which has looked at hnsw.ef_search rows:
 * where fewer of them pass the conditions, or more are asked for, it must go on.
 */
static void
let_index_go_on(const RestRequest *request)
{
	const char *mode = GetConfigOption("hnsw.iterative_scan", true, false);

	if (request->order && request->order->distance.metric != REST_NO_METRIC && mode && strcmp(mode, "off") == 0)
		(void) set_config_option("hnsw.iterative_scan", "strict_order", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, ERROR, false);
}

/* Which rows of how many these are; and whether they are all. */
static void
tell_range(const RestRequest *request, int64 rows, int64 total, ApiAnswer *answer)
{
	char	   *range = rows > 0 ? psprintf(INT64_FORMAT "-" INT64_FORMAT, request->offset, request->offset + rows - 1) : "*";

	if (total >= 0 && request->offset > 0 && request->offset >= total && rows == 0)
		RestRefuse(416, "PGRST103", "Requested range not satisfiable",
				   psprintf("An offset of " INT64_FORMAT " was requested, but there are only " INT64_FORMAT " rows.", request->offset, total), NULL);
	if (total >= 0 && rows < total)
		answer->status = 206;
	ApiHeader(answer, "Content-Range", total < 0 ? psprintf("%s/*", range) : psprintf("%s/" INT64_FORMAT, range, total));
}

static const char *
media_type(const RestRequest *request)
{
	switch (request->media)
	{
		case REST_OBJECT:
			return OBJECT_TYPE;
		case REST_CSV:
			return CSV_TYPE;
		default:
			return JSON_TYPE;
	}
}

void
RestRead(const RestTable *table, const RestRequest *request, ApiAnswer *answer)
{
	RestSql		sql;
	RestOutput *outputs;
	int			noutputs;
	Writer		writer;
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
	let_index_go_on(request);
	if (request->media == REST_PLAN_TEXT || request->media == REST_PLAN_JSON)
	{
		answer_with_plan(&sql, request, answer);
		return;
	}
	writer_begin(&writer, request, outputs, noutputs, &answer->body);
	write_rows(&writer, &sql);
	writer_end(&writer);
	ApiHeader(answer, "Content-Type", media_type(request));
	tell_range(request, writer.rows, count_rows(table, request), answer);
}
