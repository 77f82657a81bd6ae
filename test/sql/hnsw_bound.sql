-- Bounds of distance: a scan ends where no row can be within
CREATE TABLE bound_items (id int, tag int, v vector(3));
INSERT INTO bound_items SELECT i, i % 3, ARRAY[i % 20, i / 20 % 20, i / 400] FROM generate_series(0, 7999) i;
CREATE INDEX bound_items_v ON bound_items USING hnsw (v vector_l2_ops);
VACUUM ANALYZE bound_items;
SET enable_seqscan = off;
SET enable_sort = off;
SET max_parallel_workers_per_gather = 0;

-- What the index gives beside what is there; the rows that the filter has removed
CREATE FUNCTION bound_removed(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	removed bigint;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT json) ' || query INTO plan;
	SELECT sum(coalesce((line.m)[1]::bigint, 0)) INTO removed
		FROM regexp_matches(plan::text, '"Rows Removed by Filter": (\d+)', 'g') AS line(m);
	IF plan::text NOT LIKE '%Index Scan%' THEN
		RAISE 'no index scan: %', plan;
	END IF;
	RETURN removed;
END $$;
CREATE FUNCTION bound_compare(filter text, OUT found_most boolean, OUT wrong bigint, OUT unordered bigint, OUT removed_few boolean)
LANGUAGE plpgsql AS $$
DECLARE
	rows bigint;
	missed bigint;
	query text := format('SELECT id, v <-> ''[9.4,9.3,9.2]'' AS d FROM bound_items WHERE %s ORDER BY v <-> ''[9.4,9.3,9.2]'' LIMIT 5000', filter);
BEGIN
	EXECUTE 'CREATE TEMP TABLE answer AS SELECT *, row_number() OVER () AS n FROM (' || query || ') t';
	EXECUTE format('CREATE TEMP TABLE truth AS SELECT id FROM bound_items WHERE %s ORDER BY (v <-> ''[9.4,9.3,9.2]'') + 0', filter);
	SELECT count(*) INTO rows FROM answer;
	SELECT count(*) INTO missed FROM truth WHERE id NOT IN (SELECT id FROM answer);
	found_most := missed * 50 <= rows;
	SELECT count(*) INTO wrong FROM answer WHERE id NOT IN (SELECT id FROM truth);
	SELECT count(*) INTO unordered FROM (SELECT d < lag(d) OVER (ORDER BY n) AS less FROM answer) t WHERE less;
	removed_few := bound_removed(query) < 500;
	DROP TABLE answer, truth;
END $$;

SET hnsw.iterative_scan = strict_order;
SELECT * FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' < 5');
SELECT * FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' <= 5');
SELECT * FROM bound_compare('5 > v <-> ''[9.4,9.3,9.2]''');
SELECT * FROM bound_compare('5 >= ''[9.4,9.3,9.2]'' <-> v');
SELECT * FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' < 5 AND v <-> ''[9.4,9.3,9.2]'' < 3');
SELECT * FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' BETWEEN 4 AND 5');
-- nobody
SELECT * FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' < 0.1');
SELECT * FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' < -1');
SELECT * FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' < ''-infinity''');

-- relaxed order: the rows are the same, their order is the scan's
SET hnsw.iterative_scan = relaxed_order;
SELECT found_most, wrong, removed_few FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' < 5');
SELECT found_most, wrong, removed_few FROM bound_compare('v <-> ''[9.4,9.3,9.2]'' < 0.1');
-- and an ORDER BY outside stays
EXPLAIN (COSTS OFF) SELECT * FROM (SELECT id, v <-> '[9.4,9.3,9.2]' AS d FROM bound_items
	WHERE v <-> '[9.4,9.3,9.2]' < 5 ORDER BY v <-> '[9.4,9.3,9.2]' LIMIT 10) t ORDER BY d;

-- all rows are below these
SET hnsw.iterative_scan = strict_order;
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' < 'NaN' ORDER BY v <-> '[0,0,0]' LIMIT 100) t;
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' < 'infinity' ORDER BY v <-> '[0,0,0]' LIMIT 100) t;

-- one search: ef_search rows, but those within alone
SET hnsw.iterative_scan = off;
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= 2 ORDER BY v <-> '[0,0,0]' LIMIT 100) t;
SELECT bound_removed('SELECT 1 FROM bound_items WHERE v <-> ''[0,0,0]'' <= 2 ORDER BY v <-> ''[0,0,0]'' LIMIT 100') < 5 AS removed_few;

-- What is no bound: from below, another distance, another point, not certain, negated
SET hnsw.iterative_scan = strict_order;
SELECT id FROM bound_items WHERE v <-> '[0,0,0]' > 2 ORDER BY v <-> '[0,0,0]', id LIMIT 3;
SELECT id FROM bound_items WHERE v <+> '[0,0,0]' < 2 ORDER BY v <-> '[0,0,0]', id LIMIT 4;
SELECT id FROM bound_items WHERE v <-> '[1,1,1]' < 1 ORDER BY v <-> '[0,0,0]', id LIMIT 3;
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' < 0.5 OR tag = 1 ORDER BY v <-> '[0,0,0]' LIMIT 50) t;
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE NOT v <-> '[0,0,0]' < 0.5 ORDER BY v <-> '[0,0,0]' LIMIT 50) t;

-- With a filter beside it, as a parameter of any plan, for each row of another table, by a cursor
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= 2 AND tag = 1 ORDER BY v <-> '[0,0,0]' LIMIT 100) t;
SET plan_cache_mode = force_generic_plan;
PREPARE within(vector, float8) AS SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> $1 <= $2 ORDER BY v <-> $1 LIMIT 1000) t;
EXECUTE within('[0,0,0]', 1);
EXECUTE within('[0,0,0]', 2);
EXECUTE within('[0,0,0]', 0);
EXECUTE within('[0,0,0]', -1);
EXECUTE within('[0,0,0]', NULL);
EXECUTE within(NULL, 1);
SELECT bound_removed('EXECUTE within(''[0,0,0]'', 2)') < 100 AS removed_few;
RESET plan_cache_mode;
SELECT r, n FROM (VALUES (0.0::float8), (1), (2), (-1), (NULL)) b(r), LATERAL (SELECT count(*) AS n FROM
	(SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= b.r ORDER BY v <-> '[0,0,0]' LIMIT 1000) t) c ORDER BY r;
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= (SELECT max(id) / 4000.0::float8 FROM bound_items)
	ORDER BY v <-> '[0,0,0]' LIMIT 1000) t;
BEGIN;
DECLARE near CURSOR FOR SELECT v <-> '[0,0,0]' AS d FROM bound_items WHERE v <-> '[0,0,0]' < 1.5 ORDER BY v <-> '[0,0,0]';
FETCH 2 FROM near;
FETCH ALL FROM near;
FETCH 1 FROM near;
COMMIT;

-- Other metrics
CREATE INDEX bound_items_ip ON bound_items USING hnsw (v vector_ip_ops);
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <#> '[1,1,1]' < -54 ORDER BY v <#> '[1,1,1]' LIMIT 1000) t;
SELECT count(*) FROM bound_items WHERE (v <#> '[1,1,1]') + 0 < -54;
CREATE INDEX bound_items_l1 ON bound_items USING hnsw (v vector_l1_ops);
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <+> '[0,0,0]' <= 3 ORDER BY v <+> '[0,0,0]' LIMIT 1000) t;
SELECT count(*) FROM bound_items WHERE (v <+> '[0,0,0]') + 0 <= 3;
SELECT bound_removed('SELECT 1 FROM bound_items WHERE v <+> ''[0,0,0]'' <= 3 ORDER BY v <+> ''[0,0,0]'' LIMIT 1000') < 100 AS removed_few;

-- Where the way to what is within leads by what is not: inner products, and values without codes
CREATE FUNCTION bound_share(name text, distance text, query text, most float8) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	all_within bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM %1$I WHERE v %2$s %3$L <= $1 ORDER BY v %2$s %3$L LIMIT 5000) t', name, distance, query)
		INTO n USING most;
	EXECUTE format('SELECT count(*) FROM %1$I WHERE (v %2$s %3$L) + 0 <= $1', name, distance, query) INTO all_within USING most;
	RETURN round(n::numeric / nullif(all_within, 0), 2);
END $$;
SELECT setseed(0.5);
CREATE TABLE bound_ip AS SELECT ARRAY[random(), random(), random(), random()]::vector(4) AS v FROM generate_series(1, 3000);
CREATE TABLE bound_sparse AS SELECT (SELECT format('{%s}/60', string_agg(format('%s:%s', place, random() * 4 - 1.5), ','))
	FROM (SELECT DISTINCT 1 + trunc(random() * 60 + i * 0)::int AS place FROM generate_series(1, 1 + i % 7)) t)::sparsevec(60) AS v
	FROM generate_series(1, 3000) i;
CREATE INDEX ON bound_ip USING hnsw (v vector_ip_ops);
CREATE INDEX ON bound_sparse USING hnsw (v sparsevec_l1_ops);
ANALYZE bound_ip, bound_sparse;
SET hnsw.iterative_scan = relaxed_order;
SELECT bound_share('bound_ip', '<#>', '[0.5,0.6,0.7,0.8]', -1.5) >= 0.97 AS found_most;
SELECT bound_share('bound_ip', '<#>', '[0.9,0.9,0.9,0.9]', -2) >= 0.97 AS found_most;
SELECT avg(bound_share('bound_sparse', '<+>', format('{%s:2,%s:1.5,%s:1,60:-1}/60', i, 20 + i, 39 + i), 5.3)) >= 0.95 AS found_most
	FROM generate_series(1, 18) i;
-- and yet it does not read all: pages, of a scan of 3,000 nodes
CREATE FUNCTION bound_pages(most float8) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT json)
		SELECT 1 FROM bound_ip WHERE v <#> ''[1,1,1,1]'' < %L ORDER BY v <#> ''[1,1,1,1]'' LIMIT 1000', most) INTO plan;
	RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
END $$;
SELECT most, bound_pages(most) < 2000 AS few FROM unnest('{-3.9,-infinity,infinity}'::float8[]) most;
DROP TABLE bound_ip, bound_sparse;
DROP FUNCTION bound_share, bound_pages;
SET hnsw.iterative_scan = strict_order;

-- Under a policy the scan has no bound, and shows no row beyond the policy
CREATE ROLE bound_reader;
GRANT SELECT ON bound_items TO bound_reader;
ALTER TABLE bound_items ENABLE ROW LEVEL SECURITY;
CREATE POLICY bound_policy ON bound_items USING (tag = 1);
SET ROLE bound_reader;
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= 2 ORDER BY v <-> '[0,0,0]' LIMIT 100) t;
SELECT bound_removed('SELECT 1 FROM bound_items WHERE v <-> ''[0,0,0]'' <= 2 ORDER BY v <-> ''[0,0,0]'' LIMIT 100') > 7000 AS read_all;
RESET ROLE;
DROP TABLE bound_items;
DROP ROLE bound_reader;
DROP FUNCTION bound_removed, bound_compare;
RESET hnsw.iterative_scan;
RESET enable_seqscan;
RESET enable_sort;
RESET max_parallel_workers_per_gather;
