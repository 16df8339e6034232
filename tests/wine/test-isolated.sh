#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# 1 GB, every other page written: 131,072 isolated dirty pages, where mprotect
# emulation runs out of mappings and hangs. Right answers, in under 10 seconds;
# and a sparse reservation of 256 GB.
. "$(dirname "$0")/env.sh"
need_program bench.exe
need_kernel
make_prefix
for scenario in 1g2 256g; do
    start=$(date +%s)
    shim 60 "$pe/bench.exe" $scenario 1
    status=$?
    took=$(($(date +%s) - start))
    [ $status = 77 ] && skip "no room for $scenario"
    [ $status = 0 ] || exit 1
    [ $scenario != 1g2 ] || [ $took -lt 10 ] || {
        echo "$scenario took $took s"
        exit 1
    }
done
