-- hnsw_why: why a query uses an hnsw index or not, and what to change
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
\set VERBOSITY terse
CREATE TABLE hw (id int, tenant int, v vector(4), w vector);
INSERT INTO hw SELECT i, i % 50, ARRAY[sin(i), cos(i), sin(i * 0.7), cos(i * 0.3)]::vector, '[1,2,3,4]' FROM generate_series(1, 5000) i;
CREATE INDEX hw_l2 ON hw USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8);
CREATE INDEX hw_half ON hw USING hnsw ((v::halfvec(4)) halfvec_cosine_ops) WITH (m = 4, ef_construction = 8);
CREATE INDEX hw_tenant_7 ON hw USING hnsw (v vector_l1_ops) WHERE tenant = 7;
CREATE INDEX hw_id ON hw (id);
CREATE TABLE hw_small (id int, u vector(2));
INSERT INTO hw_small SELECT i, ARRAY[i, 1]::vector FROM generate_series(1, 5) i;
CREATE INDEX hw_small_u ON hw_small USING hnsw (u vector_l2_ops);
ANALYZE hw, hw_small;
-- costs differ from one version to the next, and before 18 those of what is disabled are none
CREATE FUNCTION why(query text) RETURNS text LANGUAGE sql AS
	$$SELECT regexp_replace(hnsw_why(query), ' \(cost [0-9]+, with the index [0-9]+\)', '')$$;
SET hnsw.iterative_scan = off;
\pset format unaligned
\pset tuples_only

-- the index is used, and how many rows can come
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT why($$SELECT id FROM hw ORDER BY v <-> '[0,1,0,1]' LIMIT 3$$);
SELECT why($$EXPLAIN (ANALYZE) SELECT id FROM hw ORDER BY v <-> $1 LIMIT 40$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1 LIMIT 190 OFFSET 10$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1 LIMIT 2000$$);
SELECT why($$SELECT id FROM hw WHERE tenant < 5 ORDER BY v <-> $1 LIMIT 5$$);
SELECT why($$SELECT id FROM hw WHERE v <-> $1 < 0.5 ORDER BY v <-> $1 LIMIT 20$$);
SELECT why($$SELECT id FROM hw WHERE tenant = 7 ORDER BY v <+> $1 LIMIT 3$$);
SELECT why($$SELECT id FROM hw ORDER BY v::halfvec(4) <=> $1 LIMIT 3$$);
SELECT why($$SELECT * FROM (SELECT id, v <-> $1 AS d FROM hw) s ORDER BY d LIMIT 20$$);
SELECT why($$SELECT * FROM (SELECT id, v <-> $1 AS d FROM hw ORDER BY d LIMIT 20) s ORDER BY d + 0$$);
SELECT why($$WITH n AS (SELECT id, v <-> $1 AS d FROM hw) SELECT * FROM n ORDER BY d LIMIT 5$$);
SELECT why($$SELECT q.id, n.id FROM hw_small q, LATERAL (SELECT id FROM hw ORDER BY v <-> (q.u::real[] || '{1,2}')::vector LIMIT 3) n$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> (SELECT v FROM hw WHERE id = 7) LIMIT 5$$);
SELECT why($$INSERT INTO hw_small SELECT id, '[1,2]' FROM hw ORDER BY v <-> $1 LIMIT 2$$);
SELECT why($$DELETE FROM hw WHERE id IN (SELECT id FROM hw ORDER BY v <-> $1 LIMIT 2)$$);
SET hnsw.iterative_scan = strict_order;
SELECT why($$SELECT id FROM hw WHERE tenant < 5 ORDER BY v <-> $1 LIMIT 500$$);
SET hnsw.iterative_scan = off;
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT count(*) FROM hw_small;

-- another order than an index gives
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1 DESC LIMIT 3$$);
SELECT why($$SELECT id, 1 - (v <-> $1) AS similarity FROM hw ORDER BY similarity DESC LIMIT 3$$);
SELECT why($$SELECT id FROM hw ORDER BY l2_distance(v, $1) LIMIT 3$$);
SELECT why($$SELECT id FROM hw ORDER BY tenant, v <-> $1 LIMIT 3$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1 NULLS FIRST LIMIT 3$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1, id LIMIT 3$$) ~ 'orders by more than the distance.* index hw_l2|uses the hnsw index hw_l2';
-- no order by a distance
SELECT why($$SELECT id, v <-> $1 FROM hw$$);
SELECT why($$SELECT id FROM hw WHERE v <+> $1 < 0.5$$);
SELECT why($$SELECT id FROM hw WHERE v <-> $1 < 1e-9$$);
SET hnsw.iterative_scan = strict_order;
SELECT why($$SELECT id FROM hw WHERE v <-> $1 < 1e-9$$);
SET hnsw.iterative_scan = off;
SELECT why($$SELECT id FROM hw ORDER BY id LIMIT 3$$);

-- another index than the query wants
SELECT why($$SELECT id FROM hw ORDER BY v <#> $1 LIMIT 3$$);
SELECT why($$SELECT id FROM hw ORDER BY v::halfvec <=> $1 LIMIT 3$$);
SELECT why($$SELECT id FROM hw ORDER BY v <=> $1 LIMIT 3$$);
SELECT why($$SELECT id FROM hw ORDER BY w <-> $1 LIMIT 3$$);
SELECT why($$SELECT id FROM hw WHERE tenant = 6 ORDER BY v <+> $1 LIMIT 3$$);
SELECT why($$SELECT id FROM hw WHERE tenant = $2 ORDER BY v <+> $1 LIMIT 3$$);
CREATE TABLE hw_broken (v vector);
SELECT why($$SELECT 1 FROM hw_broken ORDER BY v <-> $1 LIMIT 3$$);
SELECT why($$SELECT 1 FROM hw_broken ORDER BY v::vector(3) <-> $1 LIMIT 3$$);
INSERT INTO hw_broken VALUES ('[1,2,3]'), ('[1,2]');
CREATE INDEX CONCURRENTLY hw_broken_v ON hw_broken USING hnsw ((v::vector(3)) vector_l2_ops);
SELECT why($$SELECT 1 FROM hw_broken ORDER BY v::vector(3) <-> $1 LIMIT 3$$);

-- something between the table and the order
SELECT why($$SELECT tenant, min(v <-> $1) FROM hw GROUP BY tenant ORDER BY 2 LIMIT 5$$);
SELECT why($$SELECT DISTINCT tenant, v <-> $1 AS d FROM hw ORDER BY d LIMIT 5$$) ~ 'There is DISTINCT between|uses the hnsw index hw_l2.* fewer may come';
SELECT why($$SELECT * FROM (SELECT DISTINCT tenant, v FROM hw) h ORDER BY v <-> $1 LIMIT 5$$);
SELECT why($$SELECT id, v <-> $1 AS d FROM hw INTERSECT SELECT id, u <-> $2 FROM hw_small ORDER BY d LIMIT 5$$);
SELECT why($$SELECT id, row_number() OVER (ORDER BY id), v <-> $1 AS d FROM hw ORDER BY d LIMIT 5$$);
SELECT why($$WITH m AS MATERIALIZED (SELECT * FROM hw) SELECT id FROM m ORDER BY v <-> $1 LIMIT 5$$);
SELECT why($$SELECT id FROM (SELECT * FROM hw LIMIT 1000) m ORDER BY v <-> $1 LIMIT 5$$);
CREATE VIEW hw_view AS SELECT * FROM hw;
CREATE VIEW hw_barrier WITH (security_barrier) AS SELECT * FROM hw WHERE tenant < 40;
SELECT why($$SELECT id FROM hw_view ORDER BY v <-> $1 DESC LIMIT 5$$);
SELECT why($$SELECT id FROM hw_barrier ORDER BY v <-> $1 LIMIT 5$$);
SELECT why($$SELECT h.id FROM hw_small s LEFT JOIN hw h USING (id) ORDER BY h.v <-> $1 LIMIT 5$$);
SELECT why($$SELECT id FROM hw TABLESAMPLE SYSTEM (10) ORDER BY v <-> $1 LIMIT 5$$);
SELECT why($$SELECT id FROM hw a FULL JOIN hw b USING (id, v) ORDER BY v <-> $1 LIMIT 5$$);
SELECT why($$SELECT v FROM (VALUES ('[1,2]'::vector)) x (v) ORDER BY v <-> $1 LIMIT 2$$);

-- no one value to search for
SELECT why($$SELECT a.id FROM hw a, hw b ORDER BY a.v <-> b.v LIMIT 5$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> w LIMIT 5$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> NULL LIMIT 5$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> ARRAY[random(), 1, 2, 3]::vector LIMIT 5$$);

-- another plan is cheaper
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1$$);
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1 LIMIT 4900$$);
SELECT why($$SELECT id FROM hw WHERE id < 10 ORDER BY v <-> $1 LIMIT 5$$);
SELECT why($$SELECT id FROM hw_small ORDER BY u <-> $1 LIMIT 5$$);
CREATE TABLE hw_unknown (u vector(2));
CREATE INDEX ON hw_unknown USING hnsw (u vector_l2_ops);
INSERT INTO hw_unknown VALUES ('[1,2]');
SELECT hnsw_why($$SELECT id FROM hw_small ORDER BY u <-> $1 LIMIT 5$$) ~ 'cheaper \(cost [0-9]+, with the index [0-9]+\)\.';
SELECT why($$SELECT 1 FROM hw_unknown ORDER BY u <-> $1 LIMIT 5$$) ~ 'takes another plan.*is not known: ANALYZE hw_unknown';
SELECT why($$SELECT h.id FROM hw h JOIN hw_small s USING (id) ORDER BY h.v <-> $1 LIMIT 5$$);
SET enable_indexscan = off;
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1 LIMIT 3$$);
RESET enable_indexscan;

-- more than one order
SET enable_seqscan = off;
SELECT why($$SELECT a.id FROM (SELECT id FROM hw ORDER BY v <-> $1 LIMIT 2) a JOIN (SELECT id FROM hw_small ORDER BY u <-> $2 DESC LIMIT 2) b USING (id)$$);
CREATE TABLE hw_log (LIKE hw);
CREATE RULE hw_both AS ON INSERT TO hw_log DO ALSO INSERT INTO hw_small SELECT id FROM hw ORDER BY v <-> '[1,2,3,4]' LIMIT 1;
CREATE RULE hw_nothing AS ON DELETE TO hw_log DO INSTEAD NOTHING;
SELECT why($$INSERT INTO hw_log VALUES (1)$$);
SELECT why($$DELETE FROM hw_log$$);
DROP TABLE hw_log;
-- partitions
CREATE TABLE hw_parts (id int, v vector(3)) PARTITION BY RANGE (id);
CREATE TABLE hw_part1 PARTITION OF hw_parts FOR VALUES FROM (0) TO (10);
CREATE TABLE hw_part2 PARTITION OF hw_parts FOR VALUES FROM (10) TO (20);
SELECT why($$SELECT id FROM hw_parts ORDER BY v <-> $1 LIMIT 2$$);
CREATE INDEX hw_parts_v ON hw_parts USING hnsw (v vector_l2_ops);
SELECT why($$SELECT id FROM hw_parts ORDER BY v <-> $1 LIMIT 2$$);
SELECT why($$SELECT id FROM hw_parts ORDER BY v <#> $1 LIMIT 2$$);

-- the rights are the caller's, and nothing is run
CREATE ROLE hw_reader;
GRANT SELECT ON hw_small TO hw_reader;
CREATE SEQUENCE hw_sequence;
GRANT ALL ON hw_sequence TO hw_reader;
SET ROLE hw_reader;
SELECT why($$SELECT id FROM hw ORDER BY v <-> $1 LIMIT 3$$);
SELECT why($$DELETE FROM hw_small$$);
SELECT why($$SELECT nextval('hw_sequence') FROM hw_small ORDER BY u <-> $1 LIMIT 3$$);
RESET ROLE;
SELECT is_called FROM hw_sequence;
CREATE POLICY hw_few ON hw_small USING (id < 3);
ALTER TABLE hw_small ENABLE ROW LEVEL SECURITY;
SET ROLE hw_reader;
SELECT why($$SELECT id FROM hw_small ORDER BY u <-> $1 LIMIT 3$$);
RESET ROLE;
RESET enable_seqscan;

-- columns that each subquery doubles
CREATE FUNCTION hw_doubled(expression text, levels int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	query text := 'SELECT ' || expression || ' AS c FROM hw_small';
BEGIN
	FOR i IN 1 .. levels LOOP
		query := format('SELECT c + c AS c FROM (%s) t%s OFFSET 0', query, i);
	END LOOP;
	RETURN format('SELECT 1 FROM (%s) t', query);
END $$;
SET statement_timeout = '60s';
SELECT hnsw_why(hw_doubled('id', 50) || ' ORDER BY c');
SELECT hnsw_why(hw_doubled('u', 50) || ' ORDER BY c <-> $1');
RESET statement_timeout;
DROP FUNCTION hw_doubled;

-- what it refuses
SELECT hnsw_why('SELECT 1; SELECT 2');
SELECT hnsw_why('');
SELECT hnsw_why('DROP TABLE hw');
SELECT hnsw_why('EXPLAIN EXECUTE x');
SELECT hnsw_why('SELECT FROM WHERE');
SELECT hnsw_why('SELECT $1 IS NULL');
SELECT hnsw_why(NULL) IS NULL;

DROP VIEW hw_view, hw_barrier;
DROP TABLE hw, hw_small, hw_broken, hw_unknown, hw_parts;
DROP SEQUENCE hw_sequence;
DROP FUNCTION why;
DROP ROLE hw_reader;
