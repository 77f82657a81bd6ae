-- hnsw on halfvec: the four distances, rows before and after the index.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
SET enable_seqscan = off;

CREATE TABLE hh_l2 (id int PRIMARY KEY, v halfvec(2));
INSERT INTO hh_l2 SELECT x * 10 + y, ARRAY[x, y]::halfvec
	FROM generate_series(0, 9) x, generate_series(0, 9) y;
CREATE INDEX hh_l2_idx ON hh_l2 USING hnsw (v halfvec_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM hh_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 5;
SELECT id, v FROM hh_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 5;
INSERT INTO hh_l2 VALUES (100, '[3.3,4.2]');
UPDATE hh_l2 SET v = '[3.5,4.5]' WHERE id = 0;
DELETE FROM hh_l2 WHERE id = 34;
SELECT id FROM hh_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 3;
VACUUM hh_l2;
SELECT id FROM hh_l2 ORDER BY v <-> '[3.3,4.2]' LIMIT 3;
SELECT id FROM hh_l2 ORDER BY v <-> '[3,4,5]' LIMIT 1;
SELECT count(*) AS problems FROM hnsw_check('hh_l2_idx');
DROP TABLE hh_l2;

CREATE TABLE hh_ip (id int, v halfvec(3));
CREATE INDEX hh_ip_idx ON hh_ip USING hnsw (v halfvec_ip_ops);
INSERT INTO hh_ip VALUES (1, '[1,1,1]'), (2, '[3,-1,0.5]'), (3, '[-2,-2,-2]'),
	(4, '[0,0,0]'), (5, '[10,0,0]'), (6, NULL);
EXPLAIN (COSTS OFF) SELECT id FROM hh_ip ORDER BY v <#> '[1,2,3]' LIMIT 10;
SELECT id, v <#> '[1,2,3]' AS dist FROM hh_ip ORDER BY v <#> '[1,2,3]' LIMIT 10;
SELECT count(*) AS problems FROM hnsw_check('hh_ip_idx');
DROP TABLE hh_ip;

CREATE TABLE hh_cos (id int, v halfvec(3));
INSERT INTO hh_cos VALUES (1, '[1,1,1]'), (2, '[100,110,120]'), (3, '[-1,-1,-1]'),
	(4, '[0,0,0]'), (5, '[0.001,0,0]'), (6, NULL), (7, '[0,3,4]');
CREATE INDEX hh_cos_idx ON hh_cos USING hnsw (v halfvec_cosine_ops);
INSERT INTO hh_cos VALUES (8, '[0,0,0]'), (9, NULL), (10, '[2,2,1]');
EXPLAIN (COSTS OFF) SELECT id FROM hh_cos ORDER BY v <=> '[1,1,1]' LIMIT 10;
SELECT id, round((v <=> '[1,1,1]')::numeric, 4) AS dist FROM hh_cos ORDER BY v <=> '[1,1,1]' LIMIT 10;
SELECT count(*) FROM (SELECT id FROM hh_cos ORDER BY v <=> '[0,0,0]' LIMIT 20) t;
SELECT count(*) FROM (SELECT id FROM hh_cos ORDER BY v <=> (SELECT NULL::halfvec) LIMIT 20) t;
SELECT count(*) AS problems FROM hnsw_check('hh_cos_idx');
DROP TABLE hh_cos;

CREATE TABLE hh_l1 (id int, v halfvec(3));
INSERT INTO hh_l1 VALUES (1, '[1,2,3]'), (2, '[0,0,0]'), (3, '[-4,0,0]'), (4, '[1.5,1.5,1.5]'), (5, NULL);
CREATE INDEX hh_l1_idx ON hh_l1 USING hnsw (v halfvec_l1_ops);
INSERT INTO hh_l1 VALUES (6, '[2.5,2,3]');
EXPLAIN (COSTS OFF) SELECT id FROM hh_l1 ORDER BY v <+> '[1,2,3]' LIMIT 10;
SELECT id, v <+> '[1,2,3]' AS dist FROM hh_l1 ORDER BY v <+> '[1,2,3]' LIMIT 10;
SELECT count(*) AS problems FROM hnsw_check('hh_l1_idx');
DROP TABLE hh_l1;

-- The greatest values of half precision: their squares overflow it, the
-- distances do not.
CREATE TABLE hh_huge (id int, v halfvec(2));
INSERT INTO hh_huge VALUES (1, '[65504,0]'), (2, '[65504,65504]'), (3, '[-65504,0]'), (4, '[0.00006,0]');
CREATE INDEX hh_huge_idx ON hh_huge USING hnsw (v halfvec_l2_ops);
INSERT INTO hh_huge VALUES (5, '[60000,60000]'), (6, '[-65504,-65504]');
SELECT id FROM hh_huge ORDER BY v <-> '[65504,65504]' LIMIT 6;
SELECT count(*) AS problems FROM hnsw_check('hh_huge_idx');
DROP TABLE hh_huge;

CREATE TABLE hh_wide (id int, v halfvec(16000));
INSERT INTO hh_wide SELECT i, array_fill(i, ARRAY[16000])::halfvec FROM generate_series(1, 12) i;
CREATE INDEX hh_wide_idx ON hh_wide USING hnsw (v halfvec_l2_ops);
INSERT INTO hh_wide SELECT i, array_fill(i, ARRAY[16000])::halfvec FROM generate_series(13, 20) i;
SELECT id FROM hh_wide ORDER BY v <-> array_fill(15.2, ARRAY[16000])::halfvec LIMIT 3;
SELECT count(*) AS problems FROM hnsw_check('hh_wide_idx');
DROP TABLE hh_wide;
