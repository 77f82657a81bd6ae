-- The distances that a scan announces are true bounds wherever a float's range
-- or precision ends, so that the executor puts rows into their exact order.
SET client_min_messages = warning;
SET enable_seqscan = off;
SET hnsw.ef_search = 400;

-- For every so many rows the ten nearest, by the index and by a full sort: how many
-- searches there were, and how many differ.
CREATE FUNCTION hb_compare(tab regclass, op text, every int, OUT searches int, OUT differ int) LANGUAGE plpgsql AS $$
DECLARE
	q text;
	by_index float8[];
	by_sort float8[];
BEGIN
	searches := 0;
	differ := 0;
	FOR q IN EXECUTE format('SELECT v::text FROM %s WHERE id %% %s = 0 ORDER BY id', tab, every) LOOP
		searches := searches + 1;
		EXECUTE format('SELECT array_agg(d) FROM (SELECT v %s %L AS d FROM %s ORDER BY v %s %L LIMIT 10) t', op, q, tab, op, q)
			INTO by_index;
		EXECUTE format('SELECT array_agg(d) FROM (SELECT d FROM (SELECT v %s %L AS d FROM %s OFFSET 0) t ORDER BY d LIMIT 10) t', op, q, tab)
			INTO by_sort;
		IF by_index IS DISTINCT FROM by_sort THEN
			differ := differ + 1;
		END IF;
	END LOOP;
END $$;
SELECT setseed(0.5);

-- Rows equal in half precision, yet not equal: they share a node.
CREATE TABLE hb_near (id int, v vector(2));
INSERT INTO hb_near SELECT i, ARRAY[100 + i * 3, -50 - i]::vector FROM generate_series(1, 150) i;
INSERT INTO hb_near SELECT 150 + i, ARRAY[(100 + i * 3) * (1 + 0.0004 * random()), (-50 - i) * (1 + 0.0004 * random())]::vector
	FROM generate_series(1, 150) i;
CREATE INDEX hb_near_idx ON hb_near USING hnsw (v vector_l2_ops);
SELECT * FROM hb_compare('hb_near', '<->', 1);

-- Products that a float cannot hold
CREATE TABLE hb_small (id int, v sparsevec(8));
INSERT INTO hb_small SELECT i, ARRAY[random() * s, random() * s, random() * s, 0, 0, 0, 0, s]::vector::sparsevec
	FROM generate_series(1, 300) i, (VALUES (1e-22)) t(s);
CREATE INDEX hb_small_l2 ON hb_small USING hnsw (v sparsevec_l2_ops);
SELECT * FROM hb_compare('hb_small', '<->', 10);
CREATE INDEX hb_small_ip ON hb_small USING hnsw (v sparsevec_ip_ops);
SELECT * FROM hb_compare('hb_small', '<#>', 10);
CREATE TABLE hb_large (id int, v sparsevec(8));
INSERT INTO hb_large SELECT i, ARRAY[random() * s, random() * s, random() * s, 0, 0, 0, 0, s]::vector::sparsevec
	FROM generate_series(1, 300) i, (VALUES (1e30)) t(s);
CREATE INDEX hb_large_l2 ON hb_large USING hnsw (v sparsevec_l2_ops);
SELECT * FROM hb_compare('hb_large', '<->', 10);
CREATE TABLE hb_first (id int, v vector(2));
CREATE INDEX hb_first_idx ON hb_first USING hnsw (v vector_ip_ops);
INSERT INTO hb_first VALUES (1, '[1e38,1e38]');
INSERT INTO hb_first SELECT i, ARRAY[random(), random()]::vector FROM generate_series(2, 300) i;
SELECT * FROM hb_compare('hb_first', '<#>', 10);

-- Strict order is strict to the last digit, over many rounds of the search.
CREATE TABLE hb_strict (id int, v vector(4));
INSERT INTO hb_strict SELECT i, ARRAY[random(), random(), random(), random()]::vector FROM generate_series(1, 3000) i;
CREATE INDEX hb_strict_idx ON hb_strict USING hnsw (v vector_l2_ops);
SET hnsw.ef_search = 40;
SET hnsw.iterative_scan = strict_order;
SELECT count(*) > 2000 AS many, count(*) FILTER (WHERE d < previous) AS out_of_order
	FROM (SELECT d, lag(d) OVER (ORDER BY place) AS previous
		FROM (SELECT row_number() OVER () AS place, d
			FROM (SELECT v <-> '[0.5,0.5,0.5,0.5]' AS d FROM hb_strict ORDER BY v <-> '[0.5,0.5,0.5,0.5]' LIMIT 2500) a) b) c;
RESET hnsw.iterative_scan;

-- min() of the distance is the first row of an ordered scan where there is a true order,
-- and is computed from all rows under relaxed_order.  A graph of few links is searched in
-- many rounds, whose first row is seldom the nearest.
CREATE FUNCTION hb_is_by_index(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line LIKE '%Index Scan using%' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;
CREATE TABLE hb_min (id int, v vector(24)) PARTITION BY RANGE (id);
CREATE TABLE hb_min_low PARTITION OF hb_min FOR VALUES FROM (1) TO (1001);
CREATE TABLE hb_min_high PARTITION OF hb_min FOR VALUES FROM (1001) TO (2001);
INSERT INTO hb_min SELECT i, array_agg(random())::vector FROM generate_series(1, 2000) i, generate_series(1, 24) GROUP BY i ORDER BY i;
CREATE INDEX ON hb_min USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 4);
ANALYZE hb_min;
SET hnsw.ef_search = 1;
CREATE FUNCTION hb_min_plans(OUT mode text, OUT lone boolean, OUT turned boolean, OUT partitioned boolean, OUT filtered boolean,
	OUT inner_query boolean, OUT in_union boolean, OUT ordered boolean) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	q text := quote_literal(array_fill(0.5, ARRAY[24])::vector);
BEGIN
	FOREACH mode IN ARRAY ARRAY['off', 'strict_order', 'relaxed_order'] LOOP
		PERFORM set_config('hnsw.iterative_scan', mode, true);
		lone := hb_is_by_index('SELECT min(v <-> ' || q || ') FROM hb_min_low');
		turned := hb_is_by_index('SELECT min(' || q || ' <-> v) FROM hb_min_low');
		partitioned := hb_is_by_index('SELECT min(v <-> ' || q || ') FROM hb_min');
		filtered := hb_is_by_index('SELECT min(v <-> ' || q || ') FROM hb_min_low WHERE id % 3 = 0 HAVING min(v <-> ' || q || ') > 0');
		inner_query := hb_is_by_index('SELECT (SELECT min(a.v <-> b.v) FROM hb_min_low a) FROM hb_min_high b');
		in_union := hb_is_by_index('SELECT min(d) FROM (SELECT v <-> ' || q || ' AS d FROM hb_min_low UNION ALL SELECT v <-> ' || q ||
			' FROM hb_min_high) t');
		-- a query beside it that asks for the order itself has it in each mode
		ordered := hb_is_by_index('SELECT max(d) FROM (SELECT v <-> ' || q || ' AS d FROM hb_min_low ORDER BY d LIMIT 1) t');
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM hb_min_plans();
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*) AS searches, count(*) FILTER (WHERE least <> truth) AS differ
	FROM (SELECT (SELECT min(a.v <-> b.v) FROM hb_min a WHERE a.id <> b.id) AS least,
			(SELECT min((a.v <-> b.v) + 0) FROM hb_min a WHERE a.id <> b.id) AS truth FROM hb_min b WHERE b.id % 40 = 0) t;
-- a join gives parameters to scans of some partitions, and a copy of the others
CREATE INDEX ON hb_min_low (id);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT count(*) FROM (SELECT 1 FROM (VALUES (3), (1), (2)) n(n) LEFT JOIN hb_min a ON a.id = n
	GROUP BY a.v <-> array_fill(0.5, ARRAY[24])::vector ORDER BY a.v <-> array_fill(0.5, ARRAY[24])::vector) t;
-- a partition that another index gives in that order makes it the order of all: scans of ours are sorted
CREATE INDEX ON hb_min_high ((v <-> array_fill(0.5, ARRAY[24])::vector));
ANALYZE hb_min;
SELECT (SELECT min(v <-> array_fill(0.5, ARRAY[24])::vector) FROM hb_min) =
	(SELECT min((v <-> array_fill(0.5, ARRAY[24])::vector) + 0) FROM hb_min) AS same;
RESET enable_bitmapscan;
RESET enable_seqscan;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
RESET hnsw.iterative_scan;
DROP TABLE hb_min;
DROP FUNCTION hb_min_plans, hb_is_by_index;

-- Rows found dead use up ef_search once, not for ever.
CREATE TABLE hb_dead (id int, v vector(2)) WITH (autovacuum_enabled = off);
INSERT INTO hb_dead SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 300) i;
CREATE INDEX hb_dead_idx ON hb_dead USING hnsw (v vector_l2_ops);
SET hnsw.ef_search = 20;
DELETE FROM hb_dead WHERE id <= 30;
DO $$ BEGIN
	FOR i IN 1 .. 20 LOOP
		PERFORM id FROM hb_dead ORDER BY v <-> '[0,0]' LIMIT 10;
	END LOOP;
END $$;
SELECT array_agg(id) FROM (SELECT id FROM hb_dead ORDER BY v <-> '[0,0]' LIMIT 10) t;
DROP TABLE hb_near, hb_small, hb_large, hb_first, hb_strict, hb_dead;
DROP FUNCTION hb_compare;
