/*
 * create.c
 *	  Creating, dropping and renaming collections; what the view shows of them.
 *
 * All of it is ordinary DDL with the rights of the caller.  Every name in a
 * statement is qualified, so search_path has no part in it.
 */
#include "collection/collection.h"
#include "collection/listing.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "guc.h"
#include "index/hnsw/hnsw.h"
#include "spi_column.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* Run DDL made from a format. */
static void pg_attribute_printf(1, 2)
run(const char *format, ...)
{
	StringInfoData text;

	initStringInfo(&text);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&text, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	if (SPI_execute(text.data, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", text.data);
	pfree(text.data);
}

/* Names go into URLs, file names of exports and quoted identifiers: plain ones only. */
static void
check_name(const char *name)
{
	size_t		length = strlen(name);
	bool		good = length > 0 && length < NAMEDATALEN && !(name[0] >= '0' && name[0] <= '9') && name[0] != '-';

	for (size_t i = 0; i < length && good; i++)
		good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
			(name[i] >= '0' && name[i] <= '9') || name[i] == '_' || name[i] == '-';
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name of a collection: \"%s\"", name),
				 errdetail("A name has 1 to %d letters, digits, \"_\" and \"-\", and begins with a letter or \"_\".", NAMEDATALEN - 1)));
}

/* Tables, indexes, views and sequences of a schema share their names. */
static void
check_unused(const char *name)
{
	Oid			relid;

	CollectionLockName(name);
	relid = get_relname_relid(name, get_namespace_oid(COLLECTION_SCHEMA, false));
	if (!OidIsValid(relid))
		return;
	if (CollectionIsTable(get_rel_relkind(relid)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("collection \"%s\" already exists", name)));
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("name \"%s\" is taken in schema %s", name, COLLECTION_SCHEMA),
			 errdetail("It belongs to an index, a view or another relation.")));
}

/*
 * Without a limit, whoever may create collections could make so many that the server
 * is busy with its catalogs alone.  Collections of transactions that have not
 * committed are not counted, so several at once may go beyond the limit.
 */
static void
check_count(void)
{
	int			n = CollectionTables(get_namespace_oid(COLLECTION_SCHEMA, false), VecdbMaxCollections, NULL);

	if (n >= VecdbMaxCollections)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there are %d collections already", n),
				 errdetail("The limit is the setting vecdb.max_collections."),
				 errhint("Drop collections that are not needed, or put rows of several into one and tell them apart by metadata.")));
}

static CollectionMetric
checked_metric(const char *name)
{
	CollectionMetric metric;

	if (!CollectionMetricByName(name, &metric))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown metric \"%s\"", name),
				 errhint("Metrics are cosine, l2 (euclidean), ip (dot_product) and l1 (manhattan).")));
	return metric;
}

/* Which of two words this is: 0 or 1. */
static int
checked_choice(const char *what, const char *value, const char *first, const char *second)
{
	if (pg_strcasecmp(value, first) == 0)
		return 0;
	if (pg_strcasecmp(value, second) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown %s \"%s\"", what, value),
				 errhint("It is %s or %s.", first, second)));
	return 1;
}

static const char *
text_or(FunctionCallInfo fcinfo, int n, const char *otherwise)
{
	return PG_ARGISNULL(n) ? otherwise : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * vecdb.create_collection(name, dimensions, metric, index_type, m, ef_construction, storage, filter_index)
 * NULL for one of metric, index_type, m and ef_construction is the setting vecdb.default_*.
 */
PG_FUNCTION_INFO_V1(vecdb_create_collection);
Datum
vecdb_create_collection(PG_FUNCTION_ARGS)
{
	char	   *name = CollectionTextArgument(fcinfo, 0, "the name of a collection");
	char	   *home;
	char	   *table;
	const char *type;
	int			dimensions;
	CollectionMetric metric;
	bool		flat;
	int			m;
	int			ef_construction;

	check_name(name);
	CollectionNeedArgument(fcinfo, 1, "dimensions");
	dimensions = CollectionIntArgument(fcinfo, 1, 0, "dimensions", 1, COLLECTION_MAX_DIM);
	metric = checked_metric(text_or(fcinfo, 2, VecdbDefaultMetric));
	flat = checked_choice("index type", text_or(fcinfo, 3, VecdbDefaultIndexType), "hnsw", "flat");
	m = CollectionIntArgument(fcinfo, 4, VecdbDefaultM, "m", HNSW_MIN_M, HNSW_MAX_M);
	ef_construction = CollectionIntArgument(fcinfo, 5, VecdbDefaultEfConstruction, "ef_construction",
											HNSW_MIN_EF_CONSTRUCTION, HNSW_MAX_EF_CONSTRUCTION);
	if (!flat && ef_construction < 2 * m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be at least 2 * m, which is %d, not %d", 2 * m, ef_construction)));
	type = checked_choice("storage", text_or(fcinfo, 6, "vector"), "vector", "halfvec") ? "halfvec" : "vector";
	check_unused(name);
	check_count();

	home = CollectionHome();
	table = CollectionQualified(name);
	SPI_connect();
	run("CREATE TABLE %s ("
		"id pg_catalog.text PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid()::pg_catalog.text, "
		"data %s(%d) NOT NULL, "
		"metadata pg_catalog.jsonb NOT NULL DEFAULT '{}', "
		"created_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(), "
		"updated_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(), "
		"CONSTRAINT metric CHECK (vecdb.uses_metric('%s')))",
		table, quote_qualified_identifier(home, type), dimensions, CollectionMetricName(metric));
	run("CREATE TRIGGER updated_at BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION vecdb.set_updated_at()", table);
	if (!flat)
		run("CREATE INDEX ON %s USING hnsw (data %s) WITH (m = %d, ef_construction = %d)",
			table, quote_qualified_identifier(home, psprintf("%s_%s_ops", type, CollectionMetricName(metric))), m, ef_construction);
	if (!PG_ARGISNULL(7) && PG_GETARG_BOOL(7))
		run("CREATE INDEX ON %s USING gin (metadata pg_catalog.jsonb_path_ops)", table);
	SPI_finish();
	PG_RETURN_OID(get_relname_relid(name, get_namespace_oid(COLLECTION_SCHEMA, false)));
}

PG_FUNCTION_INFO_V1(vecdb_drop_collection);
Datum
vecdb_drop_collection(PG_FUNCTION_ARGS)
{
	char	   *name = CollectionTextArgument(fcinfo, 0, "the name of a collection");
	Collection	collection;

	CollectionOpen(name, AccessExclusiveLock, ACL_NO_RIGHTS, &collection);
	SPI_connect();
	run("DROP TABLE %s", CollectionQualified(name));
	SPI_finish();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(vecdb_rename_collection);
Datum
vecdb_rename_collection(PG_FUNCTION_ARGS)
{
	char	   *name = CollectionTextArgument(fcinfo, 0, "the name of a collection");
	char	   *new_name = CollectionTextArgument(fcinfo, 1, "the new name of a collection");
	Collection	collection;

	check_name(new_name);
	CollectionOpen(name, AccessExclusiveLock, ACL_NO_RIGHTS, &collection);
	check_unused(new_name);
	SPI_connect();
	run("ALTER TABLE %s RENAME TO %s", CollectionQualified(name), quote_identifier(new_name));
	SPI_finish();
	PG_RETURN_VOID();
}

/* The table of a collection; an error when there is none of that name. */
PG_FUNCTION_INFO_V1(vecdb_collection_table);
Datum
vecdb_collection_table(PG_FUNCTION_ARGS)
{
	Collection	collection;

	CollectionOpen(CollectionTextArgument(fcinfo, 0, "the name of a collection"), AccessShareLock, ACL_SELECT, &collection);
	PG_RETURN_OID(collection.relid);
}

/*
 * The facts about a table, as one row; no row where it is no collection, where it is
 * gone (the view calls this for what pg_class listed a moment ago), or where the
 * caller may not read it.  A table that the caller may not read is not locked, and
 * the lock of any other is released at the end, since a list may be long.
 */
PG_FUNCTION_INFO_V1(vecdb_describe);
Datum
vecdb_describe(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_GETARG_OID(0);
	Relation	rel;
	Collection	collection;
	Datum		values[7];
	bool		nulls[7] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (!CollectionMayRead(relid))
		return (Datum) 0;
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return (Datum) 0;
	/* rights may have changed while we waited */
	if (CollectionMayRead(relid) && CollectionFacts(relid, &collection))
	{
		values[0] = Int32GetDatum(collection.dimensions);
		values[1] = CStringGetTextDatum(CollectionMetricName(collection.metric));
		values[2] = CStringGetTextDatum(collection.hnsw ? "hnsw" : "flat");
		values[3] = CStringGetTextDatum(collection.half ? "halfvec" : "vector");
		values[4] = Int32GetDatum(collection.m);
		values[5] = Int32GetDatum(collection.ef_construction);
		values[6] = BoolGetDatum(collection.filter_index);
		nulls[4] = nulls[5] = !collection.hnsw;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	relation_close(rel, AccessShareLock);
	return (Datum) 0;
}

/*
 * The expression of a constraint that names the metric of a collection.  It
 * holds for every row; that the metric is one is all that it checks.
 */
PG_FUNCTION_INFO_V1(vecdb_uses_metric);
Datum
vecdb_uses_metric(PG_FUNCTION_ARGS)
{
	checked_metric(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_BOOL(true);
}

/* BEFORE UPDATE FOR EACH ROW: updated_at is the transaction's time. */
PG_FUNCTION_INFO_V1(vecdb_set_updated_at);
Datum
vecdb_set_updated_at(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	int			column;
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	bool		isnull = false;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("vecdb.set_updated_at() must be a trigger BEFORE UPDATE FOR EACH ROW")));

	desc = RelationGetDescr(trigger->tg_relation);
	column = SPI_fnumber(desc, "updated_at");
	if (column <= 0 || TupleDescAttr(desc, column - 1)->atttypid != TIMESTAMPTZOID)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column updated_at of type timestamptz", RelationGetRelationName(trigger->tg_relation))));
	PG_RETURN_POINTER(heap_modify_tuple_by_cols(trigger->tg_newtuple, desc, 1, &column, &now, &isnull));
}
