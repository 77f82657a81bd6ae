-- COPY and the binary forms, which are those of pgvector byte for byte.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/type_copy.data'

-- The bytes
SELECT vector_send('[1,-2.5]'), halfvec_send('[1,-2.5]'), sparsevec_send('{1:1,3:-2.5}/4');

-- There and back, in both formats; alone, in arrays and in rows
CREATE TYPE pg_temp.pair AS (v vector, h halfvec);
CREATE TEMP TABLE source (id int, v vector(3), h halfvec(3), s sparsevec(3), va vector[], ha halfvec[], p pair);
INSERT INTO source VALUES
	(1, '[1,2,3]', '[1,2,3]', '{1:1}/3', '{"[1]","[1,2]",NULL}', '{"[1]"}', ROW('[1]', '[2]')),
	(2, '[-0,1e-45,3.4028235e38]', '[-0,6e-8,65504]', '{}/3', '{}', NULL, ROW(NULL, '[3]')),
	(3, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO source (id, v, h)
SELECT 100 + i, ARRAY[sin(i), cos(i), i]::vector, ARRAY[sin(i), cos(i), i]::halfvec FROM generate_series(1, 500) i;

CREATE TEMP TABLE target (LIKE source);
COPY source TO :'file' (FORMAT binary);
COPY target FROM :'file' (FORMAT binary);
SELECT count(*) AS rows, bool_and(a::text = b::text) AS same FROM source a JOIN target b USING (id);
TRUNCATE target;
COPY source TO :'file';
COPY target FROM :'file';
SELECT count(*) AS rows, bool_and(a::text = b::text) AS same FROM source a JOIN target b USING (id);

-- The largest
CREATE TEMP TABLE large AS SELECT a::vector AS v, a::halfvec AS h FROM (SELECT array_agg(i % 2048) AS a FROM generate_series(1, 16000) i) s;
CREATE TEMP TABLE large_target (LIKE large);
COPY large TO :'file' (FORMAT binary);
COPY large_target FROM :'file' (FORMAT binary);
SELECT a.v = b.v, a.h = b.h, length(vector_send(a.v)), length(halfvec_send(a.h)) FROM large a, large_target b;

-- What a value of a type is after receiving the given bytes: a bytea in binary
-- format is its bytes alone, so any bytes at all can be sent.
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

-- vector: int16 dim, int16 0, float4[dim]
SELECT type, bytes, pg_temp.receive(type, bytes, :'file')
FROM (VALUES
	('vector', '\x000100003f800000'::bytea),
	('vector(1)', '\x000100003f800000'),
	('vector(2)', '\x000100003f800000'),
	('vector', '\x'), ('vector', '\x00'), ('vector', '\x0001'), ('vector', '\x000100'), ('vector', '\x00010000'),
	('vector', '\x00000000'), ('vector', '\x0000000000'),
	('vector', '\x000100003f8000'), ('vector', '\x000100003f80000000'), ('vector', '\x000200003f800000'),
	('vector', '\x000100013f800000'), ('vector', '\x0001ffff3f800000'),
	('vector', '\xffff00003f800000'), ('vector', '\x7fff00003f800000'), ('vector', '\x3e8000003f800000'), ('vector', '\x3e8100003f800000'),
	('vector', '\x000100007fc00000'), ('vector', '\x00020000000000007f800000'), ('vector', '\x00010000ff800000'),
	('vector', '\x0001000080000000')
) t (type, bytes);

-- halfvec: int16 dim, int16 0, binary16[dim]
SELECT type, bytes, pg_temp.receive(type, bytes, :'file')
FROM (VALUES
	('halfvec', '\x000100003c00'::bytea),
	('halfvec(2)', '\x000100003c00'),
	('halfvec', '\x'), ('halfvec', '\x0001'), ('halfvec', '\x00010000'), ('halfvec', '\x000100003c'), ('halfvec', '\x000100003c0000'),
	('halfvec', '\x00000000'), ('halfvec', '\x000100023c00'), ('halfvec', '\xffff00003c00'), ('halfvec', '\x3e8100003c00'),
	('halfvec', '\x000100007e00'), ('halfvec', '\x0002000000007c00'), ('halfvec', '\x00010000fc00'),
	('halfvec', '\x0001000003ff')
) t (type, bytes);

-- Inside an array a value ends where its own length says
SELECT pg_temp.receive('vector[]', '\x0000000100000000' || int4send('vector'::regtype::oid::int) || '\x0000000200000001'
	|| '\x00000008000100003f800000' || '\x0000000800010000' || '\x40000000', :'file');
SELECT pg_temp.receive('vector[]', '\x0000000100000000' || int4send('vector'::regtype::oid::int) || '\x0000000200000001'
	|| '\x00000007000100003f8000' || '\x0000000800010000' || '\x40000000', :'file');
