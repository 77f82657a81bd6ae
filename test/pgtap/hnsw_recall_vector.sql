-- Recall of hnsw on vector: 10,000 rows of 64 dimensions in 50 clusters.
\set schema hnsw_recall_vector
\set seed 0.31
\set inserts 10000
\ir hnsw_recall.psql
SELECT plan(80);
CREATE TABLE data AS SELECT id, v::vector(64) FROM clustered(10100, 64, 50, 0.5);
CREATE TABLE queries AS SELECT * FROM data WHERE id > 10000;
DELETE FROM data WHERE id > 10000;
VACUUM ANALYZE data;

\set opclass vector_l2_ops
\set op '<->'
\ir hnsw_recall_case.psql
-- Inserts one by one are the longest part; the other distances make do with half.
\set inserts 5000
\set opclass vector_ip_ops
\set op '<#>'
\ir hnsw_recall_case.psql
\set opclass vector_cosine_ops
\set op '<=>'
\ir hnsw_recall_case.psql
\set opclass vector_l1_ops
\set op '<+>'
\ir hnsw_recall_case.psql

SELECT * FROM finish();
DROP SCHEMA :schema CASCADE;
