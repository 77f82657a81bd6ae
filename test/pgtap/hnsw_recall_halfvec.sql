-- Recall of hnsw on halfvec: 10,000 rows of 64 dimensions in 50 clusters.
\set schema hnsw_recall_halfvec
\set seed 0.31
\set inserts 5000
\ir hnsw_recall.psql
SELECT plan(80);
CREATE TABLE data AS SELECT id, v::halfvec(64) FROM clustered(10100, 64, 50, 0.5);
CREATE TABLE queries AS SELECT * FROM data WHERE id > 10000;
DELETE FROM data WHERE id > 10000;
VACUUM ANALYZE data;

\set opclass halfvec_l2_ops
\set op '<->'
\ir hnsw_recall_case.psql
\set opclass halfvec_ip_ops
\set op '<#>'
\ir hnsw_recall_case.psql
\set opclass halfvec_cosine_ops
\set op '<=>'
\ir hnsw_recall_case.psql
\set opclass halfvec_l1_ops
\set op '<+>'
\ir hnsw_recall_case.psql

SELECT * FROM finish();
DROP SCHEMA :schema CASCADE;
