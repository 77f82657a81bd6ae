/*
 * native_rows.c
 *	  Rows of a collection: /collections/NAME/vectors, /count, /get and /delete, and
 *	  the metadata of one, PATCH /vectors/ID.
 *
 * A statement here is planned for each request, as a filter and what a table made by
 * hand lacks may be in it.  Rows come from it a few at a time, so that the limit of an
 * answer holds before all of them are in memory.
 */
#include "http/native/native.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "collection/collection.h"
#include "collection/filter_jsonb.h"
#include "collection/listing.h"
#include "executor/spi.h"
#include "guc.h"
#include "http/api_statement.h"
#include "http/body.h"
#include "http/native/native_surface.h"
#include "http/read_body.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#define DEFAULT_LIMIT	100
#define MAX_LIMIT		10000
#define MAX_IDS			10000

/* Rows that are in memory at a time. */
#define FETCH_ROWS		16

/* A statement on a collection: its text and parameters. */
typedef struct RowsStatement
{
	const char *collection;
	StringInfoData sql;
	int			n;
	Oid		   *types;
	Datum	   *values;
} RowsStatement;

/* What the body of /count, /get and /delete has. */
typedef struct RowsBody
{
	Datum		ids;			/* text[]; 0: none are given */
	Datum		filter;			/* 0: none is given */
} RowsBody;

/* The collection's quoted name, behind what stands before it; the table is locked from now on. */
static void
begin(RowsStatement *self, const char *collection, const char *before)
{
	Oid			relid = CollectionHold(collection);

	memset(self, 0, sizeof(*self));
	self->collection = collection;
	initStringInfo(&self->sql);
	appendStringInfo(&self->sql, "%s %s t", before[0] == '\0' ? psprintf("SELECT %s FROM", ApiRowColumns(relid)) : before,
					 quote_qualified_identifier(COLLECTION_SCHEMA, collection));
}

/* The number of a parameter with this value. */
static int
add_parameter(RowsStatement *self, Oid type, Datum value)
{
	self->types = self->types ? repalloc(self->types, sizeof(Oid) * (self->n + 1)) : palloc(sizeof(Oid));
	self->values = self->values ? repalloc(self->values, sizeof(Datum) * (self->n + 1)) : palloc(sizeof(Datum));
	self->types[self->n] = type;
	self->values[self->n] = value;
	return ++self->n;
}

/* WHERE what the body names; false where its filter is empty. */
static bool
add_condition(RowsStatement *self, const RowsBody *body)
{
	CompiledFilter filter;

	if (body->ids)
	{
		appendStringInfo(&self->sql, " WHERE t.id OPERATOR(pg_catalog.=) ANY ($%d)", add_parameter(self, TEXTARRAYOID, body->ids));
		return true;
	}
	if (!body->filter)
		return false;
	CompileFilter(DatumGetJsonbP(body->filter), self->n + 1, &filter);
	for (int i = 0; i < filter.nparameters; i++)
		add_parameter(self, filter.types[i], filter.values[i]);
	if (filter.sql)
		appendStringInfo(&self->sql, " WHERE %s", filter.sql);
	return filter.sql != NULL;
}

static void
run(RowsStatement *self, bool read_only)
{
	int			result = SPI_execute_with_args(self->sql.data, self->n, self->types, self->values, NULL, read_only, 0);

	if (result < 0)
		elog(ERROR, "could not execute a statement: %s", SPI_result_code_string(result));
}

/* The rows of a statement on ApiRowColumns() as elements of an array; the last's id, NULL where there is none. */
static char *
write_rows(RowsStatement *self, StringInfo out, uint64 *n)
{
	Portal		portal = SPI_cursor_open_with_args(NULL, self->sql.data, self->n, self->types, self->values, NULL, true, 0);
	char	   *last = NULL;

	*n = 0;
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (*n > 0)
				BodyText(out, ",");
			last = ApiText(i, 5);
			NativeWriteVector(out, i, last, self->collection);
			++*n;
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	return last;
}

/* ---------------------------------------------------------------------------
 * GET /collections/NAME/vectors
 */

static int
read_limit(const char *text)
{
	char	   *end;
	long		limit = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : 0;

	if (limit < 1 || limit > MAX_LIMIT || *end != '\0')
		ApiRefuse(400, ERRCODE_INVALID_PARAMETER_VALUE, "limit is a number from 1 to %d", MAX_LIMIT);
	return (int) limit;
}

/* The parameters limit= and after=, each at most once. */
static void
read_page(const ApiRequest *request, int *limit, char **after)
{
	const char *query = request->query;
	size_t		len = request->query_len;
	char	   *key = palloc(len + 1);
	char	   *value = palloc(len + 1);
	bool		bad;

	*limit = 0;
	*after = NULL;
	while (route_query_next(&query, &len, key, value, &bad))
	{
		if (bad)
			ApiRefuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "the query is not well percent-encoded");
		if (strcmp(key, "limit") == 0 && *limit == 0)
			*limit = read_limit(value);
		else if (strcmp(key, "after") == 0 && !*after)
			*after = pstrdup(pg_any_to_server(value, (int) strlen(value), PG_UTF8));
		else
			ApiRefuse(400, ERRCODE_INVALID_PARAMETER_VALUE, "parameter \"%.100s\" is unknown, or given twice",
					  pg_any_to_server(key, (int) strlen(key), PG_UTF8));
	}
	if (*limit == 0)
		*limit = DEFAULT_LIMIT;
}

void
NativeListVectors(const ApiRequest *request, ApiAnswer *answer)
{
	RowsStatement statement;
	int			limit;
	char	   *after,
			   *last;
	uint64		n;

	read_page(request, &limit, &after);
	begin(&statement, request->param, "");
	/* A table made by hand may have rows without an id, behind which no page could begin. */
	if (after)
		appendStringInfo(&statement.sql, " WHERE t.id OPERATOR(pg_catalog.>) $%d",
						 add_parameter(&statement, TEXTOID, CStringGetTextDatum(after)));
	else
		appendStringInfoString(&statement.sql, " WHERE t.id IS NOT NULL");
	appendStringInfo(&statement.sql, " ORDER BY t.id USING OPERATOR(pg_catalog.<) LIMIT %d", limit);
	BodyText(&answer->body, "{\"vectors\":[");
	last = write_rows(&statement, &answer->body, &n);
	BodyText(&answer->body, "],\"next\":");
	if (last && n == limit)
		BodyName(&answer->body, last);
	else
		BodyText(&answer->body, "null");
	BodyText(&answer->body, "}\n");
}

/* ---------------------------------------------------------------------------
 * POST /collections/NAME/count, /get and /delete
 */

static Datum
read_ids(JsonReader *json)
{
	int			size = 64;
	int			n = 0;
	Datum	   *ids = palloc(sizeof(Datum) * size);
	bool		first = true;

	if (!ReadExpect(json, JSON_ARRAY, NULL, "ids", "an array"))
		return (Datum) 0;
	json_enter(json);
	while (json_element(json, &first))
	{
		ReadPlace	place = {"ids", n};
		char	   *id;

		CHECK_FOR_INTERRUPTS();
		if (n == MAX_IDS)
			ApiTooMany("ids has more than %d elements", MAX_IDS);
		id = ReadId(json, &place, NULL);
		if (!id)
			ApiWrongShape("%s must be a string or an integer, not null", ReadPlaceName(&place, NULL));
		if (n == size)
			ids = repalloc(ids, sizeof(Datum) * (size *= 2));
		ids[n++] = CStringGetTextDatum(id);
	}
	if (json->error)
		ReadMalformed(json);
	return PointerGetDatum(construct_array(ids, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
read_rows_body(const ApiRequest *request, RowsBody *body)
{
	static const char *const fields[] = {"ids", "filter", NULL};
	JsonReader	json;
	unsigned	seen = 0;
	bool		first = true;
	int			field;

	memset(body, 0, sizeof(*body));
	ReadBegin(request, &json);
	while ((field = ReadField(&json, &first, fields, &seen, NULL)) >= 0)
	{
		if (field == 0)
			body->ids = read_ids(&json);
		else
			body->filter = ReadJsonb(&json, NULL, "filter");
	}
	ReadEnd(&json);
	if (body->ids && body->filter)
		ApiWrongShape("ids and filter exclude each other");
}

void
NativeCountVectors(const ApiRequest *request, ApiAnswer *answer)
{
	RowsStatement statement;
	RowsBody	body;
	bool		isnull;

	XactReadOnly = true;
	read_rows_body(request, &body);
	begin(&statement, request->param, "SELECT pg_catalog.count(*) FROM");
	add_condition(&statement, &body);
	run(&statement, true);
	BodyText(&answer->body, psprintf("{\"count\":" INT64_FORMAT "}\n", DatumGetInt64(SpiColumn(0, 1, INT8OID, &isnull))));
}

void
NativeFetchVectors(const ApiRequest *request, ApiAnswer *answer)
{
	RowsStatement statement;
	RowsBody	body;
	uint64		n;

	XactReadOnly = true;
	read_rows_body(request, &body);
	if (!body.ids)
		ApiWrongShape("ids is missing");
	begin(&statement, request->param, "");
	add_condition(&statement, &body);
	BodyText(&answer->body, "{\"vectors\":[");
	write_rows(&statement, &answer->body, &n);
	BodyText(&answer->body, "]}\n");
}

void
NativeDeleteVectors(const ApiRequest *request, ApiAnswer *answer)
{
	RowsStatement statement;
	RowsBody	body;

	read_rows_body(request, &body);
	begin(&statement, request->param, "DELETE FROM");
	if (!add_condition(&statement, &body))
		ApiWrongShape("neither ids nor a filter is given, so all would be deleted");
	run(&statement, false);
	BodyText(&answer->body, psprintf("{\"deleted\":" UINT64_FORMAT "}\n", SPI_processed));
}

/* ---------------------------------------------------------------------------
 * PATCH /vectors/ID
 */

/* Members of the body's metadata take the place of those that are there; null removes one. */
void
NativePatchVector(const ApiRequest *request, const char *collection, ApiAnswer *answer)
{
	static const char *const fields[] = {"metadata", NULL};
	RowsStatement statement;
	JsonReader	json;
	unsigned	seen = 0;
	bool		first = true;
	Datum		patch = (Datum) 0;
	Datum		metadata;
	bool		isnull;
	int			number;

	ReadBegin(request, &json);
	while (ReadField(&json, &first, fields, &seen, NULL) >= 0)
		patch = ReadJsonb(&json, NULL, "metadata");
	ReadEnd(&json);
	if (!patch)
		ApiWrongShape("metadata is missing");
	begin(&statement, collection, "UPDATE");
	number = add_parameter(&statement, JSONBOID, patch);

	/* Each member is looked up in the patch: jsonb - text[] compares all with all, without a check for interrupts. */
	appendStringInfo(&statement.sql,
					 " SET metadata = (SELECT COALESCE(pg_catalog.jsonb_object_agg(e.key, e.value), '{}') FROM pg_catalog.jsonb_each("
					 "CASE WHEN pg_catalog.jsonb_typeof(t.metadata) OPERATOR(pg_catalog.=) 'object' THEN t.metadata ELSE '{}' END"
					 " OPERATOR(pg_catalog.||) $%d) e"
					 " WHERE (pg_catalog.jsonb_typeof($%d OPERATOR(pg_catalog.->) e.key) OPERATOR(pg_catalog.=) 'null') IS NOT TRUE)",
					 number, number);
	appendStringInfo(&statement.sql, " WHERE t.id OPERATOR(pg_catalog.=) $%d RETURNING t.metadata",
					 add_parameter(&statement, TEXTOID, CStringGetTextDatum(request->param)));
	run(&statement, false);
	if (SPI_processed == 0)
		ApiRefuse(404, ERRCODE_NO_DATA_FOUND, "collection \"%s\" has no vector with id \"%s\"", collection, request->param);
	metadata = SpiColumn(0, 1, JSONBOID, &isnull);

	/* A body bounds what comes at once; many of them must not make one value that nobody can read. */
	if (!isnull && toast_raw_datum_size(metadata) > (Size) VecdbHttpMaxBody_kb * 1024)
		ApiTooMany("the metadata would have more than vecdb.http_max_body bytes");
	BodyText(&answer->body, "{\"id\":");
	BodyName(&answer->body, request->param);
	BodyText(&answer->body, ",\"collection\":");
	BodyName(&answer->body, collection);
	BodyText(&answer->body, ",\"metadata\":");
	BodyMetadata(&answer->body, metadata, isnull);
	BodyText(&answer->body, "}\n");
}
