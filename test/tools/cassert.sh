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
name=postgresql-$major

# fetch_listed VERSION
fetch_listed()
{
	apt-get -q source --download-only "$name=$1"
}

# fetch_unlisted POOL VERSION: one that the archive has kept beyond its lists.  apt
# vouches for nothing then, but the .dsc is signed: it is checked below.
fetch_unlisted()
{
	local dsc=${name}_$2.dsc helper='/usr/lib/apt/apt-helper -q download-file' sum file

	$helper "$1/$dsc" "$dsc" || return 1
	sed -n '/^Checksums-Sha256:/,/^[^ ]/s/^ \([0-9a-f]*\) [0-9]* /\1 /p' "$dsc" |
		while read -r sum file; do
			$helper "$1/$file" "$file" "SHA256:$sum" || return 1
		done
}

# fetch: set VERSION to the newest there is, and CHECK to the option that has its
# signature checked.  An archive may list one that it has not got yet, and no other;
# Debian's changelog tells of those before.
fetch()
{
	local records archives archive folder

	records=$(apt-cache showsrc --only-source "$name")
	CHECK=
	for VERSION in $(sed -n 's/^Version: //p' <<<"$records" | sort -Vru); do
		! fetch_listed "$VERSION" || return 0
	done
	CHECK=--require-valid-signature
	archives=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Sources' | sort -u)
	for VERSION in $(zcat "$dir/usr/share/doc/$name/changelog.Debian.gz" | sed -n "s/^$name (\(.*\)).*/\1/p" | sed -n 1,3p); do
		for archive in $archives; do
			for folder in $(sed -n 's/^Directory: //p' <<<"$records" | sort -u); do
				! fetch_unlisted "${archive%/}/$folder" "$VERSION" || return 0
			done
		done
	done
	echo "the archive has no source of $name" >&2
	return 1
}

fetch

# Only what the suites use is built.
chroot "$dir" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 sh -eu -c '
	cd "$2"
	dpkg-source $4 -x "$3" source
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
	done' sh "$major" "$src" "${name}_$VERSION.dsc" "$CHECK"
rm -rf "$dir$src"
