/*
 * query.c
 *	  vecdb.search(): the nearest rows of a collection.
 *
 * Rows come in the order of the index.  Where one round of the search leaves fewer than
 * k rows, by a filter, a policy or rows that are dead, the scan goes on past ef_search.
 * It may also find fewer than k: it ends at hnsw.max_scan_tuples or at its limit of
 * memory, and zero vectors are not in an index of cosine distance.  Then a second
 * statement reads every row.  If the plan did not use the index, its result was exact,
 * and no second statement follows.
 *
 * With a filter, or for more than ef_search rows, the order of the scan is relaxed, which
 * gives the best of all rows that it has seen; the k rows are sorted here.  Else it is
 * strict, as it is in most sessions: a plan is kept that does not depend on it.
 *
 * A statement with a filter is planned for the values that it is given: whether
 * the index of vectors, that of metadata or none is best depends on how many
 * rows match.
 */
#include "collection/collection.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "collection/filter_jsonb.h"
#include "funcapi.h"
#include "index/access_method.h"
#include "index/cut.h"
#include "index/settings.h"
#include "spi_column.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"

#define DEFAULT_K 10

typedef struct Search
{
	Collection	collection;
	Datum		query;			/* of the type of the column data */
	int			k;
	int			ef_search;
	CompiledFilter filter;
} Search;

/* Columns of a table that was made by hand may be NULL. */
typedef struct Found
{
	Datum		id;
	Datum		metadata;
	double		distance;
	bool		id_null;
	bool		metadata_null;
} Found;

/* ---------------------------------------------------------------------
 * Statements
 * --------------------------------------------------------------------- */

/* "t.data <op> $1", with the operator of the metric */
static char *
distance_sql(const Collection *collection)
{
	return psprintf("t.data OPERATOR(%s.%s) $1", quote_identifier(collection->home),
					CollectionMetricOperator(collection->metric));
}

/* The LIMIT in the statement's text: k rounded up, so that many values of k share a text. */
static int
limit_class(int k)
{
	int			limit = 16;

	while (limit < k)
		limit *= 2;
	return limit;
}

static Statement *
search_statement(const Search *self, StatementKind kind)
{
	const Collection *collection = &self->collection;
	const char *filter = self->filter.sql;
	int			limit = kind == STATEMENT_SEARCH ? limit_class(self->k) : 0;
	int			nargs = 2 + self->filter.nparameters;
	Statement  *statement = StatementFind(collection, kind, limit, filter);
	StringInfoData text;
	char	   *distance;
	Oid		   *types;

	if (statement != NULL)
		return statement;

	distance = distance_sql(collection);
	types = palloc(sizeof(Oid) * nargs);
	types[0] = collection->data_type;
	types[1] = INT4OID;
	if (nargs > 2)
		memcpy(types + 2, self->filter.types, sizeof(Oid) * self->filter.nparameters);
	initStringInfo(&text);

	/* Distance + 0 has the same value, but no index is ordered by it. */
	if (kind == STATEMENT_SEARCH)
		appendStringInfo(&text, "SELECT t.id, %s, t.metadata FROM %s AS t", distance, CollectionQualified(collection->name));
	else
		appendStringInfo(&text, "SELECT t.id, (%s) OPERATOR(pg_catalog.+) 0::pg_catalog.float8, t.metadata FROM %s AS t",
						 distance, CollectionQualified(collection->name));
	if (filter != NULL)
		appendStringInfo(&text, " WHERE %s", filter);
	if (kind == STATEMENT_SEARCH)
		appendStringInfo(&text, " ORDER BY %s LIMIT %d", distance, limit);
	else
		appendStringInfoString(&text, " ORDER BY 2, 1 LIMIT $2");
	return StatementPrepare(collection, kind, limit, filter, text.data, nargs, types,
							CURSOR_OPT_PARALLEL_OK | (filter != NULL ? CURSOR_OPT_CUSTOM_PLAN : CURSOR_OPT_GENERIC_PLAN));
}

/* Run a statement; its rows are in SPI_tuptable.  Tells whether an index of ours was read. */
static bool
run_statement(const Search *self, StatementKind kind)
{
	Statement  *statement = search_statement(self, kind);
	int			nargs = 2 + self->filter.nparameters;
	Datum	   *values = palloc(sizeof(Datum) * nargs);
	int64		scans = IndexScansBegun;

	values[0] = self->query;
	values[1] = Int32GetDatum(self->k);
	if (nargs > 2)
		memcpy(values + 2, self->filter.values, sizeof(Datum) * self->filter.nparameters);

	/* The exact search has a LIMIT of its own; a count given to SPI would rule out parallel workers. */
	if (StatementExecute(statement, values, true, kind == STATEMENT_SEARCH ? self->k : 0) != SPI_OK_SELECT)
		elog(ERROR, "could not execute the search of collection \"%s\"", self->collection.name);
	return IndexScansBegun != scans;
}

/*
 * Run the search through the index, with ef_search and the mode of the scan set
 * for this one statement.  Tells whether the index was read.
 */
static bool
run_index_search(const Search *self, HnswIterativeScan mode)
{
	bool		set_ef = HnswEfSearch() != self->ef_search;
	bool		set_mode = HnswIterativeScanMode() != mode;
	bool		silent = IndexCutsAreSilent;
	int			nest = 0;
	bool		used;

	if (set_ef || set_mode)
		nest = NewGUCNestLevel();
	if (set_ef)
	{
		char		number[12];

		snprintf(number, sizeof(number), "%d", self->ef_search);
		set_config_option("hnsw.ef_search", number, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	if (set_mode)
		set_config_option("hnsw.iterative_scan", mode == HNSW_ITERATIVE_RELAXED ? "relaxed_order" : "strict_order",
						  PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);

	/* what is missing is read from the table */
	PG_TRY();
	{
		IndexCutsAreSilent = true;
		used = run_statement(self, STATEMENT_SEARCH);
	}
	PG_FINALLY();
	{
		IndexCutsAreSilent = silent;
	}
	PG_END_TRY();
	if (nest > 0)
		AtEOXact_GUC(true, nest);
	return used;
}

/* Leave k rows in SPI_tuptable where so many match. */
static void
run_search(const Search *self, bool exact)
{
	const Collection *collection = &self->collection;
	bool		goes_on = self->filter.sql != NULL || self->k > self->ef_search ||
		check_enable_rls(collection->relid, InvalidOid, true) == RLS_ENABLED;

	if (!exact && collection->hnsw)
	{
		if (!run_index_search(self, goes_on ? HNSW_ITERATIVE_RELAXED : HNSW_ITERATIVE_STRICT) ||
			SPI_processed >= (uint64) self->k)
			return;
		SPI_freetuptable(SPI_tuptable);
	}
	run_statement(self, STATEMENT_EXACT);
}

/* ---------------------------------------------------------------------
 * Rows
 * --------------------------------------------------------------------- */

/* More is better; -1 is the score of a vector without a direction. */
static double
score_of(CollectionMetric metric, double distance)
{
	switch (metric)
	{
		case COLLECTION_COSINE:
			return isnan(distance) ? -1 : 1 - distance;
		case COLLECTION_IP:
			return -distance;
		case COLLECTION_L2:
		case COLLECTION_L1:
			return 1 / (1 + distance);
	}
	pg_unreachable();
}

/* By distance, NaN last; equal ones by id. */
static int
compare_found(const void *a, const void *b)
{
	const Found *x = a;
	const Found *y = b;
	int			order = float8_cmp_internal(x->distance, y->distance);

	if (order == 0 && !x->id_null && !y->id_null)
		order = DatumGetInt32(DirectFunctionCall2Coll(bttextcmp, C_COLLATION_OID, x->id, y->id));
	return order;
}

/* Put what was found into the result, best first. */
static void
return_rows(const Search *self, ReturnSetInfo *result, bool has_threshold, double threshold)
{
	Found	   *found = palloc(sizeof(Found) * Max(SPI_processed, 1));
	int			n = 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		distance;
		bool		isnull;

		distance = SpiColumn(i, 2, FLOAT8OID, &isnull);
		if (isnull)
			continue;			/* a row without a vector is never found */
		found[n].distance = DatumGetFloat8(distance);
		found[n].id = SpiColumn(i, 1, TEXTOID, &found[n].id_null);
		found[n].metadata = SpiColumn(i, 3, JSONBOID, &found[n].metadata_null);
		n++;
	}
	qsort(found, n, sizeof(Found), compare_found);
	for (int i = 0; i < Min(n, self->k); i++)
	{
		double		score = score_of(self->collection.metric, found[i].distance);
		Datum		values[3];
		bool		nulls[3] = {found[i].id_null, false, found[i].metadata_null};

		if (has_threshold && !(score >= threshold))
			break;
		values[0] = found[i].id;
		values[1] = Float8GetDatum(score);
		values[2] = found[i].metadata;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* ---------------------------------------------------------------------
 * Arguments
 * --------------------------------------------------------------------- */

static bool
is_zero(const Collection *collection, Datum query)
{
	if (collection->half)
	{
		HalfVector *value = DatumGetHalfVector(query);

		for (int i = 0; i < value->dim; i++)
		{
			if (!HalfIsZero(value->x[i]))
				return false;
		}
	}
	else
	{
		Vector	   *vector = DatumGetVector(query);

		for (int i = 0; i < vector->dim; i++)
		{
			if (vector->x[i] != 0)
				return false;
		}
	}
	return true;
}

/* Check the query against the collection, and make it what the operator takes. */
static Datum
query_argument(FunctionCallInfo fcinfo, int n, const Collection *collection)
{
	Vector	   *vector = PG_GETARG_VECTOR_P(n);
	Datum		query = PointerGetDatum(vector);

	if (vector->dim != collection->dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("query has %d dimensions, collection \"%s\" has %d", vector->dim, collection->name, collection->dimensions)));
	if (collection->half)
		query = DirectFunctionCall3(vector_to_halfvec, query, Int32GetDatum(-1), BoolGetDatum(false));

	/* an element that is too small for a halfvec becomes zero in it */
	if (collection->metric == COLLECTION_COSINE && is_zero(collection, query))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query must not be a zero vector, as collection \"%s\" compares by cosine", collection->name)));
	return query;
}

/* vecdb.search(collection, query, k, threshold, filter, exact, ef_search) */
PG_FUNCTION_INFO_V1(vecdb_search);
Datum
vecdb_search(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = CollectionTextArgument(fcinfo, 0, "the name of a collection");
	bool		has_threshold = !PG_ARGISNULL(3);
	double		threshold = has_threshold ? PG_GETARG_FLOAT8(3) : 0;
	Search		self = {{0}};

	HnswDefineSettings();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	self.k = CollectionIntArgument(fcinfo, 2, DEFAULT_K, "k", 1, COLLECTION_MAX_K);
	if (has_threshold && isnan(threshold))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("threshold must not be NaN")));

	/* The index needs at least k candidates, and takes no more than its limit. */
	self.ef_search = CollectionIntArgument(fcinfo, 6, HnswEfSearch(), "ef_search", 1, HNSW_MAX_EF_SEARCH);
	self.ef_search = Min(Max(self.ef_search, self.k), HNSW_MAX_EF_SEARCH);

	CollectionOpen(name, AccessShareLock, ACL_SELECT, &self.collection);
	CollectionNeedArgument(fcinfo, 1, "query");
	self.query = query_argument(fcinfo, 1, &self.collection);
	if (!PG_ARGISNULL(4))
		CompileFilter(PG_GETARG_JSONB_P(4), 3, &self.filter);

	SPI_connect();
	run_search(&self, !PG_ARGISNULL(5) && PG_GETARG_BOOL(5));
	return_rows(&self, result, has_threshold, threshold);
	SPI_finish();
	return (Datum) 0;
}
