/*
 * rest_table.c
 *	  Tables and views of the exposed schemas, as the catalogs have them now.
 *
 * There is no cache of ours: PostgreSQL's hear of every change by themselves.
 */
#include "http/rest/rest.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "guc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/* A name that differs in more than a third of its bytes is no hint. */
#define WORTH_A_HINT(len)	((len) / 3 + 1)

#define ANY_USE		(ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE)

char *
RestCopy(RestText text)
{
	return text.at ? pnstrdup(text.at, text.len) : NULL;
}

List *
RestSchemas(void)
{
	List	   *schemas = NIL;

	/* As in search_path: names are folded unless they are quoted. */
	if (!SplitIdentifierString(pstrdup(VecdbHttpSchemas), ',', &schemas) || schemas == NIL)
	{
		ApiErrorStatus = 503;
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("the setting vecdb.http_schemas names no schema")));
	}
	return schemas;
}

/* ---------------------------------------------------------------------------
 * Nearest names
 */

typedef struct Nearest
{
	const char *wanted;
	int			len;
	int			distance;
	char	   *name;			/* NULL: nothing is near */
} Nearest;

static void
nearest_begin(Nearest *self, const char *wanted)
{
	self->wanted = wanted;
	self->len = (int) strlen(wanted);
	self->distance = WORTH_A_HINT(self->len) + 1;
	self->name = NULL;
}

static void
nearest_offer(Nearest *self, const char *name)
{
	int			len = (int) strlen(name);
	int			distance;

	if (self->len >= NAMEDATALEN || len >= NAMEDATALEN)
		return;
	distance = varstr_levenshtein_less_equal(self->wanted, self->len, name, len, 1, 1, 1, self->distance, true);
	if (distance >= self->distance)
		return;
	self->distance = distance;
	self->name = pstrdup(name);
}

/* The most tables of a schema that are looked through for a hint. */
#define HINT_TABLES		1000

static char *
nearest_table(Oid schema, const char *schema_name, const char *wanted)
{
	static const char sql[] =
		"SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) $1 "
		"AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog.\"char\"[]) AND "
		"(pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE') OR "
		"pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')) LIMIT $2";
	Oid			types[] = {OIDOID, INT4OID};
	Datum		values[] = {ObjectIdGetDatum(schema), Int32GetDatum(HINT_TABLES)};
	Nearest		nearest;

	nearest_begin(&nearest, wanted);
	if (SPI_execute_with_args(sql, 2, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for tables");
	for (uint64 i = 0; i < SPI_processed; i++)
		nearest_offer(&nearest, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	return nearest.name ? psprintf("Perhaps you meant the table '%s.%s'", schema_name, nearest.name) : NULL;
}

static bool
may_read_column(Oid relid, AttrNumber number)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck(relid, number, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

static bool
may_read_row(Oid relid)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ALL) == ACLCHECK_OK;
}

/* The most functions that are looked through for a hint. */
#define HINT_FUNCTIONS	1000

/* Offer what RestFindComputed() finds, and the role may use. */
static void
offer_computed(const RestTable *table, Nearest *nearest)
{
	static const char sql[] =
		"SELECT p.proname::pg_catalog.text FROM pg_catalog.pg_proc p WHERE p.pronamespace OPERATOR(pg_catalog.=) $1 "
		"AND p.pronargs OPERATOR(pg_catalog.=) 1 AND p.proargtypes[0] OPERATOR(pg_catalog.=) $2 "
		"AND p.prokind OPERATOR(pg_catalog.=) 'f' AND NOT p.proretset AND p.prorettype OPERATOR(pg_catalog.<>) 'pg_catalog.void'::pg_catalog.regtype "
		"AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE') LIMIT $3";
	Oid			row_type = table->rel->rd_rel->reltype;
	Oid			types[] = {OIDOID, OIDOID, INT4OID};
	Datum		values[] = {ObjectIdGetDatum(table->schema), ObjectIdGetDatum(row_type), Int32GetDatum(HINT_FUNCTIONS)};

	if (!OidIsValid(row_type) || !may_read_row(RelationGetRelid(table->rel)))
		return;
	if (SPI_execute_with_args(sql, 3, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for functions");
	for (uint64 i = 0; i < SPI_processed; i++)
		nearest_offer(nearest, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
}

char *
RestNearestColumn(const RestTable *table, RestText name, bool computed)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	Nearest		nearest;

	nearest_begin(&nearest, RestCopy(name));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && may_read_column(RelationGetRelid(table->rel), att->attnum))
			nearest_offer(&nearest, NameStr(att->attname));
	}
	if (computed)
		offer_computed(table, &nearest);
	return nearest.name ? psprintf("Perhaps you meant the column \"%s\".", nearest.name) : NULL;
}

void
RestNoColumn(const RestTable *table, RestText name, bool computed)
{
	char	   *hint = RestNearestColumn(table, name, computed);

	ApiErrorStatus = 400;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column %s.%s does not exist", table->name, RestShown(RestCopy(name))),
			 hint ? errhint("%s", hint) : 0));
}

/* ---------------------------------------------------------------------------
 * Tables and columns
 */

static void
no_table(Oid schema, const char *schema_name, const char *name)
{
	RestRefuse(404, "PGRST205", psprintf("Could not find the table '%s.%s' in the schema", schema_name, name), NULL,
			   nearest_table(schema, schema_name, name));
}

static bool
may_use(Oid relid)
{
	return pg_class_aclmask(relid, GetUserId(), ANY_USE, ACLMASK_ANY) != 0 ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_INSERT, ACLMASK_ANY) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_UPDATE, ACLMASK_ANY) == ACLCHECK_OK;
}

static bool
is_table(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE || relkind == RELKIND_VIEW ||
		relkind == RELKIND_MATVIEW || relkind == RELKIND_FOREIGN_TABLE;
}

void
RestOpenTable(const char *schema, const char *name, RestTable *self)
{
	Oid			schema_oid = get_namespace_oid(schema, true);
	Oid			relid;

	if (!OidIsValid(schema_oid))
		RestRefuse(406, "PGRST106", psprintf("The schema \"%s\" does not exist", schema), NULL, NULL);
	if (VecdbSchemaCheck(schema_oid, ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, schema);
	relid = strlen(name) < NAMEDATALEN ? get_relname_relid(name, schema_oid) : InvalidOid;
	if (!OidIsValid(relid) || !is_table(get_rel_relkind(relid)))
		no_table(schema_oid, schema, name);
	if (!may_use(relid))
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relid)), name);
	self->rel = try_relation_open(relid, AccessShareLock);

	/* While we waited for the lock it may have been dropped or renamed. */
	if (!self->rel || strcmp(RelationGetRelationName(self->rel), name) != 0 ||
		RelationGetNamespace(self->rel) != schema_oid || !is_table(self->rel->rd_rel->relkind))
		no_table(schema_oid, schema, name);
	self->schema = schema_oid;
	self->schema_name = schema;
	self->name = name;
	self->sql = quote_qualified_identifier(schema, name);
}

AttrNumber
RestFindColumn(const RestTable *table, RestText name)
{
	TupleDesc	desc = RelationGetDescr(table->rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strlen(NameStr(att->attname)) == name.len &&
			memcmp(NameStr(att->attname), name.at, name.len) == 0)
			return att->attnum;
	}
	return InvalidAttrNumber;
}

Oid
RestFindComputed(const RestTable *table, RestText name, Oid *function)
{
	Oid			row_type = table->rel->rd_rel->reltype;
	Oid			result = InvalidOid;
	HeapTuple	tuple;
	oidvector  *arguments;

	if (!OidIsValid(row_type) || name.len >= NAMEDATALEN)
		return InvalidOid;
	arguments = buildoidvector(&row_type, 1);
	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(RestCopy(name)), PointerGetDatum(arguments), ObjectIdGetDatum(table->schema));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);

		if (proc->prokind == PROKIND_FUNCTION && !proc->proretset && proc->prorettype != VOIDOID)
		{
			result = proc->prorettype;
			*function = proc->oid;
		}
		ReleaseSysCache(tuple);
	}
	return result;
}
