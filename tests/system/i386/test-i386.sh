#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The unit tests as a build for i386, in a build folder of its own. Where this kernel runs no such programs, they are
# built only: an emulator has neither userfaultfd nor the signals of a fault.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
top=$(cd "$(dirname "$0")/../../.." && pwd)
here=$build/i386
failed=0
unset WW_BACKEND WW_DEBUG WW_DISABLE MAKEFLAGS MFLAGS MAKELEVEL

skip() {
    echo "skipped: $*"
    exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "this is no x86_64"
mkdir -p "$here" && cd "$here" || exit 99
cat >try.c <<'END'
#include <check.h>
#include <ffi.h>
int main(void)
{
    return !suite_create("try");
}
END
# Where there is no gcc-multilib, <asm/...> is in the folder of the other word size only.
flags="-idirafter /usr/include/$(uname -m)-linux-gnu"
${CC:-gcc} -m32 $flags -o try try.c -lcheck -lsubunit -lrt -lm -lpthread 2>try.err &&
    [ -f "$(${CC:-gcc} -m32 -print-file-name=libffi_pic.a)" ] ||
    skip "no programs for i386 can be made here (Debian: gcc-NN-multilib, check:i386, libffi-dev:i386)"
[ -f config.status ] || "$top/configure" -q --host=i686-linux-gnu CC="${CC:-gcc} -m32" CPPFLAGS="$flags" >configure.log 2>&1 || {
    cat configure.log
    exit 1
}
make -s -j"$(nproc)" units >make.log 2>&1 || {
    tail -n 30 make.log
    exit 1
}

{ ./try; } 2>/dev/null || skip "all units are built, but this kernel runs no programs for i386"
for test in $(cat units.list); do
    WW_BUILDDIR=$here timeout 600 "$test" >"${test##*/}.log" 2>&1
    status=$?
    echo "$test: exit code $status"
    case $status in
    0 | 77) ;;
    *) failed=1 && tail -n 20 "${test##*/}.log" ;;
    esac
done
exit $failed
