#!/usr/bin/env bash
#
# peers.sh
#	  What being a node costs: processor and memory of an idle node worker with
#	  its peers connected, lookups a second through SQL, and how long a newcomer
#	  takes to join.  Prints figures beside their goals; never fails because of one.
#
# BENCH_PEERS is the number of nodes around the server (50), BENCH_SECONDS the
# length of the idle measurement (60).  The nodes are real, but for PostgreSQL
# (node_host.c): each has links of its own to the server and to the others, 50 at
# most, as vecdb.max_peers has it.
#
# What it makes is below .vecdb/bench-peers, or where the server's user can reach
# it; results.txt there is the table.

. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

PEERS=${BENCH_PEERS:-50}
SECS=${BENCH_SECONDS:-60}
SEED=1
PER_PROCESS=10
POINT=10						# seconds of a rate of lookups
FRESH=5							# newcomers, one after another
GOAL_CPU=1.00
GOAL_MEMORY=64

case $PEERS$SECS in *[!0-9]*) die 'PEERS and SECONDS are numbers' ;; esac
[ "$PEERS" -ge 1 ] && [ "$PEERS" -le 500 ] || die "PEERS is 1 to 500, not $PEERS"
[ "$SECS" -ge 1 ] || die "SECONDS is at least 1, not $SECS"
# In a larger network each is connected with some of the others only.
WANTED=$((PEERS < 50 ? PEERS : 50))
open_log bench-peers
need_pg
choose_user
# A node asks for some 1,400 descriptors, most of which stay unused.
ulimit -n "$(ulimit -H -n)"
DIR=$STATE/bench-peers
UP=()
HOSTS=()
IN=()

finish()
{
	local pid d

	for pid in "${HOSTS[@]}"; do kill "$pid" 2>/dev/null; done
	for d in "${UP[@]}"; do as_user "$PGBIN/pg_ctl" -D "$d" -m fast -w stop >/dev/null 2>&1; done
	wait
}
trap finish EXIT
trap 'exit 130' INT TERM

# free_ports FIRST N: the first of N ports in a row that nobody listens on.
free_ports()
{
	local first=$1 i

	for ((i = first; i < first + $2; i++)); do
		! (exec 3<>"/dev/tcp/127.0.0.1/$i") 2>/dev/null || first=$((i + 1))
	done
	echo "$first"
}

# query PORT ...
query()
{
	local port=$1

	shift
	"$PGBIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres -d postgres "$@"
}

# until_true SECONDS COMMAND...
until_true()
{
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# server NAME PORT P2P_PORT BOOTSTRAP: make one and start it, without its node.
server()
{
	local data=$DIR/$1

	# An earlier run that was killed may have left its server.
	[ ! -f "$data/postmaster.pid" ] || as_user "$PGBIN/pg_ctl" -D "$data" -m immediate -w stop
	rm -rf "$data"
	own "$data" && as_user chmod 700 "$data" || return 1
	as_user "$PGBIN/initdb" -D "$data" -U postgres -E UTF8 --locale=C.UTF-8 --auth=trust -N || return 1
	as_user tee "$data/postgresql.auto.conf" <<-CONF
		listen_addresses = '127.0.0.1'
		port = $2
		unix_socket_directories = ''
		max_connections = 40
		autovacuum = off
		log_line_prefix = '%m [%p] '
		log_timezone = 'UTC'
		shared_preload_libraries = 'vecdb'
		vecdb.http_executors = 0
		vecdb.listen = '127.0.0.1'
		vecdb.p2p_port = $3
		vecdb.bootstrap = '$4'
	CONF
	as_user "$PGBIN/pg_ctl" -D "$data" -l "$data.log" -w -t 60 start || return 1
	UP+=("$data")
	query "$2" -c 'CREATE EXTENSION vecdb'
}

# become_node NAME PORT: the node of a running server starts.
become_node()
{
	query "$2" -c "ALTER SYSTEM SET vecdb.node_databases = 'postgres'" -c 'SELECT pg_reload_conf()' >/dev/null &&
		until_true 30 runs "$2"
}

runs()
{
	[ "$(query "$1" -c "SELECT state FROM vecdb.stat_workers WHERE kind = 'node'")" = running ]
}

worker_pid()
{
	query "$1" -c "SELECT pid FROM vecdb.stat_workers WHERE kind = 'node'"
}

# How many others the server is connected with: each has a link to it, or it to them.
connected()
{
	query "$PG" -c "SELECT count(DISTINCT node_id) FROM vecdb.stat_peers WHERE state = 'greeted'"
}

all_connected()
{
	[ "$(connected)" -ge "$WANTED" ]
}

messages()
{
	query "$PG" -c "SELECT messages_sent + messages_received FROM vecdb.stat_workers WHERE kind = 'node'"
}

# Nothing of joining is under way any more: hardly a message in two seconds.
quiet_now()
{
	local before

	before=$(messages)
	sleep 2
	[ $(($(messages) - before)) -le $((2 + PEERS / 10)) ]
}

# light I NODES PORT SEED: a process of light nodes, the I-th.
light()
{
	rm -f "$DIR/in.$1" "$DIR/out.$1"
	mkfifo "$DIR/in.$1" || die "cannot make a pipe in $DIR"
	"$DIR/node_host" --nodes="$2" --port="$3" --seed="$4" --meet="127.0.0.1:$P2P" <"$DIR/in.$1" >>"$DIR/out.$1" 2>>"$LOG" &
	HOSTS[$1]=$!
	exec {fd}>"$DIR/in.$1"
	IN[$1]=$fd
}

# order I COMMAND, answer I [SECONDS]: ask a process; its lines, but for the last, "end".
order()
{
	: >"$DIR/out.$1"
	printf '%s\n' "$2" >&"${IN[$1]}"
}

answered()
{
	[ "$(tail -n 1 "$DIR/out.$1")" = end ] || ! kill -0 "${HOSTS[$1]}" 2>/dev/null
}

answer()
{
	until_true "${2:-60}" answered "$1" && [ "$(tail -n 1 "$DIR/out.$1")" = end ] ||
		die "the light nodes of process $1 gave no answer" "what they said is at the end of $LOG"
	sed '$d' "$DIR/out.$1"
}

dismiss()
{
	local pid=${HOSTS[$1]}

	exec {IN[$1]}>&-
	wait "$pid"
	unset "HOSTS[$1]"
}

# ticks PID: user and system time of all its threads, in ticks of the clock.
ticks()
{
	sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# on_cpu PID: nanoseconds of the main thread, and of the others.
on_cpu()
{
	local t main=0 others=0 ns

	for t in "/proc/$1/task/"*; do
		read -r ns _ <"$t/schedstat" || continue
		if [ "${t##*/}" = "$1" ]; then main=$ns; else others=$((others + ns)); fi
	done
	echo "$main $others"
}

# idle SECONDS: "percent by ticks, percent main thread, percent libzmq's, messages a second"
idle()
{
	local pid=$WORKER before_ticks before_cpu before_messages after_ticks after_cpu began

	before_messages=$(messages)
	before_ticks=$(ticks "$pid") before_cpu=$(on_cpu "$pid") began=$(date +%s%N)
	sleep "$1"
	after_ticks=$(ticks "$pid") after_cpu=$(on_cpu "$pid")
	echo "$((after_ticks - before_ticks)) $before_cpu $after_cpu $(($(date +%s%N) - began)) $(($(messages) - before_messages)) $(getconf CLK_TCK)" |
		awk '{ s = $6 / 1e9; printf "%.2f %.2f %.2f %.1f\n", 100 * $1 / $8 / s, ($4 - $2) / 1e7 / s, ($5 - $3) / 1e7 / s, $7 / s }'
}

# memory PID: "resident, private, of the node itself", in MB
memory()
{
	local node

	node=$(query "$PG" -c "SELECT memory_bytes FROM vecdb.stat_workers WHERE kind = 'node'")
	awk -v node="$node" '/^Rss:/ { r = $2 } /^Private_(Clean|Dirty):/ { p += $2 }
		END { printf "%.1f %.1f %.1f\n", r / 1024, p / 1024, node / 1048576 }' "/proc/$1/smaps_rollup"
}

# percentiles: "p50 p99 max" of the numbers of standard input
percentiles()
{
	sort -n | awk '{ x[NR] = $1 } END { if (NR == 0) print "- - -"; else print x[int((NR + 1) / 2)], x[int(NR * 0.99 + 0.999)], x[NR] }'
}

# lookups SESSIONS SCRIPT: "rate p50 p99", ms
lookups()
{
	local out

	rm -f "$DIR"/latency.*
	out=$(cd "$DIR" && "$PGBIN/pgbench" -n -h 127.0.0.1 -p "$PG" -U postgres -M prepared -c "$1" -j 1 -T "$POINT" \
		--random-seed=$SEED -f "$2" -l --log-prefix="$DIR/latency" postgres 2>&1)
	printf '%s\n' "$out" >>"$LOG"
	printf '%s %s\n' "$(printf '%s\n' "$out" | sed -n 's/^tps = \([0-9.]*\).*/\1/p')" \
		"$(awk '{ print $3 / 1000 }' "$DIR"/latency.* | percentiles)" | awk '{ printf "%.0f %.1f %.1f\n", $1, $2, $3 }'
}

# Times of lines in a server's log: "ms from listening to having joined".
joined_after()
{
	awk '/listens on/ { split($2, a, ":"); began = (a[1] * 60 + a[2]) * 60 + a[3] }
		/has joined the network/ { split($2, a, ":"); t = (a[1] * 60 + a[2]) * 60 + a[3] - began; if (t < 0) t += 86400
			printf "%.0f\n", t * 1000; exit }' "$1"
}

has_joined()
{
	[ -n "$(joined_after "$1")" ]
}

prepare()
{
	own "$DIR" || return 1
	private_pg "$DIR/pg" || return 1
	make -C "$ROOT" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" && make -C "$ROOT" install PG_CONFIG="$PG_CONFIG" || return 1
	make -C "$ROOT/test/bench" node_host HOST="$DIR/node_host" || return 1
	# An id of 64 digits that nobody has, and one of a node that the server knows.
	cat >"$DIR/random.sql" <<-'SQL'
		\set i random(1, 1000000000)
		SELECT count(*) FROM vecdb.lookup(encode(sha256(:i::text::bytea), 'hex'));
	SQL
	cat >"$DIR/known.sql" <<-'SQL'
		\set i random(1, :peers)
		SELECT count(*) FROM vecdb.lookup((SELECT node_id FROM known_node WHERE i = :i));
	SQL
}

row()
{
	printf '%-46s %18s  %s\n' "$1" "$2" "${3:-}"
}

# held A B: is A below B?
held()
{
	awk -v a="$1" -v b="$2" 'BEGIN { print (a < b ? "met" : "missed") }'
}

say "Making a server, and $PEERS nodes around it"
step 'build vecdb and the light nodes' prepare
PG=$(free_ports 5690 2)
P2P=$(free_ports 17600 $((PEERS + FRESH + 2)))
LIGHT=$((P2P + 2))
step 'make a server' server first "$PG" "$P2P" ''
step 'start its node' become_node first "$PG"
WORKER=$(worker_pid "$PG")
alone=$(idle $((SECS < 20 ? SECS : 20)))
alone_memory=$(memory "$WORKER")

# All at once: as hard as it gets.
for ((i = 0, left = PEERS; left > 0; i++, left -= PER_PROCESS)); do
	n=$((left < PER_PROCESS ? left : PER_PROCESS))
	light $i $n $((LIGHT + i * PER_PROCESS)) $((SEED * 1000 + i))
	order $i wait
done
N=$i
for ((i = 0; i < N; i++)); do answer $i 120 || exit 1; done >"$DIR/joined.txt" || exit 1
until_true 60 all_connected || die "only $(connected) of $WANTED nodes are connected with the server after a minute" "its log is $DIR/first.log"
until_true 60 quiet_now || say '  the network is not quiet after a minute: the idle figures have something of joining in them'

read -r cpu cpu_main cpu_zmq rate_idle <<<"$(idle "$SECS")"
peers=$(connected)
read -r links known <<<"$(query "$PG" -A -F ' ' -c "SELECT (SELECT count(*) FROM vecdb.stat_peers WHERE state = 'greeted'), (SELECT count(*) FROM vecdb.stat_routing_table)")"
read -r rss private node <<<"$(memory "$WORKER")"

query "$PG" -c "CREATE TABLE known_node AS SELECT row_number() OVER (ORDER BY node_id) AS i, node_id FROM (SELECT DISTINCT node_id FROM vecdb.stat_peers WHERE state = 'greeted') p" || exit 1
sed -i "s/:peers/$peers/" "$DIR/known.sql"
one=$(lookups 1 "$DIR/random.sql")
eight=$(lookups 8 "$DIR/random.sql")
existing=$(lookups 1 "$DIR/known.sql")
order 0 "lookups $((POINT * 1000)) 1"
bare=$(answer 0 $((POINT + 60))) || exit 1
bare=$(echo "$bare" | awk '{ printf "%.0f %.1f\n", $2 * 1000 / $3, $4 / $2 }')
read -r rss_after private_after node_after <<<"$(memory "$WORKER")"

# Newcomers, each when the one before has gone; then one with a server around it.
for ((k = 0; k < FRESH; k++)); do
	light "$N" 1 $((LIGHT + PEERS + k)) $((SEED * 1000 + 500 + k))
	order "$N" wait
	answer "$N" || exit 1
	dismiss "$N"
done >"$DIR/fresh.txt"
step 'make a second server' server second $((PG + 1)) $((P2P + 1)) "127.0.0.1:$P2P"
began=$(date +%s%N)
step 'start its node' become_node second $((PG + 1))
until_true 30 has_joined "$DIR/second.log" || die 'the second server did not join within half a minute' "its log is $DIR/second.log"
whole=$((($(date +%s%N) - began) / 1000000))

{
	printf '%s, libzmq %s, %s processors; a server and %s nodes around it, on loopback; seed %s\n\n' "$("$PG_CONFIG" --version)" \
		"$(pkg-config --modversion libzmq 2>/dev/null || echo '?')" "$(nproc)" "$PEERS" $SEED
	row "Idle node worker, $peers peers, $links links" '' ''
	row "  processor, $SECS s, % of a core" "$cpu" "goal: below $GOAL_CPU with 50: $(held "$cpu" $GOAL_CPU)"
	row '    by the scheduler: main thread, libzmq' "$cpu_main, $cpu_zmq"
	row '    messages a second, both ways' "$rate_idle"
	row '    before, without peers: %, and as above' "$(echo "$alone" | awk '{ print $1 ", " $2 ", " $3 }')"
	row '  memory, resident, MB' "$rss" "goal: below $GOAL_MEMORY with 50: $(held "$rss" $GOAL_MEMORY)"
	row '    private; of it the node itself' "$private, $node"
	row '    before, without peers: resident, private' "$(echo "$alone_memory" | awk '{ print $1 ", " $2 }')"
	row '    after the lookups: resident, private, node' "$rss_after, $private_after, $node_after"
	row '  nodes in its table' "$known"
	printf '\n%-46s %8s %8s %8s\n' 'Lookups, vecdb.lookup()' 'a second' 'p50 ms' 'p99 ms'
	printf '%-46s %8s %8s %8s\n' '  a random id, one session' $one '  a random id, eight sessions' $eight '  the id of a connected node, one session' $existing
	printf '%-46s %8s           %s requests each\n' '  a random id, in a light node, one at a time' $bare
	printf '\n%-46s %8s %8s %8s\n' 'Joining, ms' median p99 longest
	printf '%-46s %8s %8s %8s\n' "  $PEERS light nodes at once: lookup of itself" $(awk '{ print $3 }' "$DIR/joined.txt" | percentiles) \
		'    until the last new entry of its table' $(awk '{ print $4 }' "$DIR/joined.txt" | percentiles) \
		"  one light node, of $FRESH: lookup of itself" $(awk '{ print $3 }' "$DIR/fresh.txt" | percentiles) \
		'    until the last new entry of its table' $(awk '{ print $4 }' "$DIR/fresh.txt" | percentiles)
	row '  a server: from listening to having joined' "$(joined_after "$DIR/second.log")"
	row '    from the setting on, its worker included' "$whole"
	row '  light nodes: in the table, links, on average' "$(awk '{ k += $5; l += $6 } END { printf "%.1f, %.1f", k / NR, l / NR }' "$DIR/joined.txt")"
} | tee "$DIR/results.txt"
say "Kept in $DIR/results.txt"
