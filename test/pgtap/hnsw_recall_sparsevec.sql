-- Recall of hnsw on sparsevec: 10,000 rows of 1,000 dimensions, of which about
-- 16 are not zero: 12 of its cluster's 24, and 4 of all.
\set schema hnsw_recall_sparsevec
\set seed 0.33
\set inserts 4000
\ir hnsw_recall.psql
SELECT plan(80);
CREATE FUNCTION sparse_clustered(n int, centres int) RETURNS TABLE (id int, v sparsevec) LANGUAGE plpgsql AS $$
DECLARE
	own int[] := ARRAY(SELECT 1 + floor(random() * 1000)::int FROM generate_series(1, centres * 24));
	base int;
BEGIN
	FOR i IN 1..n LOOP
		base := floor(random() * centres)::int * 24;
		id := i;
		SELECT ('{' || string_agg(dim || ':' || round(val::numeric, 3), ',' ORDER BY dim) || '}/1000')::sparsevec INTO v
		FROM (SELECT dim, max(val) AS val FROM
				(SELECT CASE WHEN j <= 12 THEN own[base + 1 + floor(random() * 24)::int]
							ELSE 1 + floor(random() * 1000)::int END AS dim,
						0.2 + random() AS val
					FROM generate_series(1, 16) j) a GROUP BY dim) b;
		RETURN NEXT;
	END LOOP;
END $$;
CREATE TABLE data AS SELECT id, v::sparsevec(1000) FROM sparse_clustered(10100, 50);
CREATE TABLE queries AS SELECT * FROM data WHERE id > 10000;
DELETE FROM data WHERE id > 10000;
VACUUM ANALYZE data;

\set opclass sparsevec_l2_ops
\set op '<->'
\ir hnsw_recall_case.psql
\set opclass sparsevec_ip_ops
\set op '<#>'
\ir hnsw_recall_case.psql
\set opclass sparsevec_cosine_ops
\set op '<=>'
\ir hnsw_recall_case.psql
\set opclass sparsevec_l1_ops
\set op '<+>'
\ir hnsw_recall_case.psql

SELECT * FROM finish();
DROP SCHEMA :schema CASCADE;
