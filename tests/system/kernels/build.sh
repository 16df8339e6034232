#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# build.sh ARCH: builds the test programs for ARCH (amd64 or i386), statically linked, in
# $WW_BUILDDIR/kernels/ARCH, by this tree's Makefile in a build folder of their own. For
# i386 this machine's gcc takes headers and libraries from a Debian of that architecture
# that is unpacked and never run, so this kernel need not run 32-bit programs. Exit code
# 77 with a reason where that is not possible.
set -u
arch=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
outside=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
build=$outside/kernels/$arch
. "$here/../debian/debian.sh"
. "$here/../i386/setup.sh"

amd64_configure() {
    [ -f config.status ] || "$top/configure" -q "$@"
}

build_here() {
    cd "$build" || exit 1
    "${arch}_configure" --disable-shared --enable-static || exit 1
    # -all-static is libtool's option for a program without any shared library. The compiler does not take
    # it, so configure must not see it, neither above nor when make runs it again: hence `make Makefile` first.
    make Makefile && make -j2 LDFLAGS=-all-static kernel-programs
}

mkdir -p "$build"
exec 9>"$build.lock"
flock 9
[ "$arch" = amd64 ] || i386_from_unpacked "$build/try" "$build.log" -static
(build_here) >"$build.log" 2>&1 || {
    tail -n 20 "$build.log" >&2
    echo "build.sh: the static programs for $arch cannot be built, see $build.log" >&2
    exit 1
}
