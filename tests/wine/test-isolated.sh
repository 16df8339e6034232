#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# 1 GB, every other page written: 131,072 isolated dirty pages, where mprotect
# emulation runs out of mappings and hangs. Right answers, in under 10 seconds;
# and a sparse reservation of 256 GB.
. "$(dirname "$0")/env.sh"
need_program bench.exe
need_kernel
make_prefix
for workload in isolated sparse; do
    start=$(date +%s)
    echo 0 | shim 60 "$pe/bench.exe" $workload 1
    status=$?
    took=$(($(date +%s) - start))
    [ $status = 77 ] && skip "no room for $workload"
    [ $status = 0 ] || exit 1
    [ $workload != isolated ] || [ $took -lt 10 ] || {
        echo "$workload took $took s"
        exit 1
    }
done
