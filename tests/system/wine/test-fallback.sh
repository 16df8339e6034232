#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where the shim cannot work, the program must run as without it: with userfaultfd
# denied or missing (seccomp), with a backend that does not work with Wine, or with one
# that does not exist. `writewatch run` must say why, and the preload with WW_DEBUG too.
. "$(dirname "$0")/env.sh"
need_program conformance.exe
make_prefix
deny=$build/tests/common/deny
[ -x "$deny" ] || skip "tests/common/deny was not built: libseccomp is missing"
failed=0

# check NAME EXPECTED-LINE COMMAND...: the Windows program must pass under the command, which must print the line. $mode
# is the conformance program's: permissive (default) accepts stock Wine's answers.
check() {
    name=$1 expected=$2
    shift 2
    out=$(timeout -k 5 100 "$@" "$pe/conformance.exe" "${mode:-permissive}" 2>"$build/tests/system/wine/fallback.err")
    status=$?
    if [ $status != 0 ] || ! echo "$out" | grep -q ' 0 failed'; then
        echo "$name: exit code $status"
        echo "$out" | tail -n 5
        failed=1
    fi
    if ! grep -q "$expected" "$build/tests/system/wine/fallback.err"; then
        echo "$name: no line like '$expected' in:"
        sort -u "$build/tests/system/wine/fallback.err"
        failed=1
    fi
    echo "$name: $(grep -m 1 "$expected" "$build/tests/system/wine/fallback.err")"
}

run="$build/writewatch run"
every_way=userfaultfd,userfaultfd_ioc_new
check denied 'stay with Wine: .*(EPERM): .*denies it' "$deny" $every_way EPERM $run wine
check denied-debug 'staying out: uffd: .*(EPERM): .*denies it' "$deny" $every_way EPERM $run --verbose wine
check missing 'stay with Wine: .*not offer' "$deny" $every_way ENOSYS $run wine
check trapped 'stay with Wine: a seccomp filter ends programs that use UFFDIO_API' "$deny" uffdio_api trap $run wine
check killed 'staying out: uffd: a seccomp filter ends programs that use PAGEMAP_SCAN' \
    "$deny" pagemap_scan kill $run --verbose wine
mode=strict
check by-device 'attached to .*backend uffd' "$deny" userfaultfd trap $run --verbose wine
mode=
check no-ioctl 'stay with Wine: PAGEMAP_SCAN fails (ENOTTY)' "$deny" pagemap_scan ENOTTY $run wine
check mprotect 'staying out: mprotect: system calls' $run --verbose --backend=mprotect wine
check bogus 'staying out: bogus: no such backend' env WW_BACKEND=bogus $run --verbose wine
exit $failed
