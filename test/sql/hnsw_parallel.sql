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
SET hnsw.iterative_scan = off;
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
SET hnsw.iterative_scan = off;
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

-- Every way to a build has workers, shows its progress, and keeps to
-- maintenance_work_mem.  The expression's function tells so from within, when
-- the first row of a table is loaded: a worker waits until its leader says what
-- it does, the leader until a worker is there.
CREATE FUNCTION hl_seen(id int, v vector) RETURNS vector IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql AS $$
DECLARE
	leader int;
	told record;
BEGIN
	IF id % 10000 <> 1 THEN
		RETURN v;
	END IF;
	FOR i IN 1 .. 3000 LOOP
		PERFORM pg_stat_clear_snapshot();
		SELECT leader_pid INTO leader FROM pg_stat_activity WHERE pid = pg_backend_pid();
		SELECT p.command, p.phase, c.relname,
			EXISTS (SELECT FROM pg_stat_activity a WHERE a.leader_pid = p.pid) AS worker INTO told
			FROM pg_stat_progress_create_index p JOIN pg_class c ON c.oid = p.relid
			WHERE p.pid = coalesce(leader, pg_backend_pid());
		IF told.phase IS NULL OR (leader IS NULL AND told.phase <> 'building index: loading tuples') THEN
			RETURN v;	-- an insert; the sample, or the validation of an index built concurrently
		END IF;
		EXIT WHEN told.phase = 'building index: loading tuples' AND told.worker;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RAISE NOTICE '% of %, %, with a worker: %', told.command, told.relname, told.phase, told.worker;
	RETURN v;
END $$;
CREATE TABLE hl_one (id int, v vector(2)) WITH (parallel_workers = 1);
INSERT INTO hl_one SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 300) i;
CREATE INDEX hl_one_idx ON hl_one USING hnsw ((hl_seen(id, v)::vector(2)) vector_l2_ops);
REINDEX INDEX hl_one_idx;
REINDEX TABLE hl_one;
REINDEX INDEX CONCURRENTLY hl_one_idx;
REINDEX TABLE CONCURRENTLY hl_one;
SELECT count(*) AS problems FROM hnsw_check('hl_one_idx');
DROP INDEX hl_one_idx;
CREATE INDEX CONCURRENTLY hl_one_idx ON hl_one USING hnsw ((hl_seen(id, v)::vector(2)) vector_l2_ops);
SELECT count(*) AS problems FROM hnsw_check('hl_one_idx');

-- partitions
CREATE TABLE hl_parted (id int, v vector(2)) PARTITION BY RANGE (id);
CREATE TABLE hl_part_a PARTITION OF hl_parted FOR VALUES FROM (0) TO (10000) WITH (parallel_workers = 1);
CREATE TABLE hl_part_b PARTITION OF hl_parted FOR VALUES FROM (10000) TO (20000) WITH (parallel_workers = 1);
INSERT INTO hl_parted SELECT p * 10000 + i, ARRAY[i, p]::vector FROM generate_series(0, 1) p, generate_series(1, 300) i;
CREATE INDEX hl_parted_idx ON hl_parted USING hnsw ((hl_seen(id, v)::vector(2)) vector_l2_ops);
REINDEX INDEX hl_parted_idx;
REINDEX TABLE hl_parted;
REINDEX INDEX CONCURRENTLY hl_parted_idx;
REINDEX TABLE CONCURRENTLY hl_parted;
DROP INDEX hl_parted_idx;
CREATE INDEX hl_parted_idx ON ONLY hl_parted USING hnsw ((hl_seen(id, v)::vector(2)) vector_l2_ops);
CREATE INDEX hl_part_a_idx ON hl_part_a USING hnsw ((hl_seen(id, v)::vector(2)) vector_l2_ops);
ALTER INDEX hl_parted_idx ATTACH PARTITION hl_part_a_idx;
CREATE INDEX CONCURRENTLY hl_part_b_idx ON hl_part_b USING hnsw ((hl_seen(id, v)::vector(2)) vector_l2_ops);
ALTER INDEX hl_parted_idx ATTACH PARTITION hl_part_b_idx;
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indexrelid::regclass::text LIKE 'hl_part%idx' ORDER BY indexrelid::regclass::text COLLATE "C";
CREATE TABLE hl_part_c (LIKE hl_parted) WITH (parallel_workers = 1);
INSERT INTO hl_part_c SELECT 20000 + i, ARRAY[i, 2]::vector FROM generate_series(1, 300) i;
ALTER TABLE hl_parted ATTACH PARTITION hl_part_c FOR VALUES FROM (20000) TO (30000);
SELECT count(*) AS indexes, sum((SELECT count(*) FROM hnsw_check(relid))) AS problems FROM pg_partition_tree('hl_parted_idx') WHERE isleaf;
-- the first of each partition, found by its index
SET enable_seqscan = off;
SET enable_sort = off;
SET max_parallel_workers_per_gather = 0;
SELECT id FROM hl_parted ORDER BY hl_seen(id, v)::vector(2) <-> '[0,0.1]' LIMIT 4;

-- memory: some values are beyond it; how many is not the matter here
DROP INDEX hl_parted_idx;
INSERT INTO hl_parted SELECT i, ARRAY[i / 100, i % 100]::vector FROM generate_series(301, 3500) i;
SET maintenance_work_mem = '1MB';
\set VERBOSITY sqlstate
CREATE INDEX hl_parted_idx ON hl_parted USING hnsw (v vector_l2_ops);
REINDEX INDEX hl_part_a_v_idx;
REINDEX INDEX CONCURRENTLY hl_part_a_v_idx;
REINDEX TABLE hl_parted;
\set VERBOSITY default
SELECT count(*) AS problems FROM hnsw_check('hl_part_a_v_idx');
-- and none when there is twice as much
SET maintenance_work_mem = '2MB';
REINDEX INDEX hl_part_a_v_idx;
SELECT count(*) AS problems FROM hnsw_check('hl_part_a_v_idx');
DROP TABLE hl_one, hl_parted;
DROP FUNCTION hl_seen;
