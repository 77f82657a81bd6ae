-- Collections.  This follows vecdb.sql in the install script.
--
-- Types and operators are in the schema that CREATE EXTENSION was given; what is
-- below has schemas of fixed names, so the extension cannot be moved.  Bodies of
-- SQL are bound here and now: no search_path of a caller changes what they mean.
--
-- Who creates the extension owns its schema, and may be no superuser.  An operator
-- or function there that fits better than pg_catalog's would be bound, so from here
-- on the path is without it: names of ours are qualified, the rest is pg_catalog's.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Functions and views
CREATE SCHEMA vecdb;
GRANT USAGE ON SCHEMA vecdb TO PUBLIC;
COMMENT ON SCHEMA vecdb IS 'functions and views of vecdb';

-- A table for each collection.  As with the schema public, the owner of the
-- database owns it and decides who else may create in it.
CREATE SCHEMA collections;
ALTER SCHEMA collections OWNER TO pg_database_owner;
GRANT USAGE ON SCHEMA collections TO PUBLIC;
COMMENT ON SCHEMA collections IS 'collections of vecdb: a table each';

-- Named in a constraint of each collection, and executed by its trigger
CREATE FUNCTION vecdb.uses_metric(metric text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'vecdb_uses_metric'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vecdb.uses_metric(text) IS 'true: the metric of a collection, as its constraint';

CREATE FUNCTION vecdb.set_updated_at() RETURNS trigger
	AS 'MODULE_PATHNAME', 'vecdb_set_updated_at'
	LANGUAGE C;
COMMENT ON FUNCTION vecdb.set_updated_at() IS 'trigger of a collection: updated_at becomes now()';

-- Administration
CREATE FUNCTION vecdb.create_collection(name text, dimensions integer, metric text DEFAULT 'cosine',
		index_type text DEFAULT 'hnsw', m integer DEFAULT 16, ef_construction integer DEFAULT 200,
		storage text DEFAULT 'vector', filter_index boolean DEFAULT false) RETURNS regclass
	AS 'MODULE_PATHNAME', 'vecdb_create_collection'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.create_collection(text, integer, text, text, integer, integer, text, boolean) IS 'create a collection: a table in schema collections, with its index';

CREATE FUNCTION vecdb.drop_collection(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_drop_collection'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.drop_collection(text) IS 'drop a collection and its rows';

CREATE FUNCTION vecdb.rename_collection(name text, new_name text) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_rename_collection'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.rename_collection(text, text) IS 'rename a collection';

CREATE FUNCTION vecdb.collection_table(name text) RETURNS regclass
	AS 'MODULE_PATHNAME', 'vecdb_collection_table'
	LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION vecdb.collection_table(text) IS 'the table of a collection; an error when there is none of that name';

-- Rows
CREATE FUNCTION vecdb.upsert(collection text, id text, data @extschema@.vector, metadata jsonb DEFAULT '{}') RETURNS text
	AS 'MODULE_PATHNAME', 'vecdb_upsert'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.upsert(text, text, @extschema@.vector, jsonb) IS 'insert a row, or replace that of the same id; returns the id';

CREATE FUNCTION vecdb.upsert(collection text, items jsonb) RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'vecdb_upsert_items'
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION vecdb.upsert(text, jsonb) IS 'insert or replace rows from [{"id", "data", "metadata"}]; returns the ids';

CREATE FUNCTION vecdb.upsert_batch(collection text, ids text[], data @extschema@.vector[], metadata jsonb[] DEFAULT NULL) RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'vecdb_upsert_batch'
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION vecdb.upsert_batch(text, text[], @extschema@.vector[], jsonb[]) IS 'insert or replace rows from arrays; returns the ids';

CREATE FUNCTION vecdb.search(collection text, query @extschema@.vector, k integer DEFAULT 10,
		threshold double precision DEFAULT NULL, filter jsonb DEFAULT NULL,
		exact boolean DEFAULT false, ef_search integer DEFAULT NULL)
	RETURNS TABLE (id text, score double precision, metadata jsonb)
	AS 'MODULE_PATHNAME', 'vecdb_search'
	LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 10 COST 1000;
COMMENT ON FUNCTION vecdb.search(text, @extschema@.vector, integer, double precision, jsonb, boolean, integer) IS 'the rows of a collection nearest to a vector, best first';

-- What there is
CREATE FUNCTION vecdb.describe("table" regclass, OUT dimensions integer, OUT metric text, OUT index_type text, OUT storage text,
		OUT m integer, OUT ef_construction integer, OUT filter_index boolean) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_describe'
	LANGUAGE C STABLE STRICT PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION vecdb.describe(regclass) IS 'what makes a table a collection; no row where it is none';

CREATE FUNCTION vecdb.count_rows("table" regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'vecdb_count_rows'
	LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION vecdb.count_rows(regclass) IS 'number of rows of a table that the caller sees; NULL where another''s code would have to be run to tell';

-- Counting reads the whole table; a query that does not name rows does not count.
CREATE VIEW vecdb.collections WITH (security_barrier) AS
SELECT c.relname::text AS name, d.dimensions, d.metric, d.index_type, d.storage, d.m, d.ef_construction,
	vecdb.count_rows(c.oid) AS rows,
	pg_table_size(c.oid) AS table_bytes,
	pg_indexes_size(c.oid) AS index_bytes,
	pg_total_relation_size(c.oid) AS total_bytes,
	pg_get_userbyid(c.relowner)::text AS owner,
	d.filter_index
FROM pg_class c, LATERAL vecdb.describe(c.oid) d
WHERE c.relnamespace = 'collections'::regnamespace AND c.relkind IN ('r', 'p')
	AND has_schema_privilege('collections'::regnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT');
GRANT SELECT ON vecdb.collections TO PUBLIC;
COMMENT ON VIEW vecdb.collections IS 'the collections that the current user may read';

CREATE FUNCTION vecdb.collection_info(name text) RETURNS SETOF vecdb.collections
	LANGUAGE sql STABLE STRICT PARALLEL UNSAFE ROWS 1
	BEGIN ATOMIC
		SELECT c.* FROM vecdb.collections c
		WHERE c.name = (SELECT relname::text FROM pg_class WHERE oid = vecdb.collection_table(collection_info.name));
	END;
COMMENT ON FUNCTION vecdb.collection_info(text) IS 'the row of vecdb.collections of that name; an error when there is no such collection';

CREATE FUNCTION vecdb.stats(OUT collections integer, OUT total_vectors bigint,
		OUT storage_size_bytes bigint, OUT index_size_bytes bigint, OUT dimensions integer[],
		OUT hnsw_collections integer, OUT flat_collections integer,
		OUT dead_rows bigint, OUT scans bigint, OUT version text) RETURNS record
	LANGUAGE sql STABLE PARALLEL UNSAFE
	BEGIN ATOMIC
		SELECT count(*)::integer, coalesce(sum(c.rows), 0)::bigint,
			coalesce(sum(c.total_bytes), 0)::bigint, coalesce(sum(c.index_bytes), 0)::bigint,
			coalesce(array_agg(DISTINCT c.dimensions ORDER BY c.dimensions), '{}'),
			(count(*) FILTER (WHERE c.index_type = 'hnsw'))::integer,
			(count(*) FILTER (WHERE c.index_type = 'flat'))::integer,
			coalesce(sum(pg_stat_get_dead_tuples(t.oid)), 0)::bigint,
			coalesce(sum(pg_stat_get_numscans(t.oid) +
				coalesce((SELECT sum(pg_stat_get_numscans(i.indexrelid)) FROM pg_index i WHERE i.indrelid = t.oid), 0)), 0)::bigint,
			(SELECT extversion FROM pg_extension WHERE extname = 'vecdb')
		FROM vecdb.collections c
			LEFT JOIN pg_class t ON t.relname = c.name::name AND t.relnamespace = 'collections'::regnamespace;
	END;
COMMENT ON FUNCTION vecdb.stats() IS 'totals over the collections that the current user may read';

-- pg_stat_get_tuples_hot_updated(): src/index/cut.c
CREATE VIEW vecdb.stat_indexes AS
SELECT i.indrelid AS relid, i.indexrelid, n.nspname AS schemaname, t.relname, c.relname AS indexrelname,
	pg_stat_get_numscans(i.indexrelid) AS scans, pg_stat_get_tuples_hot_updated(i.indexrelid) AS scans_cut
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'hnsw'
	JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.relkind = 'i';
COMMENT ON VIEW vecdb.stat_indexes IS 'scans of hnsw indexes, and how many of them ended before they had found all rows asked for';
GRANT SELECT ON vecdb.stat_indexes TO PUBLIC;
