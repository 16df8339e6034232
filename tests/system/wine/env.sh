# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by everything that runs Wine: makes a prefix of the tests' own, and runs
# Windows programs under stock Wine or with the shim.
#
# WW_BUILDDIR is the build folder (default: build); a prefix in it is used again. WW_SLOWER=10 makes all time limits
# ten times as long.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
pe=$build/tests/pe
export WINEPREFIX="$build/tests/system/wine/prefix"
export WINEDEBUG=-all
export WINEDLLOVERRIDES="winemenubuilder.exe,mscoree,mshtml="
unset WW_BACKEND WW_DEBUG WW_DISABLE DISPLAY

skip() {
    echo "skipped: $*"
    exit 77
}

# Creates the prefix once, also when tests run at the same time.
make_prefix() {
    command -v wine >/dev/null || skip "wine is not installed"
    mkdir -p "$build/tests/system/wine"
    exec 9>"$build/tests/system/wine/prefix.lock"
    flock 9
    if [ ! -f "$WINEPREFIX/system.reg" ]; then
        timeout $((300 * ${WW_SLOWER:-1})) wineboot -i >/dev/null 2>&1 9>&-
        timeout 60 wineserver -w 9>&-
    fi
    flock -u 9
    exec 9>&-
}

need_program() {
    [ -f "$pe/$1" ] || skip "$1 was not built: mingw-w64 is missing"
}

# stock SECONDS PROGRAM ARG..., shim SECONDS PROGRAM ARG...: runs a program, with exit code 124 if it hangs.
stock() {
    seconds=$(($1 * ${WW_SLOWER:-1}))
    shift
    timeout -k 5 "$seconds" wine "$@" 2>/dev/null
}

shim() {
    seconds=$(($1 * ${WW_SLOWER:-1}))
    shift
    timeout -k 5 "$seconds" "$build/writewatch" run -- wine "$@" 2>/dev/null
}

# shim_says COMMAND...: prints the shim's messages when it runs the command.
shim_says() {
    "$build/writewatch" run --verbose "$@" 2>&1 >/dev/null | grep '^writewatch:' | sort -u
}

# Exits with "skipped" where the kernel cannot track writes.
need_kernel() {
    "$build/writewatch" probe >/dev/null || skip "userfaultfd write tracking does not work here"
}

# keep_wine, let_wine_go: in between a stock process keeps Wine's server and services running, so that programs
# start none of their own and meet none that is about to end.
keep_wine() {
    rm -f "$build/tests/system/wine/keep"
    mkfifo "$build/tests/system/wine/keep"
    timeout -k 5 500 wine cmd.exe <"$build/tests/system/wine/keep" >/dev/null 2>&1 &
    exec 8>"$build/tests/system/wine/keep"
    rm -f "$build/tests/system/wine/keep"
    trap let_wine_go EXIT
    timeout -k 5 100 wine cmd.exe /c exit >/dev/null 2>&1 8>&-
}

let_wine_go() {
    exec 8>&-
    wait
}
