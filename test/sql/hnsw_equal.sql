-- Thousands of equal values, and others beside them: each row is found, however
-- short the lists of links are.
SET client_min_messages = warning;
SET enable_seqscan = off;
SET hnsw.iterative_scan = relaxed_order;
CREATE TABLE he (id int, v vector(4)) WITH (autovacuum_enabled = off);
INSERT INTO he SELECT i, '[1,1,1,1]' FROM generate_series(1, 3000) i;
INSERT INTO he SELECT i, ARRAY[i, 1, 2, 3]::vector FROM generate_series(3001, 3300) i;
CREATE INDEX he_idx ON he USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 8);
SELECT count(*) AS problems FROM hnsw_check('he_idx');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM he ORDER BY v <-> '[1,1,1,1]' LIMIT 10000) t;

TRUNCATE he;
INSERT INTO he SELECT i, '[1,1,1,1]' FROM generate_series(1, 2000) i;
INSERT INTO he SELECT i, ARRAY[i, 1, 2, 3]::vector FROM generate_series(3001, 3300) i;
INSERT INTO he SELECT i, '[1,1,1,1]' FROM generate_series(2001, 3000) i;
SELECT count(*) AS problems FROM hnsw_check('he_idx');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM he ORDER BY v <-> '[1,1,1,1]' LIMIT 10000) t;

-- whatever part of them is removed
DELETE FROM he WHERE id % 3 = 0;
VACUUM he;
SELECT count(*) AS problems FROM hnsw_check('he_idx');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM he ORDER BY v <-> '[1,1,1,1]' LIMIT 10000) t;
DELETE FROM he WHERE id % 4 <> 1;
VACUUM he;
INSERT INTO he SELECT i, '[1,1,1,1]' FROM generate_series(4001, 4500) i;
SELECT count(*) AS problems FROM hnsw_check('he_idx');
SELECT count(*), count(DISTINCT id), (SELECT count(*) FROM he)
	FROM (SELECT id FROM he ORDER BY v <-> '[1,1,1,1]' LIMIT 10000) t;
DELETE FROM he WHERE id <= 4000;
VACUUM he;
SELECT count(*) AS problems FROM hnsw_check('he_idx');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM he ORDER BY v <-> '[1,1,1,1]' LIMIT 10000) t;
DROP TABLE he;
