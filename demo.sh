#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs packages, builds, and runs a real Windows program under stock Wine and
# under the shim in turn: first what it answers, then what it costs.
set -eu
cd "$(dirname "$0")"
. tests/build.sh
export WW_BUILDDIR=build
. tests/system/wine/env.sh

say "== a Wine prefix for the demo (build/tests/system/wine/prefix)"
make_prefix
say "== what this machine can do"
"$build/writewatch" probe || {
    say "This kernel cannot track writes as needed: Wine programs would run as without the shim."
    exit 1
}
say
say "== watch.exe writes to pages 1, 5 and 9 of watched memory, resets, and writes to page 2"
say "under stock $(wine --version):"
stock 60 "$pe/watch.exe" | sed 's/^/    /'
say "under writewatch run -- wine watch.exe:"
shim 60 "$pe/watch.exe" | sed 's/^/    /'
"$build/writewatch" run --verbose -- wine "$pe/watch.exe" 2>&1 >/dev/null | grep -m 1 '^writewatch' | sed 's/^/    /'
say
say "== bench.exe, stock and shim in turn (about half a minute)"
make -s -C build tests/bench/native
WW_WINES=host sh tests/bench/wine.sh --only-commands --rounds=3 --limit=10 --workload=first_write --workload=dense_medium \
    --workload=cycle --workload=isolated --workload=sparse >build/demo.lines ||
    say "Not everything went well; what follows is the rest."
say
awk -f tests/bench/table.awk build/demo.lines
say
grep '^note' build/demo.lines || true
say "Medians; every answer was checked. All figures: build/demo.lines."
