#!/usr/bin/env bash
#
# cassert.sh MAJOR DIR
#	  In the chroot DIR, which has Debian's PostgreSQL MAJOR: its place is taken by
#	  one with assertions, built from Debian's source package.
#
# It is a hook of mmdebstrap, which says how apt reads DIR.  The programs,
# modules and headers lie where Debian's were, so that pgTAP and pgvector, which
# come as packages, find the server that they know.

set -eu
major=$1
dir=$2
src=/usr/src/postgresql

export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
sed 's/^deb /deb-src /' "$dir/etc/apt/sources.list" >"$dir/etc/apt/sources.list.d/source.list"
apt-get -q update
mkdir -p "$dir$src"
cd "$dir$src"
# The newest version there is; an archive may list one that it has not got yet.
for version in $(apt-cache showsrc --only-source "postgresql-$major" | sed -n 's/^Version: //p' | sort -Vru); do
	! apt-get -q source --download-only "postgresql-$major=$version" || break
done

# Only what the suites use is built.
chroot "$dir" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 sh -eu -c '
	cd "$2"
	dpkg-source -x *.dsc source
	cd source
	./configure --quiet --enable-cassert --enable-debug --enable-tap-tests CFLAGS="-O1 -fno-omit-frame-pointer" \
		--without-readline --without-zlib --without-icu \
		--with-system-tzdata=/usr/share/zoneinfo --with-extra-version=" with assertions" \
		--prefix=/usr --bindir="/usr/lib/postgresql/$1/bin" --libdir="/usr/lib/postgresql/$1/lib" \
		--libexecdir=/usr/lib/postgresql --includedir=/usr/include/postgresql \
		--datarootdir=/usr/share --datadir="/usr/share/postgresql/$1"
	for part in . contrib/hstore contrib/pg_prewarm contrib/pg_trgm; do
		make -s -C "$part" -j"$(nproc)"
		make -s -C "$part" install
	done' sh "$major" "$src"
rm -rf "$dir$src"
