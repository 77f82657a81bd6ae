#!/usr/bin/env bash
#
# http.sh
#	  What HTTP costs: requests a second and times of insert, search and point
#	  read, and below /rest/v1 of a row, a list, an order by distance and an upsert
#	  of 100 rows, at several numbers of clients, beside the same statements through
#	  libpq with as many backends as there are executors; and a batch of 1,000
#	  vectors beside COPY.  Prints figures and how they stand to the goals; never
#	  fails because of one.
#
# BENCH_SECONDS is the length of a point (3), BENCH_CLIENTS the numbers of
# clients (1 8 64), BENCH_KINDS what they do (search read insert
# get list order bulk).  HTTP and libpq
# take turns, three each; medians count.  What it makes is below
# .vecdb/bench-http, or where the server's user can reach it; results.txt there is
# the table.

. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

SECS=${BENCH_SECONDS:-3}
CLIENTS=${BENCH_CLIENTS:-1 8 64}
KINDS=${BENCH_KINDS:-search read insert get list order bulk}
EXECUTORS=2
ROWS=10000
DIM=768
BATCH=1000
ROUNDS=5						# of a batch
TURNS=3							# of a point: HTTP, libpq, HTTP, ...; medians count
BULK=100						# rows of an upsert
TIMED=300						# requests whose parts are timed, at most
ANEW=20							# of them whose plans are not kept

case $SECS$CLIENTS in *[!0-9\ ]*) die 'SECONDS and CLIENTS are numbers' ;; esac
open_log bench-http
choose_pg
need program:wrk wrk
need program:curl curl
need library:postgresql/libpq-fe:pq libpq-dev
install_missing
settle_pg
choose_user
DIR=$STATE/bench-http
SERVER_UP=no

finish()
{
	[ $SERVER_UP = no ] || as_user "$PGBIN/pg_ctl" -D "$DIR/data" -m fast -w stop >/dev/null 2>&1
}
trap finish EXIT
trap 'exit 130' INT TERM

# A port that nobody listens on, from the given one on.
free_port()
{
	local port=$1

	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
	echo "$port"
}

query()
{
	"$PGBIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG" -U postgres -d postgres "$@"
}

prepare_server()
{
	own "$DIR" || return 1
	private_pg "$DIR/pg" || return 1
	make -C "$ROOT" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" && make -C "$ROOT" install PG_CONFIG="$PG_CONFIG" || return 1
	# An earlier run that was killed may have left its server.
	[ ! -f "$DIR/data/postmaster.pid" ] || as_user "$PGBIN/pg_ctl" -D "$DIR/data" -m immediate -w stop
	rm -rf "$DIR/data"
	own "$DIR/data" && as_user chmod 700 "$DIR/data" || return 1
	as_user "$PGBIN/initdb" -D "$DIR/data" -U postgres -E UTF8 --locale=C.UTF-8 --auth=trust -N || return 1
	as_user tee "$DIR/data/postgresql.auto.conf" <<-CONF
		listen_addresses = '127.0.0.1'
		port = $PG
		unix_socket_directories = ''
		shared_buffers = 512MB
		max_wal_size = 8GB
		checkpoint_timeout = 1h
		autovacuum = off
		shared_preload_libraries = 'vecdb'
		vecdb.http_port = $HTTP
		vecdb.http_admin_port = $((HTTP + 1))
		vecdb.http_executors = $EXECUTORS
		vecdb.http_access_log = off
		vecdb.http_server_timing = on
	CONF
	as_user "$PGBIN/pg_ctl" -D "$DIR/data" -l "$DIR/server.log" -w -t 60 start
}

# Any vectors will do: what counts is that both sides search the same.
load()
{
	query <<-SQL || return 1
		SET client_min_messages = warning;
		CREATE EXTENSION vecdb;
		CREATE ROLE vecdb_anon NOLOGIN; CREATE ROLE vecdb_http LOGIN NOINHERIT; GRANT vecdb_anon TO vecdb_http;
		GRANT USAGE, CREATE ON SCHEMA collections TO vecdb_anon;
		GRANT USAGE, CREATE ON SCHEMA public TO vecdb_anon;
		SET ROLE vecdb_anon;
		SELECT setseed(0.5);
		SELECT vecdb.create_collection(n, $DIM) FROM unnest('{bench,bench_http,bench_libpq}'::text[]) n;
		SELECT vecdb.create_collection(n, $DIM, index_type => 'flat') FROM unnest('{batch_flat,bulk_http,bulk_libpq}'::text[]) n;
		SELECT vecdb.create_collection('batch_hnsw', $DIM);
		CREATE TABLE source AS SELECT i, (SELECT array_agg(round((random() - 0.5)::numeric, 6)) FROM generate_series(1, $DIM) WHERE i > 0)::vector AS v
			FROM generate_series(1, $ROWS + 1000) i;
		INSERT INTO collections.bench (id, data, metadata) SELECT 'r' || i, v, jsonb_build_object('n', i % 10) FROM source WHERE i <= $ROWS;
		ANALYZE;
		RESET ROLE;
		SELECT pg_reload_conf();
		CHECKPOINT;
	SQL
	query -c "SELECT v FROM source WHERE i > $ROWS ORDER BY i" >"$DIR/vectors"
	query -c "SELECT id FROM collections.bench ORDER BY random()" >"$DIR/ids"
	query -c "SELECT i % 10 FROM generate_series(1, $TIMED) i" >"$DIR/numbers"
	perl -MMIME::Base64=encode_base64url -nle 'print encode_base64url(pack "f<*", /[-+.e\d]+/g)' "$DIR/vectors" >"$DIR/vectors64"
	query -c "SELECT json_agg(json_build_object('id', 'b' || i, 'data', v::json, 'metadata', '{\"n\": 1}'::json))::jsonb FROM source WHERE i > $ROWS GROUP BY (i - $ROWS - 1) / $BULK ORDER BY (i - $ROWS - 1) / $BULK" >"$DIR/bodies"
	query -c "SELECT 'b' || i || E'\t' || v || E'\t' || '{\"n\": 1}' FROM source WHERE i <= $BATCH ORDER BY i" >"$DIR/batch.copy"
	for kind in flat hnsw; do
		query -c "SELECT '{\"vectors\":[' || string_agg('{\"id\":\"b' || i || '\",\"collection\":\"batch_$kind\",\"data\":' || v || ',\"metadata\":{\"n\":1}}', ',' ORDER BY i) || ']}' FROM source WHERE i <= $BATCH" >"$DIR/batch_$kind.json"
	done
	for _ in $(seq 100); do
		[ "$(curl -s "http://127.0.0.1:$((HTTP + 1))/ready")" != OK ] || return 0
		sleep 0.1
	done
	return 1
}

# What requests of a kind are about
file_of()
{
	case $1-$2 in
		read-* | get-*) echo "$DIR/ids" ;;
		list-*) echo "$DIR/numbers" ;;
		order-http) echo "$DIR/vectors64" ;;
		bulk-*) echo "$DIR/bodies" ;;
		*) echo "$DIR/vectors" ;;
	esac
}

# Dead rows of upserts are no part of the next point.
empty_bulk()
{
	[ "$1" != bulk ] || query -c 'TRUNCATE collections.bulk_http, collections.bulk_libpq'
}

# through_http KIND CLIENTS, through_libpq KIND CLIENTS: "rate p50 p99"
through_http()
{
	local out file threads=1

	file=$(file_of "$1" http)
	[ "$2" -lt 8 ] || threads=2
	out=$(wrk -t "$threads" -c "$2" -d "${SECS}s" --timeout 60s -s "$ROOT/test/bench/http.lua" "http://127.0.0.1:$HTTP" -- "$1" "$file" 2>&1)
	printf '%s\n' "$out" >>"$LOG"
	printf '%s\n' "$out" | awk '/^result / { if ($5 > 0) print "wrk: " $5 " errors" >"/dev/stderr"; print $2, $3, $4 }'
}

through_libpq()
{
	local file

	file=$(file_of "$1" libpq)
	PGHOST=127.0.0.1 PGPORT=$PG PGUSER=postgres PGDATABASE=postgres \
		"$DIR/pool" "$1" "$2" "$(($2 < EXECUTORS ? $2 : EXECUTORS))" "$SECS" "$file"
}

# A file of curl's for requests of a kind, one after another
curl_requests()
{
	local line target n=0

	head -n "$TIMED" "$(file_of "$1" http)" >"$DIR/timed"
	while IFS= read -r line; do
		case $1 in
			get) target="bench?select=id,metadata&id=eq.$line" ;;
			list) target="bench?select=id,metadata&limit=20&metadata-%3E%3En=eq.$line" ;;
			order) target="bench?select=id,metadata&limit=10&order=data.cosine.$line" ;;
			bulk)
				target=bulk_http
				n=$((n + 1))
				printf '%s' "$line" >"$DIR/body$n"
				printf 'data-binary = "@%s"\nheader = "Content-Type: application/json"\nheader = "Prefer: resolution=merge-duplicates"\n' "$DIR/body$n"
				;;
		esac
		printf 'url = "http://127.0.0.1:%s/rest/v1/%s"\noutput = /dev/null\ndump-header = "-"\nsilent\nnext\n' "$HTTP" "$target"
	done <"$DIR/timed"
}

# Medians of the parts of a request, in microseconds, as Server-Timing tells them
parts()
{
	local part

	curl_requests "$1" | sed '$d' >"$DIR/curl"
	curl -K "$DIR/curl" | tr -d '\r' | sed -n 's/^Server-Timing: //p' >"$DIR/timing"
	anew >"$DIR/timing_anew"
	{
		for part in parse plan prepare transaction; do
			part "$part" <"$DIR/timing"
		done
		part prepare <"$DIR/timing_anew"
	} | awk -v kind="$1" -v n="$(wc -l <"$DIR/timing")" '{ x[NR] = $1 * 1000 } END { printf "%-8s %8d %8.0f %8.0f %8.0f %12.0f %14.0f\n", kind, n, x[1], x[2], x[3], x[4], x[5] }'
}

# The median of a part out of lines of Server-Timing
part()
{
	sed -n "s/.*$1;dur=\([0-9.]*\).*/\1/p" | median
}

# Server-Timing of requests of $DIR/curl, before each of which executors have to forget what they have analysed and planned
anew()
{
	local n requests

	requests=$(grep -c '^url' "$DIR/curl")
	for n in $(seq $ANEW); do
		query -c 'CREATE ROLE bench_anew' -c 'DROP ROLE bench_anew'
		awk -v n=$(((n - 1) % requests + 1)) '$0 == "next" { i++; next } i == n - 1' "$DIR/curl" >"$DIR/curl_one"
		curl -K "$DIR/curl_one" | tr -d '\r' | sed -n 's/^Server-Timing: //p'
	done
}

median()
{
	sort -n | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'
}

# Of each column of a file: rate, and times
medians()
{
	local column

	for column in 1 2 3; do
		awk -v column=$column '{ print $column }' "$1" | median
	done
}

milliseconds()
{
	local began

	began=$(date +%s%N)
	"$@" >>"$LOG" 2>&1 || die "could not run: $*"
	echo "$((($(date +%s%N) - began) / 1000)) " | awk '{ printf "%.3f\n", $1 / 1000 }'
}

batch_http()
{
	[ "$(curl -sS -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -H 'Expect:' --data-binary "@$DIR/batch_$1.json" "http://127.0.0.1:$HTTP/vectors")" = 201 ]
}

batch_copy()
{
	query -c "\\copy collections.batch_$1 (id, data, metadata) FROM '$DIR/batch.copy'"
}

PG=$(free_port 5590)
HTTP=$(free_port 8590)
say "Making a server with $ROWS vectors of $DIM dimensions"
step 'make a server' prepare_server
SERVER_UP=yes
step 'build the client of libpq' gcc -std=gnu11 -O2 -Wall -Wextra -Wshadow -I"$("$PG_CONFIG" --includedir)" \
	-o "$DIR/pool" "$ROOT/test/bench/pool.c" -L"$("$PG_CONFIG" --libdir)" -lpq -lpthread
step 'load it' load

{
	printf '%s, %s processors, %s executors or backends, %s s a point\n\n' "$("$PG_CONFIG" --version)" "$(nproc)" "$EXECUTORS" "$SECS"
	printf '%-8s %7s | %9s %8s %8s | %9s %8s %8s | %6s %9s\n' '' clients HTTP/s 'p50 ms' 'p99 ms' libpq/s 'p50 ms' 'p99 ms' ratio 'p50 more'
	for kind in $KINDS; do
		for n in $CLIENTS; do
			: >"$DIR/http" && : >"$DIR/libpq"
			for _ in $(seq $TURNS); do
				empty_bulk "$kind"
				through_http "$kind" "$n" >>"$DIR/http"
				through_libpq "$kind" "$n" >>"$DIR/libpq"
			done
			# shellcheck disable=SC2046,SC2183
			printf '%-8s %7s | %9s %8s %8s | %9s %8s %8s | ' "$kind" "$n" $(medians "$DIR/http") $(medians "$DIR/libpq")
			# shellcheck disable=SC2046
			echo $(medians "$DIR/http") $(medians "$DIR/libpq") | awk -v kind="$kind" -v n="$n" '{
				goal = ""
				if (kind == "search") goal = ($1 / $4 >= 0.8 ? "  rate: met" : "  rate: missed") (n == 1 ? ($2 - $5 <= 0.15 ? ", median: met" : ", median: missed") : "")
				printf "%6.2f %+9.3f%s\n", $1 / $4, $2 - $5, goal }'
		done
	done
	printf '\nParts of a request below /rest/v1, medians, us: read, table and columns looked up, plans found or made, statements written and run; plans where none is kept\n'
	printf '%-8s %8s %8s %8s %8s %12s %14s\n' '' requests parse look-up prepare transaction 'prepare anew'
	for kind in $KINDS; do
		case $kind in
			get | list | order | bulk) parts "$kind" ;;
		esac
	done
	printf '\nBatch of %s vectors of %s dimensions, median of %s, ms\n' "$BATCH" "$DIM" "$ROUNDS"
	for kind in flat hnsw; do
		: >"$DIR/http" && : >"$DIR/copy"
		for _ in $(seq $ROUNDS); do
			query -c "TRUNCATE collections.batch_$kind" && milliseconds batch_http $kind >>"$DIR/http"
			query -c "TRUNCATE collections.batch_$kind" && milliseconds batch_copy $kind >>"$DIR/copy"
		done
		printf '%s %s %s\n' "$kind" "$(median <"$DIR/http")" "$(median <"$DIR/copy")" |
			awk '{ printf "%-8s HTTP %8.1f   COPY %8.1f   rate %.2f of that of COPY: %s\n", $1, $2, $3, $3 / $2, ($3 / $2 >= 0.5 ? "met" : "missed") }'
	done
	printf '\nGoals: search at least 0.80 of the rate, at most 0.150 ms more at the median of one client; batch at least 0.50 of the rate.\n'
} | tee "$DIR/results.txt"
say "Kept in $DIR/results.txt"
