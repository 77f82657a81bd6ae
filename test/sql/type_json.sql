-- JSON: a vector is an array.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

SELECT to_json('[1,2.5,-3e-8]'::vector), to_jsonb('[1,2.5,-3e-8]'::vector);
SELECT to_json('[1,0.1]'::halfvec), to_jsonb('[1,0.1]'::halfvec);
SELECT '[1,1e38,-0]'::vector::json, '[1,1e38,-0]'::vector::jsonb, '[1,2]'::halfvec::json, '[1,2]'::halfvec::jsonb;

-- A sparsevec remains a string
SELECT to_json('{1:2}/3'::sparsevec), to_jsonb('{1:2}/3'::sparsevec);

-- In rows, objects, aggregates and arrays
CREATE TEMP TABLE item (id int, v vector(3), h halfvec);
INSERT INTO item VALUES (1, '[1,2,3]', '[4]'), (2, null, null);
SELECT row_to_json(item) FROM item ORDER BY id;
SELECT to_jsonb(item) FROM item ORDER BY id;
SELECT json_agg(v ORDER BY id), jsonb_agg(h ORDER BY id) FROM item;
SELECT json_build_object('v', v), jsonb_build_object('h', h), json_build_array(v, h) FROM item ORDER BY id;
SELECT to_json(ARRAY['[1]'::vector, null, '[2,3]']), to_jsonb(ARRAY['[1]'::halfvec]);
SELECT json_typeof(to_json(v)), jsonb_typeof(to_jsonb(v)), json_array_length(to_json(v)) FROM item WHERE id = 1;

-- And back: what reads rows from JSON reads an array into a vector
SELECT r.*, r.v = item.v AND r.h = item.h AS same
FROM item, json_populate_record(null::item, row_to_json(item)) r ORDER BY item.id;
SELECT r.*, r.v = item.v AND r.h = item.h AS same
FROM item, jsonb_populate_record(null::item, to_jsonb(item)) r ORDER BY item.id;
SELECT * FROM jsonb_to_recordset('[{"v": [1, 2.5, 3], "h": "[1,2]"}]') AS r (v vector(3), h halfvec);
SELECT * FROM json_to_recordset('[{"v": [1, 2]}]') AS r (v vector(3));
SELECT * FROM json_to_recordset('[{"v": [1, "x", 2]}]') AS r (v vector(3));

-- Every element is valid JSON, whatever its size
SELECT bool_and((to_jsonb(v) ->> 0)::real = (v::real[])[1] AND (to_json(v) ->> 0)::real = (v::real[])[1]) FROM (
	SELECT ARRAY[s * 10 ^ e]::vector AS v FROM generate_series(-37, 38) e, unnest(ARRAY[1, -3]) s) t;
