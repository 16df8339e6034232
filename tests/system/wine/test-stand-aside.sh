#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Real Wine with one thing in ntdll.so that the preload does not expect
# (tests/system/wine/vandal.c): the preload must change nothing in it and say why in one
# line, and the program must run as it does without the preload.
. "$(dirname "$0")/env.sh"
need_program watch.exe
make_prefix
need_kernel
keep_wine
preload=$build/.libs/libwritewatch-ntdll.so
vandal=$build/tests/system/wine/vandal.so
order=$vandal:$preload
log=$build/tests/system/wine/vandal.log
err=$build/tests/system/wine/vandal.err
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# run DAMAGE [VARIABLE=VALUE...]: runs the program. $out is its output, the file $err has the preload's
# messages, $log what was changed. $loads is how often ntdll.so was opened: more than once by a Wine
# that starts itself anew.
run() {
    damage=$1
    shift
    rm -f "$log"
    out=$(env "$@" VANDAL="$damage" VANDAL_LOG="$log" LD_PRELOAD="$order" \
        timeout -k 5 60 wine "$pe/watch.exe" 2>"$err")
    status=$?
    loads=$(grep -c '^attach:' "$log")
    [ "$loads" -ge 1 ] || fail "$damage: ntdll.so was not seen: $(cat "$err")"
    if [ "$out" != "$expected" ] || [ $status != "$expected_status" ]; then
        fail "$damage: exit code $status instead of $expected_status, and: $out $(cat "$err")"
    fi
}

# expect_lines PATTERN: the preload must have printed exactly one line each time, which matches PATTERN.
expect_lines() {
    lines=$(grep -c '^writewatch:' "$err")
    good=$(grep -c "^writewatch: $1\$" "$err")
    if [ "$lines" != "$loads" ] || [ "$good" != "$loads" ]; then
        fail "$damage: not one line '$1' for each of $loads times, but: $(cat "$err")"
    fi
}

# expect_changes NUMBER: so many words of ntdll.so's data must have changed, each time and at the end.
expect_changes() {
    changed=$(grep -vc ": $1 words changed" "$log")
    ends=$(grep -c '^end:' "$log")
    [ "$changed" = 0 ] && [ "$ends" -ge 1 ] || fail "$damage: not $1 words changed, but: $(cat "$log")"
}

# aside DAMAGE PATTERN
aside() {
    run "$1" WW_DEBUG=1
    expect_lines "staying out: $2"
    expect_changes 0
    echo "$1: $(head -n 1 "$err")"
}

# The hook that was there before the preload must still be called.
expect_hook_called() {
    grep -q '^end: .*hooks called' "$log" || fail "$damage: the hook is not called any more"
}

expected=$(timeout -k 5 60 wine "$pe/watch.exe" 2>/dev/null)
expected_status=$?
[ $expected_status = 0 ] || fail "stock Wine: exit code $expected_status"

# Without damage the preload changes six system calls and four imports, which shows that the comparison works.
run none WW_DEBUG=1
[ -s "$log" ] || skip "this Wine is not 64-bit, as tests/system/wine/vandal.c is"
expect_lines 'attached to .*'
expect_changes 10
file=$(sed -n 's/^writewatch: attached to \(.*\) (.*/\1/p' "$err" | head -n 1)

for call in NtAllocateVirtualMemory NtAllocateVirtualMemoryEx NtFreeVirtualMemory NtProtectVirtualMemory \
    NtGetWriteWatch NtResetWriteWatch; do
    aside "hook:$call" "no system call slot for: $call"
    aside "double:$call" "more than one system call slot for: $call"
    aside "hide-export:$call" "ntdll.so does not export: $call"
done
aside hook-all 'no system call slot for: NtAllocateVirtualMemory'
expect_hook_called
aside zero:NtAllocateVirtualMemoryEx 'no system call slot for: NtAllocateVirtualMemoryEx'
aside empty 'no system call slot for: NtAllocateVirtualMemory'
aside hide-export:__wine_main "this ntdll.so is not Wine's"
for call in NtQueryPerformanceCounter NtCompareObjects NtQueryObject NtQueryInformationProcess NtQueryVirtualMemory; do
    aside "hide-export:$call" "ntdll.so does not export: $call"
done
for call in mmap munmap mprotect madvise; do
    aside "hide-import:$call" "ntdll.so does not import: $call"
    aside "hook-import:$call" "somebody else stands in for the import: $call"
    case $call in mmap | mprotect) expect_hook_called ;; esac
done

# mprotect() fails once for want of mappings, or from then on, so that the preload cannot undo its changes by it.
for nr in 0 1 2 3 4 5; do
    for refuse in refuse-once refuse; do
        aside "$refuse:$nr" 'the system call table cannot be changed: Cannot allocate memory'
    done
done

# After ours in the order, vandal.so does its damage inside our call of the next dlopen(), and compares at the end only.
order=$preload:$vandal
aside hook-all 'no system call slot for: NtAllocateVirtualMemory'
expect_hook_called
aside double:NtFreeVirtualMemory 'more than one system call slot for: NtFreeVirtualMemory'
aside hook-import:mmap 'somebody else stands in for the import: mmap'
order=$vandal:$preload

# Another ntdll.so is mounted in its place, for this program alone, in which an export has another name.
other=$build/tests/system/wine/other-ntdll.so
name=NtGetWriteWatch
LC_ALL=C sed "s/\\x00$name\\x00/\\x00X${name#?}\\x00/" "$file" >"$other"
if cmp -s "$file" "$other"; then
    fail "$file has no name $name"
elif ! unshare -m mount --bind "$other" "$file" 2>/dev/null; then
    echo "not tried: $name missing in the file: no right to mount another in its place"
else
    out=$(WW_DEBUG=1 LD_PRELOAD=$preload timeout -k 5 60 unshare -m sh -c \
        'mount --bind "$1" "$2" && exec wine "$3"' sh "$other" "$file" "$pe/watch.exe" 2>"$err")
    [ $? = "$expected_status" ] && [ "$out" = "$expected" ] || fail "$name missing in the file: $out"
    [ "$(sort -u "$err")" = "writewatch: staying out: ntdll.so does not export: $name" ] ||
        fail "$name missing in the file: $(cat "$err")"
fi
rm -f "$other"

# WW_DISABLE switches the preload off, set by hand or with `writewatch run`; an empty WW_DISABLE does not.
run none WW_DEBUG=1 WW_DISABLE=1
expect_lines 'staying out: WW_DISABLE is set'
expect_changes 0
run none WW_DEBUG=1 WW_DISABLE=
expect_lines 'attached to .*'
out=$(WW_DISABLE=1 timeout -k 5 60 "$build/writewatch" run --verbose wine "$pe/watch.exe" 2>"$err")
[ $? = "$expected_status" ] && [ "$out" = "$expected" ] || fail "run with WW_DISABLE: $out"
grep -q '^writewatch: write watches stay with Wine: WW_DISABLE is set' "$err" || fail "run does not say it: $(cat "$err")"
grep -q '^writewatch: staying out: WW_DISABLE is set$' "$err" || fail "the preload does not say it: $(cat "$err")"

# Without WW_DEBUG the preload prints nothing.
run none WW_DISABLE=1
[ ! -s "$err" ] || fail "with WW_DISABLE, without WW_DEBUG: $(cat "$err")"
expect_changes 0
run double:NtFreeVirtualMemory
[ ! -s "$err" ] || fail "without WW_DEBUG: $(cat "$err")"
expect_changes 0
exit $failed
