-- From 0.1.0 (test/upgrade/vecdb--0.1.0.sql) to 0.2.0.
\echo Use "ALTER EXTENSION vecdb UPDATE TO '0.2.0'" to load this file. \quit

-- The schema that the extension is in may be of one who is hostile: as in
-- collection.sql, names are pg_catalog's unless they are qualified.  OR REPLACE is
-- for members of 0.1.0 in the schema vecdb, where a superuser alone creates.  What
-- is new is created without it, or an object that waits for its name is taken.
SET LOCAL search_path = pg_catalog, pg_temp;

-- What part of the nearest rows an hnsw index finds, and in what time, beside exact
-- answers: with one ef_search, or a row for each of several.
CREATE FUNCTION @extschema@.hnsw_recall(index regclass, sample int DEFAULT 100, k int DEFAULT 10, ef int DEFAULT NULL,
		OUT ef_search int, OUT k int, OUT queries int, OUT rows bigint, OUT recall float8, OUT least_recall float8,
		OUT index_ms float8, OUT index_ms_p95 float8, OUT exact_ms float8)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 1;
CREATE FUNCTION @extschema@.hnsw_recall(index regclass, ef int[], sample int DEFAULT 100, k int DEFAULT 10,
		OUT ef_search int, OUT k int, OUT queries int, OUT rows bigint, OUT recall float8, OUT least_recall float8,
		OUT index_ms float8, OUT index_ms_p95 float8, OUT exact_ms float8)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'hnsw_recall_curve' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 10;

-- Why a query uses an hnsw index or not, and what to change.  The query is planned, not run.
CREATE FUNCTION @extschema@.hnsw_why(query text) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 1000;

COMMENT ON ACCESS METHOD hnsw IS 'nearest neighbors in a hierarchical navigable small world graph';

-- Counts in a subtransaction now, which no parallel query may begin.
ALTER FUNCTION vecdb.count_rows(regclass) PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.count_rows(regclass) IS 'number of rows of a table that the caller sees; NULL where another''s code would have to be run to tell';

-- Bound anew: 0.1.0 resolved their names in the schema that it was created in.
-- What filters rows by rights is a security barrier.
CREATE OR REPLACE VIEW vecdb.collections WITH (security_barrier) AS
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

CREATE OR REPLACE FUNCTION vecdb.collection_info(name text) RETURNS SETOF vecdb.collections
	LANGUAGE sql STABLE STRICT PARALLEL UNSAFE ROWS 1
	BEGIN ATOMIC
		SELECT c.* FROM vecdb.collections c
		WHERE c.name = (SELECT relname::text FROM pg_class WHERE oid = vecdb.collection_table(collection_info.name));
	END;

CREATE OR REPLACE FUNCTION vecdb.stats(OUT collections integer, OUT total_vectors bigint,
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

CREATE OR REPLACE VIEW vecdb.stat_workers AS SELECT * FROM vecdb.node_workers();
CREATE OR REPLACE VIEW vecdb.stat_peers AS SELECT * FROM vecdb.node_links();
CREATE OR REPLACE VIEW vecdb.stat_routing_table AS SELECT * FROM vecdb.node_table();

CREATE OR REPLACE FUNCTION vecdb.peers(OUT node_id text, OUT addresses text[], OUT outbound boolean, OUT inbound boolean,
		OUT since timestamptz) RETURNS SETOF record
	LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 50
	BEGIN ATOMIC
		SELECT l.node_id, min(l.addresses), bool_or(l.outbound), bool_or(NOT l.outbound), min(l.since)
		FROM vecdb.node_links() l
		WHERE l.state = 'greeted'
		GROUP BY l.node_id
		ORDER BY l.node_id;
	END;

ALTER TABLE vecdb.shared_collection ADD COLUMN role oid, ADD COLUMN paused boolean NOT NULL DEFAULT false;

CREATE OR REPLACE VIEW vecdb.shared_collections WITH (security_barrier) AS
SELECT CASE WHEN c.relnamespace = 'collections'::regnamespace THEN c.relname::text ELSE format('%I.%I', n.nspname, c.relname) END AS name,
	encode(sha256(s.root), 'hex') AS id, s.since
FROM vecdb.shared_collection s JOIN pg_class c ON c.oid = s."table" JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT s.leaving AND has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT');

CREATE FUNCTION vecdb.pause(collection text) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_pause'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.pause(text) IS 'keep rows of a shared collection from travelling to and from this node; not undone by ROLLBACK';

CREATE FUNCTION vecdb.resume(collection text) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_resume'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.resume(text) IS 'let rows of a shared collection travel again; not undone by ROLLBACK';

CREATE FUNCTION vecdb.replicate("table" regclass, invitation text DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'vecdb_replicate'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.replicate(regclass, text) IS 'share a table, or join the collection of an invitation with it; returns the id of the collection';

-- Rows of shared collections: as in rows.sql
CREATE TABLE vecdb.row_incarnation (
	root bytea NOT NULL,
	number integer NOT NULL,
	incarnation bytea NOT NULL,
	PRIMARY KEY (root, number)
);
COMMENT ON TABLE vecdb.row_incarnation IS 'lives of nodes that wrote to shared collections, and their numbers here; written by vecdb only';

CREATE TABLE vecdb.row_frontier (
	root bytea PRIMARY KEY,
	frontier bytea NOT NULL,
	floor bytea NOT NULL,
	copied boolean NOT NULL,
	heard bytea
);
COMMENT ON TABLE vecdb.row_frontier IS 'which rows of shared collections are here; written by vecdb only';

CREATE TABLE vecdb.held_row (
	"table" oid NOT NULL,
	key bytea NOT NULL,
	held smallint NOT NULL,
	why smallint NOT NULL,
	since timestamptz NOT NULL,
	text text NOT NULL,
	entry bytea NOT NULL,
	content bytea NOT NULL,
	PRIMARY KEY ("table", key)
);
ALTER TABLE vecdb.held_row ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX held_row_held_idx ON vecdb.held_row ("table", held, key);
COMMENT ON TABLE vecdb.held_row IS 'rows of other nodes that could not go into their tables so far; written by vecdb only';

CREATE TABLE vecdb.row_conflict (
	"table" oid NOT NULL,
	number bigint NOT NULL,
	key bytea NOT NULL,
	clock bigint NOT NULL,
	tie bytea NOT NULL,
	live boolean NOT NULL,
	since timestamptz NOT NULL,
	content bytea NOT NULL,
	PRIMARY KEY ("table", number)
);
ALTER TABLE vecdb.row_conflict ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX row_conflict_key_idx ON vecdb.row_conflict ("table", key);
COMMENT ON TABLE vecdb.row_conflict IS 'rows that lost to newer ones whose writers had not seen them; written by vecdb only';

CREATE TABLE vecdb.schema_change (
	root bytea NOT NULL,
	hash bytea NOT NULL CHECK (length(hash) = 16),
	statement bytea NOT NULL,
	applied integer,	-- which of those that were applied here
	PRIMARY KEY (root, hash)
);
COMMENT ON TABLE vecdb.schema_change IS 'signed changes of the columns of shared collections; written by vecdb only';

CREATE FUNCTION vecdb.check("table" regclass, OUT problem text, OUT hint text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_check'
	LANGUAGE C STABLE STRICT PARALLEL RESTRICTED ROWS 2;
COMMENT ON FUNCTION vecdb.check(regclass) IS 'why a table cannot be shared, and what to do; no row: it can be';

-- Triggers of tables that are shared; on any other they do nothing.
CREATE FUNCTION vecdb.capture_row() RETURNS trigger
	AS 'MODULE_PATHNAME', 'vecdb_capture_row'
	LANGUAGE C;
COMMENT ON FUNCTION vecdb.capture_row() IS 'trigger of a shared table: its rows get versions';

CREATE FUNCTION vecdb.capture_statement() RETURNS trigger
	AS 'MODULE_PATHNAME', 'vecdb_capture_statement'
	LANGUAGE C;
COMMENT ON FUNCTION vecdb.capture_statement() IS 'trigger of a shared table: rows of a statement get versions';

CREATE FUNCTION vecdb.capture_truncate() RETURNS trigger
	AS 'MODULE_PATHNAME', 'vecdb_capture_truncate'
	LANGUAGE C;
COMMENT ON FUNCTION vecdb.capture_truncate() IS 'trigger of a shared table: all its rows are deleted';

CREATE FUNCTION vecdb.verify_versions("table" regclass, OUT key bytea, OUT problem text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_verify_versions'
	LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION vecdb.verify_versions(regclass) IS 'rows of a shared table that are not what their versions say; none where all is well';

CREATE FUNCTION vecdb.verify_collection(collection text, deep boolean DEFAULT false, timeout interval DEFAULT '10 minutes',
		OUT node_id text, OUT key jsonb, OUT problem text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_verify_collection'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION vecdb.verify_collection(text, boolean, interval) IS 'compare a shared collection with each member now: keys that differ, and members that were not compared with; deep: this node''s rows with their versions, too';

CREATE FUNCTION vecdb.rescan("table" regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'vecdb_rescan'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.rescan(regclass) IS 'gives versions to rows of a shared table whose writes have escaped; how many';

CREATE FUNCTION vecdb.alter_collection(collection text, ddl text) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_alter_collection'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.alter_collection(text, text) IS 'change the columns of a shared collection on all of its members';

CREATE FUNCTION vecdb.node_collections(OUT "table" bigint, OUT state text, OUT rows_taken bigint, OUT rows_sent bigint,
		OUT bytes_sent bigint, OUT batches bigint, OUT interrupted bigint, OUT compared bigint, OUT tombstones_forgotten bigint,
		OUT adopted bigint, OUT refused bigint, OUT buffered_bytes bigint, OUT copied bigint, OUT copied_bytes bigint,
		OUT copy_total bigint, OUT copy_began timestamptz, OUT waits_for text, OUT frontier text, OUT fingerprint text,
		OUT fingerprint_of timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_node_collections'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION vecdb.node_collections() IS 'behind the view vecdb.stat_collections';

CREATE FUNCTION vecdb.count_set_aside("table" oid, what text) RETURNS bigint
	AS 'MODULE_PATHNAME', 'vecdb_count_set_aside'
	LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION vecdb.count_set_aside(oid, text) IS 'behind the view vecdb.stat_collections';

-- What HTTP's /stats has beside vecdb.stats()
CREATE FUNCTION vecdb.replication_stats(OUT shared_collections integer, OUT quarantined bigint, OUT parked bigint, OUT conflicts bigint) RETURNS record
	LANGUAGE sql STABLE PARALLEL UNSAFE
	BEGIN ATOMIC
		SELECT count(*)::integer, sum(vecdb.count_set_aside(c.oid, 'quarantined'))::bigint, sum(vecdb.count_set_aside(c.oid, 'parked'))::bigint,
			sum(vecdb.count_set_aside(c.oid, 'conflicts'))::bigint
		FROM pg_class c
		WHERE c.relnamespace = 'collections'::regnamespace AND c.relkind IN ('r', 'p')
			AND has_schema_privilege('collections'::regnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
			AND EXISTS (SELECT FROM pg_class v WHERE v.relnamespace = 'vecdb'::regnamespace AND v.relname = 'version_' || c.oid);
	END;
COMMENT ON FUNCTION vecdb.replication_stats() IS 'shared collections that the current user may read, and what is set aside of those that he owns; NULL: of none';

CREATE VIEW vecdb.stat_collections AS SELECT n."table"::oid::regclass AS name, n.state, n.rows_taken, n.rows_sent, n.bytes_sent, n.batches, n.interrupted, n.compared,
	n.tombstones_forgotten, n.adopted, n.refused, n.buffered_bytes, n.waits_for,
	vecdb.count_set_aside(n."table"::oid, 'quarantined') AS quarantined, vecdb.count_set_aside(n."table"::oid, 'parked') AS parked,
	vecdb.count_set_aside(n."table"::oid, 'conflicts') AS conflicts, n.frontier, n.fingerprint, n.fingerprint_of,
	vecdb.count_set_aside(n."table"::oid, 'tombstones') AS tombstones
FROM vecdb.node_collections() n;
COMMENT ON VIEW vecdb.stat_collections IS 'shared collections whose rows this node has, since its worker started';
CREATE VIEW vecdb.stat_copy AS
SELECT n."table"::oid::regclass AS name,
	CASE WHEN n.state <> 'copying' THEN 'index' WHEN n.copied_bytes = 0 THEN 'waiting' ELSE 'rows' END AS phase,
	CASE WHEN n.state <> 'copying' THEN p.tuples_done ELSE n.copied END AS rows,
	CASE WHEN n.state <> 'copying' THEN p.tuples_total WHEN n.copy_total > 0 THEN greatest(n.copy_total, n.copied) END AS rows_total,
	n.copied_bytes AS bytes, n.interrupted AS sources_lost, n.copy_began AS started,
	CASE WHEN n.state = 'copying' AND n.copied > 0 AND n.copy_total > 0
		THEN date_trunc('second', (now() - n.copy_began) * greatest(n.copy_total - n.copied, 0) / n.copied) END AS remaining
FROM vecdb.node_collections() n
	LEFT JOIN (pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'hnsw')
		ON i.indrelid = n."table"::oid AND NOT i.indisvalid
	LEFT JOIN pg_stat_progress_create_index p ON p.index_relid = i.indexrelid AND p.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
WHERE n.state = 'copying' OR i.indexrelid IS NOT NULL;
COMMENT ON VIEW vecdb.stat_copy IS 'first copies of shared collections under way';
REVOKE ALL ON FUNCTION vecdb.node_collections() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vecdb.node_collections() TO pg_monitor;
GRANT SELECT ON vecdb.stat_collections, vecdb.stat_copy TO pg_monitor;

-- Reading on one node what was written on another
CREATE FUNCTION vecdb.commit_token() RETURNS text
	AS 'MODULE_PATHNAME', 'vecdb_commit_token'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION vecdb.commit_token() IS 'of the last commit of this session that wrote to shared collections; vecdb.wait_for() on another node takes it';

CREATE FUNCTION vecdb.wait_for(token text, timeout interval DEFAULT '10 seconds') RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_wait_for'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.wait_for(text, interval) IS 'wait until this node has what was committed with a token';

CREATE FUNCTION vecdb.wait_for_all(collection text, token text, timeout interval DEFAULT '30 seconds') RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_wait_for_all'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.wait_for_all(text, text, interval) IS 'wait until all members of a collection have what was committed with a token';

-- What could not go into tables, and what has lost: for owners of the tables, who are looked
-- for in the functions.
CREATE FUNCTION vecdb.key_json("table" oid, key bytea) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'vecdb_key_json'
	LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.key_json(oid, bytea) IS 'behind the views vecdb.conflict and vecdb.quarantine';

CREATE FUNCTION vecdb.current_row("table" oid, key bytea) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'vecdb_current_row'
	LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.current_row(oid, bytea) IS 'behind the view vecdb.conflict';

CREATE FUNCTION vecdb.conflict_content("table" oid, id bigint) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'vecdb_conflict_content'
	LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.conflict_content(oid, bigint) IS 'behind the view vecdb.conflict';

CREATE FUNCTION vecdb.conflict_list(OUT "table" oid, OUT id bigint, OUT key bytea, OUT since timestamptz, OUT deleted boolean,
		OUT writer text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_conflict_list'
	LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION vecdb.conflict_list() IS 'behind the view vecdb.conflict';

CREATE FUNCTION vecdb.held_content("table" oid, key bytea) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'vecdb_held_content'
	LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.held_content(oid, bytea) IS 'behind the view vecdb.quarantine';

CREATE FUNCTION vecdb.held_list(OUT "table" oid, OUT key bytea, OUT state text, OUT since timestamptz, OUT reason text,
		OUT error text, OUT deleted boolean, OUT writer text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_held_list'
	LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION vecdb.held_list() IS 'behind the view vecdb.quarantine';

CREATE VIEW vecdb.conflict WITH (security_barrier) AS
SELECT c."table"::regclass AS name, c.id, vecdb.key_json(c."table", c.key) AS key, c.since, c.writer, c.deleted,
	vecdb.conflict_content(c."table", c.id) AS lost, vecdb.current_row(c."table", c.key) AS current
FROM vecdb.conflict_list() c;
GRANT SELECT ON vecdb.conflict TO PUBLIC;
COMMENT ON VIEW vecdb.conflict IS 'rows of your tables that lost to newer ones whose writers had not seen them';

CREATE VIEW vecdb.quarantine WITH (security_barrier) AS
SELECT h."table"::regclass AS name, vecdb.key_json(h."table", h.key) AS key, h.state, h.since, h.reason, h.error, h.writer, h.deleted,
	vecdb.held_content(h."table", h.key) AS incoming
FROM vecdb.held_list() h;
GRANT SELECT ON vecdb.quarantine TO PUBLIC;
COMMENT ON VIEW vecdb.quarantine IS 'rows of other nodes that could not go into your tables';

CREATE FUNCTION vecdb.resolve(id bigint, keep text DEFAULT 'lost') RETURNS text
	AS 'MODULE_PATHNAME', 'vecdb_resolve'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.resolve(bigint, text) IS 'write the row that has lost a conflict as the newest, or keep the current one; the conflict goes';

CREATE FUNCTION vecdb.retry("table" regclass, key jsonb DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_retry'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.retry(regclass, jsonb) IS 'have rows in quarantine tried again now: all of a table, or one';

CREATE FUNCTION vecdb.discard("table" regclass, key jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_discard'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.discard(regclass, jsonb) IS 'do without a row in quarantine on this node, until it is written anew';

CREATE FUNCTION vecdb.node_replication(OUT "table" bigint, OUT node_id text, OUT role text, OUT state text, OUT heard_ms bigint,
		OUT lacks_there bigint, OUT lacks_there_ms bigint, OUT lacks_here bigint, OUT lacks_here_ms bigint,
		OUT rows_sent bigint, OUT bytes_sent bigint, OUT rows_taken bigint, OUT credit_bytes bigint, OUT blocked_by integer,
		OUT reason text, OUT hint text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_node_replication'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION vecdb.node_replication() IS 'behind the view vecdb.stat_replication';

CREATE VIEW vecdb.stat_replication AS
SELECT n."table"::oid::regclass AS name, n.node_id, n.role, n.state, now() - make_interval(secs => n.heard_ms / 1000.0) AS heard,
	n.lacks_there, make_interval(secs => n.lacks_there_ms / 1000) AS lag_there,
	n.lacks_here, make_interval(secs => n.lacks_here_ms / 1000) AS lag_here,
	n.rows_sent, n.bytes_sent, n.rows_taken, n.credit_bytes, n.blocked_by, n.reason, n.hint
FROM vecdb.node_replication() n;
COMMENT ON VIEW vecdb.stat_replication IS 'members of shared collections, and how far they and this node are apart';
REVOKE ALL ON FUNCTION vecdb.node_replication() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vecdb.node_replication() TO pg_monitor;
GRANT SELECT ON vecdb.stat_replication TO pg_monitor;

-- pg_stat_get_tuples_hot_updated(): src/index/cut.c
CREATE VIEW vecdb.stat_indexes AS
SELECT i.indrelid AS relid, i.indexrelid, n.nspname AS schemaname, t.relname, c.relname AS indexrelname,
	pg_stat_get_numscans(i.indexrelid) AS scans, pg_stat_get_tuples_hot_updated(i.indexrelid) AS scans_cut
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'hnsw'
	JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.relkind = 'i';
COMMENT ON VIEW vecdb.stat_indexes IS 'scans of hnsw indexes, and how many of them ended before they had found all rows asked for';
GRANT SELECT ON vecdb.stat_indexes TO PUBLIC;
