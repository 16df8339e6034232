#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# 1 GB, every other page written: 131,072 isolated dirty pages, with which a write watch
# by mprotect runs out of mappings and hangs. The answers must be right, and writes and
# gets take less than 10 seconds by the program's own clock. And a sparse reservation of
# 256 GB.
. "$(dirname "$0")/env.sh"
need_program bench.exe
need_kernel
make_prefix
for workload in isolated sparse; do
    samples=$(echo 0 | shim 60 "$pe/bench.exe" $workload 1)
    status=$?
    echo "$samples"
    [ $status = 77 ] && skip "no room for $workload"
    [ $status = 0 ] || exit 1
    [ $workload != isolated ] ||
        echo "$samples" | awk '$1 == "sample" && $3 == "us" { nr++; us += $NF }
            END { printf "isolated took %.1f s in %d samples\n", us / 1e6, nr; exit !nr || us >= 10e6 }' || exit 1
done
