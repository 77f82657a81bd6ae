-- The type vector: text form, type modifier, functions, operators, errors.
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

-- Text form: spaces, signs, exponents, shortest output
SELECT '[1,2,3]'::vector;
SELECT E' \t[ 1 ,\n -2.5 , +.5,1e3 ,-0, 7. ] '::vector;
SELECT '[0.1,1e-45,3.4028235e38,-1.17549435e-38,123456789]'::vector;
SELECT '[1e-50,-1e-50]'::vector;
SELECT '[16777217,0.30000001192092896]'::vector;

-- Malformed literals
SELECT literal, pg_temp.try(format('SELECT %L::vector', literal))
FROM unnest(ARRAY[
	'', ' ', '1', '[', ']', '[]', '[ ]', '[,]', '[1', '[1,', '[1,]', '[,1]', '[1,,2]',
	'[1 2]', '1,2]', '[1,2]]', '[1,2]x', '[[1,2]]', '{1,2}', '(1,2)', '[a]', '[1,b]', '[1e]',
	'[1.2.3]', '[--1]', '[0x10]', '[1e+]', '[null]', '[''1'']', '[1;2]'
]) AS literal;

-- NaN, infinity and numbers too large
SELECT literal, pg_temp.try(format('SELECT %L::vector', literal))
FROM unnest(ARRAY[
	'[NaN]', '[1,nan]', '[Infinity]', '[1,-inf]', '[inf,nan]', '[1e39]', '[1,-4e38]',
	'[3.4028236e38]', '[3.5e38]', '[1e400]', '[1,1e99999999999999999999]'
]) AS literal;

-- A long literal is quoted in part only
SELECT length(pg_temp.try(format('SELECT %L::vector', '[' || repeat('1,', 5000) || 'x]'))) < 1000 AS short;

-- The limit
SELECT vector_dims(('[' || repeat('1,', 15999) || '1]')::vector);
SELECT pg_temp.try($$ SELECT ('[' || repeat('1,', 16000) || '1]')::vector $$);
SELECT pg_temp.try($$ SELECT ('[' || repeat('1,', 100000) || '1]')::vector $$);

-- Type modifier
SELECT '[1,2,3]'::vector(3);
SELECT '[1,2,3]'::vector(2);
SELECT pg_temp.try($$ SELECT '[1,2,3]'::vector::vector(4) $$);
SELECT format_type('vector'::regtype, 3), format_type('vector'::regtype, -1);
SELECT definition, pg_temp.try(format('SELECT null::%s', definition))
FROM unnest(ARRAY[
	'vector(1)', 'vector(16000)', 'vector(0)', 'vector(-1)', 'vector(16001)', 'vector(2147483648)',
	'vector(3,4)', 'vector(a)', 'vector()', 'vector[]', 'vector(3)[]'
]) AS definition;
CREATE TEMP TABLE fixed (v vector(2));
INSERT INTO fixed VALUES ('[1,2]'), (null);
INSERT INTO fixed VALUES ('[1]');
INSERT INTO fixed SELECT '[1,2,3]'::vector;
UPDATE fixed SET v = v || '[3]';
SELECT * FROM fixed;
ALTER TABLE fixed ALTER v TYPE vector(3);
ALTER TABLE fixed ALTER v TYPE vector(3) USING v || '[3]';
SELECT * FROM fixed;
DROP TABLE fixed;

-- Distances
SELECT l2_distance('[0,0]'::vector, '[3,4]'), '[0,0]'::vector <-> '[3,4]';
SELECT inner_product('[1,2]'::vector, '[3,4]'), '[1,2]'::vector <#> '[3,4]';
SELECT cosine_distance('[1,0]'::vector, '[0,2]'), '[1,2]'::vector <=> '[2,4]', '[1,1]'::vector <=> '[-1,-1]';
SELECT l1_distance('[0,0]'::vector, '[3,-4]'), '[0,0]'::vector <+> '[3,-4]';
SELECT vector_l2_squared_distance('[0,0]', '[3,4]'), vector_negative_inner_product('[1,2]', '[3,4]');
SELECT vector_spherical_distance('[1,0]', '[0,1]'), vector_spherical_distance('[1,0]', '[-1,0]'),
	vector_spherical_distance('[2,0]', '[1,0]');

-- The cosine of a zero vector is not defined; it sorts last
SELECT '[0,0]'::vector <=> '[1,2]', '[0,0]'::vector <=> '[0,0]';
SELECT v FROM (VALUES ('[0,0]'::vector), ('[-1,0]'), ('[1,0]'), ('[0,1]')) t (v) ORDER BY v <=> '[1,0]';

-- The cosine stays within 0 and 2 whatever rounding does
SELECT bool_and(v <=> v BETWEEN 0 AND 1e-6), bool_and(v <=> (v * '[-1,-1,-1]') BETWEEN 1.99999 AND 2)
FROM (SELECT ARRAY[i * 0.1, i * 0.7, i / 3.0]::vector AS v FROM generate_series(1, 200) i) s;

-- Neither large nor small values leave the range of a distance
SELECT '[3e38]'::vector <-> '[-3e38]', '[3e38,3e38]'::vector <+> '[-3e38,-3e38]', '[3e38,1]'::vector <#> '[3e38,1]';
SELECT round(('[3e38,3e38]'::vector <=> '[3e38,0]')::numeric, 6);
SELECT '[1e-30]'::vector <-> '[3e-30]', round(('[1e-30,1e-30]'::vector <=> '[1e-30,0]')::numeric, 6);

-- Different dimensions: both are named
SELECT expression, pg_temp.try('SELECT ' || expression)
FROM (SELECT format('%s(''[1,2,3]''::vector, ''[1,2,3,4]''::vector)', f) AS expression
	FROM unnest(ARRAY['l2_distance', 'inner_product', 'cosine_distance', 'l1_distance',
		'vector_l2_squared_distance', 'vector_negative_inner_product', 'vector_spherical_distance',
		'vector_add', 'vector_sub', 'vector_mul']) f
	UNION ALL
	SELECT format('''[1]''::vector %s ''[1,2]''::vector', op)
	FROM unnest(ARRAY['<->', '<#>', '<=>', '<+>', '+', '-', '*']) op) s;

-- Null in, null out
SELECT null::vector <-> '[1]', l2_norm(null::vector), null::vector || '[1]', null::vector = '[1]';

-- Functions
SELECT vector_dims('[1,2,3]'::vector), vector_norm('[3,4]'), l2_norm('[3,4]'::vector), vector_norm('[1e-30]'), vector_norm('[3e38,3e38]');
SELECT l2_normalize('[3,4]'::vector), l2_normalize('[0,0]'::vector), l2_normalize('[3e38]'::vector), l2_normalize('[1e-40,0]'::vector);
SELECT binary_quantize('[1,0,-1,0.5,-0,1e-45,3,4,5,-5]'::vector), pg_typeof(binary_quantize('[1]'::vector));
SELECT s, n, pg_temp.try(format('SELECT subvector(''[1,2,3,4,5]''::vector, %s, %s)', s, n))
FROM (VALUES (1, 3), (3, 2), (4, 9), (-1, 3), (0, 6), (5, 1), (6, 1), (1, 0), (1, -1), (-1, 2), (-5, 2),
	(2147483647, 2147483647), (-2147483648, 2147483647), (-2147483648, 1), (3, 2147483647)) t (s, n);

-- Arithmetic
SELECT '[1,2,3]'::vector + '[10,20,30]', '[1,2,3]'::vector - '[1,1,1]', '[1,2,3]'::vector * '[2,0,-1]';
SELECT '[1,2]'::vector || '[3]';
SELECT pg_temp.try($$ SELECT '[1,3e38]'::vector + '[1,3e38]' $$),
	pg_temp.try($$ SELECT '[-3e38]'::vector - '[3e38]' $$);
SELECT pg_temp.try($$ SELECT '[1,2,1e20]'::vector * '[1,2,1e20]' $$),
	pg_temp.try($$ SELECT '[1,1e-37]'::vector * '[1,1e-37]' $$);
SELECT vector_dims(a || a) FROM (SELECT array_fill(1, ARRAY[8000])::vector AS a) s;
SELECT pg_temp.try($$ SELECT a || a || '[1]' FROM (SELECT array_fill(1, ARRAY[8000])::vector AS a) s $$);

-- Comparisons: by element, then by dimensions
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, vector_cmp(a, b)
FROM (VALUES ('[1,2]'::vector, '[1,2]'::vector), ('[1,2]', '[1,3]'), ('[2]', '[1,3]'), ('[1]', '[1,0]'), ('[0]', '[-0]'), ('[-1]', '[1]')) t (a, b);
