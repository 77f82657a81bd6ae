#!/usr/bin/env bash
#
# package.sh NAME
#	  On a fresh machine, as root, with packages in /fresh/deb and newer ones in
#	  /fresh/deb-newer: the way of a server from their installation to their
#	  removal.  Prints a line "ok - ..." or "not ok - ..." for each step, and
#	  everything that was said.

set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/report.sh"

NAME=$1
PORT=5432
HTTP=$((20000 + RANDOM % 10000))
export DEBIAN_FRONTEND=noninteractive

# run COMMAND: a line of shell; what it says is in OUT.
run()
{
	printf '\n$ %s\n' "$1"
	bash -c "$1" >"$OUT" 2>&1 </dev/null
	local status=$?

	cat "$OUT"
	return $status
}

# sql DATABASE TEXT: the command that runs TEXT
sql()
{
	printf 'setpriv --reuid=postgres --regid=postgres --clear-groups psql -XAtq -v ON_ERROR_STOP=1 -p %s -d %s -c %q' "$PORT" "$1" "$2"
}

# until_ready COMMAND: it succeeds within 30 seconds
until_ready()
{
	printf 'for i in $(seq 60); do %s && exit 0; sleep 0.5; done; exit 1' "$1"
}

: >"$OUT"
version=$(ls /fresh/deb/postgresql-*-vecdb_*.deb | sed 's/.*postgresql-\([0-9]*\)-vecdb_.*/\1/')
bin=/usr/lib/postgresql/$version
share=/usr/share/postgresql/$version/extension
cluster="$version main"

try 'the package can be installed' "apt-get -q update && apt-get -q -y --no-install-recommends install /fresh/deb/postgresql-$version-vecdb_*.deb curl" || exit 1
PORT=$(pg_lsclusters -h | awk -v v="$version" '$1 == v && $2 == "main" { print $3 }')
config=/etc/postgresql/$version/main/conf.d/vecdb.conf
# A port of its own: the network is that of the machine around.
PORT=$((HTTP + 10))
pg_conftool "$version" main set port $PORT
trap 'pg_ctlcluster $cluster stop -m immediate >/dev/null 2>&1' EXIT

try 'the server starts' "pg_ctlcluster $cluster start"
try 'a database' "$(sql postgres 'CREATE DATABASE shop')"
try 'CREATE EXTENSION vecdb' "$(sql shop 'CREATE EXTENSION vecdb')"
try 'a table and an index' "$(sql shop "CREATE TABLE item (id int PRIMARY KEY, embedding vector(3)); INSERT INTO item VALUES (1, '[1,2,3]'), (2, '[4,5,6]'), (3, '[1,1,1]'); CREATE INDEX ON item USING hnsw (embedding vector_l2_ops)")"
search="SET enable_seqscan = off; SELECT 'nearest ' || id FROM item ORDER BY embedding <-> '[1,2,2]' LIMIT 1"
try 'a search' "$(sql shop "$search")" && says 'finds the nearest row' '^nearest 1$'

# The release before left its objects: the new one's library serves them, and updates them.
cp /fresh/vecdb--0.1.0.sql "$share/"
try 'a database with the objects of version 0.1.0' "$(sql postgres 'CREATE DATABASE old')"
try 'CREATE EXTENSION, VERSION 0.1.0' "$(sql old "CREATE EXTENSION vecdb VERSION '0.1.0'")"
try 'a table and an index in it' "$(sql old "CREATE TABLE item AS SELECT i AS id, ARRAY[i, 2, 3]::vector(3) AS embedding FROM generate_series(1, 100) i; CREATE INDEX ON item USING hnsw (embedding vector_l2_ops)")"
try 'ALTER EXTENSION vecdb UPDATE' "$(sql old 'ALTER EXTENSION vecdb UPDATE')"
try 'the version' "$(sql old "SELECT 'is ' || (extversion = default_version) FROM pg_extension JOIN pg_available_extensions ON name = extname WHERE extname = 'vecdb'")" && says 'is the newest' '^is true$'
try 'a search in it' "$(sql old "$search")" && says 'finds the nearest row' '^nearest 1$'
rm "$share/vecdb--0.1.0.sql"

# HTTP, as README has it for a server of one's own
try 'the roles of HTTP' "$(sql shop "CREATE ROLE vecdb_anon NOLOGIN; CREATE ROLE vecdb_http LOGIN NOINHERIT; GRANT vecdb_anon TO vecdb_http; ALTER ROLE vecdb_anon SET lock_timeout = '2s'; GRANT USAGE, CREATE ON SCHEMA collections TO vecdb_anon")"
printf '%s\n' "shared_preload_libraries = 'vecdb'" "vecdb.http_database = 'shop'" "vecdb.http_port = $HTTP" >"$config"
try 'the server starts with vecdb preloaded' "pg_ctlcluster $cluster restart"
try 'HTTP is ready' "$(until_ready "curl -sf http://127.0.0.1:$HTTP/health")"
try 'a collection by HTTP' "$(until_ready "curl -sf --json '{\"name\": \"film\", \"dimensions\": 3}' http://127.0.0.1:$HTTP/collections")"
try 'vectors by HTTP' "curl -sf --json '{\"vectors\": [{\"id\": \"a\", \"collection\": \"film\", \"data\": [1, 2, 3]}, {\"id\": \"b\", \"collection\": \"film\", \"data\": [3, 1, 0]}]}' http://127.0.0.1:$HTTP/vectors"
by_http="curl -sf --json '{\"vector\": [1, 2, 2], \"k\": 1}' http://127.0.0.1:$HTTP/collections/film/search"
try 'a search by HTTP' "$by_http" && says 'finds the nearest' '"id":"a"'

try 'the probe' "$bin/bin/vecdb-probe --version" && says 'is of the package' '^vecdb-probe [0-9]'

# A newer package over it, while the server runs
try 'a newer package' "apt-get -q -y install /fresh/deb-newer/postgresql-$version-vecdb_*.deb"
try 'the server goes on' "$(sql shop "$search")" && says 'and finds the nearest row' '^nearest 1$'
try 'the server starts with it' "pg_ctlcluster $cluster restart"
try 'a search by HTTP' "$(until_ready "$by_http")" && says 'finds the nearest' '"id":"a"'

# Who says vector
try 'the package of the extension "vector"' "apt-get -q -y install /fresh/deb-newer/postgresql-$version-vecdb-vector_*.deb"
try 'CREATE EXTENSION IF NOT EXISTS vector' "$(sql postgres 'CREATE DATABASE migrated') && $(sql migrated 'CREATE EXTENSION IF NOT EXISTS vector') && $(sql migrated "SELECT 'distance ' || ('[0,3]'::vector <-> '[4,0]')")" && says 'brings the types' '^distance 5$'

# Removal
try 'DROP EXTENSION' "$(sql shop 'DROP EXTENSION vecdb CASCADE') && $(sql old 'DROP EXTENSION vecdb CASCADE') && $(sql migrated 'DROP EXTENSION vecdb CASCADE')"
rm "$config"
try 'the server starts without vecdb' "pg_ctlcluster $cluster restart"
try 'the packages go' "apt-get -q -y purge postgresql-$version-vecdb postgresql-$version-vecdb-vector"
if compgen -G "$bin/lib/vecdb*" || compgen -G "$share/vecdb*" || compgen -G "$share/vector*"; then
	not_ok 'nothing of them is left'
else
	ok 'nothing of them is left'
fi
try 'the server, without them' "pg_ctlcluster $cluster restart && $(sql shop 'SELECT count(*) FROM item')"
exit $((FAILED > 0))
