#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the unit tests for i386, in a build folder of their own, and runs them. Where this kernel runs no 32-bit
# programs it only builds them: a user-mode emulator has neither userfaultfd nor the signals of a fault.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
top=$(cd "$(dirname "$0")/../../.." && pwd)
here=$build/i386
. "$top/tests/system/i386/setup.sh"
failed=0
unset WW_BACKEND WW_DEBUG WW_DISABLE MAKEFLAGS MFLAGS MAKELEVEL

skip() {
    echo "skipped: $*"
    exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "this is no x86_64"
mkdir -p "$here" && cd "$here" || exit 99
i386_from installed
i386_makes try -lcheck -lsubunit -lrt -lm -lpthread 2>try.err <<'END' &&
#include <check.h>
#include <ffi.h>
int main(void)
{
    return !suite_create("try");
}
END
    [ -f "$($i386_cc -print-file-name=libffi_pic.a)" ] ||
    skip "no programs for i386 can be made here (Debian: gcc-NN-multilib, check:i386, libffi-dev:i386)"
i386_configure >configure.log 2>&1 || {
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
