#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Real Wine with our preload and others, in both orders: another malloc(), a handler of
# SIGSEGV, overlays that replace dlsym() and similar functions. And with a sandbox that
# the program enters when a watch has begun: then more pages may be reported, but none
# may be missing.
. "$(dirname "$0")/env.sh"
need_program watch.exe
need_program conformance.exe
make_prefix
need_kernel
keep_wine
preload=$build/.libs/libwritewatch-ntdll.so
err=$build/tests/system/wine/preloads.err
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# wine_with LD_PRELOAD PROGRAM ARG...
wine_with() {
    value=$1
    shift
    out=$(WW_DEBUG=1 LD_PRELOAD=$value timeout -k 5 100 wine "$@" 2>"$err")
    status=$?
}

# together NAME OBJECT: the program must print the same with both preloads, in both orders, and ours must attach.
together() {
    tried=no
    wine_with "$2" "$pe/watch.exe"
    if [ $status != 0 ] || [ "$out" != "$expected" ]; then
        echo "not tried: Wine itself does not run with $1: exit code $status"
        return
    fi
    for value in "$2:$preload" "$preload:$2"; do
        wine_with "$value" "$pe/watch.exe"
        [ $status = 0 ] && [ "$out" = "$expected" ] || fail "LD_PRELOAD=$value: exit code $status: $out"
        grep -q '^writewatch: attached' "$err" || fail "LD_PRELOAD=$value: not attached: $(cat "$err")"
    done
    echo "$1: both orders"
    tried=yes
}

expected=$(timeout -k 5 60 wine "$pe/watch.exe" 2>/dev/null) || fail "stock Wine"
together handler "$build/tests/system/preload/handler.so"
for overlay in dlsym opener dlopen both dlvsym; do
    together "overlay-$overlay" "$build/tests/system/preload/overlay-$overlay.so"
done
jemalloc=$(ldconfig -p | sed -n 's/.*libjemalloc\.so\.2 .*x86-64.*=> //p' | head -n 1)
if [ -n "$jemalloc" ]; then
    together jemalloc "$jemalloc"
    wine_with "$preload:$jemalloc" "$pe/conformance.exe"
    [ $tried = no ] || { [ $status = 0 ] && echo "$out" | grep -q ' 0 failed\| 0 failures'; } ||
        fail "conformance with jemalloc: exit code $status: $(echo "$out" | tail -n 3)"
else
    echo "not tried: libjemalloc2 is not installed"
fi

# System calls that are denied once the watch has begun must not lose a write.
for sandbox in scan all; do
    out=$(SANDBOX=$sandbox LD_PRELOAD=$build/tests/system/wine/sandbox.so:$preload timeout -k 5 60 wine "$pe/watch.exe" 2>"$err")
    status=$?
    grep -q '^sandbox: closed' "$err" || fail "sandbox $sandbox: it did not close: $(cat "$err")"
    [ $status -le 1 ] || fail "sandbox $sandbox: exit code $status"
    set -- $(echo "$out" | wc -l) "$(echo "$out" | head -n 1) " "$(echo "$out" | tail -n 1) "
    case "$1/$2" in
    2/*' 1 '*' 5 '*' 9 '*) ;;
    *) fail "sandbox $sandbox: pages 1, 5 and 9 were written: $out" ;;
    esac
    case $3 in
    *' 2 '*) ;;
    *) fail "sandbox $sandbox: page 2 was written: $out" ;;
    esac
    echo "sandbox $sandbox: $out"
done
exit $failed
