-- hnsw_stats: nodes, rows and links by level
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
\set VERBOSITY terse
CREATE TABLE hs (id int, v vector(3));
CREATE INDEX hs_idx ON hs USING hnsw (v vector_l2_ops);
SELECT level, nodes, rows, dead, mean_links, pages, free_slots, bytes FROM hnsw_stats('hs_idx');
INSERT INTO hs SELECT i, ARRAY[i, i % 7, i % 11]::vector FROM generate_series(1, 40) i;
INSERT INTO hs SELECT 100 + i, '[5,5,5]' FROM generate_series(1, 10) i;
SELECT level, nodes, rows, dead FROM hnsw_stats('hs_idx') WHERE level = 0;
-- every node of so small a graph has as many links as a node may have
SELECT mean_links, links_histogram[33] AS with_32, cardinality(links_histogram)
	FROM hnsw_stats('hs_idx') WHERE level = 0;
SELECT bytes = pages * 8192 AND bytes = value_bytes + code_bytes + link_bytes + other_bytes AS adds_up
	FROM hnsw_stats('hs_idx') WHERE level = 0;
DELETE FROM hs WHERE id <= 10;
VACUUM hs;
SELECT level, nodes, rows FROM hnsw_stats('hs_idx') WHERE level = 0;
-- what it refuses
SELECT * FROM hnsw_stats('hs');
CREATE INDEX hs_id ON hs (id);
SELECT * FROM hnsw_stats('hs_id');
CREATE ROLE hs_stranger;
SET ROLE hs_stranger;
SELECT * FROM hnsw_stats('hs_idx');
RESET ROLE;
DROP ROLE hs_stranger;
-- what a failed concurrent build has left
CREATE TABLE hs_broken (v vector);
INSERT INTO hs_broken VALUES ('[1,2,3]'), ('[1,2]');
CREATE INDEX CONCURRENTLY hs_broken_idx ON hs_broken USING hnsw ((v::vector(3)) vector_l2_ops);
\set VERBOSITY default
SELECT * FROM hnsw_stats('hs_broken_idx');
SELECT * FROM hnsw_check('hs_broken_idx');
\set VERBOSITY terse
DELETE FROM hs_broken WHERE vector_dims(v) = 2;
REINDEX INDEX hs_broken_idx;
SELECT nodes FROM hnsw_stats('hs_broken_idx');
SELECT * FROM hnsw_check('hs_broken_idx');
DROP TABLE hs_broken;
DROP TABLE hs;
