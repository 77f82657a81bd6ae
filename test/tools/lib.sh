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
# PostgreSQL's test modules drop LC_ALL, and LANG then chooses the encoding of their servers.
export LC_ALL=C.UTF-8 LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive

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

# open_log NAME: later steps write to .vecdb/log/NAME.log.  What root makes there
# belongs to the owner of the tree, who comes after with other commands.
open_log()
{
	LOG=$WORK/log/$1.log
	mkdir -p "$WORK/log" 2>/dev/null && : >"$LOG" 2>/dev/null ||
		die "cannot write in $WORK/log" "run as the owner of the tree, or remove $WORK"
	! am_root || chown -h --reference="$ROOT" "$WORK" "$WORK/log" "$LOG"
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

# exit_with_count STATUS: the last line of what tests, out of PASSED and FAILED, for
# a trap of EXIT.  A step that could not be done counts as one failure; a run that
# tested nothing is no success.
exit_with_count()
{
	[ "$1" -eq 0 ] || [ "$FAILED" -gt 0 ] || FAILED=1
	printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
	[ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
	exit $?
}

am_root()
{
	[ "$(id -u)" -eq 0 ]
}

# ---------------------------------------------------------------------------
# What a command needs
#
# A thing is looked for itself: the header by compiling with it, the program by
# its name, the module by loading it.  That a package is installed, or a file of
# it is there, says little of the others: Debian puts pgxs.mk in the client's
# package and postgres.h in another.  need() notes what is not there and which
# packages have it, install_missing() installs them all at once, or says so.

MISSING=()

# has THING: is it there, and of use?
#	program:NAME         on the PATH
#	file:PATTERN         a file of that name
#	perl:MODULE
#	compiler:            of C, with the headers of libc; compiler:NAME another than gcc
#	library:HEADER:NAME  to compile and link with; HEADER without .h
#	fuzzer:              clang with the runtime of libFuzzer and the sanitizers
#	server:MAJOR  headers:MAJOR  tests:MAJOR  extension:MAJOR:NAME  of PostgreSQL
has()
{
	local what=${1#*:} name=${1##*:}

	case $1 in
		program:*) command -v "$what" >/dev/null ;;
		file:*) compgen -G "$what" >/dev/null ;;
		perl:*) perl -M"$what" -e 1 2>/dev/null ;;
		compiler:*) makes_program "${what:-gcc}" <<<'' ;;
		library:*) makes_program gcc -l"$name" <<<"#include <${what%:*}.h>" ;;
		fuzzer:) clang -fsanitize=fuzzer,address,undefined -x c - -o /dev/null 2>/dev/null <<-'EOF' ;;
			#include <stdint.h>
			#include <stddef.h>
			int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return 0; }
		EOF
		server:*) pg_of "$what" pg_server ;;
		headers:*) pg_of "$what" pg_headers ;;
		tests:*) pg_of "$what" pg_tests ;;
		extension:*) pg_of "${what%:*}" pg_extension "$name" ;;
		*) die "nothing is known of $1" ;;
	esac
}

# makes_program COMPILER FLAG... < lines of C before main()
makes_program()
{
	local compiler=$1

	shift
	{
		printf '#include <stdio.h>\n#include <stdlib.h>\n'
		cat
		printf 'int main(void) { return puts("") < 0; }\n'
	} | "$compiler" -x c - -o /dev/null "$@" 2>/dev/null
}

# need THING PACKAGE...
need()
{
	local thing=$1

	shift
	has "$thing" || MISSING+=("$thing $*")
}

# install_missing: what need() noted; all of it in one line where we may not.
install_missing()
{
	local packages entry still=

	[ ${#MISSING[@]} -gt 0 ] || return 0
	packages=$(printf '%s\n' "${MISSING[@]#* }" | tr -s ' ' '\n' | awk '!seen[$0]++' | paste -s -d ' ')
	command -v apt-get >/dev/null ||
		die "these are missing: $(printf '%s, ' "${MISSING[@]%% *}" | sed 's/, $//')" \
			'and this is not a Debian system, whose packages could be installed' \
			'install PostgreSQL 15 or later with its headers, then: make && make install PG_CONFIG=...'
	am_root || die "these packages are missing: $packages" \
		"as root: $(package_lists || printf 'apt-get update && ')apt-get install --no-install-recommends $packages"
	say "Installing $packages"
	# shellcheck disable=SC2086
	step 'install packages' install_packages $packages
	for entry in "${MISSING[@]}"; do
		has "${entry%% *}" || still+=" ${entry#* }"
	done
	[ -z "$still" ] || die "these packages are installed, and what they should hold is not there:$still" \
		"as root: apt-get install --reinstall$still"
	MISSING=()
}

# package_lists: does apt know any package that can be installed?
package_lists()
{
	compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null
}

# Debian makes a cluster and starts it when the server's package comes in.
# This machine asked for a private server only: hold that back, and leave no
# trace for later installations.
install_packages()
{
	local hold="" policy=/usr/sbin/policy-rc.d quiet="" rc=0

	if printf '%s\n' "$@" | grep -Eq '^postgresql(-[0-9]+)?$'; then
		hold=/etc/postgresql-common/createcluster.d/vecdb-hold.conf
		mkdir -p "${hold%/*}"
		echo 'create_main_cluster = false' >"$hold"
	fi
	# Nor is a web server to run here because a test uses its program.
	if printf '%s\n' "$@" | grep -qx nginx && [ ! -e $policy ]; then
		quiet=1
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	apt_get install "$@" || { apt_get update && apt_get install "$@"; } || rc=$?
	[ -z "$hold" ] || rm -f "$hold"
	if [ -n "$quiet" ]; then
		rm -f $policy
		! command -v systemctl >/dev/null || systemctl disable nginx 2>/dev/null || true
	fi
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

# ---------------------------------------------------------------------------
# The PostgreSQL to use

OLDEST_PG=15

# Every pg_config of this machine, the newest version first.
pg_configs()
{
	ls -rv /usr/lib/postgresql/*/bin/pg_config 2>/dev/null
	type -ap pg_config
}

pg_major()
{
	"$1" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'
}

# pg_server, pg_headers, pg_tests PG_CONFIG: what belongs to it, each from a
# package of its own.
pg_server()
{
	local bin program

	bin=$("$1" --bindir) || return 1
	for program in initdb postgres pg_ctl psql; do
		"$bin/$program" --version >/dev/null 2>&1 || return 1
	done
}

pg_headers()
{
	[ -f "$("$1" --includedir-server)/postgres.h" ] && [ -f "$("$1" --pgxs)" ]
}

# Programs and modules for the tests of extensions.
pg_tests()
{
	local dir

	dir=$(dirname "$("$1" --pgxs)")/..
	[ -x "$dir/test/regress/pg_regress" ] && [ -x "$dir/test/isolation/pg_isolation_regress" ] &&
		[ -f "$dir/test/perl/PostgreSQL/Test/Cluster.pm" ]
}

# pg_extension PG_CONFIG NAME
pg_extension()
{
	local dir

	dir=$("$1" --sharedir)/extension
	[ -f "$dir/$2.control" ] && compgen -G "$dir/$2--*.sql" >/dev/null
}

# pg_of MAJOR TEST ARGUMENT...: TEST holds for a pg_config of MAJOR (empty: of
# any), the chosen one if one was chosen.
pg_of()
{
	local major=$1 test=$2 c

	shift 2
	while IFS= read -r c; do
		[ "$(pg_major "$c")" = "${major:-$(pg_major "$c")}" ] && "$test" "$c" "$@" 2>/dev/null && return 0
	done < <(if [ -n "$PG_CONFIG" ]; then echo "$PG_CONFIG"; else pg_configs; fi)
	return 1
}

# find_pg TEST...: print the newest pg_config for which all TESTs hold.
find_pg()
{
	local c test major

	while IFS= read -r c; do
		major=$(pg_major "$c")
		[ -n "$major" ] && [ "$major" -ge "$OLDEST_PG" ] || continue
		for test in "$@"; do
			"$test" "$c" 2>/dev/null || continue 2
		done
		printf '%s\n' "$c"
		return 0
	done < <(pg_configs)
	return 1
}

# Of Debian's layout, so that packages have what it lacks, as far as is known.
pg_to_complete()
{
	local major

	[[ $("$1" --bindir) =~ ^/usr/lib/postgresql/([0-9]+)/bin ]] || return 1
	major=${BASH_REMATCH[1]}
	package_lists || return 0
	apt-cache show "postgresql-$major" >/dev/null 2>&1 && apt-cache show "postgresql-server-dev-$major" >/dev/null 2>&1
}

# The major version that this Debian release ships; empty when that is not known.
debian_pg_major()
{
	apt-cache show postgresql 2>/dev/null |
		sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | head -n 1
}

# choose_pg: which PostgreSQL it is to be, and note what it lacks; sets PGMAJOR,
# and PG_CONFIG if it is whole.  The newest that has both server and headers;
# else the newest that has one of them, the server rather; else Debian's own.
choose_pg()
{
	local c

	if [ -n "$PG_CONFIG" ]; then
		c=$(command -v "$PG_CONFIG") || die "there is no such pg_config: $PG_CONFIG"
		PG_CONFIG=$c
		PGMAJOR=$(pg_major "$PG_CONFIG")
		[ "${PGMAJOR:-0}" -ge "$OLDEST_PG" ] || die "vecdb needs PostgreSQL $OLDEST_PG or later, $PG_CONFIG is ${PGMAJOR:-none}"
		pg_server "$PG_CONFIG" || pg_to_complete "$PG_CONFIG" ||
			die "$PG_CONFIG does not belong to a server: there is no initdb, postgres, pg_ctl or psql in $("$PG_CONFIG" --bindir)" 'install the server, or name another PG_CONFIG'
		pg_headers "$PG_CONFIG" || pg_to_complete "$PG_CONFIG" ||
			die "$PG_CONFIG has no headers: there is no postgres.h in $("$PG_CONFIG" --includedir-server)" 'install them, or name another PG_CONFIG'
	elif c=$(find_pg pg_server pg_headers); then
		PG_CONFIG=$c
		PGMAJOR=$(pg_major "$c")
	else
		if am_root && command -v apt-get >/dev/null && ! package_lists; then
			step 'read the package lists' apt_get update
		fi
		if c=$(find_pg pg_to_complete pg_server || find_pg pg_to_complete pg_headers); then
			PGMAJOR=$(pg_major "$c")
		else
			PGMAJOR=$(debian_pg_major)
		fi
	fi
	if [ -z "$PGMAJOR" ]; then
		# No lists of packages, and no right to fetch them: names that every release has.
		MISSING+=("server: postgresql" "headers: postgresql-server-dev-all")
	else
		need "server:$PGMAJOR" "postgresql-$PGMAJOR"
		need "headers:$PGMAJOR" "postgresql-server-dev-$PGMAJOR"
	fi
	need compiler: gcc libc6-dev
	need program:make make
	need library:microhttpd:microhttpd libmicrohttpd-dev
	need library:zmq:zmq libzmq3-dev
	need library:sodium:sodium libsodium-dev
	need library:lz4:lz4 liblz4-dev
	need library:openssl/evp:crypto libssl-dev
	need library:czmq:czmq libczmq-dev
}

# settle_pg: after choose_pg and install_missing; sets PG_CONFIG, PGBIN, PGMAJOR.
settle_pg()
{
	[ -n "$PG_CONFIG" ] || PG_CONFIG=$(find_pg pg_server pg_headers) ||
		die "there is no server of PostgreSQL with headers after the installation of PostgreSQL $PGMAJOR"
	PGBIN=$("$PG_CONFIG" --bindir)
	PGMAJOR=$(pg_major "$PG_CONFIG")
}

# need_pg: all of this, for what needs no other packages.
need_pg()
{
	choose_pg
	install_missing
	settle_pg
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

# name_user: set RUN_USER; false when there is no such user yet.  Servers refuse
# root; root hands over to the owner of the tree, or to postgres where root owns
# that too.
name_user()
{
	RUN_USER=$(id -un)
	am_root || return 0
	RUN_USER=$(stat -c %U "$ROOT")
	case $RUN_USER in root | UNKNOWN) RUN_USER=postgres ;; esac
	id "$RUN_USER" >/dev/null 2>&1
}

# choose_user: set RUN_USER and STATE.
choose_user()
{
	STATE=$WORK
	name_user || die "there is no user $RUN_USER to run the server" "install PostgreSQL from Debian's packages, or run as an ordinary user"
	am_root || return 0
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

# own DIR: make a directory that belongs to RUN_USER; a link that this user left
# in its place does not give another away.
own()
{
	mkdir -p "$1" && { ! am_root || chown -h "$RUN_USER" "$1"; }
}
