/*
 * admin.c
 *	  What an executor does for the admin port: the part of /metrics about
 *	  collections and the database as a node, in Prometheus' text format.
 */
#include "http/admin/admin.h"

#include "http/api_statement.h"
#include "node/node_metrics.h"

/* From the catalog alone: the size of a file would take a lock of each table, and wait for whoever holds one. */
static ApiStatement metrics_statement = {
	"SELECT c.relname::pg_catalog.text, CASE WHEN pg_catalog.pg_stat_get_tuples_inserted(c.oid) OPERATOR(pg_catalog.>) 0 "
	"THEN pg_catalog.pg_stat_get_live_tuples(c.oid) ELSE pg_catalog.int8(greatest(c.reltuples, 0)) END, "
	"coalesce((SELECT pg_catalog.sum(x.relpages) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x "
	"ON x.oid OPERATOR(pg_catalog.=) i.indexrelid WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid), 0) "
	"OPERATOR(pg_catalog.*) pg_catalog.int8(pg_catalog.current_setting('block_size')) "
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace "
	"WHERE n.nspname OPERATOR(pg_catalog.=) 'collections' AND c.relkind OPERATOR(pg_catalog.=) 'r' ORDER BY 1", 0, ""
};

/* The front puts what it counted itself before this. */
static void
run(const ApiRequest *request, ApiAnswer *answer)
{
	StringInfo	out = &answer->body;
	static const char *const names[] = {"vecdb_collection_vectors", "vecdb_collection_index_bytes"};
	static const char *const helps[] = {
		"Rows of a collection, as PostgreSQL's statistics have them.", "Bytes of a collection's indexes, as of their last vacuum or analyze."
	};

	ApiRun(&metrics_statement, NULL, NULL, true);
	for (int i = 0; i < 2; i++)
	{
		appendStringInfo(out, "# HELP %s %s\n# TYPE %s gauge\n", names[i], helps[i], names[i]);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			char	   *name = ApiText(row, 1);
			bool		isnull;

			if (!name)
				continue;
			appendStringInfo(out, "%s{collection=\"", names[i]);
			MetricsAppendLabel(out, name);
			appendStringInfo(out, "\"} " INT64_FORMAT "\n", DatumGetInt64(SpiColumn(row, 2 + i, INT8OID, &isnull)));
		}
	}
	NodeMetrics(out);
}

/* The front goes without this part, whatever the error is. */
static int
error_status(int sqlerrcode)
{
	return 500;
}

const ApiSurface admin_api = {
	.run = run,
	.error_status = error_status,
	.as_executor = true
};
