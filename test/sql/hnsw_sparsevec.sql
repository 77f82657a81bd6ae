-- hnsw on sparsevec: the four distances, rows before and after the index.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
SET enable_seqscan = off;

-- Every row has its own two coordinates besides a shared one.
CREATE TABLE hs_l2 (id int PRIMARY KEY, v sparsevec(300));
INSERT INTO hs_l2 SELECT i, format('{1:%s,%s:1,%s:2}/300', i / 10.0, i + 1, i + 151)::sparsevec
	FROM generate_series(1, 100) i;
CREATE INDEX hs_l2_idx ON hs_l2 USING hnsw (v sparsevec_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM hs_l2 ORDER BY v <-> '{1:4.22}/300' LIMIT 3;
SELECT id, v, round((v <-> '{1:4.22}/300')::numeric, 4) AS dist FROM hs_l2 ORDER BY v <-> '{1:4.22}/300' LIMIT 3;
SELECT id FROM hs_l2 ORDER BY v <-> '{1:5.1,31:1,181:2}/300' LIMIT 1;
INSERT INTO hs_l2 VALUES (101, '{1:4.22}/300'), (102, '{}/300');
SELECT id FROM hs_l2 ORDER BY v <-> '{1:4.22}/300' LIMIT 2;
SELECT id FROM hs_l2 ORDER BY v <-> '{}/300' LIMIT 1;
UPDATE hs_l2 SET v = '{300:9}/300' WHERE id = 42;
DELETE FROM hs_l2 WHERE id = 101;
SELECT id FROM hs_l2 ORDER BY v <-> '{1:4.22}/300' LIMIT 2;
VACUUM hs_l2;
SELECT id FROM hs_l2 ORDER BY v <-> '{1:4.22}/300' LIMIT 2;
SELECT id FROM hs_l2 ORDER BY v <-> '{300:9}/300' LIMIT 1;
SELECT id FROM hs_l2 ORDER BY v <-> '{1:1}/299' LIMIT 1;
SELECT count(*) AS problems FROM hnsw_check('hs_l2_idx');
DROP TABLE hs_l2;

CREATE TABLE hs_ip (id int, v sparsevec(5));
CREATE INDEX hs_ip_idx ON hs_ip USING hnsw (v sparsevec_ip_ops);
INSERT INTO hs_ip VALUES (1, '{1:1,2:1,3:1}/5'), (2, '{1:3,2:-1,3:0.5}/5'), (3, '{1:-2,2:-2,3:-2}/5'),
	(4, '{}/5'), (5, '{1:10}/5'), (6, NULL);
EXPLAIN (COSTS OFF) SELECT id FROM hs_ip ORDER BY v <#> '{1:1,2:2,3:3}/5' LIMIT 10;
SELECT id, v <#> '{1:1,2:2,3:3}/5' AS dist FROM hs_ip ORDER BY v <#> '{1:1,2:2,3:3}/5' LIMIT 10;
SELECT count(*) AS problems FROM hnsw_check('hs_ip_idx');
DROP TABLE hs_ip;

CREATE TABLE hs_cos (id int, v sparsevec(3));
INSERT INTO hs_cos VALUES (1, '{1:1,2:1,3:1}/3'), (2, '{1:100,2:110,3:120}/3'), (3, '{1:-1,2:-1,3:-1}/3'),
	(4, '{}/3'), (5, '{1:0.001}/3'), (6, NULL), (7, '{2:3,3:4}/3');
CREATE INDEX hs_cos_idx ON hs_cos USING hnsw (v sparsevec_cosine_ops);
INSERT INTO hs_cos VALUES (8, '{}/3'), (9, NULL), (10, '{1:2,2:2,3:1}/3');
EXPLAIN (COSTS OFF) SELECT id FROM hs_cos ORDER BY v <=> '{1:1,2:1,3:1}/3' LIMIT 10;
SELECT id, round((v <=> '{1:1,2:1,3:1}/3')::numeric, 4) AS dist FROM hs_cos ORDER BY v <=> '{1:1,2:1,3:1}/3' LIMIT 10;
SELECT count(*) FROM (SELECT id FROM hs_cos ORDER BY v <=> '{}/3' LIMIT 20) t;
SELECT count(*) FROM (SELECT id FROM hs_cos ORDER BY v <=> (SELECT NULL::sparsevec) LIMIT 20) t;
SELECT count(*) AS problems FROM hnsw_check('hs_cos_idx');
DROP TABLE hs_cos;

CREATE TABLE hs_l1 (id int, v sparsevec(1000000000));
INSERT INTO hs_l1 VALUES (1, '{1:1,2:2,3:3}/1000000000'), (2, '{}/1000000000'), (3, '{1:-4}/1000000000'),
	(4, '{1:1.5,2:1.5,3:1.5}/1000000000'), (5, NULL);
CREATE INDEX hs_l1_idx ON hs_l1 USING hnsw (v sparsevec_l1_ops);
INSERT INTO hs_l1 VALUES (6, '{1:2.5,2:2,3:3}/1000000000'), (7, '{1000000000:1}/1000000000');
EXPLAIN (COSTS OFF) SELECT id FROM hs_l1 ORDER BY v <+> '{1:1,2:2,3:3}/1000000000' LIMIT 10;
SELECT id, v <+> '{1:1,2:2,3:3}/1000000000' AS dist
	FROM hs_l1 ORDER BY v <+> '{1:1,2:2,3:3}/1000000000' LIMIT 10;
SELECT count(*) AS problems FROM hnsw_check('hs_l1_idx');
DROP TABLE hs_l1;

-- Rows of a thousand elements that are not zero, next to rows of one
CREATE TABLE hs_long (id int, v sparsevec(2000));
INSERT INTO hs_long SELECT i, ('{' || (SELECT string_agg(j || ':' || i, ',' ORDER BY j)
		FROM generate_series(1, 1000) j) || '}/2000')::sparsevec
	FROM generate_series(1, 20) i;
CREATE INDEX hs_long_idx ON hs_long USING hnsw (v sparsevec_l2_ops);
INSERT INTO hs_long VALUES (21, '{2000:1}/2000');
SELECT id FROM hs_long ORDER BY v <-> (SELECT v FROM hs_long WHERE id = 12) LIMIT 1;
SELECT id FROM hs_long ORDER BY v <-> '{1999:1}/2000' LIMIT 1;
SELECT count(*) AS problems FROM hnsw_check('hs_long_idx');
DROP TABLE hs_long;
