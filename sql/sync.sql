
-- Nodes.  This follows collection.sql in the install script, and its search_path.
--
-- What a node keeps in tables; keys, and the nodes that it knows, are files below
-- the data directory.  No dump carries these rows: a restored copy is no member.
CREATE TABLE vecdb.shared_collection (
	root bytea PRIMARY KEY CHECK (length(root) = 32),
	"table" oid UNIQUE,
	name text NOT NULL,
	leaving boolean NOT NULL DEFAULT false,
	since timestamptz NOT NULL DEFAULT now(),
	role oid,	-- whose it is while it has no table: who joins, or has left
	paused boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE vecdb.shared_collection IS 'collections that this node is a member of; written by vecdb only';

CREATE TABLE vecdb.membership_statement (
	root bytea NOT NULL,
	statement bytea NOT NULL CHECK (length(statement) = 240),
	PRIMARY KEY (root, statement)
);
COMMENT ON TABLE vecdb.membership_statement IS 'signed statements about their members; written by vecdb only';

-- This node
CREATE FUNCTION vecdb.node_id() RETURNS text
	AS 'MODULE_PATHNAME', 'vecdb_node_id'
	LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION vecdb.node_id() IS 'id of this database as a node of the network';

CREATE FUNCTION vecdb.node_workers(OUT database text, OUT kind text, OUT pid integer, OUT state text, OUT reason text,
		OUT started timestamptz, OUT starts bigint, OUT node_id text, OUT listen text, OUT advertised text[], OUT clone text,
		OUT peers integer, OUT known_nodes integer, OUT messages_sent bigint, OUT messages_received bigint,
		OUT refused bigint, OUT lookups bigint, OUT memory_bytes bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_node_workers'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 2;
COMMENT ON FUNCTION vecdb.node_workers() IS 'behind the view vecdb.stat_workers';

CREATE FUNCTION vecdb.node_links(OUT node_id text, OUT address text, OUT outbound boolean, OUT state text,
		OUT since timestamptz, OUT heard timestamptz, OUT messages_received bigint, OUT messages_sent bigint,
		OUT bytes_received bigint, OUT bytes_sent bigint, OUT dropped bigint, OUT queued_bytes bigint,
		OUT meshes integer, OUT addresses text[]) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_node_links'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 50;
COMMENT ON FUNCTION vecdb.node_links() IS 'behind the view vecdb.stat_peers';

CREATE FUNCTION vecdb.node_table(OUT bucket integer, OUT node_id text, OUT addresses text[], OUT answered timestamptz,
		OUT failures integer, OUT expires timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_node_table'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION vecdb.node_table() IS 'behind the view vecdb.stat_routing_table';

CREATE VIEW vecdb.stat_workers AS SELECT * FROM vecdb.node_workers();
COMMENT ON VIEW vecdb.stat_workers IS 'processes of the nodes of this server, and how they do';
CREATE VIEW vecdb.stat_peers AS SELECT * FROM vecdb.node_links();
COMMENT ON VIEW vecdb.stat_peers IS 'links of this node with others';
CREATE VIEW vecdb.stat_routing_table AS SELECT * FROM vecdb.node_table();
COMMENT ON VIEW vecdb.stat_routing_table IS 'nodes that this one knows to be there';

CREATE FUNCTION vecdb.peers(OUT node_id text, OUT addresses text[], OUT outbound boolean, OUT inbound boolean,
		OUT since timestamptz) RETURNS SETOF record
	LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 50
	BEGIN ATOMIC
		SELECT l.node_id, min(l.addresses), bool_or(l.outbound), bool_or(NOT l.outbound), min(l.since)
		FROM vecdb.node_links() l
		WHERE l.state = 'greeted'
		GROUP BY l.node_id
		ORDER BY l.node_id;
	END;
COMMENT ON FUNCTION vecdb.peers() IS 'nodes that this one is connected with';

CREATE FUNCTION vecdb.lookup(node text, OUT node_id text, OUT addresses text[], OUT expires timestamptz, OUT hops integer,
		OUT requests integer, OUT milliseconds bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_lookup'
	LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION vecdb.lookup(text) IS 'find a node of the network by its id; no row when nobody knows it';

REVOKE ALL ON FUNCTION vecdb.node_workers(), vecdb.node_links(), vecdb.node_table(), vecdb.peers(), vecdb.lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vecdb.node_workers(), vecdb.node_links(), vecdb.node_table(), vecdb.peers(), vecdb.lookup(text) TO pg_monitor;
GRANT SELECT ON vecdb.stat_workers, vecdb.stat_peers, vecdb.stat_routing_table TO pg_monitor;

-- Shared collections: who owns the table decides.
CREATE FUNCTION vecdb.providers(collection text, OUT node_id text, OUT addresses text[], OUT announced timestamptz,
		OUT expires timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_providers'
	LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION vecdb.providers(text) IS 'nodes that announce that they hold a collection, given by name or by id';

CREATE FUNCTION vecdb.invite(collection text, role text DEFAULT 'writer', expires_in interval DEFAULT '7 days') RETURNS text
	AS 'MODULE_PATHNAME', 'vecdb_invite'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.invite(text, text, interval) IS 'a secret text with which one node may join a collection, once';

CREATE FUNCTION vecdb.join(invitation text, name text DEFAULT NULL) RETURNS regclass
	AS 'MODULE_PATHNAME', 'vecdb_join'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.join(text, text) IS 'join the collection of an invitation; creates its table';

CREATE FUNCTION vecdb.replicate("table" regclass, invitation text DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'vecdb_replicate'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.replicate(regclass, text) IS 'share a table, or join the collection of an invitation with it; returns the id of the collection';

CREATE FUNCTION vecdb.leave(collection text) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_leave'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.leave(text) IS 'leave a shared collection; its table stays';

CREATE FUNCTION vecdb.pause(collection text) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_pause'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.pause(text) IS 'keep rows of a shared collection from travelling to and from this node; not undone by ROLLBACK';

CREATE FUNCTION vecdb.resume(collection text) RETURNS void
	AS 'MODULE_PATHNAME', 'vecdb_resume'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION vecdb.resume(text) IS 'let rows of a shared collection travel again; not undone by ROLLBACK';

CREATE FUNCTION vecdb.evict(collection text, node text) RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'vecdb_evict'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION vecdb.evict(text, text) IS 'take a member out of a collection, and all whom it alone let in; returns their ids';

CREATE FUNCTION vecdb.members(collection text, OUT node_id text, OUT role text, OUT admitted_by text, OUT depth integer,
		OUT since timestamptz, OUT expires timestamptz, OUT connected boolean, OUT meshed boolean) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vecdb_members'
	LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION vecdb.members(text) IS 'members of a shared collection';

CREATE VIEW vecdb.shared_collections WITH (security_barrier) AS
SELECT CASE WHEN c.relnamespace = 'collections'::regnamespace THEN c.relname::text ELSE format('%I.%I', n.nspname, c.relname) END AS name,
	encode(sha256(s.root), 'hex') AS id, s.since
FROM vecdb.shared_collection s JOIN pg_class c ON c.oid = s."table" JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT s.leaving AND has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT');
GRANT SELECT ON vecdb.shared_collections TO PUBLIC;
COMMENT ON VIEW vecdb.shared_collections IS 'shared collections that the current user may read';
