-- EXPLAIN ANALYZE of PostgreSQL 18 and later tells how often an index was searched.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

CREATE TABLE he (id int, v vector(2));
INSERT INTO he SELECT i, ARRAY[i, i % 7]::vector FROM generate_series(1, 500) i;
CREATE INDEX he_v ON he USING hnsw (v vector_l2_ops);
ANALYZE he;

-- Earlier ones do not: then it is what is wanted.
CREATE FUNCTION he_searches(query text, wanted int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
	searches int;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
	IF NOT plan @? '$.**."Index Name" ? (@ == "he_v")' THEN
		RAISE EXCEPTION 'the index is not used: %', plan;
	END IF;
	SELECT sum(s::int) INTO searches FROM jsonb_path_query(plan, 'strict $.**."Index Searches"', silent => true) s;
	RETURN CASE WHEN current_setting('server_version_num')::int < 180000 THEN wanted ELSE searches END;
END $$;

SET enable_seqscan = off;
SET enable_sort = off;
SELECT he_searches($$SELECT id FROM he ORDER BY v <-> '[3,3]' LIMIT 5$$, 1);
SELECT he_searches($$SELECT n.id FROM (VALUES (1), (2), (3)) q (i), LATERAL (SELECT id FROM he ORDER BY v <-> ARRAY[i, i]::vector LIMIT 2) n$$, 3);
-- A scan that goes on is one search.
SET hnsw.iterative_scan = relaxed_order;
SET hnsw.ef_search = 10;
SELECT he_searches($$SELECT id FROM he ORDER BY v <-> '[3,3]' LIMIT 100$$, 1);
DROP TABLE he;
DROP FUNCTION he_searches;
