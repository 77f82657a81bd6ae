# chroot.sh
#	  Chroots of other Debian releases: with a PostgreSQL of theirs, for the
#	  matrix of tests and for the benchmark, or bare, for the fresh machines.
#	  MAJOR-cassert is PostgreSQL MAJOR with assertions (cassert.sh).
#	  Sourced after lib.sh; needs root.
#
# The archive and its keys are those the machine itself uses.  A chroot is made
# once, below .vecdb/chroot or MATRIX_CACHE, and used again for two weeks.

CACHE=${MATRIX_CACHE:-$WORK/chroot}
MAX_AGE_DAYS=14

# sources SUITE: lines of sources.list for SUITE, from the archive this machine
# uses; experimental is no release of its own, but lies upon sid.
sources()
{
	local codename

	[ "$1" != experimental ] || sources sid

	# apt tells of archives whose lists it has; images of machines come without.
	package_lists || apt_get update >&2
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI) $(SIGNED_BY)' 'Identifier: Packages' |
		awk -v here="$codename" -v suite="$1" '
			$2 != "main" { next }
			$1 == here { name = suite }
			$1 == here "-security" && suite !~ /^(sid|experimental)$/ { name = suite "-security" }
			name != "" { print "deb " ($4 ~ /^\// ? "[signed-by=" $4 "] " : "") $3 " " name " main" }
			{ name = "" }' | sort -u
}


# apt_settings SUITE: proxies and the like, as this machine has them.
apt_settings()
{
	apt-config dump | grep -E '^Acquire::(http|https|Retries|Check)' | grep -v '""'
	# A mirror may stand still for weeks; the signatures are checked all the same.
	case $1 in
		sid | experimental) echo 'Acquire::Check-Valid-Until "false";' ;;
	esac
}

# make_chroot SUITE PACKAGES DIR OPTION...: PACKAGES with commas between, OPTIONs
# of mmdebstrap.
make_chroot()
{
	local suite=$1 packages=$2 dir=$3 opts=$3.apt base=$1

	shift 3

	# what mmdebstrap must know of a release, it knows of sid
	[ "$suite" != experimental ] || base=sid

	rm -rf "$dir" "$dir.new"
	apt_settings "$suite" >"$opts"
	sources "$suite" | timeout 3600 mmdebstrap --mode=root --variant=minbase --aptopt="$opts" \
		--essential-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"' \
		--essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/hold.conf"' \
		--include="$packages" "$@" "$base" "$dir.new" - &&
		mv "$dir.new" "$dir"
}

# packages_of MAJOR SUITE.  pgvector is there for the test that runs both in one
# server, and for the benchmark; bookworm has none.  Of experimental comes only what
# is named, and extensions are not built for it.  A server with assertions is built
# in the place of Debian's, and runs the suite of the network too.
packages_of()
{
	local major=${1%-cassert} packages

	packages=gcc,make,libc6-dev,libmicrohttpd-dev,libzmq3-dev,libsodium-dev,liblz4-dev,libssl-dev,libczmq-dev,libcrypt-jwt-perl,nginx,openssl,perl,libipc-run-perl,curl
	if [ "$2" = experimental ]; then
		packages+=,postgresql-$major/$2,postgresql-client-$major/$2,postgresql-server-dev-$major/$2,libpq-dev/$2,libpq5/$2
	else
		packages+=,postgresql-$major,postgresql-server-dev-$major,postgresql-$major-pgtap
		[ "$2" = bookworm ] || packages+=,postgresql-$major-pgvector
	fi
	[ "$major" = "$1" ] || packages+=,bison,flex,dpkg-dev,debian-keyring,gpgv,iproute2,nftables,procps
	echo "$packages"
}

# need_chroot MAJOR SUITE: set CHROOT to a directory with Debian SUITE and
# PostgreSQL MAJOR; says why when it cannot.
need_chroot()
{
	local hook=

	[[ $1 != *-cassert ]] || hook=$ROOT/test/tools/cassert.sh
	find_chroot "$2" "$(packages_of "$1" "$2")" "$2-$1" "Debian $2 with PostgreSQL $1" \
		${hook:+"$hook" "${1%-cassert}"}
}

# find_chroot SUITE PACKAGES NAME DESCRIPTION [HOOK ARGUMENT]: likewise.  The script
# HOOK is run with ARGUMENT and the directory once the packages are there.  Who
# comes while another makes it waits.
find_chroot()
{
	local suite=$1 packages=$2 name=$3 description=$4 hook=${5:-} argument=${6:-}
	local log=$WORK/log/chroot-$name.log lock rc=0

	need program:mmdebstrap mmdebstrap
	need file:/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
	install_missing
	CHROOT=$CACHE/$name-$(cat <(echo "$packages") ${hook:+"$hook"} | cksum | cut -d ' ' -f 1)
	mkdir -p "$CACHE"
	exec {lock}>"$CHROOT.lock"
	flock "$lock"
	if [ ! -d "$CHROOT" ] || [ -n "$(find "$CHROOT" -maxdepth 0 -mtime +$MAX_AGE_DAYS)" ]; then
		fill_chroot
		rc=$?
	fi
	exec {lock}>&-
	return $rc
}

# For find_chroot, with its variables.
fill_chroot()
{
	say "Making a chroot of $description"
	if ! make_chroot "$suite" "$packages" "$CHROOT" ${hook:+--customize-hook="bash '$hook' $argument \"\$1\""} >"$log" 2>&1 </dev/null; then
		rm -rf "$CHROOT.new"
		say "Could not make a chroot of $description"
		tail -n 5 "$log" | sed 's/^/  | /'
		say "  all of it: $log"
		return 1
	fi
	touch "$CHROOT"
}
