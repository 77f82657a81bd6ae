-- Nodes, on a server that has none: who may do what, and what is said when nobody
-- is there to ask.  test/t/050_nodes.pl has the others.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
\set VERBOSITY default
\set SHOW_CONTEXT never

SELECT vecdb.create_collection('shared_here', 3);

-- Nobody to ask
SELECT vecdb.node_id();
SELECT * FROM vecdb.peers();
SELECT * FROM vecdb.stat_peers;
SELECT * FROM vecdb.stat_routing_table;
SELECT * FROM vecdb.stat_workers;
SELECT * FROM vecdb.lookup(repeat('0a', 32));
SELECT * FROM vecdb.providers('shared_here');
SELECT * FROM vecdb.members('shared_here');
SELECT vecdb.invite('shared_here');
SELECT vecdb.join('vecdb1:AAAA');
SELECT vecdb.replicate('collections.shared_here');
SELECT vecdb.leave('shared_here');
SELECT vecdb.evict('shared_here', '00112233');
SELECT * FROM vecdb.shared_collections;

-- Arguments are judged before anybody is asked
SELECT * FROM vecdb.lookup('abc');
SELECT * FROM vecdb.lookup(repeat('xy', 32));
SELECT * FROM vecdb.providers('nowhere');
SELECT * FROM vecdb.providers(repeat('xy', 32));
SELECT vecdb.invite(NULL);
SELECT vecdb.invite('nowhere');
SELECT vecdb.invite('shared_here', 'owner');
SELECT vecdb.invite('shared_here', NULL);
SELECT vecdb.invite('shared_here', 'reader', '-1 day');
SELECT vecdb.invite('shared_here', 'reader', '0.5 s');
SELECT vecdb.join(NULL);
SELECT vecdb.join('vecdb1:AAAA', 'shared_here');
SELECT vecdb.leave('nowhere');
SELECT vecdb.leave(repeat('0a', 32));
SELECT vecdb.replicate(NULL);
SELECT vecdb.replicate(0);
SELECT vecdb.replicate('nowhere');
SELECT vecdb.replicate('vecdb.shared_collections');
SELECT vecdb.replicate('collections.shared_here_pkey', 'vecdb1:AAAA');
CREATE TABLE many_reasons (id bigserial PRIMARY KEY, a integer UNIQUE, b text UNIQUE, c oid);
SELECT vecdb.replicate('many_reasons');
DROP TABLE many_reasons;
SELECT vecdb.evict('shared_here', '0011');
SELECT vecdb.evict('shared_here', 'nobody at all');
SELECT vecdb.evict('nowhere', '00112233');

-- Other nodes see only what is committed
BEGIN;
SELECT vecdb.create_collection('shared_later', 3);
SELECT vecdb.invite('shared_later');
ROLLBACK;
BEGIN;
CREATE TABLE shared_later (id text PRIMARY KEY);
SELECT vecdb.replicate('shared_later');
ROLLBACK;

-- Nothing is promised to others in a transaction that may not write
BEGIN READ ONLY;
SELECT vecdb.invite('shared_here');
ROLLBACK;
BEGIN READ ONLY;
SELECT vecdb.join('vecdb1:AAAA');
ROLLBACK;
BEGIN READ ONLY;
SELECT vecdb.replicate('collections.shared_here');
ROLLBACK;
BEGIN READ ONLY;
SELECT vecdb.leave('shared_here');
ROLLBACK;
BEGIN READ ONLY;
SELECT vecdb.evict('shared_here', '00112233');
ROLLBACK;

-- Privileges: to share is the owner's, to watch is pg_monitor's
CREATE ROLE regress_vecdb_node;
SET ROLE regress_vecdb_node;
SELECT * FROM vecdb.peers();
SELECT * FROM vecdb.stat_peers;
SELECT * FROM vecdb.stat_routing_table;
SELECT * FROM vecdb.stat_workers;
SELECT * FROM vecdb.lookup(repeat('0a', 32));
SELECT * FROM vecdb.providers(repeat('0a', 32));
SELECT * FROM vecdb.providers('shared_here');
SELECT * FROM vecdb.members('shared_here');
SELECT vecdb.invite('shared_here');
SELECT vecdb.leave('shared_here');
SELECT vecdb.evict('shared_here', '00112233');
SELECT vecdb.join('vecdb1:AAAA');
SELECT vecdb.replicate('collections.shared_here');
SELECT vecdb.replicate('collections.shared_here', 'vecdb1:AAAA');
SELECT * FROM vecdb.shared_collection;
SELECT * FROM vecdb.membership_statement;
SELECT * FROM vecdb.shared_collections;
RESET ROLE;
GRANT pg_monitor TO regress_vecdb_node;
GRANT SELECT ON collections.shared_here TO regress_vecdb_node;
SET ROLE regress_vecdb_node;
SELECT * FROM vecdb.stat_workers;
SELECT * FROM vecdb.peers();
SELECT * FROM vecdb.providers('shared_here');
SELECT * FROM vecdb.members('shared_here');
SELECT vecdb.invite('shared_here');
RESET ROLE;
DROP OWNED BY regress_vecdb_node;
DROP ROLE regress_vecdb_node;

-- Settings
SELECT name, setting, unit, context FROM pg_settings
WHERE name IN ('vecdb.node_databases', 'vecdb.listen', 'vecdb.p2p_port', 'vecdb.advertise', 'vecdb.bootstrap', 'vecdb.lan_discovery',
	'vecdb.network_id', 'vecdb.key_file', 'vecdb.max_peers', 'vecdb.max_shared_collections_per_role', 'vecdb.mesh_degree', 'vecdb.max_clock_skew', 'vecdb.limit_private_subnets')
ORDER BY name;

-- No dump carries keys or members
SELECT extconfig FROM pg_extension WHERE extname = 'vecdb';

SELECT vecdb.drop_collection('shared_here');
