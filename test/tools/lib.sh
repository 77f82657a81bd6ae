# lib.sh
#	  What the commands of the Makefile share: packages, the PostgreSQL to use,
#	  the user who runs servers, logged steps.  Sourced, not run.
#
# Two directories matter.  WORK is .vecdb in the tree and holds logs.  STATE
# holds all that the server's user must reach: WORK itself where that user can
# enter the tree, else a directory under /var/lib (a tree in /root, say).

set -uo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
WORK=$ROOT/.vecdb
PG_CONFIG=${PG_CONFIG:-}

# The caller's make flags would reach the builds below, and its libpq settings
# the clients: neither is meant for them.
unset MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL DATA CONF
unset PGDATA PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGOPTIONS PGSERVICE PGSSLMODE PGPASSWORD PGCLIENTENCODING
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

die()
{
	printf 'vecdb: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '       %s\n' "$@" >&2
	exit 1
}

say()
{
	printf '%s\n' "$*"
}

# open_log NAME: later steps write to .vecdb/log/NAME.log.
open_log()
{
	mkdir -p "$WORK/log" 2>/dev/null && : >"$WORK/log/$1.log" 2>/dev/null ||
		die "cannot write in $WORK/log" "run as the owner of the tree, or remove $WORK"
	LOG=$WORK/log/$1.log
}

# step WHAT COMMAND...: run quietly; on failure show the log's end and stop.
step()
{
	local what=$1

	shift
	printf '\n== %s\n' "$what" >>"$LOG"
	"$@" >>"$LOG" 2>&1 </dev/null && return 0
	{
		printf 'vecdb: could not %s; the end of %s:\n' "$what" "$LOG"
		tail -n 25 "$LOG" | sed 's/^/  | /'
	} >&2
	exit 1
}

am_root()
{
	[ "$(id -u)" -eq 0 ]
}

# ---------------------------------------------------------------------------
# Packages

missing_packages()
{
	local p

	for p in "$@"; do
		dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$p"
	done
}

# Debian makes a cluster and starts it when the server's package comes in.
# This machine asked for a private server only: hold that back, and leave no
# trace for later installations.
install_packages()
{
	local hold="" rc=0

	if printf '%s\n' "$@" | grep -Eq '^postgresql-[0-9]+$'; then
		hold=/etc/postgresql-common/createcluster.d/vecdb-hold.conf
		mkdir -p "${hold%/*}"
		echo 'create_main_cluster = false' >"$hold"
	fi
	apt_get install "$@" || { apt_get update && apt_get install "$@"; } || rc=$?
	[ -z "$hold" ] || rm -f "$hold"
	return $rc
}

apt_get()
{
	local verb=$1

	shift
	if [ "$verb" = update ]; then
		apt-get -q -o DPkg::Lock::Timeout=300 update
	else
		apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$verb" "$@"
	fi
}

# need_packages PACKAGE...: install those that are missing.
need_packages()
{
	local missing

	command -v dpkg-query >/dev/null ||
		die 'this is not a Debian system: packages cannot be installed' \
			'install PostgreSQL 15 or later with its headers, then: make && make install PG_CONFIG=...'
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	am_root || die "these packages are missing: $missing" "as root: apt-get install $missing"
	say "Installing ${missing% }"
	# shellcheck disable=SC2086
	step "install packages" install_packages $missing
}

# The major version that this Debian release ships.
debian_pg_major()
{
	apt-cache show postgresql 2>/dev/null |
		sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | head -n 1
}

# ---------------------------------------------------------------------------
# The PostgreSQL to use

usable_pg()
{
	local bin

	bin=$("$1" --bindir 2>/dev/null) || return 1
	[ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] && [ -f "$("$1" --pgxs)" ]
}

find_pg()
{
	local c

	for c in $(ls -rv /usr/lib/postgresql/*/bin/pg_config 2>/dev/null) "$(command -v pg_config)"; do
		if [ -n "$c" ] && usable_pg "$c"; then
			PG_CONFIG=$c
			return 0
		fi
	done
	return 1
}

# need_pg: set PG_CONFIG, PGBIN, PGMAJOR; install PostgreSQL where there is none.
need_pg()
{
	local major

	if [ -n "$PG_CONFIG" ]; then
		PG_CONFIG=$(command -v "$PG_CONFIG") || die "there is no such pg_config: $PG_CONFIG"
		usable_pg "$PG_CONFIG" ||
			die "$PG_CONFIG does not belong to a server with headers" "install the server and postgresql-server-dev-NN, or name another PG_CONFIG"
	elif ! find_pg; then
		major=$(debian_pg_major)
		if [ -z "$major" ] && am_root && command -v apt-get >/dev/null; then
			step 'read the package lists' apt_get update
			major=$(debian_pg_major)
		fi
		need_packages "postgresql-${major:-15}" "postgresql-server-dev-${major:-15}"
		find_pg || die "cannot find pg_config after the installation of PostgreSQL ${major:-15}"
	fi
	PGBIN=$("$PG_CONFIG" --bindir)
	PGMAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	[ "$PGMAJOR" -ge 15 ] || die "vecdb needs PostgreSQL 15 or later, $PG_CONFIG is $PGMAJOR"
	if ! command -v gcc >/dev/null || ! command -v make >/dev/null || [ ! -f /usr/include/stdlib.h ]; then
		need_packages gcc libc6-dev make
	fi
	[ -f /usr/include/microhttpd.h ] || need_packages libmicrohttpd-dev
	[ -f /usr/include/zmq.h ] || need_packages libzmq3-dev
	[ -f /usr/include/sodium.h ] || need_packages libsodium-dev
}

# private_pg DIR: copy the PostgreSQL of PG_CONFIG to DIR and use the copy.
# PostgreSQL finds its files relative to its programs, so a copy under the same
# relative paths is whole.  It serves where the system's directories are not
# ours to write, and for tests, which must not touch them.
private_pg()
{
	local d lib share

	lib=$("$PG_CONFIG" --pkglibdir)
	share=$("$PG_CONFIG" --sharedir)
	case $PGBIN in "$1"/*) return 0 ;; esac
	mkdir -p "$1$PGBIN" "$1$lib" "$1$share" || return 1
	cp -auL "$PGBIN/." "$1$PGBIN/" && cp -au "$lib/." "$1$lib/" && cp -au "$share/." "$1$share/" || return 1
	for d in "$("$PG_CONFIG" --includedir)" "$("$PG_CONFIG" --pkgincludedir)" "$("$PG_CONFIG" --includedir-server)"; do
		[ -e "$1$d" ] || { mkdir -p "$1${d%/*}" && ln -s "$d" "$1$d"; } || return 1
	done
	PG_CONFIG=$1$PGBIN/pg_config
	PGBIN=$1$PGBIN
}

# ---------------------------------------------------------------------------
# The user who runs servers

# choose_user: set RUN_USER and STATE.  Servers refuse root; root hands over to
# the owner of the tree, or to postgres where root owns that too.
choose_user()
{
	RUN_USER=$(id -un)
	STATE=$WORK
	am_root || return 0
	RUN_USER=$(stat -c %U "$ROOT")
	case $RUN_USER in root | UNKNOWN) RUN_USER=postgres ;; esac
	id "$RUN_USER" >/dev/null 2>&1 || die "there is no user $RUN_USER to run the server" "install PostgreSQL from Debian's packages, or run as an ordinary user"
	mkdir -p "$WORK"
	if ! as_user test -x "$WORK"; then
		STATE=/var/lib/vecdb-$(printf %s "$ROOT" | cksum | cut -d ' ' -f 1)
		mkdir -p "$STATE"
		as_user test -x "$STATE" || die "the user $RUN_USER can reach neither $WORK nor $STATE" 'move the tree where that user may enter, for instance under /srv'
	fi
}

# as_user COMMAND...: run as RUN_USER, in a directory that user may enter.
as_user()
{
	if [ "$(id -un)" = "$RUN_USER" ]; then
		"$@"
	else
		(cd / && exec setpriv --reuid="$RUN_USER" --regid="$(id -g "$RUN_USER")" --init-groups \
			env HOME="$(getent passwd "$RUN_USER" | cut -d : -f 6)" USER="$RUN_USER" LOGNAME="$RUN_USER" "$@")
	fi
}

# own DIR: make a directory that belongs to RUN_USER.
own()
{
	mkdir -p "$1" && { ! am_root || chown "$RUN_USER" "$1"; }
}
