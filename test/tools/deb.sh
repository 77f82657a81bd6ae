#!/usr/bin/env bash
#
# deb.sh
#	  Packages for Debian, of every PostgreSQL whose headers are here; they and
#	  their source are in .vecdb/deb in the end.  What lintian finds is a failure.
#	  See src/tools/debian/README.md.
#
# VERSIONS chooses among the versions; REVISION=n appends +n to the package's.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

OUT=$WORK/deb

# headers_found: the major versions whose headers Debian's packages brought.
headers_found()
{
	local c

	while IFS= read -r c; do
		[[ $c == /usr/lib/postgresql/* ]] && pg_headers "$c" && pg_major "$c"
	done < <(pg_configs)
}

# copy_tree DIR: what git knows of the tree, or, where there is no git, what a
# build has not made.
copy_tree()
{
	if command -v git >/dev/null && git -C "$ROOT" -c safe.directory='*' rev-parse 2>/dev/null; then
		(cd "$ROOT" && git -c safe.directory='*' ls-files -z | tar --null -T - -cf -)
	else
		tar -C "$ROOT" --exclude=./.git --exclude=./.vecdb --exclude='*.o' --exclude='*.so' --exclude=./vecdb-probe --exclude=./.deps -cf - .
	fi | tar -C "$1" -xf - --no-same-owner
}

open_log deb
for version in ${VERSIONS:-}; do
	need "headers:$version" "postgresql-server-dev-$version"
done
[ -n "${VERSIONS:-}" ] || choose_pg
need program:dpkg-buildpackage dpkg-dev
need program:pg_buildext postgresql-common
need program:dh debhelper
need program:lintian lintian
need file:/usr/share/doc/build-essential build-essential
install_missing
versions=${VERSIONS:-$(headers_found | sort -nu | paste -s -d ' ')}
version=$(sed -n 's/^EXTVERSION = //p' "$ROOT/Makefile")
packaged=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$ROOT/src/tools/debian/changelog")
[ "$version" = "$packaged" ] ||
	die "the Makefile's EXTVERSION is $version, that of src/tools/debian/changelog $packaged" 'write a paragraph for the new version there'

dir=$OUT/vecdb-$version
rm -rf "$OUT" && mkdir -p "$dir" || die "cannot write in $OUT"
step 'copy the tree' copy_tree "$dir"
cp -R "$ROOT/src/tools/debian" "$dir/debian"
rm "$dir/debian/README.md"
if [ -n "${REVISION:-}" ]; then
	sed -i "1s/($version)/($version+$REVISION)/" "$dir/debian/changelog"
fi
cd "$dir" || exit 1
export PG_SUPPORTED_VERSIONS=${versions// /$'\n'}
step 'write the control file' pg_buildext updatecontrol
say "Building packages of vecdb $version for PostgreSQL ${versions// /, }"
step 'build the packages' dpkg-buildpackage --no-sign --build=full
cd "$OUT" || exit 1
rm -rf "$dir"
say 'Asking lintian'
if ! lintian --allow-root --fail-on error,warning,info,pedantic ./*.changes; then
	die 'lintian found fault with the packages'
fi
! am_root || chown -R -h --reference="$ROOT" "$OUT"
printf '%s\n' "$OUT"/*.deb
