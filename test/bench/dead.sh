#!/usr/bin/env bash
#
# dead.sh [ROWS] [DIMENSIONS]
#	  What a mass delete costs while its rows are still in the index: times of
#	  searches and inserts, and recall of live rows, before the delete, while VACUUM
#	  repairs the graph (it is cancelled then), and after it.  Prints a table.
#	  The server is the one of PGHOST, PGPORT and PGDATABASE, with vecdb.
set -euo pipefail

rows=${1:-30000} dim=${2:-32}
sql() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }
vacuum=
trap '[ -z "$vacuum" ] || kill "$vacuum" 2>/dev/null || true' EXIT

sql <<SQL
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
DROP TABLE IF EXISTS dead_items, dead_queries, dead_kept, dead_centers;
SELECT setseed(0.5) \g /dev/null
-- ten clusters of normal width; row i is of cluster i mod 10
CREATE TABLE dead_centers AS SELECT c, (SELECT array_agg(8 * random() + 0 * c + 0 * k) FROM generate_series(1, $dim) k) AS v FROM generate_series(0, 9) c;
CREATE TABLE dead_items AS SELECT i AS id, i % 10 AS c,
	(SELECT array_agg(x + random() + random() + random() + 0 * i) FROM unnest(v) x)::real[]::vector($dim) AS v
	FROM generate_series(1, $rows) i JOIN dead_centers ON c = i % 10;
CREATE TABLE dead_queries AS SELECT i AS id,
	(SELECT array_agg(x + random() + random() + random() + 0 * i) FROM unnest(v) x)::real[]::vector($dim) AS v
	FROM generate_series(1, 100) i JOIN dead_centers ON c = i % 10;
DROP TABLE dead_centers;
CREATE OR REPLACE FUNCTION dead_measure() RETURNS text LANGUAGE plpgsql SET jit = off AS \$\$
DECLARE q record; t timestamptz; s float[] = '{}'; n float[] = '{}'; hits int = 0; wanted int = 0; got int[]; truth int[]; few int = 0;
BEGIN
	FOR q IN SELECT * FROM dead_queries LOOP
		SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off;
		truth = ARRAY(SELECT id FROM dead_items ORDER BY v <-> q.v LIMIT 10);
		SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on;
		t = clock_timestamp();
		got = ARRAY(SELECT id FROM dead_items ORDER BY v <-> q.v LIMIT 10);
		s = s || 1000 * extract(epoch FROM clock_timestamp() - t)::float;
		wanted = wanted + cardinality(truth);
		few = few + (cardinality(got) < cardinality(truth))::int;
		hits = hits + (SELECT count(*) FROM unnest(got) g WHERE g = ANY (truth));
	END LOOP;
	FOR q IN SELECT * FROM dead_queries LIMIT 40 LOOP
		t = clock_timestamp();
		INSERT INTO dead_items VALUES (-q.id, 0, q.v);
		n = n || 1000 * extract(epoch FROM clock_timestamp() - t)::float;
	END LOOP;
	DELETE FROM dead_items WHERE id < 0;
	RETURN format('recall %s, %s searches with too few rows; ms a search: median %s, most %s; ms an insert: median %s, most %s',
		round(hits / greatest(wanted, 1)::numeric, 3), few,
		round((SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM unnest(s) x)::numeric, 2), round((SELECT max(x) FROM unnest(s) x)::numeric, 2),
		round((SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM unnest(n) x)::numeric, 2), round((SELECT max(x) FROM unnest(n) x)::numeric, 2));
END \$\$;
SQL

for what in '50 %, at random:hashint4(id) & 1 = 0' '90 %, at random:abs(hashint4(id) % 10) < 9' '50 %, five clusters of ten:c < 5' '90 %, nine clusters of ten:c < 9'; do
	sql >/dev/null <<SQL
SET client_min_messages = warning;
DROP INDEX IF EXISTS dead_items_v;
CREATE TABLE IF NOT EXISTS dead_kept AS SELECT * FROM dead_items;
TRUNCATE dead_items;
ALTER TABLE dead_items SET (autovacuum_enabled = off);
INSERT INTO dead_items SELECT * FROM dead_kept;
SET maintenance_work_mem = '512MB';
CREATE INDEX dead_items_v ON dead_items USING hnsw (v vector_l2_ops);
VACUUM ANALYZE dead_items;
SQL
	echo "== ${what%%:*}"
	echo "before:         $(sql -c 'SELECT dead_measure()')"
	deleted=$(sql -c "WITH d AS (DELETE FROM dead_items WHERE ${what#*:} RETURNING 1) SELECT count(*) FROM d")
	echo "deleted, first: $(sql -c 'SELECT dead_measure()')"
	echo "deleted, again: $(sql -c 'SELECT dead_measure()')"
	sql -c "SET application_name = 'dead'" -c 'VACUUM dead_items' >/dev/null 2>&1 &
	vacuum=$!
	# when all nodes are marked, it is stopped: the graph stays as it is in that moment
	for _ in $(seq 6000); do
		[ "$(sql -c "SELECT dead >= $deleted FROM hnsw_stats('dead_items_v') WHERE level = 0")" != t ] || break
		kill -0 "$vacuum" 2>/dev/null || break
	done
	sql -c "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'dead'" >/dev/null
	wait "$vacuum" || true
	vacuum=
	echo "in VACUUM:      $(sql -c 'SELECT dead_measure()'); nodes marked dead: $(sql -c "SELECT dead FROM hnsw_stats('dead_items_v') WHERE level = 0")"
	sql -c 'VACUUM dead_items' >/dev/null
	echo "after VACUUM:   $(sql -c 'SELECT dead_measure()'); hnsw_check: $(sql -c "SELECT count(*) FROM hnsw_check('dead_items_v')") problems"
done
sql -c 'DROP TABLE dead_items, dead_queries, dead_kept' -c 'DROP FUNCTION dead_measure()' >/dev/null
