#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs test-faults over many more calls, and prints what failed: a line for each backend, call and error with how often
# it failed, and one for the random operations of each backend. Ends with the exit code of test-faults.
program=${WW_BUILDDIR:-build}/tests/stress/faults/test-faults
out=$(mktemp)
trap 'rm -f "$out"' EXIT
WW_TEST_FAULTS=${WW_TEST_FAULTS:-all} WW_TEST_REPORT=1 "$program" >"$out" 2>&1
status=$?
grep -E '^[0-9]+%|:[FE]:' "$out"
awk '$1 == "fault" { met[$2 " " $3 " " $4] += $5; nr += $5 }
    $1 == "random" { steps[$2] += $3; hits[$2] += $4; failed[$2] += $5 }
    END {
        for (i in met) print "met: " i " " met[i] | "sort"
        close("sort")
        for (i in steps) print "random: " i ", " steps[i] " operations, " hits[i] " system calls and " failed[i] " calls of the library failed" | "sort"
        close("sort")
        print "in all: " nr " failures"
    }' "$out"
exit $status
