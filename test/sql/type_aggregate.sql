-- avg and sum.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
-- What a statement gives: its value, or its SQLSTATE, message and detail.
CREATE FUNCTION pg_temp.try(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
BEGIN
	EXECUTE query INTO result;
	RETURN coalesce(result, 'null');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''));
END
$$;


SELECT avg(v), sum(v), count(v) FROM unnest(ARRAY['[1,2,3]'::vector, NULL, '[3,5,7]']) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::halfvec, NULL, '[3,5,7]']) v;
SELECT pg_typeof(avg(v)), pg_typeof(sum(v)), pg_typeof(avg(v::halfvec)), pg_typeof(sum(v::halfvec)) FROM unnest(ARRAY['[1]'::vector]) v;

-- No rows, only nulls
SELECT avg(v), sum(v), avg(v::halfvec), sum(v::halfvec) FROM unnest(ARRAY[]::vector[]) v;
SELECT avg(v), sum(v), avg(v::halfvec), sum(v::halfvec) FROM unnest(ARRAY[null, null]::vector[]) v;

-- Different dimensions
SELECT pg_temp.try($$ SELECT avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v $$),
	pg_temp.try($$ SELECT sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v $$),
	pg_temp.try($$ SELECT avg(v) FROM unnest(ARRAY['[1]'::halfvec, '[3,4]']) v $$);

-- The sums are doubles: large elements may pass through, small ones are not lost
SELECT avg(v), sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]', '[-3e38]']) v;
SELECT avg(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v;
SELECT sum(v), avg(v) FROM (SELECT '[1]'::halfvec AS v FROM generate_series(1, 5000)) s;
SELECT sum(v) FROM (SELECT '[1]'::vector AS v FROM generate_series(1, 10) UNION ALL SELECT '[1e8]' UNION ALL SELECT '[-1e8]') s;

-- A result out of range is an error
SELECT pg_temp.try($$ SELECT sum(v) FROM unnest(ARRAY['[1,3e38]'::vector, '[1,3e38]']) v $$),
	pg_temp.try($$ SELECT sum(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v $$);

-- Groups, hashed and sorted, and moving frames
CREATE TEMP TABLE series AS SELECT i, i % 3 AS g, ARRAY[i, -i, 1]::vector AS v, ARRAY[i, -i, 1]::halfvec AS h FROM generate_series(1, 9) i;
SET enable_hashagg = off;
SELECT g, avg(v), sum(h) FROM series GROUP BY g ORDER BY g;
RESET enable_hashagg;
SET enable_sort = off;
SELECT g, avg(v), sum(h) FROM series GROUP BY g ORDER BY g;
RESET enable_sort;
SELECT i, sum(v) OVER w, avg(h) OVER w FROM series WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY i;
SELECT i, sum(v) OVER (ORDER BY i) FROM series ORDER BY i;
SELECT avg(DISTINCT v), avg(v) FILTER (WHERE i > 8), avg(v ORDER BY i) FROM series;

-- Parallel: the plan, and the same results as one process gives
CREATE TABLE aggregate_rows AS
SELECT i % 7 AS g, ARRAY[i, i % 10, -i]::vector AS v, ARRAY[i % 100, i % 10, 0.5]::halfvec AS h FROM generate_series(1, 20000) i;
ALTER TABLE aggregate_rows SET (parallel_workers = 2);
ANALYZE aggregate_rows;
CREATE TEMP TABLE single AS SELECT g, avg(v) AS av, sum(v) AS sv, avg(h) AS ah, sum(h - '[50,5,0]') AS sh FROM aggregate_rows GROUP BY g;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v), avg(h), sum(h) FROM aggregate_rows;
CREATE TEMP TABLE parallel AS SELECT g, avg(v) AS av, sum(v) AS sv, avg(h) AS ah, sum(h - '[50,5,0]') AS sh FROM aggregate_rows GROUP BY g;
SELECT count(*), bool_and(s.av = p.av AND s.sv = p.sv AND s.ah = p.ah AND s.sh = p.sh) AS same FROM single s JOIN parallel p USING (g);
SELECT avg(v) = ARRAY[10000.5, 4.5, -10000.5]::vector, sum(v), avg(h) FROM aggregate_rows;
SELECT avg(v) FROM aggregate_rows WHERE g > 7;
-- (which of the two comes first is chance)
SELECT pg_temp.try($$ SELECT avg(CASE WHEN g = 3 THEN v || '[1]' ELSE v END) FROM aggregate_rows $$)
	IN ('22000 | expected 3 dimensions, not 4', '22000 | expected 4 dimensions, not 3') AS refused;
RESET ALL;
DROP TABLE aggregate_rows;

-- Called by hand the functions leave their argument alone, and take no bad state
SELECT s, vector_accum(s, '[1,2]'), vector_combine(s, s), vector_avg(s), vector_sum(s), halfvec_avg(s) FROM (VALUES ('{2,10,20}'::float8[])) t (s);
SELECT vector_accum('{0}', '[1,2]'), vector_combine('{0}', '{1,5}'), vector_combine('{1,5}', '{0}'), vector_combine('{0}', '{0}'), vector_avg('{0}'), vector_avg('{0,1}');
SELECT call, pg_temp.try('SELECT ' || call)
FROM unnest(ARRAY[
	'vector_accum(''{}'', ''[1]'')', 'vector_accum(''{{1,2}}'', ''[1]'')', 'vector_accum(''{1,null}'', ''[1]'')', 'vector_accum(''{1,2,3}'', ''[1]'')',
	'vector_combine(''{1,2,3}'', ''{1,2}'')', 'vector_combine(''{}'', ''{1}'')', 'halfvec_accum(''{1,2,3}'', ''[1]'')',
	'vector_avg(''{}'')', 'vector_avg(''{1}'')', 'vector_avg(''{1,NaN}'')', 'vector_avg(''{1,Infinity}'')', 'halfvec_avg(''{1,NaN}'')', 'halfvec_sum(''{1,1e5}'')',
	'vector_accum(''{1,1.7e308}'', ''[1]'')', 'vector_combine(''{1,1.7e308}'', ''{1,1.7e308}'')', 'vector_avg(array_fill(1::float8, ARRAY[16002]))',
	'vector_dims(vector_avg(array_fill(1::float8, ARRAY[16001])))'
]) AS call;
