-- hnsw on bit: Hamming and Jaccard distances, rows before and after the index.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;
SET enable_seqscan = off;

CREATE TABLE hb_ham (id int PRIMARY KEY, v bit(8));
INSERT INTO hb_ham SELECT i, i::bit(8) FROM generate_series(0, 255) i;
CREATE INDEX hb_ham_idx ON hb_ham USING hnsw (v bit_hamming_ops);
EXPLAIN (COSTS OFF) SELECT id FROM hb_ham ORDER BY v <~> B'00010110' LIMIT 9;
-- The point itself and its eight neighbors at distance one; ties come in any
-- order, so order them here.
SELECT dist, array_agg(id ORDER BY id) AS ids FROM
	(SELECT id, v <~> B'00010110' AS dist FROM hb_ham ORDER BY v <~> B'00010110' LIMIT 9) t
	GROUP BY dist ORDER BY dist;
DELETE FROM hb_ham WHERE id IN (22, 23);
VACUUM hb_ham;
INSERT INTO hb_ham VALUES (1022, B'00010110');
SELECT dist, array_agg(id ORDER BY id) AS ids FROM
	(SELECT id, v <~> B'00010110' AS dist FROM hb_ham ORDER BY v <~> B'00010110' LIMIT 8) t
	GROUP BY dist ORDER BY dist;
UPDATE hb_ham SET v = B'00010110' WHERE id = 0;
SELECT id FROM (SELECT id FROM hb_ham ORDER BY v <~> B'00010110' LIMIT 2) t ORDER BY id;
SELECT id FROM hb_ham ORDER BY v <~> B'0001011' LIMIT 1;
SELECT count(*) FROM (SELECT id FROM hb_ham ORDER BY v <~> (SELECT NULL::bit(8)) LIMIT 5) t;
SELECT count(*) AS problems FROM hnsw_check('hb_ham_idx');
DROP TABLE hb_ham;

CREATE TABLE hb_jac (id int, v bit(6));
CREATE INDEX hb_jac_idx ON hb_jac USING hnsw (v bit_jaccard_ops);
INSERT INTO hb_jac VALUES (1, B'111000'), (2, B'110000'), (3, B'111111'), (4, B'000001'), (5, NULL), (6, B'011110');
EXPLAIN (COSTS OFF) SELECT id FROM hb_jac ORDER BY v <%> B'111000' LIMIT 10;
SELECT id, round((v <%> B'111000')::numeric, 4) AS dist FROM hb_jac ORDER BY v <%> B'111000' LIMIT 10;
-- No bit in common with anything, and no bit at all
INSERT INTO hb_jac VALUES (7, B'000000');
SELECT count(*) FROM (SELECT id FROM hb_jac ORDER BY v <%> B'000000' LIMIT 10) t;
SELECT count(*) AS problems FROM hnsw_check('hb_jac_idx');
DROP TABLE hb_jac;

-- Lengths that fill no whole byte or word, one bit, and many
CREATE TABLE hb_odd (id int, a bit(1), b bit(67), c bit(16000));
INSERT INTO hb_odd SELECT i, (i % 2)::bit(1), (repeat('1', i) || repeat('0', 67 - i))::bit(67),
		(repeat('1', i * 100) || repeat('0', 16000 - i * 100))::bit(16000)
	FROM generate_series(0, 60) i;
CREATE INDEX hb_odd_a ON hb_odd USING hnsw (a bit_hamming_ops);
CREATE INDEX hb_odd_b ON hb_odd USING hnsw (b bit_hamming_ops);
CREATE INDEX hb_odd_c ON hb_odd USING hnsw (c bit_hamming_ops);
SELECT DISTINCT a FROM (SELECT a FROM hb_odd ORDER BY a <~> B'1' LIMIT 5) t;
SELECT id, b <~> (SELECT b FROM hb_odd WHERE id = 0) AS dist
	FROM hb_odd ORDER BY b <~> (SELECT b FROM hb_odd WHERE id = 0) LIMIT 4;
SELECT id, c <~> (SELECT c FROM hb_odd WHERE id = 0) AS dist
	FROM hb_odd ORDER BY c <~> (SELECT c FROM hb_odd WHERE id = 0) LIMIT 4;
SELECT count(*) AS problems FROM hnsw_check('hb_odd_a');
SELECT count(*) AS problems FROM hnsw_check('hb_odd_b');
SELECT count(*) AS problems FROM hnsw_check('hb_odd_c');
DROP TABLE hb_odd;
