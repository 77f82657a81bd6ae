-- Collections: every error.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
\set VERBOSITY default
\set SHOW_CONTEXT never

SELECT vecdb.create_collection('articles', 3), vecdb.create_collection('article2', 3), vecdb.create_collection('other', 3, filter_index => true);

-- The codes, one of each kind
\set VERBOSITY sqlstate
SELECT vecdb.create_collection('a b', 3);
SELECT vecdb.create_collection('articles', 3);
SELECT vecdb.create_collection('x', 0);
SELECT vecdb.create_collection('x', 3, 'chebyshev');
SELECT vecdb.create_collection(NULL, 3);
SELECT vecdb.search('nowhere', '[1]');
SELECT vecdb.search('articles', '[1]');
SELECT vecdb.search('articles', '[1,2,3]', 0);
SELECT vecdb.search('articles', '[1,2,3]', filter => '[]');
\set VERBOSITY default

-- Names
SELECT vecdb.create_collection('', 3);
SELECT vecdb.create_collection('1a', 3);
SELECT vecdb.create_collection('-a', 3);
SELECT vecdb.create_collection('a.b', 3);
SELECT vecdb.create_collection('a"b', 3);
SELECT vecdb.create_collection('über', 3);
SELECT vecdb.create_collection(repeat('a', 64), 3);
SELECT vecdb.create_collection(repeat('a', 63), 3) IS NOT NULL AS created;
SELECT vecdb.drop_collection(repeat('a', 63));
SELECT vecdb.create_collection('articles_pkey', 3);
SELECT vecdb.rename_collection('articles', 'b/c');
SELECT vecdb.rename_collection('articles', 'other');
SELECT vecdb.rename_collection('articles', 'articles');
SELECT vecdb.rename_collection('articles', NULL);
SELECT vecdb.rename_collection('artikles', 'z');

-- What it is made of
SELECT vecdb.create_collection('x', NULL);
SELECT vecdb.create_collection('x', -1);
SELECT vecdb.create_collection('x', 16001);
SELECT vecdb.create_collection('x', 3, index_type => 'ivfflat');
SELECT vecdb.create_collection('x', 3, storage => 'bit');
SELECT vecdb.create_collection('x', 3, m => 1);
SELECT vecdb.create_collection('x', 3, m => 101);
SELECT vecdb.create_collection('x', 3, ef_construction => 3);
SELECT vecdb.create_collection('x', 3, ef_construction => 1001);
SELECT vecdb.create_collection('x', 3, m => 100, ef_construction => 199);
SET vecdb.default_metric = 'cosmic';
SELECT vecdb.create_collection('x', 3, NULL);
RESET vecdb.default_metric;
SELECT vecdb.uses_metric('cosmic');

-- Unknown, nearly known, and not a collection
SELECT vecdb.drop_collection('nothing_like_it');
SELECT vecdb.drop_collection('articels');
SELECT vecdb.search('Articles', '[1,2,3]');
SELECT vecdb.upsert('artice', 'a', '[1,2,3]');
SELECT vecdb.collection_info('');
SELECT vecdb.collection_table(repeat('a', 1000));
CREATE TABLE collections.plain (id text, data vector(3));
SELECT vecdb.search('plain', '[1,2,3]');
SELECT vecdb.drop_collection('plain');
DROP TABLE collections.plain;

-- Rows
SELECT vecdb.upsert('articles', 'a', '[1,2]');
SELECT vecdb.upsert('articles', 'a', NULL);
SELECT vecdb.upsert('articles', '', '[1,2,3]');
SELECT vecdb.upsert('articles', repeat('x', 2001), '[1,2,3]');
SELECT vecdb.upsert_batch('articles', ARRAY['a', repeat('x', 9000)], ARRAY['[1,2,3]', '[1,2,3]']::vector[]);
SELECT vecdb.upsert(NULL, 'a', '[1,2,3]');
SELECT vecdb.upsert('articles', 'a', '[1,nan,3]');
SELECT vecdb.upsert_batch('articles', '{a,b}', ARRAY['[1,2,3]', '[1,2]']::vector[]);
SELECT vecdb.upsert_batch('articles', '{a,b}', ARRAY['[1,2,3]']::vector[]);
SELECT vecdb.upsert_batch('articles', '{a}', ARRAY['[1,2,3]']::vector[], '{}');
SELECT vecdb.upsert_batch('articles', '{a,b}', ARRAY['[1,2,3]', NULL]::vector[]);
SELECT vecdb.upsert_batch('articles', '{a,""}', ARRAY['[1,2,3]', '[1,2,3]']::vector[]);
SELECT vecdb.upsert('articles', 'a', '[1,2,3]', '[1]');
SELECT vecdb.upsert_batch('articles', NULL, NULL);
SELECT vecdb.upsert_batch('articles', NULL, ARRAY[ARRAY['[1,2,3]']]::vector[]);
SELECT vecdb.upsert('articles', '{}'::jsonb);
SELECT vecdb.upsert('articles', '3'::jsonb);
SELECT vecdb.upsert('articles', NULL::jsonb);
SELECT vecdb.upsert('articles', '[3]'::jsonb);
SELECT vecdb.upsert('articles', '[{"data": [1,2,3]}, {"id": "a"}]'::jsonb);
SELECT vecdb.upsert('articles', '[{"data": [1,2,3]}, {"id": "a", "data": [1,2]}]'::jsonb);
SELECT vecdb.upsert('articles', '[{"data": [1,"2",3]}]'::jsonb);
SELECT vecdb.upsert('articles', '[{"data": [1,2,1e39]}]'::jsonb);
SELECT vecdb.upsert('articles', '[{"data": []}]'::jsonb);
SELECT vecdb.upsert('articles', '[{"data": "[1,2,3]"}]'::jsonb);
SELECT vecdb.upsert('articles', '[{"id": 3, "data": [1,2,3]}]'::jsonb);
SELECT vecdb.upsert('articles', '[{"id": "a", "data": [1,2,3], "metadata": [1]}]'::jsonb);
SELECT vecdb.upsert('articles', '[{"id": "a", "vector": [1,2,3]}]'::jsonb);
SELECT count(*) FROM collections.articles;

-- Search
SELECT vecdb.search('articles', NULL);
SELECT vecdb.search(NULL, '[1,2,3]');
SELECT vecdb.search('articles', '[1,2,3,4]');
SELECT vecdb.search('articles', '[0,0,-0]');
DROP INDEX collections.article2_data_idx;
ALTER TABLE collections.article2 ALTER data TYPE halfvec(3) USING data::halfvec(3);
SELECT vecdb.search('article2', '[1e-9,0,0]');
SELECT vecdb.search('article2', '[1e9,0,0]');
SELECT vecdb.search('articles', '[1,2,3]', -1);
SELECT vecdb.search('articles', '[1,2,3]', 10001);
SELECT vecdb.search('articles', '[1,2,3]', ef_search => 0);
SELECT vecdb.search('articles', '[1,2,3]', ef_search => 1001);
SELECT vecdb.search('articles', '[1,2,3]', threshold => 'nan');

-- Filters: every error tells the place
SELECT vecdb.search('articles', '[1,2,3]', filter => '3');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"$or": [{"a": 1}, {"b.c": {"$near": 1}}]}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"$where": 1}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"a": {"b": 1}}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"a": [1]}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"a": {}}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"a..b": 1}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"$and": []}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"$path": [1], "$eq": 1}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"a": {"$gt": null}}');
SELECT vecdb.search('articles', '[1,2,3]', filter => '{"a": {"$exists": "yes"}}');
SELECT vecdb.search('articles', '[1,2,3]', filter => (repeat('{"$not":', 200) || '{"a":1}' || repeat('}', 200))::jsonb);
SELECT vecdb.search('articles', '[1,2,3]', filter => (SELECT jsonb_build_object('$or', jsonb_agg(jsonb_build_object('a', i))) FROM generate_series(1, 257) i));
SELECT vecdb.search('articles', '[1,2,3]', filter => (SELECT jsonb_build_object('a', jsonb_build_object('$in', jsonb_agg(i))) FROM generate_series(1, 20001) i));
SELECT count(*) FROM vecdb.search('articles', '[1,2,3]', filter => (SELECT jsonb_build_object('a', jsonb_build_object('$in', jsonb_agg(i))) FROM generate_series(1, 10000) i));

-- The trigger is for updates only
CREATE TABLE tried (a int);
CREATE TRIGGER t BEFORE INSERT ON tried FOR EACH ROW EXECUTE FUNCTION vecdb.set_updated_at();
INSERT INTO tried VALUES (1);
DROP TRIGGER t ON tried;
INSERT INTO tried VALUES (1);
CREATE TRIGGER t BEFORE UPDATE ON tried FOR EACH ROW EXECUTE FUNCTION vecdb.set_updated_at();
UPDATE tried SET a = 2;
DROP TABLE tried;

-- Nothing is done in a transaction that may only read
BEGIN READ ONLY;
SELECT vecdb.create_collection('x', 3);
ROLLBACK;
BEGIN READ ONLY;
SELECT vecdb.upsert('articles', 'a', '[1,2,3]');
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM vecdb.search('articles', '[1,2,3]');
ROLLBACK;

SELECT vecdb.drop_collection(name) FROM (SELECT name FROM vecdb.collections WHERE name IN ('articles', 'article2', 'other') OFFSET 0) t;
