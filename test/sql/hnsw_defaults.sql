-- What a query gets that sets nothing: the rows that it asks for, or a word about those that are missing
CREATE TABLE hd (id int PRIMARY KEY, half int, v vector(3));
INSERT INTO hd SELECT i, i % 2, ARRAY[sin(i), cos(i * 0.7), sin(i * 0.31)]::vector FROM generate_series(1, 6000) i;
CREATE INDEX hd_v ON hd USING hnsw (v vector_l2_ops);
VACUUM ANALYZE hd;
SET max_parallel_workers_per_gather = 0;
SHOW hnsw.iterative_scan;
-- The scans and sorts of a plan
CREATE FUNCTION hd_plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text[];
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || substring(line FROM 'Index Scan using \w+|Seq Scan|Incremental Sort|Sort$');
	END LOOP;
	RETURN array_to_string(plan, ', ');
END $$;

-- More rows than ef_search, and a filter that one row in a thousand passes
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 200$q$);
SELECT count(*) FROM (SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 200) t;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM (SELECT id FROM hd WHERE id % 1000 = 7 ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 6) t;
-- A LIMIT that is known when the scan begins is what the first round searches for: it reads no more pages than by an ef_search of as many.
CREATE FUNCTION hd_pages(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT json) ' || query INTO plan;
	RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
END $$;
CREATE TABLE hd_far AS SELECT i AS id, ARRAY(SELECT sin(i * k * 0.37 + k * k) FROM generate_series(1, 24) k)::vector(24) AS v FROM generate_series(1, 3000) i;
CREATE INDEX hd_far_v ON hd_far USING hnsw (v vector_l2_ops);
ANALYZE hd_far;
SET plan_cache_mode = force_generic_plan;
PREPARE hd_many(int, int) AS SELECT id FROM hd_far ORDER BY v <-> (SELECT v FROM hd_far WHERE id = 1) LIMIT $1 OFFSET $2;
SET hnsw.ef_search = 300;
SET hnsw.iterative_scan = off;
SELECT hd_pages('EXECUTE hd_many(300, 0)') AS pages \gset
RESET hnsw.ef_search;
RESET hnsw.iterative_scan;
SELECT hd_pages('EXECUTE hd_many(300, 0)') < :pages * 1.1 AS as_few, hd_pages('EXECUTE hd_many(100, 200)') < :pages * 1.1 AS with_offset,
	hd_pages('EXECUTE hd_many(NULL, 0)') > 0 AS no_limit, hd_pages('EXECUTE hd_many(10, 0)') < :pages / 3 AS few;
SELECT hd_pages('SELECT id FROM (SELECT id FROM hd_far ORDER BY v <-> (SELECT v FROM hd_far WHERE id = 1)) t LIMIT 300') < :pages * 1.1 AS around;
DEALLOCATE hd_many;
RESET plan_cache_mode;
DROP TABLE hd_far;
DROP FUNCTION hd_pages;
-- off gives no more than ef_search rows
SET hnsw.iterative_scan = off;
SELECT count(*) FROM (SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 200) t;
RESET hnsw.iterative_scan;

-- A scan that ends at max_scan_tuples says so, once a statement, and counts.
SELECT pg_stat_force_next_flush();
SELECT scans_cut AS cut FROM vecdb.stat_indexes WHERE indexrelname = 'hd_v' \gset
SET hnsw.max_scan_tuples = 500;
SELECT count(*) BETWEEN 450 AND 900 AS some FROM (SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 5000) t;
SELECT count(*) FROM (SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 400) t;
-- for many rows, by a function
SELECT count(n.id) FROM hd q LEFT JOIN LATERAL (SELECT id FROM hd WHERE half = 2 ORDER BY v <-> q.v LIMIT 1) n ON true WHERE q.id <= 20;
CREATE FUNCTION hd_none(q vector) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT count(*) FROM (SELECT id FROM hd WHERE half = 2 ORDER BY v <-> q LIMIT 1) t);
END $$;
SELECT sum(hd_none(v)) FROM hd WHERE id <= 20;
SELECT pg_stat_force_next_flush();
SELECT relname, scans >= scans_cut AS counted, scans_cut - :cut AS cut FROM vecdb.stat_indexes WHERE indexrelname = 'hd_v';
-- not where all is found, nor where nothing more is wanted
SELECT count(*) FROM (SELECT id FROM hd WHERE v <-> '[0.1,0.2,0.3]' < 0.2 ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 5000) t;
CREATE TABLE hd_small AS SELECT * FROM hd WHERE id <= 600;
CREATE INDEX hd_small_v ON hd_small USING hnsw (v vector_l2_ops);
ANALYZE hd_small;
SET hnsw.max_scan_tuples = 600;
SELECT count(*) >= 580 AS nearly_all FROM (SELECT id FROM hd_small ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 5000) t;
SET hnsw.iterative_scan = off;
SELECT count(*) FROM (SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 5000) t;
RESET hnsw.iterative_scan;
RESET hnsw.max_scan_tuples;
-- memory, too
SET work_mem = '64kB';
SELECT count(*) BETWEEN 200 AND 5999 AS some FROM (SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 6000) t;
RESET work_mem;
-- rows that strict_order finds too late to stand in order: some of 20 searches leave some out
SET max_parallel_maintenance_workers = 0;
CREATE TABLE hd_late AS SELECT i AS id, ARRAY[sin(i), cos(i * 3), sin(i * 7)]::vector(3) AS v FROM generate_series(1, 4003) i;
CREATE INDEX hd_late_v ON hd_late USING hnsw (v vector_l2_ops);
SET hnsw.ef_search = 10;
SELECT sum(4003 - n) > 0 AS left_out, sum(4003 - n) < 400 AS few FROM generate_series(1, 20) q CROSS JOIN LATERAL
	(SELECT count(*) AS n FROM (SELECT id FROM hd_late ORDER BY v <-> ARRAY[q, 5, 5]::vector(3) LIMIT (SELECT 5000)) t) s;
SET hnsw.iterative_scan = relaxed_order;
SELECT sum(4003 - n) AS left_out FROM generate_series(1, 20) q CROSS JOIN LATERAL
	(SELECT count(*) AS n FROM (SELECT id FROM hd_late ORDER BY v <-> ARRAY[q, 5, 5]::vector(3) LIMIT (SELECT 5000)) t) s;
RESET hnsw.iterative_scan;
RESET hnsw.ef_search;
DROP TABLE hd_late;
RESET max_parallel_maintenance_workers;
-- collections read the rest from the table, and say nothing
SELECT vecdb.create_collection('hd_collection', 3);
INSERT INTO collections.hd_collection (id, data, metadata) SELECT i::text, v, '{}' FROM hd, LATERAL (SELECT id AS i) t;
SET hnsw.max_scan_tuples = 500;
SELECT count(*) FROM vecdb.search('hd_collection', '[0.1,0.2,0.3]', k => 3000);
RESET hnsw.max_scan_tuples;
SELECT vecdb.drop_collection('hd_collection');
RESET enable_seqscan;
RESET enable_bitmapscan;

-- Who wants all rows gets them, and in exact order.
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]'$q$);
CREATE INDEX hd_few ON hd USING hnsw (v vector_l2_ops) WHERE id <= 10;
SELECT hd_plan($q$SELECT id FROM hd WHERE id <= 10 ORDER BY v <-> '[0.1,0.2,0.3]'$q$);
SELECT hd_plan($q$SELECT id FROM hd WHERE id <= 10 AND half >= 0 ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT ALL$q$);
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' OFFSET 10$q$);
SELECT hd_plan($q$SELECT array_agg(id) FROM (SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]') t$q$);
SET hnsw.max_scan_tuples = 100;
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 101$q$);
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 100$q$);
SET hnsw.iterative_scan = off;
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 101$q$);
RESET hnsw.iterative_scan;
RESET hnsw.max_scan_tuples;
-- but by the index where sequential scans are off
SET enable_seqscan = off;
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]'$q$);
RESET enable_seqscan;
-- and where a part is wanted
SELECT hd_plan($q$SELECT * FROM (SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]') t LIMIT 5$q$);
SELECT hd_plan($q$SELECT min(v <-> '[0.1,0.2,0.3]') FROM hd$q$);
SELECT hd_plan($q$SELECT id FROM hd q WHERE id < 3 AND EXISTS (SELECT FROM (SELECT n.v FROM hd n ORDER BY n.v <-> q.v LIMIT 3) t WHERE t.v <> q.v)$q$);
DROP TABLE hd, hd_small;
DROP FUNCTION hd_none;

-- A LIMIT that the planner does not know: of 50,000 rows, and of a million, most without a vector
CREATE TABLE hd (id int, half int, v vector(3));
INSERT INTO hd SELECT i, i % 2, CASE WHEN i % 25 = 0 THEN ARRAY[sin(i), cos(i * 0.7), sin(i * 0.31)]::vector END FROM generate_series(1, 50000) i;
CREATE INDEX hd_v ON hd USING hnsw (v vector_l2_ops);
VACUUM ANALYZE hd;
CREATE FUNCTION hd_near(n int) RETURNS SETOF int LANGUAGE sql VOLATILE AS $$ SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT n $$;
CREATE FUNCTION hd_scans() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_stat_clear_snapshot();
	RETURN pg_stat_get_xact_numscans('hd_v'::regclass);
END $$;
SET plan_cache_mode = force_generic_plan;
PREPARE hd_limit(int) AS SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT $1;
PREPARE hd_offset(int, int) AS SELECT id FROM hd WHERE half = 1 ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT $1 OFFSET $2;
SELECT hd_plan($q$EXECUTE hd_limit(10)$q$);
SELECT hd_plan($q$EXECUTE hd_offset(10, 10)$q$);
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT (SELECT 10)$q$);
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT (SELECT 10) FOR UPDATE$q$);
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT ALL OFFSET (SELECT 10)$q$);
SELECT hd_plan($q$DECLARE near CURSOR FOR SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]'$q$);
SELECT hd_plan($q$SELECT DISTINCT ON (v <-> '[0.1,0.2,0.3]') id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 5$q$);
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT count(*), hd_scans() FROM hd_near(10);
COMMIT;
INSERT INTO hd SELECT i, i % 2, NULL FROM generate_series(50001, 1000000) i;
VACUUM ANALYZE hd;
SELECT hd_plan($q$EXECUTE hd_limit(10)$q$);
SELECT hd_plan($q$EXECUTE hd_offset(10, 10)$q$);
SELECT hd_plan($q$SELECT id FROM hd ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT (SELECT 10)$q$);
SET max_parallel_workers_per_gather = 2;
SELECT hd_plan($q$EXECUTE hd_limit(10)$q$);
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT count(*), hd_scans() FROM hd_near(10);
COMMIT;
DEALLOCATE ALL;
DROP TABLE hd;
DROP FUNCTION hd_near, hd_scans, hd_plan;
RESET plan_cache_mode;
RESET max_parallel_workers_per_gather;
