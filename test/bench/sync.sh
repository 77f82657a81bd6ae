#!/usr/bin/env bash
#
# sync.sh
#	  "make bench-sync": what replication costs and how fast it is, beside
#	  PostgreSQL's built-in logical replication of the same table.  Prepares
#	  programs and sets, and hands over to sync.pl, which makes the servers.
#	  Prints figures beside their goals; never fails because of one.
#
# What it makes is below .vecdb/bench-sync, or where the servers' user can reach
# it; results.txt there is the table.  Sets are those of "make bench".

. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

WORKER=

finish()
{
	[ -z "$WORKER" ] || { kill "$WORKER" 2>/dev/null && wait "$WORKER"; }
}
trap finish EXIT
trap 'exit 130' INT TERM

prepare()
{
	own "$DIR" && private_pg "$DIR/pg" || return 1
	make -C "$ROOT" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" && make -C "$ROOT" install PG_CONFIG="$PG_CONFIG" || return 1
	make -C "$ROOT/test/bench" bin/data writer LIBPQ="$PG_CONFIG"
}

open_log bench-sync
choose_pg
need library:postgresql/libpq-fe:pq libpq-dev
need program:perl perl
need program:ss iproute2
need program:gzip gzip
need 'file:/usr/share/datasets/fashion-mnist/train-images*.gz' dataset-fashion-mnist
install_missing
settle_pg
choose_user
DIR=$STATE/bench-sync
mkdir -p "$WORK/bench/sets" "$DIR"
exec 9>"$DIR/lock"
flock -n 9 || die 'another benchmark of replication of this tree is running'
# A node asks for some 1,400 descriptors, most of which stay unused.
ulimit -n "$(ulimit -H -n)"
step 'build vecdb and the programs' prepare
export BENCH_DIR=$DIR BENCH_SETS=$WORK/bench/sets BENCH_PROGRAMS=$ROOT/test/bench/bin BENCH_ROOT=$ROOT
export BENCH_PGBIN=$PGBIN BENCH_USER BENCH_VERSION
BENCH_USER=$(! am_root || id -u "$RUN_USER")
BENCH_VERSION=$("$PG_CONFIG" --version)
# In the background, so that a signal is not kept waiting.
perl "$ROOT/test/bench/sync.pl" 9>&- &
WORKER=$!
wait "$WORKER"
status=$?
WORKER=
exit $status
