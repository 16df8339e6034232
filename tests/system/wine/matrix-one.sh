#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# matrix-one.sh NAME PE-FOLDER: makes one row of the matrix, inside its root: builds
# there, takes the Windows programs from the build outside, and runs the conformance
# program, the differential program and Wine's own tests, under stock Wine and the shim;
# and under the shim the soak test, and the differential program while system calls fail.
# Ends with a line `row | ...` for the table, and exit code 1 if anything failed under the shim.
# With WW_BUILT=1 the build is there already.
set -u
name=$1 outside_pe=$2
outside=$(cd "$WW_BUILDDIR" && pwd)
top=$(pwd)
export WW_BUILDDIR="$outside/matrix/$name"
seeds=${WW_SEEDS:-20} operations=${WW_OPERATIONS:-50000} soak_seconds=${WW_SOAK_SECONDS:-60}

mkdir -p "$WW_BUILDDIR/tests/pe" "$WW_BUILDDIR/tests/system/winetest"
[ "${WW_BUILT:-}" = 1 ] || (
    cd "$WW_BUILDDIR" || exit 1
    [ -f Makefile ] || "$top/configure" -q || exit 1
    make -j"$(nproc)" && make tests/stress/faults/libwritewatch-ntdll.so
) >"$WW_BUILDDIR/matrix.log" 2>&1 || {
    tail -n 20 "$WW_BUILDDIR/matrix.log"
    exit 1
}
cp "$outside_pe"/*.exe "$WW_BUILDDIR/tests/pe/"
cp -r "$outside/tests/system/winetest/." "$WW_BUILDDIR/tests/system/winetest/" 2>/dev/null

. tests/system/wine/env.sh
make_prefix
failed=0

# fails PART [FILE]: prints which part failed, and the end of its output.
fails() {
    failed=1
    echo "$name: $1 failed"
    [ $# = 1 ] || tail -n 20 "$2"
}

version=$(wine --version 2>/dev/null | sed 's/^wine-//; s/ .*//')
attached=$(shim_says wine "$pe/watch.exe" | sed -n 's/.*(\(.*\) calls, backend \(.*\))/\1, \2/p' | head -n 1)
[ -n "$attached" ] || fails "attaching"

# conformance stock|shim MODE: prints how many tests ran, are todo and failed; keeps the log.
conformance() {
    "$1" 300 "$pe/conformance.exe" "$2" >"$WW_BUILDDIR/conformance.$1"
    sed -n 's/^conformance: \([0-9]*\) tests executed (\([0-9]*\) marked as todo, \([0-9]*\) failures).*/\1 run, \2 todo, \3 failed/p' \
        "$WW_BUILDDIR/conformance.$1"
}
echo "$name: conformance" >&2
stock_answers=$(conformance stock permissive)
conformance shim strict >"$WW_BUILDDIR/shim.answers"
shim_answers=$(cat "$WW_BUILDDIR/shim.answers")
# A program that this Wine cannot start prints nothing, stock or shimmed.
case $shim_answers in
*" 0 failed") ;;
"") [ -z "$stock_answers" ] || fails "starting the conformance program" ;;
*) fails conformance "$WW_BUILDDIR/conformance.shim" ;;
esac

# differential stock|shim LEVELS SEEDS: prints how many operations gave no mismatch.
differential() {
    done_seeds=0
    for seed in $(seq 1 "$3"); do
        if "$1" 300 "$pe/differential.exe" "$seed" "$operations" "$2" >"$WW_BUILDDIR/differential.$1"; then
            done_seeds=$((done_seeds + 1))
        else
            cp "$WW_BUILDDIR/differential.$1" "$WW_BUILDDIR/differential.$1.seed$seed"
        fi
    done
    echo "$((done_seeds * operations)) in $done_seeds/$3 seeds"
}
echo "$name: random operations" >&2
shim_random=$(differential shim two "$seeds")
case $shim_random in *" $seeds/$seeds seeds") ;; *) fails "a random operation" "$WW_BUILDDIR/differential.shim" ;; esac
stock_random=$(differential stock one 2)
echo "$name: Wine's own tests" >&2
# Wine's own tests (of its newest source here): failures of stock / shim for each dll.
sh tests/system/winetest/winetest.sh run >"$WW_BUILDDIR/winetest.out" 2>&1
case $? in
0 | 77) ;;
*) fails "one of Wine's own tests" "$WW_BUILDDIR/winetest.out" ;;
esac
case $outside_pe in
*/i686) programs=i686 soak=$outside/tests/stress/soak/i686/soak.exe ;;
*) programs=x86_64 soak=$outside/tests/stress/soak/soak.exe ;;
esac
own_tests=$(awk -v programs=$programs '$2 == programs && $3 == "10.0" && $4 != "-" { printf "%s%s: %s, %s/%s failed", sep, $1, $4, $13, $15; sep = "; " }' \
    "$WW_BUILDDIR/winetest.out")
echo "$name: races" >&2
# Exit code 4: pages were reported again, as happens to those that the kernel moves (tests/stress/soak/soak.sh
# compares).
MALLOC_ARENA_MAX=1 shim $((soak_seconds + 200)) "$soak" --seconds="$soak_seconds" --seed=1 \
    --limit=$((60 * ${WW_SLOWER:-1})) >"$WW_BUILDDIR/soak.out"
case $? in
0 | 4) ;;
*) fails "the program of the races" "$WW_BUILDDIR/soak.out" ;;
esac
races=$(sed -n 's/^soak: seconds=.* operations=\([0-9]*\) .*\(lost=[0-9]*\) .*\(deadlocks=[0-9]*\).*/\1 operations, \2 \3/p' "$WW_BUILDDIR/soak.out" | tail -n 1)
[ -n "$races" ] || fails "counting the races"
echo "$name: system calls that fail" >&2
# In a shell of its own, because the script has variables of the same names, and with its own seeds and operations.
faults=$(env -u WW_SEEDS -u WW_OPERATIONS sh tests/system/wine/test-faults.sh) || {
    fails "the program with faults"
    echo "$faults"
}
faults=$(echo "$faults" | tail -n 1)
wineserver -k
echo "row | $version | $name | $(uname -r) | $attached | ${stock_answers:-does not start} | ${shim_answers:-does not start} | $shim_random | $stock_random | ${own_tests:-not run} | ${races:-failed} | $faults |"
exit $failed
