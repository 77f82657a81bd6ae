# chroot.sh
#	  Chroots of other Debian releases, with a PostgreSQL of theirs: for the
#	  matrix of tests and for the benchmark.  Sourced after lib.sh; needs root.
#
# The archive and its keys are those the machine itself uses.  A chroot is made
# once, below .vecdb/chroot or MATRIX_CACHE, and used again for two weeks.

CACHE=${MATRIX_CACHE:-$WORK/chroot}
MAX_AGE_DAYS=14

# sources SUITE: lines of sources.list for SUITE, from the archive this machine uses.
sources()
{
	local codename

	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI) $(SIGNED_BY)' 'Identifier: Packages' |
		awk -v here="$codename" -v suite="$1" '
			$2 != "main" { next }
			$1 == here { name = suite }
			$1 == here "-security" && suite != "sid" { name = suite "-security" }
			name != "" { print "deb " ($4 ~ /^\// ? "[signed-by=" $4 "] " : "") $3 " " name " main" }
			{ name = "" }' | sort -u
}

# make_chroot MAJOR SUITE DIR
make_chroot()
{
	local major=$1 suite=$2 dir=$3 opts=$3.apt

	mkdir -p "$CACHE"
	rm -rf "$dir" "$dir.new"
	# Proxies and the like, as this machine has them.
	apt-config dump | grep -E '^Acquire::(http|https|Retries)' | grep -v '""' >"$opts"
	# A mirror may stand still for weeks; the signatures are checked all the same.
	[ "$suite" != sid ] || echo 'Acquire::Check-Valid-Until "false";' >>"$opts"
	sources "$suite" | timeout 1200 mmdebstrap --mode=root --variant=minbase --aptopt="$opts" \
		--essential-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"' \
		--essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/hold.conf"' \
		--include="$(packages "$major")" "$suite" "$dir.new" - &&
		mv "$dir.new" "$dir"
}

# pgvector is there for the test that runs both in one server, and for the benchmark.
packages()
{
	echo "gcc,make,libc6-dev,libmicrohttpd-dev,libzmq3-dev,libsodium-dev,perl,libipc-run-perl,curl,postgresql-$1,postgresql-server-dev-$1,postgresql-$1-pgtap,postgresql-$1-pgvector"
}

# need_chroot MAJOR SUITE: set CHROOT to a directory with Debian SUITE and
# PostgreSQL MAJOR; says why when it cannot.
need_chroot()
{
	local major=$1 suite=$2

	need_packages mmdebstrap debian-archive-keyring
	CHROOT=$CACHE/$suite-$major-$(packages "$major" | cksum | cut -d ' ' -f 1)
	LOG=$WORK/log/chroot-$major.log
	if [ -d "$CHROOT" ] && [ -z "$(find "$CHROOT" -maxdepth 0 -mtime +$MAX_AGE_DAYS)" ]; then
		return 0
	fi
	say "Making a chroot of Debian $suite with PostgreSQL $major"
	if ! make_chroot "$major" "$suite" "$CHROOT" >"$LOG" 2>&1 </dev/null; then
		rm -rf "$CHROOT.new"
		say "PostgreSQL $major: could not make a chroot of Debian $suite"
		tail -n 5 "$LOG" | sed 's/^/  | /'
		say "  all of it: $LOG"
		return 1
	fi
	touch "$CHROOT"
}
