#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks by readelf and objdump that the built files are hardened. Then compares the mappings of a process with the
# preload attached and without it: the preload must add none that is writable and executable.
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
top=$(cd "$(dirname "$0")/../.." && pwd)
unit=$build/tests/system/preload
preload=${WW_TEST_PRELOAD:-$build/.libs/libwritewatch-ntdll.so}
library=$build/.libs/libwritewatch.so
command=$build/writewatch
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

for tool in readelf objdump nm; do
    command -v $tool >/dev/null || {
        echo "skipped: $tool is not installed (Debian: binutils)"
        exit 77
    }
done

# ---- the files ----

# Checks what the linker does: a build without optimisation, or with the user's flags, may lack the compiler's part.
for file in "$library" "$preload" "$build/.libs/libwritewatch-ntdll-all.so" "$command"; do
    name=$(basename "$file")
    segments=$(readelf -Wl "$file") dynamic=$(readelf -Wd "$file")
    echo "$segments" | grep -q GNU_RELRO || fail "$name: no RELRO"
    echo "$dynamic" | grep -q 'BIND_NOW\|Flags:.*NOW' || fail "$name: bound lazily, so its table of functions stays writable"
    echo "$segments" | grep -q 'GNU_STACK.* RW ' || fail "$name: the stack is executable, or nothing is said about it"
    ! echo "$segments" | grep -q 'LOAD.* RWE ' || fail "$name: a segment is writable and executable"
    ! echo "$dynamic" | grep -q 'TEXTREL' || fail "$name: relocations in code"
    ! echo "$dynamic" | grep -q 'RPATH\|RUNPATH' || fail "$name: looks for libraries in a path of its own"
    echo "$segments" | grep -q 'type is DYN' || fail "$name: not position independent"
done
# libpthread and libdl were files of their own before glibc 2.34, and are empty ones now (dlls/ntdll/glibc.S).
needed=$(readelf -Wd "$preload" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
    grep -v '^libc\.so\|^ld-linux\|^libpthread\.so\.0$\|^libdl\.so\.2$')
[ -z "$needed" ] || fail "the preload needs $needed"
# The oldest glibc that has all symbols it needs: with an older one no program starts. Containers have 2.28 and newer.
asked=$(objdump -T "$preload" | sed -n 's/.*GLIBC_\(2[0-9.]*\).*/\1/p' | sort -Vu | tail -n 1)
[ "$(printf '%s\n' "$asked" 2.28 | sort -V | tail -n 1)" = 2.28 ] || fail "the preload asks for glibc $asked"
allowed=$(sed -n '/^global:/,/^local:/{s/^ *\([a-zA-Z_0-9]*\);$/\1/p}' "$top/dlls/ntdll/preload.map")
exported=$(nm -D --defined-only "$preload" | awk '{ print $3 }')
[ "$exported" = "$allowed" ] || fail "the preload exports '$exported', its map says '$allowed'"

# ---- the code ----

# functions FILE NAMES: the code of the functions of these names (a pattern).
functions() {
    objdump -d --no-show-raw-insn "$1" | awk -v names="^($2)(\\\\..*)?>:\$" '
        /^[0-9a-f]+ <.*>:$/ { name = $2; sub(/^</, "", name); inside = name ~ names }
        inside { print }'
}

# Windows code runs with segment registers of its own: code that runs at a fault in it must not use them.
handler='layer_[0-3]|handle_write|is_write|open_page|open_run|find_map|read_filled|set_dirty|raw_.*|is_second_time|call_previous'
code=$(functions "$build/linux/backends/mprotect/.libs/fault.o" "$handler"
    functions "$build/linux/backends/mprotect/.libs/grace.o" 'ww_grace_enter|ww_grace_leave|ww_raw_.*'
    functions "$build/linux/backends/mprotect/.libs/isolated.o" 'ww_isolated_(open_page|forget)|dirty_beside|add_isolated')
[ "$(echo "$code" | grep -c '^[0-9a-f]* <layer_')" = 4 ] || fail "the SIGSEGV handler is not found"
! echo "$code" | grep -q '%[fg]s:' || fail "the SIGSEGV handler reads a segment register"
! echo "$code" | grep -q '__stack_chk_fail' || fail "the SIGSEGV handler has a stack protector"
# The C library's dlopen() looks at its caller: ours must jump to it for any file but ntdll.so.
code=$(functions "$preload" dlopen)
echo "$code" | grep -q 'jmp *\*%' || fail "dlopen() does not end in a jump"
! echo "$code" | grep -q 'call *\*%\|%[fg]s:' || fail "dlopen() calls through a pointer, or has a stack protector"

# ---- processes ----

# The writable and executable mappings of a process, without their addresses, which differ each time.
bad_mappings() {
    awk '$2 ~ /^.wx/ { split($1, ends, "-"); print $2, $6 }' "$1" | sort | uniq -c
}

# compare NAME WITH WITHOUT: files of mappings.
compare() {
    bad_mappings "$2" >"$2.out"
    bad_mappings "$3" >"$3.out"
    grep -q libwritewatch-ntdll.so "$2" || fail "$1: the preload is not there"
    new=$(comm -23 "$2.out" "$3.out")
    [ -z "$new" ] || fail "$1: writable and executable with the preload only: $new"
    echo "$1: $(awk '{ n += $1 } END { print n + 0 }' "$2.out") mappings writable and executable with the preload," \
        "$(awk '{ n += $1 } END { print n + 0 }' "$3.out") without"
}

out=$build/tests/analysis
mkdir -p "$out"
if ! "$command" probe >/dev/null; then
    echo "userfaultfd write tracking does not work here: no process attaches, only the files were looked at"
    exit $failed
fi
"$build/tests/analysis/maps-host" "$unit/fake-system/ntdll.so" >"$out/host.without" || fail "maps-host"
WW_DEBUG=1 LD_PRELOAD=$preload "$build/tests/analysis/maps-host" "$unit/fake-system/ntdll.so" \
    >"$out/host.with" 2>"$out/host.said" || fail "maps-host with the preload"
grep -q 'attached to' "$out/host.said" || fail "the preload did not attach: $(cat "$out/host.said")"
compare "a host like Wine" "$out/host.with" "$out/host.without"

if command -v wine >/dev/null && [ -f "$build/tests/analysis/maps.exe" ]; then
    . "$top/tests/system/wine/env.sh"
    out=$build/tests/analysis
    make_prefix
    # look HOW FILE: writes the mappings of the Windows program, while it waits, to FILE. HOW is stock or shim.
    look() {
        rm -f "$out/wine.out" # it says "ready" of the one before
        $1 100 "$out/maps.exe" >"$out/wine.out" &
        for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
            ! grep -q ready "$out/wine.out" 2>/dev/null || break
            sleep 1
        done
        for process in /proc/[0-9]*; do
            if { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep -q "maps.exe" &&
                { tr '\0' '\n' <"$process/environ"; } 2>/dev/null | grep -qxF "WINEPREFIX=$WINEPREFIX" &&
                grep -q '/ntdll.so' "$process/maps" 2>/dev/null; then
                cat "$process/maps" >"$2"
            fi
        done
        wait
    }
    look stock "$out/wine.without"
    look shim "$out/wine.with"
    grep -q '/ntdll.so' "$out/wine.without" || fail "no mappings of a Windows program under Wine"
    compare "Wine" "$out/wine.with" "$out/wine.without"
else
    echo "Wine: skipped: wine or mingw-w64 is missing"
fi
exit $failed
