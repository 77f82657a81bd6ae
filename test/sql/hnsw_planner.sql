-- Which plan is chosen where both an hnsw index and another way are at hand.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
SET max_parallel_workers_per_gather = 0;

-- A small table is read whole: that is exact and no dearer.
CREATE TABLE hp_small (id int, v vector(3));
INSERT INTO hp_small SELECT i, ARRAY[i % 10, i / 10, 0]::vector FROM generate_series(1, 50) i;
CREATE INDEX hp_small_idx ON hp_small USING hnsw (v vector_l2_ops);
VACUUM ANALYZE hp_small;
EXPLAIN (COSTS OFF) SELECT id FROM hp_small ORDER BY v <-> '[1,2,3]' LIMIT 5;
DROP TABLE hp_small;

-- 8,000 rows of 32 dimensions; 2,000 groups of four, two halves
CREATE TABLE hp (id int PRIMARY KEY, grp int, half int, v vector(32));
SELECT setseed(0.25);
INSERT INTO hp SELECT i, i % 2000, i % 2,
		ARRAY(SELECT random() FROM generate_series(1, 32) WHERE i > 0)::vector
	FROM generate_series(1, 8000) i;
CREATE INDEX hp_grp ON hp (grp);
CREATE INDEX hp_v ON hp USING hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 24);
VACUUM ANALYZE hp;
-- The nearest few, of a parameter whose value the planner does not see
PREPARE hp_nearest(vector) AS SELECT id FROM hp ORDER BY v <-> $1 LIMIT 10;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE hp_nearest('[1]');
-- A filter that leaves four rows: fetch them and sort
PREPARE hp_group(vector) AS SELECT id FROM hp WHERE grp = 7 ORDER BY v <-> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE hp_group('[1]');
PREPARE hp_one(vector) AS SELECT id FROM hp WHERE id = 7 ORDER BY v <-> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE hp_one('[1]');
-- A filter that leaves half of them: the index, and filter what it gives
PREPARE hp_half(vector) AS SELECT id FROM hp WHERE half = 1 ORDER BY v <-> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE hp_half('[1]');
-- No ORDER BY, or one that is not the index's: no use for it
EXPLAIN (COSTS OFF) SELECT id FROM hp WHERE half = 1 LIMIT 10;
PREPARE hp_cosine(vector) AS SELECT id FROM hp ORDER BY v <=> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE hp_cosine('[1]');
PREPARE hp_far(vector) AS SELECT id FROM hp ORDER BY v <-> $1 DESC LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE hp_far('[1]');
-- A distance as a filter alone is a search that it ends.
PREPARE hp_within(vector) AS SELECT id FROM hp WHERE v <-> $1 < 1;
EXPLAIN (COSTS OFF) EXECUTE hp_within('[1]');
-- The whole table in order: the index might not give all of it.
PREPARE hp_all(vector) AS SELECT id FROM hp ORDER BY v <-> $1;
EXPLAIN (COSTS OFF) EXECUTE hp_all('[1]');
-- An inner side that is looked up once for each outer row
EXPLAIN (COSTS OFF) SELECT q.id, n.id FROM hp q,
	LATERAL (SELECT id FROM hp ORDER BY v <-> q.v LIMIT 3) n WHERE q.id IN (1, 2);
-- Switched off, there is the exact way.
SET enable_indexscan = off;
PREPARE hp_exact(vector) AS SELECT id FROM hp ORDER BY v <-> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE hp_exact('[1]');
RESET enable_indexscan;
-- A parallel sequential scan does not win against the index either.
SET max_parallel_workers_per_gather = 2;
SET min_parallel_table_scan_size = 0;
PREPARE hp_parallel(vector) AS SELECT id FROM hp ORDER BY v <-> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE hp_parallel('[1]');
DEALLOCATE ALL;
-- Where the index gives the order nobody reads the distance that ORDER BY asks
-- for: it is not computed, in the first statement of a session neither.
CREATE TABLE hp_query AS SELECT id, v FROM hp WHERE id <= 3;
\c
SET enable_sort = off;
EXPLAIN (COSTS OFF, VERBOSE) SELECT q.id, r.id FROM hp_query q CROSS JOIN LATERAL
	(SELECT id FROM hp ORDER BY hp.v <-> q.v LIMIT 2) r;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF, VERBOSE) SELECT q.id, r.id FROM hp_query q CROSS JOIN LATERAL
	(SELECT id FROM hp ORDER BY q.v <-> hp.v OFFSET 0) r;
RESET enable_seqscan;
-- Who asks for it, or has it compared, gets it.
EXPLAIN (COSTS OFF, VERBOSE) SELECT q.id, r.d FROM hp_query q CROSS JOIN LATERAL
	(SELECT hp.v <-> q.v AS d FROM hp ORDER BY hp.v <-> q.v LIMIT 2) r;
EXPLAIN (COSTS OFF, VERBOSE) SELECT q.id, r.id FROM hp_query q CROSS JOIN LATERAL
	(SELECT id FROM hp ORDER BY hp.v <-> q.v FETCH FIRST 2 ROWS WITH TIES) r;
SELECT q.id, r.id, r.d = 0 AS itself FROM hp_query q CROSS JOIN LATERAL
	(SELECT id, hp.v <-> q.v AS d FROM hp ORDER BY d LIMIT 1) r ORDER BY q.id;
SELECT q.id, r.id FROM hp_query q CROSS JOIN LATERAL
	(SELECT id FROM hp ORDER BY hp.v <-> q.v FETCH FIRST 1 ROWS WITH TIES) r ORDER BY q.id;
RESET enable_sort;
DROP TABLE hp, hp_query;

-- under relaxed_order nobody but the ORDER BY beside a scan takes it for ordered
CREATE TABLE hp_relaxed AS SELECT i AS id, ARRAY[i % 97, i % 89, i % 83]::vector(3) AS v FROM generate_series(1, 3000) i;
CREATE INDEX hp_relaxed_v ON hp_relaxed USING hnsw (v vector_l2_ops);
ANALYZE hp_relaxed;
SET enable_seqscan = off;
PREPARE outer_order AS SELECT * FROM (SELECT id, v <-> '[1,2,3]' AS d FROM hp_relaxed ORDER BY d LIMIT 5) t ORDER BY d;
EXPLAIN (COSTS OFF) EXECUTE outer_order;
SET hnsw.iterative_scan = relaxed_order;
EXPLAIN (COSTS OFF) EXECUTE outer_order;
EXPLAIN (COSTS OFF) SELECT id FROM hp_relaxed ORDER BY v <-> '[1,2,3]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT DISTINCT v <-> '[1,2,3]' AS d FROM hp_relaxed ORDER BY d LIMIT 5;
EXPLAIN (COSTS OFF) (SELECT v <-> '[1,2,3]' AS d FROM hp_relaxed ORDER BY d LIMIT 5)
	UNION ALL (SELECT v <-> '[4,5,6]' AS d FROM hp_relaxed ORDER BY d LIMIT 5) ORDER BY d;
-- and such a scan still has its rows compared by their distances
SELECT count(*), min(d), max(d) FROM (SELECT DISTINCT v <-> '[1,2,3]' AS d FROM hp_relaxed) t;
EXPLAIN (COSTS OFF) SELECT * FROM (SELECT * FROM hp_relaxed ORDER BY v <-> '[1,2,3]') t ORDER BY v <-> '[1,2,3]';
SELECT count(*), count(DISTINCT id) FROM (SELECT * FROM hp_relaxed ORDER BY v <-> '[1,2,3]') t;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hp_relaxed GROUP BY id, v <-> '[1,2,3]' ORDER BY v <-> '[1,2,3]') t;
SET enable_hashjoin = off;
SELECT count(*) FROM (SELECT t.id FROM hp_relaxed t JOIN (VALUES (0::float8), (1)) f (d) ON t.v <-> '[1,2,3]' = f.d ORDER BY t.v <-> '[1,2,3]' LIMIT 5) t;
RESET enable_hashjoin;
SET hnsw.iterative_scan = strict_order;
EXPLAIN (COSTS OFF) EXECUTE outer_order;
RESET hnsw.iterative_scan;
DEALLOCATE outer_order;

-- an ef_search that covers the index gives all rows but those beyond it, iteration all
TRUNCATE hp_relaxed;
INSERT INTO hp_relaxed SELECT i, ARRAY[sin(i * 12.9898) * 1000, cos(i * 78.233) * 1000, sin(i * 37.719) * 1000]::vector FROM generate_series(1, 1010) i;
SET hnsw.ef_search = 1000;
SELECT count(*) FROM (SELECT id FROM hp_relaxed ORDER BY v <-> '[1,2,3]') t;
SET hnsw.iterative_scan = off;
SELECT count(*) FROM (SELECT id FROM hp_relaxed ORDER BY v <-> '[1,2,3]') t;
RESET hnsw.iterative_scan;
RESET hnsw.ef_search;
RESET enable_seqscan;
DROP TABLE hp_relaxed;
