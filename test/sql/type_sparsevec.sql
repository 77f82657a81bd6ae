-- The type sparsevec: text and binary forms, type modifier, casts, distances,
-- norm, order, hashing, errors.
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

-- Text form: spaces, any order, zeros dropped, shortest output
SELECT '{1:1.5,3:2}/5'::sparsevec;
SELECT E' \t{ 1 :\n1.5 , 3: -2 }\r/ 5\f '::sparsevec;
SELECT '{5:5,3:3,4:4,1:1}/5'::sparsevec;
SELECT '{}/5'::sparsevec, ' { } / 5'::sparsevec;
SELECT '{1:0,2:1,3:-0,2:0,9:0}/3'::sparsevec;
SELECT '{1:0.1,2:1e-45,3:3.4028235e38,4:-1.17549435e-38,5:16777217,6:.5e1}/6'::sparsevec;
SELECT '{1:1,1000000000:2}/1000000000'::sparsevec;
SELECT '{+01:+1}/+01'::sparsevec;

-- Malformed literals
SELECT literal, pg_temp.try(format('SELECT %L::sparsevec', literal))
FROM unnest(ARRAY[
	'', ' ', '1', '[1,2]', '{', '{}', '{}/', '{}/x', '{}/5 6', '{}/5.0', '{}5', '{,}/5', '{1}/5', '{:1}/5',
	'{1:}/5', '{1:1', '{1:1,}/5', '{,1:1}/5', '{1:1,,2:2}/5', '{1:1 2:2}/5', '{1:2:3}/5', '{a:1}/5', '{1:a}/5',
	'{1.5:1}/5', '{+:1}/5', '{1:0x10}/5', '{1:1}}/5', '{1:1}/5x', '{1:1e}/5'
]) AS literal;

-- Values and indices that are refused
SELECT literal, pg_temp.try(format('SELECT %L::sparsevec', literal))
FROM unnest(ARRAY[
	'{1:NaN}/5', '{1:1,2:-nan}/5', '{1:Infinity}/5', '{1:-inf}/5', '{1:1e39}/5', '{2:1,1:-4e38}/5', '{1:1e-46}/5',
	'{0:1}/5', '{6:1}/5', '{-1:1}/5', '{1:1,99999999999:1}/5', '{-99999999999:1}/5',
	'{1:1,1:1}/5', '{3:1,1:1,2:2,3 :3}/5',
	'{}/0', '{}/-1', '{}/1000000001', '{}/99999999999999', '{1:1}/0'
]) AS literal;
SELECT length(pg_temp.try(format('SELECT %L::sparsevec', '{' || repeat('1:1,', 5000) || 'x}/5'))) < 1000 AS short;

-- The limits
SELECT nnz, length(pg_temp.try(format('SELECT %L::sparsevec', '{' || string_agg(i || ':1', ',') || '}/20000'))) AS len
FROM (VALUES (16000)) n (nnz), generate_series(1, 16000) i GROUP BY nnz;
SELECT pg_temp.try(format('SELECT %L::sparsevec', '{' || string_agg(i || ':1', ',') || '}/20000'))
FROM generate_series(1, 16001) i;
SELECT pg_temp.try(format('SELECT %L::sparsevec', '{' || string_agg(i || ':0', ',') || ',7:7}/20000'))
FROM generate_series(1, 16001) i;

-- Type modifier
SELECT '{1:1}/3'::sparsevec(3);
SELECT pg_temp.try($$ SELECT '{1:1}/3'::sparsevec(2) $$);
SELECT pg_temp.try($$ SELECT '{1:1}/3'::sparsevec::sparsevec(4) $$);
SELECT definition, pg_temp.try(format('SELECT null::%s', definition))
FROM unnest(ARRAY[
	'sparsevec(1)', 'sparsevec(1000000000)', 'sparsevec(0)', 'sparsevec(-1)', 'sparsevec(1000000001)', 'sparsevec(3,4)'
]) AS definition;
SELECT format_type('sparsevec'::regtype, 3), typstorage, typlen FROM pg_type WHERE oid = 'sparsevec'::regtype;

-- Binary form: int32 dim, nnz, 0, zero-based indices, float4 values
SELECT sparsevec_send('{1:1,3:-2.5}/4');
SELECT sparsevec_send('{}/4');

-- What a sparsevec is after receiving the given bytes: a bytea in binary format
-- is its bytes alone, so any bytes at all can be sent.
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/type_sparsevec.data'
CREATE FUNCTION pg_temp.receive(type text, bytes bytea, file text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
BEGIN
	EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', bytes, file);
	EXECUTE format('CREATE TEMP TABLE received (v %s)', type);
	EXECUTE format('COPY received FROM %L (FORMAT binary)', file);
	SELECT v::text INTO result FROM received;
	DROP TABLE received;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''));
END
$$;
SELECT what, pg_temp.receive(type, bytes, :'file')
FROM (VALUES
	(1, 'good', 'sparsevec', '\x00000004 00000002 00000000 00000000 00000002 3f800000 c0200000'::bytea),
	(2, 'good, expected', 'sparsevec(4)', '\x00000004 00000001 00000000 00000003 3f800000'),
	(3, 'empty', 'sparsevec', '\x00000004 00000000 00000000'),
	(4, 'most dimensions', 'sparsevec', '\x3b9aca00 00000001 00000000 3b9ac9ff 00000001'),
	(5, 'unexpected dimensions', 'sparsevec(5)', '\x00000004 00000001 00000000 00000003 3f800000'),
	(6, 'nothing', 'sparsevec', '\x'),
	(7, 'half a header', 'sparsevec', '\x00000004 0000'),
	(8, 'a byte missing', 'sparsevec', '\x00000004 00000001 00000000 00000003 3f8000'),
	(9, 'a byte too many', 'sparsevec', '\x00000004 00000001 00000000 00000003 3f800000 00'),
	(10, 'count without elements', 'sparsevec', '\x00004e20 00003e80 00000000'),
	(11, 'no dimension', 'sparsevec', '\x00000000 00000000 00000000'),
	(12, 'negative dimension', 'sparsevec', '\xffffffff 00000000 00000000'),
	(13, 'too many dimensions', 'sparsevec', '\x3b9aca01 00000000 00000000'),
	(14, 'negative count', 'sparsevec', '\x00000004 ffffffff 00000000'),
	(15, 'count beyond dimensions', 'sparsevec', '\x00000004 00000005 00000000'),
	(16, 'count beyond the limit', 'sparsevec', '\x00004e20 00003e81 00000000'),
	(17, 'unused not 0', 'sparsevec', '\x00000004 00000000 00000001'),
	(18, 'negative index', 'sparsevec', '\x00000004 00000001 00000000 ffffffff 3f800000'),
	(19, 'index beyond dimensions', 'sparsevec', '\x00000004 00000001 00000000 00000004 3f800000'),
	(20, 'index twice', 'sparsevec', '\x00000004 00000002 00000000 00000001 00000001 3f800000 3f800000'),
	(21, 'indices not in order', 'sparsevec', '\x00000004 00000002 00000000 00000001 00000000 3f800000 3f800000'),
	(22, 'zero', 'sparsevec', '\x00000004 00000001 00000000 00000000 00000000'),
	(23, 'negative zero', 'sparsevec', '\x00000004 00000001 00000000 00000000 80000000'),
	(24, 'NaN', 'sparsevec', '\x00000004 00000002 00000000 00000000 00000001 3f800000 7fc00000'),
	(25, 'infinity', 'sparsevec', '\x00000004 00000001 00000000 00000000 ff800000')
) t (i, what, type, bytes) ORDER BY i;

-- There and back, stored long enough to be compressed and moved out of line
CREATE TABLE sparse_stored (id int, v sparsevec);
INSERT INTO sparse_stored
SELECT k, ('{' || string_agg(i * k || ':' || i * k % 7 + 0.25, ',') || '}/100000')::sparsevec
FROM generate_series(1, 5) k, generate_series(1, 4000 * k, k) i GROUP BY k;
INSERT INTO sparse_stored VALUES (6, NULL), (7, '{}/3'), (8, '{2:-1e-45}/3');
CREATE TEMP TABLE sparse_back (LIKE sparse_stored);
COPY sparse_stored TO :'file' (FORMAT binary);
COPY sparse_back FROM :'file' (FORMAT binary);
SELECT id, length(a.v::text), a.v = b.v AS same, a.v::text = b.v::text AS same_text, a.v::text::sparsevec = b.v AS reread
FROM sparse_stored a JOIN sparse_back b USING (id) ORDER BY id;
SELECT pg_relation_size(reltoastrelid) > 0 AS out_of_line FROM pg_class WHERE oid = 'sparse_stored'::regclass;
DROP TABLE sparse_stored;

-- Casts
SELECT '[0,1.5,0,-2,-0]'::vector::sparsevec, '[0,1.5,0,-2,-0]'::halfvec::sparsevec;
SELECT '[0,0]'::vector::sparsevec, '[6e-8]'::halfvec::sparsevec;
SELECT '{2:1.5,4:-2}/5'::sparsevec::vector, '{2:1.5,4:-2}/5'::sparsevec::halfvec, '{}/2'::sparsevec::vector(2);
SELECT ARRAY[0, 3, 0, -4]::sparsevec, ARRAY[0, 0.5]::real[]::sparsevec, ARRAY[0, 0.1]::float8[]::sparsevec(2), ARRAY[0.0, 1.25]::numeric[]::sparsevec;
SELECT ARRAY[0, -0.0]::float8[]::sparsevec, ARRAY[2147483647, 16777217]::sparsevec, '[5:7]={1,0,3}'::int[]::sparsevec;
SELECT query, pg_temp.try('SELECT ' || query)
FROM unnest(ARRAY[
	$$'[1,2]'::vector::sparsevec(3)$$,
	$$'[1,2]'::halfvec::sparsevec(3)$$,
	$$'{}/16000'::sparsevec::vector IS NOT NULL$$,
	$$'{}/16001'::sparsevec::vector$$,
	$$'{}/16001'::sparsevec::halfvec$$,
	$$'{1:1}/2'::sparsevec::vector(3)$$,
	$$'{1:1}/2'::sparsevec::halfvec(3)$$,
	$$'{2:65520}/2'::sparsevec::halfvec$$,
	$$'{2:-1e38}/2'::sparsevec::halfvec$$,
	$$'{2:1e-10}/2'::sparsevec::halfvec$$,
	$$'{}'::int[]::sparsevec$$,
	$$ARRAY[[1,2],[3,4]]::sparsevec$$,
	$$ARRAY[1,NULL]::sparsevec$$,
	$$ARRAY[1,2]::sparsevec(3)$$,
	$$ARRAY[1,'NaN']::real[]::sparsevec$$,
	$$ARRAY[1,'-Infinity']::float8[]::sparsevec$$,
	$$ARRAY[1,1e39]::float8[]::sparsevec$$,
	$$ARRAY[0,-1e300]::float8[]::sparsevec$$,
	$$ARRAY[1,1e39]::numeric[]::sparsevec$$,
	$$ARRAY[1,'NaN']::numeric[]::sparsevec$$,
	$$ARRAY['Infinity']::numeric[]::sparsevec$$,
	$$ARRAY[1,1e-60,16777217.0000000001]::numeric[]::sparsevec$$,
	$$array_agg(i)::sparsevec IS NOT NULL FROM generate_series(1, 16000) i$$,
	$$array_agg(i)::sparsevec FROM generate_series(1, 16001) i$$,
	$$array_agg(i / 16001)::sparsevec FROM generate_series(1, 16001) i$$
]) AS query;

-- Distances: equal to those of the dense vectors
SELECT '{1:1,2:2}/3'::sparsevec <-> '{1:4,3:4}/3', '{1:1,2:2}/3'::sparsevec <#> '{1:4,3:4}/3',
	round(('{1:3,2:4}/3'::sparsevec <=> '{1:4,2:3}/3')::numeric, 6), '{1:1,2:2}/3'::sparsevec <+> '{1:4,3:4}/3';
SELECT l2_distance('{}/3'::sparsevec, '{}/3'), inner_product('{1:2}/3'::sparsevec, '{2:2}/3'), l1_distance('{}/3'::sparsevec, '{3:-2}/3'),
	cosine_distance('{1:2}/3'::sparsevec, '{1:5}/3'), cosine_distance('{1:2}/3'::sparsevec, '{1:-5}/3'), cosine_distance('{1:2}/3'::sparsevec, '{2:5}/3');
SELECT cosine_distance('{}/3'::sparsevec, '{1:1}/3'), cosine_distance('{}/3'::sparsevec, '{}/3');
SELECT sparsevec_l2_squared_distance('{1:1}/3', '{1:4}/3'), sparsevec_negative_inner_product('{1:1}/3', '{1:4}/3');
WITH pairs AS (
	SELECT k, array_agg(CASE WHEN (i * 7 + k) % 3 = 0 THEN sin(i * k) ELSE 0 END ORDER BY i) AS a,
		array_agg(CASE WHEN (i * 5 + k) % 4 < 2 THEN cos(i + k) ELSE 0 END ORDER BY i) AS b
	FROM generate_series(1, 40) k, generate_series(1, 60) i GROUP BY k
), both_forms AS (
	SELECT a::sparsevec AS a, b::sparsevec AS b, a::vector AS x, b::vector AS y FROM pairs
)
SELECT count(*), max(abs((a <-> b) - (x <-> y))) < 1e-5 AS l2, max(abs((a <#> b) - (x <#> y))) < 1e-5 AS ip,
	max(abs((a <=> b) - (x <=> y))) < 1e-5 AS cosine, max(abs((a <+> b) - (x <+> y))) < 1e-5 AS l1,
	max(abs(l2_norm(a) - vector_norm(x))) < 1e-5 AS norm
FROM both_forms;

-- Large values do not overflow
SELECT '{1:3e38}/2'::sparsevec <-> '{1:-3e38}/2', '{1:3e38}/2'::sparsevec <#> '{1:3e38}/2',
	'{1:3e38}/2'::sparsevec <=> '{1:3e38}/2', '{1:3e38,2:3e38}/2'::sparsevec <+> '{1:-3e38}/2';
SELECT operator, pg_temp.try(format('SELECT %L::sparsevec %s %L::sparsevec', '{1:1}/3', operator, '{1:1}/4'))
FROM unnest(ARRAY['<->', '<#>', '<=>', '<+>']) AS operator;

-- Norm
SELECT l2_norm('{1:3,9:4}/10'::sparsevec), l2_norm('{}/10'::sparsevec), l2_norm('{1:1e-30}/10'::sparsevec), l2_norm('{1:3e38,2:3e38}/2'::sparsevec);
SELECT l2_normalize('{1:3,9:4}/10'::sparsevec), l2_normalize('{}/10'::sparsevec), l2_normalize('{2:1e-40}/10'::sparsevec);
-- an element that vanishes beside a large one is not kept as zero
SELECT l2_normalize('{1:1e38,2:1e-45,3:1e38}/3'::sparsevec), l2_normalize('{1:1e38,2:1e-45}/3'::sparsevec) = '{1:1}/3';

-- Order: that of the dense vectors
WITH vectors (v) AS (
	SELECT unnest(ARRAY['{}/1', '{}/2', '{1:1}/1', '{1:1}/2', '{1:-1}/1', '{2:1}/2', '{2:-1}/2', '{1:1,2:-1}/2', '{1:1,2:1}/3', '{3:1}/3', '{3:-1}/3', '{1:2}/4', '{4:5}/4', '{2:-3,4:1}/4']::sparsevec[])
), pairs AS (
	SELECT a.v AS a, b.v AS b, a.v::vector AS x, b.v::vector AS y FROM vectors a, vectors b
)
SELECT count(*), bool_and(sparsevec_cmp(a, b) = vector_cmp(x, y)) AS cmp, bool_and((a < b) = (x < y)) AS lt,
	bool_and((a <= b) = (x <= y)) AS le, bool_and((a = b) = (x = y)) AS eq, bool_and((a <> b) = (x <> y)) AS ne,
	bool_and((a >= b) = (x >= y)) AS ge, bool_and((a > b) = (x > y)) AS gt,
	bool_and((sparsevec_hash(a) = sparsevec_hash(b)) = (a = b)) AS hash,
	bool_and((sparsevec_hash_extended(a, 42) = sparsevec_hash_extended(b, 42)) = (a = b)) AS hash_extended
FROM pairs;
SELECT sparsevec_hash_extended('{1:1}/2', 1) <> sparsevec_hash_extended('{1:1}/2', 2) AS seeded;

-- The same value by every way has one hash and is one group
SELECT v, count(*) FROM (VALUES
	('{2:1.5}/3'::sparsevec), ('{2:1.5,1:0}/3'), ('[0,1.5,-0]'::vector::sparsevec), ('[0,1.5,-0]'::halfvec::sparsevec),
	(ARRAY[0, 1.5, 0]::numeric[]::sparsevec), ('{2:1.5}/4')
) t (v) GROUP BY v ORDER BY v;

-- Index, joins, set operations
CREATE TABLE sparse_keys (v sparsevec(5));
INSERT INTO sparse_keys SELECT format('{%s:%s,%s:1}/5', i % 4 + 1, i % 10 - 5, 5)::sparsevec FROM generate_series(1, 200) i;
CREATE INDEX sparse_keys_btree ON sparse_keys (v);
CREATE INDEX sparse_keys_hash ON sparse_keys USING hash (v);
ANALYZE sparse_keys;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM sparse_keys ORDER BY v LIMIT 3;
SELECT * FROM sparse_keys ORDER BY v LIMIT 3;
SELECT count(*) FROM sparse_keys WHERE v < '{}/5';
DROP INDEX sparse_keys_btree;
EXPLAIN (COSTS OFF) SELECT count(*) FROM sparse_keys WHERE v = '{1:3,5:1}/5';
SELECT count(*) FROM sparse_keys WHERE v = '{1:3,5:1}/5';
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT count(DISTINCT v), (SELECT count(*) FROM (SELECT v FROM sparse_keys UNION SELECT v FROM sparse_keys) u) FROM sparse_keys;
SET enable_nestloop = off;
SET enable_hashjoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM sparse_keys a JOIN sparse_keys b USING (v);
SELECT count(*) FROM sparse_keys a JOIN sparse_keys b USING (v);
SET enable_mergejoin = off;
SET enable_hashjoin = on;
EXPLAIN (COSTS OFF) SELECT count(*) FROM sparse_keys a JOIN sparse_keys b USING (v);
SELECT count(*) FROM sparse_keys a JOIN sparse_keys b USING (v);
RESET enable_nestloop;
RESET enable_hashjoin;
RESET enable_mergejoin;
DROP TABLE sparse_keys;
