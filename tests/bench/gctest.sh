#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# gctest.sh [ROUNDS]: measures the test program of Boehm's collector, from Debian's
# source package libgc, as a Windows program in incremental mode, in which the collector
# finds pages to scan again by GetWriteWatch: under stock Wine and the shim in turn.
# Prints the time of the whole program, and of its collections as it counts them. The
# source is unpacked under $XDG_CACHE_HOME or /var/tmp; apt checks it against Debian's
# keys. Exit code 77 with a reason where something is missing.
. "$(dirname "$0")/../system/wine/env.sh"
rounds=${1:-5}
cache=${XDG_CACHE_HOME:-/var/tmp}/writewatch/gctest
program=$cache/gctest.exe
samples=$build/tests/bench/gctest.samples
need_kernel

fetch() {
    mkdir -p "$cache/lists/partial"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main" \
        >"$cache/sources.list"
    set -- -qq -o Dir::Etc::sourcelist="$cache/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$cache/lists"
    (
        cd "$cache" && apt-get "$@" update && apt-get "$@" source --download-only libgc &&
            mkdir -p source && tar xf libgc_*.orig.tar.* -C source --strip-components=1
    ) >"$cache/log" 2>&1 || skip "the source of libgc cannot be had ($(tail -n 1 "$cache/log"))"
}

if [ ! -f "$program" ]; then
    command -v x86_64-w64-mingw32-gcc >/dev/null || skip "mingw-w64 is missing"
    fetch
    x86_64-w64-mingw32-gcc -O2 -w -static -DNDEBUG -DGC_THREADS -DTHREAD_LOCAL_ALLOC -DGC_BUILTIN_ATOMIC \
        -I"$cache/source/include" "$cache/source/extra/gc.c" "$cache/source/tests/test.c" -o "$program.new" \
        >>"$cache/log" 2>&1 || skip "libgc cannot be built, see $cache/log"
    mv "$program.new" "$program"
fi
make_prefix
mkdir -p "$build/tests/bench"
: >"$samples"

# run MODE: runs the program, which logs whether it used GetWriteWatch and how long it collected.
run() {
    rm -f "$cache/gctest.gc.log"
    began=$(date +%s%N)
    "$1" 300 "$program" >/dev/null || {
        echo "gctest failed under $1" >&2
        exit 1
    }
    us=$((($(date +%s%N) - began) / 1000))
    for line in 'Using GetWriteWatch-based implementation' 'Collector appears to work'; do
        grep -q "^$line" "$cache/gctest.gc.log" || {
            echo "gctest under $1 does not say: $line" >&2
            exit 1
        }
    done
    echo "$1 whole $us" >>"$samples"
    sed -n "s/^Completed .* collections in \([0-9]*\) ms.*/$1 collections \1000/p" "$cache/gctest.gc.log" >>"$samples"
}

round=0
while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    echo "round $round of $rounds: gctest" >&2
    run stock
    run shim
done
wineserver -k

# Prints lines like those of tests/bench/native: minimum, median, maximum, and the median ratio of a round.
sort -k 2,2 -k 1,1 -k 3,3n "$samples" | awk -v version="$(wine --version | sed 's/^wine-//; s/ .*//')" -v kernel="$(uname -r)" '
    function flush() {
        if (n) {
            printf "bench workload=gctest_%s peer=wine-%s%s kernel=%s n=%d min_us=%d median_us=%d max_us=%d\n", what, version,
                mode == "shim" ? "-shim" : "", kernel, n, v[1], (v[int((n + 1) / 2)] + v[int(n / 2) + 1]) / 2, v[n]
        }
        n = 0
    }
    $1 != mode || $2 != what { flush(); mode = $1; what = $2 }
    { v[++n] = $3 }
    END { flush() }'
for what in whole collections; do
    sed -n "s/^stock $what //p" "$samples" >"$samples.stock"
    sed -n "s/^shim $what //p" "$samples" | paste - "$samples.stock" | awk '{ print $1 / $2 }' | sort -n |
        awk -v what=$what '{ v[NR] = $1 } END { if (NR) printf "ratio workload=gctest_%s shim/stock median=%.3f min=%.3f max=%.3f n=%d\n", what,
            (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[1], v[NR], NR }'
done
rm -f "$samples.stock"
