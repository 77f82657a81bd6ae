-- The type halfvec: text form, type modifier, functions, operators, errors.
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

-- Text form: spaces, signs, exponents; the shortest text of the value as float
SELECT '[1,2,3]'::halfvec;
SELECT E' \t[ 1 ,\n -2.5 , +.5,1e3 ,-0, 7. ] '::halfvec;
SELECT '[0.1,65504,65519.99,-65504,6e-8,5.9604645e-08,2.9e-8,6.1035156e-05]'::halfvec;

-- Rounded to nearest, ties to even, and once: 2049 is a tie
SELECT '[2049,2051,2049.0000001,2050.9999999,1e-50]'::halfvec;
SELECT ARRAY[2049, 2051, 2049.0000001, 2050.9999999, 1e-50]::float8[]::halfvec;

-- Malformed literals
SELECT literal, pg_temp.try(format('SELECT %L::halfvec', literal))
FROM unnest(ARRAY[
	'', ' ', '1', '[', ']', '[]', '[ ]', '[,]', '[1', '[1,', '[1,]', '[,1]', '[1,,2]',
	'[1 2]', '1,2]', '[1,2]]', '[1,2]x', '[[1,2]]', '{1,2}', '(1,2)', '[a]', '[1,b]', '[1e]',
	'[1.2.3]', '[--1]', '[0x10]', '[1e+]', '[null]', '[''1'']', '[1;2]'
]) AS literal;

-- NaN, infinity and numbers too large
SELECT literal, pg_temp.try(format('SELECT %L::halfvec', literal))
FROM unnest(ARRAY[
	'[NaN]', '[1,-nan]', '[Infinity]', '[1,-inf]', '[65519.999]', '[65520]', '[1,-65520]', '[70000]', '[1e39]', '[1,1e400]'
]) AS literal;

-- A long literal is quoted in part only
SELECT length(pg_temp.try(format('SELECT %L::halfvec', '[' || repeat('1,', 5000) || 'x]'))) < 1000 AS short;

-- The limit
SELECT vector_dims(('[' || repeat('1,', 15999) || '1]')::halfvec);
SELECT pg_temp.try($$ SELECT ('[' || repeat('1,', 16000) || '1]')::halfvec $$);
SELECT pg_temp.try($$ SELECT ('[' || repeat('1,', 100000) || '1]')::halfvec $$);

-- Type modifier
SELECT '[1,2,3]'::halfvec(3);
SELECT '[1,2,3]'::halfvec(2);
SELECT pg_temp.try($$ SELECT '[1,2,3]'::halfvec::halfvec(4) $$);
SELECT format_type('halfvec'::regtype, 3), format_type('halfvec'::regtype, -1);
SELECT definition, pg_temp.try(format('SELECT null::%s', definition))
FROM unnest(ARRAY[
	'halfvec(1)', 'halfvec(16000)', 'halfvec(0)', 'halfvec(-1)', 'halfvec(16001)', 'halfvec(2147483648)',
	'halfvec(3,4)', 'halfvec(a)', 'halfvec()', 'halfvec[]', 'halfvec(3)[]'
]) AS definition;
CREATE TEMP TABLE fixed (v halfvec(2));
INSERT INTO fixed VALUES ('[1,2]'), (null);
INSERT INTO fixed VALUES ('[1]');
INSERT INTO fixed SELECT '[1,2,3]'::halfvec;
UPDATE fixed SET v = v || '[3]';
SELECT * FROM fixed;
ALTER TABLE fixed ALTER v TYPE halfvec(3);
ALTER TABLE fixed ALTER v TYPE halfvec(3) USING v || '[3]';
SELECT * FROM fixed;
DROP TABLE fixed;

-- Distances
SELECT l2_distance('[0,0]'::halfvec, '[3,4]'), '[0,0]'::halfvec <-> '[3,4]';
SELECT inner_product('[1,2]'::halfvec, '[3,4]'), '[1,2]'::halfvec <#> '[3,4]';
SELECT cosine_distance('[1,0]'::halfvec, '[0,2]'), '[1,2]'::halfvec <=> '[2,4]', '[1,1]'::halfvec <=> '[-1,-1]';
SELECT l1_distance('[0,0]'::halfvec, '[3,-4]'), '[0,0]'::halfvec <+> '[3,-4]';
SELECT halfvec_l2_squared_distance('[0,0]', '[3,4]'), halfvec_negative_inner_product('[1,2]', '[3,4]');
SELECT halfvec_spherical_distance('[1,0]', '[0,1]'), halfvec_spherical_distance('[1,0]', '[-1,0]'),
	halfvec_spherical_distance('[2,0]', '[1,0]');

-- The cosine of a zero halfvec is not defined; it sorts last
SELECT '[0,0]'::halfvec <=> '[1,2]', '[0,0]'::halfvec <=> '[0,0]';
SELECT v FROM (VALUES ('[0,0]'::halfvec), ('[-1,0]'), ('[1,0]'), ('[0,1]')) t (v) ORDER BY v <=> '[1,0]';

-- The cosine stays within 0 and 2 whatever rounding does
SELECT bool_and(v <=> v BETWEEN 0 AND 1e-6), bool_and(v <=> (v * '[-1,-1,-1]') BETWEEN 1.99999 AND 2)
FROM (SELECT ARRAY[i * 0.1, i * 0.7, i / 3.0]::halfvec AS v FROM generate_series(1, 200) i) s;

-- Neither large nor small values leave the range of a distance
SELECT '[65504]'::halfvec <-> '[-65504]', '[65504,65504]'::halfvec <+> '[-65504,-65504]', '[65504,1]'::halfvec <#> '[65504,1]';
SELECT '[6e-8]'::halfvec <-> '[-6e-8]', round(('[6e-8,6e-8]'::halfvec <=> '[6e-8,0]')::numeric, 5);

-- Different dimensions: both are named
SELECT expression, pg_temp.try('SELECT ' || expression)
FROM (SELECT format('%s(''[1,2,3]''::halfvec, ''[1,2,3,4]''::halfvec)', f) AS expression
	FROM unnest(ARRAY['l2_distance', 'inner_product', 'cosine_distance', 'l1_distance',
		'halfvec_l2_squared_distance', 'halfvec_negative_inner_product', 'halfvec_spherical_distance',
		'halfvec_add', 'halfvec_sub', 'halfvec_mul']) f
	UNION ALL
	SELECT format('''[1]''::halfvec %s ''[1,2]''::halfvec', op)
	FROM unnest(ARRAY['<->', '<#>', '<=>', '<+>', '+', '-', '*']) op) s;

-- Null in, null out
SELECT null::halfvec <-> '[1]', l2_norm(null::halfvec), null::halfvec || '[1]', null::halfvec = '[1]';

-- Functions
SELECT vector_dims('[1,2,3]'::halfvec), l2_norm('[3,4]'::halfvec), l2_norm('[65504,65504]'::halfvec), l2_norm('[6e-8]'::halfvec);
SELECT l2_normalize('[3,4]'::halfvec), l2_normalize('[0,0]'::halfvec), l2_normalize('[65504]'::halfvec), l2_normalize('[6e-8,0]'::halfvec);
SELECT binary_quantize('[1,0,-1,0.5,-0,6e-8,3,4,5,-5]'::halfvec), pg_typeof(binary_quantize('[1]'::halfvec));
SELECT s, n, pg_temp.try(format('SELECT subvector(''[1,2,3,4,5]''::halfvec, %s, %s)', s, n))
FROM (VALUES (1, 3), (3, 2), (4, 9), (-1, 3), (0, 6), (5, 1), (6, 1), (1, 0), (1, -1), (-1, 2), (-5, 2),
	(2147483647, 2147483647), (-2147483648, 2147483647), (-2147483648, 1), (3, 2147483647)) t (s, n);

-- Arithmetic
SELECT '[1,2,3]'::halfvec + '[10,20,30]', '[1,2,3]'::halfvec - '[1,1,1]', '[1,2,3]'::halfvec * '[2,0,-1]';
SELECT '[1,2]'::halfvec || '[3]';
SELECT pg_temp.try($$ SELECT '[1,60000]'::halfvec + '[1,60000]' $$),
	pg_temp.try($$ SELECT '[-60000]'::halfvec - '[60000]' $$);
SELECT pg_temp.try($$ SELECT '[1,2,300]'::halfvec * '[1,2,300]' $$),
	pg_temp.try($$ SELECT '[1,1e-4]'::halfvec * '[1,1e-4]' $$);
SELECT vector_dims(a || a) FROM (SELECT array_fill(1, ARRAY[8000])::halfvec AS a) s;
SELECT pg_temp.try($$ SELECT a || a || '[1]' FROM (SELECT array_fill(1, ARRAY[8000])::halfvec AS a) s $$);

-- Comparisons: by element, then by dimensions
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, halfvec_cmp(a, b)
FROM (VALUES ('[1,2]'::halfvec, '[1,2]'::halfvec), ('[1,2]', '[1,3]'), ('[2]', '[1,3]'), ('[1]', '[1,0]'), ('[0]', '[-0]'), ('[-1]', '[1]')) t (a, b);
