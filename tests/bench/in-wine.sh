#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# in-wine.sh prepare NAME: makes ready to run bench.exe here, or inside a root of
# tests/wine/root.sh, where the shim has to be built first; prints Wine's version.
# in-wine.sh stock|shim NAME WORKLOAD SEED full|quick: becomes bench.exe (tests/bench/command.c
# needs its process). in-wine.sh end NAME. NAME is `host`, a root's, or `named`, for the Wine that
# WINE11 names. Exit code 77 with a reason where there is no such Wine.
. "$(dirname "$0")/../wine/env.sh"
action=$1 name=$2
shift 2
wine=wine
case $name in
host) ;;
named)
    wine=$WINE11
    export WINESERVER="${wine%/*}/wineserver"
    WINEPREFIX=$build/tests/wine/prefix-named
    ;;
*)
    top=$(pwd)
    build=$build/matrix/$name
    WINEPREFIX=$build/tests/wine/prefix
    ;;
esac
server=${WINESERVER:-wineserver}

# The programs of another system's build do not run with this one's libraries.
build_inside() {
    mkdir -p "$build/tests/wine"
    (
        cd "$build" || exit 1
        [ -f Makefile ] || "$top/configure" -q || exit 1
        make -j2 writewatch libwritewatch-ntdll.la
    ) >"$build/bench.log" 2>&1 || {
        tail -n 3 "$build/bench.log"
        skip "the shim cannot be built in $name"
    }
}

case $action in
prepare)
    [ "$name" = host ] || [ "$name" = named ] || build_inside
    command -v "$wine" >/dev/null || skip "wine is not installed"
    if [ ! -f "$WINEPREFIX/system.reg" ]; then
        mkdir -p "${WINEPREFIX%/*}"
        timeout 300 "$wine" wineboot -i >/dev/null 2>&1
    fi
    # It stays, or every program would start the services anew.
    "$server" -p >/dev/null 2>&1
    timeout 100 "$wine" wineboot >/dev/null 2>&1
    "$wine" --version | sed 's/^wine-//; s/ .*//'
    ;;
stock) exec "$wine" "$pe/bench.exe" "$@" ;;
shim) exec "$build/writewatch" run -- "$wine" "$pe/bench.exe" "$@" ;;
end) "$server" -k ;;
esac
