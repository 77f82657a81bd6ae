
-- Rows of shared collections.  This follows sync.sql in the install script, and its
-- search_path.
--
-- What a node keeps of each collection besides its rows and their versions; written by
-- table and index access only (src/node/node_table.c), and in no dump.
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

-- Which tables can be shared
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
		OUT copy_total bigint, OUT copy_began timestamptz, OUT waits_for text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_node_collections'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION vecdb.node_collections() IS 'behind the view vecdb.stat_collections';

CREATE VIEW vecdb.stat_collections AS SELECT n."table"::oid::regclass AS name, n.state, n.rows_taken, n.rows_sent, n.bytes_sent, n.batches, n.interrupted, n.compared,
	n.tombstones_forgotten, n.adopted, n.refused, n.buffered_bytes, n.waits_for
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
