/*
 * upsert.c
 *	  Inserting rows into a collection, or replacing them, by one statement.
 *
 * Rows go in by order of id: two batches with common ids then lock them in the
 * same order and do not deadlock.  UUIDs are made here, so that the ids are
 * known without reading them back.
 */
#include "collection/collection.h"
#include "collection/listing.h"

#include "catalog/pg_type.h"
#include "core/vec/parse.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

typedef struct Placed
{
	text	   *id;
	int			place;			/* in the caller's order */
} Placed;

static int
compare_items(const void *a, const void *b)
{
	const Placed *x = a;
	const Placed *y = b;
	int			nx = VARSIZE_ANY_EXHDR(x->id);
	int			ny = VARSIZE_ANY_EXHDR(y->id);
	int			order = memcmp(VARDATA_ANY(x->id), VARDATA_ANY(y->id), Min(nx, ny));

	CHECK_FOR_INTERRUPTS();
	if (order != 0)
		return order;
	if (nx != ny)
		return nx < ny ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

/* An error about one of several items names it by its place, from 1. */
static int
report_item(int n, int place)
{
	return n > 1 ? errdetail("This is item %d of %d.", place + 1, n) : 0;
}

static Statement *
upsert_statement(const Collection *collection)
{
	Statement  *statement = StatementFind(collection, STATEMENT_UPSERT, 0, NULL);
	Oid			types[3];

	if (statement != NULL)
		return statement;
	types[0] = TEXTARRAYOID;
	types[1] = get_array_type(collection->vector_type);
	types[2] = get_array_type(JSONBOID);

	/* In the target list unnest() gives one row at a time; in FROM all its rows would first be stored. */
	return StatementPrepare(collection, STATEMENT_UPSERT, 0, NULL,
							psprintf("INSERT INTO %s AS t (id, data, metadata)"
									 " SELECT pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)"
									 " ON CONFLICT (id) DO UPDATE SET data = excluded.data, metadata = excluded.metadata",
									 CollectionQualified(collection->name)),
							3, types, CURSOR_OPT_GENERIC_PLAN);
}

static Datum
array_of(Datum *values, int n, Oid type, char align)
{
	return PointerGetDatum(construct_array(values, n, type, -1, false, align));
}

void
CollectionUpsert(const char *name, int n, Datum *ids, Datum *vectors, Datum *metadata)
{
	Collection	collection;
	Placed	   *items = palloc(sizeof(Placed) * Max(n, 1));
	Datum	   *columns[3];
	Datum		arguments[3];
	Datum		empty = (Datum) 0;
	Statement  *statement;
	int			rows = 0;

	CollectionOpen(name, RowExclusiveLock, ACL_SELECT | ACL_INSERT, &collection);
	for (int i = 0; i < n; i++)
	{
		int			dim = DatumGetVector(vectors[i])->dim;

		CHECK_FOR_INTERRUPTS();
		if (dim != collection.dimensions)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("vector has %d dimensions, collection \"%s\" has %d", dim, collection.name, collection.dimensions),
					 report_item(n, i)));
		if (DatumGetPointer(ids[i]) == NULL)
			ids[i] = CStringGetTextDatum(CollectionNewId());
		items[i].id = DatumGetTextPP(ids[i]);
		items[i].place = i;
		if (VARSIZE_ANY_EXHDR(items[i].id) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("an id must not be empty"),
					 report_item(n, i)));
		if (VARSIZE_ANY_EXHDR(items[i].id) > COLLECTION_MAX_ID)
			ereport(ERROR,
					(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
					 errmsg("an id of %zu bytes is too long", (size_t) VARSIZE_ANY_EXHDR(items[i].id)),
					 report_item(n, i),
					 errhint("The limit is %d bytes.", COLLECTION_MAX_ID)));
		if (DatumGetPointer(metadata[i]) != NULL && !JB_ROOT_IS_OBJECT(DatumGetJsonbP(metadata[i])))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("metadata must be a JSON object"),
					 report_item(n, i)));
	}
	if (n == 0)
		return;

	qsort(items, n, sizeof(Placed), compare_items);
	for (int c = 0; c < 3; c++)
		columns[c] = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();

		/* Equal ids are in the caller's order: only the last of them is kept. */
		if (i + 1 < n && VARSIZE_ANY_EXHDR(items[i].id) == VARSIZE_ANY_EXHDR(items[i + 1].id) &&
			memcmp(VARDATA_ANY(items[i].id), VARDATA_ANY(items[i + 1].id), VARSIZE_ANY_EXHDR(items[i].id)) == 0)
			continue;
		columns[0][rows] = PointerGetDatum(items[i].id);
		columns[1][rows] = vectors[items[i].place];
		columns[2][rows] = metadata[items[i].place];
		if (DatumGetPointer(columns[2][rows]) == NULL)
		{
			if (empty == (Datum) 0)
				empty = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
			columns[2][rows] = empty;
		}
		rows++;
	}
	arguments[0] = array_of(columns[0], rows, TEXTOID, TYPALIGN_INT);
	arguments[1] = array_of(columns[1], rows, collection.vector_type, TYPALIGN_INT);
	arguments[2] = array_of(columns[2], rows, JSONBOID, TYPALIGN_INT);

	SPI_connect();
	statement = upsert_statement(&collection);
	if (StatementExecute(statement, arguments, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not execute the upsert into collection \"%s\"", collection.name);
	SPI_finish();
}

/* Return the ids, one row each, in the caller's order. */
static void
return_ids(FunctionCallInfo fcinfo, int n, Datum *ids)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		isnull = false;

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, &ids[i], &isnull);
	}
}

/* vecdb.upsert(collection, id, data, metadata) */
PG_FUNCTION_INFO_V1(vecdb_upsert);
Datum
vecdb_upsert(PG_FUNCTION_ARGS)
{
	char	   *name = CollectionTextArgument(fcinfo, 0, "the name of a collection");
	Datum		id = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	Datum		data;
	Datum		metadata = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);

	CollectionNeedArgument(fcinfo, 2, "data");
	data = PG_GETARG_DATUM(2);
	CollectionUpsert(name, 1, &id, &data, &metadata);
	PG_RETURN_DATUM(id);
}

/*
 * The elements of an array argument; NULL elements are 0.  *n is how many there must
 * be, or -1: any number, which is then put there.  An array that is NULL counts as *n
 * elements that are NULL.
 */
static Datum *
array_elements(FunctionCallInfo fcinfo, int arg, const char *what, int *n)
{
	ArrayType  *array;
	Datum	   *values;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(arg))
		return palloc0(sizeof(Datum) * Max(*n, 1));

	array = PG_GETARG_ARRAYTYPE_P(arg);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s must be a one-dimensional array", what)));
	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &values, &nulls, &count);
	if (*n >= 0 && count != *n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s has %d elements, data has %d", what, count, *n)));
	*n = count;
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			values[i] = (Datum) 0;
	}
	return values;
}

/* vecdb.upsert_batch(collection, ids, data, metadata) */
PG_FUNCTION_INFO_V1(vecdb_upsert_batch);
Datum
vecdb_upsert_batch(PG_FUNCTION_ARGS)
{
	char	   *name = CollectionTextArgument(fcinfo, 0, "the name of a collection");
	int			n = -1;
	Datum	   *vectors;
	Datum	   *ids;
	Datum	   *metadata;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	CollectionNeedArgument(fcinfo, 2, "data");
	vectors = array_elements(fcinfo, 2, "data", &n);
	for (int i = 0; i < n; i++)
	{
		if (DatumGetPointer(vectors[i]) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("data must not be null"),
					 report_item(n, i)));
	}
	ids = array_elements(fcinfo, 1, "ids", &n);
	metadata = array_elements(fcinfo, 3, "metadata", &n);
	CollectionUpsert(name, n, ids, vectors, metadata);
	return_ids(fcinfo, n, ids);
	return (Datum) 0;
}

/* ---------------------------------------------------------------------
 * Items of jsonb
 * --------------------------------------------------------------------- */

static void pg_attribute_noreturn()
report_bad_item(int place, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("item %d %s", place + 1, problem),
			 errhint("An item is an object: {\"id\": text, \"data\": [numbers], \"metadata\": object}, of which data must be there.")));
}

/* A vector from an array of numbers, each rounded once from its decimal digits. */
static Datum
vector_from_jsonb(JsonbContainer *array, int place)
{
	int			dim = JsonContainerSize(array);
	Vector	   *result;

	if (dim < 1 || dim > VECTOR_MAX_DIM)
		report_bad_item(place, psprintf("has %d elements of data, not 1 to %d", dim, VECTOR_MAX_DIM));
	result = NewVector(dim);
	for (int i = 0; i < dim; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);
		char	   *digits;
		size_t		used;
		ParseError	error;

		if (element->type != jbvNumeric)
			report_bad_item(place, psprintf("has something else than a number as element %d of data", i + 1));
		digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(element->val.numeric)));
		if (!parse_float(digits, strlen(digits), &used, &result->x[i], &error))
			report_bad_item(place, psprintf("has a number as element %d of data that is out of range", i + 1));
		pfree(digits);
		pfree(element);
	}
	return PointerGetDatum(result);
}

static void
read_item(JsonbContainer *item, int place, Datum *id, Datum *data, Datum *metadata)
{
	JsonbIterator *it = JsonbIteratorInit(item);
	JsonbIteratorToken token;
	JsonbValue	value;

	*id = *data = *metadata = (Datum) 0;
	token = JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &value, true)) == WJB_KEY)
	{
		char	   *key = pnstrdup(value.val.string.val, value.val.string.len);

		token = JsonbIteratorNext(&it, &value, true);
		if (strcmp(key, "id") == 0)
		{
			if (value.type != jbvString && value.type != jbvNull)
				report_bad_item(place, "has an id that is not a string");
			if (value.type == jbvString)
				*id = PointerGetDatum(cstring_to_text_with_len(value.val.string.val, value.val.string.len));
		}
		else if (strcmp(key, "data") == 0)
		{
			if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
				report_bad_item(place, "has data that is not an array of numbers");
			*data = vector_from_jsonb(value.val.binary.data, place);
		}
		else if (strcmp(key, "metadata") == 0)
		{
			if (value.type == jbvNull)
				continue;
			if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
				report_bad_item(place, "has metadata that is not an object");
			*metadata = PointerGetDatum(JsonbValueToJsonb(&value));
		}
		else
			report_bad_item(place, psprintf("has an unknown key \"%s\"", key));
	}
	if (DatumGetPointer(*data) == NULL)
		report_bad_item(place, "has no data");
}

/* vecdb.upsert(collection, items) */
PG_FUNCTION_INFO_V1(vecdb_upsert_items);
Datum
vecdb_upsert_items(PG_FUNCTION_ARGS)
{
	char	   *name = CollectionTextArgument(fcinfo, 0, "the name of a collection");
	Jsonb	   *items;
	int			n;
	Datum	   *columns[3];

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	CollectionNeedArgument(fcinfo, 1, "items");
	items = PG_GETARG_JSONB_P(1);
	if (!JB_ROOT_IS_ARRAY(items) || JB_ROOT_IS_SCALAR(items))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("items must be an array")));
	n = JB_ROOT_COUNT(items);
	for (int c = 0; c < 3; c++)
		columns[c] = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(&items->root, i);

		CHECK_FOR_INTERRUPTS();
		if (item->type != jbvBinary || !JsonContainerIsObject(item->val.binary.data))
			report_bad_item(i, "is not an object");
		read_item(item->val.binary.data, i, &columns[0][i], &columns[1][i], &columns[2][i]);
	}
	CollectionUpsert(name, n, columns[0], columns[1], columns[2]);
	return_ids(fcinfo, n, columns[0]);
	return (Datum) 0;
}
