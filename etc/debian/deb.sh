#!/bin/bash
# Builds a Debian package of a tarball (make dist) into a folder: deb.sh TARBALL FOLDER.
set -eu
tarball=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
for tool in dpkg-buildpackage dh; do
    command -v $tool >/dev/null || {
        echo "make deb: $tool is missing: apt-get install dpkg-dev debhelper" >&2
        exit 1
    }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/tplb-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
name=$(basename "$tarball" .tar.gz)
version=${name#tplb-}
cp "$tarball" "$work/tplb_$version.orig.tar.gz"
tar -xzf "$tarball" -C "$work"
cp -r "$work/$name/etc/debian" "$work/$name/debian"
rm "$work/$name/debian/deb.sh" "$work/$name/debian/tplb.conf"
(cd "$work/$name" && dpkg-buildpackage -b -us -uc)
rm -f "$out"/tplb_*.deb # of other versions
cp "$work"/tplb_*.deb "$out/"
ls "$out"/tplb_*.deb
