#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# build.sh ARCH: the test programs for ARCH (amd64 or i386), statically linked, in
# $WW_BUILDDIR/kernels/ARCH. They are this tree's own programs, made by its own
# Makefile in a build folder of their own; i386 is built in a Debian of that
# architecture (tests/wine/root.sh). Exit code 77 with a reason where that cannot be.
set -u
arch=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
outside=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
build=$outside/kernels/$arch

build_here() {
    mkdir -p "$build" && cd "$build" || exit 1
    [ -f config.status ] || "$top/configure" -q --disable-shared --enable-static || exit 1
    # -all-static is libtool's word for a program without any shared library. The compiler alone does not
    # take it, so configure must not see it, neither above nor when make finds that it has to run again.
    make Makefile && make -j2 LDFLAGS=-all-static kernel-programs
}

if [ "$arch" = amd64 ] || [ "${WW_KERNEL_INSIDE:-}" = 1 ]; then
    mkdir -p "$build"
    exec 9>"$build.lock"
    flock 9
    (build_here) >"$build.log" 2>&1 || {
        tail -n 20 "$build.log" >&2
        echo "build.sh: the static programs for $arch cannot be built, see $build.log" >&2
        exit 1
    }
    exit 0
fi
WW_BUILDDIR=$outside sh "$top/tests/wine/root.sh" bookworm "$arch" \
    env WW_KERNEL_INSIDE=1 sh tests/kernels/build.sh "$arch"
