#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# in-wine.sh prepare NAME: prepares to run bench.exe here, or inside a root of
# tests/system/debian/root.sh, where it builds the shim first; prints Wine's version.
# in-wine.sh stock|shim NAME WORKLOAD SEED full|quick: execs bench.exe (tests/bench/command.c
# needs its process). in-wine.sh end NAME: ends Wine's server. NAME is `host`, a root's, or
# `named`, for the Wine that WINE11 names. Exit code 77 with a reason where there is no such Wine.
. "$(dirname "$0")/../system/wine/env.sh"
action=$1 name=$2
shift 2
wine=wine
case $name in
host) ;;
named)
    wine=$WINE11
    export WINESERVER="${wine%/*}/wineserver"
    WINEPREFIX=$build/tests/system/wine/prefix-named
    ;;
*)
    top=$(pwd)
    build=$build/matrix/$name
    WINEPREFIX=$build/tests/system/wine/prefix
    ;;
esac
server=${WINESERVER:-wineserver}

# Builds the shim inside a root, because programs of another system's build do not run with this one's libraries.
build_inside() {
    mkdir -p "$build/tests/system/wine"
    (
        cd "$build" || exit 1
        [ -f Makefile ] || "$top/configure" -q || exit 1
        make -j2 writewatch libwritewatch-ntdll.la
    ) >"$build/bench.log" 2>&1 || {
        tail -n 3 "$build/bench.log"
        skip "the shim cannot be built in $name"
    }
}

# now: prints the time in microseconds.
now() {
    echo $(($(date +%s%N) / 1000))
}

# repeat NAME NUMBER COMMAND...: runs a command NUMBER times and prints the time that one takes.
repeat() {
    figure=$1 nr=$2 i=0
    shift 2
    begin=$(now)
    while [ $i -lt "$nr" ]; do
        "$@" >/dev/null
        i=$((i + 1))
    done
    echo "sample $figure us 0 -1 0 $((($(now) - begin) / nr))"
}

# The workload `startup`, with or without the preload in the environment.
startup() {
    if [ "$1" = full ]; then many=300 few=10; else many=5 few=1; fi
    repeat start_of_a_native_program $many /bin/true
    repeat start_of_a_windows_program $few "$wine" "$pe/watch.exe"
    repeat wineboot 1 "$wine" wineboot -u
}

size=${3:-}
case $action.${1:-} in
stock.startup)
    startup "$size"
    exit
    ;;
shim.startup)
    # Runs this script again as `stock`, with the preload.
    exec "$build/writewatch" run -- sh "$0" stock "$name" "$@"
    ;;
esac
case $action in
prepare)
    [ "$name" = host ] || [ "$name" = named ] || build_inside
    command -v "$wine" >/dev/null || skip "wine is not installed"
    if [ ! -f "$WINEPREFIX/system.reg" ]; then
        mkdir -p "${WINEPREFIX%/*}"
        timeout 300 "$wine" wineboot -i >/dev/null 2>&1
    fi
    # The server is to stay (-p), or every program would start the services anew, and programs that meet a server which
    # is about to end fail.
    "$server" -k >/dev/null 2>&1
    "$server" -w >/dev/null 2>&1
    "$server" -p >/dev/null 2>&1
    timeout 100 "$wine" wineboot >/dev/null 2>&1
    "$wine" --version | sed 's/^wine-//; s/ .*//'
    ;;
stock) exec "$wine" "$pe/bench.exe" "$@" ;;
shim) exec "$build/writewatch" run -- "$wine" "$pe/bench.exe" "$@" ;;
end) "$server" -k ;;
esac
