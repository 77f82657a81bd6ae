#!/usr/bin/env bash
#
# fresh.sh
#	  README's two commands on machines where nothing of this project has been
#	  yet: chroots of several states, see test/fresh/README.md.  The last line is
#	  "N passed, N failed".
#
# STATE chooses one by name, ALL=1 all of them; else those that test/fresh/states
# marks for CI.  WHOLE=1 runs the second command with all its suites.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$ROOT/test/tools/chroot.sh"

STATES=$ROOT/test/fresh/states
PASSED=0
FAILED=0
MACHINE=

# limit: seconds that a machine may take; what is left of TIME_LIMIT, where that
# is given.
limit()
{
	local left=${WHOLE:+7200}

	left=${left:-3600}
	if [ -n "${TIME_LIMIT:-}" ] && [ $((TIME_LIMIT - SECONDS)) -lt "$left" ]; then
		left=$((TIME_LIMIT - SECONDS))
	fi
	echo $((left > 0 ? left : 1))
}

# table: the lines of test/fresh/states
table()
{
	sed '/^#/d; /^$/d' "$STATES"
}

# clone DIR: what is committed, with what has been changed since in files that
# git knows, so that a change can be tried before it is committed.
clone()
{
	local config=$MACHINE.gitconfig changes=$MACHINE.patch status

	# The tree may belong to another user than who runs this.
	printf '[safe]\n\tdirectory = *\n' >"$config"
	(
		export GIT_CONFIG_GLOBAL=$config
		cd "$ROOT" && git diff --binary HEAD >"$changes" &&
			git clone -q --depth 1 "file://$ROOT" "$1" &&
			{ [ ! -s "$changes" ] || git -C "$1" apply "$changes"; }
	)
	status=$?
	rm -f "$config" "$changes"
	return $status
}

# in_machine COMMAND...: in MACHINE, with mounts and processes of its own, which
# end with it, and the environment of this machine as far as it tells how to
# reach the network.
in_machine()
{
	local name pass=()

	for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY NODE_EXTRA_CA_CERTS SSL_CERT_FILE \
		npm_config_registry npm_config_cafile WHOLE ALL; do
		[ -z "${!name:-}" ] || pass+=("$name=${!name}")
	done
	unshare --mount --propagation "$PROPAGATION" --pid --fork --kill-child bash -c '
		root=$1
		mount --bind "$root" "$root" &&
			mount -t proc proc "$root/proc" &&
			mount -t sysfs -o ro sysfs "$root/sys" &&
			mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" &&
			mount --bind "$2" "$root/var/cache/apt/archives" || exit 1
		shift 2
		chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
		# The shell stays, as what collects orphans there.
		exit $?' \
		sh "$MACHINE" "$ARCHIVES" "${pass[@]}" "$@" 2>&1 </dev/null
}

# make_machine RELEASE USER PACKAGES...: a copy of the bare chroot, with PACKAGES.
make_machine()
{
	local release=$1 user=$2 home=/root second

	shift 2
	rm -rf "$MACHINE" && mkdir "$MACHINE" || return 1
	cp -a --reflink=auto "$CHROOT/." "$MACHINE" || return 1
	rm -f "$MACHINE/etc/postgresql-common/createcluster.d/hold.conf"
	# the way to the network, and faster installations
	cp -L /etc/resolv.conf "$MACHINE/etc/resolv.conf"
	mkdir -p "$MACHINE/usr/local/share/ca-certificates"
	cp /usr/local/share/ca-certificates/*.crt "$MACHINE/usr/local/share/ca-certificates/" 2>/dev/null
	echo force-unsafe-io >"$MACHINE/etc/dpkg/dpkg.cfg.d/fast"
	if [ "$user" != root ]; then
		home=/home/$user
		in_machine useradd --create-home --shell /bin/bash "$user" || return 1
	fi
	in_machine update-ca-certificates || return 1
	clone "$MACHINE$home/vecdb" || return 1
	mkdir -p "$MACHINE/fresh" && cp "$ROOT"/test/fresh/*.sh "$MACHINE/fresh/" || return 1
	in_machine chown -R "$user:" "$home/vecdb" || return 1
	# A server that a package would start would be seen outside of the machine.
	printf '#!/bin/sh\nexit 101\n' >"$MACHINE/usr/sbin/policy-rc.d" && chmod 755 "$MACHINE/usr/sbin/policy-rc.d" || return 1
	[ $# -gt 0 ] || return 0
	second=$(printf '%s\n' "$@" | sed -n 's/^+//p')
	[ -z "$second" ] || sources "$second" >"$MACHINE/etc/apt/sources.list.d/$second.list"
	# shellcheck disable=SC2046
	in_machine apt-get -q update &&
		in_machine DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $(printf '%s\n' "$@" | grep -v '^+') || return 1
}

# make_packages RELEASE: "make deb" on a bare machine, twice, the second time of a
# newer version; what it makes is in DEBS.
make_packages()
{
	local revision

	make_machine "$1" root || return 1
	rm -rf "$DEBS" && mkdir "$DEBS" || return 1
	for revision in '' 1; do
		in_machine make -C /root/vecdb deb REVISION=$revision 8>&- &&
			mkdir "$DEBS/deb${revision:+-newer}" &&
			cp "$MACHINE"/root/vecdb/.vecdb/deb/*.deb "$DEBS/deb${revision:+-newer}/" || return 1
	done
}

# state NAME RELEASE USER CI PACKAGES...
state()
{
	local name=$1 release=$2 user=$3 log=$WORK/log/fresh-$1.log began=$SECONDS passed failed status script=inside

	shift 4
	say "== $name: Debian $release, $user${1:+, $*}"
	if ! find_chroot "$release" git,make,ca-certificates "$release-bare" "bare Debian $release"; then
		FAILED=$((FAILED + 1))
		return
	fi
	MACHINE=$CACHE/fresh-$name
	ARCHIVES=$CACHE/archives-$release
	mkdir -p "$ARCHIVES/partial"
	# Another run with the same MATRIX_CACHE waits.
	exec 8>"$ARCHIVES.lock"
	flock 8
	: >"$log"
	if [ "$name" = package ]; then
		script=package
		DEBS=$CACHE/fresh-deb
	fi
	if ! { [ "$name" != package ] || make_packages "$release"; } >>"$log" 2>&1 ||
		! make_machine "$release" "$user" "$@" >>"$log" 2>&1; then
		say "not ok - $name: the machine could not be made; the end of $log:"
		tail -n 15 "$log" | sed 's/^/  | /'
		FAILED=$((FAILED + 1))
		return
	fi
	if [ "$name" = package ]; then
		mv "$DEBS"/* "$MACHINE/fresh/" && rmdir "$DEBS"
		cp "$ROOT/test/upgrade/vecdb--0.1.0.sql" "$MACHINE/fresh/"
	fi
	in_machine timeout -k 20 "$(limit)" bash "/fresh/$script.sh" "$name" "$user" 8>&- | tee -a "$log" | grep --line-buffered -E '^(not )?ok - |^  \| '
	status=${PIPESTATUS[0]}
	passed=$(grep -c '^ok - ' "$log")
	failed=$(grep -c '^not ok - ' "$log")
	[ "$status" -ne 124 ] || say "  stopped after $((SECONDS - began)) seconds"
	# A machine whose script ended early is one failure.
	if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
		failed=1
		say "not ok - $name ended early; the end of $log:"
		tail -n 25 "$log" | cut -c 1-300 | sed 's/^/  | /'
	fi
	PASSED=$((PASSED + passed))
	FAILED=$((FAILED + failed))
	printf '%-18s %4d passed %4d failed  %4d s\n' "$name" "$passed" "$failed" $((SECONDS - began))
	if [ "$failed" -gt 0 ]; then
		say "  all of it: $log; the machine: $MACHINE"
	else
		rm -rf "$MACHINE"
	fi
	exec 8>&-
}

trap 'exit_with_count $?' EXIT
trap 'exit 130' INT TERM
am_root || die 'fresh machines need root, to make chroots and mounts' 'run: sudo make fresh'
open_log fresh
need program:git git
install_missing
# Where / is no mount point, as in a chroot, its propagation cannot change.
PROPAGATION=private
unshare --mount true 2>/dev/null || PROPAGATION=unchanged
if [ -n "${VECDB_FRESH:=}" ]; then
	table | grep -q "^$VECDB_FRESH " || die "there is no state $VECDB_FRESH" "name one of: $(table | sed 's/ .*//' | paste -s -d ' ')"
fi
# Registry and certificates of npm, as this machine has them.
if command -v npm >/dev/null; then
	npm_config_registry=${npm_config_registry:-$(npm config get registry 2>/dev/null)}
fi
while read -r name release user ci packages <&7; do
	if [ -n "$VECDB_FRESH" ]; then
		[ "$VECDB_FRESH" = "$name" ] || continue
	elif [ -z "${ALL:-}" ]; then
		[ "$ci" = yes ] || continue
	fi
	# shellcheck disable=SC2086
	state "$name" "$release" "$user" "$ci" $packages
done 7< <(table)
