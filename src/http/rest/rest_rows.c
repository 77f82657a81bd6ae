/*
 * rest_rows.c
 *	  The rows of a statement as JSON or CSV.
 *
 * Rows come through a cursor, some at a time, and each is written to the answer at
 * once: what is in memory is the answer, and the rows of one turn.
 */
#include "http/rest/rest.h"

#include "executor/spi.h"
#include "http/body.h"
#include "index/cut.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* Rows of one turn. */
#define ROWS_A_TURN		64

#define JSON_TYPE		"application/json; charset=utf-8"
#define STRIPPED_TYPE	"application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8"
#define OBJECT_TYPE		"application/vnd.pgrst.object+json; charset=utf-8"
#define STRIPPED_OBJECT_TYPE	"application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8"
#define CSV_TYPE		"text/csv; charset=utf-8"

/* What is written of the rows of a statement. */
typedef struct Writer
{
	const RestRequest *request;
	RestFormat	format;
	const char *const *outputs;
	int			noutputs;
	char	  **names;			/* as strings of JSON */
	StringInfo	body;
	int64		rows;
	MemoryContext row_context;
} Writer;

static void
writer_begin(Writer *self, const RestRequest *request, const char *const *outputs, int noutputs, StringInfo body)
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
		BodyName(&name, outputs[i]);
		self->names[i] = name.data;
		if (request->media != REST_CSV)
			continue;
		BodyText(body, i > 0 ? "," : "");
		RestPutCsvText(body, outputs[i], strlen(outputs[i]));
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

static Portal
open_rows(const RestSql *sql, bool read_only)
{
	return SPI_cursor_open(NULL, RestPlan(sql), sql->values, NULL, read_only);
}

/*
 * The rows of a read, all of them, by a plan that reads no index in its order.  The setting
 * is in force for planning alone: functions that run later may keep plans of their own.
 */
static Portal
open_rows_exactly(const RestSql *sql)
{
	RestSql		exact = *sql;
	int			nest = NewGUCNestLevel();
	Portal		portal;

	exact.exact = true;
	(void) set_config_option("enable_indexscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	portal = open_rows(&exact, true);
	AtEOXact_GUC(true, nest);
	return portal;
}

static void
write_rows(Writer *self, Portal portal)
{
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

static const char *
media_type(const RestRequest *request)
{
	switch (request->media)
	{
		case REST_OBJECT:
			return request->strip_nulls ? STRIPPED_OBJECT_TYPE : OBJECT_TYPE;
		case REST_CSV:
			return CSV_TYPE;
		default:
			return request->strip_nulls ? STRIPPED_TYPE : JSON_TYPE;
	}
}

int64
RestWriteRows(const RestSql *sql, const RestRequest *request, const char *const *outputs, int noutputs, bool read_only, ApiAnswer *answer)
{
	Writer		writer;
	int			start;
	int64		cut = IndexScansCut;

	writer_begin(&writer, request, outputs, noutputs, &answer->body);
	start = answer->body.len;
	write_rows(&writer, open_rows(sql, read_only));
	if (read_only && IndexScansCut != cut)
	{
		/* An index ended at a limit of its own, though more rows may match. */
		answer->body.len = start;
		answer->body.data[start] = '\0';
		writer.rows = 0;
		write_rows(&writer, open_rows_exactly(sql));
	}
	writer_end(&writer);
	ApiHeader(answer, "Content-Type", media_type(request));
	return writer.rows;
}
