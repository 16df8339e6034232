#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The preload in programs of another C library, such as a helper or a container's tool that a game starts. They must
# start and open libraries, and the preload must do nothing, even if they open a file that looks like Wine's ntdll.so.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
top=$(cd "$(dirname "$0")/../../.." && pwd)
out=$build/tests/system/preload/musl
preload=$build/.libs/libwritewatch-ntdll.so
unset WW_BACKEND WW_DISABLE
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

skip() {
    echo "skipped: $*"
    exit 77
}

command -v musl-gcc >/dev/null || skip "musl-gcc is not installed (Debian: musl-tools)"
# Only with dlls/ntdll/glibc.S in the preload are functions optional that another C library may lack.
grep -q 'S\["OLD_GLIBC_TRUE"\]="#"' "$build/config.status" &&
    skip "built for the glibc of this system alone (configure: an older glibc)"
! readelf -Wd "$preload" | grep -q 'lib[at]san\|libubsan\|libtsan' || skip "built with a sanitizer, which needs glibc"
mkdir -p "$out/fake"
trap 'rm -rf "$out"' EXIT
unit=$top/tests/system/preload
musl-gcc -D_GNU_SOURCE -o "$out/runpath-host" "$unit/runpath-host.c" &&
    musl-gcc -D_GNU_SOURCE -static -o "$out/static-host" "$unit/runpath-host.c" &&
    musl-gcc -D_GNU_SOURCE -o "$out/attach-host" "$unit/attach-host.c" &&
    musl-gcc -D_GNU_SOURCE -fPIC -shared -o "$out/foreign.so" "$unit/foreign.c" &&
    musl-gcc -D_GNU_SOURCE -fPIC -shared -Wl,-Bsymbolic,-z,relro -o "$out/fake/ntdll.so" "$unit/fake-ntdll.c" ||
    skip "musl-gcc cannot build the programs"

# expect_quiet PROGRAM ARG...: it must end with exit code 0 and print the same as without the preload.
expect_quiet() {
    without=$("$@" 2>&1)
    with=$(WW_DEBUG=1 LD_PRELOAD=$preload timeout 20 "$@" 2>&1) || fail "$*: exit code $?: $with"
    [ "$with" = "$without" ] || fail "$*: it says '$with' instead of '$without'"
}

expect_quiet "$out/runpath-host" "$out/foreign.so"
expect_quiet "$out/attach-host" "$out/fake/ntdll.so" untouched
"$out/static-host" "$out/foreign.so" >/dev/null 2>&1
status=$?
LD_PRELOAD=$preload "$out/static-host" "$out/foreign.so" >/dev/null 2>&1
[ $? = $status ] || fail "a static program"
# A tree of processes: glibc, musl, glibc.
said=$("$build/writewatch" run -- sh -c "'$out/runpath-host' '$out/foreign.so' && echo started" 2>&1)
[ "$said" = started ] || fail "through the command: $said"
exit $failed
