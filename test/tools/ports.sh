# ports.sh
#	  Whose the ports of a node are: looked at before anything is started, so that
#	  a node starts with all of its ports or says whose one is.  Sourced by
#	  node.sh after lib.sh.
#
# Who listens is read from /proc, which shows everybody's sockets and, to root
# and their own user, whose they are.  A node of ours that runs may not listen
# on all of its ports yet; so its vecdb.conf counts as well.

# node_ports PORT HTTP_PORT P2P_PORT P2P_ADDRESS: a line for each port of a node,
# "number|address|variable of make|what it is for".
node_ports()
{
	printf '%s|%s|%s|%s\n' "$1" 127.0.0.1 PGPORT PostgreSQL \
		"$2" 127.0.0.1 PORT HTTP \
		"$(($2 + 1))" 127.0.0.1 PORT "HTTP's administration" \
		"$3" "$4" P2P_PORT 'other nodes'
}

# conf_of DIR NAME: a setting that "make start" wrote
conf_of()
{
	sed -n "s/^$2 *= *//p" "$1/vecdb.conf" 2>/dev/null | tail -n 1 | tr -d \'
}

# ports_of DIR: node_ports of the node there
ports_of()
{
	local http

	http=$(conf_of "$1" vecdb.http_port)
	[ -z "$http" ] || node_ports "$(conf_of "$1" port)" "$http" "$(conf_of "$1" vecdb.p2p_port)" "$(conf_of "$1" vecdb.listen)"
}

# server_runs DIR: a postmaster works there
server_runs()
{
	local pid

	pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null)
	[ -n "$pid" ] && [ -d "/proc/$pid" ]
}

# same_place A B: can only one of two listen on these addresses, on one port?
# Of a name nothing is known, so it meets every other.
same_place()
{
	local a

	[ "$1" != "$2" ] || return 0
	for a in "$1" "$2"; do
		case $a in
			0.0.0.0 | :: | '[::]') return 0 ;;
			*[!0-9.:]*) return 0 ;;
		esac
	done
	return 1
}

# listeners PORT: "address inode" of the sockets that listen there
listeners()
{
	awk -v port="$(printf '%04X' "$1")" '
		function byte(s, i) { return (index("0123456789ABCDEF", substr(s, i, 1)) - 1) * 16 + index("0123456789ABCDEF", substr(s, i + 1, 1)) - 1 }
		$4 == "0A" && split($2, a, ":") == 2 && a[2] == port {
			if (length(a[1]) == 8) address = byte(a[1], 7) "." byte(a[1], 5) "." byte(a[1], 3) "." byte(a[1], 1)
			else address = a[1] ~ /^0*$/ ? "::" : "v6"
			print address, $10
		}' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# holder INODE: who has that socket, in words
holder()
{
	local fd pid dir

	fd=$(find /proc/[0-9]*/fd -maxdepth 1 -lname "socket:\\[$1\\]" -print -quit 2>/dev/null)
	if [ -z "$fd" ]; then
		echo 'a program that this user cannot see'
		return
	fi
	pid=${fd#/proc/}
	pid=${pid%%/*}
	dir=$(readlink "/proc/$pid/cwd")
	if [ -f "$dir/postmaster.pid" ]; then
		echo "the server in $dir"
	else
		echo "the program $(cat "/proc/$pid/comm"), process $pid"
	fi
}

# whose PORT ADDRESS DIR: who has it, or is about to, in words; nothing if
# nobody, or the node in DIR.
whose()
{
	local port=$1 address=$2 self=$3 other number where what inode

	while read -r where inode; do
		if same_place "$address" "$where"; then
			what=$(holder "$inode")
			[ "$what" = "the server in $self" ] || { echo "$what"; return; }
		fi
	done < <(listeners "$port")
	for other in "$STATE"/*/ "$WORK"/*/; do
		other=${other%/}
		[ ! "$other" -ef "$self" ] && server_runs "$other" || continue
		while IFS='|' read -r number where _ what; do
			if [ "$number" = "$port" ] && same_place "$address" "$where"; then
				echo "the server in $other, for $what"
				return
			fi
		done < <(ports_of "$other")
	done
}

# free_port FROM DIR TAKEN: a port from there on, so that nobody but the node in
# DIR has it, nor the next one; TAKEN are numbers with spaces around.
free_port()
{
	local port=$1

	while [[ $3 == *" $port "* || $3 == *" $((port + 1)) "* ]] ||
		[ -n "$(whose "$port" 0.0.0.0 "$2")$(whose $((port + 1)) 0.0.0.0 "$2")" ]; do
		port=$((port + 1))
	done
	echo "$port"
}

# check_ports DIR PORT HTTP_PORT P2P_PORT P2P_ADDRESS: dies if the node in DIR
# could not have them all.
check_ports()
{
	local dir=$1 number address variable what n a v w who own=() taken=' ' held=

	shift
	mapfile -t own < <(node_ports "$@")
	# What the node has, if it runs, is its own.
	! server_runs "$dir" || held=$(ports_of "$dir")
	for line in "${own[@]}"; do
		IFS='|' read -r number address variable what <<<"$line"
		[ "$number" -ge 1 ] && [ "$number" -le 65535 ] || die "port $number, for $what ($variable), is not from 1 to 65535" "choose another: make start $variable="
		for other in "${own[@]}"; do
			IFS='|' read -r n a v w <<<"$other"
			[ "$line" != "$other" ] || break
			if [ "$n" = "$number" ] && same_place "$a" "$address"; then
				die "port $number is to be for $w ($v) and for $what ($variable) of the same server" \
					"choose another: make start $variable=$(free_port $((number + 1)) "$dir" "$(printf '%s\n' "${own[@]%%|*}" | paste -s -d ' ' | sed 's/.*/ & /')")"
			fi
		done
		taken+="$number "
	done
	for line in "${own[@]}"; do
		IFS='|' read -r number address variable what <<<"$line"
		[[ $'\n'$held$'\n' != *$'\n'"$number|$address|"* ]] || continue
		who=$(whose "$number" "$address" "$dir")
		[ -z "$who" ] || die "port $number, for $what, is in use by $who" "choose another: make start $variable=$(free_port $((number + 1)) "$dir" "$taken")"
	done
}
