#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh NAME...: runs the harnesses for FUZZ_SECONDS each, two at a time, from the
# committed corpus. New inputs go to fuzz/new/NAME, inputs that fail to
# fuzz/found/NAME-*, both in the build folder. Prints one line each.
# tests/stress/fuzz/run.sh merge NAME...: condenses new inputs into the committed corpus.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
corpus=$(cd "$(dirname "$0")" && pwd)/corpus
seconds=${FUZZ_SECONDS:-600}
# The harnesses have SIGSEGV handlers of their own.
export ASAN_OPTIONS="allow_user_segv_handler=1:$ASAN_OPTIONS"
# The caller's environment must not choose a backend or a source.
unset WW_BACKEND WW_PAGEMAP WW_DEBUG

one() {
    log=$build/fuzz/$1.log
    began=$(date +%s)
    mkdir -p "$build/fuzz/new/$1" "$build/fuzz/found"
    timeout $((seconds + 300)) "$build/fuzz/$1" -max_total_time="$seconds" -timeout=30 -max_len=2048 -len_control=0 -rss_limit_mb=1500 \
        -print_final_stats=1 -artifact_prefix="$build/fuzz/found/$1-" \
        "$build/fuzz/new/$1" "$corpus/$1" >"$log" 2>&1
    status=$?
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    took=$(($(date +%s) - began))
    features=$(sed -n 's/.* ft: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    findings=0
    [ $status = 0 ] || findings=1
    echo "$1: seconds $took executions ${executions:-?} features ${features:-0} findings $findings"
    [ $status = 0 ] && return
    grep -m 1 -E 'not so:|runtime error:|ERROR: (Address|Leak|lib)' "$log"
    echo "$1: exit code $status, the log is in $log; inputs:" "$build/fuzz/found/$1-"*
    return 1
}

merge() {
    small=$build/fuzz/small
    rm -rf "$small" && mkdir -p "$small"
    # Inputs with a name stay; the others, which are named by their hash, are selected anew.
    find "$corpus/$1" -type f ! -name '????????????????????????????????????????' -exec cp {} "$small" \;
    mkdir -p "$corpus/$1" "$build/fuzz/new/$1"
    "$build/fuzz/$1" -set_cover_merge=1 -max_len=1024 "$small" "$corpus/$1" "$build/fuzz/new/$1" >"$build/fuzz/$1.merge.log" 2>&1 || return
    # No more than 60, and 100 kB, so that `make check` stays quick and the archive small.
    rest=$((60 - $(ls "$small" | grep -vcE '^[0-9a-f]{40}$')))
    ls -S "$small" | grep -E '^[0-9a-f]{40}$' | sed "1,${rest}d" | (cd "$small" && xargs -r rm --)
    while [ "$(cat "$small"/* | wc -c)" -gt 100000 ]; do
        rm "$small/$(ls -S "$small" | grep -E '^[0-9a-f]{40}$' | head -n 1)"
    done
    rm -rf "${corpus:?}/$1" && mv "$small" "$corpus/$1"
    echo "$1: $(ls "$corpus/$1" | wc -l) files, $(cat "$corpus/$1"/* | wc -c) bytes"
}

if [ "$1" = merge ]; then
    shift
    for name; do merge "$name" || exit; done
    exit
fi
mkdir -p "$build/fuzz"
rm -f "$build/fuzz/failed"
while [ $# -gt 0 ]; do
    (one "$1" || : >"$build/fuzz/failed") &
    first=$!
    second=
    if [ $# -gt 1 ]; then
        (one "$2" || : >"$build/fuzz/failed") &
        second=$!
        shift
    fi
    shift
    wait $first $second
done
[ ! -e "$build/fuzz/failed" ]
