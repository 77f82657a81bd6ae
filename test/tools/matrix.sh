#!/usr/bin/env bash
#
# matrix.sh
#	  The suites that need a server, on the other versions of PostgreSQL, in
#	  chroots of the Debian releases that carry them; the last line is
#	  "N passed, N failed".
#
# chroot.sh makes them.  Runs have mounts and processes of their own, which end
# with them.
#
# PostgreSQL 17 must be there: no chroot for it is a failure.  18 comes from a
# release that is always in motion: no chroot for it is told and not counted.
# So with 19, by VERSIONS=19 alone as long as it is not finished; pgTAP is not
# built for it, and its suite is left out.
#
# VERSIONS=18-cassert, 17-cassert or 15-cassert is that PostgreSQL with assertions,
# its own and ours, built from Debian's source package.  It runs the suite of the
# network too, and an assertion that fails in any server of the run is a failure,
# whatever its test said.
#
# VERSIONS chooses among them, SUITES among the suites.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/test/tools/chroot.sh"

PASSED=0
FAILED=0

# run_in DIR: the suites, in a chroot with its own mounts and processes.  What
# is left of TIME_LIMIT is theirs.
run_in()
{
	local dir=$1 propagation=private
	local -x LEFT=${TIME_LIMIT:+$((TIME_LIMIT - SECONDS))}

	# Where / is no mount point, as in a chroot, its propagation cannot change.
	unshare --mount true 2>/dev/null || propagation=unchanged
	mkdir -p "$dir/vecdb"
	find "$dir/vecdb" -mindepth 1 -maxdepth 1 -not -name .vecdb -exec rm -rf {} +
	tar -C "$ROOT" --exclude=./.git --exclude=./.vecdb --exclude='*.o' --exclude='*.so' --exclude=./vecdb-probe -cf - . |
		tar -C "$dir/vecdb" -xf - --no-same-owner
	# what "make test" fetched; there is no npm inside
	mkdir -p "$dir/vecdb/.vecdb/words"
	cp -u "$WORK"/words/[0-9]* "$dir/vecdb/.vecdb/words/" 2>/dev/null
	unshare --mount --propagation "$propagation" --pid --fork --kill-child bash -c '
		mount -t proc proc "$1/proc" &&
		mkdir -p "$1/dev/shm" &&
		mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm" || exit 1
		chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI="$CI" VECDB_NO_PACKAGES=1 \
			VECDB_TEST_SECONDS="${VECDB_TEST_SECONDS:-15}" TIME_LIMIT="$LEFT" LONG="$LONG" \
			VECDB_WITHOUT="$WITHOUT" VECDB_HTTP_ONLY="${VECDB_HTTP_ONLY:-}" VECDB_NET_ONLY="${VECDB_NET_ONLY:-}" VECDB_FLIPS="${VECDB_FLIPS:-30000}" VECDB_FLIP_SEED="${VECDB_FLIP_SEED:-1}" \
			bash /vecdb/test/tools/suites.sh $SUITES
		umount -l "$1/dev/shm" "$1/proc"' sh "$dir" 2>&1 </dev/null
}

# failed_assertions DIR: those in the logs that this run's servers wrote.
failed_assertions()
{
	find "$1/vecdb/.vecdb" "$1"/var/lib/vecdb-* -name '*.log' -newer "$1.run" \
		-exec grep -HaE 'TRAP: |: assertion failed: ' {} + 2>/dev/null | sort -u
}

# version MAJOR SUITE REQUIRED
version()
{
	local major=$1 suite=$2 required=$3 dir line last= traps

	if ! need_chroot "$major" "$suite"; then
		[ "$required" = yes ] || say '  not tested and not counted'
		[ "$required" = no ] || FAILED=$((FAILED + 1))
		return
	fi
	dir=$CHROOT
	# Another run with the same MATRIX_CACHE would change the tree under this one.
	exec 8>"$dir.run"
	flock 8
	touch "$dir.run"
	while IFS= read -r line; do
		case $line in
			*[0-9]' passed, '[0-9]*' failed') last=$line ;;
			*) printf '%s\n' "${line// \/vecdb\// $dir/vecdb/}" ;;
		esac
	done < <(run_in "$dir" 8>&-)
	traps=$(failed_assertions "$dir")
	exec 8>&-
	if [ -n "$traps" ]; then
		printf 'Assertions failed:\n%s\n' "$traps"
		FAILED=$((FAILED + $(wc -l <<<"$traps")))
	fi
	if [ -n "$last" ]; then
		PASSED=$((PASSED + ${last%% *}))
		last=${last#*, }
		FAILED=$((FAILED + ${last%% *}))
	else
		say "PostgreSQL $major: the run ended without a count"
		FAILED=$((FAILED + 1))
	fi
}

trap 'exit_with_count $?' EXIT
trap 'exit 130' INT TERM
CI=${CI:-}
LONG=${LONG:-}
CASSERT_SUITES=${SUITES:-regress isolation pgtap tap security http net}
SUITES=${SUITES:-regress isolation pgtap tap security http}
# What recall is by the distribution of the data takes minutes, and no version changes it.
WITHOUT=${LONG:+^\$}
WITHOUT=${WITHOUT:-022_hnsw_distributions}
export CI SUITES LONG WITHOUT
am_root || die 'the matrix needs root, to make chroots and mounts' 'run: sudo make test-matrix'
open_log matrix
for wanted in ${VERSIONS:-17 18}; do
	case $wanted in
		17) version 17 trixie yes ;;
		15-cassert) SUITES=$CASSERT_SUITES version 15-cassert bookworm yes ;;
		17-cassert) SUITES=$CASSERT_SUITES version 17-cassert trixie yes ;;
		18-cassert) SUITES=$CASSERT_SUITES version 18-cassert sid yes ;;
		18) version 18 sid no ;;
		19) SUITES=${SUITES/pgtap/} version 19 experimental no ;;
		*) die "there is no chroot for PostgreSQL $wanted" 'name versions out of 17, 18, 19, 15-cassert, 17-cassert and 18-cassert in VERSIONS' ;;
	esac
done
