-- Casts: their contexts, their checks, their rounding.
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

-- All casts of the dense types, and in which context each applies
SELECT castsource::regtype, casttarget::regtype, castcontext
FROM pg_cast
WHERE 'vector'::regtype IN (castsource, casttarget) OR 'halfvec'::regtype IN (castsource, casttarget)
	OR 'sparsevec'::regtype IN (castsource, casttarget)
ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";

-- Arrays to vectors
SELECT '{1,2,3}'::int[]::vector, '{1.5,-2}'::real[]::vector, '{1.5,1e-50}'::float8[]::vector, '{1.5,0.1}'::numeric[]::vector;
SELECT '{1,2,3}'::int[]::halfvec, '{1.5,-2}'::real[]::halfvec, '{1.5,1e-50}'::float8[]::halfvec, '{1.5,0.1}'::numeric[]::halfvec;
SELECT '{16777217,2147483647,-2147483648}'::int[]::vector;
SELECT '[5:7]={1,2,3}'::int[]::vector;
SELECT ARRAY[1, 2, 3]::vector(3), ARRAY[1.5, 2]::halfvec(2);

-- Vectors to arrays
SELECT '[1,2.5]'::vector::real[], '[1,2.5]'::halfvec::real[], array_lower('[1,2.5]'::vector::real[], 1);
SELECT '[1,2.5]'::vector::float8[];
SELECT '[1,2.5]'::vector::text, ('[' || '1,2' || ']')::text::vector, '[1,2.5]'::vector::varchar(4);

-- Between vectors
SELECT '[1,2.5,0.1]'::vector::halfvec, '[1,2.5,0.1]'::halfvec::vector, '[1,2.5]'::vector(2)::halfvec(2);
SELECT '[1e-10,2049]'::vector::halfvec;
SELECT l2_distance('[3]'::halfvec, '[1]'::vector), '[1,2]'::halfvec <-> '[1,3]'::vector;

-- Assignment
CREATE TEMP TABLE target (v vector(2), h halfvec(2), r real[]);
INSERT INTO target VALUES (ARRAY[1, 2], ARRAY[1.5, 2.5], '[1,2]'::vector);
INSERT INTO target VALUES ('[1,2]'::halfvec, '[3,4]'::vector, '[5,6]'::halfvec);
INSERT INTO target VALUES (ARRAY[1, 2]::float8[], ARRAY[1.5, 2.5]::real[], null);
SELECT * FROM target;
DROP TABLE target;

-- Dimensions
SELECT cast_of, pg_temp.try('SELECT ' || cast_of)
FROM unnest(ARRAY[
	'ARRAY[1,2,3]::vector(2)', 'ARRAY[1,2,3]::halfvec(2)', '''[1,2,3]''::vector::halfvec(2)', '''[1,2,3]''::halfvec::vector(2)',
	'''{}''::int[]::vector', '''{}''::real[]::halfvec', '''{{1,2},{3,4}}''::int[]::vector', '''{{1}}''::float8[]::halfvec',
	'''{1,null}''::int[]::vector', '''{null}''::numeric[]::halfvec',
	'array_fill(1, ARRAY[16001])::vector', 'array_fill(1.5::real, ARRAY[16001])::halfvec', 'array_fill(1.5::float8, ARRAY[200000])::vector',
	'vector_dims(array_fill(1, ARRAY[16000])::vector)'
]) AS cast_of;

-- Values
SELECT cast_of, pg_temp.try('SELECT ' || cast_of)
FROM unnest(ARRAY[
	'''{1,NaN}''::real[]::vector', '''{1,Infinity}''::real[]::vector', '''{1,-Infinity}''::float8[]::vector', '''{NaN}''::numeric[]::vector',
	'''{1,NaN}''::real[]::halfvec', '''{1,Infinity}''::float8[]::halfvec', '''{-Infinity}''::numeric[]::halfvec',
	'''{1,1e39}''::float8[]::vector', '''{-1e308}''::float8[]::vector', '''{3.4028235e38}''::float8[]::vector', '''{1e39}''::numeric[]::vector',
	'''{1,2,70000}''::int[]::halfvec', '''{65520}''::real[]::halfvec', '''{65519}''::int[]::halfvec', '''{1e300}''::float8[]::halfvec', '''{70000.5}''::numeric[]::halfvec',
	'''[1,65520]''::vector::halfvec', '''[1,-1e10]''::vector::halfvec', '''[65519]''::vector::halfvec', '''{1e-60}''::numeric[]::vector'
]) AS cast_of;

-- A numeric is rounded once: 1 + 2^-24 is a tie, and 1e-30 more is more
SELECT '{1.000000059604644775390625,1.000000059604644775390625000000000001,-1e39}'::numeric[]::vector;
SELECT '{1.000000059604644775390625,1.000000059604644775390625000000000001}'::numeric[]::vector = '[1,1.0000001]';
SELECT '{2049,2049.000000000000000000000001,2050.999999999999999999999999}'::numeric[]::halfvec;

-- An element type that has no cast, behind the cast's own function
CREATE FUNCTION pg_temp.array_to_vector(int8[], int, boolean) RETURNS vector LANGUAGE C STRICT
	AS '$libdir/vecdb', 'array_to_vector';
SELECT pg_temp.array_to_vector('{1}', -1, false);

-- Values that come out of line, compressed, or with a short header
CREATE TEMP TABLE stored (i int, v vector, h halfvec, r real[]);
INSERT INTO stored SELECT n, a, a, a FROM (SELECT n, array_agg(i % 1000 ORDER BY i) AS a FROM unnest(ARRAY[1, 30, 3000, 16000]) n, generate_series(1, n) i GROUP BY n) s;
SELECT i, v::real[] = r AND h::real[] = r AND v::halfvec = h AND h::vector = v AND r::vector = v AND r::halfvec = h AND v::text::vector = v AS same,
	vector_dims(v) = i AND vector_dims(h) = i AS dims, v <-> h::vector AS distance
FROM stored ORDER BY i;
CREATE TEMP TABLE compressed (i int, v vector, h halfvec, r real[]);
ALTER TABLE compressed ALTER v SET STORAGE extended, ALTER v SET COMPRESSION pglz, ALTER h SET STORAGE main, ALTER h SET COMPRESSION pglz;
INSERT INTO compressed SELECT n, a, a, a FROM (SELECT n, array_fill(0.5::real, ARRAY[n]) AS a FROM unnest(ARRAY[1, 30, 3000, 16000]) n) s;
SELECT i, pg_column_compression(v), pg_column_compression(h),
	v::real[] = r AND h::real[] = r AND v = r::vector AND h = r::halfvec AS same,
	vector_dims(v) = i AND vector_dims(h) = i AS dims, v <-> h::vector AS distance
FROM compressed ORDER BY i;
