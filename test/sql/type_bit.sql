-- Distances of the type bit.
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

-- Every length of the last byte counts its own bits only
SELECT hamming_distance(B'111', B'110'), jaccard_distance(B'111', B'110'), B'1010' <~> B'0101', B'1010' <%> B'0101';
SELECT bool_and(a <~> b = length(replace((a # b)::text, '0', ''))) AS hamming,
	bool_and(a <%> b = CASE WHEN (a & b)::text !~ '1' THEN 1
		ELSE 1 - length(replace((a & b)::text, '0', ''))::float8 / length(replace((a | b)::text, '0', '')) END) AS jaccard,
	count(*)
FROM (SELECT (repeat('110', n))::varbit::bit(400) << k AS a, (repeat('10010', n))::varbit::bit(400) AS b
	FROM generate_series(1, 60) n, generate_series(0, 8) k) s;
SELECT bool_and(a <~> ~a = n), bool_and(a <%> a = 0)
FROM (SELECT n, repeat('1', n)::varbit AS a FROM generate_series(1, 300) n) s;

-- Nothing in common: the Jaccard distance is 1, of empty sets too
SELECT B'000' <%> B'000', B'000' <%> B'111', B'' <~> B'', B'' <%> B'', B'1' <~> null;

-- Different lengths
SELECT pg_temp.try($$ SELECT B'111' <~> B'11' $$), pg_temp.try($$ SELECT jaccard_distance(B'1', B'') $$);

-- The search this is made for
SELECT v, binary_quantize(v) <~> binary_quantize('[1,-1,1]'::vector) AS distance
FROM (VALUES ('[1,1,1]'::vector), ('[-1,1,-1]'), ('[2,-2,2]')) t (v)
ORDER BY 2, 1;

-- Longer than a page, so stored compressed or out of line
CREATE TEMP TABLE wide AS SELECT i, repeat(i::text, 80000)::varbit AS b FROM generate_series(0, 1) i;
SELECT a.b <~> b.b AS hamming, a.b <%> b.b AS jaccard FROM wide a, wide b ORDER BY a.i, b.i;
