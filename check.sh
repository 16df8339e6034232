#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs packages, builds in build/, runs all the tests, and counts them.
set -eu
cd "$(dirname "$0")"
. tests/build.sh

say "== make check"
status=0
make -C build -j"$(nproc)" check >>$log 2>&1 || status=$?
grep -E '^(PASS|FAIL|SKIP|XFAIL|XPASS|ERROR): ' $log || true
for test in $(sed -n 's/^\(FAIL\|ERROR\): //p' $log); do
    say "== $test"
    tail -n 40 "build/${test%.sh}.log"
done
for test in $(sed -n 's/^SKIP: //p' $log); do
    say "$test: $(grep -m 1 -i skip "build/${test%.sh}.log")"
done
count() { grep -cE "^($1): " $log || true; }
failed=$(count 'FAIL|XPASS|ERROR')
if [ $status != 0 ] && [ "$failed" = 0 ]; then
    tail -n 30 $log
    failed=1
fi
say "$(count 'PASS|XFAIL') passed, $failed failed, $(count SKIP) skipped"
exit $status
