#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# winetest.sh [build [SUITE...] | run]: Wine's own tests of write watches, stock and with the shim.
#
# `build` takes them from the Wine source tree $WINE_SRC, or else from the source packages
# of these Debians (default: bookworm and trixie, Wine 8.0 and 10.0), kept under
# $XDG_CACHE_HOME or /var/tmp, and compiles them to $WW_BUILDDIR/tests/system/winetest.
# `run` runs the programs there under the `wine` in PATH, which needs no compiler, and
# compares the results. Without an argument: both. Nothing of Wine is committed here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../wine/env.sh"
cache=${XDG_CACHE_HOME:-/var/tmp}/writewatch
out=$build/tests/system/winetest
tests="kernel32/tests/virtual.c ntdll/tests/virtual.c ws2_32/tests/sock.c"
tab=$(printf '\t')

# fetch SUITE: puts the few files of Wine that the tests are made of into $cache/wine-SUITE.
fetch() {
    [ ! -d "$cache/wine-$1" ] || return 0
    command -v apt-get >/dev/null || skip "neither WINE_SRC nor apt-get is there to take Wine's tests from"
    echo "fetching the source of Wine from Debian $1 (once, 30 MB)" >&2
    new=$cache/wine-$1.new
    rm -rf "$new"
    mkdir -p "$new/lists/partial" "$new/cache/archives/partial" "$new/tree" || skip "$cache cannot be written"
    (cd "$new" && unpack "$1") >"$cache/wine-$1.log" 2>&1 ||
        skip "the source of Wine was not to be had from Debian $1, see $cache/wine-$1.log"
    mv "$new/tree" "$cache/wine-$1"
    rm -rf "$new"
}

# apt-get with its own sources and lists, all in the current directory. Of the system's
# configuration it uses only apt.conf, which has the settings for the network.
apt_here() {
    apt-get -q -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$PWD/sources.list" \
        -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD/cache" "$@"
}

# unpack SUITE: downloads the source package and unpacks what we need of it to ./tree.
unpack() {
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb-src [signed-by=$key] http://deb.debian.org/debian $1 main" >sources.list
    apt_here update && apt_here source --download-only --tar-only wine || return 1
    set --
    for file in $tests; do
        set -- "$@" "*/dlls/$file"
    done
    tar -xf wine_*.orig.tar.* -C tree --strip-components=1 --wildcards \
        '*/VERSION' '*/include/wine/test.h' '*/include/wine/debug.h' "$@"
}

# compile SOURCE-TREE: compiles each test file's slice, for each architecture that has a compiler here.
compile() {
    version=$(sed 's/^Wine version //; s/-/_/g' "$1/VERSION") || skip "$1 is not a source tree of Wine"
    include=$out/include-$version
    mkdir -p "$include/wine"
    cp "$1/include/wine/test.h" "$1/include/wine/debug.h" "$include/wine" || exit 1
    for file in $tests; do
        name=${file%%/*}-$version
        # test_exec_memory_writes names write watches, but returns at once except on ARM.
        awk -v want='MEM_WRITE_WATCH|GetWriteWatch' -v avoid=ProcessManageWritesToExecutableMemory \
            -v name="${file##*/}" -v checks="$out/$name.checks" \
            -f "$here/slice.awk" "$1/dlls/$file" >"$out/$name.c"
        case $? in
        0) ;;
        3)
            echo "${file%%/*} of Wine $version has no tests of write watches"
            rm -f "$out/$name.c"
            continue
            ;;
        *) exit 1 ;;
        esac
        for arch in $archs; do
            "$arch-w64-mingw32-gcc" -std=gnu11 -O2 -fno-strict-aliasing -fno-omit-frame-pointer \
                -Werror=implicit-function-declaration -DSTANDALONE -I"$include" -include "$here/mingw.h" \
                -o "$out/$name-$arch.exe" "$out/$name.c" -lntdll -lws2_32 -luser32 \
                >"$out/$name-$arch.log" 2>&1 || {
                echo "the tests of $name do not compile for $arch:"
                grep -E 'error|undefined' "$out/$name-$arch.log"
                exit 1
            }
        done
    done
}

do_build() {
    archs=
    for arch in x86_64 i686; do
        if command -v "$arch-w64-mingw32-gcc" >/dev/null; then
            archs="$archs $arch"
        else
            echo "$arch: not built: no mingw-w64 for it"
        fi
    done
    [ -n "$archs" ] || skip "mingw-w64 is not installed"
    mkdir -p "$out"
    rm -f "$out"/*.exe "$out"/*.c "$out"/*.checks "$out"/*.log
    if [ -n "${WINE_SRC:-}" ]; then
        compile "$WINE_SRC"
        return
    fi
    [ $# -gt 0 ] || set -- bookworm trixie
    for suite; do
        fetch "$suite"
        compile "$cache/wine-$suite"
    done
}

# usable ARCH: whether this Wine runs programs for ARCH. The script fails if the shim does not attach to them.
usable() {
    for probe in "$out"/*-"$1".exe; do :; done
    [ -f "$probe" ] || return 1
    bits=64
    [ "$1" = x86_64 ] || bits=32
    if ! stock 60 "$probe" --list | grep -q '^Valid test names'; then
        echo "$1: not run: no $bits-bit Wine"
        return 1
    fi
    says=$(shim_says wine "$probe" --list)
    case $says in
    *"attached to "*ntdll.so*"backend uffd"*) return 0 ;;
    esac
    echo "$1: the shim does not step in: $says"
    exit 1
}

# run_test EXE MODE: adds its output and its exit code to the results, each line after dll, architecture and so on.
run_test() {
    name=${1##*/}
    name=${name%.exe}
    "$2" 120 "$1" >"$out/$name.$2.log"
    echo "ended with exit code $?" >>"$out/$name.$2.log"
    sed "s/^/${name%%-*}$tab${name##*-}$tab$(echo "$name" | cut -d- -f2)$tab$2$tab/; s/\r\$//" \
        "$out/$name.$2.log" >>"$out/results"
}

do_run() {
    set -- "$out"/*.exe
    [ -f "$1" ] || skip "nothing is built: winetest.sh build"
    need_kernel
    make_prefix
    # On i386 one test sends messages to a window, and there may be no display. When a test
    # that is too new for this Wine crashes, nobody is there to close a dialog.
    wine reg add 'HKCU\Software\Wine\Drivers' /v Graphics /d null /f >/dev/null 2>&1
    wine reg add 'HKCU\Software\Wine\WineDbg' /v ShowCrashDialog /t REG_DWORD /d 0 /f >/dev/null 2>&1
    : >"$out/results"
    for arch in x86_64 i686; do
        usable "$arch" || continue
        for exe in "$out"/*-"$arch".exe; do
            [ -f "$exe" ] || continue
            run_test "$exe" stock
            run_test "$exe" shim
        done
    done
    [ -s "$out/results" ] || skip "no test can be run by this Wine"
    awk -F '\t' -v wine="$(wine --version 2>/dev/null)" -v dir="$out" -v allowed="$here/allowed" \
        -f "$here/compare.awk" "$out/results"
}

case ${1:-} in
build)
    shift
    do_build "$@"
    ;;
run) do_run ;;
'') do_build && do_run ;;
*)
    echo "usage: $0 [build [SUITE...] | run]" >&2
    exit 2
    ;;
esac
