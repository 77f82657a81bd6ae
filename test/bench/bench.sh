#!/usr/bin/env bash
#
# bench.sh run | start SHARED_BUFFERS | stop
#	  "make bench": vecdb beside pgvector in one server, and hnswlib in memory.
#
# The server is PostgreSQL 17 with Debian's pgvector, in the chroot that the
# test matrix uses too; or, where PG_CONFIG is given, that one, if pgvector is
# installed in it.  run prepares it and hands over to bench.pl, which calls back
# for start and stop.  All of it is kept in .vecdb/bench: sets, exact answers,
# tables and indexes, results.

. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

BENCH=$WORK/bench
PROGRAMS=$ROOT/test/bench/bin
WAIT_SECONDS=120
WORKER=

# Where the server lives: HOME_DIR as this script sees it, SEEN as the server does.
locate()
{
	if [ -n "$PG_CONFIG" ]; then
		CHROOT=
		need_pg
		choose_user
		HOME_DIR=$STATE/bench/pg$PGMAJOR
		SEEN=$HOME_DIR
	else
		am_root || die 'the benchmark needs root, for a chroot with PostgreSQL 17 and pgvector' \
			'run: sudo make bench; or name a PostgreSQL that has pgvector: make bench PG_CONFIG=...'
		. "$ROOT/test/tools/chroot.sh"
		need_chroot 17 trixie || exit 1
		HOME_DIR=$BENCH/pg17
		SEEN=/bench
	fi
}

# in_server COMMAND...: on the machine, or in the chroot with mounts of its own.
in_server()
{
	local propagation=private

	if [ -z "$CHROOT" ]; then
		env PG_CONFIG="$PG_CONFIG" "$@"
		return
	fi
	# Where / is no mount point, as in a chroot, its propagation cannot change.
	unshare --mount true 2>/dev/null || propagation=unchanged
	mkdir -p "$CHROOT/bench" "$CHROOT/dev/shm"
	unshare --mount --propagation "$propagation" --fork --kill-child bash -c '
		mount -t proc proc "$1/proc" &&
		mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm" &&
		mount --bind "$2" "$1/bench" || exit 1
		root=$1
		shift 2
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"' sh "$CHROOT" "$HOME_DIR" "$@"
}

# ---------------------------------------------------------------------------
# The server

server_pid()
{
	head -n 1 "$HOME_DIR/data/postmaster.pid" 2>/dev/null
}

alive()
{
	local pid

	pid=$(server_pid)
	[ -n "$pid" ] && kill -0 "$pid" 2>/dev/null
}

start()
{
	local deadline=$((SECONDS + WAIT_SECONDS)) sockets=$BENCH_SOCKETS

	stop
	[ -z "$CHROOT" ] || sockets=$SEEN/socket
	: >"$WORK/log/bench-server.log"
	in_server setsid bash "$SEEN/tree/test/bench/server.sh" run "$SEEN" "$sockets" "$1" >>"$WORK/log/bench-server.log" 2>&1 </dev/null &
	until alive && pg_isready -q -h "$BENCH_SOCKETS"; do
		if [ $SECONDS -ge $deadline ] || ! kill -0 $! 2>/dev/null; then
			tail -n 15 "$WORK/log/bench-server.log" | sed 's/^/  | /' >&2
			die 'the server did not start' "all of it: $WORK/log/bench-server.log"
		fi
		sleep 0.1
	done
}

# Fast, then at once.
stop()
{
	local pid signal deadline

	pid=$(server_pid)
	for signal in INT QUIT KILL; do
		alive || return 0
		kill -s $signal "$pid" 2>/dev/null
		deadline=$((SECONDS + WAIT_SECONDS))
		while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ]; do
			sleep 0.1
		done
	done
}

# ---------------------------------------------------------------------------

# A stale postmaster.pid may bear the number of another's process.
forget_stale()
{
	local pid

	pid=$(server_pid)
	[ -n "$pid" ] || return 0
	[ "/proc/$pid/cwd" -ef "$HOME_DIR/data" ] && return 0
	rm -f "$HOME_DIR/data/postmaster.pid"
}

copy_tree()
{
	mkdir -p "$HOME_DIR/tree"
	rm -rf "$HOME_DIR/tree/src" "$HOME_DIR/tree/sql" "$HOME_DIR/tree/test"
	tar -C "$ROOT" --exclude=./.git --exclude=./.vecdb --exclude='*.o' --exclude='*.so' --exclude=./vecdb-probe --exclude=./test/bench/bin -cf - . |
		tar -C "$HOME_DIR/tree" -xf - --no-same-owner
}

finish()
{
	[ -z "$WORKER" ] || kill "$WORKER" 2>/dev/null
	stop
	rm -rf "$BENCH_SOCKETS_DIR"
}

run()
{
	open_log bench
	mkdir -p "$BENCH/sets"
	exec 9>"$BENCH/lock"
	flock -n 9 || die 'another benchmark of this tree is running'
	need compiler: gcc libc6-dev
	need program:g++ g++
	need program:make make
	need program:perl perl
	need program:gzip gzip
	need program:psql postgresql-client
	need library:postgresql/libpq-fe:pq libpq-dev
	need file:/usr/include/hnswlib/hnswalg.h libhnswlib-dev
	need file:/usr/include/faiss/IndexHNSW.h libfaiss-dev
	need 'file:/usr/share/datasets/fashion-mnist/train-images*.gz' dataset-fashion-mnist
	install_missing
	step 'build the programs' make -C "$ROOT/test/bench" programs
	locate
	export BENCH_SOCKETS_DIR BENCH_SOCKETS
	BENCH_SOCKETS_DIR=$(mktemp -d /tmp/vecdb.XXXXXX)
	chmod 755 "$BENCH_SOCKETS_DIR"
	mkdir -p "$HOME_DIR"
	forget_stale
	stop
	# Paths of sockets are short.
	if [ -n "$CHROOT" ]; then
		BENCH_SOCKETS=$BENCH_SOCKETS_DIR/s
		ln -s "$HOME_DIR/socket" "$BENCH_SOCKETS"
	else
		BENCH_SOCKETS=$BENCH_SOCKETS_DIR
		own "$BENCH_SOCKETS"
	fi
	trap finish EXIT
	trap 'exit 130' INT TERM
	say 'Building vecdb for the server'
	step 'copy the tree' copy_tree
	in_server bash "$SEEN/tree/test/bench/server.sh" install "$SEEN" 9>&- || exit 1
	export BENCH_DIR=$BENCH BENCH_SETS=$BENCH/sets BENCH_PROGRAMS=$PROGRAMS BENCH_ROOT=$ROOT BENCH_HOME=$HOME_DIR PG_CONFIG
	# In the background, so that a signal is not kept waiting.
	perl "$ROOT/test/bench/bench.pl" 9>&- &
	WORKER=$!
	wait "$WORKER"
}

case ${1:-} in
	run) run ;;
	start)
		open_log bench-start
		locate
		start "${2:?}" 9>&-
		;;
	stop)
		locate
		stop
		;;
	*) die 'usage: bench.sh run | start SHARED_BUFFERS | stop' ;;
esac
