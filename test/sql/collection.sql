-- Collections: made, filled, searched, renamed, dropped.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

-- No search_path is needed, nor obeyed: these would be found before PostgreSQL's own
CREATE SCHEMA trap;
CREATE FUNCTION trap.trapped(jsonb, jsonb) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
CREATE OPERATOR trap.@> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = trap.trapped);
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
CREATE DOMAIN trap.text AS integer;
SET search_path = trap, pg_catalog;

SELECT vecdb.create_collection('docs', 3);
SELECT vecdb.create_collection('Half-1', 2, metric => 'euclidean', m => 8, ef_construction => 40, storage => 'halfvec', filter_index => true);
SELECT vecdb.create_collection('_flat', 2, 'DOT_PRODUCT', 'flat');
SELECT vecdb.create_collection('city', 2, 'manhattan', 'hnsw');
SELECT name, dimensions, metric, index_type, storage, m, ef_construction, rows, filter_index FROM vecdb.collections ORDER BY name COLLATE "C";
SELECT table_bytes > 0 AS t, index_bytes > 0 AS i, total_bytes = table_bytes + index_bytes AS sum, owner = current_user::pg_catalog.text AS mine FROM vecdb.collections WHERE name = 'docs';

-- Settings stand in for NULL
SET vecdb.default_metric = 'l1';
SET vecdb.default_index_type = 'flat';
SELECT vecdb.create_collection('settings', 4, NULL, NULL, NULL, NULL, NULL, NULL);
RESET vecdb.default_metric;
SET vecdb.default_index_type = 'hnsw';
SET vecdb.default_m = 5;
SET vecdb.default_ef_construction = 50;
SELECT vecdb.create_collection('settings2', 4, NULL, NULL, NULL, NULL);
SELECT name, metric, index_type, storage, m, ef_construction FROM vecdb.collections WHERE name LIKE 'settings%' ORDER BY name;
SELECT vecdb.drop_collection('settings'), vecdb.drop_collection('settings2');
RESET vecdb.default_m;
RESET vecdb.default_ef_construction;

-- Rows: one, some, arrays
SELECT vecdb.upsert('docs', 'a', '[1,0,0]', '{"n": 1}');
SELECT vecdb.upsert('docs', 'b', '[0,1,0]');
SELECT length(vecdb.upsert('docs', NULL, '[0,0,1]', NULL));
SELECT vecdb.upsert('docs', '[{"id": "c", "data": [1, 1, 0], "metadata": {"n": 3}}, {"id": "d", "data": [1e0, -0.5, 2]}, {"id": "c", "data": [1, 2, 3], "metadata": null}]');
SELECT vecdb.upsert_batch('docs', '{e,f,e}', ARRAY['[1,1,1]', '[2,2,2]', '[3,3,1]']::public.vector[], ARRAY['{"n": 5}', NULL, '{"n": 6}']::jsonb[]);
SELECT count(*), min(length(i)) FROM vecdb.upsert_batch('docs', NULL, ARRAY['[9,9,9]', '[9,9,8]']::public.vector[]) i;
SELECT * FROM vecdb.upsert('docs', '[]');
SELECT * FROM vecdb.upsert_batch('docs', '{}', '{}');
SELECT id, data, metadata FROM collections.docs WHERE length(id) = 1 ORDER BY id;
SELECT rows FROM vecdb.collections WHERE name = 'docs';

-- created_at stays, updated_at is the last change's, by whatever way
UPDATE collections.docs SET created_at = '2020-01-01', updated_at = '2020-01-01' WHERE id = 'a';
SELECT updated_at > '2020-01-02' AS updated FROM collections.docs WHERE id = 'a';
BEGIN;
SELECT vecdb.upsert('docs', 'a', '[1,0,0]', '{"n": 2}');
SELECT created_at = '2020-01-01' AS created, updated_at = pg_catalog.now() AS updated, metadata FROM collections.docs WHERE id = 'a';
COMMIT;

-- Search: the scores of each metric
DELETE FROM collections.docs WHERE length(id) > 1;
SELECT id, round(score::numeric, 4) AS score, metadata FROM vecdb.search('docs', '[1,0,0]', 3);
SELECT * FROM vecdb.upsert('Half-1', '[{"id": "x", "data": [0, 0]}, {"id": "y", "data": [3, 4]}]');
SELECT id, score FROM vecdb.search('Half-1', '[0,0]');
SELECT * FROM vecdb.upsert('_flat', '[{"id": "x", "data": [0, 1]}, {"id": "y", "data": [3, 4]}]');
SELECT id, score FROM vecdb.search('_flat', '[1,2]');
SELECT * FROM vecdb.upsert('city', '[{"id": "x", "data": [0, 0]}, {"id": "y", "data": [3, -4]}]');
SELECT id, score FROM vecdb.search('city', '[0,0]');

-- Threshold is the least score; k is at most what there is; exact gives the same
SELECT id, score FROM vecdb.search('Half-1', '[0,0]', threshold => 0.5);
SELECT id, score FROM vecdb.search('_flat', '[1,2]', threshold => 11);
SELECT count(*) FROM vecdb.search('_flat', '[1,2]', threshold => 12);
SELECT count(*) FROM vecdb.search('docs', '[1,0,0]', 10000);
SELECT id FROM vecdb.search('docs', '[1,0,0]', 2, exact => true, ef_search => 1000);
SELECT id FROM vecdb.search('docs', '[1,0,0]', k => 1, ef_search => 1);
SELECT id FROM vecdb.search('docs', '[1,0,0]', filter => '{"n": {"$gt": 2}}');
SELECT id FROM vecdb.search('docs', '[1,0,0]', NULL, filter => '{}', exact => NULL) LIMIT 2;

-- The settings of the session are as they were
SHOW hnsw.ef_search;
SHOW hnsw.iterative_scan;

-- A zero vector has no direction: it is kept, is last, and is never lost
SELECT vecdb.upsert('docs', 'z', '[0,0,0]');
SELECT id, score FROM vecdb.search('docs', '[1,0,0]', 100) ORDER BY score LIMIT 1;

SELECT * FROM vecdb.collection_info('docs') \gset info_
SELECT :'info_name' AS name, :info_rows AS rows;
SELECT vecdb.collection_table('Half-1');
SELECT collections >= 4 AS collections, total_vectors >= 13 AS vectors, storage_size_bytes > index_size_bytes AS sizes, dimensions FROM vecdb.stats();

-- Renamed, by function and by hand; the index keeps its name, which is then in use
SELECT vecdb.rename_collection('docs', 'papers');
SELECT id FROM vecdb.search('papers', '[1,0,0]', 1);
ALTER TABLE collections.papers RENAME TO letters;
SELECT id FROM vecdb.search('letters', '[1,0,0]', 1);
SELECT vecdb.create_collection('docs', 2);
SELECT count(*) FROM vecdb.search('docs', '[1,0]');
SELECT id FROM vecdb.search('letters', '[1,0,0]', 1);
DROP TABLE collections.docs;
SELECT vecdb.search('docs', '[1,0]');

-- A table made by hand is a collection too, when its columns and an index say so
CREATE TABLE collections.byhand (id pg_catalog.text, data public.vector(2), metadata jsonb);
SELECT count(*) FROM vecdb.collections WHERE name = 'byhand';
SELECT vecdb.search('byhand', '[1,2]');
CREATE INDEX ON collections.byhand USING hnsw (data public.vector_ip_ops);
INSERT INTO collections.byhand VALUES ('one', '[1,2]', '{}'), (NULL, NULL, NULL), (NULL, '[0,0]', NULL);
SELECT * FROM vecdb.search('byhand', '[1,2]');
SELECT name, metric, index_type FROM vecdb.collections WHERE name = 'byhand';
ALTER TABLE collections.byhand ADD CHECK (vecdb.uses_metric('l2'));
SELECT name, metric, index_type FROM vecdb.collections WHERE name = 'byhand';
SELECT * FROM vecdb.search('byhand', '[1,2]');
DROP TABLE collections.byhand;

SELECT vecdb.drop_collection('letters'), vecdb.drop_collection('Half-1'), vecdb.drop_collection('_flat'), vecdb.drop_collection('city');
SELECT count(*) FROM vecdb.collections;
SELECT collections, total_vectors, storage_size_bytes, index_size_bytes, dimensions FROM vecdb.stats();
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA trap CASCADE;

-- Volatility and safety in parallel
SELECT p.oid::regprocedure, provolatile, proparallel, prosecdef FROM pg_proc p
WHERE pronamespace = 'vecdb'::regnamespace ORDER BY proname COLLATE "C", pronargs;

-- The types in another schema, all in one transaction
BEGIN;
DROP EXTENSION vecdb CASCADE;
CREATE SCHEMA "Home of types";
CREATE EXTENSION vecdb SCHEMA "Home of types";
SET LOCAL search_path = '';
SELECT vecdb.create_collection('docs', 3, storage => 'halfvec');
SELECT vecdb.upsert('docs', 'a', '[1,2,3]');
SELECT * FROM vecdb.search('docs', '[1,2,3]', filter => '{"x": {"$exists": false}}');
SELECT metric, storage FROM vecdb.collections;
ROLLBACK;
