#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Compares the library with what programs built against version 0.2 rely on: functions, their types and the structs of
# the installed headers (libwritewatch.abi, by libabigail, for x86_64), and the values of the headers' constants
# (libwritewatch.constants), which debug information does not have. Debian's list of symbols and the map must have the
# same names. test-abi.sh --renew writes both files anew, for additions. A change or a removal needs another soname.
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
library=$build/.libs/libwritewatch.so
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

# differs NAME: fails, after a difference has been printed.
differs() {
    echo "FAILED: $1 differs. For additions: WW_BUILDDIR=$build sh $0 --renew; anything else breaks programs"
    failed=1
}

# Prints the constants' values, by a program made of their names. The version's numbers are left out: they change.
constants() {
    source=$work/constants.c
    printf '#include "%s"\n' "$top"/include/*.h >"$source"
    names=$({ ${WW_CC:-cc} -E -P "$source" && ${WW_CC:-cc} -E -dM "$source"; } | grep -ow 'WW_[A-Z0-9_]*' |
        grep -v '^WW_VERSION_' | sort -u)
    {
        printf '#include <stdio.h>\nint main(void)\n{\n'
        for name in $names; do
            printf '    printf("%s %%#llx\\n", (unsigned long long)(%s));\n' "$name" "$name"
        done
        echo '}'
    } >>"$source"
    ${WW_CC:-cc} -o "$work/constants" "$source" && "$work/constants"
}

# Prints the types of the public headers, without the place and the compiler of the build.
types() {
    abidw --headers-dir "$top/include" --drop-private-types --exported-interfaces-only --drop-undefined-syms \
        --no-elf-needed --no-corpus-path --no-comp-dir-path --no-show-locs --no-parameter-names --type-id-style hash \
        "$library" | sed "s#path='[^']*/\(dlls\|linux\)/#path='\1/#"
}

# Compares the names in both lists of functions, each with its symbol version.
symbols() {
    awk '/{$/ { version = $1; print " " version "@" version } /^ *ww_/ { sub(";", ""); print " " $1 "@" version }' \
        "$top/linux/libwritewatch.map" | sort >"$work/map"
    sed -n 's/^\( [^ ]*\) .*/\1/p' "$top/debian/libwritewatch0.symbols" | sort >"$work/symbols"
    [ -s "$work/map" ] && diff -u "$work/map" "$work/symbols"
}

constants >"$work/libwritewatch.constants" || {
    echo "FAILED: the constants of the headers: no program"
    exit 1
}
if [ "$1" != --renew ]; then
    diff -u "$top/tests/system/docs/libwritewatch.constants" "$work/libwritewatch.constants" || differs libwritewatch.constants
    symbols || {
        echo "FAILED: debian/libwritewatch0.symbols does not have the names of linux/libwritewatch.map"
        failed=1
    }
    [ $failed = 0 ] || exit 1
fi

skip() {
    echo "skipped: types: $*"
    exit 77
}
command -v abidiff >/dev/null || skip "abidiff is not installed (Debian: abigail-tools)"
readelf -SW "$library" | grep -q ' \.debug_info ' || skip "the library has no debug information"
types >"$work/libwritewatch.abi"
architecture=$(sed -n "1s/.* architecture='\([^']*\)'.*/\1/p" "$work/libwritewatch.abi")
grep -q "architecture='$architecture'" "$top/tests/system/docs/libwritewatch.abi" ||
    skip "libwritewatch.abi is not of $architecture"
[ "$1" != --renew ] || {
    cp "$work/libwritewatch.constants" "$work/libwritewatch.abi" "$top/tests/system/docs/"
    exit
}
abidiff --no-show-locs "$top/tests/system/docs/libwritewatch.abi" "$work/libwritewatch.abi" || differs libwritewatch.abi
exit $failed
