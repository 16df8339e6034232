#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Fails if files of the engine form a circle, by their includes or by their calls: without one, the engine can be read
# from the top down, and each file can be understood with those below it. Also fails if a file other than those listed
# below uses certain interfaces of the kernel, or if a room at the bottom knows one above it.
set -u
build=${WW_BUILDDIR:-.}
source=$(cd "$(dirname "$0")/../.." && pwd)
failed=0

# Prints "USER DEFINER" for each pair of objects of which one uses a symbol that the other defines.
calls() {
    find "$build/linux" -path '*/.libs/*.o' | while read -r object; do
        nm "$object" | awk -v file="${object#"$build"/}" '
            $2 ~ /^[BCDRT]$/ { print "defines", $3, file }
            $1 == "U" { print "uses", $2, file }'
    done | sort | awk '
        $1 == "defines" { definer[$2] = $3; next }
        ($2 in definer) && definer[$2] != $3 { print $3, definer[$2] }' | sort -u
}

# The same for includes. A .c file and its header count as two files.
includes() {
    (cd "$source/linux" && find . -name '*.[ch]' | sed 's,^\./,,' | while read -r file; do
        sed -n 's/^#include "\(.*\)"$/\1/p' "$file" | while read -r included; do
            [ ! -f "$included" ] || echo "$file $included"
        done
    done)
}

# check NAME LEAST: standard input has at least LEAST edges, and they form no circle.
check() {
    edges=$(cat)
    if [ "$(echo "$edges" | wc -l)" -lt "$2" ]; then
        echo "$1: fewer than $2 found, so nothing was looked at"
        return 1
    fi
    circle=$(echo "$edges" | tsort 2>&1 >/dev/null)
    if [ -n "$circle" ]; then
        echo "$1: a circle:"
        echo "$circle" | sed 's/^tsort: /    /'
        return 1
    fi
}

# only NAME PATTERN FILES...: the pattern stands in these files of linux/ and in no other.
only() {
    name=$1 pattern=$2
    shift 2
    found=$(cd "$source/linux" && grep -rlE "$pattern" --include='*.[ch]' . | sed 's,^\./,,' | sort | xargs)
    if [ "$found" != "$(echo "$*" | xargs)" ]; then
        echo "$name: in '$found', not '$*'"
        failed=1
    fi
}

# knows ROOM ROOMS...: files of this room include headers of these rooms, and others only from outside the engine.
knows() {
    room=$1
    strangers=$(includes | sed -n "s,^$room/[^ ]* ,,p")
    shift
    for known; do
        strangers=$(echo "$strangers" | grep -v "^$known/")
    done
    if [ -n "$strangers" ]; then
        echo "linux/$room knows $(echo "$strangers" | sort -u | xargs)"
        failed=1
    fi
}

command -v nm >/dev/null || { echo "no nm: skipped"; exit 77; }
calls | check calls 100 || failed=1
includes | check includes 100 || failed=1
knows process process
knows kernel kernel process
only 'pm_scan_arg is filled' 'struct pm_scan_arg arg' kernel/scan.c
only 'PAGEMAP_SCAN is called' 'ioctl\(.*PAGEMAP_SCAN' kernel/scan.c
only 'userfaultfd is called' 'SYS_userfaultfd' kernel/dry_run.c kernel/userfaultfd.c
only 'a kernel is known by its name' 'uname\(&' kernel/facts.c
only 'vm.max_map_count is read' '"/proc/sys/vm/max_map_count"' kernel/facts.c
only 'entries of pagemap are read' 'pread64\(fd, ret_entries' kernel/entries.c
only 'files are opened' '[^_a-z>]open\("?[a-z/]' kernel/fd.c
exit $failed
