#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# older.sh [ARCH...]: the preload of this build in a Debian 11 (glibc 2.31): programs must start with it without a
# message of the dynamic loader, and a Windows program must get its answers under Wine 5.0.3, which the preload leaves
# alone, because its ntdll.dll.so has no table of system calls. For i386 the preload is the one that `make
# check-packages` has built. Needs root and a network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../debian/debian.sh"
. "$here/../debian/fresh.sh"
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
name=libwritewatch-ntdll.so
failed=0 tried=

verdict() {
    printf '%s\n' "$*"
    case $1 in FAILED:*) failed=1 ;; esac
}

# find_preload ARCH FOLDER: copies the preload for ARCH to FOLDER.
find_preload() {
    if [ "$1" = "$(dpkg --print-architecture)" ]; then
        cp "$build/.libs/$name" "$2/"
    else
        for package in "$build/packages/bookworm-$1"/writewatch-preload_*.deb; do
            dpkg-deb --fsys-tarfile "$package" | tar -xO --wildcards "*/$name" >"$2/$name"
        done 2>/dev/null
    fi
}

# loads ARCH: ordinary programs must start, have the preload mapped, and print nothing else.
loads() {
    said=$(in_debian "$root" "$1" sh -c 'export LD_PRELOAD=/srv/'$name'
        perl -e "print qq(started\n)"
        cat /proc/self/maps | sed -n "s|^[^/]*/|/|;/libwritewatch-ntdll/p" | sort -u' 2>&1) || said="exit code $?: $said"
    libc=$(in_debian "$root" "$1" ldd --version | sed -n '1s/.* /glibc /p')
    if [ "$said" = "started
/srv/$name" ]; then
        verdict "ok: bullseye $1, $libc: programs start, without a message"
    else
        verdict "FAILED: bullseye $1, $libc: $said"
    fi
}

quiet_wine='WINEDEBUG=-all WINEDLLOVERRIDES=winemenubuilder.exe,mscoree,mshtml= WINEPREFIX=/root/prefix'

# runs ARCH: runs a Windows program under the Wine of that Debian.
runs() {
    program=watch.exe wine=wine64
    [ "$1" = amd64 ] || program=i686/watch.exe wine=wine32
    [ -f "$build/tests/pe/$program" ] || {
        verdict "skipped: Wine, $1: tests/pe/$program is not built (make check)"
        return
    }
    mounts="$mounts
$build/tests/pe|/srv/pe"
    in_debian "$root" "$1" DEBIAN_FRONTEND=noninteractive $quiet_wine sh -euc '
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends wine "$1"
        timeout 300 wineboot -i
        timeout 60 wineserver -w' sh $wine >"$root.log" 2>&1 || {
        tail -n 5 "$root.log"
        verdict "skipped: Wine, $1: it cannot be installed or makes no prefix, see $root.log"
        return
    }
    version=$(in_debian "$root" "$1" wine --version 2>/dev/null)
    answers=$(in_debian "$root" "$1" $quiet_wine sh -c '
        WW_DEBUG=1 LD_PRELOAD=$1 timeout 60 wine "$2" 2>/srv/said || echo "exit code $?"
        timeout 60 wineserver -w' sh "/srv/$name" "/srv/pe/$program" | tr '\n' ',')
    said=$(grep 'writewatch\|ld\.so' "$root/srv/said" | sort -u)
    if [ "$answers" = 'dirty pages: 1 5 9,dirty pages: 2,' ] && [ -z "$said" ]; then
        verdict "ok: bullseye $1, $version: right answers, and the preload says nothing"
    else
        verdict "FAILED: bullseye $1, $version: the program says $answers the preload ${said:-nothing}"
    fi
}

[ "$(id -u)" = 0 ] || skip "a chroot needs root"
for arch in ${*:-amd64 i386}; do
    root=$cache/packages-bullseye-$arch
    (fresh bullseye "$arch" "$root") || exit $?
    mounts="$cache/packages-apt-bullseye-$arch|/var/cache/apt/archives"
    find_preload "$arch" "$root/srv"
    if [ -s "$root/srv/$name" ]; then
        tried=yes
        loads "$arch"
        runs "$arch"
    else
        verdict "skipped: bullseye $arch: no preload is built for it (make check-packages)"
    fi
    [ $failed != 0 ] || rm -rf "$root"
done
[ -n "$tried" ] || exit 77
exit $failed
