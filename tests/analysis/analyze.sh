# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs gcc's -fanalyzer (in a build folder of its own, analyze/), clang-tidy and cppcheck over linux/, dlls/ and
# programs/, and prints a line for each. tests/analysis/allowed lists false findings by tool, file and check, with the
# reason; an entry that its tool does not find any more is reported as well. Exit code 1: a finding; 77: a tool is
# missing.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
here=$top/tests/analysis
out=$build/tests/analysis
failed=0 missing=0

mkdir -p "$out"
cd "$top" || exit 1

# absent TOOL REASON
absent() {
    echo "$1: skipped: $2"
    missing=$((missing + 1))
}

# report TOOL: reads findings as "file check line-of-output", prints those that are not allowed. False if there are any.
report() {
    sort -u >"$out/$1.out"
    awk -v tool="$1" '
        FILENAME == ARGV[1] { if ($1 == tool) allowed[$2 " " $3] = 1; next }
        { nr++ }
        ($1 " " $2) in allowed { known++; used[$1 " " $2] = 1; next }
        { sub(/^[^ ]+ [^ ]+ /, ""); print; new++ }
        END {
            for (entry in allowed)
                if (!(entry in used)) { print "tests/analysis/allowed: " tool " does not find " entry; new++ }
            printf "%s: %d findings, %d allowed with a reason\n", tool, new, known
            exit new > 0
        }' "$here/allowed" "$out/$1.out"
}

# ---- gcc ----

if gcc -fanalyzer -x c -c /dev/null -o /dev/null 2>/dev/null; then
    (
        mkdir -p "$build/analyze" && cd "$build/analyze" || exit 1
        [ -f Makefile ] || CC=gcc CFLAGS='-g -O2 -fanalyzer' "$top/configure" -q || exit 1
        make -s clean
        make -j"$(nproc)" all-am noinst_DATA=
    ) >"$build/analyze.log" 2>&1 || {
        tail -n 20 "$build/analyze.log"
        failed=$((failed + 1))
    }
    sed -n "s|^$top/||; s/^[./]*\([a-z0-9/_]*\.[ch]\):.*\[-W\(analyzer-[a-z-]*\)\]$/\1 \2 &/p" "$build/analyze.log" | report gcc ||
        failed=$((failed + 1))
else
    absent gcc "this gcc has no -fanalyzer"
fi

# ---- clang-tidy ----

wine=$(sed -n 's/^WINE_CPPFLAGS = //p' "$build/Makefile")
abi=$(sed -n 's/^NTDLL_ABI = //p' "$build/Makefile") # files of other processors do not compile
packages=$(sed -n 's/^\(FFI\|JSON\|CURSES\)_CFLAGS = //p' "$build/Makefile")
if command -v clang-tidy >/dev/null; then
    for folder in linux dlls/ntdll dlls/kernel32 programs; do
        : >"$out/clang-tidy.err"
        include="-Iinclude -Ilinux"
        [ $folder != dlls/kernel32 ] || include="$include -Idlls/ntdll"
        # One process per file: what clang 14 keeps of a file makes it take the next one's va_list for uninitialised.
        # selftest.c is a Windows program.
        find $folder -name '*.c' ! -name 'abi_*.c' ! -name selftest.c -o -path "$folder/abi_$abi.c" | sort | xargs -P "$(nproc)" -I '{}' clang-tidy --quiet '{}' -- -std=gnu11 -D_GNU_SOURCE '-DPKGLIBDIR="x"' '-DPKGDATADIR="x"' '-DPACKAGE_VERSION="x"' \
            $include $wine $packages 2>>"$out/clang-tidy.err"
        # A file that does not compile is not analysed, so that is a finding.
        sed -n "s|.*\(error: .*\)|$folder compiles-not \1|p" "$out/clang-tidy.err"
    done | sed -n "s|^$top/||; s/^\([a-z0-9/_]*\.[ch]\):.*\(warning\|error\): .*\[\([a-zA-Z0-9.-]*\)[],].*/\1 \3 &/p; /compiles-not/p" |
        report clang-tidy || failed=$((failed + 1))
else
    absent clang-tidy "it is not installed (Debian: clang-tidy)"
fi

# ---- cppcheck ----

if command -v cppcheck >/dev/null; then
    # cppcheck reads no system headers, except those whose macros define functions and structures.
    cppcheck -q --enable=warning,portability,performance --std=c11 --error-exitcode=1 --suppressions-list="$here/cppcheck.supp" \
        --inline-suppr -D_GNU_SOURCE -D__x86_64__ -D__LP64__ -D__linux__ '-DElfW(type)=Elf64_##type' \
        --include=/usr/include/bsd/sys/tree.h --include=/usr/include/bsd/sys/queue.h \
        -Iinclude -Ilinux -Idlls/ntdll linux dlls programs >"$out/cppcheck.out" 2>&1
    status=$?
    cat "$out/cppcheck.out"
    echo "cppcheck: $(grep -cE ': (error|warning|portability|performance): ' "$out/cppcheck.out") findings," \
        "$(grep -c '^[a-zA-Z]' "$here/cppcheck.supp") suppressions with a reason"
    [ $status = 0 ] || failed=$((failed + 1))
else
    absent cppcheck "it is not installed (Debian: cppcheck)"
fi

echo "analyze: $failed failed, $missing missing"
[ $failed = 0 ] || exit 1
[ $missing = 0 ] || exit 77
