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
-- whether the scan goes to its end, and says what it left out, is a matter of the sort above it
SET client_min_messages = warning;
SELECT id FROM bound_items WHERE v <+> '[0,0,0]' < 2 ORDER BY v <-> '[0,0,0]', id LIMIT 4;
SELECT id FROM bound_items WHERE v <-> '[1,1,1]' < 1 ORDER BY v <-> '[0,0,0]', id LIMIT 3;
RESET client_min_messages;
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

-- Alone, without ORDER BY: a path of its own, where scans go on; the rows are those that are there, but for a few
CREATE FUNCTION bound_by_index(filter text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) SELECT id FROM bound_items WHERE ' || filter INTO plan;
	RETURN plan #>> '{0,Plan,Node Type}' = 'Index Scan' AND plan #>> '{0,Plan,Index Name}' LIKE 'bound_items%';
END $$;
CREATE FUNCTION bound_alone(filter text, OUT by_index boolean, OUT found_most boolean, OUT wrong bigint, OUT removed_few boolean)
LANGUAGE plpgsql AS $$
DECLARE
	rows bigint;
	missed bigint;
	query text := 'SELECT id FROM bound_items WHERE ' || filter;
BEGIN
	by_index := bound_by_index(filter);
	EXECUTE 'CREATE TEMP TABLE answer AS ' || query;
	SET LOCAL enable_indexscan = off;
	EXECUTE 'CREATE TEMP TABLE truth AS ' || query;
	RESET enable_indexscan;
	SELECT count(*) INTO rows FROM truth;
	SELECT count(*) INTO missed FROM truth WHERE id NOT IN (SELECT id FROM answer);
	found_most := rows > 0 AND missed * 50 <= rows;
	SELECT count(*) INTO wrong FROM answer WHERE id NOT IN (SELECT id FROM truth);
	removed_few := bound_removed(query) < 200;
	DROP TABLE answer, truth;
END $$;
RESET enable_seqscan;
RESET enable_sort;
SET seq_page_cost = 100;
SELECT * FROM bound_alone('v <-> ''[9.4,9.3,9.2]'' < 5');
SELECT * FROM bound_alone('2.5 >= ''[9.4,9.3,9.2]'' <-> v AND tag = 1');
SELECT * FROM bound_alone('NOT v <-> ''[9.4,9.3,9.2]'' >= 5');
SELECT * FROM bound_alone('v <-> ''[9.4,9.3,9.2]'' < (SELECT max(id) / 2000.0::float8 FROM bound_items)');
SELECT * FROM bound_alone('v <-> ''[9.4,9.3,9.2]'' < 2::real');
SELECT * FROM bound_alone('v <-> ''[9.4,9.3,9.2]'' < length(current_schema::text) - 3');
SET hnsw.iterative_scan = relaxed_order;
SELECT * FROM bound_alone('v <-> ''[9.4,9.3,9.2]'' BETWEEN 1 AND 3');
SET hnsw.iterative_scan = strict_order;

-- Computed with, as a similarity is
SELECT * FROM bound_alone('1 - (v <-> ''[9.4,9.3,9.2]'') > -2');
SELECT * FROM bound_alone('-2 < 1 - (v <-> ''[9.4,9.3,9.2]'')');
SELECT * FROM bound_alone('-(v <-> ''[9.4,9.3,9.2]'') >= -3');
SELECT * FROM bound_alone('(v <-> ''[9.4,9.3,9.2]'') * -2 > -6');
SELECT * FROM bound_alone('2 * (v <-> ''[9.4,9.3,9.2]'') - 1 < 5');
SELECT * FROM bound_alone('100 - (v <-> ''[9.4,9.3,9.2]'') / 10 * 100 > 70');
SELECT * FROM bound_alone('1 / (1 + (v <-> ''[9.4,9.3,9.2]'')) >= 0.25');
SELECT * FROM bound_alone('(v <#> ''[1,1,1]'') * -1 > 50');
CREATE INDEX bound_items_cosine ON bound_items USING hnsw (v vector_cosine_ops);
SELECT * FROM bound_alone('1 - (v <=> ''[1,2,3]'') >= 0.998');
-- what rounds to the limit passes, too
SET enable_seqscan = off;
SELECT by_index, found_most, wrong FROM bound_alone('1 - (v <-> ''[9.4,9.3,9.2]'') * 1e-17 >= 1');
SELECT by_index, found_most, wrong FROM bound_alone('((v <-> ''[9.4,9.3,9.2]'') + 1e16) / 1e300 <= 1e-284');
RESET enable_seqscan;
-- a query without direction is as far from all, and NaN is greater than all numbers
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE 1 - (v <=> '[0,0,0]') > 0.8 ORDER BY v <=> '[0,0,0]' LIMIT 100) t;
SELECT count(*) FROM bound_items WHERE 1 - (v <=> '[0,0,0]') > 0.8 AND v <=> '[0,0,0]' < 0.5;
-- what says nothing from above, or would keep an index from being used; a function that may say something else each time
SELECT filter FROM unnest(ARRAY['v <-> ''[0,0,0]'' > 2', '1 - (v <-> ''[0,0,0]'') < -2', '1 / ((v <-> ''[0,0,1]'') + 0.5) < 0.1',
	'(v <-> ''[0,0,0]'') + 0 < 2', '(v <-> ''[0,0,0]'') * (id - id + 1) < 2', '(v <-> ''[0,0,0]'') * (v <-> ''[0,0,0]'') < 4',
	'v <-> ''[0,0,0]'' < 2 + random() / 10', '(v <-> ''[0,0,0]'') * ''NaN''::float8 < 2', 'v <-> ARRAY[id, 0, 0]::vector < 20',
	'v <-> ''[0,0,0]'' < id', 'v <-> ''[0,0,0]'' = 1']) filter WHERE bound_by_index(filter);

-- Neither max_scan_tuples nor ef_search cuts it short; nor is it used where no scan goes on, or for a small table
SET hnsw.max_scan_tuples = 50;
SET hnsw.ef_search = 10;
SELECT * FROM bound_alone('v <-> ''[9.4,9.3,9.2]'' < 5');
RESET hnsw.max_scan_tuples;
RESET hnsw.ef_search;
RESET seq_page_cost;

-- Many within: the rest is read page by page, each row once, whether they lie with codes or without
SET enable_seqscan = off;
SELECT bound_by_index('v <-> ''[9.4,9.3,9.2]'' < 12') AND bound_by_index('v <+> ''[9.4,9.3,9.2]'' < 20') AS by_index;
SELECT count(*) = count(*) FILTER (WHERE d < 12) AS within, count(*) = count(DISTINCT id) AS once,
	count(*) = (SELECT count(*) FROM bound_items WHERE (v <-> '[9.4,9.3,9.2]') + 0 < 12) AS all_of_them
	FROM (SELECT id, v <-> '[9.4,9.3,9.2]' AS d FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 12 OFFSET 0) t;
SET work_mem = '64kB';
SET hnsw.ef_search = 2;
SELECT count(*), count(DISTINCT id) FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 1000;
SELECT count(*) = count(DISTINCT id) AS once, count(*) = (SELECT count(*) FROM bound_items WHERE (v <+> '[9.4,9.3,9.2]') + 0 < 20) AS all_of_them
	FROM bound_items WHERE v <+> '[9.4,9.3,9.2]' < 20;
SELECT r, n FROM (VALUES (1000.0::float8), (-1), (1), (500)) b(r),
	LATERAL (SELECT count(*) AS n FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' <= b.r OFFSET 0) c;
RESET work_mem;
RESET hnsw.ef_search;
RESET enable_seqscan;
-- The planner looks at a few pages of the index, where it knows what is compared
SELECT most, bound_by_index(format('v <-> ''[9.4,9.3,9.2]'' < %s', most)) FROM unnest('{1,2,8,1000}'::float8[]) most;
SELECT bound_by_index('v <-> ''[9.4,9.3]'' < 1000');
SELECT bound_by_index('v <-> NULL < 1000'), bound_by_index('v <-> ''[9.4,9.3,9.2]'' < (SELECT 1000)');
SET hnsw.iterative_scan = off;
EXPLAIN (COSTS OFF) SELECT id FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 2;
SET hnsw.iterative_scan = strict_order;
CREATE TABLE bound_few AS SELECT * FROM bound_items LIMIT 500;
CREATE INDEX ON bound_few USING hnsw (v vector_l2_ops);
ANALYZE bound_few;
EXPLAIN (COSTS OFF) SELECT id FROM bound_few WHERE v <-> '[9.4,9.3,9.2]' < 2;
DROP TABLE bound_few;
-- an index of another column is better where it leaves fewer; no scan of ours looks for what is to be changed
CREATE INDEX bound_items_id ON bound_items (id);
EXPLAIN (COSTS OFF) SELECT id FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 2 AND id < 10;
EXPLAIN (COSTS OFF) DELETE FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 2;
EXPLAIN (COSTS OFF) UPDATE bound_items SET tag = 0 WHERE v <-> '[9.4,9.3,9.2]' < 2;

-- It claims no order, in whatever place of a query
EXPLAIN (COSTS OFF) SELECT id FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 2 ORDER BY id LIMIT 3;
EXPLAIN (COSTS OFF) SELECT tag, count(*) FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 2 GROUP BY tag;
EXPLAIN (COSTS OFF) SELECT * FROM (SELECT id, v <-> '[9.4,9.3,9.2]' AS d FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 2 OFFSET 0) t ORDER BY d;
SELECT bool_and(d >= previous) AS ordered, count(*) > 20 AS many FROM (SELECT d, lag(d) OVER () AS previous
	FROM (SELECT * FROM (SELECT v <-> '[9.4,9.3,9.2]' AS d FROM bound_items WHERE v <-> '[9.4,9.3,9.2]' < 2 OFFSET 0) t ORDER BY d) u) w WHERE previous IS NOT NULL;
SELECT count(*), count(DISTINCT a.id) FROM (SELECT id FROM bound_items WHERE v <-> '[0,0,0]' <= 2 OFFSET 0) a
	JOIN bound_items b ON b.v <-> '[0,0,0]' <= 1;
SELECT EXISTS (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= 1) AS there, EXISTS (SELECT 1 FROM bound_items WHERE v <-> '[0.5,0.5,0.5]' < 0.5) AS not_there;
-- for each row of another table, where NULL is near to nothing; for a table in parts, one of them without an index
SELECT r, n FROM (VALUES (0.0::float8), (1), (2), (-1), (NULL)) b(r),
	LATERAL (SELECT count(*) AS n FROM bound_items WHERE v <-> '[0,0,0]' <= b.r OFFSET 0) c ORDER BY r;
CREATE TABLE bound_parts (id int, tag int, v vector(3)) PARTITION BY LIST (tag);
CREATE TABLE bound_parts_0 PARTITION OF bound_parts FOR VALUES IN (0);
CREATE TABLE bound_parts_1 PARTITION OF bound_parts FOR VALUES IN (1, 2);
INSERT INTO bound_parts SELECT id, tag, v FROM bound_items;
CREATE INDEX ON bound_parts_1 USING hnsw (v vector_l2_ops);
ANALYZE bound_parts;
EXPLAIN (COSTS OFF) SELECT id FROM bound_parts WHERE v <-> '[0,0,0]' <= 2;
SELECT count(*) FROM bound_parts WHERE v <-> '[0,0,0]' <= 2;
CREATE INDEX ON bound_parts_0 USING hnsw (v vector_l2_ops);
SELECT count(*) FROM (SELECT id FROM bound_parts WHERE v <-> '[0,0,0]' <= 2 ORDER BY v <-> '[0,0,0]' LIMIT 100) t;
DROP TABLE bound_parts;

-- Policies come first: what a user compares with ends no scan before they have a say, nor is it evaluated
CREATE ROLE bound_reader;
GRANT SELECT ON bound_items TO bound_reader;
CREATE FUNCTION bound_leak(float8) RETURNS float8 STABLE LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'evaluated'; RETURN $1; END $$;
ALTER TABLE bound_items ENABLE ROW LEVEL SECURITY;
CREATE POLICY bound_policy ON bound_items USING (tag = 1);
SET ROLE bound_reader;
SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= 2 ORDER BY v <-> '[0,0,0]' LIMIT 100) t;
SET enable_seqscan = off;
SET enable_sort = off;
SELECT bound_removed('SELECT 1 FROM bound_items WHERE v <-> ''[0,0,0]'' <= 2 ORDER BY v <-> ''[0,0,0]'' LIMIT 100') > 7000 AS read_all;
SELECT bound_removed('SELECT 1 FROM bound_items WHERE 3 - (v <-> ''[0,0,0]'') >= 1 ORDER BY v <-> ''[0,0,0]'' LIMIT 100') > 7000 AS read_all;
RESET enable_seqscan;
RESET enable_sort;
EXPLAIN (COSTS OFF) SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= 2;
-- where no row passes the policy, nothing that is the user's is evaluated
RESET ROLE;
ALTER POLICY bound_policy ON bound_items USING (tag = 7);
SET ROLE bound_reader;
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan;
PREPARE bound_leaks(float8) AS SELECT count(*) FROM (SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= bound_leak($1) ORDER BY v <-> '[0,0,0]' LIMIT 100) t;
PREPARE bound_leaks_alone(float8) AS SELECT count(*) FROM bound_items WHERE bound_leak($1) - (v <-> '[0,0,0]') >= -1;
EXECUTE bound_leaks(0.5);
EXECUTE bound_leaks_alone(0);
RESET ROLE;
-- who owns the table sees it evaluated where the scan begins, and for the rows that it gives
EXECUTE bound_leaks(0.5);
EXECUTE bound_leaks_alone(-1);
RESET plan_cache_mode;
RESET enable_seqscan;
-- a bound that is the policy's, or beside a policy that leaves nothing to ask, serves
ALTER POLICY bound_policy ON bound_items USING (v <-> '[0,0,0]' <= 2);
SET ROLE bound_reader;
EXPLAIN (COSTS OFF) SELECT id FROM bound_items;
SELECT count(*) FROM bound_items;
SELECT count(*) FROM bound_items WHERE v <-> '[0,0,0]' <= 1;
RESET ROLE;
ALTER POLICY bound_policy ON bound_items USING (true);
SET ROLE bound_reader;
SELECT bound_removed('SELECT 1 FROM bound_items WHERE v <-> ''[0,0,0]'' <= 2 ORDER BY v <-> ''[0,0,0]'' LIMIT 100') < 100 AS read_few;
RESET ROLE;
-- and for who is above the policies, and for a table beside one that has some
ALTER POLICY bound_policy ON bound_items USING (tag = 1);
SELECT bound_removed('SELECT 1 FROM bound_items WHERE v <-> ''[0,0,0]'' <= 2 ORDER BY v <-> ''[0,0,0]'' LIMIT 100') < 100 AS read_few;
CREATE TABLE bound_open AS SELECT * FROM bound_items;
CREATE INDEX bound_open_v ON bound_open USING hnsw (v vector_l2_ops);
ANALYZE bound_open;
GRANT SELECT ON bound_open TO bound_reader;
SET ROLE bound_reader;
EXPLAIN (COSTS OFF) SELECT o.id FROM bound_open o JOIN bound_items i USING (id) WHERE o.v <-> '[0,0,0]' <= 2;
SELECT count(*) FROM bound_open o JOIN bound_items i USING (id) WHERE o.v <-> '[0,0,0]' <= 2;
-- the same through a prepared plan, made anew for another role
PREPARE bound_prepared AS SELECT 1 FROM bound_items WHERE v <-> '[0,0,0]' <= 2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE bound_prepared;
RESET ROLE;
EXPLAIN (COSTS OFF) EXECUTE bound_prepared;
SET ROLE bound_reader;
EXPLAIN (COSTS OFF) EXECUTE bound_prepared;
RESET ROLE;
RESET plan_cache_mode;
DEALLOCATE ALL;
DROP TABLE bound_items, bound_open;
DROP ROLE bound_reader;
DROP FUNCTION bound_removed, bound_compare, bound_by_index, bound_alone, bound_leak;
RESET hnsw.iterative_scan;
RESET max_parallel_workers_per_gather;
