#!/usr/bin/env bash
#
# server.sh install DIR | run DIR SOCKETS SHARED_BUFFERS
#	  The server of the benchmark, with vecdb and pgvector in it.  bench.sh runs
#	  this from a copy of the tree at DIR/tree, in a chroot or on the machine.
#
# install builds vecdb and installs it into a copy of PostgreSQL in DIR/pg, and
# makes the data directory DIR/data.  run becomes the server, in the foreground.

. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

verb=${1:-}
DIR=${2:?}
VECDB_NO_PACKAGES=1
open_log "bench-$verb"
need_pg
choose_user

# Settings that are the same for both, and change little from machine to
# machine: nothing is to happen by the way.
configuration()
{
	cat <<-'EOF2'
		listen_addresses = ''
		max_connections = 40
		maintenance_work_mem = '1GB'
		max_wal_size = '16GB'
		checkpoint_timeout = '1h'
		autovacuum = off
		jit = off
		max_parallel_maintenance_workers = 1
		max_parallel_workers_per_gather = 0
		log_checkpoints = off
	EOF2
}

case $verb in
	install)
		[ -f "$("$PG_CONFIG" --sharedir)/extension/vector.control" ] ||
			die "PostgreSQL $PGMAJOR has no pgvector to compare with" "install postgresql-$PGMAJOR-pgvector, or run as root without PG_CONFIG="
		step 'copy PostgreSQL' private_pg "$DIR/pg"
		step 'build vecdb' make -C "$ROOT" -j"$(nproc)" PG_CONFIG="$PG_CONFIG"
		step 'install vecdb' make -C "$ROOT" install PG_CONFIG="$PG_CONFIG"
		own "$DIR/socket"
		if [ ! -f "$DIR/data/PG_VERSION" ]; then
			own "$DIR/data"
			as_user chmod 700 "$DIR/data"
			step 'create the data directory' as_user "$PGBIN/initdb" -D "$DIR/data" -U postgres -E UTF8 --locale=C.UTF-8 --auth=trust -N
		fi
		# A chroot made anew may number its users differently.
		! am_root || [ "$(stat -c %U "$DIR/data/PG_VERSION")" = "$RUN_USER" ] || chown -R "$RUN_USER" "$DIR/data"
		configuration | as_user tee "$DIR/data/postgresql.auto.conf" >/dev/null
		cksum <"$("$PG_CONFIG" --pkglibdir)/vecdb.so" >"$DIR/vecdb.sum"
		;;
	run)
		private_pg "$DIR/pg"
		cd / || exit 1
		if am_root; then
			exec setpriv --reuid="$RUN_USER" --regid="$(id -g "$RUN_USER")" --init-groups \
				"$PGBIN/postgres" -D "$DIR/data" -c "unix_socket_directories=$3" -c "shared_buffers=$4"
		fi
		exec "$PGBIN/postgres" -D "$DIR/data" -c "unix_socket_directories=$3" -c "shared_buffers=$4"
		;;
	*)
		die 'usage: server.sh install DIR | run DIR SOCKETS SHARED_BUFFERS'
		;;
esac
