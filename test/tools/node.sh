#!/usr/bin/env bash
#
# node.sh start|stop|psql [ARGUMENT OF PSQL...]
#	  A private server with vecdb in it, for trying things and for development.
#
# Its directory (VECDB_DATA) holds a data directory of PostgreSQL and two files
# of ours: vecdb.conf, which carries the settings given to "make start" and is
# included by postgresql.conf, and vecdb.loaded, the checksum of the library
# the running server began with.  A setting that is not given again stays.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/test/tools/ports.sh"

default_port=5488
default_http_port=8080
default_p2p_port=7777

# The data directory and its owner; nothing is created here.
locate()
{
	choose_user
	DATADIR=${VECDB_DATA:-$STATE/data}
	case $DATADIR in
		/*) ;;
		# where the server's user cannot enter the tree, a directory in it is of no use
		*) if [ "$STATE" = "$WORK" ]; then DATADIR=$ROOT/$DATADIR; else DATADIR=$STATE/${DATADIR#.vecdb/}; fi ;;
	esac
	if am_root && [ -f "$DATADIR/PG_VERSION" ]; then
		RUN_USER=$(stat -c %U "$DATADIR")
	fi
}

running()
{
	[ -f "$DATADIR/postmaster.pid" ] && as_user "$PGBIN/pg_ctl" -D "$DATADIR" status >/dev/null 2>&1
}

# query DATABASE SQL: as superuser, so no name is looked for where others may create.
query()
{
	PGOPTIONS='-c search_path=pg_catalog,pg_temp' "$PGBIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PORTNO" -U postgres -d "$1" -c "$2"
}

build_and_install()
{
	local owner

	owner=$(stat -c %U "$ROOT")
	if am_root && [ "$owner" != root ] && [ "$owner" = "$RUN_USER" ]; then
		step 'build vecdb' as_user make -C "$ROOT" -j"$(nproc)" PG_CONFIG="$PG_CONFIG"
	else
		step 'build vecdb' make -C "$ROOT" -j"$(nproc)" PG_CONFIG="$PG_CONFIG"
	fi
	step 'install vecdb' make -C "$ROOT" install PG_CONFIG="$PG_CONFIG"
}

create()
{
	local parent=${DATADIR%/*}

	if [ -e "$DATADIR" ] && [ -n "$(ls -A "$DATADIR")" ]; then
		die "$DATADIR is neither empty nor a data directory of PostgreSQL" 'name another with DATA='
	fi
	mkdir -p "$parent" && own "$DATADIR" || die "cannot create $DATADIR" 'name another with DATA='
	as_user test -x "$DATADIR" ||
		die "the user $RUN_USER, who runs the server, cannot reach $DATADIR" 'name a directory it can enter with DATA=, for instance DATA=/var/lib/vecdb'
	as_user chmod 700 "$DATADIR"
	CREATING=yes
	say "Creating a server in $DATADIR"
	step 'create the data directory' as_user "$PGBIN/initdb" -D "$DATADIR" -U postgres -E UTF8 --locale=C.UTF-8 --auth=reject -N
	as_user tee "$DATADIR/pg_hba.conf" >/dev/null <<-'EOF'
		# Written by "make start": only this machine, only the user postgres.
		host all         postgres 127.0.0.1/32 trust
		host replication postgres 127.0.0.1/32 trust
	EOF
	echo "include 'vecdb.conf'" | as_user tee -a "$DATADIR/postgresql.conf" >/dev/null
}

# How long a request may wait for a lock, and run.
ANON_LOCK="ALTER ROLE vecdb_anon SET lock_timeout = '2s'"
ANON_TIME="ALTER ROLE vecdb_anon SET statement_timeout = '5min'"

# What HTTP's workers connect to, before they are there for the first time: they
# would try, and fail, until it is.
seed()
{
	printf '%s\n' 'CREATE DATABASE vecdb' 'CREATE ROLE vecdb_anon NOLOGIN' "$ANON_LOCK" "$ANON_TIME" \
		'CREATE ROLE vecdb_http LOGIN NOINHERIT' 'GRANT vecdb_anon TO vecdb_http' | as_user "$PGBIN/postgres" --single -D "$DATADIR" postgres
}

# Memory in MB: a share of the machine's, within bounds.
share_of_memory()
{
	awk -v part="$1" -v least="$2" -v most="$3" '/^MemTotal:/ {
		mb = int($2 / 1024 / part)
		if (mb < least) mb = least
		if (mb > most) mb = most
		print mb }' /proc/meminfo
}

# Ports and addresses: those given, else those of before, else the defaults.
settings()
{
	HTTPNO=${VECDB_HTTP_PORT:-$(conf_of "$DATADIR" vecdb.http_port)}
	HTTPNO=${HTTPNO:-$default_http_port}
	PORTNO=${VECDB_PORT:-$(conf_of "$DATADIR" port)}
	PORTNO=${PORTNO:-$default_port}
	P2PNO=${VECDB_P2P_PORT:-$(conf_of "$DATADIR" vecdb.p2p_port)}
	P2PNO=${P2PNO:-$default_p2p_port}
	P2PHOST=${VECDB_P2P_LISTEN:-$(conf_of "$DATADIR" vecdb.listen)}
	P2PHOST=${P2PHOST:-127.0.0.1}
	BOOTSTRAP=${VECDB_BOOTSTRAP:-$(conf_of "$DATADIR" vecdb.bootstrap)}
}

# Write vecdb.conf anew; 0 when it changed.
configure()
{
	local include new

	include=$(sed -n "s/^include '\(.*\)'$/\1/p" "$DATADIR/vecdb.conf" 2>/dev/null)
	if [ -n "${VECDB_CONF:-}" ]; then
		include=$(realpath -e -- "$VECDB_CONF" 2>/dev/null) || die "there is no such file: CONF=$VECDB_CONF"
	fi
	if [ -n "$include" ]; then
		as_user test -r "$include" ||
			die "the user $RUN_USER, who runs the server, cannot read $include" 'put it where that user can, or give another with CONF='
	fi
	new=$(
		echo '# Written by "make start"; put your own settings into a file and name it with CONF=.'
		echo "listen_addresses = '127.0.0.1'"
		echo "port = $PORTNO"
		echo "unix_socket_directories = ''"
		echo "shared_buffers = $(share_of_memory 4 128 1024)MB"
		echo "maintenance_work_mem = $(share_of_memory 8 64 512)MB"
		echo 'max_worker_processes = 16'
		echo "shared_preload_libraries = 'vecdb'"
		echo "vecdb.http_port = $HTTPNO"
		echo "vecdb.http_admin_port = $((HTTPNO + 1))"
		echo "vecdb.http_database = 'vecdb'"
		echo "vecdb.node_databases = 'vecdb'"
		echo "vecdb.listen = '$P2PHOST'"
		echo "vecdb.p2p_port = $P2PNO"
		echo "vecdb.bootstrap = '$BOOTSTRAP'"
		[ -z "$include" ] || echo "include '${include//\'/\'\'}'"
	)
	[ "$new" != "$OLD_CONF" ] || return 1
	CONFIGURED=yes
	printf '%s\n' "$new" | as_user tee "$DATADIR/vecdb.conf" >/dev/null
}

loaded_sum()
{
	local dir

	dir=$("$PG_CONFIG" --pkglibdir)
	cat "$dir/vecdb.so" "$dir/vecdb_http.so" "$dir/vecdb_sync.so" | cksum
}

start_server()
{
	local out=$DATADIR/server.log before

	BEGAN=yes
	before=$(as_user wc -l "$out" 2>/dev/null | cut -d ' ' -f 1)
	if as_user "$PGBIN/pg_ctl" -D "$DATADIR" -l "$out" -w -t 120 start >>"$LOG" 2>&1 </dev/null; then
		loaded_sum | as_user tee "$DATADIR/vecdb.loaded" >/dev/null
		return 0
	fi
	if tail -n +$((${before:-0} + 1)) "$out" | grep -q 'Address already in use'; then
		die "port $PORTNO has been taken by another program meanwhile" "choose another: make start PGPORT=$((PORTNO + 1))"
	fi
	{
		printf 'vecdb: the server did not start; the end of %s:\n' "$out"
		tail -n +$((${before:-0} + 1)) "$out" | tail -n 15 | sed 's/^/  | /'
	} >&2
	exit 1
}

# The role that the HTTP workers connect as, which may nothing but act as the
# other one; and that one, as which requests without a token act: it owns what
# it creates, and may read and write what "postgres" creates among the collections.
create_roles()
{
	[ "$(query postgres "SELECT count(*) FROM pg_roles WHERE rolname IN ('vecdb_http', 'vecdb_anon')")" = 2 ] || {
		query postgres "DO \$\$ BEGIN
			IF to_regrole('vecdb_anon') IS NULL THEN CREATE ROLE vecdb_anon NOLOGIN; $ANON_LOCK; $ANON_TIME; END IF;
			IF to_regrole('vecdb_http') IS NULL THEN CREATE ROLE vecdb_http LOGIN NOINHERIT; END IF;
			END \$\$" &&
			query postgres 'GRANT vecdb_anon TO vecdb_http'
	} &&
		query vecdb 'GRANT USAGE, CREATE ON SCHEMA collections TO vecdb_anon' &&
		query vecdb 'ALTER DEFAULT PRIVILEGES IN SCHEMA collections GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO vecdb_anon'
}

# What the admin port says of itself, by bash alone.
http_ready()
{
	local line=

	exec 3<>"/dev/tcp/127.0.0.1/$((HTTPNO + 1))" || return 1
	printf 'GET /ready HTTP/1.0\r\n\r\n' >&3
	IFS= read -r -t 5 line <&3
	exec 3>&-
	case $line in *' 200 '*) return 0 ;; esac
	return 1
}

# The workers may have begun before there was a database: a reload has them try
# again at once.
wait_for_http()
{
	local tries

	query vecdb 'SELECT pg_reload_conf()' >/dev/null
	for tries in $(seq 600); do
		# Another server's front may answer: the latest word of ours counts.
		case $(as_user grep -E 'HTTP( administration)? listens|could not listen for HTTP' "$DATADIR/server.log" | tail -n 2) in
			*'could not listen'*)
				die "port $HTTPNO or $((HTTPNO + 1)), for HTTP and its administration, has been taken by another program meanwhile" \
					"choose another: make start PORT=$((HTTPNO + 10))"
				;;
			*'listens on'*) ! http_ready 2>/dev/null || return 0 ;;
		esac
		sleep 0.1
	done
	{
		printf 'vecdb: HTTP did not become ready; the end of %s:\n' "$DATADIR/server.log"
		tail -n 15 "$DATADIR/server.log" | sed 's/^/  | /'
	} >&2
	exit 1
}

# The node listens within seconds of the extension's creation; what keeps it
# from that stands in vecdb.stat_workers.
wait_for_node()
{
	local tries reason

	for tries in $(seq 600); do
		reason=$(query vecdb "SELECT state || ' ' || coalesce(reason, '') FROM vecdb.stat_workers WHERE database = 'vecdb'")
		case $reason in
			'running '*) return 0 ;;
			*'in use'*)
				die "port $P2PNO, for other nodes, has been taken by another program meanwhile" \
					"choose another: make start P2P_PORT=$((P2PNO + 1))"
				;;
		esac
		sleep 0.1
	done
	die "the node did not start: ${reason:-it is not known to the server}" "the log is $DATADIR/server.log"
}

# A start that fails leaves things as they were: a data directory that was not
# finished goes, the settings of before are back, and the server runs if it did.
undo()
{
	local status=$?

	trap '' INT TERM
	[ "$status" -ne 0 ] || return 0
	if [ "$CREATING" = yes ]; then
		as_user find "$DATADIR" -mindepth 1 -delete
		return
	fi
	if [ "$BEGAN" = yes ] && running; then
		as_user "$PGBIN/pg_ctl" -D "$DATADIR" -m fast -w -t 120 stop >>"$LOG" 2>&1 </dev/null
	fi
	if [ "$CONFIGURED" = yes ] && [ -n "$OLD_CONF" ]; then
		printf '%s\n' "$OLD_CONF" | as_user tee "$DATADIR/vecdb.conf" >/dev/null
	elif [ "$CONFIGURED" = yes ]; then
		as_user rm -f "$DATADIR/vecdb.conf"
	fi
	if [ "$RAN" = yes ] && ! running &&
		as_user "$PGBIN/pg_ctl" -D "$DATADIR" -l "$DATADIR/server.log" -w -t 120 start >>"$LOG" 2>&1 </dev/null; then
		echo '       the server runs again with the settings of before' >&2
	elif [ "$BEGAN" = yes ] && ! running; then
		echo "       no server runs in $DATADIR" >&2
	fi
}

start()
{
	local changed=no installed version base

	case ${VECDB_PORT:-1} in *[!0-9]* | '') die "PGPORT=$VECDB_PORT is not a port number" 'give one from 1024 to 65535' ;; esac
	case ${VECDB_HTTP_PORT:-1} in *[!0-9]* | '') die "PORT=$VECDB_HTTP_PORT is not a port number" 'give one from 1024 to 65534' ;; esac
	case ${VECDB_P2P_PORT:-1} in *[!0-9]* | '') die "P2P_PORT=$VECDB_P2P_PORT is not a port number" 'give one from 1024 to 65535' ;; esac
	case ${VECDB_BOOTSTRAP:-}${VECDB_P2P_LISTEN:-} in *[!]A-Za-z0-9.:,_[-]*)
		die "BOOTSTRAP=${VECDB_BOOTSTRAP:-} or P2P_LISTEN=${VECDB_P2P_LISTEN:-} holds a character that no address has" \
			'give BOOTSTRAP=host:port, several separated by commas, and P2P_LISTEN=address'
		;;
	esac
	[ -w "$ROOT" ] || die "cannot write in $ROOT, where vecdb is built" 'run as the owner of the tree, or as root'
	open_log start
	choose_pg
	# What is printed at the end is to work.
	! am_root && [ ${#MISSING[@]} -eq 0 ] || need program:curl curl
	install_missing
	settle_pg
	locate
	settings
	check_ports "$DATADIR" "$PORTNO" "$HTTPNO" "$P2PNO" "$P2PHOST"
	if [ ! -w "$("$PG_CONFIG" --pkglibdir)" ] || [ ! -w "$("$PG_CONFIG" --sharedir)/extension" ]; then
		step 'copy PostgreSQL to a directory of our own' private_pg "$STATE/pg$PGMAJOR"
	fi
	if [ -f "$DATADIR/PG_VERSION" ]; then
		version=$(cat "$DATADIR/PG_VERSION")
		[ "$version" = "$PGMAJOR" ] ||
			die "$DATADIR was made by PostgreSQL $version, this is PostgreSQL $PGMAJOR" 'name the right PG_CONFIG=, or another directory with DATA='
	fi
	build_and_install

	CREATING=no BEGAN=no CONFIGURED=no RAN=no
	OLD_CONF=$(cat "$DATADIR/vecdb.conf" 2>/dev/null)
	! running || RAN=yes
	trap undo EXIT
	trap 'exit 130' INT TERM
	if [ ! -f "$DATADIR/PG_VERSION" ]; then
		create
		configure
		step 'create the database and the roles of HTTP' seed
		CREATING=no
	elif configure; then
		changed=yes
	fi
	if [ $RAN = yes ]; then
		if [ $changed = yes ] || [ "$(cat "$DATADIR/vecdb.loaded" 2>/dev/null)" != "$(loaded_sum)" ]; then
			step 'stop the server' as_user "$PGBIN/pg_ctl" -D "$DATADIR" -m fast -w -t 120 stop
			start_server
		fi
	else
		start_server
	fi

	if [ "$(query postgres "SELECT count(*) FROM pg_database WHERE datname = 'vecdb'")" = 0 ]; then
		step 'create the database' query postgres 'CREATE DATABASE vecdb'
	fi
	step 'create the extension' query vecdb 'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS vecdb SCHEMA public'
	installed=$(query vecdb "SELECT count(*) FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname WHERE e.extname = 'vecdb' AND e.extversion <> a.default_version")
	[ "$installed" = 0 ] || step 'update the extension' query vecdb 'ALTER EXTENSION vecdb UPDATE'

	step 'create the roles of HTTP' create_roles
	wait_for_http
	wait_for_node

	version=$(query vecdb "SELECT extversion FROM pg_extension WHERE extname = 'vecdb'")
	say "vecdb $version on PostgreSQL $PGMAJOR: 127.0.0.1:$PORTNO, database vecdb, user postgres, no password"
	say "  next: make demo$HINT, make psql$HINT, make stop$HINT"
	base=http://127.0.0.1:$HTTPNO
	say "HTTP: $base, administration on port $((HTTPNO + 1)). Try"
	say "  curl -s --json '{\"name\":\"demo\",\"dimensions\":3}' $base/collections"
	say "  curl -s --json '{\"vectors\":[{\"id\":\"a\",\"collection\":\"demo\",\"data\":[1,2,3],\"metadata\":{\"tag\":\"x\"}}]}' $base/vectors"
	say "  curl -s --json '{\"vector\":[1,2,2],\"k\":3}' $base/collections/demo/search"
	say "Node: $P2PHOST:$P2PNO, id $(query vecdb 'SELECT vecdb.node_id()'). Another beside it:"
	say "  make start $(another) BOOTSTRAP=$(reachable_host):$P2PNO"
	say 'A collection on both: here, then there with the text that it gives'
	say "  echo \"SELECT vecdb.invite('demo')\" | make psql$HINT"
	say "  echo \"SELECT vecdb.join('vecdb1:...')\" | make psql $(another)"
}

# Directory and ports of another node that could be started now.
another()
{
	local taken=" $PORTNO $HTTPNO $((HTTPNO + 1)) $P2PNO " pg http p2p

	pg=$(free_port $((PORTNO + 1)) "$DATADIR" "$taken")
	http=$(free_port $((HTTPNO + 10)) "$DATADIR" "$taken$pg ")
	p2p=$(free_port $((P2PNO + 1)) "$DATADIR" "$taken$pg $http $((http + 1)) ")
	echo "DATA=.vecdb/node$p2p PGPORT=$pg PORT=$http P2P_PORT=$p2p"
}

# Where another node on this machine finds this one.
reachable_host()
{
	case $P2PHOST in
		0.0.0.0) echo 127.0.0.1 ;;
		::) echo '[::1]' ;;
		*:*) echo "[$P2PHOST]" ;;
		*) echo "$P2PHOST" ;;
	esac
}

# stop and psql must work without building anything; the server itself tells
# where its programs are.
attach()
{
	PGBIN=
	DATADIR=${VECDB_DATA:-$WORK/data}
	name_user || return
	locate
	[ -f "$DATADIR/PG_VERSION" ] || return
	PGBIN=$(sed 's/ .*//; s,/postgres$,,; s,/postmaster$,,' "$DATADIR/postmaster.opts" 2>/dev/null)
	[ -x "$PGBIN/pg_ctl" ] || PGBIN=
	PORTNO=$(sed -n 4p "$DATADIR/postmaster.pid" 2>/dev/null)
}

stop()
{
	attach
	if [ -z "$PGBIN" ] || ! running; then
		say "No server runs in $DATADIR"
		return 0
	fi
	open_log stop
	step 'stop the server' as_user "$PGBIN/pg_ctl" -D "$DATADIR" -m fast -w -t 120 stop
	say "Stopped; data kept in $DATADIR"
}

psql()
{
	shift
	attach
	[ -f "$DATADIR/PG_VERSION" ] || die "there is no server in $DATADIR" 'make start creates one'
	[ -n "$PGBIN" ] && running || die "no server runs in $DATADIR" 'make start starts it'
	exec "$PGBIN/psql" -h 127.0.0.1 -p "$PORTNO" -U postgres -d vecdb "$@"
}

HINT=${VECDB_DATA:+ DATA=$VECDB_DATA}
case ${1:-} in
	start | stop | psql) "$1" "$@" ;;
	*) die 'usage: node.sh start|stop|psql' ;;
esac
