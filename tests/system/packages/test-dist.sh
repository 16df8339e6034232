#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-dist.sh: the same commit must give the same bytes: runs `make dist` in two clones of HEAD, with other paths,
# build folders, times and file modes, and once more in the unpacked first archive, and compares. Takes a minute.
# test-dist.sh --epoch FOLDER: prints the time for the files of an archive: that of FOLDER's commit, or of the archive
# that FOLDER was unpacked from.
set -eu

if [ "${1:-}" = --epoch ]; then
    if [ -e "$2/.git" ]; then
        git -C "$2" log -1 --format=%ct
    else
        date -r "$2/configure.ac" +%s
    fi
    exit
fi

top=$(cd "$(dirname "$0")/../../.." && pwd)
skip() {
    echo "skipped: $*"
    exit 77
}
command -v git >/dev/null && [ -e "$top/.git" ] || skip "no git repository, so nothing to make two clones of"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/writewatch-dist.XXXXXX")
trap 'rm -rf "$work"' EXIT
unset SOURCE_DATE_EPOCH MAKEFLAGS MAKELEVEL MFLAGS XZ_OPT TAR_OPTIONS

# dist SOURCE BUILD ARCHIVE
dist() {
    mkdir -p "$2"
    (cd "$2" && "$1/configure" -q && make dist) >"$work/log" 2>&1 || {
        tail -n 20 "$work/log"
        exit 1
    }
    mv "$2"/writewatch-*.tar.xz "$3"
}

# clone FOLDER: clones HEAD and runs autoreconf.
clone() {
    git clone -q --no-hardlinks "$top" "$1"
    (cd "$1" && autoreconf -fi) >"$work/log" 2>&1
}

(umask 022 && clone "$work/one" && dist "$work/one" "$work/one/build" "$work/one.tar.xz")
sleep 2
(umask 077 && clone "$work/another" && dist "$work/another" "$work/elsewhere/folder" "$work/another.tar.xz")
mkdir "$work/unpacked"
tar -C "$work/unpacked" -xf "$work/one.tar.xz"
dist "$(echo "$work"/unpacked/writewatch-*)" "$work/third" "$work/unpacked.tar.xz"

cd "$work"
sha256sum ./*.tar.xz
for archive in another unpacked; do
    cmp one.tar.xz $archive.tar.xz || {
        tar -tvf one.tar.xz >one.list
        tar -tvf $archive.tar.xz >$archive.list
        diff one.list $archive.list | head -n 20
        echo "FAILED: make dist gives other bytes ($archive)"
        exit 1
    }
done
echo "ok: make dist gives the same bytes"
