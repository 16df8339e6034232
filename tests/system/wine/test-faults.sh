#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Random operations of a Windows program under the shim, while system calls of the shim
# fail (tests/stress/faults): more pages may be reported than were written, but none may
# be missing. WW_SEEDS, WW_OPERATIONS and WW_FAULT (a plan, see inject.h) change the test.
. "$(dirname "$0")/env.sh"
need_program differential.exe
need_kernel
make_prefix
preload=$build/tests/stress/faults/libwritewatch-ntdll.so
operations=${WW_OPERATIONS:-3000} failed=0 faults=0
plans=${WW_FAULT:-all:1/2000 all:1/200 malloc:1/20:ENOMEM mmap:1/10:ENOMEM register:1/20:ENOMEM
    register:1/20:EPERM madvise:1/20:EAGAIN scan:1/50:EPERM scan:1/20:ENOMEM scan:1/20:MIDWAY scan:1/20:SHORT
    scan:1/50:STUCK scan:500+:ENOTTY}
seed=${WW_FIRST_SEED:-1}
for round in $(seq "${WW_SEEDS:-1}"); do
    for plan in $plans; do
        out=$(LD_PRELOAD=$preload WW_FAULT=$plan WW_FAULT_SEED=$seed WW_DEBUG=1 timeout -k 5 $((300 * ${WW_SLOWER:-1})) \
            wine "$pe/differential.exe" $seed "$operations" more 2>"$build/tests/stress/faults/wine.err")
        status=$?
        met=$(sed -n 's/^WW_FAULT: \([0-9]*\) system calls have failed$/\1/p' "$build/tests/stress/faults/wine.err" | tail -n 1)
        echo "$plan, seed $seed: ${met:-0} system calls failed, exit code $status: $(echo "$out" | tail -n 1 | tr -d '\r')"
        if [ $status != 0 ] || ! echo "$out" | grep -q 'ok.\{0,1\}$'; then
            failed=1
            echo "$out" | tail -n 25
            grep -a '^writewatch\|^WW_FAULT' "$build/tests/stress/faults/wine.err" | tail -n 5
        fi
        faults=$((faults + ${met:-0})) seed=$((seed + 1))
    done
done
echo "$faults system calls failed"
[ $faults -gt 0 ] || failed=1
exit $failed
