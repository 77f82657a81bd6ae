-- Searches inside of parallel workers: they follow the settings of their leader.
SET client_min_messages = warning;
CREATE TABLE hl (id int, v vector(2));
INSERT INTO hl SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 1000) i;
CREATE INDEX hl_idx ON hl USING hnsw (v vector_l2_ops);
ANALYZE hl;
CREATE FUNCTION hl_near(q vector) RETURNS bigint STABLE PARALLEL SAFE LANGUAGE plpgsql
	SET enable_seqscan = off AS $$
BEGIN
	RETURN (SELECT count(*) FROM (SELECT id FROM hl ORDER BY v <-> q LIMIT 100) t);
END $$;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
SET hnsw.ef_search = 7;
SELECT min(hl_near(v)), max(hl_near(v)) FROM hl WHERE id <= 20;
SET hnsw.iterative_scan = strict_order;
SELECT min(hl_near(v)), max(hl_near(v)) FROM hl WHERE id <= 20;

-- and so in a session that has not used the index yet
\c -
SET client_min_messages = warning;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
SET hnsw.ef_search = 9;
SELECT min(hl_near(v)), max(hl_near(v)) FROM hl WHERE id <= 20;
SHOW hnsw.ef_search;

-- Workers of a build as well
ALTER TABLE hl SET (parallel_workers = 2);
SET hnsw.ef_search = 11;
SET client_min_messages = notice;
REINDEX INDEX hl_idx;
-- of tables so small that the last to come finds all work done
CREATE TABLE hl_small (id int, v vector(2)) WITH (parallel_workers = 2);
CREATE INDEX hl_small_idx ON hl_small USING hnsw (v vector_l2_ops);
INSERT INTO hl_small VALUES (1, '[1,2]'), (2, '[2,1]'), (3, NULL);
REINDEX INDEX hl_small_idx;
REINDEX INDEX hl_small_idx;
REINDEX INDEX hl_small_idx;
REINDEX INDEX CONCURRENTLY hl_small_idx;
REINDEX INDEX CONCURRENTLY hl_small_idx;
REINDEX INDEX CONCURRENTLY hl_small_idx;
SELECT count(*) AS problems FROM hnsw_check('hl_small_idx');
DROP TABLE hl, hl_small;
DROP FUNCTION hl_near;
