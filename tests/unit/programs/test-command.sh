#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command: bad input gets one clear line and the documented exit code. Whatever else fails, `run` runs the command
# that it was given.
. "$(dirname "$0")/../../common/expect.sh"
unset WW_BACKEND WW_DEBUG WW_DISABLE LD_PRELOAD

expect 1 'no subcommand' "$ww"
expect 1 "unknown subcommand 'nonsense'" "$ww" nonsense
expect 1 'unknown option' "$ww" --nonsense
expect 0 'usage: writewatch' "$ww" --help
expect 0 '^writewatch [0-9]' "$ww" --version
expect 1 'no command to run' "$ww" run
expect 1 'no command to run' "$ww" run --verbose --
expect 1 "unknown backend 'bogus'; there are: uffd, \(uffd-sync, mprotect\|mprotect, uffd-sync\), none, softdirty" "$ww" run --backend=bogus -- true
expect 1 'unknown option' "$ww" run --nonsense true
expect 127 "cannot run '/no/such/program'" "$ww" run -- /no/such/program
expect 126 "cannot run '/'" "$ww" run -- /
expect 3 '' "$ww" run -- sh -c 'exit 3'
expect 0 '^-x --backend=q$' "$ww" run -- echo -x --backend=q
expect 1 "probe takes no 'that'" "$ww" probe that
expect 1 'cannot write' sh -c "'$ww' probe >/dev/full"
expect 1 'cannot write' sh -c "'$ww' --help >/dev/full"

# `run` keeps what LD_PRELOAD holds, and puts its own library first.
out=$(LD_PRELOAD=$build/tests/system/preload/foreign.so "$ww" run -- sh -c 'echo $LD_PRELOAD')
[ "$out" = "$build/.libs/libwritewatch-ntdll.so:$build/tests/system/preload/foreign.so" ] || {
    echo "FAILED: LD_PRELOAD is $out"
    failed=1
}

if [ -x "$deny" ]; then
    # /dev/userfaultfd is a second way to a userfaultfd.
    every_way=userfaultfd,userfaultfd_ioc_new
    for error in EPERM EACCES EINVAL ENOSYS; do
        expect 77 "uffd  *does not work: userfaultfd(2) fails ($error)" "$deny" $every_way $error "$ww" probe
        expect 0 "stay with Wine: userfaultfd(2) fails ($error)" "$deny" $every_way $error "$ww" run -- true
    done
    expect 77 'does not work: userfaultfd(2) fails (errno 117)' "$deny" $every_way 117 "$ww" probe
    expect 77 '"usable":false' "$deny" $every_way EPERM "$ww" probe --json
    expect 77 'PAGEMAP_SCAN fails (ENOTTY): the kernel has no such request' "$deny" pagemap_scan ENOTTY "$ww" probe
    expect 77 'PAGEMAP_SCAN fails (EPERM): a sandbox denies this request' "$deny" pagemap_scan EPERM "$ww" probe
    # Filters that end programs: they end only the child that tries the call, whatever the subcommand.
    for action in trap kill kill-thread; do
        for call in $every_way uffdio_api pagemap_scan; do
            expect 0 '^ran$' "$deny" $call $action "$ww" run -- echo ran
            expect 0 '^ran$' "$deny" $call $action "$ww" run --backend=uffd -- echo ran
            expect 0 'a seccomp filter ends programs that use ' "$deny" $call $action "$ww" run -- true
            expect 77 'a seccomp filter ends programs that use ' "$deny" $call $action "$ww" probe
            expect 1 'a seccomp filter ends programs that use ' "$deny" $call $action "$ww" doctor --quick
            expect 0 '"source":"\(read\|ioctl\)"' "$deny" $call $action "$ww" scan --pid=$$ --json
        done
    done
    expect 0 '^ran$' "$deny" userfaultfd notify "$ww" run -- echo ran
fi
expect 0 'stay with Wine: with this backend' "$ww" run --backend=mprotect -- true

# `doctor` says what vm.max_map_count leaves room for: two mappings for each watch apart from others, but for the last
# sixteenth, which stays for the program (ww_watch(3)).
limit=$(cat /proc/sys/vm/max_map_count 2>/dev/null)
if [ "$limit" ]; then
    reserved=$((limit / 16))
    line=$("$ww" doctor --quick 2>&1 | grep 'vm\.max_map_count')
    for words in "is $limit:" "room for $(((limit - reserved) / 2)) watches apart" 'each of which costs two mappings' \
        "$reserved mappings stay for the program"; do
        printf '%s\n' "$line" | grep -qF "$words" || fail "doctor does not say '$words' of vm.max_map_count: $line"
    done
else
    missing "doctor's line about vm.max_map_count: no /proc/sys/vm/max_map_count"
fi

# WW_DISABLE: `run --verbose` says that it is set, and so does `probe`, whose exit code is still about the kernel.
export WW_DISABLE=1
expect 0 'stay with Wine: WW_DISABLE is set (unset it)' "$ww" run --verbose -- true
expect 0 '' "$ww" run -- true
[ -z "$out" ] || fail "with WW_DISABLE and without --verbose: $out"
out=$("$ww" probe)
printf '%s\n' "$out" | grep -q "Wine's own write watches (WW_DISABLE is set)" || fail "probe with WW_DISABLE: $out"
out=$("$ww" probe --json)
printf '%s\n' "$out" | grep -q '"wine_backend":null' || fail "probe --json with WW_DISABLE: $out"
unset WW_DISABLE

# `probe --json` prints valid JSON; checked if python3 is installed.
if command -v python3 >/dev/null; then
    "$ww" probe --json | python3 -c 'import json, sys; json.load(sys.stdin)["backends"][0]["name"]' || failed=1
fi
exit $failed
