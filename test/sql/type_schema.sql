-- The extension in a schema of its own, and dropped.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

-- All in one transaction, which is rolled back at the end.
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION vecdb CASCADE;
CREATE SCHEMA first_home;
CREATE SCHEMA second_home;
CREATE EXTENSION vecdb SCHEMA first_home;

-- Nothing of it is outside, but for what has schemas of fixed names
SELECT classid::regclass, count(*)
FROM pg_depend d
WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vecdb')
	AND (pg_identify_object(classid, objid, objsubid)).schema IS DISTINCT FROM 'first_home'
	AND classid NOT IN ('pg_cast'::regclass, 'pg_am'::regclass)
	AND coalesce((pg_identify_object(classid, objid, objsubid)).schema, '') <> 'vecdb'
	AND (pg_identify_object(classid, objid, objsubid)).identity NOT IN ('vecdb', 'collections')
GROUP BY 1;

-- Usable by qualified names
CREATE TABLE first_home.item (id int, v first_home.vector(2), h first_home.halfvec);
INSERT INTO first_home.item VALUES (1, '[1,2]', '[1,2]'), (2, ARRAY[3, 4], ARRAY[3, 4]);
CREATE INDEX ON first_home.item USING btree (v);
SELECT id, v OPERATOR(first_home.<->) '[1,2]' AS distance, first_home.cosine_distance(v, '[1,2]') AS cosine FROM first_home.item ORDER BY v OPERATOR(first_home.<->) '[1,2]';
SELECT first_home.avg(v), first_home.sum(h) FROM first_home.item;
SELECT row_to_json(item), v::real[], v::first_home.halfvec FROM first_home.item ORDER BY item.v;
SELECT count(DISTINCT v) FROM first_home.item;

-- Not moved: a part of it could not go along
SAVEPOINT here;
ALTER EXTENSION vecdb SET SCHEMA second_home;
ROLLBACK TO here;
SET LOCAL search_path = first_home, public;
SELECT id, v <-> '[1,2]' AS distance, v || '[9]'::vector AS longer, v = '[3,4]' AS equal FROM first_home.item ORDER BY item.v;
SELECT avg(v), sum(h), max(vector_dims(v)) FROM first_home.item;
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'first_home.item'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO first_home.item VALUES (3, '[1,2]', '[5]');
SET LOCAL enable_seqscan = off;
SELECT id FROM first_home.item WHERE v = '[1,2]' ORDER BY id;
RESET search_path;

-- Dropped: not while tables use it, unless told so
SAVEPOINT used;
\set VERBOSITY terse
DROP EXTENSION vecdb;
\set VERBOSITY default
ROLLBACK TO used;
DROP EXTENSION vecdb CASCADE;
SELECT attname FROM pg_attribute WHERE attrelid = 'first_home.item'::regclass AND attnum > 0 AND NOT attisdropped;
SELECT count(*) FROM pg_type WHERE typname IN ('vector', 'halfvec', 'sparsevec');
SELECT count(*) FROM pg_am WHERE amname = 'hnsw';

-- And there again, as if nothing had been
CREATE EXTENSION vecdb SCHEMA second_home;
SELECT '[1,2]'::second_home.vector;
ROLLBACK;
SELECT '[1,2]'::vector <-> '[1,3]';
