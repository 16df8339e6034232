#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A Windows program must run natively over each backend, by a loader that binds its
# imports; and the loader must refuse programs that it cannot run, with a message.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)/tests/system/loader
loader=$build/loader
guest=$build/guest.exe
out=$build/loader.out
bad=$build/bad.exe
unset WW_BACKEND WW_DEBUG
failed=0

skip() {
    echo "skipped: $*"
    exit 77
}

fail() {
    echo "FAILED: $*"
    failed=1
}

[ -f "$guest" ] || skip "guest.exe was not built: mingw-w64 is missing"

# ---- it runs ----

ran=0
for backend in uffd mprotect; do
    WW_BACKEND=$backend "$loader" "$guest" >"$out" 2>&1
    case $? in
    0) ran=1 ;;
    77) echo "backend $backend: $(cat "$out")" ;;
    *) fail "backend $backend: $(cat "$out")" ;;
    esac
done
[ $ran = 1 ] || [ $failed = 1 ] || skip "$(cat "$out")"

# ---- it refuses ----

# refused FILE MESSAGE
refused() {
    "$loader" "$1" >"$out" 2>&1
    status=$?
    [ $status = 125 ] || fail "$1: exit code $status, not refused"
    grep -q "$2" "$out" || fail "$1: no message like '$2': $(cat "$out")"
}

# patched OFFSET OCTAL MESSAGE: a copy of the guest with one byte replaced.
patched() {
    cp "$guest" "$bad"
    printf "\\$2" | dd of="$bad" bs=1 seek="$1" conv=notrunc 2>/dev/null
    refused "$bad" "$3"
}

# cut BYTES MESSAGE: the beginning of the guest.
cut_off() {
    dd if="$guest" of="$bad" bs=1 count="$1" 2>/dev/null
    refused "$bad" "$2"
}

pe=$(od -An -tu4 -j60 -N4 "$guest" | tr -d ' ')
refused "$build/no-such-file" 'cannot be read'
refused "$0" 'not a Windows program'
refused /dev/null 'not a Windows program'
refused "$build/other.exe" 'imports GetCurrentProcessId of KERNEL32.dll, which is not here'
cut_off 1 'not a Windows program'
cut_off 40 'truncated: no PE header'
cut_off $((pe + 20)) 'truncated: no PE header'
cut_off $((pe + 40)) 'truncated: no optional header'
cut_off $((pe + 300)) 'truncated: the headers'
cut_off 1100 'truncated: section'
patched 0 000 'not a Windows program'
patched "$pe" 000 'not a PE file'
patched $((pe + 4)) 114 'for machine 0x864c'
patched $((pe + 23)) 040 'not an executable'
patched $((pe + 24)) 000 'not a PE32+'
patched $((pe + 59)) 377 'the program takes\|sections are aligned'
patched $((pe + 83)) 377 'the program takes'
patched $((pe + 24 + 112 + 9 * 8 + 1)) 020 'needs thread-local storage'
patched $((pe + 24 + 112 + 8 + 2)) 001 'import'
patched $((pe + 24 + 112 + 5 * 8 + 2)) 001 'relocations'

# ---- it does not crash ----

"$build/damage" "$guest" >"$out" 2>&1 || fail "damaged programs: $(cat "$out")"
cat "$out"
rm -f "$bad" "$out"
exit $failed
