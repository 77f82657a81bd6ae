-- hnsw over the kinds of tables and indexes that PostgreSQL knows, and through
-- the commands that rebuild, empty and clean them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
SET enable_seqscan = off;

-- An empty table, before and after it has held rows
CREATE TABLE hm (id int PRIMARY KEY, v vector(3), kind int);
CREATE INDEX hm_idx ON hm USING hnsw (v vector_l2_ops);
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
VACUUM hm;
SELECT count(*) AS problems FROM hnsw_check('hm_idx');
INSERT INTO hm VALUES (1, '[1,2,3]', 1), (2, '[2,3,4]', 1);
DELETE FROM hm;
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
VACUUM hm;
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
SELECT count(*) AS problems FROM hnsw_check('hm_idx');
INSERT INTO hm VALUES (3, '[1,2,3]', 1), (4, '[2,3,4]', 1);
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
TRUNCATE hm;
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
SELECT count(*) AS problems FROM hnsw_check('hm_idx');
-- A table of NULLs only
INSERT INTO hm VALUES (1, NULL, 1), (2, NULL, 1);
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
REINDEX INDEX hm_idx;
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
UPDATE hm SET v = '[5,5,5]' WHERE id = 2;
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
UPDATE hm SET v = NULL WHERE id = 2;
SELECT id FROM hm ORDER BY v <-> '[1,2,3]' LIMIT 5;
TRUNCATE hm;

-- REINDEX and CREATE INDEX, each CONCURRENTLY too; the answers stay.
INSERT INTO hm SELECT i, ARRAY[i, i / 2.0, -i]::vector, i % 3 FROM generate_series(1, 200) i;
CREATE TEMP TABLE hm_expected AS
	SELECT id, row_number() OVER () AS n FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
REINDEX INDEX hm_idx;
SELECT array_agg(id ORDER BY n) FROM hm_expected;
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
REINDEX INDEX CONCURRENTLY hm_idx;
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
DROP INDEX hm_idx;
CREATE INDEX CONCURRENTLY hm_idx ON hm USING hnsw (v vector_l2_ops);
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
DROP INDEX CONCURRENTLY hm_idx;
CREATE INDEX hm_idx ON hm USING hnsw (v vector_l2_ops);
SELECT count(*) AS problems FROM hnsw_check('hm_idx');

-- VACUUM after most rows went, VACUUM FULL, CLUSTER
DELETE FROM hm WHERE id % 4 <> 0;
VACUUM hm;
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 5) t;
SELECT count(*) AS problems FROM hnsw_check('hm_idx');
INSERT INTO hm SELECT i, ARRAY[i, i / 2.0, -i]::vector, i % 3 FROM generate_series(1, 200) i WHERE i % 4 <> 0;
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
VACUUM FULL hm;
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
CLUSTER hm USING hm_pkey;
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
CLUSTER hm USING hm_idx;
-- An update that leaves the vector alone, as HOT as it can be and not
UPDATE hm SET kind = kind + 1;
UPDATE hm SET id = id + 1000;
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
VACUUM hm;
SELECT array_agg(id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' LIMIT 10) t;
SELECT count(*) AS problems FROM hnsw_check('hm_idx');
-- The column's type may change with the index in place.
ALTER TABLE hm ALTER COLUMN v TYPE vector(3) USING (v + '[1,0,0]');
SELECT id FROM hm ORDER BY v <-> '[51.2,25,-50]' LIMIT 1;
SELECT count(*) AS problems FROM hnsw_check('hm_idx');
-- Without LIMIT, an iterative scan goes on to the last row.
SET hnsw.iterative_scan = relaxed_order;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]';
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hm ORDER BY v <-> '[50.2,25,-50]' OFFSET 0) t;
RESET enable_sort;
RESET hnsw.iterative_scan;
-- A filter, and a distance in the filter
SELECT id FROM hm WHERE kind = 1 ORDER BY v <-> '[51.2,25,-50]' LIMIT 2;
SELECT id FROM hm WHERE v <-> '[51.2,25,-50]' < 2 ORDER BY v <-> '[51.2,25,-50]' LIMIT 5;
DROP TABLE hm;

-- Expressions: the distance over another type than the column's
CREATE TABLE hm_expr (id int, v vector(3), raw real[]);
INSERT INTO hm_expr SELECT i, ARRAY[i, i / 2.0, -i]::vector, ARRAY[i, i / 2.0, -i]::real[]
	FROM generate_series(1, 100) i;
CREATE INDEX hm_expr_half ON hm_expr USING hnsw ((v::halfvec(3)) halfvec_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM hm_expr ORDER BY v::halfvec(3) <-> '[50.2,25,-50]' LIMIT 3;
SELECT id FROM hm_expr ORDER BY v::halfvec(3) <-> '[50.2,25,-50]' LIMIT 3;
-- Binary quantisation, reranked by the whole vector
CREATE INDEX hm_expr_bin ON hm_expr USING hnsw ((binary_quantize(v)::bit(3)) bit_hamming_ops);
EXPLAIN (COSTS OFF) SELECT id FROM hm_expr ORDER BY binary_quantize(v)::bit(3) <~> binary_quantize('[50.2,25,-50]'::vector) LIMIT 3;
SET hnsw.ef_search = 200;
SELECT id FROM (SELECT id, v FROM hm_expr
		ORDER BY binary_quantize(v)::bit(3) <~> binary_quantize('[50.2,25,-50]'::vector) LIMIT 200) t
	ORDER BY v <-> '[50.2,25,-50]' LIMIT 3;
RESET hnsw.ef_search;
-- A real[] column, and part of a vector
CREATE INDEX hm_expr_raw ON hm_expr USING hnsw ((raw::vector(3)) vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM hm_expr ORDER BY raw::vector(3) <-> '[50.2,25,-50]' LIMIT 3;
SELECT id FROM hm_expr ORDER BY raw::vector(3) <-> '[50.2,25,-50]' LIMIT 3;
CREATE INDEX hm_expr_sub ON hm_expr USING hnsw ((subvector(v, 1, 2)::vector(2)) vector_l2_ops);
SELECT id FROM hm_expr ORDER BY subvector(v, 1, 2)::vector(2) <-> '[50.2,25]' LIMIT 3;
INSERT INTO hm_expr VALUES (101, '[50.2,25,-50]', '{50.2,25,-50}');
SELECT id FROM hm_expr ORDER BY v::halfvec(3) <-> '[50.2,25,-50]' LIMIT 1;
SELECT id FROM hm_expr ORDER BY raw::vector(3) <-> '[50.2,25,-50]' LIMIT 1;
SELECT id FROM hm_expr ORDER BY subvector(v, 1, 2)::vector(2) <-> '[50.2,25]' LIMIT 1;
SELECT c.relname, (SELECT count(*) FROM hnsw_check(c.oid::regclass)) AS problems
	FROM pg_class c WHERE relname LIKE 'hm\_expr\_%' ORDER BY relname COLLATE "C";
-- An expression without dimensions
CREATE INDEX ON hm_expr USING hnsw ((v::halfvec) halfvec_l2_ops);
DROP TABLE hm_expr;

-- Partial indexes: one kind each; vectors of several dimensions in one column
CREATE TABLE hm_part (id int, kind int, v vector);
INSERT INTO hm_part SELECT i, i % 2, CASE WHEN i % 2 = 0 THEN ARRAY[i, 0]::vector ELSE ARRAY[i, 0, 0]::vector END
	FROM generate_series(1, 100) i;
CREATE INDEX hm_part_2 ON hm_part USING hnsw ((v::vector(2)) vector_l2_ops) WHERE vector_dims(v) = 2;
CREATE INDEX hm_part_3 ON hm_part USING hnsw ((v::vector(3)) vector_l2_ops) WHERE vector_dims(v) = 3;
EXPLAIN (COSTS OFF) SELECT id FROM hm_part WHERE vector_dims(v) = 2 ORDER BY v::vector(2) <-> '[51,0]' LIMIT 3;
SELECT id FROM hm_part WHERE vector_dims(v) = 2 ORDER BY v::vector(2) <-> '[50.9,0]' LIMIT 3;
SELECT id FROM hm_part WHERE vector_dims(v) = 3 ORDER BY v::vector(3) <-> '[50.9,0,0]' LIMIT 3;
UPDATE hm_part SET v = '[51,0,0]' WHERE id = 50;
SELECT id FROM hm_part WHERE vector_dims(v) = 2 ORDER BY v::vector(2) <-> '[50.9,0]' LIMIT 3;
SELECT count(*) AS problems FROM hnsw_check('hm_part_2');
SELECT count(*) AS problems FROM hnsw_check('hm_part_3');
DROP TABLE hm_part;

-- Partitions
CREATE TABLE hm_parted (id int, v vector(2)) PARTITION BY RANGE (id);
CREATE TABLE hm_parted_1 PARTITION OF hm_parted FOR VALUES FROM (0) TO (100);
CREATE INDEX hm_parted_idx ON hm_parted USING hnsw (v vector_l2_ops);
CREATE TABLE hm_parted_2 PARTITION OF hm_parted FOR VALUES FROM (100) TO (200);
INSERT INTO hm_parted SELECT i, ARRAY[i % 100, i / 100.0]::vector FROM generate_series(0, 199) i;
EXPLAIN (COSTS OFF) SELECT id FROM hm_parted ORDER BY v <-> '[42.1,0.9]' LIMIT 4;
SELECT id FROM hm_parted ORDER BY v <-> '[42.1,0.9]' LIMIT 4;
ALTER TABLE hm_parted DETACH PARTITION hm_parted_1;
SELECT id FROM hm_parted ORDER BY v <-> '[42.1,0.9]' LIMIT 2;
ALTER TABLE hm_parted ATTACH PARTITION hm_parted_1 FOR VALUES FROM (0) TO (100);
SELECT id FROM hm_parted ORDER BY v <-> '[42.1,0.9]' LIMIT 4;
SELECT count(*) AS problems FROM pg_index i
	CROSS JOIN LATERAL hnsw_check(i.indexrelid::regclass) p
	WHERE i.indrelid IN ('hm_parted_1'::regclass, 'hm_parted_2'::regclass);
DROP TABLE hm_parted;

-- Temporary, with what ON COMMIT does to it; unlogged, and made logged
CREATE TEMP TABLE hm_temp (id int, v vector(2)) ON COMMIT DELETE ROWS;
CREATE INDEX hm_temp_idx ON hm_temp USING hnsw (v vector_l2_ops);
BEGIN;
INSERT INTO hm_temp SELECT i, ARRAY[i, -i]::vector FROM generate_series(1, 100) i;
SELECT id FROM hm_temp ORDER BY v <-> '[7.1,-7]' LIMIT 3;
SELECT count(*) AS problems FROM hnsw_check('hm_temp_idx');
COMMIT;
SELECT id FROM hm_temp ORDER BY v <-> '[7.1,-7]' LIMIT 3;
DROP TABLE hm_temp;
CREATE UNLOGGED TABLE hm_unlogged (id int, v vector(2));
CREATE INDEX hm_unlogged_idx ON hm_unlogged USING hnsw (v vector_l2_ops);
INSERT INTO hm_unlogged SELECT i, ARRAY[i, -i]::vector FROM generate_series(1, 100) i;
SELECT id FROM hm_unlogged ORDER BY v <-> '[7.1,-7]' LIMIT 3;
REINDEX INDEX hm_unlogged_idx;
SELECT id FROM hm_unlogged ORDER BY v <-> '[7.1,-7]' LIMIT 3;
ALTER TABLE hm_unlogged SET LOGGED;
SELECT id FROM hm_unlogged ORDER BY v <-> '[7.1,-7]' LIMIT 3;
ALTER TABLE hm_unlogged SET UNLOGGED;
SELECT id FROM hm_unlogged ORDER BY v <-> '[7.1,-7]' LIMIT 3;
SELECT count(*) AS problems FROM hnsw_check('hm_unlogged_idx');
DROP TABLE hm_unlogged;

-- Thousands of equal vectors: all are found, by rows that came before the
-- index and after it, and they do not hide the others.
CREATE TABLE hm_dup (id int, v vector(3));
INSERT INTO hm_dup SELECT i, '[1,2,3]' FROM generate_series(1, 2000) i;
INSERT INTO hm_dup SELECT 10000 + i, ARRAY[i, 50, 50]::vector FROM generate_series(1, 50) i;
CREATE INDEX hm_dup_idx ON hm_dup USING hnsw (v vector_l2_ops);
INSERT INTO hm_dup SELECT i, '[1,2,3]' FROM generate_series(2001, 3000) i;
SELECT count(*) AS problems FROM hnsw_check('hm_dup_idx');
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*), count(DISTINCT id), max(dist) FROM
	(SELECT id, v <-> '[1,2,3]' AS dist FROM hm_dup ORDER BY v <-> '[1,2,3]' LIMIT 3000) t;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hm_dup ORDER BY v <-> '[1,2,3]' LIMIT 100000) t;
SELECT id FROM hm_dup ORDER BY v <-> '[20.1,50,50]' LIMIT 3;
DELETE FROM hm_dup WHERE id <= 3000 AND id % 10 <> 0;
VACUUM hm_dup;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hm_dup ORDER BY v <-> '[1,2,3]' LIMIT 100000) t WHERE id <= 3000;
SELECT id FROM hm_dup ORDER BY v <-> '[20.1,50,50]' LIMIT 3;
SELECT count(*) AS problems FROM hnsw_check('hm_dup_idx');
RESET hnsw.iterative_scan;
DROP TABLE hm_dup;

-- Toasted and compressed vectors; a column added behind the index
CREATE TABLE hm_toast (id int, v vector(600));
ALTER TABLE hm_toast ALTER COLUMN v SET STORAGE EXTENDED;
INSERT INTO hm_toast SELECT i, array_fill(i, ARRAY[600])::vector FROM generate_series(1, 60) i;
CREATE INDEX hm_toast_idx ON hm_toast USING hnsw (v vector_l2_ops);
INSERT INTO hm_toast SELECT i, array_fill(i, ARRAY[600])::vector FROM generate_series(61, 80) i;
SELECT id FROM hm_toast ORDER BY v <-> array_fill(70.2, ARRAY[600])::vector LIMIT 3;
ALTER TABLE hm_toast ADD COLUMN w vector(2) DEFAULT '[1,2]';
CREATE INDEX hm_toast_w ON hm_toast USING hnsw (w vector_l2_ops);
SELECT count(*) FROM (SELECT id FROM hm_toast ORDER BY w <-> '[1,2]' LIMIT 5) t;
SELECT count(*) AS problems FROM hnsw_check('hm_toast_idx');
SELECT count(*) AS problems FROM hnsw_check('hm_toast_w');
DROP TABLE hm_toast;

-- A build that fails part of the way leaves no index behind.
CREATE TABLE hm_fail (id int, v vector(2));
INSERT INTO hm_fail SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 100) i;
-- (from PostgreSQL 17 on, indexes are built with a search_path of their own)
CREATE FUNCTION hm_shift(v vector, id int) RETURNS vector IMMUTABLE LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
	IF id = 50 THEN
		RAISE EXCEPTION 'row % cannot be shifted', id;
	END IF;
	RETURN v + '[1,1]'::vector;
END $$;
CREATE INDEX hm_fail_idx ON hm_fail USING hnsw ((hm_shift(v, id)::vector(2)) vector_l2_ops);
SELECT count(*) FROM pg_class WHERE relname = 'hm_fail_idx';
DELETE FROM hm_fail WHERE id = 50;
CREATE INDEX hm_fail_idx ON hm_fail USING hnsw ((hm_shift(v, id)::vector(2)) vector_l2_ops);
INSERT INTO hm_fail VALUES (50, '[50,0]');
SELECT count(*) AS problems FROM hnsw_check('hm_fail_idx');
DROP TABLE hm_fail;
DROP FUNCTION hm_shift;
