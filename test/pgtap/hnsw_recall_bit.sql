-- Recall of hnsw on bit: 10,000 rows of 256 bits in 50 clusters, made from the
-- signs of clustered vectors.
\set schema hnsw_recall_bit
\set seed 0.32
\set inserts 10000
\ir hnsw_recall.psql
SELECT plan(40);
CREATE TABLE data AS SELECT id, binary_quantize(v::vector(256))::bit(256) AS v FROM clustered(10100, 256, 50, 0.5);
CREATE TABLE queries AS SELECT * FROM data WHERE id > 10000;
DELETE FROM data WHERE id > 10000;
VACUUM ANALYZE data;

\set opclass bit_hamming_ops
\set op '<~>'
\ir hnsw_recall_case.psql
\set opclass bit_jaccard_ops
\set op '<%>'
\ir hnsw_recall_case.psql

SELECT * FROM finish();
DROP SCHEMA :schema CASCADE;
