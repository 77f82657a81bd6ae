/*
 * api_statement.c
 *	  Statements that requests run, and their plans.
 */
#include "http/api_statement.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "collection/collection.h"
#include "commands/dbcommands.h"
#include "http/api.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Plans of statements that name a table, one for each collection and kind. */
#define MAX_TABLE_PLANS		512

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

Oid			ApiVectorType;
Oid			ApiVectorArrayType;

static bool types_valid;
static HTAB *table_plans;

static void
forget_types(Datum arg, int cacheid, uint32 hashvalue)
{
	types_valid = false;
}

/* The extension's type vector, wherever it is: upsert_batch takes an array of it. */
void
ApiFindTypes(void)
{
	Oid			schema;
	CatCList   *list;

	if (types_valid)
		return;
	ApiVectorType = ApiVectorArrayType = InvalidOid;
	schema = get_namespace_oid("vecdb", true);
	list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum("upsert_batch"));
	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (OidIsValid(schema) && proc->pronamespace == schema && proc->pronargs == 4)
			ApiVectorArrayType = proc->proargtypes.values[2];
	}
	ReleaseSysCacheList(list);
	if (OidIsValid(ApiVectorArrayType))
		ApiVectorType = get_element_type(ApiVectorArrayType);
	if (!OidIsValid(ApiVectorType))
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
			return ApiVectorType;
		case 'V':
			return ApiVectorArrayType;
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

void
ApiRun(ApiStatement *self, Datum *values, const char *nulls, bool read_only)
{
	ApiFindTypes();
	if (self->plan && self->planned_for != ApiVectorType)
	{
		/* The extension was dropped and created again; its types have other oids now. */
		SPI_freeplan(self->plan);
		self->plan = NULL;
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
		self->planned_for = ApiVectorType;
	}
	execute(self->plan, values, nulls, read_only);
}

void
ApiRunNamed(ApiStatement *statement, const char *name, bool read_only)
{
	Datum		value = CStringGetTextDatum(name);

	ApiRun(statement, &value, NULL, read_only);
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

/* Has the collection's table a column of this name with a type of time of PostgreSQL's own? */
static bool
has_time(Oid relid, const char *name)
{
	AttrNumber	number = get_attnum(relid, name);

	return number > 0 && get_atttype(relid, number) == TIMESTAMPTZOID;
}

/* The SQL of a time as the text of JSON; NULL in SQL where a table that was made by hand has no such column. */
static const char *
time_sql(bool there, const char *name)
{
	return there ? psprintf("pg_catalog.to_json(t.%s)::pg_catalog.text", name) : "NULL::pg_catalog.text";
}

static char *
row_columns(bool created_at, bool updated_at)
{
	return psprintf("t.data::pg_catalog.json::pg_catalog.text, t.metadata::pg_catalog.jsonb, %s, %s",
					time_sql(created_at, "created_at"), time_sql(updated_at, "updated_at"));
}

char *
ApiRowColumns(Oid relid)
{
	return psprintf("%s, t.id", row_columns(has_time(relid, "created_at"), has_time(relid, "updated_at")));
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

	switch ((ApiRowStatement) plan->key.kind)
	{
		case TABLE_READ:
			return psprintf("SELECT %s FROM %s t %s", row_columns(plan->created_at, plan->updated_at), table, where);
		case TABLE_EXISTS:
			return psprintf("SELECT FROM %s t %s", table, where);
		case TABLE_DELETE:
			return psprintf("DELETE FROM %s t %s", table, where);
	}
	pg_unreachable();
}

void
ApiRunOnRow(const char *collection, Oid relid, ApiRowStatement kind, const char *id)
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

char *
ApiText(uint64 row, int number)
{
	bool		isnull;
	Datum		value = SpiColumn(row, number, TEXTOID, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

void
ApiStatementInit(void)
{
	HASHCTL		ctl = {.keysize = sizeof(TablePlanKey),.entrysize = sizeof(TablePlan)};

	table_plans = hash_create("vecdb http plans", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterSyscacheCallback(PROCOID, forget_types, (Datum) 0);
}
