#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# wine.sh [ROUNDS [SCENARIO...]]: bench.exe under stock Wine and under the shim
# in turn, in one run. Prints a line per figure,
#   bench wine=8.0 mode=stock|shim scenario=64m op=get_reset pages=16384 n=9 min_us= median_us= max_us=
# a line per pair, `ratio scenario=64m op=get_reset shim/stock=0.48`, and
# `... hangs after_s=` where a run did not end. Progress goes to stderr.
. "$(dirname "$0")/../wine/env.sh"
rounds=${1:-3}
[ $# -lt 1 ] || shift
scenarios=${*:-64m 64m10 1g2 256g}
need_program bench.exe
need_kernel
make_prefix
version=$(wine --version | sed 's/^wine-//; s/ .*//')
samples=$build/tests/bench/wine.samples
hang_after=${WW_HANG_AFTER:-15}
mkdir -p "$build/tests/bench"
: >"$samples"

# run MODE SCENARIO: one process, its samples noted. A hang is noted too, and not tried again.
run() {
    ! grep -q "^$1 $2 hang" "$samples" || return 0
    echo "  $2 under $1" >&2
    limit=120
    [ "$1/$2" != stock/1g2 ] || limit=$hang_after
    "$1" $limit "$pe/bench.exe" "$2" 2 >"$build/tests/bench/wine.out"
    case $? in
    0) ;;
    124 | 137)
        echo "$1 $2 hang $limit" >>"$samples"
        echo "    hangs (stopped after $limit s)" >&2
        ;;
    *) grep '^check' "$build/tests/bench/wine.out" >&2 ;;
    esac
    sed -n "s/^sample scenario=\([^ ]*\) round=.* op=\([^ ]*\) us=\(.*\)/$1 \1 \2 \3/p" \
        "$build/tests/bench/wine.out" >>"$samples"
}

# Page tables of a process that has reserved 256 GB, in kB.
page_tables() {
    "$1" 30 "$pe/bench.exe" reserve >"$build/tests/bench/wine.out" &
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        sleep 0.2
        ! grep -q reserved "$build/tests/bench/wine.out" || break
    done
    for status in /proc/[0-9]*/status; do
        if grep -qs '^Name:.bench.exe' "$status"; then
            echo "$1 256g page_tables_kb $(awk '/^VmPTE/ { print $2 }' "$status")" >>"$samples"
        fi
    done
    wait
}

round=0
while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    echo "round $round of $rounds" >&2
    for scenario in $scenarios; do
        run stock "$scenario"
        run shim "$scenario"
        if [ "$scenario" = 256g ]; then
            page_tables stock
            page_tables shim
        fi
    done
done
wineserver -k

awk -v version="$version" -f "$(dirname "$0")/summary.awk" "$samples"
