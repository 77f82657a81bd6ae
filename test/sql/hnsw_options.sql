-- Options of the index, settings of its searches, and what it refuses.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

-- Storage parameters: m 2 to 100, ef_construction 4 to 1000 and at least 2 * m
CREATE TABLE ho (id int, v vector(3));
INSERT INTO ho SELECT i, ARRAY[i, i % 7, i % 13]::vector FROM generate_series(1, 50) i;
CREATE INDEX ho_m ON ho USING hnsw (v vector_l2_ops) WITH (m = 1);
CREATE INDEX ho_m ON ho USING hnsw (v vector_l2_ops) WITH (m = 101);
CREATE INDEX ho_m ON ho USING hnsw (v vector_l2_ops) WITH (m = 'many');
CREATE INDEX ho_ef ON ho USING hnsw (v vector_l2_ops) WITH (ef_construction = 3);
CREATE INDEX ho_ef ON ho USING hnsw (v vector_l2_ops) WITH (ef_construction = 1001);
CREATE INDEX ho_ef ON ho USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 31);
CREATE INDEX ho_ef ON ho USING hnsw (v vector_l2_ops) WITH (m = 100);
CREATE INDEX ho_unknown ON ho USING hnsw (v vector_l2_ops) WITH (lists = 10);
-- The least and the greatest of each, and just 2 * m
CREATE INDEX ho_min ON ho USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 4);
CREATE INDEX ho_max ON ho USING hnsw (v vector_l2_ops) WITH (m = 100, ef_construction = 1000);
CREATE INDEX ho_twice ON ho USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 32);
SELECT relname, reloptions FROM pg_class WHERE relname LIKE 'ho\_%' ORDER BY relname;
-- A change of options is checked alike and holds from the next REINDEX on.
ALTER INDEX ho_twice SET (m = 0);
ALTER INDEX ho_twice SET (m = 8, ef_construction = 40);
INSERT INTO ho SELECT i, ARRAY[i, i % 7, i % 13]::vector FROM generate_series(51, 60) i;
SELECT count(*) AS problems FROM hnsw_check('ho_twice');
REINDEX INDEX ho_twice;
INSERT INTO ho SELECT i, ARRAY[i, i % 7, i % 13]::vector FROM generate_series(61, 80) i;
SELECT count(*) AS problems FROM hnsw_check('ho_min');
SELECT count(*) AS problems FROM hnsw_check('ho_max');
SELECT count(*) AS problems FROM hnsw_check('ho_twice');
SELECT reloptions FROM pg_class WHERE relname = 'ho_twice';
ALTER INDEX ho_twice RESET (m, ef_construction);
REINDEX INDEX ho_twice;
SELECT count(*) AS problems FROM hnsw_check('ho_twice');
-- Each answers with every row when asked for all; with the fewest links a few
-- may be out of reach.
SET enable_seqscan = off;
SET hnsw.ef_search = 200;
DROP INDEX ho_max, ho_twice;
SELECT count(*) >= 60 AS "nearly all" FROM (SELECT id FROM ho ORDER BY v <-> '[1,2,3]' LIMIT 100) t;
CREATE INDEX ho_max ON ho USING hnsw (v vector_l2_ops) WITH (m = 100, ef_construction = 1000);
DROP INDEX ho_min;
SELECT count(*) FROM (SELECT id FROM ho ORDER BY v <-> '[1,2,3]' LIMIT 100) t;
DROP INDEX ho_max;
RESET hnsw.ef_search;

-- What an hnsw index cannot be
CREATE INDEX ON ho USING hnsw (v);
CREATE INDEX ON ho USING hnsw (v vector_l2_ops, v vector_ip_ops);
CREATE UNIQUE INDEX ON ho USING hnsw (v vector_l2_ops);
CREATE INDEX ON ho USING hnsw (v vector_l2_ops) INCLUDE (id);
-- some versions point at the word, some do not
DO $$ BEGIN
	CREATE INDEX ON ho USING hnsw (v vector_l2_ops DESC);
EXCEPTION WHEN feature_not_supported THEN RAISE NOTICE '%', SQLERRM;
END $$;
CREATE INDEX ON ho USING hnsw (v halfvec_l2_ops);
CREATE INDEX ON ho USING hnsw (id vector_l2_ops);
CREATE TABLE ho_nodim (v vector, h halfvec, s sparsevec);
CREATE INDEX ON ho_nodim USING hnsw (v vector_l2_ops);
CREATE INDEX ON ho_nodim USING hnsw (h halfvec_l2_ops);
CREATE INDEX ON ho_nodim USING hnsw (s sparsevec_l2_ops);
INSERT INTO ho_nodim VALUES ('[1,2,3]', '[1,2,3]', '{1:1}/3');
CREATE INDEX ON ho_nodim USING hnsw (v vector_l2_ops);
DROP TABLE ho_nodim;

-- Settings: defaults, bounds, names
CREATE INDEX ho_idx ON ho USING hnsw (v vector_l2_ops);
SELECT name, setting, unit, context, vartype, min_val, max_val, enumvals
	FROM pg_settings WHERE name LIKE 'hnsw.%' ORDER BY name COLLATE "C";
SET hnsw.ef_search = 0;
SET hnsw.ef_search = 1001;
SET hnsw.iterative_scan = 'on';
SET hnsw.max_scan_tuples = 0;
SET hnsw.scan_mem_multiplier = 0;
SET hnsw.scan_mem_multiplier = 1001;
SET hnsw.nonsense = 1;
SET hnsw.ef_search = 1;
SELECT count(*) FROM (SELECT id FROM ho ORDER BY v <-> '[1,2,3]' LIMIT 1) t;
SET hnsw.ef_search = 1000;
SELECT count(*) FROM (SELECT id FROM ho ORDER BY v <-> '[1,2,3]' LIMIT 100) t;

-- A search looks no farther than ef_search, unless it is iterative.
SET hnsw.ef_search = 10;
SET hnsw.iterative_scan = off;
SELECT count(*) >= 10 AND count(*) < 80 AS "ends early" FROM (SELECT id FROM ho ORDER BY v <-> '[1,2,3]' LIMIT 100) t;
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*) FROM (SELECT id FROM ho ORDER BY v <-> '[1,2,3]' LIMIT 100) t;
SET hnsw.iterative_scan = strict_order;
SELECT count(*) > 40 AS "goes on", bool_and(ordered) AS ordered FROM
	(SELECT d >= lag(d, 1, 0) OVER (ORDER BY n) AS ordered FROM
		(SELECT d, row_number() OVER () AS n FROM
			(SELECT v <-> '[1,2,3]' AS d FROM ho ORDER BY v <-> '[1,2,3]' LIMIT 100) a) b) c;
RESET hnsw.iterative_scan;
RESET hnsw.ef_search;

-- A setting made before the library is there is kept, or refused with a word.
\c -
SET hnsw.ef_search = 77;
SET enable_seqscan = off;
SELECT id FROM ho ORDER BY v <-> '[1,1,1]' LIMIT 1;
SHOW hnsw.ef_search;
\c -
SET hnsw.ef_search = 5000;
SET enable_seqscan = off;
\set VERBOSITY sqlstate
SELECT id FROM ho ORDER BY v <-> '[1,1,1]' LIMIT 1;
\set VERBOSITY default
SHOW hnsw.ef_search;

-- The settings are there as soon as a function of the library has run.
\c -
SELECT vector_dims('[1,2,3]'::vector);
SHOW hnsw.ef_search;
SET hnsw.ef_search = 5000;
SET hnsw.no_such_setting = 1;

-- A setting that belongs to one function
CREATE FUNCTION ho_nearest(q vector) RETURNS int LANGUAGE sql STABLE
	SET hnsw.ef_search = 123 AS 'SELECT current_setting(''hnsw.ef_search'')::int';
SELECT ho_nearest('[1,1,1]');
DROP FUNCTION ho_nearest;

-- The check, of a relation that is no index, and of an index of another kind
\set VERBOSITY sqlstate
SELECT * FROM hnsw_check('ho');
CREATE INDEX ho_btree ON ho (id);
SELECT * FROM hnsw_check('ho_btree');
\set VERBOSITY default
DROP TABLE ho;
