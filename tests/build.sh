# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by demo.sh and check.sh in the top folder: packages, configure, make.
# Everything they make lies in build/.
set -eu
log=build/build.log

say() { printf '%s\n' "$*"; }

step() {
    say "== $1"
    shift
    "$@" >>$log 2>&1 || {
        tail -n 30 $log
        say "failed; the whole log is in $log" >&2
        exit 1
    }
}

configure_build() { (cd build && ../configure -q); }

mkdir -p build
: >$log
./packages.sh
[ -x configure ] || step "autoreconf" autoreconf -fi
[ -f build/Makefile ] || step "configure" configure_build
step "make" make -C build -j"$(nproc)"
