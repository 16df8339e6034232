#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The preload in processes that are not Wine, in those that look like a Wine of
# either calling convention, and in those that look like a Wine with something wrong.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
unit=$build/tests/system/preload
preload=$build/.libs/libwritewatch-ntdll.so
unset WW_BACKEND WW_DEBUG WW_DISABLE
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# Without Wine the preload prints and changes nothing.
out=$(WW_DEBUG=1 LD_PRELOAD=$preload /bin/true 2>&1) || fail "/bin/true"
[ -z "$out" ] || fail "/bin/true printed: $out"
out=$(LD_PRELOAD=$preload /bin/echo hello 2>&1)
[ "$out" = hello ] || fail "/bin/echo: $out"

# Another preload stays in LD_PRELOAD through the command, and works in front of ours.
out=$(LD_PRELOAD=$unit/foreign.so "$build/writewatch" run -- /bin/sh -c 'echo $FOREIGN' 2>&1)
[ "$out" = "was here" ] || fail "foreign LD_PRELOAD: $out"
out=$(LD_PRELOAD=$unit/foreign.so:$preload /bin/sh -c 'echo $FOREIGN' 2>&1)
[ "$out" = "was here" ] || fail "foreign LD_PRELOAD in front: $out"

# dlopen() by bare name must still see its caller's RUNPATH.
out=$(LD_PRELOAD=$preload "$unit/runpath-host" 2>&1) || fail "RUNPATH of the caller: $out"

# host CONVENTION FAKE MODE PATTERN: runs attach-host; the preload must print a line that matches PATTERN.
host() {
    said=$(WW_DEBUG=1 LD_PRELOAD=$preload "$unit/attach-host-$1" "$unit/fake-$2/ntdll.so" "$3" 2>&1 >"$unit/attach.out")
    status=$?
    cat "$unit/attach.out"
    [ $status = 0 ] || fail "$2: exit code $status"
    echo "$said"
    echo "$said" | grep -q "$4" || fail "$2: no line like '$4'"
}

untouched() { host system "$1" untouched "staying out: $2"; }

if "$build/writewatch" probe >/dev/null; then
    host system system patched 'attached to .*(\(sysv\|cdecl\) calls, backend uffd)'
    host windows windows patched 'attached to .*(\(win64\|stdcall\) calls, backend uffd)'
else
    echo "userfaultfd write tracking does not work here: only the refusals are tested"
fi
untouched twice 'more than one system call slot for: NtFreeVirtualMemory'
untouched noslot 'no system call slot for: NtGetWriteWatch'
untouched notwine "this ntdll.so is not Wine's"
untouched oddcall 'unknown calling convention'
WW_BACKEND=mprotect untouched system 'mprotect: system calls fail on memory'
WW_BACKEND=bogus untouched system 'bogus: no such backend'
WW_BACKEND=uffd-sync untouched system 'uffd-sync: not in this preload; take libwritewatch-ntdll-all.so'
WW_BACKEND=softdirty untouched system 'softdirty: not in this preload; take libwritewatch-ntdll-all.so'
WW_DISABLE=1 untouched system 'WW_DISABLE is set$'

# The preload with all backends refuses in the same words. The command uses it for backends that the small one lacks.
small=$preload preload=$build/.libs/libwritewatch-ntdll-all.so
WW_BACKEND=mprotect untouched system 'mprotect: system calls fail on memory'
WW_BACKEND=bogus untouched system 'bogus: no such backend'
for backend in uffd none uffd-sync softdirty mprotect; do
    case $backend in
    uffd | none) entry=$small ;;
    *) entry=$preload ;;
    esac
    for how in "run --backend=$backend" "run"; do
        out=$(WW_BACKEND=$backend "$build/writewatch" $how -- sh -c 'echo "$LD_PRELOAD"' 2>/dev/null)
        [ "$out" = "$entry" ] || fail "$how, backend $backend: LD_PRELOAD is '$out'"
    done
done
preload=$unit/unknown-cpu.so
untouched system 'unknown calling convention'
preload=$small

# A filter that ends programs for a system call does not end this one: the preload tries the call in a child, and stays
# out.
if [ -x "$build/tests/common/deny" ]; then
    for call in userfaultfd,userfaultfd_ioc_new uffdio_register pagemap_scan; do
        said=$(WW_DEBUG=1 LD_PRELOAD=$preload "$build/tests/common/deny" $call trap "$unit/attach-host-system" \
            "$unit/fake-system/ntdll.so" untouched 2>&1) || fail "$call is trapped: exit code $?: $said"
        echo "$said" | grep -q 'staying out: uffd: a seccomp filter ends programs' || fail "$call is trapped: $said"
    done
fi
exit $failed
