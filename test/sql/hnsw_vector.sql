-- hnsw on vector: the four distances, built before and after the rows arrive,
-- kept up through update, delete and vacuum.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
SET enable_seqscan = off;
-- Whether a query's plan, other ways forbidden, asks an index for its order
CREATE FUNCTION pg_temp.ordered_by_index(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ '^ *Order By:' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;

-- L2: a grid of 100 points; the query point lies on no axis of symmetry, so
-- its nearest points are all at different distances.
CREATE TABLE hv_l2 (id int PRIMARY KEY, v vector(2));
INSERT INTO hv_l2 SELECT x * 10 + y, ARRAY[x, y]::vector
	FROM generate_series(0, 9) x, generate_series(0, 9) y;
CREATE INDEX hv_l2_idx ON hv_l2 USING hnsw (v vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 5;
SELECT id, v, round((v <-> '[3.3,4.2]')::numeric, 4) AS dist
	FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 5;
-- The operator takes its arguments in either order.
EXPLAIN (COSTS OFF) SELECT id FROM hv_l2 ORDER BY '[3.3,4.2]'::vector <-> v LIMIT 5;
SELECT id FROM hv_l2 ORDER BY '[3.3,4.2]'::vector <-> v LIMIT 5;
-- A query far outside of the data.
SELECT id FROM hv_l2 ORDER BY v <-> '[1000,900]' LIMIT 3;
-- Another distance than the index's is not answered from it.
SELECT pg_temp.ordered_by_index($$SELECT id FROM hv_l2 ORDER BY v <=> '[3.3,4.2]' LIMIT 5$$);
-- Nor is the farthest first.
SELECT pg_temp.ordered_by_index($$SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' DESC LIMIT 5$$);
SELECT pg_temp.ordered_by_index($$SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 5$$);
-- A prepared query, with a custom plan and a generic one.
PREPARE hv_nearest(vector) AS SELECT id FROM hv_l2 ORDER BY v <-> $1 LIMIT 3;
EXECUTE hv_nearest('[3.3,4.2]');
SET plan_cache_mode = force_generic_plan;
EXECUTE hv_nearest('[7.1,0.3]');
RESET plan_cache_mode;
DEALLOCATE hv_nearest;
-- A query vector that comes from another row, once for each outer row.
SELECT q.id, n.id AS neighbor
	FROM hv_l2 q,
		LATERAL (SELECT id FROM hv_l2 WHERE id <> q.id ORDER BY v <-> (q.v + '[0.1,0.2]') LIMIT 2) n
	WHERE q.id IN (11, 88) ORDER BY q.id, n.id;
-- A cursor reads on from where it stopped.
BEGIN;
DECLARE hv_cursor CURSOR FOR SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 6;
FETCH 2 FROM hv_cursor;
FETCH 10 FROM hv_cursor;
COMMIT;

-- Rows that come later, change and go.
INSERT INTO hv_l2 VALUES (100, '[3.3,4.2]');
SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 3;
UPDATE hv_l2 SET v = '[50,50]' WHERE id = 100;
SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 3;
SELECT id FROM hv_l2 ORDER BY v <-> '[49,50]' LIMIT 1;
DELETE FROM hv_l2 WHERE id IN (34, 44);
SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 3;
VACUUM hv_l2;
SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 3;
INSERT INTO hv_l2 VALUES (101, '[3.4,4.2]'), (102, '[3.6,4.2]');
SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 4;
-- What a rolled back transaction left behind is not seen.
BEGIN;
INSERT INTO hv_l2 VALUES (103, '[3.3,4.2]');
SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 1;
ROLLBACK;
SELECT id FROM hv_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 1;
SELECT count(*) AS problems FROM hnsw_check('hv_l2_idx');
DROP TABLE hv_l2;

-- Inner product: the operator gives its negative, so that the greatest comes
-- first.  The index is there before the rows.
CREATE TABLE hv_ip (id int, v vector(3));
CREATE INDEX hv_ip_idx ON hv_ip USING hnsw (v vector_ip_ops);
INSERT INTO hv_ip VALUES (1, '[1,1,1]'), (2, '[3,-1,0.5]'), (3, '[-2,-2,-2]'),
	(4, '[0,0,0]'), (5, '[10,0,0]'), (6, NULL);
EXPLAIN (COSTS OFF) SELECT id FROM hv_ip ORDER BY v <#> '[1,2,3]' LIMIT 10;
SELECT id, v <#> '[1,2,3]' AS dist FROM hv_ip ORDER BY v <#> '[1,2,3]' LIMIT 10;
-- Of a zero query every row is equally far, and no row is lost.
SELECT count(*) FROM (SELECT id FROM hv_ip ORDER BY v <#> '[0,0,0]' LIMIT 10) t;
SELECT count(*) AS problems FROM hnsw_check('hv_ip_idx');
DROP TABLE hv_ip;

-- Cosine: length does not matter; zero vectors have no direction and are not
-- in the index, as NULLs are not.
CREATE TABLE hv_cos (id int, v vector(3));
INSERT INTO hv_cos VALUES (1, '[1,1,1]'), (2, '[100,110,120]'), (3, '[-1,-1,-1]'),
	(4, '[0,0,0]'), (5, '[0.001,0,0]'), (6, NULL), (7, '[0,3,4]');
CREATE INDEX hv_cos_idx ON hv_cos USING hnsw (v vector_cosine_ops);
INSERT INTO hv_cos VALUES (8, '[0,0,0]'), (9, NULL), (10, '[2,2,1]');
EXPLAIN (COSTS OFF) SELECT id FROM hv_cos ORDER BY v <=> '[1,1,1]' LIMIT 10;
SELECT id, round((v <=> '[1,1,1]')::numeric, 4) AS dist FROM hv_cos ORDER BY v <=> '[1,1,1]' LIMIT 10;
-- A query without direction: every row that is in the index.
SELECT count(*) FROM (SELECT id FROM hv_cos ORDER BY v <=> '[0,0,0]' LIMIT 20) t;
SELECT count(*) FROM (SELECT id FROM hv_cos ORDER BY v <=> (SELECT NULL::vector) LIMIT 20) t;
SELECT count(*) AS problems FROM hnsw_check('hv_cos_idx');
DROP TABLE hv_cos;

-- L1
CREATE TABLE hv_l1 (id int, v vector(3));
INSERT INTO hv_l1 VALUES (1, '[1,2,3]'), (2, '[0,0,0]'), (3, '[-4,0,0]'), (4, '[1.5,1.5,1.5]'), (5, NULL);
CREATE INDEX hv_l1_idx ON hv_l1 USING hnsw (v vector_l1_ops);
INSERT INTO hv_l1 VALUES (6, '[2.5,2,3]');
EXPLAIN (COSTS OFF) SELECT id FROM hv_l1 ORDER BY v <+> '[1,2,3]' LIMIT 10;
SELECT id, v <+> '[1,2,3]' AS dist FROM hv_l1 ORDER BY v <+> '[1,2,3]' LIMIT 10;
SELECT count(*) AS problems FROM hnsw_check('hv_l1_idx');
DROP TABLE hv_l1;

-- A query of other dimensions
CREATE TABLE hv_dim (id int, v vector(3));
CREATE INDEX hv_dim_idx ON hv_dim USING hnsw (v vector_l2_ops);
INSERT INTO hv_dim VALUES (1, '[1,2,3]');
SELECT id FROM hv_dim ORDER BY v <-> '[1,2]' LIMIT 1;
SELECT id FROM hv_dim ORDER BY v <-> '[1,2,3,4]' LIMIT 1;
INSERT INTO hv_dim VALUES (2, '[1,2]');
DROP TABLE hv_dim;

-- The ends of the range: one dimension, values that do not fit half precision,
-- the most dimensions that the type holds.
CREATE TABLE hv_one (id int, v vector(1));
INSERT INTO hv_one SELECT i, ARRAY[i]::vector FROM generate_series(-20, 20) i;
CREATE INDEX hv_one_idx ON hv_one USING hnsw (v vector_l2_ops);
SELECT id FROM hv_one ORDER BY v <-> '[7.2]' LIMIT 3;
SELECT count(*) AS problems FROM hnsw_check('hv_one_idx');
DROP TABLE hv_one;

CREATE TABLE hv_huge (id int, v vector(2));
INSERT INTO hv_huge VALUES (1, '[1e6,0]'), (2, '[1e12,1e12]'), (3, '[-1e12,3]'), (4, '[1e-12,0]');
CREATE INDEX hv_huge_idx ON hv_huge USING hnsw (v vector_l2_ops);
INSERT INTO hv_huge VALUES (5, '[2e6,0]'), (6, '[1e15,-1e15]'), (7, '[2e-12,0]');
SELECT id FROM hv_huge ORDER BY v <-> '[1.2e6,1]' LIMIT 2;
SELECT id FROM hv_huge ORDER BY v <-> '[1e15,-1e15]' LIMIT 1;
SELECT id FROM hv_huge ORDER BY v <-> '[0,0]' LIMIT 3;
SELECT count(*) AS problems FROM hnsw_check('hv_huge_idx');
DROP TABLE hv_huge;

CREATE TABLE hv_wide (id int, v vector(16000));
INSERT INTO hv_wide SELECT i, array_fill(i, ARRAY[16000])::vector FROM generate_series(1, 12) i;
CREATE INDEX hv_wide_idx ON hv_wide USING hnsw (v vector_l2_ops);
INSERT INTO hv_wide SELECT i, array_fill(i, ARRAY[16000])::vector FROM generate_series(13, 20) i;
SELECT id FROM hv_wide ORDER BY v <-> array_fill(15.2, ARRAY[16000])::vector LIMIT 3;
DELETE FROM hv_wide WHERE id = 15;
VACUUM hv_wide;
SELECT id FROM hv_wide ORDER BY v <-> array_fill(15.2, ARRAY[16000])::vector LIMIT 3;
SELECT count(*) AS problems FROM hnsw_check('hv_wide_idx');
DROP TABLE hv_wide;
