/*
 * native_api.c
 *	  The native API: what each route does in the database.
 *
 * Bodies are read with the reader of json.h, straight into the values that
 * SQL takes; answers are built as text, metadata without being taken apart.
 * Whatever touches a collection goes through the functions of schema vecdb, or
 * through statements on its table whose names are quoted and whose values are
 * parameters.
 *
 * Plans are kept for the life of the process; PostgreSQL renews them when what
 * they depend on changes.
 */
#include "pgcompat.h"

#include <ctype.h>
#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "collection/collection.h"
#include "commands/dbcommands.h"
#include "common/shortest_dec.h"
#include "executor/spi.h"
#include "guc.h"
#include "http/answer.h"
#include "http/body.h"
#include "http/json.h"
#include "http/native_api.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "spi_column.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#define DEFAULT_COLLECTION	"default"
#define DEFAULT_K			10

/*
 * What one body may hold.  Rows and names cost more memory than their bytes, a
 * table that is made takes several locks, and what PostgreSQL does with the keys
 * of an object cannot be interrupted.
 */
#define MAX_ROWS			100000
#define MAX_NAMES			100
#define MAX_JSON_VALUES		100000	/* of a metadata or a filter */

/* Plans of statements that name a table, one for each collection and kind. */
#define MAX_TABLE_PLANS		512

int			ApiErrorStatus;

/* A statement without a table's name in it, and its plan once it has one. */
typedef struct FixedStatement
{
	const char *sql;
	int			nargs;
	const char *types;			/* a letter for each argument, see argument_type */
	SPIPlanPtr	plan;
} FixedStatement;

typedef enum TableStatementKind
{
	TABLE_READ,
	TABLE_EXISTS,
	TABLE_DELETE
} TableStatementKind;

typedef struct TablePlanKey
{
	char		name[NAMEDATALEN];
	int32		kind;
} TablePlanKey;

typedef struct TablePlan
{
	TablePlanKey key;
	bool		created_at;		/* the columns that the statement names beside a collection's own */
	bool		updated_at;
	SPIPlanPtr	plan;
} TablePlan;

static FixedStatement search_statement = {
	"SELECT s.id, s.score, s.metadata FROM vecdb.search($1, $2, $3, $4, $5, $6, $7) s", 7, "tvifjbi"
};
static FixedStatement upsert_statement = {
	"SELECT u FROM vecdb.upsert_batch($1, $2, $3, $4) u", 4, "tTVJ"
};
static FixedStatement create_statement = {
	"SELECT vecdb.create_collection($1, $2, $3, $4, $5, $6, $7, $8)", 8, "tittiitb"
};
static FixedStatement drop_statement = {
	"SELECT vecdb.drop_collection($1)", 1, "t"
};
static FixedStatement open_statement = {
	"SELECT vecdb.collection_table($1)", 1, "t"
};
static FixedStatement facts_statement = {
	"SELECT d.dimensions FROM vecdb.describe($1) d", 1, "o"
};
static FixedStatement list_statement = {
	"SELECT c.oid, c.relname, d.dimensions FROM pg_catalog.pg_class c, LATERAL vecdb.describe(c.oid) d "
	"WHERE c.relnamespace OPERATOR(pg_catalog.=) 'collections'::pg_catalog.regnamespace "
	"AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}'::pg_catalog.\"char\"[]) ORDER BY c.relname", 0, ""
};
static FixedStatement describe_statement = {
	"SELECT pg_catalog.row_to_json(c)::pg_catalog.text FROM vecdb.collection_info($1) c", 1, "t"
};
static FixedStatement describe_all_statement = {
	"SELECT pg_catalog.row_to_json(c)::pg_catalog.text FROM vecdb.collections c ORDER BY c.name", 0, ""
};
static FixedStatement stats_statement = {
	"SELECT pg_catalog.row_to_json(s)::pg_catalog.text FROM vecdb.stats() s", 0, ""
};
/* From the catalog alone: the size of a file would take a lock of each table, and wait for whoever holds one. */
static FixedStatement metrics_statement = {
	"SELECT c.relname::pg_catalog.text, CASE WHEN pg_catalog.pg_stat_get_tuples_inserted(c.oid) OPERATOR(pg_catalog.>) 0 "
	"THEN pg_catalog.pg_stat_get_live_tuples(c.oid) ELSE pg_catalog.int8(greatest(c.reltuples, 0)) END, "
	"coalesce((SELECT pg_catalog.sum(x.relpages) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x "
	"ON x.oid OPERATOR(pg_catalog.=) i.indexrelid WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid), 0) "
	"OPERATOR(pg_catalog.*) pg_catalog.int8(pg_catalog.current_setting('block_size')) "
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace "
	"WHERE n.nspname OPERATOR(pg_catalog.=) 'collections' AND c.relkind OPERATOR(pg_catalog.=) 'r' ORDER BY 1", 0, ""
};

static HTAB *table_plans;
static Oid	vector_oid;
static Oid	vector_array_oid;
static bool types_valid;

/* ---------------------------------------------------------------------------
 * Errors
 */

static void refuse(int status, int sqlstate, const char *format,...) pg_attribute_printf(3, 4) pg_attribute_noreturn();
static void too_many(const char *format,...) pg_attribute_printf(1, 2) pg_attribute_noreturn();

/* The message, of which a value that was shown may have been cut within a character. */
static char *pg_attribute_printf(1, 0)
message_of(const char *format, va_list args)
{
	static char message[1024];

	vsnprintf(message, sizeof(message), format, args);
	message[pg_mbcliplen(message, strlen(message), sizeof(message) - 1)] = '\0';
	return message;
}

static void
refuse(int status, int sqlstate, const char *format,...)
{
	char	   *message;
	va_list		args;

	va_start(args, format);
	message = message_of(format, args);
	va_end(args);
	ApiErrorStatus = status;
	ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message)));
}

#define wrong_shape(...) refuse(422, ERRCODE_INVALID_PARAMETER_VALUE, __VA_ARGS__)

/* More than one body may hold. */
static void
too_many(const char *format,...)
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

static void pg_attribute_noreturn()
malformed(const JsonReader *json)
{
	if (json->error_pos >= json->len)
		refuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "invalid JSON at its end, byte %zu: %s", json->error_pos + 1, json->error);
	refuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "invalid JSON at byte %zu: %s", json->error_pos + 1, json->error);
}

int
ApiStatusOfSqlState(int sqlerrcode, bool anonymous)
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
			return anonymous ? 401 : 403;
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_TABLE:
			return 404;
		case ERRCODE_RAISE_EXCEPTION:
			return 400;
	}
	if (strncmp(state, "08", 2) == 0 || strncmp(state, "53", 2) == 0)
		return 503;
	if (strncmp(state, "28", 2) == 0 || strncmp(state, "0L", 2) == 0 || strncmp(state, "0P", 2) == 0)
		return 403;
	if (strncmp(state, "25", 2) == 0 || strncmp(state, "40", 2) == 0 || strncmp(state, "54", 2) == 0 ||
		strncmp(state, "55", 2) == 0 || strncmp(state, "57", 2) == 0 || strncmp(state, "58", 2) == 0 ||
		strncmp(state, "XX", 2) == 0)
		return 500;
	return 400;
}

int
NativeApiErrorStatus(int sqlerrcode)
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
	return ApiStatusOfSqlState(sqlerrcode, true);
}

/* ---------------------------------------------------------------------------
 * Statements
 */

static void
forget_types(Datum arg, int cacheid, uint32 hashvalue)
{
	types_valid = false;
}

/* The extension's type vector, wherever it is: upsert_batch takes an array of it. */
static void
find_types(void)
{
	Oid			schema;
	CatCList   *list;

	if (types_valid)
		return;
	vector_oid = vector_array_oid = InvalidOid;
	schema = get_namespace_oid("vecdb", true);
	list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum("upsert_batch"));
	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (OidIsValid(schema) && proc->pronamespace == schema && proc->pronargs == 4)
			vector_array_oid = proc->proargtypes.values[2];
	}
	ReleaseSysCacheList(list);
	if (OidIsValid(vector_array_oid))
		vector_oid = get_element_type(vector_array_oid);
	if (!OidIsValid(vector_oid))
	{
		ApiErrorStatus = 503;
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"vecdb\" is not installed in database \"%s\"", get_database_name(MyDatabaseId)),
				 errhint("Run CREATE EXTENSION vecdb there, or name another database in vecdb.http_database.")));
	}
	types_valid = true;
}

static Oid
argument_type(char letter)
{
	switch (letter)
	{
		case 't':
			return TEXTOID;
		case 'T':
			return TEXTARRAYOID;
		case 'i':
			return INT4OID;
		case 'f':
			return FLOAT8OID;
		case 'b':
			return BOOLOID;
		case 'o':
			return OIDOID;
		case 'j':
			return JSONBOID;
		case 'J':
			return JSONBARRAYOID;
		case 'v':
			return vector_oid;
		case 'V':
			return vector_array_oid;
	}
	elog(ERROR, "unknown letter of an argument: %c", letter);
}

static void
execute(SPIPlanPtr plan, Datum *values, const char *nulls, bool read_only)
{
	int			result = SPI_execute_plan(plan, values, nulls, read_only, 0);

	if (result < 0)
		elog(ERROR, "could not execute a statement: %s", SPI_result_code_string(result));
}

static void
run_fixed(FixedStatement *self, Datum *values, const char *nulls, bool read_only)
{
	static Oid	planned_for;

	find_types();
	if (planned_for != vector_oid)
	{
		/* The extension was made anew; its type has another number now. */
		FixedStatement *const typed[] = {&search_statement, &upsert_statement};

		for (int i = 0; i < lengthof(typed); i++)
		{
			if (typed[i]->plan)
				SPI_freeplan(typed[i]->plan);
			typed[i]->plan = NULL;
		}
		planned_for = vector_oid;
	}
	if (!self->plan)
	{
		Oid			types[8];

		for (int i = 0; i < self->nargs; i++)
			types[i] = argument_type(self->types[i]);
		self->plan = SPI_prepare(self->sql, self->nargs, types);
		if (!self->plan)
			elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(self->plan);
	}
	execute(self->plan, values, nulls, read_only);
}

static void
forget_table_plans(void)
{
	HASH_SEQ_STATUS scan;
	TablePlan  *plan;

	hash_seq_init(&scan, table_plans);
	while ((plan = hash_seq_search(&scan)) != NULL)
	{
		if (plan->plan)
			SPI_freeplan(plan->plan);
		hash_search(table_plans, &plan->key, HASH_REMOVE, NULL);
	}
}

/* The collection's table has this column, for PostgreSQL's own values of time. */
static bool
has_time(Oid relid, const char *name)
{
	AttrNumber	number = get_attnum(relid, name);

	return number > 0 && get_atttype(relid, number) == TIMESTAMPTZOID;
}

/* A time as JSON's text, NULL where a table made by hand has none. */
static const char *
time_sql(bool there, const char *name)
{
	return there ? psprintf("pg_catalog.to_json(t.%s)::pg_catalog.text", name) : "NULL::pg_catalog.text";
}

/*
 * Text of a statement on the row of a collection that has an id.  The casts to
 * json and jsonb make sure that what comes out is JSON, whatever table has the
 * name by the time that the statement runs.
 */
static char *
row_sql(const TablePlan *plan)
{
	const char *table = quote_qualified_identifier(COLLECTION_SCHEMA, plan->key.name);
	const char *where = "WHERE t.id OPERATOR(pg_catalog.=) $1";

	switch ((TableStatementKind) plan->key.kind)
	{
		case TABLE_READ:
			return psprintf("SELECT t.data::pg_catalog.json::pg_catalog.text, t.metadata::pg_catalog.jsonb, %s, %s FROM %s t %s",
							time_sql(plan->created_at, "created_at"), time_sql(plan->updated_at, "updated_at"), table, where);
		case TABLE_EXISTS:
			return psprintf("SELECT FROM %s t %s", table, where);
		case TABLE_DELETE:
			return psprintf("DELETE FROM %s t %s", table, where);
	}
	pg_unreachable();
}

/* Run a statement on the row of a collection that has this id.  relid is needed to read it only. */
static void
run_on_row(const char *collection, Oid relid, TableStatementKind kind, const char *id)
{
	TablePlanKey key = {.kind = kind};
	TablePlan  *plan;
	bool		found;
	bool		created_at = kind == TABLE_READ && has_time(relid, "created_at");
	bool		updated_at = kind == TABLE_READ && has_time(relid, "updated_at");
	Datum		value = CStringGetTextDatum(id);

	strlcpy(key.name, collection, NAMEDATALEN);
	if (hash_get_num_entries(table_plans) >= MAX_TABLE_PLANS)
		forget_table_plans();
	plan = hash_search(table_plans, &key, HASH_ENTER, &found);
	if (!found)
		plan->plan = NULL;
	else if (plan->plan && (plan->created_at != created_at || plan->updated_at != updated_at))
	{
		SPI_freeplan(plan->plan);
		plan->plan = NULL;
	}
	if (!plan->plan)
	{
		Oid			type = TEXTOID;
		SPIPlanPtr	made;

		plan->created_at = created_at;
		plan->updated_at = updated_at;
		made = SPI_prepare(row_sql(plan), 1, &type);
		if (!made)
			elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		plan->plan = made;
	}
	execute(plan->plan, &value, NULL, kind != TABLE_DELETE);
}

static void
run_named(FixedStatement *statement, const char *name, bool read_only)
{
	Datum		value = CStringGetTextDatum(name);

	run_fixed(statement, &value, NULL, read_only);
}

/* ---------------------------------------------------------------------------
 * Building answers
 */

static void
add_header(ApiAnswer *answer, const char *name, const char *value)
{
	appendBinaryStringInfo(&answer->headers, name, strlen(name) + 1);
	appendBinaryStringInfo(&answer->headers, value, strlen(value) + 1);
}

/* JSON has no word for what is not finite. */
static void
append_double(StringInfo out, double value)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (!isfinite(value))
		appendStringInfoString(out, "null");
	else
	{
		double_to_shortest_decimal_buf(value, digits);
		appendStringInfoString(out, digits);
	}
}

/* metadata that is NULL, in a table made by hand, is as if it were empty. */
static void
append_metadata(StringInfo out, Datum value, bool isnull)
{
	if (isnull)
		BodyText(out, "{}");
	else
		BodyJsonb(out, value);
}

/* A text of the result as a C string; NULL where it is NULL. */
static char *
text_column(uint64 row, int number)
{
	bool		isnull;
	Datum		value = SpiColumn(row, number, TEXTOID, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* ---------------------------------------------------------------------------
 * Reading bodies
 */

/* A member of an object: its name in messages, like vectors[3].data. */
typedef struct Place
{
	const char *array;			/* NULL: not within one */
	int			index;
} Place;

static const char *
place_name(const Place *place, const char *field)
{
	if (!place || !place->array)
		return field;
	if (!field)
		return psprintf("%s[%d]", place->array, place->index);
	return psprintf("%s[%d].%s", place->array, place->index, field);
}

/* What came from the client, checked UTF-8, as the database has it. */
static char *
to_server(char *text)
{
	int			encoding = GetDatabaseEncoding();

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return text;
	return pg_any_to_server(text, strlen(text), PG_UTF8);
}

/* The next value must be of this kind; null is as if it were not there. */
static bool
expect(JsonReader *json, JsonKind kind, const Place *place, const char *field, const char *what)
{
	JsonKind	is = json_peek(json);
	JsonSpan	span;

	if (is == JSON_NULL || (is != kind && is != JSON_NONE))
	{
		if (!json_value(json, &span))
			malformed(json);
		if (is == JSON_NULL)
			return false;
		wrong_shape("%s must be %s, not %s", place_name(place, field), what, json_kind_name(is));
	}
	if (is == JSON_NONE)
		malformed(json);
	return true;
}

static char *
read_text(JsonReader *json, const Place *place, const char *field)
{
	JsonSpan	span;
	char	   *text;

	if (!expect(json, JSON_STRING, place, field, "a string"))
		return NULL;
	if (!json_value(json, &span))
		malformed(json);
	text = palloc(span.len);
	if (json_string(json, span, text) < 0)
		malformed(json);
	return to_server(text);
}

static bool
read_double(JsonReader *json, const char *field, double *value)
{
	JsonSpan	span;

	if (!expect(json, JSON_NUMBER, NULL, field, "a number"))
		return false;
	if (!json_value(json, &span))
		malformed(json);
	*value = strtod(pnstrdup(json->data + span.pos, span.len), NULL);
	if (!isfinite(*value))
		wrong_shape("%s is out of range", field);
	return true;
}

static bool
read_int(JsonReader *json, const char *field, int *value)
{
	double		number;

	if (!read_double(json, field, &number))
		return false;
	if (number != floor(number) || number < PG_INT32_MIN || number > PG_INT32_MAX)
		wrong_shape("%s must be a whole number, not %g", field, number);
	*value = (int) number;
	return true;
}

static bool
read_bool(JsonReader *json, const char *field, bool *value)
{
	JsonKind	kind = json_peek(json);
	JsonSpan	span;

	if (!json_value(json, &span))
		malformed(json);
	if (kind == JSON_NULL)
		return false;
	if (kind != JSON_TRUE && kind != JSON_FALSE)
		wrong_shape("%s must be true or false, not %s", field, json_kind_name(kind));
	*value = kind == JSON_TRUE;
	return true;
}

/* Elements go from the text right into the value. */
static Vector *
read_vector(JsonReader *json, const Place *place, const char *field)
{
	size_t		bound;
	Vector	   *vector;
	int			n;

	if (!expect(json, JSON_ARRAY, place, field, "an array of numbers"))
		return NULL;
	bound = Min(json_floats_bound(json), VECTOR_MAX_DIM);
	vector = palloc0(VECTOR_SIZE(bound));
	switch (json_floats(json, vector->x, bound, &n))
	{
		case JSON_FLOATS_OK:
			break;
		case JSON_FLOATS_SYNTAX:
			malformed(json);
		case JSON_FLOATS_NOT_NUMBER:
			wrong_shape("%s[%d] must be a number, not %s", place_name(place, field), n, json_kind_name(json_peek(json)));
		case JSON_FLOATS_NOT_FINITE:
			wrong_shape("%s[%d] is not a finite number", place_name(place, field), n);
		case JSON_FLOATS_RANGE:
			wrong_shape("%s[%d] is out of range for single precision", place_name(place, field), n);
		case JSON_FLOATS_TOO_MANY:
			wrong_shape("%s has more than %d dimensions", place_name(place, field), VECTOR_MAX_DIM);
	}
	if (n == 0)
		wrong_shape("%s must have at least one element", place_name(place, field));
	vector->dim = n;
	SET_VARSIZE(vector, VECTOR_SIZE(n));
	return vector;
}

/* Numbers and values that would grow when they are stored or shown. */
static void
check_stored(JsonReader *json, const Place *place, const char *field)
{
	JsonSpan	number = json->long_number;
	const char *text = json->data + number.pos;

	if (number.len > 0)
	{
		ApiErrorStatus = 422;
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s holds the number %.*s%s, which has %zu digits when it is written out, more than %d",
						place_name(place, field), (int) Min(number.len, 30), text, number.len > 30 ? "..." : "",
						json_number_digits(text, number.len), JSON_MAX_DIGITS),
				 errhint("Send it as a string.")));
	}
	if (json->values > MAX_JSON_VALUES)
		wrong_shape("%s has %zu values, more than %d", place_name(place, field), json->values, MAX_JSON_VALUES);
}

/* An object as jsonb; 0 when it is null.  What it takes to read it is freed, which is many times the result. */
static Datum
read_jsonb(JsonReader *json, const Place *place, const char *field)
{
	JsonSpan	span;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scratch;
	Datum		value;

	if (!expect(json, JSON_OBJECT, place, field, "an object"))
		return (Datum) 0;
	if (!json_value(json, &span))
		malformed(json);
	check_stored(json, place, field);
	scratch = AllocSetContextCreate(context, "vecdb http jsonb", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	value = DirectFunctionCall1(jsonb_in, CStringGetDatum(to_server(pnstrdup(json->data + span.pos, span.len))));
	MemoryContextSwitchTo(context);
	value = datumCopy(value, false, -1);
	MemoryContextDelete(scratch);
	return value;
}

static void
begin_body(const ApiRequest *request, JsonReader *json)
{
	json_begin(json, request->body, request->body_len);
	if (request->body_len == 0)
		refuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "the body is empty; it must be a JSON object");
	if (json_peek(json) == JSON_NONE)
		malformed(json);
	if (json_peek(json) != JSON_OBJECT)
	{
		JsonKind	kind = json_peek(json);
		JsonSpan	span;

		if (!json_value(json, &span) || !json_end(json))
			malformed(json);
		wrong_shape("the body must be an object, not %s", json_kind_name(kind));
	}
	json_enter(json);
}

/* Which field the next member is, by its place in names; -1 at the end. */
static int
next_field(JsonReader *json, bool *first, const char *const *names, unsigned *seen, const Place *place)
{
	JsonSpan	span;

	if (!json_member(json, first, &span))
	{
		if (json->error)
			malformed(json);
		return -1;
	}
	for (int i = 0; names[i]; i++)
	{
		if (!json_is(json, span, names[i]))
			continue;
		if (*seen & (1U << i))
			wrong_shape("%s is given twice", place_name(place, names[i]));
		*seen |= 1U << i;
		return i;
	}
	{
		StringInfoData known;
		int			shown = pg_encoding_mbcliplen(PG_UTF8, json->data + span.pos, Min(span.len, 1000), 100);
		char	   *name = to_server(pnstrdup(json->data + span.pos, shown));

		initStringInfo(&known);
		for (int i = 0; names[i]; i++)
			appendStringInfo(&known, "%s%s", i ? ", " : "", names[i]);
		ApiErrorStatus = 422;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown field %s%s%s", name,
						place && place->array ? " in " : "", place && place->array ? place_name(place, NULL) : ""),
				 errhint("Fields are %s.", known.data)));
	}
}

static void
end_body(JsonReader *json)
{
	if (!json_end(json))
		malformed(json);
}

/* The parameter collection= of the query, or NULL; others are refused. */
static char *
collection_of_query(const ApiRequest *request)
{
	const char *query = request->route.query;
	size_t		len = request->route.query_len;
	char	   *key = palloc(len + 1);
	char	   *value = palloc(len + 1);
	char	   *collection = NULL;
	bool		bad;

	while (route_query_next(&query, &len, key, value, &bad))
	{
		if (bad)
			refuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "the query is not well percent-encoded");
		if (strcmp(key, "collection") != 0 || request->route.id != ROUTE_VECTOR)
			refuse(400, ERRCODE_INVALID_PARAMETER_VALUE, "unknown parameter \"%.100s\"",
				   pg_any_to_server(key, strlen(key), PG_UTF8));
		if (collection)
			refuse(400, ERRCODE_INVALID_PARAMETER_VALUE, "parameter \"collection\" is given twice");
		collection = pstrdup(pg_any_to_server(value, strlen(value), PG_UTF8));
	}
	return collection;
}

/* ---------------------------------------------------------------------------
 * Collections
 */

static Oid
collection_relid(const char *name)
{
	Oid			schema = get_namespace_oid(COLLECTION_SCHEMA, true);

	if (!OidIsValid(schema) || strlen(name) >= NAMEDATALEN)
		return InvalidOid;
	return get_relname_relid(name, schema);
}

/*
 * The table of a collection, which stays as it is until the end of the
 * transaction; an error when no collection has that name.
 */
static Oid
open_collection(const char *name)
{
	Oid			relid;
	bool		isnull;

	run_named(&open_statement, name, true);
	if (SPI_processed != 1)
		elog(ERROR, "vecdb.collection_table() gave no row");
	relid = DatumGetObjectId(SpiColumn(0, 1, REGCLASSOID, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return relid;
}

/*
 * Dimensions of a collection; 0 when there is no such table or it is none.  Who
 * may read nothing of it is told that, not its dimensions.
 */
static int
collection_dimensions(const char *name)
{
	Oid			relid = collection_relid(name);
	Datum		value = ObjectIdGetDatum(relid);
	int			dimensions = 0;
	bool		isnull;

	if (!OidIsValid(relid) ||
		(get_rel_relkind(relid) != RELKIND_RELATION && get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE))
		return 0;
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
	run_fixed(&facts_statement, &value, NULL, false);
	if (SPI_processed == 1)
		dimensions = DatumGetInt32(SpiColumn(0, 1, INT4OID, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return dimensions;
}

/*
 * The collections that a role may read.  Requests that name none need them each
 * time, and to describe every table takes longer than to search one; so the list
 * is kept until the relation cache hears of any change, somebody becomes a member
 * of a role, or another role asks.
 */
typedef struct Named
{
	Oid			relid;
	char		name[NAMEDATALEN];
	int			dimensions;
} Named;

static Named *known;
static int	nknown;
static uint64 known_as_of;		/* changes when the list was made */
static Oid	known_for;			/* the role that asked */
static uint64 changes = 1;		/* heard of; 0 is before all of them */

static void
hear_change(Datum arg, Oid relid)
{
	changes++;
}

static void
hear_membership(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
}

static void
learn_collections(void)
{
	uint64		as_of;
	Named	   *list;
	int			n;

	/*
	 * Whoever commits is visible before the change is heard of.  So a snapshot
	 * that is taken after hearing shows all that was heard, and what commits
	 * later is heard later.  The statement is not called read only, to have
	 * such a snapshot.
	 */
	AcceptInvalidationMessages();
	as_of = changes;
	run_fixed(&list_statement, NULL, NULL, false);
	n = (int) SPI_processed;
	list = MemoryContextAlloc(TopMemoryContext, sizeof(Named) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		list[i].relid = DatumGetObjectId(SpiColumn(i, 1, OIDOID, &isnull));
		strlcpy(list[i].name, NameStr(*DatumGetName(SpiColumn(i, 2, NAMEOID, &isnull))), NAMEDATALEN);
		list[i].dimensions = DatumGetInt32(SpiColumn(i, 3, INT4OID, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	if (known)
		pfree(known);
	known = list;
	nknown = n;
	known_for = GetUserId();

	/* With a snapshot for the whole transaction none of that holds. */
	known_as_of = IsolationUsesXactSnapshot() ? 0 : as_of;
}

/* The collections that the caller may read. */
static int
list_collections(Named **list)
{
	int			n = 0;
	Oid			schema = get_namespace_oid(COLLECTION_SCHEMA, true);

	find_types();
	if (!OidIsValid(schema) ||
		!DatumGetBool(DirectFunctionCall2(has_schema_privilege_id, ObjectIdGetDatum(schema), CStringGetTextDatum("USAGE"))))
		return 0;
	if (known_as_of != changes || known_for != GetUserId())
		learn_collections();
	if (nknown > VecdbMaxCollections)
	{
		ApiErrorStatus = 422;
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there are %d collections, more than %d, which is the most that are looked into at once", nknown, VecdbMaxCollections),
				 errdetail("The limit is the setting vecdb.max_collections."),
				 errhint("Name the collection.")));
	}
	*list = palloc(sizeof(Named) * Max(nknown, 1));
	for (int i = 0; i < nknown; i++)
	{
		bool		gone = false;

		if (pg_class_aclcheck_ext(known[i].relid, GetUserId(), ACL_SELECT, &gone) == ACLCHECK_OK)
			(*list)[n++] = known[i];
	}
	return n;
}

/*
 * A look into one of many collections.  The locks that it takes, of the table and
 * each of its indexes, go with its subtransaction: kept until the end of the
 * transaction, those of some thousand would fill the lock table of the server.
 */
typedef struct Visit
{
	MemoryContext context;
	ResourceOwner owner;
} Visit;

/*
 * Somebody may have dropped, moved or renamed the table since it was listed: false
 * where it is no collection any more.  Under the lock it stays, by its present name.
 */
static bool
begin_visit(Visit *self, Named *collection)
{
	Relation	table;
	bool		there;

	CHECK_FOR_INTERRUPTS();
	self->context = CurrentMemoryContext;
	self->owner = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(self->context);
	table = try_relation_open(collection->relid, AccessShareLock);
	there = table != NULL && RelationGetNamespace(table) == get_namespace_oid(COLLECTION_SCHEMA, true);
	if (there)
		strlcpy(collection->name, RelationGetRelationName(table), NAMEDATALEN);
	if (table != NULL)
		relation_close(table, NoLock);
	return there;
}

/* What the statement gave is gone then. */
static void
end_visit(Visit *self)
{
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(self->context);
	CurrentResourceOwner = self->owner;
}

static void
get_collections(ApiAnswer *answer)
{
	run_fixed(&describe_all_statement, NULL, NULL, true);
	BodyText(&answer->body, "{\"collections\":[");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		if (i > 0)
			BodyText(&answer->body, ",");
		BodyText(&answer->body, text_column(i, 1));
	}
	BodyText(&answer->body, "]}\n");
}

static void
get_collection(const char *name, ApiAnswer *answer, bool read_only)
{
	run_named(&describe_statement, name, read_only);
	if (SPI_processed == 0)
		refuse(404, ERRCODE_UNDEFINED_TABLE, "collection \"%s\" does not exist", name);
	appendStringInfo(&answer->body, "%s\n", text_column(0, 1));
}

static void
create(const char *name, int dimensions, const char *metric, const char *index_type, int *m, int *ef_construction,
	   const char *storage, bool filter_index)
{
	Datum		values[8];
	char		nulls[9] = "        ";

	values[0] = CStringGetTextDatum(name);
	values[1] = Int32GetDatum(dimensions);
	values[2] = metric ? CStringGetTextDatum(metric) : (Datum) 0;
	values[3] = index_type ? CStringGetTextDatum(index_type) : (Datum) 0;
	values[4] = Int32GetDatum(m ? *m : 0);
	values[5] = Int32GetDatum(ef_construction ? *ef_construction : 0);
	values[6] = CStringGetTextDatum(storage ? storage : "vector");
	values[7] = BoolGetDatum(filter_index);
	nulls[2] = metric ? ' ' : 'n';
	nulls[3] = index_type ? ' ' : 'n';
	nulls[4] = m ? ' ' : 'n';
	nulls[5] = ef_construction ? ' ' : 'n';
	run_fixed(&create_statement, values, nulls, false);
	CommandCounterIncrement();
}

static void
post_collection(const ApiRequest *request, ApiAnswer *answer)
{
	static const char *const fields[] = {
		"name", "dimensions", "metric", "index_type", "m", "ef_construction", "storage", "filter_index", NULL
	};
	JsonReader	json;
	unsigned	seen = 0;
	bool		first = true;
	int			field;
	char	   *name = NULL;
	char	   *metric = NULL;
	char	   *index_type = NULL;
	char	   *storage = NULL;
	int			dimensions = 0;
	int			m = 0;
	int			ef_construction = 0;
	bool		has_dimensions = false;
	bool		has_m = false;
	bool		has_ef = false;
	bool		filter_index = false;
	StringInfoData location;

	begin_body(request, &json);
	while ((field = next_field(&json, &first, fields, &seen, NULL)) >= 0)
	{
		switch (field)
		{
			case 0:
				name = read_text(&json, NULL, "name");
				break;
			case 1:
				has_dimensions = read_int(&json, "dimensions", &dimensions);
				break;
			case 2:
				metric = read_text(&json, NULL, "metric");
				break;
			case 3:
				index_type = read_text(&json, NULL, "index_type");
				break;
			case 4:
				has_m = read_int(&json, "m", &m);
				break;
			case 5:
				has_ef = read_int(&json, "ef_construction", &ef_construction);
				break;
			case 6:
				storage = read_text(&json, NULL, "storage");
				break;
			case 7:
				read_bool(&json, "filter_index", &filter_index);
				break;
		}
	}
	end_body(&json);
	if (!name)
		wrong_shape("name is missing");
	if (!has_dimensions)
		wrong_shape("dimensions is missing");
	create(name, dimensions, metric, index_type, has_m ? &m : NULL, has_ef ? &ef_construction : NULL, storage, filter_index);

	answer->status = 201;
	initStringInfo(&location);
	appendStringInfoString(&location, "/collections/");
	for (const char *p = pg_server_to_any(name, strlen(name), PG_UTF8); *p; p++)
	{
		if (isalnum((unsigned char) *p) || strchr("-._~", *p))
			appendStringInfoChar(&location, *p);
		else
			appendStringInfo(&location, "%%%02X", (unsigned char) *p);
	}
	add_header(answer, "Location", location.data);
	/* Not read only: the statement is to see what was just made. */
	get_collection(name, answer, false);
}

static void
delete_collection(const char *name, ApiAnswer *answer)
{
	run_named(&drop_statement, name, false);
	BodyText(&answer->body, "{\"name\":");
	BodyName(&answer->body, name);
	BodyText(&answer->body, ",\"deleted\":true}\n");
}

/* ---------------------------------------------------------------------------
 * Vectors
 */

typedef struct BatchItem
{
	char	   *id;
	Vector	   *data;
	Datum		metadata;		/* 0: none */
	int			next;			/* of the same collection; -1: none */
} BatchItem;

/* A collection's part of the batch: its items in the order of the request. */
typedef struct BatchPart
{
	char		name[NAMEDATALEN];	/* key of the hash table */
	int			first;
	int			last;
	int			n;
} BatchPart;

typedef struct Batch
{
	BatchItem  *items;
	int			n;
	int			size;
	HTAB	   *by_name;		/* of BatchPart */
	BatchPart  *parts[MAX_NAMES];
	int			nparts;
} Batch;

static char *
new_id(void)
{
	uint8		bytes[UUID_LEN];
	static const char digits[] = "0123456789abcdef";
	char	   *id = palloc(37);
	char	   *out = id;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		elog(ERROR, "could not generate random values");
	bytes[6] = (bytes[6] & 0x0f) | 0x40;	/* RFC 9562: version 4 */
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 0x0f];
	}
	*out = '\0';
	return id;
}

/* Add the last item to the part of its collection. */
static void
place_item(Batch *batch, const char *collection, const Place *place)
{
	int			number = batch->n - 1;
	BatchPart  *part;
	bool		found;

	if (strlen(collection) >= NAMEDATALEN)
		wrong_shape("%s has %zu bytes, and no name of a collection more than %d",
					place_name(place, "collection"), strlen(collection), NAMEDATALEN - 1);
	if (!batch->by_name)
	{
		HASHCTL		ctl = {.keysize = NAMEDATALEN,.entrysize = sizeof(BatchPart),.hcxt = CurrentMemoryContext};

		batch->by_name = hash_create("vecdb http batch", MAX_NAMES, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	part = hash_search(batch->by_name, collection, HASH_ENTER, &found);
	batch->items[number].next = -1;
	if (found)
		batch->items[part->last].next = number;
	else
	{
		if (batch->nparts == MAX_NAMES)
			too_many("%s: \"%s\" would be collection %d of the body, which may name %d",
					 place_name(place, "collection"), collection, MAX_NAMES + 1, MAX_NAMES);
		part->first = number;
		part->n = 0;
		batch->parts[batch->nparts++] = part;
	}
	part->last = number;
	part->n++;
}

static void
read_item(JsonReader *json, Batch *batch)
{
	static const char *const fields[] = {"id", "data", "metadata", "collection", NULL};
	Place		place = {"vectors", batch->n};
	BatchItem  *item;
	char	   *collection = NULL;
	unsigned	seen = 0;
	bool		first = true;
	int			field;

	CHECK_FOR_INTERRUPTS();
	if (batch->n == MAX_ROWS)
		too_many("vectors has more than %d elements", MAX_ROWS);
	if (batch->n == batch->size)
	{
		batch->size = Max(batch->size * 2, 64);
		batch->items = batch->items ? repalloc_huge(batch->items, sizeof(BatchItem) * batch->size) :
			palloc(sizeof(BatchItem) * batch->size);
	}
	item = &batch->items[batch->n];
	memset(item, 0, sizeof(*item));
	if (!expect(json, JSON_OBJECT, &place, NULL, "an object"))
		wrong_shape("%s must be an object, not null", place_name(&place, NULL));
	json_enter(json);
	while ((field = next_field(json, &first, fields, &seen, &place)) >= 0)
	{
		switch (field)
		{
			case 0:
				item->id = read_text(json, &place, "id");
				if (item->id && item->id[0] == '\0')
					wrong_shape("%s must not be empty", place_name(&place, "id"));
				if (item->id && strlen(item->id) > COLLECTION_MAX_ID)
					wrong_shape("%s has %zu bytes, more than %d", place_name(&place, "id"), strlen(item->id), COLLECTION_MAX_ID);
				break;
			case 1:
				item->data = read_vector(json, &place, "data");
				break;
			case 2:
				item->metadata = read_jsonb(json, &place, "metadata");
				break;
			case 3:
				collection = read_text(json, &place, "collection");
				break;
		}
	}
	if (!item->data)
		wrong_shape("%s is missing", place_name(&place, "data"));
	if (!item->id)
		item->id = new_id();
	batch->n++;
	place_item(batch, collection ? collection : DEFAULT_COLLECTION, &place);
}

/*
 * The collection's dimensions must be those of every vector that goes there; one
 * that does not exist is made to fit the first of them.
 */
static void
fit_collection(const Batch *batch, const BatchPart *part)
{
	const char *name = part->name;
	int			dimensions;
	bool		created = false;

	/* Another request may be making it; then it is there after the wait. */
	if (!OidIsValid(collection_relid(name)))
		CollectionLockName(name);

	/* What is no collection, or nothing that the caller may know of, the upsert refuses. */
	dimensions = collection_dimensions(name);
	if (dimensions == 0 && OidIsValid(collection_relid(name)))
		return;
	for (int i = part->first; i >= 0; i = batch->items[i].next)
	{
		int			dim = batch->items[i].data->dim;

		if (dimensions == 0)
		{
			dimensions = dim;
			created = true;
		}
		if (dim != dimensions)
			wrong_shape("vectors[%d].data has %d dimensions, collection \"%s\" has %d", i, dim, name, dimensions);
	}
	if (created)
		create(name, dimensions, NULL, NULL, NULL, NULL, NULL, false);
}

static void
upsert_collection(const Batch *batch, const BatchPart *part)
{
	Datum	   *ids = palloc(sizeof(Datum) * part->n);
	Datum	   *data = palloc(sizeof(Datum) * part->n);
	Datum	   *metadata = palloc(sizeof(Datum) * part->n);
	bool	   *no_metadata = palloc(sizeof(bool) * part->n);
	Datum		values[4];
	int			n = 0;
	int			lower = 1;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	for (int i = part->first; i >= 0; i = batch->items[i].next)
	{
		const BatchItem *item = &batch->items[i];

		CHECK_FOR_INTERRUPTS();
		ids[n] = CStringGetTextDatum(item->id);
		data[n] = PointerGetDatum(item->data);
		metadata[n] = item->metadata;
		no_metadata[n] = item->metadata == (Datum) 0;
		n++;
	}
	Assert(n == part->n);
	find_types();
	values[0] = CStringGetTextDatum(part->name);
	values[1] = PointerGetDatum(construct_array(ids, n, TEXTOID, -1, false, TYPALIGN_INT));
	get_typlenbyvalalign(vector_oid, &typlen, &typbyval, &typalign);
	values[2] = PointerGetDatum(construct_array(data, n, vector_oid, typlen, typbyval, typalign));
	values[3] = PointerGetDatum(construct_md_array(metadata, no_metadata, 1, &n, &lower, JSONBOID, -1, false, TYPALIGN_INT));
	run_fixed(&upsert_statement, values, NULL, false);
	SPI_freetuptable(SPI_tuptable);
}

static int
compare_parts(const void *a, const void *b)
{
	return strcmp((*(BatchPart *const *) a)->name, (*(BatchPart *const *) b)->name);
}

static void
post_vectors(const ApiRequest *request, ApiAnswer *answer)
{
	static const char *const fields[] = {"vectors", NULL};
	JsonReader	json;
	Batch		batch = {0};
	unsigned	seen = 0;
	bool		first = true;
	bool		given = false;

	begin_body(request, &json);
	while (next_field(&json, &first, fields, &seen, NULL) >= 0)
	{
		bool		first_item = true;

		if (!expect(&json, JSON_ARRAY, NULL, "vectors", "an array"))
			continue;
		given = true;
		json_enter(&json);
		while (json_element(&json, &first_item))
			read_item(&json, &batch);
		if (json.error)
			malformed(&json);
	}
	end_body(&json);
	if (!given)
		wrong_shape("vectors is missing");

	/* In the order of their names, so that two requests wait for each other instead of deadlocking. */
	qsort(batch.parts, batch.nparts, sizeof(BatchPart *), compare_parts);
	for (int i = 0; i < batch.nparts; i++)
	{
		fit_collection(&batch, batch.parts[i]);
		upsert_collection(&batch, batch.parts[i]);
	}
	answer->status = 201;
	BodyText(&answer->body, "{\"ids\":[");
	for (int i = 0; i < batch.n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			BodyText(&answer->body, ",");
		BodyName(&answer->body, batch.items[i].id);
	}
	BodyText(&answer->body, "]}\n");
}

/* The one collection that has this id, among those the caller may read. */
static char *
find_vector(const char *id)
{
	Named	   *list;
	int			n;
	int			found = 0;
	char	   *name = NULL;
	StringInfoData names;

	initStringInfo(&names);
	n = list_collections(&list);
	for (int i = 0; i < n; i++)
	{
		Visit		visit;
		bool		has;

		has = begin_visit(&visit, &list[i]);
		if (has)
		{
			run_on_row(list[i].name, list[i].relid, TABLE_EXISTS, id);
			has = SPI_processed > 0;
		}
		end_visit(&visit);
		if (!has)
			continue;
		appendStringInfo(&names, "%s\"%s\"", found++ ? ", " : "", list[i].name);
		name = list[i].name;
	}
	if (found == 0)
		refuse(404, ERRCODE_NO_DATA_FOUND, "there is no vector with id \"%s\"", id);
	if (found > 1)
	{
		ApiErrorStatus = 409;
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("several collections have a vector with id \"%s\": %s", id, names.data),
				 errhint("Name one of them: ?collection=NAME.")));
	}
	return name;
}

/* Read or delete the vector that the request names; gives the collection that has it. */
static char *
run_on_vector(const ApiRequest *request, TableStatementKind kind)
{
	char	   *collection = collection_of_query(request);
	bool		named = collection != NULL;

	if (!named)
		collection = find_vector(request->param);
	run_on_row(collection, open_collection(collection), kind, request->param);
	if (SPI_processed == 0 && named)
		refuse(404, ERRCODE_NO_DATA_FOUND, "collection \"%s\" has no vector with id \"%s\"", collection, request->param);
	if (SPI_processed == 0)
		refuse(404, ERRCODE_NO_DATA_FOUND, "there is no vector with id \"%s\"", request->param);
	return collection;
}

static void
get_vector(const ApiRequest *request, ApiAnswer *answer)
{
	StringInfo	out = &answer->body;
	char	   *collection = run_on_vector(request, TABLE_READ);
	char	   *data = text_column(0, 1);
	bool		no_metadata;
	Datum		metadata = SpiColumn(0, 2, JSONBOID, &no_metadata);
	char	   *created_at = text_column(0, 3);
	char	   *updated_at = text_column(0, 4);

	BodyText(out, "{\"id\":");
	BodyName(out, request->param);
	BodyText(out, ",\"collection\":");
	BodyName(out, collection);
	BodyText(out, ",\"data\":");
	BodyText(out, data ? data : "null");
	BodyText(out, ",\"metadata\":");
	append_metadata(out, metadata, no_metadata);
	BodyText(out, ",\"created_at\":");
	BodyText(out, created_at ? created_at : "null");
	BodyText(out, ",\"updated_at\":");
	BodyText(out, updated_at ? updated_at : "null");
	BodyText(out, "}\n");
}

static void
delete_vector(const ApiRequest *request, ApiAnswer *answer)
{
	char	   *collection = run_on_vector(request, TABLE_DELETE);

	BodyText(&answer->body, "{\"id\":");
	BodyName(&answer->body, request->param);
	BodyText(&answer->body, ",\"collection\":");
	BodyName(&answer->body, collection);
	BodyText(&answer->body, ",\"deleted\":true}\n");
}

/* ---------------------------------------------------------------------------
 * Search
 */

typedef struct SearchBody
{
	Vector	   *vector;
	int			k;
	double		threshold;
	bool		has_threshold;
	Datum		filter;
	char	   *collection;
	bool		exact;
	int			ef_search;
	bool		has_ef_search;
} SearchBody;

/* Values are copies, not taken out of the TOAST table before they are shown. */
typedef struct Hit
{
	Datum		id;
	Datum		metadata;
	bool		no_id;
	bool		no_metadata;
	double		score;
	int			place;			/* in the order in which they were found */
	const Named *collection;
} Hit;

typedef struct Hits
{
	Hit		   *hits;
	int			n;
	int			size;
	bool		full;			/* there are as many as are asked for, in order */
	double		worst;			/* the least score of them */
} Hits;

static void
read_search(const ApiRequest *request, SearchBody *body)
{
	static const char *const fields[] = {
		"vector", "k", "threshold", "filter", "exact", "ef_search", "collection", NULL
	};
	JsonReader	json;
	unsigned	seen = 0;
	bool		first = true;
	int			field;

	memset(body, 0, sizeof(*body));
	body->k = DEFAULT_K;
	begin_body(request, &json);
	while ((field = next_field(&json, &first, fields, &seen, NULL)) >= 0)
	{
		switch (field)
		{
			case 0:
				body->vector = read_vector(&json, NULL, "vector");
				break;
			case 1:
				read_int(&json, "k", &body->k);
				break;
			case 2:
				body->has_threshold = read_double(&json, "threshold", &body->threshold);
				break;
			case 3:
				body->filter = read_jsonb(&json, NULL, "filter");
				break;
			case 4:
				read_bool(&json, "exact", &body->exact);
				break;
			case 5:
				body->has_ef_search = read_int(&json, "ef_search", &body->ef_search);
				break;
			case 6:
				body->collection = read_text(&json, NULL, "collection");
				break;
		}
	}
	end_body(&json);
	if (!body->vector)
		wrong_shape("vector is missing");
	if (request->route.id == ROUTE_COLLECTION_SEARCH)
	{
		if (body->collection && strcmp(body->collection, request->param) != 0)
			wrong_shape("collection is \"%s\" in the body and \"%s\" in the path", body->collection, request->param);
		body->collection = pstrdup(request->param);
	}
}

/* Search one collection; its rows are in SPI_tuptable. */
static void
search_collection(const SearchBody *body, const char *collection)
{
	Datum		values[7];
	char		nulls[8] = "       ";

	values[0] = CStringGetTextDatum(collection);
	values[1] = PointerGetDatum(body->vector);
	values[2] = Int32GetDatum(body->k);
	values[3] = Float8GetDatum(body->threshold);
	values[4] = body->filter;
	values[5] = BoolGetDatum(body->exact);
	values[6] = Int32GetDatum(body->ef_search);
	nulls[3] = body->has_threshold ? ' ' : 'n';
	nulls[4] = body->filter ? ' ' : 'n';
	nulls[6] = body->has_ef_search ? ' ' : 'n';
	run_fixed(&search_statement, values, nulls, true);
}

static int
compare_hits(const void *a, const void *b)
{
	const Hit  *x = a;
	const Hit  *y = b;
	int			order;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	order = strcmp(x->collection->name, y->collection->name);
	return order != 0 ? order : x->place - y->place;
}

/* A copy of a value of the result; 0 where it is NULL. */
static Datum
keep_column(uint64 row, int number, Oid type, bool *isnull)
{
	Datum		value = SpiColumn(row, number, type, isnull);

	return *isnull ? (Datum) 0 : datumCopy(value, false, -1);
}

/*
 * Take over what was found, best first, and keep the k best of all: so what is in
 * memory does not grow with the number of collections.
 */
static void
collect_hits(Hits *self, int k, const Named *collection)
{
	int			found = (int) Min(SPI_processed, (uint64) k);

	for (int i = 0; i < found; i++)
	{
		bool		isnull;
		double		score = DatumGetFloat8(SpiColumn(i, 2, FLOAT8OID, &isnull));
		Hit		   *hit;

		if (self->full && score < self->worst)
			break;
		if (self->n == self->size)
		{
			self->size = Max(self->size * 2, 32);
			self->hits = self->hits ? repalloc_huge(self->hits, sizeof(Hit) * self->size) : palloc(sizeof(Hit) * self->size);
		}
		hit = &self->hits[self->n];
		hit->id = keep_column(i, 1, TEXTOID, &hit->no_id);
		hit->metadata = keep_column(i, 3, JSONBOID, &hit->no_metadata);
		hit->score = score;
		hit->place = self->n++;
		hit->collection = collection;
	}
	if (self->n < k)
		return;
	qsort(self->hits, self->n, sizeof(Hit), compare_hits);
	for (; self->n > k; self->n--)
	{
		Hit		   *hit = &self->hits[self->n - 1];

		if (!hit->no_id)
			pfree(DatumGetPointer(hit->id));
		if (!hit->no_metadata)
			pfree(DatumGetPointer(hit->metadata));
	}
	for (int i = 0; i < self->n; i++)
		self->hits[i].place = i;
	self->full = true;
	self->worst = self->hits[k - 1].score;
}

/* Every collection of the vector's dimensions that the caller may read. */
static void
search_all(const SearchBody *body, Hits *hits)
{
	Named	   *list;
	int			n = list_collections(&list);
	int			searched = 0;
	StringInfoData others;

	initStringInfo(&others);
	for (int i = 0; i < n; i++)
	{
		if (list[i].dimensions == body->vector->dim)
		{
			Visit		visit;

			if (begin_visit(&visit, &list[i]))
			{
				search_collection(body, list[i].name);
				collect_hits(hits, body->k, &list[i]);
				searched++;
			}
			end_visit(&visit);
		}
		else if (others.len < 200)
			appendStringInfo(&others, "%s\"%s\" has %d", others.len ? ", " : "", list[i].name, list[i].dimensions);
	}
	if (searched == 0 && n > 0)
	{
		ApiErrorStatus = 422;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("vector has %d dimensions, which no collection has", body->vector->dim),
				 errdetail("Collection %s.", others.data)));
	}
	if (searched > 1)
		qsort(hits->hits, hits->n, sizeof(Hit), compare_hits);
}

static void
append_hit(StringInfo out, const Hit *hit)
{
	Relation	table = NULL;
	bool		apart = (!hit->no_metadata && VARATT_IS_EXTERNAL(DatumGetPointer(hit->metadata))) ||
		(!hit->no_id && VARATT_IS_EXTERNAL(DatumGetPointer(hit->id)));

	/* The lock of the search may be gone, and with it the table, where the value is. */
	if (apart)
	{
		table = try_relation_open(hit->collection->relid, AccessShareLock);
		if (!table)
			refuse(409, ERRCODE_UNDEFINED_TABLE, "collection \"%s\" was dropped during the search", hit->collection->name);
	}
	BodyText(out, "{\"id\":");
	if (hit->no_id)
		BodyText(out, "null");
	else
		BodyTextDatum(out, hit->id);
	BodyText(out, ",\"score\":");
	append_double(out, hit->score);
	BodyText(out, ",\"metadata\":");
	append_metadata(out, hit->metadata, hit->no_metadata);
	BodyText(out, ",\"collection\":");
	BodyName(out, hit->collection->name);
	BodyText(out, "}");
	if (table)
		relation_close(table, AccessShareLock);
}

static void
post_search(const ApiRequest *request, ApiAnswer *answer)
{
	StringInfo	out = &answer->body;
	SearchBody	body;
	Named		one = {0};
	Hits		hits = {0};

	read_search(request, &body);
	if (body.collection)
	{
		int			dimensions = collection_dimensions(body.collection);

		if (dimensions > 0 && dimensions != body.vector->dim)
			wrong_shape("vector has %d dimensions, collection \"%s\" has %d", body.vector->dim, body.collection, dimensions);
		search_collection(&body, body.collection);
		strlcpy(one.name, body.collection, NAMEDATALEN);
		one.relid = collection_relid(body.collection);
		collect_hits(&hits, body.k, &one);
	}
	else
		search_all(&body, &hits);

	BodyText(out, "{\"results\":[");
	for (int i = 0; i < hits.n; i++)
	{
		if (i > 0)
			BodyText(out, ",");
		append_hit(out, &hits.hits[i]);
	}
	BodyText(out, "]}\n");
}

/* ---------------------------------------------------------------------------
 * The rest
 */

static void
get_stats(ApiAnswer *answer)
{
	run_fixed(&stats_statement, NULL, NULL, true);
	if (SPI_processed == 0)
		elog(ERROR, "vecdb.stats() gave no row");
	appendStringInfo(&answer->body, "%s\n", text_column(0, 1));
}

void
NativeApiRun(const ApiRequest *request, ApiAnswer *answer)
{
	HttpMethod	method = request->method == HTTP_HEAD ? HTTP_GET : request->method;

	add_header(answer, "Content-Type", ANSWER_JSON);
	if (request->route.query_len > 0 && request->route.id != ROUTE_VECTOR)
		collection_of_query(request);
	switch (request->route.id)
	{
		case ROUTE_STATS:
			get_stats(answer);
			return;
		case ROUTE_VECTORS:
			post_vectors(request, answer);
			return;
		case ROUTE_VECTOR:
			if (method == HTTP_DELETE)
				delete_vector(request, answer);
			else
				get_vector(request, answer);
			return;
		case ROUTE_SEARCH:
		case ROUTE_COLLECTION_SEARCH:
			post_search(request, answer);
			return;
		case ROUTE_COLLECTIONS:
			if (method == HTTP_POST)
				post_collection(request, answer);
			else
				get_collections(answer);
			return;
		case ROUTE_COLLECTION:
			if (method == HTTP_DELETE)
				delete_collection(request->param, answer);
			else
				get_collection(request->param, answer, true);
			return;
		default:
			refuse(404, ERRCODE_UNDEFINED_OBJECT, "there is no such path");
	}
}

/* A label's value in Prometheus' text. */
static void
append_label(StringInfo out, const char *value)
{
	for (const char *p = value; *p; p++)
	{
		if (*p == '\\' || *p == '"')
			appendStringInfoChar(out, '\\');
		if (*p == '\n')
			appendStringInfoString(out, "\\n");
		else
			appendStringInfoChar(out, *p);
	}
}

void
NativeApiMetrics(ApiAnswer *answer)
{
	StringInfo	out = &answer->body;
	static const char *const names[] = {"vecdb_collection_vectors", "vecdb_collection_index_bytes"};
	static const char *const helps[] = {
		"Rows of a collection, as PostgreSQL's statistics have them.", "Bytes of a collection's indexes, as of their last vacuum or analyze."
	};

	run_fixed(&metrics_statement, NULL, NULL, true);
	for (int i = 0; i < 2; i++)
	{
		appendStringInfo(out, "# HELP %s %s\n# TYPE %s gauge\n", names[i], helps[i], names[i]);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			char	   *name = text_column(row, 1);
			bool		isnull;

			if (!name)
				continue;
			appendStringInfo(out, "%s{collection=\"", names[i]);
			append_label(out, name);
			appendStringInfo(out, "\"} " INT64_FORMAT "\n", DatumGetInt64(SpiColumn(row, 2 + i, INT8OID, &isnull)));
		}
	}
}

void
NativeApiInit(void)
{
	HASHCTL		ctl = {.keysize = sizeof(TablePlanKey),.entrysize = sizeof(TablePlan)};

	table_plans = hash_create("vecdb http plans", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(hear_change, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget_types, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, hear_membership, (Datum) 0);
}
