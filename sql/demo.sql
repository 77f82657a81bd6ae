-- Searches of "make demo", run with psql against the tables fashion (60,000
-- images) and fashion_query (images not among them).
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
SET client_min_messages = warning;

\set q 7
SELECT label AS query_label FROM fashion_query WHERE id = :q \gset
\echo
\echo Example: the ten images nearest to a test image of class :query_label
\echo '  SELECT id, label, embedding <-> $1 AS distance FROM fashion ORDER BY embedding <-> $1 LIMIT 10'
SELECT embedding AS query FROM fashion_query WHERE id = :q \gset
SELECT id, label, round((embedding <-> :'query')::numeric, 1) AS distance
FROM fashion ORDER BY embedding <-> :'query' LIMIT 10;

CREATE TEMP TABLE answer (method text, query int, ids int[], ms float8);

-- Ask every query once; the time is that of the statement inside the server.
-- Through text the query is a value of its own, as from a client: out of the
-- table it would be fetched out of line again for each distance.
CREATE FUNCTION pg_temp.ask(method text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	q record;
	began timestamptz;
	found int[];
BEGIN
	FOR q IN SELECT id, embedding::text::vector AS embedding FROM fashion_query LOOP
		began := clock_timestamp();
		found := ARRAY(SELECT id FROM fashion ORDER BY embedding <-> q.embedding LIMIT 10);
		INSERT INTO answer VALUES
			(method, q.id, found, 1000 * extract(epoch FROM clock_timestamp() - began));
	END LOOP;
END;
$$;

SELECT count(*) AS queries FROM fashion_query \gset
\echo Searching :queries times: first all 60,000 rows, for the exact answers, then by the index

-- Plans are kept from call to call: forget them when settings change.
SET enable_indexscan = off;
SELECT pg_temp.ask('exact scan') \g /dev/null
RESET enable_indexscan;
DISCARD PLANS;
SELECT pg_temp.ask('warm-up') \g /dev/null
SET hnsw.ef_search = 20;
SELECT pg_temp.ask('hnsw, ef_search 20') \g /dev/null
SET hnsw.ef_search = 40;
SELECT pg_temp.ask('hnsw, ef_search 40') \g /dev/null
SET hnsw.ef_search = 80;
SELECT pg_temp.ask('hnsw, ef_search 80') \g /dev/null

SELECT a.method,
	round(avg((SELECT count(*) FROM unnest(a.ids) i WHERE i = ANY (e.ids)) / 10.0), 4) AS "recall@10",
	round(percentile_cont(0.5) WITHIN GROUP (ORDER BY a.ms)::numeric, 2) AS "median ms"
FROM answer a JOIN answer e ON e.query = a.query AND e.method = 'exact scan'
WHERE a.method <> 'warm-up'
GROUP BY a.method ORDER BY a.method;
