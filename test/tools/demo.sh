#!/usr/bin/env bash
#
# demo.sh
#	  60,000 images of 784 dimensions: load, index with progress, search, and
#	  compare with exact answers.  Starts the node (VECDB_DATA) when it is down.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

IMAGES=/usr/share/datasets/fashion-mnist
QUERIES=100
NODE=$ROOT/test/tools/node.sh

sql()
{
	bash "$NODE" psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

# load TABLE FILES [COUNT]: nothing to do when it is there already.
load()
{
	local table=$1 files=$2

	[ "$(sql -c "SELECT to_regclass('public.$table') IS NOT NULL")" = f ] || return 0
	sql -c "CREATE TABLE $table (id integer PRIMARY KEY, label text NOT NULL, embedding vector(784) NOT NULL)" || return 1
	perl "$ROOT/test/tools/idx.pl" "$IMAGES/$files-images-idx3-ubyte.gz" "$IMAGES/$files-labels-idx1-ubyte.gz" ${3:-} |
		sql -c "COPY $table FROM STDIN (FORMAT binary)" && sql -c "VACUUM ANALYZE $table" && return 0
	sql -c "DROP TABLE IF EXISTS $table"
	return 1
}

# The index build runs in the background; say how far it is, in place on a
# terminal, a line now and then elsewhere.
build_index()
{
	local pid began=$SECONDS told=-100 line status

	sql -c 'DROP INDEX IF EXISTS fashion_embedding_idx' \
		-c "CREATE INDEX fashion_embedding_idx ON fashion USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 128)" \
		>>"$LOG" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		line=$(sql -c "
			SELECT format('%s: %s of %s rows', phase, tuples_done, greatest(tuples_total, c.reltuples::bigint))
			FROM pg_stat_progress_create_index p JOIN pg_class c ON c.oid = p.relid
			WHERE p.relid = 'fashion'::regclass AND p.datname = current_database()" </dev/null)
		if [ -t 1 ]; then
			[ -z "$line" ] || printf '\r  %3d s  %-66s' $((SECONDS - began)) "$line"
		elif [ -n "$line" ] && [ $((SECONDS - told)) -ge 5 ]; then
			told=$SECONDS
			printf '  %3d s  %s\n' $((SECONDS - began)) "$line"
		fi
		sleep 0.5
	done
	[ ! -t 1 ] || printf '\r%80s\r' ''
	wait "$pid"
	status=$?
	[ "$status" -eq 0 ] || { tail -n 5 "$LOG" | sed 's/^/  | /' >&2; die 'the index could not be built' "all of it: $LOG"; }
	say "Indexed in $((SECONDS - began)) s; $(sql -c "SELECT pg_size_pretty(pg_table_size('fashion')) || ' of table, ' || pg_size_pretty(pg_relation_size('fashion_embedding_idx')) || ' of index'")"
}

if ! sql -c 'SELECT 1' >/dev/null 2>&1 </dev/null; then
	bash "$NODE" start || exit 1
fi
open_log demo
for set in train t10k; do
	need "file:$IMAGES/$set-images-idx3-ubyte.gz" dataset-fashion-mnist
	need "file:$IMAGES/$set-labels-idx1-ubyte.gz" dataset-fashion-mnist
done
need program:perl perl
need program:gzip gzip
install_missing
say "Loading 60,000 images of 784 dimensions and $QUERIES queries"
began=$SECONDS
step 'load the images' load fashion train
step 'load the queries' load fashion_query t10k "$QUERIES"
say "Loaded in $((SECONDS - began)) s"
say 'CREATE INDEX ON fashion USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 128)'
build_index
bash "$NODE" psql -X -f "$ROOT/sql/demo.sql"
