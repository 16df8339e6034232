#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The preload together with others that replace dlsym(), dlopen() or dlvsym() (overlay.c), before and after it: programs
# that run without it must run with it, the others' dlopen() must be called, and the preload must attach.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
unit=$build/tests/system/preload
preload=$build/.libs/libwritewatch-ntdll.so
overlays="dlsym opener dlopen both dlvsym"
unset WW_BACKEND WW_DEBUG WW_DISABLE
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# run LD_PRELOAD PROGRAM ARG...: runs a program with a time limit; timeout itself must not load the preloads.
run() {
    value=$1
    shift
    timeout -k 1 $limit env LD_PRELOAD="$value" "$@" 2>"$unit/overlays.err" >"$unit/overlays.out"
}

limit=20
# together OVERLAYS: whether they work without ours, in programs that open a library and look its functions up.
together() {
    limit=5
    run "$1" "$unit/runpath-host" && run "$1" "$unit/attach-host-system" "$unit/fake-system/ntdll.so" untouched
    set -- $?
    limit=20
    return $1
} 2>/dev/null

# opens LD_PRELOAD
opens() {
    run "$1" "$unit/runpath-host" || fail "LD_PRELOAD=$1: exit code $?: $(tail -n 3 "$unit/overlays.err")"
    case $1 in
    */overlay-dlopen.so* | */overlay-both.so*)
        grep -q '^overlay: dlopen foreign.so' "$unit/overlays.err" || fail "LD_PRELOAD=$1: no call of the overlay's"
        ;;
    esac
}

works=yes
"$build/writewatch" probe >/dev/null || works=no
# attaches LD_PRELOAD
attaches() {
    if [ $works = no ]; then
        return
    fi
    WW_DEBUG=1 run "$1" "$unit/attach-host-system" "$unit/fake-system/ntdll.so" patched ||
        fail "LD_PRELOAD=$1: attach-host: exit code $?: $(cat "$unit/overlays.out")"
    grep -q '^writewatch: attached' "$unit/overlays.err" ||
        fail "LD_PRELOAD=$1: not attached: $(tail -n 3 "$unit/overlays.err")"
}

# untouched LD_PRELOAD
untouched() {
    run "$1" "$unit/attach-host-system" "$unit/fake-system/ntdll.so" untouched ||
        fail "LD_PRELOAD=$1: attach-host: exit code $?: $(cat "$unit/overlays.out")"
}

[ $works = yes ] || echo "userfaultfd write tracking does not work here: only programs that are not Wine are run"
nr=0
for one in $overlays; do
    a=$unit/overlay-$one.so
    together "$a" || fail "$one alone does not run"
    for value in "$a:$preload" "$preload:$a"; do
        opens "$value"
        attaches "$value"
    done
    for other in $overlays; do
        b=$unit/overlay-$other.so
        if [ $one != $other ] && together "$a:$b"; then
            opens "$a:$preload:$b"
            case $one-$other in
            # The second one's dlsym() looks for what follows the second one, so it gives the first the C library's
            # dlopen(), and ours is not called.
            dlopen-dlsym | dlopen-opener) untouched "$a:$preload:$b" ;;
            *) attaches "$a:$preload:$b" ;;
            esac
            nr=$((nr + 1))
        fi
    done
done
[ $nr -ge 5 ] || fail "only $nr pairs of overlays run together"
echo "each overlay in both orders, and $nr pairs around the preload"

# $ORIGIN in a path must stand for the caller's folder, also if the path ends in the name of Wine's library.
run "$preload" "$unit/runpath-host" '$ORIGIN/fake-notwine/ntdll.so' ||
    fail "a plugin's own ntdll.so: $(cat "$unit/overlays.out")"
exit $failed
