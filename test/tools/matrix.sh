#!/usr/bin/env bash
#
# matrix.sh
#	  The suites that need a server, on the other versions of PostgreSQL, in
#	  chroots of the Debian releases that carry them; the last line is
#	  "N passed, N failed".
#
# The archive and its keys are those the machine itself uses.  A chroot is made
# once, below .vecdb/chroot or MATRIX_CACHE, and used again for two weeks; runs
# have mounts and processes of their own, which end with them.
#
# PostgreSQL 17 must be there: no chroot for it is a failure.  18 comes from a
# release that is always in motion: no chroot for it is told and not counted.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CACHE=${MATRIX_CACHE:-$WORK/chroot}
MAX_AGE_DAYS=14
PASSED=0
FAILED=0

finish()
{
	local status=$?

	[ "$status" -eq 0 ] || [ "$FAILED" -gt 0 ] || FAILED=1
	printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
	[ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
	exit $?
}

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

# pgvector is there for the test that runs both in one server.
packages()
{
	echo "gcc,make,libc6-dev,perl,libipc-run-perl,postgresql-$1,postgresql-server-dev-$1,postgresql-$1-pgtap,postgresql-$1-pgvector"
}

# run_in DIR: the suites, in a chroot with its own mounts and processes.
run_in()
{
	local dir=$1 propagation=private

	# Where / is no mount point, as in a chroot, its propagation cannot change.
	unshare --mount true 2>/dev/null || propagation=unchanged
	mkdir -p "$dir/vecdb"
	find "$dir/vecdb" -mindepth 1 -maxdepth 1 -not -name .vecdb -exec rm -rf {} +
	tar -C "$ROOT" --exclude=./.git --exclude=./.vecdb --exclude='*.o' --exclude='*.so' -cf - . |
		tar -C "$dir/vecdb" -xf - --no-same-owner
	unshare --mount --propagation "$propagation" --pid --fork --kill-child bash -c '
		mount -t proc proc "$1/proc" &&
		mkdir -p "$1/dev/shm" &&
		mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm" || exit 1
		chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI="$CI" VECDB_NO_PACKAGES=1 \
			bash /vecdb/test/tools/suites.sh regress isolation pgtap tap
		umount -l "$1/dev/shm" "$1/proc"' sh "$dir" 2>&1 </dev/null
}

# version MAJOR SUITE REQUIRED
version()
{
	local major=$1 suite=$2 required=$3 dir line last=

	dir=$CACHE/$suite-$major-$(packages "$major" | cksum | cut -d ' ' -f 1)
	LOG=$WORK/log/chroot-$major.log
	if [ ! -d "$dir" ] || [ -n "$(find "$dir" -maxdepth 0 -mtime +$MAX_AGE_DAYS)" ]; then
		say "Making a chroot of Debian $suite with PostgreSQL $major"
		if ! make_chroot "$major" "$suite" "$dir" >"$LOG" 2>&1 </dev/null; then
			rm -rf "$dir.new"
			say "PostgreSQL $major: could not make a chroot of Debian $suite$([ "$required" = yes ] || echo '; not tested and not counted')"
			tail -n 5 "$LOG" | sed 's/^/  | /'
			say "  all of it: $LOG"
			[ "$required" = no ] || FAILED=$((FAILED + 1))
			return
		fi
		touch "$dir"
	fi
	while IFS= read -r line; do
		case $line in
			*[0-9]' passed, '[0-9]*' failed') last=$line ;;
			*) printf '%s\n' "${line// \/vecdb\// $dir/vecdb/}" ;;
		esac
	done < <(run_in "$dir")
	if [ -n "$last" ]; then
		PASSED=$((PASSED + ${last%% *}))
		last=${last#*, }
		FAILED=$((FAILED + ${last%% *}))
	else
		say "PostgreSQL $major: the run ended without a count"
		FAILED=$((FAILED + 1))
	fi
}

trap finish EXIT
trap 'exit 130' INT TERM
CI=${CI:-}
export CI
am_root || die 'the matrix needs root, to make chroots and mounts' 'run: sudo make test-matrix'
open_log matrix
need_packages mmdebstrap debian-archive-keyring
version 17 trixie yes
version 18 sid no
