-- Collections: filters against a second evaluation, row-level security and
-- rights, kept statements, and that a search gives k rows whenever k match.
\set seed 0.17
SELECT setseed(:seed) AS ignored \gset
\echo # seed :seed
SELECT plan(144);
SET jit = off;

-- ---------------------------------------------------------------------
-- Filters: random ones on random metadata, evaluated here step by step
-- ---------------------------------------------------------------------

CREATE FUNCTION value_at(v jsonb, keys text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	key text;
BEGIN
	FOREACH key IN ARRAY keys LOOP
		IF jsonb_typeof(v) = 'object' THEN
			v := v -> key;
		ELSIF jsonb_typeof(v) = 'array' AND key ~ '^[0-9]+$' THEN
			v := v -> key::int;
		ELSE
			RETURN NULL;
		END IF;
	END LOOP;
	RETURN v;
END $$;

-- The value and, of an array, its elements
CREATE FUNCTION any_of(v jsonb) RETURNS SETOF jsonb LANGUAGE sql AS
	$$ SELECT v WHERE v IS NOT NULL UNION ALL SELECT jsonb_array_elements(CASE WHEN jsonb_typeof(v) = 'array' THEN v END) $$;

CREATE FUNCTION equals(v jsonb, o jsonb) RETURNS boolean LANGUAGE sql AS
	$$ SELECT CASE WHEN jsonb_typeof(o) IN ('array', 'object') THEN v IS NOT NULL AND v = o ELSE EXISTS (SELECT FROM any_of(v) a WHERE a = o) END $$;

CREATE FUNCTION holds(v jsonb, operators jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	op text;
	o jsonb;
	good boolean;
BEGIN
	FOR op, o IN SELECT * FROM jsonb_each(operators) LOOP
		CONTINUE WHEN op = '$path';
		good := CASE op
			WHEN '$eq' THEN equals(v, o)
			WHEN '$ne' THEN NOT equals(v, o)
			WHEN '$in' THEN EXISTS (SELECT FROM jsonb_array_elements(o) e WHERE equals(v, e))
			WHEN '$nin' THEN NOT EXISTS (SELECT FROM jsonb_array_elements(o) e WHERE equals(v, e))
			WHEN '$exists' THEN (v IS NOT NULL) = o::boolean
			WHEN '$gt' THEN EXISTS (SELECT FROM any_of(v) a WHERE jsonb_typeof(a) = jsonb_typeof(o) AND a > o)
			WHEN '$gte' THEN EXISTS (SELECT FROM any_of(v) a WHERE jsonb_typeof(a) = jsonb_typeof(o) AND a >= o)
			WHEN '$lt' THEN EXISTS (SELECT FROM any_of(v) a WHERE jsonb_typeof(a) = jsonb_typeof(o) AND a < o)
			WHEN '$lte' THEN EXISTS (SELECT FROM any_of(v) a WHERE jsonb_typeof(a) = jsonb_typeof(o) AND a <= o)
			WHEN '$not' THEN NOT holds(v, o)
		END;
		IF good IS NULL THEN
			RAISE EXCEPTION 'no verdict of % on %', op, v;
		END IF;
		IF NOT good THEN
			RETURN false;
		END IF;
	END LOOP;
	RETURN true;
END $$;

CREATE FUNCTION matches(metadata jsonb, filter jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	key text;
	v jsonb;
	good boolean;
BEGIN
	IF filter ? '$path' THEN
		RETURN holds(value_at(metadata, ARRAY(SELECT jsonb_array_elements_text(filter -> '$path'))), filter);
	END IF;
	FOR key, v IN SELECT * FROM jsonb_each(filter) LOOP
		good := CASE
			WHEN key = '$and' THEN (SELECT bool_and(matches(metadata, e)) FROM jsonb_array_elements(v) e)
			WHEN key = '$or' THEN (SELECT bool_or(matches(metadata, e)) FROM jsonb_array_elements(v) e)
			WHEN key = '$not' THEN NOT matches(metadata, v)
			WHEN jsonb_typeof(v) = 'object' THEN holds(value_at(metadata, string_to_array(key, '.')), v)
			ELSE holds(value_at(metadata, string_to_array(key, '.')), jsonb_build_object('$eq', v))
		END;
		IF NOT good THEN
			RETURN false;
		END IF;
	END LOOP;
	RETURN true;
END $$;

CREATE FUNCTION one_of(variadic choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT choices[1 + floor(random() * cardinality(choices))::int] $$;

CREATE FUNCTION random_scalar() RETURNS jsonb LANGUAGE sql VOLATILE AS
	$$ SELECT one_of('1', '2', '3', '10', '-1.5', '2.0', '"x"', '"y"', '"10"', '""', 'true', 'false', 'null')::jsonb $$;

CREATE FUNCTION random_value() RETURNS jsonb LANGUAGE sql VOLATILE AS
	$$ SELECT CASE WHEN random() < 0.7 THEN random_scalar() ELSE one_of('[1, 2]', '["x", "y"]', '[1, "x", null]', '[[1], 2, 10]', '[true, -1.5]', '[]', '{}', '{"b": 1}', '{"b": 1, "0": 2}', '[{"b": 1}, "x"]')::jsonb END $$;

CREATE FUNCTION random_metadata() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(jsonb_object_agg(key, CASE WHEN random() < 0.3 THEN jsonb_build_object(one_of('b', '0', 'c.d'), random_value()) ELSE random_value() END), '{}')
	FROM unnest('{a,b,c.d,$e}'::text[]) key WHERE random() < 0.7 $$;

CREATE FUNCTION random_operators(depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	result jsonb := '{}';
	op text;
BEGIN
	FOR i IN 1 .. 1 + (random() * 1.3)::int LOOP
		op := one_of('$eq', '$ne', '$in', '$nin', '$exists', '$gt', '$gte', '$lt', '$lte', '$not');
		IF op = '$not' AND depth > 3 THEN
			op := '$ne';
		END IF;
		result := result || jsonb_build_object(op, CASE
			WHEN op IN ('$eq', '$ne') THEN random_value()
			WHEN op IN ('$in', '$nin') THEN (SELECT coalesce(jsonb_agg(random_value()), '[]') FROM generate_series(1, (random() * 3)::int))
			WHEN op = '$exists' THEN to_jsonb(random() < 0.5)
			WHEN op = '$not' THEN random_operators(depth + 1)
			ELSE one_of('1', '2', '-3', '2.00', '"x"', '"1"', 'true', 'false')::jsonb
		END);
	END LOOP;
	RETURN result;
END $$;

CREATE FUNCTION random_filter(depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	result jsonb := '{}';
	kind float8;
BEGIN
	FOR i IN 1 .. 1 + (random() * 1.4)::int LOOP
		kind := random();
		IF kind < 0.15 AND depth < 4 THEN
			result := result || jsonb_build_object(one_of('$and', '$or'),
				(SELECT jsonb_agg(random_filter(depth + 1)) FROM generate_series(1, 1 + (random() * 2)::int)));
		ELSIF kind < 0.2 AND depth < 4 THEN
			result := result || jsonb_build_object('$not', random_filter(depth + 1));
		ELSIF kind < 0.3 AND depth < 4 AND result = '{}' THEN
			RETURN random_operators(depth) || jsonb_build_object('$path', one_of('["c.d"]', '["$e"]', '["a", "c.d"]', '["c.d", "0"]', '["a"]')::jsonb);
		ELSE
			result := result || jsonb_build_object(one_of('a', 'b', 'a.b', 'a.0', 'b.b', 'b.0.b', 'b.1', 'missing', 'a.b.c'),
				CASE WHEN random() < 0.4 THEN random_scalar() ELSE random_operators(depth) END);
		END IF;
	END LOOP;
	RETURN result;
END $$;

-- The same filter with lists so long that they are hashed, by values that no row has
CREATE FUNCTION padded(filter jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT regexp_replace(filter::text, '("\$n?in": \[)(?!\])', '\1' || string_agg((1000 + n)::text, ', ') || ', ', 'g')::jsonb FROM generate_series(1, 257) n $$;

-- Those where search and evaluation differ
CREATE FUNCTION differing(filters int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	f jsonb;
	wanted text;
	got text;
	c text;
BEGIN
	FOR i IN 1 .. filters LOOP
		f := random_filter(1);
		SELECT string_agg(id, ' ' ORDER BY id) INTO wanted FROM collections.plain WHERE matches(metadata, f);
		FOREACH c IN ARRAY '{plain,indexed,flat}'::text[] LOOP
			SELECT string_agg(id, ' ' ORDER BY id) INTO got FROM vecdb.search(c, '[1,2]', 1000, filter => f);
			IF got IS DISTINCT FROM wanted THEN
				RETURN NEXT format('%s in %s: %s, not %s', f, c, got, wanted);
			END IF;
			CONTINUE WHEN f = padded(f);
			SELECT string_agg(id, ' ' ORDER BY id) INTO got FROM vecdb.search(c, '[1,2]', 1000, filter => padded(f));
			IF got IS DISTINCT FROM wanted THEN
				RETURN NEXT format('%s in %s, with longer lists: %s, not %s', f, c, got, wanted);
			END IF;
		END LOOP;
		IF wanted IS NOT NULL AND cardinality(string_to_array(wanted, ' ')) < 300 THEN
			UPDATE of_use SET n = n + 1;
		END IF;
	END LOOP;
END $$;

SELECT vecdb.create_collection('plain', 2) AS ignored, vecdb.create_collection('indexed', 2, filter_index => true),
	vecdb.create_collection('flat', 2, index_type => 'flat') \gset
INSERT INTO collections.plain (id, data, metadata)
	SELECT i, ARRAY[cos(i), sin(i)]::vector, random_metadata() FROM generate_series(1, 300) i;
INSERT INTO collections.indexed SELECT * FROM collections.plain;
INSERT INTO collections.flat SELECT * FROM collections.plain;
ANALYZE;
CREATE TEMP TABLE of_use AS SELECT 0 AS n;
SELECT is_empty('SELECT * FROM differing(300)', '300 random filters give what a second evaluation gives');
SELECT cmp_ok(n, '>=', 75, format('%s of them are matched by some rows but not by all', n)) FROM of_use;

-- The same when the index on metadata has to be used
SET enable_seqscan = off;
SET enable_indexscan = off;
SELECT is_empty('SELECT * FROM differing(100)', '100 random filters give the same by way of the GIN index');
RESET enable_seqscan;
RESET enable_indexscan;

-- Many values and a row that takes long to read: they are hashed, and it is read once
SELECT vecdb.create_collection('wide', 2) AS ignored, vecdb.upsert('wide', 'w', '[1,2]',
	jsonb_build_object('x', repeat('y', 2000000), 'n', 20001, 'list', '[5, 1500]'::jsonb)) AS ignored \gset
SELECT jsonb_agg(20000 - n) AS values FROM generate_series(1, 19000) n \gset
SET statement_timeout = '40s';
SELECT is_empty(format($$SELECT id FROM vecdb.search('wide', '[1,2]', 1, filter => '{"n": {"$in": %s}}')$$, :'values'), 'one of 19,000 values is not there');
SELECT results_eq(format($$SELECT id FROM vecdb.search('wide', '[1,2]', 1, filter => '{"list": {"$in": %s}}')$$, :'values'), ARRAY['w'], 'and is in an array');
RESET statement_timeout;

-- Operators one by one, on rows that tell them apart
SELECT vecdb.create_collection('kinds', 1, 'l2') AS ignored \gset
SELECT count(*) AS ignored FROM vecdb.upsert('kinds', '[
	{"id": "one", "data": [1], "metadata": {"v": 1}}, {"id": "two", "data": [2], "metadata": {"v": 2.0}},
	{"id": "text", "data": [3], "metadata": {"v": "1"}}, {"id": "true", "data": [4], "metadata": {"v": true}},
	{"id": "null", "data": [5], "metadata": {"v": null}}, {"id": "none", "data": [6]},
	{"id": "list", "data": [7], "metadata": {"v": [1, 2]}}, {"id": "object", "data": [8], "metadata": {"v": {"w": 1}, "a.b": {"": 7}}}]') \gset
CREATE FUNCTION found(filter jsonb) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(id, ' ' ORDER BY score DESC) FROM vecdb.search('kinds', '[0]', 100, filter => $1) $$;
SELECT is(found(f::jsonb), wanted, f) FROM (VALUES
	('{}', 'one two text true null none list object'),
	('{"v": 1}', 'one list'),
	('{"v": 1.00}', 'one list'),
	('{"v": "1"}', 'text'),
	('{"v": true}', 'true'),
	('{"v": null}', 'null'),
	('{"v": {"$ne": 1}}', 'two text true null none object'),
	('{"v": {"$gt": 1}}', 'two list'),
	('{"v": {"$gte": 1, "$lt": 2}}', 'one list'),
	('{"v": {"$lte": "1"}}', 'text'),
	('{"v": {"$gt": false}}', 'true'),
	('{"v": {"$in": [2, "1", null]}}', 'two text null list'),
	('{"v": {"$in": [[1, 2], 1]}}', 'one list'),
	('{"v": {"$nin": [2, "1", null]}}', 'one true none object'),
	('{"v": {"$in": []}}', NULL),
	('{"v": {"$exists": true}}', 'one two text true null list object'),
	('{"v": {"$exists": false}}', 'none'),
	('{"v": {"$not": {"$gt": 0}}}', 'text true null none object'),
	('{"$not": {"v": {"$gt": 0}}}', 'text true null none object'),
	('{"v": {"$eq": [1, 2]}}', 'list'),
	('{"v": {"$eq": [1]}}', NULL),
	('{"v.1": 2}', 'list'),
	('{"v.w": 1}', 'object'),
	('{"v.w": {"$exists": false}}', 'one two text true null none list'),
	('{"$path": ["a.b", ""], "$gt": 6}', 'object'),
	('{"$or": [{"v": 1}, {"v": {"$gt": 1}}], "v": {"$ne": 2}}', 'one'),
	('{"$and": [{"v": {"$gt": 0}}, {"v": {"$lt": 2}}]}', 'one list')) t (f, wanted);

-- An array at the end of a path is what one of its elements is; with an index on
-- metadata that the plan uses, and without
SELECT vecdb.create_collection('lists', 1, 'l2') AS ignored, vecdb.create_collection('lists_indexed', 1, 'l2', 'flat', filter_index => true) \gset
SELECT count(*) AS ignored FROM vecdb.upsert('lists', '[
	{"id": "x", "data": [1], "metadata": {"tags": "x"}}, {"id": "xy", "data": [2], "metadata": {"tags": ["x", "y"]}},
	{"id": "yz", "data": [3], "metadata": {"tags": ["y", "z"]}}, {"id": "nested", "data": [4], "metadata": {"tags": [["x"], null]}},
	{"id": "empty", "data": [5], "metadata": {"tags": []}}, {"id": "none", "data": [6], "metadata": {}},
	{"id": "numbers", "data": [7], "metadata": {"tags": [1, 9], "in": {"side": [5, "x"]}}},
	{"id": "objects", "data": [8], "metadata": {"tags": [{"k": "x"}], "in": [{"side": 5}]}}]') \gset
INSERT INTO collections.lists_indexed SELECT * FROM collections.lists;
INSERT INTO collections.lists_indexed (data) SELECT ARRAY[1000 + i]::vector FROM generate_series(1, 20000) i;
VACUUM ANALYZE collections.lists_indexed;
CREATE FUNCTION found(collection text, filter jsonb) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(id, ' ' ORDER BY score DESC) FROM vecdb.search($1, '[0]', 8, filter => $2) $$;
CREATE TEMP TABLE asked (filter jsonb, wanted text, by_index boolean);
INSERT INTO asked VALUES
	('{"tags": "x"}', 'x xy', true),
	('{"tags": {"$eq": "y"}}', 'xy yz', true),
	('{"tags": {"$in": ["x"]}}', 'x xy', true),
	('{"tags": {"$in": ["z", "x", 9]}}', 'x xy yz numbers', true),
	('{"tags": {"$in": [["x", "y"], "z"]}}', 'xy yz', false),
	('{"tags": {"$eq": ["x", "y"]}}', 'xy', false),
	('{"tags": {"$in": [["x"]]}}', NULL, false),
	('{"tags": {"$eq": {"k": "x"}}}', NULL, false),
	('{"tags": null}', 'nested', true),
	('{"tags": {"$exists": true}, "$not": {"tags": {"$ne": "x"}}}', 'x xy', false),
	('{"tags": {"$exists": true, "$ne": "x"}}', 'yz nested empty numbers objects', false),
	('{"tags": {"$exists": true, "$nin": ["x", "z"]}}', 'nested empty numbers objects', false),
	('{"tags": {"$exists": true, "$ne": ["x", "y"]}}', 'x yz nested empty numbers objects', false),
	('{"tags": {"$gt": 8}}', 'numbers', false),
	('{"tags": {"$gt": 2, "$lt": 3}}', 'numbers', false),
	('{"tags": {"$exists": true, "$not": {"$gt": 2}}}', 'x xy yz nested empty objects', false),
	('{"tags": {"$gte": "y"}}', 'xy yz', false),
	('{"in.side": "x"}', 'numbers', true),
	('{"in.side": 5}', 'numbers', true),
	('{"in.0.side": 5}', 'objects', false),
	('{"tags.0": "x"}', 'xy nested', false),
	('{"tags.k": "x"}', NULL, false);
SELECT is(found('lists', filter), wanted, format('%s', filter)) FROM asked;
SELECT is(found('lists_indexed', filter), wanted, format('%s with an index', filter)) FROM asked;

CREATE FUNCTION uses_index(filter jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	before bigint := pg_stat_get_xact_numscans('collections.lists_indexed_metadata_idx'::regclass);
BEGIN
	PERFORM found('lists_indexed', filter);
	RETURN pg_stat_get_xact_numscans('collections.lists_indexed_metadata_idx'::regclass) > before;
END $$;
SELECT ok(uses_index(filter), format('%s uses the index', filter)) FROM asked WHERE by_index;

-- ---------------------------------------------------------------------
-- k rows whenever k match
-- ---------------------------------------------------------------------

SELECT vecdb.create_collection('many', 16, 'l2', ef_construction => 64) AS ignored \gset
BEGIN;
SELECT count(*) AS ignored FROM vecdb.search('many', (SELECT array_agg(0) FROM generate_series(1, 16))::vector) \gset
INSERT INTO collections.many (id, data, metadata)
	SELECT i, (SELECT array_agg(random()) FROM generate_series(1, 16) j WHERE i + j > 0)::vector,
		jsonb_build_object('two', i % 2, 'ten', i % 10, 'hundred', i % 100, 'thousand', i % 1000)
	FROM (SELECT i FROM generate_series(1, 8000) i OFFSET 0) t;

-- A plan made for the empty table is not kept: no statistics say that it has grown
SELECT pg_stat_get_xact_numscans('collections.many_data_idx'::regclass) AS before \gset
SELECT is(count(*), 10::bigint, 'a table that has just grown: 10 rows')
	FROM vecdb.search('many', (SELECT array_agg(0.5) FROM generate_series(1, 16))::vector);
SELECT cmp_ok(pg_stat_get_xact_numscans('collections.many_data_idx'::regclass), '>', :before::bigint, 'a table that has just grown is searched through the index');
COMMIT;
VACUUM ANALYZE collections.many;

CREATE FUNCTION recall(filter jsonb, k int, OUT fewest int, OUT share numeric) LANGUAGE plpgsql AS $$
DECLARE
	q vector;
	got text[];
	wanted text[];
	hits int := 0;
	asked int := 0;
BEGIN
	FOR i IN 1 .. 10 LOOP
		q := (SELECT array_agg(random()) FROM generate_series(1, 16))::vector;
		SELECT array_agg(id) INTO got FROM vecdb.search('many', q, k, filter => recall.filter);
		SELECT array_agg(id) INTO wanted FROM vecdb.search('many', q, k, filter => recall.filter, exact => true);
		fewest := least(fewest, coalesce(cardinality(got), 0));
		hits := hits + (SELECT count(*) FROM unnest(got) g WHERE g = ANY (wanted));
		asked := asked + cardinality(wanted);
	END LOOP;
	share := round(hits::numeric / asked, 3);
END $$;

SELECT unnest(ARRAY[is(fewest, 10, format('%s: 10 rows', f)), cmp_ok(share, '>=', 0.9, format('%s: recall is %s', f, share))])
	FROM unnest('{NULL,"{\"two\": 1}","{\"ten\": 3}","{\"hundred\": 3}","{\"thousand\": {\"$lt\": 2}}"}'::jsonb[]) f, recall(f, 10);
SELECT is(fewest, 8, 'as many as match, where fewer do') FROM recall('{"thousand": 3}', 10);
SELECT is(fewest, 2000, 'more rows than ef_search can be') FROM recall(NULL, 2000);
SET enable_seqscan = off;
SET hnsw.max_scan_tuples = 50;
SELECT unnest(ARRAY[is(fewest, 10, 'a scan that ends early is made good'), is(share, 1.000, 'and the rows are the nearest')]) FROM recall('{"hundred": 3}', 10);
SELECT is(fewest, 2000, 'also without a filter') FROM recall(NULL, 2000);
RESET hnsw.max_scan_tuples;
SET work_mem = '64kB';
SELECT is(fewest, 10, 'as is one with little memory') FROM recall('{"thousand": {"$lt": 2}}', 10);
RESET work_mem;
RESET enable_seqscan;
DELETE FROM collections.many WHERE id::int % 100 <> 7;
SELECT is(fewest, 10, 'dead rows do not count') FROM recall(NULL, 10);
SELECT is(fewest, 80, 'nor with all that are left') FROM recall(NULL, 1000);
SELECT is(current_setting('hnsw.iterative_scan') || current_setting('hnsw.ef_search'), 'strict_order40', 'settings of the session are as they were');
SELECT throws_ok($$SELECT vecdb.search('many', '[1]')$$, '22000', NULL, 'an error leaves them so');
SELECT is(current_setting('hnsw.iterative_scan') || current_setting('hnsw.ef_search'), 'strict_order40', 'they are still');

-- ---------------------------------------------------------------------
-- Kept statements follow what they were made from
-- ---------------------------------------------------------------------

CREATE FUNCTION first_of(collection text, query vector) RETURNS text LANGUAGE sql AS
	$$ SELECT id || ' ' || round(score::numeric, 3) FROM vecdb.search($1, $2, 1) $$;
SELECT vecdb.create_collection('one', 2, 'l2') AS ignored, vecdb.create_collection('two', 2, 'ip', 'flat', storage => 'halfvec') \gset
SELECT vecdb.upsert('one', 'a', '[3,4]') AS ignored, vecdb.upsert('two', 'b', '[3,4]') \gset
SELECT is(first_of('one', '[0,0]') || ' ' || first_of('two', '[1,1]'), 'a 0.167 b 7.000', 'two collections');
ALTER TABLE collections.one RENAME TO three;
ALTER TABLE collections.two RENAME TO one;
ALTER TABLE collections.three RENAME TO two;
SELECT is(first_of('two', '[0,0]') || ' ' || first_of('one', '[1,1]'), 'a 0.167 b 7.000', 'that change their names');
SELECT is(vecdb.upsert('one', 'c', '[5,5]') || first_of('one', '[1,1]'), 'cc 10.000', 'rows go to the one that now has the name');
DROP TABLE collections.two;
SELECT vecdb.create_collection('two', 3, 'l1') AS ignored \gset
SELECT is(vecdb.upsert('two', 'd', '[1,2,3]') || first_of('two', '[0,0,0]'), 'dd 0.143', 'another of the same name, with other dimensions and metric');
DROP INDEX collections.two_data_idx;
SELECT is((SELECT index_type || metric FROM vecdb.collections WHERE name = 'two'), 'flatl1', 'without its index it keeps its metric');
SELECT is(first_of('two', '[0,0,0]'), 'd 0.143', 'and is searched');
ALTER TABLE collections.two ALTER data TYPE halfvec(3) USING data::halfvec(3);
SELECT is(first_of('two', '[0,0,0]'), 'd 0.143', 'another type of its vectors');
ALTER TABLE collections.two DROP CONSTRAINT metric, ADD CONSTRAINT metric CHECK (vecdb.uses_metric('l2'));
SELECT is(first_of('two', '[0,0,0]'), 'd 0.211', 'another metric');
CREATE INDEX ON collections.two USING hnsw (data halfvec_l2_ops);
SELECT is((SELECT index_type FROM vecdb.collections WHERE name = 'two'), 'hnsw', 'an index made by hand');
ALTER TABLE collections.two ADD extra int DEFAULT 3;
SELECT is(vecdb.upsert('two', 'e', '[0,0,1]') || first_of('two', '[0,0,0]'), 'ee 0.500', 'a new column');
CREATE SCHEMA elsewhere;
ALTER TABLE collections.two SET SCHEMA elsewhere;
SELECT throws_ok($$SELECT first_of('two', '[0,0,0]')$$, '42P01', 'collection "two" does not exist', 'a table moved away is no collection');
ALTER TABLE elsewhere.two SET SCHEMA collections;
SELECT is(first_of('two', '[0,0,0]'), 'e 0.500', 'and moved back is one');
BEGIN;
DROP TABLE collections.two;
SELECT throws_ok($$SELECT first_of('two', '[0,0,0]')$$, '42P01', NULL, 'dropped in a transaction');
ROLLBACK;
SELECT is(first_of('two', '[0,0,0]'), 'e 0.500', 'that is rolled back');

-- More collections than statements are kept
SELECT count(vecdb.create_collection('c' || i, 1, 'l2', 'flat')) AS ignored FROM generate_series(1, 100) i \gset
SELECT count(vecdb.upsert('c' || i, i::text, '[1]')) AS ignored FROM generate_series(1, 100) i \gset
SELECT is((SELECT string_agg(first_of('c' || i, '[1]'), ',') FROM generate_series(1, 100) i),
	(SELECT string_agg(i || ' 1.000', ',') FROM generate_series(1, 100) i), '100 collections, one after another');

-- ---------------------------------------------------------------------
-- Rights and row-level security
-- ---------------------------------------------------------------------

CREATE ROLE collection_ann;
CREATE ROLE collection_bob;
CREATE ROLE collection_eve;
SELECT vecdb.create_collection('shared', 4, 'l2', ef_construction => 40) AS ignored \gset
ALTER TABLE collections.shared ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON collections.shared USING (metadata ->> 'owner' = current_user);
GRANT SELECT, INSERT, UPDATE ON collections.shared TO collection_ann, collection_bob;
INSERT INTO collections.shared (id, data, metadata)
	SELECT i, ARRAY[sin(i), cos(i), sin(i * 0.7), cos(i * 0.3)]::vector, jsonb_build_object('owner', CASE WHEN i % 20 = 0 THEN 'collection_ann' ELSE 'collection_bob' END)
	FROM generate_series(1, 2000) i;
ANALYZE collections.shared;
CREATE FUNCTION owners(k int) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT metadata ->> 'owner', ' ') || ' ' || count(*) FROM vecdb.search('shared', '[0,1,0,1]', k) $$;

SELECT is(owners(2000), 'collection_ann collection_bob 2000', 'the owner sees all rows');
SET ROLE collection_ann;
SELECT is(owners(10), 'collection_ann 10', 'ann finds rows of hers, as many as asked for');
SELECT is(owners(1000), 'collection_ann 100', 'and none but hers');
SELECT is((SELECT rows FROM vecdb.collections WHERE name = 'shared'), 100::bigint, 'the view counts those she sees');
SELECT is((SELECT total_vectors FROM vecdb.stats()), 100::bigint, 'so do the statistics');
SELECT is(vecdb.upsert('shared', 'mine', '[0,1,0,1]', '{"owner": "collection_ann"}'), 'mine', 'she inserts a row of hers');
SELECT throws_ok($$SELECT vecdb.upsert('shared', 'his', '[0,1,0,1]', '{"owner": "collection_bob"}')$$, '42501', NULL, 'but none of another');
SELECT throws_ok($$SELECT vecdb.upsert('shared', '1', '[0,1,0,1]', '{"owner": "collection_ann"}')$$, '42501', NULL, 'nor replaces one of another');
SELECT is((SELECT string_agg(name, ' ') FROM vecdb.collections), 'shared', 'she sees only the collection that she may read');
SELECT throws_ok($$SELECT vecdb.search('plain', '[1,2]')$$, '42501', NULL, 'others she cannot search');
SELECT throws_ok($$SELECT vecdb.create_collection('hers', 2)$$, '42501', NULL, 'she may not create');
SELECT throws_ok($$SELECT vecdb.drop_collection('shared')$$, '42501', NULL, 'nor drop');
SELECT throws_ok($$SELECT vecdb.rename_collection('shared', 'hers')$$, '42501', NULL, 'nor rename');
SET ROLE collection_bob;
SELECT is(owners(10), 'collection_bob 10', 'the same session as bob: his rows');
SET row_security = off;
SELECT throws_ok($$SELECT owners(10)$$, '42501', NULL, 'with row_security off an error, not all rows');
RESET row_security;
SET ROLE collection_eve;
SELECT throws_ok($$SELECT owners(10)$$, '42501', NULL, 'eve may not search');
SELECT is_empty('SELECT * FROM vecdb.collections', 'and sees no collection');
SELECT is((SELECT collections FROM vecdb.stats()), 0, 'nor do the statistics');
RESET ROLE;
SELECT is(owners(2000), 'collection_ann collection_bob 2000', 'the owner sees all again');

-- A policy that itself searches
CREATE FUNCTION seen() RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN EXISTS (SELECT FROM vecdb.search('c1', '[1]')); END $$;
CREATE POLICY nested ON collections.shared AS RESTRICTIVE USING (seen());
GRANT SELECT ON collections.c1 TO collection_ann;
SET ROLE collection_ann;
SELECT is(owners(10), 'collection_ann 10', 'a policy that searches another collection');
RESET ROLE;
GRANT CREATE ON SCHEMA collections TO collection_ann;
SET ROLE collection_ann;
SELECT lives_ok($$SELECT vecdb.create_collection('hers', 2)$$, 'with CREATE on the schema she creates');
SELECT is((SELECT owner FROM vecdb.collections WHERE name = 'hers'), 'collection_ann', 'and owns');
SELECT lives_ok($$SELECT vecdb.drop_collection('hers')$$, 'and drops');
RESET ROLE;

SELECT * FROM finish();
DROP OWNED BY collection_ann, collection_bob, collection_eve;
DROP ROLE collection_ann, collection_bob, collection_eve;
