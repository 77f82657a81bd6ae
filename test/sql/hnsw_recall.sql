-- hnsw_recall: what an index finds beside exact answers
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
\set VERBOSITY terse
CREATE TABLE hr (id int, v vector(8));
INSERT INTO hr SELECT i, ARRAY[sin(i), cos(i * 1.1), sin(i * 1.7), cos(i * 2.3), sin(i * 3.1), cos(i * 4.7), sin(i * 5.3), cos(i * 6.1)]::vector
	FROM generate_series(1, 400) i;
CREATE INDEX hr_l2 ON hr USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 4);
CREATE INDEX hr_ip ON hr USING hnsw (v vector_ip_ops) WITH (m = 2, ef_construction = 4);
CREATE INDEX hr_cosine ON hr USING hnsw (v vector_cosine_ops) WITH (m = 2, ef_construction = 4);

-- all rows as queries: SQL comes to the same
CREATE FUNCTION hr_recall(op text, ef int, k int) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	answer float8;
BEGIN
	PERFORM set_config('hnsw.ef_search', (greatest(ef, k) + 1)::text, true), set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true), set_config('jit', 'off', true);
	EXECUTE format('CREATE TEMP TABLE hr_found ON COMMIT DROP AS
		SELECT q.id AS query, n.* FROM hr q, LATERAL (SELECT id, v OPERATOR(public.%1$s) q.v AS distance, row_number() OVER () AS place
			FROM (SELECT id, v FROM hr ORDER BY v OPERATOR(public.%1$s) q.v OFFSET 0) f WHERE id <> q.id LIMIT %2$s) n', op, k);
	EXECUTE format('WITH exact AS MATERIALIZED (SELECT q.id AS query, (SELECT max(d) FROM (SELECT n.v OPERATOR(public.%1$s) q.v AS d FROM hr n WHERE n.id <> q.id ORDER BY (n.v OPERATOR(public.%1$s) q.v) + 0 LIMIT %2$s) n) AS farthest FROM hr q)
		SELECT count(*)::float8 / (%2$s * (SELECT count(*) FROM hr)) FROM hr_found JOIN exact USING (query) WHERE distance <= farthest', op, k) INTO answer;
	DROP TABLE hr_found;
	RETURN answer;
END $$;
SELECT op, ef, p.k, r.queries, r.recall < 1 AS misses, r.recall = hr_recall(op, ef, p.k) AS same
	FROM (VALUES ('hr_l2', '<->'), ('hr_ip', '<#>'), ('hr_cosine', '<=>')) o (idx, op), (VALUES (10, 10), (12, 3), (3, 5)) p (ef, k),
		LATERAL hnsw_recall(idx::regclass, 400, p.k, ef) r ORDER BY 1, 2;

-- a curve, the session's setting, a sample that is the same each time
SELECT ef_search, k, queries, rows, recall BETWEEN 0 AND 1 AND least_recall <= recall AS recall,
	index_ms > 0 AND index_ms <= index_ms_p95 AS index_ms, exact_ms > 0 AS exact_ms FROM hnsw_recall('hr_l2', ARRAY[10, 40, 1000]);
SELECT c[1] <= c[2] AND c[2] <= c[3] AND c[3] > 0.99 AS rises FROM (SELECT array_agg(recall) AS c FROM hnsw_recall('hr_l2', ARRAY[10, 40, 1000])) r;
SET hnsw.ef_search = 7;
SELECT ef_search, k, queries FROM hnsw_recall('hr_l2', sample => 5, k => 3);
SELECT ef_search FROM hnsw_recall('hr_l2', ef => 9);
SHOW hnsw.ef_search;
RESET hnsw.ef_search;
SELECT count(DISTINCT recall) FROM (SELECT recall FROM hnsw_recall('hr_l2', 7, 10, 10) UNION ALL SELECT recall FROM hnsw_recall('hr_l2', 7, 10, 10)) r;

-- few queries fit in work_mem
SET work_mem = 64;
SELECT queries, recall = hr_recall('<->', 10, 10) AS same FROM hnsw_recall('hr_l2', 400, 10, 10);
SELECT queries, recall > 0.99 AS recall FROM hnsw_recall('hr_l2', 400, 300, 1000);
RESET work_mem;

-- iterative scans give as many rows as are asked for
SET hnsw.iterative_scan = strict_order;
SELECT recall > 0.5 AS recall FROM hnsw_recall('hr_l2', 50, 100, 10);
SET hnsw.iterative_scan = relaxed_order;
SELECT recall > 0.5 AS recall FROM hnsw_recall('hr_l2', 50, 100, 10);
-- ten of a hundred, and for a few queries rows as near as those
SET hnsw.iterative_scan = off;
SELECT recall BETWEEN 0.1 AND 0.11 AS as_many_as_ef FROM hnsw_recall('hr_l2', 50, 100, 10);
RESET hnsw.iterative_scan;

-- rows that were updated, deleted, or are of others' transactions
UPDATE hr SET id = id + 1000 WHERE id <= 100;
DELETE FROM hr WHERE id BETWEEN 101 AND 200;
SELECT queries, rows, recall > 0.99 AS recall FROM hnsw_recall('hr_l2', 1000, 10, 400);
DROP TABLE hr;
DROP FUNCTION hr_recall;

-- each type, expressions, a predicate, values that no index has
CREATE TABLE hr (id int, v vector, h halfvec(5), s sparsevec(9), b bit(16));
INSERT INTO hr SELECT i, ARRAY[sin(i), cos(i), i % 7]::vector, ARRAY[cos(i), i % 5, 1, i, 2]::halfvec,
	format('{%s:%s,9:1}/9', i % 8 + 1, i / 3.0)::sparsevec, (i * 377 % 65536)::bit(16) FROM generate_series(1, 60) i;
INSERT INTO hr VALUES (61, NULL, NULL, NULL, NULL), (62, '[0,0,0]', '[0,0,0,0,0]', '{}/9', B'0000000000000000'), (63, NULL, '[1,1,1,1,1]', NULL, NULL);
CREATE INDEX hr_v_l2 ON hr USING hnsw ((v::vector(3)) vector_l2_ops);
CREATE INDEX hr_v_cosine ON hr USING hnsw ((v::vector(3)) vector_cosine_ops) WHERE id > 20;
CREATE INDEX hr_v_half ON hr USING hnsw ((v::halfvec(3)) halfvec_l1_ops);
CREATE INDEX hr_v_bits ON hr USING hnsw ((binary_quantize(v)::bit(3)) bit_hamming_ops) WHERE id % 2 = 0;
CREATE INDEX hr_h_l2 ON hr USING hnsw (h halfvec_l2_ops);
CREATE INDEX hr_h_ip ON hr USING hnsw (h halfvec_ip_ops);
CREATE INDEX hr_s_cosine ON hr USING hnsw (s sparsevec_cosine_ops);
CREATE INDEX hr_s_l1 ON hr USING hnsw (s sparsevec_l1_ops);
CREATE INDEX hr_b_hamming ON hr USING hnsw (b bit_hamming_ops);
CREATE INDEX hr_b_jaccard ON hr USING hnsw (b bit_jaccard_ops);
SELECT c.relname, queries, rows, recall, least_recall FROM pg_class c, LATERAL hnsw_recall(c.oid::regclass, ef => 200) r
	WHERE relname LIKE 'hr\__\_%' ORDER BY 1;
-- more than there are; equal distances are all right
SELECT k, rows, recall FROM hnsw_recall('hr_v_l2', k => 10000, ef => 100);
CREATE TABLE hr_equal (v vector(2));
INSERT INTO hr_equal SELECT '[1,2]' FROM generate_series(1, 50);
CREATE INDEX hr_equal_v ON hr_equal USING hnsw (v vector_l2_ops);
SELECT queries, rows, recall FROM hnsw_recall('hr_equal_v', k => 5, ef => 5);
-- one row, none
CREATE TABLE hr_none (v vector(2));
CREATE INDEX hr_none_v ON hr_none USING hnsw (v vector_l2_ops);
SELECT * FROM hnsw_recall('hr_none_v');
INSERT INTO hr_none VALUES ('[1,2]');
SELECT queries, rows, recall, index_ms FROM hnsw_recall('hr_none_v');

-- what it refuses
SELECT * FROM hnsw_recall('hr_none_v', 0);
SELECT * FROM hnsw_recall('hr_none_v', 10001);
SELECT * FROM hnsw_recall('hr_none_v', k => 0);
SELECT * FROM hnsw_recall('hr_none_v', k => 10001);
SELECT * FROM hnsw_recall('hr_none_v', ef => 0);
SELECT * FROM hnsw_recall('hr_none_v', ef => 1001);
SELECT * FROM hnsw_recall('hr_none_v', ARRAY[40, 1001]);
SELECT * FROM hnsw_recall('hr_none_v', ARRAY[40, NULL]);
SELECT * FROM hnsw_recall('hr_none_v', ARRAY[]::int[]);
SELECT * FROM hnsw_recall('hr_none_v', array_fill(40, ARRAY[101]));
SELECT * FROM hnsw_recall('hr_none_v', NULL::int[]);
SELECT * FROM hnsw_recall(NULL);
SELECT * FROM hnsw_recall('hr_none_v', NULL::int);
SELECT * FROM hnsw_recall('hr_none');
SELECT * FROM hnsw_recall(0::regclass);
CREATE INDEX hr_id ON hr (id);
SELECT * FROM hnsw_recall('hr_id');
CREATE TABLE hr_parts (id int, v vector(2)) PARTITION BY RANGE (id);
CREATE TABLE hr_part PARTITION OF hr_parts FOR VALUES FROM (0) TO (10);
CREATE INDEX hr_parts_v ON hr_parts USING hnsw (v vector_l2_ops);
INSERT INTO hr_parts VALUES (1, '[1,2]'), (2, '[1,3]');
\set VERBOSITY default
SELECT * FROM hnsw_recall('hr_parts_v');
SELECT inhrelid::regclass, recall FROM pg_inherits, hnsw_recall(inhrelid::regclass) WHERE inhparent = 'hr_parts_v'::regclass;

-- who may: whoever may read all rows
CREATE ROLE hr_reader;
SET ROLE hr_reader;
SELECT * FROM hnsw_recall('hr_none_v');
RESET ROLE;
GRANT SELECT ON hr_none, hr TO hr_reader;
SET ROLE hr_reader;
SELECT rows FROM hnsw_recall('hr_none_v');
RESET ROLE;
ALTER TABLE hr_none ENABLE ROW LEVEL SECURITY;
SELECT rows FROM hnsw_recall('hr_none_v');
SET ROLE hr_reader;
SELECT rows FROM hnsw_recall('hr_none_v');
RESET ROLE;
ALTER TABLE hr_none OWNER TO hr_reader;
SET ROLE hr_reader;
SELECT rows FROM hnsw_recall('hr_none_v');
ALTER TABLE hr_none FORCE ROW LEVEL SECURITY;
\set VERBOSITY terse
SELECT rows FROM hnsw_recall('hr_none_v');
RESET ROLE;
-- the rights of the owner and those of the reader are kept apart
CREATE FUNCTION hr_who(v vector) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> current_setting('hr.owner') THEN
		RAISE EXCEPTION 'runs as %', current_user;
	END IF;
	RETURN v;
END $$;
REVOKE EXECUTE ON FUNCTION hr_who FROM PUBLIC;
SELECT set_config('hr.owner', current_user, false) = current_user AS owner;
CREATE INDEX hr_v_who ON hr USING hnsw ((hr_who(v)::vector(3)) vector_l2_ops);
SET ROLE hr_reader;
SELECT rows, recall FROM hnsw_recall('hr_v_who', ef => 100);
SELECT current_user;
RESET ROLE;

-- it can be interrupted
CREATE TABLE hr_many AS SELECT array_fill(i % 1000, ARRAY[500])::vector(500) AS v FROM generate_series(1, 3000) i;
CREATE INDEX hr_many_v ON hr_many USING hnsw (v vector_l2_ops);
SET statement_timeout = 100;
SELECT * FROM hnsw_recall('hr_many_v', 3000);
RESET statement_timeout;

DROP TABLE hr, hr_equal, hr_none, hr_parts, hr_many;
DROP FUNCTION hr_who;
DROP ROLE hr_reader;
