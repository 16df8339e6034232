#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The examples of the manual pages, and the programs in docs/GUIDE.md: each must compile without a warning against the
# library of this build and, with every backend that works here, end in time with the right output, or say in one line
# what the backend cannot do. For an example that is no program, tests/system/docs/examples has a file of the page's
# name, which includes the page's blocks as PAGE-1.c and so on.
. "$(dirname "$0")/../../common/expect.sh"
top=$(cd "$(dirname "$0")/../../.." && pwd)
frames=$top/tests/system/docs/examples
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unset WW_BACKEND WW_DEBUG WW_DISABLE
backends=$("$ww" probe --json | sed -n 's/.*"name":"\(.*\)".*/\1/p; s/.*"usable":\(.*\),.*/\1/p' | sed -n 'N; s/\ntrue$//p')
echo "backends: $(echo $backends)"
echo "$backends" | grep -qx none || fail "probe --json names no backend that works: $("$ww" probe --json)"

# compile SOURCE TARGET
compile() {
    ${WW_CC:-cc} -std=gnu11 -Wall -Wextra -Wno-unused-function -Werror -I"$top/include" -I"$work" -I"$frames" -pthread \
        -o "$2" "$1" -L"$build/.libs" -lwritewatch -Wl,-rpath,"$build/.libs"
}

# try NAME BACKEND: runs a program. $out is its output.
try() {
    out=$(WW_BACKEND=$2 timeout 60 "$work/$1" 2>&1)
    status=$?
    case $status in
    0) ;;
    77) [ "$(printf '%s\n' "$out" | grep -c .)" = 1 ] || fail "$1 with $2: does not say in one line why not: $out" ;;
    124) fail "$1 with $2: does not end" ;;
    *) fail "$1 with $2: exit code $status: $(printf '%s\n' "$out" | head -n 5)" ;;
    esac
    echo "$1 with $2: exit code $status"
}

# ---- blocks of the section EXAMPLES ----

for page in "$top"/man/*.3; do
    name=${page##*/} name=${name%.3}
    awk -v name="$work/$name" '
        /^\.Sh /{ inside = $2 == "EXAMPLES" }
        inside && /^\.Ed/{ block = 0; close(file) }
        block { gsub(/\\e/, "\\"); gsub(/\\-/, "-"); gsub(/\\&/, ""); print >file }
        inside && /^\.Bd -literal/{
            block = 1
            file = name "-" ++nr ".c"
            printf "#line %d \"%s\"\n", FNR + 1, FILENAME >file
        }' "$page"
    [ -e "$work/$name-1.c" ] || continue
    if grep -q '^int main(' "$work/$name-1.c"; then
        source=$work/$name-1.c
    else
        source=$frames/$name.c
        for block in "$work/$name"-*.c; do
            grep -q "^#include \"${block##*/}\"" "$source" || fail "$source does not include ${block##*/}"
        done
    fi
    compile "$source" "$work/$name" || fail "man/$name.3: does not compile"
done

awk -v folder="$work" -v prefix=guide -f "$top/tests/system/docs/blocks.awk" "$top/docs/GUIDE.md" || failed=1
for source in "$work"/*.c; do
    name=${source##*/} name=${name%.c}
    if grep -q '^#line .*GUIDE.md' "$source" && grep -q '^int main(' "$source"; then
        compile "$source" "$work/$name" || fail "docs/GUIDE.md: $name does not compile"
    fi
done

# ---- their output with each backend ----

for backend in $backends; do
    for program in $(find "$work" -maxdepth 1 -type f -perm -100 | sort); do
        program=${program##*/}
        try "$program" "$backend"
        case $program:$backend in
        # The example writes 10000 bytes, which are three pages, and a page at 1 MB. Other backends may report more, but
        # never a page twice.
        writewatch:uffd | writewatch:uffd-sync | writewatch:mprotect)
            page=$(getconf PAGESIZE)
            [ "$page" != 4096 ] || [ "$(echo $out)" = "8192 12288 16384 1048576" ] || fail "writewatch(3) with $backend: $out"
            ;;
        writewatch:*)
            for offset in 16384 1048576; do
                echo "$out" | grep -qx $offset || fail "writewatch(3) with $backend lacks $offset"
            done
            [ -z "$(echo "$out" | sort | uniq -d)" ] || fail "writewatch(3) with $backend reports a page twice"
            ;;
        esac
    done
done
exit $failed
