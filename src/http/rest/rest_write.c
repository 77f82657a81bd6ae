/*
 * rest_write.c
 *	  Writes: POST, PATCH, PUT and DELETE, each one statement.
 *
 * The body goes to SQL as one parameter, which json_to_recordset() takes apart into
 * columns of the table's own types: so a vector is an array of JSON or a text.
 */
#include "http/rest/rest.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "guc.h"
#include "http/body.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "nodes/value.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

/* How many rows that were there a statement has met with ON CONFLICT DO UPDATE; it counts them itself, whatever else may be known of rows. */
#define MET				"request.rows_met"

typedef struct Write
{
	const RestTable *table;
	const ApiRequest *request;
	RestRequest *asked;
	ApiAnswer  *answer;
	RestSql		sql;
	RestPayload payload;
	AttrNumber *columns;		/* that are written */
	int			ncolumns;
	AttrNumber *key;			/* of the primary key; of POST and PUT */
	int			nkey;
	bool		counts_met;
} Write;

static const char *
column_name(const Write *self, AttrNumber number)
{
	return quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(self->table->rel), number - 1)->attname));
}

static void
put_names(Write *self, const AttrNumber *numbers, int n, const char *before)
{
	for (int i = 0; i < n; i++)
		appendStringInfo(&self->sql.text, "%s%s%s", i > 0 ? ", " : "", before, column_name(self, numbers[i]));
}

static bool
holds(const AttrNumber *numbers, int n, AttrNumber number)
{
	while (n > 0 && numbers[n - 1] != number)
		n--;
	return n > 0;
}

/* ---------------------------------------------------------------------------
 * Columns of the body
 */

static AttrNumber
find_written(const Write *self, RestText name)
{
	AttrNumber	number = RestFindColumn(self->table, name);

	if (number == InvalidAttrNumber)
		RestRefuse(400, "PGRST204", psprintf("Could not find the '%s' column of '%s' in the schema", RestShown(RestCopy(name)), self->table->name), NULL,
				   RestNearestColumn(self->table, name, false));
	return number;
}

/* A value of the column has many commas.  Values within JSON were counted when it was read. */
static void
check_elements(const Write *self, AttrNumber number)
{
	Oid			type = getBaseType(TupleDescAttr(RelationGetDescr(self->table->rel), number - 1)->atttypid);

	if (type != JSONOID && type != JSONBOID)
		RestRefuseElements(type);
}

static void
read_columns(Write *self)
{
	const RestRequest *asked = self->asked;
	int			n;

	RestReadPayload(self->request, self->table, asked->names != NULL, &self->payload);
	n = asked->names ? asked->nnames : self->payload.ncolumns;
	self->columns = palloc(sizeof(AttrNumber) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		RestText	name = asked->names ? asked->names[i] :
			(RestText) {self->payload.columns[i], strlen(self->payload.columns[i])};
		AttrNumber	number = find_written(self, name);

		CHECK_FOR_INTERRUPTS();
		if (list_member(self->payload.long_lists, makeString(RestCopy(name))))
			check_elements(self, number);
		if (list_member(self->payload.long_texts, makeString(RestCopy(name))))
			RestRefuseLength(TupleDescAttr(RelationGetDescr(self->table->rel), number - 1)->atttypid);
		if (!holds(self->columns, self->ncolumns, number))
			self->columns[self->ncolumns++] = number;
	}
}

/* The members of an object as columns: AS NAME(a type, b type), types without a length, which "character" and "bit" have. */
static void
put_record(Write *self, const char *name)
{
	TupleDesc	desc = RelationGetDescr(self->table->rel);

	appendStringInfo(&self->sql.text, " AS %s(", name);
	for (int i = 0; i < self->ncolumns; i++)
		appendStringInfo(&self->sql.text, "%s%s %s", i > 0 ? ", " : "", column_name(self, self->columns[i]),
						 format_type_extended(TupleDescAttr(desc, self->columns[i] - 1)->atttypid, -1,
											  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	appendStringInfoChar(&self->sql.text, ')');
}

/* A column's value, where the object has none its default. */
static void
put_value_or_default(Write *self, AttrNumber number)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(self->table->rel), number - 1);
	Node	   *value = att->attgenerated ? NULL : build_column_default(self->table->rel, number);

	if (!value)
	{
		appendStringInfo(&self->sql.text, "t.%s", column_name(self, number));
		return;
	}
	self->sql.has_literals = true;
	appendStringInfo(&self->sql.text, "CASE WHEN (j.e OPERATOR(pg_catalog.->) $%d) IS NULL THEN %s ELSE t.%s END",
					 RestSqlParameter(&self->sql, TEXTOID, CStringGetTextDatum(NameStr(att->attname))),
					 deparse_expression(value, NIL, false, false), column_name(self, number));
}

/* SELECT ... FROM the body, whose rows are "t", as conditions have it. */
static void
put_source(Write *self)
{
	StringInfo	text = &self->sql.text;
	int			body = RestSqlParameter(&self->sql, JSONOID, self->payload.json);

	appendStringInfoString(text, "SELECT ");
	if (self->ncolumns == 0)
		appendStringInfo(text, "FROM pg_catalog.json_array_elements($%d)", body);
	else if (!self->asked->missing_default)
	{
		put_names(self, self->columns, self->ncolumns, "t.");
		appendStringInfo(text, " FROM pg_catalog.json_to_recordset($%d)", body);
		put_record(self, "t");
	}
	else
	{
		for (int i = 0; i < self->ncolumns; i++)
		{
			appendStringInfoString(text, i > 0 ? ", " : "");
			put_value_or_default(self, self->columns[i]);
		}
		appendStringInfo(text, " FROM pg_catalog.json_array_elements($%d) AS j(e), LATERAL pg_catalog.json_to_record(j.e)", body);
		put_record(self, "t");
	}
}

/* ---------------------------------------------------------------------------
 * Running it
 */

/* Where the one new row is, by its primary key; nothing where there is none or are several. */
static void
tell_location(Write *self)
{
	StringInfoData location;

	if (SPI_processed != 1)
		return;
	initStringInfo(&location);
	appendStringInfoString(&location, "/rest/v1/");
	ApiAppendEncoded(&location, self->table->name);
	for (int i = 0; i < self->nkey; i++)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1);
		const char *name = NameStr(TupleDescAttr(RelationGetDescr(self->table->rel), self->key[i] - 1)->attname);

		appendStringInfoChar(&location, i == 0 ? '?' : '&');
		ApiAppendEncoded(&location, name);
		appendStringInfoString(&location, "=eq.");
		ApiAppendEncoded(&location, value ? value : "");
	}
	ApiHeader(self->answer, "Location", location.data);
}

/* Run the statement; how many rows it changed. */
static int64
run_statement(Write *self)
{
	bool		location = self->asked->what == REST_HEADERS_ONLY && self->request->method == HTTP_POST && self->nkey > 0;
	const char **outputs;
	int			noutputs;
	int64		rows;

	if (self->asked->what == REST_REPRESENTATION)
	{
		appendStringInfoString(&self->sql.text, " RETURNING ");
		RestSqlColumns(&self->sql, self->asked->columns, &outputs, &noutputs);
		/* SQL has SELECT without columns, but no RETURNING. */
		if (noutputs == 0 && !self->asked->order)
			appendStringInfoString(&self->sql.text, "NULL");
		if (self->asked->order)
			RestSqlOrderReturned(&self->sql, self->asked->order, noutputs);
		return RestWriteRows(&self->sql, self->asked, outputs, noutputs, false, self->answer);
	}
	if (location)
	{
		appendStringInfoString(&self->sql.text, " RETURNING ");
		put_names(self, self->key, self->nkey, "t.");
	}
	if (SPI_execute_plan(RestPlan(&self->sql), self->sql.values, NULL, false, 0) < 0)
		elog(ERROR, "could not execute a statement");
	rows = (int64) SPI_processed;
	if (location)
		tell_location(self);
	return rows;
}

/* Was any row of the body new? */
static bool
made_rows(const Write *self)
{
	const char *met = self->counts_met ? GetConfigOption(MET, true, false) : NULL;

	/* A trigger may have reset it, which leaves none. */
	return self->payload.rows > (met ? strtoll(met, NULL, 10) : 0);
}

/* As PostgREST has it: only an upsert that merges, and what a PUT returns, tell new rows from others. */
static int
status_of(const Write *self)
{
	bool		merges = self->asked->resolution == REST_MERGE;
	bool		returns = self->asked->what == REST_REPRESENTATION;

	switch (self->request->method)
	{
		case HTTP_POST:
			return merges && !made_rows(self) ? 200 : 201;
		case HTTP_PUT:
			return !returns ? 204 : made_rows(self) ? 201 : 200;
		default:
			return returns ? 200 : 204;
	}
}

static void
finish(Write *self, int64 rows)
{
	const RestRequest *asked = self->asked;
	bool		is_update = self->request->method == HTTP_PATCH;
	char	   *range = is_update && rows > 0 ? psprintf("0-" INT64_FORMAT, rows - 1) : "*";

	if (asked->max_affected >= 0 && rows > asked->max_affected)
		RestRefuse(400, "PGRST124", "Query result exceeds max-affected preference constraint",
				   psprintf("The query affects " INT64_FORMAT " rows", rows), NULL);
	if (self->request->method != HTTP_PUT)
		ApiHeader(self->answer, "Content-Range", asked->count == REST_NO_COUNT ? psprintf("%s/*", range) :
				  psprintf("%s/" INT64_FORMAT, range, rows));
	self->answer->status = status_of(self);
	self->answer->rollback = asked->rollback;
}

/* ---------------------------------------------------------------------------
 * Methods
 */

static bool
may_execute(Oid function)
{
	return DatumGetBool(DirectFunctionCall2(has_function_privilege_id, ObjectIdGetDatum(function), CStringGetTextDatum("EXECUTE")));
}

/*
 * A condition that is always true, and counts the rows that it is asked for.  A role that
 * may not execute its functions has its rows written all the same, and is told that they are new.
 */
static void
put_count_met(Write *self)
{
	if (!may_execute(F_SET_CONFIG) || !may_execute(F_CURRENT_SETTING_TEXT))
		return;
	(void) set_config_option(MET, "0", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, ERROR, false);
	self->counts_met = true;
	appendStringInfoString(&self->sql.text,
						   " WHERE pg_catalog.set_config('" MET "', (pg_catalog.current_setting('" MET "')::pg_catalog.int8 OPERATOR(pg_catalog.+) 1)::pg_catalog.text, true) IS NOT NULL");
}

/* What becomes of a row whose key is there. */
static void
put_conflict(Write *self, RestResolution resolution)
{
	AttrNumber *target = self->key;
	int			ntarget = self->nkey;
	int			n = 0;

	if (resolution == REST_NO_RESOLUTION)
		return;
	if (self->asked->conflict)
	{
		ntarget = self->asked->nconflict;
		target = palloc(sizeof(AttrNumber) * ntarget);
		for (int i = 0; i < ntarget; i++)
		{
			target[i] = RestFindColumn(self->table, self->asked->conflict[i]);
			if (target[i] == InvalidAttrNumber)
				RestNoColumn(self->table, self->asked->conflict[i], false);
		}
	}
	if (ntarget == 0)
	{
		RestPassOver(self->asked, "resolution");
		return;
	}
	appendStringInfoString(&self->sql.text, " ON CONFLICT (");
	put_names(self, target, ntarget, "");
	appendStringInfoString(&self->sql.text, resolution == REST_MERGE && self->ncolumns > 0 ? ") DO UPDATE SET " : ") DO NOTHING");
	for (int i = 0; i < self->ncolumns && resolution == REST_MERGE; i++)
	{
		const char *name = column_name(self, self->columns[i]);

		appendStringInfo(&self->sql.text, "%s%s = EXCLUDED.%s", n++ > 0 ? ", " : "", name, name);
	}
	if (n > 0)
		put_count_met(self);
}

static void
put_insert(Write *self)
{
	appendStringInfo(&self->sql.text, "INSERT INTO %s AS t ", self->table->sql);
	if (self->ncolumns > 0)
	{
		appendStringInfoChar(&self->sql.text, '(');
		put_names(self, self->columns, self->ncolumns, "");
		appendStringInfoString(&self->sql.text, ") ");
	}
	put_source(self);
}

static int64
insert_rows(Write *self)
{
	self->nkey = RestFindKey(self->table, &self->key);
	read_columns(self);
	put_insert(self);
	put_conflict(self, self->asked->resolution);
	return run_statement(self);
}

/* Is it a condition that a column of the key, not seen before, has a value? */
static bool
is_key_test(Write *self, const RestNode *test, AttrNumber *seen, int nseen)
{
	AttrNumber	number;

	if (test->kind != REST_TEST || test->negated || test->op != REST_EQ || test->quantifier != REST_ONE || test->field.nsteps > 0)
		return false;
	number = RestFindColumn(self->table, test->field.name);
	if (nseen >= self->nkey || !holds(self->key, self->nkey, number) || holds(seen, nseen, number))
		return false;
	seen[nseen] = number;
	return true;
}

/* The row that the conditions name becomes that of the body, or is made. */
static int64
put_row(Write *self)
{
	AttrNumber *seen;
	int			nseen = 0;
	const RestNode *test;
	int64		rows;

	self->nkey = RestFindKey(self->table, &self->key);
	seen = palloc(sizeof(AttrNumber) * Max(self->nkey, 1));
	for (test = self->asked->conditions; test && is_key_test(self, test, seen, nseen); test = test->next)
		nseen++;
	if (test || nseen == 0 || nseen != self->nkey)
		RestRefuse(405, "PGRST105", "Filters must include all and only primary key columns with 'eq' operators", NULL, NULL);
	read_columns(self);
	if (self->payload.rows != 1)
		RestRefuse(400, "PGRST102", "the body of PUT must be one row", NULL, NULL);
	for (int i = 0; i < self->nkey; i++)
	{
		if (!holds(self->columns, self->ncolumns, self->key[i]))
			RestRefuse(400, "PGRST115", "Payload values do not match URL in primary key column(s)", NULL, NULL);
	}
	put_insert(self);
	RestSqlWhere(&self->sql, self->asked->conditions);
	put_conflict(self, REST_MERGE);
	rows = run_statement(self);
	if (rows != 1)
		RestRefuse(400, "PGRST115", "Payload values do not match URL in primary key column(s)", NULL, NULL);
	return rows;
}

static void
want_filter(const Write *self, const char *method)
{
	if (!self->asked->conditions && !VecdbHttpWholeTables)
		RestRefuse(400, "21000", psprintf("%s of all rows of a table is not allowed", method), NULL,
				   "Give a filter. The setting vecdb.http_whole_tables allows it without one.");
}

/* No row changes; the answer has the form that it would have. */
static int64
update_nothing(Write *self)
{
	const char **outputs;
	int			noutputs;

	if (self->asked->what != REST_REPRESENTATION)
		return 0;
	appendStringInfoString(&self->sql.text, "SELECT ");
	RestSqlColumns(&self->sql, self->asked->columns, &outputs, &noutputs);
	appendStringInfo(&self->sql.text, " FROM %s t WHERE false", self->table->sql);
	return RestWriteRows(&self->sql, self->asked, outputs, noutputs, true, self->answer);
}

static int64
update_rows(Write *self)
{
	want_filter(self, "PATCH");
	read_columns(self);
	if (self->payload.rows != 1)
		RestRefuse(400, "PGRST102", "the body of PATCH must be one row", NULL, NULL);
	if (self->ncolumns == 0)
		return update_nothing(self);
	appendStringInfo(&self->sql.text, "UPDATE %s AS t SET ", self->table->sql);
	for (int i = 0; i < self->ncolumns; i++)
	{
		const char *name = column_name(self, self->columns[i]);

		appendStringInfo(&self->sql.text, "%s%s = x.%s", i > 0 ? ", " : "", name, name);
	}
	appendStringInfoString(&self->sql.text, " FROM (");
	put_source(self);
	appendStringInfoString(&self->sql.text, ") AS x(");
	put_names(self, self->columns, self->ncolumns, "");
	appendStringInfoChar(&self->sql.text, ')');
	RestSqlWhere(&self->sql, self->asked->conditions);
	return run_statement(self);
}

static int64
delete_rows(Write *self)
{
	want_filter(self, "DELETE");
	appendStringInfo(&self->sql.text, "DELETE FROM %s AS t", self->table->sql);
	RestSqlWhere(&self->sql, self->asked->conditions);
	return run_statement(self);
}

void
RestWrite(const RestTable *table, const ApiRequest *request, RestRequest *asked, ApiAnswer *answer)
{
	Write		self = {.table = table,.request = request,.asked = asked,.answer = answer};
	int64		rows;

	if (request->method == HTTP_PUT && (asked->limit >= 0 || asked->offset > 0))
		RestRefuse(400, "PGRST114", "limit and offset are not allowed for PUT", NULL, NULL);
	if (asked->limit >= 0 || asked->offset > 0)
		RestRefuse(400, "PGRST100", "limit and offset are for reads", NULL, "Prefer: max-affected bounds how many rows a write may change.");
	if (asked->media == REST_PLAN_TEXT || asked->media == REST_PLAN_JSON)
		RestRefuse(406, "PGRST107", "plans are told of reads only", NULL, NULL);
	RestSqlBegin(&self.sql, table);
	switch (request->method)
	{
		case HTTP_POST:
			rows = insert_rows(&self);
			break;
		case HTTP_PUT:
			rows = put_row(&self);
			break;
		case HTTP_PATCH:
			rows = update_rows(&self);
			break;
		default:
			rows = delete_rows(&self);
			break;
	}
	finish(&self, rows);
}
