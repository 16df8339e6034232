#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The preloads in programs of another C library, such as a helper or a container's tool that a game starts. They must
# start and open libraries, and the preload must do nothing, even if they open a file that looks like Wine's ntdll.so.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
top=$(cd "$(dirname "$0")/../../.." && pwd)
out=$build/tests/system/preload/musl
preloads="$build/.libs/libwritewatch-ntdll.so $build/.libs/libwritewatch-ntdll-all.so"
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
! readelf -Wd $preloads | grep -q 'lib[at]san\|libubsan\|libtsan' || skip "built with a sanitizer, which needs glibc"
mkdir -p "$out/fake"
trap 'rm -rf "$out"' EXIT
unit=$top/tests/system/preload
musl-gcc -D_GNU_SOURCE -o "$out/runpath-host" "$unit/runpath-host.c" &&
    musl-gcc -D_GNU_SOURCE -static -o "$out/static-host" "$unit/runpath-host.c" &&
    musl-gcc -D_GNU_SOURCE -o "$out/attach-host" "$unit/attach-host.c" &&
    musl-gcc -D_GNU_SOURCE -fPIC -shared -o "$out/foreign.so" "$unit/foreign.c" &&
    musl-gcc -D_GNU_SOURCE -fPIC -shared -Wl,-Bsymbolic,-z,relro -o "$out/fake/ntdll.so" "$unit/fake-ntdll.c" ||
    skip "musl-gcc cannot build the programs"

# musl-gcc has no such mode, but musl has the first object of a static program that is relocated when it starts.
static_hosts=static-host
if musl-gcc -D_GNU_SOURCE -fPIE -static -nostartfiles -Wl,-pie,--no-dynamic-linker -l:rcrt1.o -l:crti.o \
    -o "$out/static-pie-host" "$unit/runpath-host.c" -l:crtn.o 2>/dev/null &&
    readelf -Wh "$out/static-pie-host" | grep -q 'Type: *DYN' && ! readelf -Wl "$out/static-pie-host" | grep -q INTERP; then
    static_hosts="$static_hosts static-pie-host"
else
    echo "not tried: a static-pie program, which musl-gcc cannot build here"
fi

# expect_quiet PROGRAM ARG...: it must end with exit code 0 and print the same as without the preload.
expect_quiet() {
    without=$("$@" 2>&1)
    with=$(timeout 20 env WW_DEBUG=1 LD_PRELOAD="$preload" "$@" 2>&1) || fail "${preload##*/}: $*: exit code $?: $with"
    [ "$with" = "$without" ] || fail "${preload##*/}: $*: it says '$with' instead of '$without'"
}

for preload in $preloads; do
    [ -f "$preload" ] || fail "$preload is not built"
    expect_quiet "$out/runpath-host" "$out/foreign.so"
    expect_quiet "$out/attach-host" "$out/fake/ntdll.so" untouched
    for backend in uffd mprotect; do
        export WW_BACKEND=$backend
        expect_quiet "$out/attach-host" "$out/fake/ntdll.so" untouched
        unset WW_BACKEND
    done
    # A static program opens no library, with or without the preload.
    for host in $static_hosts; do
        without=$("$out/$host" "$out/foreign.so" 2>&1)
        status=$?
        with=$(timeout 20 env WW_DEBUG=1 LD_PRELOAD="$preload" "$out/$host" "$out/foreign.so" 2>&1)
        [ $?:"$with" = "$status:$without" ] || fail "${preload##*/}: $host: it says '$with' instead of '$without'"
    done
done

# A tree of processes, each loads the preload if its C library has one: glibc, musl, glibc; and glibc, static musl, glibc.
# With the backend mprotect the command takes the preload that has all backends.
for option in --verbose --backend=uffd --backend=mprotect; do
    for host in runpath-host $static_hosts; do
        said=$("$build/writewatch" run $option -- sh -c "'$out/$host' '$out/foreign.so' >/dev/null; echo \$?; echo started" 2>/dev/null)
        status=$("$out/$host" "$out/foreign.so" >/dev/null 2>&1 && echo 0 || echo 1)
        [ "$said" = "$status
started" ] || fail "run $option, $host: $said"
    done
done
said=$("$build/writewatch" run --backend=mprotect -- sh -c 'echo "$LD_PRELOAD"' 2>/dev/null)
[ "${said%%:*}" = "${preloads#* }" ] || fail "run --backend=mprotect preloads $said"
exit $failed
