#!/usr/bin/env bash
#
# inside.sh NAME USER
#	  On a fresh machine, as root: README's own two commands, as USER from that
#	  user's clone, a search by SQL and one by HTTP, and what else a newcomer
#	  does.  Prints a line "ok - ..." or "not ok - ..." for each, and everything
#	  that was said.
#
# The commands, and what HTTP is asked, are not written here: they are taken
# from README and from what "make start" prints.

set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/report.sh"

NAME=$1
OWNER=$2
HOME_DIR=$(getent passwd "$OWNER" | cut -d : -f 6)
TREE=$HOME_DIR/vecdb
SHORT="isolation${ALL:+ regress}"

# run COMMAND: a line of shell, as OWNER in the tree; what it says is in OUT.
run()
{
	printf '\n$ %s\n' "$1"
	if [ "$OWNER" = root ]; then
		env -C "$TREE" bash -c "$1" >"$OUT" 2>&1 </dev/null
	else
		setpriv --reuid="$OWNER" --regid="$(id -g "$OWNER")" --init-groups \
			env -C "$TREE" HOME="$HOME_DIR" USER="$OWNER" LOGNAME="$OWNER" bash -c "$1" >"$OUT" 2>&1 </dev/null
	fi
	local status=$?

	cat "$OUT"
	return $status
}

# fails WHAT COMMAND PATTERN: it does not succeed, and says so.
fails()
{
	if ! run "$2" && grep -Eq "$3" "$OUT"; then ok "$1 is refused"; else not_ok "$1 is refused"; fi
}

listens()
{
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# silent PORT...: nobody listens there
silent()
{
	local port

	for port in "$@"; do
		! listens "$port" || { echo "somebody listens on port $port" >>"$OUT"; return 1; }
	done
}

# readme N: the N-th command of the section "Two commands".
readme()
{
	awk '/^## / { inside = ($0 == "## Two commands") }
		inside && /^```/ { if (block) exit; block = /^```sh/; next }
		inside && block' "$TREE/README.md" | sed 's/ *#.*//' | sed -n "$1p"
}

# What an ordinary user is told to ask root for must be all there is to ask for.
told()
{
	local line

	line=$(sed -n 's/.*as root: \(apt-get .*\)/\1/p' "$OUT")
	if [ -z "$line" ]; then
		not_ok "\"$1\" says which packages are missing"
		return 1
	fi
	ok "\"$1\" says which packages are missing"
	printf '\n# %s\n' "$line"
	if DEBIAN_FRONTEND=noninteractive bash -c "${line//apt-get install/apt-get -q -y install}" >"$OUT" 2>&1; then
		cat "$OUT"
		ok "what root was asked for can be installed"
	else
		cat "$OUT"
		not_ok "what root was asked for can be installed"
	fi
}

search()
{
	local line

	while IFS= read -r line; do
		run "$line" || return 1
	done <"/fresh/curl"
	grep -q '"id":"a"' "$OUT"
}

START=$(readme 1)
TEST=$(readme 2)
: >"$OUT"
if [[ $START == make* && $TEST == make* && -z $(readme 3) ]]; then
	ok "README has two commands: $START; $TEST"
else
	not_ok "README has two commands: $START; $TEST; $(readme 3)"
	exit 1
fi

# Ports are those of README, unless another program of this machine has them.
PORTS=(5488 8080 8081 7777)
OTHERS=(5498 8095 8096 7787)
if ! silent "${PORTS[@]}" "${OTHERS[@]}"; then
	base=$((20000 + RANDOM % 10000))
	PORTS=($base $((base + 1)) $((base + 2)) $((base + 3)))
	OTHERS=($((base + 4)) $((base + 5)) $((base + 6)) $((base + 7)))
	START+=" PGPORT=$base PORT=$((base + 1)) P2P_PORT=$((base + 3))"
	echo "the ports of README are in use on this machine: $START"
fi

try 'make help' 'make help'
try 'make stop, before there is a server' 'make stop'
if [ "$OWNER" != root ]; then
	if run "$START"; then
		not_ok 'an ordinary user cannot install packages'
	else
		told "$START"
	fi
fi
clusters=$(pg_lsclusters -h 2>/dev/null)

try "$START" "$START" || exit 1
says 'it says how to go on' 'next: make demo, make psql, make stop'
grep -E '^ +curl ' "$OUT" >/fresh/curl
first=$OUT.first && cp "$OUT" "$first"
try 'a search by SQL' "printf '%s\n' 'CREATE TABLE item (id int PRIMARY KEY, embedding vector(3))' \\; \"INSERT INTO item VALUES (1, '[1,2,3]'), (2, '[4,5,6]'), (3, '[1,1,1]')\" \\; 'CREATE INDEX ON item USING hnsw (embedding vector_l2_ops)' \\; 'SET enable_seqscan = off' \\; \"SELECT 'nearest ' || id FROM item ORDER BY embedding <-> '[1,2,2]' LIMIT 1\" \\; | make psql"
says 'finds the nearest row' 'nearest 1$'
if command -v curl >/dev/null; then
	if search; then ok 'a search by HTTP, as "make start" has it'; else not_ok 'a search by HTTP, as "make start" has it'; fi
	try 'a search by SQL in what came by HTTP' "echo \"SELECT 'found ' || id FROM vecdb.search('demo', '[1,2,2]', 3)\" | make psql"
	says 'finds it' 'found a$'
	try 'the settings of the role of requests' "echo 'SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = \$\$vecdb_anon\$\$::regrole' | make psql"
	says 'it does not wait long for a lock' 'lock_timeout=2s'
	says 'nor does it run for ever' 'statement_timeout=5min'
else
	: >"$OUT"
	not_ok 'there is curl, which "make start" tells to use'
fi
try 'the node, asked by the probe' "./vecdb-probe 127.0.0.1:${PORTS[3]}"
says 'answers by UDP and by TCP' '^ok: '
# A second node that cannot have its ports, or not listen on its address, leaves
# nothing behind; given others, it starts.
second="make start DATA=.vecdb/second PGPORT=${OTHERS[0]} PORT=${OTHERS[1]}"
fails 'a second node, its P2P_PORT the port of its administration' "$second P2P_PORT=${OTHERS[2]}" \
	"port ${OTHERS[2]} is to be for HTTP's administration .* and for other nodes"
fails 'a second node on a port of the first' "$second P2P_PORT=${PORTS[2]}" \
	"port ${PORTS[2]}, for other nodes, is in use by the server in .*/data"
if compgen -G "$TREE/.vecdb/second" >/dev/null || compgen -G '/var/lib/vecdb-*/second' >/dev/null; then not_ok 'no directory was made'; else ok 'no directory was made'; fi
if [ -n "${WHOLE:-}${ALL:-}" ]; then
	fails 'a second node on an address of no machine' "$second P2P_PORT=${OTHERS[3]} P2P_LISTEN=192.0.2.1" 'the node did not start'
	if silent "${OTHERS[@]}"; then ok 'it does not run'; else not_ok 'it does not run'; fi
	try 'a second node, with its own address' "$second P2P_PORT=${OTHERS[3]} P2P_LISTEN=127.0.0.1"
	try 'make stop, of that' 'make stop DATA=.vecdb/second'
	second=$(sed -n 's/^ *\(make start DATA=.*\)/\1/p' "$first")
	try "a second node as the first has it: $second" "$second"
	try 'make stop, of that' "make stop $(sed 's/.*\(DATA=[^ ]*\).*/\1/' <<<"$second")"
fi
try "$START, again" "$START"
says 'with the same words' "$(grep -E '^Node: ' "$first" | sed 's/[][.*()]/./g')"
try 'make stop' 'make stop'
says 'and its data are kept' 'data kept in'
if silent "${PORTS[@]}"; then ok 'nobody listens any more'; else not_ok 'nobody listens any more'; fi
try 'make stop, again' 'make stop'
says 'no server runs' 'No server runs in'
try "$START, after it was stopped" "$START"
try 'a search by SQL, after a restart' "echo \"SELECT 'nearest ' || id FROM item ORDER BY embedding <-> '[1,2,2]' LIMIT 1\" | make psql"
says 'finds the nearest row again' 'nearest 1$'
if [ -n "${WHOLE:-}${ALL:-}" ]; then
	if [ "$OWNER" != root ] && ! run 'make demo'; then
		told 'make demo'
	fi
	try 'make demo' 'make demo'
fi
try 'make stop, in the end' 'make stop'

# The owner of the tree stops what root has started in it.
if [ "$OWNER" != root ]; then
	if env -C "$TREE" bash -c "$START" >"$OUT" 2>&1 </dev/null; then ok "$START, by root"; else not_ok "$START, by root"; fi
	cat "$OUT"
	try 'make stop, of what root has started' 'make stop'
fi

[ -n "${WHOLE:-}" ] || TEST+=" SUITES='$SHORT'"
if [ "$OWNER" != root ]; then
	if run "$TEST"; then
		not_ok 'an ordinary user cannot install packages'
	else
		told "$TEST"
	fi
fi
try "$TEST" "$TEST"
says 'all tests passed' '^[1-9][0-9]* passed, 0 failed$'
if [ "$clusters" = "$(pg_lsclusters -h 2>/dev/null)" ]; then
	ok 'the clusters of this machine are as they were'
else
	not_ok 'the clusters of this machine are as they were'
fi
exit $((FAILED > 0))
