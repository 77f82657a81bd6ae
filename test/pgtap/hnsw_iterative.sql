-- Iterative scans of hnsw: filters that reject most of what the index gives.
\set schema hnsw_iterative
\set seed 0.34
\ir hnsw_recall.psql
SELECT plan(36);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;

-- 10,000 rows; tenths, hundredths and thousandths of them are marked, at random
-- places.
CREATE TABLE items AS
	SELECT id, v::vector(16), (random() * 10)::int = 5 AS tenth, id % 100 = 7 AS hundredth, id % 1000 = 7 AS thousandth
	FROM clustered(10000, 16, 50, 0.5);
CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops);
CREATE TABLE queries AS SELECT id, v::vector(16) FROM clustered(10, 16, 50, 0.5);
VACUUM ANALYZE items;

-- One filtered search for each query: how many rows, whether each once, whether
-- in order, what part of the exact answer, and the most that were read
CREATE FUNCTION search(filter text, k int, OUT fewest int, OUT most int, OUT distinct_rows boolean,
		OUT ordered boolean, OUT recall numeric) LANGUAGE plpgsql AS $$
DECLARE
	q record;
	ids int[];
	dist float8[];
	truth int[];
	hits int := 0;
	asked int := 0;
BEGIN
	distinct_rows := true;
	ordered := true;
	FOR q IN SELECT * FROM queries LOOP
		EXECUTE format('SELECT coalesce(array_agg(id), ''{}''), coalesce(array_agg(d), ''{}'')
				FROM (SELECT id, v <-> $1 AS d FROM items WHERE %s ORDER BY v <-> $1 LIMIT %s) t', filter, k)
			INTO ids, dist USING q.v;
		EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM items WHERE %s ORDER BY (v <-> $1) + 0 LIMIT %s) t', filter, k)
			INTO truth USING q.v;
		fewest := least(fewest, cardinality(ids));
		most := greatest(most, cardinality(ids));
		distinct_rows := distinct_rows AND cardinality(ids) = (SELECT count(DISTINCT i) FROM unnest(ids) i);
		FOR i IN 2..cardinality(dist) LOOP
			ordered := ordered AND dist[i] >= dist[i - 1];
		END LOOP;
		hits := hits + (SELECT count(*) FROM unnest(ids) i WHERE i = ANY (truth));
		asked := asked + cardinality(truth);
	END LOOP;
	recall := round(hits::numeric / asked, 4);
END $$;

CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query;
END $$;

SET hnsw.ef_search = 40;
SELECT is((SELECT current_setting('hnsw.iterative_scan')), 'strict_order', 'a scan goes on unless it is told not to');
SELECT alike((SELECT string_agg(l, ' ') FROM plan_of('SELECT id FROM items WHERE hundredth ORDER BY v <-> (SELECT v FROM queries LIMIT 1) LIMIT 10') l),
	'%Index Scan using items_idx%', 'the filtered search goes through the index');

-- off: what the one search gives, filtered
SET hnsw.iterative_scan = off;
SELECT * INTO TEMP r FROM search('true', 10);
SELECT is(fewest, 10, 'off, no filter: full answers') FROM r;
SELECT ok(ordered, 'off, no filter: in order') FROM r;
DROP TABLE r;
SELECT * INTO TEMP r FROM search('thousandth', 10);
SELECT cmp_ok(fewest, '<', 10, 'off, 1 row in 1,000: an answer may be short') FROM r;
SELECT ok(ordered, 'off, 1 row in 1,000: in order') FROM r;
DROP TABLE r;

-- relaxed_order: as many as match; the order may be off a little between rounds
SET hnsw.iterative_scan = relaxed_order;
SELECT * INTO TEMP r FROM search('tenth', 10);
SELECT is(fewest, 10, 'relaxed, 1 in 10: full answers') FROM r;
SELECT ok(distinct_rows, 'relaxed, 1 in 10: each row once') FROM r;
SELECT cmp_ok(recall, '>=', 0.9, format('relaxed, 1 in 10: recall is %s', recall)) FROM r;
DROP TABLE r;
SELECT * INTO TEMP r FROM search('hundredth', 10);
SELECT is(fewest, 10, 'relaxed, 1 in 100: full answers') FROM r;
SELECT ok(distinct_rows, 'relaxed, 1 in 100: each row once') FROM r;
SELECT cmp_ok(recall, '>=', 0.95, format('relaxed, 1 in 100: recall is %s', recall)) FROM r;
DROP TABLE r;
SELECT * INTO TEMP r FROM search('thousandth', 10);
SELECT is(fewest, 10, 'relaxed, 1 in 1,000, all of those asked for: full answers') FROM r;
DROP TABLE r;
SELECT * INTO TEMP r FROM search('thousandth', 20);
SELECT is(most, 10, 'relaxed, more asked for than match: those that match') FROM r;
SELECT ok(distinct_rows, 'relaxed, more asked for than match: each row once') FROM r;
DROP TABLE r;

-- strict_order: the same in order
SET hnsw.iterative_scan = strict_order;
SELECT * INTO TEMP r FROM search('tenth', 10);
SELECT is(fewest, 10, 'strict, 1 in 10: full answers') FROM r;
SELECT ok(ordered, 'strict, 1 in 10: in order') FROM r;
SELECT ok(distinct_rows, 'strict, 1 in 10: each row once') FROM r;
SELECT cmp_ok(recall, '>=', 0.8, format('strict, 1 in 10: recall is %s', recall)) FROM r;
DROP TABLE r;
SELECT * INTO TEMP r FROM search('hundredth', 10);
SELECT is(fewest, 10, 'strict, 1 in 100: full answers') FROM r;
SELECT ok(ordered, 'strict, 1 in 100: in order') FROM r;
SELECT cmp_ok(recall, '>=', 0.9, format('strict, 1 in 100: recall is %s', recall)) FROM r;
DROP TABLE r;

-- The first round of strict_order is a search without iteration: the rows of it, in its order.
-- Of the last few it returns what is nearer by the operator, and not only by what the index knows.
CREATE FUNCTION first_rows(mode text, ef int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('hnsw.iterative_scan', mode, true), set_config('hnsw.ef_search', ef::text, true);
	RETURN QUERY SELECT q.id || ':' || (SELECT string_agg(n.id::text, ' ') FROM
		(SELECT i.id FROM items i ORDER BY i.v <-> q.v LIMIT ef - 8) n) FROM queries q ORDER BY q.id;
END $$;
SELECT results_eq(format($$SELECT * FROM first_rows('strict_order', %s)$$, ef), format($$SELECT * FROM first_rows('off', %s)$$, ef),
		format('strict, ef_search %s: the first %s rows are those without iteration', ef, ef - 8))
	FROM unnest(ARRAY[10, 40, 400]) ef;

-- max_scan_tuples ends the search, and is near to what was visited
SET hnsw.iterative_scan = relaxed_order;
SET hnsw.max_scan_tuples = 500;
CREATE FUNCTION rows_read() RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> (SELECT v FROM queries WHERE id = 1) LIMIT 10000) t $$;
SELECT cmp_ok(rows_read(), '<', 1500::bigint, 'max_scan_tuples 500 ends the scan soon after');
SELECT cmp_ok(rows_read(), '>=', 400::bigint, 'max_scan_tuples 500 does not end the scan long before');
SET hnsw.max_scan_tuples = 3000;
SELECT cmp_ok(rows_read(), '<', 5000::bigint, 'max_scan_tuples 3000 ends the scan soon after');
SELECT cmp_ok(rows_read(), '>=', 2500::bigint, 'max_scan_tuples 3000 does not end the scan long before');
SET hnsw.max_scan_tuples = 1;
SELECT cmp_ok(rows_read(), '>=', 40::bigint, 'max_scan_tuples 1 leaves the first round whole');
RESET hnsw.max_scan_tuples;
SET hnsw.scan_mem_multiplier = 4;
SELECT is(rows_read(), 10000::bigint, 'with the default max_scan_tuples every row is read, once');
SET hnsw.max_scan_tuples = 500;
SELECT * INTO TEMP r FROM search('thousandth', 10);
SELECT cmp_ok(fewest, '<', 10, 'max_scan_tuples 500, 1 row in 1,000: an answer may be short') FROM r;
DROP TABLE r;
RESET hnsw.max_scan_tuples;

-- What costs memory may end early, and stays right.
SET hnsw.scan_mem_multiplier = 1;
SET work_mem = '64kB';
SELECT * INTO TEMP r FROM search('hundredth', 10);
SELECT ok(distinct_rows, 'little memory: each row once') FROM r;
DROP TABLE r;
SELECT * INTO TEMP r FROM search('true', 10);
SELECT is(fewest, 10, 'little memory: the first round is whole') FROM r;
DROP TABLE r;
RESET work_mem;

-- A scan that is begun again starts from the front.
SELECT is((SELECT count(*) FROM queries q, LATERAL
		(SELECT id FROM items WHERE hundredth ORDER BY v <-> q.v LIMIT 10) n), 100::bigint, 'rescans give full answers');
SELECT is_empty($$SELECT * FROM hnsw_check('items_idx')$$, 'structure is sound');

SELECT * FROM finish();
DROP SCHEMA :schema CASCADE;
