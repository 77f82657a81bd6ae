-- Order, equality and hashing in plans: btree, hash, grouping, joins.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

CREATE TABLE index_rows (id int, v vector(2), h halfvec(2));
INSERT INTO index_rows SELECT i, ARRAY[i % 50, i % 7]::vector, ARRAY[i % 50, i % 7]::halfvec FROM generate_series(1, 1000) i;
INSERT INTO index_rows VALUES (1001, '[0,-0]', '[0,-0]'), (1002, '[-0,0]', '[-0,0]'), (1003, NULL, NULL);
ANALYZE index_rows;

-- btree
CREATE INDEX index_rows_v ON index_rows (v);
CREATE INDEX index_rows_h ON index_rows (h);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM index_rows WHERE v = '[5,5]';
SELECT id FROM index_rows WHERE v = '[5,5]' ORDER BY id;
SELECT count(*) FROM index_rows WHERE v = '[0,0]';
SELECT count(*) FROM index_rows WHERE h = '[-0,-0]';
EXPLAIN (COSTS OFF) SELECT count(*) FROM index_rows WHERE v > '[48]' AND v <= '[49,3]';
SELECT count(*) FROM index_rows WHERE v > '[48]' AND v <= '[49,3]';
SELECT count(*) FROM index_rows WHERE h >= '[48]' AND h < '[49,3]';
EXPLAIN (COSTS OFF) SELECT v FROM index_rows ORDER BY v LIMIT 3;
SELECT id, v FROM index_rows WHERE v < '[1]' ORDER BY v, id LIMIT 3;
SELECT h FROM index_rows ORDER BY h DESC NULLS LAST LIMIT 2;
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT count(*) FROM index_rows WHERE v > '[48]' AND v <= '[49,3]';
SELECT count(*) FROM index_rows WHERE h >= '[48]' AND h < '[49,3]';
DROP INDEX index_rows_v, index_rows_h;

-- Unique: zero and negative zero are the same
CREATE TEMP TABLE only_once (v vector UNIQUE, h halfvec UNIQUE);
INSERT INTO only_once VALUES ('[0]', '[1]');
INSERT INTO only_once VALUES ('[-0]', '[2]');
INSERT INTO only_once VALUES ('[0,0]', '[1]');
INSERT INTO only_once VALUES ('[-0]', '[2]') ON CONFLICT DO NOTHING;
SELECT * FROM only_once;

-- hash
CREATE INDEX index_rows_v ON index_rows USING hash (v);
CREATE INDEX index_rows_h ON index_rows USING hash (h);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM index_rows WHERE v = '[5,5]';
SELECT id FROM index_rows WHERE v = '[5,5]' ORDER BY id;
SELECT count(*) FROM index_rows WHERE v = '[0,-0]';
SELECT count(*) FROM index_rows WHERE h = '[0,0]';
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT count(*) FROM index_rows WHERE v = '[0,-0]';
SELECT count(*) FROM index_rows WHERE h = '[0,0]';

-- Hash functions: equal values, equal hashes; the extended one agrees at seed 0
SELECT vector_hash('[0,1]') = vector_hash('[-0,1]') AS zero, vector_hash('[0,1]') <> vector_hash('[1,0]') AS order,
	vector_hash('[0]') <> vector_hash('[0,0]') AS dims, vector_hash_extended('[1]', 1) <> vector_hash_extended('[1]', 2) AS seed;
SELECT halfvec_hash('[0,1]') = halfvec_hash('[-0,1]') AS zero, halfvec_hash('[0,1]') <> halfvec_hash('[1,0]') AS order,
	halfvec_hash('[0]') <> halfvec_hash('[0,0]') AS dims, halfvec_hash_extended('[1]', 1) <> halfvec_hash_extended('[1]', 2) AS seed;
SELECT bool_and(vector_hash(v)::bit(32) = vector_hash_extended(v, 0)::bit(32)) AS vector,
	bool_and(halfvec_hash(h)::bit(32) = halfvec_hash_extended(h, 0)::bit(32)) AS halfvec FROM index_rows;
SELECT count(DISTINCT vector_hash(v)) > 340 AND count(DISTINCT halfvec_hash(h)) > 340 AS spread FROM index_rows;

-- Partitions by hash use the extended function
CREATE TABLE parts (v vector) PARTITION BY HASH (v);
CREATE TABLE parts0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT v FROM index_rows;
SELECT count(*) = (SELECT count(*) FROM index_rows), count(DISTINCT tableoid) FROM parts;
SELECT count(*) FROM parts WHERE v = '[0,-0]';
DROP TABLE parts;

-- DISTINCT and GROUP BY, hashed and sorted
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT v, count(*) FROM index_rows GROUP BY v;
SELECT count(*), sum(n) FROM (SELECT v, count(*) AS n FROM index_rows GROUP BY v) s;
SELECT count(*) FROM (SELECT DISTINCT h FROM index_rows) s;
RESET enable_sort;
SET enable_hashagg = off;
EXPLAIN (COSTS OFF) SELECT v, count(*) FROM index_rows GROUP BY v;
SELECT count(*), sum(n) FROM (SELECT v, count(*) AS n FROM index_rows GROUP BY v) s;
SELECT count(*) FROM (SELECT DISTINCT h FROM index_rows) s;
RESET enable_hashagg;
SELECT count(*) FROM (SELECT v FROM index_rows INTERSECT SELECT h::vector FROM index_rows) s;

-- Joins
DROP INDEX index_rows_v, index_rows_h;
SET enable_mergejoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM index_rows a JOIN index_rows b ON a.v = b.v;
SELECT count(*) FROM index_rows a JOIN index_rows b ON a.v = b.v;
SELECT count(*) FROM index_rows a JOIN index_rows b ON a.h = b.h;
SET enable_hashjoin = off;
SET enable_mergejoin = on;
EXPLAIN (COSTS OFF) SELECT count(*) FROM index_rows a JOIN index_rows b ON a.v = b.v;
SELECT count(*) FROM index_rows a JOIN index_rows b ON a.v = b.v;
SELECT count(*) FROM index_rows a JOIN index_rows b ON a.h = b.h;
RESET ALL;

-- Statistics: an equality is estimated by the most common values and distinct
-- counts, and an inequality is not mistaken for one
SELECT n_distinct BETWEEN -1 AND -0.3 OR n_distinct BETWEEN 340 AND 360 AS distinct_known FROM pg_stats WHERE tablename = 'index_rows' AND attname = 'v';
CREATE FUNCTION pg_temp.estimate(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END
$$;
SELECT pg_temp.estimate($$ SELECT 1 FROM index_rows WHERE v = '[5,5]' $$) < 20 AS equal,
	pg_temp.estimate($$ SELECT 1 FROM index_rows WHERE v <> '[5,5]' $$) > 900 AS not_equal,
	pg_temp.estimate($$ SELECT 1 FROM index_rows a JOIN index_rows b ON a.v = b.v $$) < 10000 AS joined;
DROP TABLE index_rows;

-- Values out of line and compressed are sorted and hashed like any other
CREATE TEMP TABLE long_rows AS
SELECT i, a::vector AS v, a::halfvec AS h FROM (SELECT i, array_agg(j % 100 + CASE WHEN j = 2000 THEN i % 5 ELSE 0 END ORDER BY j) AS a
	FROM generate_series(1, 50) i, generate_series(1, 2000) j GROUP BY i) s;
SELECT count(DISTINCT v), count(DISTINCT h) FROM long_rows;
SELECT min(i), count(*) FROM long_rows GROUP BY v ORDER BY v;
SELECT min(i), count(*) FROM long_rows GROUP BY h ORDER BY h;
